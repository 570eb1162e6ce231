"""Models elsewhere that an operator declared: asked by a child of their own, by name and in no other way."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from rakinglight import pictures
from rakinglight.errors import BadParameter
from rakinglight.network import Network
from service.core import Core
from service.decode import DecodePool
from service.engines import boarding
from service.engines.boarding import Limits
from service.engines.targets import WithTargets, target_files
from service.keys import Keyring
from service.rest import application
from service.settings import Settings
from tests.rakinglight.oracles.servers import LABELS, Reply, Server, probabilities_of, serving, shop
from tests.service.in_process import InProcessEngine, storage_in

DECLARED = """
name = "shop"
url = "{url}/v1/label"
classes = ["ash", "birch", "cedar", "date"]
tells = "probabilities"
patience_s = 0.5
canaries = 0.0
body = '{{"pictures": ${{images}}}}'
[headers]
X-Key = "${{SHOP_KEY}}"
[input]
shape = [1, 4, 4]
[answer]
scores = "results"
"""


def probabilities(z: Any) -> dict[str, float]:
    p = np.exp(z) / np.exp(z).sum()
    return dict(zip(LABELS, p.tolist(), strict=True))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(Server(shop(probabilities))) as server:
        yield server


@pytest.fixture
def target(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    server.asked.clear()
    server.images.clear()
    server.instead = []
    monkeypatch.setenv("SHOP_KEY", "open-sesame")
    monkeypatch.setenv("OTHER_KEY", "nobody's business")
    (tmp_path / "shop.toml").write_text(DECLARED.format(url=server.url))
    return tmp_path / "shop.toml"


@pytest.fixture
async def engine(target: Path, small_convolution: Network, tmp_path: Path) -> AsyncIterator[WithTargets]:
    engine = WithTargets(InProcessEngine([small_convolution]), [target], home=tmp_path, limits=Limits())
    await engine.start()
    yield engine
    await engine.stop()


@pytest.fixture
async def client(
    engine: WithTargets, decoder: DecodePool, settings: Settings, tmp_path: Path
) -> AsyncIterator[httpx2.AsyncClient]:
    storage = storage_in(tmp_path, settings, decoder)
    app = application(Core(engine, settings, decoder, storage), Keyring(None))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://localhost") as client:
        yield client
    storage.close()


def picture(seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (4, 4, 1), np.uint8)


def encoded(pixels: Any) -> str:
    return base64.b64encode(pictures.to_png(pictures.from_pixels(pixels))).decode()


async def classify(client: httpx2.AsyncClient, pixels: Any, **more: Any) -> httpx2.Response:
    return await client.post("/api/v1/models/shop/classify", json={"images": [encoded(pixels)], **more}, timeout=30)


async def test_a_target_is_a_model_that_is_asked_when_somebody_asks_it(
    client: httpx2.AsyncClient, engine: WithTargets, server: Server, tmp_path: Path
) -> None:
    described = (await client.get("/api/v1/models/shop")).json()
    assert (described["labels"], described["differentiable"]) == (list(LABELS), False)
    assert (await client.get("/readyz")).status_code == 200
    assert not server.asked

    said = (await classify(client, picture())).json()
    expected = probabilities_of(picture().transpose(2, 0, 1)[None] / np.float32(255))[0]
    (result,) = said["results"]
    assert result["prediction"]["index"] == expected.argmax()
    assert result["prediction"]["probability"] == pytest.approx(expected.max(), rel=1e-6)
    assert said["answered_by"]["forward"] == "classify at the target shop"
    assert len(server.images) == 1
    await classify(client, picture())
    assert len(server.images) == 1  # it is in the journal of the target
    assert [file.name for file in (tmp_path / "targets").glob("*.journal")] == ["shop-0.journal"]

    attacked = await client.post(
        "/api/v1/models/shop/attack",
        json={"images": [encoded(picture())], "method": "square", "parameters": {"epsilon": 0.3, "queries": 50}},
        timeout=30,
    )
    assert attacked.status_code == 200, attacked.text

    # The child that asks has the secret that its file names, and no other; and it outlives its end.
    child = engine.targets["shop"]
    assert child.pid is not None
    environment = await asyncio.to_thread(Path(f"/proc/{child.pid}/environ").read_bytes)
    assert b"open-sesame" in environment
    assert b"nobody's business" not in environment
    asked = len(server.images)
    os.kill(child.pid, 9)
    assert (await classify(client, picture())).status_code == 200
    assert len(server.images) == asked


@pytest.mark.parametrize(
    ("body", "status"),
    [({"url": "http://127.0.0.1:9"}, 422), ({"parameters": {"url": "http://127.0.0.1:9"}}, 422)],
    ids=["beside the images", "among the parameters"],
)
async def test_a_request_names_no_address(client: httpx2.AsyncClient, body: Any, status: int, server: Server) -> None:
    refused = await classify(client, picture(), **body)
    assert (refused.status_code, refused.json()["code"]) == (status, "BAD_PARAMETER")
    assert not server.asked


async def test_what_is_wrong_elsewhere_is_told_as_that(
    client: httpx2.AsyncClient, server: Server, engine: WithTargets
) -> None:
    server.instead = [Reply({"results": [{"oak": 1.0}]})]
    fault = await classify(client, picture(1))
    assert (fault.status_code, fault.json()["code"]) == (502, "ORACLE_FAULT")
    await asyncio.sleep(1.1)
    server.instead = [Reply({}, 503)] * 20
    away = await classify(client, picture(2))
    assert (away.status_code, away.json()["code"]) == (503, "ORACLE_AWAY")
    await asyncio.sleep(1.1)
    server.instead = [Reply({}, 302, {"Location": "http://elsewhere.example/"})]
    sent = await classify(client, picture(3))
    assert (sent.status_code, sent.json()["code"]) == (502, "ORACLE_FAULT")
    for told in (fault.text, away.text, sent.text):
        assert "shop" in told
        assert not any(word in told for word in ("open-sesame", server.url, "elsewhere.example"))


async def test_a_target_that_hangs_holds_nobody_else_up(
    client: httpx2.AsyncClient, server: Server, small_convolution: Network
) -> None:
    server.instead = [Reply({"results": [probabilities(np.zeros(4))]}, seconds=5.0)]
    hanging = asyncio.create_task(classify(client, picture(3)))
    while not server.posts:
        await asyncio.sleep(0.02)
    channels, height, width = small_convolution.card.input_shape
    own = encoded(np.zeros((height, width, channels), np.uint8))
    answer = await client.post(f"/api/v1/models/{small_convolution.card.name}/classify", json={"images": [own]})
    assert answer.status_code == 200
    assert not hanging.done()
    assert (await hanging).status_code == 200


async def test_a_target_that_hangs_is_waited_for_less_long_than_an_engine(
    client: httpx2.AsyncClient, engine: WithTargets, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    grace = engine.targets["shop"].boarding
    assert (grace.grace_s, boarding.GRACE_S) == (2.0, 12.0)
    monkeypatch.setattr(grace, "grace_s", 0.2)
    assert (await classify(client, picture())).status_code == 200  # the child is up
    server.instead = [Reply({"results": [probabilities(np.zeros(4))]}, seconds=2.0)]
    late = await classify(client, picture(4), deadline_s=0.2)
    assert late.status_code == 504, late.text  # in 12 s there would be an answer
    assert late.json()["code"] == "DEADLINE_EXCEEDED"


async def test_what_asks_for_more_than_scores_is_refused(client: httpx2.AsyncClient, server: Server) -> None:
    refused = await client.post("/api/v1/models/shop/saliency", json={"images": [encoded(picture())]})
    assert refused.status_code == 422
    assert not server.images


async def test_a_target_shares_no_run_with_another_model(
    target: Path, small_convolution: Network, tmp_path: Path
) -> None:
    from rakinglight.question import Question

    engine = WithTargets(InProcessEngine([small_convolution]), [target], home=tmp_path, limits=Limits())
    question = Question("attack", small_convolution.card.name, picture(), "transfer", {"models": ["shop"]})
    with pytest.raises(BadParameter, match="cannot share a run"):
        async for _ in engine.ask(question, request_id="test"):
            pass
    await engine.engine.stop()


def test_files_are_found_in_folders_and_others_are_refused(target: Path, tmp_path: Path) -> None:
    assert target_files([tmp_path]) == target_files([target]) == [target]
    with pytest.raises(ValueError, match="which is not there"):
        target_files([tmp_path / "none"])
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(ValueError, match=r"ends in \.toml"):
        target_files([tmp_path / "a.json"])


def test_a_target_that_is_not_declared_whole_is_refused_at_the_start(
    target: Path, tmp_path: Path, small_convolution: Network
) -> None:
    own = InProcessEngine([small_convolution])
    text = target.read_text()
    target.write_text(text.replace('tells = "probabilities"', ""))
    with pytest.raises(ValueError, match="declares name, classes, tells"):
        WithTargets(own, [target], home=tmp_path, limits=Limits())
    target.write_text(text.replace('"shop"', f'"{small_convolution.card.name}"'))
    with pytest.raises(ValueError, match="there is a model of that name"):
        WithTargets(own, [target], home=tmp_path, limits=Limits())
    own.worker.stop()


def test_targets_are_a_setting_by_commas() -> None:
    assert Settings(targets="a.toml, b").targets == (Path("a.toml"), Path("b"))  # type: ignore[arg-type]
