"""The operations, played by hand and driven on an Abacus: four classes of a 2x3 image, logits W x."""

from typing import Any

import numpy as np
import pytest
import torch

from rakinglight import eight_bit
from rakinglight.engine import Engine, Run
from rakinglight.errors import BadParameter, DeadlineExceeded
from rakinglight.front_door import distance
from rakinglight.method import Method
from rakinglight.objectives import CrossEntropy, Logit, LogProbability, Probability
from rakinglight.operations import attack, classify, saliency
from rakinglight.parameters import Rank
from rakinglight.queries import Compute, Forward, Progress, Scores, Slope, Stopped
from rakinglight.question import Question
from rakinglight.relays import so_far
from rakinglight.subject import Subject
from tests.networks import abacus_network, abacus_of

GREY = np.full((2, 3, 1), 128, dtype=np.uint8)
PHOTOGRAPH = np.random.default_rng(0).integers(0, 256, (13, 10, 1), dtype=np.uint8)  # of another size than the model's
NETWORK = abacus_network((1, 2, 4))
CARD = NETWORK.card
#: What an Abacus says of GREY, in its order.
LOGITS = abacus_of(NETWORK).W.sum(1) * 128 / 255
ORDER = LOGITS.argsort(descending=True).tolist()
FIRST, SECOND, LAST = ORDER[0], ORDER[1], ORDER[-1]


def run(operation: str, pixels: np.ndarray[Any, Any] = GREY, method: str | None = None, **parameters: Any) -> Any:
    return started(Engine([NETWORK]), operation, pixels, method, **parameters).result


def started(
    engine: Engine,
    operation: str,
    pixels: np.ndarray[Any, Any] = GREY,
    method: str | None = None,
    max_rows: int | None = None,
    **parameters: Any,
) -> Run[dict[str, Any]]:
    question = Question(operation, "abacus", pixels, method, parameters, max_rows=max_rows)
    run = engine.submit(question.begin(engine.networks))
    engine.run_until(lambda: run.over)
    return run


# ── classify ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_classify_names_the_best_classes_in_order() -> None:
    result = run("classify", top_k=3)
    assert [p["index"] for p in result["predictions"]] == ORDER[:3]
    assert [p["label"] for p in result["predictions"]] == [CARD.labels[c] for c in ORDER[:3]]
    assert [p["probability"] for p in result["predictions"]] == pytest.approx(LOGITS.softmax(0)[ORDER[:3]].tolist())
    assert [p["logit"] for p in result["predictions"]] == pytest.approx(LOGITS[ORDER[:3]].tolist(), rel=1e-6)
    assert result["prediction"].items() <= result["predictions"][0].items()


def test_more_classes_than_there_are_gives_them_all() -> None:
    assert [p["index"] for p in run("classify", top_k=1000)["predictions"]] == ORDER


def test_of_two_equal_classes_the_first_comes_first() -> None:
    flow = classify(Subject.of(CARD, GREY))
    next(flow)
    with pytest.raises(StopIteration) as done:
        flow.send(Scores(torch.tensor([1.0, 2.0, 2.0, 1.0])))
    assert [p["index"] for p in done.value.value["predictions"]] == [1, 2, 0, 3]


def test_classify_brings_the_layers_that_are_named() -> None:
    result = run("classify", layers=["doubled"])
    assert list(result["activations"]) == ["doubled"]
    np.testing.assert_allclose(result["activations"]["doubled"], 256 / 255 * np.ones((1, 2, 3)), rtol=1e-6)


def test_naming_a_layer_does_not_change_the_prediction() -> None:
    assert run("classify", layers=["doubled"])["predictions"] == run("classify")["predictions"]


def test_an_exact_tensor_is_taken_to_the_bit() -> None:
    flow = classify(Subject.of(CARD, np.full((1, 2, 3), 0.1, dtype=np.float32)))
    assert (next(flow).rows == np.float32(0.1)).all()


# ── saliency ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("target", "c"),
    [
        pytest.param(None, FIRST, id="the prediction"),
        pytest.param(LAST, LAST, id="index"),
        pytest.param(CARD.labels[SECOND], SECOND, id="label"),
        pytest.param(CARD.labels[SECOND].upper(), SECOND, id="label in capitals"),
        pytest.param({"rank": 2}, SECOND, id="second"),
        pytest.param({"rank": -1}, LAST, id="last"),
    ],
)
def test_saliency_explains_the_class_that_is_meant(target: Any, c: int) -> None:
    result = run("saliency", target=target)
    assert result["target"]["index"] == c
    assert result["prediction"]["index"] == FIRST
    np.testing.assert_allclose(result["map"], abacus_of(NETWORK).W[c].abs().reshape(2, 3), rtol=1e-6)
    np.testing.assert_allclose(result["signed_map"], abacus_of(NETWORK).W[c].reshape(1, 2, 3), rtol=1e-6)


