"""The gRPC door: real calls over a real channel, a real core and a real engine with a network of a few weights."""

import io
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from PIL import Image as Picture

from protos.gen.rakinglight.v1 import rakinglight_pb2 as pb
from protos.gen.rakinglight.v1.rakinglight_pb2_grpc import RakingLightStub
from rakinglight.catalogue import OPERATIONS
from rakinglight.errors import CODES, InternalError
from rakinglight.network import Network
from service.core import Core
from service.decode import DecodePool
from service.grpc_door import Door, calls, server
from service.keys import Keyring
from service.settings import Settings
from tests.service.grpc_at_hand import PNG, array, refusal, slow_network, until
from tests.service.in_process import InProcessEngine, storage_in
from tests.service.pictures_at_hand import noise, png

KEY = "a-key-that-only-this-test-knows"
STATUSES = {code.name: code for code in grpc.StatusCode}


@pytest.fixture
def engine(small_convolution: Network) -> Iterator[InProcessEngine]:
    engine = InProcessEngine([small_convolution, slow_network()])
    yield engine
    engine.worker.stop()


@pytest.fixture
def core(engine: InProcessEngine, decoder: DecodePool, tmp_path: Path) -> Iterator[Core]:
    settings = Settings(grpc_port=0, images=4, reply_bytes=2**20)
    with closing(storage_in(tmp_path, settings, decoder)) as storage:
        yield Core(engine, settings, decoder, storage)


@pytest.fixture
async def door(core: Core) -> AsyncIterator[Door]:
    async with server(core, Keyring()) as door:
        yield door


@pytest.fixture
async def channel(door: Door) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{door.port}") as channel:
        yield channel


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Any:
    return RakingLightStub(channel)


LONG = pb.AttackParameters(pgd=pb.PgdParameters(steps=1000))


def tensor(array: np.ndarray[Any, Any]) -> pb.Image:
    return pb.Image(tensor=pb.Tensor(dtype=array.dtype.name, shape=array.shape, data=array.tobytes()))


# ── answers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_classify_names_the_best_classes_of_each_image(stub: Any) -> None:
    request = pb.ClassifyRequest(model="small", images=[PNG, pb.Image(file=png(noise(20, 30)))])
    request.parameters.top_k = 2
    request.parameters.layers.append("0")
    reply = await stub.Classify(request)

    assert (reply.model.name, reply.model.version, len(reply.model.sha256)) == ("small", "1.0", 64)
    assert (reply.parameters.top_k, list(reply.parameters.layers)) == (2, ["0"])
    assert [len(result.predictions) for result in reply.results] == [2, 2]
    first = reply.results[0]
    assert first.prediction.label == f"class {first.prediction.index}"
    assert first.predictions[0].probability == first.prediction.probability
    assert first.predictions[0].HasField("logit")
    assert not first.prediction.HasField("logit")
    assert array(first.activations["0"]).shape == (4, 6, 6)
    assert list(first.geometry.original) == [8, 8]
    assert list(reply.results[1].geometry.original) == [20, 30]
    assert reply.cost.forward_rows >= 2
    assert reply.elapsed_ms > 0


async def test_an_exact_tensor_gives_what_its_picture_gives(stub: Any) -> None:
    pixels = np.asarray(Picture.open(io.BytesIO(PNG.file)))
    exact = np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32) / np.float32(255)
    by_file, by_tensor = [
        (await stub.Classify(pb.ClassifyRequest(model="small", images=[image]))).results[0].predictions
        for image in (PNG, tensor(exact))
    ]
    assert by_file == by_tensor


async def test_saliency_answers_with_arrays_a_picture_and_every_parameter(stub: Any) -> None:
    request = pb.SaliencyRequest(model="small", images=[PNG])
    request.parameters.target.add(rank=-1)
    reply = await stub.Saliency(request)

    [result] = reply.results
    signed = array(result.signed_map)
    assert signed.shape == (3, 8, 8)
    np.testing.assert_array_equal(array(result.map), np.abs(signed).max(0))
    assert result.overlay.startswith(b"\x89PNG")
    assert result.target.index != result.prediction.index
    assert reply.parameters.WhichOneof("method") == "gradient"
    assert reply.parameters.score == pb.SCORE_LOGIT
    assert reply.parameters.target == request.parameters.target


