"""The engine: one property says most, that merged with others a run gets the answer it would get alone."""

import gc
import itertools
import math
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import rakinglight.engine
from rakinglight.algorithms.fgsm import fgsm
from rakinglight.algorithms.gradient import gradient
from rakinglight.algorithms.pgd import pgd
from rakinglight.engine import Cancelled, Engine, Run
from rakinglight.errors import BadParameter, DeadlineExceeded, InternalError, NotFound
from rakinglight.network import Network, Patches
from rakinglight.noise import Noise
from rakinglight.objectives import CrossEntropy, Goal, Logit, Probability
from rakinglight.queries import Algorithm, Compute, Forward, Gradient, Progress, Query, Scores, Stopped
from rakinglight.question import Question
from rakinglight.relays import so_far
from rakinglight.rows import Masked, Patched
from tests.networks import Abacus, abacus_network, abacus_of

SHAPE = (1, 2, 3)


def picture(number: int) -> Tensor:
    """One image that Abacus takes, another for another number."""
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(number), dtype=torch.float64)


def pictures(count: int, number: int = 0) -> Tensor:
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(number), dtype=torch.float64)


def patched(count: int, number: int = 0, window: tuple[int, int] = (1, 2)) -> Patched:
    """One image with a window of it covered, somewhere else in each row."""
    corners = torch.tensor([(place % 2, place % 3 % (4 - window[1])) for place in range(count)])
    return Patched(picture(number), corners, window, picture(number + 1))


def masked(count: int, number: int = 0) -> Masked:
    """One image behind so many masks."""
    return Masked(picture(number), pictures(count, number)[:, 0], picture(number + 1))


def asking(*queries: Query) -> Algorithm[list[Any]]:
    """Asks one query after the other; returns the answers."""
    answers = []
    for query in queries:
        answers.append((yield query))  # noqa: PERF401  a comprehension cannot yield
    return answers


def climbing(steps: int, number: int = 0) -> Algorithm[Tensor]:
    """Climbs a logit, and has something to show after each step."""
    x = picture(number)
    for t in range(steps):
        g = (yield Gradient(x, Logit(1))).gradient
        x = (x + 0.01 * g).clamp(0, 1)
        yield Progress(t + 1, steps, best=x)
    return x


def steps(engine: Engine, count: int) -> None:
    for _ in range(count):
        engine.step()


def finish(engine: Engine, *runs: Run[Any]) -> None:
    engine.run_until(lambda: all(run.over for run in runs))


def finished(engine: Engine, run: Run[Any]) -> Run[Any]:
    finish(engine, engine.submit(run))
    return run


def deadline_passes(run: Run[Any]) -> None:
    run.deadline = time.monotonic() - 1


def same_bits(a: Any, b: Any) -> bool:
    if is_dataclass(a):
        return all(same_bits(getattr(a, member.name), getattr(b, member.name)) for member in fields(a))
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same_bits(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same_bits, a, b))
    return bool(a == b)


@pytest.fixture
def network() -> Network:
    return abacus_network()


@pytest.fixture
def engine(network: Network) -> Iterator[Engine]:
    engine = Engine([network])
    yield engine
    engine.close()


# ── an answer ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_answer_to_an_image_has_no_row_dimension(engine: Engine, network: Network) -> None:
    x = picture(0)
    (scores,) = engine.drive(asking(Forward(x)))
    (slope,) = engine.drive(asking(Gradient(x, Logit(2))))
    assert torch.allclose(scores.logits, abacus_of(network).W @ x.flatten())
    assert slope.objective == scores.logits[2]
    assert torch.equal(slope.gradient.flatten(), abacus_of(network).W[2])


@pytest.mark.parametrize("count", [1, 3, 4, 5, 23])
def test_the_answer_to_rows_has_as_many(engine: Engine, network: Network, count: int) -> None:
    x = pictures(count)
    (scores,) = engine.drive(asking(Forward(x, ("doubled",))))
    (slope,) = engine.drive(asking(Gradient(x, Logit(2))))
    assert torch.allclose(scores.logits, x.flatten(1) @ abacus_of(network).W.T)
    assert torch.equal(scores.activations["doubled"], x * 2)
    assert slope.objective.shape == (count,)
    assert slope.gradient.shape == x.shape


