"""Defences: what each does to an image, what an attack sees of it, and what is said of a picture behind it."""

import io
from functools import partial
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from rakinglight import defended as behind
from rakinglight.catalogue import operation
from rakinglight.defenses import BY_NAME, Chain, Defense, defense, quilting, read, tv_minimization
from rakinglight.defenses.bit_depth import BitDepth
from rakinglight.defenses.crop_rescale import CropRescale
from rakinglight.defenses.jpeg import Jpeg
from rakinglight.defenses.median_blur import MedianBlur
from rakinglight.defenses.quilting import Quilting
from rakinglight.defenses.tv_minimization import TvMinimization
from rakinglight.engine import Engine
from rakinglight.errors import BadParameter
from rakinglight.network import Network
from rakinglight.objectives import Logit
from rakinglight.queries import Algorithm, Forward, Gradient
from rakinglight.question import Question
from rakinglight.subject import Subject
from tests.cases import one
from tests.networks import network_of

Array = np.ndarray[Any, Any]

each = pytest.mark.parametrize("kind", BY_NAME.values(), ids=BY_NAME)


def draw() -> np.random.Generator:
    return np.random.default_rng(0)


def photograph(channels: int = 3, side: int = 20) -> Tensor:
    """A part of a cat, [C, side, side]."""
    import skimage.data

    pixels = torch.from_numpy(np.array(skimage.data.chelsea()[100 : 100 + side, 100 : 100 + side])).permute(2, 0, 1)
    return pixels[:channels].float() / 255


# ── one by one ──────────────────────────────────────────────────────────────────────────────────────────────────────


@each
@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("size", [(20, 20), (7, 12), (32, 5)])
def test_what_comes_out_is_an_image_of_the_same_shape(
    kind: type[Defense], channels: int, size: tuple[int, int]
) -> None:
    x = torch.rand(channels, *size, generator=torch.Generator().manual_seed(0))
    y = kind()(x, draw())  # type: ignore[call-arg]
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    assert y.min() >= 0
    assert y.max() <= 1


@each
def test_what_is_not_random_is_the_same_each_time_and_what_is_is_not(kind: type[Defense]) -> None:
    x, numbers, made = photograph(), draw(), kind()  # type: ignore[call-arg]
    assert torch.equal(made(x, numbers), made(x, numbers)) is not made.random
    assert torch.equal(made(x, draw()), made(x, draw()))


def test_jpeg_is_pillow_s() -> None:
    x, file = photograph(), io.BytesIO()
    pixels = (x * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(file, "JPEG", quality=40)
    there = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1) / 255
    assert torch.equal(Jpeg(quality=40)(x, draw()), there)


def test_jpeg_at_its_best_and_eight_bits_are_nearly_the_identity() -> None:
    grey = photograph(1)
    assert (Jpeg(quality=100)(grey, draw()) - grey).abs().max() <= 1.01 / 255
    assert (BitDepth(bits=8)(grey, draw()) - grey).abs().max() < 1e-6
    assert (Jpeg()(grey, draw()) - grey).abs().max() > 2 / 255


def test_one_bit_is_black_and_white_and_two_have_four_levels() -> None:
    x = torch.tensor([[[0.1, 0.49, 0.51, 0.9]]])
    assert BitDepth(bits=1)(x, draw()).flatten().tolist() == [0, 0, 1, 1]
    assert BitDepth(bits=2)(x, draw()).flatten().tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])


@pytest.mark.parametrize("window", [3, 5])
def test_median_blur_is_scipy_s(window: int) -> None:
    import scipy.ndimage

    x = photograph()
    wanted = scipy.ndimage.median_filter(x.numpy(), size=(1, window, window))
    np.testing.assert_array_equal(MedianBlur(window=window)(x, draw()).numpy(), wanted)


