"""One call of a client: an operation, its images, and how both are written for the service."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageOps

from rakinglight import pictures, reply
from rakinglight.catalogue import OPERATIONS
from rakinglight.errors import BadParameter, Unavailable
from rakinglight.images import ENDINGS
from rakinglight.wire import array_to_json

Array = np.ndarray[Any, Any]
Reply = dict[str, Any]

#: A path, the bytes of a file, a picture, uint8 [H, W] or [H, W, C], or an exact float tensor [C, H, W] in [0, 1].
Image = str | Path | bytes | PillowImage.Image | Array
#: The name of a method, of several, or None for the operation's first.
Method = str | Sequence[str] | None

#: How the base64 of an image file begins, or a data URL: no path does.
_SENT = re.compile(r"data:image/|iVBORw0KGgo|/9j/[A-Za-z0-9+/]{60}|R0lGOD|UklGR|Qk[0-3][A-Za-z0-9+/]{60}")

#: What the service takes as a deadline where none is given (`docs/`, settings).
DEADLINE_S = 60.0


class ServiceAway(Unavailable):
    """Nobody answers at the service's address."""

    code, title = "SERVICE_AWAY", "Nobody answers there"


@dataclass(frozen=True, eq=False)
class Call:
    """An operation on some images of one model.

    images   each the bytes of an image file, or an exact float32 tensor [C, H, W]
    dataset  the id of one whose images are meant, instead of `images`
    listed   whether the caller gave a list or a dataset, and so wants a list
    method   None for the operation's first; several to have their maps side by side
    compare  the maps that are wanted side by side, each {"method", "parameters", "target"}, of which any may be missing
    """

    operation: str
    model: str
    images: tuple[bytes | Array, ...] = ()
    dataset: str | None = None
    listed: bool = False
    version: str | None = None
    method: str | tuple[str, ...] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    include: tuple[str, ...] | None = None
    seed: int = 0
    deadline_s: float | None = None
    max_rows: int | None = None
    purpose: str | None = None
    compare: tuple[Mapping[str, Any], ...] | None = None

    @staticmethod
    def of(
        operation: str,
        model: str,
        images: Image | Sequence[Image] = (),
        method: Method = None,
        *,
        dataset: str | None = None,
        compare: Sequence[Mapping[str, Any]] | None = None,
        version: str | None = None,
        include: Sequence[str] | None = None,
        seed: int = 0,
        deadline_s: float | None = None,
        max_rows: int | None = None,
        purpose: str | None = None,
        **parameters: Any,
    ) -> Call:
        """The call that these arguments mean.

        images      one image, or a list; an array [n, ...] of four dimensions is a list. None where a method needs none
        dataset     instead of images: the id of a dataset of the service, all of whose images are meant
        method      the operation's first, if it is None; a list has the map of each, side by side
        compare     instead of method: the maps to have side by side, as [{"method": "rise", "target": "lynx"}, ...]
        include     arrays and pictures that the answer brings, by name; None means all
        deadline_s  seconds for the work; an attack cut short answers with its best so far, marked partial
        max_rows    rows that an image may send through the network
        parameters  those of the operation and the method; what is a picture there comes as any image does
        """
        listed = isinstance(images, list | tuple) or (isinstance(images, np.ndarray) and images.ndim == 4)
        several: Any = images if listed else [images]
        if len(several) == 0 and dataset is None:  # some methods need no image, and answer once
            listed = False
        given = {name: value for name, value in parameters.items() if value is not None}
        if operation in OPERATIONS:
            given |= {name: _pictures(given[name]) for name in OPERATIONS[operation].pictures.keys() & given.keys()}
        return Call(
            operation,
            model,
            tuple(encoded(image) for image in several),
            dataset,
            listed,
            version,
            method if method is None or isinstance(method, str) else tuple(method),
            reply.to_json(given),
            None if include is None else tuple(include),
            seed,
            deadline_s,
            max_rows,
            purpose,
            None if compare is None else tuple(reply.to_json(compare)),
        )

    def __repr__(self) -> str:
        methods = [self.method] if isinstance(self.method, str) else self.method
        by = f" by {' and '.join(methods)}" if methods else ""
        images = self.dataset or f"{len(self.images)} images"
        return f"<Call: {self.operation}{by} of {images} on {self.model}>"

    @property
    def path(self) -> str:
        """Where the call is posted, below `/api/v1`."""
        version = f"/versions/{self.version}" if self.version else ""
        return f"models/{self.model}{version}/{self.operation}"

    @property
    def body(self) -> dict[str, Any]:
        """The JSON that is posted. What was not given is left to the service's defaults."""
        images = [_written(image) for image in self.images]
        said = {
            "images": images or None,
            "dataset": self.dataset,
            "method": list(self.method) if isinstance(self.method, tuple) else self.method,
            "compare": None if self.compare is None else [dict(part) for part in self.compare],
            "parameters": dict(self.parameters) or None,
            "include": None if self.include is None else list(self.include),
            "seed": self.seed or None,
            "deadline_s": self.deadline_s,
            "max_rows": self.max_rows,
            "purpose": self.purpose,
        }
        return {name: value for name, value in said.items() if value is not None}


def encoded(image: Image) -> bytes | Array:
    """`image` in one of the two forms in which it travels: the bytes of an image file, or float32 [C, H, W].

    Raises OSError for a file that cannot be read, BadParameter for what is no image of any kind.
    """
    match image:
        case str() | Path():
            return Path(image).read_bytes()
        case bytes() | bytearray() | memoryview():
            return bytes(image)
        case PillowImage.Image():
            return _png(image)
    array = np.asarray(image)
    channels_last = array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in (1, 3, 4))
    if array.dtype == np.uint8 and channels_last:
        return pictures.to_png(pictures.from_pixels(array if array.ndim == 3 else array[..., None]))
    if array.dtype.kind == "f" and array.ndim == 3 and array.shape[0] in (1, 3):
        return np.ascontiguousarray(array, dtype=np.float32)
    raise BadParameter(
        f"An array of {array.dtype} and shape {list(array.shape)} is no image: give uint8 [H, W, C], or floats in "
        "[0, 1] as [C, H, W], with 1 or 3 channels."
    )


def _written(image: bytes | Array) -> str | dict[str, Any]:
    """`image` as JSON has it."""
    return base64.b64encode(image).decode() if isinstance(image, bytes) else array_to_json(image)


def _pictures(value: Any) -> Any:
    """A parameter that is a picture, or a list of them, as JSON has it. Raises as `encoded` does."""
    if isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim == 4):
        return [_pictures(one) for part in value for one in _files_in(part)]
    if isinstance(value, Mapping) or (isinstance(value, str) and _SENT.match(value)):
        return value  # as a reply repeats it
    return _written(encoded(value))


def _files_in(part: Any) -> list[Any]:
    """The image files of a folder, by name; anything else as it is."""
    if not isinstance(part, str | Path) or (isinstance(part, str) and _SENT.match(part)) or not Path(part).is_dir():
        return [part]
    return sorted(file for file in Path(part).iterdir() if file.suffix.lower() in ENDINGS)


def _png(picture: PillowImage.Image) -> bytes:
    upright = ImageOps.exif_transpose(picture)
    if upright.mode not in ("1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA"):
        upright = upright.convert("RGB")
    out = io.BytesIO()
    upright.save(out, "PNG")
    return out.getvalue()