def test_a_run_counts_the_rows_it_cost_and_no_padding(engine: Engine) -> None:
    run = engine.submit(Run(asking(Forward(pictures(5)), Gradient(picture(0), Logit(0)))))
    finish(engine, run)
    assert (run.cost.forward_rows, run.cost.gradient_rows, run.cost.rows) == (5, 1, 6)
    assert engine.counts.rows == {"forward": 5, "gradient": 1}
    assert engine.counts.passes == {"forward": 2, "gradient": 1}
    assert engine.counts.padding == {"forward": 3, "gradient": 3}


def test_a_run_reads_as_a_sentence(engine: Engine) -> None:
    run = Run(asking(Forward(pictures(6))), caller="ada")
    assert repr(run) == "<Run of ada: has no question open, spent 0 forward and 0 gradient rows>"
    engine.submit(run)
    engine.step()
    assert repr(run) == "<Run of ada: asks Forward(6×1×2×3), spent 4 forward and 0 gradient rows>"
    engine.step()
    assert repr(run) == "<Run of ada: over, spent 6 forward and 0 gradient rows>"


def test_rows_are_made_for_the_next_pass_alone(engine: Engine, network: Network) -> None:
    made: list[int] = []

    class Watched(Masked):
        def made(self) -> Tensor:
            made.append(len(self))
            return super().made()

    many = masked(9)
    (scores,) = engine.drive(asking(Forward(Watched(many.base, many.masks, many.fill))))
    assert made == [4, 4, 1]
    assert torch.allclose(scores.logits, many.made().flatten(1) @ abacus_of(network).W.T)


class Sparing:
    """Answers patched rows for an Abacus, and keeps a record."""

    name = "sparing"

    def __init__(self, abacus: Abacus) -> None:
        self.abacus = abacus
        self.passes: list[Patched] = []

    def forward(self, rows: Patched) -> Scores:
        self.passes.append(rows)
        return self.abacus.forward(rows.made())

    def work(self, window: tuple[int, int]) -> float:
        return window[0] * window[1] / 6


def sparing_network(price: float) -> tuple[Network, Sparing]:
    network = abacus_network()
    sparing = Sparing(abacus_of(network))
    return replace(network, patches=Patches(sparing, price, rows=4)), sparing


def test_patches_of_one_image_share_passes_of_one_row_count_and_the_saving_is_counted() -> None:
    network, sparing = sparing_network(price=2.0)
    engine = Engine([network])
    runs = [engine.submit(Run(asking(Forward(patched(6, n))), caller=str(n))) for n in (0, 5)]
    beside = engine.submit(Run(asking(Forward(pictures(3)))))
    finish(engine, *runs, beside)
    assert [len(rows) for rows in sparing.passes] == [4, 4, 4, 4]
    assert all(len({id(rows.base)}) == 1 for rows in sparing.passes)
    for n, run in zip((0, 5), runs, strict=True):
        assert torch.allclose(run.result[0].logits, patched(6, n).made().flatten(1) @ sparing.abacus.W.T)
        assert run.cost.to_json() == {"forward_rows": 6, "gradient_rows": 0, "saved_rows": pytest.approx(4.0)}
    assert beside.cost.to_json() == {"forward_rows": 3, "gradient_rows": 0}


@pytest.mark.parametrize(("price", "window", "times"), [(2.0, (1, 2), 1), (2.0, (1, 3), 0), (4.0, (1, 2), 0)])
def test_patches_go_the_way_that_pays(price: float, window: tuple[int, int], times: int) -> None:
    network, sparing = sparing_network(price)
    Engine([network]).drive(asking(Forward(patched(2, window=window))))
    assert len(sparing.passes) == times


# ── merged equals alone ─────────────────────────────────────────────────────────────────────────────────────────────

LADDERS = [(1,), (4,), (2, 4, 8), (3, 5, 16), (1, 2, 3, 4, 6, 8, 12), (64,)]

numbers = st.integers(0, 1000)
classes = st.integers(0, 3)
counts = st.integers(1, 40)
#: What makes an algorithm anew: it is run twice, alone and in company.
made: st.SearchStrategy[Callable[[], Algorithm[Any]]] = st.one_of(
    st.builds(lambda n, c: lambda: gradient(picture(n), Probability(c)), numbers, classes),
    st.builds(lambda n, c: lambda: fgsm(picture(n), Goal(c), epsilon=0.1), numbers, classes),
    st.builds(
        lambda n, c, steps, start: (
            lambda: pgd(
                picture(n), Goal(c, (c + 1) % 4), Noise(n), steps=steps, random_start=start, norm="l2", epsilon=0.3
            )
        ),
        numbers,
        classes,
        st.integers(1, 6),
        st.booleans(),
    ),
    st.builds(lambda n, count: lambda: asking(Forward(pictures(count, n), ("doubled",))), numbers, counts),
    st.builds(
        lambda n, count, c: lambda: asking(Gradient(pictures(count, n), CrossEntropy(c)), Forward(picture(n))),
        numbers,
        st.integers(1, 20),
        classes,
    ),
    st.builds(lambda n, count: lambda: asking(Forward(patched(count, n)), Forward(masked(count, n))), numbers, counts),
)


