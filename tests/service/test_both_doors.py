"""What one door answers, the other answers too: one table of requests, each asked by REST and by gRPC of one core."""

import base64
import io
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import grpc
import httpx2
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from PIL import Image as Picture

from protos.gen.rakinglight.v1 import rakinglight_pb2
from protos.gen.rakinglight.v1.rakinglight_pb2_grpc import RakingLightStub
from rakinglight import reply
from rakinglight.catalogue import OPERATIONS
from rakinglight.errors import CODES, EngineAway, Overloaded, RunKillsWorker
from rakinglight.network import Network
from rakinglight.trust import FIGURES
from rakinglight.wire import array_to_json
from service import messages
from service.core import Core
from service.decode import DecodePool
from service.grpc_door import server
from service.keys import Keyring
from service.rest import application
from service.settings import Settings
from tests.networks import with_detector
from tests.service.in_process import InProcessEngine
from tests.service.pictures_at_hand import bomb, noise, png

Answer = Mapping[str, Any]


PNG = png(noise(8, 8))
TENSOR = np.random.default_rng(1).random((3, 8, 8), dtype=np.float32)


@pytest.fixture
def core(small_convolution: Network, decoder: DecodePool) -> Iterator[Core]:
    engine = InProcessEngine([small_convolution, with_detector(small_convolution, "0", 1e-6, "guarded")])
    yield Core(engine, Settings(grpc_port=0, images=3, steps=50, masks=200, rows=5000, maps=9, runs=10), decoder)
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


async def by_rest(rest: httpx2.AsyncClient, operation: str, said: Answer) -> Answer:
    """The members of the answer, or of the problem."""
    beside = {name: value for name, value in said.items() if name != "model"}
    images = [array_to_json(i) if isinstance(i, np.ndarray) else base64.b64encode(i).decode() for i in said["images"]]
    response = await rest.post(f"models/{said['model']}/{operation}", json=beside | {"images": images})
    return dict(response.json()) if response.is_error else dict(reply.from_json(response.json()))


async def by_grpc(stub: Any, operation: str, said: Answer) -> Answer:
    """The same, read out of the messages."""
    name = operation.capitalize()
    request = getattr(rakinglight_pb2, f"{name}Request")(model=said["model"])
    for one in said["images"]:
        messages.fill(request.images.add(), {"tensor" if isinstance(one, np.ndarray) else "file": one})
    first = OPERATIONS[operation].methods[0].name if OPERATIONS[operation].methods else None
    if "compare" in said:
        entries = [{"method": first, "parameters": {}, **entry} for entry in said["compare"]]
        messages.fill(request, {"compare": entries})
    else:
        messages.fill_parameters(request.parameters, said.get("method") or first, said.get("parameters", {}))
    if "include" in said:
        request.include.SetInParent()
        request.include.names.extend(said["include"])
    messages.fill(request, {name: said[name] for name in ("seed", "max_rows") if name in said})
    try:
        return read(await getattr(stub, name)(request))
    except grpc.aio.AioRpcError as e:
        return problem_of(e)


def problem_of(e: grpc.aio.AioRpcError) -> Answer:
    """The members of the RFC 9457 problem that a status says."""
    found: dict[str, Any] = {}
    status = rpc_status.from_call(e)
    assert status is not None
    for packed in status.details:
        packed.Unpack(detail := getattr(error_details_pb2, packed.TypeName().rpartition(".")[2])())
        found[type(detail).__name__] = detail
    code = found["ErrorInfo"].reason
    assert e.code().name == CODES[code].grpc_status
    problem: dict[str, Any] = {"code": code, "status": CODES[code].status, "detail": e.details()}
    if "BadRequest" in found:
        violations = found["BadRequest"].field_violations
        problem["errors"] = [{"pointer": v.field, "detail": v.description} for v in violations]
    if "RetryInfo" in found:
        problem["retry_after_s"] = found["RetryInfo"].retry_delay.ToTimedelta().total_seconds()
    return problem


