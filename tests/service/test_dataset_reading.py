"""Strangers' archives: those that are datasets are read to the bit, all others are refused with their reason."""

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from rakinglight.errors import NotADataset, StorageAway, TooLarge
from rakinglight.images import decode
from service.datasets.archive import BLOCK
from service.datasets.folders import Folders
from service.datasets.reading import check, read
from service.decode import DecodePool
from service.settings import Settings
from tests.service.archives_at_hand import FOLDER, JPEG, LINK, PIPE, PNG, WEBP, Lie, npy, npz_of, plain_zip, zip_of
from tests.service.pictures_at_hand import bomb, noise

SMALL = Settings(dataset_bytes=200_000, dataset_images=20, body_bytes=50_000, image_pixels=100_000, image_side=1000)
ROOMY = Settings(dataset_bytes=2_000_000)
U8 = noise(24, 5)[:24].reshape(6, 4, 5, 3)
F32 = np.random.default_rng(0).random((6, 3, 4, 5), np.float32)
LABELS = np.array([2, 10, 2, 2, 10, 0])


def items(raw: bytes) -> list[tuple[str, int | None]]:
    with read(raw, SMALL) as dataset:
        return list(dataset.items)


# ── zips ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("top", ["", "pets/"])
async def test_a_zip_has_a_folder_a_class(method: int, top: str, decoder: DecodePool) -> None:
    files = {"dog/b.jpg": JPEG, "dog/a.png": PNG, "cat/ü.webp": WEBP}
    raw = plain_zip({top + name: content for name, content in files.items()}, method)
    with read(raw, SMALL) as dataset:
        assert (dataset.kind, dataset.classes) == ("zip", ("cat", "dog"))
        assert dataset.items == ((f"{top}cat/ü.webp", 0), (f"{top}dog/a.png", 1), (f"{top}dog/b.jpg", 1))
        assert [dataset.image(i) for i in range(3)] == [WEBP, PNG, JPEG]
        assert [dataset.label(i) for i in range(3)] == ["cat", "dog", "dog"]
        assert dataset.counts() == [{"name": "cat", "images": 1}, {"name": "dog", "images": 2}]
        await check(dataset, decoder, 2)


def test_folders_named_by_numbers_are_class_indices_in_their_order() -> None:
    with read(plain_zip({"10/1.png": PNG, "9/1.png": PNG, "cat/1.png": PNG}), SMALL) as dataset:
        assert dataset.classes == ("9", "10", "cat")
        assert [dataset.label(i) for i in range(3)] == [9, 10, "cat"]


def test_names_may_have_the_spaces_and_letters_of_any_script() -> None:
    names = ["chó/Ảnh 1.png", "chó/Screenshot 9.41\u202fAM.png", "猫/写真\u3000一.png"]
    dataset = read(zip_of({name: Lie(flags=0x800) for name in names}), SMALL)
    assert sorted(name for name, _ in dataset.items) == sorted(names)


def test_what_systems_leave_behind_is_overlooked() -> None:
    litter = {"__MACOSX/": b"", "__MACOSX/pets/cat/._1.png": b"x", "pets/.DS_Store": b"x", "pets/cat/Thumbs.db": b"x"}
    folders = {"pets/": b"", "pets/cat/": b""}
    assert items(plain_zip({**litter, **folders, "pets/cat/1.png": PNG})) == [("pets/cat/1.png", 0)]


def test_a_path_that_is_no_utf_8_is_that_of_the_first_zips() -> None:
    assert items(zip_of({"Katze\udc81/1.png": PNG})) == [("Katzeü/1.png", 0)]


def test_what_needs_several_blocks_is_whole() -> None:
    random = np.random.default_rng(0).bytes(400_000)
    # The second: when its first block is full, all of the deflated bytes are read, and 21 more of content wait inside.
    for content in (random + bytes(600_000), bytes(BLOCK + 21)):
        for method in (0, 8):
            with read(zip_of({"cat/1.png": Lie(content, method)}), ROOMY) as dataset:
                assert dataset.image(0) == content


