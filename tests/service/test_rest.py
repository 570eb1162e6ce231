"""The REST door: what is sent in which form, what comes back in which, and what is refused with which status."""

import base64
import io
import json
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image
from structlog.testing import capture_logs

from rakinglight import reply
from rakinglight.errors import EngineAway, Overloaded
from tests.service.conftest import House
from tests.service.pictures_at_hand import base64_of, bomb, noise, png, saved, tensor

PIXELS = noise()
PICTURE = png(PIXELS)
TEXT = base64_of(PICTURE)
CLASSIFY = "/api/v1/models/small/classify"
SALIENCY = "/api/v1/models/small/saliency"
ATTACK = "/api/v1/models/small/attack"


async def ask(house: House, path: str = CLASSIFY, accept: str | None = None, **body: Any) -> httpx2.Response:
    headers = {"Accept": accept} if accept else {}
    return await house.client.post(path, json={"images": [TEXT]} | body, headers=headers)


async def ask_by_form(house: House, path: str, **fields: Any) -> httpx2.Response:
    return await house.client.post(path, files={"image": ("photograph.png", PICTURE, "image/png")}, data=fields)


# ── asking ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_json_is_answered_with_json(house: House) -> None:
    answer = await ask(house, parameters={"top_k": 2})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    said = answer.json()
    assert list(said) == [
        "model", "operation", "method", "parameters", "seed", "results", "cost", "answered_by", "elapsed_ms",
        "request_id",
    ]  # fmt: skip
    assert said["parameters"] == {"top_k": 2, "layers": [], "defense": [], "detector": False}
    (result,) = said["results"]
    assert [set(p) for p in result["predictions"]] == [{"index", "label", "probability", "logit"}] * 2
    assert result["geometry"] == {"original": [20, 30], "resized": [8, 12], "crop": [0, 2, 8, 8]}


@pytest.mark.parametrize(
    ("path", "fields", "body"),
    [
        pytest.param(CLASSIFY, {"top_k": "2"}, {"parameters": {"top_k": 2}}, id="a number"),
        pytest.param(CLASSIFY, {"layers": "0"}, {"parameters": {"layers": ["0"]}}, id="a list of one"),
        pytest.param(SALIENCY, {"target": "3"}, {"parameters": {"target": 3}}, id="a class by index"),
        pytest.param(SALIENCY, {"target": "class 3"}, {"parameters": {"target": 3}}, id="a class by label"),
        pytest.param(
            SALIENCY, {"target": '{"rank": 2}'}, {"parameters": {"target": {"rank": 2}}}, id="a class by rank"
        ),
        pytest.param(
            ATTACK,
            {"method": "pgd", "epsilon": "2/255", "steps": "3", "random_start": "true", "seed": "7"},
            {"method": "pgd", "parameters": {"epsilon": "2/255", "steps": 3, "random_start": True}, "seed": 7},
            id="a method and its parameters",
        ),
        pytest.param(ATTACK, {"include": "adversarial"}, {"include": ["adversarial"]}, id="include"),
        pytest.param(ATTACK, {"include": ""}, {"include": []}, id="include nothing"),
        pytest.param(
            ATTACK,
            {"request": '{"method": "pgd", "parameters": {"steps": 2}}', "epsilon": "0.01"},
            {"method": "pgd", "parameters": {"steps": 2, "epsilon": 0.01}},
            id="a JSON part and a field",
        ),
    ],
)
async def test_a_form_says_the_same_as_json(
    house: House, path: str, fields: dict[str, str], body: dict[str, Any]
) -> None:
    by_form, by_json = await ask_by_form(house, path, **fields), await ask(house, path, **body)
    assert by_form.status_code == by_json.status_code == 200, by_form.text
    formed, said = by_form.json(), by_json.json()
    for answer in (formed, said):
        answer["parameters"].pop("target", None)  # a class may be said in several ways
    assert formed["parameters"] == said["parameters"]
    for result in (*formed["results"], *said["results"]):
        result.pop("adversarial", None)  # its text chunk holds the request id
    assert formed["results"] == said["results"]


async def test_a_form_may_hold_several_images_and_tensors_besides(house: House) -> None:
    x = np.random.default_rng(0).random((3, 8, 8), dtype=np.float32)
    parts = [("image", ("a.png", PICTURE)), ("image", ("b.png", png(noise(8, 8))))]
    rest = {"request": json.dumps({"images": [tensor(x)]})}
    answer = await house.client.post(CLASSIFY, files=parts, data=rest)
    assert [r["geometry"]["original"] for r in answer.json()["results"]] == [[20, 30], [8, 8], [8, 8]]


