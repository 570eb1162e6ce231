"""A worker: an engine in its own thread, and a mailbox for each question.

Whoever hosts it (a TorchServe handler, a child process, the command line with `--local`) only exchanges mail:

    open(ticket, request) ──> [ engine's thread ] ──> collect(ticket): progress, then one result or problem
    close(ticket): the caller is gone

A mailbox holds the newest progress and at most one last frame, so who collects slowly, or never, costs no memory.
"""

from __future__ import annotations

import atexit
import logging
import math
import os
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from rakinglight import eight_bit
from rakinglight.engine import Engine
from rakinglight.errors import InternalError, RakinglightError, Unreadable
from rakinglight.inverted import Inverted
from rakinglight.maps import Map
from rakinglight.network import Network
from rakinglight.news import newest
from rakinglight.queries import Progress
from rakinglight.question import Question
from rakinglight.run import Cancelled, Cost, Run
from rakinglight.states import to_arrays
from rakinglight.wire import Frame

log = logging.getLogger("rakinglight.worker")

#: Seconds for which a process that ends waits for the pass under way, which might hang.
LONGEST_GOODBYE_S = 10.0


@dataclass(eq=False)
class Mailbox:
    """What a ticket's caller has not collected yet.

    asked_at  when its host last asked for news, on `time.monotonic`'s clock
    drawn_at  when its progress last brought the map or picture so far, or its run began
    saved_at  when it last brought a state to go on from
    """

    run: Run[Any] | None = None
    progress: Frame | None = None
    last: Frame | None = None
    asked_at: float = field(default_factory=time.monotonic)
    drawn_at: float = field(default_factory=time.monotonic)
    saved_at: float = -math.inf


class Worker:
    """Answers questions about `networks`.

    patience  seconds without a `collect` after which a run is taken for abandoned and cancelled
    """

    def __init__(self, networks: Iterable[Network], *, patience: float = math.inf) -> None:
        self.engine = Engine(networks)
        self.patience = patience
        self._mail: dict[str, Mailbox] = {}
        self._arrived = threading.Condition()
        self._stopping = threading.Event()
        # A daemon, so that a host whose own work has ended can leave; but not in the middle of a pass. Python ends a
        # daemon where it next wants the interpreter, and with torch's C++ on its stack that aborts the process.
        self._thread = threading.Thread(target=self._drive, name="engine", daemon=True)
        self._thread.start()
        atexit.register(self.stop, LONGEST_GOODBYE_S)

    def __repr__(self) -> str:
        return f"<Worker of {', '.join(self.engine.networks)}: {len(self._mail)} tickets>"

    def open(self, ticket: str, request: bytes | Frame) -> None:
        """Take up the question in `request`. Whatever is wrong with it becomes the problem of this ticket alone."""
        mailbox = Mailbox()
        self._mail[ticket] = mailbox
        try:
            frame = request if isinstance(request, Frame) else Frame.read(request)
            if frame.kind != "request":
                raise Unreadable(f"A {frame.kind!r} frame asks nothing; send a request.")
            if frame.body.get("operation") == "snapshot":
                self._deliver(mailbox, Frame("result", {"result": self.snapshot()}))
            else:
                mailbox.run = self._begin(mailbox, frame.body)
                self.engine.submit(mailbox.run)
        except Exception as e:
            self._deliver(mailbox, problem(e))

    def collect(self, ticket: str) -> tuple[list[Frame], bool]:
        """The frames that are new for `ticket`, and whether the last of them is the end: then the ticket is no more."""
        mailbox = self._mail.get(ticket)
        if mailbox is None:
            return [problem(InternalError(f"Ticket {ticket} is not known here; its run was closed."))], True
        with self._arrived:
            news = [frame for frame in (mailbox.progress, mailbox.last) if frame]
            mailbox.progress, mailbox.asked_at = None, time.monotonic()
        if mailbox.last:
            del self._mail[ticket]
        return news, mailbox.last is not None

    def close(self, ticket: str) -> None:
        """Forget `ticket`; its run is cancelled before the next pass."""
        mailbox = self._mail.pop(ticket, None)
        if mailbox and mailbox.run:
            self.engine.cancel(mailbox.run)

    def wait(self, timeout: float) -> None:
        """Wait until some ticket has come to its end, or `timeout` seconds. Progress alone is no reason to wake up."""
        with self._arrived:
            self._arrived.wait_for(lambda: any(mailbox.last for mailbox in list(self._mail.values())), timeout)

    def snapshot(self) -> dict[str, Any]:
        """What the engine has done and is doing, for monitoring: counters, and who answers for each network."""
        counts, engine = self.engine.counts, self.engine
        return {
            "pid": os.getpid(),
            "live": len(engine.running),
            "waiting": len(engine.waiting),
            "passes": dict(counts.passes),
            "rows": dict(counts.rows),
            "padding": dict(counts.padding),
            "rows_a_pass": {str(n): times for n, times in dict(counts.rows_a_pass).items()},
            "runs_a_pass": {str(n): times for n, times in dict(counts.runs_a_pass).items()},
            "failed_passes": counts.failed_passes,
            "networks": {name: _described(network) for name, network in engine.networks.items()},
        }

    def stop(self, timeout: float | None = None) -> None:
        """Cancel every run and end the thread; wait for that, `timeout` seconds at most."""
        atexit.unregister(self.stop)
        self._stopping.set()
        self.engine.wake()
        self._thread.join(timeout)

    # ── on the engine's thread ──────────────────────────────────────────────────────────────────────────────────────

    def _drive(self) -> None:
        try:
            self.engine.run_until(self._done)
            self.engine.close()
        except BaseException:
            # Nobody would be answered any more: better that the host dies and is replaced than that it looks alive.
            log.critical("the engine's thread broke", exc_info=True)
            os._exit(70)

    def _done(self) -> bool:
        if not math.isinf(self.patience):
            oldest = time.monotonic() - self.patience
            for ticket, mailbox in list(self._mail.items()):
                if mailbox.asked_at < oldest:
                    log.warning("nobody has asked for %s in %g s; its run is cancelled", ticket, self.patience)
                    self.close(ticket)
        return self._stopping.is_set()

    def _begin(self, mailbox: Mailbox, body: dict[str, Any]) -> Run[dict[str, Any]]:
        def notify(news: Progress | Run[Any]) -> None:
            if isinstance(news, Progress):
                self._tell(mailbox, news, question)
            elif isinstance(news.error, Cancelled):
                self._deliver(mailbox, problem(InternalError("The run was cancelled by its host.")))
            elif news.error is not None:
                self._deliver(mailbox, problem(news.error))
            else:
                self._deliver(mailbox, self._result(question.model, news))

        question = Question.from_body(body)
        return question.begin(self.engine.networks, notify)

    def _tell(self, mailbox: Mailbox, news: Progress, question: Question) -> None:
        """Put progress into `mailbox`, where it is time with what there is to look at and a state to go on from."""
        body: dict[str, Any] = {"step": news.step, "of": news.of, "objective": news.objective}
        if news.best is not None and _due(question.map_s, mailbox.drawn_at):
            mailbox.drawn_at = time.monotonic()
            body |= _to_look_at(news.best)
        if news.state is not None and _due(question.state_s, mailbox.saved_at):
            assert mailbox.run is not None
            mailbox.saved_at = time.monotonic()
            body["saved"] = {"state": to_arrays(news.state), "cost": asdict(mailbox.run.cost)}
        with self._arrived:
            mailbox.progress = newest(mailbox.progress, Frame("progress", body))

    def _result(self, model: str, run: Run[dict[str, Any]]) -> Frame:
        network = self.engine.networks[model]
        return Frame(
            "result",
            {
                "result": run.result,
                "cost": run.cost.to_json(),
                "answered_by": _answered_by(network) | _patched_by(network, run.cost),
            },
        )

    def _deliver(self, mailbox: Mailbox, last: Frame) -> None:
        with self._arrived:
            mailbox.last = last
            self._arrived.notify_all()


