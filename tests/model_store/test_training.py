"""The networks that are trained here: what their committed weights reach, and what their papers say they are."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from sklearn.svm import SVC
from torch import Tensor, nn
from typer.testing import CliRunner

from model_store import digits, from_recipe
from model_store.__main__ import app
from model_store.build import digest
from model_store.recipes import dam_digits
from model_store.training import ensemble, safetynet
from model_store.training.adversarial import EPSILON, pgd, robust_accuracy
from model_store.training.fitting import accuracy, fit, one_thread
from model_store.training.transformed import transformed
from rakinglight.archives import DETECTOR, WEIGHTS
from rakinglight.backends.torch_backend import Normalized
from rakinglight.detector import About, Detector
from rakinglight.errors import BadParameter, InternalError, Unreadable

TRAINED = [name for name, (_, recipe) in from_recipe.house().items() if recipe.train]


def committed(name: str) -> Normalized:
    """The network of that name, of pixels in [0, 1]."""
    ((file, recipe),) = from_recipe.find(name)
    network = from_recipe.filled(recipe, (file.parent / str(recipe.weights)).resolve())
    return Normalized(network, recipe.mean, recipe.std)


def test_the_zoo_is_as_large_as_it_is_said_to_be() -> None:
    assert len(TRAINED) == 4 + 4 * 2


@pytest.mark.parametrize("name", TRAINED)
def test_committed_weights_are_those_of_their_digest_and_as_good_as_their_recipe_says(name: str) -> None:
    ((file, recipe),) = from_recipe.find(name)
    for path in filter(None, (str(recipe.weights), recipe.detector)):
        weights = (file.parent / path).resolve()
        assert from_recipe.beside(weights).read_text().split() == [digest(weights), weights.name]
    if "clean" in recipe.reaches:
        assert accuracy(committed(name)) >= recipe.reaches["clean"]


def test_training_again_reaches_the_stated_accuracy() -> None:
    ((_, recipe),) = from_recipe.find("lenet5-digits")
    assert recipe.train is not None
    _, figures = recipe.train()
    assert figures["clean"] >= recipe.reaches["clean"]


def test_the_same_seed_gives_the_same_bits_and_leaves_torchs_generator_alone() -> None:
    before = torch.get_rng_state()
    a, b, other = (fit(ensemble.dense, epochs=1, rate=4e-3, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    first, again, else_ = (torch.cat([p.flatten() for p in network.parameters()]) for network in (a, b, other))
    assert torch.equal(first, again)
    assert not torch.equal(first, else_)


# ── robust networks ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_lenet_is_an_ordinary_network_that_pgd_breaks() -> None:
    """Under 5 % are left in the l-infinity ball of 0.13: later figures stand on it."""
    assert robust_accuracy(committed("lenet5-digits"), alpha=0.016, steps=20) < 0.05


def test_the_robust_lenet_withstands_pgd() -> None:
    """Sixty of a hundred digits at least; the ordinary one keeps next to none of them."""
    network = committed("lenet5-digits-robust")
    x, y = map(torch.from_numpy, digits.pixels("seeds"))
    with one_thread():
        x_adv = pgd(network, x, y, eps=EPSILON, alpha=EPSILON / 4, steps=10)
    assert (network(x_adv).argmax(1) == y).float().mean() >= 0.6
    assert (x_adv - x).abs().max() <= EPSILON + 1e-6
    assert x_adv.min() >= 0
    assert x_adv.max() <= 1


def test_ensemble_training_withstands_one_step_from_a_network_it_never_saw_better_than_pgd() -> None:
    network, plain, unseen = committed("lenet5-digits-ensemble"), committed("lenet5-digits"), committed("dam-digits-3")
    x, y = map(torch.from_numpy, digits.pixels("seeds"))
    with one_thread():
        moved = ensemble.fgsm(plain, x, y, EPSILON)
        transferred = (network(moved).argmax(1) == y).float().mean()
        elsewhere = ensemble.fgsm(unseen, x, y, EPSILON)
        ours, theirs = ((each(elsewhere).argmax(1) == y).float().mean() for each in (network, plain))
        white = (network(pgd(network, x, y, eps=EPSILON, alpha=EPSILON / 4, steps=10)).argmax(1) == y).float().mean()
    assert transferred > 0.85
    assert ours > theirs
    assert white < transferred - 0.3


def test_the_transformed_lenet_names_transformed_digits() -> None:
    ((_, recipe),) = from_recipe.find("lenet5-digits-transformed")
    shown = accuracy(committed("lenet5-digits-transformed"), lambda x, _: transformed(x))
    assert shown >= recipe.reaches["transformed"]


def test_a_transformed_digit_is_eight_levels_through_jpeg() -> None:
    ramp = torch.linspace(0, 1, 8).repeat_interleave(8 * 4).reshape(1, 1, 8, 32)
    assert (transformed(ramp) - ramp).abs().max() < 0.08
    noise = torch.from_numpy(digits.pixels("seeds")[0][:1])
    coarse = transformed(noise)
    assert torch.equal((coarse * 255).round(), coarse * 255)
    assert not torch.equal(coarse, noise)


# ── dense associative memories ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("n", dam_digits.TEMPERATURES)
def test_a_memory_is_the_papers_formula(n: int) -> None:
    """Written out as it stands there, one class unit and one memory at a time, in double precision."""
    network = dam_digits.Memories(n).double()
    generator = torch.Generator().manual_seed(n)
    with torch.no_grad():
        for xi in network.parameters():
            xi.uniform_(-1, 1, generator=generator)
    v = torch.empty(2, 1, 32, 32, dtype=torch.float64).uniform_(-1, 1, generator=generator)
    off = -1.0

    def F(u: Tensor) -> Tensor:
        return torch.clamp(u, min=0) ** n

    pixels, classes = network.pixels.detach(), network.classes.detach()
    for a in (0, 7):
        inside = torch.zeros(2, dtype=torch.float64)
        for mu in range(dam_digits.MEMORIES):
            rest = sum(classes[mu, g] * off for g in range(10) if g != a) + v.flatten(1) @ pixels[mu]
            inside += F(-classes[mu, a] * off + rest) - F(classes[mu, a] * off + rest)
        torch.testing.assert_close(network(v)[:, a].detach(), inside / network.T**n)


def test_the_tanh_takes_the_gradient_away_and_the_memories_keep_it() -> None:
    x, y = map(torch.from_numpy, digits.pixels("seeds"))
    sizes = {}
    for name in ("dam-digits-20", "dam-digits-20-tanh"):
        x = x.detach().requires_grad_()
        logits = committed(name)(x)
        (g,) = torch.autograd.grad(logits.gather(1, y[:, None]).sum(), x)
        sizes[name] = g.abs().flatten(1).amax(1).median()
    assert sizes["dam-digits-20"] > 0.1
    assert sizes["dam-digits-20-tanh"] < 1e-6


def test_the_layer_before_the_tanh_has_a_name() -> None:
    ((_, recipe),) = from_recipe.find("dam-digits-tanh")
    layers, classes = from_recipe.listened(recipe.network().eval(), recipe.input_shape)
    assert layers["memories"] == (10,)
    assert classes == (10,)


# ── the detector ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def detector() -> Detector:
    ((file, recipe),) = from_recipe.find("lenet5-digits")
    return Detector.from_bytes((file.parent / recipe.detector).read_bytes())


def test_a_detector_is_scikit_learns_machine(detector: Detector) -> None:
    """Trained on levels of 0 to 2, of five activations; the scores agree."""
    dice = np.random.default_rng(0)
    activations = dice.uniform(0, 3, (60, 5)).astype(np.float32)
    truth = activations.sum(1) > 7
    levels = (activations[:, None] > np.array([[1.0], [2.0]])).sum(1)
    machine = SVC(gamma=0.3).fit(levels, truth)
    ours = Detector(
        About(("a",), 0.0, ""),
        {
            "thresholds": torch.tensor([[1.0] * 5, [2.0] * 5]),
            "support": torch.from_numpy(machine.support_vectors_.astype(np.uint8)),
            "coefficients": torch.from_numpy(machine.dual_coef_[0].astype(np.float32)),
            "intercept": torch.tensor(float(machine.intercept_[0])),
            "gamma": torch.tensor(0.3),
            "limit": torch.tensor(0.0),
        },
    )
    found = ours(torch.from_numpy(activations))
    torch.testing.assert_close(found.double().numpy(), machine.decision_function(levels), rtol=0, atol=1e-5)
    assert (ours.rejects(torch.from_numpy(activations)).numpy() == machine.predict(levels)).all()


def test_the_detector_rejects_few_clean_digits_and_most_that_pgd_made(detector: Detector) -> None:
    network = committed("lenet5-digits")
    x, y = map(torch.from_numpy, digits.pixels("test"))
    with one_thread():
        rates = [
            float(detector.rejects(safetynet.activations(network.network, shown, detector.about.layers)).float().mean())
            for shown in (x, safetynet.fooling(network, x[:100], y[:100]))
        ]
    assert rates[0] == pytest.approx(detector.about.false_positive_rate, abs=0.005)
    assert rates[0] < 0.08
    assert rates[1] > 0.9


def test_an_attack_can_see_the_detector(detector: Detector) -> None:
    """The levels are steps, but the score has a derivative, and a step against it makes the score fall."""
    x = torch.from_numpy(digits.pixels("seeds")[0])
    activations = safetynet.activations(committed("lenet5-digits").network, x, detector.about.layers).requires_grad_()
    scores = detector(activations)
    (g,) = torch.autograd.grad(scores.sum(), activations)
    assert (g.abs().amax(1) > 0).all()
    lower = detector(activations - 0.5 * g / g.norm(dim=1, keepdim=True))
    assert (lower < scores).float().mean() > 0.9


def test_a_detector_comes_back_from_its_bytes(detector: Detector) -> None:
    again = Detector.from_bytes(detector.to_bytes())
    assert again.about == detector.about
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in detector.state_dict().items())


@pytest.mark.parametrize("data", [b"", b"not at all", safetensors.torch.save({"a": torch.zeros(1)})])
def test_what_is_no_detector_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable, match="no detector's file"):
        Detector.from_bytes(data)


@pytest.mark.parametrize("given", [False, True], ids=["its own weights", "weights of the user's"])
def test_an_archive_has_the_detector_that_belongs_to_its_weights(
    given: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members: list[str] = []

    def pack(folder: Path, *_: object) -> Path:
        members.extend(path.name for path in folder.iterdir())
        return tmp_path

    monkeypatch.setattr(from_recipe, "pack", pack)
    ((file, recipe),) = from_recipe.find("lenet5-digits")
    own = (file.parent / str(recipe.weights)).resolve()
    from_recipe.build(recipe, file, tmp_path, lambda _: None, own if given else None)
    assert WEIGHTS in members
    assert (DETECTOR in members) is not given


# ── the command ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A recipe whose training takes no time and reaches `figure`; gives the place of its weights."""

    def made(figure: float) -> Path:
        def train() -> tuple[nn.Module, dict[str, float]]:
            return nn.Linear(2, 2), {"clean": figure}

        ((_, recipe),) = from_recipe.find("lenet5-digits-robust")
        quick = replace(recipe, name="quick", train=train, weights="quick.safetensors", reaches={"clean": 0.9})
        monkeypatch.setattr(from_recipe, "house", lambda: {"quick": (tmp_path / "quick.py", quick)})
        return tmp_path / "quick.safetensors"

    return made


def test_training_puts_weights_and_digest_in_place(house: Callable[..., Path]) -> None:
    weights = house(0.95)
    done = CliRunner().invoke(app, ["train", "quick"])
    assert "clean 95.0% of the test set" in done.output
    assert sorted(from_recipe.read_weights(weights)) == ["bias", "weight"]


@pytest.mark.parametrize("figure", [0.8, float("nan")])
def test_a_training_that_falls_short_replaces_nothing(figure: float, house: Callable[..., Path]) -> None:
    weights = house(figure)
    with pytest.raises(InternalError, match=r"its recipe says clean 90\.0%; nothing was replaced"):
        from_recipe.train("quick")
    assert not weights.exists()


def test_a_detector_that_is_not_there_cannot_be_trained(house: Callable[..., Path]) -> None:
    house(0.95)
    with pytest.raises(BadParameter, match="quick has no detector"):
        from_recipe.train("quick", detector_only=True)


def test_weights_from_elsewhere_are_not_trained_here() -> None:
    with pytest.raises(BadParameter, match="not made here"):
        from_recipe.train("efficientnet-lite0")
