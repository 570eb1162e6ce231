"""Pictures made of a code: where the best can be written down, and on digits from the first layer to the last."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from rakinglight.algorithms.caricature import Exaggeration, caricature
from rakinglight.algorithms.edit import edit
from rakinglight.algorithms.invert import invert
from rakinglight.catalogue import OPERATIONS
from rakinglight.codes import Code, Distance, Original, Rectified, code_at
from rakinglight.energy.terms import B
from rakinglight.engine import Engine
from rakinglight.errors import BadParameter
from rakinglight.inverted import Inverted
from rakinglight.network import Network
from rakinglight.noise import Noise
from rakinglight.question import Question
from rakinglight.subject import Subject
from rakinglight.wire import array_to_json
from tests.networks import network_of

SHAPE = (2, 4, 5)
X = 0.4 + 0.2 * torch.rand(SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)  # far from 0 and 1
#: The alpha-norm as a parabola and no more: what is least can be written down.
PARABOLA: dict[str, Any] = {"alpha": 2.0, "tv_weight": 0.0, "jitter": 0, "parametrization": "pixels"}


@pytest.fixture
def linear() -> Network:
    """Four classes, Z = W x + b; the mean colour is grey."""
    network = network_of("linear", nn.Sequential(nn.Flatten(), nn.Linear(40, 4)), SHAPE, layers={"1": (4,)})
    return replace(network, card=replace(network.card, mean=(0.5, 0.5)))


def weights(network: Network) -> tuple[Tensor, Tensor]:
    """W [4, 40] and b [4]."""
    W, b = (parameter.detach() for parameter in network.forward.module.parameters())  # type: ignore[attr-defined]
    return W, b


def found(network: Network, method: Any, x: Tensor = X, seed: int = 0, **parameters: Any) -> Inverted:
    """What the method makes of x, which is of the network's size."""
    subject = Subject.of(network.card, x.float().numpy())
    offered = {"x": x, "card": network.card, "noise": Noise(seed)}
    if method is not caricature:
        offered["subject"] = subject
    if method is edit:
        offered["logits"] = network.forward.forward(x[None]).logits[0]
    return Engine([network]).drive(method(**offered, **parameters))  # type: ignore[no-any-return]


def errors(network: Network, inverted: Inverted) -> dict[str, float]:
    """Of the first picture in 8 bits."""
    assert inverted.original is not None
    rows = (inverted.image[None] * 255).round() / 255
    said = Engine([network]).drive(inverted.original.errors(rows))
    return {name: values[0] for name, values in said.items() if values[0] is not None}


# ── on a linear model ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("beginning", ["zeros", "noise"])
def test_the_inverse_of_a_linear_code_is_that_of_ridge_regression(linear: Network, beginning: Any) -> None:
    W, b = weights(linear)
    phi_0 = W @ X.flatten() + b
    C, weight = 300.0, 2.0
    ours = found(
        linear,
        invert,
        layer="1",
        fidelity=C,
        alpha_weight=weight,
        beginning=beginning,
        optimizer="momentum",
        step_size=5e-5,
        steps=250,
        **PARABOLA,
    )
    scale, norm = C / phi_0.square().sum(), weight / (4 * 5 * B**2)
    best = torch.linalg.solve(
        scale * W.T @ W + norm * torch.eye(40, dtype=torch.float64), scale * W.T @ (phi_0 - b) + norm * 0.5
    )
    assert best.min() > 0
    assert best.max() < 1
    torch.testing.assert_close(ours.image.double().flatten(), best, rtol=0, atol=1e-5)
    assert ours.image.dtype == X.dtype


def test_a_caricature_of_a_linear_code_goes_along_its_positive_weights(linear: Network) -> None:
    W, b = weights(linear)
    phi_0 = W @ X.flatten() + b
    C, weight = 0.5, 3.0
    ours = found(
        linear,
        caricature,
        layer="1",
        fidelity=C,
        alpha_weight=weight,
        optimizer="momentum",
        step_size=5e-5,
        steps=200,
        **PARABOLA,
    )
    step = C * W.T @ phi_0.clamp(min=0) / phi_0.square().sum() * (4 * 5 * B**2) / (2 * weight)
    assert (0.5 + step).min() > 0
    torch.testing.assert_close(ours.image.flatten(), 0.5 + step, rtol=0, atol=1e-5)


