"""A run is cut off anywhere and taken up from its last state: it comes to the same bits at the same cost."""

import inspect
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import rakinglight.question
from rakinglight.backends.torch_backend import TorchBackend
from rakinglight.catalogue import OPERATIONS
from rakinglight.engine import Engine
from rakinglight.errors import BadParameter, DeadlineExceeded
from rakinglight.inverted import Inverted
from rakinglight.maps import Map
from rakinglight.network import Network
from rakinglight.news import newest
from rakinglight.noise import Noise
from rakinglight.queries import Algorithm, Forward, Progress, Slope
from rakinglight.question import Question
from rakinglight.relays import resumable
from rakinglight.run import Cost, Run
from rakinglight.states import to_arrays, to_tensors
from rakinglight.wire import Frame, array_to_json
from rakinglight.worker import Mailbox, Worker
from tests.networks import network_of

SHAPE = (3, 10, 12)
NETWORK = network_of(
    "small",
    nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 8 * 10, 5)),
    SHAPE,
    layers={"0": (4, 8, 10), "1": (4, 8, 10)},
)
#: Of the same classes, for what is made on another network.
SOURCE = network_of("source", nn.Sequential(nn.Flatten(), nn.Linear(3 * 6 * 6, 5)), (3, 6, 6))
PIXELS = np.random.default_rng(0).integers(0, 256, (10, 12, 3), dtype=np.uint8)
LARGER = np.random.default_rng(1).integers(0, 256, (17, 15, 3), dtype=np.uint8)  # of another size than the model's

#: Of each method that can be taken up again, parameters by which it has some states.
PARAMETERS: dict[str, dict[str, Any]] = {
    "apgd": {"steps": 4, "restarts": 2},
    "square": {"queries": 12, "epsilon": 0.01},
    "nes": {"queries": 20, "n_samples": 2, "epsilon": 0.01},
    "hop_skip_jump": {"queries": 150, "initial_rows": 20},
    "boundary": {"queries": 40},
    "auto": {"steps": 2, "target_classes": 1, "queries": 4, "epsilon": 0.01},
    "pgd": {"steps": 6},
    "least_likely": {"steps": 6},
    "most_likely": {"steps": 6},
    "transfer": {"models": ["source"], "steps": 5, "momentum": 0.9},
    "deepfool": {"target": {"rank": -1}},
    "lbfgs": {"steps": 3, "binary_search_steps": 4},
    "smoothgrad": {"n_samples": 200},
    "vargrad": {"n_samples": 200},
    "integrated_gradients": {"n_steps": 200},
    "second_order": {"n_samples": 110},
    "sliding": {"window": 1, "stride": 1, "per_channel": True},
    "rise": {"masks": 200},
    "invert": {"steps": 5, "layer": "1", "beginning": "noise", "repeats": 2, "jitter": 1},
    "caricature": {"steps": 4, "layer": "0", "jitter": 1},
    "edit": {"steps": 4, "target": {"rank": 2}, "optimizer": "momentum"},
    "activation_maximization": {"steps": 4, "target": 1, "starts": 2, "compare_softmax": True},
    "deep_dream": {"steps": 2, "octaves": 2, "frames": 1, "layer": "0", "jitter": 2},
    "style": {"steps": 4, "style": array_to_json(PIXELS), "style_layers": ["0"], "content_layer": "0"},
    "fooling": {
        "target": 1,
        "encoding": "cppn",
        "confidence": 0.9999,
        "queries": 60,
        "population": 10,
        "noise_images": 100,
    },
}
RESUMABLE = [
    (operation.name, method.name)
    for operation in OPERATIONS.values()
    for method in operation.methods
    if not operation.together  # of those see test_universal.py
    if "state" in inspect.signature(method.algorithm).parameters
]
FIGURES = ["deletion", "insertion", "infidelity", "max_sensitivity"]


def question(operation: str, method: str, pixels: np.ndarray[Any, Any] = PIXELS, **parameters: Any) -> Question:
    return Question(operation, "small", pixels, method, parameters, seed=3)


