"""The description holds what the service does: every route, every status, every member of every answer."""

import re
from typing import Any

import jsonschema
import numpy as np
import pytest

from rakinglight import catalogue, reply
from rakinglight.errors import CODES
from rakinglight.network import Network
from service import openapi
from service.settings import Settings
from tests.networks import neighbour
from tests.service.archives_at_hand import plain_zip
from tests.service.conftest import House
from tests.service.pictures_at_hand import base64_of, noise, png

TEXT = base64_of(png(noise()))
MASK = base64_of(png(np.zeros_like(noise())))
DOCUMENT = openapi.document(Settings())


def valid(value: Any, schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(value)


def route(path: str, verb: str = "post") -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][path][verb]
    return found


def operation_path(name: str) -> str:
    return f"/api/v1/models/{{model}}/{name}"


def test_every_route_is_described(house: House) -> None:
    routes = {(r.path, verb.lower()) for r in house.app.routes for verb in getattr(r, "methods", ())}
    described = {(path, verb) for path, verbs in DOCUMENT["paths"].items() for verb in verbs}
    assert routes == described


def test_operation_ids_are_unique() -> None:
    names = [route["operationId"] for verbs in DOCUMENT["paths"].values() for route in verbs.values()]
    assert len(names) == len(set(names))


def test_references_lead_somewhere() -> None:
    def references(value: Any) -> Any:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            for one in value.values():
                yield from references(one)
        elif isinstance(value, list):
            for one in value:
                yield from references(one)

    for reference in references(DOCUMENT):
        kind, name = reference.removeprefix("#/components/").split("/")
        assert name in DOCUMENT["components"][kind], reference


def test_every_schema_is_a_schema() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_code_is_declared_where_it_can_come() -> None:
    ask = route(operation_path("attack"))["responses"]
    later = {"METHOD_NOT_ALLOWED"}  # the answer to a verb that is not described
    assert {str(kind.status) for code, kind in CODES.items() if code not in later} <= set(ask)
    assert "Retry-After" in ask["503"]["headers"]
    of_jobs = {"JOB_CANCELLED"}  # what a job ends with, and no route
    said = {
        answer["description"]
        for verbs in DOCUMENT["paths"].values()
        for one in verbs.values()
        for answer in one["responses"].values()
    }
    assert {code for code in CODES if f"`{code}`" not in " ".join(said)} == later | of_jobs


def test_every_part_of_a_path_is_a_parameter() -> None:
    for path, verbs in DOCUMENT["paths"].items():
        for one in verbs.values():
            given = {parameter["name"] for parameter in one.get("parameters", ()) if parameter["in"] == "path"}
            assert given == set(re.findall(r"{(\w+)}", path)), path


#: What some methods cannot do without, or would take long without, by operation and method.
NEEDED: dict[tuple[str, str], dict[str, Any]] = {
    ("attack", "universal"): {"parameters": {"perturbation": reply.to_json(np.zeros((3, 8, 8), np.float32))}},
    ("attack", "transfer"): {"parameters": {"models": ["neighbour"], "steps": 2}},
    ("attack", "square"): {"parameters": {"queries": 20}},
    ("attack", "nes"): {"parameters": {"queries": 20}},
    ("attack", "hop_skip_jump"): {"parameters": {"queries": 100}},
    ("attack", "boundary"): {"parameters": {"queries": 50}},
    ("attack", "auto"): {"parameters": {"steps": 2, "queries": 20}},
    ("inversion", "invert"): {"parameters": {"steps": 2}},
    ("inversion", "activation_maximization"): {
        "images": [],
        "parameters": {"steps": 2, "target": 1, "compare_softmax": True}
        | {"real_images": [TEXT], "models": ["neighbour"]},
    },
    ("inversion", "deep_dream"): {"parameters": {"steps": 1, "octaves": 1, "frames": 1}},
    ("inversion", "style"): {"parameters": {"steps": 2, "style": TEXT}},
    ("inversion", "caricature"): {"parameters": {"steps": 2}},
    ("inversion", "edit"): {"parameters": {"steps": 2, "target": 1}},
    ("inversion", "fooling"): {"parameters": {"target": 1, "encoding": "direct", "queries": 20, "noise_images": 2}},
    ("units", "neighbors"): {"images": [TEXT, TEXT]},
    ("units", "embedding"): {"images": [TEXT] * 4},
    ("units", "dissection"): {"parameters": {"masks": [MASK], "concepts": ["sky"]}},
    ("substitute", "papernot"): {"images": [TEXT, TEXT]},
    ("robustness", ""): {"parameters": {"labels": [0], "methods": ["fgsm"], "epsilons": [0.1]}},
}


@pytest.fixture
def networks(small_convolution: Network) -> list[Network]:
    return [small_convolution, neighbour()]


