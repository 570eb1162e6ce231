"""Robustness behind a defence: against who does not know of it and who does, beside the model without.

Played on an Abacus, four classes of a 2x3 image with logits W x, and on LeNet-5's digits.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from rakinglight import catalogue, charts, tables
from rakinglight.engine import Engine
from rakinglight.errors import BadParameter
from rakinglight.network import Network
from rakinglight.operations.robustness import LINES
from rakinglight.queries import Progress
from rakinglight.question import Question
from rakinglight.results import answers
from rakinglight.run import Run
from rakinglight.states import to_arrays
from tests.networks import abacus_network

PHOTOGRAPH = np.random.default_rng(5).integers(0, 256, (13, 10, 1), dtype=np.uint8)  # of another size than the model's
NETWORK = abacus_network((1, 2, 4, 10))
ROBUSTNESS = catalogue.operation("robustness")
FIRST = {"rank": 1}
EIGHT_LEVELS: dict[str, Any] = {"labels": FIRST, "norm": "l2", "methods": ["deepfool"], "defense": "bit_depth"}


def asked(
    operation: str = "robustness",
    pixels: np.ndarray[Any, Any] = PHOTOGRAPH,
    network: Network = NETWORK,
    **parameters: Any,
) -> Run[dict[str, Any]]:
    method, max_rows = parameters.pop("method", None), parameters.pop("max_rows", None)
    question = Question(operation, network.card.name, pixels, method, parameters, max_rows=max_rows)
    engine = Engine([network])
    run = engine.submit(question.begin(engine.networks))
    engine.run_until(lambda: run.over)
    return run


def robust(result: dict[str, Any]) -> dict[str, list[bool]]:
    """By line, and of the whole as `all`: whether the model is right, by epsilon."""
    lines = {line["name"]: line["epsilons"] for line in result["lines"]}
    return {name: [row["robust"] for row in rows] for name, rows in {**lines, "all": result["epsilons"]}.items()}


# ── one image ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_defence_that_only_masks_gradients_looks_good_to_who_does_not_know_of_it_and_not_to_who_does() -> None:
    border = asked("attack", method="deepfool", norm="l2", label=FIRST).result["distance"]["l2"]
    found = robust(asked(**EIGHT_LEVELS, epsilons=[border / 2, border + 0.01, 8], checks=False).result)
    assert found["undefended"] == [True, False, False]
    assert found["oblivious"] == [True, True, True]  # what is only just over the border, eight levels take back
    assert found["adaptive"] == [True, True, False]
    assert found["all"] == found["adaptive"]


@pytest.mark.parametrize("method", ["pgd", "deepfool"])
def test_a_defence_that_does_nothing_changes_nothing(method: str) -> None:
    said = {"labels": FIRST, "methods": [method], "epsilons": ["1/255", 0.1, 0.9], "checks": False}
    without = [row["robust"] for row in asked(**said).result["epsilons"]]
    found = robust(asked(**said, defense={"name": "bit_depth", "bits": 8}).result)
    assert without == [True, *without[1:-1], False]
    assert all(found[name] == without for name in ("undefended", "oblivious", "adaptive", "all"))


def test_rounding_alone_is_the_control_that_is_not_repaired() -> None:
    found = asked(**EIGHT_LEVELS, epsilons=[8], checks=False).result
    floats = asked("attack", method="deepfool", norm="l2", label=FIRST).result["exact"]["image"]
    rounded = np.rint(floats.transpose(1, 2, 0) * 255).astype(np.uint8)
    says = asked("classify", rounded).result["prediction"]["index"]
    assert robust(found)["rounded"] == [says == found["label"]["index"]]


@pytest.mark.parametrize("adaptive", [False, True])
def test_each_attacker_breaks_what_attack_breaks_by_the_same_method(adaptive: bool) -> None:
    for epsilon in (0.05, 0.2, 0.5):
        said: dict[str, Any] = {"defense": "median_blur", "norm": "linf"}
        parameters: dict[str, Any] = {"steps": 5, "random_start": True}
        # Who knows of the defence sees when the image is broken, and stops there; who does not goes on to the end.
        how = {"adaptive": adaptive, "early_stop": adaptive, **parameters}
        attack = asked("attack", method="pgd", epsilon=epsilon, label=FIRST, **how, **said)
        methods = [{"method": "pgd", "parameters": parameters}]
        found = asked(labels=FIRST, methods=methods, epsilons=[epsilon], checks=False, **said).result
        line = "adaptive" if adaptive else "oblivious"
        assert robust(found)[line] == [not attack.result["success"]]


def test_an_image_is_broken_where_either_attacker_breaks_it() -> None:
    useless = {"method": "pgd", "parameters": {"step_size": 1e-6, "steps": 1}}
    found = robust(asked(labels=FIRST, methods=[useless, "fgsm"], epsilons=[0.5], defense="jpeg", checks=False).result)
    assert found["all"] == [found["oblivious"][0] and found["adaptive"][0]]


def test_without_a_defence_there_are_no_lines() -> None:
    assert "lines" not in asked(labels=FIRST, methods=["fgsm"], epsilons=[0.5], checks=False).result


def test_a_model_that_is_wrong_without_the_defence_may_be_right_behind_it() -> None:
    """Two levels alone: the network sees another picture, and says another thing."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        pixels = rng.integers(0, 256, (2, 3, 1), dtype=np.uint8)
        two = {"name": "bit_depth", "bits": 1}
        behind, plain = (
            asked("classify", pixels, **said).result["prediction"]["index"] for said in ({"defense": [two]}, {})
        )
        if behind != plain:
            break
    found = asked(pixels=pixels, labels=behind, methods=["fgsm"], epsilons=["2/255"], defense=two, checks=False).result
    assert found["correct"]
    assert found["prediction"]["index"] == behind
    assert {line["name"]: line["correct"] for line in found["lines"]} == {
        "undefended": False,
        "rounded": False,
        "oblivious": True,
        "adaptive": True,
    }
    assert robust(found)["undefended"] == [False]


