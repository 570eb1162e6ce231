"""The command `rakinglight steal`: the substitute attack from beginning to end, and the page that says what it took.

    rakinglight steal lenet5-digits digits/ --local --report page.html
    rakinglight steal lenet5-digits digits/ --black-box http://127.0.0.1:8000 --max-queries 1600 --out stolen

It is the operation `substitute` with what belongs around it: where the images come from, what is kept, how to go on
after Ctrl-C, the detectors, and what other views would have cost.
"""

from __future__ import annotations

import inspect
import json
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rakinglight import defenses, reply
from rakinglight.catalogue import operation
from rakinglight.cli_images import Given, read_images, true_labels
from rakinglight.client import Client
from rakinglight.defenses import Chain
from rakinglight.errors import (
    BadParameter,
    BudgetSpent,
    DeadlineExceeded,
    OracleAway,
    OracleError,
    RakinglightError,
    RateLimited,
)
from rakinglight.images import decode
from rakinglight.jobs import ServiceJob
from rakinglight.options import options, taken_apart, value
from rakinglight.over_classify import BlackBox as BlackBox_
from rakinglight.parameters import as_fraction
from rakinglight.reports.samples import SAMPLED
from rakinglight.reports.theft import TELLS, Findings, Watch, page
from rakinglight.results import Share, is_reference
from rakinglight.substitutes.allowance import check_allowance
from rakinglight.tables import table
from rakinglight.terminal import (
    AsJson,
    Authorised,
    BlackBox,
    Deadline,
    JournalFile,
    KeyFile,
    Local,
    Seed,
    TargetFile,
    Url,
    client_of,
    echo_json,
    followed,
    print_table,
    say,
    taught,
    whole_of,
)
from rakinglight.views import TELLS as SIMULATED

if TYPE_CHECKING:
    from rakinglight.reports.recording import Recording

