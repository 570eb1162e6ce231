"""RISE: the authors' masks, the paper's estimate, its expectation and error on a linear model."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from skimage.transform import resize
from torch import Tensor, nn

from rakinglight.algorithms.rise import random_masks, rise
from rakinglight.catalogue import OPERATIONS
from rakinglight.engine import Engine
from rakinglight.errors import BadParameter
from rakinglight.fills import filled
from rakinglight.maps import Map
from rakinglight.network import Network
from rakinglight.noise import Noise
from rakinglight.objectives import Logit, Objective, Probability
from rakinglight.queries import WAVE, Forward, Progress
from rakinglight.question import Question
from rakinglight.relays import relayed, so_far
from rakinglight.rows import Masked
from tests.largest import Largest
from tests.networks import network_of

Array = np.ndarray[Any, Any]

SHAPE = (2, 9, 11)
X = torch.rand(SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture(scope="module")
def linear() -> Network:
    """S = w x + b."""
    return network_of("linear", nn.Sequential(nn.Flatten(), nn.Linear(198, 2)), SHAPE, counts=(16, 64))


def explained(network: Network, x: Tensor, score: Objective, seed: int = 0, **parameters: Any) -> Map:
    found = Engine([network]).drive(rise(x, score, Noise(seed), **parameters))
    assert isinstance(found, Map)
    return found


# ── masks ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("height", "width", "cells"), [(224, 224, 7), (32, 32, 7), (32, 32, 8), (9, 11, 2), (30, 17, 5), (8, 8, 8)]
)
def test_masks_are_the_authors(height: int, width: int, cells: int) -> None:
    """The same grids and shifts, enlarged and cut as their code does it, with scikit-image."""
    x = torch.zeros(3, height, width)
    masks = random_masks(x, 4, cells, 0.5, Noise(3))
    draws = Noise(3).uniform(torch.zeros(4, cells * cells + 2), 0, 1).double().numpy()
    for mask, u in zip(masks, draws, strict=True):
        cell_h, cell_w = math.ceil(height / cells), math.ceil(width / cells)
        grid = (u[:-2].reshape(cells, cells) < 0.5).astype("float32")
        up = resize(grid, ((cells + 1) * cell_h, (cells + 1) * cell_w), order=1, mode="reflect", anti_aliasing=False)
        top, left = int(u[-2] * cell_h), int(u[-1] * cell_w)
        assert np.abs(mask.numpy() - up[top : top + height, left : left + width]).max() < 1e-6


def test_a_mask_is_the_same_however_many_are_made_at_a_time() -> None:
    noise = Noise(5)
    parts = torch.cat([random_masks(X, n, 4, 0.3, noise) for n in (1, 7, 16, 40)])
    assert torch.equal(parts, random_masks(X, 64, 4, 0.3, Noise(5)))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_every_pixel_is_kept_as_often_as_any_other(p: float) -> None:
    masks = random_masks(X, 4000, 3, p, Noise(0))
    assert masks.min() >= 0
    assert masks.max() <= 1
    assert (masks.mean(0) - p).abs().max() < 4.5 * math.sqrt(p * (1 - p) / 4000)


# ── the estimate ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_is_the_papers_formula_with_the_same_masks(lenet: Network, digits: tuple[Array, Array]) -> None:
    x, c = torch.from_numpy(digits[0][0]).float() / 255, int(digits[1][0])
    found = explained(lenet, x, Probability(c), seed=2, masks=200, keep_probability=0.4, fill=0.0)
    masks = random_masks(x, 200, 7, 0.4, Noise(2))
    scores = torch.cat([lenet.forward.forward(rows).logits.softmax(1)[:, c] for rows in (masks[:, None] * x).split(8)])
    expected = sum(s * m for s, m in zip(scores.double(), masks.double(), strict=True)) / (200 * 0.4)
    assert float((found.map - expected).abs().max() / expected.abs().max()) < 1e-5
    assert found.facts["masks_used"] == 200


def covariance(length: int, cells: int) -> Tensor:
    """How the masks' values at two places of a side go together, [length, length]: the mean of a a' over the shifts.

    a is how much of each cell a place takes. Cells are independent with variance p (1 - p), and the two sides' shifts
    are too, so the covariance of two pixels is p (1 - p) times the product of this for their rows and their columns.
    """
    cell = math.ceil(length / cells)
    unit = np.eye(cells)
    enlarged = np.stack(
        [resize(row, ((cells + 1) * cell,), order=1, mode="reflect", anti_aliasing=False) for row in unit], 1
    )
    shifted = [torch.from_numpy(enlarged[shift : shift + length]) for shift in range(cell)]
    return torch.stack([a @ a.T for a in shifted]).mean(0)


def expected_map(network: Network, p: float, cells: int, fill: Tensor) -> Tensor:
    """The mean of the estimate of S = w x + b of class 0 over all masks: (p S(p x + (1 - p) fill) + covariance) / p."""
    parameter = next(w for w in network.forward.module.parameters() if w.ndim == 2)  # type: ignore[attr-defined]
    share = (parameter[0].view(SHAPE) * (X - fill)).sum(0)
    mean_score = network.forward.forward((p * X + (1 - p) * fill)[None]).logits[0, 0]
    _, H, W = SHAPE
    with_share = p * (1 - p) * (covariance(H, cells) @ share @ covariance(W, cells))
    return ((p * mean_score + with_share) / p).detach()


cases = pytest.mark.parametrize(("p", "fill"), [(0.5, "grey"), (0.5, 0.0), (0.2, "mean")])


@cases
def test_on_a_linear_model_its_mean_is_the_score_and_the_covariance_of_the_masks(
    linear: Network, p: float, fill: Any
) -> None:
    expected = expected_map(linear, p, 3, filled(X, fill, Noise(0)))
    found = explained(linear, X, Logit(0), masks=10_000, cells=3, keep_probability=p, fill=fill)
    assert (found.map - expected).abs().max() < 4.5 * found.facts["standard_error"]
    assert found.facts["standard_error"] < 0.1 * expected.abs().max()


def test_its_error_falls_as_one_over_the_root_of_the_masks(linear: Network) -> None:
    expected = expected_map(linear, 0.5, 3, filled(X, "grey", Noise(0)))

    def mean_square(masks: int) -> float:
        found = [explained(linear, X, Logit(0), seed, masks=masks, cells=3).map for seed in range(24)]
        return float(((torch.stack(found) - expected) ** 2).mean())

    assert math.sqrt(mean_square(32) / mean_square(16 * 32)) == pytest.approx(4, rel=0.3)


# ── its standard error ──────────────────────────────────────────────────────────────────────────────────────────────


def test_its_standard_error_is_the_spread_over_seeds(linear: Network) -> None:
    found = [explained(linear, X, Logit(0), seed, masks=128, cells=3) for seed in range(60)]
    spread = float(torch.stack([each.map for each in found]).std(0).max())
    stated = float(np.mean([each.facts["standard_error"] for each in found]))
    assert stated == pytest.approx(spread, rel=0.3)


def test_it_stops_at_a_stated_standard_error_and_says_so(linear: Network) -> None:
    wanted = explained(linear, X, Logit(0), masks=1000, cells=3).facts["standard_error"]
    found = explained(linear, X, Logit(0), masks=10_000, cells=3, standard_error=wanted)
    assert found.facts["standard_error"] <= wanted
    assert found.facts["masks_used"] in (1024 - WAVE, 1024, 1024 + WAVE)
    same = explained(linear, X, Logit(0), masks=found.facts["masks_used"], cells=3)
    assert torch.equal(found.map, same.map)


def test_out_of_reach_it_uses_all_its_masks(linear: Network) -> None:
    found = explained(linear, X, Logit(0), masks=100, cells=3, standard_error=1e-6)
    assert found.facts["masks_used"] == 100
    assert found.facts["standard_error"] > 1e-6


def test_one_mask_has_none(linear: Network) -> None:
    assert explained(linear, X, Logit(0), masks=1, cells=3).facts == {"masks_used": 1, "standard_error": None}


# ── how it asks ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_eight_thousand_masks_never_exist_together() -> None:
    network = network_of("flat", nn.Sequential(nn.Flatten(), nn.Linear(144, 2)), (1, 12, 12), counts=(64,))
    with Largest() as largest:
        found = explained(network, torch.full((1, 12, 12), 0.7, dtype=torch.float64), Logit(0), masks=8000)
    assert found.facts["masks_used"] == 8000
    assert largest.elements <= WAVE * 12 * 12


def test_it_asks_for_scores_alone_a_wave_at_a_time_and_shows_its_running_map(linear: Network) -> None:
    waves, shown = [], []

    def witnessed(asked: Any) -> Any:
        if isinstance(asked, Progress):
            shown.append(asked)
        else:
            assert isinstance(asked, Forward)
            assert isinstance(asked.rows, Masked)
            waves.append(len(asked))
        return asked

    found = Engine([linear]).drive(relayed(rise(X, Logit(0), Noise(0), masks=150, cells=3), witnessed))
    assert waves == [64, 64, 22]
    assert [(news.step, news.of) for news in shown] == [(64, 150), (128, 150), (150, 150)]
    assert [news.objective for news in shown] == [news.best.facts["standard_error"] for news in shown]
    assert torch.equal(shown[-1].best.map, found.map)


def test_stopped_early_it_is_what_as_many_masks_give(linear: Network) -> None:
    found, partial = Engine([linear]).drive(so_far(rise(X, Logit(0), Noise(0), cells=3)), max_rows=2 * WAVE)
    assert partial
    assert found.facts["masks_used"] == 2 * WAVE
    assert torch.equal(found.map, explained(linear, X, Logit(0), masks=2 * WAVE, cells=3).map)


def test_another_seed_has_other_masks(linear: Network) -> None:
    one, two = (explained(linear, X, Logit(0), seed, masks=64, cells=3).map for seed in (0, 1))
    assert not torch.allclose(one, two)


# ── what it refuses, and what a reply has ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("parameters", "pointer", "words"),
    [
        ({"masks": 0}, "/parameters/masks", "masks is 0: .* greater than or equal to 1"),
        ({"masks": 10_001}, "/parameters/masks", "masks is 10001: .* less than or equal to 10000"),
        ({"cells": 33}, "/parameters/cells", "cells is 33.*32×32.*32 at most"),
        ({"keep_probability": 0}, "/parameters/keep_probability", "keep_probability is 0: .* 0.01"),
        ({"keep_probability": 1}, "/parameters/keep_probability", "keep_probability is 1: .* 0.99"),
        ({"standard_error": 0}, "/parameters/standard_error", "standard_error is 0: .* greater than 0"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_the_door_refuses_it(lenet: Network, parameters: dict[str, Any], pointer: str, words: str) -> None:
    operation = OPERATIONS["occlusion"]
    with pytest.raises(BadParameter, match=words) as refusal:
        operation.check(operation.method("rise"), parameters, lenet.card, images=1)
    assert [error.pointer for error in refusal.value.errors] == [pointer]


def test_the_algorithm_refuses_more_cells_than_pixels_before_it_asks_anything() -> None:
    with pytest.raises(BadParameter, match="cells is 10"):
        next(rise(X, Logit(0), Noise(0), cells=10))


def test_as_an_operation_it_says_how_many_masks_it_took(lenet: Network, digits: tuple[Array, Array]) -> None:
    engine = Engine([lenet])
    pixels = np.ascontiguousarray(digits[0][0].transpose(1, 2, 0))
    question = Question("occlusion", lenet.card.name, pixels, "rise", {"standard_error": "1/10"}, seed=1)
    run = engine.submit(question.begin(engine.networks))
    engine.run_until(lambda: run.over)
    assert run.result["standard_error"] <= 0.1
    assert run.result["masks_used"] == run.cost.rows - 1 < 1000
    assert run.result["map"].shape == (32, 32)
