"""The options of an operation's command, read from the catalogue: one for each parameter of it and of its methods.

Typer is told of choices, flags, whole numbers and what may be given again. The rest stays text, for the catalogue to
read as it reads text from anywhere, and limits are the catalogue's to check. Needs no torch.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from rakinglight.catalogue import Operation, types_in
from rakinglight.parameters import PerImage, as_fraction
from rakinglight.picture_parameters import IsPicture

#: The limits that a parameter may have, by their names in `annotated_types`.
LIMITS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below", "max_length": "at most"}


def options(
    operation: Operation, several: Collection[str] = (), taken: Collection[str] = ()
) -> list[inspect.Parameter]:
    """The options, as arguments of a function. One that is not given is None: whoever answers fills in the default.

    several  parameters of one value of which a command takes more than one, to compare: theirs is a list
    taken    names of the command's other options, which no short form may have
    """
    by_name: dict[str, dict[str, tuple[Any, Any]]] = {}
    for method in operation.methods or (None,):
        for name, field in operation.fields(method).items():
            by_name.setdefault(name, {})[method.name if method else ""] = field
    return [_option(name, fields, len(operation.methods), name in several, taken) for name, fields in by_name.items()]


def value(text: str) -> Any:
    """A number, a list or an object where `text` is JSON, else the text itself: a label, or 8/255."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def listed(text: str) -> Any:
    """A list, as JSON or without its brackets: 10,20,110,120."""
    if not text.strip():
        return text  # which names nothing, and is not to pass for a list of nothing
    read = value(f"[{text}]")
    return value(text) if isinstance(read, str) or text.lstrip().startswith("[") else read


def one_or_several(text: str) -> Any:
    """A value, or where `text` is a list without its brackets, a list: of each image its own."""
    read = value(text)
    return listed(text) if isinstance(read, str) else read


def either(choices: Sequence[str]) -> str:
    """How a help text names `choices`: with spaces, at which a line may break."""
    return f"<{' | '.join(choices)}>"


def _option(
    name: str, fields: Mapping[str, tuple[Any, Any]], methods: int, several: bool, taken: Collection[str]
) -> inspect.Parameter:
    """The option of parameter `name`; `fields` are its type and default by those of the `methods` that have it."""
    pictures = any(note is IsPicture for hint, _ in fields.values() for note in _notes(hint))
    read, how = _read(list(dict.fromkeys(kind for hint, _ in fields.values() for kind in types_in(hint))))
    if pictures:
        many = any(get_origin(kind) is tuple for hint, _ in fields.values() for kind in types_in(hint))
        read, how = list[str] if many else str, {"metavar": "<file>"}
    if several:
        read = list[read]  # type: ignore[valid-type]
    spellings: list[str] = []  # typer's own
    if get_origin(read) is list:  # one at a time: --layers conv1 --layer conv2
        plural = f"--{name.replace('_', '-')}"
        singular = plural.removesuffix("es") if plural.endswith("xes") else plural.removesuffix("s")
        spellings = [plural] if singular in taken else list(dict.fromkeys((plural, singular)))

    notes = {method: list(_notes(hint)) for method, (hint, _) in fields.items()}
    meanings = [note.description for found in notes.values() for note in found if getattr(note, "description", None)]
    limits = _by_method({method: _limits(found) for method, found in notes.items()})
    only = f"only {', '.join(fields)}" if len(fields) < methods else ""
    again = "given again, the maps of all are side by side" if several else ""
    own = any(note is PerImage for found in notes.values() for note in found)
    each = "with commas between them, each image's own" if own and not several else ""
    beside = (said for said in (limits, only, again, each) if said)
    if pictures:  # here they are files, whatever the forms in which they are sent
        meanings = [meaning for meaning in meanings if "base64" not in meaning]
    help_ = " ".join([*meanings[:1], *(f"{said[0].upper()}{said[1:]}." for said in beside)])
    default = _by_method({method: _shown(default) for method, (_, default) in fields.items()})

    annotation: Any = Annotated[read | None, typer.Option(*spellings, help=help_, show_default=default or False, **how)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _read(kinds: Sequence[Any]) -> tuple[Any, dict[str, Any]]:
    """The type that typer reads where any of `kinds` is meant, and what else it has to know for that."""
    match kinds:
        case [one] if get_origin(one) in (list, tuple):
            read, how = _read(types_in(get_args(one)[0]))
            if get_origin(read) is list:  # a list of lists, one at a time
                return list[str], {"parser": listed, "metavar": "<list>"}
            if get_origin(read) is Literal:  # typer knows lists, and choices, and no list of choices
                return list[str], {"metavar": either(get_args(read)), "callback": taken_apart(str)}
            as_what = value if "parser" in how else read
            return list[str], {"metavar": "<list>", "callback": taken_apart(as_what)}
        case [one] if one in (bool, int):
            return one, {}
        case [one] if one is float:
            return str, {"parser": number, "metavar": "<number>"}
        case [one] if one is str:
            return str, {}
        case _ if all(get_origin(kind) is Literal for kind in kinds):
            choices = tuple(dict.fromkeys(choice for kind in kinds for choice in get_args(kind)))
            return str, {"parser": _one_of(choices), "metavar": either(choices)}
        case _:
            return str, {"parser": one_or_several, "metavar": "<value>"}


def number(text: str) -> float | str:
    """A number; what is none as it is, since 8/255 is one too."""
    for read in (int, float):
        with suppress(ValueError):
            return read(text)
    return text


def _one_of(choices: Sequence[str]) -> Callable[[str], str]:
    """A parser that takes one of `choices`; of typer's own, the error tells which library found it."""

    def choice(text: str) -> str:
        if text not in choices:
            raise typer.BadParameter(f"{text!r} is not one of {', '.join(map(repr, choices))}.")
        return text

    return choice


def taken_apart(read: Callable[[str], Any]) -> Callable[[list[str] | None], list[Any] | None]:
    """A callback that reads each of the values that an option was given, one at a time or with commas between them."""

    def read_each(given: list[str] | None) -> list[Any] | None:
        try:
            return given and [one for text in given for one in _parts(text, read)]
        except ValueError as fault:
            raise typer.BadParameter(str(fault)) from None

    return read_each


def _parts(text: str, read: Callable[[str], Any]) -> list[Any]:
    found = value(text)
    if isinstance(found, list | dict):
        return found if isinstance(found, list) else [found]
    return [read(part.strip()) for part in text.split(",")]


def _notes(hint: Any) -> Iterator[Any]:
    """All that `hint` and the types in it are annotated with; a pydantic Field holds the limits that it was given."""
    for note in getattr(hint, "__metadata__", ()):
        yield from (note, *getattr(note, "metadata", ()))
    for part in get_args(hint):
        yield from _notes(part)


def _limits(notes: Sequence[Any]) -> str:
    return ", ".join(
        f"{word} {getattr(note, limit)}" for note in notes for limit, word in LIMITS.items() if hasattr(note, limit)
    )


def _shown(default: Any) -> str:
    if any(default is nothing for nothing in (None, False, ...)) or default == ():
        return ""
    if isinstance(default, tuple):
        return ", ".join(map(_shown, default))
    return as_fraction(default) if isinstance(default, float) else str(default)


def _by_method(texts: Mapping[str, str]) -> str:
    """What `texts` say: the one text where they agree, else each with its methods."""
    different = list(dict.fromkeys(texts.values()))
    if len(different) == 1:
        return different[0]
    return "; ".join(f"{text} by {', '.join(m for m in texts if texts[m] == text)}" for text in different if text)