@pytest.mark.parametrize(
    "text",
    [TEXT, f"data:image/png;base64,{TEXT}", "\n".join(TEXT[i : i + 76] for i in range(0, len(TEXT), 76))],
    ids=["base64", "data URL", "wrapped lines"],
)
async def test_base64_may_come_as_tools_write_it(house: House, text: str) -> None:
    assert (await ask(house, images=[text])).status_code == 200


async def test_an_exact_tensor_and_the_png_of_its_pixels_are_the_same_image(house: House) -> None:
    pixels = noise(8, 8)
    exact = (pixels.transpose(2, 0, 1) / np.float32(255)).astype(np.float32)
    answer = await ask(house, images=[tensor(exact), base64_of(png(pixels))])
    first, second = answer.json()["results"]
    assert first["predictions"] == second["predictions"]


async def test_the_adversarial_png_posted_back_gives_after(house: House) -> None:
    attacked = (await ask(house, ATTACK, method="pgd", parameters={"epsilon": 0.3, "steps": 20})).json()["results"][0]
    again = (await ask(house, images=[attacked["adversarial"]])).json()["results"][0]
    assert again["prediction"] == attacked["after"]
    assert attacked["success"] == (again["prediction"]["index"] != attacked["before"]["index"])
    facts = Image.open(io.BytesIO(base64.b64decode(attacked["adversarial"]))).info
    assert facts["model"] == "small 1.0"
    assert facts["method"] == "pgd"


async def test_a_version_can_be_named(house: House) -> None:
    answer = await ask(house, "/api/v1/models/small/versions/1.0/classify")
    assert answer.json()["model"]["version"] == "1.0"
    assert (await ask(house, "/api/v1/models/small/versions/9/classify")).status_code == 404


# ── forms of the answer ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_png_is_the_picture_alone(house: House) -> None:
    answer = await ask(house, SALIENCY, accept="image/png")
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(answer.content)).format == "PNG"
    several = await ask(house, SALIENCY, accept="image/png", images=[TEXT, TEXT])
    wide, narrow = (Image.open(io.BytesIO(a.content)).width for a in (several, answer))
    assert wide > narrow


async def test_npz_holds_the_arrays(house: House) -> None:
    said = await ask(house, SALIENCY, accept="application/json")
    packed = await ask(house, SALIENCY, accept="application/x-npz")
    assert packed.headers["content-type"] == "application/x-npz"
    members = reply.from_npz(packed.content)
    expected = reply.from_json(said.json()["results"][0]["map"])
    np.testing.assert_array_equal(members["results"][0]["map"], expected)
    assert members["operation"] == "saliency"


@pytest.mark.parametrize(
    ("path", "accept", "body"),
    [
        pytest.param(CLASSIFY, "image/png", {}, id="a picture of what has none"),
        pytest.param(SALIENCY, "image/png", {"include": ["map"]}, id="a picture that is left out"),
        pytest.param(CLASSIFY, "text/html", {}, id="a page"),
    ],
)
async def test_a_form_that_there_is_not_is_refused_before_any_work(
    house: House, path: str, accept: str, body: dict[str, Any]
) -> None:
    answer = await ask(house, path, accept=accept, **body)
    assert (answer.status_code, answer.json()["code"]) == (406, "NOT_ACCEPTABLE")
    assert house.engine.asked == []


# ── what is refused ─────────────────────────────────────────────────────────────────────────────────────────────────

X = np.full((3, 8, 8), 0.5, np.float32)


def spoilt(value: float) -> dict[str, Any]:
    x = X.copy()
    x[0, 0, 0] = value
    return tensor(x)


