"""Tables for people; those of the operations that have one of their own are in `test_cli.py`."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from rich.console import Console

from rakinglight.results import Answer, Saliency
from rakinglight.tables import age, answered, summarized

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


def share(count: int, of: int) -> dict[str, float]:
    return {"value": count / of, "low": 0.0, "high": 1.0, "count": count, "of": of}


@pytest.mark.parametrize("held_out", [share(1, 2), None], ids=["some are held out", "none is"])
def test_a_universal_perturbation_says_how_many_it_fools_and_where_it_is_kept(held_out: dict[str, float]) -> None:
    curve = [{"images": count, "given": share(count // 4, count), "held_out": held_out} for count in (4, 8)]
    row = {"model": "another", **share(3, 4)}
    summary = {"id": "pert_0", "norm": "linf", "epsilon": 8 / 255, "given": share(6, 8), "held_out": held_out}
    summary |= {"noise": share(0, 2), "curve": curve, "transfer": [row]}
    console = Console(width=120)
    with console.capture() as shown:
        for made in summarized("universal", summary):
            console.print(made)
    lines = [cells(line) for line in shown.get().splitlines()]
    whose = "the 2 held out" if held_out else "the same 8"
    assert ["the 8 it is made of", "75.0% (0.0% to 100.0%)"] in lines
    assert (["the 2 held out", "50.0% (0.0% to 100.0%)"] in lines) == bool(held_out)
    assert [f"{whose}, by noise of its size", "0.0% (0.0% to 100.0%)"] in lines
    assert [f"{whose}, on another", "75.0% (0.0% to 100.0%)"] in lines
    assert [line[:2] for line in lines if line[0] in ("4", "8")] == [[n, "25.0% (0.0% to 100.0%)"] for n in "48"]
    assert lines[-1] == ["pert_0", "linf", "8/255"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-3, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (3601, "1 h"), (86_399, "23 h"), (200_000, "2 d")],
)
def test_an_age_has_one_unit(seconds: int, said: str) -> None:
    assert age(f"{datetime.now(UTC) - timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S.%fZ}") == said
