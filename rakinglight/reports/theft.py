"""The page of `rakinglight steal`: what it took to steal a model, and what that was worth.

`Findings` is what was measured; `Theft` is the same in the words and charts of the page. Every sentence here follows
from figures of the reply, and says so little where these say little.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

from rakinglight.audit.statistics import CONFIDENCE
from rakinglight.audit.statistics import share as share_of
from rakinglight.parameters import as_fraction
from rakinglight.reports import percent, rendered
from rakinglight.reports.lines import STYLES, Chart, Line, Point

Share = Mapping[str, Any]

#: What each view shows, and what a thief can learn from it.
VIEWS = {
    "label": ("label: the first class alone", "hard labels"),
    "top_k": ("top_k: the best classes with their probabilities", "hard labels"),
    "rounded": ("rounded: every probability, to two decimals", "soft labels"),
    "full": ("full: every probability", "soft labels"),
}
#: How what a model tells is said in words.
TELLS = {
    "labels": "labels: the first class alone",
    "probabilities": "the probability of every class",
    "logits": "the logit of every class",
}
#: What ended the attack.
STOPPED = {
    "rounds": "It ended after the last round.",
    "queries": "It ended at the limit of queries that it was given.",
    "budget": "It ended where the key's budget was spent.",
    "deadline": "It ended where time ran out, and these are the figures of what was reached by then.",
    "rows": "It ended where the rows that it was given ran out, and these are the figures of what was reached by then.",
}
ATTACKS = {"fgsm": "FGSM", "pgd": "PGD", "fgsm_targeted": "FGSM at a target", "pgd_targeted": "PGD at a target"}


@dataclass(frozen=True)
class Sample:
    """One image that fooled the model, or did not: pictures as PNG, and what was said of them."""

    clean: bytes
    adversarial: bytes
    change: bytes
    factor: int
    oracle: tuple[str, str]
    substitute: tuple[str, str]
    small: bool = True


@dataclass(frozen=True)
class Watch:
    """What a detector made of the queries of the training, in the order in which they were sent.

    alarm_at  the number of the query at which it first alarmed; None where it never did
    scores    (number of the query, score) along the way, and `limit`, the score at which it alarms
    sent, sent_alarm_at    how many there were with those to judge and the control, and where it alarmed among all of
              them; None where that was not looked at
    """

    name: str
    meaning: str
    queries: int
    alarm_at: int | None
    scores: Sequence[tuple[int, float]] = ()
    limit: float | None = None
    sent: int | None = None
    sent_alarm_at: int | None = None


@dataclass(frozen=True)
class Priced:
    """The same attack where the model tells less, or is defended.

    curve    as a reply has it; empty where `unknown` says why there is none
    """

    name: str
    learns_from: str
    curve: Sequence[Mapping[str, Any]] = ()
    unknown: str = ""


@dataclass(frozen=True)
class Searched:
    """A query attack, for each image the queries that it took; None where it did not succeed within `queries`."""

    name: str
    method: str
    queries: int = 0
    needed: Sequence[int | None] = ()
    unknown: str = ""


@dataclass(frozen=True)
class Findings:
    """All that was measured.

    reply        of `substitute`
    host         where the model was asked; "this process" where it was here
    exposed      what else is known of what was shown, as (name, words)
    asked        what the journal had counted after the attack, over all its sessions: asked, canaries, lost, retried;
                 empty where nothing was sent anywhere
    sampled      pictures that the model was asked about for the samples
    commands     that repeat the comparison
    not_watched  why there is no `watched`
    """

    reply: Mapping[str, Any]
    made_at: str
    command: str
    host: str
    exposed: Sequence[tuple[str, str]] = ()
    asked: Mapping[str, int] = field(default_factory=dict)
    samples: Sequence[Sample] = ()
    sampled: int = 0
    watched: Sequence[Watch] = ()
    not_watched: str = ""
    priced: Sequence[Priced] = ()
    searched: Sequence[Searched] = ()
    not_priced: str = ""
    commands: Sequence[str] = ()


def page(findings: Findings) -> str:
    """The report as HTML."""
    return rendered("theft.html", theft=Theft(findings))


class Theft:
    """What the page says, in order."""

    def __init__(self, findings: Findings) -> None:
        self._found = findings
        self._summary: Mapping[str, Any] = findings.reply["summary"]
        self.made_at = findings.made_at
        self.command = findings.command
        self.model: str = findings.reply["model"]["name"]
        self._curve: Sequence[Mapping[str, Any]] = self._summary["curve"]
        self._control: Sequence[Mapping[str, Any]] = self._summary.get("random_sign") or ()
        self._white: Mapping[tuple[str, float], Share] = dict(
            _cells({"transfer": self._summary.get("white_box") or ()})
        )
        last = self._curve[-1]
        self.held_out: int = last["agreement"]["of"]
        self._cells = dict(_cells(_judged(self._curve)))
        self._main = _main(self._cells)
        self.main_attack, self.main_epsilon = _named(*self._main), as_fraction(self._main[1])

    # ── first of all ────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def verdict(self) -> str:
        last = self._curve[-1]
        return (
            f"{last['queries']:,} queries bought a substitute that says what {self.model} says on "
            f"{percent(last['agreement']['value'])} of {self.held_out} images that it had not seen."
        )

    @property
    def leads(self) -> list[str]:
        return [self._transferred, *([self._noticed] if self._found.watched else [])]

    @property
    def _transferred(self) -> str:
        share = self._cells.get(self._main)
        if share is None:
            return "What fools the substitute was not tried on the model: there were no queries left for it."
        if share["value"] is None:
            return f"{self.model} had none of the images right, so that nothing could be said to fool it."
        words = (
            f"Adversarial images made on the substitute, which costs no query, fool the model itself: "
            f"{self.main_attack} on {percent(share['value'])} of the {share['of']} images that it had right"
        )
        control = dict(_cells(_judged(self._control))).get(self._main)
        if not control or control["value"] is None:
            return f"{words}."
        if not _more(share, control):
            beside = f"The control of random signs fools it on {percent(control['value'])}"
            return f"{words}. {beside}: so few images do not tell the two apart."
        times = f"{share['value'] / control['value']:.1f} times " if control["value"] else ""
        random = f"{percent(control['value'])} of the control of random signs"
        return f"{words}. That is {times}the {random}, at as many queries."

    @property
    def _noticed(self) -> str:
        said = [f"{one.name} {_alarmed(one.alarm_at, one.queries)}" for one in self._found.watched]
        words = f"Of the training queries alone: {'; '.join(said)}."
        more = [one for one in self._found.watched if one.sent is not None and one.sent > one.queries]
        if not more:
            return words
        said = [f"{one.name} {_alarmed(one.sent_alarm_at, one.sent or 0)}" for one in more]
        return f"{words} Of all that was asked, to judge and for the control too: {'; '.join(said)}."

    @property
    def figures(self) -> list[dict[str, str]]:
        last, share = self._curve[-1], self._cells.get(self._main)
        made = [
            (f"{last['queries']:,}", "queries to train the substitute"),
            (percent(last["agreement"]["value"]), "agreement with the model, held out"),
        ]
        if share and share["value"] is not None:
            made.append((percent(share["value"]), f"fooled by {self.main_attack}, made on the substitute"))
        if self._main in self._white and self._white[self._main]["value"] is not None:
            made.append((percent(self._white[self._main]["value"]), "the same, made on the model itself"))
        alarms = [one.alarm_at for one in self._found.watched if one.alarm_at]
        if self._found.watched:
            made.append((f"{min(alarms):,}" if alarms else "never", "training query at which a detector first alarms"))
        return [{"value": value, "meaning": meaning} for value, meaning in made]

    # ── what was there ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def exposed(self) -> list[tuple[str, str]]:
        return [("Asked at", self._found.host), *self._found.exposed]

    @property
    def spent(self) -> list[dict[str, Any]]:
        queries, asked = self._summary["queries"], self._found.asked
        rows = [
            (queries.get("training"), "training: what the substitute learnt from. This is what the theft cost"),
            (queries.get("evaluation"), "evaluation: held-out and adversarial images, for the figures below"),
            (queries.get("control"), "the control of random signs, for comparison"),
            (asked.get("asked"), "of the journal, over all its sessions: images whose answer arrived, each once"),
            (asked.get("canaries"), "of the journal: canaries, asked once more to tell whether the model changed"),
            (asked.get("lost"), "of the journal: sent again because an answer was lost on the way"),
            (asked.get("retried"), "of the journal: sent again because they had been turned away, or never arrived"),
            (sum(asked.values()) if asked else None, "of the journal, in all: what was sent until the attack was over"),
        ]
        return [{"images": images, "purpose": purpose} for images, purpose in rows if images is not None]

    @property
    def stopped(self) -> str:
        return STOPPED.get(self._summary.get("stopped_by", ""), "")

    # ── curves ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def agreement(self) -> Chart:
        lines = [Line("the substitute", _points(self._curve, _agreement), 0)]
        if self._control:
            lines.append(Line("control: random signs", _points(self._control, _agreement), 1))
        return Chart("Agreement with the model", "queries", lines, nearer=True)

    @property
    def transfers(self) -> list[Chart]:
        """The main attack at each epsilon, against queries."""
        epsilons = [epsilon for attack, epsilon in self._cells if attack == self._main[0]]
        return [chart for epsilon in epsilons if (chart := self._transfer(self._main[0], epsilon))]

    def _transfer(self, attack: str, epsilon: float) -> Chart | None:
        def of(row: Mapping[str, Any]) -> Share | None:
            return dict(_cells(row)).get((attack, epsilon))

        lines = [Line("made on the substitute", _points(self._curve, of), 0)]
        lines += [Line("made on the control", _points(self._control, of), 1)] if self._control else []
        white = self._white.get((attack, epsilon))
        if white and white["value"] is not None:
            lines.append(Line("made on the model itself", [Point(0, white["value"])], 2, level=True))
        lines = [line for line in lines if line.points]
        return Chart(f"Fooled by {_named(attack, epsilon)}", "queries", lines) if lines else None

    @property
    def rounds(self) -> list[dict[str, Any]]:
        control = {row["queries"]: row for row in self._control}
        return [
            {
                "queries": row["queries"],
                "agreement": row["agreement"],
                "control_agreement": control.get(row["queries"], {}).get("agreement"),
                "transfer": dict(_cells(row)).get(self._main),
                "control_transfer": dict(_cells(control.get(row["queries"]))).get(self._main),
            }
            for row in self._curve
        ]

    @property
    def by_epsilon(self) -> list[dict[str, Any]]:
        control = dict(_cells(_judged(self._control)))
        return [
            {
                "attack": ATTACKS.get(attack, attack),
                "epsilon": as_fraction(epsilon),
                "substitute": share,
                "control": control.get((attack, epsilon)),
                "white_box": self._white.get((attack, epsilon)),
            }
            for (attack, epsilon), share in self._cells.items()
        ]

    @property
    def white_box_words(self) -> str:
        if self._white:
            return "On the model itself is what an attacker with its weights would reach."
        note = self._summary.get("white_box_note") or "it answers no gradients."
        return f"What an attacker with the model's weights would reach is not known here: {note}"

    # ── images ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def samples_words(self) -> str:
        return (
            "Held-out images that the model had right, one of a class and drawn by the seed, and what "
            f"{self.main_attack} makes of them on the substitute. Where none of them fools the model, one that does is "
            "looked for among as many more. The model was asked about "
            f"{self._found.sampled or len(self._found.samples)} pictures besides all that is counted here."
        )

    @property
    def samples(self) -> list[dict[str, Any]]:
        return [
            {
                **{name: _data(getattr(sample, name)) for name in ("clean", "adversarial", "change")},
                "factor": sample.factor,
                "drawn": "pixels" if sample.small else "",
                "oracle_before": sample.oracle[0],
                "oracle_after": sample.oracle[1],
                "substitute_before": sample.substitute[0],
                "substitute_after": sample.substitute[1],
            }
            for sample in self._found.samples
        ]

    # ── noticing ────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def watched(self) -> list[dict[str, Any]]:
        return [
            {
                "name": one.name,
                "meaning": one.meaning,
                "queries": one.queries,
                "alarm_at": one.alarm_at,
                "worth": self._worth(one.alarm_at),
                "sent": one.sent,
                "sent_alarm_at": one.sent_alarm_at,
                "chart": _scores(one),
            }
            for one in self._found.watched
        ]

    def _worth(self, alarm_at: int | None) -> str:
        """How good the substitute was when it was noticed: after the last round that was over by then."""
        if alarm_at is None:
            return "–"
        over = [row for row in self._curve if row["queries"] <= alarm_at]
        return percent(over[-1]["agreement"]["value"]) if over else "nothing yet: no round was over"

    @property
    def watched_words(self) -> str:
        if not self._found.watched:
            return self._found.not_watched or "The queries were not kept, so no detector has seen them."
        return (
            "The detectors were run over the recorded queries of the training, in order, as one key would have sent "
            "them; and once more over all that was asked, with the pictures to judge by and the control, but for "
            "canaries. What watches a key sees the latter; an attacker who judges nothing sends the former. "
            "Who spreads them over many keys, or mixes them with ordinary images, is noticed later or not at all."
        )

    # ── what else it might have cost ────────────────────────────────────────────────────────────────────────────────

    @property
    def goal(self) -> float:
        """An agreement that the views are compared by: a little less than what was reached here."""
        return int(100 * max(0.5, 0.95 * self._curve[-1]["agreement"]["value"])) / 100

    @property
    def priced_words(self) -> str:
        if not self._found.priced and not self._found.searched:
            return self._found.not_priced or "That was not measured: --compare-views does."
        return self._found.not_priced or (
            "The same attack with the same seed where the model would have shown less or more, or had been defended. "
            "Fewer figures shown is a higher price, not a wall."
        )

    @property
    def priced(self) -> list[dict[str, Any]]:
        return [
            {
                "name": one.name,
                "learns_from": one.learns_from,
                "unknown": one.unknown,
                "queries": one.curve[-1]["queries"] if one.curve else None,
                "agreement": one.curve[-1]["agreement"] if one.curve else None,
                "transfer": dict(_cells(_judged(one.curve))).get(self._main),
                "until": self._until(one.curve),
            }
            for one in self._found.priced
        ]

    def _until(self, curve: Sequence[Mapping[str, Any]]) -> str:
        reached = [row["queries"] for row in curve if (row["agreement"]["value"] or 0) >= self.goal]
        return f"{reached[0]:,}" if reached else "not reached"

    @property
    def priced_chart(self) -> Chart | None:
        known = [one for one in self._found.priced if one.curve][:STYLES]
        lines = [Line(one.name, _points(one.curve, _agreement), style) for style, one in enumerate(known)]
        return Chart("Agreement by what is shown", "queries", lines, nearer=True) if len(lines) > 1 else None

    @property
    def query_charts(self) -> list[Chart]:
        """The share of images that each query attack has fooled after so many queries."""
        lines = []
        for style, one in enumerate([one for one in self._found.searched if not one.unknown][:STYLES]):
            lines.append(Line(f"{one.name}: {one.method}", list(_risen(one)), style))
        return [Chart("Fooled without a substitute", "queries an image", lines)] if lines else []

    @property
    def searched(self) -> list[dict[str, Any]]:
        return [
            {
                "name": one.name,
                "method": one.method,
                "unknown": one.unknown,
                "queries": one.queries,
                "fooled": None if one.unknown else share_of([n is not None for n in one.needed]),
                "median": _median([n for n in one.needed if n is not None]),
            }
            for one in self._found.searched
        ]

    @property
    def searched_on(self) -> int:
        return max((len(one.needed) for one in self._found.searched), default=0)

    @property
    def priced_commands(self) -> Sequence[str]:
        return self._found.commands

    @property
    def limits(self) -> list[str]:
        seeds = self._summary.get("seeds")
        one_run = (
            f"One run, with one seed and {seeds} images to begin with: another seed gives other figures, and so would "
            "an attacker with more images, a better architecture or more patience. These figures are what was reached, "
            "not what can be."
        )
        likely = "Agreement is counted on images like those that were given. Elsewhere the two may differ."
        said = [one_run, likely]
        if not self._white:
            said.append(
                "The model answered no gradients, so how near this comes to an attack on the model itself is unknown."
            )
        return said


# ── reading a reply ─────────────────────────────────────────────────────────────────────────────────────────────────


def _cells(row: Mapping[str, Any] | None) -> Iterable[tuple[tuple[str, float], Share]]:
    """((attack, epsilon), share) of all that a row of the curve says of transfer."""
    for at in (row or {}).get("transfer", ()):
        yield (f"{at['attack']}_targeted" if at["targeted"] else at["attack"], at["epsilon"]), at["fooled"]


def _judged(curve: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The last row of a curve after which adversarial images were tried: queries may be too few to do so every time."""
    return next((row for row in reversed(curve) if row["transfer"]), None)


