"""What a substitute may be: small networks, none of them a network of the zoo, of whatever input and classes.

An archive of a substitute builds its module from here. Needs no torch to be imported.
"""

from __future__ import annotations

from itertools import pairwise
from math import ceil, prod
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from torch import nn

Architecture = Literal["convolutional", "averaging", "perceptron", "linear"]
ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)

#: The longest side of what a substitute looks at: photographs are averaged down to that, and the 32 pixels of a drawing
#: to half of them. It learns from hundreds of images, and each is looked at hundreds of times.
LONGEST_SIDE = 32
#: Of the convolutions: their kernels' side, their channels from the first on, and the side of a map that needs no more.
#: What was tried beside them, and on which digits, is in `docs/substitutes.md`.
KERNEL, WIDTHS, SMALLEST_SIDE = 5, (32, 64, 128), 4


def cell(shape: tuple[int, int, int], side: int | None) -> int:
    """Pixels on a side of the squares that an image of `shape`, [C, H, W], is averaged over to have `side` at most.

    Where `side` is None, half of the image's own, and LONGEST_SIDE at most.
    """
    longest = max(shape[1:])
    return ceil(longest / (side or max(1, min(LONGEST_SIDE, longest // 2))))


def averaged(shape: tuple[int, int, int], cell: int) -> tuple[int, int, int]:
    """What is left of `shape`, [C, H, W], averaged over cells. One at the edge may be cut off."""
    return shape[0], ceil(shape[1] / cell), ceil(shape[2] / cell)


def network(architecture: Architecture, shape: tuple[int, int, int], classes: int, cell: int) -> nn.Module:
    """The untrained module: normalised pixels [n, C, H, W] -> logits [n, classes].

    shape  [C, H, W] of an image; the module's first part, `0`, averages it over squares of `cell` pixels, and its
           second, `1`, sees no more than that
    """
    from torch import nn

    C, h, w = averaged(shape, cell)
    if architecture == "linear":
        behind = [nn.Flatten(), nn.Linear(C * h * w, classes)]
    elif architecture == "perceptron":
        behind = [nn.Flatten(), *_dense(C * h * w, 200, 200), nn.Linear(200, classes)]
    else:
        Pool = nn.MaxPool2d if architecture == "convolutional" else nn.AvgPool2d
        behind, widths = [], list(WIDTHS)
        while widths and max(h, w) > SMALLEST_SIDE:
            width, padding = widths.pop(0), 0 if min(h, w) >= KERNEL else KERNEL // 2
            behind += [nn.Conv2d(C, width, KERNEL, padding=padding), nn.ReLU()]
            C, h, w = width, h + 2 * padding - KERNEL + 1, w + 2 * padding - KERNEL + 1
            if max(h, w) > SMALLEST_SIDE:
                behind.append(Pool(2, ceil_mode=True))
                h, w = ceil(h / 2), ceil(w / 2)
        behind += [nn.Flatten(), *_dense(prod((C, h, w)), 128), nn.Linear(128, classes)]
    return nn.Sequential(nn.AvgPool2d(cell, ceil_mode=True), nn.Sequential(*behind))


def _dense(*widths: int) -> list[nn.Module]:
    from torch import nn

    return [part for n, m in pairwise(widths) for part in (nn.Linear(n, m), nn.ReLU())]
