"""The dialect of this project's services: `classify` over REST, by whatever view the key has."""

from __future__ import annotations

from typing import Any

import httpx2
import numpy as np

from rakinglight.card import Tells
from rakinglight.description import card_of
from rakinglight.errors import OracleFault
from rakinglight.flows import segment
from rakinglight.oracles.dialect import (
    AT_ONCE,
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


class Ours:
    """The model that a service describes. A key that is for `classify` alone is shown no more than its name, input and
    labels, and may send nothing but images.
    """

    tells: Tells | None = None  # its replies say

    def __init__(self, target: Target, described: Any) -> None:
        self.where = self.url = bare(address(target.url))
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
        found = line.json(_get(target, f"models/{segment(model)}"))
        try:
            return Ours(target, found)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            raise OracleFault(f"{line.where} describes {model} as no model is; look at the address.") from None

    @staticmethod
    def models(target: Target, line: Line) -> list[Any]:
        """The descriptions of all that there is. Raises Forbidden where the key is for one model alone."""
        try:
            return list(line.json(_get(target, "models"))["models"])
        except (KeyError, TypeError):
            raise OracleFault(f"{line.where} lists no models; look at the address.") from None

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
