"""LeNet-5, trained on scikit-learn's digits: plainly, in seconds, and in three ways that are to make it robust.

LeCun et al., "Gradient-based learning applied to document recognition", Proceedings of the IEEE 86(11), 1998, section
II.B and figure 2, with the rectifiers, maxima and softmax that the field reads into the name today.

`lenet5-digits` is an ordinary network with no defence: in the l-infinity ball of 0.13, PGD leaves it under 5 % of the
test digits. The others are the same network with other weights; `model_store.training` has what they learn from.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from torch import Tensor, nn

from rakinglight.recipe import Recipe

if TYPE_CHECKING:
    from rakinglight.decoder import Decoder
    from rakinglight.detector import Detector


class LeNet5(nn.Module):
    """Grey pixels [n, 1, 32, 32] in [0, 1] -> logits [n, 10]. The layers have the paper's names."""

    def __init__(self) -> None:
        super().__init__()
        self.c1 = nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU())
        self.s2 = nn.MaxPool2d(2)
        self.c3 = nn.Sequential(nn.Conv2d(6, 16, 5), nn.ReLU())
        self.s4 = nn.MaxPool2d(2)
        self.c5 = nn.Sequential(nn.Conv2d(16, 120, 5), nn.ReLU())
        self.f6 = nn.Sequential(nn.Linear(120, 84), nn.ReLU())
        self.output = nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.c5(self.s4(self.c3(self.s2(self.c1(x)))))
        logits: Tensor = self.output(self.f6(x.flatten(1)))
        return logits


def by(method: str) -> Callable[..., tuple[nn.Module, dict[str, float]]]:
    """A LeNet-5 trained by `model_store.training.<method>`, which stays out of the archive."""

    def train(seed: int = 0) -> tuple[nn.Module, dict[str, float]]:
        way = import_module(f"model_store.training.{method}")
        trained: tuple[nn.Module, dict[str, float]] = way.train(LeNet5, seed)
        return trained

    return train


def train_detector(network: nn.Module) -> tuple[Detector, dict[str, float]]:
    """SafetyNet for the plain network."""
    from model_store.training import safetynet

    return safetynet.train(network)


def train_decoder(network: nn.Module, layer: str) -> tuple[Decoder, dict[str, float]]:
    """A feed-forward inversion of one layer of the plain network."""
    from model_store.training import decoder

    return decoder.of_digits(network, layer)


def recipe(
    name: str,
    method: str,
    provenance: str,
    reaches: dict[str, float],
    detector: str = "",
    decoders: tuple[str, ...] = (),
) -> Recipe:
    return Recipe(
        name=name,
        network=LeNet5,
        weights=f"../weights/{name}.safetensors",
        input_shape=(1, 32, 32),
        mean=(0.0,),
        std=(1.0,),
        labels=tuple("0123456789"),
        provenance=f"Trained here (`python -m model_store train {name}`) on 1,297 of the 1,797 handwritten digits of "
        f"Alpaydin and Kaynak that scikit-learn carries{provenance}.",
        train=by(method),
        reaches=reaches,
        detector=detector,
        train_detector=train_detector if detector else None,
        decoders={layer: f"../weights/{name}.decoder.{layer}.safetensors" for layer in decoders},
        train_decoder=train_decoder if decoders else None,
    )


#: What training anew must reach, of the 500 test digits. The committed weights do.
recipes = [
    recipe(
        "lenet5-digits",
        "plain",
        "",
        {"clean": 0.98},
        detector="../weights/lenet5-digits.detector.safetensors",
        decoders=("s2", "s4", "c5", "f6", "output"),
    ),
    recipe(
        "lenet5-digits-robust",
        "adversarial",
        ", against PGD in the l-infinity ball of 0.15 (Madry et al. 2018)",
        {"clean": 0.95, "PGD-40 at 0.13": 0.6},
    ),
    recipe(
        "lenet5-digits-ensemble",
        "ensemble",
        ", with one-step examples made on three other networks and on itself (Tramèr et al. 2018)",
        {"clean": 0.97, "PGD-40 at 0.13": 0.2},
    ),
    recipe(
        "lenet5-digits-transformed",
        "transformed",
        ", reduced to three bits and then through JPEG of quality 75 (Guo et al. 2018): to be used with those "
        "two as its defence",
        {"transformed": 0.98},
    ),
]
