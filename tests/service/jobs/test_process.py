"""The process that does jobs: its name, its end, and who starts it again."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from rakinglight.network import Network
from service.jobs import child
from service.jobs.child import JobProcess
from service.jobs.process import worker_name
from service.settings import Settings
from tests.conftest import REPOSITORY
from tests.service.in_process import InProcessEngine
from tests.service.jobs.conftest import newer


def test_a_name_is_one_worker_s_and_stays_with_its_home(tmp_path: Path) -> None:
    with worker_name(tmp_path) as first, worker_name(tmp_path) as second:
        assert first != second
    with worker_name(tmp_path) as again, worker_name(tmp_path / "other") as elsewhere:
        assert again == first
        assert elsewhere not in (first, second)


def test_a_killed_worker_s_name_is_free(tmp_path: Path) -> None:
    code = "import sys, time; from pathlib import Path; from service.jobs.process import worker_name\n"
    code += "with worker_name(Path(sys.argv[1])) as name: print(name, flush=True); time.sleep(60)"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    )
    assert holder.stdout is not None
    name = holder.stdout.readline().strip()
    with worker_name(tmp_path) as other:
        assert other != name
    holder.kill()
    holder.wait()
    holder.stdout.close()
    with worker_name(tmp_path) as mine:
        assert mine == name


@pytest.mark.parametrize(("deed", "code"), [("pass", 0), ("raise ZeroDivisionError", 1)])
def test_it_leaves_though_threads_wait_and_says_all_it_had_to_say(deed: str, code: int) -> None:
    script = (
        "import threading; from service.jobs.process import leaving\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
        f"with leaving(): print('last words'); {deed}"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=REPOSITORY, timeout=30, check=False
    )
    assert (done.returncode, done.stdout) == (code, "last words\n")
    assert ("ZeroDivisionError" in done.stderr) == bool(code)


async def until(happens: object, seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not happens():
            await asyncio.sleep(0.02)


async def test_it_is_started_again_whenever_it_dies_and_ended_with_its_children(
    small_convolution: Network, tmp_path: Path
) -> None:
    engine = InProcessEngine([small_convolution])
    jobs = JobProcess(engine, [], Settings(home=tmp_path))
    async with jobs.kept():
        await until(lambda: jobs.pid and len(psutil.Process(jobs.pid).children()) == 2)  # it has its decoders
        first = jobs.pid
        assert first is not None
        family = [psutil.Process(first), *psutil.Process(first).children(recursive=True)]
        os.kill(first, signal.SIGKILL)
        await until(lambda: jobs.pid not in (None, first))
        assert jobs.restarts == 1
        await until(lambda: jobs.pid and len(psutil.Process(jobs.pid).children()) == 2)
        assert jobs.pid is not None
        family += [psutil.Process(jobs.pid), *psutil.Process(jobs.pid).children(recursive=True)]
    _, alive = await asyncio.to_thread(psutil.wait_procs, family, timeout=5)
    assert not alive
    await engine.stop()


async def test_with_a_newer_database_it_ends_and_is_not_started_again(
    small_convolution: Network, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    engine = InProcessEngine([small_convolution])
    jobs = JobProcess(engine, [], Settings(home=tmp_path, database=newer(tmp_path)))
    async with jobs.kept():
        await until(lambda: "no jobs are done until" in caplog.text)
        assert jobs.pid is None
        assert jobs.restarts == 0
    assert "code 2" in caplog.text
    assert "newer rakinglight" in "".join(capfd.readouterr())
    await engine.stop()


async def test_one_that_dies_at_once_is_started_less_and_less_often(
    small_convolution: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child.sys, "executable", "/bin/false")
    engine = InProcessEngine([small_convolution])
    jobs = JobProcess(engine, [], Settings(home=tmp_path))
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        if seconds >= 0.1:
            pauses.append(seconds)
        await sleep(0.01)

    monkeypatch.setattr(asyncio, "sleep", noted)
    async with jobs.kept():
        async with asyncio.timeout(20):
            while jobs.restarts < 12:
                await sleep(0.01)
    assert pauses[:4] == [0.2, 0.4, 0.8, 1.6]
    assert pauses[-1] == child.LONGEST_PAUSE_S
    await engine.stop()
