"""The dialect of this project's services: `classify` over REST, by whatever view the key has."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import httpx2
import numpy as np
from pydantic import BaseModel, Field, FiniteFloat

from rakinglight.card import Tells
from rakinglight.description import card_of
from rakinglight.errors import NotFound, OracleFault
from rakinglight.flows import segment
from rakinglight.oracles.dialect import (
    AT_ONCE,
    CLASSES,
    LARGEST,
    MALFORMED,
    VALUES_AT_ONCE,
    Array,
    Said,
    address,
    bare,
    class_of,
    common,
    numbers,
    post,
    several,
)
from rakinglight.oracles.line import Line
from rakinglight.oracles.target import Target
from rakinglight.wire import array_to_json

#: Classes that `classify` names at most.
NAMED = 1000
#: The side of an image.
Side = Annotated[int, Field(ge=1, le=LARGEST)]


class Seen(BaseModel):
    """What a service says of its model's input."""

    shape: tuple[Literal[1, 3], Side, Side]
    resize: Annotated[int, Field(ge=0, le=2**14)] = 0
    mean: tuple[FiniteFloat, ...] = ()
    std: tuple[FiniteFloat, ...] = ()


class Shown(BaseModel):
    """What a service says of its model, as far as it is read here."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    version: Annotated[str, Field(max_length=200)] = ""
    sha256: str = ""
    provenance: str = ""
    input: Seen
    labels: Annotated[tuple[str, ...], Field(min_length=1, max_length=CLASSES)]


class Ours:
    """The model that a service describes. A key that is for `classify` alone is shown no more than its name, input and
    labels, and may send nothing but images.
    """

    tells: Tells | None = None  # its replies say

    def __init__(self, target: Target, described: Any) -> None:
        self.where = self.url = bare(address(target.url))
        if math.prod(Shown.model_validate(described).input.shape) > LARGEST:
            raise ValueError("an image of more values than any")
        self.card = card_of(described)
        self.secrets, self._headers = target.secrets, dict(target.headers)
        version = f"/versions/{segment(self.card.version)}" if self.card.version else ""
        self._path = f"{self.where}/api/v1/models/{segment(self.card.name)}{version}/classify"
        self._said: dict[str, Any] = {}
        if "operations" in described:  # else anything beside the images is refused
            self._said = {"parameters": {"top_k": min(NAMED, len(self.card.labels))}, "include": []}
        self.at_once = max(1, min(AT_ONCE, VALUES_AT_ONCE // int(np.prod(self.card.input_shape))))

    @staticmethod
    def described(target: Target, model: str, line: Line) -> Ours:
        """The dialect of `model`, whose description is asked for. Raises what the service does, such as NotFound."""
        try:
            found = line.json(_get(target, f"models/{segment(model)}"))
        except NotFound as e:
            raise NotFound(e.detail if repr(model) in e.detail else f"{e.detail} It was asked for {model!r}.") from None
        try:
            return Ours(target, found)
        except MALFORMED:
            raise OracleFault(
                f"{line.called} describes {model} as no model is: name, labels (at most {CLASSES}) and input (one or "
                f"three channels, at most {LARGEST} values). Look at the address."
            ) from None

    @staticmethod
    def models(target: Target, line: Line) -> list[Any]:
        """The descriptions of all that there is. Raises Forbidden where the key is for one model alone."""
        try:
            return list(line.json(_get(target, "models"))["models"])
        except MALFORMED:
            raise OracleFault(f"{line.called} lists no models; look at the address.") from None

    def as_sent(self, rows: Array) -> Array:
        return rows

    def request(self, rows: Array, key: str) -> httpx2.Request:
        body = {"images": [array_to_json(row) for row in rows], **self._said}
        return post(self._path, body, self._headers, key)

    def read(self, body: Any, n: int) -> Said:
        K = len(self.card.labels)
        each = [result["predictions"] for result in several(body["results"], n, "results")]
        labels = np.array([self._class(predictions[0]) for predictions in each])
        for name, tells in (("logit", "logits"), ("probability", "probabilities")):
            if all(len(predictions) == K and all(name in said for said in predictions) for predictions in each):
                scores = np.stack([self._scores(predictions, name) for predictions in each])
                return Said(labels, scores, tells)  # type: ignore[arg-type]  # one of the two
        return Said(labels)

    def _class(self, said: Any) -> int:
        c = class_of(said["index"], self.card)
        if said.get("label", self.card.labels[c]) != self.card.labels[c]:
            raise OracleFault(f"It calls class {c} otherwise than its description does.")
        return c

    def _scores(self, predictions: Any, name: str) -> Array:
        told = {self._class(said): said[name] for said in predictions}
        K = len(self.card.labels)
        if len(told) != K:
            raise OracleFault("It names a class twice.")
        return numbers([told[c] for c in range(K)], (K,))


def _get(target: Target, path: str) -> httpx2.Request:
    headers = {**common(), **target.headers}
    return httpx2.Request("GET", f"{bare(address(target.url))}/api/v1/{path}", headers=headers)
