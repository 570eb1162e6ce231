"""Bodies: what a request says, as JSON or as a form, read within its limit and brought into one shape.

A form says the same as the JSON: `image` parts for the images, one field for each simple thing (`method`, `seed`, any
parameter by its name), and one JSON part `request` for what a field cannot say.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Mapping
from functools import partial
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from rakinglight.catalogue import Operation
from rakinglight.errors import BadParameter, FieldError, TooLarge, Unreadable, near
from rakinglight.wire import array_from_json
from service.core import Hold, Image
from service.settings import Settings

#: Bodies above this are parsed in a thread, so that others are not kept waiting.
LARGE = 256 * 1024
#: Parts of a form: more than any limit on images, and all parameters of any method several times over.
MAX_FILES, MAX_FIELDS = 1000, 100

_IMAGE = "base64 of a PNG, JPEG, WebP, BMP or GIF file, or an exact tensor {dtype, shape, data} with values in [0, 1]"


class Body(BaseModel):
    """What a request may say."""

    model_config = ConfigDict(extra="forbid", strict=True)

    images: list[str | dict[str, Any]] = Field(default_factory=list, description=f"Each is {_IMAGE}.")
    method: str | None = Field(None, description="The method; the operation's first, if it is not named.")
    parameters: dict[str, Any] = Field(default_factory=dict, description="What the operation and the method take.")
    include: list[str] | None = Field(
        None, description="What a result carries beyond numbers and labels; all, if it is not named."
    )
    seed: int = Field(0, description="Every random choice follows it.")
    deadline_s: float | None = Field(None, description="Seconds; what was reached by then is the answer.")
    max_rows: int | None = Field(None, description="Rows that each image may send through the network.")
    purpose: str | None = Field(None, description="Why this is done, for the ledger.")


async def read(request: Request, settings: Settings, hold: Hold) -> bytes:
    """The whole body, counted on `hold` as it comes.

    Raises TooLarge as soon as it is over the limit, Unreadable where it is compressed or comes too slowly.
    """
    limit = settings.body_bytes
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


async def parse(raw: bytes, headers: Headers, operation: Operation) -> tuple[Body, list[Image]]:
    """What `raw` says, and its images: files' bytes and exact tensors.

    Raises Unreadable where it is neither JSON nor a form, and BadParameter for a field that is not as it should be.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json")):
        work = partial(_from_json, raw)
    elif kind == "multipart/form-data":
        work = partial(_from_form, await _parts(raw, headers), operation)
    else:
        raise Unreadable(
            f"The Content-Type is {kind[:60]!r}; send application/json (curl: -H 'Content-Type: application/json') or "
            "multipart/form-data (curl: -F image=@photograph.jpg)."
        )
    return await asyncio.to_thread(work) if len(raw) > LARGE else work()


# ── JSON ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _from_json(raw: bytes) -> tuple[Body, list[Image]]:
    body = _checked(_object(raw, "The body"), strict=True)
    return body, [_image(image, f"/images/{i}") for i, image in enumerate(body.images)]


def _object(raw: bytes | str, what: str) -> dict[str, Any]:
    def refused(constant: str) -> Any:
        raise ValueError(f"{constant} is no JSON")

    try:
        value = json.loads(raw, parse_constant=refused)
    except (ValueError, RecursionError) as e:
        raise Unreadable(f"{what} is not JSON: {str(e)[:200]}.") from None
    if not isinstance(value, dict):
        raise Unreadable(f"{what} is JSON, but no object; it begins with {{.")
    return value


def _checked(values: Mapping[str, Any], *, strict: bool) -> Body:
    try:
        return Body.model_validate(values, strict=strict)
    except ValidationError as e:
        errors: dict[str, str] = {}
        for found in e.errors(include_url=False):
            name = str(found["loc"][0])
            # A union says once for each of its kinds what is wrong; the place in the list is what a caller needs.
            pointer = "/" + "/".join(str(part) for part in found["loc"][: 2 if isinstance(values[name], list) else 1])
            if found["type"] == "extra_forbidden":
                detail = f"{name!r} is not known beside the images: {near(name, Body.model_fields)}"
                if name not in Body.model_fields:
                    detail += " What a method takes stands in `parameters`."
            else:
                detail = f"{name} is {str(found['input'])[:80]!r}: {found['msg'][0].lower()}{found['msg'][1:]}."
            errors.setdefault(pointer, detail)
        raise BadParameter(" ".join(errors.values()), errors=[FieldError(*error) for error in errors.items()]) from None


