"""The balls that attacks stay in."""

import pytest
import torch

from rakinglight.noise import Noise
from rakinglight.norms import NORMS, NormName, unit

noise = torch.Generator().manual_seed(0)
ROWS = torch.randn(6, 3, 5, 4, generator=noise, dtype=torch.float64)

each_norm = pytest.mark.parametrize("name", NORMS)


@pytest.mark.parametrize(("name", "expected"), [("linf", 4.0), ("l2", 5.0)])
def test_size_of_a_three_four_five_image(name: NormName, expected: float) -> None:
    delta = torch.tensor([[[3.0, 0.0], [0.0, -4.0]]])
    assert NORMS[name].size(delta).item() == expected


@each_norm
def test_the_direction_has_size_one_and_is_steepest(name: NormName) -> None:
    norm = NORMS[name]
    direction = norm.direction(ROWS)
    assert torch.allclose(norm.size(direction), torch.ones(6, dtype=torch.float64))
    others = norm.project(10 * torch.randn(200, 3, 5, 4, generator=noise, dtype=torch.float64), 1.0)
    assert ((others * ROWS[0]).flatten(1).sum(1) <= (direction[0] * ROWS[0]).sum()).all()


@each_norm
def test_a_gradient_of_zero_has_no_direction(name: NormName) -> None:
    assert (NORMS[name].direction(torch.zeros(3, 2, 2)) == 0).all()


@each_norm
@pytest.mark.parametrize("scale", [1e-30, 1e-10, 1e10])
def test_the_direction_does_not_depend_on_the_length(name: NormName, scale: float) -> None:
    norm, g = NORMS[name], ROWS.float()
    torch.testing.assert_close(norm.direction(scale * g), norm.direction(g))


@each_norm
def test_what_is_inside_the_ball_stays_to_the_bit(name: NormName) -> None:
    norm = NORMS[name]
    inside = ROWS / norm.size(ROWS)[:, None, None, None] * 0.99
    assert torch.equal(norm.project(inside, 1.0), inside)


@each_norm
@pytest.mark.parametrize("eps", [0.0, 1e-3, 8 / 255, 1.0])
def test_projection_reaches_the_ball_and_is_the_nearest_point(name: NormName, eps: float) -> None:
    norm = NORMS[name]
    projected = norm.project(ROWS, eps)
    assert (norm.size(projected) <= eps * (1 + 1e-12)).all()
    # No other point of the ball is nearer: the angle at the projection is never acute.
    others = norm.project(10 * torch.randn(50, 6, 3, 5, 4, generator=noise, dtype=torch.float64), eps)
    assert (((ROWS - projected) * (others - projected)).flatten(-3).sum(-1) <= 1e-9).all()


@each_norm
def test_a_rows_result_is_its_own(name: NormName) -> None:
    norm = NORMS[name]
    for i, row in enumerate(ROWS):
        assert torch.equal(norm.size(ROWS)[i], norm.size(row))
        assert torch.equal(norm.direction(ROWS)[i], norm.direction(row))
        assert torch.equal(norm.project(ROWS, 0.1)[i], norm.project(row, 0.1))


@each_norm
def test_unit_is_the_gradient_itself_at_norm_one(name: NormName) -> None:
    norm, g = NORMS[name], ROWS[0]
    assert norm.size(unit(norm, g)).item() == pytest.approx(1)
    torch.testing.assert_close(unit(norm, g) * norm.size(g), g)
    torch.testing.assert_close(unit(norm, 1e-30 * g.float()), unit(norm, g.float()))
    assert (unit(norm, 0 * g) == 0).all()


@each_norm
def test_random_points_fill_the_ball_evenly(name: NormName) -> None:
    norm, noise, like, eps = NORMS[name], Noise(0), torch.zeros(1, 1, 3, dtype=torch.float64), 0.7
    points = torch.stack([norm.random(noise, like, eps) for _ in range(3000)])
    # Of a ball in three dimensions a share of r^3 lies within r of the middle: these are uniform on [0, 1].
    shares = (norm.size(points) / eps) ** 3
    assert shares.max() <= 1 + 1e-12
    for level in (0.1, 0.5, 0.9):
        assert (shares < level).double().mean().item() == pytest.approx(level, abs=0.03)
    assert points.mean(0).abs().max() < 0.03


@each_norm
def test_a_random_point_follows_the_seed(name: NormName) -> None:
    one, same, other = (NORMS[name].random(Noise(seed), ROWS[0], 0.1) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert (one.shape, one.dtype) == (ROWS[0].shape, ROWS[0].dtype)
