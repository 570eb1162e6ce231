"""Compositional pattern-producing networks: pictures as small graphs of functions of the place, and how they evolve.

Stanley, "Compositional Pattern Producing Networks", Genetic Programming and Evolvable Machines 2007. A picture is what
a graph puts out at each place: composed of smooth and periodic functions, it has symmetries and repetitions, as things
have. The graph grows as in NEAT (Stanley and Miikkulainen 2002): links and nodes are added to what was there.

A graph is one tensor [NODES, 1 + NODES]: its nodes in an order in which each is fed by earlier ones alone, the place
first and what is seen last, with a function (an index of FUNCTIONS) and a weight for each node before it; 0 is no link.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from rakinglight.noise import Noise

#: What is known of a place: x and y in [-1, 1], the distance from the middle, and that it is one.
INPUTS = 4
#: Nodes between those and what is seen, at most.
HIDDEN = 20
#: What a node may be, by index.
FUNCTIONS = ("sine", "cosine", "gaussian", "sigmoid", "linear")
#: In a child: the share of links whose weight changes, by how much (its standard deviation), and how often a link is
#: added, one is taken away, a node is put into a link, a node gets another function. Published are none of these.
WEIGHTS, STRENGTH, LINK, UNLINK, NODE, FUNCTION = 0.4, 0.7, 0.3, 0.05, 0.25, 0.05
#: Standard deviation of a new weight.
NEW = 1.5


def nodes(channels: int) -> int:
    """How many nodes a graph has that paints so many channels."""
    return INPUTS + HIDDEN + channels


def first_graphs(n: int, channels: int, noise: Noise) -> Tensor:
    """Graphs [n, NODES, 1 + NODES] that have no node between the place and what is seen."""
    import torch

    N = nodes(channels)
    graphs = torch.zeros(n, N, 1 + N)
    seen = graphs[:, -channels:]
    seen[:, :, 0] = noise.uniform(seen[:, :, 0], 0, len(FUNCTIONS)).floor()
    seen[:, :, 1 : 1 + INPUTS] = NEW * noise.normal(seen[:, :, 1 : 1 + INPUTS])
    return graphs


def mutated_graphs(graphs: Tensor, channels: int, noise: Noise) -> Tensor:
    """A child of each of `graphs` [n, NODES, 1 + NODES]. Each takes the same number of draws."""
    import torch

    graphs = graphs.clone()
    n, N = graphs.shape[:2]
    W, each = graphs[:, :, 1:], torch.arange(n)
    late = torch.ones(N, N).tril(-1).bool()  # a node is fed by earlier ones
    late[:INPUTS] = False

    def with_probability(p: float) -> Tensor:
        return noise.uniform(W[:, 0, 0], 0, 1) < p

    def drawn(allowed: Tensor) -> tuple[Tensor, Tensor]:
        """One of those allowed in each row of [n, k], and whether there is one."""
        luck = noise.uniform(allowed.float(), 0, 1).where(allowed, torch.tensor(-1.0))
        return luck.argmax(1), allowed.any(1)

    changed = (noise.uniform(W, 0, 1) < WEIGHTS) & (W != 0)
    W += changed * STRENGTH * noise.normal(W)
    other = noise.uniform(W[:, :, 0], 0, 1) < FUNCTION
    functions = noise.uniform(W[:, :, 0], 0, len(FUNCTIONS)).floor()
    graphs[:, :, 0] = graphs[:, :, 0].where(~other, functions)

    # A node into a link j -> i: the old weight behind it, and 1 before it.
    link, there = drawn((W != 0).flatten(1))
    i, j = link // N, link % N
    place = torch.arange(N)
    k, free = drawn((place > j[:, None]) & (place < i[:, None]) & ~used(W, channels))
    chosen = with_probability(NODE) & there & free
    each, i, j, k = (values[chosen] for values in (each, i, j, k))
    W[each, i, k], W[each, k, j], W[each, i, j] = W[each, i, j], 1.0, 0.0
    graphs[each, k, 0] = functions[each, k]

    there = used(W, channels)
    for p, allowed, weight in (
        (LINK, (W == 0) & late & there[:, :, None] & there[:, None, :], NEW * noise.normal(W[:, 0, 0])),
        (UNLINK, W != 0, 0 * W[:, 0, 0]),
    ):
        link, possible = drawn(allowed.flatten(1))
        chosen = with_probability(p) & possible
        W[chosen.nonzero()[:, 0], link[chosen] // N, link[chosen] % N] = weight[chosen]
    return graphs


def used(W: Tensor, channels: int) -> Tensor:
    """Which nodes are there, by the weights [n, NODES, NODES]: bool [n, NODES]."""
    there = (W != 0).any(1) | (W != 0).any(2)
    there[:, :INPUTS] = there[:, -channels:] = True
    return there


def painted(graphs: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """What `graphs` [n, NODES, 1 + NODES] put out, as pictures [n, C, H, W] in [0, 1].

    Where there are three channels they are hue, saturation and value, as published.
    """
    import torch

    C, H, W = shape
    y, x = torch.meshgrid(torch.linspace(-1, 1, H), torch.linspace(-1, 1, W), indexing="ij")
    place = torch.stack([x, y, torch.hypot(x, y), torch.ones_like(x)]).flatten(1)
    out = torch.stack([_values(graph, place)[-C:] for graph in graphs]).view(-1, C, H, W)
    out = (out.clamp(-1, 1) + 1) / 2
    return _coloured(out) if C == 3 else out


def _values(graph: Tensor, place: Tensor) -> Tensor:
    """What each node of a graph puts out at each of so many places: [NODES, places]."""
    import torch

    values = torch.zeros(len(graph), place.shape[1])
    values[:INPUTS] = place
    for i in range(INPUTS, len(graph)):
        weights = graph[i, 1 : 1 + i]
        if weights.any():
            values[i] = _passed(FUNCTIONS[int(graph[i, 0])], weights @ values[:i])
    return values


def _passed(function: str, v: Tensor) -> Tensor:
    """All but the line stay in [-1, 1]."""
    match function:
        case "sine":
            return (math.pi * v).sin()
        case "cosine":
            return (math.pi * v).cos()
        case "gaussian":
            return 2 * (-v.square()).exp() - 1
        case "sigmoid":
            return v.tanh()
    return v.clamp(-1e3, 1e3)  # what grows from node to node must not become infinite


def _coloured(hsv: Tensor) -> Tensor:
    """Hue, saturation and value as red, green and blue: rows [n, 3, H, W] in [0, 1]."""
    import torch

    hue, saturation, value = hsv.unbind(1)

    def channel(n: int) -> Tensor:
        k = (n + 6 * hue) % 6
        return value * (1 - saturation * torch.minimum(k, 4 - k).clamp(0, 1))

    return torch.stack([channel(n) for n in (5, 3, 1)], 1)
