"""The ways in which a network can be asked about patches: whole passes, or only what a patch changes.

    whole passes by torch           as anybody would
    whole passes by ONNX Runtime    the quicker of the two on most CPUs
    torch, incrementally            `rakinglight.backends.incremental`

The service measures at load which way pays. Here all of them are made to answer, on the same photographs, in passes of
the same number of rows.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import skimage.data
import torch

from benchmarks.contenders import Asked, Contender, Pixels, in_process
from benchmarks.explainers import Sizes, asked, check, ours
from model_store import digits
from model_store.from_recipe import described, export, house
from rakinglight import eight_bit
from rakinglight.archives import GRAPH, find_archives, load_network, opened
from rakinglight.backends.incremental import IncrementalBackend
from rakinglight.backends.onnx_backend import OnnxBackend
from rakinglight.backends.torch_backend import TorchBackend
from rakinglight.card import Card
from rakinglight.network import Ladder, Network, Patches
from rakinglight.subject import Subject

SMALL = "lenet5-digits"
LARGE = "vgg16"
#: Rows of a pass, whoever answers; the last may have fewer.
ROWS = 16


def small(home: Path) -> tuple[list[Contender], list[Pixels]]:
    """LeNet-5 of the house, and digits."""
    archive = find_archives(home)[SMALL]
    network = load_network(archive, home=home)
    assert isinstance(network.gradient, TorchBackend)
    with opened(archive) as contents:
        graph = contents.read(GRAPH)
    pictures, _ = digits.pictures("test")
    return _all(network.card, network.gradient, graph, Sizes(window=8, stride=4), list(pictures.transpose(0, 2, 3, 1)))


def large() -> tuple[list[Contender], list[Pixels]]:
    """VGG-16 with random weights, which cost what trained ones do, and a photograph."""
    _, recipe = house()[LARGE]
    torch.manual_seed(0)
    module = recipe.network().eval().requires_grad_(False)
    card = described(recipe, module, sha256="")
    with TemporaryDirectory() as folder:
        export(module, card.input_shape, graph := Path(folder) / GRAPH)
        written = graph.read_bytes()
    return _all(card, TorchBackend(module, card.mean, card.std), written, Sizes(), [_photograph(card)])


def _all(
    card: Card, by_torch: TorchBackend, graph: bytes, sizes: Sizes, pictures: list[Pixels]
) -> tuple[list[Contender], list[Pixels]]:
    """A contender for each way, found to agree; and what they look at."""
    upto = Ladder(tuple(range(1, ROWS + 1)))
    by_onnx = OnnxBackend(graph, card.mean, card.std, threads=torch.get_num_threads())
    whole = Network(card, by_torch, None, upto)
    patches = Patches(IncrementalBackend(by_torch, card.input_shape), price=0.0, rows=ROWS)
    share = patches.backend.work((sizes.window, sizes.window))
    found = {
        "whole passes by torch": whole,
        "whole passes by ONNX Runtime": replace(whole, forward=by_onnx),
        f"torch, incrementally: 1/{1 / share:.1f} of the work": replace(whole, patches=patches),
    }
    job = asked("sliding", sizes)
    first, *others = (ours(network, job, pictures[0]) for network in found.values())
    for name, other in zip(list(found)[1:], others, strict=True):
        check(f"{card.name}, {name}", other, first)
    return [_contender(name, network, job) for name, network in found.items()], pictures


def _contender(name: str, network: Network, job: Asked) -> Contender:
    return replace(in_process(network, "sliding", job, 1, name), reference=name == "whole passes by torch")


def _photograph(card: Card) -> Pixels:
    chelsea: Pixels = skimage.data.chelsea()  # type: ignore[no-untyped-call]
    return eight_bit.from_float(Subject.of(card, chelsea).seen.numpy())
