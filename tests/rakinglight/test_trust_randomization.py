"""Parameter randomisation, as published: the gradient depends on what was learnt, guided backprop hardly."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from rakinglight.algorithms.gradient import gradient
from rakinglight.algorithms.guided_backprop import guided_backprop
from rakinglight.maps import Map
from rakinglight.network import Network
from rakinglight.subject import Subject
from rakinglight.trust.randomization import SHARES, randomization, rank_correlation
from tests.cases import case_of, examined

Photographs = dict[str, np.ndarray[Any, Any]]


def correlations(network: Network, x: torch.Tensor, method: Any) -> dict[float, float]:
    found = examined(network, case_of(network, x, method), randomization)
    assert found["share"] == list(SHARES)
    return dict(zip(found["share"], found["rank_correlation"], strict=True))


@pytest.mark.parametrize("name", ["chelsea", "coffee"])
def test_on_lite0_the_gradient_changes_with_the_last_layer_and_guided_backprop_does_not(
    lite0: Network, photographs: Photographs, name: str
) -> None:
    x = Subject.of(lite0.card, photographs[name]).seen
    plain, guided = correlations(lite0, x, gradient), correlations(lite0, x, guided_backprop)
    assert plain[0.001] < 0.65
    assert guided[0.001] > 0.95
    assert guided[0.25] > 0.85 > 0.65 > plain[0.25]
    assert guided[1.0] < 0.5  # nothing that was learnt is left


def test_on_lenet_the_gradient_falls_further_than_guided_backprop(
    lenet: Network, digits: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
) -> None:
    xs = torch.from_numpy(digits[0][:4]).float() / 255
    plain, guided = ([correlations(lenet, x, method) for x in xs] for method in (gradient, guided_backprop))
    for share in (0.001, 0.25):  # one layer of five, and two
        assert max(found[share] for found in plain) < 0.75
        assert min(found[share] for found in guided) > 0.75
        assert np.mean([found[share] for found in guided]) > np.mean([found[share] for found in plain]) + 0.2


def test_a_map_that_asks_nothing_of_the_network_stays_the_same(small_convolution: Network) -> None:
    x = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = examined(small_convolution, case_of(small_convolution, x, Map(-x.sum(0)), 0), randomization)
    assert found["rank_correlation"] == pytest.approx([1.0] * len(SHARES))


def test_a_map_without_an_order_has_no_correlation(small_convolution: Network) -> None:
    x = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = examined(small_convolution, case_of(small_convolution, x, Map(torch.zeros(8, 8)), 0), randomization)
    assert found["rank_correlation"] == [None] * len(SHARES)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=40))
def test_the_rank_correlation_is_scipys_with_ties(pairs: list[tuple[int, int]]) -> None:
    a, b = np.array(pairs, dtype=float).T
    found = rank_correlation(a, b)
    if len(set(a)) == 1 or len(set(b)) == 1:
        assert found is None
    else:
        assert found == pytest.approx(spearmanr(a, b).statistic)