def test_what_follows_the_end_of_an_entry_is_not_gathered() -> None:
    packed = zlib.compress(PNG)[2:-4] + bytes(BLOCK)
    with (
        read(zip_of({"cat/1.png": Lie(PNG, 8, packed=packed + bytes(BLOCK))}), ROOMY) as dataset,
        pytest.raises(NotADataset, match="goes on after the end"),
    ):
        dataset.image(0)


GOOD = {"cat/1.png": PNG}
CUT = plain_zip({"cat/1.png": PNG, "dog/1.png": PNG})
TWICE = zip_of(GOOD, ("cat/1.png", JPEG))
ONE_MEGABYTE = Lie(bytes(10**6), 8)

STRUCTURE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "0 bytes begin with b'' .* no zip"),
    "no zip": (PNG, r"begin with b'\\x89PNG.* no zip"),
    "empty zip": (zip_of({}), "no image in it"),
    "litter only": (plain_zip({"cat/.DS_Store": b"x"}), "no image in it"),
    "folders only": (plain_zip({"cat/": b""}), "no image in it"),
    "end cut": (CUT[:-5], "no zip directory at their end"),
    "beginning cut": (CUT[5:], "something was cut off or added"),
    "middle cut": (CUT[:40] + CUT[60:], "something was cut off or added"),
    "added": (CUT + b"more", "something was cut off or added"),
    "climbs": (zip_of({"../cat/1.png": PNG}), "'../cat/1.png' climbs out"),
    "climbs within": (zip_of({"cat/../../1.png": PNG}), "climbs out"),
    "absolute": (zip_of({"/cat/1.png": PNG}), "'/cat/1.png' is absolute"),
    "drive": (zip_of({"C:/cat/1.png": PNG}), "'C:/cat/1.png' is absolute"),
    "backslash": (zip_of({"cat\\1.png": PNG}), "has a backslash"),
    "null": (zip_of({"cat/1.png\0.txt": PNG}), "cannot be shown"),
    "turned": (zip_of({"cat/\u202egnp.1.png": Lie(flags=0x800)}), "cannot be shown"),
    "unseen": (zip_of({"c\u200bat/1.png": Lie(flags=0x800)}), "cannot be shown"),
    "private": (zip_of({"cat/\ue000.png": Lie(flags=0x800)}), "cannot be shown"),
    "unassigned": (zip_of({"cat/\uffff.png": Lie(flags=0x800)}), "cannot be shown"),
    "lines": (zip_of({"cat/\u2028.png": Lie(flags=0x800)}), "cannot be shown"),
    "dot": (zip_of({"./cat/1.png": PNG}), "a dot"),
    "empty part": (zip_of({"cat//1.png": PNG}), "empty part"),
    "no name": (zip_of({"": PNG}), "empty part"),
    "long name": (zip_of({"cat/" + 2000 * "x": PNG}), "2004 characters, over the limit of 1024"),
    "not its utf-8": (zip_of({"\udc81/1.png": Lie(flags=0x800)}), r"b'\\x81/1.png' is not the UTF-8"),
    "link": (zip_of({"cat/1.png": Lie(b"/etc/passwd", attributes=LINK)}), "'cat/1.png' is a symbolic link"),
    "linked folder": (zip_of({**GOOD, "dog/": Lie(b"", attributes=LINK)}), "'dog/' is a symbolic link"),
    "pipe": (zip_of({"cat/1.png": Lie(attributes=PIPE)}), "no regular file"),
    "folder in place of a file": (zip_of({"cat/1.png": Lie(attributes=FOLDER)}), "no regular file"),
    "encrypted": (zip_of({"cat/1.png": Lie(flags=1)}), "'cat/1.png' is encrypted"),
    "strongly encrypted": (zip_of({"cat/1.png": Lie(flags=0x40)}), "'cat/1.png' is encrypted"),
    "bzip2": (plain_zip(GOOD, zipfile.ZIP_BZIP2), "packed by method 12; only 0"),
    "unknown method": (zip_of({"cat/1.png": Lie(method=99)}), "packed by method 99; only 0"),
    "twice": (TWICE, "'cat/1.png' is in the archive twice"),
    "no class": (plain_zip({**GOOD, "1.png": PNG}), "'1.png' lies outside of any class folder"),
    "no class in top": (plain_zip({"pets/cat/1.png": PNG, "pets/1.png": PNG}), "'pets/1.png' lies outside"),
    "flat": (plain_zip({"1.png": PNG, "2.png": PNG}), "'1.png' lies outside"),
    "empty class": (plain_zip({**GOOD, "dog/": b""}), "class folder 'dog' has no image"),
    "empty class in top": (plain_zip({"p/cat/1.png": PNG, "p/dog/": b""}), "class folder 'p/dog' has no image"),
    "class of litter": (plain_zip({**GOOD, "dog/": b"", "dog/.DS_Store": b"x"}), "'dog' has no image"),
    "deeper": (plain_zip({**GOOD, "dog/puppy/1.png": PNG}), "'dog/puppy/1.png' lies in a folder inside of a class"),
    "deeper in top": (plain_zip({"p/cat/1.png": PNG, "p/dog/x/1.png": PNG}), "inside of a class"),
    "deeper folder": (plain_zip({**GOOD, "cat/kitten/": b""}), "'cat/kitten' is inside of a class folder"),
    "zip64 entry": (zip_of({"cat/1.png": Lie(size=0xFFFFFFFF, method=8)}), "zip64 entry"),
    "zip64 end": (zip_of(GOOD, count=0xFFFF, here=0xFFFF), "is a zip64"),
    "zip64 start": (zip_of(GOOD, start=0xFFFFFFFF), "is a zip64"),
    "overlapping": (zip_of({**GOOD, "cat/2.png": Lie(PNG, 8, packed_size=400, offset=0)}), "entries overlap"),
    "parts": (zip_of(GOOD, disk=1), "one of several parts"),
    "fewer": (zip_of(GOOD, count=2, here=2), "fewer entries than it counts"),
    "more": (zip_of({**GOOD, "cat/2.png": PNG}, count=1, here=1), "other entries than the 1"),
    "stored size": (zip_of({"cat/1.png": Lie(size=3)}), "cannot have the 3 bytes"),
    "full folder": (zip_of({**GOOD, "cat/": PNG}), "'cat/' cannot have"),
}  # fmt: skip