@pytest.mark.parametrize("score", ["logit", "log_probability"])
def test_an_edit_of_a_linear_model_ends_where_class_and_distance_pull_alike(linear: Network, score: Any) -> None:
    W, _ = weights(linear)
    C, weight, c = 0.5, 4.0, 2
    ours = found(
        linear,
        edit,
        target=c,
        score=score,
        fidelity=C,
        near_weight=weight,
        optimizer="momentum",
        step_size=1e-4,
        steps=250,
        tv_weight=0.0,
        jitter=0,
        parametrization="pixels",
    )
    x = ours.image
    p = linear.forward.forward(x[None]).logits[0].softmax(0)
    pull = W[c] if score == "logit" else W[c] - p @ W
    torch.testing.assert_close(x.flatten(), X.flatten() + C * pull * 40 * B**2 / (2 * weight), rtol=0, atol=1e-5)
    assert ours.said["target"] == {"index": 2, "label": "class 2"}


def test_an_edit_with_a_target_by_rank_means_the_photographs_answers(linear: Network) -> None:
    subject = Subject.of(linear.card, X.float().numpy())
    order = linear.forward.forward(X[None]).logits[0].argsort(descending=True)
    asked = Question("inversion", "linear", subject.x.numpy(), "edit", {"target": {"rank": 2}, "steps": 2})
    engine = Engine([linear])
    run = engine.submit(asked.begin(engine.networks))
    engine.run_until(lambda: run.over)
    assert run.result["target"]["index"] == int(order[1])


# ── what is less than a code ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("module", "top"), [(nn.ReLU(), np.inf), (nn.ReLU6(), 6.0), (nn.Hardtanh(0, 1), 1.0)])
def test_a_rectified_code_is_known_by_what_its_layers_put_out(module: nn.Module, top: float) -> None:
    first = nn.Conv2d(2, 3, 3, padding=1)
    layers: dict[str, tuple[int, ...]] = dict.fromkeys(("0", "1", "2"), (3, 4, 5))
    network = network_of("r", nn.Sequential(first, nn.BatchNorm2d(3), module, nn.Flatten()), SHAPE, layers=layers)
    with torch.no_grad():
        first.weight.mul_(100)
    original = Engine([network]).drive(Original.of(Code("2"), network.card, X))
    assert original.below == "1"
    assert original.top == pytest.approx(top)
    assert Engine([network]).drive(Original.of(Code("1"), network.card, X)).below == ""


def test_where_a_code_is_not_cut_its_bound_is_the_distance_and_elsewhere_no_less() -> None:
    a = torch.linspace(-3, 9, 49, dtype=torch.float64)[:, None]
    for wanted in (2.0, 4.5):
        phi_0 = torch.tensor([wanted], dtype=torch.float64)
        bound, distance = Rectified(phi_0, 6.0)(a), Distance(phi_0)(a.clamp(0, 6))
        alive = (a[:, 0] >= 0) & (a[:, 0] <= 6)
        assert torch.equal(bound[alive], distance[alive])
        assert (bound[~alive] > distance[~alive]).all()
    both = torch.tensor([0.0, 6.0], dtype=torch.float64)
    near = torch.tensor([[-2.0, 8.0], [1.0, 7.0], [-1.0, 4.0]], dtype=torch.float64)
    assert Rectified(both, 6.0)(near).tolist() == pytest.approx([0, 1 / 36, 4 / 36])
    assert Rectified(both)(near).tolist() == pytest.approx([4 / 36, 2 / 36, 4 / 36])


def test_the_bound_and_the_exaggeration_have_the_slope_of_their_values() -> None:
    phi_0 = torch.tensor([0.0, 1.0, 6.0, 3.0], dtype=torch.float64)
    phi = torch.tensor([[-1.0, -1.0, 5.0, 7.0], [2.0, 2.0, 7.0, 1.0]], dtype=torch.float64, requires_grad=True)
    for loss in (Rectified(phi_0, 6.0), Rectified(phi_0), Distance(phi_0), Exaggeration(phi_0 - 2)):
        assert torch.autograd.gradcheck(loss, phi)


def test_a_caricature_of_the_image_itself_is_minus_its_positive_share() -> None:
    phi_0 = torch.tensor([[3.0, -4.0]])
    assert Exaggeration(phi_0[0])(torch.cat([phi_0, 2 * phi_0])).tolist() == pytest.approx([-9 / 25, -18 / 25])


