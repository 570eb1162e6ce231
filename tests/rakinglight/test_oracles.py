"""Our attacks beside those of torchattacks, Foolbox and ART, which run on the plain module of the same archive.

In float64 with torch answering, attacks agree element by element. In float32 two ways of adding up the same sum differ
in the last place, and ten sign steps make much of that: there the first step, the loss and the verdict agree.
"""

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rakinglight.algorithms.deepfool import deepfool
from rakinglight.algorithms.fgsm import fgsm
from rakinglight.algorithms.lbfgs import lbfgs
from rakinglight.algorithms.pgd import pgd
from rakinglight.backends.torch_backend import TorchBackend
from rakinglight.network import Ladder, Network
from rakinglight.noise import Noise
from rakinglight.norms import NORMS, NormName
from rakinglight.objectives import Goal
from rakinglight.queries import Algorithm
from rakinglight.subject import Subject
from tests.plain import Plain, drive_all, module_of, plain

with warnings.catch_warnings():
    # Foolbox 3.3.4 imports from scipy.ndimage.filters, which SciPy has deprecated; torchattacks pins an old requests.
    warnings.simplefilter("ignore")
    import foolbox
    import torchattacks
    from art.attacks.evasion import DeepFool
    from art.estimators.classification import PyTorchClassifier

EPS = 8 / 255


@pytest.fixture(scope="module")
def lite0_plain(archive_store: Path) -> Plain:
    return plain(archive_store, "efficientnet-lite0")


# ── attacks on LeNet-5 in float64 ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def lenet_float64(archive_store: Path) -> Network:
    """LeNet-5 in float64 with torch answering every query."""
    card, module = module_of(archive_store, "lenet5-digits")
    backend = TorchBackend(module, card.mean, card.std, dtype=torch.float64)
    return Network(card, backend, backend, Ladder((32,)), Ladder((32,)))


@pytest.fixture(scope="module")
def lenet_plain_float64(archive_store: Path) -> Plain:
    return plain(archive_store, "lenet5-digits", torch.float64)