def test_total_variation_without_a_mask_is_scikit_image_s() -> None:
    from skimage.restoration import denoise_tv_chambolle

    x = photograph(side=40)
    wanted = denoise_tv_chambolle(x.numpy(), weight=0.03, channel_axis=0, eps=1e-9, max_num_iter=2000)
    found = TvMinimization(drop=0, weight=0.03)(x, draw()).numpy()
    assert abs(found - wanted).mean() < 0.1 / 255
    assert abs(found - wanted).max() < 1.5 / 255
    assert abs(x.numpy() - wanted).max() > 10 / 255


def test_total_variation_with_a_mask_has_no_better_image_near_by() -> None:
    x, numbers = photograph(1, 16).numpy().astype(np.float64), draw()
    kept = numbers.random((16, 16)) > 0.5

    def cost(z: Array) -> float:
        differences = tv_minimization._differences(z)
        return float(0.5 * ((z - x)[0, kept] ** 2).sum() + 0.03 * np.sqrt((differences**2).sum(0)).sum())

    z = tv_minimization.minimized(x.astype(np.float32), kept, 0.03).astype(np.float64)
    others = [z + size * numbers.standard_normal(z.shape) for size in (1e-3, 3e-3, 1e-2) for _ in range(20)]
    towards = [z + share * (x - z) for share in (-0.1, -0.02, 0.02, 0.1)]
    assert cost(z) < min(map(cost, others))
    assert cost(z) < min(map(cost, towards)) + 1e-4


def test_a_dropped_pixel_counts_for_nothing() -> None:
    x = photograph(1, 16).numpy()
    kept = draw().random((16, 16)) > 0.5
    other = np.where(kept, x, 1 - x)
    np.testing.assert_array_equal(
        tv_minimization.minimized(x, kept, 0.03), tv_minimization.minimized(other, kept, 0.03)
    )


def test_a_crop_of_the_whole_is_the_image_and_no_crop_is_random_then() -> None:
    x, whole = photograph(), CropRescale(side=1)
    assert torch.equal(whole(x, draw()), x)
    assert (whole.random, whole.copies, CropRescale().random, CropRescale().copies) == (False, 1, True, 30)


def test_a_crop_is_a_part_enlarged() -> None:
    from torch.nn.functional import interpolate

    x = photograph(side=8)
    found = CropRescale(side=0.5)(x, draw())
    parts = [x[:, top : top + 4, left : left + 4] for top, left in product(range(5), repeat=2)]
    assert any(torch.equal(found, interpolate(part[None], size=(8, 8), mode="bilinear")[0]) for part in parts)


# ── quilting ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_patch_of_the_bank_is_sewn_of_itself() -> None:
    with np.load(quilting.BANK) as file:
        patches = file["colour"][:5]
    for patch in patches:
        x = torch.from_numpy(patch).permute(2, 0, 1) / 255
        assert torch.equal(Quilting()(x, draw()), x)


def test_every_pixel_of_a_quilt_is_of_the_patch_that_lies_there_or_of_its_neighbour() -> None:
    numbers = draw()
    patches = numbers.random((3, 2, 5, 5, 1))
    whole = quilting.sewn(patches)
    assert whole.shape == (2, 5, 11, 1)
    for column in range(11):
        over = [whole[:, :, column] == patches[i][:, :, column - 3 * i] for i in range(3) if 0 <= column - 3 * i < 5]
        assert np.logical_or.reduce(over).all()
    np.testing.assert_array_equal(whole[:, :, 2], patches[0][:, :, 2])
    np.testing.assert_array_equal(whole[:, :, 5], patches[1][:, :, 2])


def test_the_seam_is_the_cheapest_way_down() -> None:
    cost = draw().random((4, 5, 3))
    ways = [way for way in product(range(3), repeat=5) if all(abs(a - b) < 2 for a, b in pairwise(way))]
    for lines, found in zip(cost, quilting.seam(cost), strict=True):
        assert tuple(found) == min(ways, key=lambda way: sum(lines[range(5), way]))  # type: ignore[index]


