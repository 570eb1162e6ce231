"""Parameters that are pictures: a style, a start, masks. Needs no torch to be imported.

    as it is sent     the base64 of a PNG, JPEG, WebP, BMP or GIF file, or an exact tensor, as any image
    as it is decoded  a tensor in JSON's form: uint8 [H, W, C] of a file, C of 1 or 3, or float32 [C, H, W]

A door decodes, in its process with limits, before anything is asked of an engine (`Plan.showing`). So an algorithm only
ever gets the second, and makes of it what it needs: `seen`, or `at_own_size`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

import numpy as np
from pydantic import BaseModel, BeforeValidator, FailFast, Field

from rakinglight import eight_bit, images
from rakinglight.card import Card
from rakinglight.errors import BadParameter, FieldError, NotAnImage, TooLarge
from rakinglight.wire import array_from_json

if TYPE_CHECKING:
    from torch import Tensor

    from rakinglight.subject import Subject

Array = np.ndarray[Any, Any]

#: Pictures that one parameter may list.
MOST = 1000
#: Bytes of all pictures of a request among the parameters: as they are sent, since the reply repeats them, and decoded,
#: since a message to the engine carries them in base64 beside the images.
SENT_BYTES, DECODED_BYTES = 32 * 2**20, 72 * 2**20
#: What a picture is sent as.
FORMS = (
    "the base64 of a PNG, JPEG, WebP, BMP or GIF file, or an exact tensor {dtype, shape, data} with values in [0, 1]"
)

_WHITESPACE = b" \t\r\n\v\f"


class IsPicture:
    """Marks a parameter that is a picture."""


def _picture(value: Any) -> Any:
    """The base64 of a file as it is; of a tensor, that it is a picture's."""
    if isinstance(value, str) and value:
        return value
    if not isinstance(value, Mapping) or value.keys() != {"dtype", "shape", "data"}:
        raise ValueError(f"it is {FORMS}")
    try:
        array_of(value)
    except BadParameter as e:
        raise ValueError(e.detail.removesuffix(".")) from None
    return value


def _pictures(value: Any) -> Any:
    """That it is a list, before anything looks into it."""
    if isinstance(value, str | Mapping):
        raise ValueError("it is a list of pictures, such as […]")
    if isinstance(value, list | tuple) and len(value) > MOST:
        raise ValueError(f"it lists {len(value)} pictures; at most {MOST} can be")
    return value


#: A picture; None is none. What it is for, a parameter says in a Field of its own: `Annotated[Picture, Field(…)]`.
Picture = Annotated[
    str | dict[str, Any], BeforeValidator(_picture), Field(description=f"A picture: {FORMS}."), IsPicture
]
SomePicture = Annotated[
    str | dict[str, Any] | None,
    BeforeValidator(lambda value: None if value is None else _picture(value)),
    Field(description=f"A picture: {FORMS}."),
    IsPicture,
]
#: A list of pictures, () where it may be left out.
Pictures = Annotated[
    tuple[Picture, ...],
    FailFast(),
    Field(max_length=MOST, description=f"Pictures, each {FORMS}."),
    BeforeValidator(_pictures),
]


def pictures_of(kind: type[BaseModel]) -> dict[str, bool]:
    """The parameters of `kind` that are pictures, by name -> whether it is a list of them."""
    found = {}
    for name, member in kind.model_fields.items():
        if IsPicture in member.metadata or _holds(member.annotation):
            found[name] = get_origin(member.annotation) is tuple
    return found


def _holds(hint: Any) -> bool:
    return IsPicture in getattr(hint, "__metadata__", ()) or any(_holds(part) for part in get_args(hint))


# ── at a door ───────────────────────────────────────────────────────────────────────────────────────────────────────


def each_of(value: Any, pointer: str) -> dict[str, Any]:
    """The pictures of a parameter that stands at `pointer`, each by its own pointer."""
    if isinstance(value, list | tuple):
        return {f"{pointer}/{i}": one for i, one in enumerate(value)}
    return {} if value is None else {pointer: value}


def replaced(value: Any, pointer: str, found: Mapping[str, Any]) -> Any:
    """`value`, which stands at `pointer`, with what was `found` in place of each picture."""
    if isinstance(value, list | tuple):
        return [found[f"{pointer}/{i}"] for i in range(len(value))]
    return None if value is None else found[pointer]


