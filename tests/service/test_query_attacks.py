"""Attacks that see scores or labels alone, by both doors: what they tell, and what a labels-only model refuses."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import grpc
import httpx2
import jsonschema
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from protos.gen.rakinglight.v1 import rakinglight_pb2
from protos.gen.rakinglight.v1.rakinglight_pb2_grpc import RakingLightStub
from rakinglight.network import Network
from rakinglight.wire import array_to_json
from service import messages, openapi
from service.core import Core
from service.decode import DecodePool
from service.grpc_door import server
from service.keys import Keyring
from service.rest import application
from service.settings import Settings
from tests.service.in_process import InProcessEngine
from tests.service.pictures_at_hand import base64_of, noise, png

PNG = png(noise(8, 8))
START = np.random.default_rng(3).random((3, 8, 8), dtype=np.float32)
METHODS: dict[str, dict[str, Any]] = {
    "square": {"queries": 30, "epsilon": 0.5},
    "nes": {"queries": 60, "n_samples": 5, "epsilon": 0.5},
    "hop_skip_jump": {"queries": 200, "initial_rows": 20},
    "boundary": {"queries": 100},
}


@pytest.fixture
def core(small_convolution: Network, decoder: DecodePool) -> Iterator[Core]:
    told = replace(small_convolution.card, name="labels", tells="labels", differentiable=False)
    engine = InProcessEngine([small_convolution, replace(small_convolution, card=told, gradient=None)])
    yield Core(engine, Settings(grpc_port=0), decoder)
    engine.worker.stop()


@pytest.fixture
async def rest(core: Core) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(application(core, Keyring()))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost/api/v1/") as client:
        yield client


@pytest.fixture
async def stub(core: Core) -> AsyncIterator[Any]:
    async with server(core, Keyring()) as door, grpc.aio.insecure_channel(f"127.0.0.1:{door.port}") as channel:
        yield RakingLightStub(channel)


async def by_rest(rest: httpx2.AsyncClient, method: str, model: str = "small", **parameters: Any) -> httpx2.Response:
    body = {"images": [base64_of(PNG)], "method": method, "parameters": parameters}
    return await rest.post(f"models/{model}/attack", json=body)


def request(method: str, model: str = "small", **parameters: Any) -> Any:
    said = rakinglight_pb2.AttackRequest(model=model)
    messages.fill(said.images.add(), {"file": PNG})
    messages.fill_parameters(said.parameters, method, parameters)
    return said


@pytest.mark.parametrize("method", METHODS)
async def test_both_doors_tell_the_same_trace(rest: httpx2.AsyncClient, stub: Any, method: str) -> None:
    answer = await by_rest(rest, method, **METHODS[method])
    assert answer.status_code == 200, answer.text
    document = openapi.document(Settings())
    schema = {"$ref": "#/components/schemas/AttackReply", "components": document["components"]}
    jsonschema.validate(answer.json(), schema)
    (found,) = answer.json()["results"]
    (message,) = (await stub.Attack(request(method, **METHODS[method]))).results
    assert list(message.trace.queries) == found["trace"]["queries"]
    assert list(message.trace.distance) == found["trace"]["distance"]
    assert (message.search_queries, message.proof_queries) == (found["search_queries"], found["proof_queries"])
    assert found["queries"] == 1 + found["search_queries"] + found["proof_queries"]


async def test_both_doors_take_an_image_to_begin_at(rest: httpx2.AsyncClient, stub: Any) -> None:
    said = {"queries": 60, "initial_rows": 10, "start": array_to_json(START)}
    answer = (await by_rest(rest, "hop_skip_jump", **said)).json()
    assert answer["parameters"]["start"] == said["start"]
    reply = await stub.Attack(request("hop_skip_jump", **said))
    assert reply.results[0].adversarial
    assert list(reply.results[0].trace.queries) == answer["results"][0]["trace"]["queries"]
    assert reply.parameters.hop_skip_jump.start.tensor.data == START.tobytes()
    refused = await by_rest(rest, "hop_skip_jump", start=array_to_json(START[:, :5]))
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/parameters/start")


@pytest.mark.parametrize("method", ["square", "nes"])
async def test_what_needs_scores_is_refused_where_there_are_labels(
    core: Core, rest: httpx2.AsyncClient, stub: Any, method: str
) -> None:
    refused = await by_rest(rest, method, "labels")
    assert refused.status_code == 422
    detail = f"{method} asks for scores, and labels tells labels alone; hop_skip_jump and boundary do with labels."
    assert refused.json()["detail"] == detail
    assert refused.json()["errors"][0]["pointer"] == "/method"
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stub.Attack(request(method, "labels"))
    status = rpc_status.from_call(failed.value)  # type: ignore[arg-type]
    info = error_details_pb2.ErrorInfo()
    assert any(each.Unpack(info) for each in status.details)
    assert info.reason == refused.json()["code"]
    assert core.engine.asked == []  # type: ignore[attr-defined]


async def test_what_does_with_labels_is_answered_without_a_probability(rest: httpx2.AsyncClient) -> None:
    answer = await by_rest(rest, "hop_skip_jump", "labels", **METHODS["hop_skip_jump"])
    assert answer.status_code == 200, answer.text
    (found,) = answer.json()["results"]
    assert set(found["before"]) == set(found["after"]) == {"index", "label"}
    assert answer.json()["cost"]["gradient_rows"] == 0
