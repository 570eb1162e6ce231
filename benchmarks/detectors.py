"""The detector beside `lenet5-digits`: what it lets pass, under attacks that it did not learn from.

    python -m benchmarks.detectors              200 digits
    python -m benchmarks.detectors --digits 10  of fewer

It learnt from PGD-40 in the linf ball of 0.15 (`model_store.training.safetynet`). Here every other attack, and other
strengths of that one, knows of the network alone; then one knows of the detector too, and goes for both.

That one attacks a network with a class more, "rejected", which is first exactly where the detector rejects (Carlini &
Wagner, "Adversarial examples are not easily detected: bypassing ten detection methods", AISec 2017, section 5.4). To
reach another digit there is to be misread and not rejected.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.campaign import (
    HOME,
    LIVE,
    Array,
    answers,
    digits,
    engine_of,
    growing,
    networks,
    one_after_another,
    percent,
    show,
)
from rakinglight import eight_bit
from rakinglight.archives import DETECTOR, find_archives, opened
from rakinglight.backends.torch_backend import TorchBackend
from rakinglight.detector import Detector
from rakinglight.engine import Engine
from rakinglight.network import Ladder, Network

MODEL, GUARDED, REJECTED = "lenet5-digits", "lenet5-digits-guarded", 10
COUNT, CLEAN = 200, 500
#: Strengths in linf, in l2, and attacks that look for the nearest picture.
ATTACKS: Sequence[tuple[str, Mapping[str, Any]]] = (
    *(("fgsm", {"epsilon": epsilon}) for epsilon in (0.1, 0.15, 0.2, 0.3)),
    *(("pgd", {"epsilon": epsilon, "steps": 40}) for epsilon in (0.05, 0.1, 0.13, 0.2, 0.3)),
    ("pgd", {"epsilon": 1.5, "norm": "l2", "steps": 40}),
    ("pgd", {"epsilon": 3.0, "norm": "l2", "steps": 40}),
    ("apgd", {"epsilon": 0.1}),
    ("apgd", {"epsilon": 0.1, "loss": "dlr"}),
    ("least_likely", {"epsilon": 0.2}),
    ("square", {"epsilon": 0.2, "queries": 500}),
    ("deepfool", {"norm": "l2"}),
    ("lbfgs", {"steps": 10, "binary_search_steps": 4}),
)
#: At which the attack goes for both, and towards how many of the other digits, the likeliest first.
STRENGTHS, TARGETS = (0.05, 0.1, 0.13, 0.2), 3
#: The ratio of logits looks at the label and the target alone, and never at the class of what is rejected.
LOSS = "cross_entropy"
#: Rows of a pass of the guarded network, whose ladder nobody has measured.
ROWS = 32


class Guarded(nn.Module):
    """A network and its detector as one: logits [n, K + 1], of which the last is first where the detector rejects."""

    def __init__(self, network: nn.Module, detector: Detector) -> None:
        super().__init__()
        self.network, self.detector = network, detector

    def forward(self, x: Tensor) -> Tensor:
        logits, score = self.scored(x)
        # Carlini and Wagner multiply; a sum keeps the order where the largest logit is negative, too.
        return torch.cat([logits, logits.amax(1, keepdim=True) + score[:, None]], dim=1)

    def scored(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The logits, and by how much the detector's score is above its limit: [n, K] and [n]."""
        heard: dict[str, Tensor] = {}
        hooks = [
            self.network.get_submodule(layer).register_forward_hook(
                lambda _module, _inputs, output, layer=layer: heard.__setitem__(layer, output.flatten(1))
            )
            for layer in self.detector.about.layers
        ]
        try:
            logits: Tensor = self.network(x)
        finally:
            for hook in hooks:
                hook.remove()
        code = torch.cat([heard[layer] for layer in self.detector.about.layers], dim=1)
        return logits, self.detector(code) - self.detector.limit


