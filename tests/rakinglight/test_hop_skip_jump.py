"""HopSkipJump played by hand, on linear models, in a budget, and beside Foolbox's."""

import math
import statistics
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import rakinglight
from rakinglight.algorithms.hop_skip_jump import Estimate, hop_skip_jump, probes
from rakinglight.catalogue import OPERATIONS
from rakinglight.decisions import STARTS, noisy
from rakinglight.engine import Engine
from rakinglight.errors import BadParameter
from rakinglight.example import Example
from rakinglight.network import Network
from rakinglight.noise import Noise
from rakinglight.norms import NORMS, NormName
from rakinglight.objectives import Goal
from rakinglight.plan import Plan
from rakinglight.question import Question
from rakinglight.run import Run
from rakinglight.wire import array_to_json
from tests.half_space import LABEL, X, a_normal, half_space, play
from tests.networks import network_of
from tests.plain import drive_all, plain

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # theirs: deprecated imports of SciPy's
    import foolbox

each_norm = pytest.mark.parametrize("norm", NORMS)


def one_hot(logits: Tensor) -> Tensor:
    """What is told of them where labels alone are."""
    return torch.full_like(logits, -1000.0).scatter(-1, logits.argmax(-1, keepdim=True), 0.0)


# ── the parts ───────────────────────────────────────────────────────────────────────────────────────────────────────


@each_norm
def test_a_probe_has_size_one(norm: NormName) -> None:
    u = probes(X, 7, norm, Noise(0))
    assert u.shape == (7, *X.shape)
    torch.testing.assert_close(u.flatten(1).norm(dim=1), torch.ones(7, dtype=torch.float64), rtol=0, atol=1e-6)


@each_norm
@pytest.mark.parametrize("offset", [0.0, 0.15, -0.15], ids=["on the boundary", "before it", "beyond it"])
def test_the_mean_of_the_estimate_is_the_normal(norm: NormName, offset: float) -> None:
    normal, v = a_normal(), Estimate(0, 0, X * 0, X * 0)
    noise = Noise(1)
    for _ in range(40):
        u = probes(X, 200, norm, noise)
        v.add(u, (u * normal).flatten(1).sum(1) > offset)
    assert v.b == 8000
    assert float((v.direction * normal).sum()) > 0.99


def test_where_all_probes_say_the_same_it_goes_with_them_or_against() -> None:
    u = probes(X, 3, "l2", Noise(0))
    for reached, sign in ((True, 1), (False, -1)):
        v = Estimate(0, 0, X * 0, X * 0)
        v.add(u, torch.full((3,), reached))
        torch.testing.assert_close(v.direction, sign * u.sum(0) / u.sum(0).norm())


def test_noise_is_uniform_first_and_then_coarser() -> None:
    rows = noisy(torch.zeros(2, 8, 9), range(8), Noise(0))
    assert rows.shape == (8, 2, 8, 9)
    assert [len(row[0].unique()) for row in rows] == [72, 20, 6, 2, 72, 20, 6, 2]
    assert 0 <= rows.min() <= rows.max() < 1


# ── played by hand ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_begins_at_noise_and_halves_the_way_to_the_boundary() -> None:
    beyond = half_space(a_normal(), 0.05)
    asked, told, _ = play(hop_skip_jump(X, Goal(0), Noise(0), LABEL, queries=60), beyond)
    assert told[0].best is X
    begun = next(i for i, rows in enumerate(asked) if beyond(rows).any())
    start = asked[begun][int(beyond(asked[begun]).int().argmax())]
    low, high = 0.0, 1.0
    for rows in asked[begun + 1 : begun + 8]:
        middle = (low + high) / 2
        torch.testing.assert_close(rows[0], X + middle * (start - X))
        low, high = (low, middle) if beyond(rows)[0] else (middle, high)


