"""When does a detector of stolen models alarm, and does it alarm at clients who steal nothing?

    python -m benchmarks.noticing              200 clients, 3 thefts, 5 digits of each query attack
    python -m benchmarks.noticing --quick      a tenth of it

Attackers and clients are simulated, each with a key of its own. Ours was set by looking at the training digits, at
skimage's photographs and at the thefts; judged here are the test digits and photographs that it never saw. One thing
was set by copies of these very photographs: that borders wait for eight copies.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.campaign import HOME, Array, digits, finish, growing, networks, one_after_another, percent, show
from model_store.digits import pixels
from rakinglight.archives import find_archives, opened
from rakinglight.engine import Engine
from rakinglight.noticing import Detector
from rakinglight.noticing.prada import DELTA, Prada
from rakinglight.queries import Algorithm, Forward
from rakinglight.question import Question

VICTIM, OF_PHOTOGRAPHS = "lenet5-digits", "efficientnet-lite0"
SEEDS, QUERIES, LAMBDA, FLIPPED = 100, 1600, 0.1, 3
EPOCHS, BATCH, RATE = 10, 128, 1e-3
SIDE = 224
#: Of images and their copies.
COPIED = 150
#: Of a query attack, on one digit.
BUDGET = 1000
ATTACKS: Sequence[tuple[str, dict[str, Any]]] = (
    ("square", {"epsilon": 0.1, "queries": BUDGET}),
    ("nes", {"epsilon": 0.1, "queries": BUDGET}),
    ("boundary", {"queries": BUDGET}),
    ("hop_skip_jump", {"queries": BUDGET}),
)


@dataclass(frozen=True)
class Stream:
    """What one key asks, in order: images float32 [n, C, H, W] in [0, 1], and the labels it is told, int [n]."""

    x: Array
    y: Array

    def __getitem__(self, which: Any) -> Stream:
        return Stream(self.x[which], self.y[which])

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Watched:
    """What both made of a stream: at which query they alarmed first, and the most that they thought of it.

    ours, prada   None: never
    score         ours: 1 alarms
    W             PRADA's least; None where it never tested, or did not look
    """

    ours: int | None
    score: float
    prada: int | None
    W: float | None


def watched(stream: Stream, both: bool = True) -> Watched:
    """Both detectors from their first query; PRADA only if it is asked to look."""
    ours, prada = Detector(), Prada()
    said, published, tested = [], [], []
    for x, y in zip(stream.x, stream.y, strict=True):
        said.append(ours.see(x, int(y)))
        if both:
            published.append(prada.see(x, int(y)).alarm)
            tested.append(prada.W)
    return Watched(
        next((one.queries for one in said if one.alarm), None),
        max(one.score for one in said),
        published.index(True) + 1 if True in published else None,
        min((W for W in tested if W is not None), default=None),
    )


# ── who steals ──────────────────────────────────────────────────────────────────────────────────────────────────────


@cache
def victim(name: str) -> Callable[[Array], Array]:
    """Images [n, C, H, W] -> labels [n]."""
    networks(name)
    with opened(find_archives(HOME)[name]) as archive:
        card = archive.card()
        module = archive.module(card, archive.weights(card)).eval()
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (card.mean, card.std))

    def label(x: Array) -> Array:
        with torch.no_grad():
            parts = [module((part - mean) / std).argmax(1) for part in torch.as_tensor(x).split(64)]  # type: ignore[no-untyped-call]
        return torch.cat(parts).numpy()

    return label


def substitute() -> nn.Module:
    """Two convolutions and two layers: not the victim's architecture."""
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(32 * 8 * 8, 64), nn.ReLU(), nn.Linear(64, 10)),
    )


#: Step sizes of the children [n, C, H, W] of a round.
Steps = Callable[[Tensor], Tensor | float]


