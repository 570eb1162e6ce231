"""What all answers have: how far the work is, what the model says, and the answer itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from rakinglight import pictures
from rakinglight.pictures import Picture

Array = np.ndarray[Any, Any]

#: How a job is.
State = Literal["queued", "running", "succeeded", "failed", "cancelled", "interrupted"]
STATES: tuple[str, ...] = get_args(State)
#: States that nothing leaves any more.
OVER: frozenset[str] = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True)
class Progress:
    """How far the work on one image of a call is.

    image  the image's place in the call
    png    the bytes of `picture`
    map    of a call that compares, the place of the map that this is about

    Of a job there is more to know:
    done    images that are answered, of `images` in all
    number  counts the job's news from 1: `events(after=number)` goes on behind this one
    """

    image: int
    step: int
    of: int
    objective: float | None = None
    png: bytes | None = field(default=None, repr=False)
    map: int | None = None
    done: int | None = None
    images: int | None = None
    number: int | None = None

    @staticmethod
    def read(body: Mapping[str, Any], number: int | None = None) -> Progress:
        image, step, of = (int(body.get(name, 0)) for name in ("image", "step", "of"))
        objective, png, place, done, images = map(body.get, ("objective", "picture", "map", "done", "images"))
        return Progress(image, step, of, objective, png, place, done, images, number)

    @property
    def picture(self) -> Picture | None:
        """The map as far as it is, over the photograph; None where none came with this news."""
        return None if self.png is None else pictures.from_png(self.png)


@dataclass(frozen=True)
class Prediction:
    """A class and how sure the model is of it.

    probability  in [0, 1]; None where the key's view leaves it out, and so is the logit
    """

    index: int
    label: str
    probability: float | None = None
    logit: float | None = None

    @staticmethod
    def read(said: Mapping[str, Any]) -> Prediction:
        return Prediction(said["index"], said["label"], said.get("probability"), said.get("logit"))

    def __str__(self) -> str:
        return self.label if self.probability is None else f"{self.label} ({self.probability:.1%})"


@dataclass(frozen=True)
class Detection:
    """What a detector of adversarial images says of an image.

    rejected             whether it takes it for adversarial: its score is above the threshold
    false_positive_rate  the share of clean images that it rejects, as measured when it was trained
    """

    rejected: bool
    score: float
    threshold: float
    false_positive_rate: float


@dataclass(frozen=True, repr=False, eq=False)
class Answer:
    """What came back for one image."""

    entry: Mapping[str, Any]
    reply: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} by {self.reply['model']['name']}: {self}>"

    def __str__(self) -> str:
        return str(self.prediction)

    @property
    def prediction(self) -> Prediction:
        """The model's first answer to the image as it came."""
        return Prediction.read(self._part("prediction"))

    @property
    def partial(self) -> bool:
        """Whether time or rows ran out, and this is what was reached by then."""
        return bool(self.entry.get("partial", False))

    def _part(self, name: str) -> Any:
        if name not in self.entry:
            raise AttributeError(self._missing(name))
        return here(name, self.entry[name])

    def _missing(self, name: str) -> str:
        """What to say of a part that is not there."""
        return f"This answer carries {', '.join(self.entry)}, but no {name!r}; `include` may have left it out."

    def _picture(self, raw: bytes) -> Picture:
        return pictures.from_png(raw)


@dataclass(frozen=True)
class Share:
    """A share of images, and the interval in which the true share lies, 95 % sure.

    value  in [0, 1]; NaN of no images
    """

    value: float
    low: float
    high: float
    count: int
    of: int

    @staticmethod
    def read(said: Mapping[str, Any]) -> Share:
        value = said["value"]
        return Share(float("nan") if value is None else value, said["low"], said["high"], said["count"], said["of"])

    def __str__(self) -> str:
        return f"{self.value:.1%} ({self.low:.1%} to {self.high:.1%})"


def is_reference(value: Any) -> bool:
    """Whether `value` says where an array or a picture is, instead of being one."""
    return isinstance(value, Mapping) and value.keys() == {"href", "sha256", "bytes"}


def here(name: str, value: Any) -> Any:
    """`value`, if it came with the reply."""
    if is_reference(value):
        raise AttributeError(f"{name!r} was not fetched: its {value['bytes']} bytes are at {value['href']}.")
    return value
