"""The model parameter randomisation test."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rakinglight.queries import Algorithm, Progress, Query
from rakinglight.relays import relayed

if TYPE_CHECKING:
    from rakinglight.trust import Case

#: Shares of the layers with weights, from the last on, that are made random together. The first is the last layer
#: alone, of as many as a thousand.
SHARES = (0.001, 0.25, 0.5, 0.75, 1.0)


def randomization(case: Case) -> Algorithm[dict[str, Any]]:
    """How like the map of the trained network is to those of networks with ever fewer trained layers.

    Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018, section 3: cascading randomisation, compared by
    Spearman's rank correlation of the maps' absolute values. A map that stays the same does not depend on what the
    network has learnt. Costs as many maps as there are shares.

    Returns `share` and `rank_correlation`, side by side; None where a map is the same everywhere and has no order.
    """
    trained = case.found.map.abs().numpy()
    correlations: list[float | None] = []
    for share in SHARES:
        found = yield from relayed(case.explain(case.x), _of_network_randomized(share))
        correlations.append(rank_correlation(trained, found.map.abs().numpy()))
        yield Progress(len(correlations), len(SHARES))
    return {"share": list(SHARES), "rank_correlation": correlations}


def _of_network_randomized(share: float) -> Any:
    def out(asked: Any) -> Any:
        return replace(asked, randomized=share) if isinstance(asked, Query) else asked

    return out


def rank_correlation(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float | None:
    """Spearman's, in [-1, 1]; equal values share the mean of their ranks. None where one of the two is constant."""
    u, v = _ranks(a), _ranks(b)
    size = np.linalg.norm(u) * np.linalg.norm(v)
    return float(u @ v / size) if size else None


def _ranks(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The ranks of `values`, their mean taken off, [n]."""
    _, which, counts = np.unique(values.ravel(), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts + 1) / 2)[which]
    return np.asarray(ranks - (values.size - 1) / 2)