BAD = [
    pytest.param(CLASSIFY, {"images": [base64_of(b"plain text")]}, 415, "NOT_AN_IMAGE", "/images/0", id="not an image"),
    pytest.param(CLASSIFY, {"images": [base64_of(PICTURE[:-50])]}, 415, "NOT_AN_IMAGE", "/images/0", id="cut PNG"),
    pytest.param(CLASSIFY, {"images": [base64_of(bomb())]}, 413, "TOO_LARGE", "/images/0", id="decompression bomb"),
    pytest.param(CLASSIFY, {"images": [base64_of(bomb(400, 400))]}, 413, "TOO_LARGE", "/images/0", id="many pixels"),
    pytest.param(CLASSIFY, {"images": [""]}, 415, "NOT_AN_IMAGE", "/images/0", id="zero bytes"),
    pytest.param(CLASSIFY, {"images": ["?!"]}, 422, "BAD_PARAMETER", "/images/0", id="not base64"),
    pytest.param(CLASSIFY, {"images": []}, 422, "BAD_PARAMETER", "/images", id="zero images"),
    pytest.param(CLASSIFY, {"images": [TEXT] * 4}, 413, "TOO_LARGE", "/images", id="too many images"),
    pytest.param(CLASSIFY, {"images": TEXT}, 422, "BAD_PARAMETER", "/images", id="an image that is no list"),
    pytest.param(CLASSIFY, {"images": [7]}, 422, "BAD_PARAMETER", "/images/0", id="a number for an image"),
    pytest.param(CLASSIFY, {"images": [tensor(X[:1])]}, 422, "BAD_PARAMETER", "/images/0", id="wrong tensor shape"),
    pytest.param(
        CLASSIFY, {"images": [tensor(X) | {"shape": [3, 8, 9]}]}, 422, "BAD_PARAMETER", "/images/0", id="unfit"
    ),
    pytest.param(
        CLASSIFY, {"images": [tensor(X) | {"shape": [2**30] * 9}]}, 422, "BAD_PARAMETER", "/images/0", id="vast"
    ),
    pytest.param(CLASSIFY, {"images": [tensor(X) | {"dtype": "O"}]}, 422, "BAD_PARAMETER", "/images/0", id="dtype"),
    pytest.param(CLASSIFY, {"images": [spoilt(np.nan)]}, 422, "BAD_PARAMETER", "/images/0", id="NaN in a tensor"),
    pytest.param(CLASSIFY, {"images": [spoilt(np.inf)]}, 422, "BAD_PARAMETER", "/images/0", id="infinity in a tensor"),
    pytest.param(CLASSIFY, {"images": [spoilt(1.01)]}, 422, "BAD_PARAMETER", "/images/0", id="above one"),
    pytest.param(CLASSIFY, {"images": [spoilt(-0.01)]}, 422, "BAD_PARAMETER", "/images/0", id="below zero"),
    pytest.param(ATTACK, {"method": "pdg"}, 422, "BAD_PARAMETER", "/method", id="unknown method"),
    pytest.param(ATTACK, {"method": 3}, 422, "BAD_PARAMETER", "/method", id="a method that is no name"),
    pytest.param(
        ATTACK, {"parameters": {"epsilom": 0.1}}, 422, "BAD_PARAMETER", "/parameters/epsilom", id="unknown parameter"
    ),
    pytest.param(ATTACK, {"epsilon": 0.1}, 422, "BAD_PARAMETER", "/epsilon", id="a parameter in the wrong place"),
    pytest.param(
        ATTACK, {"parameters": {"epsilon": -1}}, 422, "BAD_PARAMETER", "/parameters/epsilon", id="epsilon -1"
    ),
    pytest.param(
        ATTACK, {"parameters": {"target": 5}}, 422, "BAD_PARAMETER", "/parameters/target", id="a target that is none"
    ),
    pytest.param(SALIENCY, {"include": ["overlap"]}, 422, "BAD_PARAMETER", "/include/0", id="unknown include"),
    pytest.param(CLASSIFY, {"seed": -1}, 422, "BAD_PARAMETER", "/seed", id="a negative seed"),
    pytest.param(CLASSIFY, {"seed": "one"}, 422, "BAD_PARAMETER", "/seed", id="a seed that is no number"),
    pytest.param(CLASSIFY, {"deadline_s": 1e9}, 422, "BAD_PARAMETER", "/deadline_s", id="a deadline without end"),
    pytest.param(CLASSIFY, {"parameters": {"layers": ["9"]}}, 404, "NOT_FOUND", None, id="no such layer"),
    pytest.param("/api/v1/models/smal/classify", {}, 404, "NOT_FOUND", None, id="a model that is not there"),
    pytest.param("/api/v1/models/small/clasify", {}, 404, "NOT_FOUND", None, id="an operation that is not there"),
]  # fmt: skip


