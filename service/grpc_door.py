"""The gRPC door: reads a message, asks the core, writes the reply. `protos/` says what goes through it.

    bytes ──> messages.parse ──> Ask ──> core.begin ──> core.finish ──> Reply ──> messages.fill ──> bytes
                                                   └──> core.follow ──> Progress, Progress, …, Reply

Which calls there are is read from the proto, and each is named for its operation, so an operation that the catalogue
and the proto gain needs no line here. What is kept (jobs, datasets, artifacts) answers in `grpc_storage`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self

import grpc
import structlog
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc
from grpc_status import rpc_status
from structlog.contextvars import bound_contextvars

from protos.gen.rakinglight.v1 import rakinglight_pb2
from rakinglight.catalogue import OPERATIONS, Operation
from rakinglight.errors import CODES, BadParameter, Forbidden, RakinglightError, TooLarge, Unreadable
from rakinglight.plan import Reply
from service import discretion, grpc_keys, grpc_storage, messages
from service.ask import Ask
from service.core import Core, Progress
from service.doorway import Visit, told
from service.keys import Keyring, one_of
from service.logs import request_id_of, trace_of

log = structlog.get_logger("rakinglight.grpc")

SERVICE = rakinglight_pb2.DESCRIPTOR.services_by_name["RakingLight"]
#: Of every ErrorInfo: whose the reasons are.
DOMAIN = "rakinglight.dev"

#: What calls are about that need the key of a keeper.
KEPT = ("jobs", "datasets", "perturbations", "substitutes", "artifacts")

#: What calls are about that need the scope `admin`.
ADMINISTERED = ("keys", "ledger")
#: The calls that are answered elsewhere.
CALLS = {**grpc_storage.CALLS, **grpc_keys.CALLS}

#: Fields at fault that are headers in REST.
RENAMED = {"/Idempotency-Key": "/idempotency_key", "/Last-Event-ID": "/after"}

#: Bytes by which gRPC's own limit of a message is wider than the settings': it only refuses, we say what to do.
LEEWAY = 2**20
#: The part of a call's time that is kept for putting the answer together and for the way back, and its most seconds.
WAY_BACK, WAY_BACK_S = 0.1, 2.0
#: Seconds between two looks at whether the service is ready.
LOOK_S = 0.2
#: Seconds that the caller of an upload which is refused may go on sending it.
LINGER_S = 1.0
#: Seconds that replies have to leave when the door closes.
FAREWELL_S = 0.5
#: Clients take up to 8 KiB of metadata, where an error's message stands twice, once with up to nine bytes a letter. So
#: there is an end to its length, and to the fields that are named, when a caller's long words are quoted.
DETAIL_BYTES, FIELD_BYTES, FIELDS = 900, 200, 4
#: The least that a run is given: a call that is all but over is answered with a deadline exceeded, by the engine.
LEAST_S = 0.001

Context = grpc.aio.ServicerContext[bytes, bytes]


@dataclass(frozen=True)
class Call:
    """One rpc of the proto.

    operation  None where it asks for none
    uploads    whether the caller sends many messages
    streams    whether we do
    """

    name: str
    operation: Operation | None
    request: type[Message]
    response: type[Message]
    uploads: bool
    streams: bool

    @property
    def subject(self) -> str:
        """What it is about, as metrics and logs tell: an operation, or models, jobs, keys and the like."""
        if self.operation is not None:
            return self.operation.name
        noun: str = re.findall("[A-Z][a-z]+", self.name)[-1].lower()
        return noun if noun == "ledger" else noun.removesuffix("s") + "s"


def calls() -> Iterator[Call]:
    """Every rpc of the proto."""
    operations = {"".join(map(str.capitalize, name.split("_"))): operation for name, operation in OPERATIONS.items()}
    for rpc in SERVICE.methods:
        operation = operations.get(rpc.name.removesuffix("Stream"))
        request, response = GetMessageClass(rpc.input_type), GetMessageClass(rpc.output_type)
        yield Call(rpc.name, operation, request, response, rpc.client_streaming, rpc.server_streaming)


def server(core: Core, keyring: Keyring) -> Door:
    """The door of `core`, bound to the settings' host and port. It serves once it is started."""
    return Door(core, keyring)