@settings(deadline=None, max_examples=150)
@given(
    mix=st.lists(st.tuples(made, st.sampled_from("abc"), st.integers(0, 8)), min_size=1, max_size=12),
    counts=st.sampled_from(LADDERS),
    live_limit=st.integers(1, 12),
)
def test_merged_equals_alone_bit_for_bit(
    mix: list[tuple[Callable[[], Algorithm[Any]], str, int]], counts: tuple[int, ...], live_limit: int
) -> None:
    """Whoever is aboard, however large their queries, whenever they come."""
    together = Engine([abacus_network(counts)], live_limit=live_limit)
    runs = []
    for make, caller, head_start in mix:
        runs.append(together.submit(Run(make(), caller=caller)))
        steps(together, head_start)
    finish(together, *runs)
    for (make, _, _), run in zip(mix, runs, strict=True):
        alone = Engine([abacus_network(counts)])
        assert same_bits(run.result, alone.drive(make()))
    assert set(abacus_of(together.networks["abacus"]).passes) <= set(counts)


def test_merged_equals_alone_on_a_convolution(small_convolution: Network) -> None:
    x = torch.rand(12, 3, 8, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    def mix() -> list[Algorithm[Any]]:
        return [
            pgd(row, Goal(i % 5), Noise(i), steps=1 + i, random_start=i % 2 == 0)
            if i % 3
            else asking(Forward(row, ("0",)), Gradient(row, Logit(i % 5)))
            for i, row in enumerate(x)
        ]

    together = Engine([small_convolution])
    runs = [together.submit(Run(algorithm)) for algorithm in mix()]
    finish(together, *runs)
    alone = [Engine([small_convolution]).drive(algorithm) for algorithm in mix()]
    assert same_bits([run.result for run in runs], alone)


def test_thirty_two_mixed_questions_to_lenet_are_answered_as_they_are_alone(
    lenet: Network, digits: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
) -> None:
    """Three operations, other targets, methods and step counts; on the ladder that was found on this machine."""
    asked = [
        ("classify", None, {"top_k": 3}),
        ("saliency", "gradient", {"score": "probability"}),
        ("saliency", "gradient", {"target": {"rank": -1}}),
        ("attack", "fgsm", {"epsilon": "16/255"}),
        ("attack", "pgd", {"steps": 3, "norm": "l2", "epsilon": 1}),
        ("attack", "pgd", {"steps": 7, "target": {"rank": 2}, "random_start": True}),
    ]

    def questions() -> Iterator[Question]:
        for i, (operation, method, parameters) in zip(range(32), itertools.cycle(asked), strict=False):
            pixels = digits[0][i].transpose(1, 2, 0)
            yield Question(operation, lenet.card.name, pixels, method, parameters, seed=i, caller=str(i % 5))

    together = Engine([lenet])
    runs = [together.submit(question.begin(together.networks)) for question in questions()]
    finish(together, *runs)
    for question, run in zip(questions(), runs, strict=True):
        alone = Engine([lenet])
        assert same_bits(run.result, finished(alone, question.begin(alone.networks)).result)
    assert max(together.counts.runs_a_pass) > 1


def test_without_its_ladder_the_same_mix_would_differ() -> None:
    """That Abacus rounds otherwise in company is what gives the property above its teeth."""
    network = abacus_network((1, 2))
    abacus_of(network).family = (1,)
    engine = Engine([network])
    runs = [engine.submit(Run(asking(Forward(picture(0))))) for _ in range(2)]
    finish(engine, *runs)
    assert not same_bits(runs[0].result, Engine([abacus_network((1,))]).drive(asking(Forward(picture(0)))))


def test_runs_share_passes(engine: Engine, network: Network) -> None:
    runs = [engine.submit(Run(climbing(3, number), caller=str(number))) for number in range(4)]
    finish(engine, *runs)
    assert abacus_of(network).passes == [4, 4, 4]
    assert engine.counts.rows_a_pass == {4: 3}
    assert engine.counts.runs_a_pass == {4: 3}


# ── who goes next ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_no_pass_is_longer_than_the_limit(engine: Engine, network: Network) -> None:
    engine.drive(asking(Forward(pictures(11))))
    assert abacus_of(network).passes == [4, 4, 4]


@pytest.mark.parametrize(("rows", "padded"), [(1, 2), (2, 2), (3, 5), (5, 5), (6, 8), (8, 8)])
def test_a_pass_is_padded_to_the_next_count(rows: int, padded: int) -> None:
    network = abacus_network((2, 5, 8))
    Engine([network]).drive(asking(Gradient(pictures(rows), CrossEntropy(0))))
    assert abacus_of(network).passes == [padded]


def test_small_queries_do_not_starve_behind_a_large_one(engine: Engine) -> None:
    large = engine.submit(Run(asking(Forward(pictures(1000))), caller="large"))
    engine.step()
    small = engine.submit(Run(asking(*[Forward(picture(n)) for n in range(5)]), caller="small"))
    steps(engine, 5)
    assert small.over
    assert large.cost.rows == 4 + 5 * 3  # it takes what the small one leaves over


def test_a_large_query_does_not_starve_behind_small_ones(engine: Engine) -> None:
    large = engine.submit(Run(asking(Forward(pictures(5))), caller="large"))
    for caller in "abcdef":
        engine.submit(Run(asking(*[Forward(picture(0))] * 100), caller=caller))
    steps(engine, 14)
    assert large.over


def test_rows_are_dealt_round_robin_by_caller(engine: Engine) -> None:
    many = [engine.submit(Run(asking(Forward(picture(n))), caller="many")) for n in range(20)]
    one = engine.submit(Run(asking(Forward(picture(0))), caller="one"))
    engine.step()
    assert one.over
    assert sum(run.over for run in many) == 3


def test_callers_with_large_queries_share_alike(engine: Engine) -> None:
    a = engine.submit(Run(asking(Forward(pictures(100))), caller="a"))
    b = engine.submit(Run(asking(Forward(pictures(100))), caller="b"))
    steps(engine, 7)
    assert a.cost.rows == b.cost.rows == 14


def test_within_a_caller_those_unserved_longest_go_first(engine: Engine) -> None:
    runs = [engine.submit(Run(asking(*[Forward(picture(n))] * 3), caller="a")) for n in range(8)]
    steps(engine, 4)
    assert [run.cost.rows for run in runs] == [2] * 8


def test_neither_kind_of_query_starves_the_other(engine: Engine) -> None:
    forward = [engine.submit(Run(asking(Forward(pictures(1000))), caller=f"f{n}")) for n in range(3)]
    backward = engine.submit(Run(climbing(5), caller="g"))
    steps(engine, 10)
    assert backward.over
    assert sum(run.cost.rows for run in forward) == 5 * 4


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(Forward(picture(0)), Gradient(picture(0), Logit(0)), id="kind"),
        pytest.param(Forward(picture(0)), Forward(picture(0), ("doubled",)), id="layers"),
        pytest.param(Forward(picture(0)), Forward(picture(0).float()), id="dtype"),
        pytest.param(Forward(picture(0)), Forward(picture(0), network="other"), id="network"),
    ],
)
def test_unlike_queries_do_not_share_a_pass(one: Query, other: Query) -> None:
    engine = Engine([abacus_network(), abacus_network(name="other")])
    runs = [engine.submit(Run(asking(query))) for query in (one, other)]
    engine.step()
    assert [run.over for run in runs] == [True, False]
    engine.step()
    assert runs[1].over


