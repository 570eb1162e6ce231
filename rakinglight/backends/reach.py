"""How far a patch reaches: which positions of a map change where some positions of the map before it do.

It is the receptive field seen from the other end: those positions change in whose receptive field the patch lies.

Everything here is along one axis, and for all places of the patch at once. A window of a map has the same size wherever
the patch is: the size that it needs at the worst place. So rows share a pass, and no row's bits depend on another's.

    patch         a a a                     starts at 5, size 3
    kernel      k k k k k                   extent 5, stride 2, one position of padding in front
    outputs     . o o o .                   starts at 1, size 4: with another start of the patch it would be three
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Reach:
    """The window of a map that may change.

    starts  int64 [places]: its first position, for each place of the patch
    size    its positions
    """

    starts: Tensor
    size: int

    @staticmethod
    def of_patch(size: int, length: int) -> Reach:
        """A patch of `size` pixels, anywhere on an image that is `length` long."""
        return Reach(torch.arange(length - size + 1), size)

    @staticmethod
    def holding(first: Tensor, last: Tensor, length: int) -> Reach:
        """Positions `first` to `last` [places], so far as they are on a map that is `length` long."""
        first = first.clamp(0, length - 1)
        last = torch.maximum(first, last.clamp(max=length - 1))  # one at least, though a stride may step over the patch
        size = int((last - first).max()) + 1
        return Reach(first.clamp(max=length - size), size)

    @staticmethod
    def joined(reaches: Sequence[Reach], length: int) -> Reach:
        """What any of `reaches` holds, on a map that is `length` long."""
        first = torch.stack([reach.starts for reach in reaches]).amin(0)
        last = torch.stack([reach.starts + reach.size - 1 for reach in reaches]).amax(0)
        return Reach.holding(first, last, length)

    def everywhere(self, length: int) -> Reach:
        """All of a map that is `length` long, wherever the patch is."""
        return Reach(torch.zeros_like(self.starts), length)


@dataclass(frozen=True)
class Sweep:
    """A kernel's way along a map.

    extent   positions from its first tap to its last
    stride   positions from one output to the next
    before   positions of padding in front of the map; how many are behind it follows
    length   positions of the map
    outputs  positions of what comes out
    """

    extent: int
    stride: int
    before: int
    length: int
    outputs: int

    @staticmethod
    def still(length: int) -> Sweep:
        """Of an operation that looks at one position for one."""
        return Sweep(1, 1, 0, length, length)

    @property
    def ahead(self) -> int:
        """Positions in front of the kernel where a patch may begin and no output sees it, as between long strides."""
        return max(0, self.stride - self.extent)

    @property
    def behind(self) -> int:
        """Likewise where it may end; also where the last stride does not fit on the map."""
        return max(self.ahead, self.length + self.before - self._swept)

    @property
    def _swept(self) -> int:
        return (self.outputs - 1) * self.stride + self.extent

    @property
    def padding(self) -> tuple[int, int]:
        """What the map is padded with, in front and behind, so that every window of it can be cut out."""
        return self.before + self.ahead, max(0, self._swept + self.behind - self.length - self.before)

    def reached(self, reach: Reach) -> Reach:
        """The outputs that change where `reach` of the map does."""
        first = -((self.extent - 1 - self.before - reach.starts) // self.stride)  # rounded up
        last = (reach.starts + reach.size - 1 + self.before) // self.stride
        return Reach.holding(first, last, self.outputs)

    def span(self, changed: Reach, out: Reach) -> Span:
        """Where the windows are that `out` is computed from, with all in them that has `changed`."""
        size = (out.size - 1) * self.stride + self.extent + self.ahead + self.behind
        corners = out.starts * self.stride
        swept = slice(self.ahead, size - self.behind)
        return Span(size, corners, changed.starts + self.padding[0] - corners, swept)


@dataclass(frozen=True, eq=False)
class Span:
    """Windows of a padded map, along one axis.

    size     positions of a window
    corners  int64 [places]: where it begins on the padded map, for each place of the patch
    offsets  int64 [places]: where in it what has changed begins
    swept    the positions that the kernel itself sees
    """

    size: int
    corners: Tensor
    offsets: Tensor
    swept: slice

    def is_just(self, changed: Reach) -> bool:
        """Whether the window is what has changed, and nothing else."""
        return self.size == changed.size == self.swept.stop - self.swept.start and not self.offsets.any()

    def to(self, device: torch.device) -> Span:
        return replace(self, corners=self.corners.to(device), offsets=self.offsets.to(device))
