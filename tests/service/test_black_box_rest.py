"""A key that may only query reaches `classify` and nothing else, whatever it tries; and an operator keeps such keys."""

import io
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image
from structlog.testing import capture_logs

from rakinglight.client import AsyncClient
from rakinglight.errors import CODES, EngineAway, Forbidden, InternalError, OracleAway, Overloaded, RakinglightError
from rakinglight.flows import Address
from rakinglight.network import Network
from rakinglight.over_http import AsyncHttpTransport
from service import openapi
from service.decode import DecodePool
from service.discretion import worded
from service.keys import Keyring
from service.rest import application
from service.settings import Settings
from tests.networks import neighbour
from tests.service.black_box_at_hand import HIDDEN, OPERATOR, OTHER, PICTURE, Stranger, stranger_in
from tests.service.pictures_at_hand import base64_of, bomb, noise, png, tensor

TEXT = base64_of(PICTURE)
MODEL = "/api/v1/models/small"
CLASSIFY = f"{MODEL}/classify"
ROUTES = [(verb.upper(), path) for path, verbs in openapi.document(Settings())["paths"].items() for verb in verbs]
#: What a stranger may have of those.
OPEN = {
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/api/v1/models/{model}"),
    ("POST", "/api/v1/models/{model}/classify"),
}
FILLED = {"model": "small", "version": "1.0", "sha256": "0" * 64}
VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def filled(path: str) -> str:
    """`path` with what there is."""
    return re.sub(r"{(\w+)}", lambda found: FILLED.get(found[1], "something"), path)


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


async def ask(stranger: Stranger, *images: Any, headers: dict[str, str] | None = None, **body: Any) -> httpx2.Response:
    body = {"images": list(images) or [TEXT], **body}
    return await stranger.client.post(CLASSIFY, json=body, headers=headers)


def assert_problem(answer: httpx2.Response, status: int, code: str, own: str = "\n") -> str:
    """The detail of the problem, which says nothing that is hidden but what the caller said of it, `own`."""
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    said = answer.text.replace(answer.headers["x-request-id"], "").replace(f"'{own}'", "")
    assert not [word for word in HIDDEN if word in said], answer.text
    return str(answer.json()["detail"])


# ── what it sees ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("own", "shown"),
    [
        ({"view": "label"}, [{"index", "label"}]),
        ({"view": "top_k", "top_k": 3}, [{"index", "label", "probability"}] * 3),
        ({"view": "rounded"}, [{"index", "label", "probability"}] * 5),
        ({"view": "full"}, [{"index", "label", "probability"}] * 5),
    ],
    ids=["label", "top_k", "rounded", "full"],
)
async def test_an_answer_has_what_the_view_shows_and_nothing_else(stranger: Stranger, shown: list[set[str]]) -> None:
    answer = await ask(stranger, TEXT, base64_of(OTHER), headers={"X-Request-ID": "mine"})
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert said.keys() == {"model", "request_id", "results"}
    assert said["model"] == {"name": "small"}
    assert said["request_id"] == answer.headers["x-request-id"] == "mine"
    assert [result.keys() for result in said["results"]] == [{"predictions"}] * 2
    assert [[set(one) for one in result["predictions"]] for result in said["results"]] == [shown] * 2
    whole = (await stranger.admin.post(CLASSIFY, json={"images": [TEXT]})).json()["results"][0]["predictions"]
    assert said["results"][0]["predictions"][0]["index"] == whole[0]["index"]


async def test_a_form_and_a_tensor_are_images_too(stranger: Stranger) -> None:
    by_form = await stranger.client.post(CLASSIFY, files={"image": ("a.png", PICTURE)})
    exact = np.asarray(Image.open(io.BytesIO(PICTURE)), np.float32).transpose(2, 0, 1) / np.float32(255)
    by_json = await ask(stranger, tensor(exact))
    assert by_form.json()["results"] == by_json.json()["results"] == (await ask(stranger)).json()["results"]


async def test_a_model_tells_its_name_its_size_and_its_labels(stranger: Stranger) -> None:
    said = (await stranger.client.get(MODEL)).json()
    assert said == {"name": "small", "input": {"shape": [3, 8, 8]}, "labels": [f"class {c}" for c in range(5)]}


