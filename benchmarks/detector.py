"""The detector of `lenet5-digits` under attack: by those that do not know of it, and by one that does.

    python -m benchmarks.detector              200 digits
    python -m benchmarks.detector --digits 10  of fewer

Most attacks know of the network alone. One knows of the detector too: it is on both as one network with a class more,
"rejected", which is first exactly where the detector rejects (Carlini & Wagner, "Adversarial Examples Are Not Easily
Detected: Bypassing Ten Detection Methods", AISec 2017). To reach another digit there is to be misread and not rejected.
What comes of it is judged like the rest, by the network and its detector as they are served.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.campaign import (
    HOME,
    LIVE,
    Array,
    Result,
    answers,
    digits,
    engine_of,
    growing,
    networks,
    one_after_another,
    percent,
    show,
)
from model_store.training.adversarial import EPSILON
from rakinglight.archives import find_archives, opened
from rakinglight.backends.torch_backend import TorchBackend
from rakinglight.detector import Detector
from rakinglight.engine import Engine
from rakinglight.network import Network

MODEL = "lenet5-digits"
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


class Guarded(nn.Module):
    """A network and its detector as one: logits [n, K + 1], of which the last is first where the detector rejects."""

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
        # Carlini and Wagner multiply; a sum keeps the order where the largest logit is negative, too.
        return torch.cat([Z, (Z.amax(1) + s)[:, None]], dim=1)


def guarded(plain: Network, module: nn.Module) -> Network:
    """`plain`, whose module is `module`, and its detector as one network."""
    assert plain.detector is not None
    card = replace(plain.card, labels=(*plain.card.labels, "rejected"), layers={}, detector=None)
    backend = TorchBackend(Guarded(module, plain.detector), card.mean, card.std)
    return Network.probed(card, [backend], backend)


def report(count: int = COUNT) -> Iterator[str]:
    """The page, anew with every row."""
    engine, (x, y), (clean, _) = engine_of(MODEL), digits(count), digits(CLEAN)
    said = answers(engine, MODEL, "classify", clean, detector=True)
    before = (
        f"Of {len(clean)} clean test digits the detector rejects "
        f"{percent(one['detector']['rejected'] for one in said)}. Fooled: the first {count} test digits that the "
        "attack, as a proven 8-bit picture, makes the network misread; rejected: the share of these that the detector "
        f"finds. It learnt from PGD-40 at {EPSILON:g} in linf, and from nothing else."
    )
    after = (
        f"The attack that includes the detector: APGD on the cross-entropy towards the {TARGETS} likeliest other "
        "digits in turn, on a network that has a class more for what is rejected. Fooled: misread and not rejected, of "
        "all digits; in a larger ball also what was in a smaller one."
    )
    unaware = growing(("attack", "fooled, of all", "rejected, of these", "misread and not rejected, of all"),
                      _unaware(engine, x, y), before)  # fmt: skip
    aware = growing(("linf", "fooled, of all", "the same attack without the detector"), _aware(engine, x, y), after)
    return one_after_another(unaware, aware)


def _unaware(engine: Engine, x: Sequence[Array], y: Sequence[int]) -> Iterator[list[str]]:
    for method, parameters in ATTACKS:
        each = [{"label": label} for label in y]
        found = answers(engine, MODEL, "attack", x, method, each, detector=True, **parameters)
        fooled = [one for one in found if _misread(one)]
        settings = ", ".join(f"{name} {value}" for name, value in parameters.items())
        yield [
            f"`{method}` {settings}",
            percent(map(_misread, found)),
            percent(one["rejected"] for one in fooled),
            percent(one["success"] for one in found),
        ]


def _misread(found: Result) -> bool:
    """Whether an attack is where it wanted to be, whatever the detector says."""
    after, target = found["after"]["index"], found["target"]
    there = after != found["label"]["index"] if target is None else after == target["index"]
    return there and not found["already_misclassified"]


def _aware(engine: Engine, x: Sequence[Array], y: Sequence[int]) -> Iterator[list[str]]:
    (plain,) = networks(MODEL)
    with opened(find_archives(HOME)[MODEL]) as archive:
        module = archive.module(plain.card, archive.weights(plain.card))
    both = Engine([guarded(plain, module)], live_limit=LIVE)
    said = answers(engine, MODEL, "classify", x, top_k=len(plain.card.labels))
    order = [[one["index"] for one in each["predictions"]] for each in said]
    others = [[c for c in classes if c != label][:TARGETS] for classes, label in zip(order, y, strict=True)]
    with_it: dict[int, Array] = {}
    without: dict[int, Array] = {}
    for epsilon in STRENGTHS:  # a larger ball holds what was found in a smaller one
        _reach(both, x, y, others, epsilon, with_it)
        _reach(engine, x, y, others, epsilon, without)
        shown = [with_it.get(i, image) for i, image in enumerate(x)]
        judged = answers(engine, MODEL, "classify", shown, detector=True)
        through = [
            i in with_it and one["prediction"]["index"] != y[i] and not one["detector"]["rejected"]
            for i, one in enumerate(judged)
        ]
        yield [f"{epsilon:g}", percent(through), percent(i in without for i in range(len(x)))]


def _reach(
    engine: Engine,
    x: Sequence[Array],
    y: Sequence[int],
    others: Sequence[Sequence[int]],
    epsilon: float,
    reached: dict[int, Array],
) -> None:
    """Attack those digits that are not `reached` yet, towards one of the `others` after the other; add the pictures."""
    for place in range(TARGETS):
        left = [i for i in range(len(x)) if i not in reached]
        each = [{"label": y[i], "target": others[i][place]} for i in left]
        asked = {"epsilon": epsilon, "loss": LOSS, "early_stop": True}
        found = answers(engine, MODEL, "attack", [x[i] for i in left], "apgd", each, **asked)
        reached |= {i: one["adversarial"] for i, one in zip(left, found, strict=True) if one["success"]}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detector", description=__doc__)
    parser.add_argument("--digits", type=int, default=COUNT)
    sys.exit(show(report(parser.parse_args().digits)))