@pytest.fixture(scope="module")
def thirty_two(digits: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(digits[0][:32]).double() / 255, torch.from_numpy(digits[1][:32])


Peer = Callable[[nn.Module, Tensor, Tensor, bool, float], Tensor]


def torchattacks_fgsm(module: nn.Module, x: Tensor, y: Tensor, targeted: bool, eps: float) -> Tensor:
    return torchattacks_of(torchattacks.FGSM(module, eps=eps), x, y, targeted)


def torchattacks_pgd(module: nn.Module, x: Tensor, y: Tensor, targeted: bool, eps: float) -> Tensor:
    return torchattacks_of(torchattacks.PGD(module, eps, eps / 4, steps=10, random_start=False), x, y, targeted)


def torchattacks_of(attack: Any, x: Tensor, y: Tensor, targeted: bool) -> Tensor:
    if targeted:
        attack.set_mode_targeted_by_label(quiet=True)
    found: Tensor = attack(x, y)
    return found


def foolbox_fgsm(module: nn.Module, x: Tensor, y: Tensor, targeted: bool, eps: float) -> Tensor:
    return foolbox_of(foolbox.attacks.LinfFastGradientAttack(random_start=False), module, x, y, targeted, eps)


def foolbox_pgd(module: nn.Module, x: Tensor, y: Tensor, targeted: bool, eps: float) -> Tensor:
    attack = foolbox.attacks.LinfPGD(abs_stepsize=eps / 4, steps=10, random_start=False)
    return foolbox_of(attack, module, x, y, targeted, eps)


def foolbox_l2_pgd(module: nn.Module, x: Tensor, y: Tensor, targeted: bool, eps: float) -> Tensor:
    attack = foolbox.attacks.L2PGD(abs_stepsize=eps / 4, steps=10, random_start=False)
    return foolbox_of(attack, module, x, y, targeted, eps)


def foolbox_of(attack: Any, module: nn.Module, x: Tensor, y: Tensor, targeted: bool, eps: float) -> Tensor:
    criterion = foolbox.criteria.TargetedMisclassification(y) if targeted else foolbox.criteria.Misclassification(y)
    model = foolbox.PyTorchModel(module, bounds=(0, 1), device="cpu")
    found: Tensor = attack.run(model, x, criterion, epsilon=eps)
    return found


def our_fgsm(x: Tensor, goal: Goal, eps: float) -> Algorithm[Tensor]:
    return fgsm(x, goal, epsilon=eps)


def our_pgd(x: Tensor, goal: Goal, eps: float) -> Algorithm[Tensor]:
    return pgd(x, goal, Noise(0), epsilon=eps, step_size=eps / 4, steps=10)


def our_l2_pgd(x: Tensor, goal: Goal, eps: float) -> Algorithm[Tensor]:
    return pgd(x, goal, Noise(0), norm="l2", epsilon=eps, step_size=eps / 4, steps=10)


@pytest.mark.parametrize(
    ("ours", "peer", "eps", "targeted"),
    [
        pytest.param(our_fgsm, torchattacks_fgsm, EPS, False, id="fgsm, torchattacks"),
        pytest.param(our_fgsm, torchattacks_fgsm, EPS, True, id="targeted fgsm, torchattacks"),
        pytest.param(our_fgsm, foolbox_fgsm, EPS, False, id="fgsm, Foolbox, which knows no targeted one"),
        pytest.param(our_pgd, torchattacks_pgd, EPS, False, id="pgd, torchattacks"),
        pytest.param(our_pgd, torchattacks_pgd, EPS, True, id="targeted pgd, torchattacks"),
        pytest.param(our_pgd, torchattacks_pgd, 0.3, False, id="pgd in a large ball, torchattacks"),
        pytest.param(our_pgd, foolbox_pgd, EPS, False, id="pgd, Foolbox"),
        pytest.param(our_pgd, foolbox_pgd, EPS, True, id="targeted pgd, Foolbox"),
        pytest.param(our_l2_pgd, foolbox_l2_pgd, 2.0, False, id="pgd in l2, Foolbox"),
        pytest.param(our_l2_pgd, foolbox_l2_pgd, 2.0, True, id="targeted pgd in l2, Foolbox"),
    ],
)
def test_attacks_on_lenet_in_float64_equal_the_peers_element_by_element(
    lenet_float64: Network,
    lenet_plain_float64: Plain,
    thirty_two: tuple[Tensor, Tensor],
    ours: Callable[[Tensor, Goal, float], Algorithm[Tensor]],
    peer: Peer,
    eps: float,
    targeted: bool,
) -> None:
    x, y = thirty_two
    t = (y + 1) % 10
    goals = [Goal(label, target if targeted else None) for label, target in zip(y.tolist(), t.tolist(), strict=True)]
    found = torch.stack(drive_all(lenet_float64, [ours(row, goal, eps) for row, goal in zip(x, goals, strict=True)]))
    expected = peer(lenet_plain_float64, x, t if targeted else y, targeted, eps)
    assert expected.dtype == found.dtype == torch.float64
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def torchattacks_pgd_from_a_random_start(
    module: nn.Module, x: Tensor, y: Tensor, norm: NormName, eps: float, targeted: bool
) -> tuple[Tensor, Tensor]:
    """What the peer finds, and the start that it drew."""
    start: list[Tensor] = []

    class Listening(nn.Module):
        def forward(self, rows: Tensor) -> Tensor:
            if not start:
                start.append(rows.detach().clone())
            return module(rows)  # type: ignore[no-any-return]

    listening = Listening().eval()
    torch.manual_seed(7)
    if norm == "linf":
        attack = torchattacks.PGD(listening, eps, eps / 4, steps=10, random_start=True)
    else:  # it divides by the gradient's length plus this
        attack = torchattacks.PGDL2(listening, eps, eps / 4, steps=10, random_start=True, eps_for_division=0)
    attack.device = torch.device("cpu")
    return torchattacks_of(attack, x, y, targeted), start[0]


@pytest.mark.parametrize("targeted", [False, True], ids=["away", "towards"])
@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.1), ("l2", 2.0)])
def test_pgd_from_the_random_start_of_torchattacks_equals_it_element_by_element(
    lenet_float64: Network,
    lenet_plain_float64: Plain,
    thirty_two: tuple[Tensor, Tensor],
    monkeypatch: pytest.MonkeyPatch,
    norm: NormName,
    eps: float,
    targeted: bool,
) -> None:
    x, y = thirty_two
    t = (y + 1) % 10
    expected, start = torchattacks_pgd_from_a_random_start(
        lenet_plain_float64, x, t if targeted else y, norm, eps, targeted
    )
    assert (NORMS[norm].size(start - x) > 0).all()
    starts = iter(start - x)
    monkeypatch.setattr(type(NORMS[norm]), "random", lambda *_: next(starts))
    goals = [Goal(label, target if targeted else None) for label, target in zip(y.tolist(), t.tolist(), strict=True)]
    ours = partial(pgd, noise=Noise(0), norm=norm, epsilon=eps, step_size=eps / 4, steps=10, random_start=True)
    found = drive_all(lenet_float64, [ours(row, goal) for row, goal in zip(x, goals, strict=True)])
    torch.testing.assert_close(torch.stack(found), expected, rtol=0, atol=1e-9)


# ── minimum norm on LeNet-5 in float64 ──────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def right(lenet_float64: Network, thirty_two: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Of half of these digits those that LeNet-5 gets right, their labels and their logits."""
    x, y = (part[:16] for part in thirty_two)
    logits = lenet_float64.forward.forward(x).logits
    kept = logits.argmax(1) == y
    assert kept.sum() > 12
    return x[kept], y[kept], logits[kept]


