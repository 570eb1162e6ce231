"""All ways of explaining at once: none depends on the others, nothing is left behind, and a map is about its class."""

import gc
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from itertools import count, cycle, islice
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from torch import Tensor, nn

from rakinglight.backends.torch_backend import TorchBackend
from rakinglight.catalogue import OPERATIONS
from rakinglight.engine import Engine, Run
from rakinglight.network import Network
from rakinglight.question import Question
from rakinglight.subject import Subject
from tests.networks import network_of

Pixels = np.ndarray[Any, Any]

#: Every method that explains, with its operation.
METHODS = [(o.name, method.name) for o in OPERATIONS.values() if o.picture == "overlay" for method in o.methods]
#: Fewer samples than a caller would take: what is tested here holds for any number.
FEW: Mapping[str, Mapping[str, Any]] = {
    "smoothgrad": {"n_samples": 5},
    "vargrad": {"n_samples": 5},
    "integrated_gradients": {"n_steps": 5},
    "second_order": {"n_samples": 5},
    "rise": {"masks": 20, "cells": 3},
}


def explain(model: str, picture: Pixels, operation: str, method: str, **parameters: Any) -> Question:
    """The question of one method, with few samples; `parameters` that the method does not have are left out."""
    there = OPERATIONS[operation].parameters(OPERATIONS[operation].method(method)).model_fields
    given = {name: value for name, value in parameters.items() if name in there}
    return Question(operation, model, picture, method, {**FEW.get(method, {}), **given}, seed=7)


def attack(model: str, picture: Pixels, method: str, **parameters: Any) -> Question:
    return Question("attack", model, picture, method, parameters, seed=7)


def answers(network: Network, *questions: Question) -> list[Any]:
    """The results of all at once, in one engine, each from a caller of its own."""
    engine = Engine([network])
    runs = [question.begin(engine.networks) for question in questions]
    for number, run in enumerate(runs):
        run.caller = str(number)
        engine.submit(run)
    engine.run_until(lambda: all(run.over for run in runs))
    results = [run.result for run in runs]
    engine.close()
    return results


def difference(a: Any, b: Any, where: str = "") -> Iterator[str]:
    """Where two results have other bits."""
    if isinstance(a, dict) and isinstance(b, dict):
        for name in a.keys() | b.keys():
            yield from difference(a.get(name), b.get(name), f"{where}/{name}")
    elif is_dataclass(a):
        for member in fields(a):
            yield from difference(getattr(a, member.name), getattr(b, member.name), f"{where}/{member.name}")
    elif isinstance(a, np.ndarray):
        if not np.array_equal(a, b):
            yield where
    elif a != b:
        yield where


def assert_together_as_alone(network: Network, questions: list[Question]) -> None:
    for question, together in zip(questions, answers(network, *questions), strict=True):
        (alone,) = answers(network, question)
        assert not list(difference(together, alone)), f"{question.operation} by {question.method}"


# ── all at once, as alone ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def convolutions() -> Iterator[Network]:
    """Two convolutions and a linear layer on 3x12x12 pixels, five classes, for which one thread is quickest."""
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 2), nn.ReLU(), nn.Flatten(), nn.Linear(96, 5)
    )
    layers = {"0": (4, 10, 10), "4": (6, 4, 4)}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield network_of("convolutions", module, (3, 12, 12), layers=layers, counts=(16,))
    torch.set_num_threads(threads)


