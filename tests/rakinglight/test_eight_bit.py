"""Eight-bit pictures: what is inside the ball stays inside when it is rounded, and levels stay levels."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rakinglight.eight_bit import from_float, inside_ball, to_float
from rakinglight.norms import NormName

Array = np.ndarray[Any, Any]
#: In units of [0, 1]: what float32 may add to a distance that is exact in grey levels.
TOLERANCE = 1e-6

norms = st.sampled_from(["linf", "l2"])
seeds = st.integers(0, 2**32 - 1)


def size(delta: Array, norm: NormName) -> float:
    return float(np.abs(delta).max() if norm == "linf" else np.sqrt((delta**2).sum()))


def exactly(pixels: Array) -> Array:
    """[H, W, C] uint8 -> [C, H, W] float64, k/255."""
    return pixels.transpose(2, 0, 1).astype(np.float64) / 255


def somewhere_in_the_ball(noise: np.random.Generator, x: Array, norm: NormName, epsilon: float) -> Array:
    """As an attack would leave it: within epsilon of x, often at its edge, in [0, 1], float32."""
    delta = noise.normal(size=x.shape) * noise.choice([0, 1e-3, 1, 10], size=x.shape)
    if norm == "linf":
        delta = np.clip(delta, -epsilon, epsilon)
    elif (length := size(delta, "l2")) > epsilon:
        delta *= epsilon / length
    return np.clip(x + delta, 0, 1).astype(np.float32)


def test_every_grey_level_survives() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    assert np.array_equal(from_float(to_float(levels)), levels)
    assert to_float(levels).dtype == np.float32
    assert (to_float(levels).min(), to_float(levels).max()) == (0, 1)


def test_colours_stay_in_their_channels() -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert to_float(pixels).shape == (3, 2, 4)
    assert np.array_equal(from_float(to_float(pixels)), pixels)


def test_what_is_outside_zero_to_one_is_cut_off() -> None:
    assert from_float(np.array([[[-1.0, 0.5, 2.0]]])).ravel().tolist() == [0, 128, 255]


@settings(deadline=None, max_examples=300)
@given(norms, st.floats(0, 1), seeds)
def test_a_rounded_picture_is_in_the_ball_that_its_float_was_in(norm: NormName, epsilon: float, seed: int) -> None:
    noise = np.random.default_rng(seed)
    pixels = noise.integers(0, 256, (5, 4, 3), dtype=np.uint8)
    x_adv = somewhere_in_the_ball(noise, to_float(pixels), norm, epsilon)
    rounded = inside_ball(to_float(pixels), x_adv, norm, epsilon)
    assert rounded.shape == pixels.shape
    assert size(exactly(rounded) - exactly(pixels), norm) <= epsilon + TOLERANCE
    # No value moved further from where the attack left it than to the next level.
    assert np.abs(exactly(rounded) - x_adv).max() <= 1 / 255 + TOLERANCE


@settings(deadline=None, max_examples=300)
@given(norms, st.floats(0, 1), seeds)
def test_off_the_levels_too_wherever_the_ball_holds_a_picture(norm: NormName, epsilon: float, seed: int) -> None:
    """An exact tensor need not be made of grey levels; then the picture nearest to it may be outside already."""
    noise = np.random.default_rng(seed)
    x = noise.random((3, 5, 4)).astype(np.float32)
    x_adv = somewhere_in_the_ball(noise, x, norm, epsilon)
    distance = size(exactly(inside_ball(x, x_adv, norm, epsilon)) - x, norm)
    nearest = size(exactly(from_float(x)) - x, norm)
    assert distance <= max(epsilon, nearest) + TOLERANCE


@given(norms, st.floats(0, 1), seeds)
def test_a_picture_in_the_ball_is_left_as_it_is(norm: NormName, epsilon: float, seed: int) -> None:
    noise = np.random.default_rng(seed)
    pixels = noise.integers(0, 256, (3, 3, 1), dtype=np.uint8)
    moved = inside_ball(to_float(pixels), somewhere_in_the_ball(noise, to_float(pixels), norm, epsilon), norm, epsilon)
    assert np.array_equal(inside_ball(to_float(pixels), to_float(moved), norm, epsilon), moved)


@pytest.mark.parametrize("levels", [1, 2, 8, 16, 255])
def test_whole_levels_are_reached_in_full(levels: int) -> None:
    """8/255 is eight levels, not seven: float32 must not cost one."""
    grey = np.full((4, 4, 3), 255 - levels, dtype=np.uint8)
    x = to_float(grey)
    epsilon = levels / 255
    brighter = inside_ball(x, np.clip(x + np.float32(epsilon), 0, 1), "linf", epsilon)
    assert (brighter == 255).all()


@pytest.mark.parametrize("epsilon", [0.0, 1e-9, 0.5 / 255, 0.999 / 255])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_under_one_grey_level_there_is_only_the_picture_itself(norm: NormName, epsilon: float) -> None:
    noise = np.random.default_rng(0)
    pixels = noise.integers(0, 256, (5, 4, 3), dtype=np.uint8)
    x_adv = somewhere_in_the_ball(noise, to_float(pixels), norm, epsilon)
    assert np.array_equal(inside_ball(to_float(pixels), x_adv, norm, epsilon), pixels)


def test_epsilon_between_levels_gives_the_largest_level_under_it() -> None:
    x = np.zeros((1, 2, 2), dtype=np.float32)
    assert (inside_ball(x, x + np.float32(0.03), "linf", 0.03) == 7).all()  # 0.03 is 7.65 levels
