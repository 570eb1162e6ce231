"""Rows that are made when a pass needs them.

Thousands of variations of one photograph would be gigabytes as one tensor: 8,000 masked copies at 224 px are 4.8 GB.
So an algorithm says how its rows come about, and the engine makes those of the next pass. A backend that can do with
less than the whole row (`backends.incremental`) gets them as they are said here.

    rows[3:7]           the same kind of rows, fewer
    made(rows)          the tensor [n, C, H, W]
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Lazy(ABC):
    """Rows [n, C, H, W] that are described and not yet made: variations of one image, `base` [C, H, W]."""

    base: Tensor

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, part: slice) -> Self: ...

    @abstractmethod
    def made(self) -> Tensor: ...

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self), *self.base.shape

    @property
    def dtype(self) -> torch.dtype:
        return self.base.dtype

    @property
    def ndim(self) -> int:
        return 4


@dataclass(frozen=True, eq=False)
class Patched(Lazy):
    """One image with a window of it covered, once for each place of the window.

    base      [C, H, W]
    corners   int64 [n, 2]: top and left of the window in each row; it lies within the image
    window    its height and width
    fill      [C, H, W]: what is seen in the window
    channels  int64 [n]: the one channel that is covered in each row; None: all of them
    """

    corners: Tensor
    window: tuple[int, int]
    fill: Tensor
    channels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.corners)

    def __repr__(self) -> str:
        return f"<{len(self)} rows: {'×'.join(map(str, self.base.shape))}, {self.window} of it covered>"

    def __getitem__(self, part: slice) -> Self:
        channels = None if self.channels is None else self.channels[part]
        return replace(self, corners=self.corners[part], channels=channels)

    @property
    def covered(self) -> Tensor:
        """Where each row shows the fill: bool [n, C or 1, H, W]."""
        import torch

        (top, left), (h, w), (C, H, W) = self.corners.T[:, :, None], self.window, self.base.shape
        y, x = torch.arange(H), torch.arange(W)
        rows, columns = (top <= y) & (y < top + h), (left <= x) & (x < left + w)
        covered: Tensor = (rows[:, :, None] & columns[:, None, :])[:, None]
        if self.channels is not None:
            covered = covered & (self.channels[:, None] == torch.arange(C))[:, :, None, None]
        return covered

    def made(self) -> Tensor:
        return self.fill.where(self.covered, self.base)

    def padded(self, count: int) -> Patched:
        """`count` rows: these, and the last of them again."""
        import torch

        place = torch.arange(count).clamp(max=len(self) - 1)
        channels = None if self.channels is None else self.channels[place]
        return replace(self, corners=self.corners[place], channels=channels)


@dataclass(frozen=True, eq=False)
class Masked(Lazy):
    """One image seen through masks: mask * base + (1 - mask) * fill.

    base   [C, H, W]
    masks  [n, H, W] in [0, 1]
    fill   [C, H, W]
    """

    masks: Tensor
    fill: Tensor

    def __len__(self) -> int:
        return len(self.masks)

    def __repr__(self) -> str:
        return f"<{len(self)} rows: {'×'.join(map(str, self.base.shape))} behind masks>"

    def __getitem__(self, part: slice) -> Self:
        return replace(self, masks=self.masks[part])

    def made(self) -> Tensor:
        return self.fill.lerp(self.base, self.masks[:, None])


def made(rows: Tensor | Lazy) -> Tensor:
    """The rows as a tensor."""
    from torch import Tensor

    return rows if isinstance(rows, Tensor) else rows.made()
