"""Max-sensitivity."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rakinglight.maps import Map
from rakinglight.noise import Noise
from rakinglight.queries import Algorithm, Progress

if TYPE_CHECKING:
    from torch import Tensor

    from rakinglight.trust import Case

#: Images near by that are tried, and how far in linf they lie at most: five grey levels. Both as in Captum.
N_SAMPLES, RADIUS = 10, 0.02


def max_sensitivity(case: Case) -> Algorithm[dict[str, Any]]:
    """How much the map changes, at most, where the image hardly does: max ||phi(x + d) - phi(x)|| / ||phi(x)||.

    Yeh et al., "On the (In)fidelity and Sensitivity of Explanations", NeurIPS 2019, estimated over draws of d uniform
    in a ball of linf, over the norm of the map itself as in Captum. phi is the signed map where there is one, else the
    map. The method's own noise is the same in all, and nothing is cut to [0, 1]. Costs as many maps as it has samples.
    """
    phi = numbers(case.found)
    largest, size = 0.0, float(phi.norm()) or 1.0
    for step, x in enumerate(neighbours(case.x, case.noise())):
        found = yield from case.explain(x)
        largest = max(largest, float((numbers(found) - phi).norm()) / size)
        yield Progress(step + 1, N_SAMPLES, largest)
    return {"value": largest, "radius": RADIUS, "n_samples": N_SAMPLES}


def neighbours(x: Tensor, noise: Noise) -> Iterator[Tensor]:
    """Images near x [C, H, W]."""
    for _ in range(N_SAMPLES):
        yield x + noise.uniform(x, -RADIUS, RADIUS)


def numbers(found: Map) -> Tensor:
    """The most that a map says: its signed values, or its pixels' where it has no others."""
    return found.map if found.signed is None else found.signed
