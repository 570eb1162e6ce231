"""Universal perturbations: the two algorithms by hand and on digits, stopped, taken up again, and applied."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import rakinglight
from model_store import digits
from rakinglight.algorithms.universal import universal as applied
from rakinglight.algorithms.universal_deepfool import deepfool
from rakinglight.algorithms.universal_gradient import BETA, gradient
from rakinglight.client import Client
from rakinglight.engine import Engine
from rakinglight.errors import BadParameter
from rakinglight.geometry import Geometry
from rakinglight.network import Network
from rakinglight.noise import Noise
from rakinglight.norms import NORMS
from rakinglight.queries import Forward, Gradient, Progress, Scores, Slope
from rakinglight.question import Question
from rakinglight.relays import relayed
from rakinglight.results import Progress as Told
from rakinglight.results import Universal
from rakinglight.states import to_arrays, to_tensors
from rakinglight.view import View
from rakinglight.wire import array_to_json
from tests.rakinglight.house import KEY, House

K = torch.tensor([0, 1])
GREY = torch.full((2, 1, 1, 2), 0.5)


def drawn(count: int) -> Tensor:
    images, _ = digits.pixels("train")
    return torch.from_numpy(images[:count])


def answers(lenet: Network, x: Tensor) -> Tensor:
    scores: Scores = lenet.forward.forward(x, ())
    return scores.logits.argmax(1)


# ── by hand ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_gradient_step_is_up_the_sum_of_what_is_not_fooled_for_good() -> None:
    run = gradient(GREY, K, Noise(0), epsilon=0.2, epochs=2, batch_size=2)
    asked = next(run)
    assert isinstance(asked, Gradient)
    torch.testing.assert_close(asked.rows, GREY)
    g = torch.tensor([[[[1.0, -1.0]]], [[[-9.0, 9.0]]]])
    fooled_for_good = torch.tensor([1.0, BETA])
    order = [objective.y for objective in asked.objective]  # type: ignore[union-attr]
    told = run.send(Slope(fooled_for_good, g, torch.eye(2)[order]))
    assert isinstance(told, Progress)
    torch.testing.assert_close(told.best, torch.tensor([[[0.02, -0.02]]]))


def test_a_pixel_that_is_clipped_pulls_no_more() -> None:
    black_and_white = torch.tensor([[[[0.0, 1.0]]]])
    state = {"step": 0, "of": 1, "objective": 0.0, "best": torch.tensor([[[-0.1, 0.1]]])}
    state |= {"order": torch.tensor([0]), "noise": Noise(0).state, "delta": state["best"], "rate": -1.0}
    run = gradient(black_and_white, K[:1], Noise(0), state, epsilon=0.2, epochs=2)
    torch.testing.assert_close(next(run).rows, black_and_white)
    told = run.send(Slope(torch.ones(1), torch.ones(1, 1, 1, 2), torch.eye(2)[:1]))
    torch.testing.assert_close(told.best, torch.tensor([[[-0.1, 0.1]]]))


def test_deepfool_leaves_alone_who_is_fooled_already() -> None:
    run = deepfool(GREY[:1], K[:1], Noise(0), epsilon=0.2)
    asked = next(run)
    assert isinstance(asked, Forward)
    assert asked.single
    elsewhere = torch.tensor([0.0, 1.0])
    every = run.send(Scores(elsewhere))
    assert len(every) == 1
    told = run.send(Scores(elsewhere[None]))
    assert (told.step, told.objective) == (1, 1.0)
    with pytest.raises(StopIteration) as done:
        next(run)
    assert not done.value.value.any()


def test_deepfool_asks_about_no_row_twice(lenet: Network) -> None:
    asked: list[bytes] = []

    def noted(query: Any) -> Any:
        if isinstance(query, Forward) and query.single:
            asked.append(query.batch.numpy().tobytes())
        return query

    x = drawn(4)
    Engine([lenet]).drive(relayed(deepfool(x, answers(lenet, x), Noise(0), epsilon=0.1, epochs=1), noted))
    assert len(asked) == len(set(asked)) > 4


def test_in_l2_a_later_start_is_in_the_ball_and_not_on_it() -> None:
    state = {"step": 1, "of": 2, "objective": 0.0, "best": GREY[0] * 0, "order": torch.tensor([0]), "rate": 1.0}
    state |= {"noise": Noise(0).state, "delta": state["best"]}
    run = gradient(GREY[:1], K[:1], Noise(0), state, norm="l2", epsilon=0.2, epochs=1, restarts=2)
    start = next(run).rows - GREY[:1]
    torch.testing.assert_close(start[0], NORMS["l2"].random(Noise(0), GREY[0], 0.2), atol=1e-7, rtol=0)
    assert 0 < float(NORMS["l2"].size(start)) < 0.2 - 1e-3


# ── on digits ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("method", "count", "epochs", "least"), [(deepfool, 20, 2, 5.0), (gradient, 400, 10, 20.0)])
def test_it_fools_many_times_as_many_held_out_digits_as_noise_does(
    lenet: Network, method: Any, count: int, epochs: int, least: float
) -> None:
    x, held_out = drawn(count), torch.from_numpy(digits.pixels("held-out")[0])
    v = Engine([lenet]).drive(method(x, answers(lenet, x), Noise(0), epsilon=0.2, epochs=epochs))
    assert float(v.abs().max()) <= np.float32(0.2)
    k = answers(lenet, held_out)
    fooled = int((answers(lenet, (held_out + v).clamp(0, 1)) != k).sum())
    noise = 0.2 * Noise(1).normal(v).sign()
    by_noise = int((answers(lenet, (held_out + noise).clamp(0, 1)) != k).sum())
    assert fooled >= least * by_noise
    if method is gradient:
        assert fooled >= 0.75 * len(held_out)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        (deepfool, {"epochs": 2}),
        (deepfool, {"epochs": 5, "fooling_rate": 0.1}),  # which is reached before
        (gradient, {"batch_size": 3, "restarts": 2}),
    ],
)
def test_a_run_that_is_taken_up_ends_with_the_same_bits(lenet: Network, method: Any, options: dict[str, Any]) -> None:
    x = drawn(8)
    k, states = answers(lenet, x), []

    def keep(news: Any) -> None:
        if isinstance(news, Progress):
            said = {"step": news.step, "of": news.of, "objective": news.objective, "best": news.best}
            states.append(to_arrays({**(news.state or {}), **said}))

    options |= {"norm": "l2", "epsilon": 2.0}
    whole = Engine([lenet]).drive(method(x, k, Noise(0), **options), notify=keep)
    for state in (states[len(states) // 2], states[-1]):
        assert torch.equal(Engine([lenet]).drive(method(x, k, Noise(0), to_tensors(state), **options)), whole)
    assert float(whole.norm()) <= 2.0 + 1e-6


def asked(lenet: Network, max_rows: int | None = None, **parameters: Any) -> dict[str, Any]:
    """What the operation finds of ten digits by `gradient`."""
    first, *more = digits.pictures("seeds")[0][:10].transpose(0, 2, 3, 1)
    said = {"epsilon": 0.2, "epochs": 2, **parameters}
    engine = Engine([lenet])
    run = Question("universal", "lenet5-digits", first, "gradient", said, max_rows=max_rows, more=more)
    under_way = engine.submit(run.begin(engine.networks))
    engine.run_until(lambda: under_way.over)
    found: dict[str, Any] = under_way.result
    return found


def test_it_is_made_of_fewer_images_too_and_judged_by_those_held_out(lenet: Network) -> None:
    found = asked(lenet, image_counts=[3, 100])
    summary = found["summary"]
    counts = [(at["images"], at["given"]["of"], at["held_out"]["of"]) for at in summary["curve"]]
    assert counts == [(3, 3, 2), (8, 8, 2)]
    assert sum(entry["held_out"] for entry in found["results"]) == summary["held_out"]["of"] == summary["noise"]["of"]
    assert summary["curve"][-1]["held_out"] == summary["held_out"]


def test_where_none_is_held_out_those_given_judge(lenet: Network) -> None:
    summary = asked(lenet, holdout=0)["summary"]
    assert summary["held_out"] is None
    assert summary["given"]["of"] == summary["noise"]["of"] == 10


def test_what_is_stopped_answers_with_what_it_had_reached(lenet: Network) -> None:
    whole, cut = asked(lenet, epochs=10), asked(lenet, max_rows=100, epochs=10)
    assert "partial" not in whole["summary"]
    assert cut["summary"]["partial"]
    assert len(cut["results"]) == 10
    assert [at["images"] for at in cut["summary"]["curve"]] == [8]
    assert not np.array_equal(cut["summary"]["perturbation"], whole["summary"]["perturbation"])


# ── applied ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def apply(x: Tensor, view: View, v: Tensor, **options: Any) -> Tensor:
    run = applied(x, view, perturbation=array_to_json(v.numpy()), **options)
    assert isinstance(next(run), Progress)
    with pytest.raises(StopIteration) as done:
        next(run)
    found: Tensor = done.value.value
    return found


@pytest.mark.parametrize("size", [(8, 8), (16, 16), (40, 24), (5, 9)])
def test_at_another_size_it_is_no_larger_and_the_model_sees_about_the_same(size: tuple[int, int]) -> None:
    x = torch.full((3, *size), 0.5)
    view = View(Geometry.of(*size, (3, 8, 8)), x)
    y, column = torch.meshgrid(torch.linspace(-1, 1, 8), torch.linspace(-1, 1, 8), indexing="ij")
    v = 0.1 * torch.stack([y, column, y * column])
    x_adv = apply(x, view, v, epsilon=0.1)
    assert float((x_adv - x).abs().max()) <= 0.1 + 1e-6
    seen = view(x_adv) - view(x)
    assert float(torch.nn.functional.cosine_similarity(seen.flatten(), v.flatten(), dim=0)) > 0.98


def test_of_another_network_s_size_it_is_resized(small_view: View) -> None:
    x = torch.full((3, 8, 8), 0.5)
    x_adv = apply(x, small_view, torch.full((3, 4, 4), 0.05), epsilon=0.1)
    torch.testing.assert_close(x_adv, x + 0.05)


@pytest.mark.parametrize("said", ["pert_0123456789abcdefghij", array_to_json(np.zeros((1, 8, 8), np.float32))])
def test_here_neither_an_id_nor_other_channels_will_do(small_view: View, said: Any) -> None:
    with pytest.raises(BadParameter):
        next(applied(torch.full((3, 8, 8), 0.5), small_view, perturbation=said))


@pytest.fixture
def small_view() -> View:
    return View(Geometry.of(8, 8, (3, 8, 8)), torch.zeros(3, 8, 8))


# ── by the client ───────────────────────────────────────────────────────────────────────────────────────────────────

PICTURES = [np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8) for seed in range(5)]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    house = House(tmp_path_factory.mktemp("home"))
    with rakinglight.connect(house.url, KEY) as client:
        yield client
    house.close()


def test_a_client_waits_for_the_job_that_it_is_at_a_service(client: Client) -> None:
    model = client.model("small")
    found = model.universal(PICTURES, "gradient", epsilon=0.3)
    assert all(isinstance(one, Universal) for one in found)
    one = found[0]
    assert one.perturbation.shape == (3, 8, 8)
    assert one.fooling_rate.of == 1
    assert one.picture.size[0] > 8
    assert one.chart.size == (560, 500)
    assert one.id is not None
    assert [kept["id"] for kept in client.perturbations()] == [one.id]
    by_id = model.attack(PICTURES[0], "universal", perturbation=one.id, epsilon=0.3)
    itself = model.attack(PICTURES[0], "universal", perturbation=one.perturbation, epsilon=0.3)
    np.testing.assert_array_equal(by_id.exact, itself.exact)
    client.delete_perturbation(one.id)
    assert list(client.perturbations()) == []


def test_a_stream_of_it_ends_with_the_answer(client: Client) -> None:
    *told, last = client.model("small").universal.stream(PICTURES, "gradient", epsilon=0.3)
    assert all(isinstance(news, Told) for news in told)
    assert isinstance(last, list)
    assert len(last) == len(PICTURES)


def test_with_no_service_it_is_the_same_without_an_id(archive_store: Path) -> None:
    with rakinglight.local(archive_store) as client:
        images = list(digits.pictures("seeds")[0][:5, 0])
        found = client.model("lenet5-digits").universal(images, "gradient", epsilon=0.2, epochs=1)
    assert found[0].id is None
    assert found[0].perturbation.shape == (1, 32, 32)
