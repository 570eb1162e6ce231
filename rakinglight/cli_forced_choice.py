"""The command `rakinglight forced-choice`: a page that asks people what they see.

rakinglight inversion --method fooling --target 3 -o pictures/3.png
rakinglight forced-choice pictures/ --out page.html
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rakinglight.reports import forced_choice
from rakinglight.reports.forced_choice import FEWEST, MOST
from rakinglight.terminal import say, taught

Source = Annotated[
    Path,
    typer.Argument(
        help="Pictures: a folder or a zip with a folder for each class, or an NPZ with labels. What lies in no folder "
        "is of the class that its name begins with: zebra-2.png is a zebra.",
        show_default=False,
    ),
]
Out = Annotated[
    Path, typer.Option("--out", "-o", help="The page: one HTML file that opens anywhere and loads nothing.")
]
Choices = Annotated[
    int, typer.Option(min=FEWEST, max=MOST, help="Classes to choose from, the right one and others drawn at random.")
]
Also = Annotated[
    list[str] | None, typer.Option(help="A class to choose from though no picture is of it; may be given repeatedly.")
]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    help_ = "Write a page that asks people which class each picture is of, and keeps their answers as CSV."
    app.command("forced-choice", help=help_)(asking)


def asking(context: typer.Context, pictures: Source, *, out: Out, choices: Choices = 5, also: Also = None) -> None:
    """The command."""
    with taught(context):
        found = forced_choice.trials(pictures)
        html = forced_choice.page(found, choices, also or ())
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(html, encoding="utf-8")
        classes = len({trial.truth for trial in found})
        say(f"wrote {out}: {len(found)} pictures of {classes} classes, {choices} choices each")
