"""Jobs, datasets and artifacts by gRPC: real calls over a real channel, a real store, and jobs done in the process."""

import asyncio
import hashlib
import io
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from protos.gen.rakinglight.v1 import rakinglight_pb2 as pb
from protos.gen.rakinglight.v1.rakinglight_pb2_grpc import RakingLightStub
from rakinglight.errors import CODES, RunKillsWorker
from rakinglight.network import Network
from service import grpc_storage
from service.core import Core
from service.decode import DecodePool
from service.grpc_door import KEPT, server
from service.jobs.records import LOOK_S
from service.keys import Keyring
from service.settings import Settings
from tests.service.archives_at_hand import plain_zip
from tests.service.grpc_at_hand import PNG, array, refusal, slow_network, until
from tests.service.in_process import InProcessEngine, break_database, doing_jobs, mend_database, storage_in
from tests.service.pictures_at_hand import noise, png

OTHER = pb.Image(file=png(noise(8, 8, seed=1)))
LARGE = pb.Image(file=png(noise(30, 40)))
PETS = plain_zip({"0/a.png": PNG.file, "1/b.png": OTHER.file, "1/c.png": LARGE.file})

Job = pb.Job


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Large parts of a result are kept apart, and a run has no saved state before its end."""
    configured = tmp_path / "configured" / "cat"
    configured.mkdir(parents=True)
    (configured / "1.png").write_bytes(PNG.file)
    return Settings(
        home=tmp_path,
        grpc_port=0,
        inline_bytes=2000,
        worker_images=1,
        state_s=1000,
        upload_s=2,
        images=3,
        dataset_bytes=100_000,
        datasets={"pets": configured.parent},
    )


@pytest.fixture
def core(small_convolution: Network, settings: Settings, decoder: DecodePool, tmp_path: Path) -> Iterator[Core]:
    engine = InProcessEngine([small_convolution, slow_network()])
    with closing(storage_in(tmp_path, settings, decoder)) as storage:
        yield Core(engine, settings, decoder, storage)
    engine.worker.stop()


@pytest.fixture
async def doing(core: Core) -> AsyncIterator[None]:
    """Jobs are done as they are submitted."""
    async with doing_jobs(core):
        yield


@pytest.fixture
def talkative(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is new of a job is kept at once."""
    monkeypatch.setattr("service.jobs.runner.KEEP_S", 0.05)


@asynccontextmanager
async def caller_of(core: Core, keyring: Keyring | None = None) -> AsyncIterator[Any]:
    async with (
        server(core, keyring or Keyring()) as door,
        grpc.aio.insecure_channel(f"127.0.0.1:{door.port}") as channel,
    ):
        yield RakingLightStub(channel)


@pytest.fixture
async def stub(core: Core) -> AsyncIterator[Any]:
    async with caller_of(core) as stub:
        yield stub


def attack(*images: pb.Image, model: str = "small", steps: int = 3, **said: Any) -> pb.AttackRequest:
    parameters = pb.AttackParameters(pgd=pb.PgdParameters(steps=steps, epsilon=0.1))
    return pb.AttackRequest(model=model, images=images, parameters=parameters, **said)


def submission(request: pb.AttackRequest | None = None, **said: Any) -> pb.SubmitJobRequest:
    return pb.SubmitJobRequest(attack=request or attack(PNG), **said)


async def over(stub: Any, job: Job) -> Job:
    """`job` when it is over."""

    async def ended() -> bool:
        return (await stub.GetJob(pb.GetJobRequest(id=job.id))).HasField("ended_at")

    await until(ended, 30)
    return await stub.GetJob(pb.GetJobRequest(id=job.id))


async def read(stream: Any) -> list[Any]:
    return [message async for message in stream]


def chunks(content: bytes, size: int = 700, name: str = "pets") -> Iterable[pb.DatasetChunk]:
    yield pb.DatasetChunk(name=name)
    for start in range(0, len(content), size):
        yield pb.DatasetChunk(data=content[start : start + size])


def code_of(details: Mapping[str, Any]) -> str:
    return str(details["ErrorInfo"].reason)


def fields_of(details: Mapping[str, Any]) -> list[str]:
    return [violation.field for violation in details["BadRequest"].field_violations]


