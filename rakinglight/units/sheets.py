"""The pictures of what views found: tables of small images, each row with its name, and maps of thumbnails.

They are made at the door, of the numbers of a reply and the images of its request. Needs no torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from rakinglight import eight_bit, pictures
from rakinglight.card import Card
from rakinglight.geometry import Geometry
from rakinglight.pictures import FAINT, GROUND, INK, Picture, Scaling, fitted, font, from_pixels

Array = np.ndarray[Any, Any]
Images = Callable[[int], Array]
Members = dict[str, bytes]

#: Pixels of a tile, of the space between two, and beside a row for its name.
TILE, GAP, NAME = 96, 8, 150
#: Rows of a table, tiles of a sheet, and tiles of a row, at most. Whoever wants more has the numbers.
ROWS, TILES, ACROSS = 16, 64, 9
#: Pixels of a map of thumbnails, and of a thumbnail.
CANVAS, THUMBNAIL = 1200, (140, 24)
#: What frames of thumbnails tell apart: eight hues for those who see few (Okabe and Ito 2008), and two more.
HUES = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178),
    (213, 94, 0), (204, 121, 167), (235, 235, 230), (150, 90, 220), (120, 120, 120),
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A row of a table: its name, and tiles with what stands below each."""

    name: str
    tiles: Sequence[tuple[Picture, str]]
    note: str = ""


def drawn(
    result: Mapping[str, Any], images: Sequence[Array], card: Card, wanted: Collection[str]
) -> tuple[Members, list[Members]]:
    """The pictures of a result of `units` as PNG: those of its summary, and those of each image.

    images  as they came
    wanted  what of `include` is
    """
    summary, results = result["summary"], result["results"]

    @cache
    def seen(i: int) -> Array:
        pixels = images[i]
        height, width = pixels.shape[:2] if pixels.dtype == np.uint8 else pixels.shape[1:]
        return Geometry.of(height, width, card.input_shape, card.resize).picture(pixels)

    if "picture" not in wanted:
        return {}, [{} for _ in results]
    if summary["view"] in EACH:
        draw_each = EACH[summary["view"]]
        return {}, [{"picture": _png(draw_each(summary, one, seen(i)))} for i, one in enumerate(results)]
    return {"picture": _png(ALL[summary["view"]](summary, results, seen))}, [{} for _ in results]


# ── the views ───────────────────────────────────────────────────────────────────────────────────────────────────────


def filters(summary: Mapping[str, Any], _results: Sequence[Any], _seen: Images) -> Picture:
    """Each filter on grey, which is zero, as strong as its largest weight."""
    weights = summary["weights"]
    tiles = [(signed(w), str(unit)) for unit, w in enumerate(weights[: 4 * TILES])]
    cut = f"; the first {len(tiles)} of {len(weights)}" if len(tiles) < len(weights) else ""
    return contact(tiles, f"filters of {summary['layer']}: grey is zero, each by its own largest weight{cut}")


def activations(summary: Mapping[str, Any], one: Mapping[str, Any], seen: Array) -> Picture:
    """The image, and the maps of the units, those with the largest values where there are too many to be seen."""
    maps, layer = one["maps"], summary["layer"]
    peaks = maps.reshape(len(maps), -1).max(1)
    chosen = np.sort(np.argsort(-peaks, kind="stable")[:TILES])
    scaling = Scaling.of(maps[chosen].reshape(-1, maps.shape[-1]))
    first = summary.get("unit", 0)
    tiles = [(from_pixels(seen), "image")]
    tiles += [(pictures.coloured(maps[i], scaling), str(first + i)) for i in chosen]
    cut = f"; {len(chosen)} of {len(maps)}, the most excited" if len(chosen) < len(maps) else ""
    return contact(tiles, f"what units of {layer} put out, {scaling.low:.3g} to {scaling.high:.3g}{cut}")


def top_patches(summary: Mapping[str, Any], _results: Sequence[Any], seen: Images) -> Picture:
    """A row a unit: the patches that excite it most. Of many units, those that are excited most."""
    units = [unit for unit in summary["units"] if unit["patches"][0]["activation"] > 0] or summary["units"]
    strongest = sorted(units, key=lambda unit: -unit["patches"][0]["activation"])[:ROWS]
    rows = [
        Row(
            f"unit {unit['unit']}",
            [(cropped(seen(p["image"]), p["box"]), f"{p['activation']:.3g}") for p in unit["patches"][:ACROSS]],
        )
        for unit in sorted(strongest, key=lambda unit: int(unit["unit"]))
    ]
    cut = f"; {len(rows)} of {len(summary['units'])} units" if len(rows) < len(summary["units"]) else ""
    return table(rows, f"{summary['layer']}: what excites a unit most in {_images(summary['images'])}{cut}")