def test_a_random_defence_is_judged_by_draws_that_chose_nothing() -> None:
    dropped = {"name": "tv_minimization", "drop": 0.3}
    run = asked(labels=FIRST, methods=["fgsm"], epsilons=[0.9], defense=dropped, draws=3, checks=False)
    alone = 1 + 20  # the untouched image, without and behind
    tried = 2 * 20 + 20  # of each attacker's picture, and once more of that which knew
    assert run.cost.rows >= alone + tried
    assert [line["name"] for line in run.result["lines"]] == list(LINES)


def test_checks_are_made_of_the_defended_model() -> None:
    """Behind one level of grey nothing changes: gradients come straight through, and lead nowhere."""
    found = asked(**{**EIGHT_LEVELS, "methods": ["fgsm"], "norm": "linf"}, epsilons=["1/255"]).result
    without = asked(labels=FIRST, methods=["fgsm"], epsilons=["1/255"]).result
    assert found["checks"].keys() == without["checks"].keys()
    assert found["checks"] != without["checks"]


# ── a method without a ball ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_method_without_a_ball_is_asked_though_no_other_picture_is_in_the_smallest_ball() -> None:
    found = asked(labels=FIRST, methods=["deepfool"], epsilons=[0, 0.9], checks=False).result
    assert [row["robust"] for row in found["epsilons"]] == [True, False]


# ── cut off, and gone on with ───────────────────────────────────────────────────────────────────────────────────────


def kept(
    question: Question, saved: Mapping[str, Any] | None = None
) -> tuple[Run[dict[str, Any]], list[dict[str, Any]]]:
    """The run of `question`, at its end, and what it could have gone on from."""
    engine, states = Engine([NETWORK, abacus_network((1, 2, 4, 10), name="other")]), list[dict[str, Any]]()

    def notify(news: Any) -> None:
        if isinstance(news, Progress) and news.state is not None:
            states.append({"state": to_arrays(news.state), "cost": asdict(run.cost)})

    run = engine.submit(replace(question, saved=saved).begin(engine.networks, notify))
    engine.run_until(lambda: run.over)
    return run, states


