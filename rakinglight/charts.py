"""Charts of what a reply has as numbers, each point with its interval, and below it in words what must be known.

As all pictures here they are for looking at: no number is ever taken from one. Needs no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from rakinglight.parameters import as_fraction
from rakinglight.pictures import FAINT, GROUND, INK, Picture, fitted, font, stacked

GRID = (52, 52, 56)
#: Pixels of a chart, and how many times as large its lines are drawn.
CHART = 560, 500
FINER = 4
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
#: Pixels between curves whose points would lie on one another, and across the mark of a point.
ASIDE, MARK = 6, 9


@dataclass(frozen=True)
class Curve:
    """How a curve is drawn, and which way is good."""

    colour: tuple[int, int, int]
    meaning: str


#: Two colours that differ in lightness too, so that nobody has to tell hues apart.
CURVES = {"deletion": Curve((86, 180, 233), "lower is better"), "insertion": Curve((240, 228, 66), "higher is better")}


#: The curves of `accuracy`.
ACCURACIES = {
    "top1": Curve((240, 228, 66), "top-1: an upper bound, another attack may break more"),
    "top5": Curve((86, 180, 233), "top-5, under attacks on the first answer"),
}
#: Those of it behind a defence, all top-1.
LINES = {
    "undefended": Curve((150, 150, 160), "the model without the defence"),
    "rounded": Curve((0, 158, 115), "without it, pictures rounded to 8 bits and no more"),
    "oblivious": Curve((86, 180, 233), "defended, attacked by one who does not know of it"),
    "adaptive": Curve((240, 228, 66), "defended, attacked by one who does: an upper bound"),
}
#: The curves of `fooling`, their colours, and what each is of.
FOOLED = {
    "held_out": ((240, 228, 66), "images that were held out"),
    "given": ((86, 180, 233), "images that it is made of"),
}


def curves(evaluation: Mapping[str, Any]) -> Picture:
    """Deletion and insertion as a chart: the score over the share of the pixels that are gone, or there.

    evaluation  a reply's: {"deletion": {"area", "curve", "score"}, "insertion": {...}}, of which one will do
    """
    drawn = [(name, evaluation[name]) for name in CURVES if name in evaluation]
    left, top, right, bottom = 56, 44, CHART[0] - 24, CHART[1] - 112  # of the axes
    # Drawn large and made small again, which makes lines smooth; words come after, for they are smooth as they are.
    large = Image.new("RGB", (CHART[0] * FINER, CHART[1] * FINER), GROUND)
    draw = ImageDraw.Draw(large)

    def at(x: float, y: float) -> tuple[float, float]:
        return (left + x * (right - left)) * FINER, (bottom - y * (bottom - top)) * FINER

    for tick in TICKS:
        draw.line([at(tick, 0), at(tick, 1)], GRID, FINER)
        draw.line([at(0, tick), at(1, tick)], GRID, FINER)
    for name, found in drawn:
        ys = np.clip(np.asarray(found["curve"], np.float64), 0, 1)
        line = [at(x, y) for x, y in zip(np.linspace(0, 1, len(ys)), ys, strict=True)]
        draw.line(line, CURVES[name].colour, 3 * FINER, joint="curve")
    page = large.resize(CHART, Image.Resampling.LANCZOS)

    draw = ImageDraw.Draw(page)
    score = str(next(iter(drawn))[1].get("score", "score")) if drawn else "score"
    draw.text((12, 10), score, INK, font(15))
    draw.text((right, bottom + 26), "share of the pixels, the map's largest first", INK, font(15), anchor="ra")
    for tick in TICKS:
        x, y = left + tick * (right - left), bottom - tick * (bottom - top)
        draw.text((x, bottom + 6), f"{tick:g}", FAINT, font(14), anchor="ma")
        draw.text((left - 8, y), f"{tick:g}", FAINT, font(14), anchor="rm")
    for row, (name, found) in enumerate(drawn):
        y = bottom + 66 + 24 * row
        draw.line([(left, y), (left + 28, y)], CURVES[name].colour, 4)
        words = f"{name}: area {found['area']:.3f}, {CURVES[name].meaning}"
        draw.text((left + 40, y), fitted(words, 15, CHART[0] - left - 48), INK, font(15), anchor="lm")
    return page


def fooling(summary: Mapping[str, Any]) -> Picture:
    """The share of images that a universal perturbation fools, over the number of images that it was made of.

    summary  a reply's: `curve` is [{"images", "given", "held_out"}] of shares with their intervals, `noise` a share
    """
    points = summary["curve"]
    left, top, right, bottom = 56, 44, CHART[0] - 24, CHART[1] - 136  # of the axes
    most = max(point["images"] for point in points)
    large = Image.new("RGB", (CHART[0] * FINER, CHART[1] * FINER), GROUND)
    draw = ImageDraw.Draw(large)

    def at(images: float, share: float) -> tuple[float, float]:
        return (left + images / most * (right - left)) * FINER, (bottom - share * (bottom - top)) * FINER

    for tick in TICKS:
        draw.line([at(0, tick), at(most, tick)], GRID, FINER)
    drawn = [(name, curve, words) for name, (curve, words) in FOOLED.items() if points[0][name] is not None]
    for i, (name, curve, _) in enumerate(drawn):
        aside = _aside(i, len(drawn))
        for point in points:
            ends = [at(point["images"], point[name][end]) for end in ("low", "high")]
            draw.line(_moved(ends, aside), curve, FINER)
        line = _moved([at(point["images"], point[name]["value"]) for point in points], aside)
        draw.line(line, curve, 3 * FINER, joint="curve")
        for place in line:
            _mark(draw, place, curve)
    noise = summary["noise"]["value"]
    draw.line([at(0, noise), at(most, noise)], FAINT, 2 * FINER)
    page = large.resize(CHART, Image.Resampling.LANCZOS)

    draw = ImageDraw.Draw(page)
    draw.text((12, 10), "share that is fooled", INK, font(15))
    draw.text((right, bottom + 26), "images that the perturbation is made of", INK, font(15), anchor="ra")
    for tick in TICKS:
        draw.text((left - 8, bottom - tick * (bottom - top)), f"{tick:g}", FAINT, font(14), anchor="rm")
        draw.text((left + tick * (right - left), bottom + 6), f"{tick * most:g}", FAINT, font(14), anchor="ma")
    last = points[-1]
    said = [(curve, f"{words}: {last[name]['value']:.1%} of {last[name]['of']}") for name, curve, words in drawn]
    for row, (curve, words) in enumerate([*said, (FAINT, f"noise of the same size: {noise:.1%}")]):
        y = bottom + 62 + 24 * row
        draw.line([(left, y), (left + 28, y)], curve, 4)
        draw.text((left + 40, y), fitted(words, 15, CHART[0] - left - 48), INK, font(15), anchor="lm")
    return page


def accuracy(summary: Mapping[str, Any]) -> Picture:
    """Accuracy under attack over epsilon, top-1 and top-5, with the interval of each point. Where not every attack was
    tried on all images a point is hollow, and no line leads there: that accuracy is not measured.

    summary  a reply's: `accuracy` is [{"epsilon", "top1", "top5", "untried"}] of shares with their intervals and a
             count, `clean` the two at 0. Where it has `lines`, each with these, those are drawn instead, top-1. Where
             it has `transfer`, that is written below
    """
    if "lines" in summary:
        drawn = [(LINES[line["name"]], "top1", _points(line)) for line in summary["lines"]]
    else:
        drawn = [(curve, name, _points(summary)) for name, curve in ACCURACIES.items()]
    points = drawn[0][2]
    remarks = _remarks(summary)
    left, top, right, bottom = 56, 44, CHART[0] - 24, CHART[1] - 62 - 24 * len(drawn)  # of the axes
    most = points[-1]["epsilon"] or 1.0
    large = Image.new("RGB", (CHART[0] * FINER, CHART[1] * FINER), GROUND)
    draw = ImageDraw.Draw(large)

    def at(epsilon: float, share: float) -> tuple[float, float]:
        return (left + epsilon / most * (right - left)) * FINER, (bottom - share * (bottom - top)) * FINER

    for tick in TICKS:
        draw.line([at(0, tick), at(most, tick)], GRID, FINER)
    for i, (curve, name, own) in enumerate(drawn if "lines" in summary else reversed(drawn)):
        aside = _aside(i, len(drawn))
        for point in own:
            whisker = [at(point["epsilon"], point[name][end]) for end in ("low", "high")]
            draw.line(_moved(whisker, aside), curve.colour, 2 * FINER)
        places = _moved([at(point["epsilon"], point[name]["value"]) for point in own], aside)
        line = [place for place, point in zip(places, own, strict=True) if not point["untried"]]
        # Where a defence is worth nothing, the model without it has the same line: this one is seen beneath it.
        draw.line(line, curve.colour, (7 if curve is LINES["undefended"] else 3) * FINER, joint="curve")
        for place, point in zip(places, own, strict=True):
            _mark(draw, place, curve.colour, hollow=point["untried"] > 0)
    page = large.resize(CHART, Image.Resampling.LANCZOS)

    draw = ImageDraw.Draw(page)
    draw.text((12, 10), f"accuracy on {_images(summary['images'])}, with 95 % intervals", INK, font(15))
    draw.text((right, bottom + 26), f"epsilon in {summary['norm']}", INK, font(15), anchor="ra")
    for tick in TICKS:
        draw.text((left - 20, bottom - tick * (bottom - top)), f"{tick:g}", FAINT, font(14), anchor="rm")
    ends = -math.inf  # of the last epsilon that was written: where they are too near, some are left out
    for point in points:
        x, said = at(point["epsilon"], 0)[0] / FINER, as_fraction(point["epsilon"])
        half = font(14).getlength(said) / 2
        if x - half > ends + 6:
            draw.text((x, bottom + 6), said, FAINT, font(14), anchor="ma")
            ends = x + half
    for row, (curve, _, _) in enumerate(drawn):
        y = bottom + 62 + 24 * row
        draw.line([(left, y), (left + 28, y)], curve.colour, 4)
        draw.text((left + 40, y), fitted(curve.meaning, 15, CHART[0] - left - 48), INK, font(15), anchor="lm")
    return stacked(page, _written(remarks, left, ACCURACIES["top1"].colour)) if remarks else page


def _points(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Accuracy over epsilon, from 0 on."""
    clean = {"epsilon": 0.0, **figures["clean"], "untried": 0}
    return [clean, *(one for one in figures["accuracy"] if one["epsilon"] > 0)]


