"""Sliding occlusion: against Captum, against its closed form on a linear model, and with what it refuses."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import captum.attr
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from rakinglight.algorithms.sliding import places, sliding, window_and_stride
from rakinglight.archives import find_archives, opened
from rakinglight.catalogue import OPERATIONS
from rakinglight.engine import Engine
from rakinglight.errors import BadParameter
from rakinglight.fills import filled
from rakinglight.maps import Map
from rakinglight.network import Network
from rakinglight.noise import Noise
from rakinglight.objectives import Logit, Objective, Probability
from rakinglight.queries import WAVE, Forward, Progress, Scores
from rakinglight.question import Question
from rakinglight.relays import relayed, so_far
from rakinglight.rows import Patched
from rakinglight.subject import Subject
from tests.largest import Largest
from tests.networks import network_of

Array = np.ndarray[Any, Any]

C, H, W = SHAPE = (2, 4, 5)
X = torch.rand(SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def explained(network: Network, x: Tensor, score: Objective, **parameters: Any) -> Map:
    found = Engine([network]).drive(sliding(x, score, Noise(0), **parameters))
    assert isinstance(found, Map)
    return found


# ── where the window stands ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("length", "window", "stride", "expected"),
    [
        (8, 4, 2, [0, 2, 4]),
        (9, 4, 2, [0, 2, 4, 5]),
        (5, 2, 2, [0, 2, 3]),
        (5, 5, 1, [0]),
        (5, 4, 4, [0, 1]),
        (3, 1, 1, [0, 1, 2]),
    ],
)
def test_the_last_place_is_at_the_border(length: int, window: int, stride: int, expected: list[int]) -> None:
    assert places(length, window, stride) == expected


@given(length=st.integers(1, 40), data=st.data())
def test_every_window_is_whole_and_every_pixel_covered(length: int, data: st.DataObject) -> None:
    window = data.draw(st.integers(1, length))
    starts = places(length, window, data.draw(st.integers(1, window)))
    assert {y for start in starts for y in range(start, start + window)} == set(range(length))
    assert starts == sorted(set(starts))


def test_by_default_the_window_is_a_seventh_of_the_shorter_side_and_moves_by_half() -> None:
    assert window_and_stride((3, 224, 300), None, None) == (32, 16)
    assert window_and_stride((1, 3, 3), None, None) == (1, 1)


# ── closed forms ────────────────────────────────────────────────────────────────────────────────────────────────────


def weights(network: Network) -> Tensor:
    """The rows w_c [K, C, H, W] of a linear network."""
    parameter = next(p for p in network.forward.module.parameters() if p.ndim == 2)  # type: ignore[attr-defined]
    return parameter.detach().reshape(-1, *SHAPE)  # type: ignore[no-any-return]


def by_hand(lost: Tensor, window: int, stride: int) -> Tensor:
    """For each pixel of each plane of `lost` [n, H, W], the mean over the covering windows of the sum within."""
    found = torch.zeros_like(lost)
    count = torch.zeros_like(lost)
    for top, left in product(places(H, window, stride), places(W, window, stride)):
        inside = (slice(None), slice(top, top + window), slice(left, left + window))
        found[inside] += lost[inside].sum((1, 2), keepdim=True)
        count[inside] += 1
    return found / count


sizes = pytest.mark.parametrize(("window", "stride"), [(2, 1), (2, 2), (3, 1), (3, 2), (3, 3), (4, 3), (1, 1)])
fills = pytest.mark.parametrize("fill", ["grey", "mean", "blur", "noise", 0.25])


@sizes
@fills
def test_on_a_linear_model_it_is_the_mean_over_windows_of_what_they_hide(
    linear_network: Network, window: int, stride: int, fill: Any
) -> None:
    lost = weights(linear_network)[1] * (X - filled(X, fill, Noise(0)))
    found = explained(linear_network, X, Logit(1), window=window, stride=stride, fill=fill)
    torch.testing.assert_close(found.map, by_hand(lost.sum(0, keepdim=True), window, stride)[0])
    assert found.signed is None


@sizes
def test_per_channel_each_has_its_own_and_a_pixel_their_sum(linear_network: Network, window: int, stride: int) -> None:
    lost = weights(linear_network)[1] * (X - 0.5)
    found = explained(linear_network, X, Logit(1), window=window, stride=stride, per_channel=True)
    expected = by_hand(lost, window, stride)
    torch.testing.assert_close(found.signed, expected)
    torch.testing.assert_close(found.map, expected.sum(0))
    assert found.facts["grid"].shape == (C, len(places(H, window, stride)), len(places(W, window, stride)))


def test_the_grid_is_the_score_with_the_window_at_each_place(linear_network: Network) -> None:
    found = explained(linear_network, X, Logit(2), window=2, stride=2, fill=0.0)
    w, b = weights(linear_network)[2], float(linear_network.forward.forward(X[None] * 0).logits[0, 2])
    whole = float((w * X).sum()) + b
    for (i, top), (j, left) in product(enumerate([0, 2]), enumerate([0, 2, 3])):
        hidden = (w * X)[:, top : top + 2, left : left + 2].sum()
        assert float(found.facts["grid"][i, j]) == pytest.approx(whole - float(hidden))
    assert found.facts["score_whole"] == pytest.approx(whole)
    assert (found.facts["window"], found.facts["stride"]) == (2, 2)


# ── Captum ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def plain(home: Path, name: str) -> Callable[[Tensor], Tensor]:
    """The probabilities of the network `name`, with nothing of ours around it."""
    with opened(find_archives(home)[name]) as archive:
        card = archive.card()
        module = archive.module(card, archive.weights(card))
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (card.mean, card.std))
    return lambda rows: module((rows - mean) / std).softmax(1)


def captums(
    probabilities: Callable[[Tensor], Tensor], x: Tensor, c: int, window: int, stride: int, channels: int
) -> Tensor:
    """Captum's map of class `c`, covering so many `channels` at a time: [C, H, W]."""
    with torch.no_grad():
        found: Tensor = captum.attr.Occlusion(probabilities).attribute(
            x[None],
            sliding_window_shapes=(channels, window, window),
            strides=(channels, stride, stride),
            baselines=0.5,
            target=c,
            perturbations_per_eval=16,
        )
    return found[0]


