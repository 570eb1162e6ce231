"""Charts: a line is where its values are, and what is not measured is not drawn as if it were."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from rakinglight import charts

Array = np.ndarray[Any, Any]


def curve(*values: float) -> dict[str, Any]:
    return {"area": float(np.mean(values)), "curve": np.array(values, np.float32), "score": "probability"}


@pytest.mark.parametrize("names", [("deletion",), ("insertion",), ("deletion", "insertion")], ids=" and ".join)
def test_a_chart_has_a_line_of_its_colour_where_its_values_are(names: tuple[str, ...]) -> None:
    chart = charts.curves({name: curve(0.5, 0.5, 0.5) for name in names} | {"infidelity": {"value": 1.0}})
    assert chart.size == charts.CHART
    shown = np.asarray(chart).astype(int)
    for name in charts.CURVES:
        near = np.abs(shown - charts.CURVES[name].colour).sum(2) < 30
        assert near.any() == (name in names)
    at = np.abs(shown[:380] - charts.CURVES[names[-1]].colour).sum(2) < 30  # above the key
    assert np.ptp(np.nonzero(at)[0]) < 4  # a level line


def of(count: int, images: int) -> dict[str, Any]:
    return {"value": count / images, "low": 0.0, "high": 1.0, "count": count, "of": images}


def accuracies(*counts: int, images: int = 2, untried: int = 0, **beside: Any) -> dict[str, Any]:
    """A summary in which so many images are right, clean and at each epsilon; at the last some are `untried`."""
    both = [{"top1": of(count, images), "top5": of(count, images)} for count in counts]
    at = [{"epsilon": 0.1 * (i + 1), **found, "untried": 0} for i, found in enumerate(both[1:])]
    at[-1]["untried"] = untried
    return {"images": images, "norm": "linf", "clean": both[0], "accuracy": at, **beside}


def near(picture: Image.Image, colour: tuple[int, int, int]) -> Array:
    """Where `picture`'s pixels have about this colour, above the key."""
    shown = np.asarray(picture.convert("RGB")).astype(int)[:380]
    return np.asarray(np.abs(shown - colour).sum(2) < 30)


def test_curves_that_are_alike_cover_neither_one_another_s_points_nor_their_intervals() -> None:
    chart = charts.accuracy(accuracies(2, 1))
    for curve in charts.ACCURACIES.values():
        whiskers = near(chart, curve.colour).sum(0) > 150  # the columns in which an interval from 0 to 1 stands
        assert np.flatnonzero(np.diff(np.flatnonzero(whiskers)) > 100).size == 1  # at clean, and at the epsilon


def test_no_line_leads_to_a_point_that_is_not_measured() -> None:
    measured, cut = (charts.accuracy(accuracies(2, 2, 2, untried=n)) for n in (0, 1))
    colour = charts.ACCURACIES["top1"].colour
    halfway = slice(430, 450)  # between the last epsilon and the one before
    assert near(measured, colour)[:, halfway].any()
    assert not near(cut, colour)[:, halfway].any()
    assert cut.height > measured.height  # there is a line that says so


def test_the_chart_lists_the_transfer_matrix() -> None:
    cells = [{"made_on": "a", "tried_on": tried, "fooled": of(1, 2)} for tried in "ab"]
    alone, beside = (
        charts.accuracy(accuracies(2, 1, transfer={"method": "pgd", "epsilon": 0.1, "cells": found}))
        for found in ([], cells)
    )
    assert beside.height - alone.height > 3 * 20  # a heading, and a line for each pair