async def test_equal_answers_are_of_equal_length_and_carry_the_same_headers(stranger: Stranger) -> None:
    by_label: dict[str, list[httpx2.Response]] = {}
    for seed in range(12):
        answer = await ask(stranger, base64_of(png(noise(8 + seed, 8, seed=seed))))
        by_label.setdefault(answer.json()["results"][0]["predictions"][0]["label"], []).append(answer)
    assert max(map(len, by_label.values())) > 1
    for answers in by_label.values():
        assert len({len(answer.content) for answer in answers}) == 1
    every = [answer for answers in by_label.values() for answer in answers]
    assert {frozenset(answer.headers) for answer in every} == {
        frozenset(
            {
                "content-length",
                "content-type",
                "cache-control",
                "x-content-type-options",
                "x-request-id",
                "x-query-budget-remaining",
            }
        )
    }


# ── what it may not ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_every_route_is_closed_but_its_own(stranger: Stranger) -> None:
    for verb, path in ROUTES:
        body = {"images": [TEXT]} if verb == "POST" else None
        answer = await stranger.client.request(verb, filled(path), json=body)
        if (verb, path) in OPEN:
            assert answer.status_code == 200, path
        else:
            assert_problem(answer, 403, "FORBIDDEN")
        assert answer.headers["x-query-budget-remaining"] == str(100 - stranger.spent())
    assert stranger.spent() == 1, "by classify"


async def test_no_other_verb_opens_anything(stranger: Stranger) -> None:
    for path in dict.fromkeys(path for _, path in ROUTES):
        for verb in VERBS:
            if (verb, path) in OPEN or (verb == "HEAD" and ("GET", path) in OPEN):
                continue
            answer = await stranger.client.request(verb, filled(path))
            assert answer.status_code in (403, 405), (verb, path)
            assert not any(word in answer.text for word in HIDDEN), (verb, path)
    assert stranger.spent() == 0


BESIDE: dict[str, Any] = {
    "parameters": {"top_k": 3},
    "include": ["activations"],
    "method": "gradient",
    "compare": [],
    "seed": 1,
    "deadline_s": 0.001,
    "max_rows": 1,
    "purpose": "research",
    "dataset": "ds_0123456789abcdefghij",
    "version": "1.0",
    "top_k": 5,
    "layers": ["0"],
    "defense": ["jpeg"],
    "detector": True,
    "logits": True,
    "Images": [],
    "": 1,
}


async def test_nothing_goes_beside_the_images(stranger: Stranger) -> None:
    files = {"image": ("a.png", PICTURE)}
    for name, good in BESIDE.items():
        # What is said of it, whether it could be, and whether it is the default, make no difference.
        details = set()
        for value in (good, None, {}, "nonsense", 10**9):
            details.add(assert_problem(await ask(stranger, **{name: value}), 403, "FORBIDDEN", name))
        answer = await stranger.client.post(CLASSIFY, files=files, data={name or "x": "3"})
        detail = assert_problem(answer, 403, "FORBIDDEN", name)
        assert details == {detail} or not name
    assert stranger.spent() == 0


async def test_no_json_part_of_a_form_either(stranger: Stranger) -> None:
    said = {"request": json.dumps({"parameters": {"top_k": 3}})}
    files = {"image": ("a.png", PICTURE)}
    assert_problem(await stranger.client.post(CLASSIFY, files=files, data=said), 403, "FORBIDDEN")


async def test_there_is_one_form_of_answer(stranger: Stranger) -> None:
    forms = ("application/x-npz", "image/png", "text/event-stream", "text/html", "application/json;q=0, */*")
    wishes = [{"Accept": form} for form in forms] + [{"Prefer": wish} for wish in ("respond-async", "wait=10")]
    for headers in wishes:
        assert_problem(await ask(stranger, headers=headers), 403, "FORBIDDEN")
        assert_problem(await stranger.client.get(MODEL, headers=headers), 403, "FORBIDDEN")
    assert stranger.spent() == 0


async def test_a_query_string_is_a_parameter_too(stranger: Stranger) -> None:
    for url in (f"{CLASSIFY}?top_k=5", f"{CLASSIFY}?include=", f"{MODEL}?version=1.0"):
        verb = "POST" if "classify" in url else "GET"
        answer = await stranger.client.request(verb, url, json={"images": [TEXT]} if verb == "POST" else None)
        assert_problem(answer, 403, "FORBIDDEN", "version")


