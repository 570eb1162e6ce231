"""Archives: a network in one file, as `model_store` makes it and TorchServe takes it.

    card.json              what the network says of itself
    network.safetensors    its weights
    network.py             the recipe that builds its module; absent where the network came as an ONNX file
    network.onnx           the same network for ONNX Runtime; it takes normalised pixels
    detector.safetensors   a detector of adversarial images (`rakinglight.detector`), where the recipe has one
    decoder.LAYER.safetensors   a decoder of that layer's codes (`rakinglight.decoder`), where it has one
    rakinglight_handler.py, MAR-INF/MANIFEST.json    for TorchServe

An archive holds code that a worker runs: only the operator puts archives where a worker finds them. What is checked
here is that a file is whole and is what its card says.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from hashlib import sha256
from importlib.abc import SourceLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile
from zipfile import Path as ZipPath

from rakinglight.card import Card
from rakinglight.errors import NotFound, Unreadable, near

if TYPE_CHECKING:
    from torch import nn

    from rakinglight.backends.torch_backend import TorchBackend
    from rakinglight.decoder import Decoder
    from rakinglight.detector import Detector
    from rakinglight.network import Known, Network
    from rakinglight.recipe import Recipe

log = logging.getLogger("rakinglight.archives")

CARD, WEIGHTS, CODE, GRAPH = "card.json", "network.safetensors", "network.py", "network.onnx"
DETECTOR = "detector.safetensors"
#: What the name of a file ends in that declares a model elsewhere, and is no archive.
TARGET = ".toml"


def find_archives(home: Path) -> dict[str, Path]:
    """Model name -> path of every archive in `home`, by name."""
    return {path.stem: path for path in sorted((home / "archives").glob("*.mar"))}


def read_card(path: Path) -> Card:
    """The card of the archive at `path`, or of the model elsewhere that the target file there declares. Needs no torch.

    Raises Unreadable, and BadParameter for what is wrong with a target file.
    """
    if path.suffix == TARGET:
        from rakinglight.oracles.declared import declared_card

        return declared_card(path)
    with opened(path) as archive:
        return archive.card()


def load_network(path: Path, *, home: Path | None = None, device: str | None = None) -> Network:
    """The network in the archive at `path`, ready to answer.

    path    a `.mar`, the folder that TorchServe has unpacked one into, or a target file (`rakinglight.oracles.target`)
    home    where row counts are kept once they are measured (`rakinglight.probes`); without it they are measured now
    device  torch's; by default CUDA where there is one, else the CPU
    Raises Unreadable.
    """
    if path.suffix == TARGET:
        from rakinglight.oracles.declared import declared_network

        return declared_network(path, home)
    import torch

    from rakinglight.backends.onnx_backend import OnnxBackend
    from rakinglight.backends.torch_backend import TorchBackend, best_device
    from rakinglight.network import Network, Scorer, measured_now
    from rakinglight.probes import Probes

    with opened(path) as archive:
        card = archive.card()
        known: Known = Probes(home / "probes.json", card.sha256) if home else measured_now
        weights = archive.weights(card)
        scorers: list[Scorer] = []
        gradient = detector = None
        if GRAPH in archive:
            graph = archive.read(GRAPH)
            scorers.append(OnnxBackend(graph, card.mean, card.std, threads=torch.get_num_threads()))
        if card.differentiable:
            module = archive.module(card, weights)
            gradient = TorchBackend(module, card.mean, card.std, device=device or best_device())
            gradient.accompany(card.input_shape, known)
            scorers.append(gradient)
        if card.detector is not None:
            detector = archive.detector(card)
        decoders = {layer: archive.decoder(card, layer) for layer in card.decoders}
    network = _with_patches(Network.probed(card, scorers, gradient, known), gradient, known)
    network = replace(network, detector=detector, decoders=decoders)
    told = {"forward": network.forward_ladder, "gradient": network.gradient_ladder}
    counts = "; ".join(f"{kind} {', '.join(map(str, ladder.counts))}" for kind, ladder in told.items() if ladder)
    log.info("%s: rows of a pass: %s", card.name, counts)  # few where the machine was busy when they were measured
    log.info("%s: patched rows: %s", card.name, network.patches_note)
    return network


def _with_patches(network: Network, gradient: TorchBackend | None, known: Known) -> Network:
    """`network`, its patched rows answered incrementally where that can be and is quicker; and why, or why not."""
    from rakinglight.backends.anatomy import NotIncremental
    from rakinglight.backends.incremental import IncrementalBackend

    if gradient is None:
        return replace(network, patches_note="whole passes: the network came as an ONNX file")
    try:
        return network.with_patches(IncrementalBackend(gradient, network.card.input_shape), known)
    except NotIncremental as e:
        return replace(network, patches_note=f"whole passes: {e}")
    except Exception as e:  # a recipe may hold anything; what it is asked for in whole passes is not at stake
        log.warning("%s: patched rows take whole passes", network.card.name, exc_info=True)
        return replace(network, patches_note=f"whole passes: reading the network failed with {type(e).__name__}")


def load_networks(paths: Iterable[Path], *, home: Path | None = None, device: str | None = None) -> list[Network]:
    """The networks in the archives at `paths`, as `load_network` has them, loaded by a thread that ends with it.

    OpenMP keeps a team of threads for each thread that ever used it, and where all together are more than the
    processors, they go to sleep at every step of every layer instead of waiting a moment. An engine in one thread whose
    networks had been loaded by another took 1.8 times as long for PGD on two cores.
    """
    with ThreadPoolExecutor(1) as thread:
        return list(thread.map(partial(load_network, home=home, device=device), paths))


class Archive:
    """The members of an archive that is open."""

    def __init__(self, path: Path, root: Path | ZipPath) -> None:
        self.path = path
        self.root = root

    def __contains__(self, member: str) -> bool:
        return (self.root / member).is_file()

    def read(self, member: str) -> bytes:
        if member not in self:
            raise Unreadable(f"{self.path} holds no {member}; build it again with `python -m model_store build`.")
        return (self.root / member).read_bytes()

    def card(self) -> Card:
        try:
            return Card.from_json(self.read(CARD).decode("utf-8"))
        except (ValueError, TypeError, KeyError) as e:
            raise Unreadable(f"The card in {self.path} cannot be read ({e}); build the archive again.") from e

    def weights(self, card: Card) -> bytes:
        """The weights that `card` speaks of: the safetensors, or the ONNX file where there is nothing else."""
        member = WEIGHTS if card.differentiable else GRAPH
        weights = self.read(member)
        digest = sha256(weights).hexdigest()
        if digest != card.sha256:
            raise Unreadable(
                f"{member} in {self.path} has the digest {digest[:12]}…, its card says {card.sha256[:12]}…: it was "
                "changed or damaged after it was built; build the archive again."
            )
        return weights

    def detector(self, card: Card) -> Detector:
        """The detector that `card` speaks of. Raises Unreadable where there is another, or none."""
        from rakinglight.detector import Detector

        found = Detector.from_bytes(self.read(DETECTOR)).fitting(card)
        if found.about.false_positive_rate != card.detector:
            raise Unreadable(f"{DETECTOR} in {self.path} is not the one that its card speaks of; build it again.")
        return found

    def decoder(self, card: Card, layer: str) -> Decoder:
        """The decoder of `layer` that `card` speaks of. Raises Unreadable where there is another, or none."""
        from rakinglight.decoder import Decoder, member

        found = Decoder.from_bytes(self.read(member(layer))).fitting(card)
        if found.about.layer != layer:
            raise Unreadable(f"{member(layer)} in {self.path} is for {found.about.layer}; build the archive again.")
        return found

    def module(self, card: Card, weights: bytes) -> nn.Module:
        """The network itself: its recipe's module with the weights in it."""
        from safetensors.torch import load

        recipe = find_recipe(run_recipes(self.read(CODE), f"{self.path}/{CODE}"), card.name)
        network = recipe.network()
        network.load_state_dict(load(weights), strict=True)
        return network.eval()


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """The archive at `path`: a file, or a folder it was unpacked into. Raises Unreadable."""
    if path.is_dir():
        yield Archive(path, path)
        return
    try:
        with ZipFile(path) as file:
            for member in file.namelist():
                if "\\" in member or PurePosixPath(member).is_absolute() or ".." in PurePosixPath(member).parts:
                    raise Unreadable(
                        f"{path} holds {member!r}, which would be unpacked outside of its folder; refused."
                    )
            yield Archive(path, ZipPath(file))
    except FileNotFoundError as e:
        raise NotFound(f"There is no archive {path}; `python -m model_store build` makes one.") from e
    except BadZipFile as e:
        raise Unreadable(f"{path} is no archive, or a damaged one ({e}); build it again.") from e


