"""A detector of adversarial images: what is said of an image, and what becomes of an attack's success."""

from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

from benchmarks.detector import guarded
from model_store.from_recipe import filled, find
from rakinglight.archives import DETECTOR, load_network, read_card
from rakinglight.card import Card
from rakinglight.description import describe
from rakinglight.detector import About, Detector
from rakinglight.engine import Engine, Run
from rakinglight.errors import BadParameter, Unreadable
from rakinglight.network import Network
from rakinglight.question import Question
from rakinglight.results import answers
from rakinglight.tables import answered
from tests.networks import network_of, with_detector
from tests.rakinglight.test_archives import lenet_archive, rewritten  # noqa: F401

Array = np.ndarray[Any, Any]

#: Of a 1x4x4 image, as grey levels: dark, but for five bright pixels.
PIXELS = np.full((4, 4, 1), 20, np.uint8)
PIXELS[0], PIXELS[1, 0] = 255, 255


def linear(limit: float = 0.5, layer: str = "0") -> Network:
    """Four classes of a 1x4x4 image. Its layer 0 puts out each pixel doubled, and the detector counts these above 1."""
    module = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Flatten(), nn.Linear(16, 4))
    found = network_of("linear", module, (1, 4, 4), layers={"0": (1, 4, 4)})
    with torch.no_grad():
        convolution = module[0]
        assert isinstance(convolution, nn.Conv2d)
        convolution.weight.fill_(2)
        assert convolution.bias is not None
        convolution.bias.zero_()
    return with_detector(found, layer, limit)


def asked(
    network: Network,
    operation: str,
    pixels: Array = PIXELS,
    method: str | None = None,
    rows: int | None = None,
    **p: Any,
) -> Run[dict[str, Any]]:
    engine = Engine([network])
    question = Question(operation, network.card.name, pixels, method, p, max_rows=rows)
    run = engine.submit(question.begin(engine.networks))
    engine.run_until(lambda: run.over)
    return run


def verdict(network: Network, pixels: Array = PIXELS, **parameters: Any) -> dict[str, Any]:
    found: dict[str, Any] = asked(network, "classify", pixels, detector=True, **parameters).result["detector"]
    return found


# ── classify ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_score_is_the_machine_s_of_the_layer_that_it_listens_to() -> None:
    found = verdict(linear())
    assert found == {"rejected": False, "score": pytest.approx(2**-5), "threshold": 0.5, "false_positive_rate": 0.25}
    assert verdict(linear(), np.zeros_like(PIXELS))["score"] == 1


def test_a_score_is_rejected_above_the_threshold_and_not_at_it() -> None:
    at = verdict(linear())["score"]
    assert not verdict(linear(at))["rejected"]
    assert verdict(linear(float(np.nextafter(np.float32(at), np.float32(0)))))["rejected"]


def test_it_is_asked_apart_and_the_prediction_does_not_depend_on_it() -> None:
    without, with_it = (asked(linear(), "classify", layers=["0"], detector=detector) for detector in (False, True))
    assert with_it.cost.rows == without.cost.rows + 1
    assert "detector" not in without.result
    assert with_it.result["prediction"] == without.result["prediction"]


def test_it_hears_the_image_that_a_defence_leaves() -> None:
    single = np.zeros_like(PIXELS)
    single[2, 2] = 255
    assert verdict(linear(), single)["score"] == pytest.approx(2**-1)
    assert verdict(linear(), single, defense="median_blur")["score"] == 1


# ── attack ──────────────────────────────────────────────────────────────────────────────────────────────────────────

attacks = pytest.mark.parametrize(
    ("method", "parameters"),
    [("fgsm", {"epsilon": 0.5}), ("pgd", {"epsilon": 0.5, "early_stop": True}), ("deepfool", {})],
)