def test_from_any_state_it_comes_to_the_same_at_the_same_cost() -> None:
    parameters = {
        "labels": FIRST,
        "methods": [{"method": "pgd", "parameters": {"steps": 4}}, "deepfool"],
        "epsilons": ["3/255", 0.9],
        "defense": ["median_blur", "bit_depth"],
        "models": ["other"],
        "checks": False,
    }
    question = Question("robustness", "abacus", PHOTOGRAPH, None, parameters, seed=3)
    alone, states = kept(question)
    for phase in ("attack", "matrix"):
        assert any(phase in state["state"] for state in states)
    for saved in states[:: len(states) // 10]:
        again, _ = kept(question, saved)
        assert again.result == alone.result
        assert again.cost == alone.cost


def test_out_of_rows_it_tells_what_is_broken_by_then() -> None:
    cut = asked(labels=FIRST, methods=["fgsm"], epsilons=[0.9], defense="jpeg", max_rows=8)
    assert cut.result["partial"]
    assert (robust(cut.result)["all"], robust(cut.result)["adaptive"]) == ([False], [True])
    lines = {line["name"]: line["epsilons"][0]["tried"] for line in cut.result["lines"]}
    assert lines == {"undefended": True, "rounded": True, "oblivious": True, "adaptive": False}


# ── over all images ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_summary_has_each_line_and_so_have_the_table_and_the_chart() -> None:
    said = {**EIGHT_LEVELS, "epsilons": [0.5, 8], "checks": False}
    entries = [asked(**said).result, asked(**{**said, "labels": {"rank": 2}}).result]
    parameters, _ = ROBUSTNESS.check(None, said, NETWORK.card, images=1)
    summary = ROBUSTNESS.summarize(entries, parameters)
    assert [line["name"] for line in summary["lines"]] == list(LINES)
    for i, line in enumerate(summary["lines"]):
        assert line["clean"]["top1"]["value"] == 0.5
        for j, at in enumerate(line["accuracy"]):
            assert at["top1"]["count"] == sum(entry["lines"][i]["epsilons"][j]["robust"] for entry in entries)
    first, _ = answers({"operation": "robustness", "results": entries, "summary": summary})
    assert first.lines["adaptive"][0.0].value == 0.5
    assert first.lines["adaptive"][8].value == first.accuracy[8].value == 0.0
    drawn = tables.summarized("robustness", summary)[1]
    assert [column.header for column in drawn.columns] == ["epsilon", *LINES]
    assert [next(iter(column.cells)) for column in drawn.columns] == ["clean", *["50.0% (9.5% to 90.5%)"] * 4]
    chart = {tuple(pixel) for pixel in np.asarray(charts.accuracy(summary)).reshape(-1, 3).tolist()}
    assert {curve.colour for curve in charts.LINES.values()} <= chart


@pytest.mark.parametrize(
    ("parameters", "pointer", "teaches"),
    [
        ({"defense": "jpg"}, "/parameters/defense", "jpeg"),
        ({"defense": {"name": "jpeg", "quality": 0}}, "/parameters/defense", "quality"),
        ({"defense": "crop_rescale", "draws": 0}, "/parameters/draws", "draws is 0"),
        ({"adaptive": True}, "/parameters/adaptive", "no parameter"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_remedy(parameters: dict[str, Any], pointer: str, teaches: str) -> None:
    with pytest.raises(BadParameter) as refused:
        ROBUSTNESS.check(None, {"labels": 0, **parameters}, NETWORK.card, images=1)
    assert [error.pointer for error in refused.value.errors] == [pointer]
    assert teaches in refused.value.detail