ModelArgument = Annotated[str, typer.Argument(help="The model to steal.", show_default=False)]
Sources = Annotated[
    list[Path],
    typer.Argument(
        help="Images: files, a folder or a zip by class, or an NPZ. Some are the attacker's, the others are held out.",
        show_default=False,
    ),
]
Report = Annotated[Path | None, typer.Option("--report", help="Write the report as one HTML file that opens anywhere.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="A folder for what was stolen: the substitute as an archive, and the reply."),
]
View = Annotated[
    str | None,
    typer.Option(
        "--view",
        metavar="label|rounded|full",
        help="With --local: look at the model as a key with this view would. Then it answers no gradients.",
    ),
]
CompareViews = Annotated[
    bool | None,
    typer.Option(
        "--compare-views/--no-compare-views",
        help="For the report, measure what each view would have cost: up to three times the attack, and searches on "
        "ten images. By default with --local; of a black box it takes as many queries more.",
        show_default="with --local and --report",
    ),
]
Defended = Annotated[
    str | None,
    typer.Option(
        "--defended", help="With --compare-views: a defended model of the same classes.", show_default="MODEL-robust"
    ),
]
Defense = Annotated[
    list[str] | None,
    typer.Option(
        "--defense",
        help="With --compare-views: what an image passes before this model sees it, in this order: names, or objects "
        "with a name. The same attack is made on the model behind that.",
        metavar="<list>",
        callback=taken_apart(value),
        show_default=False,
    ),
]
#: What may be otherwise when the same command is given again.
GOES_ON = (OracleAway, OracleError, BudgetSpent, RateLimited, DeadlineExceeded)
#: Seconds that an attack may take that nobody else waits for.
PATIENT_S = 7 * 86_400.0


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    help_ = "Steal a model by asking it: train a substitute, fool the model with it, and report what that took."
    app.command("steal", help=help_)(_command())


def _command() -> Callable[..., None]:
    """The command, with an option for each of the operation's parameters."""

    def steal(
        context: typer.Context,
        model: ModelArgument,
        images: Sources,
        *,
        report: Report = None,
        out: Out = None,
        compare_views: CompareViews = None,
        defended: Defended = None,
        defense: Defense = None,
        view: View = None,
        seed: Seed = 0,
        deadline: Deadline = None,
        url: Url = "http://127.0.0.1:8000",
        key_file: KeyFile = None,
        local: Local = False,
        black_box: BlackBox = None,
        target_file: TargetFile = None,
        authorised: Authorised = False,
        journal: JournalFile = None,
        as_json: AsJson = False,
        **given: Any,
    ) -> None:
        elsewhere = bool(black_box or target_file)
        if elsewhere and journal is None:
            journal = (out or Path()) / f"{model}.journal"
        with taught(context, _farewell(local=local, journal=journal)):
            _check(local=local, elsewhere=elsewhere, view=view, compare_views=compare_views, report=report, out=out)
            wanted = local and view is None and report is not None if compare_views is None else compare_views
            chain = _chain(defense)
            if (defended or chain) and not wanted:
                name = "--defense" if chain else "--defended"
                raise BadParameter(f"{name} is priced where views are; give --report FILE.html and --compare-views.")
            taken = read_images(images)
            parameters = {name: value for name, value in given.items() if value not in (None, [])}
            if "labels" not in parameters and (labels := true_labels(taken)):
                parameters["labels"] = labels
            stealing = operation("substitute")
            _check_images(taken, stealing.read(stealing.method(None), parameters).model_dump())
            if journal:
                journal.parent.mkdir(parents=True, exist_ok=True)
            asked = {**parameters, "seed": seed, "deadline_s": deadline if elsewhere or local else None}
            if elsewhere or local:
                asked["deadline_s"] = deadline or PATIENT_S
            how = (url, key_file, local, black_box)
            with client_of(*how, target=target_file, authorised=authorised, journal=journal) as client:
                theft = Stealing(client, model, taken, asked, service=not (local or elsewhere))
                if view:
                    theft = theft.through(view)
                with _resumable(journal):
                    if elsewhere and "max_queries" not in parameters:
                        theft.plan(SAMPLED if report else 0)
                    answers = theft.answers(watch=report is not None)
                counts = theft.counts  # before the page asks more
                if left := theft.left(answers):
                    typer.echo(left, err=True)
                files = _kept(answers, model, out)
                if report:
                    compared = theft.compared(answers, defended, chain) if wanted else {}
                    how_typed = {"command": _typed(context), "host": _host(local, context)}
                    found = theft.findings(answers, compared, counts, **how_typed)
                    report.parent.mkdir(parents=True, exist_ok=True)
                    report.write_text(page(found), encoding="utf-8")
                    files["report"] = str(report)
            _show(whole_of(answers), files, as_json=as_json)

    own = dict(inspect.signature(steal, eval_str=True).parameters)
    del own["given"]
    taken = {f"--{name.replace('_', '-')}" for name in own}
    stealing = operation("substitute")
    set_ = options(stealing, taken=taken)
    first = [own.pop(name) for name in ("context", "model", "images")]
    steal.__signature__ = inspect.Signature([*first, *set_, *own.values()])  # type: ignore[attr-defined]
    return steal


class Stealing:
    """One theft: what is asked of whom, and what is made of the answers.

    service  whether a service does the work, as a job
    """

    def __init__(
        self, client: Client, model: str, taken: Sequence[Given], asked: Mapping[str, Any], *, service: bool
    ) -> None:
        self.client = client
        self.model = model
        self.taken = taken
        self.asked = dict(asked)
        self.service = service
        self.recording: Recording | None = None

    def through(self, view: str) -> Stealing:
        """The same, of the model as a key with `view` sees it."""
        from rakinglight.reports.views import through

        return Stealing(through(view, self.client), self.model, self.taken, self.asked, service=False)

    def plan(self, besides: int) -> None:
        """Take as many queries as the black box says it will answer, and say so; it may say nothing.

        besides  images that are left for the page
        """
        transport = self.client._transport
        assert isinstance(transport, BlackBox_)
        oracle = transport.oracle(self.model)
        queries = oracle.plan(besides)
        if queries is None:
            return
        if queries < len(self.taken):
            raise BadParameter(
                f"{oracle.line.called} answers this key {oracle.remaining or 0:,} images more, and to label "
                f"{len(self.taken):,} takes as many, and canaries; have it topped up, or give fewer images."
            )
        left = f", {besides} pictures of the page" if besides else ""
        typer.echo(f"--max-queries is {queries:,}: what the key has left, less the canaries{left}.", err=True)
        self.asked["max_queries"] = queries

    @property
    def images(self) -> list[Any]:
        return [one.image for one in self.taken]

    def answers(self, *, watch: bool) -> list[Any]:
        """The answers, one an image; progress is shown to whoever sits there.

        watch  whether the queries are to be kept, for the detectors
        """
        if self.service:
            job = self.client.model(self.model).submit("substitute", self.images, **self.asked)
            assert isinstance(job, ServiceJob)
            say(f"rakinglight jobs watch {job.id} waits for it too.")
            try:
                return self._followed(job.events())
            except KeyboardInterrupt:
                typer.echo(f"{job.id} goes on. Come back with: rakinglight jobs watch {job.id}", err=True)
                raise
        client = self.client
        if watch:
            from rakinglight.reports.recording import recorded

            client, self.recording = recorded(client)
        try:
            return self._followed(client.model(self.model).stream("substitute", self.images, **self.asked))
        finally:
            if watch:
                client.close()

    def _followed(self, news: Iterator[Any]) -> list[Any]:
        if sys.stderr.isatty():
            found: list[Any] = followed(news, "substitute", lambda _: self.model)
            return found
        *_, last = news
        return list(last)

    @property
    def counts(self) -> dict[str, int]:
        """What the journal has counted so far, over all its sessions, where anything was sent."""
        oracles = getattr(self.client._transport, "oracles", ())
        names = ("asked", "canaries", "lost", "retried")
        return {name: sum(getattr(oracle.counts, name) for oracle in oracles) for name in names} if oracles else {}

    def left(self, answers: Sequence[Any]) -> str:
        """What there is to say of a budget that ended the attack and is not used up; "" where there is nothing."""
        oracles = getattr(self.client._transport, "oracles", ())
        left = sum(oracle.remaining or 0 for oracle in oracles)
        if whole_of(answers)["summary"]["stopped_by"] != "budget" or not left:
            return ""
        return (
            f"{left} images of its budget are left: the next request was larger, and such a one is refused whole. "
            "--max-queries divides a budget between learning and judging beforehand."
        )

    def compared(self, answers: Sequence[Any], defended: str | None, chain: Chain) -> dict[str, Any]:
        """What other views and defences would have cost. A black box is asked as many queries more."""
        from rakinglight.reports.comparison import Asked, compared

        if self.service:
            return {"not_priced": "A service did the work, and shows its models as it does: --local compares views."}
        say("comparing views: --no-compare-views leaves that out")
        other = defended or self._robust()
        asked = Asked(self.model, self.images, self.asked)
        found = compared(self.client, asked, whole_of(answers), other, say, chain)
        return {"priced": found.priced, "searched": found.searched}

    def _robust(self) -> str | None:
        """The robust twin of the model, where it has one here."""
        from rakinglight.in_process import FromArchives

        name = f"{self.model}-robust"
        if not isinstance(self.client._transport, FromArchives):
            return None
        try:
            self.client.model(name).describe()
        except RakinglightError:
            return None
        return name

    def findings(
        self,
        answers: Sequence[Any],
        compared: Mapping[str, Any],
        counts: Mapping[str, int],
        *,
        command: str,
        host: str,
    ) -> Findings:
        """All that the page is made of.

        counts  what had been sent when the answers were there
        """
        from rakinglight.reports.samples import samples

        whole = whole_of(answers)
        summary, described = whole["summary"], self.client.model(self.model).describe()
        watched, why_not = self._watched(whole)
        shown, sampled = samples(self.client, self.model, self.taken, whole, self.asked["seed"])
        return Findings(
            reply=whole,
            made_at=f"{datetime.now():%Y-%m-%d %H:%M}",
            command=command,
            host=host,
            exposed=_exposed(described, summary),
            asked=counts,
            samples=shown,
            sampled=sampled,
            watched=watched,
            not_watched=why_not,
            commands=[command] if compared.get("priced") else [],
            **compared,
        )

    def _watched(self, whole: Mapping[str, Any]) -> tuple[list[Watch], str]:
        """What the detectors make of the queries; else why they have not seen them."""
        from rakinglight.reports.stream import watched

        summary = whole["summary"]
        if self.recording is None:
            return [], "A service did the work, and the queries did not pass here: no detector could be run over them."
        epsilons = [one["epsilon"] for one in _judged(summary["curve"])]
        # An image that is given twice is asked about once.
        seeds = dict(zip(map(_key, self.images), (result["seed"] for result in whole["results"]), strict=True))
        queries = summary["queries"]["training"]
        found = self.recording.training(list(seeds.values()), max(epsilons, default=0.0), queries)
        if found is None:
            return [], "The queries of this attack were too many to be kept, so that no detector was run over them."
        return watched(*found, self.recording.all()), ""


# ── before ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _check(
    *, local: bool, elsewhere: bool, view: str | None, compare_views: bool | None, report: Path | None, out: Path | None
) -> None:
    """Refuse what does not go together, before anything is asked."""
    if view is not None and view not in SIMULATED:
        raise BadParameter(f"--view is {view!r}; it is one of {', '.join(SIMULATED)}.")
    if view and not local:
        raise BadParameter("--view is for a model that runs here, with --local; any other is seen as it shows itself.")
    if view and compare_views:
        raise BadParameter("--compare-views looks through every view, and --view through one; leave one of them out.")
    if compare_views and not report:
        raise BadParameter("--compare-views measures for the report; give --report FILE.html.")
    if compare_views and not (local or elsewhere):
        raise BadParameter("--compare-views asks through views of its own; it needs --local, or a black box.")
    if report and report.suffix not in (".html", ".htm"):
        raise BadParameter(f"{report} is no HTML file; give --report FILE.html.")
    if out and out.exists() and not out.is_dir():
        raise BadParameter(f"{out} is there and no folder; give another --out.")