# ── jobs ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_job_ends_with_what_the_call_itself_would_have_answered(stub: Any, doing: None) -> None:
    requests = {
        "classify": (stub.Classify, pb.ClassifyRequest(model="small", images=[PNG, OTHER])),
        "saliency": (
            stub.Saliency,
            pb.SaliencyRequest(
                model="small",
                images=[PNG],
                include=pb.Include(names=["map", "signed_map"]),
                compare=[pb.SaliencyParameters(gradient=pb.GradientParameters(), score=s) for s in (1, 2)],
            ),
        ),
        "attack": (stub.Attack, attack(PNG, OTHER, seed=3, include=pb.Include(names=["adversarial", "exact"]))),
    }
    for name, (call, request) in requests.items():
        named = [("x-request-id", name)]
        job = await over(stub, await stub.SubmitJob(pb.SubmitJobRequest(**{name: request}), metadata=named))
        assert (job.state, job.operation) == (pb.JOB_STATE_SUCCEEDED, name)
        assert not job.HasField("partial_result")
        assert not (job.result.unanswered or job.result.artifacts)
        response, answer = getattr(job.result, name), await call(request, metadata=named)
        assert response.elapsed_ms > 0
        response.elapsed_ms = answer.elapsed_ms
        assert response == answer


async def test_a_job_says_all_that_rest_says_of_it(stub: Any, core: Core, doing: None) -> None:
    said = attack(PNG, purpose="to see")
    submitted = await stub.SubmitJob(submission(said), metadata=[("x-request-id", "mine")])
    assert (submitted.state, submitted.attempts) == (pb.JOB_STATE_QUEUED, 0)
    job = await over(stub, submitted)
    wanted = core.storage.jobs.get(job.id, None)

    assert set(wanted) == {field.name for field in Job.DESCRIPTOR.fields} - {"result", "partial_result"}
    for name in ("id", "operation", "method", "images", "purpose", "request_id", "attempts", "cancel_requested"):
        assert getattr(job, name) == wanted[name], name
    assert (job.purpose, job.request_id, job.attempts) == ("to see", "mine", 1)
    assert {name: getattr(job.model, name) for name in wanted["model"]} == wanted["model"]
    times = [name for name in wanted if name.endswith("_at")]
    for name in times:
        (stamp := Timestamp()).FromJsonString(wanted[name])
        assert getattr(job, name) == stamp, name
    assert {field.name for field, _ in job.ListFields()} >= {*times, "result"}
    assert not job.HasField("problem")


async def test_a_request_that_is_sent_again_under_its_key_is_the_same_job(stub: Any) -> None:
    first = await stub.SubmitJob(submission(idempotency_key="once"))
    again = await stub.SubmitJob(submission(idempotency_key="once"))
    assert again == first
    another = await stub.SubmitJob(submission(idempotency_key="twice"))
    assert another.id != first.id

    status, details = await refusal(stub.SubmitJob(submission(attack(OTHER), idempotency_key="once")))
    assert (status, code_of(details)) == (grpc.StatusCode.ALREADY_EXISTS, "CONFLICT")


async def test_a_request_is_the_same_job_though_its_dataset_is_gone(stub: Any) -> None:
    dataset = (await stub.CreateDataset(chunks(PETS))).id
    said = submission(attack(dataset=dataset), idempotency_key="once")
    first = await stub.SubmitJob(said)
    await stub.DeleteDataset(pb.DeleteDatasetRequest(id=dataset))
    assert await stub.SubmitJob(said) == first
    said.idempotency_key = "twice"
    assert code_of((await refusal(stub.SubmitJob(said)))[1]) == "NOT_FOUND"


REFUSED: dict[str, tuple[str, Message, str, str | None]] = {
    "nothing is asked for": ("SubmitJob", pb.SubmitJobRequest(), "BAD_PARAMETER", "/request"),
    "no such model": ("SubmitJob", submission(attack(PNG, model="smal")), "NOT_FOUND", None),
    "not an image": ("SubmitJob", submission(attack(pb.Image(file=b"a cat"))), "NOT_AN_IMAGE", "/images/0"),
    "neither images nor a dataset": ("SubmitJob", submission(attack()), "BAD_PARAMETER", "/images"),
    "images and a dataset": ("SubmitJob", submission(attack(PNG, dataset="pets")), "BAD_PARAMETER", "/dataset"),
    "no such dataset": ("SubmitJob", submission(attack(dataset="dogs")), "NOT_FOUND", None),
    "too many images": ("SubmitJob", submission(attack(*[PNG] * 4)), "TOO_LARGE", "/images"),
    "no time": ("SubmitJob", submission(deadline_s=0), "BAD_PARAMETER", "/deadline_s"),
    "too much time": ("SubmitJob", submission(deadline_s=1e9), "BAD_PARAMETER", "/deadline_s"),
    "a key with a space": ("SubmitJob", submission(idempotency_key="a b"), "BAD_PARAMETER", "/idempotency_key"),
    "no such job": ("GetJob", pb.GetJobRequest(id="job_0"), "NOT_FOUND", None),
    "a page of -1": ("ListJobs", pb.ListJobsRequest(page_size=-1), "BAD_PARAMETER", "/page_size"),
    "a page of 501": ("ListJobs", pb.ListJobsRequest(page_size=501), "BAD_PARAMETER", "/page_size"),
    "a token of nobody's": ("ListJobs", pb.ListJobsRequest(page_token="W10="), "BAD_PARAMETER", "/page_token"),
    "no such state": ("ListJobs", pb.ListJobsRequest(state=99), "BAD_PARAMETER", "/state"),
    "an event before the first": ("WatchJob", pb.WatchJobRequest(id="job_0", after=-1), "BAD_PARAMETER", "/after"),
    "a page of datasets of -1": ("ListDatasets", pb.ListDatasetsRequest(page_size=-1), "BAD_PARAMETER", "/page_size"),
    "datasets by a token of nobody's": (
        "ListDatasets", pb.ListDatasetsRequest(page_token="x"), "BAD_PARAMETER", "/page_token"
    ),
    "the operator's dataset, to be forgotten": (
        "DeleteDataset", pb.DeleteDatasetRequest(id="pets"), "FORBIDDEN", None
    ),
    "an artifact by no hash": ("GetArtifact", pb.GetArtifactRequest(sha256="../etc"), "NOT_FOUND", None),
}  # fmt: skip


