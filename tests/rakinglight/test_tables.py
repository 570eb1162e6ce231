"""Tables for people; those of the operations that have one of their own are in `test_cli.py`."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from rich.console import Console

from rakinglight.results import Answer, Saliency
from rakinglight.tables import age, answered

CAT = {"index": 3, "label": "cat", "probability": 0.5}


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_an_operation_without_a_table_shows_what_fits_into_a_cell() -> None:
    entries = [
        {"prediction": CAT, "insertion_area": 0.123456, "robust": True, "map": np.zeros((2, 2)), "geometry": {}},
        {"prediction": CAT, "insertion_area": 0.5, "robust": False, "note": "No room."},
    ]
    console = Console(width=120)
    with console.capture() as shown:
        console.print(answered("measure", ["one.png", "two.png"], [Answer(entry, {}) for entry in entries]))
    head, first, second = map(cells, shown.get().splitlines())
    assert head == ["image", "prediction", "insertion area", "robust", "note"]
    assert first == ["one.png", "cat (50.0%)", "0.1235", "yes"]
    assert second == ["two.png", "cat (50.0%)", "0.5", "no", "No room."]


def test_each_compared_map_has_a_row_with_its_figures() -> None:
    figures = {
        "insertion": {"area": 0.25, "curve": np.zeros(3)},
        "infidelity": {"value": 0.0123456},
        "randomization": {"share": [0.5, 1.0], "rank_correlation": [0.5, 0.125]},
        "pointing_game": {"hit": False},
    }
    shared = {"parameters": {}, "target": CAT, "map": np.eye(2)}
    maps = [{"method": "gradient", **shared}, {"method": "grad_cam", **shared, "evaluation": figures}]
    answer = Saliency({"prediction": CAT, "geometry": {}, "maps": maps}, {"method": None})
    console = Console(width=160)
    with console.capture() as shown:
        console.print(answered("saliency", ["one.png"], [answer]))
    head, first, second = map(cells, shown.get().splitlines())
    assert head[-4:] == ["insertion", "infidelity", "randomization", "pointing game"]
    assert first == ["one.png", "gradient", "cat (50.0%)", "cat (50.0%)", "0 to 1", "row 0, column 0"]
    assert second == ["grad_cam", *first[2:], "0.250", "0.0123", "0.125", "miss"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-3, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (3601, "1 h"), (86_399, "23 h"), (200_000, "2 d")],
)
def test_an_age_has_one_unit(seconds: int, said: str) -> None:
    assert age(f"{datetime.now(UTC) - timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S.%fZ}") == said
