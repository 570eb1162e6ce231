"""Answers as tables for people. An operation that has none of its own gets one of its plain words and numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from rakinglight.results import Answer, Attack, Classification, Explanation, Prediction
from rakinglight.trust import FIGURES

NUMBERS = frozenset(
    {"probability", "index", "classes", "images", "linf", "l2", "queries"}
    | {figure.replace("_", " ") for figure in FIGURES}
)
#: Columns of what is copied or read at a glance: where room is scarce, the others give way.
WHOLE = frozenset({"job", "dataset", "state", "done", "age", "images", "kept until"})


def table(*columns: str) -> Table:
    """An empty table."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        justify: Any = "right" if name in NUMBERS else "left"
        made.add_column(name, justify=justify, overflow="fold", no_wrap=name in WHOLE)
    return made


def local_time(said: str | None) -> str:
    """A time of the service's, which is RFC 3339, as this machine's clock shows it: 2026-11-22 10:11. "" for none."""
    return f"{datetime.fromisoformat(said).astimezone():%Y-%m-%d %H:%M}" if said else ""


def age(said: str) -> str:
    """How long ago a time of the service's is, in one unit: "5 s", "2 min", "3 h", "4 d"."""
    seconds = max(0.0, (datetime.now(UTC) - datetime.fromisoformat(said)).total_seconds())
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"


def answered(operation: str, images: Sequence[str], answers: Sequence[Any]) -> Table:
    """What `operation` found in `images`; of those that have no answer, None, only the name is shown."""
    found = {i: answer for i, answer in enumerate(answers) if answer is not None}
    made = TABLES.get(operation, _plain)([images[i] for i in found], list(found.values()))
    for i, name in enumerate(images):
        if i not in found:
            made.add_row(name, "no answer")
    return made


def _classified(images: Sequence[str], answers: Sequence[Classification]) -> Table:
    made = table("image", "class", "probability", "index")
    for name, answer in zip(images, answers, strict=True):
        for place, found in enumerate(answer.predictions):
            shown = "" if found.probability is None else f"{found.probability:.1%}"
            made.add_row(name if place == 0 else "", found.label, shown, str(found.index))
    return made


def _explained(images: Sequence[str], answers: Sequence[Explanation]) -> Table:
    rows = [
        (
            name if place == 0 else "",
            one,
            {figure: _figure(figure, found) for figure, found in one.entry.get("evaluation", {}).items()},
        )
        for name, answer in zip(images, answers, strict=True)
        for place, one in enumerate(answer.maps)
    ]
    figures = list(dict.fromkeys(figure for _, _, found in rows for figure in found))
    made = table(
        "image", "method", "explained", "prediction", "map", "largest at", *(f.replace("_", " ") for f in figures)
    )
    for name, one, found in rows:
        values = one.map
        row, column = divmod(int(abs(values).argmax()), values.shape[1])
        span = f"{values.min():.3g} to {values.max():.3g}" + (" (partial)" if one.partial else "")
        at = f"row {row}, column {column}"
        figured = (found.get(figure, "") for figure in figures)
        made.add_row(name, one.method, str(one.target), str(one.prediction), span, at, *figured)
    return made


def _figure(name: str, found: Mapping[str, Any]) -> str:
    """The one number, or word, that says most of a figure."""
    match name:
        case "deletion" | "insertion":
            return f"{found['area']:.3f}"
        case "randomization":  # the whole network randomised: the nearer to zero, the more the map was about it
            return f"{found['rank_correlation'][-1]:.3f}"
        case "pointing_game":
            return "hit" if found["hit"] else "miss"
        case _:
            return f"{found['value']:.3g}"


def _attacked(images: Sequence[str], answers: Sequence[Attack]) -> Table:
    made = table("image", "outcome", "before", "after", "linf", "l2", "queries")
    for name, answer in zip(images, answers, strict=True):
        outcome = "already wrong" if answer.already_misclassified else "success" if answer.success else "no success"
        note = " (partial)" if answer.partial else ""
        linf, l2 = f"{answer.distance['linf'] * 255:.3g}/255", f"{answer.distance['l2']:.3g}"
        before, after = str(answer.before), str(answer.after)
        made.add_row(name, outcome + note, before, after, linf, l2, str(answer.queries))
    return made


def _plain(images: Sequence[str], answers: Sequence[Answer]) -> Table:
    """Whatever fits into a cell, in the order of the reply; `--json` has the rest."""
    rows = [{name: cell for name, value in a.entry.items() if (cell := _cell(value)) is not None} for a in answers]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    made = table("image", *(name.replace("_", " ") for name in columns))
    for image, row in zip(images, rows, strict=True):
        made.add_row(image, *(row.get(name, "") for name in columns))
    return made


def _cell(value: Any) -> str | None:
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
        case int() | str():
            return str(value)
        case {"index": _, "label": _}:
            return str(Prediction.read(value))
        case _:
            return None


TABLES: Mapping[str, Callable[[Sequence[str], Sequence[Any]], Table]] = {
    "classify": _classified,
    "saliency": _explained,
    "occlusion": _explained,
    "attack": _attacked,
}
