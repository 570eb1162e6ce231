"""One row alone, with the bits that it has in company.

Matrix libraries take another kernel where there is a single row to multiply, and it rounds otherwise. So a caller who
is alone would have to pay for a second row in every pass. But only a few layers do that, most of them late ones with
small maps: on one CPU 9 of the 51 in EfficientNet-Lite0 that multiply. Where a row of zeros goes along through those,
the whole network gives one row the bits that it gives it among many, at almost no cost.

Which layers they are is found by trying, once for a network on a machine. The ladder is probed afterwards as always, so
what is found here may make a lone caller quicker, and never an answer wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function

#: Rounds of search. A layer that is found may hide another behind it, whose numbers differ until the first is mended.
ROUNDS = 4


class Accompanied(nn.Module):
    """A layer that never sees one row alone."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        if len(x) == 1:
            return _Parted.apply(self.layer(_Joined.apply(x)))  # type: ignore[no-any-return, no-untyped-call]
        y: Tensor = self.layer(x)
        return y


class _Joined(Function):
    """A row of zeros comes along; on the way back only the first row counts."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.cat([x, torch.zeros_like(x)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0][:1]


class _Parted(Function):
    """The first row goes on; on the way back the other has no gradient."""

    @staticmethod
    def forward(ctx: Any, y: Tensor) -> Tensor:
        return y[:1].clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return torch.cat([gradients[0], torch.zeros_like(gradients[0])])


class Passage(NamedTuple):
    """What went through a layer in one pass: its input, and the gradient at its output."""

    x: Tensor
    g: Tensor


def accompany(module: nn.Module, names: Iterable[str]) -> None:
    """Let the layers called `names` be accompanied, under the names that they have."""
    for name in names:
        module.set_submodule(name, Accompanied(module.get_submodule(name)))


def lonely_layers(module: nn.Module, rows: Tensor) -> list[str]:
    """The names of the layers of `module` that give the first of two `rows` other bits when it is alone."""
    module, names = deepcopy(module), list[str]()
    for _ in range(ROUNDS):
        alone, company = _passages(module, rows[:1]), _passages(module, rows[:2])
        found = [name for name in alone if name in company and _differs(module, name, alone[name], company[name])]
        if not found:
            break
        accompany(module, found)
        names += found
    return names


def _passages(module: nn.Module, rows: Tensor) -> dict[str, Passage]:
    """What goes through each layer in one pass, forward and back. Layers that are used twice are left out."""
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {}

    def listener(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def listen(_layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if len(inputs) == 1 and isinstance(output, Tensor) and output.requires_grad:
                seen.setdefault(name, []).append((inputs[0], output))

        return listen

    hooks = [layer.register_forward_hook(listener(name)) for name, layer in _layers(module)]
    try:
        logits = module(rows.detach().requires_grad_())
    finally:
        for hook in hooks:
            hook.remove()
    once = {name: passed[0] for name, passed in seen.items() if len(passed) == 1}
    if not once:
        return {}
    gradients = torch.autograd.grad(logits[:, 0].sum(), [y for _, y in once.values()], allow_unused=True)
    passages = zip(once.items(), gradients, strict=True)
    return {name: Passage(x.detach(), g) for (name, (x, _)), g in passages if g is not None}


def _layers(module: nn.Module, above: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The modules that multiply by a matrix, by their names; those that are accompanied already are left out."""
    for name, child in module.named_children():
        if isinstance(child, Accompanied):
            continue
        if any(weight.ndim > 1 for weight in child.parameters(recurse=False)):
            yield f"{above}{name}", child
        else:
            yield from _layers(child, f"{above}{name}.")


def _differs(module: nn.Module, name: str, alone: Passage, company: Passage) -> bool:
    """Whether the layer gives the same row other bits alone, forward or back: its own doing, whatever came before."""
    layer = module.get_submodule(name)

    def through(x: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        x = x.clone(memory_format=torch.preserve_format).requires_grad_()
        y = layer(x)
        (at_x,) = torch.autograd.grad(y, x, g)
        return y.detach(), at_x

    # The numbers are those of company, the memory layout is that of a row alone: kernels are chosen by both.
    x, g = torch.empty_like(alone.x).copy_(company.x[:1]), torch.empty_like(alone.g).copy_(company.g[:1])
    return any(not torch.equal(a, c[:1]) for a, c in zip(through(x, g), through(company.x, company.g), strict=True))