def _check_images(taken: Sequence[Given], parameters: Mapping[str, Any]) -> None:
    """Refuse images that are none, or too few or too many for what was asked, before one is paid for."""
    for one in taken:
        if isinstance(one.image, bytes):
            try:
                decode(one.image)
            except RakinglightError as e:
                raise type(e)(f"{one.name}: {e.detail}") from None
    check_allowance(parameters, len(taken))


def _chain(said: list[Any] | None) -> Chain:
    """The chain of defences that `--defense` names. Raises BadParameter."""
    try:
        return Chain(defenses.read(said or []))
    except ValueError as fault:
        raise BadParameter(f"--defense is {said}: {fault}.") from None


def _farewell(*, local: bool, journal: Path | None) -> str:
    """What is said on Ctrl-C."""
    if journal:
        return f"Cancelled. The same command goes on: nothing in {journal} is asked again."
    return "Cancelled. It cost no queries of anybody, and the same command begins anew." if local else "Not waited for."


@contextmanager
def _resumable(journal: Path | None) -> Iterator[None]:
    """Where a black box fails in the middle, say how to go on; the error itself follows."""
    try:
        yield
    except GOES_ON as e:
        if journal and journal.exists():
            after = " after a top-up" if isinstance(e, BudgetSpent) else ""
            typer.echo(f"The same command goes on{after}: nothing in {journal} is asked again.", err=True)
        raise


