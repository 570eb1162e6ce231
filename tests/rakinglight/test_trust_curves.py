"""Deletion and insertion: by hand on two pixels, and in their authors' own steps on small networks."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from rakinglight.algorithms.integrated_gradients import integrated_gradients
from rakinglight.engine import Engine
from rakinglight.maps import Map
from rakinglight.network import Network
from rakinglight.noise import Noise
from rakinglight.queries import Forward
from rakinglight.trust.deletion import deletion
from rakinglight.trust.insertion import blurred, insertion, kernel
from tests.cases import case_of, examined, one
from tests.networks import network_of


@pytest.fixture
def two_pixels() -> Network:
    """Two classes of an image of two pixels, one above the other: Z = W x + b."""
    return network_of("two pixels", nn.Sequential(nn.Flatten(), nn.Linear(2, 2)), (1, 2, 1))


def probability(network: Network, c: int, *pixels: float) -> float:
    """Of class `c` of two pixels, by hand."""
    linear = network.forward.module.network[1]  # type: ignore[attr-defined]
    z = (linear.weight @ torch.tensor(pixels, dtype=torch.float64) + linear.bias).tolist()
    return math.exp(z[c]) / sum(map(math.exp, z))


@pytest.mark.parametrize(("upper", "lower"), [(2.0, 1.0), (1.0, 2.0), (-1.0, -3.0)])
def test_deletion_of_two_pixels_by_hand(two_pixels: Network, upper: float, lower: float) -> None:
    a, b = 0.9, 0.4
    x = torch.tensor([[[a], [b]]], dtype=torch.float64)
    found = examined(two_pixels, case_of(two_pixels, x, Map(torch.tensor([[upper], [lower]])), 1), deletion)
    between = (0.0, b) if upper > lower else (a, 0.0)
    h = [probability(two_pixels, 1, *pixels) for pixels in ((a, b), between, (0.0, 0.0))]
    assert found["curve"] == pytest.approx(h, rel=1e-6)
    assert found["curve"].dtype == np.float32
    assert found["area"] == pytest.approx((sum(h) - h[0] / 2 - h[-1] / 2) / 2, rel=1e-12)
    assert found["score"] == "probability"


def test_insertion_of_two_pixels_by_hand(two_pixels: Network) -> None:
    a, b = 0.9, 0.4
    x = torch.tensor([[[a], [b]]], dtype=torch.float64)
    found = examined(two_pixels, case_of(two_pixels, x, Map(torch.tensor([[1.0], [2.0]])), 0), insertion)
    k = gaussian_filter(np.eye(1, 121, 60).reshape(11, 11), 5)
    middle, beside = k[5, 5], k[4, 5]
    c, d = middle * a + beside * b, middle * b + beside * a
    h = [probability(two_pixels, 0, *pixels) for pixels in ((c, d), (c, b), (a, b))]
    assert found["curve"] == pytest.approx(h, rel=1e-6)
    assert found["area"] == pytest.approx((h[0] / 2 + h[1] + h[2] / 2) / 2, rel=1e-12)


def test_the_blur_is_the_authors() -> None:
    """A one in a field of 11 x 11 under SciPy's filter, then a convolution of what is normalised, padded with 0."""
    k = torch.from_numpy(gaussian_filter(np.eye(1, 121, 60).reshape(11, 11), 5))
    torch.testing.assert_close(torch.outer(*[torch.tensor(kernel(), dtype=torch.float64)] * 2), k, rtol=0, atol=1e-12)
    x = torch.rand(3, 20, 17, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mean, std = (0.485, 0.456, 0.406), torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64)[:, None, None]
    around = torch.tensor(mean, dtype=torch.float64)[:, None, None]
    theirs = torch.nn.functional.conv2d(((x - around) / std)[:, None], k[None, None], padding=5)[:, 0] * std + around
    torch.testing.assert_close(blurred(x, mean), theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("figure", [deletion, insertion])
def test_the_curve_begins_and_ends_at_the_image_and_the_baseline(small_convolution: Network, figure: object) -> None:
    x = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = examined(small_convolution, case_of(small_convolution, x, Map(x.sum(0)), 2), figure)  # type: ignore[arg-type]
    assert found["curve"].shape == (9,)
    whole = float(p(small_convolution, x)[2])
    nothing = torch.zeros_like(x) if figure is deletion else blurred(x, small_convolution.card.mean)
    gone = float(p(small_convolution, nothing)[2])
    ends = (whole, gone) if figure is deletion else (gone, whole)
    assert (found["curve"][0], found["curve"][-1]) == pytest.approx(ends, rel=1e-6)


def test_the_curve_is_that_of_the_authors_loop(small_convolution: Network) -> None:
    """A row's worth of pixels goes in each step, from the largest value of the map on."""
    x = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    importance = torch.randn(8, 8, generator=torch.Generator().manual_seed(1))
    found = examined(small_convolution, case_of(small_convolution, x, Map(importance), 3), deletion)
    now, h = x.flatten(1).clone(), [float(p(small_convolution, x)[3])]
    order = np.argsort(-importance.flatten().numpy())
    for i in range(8):
        now[:, order[8 * i : 8 * (i + 1)]] = 0
        h.append(float(p(small_convolution, now.view(3, 8, 8))[3]))
    assert found["curve"] == pytest.approx(h, rel=1e-6)


def test_what_is_gone_has_the_models_mean_colour(small_convolution: Network) -> None:
    from dataclasses import replace

    network = replace(small_convolution, card=replace(small_convolution.card, mean=(0.2, 0.4, 0.6)))
    x = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = examined(network, case_of(network, x, Map(x.sum(0)), 0), deletion)
    mean = torch.tensor([0.2, 0.4, 0.6], dtype=torch.float64)[:, None, None].expand(3, 8, 8)
    assert found["curve"][-1] == pytest.approx(float(p(network, mean)[0]), rel=1e-6)


def test_equal_values_go_in_reading_order(small_convolution: Network) -> None:
    x = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    flat, falling = (
        examined(small_convolution, case_of(small_convolution, x, Map(values), 0), deletion)["curve"].tolist()
        for values in (torch.zeros(8, 8), -torch.arange(64.0).view(8, 8))
    )
    assert flat == falling


def test_a_map_is_better_than_itself_shuffled(lenet: Network, digits: tuple[np.ndarray, np.ndarray]) -> None:
    x = torch.from_numpy(digits[0][0]).float() / 255
    true = case_of(lenet, x, integrated_gradients, noise=Noise(0))
    order = torch.randperm(32 * 32, generator=torch.Generator().manual_seed(0))
    shuffled = case_of(lenet, x, Map(true.found.map.flatten()[order].view(32, 32)), true.c)
    assert examined(lenet, true, deletion)["area"] < examined(lenet, shuffled, deletion)["area"] - 0.1
    assert examined(lenet, true, insertion)["area"] > examined(lenet, shuffled, insertion)["area"] + 0.1


def p(network: Network, x: Tensor) -> Tensor:
    return Engine([network]).drive(one(Forward(x))).logits.softmax(0)