def picture(number: int, shape: tuple[int, int, int] = (3, 12, 12)) -> Pixels:
    """One exact image, another for another number."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(number)).numpy()


def test_all_methods_and_attacks_at_once_say_what_each_says_alone(convolutions: Network) -> None:
    name = convolutions.card.name
    questions = [
        explain(name, picture(number), *method, target=number % 5, score=score, window=4, stride=2)
        for number, method in enumerate(METHODS)
        for score in ("logit", "log_probability")
    ]
    questions += [attack(name, picture(number), "pgd", steps=3 + number, random_start=True) for number in range(4)]
    questions += [attack(name, picture(9), "fgsm"), Question("classify", name, picture(10))]
    assert_together_as_alone(convolutions, questions)


def test_all_methods_and_attacks_at_once_on_lenet(lenet: Network, digits: tuple[Pixels, Pixels]) -> None:
    images = cycle(digits[0].transpose(0, 2, 3, 1))
    name = lenet.card.name
    questions = [explain(name, next(images), *method, window=8, stride=4) for method in METHODS]
    questions += [attack(name, next(images), "pgd", steps=5 + number, target={"rank": -1}) for number in range(6)]
    questions += [Question("classify", name, next(images)), attack(name, next(images), "fgsm")]
    assert_together_as_alone(lenet, questions)


def test_some_methods_and_an_attack_at_once_on_lite0(lite0: Network, photographs: dict[str, Pixels]) -> None:
    name, chelsea = lite0.card.name, photographs["chelsea"]
    few = [
        method
        for method in METHODS
        if method[1] in ("gradient", "guided_backprop", "grad_cam", "smoothgrad", "sliding")
    ]
    questions = [explain(name, chelsea, *method, window=112, stride=56) for method in few]
    questions += [attack(name, photographs["coffee"], "pgd", steps=3)]
    assert_together_as_alone(lite0, questions)


# ── nothing left behind ─────────────────────────────────────────────────────────────────────────────────────────────


def hooks(network: Network) -> int:
    assert isinstance(network.gradient, TorchBackend)
    modules = network.gradient.module.modules()
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in modules)


def tensors() -> int:
    gc.collect()
    return sum(issubclass(type(found), Tensor) for found in gc.get_objects())


def test_memory_is_flat_over_a_thousand_calls(convolutions: Network) -> None:
    engine, numbers = Engine([convolutions]), count()
    asked = cycle([("attack", "pgd"), *METHODS])

    def call(times: int) -> None:
        for operation, method in islice(asked, times):
            image = picture(next(numbers))
            question = explain(convolutions.card.name, image, operation, method, window=4, stride=4, steps=2)
            run: Run[Any] = engine.submit(question.begin(engine.networks))
            while not run.over:
                engine.step()
            assert run.result

    call(10 * len(METHODS))
    resident, alive, hooked = psutil.Process().memory_info().rss, tensors(), hooks(convolutions)
    call(1000)
    assert tensors() <= alive
    assert hooks(convolutions) == hooked
    assert psutil.Process().memory_info().rss - resident < 10 * 2**20
    engine.close()


# ── whose map it is ─────────────────────────────────────────────────────────────────────────────────────────────────

ESPRESSO, CAT = 967, 285
#: The side that each lies on: the coffee left, the cat right.
SIDES = {ESPRESSO: [(0, 0, 224, 112)], CAT: [(0, 112, 224, 224)]}


@pytest.fixture(scope="module")
def coffee_and_cat(lite0: Network, photographs: dict[str, Pixels]) -> Pixels:
    """The middle of two photographs side by side, as the model sees them: an exact image [3, 224, 224]."""
    coffee, cat = (Subject.of(lite0.card, photographs[name]).seen for name in ("coffee", "chelsea"))
    return torch.cat([coffee[:, :, 56:168], cat[:, :, 56:168]], 2).numpy()


def maps_of_both(network: Network, pixels: Pixels, operation: str, method: str, **parameters: Any) -> list[Any]:
    """What the method says of the espresso and of the cat; one picture, one engine."""
    given = {**parameters, "evaluate": ["localization"]}
    questions = [
        Question(operation, network.card.name, pixels, method, {**given, "target": target, "boxes": boxes})
        for target, boxes in SIDES.items()
    ]
    return answers(network, *questions)


#: How much of the map's positive part is on the thing's own side, at least, of both: half would say nothing.
OWN_SIDE = [
    ("saliency", "gradient", {}, 0.6),
    ("saliency", "gradient_x_input", {}, 0.58),
    ("saliency", "smoothgrad", {"n_samples": 16}, 0.55),
    ("saliency", "vargrad", {"n_samples": 16}, 0.6),
    ("saliency", "integrated_gradients", {"n_steps": 16}, 0.52),
    ("saliency", "grad_cam", {}, 0.85),
    ("occlusion", "sliding", {"window": 56, "stride": 28}, 0.7),
    ("occlusion", "rise", {"masks": 200}, 0.51),
]


@pytest.mark.parametrize(("operation", "method", "parameters", "least"), OWN_SIDE, ids=[m for _, m, _, _ in OWN_SIDE])
def test_the_maps_of_two_classes_differ_and_each_is_larger_on_its_own_thing(
    lite0: Network, coffee_and_cat: Pixels, operation: str, method: str, parameters: dict[str, Any], least: float
) -> None:
    espresso, cat = maps_of_both(lite0, coffee_and_cat, operation, method, **parameters)
    assert np.corrcoef(espresso["map"].ravel(), cat["map"].ravel())[0, 1] < 0.5
    assert min(found["evaluation"]["localization"]["value"] for found in (espresso, cat)) > least


def test_deconvnet_draws_the_same_whatever_the_class(lite0: Network, coffee_and_cat: Pixels) -> None:
    espresso, cat = maps_of_both(lite0, coffee_and_cat, "saliency", "deconvnet")
    assert np.corrcoef(espresso["map"].ravel(), cat["map"].ravel())[0, 1] > 0.98


def test_deconvnet_sees_the_picture_through_max_pooling_alone(
    lite0: Network, lenet: Network, photographs: dict[str, Pixels], digits: tuple[Pixels, Pixels]
) -> None:
    """Lite0 has none, so its map of a class is the same of whatever picture; LeNet-5 has."""

    def maps(network: Network, pictures: Iterable[Pixels]) -> list[Pixels]:
        asked = [Question("saliency", network.card.name, pixels, "deconvnet", {"target": 7}) for pixels in pictures]
        return [found["signed_map"] for found in answers(network, *asked)]

    coffee, *others = maps(lite0, [photographs["coffee"], photographs["chelsea"], np.zeros((9, 9, 3), np.uint8)])
    assert all(np.array_equal(coffee, other) for other in others)
    assert coffee.any()
    one, other = maps(lenet, digits[0][:2] / np.float32(255))
    assert np.abs(one - other).max() > 0.1 * np.abs(one).max()