async def test_an_attack_s_picture_sent_back_gives_its_after(stub: Any) -> None:
    request = pb.AttackRequest(model="small", images=[PNG])
    request.parameters.pgd.epsilon = 0.1
    [result] = (await stub.Attack(request)).results
    again = await stub.Classify(pb.ClassifyRequest(model="small", images=[pb.Image(file=result.adversarial)]))

    assert again.results[0].prediction == result.after
    assert result.success == (result.after.index != result.before.index)
    assert 0 < result.distance.linf <= 0.1 + 1e-6
    assert array(result.exact.image).shape == (3, 8, 8)
    assert result.perturbation.picture.startswith(b"\x89PNG")
    assert result.queries == 13


async def test_a_reply_s_parameters_sent_again_repeat_the_call(stub: Any) -> None:
    request = pb.AttackRequest(model="small", images=[PNG, PNG], seed=7)
    request.parameters.pgd.random_start = True
    request.parameters.pgd.norm = pb.NORM_L2
    request.parameters.target.add(index=1)
    request.parameters.target.add(label="class 2")
    first = await stub.Attack(request)
    assert {field.name for field, _ in first.parameters.pgd.ListFields()} == {
        "norm", "epsilon", "steps", "random_start", "restarts",
    }  # fmt: skip

    second = await stub.Attack(pb.AttackRequest(model="small", images=[PNG, PNG], seed=7, parameters=first.parameters))
    assert [result.exact.image for result in second.results] == [result.exact.image for result in first.results]
    assert second.parameters == first.parameters


INCLUDED = {
    "all": (None, {"map", "signed_map", "overlay", "scaling"}),
    "the overlay alone": (pb.Include(names=["overlay"]), {"overlay", "scaling"}),
    "nothing more": (pb.Include(), set()),
}


@pytest.mark.parametrize(("include", "found"), INCLUDED.values(), ids=INCLUDED)
async def test_include_narrows_a_result(stub: Any, include: pb.Include | None, found: set[str]) -> None:
    reply = await stub.Saliency(pb.SaliencyRequest(model="small", images=[PNG], include=include))
    [result] = reply.results
    names = {field.name for field, _ in result.ListFields()}
    assert names == found | {"prediction", "target", "geometry"}


async def test_models_tell_all_that_the_core_says(stub: Any, core: Core) -> None:
    listed = (await stub.ListModels(pb.ListModelsRequest())).models
    assert [model.name for model in listed] == ["slow", "small"]
    model = await stub.GetModel(pb.GetModelRequest(model="small"))
    assert model == listed[1]
    assert {field.name for field, _ in model.ListFields()} == set(core.model("small")) - {"detector"}  # it has none
    assert {field.name for field in pb.Limits.DESCRIPTOR.fields} == set(core.limits())
    methods = {operation.name: [method.name for method in operation.methods] for operation in model.operations}
    assert methods == {name: list(operation.by_name) for name, operation in OPERATIONS.items()}
    (attacks,) = (operation for operation in model.operations if operation.name == "attack")
    assert '"epsilon"' in attacks.methods[0].parameters


# ── streams, cancelling, deadlines ──────────────────────────────────────────────────────────────────────────────────


async def test_a_stream_tells_of_progress_and_ends_with_the_unary_s_result(stub: Any) -> None:
    request = pb.AttackRequest(model="slow", images=[PNG, PNG])
    request.parameters.pgd.steps = 20
    events = [event async for event in stub.AttackStream(request)]
    *progress, last = events

    assert {event.WhichOneof("event") for event in progress} == {"progress"}
    assert {event.progress.image for event in progress} == {0, 1}
    assert all(1 <= event.progress.step <= event.progress.of == 20 for event in progress)
    unary = await stub.Attack(request)
    assert [result.exact for result in last.result.results] == [result.exact for result in unary.results]