def test_of_several_neighbours_one_is_taken() -> None:
    bank = np.array([[0.0], [1.0], [2.0], [30.0]], np.float32)
    wanted = np.full((600, 1), 1.1, np.float32)
    assert set(quilting._nearest(wanted, bank, 3, draw()).tolist()) == {0, 1, 2}
    assert set(quilting._nearest(wanted, bank, 1, draw()).tolist()) == {1}


def test_the_bank_is_what_its_program_makes() -> None:
    from model_store.patches import bank

    with np.load(quilting.BANK) as file:
        for kind, patches in bank().items():
            np.testing.assert_array_equal(file[kind], patches)


# ── what an attack sees ─────────────────────────────────────────────────────────────────────────────────────────────


def derivative(made: Defense, x: Tensor, g: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    return torch.autograd.grad(made(x, draw()), x, g)[0]


def test_straight_through_changes_no_bit_and_passes_the_gradient_on() -> None:
    x, g = torch.rand(3, 8, 8), torch.randn(3, 8, 8)
    x.requires_grad_()
    wanted = torch.rand(3, 8, 8)
    y = defense.straight_through(x, lambda pixels: wanted.numpy())
    assert torch.equal(y, wanted)
    assert torch.equal(torch.autograd.grad(y, x, g)[0], g)


@pytest.mark.parametrize("made", [Jpeg(), BitDepth(), TvMinimization(), Quilting()], ids=lambda made: made.name)
def test_what_rounds_or_replaces_passes_the_gradient_straight_through(made: Defense) -> None:
    g = torch.randn(1, 9, 9)
    assert torch.equal(derivative(made, photograph(1, 9), g), g)


@pytest.mark.parametrize("made", [MedianBlur(), CropRescale(side=0.6)], ids=lambda made: made.name)
def test_what_has_a_derivative_passes_that_on(made: Defense) -> None:
    numbers = torch.Generator().manual_seed(0)
    x = torch.randperm(81, generator=numbers).double().view(1, 9, 9) / 81  # no two are alike, so no median jumps
    g, v = (torch.randn(1, 9, 9, generator=numbers, dtype=torch.float64) for _ in range(2))
    along = (made(x + 1e-4 * v, draw()) - made(x - 1e-4 * v, draw())) / 2e-4
    assert (derivative(made, x, g) * v).sum() == pytest.approx(float((g * along).sum()), rel=1e-6)


@pytest.fixture
def linear() -> Network:
    """Three classes of a 1x6x6 image, logits W x + b."""
    return network_of("linear", nn.Sequential(nn.Flatten(), nn.Linear(36, 3)), (1, 6, 6))


def subject_of(network: Network, *chain: Defense, draws: int = 1, seed: int = 0, side: int = 6) -> Subject:
    pixels = np.random.default_rng(1).integers(0, 256, (side, side, 1), dtype=np.uint8)
    found = Subject.of(network.card, pixels, seed).behind(chain, draws)
    found.x = found.x.double()
    return Subject(found.card, found.x, _view_like(found), found.noise, chain=found.chain, draws=draws)


def _view_like(subject: Subject) -> Any:
    from rakinglight.view import View

    return View(subject.view.geometry, subject.x)


def answered(network: Network, algorithm: Algorithm[Any]) -> Any:
    return Engine([network]).drive(algorithm)


def test_an_adaptive_attack_gets_the_gradient_at_what_the_network_sees(linear: Network) -> None:
    subject = subject_of(linear, BitDepth(bits=1))
    slope = answered(linear, subject.through(one(Gradient(subject.x, Logit(1)))))
    rounded = answered(linear, one(Gradient(subject.x.round(), Logit(1))))
    torch.testing.assert_close(slope, rounded)


def test_of_what_is_random_it_gets_the_mean(linear: Network) -> None:
    crop, plain = CropRescale(side=0.5), subject_of(linear)
    (logit,) = [answered(linear, one(Gradient(plain.x, Logit(1)))).gradient]  # the same at every image
    many = subject_of(linear, crop, draws=400)
    found = answered(linear, many.through(one(Gradient(many.x, Logit(1))))).gradient
    numbers = draw()
    wanted = torch.stack([_pulled(crop, plain.x, logit, numbers) for _ in range(4000)]).mean(0)
    assert (found - wanted).norm() < 0.2 * wanted.norm()


def _pulled(made: Defense, x: Tensor, g: Tensor, numbers: np.random.Generator) -> Tensor:
    x = x.clone().requires_grad_()
    return torch.autograd.grad(made(x, numbers), x, g)[0]


def test_rows_and_their_own_objectives_go_through_each_by_itself(linear: Network) -> None:
    subject = subject_of(linear, CropRescale(side=0.5), draws=3)
    rows = torch.stack([subject.x, 1 - subject.x])
    both = answered(linear, subject.through(one(Gradient(rows, [Logit(0), Logit(2)]))))
    for i, c in enumerate((0, 2)):
        alone = answered(linear, subject.through(one(Gradient(rows[i], Logit(c)))))
        for a, b in zip(both, alone, strict=True):
            torch.testing.assert_close(a[i], b)


def test_the_gradient_comes_back_to_the_image_s_own_size(linear: Network) -> None:
    subject = subject_of(linear, BitDepth(bits=8), side=9)
    slope = answered(linear, subject.through(one(Gradient(subject.x, Logit(1)))))
    plain = answered(linear, subject.behind(()).through(one(Gradient(subject.x, Logit(1)))))
    assert slope.gradient.shape == (1, 9, 9)
    torch.testing.assert_close(slope.gradient, plain.gradient)


def test_the_attacker_s_draws_follow_the_seed_and_the_image(linear: Network) -> None:
    def logits(seed: int, shift: float = 0) -> Tensor:
        subject = subject_of(linear, TvMinimization(), seed=seed, draws=2)
        found: Tensor = answered(linear, subject.through(one(Forward(subject.x * (1 - shift))))).logits
        return found

    assert torch.equal(logits(0), logits(0))
    assert not torch.equal(logits(0), logits(1))


def test_who_judges_draws_anew_whatever_the_seed(linear: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = subject_of(linear, TvMinimization())
    first, second = (answered(linear, subject.answers(subject.x)) for _ in range(2))
    assert first.shape == (20, 3)
    assert not torch.equal(first, second)
    monkeypatch.setattr(behind, "fresh", draw)
    first, second = (answered(linear, subject.answers(subject.x)) for _ in range(2))
    assert torch.equal(first, second)


def test_several_answers_are_one_of_the_mean_probability() -> None:
    logits = torch.randn(20, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(behind.together(logits).softmax(0), logits.softmax(1).mean(0))
    assert torch.equal(behind.together(logits[:1]), logits[0])


# ── chains, as they are written ─────────────────────────────────────────────────────────────────────────────────────


def test_a_chain_is_applied_in_its_order() -> None:
    x = photograph(1)
    one_way, other = Chain((BitDepth(bits=1), MedianBlur())), Chain((MedianBlur(), BitDepth(bits=1)))
    assert torch.equal(one_way.once(x, draw()), MedianBlur()(BitDepth(bits=1)(x, draw()), draw()))
    assert torch.equal(other.once(x, draw()), BitDepth(bits=1)(MedianBlur()(x, draw()), draw()))


def test_what_comes_before_the_crops_is_done_once() -> None:
    chain, x = Chain((TvMinimization(), CropRescale(crops=3, side=0.99))), photograph(1, 12)
    images = chain.all(x, draw())
    assert (len(images), chain.copies, chain.random) == (3, 3, True)
    assert all(torch.equal(images[0], image) for image in images[1:])  # 0.99 of 12 pixels is all of them


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("jpeg", (Jpeg(),)),
        (["jpeg", {"name": "bit_depth", "bits": 5}], (Jpeg(), BitDepth(bits=5))),
        ({"name": "tv_minimization", "weight": 1}, (TvMinimization(weight=1),)),
        ([], ()),
        ([Jpeg(quality=5)], (Jpeg(quality=5),)),
    ],
)
def test_a_chain_is_names_and_objects(said: Any, meant: tuple[Defense, ...]) -> None:
    assert read(said) == meant


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("jpg", "'jpg' is no defence: did you mean 'jpeg'\\.$"),
        ([{"name": "jpeg", "quality": 0}], "quality of jpeg is 0: input should be greater than or equal to 1"),
        ([{"name": "jpeg", "quality": 101}], "quality of jpeg is 101: .* less than or equal to 100"),
        ([{"name": "bit_depth", "bits": 9}], "bits of bit_depth is 9: .* less than or equal to 8"),
        ([{"name": "median_blur", "window": 4}], "window of median_blur is 4: .* odd"),
        ([{"name": "jpeg", "bits": 4}], "'bits' is no parameter of jpeg: there is 'name', 'quality'"),
        ([{"name": "crop_rescale", "side": "0.5"}], "side of crop_rescale is '0.5', and should be a number"),
        ([{"name": "tv_minimization", "drop": True}], "drop of tv_minimization is True, and should be a number"),
        ([{"quality": 4}], "a defence is its name"),
        (5, "a defence is its name"),
        (["jpeg"] * 9, "at most 8 stand in a chain"),
        (["crop_rescale", "crop_rescale"], "mean over 900 images"),
    ],
)
@pytest.mark.parametrize("name", ["classify", "attack"])
def test_a_wrong_defence_is_refused_with_what_is_right(name: str, said: Any, told: str, lenet: Network) -> None:
    asked = operation(name)
    with pytest.raises(BadParameter, match=told) as refused:
        asked.check(asked.method(None), {"defense": said}, lenet.card, images=1)
    assert [error.pointer for error in refused.value.errors] == ["/parameters/defense"]


