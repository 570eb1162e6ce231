"""Between the messages of `protos/` and the plain values of the core: what REST does between JSON and the same values.

One rule serves every message: a field's name is the name of the value. So an operation, a method or a parameter that
the proto gains needs no line here; a test holds the proto to the catalogue.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sized
from typing import Any, TypeVar

import numpy as np
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.unknown_fields import UnknownFieldSet

from rakinglight.errors import BadParameter, FieldError, Forbidden, Unreadable
from rakinglight.picture_parameters import file_of
from rakinglight.plan import Reply
from rakinglight.wire import DTYPES, array_from_json, array_to_json

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


def check_alone(message: Message, *names: str) -> None:
    """Raises Forbidden where `message` says anything but its fields called `names`: a black box is told no more."""
    others = [field.name for field, _ in message.ListFields() if field.name not in names]
    others += ["a field of an unknown number"] * len(UnknownFieldSet(message))
    for name in others[:1]:
        raise Forbidden(f"With this key a request has {' and '.join(names)} alone, and here is {name}; leave it out.")


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
            raise BadParameter.at(pointer, detail)


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


def parameters(message: Message, pointer: str = "") -> tuple[str | None, dict[str, Any]]:
    """The method that an operation's parameters name, if they do, and all that is set among them.

    Raises BadParameter, below `pointer`, for a list of more than MAX_LISTED.
    """
    method: str | None = None
    values: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.is_repeated:
            _check_listed(field.name, value, f"{pointer}/parameters/{field.name}")
        if field.containing_oneof is not None and field.containing_oneof.name == "method":
            method = field.name
            values |= {f.name: _plain(f, v) for f, v in value.ListFields()}
        else:
            values[field.name] = _plain(field, value)
    return method, {name: value for name, value in values.items() if value is not None}


def compared(request: Any) -> list[dict[str, Any]] | None:
    """The entries of `compare`, where a request has any. Raises BadParameter, as `parameters` does."""
    entries = getattr(request, "compare", ())
    _check_listed("compare", entries, "/compare")
    said = [parameters(entry, f"/compare/{i}") for i, entry in enumerate(entries)]
    return [{"method": method, "parameters": values} for method, values in said] or None


def _check_listed(name: str, values: Sized, pointer: str) -> None:
    if len(values) > MAX_LISTED:
        detail = f"{name} lists {len(values)}; at most {MAX_LISTED} can be."
        raise BadParameter.at(pointer, detail)


def _plain(field: FieldDescriptor, value: Any) -> Any:
    """What a field says; None where it is a message in which nothing is set."""
    if field.message_type is not None:
        if not field.is_repeated:
            return _one(value)
        listed = [_one(each) for each in value]
        return listed[0] if len(listed) == 1 and field.message_type.name == "ClassReference" else listed
    if field.enum_type is not None:
        return [named(field.enum_type, each) for each in value] if field.is_repeated else named(field.enum_type, value)
    return list(value) if field.is_repeated else value


def _one(message: Any) -> Any:
    """A class, a picture, a filling, a box, a defence or a perturbation as the parameters have it."""
    if message.DESCRIPTOR.name == "Tensor":
        return array_to_json(tensor(message, "/parameters"))
    if message.DESCRIPTOR.name == "Image":
        given = image(message, "/parameters")
        return base64.b64encode(given).decode() if isinstance(given, bytes) else array_to_json(given)
    if message.DESCRIPTOR.name == "Box":
        return [getattr(message, field.name) for field in message.DESCRIPTOR.fields]
    if "method" in message.DESCRIPTOR.oneofs_by_name:
        method, values = parameters(message)
        return {"method": method or "", "parameters": values}
    (oneof,) = message.DESCRIPTOR.oneofs
    kind = message.WhichOneof(oneof.name)
    if kind is None:
        return None
    if oneof.name == "name":  # a thing with parameters of its own
        return {"name": kind, **{field.name: _plain(field, one) for field, one in getattr(message, kind).ListFields()}}
    value = _plain(message.DESCRIPTOR.fields_by_name[kind], getattr(message, kind))
    return {"rank": value} if kind == "rank" else value


def named(enum: EnumDescriptor, number: int) -> str | int:
    """The name of a value; one that a newer proto may know stays a number, and is refused with the names there are."""
    known = enum.values_by_number.get(number)
    return number if known is None else known.name.removeprefix(_prefix(enum)).lower()


# ── out ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def fill(message: Any, values: Mapping[str, Any]) -> None:
    """Set the fields of `message` to the values of the same names; None is left out.

    KeyError where there is no such field: what the core answers is not to be lost on the way.
    """
    if "method" in values and "method" not in message.DESCRIPTOR.fields_by_name:  # it is said by which is set
        fill_parameters(message.parameters, values["method"], values["parameters"])
        values = {name: value for name, value in values.items() if name not in ("method", "parameters")}
    for name, value in values.items():
        field = message.DESCRIPTOR.fields_by_name[name]
        if value is None:
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            entries, of = getattr(message, name), field.message_type.fields_by_name["value"]
            for key, one in value.items():
                if of.message_type is None:
                    entries[key] = one
                else:
                    _fill_one(entries[key], one)
        elif field.message_type is not None and field.is_repeated:
            for one in value if isinstance(value, list | tuple) else [value]:
                _fill_one(getattr(message, name).add(), one)
        elif field.message_type is not None:
            getattr(message, name).SetInParent()
            _fill_one(getattr(message, name), value)
        elif field.is_repeated:
            getattr(message, name).extend(_scalar(field, one) for one in value)
        elif isinstance(value, Mapping):  # a JSON Schema, which stays what it is
            setattr(message, name, json.dumps(value))
        else:
            setattr(message, name, _scalar(field, value))


def fill_reply(message: Any, reply: Reply) -> None:
    """Set all of a response. Its type says the operation."""
    fill(message, {name: value for name, value in reply.members().items() if name != "operation"})


def job_result(members: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a JobResult, of what came of a job: a reply's members, in which an image's entry may be None, and
    {"href", "sha256", "bytes"} may stand for arrays and pictures.
    """
    artifacts: dict[str, Any] = {}

    def lifted(value: Any, path: str) -> Any:
        match value:
            case {"href": _, "sha256": sha256, "bytes": count}:
                artifacts[path] = {"sha256": sha256, "bytes": count}
                return None
            case Mapping():
                found = {name: lifted(one, f"{path}.{name}") for name, one in value.items()}
                return {name: one for name, one in found.items() if one is not None}
            case list() | tuple():
                return [lifted(one, f"{path}.{i}") for i, one in enumerate(value)]
            case _:
                return value

    response = {name: value for name, value in members.items() if name != "operation"}
    response["results"] = lifted(members["results"], "results")
    if "summary" in members:
        response["summary"] = lifted(members["summary"], "summary")
    unanswered = [i for i, entry in enumerate(members["results"]) if entry is None]
    return {members["operation"]: response, "unanswered": unanswered, "artifacts": artifacts}