@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
async def test_a_caller_who_cancels_frees_the_engine(stub: Any, engine: InProcessEngine, streams: bool) -> None:
    request = pb.AttackRequest(model="slow", images=[PNG], parameters=LONG)
    before = engine.worker.engine.counts.rows["gradient"]
    call = stub.AttackStream(request) if streams else stub.Attack(request)
    await until(lambda: engine.worker.snapshot()["live"])
    if streams:
        assert (await call.read()).progress.of == 1000
    call.cancel()
    await until(lambda: not engine.worker.snapshot()["live"])
    assert engine.worker.engine.counts.rows["gradient"] - before < 900


async def test_a_call_s_deadline_ends_the_work_in_time_for_a_partial_answer(stub: Any) -> None:
    request = pb.AttackRequest(model="slow", images=[PNG], parameters=LONG)
    reply = await stub.Attack(request, timeout=1.0)
    assert reply.results[0].partial


async def test_max_rows_ends_the_work_too(stub: Any) -> None:
    request = pb.AttackRequest(model="small", images=[PNG], max_rows=20)
    request.parameters.pgd.steps = 1000
    reply = await stub.Attack(request)
    assert reply.results[0].partial
    assert reply.cost.forward_rows + reply.cost.gradient_rows <= 20


# ── refusals ────────────────────────────────────────────────────────────────────────────────────────────────────────


def attack(**set_: Any) -> pb.AttackRequest:
    return pb.AttackRequest(model="small", images=[PNG], parameters=pb.AttackParameters(**set_))


def with_tensor(values: Any, **changes: Any) -> pb.ClassifyRequest:
    image = tensor(np.broadcast_to(np.float32(values), (3, 8, 8)).copy())
    for name, value in changes.items():
        image.tensor.ClearField(name)
        image.tensor.MergeFrom(pb.Tensor(**{name: value}))
    return pb.ClassifyRequest(model="small", images=[image])


def classify(*images: pb.Image, **kept: Any) -> pb.ClassifyRequest:
    return pb.ClassifyRequest(model="small", images=images, **kept)


REFUSED: dict[str, tuple[Message, str, str | None]] = {
    "no such model": (pb.ClassifyRequest(model="smal", images=[PNG]), "NOT_FOUND", None),
    "no such version": (classify(PNG, version="9"), "NOT_FOUND", None),
    "no such layer": (classify(PNG, parameters=pb.ClassifyParameters(layers=["x"])), "NOT_FOUND", None),
    "no image": (classify(), "BAD_PARAMETER", "/images"),
    "an empty image": (classify(PNG, pb.Image()), "BAD_PARAMETER", "/images/1"),
    "zero bytes": (classify(pb.Image(file=b"")), "NOT_AN_IMAGE", "/images/0"),
    "not an image": (classify(pb.Image(file=b"a cat, honestly")), "NOT_AN_IMAGE", "/images/0"),
    "a truncated PNG": (classify(pb.Image(file=PNG.file[:100])), "NOT_AN_IMAGE", "/images/0"),
    "too many images": (classify(*[PNG] * 5), "TOO_LARGE", "/images"),
    "NaN": (with_tensor(np.nan), "BAD_PARAMETER", "/images/0"),
    "infinity": (with_tensor(np.inf), "BAD_PARAMETER", "/images/0"),
    "over 1": (with_tensor(1.5), "BAD_PARAMETER", "/images/0"),
    "an unknown dtype": (with_tensor(0.5, dtype="complex64"), "BAD_PARAMETER", "/images/0/tensor"),
    "too few bytes": (with_tensor(0.5, data=b"1234"), "BAD_PARAMETER", "/images/0/tensor"),
    "a negative length": (with_tensor(0.5, shape=[3, -8, 8]), "BAD_PARAMETER", "/images/0/tensor"),
    "an enormous shape": (with_tensor(0.5, shape=[2**62, 2**62]), "BAD_PARAMETER", "/images/0/tensor"),
    "wrong channels": (with_tensor(0.5, shape=[1, 24, 8]), "BAD_PARAMETER", "/images/0"),
    "epsilon -1": (attack(fgsm=pb.FgsmParameters(epsilon=-1)), "BAD_PARAMETER", "/parameters/epsilon"),
    "epsilon NaN": (attack(fgsm=pb.FgsmParameters(epsilon=np.nan)), "BAD_PARAMETER", "/parameters/epsilon"),
    "no steps": (attack(pgd=pb.PgdParameters(steps=0)), "BAD_PARAMETER", "/parameters/steps"),
    "an unknown norm": (attack(pgd=pb.PgdParameters(norm=9)), "BAD_PARAMETER", "/parameters/norm"),
    "no class": (attack(target=[pb.ClassReference(index=5)]), "BAD_PARAMETER", "/parameters/target"),
    "no rank": (attack(label=[pb.ClassReference(rank=0)]), "BAD_PARAMETER", "/parameters/label"),
    "a class too many": (
        attack(target=[pb.ClassReference(index=i) for i in (1, 2)]),
        "BAD_PARAMETER",
        "/parameters/target",
    ),
    "nothing of that name": (classify(PNG, include=pb.Include(names=["overlay"])), "BAD_PARAMETER", "/include/0"),
    "a seed below 0": (classify(PNG, seed=-1), "BAD_PARAMETER", "/seed"),
    "no rows": (classify(PNG, max_rows=0), "BAD_PARAMETER", "/max_rows"),
    "a very long name": (pb.ClassifyRequest(model="é" * 100_000, images=[PNG]), "NOT_FOUND", None),
}


