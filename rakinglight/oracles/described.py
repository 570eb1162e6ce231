"""The dialect of any other service that takes pictures in JSON, as a target file describes it."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import httpx2
import numpy as np

from rakinglight import pictures
from rakinglight.card import Card
from rakinglight.errors import BadParameter, OracleFault
from rakinglight.oracles.dialect import AT_ONCE, Array, Said, address, bare, class_of, numbers, post, several
from rakinglight.oracles.target import IMAGE, IMAGES, KEY, PLACE, Target


class Described:
    """What `target` describes. Pictures that travel as PNG are rounded to 8 bits, and are that to everybody."""

    def __init__(self, target: Target) -> None:
        parsed = address(target.url)
        self.where = self.url = bare(parsed)
        self._target, self._address = target, str(parsed)
        self.secrets, self.tells = target.secrets, target.tells
        self._called = target.name or self.where
        missing = [
            name
            for name, there in (
                ("classes", target.classes),
                ("body", target.body),
                ("[input] shape", target.input and target.input.shape),
                ("[answer] label or scores", target.answer and (target.answer.label or target.answer.scores)),
            )
            if not there
        ]
        if missing or not (target.input and target.input.shape and target.answer and target.body and target.classes):
            raise BadParameter(f"The target of {self._called} lacks {', '.join(missing)}.")
        self._input, self._body = target.input, target.body
        self._label, self._scores = _path(target.answer.label), _path(target.answer.scores)
        places = [name for name in PLACE.findall(self._body) if name in (IMAGE, IMAGES)]
        if len(places) != 1:
            raise BadParameter(
                f"The body for {self._called} has ${{images}} or ${{image}} {len(places)} times, not once."
            )
        self.at_once = 1 if places == [IMAGE] else target.batch or AT_ONCE
        C = target.input.shape[0]
        self.card = target.card or Card(
            name=target.name or parsed.host,
            version="",
            input_shape=target.input.shape,
            mean=(0.0,) * C,
            std=(1.0,) * C,
            labels=target.classes,
            sha256="",
            provenance="",
            differentiable=False,
        )
        self.card = replace(self.card, provenance=f"asked at {self.where}")
        self._filled(np.zeros((1, *self.card.input_shape), np.float32), "0")

    def as_sent(self, rows: Array) -> Array:
        return (rows * 255).round() / np.float32(255) if self._input.form == "png" else rows

    def request(self, rows: Array, key: str) -> httpx2.Request:
        return post(self._address, self._filled(rows, key), dict(self._target.headers), key)

    def read(self, body: Any, n: int) -> Said:
        K = len(self.card.labels)
        labels = self._each(self._label.search(body), n, "labels", "label") if self._label else None
        if self._scores is None:
            assert labels is not None
            return Said(np.array([class_of(label, self.card) for label in labels]))
        each = self._each(self._scores.search(body), n, "scores", "scores")
        if labels is not None:
            each = [
                dict(zip(map(str, names), several(values, len(names), "scores"), strict=True))
                for names, values in zip((several(names, K, "labels") for names in labels), each, strict=True)
            ]
        scores = np.stack([numbers(self._ordered(values), (K,)) for values in each])
        return Said(scores.argmax(1), scores, self.tells)

    def _each(self, found: Any, n: int, what: str, name: str) -> list[Any]:
        """What was found, one a picture. Of a single picture it need not stand in a list of its own."""
        if found is None:
            raise OracleFault(f"Its reply has nothing at [answer] {name}.")
        plain = not isinstance(found, list) or (
            what == "scores" and not any(isinstance(value, list | dict) for value in found)
        )
        several_labels = what == "labels" and self._scores is not None
        if several_labels and isinstance(found, list):
            plain = not any(isinstance(value, list) for value in found)
        return several([found] if n == 1 and plain else found, n, what)

    def _ordered(self, values: Any) -> Any:
        """Scores in the order of the classes."""
        if not isinstance(values, dict):
            return values
        if set(values) != set(self.card.labels):
            other = sorted(set(values) ^ set(self.card.labels))
            raise OracleFault(f"It answers scores of other classes than those of {self.card.name}: {other[:3]}.")
        return [values[label] for label in self.card.labels]

    def _filled(self, rows: Array, key: str) -> bytes:
        """The body of a request, which is JSON. Raises BadParameter where it is not."""
        drawn = [self._drawn(row) for row in rows]
        values = {IMAGES: lambda: json.dumps(drawn), IMAGE: lambda: json.dumps(drawn[0]), KEY: lambda: key}
        body = PLACE.sub(lambda place: values[place[1]]() if place[1] in values else place[0], self._body)
        if key == "0":
            try:
                json.loads(body)
            except ValueError as e:
                raise BadParameter(
                    f"The body for {self._called} is no JSON once it is filled ({e}); ${{images}} becomes a list."
                ) from None
        return body.encode()

    def _drawn(self, row: Array) -> Any:
        if self._input.form == "tensor":
            values = self._input.values(row[None])[0]
            return (values.transpose(1, 2, 0) if self._input.layout == "HWC" else values).tolist()
        whole = (row * 255).round().clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
        return base64.b64encode(pictures.to_png(pictures.from_pixels(whole))).decode()


def _path(said: str | None) -> Any:
    """The JMESPath that `said` is. Raises BadParameter."""
    if said is None:
        return None
    try:
        import jmespath
    except ModuleNotFoundError:
        raise BadParameter("A target file with a path into the reply needs jmespath: pip install jmespath.") from None
    try:
        return jmespath.compile(said)
    except jmespath.exceptions.JMESPathError as e:
        raise BadParameter(f"{said!r} is no JMESPath: {e}.") from None
