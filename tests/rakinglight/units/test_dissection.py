"""Dissection: planted concepts are found, and no others; by hand; masks that do not match."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from rakinglight.catalogue import OPERATIONS
from rakinglight.engine import Engine
from rakinglight.errors import BadParameter
from rakinglight.network import Network
from rakinglight.noise import Noise
from rakinglight.plan import Plan
from rakinglight.queries import Progress
from rakinglight.question import Question
from rakinglight.relays import relayed
from rakinglight.states import to_arrays, to_tensors
from rakinglight.subject import Subject
from rakinglight.units.dissection import dissection, seen_mask
from rakinglight.wire import array_to_json
from tests.networks import network_of

CONCEPTS = ("red square", "green square", "blue square")
#: What is planted: two of six units look for a colour. One likes noise, one is dead, one constant, one likes light.
PLANTED = {0: "red square", 3: "green square"}
Found = dict[str, Any]


def planted() -> Network:
    network = network_of(
        "planted",
        nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1536, 2)),
        (3, 32, 32),
        layers={"0": (6, 32, 32), "1": (6, 32, 32), "2": (6, 16, 16), "3": (1536,)},
    )
    (convolution, *_) = network.gradient.module.network  # type: ignore[union-attr]
    with torch.no_grad():
        weights, bias = convolution.weight.zero_(), convolution.bias.zero_()
        weights[0], weights[3] = (torch.tensor(c).view(3, 1, 1) / 9 for c in ([1.0, -1, -1], [-1.0, 1, -1]))
        checks = torch.tensor([[1.0, -1, 1], [-1, 0, -1], [1, -1, 1]])
        weights[1] = checks
        bias[2] = -9.0
        bias[4] = 1.0
        weights[5] = 1 / 27
    return network


def scenes(count: int = 12, *, flat: bool = True) -> tuple[list[np.ndarray[Any, Any]], list[np.ndarray[Any, Any]]]:
    """Grey noise with a square of each colour in every image, and where they are."""
    draw = np.random.default_rng(0)
    images, masks = [], []
    for _ in range(count):
        image = np.repeat(draw.integers(0, 256, (32, 32, 1)), 3, 2)
        mask = np.zeros((32, 32), np.uint8)
        for c in range(3):
            top, left = draw.integers(0, 27), 11 * c + draw.integers(0, 5)
            inside = (slice(top, top + 5), slice(left, left + 5))
            image[inside] = 0
            image[(*inside, c)] = 230 if flat else draw.integers(180, 256, (5, 5))
            mask[inside] = c + 1
        images.append(image.astype(np.uint8))
        masks.append(mask)
    return images, masks


def subjects(network: Network, images: list[np.ndarray[Any, Any]]) -> list[Subject]:
    found = [Subject.of(network.card, image) for image in images]
    return [replace(one, x=one.x.double()) for one in found]


def sent(masks: list[np.ndarray[Any, Any]]) -> list[dict[str, Any]]:
    return [array_to_json(mask[..., None]) for mask in masks]


def dissected(network: Network, **given: Any) -> Found:
    images, masks = scenes(flat=given.pop("flat", True))
    given = {"masks": sent(masks), "concepts": CONCEPTS, "quantile": 0.01, **given}
    algorithm = dissection(subjects(network, images), network.card, Noise(0), **given)
    return dict(Engine([network]).drive(algorithm).summary)


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("layer", ["1", "2"])
def test_the_planted_units_are_found_and_no_others(layer: str, *, flat: bool) -> None:
    found = dissected(planted(), layer=layer, flat=flat)
    detectors = {unit["unit"]: unit["concept"] for unit in found["units"] if unit["detector"]}
    assert detectors == PLANTED
    assert found["histogram"] == {"red square": 1, "green square": 1, "blue square": 0}
    assert found["detectors"] == 2
    for example in found["examples"]:
        colour = list(PLANTED.values()).index(PLANTED[example["unit"]])
        for i, high in zip(example["images"], example["high"], strict=True):
            assert (scenes(flat=flat)[1][i][high > 0] == colour + 1).mean() > 0.5
    assert "12 images are few" in found["note"]


def by_hand(a: np.ndarray[Any, Any], masks: list[np.ndarray[Any, Any]], quantile: float) -> np.ndarray[Any, Any]:
    """IoU [units, concepts] of maps [n, units, H, W] that are of the masks' size."""
    n, units, height, width = a.shape
    found = np.zeros((units, len(CONCEPTS)))
    for k in range(units):
        T = np.sort(a[:, k].ravel())[::-1][int(quantile * n * height * width) - 1]
        if a[:, k].min() == T:
            T = np.nextafter(T, np.inf)
        for c in range(len(CONCEPTS)):
            both = either = 0
            for i in range(n):
                M, L = a[i, k] >= T, masks[i] == c + 1
                both, either = both + (M & L).sum(), either + (M | L).sum()
            found[k, c] = both / either if either else 0
    return found