def nearest(network: Network, right: tuple[Tensor, Tensor, Tensor], attack: Callable[..., Algorithm[Tensor]]) -> Tensor:
    x, y, logits = right
    attacks = [attack(row, Goal(c), Z) for row, c, Z in zip(x, y.tolist(), logits, strict=True)]
    return torch.stack(drive_all(network, attacks))


@pytest.mark.parametrize(
    ("norm", "peer"),
    [("l2", foolbox.attacks.L2DeepFoolAttack), ("linf", foolbox.attacks.LinfDeepFoolAttack)],
)
def test_deepfool_is_that_of_foolbox(
    lenet_float64: Network, lenet_plain_float64: Plain, right: tuple[Tensor, Tensor, Tensor], norm: NormName, peer: Any
) -> None:
    """Save for the 1e-8 that it adds to a gradient's length before it divides by it."""
    x, y, _ = right
    found = nearest(lenet_float64, right, partial(deepfool, norm=norm))
    model = foolbox.PyTorchModel(lenet_plain_float64, bounds=(0, 1), device="cpu")
    expected, _, _ = peer(loss="logits")(model, x, y, epsilons=None)
    # Both stop at the first point that is beyond the boundary.
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert (lenet_plain_float64(found).argmax(1) != y).all()


def test_deepfool_is_no_farther_than_that_of_art(
    lenet_float64: Network, archive_store: Path, right: tuple[Tensor, Tensor, Tensor]
) -> None:
    classifier = PyTorchClassifier(
        plain(archive_store, "lenet5-digits"),
        loss=nn.CrossEntropyLoss(),
        input_shape=(1, 32, 32),
        nb_classes=10,
        clip_values=(0, 1),
        device_type="cpu",
    )
    theirs = DeepFool(classifier, max_iter=50, epsilon=0.02, nb_grads=10, batch_size=16, verbose=False)
    x, y, logits = (part[:8] for part in right)
    expected = torch.from_numpy(theirs.generate(x.float().numpy()))
    found = nearest(lenet_float64, (x, y, logits), deepfool)
    assert NORMS["l2"].size(found - x).median() <= 1.02 * NORMS["l2"].size(expected - x).median()


def test_lbfgs_is_nearer_than_deepfool(lenet_float64: Network, right: tuple[Tensor, Tensor, Tensor]) -> None:
    x, y, logits = (part[:3] for part in right)
    network = replace(lenet_float64, forward_ladder=Ladder((4,)), gradient_ladder=Ladder((4,)))
    ours, theirs = (
        nearest(network, (x, y, logits), attack) for attack in (partial(lbfgs, binary_search_steps=6), deepfool)
    )
    assert (network.forward.forward(ours).logits.argmax(1) != y).all()
    assert (NORMS["l2"].size(ours - x) < NORMS["l2"].size(theirs - x)).all()


# ── attacks on Lite0 in float32 ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def two(lite0: Network, photographs: dict[str, np.ndarray[Any, Any]]) -> tuple[Tensor, Tensor]:
    """Two photographs as Lite0 sees them, and what it says of them."""
    x = torch.stack([Subject.of(lite0.card, photographs[name]).seen for name in ("chelsea", "coffee")])
    return x, lite0.forward.forward(x).logits.argmax(1)


def of_each(make: Callable[[Tensor, Goal, float], Algorithm[Tensor]], x: Tensor, y: Tensor) -> list[Algorithm[Tensor]]:
    return [make(row, Goal(c), EPS) for row, c in zip(x, y.tolist(), strict=True)]


@pytest.mark.parametrize("peer", [torchattacks_fgsm, foolbox_fgsm])
def test_the_first_step_on_lite0_is_the_peers(
    lite0: Network, lite0_plain: Plain, two: tuple[Tensor, Tensor], peer: Peer
) -> None:
    """Save where a gradient is so near to zero that its sign is rounding: of 150,528 values at most fifteen."""
    x, y = two
    found = torch.stack(drive_all(lite0, of_each(our_fgsm, x, y)))
    differ = (found - peer(lite0_plain, x, y, False, EPS)).abs() > 1e-6
    assert (differ.flatten(1).sum(1) <= 15).all()


@pytest.mark.parametrize("peer", [torchattacks_pgd, foolbox_pgd])
def test_ten_steps_on_lite0_reach_the_loss_and_the_verdict_of_the_peers(
    lite0: Network, lite0_plain: Plain, two: tuple[Tensor, Tensor], peer: Peer
) -> None:
    x, y = two

    def loss_and_verdict(x_adv: Tensor) -> tuple[float, list[bool]]:
        with torch.no_grad():
            logits = lite0_plain(x_adv)
        return float(cross_entropy(logits, y)), (logits.argmax(1) != y).tolist()

    our_loss, our_verdict = loss_and_verdict(torch.stack(drive_all(lite0, of_each(our_pgd, x, y))))
    their_loss, their_verdict = loss_and_verdict(peer(lite0_plain, x, y, False, EPS))
    assert our_verdict == their_verdict == [True, True]
    assert our_loss >= 0.99 * their_loss
