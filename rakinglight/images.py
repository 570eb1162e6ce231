"""Images in: from a stranger's bytes to upright 8-bit pixels. Needs no torch.

What an image file can be is huge, and most of it no photograph ever is. Here five formats are opened, the size is read
from the header before anything is unpacked, and what comes out is always uint8 [H, W, C] with C of 1 (grey) or 3 (red,
green, blue): turned upright as EXIF says, alpha laid on white, deeper than 8 bits rounded to 8, CMYK converted.

The service calls `decode` in a process with limits (`service/decode.py`).
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from rakinglight.card import Card
from rakinglight.errors import BadParameter, FieldError, NotAnImage, TooLarge
from rakinglight.wire import array_from_json

Array = np.ndarray[Any, Any]

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
#: Endings of the files that are taken for images where a whole folder is given.
ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"})
MAX_PIXELS = 25_000_000
#: A longer side than any camera's; it bounds the model's resize, whose matrices are as wide as the image.
MAX_SIDE = 16_384

_ORIENTATION = 0x0112  # EXIF's tag
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(raw: bytes, *, max_pixels: int = MAX_PIXELS, max_side: int = MAX_SIDE) -> Array:
    """The picture in `raw`, a whole PNG, JPEG, WebP, BMP or GIF file (its first frame): uint8 [H, W, C], C of 1 or 3.

    Raises NotAnImage where `raw` is none of these or is cut short, TooLarge where the header says that it is bigger
    than `max_pixels` or longer than `max_side`; then nothing has been unpacked.
    """
    if not raw:
        raise NotAnImage("The image has zero bytes; send a whole PNG, JPEG, WebP, BMP or GIF file.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of bombs and of odd metadata; our own limit comes below
            with Image.open(io.BytesIO(raw), formats=FORMATS) as image:
                _check_size(*image.size, max_pixels, max_side)
                image.load()
                return _eight_bit(_upright(image))
    except TooLarge:
        raise
    except Image.DecompressionBombError:
        raise TooLarge(f"The image is far over the limit of {max_pixels} pixels; send it smaller.") from None
    except MemoryError:
        raise TooLarge("Decoding the image takes more memory than it is given; send it smaller.") from None
    except UnidentifiedImageError:
        raise NotAnImage(
            f"The {len(raw)} bytes begin with {raw[:8]!r}, which is no whole PNG, JPEG, WebP, BMP or GIF file."
        ) from None
    except Exception as e:  # a malformed file makes Pillow's readers raise anything at all
        raise NotAnImage(f"The image cannot be read to its end ({e}); it is cut short or damaged.") from None


def for_model(pixels: Array, card: Card) -> Array:
    """`pixels` (uint8 [H, W, C]) with as many channels as the model takes.

    Grey becomes colour by repeating it; colour becomes grey by the luma of ITU-R BT.601, which leaves grey as it is.
    """
    return with_channels(pixels, card.input_shape[0])


def with_channels(pixels: Array, channels: int) -> Array:
    """`pixels` (uint8 [H, W, C]) with so many channels, 1 or 3."""
    if pixels.shape[2] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=2)
    return np.asarray(Image.fromarray(pixels).convert("L"))[:, :, None]


def exact(
    tensor: Array | Mapping[str, Any],
    card: Card,
    pointer: str = "/images/0",
    *,
    max_pixels: int = MAX_PIXELS,
    max_side: int = MAX_SIDE,
    grey: bool = False,
) -> Array:
    """An exact tensor, an array or the contract's form of one: float32 [C, H, W], every value finite and in [0, 1].

    grey  whether one channel will do, too
    Raises BadParameter, naming `pointer`, where it is not one of this model's, and TooLarge.
    """
    array = array_from_json(dict(tensor), pointer) if isinstance(tensor, Mapping) else np.asarray(tensor)

    def wrong(detail: str) -> BadParameter:
        return BadParameter(f"The tensor at {pointer}: {detail}", errors=[FieldError(pointer, detail)])

    channels = card.input_shape[0]
    if array.dtype.kind != "f":
        raise wrong(f"dtype {array.dtype.name} holds no values in [0, 1]; use float32, or send a PNG for 8-bit pixels.")
    if array.ndim != 3 or array.shape[0] not in {channels, 1 if grey else channels} or not array.size:
        raise wrong(f"shape {list(array.shape)} is not [{channels}, height, width], which {card.name} takes.")
    _check_size(array.shape[2], array.shape[1], max_pixels, max_side)
    if not np.isfinite(array).all():
        raise wrong(f"{np.count_nonzero(~np.isfinite(array))} of its values are NaN or infinite.")
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > 1:
        raise wrong(f"its values go from {low:g} to {high:g}; pixels are in [0, 1], before the model's normalisation.")
    return np.ascontiguousarray(array, dtype=np.float32)


def blank(card: Card) -> Array:
    """What stands for an image where a method needs none: float32 [C, h, w] of the model's mean colour."""
    return np.broadcast_to(np.array(card.mean, np.float32)[:, None, None], card.input_shape).copy()


def _check_size(width: int, height: int, max_pixels: int, max_side: int) -> None:
    if width * height > max_pixels:
        raise TooLarge(
            f"The image is {width} x {height}, {width * height} pixels; the limit is {max_pixels}. Send it smaller."
        )
    if max(width, height) > max_side:
        raise TooLarge(f"The image is {width} x {height}; the limit of a side is {max_side} pixels. Send it smaller.")


def _upright(image: Image.Image) -> Image.Image:
    try:
        turn = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # metadata that cannot be read says nothing about the picture
        turn = None
    return image if turn is None else image.transpose(turn)


def _eight_bit(image: Image.Image) -> Array:
    """uint8 [H, W, C] of any mode that the five formats come in."""
    if image.mode.startswith("I"):  # 16 bits of grey: the nearest of 256 levels
        deep = np.asarray(image).astype(np.float64)
        return np.rint(deep.clip(0, 65535) / 257).astype(np.uint8)[:, :, None]
    grey = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    pixels = np.asarray(image.convert("L" if grey else "RGB"))
    return pixels[:, :, None] if grey else pixels
