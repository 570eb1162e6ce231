"""A torch module as a backend: gradients, and scores where nobody is quicker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from copy import copy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from rakinglight.backends.accompanied import accompany, lonely_layers
from rakinglight.backends.randomized import random_weights
from rakinglight.backends.rules import Ruled
from rakinglight.errors import BadParameter
from rakinglight.network import Known
from rakinglight.queries import Rule, Scores, Slope


class Normalized(nn.Module):
    """The network with its normalisation in front: takes pixels in [0, 1]."""

    def __init__(self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network((x - self.mean) / self.std)
        return logits


class TorchBackend:
    """Answers on the device it is given, in eval mode, with frozen weights.

    The weights are frozen and in channels_last, which is quicker on a CPU than a network as it comes. On CUDA, TF32
    and cuDNN's autotuner are off: both give a row other bits in another pass.
    """

    def __init__(
        self,
        network: nn.Module,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.device, self.dtype = torch.device(device), dtype
        self.name = f"torch {torch.__version__} on {self.device.type}"
        module = Normalized(network, mean, std).eval().requires_grad_(False)
        self.module = module.to(self.device, dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._weights: dict[str, Tensor] = {}  # those that stand in for the module's own
        self._randomized: dict[float, TorchBackend] = {}
        if self.device.type == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = False
            torch.backends.cudnn.allow_tf32 = False
            torch.backends.cudnn.benchmark = False
            torch.backends.cudnn.deterministic = True

    def accompany(self, input_shape: tuple[int, int, int], known: Known) -> None:
        """Give one row alone the bits that it has in company, where that is cheap (`backends.accompanied`)."""
        rows = torch.rand(2, *input_shape, generator=torch.Generator().manual_seed(0))
        find = partial(lonely_layers, self.module, self._place(rows))
        accompany(self.module, known(f"lonely layers of {self.name}", find))

    def __repr__(self) -> str:
        return f"<TorchBackend {type(self.module.network).__name__}, {self.name}>"

    def forward(self, rows: Tensor, layers: tuple[str, ...] = (), *, short: bool = False) -> Scores:
        with torch.no_grad(), self._listening(layers, short=short) as heard:
            logits = self._logits(self._place(rows))
        return Scores(logits.to(rows), {layer: heard[layer].contiguous().to(rows) for layer in layers})

    def gradient(
        self,
        rows: Tensor,
        objective: Callable[[Any], Tensor],
        *,
        at: tuple[str, ...] = (),
        wrt: str | None = None,
        rules: Sequence[Rule] = (),
    ) -> Slope:
        x = self._place(rows).requires_grad_()
        ruled = Ruled(rules) if any(rule != "standard" for rule in rules) else nullcontext()
        layers = tuple(dict.fromkeys([*at, *([wrt] if wrt else [])]))
        with self._listening(layers, short=bool(at)) as heard, ruled:
            logits = self._logits(x)
            values = objective({layer: heard[layer] for layer in at} if at else logits)
            if not values.requires_grad:
                what = " and ".join(at) or self.name
                detail = f"What {what} puts out has no derivative by the image; name another layer."
                raise BadParameter.at("/parameters/layer", detail)
            # The rows do not interact, so the gradient of the sum holds each row's own.
            (g,) = torch.autograd.grad(values.sum(), heard[wrt] if wrt else x)
        return Slope(values.detach().to(rows), g.contiguous().to(rows), logits.detach().to(rows))

    def randomized(self, share: float) -> TorchBackend:
        """The same with random weights in that share of the layers, from the last on.

        The last that was made is kept: many passes want the same.
        """
        if share not in self._randomized:
            other = copy(self)
            other._weights, other._randomized = random_weights(self.module, share), {}
            self._randomized = {share: other}
        return self._randomized[share]

    def _logits(self, x: Tensor) -> Tensor:
        """The logits of x; [n, 0] where the pass ended before."""
        try:
            logits: Tensor = functional_call(self.module, self._weights, (x,)) if self._weights else self.module(x)
        except _Enough:
            return x.new_zeros(len(x), 0)
        return logits

    def _place(self, rows: Tensor) -> Tensor:
        return rows.detach().to(self.device, self.dtype, memory_format=torch.channels_last)

    @contextmanager
    def _listening(self, layers: tuple[str, ...], *, short: bool = False) -> Iterator[dict[str, Tensor]]:
        """Hooks on `layers` that are gone when the pass is; where it is `short`, they end it."""
        heard: dict[str, Tensor] = {}

        def ear(layer: str) -> Callable[[nn.Module, object, Tensor], Tensor]:
            def hear(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
                # What goes on is a copy: torchvision's residual blocks write over what a layer has said.
                heard[layer] = output
                if short and len(heard) == len(layers):
                    raise _Enough
                return output.clone()

            return hear

        modules = [self.module.network.get_submodule(layer) for layer in layers]  # all are found before any listens
        hooks = [module.register_forward_hook(ear(layer)) for layer, module in zip(layers, modules, strict=True)]
        try:
            yield heard
        finally:
            for hook in hooks:
                hook.remove()


class _Enough(Exception):
    """Ends a pass: all that it is for has been heard."""


def best_device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
