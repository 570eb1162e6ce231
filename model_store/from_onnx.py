"""From a user's ONNX file to its archive. It answers every `Forward`; for gradients it takes a recipe.

The graph takes normalised pixels [rows, C, H, W] as its only input, and its first output is the logits. Every other
output that has a row for a row is a layer of that name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError

from model_store.build import Record, Say, check_name, digest, pack
from rakinglight.archives import CARD, GRAPH
from rakinglight.card import Card
from rakinglight.errors import BadParameter, NotFound, Unreadable

#: How far a row's logits may be from the same row's alone, in units of the largest.
AGREEMENT = 1e-4


@dataclass(frozen=True)
class Meaning:
    """What an ONNX file does not say of itself.

    labels     a text file, one name a line, in the order of the logits
    mean, std  per channel, in units of [0, 1]; one value stands for every channel
    resize     pixels of the shorter side before the central crop; 0 is the crop's own side
    """

    labels: Path
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    resize: int = 0
    version: str = "1.0"
    provenance: str = ""

    def arguments(self) -> tuple[str, ...]:
        """The same for the command line."""
        mean, std = (",".join(map(str, values)) for values in (self.mean, self.std))
        named = {
            "labels": self.labels.resolve(),
            "mean": mean,
            "std": std,
            "resize": self.resize,
            "version": self.version,
        }
        if self.provenance:
            named["provenance"] = self.provenance
        return tuple(f"--{name}={value}" for name, value in named.items())


def build(file: Path, name: str, meaning: Meaning, home: Path, say: Say) -> Path:
    """The archive `name` of the network in `file`. Raises BadParameter, NotFound, Unreadable."""
    check_name(name)
    model = read(file)
    labels = read_labels(meaning.labels)
    input_shape = freed(model, file)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        onnx.save_model(model, str(folder / GRAPH))
        layers = tried(folder / GRAPH, file, input_shape, len(labels))
        card = Card(
            name=name,
            version=meaning.version,
            input_shape=input_shape,
            mean=_each(meaning.mean, input_shape[0], "mean"),
            std=_each(meaning.std, input_shape[0], "std"),
            labels=labels,
            sha256=digest(folder / GRAPH),
            provenance=meaning.provenance or f"From {file.name}.",
            resize=meaning.resize,
            layers=layers,
            differentiable=False,
        )
        (folder / CARD).write_text(card.to_json(), "utf-8")
        record = Record.of((str(file.resolve()), f"--name={name}", *meaning.arguments()), (file, meaning.labels))
        archive = pack(folder, name, meaning.version, home, record)
    say(
        f"{archive}: {len(labels)} classes, layers {', '.join(layers) or 'none'}. An ONNX file answers scores; "
        "saliency by gradients and white-box attacks need a recipe with safetensors."
    )
    return archive


def read(file: Path) -> onnx.ModelProto:
    """The graph in `file`, its weights included. Raises NotFound, Unreadable."""
    if not file.is_file():
        raise NotFound(f"There is no ONNX file {file}.")
    try:
        model = onnx.load(str(file))
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError, OSError) as e:
        raise Unreadable(f"{file} is no valid ONNX file: {e}") from e
    return model


def read_labels(path: Path) -> tuple[str, ...]:
    """One label a line. Raises NotFound."""
    if not path.is_file():
        raise NotFound(f"There is no labels file {path}; it holds one name a line, in the order of the logits.")
    return tuple(line.strip() for line in path.read_text("utf-8").splitlines() if line.strip())


def freed(model: onnx.ModelProto, file: Path) -> tuple[int, int, int]:
    """[C, H, W] of the only input; where the graph says a fixed number of rows, it says any number afterwards.

    Whether the graph then means it is for `tried` to find out. Raises BadParameter.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    shapes = {value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim] for value in inputs}
    fitting = [shape for shape in shapes.values() if len(shape) == 4 and shape[1] in (1, 3) and min(shape[1:]) > 0]
    if len(inputs) != 1 or not fitting:
        raise BadParameter(
            f"{file} takes {shapes}; it has to take one input [rows, C, H, W] with 1 or 3 channels and a fixed size "
            "(0 here is a size that the file leaves open)."
        )
    for value in (*inputs, *model.graph.output):
        axes = value.type.tensor_type.shape.dim
        if axes and axes[0].dim_value:
            axes[0].ClearField("dim_value")
            axes[0].dim_param = "rows"
    del model.graph.value_info[:]  # what was inferred for the old number of rows
    _, channels, height, width = fitting[0]
    return channels, height, width


def tried(graph: Path, file: Path, input_shape: tuple[int, int, int], classes: int) -> dict[str, tuple[int, ...]]:
    """The layers: outputs after the first that have a row a row, with their shapes. Raises BadParameter.

    Three rows together must have the logits that each has alone: a graph whose row count is built in shows here.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    pixels = session.get_inputs()[0].name
    rows = np.random.default_rng(0).standard_normal((3, *input_shape), dtype=np.float32)
    try:
        together = session.run(None, {pixels: rows})
        alone = np.concatenate([session.run(None, {pixels: row[None]})[0] for row in rows])
    except Exception as e:  # the runtime has exceptions of its own for every kernel
        raise BadParameter(f"{file} {_BUILT_IN} The runtime says: {e}") from e
    logits = together[0]
    if logits.shape == alone.shape and abs(logits - alone).max() > AGREEMENT * abs(alone).max():
        raise BadParameter(f"{file} gives an image other logits in company than alone. It {_BUILT_IN}")
    if logits.shape != (3, classes):
        raise BadParameter(
            f"{file} gives {list(logits.shape)} as its first output for three images, but there are {classes} labels: "
            "the first output has to be the logits [rows, classes], and each class needs its line in the labels file."
        )
    names = [output.name for output in session.get_outputs()]
    return {name: a.shape[1:] for name, a in zip(names[1:], together[1:], strict=True) if a.shape[:1] == (3,)}


_BUILT_IN = (
    "has its row count built in and can't take another. Export it with an open first axis: `torch.onnx.export(..., "
    'dynamic_axes={"pixels": {0: "rows"}, "logits": {0: "rows"}})`, and flatten by `x.flatten(1)`, not '
    "`x.reshape(1, -1)`."
)


def _each(values: tuple[float, ...], channels: int, what: str) -> tuple[float, ...]:
    if len(values) not in (1, channels):
        raise BadParameter(
            f"--{what} has {len(values)} values, the network takes {channels} channels: give one for each."
        )
    return values * channels if len(values) == 1 else values