async def test_an_unknown_model_has_no_neighbours(stranger: Stranger) -> None:
    details = set()
    for name in ("smal", "neighbou", "x", "efficientnet-lite0"):
        path = f"/api/v1/models/{name}"
        details.add(assert_problem(await stranger.client.get(path), 404, "NOT_FOUND"))
        answer = await stranger.client.post(f"{path}/classify", json={"images": [TEXT]})
        details.add(assert_problem(answer, 404, "NOT_FOUND"))
    assert len(details) == 1


async def test_what_is_no_route_is_none(stranger: Stranger) -> None:
    for path in ("/api/v1/nothing", "/v2/models/small/infer", "/api/v1/models/small/", "/docs/", "/static/x"):
        assert_problem(await stranger.client.get(path), 404, "NOT_FOUND")


async def test_what_ails_the_service_is_its_own_business(stranger: Stranger) -> None:
    engine: Any = stranger.core.engine
    for error in (
        Overloaded("256 runs of neighbour wait, and 3 of alice.", retry_after_s=2),
        EngineAway("The worker of neighbour is loading efficientnet-lite0.", retry_after_s=2),
        OracleAway("http://elsewhere/v2/models/neighbour does not answer alice.", retry_after_s=2),
        RuntimeError("neighbour broke: torch said cost 17"),
    ):
        engine.refusal = error
        with capture_logs():
            answer = await ask(stranger)
        status = error.status if isinstance(error, RakinglightError) else 500
        detail = assert_problem(answer, status, answer.json()["code"])
        assert "alice" not in detail
        if isinstance(error, RakinglightError):
            assert answer.headers["retry-after"] == "2"
    assert stranger.spent() == 0, "nothing was answered"


def test_what_speaks_of_the_service_has_one_sentence_for_each_code() -> None:
    for kind in CODES.values():
        error = worded(kind("neighbour", retry_after_s=3))
        assert isinstance(error, kind)
        assert error.retry_after_s == 3
        if kind.status >= 500 and kind is not InternalError:  # whose words never are the failure's
            assert "neighbour" not in error.detail


async def test_what_is_wrong_with_the_images_is_told_and_costs_nothing(stranger: Stranger) -> None:
    assert "/images" in (await ask(stranger, images=[])).text
    assert_problem(await stranger.client.post(CLASSIFY, json={"images": []}), 422, "BAD_PARAMETER")
    assert_problem(await ask(stranger, base64_of(b"no image")), 415, "NOT_AN_IMAGE")
    assert_problem(await ask(stranger, "§§§"), 422, "BAD_PARAMETER")
    assert_problem(await ask(stranger, base64_of(bomb())), 413, "TOO_LARGE")
    assert_problem(await ask(stranger, *[TEXT] * 4), 413, "TOO_LARGE")
    for kind, content in (("application/json", b"{"), ("text/plain", b"x")):
        answer = await stranger.client.post(CLASSIFY, content=content, headers={"Content-Type": kind})
        assert_problem(answer, 400, "UNREADABLE")
    assert stranger.spent() == 0


async def test_models_are_named_to_who_may_see_them(stranger: Stranger) -> None:
    stranger_s = await stranger.client.get("/readyz")
    nobody_s = await stranger.client.get("/readyz", headers={"Authorization": ""})
    assert stranger_s.json() == nobody_s.json() == {"ready": True}
    assert (await stranger.admin.get("/readyz")).json() == {"ready": True, "models": ["neighbour", "small"]}
    stranger.core.engine.ready = False  # type: ignore[attr-defined]
    assert "loading" not in (await stranger.client.get("/readyz")).text
    assert "loading" in (await stranger.admin.get("/readyz")).text


@pytest.mark.parametrize("setting", [{"allow": "small=saliency"}])
async def test_what_the_operator_does_not_allow(stranger: Stranger) -> None:
    assert "saliency" not in assert_problem(await ask(stranger), 403, "FORBIDDEN")


