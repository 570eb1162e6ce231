"""What is drawn on: the picture that the numbers mean, and the slope by them."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rakinglight.energy import Fourier, Pixels, begun, canvas_of
from rakinglight.energy.terms import B
from rakinglight.noise import Noise

SHAPES = [(2, 3, 6, 8), (1, 3, 7, 5), (2, 1, 5, 5), (1, 2, 4, 6)]
each_shape = pytest.mark.parametrize("shape", SHAPES)


def picture(shape: tuple[int, ...], low: float = 0.05, high: float = 0.95) -> Tensor:
    noise = torch.Generator().manual_seed(1)
    return low + (high - low) * torch.rand(shape, generator=noise, dtype=torch.float64)


@each_shape
@pytest.mark.parametrize("kind", ["pixels", "fourier"])
def test_it_shows_the_picture_that_it_was_given(kind: str, shape: tuple[int, ...]) -> None:
    x = picture(shape)
    canvas = canvas_of(kind, x)  # type: ignore[arg-type]
    torch.testing.assert_close(canvas.image(), x, rtol=0, atol=1e-12)


def test_black_and_white_are_shown_as_they_are_and_what_leaves_the_range_is_cut() -> None:
    x = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64).expand(2, 3, 2, 2)
    canvas = Fourier(x)
    torch.testing.assert_close(canvas.image(), x, rtol=0, atol=1e-12)
    flat, wave = canvas.z.clone(), canvas.z
    wave[0], wave[1] = 3 * wave[0], 0.5 * wave[1]
    canvas.z = wave.clone()
    canvas.settle()
    torch.testing.assert_close(canvas.z[0], flat[0])
    assert torch.equal(canvas.z[1], wave[1])


@each_shape
def test_its_slope_is_the_derivative_by_its_numbers(shape: tuple[int, ...]) -> None:
    canvas, g = Fourier(picture(shape)), torch.randn(shape, dtype=torch.float64)
    z, step = canvas.z.clone(), 1e-6
    for i in range(0, z.numel(), 7):
        off = torch.zeros_like(z).view(-1)
        off[i] = step
        values = []
        for sign in (1, -1):
            canvas.z = z + sign * off.view_as(z)
            values.append((canvas.image() * g).sum())
        canvas.z = z
        assert canvas.slope(g).view(-1)[i].item() == pytest.approx(float(values[0] - values[1]) / (2 * step), abs=1e-6)


def test_no_row_touches_another_in_a_spectrum() -> None:
    x, g = picture((2, 3, 6, 8)), torch.randn(2, 3, 6, 8, dtype=torch.float64)
    canvas = Fourier(x)
    canvas.z = 1.5 * canvas.z
    for i in range(2):
        alone = Fourier(x[i : i + 1])
        alone.z = 1.5 * alone.z
        torch.testing.assert_close(alone.image()[0], canvas.image()[i])
        torch.testing.assert_close(alone.slope(g[i : i + 1])[0], canvas.slope(g)[i])


def test_a_photographs_spectrum_is_about_1_whatever_its_size(photographs: dict[str, np.ndarray[Any, Any]]) -> None:
    whole = torch.from_numpy(photographs["chelsea"]).permute(2, 0, 1)[None, :, :288, :288] / 255
    for size in (32, 96, 288):
        z = Fourier(torch.nn.functional.adaptive_avg_pool2d(whole, size)).z
        assert 0.2 < z.square().mean().sqrt() < 5


def test_pixels_are_cut_where_they_leave_the_range() -> None:
    canvas = Pixels(torch.tensor([-0.5, 0.25, 1.5]))
    canvas.settle()
    assert canvas.z.tolist() == [0, 0.25, 1]


# ── where it begins ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_zero_is_the_mean_colour() -> None:
    mean = torch.tensor([0.1, 0.5, 0.9]).view(-1, 1, 1)
    x = begun("zeros", mean, torch.zeros(3, 4, 5), 2, Noise(0))
    assert torch.equal(x, mean.expand(2, 3, 4, 5))


def test_noise_is_as_strong_as_a_photograph_and_each_starts_elsewhere() -> None:
    mean = torch.full((3, 1, 1), 0.5)
    x = begun("noise", mean, torch.zeros(3, 64, 64), 2, Noise(0))
    assert x.min() >= 0
    assert x.max() <= 1
    assert (x - mean).square().sum(1).mean().sqrt().item() == pytest.approx(B, rel=0.05)
    assert not torch.equal(x[0], x[1])
    assert torch.equal(x, begun("noise", mean, torch.zeros(3, 64, 64), 2, Noise(0)))
