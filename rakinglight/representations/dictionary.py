"""HOG inverted by a learnt paired dictionary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rakinglight.errors import BadParameter
from rakinglight.representations import Representation
from rakinglight.representations.assets import weights
from rakinglight.representations.hog import Hog

if TYPE_CHECKING:
    from torch import Tensor

#: The HOG that the pairs are of.
HOG = Hog()
#: Blocks of a window, down and across, and the pixels that it covers.
WINDOW = 2
SIDE = (WINDOW + HOG.cells_per_block[0] - 1) * HOG.pixels_per_cell[0]
#: Pairs that a window is made of, at most.
NONZERO = 4
#: What HOG does not tell: the picture's mean, and how far its pixels usually are from it.
MEAN, SPREAD = 0.5, 0.2


def dictionary_inverse(code: Tensor, shape: tuple[int, int, int], representation: Representation = HOG) -> Tensor:
    """A picture [C, H, W] in [0, 1] that has about this code by HOG, grey in all channels.

    Vondrick et al., "HOGgles: Visualizing Object Detection Features", ICCV 2013, "paired dictionary learning": atoms of
    pixels U and of HOG V were learnt together, so that one sparse alpha serves both. Of each window phi of the code

        alpha = argmin |V^T alpha - phi|^2, at most NONZERO of it not 0      by orthogonal matching pursuit
        x     = U^T alpha

    and where windows overlap their pixels are averaged, the middle of each weighing most. No step looks at the code of
    what came out. Beyond the last whole cell the picture goes on as at its border.

    code   [D], of `representation`
    shape  [C, H, W] of the picture that it is of
    Takes about half a second for 224 x 224: work for a thread (`Compute`). Raises BadParameter for another
    representation than the one that the pairs are of.
    """
    import torch

    if representation != HOG:
        raise BadParameter(
            f"The dictionary has pairs of {HOG!r} alone, and this is {representation!r}; take prior='natural', which "
            "inverts any representation."
        )
    HOG.check(shape)
    if min(HOG.grid(shape)[:2]) < WINDOW:
        raise BadParameter(
            f"Pictures of {shape[1]} by {shape[2]} pixels are smaller than the dictionary's windows, which have {SIDE} "
            f"by {SIDE}; take prior='natural', or a model that sees larger ones."
        )
    pixels = _averaged(_patches(windows(code, shape)))
    whole = torch.nn.functional.pad(
        pixels[None], (0, shape[2] - pixels.shape[1], 0, shape[1] - pixels.shape[0]), "replicate"
    )
    whole = whole - whole.mean()
    spread = whole.std().clamp(min=1e-6)
    return (MEAN + SPREAD * whole / spread).clamp(0, 1).expand(shape).contiguous().to(code)


def windows(code: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Windows of WINDOW x WINDOW blocks, a block apart, of a code [D] of a picture of `shape`: [down, across, d]."""
    blocks = code.detach().view(HOG.grid(shape))
    found = blocks.unfold(0, WINDOW, 1).unfold(
        1, WINDOW, 1
    )  # [down, across, cells, cells, orientations, of window x 2]
    return found.permute(0, 1, 5, 6, 2, 3, 4).flatten(2)


def _patches(phi: Tensor) -> Tensor:
    """The pixels that belong to windows [down, across, d]: [down, across, SIDE, SIDE]."""
    pairs = weights("dictionary")
    V, U = pairs["hog"].double(), pairs["pixels"].double()
    x = pursued(V, phi.double().cpu().flatten(0, 1), NONZERO) @ U
    return x.view(*phi.shape[:2], SIDE, SIDE)


def pursued(V: Tensor, phi: Tensor, nonzero: int) -> Tensor:
    """Alpha [m, n], at most `nonzero` of a row not 0, for which alpha V is near phi [m, d]; rows of V [n, d] are units.

    Orthogonal matching pursuit, all rows at once: the atom that is nearest to what is left joins, and all that are in
    are fitted anew (Rubinstein et al., "Efficient Implementation of the K-SVD Algorithm using Batch Orthogonal Matching
    Pursuit", 2008). A ridge of 1e-9 takes the place of a warning where atoms are alike, or nothing is left.
    """
    import torch

    G, b = V @ V.T, phi @ V.T
    left, within = b, torch.empty(len(phi), 0, dtype=torch.long)
    alpha = torch.zeros_like(b)
    for k in range(1, nonzero + 1):
        nearest = left.abs().scatter(1, within, -1).argmax(1, keepdim=True)
        within = torch.cat([within, nearest], 1)
        gram = G[within[:, :, None], within[:, None, :]] + 1e-9 * torch.eye(k, dtype=G.dtype)
        alpha = torch.zeros_like(b).scatter(1, within, torch.linalg.solve(gram, b.gather(1, within)))
        left = b - alpha @ G
    return alpha


def _averaged(patches: Tensor) -> Tensor:
    """Patches [down, across, SIDE, SIDE], a cell apart, laid over each other: [H, W]."""
    import torch

    down, across = patches.shape[:2]
    step = HOG.pixels_per_cell[0]
    off = torch.arange(SIDE, dtype=patches.dtype) - (SIDE - 1) / 2
    bell = torch.exp(-0.5 * (off / (SIDE / 4)).square())
    weight = (bell[:, None] * bell).expand_as(patches)
    size = SIDE + (down - 1) * step, SIDE + (across - 1) * step
    fold = torch.nn.Fold(size, SIDE, stride=step)
    both = torch.stack([patches * weight, weight]).flatten(3).flatten(1, 2).transpose(1, 2)
    total, weight = fold(both)[:, 0]
    whole: Tensor = total / weight
    return whole
