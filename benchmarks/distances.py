"""How near the minimum-norm attacks come, ours and those of Foolbox and ART, on the same images and networks.

    python -m benchmarks.distances            200 digits on LeNet-5 and photographs on Lite0: some minutes on two cores
    python -m benchmarks.distances --quick    16 digits

Distances are those of the float images, before any rounding, over the images that the attack fooled the plain module
with; all take ten candidates, fifty steps and an overshoot of 0.02. Foolbox and ART have no L-BFGS attack.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import skimage.data
import torch
from torch import Tensor, nn

from benchmarks.explanations import HOME
from model_store.build import ensure
from model_store.digits import pictures
from rakinglight.algorithms.deepfool import deepfool
from rakinglight.algorithms.lbfgs import lbfgs
from rakinglight.algorithms.linear import linear
from rakinglight.archives import load_network, opened
from rakinglight.backends.torch_backend import Normalized
from rakinglight.engine import Engine
from rakinglight.network import Network
from rakinglight.norms import NORMS, NormName
from rakinglight.objectives import Goal
from rakinglight.queries import Algorithm
from rakinglight.run import Run
from rakinglight.subject import Subject
from scripts.docs import table

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # theirs: deprecated imports of SciPy's
    from art.attacks.evasion import DeepFool
    from art.estimators.classification import PyTorchClassifier
    from foolbox.attacks.deepfool import L2DeepFoolAttack, LinfDeepFoolAttack
    from foolbox.models.pytorch import PyTorchModel

PHOTOGRAPHS = ("chelsea", "coffee", "rocket", "astronaut")
HEAD = ("images", "attack", "norm", "by", "fooled", "median distance", "rows an image")


class Counting(nn.Module):
    """Counts the rows that go through."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module, self.rows = module, 0

    def forward(self, rows: Tensor) -> Tensor:
        self.rows += len(rows)
        logits: Tensor = self.module(rows)
        return logits


@dataclass(frozen=True)
class Case:
    """A network and images [n, C, H, W] that it names right, or that it is taken at its word for."""

    name: str
    network: Network
    module: Counting
    x: Tensor
    y: Tensor
    logits: Tensor


def case(model: str, name: str, x: Tensor | None = None, y: Tensor | None = None) -> Case:
    """The images of a case: x [n, C, H, W] that are as `y` says, or photographs."""
    (path,) = ensure([model], HOME, lambda said: print(said, file=sys.stderr))
    network = load_network(path, home=HOME)
    with opened(path) as archive:
        card = archive.card()
        module = Counting(Normalized(archive.module(card, archive.weights(card)), card.mean, card.std)).eval()
    if x is None:
        x = torch.stack([Subject.of(card, getattr(skimage.data, each)()).seen for each in PHOTOGRAPHS])
    logits = network.forward.forward(x).logits
    first = logits.argmax(1)
    right = first == (first if y is None else y)
    return Case(name.format(int(right.sum())), network, module, x[right], first[right], logits[right])


def ours(attack: Callable[..., Algorithm[Tensor]], about: Case) -> tuple[Tensor, int]:
    """The images found, and the rows that it took for all of them."""
    engine = Engine([about.network])
    images = zip(about.x, about.y.tolist(), about.logits, strict=True)
    runs = [engine.submit(Run(attack(x, Goal(c), logits))) for x, c, logits in images]
    engine.run_until(lambda: all(run.over for run in runs))
    return torch.stack([run.result for run in runs]), sum(engine.counts.rows.values())


def by_foolbox(norm: NormName, about: Case) -> tuple[Tensor, int]:
    attack = {"l2": L2DeepFoolAttack, "linf": LinfDeepFoolAttack}[norm](loss="logits")
    before = about.module.rows
    found: Tensor = attack(PyTorchModel(about.module, bounds=(0, 1), device="cpu"), about.x, about.y, epsilons=None)[0]
    return found, about.module.rows - before


def by_art(about: Case) -> tuple[Tensor, int]:
    classifier = PyTorchClassifier(
        about.module,
        loss=nn.CrossEntropyLoss(),
        input_shape=about.network.card.input_shape,
        nb_classes=len(about.network.card.labels),
        clip_values=(0, 1),
        device_type="cpu",
    )
    attack = DeepFool(classifier, max_iter=50, epsilon=0.02, nb_grads=10, batch_size=16, verbose=False)
    before = about.module.rows
    return torch.from_numpy(attack.generate(about.x.numpy())), about.module.rows - before


def lines(about: Case) -> list[list[str]]:
    """A line of the table for each attack and who did it."""
    said: list[list[str]] = []

    def line(attack: str, norm: NormName, who: str, found: tuple[Tensor, int]) -> None:
        x_adv, rows = found
        with torch.no_grad():
            fooled = about.module(x_adv).argmax(1) != about.y
        far = float(NORMS[norm].size(x_adv - about.x)[fooled].median()) if fooled.any() else float("nan")
        n = len(fooled)
        said.append([about.name, attack, norm, who, f"{int(fooled.sum())} of {n}", f"{far:.4f}", f"{rows / n:.0f}"])
        print(*said[-1], sep=", ", file=sys.stderr, flush=True)

    for norm in NORMS:
        line("linear", norm, "rakinglight", ours(partial(linear, norm=norm), about))
        line("deepfool", norm, "rakinglight", ours(partial(deepfool, norm=norm), about))
        line("deepfool", norm, "Foolbox", by_foolbox(norm, about))
    line("deepfool", "l2", "ART", by_art(about))
    line("lbfgs", "l2", "rakinglight", ours(lbfgs, about))
    return said


def cases(digits: int = 200, photographs: bool = True) -> Iterator[Case]:
    """The digits that the network names right, and the photographs."""
    pixels, labels = pictures("test")
    x = torch.from_numpy(pixels[:digits]).float() / 255
    yield case("lenet5-digits", "{} digits, LeNet-5", x, torch.from_numpy(np.asarray(labels[:digits])))
    if photographs:
        yield case("efficientnet-lite0", "{} photographs, Lite0")


def attack_distances(digits: int = 200, photographs: bool = True) -> str:
    """How near the minimum-norm attacks come, and how near those of Foolbox and ART do."""
    return table(HEAD, [line for each in cases(digits, photographs) for line in lines(each)])


def main(arguments: Sequence[str]) -> int:
    quick = "--quick" in arguments
    print(attack_distances(16, photographs=False) if quick else attack_distances())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
