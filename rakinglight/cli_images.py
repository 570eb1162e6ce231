"""Images that a command is given by the hundred: files, a folder or a zip by class, or an NPZ; here, on this machine.

A service takes the same as a dataset, and reads what strangers send with more care than files of one's own need.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from rakinglight.errors import BadParameter, NotADataset
from rakinglight.images import ENDINGS

#: The members of an NPZ, as a service has them.
IMAGES, LABELS = ("images", "x"), ("labels", "y")


@dataclass(frozen=True)
class Given:
    """One image: the bytes of a file, uint8 [H, W, C] or [H, W], or float32 [C, H, W] in [0, 1].

    label  its class, where it is known
    """

    name: str
    image: Any
    label: str | int | None = None


def read_images(paths: Sequence[Path]) -> list[Given]:
    """All images in `paths`, in their order; those of a folder or a zip by class and name, as a dataset has them.

    Raises OSError, NotADataset for what is none, and BadParameter where there is no image at all.
    """
    found = [given for path in paths for given in _read(path)]
    if not found:
        raise BadParameter("There is no image in what was given; give files, a folder or a zip by class, or an NPZ.")
    return found


def true_labels(given: Sequence[Given]) -> list[str | int] | None:
    """The classes of `given`; None unless all are known."""
    labels = [one.label for one in given]
    return None if any(label is None for label in labels) else labels  # type: ignore[return-value]


def _read(path: Path) -> Iterator[Given]:
    if path.is_dir():
        files = [file for file in path.rglob("*") if file.is_file() and file.suffix.lower() in ENDINGS]
        for file in sorted(files, key=lambda file: _order(PurePosixPath(file.relative_to(path)))):
            parts = file.relative_to(path).parts
            yield Given(str(file), file.read_bytes(), _label(parts[-2]) if len(parts) > 1 else None)
    elif path.suffix.lower() == ".zip":
        yield from _zipped(path)
    elif path.suffix.lower() == ".npz":
        yield from _arrays(path)
    else:
        yield Given(str(path), path.read_bytes())


def _zipped(path: Path) -> Iterator[Given]:
    try:
        with ZipFile(path) as archive:
            files = [PurePosixPath(name) for name in archive.namelist()]
            files = [file for file in files if file.suffix.lower() in ENDINGS and file.parts[0] != "__MACOSX"]
            for file in sorted(files, key=_order):
                label = _label(file.parts[-2]) if len(file.parts) > 1 else None
                yield Given(f"{path}/{file}", archive.read(str(file)), label)
    except BadZipFile as e:
        raise NotADataset(f"{path} is no zip, or a damaged one ({e}); write it anew.") from None


def _arrays(path: Path) -> Iterator[Given]:
    try:
        with np.load(path, allow_pickle=False) as members:
            images = next((members[name] for name in IMAGES if name in members), None)
            labels = next((members[name] for name in LABELS if name in members), None)
    except (ValueError, BadZipFile) as e:
        raise NotADataset(f"{path} is no NPZ that can be read here ({e}); write it anew with numpy.savez.") from None
    if images is None:
        raise NotADataset(f"{path} has no `images`; an NPZ has that, and `labels` if there are any.")
    if labels is not None and len(labels) != len(images):
        raise NotADataset(f"{path} has {len(images)} images and {len(labels)} labels; it needs as many of both.")
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        raise NotADataset(f"The images of {path} are {images.dtype}; give uint8 [n, H, W, C], or float32 [n, C, H, W].")
    for i, image in enumerate(images):
        label = None if labels is None else _label(str(labels[i]))
        yield Given(f"{path}/{i}", image if image.dtype == np.uint8 else np.float32(image), label)


def _order(file: PurePosixPath) -> tuple[Any, ...]:
    """By class, numbers by value and before words; then by name."""
    folder = file.parts[-2] if len(file.parts) > 1 else ""
    return not _is_number(folder), int(folder) if _is_number(folder) else 0, folder, str(file)


def _label(name: str) -> str | int:
    return int(name) if _is_number(name) else name


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()
