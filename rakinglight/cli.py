"""The command line, built on the client: tables for people, JSON for programs, pictures into files.

    rakinglight classify cat.jpg                     # asks the service at RAKINGLIGHT_URL
    rakinglight saliency cat.jpg --local -o map.png  # asks nobody
    rakinglight saliency cat.jpg --method gradient,grad_cam --target lynx --target tabby -o maps.png
    rakinglight occlusion cat.jpg --black-box http://127.0.0.1:8000  # has it classify, and does the rest itself
    rakinglight attack *.jpg --method pgd --epsilon 4/255 --fail-on success
    rakinglight steal lenet5-digits digits/ --local --report stolen.html
    rakinglight inversion cat.jpg --method style --style waves.jpg -o picture.png
    rakinglight inversion --method activation_maximization --target lynx -o lynx.png  # of no image
    rakinglight attack cat.jpg --method pgd --steps 1000 --job    # prints an id
    rakinglight jobs watch ID -o adversarial.png

Exit codes:
    0    done
    1    done, and the outcome is the one that `--fail-on` names
    2    the command, an image or a parameter is wrong
    3    no answer: nobody is there, too much is waiting, time ran out, or the job was cancelled
    4    the key is missing, not known, or may not do that
    5    a fault of the service's or the command's own, worth a report
    130  Ctrl-C; what was under way is cancelled, but a job goes on
"""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer

from rakinglight import (
    __version__,
    cli_datasets,
    cli_forced_choice,
    cli_jobs,
    cli_perturbations,
    cli_steal,
    cli_substitutes,
)
from rakinglight.catalogue import OPERATIONS, Operation
from rakinglight.cli_jobs import submitted
from rakinglight.errors import BadParameter
from rakinglight.jobs import ServiceJob
from rakinglight.options import options, value
from rakinglight.plan import check_needs_none, comparable
from rakinglight.tables import table
from rakinglight.terminal import (
    DONE,
    AsJob,
    AsJson,
    Authorised,
    BlackBox,
    DatasetId,
    Deadline,
    FailOn,
    Images,
    JournalFile,
    KeyFile,
    Local,
    MaxRows,
    Methods,
    ModelName,
    Output,
    Parameters,
    Seed,
    TargetFile,
    Url,
    check_output,
    client_of,
    echo_json,
    followed,
    judge,
    numbered,
    print_table,
    show,
    taught,
)

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
    with taught(context), client_of(url, key_file, local) as client:
        described = client.models()
        if as_json:
            echo_json({"models": described})
            return
        found = table("model", "version", "input", "classes", "operations")
        for model in described:
            size = " × ".join(map(str, model["input"]["shape"]))
            operations = ", ".join(operation["name"] for operation in model.get("operations", ()))
            found.add_row(model["name"], model.get("version", ""), size, str(len(model["labels"])), operations)
        print_table(found)


def command(operation: Operation) -> Callable[..., None]:
    """The command of `operation`: the options that all take, and one for each of its parameters."""

    def ask(
        context: typer.Context,
        images: Images = None,
        *,
        model: ModelName = "efficientnet-lite0",
        method: Methods = None,
        fail_on: FailOn = None,
        dataset: DatasetId = None,
        parameter: Parameters = None,
        seed: Seed = 0,
        deadline: Deadline = None,
        max_rows: MaxRows = None,
        job: AsJob = False,
        url: Url = "http://127.0.0.1:8000",
        key_file: KeyFile = None,
        local: Local = False,
        black_box: BlackBox = None,
        target_file: TargetFile = None,
        authorised: Authorised = False,
        journal: JournalFile = None,
        as_json: AsJson = False,
        output: Output = None,
        **given: Any,
    ) -> None:
        with taught(context):
            names = images or []
            if names and dataset:
                raise BadParameter("Give images or a --dataset, and not both.")
            if not (names or dataset or any(not each.needs_image for each in operation.methods)):
                raise BadParameter("Give images or a --dataset.")
            targets = given.pop("target", None) if comparable(operation) else None
            parameters = _parameters(given, parameter)
            asked = _asked(
                operation, [name for names in method or () for name in names.split(",")], targets, parameters
            )
            if not (names or dataset):
                check_needs_none(operation, operation.method(asked["method"]))
            check_output(output, operation, len(names))
            asked |= {"dataset": dataset, "seed": seed, "deadline_s": deadline, "max_rows": max_rows}
            files = [sys.stdin.buffer.read() if name == "-" else Path(name) for name in names]
            if job and (local or black_box or target_file or output or fail_on):
                raise BadParameter(
                    "--job has a service do the work later, so it does not go with --local, --black-box, "
                    "--target-file, -o or --fail-on; `rakinglight jobs watch` takes the last two."
                )
            with client_of(
                url, key_file, local, black_box, target=target_file, authorised=authorised, journal=journal
            ) as client:
                asking = client.model(model)
                if job:
                    accepted = asking.submit(operation.name, files, **asked)
                    assert isinstance(accepted, ServiceJob), "only a service has --job"
                    submitted(accepted, as_json=as_json)
                    return
                if sys.stderr.isatty():
                    news = asking.stream(operation.name, files, **asked)
                    answers = followed(news, operation.name, lambda i: names[i] if names else f"image {i}")
                else:
                    answers = asking.ask(operation.name, files, **asked)
            answers = answers if isinstance(answers, list) else [answers]  # of no image there is the one
            show(operation, names or _unnamed(operation, dataset, answers), answers, output, as_json=as_json)
            judge(answers, fail_on)

    own = dict(inspect.signature(ask, eval_str=True).parameters)
    del own["given"]
    if not operation.methods:
        del own["method"]
    if operation.name != "attack":
        del own["fail_on"]
    taken = {f"--{name.replace('_', '-')}" for name in own}
    first = [own.pop(name) for name in ("context", "images", "model", "method") if name in own]
    set_ = options(operation, several=("target",) if comparable(operation) else (), taken=taken)
    ask.__signature__ = inspect.Signature([*first, *set_, *own.values()])  # type: ignore[attr-defined]
    return ask


for _operation in OPERATIONS.values():
    app.command(_operation.name, help=_operation.summary)(command(_operation))


cli_steal.register(app)
cli_forced_choice.register(app)
app.add_typer(cli_jobs.app, name="jobs")
app.add_typer(cli_datasets.app, name="datasets")
app.add_typer(cli_perturbations.app, name="perturbations")
app.add_typer(cli_substitutes.app, name="substitutes")


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


def _unnamed(operation: Operation, dataset: str | None, answers: Sequence[Any]) -> list[str]:
    """Names for what no file was given of."""
    return numbered(len(answers)) if dataset else [operation.name]


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────


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


def _parameters(given: Mapping[str, Any], pairs: Sequence[str] | None) -> dict[str, Any]:
    """What the options and `-p` said. Raises BadParameter where a pair has no `=`."""
    parameters = {name: value for name, value in given.items() if value not in (None, [])}
    for pair in pairs or ():
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise BadParameter(f"-p {pair!r} names no parameter; it looks like -p steps=20.")
        parameters[name.replace("-", "_")] = value(text)
    return parameters


if __name__ == "__main__":
    main()
