"""The gallery: pictures that a network makes of what it knows, and the commands that made them.

    python -m scripts.gallery                  all of it, and the page: an hour or so
    python -m scripts.gallery depth edit       those plates, and the page
    python -m scripts.gallery --images images  the photographs and digits that the commands speak of, as files

The same parameters go into the call and into the command on the page, so neither can say what the other does not.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image, ImageOps

import rakinglight
from rakinglight.client import Client
from rakinglight.pictures import Panel, Picture, from_pixels, sheet
from rakinglight.results import Inversion

ROOT = Path(__file__).parent.parent
PAGE, PICTURES = ROOT / "docs" / "gallery.md", ROOT / "docs" / "pictures"
LITE0, LENET = "efficientnet-lite0", "lenet5-digits"
#: Of a picture on a plate; WebP's, and pixels across.
QUALITY, ACROSS = 82, 224
#: Seconds that a call may take on a busy machine.
PATIENCE_S = 600.0
#: More images than these stand on the page as their folder.
FEW = 20
#: Calls of a plate that are asked at once.
AT_ONCE = 6
#: scikit-image's, beside docs/chelsea.jpg.
PHOTOGRAPHS = ("astronaut", "brick", "coffee", "grass", "gravel", "hubble_deep_field", "immunohistochemistry", "retina",
               "rocket")  # fmt: skip
#: Test digits, in order: one of each class.
DIGITS = 10


@dataclass(frozen=True)
class Call:
    """One question, and what stands above its picture.

    images  names of the gallery's images: `chelsea`, or `digits/3`; none, where it needs none
    """

    title: str
    operation: str
    method: str
    images: tuple[str, ...] = ("chelsea",)
    model: str = LITE0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    def answer(self, client: Client, images: Path) -> Any:
        """The client's answer, or a list of them."""
        asked = {**self.parameters} | {name: str(images / f"{self.parameters[name]}.png") for name in self.pictures}
        files = [str(images / f"{name}.png") for name in self.images]
        asking = getattr(client.model(self.model), self.operation)
        about = files if len(files) > 1 else files[:1] or []
        return asking(
            about[0] if len(about) == 1 else about, self.method, seed=self.seed, deadline_s=PATIENCE_S, **asked
        )

    def command(self) -> str:
        """The same for a shell."""
        many = len(self.images) > FEW  # then they are a whole folder
        files = [f"images/{name}.png" for name in (() if many else self.images)]
        words = ["rakinglight", self.operation, *(["FILES"] if many else files)]
        if self.model != LITE0:
            words += ["-m", self.model]
        words += ["--method", self.method]
        for name, value in self.parameters.items():
            option = f"--{name.replace('_', '-')}"
            if isinstance(value, bool):
                words.append(option if value else f"--no-{option[2:]}")
            else:
                words += [option, f"images/{value}.png" if name in self.pictures else str(value)]
        words += ["--seed", str(self.seed)] if self.seed else []
        said = " ".join(map(shlex.quote, [*words, "--local", "-o", f"{self.method}.png"]))
        return said.replace("FILES", f"images/{Path(self.images[0]).parent}/*.png") if many else said

    @property
    def pictures(self) -> list[str]:
        """The parameters that are pictures."""
        return [name for name in ("style", "code_of", "start") if name in self.parameters]


#: What stands above all plates.
HEAD = """\
Pictures that networks make of what they know. [Inversion](inversion.md) and [units](units.md) say what each is and when to use it.
`python -m scripts.gallery` makes this page and its pictures; below each picture stand the commands that made it. The files that they
speak of, scikit-image's photographs and digits of the test, are put there by `python -m scripts.gallery --images images`.

Above a picture stands what was asked for, and below that what the model sees in it, with its probability. Where a code was to be found again
there is how far the picture is from the image, by its features and by its pixels, as a share of what an empty picture is."""  # noqa: E501


#: A call and its answer -> the panels that it has on the plate.
Drawn = Callable[[Call, Any], Sequence[Panel]]


