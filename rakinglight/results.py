"""What the client hands back: one answer an image, with numpy arrays and pictures where the reply has arrays and PNGs.

Each is a thin view of the reply, which stays reachable: `.entry` is this image's part and `.reply` the whole, as in the
contract, with arrays as numpy and pictures as PNG bytes. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self, get_args

import numpy as np

from rakinglight import pictures
from rakinglight.pictures import Picture, Scaling

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
        return _here(name, self.entry[name])

    def _missing(self, name: str) -> str:
        """What to say of a part that is not there."""
        return f"This answer carries {', '.join(self.entry)}, but no {name!r}; `include` may have left it out."

    def _picture(self, raw: bytes) -> Picture:
        return pictures.from_png(raw)


class Classification(Answer):
    """What the model sees in an image."""

    def __str__(self) -> str:
        return ", ".join(map(str, self.predictions))

    @property
    def prediction(self) -> Prediction:
        return self.predictions[0]

    @property
    def predictions(self) -> list[Prediction]:
        """The best classes, best first."""
        return [Prediction.read(said) for said in self._part("predictions")]

    @property
    def detector(self) -> Detection:
        """What the model's detector of adversarial images says of it, where that was asked for."""
        return Detection(**self._part("detector"))

    @property
    def activations(self) -> Mapping[str, Array]:
        """The activations of the layers that were named: {layer: float32 [...]}."""
        return dict(self._part("activations"))


class Explanation(Answer):
    """Which pixels a class score depends on: a map, or several side by side (`maps`)."""

    def __str__(self) -> str:
        if not self.compared:
            return f"what {self.method} finds for {self.target}"
        found = self.maps
        methods = dict.fromkeys(str(one.method) for one in found)
        targets = dict.fromkeys(str(one.target) for one in found)
        return f"what {' and '.join(methods)} find for {' and '.join(targets)}"

    @property
    def compared(self) -> bool:
        """Whether several methods or classes were asked for, and `maps` has the answers."""
        return "maps" in self.entry

    @property
    def maps(self) -> list[Self]:
        """An answer for each map, in the order in which they were asked for; this one, if it was one."""
        if not self.compared:
            return [self]
        shared = {name: value for name, value in self.entry.items() if name in ("prediction", "geometry")}
        return [
            type(self)({**shared, **part}, {**self.reply, **{name: part[name] for name in ("method", "parameters")}})
            for part in self._part("maps")
        ]

    @property
    def method(self) -> str:
        """The method that made the map."""
        return str(self.reply["method"])

    @property
    def target(self) -> Prediction:
        """The class that is explained."""
        return Prediction.read(self._part("target"))

    @property
    def map(self) -> Array:
        """[H, W], a value for each pixel of the model's input, in units of the score."""
        return np.asarray(self._part("map"))

    @property
    def signed_map(self) -> Array:
        """[C, H, W], where the method has one."""
        return np.asarray(self._part("signed_map"))

    @property
    def overlay(self) -> Picture:
        """The map over the photograph, with its legend; several on one contact sheet."""
        return self._picture(self._part("overlay"))

    @property
    def scaling(self) -> Scaling:
        """How the values of the map became the colours of the overlay."""
        return Scaling(**self._part("scaling"))

    @property
    def evaluation(self) -> Mapping[str, Mapping[str, Any]]:
        """The figures that `evaluate` asked for, by name: each its numbers, curves as float32 [n]."""
        return dict(self._part("evaluation"))

    @property
    def curves(self) -> Picture:
        """Deletion and insertion as a chart, where `evaluate` asked for one of them."""
        return self._picture(self._part("curves"))

    def _missing(self, name: str) -> str:
        if self.compared and name not in ("prediction", "geometry", "overlay"):
            return f"This answer holds {len(self.entry['maps'])} maps: look for {name!r} in each of its `maps`."
        return super()._missing(name)


class Saliency(Explanation):
    """Which pixels a class score depends on, by gradients."""

    @property
    def cells(self) -> Array:
        """[h, w], the map at the resolution of the layer that it is of, by grad_cam."""
        return np.asarray(self._part("cells"))


class Occlusion(Explanation):
    """Which pixels a class score depends on, by covering them."""

    @property
    def grid(self) -> Array:
        """[rows, columns], the score with the window at each place, by sliding; [C, ...] where channels are apart."""
        return np.asarray(self._part("grid"))