CONTENT: dict[str, tuple[bytes, str]] = {
    "more than declared": (zip_of({"cat/1.png": Lie(PNG, 8, size=20)}), "unpacks to more than the 20 bytes"),
    "more, and its checksum": (
        zip_of({"cat/1.png": Lie(PNG, 8, size=20, crc=zlib.crc32(PNG[:20]))}),
        "unpacks to more than the 20 bytes",
    ),
    "less than declared": (zip_of({"cat/1.png": Lie(PNG, 8, size=5000)}), "in place of the 5000 that are declared"),
    "checksum": (zip_of({"cat/1.png": Lie(crc=1)}), r"'cat/1.png' fails its checksum \(CRC\)"),
    "no deflate": (zip_of({"cat/1.png": Lie(PNG, 8, packed=b"\xff\xff\xff")}), "cannot be unpacked"),
    "deflate cut": (zip_of({"cat/1.png": Lie(PNG, 8, packed=zlib.compress(PNG)[2:30])}), "does not end where"),
    "deflate and more": (
        zip_of({"cat/1.png": Lie(PNG, 8, packed=zlib.compress(PNG)[2:-4] + b"more")}),
        "does not end where it should",
    ),
    "other name inside": (zip_of({"cat/1.png": Lie(local_name="dog/1.png")}), "is described otherwise"),
    "elsewhere": (zip_of({"cat/1.png": Lie(offset=7)}), "is described otherwise"),
    "beyond": (zip_of({"cat/1.png": Lie(offset=2**31)}), "in the middle of an entry"),
    "into the directory": (zip_of({"cat/1.png": Lie(PNG, 8, packed_size=len(PNG) + 20)}), "reaches into"),
    "same bytes twice": (zip_of({**GOOD, "cat/2.png": Lie(offset=0)}), "'cat/2.png' is described otherwise"),
    "no image": (plain_zip({**GOOD, "cat/readme.txt": b"cats"}), "'cat/readme.txt': .* no whole PNG.* whole dataset"),
    "empty image": (plain_zip({**GOOD, "cat/2.png": b""}), "'cat/2.png': .* zero bytes"),
    "broken image": (plain_zip({**GOOD, "cat/2.png": PNG[:-30]}), "'cat/2.png': .* cut short"),
}  # fmt: skip