CASES = [
    *(pytest.param(question(operation, method, **PARAMETERS[method]), id=method) for operation, method in RESUMABLE),
    *(
        pytest.param(
            question("attack", "pgd", pixels, norm=norm, random_start=True, steps=6, epsilon=0.5),
            id=f"pgd {norm} {size}",
        )
        for norm in ("linf", "l2")
        for size, pixels in (("at the model's size", PIXELS), ("through a view", LARGER))
    ),
    pytest.param(question("attack", "pgd", LARGER, restarts=3, steps=3, epsilon=0.5), id="pgd, several starts"),
    pytest.param(question("attack", "deepfool", LARGER, norm="linf", target={"rank": -1}), id="deepfool linf"),
    pytest.param(question("occlusion", "rise", masks=200, fill="noise"), id="rise, a fill of noise"),
    pytest.param(question("occlusion", "rise", masks=2000, standard_error=0.05), id="rise, to a standard error"),
    pytest.param(
        question("occlusion", "sliding", window=1, stride=1, per_channel=True, fill="noise"),
        id="sliding, a fill of noise",
    ),
    pytest.param(
        question("saliency", "integrated_gradients", n_steps=150, baseline="noise"),
        id="integrated_gradients, a baseline of noise",
    ),
    pytest.param(question("saliency", "second_order", n_samples=70, baseline="noise"), id="second_order from noise"),
    pytest.param(question("saliency", "gradient", evaluate=FIGURES), id="figures of a method that is begun anew"),
    pytest.param(question("saliency", "smoothgrad", n_samples=70, evaluate=FIGURES), id="smoothgrad and its figures"),
    pytest.param(
        question("saliency", "integrated_gradients", n_steps=70, evaluate=["randomization", "infidelity"]),
        id="figures of shares",
    ),
    pytest.param(
        question("occlusion", "sliding", LARGER, window=2, stride=1, evaluate=["deletion", "max_sensitivity"]),
        id="sliding and its figures",
    ),
]
cases = pytest.mark.parametrize("asked", CASES)


@dataclass
class Driven:
    """A run that has come to its end.

    saved  what would have come with its progress, each state through the wire
    told   the progress itself
    rows   that went through the network for it
    """

    run: Run[Any]
    saved: list[Mapping[str, Any]]
    told: list[Progress]
    rows: int

    @property
    def best(self) -> list[Any]:
        """What it would have shown at each state."""
        return [to_tensors(to_arrays(progress.best)) for progress in self.told if progress.state is not None]


def driven(asked: Question, saved: Mapping[str, Any] | None = None, network: Network = NETWORK) -> Driven:
    """The run of `asked`, driven to its end from the state in `saved`."""
    engine, states, told = Engine([network, SOURCE]), list[Mapping[str, Any]](), list[Progress]()

    def notify(news: Any) -> None:
        if isinstance(news, Progress):
            told.append(news)
            if news.state is not None:
                body = {"saved": {"state": to_arrays(news.state), "cost": asdict(run.cost)}}
                states.append(Frame.read(bytes(Frame("progress", body))).body["saved"])

    request = bytes(Frame("request", replace(asked, saved=saved).to_body()))
    run = engine.submit(Question.from_body(Frame.read(request).body).begin(engine.networks, notify))
    engine.run_until(lambda: run.over)
    engine.close()
    return Driven(run, states, told, sum(engine.counts.rows.values()))


def same_bits(a: Any, b: Any) -> bool:
    """Whether two trees are of the same types, shapes and bits."""
    if type(a) is not type(b):
        return False
    if is_dataclass(a):
        return all(same_bits(getattr(a, member.name), getattr(b, member.name)) for member in fields(a))
    if isinstance(a, torch.Tensor):
        return same_bits(a.numpy(), b.numpy())
    if isinstance(a, np.ndarray):
        return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same_bits(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same_bits, a, b))
    return bool(a == b)


# ── from every state ────────────────────────────────────────────────────────────────────────────────────────────────


@cases
def test_from_any_state_it_comes_to_the_same_bits_at_the_same_cost(asked: Question) -> None:
    alone = driven(asked)
    assert len(alone.saved) > 1
    for number, saved in enumerate(alone.saved):
        again = driven(asked, saved)
        assert same_bits(again.run.result, alone.run.result)
        assert again.run.cost == alone.run.cost
        assert again.rows == alone.rows - Cost(**saved["cost"]).rows  # nothing was asked twice
        assert same_bits(again.saved, alone.saved[number + 1 :])


