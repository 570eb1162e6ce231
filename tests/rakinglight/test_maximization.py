"""Pictures that are climbed to, dreamt or painted: in closed form where there is one, and on digits."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from torch import Tensor, nn

from rakinglight.algorithms.deep_dream import cut, joined, sizes, tiled, zoomed
from rakinglight.algorithms.style import Blend, gram, spread
from rakinglight.energy.terms import B
from rakinglight.engine import Engine
from rakinglight.errors import BadParameter
from rakinglight.network import Network
from rakinglight.question import Question
from rakinglight.wire import array_to_json
from tests.networks import network_of

SHAPE = (2, 6, 5)
W_H = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)


@pytest.fixture
def linear() -> Network:
    network = network_of("linear", nn.Sequential(nn.Flatten(), nn.Linear(60, 4)), SHAPE, layers={"1": (4,)})
    return replace(network, card=replace(network.card, mean=(0.5, 0.5)))


@pytest.fixture
def small() -> Network:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.Flatten(), nn.Linear(5 * 64, 5))
    return network_of("small", module, (3, 12, 12), layers={"0": (4, 10, 10), "2": (5, 8, 8), "4": (5,)})


def asked(network: Network, method: str, pixels: np.ndarray[Any, Any], **parameters: Any) -> dict[str, Any]:
    """The result of one run."""
    engine = Engine([network])
    name = network.card.name
    question = Question("inversion", name, pixels, method, parameters)
    run = engine.submit(question.begin({name: network}))
    engine.run_until(lambda: run.over)
    return run.result


def blank(network: Network) -> np.ndarray[Any, Any]:
    return np.full(network.card.input_shape, 0.5, np.float32)


def test_the_top_of_a_linear_score_with_the_l2_term_is_where_the_formula_says(linear: Network) -> None:
    # W x - weight |x - mean|^2 / (60 B^2) is greatest at x - mean = 30 B^2 W / weight.
    weight = 400.0
    row = linear.forward.module.network[1].weight[2].detach()  # type: ignore[attr-defined]
    top = 0.5 + 30 * B**2 * row.view(SHAPE) / weight
    assert float((top - 0.5).abs().max()) < 0.5
    own = {"near_weight": weight, "alpha_weight": 0.0, "tv_weight": 0.0, "jitter": 0, "parametrization": "pixels"}
    result = asked(linear, "activation_maximization", blank(linear), target=2, steps=150, step_size=0.01, **own)
    assert np.abs(result["image"] - top.numpy()).max() < 0.004


def test_a_unit_is_climbed_by_its_own_slope(small: Network) -> None:
    result = asked(small, "activation_maximization", blank(small), layer="0", unit=3, steps=30, starts=2)
    (before,), (after,) = (_mean_of(small, "0", 3, x) for x in (blank(small), result["image"]))
    assert after > before and result["objective"][-1] < result["objective"][0]
    assert result["score"] == pytest.approx(_mean_of(small, "0", 3, _eight_bit(result))[0], abs=1e-6)
    (other,) = result["others"]
    assert not np.array_equal(other["picture"], result["picture"])


def _mean_of(network: Network, layer: str, unit: int, x: np.ndarray[Any, Any]) -> list[float]:
    rows = torch.from_numpy(x)[None]
    return network.forward.forward(rows, (layer,)).activations[layer][:, unit].flatten(1).mean(1).tolist()


def _eight_bit(result: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(result["picture"].transpose(2, 0, 1)).astype(np.float32) / np.float32(255)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({}, "nothing to climb"),
        ({"target": 1, "layer": "0"}, "cannot both"),
        ({"layer": "0"}, "name the unit, too"),
        ({"unit": 1}, "name the layer, too"),
        ({"layer": "0", "unit": 4}, "it has 4, 0 to 3"),
        ({"layer": "nine", "unit": 0}, "has no layer 'nine'"),
        ({"target": "lynx"}, "is no class of small"),
        ({"layer": "0", "unit": 1, "compare_softmax": True}, "leave it out"),
        ({"layer": "0", "unit": 1, "score": "probability"}, "A unit has no probability"),
        ({"target": 1, "blur_sigma": 1}, "set parametrization to 'pixels'"),
        ({"target": 1, "tv_weight": -1}, "greater than or equal to 0"),
        ({"target": 1, "steps": 0}, "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_climbed_is_refused_with_the_remedy(small: Network, parameters: Any, words: str) -> None:
    with pytest.raises(BadParameter, match=words):
        asked(small, "activation_maximization", blank(small), **parameters)


def test_a_digit_is_climbed_seen_by_another_network_and_compared_with_real_ones(
    lenet: Network, digits: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
) -> None:
    images, labels = digits
    other = replace(lenet, card=replace(lenet.card, name="other"))
    real = [array_to_json(np.ascontiguousarray(image.transpose(1, 2, 0))) for image in images[labels == 4][:5]]
    own = {"target": 4, "steps": 40, "compare_softmax": True, "real_images": real, "models": ["other"]}
    engine = Engine([lenet, other])
    mean = np.broadcast_to(np.float32(lenet.card.mean[0]), lenet.card.input_shape)
    question = Question("inversion", lenet.card.name, mean, "activation_maximization", own)
    run = engine.submit(question.begin({"other": other, lenet.card.name: lenet}))
    engine.run_until(lambda: run.over)
    result = run.result
    assert result["reached"]["index"] == 4 and result["ranks"] == [{"model": "other", "rank": 1}]
    scores = result["real_images"]["scores"]
    assert len(scores) == 5 and result["real_images"]["below"] == sum(one < result["score"] for one in scores)
    softmax = result["softmax"]
    assert softmax["by_score"]["logit"] == pytest.approx(result["score"], abs=1e-4)
    assert softmax["by_score"]["logit"] > softmax["by_probability"]["logit"]
    assert softmax["picture"].shape == result["picture"].shape


# ── style ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_gram_matrices_and_the_loss_by_hand() -> None:
    F = torch.tensor([[[[1.0, 2.0]], [[0.0, 3.0]]]])  # two features at two places
    assert torch.equal(gram(F), torch.tensor([[[2.5, 3.0], [3.0, 4.5]]]))
    loss = Blend({"a": 2 * F[0]}, {"b": 2 * gram(F)[0]}, alpha=4.0, beta=8.0)
    # |F - 2F|^2 / |2F|^2 = 1/4, and so it is of the Gram matrices.
    assert loss({"a": F, "b": F}).tolist() == pytest.approx([4 / 4 + 8 / 4])


def test_style_is_taken_over_and_content_is_kept(small: Network) -> None:
    stripes = np.zeros((12, 12, 3), np.uint8)
    stripes[:, ::2] = (255, 128, 0)
    layers = {"style_layers": ["0", "2"], "content_layer": "2"}
    own = {"style": array_to_json(stripes), "steps": 40, "parametrization": "pixels", **layers}
    result = asked(small, "style", W_H, **own)
    assert result["objective"][-1] < 0.3 * result["objective"][0]

    def outputs(x: Any, layer: str) -> Tensor:
        return small.forward.forward(torch.from_numpy(x)[None], (layer,)).activations[layer]

    pictures = [_floats(one) for one in (W_H, stripes, result["picture"])]
    begun, wanted, made = (gram(outputs(one, "0"))[0] for one in pictures)
    assert (made - wanted).norm() < 0.5 * (begun - wanted).norm()
    # At the content's layer it is nearer to the content than the style is, and nearest where only the content counts.
    content, of_style, painted = (outputs(one, "2") for one in pictures)
    assert (painted - content).norm() < (of_style - content).norm()
    kept = asked(small, "style", W_H, **own, style_weight=0.0, tv_weight=0.0)
    assert (outputs(_floats(kept["picture"]), "2") - content).norm() < 0.1 * (painted - content).norm()


def _floats(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)).astype(np.float32) / np.float32(255)


def test_style_without_a_picture_or_of_a_flat_layer_is_refused(small: Network) -> None:
    with pytest.raises(BadParameter, match="style"):
        asked(small, "style", W_H)
    with pytest.raises(BadParameter, match="no height and width"):
        asked(small, "style", W_H, style=array_to_json(W_H), style_layers=["4"])
    assert spread(small.card) == ["0", "2"] and spread(replace(small.card, layers={"a": (1, 2, 2)})) == ["a"]


# ── dreams ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_tiles_cover_an_image_and_are_put_together_again() -> None:
    x = torch.rand(3, 12, 17)
    corners = tiled((12, 17), (5, 8))
    assert corners == [(row, column) for row in (0, 5, 7) for column in (0, 8, 9)]
    assert torch.allclose(joined(cut(x, corners, (5, 8)), corners, (12, 17)), x)
    assert sizes(torch.empty(3, 40, 30), 3, 2.0, (12, 12)) == [(12, 12), (20, 15), (40, 30)]
    assert zoomed(x, 1.5).shape == x.shape


def test_a_dream_is_of_the_images_size_and_the_layer_says_more_of_it(small: Network) -> None:
    pixels = np.random.default_rng(2).integers(60, 190, (20, 31, 3), dtype=np.uint8)
    result = asked(small, "deep_dream", pixels, layer="2", steps=3, octaves=2, jitter=3)
    assert result["picture"].shape == pixels.shape
    assert len(result["objective"]) == 3 * 2  # of each step at each size

    def strength(shown: np.ndarray[Any, Any]) -> float:
        x = torch.from_numpy(_floats(shown))
        tiles = cut(x, tiled(tuple(x.shape[1:]), (12, 12)), (12, 12))
        return float(small.forward.forward(tiles, ("2",)).activations["2"].square().sum())

    assert strength(result["picture"]) > 1.1 * strength(pixels)


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_frames_come_as_an_animation(small: Network, kind: str) -> None:
    result = asked(small, "deep_dream", W_H, layer="2", steps=1, octaves=1, frames=3, animation=kind)
    with Image.open(BytesIO(result["animation"].tobytes())) as film:
        assert (film.format, film.size) == (kind.upper(), (12, 12))
        assert sum(1 for _ in ImageSequence.Iterator(film)) == 4


def test_a_dream_of_an_image_far_too_large_is_refused(small: Network) -> None:
    with pytest.raises(BadParameter, match="81 times what the network sees at once, and at most 64"):
        asked(small, "deep_dream", np.zeros((108, 108, 3), np.uint8), layer="2")


def test_a_dream_alone_is_the_dream_in_company(small: Network) -> None:
    def dreams(engine: Engine, runs: int) -> Iterator[Any]:
        questions = [Question("inversion", "small", W_H, "deep_dream", {"layer": "0", "steps": 2}) for _ in range(runs)]
        under_way = [engine.submit(one.begin({"small": small})) for one in questions]
        engine.run_until(lambda: all(run.over for run in under_way))
        yield from (run.result["image"] for run in under_way)

    (alone,) = dreams(Engine([small]), 1)
    assert all(np.array_equal(alone, one) for one in dreams(Engine([small]), 3))
