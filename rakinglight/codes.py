"""The code of a picture: what a layer of the network puts out for it, or what a representation makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from rakinglight.card import Card
from rakinglight.errors import BadParameter
from rakinglight.inversion_parameters import RepresentationName
from rakinglight.queries import Algorithm, Forward, Gradient, Scores, Slope, State
from rakinglight.representations import Representation, representation_called

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Code:
    """Phi, asked for rows that the network would see as they are.

    where  a layer of the network, or a representation
    """

    where: str | Representation

    @property
    def name(self) -> str:
        return self.where if isinstance(self.where, str) else self.where.name

    def of(self, rows: Tensor) -> Algorithm[Tensor]:
        """The codes [n, ...] of rows [n, C, H, W]."""
        if isinstance(self.where, str):
            scores: Scores = yield Forward(rows, (self.where,), seen=True, short=True)
            return scores.activations[self.where]
        scores = yield Forward(rows, seen=True, network=self.where)
        return scores.logits

    def slope(self, rows: Tensor, objective: Callable[[Tensor], Tensor]) -> Algorithm[tuple[Tensor, Tensor]]:
        """An objective of codes, [n, ...] -> [n], for rows [n, C, H, W]: its values, and its derivative by the rows."""
        slope: Slope
        if isinstance(self.where, str):
            layer = self.where

            def at_layer(outputs: Mapping[str, Tensor]) -> Tensor:
                return objective(outputs[layer])

            slope = yield Gradient(rows, at_layer, at=(layer,), seen=True)
        else:
            slope = yield Gradient(rows, objective, seen=True, network=self.where)
        return slope.objective, slope.gradient


def code_at(card: Card, layer: str | None) -> Code:
    """The code of a layer of the network of `card`; by default the last that has height and width, or the last at all.

    Raises BadParameter.
    """
    card.check_code_layer(layer, "/parameters/layer")
    return Code(layer or card.code_layer)


def code_called(card: Card, representation: RepresentationName, layer: str | None) -> Code:
    """The code that a caller names. Raises BadParameter."""
    return code_at(card, layer) if representation == "network" else Code(representation_called(representation))


@dataclass(frozen=True, eq=False)
class Original:
    """The picture whose code is to be found again, and how far another is from it.

    x      [C, H, W], as the network sees it
    phi    its code
    blank  the mean colour as a picture: the errors are in units of its distance
    below  the layer of which the code is what is left when values below 0, and above `top`, are cut; "" is none
    """

    code: Code
    x: Tensor
    phi: Tensor
    blank: Tensor
    below: str = ""
    top: float = inf

    @staticmethod
    def of(code: Code, card: Card, x: Tensor, state: State | None = None) -> Algorithm[Original]:
        """The original x [C, H, W]. Raises BadParameter where there is nothing to find: its code is zero throughout.

        state  of a run that has asked for the code before, and kept what was `known`
        """
        from torch import tensor

        blank = tensor(card.mean).view(-1, 1, 1).to(x).expand_as(x)
        if state is not None:
            return Original(code, x, state["phi"], blank, state["below"], state["top"])
        same = tuple(_of_the_same_shape(card, code.where)) if isinstance(code.where, str) else ()
        if same:
            outputs: Scores = yield Forward(x[None], same, seen=True, short=True)
            phi, below, top = _rectified({name: outputs.activations[name][0] for name in same})
        else:
            (phi,), below, top = (yield from code.of(x[None])), "", inf
        if not phi.any():
            detail = f"The code of this image at {code.name} is zero throughout and tells nothing; name another layer."
            raise BadParameter.at("/parameters/layer", detail)
        return Original(code, x, phi, blank, below, top)

    @property
    def known(self) -> State:
        """What a state keeps of it."""
        return {"phi": self.phi, "below": self.below, "top": self.top}

    def slope(self, rows: Tensor) -> Algorithm[tuple[Tensor, Tensor]]:
        """How far the codes of rows [n, C, H, W] are [n], and the derivative by the rows: the loss of an inversion."""
        if self.below:
            return (yield from Code(self.below).slope(rows, Rectified(self.phi, self.top)))
        return (yield from self.code.slope(rows, Distance(self.phi)))

    def errors(self, rows: Tensor) -> Algorithm[dict[str, list[float | None]]]:
        """How far each of rows [n, C, H, W] is, as squared distances over that of the mean colour.

        feature_error  of the codes; pixel_error  of the pixels. None where the original is the mean colour itself
        """
        phi = yield from self.code.of(rows)
        at_blank = yield from self.code.of(self.blank[None])
        return {
            "feature_error": _shares(phi, self.phi, at_blank[0]),
            "pixel_error": _shares(rows, self.x, self.blank),
        }


@dataclass(frozen=True, eq=False)
class Distance:
    """|phi - phi_0|^2 / |phi_0|^2 (Mahendran and Vedaldi 2015, equation 2)."""

    phi_0: Tensor

    def __call__(self, phi: Tensor) -> Tensor:
        phi_0 = self.phi_0.to(phi)
        return (phi - phi_0).square().flatten(1).sum(1) / phi_0.square().sum()


@dataclass(frozen=True, eq=False)
class Rectified:
    """The same, of a code that is min(max(a, 0), top) of what another layer puts out, a: a bound of the distance.

    Where the original's code is above 0 and a below, the distance has no slope: from an image at which most is cut away
    nothing leads to the code. So a is to come near the code itself there, and where the code is cut it may be anything
    that is cut likewise. Between 0 and top this is the distance, and it is 0 where the distance is.
    """

    phi_0: Tensor
    top: float = inf

    def __call__(self, a: Tensor) -> Tensor:
        phi_0 = self.phi_0.to(a)
        off = a - phi_0
        off = off.where(phi_0 > 0, off.clamp(min=0)).where(phi_0 < self.top, off.clamp(max=0))
        return off.square().flatten(1).sum(1) / phi_0.square().sum()


def _of_the_same_shape(card: Card, layer: str) -> list[str]:
    """The layers up to `layer` whose outputs have its shape."""
    names = list(card.layers)
    return [name for name in names[: names.index(layer) + 1] if card.layers[name] == card.layers[layer]]


def _rectified(outputs: Mapping[str, Tensor]) -> tuple[Tensor, str, float]:
    """The last of `outputs`, the one of which it is the rectification, if there is one, and where that cuts above."""
    *_, phi = outputs.values()
    top = float(phi.max())
    near = 1e-4 * top
    for name, a in reversed(list(outputs.items())):
        if float(a.min()) < -near and bool(((a.clamp(0, top) - phi).abs() <= near).all()):
            return phi, name, top if float(a.max()) > top + near else inf
    return phi, "", inf


def _shares(found: Tensor, wanted: Tensor, blank: Tensor) -> list[float | None]:
    """|found - wanted|^2 / |blank - wanted|^2 of each row."""
    whole = float((blank - wanted).double().square().sum())
    off = (found - wanted).double().square().flatten(1).sum(1)
    return [float(one) / whole if whole else None for one in off]