def test_the_iou_is_that_of_naive_numpy() -> None:
    network, (images, masks) = planted(), scenes(flat=False)
    x = torch.stack([one.seen for one in subjects(network, images)])
    a = network.gradient.forward(x, ("1",), short=True).activations["1"].numpy()  # type: ignore[union-attr]
    found = dissected(network, layer="1", flat=False, iou=0.2)
    np.testing.assert_allclose(found["iou"], by_hand(a, masks, 0.01), atol=1e-7)
    assert found["pixels"] == dict.fromkeys(CONCEPTS, 12 * 25)


def test_a_value_stands_in_the_middle_of_its_field(lenet: Network) -> None:
    from rakinglight.units.dissection import upsampling
    from rakinglight.units.fields import Axis

    up = upsampling(Axis(0, 16, 4, 32), 5, torch.zeros(1, dtype=torch.float64))  # as s4 of LeNet-5
    values = up @ torch.arange(5.0, dtype=torch.float64)
    assert values[:8].tolist() == [0] * 8  # whose middle is between 7 and 8
    assert values[[9, 10]].tolist() == [0.375, 0.625]
    assert values[-8:].tolist() == [4] * 8


def test_a_mask_goes_the_way_of_its_image(lenet: Network) -> None:
    card = replace(lenet.card, resize=40)
    mask = np.zeros((50, 100, 1), np.uint8)
    mask[20:30, 45:55] = 7
    seen = seen_mask(card, array_to_json(mask))
    assert seen.shape == (32, 32)
    assert set(np.unique(seen)) == {0, 7}
    rows, columns = (np.nonzero(seen.any(axis))[0] for axis in (1, 0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (12, 19, 12, 19)  # 10 of 50 pixels are 8 of 40


def test_taken_up_again_it_finds_the_same() -> None:
    network, (images, masks) = planted(), scenes(6)
    states: list[Any] = []

    def keep(news: Any) -> Any:
        if isinstance(news, Progress):
            states.append(to_arrays({**(news.state or {}), "step": news.step}))
        return news

    def run(state: Any = None) -> Found:
        given: dict[str, Any] = {"masks": sent(masks), "concepts": CONCEPTS}
        algorithm = dissection(subjects(network, images), network.card, Noise(0), state, **given)
        return dict(Engine([network]).drive(relayed(algorithm, keep)).summary)

    whole = run()
    for state in states[:-1]:
        again = run(to_tensors(state))
        assert np.array_equal(again["iou"], whole["iou"])
        assert again["units"] == whole["units"]


def test_masks_that_do_not_match_their_images_are_refused() -> None:
    network, (images, masks) = planted(), scenes(2)
    coloured = np.repeat(masks[0][..., None], 3, 2)
    coloured[0, 0, 1] = 9

    def answered(question: Question) -> Any:
        engine = Engine([network])
        run = engine.submit(question.begin({"planted": network}))
        engine.run_until(lambda: run.over)
        return run.result

    def refused(**given: Any) -> tuple[str, str]:
        given = {"masks": sent(masks), "concepts": CONCEPTS, "layer": "1"} | given
        with pytest.raises(BadParameter) as e:
            answered(Question("units", "planted", images[0], "dissection", given, more=images[1:]))
        (error,) = e.value.errors
        return error.pointer, error.detail

    assert refused(masks=sent(masks[:1])) == (
        "/parameters/masks",
        "There are 1 masks for 2 images; send one an image, in their order.",
    )
    pointer, detail = refused(masks=sent([masks[0], masks[1][:30]]))
    assert (pointer, detail) == (
        "/parameters/masks/1",
        "The mask has 30×32 pixels, and its image 32×32; send it in the size of the image.",
    )
    pointer, detail = refused(concepts=CONCEPTS[:2])
    assert pointer == "/parameters/masks/0"
    assert "the value 3, and concepts names 2" in detail
    pointer, detail = refused(masks=[array_to_json(coloured), *sent(masks[1:])])
    assert pointer == "/parameters/masks/0"
    assert "has colours" in detail
    assert refused(layer="3")[0] == "/parameters/layer"
    with pytest.raises(BadParameter, match="There are 1 masks for 2 images"):
        Plan.of(
            network.card,
            OPERATIONS["units"],
            2,
            method="dissection",
            parameters={"masks": sent(masks[:1]), "concepts": list(CONCEPTS)},
        )


def test_a_quantile_that_would_keep_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rakinglight.units.dissection.MOST_VALUES", 100)
    with pytest.raises(BadParameter, match=r"With quantile 0\.01, 122 values of each of 6 units"):
        dissected(planted(), layer="1")


def test_a_tensor_of_ones_and_zeros_is_a_mask_too() -> None:
    labels = torch.tensor([[0.0, 1.0], [2.0, 0.0]]) / 255
    network = planted()
    card = replace(network.card, input_shape=(3, 2, 2))
    assert seen_mask(card, array_to_json(labels[None].float().numpy())).tolist() == [[0, 1], [2, 0]]