# ── its budget ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("own", [{"budget": 3}])
async def test_every_answer_says_what_is_left(stranger: Stranger) -> None:
    answers = [
        await ask(stranger),
        await ask(stranger, base64_of(b"no image")),
        await stranger.client.get(MODEL),
        await stranger.client.get("/api/v1/nothing"),
        await stranger.client.get("/api/v1/models"),
        await stranger.client.get("/healthz"),
        await stranger.client.put(CLASSIFY),
        await ask(stranger, TEXT, TEXT),
        await ask(stranger),
        await stranger.client.get(MODEL),
    ]
    assert [answer.headers["x-query-budget-remaining"] for answer in answers] == [*"2222222", *"000"]
    assert_problem(answers[8], 429, "BUDGET_SPENT")
    assert "retry-after" not in answers[8].headers, "waiting does not help"
    assert stranger.spent() == 3
    assert "x-query-budget-remaining" not in (await stranger.admin.get("/api/v1/models")).headers


@pytest.mark.parametrize("own", [{"budget": 2}])
async def test_a_request_that_is_more_than_what_is_left_is_refused_whole(stranger: Stranger) -> None:
    assert_problem(await ask(stranger, TEXT, TEXT, TEXT), 429, "BUDGET_SPENT")
    assert stranger.spent() == 0
    assert (await ask(stranger, TEXT, TEXT)).status_code == 200


@pytest.mark.parametrize("own", [{"rate": 2}])
async def test_more_than_the_rate_is_refused_for_a_while(stranger: Stranger) -> None:
    assert (await ask(stranger, TEXT, TEXT)).status_code == 200
    answer = await ask(stranger)
    assert_problem(answer, 429, "RATE_LIMITED")
    assert 1 <= int(answer.headers["retry-after"]) <= 60


async def test_the_same_request_again_is_the_same_answer_and_free(stranger: Stranger) -> None:
    again = {"Idempotency-Key": "one"}
    first, second = [await ask(stranger, TEXT, base64_of(OTHER), headers=again) for _ in range(2)]
    assert first.json()["results"] == second.json()["results"]
    assert stranger.spent() == 2
    assert_problem(await ask(stranger, headers=again), 409, "CONFLICT")
    assert_problem(await ask(stranger, headers={"Idempotency-Key": "two words"}), 422, "BAD_PARAMETER")
    twice = httpx2.Headers([("Idempotency-Key", "one"), ("Idempotency-Key", "two")])
    answer = await stranger.client.post(CLASSIFY, json={"images": [TEXT]}, headers=twice)
    assert_problem(answer, 422, "BAD_PARAMETER")
    text = (await stranger.admin.get("/metrics")).text
    assert 'rakinglight_black_box_images_total{model="small",outcome="answered"} 2.0' in text
    assert 'rakinglight_black_box_images_total{model="small",outcome="repeated"} 2.0' in text
    assert 'rakinglight_black_box_budget_images{state="left"} 98.0' in text


async def test_a_revoked_key_opens_nothing(stranger: Stranger) -> None:
    assert (await stranger.admin.delete(f"/api/v1/keys/{stranger.key['id']}")).json()["revoked_at"] is not None
    assert_problem(await ask(stranger), 401, "UNAUTHENTICATED")
    assert_problem(await stranger.client.get(MODEL), 401, "UNAUTHENTICATED")


# ── our own client ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_our_client_works_with_such_a_key(stranger: Stranger) -> None:
    transport = httpx2.ASGITransport(application(stranger.core, stranger.keyring))
    address = Address.of("http://localhost", stranger.secret)
    async with AsyncClient(AsyncHttpTransport(address, transport)) as client:
        model = client.model("small")
        answer = await model.classify(PICTURE)
        assert answer.prediction.label.startswith("class ")
        assert answer.prediction.probability is None
        assert "small" in repr(answer)
        *_, streamed = [news async for news in model.classify.stream(PICTURE)]
        assert streamed.prediction == answer.prediction  # type: ignore[union-attr]
        assert (await model.describe())["labels"][0] == "class 0"
        with pytest.raises(Forbidden):
            await model.saliency(PICTURE)
        with pytest.raises(Forbidden, match="parameters"):
            await model.classify(PICTURE, top_k=3)
    assert stranger.spent() == 2


# ── a service that is a black box to everybody ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("setting", [{"black_box": True}])
async def test_nothing_else_exists_there(stranger: Stranger) -> None:
    for verb, path in ROUTES:
        body = {"images": [TEXT]} if verb == "POST" else None
        for client in (stranger.client, stranger.admin):
            answer = await client.request(verb, filled(path), json=body)
            if (verb, path) in OPEN:
                assert answer.status_code == 200
                assert not any(word in answer.text for word in HIDDEN)
            elif path == "/metrics":
                assert answer.status_code == (403 if client is stranger.client else 200)
            else:
                assert_problem(answer, 404, "NOT_FOUND")


