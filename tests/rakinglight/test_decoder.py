"""Decoders: the picture that a layer's code is of, in one pass of a small network."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from model_store import from_recipe
from model_store.build import digest
from model_store.training import decoder as training
from rakinglight.archives import load_network, read_card
from rakinglight.decoder import About, Decoder, member
from rakinglight.engine import Engine, Run
from rakinglight.errors import BadParameter, NotFound, Unreadable
from rakinglight.network import Network
from rakinglight.question import Question
from tests.networks import network_of
from tests.rakinglight.test_archives import lenet_archive, rewritten  # noqa: F401

Array = np.ndarray[Any, Any]
COMMITTED = [
    (name, layer, (file.parent / path).resolve())
    for name, (file, recipe) in from_recipe.house().items()
    for layer, path in recipe.decoders.items()
]


def inverted(network: Network, pixels: Array, **parameters: Any) -> Run[dict[str, Any]]:
    engine = Engine([network])
    question = Question("inversion", network.card.name, pixels, "invert", {"prior": "decoder", **parameters})
    run = engine.submit(question.begin(engine.networks))
    engine.run_until(lambda: run.over)
    return run


def small(layer: str = "0") -> Network:
    """Of 1x4x4 images, with a decoder for what its layer 0 puts out that always gives a picture of 0.75."""
    found = network_of(
        "small", nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3)), (1, 4, 4), layers={"0": (2, 2, 2)}
    )
    decoder = Decoder(About(layer, (2, 2, 2), (1, 4, 4), (2, 2), "Made by a test.")).eval().requires_grad_(False)
    decoder.last.weight.zero_()
    assert decoder.last.bias is not None
    decoder.last.bias.fill_(np.log(3))
    return replace(found, card=replace(found.card, decoders=(layer,)), decoders={layer: decoder})


# ── asked ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_picture_is_the_decoder_s_and_no_gradient_is_asked() -> None:
    run = inverted(small(), np.full((4, 4, 1), 90, np.uint8), layer="0")
    np.testing.assert_allclose(run.result["image"], 0.75, atol=1e-6)
    assert (run.result["picture"] == 191).all()
    assert run.result["pixel_error"] == pytest.approx(((191 - 90) / 90) ** 2, rel=1e-5)
    assert run.cost.gradient_rows == 0
    assert "objective" not in run.result


def test_a_layer_without_one_is_told_which_have_one() -> None:
    other = replace(small(), card=replace(small().card, layers={"0": (2, 2, 2), "2": (3,)}))
    with pytest.raises(BadParameter, match=r"no decoder for '2': it has one for 0") as refused:
        inverted(other, np.zeros((4, 4, 1), np.uint8), layer="2")
    assert refused.value.errors[0].pointer == "/parameters/layer"
    none = replace(small(), card=replace(small().card, decoders=()))
    with pytest.raises(BadParameter, match="it has none for any layer"):
        inverted(none, np.zeros((4, 4, 1), np.uint8), layer="0")


def test_without_a_layer_it_is_of_the_last_that_has_height_and_width() -> None:
    assert "image" in inverted(small(), np.full((4, 4, 1), 90, np.uint8)).result


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"representation": "hog"}, "A decoder is of a layer"),
        ({"prior": "dictionary", "representation": "dsift"}, "The dictionary is of hog"),
        ({"prior": "dictionary"}, "The dictionary is of hog"),
    ],
)
def test_a_prior_of_another_representation_is_refused(asked: dict[str, str], said: str) -> None:
    with pytest.raises(BadParameter, match=said):
        inverted(small(), np.zeros((4, 4, 1), np.uint8), **asked)


# ── what it is ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("code", [(5,), (5, 1, 1), (5, 7, 7)])
@pytest.mark.parametrize("image", [(1, 32, 32), (3, 30, 44)])
def test_a_code_of_any_shape_gives_a_picture_of_the_image_s(code: tuple[int, ...], image: tuple[int, int, int]) -> None:
    decoder = Decoder(About("layer", code, image, (4, 3, 2), "Made by a test."))
    picture = decoder.picture(torch.randn(code, generator=torch.Generator().manual_seed(0)))
    assert picture.shape == image
    assert 0 < picture.min() < picture.max() < 1


def test_it_comes_back_from_its_bytes_in_half_precision() -> None:
    decoder = Decoder(About("layer", (5, 2, 2), (1, 4, 4), (3, 2), "Made by a test."))
    decoder.standardize(torch.randn(9, 5, 2, 2) * 3 + 1)
    again = Decoder.from_bytes(decoder.to_bytes())
    assert again.about == decoder.about
    for name, tensor in decoder.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor.half().float()), name


@pytest.mark.parametrize("data", [b"", b"not at all", safetensors.torch.save({"a": torch.zeros(1)}, {"decoder": "{}"})])
def test_what_is_no_decoder_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable, match="no decoder's file"):
        Decoder.from_bytes(data)


def test_training_lowers_the_error_and_is_seeded() -> None:
    x = torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(0)) > 0.5
    kind = training.Kind("layer", (8, 8), torch.zeros(1), "Made by a test.")

    def pooled(shown: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(shown, 2)

    before = torch.get_rng_state()
    once, errors = training._trained(pooled, kind, x.float(), x[:8].float(), 0, epochs=8, batch=8)
    again, _ = training._trained(pooled, kind, x.float(), x[:8].float(), 0, epochs=8, batch=8)
    assert errors["pixel error"] < 0.45  # of the best grey picture it is 0.5
    assert once.to_bytes() == again.to_bytes()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_layer_that_there_is_not_is_named() -> None:
    with pytest.raises(NotFound, match="no layer 'c7'"):
        training.of_digits(from_recipe.house()["lenet5-digits"][1].network(), "c7")
    with pytest.raises(BadParameter, match="none for 'c7'"):
        from_recipe.train_decoder("lenet5-digits", "c7")
    with pytest.raises(BadParameter, match="has no decoder"):
        from_recipe.train_decoder("dam-digits", "0")


# ── where it comes from ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("name", "layer", "path"), COMMITTED, ids=lambda value: str(value))
def test_committed_ones_have_their_digest_and_are_small(name: str, layer: str, path: Path) -> None:
    assert from_recipe.beside(path).read_text().split() == [digest(path), path.name]
    assert path.stat().st_size < 2**20
    assert Decoder.from_bytes(path.read_bytes()).about.layer == layer


def test_the_archive_has_those_of_its_recipe(lenet: Network) -> None:
    recipe = from_recipe.house()["lenet5-digits"][1]
    assert list(lenet.decoders) == list(lenet.card.decoders) == list(recipe.decoders)


def test_one_of_another_network_or_layer_is_refused(lenet_archive: Path) -> None:  # noqa: F811
    layer, other = read_card(lenet_archive).decoders[:2]
    load_network(lenet_archive)
    with pytest.raises(Unreadable, match=f"holds no {member(layer)}"):
        load_network(rewritten(lenet_archive, {member(layer): None}))
    decoders = {path_layer: path.read_bytes() for _, path_layer, path in COMMITTED if path_layer in (layer, other)}
    with pytest.raises(Unreadable, match=f"is for {other}"):
        load_network(rewritten(lenet_archive, {member(layer): decoders[other]}))
    strange = Decoder(About(layer, (1,), (1, 2, 2), (2, 2), "Made by a test.")).to_bytes()
    with pytest.raises(Unreadable, match="of another network"):
        load_network(rewritten(lenet_archive, {member(layer): strange}))


def test_a_card_of_before_there_were_decoders_has_none(lenet_archive: Path) -> None:  # noqa: F811
    text = read_card(lenet_archive).to_json()
    older = text[: text.index(',\n "decoders"')] + "\n}"
    assert read_card(rewritten(lenet_archive, {"card.json": older.encode()})).decoders == ()


@pytest.mark.parametrize("layer", ["s4", "c5"])
def test_on_digits_that_it_never_saw_it_is_near(layer: str, lenet: Network, digits: tuple[Array, Array]) -> None:
    """The median of ten: nearer to the digit than a tenth of what black is, and its code nearer still."""
    found = [inverted(lenet, image.transpose(1, 2, 0), layer=layer).result for image in digits[0][:10]]
    assert np.median([one["pixel_error"] for one in found]) < 0.1
    assert np.median([one["feature_error"] for one in found]) < 0.05
    assert np.mean([one["reached"]["index"] == one["prediction"]["index"] for one in found]) > 0.8
