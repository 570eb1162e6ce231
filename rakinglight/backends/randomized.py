"""A network with random weights in its last layers: what an explanation of a trained network is held against.

Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018, section 3: an explanation that stays the same when the
weights from the last layer downwards are replaced by random ones does not depend on what the network has learnt.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from rakinglight.noise import Noise


def random_weights(module: nn.Module, share: float) -> dict[str, Tensor]:
    """Random parameters and buffers, by name, for the last `share` (0 to 1) of the layers of `module` that have any.

    What multiplies is drawn from a normal distribution that keeps the signal's scale through a rectifier (He et al.
    2015, equation 10), what is added is zero, and a batch norm does nothing. The same at every call.
    """
    noise, layers = Noise(0), [(name, layer) for name, layer in module.named_modules() if _own(layer)]
    count = math.ceil(share * len(layers))
    return {
        f"{name}.{own}" if name else own: fresh
        for name, layer in layers[len(layers) - count :]
        for own, fresh in _fresh(layer, noise)
    }


def _own(layer: nn.Module) -> list[tuple[str, Tensor]]:
    return list(layer.named_parameters(recurse=False))


def _fresh(layer: nn.Module, noise: Noise) -> Iterator[tuple[str, Tensor]]:
    for name, weight in _own(layer):
        if weight.ndim > 1:
            spread = math.sqrt(2 / weight[0].numel())
            yield name, torch.empty_like(weight).copy_(noise.normal(weight) * spread)
        else:
            yield name, torch.full_like(weight, 1.0 if name == "weight" else 0.0)
    for name, value in layer.named_buffers(recurse=False):
        if name in ("running_mean", "running_var"):
            yield name, torch.full_like(value, 0.0 if name == "running_mean" else 1.0)
