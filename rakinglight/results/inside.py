"""Answers that show what a network knows: pictures that were made, and views of its units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rakinglight.pictures import Picture
from rakinglight.results.base import Answer, Array, Prediction, here


class Inversion(Answer):
    """A picture that was made to show what the network knows, and what the model sees in it."""

    def __str__(self) -> str:
        cut = " (partial)" if self.partial else ""
        return f"a picture by {self.reply['method']}, in which the model sees {self.reached}{cut}"

    @property
    def picture(self) -> Picture:
        """The picture, in 8 bits."""
        return self._picture(self.picture_png)

    @property
    def picture_png(self) -> bytes:
        """The same as the very bytes that came."""
        return bytes(self._part("picture"))

    @property
    def image(self) -> Array:
        """float32 [C, H, W] in [0, 1]: the picture before it was rounded to grey levels."""
        return np.asarray(self._part("image"))

    @property
    def objective(self) -> Array:
        """float32 [steps]: the energy after each step; lower is better. Of no steps, empty."""
        return np.asarray(self.entry.get("objective", np.zeros(0, np.float32)))

    @property
    def reached(self) -> Prediction:
        """What the model sees in the 8-bit picture."""
        return Prediction.read(self._part("reached"))

    @property
    def feature_error(self) -> float | None:
        """How far the picture's code is from the one that was wanted: squared, as a share of the mean colour's."""
        return self._share("feature_error")

    @property
    def pixel_error(self) -> float | None:
        """How far its pixels are from the image's, in the same way."""
        return self._share("pixel_error")

    @property
    def others(self) -> list[Inversion]:
        """The pictures from other starts, best first."""
        return [Inversion(other, self.reply) for other in self.entry.get("others", ())]

    @property
    def animation(self) -> bytes:
        """How it came about: the bytes of a GIF or WebP file, where one was asked for."""
        return bytes(self._part("animation"))

    def _share(self, name: str) -> float | None:
        value = self._part(name)
        return None if value is None else float(value)


class Units(Answer):
    """What a view of a layer's units says of an image; and in `summary`, what it says of all images together."""

    def __str__(self) -> str:
        seen = f", of an image with {self.prediction}" if "prediction" in self.entry else ""
        return f"{self.view} of {self.layer}{seen}"

    @property
    def summary(self) -> Mapping[str, Any]:
        """What there is to say of all images together."""
        return dict(self.reply["summary"])

    @property
    def view(self) -> str:
        """Which view it is."""
        return str(self.reply["method"])

    @property
    def layer(self) -> str:
        """The layer that was looked at."""
        return str(self.summary.get("layer", ""))

    @property
    def found(self) -> Mapping[str, Any]:
        """What the view says of this image, by the names that it has in the reply."""
        return {name: value for name, value in self.entry.items() if name not in ("prediction", "geometry")}

    @property
    def picture(self) -> Picture:
        """The view, drawn: of this image, where each has its own, else of all together."""
        return self._picture(self["picture"])

    @property
    def partial(self) -> bool:
        """Whether time or rows ran out, and this is what was reached by then."""
        return bool(self.summary.get("partial", False))

    def __getitem__(self, name: str) -> Any:
        """What the view says under `name`: of this image, else of all together."""
        return here(name, self.entry[name]) if name in self.entry else self._of_all(name)

    def _of_all(self, name: str) -> Any:
        if name not in self.summary:
            there = ", ".join([*self.found, *self.summary])
            raise AttributeError(f"This answer carries {there}, but no {name!r}; `include` may have left it out.")
        return here(name, self.summary[name])
