"""Answers that are about one image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from rakinglight.pictures import Picture, Scaling
from rakinglight.results.base import Answer, Array, Detection, Prediction, here


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
    def trace(self) -> list[tuple[int, float]]:
        """Of a search that sees no gradients: after how many of its queries how near it had come, in its norm."""
        trace = self._part("trace")
        return list(zip(map(int, trace["queries"]), map(float, trace["distance"]), strict=True))

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
        return np.asarray(here("exact", exact["image"]))

    @property
    def perturbation(self) -> Picture:
        """What was changed, amplified."""
        return self._picture(here("perturbation", self._part("perturbation")["picture"]))

    @property
    def amplification(self) -> int:
        """The factor of `perturbation`."""
        return int(self._part("perturbation")["factor"])
