"""The descent: each start its own, cut off anywhere and taken up again, shifted and shifted back."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from rakinglight.energy import Adam, Fourier, Momentum, Near, Pixels, TotalVariation, minimize
from rakinglight.energy.pieces import Blur
from rakinglight.inverted import Inverted
from rakinglight.noise import Noise
from rakinglight.queries import Algorithm, Forward, Progress
from rakinglight.states import to_arrays, to_tensors

WANTED = torch.rand(3, 6, 8, generator=torch.Generator().manual_seed(0))
STARTS = 0.3 + 0.4 * torch.rand(2, 3, 6, 8, generator=torch.Generator().manual_seed(1))
TERMS = (Near(torch.full((3, 6, 8), 0.5), 0.01), TotalVariation(1e-3))

Begin = Callable[..., Algorithm[Inverted]]


def ask(x: Tensor) -> Algorithm[tuple[Tensor, Tensor]]:
    """A squared distance, as if a network had been asked."""
    yield Forward(x)
    return (x - WANTED).square().sum((1, 2, 3)), 2 * (x - WANTED)


def finished(algorithm: Algorithm[Inverted]) -> tuple[Inverted, list[Any], list[Tensor]]:
    """The result, the states on the way, and what was asked about."""
    states, rows = [], []
    try:
        while True:
            asked = next(algorithm)
            if isinstance(asked, Progress):
                states.append(to_arrays({**asked.state, "step": asked.step}))  # type: ignore[dict-item]
            else:
                rows.append(asked.rows)
    except StopIteration as done:
        return done.value, states, rows


def begin(x: Tensor = STARTS, state: Any = None, canvas: Any = Pixels, descent: Any = None, **how: Any) -> Any:
    descent = descent or Adam(0.02)
    return minimize(canvas(x.clone()), ask, TERMS, descent, steps=8, noise=Noise(3), state=state, **how)


WAYS = [
    pytest.param({}, id="pixels by Adam"),
    pytest.param({"descent": lambda: Momentum(1e-4), "jitter": 2}, id="jitter and momentum"),
    pytest.param({"canvas": Fourier, "decays": (1, 0.5, 0.1)}, id="a spectrum, decaying"),
    pytest.param({"pieces": (Blur(0.5, 3),)}, id="pieces"),
]


def made(how: dict[str, Any]) -> dict[str, Any]:
    """A descent remembers, so each run has its own."""
    return {**how, "descent": how["descent"]()} if "descent" in how else how


@pytest.mark.parametrize("how", WAYS)
def test_from_any_state_it_comes_to_the_same_bits(how: dict[str, Any]) -> None:
    whole, states, rows = finished(begin(**made(how)))
    assert len(states) == len(rows) == len(whole.trace) == 8
    for t, state in enumerate(states, 1):
        again, further, asked = finished(begin(state=to_tensors(state), **made(how)))
        assert torch.equal(again.images, whole.images)
        assert again.trace == whole.trace
        assert [state["step"] for state in further] == list(range(t + 1, 9))
        assert all(map(torch.equal, asked, rows[t:]))


@pytest.mark.parametrize("how", WAYS)
def test_starts_together_go_where_each_goes_alone(how: dict[str, Any]) -> None:
    together = finished(begin(**made(how)))[0]
    for i in range(2):
        alone = finished(begin(STARTS[i : i + 1], **made(how)))[0]
        torch.testing.assert_close(alone.images[0], together.images[i], rtol=0, atol=1e-6)
        torch.testing.assert_close(torch.tensor(alone.trace)[:, 0], torch.tensor(together.trace)[:, i])


def test_what_is_seen_is_shifted_around_and_what_is_found_is_not() -> None:
    rows = finished(begin(jitter=2, descent=Momentum(1e-30)))[2]
    shifts = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)]
    fits = [[s for s in shifts if torch.allclose(row.roll((-s[0], -s[1]), (-2, -1)), STARTS)] for row in rows]
    assert all(len(found) == 1 for found in fits)
    assert len({found[0] for found in fits}) > 3
    assert finished(begin(jitter=2, descent=Momentum(1e-30)))[0].images.allclose(STARTS)


def test_a_slope_is_rolled_back_to_where_its_pixel_is() -> None:
    def one_pixel(x: Tensor) -> Algorithm[tuple[Tensor, Tensor]]:
        """Of the brightest pixel, wherever it is."""
        yield Forward(x)
        g = (x == x.amax((1, 2, 3), keepdim=True)).float()
        return x.amax((1, 2, 3)), g

    x = torch.full((1, 1, 9, 9), 0.5)
    x[0, 0, 4, 7] = 0.9
    found = finished(minimize(Pixels(x.clone()), one_pixel, (), Adam(0.01), steps=5, noise=Noise(0), jitter=4))[0]
    assert found.images[0, 0, 4, 7].item() == pytest.approx(0.85, abs=1e-4)
    assert found.images.isclose(x).sum() == 80


def test_the_trace_is_the_energy_before_each_step() -> None:
    whole = finished(begin())[0]
    energy = (STARTS - WANTED).square().sum((1, 2, 3)) + sum(term(STARTS) for term in TERMS)
    assert whole.trace[0] == pytest.approx(energy.tolist())
    assert all(late < early for early, late in zip(whole.trace[0], whole.trace[-1], strict=True))


def test_it_steps_down_the_energys_slope() -> None:
    x = STARTS.clone().requires_grad_()
    energy = (x - WANTED).square().sum((1, 2, 3)) + sum(term(x) for term in TERMS)
    (g,) = torch.autograd.grad(energy.sum(), x)
    found = finished(minimize(Pixels(STARTS), ask, TERMS, Momentum(1e-5), steps=1, noise=Noise(0)))[0]
    torch.testing.assert_close(found.images, STARTS - 1e-5 * g[0].numel() * g)


def test_a_share_of_the_steps_is_shorter() -> None:
    def flat(x: Tensor) -> Algorithm[tuple[Tensor, Tensor]]:
        yield Forward(x)
        return x.sum((1, 2, 3)), torch.ones_like(x)

    x = torch.full((1, 1, 2, 2), 0.9)
    how: dict[str, Any] = {"steps": 6, "noise": Noise(0), "decays": (1, 0.1, 0)}
    found = finished(minimize(Pixels(x), flat, (), Adam(0.01), **how))[0]
    torch.testing.assert_close(found.images, x - 2 * 0.01 - 2 * 0.001)


def test_what_is_known_stands_in_every_state_and_the_best_is_what_it_has_made() -> None:
    how: dict[str, Any] = {"known": {"phi": torch.ones(2)}, "made": lambda x, trace: Inverted(x, trace, {"by": "me"})}
    told = [asked for asked in begin(**how) if isinstance(asked, Progress)]
    assert all(torch.equal((progress.state or {})["phi"], torch.ones(2)) for progress in told)
    assert told[-1].best.said == {"by": "me"}
    assert [progress.objective for progress in told] == [min(energies) for energies in told[-1].best.trace]
    assert {progress.of for progress in told} == {8}