class Door:
    """A gRPC server over a core. `port` is the one that it is bound to."""

    def __init__(self, core: Core, keyring: Keyring) -> None:
        self._core = core
        self._keyring = keyring
        self._under_way: set[asyncio.Task[Any]] = set()
        self._follower: asyncio.Task[None] | None = None

        settings = core.settings
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", settings.body_bytes + LEEWAY),
                ("grpc.max_send_message_length", settings.reply_bytes + LEEWAY),
                ("grpc.compression_enabled_algorithms_bitset", 1),  # none: images are, and what unpacks may be a bomb
                ("grpc.so_reuseport", 0),  # a second gateway on this port would take half the calls, unnoticed
                # A caller who vanished without a word is found out, and one may ask as often whether we are there.
                ("grpc.keepalive_time_ms", round(1000 * settings.heartbeat_s)),
                ("grpc.http2.min_ping_interval_without_data_ms", 5000),
            ]
        )
        self._server.add_generic_rpc_handlers((self._handlers(),))
        self._health = Health()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if settings.reflection and not settings.black_box:
            shown = (SERVICE.full_name, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection_pb2_grpc.add_ServerReflectionServicer_to_server(Reflection(shown, keyring), self._server)
        self.port = self._bind(settings.host, settings.grpc_port)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop(0)

    def _bind(self, host: str, port: int) -> int:
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            return self._server.add_insecure_port(address)
        except RuntimeError:
            raise ValueError(
                f"gRPC cannot listen on {address}: something else does, or the address is not this machine's. "
                "Set RAKINGLIGHT_GRPC_PORT; 0 takes a free one."
            ) from None

    async def start(self) -> None:
        """Begin to serve."""
        await self._look()
        await self._server.start()
        self._follower = asyncio.create_task(self._follow_readiness())

    async def stop(self, grace_s: float) -> None:
        """Take no more calls, give those under way `grace_s` seconds, then end them."""
        if self._follower is not None:
            self._follower.cancel()
            with suppress(asyncio.CancelledError):
                await self._follower
        await self._health.enter_graceful_shutdown()
        closing = asyncio.create_task(self._server.stop(grace_s + FAREWELL_S))
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=grace_s)
        # Who watches the health would stay for all of the grace; it is for the calls.
        await asyncio.wait([closing], timeout=FAREWELL_S)
        await self._server.stop(None)
        await closing

    # ── health ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _follow_readiness(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            await self._look()

    async def _look(self) -> None:
        says = health_pb2.HealthCheckResponse
        for name in ("", SERVICE.full_name):
            await self._health.set(name, says.SERVING if self._core.ready else says.NOT_SERVING)

    # ── calls ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _handlers(self) -> grpc.GenericRpcHandler[bytes, bytes]:
        """Every call is handled as if its caller streamed, which is the same on the wire: so a message is read only
        when its caller has shown a key, and as bytes, because what gRPC itself cannot parse it calls our fault.
        """
        handlers = {}
        for call in calls():
            if self._core.settings.black_box and call.name not in discretion.CALLS:
                continue
            handler = grpc.stream_stream_rpc_method_handler if call.streams else grpc.stream_unary_rpc_method_handler
            handlers[call.name] = handler(partial(self._serve, call))
        return grpc.method_handlers_generic_handler(SERVICE.full_name, handlers)

    async def _serve(self, call: Call, sent: AsyncIterator[bytes], context: Context) -> bytes | None:
        """Answer one call, or abort it with a status that says what went wrong; count and log it either way."""
        begun, metadata = time.monotonic(), dict(context.invocation_metadata() or ())
        visit = Visit(request_id_of(metadata.get("x-request-id")), operation=call.subject)
        task = asyncio.current_task()
        assert task is not None
        self._under_way.add(task)
        with bound_contextvars(request_id=visit.request_id, **trace_of(metadata.get("traceparent"))):
            try:
                await context.send_initial_metadata((("x-request-id", visit.request_id),))
                visit.caller = await self._keyring.admit(_shown(context))
                visit.black_box = discretion.is_black_box(visit.caller, self._core.settings)
                if visit.black_box and call.name not in discretion.CALLS:
                    raise Forbidden(discretion.REFUSAL)
                if call.subject in ADMINISTERED:
                    visit.caller.require_admin()
                elif call.operation is not None:
                    visit.caller.require_any(call.operation.scopes)
                if call.subject in KEPT:
                    visit.caller.require_keeping()
                answer = await self._answer(call, sent, context, visit)
                context.set_trailing_metadata(await self._trailing(visit))
                return answer
            except asyncio.CancelledError:
                visit.code = "DEADLINE_EXCEEDED" if context.time_remaining() == 0 else "CANCELLED"
                raise
            except Exception as e:
                error = told(e, visit)
                status = status_of(discretion.worded(error) if visit.black_box else error, visit.request_id)
            finally:
                self._under_way.discard(task)
                self._record(call, visit, time.monotonic() - begun)
        if call.uploads:
            await _let_finish(sent)
        trailing = (*status.trailing_metadata, *await self._trailing(visit))
        try:
            return await context.abort(status.code, status.details, trailing)
        except grpc.aio.InternalError:  # gRPC itself has ended the call, for a message that is far over the limit
            raise asyncio.CancelledError from None

    async def _trailing(self, visit: Visit) -> tuple[tuple[str, str], ...]:
        """What every answer carries at its end: what the caller's key has left, where it has a budget."""
        left = await discretion.remaining(self._core, visit)
        return () if left is None else (("x-query-budget-remaining", str(left)),)

    async def _read(self, sent: AsyncIterator[bytes]) -> bytes:
        """The caller's message, if it comes whole, in time and within the limit."""
        settings = self._core.settings
        try:
            async with asyncio.timeout(settings.upload_s):
                raw = await anext(sent)
        except StopAsyncIteration:
            raise Unreadable("The call ended without a message.") from None
        except TimeoutError:
            raise Unreadable(f"The message did not come whole within {settings.upload_s:g} s.") from None
        if len(raw) > settings.body_bytes:
            limit = settings.body_bytes
            raise TooLarge(f"The message has {len(raw)} bytes; the limit is {limit}. Send fewer or smaller images.")
        return raw

    async def _answer(self, call: Call, sent: AsyncIterator[bytes], context: Context, visit: Visit) -> bytes | None:
        """The response to `call`; None where it has been written to the stream."""
        if call.name in CALLS:
            return await self._of_what_is_kept(call, sent, context, visit)
        request: Any = messages.parse(call.request, raw := await self._read(sent))
        if visit.black_box:
            return await self._of_black_box(call, request, raw, context, visit)
        if call.name == "SubmitJob":
            return await self._submit(call, request, raw, visit)
        self._note_model(request, visit)
        if call.operation is None:
            return self._about_models(call, request)
        with self._core.hold() as hold:
            hold.add(len(raw))
            ask = self._ask(call.operation, request, self._seconds(context), visit)
            work = await self._core.begin(ask, hold)
            visit.method = work.method
            if not call.streams:
                return await self._encoded(call, await self._core.finish(work), visit)
            async with aclosing(self._core.follow(work)) as news:
                async for one in news:
                    await context.write(await self._encoded(call, one, visit))
        return None

    async def _of_black_box(self, call: Call, request: Any, raw: bytes, context: Context, visit: Visit) -> bytes:
        """What a black box answers: a model's labels, or the cut answers to images."""
        visit.caller.require("query")
        self._note_model(request, visit)
        messages.check_alone(request, "model", *(["images"] if call.operation else []))
        if call.operation is None:
            return await self._filled(call, discretion.described(self._core.card(request.model)))
        self._core.check_count(len(request.images), call.operation)
        keys = [str(value) for name, value in context.invocation_metadata() or () if name == "idempotency-key"]
        if len(keys) > 1:
            raise BadParameter.at("/Idempotency-Key", f"idempotency-key is given {len(keys)} times; once is enough.")
        with self._core.hold() as hold:
            hold.add(len(raw))
            images = [messages.image(image, f"/images/{i}") for i, image in enumerate(request.images)]
            seconds, key = self._seconds(context), next(iter(keys), None)
            answer = await discretion.classified(
                self._core, visit, request.model, images, hold, idempotency_key=key, deadline_s=seconds
            )
        return await self._filled(call, answer)

    async def _submit(self, call: Call, said: Any, raw: bytes, visit: Visit) -> bytes:
        """The job that the request in `said`, whichever it is, becomes."""
        name = said.WhichOneof("request")
        if name is None:
            raise BadParameter.at("/request", f"request is empty; set one of {', '.join(OPERATIONS)}.")
        operation, request = OPERATIONS[name], getattr(said, name)
        visit.operation = operation.name
        visit.caller.require_any(operation.scopes)
        self._note_model(request, visit)
        seconds = said.deadline_s if said.HasField("deadline_s") else None
        with self._core.hold() as hold:
            hold.add(len(raw))
            ask = self._ask(operation, request, seconds, visit)
            job = await self._core.submit(ask, hold, idempotency_key=said.idempotency_key or None)
        visit.method = job["method"]
        return await self._filled(call, job)

    async def _of_what_is_kept(
        self, call: Call, sent: AsyncIterator[bytes], context: Context, visit: Visit
    ) -> bytes | None:
        answer: Any = CALLS[call.name]
        if call.uploads:
            async with aclosing(_parsed(call, sent)) as parts:
                return await self._filled(call, await answer(self._core, parts, visit))
        request = messages.parse(call.request, await self._read(sent))
        if not call.streams:
            return await self._filled(call, await answer(self._core, request, visit))
        async with aclosing(answer(self._core, request, visit)) as parts:
            async for one in parts:
                await context.write(await self._filled(call, one))
        return None

    async def _filled(self, call: Call, values: Mapping[str, Any]) -> bytes:
        """The response whose fields are `values`."""

        def serialized() -> bytes:
            message = call.response()
            messages.fill(message, values)
            return message.SerializeToString()

        content = await asyncio.to_thread(serialized)
        self._core.check_size(len(content))
        return content

    async def _encoded(self, call: Call, one: Progress | Reply, visit: Visit) -> bytes:
        message: Any = call.response()
        if isinstance(one, Progress):
            messages.fill(message.progress, one.members())
            return message.SerializeToString()  # type: ignore[no-any-return]
        visit.cost = dict(one.cost)
        self._core.check_weight(one.results)
        content = await asyncio.to_thread(_serialized, message, message.result if call.streams else message, one)
        self._core.check_size(len(content))
        return content

    def _record(self, call: Call, visit: Visit, seconds: float) -> None:
        said = {"operation": visit.operation, "method": visit.method, "model": visit.model}
        self._core.metrics.answered("grpc", code=visit.code, seconds=seconds, **said)
        ours = visit.code in CODES and CODES[visit.code].status >= 500
        log.log(
            logging.WARNING if ours else logging.INFO,
            "request",
            route=call.name,
            **{name: value for name, value in said.items() if value},
            code=visit.code,
            duration_ms=round(1000 * seconds, 1),
            **visit.cost,
        )

    def _note_model(self, request: Any, visit: Visit) -> None:
        """The model that `request` names, for metrics and logs."""
        if model := getattr(request, "model", None):
            visit.model = model if model in self._core.engine.models else "unknown"

    def _about_models(self, call: Call, request: Any) -> bytes:
        message = call.response()
        if call.name == "ListModels":
            messages.fill(message, {"models": self._core.models()})
        else:
            messages.fill(message, self._core.model(request.model, request.version or None))
        return message.SerializeToString()

    def _ask(self, operation: Operation, request: Any, seconds: float | None, visit: Visit) -> Ask:
        self._core.check_count(len(request.images), operation)
        if request.dataset:
            visit.caller.require_keeping()
        visit.method, parameters = messages.parameters(request.parameters)
        visit.caller.require(operation.scope_of(visit.method))
        return Ask(
            model=request.model,
            version=request.version or None,
            operation=operation.name,
            method=visit.method,
            parameters=parameters,
            compare=messages.compared(request),
            images=[messages.image(image, f"/images/{i}") for i, image in enumerate(request.images)],
            dataset=request.dataset or None,
            include=list(request.include.names) if request.HasField("include") else None,
            seed=request.seed,
            deadline_s=seconds,
            max_rows=request.max_rows if request.HasField("max_rows") else None,
            purpose=request.purpose or None,
            request_id=visit.request_id,
            caller=visit.caller.name,
            key=visit.caller.key_id,
            sees_all=visit.caller.sees is None,
        )

    def _seconds(self, context: Context) -> float | None:
        """The work's share of the call's time; None where the caller set no end to it."""
        remaining = context.time_remaining()
        if remaining is None or not math.isfinite(remaining):
            return None
        share = remaining - min(WAY_BACK * remaining, WAY_BACK_S)
        return min(max(share, LEAST_S), self._core.settings.deadline_limit_s)


