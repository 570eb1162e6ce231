"""A dataset that is an NPZ: one array of images, and most often one of labels."""

from __future__ import annotations

import io
import math
import tempfile
from collections.abc import Callable
from itertools import chain
from typing import IO, Any

import numpy as np
from PIL import Image as Pillow

from rakinglight.errors import NotADataset, StorageAway, TooLarge, shown
from service.datasets.archive import Archive, Entry
from service.datasets.dataset import PATH_LENGTH, Dataset, Image, check_count, check_name, ordered
from service.settings import Settings

Array = np.ndarray[Any, Any]

#: Bytes in which the head of an array is found; numpy reads no longer one, and writes 128 for what is taken here.
HEAD = 16_384

_IMAGES = ("images", "x")
_LABELS = ("labels", "y")
_SHAPE = (
    "An NPZ has `images`, uint8 [n, H, W, C], uint8 [n, H, W] or float32 [n, C, H, W] in [0, 1], and `labels`, whole "
    "numbers [n] or text [n], if there are any"
)


class NpzDataset(Dataset):
    """The images in `archive`, unpacked into a file without a name, so that any can be had at once.

    The bits of uint8 images are kept: they come as PNG.
    """

    kind = "npz"

    def __init__(self, archive: Archive, settings: Settings) -> None:
        with archive:
            images, labels = _members(archive)
            self._images = _images(archive, images, settings)
            names = None if labels is None else _names(archive, labels, len(self._images))
        classes = ordered(names or ())
        places = {name: place for place, name in enumerate(classes)}
        super().__init__(
            classes, [(str(i), None if names is None else places[names[i]]) for i in range(len(self._images))]
        )

    def image(self, i: int) -> Image:
        """Image `i`: float32 [C, H, W], or uint8 pixels as a PNG."""
        pixels = self._images[i]
        if pixels.dtype != np.uint8:
            return np.array(pixels)
        out = io.BytesIO()
        grey = pixels.ndim == 3 and pixels.shape[2] == 1
        Pillow.fromarray(np.array(pixels[:, :, 0] if grey else pixels)).save(out, "PNG", compress_level=1)
        return out.getvalue()


Check = Callable[[np.dtype[Any], tuple[int, ...]], None]


def _members(archive: Archive) -> tuple[Entry, Entry | None]:
    """The entries of the images and of the labels."""
    members = {entry.path.removesuffix(".npy"): entry for entry in archive.entries}
    images = [name for name in _IMAGES if name in members]
    labels = [name for name in _LABELS if name in members]
    if len(images) != 1 or len(labels) > 1 or len(members) > len(images) + len(labels):
        raise NotADataset(f"The NPZ has {shown(sorted(members))}. {_SHAPE}; nothing else.")
    return members[images[0]], members[labels[0]] if labels else None


def _images(archive: Archive, entry: Entry, settings: Settings) -> Array:
    """uint8 [n, H, W, C] or [n, H, W], or float32 [n, C, H, W] with every value in [0, 1]; read from a file."""
    try:
        with tempfile.TemporaryFile() as file:
            dtype, shape = _copy(archive, entry, file, lambda dtype, shape: _check_images(dtype, shape, settings))
            file.flush()
            images = np.memmap(file, dtype, "r", shape=shape)
    except (TypeError, ValueError, OverflowError):
        raise NotADataset(
            f"The images of the NPZ, {dtype} {list(shape)}, make no array here; write it anew with numpy.savez."
        ) from None
    except OSError as e:
        raise StorageAway(
            f"The images of the NPZ, {entry.size} bytes, cannot be unpacked here: {e.strerror}. Try again later; the "
            f"operator finds what is full or not writable in {tempfile.gettempdir()} (TMPDIR)."
        ) from None
    if images.dtype != np.uint8:
        for i, image in enumerate(images):
            low, high = float(image.min()), float(image.max())
            if not (low >= 0 and high <= 1):  # neither is so of NaN
                raise NotADataset(
                    f"Image {i} of the NPZ has values from {low:g} to {high:g}; float32 images are in [0, 1] and never "
                    "NaN. Divide those from 0 to 255 by 255, or send them as uint8."
                )
    return images


def _names(archive: Archive, entry: Entry, images: int) -> list[str]:
    """Of each image the name of its class, of a whole number its digits."""
    file = io.BytesIO()
    dtype, _ = _copy(archive, entry, file, lambda dtype, shape: _check_labels(dtype, shape, images))
    try:
        labels = np.frombuffer(file.getbuffer(), dtype).tolist()
        names = [label.decode() if isinstance(label, bytes) else str(label) for label in labels]
    except (ValueError, SystemError):  # the second is what numpy makes of code points that Unicode does not have
        raise NotADataset(
            "The labels of the NPZ are text that cannot be read; write them as np.array([...], 'U')."
        ) from None
    for name in set(names):
        check_name(name)
        if dtype.kind == "i" and name.startswith("-"):
            raise NotADataset(f"The NPZ has a label of {name}; a label is the index of a class, from 0.")
    return names


