"""Answers as tables for people. An operation that has none of its own gets one of its plain words and numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from rakinglight.parameters import as_fraction
from rakinglight.results import Answer, Attack, Classification, Explanation, Inversion, Prediction, Robustness, Share
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
    asked = any("detector" in answer.entry for answer in answers)
    made = table("image", "class", "probability", "index", *(["detector"] if asked else []))
    for name, answer in zip(images, answers, strict=True):
        for place, found in enumerate(answer.predictions):
            shown = "" if found.probability is None else f"{found.probability:.1%}"
            row = [name if place == 0 else "", found.label, shown, str(found.index)]
            if asked and place == 0:
                row.append("rejected" if answer.detector.rejected else "lets pass")
            made.add_row(*row)
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
        outcome = {True: "success", False: "no success", None: "done"}[answer.success]
        outcome = "already wrong" if answer.already_misclassified else outcome
        note = (", rejected" if answer.rejected else "") + (" (partial)" if answer.partial else "")
        linf, l2 = f"{answer.distance['linf'] * 255:.3g}/255", f"{answer.distance['l2']:.3g}"
        before, after = str(answer.before), str(answer.after)
        made.add_row(name, outcome + note, before, after, linf, l2, str(answer.queries))
    return made


def _made(images: Sequence[str], answers: Sequence[Inversion]) -> Table:
    errors = [name for name in ("feature_error", "pixel_error") if any(name in answer.entry for answer in answers)]
    found = table(
        "image", "the model sees in the picture", "of the image", *(name.replace("_", " ") for name in errors)
    )
    for name, answer in zip(images, answers, strict=True):
        pictures = [answer, *answer.others]
        for place, one in enumerate(pictures):
            of = str(answer.prediction) if place == 0 and "prediction" in answer.entry else ""
            cut = " (partial)" if place == 0 and answer.partial else ""
            row = [name if place == 0 else "", f"{one.reached}{cut}", of]
            found.add_row(*row, *(_cell(one.entry.get(error)) or "" for error in errors))
    return found


def _tried(images: Sequence[str], answers: Sequence[Robustness]) -> Table:
    made = table("image", "label", "outcome", "epsilon", "by")
    for name, answer in zip(images, answers, strict=True):
        broken = next(((epsilon, by) for epsilon, by in answer.broken_by.items() if by), None)
        withstood = "withstood all" if all(answer.tried.values()) else "not broken by then"
        outcome = "already wrong" if not answer.correct else withstood if broken is None else "broken"
        epsilon, by = ("", "") if broken is None else (as_fraction(broken[0]), broken[1])
        note = " (partial)" if answer.partial else ""
        made.add_row(name, answer.entry["label"]["label"], outcome + note, epsilon, by)
    return made


def summarized(operation: str, summary: Mapping[str, Any] | None) -> list[Table]:
    """What there is to say of all images together, where `operation` says anything that fits into a table."""
    return SUMMARIES[operation](summary) if summary and operation in SUMMARIES else []


def _accuracies(summary: Mapping[str, Any]) -> list[Table]:
    made = table("epsilon", f"accuracy on {summary['images']}", "top-5", "broken by")
    made.add_row("clean", *(str(Share.read(summary["clean"][name])) for name in ("top1", "top5")), "")
    for at in summary["accuracy"]:
        by = ", ".join(f"{name} {count}" for name, count in at["broken_by"].items())
        made.add_row(as_fraction(at["epsilon"]), *(_accuracy(at, name) for name in ("top1", "top5")), by)
    beside = [_lines(summary["lines"])] if summary.get("lines") else []
    beside += [_matrix(summary["transfer"])] if summary.get("transfer", {}).get("cells") else []
    checks = summary.get("checks", ())
    examined = max((one["share"]["of"] for check in checks for one in check["comparisons"]), default=0)
    on = f" on {examined}" if examined < summary["images"] else ""
    checked = table("check", f"passed{on}", "what must hold")
    for check in checks:
        passed = {True: "yes", False: "NO", None: "not made"}[check.get("passed")]
        checked.add_row(check["name"], passed, check["detail"])
    return [made, *beside, checked] if checked.row_count else [made, *beside]


def _lines(lines: Sequence[Mapping[str, Any]]) -> Table:
    """Accuracy of the model without its defence and behind it, against who does not know of that and who does."""
    made = table("epsilon", *(line["name"] for line in lines))
    made.add_row("clean", *(str(Share.read(line["clean"]["top1"])) for line in lines))
    for i, at in enumerate(lines[0]["accuracy"]):
        made.add_row(as_fraction(at["epsilon"]), *(_accuracy(line["accuracy"][i], "top1") for line in lines))
    return made


def _accuracy(at: Mapping[str, Any], name: str) -> str:
    """A share at one epsilon, and of how many images it is not known."""
    return str(Share.read(at[name])) + (f", {at['untried']} untried" if at["untried"] else "")


def _matrix(transfer: Mapping[str, Any]) -> Table:
    """The images that are fooled: rows by what the pictures were made on, columns by what they were tried on."""
    found = {(cell["made_on"], cell["tried_on"]): str(Share.read(cell["fooled"])) for cell in transfer["cells"]}
    tried = list(dict.fromkeys(tried for _, tried in found))
    made = table(f"{transfer['method']} at {as_fraction(transfer['epsilon'])} on", *(f"fools {name}" for name in tried))
    for maker in dict.fromkeys(maker for maker, _ in found):
        made.add_row(maker, *(found[maker, name] for name in tried))
    return made


def _fooled(summary: Mapping[str, Any]) -> list[Table]:
    """How many images the perturbation fools, what it would be of fewer images, and where it is kept."""
    judged = summary["held_out"] or summary["given"]
    which = f"the {judged['of']} held out" if summary["held_out"] else f"the same {judged['of']}"
    shares = {f"the {summary['given']['of']} it is made of": summary["given"]}
    shares |= {which: judged} if summary["held_out"] else {}
    shares |= {f"{which}, by noise of its size": summary["noise"]}
    shares |= {f"{which}, on {row['model']}": row for row in summary["transfer"]}
    fooled = table("of", "fooled")
    for of, share in shares.items():
        fooled.add_row(of, str(Share.read(share)))
    curve = table("made of", "fools of those", "of the held out")
    for point in summary["curve"]:
        held_out = str(Share.read(point["held_out"])) if point["held_out"] else ""
        curve.add_row(str(point["images"]), str(Share.read(point["given"])), held_out)
    kept = table("kept as", "norm", "epsilon")
    kept.add_row(summary.get("id", ""), summary["norm"], as_fraction(summary["epsilon"]))
    return [fooled, curve, kept] if summary.get("id") else [fooled, curve]


def _stood_in(summary: Mapping[str, Any]) -> list[Table]:
    """How well a substitute stands in after every round, what the control did, and what it cost."""
    judged: list[list[Any]] = [point["transfer"] for point in summary["curve"] if point.get("transfer")]
    last = judged[-1] if judged else []
    kinds = [(at["attack"], at["epsilon"], at["targeted"]) for at in last]
    named = [f"{attack} {as_fraction(epsilon)}{' aimed' * aimed}" for attack, epsilon, aimed in kinds]
    found = table("queries", "steps along", "agrees", *named)
    for signs, curve in (("the Jacobian", summary["curve"]), ("random signs", summary.get("random_sign", ()))):
        for point in curve:
            rates = {(at["attack"], at["epsilon"], at["targeted"]): at["fooled"] for at in point.get("transfer", ())}
            cells = [_rate(rates.get(kind)) for kind in kinds]
            found.add_row(str(point["queries"]), signs, _rate(point.get("agreement")), *cells)
    if white := summary.get("white_box"):
        found.add_row("", "white box", "", *(_rate(at["fooled"]) for at in white))
    asked = table("asked to learn", "to be judged", "for the control", "ended by", "kept as")
    queries = summary["queries"]
    counts = [str(queries[name]) for name in ("training", "evaluation", "control")]
    asked.add_row(*counts, summary["stopped_by"], summary.get("id", ""))
    return [found, asked]


def _rate(share: Mapping[str, Any] | None) -> str:
    return "" if share is None or share["value"] is None else f"{share['value']:.1%}"


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
    "inversion": _made,
    "robustness": _tried,
}
SUMMARIES: Mapping[str, Callable[[Mapping[str, Any]], list[Table]]] = {
    "robustness": _accuracies,
    "universal": _fooled,
    "substitute": _stood_in,
}