def test_the_defaults_of_a_defence_stand_in_the_reply(lenet: Network) -> None:
    filled, _ = operation("classify").check(None, {"defense": "jpeg"}, lenet.card, images=1)
    assert filled["defense"] == [{"name": "jpeg", "quality": 75}]


# ── operations ──────────────────────────────────────────────────────────────────────────────────────────────────────


def asked(network: Network, what: str, images: Array, method: str | None = None, **parameters: Any) -> list[Any]:
    """The results of `images` [n, H, W, C], all together; of a parameter that is an array, each has its own."""
    engine, runs = Engine([network]), []
    for i, image in enumerate(images):
        own = {name: v[i].item() if isinstance(v, np.ndarray) else v for name, v in parameters.items()}
        runs.append(engine.submit(Question(what, network.card.name, image, method, own).begin(engine.networks)))
    engine.run_until(lambda: all(run.over for run in runs))
    return [run.result for run in runs]


@pytest.fixture
def some_digits(digits: tuple[Array, Array]) -> tuple[Array, Array]:
    """Twelve digits that the defended networks here get right: uint8 [12, 32, 32, 1], and the labels."""
    images, labels = digits
    return images[:12].transpose(0, 2, 3, 1), labels[:12]


def test_classify_behind_jpeg_is_classify_of_the_jpeg(lenet: Network, some_digits: tuple[Array, Array]) -> None:
    images, _ = some_digits

    def saved(image: Array) -> Array:
        file = io.BytesIO()
        Image.fromarray(image[..., 0]).save(file, "JPEG", quality=30)
        return np.array(Image.open(file))[..., None]

    behind_it = asked(lenet, "classify", images[:3], defense=[{"name": "jpeg", "quality": 30}])
    of_it = asked(lenet, "classify", np.stack([saved(image) for image in images[:3]]))
    plain = asked(lenet, "classify", images[:3])
    assert behind_it == of_it
    assert behind_it != plain


