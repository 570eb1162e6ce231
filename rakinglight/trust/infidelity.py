"""Infidelity."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rakinglight.errors import BadParameter
from rakinglight.maps import Map
from rakinglight.noise import Noise
from rakinglight.queries import Algorithm, Forward, Progress, wave

if TYPE_CHECKING:
    from torch import Tensor

    from rakinglight.trust import Case

#: Perturbations, and their standard deviation: five grey levels, which a person hardly sees and which reaches over the
#: kinks of a network of rectifiers.
N_SAMPLES, SD = 128, 0.02


def infidelity(case: Case) -> Algorithm[dict[str, Any]]:
    """How wrongly the map foretells what noise does to the score: E[(I'phi - (f(x) - f(x - I)))^2].

    Yeh et al., "On the (In)fidelity and Sensitivity of Explanations", NeurIPS 2019, definition 2.1, with I normal noise
    of standard deviation `sd` in every value. phi is the map as a slope; where a map says what each value adds to the
    score, it is divided by how far the value was moved for that, as in Captum. Nothing is cut to [0, 1].

    Returns `value`, in squared units of the score, with its `standard_error`; and `empty_map`, what a map of zeros
    would have, E[(f(x) - f(x - I))^2]: a value above it foretells worse than to say that nothing changes.
    """
    import torch

    f, phi = case.objective, slope(case.found)
    S = f((yield Forward(case.x)).logits[None])
    errors: list[Tensor] = []
    changes: list[Tensor] = []
    for perturbations in draws(case.x, case.noise()):
        logits, _ = yield Forward(case.x - perturbations)
        change = S - f(logits)
        errors += (perturbations.flatten(1) @ phi.flatten() - change).double().square()
        changes += change.double().square()
        yield Progress(len(errors), N_SAMPLES)
    squares = torch.stack(errors)
    return {
        "value": float(squares.mean()),
        "standard_error": float(squares.std() / N_SAMPLES**0.5),
        "empty_map": float(torch.stack(changes).mean()),
        "n_samples": N_SAMPLES,
        "sd": SD,
    }


def draws(x: Tensor, noise: Noise) -> Iterator[Tensor]:
    """The perturbations of x [C, H, W], in parts [n, C, H, W]."""
    for first in range(0, N_SAMPLES, wave(x)):
        yield SD * noise.normal(x.expand(min(wave(x), N_SAMPLES - first), *x.shape))


def slope(found: Map) -> Tensor:
    """What the map says that the score gains with each value of the image, [C, H, W]. Raises BadParameter."""
    if found.signed is None:
        detail = "infidelity wants a number for each value of the image, and this map has one for each pixel alone."
        raise BadParameter.at("/parameters/evaluate", detail)
    if found.moved is None:
        return found.signed
    return found.signed / found.moved.where(found.moved != 0, 1)  # what was not moved adds nothing
