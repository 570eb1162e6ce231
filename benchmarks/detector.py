"""The detector of `lenet5-digits` under attack: by those that do not know of it, and by one that does.

    python -m benchmarks.detector                the table, on 100 digits: minutes on two cores
    python -m benchmarks.detector --count 20     on so many
    python -m benchmarks.detector --epsilons 0.1

Of the digits kept for tests, the first that the network gets right. An attack comes through if its picture, as 8 bits
and alone, is misclassified and not rejected. With each share stands its 95 % interval (Wilson).

The attack that includes the detector is on both as one network of K + 1 classes, of which the last is "rejected"
(Carlini & Wagner, "Adversarial Examples Are Not Easily Detected: Bypassing Ten Detection Methods", AISec 2017). What
comes of it is judged like the rest, by the network and its detector as they are served.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.defenses import MODEL, network, share
from model_store.digits import pictures
from rakinglight.backends.torch_backend import TorchBackend
from rakinglight.detector import Detector
from rakinglight.engine import Engine
from rakinglight.network import Network
from rakinglight.question import Question
from scripts.docs import table
from scripts.evidence import provenance

COUNT = 100
#: In linf. The detector has learnt from PGD-40 at 0.13.
EPSILONS = (0.05, 0.1, 0.13, 0.2)
STEPS = 40
HEAD = ("attack", "epsilon", "misclassified", "of these rejected", "comes through")

Array = np.ndarray[Any, Any]
Result = Mapping[str, Any]


class Guarded(nn.Module):
    """Normalised pixels [n, C, H, W] -> logits [n, K + 1]: those of `network`, and that of being rejected.

    The last is (s + 1) max Z, with s the detector's score less its limit: the largest just where s is above 0, as long
    as the largest of Z is positive (Carlini & Wagner 2017).
    """

    def __init__(self, network: nn.Module, detector: Detector) -> None:
        super().__init__()
        self.network, self.detector = network, detector
        self._heard: dict[str, Tensor] = {}
        for layer in detector.about.layers:
            network.get_submodule(layer).register_forward_hook(
                lambda _module, _inputs, output, layer=layer: self._heard.__setitem__(layer, output.flatten(1))
            )

    def forward(self, x: Tensor) -> Tensor:
        Z: Tensor = self.network(x)
        heard = torch.cat([self._heard.pop(layer) for layer in self.detector.about.layers], dim=1)
        s: Tensor = self.detector(heard) - self.detector.limit
        return torch.cat([Z, ((s + 1) * Z.amax(1))[:, None]], dim=1)


def guarded(plain: Network, module: nn.Module) -> Network:
    """`plain`, whose module is `module`, and its detector as one network."""
    assert plain.detector is not None
    card = replace(plain.card, labels=(*plain.card.labels, "rejected"), layers={}, detector=None)
    backend = TorchBackend(Guarded(module, plain.detector), card.mean, card.std)
    return Network.probed(card, [backend], backend)


def rows(plain: Network, module: nn.Module, count: int, epsilons: Sequence[float]) -> Iterable[list[str]]:
    """The rows of the table, as they come about."""
    engine, both = Engine([plain]), Engine([guarded(plain, module)])
    images, labels = pictures("test")
    images = images.transpose(0, 2, 3, 1)
    said = answers(engine, "classify", images, detector=True, top_k=len(plain.card.labels))
    yield ["none", "", "", share(sum(one["detector"]["rejected"] for one in said), len(said)), ""]
    right = [i for i, one in enumerate(said) if one["prediction"]["index"] == labels[i]][:count]
    x, y = images[right], labels[right]
    for epsilon in epsilons:
        for method, parameters in attacks(epsilon).items():
            each = [{"label": int(label)} for label in y]
            found = answers(engine, "attack", x, method, each, **parameters)
            yield row(engine, f"`{method}`", f"{epsilon:g}", [one["adversarial"] for one in found], y)
    found = answers(engine, "attack", x, "deepfool", [{"label": int(label)} for label in y])
    yield row(engine, "`deepfool`", "none", [one["adversarial"] for one in found], y)
    others = [
        [p["index"] for p in said[i]["predictions"] if p["index"] != label] for i, label in zip(right, y, strict=True)
    ]
    for epsilon in epsilons:
        for method in ("pgd", "apgd"):
            shown = including(both, x, y, others, method, attacks(epsilon)[method])
            yield row(engine, f"`{method}`, with the detector", f"{epsilon:g}", shown, y)


def attacks(epsilon: float) -> dict[str, dict[str, Any]]:
    """The methods that have a ball, and their parameters."""
    return {
        "fgsm": {"epsilon": epsilon},
        "pgd": {"epsilon": epsilon, "steps": STEPS, "step_size": 0.01, "random_start": True},
        "apgd": {"epsilon": epsilon, "steps": STEPS},
    }


def including(
    both: Engine, x: Array, y: Array, others: Sequence[Sequence[int]], method: str, parameters: Mapping[str, Any]
) -> list[Array]:
    """The pictures that an attack on network and detector at once makes of x [n, H, W, C]: towards one class after the
    other, the likeliest first, until one comes through.
    """
    shown = list(x)
    left = list(range(len(x)))
    for place in range(max(map(len, others))):
        each = [{"label": int(y[i]), "target": others[i][place]} for i in left]
        found = answers(both, "attack", x[left], method, each, **parameters)
        for i, one in zip(left, found, strict=True):
            if one["success"] or not place:
                shown[i] = one["adversarial"]
        left = [i for i, one in zip(left, found, strict=True) if not one["success"]]
    return shown


def row(engine: Engine, attack: str, epsilon: str, shown: Sequence[Array], y: Array) -> list[str]:
    """What is said of the pictures of an attack, each alone."""
    said = answers(engine, "classify", shown, detector=True)
    wrong = [one for one, label in zip(said, y, strict=True) if one["prediction"]["index"] != label]
    rejected = sum(one["detector"]["rejected"] for one in wrong)
    n = len(y)
    return [attack, epsilon, share(len(wrong), n), share(rejected, len(wrong)), share(len(wrong) - rejected, n)]


def answers(
    engine: Engine,
    operation: str,
    images: Iterable[Array],
    method: str | None = None,
    each: Sequence[Mapping[str, Any]] = (),
    **parameters: Any,
) -> list[Result]:
    """What is said of each image, all runs in one engine.

    each  parameters of its own
    """
    runs = []
    for i, image in enumerate(images):
        asked = {**parameters, **(each[i] if each else {})}
        question = Question(operation, MODEL, image, method, asked, seed=i, seconds=36_000.0)
        runs.append(engine.submit(question.begin(engine.networks)))
    engine.run_until(lambda: all(run.over for run in runs))
    return [run.result for run in runs]


def detection(count: int = COUNT, epsilons: Sequence[float] = EPSILONS) -> str:
    """The table, as Markdown."""
    from model_store.from_recipe import filled, find

    ((file, recipe),) = find(MODEL)
    module = filled(recipe, (file.parent / str(recipe.weights)).resolve())
    made = []
    for one in rows(network(), module, count, epsilons):
        print(" | ".join(one), file=sys.stderr, flush=True)
        made.append(one)
    return table(HEAD, made)


def main() -> int:
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--count", type=int, default=COUNT)
    reader.add_argument("--epsilons", type=float, nargs="+", default=EPSILONS)
    given = reader.parse_args()
    print(detection(given.count, given.epsilons))
    print(f"\n{provenance()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