SIZE: dict[str, tuple[bytes, str]] = {
    "file": (bytes(200_001), "more than 200000 bytes"),
    "images": (plain_zip({f"cat/{i}.png": PNG for i in range(21)}), "21 images are over the limit of 20"),
    "entries": (zip_of({}, count=81, here=81), "lists 81 entries; 20 images.* no more than 80"),
    "declared": (zip_of({"cat/1.png": ONE_MEGABYTE}), "unpacks to 1000000 bytes; the limit is 800000"),
    "one file": (zip_of({"cat/1.png": Lie(bytes(60_000), 8)}), "'cat/1.png' has 60000 bytes; the limit is 50000"),
    "pixels": (plain_zip({"cat/1.png": bomb(400, 400)}), "'cat/1.png': The image is 400 x 400, 160000 pixels"),
}  # fmt: skip


@pytest.mark.parametrize("fault", STRUCTURE)
def test_what_is_no_archive_of_class_folders_is_refused(fault: str) -> None:
    raw, reason = STRUCTURE[fault]
    with pytest.raises(NotADataset, match=reason):
        read(raw, SMALL)


@pytest.mark.parametrize("fault", [*CONTENT, *SIZE])
async def test_what_is_no_set_of_images_or_too_large_is_refused(fault: str, decoder: DecodePool) -> None:
    raw, reason = {**CONTENT, **SIZE}[fault]
    with pytest.raises(TooLarge if fault in SIZE else NotADataset, match=reason), read(raw, SMALL) as dataset:
        await check(dataset, decoder, 1)


def test_a_small_archive_may_not_be_large_inside() -> None:
    raw = plain_zip({"cat/1.bmp": bytes(2**25)})
    with pytest.raises(TooLarge, match="times that; the limit is 200 times"):
        read(raw, Settings())


