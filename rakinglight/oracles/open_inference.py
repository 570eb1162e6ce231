"""The dialect of the Open Inference Protocol, version 2, over REST: Triton, KServe, MLServer, OpenVINO Model Server.

    GET  /v2/models/NAME         what goes in and comes out
    POST /v2/models/NAME/infer   tensors in, tensors out

The protocol says nothing of what numbers mean. Where the description (`rakinglight.oracles.target`) does not either,
pixels go as [0, 1], and the outputs are labels where they are integers or text, probabilities where they look so, and
else logits.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import httpx2
import numpy as np

from rakinglight.card import Card
from rakinglight.errors import BadParameter, OracleFault, shown
from rakinglight.oracles.dialect import (
    AT_ONCE,
    CLASSES,
    LARGEST,
    MALFORMED,
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
from rakinglight.oracles.target import Input, Target

#: The part of an address that says that this is one.
MODEL = re.compile(r"^(?P<base>.*/v2/models/(?P<name>[^/]+)(/versions/[^/]+)?)(/infer)?/?$")
#: Values of one request, as text: about 16 MB.
VALUES_AT_ONCE = 1_500_000
#: Data types of the protocol that hold pixels, scores, labels.
PIXELS, SCORES = {"FP32", "FP64", "FP16", "UINT8"}, {"FP16", "FP32", "FP64", "BF16"}
LABELS = {"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "BYTES"}


class OpenInference:
    """The model that a server's `metadata` describes, and `target` where that says more."""

    def __init__(self, target: Target, metadata: Any) -> None:
        found = MODEL.match(bare(address(target.url)))
        if not found:
            raise BadParameter(
                f"{bare(address(target.url))} is no address of the protocol; it ends in /v2/models/NAME."
            )
        self.where = self.url = found["base"]
        self.secrets, self._headers = target.secrets, dict(target.headers)
        called = target.name or self.where
        self.tells = target.tells
        first = metadata["inputs"][0]
        self._input, self._datatype = str(first["name"]), str(first["datatype"])
        if self._datatype not in PIXELS:
            raise BadParameter(f"{called} takes {self._datatype}, and pixels are one of {', '.join(sorted(PIXELS))}.")
        self._form = target.input or Input()
        shape, layout = _shape(first["shape"], self._form, called)
        self._layout = layout
        scale = self._form.scale or (255.0 if self._datatype == "UINT8" else 1.0)
        self._form = self._form.model_copy(update={"scale": scale})
        outputs = {str(output["name"]): output for output in metadata["outputs"]}
        wanted = target.answer.output if target.answer else None
        if wanted is not None and wanted not in outputs:
            raise BadParameter(f"{called} has no output {wanted!r}; there is {', '.join(outputs)}.")
        self._output = wanted or next(iter(outputs))
        labels = target.classes or _numbered(outputs[self._output], called)
        self.card = Card(
            name=target.name or found["name"],
            version="",
            input_shape=shape,
            mean=(0.0,) * shape[0],
            std=(1.0,) * shape[0],
            labels=labels,
            sha256="",
            provenance=f"asked at {self.where}",
            differentiable=False,
        )
        self.at_once = target.batch or max(1, min(AT_ONCE, VALUES_AT_ONCE // math.prod(shape)))
        if first["shape"][0] == 1:
            self.at_once = 1

    @staticmethod
    def described(target: Target, line: Line) -> OpenInference:
        """The dialect of the model at the target's address, whose metadata are asked for."""
        found = MODEL.match(bare(address(target.url)))
        url = found["base"] if found else bare(address(target.url))
        metadata = line.json(httpx2.Request("GET", url, headers={**common(), **target.headers}))
        try:
            return OpenInference(target, metadata)
        except MALFORMED:
            raise OracleFault(f"{line.called} does not describe its model as the protocol does.") from None

    def as_sent(self, rows: Array) -> Array:
        return (rows * 255).round() / np.float32(255) if self._datatype == "UINT8" else rows

    def request(self, rows: Array, key: str) -> httpx2.Request:
        values = self._form.values(rows)
        values = values.transpose(0, 2, 3, 1) if self._layout == "HWC" else values
        if self._datatype == "UINT8":
            data = ",".join(map(str, values.round().clip(0, 255).astype(np.uint8).ravel().tolist()))
        else:
            data = ",".join(map("%.9g".__mod__, values.ravel().tolist()))  # nine digits are a float32, exactly
        shape = ",".join(map(str, values.shape))
        body = (
            f'{{"id":"{key}","inputs":[{{"name":{json.dumps(self._input)},"shape":[{shape}],'
            f'"datatype":"{self._datatype}","data":[{data}]}}],"outputs":[{{"name":{json.dumps(self._output)}}}]}}'
        )
        return post(f"{self.where}/infer", body.encode(), self._headers, key)

    def read(self, body: Any, n: int) -> Said:
        outputs = {output["name"]: output for output in body["outputs"]}
        if self._output not in outputs:
            raise OracleFault(f"It answers no output {self._output!r}.")
        output = outputs[self._output]
        datatype, K = output["datatype"], len(self.card.labels)
        if datatype in LABELS:
            data = np.asarray(output["data"], dtype=object).ravel().tolist()
            return Said(np.array([class_of(value, self.card) for value in several(data, n, "labels")]))
        if datatype not in SCORES:
            raise OracleFault(f"It answers {datatype}, which is neither labels nor scores.")
        shape = output["shape"]
        if not all(isinstance(side, int) for side in shape) or shape[:1] != [n] or math.prod(shape) != n * K:
            raise OracleFault(f"It answers the shape {shown(shape)}, and [{n}, {K}] was expected.")
        scores = numbers(np.asarray(output["data"]).ravel(), (n * K,)).reshape(n, K)
        return Said(scores.argmax(1), scores, self.tells)


def _shape(said: Any, form: Input, where: str) -> tuple[tuple[int, int, int], str]:
    """[C, H, W] and the order in which they travel."""
    last = [int(side) for side in said][-3:]
    if len(last) < 3:
        raise BadParameter(f"{where} takes the shape {said}, which is no picture's.")
    layout = form.layout or ("HWC" if last[2] in (1, 3) and last[0] not in (1, 3) else "CHW")
    C, H, W = last if layout == "CHW" else (last[2], last[0], last[1])
    if form.shape:
        C, H, W = form.shape
    if C * H * W > LARGEST:
        raise OracleFault(f"{where} takes images of {[C, H, W]}; of more than {LARGEST} values none is asked.")
    if C not in (1, 3) or H < 1 or W < 1:
        raise BadParameter(
            f"{where} takes any size, or another than a picture's ({said}); say which in a target file: "
            "[input] shape = [3, 224, 224]."
        )
    return (C, H, W), layout


def _numbered(output: Any, where: str) -> tuple[str, ...]:
    """The classes by number, where the output says how many there are."""
    K = int(list(output["shape"])[-1])
    if not 2 <= K <= CLASSES or output["datatype"] in LABELS:
        raise BadParameter(f"{where} does not tell its classes; list them in a target file: classes = [...].")
    return tuple(map(str, range(K)))
