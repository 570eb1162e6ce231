"""Answers whose substance is about all images together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from rakinglight.pictures import Picture
from rakinglight.results.base import Answer, Array, Prediction, Share, here


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
        return self._picture(here("chart", self.summary["chart"]))


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
        return here(name, self.summary[name])


class Substitute(Answer):
    """What a substitute makes of an image; and in `summary`, how well it stands in for the model."""

    def __str__(self) -> str:
        agrees = self.substitute.index == self.prediction.index
        return f"{self.prediction}, {'as' if agrees else f'{self.substitute} by'} the substitute"

    @property
    def substitute(self) -> Prediction:
        """The substitute's first answer."""
        return Prediction.read(self._part("substitute"))

    @property
    def seed(self) -> bool:
        """Whether the substitute was made of this image; else it was judged by it."""
        return bool(self._part("seed"))

    @property
    def summary(self) -> Mapping[str, Any]:
        """What there is to say of all images together."""
        return dict(self.reply["summary"])

    @property
    def id(self) -> str | None:
        """Under which a service keeps the substitute."""
        return self.summary.get("id")

    @property
    def archive(self) -> bytes:
        """The substitute as a `.mar`, which the zoo loads and serves."""
        if "archive" not in self.summary:
            raise AttributeError("This answer carries no 'archive'; `include` left it out.")
        return bytes(np.asarray(here("archive", self.summary["archive"]), np.uint8).tobytes())

    @property
    def agreement(self) -> Mapping[int, Share]:
        """By the number of images that it had learnt from: the held-out images of which it says what the model says."""
        return _agreement(self.summary["curve"])

    @property
    def control(self) -> Mapping[int, Share]:
        """The same of steps along random signs; empty where they were not asked for."""
        return _agreement(self.summary.get("random_sign", ()))

    @property
    def transfer(self) -> Mapping[tuple[str, float], Share]:
        """By attack and epsilon: of the held-out images that the model had right, those that fool it when they fool
        the last substitute that was tried. Where a class was aimed at, `summary` has it.
        """
        last = next((point["transfer"] for point in reversed(self.summary["curve"]) if point.get("transfer")), ())
        return {(at["attack"], at["epsilon"]): Share.read(at["fooled"]) for at in last if not at["targeted"]}

    @property
    def queries(self) -> Mapping[str, int]:
        """Images that the model was asked about: for `training`, `evaluation`, and the `control`."""
        return dict(self.summary["queries"])

    @property
    def partial(self) -> bool:
        """Whether budget, time or rows ran out, and this is what was reached."""
        return bool(self.summary.get("partial", False))


def _agreement(curve: Iterable[Mapping[str, Any]]) -> dict[int, Share]:
    return {point["queries"]: Share.read(point["agreement"]) for point in curve if "agreement" in point}
