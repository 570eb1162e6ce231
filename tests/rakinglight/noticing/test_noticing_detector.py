"""The detector of stolen models: what alarms it, what does not, and what becomes of its state."""

import io
import subprocess
import sys
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from PIL import Image

from model_store.digits import pixels
from rakinglight.noticing import Detector, Notice, first_alarm
from rakinglight.noticing import detector as ours
from rakinglight.noticing.sketch import PIXELS, sketch

Array = np.ndarray[Any, Any]


def digits(count: int) -> tuple[Array, Array]:
    x, y = pixels("held-out")
    return x[:count], y[:count]


def photographs(count: int, seed: int = 0) -> Array:
    """Crops of a photograph at 224."""
    import skimage.data

    rng, whole = np.random.default_rng(seed), skimage.data.chelsea()
    corners = rng.integers(0, np.array(whole.shape[:2]) - 224, (count, 2))
    found = [whole[r : r + 224, c : c + 224].transpose(2, 0, 1) for r, c in corners]
    return np.stack(found).astype(np.float32) / np.float32(255)


def stepped(x: Array, seed: int = 0, size: float = 0.1) -> Array:
    """One step along random signs, as a child of Papernot's augmentation."""
    signs = np.random.default_rng(seed).choice(np.array([-1, 1], np.float32), x.shape)
    return (x + np.float32(size) * signs).clip(0, 1)


def alternating(x: Array, y: Array) -> tuple[Array, Array]:
    """Each of x, then that of y in its place."""
    return np.stack([x, y], 1).reshape(-1, *x.shape[1:]), np.repeat(np.arange(len(x)), 2)


def watch(images: Array, labels: Array) -> list[Notice]:
    detector = Detector()
    return [detector.see(x, int(y)) for x, y in zip(images, labels, strict=True)]


def jpeg(x: Array, quality: int) -> Array:
    file = io.BytesIO()
    grey = np.rint(x * 255).astype(np.uint8)
    Image.fromarray(grey[0] if len(grey) == 1 else grey.transpose(1, 2, 0)).save(file, "JPEG", quality=quality)
    back = np.asarray(Image.open(file), np.float32) / np.float32(255)
    return back[None] if back.ndim == 2 else back.transpose(2, 0, 1)


# ── what alarms ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [0.03, 0.1, 0.2])
def test_a_few_children_of_earlier_queries_alarm(size: float) -> None:
    x, y = digits(100)
    found = first_alarm(Detector(), np.concatenate([x, stepped(x, size=size)]), np.concatenate([y, y]))
    assert found is not None and 100 < found <= 110


def test_photographs_of_any_size_are_as_well_seen() -> None:
    x = photographs(30)
    found = first_alarm(Detector(), np.concatenate([x, stepped(x)]), [0] * 60)
    assert found is not None and 30 < found <= 40


def test_children_are_found_though_honest_queries_stand_between() -> None:
    x, y = digits(200)
    between, said = digits(400)[0][200:], digits(400)[1][200:]
    images = np.stack([stepped(x), between], 1).reshape(-1, *x.shape[1:])
    found = first_alarm(
        Detector(), np.concatenate([x, images]), np.concatenate([y, np.stack([y, said], 1).reshape(-1)])
    )
    assert found is not None and found <= 230


def test_labels_alone_neither_alarm_nor_hide_a_theft() -> None:
    x, _ = digits(100)
    rng = np.random.default_rng(0)
    assert first_alarm(Detector(), x, rng.integers(0, 10, 100)) is None
    assert first_alarm(Detector(), np.concatenate([x, stepped(x)]), np.zeros(200, int)) is not None


def test_who_walks_along_a_border_is_noticed() -> None:
    rng = np.random.default_rng(0)
    x = photographs(1)[0]
    near = np.stack([(x + rng.normal(0, 0.02, x.shape)).clip(0, 1).astype(np.float32) for _ in range(150)])
    assert first_alarm(Detector(), near, rng.integers(0, 2, 150)) is not None
    assert first_alarm(Detector(), near, np.zeros(150, int)) is None  # a camera that stands still


# ── what does not ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_repetitions_raise_no_score_and_drive_nothing_out() -> None:
    x, y = digits(20)
    detector = Detector()
    notices = [detector.see(x[i % 20], int(y[i % 20])) for i in range(200)]
    assert {notice.score for notice in notices} == {0.0}
    assert notices[-1].queries == 200
    assert sorted(detector._kept["query"])[-21:] == list(range(21))


