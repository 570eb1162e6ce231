"""HOG inverted: by a learnt paired dictionary, and by going down along its derivative, which comes nearer."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from sklearn.linear_model import orthogonal_mp
from torch import Tensor, nn

from benchmarks.representations import inverted
from model_store.representations import JUDGED, LEARNT_FROM
from rakinglight.engine import Engine
from rakinglight.errors import BadParameter
from rakinglight.representations.dictionary import SIDE, dictionary_inverse, pursued, windows
from rakinglight.representations.hog import Hog
from tests.networks import network_of

HOG = Hog()


def photograph(name: str, side: int = 48) -> Tensor:
    image = Image.fromarray(getattr(skimage.data, name)()).resize((side, side), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(image, np.float32).transpose(2, 0, 1) / 255)


def test_going_down_along_the_derivative_comes_nearer_than_the_dictionary_as_published() -> None:
    x, other = photograph("chelsea"), photograph("coffee")
    network = network_of("any", nn.Flatten(), (3, 48, 48))
    usual = (HOG.code(x) - HOG.code(other)).square().sum()

    def error(found: Tensor) -> float:
        return float((HOG.code(found) - HOG.code(x)).square().sum() / usual)

    by_dictionary = error(dictionary_inverse(HOG.code(x), (3, 48, 48)))
    by_descent = error(Engine([network]).drive(inverted(x, HOG, steps=25)))
    assert 2 * by_descent < by_dictionary < 0.8


def test_the_dictionary_is_judged_by_photographs_that_it_has_not_seen() -> None:
    assert not set(JUDGED) & set(LEARNT_FROM)


def test_its_picture_has_slopes_where_the_original_has() -> None:
    x = torch.full((1, 48, 48), 0.2)
    x[:, :, 24:] = 0.8  # an edge from top to bottom
    y = dictionary_inverse(HOG.code(x), (1, 48, 48))
    across = (y[..., 1:] - y[..., :-1]).abs().mean((0, 1))
    assert y.min() >= 0 and y.max() <= 1
    assert 20 <= int(across.argmax()) <= 27


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 31, 45), (3, 24, 24)])
def test_its_picture_has_the_shape_of_the_original_and_the_same_bits_each_time(shape: tuple[int, int, int]) -> None:
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    y = dictionary_inverse(HOG.code(x), shape)
    assert y.shape == shape and y.dtype == torch.float32 and torch.equal(y, dictionary_inverse(HOG.code(x), shape))


def test_a_window_is_the_code_of_the_pixels_that_it_covers() -> None:
    x = torch.zeros(1, 48, 56)
    x[:, 10:30, 18:38] = torch.rand(20, 20, generator=torch.Generator().manual_seed(0))  # all slopes in one window
    found = windows(HOG.code(x), (1, 48, 56))
    assert found.shape == (4, 5, 144)
    assert torch.allclose(found[1, 2], HOG.code(x[:, 8 : 8 + SIDE, 16 : 16 + SIDE]))


def test_a_pursuit_finds_the_atoms_that_scikit_learn_finds() -> None:
    draw = torch.Generator().manual_seed(0)
    V = torch.nn.functional.normalize(torch.randn(30, 12, generator=draw, dtype=torch.float64))
    phi = torch.randn(7, 12, generator=draw, dtype=torch.float64)
    wanted = orthogonal_mp(V.T.numpy(), phi.T.numpy(), n_nonzero_coefs=4).T
    assert np.allclose(pursued(V, phi, 4).numpy(), wanted, atol=1e-6)


def test_a_code_without_any_slope_is_flat() -> None:
    assert dictionary_inverse(torch.zeros(144), (1, 28, 28)).unique().tolist() == [0.5]


def test_it_refuses_codes_that_it_has_no_pairs_of_and_pictures_below_a_window() -> None:
    with pytest.raises(BadParameter, match=r"bins='hard'.* take prior='natural'"):
        dictionary_inverse(torch.zeros(144), (1, 28, 28), Hog(bins="hard"))
    with pytest.raises(BadParameter, match=r"23 by 40 pixels .* 24 by 24"):
        dictionary_inverse(torch.zeros(36), (1, 23, 40))
