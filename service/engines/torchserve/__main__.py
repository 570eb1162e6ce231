"""TorchServe alone, for a gateway in another container: `python -m service.engines.torchserve`.

Builds archives that are missing, runs TorchServe with its sockets in RAKINGLIGHT_ENGINE_SOCKETS, replaces it when it
does not do its work, and ends it at SIGTERM or SIGINT. It cuts what is in flight then: the gateway drains before, or
asks again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from rakinglight.archives import read_card
from rakinglight.errors import RakinglightError
from service import logs
from service.engines.children import SOCKET_PATH_LIMIT
from service.engines.torchserve.host import LONGEST_SOCKET, TorchServeHost, java_home, torchserve_home
from service.engines.torchserve.sockets import Folder, TorchServe
from service.settings import Settings

log = logging.getLogger("rakinglight.torchserve")


def main() -> None:
    """The command. Ends with 1 where a setting is wrong or an archive cannot be built."""
    from model_store.build import ensure

    try:
        settings = Settings()  # type: ignore[call-arg]  # each has a default
        logs.configure(settings.log_level, settings.log_format)
        folder = _folder(settings.engine_sockets)
        java_home(), torchserve_home()
        archives = ensure(settings.models, settings.home.resolve(), log.info)
    except (ValueError, RakinglightError) as e:
        sys.exit(f"service.engines.torchserve: {e}")
    host = TorchServeHost(archives, home=settings.home.resolve(), places=settings.live_runs)
    models = {card.name: card for card in map(read_card, archives)}
    asyncio.run(_run(host, TorchServe(models, silence="TorchServe is starting"), folder))


def _folder(sockets: Path | None) -> Folder:
    """The folder of the sockets, private and empty or left by a predecessor. Raises ValueError."""
    if sockets is None:
        raise ValueError("RAKINGLIGHT_ENGINE_SOCKETS is not set; name the folder that the gateway is given, too.")
    path = sockets.resolve()
    if (length := len(os.fsencode(path / LONGEST_SOCKET))) > SOCKET_PATH_LIMIT:
        raise ValueError(
            f"RAKINGLIGHT_ENGINE_SOCKETS is {str(path)!r}, and the path of a socket in it has {length} bytes; "
            f"{SOCKET_PATH_LIMIT} are possible. Name a folder with a shorter path."
        )
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    return Folder(path)


async def _run(host: TorchServeHost, torchserve: TorchServe, folder: Folder) -> None:
    told_to_end = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told_to_end.set)
    async with torchserve.connected(folder):
        tasks = [asyncio.create_task(work) for work in (host.run(torchserve, folder), _tell(torchserve))]
        await told_to_end.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    folder.clear()
    log.info("stopped")


async def _tell(torchserve: TorchServe) -> None:
    """Log how it is, whenever that has changed."""
    said = torchserve.reason
    while True:
        if torchserve.reason != said:
            said = torchserve.reason
            log.info(said)
        await asyncio.sleep(0.1)


if __name__ == "__main__":
    main()