@pytest.mark.parametrize("queries", [1, 2, 5, 9, 10, 11, 12, 30, 31, 100, 333])
def test_it_never_asks_one_row_more(queries: int) -> None:
    beyond = half_space(a_normal(), 0.2)
    asked, told, found = play(hop_skip_jump(X, Goal(0), Noise(0), LABEL, queries=queries, initial_rows=10), beyond)
    assert sum(map(len, asked)) <= queries
    assert sum(map(len, asked)) >= queries - 9  # the step and the way back that an estimate must have left
    assert told[-1].step <= queries
    rows = torch.cat(asked)
    nearest = rows[beyond(rows)]
    if len(nearest):
        assert float((found - X).norm()) == float((nearest - X).flatten(1).norm(dim=1).min())
    else:
        assert isinstance(found, Example)


@each_norm
def test_it_comes_to_the_hyperplane(norm: NormName) -> None:
    normal = a_normal()
    there = {"l2": 0.3, "linf": 0.3 / float(normal.abs().sum())}[norm]
    found = [
        play(hop_skip_jump(X, Goal(0), Noise(seed), LABEL, norm=norm, queries=n), half_space(normal, 0.3))[2]
        for seed, n in ((0, 300), (0, 4000))
    ]
    far = [float(NORMS[norm].size(x - X)) for x in found]
    assert there < far[1] < far[0]
    assert far[1] < 1.05 * there


def test_its_probes_go_in_waves_and_grow_with_the_root_of_the_step() -> None:
    asked, _, _ = play(
        hop_skip_jump(X, Goal(0), Noise(0), LABEL, queries=900, initial_rows=100), half_space(a_normal(), 0.2)
    )
    sizes = [len(rows) for rows in asked if len(rows) > 8]
    assert sizes[:7] == [64, 36, 64, 64, 13, 64, 64]  # 100, 141, 173, …


def test_nothing_is_asked_about_an_image_that_is_there_already() -> None:
    asked, told, found = play(hop_skip_jump(X, Goal(1), Noise(0), LABEL), half_space(a_normal(), 0.2))
    assert (asked, told) == ([], [])
    assert found is X


def test_where_there_is_nowhere_to_begin_it_says_so() -> None:
    asked, _, found = play(hop_skip_jump(X, Goal(0), Noise(0), LABEL), lambda rows: torch.zeros(len(rows)))
    assert sum(map(len, asked)) == STARTS
    assert found.x is X
    assert f"of {STARTS} rows of noise the model says anything but class 0 of none" in found.facts["note"]


def test_coarser_probes_are_seen_by_a_model_that_is_shown_pictures() -> None:
    x = torch.full((1, 16, 16), 0.5, dtype=torch.float64)
    normal = torch.randn(x.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)

    def shown_in_eight_bits(rows: Tensor) -> Tensor:
        return ((((rows * 255).round() / 255 - x) * normal / normal.norm()).flatten(1).sum(1)) > 0.5

    published, coarse = (
        play(hop_skip_jump(x, Goal(0), Noise(0), LABEL, queries=1500, gamma=gamma), shown_in_eight_bits)[2]
        for gamma in (1.0, 30.0)
    )
    assert float((coarse - x).norm()) < 0.8 * float((published - x).norm())


# ── a start ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_begins_at_the_image_that_is_given() -> None:
    beyond = half_space(a_normal(), 0.2)
    given = (X + 0.4 * a_normal()).float()
    start = array_to_json(given.numpy())
    asked, _, _ = play(hop_skip_jump(X, Goal(0), Noise(0), LABEL, queries=50, start=start), beyond)
    torch.testing.assert_close(asked[0][0], given.double())
    torch.testing.assert_close(asked[1][0], (X + given) / 2)


def test_a_start_that_is_not_there_is_no_start() -> None:
    start = array_to_json(X.float().numpy())
    asked, _, found = play(hop_skip_jump(X, Goal(0), Noise(0), LABEL, start=start), half_space(a_normal(), 0.2))
    assert sum(map(len, asked)) == 1
    assert "start" in found.facts["note"]