def test_bombs_take_no_memory() -> None:
    """A declared one, one that lies about its size, a directory of thousands, and arrays that are all promise."""
    program = """
import resource, zlib
from rakinglight.errors import NotADataset, TooLarge
from service.datasets.reading import read
from service.settings import Settings
from tests.service.archives_at_hand import Lie, npy, zip_of

deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
much = b"".join(deflate.compress(bytes(2**20)) for _ in range(256)) + deflate.flush()
bombs = [
    zip_of({"cat/1.png": Lie(method=8, packed=much, size=2**28)}),
    zip_of({"cat/1.png": Lie(method=8, packed=much, size=1000)}),
    zip_of({"images.npy": Lie(method=8, packed=much, size=1000)}),
    zip_of({"images.npy": npy("{'descr': '|u1', 'fortran_order': False, 'shape': (9, 9999, 9999, 3)}")}),
    zip_of({"images.npy": npy("{'descr': '|u1', 'fortran_order': False, 'shape': (%s, 9, 9)}" % 2**62)}),
    zip_of({}, count=65_000, here=65_000),
]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for raw in bombs:
    try:
        with read(raw, Settings()) as dataset:
            dataset.image(0)
    except (NotADataset, TooLarge):
        continue
    raise AssertionError(raw[:100])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, cwd=Path(__file__).parents[2]
    )
    assert int(done.stdout) < 20_000  # KiB


async def test_a_thousand_images_are_checked_in_seconds(decoder: DecodePool) -> None:
    raw = plain_zip({f"{i % 10}/{i}.png": PNG for i in range(1000)})
    begun = time.monotonic()
    with read(raw, Settings()) as dataset:
        await check(dataset, decoder, 2)
    assert len(dataset) == 1000
    assert time.monotonic() - begun < 15


# ── NPZ ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("images", [U8, U8[..., 0], U8[..., :1]])
def test_bytes_of_an_npz_keep_their_bits(images: Any, packed: bool) -> None:
    with read(npz_of(images=images, packed=packed), SMALL) as dataset:
        assert (dataset.kind, dataset.classes, len(dataset)) == ("npz", (), 6)
        assert dataset.items[5] == ("5", None) and dataset.label(5) is None
        for i in (5, 0, 3):  # in any order
            picture = dataset.image(i)
            assert isinstance(picture, bytes)
            np.testing.assert_array_equal(decode(picture), images[i].reshape(4, 5, -1))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("images", [F32, F32[:, :1]])
def test_floats_of_an_npz_are_exact_tensors(images: Any, packed: bool) -> None:
    with read(npz_of(images=images, packed=packed), SMALL) as dataset:
        for i in (5, 0, 3):
            image = dataset.image(i)
            assert isinstance(image, np.ndarray) and image.dtype == np.float32
            np.testing.assert_array_equal(image, images[i])


@pytest.mark.parametrize(
    "labels",
    [LABELS, LABELS.astype(np.uint8), LABELS.astype(">i2"), LABELS[:, None], LABELS.astype("U"), LABELS.astype("S")],
)
def test_whole_numbers_are_class_indices(labels: Any) -> None:
    with read(npz_of(x=U8, y=labels), SMALL) as dataset:
        assert dataset.classes == ("0", "2", "10")
        assert [dataset.label(i) for i in range(6)] == LABELS.tolist()
        assert dataset.items[1] == ("1", 2)


def test_text_is_a_class_name() -> None:
    with read(npz_of(images=U8, labels=np.array(["b", "a", "b", "ü", "b", "b"])), SMALL) as dataset:
        assert dataset.classes == ("a", "b", "ü")
        assert dataset.label(3) == "ü"
        assert dataset.counts()[1] == {"name": "b", "images": 4}


def test_nan_and_range_are_looked_for_in_every_image() -> None:
    for value in (np.nan, np.inf, -0.01, 1.01):
        images = F32.copy()
        images[4, 0, 0, 0] = value
        with pytest.raises(NotADataset, match="Image 4 of the NPZ has values from"):
            read(npz_of(images=images), SMALL)


def _array(descr: str, shape: str, values: bytes = b"", by_column: bool = False) -> bytes:
    head = f"{{'descr': {descr}, 'fortran_order': {by_column}, 'shape': {shape}}}"
    return zip_of({"images.npy": npy(head, values)})


NPZ: dict[str, tuple[bytes, str]] = {
    "no images": (npz_of(labels=LABELS), r"The NPZ has \['labels'\]"),
    "others too": (npz_of(images=U8, extra=LABELS), "nothing else"),
    "two of images": (npz_of(images=U8, x=U8), "nothing else"),
    "two of labels": (npz_of(images=U8, labels=LABELS, y=LABELS), "nothing else"),
    "none": (npz_of(images=U8[:0]), "no image in it"),
    "no pixels": (npz_of(images=U8[:, :0]), "one pixel at least"),
    "doubles": (npz_of(images=F32.astype(float)), r"images of 'float64' \[6, 3, 4, 5\]; convert"),
    "whole numbers": (npz_of(images=U8.astype(int)), "images of 'int64'"),
    "big-endian": (npz_of(images=F32.astype(">f4")), "images of '>f4'"),
    "complex": (npz_of(images=U8 * 1j), "images of 'complex128'"),
    "structured": (npz_of(images=np.zeros(3, "f4,f4")), "images of"),
    "one image": (npz_of(images=U8[0, 0]), "which has 2 dimensions"),
    "flat floats": (npz_of(images=F32[0]), "which has 3 dimensions"),
    "channels first": (npz_of(images=U8.transpose(0, 3, 1, 2)), "so C is 5"),
    "channels last": (npz_of(images=F32.transpose(0, 2, 3, 1)), "so C is 4"),
    "by column": (npz_of(images=np.asfortranarray(U8)), "Fortran's order"),
    "objects": (npz_of(images=np.array([{}, []], object)), "would have to be unpickled and never is"),
    "object labels": (npz_of(images=U8, labels=np.array([None] * 6)), "unpickled"),
    "fewer labels": (npz_of(images=U8, labels=LABELS[:5]), r"labels of 'int64' \[5\] and 6 images"),
    "one-hot": (npz_of(images=U8, labels=np.eye(6, dtype=int)), "one label an image"),
    "float labels": (npz_of(images=U8, labels=LABELS / 1), "labels of 'float64'"),
    "truth labels": (npz_of(images=U8, labels=LABELS > 2), "labels of 'bool'"),
    "negative labels": (npz_of(images=U8, labels=LABELS - 1), "a label of -1"),
    "nameless": (npz_of(images=U8, labels=np.array(["a"] * 5 + [""])), "class name ''"),
    "unshown": (npz_of(images=U8, labels=np.array(["a"] * 5 + ["\x07"])), "cannot be shown"),
    "turned label": (npz_of(images=U8, labels=np.array(["a"] * 5 + ["\u202ecat"])), "cannot be shown"),
    "half characters": (npz_of(images=U8, labels=np.array(["a"] * 5 + ["\ud800"])), "cannot be shown"),
    "long labels": (npz_of(images=U8, labels=np.array(["a" * 1025] * 6)), "1024 characters at most"),
    "no utf-8": (npz_of(images=U8, labels=np.array([b"\xff"] * 6)), "text that cannot be read"),
    "no unicode": (npz_of(images=U8, labels=np.full(6, 0x110000, "<u4").view("<U1")), "text that cannot be read"),
    "no array": (zip_of({"images.npy": PNG}), "no head that numpy writes"),
    "empty array": (zip_of({"images.npy": b""}), "no head that numpy writes"),
    "long head": (zip_of({"images.npy": npy(" " * 20_000, version=b"\x02\x00")}), "no head that numpy writes"),
    "deep head": (zip_of({"images.npy": npy("(" * 9_000)}), "no head that numpy writes"),
    "code": (_array("__import__('os')", "(1,)"), "no head that numpy writes"),
    "negative": (_array("'|u1'", "(6, -4, -5)", bytes(120)), r"says \[6, -4, -5\] for its shape"),
    "truth for a shape": (_array("'|u1'", "(True, 2, 2, 3)", bytes(12)), r"says \[True, 2, 2, 3\] for its shape"),
    "promise": (_array("'|u1'", "(6, 4, 5)", bytes(119)), r"has 119 bytes .* uint8 \[6, 4, 5\].* takes 120"),
    "surplus": (_array("'|u1'", "(6, 4, 5)", bytes(121)), "has 121 bytes of values"),
    "checksum": (zip_of({"images.npy": Lie(npz_of(images=U8)[40:], crc=1)}), "no head|checksum"),
}  # fmt: skip


@pytest.mark.parametrize("fault", NPZ)
def test_what_is_no_npz_of_images_is_refused(fault: str) -> None:
    raw, reason = NPZ[fault]
    with pytest.raises(NotADataset, match=reason):
        read(raw, SMALL)


def test_an_npz_has_limits_too() -> None:
    with pytest.raises(TooLarge, match="21 images are over the limit of 20"):
        read(npz_of(images=np.zeros((21, 2, 2), np.uint8)), SMALL)
    with pytest.raises(TooLarge, match=r"\[1, 400, 400\], each 400 x 400; the limit of an image is 100000 pixels"):
        read(npz_of(images=np.zeros((1, 400, 400), np.uint8)), SMALL)
    with pytest.raises(TooLarge, match="of a side 1000"):
        read(npz_of(images=np.zeros((1, 1001, 2), np.uint8)), SMALL)


def test_no_room_to_unpack_is_told() -> None:
    """The disk is full as far as this process goes: its files may not grow."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    raw = npz_of(images=np.zeros((20, 80, 80), np.uint8))
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(StorageAway, match="128128 bytes, cannot be unpacked here: File too large"):
            read(raw, SMALL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, previous)