def _typed(context: typer.Context) -> str:
    """The command as it was typed, but for a path to the program; a key is in no argument."""
    given = sys.argv[1:] if context.info_name in sys.argv else [context.info_name or "steal", *context.args]
    return shlex.join(["rakinglight", *(word for word in given if word != "--debug")])


def _host(local: bool, context: typer.Context) -> str:
    """Who was asked."""
    given = context.params
    where = given.get("black_box") or given.get("target_file") or given.get("url")
    return "no service: the model ran in this process" if local else str(where)


# ── after ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _kept(answers: Sequence[Any], model: str, out: Path | None) -> dict[str, str]:
    """Write what is to be kept, and where it went, by what it is."""
    if out is None:
        return {}
    out.mkdir(parents=True, exist_ok=True)
    whole = whole_of(answers)
    files = {"reply": out / "reply.json"}
    files["reply"].write_text(json.dumps(reply.to_json(_plain(whole))), encoding="utf-8")
    archive = whole["summary"].get("archive")
    if archive is not None and not is_reference(archive):
        files["substitute"] = out / f"{model}-substitute.mar"
        files["substitute"].write_bytes(bytes(archive))
    return {name: str(path) for name, path in files.items()}


def _plain(whole: Mapping[str, Any]) -> dict[str, Any]:
    """A reply without what is no figure: the archive."""
    summary = {name: value for name, value in whole["summary"].items() if name != "archive"}
    return {**whole, "summary": summary}