@pytest.mark.parametrize(
    ("start", "why"),
    [
        (np.zeros((1, 5, 4), np.float32), r"start is 1x5x4, and the image is 1x4x5"),
        (np.full((1, 4, 5), 1.5, np.float32), r"values outside of \[0, 1\]"),
        (np.full((1, 4, 5), np.nan, np.float32), r"values outside of \[0, 1\]"),
    ],
)
def test_a_start_that_is_no_image_is_refused(start: Any, why: str) -> None:
    with pytest.raises(BadParameter, match=why):
        play(hop_skip_jump(X, Goal(0), Noise(0), LABEL, start=array_to_json(start)), half_space(a_normal(), 0.2))


@pytest.mark.parametrize("start", ["", 3, {"dtype": "float32"}, array_to_json(np.zeros(3, np.float32))])
def test_a_start_that_is_no_picture_is_refused_at_the_door(start: Any) -> None:
    operation = OPERATIONS["attack"]
    with pytest.raises(BadParameter) as refused:
        operation.read(operation.by_name["hop_skip_jump"], {"start": start})
    assert refused.value.errors[0].pointer == "/parameters/start"


# ── labels alone ────────────────────────────────────────────────────────────────────────────────────────────────────


class LabelsAlone(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        return one_hot(self.module(x))


def module() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 5))


SHAPE = (3, 8, 8)
NETWORK = network_of("small", module(), SHAPE)
ONE_HOT = network_of("small", LabelsAlone(module()), SHAPE)
TELLS_LABELS = replace(ONE_HOT, card=replace(ONE_HOT.card, tells="labels", differentiable=False), gradient=None)
PIXELS = np.random.default_rng(0).integers(0, 256, (11, 9, 3), dtype=np.uint8)


def attacked(network: Network, method: str, pixels: Any = PIXELS, max_rows: int | None = None, **said: Any) -> Run[Any]:
    engine = Engine([network])
    asked = Question("attack", "small", pixels, method, said, seed=1, max_rows=max_rows)
    run = engine.submit(asked.begin(engine.networks))
    engine.run_until(lambda: run.over)
    return run


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("hop_skip_jump", {"queries": 400, "initial_rows": 30}),
        ("hop_skip_jump", {"queries": 400, "initial_rows": 30, "norm": "linf"}),
        ("boundary", {"queries": 200}),
    ],
    ids=["hop_skip_jump", "hop_skip_jump linf", "boundary"],
)
def test_it_uses_nothing_but_which_class_is_first(method: str, said: dict[str, Any]) -> None:
    real, labels, told = (attacked(network, method, **said) for network in (NETWORK, ONE_HOT, TELLS_LABELS))
    assert real.result["success"]
    for run in (labels, told):
        assert run.cost == real.cost
        assert np.array_equal(run.result["adversarial"], real.result["adversarial"])
        assert np.array_equal(run.result["exact"]["image"], real.result["exact"]["image"])
        for name in ("distance", "trace", "search_queries", "proof_queries"):
            assert run.result[name] == real.result[name]
    assert set(told.result["before"]) == {"index", "label"}


@pytest.mark.parametrize("operation", ["attack", "occlusion"])
def test_what_needs_scores_says_so_at_once_where_there_are_labels(operation: str) -> None:
    for method in OPERATIONS[operation].methods:
        if method.asks == "scores":
            with pytest.raises(
                BadParameter, match=f"^{method.name} asks for scores, and small tells labels alone; "
            ) as e:
                Plan.of(TELLS_LABELS.card, OPERATIONS[operation], 1, method=method.name)
            assert e.value.errors[0].pointer == "/method"
            if operation == "attack":
                assert "hop_skip_jump and boundary do with labels" in e.value.detail


def test_robustness_refuses_such_a_method_too_and_takes_those_that_do_with_labels() -> None:
    said = {"labels": [0], "epsilons": [0.2]}
    with pytest.raises(BadParameter, match="square asks for scores, and small tells labels alone") as e:
        Plan.of(TELLS_LABELS.card, OPERATIONS["robustness"], 1, parameters={**said, "methods": ["square"]})
    assert e.value.errors[0].pointer == "/parameters/methods/0/method"
    Plan.of(TELLS_LABELS.card, OPERATIONS["robustness"], 1, parameters={**said, "methods": ["hop_skip_jump"]})