def problem(error: BaseException) -> Frame:
    """`error` as the last frame of a stream. What was not raised on purpose is logged and told as an internal error."""
    if not isinstance(error, RakinglightError):
        log.error("a question failed", exc_info=error)
        error = InternalError(f"The worker failed with {type(error).__name__}; its log has the trace.")
    return Frame("problem", error.problem())


def encoded(frame: Frame) -> bytes:
    """The bytes of `frame`; of a problem, where it cannot be encoded."""
    try:
        return bytes(frame)
    except Exception as e:
        return bytes(problem(e))


def _to_look_at(best: Any) -> dict[str, Any]:
    """What progress brings of the best so far: the numbers of a map, or the pixels of a picture that is made."""
    if isinstance(best, Map):
        return {"map": best.map.numpy().astype("float32")}  # a copy: the algorithm may go on adding to its own
    image = best.image if isinstance(best, Inverted) else best
    if not hasattr(image, "numpy") or image.ndim != 3:
        return {}
    return {"picture": eight_bit.from_float(image.detach().numpy())}


def _due(seconds: float | None, since: float) -> bool:
    """Whether so many seconds are over; never where nobody wants to wait for it."""
    return seconds is not None and time.monotonic() - since >= seconds


def _answered_by(network: Network) -> dict[str, str | None]:
    return {
        "forward": network.forward.name,
        "gradient": network.gradient.name if network.gradient else None,
    }


def _patched_by(network: Network, cost: Cost) -> dict[str, str]:
    """How patched rows were answered, if there were any."""
    if not cost.patched_rows:
        return {}
    if network.patches and not cost.saved_rows:
        return {"patched": "whole passes: incremental ones pay for smaller patches alone"}
    return {"patched": network.patches_note}


def _described(network: Network) -> dict[str, Any]:
    ladders = {"forward": network.forward_ladder, "gradient": network.gradient_ladder}
    counts = {kind: list(ladder.counts) if ladder else [] for kind, ladder in ladders.items()}
    return {**_answered_by(network), "counts": counts}
