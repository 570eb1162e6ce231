"""Who is measured: each takes the same images through the same network, and counts what it sends there.

The job is `classify`, or PGD in ten steps of 2/255 in the l-infinity ball of 8/255 with no random start, or one of the
explanations of `benchmarks.explainers`, or one of the longer attacks of `benchmarks.attackers`. In PGD ours looks at
the image first, and judges the 8-bit picture and the exact tensor at the end: three forward rows that the peers do not
spend. They run the plain module of the same archive in PyTorch's eager mode, as their users do.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
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
    from art.attacks.evasion import DeepFool, ProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier
    from foolbox.attacks.deepfool import L2DeepFoolAttack

Pixels = np.ndarray[Any, Any]
Job = Literal["classify", "pgd", "sliding", "rise", "integrated_gradients", "pgd_40", "deepfool", "invert"]

EPS, ALPHA, STEPS = 8 / 255, 2 / 255, 10
#: In the words of ours and Foolbox's.
DEEPFOOL: Mapping[str, Any] = {"steps": 50, "candidates": 10, "overshoot": 0.02}
#: The longest that the service gives a request: what is cut off at its deadline is no contender.
DEADLINE_S = 600


@dataclass(frozen=True)
class Spent:
    """What went through the network so far.

    passes, rows  forward, whether or not they went back too
    back          rows that went back: of which a gradient was taken, as often as one was
    """

    passes: int
    rows: int
    back: int

    def __add__(self, more: Spent) -> Spent:
        return Spent(self.passes + more.passes, self.rows + more.rows, self.back + more.back)

    def __sub__(self, before: Spent) -> Spent:
        return Spent(self.passes - before.passes, self.rows - before.rows, self.back - before.back)


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

    def of(self, model: str, picture: Pixels, who: int = 0) -> Question:
        """The question of one of many callers."""
        asked = Question(self.operation, model, picture, self.method, self.parameters, seconds=math.inf)
        return replace(asked, caller=f"caller {who}", seed=who)


#: What a service is asked for, too.
ASKED: Mapping[Job, Asked] = {"classify": Asked("classify"), "pgd": Asked("attack", "pgd")}


def in_process(network: Network, job: Job, asked: Asked, images: int, name: str = "") -> Contender:
    """The engine in this process: alone, or with so many runs at once."""
    engine = Engine([network])

    def work(pixels: Sequence[Pixels]) -> None:
        questions = [asked.of(network.card.name, picture, i) for i, picture in enumerate(pixels)]
        runs = [engine.submit(question.begin(engine.networks)) for question in questions]
        engine.run_until(lambda: all(run.over for run in runs))
        for run in runs:
            _ = run.result  # raises what went wrong

    def spent() -> Spent:
        passes, rows = engine.counts.passes, engine.counts.rows
        return Spent(sum(passes.values()), sum(rows.values()), rows["gradient"])

    name = name or f"rakinglight, in process, {at_once(images)}"
    return Contender(name, network.card.name, job, images, work, spent, turns=turns(job, images))


def turns(job: Job, images: int) -> int:
    """How often a contender is measured in a round."""
    return 3 if job in ASKED and images == 1 else 1


def through_service(service: Service, model: str, job: Job, asked: Asked, callers: int) -> Contender:
    """The service over REST, asked by so many callers at once, one image each."""
    client = service.client.model(model)
    include = ["adversarial"] if asked.operation == "attack" else []

    def ask(picture: Pixels) -> None:
        client.ask(asked.operation, picture, asked.method, include=include, deadline_s=DEADLINE_S, **asked.parameters)

    def work(pixels: Sequence[Pixels]) -> None:
        with ThreadPoolExecutor(callers) as threads:
            list(threads.map(ask, pixels))

    def spent() -> Spent:
        return Spent(service.count("passes"), service.count("rows"), service.count("rows", "gradient"))

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
    return [
        peer(f"{name}, batch of {batch}", card, job, counted, make(counted, card), batch, first=not i and batch == 1)
        for i, (name, make) in enumerate(doing.items())
    ]


def peer(
    name: str, card: Card, job: Job, network: Counted, run: Callable[[Tensor], object], batch: int, *, first: bool
) -> Contender:
    """One that takes so many images [n, C, H, W] at once; the reference if it is `first`."""
    return Contender(
        name,
        card.name,
        job,
        batch,
        lambda pixels: run(stacked(pixels)),
        lambda: network.spent,
        reference=first,
        turns=turns(job, batch),
    )


class Counted(nn.Module):
    """A network that counts what it is asked."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.spent = Spent(0, 0, 0)

    def forward(self, x: Tensor) -> Tensor:
        self.spent += Spent(1, len(x), 0)
        logits: Tensor = self.network(x)
        if logits.requires_grad:
            logits.register_hook(self._back)  # type: ignore[no-untyped-call]
        return logits

    def _back(self, slope: Tensor) -> None:
        self.spent += Spent(0, 0, len(slope))


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


