"""The options of a command: what typer makes of parameters of every kind, and of methods that differ."""

import inspect
from collections.abc import Collection
from typing import Annotated, Any, Literal

import pytest
import typer
from pydantic import Field
from typer.testing import CliRunner

from rakinglight.catalogue import OPERATIONS, Operation, types_in
from rakinglight.errors import BadParameter
from rakinglight.method import Method
from rakinglight.options import listed, number, options, value
from rakinglight.parameters import Epsilon, LayerNames, NormChoice, Steps, Target

Width = Annotated[int | None, Field(gt=0, lt=9, description="How wide.")]
Sizes = Annotated[tuple[int, ...], Field(description="How large.")]
Boxes = Annotated[tuple[tuple[int, int], ...], Field(description="Where.")]
Smooth = Annotated[bool, Field(description="Whether to smooth.")]


def short(
    *, steps: Steps = 10, norm: NormChoice = "linf", sizes: Sizes = (), boxes: Boxes = (), smooth: Smooth = True
) -> Any:
    """The short way."""


def long(
    *, steps: Steps = 100, norm: Annotated[Literal["l1", "l2"], Field(description="Another.")] = "l2", width: Width = 3
) -> Any:
    """The long way."""


def walk(*, target: Target = None, epsilon: Epsilon = 8 / 255, layers: LayerNames = ()) -> Any:
    """Walk."""


WALK = Operation(walk, methods=(Method(short), Method(long)))


def program(operation: Operation, given: dict[str, Any], several: Collection[str] = ()) -> typer.Typer:
    """A program with the options of `operation`, which puts what it was given into `given`."""

    def command(**said: Any) -> None:
        given.update({name: v for name, v in said.items() if v not in (None, [])})

    command.__signature__ = inspect.Signature(options(operation, several))  # type: ignore[attr-defined]
    app = typer.Typer(add_completion=False)
    app.command()(command)
    return app


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ([], {}),
        (["--steps", "7"], {"steps": 7}),
        (["--epsilon", "8/255"], {"epsilon": "8/255"}),
        (["--target", "7"], {"target": 7}),
        (["--target", '{"rank": -1}'], {"target": {"rank": -1}}),
        (["--target", "tabby cat"], {"target": "tabby cat"}),
        (["--norm", "l1"], {"norm": "l1"}),
        (["--norm", "linf"], {"norm": "linf"}),
        (["--sizes", "3", "--size", "5"], {"sizes": [3, 5]}),
        (["--sizes", "3,5", "--size", "7"], {"sizes": [3, 5, 7]}),
        (["--sizes", "[3, 5]"], {"sizes": [3, 5]}),
        (["--layers", "7, conv1"], {"layers": ["7", "conv1"]}),
        (["--target", "7,9"], {"target": [7, 9]}),
        (["--target", "tabby, tabby cat"], {"target": "tabby, tabby cat"}),
        (["--box", "3,5", "--boxes", "[7, 9]"], {"boxes": [[3, 5], [7, 9]]}),
        (["--layer", "7"], {"layers": ["7"]}),
        (["--no-smooth"], {"smooth": False}),
        (["--width", "2"], {"width": 2}),
    ],
    ids=lambda said: " ".join(said) if isinstance(said, list) else "",
)
def test_what_is_given_is_what_the_catalogue_reads(arguments: list[str], given: dict[str, Any]) -> None:
    found: dict[str, Any] = {}
    shown = CliRunner().invoke(program(WALK, found), arguments)
    assert (shown.exit_code, found) == (0, given), shown.output


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (["--target", "tabby cat", "--target", "7"], ["tabby cat", 7]),
        (["--target", '{"rank": 2}'], [{"rank": 2}]),
    ],
    ids=["two", "one"],
)
def test_what_is_compared_may_be_given_again(arguments: list[str], given: list[Any]) -> None:
    found: dict[str, Any] = {}
    shown = CliRunner().invoke(program(WALK, found, several=("target",)), arguments)
    assert (shown.exit_code, found) == (0, {"target": given}), shown.output


def test_a_choice_that_there_is_not_is_refused_in_plain_words() -> None:
    shown = CliRunner().invoke(program(WALK, {}), ["--norm", "l3"], env={"COLUMNS": "220"}).output
    assert "Invalid value for '--norm': 'l3' is not one of 'linf', 'l2', 'l1'." in shown


@pytest.mark.parametrize("arguments", [["--norm", "l3"], ["--steps", "many"], ["--size", "big"], ["--stepz", "3"]])
def test_what_typer_can_tell_it_refuses(arguments: list[str]) -> None:
    assert CliRunner().invoke(program(WALK, {}), arguments).exit_code == 2


def test_help_says_meaning_limits_methods_and_default() -> None:
    shown = CliRunner().invoke(program(WALK, {}), ["--help"], env={"COLUMNS": "220"}).output
    said = {words[1]: " ".join(words[2:]) for line in shown.splitlines() if len(words := line.split()) > 2}
    assert (
        "Number of gradient steps. At least 1, at most 1000. [default: (10 by short; 100 by long)]" in said["--steps"]
    )
    assert "How wide. Above 0, below 9. Only long. [default: (3)]" in said["--width"]
    assert "[default: (8/255)]" in said["--epsilon"]
    assert "<linf | l2 | l1>" in said["--norm"]
    assert "default" not in said["--target"]


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda operation: operation.name)
def test_every_parameter_of_every_method_has_one(operation: Operation) -> None:
    names = {name for method in operation.methods or (None,) for name in operation.parameters(method).model_fields}
    assert {option.name for option in options(operation)} == names


@pytest.mark.parametrize(
    ("text", "read"), [("1,2", [1, 2]), ("[1, 2]", [1, 2]), ("1,2]", "1,2]"), ("left", "left"), ("", "")]
)
def test_a_list_needs_no_brackets(text: str, read: Any) -> None:
    assert listed(text) == read


@pytest.mark.parametrize(("text", "read"), [("7", 7), ("8/255", "8/255"), ("[1, 2]", [1, 2]), ("cat", "cat")])
def test_text_is_json_where_it_can_be(text: str, read: Any) -> None:
    assert value(text) == read


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda operation: operation.name)
def test_a_number_that_is_typed_at_the_command_line_is_a_number(operation: Operation) -> None:
    for method in operation.methods or (None,):
        for name, (hint, default) in operation.fields(method).items():
            if types_in(hint) == [float]:
                typed = number(str(default if isinstance(default, float) else 5.0))
                assert f"/parameters/{name}" not in faults(operation, method, {name: typed})
    assert (number("8/255"), number(".5"), number("-1")) == ("8/255", 0.5, -1)


def faults(operation: Operation, method: Method[Any] | None, parameters: dict[str, Any]) -> set[str | None]:
    """Where the parameters are at fault: others may be needed, and missing."""
    try:
        operation.read(method, parameters)
    except BadParameter as e:
        return {error.pointer for error in e.errors}
    return set()