def report(count: int = COUNT) -> Iterator[str]:
    """The page, anew with every row."""
    network = guarded()
    (x, y), (clean, _) = digits(count), digits(CLEAN)
    before = (
        f"Of {len(clean)} clean test digits the detector rejects "
        f"{percent((answered(network, clean) == REJECTED).tolist())}. Fooled: the first {count} test digits that the "
        "attack, as a proven 8-bit picture, makes the network misread; rejected: the share of these that the detector "
        "finds. It learnt from PGD-40 at 0.15."
    )
    after = (
        f"The attack that includes the detector: APGD on the cross-entropy towards the {TARGETS} likeliest other "
        "digits in turn, on a network that has a class more for what is rejected. Fooled: misread and not rejected, of "
        "all digits; in a larger ball also what was in a smaller one."
    )
    unaware = growing(("attack", "fooled, of all", "rejected, of these", "misread and not rejected, of all"),
                      _unaware(network, x, y), before)  # fmt: skip
    aware = growing(("linf", "fooled, of all", "the same attack without the detector"), _aware(network, x, y), after)
    return one_after_another(unaware, aware)


def _unaware(network: Network, x: Sequence[Array], y: Sequence[int]) -> Iterator[list[str]]:
    for method, parameters in ATTACKS:
        found = answers(engine_of(MODEL), MODEL, "attack", x, method, [{"label": c} for c in y], **parameters)
        fooled = [bool(one["success"]) for one in found]
        rejected = (answered(network, [one["adversarial"] for one in found]) == REJECTED).tolist()
        passed = [f and not r for f, r in zip(fooled, rejected, strict=True)]
        among = [r for f, r in zip(fooled, rejected, strict=True) if f]
        settings = ", ".join(f"{name} {value}" for name, value in parameters.items())
        yield [f"`{method}` {settings}", percent(fooled), percent(among) if among else "–", percent(passed)]


def _aware(network: Network, x: Sequence[Array], y: Sequence[int]) -> Iterator[list[str]]:
    (plain,) = networks(MODEL)
    found = {one.card.name: [False] * len(x) for one in (network, plain)}
    for epsilon in STRENGTHS:  # a larger ball holds what was found in a smaller one
        for one in (network, plain):
            found[one.card.name] = _reached(one, x, y, epsilon, found[one.card.name])
        yield [f"{epsilon:g}", *map(percent, found.values())]


def _reached(
    network: Network, x: Sequence[Array], y: Sequence[int], epsilon: float, before: Sequence[bool]
) -> list[bool]:
    """Of which digits another digit is the network's first answer after the attack, where it began with the right one.

    before  those of which that is known
    """
    engine, name = Engine([network], live_limit=LIVE), network.card.name
    logits = torch.stack(
        [network.forward.forward(torch.from_numpy(eight_bit.to_float(one))[None]).logits[0] for one in x]
    )
    order = logits[:, :REJECTED].argsort(1, descending=True).tolist()
    others = [[c for c in classes if c != label][:TARGETS] for classes, label in zip(order, y, strict=True)]
    reached = list(before)
    for place in range(TARGETS):
        left = [i for i, done in enumerate(reached) if not done]
        each = [{"label": y[i], "target": others[i][place]} for i in left]
        asked = {"epsilon": epsilon, "loss": LOSS, "early_stop": True}
        found = answers(engine, name, "attack", [x[i] for i in left], "apgd", each, **asked)
        for i, one in zip(left, found, strict=True):
            reached[i] = bool(one["success"])
    return reached


def guarded() -> Network:
    """The network with its detector as a class more."""
    (plain,) = networks(MODEL)
    with opened(find_archives(HOME)[MODEL]) as archive:
        module = archive.module(plain.card, archive.weights(plain.card))
        detector = Detector.from_bytes(archive.read(DETECTOR))
    card = replace(plain.card, name=GUARDED, labels=(*plain.card.labels, "rejected"))
    backend, upto = TorchBackend(Guarded(module, detector), card.mean, card.std), Ladder(tuple(range(1, ROWS + 1)))
    return Network(card, backend, backend, upto, upto)


def answered(network: Network, images: Sequence[Array]) -> Tensor:
    """The first answer to each image, int64 [n]."""
    x = torch.from_numpy(np.stack([eight_bit.to_float(image) for image in images]))
    return torch.cat([network.forward.forward(rows).logits.argmax(1) for rows in torch.split(x, ROWS)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detectors", description=__doc__)
    parser.add_argument("--digits", type=int, default=COUNT)
    sys.exit(show(report(parser.parse_args().digits)))