# ── on digits ───────────────────────────────────────────────────────────────────────────────────────────────────────

LAYERS = ("c1", "s4", "c5", "output")


@pytest.fixture
def nine(digits: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]) -> Tensor:
    return torch.from_numpy(digits[0][0]).float() / 255


def test_pixels_are_lost_with_depth_and_the_code_is_found_again(lenet: Network, nine: Tensor) -> None:
    by_layer = [errors(lenet, found(lenet, invert, nine, layer=layer, steps=70)) for layer in LAYERS]
    assert all(each["feature_error"] < 0.1 for each in by_layer)
    pixels = [each["pixel_error"] for each in by_layer]
    assert spearmanr(range(len(LAYERS)), pixels).statistic > 0.8
    assert pixels[0] < 0.05 < 0.2 < pixels[-1]


def test_past_the_first_pooling_it_helps_to_know_what_pictures_are_like(lenet: Network, nine: Tensor) -> None:
    known, nothing = (
        errors(lenet, found(lenet, invert, nine, layer="s4", steps=80, prior=prior, beginning="noise"))
        for prior in ("natural", "none")
    )
    assert known["pixel_error"] < 0.8 * nothing["pixel_error"]


def test_two_unlike_pictures_with_one_code(lenet: Network, digits: Any) -> None:
    """Begun at one digit with the code of another, it stays like the one and has the code of the other."""
    start, other = digits[0][0], digits[0][digits[1].tolist().index(0)]
    ours = found(
        lenet,
        invert,
        torch.zeros(lenet.card.input_shape),
        layer="output",
        start=array_to_json(start.transpose(1, 2, 0)),
        code_of=array_to_json(other.astype(np.float32) / 255),
        fidelity=1e4,
        tv_weight=0.0,
        alpha_weight=0.0,
        step_size=0.02,
        steps=80,
    )
    a, b = (torch.from_numpy(one).float() / 255 for one in (start, other))
    assert errors(lenet, ours)["feature_error"] < 0.05
    assert (ours.image - a).square().mean() < 0.6 * (ours.image - b).square().mean()
    subject = Subject.of(lenet.card, (ours.image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8))
    assert int(Engine([lenet]).drive(subject.scores(subject.x)).argmax()) == 0


def test_several_starts_give_several_pictures_the_best_first(lenet: Network, nine: Tensor) -> None:
    ours = found(lenet, invert, nine, layer="f6", beginning="noise", repeats=3, steps=40)
    assert ours.images.shape == (3, 1, 32, 32)
    energies = ours.ordered().trace[-1]
    assert list(energies) == sorted(ours.trace[-1])
    assert min(float((p - q).abs().max()) for p, q in zip(ours.images, ours.images.roll(1, 0), strict=True)) > 0.1


def test_an_edit_is_of_the_class_and_the_more_it_is_held_the_nearer(lenet: Network, nine: Tensor) -> None:
    far, near = (found(lenet, edit, nine, target="4", near_weight=weight, steps=60) for weight in (1.0, 10.0))
    for ours in (far, near):
        assert int(lenet.forward.forward(ours.image[None]).logits.argmax()) == 4
    moved = [float((ours.image - nine).square().mean()) for ours in (far, near)]
    assert moved[1] < 0.8 * moved[0]


def test_a_caricature_has_more_of_the_code_than_the_image(lenet: Network, nine: Tensor) -> None:
    ours = found(lenet, caricature, nine, layer="s4", steps=40)
    assert ours.original is not None
    code = Code("s4")
    more = Engine([lenet]).drive(code.of(ours.images))
    assert Exaggeration(ours.original.phi)(more).item() < -1.2


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("invert", {"layer": "s4", "beginning": "noise", "repeats": 2, "jitter": 1}),
        ("caricature", {"layer": "c3"}),
        ("edit", {"target": 3}),
    ],
)
def test_alone_or_in_company_it_comes_to_the_same_bits(
    lenet: Network, digits: Any, method: str, parameters: Mapping[str, Any]
) -> None:
    questions = [
        Question("inversion", lenet.card.name, np.ascontiguousarray(one.transpose(1, 2, 0)), method, named, seed=1)
        for one, named in zip(
            digits[0][:3], [{**parameters, "steps": 12}, {**parameters, "steps": 7}, {"layer": "c1"}], strict=True
        )
    ]
    questions[2] = replace(questions[2], method="invert", parameters={"layer": "s4", "steps": 9})

    def answered(asked: list[Question]) -> dict[str, Any]:
        engine = Engine([lenet])
        runs = [engine.submit(one.begin(engine.networks)) for one in asked]
        engine.run_until(lambda: all(run.over for run in runs))
        return runs[0].result

    alone, together = answered(questions[:1]), answered(questions)
    assert alone["image"].tobytes() == together["image"].tobytes()
    assert alone["objective"].tobytes() == together["objective"].tobytes()
    assert alone["reached"] == together["reached"]


