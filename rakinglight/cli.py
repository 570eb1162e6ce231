"""The command line, built on the client: tables for people, JSON for programs, pictures into files.

    rakinglight classify cat.jpg                     # asks the service at RAKINGLIGHT_URL
    rakinglight saliency cat.jpg --local -o map.png  # asks nobody
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

import json
import logging
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table

from rakinglight import __version__, pictures, reply
from rakinglight.client import Client, connect
from rakinglight.errors import (
    BadParameter,
    CallerError,
    DeadlineExceeded,
    Forbidden,
    RakinglightError,
    Unauthenticated,
    Unavailable,
)
from rakinglight.results import Answer, Attack, Classification, Progress, Saliency

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


Outcome = Literal["success", "failure"]


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
Method = Annotated[str | None, typer.Option(help="The method; without it, the operation's first.")]
Parameters = Annotated[
    list[str] | None,
    typer.Option(
        "--parameter", "-p", help="Any parameter, as name=value; the value is JSON or text.", metavar="NAME=VALUE"
    ),
]
Target = Annotated[
    str | None, typer.Option(help="A class: its index, its label, or '{\"rank\": -1}' for the model's last answer.")
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
        table = _table("model", "version", "input", "classes", "operations")
        for model in described:
            size = " × ".join(map(str, model["input"]["shape"]))
            operations = ", ".join(operation["name"] for operation in model.get("operations", ()))
            table.add_row(model["name"], model.get("version", ""), size, str(len(model["labels"])), operations)
        _print(table)


@app.command()
def classify(
    context: typer.Context,
    images: Images,
    model: ModelName = "efficientnet-lite0",
    top_k: Annotated[int | None, typer.Option(help="How many of the best classes to name.")] = None,
    layer: Annotated[list[str] | None, typer.Option(help="A layer whose activations go into the reply.")] = None,
    parameter: Parameters = None,
    seed: Seed = 0,
    deadline: Deadline = None,
    max_rows: MaxRows = None,
    url: Url = "http://127.0.0.1:8000",
    key_file: KeyFile = None,
    local: Local = False,
    as_json: AsJson = False,
    output: Output = None,
) -> None:
    """Name what is in images."""
    with _taught(context), _client(url, key_file, local) as client:
        _check_output(output, "classify", len(images))
        parameters = _parameters(parameter, top_k=top_k, layers=layer or None)
        answers = _ask(client, model, "classify", images, None, parameters, seed, deadline, max_rows)
        if not _kept_or_printed(answers, images, as_json, output):
            _print(_classified(images, answers))


@app.command()
def saliency(
    context: typer.Context,
    images: Images,
    model: ModelName = "efficientnet-lite0",
    method: Method = None,
    target: Target = None,
    score: Annotated[str | None, typer.Option(help="What is explained: logit, probability or log_probability.")] = None,
    parameter: Parameters = None,
    seed: Seed = 0,
    deadline: Deadline = None,
    max_rows: MaxRows = None,
    url: Url = "http://127.0.0.1:8000",
    key_file: KeyFile = None,
    local: Local = False,
    as_json: AsJson = False,
    output: Output = None,
) -> None:
    """Show which pixels a class score depends on."""
    with _taught(context), _client(url, key_file, local) as client:
        _check_output(output, "saliency", len(images))
        parameters = _parameters(parameter, target=_value(target), score=score)
        answers = _ask(client, model, "saliency", images, method, parameters, seed, deadline, max_rows)
        if not _kept_or_printed(answers, images, as_json, output):
            _print(_explained(images, answers))
            if output is None:
                _say("-o map.png keeps the picture, -o maps.npz the raw maps.")


@app.command()
def attack(
    context: typer.Context,
    images: Images,
    model: ModelName = "efficientnet-lite0",
    method: Method = None,
    target: Target = None,
    label: Annotated[
        str | None, typer.Option(help="The true class, as in --target; without it, the model's own answer.")
    ] = None,
    norm: Annotated[str | None, typer.Option(help="linf or l2.")] = None,
    epsilon: Annotated[str | None, typer.Option(help="Radius of the ball in units of [0, 1], such as 8/255.")] = None,
    step_size: Annotated[str | None, typer.Option(help="Length of one step, in the same units.")] = None,
    steps: Annotated[int | None, typer.Option(help="Number of gradient steps.")] = None,
    random_start: Annotated[
        bool | None, typer.Option("--random-start", help="Start at a random point of the ball.")
    ] = None,
    fail_on: Annotated[
        Outcome | None, typer.Option(help="Exit with 1 if any attack comes to this: a gate for pipelines.")
    ] = None,
    parameter: Parameters = None,
    seed: Seed = 0,
    deadline: Deadline = None,
    max_rows: MaxRows = None,
    url: Url = "http://127.0.0.1:8000",
    key_file: KeyFile = None,
    local: Local = False,
    as_json: AsJson = False,
    output: Output = None,
) -> None:
    """Change images a little so that the model is wrong."""
    with _taught(context), _client(url, key_file, local) as client:
        _check_output(output, "attack", len(images))
        parameters = _parameters(
            parameter,
            target=_value(target),
            label=_value(label),
            norm=norm,
            epsilon=epsilon,
            step_size=step_size,
            steps=steps,
            random_start=random_start,
        )
        answers = _ask(client, model, "attack", images, method, parameters, seed, deadline, max_rows)
        if not _kept_or_printed(answers, images, as_json, output):
            _print(_attacked(images, answers))
            if output is None:
                _say("-o adversarial.png keeps the picture, -o FOLDER that and what was changed.")
        if fail_on and any(answer.success == (fail_on == "success") for answer in answers):
            raise typer.Exit(FOUND)


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
def _client(url: str, key_file: Path | None, local: bool) -> Iterator[Client]:
    if local:
        from rakinglight.in_process import local as in_process

        client = in_process(say=_say)
    else:
        key = key_file.read_text(encoding="utf-8").strip() if key_file else os.environ.get("RAKINGLIGHT_KEY")
        client = connect(url, key)
    with client:
        yield client


def _ask(
    client: Client,
    model: str,
    operation: str,
    images: Sequence[str],
    method: str | None,
    parameters: dict[str, Any],
    seed: int,
    deadline: float | None,
    max_rows: int | None,
) -> list[Any]:
    """The answers, one an image; with a bar for each image meanwhile, where somebody sees it."""
    files = [sys.stdin.buffer.read() if name == "-" else Path(name) for name in images]
    options = {**parameters, "seed": seed, "deadline_s": deadline, "max_rows": max_rows}
    if not sys.stderr.isatty():
        return list(client.model(model).ask(operation, files, method, **options))
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    answers: list[Answer] = []
    with Bars(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bars:
        tasks = {i: bars.add_task(escape(f"{operation} {name}"), total=None) for i, name in enumerate(images)}
        for news in client.model(model).stream(operation, files, method, **options):
            if isinstance(news, Progress):
                bars.update(tasks[news.image], total=news.of, completed=news.step)
            else:
                answers = news
    return answers


def _parameters(pairs: Sequence[str] | None, **options: Any) -> dict[str, Any]:
    """What the options and `-p` said. Raises BadParameter where a pair has no `=`."""
    parameters = {name: value for name, value in options.items() if value is not None}
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise BadParameter(f"-p {pair!r} names no parameter; it looks like -p steps=20.")
        parameters[name.replace("-", "_")] = _value(value)
    return parameters


def _value(text: str | None) -> Any:
    """A number, a list or an object where `text` is JSON, else the text itself: a label, or 8/255."""
    try:
        return None if text is None else json.loads(text)
    except json.JSONDecodeError:
        return text


# ── showing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _classified(images: Sequence[str], answers: Sequence[Classification]) -> Table:
    table = _table("image", "class", "probability", "index")
    for name, answer in zip(images, answers, strict=True):
        for place, found in enumerate(answer.predictions):
            shown = "" if found.probability is None else f"{found.probability:.1%}"
            table.add_row(name if place == 0 else "", found.label, shown, str(found.index))
    return table


def _explained(images: Sequence[str], answers: Sequence[Saliency]) -> Table:
    table = _table("image", "explained", "prediction", "map", "largest at")
    for name, answer in zip(images, answers, strict=True):
        values = answer.map
        row, column = divmod(int(abs(values).argmax()), values.shape[1])
        span = f"{values.min():.3g} to {values.max():.3g}"
        table.add_row(name, str(answer.target), str(answer.prediction), span, f"row {row}, column {column}")
    return table


def _attacked(images: Sequence[str], answers: Sequence[Attack]) -> Table:
    table = _table("image", "outcome", "before", "after", "linf", "l2", "queries")
    for name, answer in zip(images, answers, strict=True):
        outcome = "already wrong" if answer.already_misclassified else "success" if answer.success else "no success"
        note = " (partial)" if answer.partial else ""
        linf, l2 = f"{answer.distance['linf'] * 255:.3g}/255", f"{answer.distance['l2']:.3g}"
        before, after = str(answer.before), str(answer.after)
        table.add_row(name, outcome + note, before, after, linf, l2, str(answer.queries))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        number = name in ("probability", "index", "classes", "linf", "l2", "queries")
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    return table


def _print(table: Table) -> None:
    # Where nobody looks, lines stay whole: they are for grep.
    Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 200).print(table)


def _say(words: str) -> None:
    """A remark to whoever sits there; a program does not want it."""
    if sys.stderr.isatty():
        typer.echo(words, err=True)


# ── keeping ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _check_output(output: Path | None, operation: str, images: int) -> None:
    """Refuse what could not be written, before any work is spent on it."""
    if output is None or output.suffix == ".npz":
        return
    if operation == "classify":
        raise BadParameter(f"classify draws no picture for {output}; give -o FILE.npz to keep the numbers.")
    if output.suffix and output.suffix != ".png" and not output.is_dir():
        raise BadParameter(
            f"{output} is neither .png nor .npz; pictures are PNG, so that no pixel is changed by saving."
        )
    if output.suffix == ".png" and operation == "attack" and images > 1:
        raise BadParameter(f"{images} adversarial pictures do not go into {output}; give a folder.")


def _kept_or_printed(answers: Sequence[Answer], images: Sequence[str], as_json: bool, output: Path | None) -> bool:
    """Write the files that were asked for, and the JSON; whether there is nothing left to show."""
    if output is not None:
        for path, content in _files(answers, images, output):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            _say(f"wrote {path}")
    if as_json:
        typer.echo(json.dumps(reply.to_json(answers[0].reply)))
    return as_json


def _files(answers: Sequence[Answer], images: Sequence[str], output: Path) -> Iterator[tuple[Path, bytes]]:
    """What goes where under `output`."""
    whole = answers[0].reply
    if output.suffix == ".npz":
        yield output, reply.to_npz(whole["results"], {k: v for k, v in whole.items() if k != "results"})
        return
    drawn = [dict(_pictures(answer)) for answer in answers]
    if output.suffix == ".png":
        main = [next(iter(each.values())) for each in drawn]
        sheet = [
            pictures.Panel(pictures.from_png(raw), Path(name).name) for raw, name in zip(main, images, strict=True)
        ]
        yield output, main[0] if len(main) == 1 else pictures.to_png(pictures.sheet(sheet))
        return
    stems = ["image" if name == "-" else Path(name).stem for name in images]
    seen: Counter[str] = Counter()
    for stem, each in zip(stems, drawn, strict=True):
        seen[stem] += 1
        unique = stem if seen[stem] == 1 else f"{stem}-{seen[stem]}"
        for what, raw in each.items():
            yield output / f"{unique}-{what}.png", raw


def _pictures(answer: Answer) -> Iterator[tuple[str, bytes]]:
    """The pictures of one answer as PNG, the main one first."""
    for name in ("overlay", "adversarial"):
        if name in answer.entry:
            yield name, answer.entry[name]
    if "perturbation" in answer.entry:
        yield "perturbation", answer.entry["perturbation"]["picture"]


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
