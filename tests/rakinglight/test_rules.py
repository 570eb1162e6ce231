"""Backward rules: each row its own, whichever way a network calls its activations, and gone when the pass is."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import _len_torch_function_stack

from rakinglight.algorithms.deconvnet import deconvnet
from rakinglight.algorithms.gradient import gradient
from rakinglight.algorithms.guided_backprop import guided_backprop
from rakinglight.algorithms.smoothgrad import smoothgrad
from rakinglight.backends.rules import Ruled
from rakinglight.backends.torch_backend import TorchBackend
from rakinglight.engine import Engine
from rakinglight.noise import Noise
from rakinglight.objectives import Logit
from rakinglight.queries import Rule
from tests.networks import network_of
from tests.plain import drive_all

RULES: tuple[Rule, ...] = ("standard", "guided", "deconvnet")
#: Where an activation is asked, and the gradient that comes back to it.
POINTS = torch.tensor([-2.0, -0.5, 0.5, 2.0, 7.0], dtype=torch.float64)
BACK = torch.tensor([1.0, -1.0, 0.5, -2.0, 3.0], dtype=torch.float64)


def passed(activation: Callable[[Tensor], Tensor], rule: Rule, g: Tensor = BACK) -> Tensor:
    """What of `g` an activation passes back by `rule`."""
    x = POINTS[None].clone().requires_grad_()
    with Ruled((rule,)):
        y = activation(x * 1)  # no leaf: it may be written over
    (found,) = torch.autograd.grad(y, x, g[None])
    return found[0]


def slope(activation: Callable[[Tensor], Tensor]) -> Tensor:
    x = POINTS.clone().requires_grad_()
    (found,) = torch.autograd.grad(activation(x * 1).sum(), x)
    return found


CALLS: dict[str, Callable[[Tensor], Tensor]] = {
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU in place": nn.ReLU(inplace=True),
    "nn.ReLU6": nn.ReLU6(),
    "nn.ReLU6 in place": nn.ReLU6(inplace=True),
    "nn.Hardtanh": nn.Hardtanh(-1, 3),
    "nn.Hardtanh in place": nn.Hardtanh(-1, 3, inplace=True),
    "nn.LeakyReLU": nn.LeakyReLU(0.1),
    "nn.LeakyReLU in place": nn.LeakyReLU(0.1, inplace=True),
    "nn.PReLU": nn.PReLU(1, 0.25, dtype=torch.float64).requires_grad_(False),
    "nn.Threshold": nn.Threshold(0, 0),
    "nn.RReLU": nn.RReLU().eval(),
    "nn.ELU": nn.ELU(),
    "nn.ELU in place": nn.ELU(inplace=True),
    "nn.SELU": nn.SELU(),
    "nn.CELU": nn.CELU(),
    "nn.SiLU": nn.SiLU(),
    "nn.SiLU in place": nn.SiLU(inplace=True),
    "nn.Mish": nn.Mish(),
    "nn.GELU": nn.GELU(),
    "nn.Hardswish": nn.Hardswish(),
    "nn.Softplus": nn.Softplus(),
    "F.relu": functional.relu,
    "F.relu in place": lambda x: functional.relu(x, inplace=True),
    "F.relu in place, by position": lambda x: functional.relu(x, True),
    "F.relu6": functional.relu6,
    "F.hardtanh_": lambda x: functional.hardtanh_(x, -1, 3),
    "F.leaky_relu_": lambda x: functional.leaky_relu_(x, 0.1),
    "F.threshold": lambda x: functional.threshold(x, 0, 0),
    "F.threshold_": lambda x: functional.threshold_(x, 0, 0),
    "F.logsigmoid": functional.logsigmoid,
    "nn.LogSigmoid": nn.LogSigmoid(),
    "torch.threshold": lambda x: torch.threshold(x, 0, 0),
    "torch.clamp": lambda x: torch.clamp(x, 0),
    "torch.clamp by name": lambda x: torch.clamp(input=x, min=0),
    "torch.clamp_": lambda x: torch.clamp_(x, 0.0),
    "torch.clip": lambda x: torch.clip(x, min=0),
    "torch.clip_": lambda x: torch.clip_(x, 0),
    "torch.clamp_min": lambda x: torch.clamp_min(x, 0),
    "torch.clamp_min_": lambda x: torch.clamp_min_(x, 0),
    "torch.maximum": lambda x: torch.maximum(x, torch.zeros_like(x)),
    "Tensor.clamp": lambda x: x.clamp(min=0),
    "Tensor.clamp by zeros": lambda x: x.clamp(min=torch.zeros(1, dtype=x.dtype)),
    "Tensor.clamp from both sides": lambda x: x.clamp(0, 6),
    "Tensor.clamp_": lambda x: x.clamp_(0, 6),
    "Tensor.clip": lambda x: x.clip(0),
    "Tensor.clip_": lambda x: x.clip_(0, max=6),
    "Tensor.clamp_min": lambda x: x.clamp_min(0),
    "Tensor.clamp_min_": lambda x: x.clamp_min_(0),
    "Tensor.maximum": lambda x: x.maximum(torch.zeros(1, dtype=x.dtype)),
    "torch.relu": torch.relu,
    "torch.relu_": torch.relu_,
    "torch.selu": torch.selu,
    "Tensor.relu": lambda x: x.relu(),
    "Tensor.relu_": lambda x: x.relu_(),
}
each_call = pytest.mark.parametrize("activation", CALLS.values(), ids=CALLS)


@each_call
def test_each_rule_passes_back_what_it_says(activation: Callable[[Tensor], Tensor]) -> None:
    d, g = slope(activation), BACK
    torch.testing.assert_close(passed(activation, "standard"), d * g, rtol=0, atol=1e-15)
    torch.testing.assert_close(passed(activation, "guided"), d * g.clamp(min=0), rtol=0, atol=1e-15)
    assert torch.equal(passed(activation, "deconvnet"), g.clamp(min=0))


@each_call
def test_the_answer_itself_is_the_activations(activation: Callable[[Tensor], Tensor]) -> None:
    expected = activation(POINTS.clone())
    with Ruled(("guided",)):
        found = activation(POINTS.clone())
    assert torch.equal(found, expected)


BOUNDS: dict[str, Callable[[Tensor], Tensor]] = {
    "from above": lambda x: x.clamp(max=0),
    "off zero": lambda x: torch.clamp(x, 0.25, 6),
    "off zero by another tensor": lambda x: x.clamp(min=torch.full((1,), 0.25, dtype=x.dtype)),
    "the larger of two": lambda x: torch.maximum(x, torch.linspace(-1, 1, 5, dtype=x.dtype)),
}


@pytest.mark.parametrize("bound", BOUNDS.values(), ids=BOUNDS)
@pytest.mark.parametrize("rule", ["guided", "deconvnet"])
def test_a_bound_off_zero_is_no_rectifier(bound: Callable[[Tensor], Tensor], rule: Rule) -> None:
    torch.testing.assert_close(passed(bound, rule), slope(bound) * BACK, rtol=0, atol=1e-15)


def test_what_works_in_place_still_does() -> None:
    """A network may go on with what it gave to an activation instead of what it got."""

    class Overwriting(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = x * 2 - 1
            functional.relu(y, inplace=True)
            return (3 * y).flatten(1)

    x = torch.tensor([[[[0.2, 0.9]]]] * 3, dtype=torch.float64)
    backend = TorchBackend(Overwriting(), (0.0,), (1.0,), dtype=torch.float64)
    values, g, _ = backend.gradient(x, lambda z: z.sum(1), rules=RULES)
    assert values.tolist() == pytest.approx([2.4] * 3)
    assert g.flatten(1).tolist() == [[0, 6], [0, 6], [6, 6]]


def test_by_hand() -> None:
    """S = -relu(x) + 2 relu(-x): guided cuts the first at its rectifier; deconvnet passes the second wherever x is."""

    class Two(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (-torch.relu(x) + 2 * torch.relu(-x)).flatten(1)

    backend = TorchBackend(Two(), (0.0,), (1.0,), dtype=torch.float64)
    x = torch.tensor([0.5, -0.5], dtype=torch.float64).repeat_interleave(3).view(6, 1, 1, 1)
    g = backend.gradient(x, lambda z: z[:, 0], rules=RULES * 2).gradient
    assert g.flatten().tolist() == [-1, 0, -2, -2, -2, -2]


# ── many rows ───────────────────────────────────────────────────────────────────────────────────────────────────────


def small() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(64, 5)
    )


@pytest.fixture
def rows() -> Tensor:
    return torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_rows_of_mixed_rules_are_answered_as_in_passes_of_their_own(rows: Tensor) -> None:
    backend = network_of("small", small(), (3, 8, 8)).gradient
    assert backend is not None
    mixed = backend.gradient(rows, Logit(2), rules=RULES * 2)
    for i, rule in enumerate(RULES * 2):
        alone = backend.gradient(rows, Logit(2), rules=(rule,) * 6 if rule != "standard" else ())
        assert torch.equal(mixed.objective, alone.objective)
        assert torch.equal(mixed.gradient[i], alone.gradient[i])
    guided, standard = (backend.gradient(rows, Logit(2), rules=(rule,) * 6).gradient for rule in ("guided", "standard"))
    assert not torch.equal(guided, standard)


def test_plain_rows_keep_their_bits_in_float32(rows: Tensor) -> None:
    backend = network_of("small", small(), (3, 8, 8), dtype=torch.float32).gradient
    assert backend is not None
    plain = backend.gradient(rows.float(), Logit(1)).gradient
    mixed = backend.gradient(rows.float(), Logit(1), rules=("standard", "guided") * 3).gradient
    assert torch.equal(mixed[::2], plain[::2])


def test_methods_of_different_rules_share_passes_and_answer_as_they_do_alone(rows: Tensor) -> None:
    network = network_of("small", small(), (3, 8, 8), counts=(16,))
    passes = counted(network.gradient)

    def algorithms() -> list[Any]:
        x, S = rows[0], Logit(1)
        return [gradient(x, S), guided_backprop(x, S), deconvnet(x, S), smoothgrad(x, S, Noise(0), n_samples=5)]

    together = drive_all(network, algorithms())
    assert passes == [16]
    for ours, algorithm in zip(together, algorithms(), strict=True):
        assert torch.equal(ours.signed, Engine([network]).drive(algorithm).signed)


def counted(backend: Any) -> list[int]:
    """The row counts of the gradient passes of `backend` from now on."""
    passes: list[int] = []
    answer = backend.gradient

    def gradient(rows: Tensor, *args: Any, **how: Any) -> Any:
        passes.append(len(rows))
        return answer(rows, *args, **how)

    backend.gradient = gradient
    return passes


def test_folded_rows_keep_their_rules() -> None:
    """A network that cuts an image into pieces and takes them for rows: each piece goes by its image's rule."""

    class Pieces(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            pieces = torch.relu(x.reshape(-1, 2) - 0.5)  # two to an image of four pixels
            return -pieces.reshape(len(x), -1)

    backend = TorchBackend(Pieces(), (0.0,), (1.0,), dtype=torch.float64)
    x = torch.tensor([[[[0.9, 0.1, 0.8, 0.2]]]] * 2, dtype=torch.float64)
    g = backend.gradient(x, lambda z: z.sum(1), rules=("standard", "guided")).gradient
    assert g.flatten(1).tolist() == [[-1, 0, -1, 0], [0, 0, 0, 0]]


# ── nothing is left ─────────────────────────────────────────────────────────────────────────────────────────────────


def hooks(module: nn.Module) -> int:
    places = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(part, place)) for part in module.modules() for place in places)


def test_no_hook_and_no_mode_outlives_a_pass(rows: Tensor) -> None:
    backend = network_of("small", small(), (3, 8, 8)).gradient
    assert isinstance(backend, TorchBackend)
    modules = [type(part) for part in backend.module.modules()]
    before = backend.gradient(rows, Logit(0))
    backend.gradient(rows, Logit(0), wrt="0", rules=RULES * 2)
    assert hooks(backend.module) == 0
    assert _len_torch_function_stack() == 0
    assert [type(part) for part in backend.module.modules()] == modules
    after = backend.gradient(rows, Logit(0))
    assert torch.equal(before.gradient, after.gradient)


def test_a_pass_that_fails_leaves_nothing_either(rows: Tensor) -> None:
    backend = network_of("small", small(), (3, 8, 8)).gradient
    assert isinstance(backend, TorchBackend)

    def broken(logits: Tensor) -> Tensor:
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        backend.gradient(rows, broken, wrt="0", rules=RULES * 2)
    assert hooks(backend.module) == 0
    assert _len_torch_function_stack() == 0
