"""Bodies: what a request says, as JSON or as a form, read within its limit and brought into one shape.

A form says the same as the JSON: `image` parts for the images, one field for each simple thing (`method`, `seed`, any
parameter by its name), and one JSON part `request` for what a field cannot say.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import PureWindowsPath
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from rakinglight.catalogue import Operation, types_in
from rakinglight.errors import (
    FIELDS,
    BadParameter,
    FieldError,
    Forbidden,
    InternalError,
    TooLarge,
    Unreadable,
    near,
    shown,
)
from rakinglight.picture_parameters import FORMS, file_of
from rakinglight.plan import kinds_of
from rakinglight.wire import array_from_json
from service.ask import Image
from service.core import Hold
from service.datasets import NAME_LENGTH
from service.settings import Settings

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

#: Bodies above this are parsed in a thread, so that others are not kept waiting.
LARGE = 256 * 1024
#: Parts of a form: more than any limit on images, and all parameters of any method several times over.
MAX_FILES, MAX_FIELDS = 1000, 100
#: Images, names and maps that a JSON body may list; what the settings and the operation allow is fewer, and checked
#: later.
MAX_IMAGES, MAX_INCLUDE, MAX_MAPS = 1000, 100, 1000
#: Values that a field of a form may list with commas between them: more than any parameter takes.
MAX_LISTED = 1000
#: Commas and opening brackets of a JSON text: many more than a thousand images and every parameter need. Reading them
#: keeps all other requests waiting, which no thread can help.
MAX_MARKS = 200_000

#: What a part of a form that is an image is called.
IMAGES = ("image", "images")
#: What a dataset may come as.
DATASETS = ("application/zip", "application/x-npz", "application/octet-stream", "application/x-zip-compressed")


def _at_most(count: int) -> BeforeValidator:
    """Refuses a longer list before anything looks into it."""

    def check(value: Any) -> Any:
        if isinstance(value, list) and len(value) > count:
            raise ValueError(f"it lists {len(value)}; at most {count} can be")
        return value

    return BeforeValidator(check)


def _names(value: Any) -> Any:
    """A name, or a list of names: pydantic alone would say for each of the two why it is not that one."""
    if isinstance(value, list) and not all(isinstance(name, str) for name in value):
        raise ValueError("a method is its name, several are a list of names")
    return value


class Body(BaseModel):
    """What a request may say."""

    model_config = ConfigDict(extra="forbid", strict=True)

    dataset: str | None = Field(None, description="The id of a dataset whose images are meant, instead of images.")
    images: Annotated[list[str | dict[Any, Any]], _at_most(MAX_IMAGES)] = Field(
        default_factory=list, max_length=MAX_IMAGES, description=f"Each is {FORMS}."
    )
    method: Annotated[str | list[str] | None, BeforeValidator(_names), _at_most(MAX_MAPS)] = Field(
        None, description="The method; the operation's first, if it is not named. Several are compared."
    )
    parameters: dict[Any, Any] = Field(default_factory=dict, description="What the operation and the method take.")
    compare: Annotated[list[dict[Any, Any]] | None, _at_most(MAX_MAPS)] = Field(
        None, description="Several maps of each image side by side, instead of method and parameters."
    )
    include: Annotated[Annotated[list[str], Field(max_length=MAX_INCLUDE)] | None, _at_most(MAX_INCLUDE)] = Field(
        None, description="What a result carries beyond numbers and labels; all, if it is not named."
    )
    seed: int = Field(0, description="Every random choice follows it.")
    deadline_s: float | None = Field(None, description="Seconds; where they run out, the answer is the best so far.")
    max_rows: int | None = Field(
        None, description="Rows that each image, and each map of it, may send through the network."
    )
    purpose: str | None = Field(None, description="Why this is done, for the ledger.")


async def read(request: Request, settings: Settings, hold: Hold, limit: int | None = None) -> bytes:
    """The whole body, counted on `hold` as it comes.

    Raises TooLarge as soon as it is over the limit, Unreadable where it is compressed or comes too slowly.
    """
    limit = limit or settings.body_bytes
    if (encoding := request.headers.get("content-encoding", "identity").lower()) != "identity":
        raise Unreadable(f"The body is encoded as {encoding[:40]!r}; send it as it is, images are compressed already.")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise TooLarge(f"The body has {declared} bytes; the limit is {limit}. Send fewer or smaller images.")
    body = bytearray()
    try:
        async with asyncio.timeout(settings.upload_s):
            async for chunk in request.stream():
                if len(body) + len(chunk) > limit:
                    raise TooLarge(f"The body has more than {limit} bytes, the limit. Send fewer or smaller images.")
                hold.add(len(chunk))
                body += chunk
    except TimeoutError:
        raise Unreadable(f"Only {len(body)} bytes of the body came within {settings.upload_s:g} s.") from None
    return bytes(body)


async def said(request: Request, settings: Settings, hold: Hold, kind: type[M]) -> M:
    """The body, a JSON object, as what `kind` says. Raises as `read` does, and BadParameter."""
    values = _object(await read(request, settings, hold), "The body")
    there = kind.model_fields
    unknown = [name for name in values if name not in there][:FIELDS]
    errors = {f"/{name}": f"{shown(name)} is not known here: {near(name, there)}" for name in unknown}
    return _validated(kind, {name: value for name, value in values.items() if name in there}, errors, strict=True)


async def upload(request: Request, settings: Settings, hold: Hold) -> tuple[str, bytes]:
    """The name and the content of the dataset that is the body, or its part `file`. Raises as `read` does.

    A part that comes without a `name` is called as its file.
    """
    raw = await read(request, settings, hold, limit=settings.dataset_bytes)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    name = request.query_params.get("name", "")
    if kind == "multipart/form-data":
        fields = {part.name: part for part in await asyncio.to_thread(_parts, raw, request.headers)}
        if unknown := sorted(fields.keys() - {"file", "name"}):
            raise BadParameter.at(
                f"/{unknown[0]}", f"{shown(unknown[0])} is no part of a dataset: {near(unknown[0], ('file', 'name'))}"
            )
        part, given = fields.get("file"), fields.get("name")
        if part is None or not isinstance(part.content, bytes):
            raise BadParameter.at("/file", "The form has no part `file` with the zip or NPZ (curl: -F file=@pets.zip).")
        name, raw = str(given.content if given else "") or name or _stem(part.file), part.content
    elif kind not in DATASETS:
        raise Unreadable(
            f"The Content-Type is {kind[:60]!r}; send the file itself as one of {', '.join(DATASETS)}, or a form with "
            "a part `file` (curl: -F file=@pets.zip)."
        )
    return name or "dataset", raw


async def parse(raw: bytes, headers: Headers, operation: Operation) -> tuple[Body, list[Image]]:
    """What `raw` says, and its images: files' bytes and exact tensors.

    Raises Unreadable where it is neither JSON nor a form, and BadParameter for a field that is not as it should be.
    """
    from_json, from_form = partial(_from_json, raw, operation), partial(_from_form, raw, headers, operation)
    return await _parsed(raw, headers, from_json, from_form)


async def parse_addressed(raw: bytes, headers: Headers, operation: Operation) -> tuple[str, Body, list[Image]]:
    """As `parse`, and first the name of the model that is meant: `model`, where the path does not say it."""

    def from_json() -> tuple[str, Body, list[Image]]:
        said = _object(raw, "The body")
        return _model(said.pop("model", None)), *_from_object(said, operation)

    def from_form() -> tuple[str, Body, list[Image]]:
        parts = _parts(raw, headers)
        named = [_text(name, content) for name, content, _ in parts if name == "model"]
        name = _model(_only("model", named) if named else None)
        return name, *_from_parts([part for part in parts if part.name != "model"], operation)

    return await _parsed(raw, headers, from_json, from_form)


def _model(name: Any) -> str:
    if not isinstance(name, str):
        said = "is missing" if name is None else f"is {shown(name)}"
        raise BadParameter.at("/model", f"model {said}; it is the name of the model that is meant.")
    return name


async def parse_images(raw: bytes, headers: Headers, operation: Operation) -> list[Image]:
    """The images in `raw`, which may say nothing else.

    Raises Forbidden for whatever stands beside them, before it looks at any of it; else as `parse` does.
    """

    def from_json() -> list[Image]:
        said = _object(raw, "The body")
        check_alone(name for name in said if name != "images")
        return _from_object(said, operation)[1]

    def from_form() -> list[Image]:
        check_alone(part.name for part in _parts(raw, headers) if part.name not in IMAGES)
        return _from_form(raw, headers, operation)[1]

    return await _parsed(raw, headers, from_json, from_form)


def check_alone(beside: Iterable[str]) -> None:
    """Raises Forbidden where there is a name `beside` the images that a black box is asked about."""
    for name in beside:
        raise Forbidden(f"Images alone may be sent with this key, and here is {shown(name)} beside them; leave it out.")


async def _parsed(raw: bytes, headers: Headers, from_json: Callable[[], T], from_form: Callable[[], T]) -> T:
    """What the one of the two finds in `raw` that its Content-Type means. Raises Unreadable where that is neither."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json")):
        work = from_json
    elif kind == "multipart/form-data":
        work = from_form
    else:
        raise Unreadable(
            f"The Content-Type is {kind[:60]!r}; send application/json (curl: -H 'Content-Type: application/json') or "
            "multipart/form-data (curl: -F image=@photograph.jpg)."
        )
    return await asyncio.to_thread(work) if len(raw) > LARGE else work()


