"""The front door: what an attack finds in floats counts as the 8-bit picture of it, proven alone."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rakinglight import eight_bit
from rakinglight.catalogue import OPERATIONS
from rakinglight.engine import Engine, Run
from rakinglight.front_door import MOST_ROWS, FrontDoor, Picture, distance
from rakinglight.network import Network
from rakinglight.norms import NORMS, NormName
from rakinglight.objectives import Goal
from rakinglight.queries import Algorithm, Forward, Scores, Stopped
from rakinglight.question import Question
from rakinglight.subject import Subject
from tests.networks import network_of

Array = np.ndarray[Any, Any]
Broken = Callable[[NormName], list[tuple[Subject, Tensor]]]

norms = st.sampled_from(["linf", "l2"])
seeds = st.integers(0, 2**32 - 1)


class Bent(nn.Sequential):
    """Five classes of 3x8x8 pixels, through a bend, of grey as the middle."""

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(192, 24), nn.ReLU(), nn.Linear(24, 5))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = super().forward(x - 0.5)  # type: ignore[no-untyped-call]
        return out


@pytest.fixture(scope="module")
def network() -> Network:
    return network_of("bent", Bent(), (3, 8, 8))


def photograph(seed: int, side: int = 8) -> Array:
    """Four patches of any colour: a network with random weights sees all classes in such."""
    patches = np.random.default_rng(seed).integers(20, 236, (2, 2, 3), dtype=np.uint8)
    return patches.repeat(side // 2, 0).repeat(side // 2, 1)


def driven(network: Network, algorithm: Algorithm[Any], **settings: Any) -> tuple[Any, Run[Any]]:
    engine = Engine([network])
    run = engine.submit(Run(algorithm, **settings))
    engine.run_until(lambda: run.over)
    return run.result, run


def asked(network: Network, pixels: Array, method: str, **parameters: Any) -> Any:
    return asked_with_cost(network, pixels, method, **parameters)[0]


def first_answer(network: Network, x: Tensor) -> int:
    return int(network.forward.forward(x[None]).logits.argmax())


def halved(low: Tensor, high: Tensor, is_high: Callable[[Tensor], bool]) -> tuple[Tensor, Tensor]:
    """Two points of the line from `low` to `high`, next to each other, of which only the second is as `high` is."""
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if is_high(middle) else (middle, high)
    return low, high


def broken_by_rounding(network: Network, norm: NormName, epsilon: float, seed: int) -> tuple[Subject, Tensor] | None:
    """An image near a boundary, and floats in its ball that just cross it, while their own picture does not."""
    one, *others = (Subject.of(network.card, photograph(1000 * i + seed)).x for i in range(20))
    label = first_answer(network, one)
    other = next(x for x in others if first_answer(network, x) != label)
    near, _ = halved(one, other, lambda x: first_answer(network, x) != label)
    subject = Subject.of(network.card, eight_bit.from_float(near.numpy()))
    assert network.gradient is not None
    pull = network.gradient.gradient(subject.x[None], Goal(label).loss).gradient[0].float()
    edge = subject.x + epsilon * NORMS[norm].direction(pull)
    if first_answer(network, subject.x) != label or first_answer(network, edge) == label:
        return None
    _, x_adv = halved(subject.x, edge, lambda x: first_answer(network, x) != label)
    rounded = eight_bit.to_float(eight_bit.inside_ball(subject.x.numpy(), x_adv.numpy(), norm, epsilon))
    return (subject, x_adv) if first_answer(network, torch.from_numpy(rounded)) == label else None


@pytest.fixture(scope="module")
def broken(network: Network) -> Broken:
    """Images and floats of `broken_by_rounding`, by the norm."""
    return cache(lambda norm: [found for i in range(20) if (found := broken_by_rounding(network, norm, 0.1, i))])


# ── in a ball ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("way", ["along the ray", "by the gradient"])
def test_what_rounding_broke_is_repaired_inside_the_ball(
    network: Network, broken: Broken, monkeypatch: pytest.MonkeyPatch, norm: NormName, way: str
) -> None:
    if way == "by the gradient":
        monkeypatch.setattr(eight_bit, "along", eight_bit.inside_ball)
    assert len(broken(norm)) >= 5
    for subject, x_adv in broken(norm):
        goal = Goal(first_answer(network, subject.x))
        epsilon = max(1.5 / 255, 1.2 * distance(subject.x, x_adv)["linf"]) if norm == "linf" else 0.1
        picture, run = driven(network, FrontDoor(subject, goal, norm, epsilon).prove(x_adv))
        assert picture.reached
        assert first_answer(network, picture.x) != goal.label
        assert picture.distance[norm] <= epsilon + 1e-6
        assert run.cost.rows <= MOST_ROWS
        assert (run.cost.gradient_rows > 0) == (way == "by the gradient")


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_by_scores_alone_too_and_then_no_gradient_is_asked_for(
    network: Network, broken: Broken, norm: NormName
) -> None:
    subject, x_adv = broken(norm)[0]
    door = FrontDoor(subject, Goal(first_answer(network, subject.x)), norm, 0.1, gradients=False)
    picture, run = driven(network, door.prove(x_adv))
    assert picture.reached
    assert run.cost.gradient_rows == 0


def test_floats_that_do_not_reach_the_goal_are_not_repaired(network: Network) -> None:
    subject = Subject.of(network.card, photograph(0))
    goal = Goal(first_answer(network, subject.x))
    picture, run = driven(network, FrontDoor(subject, goal, "linf", 2 / 255).prove(subject.x + 0.3 / 255))
    assert not picture.reached
    assert np.array_equal(picture.pixels, photograph(0))
    assert run.cost.rows == 2


def test_a_picture_that_is_outside_the_ball_proves_nothing(network: Network) -> None:
    subject = Subject.of(network.card, photograph(0))
    other = next(photograph(seed) for seed in range(1, 40) if not alike(network, 0, seed))
    goal = Goal(first_answer(network, subject.x))
    assert driven(network, FrontDoor(subject, goal, "linf", None).judged(other))[0].reached
    assert not driven(network, FrontDoor(subject, goal, "linf", 0.1).judged(other))[0].reached


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_accept_takes_what_is_proven_and_nothing_else(network: Network, broken: Broken, norm: NormName) -> None:
    subject, x_adv = broken(norm)[0]
    door = FrontDoor(subject, Goal(first_answer(network, subject.x)), norm, 0.1)
    refused, run = driven(network, door.accept(x_adv))
    assert refused is None
    assert run.cost.rows == 1
    repaired: Picture = driven(network, door.prove(x_adv))[0]
    accepted = driven(network, door.accept(repaired.x))[0]
    assert np.array_equal(accepted.pixels, repaired.pixels)
    assert torch.equal(accepted.logits, repaired.logits)


# ── no ball ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("gradients", [True, False])
def test_without_a_ball_the_picture_goes_as_far_as_it_must_and_hardly_further(
    network: Network, broken: Broken, norm: NormName, gradients: bool
) -> None:
    for subject, x_adv in broken(norm):
        goal = Goal(first_answer(network, subject.x))
        door = FrontDoor(subject, goal, norm, None, gradients=gradients)
        picture, run = driven(network, door.prove(x_adv))
        assert picture.reached
        assert first_answer(network, picture.x) != goal.label
        assert run.cost.rows <= MOST_ROWS
        # No picture is nearer than one level of one value, whatever the floats are.
        length = max(distance(subject.x, x_adv)[norm], 1 / 255)
        assert picture.distance[norm] <= 2 * length


def test_levels_that_are_not_needed_are_taken_back(network: Network, broken: Broken) -> None:
    """Floats twice as far as they must be: their picture is brought back to about half."""
    subject, x_adv = broken("l2")[0]
    goal = Goal(first_answer(network, subject.x))
    x_far = (subject.x + 40 * (x_adv - subject.x)).clamp(0, 1)
    picture, _ = driven(network, FrontDoor(subject, goal, "l2", None).prove(x_far))
    assert picture.reached
    assert picture.distance["l2"] < 0.8 * distance(subject.x, x_far)["l2"]


def test_the_image_itself_is_its_picture(network: Network) -> None:
    subject = Subject.of(network.card, photograph(3))
    goal = Goal((first_answer(network, subject.x) + 1) % 5)  # another label: the goal is reached already
    picture, run = driven(network, FrontDoor(subject, goal, "l2", None).prove(subject.x))
    assert picture.reached
    assert picture.distance == {"linf": 0, "l2": 0, "l0": 0}
    assert run.cost.rows == 2


# ── told to stop ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("epsilon", [0.1, None])
def test_told_to_stop_it_judges_what_is_there_and_says_that_it_was_cut(
    network: Network, broken: Broken, epsilon: float | None
) -> None:
    subject, x_adv = broken("linf")[0]
    goal = Goal(first_answer(network, subject.x))
    whole, run = driven(network, FrontDoor(subject, goal, "linf", epsilon).prove(x_adv))
    assert not whole.cut
    for max_rows in range(2, run.cost.rows + 1):
        door = FrontDoor(subject, goal, "linf", epsilon)
        picture, cut = driven(network, door.prove(x_adv), max_rows=max_rows, reserve=2)
        assert picture.cut
        assert cut.cost.rows <= max_rows
        assert picture.reached == (first_answer(network, picture.x) != goal.label)
    enough, _ = driven(network, FrontDoor(subject, goal, "linf", epsilon).prove(x_adv), max_rows=run.cost.rows + 2)
    assert np.array_equal(enough.pixels, whole.pixels)


def test_a_row_that_must_be_asked_for_is_asked_for_again_after_a_stop(network: Network) -> None:
    subject = Subject.of(network.card, photograph(0))
    flow = FrontDoor(subject, Goal(0), "linf", 0.1).exact(subject.x)
    assert isinstance(next(flow), Forward)
    assert isinstance(flow.throw(Stopped("rows")), Forward)
    assert isinstance(flow.throw(Stopped("deadline")), Forward)
    with pytest.raises(StopIteration) as done:
        flow.send(Scores(torch.tensor([0.0, 1, 0, 0, 0])))
    assert done.value.value.reached


# ── through the operation ───────────────────────────────────────────────────────────────────────────────────────────

METHODS = [method for method in OPERATIONS["attack"].by_name if method not in ("transfer", "universal")]
QUICK: dict[str, dict[str, Any]] = {
    "auto": {"steps": 5, "target_classes": 2, "queries": 20},
    "square": {"queries": 50},
    "nes": {"queries": 50, "n_samples": 5},
    "hop_skip_jump": {"queries": 150, "initial_rows": 20},
    "boundary": {"queries": 100},
    "lbfgs": {"steps": 5, "binary_search_steps": 2},
    "apgd": {"steps": 10},
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("side", [8, 20])
def test_what_every_method_finds_is_what_classify_says_of_the_picture(network: Network, method: str, side: int) -> None:
    for seed in range(2):
        pixels = photograph(seed, side)
        result = asked(network, pixels, method, **QUICK.get(method, {}))
        said = classified(network, result["adversarial"])
        assert result["after"] == said
        assert result["adversarial"].shape == pixels.shape
        if method == "most_likely":
            assert "success" not in result
            assert "success" not in result["exact"]
        elif method == "least_likely":
            assert result["success"] == (said["index"] == result["target"]["index"])
        else:
            assert result["success"] == (said["index"] != result["before"]["index"])


@pytest.mark.parametrize("method", ["deepfool", "lbfgs", "linear", "hop_skip_jump", "boundary"])
def test_a_method_without_a_ball_succeeds_on_the_picture_wherever_it_does_in_floats(
    network: Network, method: str
) -> None:
    results = [asked(network, photograph(seed, 20), method, **QUICK.get(method, {})) for seed in range(3)]
    assert sum(result["exact"]["success"] for result in results) >= 2
    assert all(result["success"] for result in results if result["exact"]["success"])


def test_early_stop_ends_at_the_first_proven_picture(network: Network) -> None:
    whole = asked_with_cost(network, photograph(1), "pgd", epsilon=0.3, steps=40)
    early = asked_with_cost(network, photograph(1), "pgd", epsilon=0.3, steps=40, early_stop=True)
    assert early[0]["success"]
    assert whole[0]["success"]
    assert early[1] < whole[1]
    assert early[0]["distance"]["l2"] < whole[0]["distance"]["l2"]
    assert classified(network, early[0]["adversarial"]) == early[0]["after"]
    assert "partial" not in early[0]


def test_early_stop_changes_nothing_where_nothing_succeeds(network: Network) -> None:
    whole, early = (
        asked(network, photograph(1), "pgd", epsilon=1 / 255, steps=5, early_stop=stop) for stop in (False, True)
    )
    assert not whole["success"]
    assert np.array_equal(whole["exact"]["image"], early["exact"]["image"])


def test_most_likely_is_not_stopped_where_it_begins(network: Network) -> None:
    result = asked(network, photograph(1), "most_likely", early_stop=True)
    assert result["after"]["probability"] > result["before"]["probability"]


def test_auto_says_which_of_its_attacks_broke_the_image(network: Network) -> None:
    broken = asked(network, photograph(1), "auto", epsilon=0.3, **QUICK["auto"])
    assert broken["success"]
    assert broken["broken_by"] == "apgd_ce"
    withstood = asked(network, photograph(1), "auto", epsilon=1 / 255, **QUICK["auto"])
    assert not withstood["success"]
    assert withstood["broken_by"] is None


def test_by_whom_a_picture_was_broken_is_never_said_of_one_that_was_not(network: Network) -> None:
    """Its label is not what the model says of it to begin with: any row reaches the goal, and none is a success."""
    pixels = photograph(1)
    wrong = (first_answer(network, Subject.of(network.card, pixels).x) + 1) % 5
    result = asked(network, pixels, "auto", label=wrong, **QUICK["auto"])
    assert result["already_misclassified"]
    assert not result["success"]
    assert result["broken_by"] is None


# ── small things ────────────────────────────────────────────────────────────────────────────────────────────────────


@settings(deadline=None, max_examples=100)
@given(norms, st.floats(1 / 255, 0.5), seeds)
def test_the_furthest_picture_along_the_ray_is_in_the_ball_and_no_nearer_than_the_rounded_one(
    norm: NormName, epsilon: float, seed: int
) -> None:
    x, x_adv = somewhere(seed, norm, epsilon)
    furthest, rounded = eight_bit.along(x, x_adv, norm, epsilon), eight_bit.inside_ball(x, x_adv, norm, epsilon)
    assert far(x, furthest, norm) <= epsilon + 1e-6
    assert far(x, furthest, norm) >= far(x, rounded, norm) - 1 / 255


@settings(deadline=None, max_examples=100)
@given(norms, st.floats(1 / 255, 0.5), st.floats(0, 1), seeds)
def test_a_step_of_levels_stays_in_the_ball_and_goes_up(
    norm: NormName, epsilon: float, share: float, seed: int
) -> None:
    x, x_adv = somewhere(seed, norm, epsilon)
    pixels = eight_bit.inside_ball(x, x_adv, norm, epsilon)
    g = np.asarray(np.random.default_rng(seed + 1).standard_normal(x.shape), np.float32)
    there = eight_bit.stepped(x, pixels, g, norm, epsilon, share)
    assert far(x, there, norm) <= epsilon + 1e-6
    if norm == "linf":
        moved: Array = eight_bit.to_float(there) - eight_bit.to_float(pixels)
        assert (moved * g >= 0).all()
        assert np.abs(moved).max() <= 1 / 255 + 1e-6


def test_a_step_moves_the_values_first_of_which_the_gradient_is_largest() -> None:
    x = np.full((1, 2, 2), 100 / 255, np.float32)
    pixels = np.full((2, 2, 1), 100, np.uint8)
    g = np.array([[[3.0, -1.0], [-2.0, 0.0]]], np.float32)
    assert eight_bit.stepped(x, pixels, g, "linf", 0.1, 1).ravel().tolist() == [101, 99, 99, 100]
    assert eight_bit.stepped(x, pixels, g, "linf", 0.1, 2 / 3).ravel().tolist() == [101, 100, 99, 100]
    # In l2 a radius of one level goes to the one value that counts most.
    assert eight_bit.stepped(x, pixels, g, "l2", 1 / 255, 1).ravel().tolist() == [101, 100, 100, 100]


def test_levels_are_taken_back_where_they_are_worth_least() -> None:
    x = np.full((1, 1, 4), 100 / 255, np.float32)
    pixels = np.array([[[103], [99], [101], [100]]], np.uint8)
    worth = np.array([[[10.0, 1.0, 4.0, 0.0]]], np.float32)  # of one level; by 5, 1 and 1 the squared distance falls
    assert eight_bit.taken_back(x, pixels, worth, 0.5, 1).ravel().tolist() == [103, 99, 101, 100]
    assert eight_bit.taken_back(x, pixels, worth, 1, 1).ravel().tolist() == [103, 100, 101, 100]
    assert eight_bit.taken_back(x, pixels, worth, 11, 1).ravel().tolist() == [102, 100, 101, 100]
    assert eight_bit.taken_back(x, pixels, worth, 99, 1 / 3).ravel().tolist() == [103, 100, 101, 100]
    assert eight_bit.taken_back(x, pixels, -worth, 0, 1).ravel().tolist() == [102, 100, 100, 100]


@pytest.mark.parametrize("size", [1e-40, 1e-12, 1e-3])
def test_the_smallest_change_is_followed_as_far_as_pixels_go(size: float) -> None:
    x = np.full((1, 2, 2), 0.5, np.float32)
    times = eight_bit.reach(x, np.full_like(x, size), "l2", 1.0)
    assert np.isfinite(times)
    assert far(x, eight_bit.from_float(x + np.float32(times) * np.float32(size)), "l2") <= 1


def somewhere(seed: int, norm: NormName, epsilon: float) -> tuple[Array, Array]:
    """An image of grey levels, and floats within epsilon of it."""
    noise = np.random.default_rng(seed)
    x = eight_bit.to_float(noise.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    delta = np.asarray(noise.standard_normal(x.shape))
    delta *= epsilon * noise.uniform() / size(delta, norm)
    return x, np.clip(x + delta, 0, 1).astype(np.float32)


def size(delta: Array, norm: NormName) -> float:
    return float(np.abs(delta).max() if norm == "linf" else np.sqrt((delta**2).sum()))


def far(x: Array, pixels: Array, norm: NormName) -> float:
    return size(pixels.transpose(2, 0, 1) / 255 - x.astype(np.float64), norm)


def alike(network: Network, *seeds: int) -> bool:
    return len({first_answer(network, Subject.of(network.card, photograph(seed)).x) for seed in seeds}) == 1


def classified(network: Network, pixels: Array) -> Any:
    engine = Engine([network])
    run = engine.submit(Question("classify", network.card.name, pixels).begin(engine.networks))
    engine.run_until(lambda: run.over)
    return run.result["prediction"]


def asked_with_cost(network: Network, pixels: Array, method: str, **parameters: Any) -> tuple[Any, int]:
    engine = Engine([network])
    run = engine.submit(Question("attack", network.card.name, pixels, method, parameters).begin(engine.networks))
    engine.run_until(lambda: run.over)
    return run.result, run.cost.rows
