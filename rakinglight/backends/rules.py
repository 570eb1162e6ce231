"""Backward rules: how a gradient passes an activation, each row by its own rule.

A pass may hold rows of plain gradients beside rows of guided backpropagation. So the rule is not written into the
network: for the time of one pass the activations that it calls, as modules or as functions, are answered here. No hook
and no changed module outlives the pass, and a pass of plain gradients alone never comes by.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from rakinglight.queries import Rule

#: The activations that cut or damp what is negative.
RECTIFIERS = frozenset([
    torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, functional.relu, functional.relu6,
    functional.hardtanh, functional.hardtanh_, functional.threshold, torch.threshold, torch.threshold_,
    functional.leaky_relu, functional.leaky_relu_, functional.prelu, functional.rrelu, functional.rrelu_,
    functional.elu, functional.elu_, torch.selu, torch.selu_, functional.selu, torch.celu, torch.celu_, functional.celu,
    functional.silu, functional.mish, functional.gelu, functional.hardswish, functional.softplus, functional.logsigmoid,
])  # fmt: skip

#: What bounds a tensor from below by `min` or by another tensor: a rectifier where that is zero. Elsewhere it may be
#: what keeps a divisor from zero.
BOUNDS = frozenset([
    torch.clamp, torch.clamp_, Tensor.clamp, Tensor.clamp_, torch.clip, torch.clip_, Tensor.clip, Tensor.clip_,
    torch.clamp_min, torch.clamp_min_, Tensor.clamp_min, Tensor.clamp_min_, torch.maximum, Tensor.maximum,
])  # fmt: skip


class Ruled(TorchFunctionMode):
    """While it is entered, activations pass gradients back by the `rules` of the rows, one a row."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        super().__init__()
        self.rules = rules

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if not _rectifies(func, args, kwargs):
            return func(*args, **kwargs)
        x, *more = args or (kwargs.pop("input"),)

        def rectify(x: Tensor) -> Tensor:
            y: Tensor = func(x, *more, **kwargs)
            return y

        return _Rectify.apply(x, rectify, self.rules)  # type: ignore[no-untyped-call]


def _rectifies(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether `func`, given these, is a rectifier."""
    if func not in BOUNDS:
        return func in RECTIFIERS
    below = args[1] if len(args) > 1 else kwargs.get("min", kwargs.get("other"))
    return below is not None and not torch.as_tensor(below).any()


class _Rectify(Function):
    """An activation that passes the gradient of each row back by that row's rule."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rectify: Callable[[Tensor], Tensor], rules: Sequence[Rule]) -> Tensor:
        ctx.save_for_backward(x.clone())
        ctx.rectify, ctx.rules = rectify, rules
        y = rectify(x)
        if y is x:  # it works in place, and the network may read x afterwards
            ctx.mark_dirty(x)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (x,), (g,) = ctx.saved_tensors, gradients

        def rows(*chosen: Rule) -> Tensor:
            those = torch.tensor([rule in chosen for rule in ctx.rules], device=g.device)
            return those.repeat_interleave(len(g) // len(those)).view(-1, *[1] * (g.ndim - 1))

        g = g.clamp(min=0).where(rows("guided", "deconvnet"), g)
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (passed,) = torch.autograd.grad(ctx.rectify(x.clone()), x, g)  # a copy: a leaf is not written over
        return g.where(rows("deconvnet"), passed), None, None
