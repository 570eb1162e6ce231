"""HOG: scikit-image's, number by number, and a derivative that can be trusted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from skimage.feature import hog

from rakinglight.errors import BadParameter
from rakinglight.representations.hog import BlockNorm, Hog

CHELSEA = skimage.data.chelsea()[60:140, 150:243] / 255
PICTURES = {
    "a photograph": CHELSEA,
    "a grey one": CHELSEA[..., 0],
    "noise": np.random.default_rng(0).random((50, 41, 3)),
    "steps": np.random.default_rng(0).integers(0, 4, (40, 48, 3)) / 4,  # ties between channels, and diagonals
}


def rows_of(picture: np.ndarray[Any, Any]) -> torch.Tensor:
    return torch.from_numpy(np.atleast_3d(picture).transpose(2, 0, 1).copy())


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("block_norm", ["L2-Hys", "L2"])
@pytest.mark.parametrize("orientations", [1, 8, 9])
@pytest.mark.parametrize("sizes", [((8, 8), (2, 2)), ((7, 5), (3, 3)), ((3, 4), (1, 2))])
def test_with_hard_bins_it_is_that_of_scikit_image(
    picture: str, block_norm: BlockNorm, orientations: int, sizes: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    seen = PICTURES[picture]
    wanted = hog(seen, orientations, *sizes, block_norm, channel_axis=-1 if seen.ndim == 3 else None)
    found = Hog(orientations, *sizes, block_norm, "hard").code(rows_of(seen))
    assert np.abs(found.numpy() - wanted).max() < 1e-6


@pytest.mark.parametrize("bins", ["hard", "bilinear"])
@pytest.mark.parametrize("channels", [1, 3])
def test_its_derivative_is_that_of_differences(bins: Any, channels: int) -> None:
    x = torch.rand(channels, 10, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(Hog(pixels_per_cell=(4, 4), bins=bins).code, x)


@pytest.mark.parametrize("bins", ["hard", "bilinear"])
def test_where_there_is_no_slope_the_derivative_is_zero(bins: Any) -> None:
    x = torch.full((3, 16, 16), 0.5, requires_grad=True)
    code = Hog(bins=bins).code(x)
    (g,) = torch.autograd.grad(code.sum(), x)
    assert not code.any() and not g.any()


def test_a_slope_between_two_directions_counts_half_in_each() -> None:
    down, across = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
    hog = Hog(cells_per_block=(1, 1), block_norm="L2")
    for degrees, shares in ((10, [1, 0]), (20, [0.5, 0.5]), (25, [0.25, 0.75])):
        angle = torch.tensor(degrees).deg2rad()
        x = (across * angle.cos() + down * angle.sin())[None] / 40
        found = hog.code(x).view(3, 3, 9)[1, 1]
        assert torch.allclose(found[:2] / found.sum(), torch.tensor(shares, dtype=torch.float), atol=1e-4)


def test_shares_of_a_turn_add_up_to_the_slope() -> None:
    x = torch.rand(1, 24, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    votes = [Hog(bins=bins)._votes(x[0], x[0].flip(0) - 0.5).sum(0) for bins in ("hard", "bilinear")]
    assert torch.allclose(*votes)


def test_it_knows_how_its_code_is_laid_out() -> None:
    assert Hog().grid((3, 224, 224)) == (27, 27, 2, 2, 9)
    assert len(Hog().code(torch.rand(3, 30, 42))) == np.prod(Hog().grid((3, 30, 42)))


def test_it_refuses_what_is_smaller_than_a_block_and_says_how_large_that_is() -> None:
    Hog().check((1, 16, 16))
    with pytest.raises(BadParameter, match=r"15 by 40 pixels .* have 16 by 16; take"):
        Hog().check((3, 15, 40))
    with pytest.raises(BadParameter, match=r"0 orientations, .* 1 or more"):
        Hog(orientations=0)


def test_two_with_the_same_parameters_are_one() -> None:
    assert Hog() == Hog(9) and hash(Hog()) == hash(Hog(9)) and Hog() != Hog(bins="hard")