# ── anything at all ─────────────────────────────────────────────────────────────────────────────────────────────────

SEEDS = [
    plain_zip({"cat/1.png": PNG, "dog/1.jpg": JPEG}),
    zip_of({"pets/cat/1.png": PNG, "pets/": b""}),
    npz_of(images=U8, labels=LABELS),
    npz_of(x=F32, y=LABELS.astype("U"), packed=True),
]


@hypothesis_settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.sampled_from(SEEDS),
    changes=st.lists(
        st.tuples(
            st.floats(0, 1),
            st.integers(0, 8),
            st.one_of(st.binary(max_size=8), st.sampled_from([b"PK\x05\x06", b"\xff" * 4])),
        ),
        max_size=6,
    ),
    from_the_end=st.booleans(),
)
@example(seed=b"", changes=[], from_the_end=False)
def test_a_changed_archive_is_a_dataset_or_refused(
    seed: bytes, changes: list[tuple[float, int, bytes]], from_the_end: bool
) -> None:
    raw = bytearray(seed)
    for where, count, new in changes:
        # Most of what is read first stands in the last few hundred bytes.
        reach = min(len(raw), 250) if from_the_end else len(raw)
        at = len(raw) - reach + int(where * reach)
        raw[at : at + count] = new
    with suppress(NotADataset, TooLarge), read(bytes(raw), SMALL) as dataset:
        assert len(dataset) > 0
        for i in range(len(dataset)):
            dataset.image(i)
            dataset.label(i)