@pytest.mark.parametrize(("call", "request_", "code", "field"), REFUSED.values(), ids=REFUSED)
async def test_a_caller_s_mistake_has_its_code_and_names_the_field(
    stub: Any, call: str, request_: Message, code: str, field: str | None
) -> None:
    called = getattr(stub, call)(request_)
    status, details = await refusal(called.read() if hasattr(called, "read") else called)
    assert (status.name, code_of(details)) == (CODES[code].grpc_status, code)
    assert field is None or fields_of(details) == [field]


async def test_jobs_are_listed_newest_first_a_page_at_a_time(stub: Any) -> None:
    submitted = [(await stub.SubmitJob(submission())).id for _ in range(5)]
    await stub.CancelJob(pb.CancelJobRequest(id=submitted[2]))
    listed, token = [], ""
    for size in (2, 2, 1):
        page = await stub.ListJobs(pb.ListJobsRequest(page_size=2, page_token=token))
        assert len(page.jobs) == size
        listed += [job.id for job in page.jobs]
        token = page.next_page_token
    assert listed == submitted[::-1]
    assert token == ""
    cancelled = await stub.ListJobs(pb.ListJobsRequest(state=pb.JOB_STATE_CANCELLED))
    assert [job.id for job in cancelled.jobs] == submitted[2:3]


async def test_a_job_of_a_dataset_answers_for_each_of_its_images(stub: Any, doing: None) -> None:
    dataset = await stub.CreateDataset(chunks(PETS))
    job = await over(stub, await stub.SubmitJob(submission(attack(dataset=dataset.id))))
    assert job.images == 3
    results = job.result.attack.results
    assert [list(result.geometry.original) for result in results] == [[8, 8], [8, 8], [30, 40]]
    assert [label.index for label in job.result.attack.parameters.label] == [0, 1, 1]
    answer = await stub.Attack(attack(dataset=dataset.id))
    assert [result.after for result in answer.results] == [result.after for result in results]


async def test_what_is_large_is_kept_apart_and_fetched_by_its_hash(stub: Any, doing: None) -> None:
    request = attack(PNG, LARGE, include=pb.Include(names=["adversarial", "exact"]))
    named = [("x-request-id", "mine")]
    job = await over(stub, await stub.SubmitJob(submission(request), metadata=named))
    small, large = job.result.attack.results
    answer = await stub.Attack(request, metadata=named)

    assert set(job.result.artifacts) == {"results.1.adversarial", "results.1.exact.image"}
    assert small == answer.results[0]
    assert not large.adversarial
    assert not large.exact.HasField("image")
    assert large.after == answer.results[1].after

    async def fetched(path: str, media_type: str) -> bytes:
        artifact = job.result.artifacts[path]
        first, *more = await read(stub.GetArtifact(pb.GetArtifactRequest(sha256=artifact.sha256)))
        content = b"".join(chunk.data for chunk in (first, *more))
        assert (first.media_type, first.bytes) == (media_type, artifact.bytes)
        assert len(content) == artifact.bytes
        assert hashlib.sha256(content).hexdigest() == artifact.sha256
        return content

    assert await fetched("results.1.adversarial", "image/png") == answer.results[1].adversarial
    image = np.load(io.BytesIO(await fetched("results.1.exact.image", "application/x-npy")))
    np.testing.assert_array_equal(image, array(answer.results[1].exact.image))


