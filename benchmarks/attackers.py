"""Who attacks at length: PGD in forty steps, and DeepFool, sixteen photographs at a time, here and in the libraries.

pgd_40    forty steps of 2/255 in the l-infinity ball of 8/255, no random start
deepfool  the nearest boundary in l2: fifty steps at most, ten candidates, an overshoot of 0.02

Through its operation ours ends with a PNG that is proven, and of DeepFool's floats, which rounding undoes, the nearest
such picture is searched for: rows that the peers do not spend. So DeepFool has a row without it, too.

torchattacks' DeepFool has no candidates: it takes the gradients of all classes, of Lite0's a thousand a step. It is
given a network that has the ten likeliest alone. ART's takes the gradients of the candidates of all images of a batch
for every one of them, so it is given one image at a time. Foolbox's goes on with a whole batch until its last image
has fallen.

What they find differs, so no time alone says who is better: on a photograph ours and Foolbox's went 0.033 in l2, ART's
0.117 in fewer steps, and torchattacks' stayed before the boundary for all fifty. `benchmarks.distances` compares that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn

from benchmarks import contenders
from benchmarks.contenders import ALPHA, DEEPFOOL, EPS, Asked, Contender, Counted, Job, Pixels, Spent, peer, stacked
from benchmarks.service import Service
from rakinglight.algorithms.deepfool import deepfool
from rakinglight.backends.torch_backend import Normalized
from rakinglight.engine import Engine
from rakinglight.network import Network
from rakinglight.objectives import Goal
from rakinglight.queries import Algorithm, Forward
from rakinglight.run import Run

STEPS = 40
#: Whom the others are compared with. torchattacks' DeepFool may stay before the boundary until its steps are spent.
REFERENCE = "Foolbox"
ASKED: dict[Job, Asked] = {
    "pgd_40": Asked("attack", "pgd", {"norm": "linf", "epsilon": EPS, "step_size": ALPHA, "steps": STEPS}),
    "deepfool": Asked("attack", "deepfool", {"norm": "l2", **DEEPFOOL}),
}


def attackers(network: Network, module: nn.Module, server: Service | None, images: int) -> list[Contender]:
    """Everyone, with so many images at a time."""
    card, found = network.card, list[Contender]()
    counted = Counted(Normalized(module, card.mean, card.std)).eval().requires_grad_(False)
    for job, asked in ASKED.items():
        found.append(contenders.in_process(network, job, asked, images))
        if server:
            found.append(contenders.through_service(server, card.name, job, asked, images))
    found.append(floats_alone(network, images))
    steps = {"steps": STEPS}
    doing: dict[Job, dict[str, Callable[[Tensor], object]]] = {
        "pgd_40": {
            f"torchattacks, batch of {images}": contenders.torchattacks_pgd(counted, card, **steps),
            f"Foolbox, batch of {images}": contenders.foolbox_pgd(counted, card, **steps),
            f"ART, batch of {images}": contenders.art_pgd(counted, card, **steps),
        },
        "deepfool": {
            "torchattacks, of ten classes, one by one": partial(contenders.torchattacks_deepfool, counted),
            f"Foolbox, batch of {images}": partial(contenders.foolbox_deepfool, counted),
            "ART, batch of 1": contenders.art_deepfool(counted, card),
        },
    }
    for job, runs in doing.items():
        for name, run in runs.items():
            found.append(peer(name, card, job, counted, run, images, first=name.startswith(REFERENCE)))
    return found


def floats_alone(network: Network, images: int) -> Contender:
    """Our DeepFool with nothing around it but a look at the image: what the peers do."""
    engine = Engine([network])

    def attack(x: Tensor) -> Algorithm[Tensor]:
        logits = (yield Forward(x)).logits
        goal = Goal(int(logits.argmax()))
        return (yield from deepfool(x, goal, logits, norm="l2", **DEEPFOOL))

    def work(pixels: Sequence[Pixels]) -> None:
        runs = [engine.submit(Run(attack(x))) for x in stacked(pixels)]
        engine.run_until(lambda: all(run.over for run in runs))
        for run in runs:
            _ = run.result

    def spent() -> Spent:
        passes, rows = engine.counts.passes, engine.counts.rows
        return Spent(sum(passes.values()), sum(rows.values()), rows["gradient"])

    name = f"rakinglight, in process, {contenders.at_once(images)}, floats alone"
    return Contender(name, network.card.name, "deepfool", images, work, spent)
