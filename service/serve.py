"""`rakinglight serve`: the whole house on one machine, from the archives to the doors, and its orderly end.

archives built ──> engine starts ──> doors open ──> ready ──> a signal ──> nothing new, what is under way ends ──> gone
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from pydantic import ValidationError

from rakinglight.errors import RakinglightError

if TYPE_CHECKING:
    from service.engines import Engine

EngineName = Literal["torchserve", "local"]


def register(app: typer.Typer) -> None:
    """Add what a service's operator needs to the command line."""
    from service import key_commands

    app.command()(serve)
    app.command()(worker)
    key_commands.register(app)


def serve(
    engine: Annotated[EngineName | None, typer.Option(help="Who runs the networks; local needs no Java.")] = None,
    host: Annotated[str | None, typer.Option(help="Address that both doors listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port of REST; 0 takes a free one.")] = None,
    grpc_port: Annotated[int | None, typer.Option(help="Port of gRPC; 0 takes a free one.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="A model to serve; may be given again.")] = None,
    home: Annotated[Path | None, typer.Option(help="Folder of archives, sockets and logs.")] = None,
    black_box: Annotated[
        bool, typer.Option("--black-box", help="Be a black box to everybody: images are classified, and nothing else.")
    ] = False,
) -> None:
    """Start the service: REST, gRPC and the engine behind them. Ctrl-C ends it, a second one at once.

    What is not given here is taken from the RAKINGLIGHT_ settings. With --black-box the engine is local unless another
    is named.
    """
    options = {"engine": engine, "host": host, "port": port, "grpc_port": grpc_port, "home": home, "models": model}
    _begin("serve", {**options, "black_box": black_box or None}, _serve)


def worker(
    engine: Annotated[EngineName | None, typer.Option(help="Who runs the networks; local needs no Java.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="A model to load; may be given again.")] = None,
    home: Annotated[Path | None, typer.Option(help="Folder of archives, sockets and logs.")] = None,
) -> None:
    """Do the jobs of services that share a database and a store of artifacts, with an engine of its own.

    `serve` has a worker already; this adds others, on other machines. RAKINGLIGHT_DATABASE and RAKINGLIGHT_ARTIFACTS
    name what they share.
    """
    from service.jobs.process import leaving

    with leaving():
        _begin("worker", {"engine": engine, "home": home, "models": model}, _work)


def _begin(command: str, options: dict[str, Any], main: Callable[[Any, list[Path]], Any]) -> None:
    """Read the settings, make ready, and run `main`. The exit codes are those of `rakinglight.cli`."""
    from service import logs
    from service.settings import Settings

    def end(why: str, code: int) -> typer.Exit:
        typer.echo(f"rakinglight {command}: {why}", err=True)
        return typer.Exit(code)

    try:
        settings = Settings(**{name: value for name, value in options.items() if value not in (None, [])})
        if settings.black_box and "engine" not in settings.model_fields_set:
            settings = settings.model_copy(update={"engine": "local"})
        logs.configure(settings.log_level, settings.log_format)
        archives = _archives(settings)
        _run(lambda: main(settings, archives))
    except (ValidationError, ValueError) as e:  # a setting that is wrong, or that cannot be had: a port in use
        raise end(told(e), 2) from None
    except RakinglightError as e:
        raise end(str(e), 3) from None


def _archives(settings: Any) -> list[Path]:
    """The archives of the models; one that is missing is built, by a process of its own.

    Whoever runs TorchServe elsewhere has built them, and there nothing may be written.
    """
    home = settings.home.resolve()
    if settings.engine_sockets:
        folder = settings.archive_folder or home / "archives"
        return [folder / f"{name}.mar" for name in settings.models]
    from model_store.build import ensure

    return ensure(settings.models, home, typer.echo)


async def _work(settings: Any, archives: list[Path]) -> None:
    from service.jobs.process import work

    with _signals() as (asked_to_stop, _):
        typer.echo(f"Starting {settings.engine}, which loads {', '.join(settings.models)} ...")
        await work(settings, _engine(settings, archives), asked_to_stop)
    typer.echo("Stopped.")


async def _serve(settings: Any, archives: list[Path]) -> None:
    # Read when gRPC is imported. Our children are programs of their own, which need none of its state.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    from service import grpc_door, rest
    from service.core import Core
    from service.decode import DecodePool
    from service.engines.targets import target_files
    from service.jobs.child import JobProcess
    from service.keys import Keyring
    from service.storage import Storage

    async with AsyncExitStack() as house:
        engine = _engine(settings, archives)
        await engine.start()
        house.push_async_callback(engine.stop)
        decoder = await house.enter_async_context(
            DecodePool(
                processes=settings.decoders,
                max_pixels=settings.image_pixels,
                max_side=settings.image_side,
                seconds=settings.decode_s,
                address_space=settings.decode_bytes,
            )
        )
        storage = Storage.of(settings, decoder)
        house.callback(storage.close)
        preparing = asyncio.create_task(storage.ready())
        house.push_async_callback(_cancelled, preparing)
        core = Core(engine, settings, decoder, storage)
        keyring = Keyring.of(settings, core.black_box.find)
        web = Web(rest.application(core, keyring), settings)
        if settings.black_box:  # which keeps no jobs, and has its own ledger to sweep
            sweeping = asyncio.create_task(_once_ready(preparing, core.black_box.keep))
            house.push_async_callback(_cancelled, sweeping)
        else:
            jobs = JobProcess(engine, [*archives, *target_files(settings.targets)], settings)
            core.metrics.job_process_restarts = lambda: jobs.restarts
            await house.enter_async_context(jobs.kept())
        door = grpc_door.server(core, keyring)
        await door.start()
        house.push_async_callback(door.stop, 0.0)
        await web.start()
        house.push_async_callback(web.stop)

        with _signals() as (asked_to_stop, asked_again):
            names = ", ".join(engine.models)
            begins = "Waiting for" if settings.engine_sockets else "Starting"
            typer.echo(f"{begins} {settings.engine}, which loads {names} ...")
            typer.echo(f"REST  {web.url}{'' if settings.black_box else '/docs'}\ngRPC  {settings.host}:{door.port}")
            await _first(_until_ready(core), asked_to_stop.wait(), _unfit(preparing))
            if core.ready:
                typer.echo("Ready. Ctrl-C stops it.")
            await _first(asked_to_stop.wait(), _unfit(preparing))

            core.drain()
            if core.under_way:
                grace = f"{core.under_way} under way may finish, for {settings.grace_s:g} s"
                typer.echo(f"Stopping: {grace}; Ctrl-C drops them.")
            with suppress(TimeoutError):
                async with asyncio.timeout(settings.grace_s):
                    await _first(core.drained(), asked_again.wait())
    typer.echo("Stopped.")


def _engine(settings: Any, archives: list[Path]) -> Engine:
    from service.engines.boarding import Limits
    from service.engines.local import LocalEngine
    from service.engines.targets import WithTargets, target_files
    from service.engines.torchserve import TorchServeEngine

    limits = Limits(aboard=settings.live_runs, waiting=settings.waiting_runs)
    engine: Engine
    if settings.engine == "local":
        engine = LocalEngine(archives, home=settings.home, limits=limits)
    else:
        engine = TorchServeEngine(archives, home=settings.home, sockets=settings.engine_sockets, limits=limits)
    targets = target_files(settings.targets)
    return WithTargets(engine, targets, home=settings.home, limits=limits) if targets else engine


class Web:
    """REST on uvicorn, on the loop that is running, with the signals left to us."""

    def __init__(self, application: Any, settings: Any) -> None:
        import uvicorn

        from service import connections

        class Server(uvicorn.Server):
            @contextmanager
            def capture_signals(self) -> Iterator[None]:
                yield

        host = settings.host
        config = uvicorn.Config(
            application,
            http=connections.protocol(connections=settings.connections, head_s=settings.head_s),
            h11_max_incomplete_event_size=connections.HEAD_BYTES,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on",
        )
        self._server = Server(config)
        self._socket = _listening(host, settings.port)
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self._socket.getsockname()[1]}"

    async def start(self) -> None:
        self._serving = asyncio.create_task(self._server.serve([self._socket]))
        while not self._server.started and not self._serving.done():  # noqa: ASYNC110  uvicorn has no event for it
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        self._server.should_exit = True
        self._server.config.timeout_graceful_shutdown = 1
        await self._serving


def _listening(host: str, port: int) -> socket.socket:
    """A socket at `port` that no child inherits. Raises ValueError where it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host.strip("[]"), port), family=family, backlog=2048)
    except OSError as e:
        raise ValueError(
            f"REST cannot listen on {host}:{port} ({e.strerror}). Give another port with --port or RAKINGLIGHT_PORT; 0 "
            "takes a free one."
        ) from None


@contextmanager
def _signals() -> Iterator[tuple[asyncio.Event, asyncio.Event]]:
    """Two events: the first SIGINT or SIGTERM, and the second."""
    first, second = asyncio.Event(), asyncio.Event()

    def received() -> None:
        (second if first.is_set() else first).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, received)
    try:
        yield first, second
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _until_ready(core: Any) -> None:
    said = ""
    while not core.ready:
        if core.reason != said:
            said = core.reason
            typer.echo(f"  {said}")
        await asyncio.sleep(0.05)


async def _cancelled(task: asyncio.Task[Any]) -> None:
    """Cancel `task`, and wait for its end."""
    task.cancel()
    await asyncio.wait([task])


async def _once_ready(preparing: asyncio.Task[Any], work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do `work` once the database is up to date, if it ever is."""
    await asyncio.wait([preparing])
    if preparing.exception() is None:
        await work()


async def _unfit(preparing: asyncio.Task[Any]) -> None:
    """Wait for the ValueError with which `preparing` says that a database will not do, and raise it."""
    await asyncio.wait([preparing])
    if isinstance(error := preparing.exception(), ValueError):
        raise error
    await asyncio.Event().wait()  # it is good, or was away in a way that has been told


async def _first(*awaitables: Any) -> None:
    """Wait for the first of `awaitables`, and raise what it raises; the others are cancelled."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        over, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in over:
            task.result()
    finally:
        for task in tasks:
            task.cancel()


def _run(main: Callable[[], Any]) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(main())
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())


def told(error: Exception) -> str:
    """What is wrong with the settings."""
    if isinstance(error, ValidationError):
        return "; ".join(map(_fault, error.errors()))
    return str(error)


def _fault(error: Any) -> str:
    """One of pydantic's; what was raised by our own checks says itself which setting it is about."""
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    return f"{'.'.join(map(str, error['loc']))}: {error['msg']}"
