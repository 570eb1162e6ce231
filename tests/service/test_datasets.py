"""Datasets as they are kept: all or nothing, for their owner alone, for their time."""

import base64
import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from rakinglight.errors import (
    BadParameter,
    Conflict,
    Expired,
    Forbidden,
    NotADataset,
    NotFound,
    RakinglightError,
    StorageAway,
    TooLarge,
)
from service.artifacts import Artifacts
from service.database import Database
from service.database.pages import Page
from service.database.schema import datasets, holds
from service.datasets import Datasets
from service.decode import DecodePool
from service.settings import Settings
from tests.service.archives_at_hand import JPEG, PNG, WEBP, npz_of, plain_zip

PETS = plain_zip({"cat/1.png": PNG, "dog/1.jpg": JPEG, "dog/2.webp": WEBP})
MONTH = 30 * 86_400.0
WEEK = 7 * 86_400


class Clock:
    """A time that only a test moves."""

    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class House:
    """Datasets in a real database and folder."""

    def __init__(self, database: Database, decoder: DecodePool, folder: Path) -> None:
        self.clock = Clock()
        self.database = database
        self.store = folder / "artifacts"
        self.artifacts = Artifacts(database, str(self.store))
        self.configured = folder / "pets"
        self.settings = Settings(datasets={"pets": self.configured}, dataset_bytes=100_000, dataset_images=20)
        self.datasets = Datasets(database, self.artifacts, self.settings, decoder, clock=self.clock)
        for name in ("cat/1.png", "dog/1.png"):
            path = self.configured / name
            path.parent.mkdir(parents=True)
            path.write_bytes(PNG)

    def files(self) -> list[Path]:
        return [path for path in self.store.rglob("*") if path.is_file()]

    def count(self, table: sa.Table) -> int:
        with self.database.reading() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0

    def hold(self, dataset: str, owner: str | None, holder: str) -> str:
        with self.database.transaction() as connection:
            return self.datasets.hold(connection, dataset, owner, holder)

    async def uploaded(self, owner: str | None = None, **page: Any) -> list[str]:
        """The names of the uploaded, as they are listed."""
        found = await self.datasets.list(owner, **page)
        return [one["name"] for one in found["datasets"] if not one["configured"]]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with closing(Database(database_url)) as database:
        database.migrate()
        yield database


@pytest.fixture
def house(database: Database, decoder: DecodePool, tmp_path: Path) -> House:
    return House(database, decoder, tmp_path)


async def test_what_is_added_is_there(house: House) -> None:
    added = await house.datasets.add("ada", "my pets", PETS)
    assert added == {
        "id": added["id"],
        "name": "my pets",
        "kind": "zip",
        "configured": False,
        "images": 3,
        "classes": [{"name": "cat", "images": 1}, {"name": "dog", "images": 2}],
        "bytes": len(PETS),
        "created_at": "2027-01-15T08:00:00.000Z",
        "expires_at": "2027-02-14T08:00:00.000Z",
    }
    assert added["id"].startswith("ds_") and len(added["id"]) == 23
    assert await house.datasets.get(added["id"], "ada") == added
    with await house.datasets.open(added["id"], "ada") as dataset:
        assert [dataset.image(i) for i in range(3)] == [PNG, JPEG, WEBP]


async def test_arrays_are_taken_too(house: House) -> None:
    digits = npz_of(images=np.zeros((4, 2, 3), np.uint8), labels=np.array([1, 0, 1, 1]))
    added = await house.datasets.add("ada", "digits", digits)
    assert (added["kind"], added["images"]) == ("npz", 4)
    assert added["classes"] == [{"name": "0", "images": 1}, {"name": "1", "images": 3}]
    unlabelled = await house.datasets.add("ada", "x", npz_of(x=np.zeros((4, 2, 3), np.uint8)))
    assert (unlabelled["images"], unlabelled["classes"]) == (4, [])