# ── JSON ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _from_json(raw: bytes, operation: Operation) -> tuple[Body, list[Image]]:
    return _from_object(_object(raw, "The body"), operation)


def _from_object(said: Mapping[str, Any], operation: Operation) -> tuple[Body, list[Image]]:
    body = _checked(said, operation, strict=True)
    return body, [_image(image, f"/images/{i}") for i, image in enumerate(body.images)]


def _read(raw: bytes | str) -> Any:
    """The value that is written in `raw`. ValueError where it is not JSON, or not one value alone."""

    def refused(constant: str) -> Any:
        raise ValueError(f"{constant} is no JSON")

    def once(members: list[tuple[str, Any]]) -> dict[str, Any]:
        value: dict[str, Any] = {}
        for name, member in members:
            if name in value:
                raise ValueError(f"{shown(name)} is given twice, and which one is meant cannot be known")
            value[name] = member
        return value

    raw = raw if isinstance(raw, bytes) else raw.encode()
    marks = sum(raw.count(mark) for mark in (b",", b"[", b"{"))
    if marks > MAX_MARKS:
        raise ValueError(f"it has {marks} commas and brackets, the limit is {MAX_MARKS}; arrays are sent as base64")
    return json.loads(raw, parse_constant=refused, object_pairs_hook=once)


