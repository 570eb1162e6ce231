"""From a recipe to its archive: the module with its weights, the same network for ONNX Runtime, and the card."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from pickle import UnpicklingError
from shutil import copyfile
from tempfile import TemporaryDirectory

import safetensors.torch
import torch
from torch import Tensor, nn

from model_store.build import RECIPES, Record, Say, check_name, digest, pack
from rakinglight.archives import CARD, CODE, DETECTOR, GRAPH, WEIGHTS, find_recipe, run_recipes
from rakinglight.backends.onnx_backend import OnnxBackend
from rakinglight.backends.torch_backend import Normalized
from rakinglight.card import Card
from rakinglight.decoder import Decoder, member
from rakinglight.detector import Detector
from rakinglight.errors import BadParameter, InternalError, NotFound, Unreadable, near
from rakinglight.recipe import Recipe

#: How far the ONNX graph's logits may be from torch's, in units of the largest.
AGREEMENT = 1e-4
#: `blocks.3.expand` is a layer that somebody asks for; the parts of its parts are not.
DEEPEST = 3


def house() -> dict[str, tuple[Path, Recipe]]:
    """Every recipe of this house with its file, by name."""
    files = sorted(path for path in RECIPES.glob("*.py") if path.stem != "__init__")
    return {recipe.name: (file, recipe) for file in files for recipe in read(file)}


def find(what: str, name: str = "") -> list[tuple[Path, Recipe]]:
    """The recipes that `what` means, each with its file: the one of that name here, or all in a file of the user's.

    name  the only one wanted of a file
    Raises NotFound, Unreadable.
    """
    if what.endswith(".py"):
        recipes = read(Path(what))
        return [(Path(what), recipe) for recipe in ([find_recipe(recipes, name)] if name else recipes)]
    here = house()
    if what not in here:
        raise NotFound(
            f"No recipe here is called {what!r}: {near(what, here)} A network of your own goes in by its file."
        )
    return [here[what]]


def read(file: Path) -> list[Recipe]:
    """The recipes in `file`. Raises NotFound, Unreadable."""
    if not file.is_file():
        raise NotFound(f"There is no recipe file {file}.")
    return run_recipes(file.read_bytes(), str(file.resolve()))


def build(recipe: Recipe, file: Path, home: Path, say: Say, weights: Path | None = None) -> Path:
    """The archive of `recipe`, one of those in `file`.

    weights  where they are, if not where the recipe says
    Raises BadParameter, NotFound, Unreadable.
    """
    check_name(recipe.name)
    arguments = [str(file.resolve()), f"--name={recipe.name}"]
    # Detectors and decoders know the codes of their own network only.
    given = weights is not None
    detector = (file.parent / recipe.detector).resolve() if recipe.detector and not given else None
    if weights:
        arguments.append(f"--weights={weights.resolve()}")
    else:
        weights = recipe.weights() if callable(recipe.weights) else (file.parent / recipe.weights).resolve()
    decoders = {} if given else {layer: (file.parent / path).resolve() for layer, path in recipe.decoders.items()}
    network = filled(recipe, weights)
    with TemporaryDirectory() as name:
        folder = Path(name)
        tensors = {key: tensor.contiguous() for key, tensor in network.state_dict().items()}
        safetensors.torch.save_file(tensors, folder / WEIGHTS)
        copyfile(file, folder / CODE)
        card = described(recipe, network, digest(folder / WEIGHTS))
        if detector:
            copyfile(checked(detector), folder / DETECTOR)
            about = Detector.from_bytes(detector.read_bytes()).fitting(card).about
            card = replace(card, detector=about.false_positive_rate)
        for layer, decoder in decoders.items():
            copyfile(checked(decoder), folder / member(layer))
            Decoder.from_bytes(decoder.read_bytes()).fitting(card)
        card = replace(card, decoders=tuple(decoders))
        (folder / CARD).write_text(card.to_json(), "utf-8")
        scores = _with_graph(network, card, folder / GRAPH)
        sources = [file, weights, *([detector] if detector else []), *decoders.values()]
        archive = pack(folder, recipe.name, recipe.version, home, Record.of(arguments, sources))
    say(f"{archive}: {len(card.labels)} classes, {len(card.layers)} layers, {scores}.")
    return archive


def _with_graph(network: nn.Module, card: Card, graph: Path) -> str:
    """Write the network's ONNX graph, if it can be written. Returns in a few words who will answer its scores."""
    try:
        export(network, card.input_shape, graph)
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as e:
        graph.unlink(missing_ok=True)
        return f"scores from torch, because it cannot be written as ONNX: {str(e).partition(chr(10))[0]}"
    if (off := disagreement(network, card, graph)) > AGREEMENT:
        raise InternalError(f"The ONNX graph of {card.name} is {off:.1e} off torch; {AGREEMENT:g} is allowed.")
    return f"ONNX Runtime within {off:.0e} of torch"