@cases
def test_it_may_be_cut_off_at_every_state(asked: Question) -> None:
    alone, saved, spent = driven(asked), None, 0
    for _ in range(len(alone.saved)):
        before, ride = saved, driven(asked, saved)
        saved = ride.saved[0]
        spent += Cost(**saved["cost"]).rows - (Cost(**before["cost"]).rows if before else 0)
    last = driven(asked, saved)
    assert same_bits(last.run.result, alone.run.result)
    assert (last.run.cost, spent + last.rows) == (alone.run.cost, alone.rows)


@cases
def test_stopped_at_once_it_shows_what_the_state_had(asked: Question) -> None:
    alone = driven(asked)
    for saved, best in zip(alone.saved[:-1], alone.best, strict=False):
        again = driven(replace(asked, seconds=0.0), saved)
        found, phase = again.run.result, "figures" if "figures" in saved["state"] else "method"
        assert found["partial"]
        if phase == "figures":
            assert same_bits(found["evaluation"], best)
        elif isinstance(best, Map):
            assert same_bits(found["map"], best.map.numpy())
        elif isinstance(best, Inverted):
            assert same_bits(found["image"], best.ordered().image.numpy())
        else:
            assert same_bits(found["exact"]["image"], best.numpy())
        if asked.operation == "inversion":  # the picture is judged, and its errors are measured where it has any
            assert 1 <= again.rows <= 3
        else:
            assert again.rows == (2 if asked.operation == "attack" else 0)  # both pictures are judged


@cases
def test_rows_before_the_state_count_as_spent(asked: Question) -> None:
    whole = driven(asked)
    rows = Cost(**whole.saved[1]["cost"]).rows + max(2, OPERATIONS[asked.operation].reserve)
    needed = whole.rows
    if asked.operation == "inversion":  # more is kept for the end than is needed of it
        needed = Cost(**whole.saved[-1]["cost"]).rows + OPERATIONS["inversion"].reserve
    limited = replace(asked, max_rows=rows)
    alone, again = driven(limited), driven(limited, whole.saved[0])
    assert alone.run.result.get("partial", False) is (needed > rows)
    assert same_bits(again.run.result, alone.run.result)
    assert again.run.cost == alone.run.cost


@cases
def test_a_state_that_was_taken_is_not_written_to(asked: Question) -> None:
    engine, taken = Engine([NETWORK, SOURCE]), []

    def notify(news: Any) -> None:
        if isinstance(news, Progress) and news.state is not None:
            state = to_arrays(news.state)
            taken.append((state, bytes(Frame("progress", state))))

    run = engine.submit(asked.begin(engine.networks, notify))
    engine.run_until(lambda: run.over)
    saved = {"state": taken[0][0], "cost": asdict(Cost(forward_rows=1))}
    for _ in range(2):
        again = engine.submit(replace(asked, saved=saved).begin(engine.networks))
        engine.run_until(lambda run=again: run.over)  # type: ignore[misc]
        assert same_bits(again.result, run.result)
    assert all(bytes(Frame("progress", state)) == raw for state, raw in taken)


def test_a_large_image_that_is_worked_on_in_a_thread_is_taken_up_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rakinglight.question, "LARGE", 1)
    asked = question("attack", "pgd", LARGER, norm="l2", epsilon=0.5)
    alone = driven(asked)
    assert len(alone.saved) == 10
    assert same_bits(driven(asked, alone.saved[4]).run.result, alone.run.result)
    assert driven(replace(asked, seconds=0.0), alone.saved[4]).run.result["partial"]


class Strided(TorchBackend):
    """Its gradients lie in memory with the channels last."""

    def gradient(self, *asked: Any, **how: Any) -> Slope:
        objective, g, logits = super().gradient(*asked, **how)
        return Slope(objective, g.contiguous(memory_format=torch.channels_last), logits)