def _object(raw: bytes | str, what: str) -> dict[str, Any]:
    try:
        value = _read(raw)
    except (ValueError, RecursionError) as e:
        raise Unreadable(f"{what} is not JSON: {str(e)[:200]}.") from None
    if not isinstance(value, dict):
        raise Unreadable(f"{what} is JSON, but no object; it begins with {{.")
    return value


def _checked(values: Mapping[str, Any], operation: Operation, *, strict: bool) -> Body:
    known = {name: value for name, value in values.items() if name in Body.model_fields}
    return _validated(Body, known, _unknown([name for name in values if name not in known], operation), strict=strict)


def _validated(kind: type[M], known: Mapping[str, Any], errors: dict[str, str], *, strict: bool) -> M:
    """`known` as what `kind` says. Raises BadParameter for what is wrong there, and for the `errors` found before."""
    try:
        # Only what is known: pydantic would tell of every other name, and a caller can send millions.
        body = kind.model_validate(known, strict=strict)
    except ValidationError as e:
        for found in e.errors(include_url=False):
            name = str(found["loc"][0])
            if found["type"] == "missing":
                errors.setdefault(f"/{name}", f"{name} is missing: {kind.model_fields[name].description}")
                continue
            # A union says once for each of its kinds what is wrong; the place in the list is what a caller needs.
            pointer = "/" + "/".join(str(part) for part in found["loc"][: 2 if isinstance(known[name], list) else 1])
            message = found["msg"].removeprefix("Value error, ")
            errors.setdefault(pointer, f"{name} is {shown(found['input'])}: {message[0].lower()}{message[1:]}.")
    if errors:
        raise BadParameter(" ".join(errors.values()), errors=[FieldError(*error) for error in errors.items()])
    return body


