"""Patched rows, computed only as far as the patches reach: exactly what whole passes give."""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rakinglight.algorithms.sliding import sliding as occlude
from rakinglight.backends.anatomy import NotIncremental, dissect
from rakinglight.backends.incremental import IncrementalBackend
from rakinglight.backends.reach import Reach, Sweep
from rakinglight.backends.torch_backend import TorchBackend
from rakinglight.engine import Engine
from rakinglight.maps import Map
from rakinglight.network import PASS_S, Backend, Known, Network, Patches, measured_now
from rakinglight.noise import Noise
from rakinglight.objectives import Logit, Probability
from rakinglight.probes import Probes
from rakinglight.queries import Algorithm, Forward, Progress, Scores
from rakinglight.rows import Patched, made
from rakinglight.run import Run
from rakinglight.subject import Subject
from rakinglight.vision import torchvision
from tests.networks import network_of
from tests.plain import relative_difference

models = torchvision.models


class Calls(nn.Module):
    """A network that is written as a function of layers."""

    def __init__(self, forward: Callable[..., Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(layers)
        self.calls = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.calls(x, **self.layers)


def conv(inputs: int, outputs: int, size: int = 3, **settings: Any) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, **settings)


def ending(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, 5)]


def chain(*layers: nn.Module, channels: int = 4) -> nn.Module:
    return nn.Sequential(*layers, *ending(channels))


def residual(x: Tensor, a: nn.Module, b: nn.Module, shortcut: nn.Module, end: nn.Module) -> Tensor:
    y = functional.relu(a(x), inplace=True)
    y = b(y)
    y += shortcut(x)
    z: Tensor = end(functional.relu(y))
    return z


def inverted(x: Tensor, widen: nn.Module, depthwise: nn.Module, narrow: nn.Module, end: nn.Module) -> Tensor:
    z: Tensor = end(x + narrow(depthwise(widen(x))) * 0.5)
    return z


def branches(x: Tensor, a: nn.Module, b: nn.Module, c: nn.Module, end: nn.Module) -> Tensor:
    pooled = functional.avg_pool2d(x, kernel_size=3, stride=2, padding=1)
    z: Tensor = end(torch.cat([a(x), c(b(x)), functional.max_pool2d(x, 3, stride=2, padding=1), pooled], 1))
    return z


def shaped(x: Tensor, a: nn.Module, end: nn.Module) -> Tensor:
    y: Tensor = functional.max_pool2d(a(x).relu(), 2)
    z: Tensor = end(y.reshape(y.size(0), y.shape[1] * 6 * 5))
    return z


def kept(x: Tensor, a: nn.Module, hand_on: Any, act: nn.Module, b: nn.Module, c: nn.Module, end: nn.Module) -> Tensor:
    """A map that is read again after something was handed it under another name."""
    y = a(x)
    z: Tensor = end(b(act(hand_on(y))) + c(y))
    return z


