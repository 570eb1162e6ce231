"""The TorchServe side: hands requests to a worker, and the worker's frames back.

TorchServe batches continuously: an iteration calls `handle` with every live request, its data the first time and an
empty row afterwards, and streams what is returned for a row to that row's caller. An iteration must be short, so
`handle` never computes; the engine has its own thread (`rakinglight.worker`).

This file is packed into an archive and loaded as a top-level module; TorchServe wants exactly one class in it.
"""

from __future__ import annotations

import logging
import os
from functools import partial
from pathlib import Path
from typing import Any

from rakinglight.archives import load_networks
from rakinglight.wire import HEARTBEAT, Frame
from rakinglight.worker import Worker, encoded

HEAD = bytes(Frame("head"))
#: Seconds that an iteration waits for a run to end. It is also what a newcomer waits at most before it is let in.
WAIT_S = 0.025
#: Seconds without an iteration after which a run is taken for abandoned. Where nobody else is aboard, TorchServe does
#: not call `handle` to say that the last caller has left; the gateway knocks then, and this is for when it can't.
PATIENCE_S = 10.0
#: Bytes of one iteration's replies, for all rows together: TorchServe holds them all in memory, and a chunk over its
#: max_response_size kills the worker.
CHUNK = 4 * 2**20


class RakinglightHandler:
    """One worker; TorchServe's request ids are its tickets."""

    def __init__(self) -> None:
        self.worker: Worker | None = None
        self.unsent: dict[str, memoryview] = {}
        self.last: dict[str, bool] = {}

    def initialize(self, context: Any) -> None:
        """Load the archives that the operator chose, or the one that this file was packed in."""
        # TorchServe logs a line an iteration through the root logger.
        logging.getLogger().setLevel(logging.WARNING)
        logging.getLogger("rakinglight").setLevel(logging.INFO)
        chosen = os.environ.get("RAKINGLIGHT_ARCHIVES", "")
        home = os.environ.get("RAKINGLIGHT_HOME")
        paths = [Path(path) for path in chosen.split(os.pathsep) if path]
        paths = paths or [Path(context.system_properties["model_dir"])]
        gpu = context.system_properties.get("gpu_id")
        device = None if gpu is None or int(gpu) < 0 else f"cuda:{gpu}"
        networks = load_networks(paths, home=Path(home) if home else None, device=device)
        self.worker = Worker(networks, patience=PATIENCE_S)

    def handle(self, rows: list[dict[str, Any]], context: Any) -> list[bytes]:
        """One iteration: the news of every row, or a heartbeat. Never raises for one bad row."""
        assert self.worker is not None
        tickets = [context.get_request_id(i) for i in range(len(rows))]
        for gone in self.last.keys() - set(tickets):
            self._forget(gone)
            self.worker.close(gone)
        fresh = [ticket not in self.last for ticket in tickets]
        if not any(fresh) and not any(self.unsent.values()):
            self.worker.wait(WAIT_S)
        share = CHUNK // len(rows)
        replies = [
            self._welcome(ticket, row) if new else self._news(ticket, share)
            for ticket, row, new in zip(tickets, rows, fresh, strict=True)
        ]
        context.stopping_criteria = [partial(self._is_over, ticket) for ticket in tickets]
        return replies

    def _welcome(self, ticket: str, row: dict[str, Any]) -> bytes:
        """The head of a stream. It is never the last chunk: TorchServe would leave its caller without an answer."""
        assert self.worker is not None
        self.last[ticket], self.unsent[ticket] = False, memoryview(b"")
        self.worker.open(ticket, bytes(row.get("body") or row.get("data") or b""))
        return HEAD

    def _news(self, ticket: str, share: int) -> bytes:
        assert self.worker is not None
        if not self.unsent[ticket] and not self.last[ticket]:
            frames, self.last[ticket] = self.worker.collect(ticket)
            self.unsent[ticket] = memoryview(b"".join(map(encoded, frames)) or HEARTBEAT)
        chunk = bytes(self.unsent[ticket][:share])
        self.unsent[ticket] = self.unsent[ticket][share:]
        return chunk

    def _is_over(self, ticket: str, reply: bytes) -> bool:
        if self.unsent[ticket] or not self.last[ticket]:
            return False
        self._forget(ticket)
        return True

    def _forget(self, ticket: str) -> None:
        del self.unsent[ticket], self.last[ticket]