def relative_difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


@pytest.mark.parametrize(("window", "stride"), [(8, 4), (8, 8), (4, 2), (12, 5)])
def test_on_lenet_it_is_captums(
    archive_store: Path, lenet: Network, digits: tuple[Array, Array], window: int, stride: int
) -> None:
    x, c = torch.from_numpy(digits[0][0]).float() / 255, int(digits[1][0])
    found = explained(lenet, x, Probability(c), window=window, stride=stride)
    expected = captums(plain(archive_store, "lenet5-digits"), x, c, window, stride, 1)
    assert relative_difference(found.map, expected[0]) < 1e-4


def test_on_lite0_it_is_captums(archive_store: Path, lite0: Network, photographs: dict[str, Array]) -> None:
    x = Subject.of(lite0.card, photographs["chelsea"]).seen
    found = explained(lite0, x, Probability(281), window=32, stride=16)
    expected = captums(plain(archive_store, lite0.card.name), x, 281, 32, 16, 3)
    assert relative_difference(found.map, expected[0]) < 1e-4
    assert found.facts["grid"].shape == (13, 13)


@pytest.mark.parametrize("channels", [1, 3])
def test_per_channel_it_is_captums_too(small_convolution: Network, channels: int) -> None:
    x = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    found = explained(small_convolution, x, Probability(4), window=4, stride=2, per_channel=channels == 1)
    expected = captums(lambda rows: small_convolution.forward.forward(rows).logits.softmax(1), x, 4, 4, 2, channels)
    ours = found.map if found.signed is None else found.signed
    assert relative_difference(ours, expected[0] if channels == 3 else expected) < 1e-6  # Captum adds up in float32


# ── how it asks ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_thousands_of_rows_never_exist_together() -> None:
    network = network_of("flat", nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, 2)), (1, 32, 32), counts=(16,))
    with Largest() as largest:
        explained(network, torch.full((1, 32, 32), 0.7, dtype=torch.float64), Logit(0), window=8, stride=1)
    assert 2 * WAVE < 25 * 25
    assert largest.elements <= WAVE * 32 * 32