@pytest.mark.parametrize("twin", ["", "Stream"], ids=["unary", "stream"])
@pytest.mark.parametrize(("request_", "code", "field"), REFUSED.values(), ids=REFUSED)
async def test_a_caller_s_mistake_has_its_code_and_names_the_field(
    stub: Any, request_: Message, code: str, field: str | None, twin: str
) -> None:
    name = type(request_).__name__.removesuffix("Request")
    call = getattr(stub, name + twin)(request_, metadata=[("x-request-id", "mine")])
    status, details = await refusal(call.read() if twin else call)

    assert status is STATUSES[CODES[code].grpc_status]
    why = details["ErrorInfo"]
    assert (why.reason, why.domain, dict(why.metadata)) == (code, "rakinglight.dev", {"request_id": "mine"})
    fields = (
        [violation.field for violation in details["BadRequest"].field_violations] if "BadRequest" in details else []
    )
    assert fields == ([field] if field else [])
    assert details["message"]


async def test_a_reply_over_the_limit_is_refused_with_what_to_do(stub: Any) -> None:
    request = pb.AttackRequest(model="small", images=[pb.Image(file=png(noise(300, 330)))])
    status, details = await refusal(stub.Attack(request))
    assert status is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert details["ErrorInfo"].reason == "TOO_LARGE"
    assert "include" in details["message"]


async def test_a_message_over_the_limit_is_refused(
    engine: InProcessEngine, decoder: DecodePool, caplog: pytest.LogCaptureFixture
) -> None:
    core = Core(engine, Settings(grpc_port=0, body_bytes=2000), decoder)
    async with server(core, Keyring()) as door, grpc.aio.insecure_channel(f"127.0.0.1:{door.port}") as channel:
        stub: Any = RakingLightStub(channel)
        for size in (2000, 2 * 2**20):  # the second is not even read
            status, details = await refusal(stub.Classify(classify(pb.Image(file=bytes(size)))))
            assert status is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert size > 2000 or details["ErrorInfo"].reason == "TOO_LARGE"
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_message_that_does_not_come_is_not_waited_for(engine: InProcessEngine, decoder: DecodePool) -> None:
    core = Core(engine, Settings(grpc_port=0, upload_s=0.05), decoder)
    async with server(core, Keyring()) as door, grpc.aio.insecure_channel(f"127.0.0.1:{door.port}") as channel:
        status, details = await refusal(channel.stream_unary("/rakinglight.v1.RakingLight/Classify")())
        assert status is grpc.StatusCode.INVALID_ARGUMENT
        assert details["ErrorInfo"].reason == "UNREADABLE"


