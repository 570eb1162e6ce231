"""Storage that is slow, locked or of another version, and what goes on meanwhile."""

import asyncio
import sqlite3
import time
from contextlib import closing

import pytest

from service.core import Core
from service.database import VERSION_TABLE
from service.decode import DecodePool
from service.settings import Settings
from service.storage import Storage
from tests.service.conftest import House
from tests.service.pictures_at_hand import base64_of, noise, png

CLASSIFY = "/api/v1/models/small/classify"
#: Seconds that a writer waits for the one before.
WAIT_S = 2.0
ASKED = {"images": [base64_of(png(noise()))]}


async def test_a_locked_database_holds_up_no_other_work(house: House, settings: Settings, decoder: DecodePool) -> None:
    assert (await house.client.post(CLASSIFY, json=ASKED)).status_code == 200
    with closing(Storage.of(settings, decoder, wait_s=WAIT_S)) as house.core._storage:
        with closing(sqlite3.connect(house.home / "rakinglight.db")) as outside:
            outside.execute("BEGIN EXCLUSIVE")
            begun = time.monotonic()
            submissions = [
                asyncio.create_task(house.client.post(CLASSIFY, json=ASKED, headers={"Prefer": "respond-async"}))
                for _ in range(14)
            ]
            await asyncio.sleep(0.5)
            assert (await house.client.post(CLASSIFY, json=ASKED)).status_code == 200
            assert time.monotonic() - begun < WAIT_S
            answers = await asyncio.gather(*submissions)
            assert time.monotonic() - begun < WAIT_S + 2
        assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(503, "STORAGE_AWAY")}
        again = await house.client.post(CLASSIFY, json=ASKED, headers={"Prefer": "respond-async"})
        assert again.status_code == 202


async def test_a_database_of_a_newer_version_is_waited_for_in_vain(house: House) -> None:
    core: Core = house.core
    assert await core.storage.ready() is core.storage
    with core.storage.database.transaction() as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(ValueError, match="newer rakinglight"):
        await core.storage.ready()