def test_classify_behind_crops_tells_the_mean_probability(lenet: Network, some_digits: tuple[Array, Array]) -> None:
    crops = {"name": "crop_rescale", "crops": 4, "side": 0.9}
    (result,) = asked(lenet, "classify", some_digits[0][:1], defense=crops, top_k=10, layers=["c1"])
    assert sum(said["probability"] for said in result["predictions"]) == pytest.approx(1)
    assert result["predictions"][0]["logit"] == pytest.approx(np.log(result["prediction"]["probability"]), abs=1e-5)
    assert result["activations"]["c1"].ndim == 3


def test_an_oblivious_attack_is_the_one_on_the_model_without(lenet: Network, some_digits: tuple[Array, Array]) -> None:
    images, labels = some_digits
    common = {"label": labels[:2], "epsilon": 0.1}
    plain = asked(lenet, "attack", images[:2], "pgd", **common)
    oblivious = asked(lenet, "attack", images[:2], "pgd", defense="jpeg", adaptive=False, **common)
    adaptive = asked(lenet, "attack", images[:2], "pgd", defense="jpeg", **common)
    for a, b, c in zip(plain, oblivious, adaptive, strict=True):
        np.testing.assert_array_equal(a["adversarial"], b["adversarial"])
        assert (a["adversarial"] != c["adversarial"]).any()
    behind_it = asked(lenet, "classify", np.stack([b["adversarial"] for b in oblivious]), defense="jpeg")
    assert [b["after"] for b in oblivious] == [said["prediction"] for said in behind_it]