async def test_a_compressed_message_is_refused_before_it_is_unpacked(stub: Any) -> None:
    message = classify(pb.Image(file=bytes(2**20)))
    assert (await refusal(stub.Classify(message)))[1]["ErrorInfo"].reason == "NOT_AN_IMAGE"
    status, _ = await refusal(stub.Classify(message, compression=grpc.Compression.Gzip))
    assert status is grpc.StatusCode.UNIMPLEMENTED


async def test_our_own_fault_tells_nothing_of_its_inside(stub: Any, engine: InProcessEngine, monkeypatch: Any) -> None:
    monkeypatch.setattr(engine, "refusal", RuntimeError("a secret"))
    status, details = await refusal(stub.Classify(classify(PNG)))
    assert status is grpc.StatusCode.INTERNAL
    assert details["ErrorInfo"].reason == InternalError.code
    assert "secret" not in details["message"]


async def test_random_bytes_are_never_our_own_fault(channel: grpc.aio.Channel) -> None:
    random_ = random.Random(0)
    good = {
        "ClassifyRequest": classify(PNG, parameters=pb.ClassifyParameters(top_k=2, layers=["0"])),
        "SaliencyRequest": pb.SaliencyRequest(
            model="small",
            images=[PNG],
            include=pb.Include(names=["map"]),
            compare=[pb.SaliencyParameters(target=[pb.ClassReference(rank=1)]) for _ in range(2)],
        ),
        "OcclusionRequest": pb.OcclusionRequest(
            model="small",
            images=[PNG],
            parameters=pb.OcclusionParameters(
                evaluate=[pb.FIGURE_POINTING_GAME],
                boxes=[pb.Box(bottom=2, right=3)],
                sliding=pb.SlidingParameters(fill=pb.Filling(name=pb.FILL_MEAN), window=4),
            ),
        ),
        "AttackRequest": attack(pgd=pb.PgdParameters(steps=2), target=[pb.ClassReference(index=1)]),
        "RobustnessRequest": pb.RobustnessRequest(
            model="small",
            images=[PNG],
            parameters=pb.RobustnessParameters(labels=[pb.ClassReference(index=1)], epsilons=[0.1], checks=False),
        ),
        "InversionRequest": pb.InversionRequest(
            model="small",
            images=[PNG],
            parameters=pb.InversionParameters(invert=pb.InvertParameters(steps=1, layer="0", start=PNG)),
        ),
        "UnitsRequest": pb.UnitsRequest(
            model="small", images=[PNG, PNG], parameters=pb.UnitsParameters(neighbors=pb.NeighborsParameters(layer="0"))
        ),
        "UniversalRequest": pb.UniversalRequest(model="small", images=[PNG, PNG]),
        "SubstituteRequest": pb.SubstituteRequest(model="small", images=[PNG, PNG]),
        "ListSubstitutesRequest": pb.ListSubstitutesRequest(page_size=9, page_token="W10="),
        "ListPerturbationsRequest": pb.ListPerturbationsRequest(page_size=9, page_token="W10="),
        "GetModelRequest": pb.GetModelRequest(model="small"),
        "ListModelsRequest": pb.ListModelsRequest(),
        "SubmitJobRequest": pb.SubmitJobRequest(classify=classify(PNG), idempotency_key="k", deadline_s=9),
        "ListJobsRequest": pb.ListJobsRequest(page_size=9, page_token="W10=", state=pb.JOB_STATE_QUEUED),
        "WatchJobRequest": pb.WatchJobRequest(id="job_0", after=1),
        "DatasetChunk": pb.DatasetChunk(name="pets", data=b"PK"),
        "ListDatasetsRequest": pb.ListDatasetsRequest(page_size=9, page_token="W10="),
        "GetArtifactRequest": pb.GetArtifactRequest(sha256="0" * 64),
        "CreateKeyRequest": pb.CreateKeyRequest(name="bob", scopes=["query"], view=pb.VIEW_TOP_K, top_k=2, budget=9),
        "ListKeysRequest": pb.ListKeysRequest(page_size=9, page_token="W10="),
        "TopUpKeyRequest": pb.TopUpKeyRequest(id="bob", images=3),
        "ListLedgerRequest": pb.ListLedgerRequest(page_size=9, key="bob", since={"seconds": 9}),
        "ExportLedgerRequest": pb.ExportLedgerRequest(key="bob", operation="attack", since={"seconds": 9}),
        **{
            f"{name}Request": getattr(pb, f"{name}Request")(id="job_0")
            for name in (
                "GetKey",
                "ClearKey",
                "RevokeKey",
                "GetJob",
                "CancelJob",
                "DeleteJob",
                "GetDataset",
                "DeleteDataset",
                "GetPerturbation",
                "DeletePerturbation",
                "GetSubstitute",
                "DeleteSubstitute",
            )
        },
    }

    def malformed(kind: str) -> bytes:
        raw = bytearray(good[kind].SerializeToString())
        if random_.random() < 0.3 or not raw:
            return random_.randbytes(random_.randrange(60))
        for _ in range(random_.randrange(1, 5)):
            raw[random_.randrange(len(raw))] = random_.randrange(256)
        return bytes(raw[: random_.randrange(len(raw))] if random_.random() < 0.3 else raw)

    async def status_of(call: Any, raw: bytes) -> grpc.StatusCode:
        path = f"/rakinglight.v1.RakingLight/{call.name}"
        if call.streams:
            stream = channel.unary_stream(path)(raw)
            with suppress(grpc.aio.AioRpcError):
                async for _ in stream:
                    pass
            return await stream.code()
        unary = channel.unary_unary(path)(raw)
        with suppress(grpc.aio.AioRpcError):
            await unary
        return await unary.code()

    for call in calls():
        for _ in range(60):
            raw = malformed(call.request.__name__)
            status = await status_of(call, raw)
            assert status in {STATUSES[kind.grpc_status] for kind in CODES.values()} - {grpc.StatusCode.INTERNAL} | {
                grpc.StatusCode.OK
            }, (call.name, raw)