def neighbors(summary: Mapping[str, Any], results: Sequence[Mapping[str, Any]], seen: Images) -> Picture:
    """A row an image: it, and those that are nearest."""
    rows = [
        Row(
            _label(one),
            [
                (from_pixels(seen(i)), "image"),
                *((from_pixels(seen(n["image"])), f"{n['distance']:.3g}") for n in one["neighbors"][: ACROSS - 1]),
            ],
        )
        for i, one in enumerate(results[:ROWS])
    ]
    cut = f"; the first {len(rows)} of {len(results)}" if len(rows) < len(results) else ""
    return table(rows, f"nearest by {summary['layer']}, {summary['metric']} distance{cut}")


def embedding(summary: Mapping[str, Any], results: Sequence[Mapping[str, Any]], seen: Images) -> Picture:
    """The images, each where it lies, framed by what the network says it is, if these are few things."""
    places = np.array([one["coordinates"] for one in results], np.float64)
    span = np.maximum(places.max(0) - places.min(0), 1e-12)
    large, small = THUMBNAIL
    side = int(np.clip(CANVAS / (2.4 * math.sqrt(len(places))), small, large))
    unit = (places - places.min(0)) / span
    labels = [one["prediction"]["label"] for one in results]
    names = sorted(set(labels))
    hues = dict(zip(names, HUES, strict=False)) if len(names) <= len(HUES) else {}
    page = Image.new("RGB", (CANVAS + side + 2 * GAP, CANVAS + side + 2 * GAP + 60), GROUND)
    draw = ImageDraw.Draw(page)
    words = f"t-SNE of {summary['layer']}, {_images(summary['images'])}, perplexity {summary['perplexity']:.3g}"
    draw.text((GAP, GAP), words, INK, font(20))
    left: float = GAP
    for name, hue in hues.items():
        draw.text((left, GAP + 30), name, hue, font(16))
        left += font(16).getlength(name) + 16
    for i, (x, y) in enumerate(unit):
        at = round(GAP + x * CANVAS), round(GAP + 60 + (1 - y) * CANVAS)
        page.paste(_square(from_pixels(seen(i)), side), at)
        if hues:
            draw.rectangle((*at, at[0] + side - 1, at[1] + side - 1), outline=hues[labels[i]], width=2)
    return page


def dissection(summary: Mapping[str, Any], _results: Sequence[Any], seen: Images) -> Picture:
    """How many units detect each concept, as bars, the most first; and where the surest detectors are high."""
    counts = sorted(summary["histogram"].items(), key=lambda item: -item[1])[: 2 * ROWS]
    width, line = 720, 26
    page = Image.new("RGB", (width, 70 + line * len(counts) + 12), GROUND)
    draw = ImageDraw.Draw(page)
    found, units = summary["detectors"], len(summary["units"])
    draw.text((12, 10), f"{summary['layer']}: {found} of {units} units are detectors", INK, font(20))
    said = f"IoU above {summary['iou_above']:g}, top {summary['quantile']:.2g} of values, {_images(summary['images'])}"
    draw.text((12, 38), said, FAINT, font(15))
    most = max(1, *(count for _, count in counts))
    for i, (concept, count) in enumerate(counts):
        top = 70 + line * i
        draw.text((190, top + line // 2), fitted(concept, 15, 170), INK, font(15), anchor="rm")
        length = (width - 270) * count / most
        draw.rectangle((200, top + 4, 200 + length, top + line - 4), (86, 180, 233))
        draw.text((208 + length, top + line // 2), str(count), FAINT, font(15), anchor="lm")
    units_by_number = {unit["unit"]: unit for unit in summary["units"]}
    rows = []
    for example in summary["examples"]:
        unit = units_by_number[example["unit"]]
        tiles = [(lit(seen(i), M), str(i)) for i, M in zip(example["images"], example["high"], strict=True)]
        rows.append(Row(f"{unit['unit']}: {unit['concept']}", tiles, f"IoU {unit['iou']:.3f}"))
    if not rows:
        return page
    below = table(rows, "where the surest are high, in the images that excite them most")
    both = Image.new("RGB", (max(page.width, below.width), page.height + below.height), GROUND)
    both.paste(page, (0, 0))
    both.paste(below, (0, page.height))
    return both


def deconv(summary: Mapping[str, Any], results: Sequence[Mapping[str, Any]], seen: Images) -> Picture:
    """A row an image: what the unit looked at there, and its projections back to the pixels, as strong as can be."""
    rows = []
    for i, one in enumerate(results[:ROWS]):
        top, left, bottom, right = one["box"]
        parts = {name: one[name][:, top:bottom, left:right] for name in ("projection", "gradient") if name in one}
        alike = one["correlation"]
        tiles = [(from_pixels(seen(i)), "image"), (cropped(seen(i), one["box"]), f"{one['activation']:.3g}")]
        tiles += [(signed(part), {"projection": "deconvnet"}.get(name, name)) for name, part in parts.items()]
        rows.append(Row(f"unit {one['unit']}", tiles, "" if alike is None else f"correlation {alike:.2f}"))
    cut = f"; the first {len(rows)} of {len(results)}" if len(rows) < len(results) else ""
    return table(rows, f"{summary['layer']}: from a unit back to the pixels{cut}")


EACH: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any], Array], Picture]] = {"activations": activations}
ALL: Mapping[str, Callable[[Mapping[str, Any], Sequence[Any], Images], Picture]] = {
    view.__name__: view for view in (filters, top_patches, neighbors, embedding, dissection, deconv)
}


