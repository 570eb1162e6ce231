"""A request: as a door has read it (`Ask`), and as the core found it good (`Prepared`). Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from rakinglight.plan import Plan

Array = np.ndarray[Any, Any]
#: An image as it comes: the bytes of a file, or an exact tensor [C, H, W] in [0, 1].
Image = bytes | Array


@dataclass(frozen=True, eq=False, kw_only=True)
class Ask:
    """A request, as a door has read it and before anything in it is checked.

    dataset     the id of one whose images are meant, instead of `images`
    version     None is the newest
    method      None is the operation's first; several are compared
    compare     {"method", "parameters", "target"} of each map, where several are laid side by side
    include     arrays and pictures that a result brings, by name; None is all
    deadline_s  seconds from now; None is the setting's
    max_rows    rows that each image may spend; None is the setting's
    purpose     why, in the caller's words
    caller      whose it is, for fairness and for what it may see
    key         what the ledger knows the caller's key by
    sees_all    whether the datasets of all others are the caller's to use
    """

    model: str
    operation: str
    images: Sequence[Image] = ()
    dataset: str | None = None
    version: str | None = None
    method: str | Sequence[str] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    compare: Sequence[Mapping[str, Any]] | None = None
    include: Sequence[str] | None = None
    seed: int = 0
    deadline_s: float | None = None
    max_rows: int | None = None
    purpose: str | None = None
    request_id: str = ""
    caller: str = ""
    key: str = ""
    sees_all: bool = False


class Source(Protocol):
    """The images that a request is about: those that came with it, or a dataset's."""

    def __len__(self) -> int: ...

    def image(self, i: int) -> Image:
        """Image `i`, as it came. It may read a file."""
        ...

    def label(self, i: int) -> int | str | None:
        """The class that image `i` shows, where that is known."""
        ...

    def close(self) -> None:
        """Let go of what it reads from."""
        ...


@dataclass(frozen=True)
class Listed:
    """The images that came with a request."""

    images: Sequence[Image]

    def __len__(self) -> int:
        return len(self.images)

    def image(self, i: int) -> Image:
        return self.images[i]

    def label(self, i: int) -> None:
        return None

    def close(self) -> None:
        pass


@dataclass(frozen=True, eq=False)
class Prepared:
    """A request that was found good but for its images, which nobody has looked at yet.

    seconds  that it may take
    rows     that each image may spend
    """

    ask: Ask
    plan: Plan
    source: Source
    seconds: float
    rows: int