def test_it_asks_for_scores_alone_a_wave_at_a_time() -> None:
    waves, progress = [], []

    def witnessed(asked: Any) -> Any:
        if isinstance(asked, Progress):
            progress.append((asked.step, asked.of))
        else:
            assert isinstance(asked, Forward)
            waves.append(len(asked))
        return asked

    network = network_of("flat", nn.Sequential(nn.Flatten(), nn.Linear(144, 2)), (1, 12, 12))
    x = torch.rand(1, 12, 12, dtype=torch.float64)
    Engine([network]).drive(relayed(sliding(x, Logit(0), Noise(0), window=3, stride=1), witnessed))
    assert waves == [1, 64, 36]
    assert progress == [(64, 100), (100, 100)]


def test_stopped_early_it_shows_the_windows_that_it_has_seen() -> None:
    network = network_of("flat", nn.Sequential(nn.Flatten(), nn.Linear(144, 2)), (1, 12, 12))
    x = torch.rand(1, 12, 12, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    whole = explained(network, x, Logit(0), window=3, stride=1)
    found, partial = Engine([network]).drive(
        so_far(sliding(x, Logit(0), Noise(0), window=3, stride=1)), max_rows=1 + WAVE
    )
    assert partial
    grid = found.facts["grid"]
    assert torch.equal(grid.flatten()[:WAVE], whole.facts["grid"].flatten()[:WAVE])
    assert grid.flatten()[WAVE:].isnan().all()
    torch.testing.assert_close(found.map[:6], whole.map[:6])  # rows of pixels whose windows have all been seen
    assert (found.map[9:] == 0).all()  # none of theirs has: 64 places are six rows of ten and four


# ── what it refuses ─────────────────────────────────────────────────────────────────────────────────────────────────


refused = pytest.mark.parametrize(
    ("parameters", "pointer", "words"),
    [
        ({"window": 33}, "/parameters/window", "window is 33.*32×32.*32 at most"),
        ({"window": 4, "stride": 5}, "/parameters/stride", "stride is 5 and window 4.*never be covered.*4 at most"),
        ({"stride": 9}, "/parameters/stride", "stride is 9 and window 4"),
    ],
    ids=["a window larger than the image", "a stride over its window", "a stride over the default window"],
)


@refused
def test_the_door_refuses_it(lenet: Network, parameters: dict[str, int], pointer: str, words: str) -> None:
    operation = OPERATIONS["occlusion"]
    with pytest.raises(BadParameter, match=words) as refusal:
        operation.check(operation.method("sliding"), parameters, lenet.card, images=1)
    assert [error.pointer for error in refusal.value.errors] == [pointer]


@refused
def test_the_algorithm_refuses_it_before_it_asks_anything(parameters: dict[str, int], pointer: str, words: str) -> None:
    with pytest.raises(BadParameter, match=words) as refusal:
        next(sliding(torch.rand(1, 32, 32), Logit(0), Noise(0), **parameters))
    assert [error.pointer for error in refusal.value.errors] == [pointer]


def test_as_an_operation_it_explains_the_probability_and_counts_its_rows(
    lenet: Network, digits: tuple[Array, Array]
) -> None:
    engine = Engine([lenet])
    pixels = np.ascontiguousarray(digits[0][0].transpose(1, 2, 0))
    question = Question("occlusion", lenet.card.name, pixels, "sliding", {"window": 8, "stride": 4})
    run = engine.submit(question.begin(engine.networks))
    engine.run_until(lambda: run.over)
    assert run.result["score_whole"] == pytest.approx(run.result["prediction"]["probability"])
    assert run.result["map"].shape == (32, 32)
    assert run.result["grid"].shape == (7, 7)
    assert run.cost.rows == 2 + 49
    assert "partial" not in run.result


def test_patches_are_asked_for_as_such() -> None:
    """A backend that can do with less than whole rows sees the patches and not the pixels."""
    flow = sliding(X, Logit(0), Noise(0), window=2, stride=2)
    next(flow)
    asked = flow.send(Scores(torch.zeros(3)))
    assert isinstance(asked.rows, Patched)
    assert asked.rows.corners.tolist() == [[0, 0], [0, 2], [0, 3], [2, 0], [2, 2], [2, 3]]