def filled(recipe: Recipe, weights: Path) -> nn.Module:
    """The recipe's module with `weights` in it, in eval mode and frozen. Raises BadParameter, NotFound, Unreadable."""
    tensors = {recipe.rename(key): tensor for key, tensor in read_weights(weights).items()}
    network = recipe.network()
    try:
        network.load_state_dict(tensors, strict=True)
    except RuntimeError as e:  # its message lists the keys and shapes at fault
        raise BadParameter(f"{weights} does not fit {recipe.name}; `rename` in the recipe maps names. {e}") from e
    return network.eval().requires_grad_(False)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict in a file of safetensors or of `torch.save`. Nothing but tensors is ever unpickled.

    Raises NotFound, Unreadable.
    """
    checked(path)
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, safetensors.SafetensorError) as e:
        raise Unreadable(
            f"{path} holds something else than a state dict, or is damaged, and is not unpickled. Save tensors alone: "
            "`safetensors.torch.save_file(network.state_dict(), ...)`."
        ) from e
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise Unreadable(f"{path} holds a {type(tensors).__name__}, no state dict; save `network.state_dict()`.")
    return tensors


def checked(path: Path) -> Path:
    """`path`, if it is there and has the digest beside it, where there is one. Raises NotFound, Unreadable."""
    if not path.is_file():
        raise NotFound(f"There is no weights file {path}.")
    if beside(path).exists() and (expected := beside(path).read_text("utf-8").split()[0]) != digest(path):
        raise Unreadable(f"{path} has not the digest {expected[:12]}… that {beside(path).name} gives for it.")
    return path


def described(recipe: Recipe, network: nn.Module, sha256: str) -> Card:
    """The card. Raises BadParameter where labels, normalisation and network do not fit each other."""
    labels = recipe.labels() if callable(recipe.labels) else recipe.labels
    channels = recipe.input_shape[0]
    if not channels == len(recipe.mean) == len(recipe.std):
        raise BadParameter(
            f"{recipe.name} takes {channels} channels, but its mean has {len(recipe.mean)} values and its std "
            f"{len(recipe.std)}."
        )
    layers, classes = listened(network, recipe.input_shape)
    if classes != (len(labels),):
        raise BadParameter(f"{recipe.name} gives {classes} for an image, but there are {len(labels)} labels.")
    return Card(
        name=recipe.name,
        version=recipe.version,
        input_shape=recipe.input_shape,
        mean=recipe.mean,
        std=recipe.std,
        labels=labels,
        sha256=sha256,
        provenance=recipe.provenance,
        resize=recipe.resize,
        layers=layers,
    )


def listened(
    network: nn.Module, input_shape: tuple[int, int, int]
) -> tuple[dict[str, tuple[int, ...]], tuple[int, ...]]:
    """The layers worth a name with the shapes of their outputs, in forward order; and the shape of the logits.

    Left out is what does nothing here (identities, dropout), what is called more than once, and what lies too deep.
    """
    heard: list[tuple[str, tuple[int, ...]]] = []
    hooks = []
    for name, module in network.named_modules():
        if not name or name.count(".") >= DEEPEST or isinstance(module, nn.Identity | nn.modules.dropout._DropoutNd):
            continue

        def hear(_module: nn.Module, _inputs: object, output: object, name: str = name) -> None:
            if isinstance(output, Tensor) and len(output) == 2:
                heard.append((name, tuple(output.shape[1:])))

        hooks.append(module.register_forward_hook(hear))
    with torch.no_grad():
        logits = network(torch.zeros(2, *input_shape))
    for hook in hooks:
        hook.remove()
    names = [name for name, _ in heard]
    return {name: shape for name, shape in heard if names.count(name) == 1}, tuple(logits.shape[1:])


def export(network: nn.Module, input_shape: tuple[int, int, int], path: Path) -> None:
    """Write `network` as ONNX with any number of rows: normalised `pixels` in, `logits` out.

    By way of TorchScript: for networks without branches it says the same as the exporter over `torch.export`, in a
    tenth of the time. Torch calls it deprecated, and it warns of what it does not fold; `disagreement` judges what came
    of it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(2, *input_shape),),
            str(path),
            input_names=["pixels"],
            output_names=["logits"],
            dynamic_axes={"pixels": {0: "rows"}, "logits": {0: "rows"}},
            dynamo=False,
        )


