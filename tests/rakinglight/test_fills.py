"""What a window is filled with, and what a path begins at."""

import numpy as np
import pytest
import scipy.ndimage
import torch

from rakinglight.fills import BLUR, filled, smoothed
from rakinglight.noise import Noise
from rakinglight.parameters import Filling

X = torch.rand(3, 12, 17, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
every = pytest.mark.parametrize("kind", ["grey", "mean", "blur", "noise", 0.25, 0], ids=str)


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_fill_is_an_image_like_the_one_it_is_for(kind: Filling, dtype: torch.dtype) -> None:
    found = filled(X.to(dtype), kind, Noise(0))
    assert found.shape == X.shape
    assert found.dtype == dtype
    assert found.min() >= 0
    assert found.max() <= 1


@every
def test_a_seed_repeats_a_fill(kind: Filling) -> None:
    assert torch.equal(filled(X, kind, Noise(3)), filled(X, kind, Noise(3)))


@pytest.mark.parametrize(("kind", "value"), [("grey", 0.5), (0.25, 0.25), (0, 0.0), (1.0, 1.0)])
def test_some_fills_are_one_value(kind: Filling, value: float) -> None:
    assert torch.equal(filled(X, kind, Noise(0)), torch.full_like(X, value))


def test_the_mean_is_the_images_own_colour() -> None:
    found = filled(X, "mean", Noise(0))
    for channel, own in zip(found, X, strict=True):
        torch.testing.assert_close(channel, own.mean().expand(12, 17), rtol=0, atol=1e-15)


def test_noise_is_another_image_for_another_seed() -> None:
    assert not torch.equal(filled(X, "noise", Noise(0)), filled(X, "noise", Noise(1)))


def test_the_blur_is_scipys_gaussian() -> None:
    x, sigma = torch.rand(2, 80, 60, dtype=torch.float64, generator=torch.Generator().manual_seed(1)), BLUR * 60
    expected = [scipy.ndimage.gaussian_filter(c, sigma, mode="mirror", truncate=4) for c in x.numpy()]
    np.testing.assert_allclose(filled(x, "blur", Noise(0)), np.stack(expected), rtol=0, atol=1e-14)


def test_a_blur_leaves_one_colour_as_it_is() -> None:
    grey = torch.full((1, 9, 9), 0.3, dtype=torch.float64)
    torch.testing.assert_close(smoothed(grey, 2.0), grey, rtol=0, atol=1e-15)


def test_a_blur_reaches_no_further_than_the_image() -> None:
    for shape in [(1, 1, 1), (1, 2, 3), (3, 1, 7)]:
        assert filled(torch.rand(shape), "blur", Noise(0)).shape == shape
