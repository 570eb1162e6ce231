"""Dense SIFT, and the visual words over it; what is there by name; what is kept beside the code."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from rakinglight.errors import BadParameter
from rakinglight.representations import REPRESENTATIONS, Representation, representation_called
from rakinglight.representations.assets import path_of, weights
from rakinglight.representations.bag_of_words import BagOfWords
from rakinglight.representations.dsift import DenseSift


def picture(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


@pytest.mark.parametrize("representation", [DenseSift(), BagOfWords()])
def test_the_derivative_is_that_of_differences(representation: Representation) -> None:
    x = picture(1, 16, 16, dtype=torch.float64).requires_grad_()
    direction = x.detach().flip(2) - 0.5  # a change of contrast would change nothing
    weight = picture(len(representation.code(x)), dtype=torch.float64)
    (g,) = torch.autograd.grad(representation.code(x) @ weight, x)
    ahead, behind = (representation.code((x + h * direction).detach()) @ weight for h in (1e-6, -1e-6))
    assert float((g * direction).sum()) == pytest.approx(float((ahead - behind) / 2e-6), rel=1e-4)


def test_descriptors_have_length_one_and_none_where_it_is_flat() -> None:
    x = torch.full((3, 40, 40), 0.5)
    x[:, :, 24:] = picture(3, 40, 16)
    lengths = DenseSift().descriptors(x).norm(dim=0)
    assert lengths.shape == (8, 8)
    assert not lengths[:, 0].any() and torch.allclose(lengths[:, 4:], torch.ones(8, 4))


def test_brighter_and_stronger_is_the_same_to_sift() -> None:
    x = picture(3, 24, 24)
    assert torch.allclose(DenseSift().code(x), DenseSift().code(0.5 * x + 0.3), atol=1e-5)


@pytest.mark.parametrize("assignment", ["soft", "hard"])
def test_words_of_each_part_add_up_to_one(assignment: str) -> None:
    code = BagOfWords(assignment, levels=2).code(picture(3, 32, 32))  # type: ignore[arg-type]
    assert len(code) == 256 * (1 + 4)
    assert torch.allclose(code[256:].view(256, 4).sum(0), torch.ones(4)) and float(code[:256].sum()) == pytest.approx(1)


def test_a_hard_word_is_the_nearest() -> None:
    x = picture(1, 16, 16)
    descriptors = DenseSift().descriptors(x).flatten(1).T
    nearest = torch.cdist(descriptors, weights("words")["words"]).argmin(1)
    counted = torch.bincount(nearest, minlength=256) / len(nearest)
    assert torch.allclose(BagOfWords("hard").code(x), counted)


def test_what_is_hard_has_no_derivative() -> None:
    assert not BagOfWords("hard").code(picture(1, 16, 16).requires_grad_()).requires_grad


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_each_is_found_by_its_name_and_refuses_what_is_too_small(name: str) -> None:
    found = representation_called(name)
    assert found.name == name and found == representation_called(name) and isinstance(found, Representation)
    found.check((1, 28, 28))
    with pytest.raises(BadParameter, match=r"15 by 15 pixels .* 16 by 16; take"):
        found.check((3, 15, 15))


@pytest.mark.parametrize(("levels", "side"), [(1, 16), (2, 16), (3, 24), (4, 40)])
def test_the_smallest_picture_for_a_pyramid_has_a_code_and_a_smaller_one_is_refused(levels: int, side: int) -> None:
    bag = BagOfWords(levels=levels)
    bag.check((1, side, side))
    assert DenseSift().descriptors(picture(1, side, side)).shape[-1] >= 2 ** (levels - 1)
    with pytest.raises(BadParameter, match="pixels"):
        bag.check((1, side - 1, side))


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(BadParameter, match=r"'surf'; there are hog, dsift, bag_of_words"):
        representation_called("surf")
    with pytest.raises(BadParameter, match="5 levels"):
        BagOfWords(levels=5)
    with pytest.raises(BadParameter, match="stride of 0"):
        DenseSift(stride=0)


@pytest.mark.parametrize("name", ["words", "dictionary"])
def test_what_is_kept_has_its_digest_and_is_small(name: str) -> None:
    path = path_of(name)
    said, file = path.with_name(f"{path.name}.sha256").read_text().split()
    assert file == path.name and hashlib.sha256(path.read_bytes()).hexdigest() == said
    assert path.stat().st_size < 1_000_000


def test_they_are_there_without_torch() -> None:
    program = (
        "import sys, rakinglight.representations; sys.exit(bool({'torch', 'kornia', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
