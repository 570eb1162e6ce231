"""The substitute attack: against a plain loop, in closed form, stopped, taken up again, and in company."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rakinglight.algorithms.papernot import papernot
from rakinglight.catalogue import operation
from rakinglight.engine import Engine
from rakinglight.errors import BadParameter, BudgetSpent
from rakinglight.network import Network
from rakinglight.noise import Noise
from rakinglight.plan import Plan
from rakinglight.queries import Algorithm, Compute, Forward, Progress, Scores
from rakinglight.question import Question
from rakinglight.relays import relayed
from rakinglight.rows import made
from rakinglight.states import to_arrays, to_tensors
from rakinglight.substitutes.allowance import Allowance, sizes
from rakinglight.substitutes.student import Student
from tests.networks import network_of

QUICK = {"rounds": 2, "epochs": 2, "batch_size": 4, "learning_rate": 0.01}


def oracle(rows: Tensor) -> Tensor:
    """Logits [n, 3], which depend on the whole of a picture."""
    W = torch.randn(rows[0].numel(), 3, generator=torch.Generator().manual_seed(5))
    return rows.flatten(1) @ W


def seeds(n: int = 5, shape: tuple[int, int, int] = (2, 4, 4)) -> Tensor:
    return torch.randint(0, 256, (n, *shape), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)


def told(x: Tensor) -> Tensor:
    return oracle(x.float() / 255)


def nobody(_student: Student, point: dict[str, Any]) -> Algorithm[None]:
    point["agreement"] = {"value": 0.5}
    yield Progress(0, 0)


def driven(
    run: Any, budget: float = math.inf, answer: Callable[[Tensor], Tensor] = oracle
) -> tuple[dict[str, Any], list[Tensor]]:
    """What the run returned, and all rows that were answered; more than `budget` are refused, whole."""
    rows: list[Tensor] = []
    said: Any = None
    try:
        while True:
            asked = run.send(said) if not isinstance(said, Exception) else run.throw(said)
            said = None
            if isinstance(asked, Compute):
                said = asked.function()
            elif isinstance(asked, Forward):
                if sum(map(len, rows)) + len(asked) > budget:
                    said = BudgetSpent("spent")
                else:
                    rows.append(made(asked.rows))
                    said = Scores(answer(rows[-1]))
    except StopIteration as done:
        return done.value, rows


# ── the loop ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_on_a_linear_student_a_step_is_along_the_sign_of_its_row_of_weights() -> None:
    x = torch.full((3, 2, 4, 4), 100, dtype=torch.uint8)
    lambda_ = 10 / 255
    run = papernot(x, told(x), Noise(0), nobody, architecture="linear", side=4, rounds=1, step=lambda_, epochs=1)
    found, rows = driven(run)
    (W,) = [w for w in found_before(x, epochs=1) if w.ndim == 2]
    k = told(x).argmax(1)
    wanted = x + (10 * W[k].sign()).view(3, 2, 4, 4)
    torch.testing.assert_close(torch.cat(rows) * 255, wanted.float())
    assert found["queries"] == 6


def found_before(x: Tensor, epochs: int) -> list[Tensor]:
    """The weights of the linear student when the first step was made."""
    run = papernot(x, told(x), Noise(0), nobody, architecture="linear", side=4, rounds=0, epochs=epochs)
    return list(driven(run)[0]["weights"])


@pytest.mark.parametrize("soft", [False, True])
def test_it_is_the_published_loop(soft: bool) -> None:
    x, parameters = seeds(), {**QUICK, "rounds": 4, "flip_every": 2, "doublings": 2, "reservoir": 3, "step": -20 / 255}
    run = papernot(x, told(x), Noise(0), nobody, soft=soft, side=4, **parameters)  # type: ignore[arg-type]
    found, rows = driven(run)
    S, weights = plainly(x, soft)
    assert [point["queries"] for point in found["curve"]] == [5, 10, 20, 23, 26]
    torch.testing.assert_close((torch.cat(rows) * 255).round(), S[5:].float())
    for mine, plain in zip(found["weights"], weights, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-4, atol=1e-6)


def plainly(x: Tensor, soft: bool) -> tuple[Tensor, list[Tensor]]:
    """The same in one plain loop: no states, no slices, floats for pictures."""
    noise = Noise(0)
    F = Student("convolutional", (2, 4, 4), 3, 4, noise)
    S, answers = x.double(), told(x)
    for rho in range(5):
        n, y = len(S), answers.softmax(1) if soft else answers.argmax(1)
        for _ in range(2):
            order = noise.uniform(torch.empty(n), 0, 1).argsort()
            for first in range(0, n, 4):
                batch = order[first : first + 4]
                F.learn(F.small(S[batch].to(torch.uint8)), y[batch], 0.01)
        if rho == 4:
            return S, F.weights
        count = n if rho < 2 else 3
        chosen = list(range(count))
        places = noise.uniform(torch.empty(n), 0, 1).double() * torch.arange(1, n + 1)
        for i in range(count, n):
            if int(places[i]) < count:
                chosen[int(places[i])] = i
        base = S[chosen]
        pixels = (base / 255).float().requires_grad_()
        logits = F.module((pixels - 0.5) / 0.5)
        k = answers[chosen].argmax(1)
        (J,) = torch.autograd.grad(logits[range(count), k].sum(), pixels)
        lambda_ = -20 * (-1) ** (rho // 2)
        S = torch.cat([S, (base + lambda_ * J.sign()).clamp(0, 255)])
        answers = torch.cat([answers, oracle((S[n:] / 255).float())])
    raise AssertionError


def test_random_signs_ask_as_much_and_go_elsewhere() -> None:
    x = seeds()
    runs = [
        papernot(x, told(x), Noise(0), nobody, signs, **QUICK)  # type: ignore[arg-type]
        for signs in ("jacobian", "random")
    ]
    (mine, rows), (control, others) = map(driven, runs)
    assert mine["queries"] == control["queries"] == 20
    assert not torch.equal(torch.cat(rows), torch.cat(others))
    assert ((torch.cat(others)[:5] * 255 - x).abs().round() <= 25).all()


def test_its_images_are_counted_and_no_more_than_the_limit_are_asked_about() -> None:
    assert sizes(100, None, rounds=5, doublings=6, reservoir=400) == [100, 200, 400, 800, 1600, 3200]
    assert sizes(100, None, rounds=4, doublings=1, reservoir=50) == [100, 200, 250, 300, 350]
    assert sizes(100, 350, rounds=4, doublings=6, reservoir=400) == [100, 200, 350]
    x = seeds()
    found, rows = driven(papernot(x, told(x), Noise(0), nobody, limit=13, **QUICK))  # type: ignore[arg-type]
    assert (found["queries"], sum(map(len, rows)), found["stopped_by"]) == (13, 8, "queries")


def test_a_budget_that_ends_is_used_to_the_image_and_learnt_from() -> None:
    x = seeds()
    found, rows = driven(papernot(x, told(x), Noise(0), nobody, **QUICK), budget=12)  # type: ignore[arg-type]
    assert sum(map(len, rows)) == 12
    assert (found["queries"], found["stopped_by"]) == (17, "budget")
    assert [point["queries"] for point in found["curve"]] == [5, 10, 17]


def test_it_goes_on_from_every_state_with_the_same_bits() -> None:
    x = seeds()
    whole, _ = driven(papernot(x, told(x), Noise(0), nobody, **QUICK))  # type: ignore[arg-type]
    states: list[Any] = []

    def out(asked: Any) -> Any:
        if isinstance(asked, Progress):
            states.append(to_arrays(asked.state))
        return asked

    driven(relayed(papernot(x, told(x), Noise(0), nobody, **QUICK), out))  # type: ignore[arg-type]
    for state in states[::3]:
        run = papernot(x, told(x), Noise(9), nobody, state=to_tensors(state), **QUICK)  # type: ignore[arg-type]
        again, asked = driven(run)
        assert all(torch.equal(a, b) for a, b in zip(again["weights"], whole["weights"], strict=True))
        assert again["curve"] == whole["curve"]
        assert sum(map(len, asked)) == 20 - len(state["told"]["$tensor"])


# ── the operation ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def network() -> Network:
    return network_of("small", nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 4)), (3, 8, 8), dtype=torch.float32)


def images(n: int = 12) -> list[np.ndarray[Any, Any]]:
    return list(np.random.default_rng(0).integers(0, 256, (n, 8, 8, 3), dtype=np.uint8))


def question(**parameters: Any) -> Question:
    first, *more = images()
    return Question("substitute", "small", first, "papernot", QUICK | parameters, seconds=math.inf, more=more)


def asked_of(network: Network, *questions: Question) -> tuple[list[dict[str, Any]], list[Any]]:
    engine = Engine([network])
    runs = [engine.submit(one.begin(engine.networks)) for one in questions]
    engine.run_until(lambda: all(run.over for run in runs))
    return [run.result for run in runs], runs


def test_what_was_asked_is_what_the_engine_counted_and_the_white_box_is_apart(network: Network) -> None:
    (found,), (run,) = asked_of(network, question())
    summary = found["summary"]
    assert summary["queries"] == {"training": 8, "evaluation": 10 + 3 * 8 * 10, "control": 6 + 3 * 8 * 10}
    assert sum(summary["queries"].values()) == run.cost.forward_rows
    assert run.cost.gradient_rows == 10 * 2 * 2 * ((1 + 1) + (10 + 1))
    assert [point["queries"] for point in summary["curve"]] == [2, 4, 8]
    assert len(summary["white_box"]) == len(summary["curve"][-1]["transfer"]) == 8
    assert all(at["fooled"]["of"] == 10 for at in summary["curve"][-1]["transfer"])
    assert sum(entry["seed"] for entry in found["results"]) == summary["seeds"] == 2
    agreed = [
        entry["prediction"]["index"] == entry["substitute"]["index"] for entry in found["results"] if not entry["seed"]
    ]
    assert sum(agreed) == summary["curve"][-1]["agreement"]["count"]


def test_alone_and_in_company_it_finds_the_same(network: Network) -> None:
    (alone,), _ = asked_of(network, question(white_box=False))
    together, _ = asked_of(network, question(white_box=False), question(white_box=False, seeds=3))
    assert np.array_equal(alone["summary"]["archive"], together[0]["summary"]["archive"])
    assert alone["summary"]["curve"] == together[0]["summary"]["curve"]


@pytest.mark.parametrize("most", [12, 20, 47, 100, 400])
def test_no_image_more_than_max_queries_is_asked_about(network: Network, most: int) -> None:
    (found,), (run,) = asked_of(network, question(max_queries=most, epsilons=[0.1]))
    assert run.cost.forward_rows == sum(found["summary"]["queries"].values()) <= most
    assert found["summary"]["stopped_by"] == ("queries" if most < 47 else "rounds")
    assert run.cost.forward_rows > 0.8 * min(most, 154)


def test_where_queries_are_scarce_a_quarter_goes_to_what_the_last_substitute_transfers() -> None:
    method = {"rounds": 9, "doublings": 9, "reservoir": 1}
    allowed = Allowance.of(method, 100, 100, 2000, 1, targeted=False, control=False)
    assert (allowed.judged, allowed.every) == (100, False)
    assert allowed.images == 100 + 1800 - 100 * 2
    assert not allowed.judges(0)
    assert allowed.judges(allowed.last)


def test_who_tells_labels_alone_is_learnt_from_by_labels(network: Network) -> None:
    telling = replace(network, card=replace(network.card, tells="labels"))
    (found,), _ = asked_of(telling, question(white_box=False))
    (hard,), _ = asked_of(network, question(white_box=False, answers="hard"))
    assert (found["summary"]["answers"], hard["summary"]["answers"]) == ("hard", "hard")
    assert found["summary"]["curve"] == hard["summary"]["curve"]
    assert "probability" not in found["results"][0]["prediction"]
    with pytest.raises(BadParameter, match="labels alone"):
        Plan.of(telling.card, operation("substitute"), 12, method="papernot", parameters={"answers": "soft"})


def test_images_that_the_model_gets_wrong_are_not_tried(network: Network) -> None:
    (plain,), _ = asked_of(network, question(rounds=0, control=False, white_box=False))
    k = [entry["prediction"]["index"] for entry in plain["results"]]
    wrong = next(i for i, entry in enumerate(plain["results"]) if not entry["seed"])
    labels = [(c + (i == wrong)) % 4 for i, c in enumerate(k)]
    (found,), _ = asked_of(network, question(rounds=0, control=False, white_box=False, labels=labels))
    assert found["summary"]["judged"] == plain["summary"]["judged"] - 1 == 9
    assert found["summary"]["curve"][-1]["agreement"] == plain["summary"]["curve"][-1]["agreement"]


@pytest.mark.parametrize(
    ("parameters", "pointer", "says"),
    [
        ({"seeds": 12}, "/parameters/seeds", "leave none to judge by"),
        ({"max_queries": 11}, "/parameters/max_queries", "takes 12"),
        ({"rounds": 100, "doublings": 100}, "/parameters/rounds", "fewer rounds"),
        ({"answers": "true"}, "/parameters/answers", "soft"),
        ({"labels": [0]}, "/parameters/labels", "12 images"),
    ],
)
def test_what_cannot_be_asked_is_said_before_any_row(
    network: Network, parameters: dict[str, Any], pointer: str, says: str
) -> None:
    with pytest.raises(BadParameter, match=says) as refused:
        Plan.of(network.card, operation("substitute"), 12, method="papernot", parameters=parameters)
    assert refused.value.errors[0].pointer == pointer
