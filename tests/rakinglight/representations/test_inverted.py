"""`invert` of what no network says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rakinglight.algorithms.invert import invert
from rakinglight.engine import Engine
from rakinglight.inverted import Inverted
from rakinglight.noise import Noise
from rakinglight.representations import representation_called
from rakinglight.representations.dictionary import dictionary_inverse
from rakinglight.representations.hog import Hog
from rakinglight.subject import Subject
from tests.networks import network_of

SHAPE = (1, 28, 28)
#: A ring, as a digit's.
DOWN, ACROSS = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
RING = (-((((DOWN - 13.5) ** 2 + (ACROSS - 13.5) ** 2).sqrt() - 8) ** 2) / 4).exp()[None]


def found(steps: int = 30, **parameters: Any) -> Inverted:
    network = network_of("any", nn.Sequential(nn.Flatten(), nn.Linear(784, 2)), SHAPE)
    subject = Subject.of(network.card, RING.numpy())
    made = invert(x=RING, subject=subject, card=network.card, noise=Noise(0), steps=steps, **parameters)
    return Engine([network]).drive(made)


def error(y: Tensor, name: str) -> float:
    """The feature error, over that of a flat picture."""
    code = representation_called(name).code
    flat, wanted = torch.full(SHAPE, 0.5), code(RING)
    return float((code(y) - wanted).square().sum() / (code(flat) - wanted).square().sum())


@pytest.mark.parametrize(("name", "share"), [("hog", 0.3), ("dsift", 0.8), ("bag_of_words", 0.9)])
def test_it_goes_down_from_a_flat_picture_although_no_slope_is_there(name: str, share: float) -> None:
    made = found(representation=name)
    assert made.trace[-1][0] < share * made.trace[0][0]


def test_the_prior_dictionary_is_the_dictionary_and_takes_no_steps() -> None:
    made = found(representation="hog", prior="dictionary")
    assert torch.equal(made.image, dictionary_inverse(Hog().code(RING), SHAPE))
    assert len(made.trace) == 0 and made.original is not None


def test_hog_comes_back_nearer_by_descent_than_by_the_dictionary() -> None:
    by_descent, by_dictionary = (
        error(found(100, representation="hog", prior=prior).image, "hog") for prior in ("natural", "dictionary")
    )
    assert by_descent < by_dictionary / 2