@attacks
def test_an_attack_is_the_same_and_succeeds_only_with_what_is_let_pass(method: str, parameters: dict[str, Any]) -> None:
    without = asked(linear(), "attack", method=method, **parameters).result
    passed = asked(linear(inf), "attack", method=method, detector=True, **parameters).result
    rejected = asked(linear(-inf), "attack", method=method, detector=True, **parameters).result
    assert without["success"]
    assert "rejected" not in without
    assert (passed["success"], passed["rejected"]) == (True, False)
    assert (rejected["success"], rejected["rejected"]) == (False, True)
    assert (rejected["exact"]["success"], rejected["exact"]["rejected"]) == (False, True)
    for found in (passed, rejected):
        np.testing.assert_array_equal(found["adversarial"], without["adversarial"])
        np.testing.assert_array_equal(found["exact"]["image"], without["exact"]["image"])
        assert found["after"] == without["after"]


def test_rejected_is_what_classify_says_of_the_png_and_of_the_floats() -> None:
    dark = np.full_like(PIXELS, 110)
    plain = asked(linear(), "attack", dark, "pgd", epsilon=0.2, detector=True).result
    at = verdict(linear(), plain["adversarial"])["score"]
    assert 0 < at < 1
    for limit in (at / 1.5, at * 1.5):
        found = asked(linear(limit), "attack", dark, "pgd", epsilon=0.2, detector=True).result
        assert found["rejected"] == verdict(linear(limit), found["adversarial"])["rejected"] == (limit < at)
        assert found["exact"]["rejected"] == verdict(linear(limit), found["exact"]["image"])["rejected"]


def test_what_fools_nobody_is_judged_without_a_success() -> None:
    found = asked(linear(-inf), "attack", method="most_likely", epsilon=0.1, detector=True).result
    assert found["rejected"]
    assert "success" not in found


def test_auto_broke_nothing_where_its_picture_is_rejected() -> None:
    few = {"epsilon": 0.5, "steps": 4, "queries": 5}
    assert asked(linear(inf), "attack", method="auto", detector=True, **few).result["broken_by"]
    assert asked(linear(-inf), "attack", method="auto", detector=True, **few).result["broken_by"] is None


@pytest.mark.parametrize("rows", range(9, 24, 2))
def test_out_of_rows_the_detector_is_still_asked(rows: int) -> None:
    run = asked(linear(-inf), "attack", PIXELS, "pgd", rows, steps=100, detector=True, defense="median_blur")
    assert run.cost.rows <= rows
    assert run.result["partial"]
    assert run.result["rejected"]


# ── what is refused ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("operation", ["classify", "attack"])
def test_a_detector_that_the_model_lacks_is_a_422_that_teaches(operation: str) -> None:
    bare = replace(linear(), detector=None)
    bare = replace(bare, card=replace(bare.card, detector=None))
    with pytest.raises(BadParameter, match="linear has no detector of adversarial images: leave detector out") as e:
        asked(bare, operation, detector=True)
    assert [each.pointer for each in e.value.errors] == ["/parameters/detector"]
    assert "detector" not in asked(bare, operation, detector=False).result


def test_behind_a_random_defence_there_is_none() -> None:
    with pytest.raises(BadParameter, match="leave one of the two out"):
        verdict(linear(), defense=["jpeg", {"name": "crop_rescale", "side": 0.9}])


@pytest.mark.parametrize("said", ["yes", 1, None])
def test_it_is_asked_by_a_truth_value(said: Any) -> None:
    with pytest.raises(BadParameter, match="detector is"):
        asked(linear(), "classify", detector=said)


# ── where it comes from ─────────────────────────────────────────────────────────────────────────────────────────────


def test_the_card_and_the_description_tell_of_it(lenet: Network) -> None:
    assert lenet.detector is not None
    assert lenet.card.detector == lenet.detector.about.false_positive_rate == 0.052
    assert describe(lenet.card)["detector"] == {"false_positive_rate": 0.052}
    assert describe(replace(lenet.card, detector=None))["detector"] is None
    assert Card.from_json(lenet.card.to_json()).detector == 0.052


