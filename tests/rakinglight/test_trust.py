"""Figures as a caller asks for them: all at once, in part, and what is refused before a row is spent."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rakinglight.catalogue import OPERATIONS
from rakinglight.engine import Engine, Run
from rakinglight.errors import BadParameter
from rakinglight.network import Network
from rakinglight.queries import Progress
from rakinglight.question import Question
from rakinglight.run import Cost
from rakinglight.trust import BOXED, FIGURES

Digits = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
BOX = [[4, 4, 28, 28]]
NAMES = [(name, method.name) for name in ("saliency", "occlusion") for method in OPERATIONS[name].methods]


def asked(network: Network, pixels: Any, method: str, operation: str = "saliency", **more: Any) -> Run[dict[str, Any]]:
    name, news = network.card.name, more.pop("news", [])
    engine, settings = Engine([network]), {k: more.pop(k) for k in ("seed", "max_rows") if k in more}
    run = Question(operation, name, pixels, method, more, **settings).begin(engine.networks, news.append)
    engine.submit(run)
    engine.run_until(lambda: run.over)
    return run


@pytest.fixture
def digit(digits: Digits) -> np.ndarray[Any, Any]:
    """uint8 [32, 32, 1]."""
    return np.ascontiguousarray(digits[0][0].transpose(1, 2, 0))


def test_all_figures_of_a_map(lenet: Network, digit: np.ndarray[Any, Any]) -> None:
    run = asked(lenet, digit, "gradient", evaluate=FIGURES, boxes=BOX)
    found = run.result["evaluation"]
    assert list(found) == list(FIGURES)
    assert found["deletion"]["curve"].shape == found["insertion"]["curve"].shape == (33,)
    assert found["deletion"]["area"] < found["insertion"]["area"]
    assert found["infidelity"]["value"] < found["infidelity"]["empty_map"]
    assert 0 < found["max_sensitivity"]["value"] < 1
    assert found["randomization"]["rank_correlation"][0] < 0.75
    assert found["localization"]["value"] > found["localization"]["area"]
    assert found["pointing_game"]["hit"]
    # The image and the map; two curves; noise and the image without it; near by; other networks.
    assert (run.cost.forward_rows, run.cost.gradient_rows) == (1 + 33 + 33 + 129, 1 + 10 + 5)


@pytest.mark.parametrize(("operation", "method"), NAMES, ids=[method for _, method in NAMES])
def test_every_method_has_a_map_that_can_be_localized(
    lenet: Network, digit: np.ndarray[Any, Any], operation: str, method: str
) -> None:
    run = asked(lenet, digit, method, operation, evaluate=["localization", "pointing_game"], boxes=BOX)
    assert set(run.result["evaluation"]) == set(BOXED)


def test_figures_have_draws_of_their_own(lenet: Network, digit: np.ndarray[Any, Any]) -> None:
    """The same for the same seed, whatever else is asked; and the map is what it is without them."""
    alone = asked(lenet, digit, "smoothgrad", n_samples=4, seed=3)
    together = asked(lenet, digit, "smoothgrad", n_samples=4, seed=3, evaluate=["max_sensitivity", "infidelity"])
    one = asked(lenet, digit, "smoothgrad", n_samples=4, seed=3, evaluate=["infidelity"])
    other = asked(lenet, digit, "smoothgrad", n_samples=4, seed=4, evaluate=["infidelity"])
    assert (alone.result["map"] == together.result["map"]).all()
    value = one.result["evaluation"]["infidelity"]["value"]
    assert together.result["evaluation"]["infidelity"]["value"] == value
    assert other.result["evaluation"]["infidelity"]["value"] != value


def test_told_to_stop_it_has_the_figures_that_are_complete(lenet: Network, digit: np.ndarray[Any, Any]) -> None:
    run = asked(lenet, digit, "gradient", evaluate=["deletion", "infidelity", "insertion"], max_rows=50)
    assert run.result["partial"]
    assert list(run.result["evaluation"]) == ["deletion"]


def test_told_to_stop_in_the_first_it_has_the_map(lenet: Network, digit: np.ndarray[Any, Any]) -> None:
    run = asked(lenet, digit, "smoothgrad", evaluate=["max_sensitivity"], max_rows=60)
    assert run.result["partial"]
    assert run.result["evaluation"] == {}
    assert run.result["map"].shape == (32, 32)


def test_figures_are_what_progress_counts(lenet: Network, digit: np.ndarray[Any, Any]) -> None:
    news: list[Any] = []
    asked(lenet, digit, "gradient", evaluate=["deletion", "max_sensitivity"], news=news)
    seen = [(n.step, n.of) for n in news if isinstance(n, Progress)]
    assert seen == sorted(seen)
    assert set(seen) == {(0, 2), (1, 2), (2, 2)}


# ── what is refused ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("method", "parameters", "pointer", "words"),
    [
        pytest.param("grad_cam", {"evaluate": ["infidelity"]}, "evaluate", "grad_cam has none", id="no signed map"),
        pytest.param("vargrad", {"evaluate": ["infidelity"]}, "evaluate", "such as gradient", id="no slope"),
        pytest.param(
            "gradient", {"evaluate": ["localization"]}, "boxes", "localization must know where", id="no boxes"
        ),
        pytest.param("gradient", {"evaluate": list(BOXED)}, "boxes", "must know where", id="no boxes for either"),
        pytest.param("gradient", {"boxes": [[4, 4, 4, 9]]}, "boxes", r"\[4, 4, 4, 9\] is empty", id="empty box"),
        pytest.param("gradient", {"boxes": [[9, 4, 4, 9]]}, "boxes", "is empty", id="box upside down"),
        pytest.param("gradient", {"boxes": [[4, 4, 9]]}, "boxes", "boxes is", id="three numbers"),
        pytest.param("gradient", {"evaluate": ["delection"]}, "evaluate", "deletion", id="no such figure"),
    ],
)
def test_bad_parameters_are_refused_at_the_door(
    lenet: Network, digit: np.ndarray[Any, Any], method: str, parameters: dict[str, Any], pointer: str, words: str
) -> None:
    with pytest.raises(BadParameter, match=words) as refused:
        OPERATIONS["saliency"].check(OPERATIONS["saliency"].method(method), parameters, lenet.card, images=1)
    assert [e.pointer for e in refused.value.errors] == [f"/parameters/{pointer}"]


@pytest.mark.parametrize("method", ["sliding", "rise"])
def test_no_occlusion_has_infidelity(lenet: Network, method: str) -> None:
    occlusion = OPERATIONS["occlusion"]
    with pytest.raises(BadParameter, match=f"{method} has none"):
        occlusion.check(occlusion.method(method), {"evaluate": ["infidelity"]}, lenet.card, images=1)


def test_an_onnx_file_has_no_weights_to_make_random(lenet: Network) -> None:
    occlusion, card = OPERATIONS["occlusion"], replace(lenet.card, differentiable=False)
    with pytest.raises(BadParameter, match="came as an ONNX file"):
        occlusion.check(occlusion.method("rise"), {"evaluate": ["randomization"]}, card, images=1)


def test_a_box_beyond_the_image_costs_no_row(lenet: Network, digit: np.ndarray[Any, Any]) -> None:
    run = asked(lenet, digit, "gradient", evaluate=["localization"], boxes=[[0, 0, 40, 40]])
    with pytest.raises(BadParameter, match="beyond the image, which is 32 pixels high"):
        run.result  # noqa: B018
    assert run.cost == Cost()