@pytest.mark.parametrize(
    ("name", "raw", "error"),
    [
        ("pets", plain_zip({"cat/1.png": PNG, "cat/2.png": PNG[:-30]}), NotADataset),
        ("pets", plain_zip({"cat/1.png": PNG, "dog/": b""}), NotADataset),
        ("pets", bytes(100_001), TooLarge),
        ("", PETS, BadParameter),
        ("p" * 201, PETS, BadParameter),
        ("pets\n", PETS, BadParameter),
    ],
)
async def test_what_is_refused_leaves_nothing(house: House, name: str, raw: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        await house.datasets.add("ada", name, raw)
    assert house.files() == []
    assert house.count(datasets) == house.count(holds) == 0


async def test_images_that_take_too_long_are_refused(house: House, decoder: DecodePool) -> None:
    hurried = house.settings.model_copy(update={"deadline_limit_s": 0.0001})
    with pytest.raises(TooLarge, match=r"Decoding 3 images takes longer than 0\.0001 s"):
        await Datasets(house.database, house.artifacts, hurried, decoder).add("ada", "pets", PETS)
    assert house.files() == []


async def test_a_row_that_cannot_be_written_leaves_nothing(house: House) -> None:
    with house.database.transaction() as connection:
        connection.execute(sa.text("ALTER TABLE datasets RENAME COLUMN items TO others"))
    with pytest.raises(sa.exc.DatabaseError):
        await house.datasets.add("ada", "pets", PETS)
    assert house.count(holds) == 0
    house.artifacts.sweep(house.clock())
    assert house.files() == []


async def test_a_store_that_is_away_leaves_no_row(house: House) -> None:
    house.store.rmdir()
    with pytest.raises(StorageAway):
        await house.datasets.add("ada", "pets", PETS)
    assert house.count(datasets) == house.count(holds) == 0


async def test_another_owners_is_not_there(house: House) -> None:
    hers = (await house.datasets.add("ada", "pets", PETS))["id"]
    said = []
    for dataset in (hers, "ds_" + 20 * "x", "nonsense", "ds_\0", ""):
        for call in (house.datasets.get, house.datasets.open, house.datasets.remove):
            with pytest.raises(NotFound) as caught:
                await call(dataset, "bob")
            said.append(caught.value.detail.replace(repr(dataset), "…"))
        with pytest.raises(NotFound):
            house.hold(dataset, "bob", "job:1")
    assert len(set(said)) == 1
    assert await house.uploaded("bob") == []
    for owner in ("ada", None):  # herself, and an admin
        assert (await house.datasets.get(hers, owner))["name"] == "pets"
        assert await house.uploaded(owner) == ["pets"]
    await house.datasets.remove(hers, None)
    assert await house.uploaded("ada") == []


async def test_what_is_removed_goes_when_no_job_needs_it(house: House) -> None:
    dataset = (await house.datasets.add("ada", "pets", PETS))["id"]
    artifact = house.hold(dataset, "ada", "job:1")
    assert house.artifacts.read(artifact) == PETS
    await house.datasets.remove(dataset, "ada")
    with pytest.raises(NotFound):
        await house.datasets.get(dataset, "ada")
    house.artifacts.sweep(house.clock())
    with await house.datasets.reopen(artifact) as opened:
        assert opened.image(0) == PNG
    with house.database.transaction() as connection:
        house.artifacts.release(connection, "job:1")
    assert house.artifacts.sweep(house.clock()) == 1
    assert house.files() == []


async def test_two_of_the_same_content_go_one_by_one(house: House) -> None:
    first, second = [(await house.datasets.add(owner, "pets", PETS))["id"] for owner in ("ada", "bob")]
    await house.datasets.remove(first, "ada")
    assert house.artifacts.sweep(house.clock()) == 0
    (await house.datasets.open(second, "bob")).close()


async def test_what_is_over_is_not_there_and_goes(house: House) -> None:
    dataset = (await house.datasets.add("ada", "old", PETS))["id"]
    house.clock.now += MONTH / 2
    await house.datasets.add("ada", "young", npz_of(x=np.zeros((4, 2, 3), np.uint8)))
    house.clock.now += MONTH / 2 - 1
    assert await house.uploaded("ada") == ["young", "old"]
    assert house.datasets.sweep(house.clock()) == 0
    house.clock.now += 1
    assert await house.uploaded("ada") == ["young"]
    for call in (house.datasets.get, house.datasets.open, house.datasets.remove):
        with pytest.raises(Expired, match="upload it again"):
            await call(dataset, "ada")
        with pytest.raises(NotFound):
            await call(dataset, "bob")
    assert house.artifacts.sweep(house.clock()) == 1
    assert house.datasets.sweep(house.clock()) == 0
    house.clock.now += WEEK
    assert house.datasets.sweep(house.clock()) == 1
    with pytest.raises(NotFound):
        await house.datasets.get(dataset, "ada")
    assert (house.count(datasets), len(house.files())) == (1, 1)


async def test_pages_are_of_all_newest_first(house: House) -> None:
    for i in range(7):
        house.clock.now += i % 2  # some at the same moment
        await house.datasets.add("ada" if i else "bob", str(i), PETS)
    whole = await house.uploaded(None)
    assert sorted(whole) == list("0123456") and set(whole[:2]) == {"5", "6"}
    pages, token = [], None
    for number in itertools.count():
        found = await house.datasets.list(None, 3, token)
        configured = [one["id"] for one in found["datasets"] if one["configured"]]
        assert configured == (["pets"] if number == 0 else [])
        pages.append([one["name"] for one in found["datasets"] if not one["configured"]])
        if number == 0:
            await house.datasets.add("ada", "later", PETS)  # shifts nothing
        if (token := found["next_page_token"]) is None:
            break
    assert [len(page) for page in pages] == [3, 3, 1]
    assert list(itertools.chain(*pages)) == whole
    assert await house.uploaded("bob") == ["0"]


async def test_a_page_that_ends_with_the_list_is_the_last(house: House) -> None:
    for i in range(2):
        await house.datasets.add("ada", str(i), PETS)
    assert (await house.datasets.list("ada", 2))["next_page_token"] is None


@pytest.mark.parametrize(
    "said",
    ["x", "null", "[]", "[1, 2]", "[NaN, \"ds_x\"]", "[1e999, \"ds_x\"]", "[1, \"\\u0000\"]", "[" * 50_000],
)  # fmt: skip
@pytest.mark.parametrize("encoded", [False, True])
async def test_a_broken_token_is_told(house: House, said: str, encoded: bool) -> None:
    token = base64.urlsafe_b64encode(said.encode()).decode() if encoded else said
    with pytest.raises(BadParameter) as caught:
        await house.datasets.list("ada", page_token=token)
    assert caught.value.errors[0].pointer == "/page_token"


@pytest.mark.parametrize("size", [0, -1, 501])
def test_a_page_has_limits(size: int) -> None:
    with pytest.raises(BadParameter, match="from 1 to 500") as caught:
        Page(size)
    assert caught.value.errors[0].pointer == "/page_size"


async def test_a_configured_folder_is_everybodys(house: House) -> None:
    pets = {
        "id": "pets",
        "name": "pets",
        "kind": "folder",
        "configured": True,
        "images": 2,
        "classes": [{"name": "cat", "images": 1}, {"name": "dog", "images": 1}],
    }
    for owner in ("ada", "bob", None):
        assert await house.datasets.get("pets", owner) == pets
        assert (await house.datasets.list(owner))["datasets"] == [pets]
        with await house.datasets.open("pets", owner) as dataset:
            assert dataset.image(1) == PNG
    with pytest.raises(Forbidden, match="configured by the operator"):
        await house.datasets.remove("pets", None)
    assert house.count(holds) == 0


async def test_a_job_goes_on_with_the_folder_that_it_was_given_or_not_at_all(house: House) -> None:
    kept = house.hold("pets", "ada", "job:1")
    assert kept.startswith("folder:pets:") and house.count(holds) == 0
    (house.configured / "dog" / "Thumbs.db").write_bytes(b"x")  # nobody's image
    with await house.datasets.reopen(kept) as dataset:
        assert dataset.image(1) == PNG
    image = house.configured / "cat" / "1.png"
    changed = image.stat().st_mtime_ns

    def other_bytes() -> None:
        image.write_bytes(JPEG)

    def other_bytes_of_the_same_size() -> None:
        image.write_bytes(PNG)
        os.utime(image, ns=(changed, changed + 1_000_000))

    def one_more() -> None:
        image.write_bytes(PNG)
        os.utime(image, ns=(changed, changed))
        (house.configured / "cat" / "0.png").write_bytes(PNG)

    def another_class() -> None:
        (house.configured / "cat" / "0.png").unlink()
        image.parent.rename(house.configured / "emu")

    for change in (other_bytes, other_bytes_of_the_same_size, one_more, another_class):
        change()
        with pytest.raises(Conflict, match="The folder 'pets' changed since the job was submitted; submit it anew"):
            await house.datasets.reopen(kept)
    (house.configured / "emu").rename(house.configured / "cat")
    (await house.datasets.reopen(kept)).close()
    with pytest.raises(NotFound, match="configured no longer"):
        await house.datasets.reopen(kept.replace("pets", "others"))


async def test_an_outline_needs_no_content(house: House) -> None:
    labelled = npz_of(x=np.zeros((3, 4, 2, 3), np.uint8), y=np.array([7, 3, 7]))
    unlabelled = npz_of(x=np.zeros((2, 4, 2, 3), np.uint8))
    names = [(await house.datasets.add("ada", "any", raw))["id"] for raw in (PETS, labelled, unlabelled)]
    opened = [await house.datasets.open(name, "ada") for name in (*names, "pets")]
    shutil.rmtree(house.store)
    for name, whole in zip((*names, "pets"), opened, strict=True):
        outline = await house.datasets.outline(name, "ada")
        assert len(outline) == len(whole) > 0
        assert (outline.classes, outline.items, outline.counts()) == (whole.classes, whole.items, whole.counts())
        assert [outline.label(i) for i in range(len(whole))] == [whole.label(i) for i in range(len(whole))]
        whole.close()
    with pytest.raises(TypeError, match="open the dataset"):
        (await house.datasets.outline(names[0], "ada")).image(0)
    with pytest.raises(NotFound):
        await house.datasets.outline(names[0], "bob")


async def test_a_configured_folder_that_is_no_dataset_spoils_no_list(house: House) -> None:
    (house.configured / "bird").mkdir()
    (listed,) = (await house.datasets.list("ada"))["datasets"]
    assert listed["id"] == "pets" and "class folder 'bird' has no image" in listed["problem"]["detail"]
    assert str(house.configured) not in str(listed)
    with pytest.raises(RakinglightError, match="which the operator should mend"):
        await house.datasets.get("pets", "ada")


async def test_a_database_that_is_away_is_told(decoder: DecodePool, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with closing(Database(f"sqlite:///{tmp_path}/file/no.db")) as database:
        house = House(database, decoder, tmp_path)
        with pytest.raises(StorageAway, match="database cannot be used"):
            await house.datasets.add("ada", "pets", PETS)
        with pytest.raises(StorageAway, match="database cannot be used"):
            await house.datasets.list("ada")