def read(message: Any) -> Any:
    """A message as the plain values that REST has, save that what is not set is not there."""
    if message.DESCRIPTOR is rakinglight_pb2.Tensor.DESCRIPTOR:
        return np.frombuffer(message.data, message.dtype).reshape(message.shape)
    if message.DESCRIPTOR.name.endswith("Parameters"):
        return dict(zip(("method", "parameters"), messages.parameters(message), strict=True))
    values: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.name == "parameters":  # the method is said by which of its fields is set
            values |= read(value)
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            whole = field.message_type.fields_by_name["value"].message_type is not None
            values |= {field.name: {key: read(one) if whole else one for key, one in value.items()}} if value else {}
        elif field.is_repeated:
            values |= {field.name: [read(one) if field.message_type else one for one in value]} if value else {}
        elif field.message_type is not None:
            values |= {field.name: read(value)} if message.HasField(field.name) else {}
        elif message.HasField(field.name) if field.has_presence else value not in ("", b""):
            values[field.name] = value if field.enum_type is None else messages.named(field.enum_type, value)
    return values


ASKED: dict[str, tuple[str, Answer]] = {
    "classify": ("classify", {"images": [PNG]}),
    "classify with layers": ("classify", {"images": [PNG], "parameters": {"top_k": 2, "layers": ["0"]}}),
    "classify a tensor": ("classify", {"images": [TENSOR]}),
    "classify, and ask the detector": (
        "classify",
        {"model": "guarded", "images": [PNG], "parameters": {"detector": True, "defense": [{"name": "jpeg"}]}},
    ),
    "classify another size": ("classify", {"images": [png(noise(20, 31))]}),
    "saliency": ("saliency", {"images": [PNG, TENSOR]}),
    "saliency of a rank": ("saliency", {"images": [PNG], "parameters": {"target": {"rank": -1}}}),
    "saliency of a probability": ("saliency", {"images": [PNG], "parameters": {"score": "probability"}}),
    "saliency, one class an image": ("saliency", {"images": [PNG, PNG], "parameters": {"target": [0, "class 3"]}}),
    "saliency, the map alone": ("saliency", {"images": [PNG], "include": ["map"]}),
    "every method of saliency": (
        "saliency", {"images": [PNG], "compare": [{"method": name} for name in OPERATIONS["saliency"].by_name]}
    ),
    "two classes of two images": (
        "saliency",
        {"images": [PNG, TENSOR], "compare": [{"parameters": {"target": t}} for t in (2, ["class 1", {"rank": -1}])]},
    ),
    "saliency, evaluated": (
        "saliency",
        {"images": [PNG], "parameters": {"evaluate": [*FIGURES], "boxes": [[0, 0, 4, 4], [2, 2, 8, 8]]}},
    ),
    "a baseline by name": ("saliency", {
        "images": [PNG], "method": "integrated_gradients", "parameters": {"baseline": "blur", "n_steps": 3}
    }),
    "a baseline of black": ("saliency", {
        "images": [PNG], "method": "integrated_gradients", "parameters": {"baseline": 0.0, "n_steps": 3}
    }),
    "occlusion": ("occlusion", {"images": [PNG], "parameters": {"window": 3, "stride": 2, "fill": "mean"}}),
    "occlusion by channels": ("occlusion", {"images": [PNG], "parameters": {"window": 4, "per_channel": True}}),
    "rise": ("occlusion", {"images": [PNG], "method": "rise", "parameters": {"masks": 20, "cells": 3}, "seed": 3}),
    "rise, evaluated": (
        "occlusion",
        {"images": [PNG], "method": "rise", "parameters": {"masks": 20, "evaluate": ["deletion", "insertion"]}},
    ),
    "both of occlusion": (
        "occlusion",
        {"images": [PNG], "compare": [{"method": "sliding"}, {"method": "rise", "parameters": {"masks": 5}}],
         "include": ["map", "overlay"]},
    ),
    "rise, out of rows": (
        "occlusion", {"images": [PNG], "method": "rise", "parameters": {"masks": 199}, "max_rows": 70}
    ),
    "fgsm": ("attack", {"images": [PNG], "parameters": {"epsilon": 0.1}}),
    "fgsm, and ask the detector": (
        "attack", {"model": "guarded", "images": [PNG], "parameters": {"epsilon": 0.1, "detector": True}}
    ),
    "fgsm under a grey level": ("attack", {"images": [PNG], "parameters": {"epsilon": 0.001}}),
    "pgd with a random start": (
        "attack",
        {"images": [PNG], "method": "pgd", "parameters": {"random_start": True, "norm": "l2"}, "seed": 5},
    ),
    "pgd, targeted, on two sizes": (
        "attack",
        {"images": [PNG, png(noise(20, 31))], "method": "pgd", "parameters": {"target": "class 2"}},
    ),
    "pgd, out of rows": ("attack", {"images": [PNG], "method": "pgd", "max_rows": 7}),
    "robustness": (
        "robustness",
        {
            "images": [PNG, png(noise(20, 31))],
            "parameters": {
                "labels": [{"rank": 1}, 2],
                "methods": [
                    {"method": "pgd", "parameters": {"steps": 3}},
                    {"method": "auto", "parameters": {"steps": 4, "queries": 10, "target_classes": 2}},
                ],
                "epsilons": [0.01, 0.3],
                "norm": "l2",
            },
        },
    ),
    "robustness without checks": (
        "robustness",
        {"images": [PNG], "include": [], "parameters": {
            "labels": 0, "methods": [{"method": "fgsm", "parameters": {}}], "checks": False}},
    ),
    "robustness behind a defence": (
        "robustness",
        {"images": [PNG], "parameters": {
            "labels": 0, "methods": [{"method": "fgsm", "parameters": {}}], "epsilons": [0.01, 0.3], "checks": False,
            "defense": [{"name": "median_blur", "window": 5}, {"name": "jpeg"}], "draws": 3}},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("operation", "said"), ASKED.values(), ids=ASKED)
async def test_the_same_answer_by_both(rest: httpx2.AsyncClient, stub: Any, operation: str, said: Answer) -> None:
    said = {"model": "small"} | said
    first, second = await by_rest(rest, operation, said), await by_grpc(stub, operation, said)
    assert "code" not in first, first
    for name in ("model", "method", "parameters", "seed", "cost", "answered_by"):
        assert_same(first[name], second[name], name)
    for name in ("compare", "summary"):
        assert_same(first.get(name), second.get(name), name)
    assert len(first["results"]) == len(second["results"]) == len(said["images"])
    for one, other in zip(first["results"], second["results"], strict=True):
        assert_same(one, other)


def assert_same(one: Any, other: Any, where: str = "") -> None:
    """Bit for bit; what REST says is null, or empty, or false, or 0, a message may leave out."""
    if isinstance(one, Mapping):
        said = {k for k, v in one.items() if v is not None and not (isinstance(v, list | dict) and not v)}
        assert said == {k for k in other if k in said or other[k]}, where
        for name in other.keys() & one.keys():
            assert_same(one[name], other[name], f"{where}/{name}")
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other, where)
    elif isinstance(one, bytes):  # an adversarial picture carries its request's id
        np.testing.assert_array_equal(Picture.open(io.BytesIO(one)), Picture.open(io.BytesIO(other)), where)
    elif isinstance(one, list):
        assert len(one) == len(other), where
        for i, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{where}/{i}")
    else:
        assert one == other, where