def _shown(context: Context) -> str | None:
    """The key that is shown, as `Keyring.admit` takes it."""
    return one_of([str(value) for name, value in context.invocation_metadata() or () if name == "authorization"])


async def _parsed(call: Call, sent: AsyncIterator[bytes]) -> AsyncGenerator[Message, None]:
    """The messages of an upload, as they come."""
    async for raw in sent:
        yield messages.parse(call.request, raw)


async def _let_finish(sent: AsyncIterator[bytes]) -> None:
    """Take, for a moment, what nobody needs any more: Python's asyncio client, where a call ends while it writes, tells
    of an internal error and not of the status.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            async for _ in sent:
                pass


def _serialized(message: Message, response: Message, reply: Reply) -> bytes:
    """The bytes of `message`, of which `response` is the part, or all, that holds the reply."""
    messages.fill_reply(response, reply)
    return message.SerializeToString()


class Health(health.aio.HealthServicer):  # type: ignore[misc, name-defined]
    """Says whether we are ready; the library has no list of it, and would call that its own failure."""

    async def List(self, request: Any, context: Context) -> None:  # noqa: N802
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "There is no list; ask by Check or Watch.")


class Reflection(reflection.aio.ReflectionServicer):  # type: ignore[misc, name-defined]
    """Shows the proto to who has a key, as REST does its page."""

    def __init__(self, services: Iterable[str], keyring: Keyring) -> None:
        super().__init__(services)
        self._keyring = keyring

    async def ServerReflectionInfo(self, sent: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:  # noqa: N802
        metadata = dict(context.invocation_metadata() or ())
        try:
            caller = await self._keyring.admit(_shown(context))
            if caller.is_black_box:
                raise Forbidden(discretion.REFUSAL)
        except RakinglightError as e:
            status = status_of(e, request_id_of(metadata.get("x-request-id")))
            await context.abort(status.code, status.details, status.trailing_metadata)
        async for answer in super().ServerReflectionInfo(sent, context):
            yield answer


# ── errors ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def status_of(error: RakinglightError, request_id: str) -> Any:
    """`error` as gRPC says it: a code, a message and google.rpc.Status with the details that fit."""
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.code, domain=DOMAIN, metadata={"request_id": request_id})
    ]
    if error.errors:
        fields = [
            error_details_pb2.BadRequest.FieldViolation(
                field=_cut(RENAMED.get(e.pointer, e.pointer), FIELD_BYTES), description=_cut(e.detail, FIELD_BYTES)
            )
            for e in error.errors[:FIELDS]
        ]
        details.append(error_details_pb2.BadRequest(field_violations=fields))
    if error.retry_after_s is not None:
        delay = Duration()
        delay.FromNanoseconds(round(error.retry_after_s * 1e9))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(code=code_pb2.Code.Value(error.grpc_status), message=_cut(error.detail, DETAIL_BYTES))
    for detail in details:
        status.details.add().Pack(detail)
    return rpc_status.to_status(status)


def _cut(text: str, limit: int) -> str:
    """`text`, or as much of its beginning as `limit` bytes of UTF-8 hold."""
    raw = text.encode()
    return text if len(raw) <= limit else raw[: limit - 3].decode(errors="ignore") + "…"
