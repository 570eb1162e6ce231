"""Zip archives from strangers, read strictly: whoever wrote one has to say the same thing everywhere.

Python's `zipfile` is made to read what it can. It builds an object for each of the millions of entries that a directory
may list, takes an entry for whole at its declared size although more follows, and forgives much else. Here the end
of the archive and its directory are read entry by entry, within limits; what differs between the directory and the
entry itself, or is needed by no dataset (encryption, zip64, other methods than deflate), is refused with its reason.

APPNOTE.TXT, sections 4.3.7 (an entry), 4.3.12 (the directory), 4.3.16 (the end).
"""

from __future__ import annotations

import io
import stat
import struct
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Self

from rakinglight.errors import NotADataset, TooLarge, shown
from service.datasets.dataset import check_path
from service.settings import Settings

#: Bytes that are read, and unpacked, at once.
BLOCK = 2**18
#: Of all entries together, as many times the dataset's most bytes may be unpacked.
UNPACKED = 4
#: An archive that unpacks to more than so many times its size is a bomb, unless it stays small.
RATIO, SMALL = 200, 2**24
#: Entries for each image that is allowed: itself, its shadow in __MACOSX, and folders of one image each.
ENTRIES = 4

_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _UTF8 = 0x2041, 0x800  # flags: encrypted, strongly so, or its directory
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_END = struct.Struct("<4s4H2LH")
_LONGEST_COMMENT = 0xFFFF

_AGAIN = "Make the archive anew, with zip -r for one, and send it whole"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, as the directory describes it.

    size, packed  bytes of its content, and of what stands for it in the archive
    crc           CRC-32 of its content
    offset        where it begins
    """

    path: str
    raw_path: bytes
    method: int
    size: int
    packed: int
    crc: int
    offset: int

    @property
    def is_folder(self) -> bool:
        return self.path.endswith("/")


class Archive:
    """The zip archive in `file`, its directory read and checked. Several threads may read at once.

    Raises NotADataset where it is none, or not one for a dataset, and TooLarge over the limits of `settings`. Then
    nothing has been unpacked.
    """

    def __init__(self, file: BinaryIO, settings: Settings) -> None:
        self._file = file
        self._lock = threading.Lock()
        self.bytes = self._file.seek(0, io.SEEK_END)
        if self.bytes > settings.dataset_bytes:
            raise TooLarge(
                f"The file has more than {settings.dataset_bytes} bytes, the limit of a dataset. Send smaller images, "
                "or several datasets."
            )
        self._end, count, start = self._read_end()
        if count > (most := ENTRIES * settings.dataset_images):
            raise TooLarge(
                f"The archive lists {count} entries; {settings.dataset_images} images, the limit of a dataset, need no "
                f"more than {most}. Make several datasets of it."
            )
        self.entries = tuple(self._read_directory(count, start))
        self._start = start
        self._check_whole(settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, entry: Entry, most: int) -> bytes:
        """The content of `entry`. Raises TooLarge over `most` bytes, before any is unpacked, and as `blocks` does."""
        if entry.size > most:
            raise TooLarge(f"{shown(entry.path)} has {entry.size} bytes; the limit is {most}. Send it smaller.")
        return b"".join(self.blocks(entry))

    def blocks(self, entry: Entry) -> Iterator[bytes]:
        """The content of `entry`, a block of BLOCK bytes at most at a time.

        Raises NotADataset where it differs from what the directory says, no later than after the last block.
        """
        packed = self._packed(entry)
        count = crc = 0
        for block in _inflated(packed, entry) if entry.method == _DEFLATED else packed:
            count += len(block)
            if count > entry.size:
                raise NotADataset(
                    f"{shown(entry.path)} unpacks to more than the {entry.size} bytes that are declared. {_AGAIN}."
                )
            crc = zlib.crc32(block, crc)
            yield block
        if count < entry.size:
            raise _damaged(entry, f"has {count} bytes in place of the {entry.size} that are declared")
        if crc != entry.crc:
            raise _damaged(entry, "fails its checksum (CRC)")

    # ── the parts ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _at(self, offset: int, count: int) -> bytes:
        """`count` bytes from `offset`. Raises NotADataset where there are fewer."""
        with self._lock:
            self._file.seek(offset)
            found = self._file.read(count)
        if len(found) < count:
            raise NotADataset(f"The archive ends at byte {self.bytes}, in the middle of an entry. {_AGAIN}.")
        return found

    def _read_end(self) -> tuple[int, int, int]:
        """Where the directory ends, how many entries it has, and where it begins."""
        reach = min(self.bytes, _END.size + _LONGEST_COMMENT)
        tail = self._at(self.bytes - reach, reach)
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or at + _END.size > reach:
            beginning = self._at(0, min(8, self.bytes))
            raise NotADataset(
                f"The {self.bytes} bytes begin with {beginning!r} and have no zip directory at their end: this is no "
                f"zip or NPZ, or its end is missing. {_AGAIN}."
            )
        _, disk, first_disk, here, count, size, start, comment = _END.unpack_from(tail, at)
        if 0xFFFF in (disk, first_disk, here, count) or 0xFFFFFFFF in (size, start):
            raise NotADataset("The archive is a zip64, which no dataset needs to be; make it without (zip -fz-).")
        if disk or first_disk or here != count:
            raise NotADataset("The archive is one of several parts; send it in one.")
        end = self.bytes - reach + at
        if start + size != end or at + _END.size + comment != reach:
            raise NotADataset(
                f"The archive's directory should be the bytes from {start} to {start + size}, and its comment end the "
                f"file; they do not, so something was cut off or added. {_AGAIN}."
            )
        return end, count, start

    def _read_directory(self, count: int, start: int) -> Iterator[Entry]:
        at, seen = start, set()
        for _ in range(count):
            entry, at = self._read_entry(at)
            if entry.path in seen:
                raise NotADataset(f"{shown(entry.path)} is in the archive twice; keep one of them.")
            seen.add(entry.path)
            yield entry
        if at != self._end:
            raise NotADataset(f"The archive's directory has other entries than the {count} that it counts. {_AGAIN}.")

    def _read_entry(self, at: int) -> tuple[Entry, int]:
        """The directory's entry at `at`, and where the next begins."""
        if at + _ENTRY.size > self._end:
            raise NotADataset(f"The archive's directory has fewer entries than it counts. {_AGAIN}.")
        (
            signature, _, _, flags, method, _, _, crc, packed, size, name_length, extra_length, comment_length, _, _,
            attributes, offset,
        ) = _ENTRY.unpack(self._at(at, _ENTRY.size))  # fmt: skip
        if signature != b"PK\x01\x02":
            raise NotADataset(f"The archive's directory is damaged at byte {at}. {_AGAIN}.")
        raw_path = self._at(at + _ENTRY.size, name_length)
        path = _text(raw_path, flags)
        check_path(path)
        entry = Entry(path, raw_path, method, size, packed, crc, offset)
        _check_entry(entry, flags, attributes >> 16)
        return entry, at + _ENTRY.size + name_length + extra_length + comment_length

    def _check_whole(self, settings: Settings) -> None:
        """Refuse a bomb, by what the directory declares; `blocks` holds the entries to that."""
        if sum(entry.packed for entry in self.entries) > self.bytes:
            raise NotADataset(f"The archive's entries overlap, so that they have more bytes than it has. {_AGAIN}.")
        unpacked, most = sum(entry.size for entry in self.entries), UNPACKED * settings.dataset_bytes
        if unpacked > most:
            raise TooLarge(
                f"The archive unpacks to {unpacked} bytes; the limit is {most}. Send smaller images, or several "
                "datasets."
            )
        if unpacked > SMALL and unpacked > RATIO * self.bytes:
            raise TooLarge(
                f"The archive has {self.bytes} bytes and unpacks to {unpacked}, {unpacked // self.bytes} times that; "
                f"the limit is {RATIO} times. Send PNG or JPEG files, which are packed themselves, or save arrays with "
                "numpy.savez."
            )

    def _packed(self, entry: Entry) -> Iterator[bytes]:
        """What stands for the content of `entry` in the archive."""
        signature, _, flags, method, _, _, _, _, _, name_length, extra_length = _LOCAL.unpack(
            self._at(entry.offset, _LOCAL.size)
        )
        begin = entry.offset + _LOCAL.size + name_length + extra_length
        if (
            (signature, method, name_length, flags & _ENCRYPTED)
            != (b"PK\x03\x04", entry.method, len(entry.raw_path), 0)
            or self._at(entry.offset + _LOCAL.size, name_length) != entry.raw_path
        ):  # fmt: skip
            raise _damaged(entry, "is described otherwise where it lies than in the archive's directory")
        if begin + entry.packed > self._start:
            raise _damaged(entry, "reaches into the archive's directory")
        for at in range(begin, begin + entry.packed, BLOCK):
            yield self._at(at, min(BLOCK, begin + entry.packed - at))