class DropoutAsFunction(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(x, training=self.training)


def read_again(hand_on: nn.Module, act: nn.Module, padding: int) -> nn.Module:
    layers = {"b": conv(3, 4, padding=padding), "c": conv(3, 4, padding=1), "end": nn.Sequential(*ending(4))}
    return Calls(kept, a=conv(2, 3), hand_on=hand_on, act=act, **layers)


#: Small networks of 2 x 13 x 11 pixels.
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "convolutions": lambda: chain(conv(2, 3), nn.ReLU(inplace=True), conv(3, 4, padding=1), nn.ReLU()),
    "strides": lambda: chain(conv(2, 4, 5, stride=2, padding=2), nn.ReLU6(), conv(4, 4, stride=3, padding=1)),
    "a stride beyond the kernel": lambda: chain(conv(2, 4, 1, stride=2), nn.Tanh(), conv(4, 4, padding=2)),
    "a stride with a remainder": lambda: chain(conv(2, 4, 2, stride=4), nn.Sigmoid(), conv(4, 4, 1)),
    "dilation": lambda: chain(conv(2, 4, dilation=2, padding=2), nn.ELU(), conv(4, 4, 2, dilation=(1, 3))),
    "groups": lambda: chain(conv(2, 4, groups=2, padding="same"), nn.PReLU(4), conv(4, 4, (2, 3), groups=4)),
    "padding as 'same', unevenly": lambda: chain(conv(2, 4, 4, padding="same"), nn.GELU(), conv(4, 4, padding="valid")),
    "padding by itself": lambda: chain(
        nn.ZeroPad2d((0, 1, 2, 1)), conv(2, 4, stride=2), nn.ConstantPad2d(1, 0.5), conv(4, 4)
    ),
    "maxima": lambda: chain(conv(2, 4), nn.MaxPool2d(3, 2, 1), nn.ReLU(), conv(4, 4, padding=1), nn.MaxPool2d(2)),
    "maxima, rounded up": lambda: chain(conv(2, 4), nn.MaxPool2d(3, 2, ceil_mode=True), conv(4, 4, 2)),
    "means": lambda: chain(conv(2, 4), nn.AvgPool2d(3, 2, 1), nn.Softplus(), conv(4, 4, padding=1), nn.AvgPool2d(2)),
    "means of what is there": lambda: chain(
        conv(2, 4, 5, padding=2), nn.AvgPool2d(3, 2, 1, count_include_pad=False), nn.ReLU(), conv(4, 4, 1)
    ),
    "batch norm and dropout": lambda: chain(conv(2, 4), nn.BatchNorm2d(4), nn.Dropout2d(), nn.Identity(), nn.ReLU()),
    "batch norms": lambda: chain(
        conv(2, 4, bias=False), nn.BatchNorm2d(4), nn.ReLU6(), conv(4, 4, groups=2), nn.BatchNorm2d(4), nn.Hardswish()
    ),
    "a map that is padded, and read again": lambda: read_again(nn.ZeroPad2d(1), nn.ReLU(), 0),
    "a map that is dropped out, and read again": lambda: read_again(DropoutAsFunction(), nn.ReLU(), 1),
    "maxima, their size in a list": lambda: chain(conv(2, 4), nn.MaxPool2d([2]), nn.ReLU()),  # type: ignore[arg-type]
    "response norm": lambda: chain(conv(2, 4), nn.ReLU(), nn.LocalResponseNorm(3), conv(4, 4)),
    "a residual with a strided shortcut": lambda: Calls(
        residual,
        a=conv(2, 4, stride=2, padding=1),
        b=conv(4, 4, padding=1),
        shortcut=conv(2, 4, 1, stride=2),
        end=nn.Sequential(*ending(4)),
    ),
    "an inverted residual": lambda: Calls(
        inverted,
        widen=nn.Sequential(conv(2, 6, 1), nn.ReLU6(inplace=True)),
        depthwise=nn.Sequential(conv(6, 6, 5, groups=6, padding=2), nn.ReLU6(inplace=True)),
        narrow=conv(6, 2, 1),
        end=nn.Sequential(conv(2, 4, stride=2), *ending(4)),
    ),
    "branches": lambda: Calls(
        branches,
        a=conv(2, 3, 1, stride=2),
        b=conv(2, 3, 3, padding=1),
        c=conv(3, 2, 5, stride=2, padding=2),
        end=nn.Sequential(conv(9, 4), *ending(4)),
    ),
    "reshaped by its own shape": lambda: Calls(shaped, a=conv(2, 3, padding=1), end=nn.Linear(90, 5)),
    "an image that is used twice": lambda: Calls(
        lambda x, a, end: end(torch.mul(a(x), 2) - x),
        a=conv(2, 2, padding=1),
        end=nn.Sequential(conv(2, 4), *ending(4)),
    ),
}  # fmt: skip
SHAPE = (2, 13, 11)


def backend_of(module: nn.Module, shape: tuple[int, int, int] = SHAPE) -> TorchBackend:
    """In float64, with weights from a fixed seed."""
    backend = network_of("small", module, shape).forward
    assert isinstance(backend, TorchBackend)
    return backend


