"""Our saliency maps beside Captum's, which runs on the plain module of the same archive.

In float64 they agree to 1e-10 of the map's largest element; integrated gradients to 1e-6, as Captum rounds the weights
of its points to float32. Lite0 is compared as it serves, in float32 (in float64 a pass takes seconds): to 1e-4, and to
1e-2 where the map is of many points. Ours adds up in another order, and of millions of rectifiers one or two stand so
near their kink that they flip. A small network of the same rectifiers shows in float64 that the formulas are exact.

Captum hooks `nn.ReLU` alone for guided backpropagation and deconvnet. So where a network has other rectifiers
(Lite0's are ReLU6) the reference is a function of autograd, written here, in place of each of them.
"""

import warnings
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any
from unittest import mock

import captum.attr
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd import Function

from rakinglight.algorithms.deconvnet import deconvnet
from rakinglight.algorithms.grad_cam import grad_cam
from rakinglight.algorithms.gradient import gradient
from rakinglight.algorithms.gradient_x_input import gradient_x_input
from rakinglight.algorithms.guided_backprop import guided_backprop
from rakinglight.algorithms.integrated_gradients import integrated_gradients
from rakinglight.algorithms.smoothgrad import smoothgrad
from rakinglight.algorithms.vargrad import vargrad
from rakinglight.backends.torch_backend import TorchBackend
from rakinglight.engine import Engine
from rakinglight.maps import Map
from rakinglight.network import Ladder, Network
from rakinglight.noise import Noise
from rakinglight.objectives import Logit
from rakinglight.queries import Algorithm
from rakinglight.question import Question
from rakinglight.subject import Subject
from rakinglight.vision import torchvision
from tests.networks import network_of
from tests.plain import Plain, drive_all, module_of, plain, relative_difference

N, LEVEL, STEPS = 4, 0.2, 5
#: The layer that Grad-CAM looks at, by network.
LAYERS = {"lenet5-digits": "c3", "efficientnet-lite0": "blocks.10", "resnet18": "layer3", "bounded": "2"}

Ours = Callable[[Tensor, int, str], Algorithm[Map]]
Peer = Callable[[nn.Module, Tensor, int, str], Tensor]


# ── Captum's, each [C, H, W] or [H, W] ──────────────────────────────────────────────────────────────────────────────


def captums(attribution: Any, x: Tensor, c: int, **how: Any) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells of the hooks it sets, and that it asks for gradients
        found: Tensor = attribution.attribute(x[None].clone().requires_grad_(), target=c, **how)
    return found[0].detach()


def captums_gradient(module: nn.Module, x: Tensor, c: int, layer: str) -> Tensor:
    return captums(captum.attr.Saliency(module), x, c, abs=False)


def captums_gradient_x_input(module: nn.Module, x: Tensor, c: int, layer: str) -> Tensor:
    return captums(captum.attr.InputXGradient(module), x, c)


def captums_noise_tunnel(kind: str) -> Peer:
    def peer(module: nn.Module, x: Tensor, c: int, layer: str) -> Tensor:
        """Of the very noise that ours draws: it has no way to be given one."""
        sigma = LEVEL * (x.max() - x.min())
        drawn = sigma * Noise(0).normal(x.expand(N, *x.shape))
        tunnel = captum.attr.NoiseTunnel(captum.attr.Saliency(module))
        with mock.patch("torch.normal", return_value=drawn) as normal:
            found = captums(tunnel, x, c, nt_type=kind, nt_samples=N, stdevs=float(sigma), abs=False)
        normal.assert_called_once()
        return found.amax(0) if kind == "vargrad" else found  # ours is a pixel's: a variance has no sign to keep

    return peer


def captums_integrated_gradients(module: nn.Module, x: Tensor, c: int, layer: str) -> Tensor:
    ig = captum.attr.IntegratedGradients(module)
    return captums(ig, x, c, baselines=0.25, n_steps=STEPS, method="gausslegendre")


