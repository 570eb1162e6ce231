"""A method: an algorithm as a caller sees it, and one that has been chosen, with its parameters. Needs no torch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from rakinglight.queries import Algorithm

R = TypeVar("R")


@dataclass(frozen=True)
class Method(Generic[R]):
    """An algorithm that callers may name.

    What it takes by position, the operation offers (`x`, `goal`, `score`, `noise`) and it takes what it names; what it
    takes by keyword alone are the caller's parameters.
    """

    algorithm: Callable[..., Algorithm[R]]

    @property
    def name(self) -> str:
        return self.algorithm.__name__

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (inspect.getdoc(self.algorithm) or "").partition("\n")[0]

    def choose(self, parameters: Mapping[str, Any]) -> Chosen[R]:
        """This method with those of `parameters` that are its own."""
        mine = [p.name for p in inspect.signature(self.algorithm).parameters.values() if p.kind is p.KEYWORD_ONLY]
        return Chosen(self, {name: parameters[name] for name in mine})


@dataclass(frozen=True)
class Chosen(Generic[R]):
    """A method and its parameters, every one."""

    method: Method[R]
    parameters: Mapping[str, Any]

    def begin(self, **offered: Any) -> Algorithm[R]:
        """The algorithm, under way with what it names of what is `offered`."""
        named = inspect.signature(self.method.algorithm).parameters
        return self.method.algorithm(**{k: v for k, v in offered.items() if k in named}, **self.parameters)
