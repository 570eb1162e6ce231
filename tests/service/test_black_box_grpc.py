"""What a key that may only query reaches over gRPC: Classify with images alone, and a model's labels."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from protos.gen.rakinglight.v1 import rakinglight_pb2 as pb
from protos.gen.rakinglight.v1.rakinglight_pb2_grpc import RakingLightStub
from rakinglight.errors import Overloaded
from rakinglight.network import Network
from service.decode import DecodePool
from service.discretion import CALLS
from service.grpc_door import calls, server
from service.keys import Keyring
from tests.networks import neighbour
from tests.service.black_box_at_hand import HIDDEN, OPERATOR, OTHER, PICTURE, Stranger, stranger_in
from tests.service.grpc_at_hand import refusal

IMAGE = pb.Image(file=PICTURE)
LEFT = "x-query-budget-remaining"


def asked(*images: pb.Image, **said: Any) -> pb.ClassifyRequest:
    return pb.ClassifyRequest(**{"model": "small", "images": images or [IMAGE], **said})


def bearing(secret: str, **more: str) -> dict[str, Any]:
    return {"metadata": (("authorization", f"Bearer {secret}"), *((k.replace("_", "-"), v) for k, v in more.items()))}


@pytest.fixture
def own() -> dict[str, Any]:
    """What the stranger's key has of its own."""
    return {}


@pytest.fixture
def setting() -> dict[str, Any]:
    return {}


@pytest.fixture
async def stranger(
    small_convolution: Network, decoder: DecodePool, tmp_path: Path, own: dict[str, Any], setting: dict[str, Any]
) -> AsyncIterator[Stranger]:
    async with stranger_in(tmp_path, [small_convolution, neighbour()], decoder, own=own, **setting) as found:
        yield found


@pytest.fixture
async def channel(stranger: Stranger) -> AsyncIterator[grpc.aio.Channel]:
    async with (
        server(stranger.core, stranger.keyring) as door,
        grpc.aio.insecure_channel(f"127.0.0.1:{door.port}") as c,
    ):
        yield c


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Any:
    return RakingLightStub(channel)


async def closed(call: Any, code: str = "PERMISSION_DENIED") -> str:
    """What `call`, which is refused with `code`, is told; nothing of it is hidden from a stranger."""
    found, details = await refusal(call)
    assert found.name == code, details
    assert not [word for word in HIDDEN if word in details["message"]], details
    return str(details["message"])


@pytest.mark.parametrize(
    ("own", "shown"),
    [
        ({"view": "label"}, [{"index", "label"}]),
        ({"view": "top_k", "top_k": 2}, [{"index", "label", "probability"}] * 2),
        ({"view": "full"}, [{"index", "label", "probability"}] * 5),
    ],
    ids=["label", "top_k", "full"],
)
async def test_an_answer_has_what_the_view_shows_and_nothing_else(
    stranger: Stranger, stub: Any, shown: list[set[str]]
) -> None:
    call = stub.Classify(asked(IMAGE, pb.Image(file=OTHER)), **bearing(stranger.secret, x_request_id="mine"))
    said = await call
    assert [field.name for field, _ in said.ListFields()] == ["model", "results", "request_id"]
    assert (MessageToDict(said.model), said.request_id) == ({"name": "small"}, "mine")
    for result in said.results:
        assert [field.name for field, _ in result.ListFields()] == ["predictions"]
        # An index of 0 is not on the wire.
        assert [{field.name for field, _ in one.ListFields()} | {"index"} for one in result.predictions] == shown
    assert dict(await call.trailing_metadata())[LEFT] == "98"
    by_rest = await stranger.admin.post("/api/v1/models/small/classify", files={"image": ("a.png", PICTURE)})
    assert said.results[0].predictions[0].index == by_rest.json()["results"][0]["predictions"][0]["index"]


async def test_a_model_tells_its_name_its_size_and_its_labels(stranger: Stranger, stub: Any) -> None:
    said = await stub.GetModel(pb.GetModelRequest(model="small"), **bearing(stranger.secret))
    assert MessageToDict(said) == {
        "name": "small",
        "input": {"shape": [3, 8, 8]},
        "labels": [f"class {c}" for c in range(5)],
    }