# ── metrics, keys, request ids, health, reflection ────────────────────────────────────────────────────────────────────


async def test_every_call_is_counted_and_logged_however_it_ends(
    stub: Any, core: Core, engine: InProcessEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    metadata = [("x-request-id", "the-good"), ("traceparent", f"00-{trace}-b7ad6b7169203331-01")]
    await stub.Attack(attack(), metadata=metadata)
    await refusal(stub.Classify(pb.ClassifyRequest(model="\x1b[2J"), metadata=[("x-request-id", "the-bad")]))
    gone = stub.Attack(pb.AttackRequest(model="slow", images=[PNG], parameters=LONG))
    await until(lambda: engine.worker.snapshot()["live"])
    gone.cancel()
    await until(lambda: not core.under_way)

    counted = {
        tuple(sample.labels[name] for name in ("door", "operation", "method", "model", "code"))
        for metric in core.metrics.registry.collect()
        for sample in metric.samples
        if sample.name == "rakinglight_requests_total"
    }
    assert counted == {
        ("grpc", "attack", "fgsm", "small", "OK"),
        ("grpc", "classify", "", "unknown", "NOT_FOUND"),
        ("grpc", "attack", "pgd", "slow", "CANCELLED"),
    }
    said = capsys.readouterr().out
    assert all(word in said for word in ("the-good", trace, "the-bad"))


AUTHORIZATION = {
    "no key": ([], "UNAUTHENTICATED"),
    "another key": ([("authorization", "Bearer another")], "UNAUTHENTICATED"),
    "no scheme": ([("authorization", KEY)], "UNAUTHENTICATED"),
    "the key": ([("authorization", f"Bearer {KEY}")], None),
}


@pytest.mark.parametrize(("metadata", "code"), AUTHORIZATION.values(), ids=AUTHORIZATION)
async def test_every_call_wants_the_key_where_there_is_one(core: Core, metadata: Any, code: str | None) -> None:
    async with (
        server(core, Keyring(KEY.encode())) as door,
        grpc.aio.insecure_channel(f"127.0.0.1:{door.port}") as channel,
    ):
        stub: Any = RakingLightStub(channel)
        for call in (
            stub.Classify(classify(PNG), metadata=metadata),
            stub.ListModels(pb.ListModelsRequest(), metadata=metadata),
        ):
            if code is None:
                await call
            else:
                status, details = await refusal(call)
                assert status is grpc.StatusCode.UNAUTHENTICATED
                assert details["ErrorInfo"].reason == code


@pytest.mark.parametrize(
    ("given", "kept"),
    [("my.request-1", True), ("x" * 129, False), ("a b", False), (None, False)],
    ids=["fit to print", "too long", "with a space", "none"],
)
async def test_a_request_id_is_taken_or_made_and_returned(stub: Any, given: str | None, kept: bool) -> None:
    call = stub.Classify(classify(PNG), metadata=[("x-request-id", given)] if given else None)
    reply = await call
    returned = dict(await call.initial_metadata())["x-request-id"]
    assert returned == reply.request_id
    assert (returned == given) == kept
    assert returned


async def test_health_follows_readiness_and_draining(stub: Any, channel: grpc.aio.Channel, core: Core) -> None:
    health: Any = health_pb2_grpc.HealthStub(channel)
    serving = health_pb2.HealthCheckResponse.SERVING

    async def is_serving(name: str = "rakinglight.v1.RakingLight") -> bool:
        return (await health.Check(health_pb2.HealthCheckRequest(service=name))).status == serving

    assert await is_serving()
    assert await is_serving("")
    core.drain()

    async def has_stopped() -> bool:
        return not await is_serving()

    await until(has_stopped)
    status, details = await refusal(stub.Classify(classify(PNG)))
    assert status is grpc.StatusCode.UNAVAILABLE
    assert details["ErrorInfo"].reason == "ENGINE_AWAY"
    assert details["RetryInfo"].retry_delay.seconds == 5


async def test_closing_the_door_lets_calls_under_way_finish_in_the_grace(core: Core, engine: InProcessEngine) -> None:
    async with server(core, Keyring()) as door:
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{door.port}")
        health: Any = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        request = pb.AttackRequest(model="slow", images=[PNG])
        request.parameters.pgd.steps = 100
        under_way = RakingLightStub(channel).Attack(request)
        await until(lambda: engine.worker.snapshot()["live"])
        begun = time.monotonic()
        await door.stop(30)
        assert (await under_way).results[0].queries >= 100
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert time.monotonic() - begun < 10
        await channel.close()


def test_a_port_that_is_taken_is_told_in_words(door: Door, engine: InProcessEngine, decoder: DecodePool) -> None:
    with pytest.raises(ValueError, match=f"127.0.0.1:{door.port}: something else does.*RAKINGLIGHT_GRPC_PORT"):
        server(Core(engine, Settings(grpc_port=door.port), decoder), Keyring())


SHOWN = {
    "on": ({}, None, grpc.StatusCode.OK),
    "off": ({"reflection": False}, None, grpc.StatusCode.UNIMPLEMENTED),
    "on, without the key": ({}, KEY.encode(), grpc.StatusCode.UNAUTHENTICATED),
}


@pytest.mark.parametrize(("settings_", "key", "status"), SHOWN.values(), ids=SHOWN)
async def test_reflection_shows_the_service_where_it_may(
    engine: InProcessEngine, decoder: DecodePool, settings_: Any, key: bytes | None, status: grpc.StatusCode
) -> None:
    core = Core(engine, Settings(grpc_port=0, **settings_), decoder)
    async with (
        server(core, Keyring(key)) as door,
        grpc.aio.insecure_channel(f"127.0.0.1:{door.port}") as channel,
    ):
        asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol="rakinglight.v1.RakingLight")
        answers = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([asked]))
        if status is grpc.StatusCode.OK:
            files = (await answers.read()).file_descriptor_response.file_descriptor_proto
            assert pb.DESCRIPTOR.serialized_pb in files
        else:
            assert (await refusal(answers.read()))[0] is status
