"""Square attack: random search that asks for scores alone."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rakinglight.noise import Noise
from rakinglight.norms import NORMS
from rakinglight.objectives import Goal, Margin, Objective
from rakinglight.parameters import Epsilon, InitialShare, NormChoice, Queries
from rakinglight.queries import Algorithm, Forward, Progress, State

if TYPE_CHECKING:
    from torch import Tensor

#: The queries of 10,000 after which the squares' area is halved (section 5).
HALVED_AFTER = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


def any_row(row: "Tensor") -> "Algorithm[Tensor | None]":
    """Takes whatever reaches the goal."""
    yield from ()
    return row


def square(
    x: "Tensor",
    goal: Goal,
    noise: Noise,
    state: State | None = None,
    accept: "Callable[[Tensor], Algorithm[Any | None]]" = any_row,
    *,
    norm: NormChoice = "linf",
    epsilon: Epsilon = 8 / 255,
    queries: Queries = 5000,
    p_init: InitialShare = 0.8,
) -> "Algorithm[Tensor]":
    """Random squares, each kept if it makes the model less sure: for models that give scores and no gradients.

    Andriushchenko et al., "Square Attack: a query-efficient black-box adversarial attack via random search", ECCV 2020,
    algorithms 1, 2 (linf) and 3 (l2). It ends at the first image that reaches the goal and is accepted.

    x       [C, H, W], pixels in [0, 1]
    goal    the label to leave, or the target to reach
    noise   the run's own random numbers
    state   from which to go on, as its Progress had it
    accept  takes a row [C, H, W] that reaches the goal, or gives None for it: then the search goes on. What it asks
            itself is not counted among the queries
    Returns an image of x's shape, within epsilon of x, pixels in [0, 1].
    """
    from torch import equal

    ball, eps, N = NORMS[norm], epsilon, queries
    start, propose = (stripes, recoloured) if norm == "linf" else (tiles, moved)
    # Section 3: the margin, or, towards a target, its cross-entropy. Here both are climbed.
    L: Objective = Margin(goal.label) if goal.target is None else goal.loss
    done, x_best, L_best = 0, x, -math.inf
    if state:
        done, x_best, L_best = state["step"], state["best"], state["objective"]
        noise.go_on(state["noise"])
    for i in range(done, N):
        delta = propose(x_best - x, eps, side(x, i / N, p_init), noise) if i else start(x, eps, noise)
        x_new = (x + ball.project(delta, eps)).clamp(0, 1)
        if i and equal(x_new, x_best):
            continue  # the answer is known
        logits = (yield Forward(x_new)).logits
        if goal.reached(logits) and (yield from accept(x_new)) is not None:
            return x_new
        L_new = float(L(logits[None]))
        if L_new > L_best:
            x_best, L_best = x_new, L_new
        yield Progress(i + 1, N, L_best, best=x_best, state={"noise": noise.state})
    return x_best


def side(x: "Tensor", spent: float, p_init: float) -> int:
    """The side of the square whose area is p of the image's, at least one pixel and at most the image's shorter side.

    spent  the share of the queries that is spent: p is halved as it grows
    """
    p = p_init / 2 ** sum(spent * 10_000 > after for after in HALVED_AFTER)
    H, W = x.shape[-2:]
    return min(max(round(math.sqrt(p * H * W)), 1), H, W)


# ── linf: algorithm 2 ───────────────────────────────────────────────────────────────────────────────────────────────


def stripes(x: "Tensor", eps: float, noise: Noise) -> "Tensor":
    """Where the search begins: each column of each channel all -eps or all eps."""
    return (eps * signs(x[:, :1], noise)).expand_as(x)


def recoloured(delta: "Tensor", eps: float, h: int, noise: Noise) -> "Tensor":
    """`delta` with a random square of side h that is -eps or eps throughout, by channel."""
    rows, columns = place(delta, h, noise)
    delta = delta.clone()
    delta[:, rows, columns] += 2 * eps * signs(delta[:, :1, :1], noise)
    return NORMS["linf"].project(delta, eps)


# ── l2: algorithm 3 ─────────────────────────────────────────────────────────────────────────────────────────────────


def tiles(x: "Tensor", eps: float, noise: Noise) -> "Tensor":
    """Where the search begins: tiles, their sides a fifth of the image's shorter one, each a bump and a hollow."""
    delta = x * 0
    H, W = x.shape[-2:]
    h = max(min(H, W) // 5, 1)
    for top in range(H % h // 2, H - h + 1, h):
        for left in range(W % h // 2, W - h + 1, h):
            delta[:, top : top + h, left : left + h] = eta(x, h, noise) * signs(x[:, :1, :1], noise)
    return eps * NORMS["l2"].direction(delta)


def moved(delta: "Tensor", eps: float, h: int, noise: Noise) -> "Tensor":
    """`delta` with what two random windows have, and what may still be spent, put into the first as a new bump."""
    h = min(max(h, 3) | 1, *delta.shape[-2:])  # odd: the bump has a middle
    W_1, W_2 = place(delta, h, noise), place(delta, h, noise)
    unused = (eps**2 - (delta**2).sum()).clamp(min=0)
    both = delta.clone()
    both[:, W_1[0], W_1[1]] = both[:, W_2[0], W_2[1]] = 0
    available = ((delta**2 - both**2).sum((1, 2), keepdim=True) + unused / len(delta)).sqrt()
    temp = eta(delta, h, noise) * signs(delta[:, :1, :1], noise) + by_channel(delta[:, W_1[0], W_1[1]])
    both[:, W_1[0], W_1[1]] = by_channel(temp) * available
    return both


def by_channel(delta: "Tensor") -> "Tensor":
    """`delta` with every channel of it [h, w] scaled to size 1; one of zeros stays."""
    return delta / (delta**2).sum((1, 2), keepdim=True).sqrt().clamp(min=1e-12)


def eta(x: "Tensor", h: int, noise: Noise) -> "Tensor":
    """Equation 2: a square [h, h] of two bumps of opposite sign, side by side or one above the other; its size is 1."""
    import torch

    def bump(k: int) -> "Tensor":
        """[h, k]: rings around the middle, each 1/(d + 1)^2 higher than the one outside it."""
        height = (1 / torch.arange(1, h // 2 + 2, dtype=torch.float64) ** 2).flip(0).cumsum(0).flip(0)
        r, s = (torch.arange(h) - h // 2).abs(), (torch.arange(k) - k // 2).abs()
        return height[torch.maximum(r[:, None], s)]

    both = torch.cat([bump(h // 2), -bump(h - h // 2)], 1)
    both = (both / (both**2).sum().sqrt()).to(x)
    return both.T if noise.uniform(x.new_empty(()), 0, 1) < 0.5 else both


# ── both ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def signs(like: "Tensor", noise: Noise) -> "Tensor":
    """-1 or 1 at random, in `like`'s shape."""
    return (noise.uniform(like, -1, 1) >= 0).to(like) * 2 - 1


def place(x: "Tensor", h: int, noise: Noise) -> tuple[slice, slice]:
    """The rows and columns of a square of side h, anywhere in the image alike."""
    u, v = noise.uniform(x.new_empty(2), 0, 1).tolist()
    H, W = x.shape[-2:]
    # In float32 a draw just under 1 times the places there are may come to one more.
    top, left = min(int(u * (H - h + 1)), H - h), min(int(v * (W - h + 1)), W - h)
    return slice(top, top + h), slice(left, left + h)