async def test_every_call_is_closed_but_its_own(stranger: Stranger, channel: grpc.aio.Channel) -> None:
    for call in calls():
        if call.name in CALLS:
            continue
        path = f"/rakinglight.v1.RakingLight/{call.name}"
        for raw in (b"", asked().SerializeToString()):
            if call.uploads:
                await closed(channel.stream_unary(path)(iter([raw]), **bearing(stranger.secret)))
            elif call.streams:
                await closed(anext(aiter(channel.unary_stream(path)(raw, **bearing(stranger.secret)))))
            else:
                await closed(channel.unary_unary(path)(raw, **bearing(stranger.secret)))
    assert stranger.spent() == 0


async def test_the_schema_is_not_shown(stranger: Stranger, channel: grpc.aio.Channel) -> None:
    ask = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    await closed(anext(aiter(ask(iter([request]), **bearing(stranger.secret)))))
    async for answer in ask(iter([request]), **bearing(OPERATOR)):
        assert answer.list_services_response.service


BESIDE: list[dict[str, Any]] = [
    {"version": "1.0"},
    {"parameters": pb.ClassifyParameters(top_k=1)},
    {"parameters": pb.ClassifyParameters()},
    {"parameters": pb.ClassifyParameters(layers=["0"])},
    {"include": pb.Include()},
    {"include": pb.Include(names=["activations"])},
    {"seed": 1},
    {"max_rows": 0},
    {"max_rows": 1},
    {"purpose": "research"},
    {"dataset": "ds_0123456789abcdefghij"},
]


async def test_nothing_goes_beside_the_images(stranger: Stranger, stub: Any, channel: grpc.aio.Channel) -> None:
    for beside in BESIDE:
        (name,) = beside
        code, details = await refusal(stub.Classify(asked(**beside), **bearing(stranger.secret)))
        assert code.name == "PERMISSION_DENIED", beside
        assert name in details["message"]
    newer = asked().SerializeToString() + bytes([0b11111_000 | 0x80, 1, 1])  # a field that this proto does not have
    await closed(channel.unary_unary("/rakinglight.v1.RakingLight/Classify")(newer, **bearing(stranger.secret)))
    code, _ = await refusal(stub.GetModel(pb.GetModelRequest(model="small", version="2"), **bearing(stranger.secret)))
    assert code.name == "PERMISSION_DENIED"
    assert stranger.spent() == 0


async def test_errors_tell_of_what_was_sent_and_of_nothing_else(stranger: Stranger, stub: Any) -> None:
    key = bearing(stranger.secret)
    one = await closed(stub.Classify(asked(model="smal"), **key), "NOT_FOUND")
    assert one == await closed(stub.GetModel(pb.GetModelRequest(model="neighbou"), **key), "NOT_FOUND")
    await closed(stub.Classify(pb.ClassifyRequest(model="small"), **key), "INVALID_ARGUMENT")
    await closed(stub.Classify(asked(pb.Image(file=b"no image")), **key), "INVALID_ARGUMENT")
    await closed(stub.Classify(asked(*[IMAGE] * 4), **key), "RESOURCE_EXHAUSTED")
    stranger.core.engine.refusal = Overloaded("256 runs of neighbour wait.", retry_after_s=2)  # type: ignore[attr-defined]
    await closed(stub.Classify(asked(), **key), "UNAVAILABLE")
    assert stranger.spent() == 0


@pytest.mark.parametrize("own", [{"budget": 2}])
async def test_the_budget_is_one_for_both_doors_and_told_at_the_end_of_every_call(
    stranger: Stranger, stub: Any
) -> None:
    key = bearing(stranger.secret)
    assert (await stranger.client.get("/api/v1/models/small")).headers[LEFT] == "2"
    again = bearing(stranger.secret, idempotency_key="one")
    first, second = [await stub.Classify(asked(), **again) for _ in range(2)]
    assert first.results == second.results
    assert stranger.spent() == 1
    for call, code, left in (
        (stub.Classify(asked(pb.Image(file=OTHER)), **again), "ALREADY_EXISTS", "1"),
        (stub.ListModels(pb.ListModelsRequest(), **key), "PERMISSION_DENIED", "1"),
        (stub.Classify(asked(IMAGE, IMAGE), **key), "RESOURCE_EXHAUSTED", "1"),
    ):
        found, details = await refusal(call)
        assert found.name == code, details
        assert dict(await call.trailing_metadata())[LEFT] == left
    await stub.Classify(asked(), **key)
    found, details = await refusal(stub.Classify(asked(), **key))
    assert details["ErrorInfo"].reason == "BUDGET_SPENT"
    assert "RetryInfo" not in details
    call = stub.ListModels(pb.ListModelsRequest(), **bearing(OPERATOR))
    await call
    assert LEFT not in dict(await call.trailing_metadata())


