"""The command `rakinglight jobs`: work that a service does while nobody waits."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from itertools import islice
from typing import Annotated, Any, get_args

import typer

from rakinglight import catalogue
from rakinglight.client import Client
from rakinglight.errors import JobCancelled, RakinglightError, Unavailable
from rakinglight.jobs import ServiceJob
from rakinglight.options import either
from rakinglight.results import OVER, Progress, State
from rakinglight.tables import age, local_time, table
from rakinglight.terminal import (
    AsJson,
    FailOn,
    KeyFile,
    Output,
    Url,
    check_output,
    client_of,
    echo_json,
    followed,
    images_done,
    judge,
    keep,
    numbered,
    print_answers,
    print_table,
    say,
    show,
    taught,
)

#: Jobs that a list shows if not all are asked for.
LISTED = 50
#: Seconds between two looks whether a job that is watched goes on.
REMARK_S = 1.0

app = typer.Typer(help="Look at jobs, wait for them, cancel and remove them.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(help="The id of a job.", show_default=False, metavar="JOB")]


@app.command("list")
def list_(
    context: typer.Context,
    state: Annotated[
        State | None, typer.Option(help="Only those in this state.", metavar=either(get_args(State)))
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help=f"All of them, not the newest {LISTED}.")] = False,
    url: Url = "http://127.0.0.1:8000",
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Show your jobs, newest first."""
    with taught(context), client_of(url, key_file) as client:
        jobs = list(islice(client.jobs(state), None if everything else LISTED + 1))
        shown = jobs if everything else jobs[:LISTED]
        if as_json:
            echo_json({"jobs": [job.members for job in shown]})
            return
        found = table("job", "state", "done", "images", "age", "operation", "model")
        for job in shown:
            told = job.members
            what = " by ".join(filter(None, (told["operation"], told["method"])))
            images, since = str(told["images"]), age(told["created_at"])
            found.add_row(job.id, job.state, _share(job), images, since, what, told["model"]["name"])
        print_table(found)
        if len(shown) < len(jobs):
            say(f"There are more than {LISTED}: --all shows them.")


@app.command("show")
def show_(
    context: typer.Context,
    job: JobId,
    url: Url = "http://127.0.0.1:8000",
    key_file: KeyFile = None,
    as_json: AsJson = False,
    output: Output = None,
) -> None:
    """Show how far a job is and what it has found, wholly or in part."""
    with taught(context), client_of(url, key_file) as client:
        found = client.job(job)
        operation = catalogue.operation(found.members["operation"])
        check_output(output, operation, found.members["images"])
        answers = found.partial_result(fetch=output is not None or not as_json) if found.state in OVER else None
        names = numbered(found.members["images"])
        if answers:
            keep(answers, names, operation, output)
        if as_json:
            whole = next(answer.reply for answer in answers if answer) if answers else None
            name = "result" if found.state == "succeeded" else "partial_result"
            echo_json(found.members | ({name: whole} if whole else {}))
            return
        print_table(_facts(found))
        if answers:
            typer.echo()
            print_answers(operation, names, answers)


@app.command()
def watch(
    context: typer.Context,
    job: JobId,
    after: Annotated[int, typer.Option(min=0, help="With --json: begin behind the event of this number.")] = 0,
    fail_on: FailOn = None,
    url: Url = "http://127.0.0.1:8000",
    key_file: KeyFile = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each event as a line of JSON, and the reply as the last.")
    ] = False,
    output: Output = None,
) -> None:
    """Follow a job to its end, also through a restart of the service, and show its result. Ctrl-C leaves it alone."""
    farewell = f"{job} goes on. Come back with: rakinglight jobs watch {job}"
    with taught(context, farewell), client_of(url, key_file) as client:
        found = client.job(job)
        operation, images = catalogue.operation(found.members["operation"]), found.members["images"]
        check_output(output, operation, images)
        try:
            with remarks(lambda: client_of(url, key_file), job):
                answers = _followed(found, operation.name, after, as_json=as_json)
        except JobCancelled:
            if (partial := found.partial_result(fetch=output is not None)) is None:
                raise
            keep(partial, numbered(images), operation, output)
            remedy = f"What it had found by then: rakinglight jobs show {job} -o FOLDER"
            raise JobCancelled(f"{job} was cancelled. {remedy}") from None
        show(operation, numbered(images), answers, output, as_json=as_json)
        judge(answers, fail_on)