class _Source(SourceLoader):
    """Python's own loading, from bytes at hand: so that tracebacks show the recipe's lines."""

    def __init__(self, source: bytes, origin: str) -> None:
        self.source, self.origin = source, origin

    def get_filename(self, fullname: str) -> str:
        return self.origin

    def get_data(self, path: str | bytes) -> bytes:
        if path != self.origin:  # compiled code beside it: there is none
            raise FileNotFoundError(path)
        return self.source


def run_recipes(source: bytes, origin: str) -> list[Recipe]:
    """Run a recipe file and return its `recipes`. It is the operator's own code. Raises Unreadable."""
    name = f"rakinglight_recipe_{sha256(source).hexdigest()[:16]}"
    spec = spec_from_file_location(name, origin, loader=_Source(source, origin))
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look themselves up there
    try:
        spec.loader.exec_module(module)
    except ImportError as e:
        raise Unreadable(
            f"{origin} imports {e.name}, which cannot be imported here ({e}). A recipe goes into its archive without "
            "the files around it: write the network into the recipe, or install the package that holds it."
        ) from e
    recipes = getattr(module, "recipes", None)
    if not recipes:
        raise Unreadable(f"{origin} defines no `recipes`; see rakinglight/recipe.py for a recipe of a few lines.")
    return list(recipes)


def find_recipe(recipes: list[Recipe], name: str) -> Recipe:
    """The recipe called `name`. Raises NotFound."""
    for recipe in recipes:
        if recipe.name == name:
            return recipe
    raise NotFound(f"No recipe is called {name!r}: {near(name, [recipe.name for recipe in recipes])}")
