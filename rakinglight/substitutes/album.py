"""The images that a substitute learns from: the seeds as they are, every other as the step that led to it.

A photograph's 2,000 images would be 300 MB, which no state could carry. But each is another one, a step of so many grey
levels up or down in every cell: two bits a cell, and the number of the image that it began at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rakinglight.queries import State

if TYPE_CHECKING:
    from torch import Tensor


def moved(levels: Tensor, signs: Tensor, step: Tensor | int, cell: int) -> Tensor:
    """Pictures, `step` grey levels further along `signs`, cut to what eight bits hold: uint8 [n, C, H, W].

    levels  uint8 [n, C, H, W]
    signs   int8 [n, C, h, w] of -1, 0 and 1, one for each square of `cell` pixels
    step    grey levels, of all or [n]
    """
    import torch

    _, _, H, W = levels.shape
    full = signs.repeat_interleave(cell, 2)[:, :, :H].repeat_interleave(cell, 3)[..., :W].to(torch.int16)
    step = step.to(torch.int16).view(-1, 1, 1, 1) if isinstance(step, torch.Tensor) else step
    return (levels.to(torch.int16) + step * full).clamp(0, 255).to(torch.uint8)


class Album:
    """So many pictures of eight bits.

    seeds  uint8 [s, C, H, W]
    cell   pixels on a side of the squares of which a step has one sign
    """

    def __init__(self, seeds: Tensor, cell: int, state: State | None = None) -> None:
        import torch

        self.seeds, self.cell = seeds, cell
        _, C, H, W = seeds.shape
        self._cells = C, -(-H // cell), -(-W // cell)
        self._parents = torch.empty(0, dtype=torch.int64)
        self._steps = torch.empty(0, dtype=torch.int64)
        self._signs = torch.empty((0, 2, -(-int(np.prod(self._cells)) // 8)), dtype=torch.uint8)
        if state:
            self._parents, self._steps, self._signs = state["parents"], state["steps"], state["signs"]

    def __len__(self) -> int:
        return len(self.seeds) + len(self._parents)

    @property
    def state(self) -> dict[str, Any]:
        """All but the seeds."""
        return {"parents": self._parents, "steps": self._steps, "signs": self._signs}

    def add(self, parents: Tensor, signs: Tensor, step: int) -> None:
        """Take in those that are `step` grey levels from `parents`, int64 [n], along `signs`, int8 [n, C, h, w]."""
        import torch

        packed = np.packbits(np.stack([(signs > 0).numpy(), (signs < 0).numpy()], 1).reshape(len(signs), 2, -1), axis=2)
        self._parents = torch.cat([self._parents, parents])
        self._steps = torch.cat([self._steps, torch.full((len(parents),), step)])
        self._signs = torch.cat([self._signs, torch.from_numpy(packed)])

    def pictures(self, first: int, last: int) -> Tensor:
        """Those from number `first` to before `last`, uint8 [n, C, H, W]."""
        import torch

        return torch.stack([self.picture(number) for number in range(first, last)])

    def picture(self, number: int) -> Tensor:
        """One of them, uint8 [C, H, W]."""
        steps, s = [], len(self.seeds)
        while number >= s:
            steps.append(number - s)
            number = int(self._parents[number - s])
        levels = self.seeds[number : number + 1]
        for place in reversed(steps):
            levels = moved(levels, self._unpacked(place), int(self._steps[place]), self.cell)
        return levels[0]

    def _unpacked(self, place: int) -> Tensor:
        import torch

        up, down = np.unpackbits(self._signs[place].numpy(), axis=1, count=int(np.prod(self._cells))).astype(np.int8)
        return torch.from_numpy((up - down).reshape(1, *self._cells))
