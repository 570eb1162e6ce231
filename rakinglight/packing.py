"""A folder of images as the one file that a dataset is uploaded as. The same folder gives the same bytes."""

from __future__ import annotations

import io
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from rakinglight.errors import NotADataset, shown

#: The earliest time that a zip can say. When a file was changed is nothing of a dataset's.
EPOCH = (1980, 1, 1, 0, 0, 0)
FILE, FOLDER = 0o100644 << 16, 0o040755 << 16

MEDIA_TYPES = {".zip": "application/zip", ".npz": "application/x-npz"}


def packed(path: Path) -> tuple[bytes, str]:
    """What is sent of the dataset at `path`, and its media type: a zip or an NPZ as it is, a folder by class as a zip.

    Raises OSError where it cannot be read, and NotADataset for a folder with links in it.
    """
    if path.is_dir():
        return zipped(path), MEDIA_TYPES[".zip"]
    return path.read_bytes(), MEDIA_TYPES.get(path.suffix.lower(), "application/octet-stream")


def zipped(folder: Path) -> bytes:
    """All in `folder` as a zip, in order of name. Pictures are packed themselves, so nothing is packed again.

    Raises NotADataset, in the service's words, for what it would refuse: links, which may lead anywhere, and devices.
    """
    out = io.BytesIO()
    with ZipFile(out, "w", ZIP_STORED) as archive:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                what = "a symbolic link" if path.is_symlink() else "no regular file"
                raise NotADataset(f"{shown(name)} is {what}; put the image itself there.")
            entry = ZipInfo(f"{name}/" if path.is_dir() else name, EPOCH)
            entry.external_attr = FOLDER if path.is_dir() else FILE
            archive.writestr(entry, b"" if path.is_dir() else path.read_bytes())
    return out.getvalue()