def _remarks(summary: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """What has to be said beside the curve, line by line, and whether it warns."""
    found: list[tuple[str, bool]] = []
    if cut := max(at["untried"] for at in summary["accuracy"]):
        found.append((f"Hollow: not measured, time or rows ran out on {cut} of {_images(summary['images'])}", True))
    if failed := summary.get("failed_checks"):
        found.append((f"Checks that failed: {', '.join(failed)}", True))
    transfer = summary.get("transfer") or {}
    if cells := transfer.get("cells"):
        attack = f"{transfer['method']} at {as_fraction(transfer['epsilon'])}"
        found.append((f"{attack}, made on -> tried on: the share that is fooled", False))
    for cell in cells or ():
        share = cell["fooled"]
        value = "none tried" if share["value"] is None else f"{share['value']:.1%} of {share['of']}"
        found.append((f"{cell['made_on']} -> {cell['tried_on']}: {value}", False))
    return found


def _images(count: int) -> str:
    return f"{count} image" if count == 1 else f"{count} images"


def _aside(i: int, curves: int) -> float:
    """How far the `i`-th of so many curves is moved, in pixels as drawn."""
    return (i - (curves - 1) / 2) * ASIDE * FINER


def _moved(places: Sequence[tuple[float, float]], aside: float) -> list[tuple[float, float]]:
    return [(x + aside, y) for x, y in places]


def _mark(
    draw: ImageDraw.ImageDraw, place: tuple[float, float], colour: tuple[int, int, int], *, hollow: bool = False
) -> None:
    """A point of a curve."""
    (x, y), half = place, MARK * FINER / 2
    draw.ellipse((x - half, y - half, x + half, y + half), GROUND if hollow else colour, colour, 2 * FINER)


def _written(lines: Sequence[tuple[str, bool]], left: int, warning: tuple[int, int, int]) -> Picture:
    """Lines below a chart; those that warn in their colour."""
    strip = Image.new("RGB", (CHART[0], 12 + 22 * len(lines)), GROUND)
    draw = ImageDraw.Draw(strip)
    for row, (words, warns) in enumerate(lines):
        place, colour = (left, 11 + 22 * row), warning if warns else FAINT
        draw.text(place, fitted(words, 15, CHART[0] - left - 8), colour, font(15), anchor="lm")
    return strip