def test_an_adaptive_attack_has_the_success_back_that_a_defence_took(
    lenet: Network, some_digits: tuple[Array, Array]
) -> None:
    images, labels = some_digits[0][:8], some_digits[1][:8]
    rate = {}
    for adaptive in (False, True):
        found = asked(lenet, "attack", images, "deepfool", label=labels, defense="jpeg", adaptive=adaptive)
        assert not any(result["already_misclassified"] for result in found)
        rate[adaptive] = np.mean([result["success"] for result in found])
        posted = asked(lenet, "classify", np.stack([each["adversarial"] for each in found]), defense="jpeg")
        after = [said["prediction"]["index"] for said in posted]
        assert [a != y for a, y in zip(after, labels.tolist(), strict=True)] == [each["success"] for each in found]
    assert rate[False] <= 0.7
    assert rate[True] >= 0.9


def test_behind_a_random_defence_success_is_of_twenty_draws(lenet: Network, some_digits: tuple[Array, Array]) -> None:
    images, labels = some_digits
    crops = {"name": "crop_rescale", "crops": 1, "side": 0.9}
    found = asked(lenet, "attack", images[:4], "pgd", label=labels[:4], epsilon=0.2, steps=5, draws=3, defense=crops)
    draws = [20 * result["success_rate"] for result in found]
    assert draws == pytest.approx(np.round(draws))
    assert any(result["success"] for result in found)
    assert all(result["success_rate"] > 0.3 for result in found if result["success"])
    (plain,) = asked(lenet, "attack", images[:1], "fgsm", label=labels[:1], defense="jpeg")
    assert "success_rate" not in plain


def test_a_run_that_is_told_to_stop_has_the_rows_to_judge_behind_a_random_defence(
    lenet: Network, some_digits: tuple[Array, Array]
) -> None:
    image, engine = some_digits[0][0], Engine([lenet])
    parameters = {"defense": {"name": "crop_rescale", "crops": 2, "side": 0.9}, "steps": 1000, "epsilon": 0.1}
    question = Question("attack", lenet.card.name, image, "pgd", parameters, max_rows=500)
    run = engine.submit(question.begin(engine.networks))
    engine.run_until(lambda: run.over)
    assert run.result["partial"]
    assert run.cost.rows <= 500


def test_a_random_defence_can_be_seeded_by_a_test(
    lenet: Network, some_digits: tuple[Array, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    crops = {"name": "crop_rescale", "crops": 1, "side": 0.8}
    monkeypatch.setattr(behind, "fresh", partial(np.random.default_rng, 3))
    first, second = (asked(lenet, "classify", some_digits[0][:2], defense=crops) for _ in range(2))
    assert first == second