@pytest.mark.parametrize("others", ["repetitions", "near copies"])
def test_a_step_in_a_hundred_queries_is_no_theft_whatever_the_others_are(others: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(60, 190, (1, 16, 16))
    detector, scores = Detector(), []
    for i in range(3000):
        rounded = 0 if others == "repetitions" else rng.integers(-1, 2, x.shape)
        grey = x + (8 * rng.choice([-1, 1], x.shape) if i % 100 == 50 else rounded)
        scores.append(detector.see(grey.astype(np.float32) / np.float32(255), 3).score)
    assert 0.1 < max(scores) < 0.5  # the steps are seen


@pytest.mark.parametrize("others", ["repetitions", "near copies"])
def test_a_query_that_is_no_step_takes_evidence_away(others: str) -> None:
    rng = np.random.default_rng(0)
    x, z = rng.integers(60, 190, (2, 1, 16, 16))
    rounded = 0 if others == "repetitions" else rng.integers(-1, 2, x.shape)
    greys = np.stack([z, x, x + 8 * rng.choice([-1, 1], x.shape), z + rounded])
    *_, stepped, after = watch(greys.astype(np.float32) / np.float32(255), np.zeros(4, int))
    p0, p1 = ours.STEPS
    assert stepped.score - after.score == pytest.approx(np.log((1 - p0) / (1 - p1)) / ours.LIMIT)


@pytest.mark.parametrize("copy", ["jpeg", "brighter", "half", "noise"])
@pytest.mark.parametrize("photographic", [False, True], ids=["digits", "photographs"])
def test_a_copy_of_each_image_is_no_theft(copy: str, photographic: bool) -> None:
    x = photographs(60) if photographic else digits(100)[0]
    rng = np.random.default_rng(0)
    changed = {
        "jpeg": lambda: np.stack([jpeg(one, 50) for one in x]),
        "brighter": lambda: (x * np.float32(1.1) + np.float32(0.1)).clip(0, 1),
        "half": lambda: x[:, :, ::2, ::2].repeat(2, 2).repeat(2, 3),
        "noise": lambda: (x + rng.normal(0, 0.03, x.shape)).clip(0, 1).astype(np.float32),
    }[copy]()
    notices = watch(*alternating(x, changed))
    assert max(notice.score for notice in notices) < 0.5


@pytest.mark.parametrize("x", [np.zeros((1, 32, 32)), np.ones((3, 1, 1)), np.full((1, 2, 5), np.nan)])
def test_pictures_with_nothing_on_them_are_seen_too(x: Array) -> None:
    detector = Detector()
    for level in (0.0, 0.5, 1.0):
        assert detector.see((x * level).astype(np.float32), 0).score == 0


def test_pictures_of_other_sizes_are_not_compared() -> None:
    x, y = digits(50)
    wider = np.pad(stepped(x), [(0, 0), (0, 0), (0, 0), (0, 1)])
    detector = Detector()
    assert first_alarm(detector, x, y) is None
    assert first_alarm(detector, wider, y) is None


# ── the alarm ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_alarm_stays_for_a_hundred_honest_queries_and_ends() -> None:
    x, y = digits(100)
    detector = Detector()
    first_alarm(detector, np.concatenate([x, stepped(x)]), np.concatenate([y, y]))
    for image, label in zip(stepped(x, seed=1), y, strict=True):
        detector.see(image, int(label))
    assert detector.notice.score == pytest.approx(ours.CEILING, abs=0.1)
    honest, said = pixels("train")
    alarms = [detector.see(one, int(label)).alarm for one, label in zip(honest[:400], said[:400], strict=True)]
    assert all(alarms[:100]) and not alarms[-1]
    assert sum(a != b for a, b in pairwise(alarms)) == 1


def test_the_evidence_is_fair_to_a_client_at_the_stated_rates() -> None:
    # The mean of a bet is one, so evidence is a martingale there and Ville's inequality holds.
    for p0, p1 in (ours.STEPS, ours.BORDERS):
        assert p0 * (p1 / p0) + (1 - p0) * ((1 - p1) / (1 - p0)) == pytest.approx(1)


def test_either_kind_has_half_of_the_false_alarms() -> None:
    # Where one of two evidences is 2 / ALPHA, their mean is 1 / ALPHA; and the mean is what the promise is about.
    assert np.exp(ours.LIMIT) / len(Detector()._evidence) >= (1 - 1e-9) / ours.ALPHA


def test_twenty_borders_in_a_row_are_not_enough_and_twenty_one_are() -> None:
    # 2 ** 20 is more than 1 / ALPHA and less than 2 / ALPHA.
    rng = np.random.default_rng(0)
    x = photographs(1)[0]
    near = np.stack([(x + rng.normal(0, 0.02, x.shape)).clip(0, 1).astype(np.float32) for _ in range(8 + 21)])
    detector = Detector()
    for image in near[:8]:
        assert detector.see(image, 0).score == 0
    alarms = [detector.see(image, label).alarm for label, image in enumerate(near[8:], start=1)]
    assert alarms == [False] * 20 + [True]


def test_false_alarms_at_the_stated_rates_are_as_rare_as_promised() -> None:
    # The evidence of ten clients, each with the signs as often as is allowed, for a promised wait each: more than a
    # few would alarm if the wait were much shorter.
    rng, queries, alarmed = np.random.default_rng(0), round(1 / ours.ALPHA), 0
    for _ in range(10):
        for p0, p1 in (ours.STEPS, ours.BORDERS):
            sign = rng.random(queries, np.float32) < p0
            walk = np.cumsum(np.where(sign, np.log(p1 / p0), np.log((1 - p1) / (1 - p0))))
            alarmed += bool((walk - np.minimum(np.minimum.accumulate(walk), 0)).max() >= ours.LIMIT)
    assert alarmed <= 3


def test_the_simulated_evidence_is_the_detectors(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    signs = rng.random((2, 3000)) < np.array([[ours.STEPS[0]], [ours.BORDERS[0]]])
    walks = [
        np.cumsum(np.where(sign, np.log(p1 / p0), np.log((1 - p1) / (1 - p0))))
        for sign, (p0, p1) in zip(signs, (ours.STEPS, ours.BORDERS), strict=True)
    ]
    drawn = iter(signs.T)
    monkeypatch.setattr(ours, "_signs", lambda *_: tuple(next(drawn)))
    detector, x = Detector(), np.zeros((1, 2, 2), np.float32)
    scores = [detector.see(x, number).score for number in range(3000)]
    expected = np.max([walk - np.minimum(np.minimum.accumulate(walk), 0) for walk in walks], 0) / ours.LIMIT
    np.testing.assert_allclose(scores, expected, atol=1e-9)


# ── its state ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_goes_on_from_its_state_to_the_same_end() -> None:
    x, y = digits(150)
    images, labels = np.concatenate([x, stepped(x)]), np.concatenate([y, y])
    whole, state = Detector(), None
    for image, label in zip(images, labels, strict=True):
        told = whole.see(image, int(label))
        again = Detector(state)
        assert again.see(image, int(label)) == told
        state = again.state
    assert state == whole.state


def test_its_memory_is_bounded_whatever_the_size_of_the_images() -> None:
    detector, rng = Detector(), np.random.default_rng(0)
    sizes = []
    for i in range(700):
        detector.see(rng.random((3, 64, 64) if i % 2 else (1, 32, 32), np.float32), 0)
        sizes.append(len(detector.state))
    assert sizes[-1] == max(sizes) == 69_689  # as its docstring and docs/noticing.md say


def test_the_sample_is_even() -> None:
    detector, rng = Detector(), np.random.default_rng(0)
    for _ in range(1000):
        detector.see(rng.random((1, 8, 8), np.float32), 0)
    held = np.sort(detector._kept["query"].astype(int))
    assert list(held[-ours.RECENT :]) == list(range(1000 - ours.RECENT + 1, 1001))
    sample = held[: ours.SAMPLE]
    assert len(set(sample)) == ours.SAMPLE
    assert abs(sample.mean() - 468) < 4 * 270 / np.sqrt(ours.SAMPLE)


def test_a_bad_state_begins_anew() -> None:
    detector = Detector()
    x, y = digits(5)
    for image, label in zip(x, y, strict=True):
        detector.see(image, int(label))
    good = detector.state
    assert Detector(good).notice.queries == 5
    flipped = good[:100] + bytes([good[100] ^ 1]) + good[101:]
    for bad in (b"", b"RLN1", good[:-1], good + b"x", flipped, b"RLN0" + good[4:], b"\xff" * 300_000):
        fresh = Detector(bad, salt=b"salt")
        assert fresh.notice == Notice(0.0, False, 0)
        assert fresh.see(x[0], 0).queries == 1


def test_the_salt_says_which_pixels_are_kept_and_is_in_the_state() -> None:
    x = digits(1)[0][0]
    assert sketch(x, b"a").shape == (PIXELS,)
    assert not np.array_equal(sketch(x, b"a"), sketch(x, b"b"))
    salted = Detector(salt=b"a" * 16)
    salted.see(x, 0)
    assert salted.state != Detector(salt=b"b" * 16).state
    assert Detector(salted.state, salt=b"b" * 16).see(x, 0) == Notice(0.0, False, 2)
    assert Detector(salted.state, salt=b"b" * 16).state == salted.state


def test_it_needs_numpy_alone() -> None:
    script = "import sys, rakinglight.noticing.prada; print(*sorted({'torch', 'scipy'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