def _text(raw_path: bytes, flags: int) -> str:
    """UTF-8, which many write without saying so; what is none is the code page that zip began with."""
    try:
        return raw_path.decode()
    except UnicodeDecodeError:
        if flags & _UTF8:
            raise NotADataset(f"The path {raw_path[:80]!r} is not the UTF-8 that it says it is; rename it.") from None
        return raw_path.decode("cp437")


def _check_entry(entry: Entry, flags: int, mode: int) -> None:
    """Refuse what no dataset has. `mode` is Unix's, 0 from systems that have none."""
    kind = stat.S_IFMT(mode)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or (kind == stat.S_IFDIR) > entry.is_folder:
        what = "a symbolic link" if kind == stat.S_IFLNK else "no regular file"
        raise NotADataset(f"{shown(entry.path)} is {what}; put the image itself there.")
    if flags & _ENCRYPTED:
        raise NotADataset(f"{shown(entry.path)} is encrypted; make the archive without a password.")
    if entry.method not in (_STORED, _DEFLATED):
        raise NotADataset(
            f"{shown(entry.path)} is packed by method {entry.method}; only 0 (stored) and 8 (deflate, what zip does by "
            "itself) are read. Make the archive anew with one of them."
        )
    if 0xFFFFFFFF in (entry.size, entry.packed, entry.offset):
        raise NotADataset(f"{shown(entry.path)} is a zip64 entry, which no dataset needs; make the archive without.")
    if (entry.is_folder and entry.size) or (entry.method == _STORED and entry.size != entry.packed):
        raise _damaged(entry, f"cannot have the {entry.size} bytes that are declared")


def _inflated(packed: Iterator[bytes], entry: Entry) -> Iterator[bytes]:
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for block in packed:
            if inflate.eof:
                raise _damaged(entry, "goes on after the end of its content")
            while True:
                yield (content := inflate.decompress(block, BLOCK))
                block = inflate.unconsumed_tail
                if not block and len(content) < BLOCK:  # what fills the block may have more of it waiting inside
                    break
    except zlib.error as e:
        raise _damaged(entry, f"cannot be unpacked ({e})") from None
    if not inflate.eof or inflate.unused_data:
        raise _damaged(entry, "does not end where it should")


def _damaged(entry: Entry, how: str) -> NotADataset:
    return NotADataset(f"{shown(entry.path)} {how}; the archive is damaged. {_AGAIN}.")
