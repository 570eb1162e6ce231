"""A detector for a network that is trained already: clean codes against those of PGD's successes.

Lu, Issaranon & Forsyth, "SafetyNet: detecting and rejecting adversarial examples robustly", ICCV 2017, section 3.
`rakinglight.detector` says what a code is.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from model_store import digits
from model_store.training.adversarial import EPSILON, pgd
from model_store.training.fitting import Figures, one_thread
from rakinglight.detector import About, Detector

#: The layers of LeNet-5 that make the code.
LAYERS = ("s4", "c5", "f6")
#: The fraction of clean digits that may be rejected.
FALSE_POSITIVES = 0.05


def train(network: nn.Module, layers: tuple[str, ...] = LAYERS) -> tuple[Detector, Figures]:
    """A detector for `network`, which takes grey pixels in [0, 1]; its rates on the test digits.

    Two thirds of the 1,297 digits teach it, with what PGD makes of them at one strength. The limit is set by the rest,
    clean. The network itself has learnt from all of them; the rate in `about` is that of the 500 test digits, which
    nothing here learns from.
    """
    from sklearn.svm import SVC

    with one_thread():
        x, y = map(torch.from_numpy, digits.pixels("train"))
        held_out = torch.arange(len(x)) % 3 == 0  # in turn, since neighbours are by one writer
        clean, limiting = (activations(network, x[rows], layers) for rows in (~held_out, held_out))
        adversarial = activations(network, fooling(network, x[~held_out], y[~held_out]), layers)
        learnt = torch.cat([clean, adversarial])
        thresholds = terciles(clean)
        levels = (learnt[:, None] > thresholds).sum(1).numpy()
        truth = np.r_[np.zeros(len(clean)), np.ones(len(adversarial))]
        machine = SVC(C=10.0, gamma="scale", class_weight="balanced").fit(levels, truth)
        tensors = {
            "thresholds": thresholds,
            "support": torch.from_numpy(machine.support_vectors_.astype(np.uint8)),
            "coefficients": torch.from_numpy(machine.dual_coef_[0].astype(np.float32)),
            "intercept": torch.tensor(float(machine.intercept_[0])),
            "gamma": torch.tensor(float(machine._gamma)),
            "limit": torch.tensor(0.0),
        }
        detector = Detector(About(layers, 0.0, ""), tensors)
        tensors["limit"] = torch.quantile(detector(limiting), 1 - FALSE_POSITIVES)
        detector = Detector(About(layers, 0.0, ""), tensors)
        x, y = map(torch.from_numpy, digits.pixels("test"))
        rejected = float(detector.rejects(activations(network, x, layers)).double().mean())
        found = float(detector.rejects(activations(network, fooling(network, x, y), layers)).double().mean())
    provenance = (
        f"Trained here on {len(clean)} digits and on {len(adversarial)} that PGD-40 makes of them in the l-infinity "
        f"ball of {EPSILON}; limit set by {len(limiting)} others."
    )
    return Detector(About(layers, rejected, provenance), tensors), {"clean rejected": rejected, "PGD rejected": found}


def activations(network: nn.Module, x: Tensor, layers: tuple[str, ...]) -> Tensor:
    """What the layers say of x [n, 1, 32, 32], each flattened, side by side: [n, D]."""
    heard: dict[str, Tensor] = {}
    hooks = [
        network.get_submodule(layer).register_forward_hook(
            lambda _module, _inputs, output, layer=layer: heard.__setitem__(layer, output.flatten(1))
        )
        for layer in layers
    ]
    with torch.no_grad():
        network(x)
    for hook in hooks:
        hook.remove()
    return torch.cat([heard[layer] for layer in layers], dim=1)


def fooling(network: nn.Module, x: Tensor, y: Tensor, eps: float = EPSILON) -> Tensor:
    """What PGD-40 makes of x, where it fools the network."""
    x_adv = pgd(network, x, y, eps=eps, alpha=0.01, steps=40)
    with torch.no_grad():
        return x_adv[network(x_adv).argmax(1) != y]


def terciles(activations: Tensor) -> Tensor:
    """[3, D]: zero, and what cuts the positive values of each unit in three. A unit that was never open has zeros."""
    cuts = torch.zeros(3, activations.shape[1])
    for unit, values in enumerate(activations.T):
        if len(positive := values[values > 0]):
            cuts[1:, unit] = torch.quantile(positive, torch.tensor([1 / 3, 2 / 3]))
    return cuts