def image(seed: int, shape: tuple[int, int, int] = SHAPE, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def corners(window: tuple[int, int], shape: tuple[int, ...] = SHAPE, stride: int = 1) -> Tensor:
    """All places of the window, or every so many along each axis and the last."""

    def along(length: int, size: int) -> Iterable[int]:
        return sorted({*range(0, length - size + 1, stride), length - size})

    return torch.tensor(list(product(*map(along, shape[1:], window))))


def furthest(incremental: IncrementalBackend, backend: TorchBackend, rows: Patched) -> float:
    """How far the two are apart, as a share of the largest change that a patch makes."""
    whole = backend.forward(rows.made()).logits
    change = (whole - backend.forward(rows.base[None]).logits).abs().max()
    assert change > 0
    return float((incremental.forward(rows).logits - whole).abs().max() / change)


@pytest.mark.filterwarnings("ignore:Using padding='same'")  # torch speaks of speed
@pytest.mark.parametrize("window", [(1, 1), (3, 3), (2, 5), (8, 7), SHAPE[1:]], ids="{0[0]}x{0[1]}".format)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_place_of_a_patch_gives_what_a_whole_pass_gives(name: str, window: tuple[int, int]) -> None:
    backend = backend_of(NETWORKS[name]())
    rows = Patched(image(1), corners(window), window, image(2))
    assert furthest(IncrementalBackend(backend, SHAPE), backend, rows) < 1e-12


@pytest.mark.parametrize("name", ["convolutions", "an image that is used twice"])
def test_a_patch_may_cover_one_channel(name: str) -> None:
    backend = backend_of(NETWORKS[name]())
    places = corners((4, 3))
    rows = Patched(image(1), places.repeat(2, 1), (4, 3), image(2), torch.arange(2).repeat_interleave(len(places)))
    assert furthest(IncrementalBackend(backend, SHAPE), backend, rows) < 1e-12


#: Of torchvision, each at the least size that it takes without complaint, and the stride of the patches.
ZOO: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "resnet18": (models.resnet18, 64),
    "vgg16": (models.vgg16, 32),
    "alexnet": (models.alexnet, 128),
    "squeezenet1_1": (models.squeezenet1_1, 48),
    "mobilenet_v2": (models.mobilenet_v2, 64),
    "googlenet": (lambda: models.googlenet(init_weights=False, aux_logits=False), 64),
}


