"""Keys and the ledger, by gRPC: for who has the scope `admin`. Called as those of `grpc_storage` are."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from google.protobuf.timestamp_pb2 import Timestamp

from rakinglight.errors import BadParameter
from service import messages
from service.black_box.ledger import exported, filters_of
from service.database.pages import PAGE_SIZE, Page

if TYPE_CHECKING:
    from service.core import Core
    from service.doorway import Visit

Values = Mapping[str, Any]


async def _create_key(core: Core, request: Any, _visit: Visit) -> Values:
    wanted: dict[str, Any] = {
        name: getattr(request, name) for name in ("top_k", "budget", "rate") if request.HasField(name)
    }
    for name in ("view", "response"):
        if number := getattr(request, name):
            wanted[name] = messages.named(request.DESCRIPTOR.fields_by_name[name].enum_type, number)
    if request.scopes:
        wanted["scopes"] = list(request.scopes)
    if request.HasField("expires_at"):
        wanted["expires_at"] = _seconds(request.expires_at, "/expires_at")
    key, secret = await core.storage.do(lambda: core.black_box.keys.make(request.name, **wanted))
    return {"key": key, "secret": secret}


async def _list_keys(core: Core, request: Any, _visit: Visit) -> Values:
    page = Page(request.page_size or PAGE_SIZE, request.page_token or None)
    return await core.storage.do(core.black_box.keys.list, page)


async def _get_key(core: Core, request: Any, _visit: Visit) -> Values:
    return await core.storage.do(core.black_box.keys.get, request.id)


async def _top_up_key(core: Core, request: Any, _visit: Visit) -> Values:
    return await core.storage.do(core.black_box.keys.top_up, request.id, request.images)


async def _clear_key(core: Core, request: Any, _visit: Visit) -> Values:
    return await core.storage.do(core.black_box.keys.clear, request.id)


async def _revoke_key(core: Core, request: Any, _visit: Visit) -> Values:
    return await core.storage.do(core.black_box.keys.revoke, request.id)


async def _list_ledger(core: Core, request: Any, _visit: Visit) -> Values:
    page = Page(request.page_size or PAGE_SIZE, request.page_token or None)
    return await core.storage.do(lambda: core.black_box.ledger.pages(page, **_filters(request)))


async def _export_ledger(core: Core, request: Any, _visit: Visit) -> AsyncGenerator[Values, None]:
    async with aclosing(exported(core, _filters(request))) as batches:
        async for batch in batches:
            for entry in batch:
                yield entry


def _filters(request: Any) -> dict[str, Any]:
    since = _seconds(request.since, "/since") if request.HasField("since") else None
    return filters_of(request.key or None, request.operation or None, since)


def _seconds(said: Timestamp, pointer: str) -> float:
    """A time in seconds since 1970. Raises BadParameter for one that is none."""
    try:
        said.ToDatetime()
    except (ValueError, OverflowError):
        raise BadParameter.at(
            pointer, f"{pointer.strip('/')} is {said.seconds} s since 1970; it lies in the years 1 to 9999."
        ) from None
    return said.seconds + said.nanos / 1e9


#: The calls of the proto that are answered here.
CALLS: Mapping[str, Callable[[Core, Any, Visit], Awaitable[Values] | AsyncGenerator[Values, None]]] = {
    "CreateKey": _create_key,
    "ListKeys": _list_keys,
    "GetKey": _get_key,
    "TopUpKey": _top_up_key,
    "ClearKey": _clear_key,
    "RevokeKey": _revoke_key,
    "ListLedger": _list_ledger,
    "ExportLedger": _export_ledger,
}
