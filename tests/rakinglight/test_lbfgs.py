"""The L-BFGS attack, and the bridge by which SciPy's optimiser asks the engine."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from rakinglight.algorithms.lbfgs import lbfgs
from rakinglight.bridge import Closed, bridged
from rakinglight.catalogue import OPERATIONS
from rakinglight.engine import Engine
from rakinglight.errors import BadParameter
from rakinglight.network import Network
from rakinglight.objectives import Goal, LogProbability
from rakinglight.queries import Gradient, Progress, Scores, Slope, Stopped
from rakinglight.run import Cancelled, Run

SHAPE = (3, 8, 8)
X = torch.rand(SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def logits_of(network: Network, x: Tensor) -> Tensor:
    return network.forward.forward(x[None]).logits[0]


def bridges() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "bridge"]


# ── the attack ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_a_target_it_is_the_runner_up() -> None:
    logits = torch.tensor([0.5, 2.0, -1.0, 1.5])
    assert next(lbfgs(X, Goal(1), logits)).objective == LogProbability(3)
    assert next(lbfgs(X, Goal(1, 2), logits)).objective == LogProbability(2)


def test_every_target_is_reached_within_the_box(small_convolution: Network) -> None:
    logits = logits_of(small_convolution, X)
    y = int(logits.argmax())
    for t in set(range(5)) - {y}:
        x_adv = Engine([small_convolution]).drive(lbfgs(X, Goal(y, t), logits, binary_search_steps=4))
        assert int(logits_of(small_convolution, x_adv).argmax()) == t
        assert 0 <= x_adv.min() <= x_adv.max() <= 1


def test_the_weight_of_the_distance_is_searched_for_by_halving(small_convolution: Network) -> None:
    logits = logits_of(small_convolution, X)
    told: list[Progress] = []
    run = Run(
        lbfgs(X, Goal(int(logits.argmax())), logits),
        notify=lambda news: told.append(news) if isinstance(news, Progress) else None,
    )
    engine = Engine([small_convolution])
    engine.submit(run)
    engine.run_until(lambda: run.over)
    states = [news.state for news in told if news.state]
    assert len(states) == 10
    lengths = [news.objective or 0 for news in told]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[-1] == pytest.approx(float((run.result - X).norm()))
    between = [state for state in states if state["low"] > 0 and state["high"] < float("inf")]
    assert len(between) >= 5
    for state in between:
        assert state["c"] == pytest.approx((state["low"] * state["high"]) ** 0.5)
    spans = [state["high"] / state["low"] for state in between]
    assert spans[1:] == pytest.approx([span**0.5 for span in spans[:-1]])


def test_it_comes_to_the_same_bits_whoever_else_is_aboard(small_convolution: Network) -> None:
    logits = logits_of(small_convolution, X)
    goal = Goal(int(logits.argmax()))
    alone = Engine([small_convolution]).drive(lbfgs(X, goal, logits, binary_search_steps=4))
    engine = Engine([small_convolution])
    runs = [engine.submit(Run(lbfgs(X, goal, logits, binary_search_steps=4), caller=str(i))) for i in range(3)]
    engine.run_until(lambda: all(run.over for run in runs))
    assert all(torch.equal(run.result, alone) for run in runs)


def test_an_attack_that_fails_answers_with_its_last_try(small_convolution: Network) -> None:
    """Within one step of an optimiser that may look at distance alone, no target is reached."""
    logits = logits_of(small_convolution, X)
    y = int(logits.argmax())
    stubborn = Stubborn(y)
    x_adv = Engine([small_convolution]).drive(answered(lbfgs(X, Goal(y), logits, binary_search_steps=3), stubborn))
    assert x_adv.shape == X.shape
    assert 0 <= x_adv.min() <= x_adv.max() <= 1


class Stubborn:
    """A model that says class `y` whatever it sees."""

    def __init__(self, y: int) -> None:
        self.logits = torch.nn.functional.one_hot(torch.tensor(y), 5).double()

    def __call__(self, asked: Gradient) -> Slope:
        return Slope(torch.tensor(-1.0, dtype=torch.float64), torch.ones_like(X) * 0.01, self.logits)


def answered(algorithm: Any, answer: Callable[[Any], Any]) -> Any:
    """`algorithm`, its queries answered by hand."""
    said = None
    try:
        while True:
            asked = algorithm.send(said)
            if isinstance(asked, Gradient):
                said = answer(asked)
            else:
                said = yield asked
    except StopIteration as done:
        return done.value


def test_the_norm_is_l2_and_no_other() -> None:
    attack = OPERATIONS["attack"]
    method = attack.method("lbfgs")
    assert method
    method.check({"norm": "l2"}, SHAPE)
    with pytest.raises(BadParameter, match="lbfgs looks for the smallest change in l2") as refused:
        method.check({"norm": "linf"}, SHAPE)
    assert refused.value.errors[0].pointer == "/parameters/norm"
    with pytest.raises(BadParameter):
        next(lbfgs(X, Goal(0), torch.zeros(5), norm="linf"))


def test_cancelled_in_the_middle_it_leaves_no_thread(small_convolution: Network) -> None:
    logits = logits_of(small_convolution, X)
    engine = Engine([small_convolution])
    runs = [engine.submit(Run(lbfgs(X, Goal(int(logits.argmax())), logits))) for _ in range(3)]
    for _ in range(4):
        engine.step()
    assert len(bridges()) == 3
    engine.cancel(runs[0])
    engine.step()
    assert len(bridges()) == 2
    engine.close()
    assert not bridges()
    with pytest.raises(Cancelled):
        _ = runs[0].result


# ── the bridge ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_asked_for_comes_back() -> None:
    def work(ask: Callable[[Any], Any]) -> int:
        return int(ask("one") + ask("two"))

    flow = bridged(work)
    assert next(flow) == "one"
    assert flow.send(1) == "two"
    with pytest.raises(StopIteration) as done:
        flow.send(2)
    assert done.value.value == 3
    assert not bridges()


def test_what_the_work_raises_is_raised_here() -> None:
    def work(ask: Callable[[Any], Any]) -> None:
        raise ZeroDivisionError(ask("why"))

    flow = bridged(work)
    next(flow)
    with pytest.raises(ZeroDivisionError, match="because"):
        flow.send("because")
    assert not bridges()


def test_what_is_thrown_in_reaches_the_work_which_may_take_it() -> None:
    def work(ask: Callable[[Any], Any]) -> str:
        try:
            ask("more")
        except Stopped as stopped:
            return f"{ask('last')} {stopped.reason}"
        return "never"

    flow = bridged(work)
    next(flow)
    assert flow.throw(Stopped("rows")) == "last"
    with pytest.raises(StopIteration) as done:
        flow.send("so far:")
    assert done.value.value == "so far: rows"


def test_stopped_through_an_optimiser_it_says_so(small_convolution: Network) -> None:
    logits = logits_of(small_convolution, X)
    flow = lbfgs(X, Goal(int(logits.argmax())), logits)
    next(flow)
    flow.send(Slope(torch.tensor(-1.0), torch.ones_like(X), logits))
    with pytest.raises(Stopped):
        flow.throw(Stopped("deadline"))
    assert not bridges()


def test_closed_it_ends_the_work_before_it_returns() -> None:
    raised: list[BaseException] = []

    def work(ask: Callable[[Any], Any]) -> None:
        for _ in range(2):  # even of work that does not listen the first time
            try:
                ask("a query")
            except Closed as e:
                raised.append(e)
        raise AssertionError

    flow = bridged(work)
    next(flow)
    flow.close()
    assert not bridges()
    assert len(raised) == 2


def test_closed_before_it_began_it_has_no_thread() -> None:
    flow = bridged(lambda ask: Scores(torch.zeros(1)))
    flow.close()
    assert not bridges()