def fill_parameters(message: Any, method: str | None, values: Mapping[str, Any]) -> None:
    """Set an operation's parameters, those of the method in the method's own message."""
    own = {name: value for name, value in values.items() if name in message.DESCRIPTOR.fields_by_name}
    fill(message, own)
    if method is not None:
        fill(message, {method: {name: value for name, value in values.items() if name not in own}})


def _fill_one(message: Any, value: Any) -> None:
    """Set a message to a value, which may be something shorter in Python."""
    names = message.DESCRIPTOR.fields_by_name
    match value:
        case {"method": method, "parameters": own} if "method" in message.DESCRIPTOR.oneofs_by_name:
            fill_parameters(message, method, own)
        case {"name": name, **rest} if "name" in message.DESCRIPTOR.oneofs_by_name:
            fill(message, {name: rest})
        case {"dtype": _, "shape": _, "data": _} if "tensor" in names:
            fill(message, {"tensor": array_from_json(dict(value), "")})
        case {"dtype": _, "shape": _, "data": str()} if message.DESCRIPTOR.name == "Tensor":  # as a parameter has it
            _fill_one(message, array_from_json(dict(value), ""))
        case Mapping():
            fill(message, value)
        case np.ndarray():
            little = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
            fill(message, {"dtype": value.dtype.name, "shape": value.shape, "data": little.tobytes()})
        case str() if message.DESCRIPTOR.name == "Image":
            fill(message, {"file": file_of(value, "")})
        case str() if isinstance(message, Timestamp):
            message.FromJsonString(value)
        case list() | tuple():  # a box
            fill(message, dict(zip(names, value, strict=True)))
        case str():
            fill(message, {next(name for name in ("label", "id", "name") if name in names): value})
        case int() | float():
            fill(message, {"index" if "index" in names else "value": value})


def _scalar(field: FieldDescriptor, value: Any) -> Any:
    if field.enum_type is not None:
        return field.enum_type.values_by_name[f"{_prefix(field.enum_type)}{value}".upper()].number
    return math.nan if value is None else value  # in a list, which has no room for nothing


def _prefix(enum: EnumDescriptor) -> str:
    """What the names of an enum's values begin with: they share one room with those of all other enums."""
    return enum.values[0].name.removesuffix("UNSPECIFIED")
