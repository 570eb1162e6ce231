"""The descent that all of them share: ask for the slope of the loss, add those of the terms, take a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rakinglight.energy.canvas import Canvas
from rakinglight.energy.descent import Descent
from rakinglight.energy.pieces import Piece
from rakinglight.energy.terms import Term
from rakinglight.inverted import Inverted
from rakinglight.noise import Noise
from rakinglight.queries import Algorithm, Progress, State

if TYPE_CHECKING:
    from torch import Tensor

#: What a loss is to the descent: it is given rows [n, C, H, W], asks what it has to, and returns the loss of each [n]
#: and its slope [n, C, H, W].
Ask = Callable[["Tensor"], Algorithm["tuple[Tensor, Tensor]"]]


def minimize(
    canvas: Canvas,
    ask: Ask,
    terms: Sequence[Term],
    descent: Descent,
    *,
    steps: int,
    noise: Noise,
    jitter: int = 0,
    pieces: Sequence[Piece] = (),
    decays: Sequence[float] = (),
    made: Callable[[Tensor, Sequence[Sequence[float]]], Inverted] = Inverted,
    known: State | None = None,
    state: State | None = None,
) -> Algorithm[Inverted]:
    """Minimise the energy of all rows of `canvas`, each its own: the pictures [n, C, H, W], and the energy's trace.

    jitter  pixels by which the rows are shifted, at random and around, each time before they are seen: what is found
            does not depend on where the network's strides fall (Mordvintsev et al. 2015)
    pieces  what is done to the rows after each step; of a canvas of pixels
    decays  factors of the step's length, each for an equal share of the steps
    made    pictures and trace -> what is returned, and what is there to show at each step
    known   what its states keep beside its own, for who is taken up again
    state   from which to go on, as its Progress had it
    """
    t, trace = 0, list[list[float]]()
    if state is not None:
        t, trace, canvas.z = state["step"], [list(one) for one in state["trace"]], state["z"].clone()
        descent.state = dict(state["descent"])
        noise.go_on(state["noise"])
    while t < steps:
        x = canvas.image()
        dy, dx = _shift(noise, x, jitter)
        value, g = yield from ask(x.roll((dy, dx), (-2, -1)))
        g = g.roll((-dy, -dx), (-2, -1))
        energy, slope = _with_terms(x, terms, value, g)
        step = descent.step(canvas.z, canvas.slope(slope))
        share = decays[t * len(decays) // steps] if decays else 1.0
        canvas.z = canvas.z + share * (step - canvas.z)
        canvas.settle()
        t += 1
        for piece in pieces:
            canvas.z = piece(t, canvas.z, slope)
        trace.append(energy.tolist())
        kept = {**(known or {}), "z": canvas.z, "descent": dict(descent.state), "trace": trace, "noise": noise.state}
        yield Progress(t, steps, min(trace[-1]), made(canvas.image(), trace), kept)
    return made(canvas.image(), trace)


def _with_terms(x: Tensor, terms: Sequence[Term], value: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """The energy of each row [n], and its slope [n, C, H, W]: value and g are the loss's."""
    import torch

    if not terms:
        return value, g
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        R = torch.stack([term(x) for term in terms]).sum(0)
        (slope,) = torch.autograd.grad(R.sum(), x)
    return value + R.detach(), g + slope


def _shift(noise: Noise, x: Tensor, jitter: int) -> tuple[int, int]:
    if not jitter:
        return 0, 0
    dy, dx = (noise.uniform(x.new_empty(2), -jitter, jitter + 1)).floor().int().tolist()
    return dy, dx
