"""A recipe: the few lines that say how a network is built and what its pixels and classes mean.

    from rakinglight.recipe import Recipe

    recipes = [
        Recipe(
            name="my-network",
            network=MyNetwork,                      # called with no arguments, gives a torch.nn.Module
            weights="my-network.safetensors",       # beside this file; or a function that returns a path
            input_shape=(3, 224, 224),
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
            labels=("cat", "dog"),
            provenance="Trained by us on our own photographs, 2026.",
        )
    ]

A recipe file is the operator's own code: it is run when an archive is built and again when a worker loads it. Weights
are safetensors or a state dict that torch loads with `weights_only=True`; nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from rakinglight.decoder import Decoder
    from rakinglight.detector import Detector


@dataclass(frozen=True)
class Recipe:
    """How a network is built.

    name         lower-case letters, digits and hyphens: the model's name in every URL
    network      makes the untrained module; it takes normalised pixels [n, C, H, W] and gives logits [n, K]
    weights      a path beside the recipe file, or a function that returns one (it may train, unpack or download)
    rename       maps a key of the weights file to a key of the module's state dict, where the two differ
    input_shape  [C, H, W]
    mean, std    per channel, in units of [0, 1]
    resize       pixels of the shorter side before the central crop; 0 is the crop's own side: nothing is cut off
    labels       one name a class, or a function that returns them
    provenance   where the weights come from, in a sentence
    train        (seed=0) -> the module, trained anew, and figures of it by name
    reaches      what those figures have to be at least
    detector     a path beside the recipe file to a detector (`rakinglight.detector`) for these very weights, or none

    train_detector  makes the detector anew: (trained module) -> detector, and figures of it by name
    decoders     layer -> a path beside the recipe file to a decoder (`rakinglight.decoder`) of its codes

    train_decoder  makes one anew: (trained module, layer) -> decoder, and figures of it by name
    """

    name: str
    network: Callable[[], torch.nn.Module]
    weights: str | Callable[[], Path]
    input_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    labels: tuple[str, ...] | Callable[[], tuple[str, ...]]
    provenance: str
    version: str = "1.0"
    resize: int = 0
    rename: Callable[[str], str] = str
    train: Callable[..., tuple[torch.nn.Module, Mapping[str, float]]] | None = None
    reaches: Mapping[str, float] = field(default_factory=dict)
    detector: str = ""
    train_detector: Callable[[torch.nn.Module], tuple[Detector, Mapping[str, float]]] | None = None
    decoders: Mapping[str, str] = field(default_factory=dict)
    train_decoder: Callable[[torch.nn.Module, str], tuple[Decoder, Mapping[str, float]]] | None = None
