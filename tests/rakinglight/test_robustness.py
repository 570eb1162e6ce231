"""Robustness: played on an Abacus, four classes of a 2x3 image with logits W x, and on LeNet-5's digits."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from rakinglight import catalogue, charts, tables
from rakinglight.card import Card
from rakinglight.engine import Engine
from rakinglight.errors import BadParameter
from rakinglight.network import Network
from rakinglight.operations.robustness import UPPER_BOUND
from rakinglight.queries import Progress
from rakinglight.question import Question
from rakinglight.results import answers
from rakinglight.run import Cost, Run
from rakinglight.states import to_arrays
from tests.networks import abacus_network, abacus_of

GREY = np.full((2, 3, 1), 128, dtype=np.uint8)
PHOTOGRAPH = np.random.default_rng(1).integers(0, 256, (13, 10, 1), dtype=np.uint8)  # of another size than the model's
NETWORK = abacus_network((1, 2, 4))
#: What an Abacus says of GREY, in its order.
ORDER = (abacus_of(NETWORK).W.sum(1)).argsort(descending=True).tolist()
FIRST, SECOND = ORDER[:2]
ROBUSTNESS = catalogue.operation("robustness")
SMALL_AUTO = {"method": "auto", "parameters": {"steps": 5, "queries": 20, "target_classes": 2}}


def started(pixels: np.ndarray[Any, Any] = GREY, network: Network = NETWORK, **parameters: Any) -> Run[dict[str, Any]]:
    max_rows = parameters.pop("max_rows", None)
    question = Question("robustness", network.card.name, pixels, None, parameters, max_rows=max_rows)
    engine = Engine([network])
    run = engine.submit(question.begin(engine.networks))
    engine.run_until(lambda: run.over)
    return run


def outcome(result: dict[str, Any], member: str = "robust") -> list[Any]:
    return [row[member] for row in result["epsilons"]]


def linf(labels: int) -> float:
    """The distance at which a linear model comes to another class than `labels`, from GREY."""
    W = abacus_of(NETWORK).W
    z = W.sum(1) * 128 / 255
    others = [c for c in range(4) if c != labels]
    return min(float((z[labels] - z[c]) / (W[c] - W[labels]).abs().sum()) for c in others)


# ── one image ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", ["fgsm", "pgd", "apgd", "least_likely", "deepfool", SMALL_AUTO])
@pytest.mark.parametrize("pixels", [GREY, PHOTOGRAPH], ids=["at the model's size", "through a view"])
def test_a_large_epsilon_breaks_it_and_a_tiny_one_does_not(method: Any, pixels: np.ndarray[Any, Any]) -> None:
    run = started(pixels, labels={"rank": 1}, methods=[method], epsilons=["1/255", 0.9], checks=False)
    assert outcome(run.result) == [True, False]
    far = outcome(run.result, "distance")
    assert far[0] is None
    assert 1 / 255 < far[1] <= 0.9


def test_on_a_linear_model_it_is_broken_just_beyond_the_boundary() -> None:
    boundary = linf(FIRST)
    found = started(labels=FIRST, methods=["pgd"], epsilons=[boundary - 1 / 255, boundary + 2 / 255]).result
    assert outcome(found) == [True, False]
    assert outcome(found, "broken_by") == [None, "pgd"]


def test_epsilons_are_told_ascending_each_once() -> None:
    found = started(labels=FIRST, methods=["fgsm"], epsilons=[0.2, "1/255", 0.2], checks=False).result
    assert outcome(found, "epsilon") == [1 / 255, 0.2]


def test_what_is_broken_is_broken_in_every_larger_ball_and_costs_no_rows() -> None:
    alone, more = (
        started(labels=FIRST, methods=["pgd"], epsilons=epsilons, checks=False) for epsilons in ([0.5], [0.5, 0.6, 0.9])
    )
    assert outcome(more.result) == [False] * 3
    assert more.cost == alone.cost


def test_what_one_attack_has_broken_the_next_does_not_attack() -> None:
    alone, both = (
        started(labels=FIRST, methods=methods, epsilons=[0.9], checks=False) for methods in (["fgsm"], ["fgsm", "pgd"])
    )
    assert outcome(both.result, "broken_by") == ["fgsm"]
    assert both.cost == alone.cost


def test_an_attack_that_fails_leaves_the_image_to_the_next() -> None:
    useless = {"method": "pgd", "parameters": {"step_size": 1e-6, "steps": 1}}
    found = started(labels=FIRST, methods=[useless, "deepfool"], epsilons=[0.9], checks=False).result
    assert outcome(found, "broken_by") == ["deepfool"]


def test_a_method_without_a_ball_is_asked_once_and_its_distance_decides() -> None:
    alone = started(labels=FIRST, methods=["deepfool"], epsilons=[0.9], checks=False)
    far = outcome(alone.result, "distance")[0]
    nearer, further = far - 1 / 510, far + 1 / 510
    both = started(labels=FIRST, methods=["deepfool"], epsilons=[nearer, far, further], checks=False)
    assert outcome(both.result) == [True, False, False]
    assert both.cost == alone.cost


def test_auto_tells_which_part_of_it_broke_the_image() -> None:
    found = started(labels=FIRST, methods=[SMALL_AUTO], epsilons=[0.9], checks=False).result
    assert outcome(found, "broken_by") == ["apgd_ce"]


def test_an_image_that_is_misclassified_is_not_attacked_and_counts_as_broken() -> None:
    run = started(labels=SECOND, methods=["pgd"], epsilons=[0.1, 0.9], checks=False)
    assert not run.result["correct"]
    assert outcome(run.result) == [False, False]
    assert outcome(run.result, "broken_by") == [None, None]
    assert run.cost.rows == 1


def test_in_a_ball_without_another_picture_nothing_is_asked() -> None:
    run = started(labels=FIRST, methods=["pgd"], epsilons=[0, 0.9 / 255], checks=False)
    assert outcome(run.result) == [True, True]
    assert run.cost.rows == 1


def test_a_model_without_gradients_is_measured_by_scores_and_nothing_is_tried_beside() -> None:
    blind = abacus_network((1, 2, 4), gradients=False)
    square = {"method": "square", "parameters": {"queries": 50}}
    found = started(network=blind, labels=FIRST, methods=[square], epsilons=[0.9]).result
    assert outcome(found, "broken_by") == ["square"]
    assert found["checks"] == {}


def test_it_is_broken_by_what_attack_finds_with_the_same_seed() -> None:
    parameters = {"steps": 5, "random_start": True}
    engine = Engine([NETWORK])
    question = Question("attack", "abacus", PHOTOGRAPH, "pgd", {**parameters, "epsilon": 0.9})
    attacked = engine.submit(question.begin(engine.networks))
    engine.run_until(lambda: attacked.over)
    method = {"method": "pgd", "parameters": parameters}
    found = started(PHOTOGRAPH, labels={"rank": 1}, methods=[method], epsilons=[0.9], checks=False).result
    assert attacked.result["success"] is not outcome(found)[0]


# ── cut off, and gone on with ───────────────────────────────────────────────────────────────────────────────────────

LONG = Question(
    "robustness",
    "abacus",
    PHOTOGRAPH,
    None,
    {
        "labels": {"rank": 1},
        "methods": [{"method": "pgd", "parameters": {"steps": 4}}, "deepfool", SMALL_AUTO],
        "epsilons": ["1/255", "3/255", 0.9],
    },
    seed=3,
)


def kept(asked: Question, saved: Mapping[str, Any] | None = None) -> tuple[Run[dict[str, Any]], list[dict[str, Any]]]:
    """The run of `asked`, at its end, and what it could have gone on from."""
    engine, states = Engine([abacus_network((1, 2, 4))]), list[dict[str, Any]]()

    def notify(news: Any) -> None:
        if isinstance(news, Progress) and news.state is not None:
            states.append({"state": to_arrays(news.state), "cost": asdict(run.cost)})

    run = engine.submit(replace(asked, saved=saved).begin(engine.networks, notify))
    engine.run_until(lambda: run.over)
    return run, states


def test_from_any_state_it_comes_to_the_same_at_the_same_cost() -> None:
    alone, states = kept(LONG)
    assert outcome(alone.result) == [True, True, False]
    for phase in ("attack", "trials"):
        assert any(phase in state["state"] for state in states)
    for saved in states[:: len(states) // 5]:
        again, _ = kept(LONG, saved)
        assert again.result == alone.result
        assert again.cost == alone.cost


def test_stopped_at_once_it_shows_what_its_state_had() -> None:
    _, states = kept(LONG)
    last = states[-2]
    assert last["state"]["trials"]
    again, _ = kept(replace(LONG, seconds=0.0), last)
    assert again.result["partial"]
    assert outcome(again.result) == [True, True, False]
    assert again.cost == Cost(**last["cost"])


def test_out_of_rows_it_tells_what_is_broken_by_then() -> None:
    whole = started(labels=FIRST, methods=["pgd"], epsilons=[linf(FIRST) / 2, 0.9])
    before_checks = started(labels=FIRST, methods=["pgd"], epsilons=[linf(FIRST) / 2, 0.9], checks=False)
    cut = started(labels=FIRST, methods=["pgd"], epsilons=[linf(FIRST) / 2, 0.9], max_rows=before_checks.cost.rows + 5)
    assert cut.result["partial"]
    assert outcome(cut.result) == outcome(whole.result) == [True, False]
    assert "checks" not in cut.result


def test_where_rows_ran_out_each_epsilon_says_whether_every_attack_was_tried_there() -> None:
    near = [linf(FIRST) / 3, linf(FIRST) / 2]
    whole = started(labels=FIRST, methods=["pgd"], epsilons=near, checks=False)
    assert outcome(whole.result, "tried") == [True, True]
    cut = started(labels=FIRST, methods=["pgd"], epsilons=[*near, 0.9], max_rows=whole.cost.rows - 3)
    assert cut.result["partial"]
    assert outcome(cut.result) == [True, True, True]  # nothing has broken it, and nothing could
    assert outcome(cut.result, "tried") == [True, False, False]
    broken = started(labels=FIRST, methods=["pgd"], epsilons=[*near, 0.9], max_rows=whole.cost.rows + 40)
    assert outcome(broken.result, "tried") == [True, True, True]


def test_rows_that_end_before_anything_is_tried_are_refused() -> None:
    with pytest.raises(BadParameter, match="before there is anything to show"):
        _ = started(labels=FIRST, methods=[SMALL_AUTO], epsilons=[0.9], max_rows=1).result
    wrong = started(labels=SECOND, methods=[SMALL_AUTO], epsilons=[0.9], max_rows=1, checks=False)
    assert outcome(wrong.result, "tried") == [True]  # it is broken without


def test_its_progress_comes_to_its_end() -> None:
    for checks in (True, False):
        engine, told = Engine([NETWORK]), list[tuple[int, int]]()

        def notify(news: Any, told: list[tuple[int, int]] = told) -> None:
            if isinstance(news, Progress):
                told.append((news.step, news.of))

        said = {"labels": FIRST, "methods": ["fgsm"], "epsilons": [0.5, 0.9], "checks": checks}
        run = engine.submit(Question("robustness", "abacus", GREY, None, said).begin(engine.networks, notify))
        engine.run_until(lambda: run.over)  # noqa: B023
        assert told[-1] == (2 + checks, 2 + checks)


# ── the parameters ──────────────────────────────────────────────────────────────────────────────────────────────────


def checked(**parameters: Any) -> dict[str, Any]:
    filled, _ = ROBUSTNESS.check(None, parameters, NETWORK.card, images=2)
    return filled


def test_the_reply_s_parameters_have_every_one_of_each_method_s_own() -> None:
    filled = checked(labels=[0, 1], methods=["fgsm", {"method": "pgd", "parameters": {"steps": 3}}], norm="l2")
    fgsm, pgd = filled["methods"]
    assert fgsm == {"method": "fgsm", "parameters": {}}
    assert pgd["parameters"].items() >= {"steps": 3, "random_start": False}.items()
    assert not pgd["parameters"].keys() & {"norm", "epsilon", "target", "label"}
    assert checked(**filled) == filled


@pytest.mark.parametrize(
    ("parameters", "pointer", "teaches"),
    [
        ({}, "/parameters/labels", "labels is missing"),
        ({"labels": [0]}, "/parameters/labels", "1 values for 2 images"),
        ({"labels": [0, 9]}, "/parameters/labels", "9"),
        ({"labels": 0, "methods": ["pgg"]}, "/parameters/methods/0/method", "pgd"),
        ({"labels": 0, "methods": []}, "/parameters/methods", "one at least"),
        ({"labels": 0, "methods": ["most_likely"]}, "/parameters/methods/0/method", "most_likely"),
        ({"labels": 0, "methods": ["universal"]}, "/parameters/methods/0/method", "attack"),
        (
            {"labels": 0, "methods": ["pgd", {"method": "pgd", "parameters": {"epsilon": 0.1}}]},
            "/parameters/methods/1/parameters/epsilon",
            "the same for all methods",
        ),
        (
            {"labels": 0, "methods": [{"method": "pgd", "parameters": {"target": 3}}]},
            "/parameters/methods/0/parameters/target",
            "no parameter of pgd",
        ),
        (
            {"labels": 0, "methods": [{"method": "pgd", "parameters": {"steps": 0}}]},
            "/parameters/methods/0/parameters/steps",
            "steps is 0",
        ),
        ({"labels": 0, "methods": [{"name": "pgd"}]}, "/parameters/methods", "method and parameters"),
        ({"labels": 0, "methods": ["lbfgs"]}, "/parameters/norm", "l2"),
        ({"labels": 0, "methods": ["pgd"], "epsilons": [1.5]}, "/parameters/epsilons", "8/255"),
        ({"labels": 0, "methods": ["pgd"], "epsilons": ["8%"]}, "/parameters/epsilons", "percentage"),
        ({"labels": 0, "methods": ["pgd"], "epsilons": []}, "/parameters/epsilons", "one at least"),
        ({"labels": 0, "methods": ["pgd"], "norm": "l0"}, "/parameters/norm", "l2"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_remedy(parameters: dict[str, Any], pointer: str, teaches: str) -> None:
    with pytest.raises(BadParameter) as refused:
        checked(**parameters)
    assert [error.pointer for error in refused.value.errors] == [pointer]
    assert teaches in refused.value.detail


# ── over all images ─────────────────────────────────────────────────────────────────────────────────────────────────


def entry(
    correct: bool, *robust: bool, broken_by: str = "pgd", partial: bool = False, tried: float = 1
) -> dict[str, Any]:
    """Of an image; every attack was tried up to the epsilon `tried`."""
    rows = [
        {
            "epsilon": e,
            "robust": r,
            "tried": e <= tried,
            "robust_top5": True,
            "broken_by": None if r or not correct else broken_by,
        }
        for e, r in zip((0.1, 0.2), robust, strict=True)
    ]
    found = {"correct": correct, "correct_top5": True, "epsilons": rows}
    return {**found, "partial": True} if partial else found


def test_the_summary_counts_what_is_wrong_without_an_attack_as_broken() -> None:
    found = [entry(True, True, True), entry(True, True, False), entry(False, False, False), entry(True, False, False)]
    summary = ROBUSTNESS.summarize(found, {"epsilons": [0.1, 0.2], "norm": "linf", "checks": False})
    assert summary["clean"]["top1"]["value"] == 0.75
    assert [at["top1"]["value"] for at in summary["accuracy"]] == [0.5, 0.25]
    assert [at["top5"]["value"] for at in summary["accuracy"]] == [1.0, 1.0]
    assert [at["broken_by"] for at in summary["accuracy"]] == [{"pgd": 1}, {"pgd": 2}]
    assert summary["note"] == UPPER_BOUND
    assert "upper bound" in UPPER_BOUND
    assert "checks" not in summary


def test_the_answers_and_their_table_say_what_the_summary_says() -> None:
    label = {"index": 0, "label": "ash", "probability": 0.9}
    found = [{**entry(True, True, False), "label": label, "prediction": label}, {**entry(False, False, False)}]
    found[1] |= {"label": label, "prediction": {**label, "index": 1, "label": "birch"}}
    summary = ROBUSTNESS.summarize(found, {"epsilons": [0.1, 0.2], "norm": "linf", "checks": False})
    first, second = answers({"operation": "robustness", "results": found, "summary": summary})
    assert (first.robust, first.broken_by) == ({0.1: True, 0.2: False}, {0.1: None, 0.2: "pgd"})
    assert not second.correct
    assert [share.value for share in first.accuracy.values()] == [0.5, 0.0]
    assert (first.clean_accuracy.count, first.clean_accuracy.of, first.failed_checks) == (1, 2, [])
    assert str(first) == "broken at 0.2 by pgd"
    (drawn,) = tables.summarized("robustness", summary)
    assert [list(column.cells)[-1] for column in drawn.columns] == [
        "0.2",
        "0.0% (0.0% to 65.8%)",
        "100.0% (34.2% to 100.0%)",
        "pgd 1",
    ]
    assert tables.answered("robustness", ["a.png", "b.png"], [first, second]).row_count == 2


def test_the_summary_says_of_how_many_images_only_a_part_was_tried() -> None:
    found = [entry(True, True, True), entry(True, True, True, partial=True)]
    summary = ROBUSTNESS.summarize(found, {"epsilons": [0.1, 0.2], "norm": "linf", "checks": False})
    assert (summary["images"], summary["partial_images"]) == (2, 1)
    assert [at["untried"] for at in summary["accuracy"]] == [0, 0]  # only checks are missing


def test_accuracy_that_is_not_measured_says_so_everywhere() -> None:
    digit = {"index": 0, "label": "ash", "probability": 0.9}
    found = [entry(True, True, True, partial=True, tried=0.1), entry(True, True, False)]
    found = [{**one, "label": digit, "prediction": digit} for one in found]
    summary = ROBUSTNESS.summarize(found, {"epsilons": [0.1, 0.2], "norm": "linf", "checks": False})
    assert [at["untried"] for at in summary["accuracy"]] == [0, 1]
    assert "at epsilon 0.2 not every attack was tried on 1 of 2 images" in summary["note"]
    assert "--job" in summary["note"]
    assert summary["note"].endswith(UPPER_BOUND)
    cut, whole = answers({"operation": "robustness", "results": found, "summary": summary})
    assert (cut.tried, cut.untried) == ({0.1: True, 0.2: False}, {0.1: 0, 0.2: 1})
    assert (str(cut), str(whole)) == ("not broken by then (partial)", "broken at 0.2 by pgd")
    (drawn,) = tables.summarized("robustness", summary)
    assert [str(cell).endswith(", 1 untried") for cell in drawn.columns[1].cells] == [False, False, True]
    rows = tables.answered("robustness", ["a.png", "b.png"], [cut, whole])
    assert list(rows.columns[2].cells) == ["not broken by then (partial)", "broken"]
    measured = {**summary, "accuracy": [{**at, "untried": 0} for at in summary["accuracy"]]}
    # A line more below, which says so.
    assert charts.accuracy(summary).height > charts.accuracy(measured).height


def test_the_table_says_on_how_many_images_the_checks_are_made() -> None:
    missing = {"epsilons": [0.1, 0.2], "norm": "linf", "checks": True}
    tried: dict[str, Any] = {"gradient": 1.0, "unbounded": True}
    tried |= {kind: [False, False] for kind in ("one_step", "few_steps", "many_steps", "black_box")}
    found = [{**entry(True, True, True), "checks": tried}, entry(True, True, True, partial=True)]
    checked = tables.summarized("robustness", ROBUSTNESS.summarize(found, missing))[-1]
    assert [column.header for column in checked.columns][1] == "passed on 1"


# ── LeNet-5 ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_lenet_has_its_digits_and_loses_them_and_its_evaluation_can_be_believed(
    lenet: Network, digits: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
) -> None:
    images, labels = digits
    engine = Engine([lenet])
    card: Card = lenet.card
    parameters = {"methods": ["fgsm", "pgd"], "epsilons": [0.05, 0.13]}
    runs = [
        engine.submit(
            Question("robustness", card.name, x.transpose(1, 2, 0), None, {**parameters, "labels": int(y)}).begin(
                engine.networks
            )
        )
        for x, y in zip(images[:10], labels[:10], strict=True)
    ]
    engine.run_until(lambda: all(run.over for run in runs))
    filled, _ = ROBUSTNESS.check(None, {**parameters, "labels": 0}, card, images=1)
    summary = ROBUSTNESS.summarize([run.result for run in runs], filled)
    assert summary["clean"]["top1"]["count"] == 10
    small, large = (at["top1"]["count"] for at in summary["accuracy"])
    assert small >= 8
    assert large <= 1
    assert summary["failed_checks"] == []
    assert all(check["passed"] for check in summary["checks"])
