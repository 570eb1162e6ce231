"""Dense associative memories of four powers, trained on scikit-learn's digits in seconds.

Krotov & Hopfield, "Dense associative memory for pattern recognition", NeurIPS 2016, section 4, and "Dense associative
memory is robust to adversarial inputs", Neural Computation 30(12), 2018.

A memory xi_mu is a picture with ten class units, all between -1 and 1. An image v asks with all class units off
(x_gamma = -1), and a class unit c_alpha is turned on as far as that lowers the energy:

    c_alpha = tanh( beta sum over mu of [ F(-xi_mu,alpha x_alpha + rest) - F(+xi_mu,alpha x_alpha + rest) ] )
    rest    = sum over gamma != alpha of xi_mu,gamma x_gamma + xi_mu v
    F(u)    = max(u, 0)^n,    beta = 1 / T^n

The second paper attacks what is inside of the tanh, since the tanh itself takes the gradient away wherever it is sure
of its answer. So the logits are here what is inside; those of `...-tanh` are the class units themselves, from the same
weights.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, relu

from rakinglight.recipe import Recipe

#: How many memories there are, K.
MEMORIES = 100
#: The temperature T of each power n. A power makes what is far above T decide alone.
TEMPERATURES = {2: 40.0, 3: 100.0, 8: 300.0, 20: 450.0}


class DenseAssociativeMemory(nn.Module):
    """Grey pixels [N, 1, 32, 32] in [-1, 1] -> logits [N, 10].

    n         the power of F
    squashed  whether the logits are the class units, or what is inside of their tanh, as the layer `memories` always is
    """

    def __init__(self, n: int, *, squashed: bool = False) -> None:
        super().__init__()
        self.memories = Memories(n)
        self.tanh = nn.Tanh() if squashed else nn.Identity()

    def forward(self, v: Tensor) -> Tensor:
        logits: Tensor = self.tanh(self.memories(v))
        return logits


class Memories(nn.Module):
    """The memories: pixels [K, 1024] and class units [K, 10]. Gives what is inside of the tanh."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n, self.T = n, TEMPERATURES[n]
        self.pixels = nn.Parameter(torch.zeros(MEMORIES, 32 * 32))
        self.classes = nn.Parameter(torch.zeros(MEMORIES, 10))

    def forward(self, v: Tensor) -> Tensor:
        off = v.flatten(1) @ self.pixels.T - self.classes.sum(1)  # x_alpha = -1 too: the second F
        on = off[:, :, None] + 2 * self.classes  # the first
        return (self.energy(on) - self.energy(off)[:, :, None]).sum(1)

    def energy(self, u: Tensor) -> Tensor:
        """F, the rectified polynomial, with beta in it: (u / T)^n, because T^n alone is too large for a float."""
        return relu(u / self.T) ** self.n


def train(n: int, epochs: int = 60, seed: int = 0) -> tuple[nn.Module, dict[str, float]]:
    """A memory of power `n`, whose memories begin as faint digits; its accuracy on the 500 test digits."""
    from model_store import digits
    from model_store.training.fitting import accuracy, one_thread, shifted

    x, y = map(torch.from_numpy, digits.pixels("train"))
    v, target = 2 * x - 1, 2.0 * one_hot(y, 10) - 1
    with torch.random.fork_rng(devices=[]), one_thread():
        torch.manual_seed(seed)
        network = DenseAssociativeMemory(n, squashed=True)
        xi = list(network.parameters())
        pixels, classes = xi
        with torch.no_grad():
            chosen = torch.randperm(len(v))[:MEMORIES]
            pixels.copy_(0.6 * v[chosen].flatten(1) + 0.1 * torch.randn_like(pixels))
            classes.copy_(0.3 * torch.randn_like(classes))
        optimizer = torch.optim.Adam(xi)
        rate, batch = (2e-2 if n < 8 else 5e-3), 64
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=epochs * -(-len(v) // batch))
        for _ in range(epochs):
            for rows in torch.split(torch.randperm(len(v)), batch):
                c = network(shifted(v[rows], 1, fill=-1.0))
                optimizer.zero_grad()
                (c - target[rows]).square().sum(1).mean().backward()
                optimizer.step()
                schedule.step()
                with torch.no_grad():
                    for each in xi:
                        each.clamp_(-1, 1)
    return network.eval(), {"clean": accuracy(nn.Sequential(Signed(), network))}


class Signed(nn.Module):
    """[0, 1] -> [-1, 1], as `mean` and `std` of the recipes have it."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x - 1


def recipe(name: str, n: int, *, squashed: bool) -> Recipe:
    network: Callable[[], nn.Module] = partial(DenseAssociativeMemory, n, squashed=squashed)
    return Recipe(
        name=name + "-tanh" * squashed,
        network=network,
        weights=f"../weights/{name}.safetensors",
        input_shape=(1, 32, 32),
        mean=(0.5,),
        std=(0.5,),
        labels=tuple("0123456789"),
        provenance=f"Trained here (`python -m model_store train {name}`) on the digits of lenet5-digits: {MEMORIES} "
        f"memories of power {n}; logits are the class units {'after' if squashed else 'before'} their tanh.",
        train=partial(train, n),
        reaches={"clean": 0.96},
    )


recipes = [
    recipe("dam-digits" if n == 8 else f"dam-digits-{n}", n, squashed=squashed)
    for n in TEMPERATURES
    for squashed in (False, True)
]
