"""The architectures of the field's history, from torchvision, with weights that the user brings or torchvision fetches.

A file `vgg16.safetensors` or `vgg16.pth` in the folder RAKINGLIGHT_WEIGHTS_DIR is taken first; it holds the state dict
of torchvision's module. Otherwise torchvision's own first ImageNet weights are downloaded, where there is a network.

Every rectifier is a module of its own and leaves its input alone: who listens to a layer hears what the layer said, and
a backward rule has something to hold on to.
"""

from __future__ import annotations

import os
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import Tensor, nn

from rakinglight.errors import NotFound
from rakinglight.recipe import Recipe
from rakinglight.vision import torchvision

FOLDER = "RAKINGLIGHT_WEIGHTS_DIR"
#: The module of this name; `torchvision.models.googlenet` is a function.
parts: Any = import_module(torchvision.models.GoogLeNet.__module__)


class RectifiedConvolution(parts.BasicConv2d):  # type: ignore[misc]
    """GoogLeNet's convolution, with a module where torchvision's has a function that writes over its input."""

    def __init__(self, in_channels: int, out_channels: int, **options: Any) -> None:
        super().__init__(in_channels, out_channels, **options)
        self.rectifier = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.rectifier(self.bn(self.conv(x)))
        return y


def googlenet() -> nn.Module:
    """The published weights bring a normalisation of their own (`transform_input`) and two heads more, idle in eval."""
    inception = partial(parts.Inception, conv_block=RectifiedConvolution)
    head = partial(parts.InceptionAux, conv_block=RectifiedConvolution)
    blocks = [RectifiedConvolution, inception, head]
    network: nn.Module = torchvision.models.GoogLeNet(
        blocks=blocks, transform_input=True, aux_logits=True, init_weights=False
    )
    return network


def untrained(name: str) -> nn.Module:
    """The module of torchvision, its rectifiers out of place."""
    network: nn.Module = googlenet() if name == "googlenet" else torchvision.models.get_model(name)
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return network


def weights(name: str) -> Path:
    """The user's file, or torchvision's download. Raises NotFound with the remedy."""
    folder = os.environ.get(FOLDER)
    for suffix in (".safetensors", ".pth") if folder else ():
        if (brought := Path(str(folder), name + suffix)).is_file():
            return brought
    url = published(name).url
    kept = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(url).path).name)
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(kept), hash_prefix=kept.stem.split("-")[-1], progress=False)
        except OSError as e:  # of which URLError is one
            raise NotFound(
                f"No weights of {name} are here and none can be fetched ({e}). Give the state dict of "
                f"torchvision's {name}: `python -m model_store build {name} --weights FILE`, or {name}.safetensors or "
                f"{name}.pth in a folder that {FOLDER} names."
            ) from e
    return kept


def published(name: str) -> Any:
    """The entry in torchvision of the first ImageNet weights: where they are, and what the classes are called."""
    return torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]


def labels(name: str) -> tuple[str, ...]:
    return tuple(published(name).meta["categories"])


def recipe(name: str) -> Recipe:
    return Recipe(
        name=name,
        network=partial(untrained, name),
        weights=partial(weights, name),
        input_shape=(3, 224, 224),
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        resize=256,
        labels=partial(labels, name),
        provenance=f"A file that the operator gave, or torchvision's {name} weights IMAGENET1K_V1.",
    )


recipes = [recipe(name) for name in ("alexnet", "vgg16", "vgg19", "googlenet", "resnet18", "resnet50", "resnet152")]
