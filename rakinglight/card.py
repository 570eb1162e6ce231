"""The card: what a network says of itself, and all that the gateway knows of it. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from rakinglight.errors import BadParameter, NotFound, near

#: What a model answers, from the most to the least.
Tells = Literal["logits", "probabilities", "labels"]


@dataclass(frozen=True)
class Card:
    """A network's name, input, labels and origin. Stored in its archive as `card.json`.

    input_shape  [C, H, W] of one image; C is 1 or 3
    mean, std    per channel, in units of [0, 1]: the network sees (x - mean) / std
    resize       pixels of the shorter side before the central crop to H x W
    labels       one name a class, in the order of the logits; names may repeat (ImageNet has two "crane")
    layers       name -> output shape of one image, in the order of the forward pass
    differentiable  False for an ONNX file: every `Forward` method works, no `Gradient` does
    tells        what it answers: "logits"; of a black box it may be "probabilities" alone, or "labels": then all that
                 is known of its logits is which is the largest
    detector     the share of clean images that its detector of adversarial ones rejects; None: it has no detector
    decoders     the layers of which a decoder gives back a picture for a code
    sha256       of the weights (the ONNX file, where there is nothing else)
    """

    name: str
    version: str
    input_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    labels: tuple[str, ...]
    sha256: str
    provenance: str
    resize: int = 0
    layers: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    differentiable: bool = True
    tells: Tells = "logits"
    detector: float | None = None
    decoders: tuple[str, ...] = ()

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    @staticmethod
    def from_json(text: str) -> Card:
        raw: dict[str, Any] = json.loads(text)
        for name in ("input_shape", "mean", "std", "labels"):
            raw[name] = tuple(raw[name])
        raw["decoders"] = tuple(raw.get("decoders", ()))  # an archive of before there were any has none
        raw.pop("tells_logits", None)  # as `tells` was called while there were no labels alone; an archive tells logits
        raw["layers"] = {k: tuple(v) for k, v in raw["layers"].items()}
        return Card(**raw)

    def class_index(self, reference: int | str, pointer: str = "/parameters/target") -> int:
        """The index of a class given as an index or a label. Raises BadParameter, which names what was meant."""

        def wrong(detail: str) -> BadParameter:
            return BadParameter.at(pointer, detail)

        if isinstance(reference, int):
            if not 0 <= reference < len(self.labels):
                raise wrong(
                    f"{reference} is no class of {self.name}: it has {len(self.labels)}, 0 to {len(self.labels) - 1}."
                )
            return reference
        found = [i for i, label in enumerate(self.labels) if label == reference]
        if not found:
            found = [i for i, label in enumerate(self.labels) if label.casefold() == reference.casefold()]
        if len(found) > 1:
            raise wrong(f"{reference!r} names {len(found)} classes; use an index: {', '.join(map(str, found))}.")
        if not found and reference.isdigit():  # a form field says everything in text
            return self.class_index(int(reference), pointer)
        if not found:
            raise wrong(f"{reference!r} is no class of {self.name}: {near(reference, self.labels)}")
        return found[0]

    @property
    def last_spatial_layer(self) -> str:
        """The last layer whose output has height and width; "" where none has."""
        return next((name for name in reversed(list(self.layers)) if self._spatial(name)), "")

    @property
    def code_layer(self) -> str:
        """The layer that is inverted where none is named: the last that has height and width, or the last at all."""
        return self.last_spatial_layer or (list(self.layers) or [""])[-1]

    def check_spatial_layer(self, layer: str | None, pointer: str) -> None:
        """Raise BadParameter unless `layer`, or where it is None any layer, has an output with height and width."""
        there = [name for name in self.layers if self._spatial(name)]
        if layer is None and there:
            return
        if layer is None:
            detail = f"{self.name} has no layer whose output has height and width; take a method that needs none."
        elif layer not in self.layers:
            detail = f"{self.name} has no layer {layer!r}. Of those with height and width, {near(layer, there)}"
        elif layer not in there:
            shape = "×".join(map(str, self.layers[layer]))
            other = f"the last that has is {there[-1]!r}" if there else "no other layer has"
            detail = f"{layer!r} of {self.name} puts out {shape}, which has no height and width; {other}."
        else:
            return
        raise BadParameter.at(pointer, detail)

    def check_code_layer(self, layer: str | None, pointer: str) -> None:
        """Raise BadParameter unless `layer`, or where it is None any, can be asked what it puts out."""
        if not (self.layers and self.differentiable):
            detail = f"What the layers of {self.name} put out is not known here: it answers scores alone."
        elif layer is not None and layer not in self.layers:
            detail = f"{self.name} has no layer {layer!r}: {near(layer, self.layers)}"
        else:
            return
        raise BadParameter.at(pointer, detail)

    def check_unit(self, layer: str, unit: int | None, pointer: str = "/parameters/unit") -> None:
        """Raise BadParameter unless `layer`, which is there, has the channel or neuron `unit`."""
        count = self.layers[layer][0]
        if unit is not None and not 0 <= unit < count:
            detail = f"{unit} is no unit of {layer!r}: it has {count}, 0 to {count - 1}."
            raise BadParameter.at(pointer, detail)

    def _spatial(self, layer: str) -> bool:
        shape = self.layers[layer]
        return len(shape) == 3 and max(shape[1:]) > 1

    def check_score(self, score: str) -> None:
        """Raise BadParameter for the logit of a model that does not tell it."""
        if score == "logit" and self.tells == "probabilities":
            raise BadParameter.at(
                "/parameters/score",
                f"{self.name} tells probabilities and no logits; ask for score probability or log_probability.",
            )

    def check_detector(self) -> None:
        """Raise BadParameter where there is none."""
        if self.detector is None:
            raise BadParameter.at(
                "/parameters/detector",
                f"{self.name} has no detector of adversarial images: leave detector out, or ask a model that has one, "
                "as the description of each says.",
            )

    def check_decoder(self, layer: str | None) -> None:
        """Raise BadParameter unless there is a decoder for `layer`, or for the layer that None stands for."""
        layer = layer or self.code_layer
        if layer not in self.decoders:
            there = f"it has one for {', '.join(self.decoders)}" if self.decoders else "it has none for any layer"
            raise BadParameter.at(
                "/parameters/layer",
                f"{self.name} has no decoder for {layer!r}: {there}. The prior natural takes every layer.",
            )

    def check_layer(self, layer: str) -> str:
        """`layer`, if the network has it. Raises NotFound with the near names."""
        if layer not in self.layers:
            raise NotFound(f"{self.name} has no layer {layer!r}: {near(layer, self.layers)}")
        return layer


def check_others(names: Sequence[str], card: Card, others: Mapping[str, Card], pointer: str = "") -> None:
    """Raise BadParameter unless each of `names` is among `others`, is not `card`'s own, and tells the same classes.

    pointer  where the names are listed; by default among the parameters, as `models`
    """
    pointer = pointer or "/parameters/models"
    for i, name in enumerate(names):
        if name == card.name:
            detail = f"{name!r} is the model that is asked itself; name others."
        elif name not in others:
            known = [other for other in others if other != card.name]
            detail = f"There is no model {name!r}: {near(name, known)}"
        elif others[name].labels != card.labels:
            detail = f"{name} has other labels than {card.name}, so neither knows what the other means by a class."
        elif others[name].input_shape[0] != card.input_shape[0]:
            detail = f"{name} takes {others[name].input_shape[0]} channels, and {card.name} {card.input_shape[0]}."
        else:
            continue
        raise BadParameter.at(f"{pointer}/{i}", detail)
