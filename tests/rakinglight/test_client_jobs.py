"""Jobs and datasets of a real service: submitted, found again, followed through cut connections, in both clients."""

import asyncio
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image

import rakinglight
from rakinglight import flows
from rakinglight.client import Client, Model
from rakinglight.errors import BadParameter, Conflict, InternalError, JobCancelled, NotADataset, NotAnImage, NotFound
from rakinglight.flows import Address
from rakinglight.in_process import InProcess
from rakinglight.jobs import ServiceJob
from rakinglight.over_http import HttpTransport
from rakinglight.packing import zipped
from rakinglight.results import Attack, Progress
from tests.networks import network_of
from tests.rakinglight.house import KEY, House, until

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
LARGE = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("home"), inline_bytes=1024)
    yield house
    house.close()


@pytest.fixture
def client(house: House) -> Iterator[Client]:
    with rakinglight.connect(house.url, KEY) as client:
        yield client


@pytest.fixture
def model(client: Client) -> Model:
    return client.model("small")


@pytest.fixture
def talkative(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job tells how far it is as often as it can."""
    monkeypatch.setattr("service.jobs.runner.KEEP_S", 0.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images of two classes."""
    for i, name in enumerate(("0/a.png", "0/b.png", "3/c.png")):
        path = tmp_path / "digits" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.roll(PIXELS, i, 0)).save(path)
    return tmp_path / "digits"


def long(model: Model, images: Any = PIXELS) -> Any:
    """A job that goes on until it is cancelled, or for a while."""
    return model.attack.submit(images, "pgd", steps=1000)


# ── results ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_job_finds_what_a_call_finds(model: Model) -> None:
    job = model.attack.submit(PIXELS, "pgd", steps=5, random_start=True, seed=3)
    found, expected = job.result(timeout=20), model.attack(PIXELS, "pgd", steps=5, random_start=True, seed=3)
    assert isinstance(found, Attack)
    np.testing.assert_array_equal(found.exact, expected.exact)
    assert job.state == "succeeded"
    assert repr(job) == f"<ServiceJob {job.id}: succeeded>"


def test_a_list_in_is_a_list_out(model: Model) -> None:
    first, second = model.classify.submit([PIXELS, LARGE]).result(timeout=20)
    assert first.predictions == model.classify(PIXELS).predictions
    assert second.predictions == model.classify(LARGE).predictions


def test_what_is_refused_is_refused_at_once(model: Model) -> None:
    with pytest.raises(BadParameter, match="steps"):
        model.attack.submit(PIXELS, "pgd", steps=0)
    with pytest.raises(NotAnImage):
        model.attack.submit(b"GIF89a, it says", "pgd")


def test_a_job_is_found_again_by_its_id(client: Client, model: Model) -> None:
    job = model.saliency.submit(PIXELS)
    job.result(timeout=20)
    again = client.job(job.id)
    assert again.state == "succeeded"
    assert again.members["operation"] == "saliency"
    (answer,) = again.result()
    np.testing.assert_array_equal(answer.map, model.saliency(PIXELS).map)