@pytest.mark.parametrize(
    "asked",
    [
        question("saliency", "gradient", evaluate=["infidelity", "max_sensitivity", "max_sensitivity"]),
        question("attack", "pgd", LARGER, norm="l2", epsilon=0.5),
        question("saliency", "second_order", n_samples=110),
    ],
    ids=lambda asked: asked.method,
)
def test_the_order_of_a_backends_memory_makes_no_difference(asked: Question) -> None:
    usual = NETWORK.gradient
    assert isinstance(usual, TorchBackend)
    strided = Strided(usual.module.network, NETWORK.card.mean, NETWORK.card.std, dtype=torch.float64)
    network = replace(NETWORK, gradient=strided)
    alone = driven(asked, network=network)
    for saved in alone.saved:
        assert same_bits(driven(asked, saved, network).run.result, alone.run.result)
    assert same_bits(driven(asked).run.result, alone.run.result)


# ── what is told ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_taken_up_it_tells_first_where_it_stands() -> None:
    asked = question("attack", "pgd", steps=6)
    alone = driven(asked)
    again = driven(asked, alone.saved[3])
    assert [(news.step, news.of, news.objective) for news in again.told] == [
        (news.step, news.of, news.objective) for news in alone.told[3:]
    ]
    assert again.told[0].state is None  # whoever took it up has it


def test_within_a_figure_there_is_no_state() -> None:
    alone = driven(question("saliency", "smoothgrad", n_samples=70, evaluate=FIGURES))
    told = [(news.step, news.of) for news in alone.told if news.state is not None]
    assert told == [(64, 70), (70, 70), *((figures, 4) for figures in range(5))]
    assert sum(news.of == 4 for news in alone.told) > 5


def test_a_kill_in_the_fourth_figure_costs_that_figure_alone() -> None:
    asked = question("saliency", "smoothgrad", n_samples=70, evaluate=FIGURES)
    alone = driven(asked)
    again = driven(asked, alone.saved[-2])
    assert list(alone.saved[-2]["state"]["figures"]["best"]) == FIGURES[:3]
    assert again.rows == 10 * 70  # max_sensitivity, by ten maps


def test_a_method_of_one_step_has_no_state() -> None:
    assert not driven(question("attack", "fgsm")).saved
    assert not driven(question("saliency", "gradient")).saved


def test_who_is_late_before_it_was_begun_shows_what_its_state_had() -> None:
    asked = question("attack", "pgd", steps=6)
    saved = driven(asked).saved[2]
    engine = Engine([NETWORK], live_limit=1)
    first = engine.submit(question("attack", "pgd", steps=50).begin(engine.networks))
    engine.step()
    late = [engine.submit(replace(asked, seconds=0.0, saved=known).begin(engine.networks)) for known in (saved, None)]
    engine.run_until(lambda: all(run.over for run in late))
    assert not first.over
    assert late[0].result["partial"]
    with pytest.raises(DeadlineExceeded):
        _ = late[1].result
    engine.close()


# ── whose state is ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("operation", "method"), RESUMABLE)
def test_a_state_is_no_parameter_of_a_caller(operation: str, method: str) -> None:
    there = OPERATIONS[operation]
    assert "state" not in there.parameters(there.method(method)).model_fields
    with pytest.raises(BadParameter, match="'state' is no parameter"):
        question(operation, method, state={}).begin({"small": NETWORK})


# ── the parts ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_noise_goes_on_from_where_it_was() -> None:
    noise, like = Noise(1), torch.empty(5)
    noise.normal(like)
    state = noise.state.clone()
    expected = [noise.normal(like), noise.uniform(like, 0, 1)]
    other = Noise(2)
    other.go_on(state)
    assert same_bits([other.normal(like), other.uniform(like, 0, 1)], expected)


def test_a_tree_comes_back_as_it_was() -> None:
    tree = {
        "none": None,
        "numbers": [1, 0.1, float("inf"), True, "text"],
        "scalar": torch.tensor(1 / 3, dtype=torch.float64),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "holes": torch.full((2, 0, 3), torch.nan),
        "turned": torch.rand(3, 4).T.contiguous(),
        "array": np.arange(3, dtype=np.float32),
        "map": Map(torch.rand(2, 3), torch.rand(1, 2, 3), facts={"grid": torch.tensor([torch.nan]), "n": 3, "e": None}),
    }
    again = to_tensors(Frame.read(bytes(Frame("progress", to_arrays(tree)))).body)
    assert same_bits(again, tree)
    again["bytes"] += 1  # what came over the wire cannot be written to, what is made of it can