def _show(whole: Mapping[str, Any], files: Mapping[str, str], *, as_json: bool) -> None:
    if as_json:
        echo_json({**_plain(whole), "files": files})
        return
    summary = whole["summary"]
    print_table(_rounds(summary))
    typer.echo()
    print_table(_fooled(summary))
    spent = ", ".join(f"{name} {count:,}" for name, count in summary["queries"].items() if count)
    typer.echo(f"\nqueries: {spent}; it ended by {summary['stopped_by']}")
    if note := summary.get("white_box_note"):
        typer.echo(f"white-box: {note}")
    for name, path in files.items():
        typer.echo(f"{name}: {path}")


def _rounds(summary: Mapping[str, Any]) -> Any:
    """Agreement after each round, beside the control's at as many queries."""
    control = {row["queries"]: row for row in summary.get("random_sign") or ()}
    made = table("round", "queries", f"agrees on {summary['held_out']}", "control")
    for row in summary["curve"]:
        beside = control.get(row["queries"])
        control_share = str(Share.read(beside["agreement"])) if beside else ""
        made.add_row(str(row["round"]), f"{row['queries']:,}", str(Share.read(row["agreement"])), control_share)
    return made


def _fooled(summary: Mapping[str, Any]) -> Any:
    """What the attacks made on the substitute come to on the model, by epsilon, after the last round."""

    def by(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[Any, ...], str]:
        return {(row["attack"], row["targeted"], row["epsilon"]): str(Share.read(row["fooled"])) for row in rows}

    control = by(_judged(summary.get("random_sign") or ()))
    white = by(summary.get("white_box") or ())
    made = table("made by", "epsilon", "on the substitute", "on the control", "on the model itself")
    for key, share in by(_judged(summary["curve"])).items():
        attack, targeted, epsilon = key
        name = f"{attack}, targeted" if targeted else attack
        made.add_row(name, as_fraction(epsilon), share, control.get(key, ""), white.get(key, ""))
    return made


def _judged(curve: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """What the last round says of transfer that says anything: queries may be too few to try it after each."""
    return next((row["transfer"] for row in reversed(curve) if row["transfer"]), ())


# ── for the page ────────────────────────────────────────────────────────────────────────────────────────────────────


def _exposed(described: Mapping[str, Any], summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was there to be seen of the model."""
    labels, shape = described["labels"], " × ".join(map(str, described["input"]["shape"]))
    named = ", ".join(map(str, labels[:5])) + (", …" if len(labels) > 5 else "")
    learnt = {"hard": "the labels alone", "soft": "every probability"}[summary["answers"]]
    gradients = "yes: the weights are at hand, for the comparison alone" if summary.get("white_box") else "none"
    return [
        ("It answers with", TELLS[summary["tells"]]),
        ("The attack learnt from", learnt),
        ("It names", f"{len(labels)} classes: {named}"),
        ("It takes", f"images of {shape}"),
        ("Gradients", gradients),
        ("The attacker's own", f"{summary['seeds']} images, and a network of another kind ({summary['architecture']})"),
    ]


def _key(image: Any) -> bytes:
    return image if isinstance(image, bytes) else bytes(image.tobytes())
