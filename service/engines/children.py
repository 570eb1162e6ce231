"""Child processes that leave nothing behind, and the private places where they listen."""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

#: Bytes of a unix socket's path that every system takes: sun_path holds 108 on Linux and 104 on macOS, with a zero.
SOCKET_PATH_LIMIT = 103
#: In a directory of sockets; whoever it is for keeps it locked.
OWNER = "owner"
SECRETS = re.compile(r"KEY|TOKEN|SECRET|PASSWORD", re.IGNORECASE)

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """In a new child, before it becomes another program: have the kernel kill it when its parent dies (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def clean_environment(home: Path) -> dict[str, str]:
    """This process's environment without its secrets; a worker needs none."""
    kept = {name: value for name, value in os.environ.items() if not SECRETS.search(name)}
    return kept | {"RAKINGLIGHT_HOME": str(home)}


async def end_group(process: asyncio.subprocess.Process) -> None:
    """Kill `process`, which leads its process group, and all of the group. There is nothing in it to be lost."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # the group outlives its leader
    await process.wait()


@contextmanager
def socket_directory(base: Path, *, longest: str) -> Iterator[Path]:
    """A new private directory under `base`, gone at the end; if its owner is killed before, when the next is made.

    Where the path of `longest` in it would be too long for a socket, it is in /tmp instead.
    """
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    base.chmod(0o700)
    _remove_orphans([*base.iterdir(), *Path("/tmp").glob("rakinglight-*")])  # noqa: S108
    directory = Path(tempfile.mkdtemp(prefix="", dir=base))
    if len(os.fsencode(directory / longest)) > SOCKET_PATH_LIMIT:
        directory.rmdir()
        directory = Path(tempfile.mkdtemp(prefix="rakinglight-", dir="/tmp"))
    try:
        with (directory / OWNER).open("w") as lock:
            flock(lock, LOCK_EX)  # let go by the kernel when this process ends, however it ends
            yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _remove_orphans(directories: Iterable[Path]) -> None:
    """Remove those that `socket_directory` made for a process that is no more. What else lies there is left alone."""
    mine = [directory for directory in directories if directory.lstat().st_uid == os.getuid()]
    for directory in mine:
        with suppress(OSError), (directory / OWNER).open() as lock:  # not ours, gone meanwhile, or still owned
            flock(lock, LOCK_EX | LOCK_NB)
            shutil.rmtree(directory)


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