@pytest.mark.parametrize("name", ZOO)
def test_the_classics_are_answered_as_by_whole_passes(name: str) -> None:
    make, size = ZOO[name]
    torch.manual_seed(0)
    backend = TorchBackend(make(), (0.5,) * 3, (0.25,) * 3)
    shape, window = (3, size, size), (size // 7, size // 5)
    rows = Patched(image(1, shape, torch.float32), corners(window, shape, stride=27), window, torch.zeros(shape))
    incremental = IncrementalBackend(backend, shape)
    whole, found = backend.forward(rows.made()).logits, incremental.forward(rows).logits
    assert not torch.equal(whole[0], whole[-1])
    assert (found - whole).abs().max() <= 1e-5 * whole.abs().max()


@pytest.mark.parametrize(("fixture", "side"), [("lenet", 4), ("lite0", 32)])
def test_the_sliding_maps_are_the_naive_ones(
    fixture: str, side: int, request: pytest.FixtureRequest, photographs: dict[str, Any], digits: Any
) -> None:
    """Of the first three classes and of others, to 1e-5 of the largest element."""
    network: Network = request.getfixturevalue(fixture)
    backend = network.gradient
    assert isinstance(backend, TorchBackend)
    incremental = IncrementalBackend(backend, network.card.input_shape)
    picture = digits[0][0] / np.float32(255) if fixture == "lenet" else photographs["chelsea"]
    x = Subject.of(network.card, picture).seen
    first = backend.forward(x[None]).logits[0].topk(3).indices.tolist()
    scores = [score(c) for c in dict.fromkeys([*first, 0, 7]) for score in (Probability, Logit)]

    def maps(patched: Callable[[Patched], Scores]) -> list[Map]:
        def answer(query: Forward) -> Scores:
            return patched(query.rows) if isinstance(query.rows, Patched) else backend.forward(query.rows[None]).first()

        return in_step([occlude(x, S, Noise(0), window=side, stride=side // 2) for S in scores], answer)

    naive, found = maps(lambda rows: backend.forward(rows.made())), maps(incremental.forward)
    for ours, theirs in zip(found, naive, strict=True):
        assert relative_difference(ours.map, theirs.map) < 1e-5
        assert relative_difference(ours.facts["grid"], theirs.facts["grid"]) < 1e-5


def in_step(algorithms: list[Algorithm[Map]], answer: Callable[[Forward], Scores]) -> list[Map]:
    """Drive algorithms that ask the same questions, each of which is answered once."""
    answered: Scores | None = None
    found: list[Map] = []
    while not found:
        asked: Any = None
        for algorithm in algorithms:
            try:
                asked = algorithm.send(answered)
            except StopIteration as done:
                found.append(done.value)
        answered = answer(asked) if isinstance(asked, Forward) else None
    return found


@pytest.mark.parametrize(
    ("module", "shape", "reason"),
    [
        pytest.param(nn.Sequential(nn.Flatten(), nn.Linear(286, 3)), SHAPE, "wait for 0, which", id="linear"),
        pytest.param(
            models.mobilenet_v3_small(), (3, 64, 64), r"9\d% .* features\.1\.block\.1\.avgpool", id="mobilenet_v3"
        ),
        pytest.param(
            models.VisionTransformer(32, 8, 3, 2, 64, 128), (3, 32, 32), r"9\d% .* wait for reshape", id="transformer"
        ),
        pytest.param(
            Calls(lambda x, a: a(x) if x.mean() > 0 else x, a=conv(2, 4)), SHAPE, "cannot be read", id="a question"
        ),
        pytest.param(
            Calls(lambda x, a: (lambda y: (torch.relu_(y) + y).mean((2, 3)))(a(x)), a=conv(2, 4)),
            SHAPE,
            "relu writes over what others read",
            id="written over",
        ),
        pytest.param(
            read_again(nn.Identity(), nn.ReLU(inplace=True), 1),
            SHAPE,
            "layers.act writes over what others read",
            id="written over under another name",
        ),
        pytest.param(nn.Sequential(nn.MaxPool2d(2), nn.Flatten()), SHAPE, "nothing in it multiplies", id="no weights"),
    ],
)
def test_networks_that_gain_nothing_say_why(module: nn.Module, shape: tuple[int, int, int], reason: str) -> None:
    backend = TorchBackend(module, (0.5,) * shape[0], (0.25,) * shape[0])
    with pytest.raises(NotIncremental, match=reason):
        IncrementalBackend(backend, shape)


@pytest.mark.parametrize(
    ("network", "window", "fewer"),
    [
        # The ceilings, 7.1 and 1.7, count each place by itself. Here all places take as much as the worst of them:
        # a patch at the border too, though part of what it would reach is not on the map.
        pytest.param("vgg16", 32, 5.04, id="vgg16"),
        pytest.param("lite0", 32, 1.52, id="lite0"),
        pytest.param("lenet", 4, 1.58, id="lenet"),
    ],
)
def test_how_many_multiply_adds_are_saved(
    network: str, window: int, fewer: float, request: pytest.FixtureRequest
) -> None:
    if network == "vgg16":
        shape: tuple[int, int, int] = (3, 224, 224)
        backend = TorchBackend(models.vgg16(), (0.5,) * 3, (0.25,) * 3)
    else:
        loaded: Network = request.getfixturevalue(network)
        shape = loaded.card.input_shape
        assert isinstance(loaded.gradient, TorchBackend)
        backend = loaded.gradient
    work = IncrementalBackend(backend, shape).work((window, window))
    assert 1 / work == pytest.approx(fewer, abs=0.01)


def test_multiply_adds_are_counted_by_hand() -> None:
    backend = backend_of(chain(conv(2, 4, padding=1), channels=4))
    # A pixel reaches 3 x 3 of 13 x 11 places, each 2 x 4 x 9 multiply-adds; the linear layer's 16 x 5 are always done.
    whole, patch = 13 * 11 * 72, 9 * 72
    assert IncrementalBackend(backend, SHAPE).work((1, 1)) == pytest.approx((patch + 80) / (whole + 80))


def test_nothing_is_kept_of_an_image_that_is_gone() -> None:
    incremental = IncrementalBackend(backend_of(NETWORKS["convolutions"]()), SHAPE)
    x = image(1)
    incremental.forward(Patched(x, corners((3, 3))[:4], (3, 3), image(2)))
    assert incremental._known is not None
    del x
    assert incremental._known is None


def test_layers_that_are_accompanied_are_seen_through() -> None:
    from rakinglight.backends.accompanied import accompany

    backend = backend_of(NETWORKS["an inverted residual"]())
    accompany(backend.module, ["network.layers.depthwise.0", "network.layers.end.3"])
    incremental = IncrementalBackend(backend, SHAPE)
    assert furthest(incremental, backend, Patched(image(1), corners((3, 3)), (3, 3), image(2))) < 1e-12
    assert incremental.work((3, 3)) == IncrementalBackend(backend_of(NETWORKS["an inverted residual"]()), SHAPE).work(
        (3, 3)
    )


def test_the_anatomy_names_what_is_local() -> None:
    anatomy = dissect(backend_of(NETWORKS["branches"]()).module, image(0)[None])
    others = [node.name for node in anatomy.nodes if node not in anatomy.locals and node.op.startswith("call")]
    assert others == ["network_layers_end_1", "network_layers_end_2", "network_layers_end_3"]


@pytest.mark.parametrize(
    ("sweep", "size", "window"),
    [
        pytest.param(Sweep(3, 1, 1, 20, 20), 5, 7, id="three by three"),
        pytest.param(Sweep(3, 2, 1, 20, 10), 5, 4, id="stride two"),
        pytest.param(Sweep(2, 2, 0, 20, 10), 5, 3, id="pooling, at the worst place"),
        pytest.param(Sweep(1, 3, 0, 20, 7), 5, 2, id="stride beyond the kernel"),
        pytest.param(Sweep(5, 1, 2, 20, 20), 18, 20, id="no more than there is"),
    ],
)
def test_the_reach_of_a_patch(sweep: Sweep, size: int, window: int) -> None:
    patch = Reach.of_patch(size, sweep.length)
    out = sweep.reached(patch)
    assert out.size == window
    for start, corner in zip(out.starts.tolist(), patch.starts.tolist(), strict=True):
        for output in range(sweep.outputs):
            first = output * sweep.stride - sweep.before
            if first < corner + size and first + sweep.extent > corner:  # the kernel sees some of the patch
                assert start <= output < start + out.size


# ── in the engine ───────────────────────────────────────────────────────────────────────────────────────────────────


def sliding(x: Tensor, window: tuple[int, int]) -> Algorithm[Tensor]:
    """The logits with a grey patch at every place of `window`."""
    found = []
    rows = Patched(x, corners(window), window, torch.full_like(x, 0.5))
    for start in range(0, len(rows), 37):
        scores: Scores = yield Forward(rows[start : start + 37])
        found.append(scores.logits)
        yield Progress(start, len(rows))
    return torch.cat(found)


@pytest.fixture
def patched_network() -> Network:
    """In float32, where the order of a sum shows."""
    network = network_of("small", NETWORKS["an inverted residual"](), SHAPE, dtype=torch.float32)
    assert isinstance(network.forward, TorchBackend)
    patches = Patches(IncrementalBackend(network.forward, SHAPE), price=1.0)
    return replace(network, patches=patches)


def test_a_patched_run_has_the_same_bits_alone_and_in_company(patched_network: Network) -> None:
    x, y = image(1, dtype=torch.float32), image(2, dtype=torch.float32)
    runs = [(x, (3, 3)), (x, (3, 3)), (x, (2, 5)), (y, (3, 3)), (y, (13, 11))]
    alone = [Engine([patched_network]).drive(sliding(*run)) for run in runs]

    engine = Engine([patched_network])
    company = [engine.submit(Run(sliding(*run))) for run in runs]
    company += [engine.submit(Run(whole_rows())) for _ in range(3)]
    engine.run_until(lambda: all(run.over for run in company))
    assert engine.counts.failed_passes == 0
    for run, expected in zip(company, alone, strict=False):
        assert torch.equal(run.result, expected)
    assert company[0].cost.saved_rows > 0
    assert company[4].cost.saved_rows == 0  # a patch that covers everything saves nothing


def whole_rows() -> Algorithm[Tensor]:
    for seed in range(5):
        yield Forward(image(seed, dtype=torch.float32)[None].expand(3, *SHAPE))
    return torch.zeros(0)


# ── the choice at load ──────────────────────────────────────────────────────────────────────────────────────────────


class Stopwatch:
    """Time that passes only when somebody works."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


class Timed:
    """Answers as `backend` does, and takes so many seconds a row; for patches a quarter of the multiply-adds."""

    name = "timed"

    def __init__(self, backend: Backend, stopwatch: Stopwatch, seconds: float, wrong: float = 0.0) -> None:
        self.backend, self.stopwatch, self.seconds, self.wrong = backend, stopwatch, seconds, wrong
        self.gradient = backend.gradient

    def forward(self, rows: Tensor | Patched, layers: tuple[str, ...] = ()) -> Scores:
        self.stopwatch.now += self.seconds * len(rows)
        return Scores(self.backend.forward(made(rows).double()).logits + self.wrong)

    def work(self, window: tuple[int, int]) -> float:
        return 0.25


@pytest.fixture
def stopwatch(monkeypatch: pytest.MonkeyPatch) -> Stopwatch:
    stopwatch = Stopwatch()
    monkeypatch.setattr("rakinglight.network.time", stopwatch)
    return stopwatch


def chosen(stopwatch: Stopwatch, patched_s: float, known: Known = measured_now, *, wrong: float = 0.0) -> Network:
    """The choice where a row takes 2 ms in a whole pass."""
    network = network_of("small", NETWORKS["convolutions"](), (2, 28, 21))
    network = replace(network, forward=Timed(network.forward, stopwatch, 0.002))
    assert network.gradient is not None
    return network.with_patches(Timed(network.gradient, stopwatch, patched_s, wrong), known)


def test_patches_are_chosen_where_they_are_quicker(stopwatch: Stopwatch) -> None:
    network = chosen(stopwatch, 0.001)
    assert network.patches is not None
    assert network.patches.price == pytest.approx(0.5 / 0.25)
    assert network.patches_note == (
        "incremental, by timed: 4.0 times fewer multiply-adds and 2.0 times as quick as whole passes at window 4×3, "
        "measured at load"
    )


def test_whole_passes_are_chosen_where_those_are(stopwatch: Stopwatch) -> None:
    network = chosen(stopwatch, 0.005)
    assert network.patches is None
    assert network.patches_note == (
        "whole passes, by timed: incremental ones would take 2.5 times as long (4.0 times fewer multiply-adds at "
        "window 4×3, measured at load)"
    )


def test_a_pass_of_patches_is_no_longer_than_others(stopwatch: Stopwatch) -> None:
    patches = chosen(stopwatch, 0.0019).patches
    assert patches is not None
    assert patches.rows * 0.0019 <= PASS_S


@pytest.mark.parametrize("wrong", [1.0, math.nan])
def test_patches_that_are_answered_otherwise_are_not_chosen(stopwatch: Stopwatch, wrong: float) -> None:
    network = chosen(stopwatch, 0.001, wrong=wrong)
    assert network.patches is None
    assert "answered otherwise" in network.patches_note


def test_the_choice_is_the_same_at_each_start(stopwatch: Stopwatch, tmp_path: Path) -> None:
    known = Probes(tmp_path / "probes.json", "0" * 64)
    first, again = chosen(stopwatch, 0.001, known), chosen(stopwatch, 0.009, known)
    assert again.patches_note == first.patches_note
    assert first.patches is not None
    assert again.patches is not None
    assert again.patches.price == first.patches.price


def test_a_damaged_file_is_measured_anew(stopwatch: Stopwatch, tmp_path: Path) -> None:
    path = tmp_path / "probes.json"
    known = Probes(path, "0" * 64)
    first = chosen(stopwatch, 0.001, known)
    path.write_text(path.read_text().replace("64,\n", "5,\n"))
    assert chosen(stopwatch, 0.001, known).patches_note == first.patches_note


@pytest.mark.parametrize(("fixture", "window"), [("lenet", 4), ("lite0", 32)])
def test_a_loaded_network_says_how_patched_rows_are_answered(
    fixture: str, window: int, request: pytest.FixtureRequest
) -> None:
    network: Network = request.getfixturevalue(fixture)
    assert isinstance(network.gradient, TorchBackend)
    incremental = IncrementalBackend(network.gradient, network.card.input_shape)
    fewer = f"{1 / incremental.work((window, window)):.1f} times fewer multiply-adds"
    if network.patches:  # whichever is quicker on this machine
        gain = 1 / (incremental.work((window, window)) * network.patches.price)
        assert gain > 1
        assert network.patches_note == (
            f"incremental, by {incremental.name}: {fewer} and {gain:.1f} times as quick as whole passes at window "
            f"{window}, measured at load"
        )
    else:
        assert re.fullmatch(
            rf"whole passes, by {re.escape(network.forward.name)}: incremental ones would take \d+\.\d times as long "
            rf"\({fewer} at window {window}, measured at load\)",
            network.patches_note,
        )
