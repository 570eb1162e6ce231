"""From a stranger's file to a dataset, or to the reason why it is none. Nothing is stored before all of it is good.

read    what the file is, its structure and its limits; of an NPZ, all values too
check   every image file decoded, in the processes that decode every stranger's images
"""

from __future__ import annotations

import asyncio
import io

from rakinglight.errors import NotADataset, NotAnImage, TooLarge, shown
from service.datasets.archive import Archive
from service.datasets.arrays import NpzDataset
from service.datasets.dataset import Dataset
from service.datasets.zips import ZipDataset
from service.decode import Decoder
from service.settings import Settings
from service.tasks import task_group


def read(content: bytes, settings: Settings) -> Dataset:
    """The dataset that is `content`, a zip or an NPZ. It may take seconds: call it in a thread.

    What memory it takes is bounded by the limits of `settings`, not by what the file says of itself.
    Raises NotADataset and TooLarge, and StorageAway where there is no room to unpack an NPZ.
    """
    archive = Archive(io.BytesIO(content), settings)
    is_npz = archive.entries and all(entry.path.endswith(".npy") for entry in archive.entries)
    return NpzDataset(archive, settings) if is_npz else ZipDataset(archive, settings)


async def check(dataset: Dataset, decoder: Decoder, at_once: int) -> None:
    """Decode every image of `dataset`, `at_once` at a time. Raises NotADataset and TooLarge for the first bad one."""
    if isinstance(dataset, NpzDataset):
        return  # it holds no files, and its values were looked at when it was read
    waiting = iter(range(len(dataset)))

    async def one_after_another() -> None:
        for i in waiting:
            file = await asyncio.to_thread(dataset.image, i)
            assert isinstance(file, bytes)
            try:
                await decoder.decode(file)
            except (NotAnImage, TooLarge) as e:
                kind = TooLarge if isinstance(e, TooLarge) else NotADataset
                raise kind(
                    f"{shown(dataset.items[i][0])}: {e.detail} One image that is none refuses the whole dataset: mend "
                    "it or leave it out."
                ) from None

    async with task_group() as group:
        for _ in range(at_once):
            group.create_task(one_after_another())