def _copy(archive: Archive, entry: Entry, sink: IO[bytes], check: Check) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Copy the values of the array in `entry` to `sink`; its dtype and shape, which `check` is shown before."""
    blocks = archive.blocks(entry)
    head = b""
    while len(head) < HEAD and (block := next(blocks, None)) is not None:
        head += block
    dtype, shape, begin = _read_head(head, entry)
    check(dtype, shape)
    if begin + math.prod(shape) * dtype.itemsize != entry.size:
        raise NotADataset(
            f"{shown(entry.path)} has {entry.size - begin} bytes of values, but {dtype} {list(shape)}, which its head "
            f"promises, takes {math.prod(shape) * dtype.itemsize}; write it anew with numpy.savez."
        )
    for block in chain([head[begin:]], blocks):
        sink.write(block)
    return dtype, shape


def _read_head(head: bytes, entry: Entry) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """The dtype and shape that the head of an array names, and where its values begin. Nothing is ever unpickled."""
    source = io.BytesIO(head)
    try:
        version = np.lib.format.read_magic(source)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, by_column, dtype = read(source)
    except Exception:  # a malformed head makes numpy, and the parser of Python that it uses, raise anything at all
        raise NotADataset(
            f"{shown(entry.path)} begins with {head[:8]!r} and has no head that numpy writes for a plain array; write "
            "it anew with numpy.savez."
        ) from None
    if not all(type(n) is int and n >= 0 for n in shape):  # True is an int to numpy's reader, and none to its memmap
        raise NotADataset(
            f"{shown(entry.path)} has a head that says {shown(list(shape))} for its shape, which is whole numbers from "
            "0; write it anew with numpy.savez."
        )
    if dtype.hasobject:
        raise NotADataset(
            f"{shown(entry.path)} is an array of Python objects, which would have to be unpickled and never is. Make "
            "it one of numbers or text: np.stack(images), np.array(labels, 'U')."
        )
    if by_column and len(shape) > 1:
        raise NotADataset(f"{shown(entry.path)} is in Fortran's order; write np.ascontiguousarray of it.")
    return dtype, shape, source.tell()


def _check_images(dtype: np.dtype[Any], shape: tuple[int, ...], settings: Settings) -> None:
    """Refuse an array of images for its shape or dtype."""
    what = f"The NPZ has images of {shown(str(dtype))} {shown(list(shape))}"
    as_bytes, as_floats = dtype == np.uint8, dtype == np.dtype("<f4")
    if not as_bytes and not as_floats:
        raise NotADataset(f"{what}; convert them with astype. {_SHAPE}.")
    if len(shape) not in ((3, 4) if as_bytes else (4,)):
        raise NotADataset(f"{what}, which has {len(shape)} dimensions. {_SHAPE}.")
    height, width = shape[1:3] if as_bytes else shape[2:4]
    channels = 1 if len(shape) == 3 else shape[3 if as_bytes else 1]
    if channels not in ((1, 3, 4) if as_bytes else (1, 3)):
        raise NotADataset(f"{what}, so C is {channels}; it is 1 (grey) or 3 (colour). {_SHAPE}.")
    if min(shape) < 0 or (shape[0] and not math.prod(shape)):
        raise NotADataset(f"{what}; an image has one pixel at least.")
    check_count(shape[0], settings)
    if height * width > settings.image_pixels or max(height, width) > settings.image_side:
        raise TooLarge(
            f"{what}, each {width} x {height}; the limit of an image is {settings.image_pixels} pixels, and of a side "
            f"{settings.image_side}. Send them smaller."
        )


def _check_labels(dtype: np.dtype[Any], shape: tuple[int, ...], images: int) -> None:
    """Refuse an array of labels for its shape or dtype."""
    what = f"The NPZ has labels of {shown(str(dtype))} {shown(list(shape))}"
    if shape not in ((images,), (images, 1)):  # the second is how Keras keeps CIFAR-10's
        raise NotADataset(f"{what} and {images} images; it is one label an image, [{images}].")
    if dtype.kind not in "iuUS" or not dtype.itemsize:
        raise NotADataset(
            f"{what}; a label is a whole number, the index of a class, or text. Convert them with astype."
        )
    if dtype.itemsize > 4 * PATH_LENGTH:
        raise NotADataset(f"{what}; the name of a class has {PATH_LENGTH} characters at most. Shorten them.")