def test_a_card_of_before_there_were_detectors_has_none(lenet_archive: Path) -> None:  # noqa: F811
    card = read_card(lenet_archive).to_json().replace('"detector": 0.052', '"tells_logits": true')
    older = rewritten(lenet_archive, {"card.json": card.encode()})
    assert read_card(older).detector is None
    assert load_network(older).detector is None


def test_a_detector_that_is_not_the_card_s_is_refused(lenet_archive: Path) -> None:  # noqa: F811
    with ZipFile(lenet_archive) as archive:
        found = Detector.from_bytes(archive.read(DETECTOR))
    with pytest.raises(Unreadable, match=f"holds no {DETECTOR}"):
        load_network(rewritten(lenet_archive, {DETECTOR: None}))
    found.about = replace(found.about, false_positive_rate=0.5)
    with pytest.raises(Unreadable, match="not the one that its card speaks of"):
        load_network(rewritten(lenet_archive, {DETECTOR: found.to_bytes()}))
    found.about = replace(found.about, layers=("s4", "c9"))
    with pytest.raises(Unreadable, match="listens to s4 and c9"):
        load_network(rewritten(lenet_archive, {DETECTOR: found.to_bytes()}))


def test_a_detector_of_another_size_does_not_fit() -> None:
    network = linear()
    assert network.detector is not None
    about = About(("0",), 0.25, "")
    tensors = network.detector.state_dict()
    narrow = {name: tensor[..., :3] if tensor.ndim == 2 else tensor for name, tensor in tensors.items()}
    with pytest.raises(Unreadable, match="of another network"):
        Detector(about, narrow).fitting(network.card)


# ── on digits ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_pgd_is_rejected_unless_it_includes_the_detector(lenet: Network, digits: tuple[Array, Array]) -> None:
    """On both as one network of eleven classes, the last of which is the largest where the detector rejects."""
    ((file, recipe),) = find("lenet5-digits")
    module = filled(recipe, (file.parent / str(recipe.weights)).resolve())
    both = guarded(lenet, module)
    x = digits[0][:6].transpose(0, 2, 3, 1)
    strong = {"epsilon": 0.2, "steps": 20, "step_size": 0.02}
    came_through = 0
    for pixels in x:
        said = asked(lenet, "classify", pixels, top_k=2).result["predictions"]
        unaware = asked(lenet, "attack", pixels, "pgd", detector=True, **strong).result
        assert unaware["after"]["index"] != said[0]["index"]
        assert (unaware["rejected"], unaware["success"]) == (True, False)
        assert asked(both, "classify", unaware["adversarial"]).result["prediction"]["label"] == "rejected"
        aware = asked(both, "attack", pixels, "pgd", target=said[1]["index"], **strong).result
        again = asked(lenet, "classify", aware["adversarial"], detector=True).result
        assert aware["success"] == (
            again["prediction"]["index"] == said[1]["index"] and not again["detector"]["rejected"]
        )
        came_through += aware["success"]
    assert came_through >= 4


# ── what a person sees ──────────────────────────────────────────────────────────────────────────────────────────────


def test_tables_and_answers_tell_of_it() -> None:
    network, console = linear(-inf), Console(width=160)
    model = {"name": "linear"}
    said = asked(network, "classify", detector=True).result
    classified = answers({"model": model, "operation": "classify", "results": [said]})
    attacked = asked(network, "attack", method="fgsm", epsilon=0.5, detector=True).result | {"queries": 5}
    attack = answers({"model": model, "operation": "attack", "results": [attacked]})
    assert classified[0].detector.rejected
    assert (attack[0].rejected, attack[0].success) == (True, False)
    with console.capture() as shown:
        console.print(answered("classify", ["one.png"], classified))
        console.print(answered("attack", ["one.png"], attack))
    head, first, *_ = shown.get().splitlines()
    assert head.endswith("detector")
    assert first.endswith("rejected")
    assert "no success, rejected" in shown.get()