def _image(value: str | Mapping[str, Any], pointer: str) -> Image:
    if not isinstance(value, str):
        if unknown := set(value) - {"dtype", "shape", "data"}:
            detail = f"{sorted(unknown)[0]!r} is no member of a tensor, which has dtype, shape and data."
            raise BadParameter(f"The tensor at {pointer}: {detail}", errors=[FieldError(pointer, detail)])
        return array_from_json(dict(value), pointer)
    text = re.sub(r"^data:[\w/+.-]*;base64,", "", value[:100]) + value[100:]
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as e:
        detail = f"The image is not base64 ({e}); it is {_IMAGE}."
        raise BadParameter(detail, errors=[FieldError(pointer, detail)]) from None


# ── forms ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _from_form(parts: Iterable[tuple[str, bytes | str]], operation: Operation) -> tuple[Body, list[Image]]:
    files: list[Image] = []
    fields: dict[str, list[str]] = defaultdict(list)
    for name, content in parts:
        if name in ("image", "images"):
            files.append(content if isinstance(content, bytes) else _image(content, f"/images/{len(files)}"))
        else:
            fields[name].append(_text(name, content))
    body = _checked(_from_fields(fields, operation), strict=False)
    return body, [*files, *(_image(image, f"/images/{len(files) + i}") for i, image in enumerate(body.images))]


async def _parts(raw: bytes, headers: Headers) -> list[tuple[str, bytes | str]]:
    """The parts of a form by name: bytes of files, text of fields."""

    async def once() -> AsyncGenerator[bytes, None]:
        yield raw

    parser = MultiPartParser(headers, once(), max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=len(raw))
    parser.spool_max_size = len(raw) + 1  # it is in memory already; nothing of it is to touch the disk
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as e:
        raise Unreadable(f"The form cannot be read: {getattr(e, 'message', e)}.") from None
    try:
        return [
            (name, await part.read() if isinstance(part, UploadFile) else part) for name, part in form.multi_items()
        ]
    finally:
        await form.close()


def _text(name: str, content: bytes | str) -> str:
    try:
        return content.decode() if isinstance(content, bytes) else content
    except UnicodeDecodeError:
        raise Unreadable(f"The part {name[:60]!r} is no text; files are sent as parts named image.") from None


def _from_fields(fields: Mapping[str, list[str]], operation: Operation) -> dict[str, Any]:
    """The members of a Body that the fields of a form say."""
    values: dict[str, Any] = {}
    parameters: dict[str, Any] = {}
    for name, given in fields.items():
        if name == "include":
            values[name] = [part.strip() for text in given for part in text.split(",") if part.strip()]
        elif name in ("request", "parameters"):
            said = _object(given[0], f"The part {name!r}")
            values |= said if name == "request" else {}
            parameters |= said if name == "parameters" else said.pop("parameters", {})
        elif name in Body.model_fields:
            values[name] = given[0]
        else:
            parameters[name] = given[0] if len(given) == 1 else given
    return values | {"parameters": _typed(parameters, operation, values.get("method"))}


def _typed(parameters: Mapping[str, Any], operation: Operation, method: str | None) -> dict[str, Any]:
    """Parameters that a form gave as text: lists and objects are JSON, and one value may stand for a list of one."""
    known = operation.parameters(operation.method(method)).model_json_schema()["properties"]
    typed: dict[str, Any] = {}
    for name, value in parameters.items():
        if isinstance(value, str) and value[:1] in ("{", "["):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                detail = f"{name} is {value[:60]!r}, which is no JSON."
                raise BadParameter(detail, errors=[FieldError(f"/parameters/{name}", detail)]) from None
        elif isinstance(value, str) and known.get(name, {}).get("type") == "array":
            value = [value]
        typed[name] = value
    return typed
