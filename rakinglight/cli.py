"""The command line, built on the client: tables for people, JSON for programs, pictures into files.

    rakinglight classify cat.jpg                     # asks the service at RAKINGLIGHT_URL
    rakinglight saliency cat.jpg --local -o map.png  # asks nobody
    rakinglight saliency cat.jpg --method gradient,grad_cam --target lynx --target tabby -o maps.png
    rakinglight occlusion cat.jpg --black-box        # asks the service to classify, and does the rest itself
    rakinglight attack *.jpg --method pgd --epsilon 4/255 --fail-on success

Exit codes:
    0    done
    1    done, and the outcome is the one that `--fail-on` names
    2    the command, an image or a parameter is wrong
    3    no answer: nobody is there, too much is waiting, or time ran out
    4    the key is missing, not known, or may not do that
    5    a fault of the service's or the command's own, worth a report
    130  Ctrl-C; what was under way is cancelled
"""

from __future__ import annotations

import inspect
import json
import logging
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rakinglight import __version__, reply
from rakinglight.catalogue import OPERATIONS, Operation
from rakinglight.client import Client, Model, connect
from rakinglight.errors import (
    BadParameter,
    CallerError,
    DeadlineExceeded,
    Forbidden,
    RakinglightError,
    Unauthenticated,
    Unavailable,
)
from rakinglight.options import options, value
from rakinglight.plan import comparable
from rakinglight.results import Answer, Progress
from rakinglight.tables import answered, table

DONE, FOUND, WRONG, AWAY, REFUSED, BROKEN, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130

log = logging.getLogger("rakinglight.cli")

app = typer.Typer(
    name="rakinglight",
    help="See what a deployed vision model looks at, and how it breaks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done; 1 the outcome that --fail-on names; 2 a wrong command, image or parameter; "
    "3 no answer; 4 the key; 5 a fault of its own; 130 Ctrl-C.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rakinglight {__version__}")
        raise typer.Exit(DONE)


# ── options that several commands take ──────────────────────────────────────────────────────────────────────────────