DIMENSION = r"(-?[0-9]{0,20}|[0-3]|True|False|None|1\.0)"
HEAD = (
    r"\{'descr': '([<>|=]?[a-zA-Z][0-9]{0,12}|\|u1)', 'fortran_order': (True|False), "
    rf"'shape': \(({DIMENSION},){{0,5}}\)\}}"
)


@hypothesis_settings(max_examples=300, deadline=None)
@given(head=st.text(max_size=60) | st.from_regex(HEAD, fullmatch=True), values=st.binary(max_size=64))
@example(head="{'descr': '|u1', 'fortran_order': False, 'shape': (2, True, 2, 3)}", values=bytes(12))
def test_any_head_of_an_array_is_read_or_refused(head: str, values: bytes) -> None:
    with suppress(NotADataset, TooLarge):
        read(zip_of({"images.npy": npy(head, values)}), SMALL).close()


# ── folders ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    folder = tmp_path / "pets"
    for name, content in {"cat/1.png": PNG, "cat/2.jpg": JPEG, "dog/1.webp": WEBP, "dog/.DS_Store": b"x"}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def folders(pets: Path) -> Folders:
    return Folders(Settings(datasets={"pets": pets}, dataset_images=5, body_bytes=50_000))


def test_a_folder_has_a_folder_a_class(pets: Path) -> None:
    dataset = folders(pets).open("pets")
    assert (dataset.kind, dataset.classes) == ("folder", ("cat", "dog"))
    assert dataset.items == (("cat/1.png", 0), ("cat/2.jpg", 0), ("dog/1.webp", 1))
    assert [dataset.image(i) for i in range(3)] == [PNG, JPEG, WEBP]