# ── what cannot be ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("method", "parameters", "pointer", "message"),
    [
        ("invert", {"layer": "s44"}, "layer", "'s4'"),
        ("caricature", {"layer": ""}, "layer", "has no layer ''"),
        ("invert", {"tv_weight": -1}, "tv_weight", "greater than or equal to 0"),
        ("caricature", {"alpha_weight": -0.1}, "alpha_weight", "greater than or equal to 0"),
        ("edit", {"target": 1, "near_weight": -1}, "near_weight", "greater than or equal to 0"),
        ("invert", {"steps": 0}, "steps", "greater than or equal to 1"),
        ("edit", {"target": 1, "steps": 0}, "steps", "greater than or equal to 1"),
        ("edit", {"target": 1, "steps": "many"}, "steps", "number"),
        ("edit", {"target": 10}, "target", "0 to 9"),
        ("edit", {}, "target", "missing"),
        ("invert", {"fidelity": float("nan")}, "fidelity", ""),
        ("invert", {"optimizer": "lbfgs"}, "optimizer", "'adam' or 'momentum'"),
        ("invert", {"repeats": 4}, "repeats", "take beginning noise"),
        ("invert", {"repeats": 17, "beginning": "noise"}, "repeats", "less than or equal to 16"),
        ("invert", {"prior": "dictionary"}, "prior", "The dictionary is of hog"),
        ("caricature", {"repeats": 2}, "repeats", "belongs to invert"),
        ("invert", {"start": 3}, "start", "base64"),
    ],
)
def test_what_cannot_be_is_said_before_a_row_is_spent(
    lenet: Network, method: str, parameters: Mapping[str, Any], pointer: str, message: str
) -> None:
    inversion = OPERATIONS["inversion"]
    with pytest.raises(BadParameter) as caught:
        inversion.check(inversion.method(method), parameters, lenet.card, 1)
    assert f"/parameters/{pointer}" in [error.pointer for error in caught.value.errors]
    assert message in caught.value.detail


@pytest.mark.parametrize("method", ["invert", "caricature"])
def test_a_model_without_layers_or_gradients_has_no_code(lenet: Network, method: str) -> None:
    inversion = OPERATIONS["inversion"]
    for card in (replace(lenet.card, differentiable=False), replace(lenet.card, layers={})):
        with pytest.raises(BadParameter, match="it answers scores alone"):
            inversion.check(inversion.method(method), {}, card, 1)


def test_a_code_that_is_nothing_cannot_be_found_again() -> None:
    first = nn.Conv2d(2, 3, 3)
    network = network_of(
        "dead", nn.Sequential(first, nn.ReLU(), nn.Flatten()), SHAPE, layers={"0": (3, 2, 3), "1": (3, 2, 3)}
    )
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.copy_(-1 - parameter.abs())
    for method in (invert, caricature):
        with pytest.raises(BadParameter, match="zero throughout"):
            found(network, method, layer="1")
    with pytest.raises(BadParameter, match="nothing above zero"):
        found(network, caricature, layer="0")


class Detached(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.detach()


@pytest.mark.parametrize("method", [invert, caricature])
def test_a_layer_to_which_no_slope_leads_is_refused(method: Any) -> None:
    module = nn.Sequential(nn.Conv2d(2, 3, 3), Detached(), nn.Flatten())
    network = network_of("cut", module, SHAPE, layers={"0": (3, 2, 3), "1": (3, 2, 3)})
    with pytest.raises(BadParameter, match="no derivative by the image; name another layer"):
        found(network, method, layer="1", steps=2)


def test_by_default_the_code_is_that_of_the_last_layer_with_extent(lenet: Network) -> None:
    assert code_at(lenet.card, None) == Code("s4")