def captums_grad_cam(module: nn.Module, x: Tensor, c: int, layer: str) -> Tensor:
    cells = captums(captum.attr.LayerGradCam(module, module.get_submodule(layer)), x, c, relu_attributions=True)
    enlarged: Tensor = captum.attr.LayerAttribution.interpolate(cells[None], x.shape[-2:], "bilinear")
    return enlarged[0, 0]


def captums_guided(module: nn.Module, x: Tensor, c: int, layer: str) -> Tensor:
    return captums(captum.attr.GuidedBackprop(module), x, c)


def captums_deconvnet(module: nn.Module, x: Tensor, c: int, layer: str) -> Tensor:
    return captums(captum.attr.Deconvolution(module), x, c)


# ── and where it has none: a function of autograd in place of each ReLU6 ────────────────────────────────────────────


class GuidedReLU6(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(0, 6)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,), (g,) = ctx.saved_tensors, gradients
        return g * (x > 0) * (x < 6) * (g > 0)


class DeconvnetReLU6(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clamp(0, 6)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] * (gradients[0] > 0)


class Instead(nn.Module):
    def __init__(self, function: type[Function]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.function.apply(x)  # type: ignore[no-untyped-call]
        return y


def by_surgery(function: type[Function]) -> Peer:
    def peer(module: nn.Module, x: Tensor, c: int, layer: str) -> Tensor:
        module = deepcopy(module)
        found = [name for name, part in module.named_modules() if isinstance(part, nn.ReLU6)]
        assert found
        for name in found:
            owner, _, own = name.rpartition(".")
            setattr(module.get_submodule(owner), own, Instead(function))
        row = x[None].clone().requires_grad_()
        (g,) = torch.autograd.grad(module(row)[0, c], row)
        return g[0]

    return peer


# ── ours beside them ────────────────────────────────────────────────────────────────────────────────────────────────

PAIRS: dict[str, tuple[Ours, Peer]] = {
    "gradient": (lambda x, c, layer: gradient(x, Logit(c)), captums_gradient),
    "gradient_x_input": (lambda x, c, layer: gradient_x_input(x, Logit(c)), captums_gradient_x_input),
    "smoothgrad": (
        lambda x, c, layer: smoothgrad(x, Logit(c), Noise(0), n_samples=N, noise_level=LEVEL),
        captums_noise_tunnel("smoothgrad"),
    ),
    "vargrad": (
        lambda x, c, layer: vargrad(x, Logit(c), Noise(0), n_samples=N, noise_level=LEVEL),
        captums_noise_tunnel("vargrad"),
    ),
    "integrated_gradients": (
        lambda x, c, layer: integrated_gradients(x, Logit(c), Noise(0), n_steps=STEPS, baseline=0.25),
        captums_integrated_gradients,
    ),
    "guided_backprop": (lambda x, c, layer: guided_backprop(x, Logit(c)), captums_guided),
    "deconvnet": (lambda x, c, layer: deconvnet(x, Logit(c)), captums_deconvnet),
    "grad_cam": (lambda x, c, layer: grad_cam(x, Logit(c), "", layer=layer), captums_grad_cam),
}
ON_RELU6 = PAIRS | {
    "guided_backprop": (PAIRS["guided_backprop"][0], by_surgery(GuidedReLU6)),
    "deconvnet": (PAIRS["deconvnet"][0], by_surgery(DeconvnetReLU6)),
}


def near(found: Tensor, expected: Tensor, name: str) -> bool:
    return relative_difference(found, expected) < (1e-6 if name == "integrated_gradients" else 1e-10)


def raw(found: Map) -> Tensor:
    """With signs where the method has them, so that nothing is hidden by a maximum or a sum."""
    return found.map if found.signed is None else found.signed


def ours(network: Network, images: list[tuple[Tensor, int]]) -> dict[str, list[Tensor]]:
    """The maps of all methods of all images, by method, made at once: their rows share passes."""
    layer = LAYERS[network.card.name]
    found = iter(drive_all(network, [make(x, c, layer) for make, _ in PAIRS.values() for x, c in images]))
    return {name: [raw(next(found)) for _ in images] for name in PAIRS}


# LeNet-5, in float64


@pytest.fixture(scope="module")
def numerals(digits: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]) -> list[tuple[Tensor, int]]:
    """Eight digits, and of each a class: its own, or another."""
    x, y = torch.from_numpy(digits[0][:8]).double() / 255, digits[1][:8].tolist()
    return [(row, (label + i // 4) % 10) for i, (row, label) in enumerate(zip(x, y, strict=True))]


@pytest.fixture(scope="module")
def of_lenet(archive_store: Path, numerals: list[tuple[Tensor, int]]) -> dict[str, list[Tensor]]:
    card, module = module_of(archive_store, "lenet5-digits")
    backend = TorchBackend(module, card.mean, card.std, dtype=torch.float64)
    return ours(Network(card, backend, backend, Ladder((32,)), Ladder((32,))), numerals)


@pytest.fixture(scope="module")
def lenet_plain(archive_store: Path) -> Plain:
    return plain(archive_store, "lenet5-digits", torch.float64)


@pytest.mark.parametrize("name", PAIRS)
def test_on_lenet_a_map_is_captums(
    of_lenet: dict[str, list[Tensor]], lenet_plain: Plain, numerals: list[tuple[Tensor, int]], name: str
) -> None:
    layer = f"module.{LAYERS['lenet5-digits']}"
    for found, (x, c) in zip(of_lenet[name], numerals, strict=True):
        assert near(found, PAIRS[name][1](lenet_plain, x, c, layer), name)


def test_the_gap_is_captums_convergence_delta(lenet_plain: Plain, lenet: Network) -> None:
    x = torch.rand(1, 32, 32, generator=torch.Generator().manual_seed(0))
    found = Engine([lenet]).drive(integrated_gradients(x, Logit(3), Noise(0), n_steps=4))
    ig = captum.attr.IntegratedGradients(lenet_plain)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, delta = ig.attribute(x[None].double(), target=3, n_steps=4, return_convergence_delta=True)
    assert found.facts["completeness_gap"] == pytest.approx(float(delta), abs=1e-4)


# A seeded resnet18, in float64: residual blocks whose two activations are one module, which works in place


@pytest.fixture(scope="module")
def residual() -> tuple[nn.Module, Network]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = torchvision.models.resnet18(weights=None).eval()
    seeded = deepcopy(module).double()
    network = network_of("resnet18", module, (3, 32, 32), layers={"layer3": (256, 2, 2)})
    module.load_state_dict(seeded.state_dict())
    for part in seeded.modules():
        if isinstance(part, nn.ReLU):
            part.inplace = False  # Captum's hooks cannot stand it
    return seeded, network


@pytest.fixture(scope="module")
def of_residual(residual: tuple[nn.Module, Network]) -> dict[str, list[Tensor]]:
    return ours(residual[1], [(speckles(), 7)])


def speckles() -> Tensor:
    return torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("name", PAIRS)
def test_on_resnet18_a_map_is_captums(
    of_residual: dict[str, list[Tensor]], residual: tuple[nn.Module, Network], name: str
) -> None:
    expected = PAIRS[name][1](residual[0], speckles(), 7, LAYERS["resnet18"])
    assert near(of_residual[name][0], expected, name)


# A seeded network of ReLU6, in float64


@pytest.fixture(scope="module")
def bounded() -> tuple[nn.Module, Network]:
    """Both bounds of its rectifiers are met."""
    module = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU6(), nn.Conv2d(16, 16, 5, stride=2), nn.ReLU6(), nn.Flatten(), nn.Linear(2704, 9)
    )
    network = network_of("bounded", module, (3, 32, 32), layers={"2": (16, 13, 13)})
    met = module[:4](speckles()[None])
    assert ((met == 0).sum() > 100, (met == 6).sum() > 100) == (True, True)
    return deepcopy(module), network


@pytest.fixture(scope="module")
def of_bounded(bounded: tuple[nn.Module, Network]) -> dict[str, list[Tensor]]:
    return ours(bounded[1], [(speckles(), 7)])


@pytest.mark.parametrize("name", ON_RELU6)
def test_on_relu6_in_float64_a_map_is_the_references(
    of_bounded: dict[str, list[Tensor]], bounded: tuple[nn.Module, Network], name: str
) -> None:
    assert near(of_bounded[name][0], ON_RELU6[name][1](bounded[0], speckles(), 7, LAYERS["bounded"]), name)


# EfficientNet-Lite0, in float32


@pytest.fixture(scope="module")
def cat(lite0: Network, photographs: dict[str, np.ndarray[Any, Any]]) -> Tensor:
    return Subject.of(lite0.card, photographs["chelsea"]).seen


@pytest.fixture(scope="module")
def of_lite0(lite0: Network, cat: Tensor) -> dict[str, list[Tensor]]:
    return ours(lite0, [(cat, 281)])


@pytest.fixture(scope="module")
def lite0_plain(archive_store: Path) -> Plain:
    return plain(archive_store, "efficientnet-lite0")


@pytest.mark.parametrize("name", ON_RELU6)
def test_on_lite0_a_map_is_the_references(
    of_lite0: dict[str, list[Tensor]], lite0_plain: Plain, cat: Tensor, name: str
) -> None:
    expected = ON_RELU6[name][1](lite0_plain, cat, 281, f"module.{LAYERS['efficientnet-lite0']}")
    tolerance = 1e-2 if name in ("smoothgrad", "vargrad", "integrated_gradients") else 1e-4
    assert relative_difference(of_lite0[name][0], expected) < tolerance


def test_by_default_grad_cam_is_captums_of_the_last_layer_with_extent(
    lite0: Network, lite0_plain: Plain, lenet: Network, lenet_plain: Plain, cat: Tensor
) -> None:
    digit = torch.rand(1, 32, 32, generator=torch.Generator().manual_seed(0))
    for network, reference, layer, x, c in (
        (lite0, lite0_plain, "head", cat, 281),
        (lenet, lenet_plain, "s4", digit, 3),
    ):
        found = Engine([network]).drive(grad_cam(x, Logit(c), network.card.last_spatial_layer))
        assert found.facts["layer"] == layer
        expected = captums_grad_cam(reference, x.to(reference.mean), c, f"module.{layer}")
        assert expected.max() > 0
        assert relative_difference(found.map, expected) < 1e-4


@pytest.mark.parametrize("name", ["guided_backprop", "deconvnet"])
def test_on_relu6_captum_gives_the_plain_gradient_and_we_do_not(
    of_lite0: dict[str, list[Tensor]], lite0_plain: Plain, cat: Tensor, name: str
) -> None:
    """Which is why it is no reference there."""
    captums_own = PAIRS[name][1](lite0_plain, cat, 281, "")
    assert relative_difference(captums_own, of_lite0["gradient"][0]) < 1e-4
    assert relative_difference(of_lite0[name][0], captums_own) > 0.5


@pytest.mark.parametrize("target", [None, 281])
def test_the_operation_answers_with_captums_map_of_the_class_that_is_meant(
    lite0: Network, lite0_plain: Plain, photographs: dict[str, np.ndarray[Any, Any]], cat: Tensor, target: int | None
) -> None:
    engine = Engine([lite0])
    question = Question("saliency", lite0.card.name, photographs["chelsea"], parameters={"target": target})
    run = engine.submit(question.begin(engine.networks))
    engine.run_until(lambda: run.over)
    expected = captums_gradient(lite0_plain, cat, run.result["target"]["index"], "").abs().amax(0)
    assert relative_difference(torch.from_numpy(run.result["map"]), expected) < 1e-4
