"""Steps as torch.optim takes them, and what is done to a picture between them."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from rakinglight.energy import Adam, Momentum, descent_of
from rakinglight.energy.pieces import Blur, ClipSmallContribution, ClipSmallNorm

Z = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def slope(z: Tensor) -> Tensor:
    """Of sum z^4 / 4 - z."""
    return z**3 - 1


def test_adam_steps_as_torch_does() -> None:
    ours, theirs = Z.clone(), Z.clone().requires_grad_()
    descent, optimizer = Adam(0.03), torch.optim.Adam([theirs], lr=0.03)
    for _ in range(30):
        ours = descent.step(ours, slope(ours))
        theirs.grad = slope(theirs.detach())
        optimizer.step()
        torch.testing.assert_close(ours, theirs.detach())


def test_momentum_steps_as_torch_does_by_eta_times_the_values_of_a_row() -> None:
    ours, theirs = Z.clone(), Z.clone().requires_grad_()
    descent, optimizer = Momentum(1e-3, 0.9), torch.optim.SGD([theirs], lr=1e-3 * 60, momentum=0.9)
    for _ in range(30):
        ours = descent.step(ours, slope(ours))
        theirs.grad = slope(theirs.detach())
        optimizer.step()
        torch.testing.assert_close(ours, theirs.detach())


@pytest.mark.parametrize("kind", ["adam", "momentum"])
def test_each_row_goes_its_own_way(kind: str) -> None:
    together, alone = (descent_of(kind, 0.01) for _ in range(2))  # type: ignore[arg-type]
    both, second = Z, Z[1:]
    for _ in range(5):
        both, second = together.step(both, slope(both)), alone.step(second, slope(second))
    assert torch.equal(both[1:], second)


# ── pieces ──────────────────────────────────────────────────────────────────────────────────────────────────────────

#: Lengths from the mean of 0.5: 0.1 to 0.6 of six pixels.
MEAN = torch.full((1, 1, 1), 0.5)
PIXELS = torch.tensor([[0.6, 0.3, 0.8], [0.1, 1.0, -0.1]]).view(1, 1, 2, 3)


def test_the_pixels_of_the_smallest_norm_become_nothing() -> None:
    found = ClipSmallNorm(MEAN, 0.5)(1, PIXELS, PIXELS)
    assert found.flatten().tolist() == pytest.approx([0.5, 0.5, 0.5, 0.1, 1.0, -0.1])


def test_the_pixels_of_the_smallest_contribution_become_nothing() -> None:
    g = torch.tensor([[60.0, 5.0, 1.0], [0.0, -2.0, 1.0]]).view(1, 1, 2, 3)  # 6, 1, 0.3, 0, 1, 0.6
    found = ClipSmallContribution(MEAN, 0.5)(1, PIXELS, g)
    assert found.flatten().tolist() == pytest.approx([0.6, 0.3, 0.5, 0.5, 1.0, 0.5])


def test_channels_count_together() -> None:
    x = torch.tensor([[0.5, 0.9], [0.5, 0.5], [0.7, 0.5]]).view(1, 3, 1, 2)
    mean = torch.full((3, 1, 1), 0.5)
    assert ClipSmallNorm(mean, 0.5)(1, x, x)[0, :, 0].tolist() == [
        pytest.approx([0.5, 0.9]),
        pytest.approx([0.5, 0.5]),
        pytest.approx([0.5, 0.5]),
    ]
    g = torch.tensor([[1.0, 1.0], [1.0, 1.0], [5.0, 1.0]]).view(1, 3, 1, 2)
    assert ClipSmallContribution(mean, 0.5)(1, x, g)[0, 0, 0].tolist() == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("piece", [ClipSmallNorm, ClipSmallContribution])
def test_of_no_share_nothing_is_cleared_and_rows_do_not_touch(piece: type[ClipSmallNorm]) -> None:
    x, g = Z, slope(Z)
    mean = torch.full((3, 1, 1), 0.5, dtype=torch.float64)
    assert torch.equal(piece(mean, 0.0)(1, x, g), x)
    both = piece(mean, 0.3)(1, x, g)
    assert torch.equal(both[1:], piece(mean, 0.3)(1, x[1:], g[1:]))
    assert (both == mean).all(1).flatten(1).sum(1).tolist() == [6, 6]


def test_it_is_blurred_every_so_many_steps() -> None:
    blur, x = Blur(1.0, 3), torch.zeros(1, 1, 11, 11)
    x[0, 0, 5, 5] = 1
    assert [torch.equal(blur(t, x, x), x) for t in range(1, 7)] == [True, True, False, True, True, False]
    k = (-0.5 * torch.arange(-4.0, 5) ** 2).exp()
    k = k / k.sum()
    expected = conv2d(x, (k[:, None] * k)[None, None], padding=4)
    torch.testing.assert_close(blur(3, x, x), expected)
    assert torch.equal(Blur(0.0, 1)(1, x, x), x)