@pytest.mark.parametrize("setting", [{"black_box": True, "require_key": False, "view": "top_k"}])
async def test_who_shows_no_key_there_sees_the_view_that_is_set(stranger: Stranger) -> None:
    stranger.client.headers.pop("Authorization")
    answer = await ask(stranger)
    assert [set(one) for one in answer.json()["results"][0]["predictions"]] == [{"index", "label", "probability"}] * 5
    assert_problem(await ask(stranger, parameters={"top_k": 1}), 403, "FORBIDDEN")
    assert_problem(await stranger.client.get("/metrics"), 401, "UNAUTHENTICATED")
    assert_problem(await stranger.client.get("/docs"), 404, "NOT_FOUND")
    assert "x-query-budget-remaining" not in answer.headers


async def test_of_two_keys_that_are_shown_neither_is_taken(stranger: Stranger) -> None:
    shown = [("Authorization", f"Bearer {secret}") for secret in (OPERATOR, stranger.secret)]
    for two in (shown, shown[::-1], shown[:1] * 2):
        request = httpx2.Request("GET", f"http://localhost{MODEL}", headers=two)
        assert (await stranger.admin.send(request)).status_code == 401
    request = httpx2.Request("GET", f"http://localhost{MODEL}", headers=shown[:1])
    assert (await stranger.admin.send(request)).status_code == 200


@pytest.mark.parametrize("setting", [{"require_key": False}])
async def test_on_an_open_service_keys_and_the_ledger_need_an_admin_s_key_all_the_same(stranger: Stranger) -> None:
    transport = httpx2.ASGITransport(application(stranger.core, Keyring(required=False)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as nobody:
        assert (await nobody.get("/api/v1/models")).status_code == 200
        for verb, path in ROUTES:
            if "/keys" in path or "/ledger" in path:
                answer = await nobody.request(verb, filled(path), json={"name": "eve", "scopes": ["admin"]})
                detail = assert_problem(answer, 401, "UNAUTHENTICATED")
                assert "rakinglight keys make NAME --scope admin" in detail


# ── keeping keys ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_key_is_made_used_topped_up_listed_and_revoked(stranger: Stranger) -> None:
    admin = stranger.admin
    made = await admin.post("/api/v1/keys", json={"name": "bob", "budget": 1, "view": "full", "rate": 600})
    assert made.status_code == 201
    secret, key = made.json()["secret"], made.json()["id"]
    assert made.headers["location"] == f"/api/v1/keys/{key}"
    theirs = {"Authorization": f"Bearer {secret}"}
    assert (await ask(stranger, headers=theirs)).status_code == 200
    assert (await ask(stranger, headers=theirs)).status_code == 429
    assert (await admin.post(f"/api/v1/keys/{key}/top-up", json={"images": 4})).json()["budget"] == 5
    assert (await ask(stranger, headers=theirs)).headers["x-query-budget-remaining"] == "3"
    found = (await admin.get(f"/api/v1/keys/{key}")).json()
    assert (found["name"], found["spent"], found["noticed"]) == ("bob", 2, None)
    assert "secret" not in found
    assert secret not in (await admin.get("/api/v1/keys")).text
    listed = (await admin.get("/api/v1/keys", params={"page_size": 1})).json()
    assert [one["name"] for one in listed["keys"]] == ["bob"]
    token = {"page_token": listed["next_page_token"]}
    assert [one["name"] for one in (await admin.get("/api/v1/keys", params=token)).json()["keys"]] == ["stranger"]
    assert (await admin.post(f"/api/v1/keys/{key}/clear")).status_code == 200
    assert (await admin.delete(f"/api/v1/keys/{key}")).json()["revoked_at"]
    assert (await ask(stranger, headers=theirs)).status_code == 401


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 422, "/name"),
        ({"name": "Bob"}, 422, "a-z"),
        ({"name": "bob", "budget": -1}, 422, "/budget"),
        ({"name": "bob", "budget": "many"}, 422, "budget is 'many'; it is an integer from 0 to 1000000000000."),
        ({"name": "bob", "rate": 1.5}, 422, "/rate"),
        ({"name": "bob", "top_k": [[1]] * 999, "view": "top_k"}, 422, "it is an integer from 1 to 1000."),
        ({"name": "bob", "top_k": 3}, 422, "/top_k"),
        ({"name": "bob", "response": "round"}, 422, "/response"),
        ({"name": "bob", "budgte": 3}, 422, "did you mean 'budget'"),
        ({"name": "bob", "scopes": ["all"]}, 422, "/scopes/0"),
        ({"name": "bob", "scopes": ["attack"], "view": "full"}, 422, "/view"),
        ({"name": "bob", "expires_at": "tomorrow"}, 422, "/expires_at"),
        ({"name": "bob", "expires_at": "2020-01-01T00:00:00Z"}, 422, "/expires_at"),
        ({"name": "stranger"}, 409, "already"),
        ({"name": "operator"}, 409, "key file"),
    ],
    ids=str,
)
async def test_a_key_that_cannot_be(stranger: Stranger, body: dict[str, Any], status: int, said: str) -> None:
    answer = await stranger.admin.post("/api/v1/keys", json=body)
    assert answer.status_code == status
    assert said in answer.text


