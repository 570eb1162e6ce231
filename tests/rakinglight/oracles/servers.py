"""Servers for tests of oracles: real ones, at a real port, in a thread. What they know is a rule of the tests' own.

A picture is one of four classes by the mean of its channels and halves, so that an answer can be told by hand; each
server counts what it was asked, image by image, as whoever runs it would.
"""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image

from rakinglight.wire import array_from_json

Array = np.ndarray[Any, Any]

LABELS = ("ash", "birch", "cedar", "date")
SHAPE = (1, 4, 4)


def logits_of(rows: Array) -> Array:
    """[n, 4]: ten times the mean of each quarter of the picture, the channels together."""
    rows = np.asarray(rows, np.float64).mean(1)
    quarters = [rows[:, :2, :2], rows[:, :2, 2:], rows[:, 2:, :2], rows[:, 2:, 2:]]
    return 10 * np.stack([quarter.mean((1, 2)) for quarter in quarters], 1)


def probabilities_of(rows: Array) -> Array:
    e = np.exp(logits_of(rows))
    return np.asarray(e / e.sum(1, keepdims=True))


@dataclass
class Reply:
    """What is sent; None as the body hangs up without a word."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass
class Asked:
    """One request that came."""

    verb: str
    path: str
    headers: Mapping[str, str]
    body: Any


class Server:
    """Speaks by `answer`, which is given each request and says what to reply.

    asked   all that came
    images  those that it has classified, as bytes, in order: what it would charge for
    """

    def __init__(self, answer: Callable[[Server, Asked], Reply]) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.images: list[bytes] = []
        #: Said instead, one a request that classifies; None: as ever.
        self.instead: list[Reply | None] = []
        self.model = logits_of
        self.url = ""

    def classify(self, rows: Array) -> Array:
        """The logits of `rows`, which are charged."""
        self.images += [np.ascontiguousarray(row, np.float32).tobytes() for row in rows]
        return self.model(rows)

    @property
    def posts(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.verb == "POST"]


def handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self._reply("GET", None)

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self._reply("POST", json.loads(raw))

        def _reply(self, verb: str, body: Any) -> None:
            asked = Asked(verb, self.path, dict(self.headers), body)
            server.asked.append(asked)
            said = server.instead.pop(0) if verb == "POST" and server.instead else None
            reply = said or server.answer(server, asked)
            time.sleep(reply.seconds)
            if reply.body is None:
                self.close_connection = True
                return
            raw = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            try:
                self.send_response(reply.status)
                for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)
            except OSError:
                pass

    return Handler


@contextmanager
def serving(server: Server, port: int = 0) -> Iterator[Server]:
    """`server` at a port of the loopback."""
    http = ThreadingHTTPServer(("127.0.0.1", port), handler(server))
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


# ── this project's own, as a black box shows itself ─────────────────────────────────────────────────────────────────


def ours(view: Callable[[Array], list[dict[str, Any]]], *, full: bool = False) -> Callable[[Server, Asked], Reply]:
    """`classify` of a service of ours whose key has `view`: what it makes of the logits [4] of an image.

    full  the description has all that an unrestricted key is shown
    """
    described: dict[str, Any] = {"name": "trees", "input": {"shape": list(SHAPE)}, "labels": list(LABELS)}
    described |= {"version": "1.0", "operations": []} if full else {}
    stored: dict[str, Any] = {}

    def answer(server: Server, asked: Asked) -> Reply:
        if asked.verb == "GET":
            return Reply(described if asked.path == "/api/v1/models/trees" else {"models": [described]})
        assert asked.path == f"/api/v1/models/trees{'/versions/1.0' if full else ''}/classify"
        assert full or set(asked.body) == {"images"}
        if (key := asked.headers["Idempotency-Key"]) not in stored:
            rows = np.stack([array_from_json(image) for image in asked.body["images"]])
            stored[key] = {"results": [{"predictions": view(z)} for z in server.classify(rows)]}
        return Reply({"model": {"name": "trees"}, "request_id": "r", **stored[key]})

    return answer


def label_view(z: Array) -> list[dict[str, Any]]:
    return full_view(z)[:1] and [{"index": int(z.argmax()), "label": LABELS[int(z.argmax())]}]


def full_view(z: Array) -> list[dict[str, Any]]:
    p = np.exp(z) / np.exp(z).sum()
    return [{"index": int(c), "label": LABELS[c], "probability": float(p[c])} for c in np.argsort(-z, kind="stable")]


def top_2_view(z: Array) -> list[dict[str, Any]]:
    return full_view(z)[:2]


def rounded_view(z: Array) -> list[dict[str, Any]]:
    rounded = [{**said, "probability": round(said["probability"], 2)} for said in full_view(z)]
    return sorted(rounded, key=lambda said: (-said["probability"], said["index"]))


def logit_view(z: Array) -> list[dict[str, Any]]:
    return [{**said, "logit": float(z[said["index"]])} for said in full_view(z)]


# ── the Open Inference Protocol, version 2, from its text ───────────────────────────────────────────────────────────


def open_inference(
    *, datatype: str = "FP32", layout: str = "CHW", outputs: str = "logits"
) -> Callable[[Server, Asked], Reply]:
    """A server with one model, "trees": metadata, and infer with tensors in JSON.

    outputs  logits | probabilities | indices | names
    """
    shape = list(SHAPE) if layout == "CHW" else [SHAPE[1], SHAPE[2], SHAPE[0]]
    kind = {"logits": "FP32", "probabilities": "FP64", "indices": "INT64", "names": "BYTES"}[outputs]
    scores = outputs in ("logits", "probabilities")
    metadata = {
        "name": "trees",
        "versions": ["1"],
        "platform": "a test",
        "inputs": [{"name": "pixels", "datatype": datatype, "shape": [-1, *shape]}],
        "outputs": [{"name": "out", "datatype": kind, "shape": [-1, 4] if scores else [-1]}],
    }

    def answer(server: Server, asked: Asked) -> Reply:
        if asked.path == "/v2/models/trees" and asked.verb == "GET":
            return Reply(metadata)
        if asked.path != "/v2/models/trees/infer" or asked.verb != "POST":
            return Reply({"error": f"unknown model at {asked.path}"}, 404)
        (given,) = asked.body["inputs"]
        n, *rest = given["shape"]
        if given["name"] != "pixels" or given["datatype"] != datatype or rest != shape:
            return Reply({"error": "unexpected shape or datatype for input"}, 400)
        if len(given["data"]) != n * int(np.prod(shape)):
            return Reply({"error": "unexpected number of elements"}, 400)
        rows = np.array(given["data"], np.float32).reshape(n, *shape)
        rows = rows.transpose(0, 3, 1, 2) if layout == "HWC" else rows
        z = server.classify(rows / 255 if datatype == "UINT8" else rows)
        data: list[Any]
        match outputs:
            case "logits":
                data = z.astype(np.float32).ravel().tolist()
            case "probabilities":
                data = (np.exp(z) / np.exp(z).sum(1, keepdims=True)).ravel().tolist()
            case "indices":
                data = z.argmax(1).tolist()
            case _:
                data = [LABELS[c] for c in z.argmax(1)]
        out = {"name": "out", "datatype": kind, "shape": [n, 4] if scores else [n], "data": data}
        return Reply({"model_name": "trees", "model_version": "1", "id": asked.body["id"], "outputs": [out]})

    return answer


# ── somebody's own ──────────────────────────────────────────────────────────────────────────────────────────────────


def shop(said: Callable[[Array], Any]) -> Callable[[Server, Asked], Reply]:
    """Takes {"pictures": [base64 of a PNG]} from whoever shows the key, and answers {"results": [said of each]}."""

    def answer(server: Server, asked: Asked) -> Reply:
        if asked.headers.get("X-Key") != "open-sesame":
            return Reply({"message": f"who are you, {asked.headers.get('X-Key')}?"}, 401)
        rows = []
        for picture in asked.body["pictures"]:
            with Image.open(io.BytesIO(base64.b64decode(picture))) as opened:
                rows.append(np.asarray(opened.convert("L"), np.float32)[None] / 255)
        return Reply({"results": [said(z) for z in server.classify(np.stack(rows))]})

    return answer
