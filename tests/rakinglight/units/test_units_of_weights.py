"""Filters, receptive fields and projections: against a network's own weights, captum, and by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import NeuronDeconvolution, NeuronGradient
from torch import nn

from model_store import digits
from rakinglight.engine import Engine
from rakinglight.errors import BadParameter
from rakinglight.network import Network
from rakinglight.noise import Noise
from rakinglight.subject import Subject
from rakinglight.units.deconv import deconv
from rakinglight.units.fields import Axis, Fields, fields
from rakinglight.units.filters import filters
from tests.networks import network_of
from tests.plain import Plain, module_of, plain


def of_digits(network: Network, count: int) -> list[Subject]:
    return [Subject.of(network.card, image.transpose(1, 2, 0)) for image in digits.pictures("seeds")[0][:count]]


# ── filters ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def filters_of(network: Network, layer: str | None = None) -> dict[str, Any]:
    return dict(Engine([network]).drive(filters(network.card, Noise(0), layer=layer)).summary)


@pytest.mark.parametrize(("name", "layer"), [("lenet5-digits", "c1.0"), ("efficientnet-lite0", "stem.convolution")])
def test_filters_are_the_weights_of_the_first_layer(
    name: str, layer: str, lenet: Network, lite0: Network, archive_store: Path
) -> None:
    found = filters_of(lenet if name == lenet.card.name else lite0)
    assert found["layer"] == layer  # and not the padding before it
    _, module = module_of(archive_store, name)
    weights = module.get_submodule(layer).weight.detach().numpy()  # type: ignore[operator]
    np.testing.assert_allclose(found["weights"], weights, rtol=1e-5, atol=1e-6)


def test_a_norm_after_it_belongs_to_the_filter(lite0: Network, archive_store: Path) -> None:
    _, module = module_of(archive_store, "efficientnet-lite0")
    stem: Any = module.get_submodule("stem")
    scale = stem.norm.weight / (stem.norm.running_var + stem.norm.eps).sqrt()
    folded = (stem.convolution.weight * scale[:, None, None, None]).detach().numpy()
    np.testing.assert_allclose(filters_of(lite0, "stem.norm")["weights"], folded, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", ["c1", "c3.0"])
def test_what_bends_has_no_filters(lenet: Network, layer: str) -> None:
    with pytest.raises(BadParameter, match=f"'{layer}' of lenet5-digits is not linear in the image"):
        filters_of(lenet, layer)


# ── receptive fields ────────────────────────────────────────────────────────────────────────────────────────────────


def fields_of(network: Network, layer: str) -> Fields:
    return Engine([network]).drive(fields(network.card, layer, Noise(0)))


@pytest.mark.parametrize(
    ("layer", "size", "stride"), [("c1", 5, 1), ("s2", 6, 2), ("c3", 14, 2), ("s4", 16, 4)]
)  # LeCun et al. 1998: 5 x 5 kernels, 2 x 2 pooling
def test_the_fields_of_lenet(lenet: Network, layer: str, size: int, stride: int) -> None:
    assert fields_of(lenet, layer) == Fields(*[Axis(0, size, stride, 32)] * 2)


def test_a_field_is_cut_at_the_border_and_known_beyond_it() -> None:
    network = network_of(
        "padded",
        nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.MaxPool2d((2, 3)), nn.Flatten(), nn.Linear(120, 2)),
        (1, 20, 18),
        layers={"0": (2, 20, 18), "1": (2, 10, 6)},
    )
    found = fields_of(network, "1")
    assert found == Fields(Axis(-1, 3, 2, 20), Axis(-1, 4, 3, 18))
    assert found.size == (4, 5)
    assert found.box((0, 0)) == (0, 0, 3, 4)
    assert found.box((4, 2)) == (7, 5, 11, 10)
    assert found.box((9, 5)) == (17, 14, 20, 18)
    assert found.columns.centres(6)[:2] == [1.0, 4.0]


def test_where_all_see_all_a_field_is_the_whole_image() -> None:
    class Everything(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mixed = nn.Sequential(nn.Flatten(), nn.Linear(36, 36), nn.Unflatten(1, (1, 6, 6)))
            self.last = nn.Linear(36, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.last(self.mixed(x).flatten(1))
            return logits

    network = network_of("everything", Everything(), (1, 6, 6), layers={"mixed": (1, 6, 6)})
    found = fields_of(network, "mixed")
    assert found.box((0, 0)) == found.box((5, 3)) == (0, 0, 6, 6)
    assert found.rows.centres(6) == [0, 1, 2, 3, 4, 5]


def test_fields_are_cut_where_only_one_end_is_ever_seen() -> None:
    axis = Axis.fitted({0: (0, 5), 1: (0, 7), 8: (3, 20), 9: (5, 20)}, 10, 20)
    assert axis == Axis(-13, 5, 2, 20)
    assert axis.span(0) == (0, 5)
    one_end = Axis.fitted({0: (0, 5), 1: (0, 7), 8: (0, 20), 9: (0, 20)}, 10, 20)
    assert one_end.span(9) == (0, 20)
    assert not one_end.anchored
    assert Axis.fitted({}, 10, 20).span(3) == Axis.fitted({0: (0, 5)}, 10, 20).span(3) == (0, 20)
    assert Axis.fitted({0: (2, 5)}, 1, 20).span(0) == (2, 5)


# ── projections ─────────────────────────────────────────────────────────────────────────────────────────────────────


def projected(network: Network, count: int, **given: Any) -> list[Any]:
    return list(Engine([network]).drive(deconv(of_digits(network, count), network.card, Noise(0), **given)).each)


@pytest.mark.parametrize(("layer", "unit"), [("c3", 5), ("s4", 7), ("f6.0", 11)])
def test_projections_are_captums(lenet: Network, archive_store: Path, layer: str, unit: int) -> None:
    module: Plain = plain(archive_store, "lenet5-digits")
    inner = module.module.get_submodule(layer)
    for subject, found in zip(of_digits(lenet, 3), projected(lenet, 3, layer=layer, unit=unit), strict=True):
        at, x = (unit, *found["place"]), subject.seen[None].requires_grad_()
        with pytest.warns(UserWarning, match="hooks"):
            one = NeuronDeconvolution(module, inner).attribute(x, at)[0].detach()
        other = NeuronGradient(module, inner).attribute(x, at)[0].detach()
        a = found["activation"]
        np.testing.assert_allclose(found["projection"], a * one, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found["gradient"], a * other, rtol=1e-4, atol=1e-5)
        top, left, bottom, right = found["box"]
        pair = [g[:, top:bottom, left:right].ravel() for g in (found["projection"], found["gradient"])]
        assert not np.delete(found["gradient"], range(top, bottom), 1).any()
        assert not np.delete(found["projection"], range(left, right), 2).any()
        expected = np.corrcoef(*pair)[0, 1] if all(p.any() for p in pair) else None
        assert found["correlation"] == (None if expected is None else pytest.approx(expected, abs=1e-6))


def test_of_a_linear_network_the_two_are_one_and_the_row_of_its_weights() -> None:
    network = network_of("linear", nn.Sequential(nn.Flatten(), nn.Linear(1024, 3)), (1, 32, 32), layers={"1": (3,)})
    weights = network.gradient.module.network[1].weight.detach()  # type: ignore[union-attr]
    for found in projected(network, 2, layer="1", unit=2):
        expected = found["activation"] * weights[2].view(1, 32, 32).numpy()
        np.testing.assert_allclose(found["projection"], expected, rtol=1e-5)
        np.testing.assert_allclose(found["gradient"], expected, rtol=1e-5)
        assert found["correlation"] == pytest.approx(1)
        assert found["place"] == []


def test_without_a_unit_the_most_excited_one_is_projected(lenet: Network) -> None:
    for subject, found in zip(of_digits(lenet, 3), projected(lenet, 3, layer="c3"), strict=True):
        a = lenet.gradient.forward(subject.seen[None], ("c3",), short=True).activations["c3"][0]  # type: ignore[union-attr]
        assert found["activation"] == float(a.max()) == float(a[(found["unit"], *found["place"])])


def test_a_dead_unit_has_nothing_to_compare(lenet: Network) -> None:
    (found,) = projected(lenet, 1, layer="c3", unit=0)
    assert (found["activation"], found["correlation"]) == (0, None)
    assert not found["projection"].any()