@pytest.mark.parametrize("name", sorted(catalogue.OPERATIONS))
async def test_examples_can_be_sent_and_answers_are_as_described(house: House, name: str) -> None:
    described = route(operation_path(name))
    content = described["requestBody"]["content"]["application/json"]
    valid(content["example"], content["schema"])
    for method in catalogue.OPERATIONS[name].methods or (None,):
        needed = NEEDED.get((name, method.name if method else ""), {})
        body = {"images": [TEXT], **({"method": method.name} if method else {}), **needed}
        valid(body, content["schema"])
        answer = await house.client.post(operation_path(name).format(model="small"), json=body)
        if method and method.long:
            assert answer.status_code == 202
            continue
        assert answer.status_code == 200, answer.text
        valid(answer.json(), described["responses"]["200"]["content"]["application/json"]["schema"])
    example = await house.client.post(f"/api/v1/models/small/{name}", json=content["example"])
    always = catalogue.OPERATIONS[name].is_long(content["example"].get("method"))
    assert example.status_code == (202 if always else 200), example.text


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("attack", {"images": []}),
        ("attack", {"images": [TEXT], "method": "pdg"}),
        ("attack", {"images": [TEXT], "method": "fgsm", "parameters": {"steps": 3}}),
        ("saliency", {"images": [TEXT], "include": ["overlap"]}),
        ("classify", {"images": [TEXT], "epsilon": 1}),
        ("classify", {}),
        ("classify", {"images": [TEXT], "dataset": "ds_0123456789abcdefghij"}),
    ],
)
def test_the_schema_refuses_what_the_service_refuses(name: str, body: dict[str, Any]) -> None:
    schema = route(operation_path(name))["requestBody"]["content"]["application/json"]["schema"]
    with pytest.raises(jsonschema.ValidationError):
        valid(body, schema)


async def test_the_other_answers_are_as_described(house: House) -> None:
    for path in ("/healthz", "/readyz", "/api/v1/models", "/api/v1/models/{model}"):
        answer = await house.client.get(path.format(model="small"))
        valid(answer.json(), route(path, "get")["responses"]["200"]["content"]["application/json"]["schema"])


async def test_jobs_are_as_described(house: House) -> None:
    def one(path: str, verb: str = "get", status: str = "200") -> dict[str, Any]:
        found: dict[str, Any] = route(path, verb)["responses"][status]["content"]["application/json"]["schema"]
        return found

    path, there = "/api/v1/models/{model}/attack", "/api/v1/jobs/{job}"
    headers = {"Prefer": "respond-async"}
    submitted = []
    for body in ({"images": [TEXT] * 2, "method": "fgsm"}, {"images": [TEXT], "method": "pgd"}):
        answer = await house.client.post(path.format(model="small"), json=body, headers=headers)
        assert answer.status_code == 202
        assert set(route(path)["responses"]["202"]["headers"]) <= {
            name.title().replace("-Id", "-ID") for name in answer.headers
        }
        valid(answer.json(), one(path, "post", "202"))
        submitted.append(answer.json()["id"])
    done, cancelled = submitted
    await house.do(done)
    valid((await house.client.post(f"/api/v1/jobs/{cancelled}/cancel")).json(), one(f"{there}/cancel", "post"))
    for job in submitted:
        valid((await house.client.get(f"/api/v1/jobs/{job}")).json(), one(there))
    valid((await house.client.get("/api/v1/jobs")).json(), one("/api/v1/jobs"))
    partial = {"result": None, "partial_result": {"results": [None]}}
    with pytest.raises(jsonschema.ValidationError):
        valid((await house.client.get(f"/api/v1/jobs/{done}")).json() | partial, one(there))


@pytest.mark.parametrize("settings", [Settings(datasets="pets=/nowhere")])  # type: ignore[arg-type]
async def test_datasets_are_as_described(house: House) -> None:
    file = plain_zip({"cat/1.png": png(noise()), "dog/1.png": png(noise())})
    added = await house.client.post(
        "/api/v1/datasets?name=pets", content=file, headers={"Content-Type": "application/zip"}
    )
    content = "application/json"
    valid(added.json(), route("/api/v1/datasets")["responses"]["201"]["content"][content]["schema"])
    one = (await house.client.get(added.headers["location"])).json()
    valid(one, route("/api/v1/datasets/{dataset}", "get")["responses"]["200"]["content"][content]["schema"])
    every = (await house.client.get("/api/v1/datasets")).json()
    assert [dataset["id"] for dataset in every["datasets"]] == ["pets", one["id"]]
    valid(every, route("/api/v1/datasets", "get")["responses"]["200"]["content"][content]["schema"])


@pytest.mark.parametrize("settings", [Settings(inline_bytes=1024)])
async def test_what_is_too_large_for_a_reply_is_as_described(house: House) -> None:
    answer = await house.client.post("/api/v1/models/small/saliency", json={"images": [TEXT]})
    (result,) = answer.json()["results"]
    assert set(result["overlay"]) == {"href", "sha256", "bytes"}
    valid(answer.json(), route(operation_path("saliency"))["responses"]["200"]["content"]["application/json"]["schema"])


async def test_problems_are_as_described(house: House) -> None:
    schema = DOCUMENT["components"]["schemas"]["Problem"]
    for answer in (
        await house.client.get("/nowhere"),
        await house.client.post("/api/v1/models/small/attack", json={"images": [TEXT], "parameters": {"epsilon": -1}}),
        await house.client.post("/api/v1/models/small/attack", content=b"{"),
    ):
        valid(answer.json(), schema)


async def test_the_page_needs_nobody_else(house: House) -> None:
    answer = await house.client.get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    for path in DOCUMENT["paths"]:
        assert path in answer.text
    assert "<script" not in answer.text
    assert not any(f"{attribute}='http" in answer.text for attribute in ("src", "href"))


async def test_the_document_is_served(house: House) -> None:
    served = (await house.client.get("/openapi.json")).json()
    assert served["openapi"] == "3.1.0"
    assert set(served["paths"]) == set(DOCUMENT["paths"])
