"""Between the messages of `protos/` and the plain values of the core: what REST does between JSON and the same values.

One rule serves every message: a field's name is the name of the value. So an operation, a method or a parameter that
the proto gains needs no line here; a test holds the proto to the catalogue.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from rakinglight.errors import BadParameter, FieldError, Unreadable
from rakinglight.wire import DTYPES
from service.core import Reply

#: Members of a list among the parameters that are looked at; what an operation takes is fewer, and checked later.
MAX_LISTED = 1000

M = TypeVar("M", bound=Message)
Array = np.ndarray[Any, Any]


def parse(kind: type[M], raw: bytes) -> M:
    """The message of `kind` that `raw` holds. Raises Unreadable."""
    try:
        return kind.FromString(raw)
    except DecodeError as e:
        name = kind.DESCRIPTOR.full_name
        raise Unreadable(f"The {len(raw)} bytes are no {name}; is the caller's code made from this proto?") from e


# ── in ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def image(message: Any, pointer: str) -> bytes | Array:
    """The bytes of an Image's file, or its exact tensor. Raises BadParameter, naming `pointer`, where it is neither."""
    match message.WhichOneof("source"):
        case "file":
            return bytes(message.file)
        case "tensor":
            return tensor(message.tensor, f"{pointer}/tensor")
        case _:
            detail = "The image is empty: set `file` to the bytes of a PNG, JPEG, WebP, BMP or GIF, or set `tensor`."
            raise BadParameter(detail, errors=[FieldError(pointer, detail)])


def tensor(message: Any, pointer: str) -> Array:
    """The array that a Tensor says. Raises BadParameter, naming `pointer`."""

    def wrong(detail: str) -> BadParameter:
        return BadParameter(f"The tensor at {pointer}: {detail}", errors=[FieldError(pointer, detail)])

    shape = list(message.shape)
    if message.dtype not in DTYPES:
        raise wrong(f"dtype {message.dtype[:40]!r} is not one of {', '.join(sorted(DTYPES))}.")
    if len(shape) > 8 or not all(0 < n < 2**31 for n in shape):
        raise wrong(f"shape {shape[:9]} is not a list of up to 8 positive integers.")
    dtype = np.dtype(message.dtype).newbyteorder("<")
    wanted = math.prod(shape) * dtype.itemsize
    if len(message.data) != wanted:
        raise wrong(f"data holds {len(message.data)} bytes, {message.dtype} of shape {shape} is {wanted}.")
    return np.frombuffer(message.data, dtype=dtype).astype(message.dtype, copy=False).reshape(shape)


def parameters(message: Message) -> tuple[str | None, dict[str, Any]]:
    """The method that an operation's parameters name, if they do, and all that is set among them.

    Raises BadParameter for a list of more than MAX_LISTED.
    """
    method: str | None = None
    values: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.is_repeated and len(value) > MAX_LISTED:
            detail = f"{field.name} lists {len(value)}; at most {MAX_LISTED} can be."
            raise BadParameter(detail, errors=[FieldError(f"/parameters/{field.name}", detail)])
        if field.containing_oneof is not None and field.containing_oneof.name == "method":
            method = field.name
            values |= {f.name: _plain(f, v) for f, v in value.ListFields()}
        else:
            values[field.name] = _plain(field, value)
    return method, values


def _plain(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is not None:
        references = [_class_reference(reference) for reference in value]
        return references[0] if len(references) == 1 else references
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        # One that a newer proto may know goes on as its number, and is refused with the names that there are.
        return value if known is None else known.name.removeprefix(_prefix(field.enum_type)).lower()
    return list(value) if field.is_repeated else value


def _class_reference(message: Any) -> int | str | dict[str, int] | None:
    kind = message.WhichOneof("reference")
    return {"rank": message.rank} if kind == "rank" else getattr(message, kind) if kind else None


# ── out ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def fill(message: Any, values: Mapping[str, Any]) -> None:
    """Set the fields of `message` to the values of the same names; None is left out.

    KeyError where there is no such field: what the core answers is not to be lost on the way.
    """
    for name, value in values.items():
        field = message.DESCRIPTOR.fields_by_name[name]
        if value is None:
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            for key, one in value.items():
                fill(getattr(message, name)[key], _members(one))
        elif field.message_type is not None and field.is_repeated:
            for one in value if isinstance(value, list | tuple) else [value]:
                fill(getattr(message, name).add(), _members(one))
        elif field.message_type is not None:
            getattr(message, name).SetInParent()
            fill(getattr(message, name), _members(value))
        elif field.enum_type is not None:
            setattr(message, name, f"{_prefix(field.enum_type)}{value}".upper())
        elif field.is_repeated:
            getattr(message, name).extend(value)
        elif isinstance(value, Mapping):  # a JSON Schema, which stays what it is
            setattr(message, name, json.dumps(value))
        else:
            setattr(message, name, value)


def fill_reply(message: Any, reply: Reply) -> None:
    """Set all of a response. Its type says the operation, and the one that is set among its parameters the method."""
    fill_parameters(message.parameters, reply.method, reply.parameters)
    said_otherwise = {"operation", "method", "parameters"}
    fill(message, {name: value for name, value in reply.members().items() if name not in said_otherwise})


def fill_parameters(message: Any, method: str | None, values: Mapping[str, Any]) -> None:
    """Set an operation's parameters, those of the method in the method's own message."""
    own = {name: value for name, value in values.items() if name in message.DESCRIPTOR.fields_by_name}
    fill(message, own)
    if method is not None:
        fill(message, {method: {name: value for name, value in values.items() if name not in own}})


def _members(value: Any) -> Mapping[str, Any]:
    """The fields of a value that is a message in the proto and something shorter in Python."""
    match value:
        case np.ndarray():
            little = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
            return {"dtype": value.dtype.name, "shape": value.shape, "data": little.tobytes()}
        case None:
            return {}
        case int():
            return {"index": value}
        case str():
            return {"label": value}
        case _:
            return value  # type: ignore[no-any-return]


def _prefix(enum: EnumDescriptor) -> str:
    """What the names of an enum's values begin with: they share one room with those of all other enums."""
    return f"{enum.name}_".upper()