def file_of(text: str, pointer: str) -> bytes:
    """The bytes of a file from their base64, which may be a data URL. Raises BadParameter, naming `pointer`."""
    whole = re.sub(r"^data:[\w/+.-]*;base64,", "", text[:100]) + text[100:]
    try:
        return base64.b64decode(whole.encode("ascii", "replace").translate(None, _WHITESPACE), validate=True)
    except (binascii.Error, ValueError) as e:
        raise BadParameter.at(pointer, f"The picture is not base64 ({e}); it is {FORMS}.") from None


def decoded(value: Any, card: Card, pointer: str) -> Array:
    """A picture as it was sent, decoded: uint8 [H, W, C] or float32 [C, H, W]. Raises what is wrong with it."""
    if not isinstance(value, str):
        return images.exact(value, card, pointer, grey=True)
    with placed(pointer):
        return images.decode(file_of(value, pointer))


def check_sent(sent: Mapping[str, Any]) -> None:
    """Refuse pictures, by their pointers, that have too many bytes for a reply to repeat. Raises TooLarge."""
    _check_bytes({at: len(one if isinstance(one, str) else one["data"]) for at, one in sent.items()}, SENT_BYTES)


def check_decoded(found: Mapping[str, Array]) -> None:
    """Refuse decoded pictures, by their pointers, that have too many bytes for one message. Raises TooLarge."""
    _check_bytes({at: array.nbytes for at, array in found.items()}, DECODED_BYTES)


def _check_bytes(sizes: Mapping[str, int], limit: int) -> None:
    if (count := sum(sizes.values())) > limit:
        how = "decoded" if limit == DECODED_BYTES else "as they are sent"
        detail = f"{len(sizes)} pictures have {count} bytes {how}; the limit is {limit}. Send smaller or fewer ones."
        raise TooLarge(detail, errors=[FieldError(max(sizes, key=sizes.__getitem__), detail)])


@contextmanager
def placed(pointer: str) -> Iterator[None]:
    """Within, what is wrong with a file is said to be wrong at `pointer`."""
    try:
        yield
    except (NotAnImage, TooLarge) as e:
        raise type(e)(f"The picture at {pointer}: {e.detail}", errors=[FieldError(pointer, e.detail)]) from None


# ── in an algorithm ─────────────────────────────────────────────────────────────────────────────────────────────────


def array_of(value: Mapping[str, Any], pointer: str = "") -> Array:
    """The array of a picture as it is decoded: uint8 [H, W, C] or float32 [C, H, W]. Raises BadParameter."""
    array = array_from_json(dict(value), pointer)
    what = f"a tensor of {array.dtype.name} and shape {list(array.shape)}"
    if array.dtype == np.uint8:
        if array.ndim != 3 or array.shape[2] not in (1, 3):
            raise BadParameter.at(pointer, f"{what} is no picture: in 8 bits it is [height, width, 1 or 3].")
        return array
    if array.dtype.kind != "f" or array.ndim != 3 or array.shape[0] not in (1, 3):
        raise BadParameter.at(pointer, f"{what} is no picture: it has floats in [0, 1] and is [1 or 3, height, width].")
    if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
        raise BadParameter.at(pointer, f"{what} has NaN or values outside of [0, 1]; pixels are in [0, 1].")
    return array.astype(np.float32, copy=False)


def values_of(value: Mapping[str, Any], channels: int, pointer: str = "") -> Array:
    """A picture's values: float32 [C, H, W] in [0, 1] with so many channels. Raises BadParameter."""
    array = array_of(value, pointer)
    if array.dtype == np.uint8:
        return eight_bit.to_float(images.with_channels(array, channels))
    if len(array) > channels:
        raise BadParameter.at(pointer, f"a tensor of {len(array)} channels is none of this model's, which sees one.")
    return np.repeat(array, channels // len(array), axis=0)


def at_own_size(card: Card, value: Mapping[str, Any]) -> Tensor:
    """A picture [C, H, W] in [0, 1] with the model's channels, at the size that it came in. Raises BadParameter."""
    return _subject(card, value).x


def seen(card: Card, value: Mapping[str, Any]) -> Tensor:
    """What the model sees of a picture: [C, h, w] in [0, 1], through its own resize and crop. Raises BadParameter."""
    return _subject(card, value).seen


def _subject(card: Card, value: Mapping[str, Any]) -> Subject:
    from rakinglight.subject import Subject

    return Subject.of(card, values_of(value, card.input_shape[0]))