def _unknown(names: Sequence[str], operation: Operation) -> dict[str, str]:
    """What is wrong with names that are no members, by pointer: each its own, or one for a great many."""
    there, end = Body.model_fields, "What a method takes stands in `parameters`."
    if len(names) > FIELDS:
        return {"": f"{len(names)} names are not known, {shown(names[0])} the first: {near('', there)} {end}"}
    taken = "what a method takes stands in `parameters`, and it is one of these."
    instead = {name: taken if name in operation.takers else f"{near(name, there)} {end}" for name in names}
    return {f"/{name}": f"{shown(name)} is not known beside the images: {instead[name]}" for name in names}


def _image(value: str | Mapping[str, Any], pointer: str) -> Image:
    if not isinstance(value, str):
        if unknown := set(value) - {"dtype", "shape", "data"}:
            detail = f"{shown(sorted(unknown)[0])} is no member of a tensor, which has dtype, shape and data."
            raise BadParameter(f"The tensor at {pointer}: {detail}", errors=[FieldError(pointer, detail)])
        return array_from_json(dict(value), pointer)
    return file_of(value, pointer)


# ── forms ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _from_form(raw: bytes, headers: Headers, operation: Operation) -> tuple[Body, list[Image]]:
    return _from_parts(_parts(raw, headers), operation)


def _from_parts(parts: Iterable[Part], operation: Operation) -> tuple[Body, list[Image]]:
    files: list[Image] = []
    fields: dict[str, list[str]] = defaultdict(list)
    pictures: dict[str, list[str]] = defaultdict(list)
    for name, content, _ in parts:
        if name in IMAGES:
            files.append(content if isinstance(content, bytes) else _image_said(content, f"/images/{len(files)}"))
        elif isinstance(content, bytes) and name in operation.pictures:
            pictures[name].append(base64.b64encode(content).decode())
        else:
            fields[name].append(_text(name, content))
    said = _from_fields(fields, operation)
    sent = {
        name: given if operation.pictures[name] else _only(name, given, "/parameters")
        for name, given in pictures.items()
    }
    said["parameters"] = _both(sent, said["parameters"], "/parameters")
    body = _checked(said, operation, strict=False)
    return body, [*files, *(_image(image, f"/images/{len(files) + i}") for i, image in enumerate(body.images))]


def _image_said(text: str, pointer: str) -> Image:
    """The image that a field says, where a file was expected."""
    try:
        return _image(text, pointer)
    except BadParameter as e:
        raise BadParameter.at(
            pointer, f"{e.detail} A file needs an @ before its name (curl: -F image=@photograph.jpg)."
        ) from None


class Part(NamedTuple):
    """A part of a form: the bytes of a file, which has a name of its own, or the text of a field."""

    name: str
    content: bytes | str
    file: str | None = None


def _parts(raw: bytes, headers: Headers) -> list[Part]:
    boundary = parse_options_header(headers["content-type"])[1].get(b"boundary")
    if not boundary:
        raise Unreadable("The form cannot be read: its Content-Type names no boundary.")
    if b"--" + boundary + b"--" not in raw:
        raise Unreadable(
            f"The form cannot be read: it does not end with its boundary, {shown(boundary.decode('latin-1'))}."
        )

    async def once() -> AsyncGenerator[bytes, None]:
        yield raw

    parser = MultiPartParser(headers, once(), max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=len(raw))
    parser.spool_max_size = len(raw) + 1  # it is in memory already; nothing of it is to touch the disk
    try:
        form = _at_once(parser.parse())
    except (MultiPartException, KeyError, ValueError) as e:
        raise Unreadable(f"The form cannot be read: {str(getattr(e, 'message', e)).rstrip('.')}.") from None
    try:
        return [
            Part(name, part.file.read(), part.filename) if isinstance(part, UploadFile) else Part(name, part)
            for name, part in form.multi_items()
        ]
    finally:
        _at_once(form.close())


def _stem(file: str | None) -> str:
    """The name of a caller's file without its folders and its ending; "" where that could not name a dataset."""
    stem = PureWindowsPath(file or "").stem  # which splits at both kinds of slashes
    return stem if len(stem) <= NAME_LENGTH and stem.isprintable() else ""


def _at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which waits for nothing: so it can be done in a thread, beside the loop."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    raise InternalError("A form that lies in memory was waited for.")


def _text(name: str, content: bytes | str) -> str:
    try:
        return content.decode() if isinstance(content, bytes) else content
    except UnicodeDecodeError:
        raise Unreadable(f"The part {name[:60]!r} is no text; files are sent as parts named image.") from None


