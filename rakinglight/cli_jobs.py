"""The command `rakinglight jobs`: work that a service does while nobody waits."""

from __future__ import annotations

import sys
from dataclasses import asdict
from itertools import islice
from typing import Annotated, Any

import typer

from rakinglight import catalogue
from rakinglight.jobs import OVER, ServiceJob, State
from rakinglight.results import Progress
from rakinglight.tables import answered, table
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
    judge,
    keep,
    numbered,
    print_table,
    say,
    show,
    taught,
)

#: Jobs that a list shows if not all are asked for.
LISTED = 50

app = typer.Typer(help="Look at jobs, wait for them, cancel and remove them.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(help="The id of a job.", show_default=False)]


@app.command("list")
def list_(
    context: typer.Context,
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
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
        found = table("job", "state", "operation", "model", "images", "progress", "created")
        for job in shown:
            told = job.members
            what = " by ".join(filter(None, (told["operation"], told["method"])))
            found.add_row(
                job.id, job.state, what, told["model"]["name"], str(told["images"]), _progress(job), told["created_at"]
            )
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
            print_table(answered(operation.name, names, answers))


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
        answers: list[Any] = []
        if as_json:
            for news in found.events(after):
                if isinstance(news, Progress):
                    echo_json({name: v for name, v in asdict(news).items() if v is not None})
                else:
                    answers = news
        elif sys.stderr.isatty():
            answers = followed(found.events(after), operation.name, lambda i: job if images == 1 else f"image {i}")
        else:
            answers = found.result()
        show(operation, numbered(images), answers, output, as_json=as_json)
        judge(answers, fail_on)


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


def _facts(job: ServiceJob[Any]) -> Any:
    told = job.members
    problem = told["problem"] or {}
    facts = {
        "job": job.id,
        "state": job.state + (", asked to stop" if told["cancel_requested"] and job.state not in OVER else ""),
        "operation": told["operation"],
        "method": told["method"],
        "model": " ".join(filter(None, (told["model"]["name"], told["model"].get("version")))),
        "images": str(told["images"]),
        "progress": _progress(job),
        "waits for": told["note"],
        "problem": ": ".join(filter(None, (problem.get("code"), problem.get("detail")))),
        "purpose": told["purpose"],
        "created": told["created_at"],
        "started": told["started_at"],
        "ended": told["ended_at"],
        "kept until": told["expires_at"],
    }
    made = table("", " ")
    made.show_header = False
    for name, value in facts.items():
        if value:
            made.add_row(name, value)
    return made


def _progress(job: ServiceJob[Any]) -> str:
    """How far a job is: images, and steps of the newest."""
    p = job.progress
    if p is None or job.state in OVER:
        return ""
    steps = f"step {p.step} of {p.of}"
    return steps if (p.images or 1) == 1 else f"{p.done} of {p.images} images, image {p.image}: {steps}"
