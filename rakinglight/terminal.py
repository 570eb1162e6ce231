"""What the commands share: options, the client, tables and bars, files, and what an exit code says."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rakinglight import reply
from rakinglight.call import ServiceAway
from rakinglight.catalogue import Operation
from rakinglight.client import Client, connect
from rakinglight.errors import (
    BadParameter,
    CallerError,
    DeadlineExceeded,
    Forbidden,
    JobCancelled,
    RakinglightError,
    Unauthenticated,
    Unavailable,
)
from rakinglight.results import Answer, Progress
from rakinglight.tables import answered, summarized

DONE, FOUND, WRONG, AWAY, REFUSED, BROKEN, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130

#: Endings of files that move.
MOVING = frozenset({".gif", ".webp"})
#: Characters of a line in which every table has room; on a narrower terminal lines run on, and no id is cut.
NARROWEST = 80

# ── options that several commands take ──────────────────────────────────────────────────────────────────────────────

Images = Annotated[
    list[str] | None, typer.Argument(help="Image files; - reads one from standard input.", show_default=False)
]
DatasetId = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        help="Instead of images: a dataset of the service, by id. Answers come in its order, by class and name.",
    ),
]
AsJob = Annotated[
    bool, typer.Option("--job", help="Do not wait: print the id of a job, which `rakinglight jobs` follows.")
]
ModelName = Annotated[str, typer.Option("--model", "-m", help="The model that is asked.")]
Url = Annotated[str, typer.Option(envvar="RAKINGLIGHT_URL", help="The service.")]
KeyFile = Annotated[
    Path | None, typer.Option(help="A file with the key of the service; or set RAKINGLIGHT_KEY to the key itself.")
]
Local = Annotated[bool, typer.Option("--local", help="Ask no service: the same engine, in this process.")]
BlackBox = Annotated[
    str | None,
    typer.Option(
        "--black-box",
        help="Ask this model elsewhere to classify, no more: the method runs in this process. A service of ours, or "
        "http://host/v2/models/NAME of the Open Inference Protocol.",
        metavar="URL",
    ),
]
TargetFile = Annotated[
    Path | None,
    typer.Option("--target-file", help="As --black-box, of any other service: a TOML file that describes it."),
]
Authorised = Annotated[
    bool, typer.Option("--i-am-authorised", help="You may have that host classify images; do not ask.")
]
JournalFile = Annotated[
    Path | None,
    typer.Option(
        "--journal", help="A file that remembers what the black box answered: run again, nothing is asked twice."
    ),
]
Methods = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        help="The method; without it, the operation's first. Explanations by several, a,b,c, lie side by side.",
    ),
]
Parameters = Annotated[
    list[str] | None,
    typer.Option(
        "--parameter", "-p", help="Any parameter, as name=value; the value is JSON or text.", metavar="NAME=VALUE"
    ),
]
FailOn = Annotated[
    Literal["success", "failure"] | None,
    typer.Option(help="Exit with 1 if any attack comes to this: a gate for pipelines."),
]
Seed = Annotated[int, typer.Option(help="Every random choice follows it.")]
Deadline = Annotated[float | None, typer.Option(help="Seconds; what is reached by then is the answer.")]
MaxRows = Annotated[int | None, typer.Option(help="Rows that each image may send through the network.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the reply as JSON, for programs.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="Keep the pictures: a .png file for the main one, .npz for all arrays, or a folder."
    ),
]


# ── asking ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def client_of(
    url: str,
    key_file: Path | None,
    local: bool = False,
    black_box: str | None = None,
    *,
    target: Path | None = None,
    authorised: bool = False,
    journal: Path | None = None,
) -> Iterator[Client]:
    """The client that the options mean. Of a black box, the host is shown, and asked for once (`authorise`)."""
    if bool(local) + bool(black_box) + bool(target) > 1:
        raise BadParameter(
            "--local asks no service, --black-box and --target-file ask one to classify; give one of the three."
        )
    if journal and not (black_box or target):
        raise BadParameter("--journal remembers what a black box answered; give --black-box or --target-file with it.")
    if local:
        from rakinglight.in_process import local as in_process

        client = in_process(say=say)
    elif black_box or target:
        client = _black_box(black_box or target, key_file, authorised=authorised, journal=journal)
    else:
        client = connect(url, _key(key_file))
    with client:
        try:
            yield client
        finally:
            if black_box or target:
                _tell_counts(client)


def _key(key_file: Path | None) -> str | None:
    return key_file.read_text(encoding="utf-8").strip() if key_file else os.environ.get("RAKINGLIGHT_KEY")


def _black_box(where: Any, key_file: Path | None, *, authorised: bool, journal: Path | None) -> Client:
    """The client of a model elsewhere, once somebody has said that it may be asked."""
    from rakinglight.oracles import kind_of, read_where
    from rakinglight.over_classify import BlackBox as Asking

    ours = kind_of(read_where(where)) == "rakinglight"
    # RAKINGLIGHT_KEY is for services of ours; a file was named for the one that is asked.
    target = read_where(where, _key(key_file) if ours or key_file else None)
    logging.getLogger("rakinglight.oracle").setLevel(logging.WARNING)  # what keeps whoever sits there waiting, and why
    authorise(target.url, authorised=authorised)
    return Client(Asking(target, journal))


def authorise(url: str, *, authorised: bool = False) -> None:
    """Show the host of `url`, and ask whether it may be asked, unless it is this machine.

    authorised  whether that was said already. Raises Forbidden for a no, and where nobody sits there to say yes
    """
    from rakinglight.oracles import host_of, on_this_machine

    host = host_of(url)
    if on_this_machine(url):
        return
    if authorised:
        typer.echo(f"Asking {host} to classify images.", err=True)
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Forbidden(
            f"This asks {host} to classify images, and there is no terminal to ask whether you may; say so with "
            "--i-am-authorised."
        )
    question = f"This asks {host} to classify images; do so only if you may. Go on?"
    if not typer.confirm(question, default=False, err=True):
        raise Forbidden(f"{host} was not asked.")


def _tell_counts(client: Client) -> None:
    """Say what the black box was asked, and what of it was known before. It is not of the answer: it goes to stderr."""
    for oracle in getattr(client._transport, "oracles", ()):
        counts, journal = oracle.counts, oracle.journal.path
        said = f"asked {counts.asked}, canaries {counts.canaries}, lost {counts.lost}, retried {counts.retried}"
        typer.echo(said + (f", in all sessions of {journal}" if journal and oracle.resumed else ""), err=True)
        if journal and oracle.recalled:
            typer.echo(f"journal {journal}: {oracle.recalled} answers taken from it", err=True)


def followed(news: Iterable[Progress | Any], operation: str, name: Callable[[int], str]) -> Any:
    """The last of `news`, the answer; with a bar for each image and map meanwhile. Of a job, a bar for all of it.

    name  that of an image, by its place
    """
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[count]}"), TimeElapsedColumn()
    last: Any = None
    furthest = 0.0
    with Bars(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bars:
        tasks = {(0, 0): bars.add_task(operation, total=None, count="waiting")}
        for last in news:
            if not isinstance(last, Progress):
                continue
            if (last.images or 1) > 1:
                furthest = max(furthest, images_done(last))
                count = f"{last.done}/{last.images}"
                bars.update(tasks[0, 0], total=last.images, completed=furthest, count=count)
                continue
            place = last.image, last.map or 0
            if place not in tasks:
                tasks[place] = bars.add_task(operation, total=None, count="")
            which = f", map {place[1] + 1}" if place[1] else ""
            described = escape(f"{operation} {name(last.image)}{which}")
            count = f"{last.step}/{last.of}"
            bars.update(tasks[place], description=described, total=last.of, completed=last.step, count=count)
    return last


def images_done(progress: Progress) -> float:
    """How many images of a job are done, and how much of the one in hand, unless it has several maps."""
    part = progress.step / progress.of if progress.of and progress.map is None else 0.0
    return min((progress.done or 0) + part, float(progress.images or 1))


# ── showing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def print_table(found: Table) -> None:
    # Where nobody looks, lines stay whole: they are for grep.
    width = max(Console().width, NARROWEST) if sys.stdout.isatty() else 200
    Console(markup=False, highlight=False, width=width).print(found)


def echo_json(value: Any) -> None:
    """Print `value` for a program."""
    typer.echo(json.dumps(reply.to_json(value)))


def say(words: str) -> None:
    """A remark to whoever sits there; a program does not want it."""
    if sys.stderr.isatty():
        typer.echo(words, err=True)


# ── keeping ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def check_output(output: Path | None, operation: Operation, images: int) -> None:
    """Refuse what could not be written, before any work is spent on it."""
    if output is None or output.suffix == ".npz":
        return
    if operation.picture is None:
        raise BadParameter(f"{operation.name} draws no picture for {output}; give -o FILE.npz to keep the numbers.")
    if output.suffix in MOVING and "animation" in operation.include and images <= 1:
        return
    if output.suffix and output.suffix != ".png" and not output.is_dir():
        raise BadParameter(
            f"{output} is neither .png nor .npz; pictures are PNG, so that no pixel is changed by saving."
        )
    if output.suffix == ".png" and operation.name == "attack" and images > 1:
        raise BadParameter(f"{images} adversarial pictures do not go into {output}; give a folder.")


def show(
    operation: Operation, images: Sequence[str], answers: Sequence[Any], output: Path | None, *, as_json: bool
) -> None:
    """Keep what was asked for of the `answers`, one an image or None, and print them."""
    keep(answers, images, operation, output)
    if as_json:
        echo_json(whole_of(answers))
        return
    print_answers(operation, images, answers)
    if operation.picture and output is None:
        say(f"-o {operation.picture}.png keeps the picture, -o FOLDER all of them, -o all.npz all arrays.")


def print_answers(operation: Operation, images: Sequence[str], answers: Sequence[Any]) -> None:
    """The `answers` as a table, and what there is to say of all of them together."""
    print_table(answered(operation.name, images, answers))
    summary = whole_of(answers).get("summary") or {}
    for found in summarized(operation.name, summary):
        typer.echo()
        print_table(found)
    if note := summary.get("note"):
        typer.echo(f"\n{note}")


def whole_of(answers: Sequence[Answer | None]) -> Mapping[str, Any]:
    """The reply that `answers` are of."""
    return next(answer.reply for answer in answers if answer is not None)


def judge(answers: Sequence[Any], fail_on: str | None) -> None:
    """Leave with FOUND where an attack came to what `fail_on` names."""
    if fail_on and any(answer.success == (fail_on == "success") for answer in answers):
        raise typer.Exit(FOUND)


def numbered(images: int) -> list[str]:
    """Names for images of which nobody here knows the files, by their place in the request."""
    return [f"image-{i}" for i in range(images)]


def keep(answers: Sequence[Answer | None], images: Sequence[str], operation: Operation, output: Path | None) -> None:
    """Write the files that were asked for."""
    if output is None:
        return
    for path, content in _files(answers, images, operation, output):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        say(f"wrote {path}")


def _files(
    answers: Sequence[Answer | None], images: Sequence[str], operation: Operation, output: Path
) -> Iterator[tuple[Path, bytes]]:
    """What goes where under `output`."""
    if output.suffix == ".npz":
        whole = whole_of(answers)
        yield output, reply.to_npz(whole["results"], {k: v for k, v in whole.items() if k != "results"})
        return
    found = [(name, answer.entry) for name, answer in zip(images, answers, strict=True) if answer is not None]
    if output.suffix == ".png":
        names = [Path(name).name for name, _ in found]
        summary = whole_of(answers).get("summary")
        yield output, reply.picture(operation, [entry for _, entry in found], names, summary)
        return
    if output.suffix in MOVING:
        if "animation" not in found[0][1]:
            raise BadParameter(f"There is no animation to go into {output}; ask for one, by a method that makes any.")
        yield output, found[0][1]["animation"]
        return
    for what, raw in _pictures(whole_of(answers).get("summary") or {}, operation):
        yield output / f"{operation.name}-{what}.{_ending(raw)}", raw
    seen: Counter[str] = Counter()
    for name, entry in found:
        stem = "image" if name == "-" else Path(name).stem
        seen[stem] += 1
        unique = stem if seen[stem] == 1 else f"{stem}-{seen[stem]}"
        for what, raw in _pictures(entry, operation):
            yield output / f"{unique}-{what}.{_ending(raw)}", raw


def _ending(picture: bytes) -> str:
    """Of the name of a file with `picture` in it."""
    return reply.media_type(picture).removeprefix("image/")


def _pictures(entry: Mapping[str, Any], operation: Operation) -> Iterator[tuple[str, bytes]]:
    """The pictures of one image's entry as PNG, by name; those of compared maps with the map's place and method."""
    for name in operation.include:
        part = entry.get(name)
        raw = part.get("picture") if isinstance(part, dict) else part
        if isinstance(raw, bytes):
            yield name, raw
    for place, found in enumerate(entry.get("maps", ())):
        for name, raw in _pictures(found, operation):
            yield f"{name}-{place + 1}-{found['method']}", raw


# ── failing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def taught(context: typer.Context, farewell: str = "Cancelled.") -> Iterator[None]:
    """Turn what goes wrong into a message that teaches and an exit code that means something.

    farewell  what is said on Ctrl-C
    """
    try:
        yield
    except ServiceAway as e:
        without = " Or ask no service: --local." if "local" in context.params else ""
        _fail(context, e, e.detail + without, AWAY)
    except RakinglightError as e:
        _fail(context, e, e.detail, _code(e))
    except BrokenPipeError:  # who reads has read enough, as `head` has; what Python would still flush goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as e:
        where = f"{e.filename}: " if e.filename else ""
        _fail(context, e, f"{where}{e.strerror or e}.", WRONG)
    except KeyboardInterrupt:
        typer.echo(farewell, err=True)
        raise typer.Exit(INTERRUPTED) from None
    except typer.Exit:
        raise
    except Exception as e:  # a fault of ours: the shell must not take it for the outcome of an attack
        _fail(context, e, f"{type(e).__name__}: {e}. That is a fault of its own; --debug shows where.", BROKEN)


def _fail(context: typer.Context, error: Exception, message: str, code: int) -> None:
    if context.obj:
        Console(stderr=True).print_exception()
    typer.echo(f"{context.command_path}: {message}", err=True)
    raise typer.Exit(code) from error


def _code(error: RakinglightError) -> int:
    match error:
        case Unauthenticated() | Forbidden():
            return REFUSED
        case JobCancelled():
            return AWAY
        case CallerError():
            return WRONG
        case Unavailable() | DeadlineExceeded():
            return AWAY
        case _:
            return BROKEN