def test_a_query_that_names_no_network_shares_with_one_that_names_the_first(engine: Engine) -> None:
    runs = [engine.submit(Run(asking(Forward(picture(0), network=name)))) for name in (None, "abacus")]
    engine.step()
    assert all(run.over for run in runs)


def test_each_network_answers_for_itself() -> None:
    first, second = abacus_network(), abacus_network(name="second")
    abacus_of(second).W *= 2
    a, b = Engine([first, second]).drive(asking(Forward(picture(0)), Forward(picture(0), network="second")))
    assert torch.equal(2 * a.logits, b.logits)


def test_no_more_than_live_limit_runs_are_begun() -> None:
    begun = []

    def noted(number: int) -> Algorithm[None]:
        begun.append(number)
        yield Forward(pictures(8))

    engine = Engine([abacus_network()], live_limit=2)
    runs = [engine.submit(Run(noted(number))) for number in range(4)]
    engine.step()
    assert (begun, len(engine.running), len(engine.waiting)) == ([0, 1], 2, 2)
    finish(engine, *runs)
    assert begun == [0, 1, 2, 3]


def test_many_waiting_runs_of_one_caller_do_not_keep_another_out() -> None:
    engine = Engine([abacus_network()], live_limit=2)
    for _ in range(50):
        engine.submit(Run(asking(*[Forward(picture(0))] * 3), caller="many"))
    one = engine.submit(Run(asking(Forward(picture(0))), caller="one"))
    steps(engine, 4)
    assert one.over