def theft(seed: int, steps: Steps = lambda x: LAMBDA, queries: int = QUERIES, informed: bool = True) -> Stream:
    """Papernot et al. 2017: train on what is known, ask about every image moved along the sign of the Jacobian, again.

    informed  whether the signs are those of the substitute's Jacobian, or random
    """
    torch.manual_seed(seed)
    label = victim(VICTIM)
    x = torch.as_tensor(pixels("seeds")[0][np.random.default_rng(seed).permutation(SEEDS)])
    y = torch.as_tensor(label(x.numpy()))
    for rounds in range(20):
        if len(x) >= queries:
            break
        signs = _jacobian(x, y).sign() if informed else torch.randint(0, 2, x.shape) * 2.0 - 1
        flip = -1 if rounds // FLIPPED % 2 else 1
        children = (x + flip * steps(x) * signs).clamp(0, 1)[: queries - len(x)]
        x, y = torch.cat([x, children]), torch.cat([y, torch.as_tensor(label(children.numpy()))])
    return Stream(x.numpy(), y.numpy())


def _jacobian(x: Tensor, y: Tensor) -> Tensor:
    """The derivative of the logit of `y` in a substitute that has learnt x and y anew."""
    F = substitute()
    optimizer = torch.optim.Adam(F.parameters(), RATE)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(x)).split(BATCH):  # type: ignore[no-untyped-call]
            optimizer.zero_grad()
            nn.functional.cross_entropy(F(x[batch]), y[batch]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    z = x.clone().requires_grad_()
    return torch.autograd.grad(F(z).gather(1, y[:, None]).sum(), z)[0]


def of_photographs(seed: int) -> Stream:
    """The first round of a theft of the other network: 100 photographs, then one step from each along random signs."""
    rng = np.random.default_rng(seed)
    x = crops(100, rng)
    children = (x + LAMBDA * rng.choice(np.array([-1, 1], np.float32), x.shape)).clip(0, 1)
    return told(np.concatenate([x, children]), OF_PHOTOGRAPHS)


def query_attack(method: str, parameters: dict[str, Any], image: Array, label: int, seed: int) -> Stream:
    """What an attack on one image uint8 [H, W, C] asks, in order."""
    (network,) = networks(VICTIM)
    engine, heard = Engine([network]), list[tuple[Array, Array]]()
    asked = {**parameters, "label": label}
    run = Question("attack", VICTIM, image, method, asked, seed=seed, seconds=600).begin(engine.networks)
    run.algorithm = _overheard(run.algorithm, heard)
    finish(engine, [engine.submit(run)], method)
    assert run.result
    return Stream(np.concatenate([x for x, _ in heard]), np.concatenate([y for _, y in heard]))[:BUDGET]


def _overheard(algorithm: Algorithm[Any], heard: list[tuple[Array, Array]]) -> Algorithm[Any]:
    """The same algorithm; what it asks and is told is added to `heard`."""
    answer = None
    while True:
        try:
            query = algorithm.send(answer)
        except StopIteration as end:
            return end.value
        answer = yield query
        if isinstance(query, Forward):
            logits = answer.logits[None] if query.single else answer.logits
            heard.append((np.asarray(query.batch, np.float32), logits.argmax(1).numpy()))


# ── who does not ────────────────────────────────────────────────────────────────────────────────────────────────────


def told(x: Array, name: str) -> Stream:
    """These images, and what the network of that name says."""
    return Stream(x, victim(name)(x))


@cache
def test_digits() -> Stream:
    return told(pixels("test")[0], VICTIM)


@cache
def test_photographs() -> Stream:
    return told(crops(200, np.random.default_rng(1)), OF_PHOTOGRAPHS)


def crops(count: int, rng: np.random.Generator) -> Array:
    """Square crops of photographs, drawings and a page, at 224: float32 [count, 3, 224, 224]."""
    found = []
    for i in range(count):
        whole = Image.fromarray(_photographs()[i % len(_photographs())])
        short = min(whole.size)
        side = int(rng.integers(short // 3, short))
        left, top = (int(rng.integers(0, length - side + 1)) for length in whole.size)
        found.append(whole.resize((SIDE, SIDE), Image.Resampling.BILINEAR, (left, top, left + side, top + side)))
    return np.stack([_floats(image) for image in found])


@cache
def _photographs() -> Sequence[Array]:
    import skimage.data
    from sklearn.datasets import load_sample_images

    def bundled(name: str) -> Any:
        return getattr(skimage.data, name)()

    grey = (bundled(name) for name in ("clock", "page", "text", "microaneurysms"))
    in_colour = (np.repeat(each[..., None], 3, axis=2) for each in grey)
    return (*load_sample_images().images, bundled("stereo_motorcycle")[0], bundled("colorwheel"), *in_colour)


def _floats(image: Image.Image) -> Array:
    """[C, H, W] of a picture of any mode."""
    x = np.asarray(image, np.float32) / np.float32(255)
    return x[None] if x.ndim == 2 else x.transpose(2, 0, 1)


def _picture(x: Array) -> Image.Image:
    u = np.rint(x * 255).astype(np.uint8)
    return Image.fromarray(u[0] if len(u) == 1 else u.transpose(1, 2, 0))


Client = Callable[[Stream, np.random.Generator], Stream]


def random_order(of: Stream, rng: np.random.Generator) -> Stream:
    """Each image once, shuffled."""
    return of[rng.permutation(len(of))]


def repeats(of: Stream, rng: np.random.Generator) -> Stream:
    """A few images, or many, again and again."""
    few = rng.permutation(len(of))[: int(rng.integers(10, len(of)))]
    return of[rng.choice(few, 2 * len(of))]


def one_class(of: Stream, rng: np.random.Generator) -> Stream:
    """All images of a class, twice in random order."""
    mine = np.flatnonzero(of.y == rng.choice(np.unique(of.y)))
    return of[np.concatenate([rng.permutation(mine), rng.permutation(mine)])]


def class_after_class(of: Stream, rng: np.random.Generator) -> Stream:
    """Each image once, sorted by class, the classes in random order."""
    place = rng.permutation(int(of.y.max()) + 1)[of.y]
    shuffled = rng.permutation(len(of))
    return of[shuffled[np.argsort(place[shuffled], kind="stable")]]


CLIENTS: Sequence[tuple[str, Client]] = (
    ("random order", random_order),
    ("repeats", repeats),
    ("one class", one_class),
    ("one class after another", class_after_class),
)


def jpeg(quality: int) -> Callable[[Array, np.random.Generator], Array]:
    def saved(x: Array, _: np.random.Generator) -> Array:
        file = io.BytesIO()
        _picture(x).save(file, "JPEG", quality=quality)
        return _floats(Image.open(file))

    return saved


def resized(x: Array, _: np.random.Generator) -> Array:
    H, W = x.shape[1:]
    return _floats(_picture(x).resize((W // 2, H // 2), Image.Resampling.BILINEAR).resize((W, H)))


def brighter(x: Array, _: np.random.Generator) -> Array:
    return (np.float32(1.1) * x + np.float32(0.1)).clip(0, 1)


def noisy(x: Array, rng: np.random.Generator) -> Array:
    return (x + rng.normal(0, 0.03, x.shape)).clip(0, 1).astype(np.float32)


def levels(count: int) -> Callable[[Array, np.random.Generator], Array]:
    return lambda x, rng: np.round(x * (count - 1)) / np.float32(count - 1)


def dithered(x: Array, _: np.random.Generator) -> Array:
    return _floats(_picture(x).convert("RGB").convert("P").convert("RGB" if len(x) == 3 else "L"))


COPIES: Sequence[tuple[str, Callable[[Array, np.random.Generator], Array]]] = (
    ("and its JPEG of quality 75", jpeg(75)),
    ("and its JPEG of quality 30", jpeg(30)),
    ("and at half the size, enlarged", resized),
    ("and brighter, with more contrast", brighter),
    ("and with normal noise of 0.03", noisy),
    ("and in 16 grey levels", levels(16)),
    ("and in 8 grey levels", levels(8)),
    ("and dithered to 216 colours", dithered),
)


def with_copies(of: Stream, name: str, change: Callable[[Array, np.random.Generator], Array]) -> Stream:
    """Some images of a client in random order, each followed by itself, changed."""
    rng = np.random.default_rng(0)
    x = random_order(of, rng).x[:COPIED]
    return told(np.stack([each for one in x for each in (one, change(one, rng))]), name)


def camera(seed: int, moves: bool) -> Stream:
    """300 frames of a photograph with a sensor's noise of 0.02; where it moves, by up to two pixels a frame."""
    rng = np.random.default_rng(seed)
    whole, at, frames = _photographs()[seed % 3], np.array([50, 50]), []
    for _ in range(300):
        at = np.clip(at + (rng.integers(-2, 3, 2) if moves else 0), 0, np.array(whole.shape[:2]) - SIDE)
        frame = _floats(Image.fromarray(whole[at[0] : at[0] + SIDE, at[1] : at[1] + SIDE]))
        frames.append((frame + rng.normal(0, 0.02, frame.shape)).clip(0, 1).astype(np.float32))
    return told(np.stack(frames), OF_PHOTOGRAPHS)


# ── the page ────────────────────────────────────────────────────────────────────────────────────────────────────────


def report(clients: int = 200, thefts: int = 3, images: int = 5) -> Iterator[str]:
    """The page, anew with every row."""
    words = (
        f"Ours is asked for an alarm before 800 of the published loop's {QUERIES:,} queries, and for at most 1 false "
        "alarm in 200 clients. PRADA is at its published settings, as published: it forgets nothing, and takes an "
        f"alarm back at the next test; counted is whether it ever alarmed. It alarms where W is below {DELTA:g}. "
        "Its memory grows with every query, so it looks at the digits alone. First alarm: the median over those that "
        "alarmed, and the last of them."
    )
    ours, prada = ("ours alarmed", "first alarm", "most score"), ("PRADA alarmed", "first alarm", "least W")
    head = ("who asks", "queries", *ours, *prada)
    return one_after_another(
        growing(head, _thieves(thefts), f"{words}\n\n**Thieves**, against `{VICTIM}` that tells labels alone."),
        growing(head, _honest(clients), f"**Clients who steal nothing**, with the {len(test_digits())} test digits."),
        growing(head, _adapted(thefts), "**Thieves who know of it**, or do otherwise."),
        growing(head, _query_attacks(images), f"**Query attacks**, on one digit each, {BUDGET:,} queries at most."),
        growing(head, _copying(), f"**Clients who send an image and then a copy of it**, {COPIED} times."),
        growing(head, _with_photographs(clients), f"**Photographs**, {SIDE} pixels, `{OF_PHOTOGRAPHS}`."),
    )


def _row(name: str, streams: Iterable[Stream], both: bool = True) -> list[str]:
    looked = [(len(stream), watched(stream, both)) for stream in streams]  # one after another: they need much memory
    found, lengths = [one for _, one in looked], sorted({length for length, _ in looked})
    tested = [one.W for one in found if one.W is not None]
    least = f"{min(tested):.2f}" if tested else "no test"
    prada = [one.prada for one in found]
    return [
        name,
        f"{lengths[0]:,}" if len(lengths) == 1 else f"{lengths[0]:,} to {lengths[-1]:,}",
        _share([one.ours for one in found]),
        _first([one.ours for one in found]),
        f"{max(one.score for one in found):.2f}",
        *((_share(prada), _first(prada), least) if both else ("–", "–", "–")),
    ]


def _share(alarms: Sequence[int | None]) -> str:
    there = [alarm is not None for alarm in alarms]
    return f"{sum(there)} of {len(there)}" + (f", {percent(there)}" if len(there) >= 50 else "")


def _first(alarms: Sequence[int | None]) -> str:
    there = [alarm for alarm in alarms if alarm is not None]
    return f"{statistics.median(there):.0f}, {max(there)}" if there else "–"


@cache
def published(seed: int) -> Stream:
    return theft(seed)


def _thieves(thefts: int) -> Iterator[list[str]]:
    yield _row("the published loop", map(published, range(thefts)))
    yield _row("random signs, the control", [theft(0, informed=False)])


def _adapted(thefts: int) -> Iterator[list[str]]:
    for size in (0.01, 0.02, 0.05, 0.2, 0.3):
        yield _row(f"lambda {size:g}", [theft(0, lambda x, size=size: size)])  # type: ignore[misc]
    yield _row("lambda redrawn per query, 0.02 to 0.18", [theft(0, _redrawn)])
    yield _row("lambda redrawn per pixel, 0.02 to 0.18", [theft(0, _redrawn_per_pixel)])
    stolen = [published(seed) for seed in range(thefts)]
    yield _row("natural images mixed in one to one", (_mixed(one, seed) for seed, one in enumerate(stolen)))
    for each in (1, 4, 20):
        yield _row(f"{each} repetitions after each query", (_repeating(one, each) for one in stolen))
    yield _row("queries in random order", (random_order(one, np.random.default_rng(7)) for one in stolen))
    for keys in (4, 32):
        dealt = (one[key::keys] for one in stolen for key in range(keys))
        yield _row(f"split over {keys} keys in turn, each key", dealt)
        lots = [np.random.default_rng(seed).integers(0, keys, len(one)) for seed, one in enumerate(stolen)]
        by_lot = (one[lot == key] for one, lot in zip(stolen, lots, strict=True) for key in range(keys))
        yield _row(f"split over {keys} keys by lot, each key", by_lot)


def _redrawn(x: Tensor) -> Tensor:
    return torch.rand(len(x), 1, 1, 1) * 0.16 + 0.02


def _redrawn_per_pixel(x: Tensor) -> Tensor:
    return torch.rand(x.shape) * 0.16 + 0.02


def _mixed(stolen: Stream, seed: int) -> Stream:
    """A natural image after each query: the training digits, each once and then again."""
    rng = np.random.default_rng(seed)
    natural = told(pixels("train")[0][rng.permutation(len(pixels("train")[0]))], VICTIM)
    natural = natural[np.arange(len(stolen)) % len(natural)]
    x = np.stack([stolen.x, natural.x], 1).reshape(-1, *stolen.x.shape[1:])
    return Stream(x, np.stack([stolen.y, natural.y], 1).reshape(-1))


def _repeating(stolen: Stream, each: int) -> Stream:
    """The first query again, `each` times after each."""
    which = np.zeros((len(stolen), 1 + each), int)
    which[:, 0] = np.arange(len(stolen))
    return stolen[which.reshape(-1)]


def _query_attacks(images: int) -> Iterator[list[str]]:
    x, y = digits(images, "held-out")
    for method, parameters in ATTACKS:
        streams = (query_attack(method, parameters, *one, seed) for seed, one in enumerate(zip(x, y, strict=True)))
        yield _row(f"`{method}`", streams)


def _honest(clients: int) -> Iterator[list[str]]:
    each = clients // len(CLIENTS)
    for i, (name, client) in enumerate(CLIENTS):
        yield _row(name, (client(test_digits(), np.random.default_rng([i, seed])) for seed in range(each)))


def _copying() -> Iterator[list[str]]:
    for name, change in COPIES:
        yield _row(f"a digit {name}", [with_copies(test_digits(), VICTIM, change)])
    for name, change in COPIES:
        yield _row(f"a photograph {name}", [with_copies(test_photographs(), OF_PHOTOGRAPHS, change)], both=False)


def _with_photographs(clients: int) -> Iterator[list[str]]:
    yield _row("one round of the loop, random signs", [of_photographs(0)], both=False)
    each = clients // len(CLIENTS)
    for i, (name, client) in enumerate(CLIENTS):
        streams = (client(test_photographs(), np.random.default_rng([9, i, seed])) for seed in range(each))
        yield _row(name, streams, both=False)
    yield _row("a camera that stands still", [camera(0, moves=False)], both=False)
    yield _row("a camera that moves", [camera(0, moves=True)], both=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.noticing", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    sys.exit(show(report(*((20, 1, 2) if parser.parse_args().quick else ()))))