def _main(cells: Mapping[tuple[str, float], Share]) -> tuple[str, float]:
    """The attack and epsilon that the page leads with: FGSM, where it was tried, at the smallest epsilon."""
    return min(cells, key=lambda cell: (list(ATTACKS).index(cell[0]), cell[1]), default=("fgsm", 0.0))


def _alarmed(alarm_at: int | None, queries: int) -> str:
    return "would not have noticed" if alarm_at is None else f"would have alarmed at query {alarm_at:,} of {queries:,}"


def _named(attack: str, epsilon: float) -> str:
    return f"{ATTACKS.get(attack, attack)} at {as_fraction(epsilon)}"


def _agreement(row: Mapping[str, Any]) -> Share:
    share: Share = row["agreement"]
    return share


def _points(curve: Sequence[Mapping[str, Any]], of: Any) -> list[Point]:
    found = [(row["queries"], of(row)) for row in curve]
    return [Point(n, s["value"], s["low"], s["high"]) for n, s in found if s and s["value"] is not None]


def _more(share: Share, other: Share) -> bool:
    """Whether a share is more than another by more than chance makes it in one of 40 (two proportions, pooled)."""
    n, m = share["of"], other["of"]
    pooled = (share["count"] + other["count"]) / (n + m)
    spread = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return bool(share["value"] - other["value"] > NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * spread)


# ── the parts of it ─────────────────────────────────────────────────────────────────────────────────────────────────


def _risen(one: Searched) -> Iterable[Point]:
    """The share that is fooled by each number of queries at which there is one more."""
    needed = sorted(n for n in one.needed if n is not None)
    yield Point(0, 0)
    for i, n in enumerate(needed, 1):
        yield Point(n, (i - 1) / len(one.needed))
        yield Point(n, i / len(one.needed))
    yield Point(one.queries, len(needed) / len(one.needed))


def _median(needed: Sequence[int]) -> str:
    return f"{sorted(needed)[len(needed) // 2]:,}" if needed else "–"


def _scores(one: Watch) -> Chart | None:
    """A detector's score along the queries, with its limit."""
    if len(one.scores) < 2:
        return None
    lines = [Line("its score", [Point(n, score) for n, score in one.scores], 0)]
    if one.limit is not None:
        lines.append(Line("where it alarms", [Point(0, one.limit)], 3, level=True))
    mark = (float(one.alarm_at), "alarm") if one.alarm_at else None
    return Chart(one.name, "queries", lines, share=False, mark=mark)


def _data(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