REFUSED: dict[str, tuple[str, Answer]] = {
    "no such model": ("classify", {"model": "smal", "images": [PNG]}),
    "no such layer": ("classify", {"images": [PNG], "parameters": {"layers": ["9"]}}),
    "no image": ("classify", {"images": []}),
    "too many images": ("classify", {"images": [PNG] * 4}),
    "not an image": ("classify", {"images": [PNG, b"a cat, honestly"]}),
    "zero bytes": ("classify", {"images": [b""]}),
    "a truncated PNG": ("classify", {"images": [PNG[:90]]}),
    "a bomb": ("classify", {"images": [bomb()]}),
    "NaN": ("classify", {"images": [TENSOR * np.float32(np.nan)]}),
    "over 1": ("classify", {"images": [TENSOR + np.float32(1)]}),
    "one channel": ("classify", {"images": [TENSOR[:1]]}),
    "integers": ("classify", {"images": [np.zeros((3, 8, 8), np.uint8)]}),
    "no classes": ("classify", {"images": [PNG], "parameters": {"top_k": 0}}),
    "a detector that the model lacks": ("classify", {"images": [PNG], "parameters": {"detector": True}}),
    "a detector behind what is random": (
        "attack",
        {
            "model": "guarded",
            "images": [PNG],
            "parameters": {"detector": True, "defense": [{"name": "crop_rescale", "side": 0.9}]},
        },
    ),
    "no such class": ("saliency", {"images": [PNG], "parameters": {"target": "cat"}}),
    "no such index": ("saliency", {"images": [PNG], "parameters": {"target": 5}}),
    "no such rank": ("saliency", {"images": [PNG], "parameters": {"target": {"rank": 6}}}),
    "a class too many": ("saliency", {"images": [PNG], "parameters": {"target": [0, 1]}}),
    "nothing of that name": ("saliency", {"images": [PNG], "include": ["map", "picture"]}),
    "a window larger than the image": ("occlusion", {"images": [PNG], "parameters": {"window": 9}}),
    "no window at all": ("occlusion", {"images": [PNG], "parameters": {"window": 0}}),
    "a stride that leaves pixels uncovered": ("occlusion", {"images": [PNG], "parameters": {"window": 2, "stride": 3}}),
    "a value that is no fill": ("occlusion", {"images": [PNG], "parameters": {"fill": 1.5}}),
    "more masks than here": ("occlusion", {"images": [PNG], "method": "rise", "parameters": {"masks": 201}}),
    "zero masks": ("occlusion", {"images": [PNG], "method": "rise", "parameters": {"masks": 0}}),
    "more cells than pixels": ("occlusion", {"images": [PNG], "method": "rise", "parameters": {"cells": 9}}),
    "no such layer for a map": (
        "saliency",
        {"images": [PNG], "method": "grad_cam", "parameters": {"layer": "features"}},
    ),
    "a layer without extent": ("saliency", {"images": [PNG], "method": "grad_cam", "parameters": {"layer": "3"}}),
    "fewer targets than images": ("saliency", {"images": [PNG] * 3, "parameters": {"target": [0, 1]}}),
    "a figure without its boxes": ("saliency", {"images": [PNG], "parameters": {"evaluate": ["pointing_game"]}}),
    "a figure that this method has not": (
        "saliency",
        {"images": [PNG], "method": "grad_cam", "parameters": {"evaluate": ["infidelity"]}},
    ),
    "a box inside out": ("saliency", {"images": [PNG], "parameters": {"boxes": [[4, 4, 2, 2]]}}),
    "one wrong part of several": (
        "occlusion",
        {"images": [PNG], "compare": [{"method": "rise"}, {"parameters": {"window": 9}}]},
    ),
    "fewer targets than images, in one part": (
        "saliency",
        {"images": [PNG] * 3, "compare": [{}, {"parameters": {"target": [0, 1]}}]},
    ),
    "more maps than here": ("saliency", {"images": [PNG], "compare": [{}] * 10}),
    "more runs than here": ("saliency", {"images": [PNG] * 3, "compare": [{}] * 4}),
    "too few rows for one of several": (
        "saliency",
        {"images": [PNG], "compare": [{}, {"method": "integrated_gradients"}], "max_rows": 4},
    ),
    "epsilon -1": ("attack", {"images": [PNG], "parameters": {"epsilon": -1.0}}),
    "epsilon 2 and no steps": (
        "attack",
        {"images": [PNG], "method": "pgd", "parameters": {"epsilon": 2.0, "steps": 0}},
    ),
    "more steps than here": ("attack", {"images": [PNG], "method": "pgd", "parameters": {"steps": 51}}),
    "target is label": ("attack", {"images": [PNG], "parameters": {"target": 1, "label": 1}}),
    "no labels": ("robustness", {"images": [PNG]}),
    "fewer labels than images": ("robustness", {"images": [PNG] * 3, "parameters": {"labels": [0, 1]}}),
    "an attack's epsilon": (
        "robustness",
        {
            "images": [PNG],
            "parameters": {"labels": [0], "methods": [{"method": "pgd", "parameters": {"epsilon": 0.5}}]},
        },
    ),
    "an attack of more steps than here": (
        "robustness",
        {"images": [PNG], "parameters": {"labels": [0], "methods": [{"method": "pgd", "parameters": {"steps": 51}}]}},
    ),
    "seed -1": ("classify", {"images": [PNG], "seed": -1}),
    "more rows than here": ("classify", {"images": [PNG], "max_rows": 5001}),
}


