"""What a dataset is, wherever it lies: images in order, most often each with the class that it belongs to."""

from __future__ import annotations

import re
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from rakinglight.errors import NotADataset, TooLarge, shown
from service.settings import Settings

#: An image as the core takes it: the bytes of a file, or an exact tensor float32 [C, H, W] in [0, 1].
Image = bytes | np.ndarray[Any, Any]

#: What systems put beside what people mean.
_LITTER_FILES, _LITTER_FOLDER = {".DS_Store", "Thumbs.db"}, "__MACOSX"
#: Most characters of a path, or of the name of a class.
PATH_LENGTH = 1024

_SHAPE = "A dataset has one folder a class (cat/1.png, dog/1.png), all of them in one common folder if need be"


class Dataset(ABC):
    """Images in order, and what they show. Its calls read files and may take a moment: make them in a thread.

    kind      `zip`, `npz` or `folder`
    classes   names in order: those that are numbers by value, then the others by character
    items     of each image its name, and the place of its class in `classes`, or None where nothing is labelled
    """

    kind: ClassVar[str]

    def __init__(self, classes: Sequence[str], items: Sequence[tuple[str, int | None]]) -> None:
        self.classes = tuple(classes)
        self.items = tuple(items)

    def __len__(self) -> int:
        return len(self.items)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def image(self, i: int) -> Image:
        """Image `i`: the bytes of a file, or an exact tensor float32 [C, H, W] in [0, 1].

        Several threads may ask at once. Raises NotADataset and TooLarge where it turns out not to be one.
        """

    def close(self) -> None:  # noqa: B027  most hold nothing open
        """Let go of what it reads from."""

    def label(self, i: int) -> str | int | None:
        """What image `i` shows, as an operation's `label` is given: the index of a class, or a name."""
        place = self.items[i][1]
        if place is None:
            return None
        name = self.classes[place]
        return int(name) if _is_number(name) else name

    def counts(self) -> list[dict[str, Any]]:
        """{"name", "images"} of each class, in order."""
        found = Counter(place for _, place in self.items)
        return [{"name": name, "images": found[place]} for place, name in enumerate(self.classes)]


class Outline(Dataset):
    """What is known of a dataset without its content: how many images, and their names and classes."""

    kind = "outline"

    def image(self, i: int) -> Image:
        """None is here."""
        raise TypeError(f"image {i} of an outline is asked for; open the dataset instead")


def ordered(classes: Iterable[str]) -> list[str]:
    """`classes`, each once: those that are numbers by value, then the others by character."""
    return sorted(set(classes), key=lambda name: (not _is_number(name), int(name) if _is_number(name) else 0, name))


def is_litter(path: str) -> bool:
    """Whether an operating system left `path` there, and nobody means it."""
    folders, _, file = path.rstrip("/").rpartition("/")
    return file in _LITTER_FILES or (folders or file).split("/")[0] == _LITTER_FOLDER


def check_path(path: str) -> None:
    """Refuse a path that leads elsewhere, or that is written so that systems read it differently."""
    if fault := _fault(path):
        raise NotADataset(f"The path {shown(path)} {fault}. Rename it to one like cat/1.png.")


def check_name(name: str) -> None:
    """Refuse a class name that could not be kept or shown."""
    if not name or len(name) > PATH_LENGTH or _unwritable(name):
        raise NotADataset(
            f"The class name {shown(name)} is empty, longer than {PATH_LENGTH} characters, or has some that cannot be "
            "shown; rename the class."
        )


def check_count(images: int, settings: Settings) -> None:
    """Refuse a dataset of no images, or of too many."""
    if not images:
        raise NotADataset(f"There is no image in it. {_SHAPE}.")
    if images > settings.dataset_images:
        raise TooLarge(
            f"{images} images are over the limit of {settings.dataset_images} for one dataset; make several of it."
        )


def by_class(files: Collection[str], folders: Collection[str]) -> tuple[list[str], dict[str, int]]:
    """The classes, and of each file, in order of class and name, the place of its class.

    files    paths of images, `cat/1.png` or, all of them, `pets/cat/1.png`
    folders  paths of the folders that are named for themselves, with no slash at the end
    Raises NotADataset for a file in no class folder, one in a folder within, and a class folder without any.
    """
    depth = 1 if _in_one_folder(files, folders) else 0
    parts = {file: file.split("/")[depth:] for file in files}
    for file, rest in parts.items():
        if len(rest) == 1:
            raise NotADataset(f"{shown(file)} lies outside of any class folder. {_SHAPE}.")
        if len(rest) > 2:
            raise NotADataset(f"{shown(file)} lies in a folder inside of a class folder; move it up. {_SHAPE}.")
    classes = ordered(rest[0] for rest in parts.values())
    places = {name: place for place, name in enumerate(classes)}
    for folder in folders:
        rest = folder.split("/")[depth:]
        if len(rest) > 1:
            raise NotADataset(f"The folder {shown(folder)} is inside of a class folder; move it up. {_SHAPE}.")
        if rest and rest[0] not in places:
            raise NotADataset(f"The class folder {shown(folder)} has no image; put some there, or leave it out.")
    found = {file: places[rest[0]] for file, rest in parts.items()}
    return classes, dict(sorted(found.items(), key=lambda one: (one[1], one[0])))


def _in_one_folder(files: Collection[str], folders: Collection[str]) -> bool:
    """Whether everything lies in one folder that is no class itself."""
    tops = {path.split("/")[0] for path in (*files, *folders)}
    return len(tops) == 1 and any(file.count("/") > 1 for file in files)


def _fault(path: str) -> str | None:
    """What is wrong with `path`, as a message goes on."""
    if len(path) > PATH_LENGTH:
        return f"has {len(path)} characters, over the limit of {PATH_LENGTH}"
    if _unwritable(path):
        return "has characters that cannot be shown"
    if "\\" in path:
        return "has a backslash, which some systems take for a folder's end"
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        return "is absolute"
    parts = path.removesuffix("/").split("/")
    if ".." in parts:
        return "climbs out of its folder"
    if "." in parts or "" in parts:
        return "has an empty part, or one that is a dot"
    return None


def _unwritable(text: str) -> bool:
    """Whether `text` has characters that are not seen and may make it seem another: controls, the formatting of text
    (which turns its direction), halves of characters, those without a meaning, and ends of lines. Spaces of all kinds
    are in names that people's computers give.
    """
    return any(category[0] == "C" or category in ("Zl", "Zp") for category in map(unicodedata.category, text))


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()