def test_a_folder_is_listed_again_after_a_change(pets: Path) -> None:
    configured = folders(pets)
    before = configured.open("pets")
    assert configured.open("pets") is before
    (pets / "dog" / "2.png").write_bytes(PNG)
    assert len(configured.open("pets")) == 4
    (pets / "dog").rename(pets / "wolf")
    assert configured.open("pets").classes == ("cat", "wolf")
    assert len(before) == 3


def test_links_lead_within_the_folder_only(pets: Path, tmp_path: Path) -> None:
    (pets / "cat" / "3.png").symlink_to("../dog/1.webp")
    dataset = folders(pets).open("pets")
    assert dataset.image(2) == WEBP
    outside = tmp_path / "secret.png"
    outside.write_bytes(PNG)
    (pets / "cat" / "3.png").unlink()
    (pets / "cat" / "3.png").symlink_to(outside)
    with pytest.raises(NotADataset, match=r"'cat/3\.png' is a symbolic link that leaves"):
        dataset.image(2)  # though it was none when it was listed
    with pytest.raises(NotADataset, match=r"'pets', which the operator should mend: 'cat/3\.png' is a symbolic link"):
        folders(pets).open("pets")
    (pets / "cat" / "3.png").unlink()
    (pets / "all").symlink_to(tmp_path)
    with pytest.raises(NotADataset, match="'all' is a symbolic link that leaves"):
        folders(pets).open("pets")
    (pets / "all").unlink()
    for target, reason in {"loop.png": "Too many levels", "nothing.png": "No such file"}.items():
        (pets / "cat" / "loop.png").symlink_to(target)
        with pytest.raises(StorageAway, match=f"cannot be read: {reason}"):
            folders(pets).open("pets")
        (pets / "cat" / "loop.png").unlink()


def test_a_folder_that_is_no_dataset_is_told_to_the_operator(
    pets: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(StorageAway, match="cannot be read: No such file"):
        folders(tmp_path / "none").open("pets")
    assert str(tmp_path / "none") in caplog.text
    (pets / "bird").mkdir()
    with pytest.raises(NotADataset, match="class folder 'bird' has no image"):
        folders(pets).open("pets")
    assert str(pets) in caplog.text
    (pets / "bird" / "egg").mkdir()
    with pytest.raises(NotADataset, match="'bird"):
        folders(pets).open("pets")
    (pets / "bird" / "egg").rmdir()
    (pets / "bird").rmdir()
    (pets / "readme.txt").write_text("pets")
    with pytest.raises(NotADataset, match=r"'readme\.txt' lies outside of any class folder"):
        folders(pets).open("pets")
    (pets / "readme.txt").unlink()
    for i in range(10, 14):
        (pets / "cat" / f"{i}.png").write_bytes(PNG)
    with pytest.raises(TooLarge, match="7 images are over the limit of 5"):
        folders(pets).open("pets")


def test_what_is_no_file_keeps_nobody_waiting(pets: Path) -> None:
    dataset = folders(pets).open("pets")
    (pets / "cat" / "1.png").unlink()
    os.mkfifo(pets / "cat" / "1.png")
    with pytest.raises(NotADataset, match="no regular file"):
        dataset.image(0)
    (pets / "cat" / "2.jpg").write_bytes(bytes(50_001))
    with pytest.raises(TooLarge, match="50001 bytes; the limit is 50000"):
        dataset.image(1)
    (pets / "dog" / "1.webp").unlink()
    with pytest.raises(StorageAway, match=r"'dog/1\.webp' cannot be read: No such file"):
        dataset.image(2)


def test_nothing_is_left_unpacked() -> None:
    before = set(Path(tempfile.gettempdir()).iterdir())
    with read(npz_of(images=U8), SMALL):
        assert set(Path(tempfile.gettempdir()).iterdir()) - before == set()