# ── what they are made of ───────────────────────────────────────────────────────────────────────────────────────────


def signed(values: Array) -> Picture:
    """[C, h, w] of both signs, grey where zero; all but the few largest values are within black and white."""
    largest = float(np.quantile(np.abs(values), pictures.SHOWN)) or float(np.abs(values).max(initial=0)) or 1.0
    return from_pixels(eight_bit.from_float(np.clip(0.5 + 0.5 * values / largest, 0, 1).astype(np.float32)))


def lit(seen: Array, where: Array) -> Picture:
    """uint8 [h, w, C] as it is within `where`, [h, w], and dark elsewhere."""
    light = np.where(where[..., None] > 0, 1.0, 0.3)
    return from_pixels((seen * light).astype(np.uint8))


def cropped(seen: Array, box: Sequence[int]) -> Picture:
    """The pixels within [top, left, bottom, right], of uint8 [h, w, C]."""
    top, left, bottom, right = box
    return from_pixels(seen[top:bottom, left:right])


def contact(tiles: Sequence[tuple[Picture, str]], title: str) -> Picture:
    """Tiles in rows, as nearly square as they can be, below a title."""
    across = max(4, math.ceil(math.sqrt(len(tiles))))
    rows = [Row("", tiles[first : first + across]) for first in range(0, len(tiles), across)]
    return table(rows, title)


def table(rows: Sequence[Row], title: str) -> Picture:
    """Rows of tiles below a title."""
    name = NAME if any(row.name for row in rows) else 0
    step = TILE + GAP
    width = max(GAP + name + step * max(len(row.tiles) for row in rows), 560)
    height = TILE + 20 + GAP
    page = Image.new("RGB", (width, 44 + height * len(rows)), GROUND)
    draw = ImageDraw.Draw(page)
    draw.text((GAP, 10), fitted(title, 16, width - 2 * GAP), INK, font(16))
    for i, row in enumerate(rows):
        top = 44 + height * i
        draw.text((GAP, top + TILE // 2), fitted(row.name, 15, NAME - GAP), INK, font(15), anchor="lm")
        draw.text((GAP, top + TILE // 2 + 20), fitted(row.note, 13, NAME - GAP), FAINT, font(13), anchor="lm")
        for k, (picture, words) in enumerate(row.tiles):
            left = GAP + name + step * k
            page.paste(_square(picture, TILE), (left, top))
            draw.text((left + TILE // 2, top + TILE + 9), fitted(words, 13, TILE), FAINT, font(13), anchor="mm")
    return page


def _square(picture: Picture, side: int) -> Picture:
    """`picture` within a square: crisp where it is enlarged, smooth where it is made smaller."""
    scale = side / max(picture.size)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    how = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS
    square = Image.new("RGB", (side, side), GROUND)
    square.paste(picture.convert("RGB").resize(size, how), ((side - size[0]) // 2, (side - size[1]) // 2))
    return square


def _label(one: Mapping[str, Any]) -> str:
    return str(one["prediction"]["label"])


def _images(count: int) -> str:
    return f"{count} image" if count == 1 else f"{count} images"


def _png(picture: Picture) -> bytes:
    return pictures.to_png(picture)