async def test_a_long_artifact_comes_in_parts_that_any_client_takes(stub: Any, core: Core) -> None:
    content = np.random.default_rng(0).bytes(2 * grpc_storage.CHUNK + 5)
    sha256 = core.storage.artifacts.put(content, media_type="a/b", holder="job:a:parts", owner="")
    parts = await read(stub.GetArtifact(pb.GetArtifactRequest(sha256=sha256)))
    assert [len(part.data) for part in parts] == [grpc_storage.CHUNK, grpc_storage.CHUNK, 5]
    assert [(part.media_type, part.bytes) for part in parts] == [("a/b", len(content)), ("", 0), ("", 0)]
    assert b"".join(part.data for part in parts) == content


# ── watching ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_watch_that_is_taken_up_again_misses_and_repeats_nothing(
    stub: Any, talkative: None, doing: None
) -> None:
    job = await stub.SubmitJob(submission(attack(PNG, model="slow", steps=200)))
    seen, pieces = [], 0
    while not seen or seen[-1].WhichOneof("event") == "progress":
        watch = stub.WatchJob(pb.WatchJobRequest(id=job.id, after=seen[-1].number if seen else 0))
        seen.append(await watch.read())
        watch.cancel()
        pieces += 1

    assert pieces > 2
    *progress, last = seen
    assert all(event.progress.of == 200 and event.progress.images == 1 for event in progress)
    steps = [event.progress.step for event in progress]
    assert steps == sorted(steps)
    assert last.result == (await over(stub, job)).result
    assert (last.state, {event.state for event in progress}) == (pb.JOB_STATE_SUCCEEDED, {pb.JOB_STATE_UNSPECIFIED})
    whole = await read(stub.WatchJob(pb.WatchJobRequest(id=job.id)))
    assert [event.number for event in whole] == list(range(1, len(whole) + 1))
    assert seen == whole
    for after in range(len(whole) + 1):
        assert await read(stub.WatchJob(pb.WatchJobRequest(id=job.id, after=after))) == whole[after:]
    _, details = await refusal(stub.WatchJob(pb.WatchJobRequest(id=job.id, after=len(whole) + 1)).read())
    assert fields_of(details) == ["/after"]


async def test_a_job_that_fails_ends_with_its_problem(stub: Any, core: Core, doing: None) -> None:
    core.engine.refusal = RunKillsWorker("It ends every worker.")  # type: ignore[attr-defined]
    job = await stub.SubmitJob(submission(), metadata=[("x-request-id", "mine")])
    [event] = await read(stub.WatchJob(pb.WatchJobRequest(id=job.id)))
    job = await over(stub, job)
    assert job.state == pb.JOB_STATE_FAILED
    assert event == pb.JobEvent(number=1, problem=job.problem)
    problem = job.problem
    assert (problem.code, problem.detail) == ("RUN_KILLS_WORKER", "It ends every worker.")
    assert (problem.request_id, problem.status) == ("mine", 422)
    assert not (job.HasField("result") or job.HasField("partial_result"))