def torchattacks_pgd(module: nn.Module, _: Card, steps: int = STEPS) -> Callable[[Tensor], object]:
    attack = torchattacks.PGD(module, eps=EPS, alpha=ALPHA, steps=steps, random_start=False)
    return lambda x: attack(x, labels(module, x))


def foolbox_pgd(module: nn.Module, _: Card, steps: int = STEPS) -> Callable[[Tensor], object]:
    model = foolbox.models.pytorch.PyTorchModel(module, bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.LinfPGD(abs_stepsize=ALPHA, steps=steps, random_start=False)
    return lambda x: attack.run(model, x, foolbox.criteria.Misclassification(labels(module, x)), epsilon=EPS)


def art_pgd(module: nn.Module, card: Card, steps: int = STEPS) -> Callable[[Tensor], object]:
    classifier = art_classifier(module, card)

    def run(x: Tensor) -> object:
        attack = ProjectedGradientDescent(
            classifier, eps=EPS, eps_step=ALPHA, max_iter=steps, num_random_init=0, batch_size=len(x), verbose=False
        )
        return attack.generate(x.numpy())  # asks for the labels itself

    return run


class Likeliest(nn.Module):
    """A network of which only some classes are left, by their numbers [k]."""

    def __init__(self, network: nn.Module, classes: Tensor) -> None:
        super().__init__()
        self.network, self.classes = network, classes

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        return logits[:, self.classes]


def torchattacks_deepfool(module: nn.Module, x: Tensor) -> object:
    found = []
    for one in x:
        with torch.no_grad():
            classes = module(one[None])[0].topk(DEEPFOOL["candidates"]).indices
        settings = {"steps": DEEPFOOL["steps"], "overshoot": DEEPFOOL["overshoot"]}
        attack = torchattacks.DeepFool(Likeliest(module, classes).eval(), **settings)
        found.append(attack(one[None], torch.tensor([0])))
    return found


def foolbox_deepfool(module: nn.Module, x: Tensor) -> object:
    model = foolbox.models.pytorch.PyTorchModel(module, bounds=(0, 1), device="cpu")
    attack = L2DeepFoolAttack(loss="logits", **DEEPFOOL)
    return attack.run(model, x, foolbox.criteria.Misclassification(labels(module, x)))


def art_deepfool(module: nn.Module, card: Card) -> Callable[[Tensor], object]:
    classifier = art_classifier(module, card)
    settings = {"max_iter": DEEPFOOL["steps"], "nb_grads": DEEPFOOL["candidates"], "epsilon": DEEPFOOL["overshoot"]}
    attack = DeepFool(classifier, **settings, batch_size=1, verbose=False)
    # One by one: its candidates are those of all images that it is given together.
    return lambda x: [attack.generate(one[None].numpy()) for one in x]


def art_classifier(module: nn.Module, card: Card) -> Any:
    return PyTorchClassifier(
        module, nn.CrossEntropyLoss(), card.input_shape, len(card.labels), clip_values=(0.0, 1.0), device_type="cpu"
    )


def at_once(images: int) -> str:
    return "alone" if images == 1 else f"{images} runs at once"
