"""Localisation and the pointing game by hand, on images that the model resizes and crops, and on mosaics."""

from typing import Any

import numpy as np
import pytest
import torch

from rakinglight.algorithms.grad_cam import grad_cam
from rakinglight.errors import BadParameter
from rakinglight.geometry import Geometry
from rakinglight.maps import Map
from rakinglight.mosaic import mosaic
from rakinglight.network import Network
from rakinglight.subject import Subject
from rakinglight.trust.boxes import Box, inside
from rakinglight.trust.localization import localization
from rakinglight.trust.pointing_game import pointing_game
from tests.cases import case_of, examined

X = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


# ── boxes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_box_is_where_it_is_on_an_image_of_the_models_size() -> None:
    found = inside([(1, 2, 3, 5)], Geometry.of(8, 8, (3, 8, 8)))
    assert found.sum() == 6
    assert found[1:3, 2:5].all()


def test_boxes_that_overlap_count_once() -> None:
    assert inside([(0, 0, 4, 4), (2, 2, 6, 6)], Geometry.of(8, 8, (3, 8, 8))).sum() == 16 + 16 - 4


def test_a_box_goes_through_the_resize_and_the_crop() -> None:
    """20 x 40 pixels become 10 x 20, of which the model sees the middle 8 x 8: rows 1 to 9, columns 6 to 14."""
    geometry = Geometry.of(20, 40, (3, 8, 8), resize=10)
    assert geometry.crop == (1, 6, 8, 8)
    found = inside([(4, 16, 8, 24)], geometry)  # rows 2 to 4 and columns 8 to 12 after the resize
    expected = np.zeros((8, 8), bool)
    expected[1:3, 2:6] = True
    assert (found == expected).all()


def test_a_pixel_is_inside_if_its_centre_is() -> None:
    geometry = Geometry.of(24, 24, (3, 8, 8), resize=8)  # each pixel was three, its centre at 1.5, 4.5, ...
    assert inside([(1, 1, 2, 2)], geometry).sum() == 1
    assert inside([(0, 0, 4, 5)], geometry).sum() == 2


@pytest.mark.parametrize(
    ("box", "words"),
    [
        pytest.param((0, 0, 21, 10), "goes beyond the image, which is 20 pixels high and 40 wide", id="too low"),
        pytest.param((0, 0, 10, 41), "goes beyond the image", id="too far right"),
        pytest.param((0, 0, 20, 10), "the model sees nothing", id="cropped away"),
    ],
)
def test_a_box_that_the_model_cannot_see(box: Box, words: str) -> None:
    with pytest.raises(BadParameter, match=words) as refused:
        inside([box], Geometry.of(20, 40, (3, 8, 8), resize=10))
    assert [e.pointer for e in refused.value.errors] == ["/parameters/boxes"]


# ── the figures ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_localization_is_the_share_of_what_is_positive(small_convolution: Network) -> None:
    values = torch.zeros(8, 8)
    values[0, 0], values[5, 5], values[7, 7], values[1, 1] = 3, 1, -100, -1
    case = case_of(small_convolution, X, Map(values), 0, boxes=((0, 0, 4, 4),))
    assert examined(small_convolution, case, localization) == {"value": 0.75, "area": 0.25}


def test_a_map_with_nothing_positive_is_nowhere(small_convolution: Network) -> None:
    case = case_of(small_convolution, X, Map(-torch.ones(8, 8)), 0, boxes=((0, 0, 4, 4),))
    assert examined(small_convolution, case, localization)["value"] is None


@pytest.mark.parametrize(
    ("row", "column", "hit"), [(30, 40, True), (44, 50, True), (45, 50, False), (39, 69, True), (41, 71, False)]
)
def test_the_pointing_game_allows_15_pixels_of_224(row: int, column: int, hit: bool) -> None:
    from torch import nn

    from tests.networks import network_of

    network = network_of("large", nn.Sequential(nn.AvgPool2d(112), nn.Flatten(), nn.Linear(4, 2)), (1, 224, 224))
    values = torch.zeros(224, 224)
    values[row, column] = 1
    case = case_of(network, torch.zeros(1, 224, 224), Map(values), 0, boxes=((20, 20, 31, 60),))
    # The last pixel inside is at row 30 and column 59.
    assert examined(network, case, pointing_game) == {"hit": hit, "tolerance": 15.0, "row": row, "column": column}


def test_the_tolerance_is_in_proportion_to_what_the_model_sees(small_convolution: Network) -> None:
    values = torch.zeros(8, 8)
    values[4, 4] = 1  # a pixel beside the box: 8 px forgive 0.54
    case = case_of(small_convolution, X, Map(values), 0, boxes=((0, 0, 4, 8),))
    assert examined(small_convolution, case, pointing_game) == {"hit": False, "tolerance": 0.54, "row": 4, "column": 4}


# ── mosaics ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("count", [4, 9])
@pytest.mark.parametrize("channels", [(), (1,), (3,)], ids=["grey", "one channel", "colour"])
def test_each_image_of_a_mosaic_is_in_its_box(count: int, channels: tuple[int, ...]) -> None:
    images = [np.full((20 + i, 30, *channels), 20 * i, np.uint8) for i in range(count)]
    pixels, boxes = mosaic(images, 36)
    assert pixels.shape == (36, 36, *channels)
    assert len(boxes) == count
    for i, (top, left, bottom, right) in enumerate(boxes):
        assert (pixels[top:bottom, left:right] == 20 * i).all()
    assert sum((bottom - top) * (right - left) for top, left, bottom, right in boxes) == 36 * 36


@pytest.mark.parametrize(
    ("count", "side", "words"), [(2, 32, "4 or 9 images, not 2"), (9, 32, "take 30"), (4, 0, "take 2")]
)
def test_what_makes_no_mosaic(count: int, side: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        mosaic([np.zeros((8, 8, 3), np.uint8)] * count, side)


def test_a_map_is_on_the_thing_that_it_is_asked_about(
    lite0: Network, photographs: dict[str, np.ndarray[Any, Any]]
) -> None:
    """A cat, an espresso, an espresso and a cat: Grad-CAM finds either by name, and not where the other is."""
    cat, espresso = photographs["chelsea"], photographs["coffee"]
    pixels, boxes = mosaic([cat, espresso, espresso, cat], 224)
    x = Subject.of(lite0.card, pixels).seen
    places = {"Egyptian cat": (boxes[0], boxes[3]), "espresso": (boxes[1], boxes[2])}
    for label, own in places.items():
        case = case_of(
            lite0, x, grad_cam, lite0.card.class_index(label), boxes=own, last_layer=lite0.card.last_spatial_layer
        )
        found = examined(lite0, case, localization)
        assert found["area"] == 0.5
        assert found["value"] > 0.65
        assert examined(lite0, case, pointing_game)["hit"]