Images = Annotated[list[str], typer.Argument(help="Image files; - reads one from standard input.", show_default=False)]
ModelName = Annotated[str, typer.Option("--model", "-m", help="The model that is asked.")]
Url = Annotated[str, typer.Option(envvar="RAKINGLIGHT_URL", help="The service.")]
KeyFile = Annotated[
    Path | None, typer.Option(help="A file with the key of the service; or set RAKINGLIGHT_KEY to the key itself.")
]
Local = Annotated[bool, typer.Option("--local", help="Ask no service: the same engine, in this process.")]
BlackBox = Annotated[
    bool, typer.Option("--black-box", help="Ask the service to classify, no more: the method runs in this process.")
]
Methods = Annotated[
    list[str] | None,
    typer.Option(
        "--method", help="The method; without it, the operation's first. Maps of several, a,b,c, are side by side."
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


# ── commands ────────────────────────────────────────────────────────────────────────────────────────────────────────


@app.callback()
def common(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001  its callback does it
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_show_version)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error, and what is going on.")] = False,
) -> None:
    """See what a deployed vision model looks at, and how it breaks."""
    context.obj = debug
    # What the engine logs of a failed run is for a service's log; here the error itself is printed.
    logging.basicConfig(level=logging.INFO if debug else logging.CRITICAL, stream=sys.stderr, format="%(message)s")


@app.command()
def models(
    context: typer.Context,
    url: Url = "http://127.0.0.1:8000",
    key_file: KeyFile = None,
    local: Local = False,
    as_json: AsJson = False,
) -> None:
    """Show which models can be asked, and by which operations and methods."""
    with _taught(context), _client(url, key_file, local) as client:
        described = client.models()
        if as_json:
            typer.echo(json.dumps({"models": described}))
            return
        found = table("model", "version", "input", "classes", "operations")
        for model in described:
            size = " × ".join(map(str, model["input"]["shape"]))
            operations = ", ".join(operation["name"] for operation in model.get("operations", ()))
            found.add_row(model["name"], model.get("version", ""), size, str(len(model["labels"])), operations)
        _print(found)


def command(operation: Operation) -> Callable[..., None]:
    """The command of `operation`: the options that all take, and one for each of its parameters."""

    def ask(
        context: typer.Context,
        images: Images,
        *,
        model: ModelName = "efficientnet-lite0",
        method: Methods = None,
        fail_on: FailOn = None,
        parameter: Parameters = None,
        seed: Seed = 0,
        deadline: Deadline = None,
        max_rows: MaxRows = None,
        url: Url = "http://127.0.0.1:8000",
        key_file: KeyFile = None,
        local: Local = False,
        black_box: BlackBox = False,
        as_json: AsJson = False,
        output: Output = None,
        **given: Any,
    ) -> None:
        with _taught(context):
            targets = given.pop("target", None) if comparable(operation) else None
            parameters = _parameters(given, parameter)
            asked = _asked(
                operation, [name for names in method or () for name in names.split(",")], targets, parameters
            )
            _check_output(output, operation, len(images))
            asked |= {"seed": seed, "deadline_s": deadline, "max_rows": max_rows}
            with _client(url, key_file, local, black_box) as client:
                answers = _ask(client.model(model), operation.name, images, asked)
            _keep(answers, images, operation, output)
            if as_json:
                typer.echo(json.dumps(reply.to_json(answers[0].reply)))
            else:
                _print(answered(operation.name, images, answers))
                if operation.picture and output is None:
                    _say(f"-o {operation.picture}.png keeps the picture, -o FOLDER all of them, -o all.npz all arrays.")
            if fail_on and any(answer.success == (fail_on == "success") for answer in answers):
                raise typer.Exit(FOUND)

    own = dict(inspect.signature(ask, eval_str=True).parameters)
    del own["given"]
    if not operation.methods:
        del own["method"]
    if operation.name != "attack":
        del own["fail_on"]
    first = [own.pop(name) for name in ("context", "images", "model", "method") if name in own]
    set_ = options(operation, several=("target",) if comparable(operation) else ())
    ask.__signature__ = inspect.Signature([*first, *set_, *own.values()])  # type: ignore[attr-defined]
    return ask


for _operation in OPERATIONS.values():
    app.command(_operation.name, help=_operation.summary)(command(_operation))


def main() -> None:
    """The command `rakinglight`."""
    add_commands(app)
    app()


def add_commands(app: typer.Typer) -> None:
    """Add what other packages register; what cannot be imported is not there (the wheel holds the library alone)."""
    for entry in entry_points(group="rakinglight.commands"):
        try:
            register: Callable[[typer.Typer], None] = entry.load()
        except ImportError as e:
            log.info("the command %s is not available: %s", entry.name, e)
        else:
            register(app)


# ── asking ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _client(url: str, key_file: Path | None, local: bool, black_box: bool = False) -> Iterator[Client]:
    if local and black_box:
        raise BadParameter("--local asks no service and --black-box asks one to classify; give one of the two.")
    if local:
        from rakinglight.in_process import local as in_process

        client = in_process(say=_say)
    else:
        key = key_file.read_text(encoding="utf-8").strip() if key_file else os.environ.get("RAKINGLIGHT_KEY")
        if black_box:
            from rakinglight.over_classify import black_box as asking

            client = asking(url, key)
        else:
            client = connect(url, key)
    with client:
        yield client


def _asked(
    operation: Operation, methods: Sequence[str], targets: Sequence[Any] | None, parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """The options of the client's call. Several targets are compared, by each of the methods.

    Raises BadParameter for what no service would take, before anything is sent.
    """
    chosen = [operation.method(name) for name in methods or (None,)]
    if len(chosen) > 1 and not comparable(operation):
        raise BadParameter(f"{operation.name} makes no maps to lay side by side; give one method at a time.")
    if targets:
        parameters = {**parameters, "target": targets[0]}
    fields = [operation.fields(method) for method in chosen]
    there = {name for its in fields for name in its}
    # What no method has stays, for the first of them to refuse.
    own = [{name: v for name, v in parameters.items() if name in its or name not in there} for its in fields]
    for method, its in zip(chosen, own, strict=True):
        operation.read(method, its)
    if targets and len(targets) > 1:
        pairs = [
            {"method": method and method.name, "parameters": {**its, "target": target}}
            for target in targets
            for method, its in zip(chosen, own, strict=True)
        ]
        return {"compare": pairs}
    return {"method": methods[0] if len(methods) == 1 else list(methods) or None, **parameters}


def _ask(model: Model, operation: str, images: Sequence[str], options: Mapping[str, Any]) -> list[Any]:
    """The answers, one an image; with a bar for each image and map meanwhile, where somebody sees it."""
    files = [sys.stdin.buffer.read() if name == "-" else Path(name) for name in images]
    if not sys.stderr.isatty():
        return list(model.ask(operation, files, **options))

    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    answers: list[Answer] = []
    with Bars(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bars:
        tasks = {(i, 0): bars.add_task(escape(f"{operation} {name}"), total=None) for i, name in enumerate(images)}
        for news in model.stream(operation, files, **options):
            if isinstance(news, Progress):
                place = news.image, news.map or 0
                if place not in tasks:
                    name = escape(f"{operation} {images[news.image]}, map {place[1] + 1}")
                    tasks[place] = bars.add_task(name, total=None)
                bars.update(tasks[place], total=news.of, completed=news.step)
            else:
                answers = news
    return answers


def _parameters(given: Mapping[str, Any], pairs: Sequence[str] | None) -> dict[str, Any]:
    """What the options and `-p` said. Raises BadParameter where a pair has no `=`."""
    parameters = {name: value for name, value in given.items() if value not in (None, [])}
    for pair in pairs or ():
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise BadParameter(f"-p {pair!r} names no parameter; it looks like -p steps=20.")
        parameters[name.replace("-", "_")] = value(text)
    return parameters


# ── showing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _print(found: Table) -> None:
    # Where nobody looks, lines stay whole: they are for grep.
    Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 200).print(found)


def _say(words: str) -> None:
    """A remark to whoever sits there; a program does not want it."""
    if sys.stderr.isatty():
        typer.echo(words, err=True)


# ── keeping ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _check_output(output: Path | None, operation: Operation, images: int) -> None:
    """Refuse what could not be written, before any work is spent on it."""
    if output is None or output.suffix == ".npz":
        return
    if operation.picture is None:
        raise BadParameter(f"{operation.name} draws no picture for {output}; give -o FILE.npz to keep the numbers.")
    if output.suffix and output.suffix != ".png" and not output.is_dir():
        raise BadParameter(
            f"{output} is neither .png nor .npz; pictures are PNG, so that no pixel is changed by saving."
        )
    if output.suffix == ".png" and operation.name == "attack" and images > 1:
        raise BadParameter(f"{images} adversarial pictures do not go into {output}; give a folder.")


def _keep(answers: Sequence[Answer], images: Sequence[str], operation: Operation, output: Path | None) -> None:
    """Write the files that were asked for."""
    if output is None:
        return
    for path, content in _files(answers, images, operation, output):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        _say(f"wrote {path}")


def _files(
    answers: Sequence[Answer], images: Sequence[str], operation: Operation, output: Path
) -> Iterator[tuple[Path, bytes]]:
    """What goes where under `output`."""
    whole = answers[0].reply
    if output.suffix == ".npz":
        yield output, reply.to_npz(whole["results"], {k: v for k, v in whole.items() if k != "results"})
        return
    if output.suffix == ".png":
        names = [Path(name).name for name in images]
        yield output, reply.picture(operation, [answer.entry for answer in answers], names)
        return
    stems = ["image" if name == "-" else Path(name).stem for name in images]
    seen: Counter[str] = Counter()
    for stem, answer in zip(stems, answers, strict=True):
        seen[stem] += 1
        unique = stem if seen[stem] == 1 else f"{stem}-{seen[stem]}"
        for what, raw in _pictures(answer.entry, operation):
            yield output / f"{unique}-{what}.png", raw


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
def _taught(context: typer.Context) -> Iterator[None]:
    """Turn what goes wrong into a message that teaches and an exit code that means something."""
    try:
        yield
    except RakinglightError as e:
        _fail(context, e, e.detail, _code(e))
    except OSError as e:
        where = f"{e.filename}: " if e.filename else ""
        _fail(context, e, f"{where}{e.strerror or e}.", WRONG)
    except KeyboardInterrupt:
        typer.echo("Cancelled.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except typer.Exit:
        raise
    except Exception as e:  # a fault of ours: the shell must not take it for the outcome of an attack
        _fail(context, e, f"{type(e).__name__}: {e}. That is a fault of its own; --debug shows where.", BROKEN)


def _fail(context: typer.Context, error: Exception, message: str, code: int) -> None:
    if context.obj:
        Console(stderr=True).print_exception()
    typer.echo(f"rakinglight {context.info_name}: {message}", err=True)
    raise typer.Exit(code) from error


def _code(error: RakinglightError) -> int:
    match error:
        case Unauthenticated() | Forbidden():
            return REFUSED
        case CallerError():
            return WRONG
        case Unavailable() | DeadlineExceeded():
            return AWAY
        case _:
            return BROKEN


if __name__ == "__main__":
    main()
