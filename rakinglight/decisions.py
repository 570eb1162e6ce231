"""What a search has that is told labels alone: whether a row is where the attack wants it, and how many it has asked.

It goes along the boundary from a point beyond it: noise, as published, or an image that is given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rakinglight.errors import BadParameter
from rakinglight.noise import Noise
from rakinglight.norms import NORMS, NormName
from rakinglight.objectives import Goal
from rakinglight.picture_parameters import values_of
from rakinglight.queries import Algorithm, Forward

if TYPE_CHECKING:
    from torch import Tensor

#: Rows of noise that are tried at most, before an attack is given up for want of a point to begin at.
STARTS = 256
#: Halvings at most on the way to the boundary: float32 tells no more points apart.
HALVINGS = 24
#: What is said where there is nowhere to begin.
NO_START = (
    "No point was found to begin at: of {tried} rows of noise the model says {said} of none. Give an image of which it "
    "does as `start`."
)


class Spent(Exception):
    """The queries are spent; what was found is `Decisions.nearest`."""


@dataclass(eq=False)
class Decisions:
    """Asks about rows, never about more than `queries`, and keeps the nearest that reached the goal.

    x        [C, H, W], the untouched image
    queries  that may be asked in all
    spent    that were asked
    nearest  [C, H, W]; None while nothing has reached the goal
    """

    x: Tensor
    goal: Goal
    norm: NormName
    queries: int
    spent: int = 0
    nearest: Tensor | None = None

    @property
    def left(self) -> int:
        return self.queries - self.spent

    @property
    def best(self) -> Tensor:
        """What there is to show: the nearest, or where nothing has reached the goal the untouched image."""
        return self.x if self.nearest is None else self.nearest

    def far(self, row: Tensor) -> float:
        """How far a row [C, H, W] is from the untouched image."""
        return float(NORMS[self.norm].size(row - self.x))

    def of(self, rows: Tensor) -> Algorithm[Tensor]:
        """Whether each of the rows [n, C, H, W] reaches the goal: bool [n], of the first of them where not so many may
        be asked any more. Raises Spent where none may.
        """
        rows = rows[: self.left]
        if not len(rows):
            raise Spent
        self.spent += len(rows)
        reached: Tensor = self.goal.reached((yield Forward(rows)).logits)
        for row in rows[reached]:
            if self.nearest is None or self.far(row) < self.far(self.nearest):
                self.nearest = row.clone()  # of its own: a view would keep all rows
        return reached

    def at(self, row: Tensor) -> Algorithm[bool]:
        """Whether one row [C, H, W] reaches the goal. Raises Spent."""
        return bool((yield from self.of(row[None]))[0])

    def begun(self, noise: Noise, start: str | Mapping[str, Any] | None) -> Algorithm[Tensor | None]:
        """A point [C, H, W] that reaches the goal: `start`, or noise. None where there is none. Raises Spent."""
        if start is not None:
            assert not isinstance(start, str), "a door has decoded it"
            given = read_start(start, self.x)
            return given if (yield from self.at(given)) else None
        tried, size = 0, 1
        while tried < STARTS:
            rows = noisy(self.x, range(tried, min(tried + size, STARTS)), noise)[: self.left]
            reached = yield from self.of(rows)
            if reached.any():
                return rows[int(reached.int().argmax())].clone()
            # Most models say the same of all noise, or something else of the first: rows for what is rare come later.
            tried, size = tried + len(rows), min(2 * size, 16)
        return None

    def to_boundary(self, row: Tensor, theta: float) -> Algorithm[Tensor]:
        """The point nearest to the untouched image, of those that reach the goal on the way there from `row`, which
        does. In linf the way is that of a shrinking box.

        theta  how near to the boundary it is, as a share of the way
        Raises Spent.
        """
        delta, low, high, found = row - self.x, 0.0, 1.0, row
        far = self.far(row)
        for _ in range(halvings(theta)):
            middle = (low + high) / 2
            part = delta * middle if self.norm == "l2" else delta.clamp(-middle * far, middle * far)
            point = (self.x + part).clamp(0, 1)
            if (yield from self.at(point)):
                high, found = middle, point
            else:
                low = middle
        return found

    def nowhere(self) -> str:
        """What a reader should know where no point was found to begin at."""
        said = f"anything but class {self.goal.label}" if self.goal.target is None else f"class {self.goal.target}"
        return NO_START.format(tried=self.spent, said=said)


def noisy(x: Tensor, which: range, noise: Noise) -> Tensor:
    """Rows of noise like x [C, H, W], uniform in [0, 1]: by their number each value its own, or squares of 2, 4, 8, …
    pixels. Uniform noise is what the papers begin at; where a model has one name for all of that, a coarser one helps.
    """
    import torch

    C, H, W = x.shape
    scales, rows = max(1, min(H, W).bit_length()), []
    for number in which:
        side = 2 ** (number % scales)
        cells = noise.uniform(x.new_empty(C, -(-H // side), -(-W // side)), 0, 1)
        rows.append(cells.repeat_interleave(side, 1).repeat_interleave(side, 2)[:, :H, :W])
    return torch.stack(rows)


def read_start(start: Mapping[str, Any], x: Tensor) -> Tensor:
    """The image that is given to begin at, [C, H, W] as x. Raises BadParameter where it is of another shape."""
    import torch

    given = torch.from_numpy(values_of(start, len(x), "/parameters/start").copy()).to(x)
    if given.shape != x.shape:
        raise BadParameter.at(
            "/parameters/start",
            f"start is {'x'.join(map(str, given.shape))}, and the image is {'x'.join(map(str, x.shape))}; give one of "
            "the image's own size, [C, H, W].",
        )
    return given


def halvings(theta: float) -> int:
    """Queries that a way to the boundary takes until it is known to the share `theta` of it, as far as float32 goes."""
    return min(math.ceil(-math.log2(theta)), HALVINGS)