class Attack(Answer):
    """An image that was changed a little, and what the model makes of it."""

    def __str__(self) -> str:
        outcome = {True: " succeeded,", False: " did not succeed,", None: ""}[self.success]
        return f"{self.reply['method']}{outcome} from {self.before} to {self.after}, linf {self.distance['linf']:.4g}"

    @property
    def before(self) -> Prediction:
        """The model's first answer to the untouched image."""
        return Prediction.read(self._part("before"))

    @property
    def after(self) -> Prediction:
        """The model's first answer to the adversarial picture."""
        return Prediction.read(self._part("after"))

    @property
    def success(self) -> bool | None:
        """Judged on the 8-bit picture, by the path that `classify` takes. None where nobody is to be fooled."""
        success: bool | None = self.entry.get("success")
        return success

    @property
    def success_rate(self) -> float | None:
        """Behind a random defence, the share of its draws in which it succeeded; None where nothing is random."""
        return self.entry.get("success_rate")

    @property
    def rejected(self) -> bool | None:
        """Whether the model's detector rejects the adversarial picture; None where it was not asked."""
        return self.entry.get("rejected")

    @property
    def already_misclassified(self) -> bool:
        """Whether the model was wrong before anything was changed."""
        return bool(self._part("already_misclassified"))

    @property
    def distance(self) -> Mapping[str, float]:
        """How far it is: linf and l2 in units of [0, 1], l0 in pixels; of the 8-bit picture."""
        return dict(self._part("distance"))

    @property
    def queries(self) -> int:
        """Rows that the attack sent through the network, forward and gradient together."""
        return int(self._part("queries"))

    @property
    def adversarial(self) -> Picture:
        """The adversarial picture, of the image's own size."""
        return self._picture(self.adversarial_png)

    @property
    def adversarial_png(self) -> bytes:
        """The same as the very bytes that came, with its text chunks."""
        return bytes(self._part("adversarial"))

    @property
    def exact(self) -> Array:
        """float32 [C, H, W] in [0, 1]: the image before it was rounded to grey levels.

        Of a large image it comes only where `include` names it.
        """
        exact = self._part("exact")
        if "image" not in exact:
            raise AttributeError(self.entry["note"])
        return np.asarray(_here("exact", exact["image"]))

    @property
    def perturbation(self) -> Picture:
        """What was changed, amplified."""
        return self._picture(_here("perturbation", self._part("perturbation")["picture"]))

    @property
    def amplification(self) -> int:
        """The factor of `perturbation`."""
        return int(self._part("perturbation")["factor"])


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


class Robustness(Answer):
    """How far an attacker had to go with an image; and in `summary`, what that comes to over all images of the call."""

    def __str__(self) -> str:
        if not self.correct:
            return f"{self.prediction} is wrong without any attack"
        broken = next((epsilon for epsilon, by in self.broken_by.items() if by), None)
        cut = " (partial)" if self.partial else ""
        if broken is not None:
            return f"broken at {broken:.4g} by {self.broken_by[broken]}{cut}"
        return ("withstood all" if all(self.tried.values()) else "not broken by then") + cut

    @property
    def correct(self) -> bool:
        """Whether the model is right where nothing attacks."""
        return bool(self._part("correct"))

    @property
    def robust(self) -> Mapping[float, bool]:
        """By epsilon: whether the model is right, and no attack here broke it; `tried` says where that is settled."""
        return {row["epsilon"]: bool(row["robust"]) for row in self._part("epsilons")}

    @property
    def tried(self) -> Mapping[float, bool]:
        """By epsilon: whether every attack was tried, or the image is broken without. False where time or rows ran
        out: then it counts as robust, and nobody knows.
        """
        return {row["epsilon"]: bool(row["tried"]) for row in self._part("epsilons")}

    @property
    def broken_by(self) -> Mapping[float, str | None]:
        """By epsilon: the attack that broke the image, None where none did."""
        return {row["epsilon"]: row.get("broken_by") for row in self._part("epsilons")}

    @property
    def summary(self) -> Mapping[str, Any]:
        """What there is to say of all images together."""
        return dict(self.reply["summary"])

    @property
    def clean_accuracy(self) -> Share:
        """Of all images, those that are right where nothing attacks."""
        return Share.read(self.summary["clean"]["top1"])

    @property
    def accuracy(self) -> Mapping[float, Share]:
        """Of all images, by epsilon, those that are right and that no attack here broke: an upper bound."""
        return {at["epsilon"]: Share.read(at["top1"]) for at in self.summary["accuracy"]}

    @property
    def untried(self) -> Mapping[float, int]:
        """By epsilon, how many images count as right in `accuracy` only because time or rows ran out."""
        return {at["epsilon"]: int(at["untried"]) for at in self.summary["accuracy"]}

    @property
    def lines(self) -> Mapping[str, Mapping[float, Share]]:
        """Behind a defence, accuracy by epsilon, 0 for clean, of `undefended`, `rounded`, `oblivious`, `adaptive`."""
        return {
            line["name"]: {
                0.0: Share.read(line["clean"]["top1"]),
                **{at["epsilon"]: Share.read(at["top1"]) for at in line["accuracy"] if at["epsilon"] > 0},
            }
            for line in self.summary.get("lines", ())
        }

    @property
    def transfer(self) -> Mapping[tuple[str, str], Share]:
        """By the model that pictures were made on, and that they were tried on: of the images that the latter is right
        about untouched, those that fool it.
        """
        cells = self.summary.get("transfer", {}).get("cells", ())
        return {(cell["made_on"], cell["tried_on"]): Share.read(cell["fooled"]) for cell in cells}

    @property
    def failed_checks(self) -> list[str]:
        """The names of the checks that say not to believe these figures."""
        return list(self.summary.get("failed_checks", ()))

    @property
    def chart(self) -> Picture:
        """Accuracy over epsilon, of all images."""
        if "chart" not in self.summary:
            raise AttributeError("This answer carries no 'chart'; `include` left it out.")
        return self._picture(_here("chart", self.summary["chart"]))