@pytest.mark.parametrize("setting", [{"black_box": True}])
async def test_nothing_else_exists_where_the_service_is_a_black_box(
    stranger: Stranger, stub: Any, channel: grpc.aio.Channel
) -> None:
    for secret in (stranger.secret, OPERATOR):
        for call in calls():
            path = f"/rakinglight.v1.RakingLight/{call.name}"
            if call.name not in CALLS:
                await closed(channel.unary_unary(path)(b"", **bearing(secret)), "UNIMPLEMENTED")
        said = await stub.Classify(asked(), **bearing(secret))
        assert [field.name for field, _ in said.ListFields()] == ["model", "results", "request_id"]
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        ask = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
        await closed(anext(aiter(ask(iter([request]), **bearing(secret)))), "UNIMPLEMENTED")
    health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert health.status == health_pb2.HealthCheckResponse.SERVING


async def test_of_two_keys_that_are_shown_neither_is_taken(stranger: Stranger, stub: Any) -> None:
    two = tuple(("authorization", f"Bearer {secret}") for secret in (OPERATOR, stranger.secret))
    await closed(stub.GetModel(pb.GetModelRequest(model="small"), metadata=two), "UNAUTHENTICATED")


async def test_on_an_open_service_keys_and_the_ledger_need_an_admin_s_key_all_the_same(stranger: Stranger) -> None:
    async with (
        server(stranger.core, Keyring(required=False)) as door,
        grpc.aio.insecure_channel(f"127.0.0.1:{door.port}") as channel,
    ):
        stub = RakingLightStub(channel)
        await stub.ListModels(pb.ListModelsRequest())
        await closed(stub.CreateKey(pb.CreateKeyRequest(name="eve", scopes=["admin"])), "UNAUTHENTICATED")
        await closed(stub.ListLedger(pb.ListLedgerRequest()), "UNAUTHENTICATED")


async def test_health_has_no_list_and_says_so(channel: grpc.aio.Channel) -> None:
    ask = channel.unary_unary("/grpc.health.v1.Health/List")
    assert "Check or Watch" in await closed(ask(b""), "UNIMPLEMENTED")


async def test_a_key_is_made_used_topped_up_listed_and_revoked(stranger: Stranger, stub: Any) -> None:
    admin = bearing(OPERATOR)
    made = await stub.CreateKey(pb.CreateKeyRequest(name="bob", budget=1, view=pb.VIEW_FULL, rate=60), **admin)
    bob = bearing(made.secret)
    await stub.Classify(asked(), **bob)
    await closed(stub.Classify(asked(), **bob), "RESOURCE_EXHAUSTED")
    topped = await stub.TopUpKey(pb.TopUpKeyRequest(id="bob", images=2), **admin)
    assert (topped.budget, topped.spent, topped.view, topped.response) == (3, 1, pb.VIEW_FULL, pb.KEY_RESPONSE_LOG)
    listed = await stub.ListKeys(pb.ListKeysRequest(), **admin)
    assert [key.name for key in listed.keys] == ["bob", "stranger"]
    assert not (await stub.ClearKey(pb.ClearKeyRequest(id="bob"), **admin)).HasField("noticed")
    assert (await stub.GetKey(pb.GetKeyRequest(id=made.key.id), **admin)).name == "bob"
    entries = (await stub.ListLedger(pb.ListLedgerRequest(key="bob", since={"seconds": 9}), **admin)).entries
    assert [(one.caller, one.operation, one.image, one.charged) for one in entries] == [("bob", "classify", 0, True)]
    exported = [one async for one in stub.ExportLedger(pb.ExportLedgerRequest(), **admin)]
    assert exported == list(entries)
    assert (await stub.RevokeKey(pb.RevokeKeyRequest(id="bob"), **admin)).HasField("revoked_at")
    await closed(stub.Classify(asked(), **bob), "UNAUTHENTICATED")
    await closed(stub.CreateKey(pb.CreateKeyRequest(name="Bob"), **admin), "INVALID_ARGUMENT")
    wrong = pb.CreateKeyRequest(name="eve", expires_at={"seconds": 2**62})
    await closed(stub.CreateKey(wrong, **admin), "INVALID_ARGUMENT")