async def nothing_comes(coming: asyncio.Future[Any]) -> None:
    """For longer than the service takes between two looks."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(coming), 2 * LOOK_S)


async def test_a_watch_outlasts_a_database_that_is_away(stub: Any, core: Core, tmp_path: Path) -> None:
    job = await stub.SubmitJob(submission())
    watch = stub.WatchJob(pb.WatchJobRequest(id=job.id))
    coming = asyncio.ensure_future(watch.read())
    await nothing_comes(coming)
    break_database(tmp_path)
    core.storage.database.close()
    status, details = await refusal(stub.GetJob(pb.GetJobRequest(id=job.id)))
    assert (status, code_of(details)) == (grpc.StatusCode.UNAVAILABLE, "STORAGE_AWAY")
    assert details["RetryInfo"].retry_delay.ToMilliseconds() > 0
    await nothing_comes(coming)
    mend_database(tmp_path)
    async with doing_jobs(core):
        assert (await coming).number == 1
        watch.cancel()


async def test_a_watch_ends_when_the_service_goes_down(stub: Any, core: Core) -> None:
    job = await stub.SubmitJob(submission())
    watch = stub.WatchJob(pb.WatchJobRequest(id=job.id))
    coming = asyncio.ensure_future(watch.read())
    await nothing_comes(coming)
    core.drain()
    for call in (coming, stub.SubmitJob(submission())):
        status, details = await refusal(call)
        assert (status, code_of(details)) == (grpc.StatusCode.UNAVAILABLE, "ENGINE_AWAY")
        assert details["RetryInfo"].retry_delay.seconds > 0


# ── ending ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_job_that_nobody_has_begun_is_cancelled_at_once(stub: Any) -> None:
    job = await stub.SubmitJob(submission())
    cancelled = await stub.CancelJob(pb.CancelJobRequest(id=job.id))
    assert cancelled.state == pb.JOB_STATE_CANCELLED
    assert cancelled.problem.code == "JOB_CANCELLED"
    [event] = await read(stub.WatchJob(pb.WatchJobRequest(id=job.id)))
    assert event.problem == cancelled.problem
    assert await stub.CancelJob(pb.CancelJobRequest(id=job.id)) == cancelled


async def test_a_cancelled_job_keeps_what_it_has_and_says_which_images_have_no_answer(
    stub: Any, talkative: None, doing: None
) -> None:
    """One image is done, one has begun, which has something to show, and one has not."""
    job = await stub.SubmitJob(submission(attack(PNG, OTHER, PNG, model="slow", steps=150)))
    cancelled = None
    async for event in stub.WatchJob(pb.WatchJobRequest(id=job.id)):
        if cancelled is None and event.progress.done == 1 and event.progress.image == 1:
            assert not (await stub.GetJob(pb.GetJobRequest(id=job.id))).HasField("partial_result")
            cancelled = await stub.CancelJob(pb.CancelJobRequest(id=job.id))
            assert cancelled.cancel_requested
        last = event
    job = await over(stub, job)

    assert job.state == pb.JOB_STATE_CANCELLED
    assert not (job.HasField("result") or job.HasField("problem"))
    partial = job.partial_result
    assert list(partial.unanswered) == [2]
    first, second, third = partial.attack.results
    assert (first.partial, second.partial) == (False, True)
    assert first.queries >= 150 > second.queries
    assert third == pb.AttackResult()
    assert (last.result, last.state) == (partial, pb.JOB_STATE_CANCELLED)


async def test_a_job_is_forgotten_when_it_is_over_and_not_before(stub: Any) -> None:
    job = await stub.SubmitJob(submission())
    status, details = await refusal(stub.DeleteJob(pb.DeleteJobRequest(id=job.id)))
    assert (status, code_of(details)) == (grpc.StatusCode.ALREADY_EXISTS, "CONFLICT")
    await stub.CancelJob(pb.CancelJobRequest(id=job.id))
    assert await stub.DeleteJob(pb.DeleteJobRequest(id=job.id)) == pb.DeleteJobResponse()
    assert code_of((await refusal(stub.GetJob(pb.GetJobRequest(id=job.id))))[1]) == "NOT_FOUND"
    assert not (await stub.ListJobs(pb.ListJobsRequest())).jobs


async def test_a_job_whose_time_is_over_says_so(stub: Any, core: Core, doing: None) -> None:
    job = await over(stub, await stub.SubmitJob(submission(attack(LARGE))))
    sha256 = job.result.artifacts["results.0.exact.image"].sha256
    later = time.time() + core.settings.retention_s + 1
    core.storage.jobs.expire(later)
    core.storage.artifacts.sweep(later)
    for name in ("GetJob", "CancelJob", "WatchJob"):
        said = getattr(pb, f"{name}Request")(id=job.id)
        status, details = await refusal(first_of(stub, name, said, None))
        assert (status, code_of(details)) == (grpc.StatusCode.NOT_FOUND, "EXPIRED")
    assert code_of((await refusal(stub.GetArtifact(pb.GetArtifactRequest(sha256=sha256)).read()))[1]) == "NOT_FOUND"


# ── datasets ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_dataset_is_uploaded_in_parts_listed_and_forgotten(stub: Any, core: Core) -> None:
    added = await stub.CreateDataset(chunks(PETS))
    assert (added.name, added.kind, added.images, added.bytes) == ("pets", "zip", 3, len(PETS))
    assert [(one.name, one.images) for one in added.classes] == [("0", 1), ("1", 2)]
    assert added.expires_at.seconds - added.created_at.seconds == core.settings.dataset_s
    assert await stub.GetDataset(pb.GetDatasetRequest(id=added.id)) == added
    wanted = await core.storage.datasets.get(added.id, None)
    assert {field.name for field in pb.Dataset.DESCRIPTOR.fields} == {*wanted, "problem"}

    [configured, uploaded] = (await stub.ListDatasets(pb.ListDatasetsRequest())).datasets
    assert (configured.id, configured.kind, configured.configured, configured.images) == ("pets", "folder", True, 1)
    assert not (configured.HasField("created_at") or configured.bytes)
    assert uploaded == added

    assert await stub.DeleteDataset(pb.DeleteDatasetRequest(id=added.id)) == pb.DeleteDatasetResponse()
    assert code_of((await refusal(stub.GetDataset(pb.GetDatasetRequest(id=added.id))))[1]) == "NOT_FOUND"
    assert core.bytes_held == 0


async def test_datasets_are_listed_a_page_at_a_time(stub: Any) -> None:
    names = ["", "b", "c"]
    for name in names:
        await stub.CreateDataset(chunks(PETS, name=name))
    first = await stub.ListDatasets(pb.ListDatasetsRequest(page_size=2))
    second = await stub.ListDatasets(pb.ListDatasetsRequest(page_size=2, page_token=first.next_page_token))
    assert [one.name for one in (*first.datasets, *second.datasets)] == ["pets", "c", "b", "dataset"]
    assert second.next_page_token == ""


async def test_a_configured_dataset_that_cannot_be_used_says_why(stub: Any, settings: Settings) -> None:
    for path in (settings.datasets["pets"] / "cat").iterdir():
        path.unlink()
    [configured] = (await stub.ListDatasets(pb.ListDatasetsRequest())).datasets
    assert configured.problem.code == "NOT_A_DATASET"
    assert configured.problem.detail


UPLOADS: dict[str, tuple[list[pb.DatasetChunk], str, str | None]] = {
    "nothing at all": ([], "NOT_A_DATASET", None),
    "no bytes": ([pb.DatasetChunk(name="pets")], "NOT_A_DATASET", None),
    "half of it": ([pb.DatasetChunk(data=PETS[: len(PETS) // 2])], "NOT_A_DATASET", None),
    "a broken image": ([pb.DatasetChunk(data=plain_zip({"0/a.png": PNG.file[:-30]}))], "NOT_A_DATASET", None),
    "more bytes than are taken": ([pb.DatasetChunk(data=bytes(60_000))] * 40, "TOO_LARGE", None),
    "a name that comes late": (
        [pb.DatasetChunk(data=PETS), pb.DatasetChunk(name="pets")], "BAD_PARAMETER", "/name"
    ),
    "two names": ([pb.DatasetChunk(name="pets"), pb.DatasetChunk(name="dogs")], "BAD_PARAMETER", "/name"),
    "a name that nobody can read": ([pb.DatasetChunk(name="\x1b[2J", data=PETS)], "BAD_PARAMETER", "/name"),
}  # fmt: skip


@pytest.mark.parametrize(("parts", "code", "field"), UPLOADS.values(), ids=UPLOADS)
async def test_an_upload_that_is_none_is_refused_whole(
    stub: Any, core: Core, parts: list[pb.DatasetChunk], code: str, field: str | None
) -> None:
    status, details = await refusal(stub.CreateDataset(iter(parts)))
    assert (status.name, code_of(details)) == (CODES[code].grpc_status, code)
    assert field is None or fields_of(details) == [field]
    assert [one.configured for one in (await stub.ListDatasets(pb.ListDatasetsRequest())).datasets] == [True]
    assert core.bytes_held == 0


async def test_an_upload_over_the_limit_is_not_waited_for(stub: Any, core: Core) -> None:
    upload = stub.CreateDataset()
    for _ in range(2):
        await upload.write(pb.DatasetChunk(data=bytes(60_000)))
    _, details = await refusal(upload)
    assert code_of(details) == "TOO_LARGE"
    assert str(core.settings.dataset_bytes) in details["message"]


async def test_a_part_of_an_upload_that_is_far_too_large_is_refused(
    core: Core, settings: Settings, decoder: DecodePool, caplog: pytest.LogCaptureFixture
) -> None:
    small = Core(core.engine, settings.model_copy(update={"body_bytes": 2000}), decoder, core.storage)
    async with caller_of(small) as stub:
        status, _ = await refusal(stub.CreateDataset(iter([pb.DatasetChunk(data=bytes(2**21))])))
    assert status is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not [record for record in caplog.records if record.exc_info]


async def test_an_upload_that_does_not_go_on_is_not_waited_for(stub: Any) -> None:
    upload = stub.CreateDataset()
    await upload.write(pb.DatasetChunk(name="pets", data=PETS[:10]))
    status, details = await refusal(upload)
    assert (status, code_of(details)) == (grpc.StatusCode.INVALID_ARGUMENT, "UNREADABLE")
    assert "10 bytes" in details["message"]


async def test_a_caller_who_hangs_up_in_an_upload_leaves_nothing(stub: Any, core: Core) -> None:
    upload = stub.CreateDataset()
    await upload.write(pb.DatasetChunk(name="pets", data=PETS))
    await until(lambda: core.bytes_held)
    upload.cancel()
    await until(lambda: not core.under_way)
    assert core.bytes_held == 0
    assert len((await stub.ListDatasets(pb.ListDatasetsRequest())).datasets) == 1


# ── whose it is ─────────────────────────────────────────────────────────────────────────────────────────────────────

KEYS = b"""
the-operators-own-secret
ada the-secret-of-ada
bob the-secret-of-bob
eve explain the-secret-of-eve
sue query,metrics the-secret-of-sue
"""


def key(secret: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {secret}")]


ADA, BOB, ADMIN = key("the-secret-of-ada"), key("the-secret-of-bob"), key("the-operators-own-secret")
EXPLAINS, QUERIES = key("the-secret-of-eve"), key("the-secret-of-sue")


@pytest.fixture
async def guarded(core: Core) -> AsyncIterator[Any]:
    async with caller_of(core, Keyring(KEYS)) as stub:
        yield stub


def requests_about(job: str, dataset: str, sha256: str, perturbation: str, substitute: str) -> dict[str, Message]:
    """A call of each kind that names something."""
    return {
        "GetJob": pb.GetJobRequest(id=job),
        "WatchJob": pb.WatchJobRequest(id=job),
        "CancelJob": pb.CancelJobRequest(id=job),
        "GetArtifact": pb.GetArtifactRequest(sha256=sha256),
        "SubmitJob": submission(attack(dataset=dataset)),
        "Attack": attack(dataset=dataset),
        "GetDataset": pb.GetDatasetRequest(id=dataset),
        "DeleteDataset": pb.DeleteDatasetRequest(id=dataset),
        "GetPerturbation": pb.GetPerturbationRequest(id=perturbation),
        "DeletePerturbation": pb.DeletePerturbationRequest(id=perturbation),
        "GetSubstitute": pb.GetSubstituteRequest(id=substitute),
        "DeleteSubstitute": pb.DeleteSubstituteRequest(id=substitute),
        "DeleteJob": pb.DeleteJobRequest(id=job),
    }


def keep_perturbation(core: Core, owner: str, job: str) -> str:
    """The id of a perturbation that `owner` has, as if `job` had made it."""
    rate = {"value": 1.0, "low": 0.2, "high": 1.0, "count": 1, "of": 1}
    said = {"model": {"name": "small", "version": "1.0", "sha256": "0" * 64}, "method": "gradient", "norm": "linf"}
    v = np.zeros((3, 8, 8), np.float32)
    return core.storage.perturbations.keep(owner, v, job=job, **said, epsilon=0.1, given=rate, held_out=None)


def keep_substitute(core: Core, owner: str, job: str) -> str:
    """The id of a substitute that `owner` has, as if `job` had made it."""
    rate = {"value": 1.0, "low": 0.2, "high": 1.0, "count": 1, "of": 1}
    said = {"model": {"name": "small", "version": "1.0", "sha256": "0" * 64}, "architecture": "linear", "queries": 9}
    return core.storage.substitutes.keep(owner, b"an archive", job=job, **said, agreement=rate)


async def first_of(stub: Any, name: str, said: Any, metadata: Any) -> Any:
    """The response to a call, or the first where it streams."""
    call = getattr(stub, name)(said, metadata=metadata)
    return await (call.read() if isinstance(call, grpc.aio.UnaryStreamCall) else call)


async def test_what_is_another_s_is_not_there(guarded: Any, core: Core, doing: None) -> None:
    stub = guarded
    dataset = (await stub.CreateDataset(chunks(PETS), metadata=ADA)).id
    job = (await stub.SubmitJob(submission(attack(LARGE)), metadata=ADA)).id
    events = await read(stub.WatchJob(pb.WatchJobRequest(id=job), metadata=ADA))
    sha256 = events[-1].result.artifacts["results.0.exact.image"].sha256

    perturbation = keep_perturbation(core, "ada", job)
    theirs = job, dataset, sha256, perturbation, keep_substitute(core, "ada", job)
    nobodys = "job_0", "ds_" + "0" * 20, "0" * 64, "pert_" + "0" * 20, "subs_" + "0" * 20
    never = requests_about(*nobodys)
    for name, said in requests_about(*theirs).items():
        status, details = await refusal(first_of(stub, name, said, BOB))
        assert (status, code_of(details)) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND"), name
        words = details["message"]
        for one, other in zip(theirs, nobodys, strict=True):
            words = words.replace(one, other)
        assert words == (await refusal(first_of(stub, name, never[name], BOB)))[1]["message"]
    assert not (await stub.ListJobs(pb.ListJobsRequest(), metadata=BOB)).jobs
    assert [one.id for one in (await stub.ListDatasets(pb.ListDatasetsRequest(), metadata=BOB)).datasets] == ["pets"]
    assert not (await stub.ListPerturbations(pb.ListPerturbationsRequest(), metadata=BOB)).perturbations
    assert not (await stub.ListSubstitutes(pb.ListSubstitutesRequest(), metadata=BOB)).substitutes

    for who in (ADA, ADMIN):
        assert [one.id for one in (await stub.ListJobs(pb.ListJobsRequest(), metadata=who)).jobs] == [job]
        assert len((await stub.ListDatasets(pb.ListDatasetsRequest(), metadata=who)).datasets) == 2
        listed = await stub.ListPerturbations(pb.ListPerturbationsRequest(), metadata=who)
        assert [one.id for one in listed.perturbations] == [perturbation]
    for name, said in requests_about(*theirs).items():
        assert await first_of(stub, name, said, ADMIN) is not None, name


async def test_the_same_idempotency_key_of_two_callers_is_two(guarded: Any) -> None:
    said = submission(idempotency_key="once")
    first, second = [(await guarded.SubmitJob(said, metadata=who)).id for who in (ADA, BOB)]
    assert first != second


async def test_a_key_does_what_its_scopes_allow(guarded: Any, core: Core) -> None:
    asked = {
        **requests_about("job_0", "ds_0", "0" * 64, "pert_0", "subs_0"),
        "ListSubstitutes": pb.ListSubstitutesRequest(),
        "ListJobs": pb.ListJobsRequest(),
        "ListPerturbations": pb.ListPerturbationsRequest(),
        "ListDatasets": pb.ListDatasetsRequest(),
        "CreateDataset": chunks(PETS),
    }
    assert set(asked) == {*grpc_storage.CALLS, "SubmitJob", "Attack"}
    attempts = {name: first_of(guarded, name, said, QUERIES) for name, said in asked.items()}
    query = {"model": "small", "dataset": "pets"}
    attempts["a dataset of a call"] = first_of(guarded, "Classify", pb.ClassifyRequest(**query), QUERIES)
    queries = pb.SubmitJobRequest(classify=pb.ClassifyRequest(model="small", images=[PNG]))
    attempts["a job of what it may ask"] = first_of(guarded, "SubmitJob", queries, QUERIES)
    attempts["an attack without its scope"] = first_of(guarded, "SubmitJob", submission(), EXPLAINS)
    for name, attempt in attempts.items():
        status, details = await refusal(attempt)
        assert (status, code_of(details)) == (grpc.StatusCode.PERMISSION_DENIED, "FORBIDDEN"), name
    explanation = pb.SubmitJobRequest(saliency=pb.SaliencyRequest(model="small", images=[PNG]))
    assert (await guarded.SubmitJob(explanation, metadata=EXPLAINS)).id
    assert code_of((await refusal(guarded.GetJob(pb.GetJobRequest(id="job_0"))))[1]) == "UNAUTHENTICATED"


# ── what is counted ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_calls_about_what_is_kept_are_counted_by_what_they_are_about(stub: Any, core: Core) -> None:
    job = await stub.SubmitJob(submission())
    await stub.GetJob(pb.GetJobRequest(id=job.id))
    await stub.ListDatasets(pb.ListDatasetsRequest())
    await stub.ListPerturbations(pb.ListPerturbationsRequest())
    await stub.ListSubstitutes(pb.ListSubstitutesRequest())
    await refusal(stub.GetArtifact(pb.GetArtifactRequest(sha256="0" * 64)).read())
    await refusal(stub.SubmitJob(pb.SubmitJobRequest()))
    counted = {
        tuple(sample.labels[name] for name in ("operation", "method", "model", "code"))
        for metric in core.metrics.registry.collect()
        for sample in metric.samples
        if sample.name == "rakinglight_requests_total"
    }
    assert counted == {
        ("attack", "pgd", "small", "OK"),
        ("jobs", "", "", "OK"),
        ("jobs", "", "", "BAD_PARAMETER"),
        ("datasets", "", "", "OK"),
        ("perturbations", "", "", "OK"),
        ("substitutes", "", "", "OK"),
        ("artifacts", "", "", "NOT_FOUND"),
    }
    assert {operation for operation, *_ in counted} == {*KEPT, "attack"}


async def test_without_a_database_the_rest_goes_on(core: Core, settings: Settings, decoder: DecodePool) -> None:
    async with caller_of(Core(core.engine, settings, decoder)) as stub:
        for call in (stub.ListJobs(pb.ListJobsRequest()), stub.SubmitJob(submission())):
            status, details = await refusal(call)
            assert (status, code_of(details)) == (grpc.StatusCode.UNAVAILABLE, "STORAGE_AWAY")
        assert (await stub.Attack(attack(PNG))).results