@pytest.mark.parametrize(
    ("score", "objective"),
    [("logit", Logit(FIRST)), ("probability", Probability(FIRST)), ("log_probability", LogProbability(FIRST))],
)
def test_saliency_asks_for_the_score_that_is_meant(score: Any, objective: Any) -> None:
    from rakinglight.algorithms.gradient import gradient

    flow = saliency(Subject.of(CARD, GREY), Method(gradient).choose({}), score=score)
    next(flow)
    assert flow.send(Scores(LOGITS)).objective == objective


def test_a_map_is_of_the_image_as_the_model_saw_it() -> None:
    result = run("saliency", PHOTOGRAPH)
    assert result["map"].shape == (2, 3)
    assert result["seen"].shape == (2, 3, 1)
    assert result["seen"].dtype == np.uint8


def test_a_map_that_is_cut_short_has_no_figures_and_says_so() -> None:
    cut = started(Engine([NETWORK]), "saliency", method="smoothgrad", max_rows=80, n_samples=200, evaluate=["deletion"])
    assert cut.result["partial"]
    assert "evaluation" not in cut.result
    assert "no figures" in cut.result["note"]


# ── attack ──────────────────────────────────────────────────────────────────────────────────────────────────────────

each_method = pytest.mark.parametrize("method", ["fgsm", "pgd"])
each_size = pytest.mark.parametrize("pixels", [GREY, PHOTOGRAPH], ids=["the model's size", "another size"])


@each_method
@each_size
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("epsilon", [1 / 255, 8 / 255, 0.5])
def test_the_adversarial_picture_is_in_the_ball_and_posted_back_gives_after(
    method: str, pixels: np.ndarray[Any, Any], norm: str, epsilon: float
) -> None:
    result = run("attack", pixels, method, norm=norm, epsilon=epsilon, target={"rank": -1})
    posted = run("classify", result["adversarial"])
    assert result["adversarial"].dtype == np.uint8
    assert result["adversarial"].shape == pixels.shape
    assert posted["prediction"] == result["after"]
    assert result["success"] == (posted["prediction"]["index"] == result["target"]["index"])
    assert result["distance"][norm] <= epsilon + 1e-6
    exact = result["exact"]
    assert exact["distance"][norm] <= epsilon + 1e-6
    assert run("classify", exact["image"])["prediction"] == exact["after"]


@each_method
def test_an_attack_leaves_the_prediction(method: str) -> None:
    result = run("attack", method=method, epsilon=0.5, step_size=0.1) if method == "pgd" else run("attack", epsilon=0.5)
    assert result["success"]
    assert result["prediction"] == result["before"]
    assert result["before"]["index"] == result["label"]["index"] == FIRST != result["after"]["index"]
    assert result["target"] is None
    assert not result["already_misclassified"]
    assert "partial" not in result


def test_an_attack_that_changes_nothing_has_no_success() -> None:
    result = run("attack", epsilon=0)
    assert not result["success"]
    assert np.array_equal(result["adversarial"], GREY)
    assert result["distance"] == {"linf": 0, "l2": 0, "l0": 0}


def test_an_image_that_was_wrong_before_is_never_a_success() -> None:
    result = run("attack", epsilon=0.5, label=SECOND)
    assert result["already_misclassified"]
    assert result["label"]["index"] == SECOND
    assert result["before"]["index"] == FIRST
    assert not result["success"]
    assert not result["exact"]["success"]


def test_a_target_that_is_the_label_is_refused() -> None:
    with pytest.raises(BadParameter, match=r"both .* needs another class") as caught:
        run("attack", target={"rank": 1})
    assert caught.value.errors[0].pointer == "/parameters/target"


def test_the_goal_is_fixed_on_the_untouched_image() -> None:
    from rakinglight.algorithms.fgsm import fgsm

    flow = attack(Subject.of(CARD, GREY), Method(fgsm).choose({"norm": "linf", "epsilon": 0.1}))
    next(flow)
    assert flow.send(Scores(LOGITS)).objective == CrossEntropy(FIRST)
    flow = attack(Subject.of(CARD, GREY), Method(fgsm).choose({"norm": "linf", "epsilon": 0.1}), target=Rank(rank=-1))
    next(flow)
    assert flow.send(Scores(LOGITS)).objective == LogProbability(LAST)


def test_under_one_grey_level_no_picture_can_succeed_and_the_answer_says_why() -> None:
    result = run("attack", epsilon=0.9 / 255)
    assert not result["success"]
    assert "under 1/255, one grey level" in result["note"]
    assert result["exact"]["distance"]["linf"] > 0


def test_a_seed_repeats_a_random_start() -> None:
    def image(seed: int) -> np.ndarray[Any, Any]:
        parameters = {"random_start": True, "steps": 1}
        question = Question("attack", "abacus", PHOTOGRAPH, "pgd", parameters, seed=seed)
        engine = Engine([NETWORK])
        found = engine.submit(question.begin(engine.networks))
        engine.run_until(lambda: found.over)
        exact: np.ndarray[Any, Any] = found.result["exact"]["image"]
        return exact

    assert np.array_equal(image(1), image(1))
    assert not np.array_equal(image(1), image(2))


