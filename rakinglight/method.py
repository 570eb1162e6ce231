"""A method: an algorithm as a caller sees it, and one that has been chosen, with its parameters. Needs no torch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from rakinglight.queries import Algorithm

R = TypeVar("R")
#: What an algorithm wants to know, from the most to the least.
Asks = Literal["gradients", "scores", "labels"]


@dataclass(frozen=True)
class Method(Generic[R]):
    """An algorithm that callers may name.

    What it takes by position, the operation offers (`x`, `goal`, `score`, `noise`, `state`, `logits`, …) and it takes
    what it names; what it takes by keyword alone are the caller's parameters.

    defaults  those of the operation's parameters that are others by this method
    fits      takes the shape of the image, [C, H, W], and what it names of the parameters; raises BadParameter where
              they do not go together. The algorithm asks it too: this is for the door, before any row is spent
    signed    whether its `Map.signed` can be multiplied by changes of the image's values: it is a slope, or what each
              adds to the score. Not so of `sliding`, whose numbers by channel are the drops of whole windows, each
              counted for every value that it covers
    fools     of an attack, whether it wants the model to be wrong: then its result has a verdict
    asks      what it has to be told by the model: "gradients", "scores", or no more than "labels". Of an attack, by the
              model that judges it; the repair of its picture asks for no more
    needs_image  whether it is about an image; else there may be none, and it begins at the model's mean colour
    long    whether it takes its time, and so is always a job
    scope   that a caller's key needs, where it is another than the operation's
    """

    algorithm: Callable[..., Algorithm[R]]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    fits: Callable[..., object] | None = None
    signed: bool = True
    fools: bool = True
    asks: Asks = "gradients"
    needs_image: bool = True
    long: bool = False
    scope: str | None = None

    @property
    def name(self) -> str:
        return self.algorithm.__name__

    @property
    def own(self) -> tuple[str, ...]:
        """The names of the caller's parameters."""
        arguments = inspect.signature(self.algorithm).parameters.values()
        return tuple(p.name for p in arguments if p.kind is p.KEYWORD_ONLY)

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (inspect.getdoc(self.algorithm) or "").partition("\n")[0]

    def check(self, parameters: Mapping[str, Any], shape: tuple[int, int, int]) -> None:
        """Raise BadParameter where `parameters` do not go together with an image of `shape`, [C, H, W]."""
        if self.fits:
            named = inspect.signature(self.fits).parameters
            self.fits(shape, **{name: value for name, value in parameters.items() if name in named})

    def choose(self, parameters: Mapping[str, Any]) -> Chosen[R]:
        """This method with those of `parameters` that are its own."""
        return Chosen(self, {name: parameters[name] for name in self.own})


@dataclass(frozen=True)
class Chosen(Generic[R]):
    """A method and its parameters, every one."""

    method: Method[R]
    parameters: Mapping[str, Any]

    def takes(self, name: str) -> bool:
        """Whether the algorithm takes `name`, of what an operation offers."""
        return name in inspect.signature(self.method.algorithm).parameters

    def begin(self, **offered: Any) -> Algorithm[R]:
        """The algorithm, under way with what it names of what is `offered`."""
        named = inspect.signature(self.method.algorithm).parameters
        return self.method.algorithm(**{k: v for k, v in offered.items() if k in named}, **self.parameters)