@pytest.mark.parametrize(("operation", "said"), REFUSED.values(), ids=REFUSED)
async def test_the_same_refusal_by_both(rest: httpx2.AsyncClient, stub: Any, operation: str, said: Answer) -> None:
    said = {"model": "small"} | said
    first, second = await by_rest(rest, operation, said), await by_grpc(stub, operation, said)
    assert second == {name: first[name] for name in second}
    assert second.keys() == first.keys() - {"type", "title", "request_id"}


@pytest.mark.parametrize(
    "refusal",
    [Overloaded("Too much waits.", retry_after_s=1.5), EngineAway("Nobody is there."), RunKillsWorker("It did.")],
    ids=lambda error: error.code,
)
async def test_the_engine_s_refusal_comes_through_both(
    rest: httpx2.AsyncClient, stub: Any, core: Core, monkeypatch: pytest.MonkeyPatch, refusal: Exception
) -> None:
    monkeypatch.setattr(core.engine, "refusal", refusal)
    said = {"model": "small", "images": [PNG]}
    first, second = await by_rest(rest, "classify", said), await by_grpc(stub, "classify", said)
    assert second == {name: first[name] for name in second}
    assert ("retry_after_s" in first) == ("retry_after_s" in second)


#: What a refusal must say for its reader to mend the request: where the fault is, and words of the value, the limit and
#: the remedy.
TAUGHT = {
    "a window larger than the image": ("/parameters/window", "9", "8"),
    "a stride that leaves pixels uncovered": ("/parameters/stride", "3", "2"),
    "no such layer for a map": ("/parameters/layer", "'features'", "'0'"),
    "a layer without extent": ("/parameters/layer", "'3'", "'0'"),
    "more masks than here": ("/parameters/masks", "201", "200"),
    "zero masks": ("/parameters/masks", "0", "1"),
    "fewer targets than images": ("/parameters/target", "2 values", "3 images"),
    "more cells than pixels": ("/parameters/cells", "9", "8"),
    "a figure without its boxes": ("/parameters/boxes", "pointing_game", "boxes"),
    "one wrong part of several": ("/compare/1/parameters/window", "9", "8"),
    "fewer targets than images, in one part": ("/compare/1/parameters/target", "2 values", "3 images"),
    "more maps than here": ("/compare", "10", "9"),
    "more runs than here": ("/compare", "12", "10"),
    "too few rows for one of several": ("/max_rows", "2", "more"),
    "a detector that the model lacks": ("/parameters/detector", "small has no detector", "leave detector out"),
    "a detector behind what is random": ("/parameters/detector", "random", "leave one"),
    "no labels": ("/parameters/labels", "missing", "dataset"),
    "fewer labels than images": ("/parameters/labels", "2 values", "3 images"),
    "an attack's epsilon": ("/parameters/methods/0/parameters/epsilon", "epsilon", "same for all"),
    "an attack of more steps than here": ("/parameters/methods/0/parameters/steps", "51", "50"),
}


@pytest.mark.parametrize("case", TAUGHT)
async def test_a_refusal_says_where_what_and_what_else(rest: httpx2.AsyncClient, case: str) -> None:
    operation, said = REFUSED[case]
    pointer, *words = TAUGHT[case]
    problem = await by_rest(rest, operation, {"model": "small"} | said)
    assert (problem["status"], [error["pointer"] for error in problem["errors"]]) == (422, [pointer])
    assert all(word in problem["errors"][0]["detail"] for word in words), problem["errors"]
