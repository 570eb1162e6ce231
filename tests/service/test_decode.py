"""The processes that decode: their limits, their deaths, and that none is left behind."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import numpy as np
import psutil
import pytest

from rakinglight.errors import NotAnImage, TooLarge
from service.decode import DecodePool
from tests.service.pictures_at_hand import bomb, noise, png

PIXELS = noise()
PICTURE = png(PIXELS)


@pytest.fixture
async def pool() -> AsyncIterator[DecodePool]:
    pool = DecodePool(processes=2, max_pixels=30_000_000, max_side=16_384, seconds=10, address_space=400 * 2**20)
    async with pool:
        yield pool


async def until(condition: object, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_pictures_come_back_as_pixels(pool: DecodePool) -> None:
    for pixels in await asyncio.gather(*(pool.decode(PICTURE) for _ in range(8))):
        np.testing.assert_array_equal(pixels, PIXELS)


async def test_a_refusal_costs_no_process(pool: DecodePool) -> None:
    before = pool.pids
    assert len(before) == 2
    with pytest.raises(NotAnImage):
        await pool.decode(b"no picture")
    with pytest.raises(TooLarge):
        await pool.decode(bomb())
    assert (await pool.decode(PICTURE)).shape == PIXELS.shape
    assert pool.pids == before
    assert pool.replaced == 0


async def test_more_memory_than_is_given_is_refused(pool: DecodePool) -> None:
    with pytest.raises((TooLarge, NotAnImage)):
        await pool.decode(png(np.zeros((5400, 5400, 3), np.uint8)))
    assert (await pool.decode(PICTURE)).shape == PIXELS.shape


async def test_a_process_that_died_is_replaced_before_the_next_picture(pool: DecodePool) -> None:
    for pid in pool.pids:
        os.kill(pid, signal.SIGKILL)
    await until(lambda: all(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE for pid in pool.pids))
    for pixels in await asyncio.gather(*(pool.decode(PICTURE) for _ in range(4))):
        np.testing.assert_array_equal(pixels, PIXELS)


async def test_a_picture_that_takes_too_long_is_given_up_at_the_second_try() -> None:
    pool = DecodePool(processes=1, max_pixels=10**6, max_side=10**4, seconds=0.001, address_space=2**30)
    async with pool:
        with pytest.raises(NotAnImage, match=r"longer than 0\.001 s"):
            await pool.decode(PICTURE)
        assert pool.replaced == 2
        assert pool.pids == []


async def test_a_picture_is_tried_again_when_its_process_hangs() -> None:
    pool = DecodePool(processes=1, max_pixels=10**6, max_side=10**4, seconds=3, address_space=2**30)
    async with pool:
        (pid,) = pool.pids
        os.kill(pid, signal.SIGSTOP)
        np.testing.assert_array_equal(await pool.decode(PICTURE), PIXELS)
        assert pool.replaced == 1
        assert pool.pids != [pid]


async def test_a_picture_is_tried_again_when_its_process_is_killed(pool: DecodePool) -> None:
    await asyncio.gather(*(pool.decode(PICTURE) for _ in range(2)))
    processes = [psutil.Process(pid) for pid in pool.pids]
    for process in processes:
        process.suspend()
    decoding = [asyncio.ensure_future(pool.decode(PICTURE)) for _ in range(2)]
    await asyncio.sleep(0)
    for process in processes:
        process.kill()
    for pixels in await asyncio.gather(*decoding):
        np.testing.assert_array_equal(pixels, PIXELS)


async def test_nothing_is_left_when_it_is_closed(pool: DecodePool) -> None:
    await pool.decode(PICTURE)
    processes = [psutil.Process(pid) for pid in pool.pids]
    pool.close()
    assert processes
    assert not any(process.is_running() for process in processes)


async def test_nothing_is_left_when_the_gateway_is_killed() -> None:
    program = (
        "import time; from service.decode import DecodePool\n"
        "pool = DecodePool(processes=2, max_pixels=1, max_side=1, seconds=1, address_space=2**30)\n"
        "pool.start(); print('up', flush=True); time.sleep(60)"
    )
    gateway = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=subprocess.PIPE)
    assert gateway.stdout is not None
    assert await gateway.stdout.readline() == b"up\n"
    children = psutil.Process(gateway.pid).children()
    assert len(children) == 2
    gateway.kill()
    await gateway.wait()
    await until(lambda: not any(child.is_running() and child.status() != "zombie" for child in children))


def test_a_process_starts_without_torch() -> None:
    program = "import sys, service.decode; sys.exit('torch' in sys.modules or 'pydantic_settings' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