def test_robustness_is_measured_by_labels_alone() -> None:
    label = int(attacked(NETWORK, "hop_skip_jump", queries=1).result["before"]["index"])
    said = {
        "labels": label,
        "methods": [{"method": "hop_skip_jump", "parameters": {"queries": 400}}],
        "epsilons": [0.01, 1.0],
        "norm": "linf",
    }
    results = []
    for network in (NETWORK, TELLS_LABELS):
        engine = Engine([network])
        run = engine.submit(
            Question("robustness", "small", PIXELS, None, {**said, "checks": False}).begin(engine.networks)
        )
        engine.run_until(lambda run=run: run.over)
        results.append([(row["robust"], row["broken_by"], row["distance"]) for row in run.result["epsilons"]])
    assert results[0] == results[1]
    assert results[0][1][:2] == (False, "hop_skip_jump")


@pytest.mark.parametrize("target", [{"rank": 2}, {"rank": -1}])
def test_a_rank_is_refused_where_there_are_labels(target: Any) -> None:
    with pytest.raises(BadParameter, match=r"tells labels alone, so nobody knows its rank"):
        Plan.of(TELLS_LABELS.card, OPERATIONS["attack"], 1, method="hop_skip_jump", parameters={"target": target})


def test_the_client_is_refused_before_a_row_is_asked(archive_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with rakinglight.local(archive_store) as client:
        transport: Any = client._transport
        card = replace(transport.read_card("lenet5-digits"), tells="labels")
        monkeypatch.setattr(transport, "read_card", lambda name: card)
        with pytest.raises(BadParameter, match="square asks for scores, and lenet5-digits tells labels alone"):
            client.model("lenet5-digits").attack(np.zeros((32, 32), np.uint8), "square")


# ── through the operation ───────────────────────────────────────────────────────────────────────────────────────────


def test_its_result_tells_distance_against_queries_and_names_all_rows() -> None:
    run = attacked(NETWORK, "hop_skip_jump", queries=300, initial_rows=20)
    trace = run.result["trace"]
    assert trace["queries"] == sorted(set(trace["queries"]))
    assert trace["distance"] == sorted(trace["distance"], reverse=True)
    assert trace["queries"][-1] <= run.result["search_queries"] <= 300
    assert trace["distance"][-1] == pytest.approx(run.result["exact"]["distance"]["l2"], rel=1e-4)
    assert run.cost.rows == 1 + run.result["search_queries"] + run.result["proof_queries"]
    assert run.cost.gradient_rows == 0
    assert run.result["proof_queries"] <= 32
    assert all(b <= 0.97 * a for a, b in zip(trace["distance"][:-2], trace["distance"][1:-1], strict=True))


def test_more_queries_go_on_where_fewer_ended() -> None:
    few, many = (attacked(NETWORK, "hop_skip_jump", queries=n).result["trace"] for n in (300, 600))
    shared = len(few["queries"]) - 3  # the last estimate has as many rows as are left
    assert shared >= 3
    assert few["queries"][:shared] == many["queries"][:shared]


def test_of_a_ball_the_trace_is_the_first_success() -> None:
    for method in ("square", "nes"):
        broken = attacked(NETWORK, method, epsilon=0.9, queries=300).result
        assert broken["success"]
        assert broken["trace"]["queries"][0] <= broken["search_queries"]
        withstood = attacked(NETWORK, method, epsilon=1 / 255, queries=40).result
        assert withstood["trace"] == {"queries": [], "distance": []}
        assert withstood["search_queries"] <= 40


def test_a_method_that_sees_gradients_has_no_trace() -> None:
    assert "trace" not in attacked(NETWORK, "pgd").result


def test_with_no_start_it_fails_with_a_note_and_no_error() -> None:
    target = (int(attacked(NETWORK, "hop_skip_jump", queries=1).result["before"]["index"]) + 1) % 5
    flat = np.zeros((3, 11, 9), np.float32)
    result = attacked(NETWORK, "hop_skip_jump", target=target, start=array_to_json(flat)).result
    if not result["success"]:
        assert "start" in result["note"]
    black = network_of("small", Stubborn(), SHAPE)
    result = attacked(black, "boundary").result
    assert not result["success"]
    assert not result["exact"]["success"]
    assert result["note"].startswith("No point was found to begin at")
    assert result["distance"] == {"linf": 0, "l2": 0, "l0": 0}


class Stubborn(nn.Module):
    """Says the same of everything."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tensor([[1.0, 0.0]], dtype=x.dtype).expand(len(x), 2)


def test_towards_a_target_from_an_image_of_it() -> None:
    network, noise = NETWORK, torch.Generator().manual_seed(0)
    pixels = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    images = torch.rand(200, *SHAPE, generator=noise)
    said = network.forward.forward(images.double()).logits.argmax(1)
    before = attacked(network, "hop_skip_jump", pixels, queries=1).result["before"]["index"]
    other = next(i for i, c in enumerate(said.tolist()) if c != before)
    start = array_to_json(images[other].numpy())
    found = attacked(network, "hop_skip_jump", pixels, target=int(said[other]), start=start, queries=300).result
    assert found["success"]
    assert found["after"]["index"] == int(said[other])
    assert found["trace"]["queries"][0] == 1


def test_out_of_rows_it_shows_what_it_has() -> None:
    run = attacked(NETWORK, "hop_skip_jump", max_rows=300)
    assert run.result["partial"]
    assert 250 < run.cost.rows <= 300
    assert run.result["exact"]["success"]


def test_its_bits_are_the_same_in_company() -> None:
    def all_of(*seeds: int) -> list[Any]:
        engine = Engine([NETWORK])
        runs = [
            engine.submit(Question("attack", "small", PIXELS, m, {"queries": 150}, seed=s).begin(engine.networks))
            for s in seeds
            for m in ("hop_skip_jump", "boundary", "nes")
        ]
        engine.run_until(lambda: all(run.over for run in runs))
        return [run.result["exact"]["image"] for run in runs]

    alone, company = all_of(7), all_of(5, 7, 6)[3:6]
    assert all(np.array_equal(a, b) for a, b in zip(alone, company, strict=True))


# ── beside Foolbox ──────────────────────────────────────────────────────────────────────────────────────────────────


class Enough(Exception):
    pass


def test_it_comes_as_near_as_the_peer_with_as_many_queries(
    lenet: Network, archive_store: Path, digits: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
) -> None:
    """On 5 digits, give or take a third: on 100 they are compared in docs/evidence/queries.md."""
    most, peers = 300, plain(archive_store, "lenet5-digits")
    x, y = torch.from_numpy(digits[0][:5]).float() / 255, torch.from_numpy(digits[1][:5])
    logits = lenet.forward.forward(x).logits
    assert bool((logits.argmax(1) == y).all())

    def by_peer(i: int) -> float:
        asked, nearest = 0, math.inf

        def answer(rows: Tensor) -> Tensor:
            nonlocal asked, nearest
            if asked >= most:
                raise Enough
            asked += len(rows)
            with torch.no_grad():
                said: Tensor = peers(rows)
            for row in rows[said.argmax(1) != y[i]]:
                nearest = min(nearest, float((row - x[i]).norm()))
            return said

        class Asked(nn.Module):
            def forward(self, rows: Tensor) -> Tensor:
                return answer(rows)

        model = foolbox.models.pytorch.PyTorchModel(Asked().eval(), bounds=(0, 1), device="cpu")
        torch.manual_seed(i)
        with pytest.raises(Enough):
            foolbox.attacks.HopSkipJumpAttack()(model, x[i][None], y[i][None], epsilons=None)
        return nearest

    searches = [hop_skip_jump(x[i], Goal(int(y[i])), Noise(i), logits[i], queries=most) for i in range(5)]
    ours = [float((found - x[i]).norm()) for i, found in enumerate(drive_all(lenet, searches))]
    theirs = [by_peer(i) for i in range(5)]
    assert statistics.median(ours) < 1.33 * statistics.median(theirs)