def _followed(job: ServiceJob[Any], operation: str, after: int, *, as_json: bool) -> Any:
    """The answers of `job`, waited for; its progress is shown meanwhile."""
    if as_json:
        for news in job.events(after):
            if not isinstance(news, Progress):
                return news
            echo_json({name: v for name, v in asdict(news).items() if v is not None})
    if sys.stderr.isatty():
        images = job.members["images"]
        return followed(job.events(after), operation, lambda i: job.id if images == 1 else f"image {i}")
    return job.result()


@app.command()
def cancel(context: typer.Context, job: JobId, url: Url = "http://127.0.0.1:8000", key_file: KeyFile = None) -> None:
    """Have a job stop. What it has found by then is kept, and `show` shows it."""
    with taught(context), client_of(url, key_file) as client:
        found = client.job(job)
        found.cancel()
        typer.echo(f"{job} is {found.state}" + ("." if found.state in OVER else ", and will stop."))


@app.command()
def rm(context: typer.Context, job: JobId, url: Url = "http://127.0.0.1:8000", key_file: KeyFile = None) -> None:
    """Remove a job that is over, with all that it has found."""
    with taught(context), client_of(url, key_file) as client:
        client.job(job).delete()
        typer.echo(f"{job} is removed.")


def submitted(job: ServiceJob[Any], *, as_json: bool) -> None:
    """Print the id of a job that was just submitted, and tell whoever sits there how to go on."""
    if as_json:
        echo_json(job.members)
        return
    typer.echo(job.id)
    say(f"rakinglight jobs watch {job.id} waits for it.")


@contextmanager
def remarks(asking: Callable[[], AbstractContextManager[Client]], job: str) -> Iterator[None]:
    """Meanwhile tell whoever sits there what keeps `job` from going on, once for each change.

    asking  makes a client of its own: looking goes on beside who waits, in a thread
    """
    over = threading.Event()

    def look() -> None:
        told = ""
        with asking() as client:
            while not over.wait(REMARK_S):
                if (words := hindrance(client, job)) != told and not over.is_set():
                    # Not by typer, which writes past a bar that stands there.
                    sys.stderr.write(f"{words or 'it goes on'}\n")
                told = words

    if not sys.stderr.isatty():
        yield
        return
    threading.Thread(target=look, name="rakinglight-remarks", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def hindrance(client: Client, job: str) -> str:
    """What keeps `job` from going on, "" for nothing."""
    try:
        told = client.job(job).members
    except Unavailable:
        return "the service is away; trying again"
    except RakinglightError:  # who waits for the job says so
        return ""
    waits = told["state"] in ("queued", "interrupted")
    reason = told["note"] or ("waiting for a worker" if waits else None)
    return f"{told['state']}: {reason}" if reason else ""


def _facts(job: ServiceJob[Any]) -> Any:
    told = job.members
    problem = told["problem"] or {}
    facts = {
        "job": job.id,
        "state": job.state + (", asked to stop" if told["cancel_requested"] and job.state not in OVER else ""),
        "operation": told["operation"],
        "method": told["method"],
        "asked": _asked(told["asked"]),
        "model": " ".join(filter(None, (told["model"]["name"], told["model"].get("version")))),
        "images": str(told["images"]),
        "progress": _progress(job),
        "waits for": told["note"],
        "problem": ": ".join(filter(None, (problem.get("code"), problem.get("detail")))),
        "purpose": told["purpose"],
        "attempts": str(told["attempts"]),
        "created": local_time(told["created_at"]),
        "started": local_time(told["started_at"]),
        "ended": local_time(told["ended_at"]),
        "kept until": local_time(told["expires_at"]),
    }
    made = table("", " ")
    made.show_header = False
    for name, value in facts.items():
        if value:
            made.add_row(name, value)
    return made


def _asked(said: Mapping[str, Any]) -> str:
    """What tells a job from others by the same method: `steps 1000, epsilon 8/255, seed 3`."""
    parts = {**said.get("parameters", {}), **{name: value for name, value in said.items() if name != "parameters"}}
    return ", ".join(f"{name} {value}" for name, value in parts.items())


def _share(job: ServiceJob[Any]) -> str:
    """How much of a job under way is done, in per cent."""
    p = job.progress
    return f"{images_done(p) / (p.images or 1):.0%}" if p and job.state not in OVER else ""


def _progress(job: ServiceJob[Any]) -> str:
    """How far a job under way is: images, and steps of the newest."""
    p = job.progress
    if p is None or job.state in OVER:
        return ""
    steps = f"step {p.step} of {p.of}"
    return steps if (p.images or 1) == 1 else f"{p.done} of {p.images} images, image {p.image}: {steps}"