# ── told to stop ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_ten_steps_cost_thirteen_rows_and_thirteen_suffice() -> None:
    """One to look, ten to climb, and two to judge the picture and the exact tensor."""
    found = started(Engine([NETWORK]), "attack", method="pgd", max_rows=13)
    assert (found.cost.forward_rows, found.cost.gradient_rows) == (3, 10)
    assert "partial" not in found.result


@pytest.mark.parametrize("max_rows", [4, 7, 12])
def test_with_fewer_rows_the_best_so_far_is_judged_and_marked(max_rows: int) -> None:
    found = started(Engine([NETWORK]), "attack", method="pgd", max_rows=max_rows, step_size=2 / 255)
    assert found.result["partial"]
    assert found.cost.rows == max_rows
    whole = run("attack", method="pgd", steps=max_rows - 3, step_size=2 / 255)
    assert np.array_equal(found.result["exact"]["image"], whole["exact"]["image"])
    assert found.result["after"] == whole["after"]


@pytest.mark.parametrize("max_rows", [0, 1, 2, 3])
def test_with_too_few_rows_for_one_step_the_error_names_the_limit(max_rows: int) -> None:
    with pytest.raises(BadParameter, match=f"max_rows is {max_rows}, and that is spent"):
        _ = started(Engine([NETWORK]), "attack", method="pgd", max_rows=max_rows).result


@pytest.mark.parametrize("passes", range(2, 13))
def test_a_deadline_at_any_moment_after_the_first_step_gives_an_answer(passes: int) -> None:
    engine = Engine([NETWORK])
    attacked = engine.submit(Question("attack", "abacus", GREY, "pgd").begin(engine.networks))
    while not attacked.over:
        if attacked.cost.rows >= passes:
            attacked.deadline = min(attacked.deadline, 0)
            passes = 1000
        engine.run_until(lambda before=attacked.cost.rows: attacked.over or attacked.cost.rows > before)  # type: ignore[misc]
    assert attacked.result["after"]
    assert attacked.result.get("partial", False) == (attacked.cost.gradient_rows < 10)


def test_a_deadline_before_the_first_step_is_an_error() -> None:
    engine = Engine([NETWORK])
    attacked = engine.submit(Question("attack", "abacus", GREY, "pgd", seconds=-1).begin(engine.networks))
    engine.run_until(lambda: attacked.over)
    with pytest.raises(DeadlineExceeded):
        _ = attacked.result


def test_so_far_gives_the_last_that_was_shown() -> None:
    def showing() -> Any:
        yield Progress(1, 3, best="a")
        yield Progress(2, 3)
        yield Progress(3, 3, best="b")
        yield Compute(list)
        return "c"

    assert Engine([NETWORK]).drive(so_far(showing())) == ("c", False)
    flow = so_far(showing())
    asked = next(flow)
    while not isinstance(asked, Compute):
        asked = flow.send(None)
    with pytest.raises(StopIteration) as done:
        flow.throw(Stopped("rows"))
    assert done.value.value == ("b", True)


def test_so_far_with_nothing_to_show_stays_stopped() -> None:
    def silent() -> Any:
        yield Forward(torch.rand(1, 2, 3))

    flow = so_far(silent())
    next(flow)
    with pytest.raises(Stopped):
        flow.throw(Stopped("deadline"))


# ── small things ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_distance_by_hand() -> None:
    delta = torch.tensor([[[0.0, 0.3], [0.0, 0.0]], [[0.0, -0.4], [0.0, 0.0]]])
    assert distance(torch.zeros_like(delta), delta) == {"linf": pytest.approx(0.4), "l2": pytest.approx(0.5), "l0": 1}


def test_every_query_of_an_attack_is_at_the_models_size_and_every_answer_at_the_images() -> None:
    from rakinglight.algorithms.pgd import pgd

    parameters = {"norm": "linf", "epsilon": 0.1, "step_size": 0.1, "steps": 1, "random_start": True, "restarts": 1}
    flow = attack(Subject.of(CARD, PHOTOGRAPH), Method(pgd).choose(parameters))
    assert next(flow).rows.shape == (1, 2, 3)
    assert flow.send(Scores(LOGITS)).rows.shape == (1, 2, 3)
    news = flow.send(Slope(torch.tensor(1.0), torch.ones(1, 2, 3), torch.zeros(4)))
    assert news.best.shape == (1, 13, 10)
    assert flow.send(None).rows.shape == (1, 2, 3)
    rounding = flow.send(Scores(LOGITS))
    assert flow.send(rounding.function()).rows.shape == (1, 2, 3)
    with pytest.raises(StopIteration) as done:
        flow.send(Scores(LOGITS))
    assert done.value.value["exact"]["image"].shape == (1, 13, 10)


@pytest.mark.parametrize("levels", [1, 4, 8, 31])
def test_a_picture_made_of_levels_is_no_further_than_its_levels_say(levels: int) -> None:
    before = np.arange(200, dtype=np.uint8).reshape(10, 20, 1)
    x, picture = (torch.from_numpy(eight_bit.to_float(pixels)) for pixels in (before, before + np.uint8(levels)))
    assert distance(x, picture) == {"linf": levels / 255, "l2": pytest.approx(levels / 255 * 200**0.5), "l0": 200}
