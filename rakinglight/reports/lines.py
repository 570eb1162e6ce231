"""Line charts as SVG in the page itself: sharp at every size, in the page's own colours, and read by a screen reader.

What a chart shows stands beside it as a table, so that no number has to be taken from a picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

#: Units of a chart. On a phone it is about as wide in pixels, so that its letters keep their size.
WIDTH, HEIGHT = 400, 264
LEFT, TOP, RIGHT, BOTTOM = 44, 14, 388, 222  # of the axes
#: Units that the whiskers of neighbouring lines stand apart, so that none hides another.
ASIDE = 3.0
#: Lines that a chart can tell apart by dash and mark as well as by colour.
STYLES = 5
#: From a value on each axis to units of the chart.
Place = Callable[[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Point:
    """A value at x; with the ends of its interval where it has one."""

    x: float
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Line:
    """A curve.

    style  which of the page's ways to draw a line, 0 to STYLES - 1; the same thing has the same in all charts
    level  whether it is one value that holds for every x
    """

    name: str
    points: Sequence[Point]
    style: int
    level: bool = False


@dataclass(frozen=True)
class Chart:
    """Lines over one axis.

    share   whether the values are shares, in [0, 1], written as per cent
    nearer  whether their axis may begin above 0, where all of them are far above it
    mark    an x at which something happens, and what
    """

    title: str
    x_label: str
    lines: Sequence[Line]
    share: bool = True
    nearer: bool = False
    mark: tuple[float, str] | None = None

    def __html__(self) -> str:
        return svg(self)


def svg(chart: Chart) -> Markup:
    """`chart` as an element <svg>."""
    points = [point for line in chart.lines for point in line.points]
    assert points, "a chart shows something"
    x_last = max(point.x for point in points) or 1.0
    x_first = min(0.0, *(point.x for point in points))
    y_ticks = _shares(points, nearer=chart.nearer) if chart.share else ticks(max(_top(point) for point in points))
    y_first, y_last = y_ticks[0], y_ticks[-1]

    def at(x: float, y: float) -> tuple[float, float]:
        across = (x - x_first) / (x_last - x_first)
        up = (min(max(y, y_first), y_last) - y_first) / (y_last - y_first)
        return LEFT + across * (RIGHT - LEFT), BOTTOM - up * (BOTTOM - TOP)

    parts: list[Markup] = []
    for tick in y_ticks:
        _, y = at(x_first, tick)
        words = f"{tick:.0%}" if chart.share else f"{tick:g}"
        parts.append(Markup('<path class="grid" d="M{} {:.1f}H{}"/>').format(LEFT, y, RIGHT))
        parts.append(Markup('<text x="{}" y="{:.1f}" class="end">{}</text>').format(LEFT - 6, y + 4, words))
    for tick in (tick for tick in ticks(x_last) if tick <= x_last):
        x, _ = at(tick, y_first)
        anchor = "end" if x > RIGHT - 12 else "middle"
        parts.append(
            Markup('<text x="{:.1f}" y="{}" class="{}">{}</text>').format(x, BOTTOM + 17, anchor, f"{tick:,g}")
        )
    label = Markup('<text x="{}" y="{}" class="end">{}</text>').format(RIGHT, BOTTOM + 35, chart.x_label)
    parts.append(label)
    if chart.mark:
        parts += _marked(chart.mark, at(chart.mark[0], y_first)[0])
    for place, line in enumerate(chart.lines):
        aside = (place - (len(chart.lines) - 1) / 2) * ASIDE
        parts += _drawn(line, [(at(p.x, p.value), p) for p in line.points], aside, at)
    said = "; ".join(f"{line.name}: {_said(chart, line)}" for line in chart.lines)
    head = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
        WIDTH, HEIGHT, f"{chart.title}. {said}"
    )
    return head + Markup("").join(parts) + Markup("</svg>")


def swatch(style: int) -> Markup:
    """A short piece of a line, for a legend."""
    return Markup('<svg class="swatch" viewBox="0 0 30 12" aria-hidden="true">{}{}</svg>').format(
        Markup('<path class="line s{}" d="M1 6H29"/>').format(style), _mark(style, 15, 6)
    )


def ticks(last: float) -> list[float]:
    """Round numbers from 0 on to `last` or just beyond, about five of them."""
    if last <= 0:
        return [0.0, 1.0]
    rough = last / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))
    return [round(i * step, 12) for i in range(math.ceil(last / step - 1e-9) + 1)]


def _shares(points: Sequence[Point], *, nearer: bool) -> list[float]:
    """From 0 to 1; or from higher, where every share with its interval lies in the upper half."""
    least = min(point.value if point.low is None else point.low for point in points)
    if not nearer or least < 0.5:
        return [0.0, 0.25, 0.5, 0.75, 1.0]
    return [0.5, 0.6, 0.7, 0.8, 0.9, 1.0] if least < 0.8 else [0.8, 0.85, 0.9, 0.95, 1.0]


def _top(point: Point) -> float:
    return point.value if point.high is None else point.high


def _drawn(
    line: Line, places: Sequence[tuple[tuple[float, float], Point]], aside: float, at: Place
) -> Iterator[Markup]:
    """The line of these places, each with its whisker and its mark; right across where it is a level."""
    if line.level:
        ((_, y), _), *_ = places
        yield Markup('<path class="line s{}" d="M{} {:.1f}H{}"/>').format(line.style, LEFT, y, RIGHT)
        return
    for (x, _), point in places:
        if point.low is not None and point.high is not None:
            low, high = at(point.x, point.low)[1], at(point.x, point.high)[1]
            d = f"M{x + aside:.1f} {low:.1f}V{high:.1f}"
            yield Markup('<path class="whisker s{}" d="{}"/>').format(line.style, d)
    d = "L".join(f"{x:.1f} {y:.1f}" for (x, y), _ in places)
    yield Markup('<path class="line s{}" d="M{}"/>').format(line.style, d)
    if len(places) <= 40:  # else the marks would be the line
        for (x, y), _ in places:
            yield _mark(line.style, x, y)


def _mark(style: int, x: float, y: float) -> Markup:
    """A point of a line: disc, square, triangle, ring or diamond."""
    drawn = Markup('<path class="mark s{}" d="{}"/>')
    match style:
        case 0:
            return Markup('<circle class="mark s0" cx="{:.1f}" cy="{:.1f}" r="3.4"/>').format(x, y)
        case 1:
            return drawn.format(style, f"M{x - 3:.1f} {y - 3:.1f}h6v6h-6z")
        case 2:
            return drawn.format(style, f"M{x:.1f} {y - 4:.1f}l4 7h-8z")
        case 4:
            return drawn.format(style, f"M{x:.1f} {y - 4.4:.1f}l4.4 4.4l-4.4 4.4l-4.4 -4.4z")
        case _:
            return Markup('<circle class="mark hollow s{}" cx="{:.1f}" cy="{:.1f}" r="3.2"/>').format(style, x, y)


def _marked(mark: tuple[float, str], x: float) -> Iterator[Markup]:
    """A line up from the axis, and its words on the side where there is room."""
    yield Markup('<path class="event" d="M{:.1f} {}V{}"/>').format(x, BOTTOM, TOP)
    left = x > (LEFT + RIGHT) / 2
    yield Markup('<text x="{:.1f}" y="{}" class="{}">{}</text>').format(
        x - 5 if left else x + 5, TOP + 10, "event-words end" if left else "event-words", mark[1]
    )


def _said(chart: Chart, line: Line) -> str:
    """The last value of a line, in words."""
    last = line.points[-1]
    value = f"{last.value:.1%}" if chart.share else f"{last.value:.3g}"
    return value if line.level else f"{value} at {last.x:,g}"
