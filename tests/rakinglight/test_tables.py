"""Tables for people; those of the operations that have one of their own are in `test_cli.py`."""

import numpy as np
from rich.console import Console

from rakinglight.results import Answer
from rakinglight.tables import answered


def test_an_operation_without_a_table_shows_what_fits_into_a_cell() -> None:
    cat = {"index": 3, "label": "cat", "probability": 0.5}
    entries = [
        {"prediction": cat, "insertion_area": 0.123456, "robust": True, "map": np.zeros((2, 2)), "geometry": {}},
        {"prediction": cat, "insertion_area": 0.5, "robust": False, "note": "No room."},
    ]
    console = Console(width=120)
    with console.capture() as shown:
        console.print(answered("measure", ["one.png", "two.png"], [Answer(entry, {}) for entry in entries]))
    head, first, second = (line.split("  ") for line in shown.get().splitlines())
    assert [cell.strip() for cell in head if cell.strip()] == [
        "image",
        "prediction",
        "insertion area",
        "robust",
        "note",
    ]
    assert [cell.strip() for cell in first if cell.strip()] == ["one.png", "cat (50.0%)", "0.1235", "yes"]
    assert [cell.strip() for cell in second if cell.strip()] == ["two.png", "cat (50.0%)", "0.5", "no", "No room."]