def disagreement(network: nn.Module, card: Card, graph: Path) -> float:
    """How far apart the logits of both are at most, for three images of noise, in units of torch's largest logit."""
    pixels = torch.rand(3, *card.input_shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        right = Normalized(network, card.mean, card.std)(pixels)
    off = OnnxBackend(graph, card.mean, card.std).forward(pixels).logits - right
    return float(off.abs().max() / right.abs().max())


def train(name: str, *, detector_only: bool = False) -> str:
    """Train the network `name` and its detector anew, and put both in place, with their digests.

    detector_only  the network stays as it is
    Returns what came of it. Raises BadParameter, and InternalError where a figure is not what the recipe says.
    """
    ((file, recipe),) = find(name)
    if recipe.train is None or callable(recipe.weights):
        raise BadParameter(f"The weights of {name} are not made here: {recipe.provenance}")
    if detector_only and recipe.train_detector is None:
        raise BadParameter(f"{name} has no detector; leave --detector out to train the network.")
    weights, said = (file.parent / recipe.weights).resolve(), []
    if detector_only:
        network = filled(recipe, weights)
    else:
        network, figures = recipe.train()
        if short := {figure: least for figure, least in recipe.reaches.items() if not figures[figure] >= least}:
            raise InternalError(f"{name} has {_told(figures)}; its recipe says {_told(short)}; nothing was replaced.")
        tensors = {key: tensor.contiguous() for key, tensor in network.state_dict().items()}
        said.append(_kept(safetensors.torch.save(tensors), weights, figures))
    if recipe.train_detector is not None:
        detector, figures = recipe.train_detector(network)
        said.append(_kept(detector.to_bytes(), (file.parent / recipe.detector).resolve(), figures))
    return "\n".join(said)


def train_decoder(name: str, layer: str) -> str:
    """Train a decoder for `layer` of the network `name` anew, and put it in place, with its digest.

    Returns what came of it. Raises BadParameter.
    """
    ((file, recipe),) = find(name)
    if recipe.train_decoder is None or layer not in recipe.decoders:
        there = f"has decoders for {', '.join(recipe.decoders)}" if recipe.decoders else "has no decoder"
        raise BadParameter(
            f"The recipe of {name} {there}, and none for {layer!r}: name a layer with a path in its `decoders`."
        )
    weights = recipe.weights() if callable(recipe.weights) else (file.parent / recipe.weights).resolve()
    decoder, figures = recipe.train_decoder(filled(recipe, weights), layer)
    return _kept(decoder.to_bytes(), (file.parent / recipe.decoders[layer]).resolve(), figures)


def _kept(data: bytes, path: Path, figures: Mapping[str, float]) -> str:
    """Put `data` and its digest in place. Returns what came of it in a line."""
    path.write_bytes(data)
    path.chmod(0o644)
    beside(path).write_text(f"{digest(path)}  {path.name}\n", "utf-8")
    return f"{path}: {_told(figures)} of the test set, digest {digest(path)}."


def _told(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {figure:.1%}" for name, figure in figures.items())


def beside(weights: Path) -> Path:
    """Where the digest of committed weights is kept, as `sha256sum --check` reads it."""
    return weights.with_suffix(weights.suffix + ".sha256")
