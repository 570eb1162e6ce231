"""A substitute while it learns: against torch's own Adam, from a state, and in an archive."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from rakinglight.archives import load_network, read_card
from rakinglight.network import Network
from rakinglight.noise import Noise
from rakinglight.queries import Scores
from rakinglight.substitutes.architectures import ARCHITECTURES, Architecture, averaged, cell
from rakinglight.substitutes.archive import name_of, packed
from rakinglight.substitutes.student import Student

SHAPE = (3, 8, 8)


def student(architecture: Architecture = "convolutional", seed: int = 0, side: int | None = None) -> Student:
    return Student(architecture, SHAPE, 5, side, Noise(seed))


def pictures(n: int = 6) -> Tensor:
    return torch.randint(0, 256, (n, *SHAPE), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("shape", "side", "seen"),
    [
        ((1, 32, 32), None, (1, 16, 16)),
        ((3, 224, 224), None, (3, 32, 32)),
        ((3, 224, 224), 56, (3, 56, 56)),
        ((3, 299, 200), None, (3, 30, 20)),
        ((1, 1, 2), None, (1, 1, 1)),
        ((1, 1, 2), 2, (1, 1, 2)),
    ],
)
def test_images_are_averaged_to_a_side_that_is_asked_for(
    shape: tuple[int, int, int], side: int | None, seen: tuple[int, int, int]
) -> None:
    assert averaged(shape, cell(shape, side)) == seen


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_learns_a_few_pictures_by_heart(architecture: Architecture) -> None:
    x, y, one = pictures(), torch.tensor([0, 1, 2, 3, 4, 0]), student(architecture)
    for _ in range(150):
        one.learn(one.small(x), y, 1e-2)
    assert one.answers(x).argmax(1).tolist() == y.tolist()


def test_a_step_is_the_adam_of_torch() -> None:
    x, y, one, other = pictures(), torch.tensor([0, 1, 2, 3, 4, 0]), student(), student()
    adam = torch.optim.Adam(other.module.parameters(), lr=1e-2)
    for _ in range(5):
        one.learn(one.small(x), y, 1e-2)
        adam.zero_grad()
        torch.autograd.backward(torch.nn.functional.cross_entropy(other.module((x.float() / 255 - 0.5) / 0.5), y))
        adam.step()
    for mine, theirs in zip(one.weights, other.weights, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-2, atol=1e-3)


def test_the_first_weights_are_the_noise_s_own_and_nobody_elses_generator_is_touched() -> None:
    before = torch.random.get_rng_state()
    first, again, other = student(seed=3), student(seed=3), student(seed=4)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.weights, again.weights, strict=True))
    assert not torch.equal(first.weights[0], other.weights[0])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_zoo_loads_its_archive_and_answers_as_it_did(
    architecture: Architecture, small_convolution: Network, tmp_path: Path
) -> None:
    one, x = student(architecture), pictures()
    path = tmp_path / f"{name_of('small')}.mar"
    path.write_bytes(packed(one, small_convolution.card, 123))
    assert path.read_bytes() == packed(one, small_convolution.card, 123)
    card = read_card(path)
    assert (card.name, card.labels, card.input_shape) == ("small-substitute", small_convolution.card.labels, SHAPE)
    assert card.differentiable
    assert "123 answers" in card.provenance
    scores: Scores = load_network(path).forward.forward(x.float() / 255)
    torch.testing.assert_close(scores.logits.float(), one.answers(x), rtol=1e-4, atol=1e-5)
