"""From files to pixels: what each kind of file becomes, and what is refused."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageOps

from rakinglight import images
from rakinglight.card import Card
from rakinglight.errors import BadParameter, NotAnImage, RakinglightError, TooLarge
from tests.service.pictures_at_hand import bomb, noise, png, saved, tensor

COLOUR = noise()
GREY = noise(channels=1)


def card(channels: int) -> Card:
    return Card("m", "1.0", (channels, 8, 8), (0.0,), (1.0,), ("a", "b"), "", "")


def test_a_png_comes_back_pixel_for_pixel() -> None:
    np.testing.assert_array_equal(images.decode(png(COLOUR)), COLOUR)
    np.testing.assert_array_equal(images.decode(png(GREY)), GREY)


@pytest.mark.parametrize(
    ("form", "options"),
    [("BMP", {}), ("WEBP", {"lossless": True}), ("GIF", {}), ("JPEG", {"quality": 100, "subsampling": 0})],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_every_format_is_read(form: str, options: dict[str, object]) -> None:
    pixels = images.decode(saved(Image.fromarray(np.full((6, 9, 3), (10, 200, 90), np.uint8)), form, **options))
    assert pixels.shape == (6, 9, 3)
    assert np.abs(pixels.astype(int) - (10, 200, 90)).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    raw = saved(Image.fromarray(COLOUR), "PNG", exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(raw)))
    np.testing.assert_array_equal(images.decode(raw), np.asarray(upright))


def test_broken_exif_is_passed_over() -> None:
    raw = saved(Image.fromarray(COLOUR), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    assert images.decode(raw).shape == COLOUR.shape


def test_alpha_is_laid_on_white() -> None:
    rgba = np.array([[[0, 0, 0, 0], [0, 0, 0, 255], [255, 0, 0, 51]]], np.uint8)
    np.testing.assert_array_equal(images.decode(png(rgba)), [[[255, 255, 255], [0, 0, 0], [255, 204, 204]]])


def test_grey_with_alpha_stays_grey() -> None:
    image = Image.fromarray(np.array([[[0, 0], [100, 255]]], np.uint8), "LA")
    np.testing.assert_array_equal(images.decode(saved(image, "PNG")), [[[255], [100]]])


def test_a_palette_with_a_transparent_colour_is_laid_on_white() -> None:
    image = Image.new("P", (2, 1), 0)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    np.testing.assert_array_equal(images.decode(saved(image, "GIF", transparency=0)), [[[255] * 3, [40, 50, 60]]])


def test_sixteen_bits_become_the_nearest_of_eight() -> None:
    deep = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    np.testing.assert_array_equal(images.decode(saved(Image.fromarray(deep), "PNG"))[0, :, 0], [0, 0, 1, 1, 128, 255])


def test_one_bit_and_cmyk_are_converted() -> None:
    assert images.decode(saved(Image.new("1", (3, 2), 1), "PNG")).tolist() == [[[255]] * 3] * 2
    white = images.decode(saved(Image.new("CMYK", (8, 8)), "JPEG"))
    assert white.shape == (8, 8, 3)
    assert white.min() > 250


def test_the_first_frame_of_an_animation_is_taken() -> None:
    first, second = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    raw = saved(first, "GIF", save_all=True, append_images=[second])
    np.testing.assert_array_equal(images.decode(raw)[0, 0], [255, 0, 0])


WHOLE = png(noise(100, 100))


@pytest.mark.parametrize(
    ("raw", "error", "words"),
    [
        pytest.param(b"", NotAnImage, "zero bytes", id="zero bytes"),
        pytest.param(b"hello", NotAnImage, "hello", id="text"),
        pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", NotAnImage, "begin with", id="svg"),
        pytest.param(saved(Image.new("RGB", (4, 4)), "TIFF"), NotAnImage, "begin with", id="tiff, which is not opened"),
        pytest.param(WHOLE[:-300], NotAnImage, "cut short", id="truncated PNG"),
        pytest.param(WHOLE[:40], NotAnImage, "image|begin", id="hardly a PNG"),
        pytest.param(
            saved(Image.fromarray(noise(100, 100)), "JPEG")[:2000], NotAnImage, "image|begin", id="truncated JPEG"
        ),
        pytest.param(
            saved(Image.fromarray(noise(100, 100)), "WEBP")[:2000], NotAnImage, "image|begin", id="truncated WebP"
        ),
        pytest.param(
            saved(Image.fromarray(noise(100, 100)), "GIF")[:2000], NotAnImage, "image|begin", id="truncated GIF"
        ),
        pytest.param(
            saved(Image.fromarray(noise(100, 100)), "BMP")[:2000], NotAnImage, "image|begin", id="truncated BMP"
        ),
        pytest.param(WHOLE[:200] + b"\xff" * 50 + WHOLE[250:], NotAnImage, "image|begin", id="damaged PNG"),
        pytest.param(bomb(), TooLarge, "limit of 25000000", id="bomb of billions"),
        pytest.param(bomb(6000, 6000), TooLarge, "6000 x 6000", id="bomb of millions"),
        pytest.param(bomb(20_000, 1), TooLarge, "16384", id="one long line"),
    ],
)
def test_what_is_no_picture_is_refused(raw: bytes, error: type[RakinglightError], words: str) -> None:
    with pytest.raises(error, match=words):
        images.decode(raw)


def test_a_limit_can_be_set() -> None:
    assert images.decode(png(COLOUR), max_pixels=600, max_side=30).shape == COLOUR.shape
    with pytest.raises(TooLarge, match="599"):
        images.decode(png(COLOUR), max_pixels=599)
    with pytest.raises(TooLarge, match="29"):
        images.decode(png(COLOUR), max_side=29)


def test_grey_and_colour_fit_any_model() -> None:
    np.testing.assert_array_equal(images.for_model(COLOUR, card(3)), COLOUR)
    np.testing.assert_array_equal(images.for_model(GREY, card(3)), np.repeat(GREY, 3, 2))
    np.testing.assert_array_equal(images.for_model(np.repeat(GREY, 3, 2), card(1)), GREY)
    assert images.for_model(COLOUR, card(1)).shape == (20, 30, 1)


EXACT = np.random.default_rng(0).random((3, 8, 8), dtype=np.float32)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_an_exact_tensor_is_taken_as_it_is(dtype: str) -> None:
    value = EXACT.astype(dtype)
    taken = images.exact(value, card(3))
    assert taken.dtype == np.float32
    np.testing.assert_array_equal(taken, value.astype(np.float32))
    np.testing.assert_array_equal(images.exact(tensor(value), card(3)), taken)


def changed(value: float) -> np.ndarray:
    x = EXACT.copy()
    x[0, 0, 0] = value
    return x


@pytest.mark.parametrize(
    ("value", "words"),
    [
        pytest.param(changed(np.nan), "NaN", id="NaN"),
        pytest.param(changed(-np.inf), "infinite", id="infinity"),
        pytest.param(changed(1.5), "1.5", id="above one"),
        pytest.param(changed(-0.1), "-0.1", id="below zero"),
        pytest.param(EXACT[0], r"\[3, height, width\]", id="no channels"),
        pytest.param(EXACT[:1], r"\[1, 8, 8\]", id="channels of another model"),
        pytest.param(EXACT[None], "1, 3, 8, 8", id="a batch"),
        pytest.param(np.zeros((3, 0, 8), np.float32), "shape", id="no pixels"),
        pytest.param(np.zeros((3, 8, 8), np.uint8), "uint8", id="whole numbers"),
    ],
)
def test_a_tensor_that_is_no_image_is_refused(value: np.ndarray, words: str) -> None:
    with pytest.raises(BadParameter, match=words) as caught:
        images.exact(value, card(3), "/images/1")
    assert caught.value.errors[0].pointer == "/images/1"


def test_a_tensor_too_large_is_refused() -> None:
    with pytest.raises(TooLarge):
        images.exact(EXACT, card(3), max_pixels=63)


def test_it_is_read_without_torch() -> None:
    program = "import sys, rakinglight.images; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
