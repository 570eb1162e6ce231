"""Pictures: they say what they show, and show what they say."""

import time
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rakinglight import pictures
from rakinglight.pictures import Scaling

Array = np.ndarray[Any, Any]


def grey(height: int, width: int, channels: int = 3, level: int = 128) -> Array:
    return np.full((height, width, channels), level, np.uint8)


def spot(height: int, width: int, value: float = 1.0) -> Array:
    """A map that is zero but for its middle."""
    values = np.zeros((height, width), np.float32)
    values[height // 2, width // 2] = value
    return values


def luminance(picture: Image.Image, x: int, y: int) -> float:
    return float(np.asarray(picture.convert("L"))[y, x])


@pytest.mark.parametrize(
    ("side", "enlarged"), [(28, 392), (32, 384), (224, 448), (384, 384), (500, 500)], ids=lambda n: f"{n} px"
)
def test_small_pictures_grow_by_whole_factors(side: int, enlarged: int) -> None:
    assert pictures.enlarged(Image.new("L", (side, side))).size == (enlarged, enlarged)


SHAPES = [(1, 9000), (9000, 1), (1, 1), (3, 700), (2000, 2000)]


@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_no_picture_is_enlarged_beyond_bounds(height: int, width: int) -> None:
    picture = pictures.enlarged(Image.new("L", (width, height)))
    assert max(picture.size) <= max(pictures.LONGEST, height, width)
    assert min(picture.size) >= min(height, width)


@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_a_perturbation_of_any_shape_is_a_small_picture_that_can_be_read(height: int, width: int) -> None:
    before = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    after = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    begun = time.monotonic()
    picture, _ = pictures.perturbation(before, after)
    raw = pictures.to_png(picture)
    assert time.monotonic() - begun < 5  # it was minutes, and gigabytes
    assert pictures.READABLE <= picture.width <= pictures.LONGEST
    assert picture.height <= pictures.LONGEST + 30
    assert len(raw) <= pictures.most_perturbation_bytes(height, width)


@pytest.mark.parametrize("side", [8, 28, 32, 100, 130, 200, 224, 300, 500, 1100])
@pytest.mark.parametrize("channels", [1, 3])
def test_no_png_is_larger_than_was_said(side: int, channels: int) -> None:
    after = np.random.default_rng(0).integers(0, 256, (side, side, channels), np.uint8)
    picture, _ = pictures.perturbation(np.full_like(after, 128), after)
    assert len(pictures.to_png(picture)) <= pictures.most_perturbation_bytes(side, side)
    assert len(pictures.to_png(pictures.from_pixels(after))) <= pictures.most_png_bytes(side, side, channels)


def test_the_perturbation_of_a_large_image_is_thinned_out_and_says_so() -> None:
    before = grey(2000, 1500, level=100)
    after = before.copy()
    after[::2, ::2] += 8
    after[1::2, 1::2] -= 8
    picture, factor = pictures.perturbation(before, after)
    shown = np.asarray(picture)[:1000]
    assert (shown.shape[1], factor) == (750, 15)
    assert (shown > 240).all()  # every second pixel of every second row, and no mean with those that went down


def test_enlarging_keeps_every_pixel() -> None:
    pixels = np.arange(28 * 28, dtype=np.uint32).reshape(28, 28).astype(np.uint8)
    large = np.asarray(pictures.enlarged(Image.fromarray(pixels)))
    k = large.shape[0] // 28
    np.testing.assert_array_equal(large[::k, ::k], pixels)


@pytest.mark.parametrize("channels", [1, 3])
def test_an_overlay_is_the_image_with_a_legend_below(channels: int) -> None:
    picture = pictures.overlay(grey(32, 32, channels), spot(32, 32))
    assert picture.mode == "RGB"
    assert picture.width == 384
    assert picture.height > 384


def test_an_overlay_is_bright_where_the_map_is_large_and_shows_the_photograph_elsewhere() -> None:
    picture = pictures.overlay(grey(400, 400), spot(400, 400))
    assert luminance(picture, 200, 200) > 200
    assert 40 < luminance(picture, 10, 10) < 100  # dimmed, and still there


def test_the_two_signs_of_a_map_have_two_colours() -> None:
    values = np.zeros((400, 400))
    values[:, 100], values[:, 300] = -1.0, 1.0
    below, none, above = (np.asarray(pictures.overlay(grey(400, 400, level=0), values))[200, [100, 200, 300]]).astype(
        int
    )
    assert below[2] > below[0]  # blue
    assert above[0] > above[2]  # red
    assert none.max() < 40


@pytest.mark.parametrize("level", [0.0, 3.5, -2.0])
def test_a_map_of_one_value_is_drawn(level: float) -> None:
    pictures.overlay(grey(32, 32), np.full((32, 32), level))


def test_one_extreme_value_does_not_hide_the_others() -> None:
    values = np.zeros((400, 400))
    values[:, :40] = 1.0
    values[0, 399] = 1e6
    assert luminance(pictures.overlay(grey(400, 400), values), 20, 200) > 200


@pytest.mark.parametrize(
    ("values", "scaling"),
    [
        ([0, 1, 2], Scaling("linear", 0, 2, 2, "inferno")),
        ([0.1, 1, 2], Scaling("linear", 0, 2, 2, "inferno")),
        ([0.6, 0.65, 0.7], Scaling("linear", 0.6, 0.7, 0.7, "inferno")),
        ([-1, 1, 2], Scaling("linear", -2, 2, 2, "berlin")),
        ([-2, -1, 0], Scaling("linear", -2, 0, 2, "inferno_r")),
        ([-7, -6.5, -6], Scaling("linear", -7, -6, 7, "inferno_r")),
        ([3, 3, 3], Scaling("linear", 0, 3, 3, "inferno")),
        ([0, 0, 0], Scaling("linear", 0, 0, 0, "inferno")),
    ],
    ids=str,
)
def test_a_scaling_starts_at_zero_unless_that_would_waste_its_colours(values: list[float], scaling: Scaling) -> None:
    found = Scaling.of(np.repeat(np.array(values), 1000)[None])
    assert asdict(found) == pytest.approx(asdict(scaling))


@pytest.mark.parametrize(
    ("scaling", "said"),
    [
        (Scaling("linear", 0, 2, 2, "inferno"), "linear scale"),
        (Scaling("linear", 0, 2, 5, "inferno"), "linear scale, cut at 2 (largest 5)"),
        (Scaling("linear", -7, -6, 7, "inferno_r"), "linear scale, not from zero"),
        (Scaling("linear", 0, 0, 0, "inferno"), "0 everywhere"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_legend_hides_nothing_of_the_scaling(scaling: Scaling, said: str) -> None:
    assert str(scaling) == said


def test_the_legend_of_two_signs_has_a_line_more_to_say_what_they_mean() -> None:
    one, two = (pictures.overlay(grey(32, 32), np.array([[sign] * 32, [2] * 32] * 16)) for sign in (1, -1))
    assert two.height == one.height + 20


@pytest.mark.parametrize("sign", [1, -1])
def test_a_map_far_from_zero_uses_all_its_colours(sign: int) -> None:
    values = sign * np.linspace(0.6, 0.7, 400)[None].repeat(400, 0)
    picture = pictures.overlay(grey(400, 400, level=0), values)
    assert luminance(picture, 2, 200) < 20
    assert luminance(picture, 397, 200) > 200


def test_maps_that_share_a_scaling_have_one_legend() -> None:
    shared = Scaling.of(np.array([[0.0, 2.0]]))
    weak, strong = (pictures.overlay(grey(400, 400), np.full((400, 400), level), shared) for level in (1.0, 2.0))
    np.testing.assert_array_equal(np.asarray(weak)[400:], np.asarray(strong)[400:])
    assert luminance(weak, 200, 200) < luminance(strong, 200, 200) - 50


def test_the_notes_of_a_panel_have_a_line_each() -> None:
    picture = Image.new("RGB", (100, 100))
    heights = [pictures.sheet([pictures.Panel(picture, "title", note)], width=100).height for note in ("", "a", "a\nb")]
    assert np.diff(heights).tolist() == [20, 20]


@pytest.mark.parametrize(("levels", "factor"), [(1, 127), (4, 31), (8, 15), (64, 1), (128, 1)])
def test_a_perturbation_is_amplified_as_far_as_it_goes(levels: int, factor: int) -> None:
    before, after = grey(4, 4, level=100), grey(4, 4, level=100)
    after[0, 0, 0] += levels
    assert pictures.amplified(before, after)[1] == factor


def test_where_nothing_changed_it_is_grey() -> None:
    picture, factor = pictures.amplified(grey(4, 4), grey(4, 4))
    assert factor == 1
    assert picture.getpixel((0, 0)) == (128, 128, 128)


def test_either_form_of_an_image_will_do() -> None:
    after = grey(4, 4, level=110)
    exact = np.full((3, 4, 4), 100 / 255, np.float32)
    assert pictures.amplified(exact, after)[1] == pictures.amplified(grey(4, 4, level=100), after)[1]


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 1, 1), (4, 4, 1), (5, 3, 2), (9, 3, 3)])
def test_a_sheet_has_room_for_all(count: int, columns: int, rows: int) -> None:
    page = pictures.sheet([pictures.Panel(Image.new("RGB", (100, 100)))] * count, width=100)
    assert page.size == (16 + columns * 116, 16 + rows * 116)


@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_a_sheet_of_any_shape_has_bounds(height: int, width: int) -> None:
    page = pictures.sheet([pictures.Panel(Image.new("RGB", (width, height)))] * 2)
    assert page.width == 16 + 2 * (pictures.READABLE + 16)
    assert page.height <= pictures.LONGEST + 2 * 16


def test_a_title_that_is_too_long_is_cut() -> None:
    pictures.sheet([pictures.Panel(Image.new("RGB", (10, 10)), "long " * 100, "longer " * 100)])


def test_png_keeps_pixels_and_text() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    read = pictures.from_png(pictures.to_png(pictures.from_pixels(pixels), {"method": "pgd"}))
    np.testing.assert_array_equal(np.asarray(read), pixels)
    assert read.info["method"] == "pgd"


def test_what_is_not_amplified_is_not_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(pictures, "_caption", lambda width, words: said.append(words) or Image.new("RGB", (width, 1)))
    for change in (128, 2):
        pictures.perturbation(grey(4, 4, level=0), grey(4, 4, level=change))
    assert said == ["the change, as it is; grey is none", "the change, 63 times amplified; grey is none"]