# ── each run's failure is its own ───────────────────────────────────────────────────────────────────────────────────


def failing(error: Exception, after: int = 0) -> Algorithm[None]:
    for _ in range(after):
        yield Forward(picture(0))
    raise error


@pytest.fixture
def bystander(engine: Engine) -> Run[Any]:
    """Another caller's run, which nothing that happens may disturb."""
    return engine.submit(Run(climbing(6, number=7), caller="bystander"))


def unharmed(engine: Engine, bystander: Run[Any]) -> bool:
    finish(engine, bystander)
    return same_bits(bystander.result, Engine([abacus_network()]).drive(climbing(6, number=7)))


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_run_that_raises_fails_alone(engine: Engine, bystander: Run[Any], after: int) -> None:
    run = engine.submit(Run(failing(ZeroDivisionError("secret"), after)))
    assert unharmed(engine, bystander)
    with pytest.raises(InternalError, match="ZeroDivisionError") as caught:
        _ = run.result
    assert "secret" not in str(caught.value)


def test_what_a_run_raises_on_purpose_is_its_error(engine: Engine, bystander: Run[Any]) -> None:
    run = engine.submit(Run(failing(NotFound("no such thing"), after=1)))
    assert unharmed(engine, bystander)
    with pytest.raises(NotFound, match="no such thing"):
        _ = run.result


def test_a_backend_that_fails_for_one_runs_rows_fails_that_run_alone(engine: Engine) -> None:
    poisoned = picture(0)
    poisoned[0, 0, 0] = Abacus.poison
    guilty = engine.submit(Run(asking(Forward(poisoned)), caller="guilty"))
    others = [engine.submit(Run(asking(Forward(picture(n))), caller=str(n))) for n in range(3)]
    engine.step()
    with pytest.raises(InternalError, match="MemoryError"):
        _ = guilty.result
    alone = Engine([abacus_network()])
    for number, run in enumerate(others):
        assert same_bits(run.result, alone.drive(asking(Forward(picture(number)))))
    assert engine.counts.failed_passes == 2  # the shared one, and the guilty one's own


def test_an_objective_that_raises_fails_its_run_alone(engine: Engine, bystander: Run[Any]) -> None:
    run = engine.submit(Run(asking(Gradient(picture(0), Logit(99)))))
    assert unharmed(engine, bystander)
    with pytest.raises(InternalError, match="IndexError"):
        _ = run.result


def test_a_run_may_go_on_after_a_failed_query(engine: Engine) -> None:
    def stubborn() -> Algorithm[str]:
        try:
            yield Gradient(picture(0), Logit(99))
        except InternalError:
            yield Forward(picture(0))
        return "went on"

    assert engine.drive(stubborn()) == "went on"


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_an_answer_with_nan_or_infinity_fails_its_run_alone(engine: Engine, bystander: Run[Any], bad: float) -> None:
    x = picture(0)
    x[0, 1, 1] = bad
    runs = [engine.submit(Run(asking(query))) for query in (Forward(x), Gradient(x, Logit(0)))]
    assert unharmed(engine, bystander)
    for run in runs:
        with pytest.raises(BadParameter, match=r"abacus answers .* with NaN or infinity"):
            _ = run.result


def test_a_gradient_with_nan_is_not_passed_on_though_the_objective_is_finite(engine: Engine) -> None:
    def root(logits: Tensor) -> Tensor:
        return (logits[:, 0] * 0).sqrt()  # 0, with the slope infinity times 0

    with pytest.raises(BadParameter, match="NaN or infinity"):
        engine.drive(asking(Gradient(picture(0), root)))