class Universal(Answer):
    """What a universal perturbation does to an image; and in `summary`, the perturbation, and what it does to all."""

    def __str__(self) -> str:
        return f"from {self.prediction} to {self.after}" if self.fooled else f"still {self.prediction}"

    @property
    def after(self) -> Prediction:
        """The model's first answer to the image with the perturbation."""
        return Prediction.read(self._part("after"))

    @property
    def fooled(self) -> bool:
        """Whether that is of another class than the first answer to the untouched image."""
        return bool(self._part("fooled"))

    @property
    def held_out(self) -> bool:
        """Whether the perturbation was made without this image."""
        return bool(self._part("held_out"))

    @property
    def summary(self) -> Mapping[str, Any]:
        """What there is to say of all images together."""
        return dict(self.reply["summary"])

    @property
    def id(self) -> str | None:
        """Under which a service keeps the perturbation, for `attack` by `universal`."""
        return self.summary.get("id")

    @property
    def perturbation(self) -> Array:
        """float32 [C, H, W], of the model's input size; to be added to pixels in [0, 1]."""
        return np.asarray(self._of_all("perturbation"))

    @property
    def picture(self) -> Picture:
        """The perturbation, amplified."""
        return self._picture(self._of_all("picture"))

    @property
    def chart(self) -> Picture:
        """The share of images that is fooled, over the number of images that the perturbation is made of."""
        return self._picture(self._of_all("chart"))

    @property
    def fooling_rate(self) -> Share:
        """Of the images that were held out, or where none was of all, those that are fooled."""
        return Share.read(self.summary["held_out"] or self.summary["given"])

    @property
    def partial(self) -> bool:
        """Whether time or rows ran out, and this is what was reached by then."""
        return bool(self.summary.get("partial", False))

    def _of_all(self, name: str) -> Any:
        if name not in self.summary:
            raise AttributeError(f"This answer carries no {name!r}; `include` left it out.")
        return _here(name, self.summary[name])


#: The class of each operation's answers; an operation that is not here is answered with `Answer`.
ANSWERS: dict[str, type[Answer]] = {
    "classify": Classification,
    "saliency": Saliency,
    "occlusion": Occlusion,
    "attack": Attack,
    "robustness": Robustness,
    "universal": Universal,
}


def answers(reply: Mapping[str, Any]) -> list[Any]:
    """The answers in `reply`, one an image; None for an image that a partial reply has no answer for."""
    kind = ANSWERS.get(str(reply.get("operation", "classify")), Answer)
    return [None if entry is None else kind(entry, reply) for entry in reply["results"]]


def is_reference(value: Any) -> bool:
    """Whether `value` says where an array or a picture is, instead of being one."""
    return isinstance(value, Mapping) and value.keys() == {"href", "sha256", "bytes"}


def _here(name: str, value: Any) -> Any:
    """`value`, if it came with the reply."""
    if is_reference(value):
        raise AttributeError(f"{name!r} was not fetched: its {value['bytes']} bytes are at {value['href']}.")
    return value
