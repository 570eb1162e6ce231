"""Reports: what was measured, as one HTML file that opens anywhere, loads nothing and, save one, runs nothing.

lines.py     line charts as SVG
theft.py     what it took to steal a model: the page of `rakinglight steal`
recording.py, stream.py    the queries of an attack, and the detectors run over them
samples.py   images, and what is made of them on the substitute
views.py, comparison.py    the same model, shown less or defended: what that would have cost
forced_choice.py           the one that runs something: it asks people what they see, and keeps their answers
templates/   the pages' HTML and CSS

Needs no torch.
"""

from __future__ import annotations

from typing import Any

from rakinglight import __version__
from rakinglight.reports.lines import swatch


def rendered(template: str, **what: Any) -> str:
    """The page that `template` makes of `what`. All text in it is escaped: a label may hold anything."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("rakinglight.reports"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"percent": percent, "swatch": swatch}
    style = Markup(environment.get_template("page.css").render())  # noqa: S704  a file of our own
    return environment.get_template(template).render(version=__version__, style=style, **what)


def percent(share: float) -> str:
    """0.9125 -> "91.2 %"; whole per cents without a decimal."""
    return f"{100 * share:.1f}".removesuffix(".0") + " %"
