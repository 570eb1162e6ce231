"""Datasets that the operator configured: folders on this machine, one folder a class. They are read, never written."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rakinglight.errors import Conflict, NotADataset, NotFound, StorageAway, TooLarge, shown
from service.datasets.dataset import Dataset, by_class, check_count, check_path, is_litter
from service.settings import Settings

log = logging.getLogger("rakinglight.datasets")

#: How begins by what a job keeps hold of a folder; the SHA-256 of an uploaded dataset begins otherwise.
KEPT = "folder:"
#: What a listing was made from: of the folder and of each class folder, the path and when it last changed, in ns.
Changed = tuple[tuple[str, int], ...]


class FolderDataset(Dataset):
    """The files in `folder`, `cat/1.png`. A link may lead to elsewhere in it, and nowhere else.

    Which files there are is known when it is made; what is in them, when they are read.
    """

    kind = "folder"

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._folder = folder.resolve(strict=True)
        self._most = settings.body_bytes
        files, folders = _listed(self._folder)
        check_count(len(files), settings)
        classes, places = by_class(files, folders)
        super().__init__(classes, list(places.items()))

    def digest(self) -> str:
        """Tells this listing from another, and the files in it from others: by name, class, size and time of change.

        Raises OSError.
        """
        files = [(self._folder / name).stat() for name, _ in self.items]
        known = [self.classes, self.items, [(file.st_size, file.st_mtime_ns) for file in files]]
        return hashlib.sha256(json.dumps(known).encode()).hexdigest()

    def image(self, i: int) -> bytes:
        """The file of image `i`. Raises NotADataset, TooLarge, and StorageAway where it cannot be read."""
        name = self.items[i][0]
        try:
            path = _within(self._folder, name)
            # What is no file may keep who opens it waiting: it is opened without, and looked at.
            with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as file:  # noqa: PTH123
                found = os.fstat(file.fileno())
                if not stat.S_ISREG(found.st_mode):
                    raise NotADataset(f"{shown(name)} is no regular file; the operator should put the image there.")
                if found.st_size > self._most:
                    raise TooLarge(f"{shown(name)} has {found.st_size} bytes; the limit is {self._most}.")
                return file.read(self._most)
        except OSError as e:
            raise StorageAway(
                f"{shown(name)} cannot be read: {e.strerror}. The operator should look after it."
            ) from None


class Folders:
    """The folders that `settings.datasets` names. Each is listed when first asked for, and again after a change."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._listings: dict[str, tuple[Changed, FolderDataset]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._settings.datasets

    @property
    def names(self) -> list[str]:
        """Of all, in order."""
        return sorted(self._settings.datasets)

    def open(self, name: str) -> FolderDataset:
        """The folder `name`. Raises NotADataset, TooLarge and StorageAway, and logs where it lies for the operator."""
        with self._told(name) as folder:
            changed = _changed(folder)
            known = self._listings.get(name)
            if known is None or known[0] != changed:
                known = self._listings[name] = changed, FolderDataset(folder, self._settings)
            return known[1]

    def kept(self, name: str) -> str:
        """By what `reopen` finds the folder `name` as it is now, `folder:<name>:<digest>`. Raises as `open` does."""
        folder = self.open(name)
        with self._told(name):
            return f"{KEPT}{name}:{folder.digest()}"

    def reopen(self, kept: str) -> FolderDataset:
        """The folder that was `kept`. Raises Conflict where it has changed since, NotFound, and as `open` does."""
        name = kept.removeprefix(KEPT).rpartition(":")[0]
        if name not in self:
            raise NotFound(f"The dataset {shown(name)} is configured no longer; submit the job anew with another.")
        if self.kept(name) != kept:
            raise Conflict(f"The folder {shown(name)} changed since the job was submitted; submit it anew.")
        return self.open(name)

    @contextmanager
    def _told(self, name: str) -> Iterator[Path]:
        """Where the folder `name` lies. What is wrong with it is raised within for callers, and logged."""
        folder = self._settings.datasets[name]
        try:
            yield folder
        except OSError as e:
            log.warning("dataset %s: %s cannot be read: %s", name, folder, e)
            raise StorageAway(
                f"The dataset {shown(name)} cannot be read: {e.strerror}. The operator should see that the folder that "
                "`datasets` names is there and may be read.",
                retry_after_s=60.0,
            ) from None
        except (NotADataset, TooLarge) as e:
            log.warning("dataset %s: %s is refused: %s", name, folder, e)
            raise type(e)(f"The configured dataset {shown(name)}, which the operator should mend: {e.detail}") from None


def _changed(folder: Path) -> Changed:
    with os.scandir(folder) as found:
        below = sorted((entry.path, entry.stat().st_mtime_ns) for entry in found if entry.is_dir())
    return (str(folder), folder.stat().st_mtime_ns), *below


def _listed(folder: Path) -> tuple[list[str], list[str]]:
    """Files and folders below `folder`, two levels deep, by their paths in it."""
    files: list[str] = []
    folders: list[str] = []
    for name in _scanned(folder, ""):
        if not (folder / name).is_dir():
            files.append(name)
            continue
        folders.append(name)
        for below in _scanned(folder, name):
            (folders if (folder / below).is_dir() else files).append(below)
    return files, folders


def _scanned(folder: Path, below: str) -> Iterator[str]:
    with os.scandir(folder / below) as found:
        for entry in found:
            name = f"{below}/{entry.name}" if below else entry.name
            if is_litter(name):
                continue
            check_path(name)
            if entry.is_symlink():
                _within(folder, name)
            yield name


def _within(folder: Path, name: str) -> Path:
    """Where `name` in `folder` really is. Raises NotADataset where that is outside of it."""
    path = Path(os.path.realpath(folder / name, strict=True))  # of a loop, Path.resolve raises no OSError
    if not path.is_relative_to(folder):
        raise NotADataset(f"{shown(name)} is a symbolic link that leaves the folder; put the image itself there.")
    return path
