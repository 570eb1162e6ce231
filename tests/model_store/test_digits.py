"""The one split of the digits that everything keeps to."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from model_store import digits
from model_store.__main__ import app
from rakinglight.images import decode

PARTS = ("train", "seeds", "held-out")


def test_every_digit_is_in_exactly_one_part() -> None:
    rows = [row for part in PARTS for row in digits.indices(part)]
    assert sorted(rows) == list(range(1797))


@pytest.mark.parametrize(("part", "size"), [("train", 1297), ("test", 500), ("seeds", 100), ("held-out", 400)])
def test_sizes(part: digits.Part, size: int) -> None:
    images, labels = digits.pictures(part)
    assert images.shape == (size, 1, digits.SIDE, digits.SIDE)
    assert images.dtype == np.uint8
    assert labels.shape == (size,)


@pytest.mark.parametrize("part", ["train", "test", "seeds", "held-out"])
def test_every_part_holds_the_digits_in_proportion(part: digits.Part) -> None:
    _, everywhere = digits._everything()
    _, labels = digits.pictures(part)
    expected = np.bincount(everywhere) * len(labels) / len(everywhere)
    assert abs(np.bincount(labels) - expected).max() <= 1.5


def test_the_committed_split_is_the_one_that_was_drawn() -> None:
    _, labels = digits._everything()
    assert digits.drawn(labels) == {part: digits.indices(part) for part in PARTS}


def test_pixels_are_the_pictures_in_units_of_one() -> None:
    pictures, _ = digits.pictures("seeds")
    pixels, _ = digits.pixels("seeds")
    assert pixels.dtype == np.float32
    assert pixels.min() == 0
    assert pixels.max() == 1
    np.testing.assert_array_equal(np.rint(pixels * 255), pictures)


def test_as_a_folder_they_are_the_same_pixels_by_class(tmp_path: Path) -> None:
    said = CliRunner().invoke(app, ["digits", str(tmp_path / "digits"), "--part", "seeds"])
    assert said.output == f"{tmp_path / 'digits'}: 100 digits, of 10 classes.\n"
    images, labels = digits.pictures("seeds")
    for row, image, label in zip(digits.indices("seeds"), images, labels, strict=True):
        written = decode((tmp_path / "digits" / str(label) / f"{row:04}.png").read_bytes())
        assert (written[..., :1] == image.transpose(1, 2, 0)).all()
