"""Randomized input sampling for explanation."""

import math
from typing import TYPE_CHECKING

from rakinglight.errors import BadParameter
from rakinglight.fills import filled
from rakinglight.maps import Map
from rakinglight.noise import Noise
from rakinglight.objectives import Objective
from rakinglight.parameters import Cells, Filling, KeepProbability, Masks, StandardError
from rakinglight.queries import Algorithm, Forward, Progress, State, wave
from rakinglight.rows import Masked

if TYPE_CHECKING:
    from torch import Tensor


def rise(
    x: "Tensor",
    score: Objective,
    noise: Noise,
    state: State | None = None,
    *,
    masks: Masks = 1000,
    cells: Cells = 7,
    keep_probability: KeepProbability = 0.5,
    fill: Filling = "grey",
    standard_error: StandardError = None,
) -> "Algorithm[Map]":
    """The mean of many random masks, each weighted by the score that the image has behind it.

    Petsiuk et al., "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018, equation 6 and
    section 3.2.

    x      [C, H, W], pixels in [0, 1]
    score  the objective that is explained, usually a class's probability
    noise  the run's own random numbers, for the masks and for a fill of noise
    state  from which to go on, as its Progress had it
    Returns the map, in units of score: what S is on average where the pixel is seen. With it come how many masks that
    took, fewer than `masks` where `standard_error` was reached before, and the largest standard error of its pixels.
    Raises BadParameter where there are more cells than pixels.
    """
    import torch

    C, H, W = x.shape
    check_cells((C, H, W), cells)
    N, p = masks, keep_probability
    nothing = filled(x, fill, noise)
    total, squares = torch.zeros(2, H, W, dtype=torch.float64)
    n, error = 0, None
    if state:
        total, squares, n = state["total"], state["squares"], state["step"]
        found: Map = state["best"]
        error = found.facts["standard_error"]
        noise.go_on(state["noise"])

    def so_far(n: int) -> Map:
        mean = total / n
        error = None
        if n > 1:  # of a mean of n: the sample variance of S M / p, over n
            variance = (squares / n - mean**2).clamp(min=0) * n / (n - 1)
            error = float((variance / n).sqrt().max())
        return Map(mean.to(x), facts={"masks_used": n, "standard_error": error})

    while n < N and (standard_error is None or error is None or error > standard_error):
        M = random_masks(x, min(wave(x), N - n), cells, p, noise)
        S = score((yield Forward(Masked(x, M, nothing))).logits) / p
        total += torch.einsum("n,nhw->hw", S, M)  # equation 6
        squares += torch.einsum("n,nhw->hw", S**2, M**2)
        n += len(M)
        found = so_far(n)
        error = found.facts["standard_error"]
        yield Progress(n, N, error, best=found, state={"total": total, "squares": squares, "noise": noise.state})
    return found


def random_masks(x: "Tensor", n: int, cells: int, p: float, noise: Noise) -> "Tensor":
    """Masks [n, H, W] in [0, 1] for an image x [C, H, W]; each pixel of one is p on average.

    As the authors make them (section 3.2, and `explanations.py` of their code): a grid of cells x cells zeros and ones,
    enlarged by bilinear interpolation to (cells + 1) x (cells + 1) times a cell's pixels, and cut to the image's size
    at a random shift of less than a cell. The interpolation is that of their `skimage.transform.resize`, order 1, mode
    "reflect": between the centres of cells, and beyond the outermost centres in the mirror, where torch's `interpolate`
    would go on with the outermost value. Each mask takes the same number of draws, so the i-th is the same however many
    are made at a time.
    """
    import torch

    H, W = x.shape[-2:]
    u = noise.uniform(x.new_empty(n, cells * cells + 2), 0, 1).double()
    grid = (u[:, :-2] < p).view(n, cells, cells).to(x)

    def along(length: int, shift: "Tensor") -> "Tensor":
        """How much of each cell each pixel takes, [n, length, cells]."""
        cell = math.ceil(length / cells)
        enlarged = _interpolation(cells, (cells + 1) * cell).to(x)
        return enlarged[(shift * cell).long()[:, None] + torch.arange(length)]

    return along(H, u[:, -2]) @ grid @ along(W, u[:, -1]).transpose(1, 2)


def _interpolation(cells: int, length: int) -> "Tensor":
    """The weight of each cell at each of `length` points: float64 [length, cells], each row adds up to 1."""
    import torch

    u = (torch.arange(length, dtype=torch.float64) + 0.5) * cells / length - 0.5
    mirrored = (cells - 1) - ((cells - 1) - u.abs()).abs()
    return (1 - (mirrored[:, None] - torch.arange(cells)).abs()).clamp(min=0)


def check_cells(shape: tuple[int, int, int], cells: int) -> None:
    """Raise BadParameter where an image of `shape`, [C, H, W], has fewer pixels on a side than there are cells."""
    if cells > min(shape[1:]):
        detail = (
            f"cells is {cells}, and the image as the model sees it is {shape[1]}×{shape[2]}: a cell has one pixel at "
            f"least, so give {min(shape[1:])} at most."
        )
        raise BadParameter.at("/parameters/cells", detail)