def _from_fields(fields: Mapping[str, list[str]], operation: Operation) -> dict[str, Any]:
    """The members of a Body that the fields of a form say."""
    values: dict[str, Any] = {}
    parameters: dict[str, Any] = {}
    written: dict[str, Any] = {}
    for name, given in fields.items():
        if name == "include":
            values[name] = [part.strip() for text in given for part in text.split(",", MAX_INCLUDE) if part.strip()]
        elif name == "method" and len(given) > 1:
            values[name] = given
        elif name in Body.model_fields or name == "request":
            values[name] = _only(name, given)
        else:
            parameters[name] = given[0] if len(given) == 1 else given
    if "request" in values:
        body = _checked(_object(values.pop("request"), "The part 'request'"), operation, strict=True)
        written = body.parameters
        values = _both(values, body.model_dump(include=body.model_fields_set - {"parameters"}), "")
    if "compare" in values and isinstance(values["compare"], str):
        values["compare"] = _written("compare", values["compare"], "/compare")
    if "parameters" in values:
        said = _object(values.pop("parameters"), "The part 'parameters'")
        written = _both(said, written, "/parameters")
    method = _checked(values, operation, strict=False).method
    return values | {"parameters": _both(_typed(parameters, operation, method), written, "/parameters")}


def _only(name: str, given: list[str], pointer: str = "") -> str:
    if len(given) > 1:
        detail = f"{name} is given {len(given)} times; once is enough."
        raise BadParameter.at(f"{pointer}/{name}", detail)
    return given[0]


def _both(one: Mapping[str, Any], other: Mapping[str, Any], pointer: str) -> dict[str, Any]:
    """The members of both. Raises BadParameter for one that is in either."""
    if twice := sorted(one.keys() & other.keys()):
        errors = [FieldError(f"{pointer}/{name}", f"{shown(name)} is given twice; once is enough.") for name in twice]
        raise BadParameter(errors[0].detail, errors=errors)
    return {**one, **other}


def _typed(parameters: Mapping[str, Any], operation: Operation, method: str | Sequence[str] | None) -> dict[str, Any]:
    """Parameters that a form gave as text, as JSON would have them.

    Lists and objects are JSON, or a list is its values with commas between them, or one field each. Text that reads as
    a number or a truth value is one where that is what the parameter takes. What reads as neither stays text, and is
    refused as such.
    """
    known: dict[str, Any] = {}
    for kind in dict.fromkeys(kinds_of(operation, method)):
        known |= {name: field.annotation for name, field in kind.model_fields.items()}
    typed: dict[str, Any] = {}
    for name, value in parameters.items():
        if isinstance(value, str) and value[:1] in ("{", "["):
            value = _written(name, value, f"/parameters/{name}")
        elif get_origin(known.get(name)) is tuple:
            given = [value] if isinstance(value, str) else value
            value = [part for text in given for part in _listed(name, text, known[name])]
        elif isinstance(value, str) and name in known:
            value = _as(known[name], value)
        typed[name] = value
    return typed


def _listed(name: str, text: str, kind: Any) -> list[Any]:
    """The values, with commas between them, that a field says of parameter `name`, which is the tuple `kind`."""
    if text[:1] in ("{", "["):
        return [_written(name, text, f"/parameters/{name}")]
    one = get_args(kind)[0]
    one = get_args(one)[0] if get_origin(one) is Annotated else one
    return [_as(one, part.strip()) for part in text.split(",", MAX_LISTED)]


def _written(name: str, text: str, pointer: str) -> Any:
    """The value that the JSON in a field says."""
    try:
        return _read(text)
    except (ValueError, RecursionError) as e:
        detail = f"{name} is {shown(text)}, which is no JSON: {str(e)[:200]}."
        raise BadParameter.at(pointer, detail) from None


def _as(kind: Any, text: str) -> Any:
    """`text` as the number or the truth value that it says, if it says one and `kind` is that."""
    kinds = types_in(kind)
    one = kinds[0] if len(kinds) == 1 else None
    # Where a whole number is meant, a broken one is refused as such, and not for being text.
    for read in (int, float) if one is int else (one,) if one in (float, bool) else ():
        with suppress(ValidationError):
            return TypeAdapter(read).validate_python(text)
    return text
