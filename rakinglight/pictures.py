"""Pictures for people, made from arrays: a map over its photograph, a perturbation made visible, a contact sheet.

A picture here is for looking at. It is enlarged by whole factors until it can be read, it says what its colours mean,
and no number is ever taken from it: the arrays beside it in the reply are raw. Needs no torch.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cmap
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from rakinglight import eight_bit

Array = np.ndarray[Any, Any]
Picture = Image.Image

#: A picture whose shorter side has fewer pixels than this is enlarged: a digit of 32 pixels is a stamp on any screen.
READABLE = 384
#: No picture is enlarged beyond this many pixels on its longer side. A line of 9,000 x 1 cannot be made readable: 384
#: pixels across, it would be 3.5 million long.
LONGEST = 2048
#: A perturbation is thinned out until its longer side has no more pixels than this.
FINE = 1024
#: zlib's, of 0 to 9. A photograph of 2000 x 2000 with one sign step added takes 0.4 s and 7.3 MB, where 6 takes 1.5 s
#: and 6.6 MB: in the noise that attacks add, no level finds much.
COMPRESSION = 1
#: The share of a map's values that its colours tell apart; the few above are shown alike. A gradient's largest value is
#: often ten times its 99th percentile: a linear scale up to it would show one bright pixel on black.
SHOWN = 0.998
#: A scale starts at zero as long as the part of it that no value needs is smaller than this.
FAR = 0.25

#: The colours by their names and by where `cmap` has them: all perceptually uniform, all with a dark end or middle.
CATALOGUED = {"inferno": "bids:inferno", "inferno_r": "bids:inferno_r", "berlin": "crameri:berlin"}

GROUND = (17, 17, 20)
INK = (235, 235, 230)
FAINT = (150, 150, 148)


@dataclass(frozen=True)
class Scaling:
    """How the values of a map became its colours.

    scale    the function between the two: linear
    low      the raw value at the lower end of the colours; what is below it is shown alike
    high     the raw value at their upper end
    largest  the largest size of any raw value
    colours  the name of the colours, as `cmap` and matplotlib know them
    """

    scale: str
    low: float
    high: float
    largest: float
    colours: str

    @staticmethod
    def of(values: Array) -> Scaling:
        """The scaling by which `values` [H, W] can be read: from zero, unless that would waste the colours.

        Of both signs, zero is in the middle and dark. Of one sign, the dark end is zero, or the value nearest to zero
        where all are far from it: of a map between 0.6 and 0.7, colours from zero would show one bright square.
        """
        size = np.abs(values).astype(np.float64)
        largest, least = float(size.max()), float(size.min())
        top = float(np.quantile(size, SHOWN)) or largest  # where most are zero, the largest
        if bool((values < 0).any() and (values > 0).any()):
            return Scaling("linear", -top, top, largest, "berlin")
        dark = least if least > FAR * top and least < top else 0.0
        if bool((values < 0).any()):
            return Scaling("linear", -top, -dark or 0.0, largest, "inferno_r")  # never -0.0
        return Scaling("linear", dark, top, largest, "inferno")

    def place(self, values: Array) -> Array:
        """[..., H, W] in [0, 1]: where on the scale each of `values` stands."""
        span = self.high - self.low
        return np.asarray(np.clip((values - self.low) / span, 0, 1) if span else np.zeros_like(values))

    def strength(self, values: Array) -> Array:
        """[..., H, W] in [0, 1]: how far each of `values` stands from the dark of the scale."""
        place = self.place(values)
        match self.colours:
            case "berlin":
                return np.asarray(np.abs(2 * place - 1))
            case "inferno_r":
                return np.asarray(1 - place)
            case _:
                return place

    def __str__(self) -> str:
        """What the legend says of it."""
        if self.low == self.high:
            return f"{self.low:.3g} everywhere"
        cut = max(abs(self.low), abs(self.high))
        return ", ".join(
            (
                f"{self.scale} scale",
                *(("not from zero",) if self.low * self.high > 0 else ()),
                *((f"cut at {cut:.3g} (largest {self.largest:.3g})",) if cut < self.largest else ()),
            )
        )


def overlay(seen: Array, values: Array, scaling: Scaling | None = None) -> Picture:
    """A map over the image that it explains, with a legend that gives the range in raw values.

    seen     uint8 [H, W, C], the image as the model saw it
    values   [H, W], raw
    scaling  by default `Scaling.of(values)`; one that several share makes them comparable
    """
    scaling = scaling or Scaling.of(values)
    # All scales are dark where there is least to say, so light is added to light: the photograph shows through in
    # grey, and is dimmed further the more there is to say.
    photograph = _grey(seen)[..., None] * np.array([0.52, 0.52, 0.55])
    photograph *= 1 - 0.85 * scaling.strength(values)[..., None]
    blended = 1 - (1 - photograph) * (1 - _colours(scaling.colours, scaling.place(values)))
    picture = enlarged(_from_unit(blended))
    return stacked(picture, _legend(max(picture.width, READABLE), scaling))


def perturbation(before: Array, after: Array) -> tuple[Picture, int]:
    """What `amplified` shows, with the factor written below it; and the factor.

    Of a large image it shows every k-th pixel of every k-th row: a mean of neighbours would grey out a change whose
    sign alternates, which is what most attacks make.
    """
    delta = _change(before, after)
    factor, k = _factor(delta), _thinning(*delta.shape[:2])
    picture = enlarged(_around_grey(delta[::k, ::k], factor))
    times = f"{factor} times amplified" if factor > 1 else "as it is"
    said = f"the change, {times}; grey is none" + (f"; scale 1:{k}" if k > 1 else "")
    return stacked(picture, _caption(max(picture.width, READABLE), said)), factor


def amplified(before: Array, after: Array) -> tuple[Picture, int]:
    """The difference of two images, amplified around grey so that it can be seen, and the factor.

    before, after  uint8 [H, W, C] or float [C, H, W] in [0, 1], of the same size
    The factor is the largest whole number at which the largest change still fits; 1 where nothing changed.
    """
    delta = _change(before, after)
    factor = _factor(delta)
    return _around_grey(delta, factor), factor


@dataclass(frozen=True)
class Panel:
    """A picture on a contact sheet, with what stands above it and fainter lines below that."""

    picture: Picture
    title: str = ""
    note: str = ""


def sheet(panels: Sequence[Panel], *, columns: int | None = None, width: int = READABLE) -> Picture:
    """Pictures side by side, in rows of `columns` (up to four in one row), brought to one width.

    A picture that would be longer than LONGEST then is narrower.
    """
    if columns is None:
        columns = len(panels) if len(panels) <= 4 else math.ceil(math.sqrt(len(panels)))
    lines = max(len(panel.note.splitlines()) for panel in panels)
    gap, words = 16, 32 + 20 * lines if any(panel.title or panel.note for panel in panels) else 0
    rows = [
        [(panel, _to_width(panel.picture, width)) for panel in panels[first : first + columns]]
        for first in range(0, len(panels), columns)
    ]
    heights = [words + max(picture.height for _, picture in row) for row in rows]
    page = Image.new("RGB", (gap + columns * (width + gap), gap + sum(heights) + gap * len(rows)), GROUND)
    draw = ImageDraw.Draw(page)
    top = gap
    for row, height in zip(rows, heights, strict=True):
        for column, (panel, picture) in enumerate(row):
            left = gap + column * (width + gap)
            draw.text((left, top), fitted(panel.title, 20, width), INK, font(20))
            for i, line in enumerate(panel.note.splitlines()):
                draw.text((left, top + 26 + 20 * i), fitted(line, 15, width), FAINT, font(15))
            page.paste(picture, (left, top + words))
        top += height + gap
    return page


def coloured(values: Array, scaling: Scaling) -> Picture:
    """A map [H, W] in the colours of `scaling`, a pixel a value."""
    return _from_unit(_colours(scaling.colours, scaling.place(values)))


def enlarged(picture: Picture, shorter: int = READABLE) -> Picture:
    """`picture`, enlarged by the smallest whole factor that brings its shorter side to `shorter` pixels or more.

    The factor is smaller, down to none, where the longer side would have more than LONGEST.
    """
    k = _enlargement(*picture.size, shorter)
    return picture if k <= 1 else picture.resize((picture.width * k, picture.height * k), Image.Resampling.NEAREST)


def from_pixels(pixels: Array) -> Picture:
    """uint8 [H, W, C] -> a picture in mode L (C = 1) or RGB."""
    return Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels))


def to_png(picture: Picture, text: Mapping[str, str] | None = None) -> bytes:
    """`picture` as PNG, with `text` in its text chunks."""
    chunks = PngInfo()
    for key, value in (text or {}).items():
        chunks.add_text(key, value)
    out = io.BytesIO()
    picture.save(out, "PNG", pnginfo=chunks, compress_level=COMPRESSION)
    return out.getvalue()


def most_png_bytes(height: int, width: int, channels: int) -> int:
    """The bytes of a PNG of this size at worst, which is noise: it does not compress."""
    rows = height * (1 + width * channels)
    return rows + rows // 500 + 2048  # zlib's and PNG's own framing; the head, and some text


def most_perturbation_bytes(height: int, width: int) -> int:
    """The bytes of the PNG that `perturbation` makes of images of this size, at worst."""
    k = _thinning(height, width)
    height, width = math.ceil(height / k), math.ceil(width / k)
    times = _enlargement(width, height)
    page = height * times * max(width * times, READABLE) * 3
    # A pixel that is repeated costs little more than once: by measurement under a half, and what zlib spends on a run.
    return most_png_bytes(height, width, 3) * 3 // 2 + page // 64 + 16 * 1024  # and the caption


def from_png(raw: bytes) -> Picture:
    """The picture in `raw`, loaded; its text chunks are in `.info`."""
    picture = Image.open(io.BytesIO(raw), formats=["PNG"])
    picture.load()
    return picture


def _enlargement(width: int, height: int, shorter: int = READABLE) -> int:
    """The whole factor by which a picture of this size is enlarged."""
    return max(1, min(math.ceil(shorter / min(width, height)), LONGEST // max(width, height)))


def _thinning(height: int, width: int) -> int:
    """k, where every k-th pixel of a perturbation of this size is shown."""
    return math.ceil(max(height, width) / FINE)


def _change(before: Array, after: Array) -> Array:
    """[H, W, C] float32, the difference of two images in units of [0, 1]."""
    return np.asarray(_unit(after) - _unit(before))


def _factor(delta: Array) -> int:
    """The largest whole number at which the largest value of `delta` still is 1/2 or less."""
    largest = max(float(delta.max(initial=0)), -float(delta.min(initial=0)))
    return max(1, math.floor(0.5 / largest + 1e-6)) if largest > 0 else 1


def _around_grey(delta: Array, factor: int) -> Picture:
    return _from_unit(np.clip(0.5 + factor * delta, 0, 1))


def _unit(image: Array) -> Array:
    """[H, W, C] float32 in [0, 1] of either form of an image."""
    if image.dtype == np.uint8:
        return np.asarray(image / np.float32(255))
    return np.asarray(image.transpose(1, 2, 0).astype(np.float32, copy=False))


def _grey(pixels: Array) -> Array:
    """[H, W] in [0, 1]."""
    unit = _unit(pixels)
    return np.asarray(unit[..., 0] if unit.shape[-1] == 1 else unit @ np.array([0.299, 0.587, 0.114]))


def _from_unit(image: Array) -> Picture:
    return from_pixels(eight_bit.from_float(image.transpose(2, 0, 1))).convert("RGB")


def _colours(scale: str, values: Array) -> Array:
    """[..., 3] in [0, 1] of values in [0, 1]."""
    return np.asarray(cmap.Colormap(CATALOGUED[scale])(values))[..., :3]


def _legend(width: int, scaling: Scaling) -> Picture:
    """The colours with the raw values at their ends, and below them what they say."""
    lines = [str(scaling), *(["red speaks for the class, blue against it"] if scaling.colours == "berlin" else [])]
    strip = Image.new("RGB", (width, 36 + 20 * len(lines)), GROUND)
    draw = ImageDraw.Draw(strip)
    ends = [f"{v:.3g}" for v in (scaling.low, scaling.high)]
    left, right = (math.ceil(font(15).getlength(end)) + 18 for end in ends)
    bar = _from_unit(_colours(scaling.colours, np.linspace(0, 1, max(2, width - left - right)))[None].repeat(14, 0))
    strip.paste(bar, (left, 10))
    draw.text((8, 17), ends[0], INK, font(15), anchor="lm")
    draw.text((width - 8, 17), ends[1], INK, font(15), anchor="rm")
    for i, line in enumerate(lines):
        draw.text((width // 2, 41 + 20 * i), fitted(line, 14, width - 16), FAINT, font(14), anchor="mm")
    return strip


def _caption(width: int, words: str) -> Picture:
    strip = Image.new("RGB", (width, 30), GROUND)
    ImageDraw.Draw(strip).text((width // 2, 15), fitted(words, 14, width - 16), FAINT, font(14), anchor="mm")
    return strip


def stacked(above: Picture, below: Picture) -> Picture:
    """`above` on `below`, which is as wide or wider."""
    page = Image.new("RGB", (below.width, above.height + below.height), GROUND)
    page.paste(above, ((below.width - above.width) // 2, 0))
    page.paste(below, (0, above.height))
    return page


def _to_width(picture: Picture, width: int) -> Picture:
    """At `width`, or LONGEST high if that is smaller: crisp where it is enlarged, smooth where it is made smaller."""
    scale = min(width / picture.width, LONGEST / picture.height)
    k = math.ceil(scale)
    crisp = picture.convert("RGB").resize((picture.width * k, picture.height * k), Image.Resampling.NEAREST)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return crisp if crisp.size == size else crisp.resize(size, Image.Resampling.LANCZOS)


def fitted(words: str, size: int, width: int) -> str:
    """`words`, cut with an ellipsis where they are wider than `width`."""
    if font(size).getlength(words) <= width:
        return words
    while words and font(size).getlength(words + "...") > width:
        words = words[:-1]
    return words.rstrip() + "..."


@lru_cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
