"""A page that asks people which class each picture is of: what they see in what a network is sure of.

One file with all pictures in it. It loads nothing and sends nothing: answers stay in the browser that they were given
in until they are saved as CSV. Needs no torch.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from rakinglight import eight_bit, pictures
from rakinglight.cli_images import Given, read_images
from rakinglight.errors import BadParameter, NotAnImage
from rakinglight.images import decode
from rakinglight.reports import rendered

#: Choices of a picture, at least and at most: each has a key.
FEWEST, MOST = 2, 10


@dataclass(frozen=True)
class Trial:
    """A picture that people are asked about.

    name   as the answers have it
    truth  the class that it is of
    png    without a word of what it is
    """

    name: str
    truth: str
    png: bytes


def trials(path: Path) -> list[Trial]:
    """The pictures of a folder or a zip by class, or of an NPZ with labels.

    What lies in no folder is of the class that its name begins with: `zebra-2.png` is a zebra, as `zebra.png` is.
    Raises OSError, NotADataset, NotAnImage for a file that is no picture, and BadParameter where there is none.
    """
    return [_trial(given, path) for given in read_images([path])]


def page(found: Sequence[Trial], choices: int, also: Sequence[str] = ()) -> str:
    """The page. Who opens it is shown each picture once, in an order of its own.

    choices  of each picture: its class and others, drawn from the classes of all of them
    also     classes that may be drawn, too, though no picture is of them
    Raises BadParameter where there are not so many classes.
    """
    from markupsafe import Markup

    classes = sorted({*also, *(trial.truth for trial in found)})
    if len(classes) < choices:
        raise BadParameter(
            f"There are {len(classes)} classes, {', '.join(classes)}, for {choices} choices; give --choices "
            f"{len(classes)}, or name others with --also."
            if len(classes) >= FEWEST
            else f"All pictures are of {classes[0]!r}, so there is nothing to choose from; name others with --also."
        )
    shown = [
        {"name": trial.name, "truth": trial.truth, "image": "data:image/png;base64," + _base64(trial.png)}
        for trial in found
    ]
    known = hashlib.sha256(repr((choices, classes, [(one.name, one.truth, one.png) for one in found])).encode())
    script = (files("rakinglight.reports") / "templates" / "forced_choice.js").read_text(encoding="utf-8")
    return rendered(
        "forced_choice.html",
        asked={"id": known.hexdigest()[:16], "choices": choices, "classes": classes, "pictures": shown},
        script=Markup(script),  # noqa: S704  a file of our own
        script_hash=_base64(hashlib.sha256(script.encode()).digest()),
    )


def _trial(given: Given, path: Path) -> Trial:
    try:
        pixels = decode(given.image) if isinstance(given.image, bytes) else given.image
    except NotAnImage as e:
        raise NotAnImage(f"{given.name}: {e.detail}") from None
    if pixels.dtype.kind == "f":
        pixels = eight_bit.from_float(pixels)
    png = pictures.to_png(pictures.from_pixels(pixels if pixels.ndim == 3 else pixels[..., None]))
    name = given.name.removeprefix(f"{path}/")
    stem = Path(name).stem
    truth = re.sub(r"(?<=.)[-_ ]\d+$", "", stem) if given.label is None else str(given.label)
    return Trial(name, truth, png)


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