def test_all_pages_of_jobs(client: Client, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [model.classify.submit(PIXELS) for _ in range(5)]
    for job in made:
        job.result(timeout=20)
    monkeypatch.setattr(flows, "PAGE_SIZE", 2)
    listed = [job.id for job in client.jobs("succeeded")]
    assert listed[:5] == [job.id for job in reversed(made)]
    assert len(set(listed)) == len(listed)
    assert not list(client.jobs("queued"))


def test_a_failed_job_raises_what_the_service_raised(model: Model, house: House) -> None:
    house.engine.refusal = BadParameter.at("/images/0", "This image is not to its taste.")
    try:
        job = model.classify.submit(PIXELS)
        with pytest.raises(BadParameter, match="not to its taste") as caught:
            job.result(timeout=20)
    finally:
        house.engine.refusal = None
    assert caught.value.errors[0].pointer == "/images/0"
    assert job.state == "failed"
    assert job.partial_result() is None
    with pytest.raises(BadParameter, match="not to its taste"):
        list(job.events())


def test_what_is_large_is_fetched_unless_it_is_not_wanted(model: Model) -> None:
    job = model.attack.submit(LARGE, "fgsm")
    answer, expected = job.result(timeout=20), model.attack(LARGE, "fgsm")
    np.testing.assert_array_equal(answer.exact, expected.exact)
    assert answer.adversarial.tobytes() == expected.adversarial.tobytes()
    bare = job.result(fetch=False)
    with pytest.raises(AttributeError, match=r"'exact' was not fetched: its .* bytes are at /api/v1/artifacts/"):
        _ = bare.exact
    with pytest.raises(AttributeError, match="'adversarial' was not fetched"):
        _ = bare.adversarial
    assert bare.after == answer.after


def test_what_was_damaged_under_way_is_no_result() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if "artifacts" in request.url.path:
            return httpx2.Response(200, content=b"something else", headers={"Content-Type": "image/png"})
        reference = {"href": f"/api/v1/artifacts/{'a' * 64}", "sha256": "a" * 64, "bytes": 3}
        entry = {"predictions": [], "overlay": reference}
        return httpx2.Response(200, json={"operation": "classify", "model": {"name": "small"}, "results": [entry]})

    client = Client(HttpTransport(Address.of("http://service"), httpx2.MockTransport(answer)))
    with pytest.raises(InternalError, match=r"should have the SHA-256 a{64}"):
        client.model("small").classify(PIXELS)


# ── ends ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_who_waits_in_vain_is_told_and_the_job_goes_on(model: Model) -> None:
    job = long(model)
    with pytest.raises(TimeoutError, match=r"after 0\.1 s, and goes on"):
        job.result(timeout=0.1)
    assert job.refresh().state in ("queued", "running")
    job.cancel()
    with pytest.raises(JobCancelled):
        job.result(timeout=20)


def test_a_cancelled_job_keeps_what_it_has_found(model: Model) -> None:
    job = long(model, [PIXELS, PIXELS, PIXELS])
    until(lambda: (p := job.refresh().progress) is not None and p.done == 1, 60)
    with pytest.raises(Conflict, match="cancel it first"):
        job.delete()
    job.cancel()
    with pytest.raises(JobCancelled):
        job.result(timeout=20)
    assert job.state == "cancelled"
    first, _, last = job.partial_result()
    assert isinstance(first, Attack)
    assert not first.partial
    assert last is None


def test_who_waits_for_a_cancelled_job_is_told_which(model: Model) -> None:
    job = long(model)
    job.cancel()
    with pytest.raises(JobCancelled, match=job.id):
        job.result(timeout=20)
    with pytest.raises(JobCancelled, match=job.id):
        list(job.events())


def test_a_state_that_there_is_not_is_refused_at_once(client: Client) -> None:
    with pytest.raises(BadParameter, match="did you mean 'running'"):
        client.jobs("runing")  # type: ignore[arg-type]


def test_a_removed_job_is_gone(client: Client, model: Model) -> None:
    job = model.classify.submit(PIXELS)
    job.result(timeout=20)
    job.delete()
    with pytest.raises(NotFound, match=job.id):
        client.job(job.id)


# ── events ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def assert_whole(news: list[Any], after: int = 0) -> None:
    """Every event behind number `after` once, in order, and the answer as the last."""
    *progress, answer = news
    assert len(progress) > 5  # of 1,000 steps, as many as the machine has the time to tell of
    assert [one.number for one in progress] == list(range(after + 1, after + 1 + len(progress)))
    assert all(isinstance(one, Progress) for one in progress)
    assert isinstance(answer, list)


@pytest.fixture
def told(talkative: None, model: Model) -> ServiceJob[Any]:
    """A job that is over, of many events."""
    job = long(model, [PIXELS])
    job.result(timeout=60)
    assert isinstance(job, ServiceJob)
    return job


def test_events_come_once_and_in_order(talkative: None, model: Model) -> None:
    job = long(model, [PIXELS])
    news = list(job.events())
    assert_whole(news)
    assert job.state == "succeeded"
    assert_whole(list(job.events(after=5)), after=5)


def test_a_cut_connection_misses_and_repeats_nothing(told: ServiceJob[Any], house: House) -> None:
    cuts = [int(n) for n in np.random.default_rng(2).integers(0, 1500, 10)]
    with rakinglight.connect(house.way(cuts), KEY) as client:
        assert_whole(list(client.job(told.id).events()))
    assert not cuts


async def test_nor_does_it_with_asyncio(told: ServiceJob[Any], house: House) -> None:
    cuts = [int(n) for n in np.random.default_rng(3).integers(0, 1500, 10)]
    async with rakinglight.connect_async(house.way(cuts), KEY) as client:
        assert_whole([news async for news in (await client.job(told.id)).events()])
    assert not cuts


def test_who_follows_a_job_sees_it_through_a_restart_of_the_service(
    talkative: None, model: Model, house: House
) -> None:
    job = long(model, [PIXELS, PIXELS])
    news = []
    for one in job.events():
        news.append(one)
        if len(news) == 3:
            house.shut()
            house.open()
    assert_whole(news)


def test_who_waits_for_a_result_does_too(model: Model, house: House) -> None:
    job = long(model)
    house.shut()
    house.open()
    assert job.result(timeout=60).reply["parameters"]["steps"] == 1000


def test_a_service_that_stays_away_is_not_waited_for_for_ever(
    model: Model, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flows, "PATIENCE_S", 0.3)
    job = model.classify.submit(PIXELS)
    house.shut()
    try:
        with pytest.raises(rakinglight.call.ServiceAway):
            job.result(timeout=60)
        with pytest.raises(rakinglight.call.ServiceAway):
            list(job.events())
    finally:
        house.open()


def test_a_lost_answer_submits_nothing_twice(client: Client, house: House) -> None:
    before = {job.id for job in client.jobs()}
    with rakinglight.connect(house.way([0, 0], where=b"respond-async"), KEY) as losing:
        job = losing.model("small").classify.submit(PIXELS)
    assert {job.id for job in client.jobs()} - before == {job.id}


# ── datasets ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_folder_becomes_a_dataset_and_is_asked_about(client: Client, model: Model, folder: Path) -> None:
    added = client.upload_dataset(folder)
    assert (added["name"], added["images"]) == ("digits", 3)
    assert client.dataset(added["id"]) == added
    assert added in list(client.datasets())
    answers = model.classify(dataset=added["id"])
    assert [answer.predictions for answer in answers] == [
        model.classify(path).predictions for path in sorted(folder.rglob("*.png"))
    ]
    attacked = model.attack.submit(dataset=added["id"], method="fgsm").result(timeout=20)
    assert [answer.reply["parameters"]["label"] for answer in attacked] == [[0, 0, 3]] * 3
    client.delete_dataset(added["id"])
    with pytest.raises(NotFound):
        model.classify(dataset=added["id"])


def test_a_file_becomes_one_too(client: Client, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "Some digits.zip"
    path.write_bytes(zipped(folder))
    assert client.upload_dataset(path)["name"] == "Some digits"
    assert client.upload_dataset(path, "pets")["name"] == "pets"


def test_a_folder_gives_the_same_bytes_whenever_it_is_packed(folder: Path) -> None:
    packed = zipped(folder)
    (folder / "0" / "a.png").touch()
    assert zipped(folder) == packed
    with zipfile.ZipFile(BytesIO(packed)) as archive:
        assert archive.namelist() == ["0/", "0/a.png", "0/b.png", "3/", "3/c.png"]
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}


def test_a_dataset_that_is_none_is_refused(client: Client, folder: Path) -> None:
    (folder / "3" / "c.png").write_text("no picture")
    with pytest.raises(NotADataset, match=r"c\.png"):
        client.upload_dataset(folder)


# ── the same with await ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_async_client_does_the_same(house: House, folder: Path) -> None:
    async with rakinglight.connect_async(house.url, KEY) as client:
        model = client.model("small")
        job = await model.attack.submit(LARGE, "pgd", steps=3)
        *_, last = [news async for news in job.events()]
        assert last.success == (await job.result(timeout=20)).success
        assert (await (await client.job(job.id)).refresh()).state == "succeeded"
        assert job.id in [found.id async for found in client.jobs()]
        added = await client.upload_dataset(folder)
        assert await client.dataset(added["id"]) in [one async for one in client.datasets()]
        assert len(await model.classify(dataset=added["id"])) == 3
        await client.delete_dataset(added["id"])
        await job.delete()
        with pytest.raises(NotFound):
            await job.refresh()


async def test_an_async_job_can_be_cancelled(house: House) -> None:
    async with rakinglight.connect_async(house.url, KEY) as client:
        job = await client.model("small").attack.submit([PIXELS] * 3, "pgd", steps=1000)
        with pytest.raises(TimeoutError):
            await job.result(timeout=0.1)
        await job.cancel()
        with pytest.raises(JobCancelled):
            await asyncio.wait_for(job.result(), 20)
        found = await job.partial_result()
        assert found is None or found[-1] is None


# ── with no service ─────────────────────────────────────────────────────────────────────────────────────────────────


class Here(InProcess):
    """This process, with one small network."""

    def read_card(self, name: str) -> Any:
        return self.network.card

    def load_network(self, card: Any) -> Any:
        return self.network

    def __init__(self) -> None:
        from torch import nn

        super().__init__()
        self.network = network_of("small", nn.Sequential(nn.Flatten(), nn.Linear(192, 5)), (3, 8, 8))


@pytest.fixture
def here() -> Iterator[Client]:
    with Client(Here()) as client:
        yield client


def test_a_local_job_has_the_same_interface(here: Client) -> None:
    job = here.model("small").attack.submit(PIXELS, "pgd", steps=50)
    *progress, answer = job.events()
    assert [one.number for one in progress if isinstance(one, Progress)] == list(range(1, len(progress) + 1))
    assert answer is job.result(timeout=5) is job.partial_result()
    assert job.refresh().state == "succeeded"
    assert list(job.events(after=len(progress))) == [answer]
    job.delete()


def test_a_local_job_can_be_cancelled(here: Client) -> None:
    job = here.model("small").attack.submit(PIXELS, "pgd", steps=1000)
    with pytest.raises(TimeoutError):
        job.result(timeout=0)
    job.cancel()
    with pytest.raises(JobCancelled, match=job.id):
        job.result(timeout=5)
    assert job.state == "cancelled"
    assert job.partial_result() is None


def test_a_local_job_that_failed_says_why(here: Client) -> None:
    job = here.model("small").attack.submit(PIXELS, "pgd", steps=0)
    with pytest.raises(BadParameter, match="steps"):
        job.result(timeout=20)
    assert job.state == "failed"


def test_what_only_a_service_keeps(here: Client) -> None:
    for asking in (lambda: here.job("job_1"), here.jobs, here.datasets, lambda: here.dataset("ds_1")):
        with pytest.raises(NotFound, match=r"Only a service keeps jobs .*rakinglight\.connect"):
            asking()
    with pytest.raises(BadParameter, match="kept by a service"):
        here.model("small").classify(dataset="ds_1")
