"""Who is measured: each takes the same images through the same network, and counts what it sends there.

The job is `classify`, or PGD in ten steps of 2/255 in the l-infinity ball of 8/255 with no random start, or one of the
explanations of `benchmarks.explainers`. In PGD ours looks at the image first, and judges the 8-bit picture and the
exact tensor at the end: three forward rows that the peers do not spend. They run the plain module of the same archive
in PyTorch's eager mode, as their users do.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

import rakinglight.vision  # noqa: F401  before the peers that import torchvision themselves
from benchmarks.service import Service
from rakinglight import eight_bit
from rakinglight.backends.torch_backend import Normalized
from rakinglight.card import Card
from rakinglight.engine import Engine
from rakinglight.network import Network
from rakinglight.question import Question

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # theirs: deprecated imports of SciPy's, and a pin of requests'
    import foolbox
    import torchattacks
    from art.attacks.evasion import ProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

Pixels = np.ndarray[Any, Any]
Job = Literal["classify", "pgd", "sliding", "rise", "integrated_gradients"]

EPS, ALPHA, STEPS = 8 / 255, 2 / 255, 10


@dataclass(frozen=True)
class Spent:
    """What went through the network so far."""

    passes: int
    rows: int

    def __add__(self, more: Spent) -> Spent:
        return Spent(self.passes + more.passes, self.rows + more.rows)

    def __sub__(self, before: Spent) -> Spent:
        return Spent(self.passes - before.passes, self.rows - before.rows)


@dataclass(frozen=True)
class Contender:
    """One way of doing a job.

    model      the network's name
    images     how many it is given at a time
    work       does the job for as many images, uint8 [H, W, C]
    spent      what it has sent through the network since it began
    reference  whether it is the one that the others are compared with: how the field does it
    turns      how often it is measured in a round: what is quick, more often
    """

    name: str
    model: str
    job: Job
    images: int
    work: Callable[[Sequence[Pixels]], object]
    spent: Callable[[], Spent]
    reference: bool = False
    turns: int = 1


@dataclass(frozen=True)
class Asked:
    """What our own are asked for."""

    operation: str
    method: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def of(self, model: str, picture: Pixels) -> Question:
        return Question(self.operation, model, picture, self.method, self.parameters)


#: What a service is asked for, too.
ASKED: Mapping[Job, Asked] = {"classify": Asked("classify"), "pgd": Asked("attack", "pgd")}


def in_process(network: Network, job: Job, asked: Asked, images: int, name: str = "") -> Contender:
    """The engine in this process: alone, or with so many runs at once."""
    engine = Engine([network])

    def work(pixels: Sequence[Pixels]) -> None:
        runs = [engine.submit(asked.of(network.card.name, picture).begin(engine.networks)) for picture in pixels]
        engine.run_until(lambda: all(run.over for run in runs))
        for run in runs:
            _ = run.result  # raises what went wrong

    def spent() -> Spent:
        return Spent(sum(engine.counts.passes.values()), sum(engine.counts.rows.values()))

    name = name or f"rakinglight, in process, {_runs(images)}"
    return Contender(name, network.card.name, job, images, work, spent, turns=turns(job, images))


def turns(job: Job, images: int) -> int:
    """How often a contender is measured in a round."""
    return 3 if job in ASKED and images == 1 else 1


def through_service(service: Service, model: str, job: Job, callers: int) -> Contender:
    """The service over REST, asked by so many callers at once, one image each."""
    asked = ASKED[job]
    client = service.client.model(model)

    def ask(picture: Pixels) -> None:
        client.ask(asked.operation, picture, asked.method, include=[] if job == "classify" else ["adversarial"])

    def work(pixels: Sequence[Pixels]) -> None:
        with ThreadPoolExecutor(callers) as threads:
            list(threads.map(ask, pixels))

    def spent() -> Spent:
        return Spent(service.count("passes"), service.count("rows"))

    name = f"rakinglight, {service.engine} service, {callers} caller{'s' if callers > 1 else ''}"
    return Contender(name, model, job, callers, work, spent, turns=turns(job, callers))


def peers(card: Card, module: nn.Module, job: Job, batch: int) -> list[Contender]:
    """The same job by others, with so many images in a batch."""
    counted = Counted(Normalized(module, card.mean, card.std)).eval()
    doing: dict[str, Callable[[nn.Module, Card], Callable[[Tensor], object]]] = (
        {"PyTorch, eager": eager, "ART": art_classify}
        if job == "classify"
        else {"torchattacks": torchattacks_pgd, "Foolbox": foolbox_pgd, "ART": art_pgd}
    )

    def contender(name: str, run: Callable[[Tensor], object], *, first: bool) -> Contender:
        return Contender(
            f"{name}, batch of {batch}",
            card.name,
            job,
            batch,
            lambda pixels: run(stacked(pixels)),
            lambda: counted.spent,
            reference=first and batch == 1,
            turns=turns(job, batch),
        )

    return [contender(name, make(counted, card), first=i == 0) for i, (name, make) in enumerate(doing.items())]


class Counted(nn.Module):
    """A network that counts what it is asked."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.spent = Spent(0, 0)

    def forward(self, x: Tensor) -> Tensor:
        self.spent = Spent(self.spent.passes + 1, self.spent.rows + len(x))
        logits: Tensor = self.network(x)
        return logits


def stacked(pixels: Sequence[Pixels]) -> Tensor:
    """[n, C, H, W] in [0, 1]."""
    return torch.from_numpy(np.stack([eight_bit.to_float(picture) for picture in pixels]))


def labels(module: nn.Module, x: Tensor) -> Tensor:
    """What the network says of x: an attack leaves its prediction, as ours does. Costs the peers a row an image."""
    with torch.no_grad():
        return module(x).argmax(1)  # type: ignore[no-any-return]


def eager(module: nn.Module, _: Card) -> Callable[[Tensor], object]:
    return lambda x: labels(module, x)


def art_classify(module: nn.Module, card: Card) -> Callable[[Tensor], object]:
    classifier = art_classifier(module, card)
    return lambda x: classifier.predict(x.numpy(), batch_size=len(x))


def torchattacks_pgd(module: nn.Module, _: Card) -> Callable[[Tensor], object]:
    attack = torchattacks.PGD(module, eps=EPS, alpha=ALPHA, steps=STEPS, random_start=False)
    return lambda x: attack(x, labels(module, x))


def foolbox_pgd(module: nn.Module, _: Card) -> Callable[[Tensor], object]:
    model = foolbox.models.pytorch.PyTorchModel(module, bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.LinfPGD(abs_stepsize=ALPHA, steps=STEPS, random_start=False)
    return lambda x: attack.run(model, x, foolbox.criteria.Misclassification(labels(module, x)), epsilon=EPS)


def art_pgd(module: nn.Module, card: Card) -> Callable[[Tensor], object]:
    classifier = art_classifier(module, card)

    def run(x: Tensor) -> object:
        attack = ProjectedGradientDescent(
            classifier, eps=EPS, eps_step=ALPHA, max_iter=STEPS, num_random_init=0, batch_size=len(x), verbose=False
        )
        return attack.generate(x.numpy())  # asks for the labels itself

    return run


def art_classifier(module: nn.Module, card: Card) -> Any:
    return PyTorchClassifier(
        module, nn.CrossEntropyLoss(), card.input_shape, len(card.labels), clip_values=(0.0, 1.0), device_type="cpu"
    )


def _runs(images: int) -> str:
    return "alone" if images == 1 else f"{images} runs at once"