@pytest.mark.parametrize(
    ("query", "error", "message"),
    [
        pytest.param(Forward(torch.rand(3, 2, 3)), InternalError, r"takes \(1, 2, 3\)", id="shape"),
        pytest.param(Forward(picture(0), network="oak"), InternalError, "No network 'oak' is loaded", id="network"),
        pytest.param(Forward(torch.rand(0, *SHAPE)), InternalError, "no rows", id="no rows"),
        pytest.param("a string", InternalError, "The algorithm failed", id="no query at all"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    engine: Engine, bystander: Run[Any], query: Query, error: type[Exception], message: str
) -> None:
    run = engine.submit(Run(asking(query)))
    assert unharmed(engine, bystander)
    with pytest.raises(error, match=message):
        _ = run.result


def test_a_network_without_gradients_says_what_works_and_what_to_bring() -> None:
    engine = Engine([abacus_network(gradients=False)])
    with pytest.raises(BadParameter, match=r"answers no gradients, nor .* work\. Give a recipe"):
        engine.drive(climbing(1))
    assert len(engine.drive(asking(Forward(picture(0))))) == 1


def test_a_listener_that_raises_harms_nobody(engine: Engine, bystander: Run[Any]) -> None:
    def deaf(news: object) -> None:
        raise ConnectionError("nobody listens")

    run = engine.submit(Run(asking(Forward(picture(0))), notify=deaf))
    assert unharmed(engine, bystander)
    assert run.over


def test_a_run_that_fails_as_it_is_closed_harms_nobody(engine: Engine, bystander: Run[Any]) -> None:
    told = []

    def clumsy() -> Algorithm[None]:
        try:
            yield Forward(pictures(100))
        finally:
            raise ArithmeticError

    run = engine.submit(Run(clumsy(), notify=told.append))
    engine.step()
    engine.cancel(run)
    assert unharmed(engine, bystander)
    assert run.over
    assert told == [run]


# ── cancel, deadline, budget ────────────────────────────────────────────────────────────────────────────────────────


def test_cancelling_frees_the_rows_before_the_next_pass(engine: Engine, network: Network) -> None:
    closed = []

    def endless() -> Algorithm[None]:
        try:
            while True:
                yield Forward(pictures(3))
        finally:
            closed.append(True)

    run = engine.submit(Run(endless()))
    steps(engine, 2)
    engine.cancel(run)
    assert not engine.step()
    assert (closed, engine.running, len(abacus_of(network).passes)) == ([True], [], 2)
    with pytest.raises(Cancelled):
        _ = run.result


def test_a_waiting_run_is_cancelled_without_having_begun() -> None:
    engine = Engine([abacus_network()], live_limit=1)
    first = engine.submit(Run(asking(Forward(pictures(8)))))
    second = engine.submit(Run(failing(AssertionError("it was begun"))))
    engine.step()
    engine.cancel(second)
    finish(engine, first)
    with pytest.raises(Cancelled):
        _ = second.result


def test_cancelling_what_is_over_changes_nothing(engine: Engine) -> None:
    told: list[object] = []
    run = engine.submit(Run(asking(Forward(picture(0))), notify=told.append))
    finish(engine, run)
    engine.cancel(run)
    engine.cancel(run)
    engine.step()
    assert len(run.result) == 1
    assert told == [run]


def test_closing_the_engine_ends_every_run() -> None:
    engine = Engine([abacus_network()], live_limit=1)
    runs = [engine.submit(Run(climbing(100))) for _ in range(3)]
    engine.step()
    engine.close()
    assert all(isinstance(run.error, Cancelled) for run in runs)


def test_a_deadline_gives_the_best_that_was_reached(engine: Engine, bystander: Run[Any]) -> None:
    run = engine.submit(Run(so_far(climbing(100))))
    steps(engine, 3)
    deadline_passes(run)
    engine.step()
    best, partial = run.result
    assert partial
    assert same_bits(best, Engine([abacus_network()]).drive(climbing(3)))
    assert unharmed(engine, bystander)


def test_a_deadline_before_there_is_anything_to_show_says_so(engine: Engine) -> None:
    run = engine.submit(Run(so_far(asking(Forward(pictures(100)))), deadline=time.monotonic() + 100))
    steps(engine, 2)
    deadline_passes(run)
    engine.step()
    with pytest.raises(DeadlineExceeded, match=r"after 8 forward and 0 gradient rows, .* give a longer deadline_s"):
        _ = run.result


def test_a_deadline_that_has_passed_already_costs_no_row(engine: Engine, network: Network) -> None:
    with pytest.raises(DeadlineExceeded):
        engine.drive(climbing(3), deadline=time.monotonic() - 1)
    assert abacus_of(network).passes == []


def test_a_deadline_comes_for_those_who_wait_as_well() -> None:
    engine = Engine([abacus_network()], live_limit=1)
    engine.submit(Run(climbing(100)))
    waiting = engine.submit(Run(climbing(100), deadline=time.monotonic() - 1))
    engine.step()
    with pytest.raises(DeadlineExceeded):
        _ = waiting.result


def test_a_run_that_goes_on_when_told_to_stop_is_ended(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rakinglight.engine, "GRACE_S", -1.0)

    def deaf() -> Algorithm[None]:
        while True:
            try:
                yield Forward(picture(0))
            except Stopped:
                continue

    run = engine.submit(Run(deaf()))
    engine.step()
    deadline_passes(run)
    steps(engine, 2)
    with pytest.raises(DeadlineExceeded, match="went on after it was told to stop"):
        _ = run.result


def test_rows_that_are_spent_give_the_best_that_was_reached(engine: Engine) -> None:
    best, partial = engine.drive(so_far(climbing(100)), max_rows=5)
    assert partial
    assert same_bits(best, Engine([abacus_network()]).drive(climbing(5)))


def test_rows_that_suffice_are_all_used(engine: Engine) -> None:
    _, partial = engine.drive(so_far(climbing(5)), max_rows=5)
    assert not partial


def test_too_few_rows_to_begin_with_is_an_error_that_names_the_field(engine: Engine, network: Network) -> None:
    with pytest.raises(BadParameter, match=r"max_rows is 3, and that is spent before .* give more") as caught:
        engine.drive(asking(Forward(pictures(4))), max_rows=3)
    assert caught.value.errors[0].pointer == "/max_rows"
    assert abacus_of(network).passes == []


def proving(steps: int) -> Algorithm[tuple[Tensor, Any, bool]]:
    """As `attack` does: reaches something, and asks about it when told to stop."""
    x, partial = yield from so_far(climbing(steps))
    scores = yield Forward(x)
    return x, scores, partial


@pytest.mark.parametrize("stop", ["rows", "deadline"])
def test_the_reserve_is_kept_for_what_comes_after_the_stop(engine: Engine, stop: str) -> None:
    run = engine.submit(Run(proving(100), max_rows=6 if stop == "rows" else 100, reserve=1))
    if stop == "deadline":
        steps(engine, 5)
        deadline_passes(run)
    finish(engine, run)
    x, scores, partial = run.result
    assert partial
    assert run.cost.rows == 6
    assert torch.equal(scores.logits, engine.drive(asking(Forward(x)))[0].logits)


def test_after_the_reserve_there_is_nothing(engine: Engine) -> None:
    def greedy() -> Algorithm[None]:
        yield from so_far(climbing(100))
        yield Forward(pictures(3))

    with pytest.raises(DeadlineExceeded, match="went on after it was told to stop"):
        engine.drive(greedy(), max_rows=6, reserve=1)


# ── progress, and work that is no query ─────────────────────────────────────────────────────────────────────────────


def test_progress_is_told_in_order_and_the_end_last(engine: Engine) -> None:
    told: list[Any] = []
    run = engine.submit(Run(climbing(3), notify=told.append))
    finish(engine, run)
    assert [(news.step, news.of) for news in told[:-1]] == [(1, 3), (2, 3), (3, 3)]
    assert told[-1] is run


def computing(function: Callable[[], Any]) -> Algorithm[Any]:
    yield Forward(picture(0))
    found = yield Compute(function)
    yield Forward(picture(1))
    return found


def test_work_is_answered_with_what_it_returns(engine: Engine) -> None:
    assert engine.drive(computing(lambda: 6 * 7)) == 42


def test_others_go_on_while_one_computes(engine: Engine) -> None:
    others_are_done = threading.Event()
    run = engine.submit(Run(computing(lambda: others_are_done.wait(60)), caller="slow"))
    other = engine.submit(Run(climbing(50), caller="quick"))
    finish(engine, other)
    assert not run.over
    others_are_done.set()
    finish(engine, run)
    assert run.result is True


def test_work_that_raises_raises_in_its_run(engine: Engine, bystander: Run[Any]) -> None:
    run = engine.submit(Run(computing(lambda: 1 // 0)))
    assert unharmed(engine, bystander)
    finish(engine, run)
    with pytest.raises(InternalError, match="ZeroDivisionError"):
        _ = run.result


def test_a_run_is_cancelled_while_it_computes(engine: Engine) -> None:
    go_on, began = threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        go_on.wait(60)

    run = engine.submit(Run(computing(work)))
    engine.step()
    assert began.wait(60)
    engine.cancel(run)
    assert not engine.step()
    assert isinstance(run.error, Cancelled)
    go_on.set()
    assert len(engine.drive(asking(Forward(picture(0))))) == 1  # what the work brings is thrown away


def test_a_run_that_computes_at_its_deadline_is_told_when_it_comes_back(engine: Engine) -> None:
    go_on = threading.Event()
    run = engine.submit(Run(computing(lambda: go_on.wait(60))))
    engine.step()
    deadline_passes(run)
    assert not engine.step()
    assert not run.over
    go_on.set()
    finish(engine, run)
    assert isinstance(run.error, DeadlineExceeded)
    assert run.cost.rows == 1


def test_work_in_parts_is_stopped_at_the_deadline_between_two_of_them(engine: Engine) -> None:
    parts = itertools.count()

    def for_ever() -> Algorithm[None]:
        while True:
            yield Compute(lambda: next(parts), stoppable=True)

    run = engine.submit(Run(for_ever()))
    while next(parts) < 20:
        engine.step()
    deadline_passes(run)
    finish(engine, run)
    assert isinstance(run.error, DeadlineExceeded)


def test_who_has_much_to_compute_keeps_nobody_waiting(engine: Engine) -> None:
    go_on, done = threading.Event(), list[str]()

    def work(name: str) -> None:
        go_on.wait(60)
        done.append(name)

    many = [engine.submit(Run(computing(partial(work, "much")), caller="much")) for _ in range(10)]
    engine.step()
    one = engine.submit(Run(computing(partial(work, "little")), caller="little"))
    engine.step()
    go_on.set()
    finish(engine, one)
    assert done.index("little") <= 3  # two were at work already
    for run in many:
        finish(engine, run)


# ── from other threads ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def driven(engine: Engine) -> Iterator[Engine]:
    """The engine, driven by a thread of its own."""
    stop = threading.Event()
    thread = threading.Thread(target=engine.run_until, args=(stop.is_set,))
    thread.start()
    yield engine
    stop.set()
    engine.wake()
    thread.join(60)
    assert not thread.is_alive()


def test_runs_are_submitted_and_cancelled_from_many_threads(driven: Engine) -> None:
    def call(number: int) -> tuple[Run[Any], bool]:
        over = threading.Event()
        run = Run(
            climbing(20, number),
            caller=threading.current_thread().name,
            notify=lambda news: over.set() if isinstance(news, Run) else None,
        )
        driven.submit(run)
        if number % 3 == 0:
            driven.cancel(run)
        return run, over.wait(60)

    with ThreadPoolExecutor(8) as callers:
        calls = list(callers.map(call, range(120)))
    expected = {number: Engine([abacus_network()]).drive(climbing(20, number)) for number in range(120) if number % 3}
    for number, (run, heard) in enumerate(calls):
        assert heard
        if number % 3 == 0:
            assert run.error is None or isinstance(run.error, Cancelled)
        else:
            assert same_bits(run.result, expected[number])


def test_an_idle_engine_wakes_for_a_deadline(driven: Engine) -> None:
    """A run that computes holds the only seat; who waits behind it is told in time, without any mail."""
    driven.live_limit = 1
    go_on, told = threading.Event(), threading.Event()
    driven.submit(Run(computing(lambda: go_on.wait(60))))
    driven.submit(Run(climbing(1), deadline=time.monotonic() + 0.05, notify=lambda news: told.set()))
    assert told.wait(60)
    go_on.set()


def test_a_thousand_runs_leave_nothing_behind(engine: Engine) -> None:
    threads = threading.active_count()
    remembered: list[weakref.ref[Any]] = []
    for start in range(0, 1000, 50):
        runs = [
            Run(
                failing(NotFound("on purpose"), after=1)
                if number % 10 == 0
                else asking(Forward(pictures(3, number)), Gradient(picture(number), Logit(0))),
                caller=str(number % 7),
            )
            for number in range(start, start + 50)
        ]
        remembered += map(weakref.ref, runs)
        for run in runs:
            engine.submit(run)
        engine.cancel(runs[5])
        finish(engine, *runs)
        del run, runs
    gc.collect()
    assert [ref() for ref in remembered if ref() is not None] == []
    assert (engine.running, len(engine.waiting)) == ([], 0)
    assert threading.active_count() <= threads  # those of tests before may have ended meanwhile
