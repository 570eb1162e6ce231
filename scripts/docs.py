"""Writes the parts of `docs/` and of the README that are read out of the code, so that no table is kept by hand.

A page holds its own words and, between two comments, a part that is made here:

    <!-- methods: made by scripts/docs -->
    ...
    <!-- end of methods -->
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rakinglight.catalogue import OPERATIONS, Operation
from rakinglight.method import Method
from rakinglight.parameters import as_fraction

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
#: Those that may have such a part.
PAGES = (ROOT / "README.md", *sorted(DOCS.glob("*.md")))
PART = re.compile(r"(<!-- (?P<name>[a-z-]+): made by scripts/docs -->\n).*?(<!-- end of (?P=name) -->)", re.DOTALL)


def operations() -> str:
    """Every operation in a line, with the names of its methods."""
    rows = [
        [f"`{operation.name}`", ", ".join(f"`{name}`" for name in operation.by_name), operation.summary]
        for operation in OPERATIONS.values()
    ]
    return table(["operation", "methods", ""], rows)


def methods() -> str:
    """Every operation with its methods, and what may be set of each."""
    return "\n\n".join(part for operation in OPERATIONS.values() for part in _operation(operation))


def _operation(operation: Operation) -> Iterator[str]:
    yield f"## `{operation.name}`"
    yield _prose(operation.run)
    facts = [f"Scope `{operation.scope}`."]
    if operation.include:
        facts.append("`include` narrows " + ", ".join(f"`{name}`" for name in operation.include) + ".")
    if operation.picture:
        facts.append(f"`Accept: image/png` answers with `{operation.picture}`.")
    yield " ".join(facts)
    schema = operation.parameters(operation.methods[0] if operation.methods else None).model_json_schema()
    yield _parameters(schema, sorted(operation.own_parameters, key=list(schema["properties"]).index))
    for method in operation.methods:
        yield from _method(operation, method)


def _method(operation: Operation, method: Method[Any]) -> Iterator[str]:
    yield f"### `{operation.name}` by `{method.name}`"
    yield _prose(method.algorithm)
    schema = operation.parameters(method).model_json_schema()
    own = [name for name in schema["properties"] if name not in operation.own_parameters or name in method.defaults]
    yield _parameters(schema, own) if own else "It has no parameters of its own."


def _prose(function: Callable[..., Any]) -> str:
    """The docstring up to where it lists arguments."""
    text = inspect.getdoc(function) or ""
    paragraphs = [p.replace("\n", " ") for p in text.split("\n\n") if not re.match(r"\w+(, \w+)*  +\S|Returns ", p)]
    return "\n\n".join(paragraphs)


def _parameters(schema: dict[str, Any], names: Sequence[str]) -> str:
    rows = []
    for name in names:
        field = schema["properties"][name]
        meaning = next((kind["description"] for kind in _kinds(field) if "description" in kind), "")
        rows.append([f"`{name}`", _type(field, schema), _limits(field), _default(field), meaning])
    return table(["parameter", "type", "limits", "default", "meaning"], rows)


def _kinds(field: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """`field`, and the alternatives that it is made of."""
    yield field
    for kind in field.get("anyOf", ()):
        yield from _kinds(kind)


def _type(field: dict[str, Any], schema: dict[str, Any]) -> str:
    if "$ref" in field:
        members = schema["$defs"][field["$ref"].rpartition("/")[2]]["properties"]
        return "`{" + ", ".join(f'"{name}": {_type(member, schema)}' for name, member in members.items()) + "}`"
    if "enum" in field:
        return ", ".join(f"`{json.dumps(value)}`" for value in field["enum"])
    if "anyOf" in field:
        *single, last = (_type(kind, schema) for kind in field["anyOf"])
        if last == f"list of {' or '.join(single)}":
            return f"{single[0]}, or a list with one an image"
        return " or ".join([*single, last])
    if "prefixItems" in field:
        return f"`[{', '.join(_type(item, schema) for item in field['prefixItems'])}]`"
    if field["type"] == "array":
        return f"list of {_type(field['items'], schema)}"
    return str(field["type"])


def _limits(field: dict[str, Any]) -> str:
    words = {
        "minimum": "≥ {}",
        "ge": "≥ {}",
        "exclusiveMinimum": "> {}",
        "gt": "> {}",
        "maximum": "≤ {}",
        "le": "≤ {}",
        "exclusiveMaximum": "< {}",
        "lt": "< {}",
        "maxItems": "at most {}",
    }
    found = (words[word].format(f"{kind[word]:g}") for kind in _kinds(field) for word in words if word in kind)
    return ", ".join(dict.fromkeys(found))


def _default(field: dict[str, Any]) -> str:
    if "default" not in field:
        return "none: it must be given"
    value = field["default"]
    return f"`{as_fraction(value) if isinstance(value, float) else json.dumps(value)}`"


def errors() -> str:
    """Every code, with the statuses of both doors."""
    from rakinglight.errors import CODES

    kinds = sorted(CODES.values(), key=lambda kind: (kind.status, kind.code))
    rows = [[f"`{kind.code}`", str(kind.status), f"`{kind.grpc_status}`", kind.title] for kind in kinds]
    return table(["code", "HTTP", "gRPC", "title"], rows)


def settings() -> str:
    """Every setting, with its variable, its default and what it means."""
    from service.settings import Settings

    prefix = Settings.model_config["env_prefix"].upper()
    rows = []
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, tuple):
            default = ",".join(default)
        shown = "none" if default in (None, "") else f"`{default}`"
        if isinstance(default, int) and default >= 2**20 and default % 2**20 == 0:
            shown += f", {default // 2**20} MiB"
        rows.append([f"`{prefix}{name.upper()}`", shown, field.description or ""])
    return table(["variable", "default", "meaning"], rows)


def metrics() -> str:
    """Every metric, with its type and labels."""
    from service.engines import EngineState
    from service.metrics import Metrics

    state = EngineState(ready=True, reason="", workers=1, restarts=0, retries=0, waiting=0, running=0)
    engine = SimpleNamespace(state=state, models={})
    core: Any = SimpleNamespace(engine=engine, settings=SimpleNamespace(engine=""), under_way=0, bytes_held=0)
    shown = Metrics(core)
    shown.answered("rest", code="OK", seconds=0.0)  # so that what is counted here has its labels
    shown.asked_black_box(None, "answered", 1)
    shown.noticed("log")
    rows = []
    for family in shown.registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = dict.fromkeys(f"`{label}`" for sample in family.samples for label in sample.labels if label != "le")
        rows.append([f"`{name}`", family.type, ", ".join(labels), family.documentation])
    return table(["metric", "type", "labels", "meaning"], rows)


def cli() -> str:
    """Every command with its arguments and options, and what the exit codes mean."""
    from rakinglight import cli as module

    codes = re.findall(r"^    (\d+) +(.+)$", module.__doc__ or "", re.MULTILINE)
    parts = [part for name, command in _commands() for part in _command(name, command)]
    return "\n\n".join([*parts, "## Exit codes", table(["code", "meaning"], codes)])


def _commands() -> Iterator[tuple[str, Any]]:
    from typer import Typer
    from typer.main import get_command

    from rakinglight.cli import add_commands, app

    everything = Typer()
    everything.registered_commands += app.registered_commands
    everything.registered_groups += app.registered_groups
    add_commands(everything)
    yield from _leaves("", get_command(everything))


def _leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """`command`, or the commands below it, in order of name."""
    below: dict[str, Any] = getattr(command, "commands", {})
    if not below:
        yield name, command
    for word in sorted(below):
        yield from _leaves(f"{name} {word}".strip(), below[word])


def _command(name: str, command: Any) -> Iterator[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    yield f"## `rakinglight {name}{''.join(f' {_metavar(p)}' for p in arguments)}`"
    yield re.sub(r"(?<=\S)\n(?=\S)", " ", inspect.cleandoc(command.help or ""))
    rows = []
    for option in options:
        names = ", ".join(f"`{spelling}`" for spelling in [*option.opts, *option.secondary_opts])
        # What a command leaves to the service to fill in has no default of its own, but says what it will be.
        default = option.show_default if isinstance(option.show_default, str) else option.default
        shown = "" if default in (None, False, (), []) or callable(default) else f"`{default}`"
        rows.append([names, shown, option.help or ""])
    if rows:
        yield table(["option", "default", "meaning"], rows)


def _metavar(argument: Any) -> str:
    name = (argument.metavar or argument.name).strip("[].").upper()
    return f"{name}..." if argument.nargs == -1 else str(name)


def commands() -> dict[str, set[str]]:
    """Each command and the long names of its options."""
    return {
        name: {spelling for p in command.params for spelling in p.opts if spelling.startswith("--")} - {"--help"}
        for name, command in _commands()
    }


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


PARTS: dict[str, Callable[[], str]] = {f.__name__: f for f in (operations, methods, errors, settings, metrics, cli)}


def fresh(page: str) -> str:
    """`page` with its made parts as the code has them now."""
    return PART.sub(lambda found: f"{found[1]}\n{PARTS[found['name']]()}\n\n{found[3]}", page)


def main(arguments: Sequence[str]) -> int:
    """Write every page that is out of date, or with `--check` only name it. Returns the exit code."""
    stale = []
    for path in PAGES:
        page = path.read_text(encoding="utf-8")
        if (new := fresh(page)) != page:
            stale.append(path.name)
            if "--check" not in arguments:
                path.write_text(new, encoding="utf-8")
    if not stale:
        print("docs/ is up to date.")
        return 0
    if "--check" in arguments:
        print(f"Out of date: {', '.join(stale)}. `make docs` writes them anew.")
        return 1
    print(f"Written: {', '.join(stale)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