def assert_problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    said: dict[str, Any] = answer.json()
    assert (said["status"], said["code"]) == (status, code)
    assert {"type", "title", "detail", "request_id"} <= set(said)
    assert said["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text
    return said


@pytest.mark.parametrize(("path", "body", "status", "code", "pointer"), BAD)
async def test_bad_input_has_its_own_answer_and_disturbs_nothing(
    house: House, path: str, body: dict[str, Any], status: int, code: str, pointer: str | None
) -> None:
    said = assert_problem(await ask(house, path, **body), status, code)
    if pointer:
        assert pointer in [error["pointer"] for error in said["errors"]]
    assert house.engine.asked == []
    assert (await ask(house)).status_code == 200


@pytest.mark.parametrize(
    ("content", "headers", "words"),
    [
        pytest.param(b"{", {"Content-Type": "application/json"}, "not JSON", id="half of JSON"),
        pytest.param(b"", {"Content-Type": "application/json"}, "not JSON", id="nothing"),
        pytest.param(b"[]", {"Content-Type": "application/json"}, "no object", id="a list"),
        pytest.param(b'{"seed": NaN}', {"Content-Type": "application/json"}, "NaN", id="NaN in JSON"),
        pytest.param(b"[" * 100_000, {"Content-Type": "application/json"}, "not JSON", id="brackets without end"),
        pytest.param(b"\xff\xfe\xfa", {"Content-Type": "application/json"}, "not JSON", id="no text"),
        pytest.param(b'{"seed": %s}' % (b"9" * 5000), {"Content-Type": "application/json"}, "digits", id="5000 digits"),
        pytest.param(b"a=b", {"Content-Type": "application/x-www-form-urlencoded"}, "Content-Type", id="a simple form"),
        pytest.param(PICTURE, {"Content-Type": "image/png"}, "multipart", id="a bare picture"),
        pytest.param(b"x", {}, "Content-Type", id="no type"),
        pytest.param(b"x", {"Content-Type": "multipart/form-data"}, "form", id="a form without boundary"),
        pytest.param(b"x", {"Content-Type": "multipart/form-data; boundary=y"}, "form", id="a form with no parts"),
        pytest.param(
            b"--y\r\nContent-Disposition: form-data\r\n\r\nx\r\n--y--",
            {"Content-Type": "multipart/form-data; boundary=y"}, "form", id="a part without a name",
        ),
        pytest.param(b"\x1f\x8b", {"Content-Type": "application/json", "Content-Encoding": "gzip"}, "gzip", id="gzip"),
    ],
)  # fmt: skip
async def test_an_unreadable_body_is_a_400(house: House, content: bytes, headers: dict[str, str], words: str) -> None:
    said = assert_problem(await house.client.post(CLASSIFY, content=content, headers=headers), 400, "UNREADABLE")
    assert words in said["detail"]


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"epsilon": "wide"}, "/parameters/epsilon"),
        ({"target": "{"}, "/parameters/target"),
        ({"steps": "many", "method": "pgd"}, "/parameters/steps"),
        ({"sed": "1"}, "/parameters/sed"),
        ({"seed": "x"}, "/seed"),
        ({"method": "pdg"}, "/method"),
    ],
)
async def test_a_bad_field_of_a_form_is_named(house: House, fields: dict[str, str], pointer: str) -> None:
    said = assert_problem(await ask_by_form(house, ATTACK, **fields), 422, "BAD_PARAMETER")
    assert said["errors"][0]["pointer"] == pointer