async def test_a_key_that_there_is_not(stranger: Stranger) -> None:
    for verb, path in (("GET", ""), ("DELETE", ""), ("POST", "/clear"), ("POST", "/top-up")):
        for name in ("key_0123456789abcdefghij", "nobody", "%00", "x" * 500):
            answer = await stranger.admin.request(verb, f"/api/v1/keys/{name}{path}", json={"images": 1})
            assert answer.status_code == 404, answer.text


async def test_the_ledger_says_who_asked_what(stranger: Stranger) -> None:
    await ask(stranger, TEXT, base64_of(OTHER), headers={"X-Request-ID": "first"})
    attack = {"images": [TEXT], "method": "fgsm", "purpose": "a test"}
    assert (await stranger.admin.post(f"{MODEL}/attack", json=attack)).status_code == 200
    path = "/api/v1/ledger"
    entries = (await stranger.admin.get(path)).json()["entries"]
    assert [(one["caller"], one["operation"], one["image"], one["charged"]) for one in entries] == [
        ("operator", "attack", 0, False),
        ("stranger", "classify", 1, True),
        ("stranger", "classify", 0, True),
    ]
    assert entries[0]["purpose"] == "a test"
    assert (entries[1]["request_id"], entries[1]["key"]) == ("first", stranger.key["id"])
    lines = await stranger.admin.get(path, headers={"Accept": "application/x-ndjson"})
    assert lines.headers["content-type"].startswith("application/x-ndjson")
    assert [json.loads(line) for line in lines.text.splitlines()] == entries[::-1]
    for asked, count in (
        ({"key": "stranger"}, 2),
        ({"key": stranger.key["id"], "operation": "attack"}, 0),
        ({"operation": "attack"}, 1),
        ({"since": "2020-01-01"}, 3),
        ({"since": "2999-01-01T00:00:00Z"}, 0),
        ({"page_size": "1"}, 1),
    ):
        assert len((await stranger.admin.get(path, params=asked)).json()["entries"]) == count, asked
    for wrong in ({"since": "lately"}, {"operation": "atack"}, {"key": "\0"}, {"page_size": "0"}, {"kye": "x"}):
        assert_answer = await stranger.admin.get(path, params=wrong)
        assert assert_answer.status_code == 422, wrong
    for accept in ("application/json", "application/x-ndjson"):
        unknown = await stranger.admin.get(path, params={"key": "nobody"}, headers={"Accept": accept})
        assert_problem(unknown, 404, "NOT_FOUND")
    top_up = await stranger.admin.post("/api/v1/keys/stranger/top-up", json={"images": "ten"})
    assert "images is 'ten'; it is an integer from 1 to" in assert_problem(top_up, 422, "BAD_PARAMETER")


async def test_keys_and_the_ledger_are_an_admin_s(stranger: Stranger) -> None:
    made = (await stranger.admin.post("/api/v1/keys", json={"name": "eve", "scopes": ["attack", "explain"]})).json()
    theirs = {"Authorization": f"Bearer {made['secret']}"}
    for verb, path in ROUTES:
        if "/keys" in path or "/ledger" in path:
            answer = await stranger.client.request(verb, filled(path), headers=theirs)
            assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN"), path
    assert OPERATOR not in (await stranger.admin.get("/api/v1/keys")).text