def test_the_cost_has_every_field() -> None:
    cost = Cost(3, 4, 5, 0.1)
    assert Cost(**Frame.read(bytes(Frame("progress", asdict(cost)))).body) == cost


def test_a_phase_names_its_states_and_keeps_what_is_known() -> None:
    def counting(state: Mapping[str, Any] | None) -> Algorithm[int]:
        for n in range(state["step"] if state else 0, 3):
            yield Forward(torch.zeros(1, 1, 1))
            yield Progress(n + 1, 3, best=n, state={"double": 2 * n})
        return 7

    def news(algorithm: Algorithm[int]) -> Iterator[Progress]:
        return (asked for asked in algorithm if isinstance(asked, Progress))

    first = next(news(resumable(counting, {}, "count", name="ada")))
    assert first.state == {
        "name": "ada",
        "count": {"double": 0, "step": 1, "of": 3, "objective": None, "best": 0},
    }
    told = [progress.step for progress in news(resumable(counting, first.state, "count"))]
    assert told == [1, 2, 3]


def test_an_unread_frame_leaves_what_it_brought_to_the_newer_one() -> None:
    bodies: Sequence[dict[str, Any]] = [{"step": 1, "saved": "a", "map": "b"}, {"step": 2}, {"step": 3, "saved": "c"}]
    unread = None
    seen = [unread := newest(unread, Frame("progress", body)) for body in bodies]
    assert [frame.body for frame in seen] == [
        bodies[0],
        {"step": 2, "saved": "a", "map": "b"},
        {"step": 3, "saved": "c", "map": "b"},
    ]


# ── through a worker ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker([NETWORK])
    yield worker
    worker.stop()


def answered(worker: Worker, asked: Question) -> tuple[list[Frame], Frame]:
    """The progress that was seen, and the last frame, each through the wire."""
    worker.open("a", bytes(Frame("request", asked.to_body())))
    seen: list[Frame] = []
    end = time.monotonic() + 20
    for _ in itertools.count():
        assert time.monotonic() < end
        frames, over = worker.collect("a")
        seen += [Frame.read(bytes(frame)) for frame in frames]
        if over:
            return seen[:-1], seen[-1]
        worker.wait(0.001)
    raise AssertionError


@pytest.mark.parametrize(("state_s", "brings"), [(None, 0), (3600.0, 1)])
def test_progress_brings_a_state_to_who_wants_it_and_no_more_often(
    worker: Worker, state_s: float | None, brings: int
) -> None:
    progress, _ = answered(worker, replace(question("attack", "pgd"), state_s=state_s))
    assert sum("saved" in frame.body for frame in progress) == brings


def test_from_what_a_worker_told_another_comes_to_the_same(worker: Worker) -> None:
    asked = replace(question("occlusion", "rise", masks=2000), state_s=0.0)
    progress, result = answered(worker, asked)
    saved = [frame.body["saved"] for frame in progress if "saved" in frame.body]
    _, again = answered(worker, replace(asked, saved=saved[0]))
    assert bytes(again) == bytes(result)
    _, partial = answered(worker, replace(asked, saved=saved[0], seconds=0.0))
    assert (partial.kind, partial.body["result"]["partial"]) == ("result", True)


def test_a_state_that_nobody_has_collected_stays(worker: Worker) -> None:
    asked = replace(question("occlusion", "rise"), state_s=3600.0)
    mailbox, total = Mailbox(run=asked.begin({"small": NETWORK}), saved_at=-7200.0), torch.ones(2)
    worker._tell(mailbox, Progress(1, 3, state={"total": total}), asked)
    total += 1  # an algorithm may go on adding to its own
    worker._tell(mailbox, Progress(2, 3, state={"total": total}), asked)
    assert mailbox.progress is not None
    assert mailbox.progress.body["step"] == 2
    assert same_bits(mailbox.progress.body["saved"]["state"], to_arrays({"total": torch.ones(2)}))


def test_a_saved_state_of_something_else_is_the_problem_of_its_ticket_alone(worker: Worker) -> None:
    asked = question("occlusion", "rise")
    _, odd = answered(worker, replace(asked, saved={"state": {"tea": "leaves"}, "cost": asdict(Cost())}))
    _, good = answered(worker, asked)
    assert (odd.kind, good.kind) == ("problem", "result")
