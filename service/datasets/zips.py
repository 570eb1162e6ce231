"""A dataset that is a zip with one folder a class."""

from __future__ import annotations

from service.datasets.archive import Archive
from service.datasets.dataset import Dataset, by_class, check_count, is_litter
from service.settings import Settings


class ZipDataset(Dataset):
    """The files in `archive`, `cat/1.png` or all of them `pets/cat/1.png`."""

    kind = "zip"

    def __init__(self, archive: Archive, settings: Settings) -> None:
        entries = {entry.path: entry for entry in archive.entries if not is_litter(entry.path)}
        files = [path for path, entry in entries.items() if not entry.is_folder]
        check_count(len(files), settings)
        classes, places = by_class(files, [path[:-1] for path, entry in entries.items() if entry.is_folder])
        super().__init__(classes, list(places.items()))
        self._archive = archive
        self._entries = [entries[path] for path in places]
        self._most = settings.body_bytes

    def image(self, i: int) -> bytes:
        """The file of image `i`, as it came. Raises as `Archive.read` does."""
        return self._archive.read(self._entries[i], self._most)

    def close(self) -> None:
        """Close the archive."""
        self._archive.close()