async def test_a_lone_surrogate_is_no_text(house: House) -> None:
    content = json.dumps({"images": [TEXT], "method": "\ud800"})
    answer = await house.client.post(ATTACK, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422


async def test_what_the_engine_refuses_is_told_with_when_to_come_back(house: House) -> None:
    house.engine.refusal = Overloaded("129 wait.", retry_after_s=2.5)
    answer = await ask(house)
    assert_problem(answer, 503, "OVERLOADED")
    assert answer.headers["retry-after"] == "3"


async def test_a_503_always_says_when_to_come_back(house: House) -> None:
    house.engine.refusal = EngineAway("The engine is starting.")
    assert int((await ask(house)).headers["retry-after"]) > 0


async def test_what_nobody_foresaw_is_a_500_without_a_trace(house: House) -> None:
    house.engine.refusal = RuntimeError("secret words")
    with capture_logs() as lines:
        answer = await ask(house)
    said = assert_problem(answer, 500, "INTERNAL")
    assert said["request_id"] in said["detail"]
    assert "secret" not in answer.text
    assert [line["event"] for line in lines] == ["failed", "request"]
    assert lines[0]["exc_info"] is house.engine.refusal


async def test_unknown_routes_and_verbs_are_problems_too(house: House) -> None:
    assert_problem(await house.client.get("/api/v2/models"), 404, "NOT_FOUND")
    answer = await house.client.put(CLASSIFY)
    assert_problem(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "POST"
    several = await house.client.put("/api/v1/perturbations/pert_0123456789abcdefghij")
    assert_problem(several, 405, "METHOD_NOT_ALLOWED")
    assert several.headers["allow"] == "DELETE, GET"
    assert several.json()["detail"] == "PUT is not answered here, only DELETE, GET."


# ── around every request ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("given", "kept"),
    [("a-B_3.x", True), ("x" * 128, True), ("x" * 129, False), ("with space", False), ("a/b", False), (None, False)],
)
async def test_the_request_id_is_taken_or_made(house: House, given: str | None, kept: bool) -> None:
    headers = {"X-Request-ID": given} if given else {}
    answer = await house.client.get("/api/v1/models", headers=headers)
    returned = answer.headers["x-request-id"]
    assert (returned == given) == kept
    assert returned


async def test_answers_are_not_kept_or_guessed_at(house: House) -> None:
    for answer in (await ask(house), await house.client.get("/nowhere"), await house.client.get("/docs")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


async def test_a_page_of_elsewhere_may_not_ask(house: House) -> None:
    assert (await house.client.get("/api/v1/models", headers={"Host": "evil.example"})).status_code == 403
    assert (await house.client.get("/api/v1/models", headers={"Origin": "https://evil.example"})).status_code == 403
    assert (await house.client.get("/api/v1/models", headers={"Origin": "http://localhost:3000"})).status_code == 403
    assert (await house.client.get("/api/v1/models", headers={"Origin": "http://localhost"})).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_health_may_be_asked_for_its_head_alone(path: str, house: House) -> None:
    assert (await house.client.head(path)).status_code == 200


KEY = "a-long-enough-key-0123456789"


@pytest.mark.parametrize("house", [KEY.encode()], indirect=True)
async def test_with_a_key_only_health_is_open(house: House) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):  # metrics, because it listens on loopback
        assert (await house.client.get(path)).status_code == 200
    for path in ("/api/v1/models", "/api/v1/models/small", "/docs", "/openapi.json", "/nowhere"):
        answer = await house.client.get(path)
        assert_problem(answer, 401, "UNAUTHENTICATED")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert (await ask(house)).status_code == 401
    assert house.engine.asked == []
    house.client.headers["Authorization"] = f"Bearer {KEY}"
    assert (await ask(house)).status_code == 200
    assert (await house.client.get("/docs")).status_code == 200


@pytest.mark.parametrize("house", [KEY.encode()], indirect=True)
async def test_metrics_need_the_key_where_that_is_set(house: House) -> None:
    house.core.settings = house.core.settings.model_copy(update={"open_metrics": False})
    assert_problem(await house.client.get("/metrics"), 401, "UNAUTHENTICATED")
    answer = await house.client.get("/metrics", headers={"Authorization": f"Bearer {KEY}"})
    assert answer.status_code == 200


async def test_readiness_is_that_of_the_engine(house: House) -> None:
    assert (await house.client.get("/readyz")).json() == {"ready": True, "models": ["small"]}
    house.engine.ready = False
    answer = await house.client.get("/readyz")
    assert "loading the networks" in assert_problem(answer, 503, EngineAway.code)["detail"]
    assert answer.headers["retry-after"]
    assert (await house.client.get("/healthz")).status_code == 200


async def test_a_draining_house_takes_nothing_on(house: House) -> None:
    house.core.drain()
    assert_problem(await ask(house), 503, "ENGINE_AWAY")
    assert (await house.client.get("/readyz")).status_code == 503


async def test_the_models_are_told(house: House) -> None:
    every = (await house.client.get("/api/v1/models")).json()["models"]
    assert every == [(await house.client.get("/api/v1/models/small")).json()]
    assert every == [(await house.client.get("/api/v1/models/small/versions/1.0")).json()]
    assert_problem(await house.client.get("/api/v1/models/smalt"), 404, "NOT_FOUND")
    assert_problem(await house.client.get("/api/v1/models/small/versions/3"), 404, "NOT_FOUND")


async def test_jpeg_is_an_image_too(house: House) -> None:
    answer = await ask(house, images=[base64_of(saved(Image.fromarray(PIXELS), "JPEG"))])
    assert answer.status_code == 200
