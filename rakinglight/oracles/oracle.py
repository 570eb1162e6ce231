"""An oracle: a model elsewhere, of which nothing can be had but answers, and each answer is paid for.

    rows ──> in the journal? ──> yes: the answer that it gave
                 └── no ──> noted as open ──> sent, and sent again ──> answered, noted

It is the same model all the time only if it says so: a share of what it has answered is asked again (canaries), and a
few at the end of every run.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rakinglight.card import Card, Tells
from rakinglight.errors import (
    BudgetSpent,
    CallerError,
    Conflict,
    Expired,
    InternalError,
    OracleAway,
    OracleChanged,
    OracleError,
    OracleFault,
    RakinglightError,
    RateLimited,
    TooLarge,
)
from rakinglight.oracles.dialect import MALFORMED, Dialect, Said
from rakinglight.oracles.journal import Counts, Journal, Sending
from rakinglight.oracles.line import Line
from rakinglight.views import first_alone

Array = np.ndarray[Any, Any]

log = logging.getLogger("rakinglight.oracle")

#: The share of the images asked that are canaries: asked again, to see whether the answer is still the same.
CANARIES = 0.01
#: Images that are asked again at once where one was answered otherwise, and when a journal is taken up again.
DOUBT, AT_FIRST = 8, 4
#: Images that are asked again at the end of a run, and at most one in so many of what the run asked: to look again at
#: the one image of a `classify` would tell nothing, and double its price.
AT_LAST, OF_EACH = 4, 10
#: Images answered otherwise from which on the oracle has changed. One alone may lie on the border between two classes,
#: where the rounding of another batch decides.
CHANGED = 2
#: Of what a journal knows of an oracle: the queries that were planned of its budget.
PLANNED = "max_queries"
#: The largest difference of a probability that is still the same answer: a view rounds to 0.01, and a service that has
#: noticed something to 0.1.
SAME = 0.06
#: Seconds for which an oracle that has failed is not asked by others who want to know something of it at that moment.
REST_S = 1.0


class Oracle:
    """What answers through `dialect`, over `line`, remembered in `journal`. From any number of threads.

    canaries  the share of the images asked that are asked again
    resumed   whether the journal knew it before this began
    recalled  images whose answer was in the journal before this began, and was taken from there
    tells     what it answers; found out by a grey image, which is noted and counted, where the dialect does not say
    """

    def __init__(
        self, dialect: Dialect, line: Line, journal: Journal | None = None, *, canaries: float = CANARIES
    ) -> None:
        self.dialect, self.line, self.canaries = dialect, line, canaries
        self.journal = journal or Journal()
        self.owns_journal = journal is None
        self._lock = threading.RLock()
        self._id = f"{type(dialect).__name__} {dialect.where} {dialect.card.name}"
        self._known = {
            "name": dialect.card.name,
            "input_shape": list(dialect.card.input_shape),
            "labels": hashlib.sha256(json.dumps(dialect.card.labels).encode()).hexdigest(),
        }
        self._trouble: tuple[RakinglightError, float] | None = None
        self._settled = False
        self._at_once = dialect.at_once
        self._disagreed: set[bytes] = set()
        self._here: set[bytes] = set()
        self._recalled: set[bytes] = set()
        self.counts = Counts()
        self._looked_at = 0
        self._told_as = False
        self._planned: int | None = None
        self.tells: Tells = "labels"
        self._meet()

    def __repr__(self) -> str:
        return f"<Oracle {self.card.name} at {self.dialect.where}: {self.counts}>"

    @property
    def card(self) -> Card:
        return replace(self.dialect.card, tells=self.tells, differentiable=False)

    @property
    def labels(self) -> tuple[str, ...]:
        return self.dialect.card.labels

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return self.dialect.card.input_shape

    @property
    def recalled(self) -> int:
        return len(self._recalled)

    @property
    def remaining(self) -> int | None:
        """Images that it will still answer, where it has said so."""
        return self.line.remaining

    def answer(self, rows: Array) -> Array:
        """The logits of `rows`, float32 [n, C, H, W] in [0, 1]: float64 [n, K].

        Those that it tells; or the logarithms of its probabilities; or where it tells labels, 0 for the class that it
        names and UNNAMED elsewhere. Raises OracleAway, OracleFault, OracleChanged, and what it refuses with, such as
        BudgetSpent: what was answered until then is in the journal, and is not asked again.
        """
        if rows.ndim != 4 or rows.shape[1:] != self.input_shape:
            raise InternalError(f"Rows of {rows.shape} do not fit {self.card.name}, which takes {self.input_shape}.")
        rows = self.dialect.as_sent(np.ascontiguousarray(rows, np.float32))
        images = [self._digest(row) for row in rows]
        with self._lock:
            self._rested()
            try:
                self._settle()
                unknown = {image: row for image, row in zip(images, rows, strict=True) if self._find(image) is None}
                self._recalled.update(set(images) - unknown.keys() - self._here)
                waiting = list(unknown.values())
                while waiting:
                    chunk, waiting = waiting[: self._at_once], waiting[self._at_once :]
                    try:
                        self._ask(Sending(uuid.uuid4().hex, np.stack(chunk)))
                    except TooLarge:  # for its limits, or for what the key may send in a minute
                        if len(chunk) == 1:
                            raise
                        self._at_once = len(chunk) // 2
                        waiting = chunk + waiting
                    else:
                        self._look_after(len(chunk))
            except (OracleAway, OracleError) as e:
                self._trouble = e, time.monotonic()
                raise
            return self._logits([self._find(image) for image in images])

    def plan(self, besides: int = 0) -> int | None:
        """Images that a run may ask, so that what it says it will still answer is enough, with the canaries.

        As it was when the journal first planned: a run that is taken up again has to be the same. What the journal
        knows already costs nothing, and counts as to be had. None where it says nothing.

        besides  images that are left for something else
        """
        with self._lock:
            if self._planned is None:
                self._settle()  # a journal that is taken up again sends its canaries, whose reply says what is left
            if self._planned is None and self.remaining is not None:
                known = max(0, self.counts.asked - 1)  # but for the grey one
                last = AT_LAST if self.canaries else 0
                due = self.counts.canaries - self.canaries * (self.counts.asked - known)
                # The largest m with m - known + m * canaries - those sent + the last few <= what is left.
                room = self.remaining - besides - last + due + known
                self._planned = max(0, math.floor(room / (1 + self.canaries)))
                self.journal.meet(self._id, {**self._known, "tells": self._tells, PLANNED: self._planned})
            return self._planned

    def end(self) -> None:
        """A run is over: see whether it is still who it was, before anybody believes the figures.

        Where its budget is used up or its key was stopped that cannot be seen, and the log says so. Raises
        OracleChanged, OracleAway and OracleFault.
        """
        with self._lock:
            asked, self._looked_at = self.counts.asked - self._looked_at, self.counts.asked
            n = min(AT_LAST, asked // OF_EACH) if self.canaries else 0
            if n <= 0:
                return
            left = n if self.remaining is None else min(n, self.remaining)
            try:
                if left:
                    self._look_again(left)
                    return
            except (BudgetSpent, RateLimited):
                pass
            except (OracleAway, OracleError) as e:
                self._trouble = e, time.monotonic()
                raise
            log.warning(
                "%s could not be asked at the end whether it is still the same model: it answers this key no more.",
                self.line.called,
            )

    def close(self) -> None:
        """Hang up, now: who waits for an answer is told so."""
        self.line.close()
        if self.owns_journal:
            with self._lock:
                self.journal.close()

    # ── what it is ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _meet(self) -> None:
        """Know what it tells: from the journal, from its dialect, or by asking."""
        known = self.journal.card(self._id)
        self.resumed = known is not None
        if known is None:
            tells = self.dialect.tells
            self.journal.meet(self._id, {**self._known, "tells": tells})
            known = {**self._known, "tells": tells}
        self.counts = self.journal.counts(self._id)
        self._looked_at = self.counts.asked
        self._planned = known.get(PLANNED)
        if {name: value for name, value in known.items() if name not in ("tells", PLANNED)} != self._known:
            raise OracleChanged(
                f"{self.line.called} has another input or other classes than when {self.journal.path} was begun; "
                "begin a new journal."
            )
        self._tells: Tells | None = known["tells"]
        if self._tells is None:
            with self._lock:
                grey = np.full((1, *self.input_shape), 0.5, np.float32)
                self.answer(grey)
        assert self._tells is not None
        self.tells = self._tells

    # ── asking ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _settle(self) -> None:
        """Have the requests answered that were open when the last process ended; see whether it is who it was."""
        if self._settled:
            return
        before = self.journal.answered(self._id)
        for sending in self.journal.open(self._id, self.input_shape):
            self.counts.lost += len(sending.pixels)
            try:
                self._carry(sending)
            except (Conflict, Expired):  # it knows this key by another body, or had the answer and has it no more
                continue
        self._settled = True
        if before and self.canaries:
            self._look_again(AT_FIRST)

    def _ask(self, sending: Sending) -> Array:
        self.journal.begin(self._id, sending)
        return self._carry(sending)

    def _carry(self, sending: Sending) -> Array:
        """Send `sending` until it is answered, and note the answers [n, ...]. Where it is refused, nothing is open."""
        n = len(sending.pixels)

        def again(lost: bool) -> None:
            if lost:
                self.counts.lost += n
            else:
                self.counts.retried += n

        try:
            body = self.line.json(self.dialect.request(sending.pixels, sending.key), again)
            said = self._read(body, n)
        except CallerError:
            self.journal.drop(sending)
            self.journal.count(self._id, self.counts)
            raise
        except RakinglightError:
            if not self.line.uncertain:  # turned away every time: nothing of it was answered
                self.journal.drop(sending)
            self.journal.count(self._id, self.counts)
            raise
        values = self._values(said)
        if sending.canary:
            self.counts.canaries += n
        else:
            self.counts.asked += n
        images = [self._digest(row) for row in sending.pixels]
        if not sending.canary:
            self._here.update(images)
        self.journal.finish(self._id, sending, images, [value.tobytes() for value in values], self.counts)
        return values

    def _read(self, body: Any, n: int) -> Said:
        try:
            said = self.dialect.read(body, n)
        except OracleFault as e:
            raise OracleFault(self.line.clean(f"{self.line.called}: {e.detail}")) from None
        except MALFORMED:
            raise OracleFault(f"{self.line.called} answers JSON of another form than it should.") from None
        if self._tells is None:
            self._tells = said.shown
            self.journal.meet(self._id, {**self._known, "tells": self._tells})
        return said

    def _values(self, said: Said) -> Array:
        """What is noted: int32 [n], or float64 [n, K]."""
        less = {"labels": ("probabilities", "logits"), "probabilities": ("logits",)}.get(self._tells or "", ())
        if said.shown in less and self.resumed and not self._told_as:
            self._told_as = True
            log.warning(
                "%s tells %s, and its answers are told as %s by the journal %s; begin a new journal for more.",
                self.line.called,
                said.shown,
                self._tells,
                self.journal.path,
            )
        if self._tells == "labels":
            return said.labels.astype(np.int32)
        if said.scores is None or (self._tells == "logits" and said.tells == "probabilities"):
            now = "labels alone" if said.scores is None else said.tells
            raise OracleChanged(
                f"{self.line.called} told {self._tells} when it was first asked, and tells {now} now. What it "
                "answered until then is kept. Ask again when its view is what it was, or begin a new journal."
            )
        scores = said.scores
        if self._tells == "probabilities" and said.tells == "logits":
            scores = _softmax(scores)
        if self._tells == "probabilities" and not ((scores >= -1e-6) & (scores <= 1 + 1e-6)).all():
            raise OracleFault(f"{self.line.called} answers a probability outside of [0, 1].")
        return np.ascontiguousarray(scores, np.float64)

    # ── whether it is who it was ────────────────────────────────────────────────────────────────────────────────────

    def _look_after(self, asked: int) -> None:
        """Send the canaries that are due after so many more images."""
        due = math.floor(self.counts.asked * self.canaries) - self.counts.canaries
        if due > 0:
            self._look_again(min(due, asked))

    def _look_again(self, n: int) -> None:
        """Ask again about `n` images that it has answered. Raises OracleChanged."""
        if not self._canaries(n):
            return
        if len(self._disagreed) < CHANGED:
            self._canaries(DOUBT)
        there = len(self.journal.kept(self._id))
        if len(self._disagreed) >= min(CHANGED, there):
            raise OracleChanged(
                f"{self.line.called} answers {len(self._disagreed)} images otherwise than before: another model is "
                f"there now, or its answers are random. The {self.journal.answered(self._id)} answers until then are "
                "kept. Ask again when it is as it was, or begin a new journal."
            )

    def _canaries(self, n: int) -> bool:
        """Ask the next `n` of the kept images again, and note which it answers otherwise. Whether one was."""
        kept = self.journal.kept(self._id)
        first = self.counts.canaries
        chosen = [kept[(first + i) % len(kept)] for i in range(min(n, len(kept)))]
        differing: set[bytes] = set()
        for chunk in _chunks(chosen, self._at_once):
            pixels = np.stack([self.journal.pixels(self._id, image).reshape(self.input_shape) for image in chunk])
            values = self._ask(Sending(uuid.uuid4().hex, pixels, canary=True))
            logits = self._logits([value.tobytes() for value in values])
            before = self._logits([self._find(image) for image in chunk])
            differing |= {
                image for image, now, was in zip(chunk, logits, before, strict=True) if self._differ(now, was)
            }
        self._disagreed |= differing
        return bool(differing)

    # ── small things ────────────────────────────────────────────────────────────────────────────────────────────────

    def _digest(self, row: Array) -> bytes:
        return hashlib.sha256(np.ascontiguousarray(row, np.float32).tobytes()).digest()

    def _find(self, image: bytes) -> bytes | None:
        return self.journal.find(self._id, image)

    def _logits(self, answers: Sequence[bytes | None]) -> Array:
        """[n, K] of what was noted."""
        raw = b"".join(answer or b"" for answer in answers)
        n, K = len(answers), len(self.labels)
        if self._tells == "labels":
            return first_alone(np.frombuffer(raw, np.int32), K)
        scores = np.frombuffer(raw, np.float64).reshape(n, K)
        if self._tells == "logits":
            return scores.copy()
        return np.log(np.maximum(scores, np.finfo(np.float32).tiny))

    def _differ(self, now: Array, was: Array) -> bool:
        """Whether two answers [K] are not the same: their probabilities are apart by more than rounding makes them."""
        p = np.exp if self._tells == "probabilities" else _softmax  # what was rounded does not sum to one
        return bool(np.abs(p(now) - p(was)).max() > SAME)

    def _rested(self) -> None:
        """Raise what it failed with a moment ago, so that not everybody who waits waits as long again."""
        if self._trouble is None:
            return
        error, at = self._trouble
        if isinstance(error, OracleChanged) or time.monotonic() - at < REST_S:
            raise type(error)(error.detail, retry_after_s=error.retry_after_s)
        self._trouble = None


def _chunks(items: list[Any], size: int) -> list[list[Any]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _softmax(z: Array) -> Array:
    e = np.exp(z - z.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))
