"""The client, over real HTTP to a real gateway with a small network; and what it does when that goes wrong."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image

import rakinglight
from rakinglight import call, flows, pictures
from rakinglight.call import Call, ServiceAway
from rakinglight.client import Client, Model
from rakinglight.errors import (
    BadParameter,
    BudgetSpent,
    NotAnImage,
    NotFound,
    Overloaded,
    RakinglightError,
    RateLimited,
    Unauthenticated,
)
from rakinglight.flows import Address
from rakinglight.over_http import HttpTransport
from rakinglight.results import Attack, Progress
from tests.rakinglight.house import KEY, House, until

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("home"))
    yield house
    house.close()


@pytest.fixture
def client(house: House) -> Iterator[Client]:
    with rakinglight.connect(house.url, KEY) as client:
        yield client


@pytest.fixture
def model(client: Client) -> Model:
    return client.model("small")


# ── what comes back ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_models_are_described(client: Client) -> None:
    (described,) = client.models()
    assert described["name"] == "small"
    assert client.model("small").describe()["labels"] == [f"class {i}" for i in range(5)]


def test_an_image_gives_one_answer_and_a_list_a_list(model: Model) -> None:
    one = model.classify(PIXELS, top_k=2)
    several = model.classify([PIXELS, PIXELS], top_k=2)
    assert [answer.predictions for answer in several] == [one.predictions] * 2
    assert len(one.predictions) == 2


def test_classify_gives_the_activations_of_named_layers(model: Model) -> None:
    assert model.classify(PIXELS, layers=["0"]).activations["0"].shape == (4, 6, 6)


def test_saliency_gives_arrays_and_pictures(model: Model) -> None:
    answer = model.saliency(PIXELS, "gradient", target="class 3")
    assert answer.target.label == "class 3"
    assert answer.map.shape == (8, 8)
    np.testing.assert_allclose(np.abs(answer.signed_map).max(0), answer.map)
    assert answer.overlay.width >= 384


def test_occlusion_gives_its_grid(model: Model) -> None:
    answer = model.occlusion(PIXELS, "sliding", window=4, stride=2)
    assert answer.grid.ndim == 2
    assert answer.map.shape == (8, 8)


def test_several_methods_have_their_maps_side_by_side(model: Model) -> None:
    answer = model.saliency(PIXELS, ["gradient", "grad_cam"], target="class 3")
    assert [one.method for one in answer.maps] == ["gradient", "grad_cam"]
    assert {one.target.label for one in answer.maps} == {"class 3"}
    np.testing.assert_array_equal(answer.maps[0].map, model.saliency(PIXELS, target="class 3").map)
    assert answer.overlay.width > 2 * 384


def test_several_classes_have_their_maps_side_by_side(model: Model) -> None:
    compare = [{"target": "class 1"}, {"method": "gradient", "target": 2, "parameters": {"score": "probability"}}]
    first, second = model.saliency([PIXELS, PIXELS], compare=compare)
    assert [one.target.index for one in first.maps] == [one.target.index for one in second.maps] == [1, 2]
    assert first.reply["compare"][1]["parameters"]["score"] == "probability"


def test_what_was_compared_can_be_posted_again(model: Model) -> None:
    first = model.saliency(PIXELS, ["gradient", "smoothgrad"], n_samples=3)
    again = model.saliency(PIXELS, compare=first.reply["compare"], seed=first.reply["seed"])
    for one, other in zip(first.maps, again.maps, strict=True):
        np.testing.assert_array_equal(one.map, other.map)


def test_an_attack_gives_the_picture_that_classify_judges_alike(model: Model) -> None:
    answer = model.attack(PIXELS, "pgd", epsilon="32/255", step_size="8/255", steps=6)
    assert answer.success
    assert model.classify(answer.adversarial_png).prediction.index == answer.after.index
    assert model.classify(answer.adversarial).prediction.index == answer.after.index
    assert answer.exact.dtype == np.float32
    assert answer.adversarial.info["method"] == "pgd"
    assert answer.amplification == 3
    assert answer.queries == answer.reply["cost"]["forward_rows"] + answer.reply["cost"]["gradient_rows"]


def test_what_include_leaves_out_is_not_there_and_says_so(model: Model) -> None:
    answer = model.saliency(PIXELS, include=["overlay"])
    assert not hasattr(answer, "map")
    with pytest.raises(AttributeError, match="`include` may have left it out"):
        _ = answer.map


def forms() -> dict[str, Any]:
    path = Path("picture.png")
    return {
        "path": path,
        "text": str(path),
        "bytes": pictures.to_png(Image.fromarray(PIXELS)),
        "picture": Image.fromarray(PIXELS),
        "pixels": PIXELS,
        "floats": PIXELS.transpose(2, 0, 1).astype(np.float32) / np.float32(255),
        "doubles": PIXELS.transpose(2, 0, 1).astype(np.float32) / 255.0,
    }


@pytest.mark.parametrize("form", forms())
def test_every_form_of_an_image_means_the_same(
    model: Model, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(PIXELS).save("picture.png")
    expected = model.classify(pictures.to_png(Image.fromarray(PIXELS)))
    assert model.classify(forms()[form]).predictions == expected.predictions


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_pictures_of_every_mode_are_taken(mode: str) -> None:
    assert pictures.from_png(call.encoded(Image.new(mode, (4, 4)))).size == (4, 4)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "array",
    [np.zeros((8, 8, 3)), np.zeros((8, 8), np.float32), np.zeros((3, 8, 8), np.int64), np.zeros((8, 8, 5), np.uint8)],
    ids=["floats, channels last", "grey floats", "integers", "five channels"],
)
def test_an_array_that_is_no_image_is_refused_here(array: np.ndarray[Any, Any]) -> None:
    with pytest.raises(BadParameter, match=r"uint8 \[H, W, C\]"):
        call.encoded(array)


def test_an_array_of_images_is_a_list() -> None:
    assert len(Call.of("classify", "small", np.stack([PIXELS] * 3)).images) == 3


# ── what goes wrong ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_errors_of_the_service_are_the_same_classes(model: Model) -> None:
    with pytest.raises(BadParameter, match=r"'epsilom' is no parameter .* did you mean 'epsilon'\?") as caught:
        model.attack(PIXELS, "fgsm", epsilom=1)
    assert caught.value.errors[0].pointer == "/parameters/epsilom"


def test_an_unknown_model(client: Client) -> None:
    with pytest.raises(NotFound, match="'small'"):
        client.model("smal").classify(PIXELS)


def test_bytes_that_are_no_image(model: Model) -> None:
    with pytest.raises(NotAnImage):
        model.classify(b"GIF89a, it says")


def test_without_the_key(house: House) -> None:
    with rakinglight.connect(house.url) as client, pytest.raises(Unauthenticated):
        client.models()


def test_nobody_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with rakinglight.connect(url) as client, pytest.raises(ServiceAway, match="`rakinglight serve`"):
            client.models()


@pytest.mark.parametrize("url", ["ftp://somewhere", "http://", "file:///etc/passwd"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(BadParameter, match=r"http://127\.0\.0\.1:8000"):
        rakinglight.connect(url)


class Service:
    """An edge that plays a script: a response, or an exception to raise, for each request."""

    def __init__(self, *script: httpx2.Response | Exception) -> None:
        self.script = list(script)
        self.requests: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        turn = self.script.pop(0)
        if isinstance(turn, Exception):
            raise turn
        return turn

    def client(self) -> Client:
        return Client(HttpTransport(Address.of("http://service", KEY), httpx2.MockTransport(self)))


def overloaded(retry_after: str) -> httpx2.Response:
    problem = Overloaded("256 runs wait; come back.").problem()
    return httpx2.Response(503, json=problem, headers={"Retry-After": retry_after})


def named() -> httpx2.Response:
    reply = {"operation": "classify", "model": {"name": "small"}, "results": [{"predictions": []}]}
    return httpx2.Response(200, json=reply)


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    seconds: list[float] = []
    monkeypatch.setattr("rakinglight.over_http.time.sleep", seconds.append)
    return seconds


def test_a_service_that_is_busy_is_asked_again_when_it_says(slept: list[float]) -> None:
    service = Service(overloaded("2"), overloaded("0"), named())
    service.client().model("small").classify(PIXELS)
    assert slept[0] == 2
    assert 0 < slept[1] < 1
    keys = {request.headers["Idempotency-Key"] for request in service.requests}
    assert len(keys) == 1, "all three are the same request"


def test_it_is_not_asked_for_ever(slept: list[float]) -> None:
    service = Service(*[overloaded("1")] * (flows.RETRIES + 1))
    with pytest.raises(Overloaded) as caught:
        service.client().model("small").classify(PIXELS)
    assert caught.value.retry_after_s == 1
    assert len(slept) == flows.RETRIES


def test_nobody_waits_for_an_hour(slept: list[float]) -> None:
    with pytest.raises(Overloaded):
        Service(overloaded("3600")).client().model("small").classify(PIXELS)
    assert not slept


def refused(error: RakinglightError) -> httpx2.Response:
    headers = {} if error.retry_after_s is None else {"Retry-After": f"{error.retry_after_s:g}"}
    return httpx2.Response(429, json=error.problem(), headers=headers)


def test_who_sends_too_much_at_once_waits_as_long_as_is_said(slept: list[float]) -> None:
    service = Service(refused(RateLimited("60 images a minute.", retry_after_s=41)), named())
    service.client().model("small").classify(PIXELS)
    assert slept == [41]
    assert len({request.headers["Idempotency-Key"] for request in service.requests}) == 1


@pytest.mark.parametrize("retry_after_s", [None, 1.0])
def test_a_spent_budget_stays_spent(slept: list[float], retry_after_s: float | None) -> None:
    service = Service(refused(BudgetSpent("10 images of 10.", retry_after_s=retry_after_s)))
    with pytest.raises(BudgetSpent, match="10 images"):
        service.client().model("small").classify(PIXELS)
    assert not slept


def test_classify_is_not_streamed_and_takes_json() -> None:
    service = Service(named())
    *progress, _ = service.client().model("small").classify.stream([PIXELS])
    assert not progress
    assert service.requests[0].headers["Accept"] == "application/x-npz, application/json;q=0.9"


def test_a_connection_that_was_dropped_is_tried_again(slept: list[float]) -> None:
    service = Service(httpx2.RemoteProtocolError("closed"), named())
    service.client().model("small").classify(PIXELS)
    assert len(service.requests) == 2


@pytest.mark.parametrize(
    "stranger",
    [httpx2.Response(200, html="<h1>It works!</h1>"), httpx2.Response(404, json={"error": "not found"})],
    ids=["a page", "another service"],
)
def test_another_service_at_the_address_is_told_from_this_one(stranger: httpx2.Response) -> None:
    with pytest.raises(ServiceAway, match="that is not this service"):
        Service(stranger).client().models()


def test_what_is_sent() -> None:
    service = Service(named())
    service.client().model("small").classify(PIXELS, top_k=3, seed=7, deadline_s=5)
    (request,) = service.requests
    assert request.url.path == "/api/v1/models/small/classify"
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.extensions["timeout"]["read"] == 5 + flows.MARGIN_S


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({"method": "gradient"}, {"method": "gradient"}),
        ({"method": ["gradient", "grad_cam"]}, {"method": ["gradient", "grad_cam"]}),
        ({"compare": [{"target": 3}]}, {"compare": [{"target": 3}]}),
    ],
    ids=["a method", "methods", "classes"],
)
def test_how_what_is_compared_is_sent(asked: dict[str, Any], sent: dict[str, Any]) -> None:
    body = Call.of("saliency", "small", PIXELS, **asked).body
    assert {name: body[name] for name in ("method", "compare") if name in body} == sent


def test_the_key_is_in_no_repr() -> None:
    address = Address.of("127.0.0.1:8000", KEY)
    assert KEY not in repr(address)
    assert repr(Client(HttpTransport(address)).model("small")) == "<Model small of http://127.0.0.1:8000>"


# ── long work ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_stream_tells_of_progress_and_ends_with_the_answer(model: Model) -> None:
    *progress, answer = model.attack.stream([PIXELS, PIXELS], "pgd", steps=20)
    assert {news.image for news in progress} == {0, 1}
    assert all(isinstance(news, Progress) and news.of == 20 for news in progress)
    assert all(isinstance(each, Attack) for each in answer)


def test_a_stream_gives_what_a_call_gives(model: Model) -> None:
    *_, streamed = model.saliency.stream(PIXELS)
    np.testing.assert_array_equal(streamed.map, model.saliency(PIXELS).map)


def test_leaving_the_loop_cancels_the_work(model: Model, house: House) -> None:
    cancelled = len(house.engine.cancelled)
    for _news in model.attack.stream(PIXELS, "pgd", steps=1000):
        break
    until(lambda: len(house.engine.cancelled) == cancelled + 1)


def test_a_problem_in_a_stream_is_raised(model: Model) -> None:
    with pytest.raises(BadParameter):
        list(model.stream("attack", PIXELS, "pgd", epsilon=-1))


# ── the same with await ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_async_client_gives_the_same(house: House, model: Model) -> None:
    async with rakinglight.connect_async(house.url, KEY) as client:
        other = client.model("small")
        assert (await client.models())[0]["name"] == "small"
        assert (await other.describe())["name"] == "small"
        answers = await asyncio.gather(other.classify(PIXELS), other.saliency(PIXELS), other.attack([PIXELS], "fgsm"))
        assert len((await other.saliency(PIXELS, ["gradient", "grad_cam"])).maps) == 2
        assert (await other.occlusion(PIXELS, window=4, stride=2)).grid.ndim == 2
        assert answers[0].predictions == (await asyncio.to_thread(model.classify, PIXELS)).predictions
        *progress, last = [news async for news in other.attack.stream(PIXELS, "pgd", steps=3)]
        assert progress
        assert isinstance(last, Attack)
        with pytest.raises(BadParameter):
            await other.attack(PIXELS, "fgsm", epsilon=2)


def test_the_two_clients_have_the_same_names() -> None:
    from rakinglight.client import Asking, AsyncAsking, AsyncClient, AsyncModel
    from rakinglight.jobs import AsyncJob, Job, KeptJob, LocalJob, ServiceJob

    def names(*kinds: type) -> set[str]:
        return {name for kind in kinds for name in vars(kind) if name[0] != "_"}

    for sync, other in [(Client, AsyncClient), (Model, AsyncModel), (Asking, AsyncAsking), (ServiceJob, AsyncJob)]:
        assert names(sync) == names(other)
    assert names(Job) == names(ServiceJob, KeptJob) == names(LocalJob) | {"id"}


def test_importing_the_client_loads_no_torch() -> None:
    script = "import sys, rakinglight.client, rakinglight.in_process, rakinglight.cli; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