@dataclass(frozen=True)
class Plate:
    """A picture of the page: what was asked, and what is to be said of it, having looked at it."""

    name: str
    title: str
    said: str
    calls: Sequence[Call]
    drawn: Drawn
    first: Sequence[str] = ()
    columns: int | None = None
    across: int = ACROSS

    @property
    def path(self) -> Path:
        return PICTURES / f"{self.name}.webp"

    def made(self, client: Client, images: Path) -> Picture:
        panels = [Panel(_seen(images / f"{name}.png"), name) for name in self.first]

        def asked(call: Call) -> Any:
            begun = time.monotonic()
            answer = call.answer(client, images)
            if any(one.partial for one in (answer if isinstance(answer, list) else [answer])):
                raise TimeoutError(f"{self.name}: {call.title} was cut short; ask when less is going on.")
            print(f"  {self.name}: {call.title}, {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
            return answer

        with ThreadPoolExecutor(AT_ONCE) as threads:  # they share passes, and each has the bits that it has alone
            for call, answer in zip(self.calls, threads.map(asked, self.calls), strict=True):
                panels += self.drawn(call, answer)
        return sheet(panels, columns=self.columns, width=self.across)

    def section(self) -> str:
        """What the page has of it."""
        commands = "\n".join(dict.fromkeys(call.command() for call in self.calls))
        picture = f"![{self.title}](pictures/{self.path.name})"
        return f"## {self.title}\n\n{self.said}\n\n{picture}\n\n```sh\n{commands}\n```"


def the_picture(call: Call, answer: Inversion) -> list[Panel]:
    """The picture of an inversion, and what the model sees in it."""
    reached = answer.reached
    said = [f"{reached.label} {reached.probability:.3f}"]
    if "pixel_error" in answer.entry:
        said.append(f"features {answer.feature_error:.3f}, pixels {answer.pixel_error:.2f}")
    return [Panel(answer.picture, call.title, "\n".join(said))]


def the_view(call: Call, answer: Any) -> list[Panel]:
    """The picture of a view of units, which is of all its images together."""
    return [Panel((answer[0] if isinstance(answer, list) else answer).picture, call.title)]


def _seen(path: Path) -> Picture:
    """The middle of a photograph, as the model sees it."""
    with Image.open(path) as photograph:
        return ImageOps.fit(photograph.convert("RGB"), (224, 224))


@cache
def images() -> Mapping[str, Picture]:
    """What the commands speak of, by name."""
    import skimage.data

    from model_store.digits import pictures

    found = {"chelsea": Image.open(ROOT / "docs" / "chelsea.jpg").convert("RGB")}
    for name in PHOTOGRAPHS:
        found[name] = Image.fromarray(getattr(skimage.data, name)()).convert("RGB")
    x, y = pictures("test")
    for i, image in enumerate(x):
        found[f"digits/{i:03}-{y[i]}"] = from_pixels(image.transpose(1, 2, 0))
    return found


def put(folder: Path) -> None:
    """The images as files in `folder`."""
    for name, picture in images().items():
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)


def page() -> str:
    """The page, of the plates that there are pictures of."""
    from scripts.plates import PLATES

    there = [plate for plate in PLATES if plate.path.exists()]
    return "\n\n".join(["# Gallery", HEAD, *(plate.section() for plate in there)]) + "\n"


def main() -> None:
    from scripts.plates import PLATES

    parser = argparse.ArgumentParser(prog="python -m scripts.gallery", description=__doc__)
    parser.add_argument("plates", nargs="*", help="by default all of them")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="put the images there, and no more")
    parser.add_argument("--page", action="store_true", help="the page alone")
    options = parser.parse_args()
    if options.images:
        put(options.images)
        return
    if unknown := set(options.plates) - {plate.name for plate in PLATES}:
        parser.error(f"There is no plate {', '.join(unknown)}; there is {', '.join(plate.name for plate in PLATES)}.")
    PICTURES.mkdir(exist_ok=True)
    with TemporaryDirectory() as folder, rakinglight.local() as client:
        put(Path(folder))
        for plate in PLATES if not options.page else ():
            if plate.name in options.plates or not options.plates:
                plate.made(client, Path(folder)).save(plate.path, quality=QUALITY, method=6)
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
