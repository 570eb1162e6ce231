"""Line charts in a page: where a point lies, what an axis shows, and what a screen reader is told."""

import re
from importlib import resources
from xml.etree import ElementTree

import pytest

from rakinglight.reports.lines import BOTTOM, LEFT, RIGHT, STYLES, TOP, Chart, Line, Point, svg, swatch, ticks


def elements(chart: Chart, name: str, kind: str) -> list[ElementTree.Element]:
    """The elements `name` of class `kind`; a chart that is no well-formed XML fails here."""
    root = ElementTree.fromstring(str(svg(chart)))
    return [found for found in root.iter(name) if kind in (found.get("class") or "").split()]


def curve(*points: Point, **how: bool) -> Chart:
    return Chart("Agreement", "queries", [Line("it", points, 0)], **how)


def test_a_point_lies_where_its_value_is() -> None:
    marks = elements(curve(Point(0, 0.0), Point(100, 0.5), Point(200, 1.0)), "circle", "mark")
    places = [(float(mark.get("cx") or 0), float(mark.get("cy") or 0)) for mark in marks]
    middle = ((LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2)
    assert places == [(LEFT, BOTTOM), middle, (RIGHT, TOP)]


def test_an_interval_is_drawn_from_end_to_end() -> None:
    chart = curve(Point(100, 0.5, 0.25, 0.75), Point(200, 0.5))
    (whisker,) = elements(chart, "path", "whisker")
    numbers = [float(n) for n in re.findall(r"[\d.]+", whisker.get("d") or "")]
    height = BOTTOM - TOP
    assert numbers[1:] == [pytest.approx(BOTTOM - 0.25 * height, abs=0.1), pytest.approx(TOP + 0.25 * height, abs=0.1)]


@pytest.mark.parametrize(("nearer", "lowest"), [(False, "0%"), (True, "80%")])
def test_an_axis_of_shares_begins_above_zero_only_where_it_may(nearer: bool, lowest: str) -> None:
    chart = curve(Point(100, 0.9), Point(200, 0.95), nearer=nearer)
    words = [text.text for text in elements(chart, "text", "end")]
    assert words[0] == lowest
    assert "100%" in words


def test_the_axis_says_round_numbers() -> None:
    assert ticks(1600) == [0, 500, 1000, 1500, 2000]
    assert ticks(0.07) == [0, 0.02, 0.04, 0.06, 0.08]
    assert ticks(1) == [0, 0.25, 0.5, 0.75, 1]
    assert ticks(0) == [0, 1]


def test_a_level_goes_right_across_and_a_curve_of_one_point_does_not() -> None:
    level = Chart("", "queries", [Line("white-box", [Point(0, 0.5)], 2, level=True), Line("it", [Point(10, 0.5)], 0)])
    drawn = [path.get("d") for path in elements(level, "path", "line")]
    assert drawn == [f"M{LEFT} {(TOP + BOTTOM) / 2:.1f}H{RIGHT}", f"M{RIGHT:.1f} {(TOP + BOTTOM) / 2:.1f}"]


def test_every_style_has_a_mark_of_its_own_and_a_colour() -> None:
    """Views and both kinds of defence are five lines of one chart."""
    marks = {str(swatch(style)).partition('class="mark')[2].replace(f"s{style}", "") for style in range(STYLES)}
    assert len(marks) == STYLES
    styles = resources.files("rakinglight.reports").joinpath("templates/page.css").read_text(encoding="utf-8")
    for style in range(STYLES):
        assert styles.count(f"--s{style}: #") == 3  # by day, by night, on paper
        assert f".line.s{style}" in styles


def test_what_happens_at_an_x_is_marked_there_and_its_words_stay_inside() -> None:
    chart = Chart("Score", "queries", [Line("s", [Point(0, 0), Point(100, 3)], 0)], share=False, mark=(90, "alarm"))
    (event,) = elements(chart, "path", "event")
    assert (event.get("d") or "").startswith(f"M{LEFT + 0.9 * (RIGHT - LEFT):.1f} ")
    (words,) = elements(chart, "text", "event-words")
    assert "end" in (words.get("class") or "").split()


def test_who_cannot_see_it_is_told_the_last_values() -> None:
    label = ElementTree.fromstring(str(svg(curve(Point(100, 0.5), Point(1600, 0.9125))))).get("aria-label")
    assert label == "Agreement. it: 91.2% at 1,600"


def test_a_name_is_text_and_nothing_else() -> None:
    chart = Chart('"><script>', "<b>", [Line("<i>", [Point(0, 0), Point(1, 1)], 0)])
    assert "<script>" not in svg(chart)
    assert "<b>" not in svg(chart)
