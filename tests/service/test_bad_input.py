"""What a caller should not send: every piece of it is a 4xx of its own, soon, and in few words, at both doors."""

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

import grpc
import httpx2
import numpy as np
import pytest

from protos.gen.rakinglight.v1 import rakinglight_pb2
from protos.gen.rakinglight.v1.rakinglight_pb2_grpc import RakingLightStub
from rakinglight import catalogue
from rakinglight.errors import FIELDS, BadParameter
from service import messages
from service.grpc_door import server
from service.keys import Keyring
from service.settings import Settings
from tests.service.conftest import House
from tests.service.pictures_at_hand import base64_of, noise, png, tensor

PICTURE = png(noise(8, 8))
IMAGES = json.dumps([base64_of(PICTURE)])
X = tensor(np.full((3, 8, 8), 0.5, np.float32))
#: Bytes of the longest answer to a mistake: all the fields that are named, and all else.
LONGEST = 20_000
#: Seconds within which a mistake is answered, however it is sent: it takes a hundredth of that.
SOON_S = 5.0


def path(operation: str) -> str:
    return f"/api/v1/models/small/{operation}"


async def post(house: House, operation: str, text: str) -> httpx2.Response:
    return await house.client.post(path(operation), content=text.encode(), headers={"Content-Type": "application/json"})


async def send(house: House, operation: str, fields: Iterable[tuple[str, str]]) -> httpx2.Response:
    """A form of a picture and `fields`, some of which may be there twice."""
    parts: list[tuple[str, Any]] = [("image", ("photograph.png", PICTURE, "image/png"))]
    return await house.client.post(path(operation), files=parts + [(name, (None, text)) for name, text in fields])


def assert_refused(answer: httpx2.Response, status: int, pointer: str | None = None) -> None:
    assert answer.status_code == status, answer.text[:500]
    assert len(answer.content) < LONGEST
    if pointer is not None:
        assert pointer in [error["pointer"] for error in answer.json()["errors"]]


# ── what is wrong ───────────────────────────────────────────────────────────────────────────────────────────────────

JSON_BODIES = [
    pytest.param("classify", f'{{"images": [{json.dumps(X | {"dtype": ["a"]})}]}}', 422, "/images/0", id="dtype list"),
    pytest.param("classify", f'{{"images": [{json.dumps(X | {"dtype": {}})}]}}', 422, "/images/0", id="dtype object"),
    pytest.param("classify", f'{{"images": {IMAGES}, "\\ud800": 1}}', 422, "/?", id="half a letter for a name"),
    pytest.param(
        "attack", f'{{"images": {IMAGES}, "parameters": {{"\\ud800": 1}}}}', 422, "/parameters/?", id="half a parameter"
    ),
    pytest.param(
        "classify", f'{{"images": {IMAGES}, "parameters": {{"layers": ["\\ud800"]}}}}', 404, None, id="half a layer"
    ),
    pytest.param(
        "saliency", f'{{"images": {IMAGES}, "parameters": {{"target": "\\ud800"}}}}', 422, None, id="half a label"
    ),
    pytest.param("classify", '{"images": [{"\\ud800": 1}]}', 422, "/images/0", id="half a member of a tensor"),
    pytest.param("classify", f'{{"images": {IMAGES}, "images": {IMAGES}}}', 400, None, id="a member twice"),
    pytest.param(
        "classify", f'{{"images": {IMAGES}, "parameters": {{"top_k": 1, "top_k": 2}}}}', 400, None, id="one twice"
    ),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "text", "status", "pointer"), JSON_BODIES)
async def test_json_that_is_wrong(house: House, operation: str, text: str, status: int, pointer: str | None) -> None:
    assert_refused(await post(house, operation, text), status, pointer)


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("fgsm", {"epsilon": True}),
        ("pgd", {"step_size": True}),
        ("pgd", {"steps": True}),
        ("pgd", {"steps": "5"}),
        ("pgd", {"random_start": 1}),
        ("pgd", {"random_start": "true"}),
        ("fgsm", {"target": {"rank": "2"}}),
        ("fgsm", {"target": {"rank": True}}),
        ("fgsm", {"epsilon": "1e999999999"}),
        ("fgsm", {"epsilon": 10**400}),
        (None, {"top_k": True}),
        (None, {"top_k": "5"}),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_one_kind_of_value_does_not_pass_for_another(
    house: House, method: str | None, parameters: Mapping[str, Any]
) -> None:
    said = {"images": json.loads(IMAGES), "method": method, "parameters": parameters}
    answer = await post(house, "attack" if method else "classify", json.dumps(said))
    assert_refused(answer, 422, f"/parameters/{next(iter(parameters))}")


@pytest.mark.parametrize(
    "said",
    [{"seed": True}, {"deadline_s": True}, {"deadline_s": 10**400}, {"max_rows": "5"}],
    ids=lambda value: str(value)[:60],
)
async def test_nor_beside_the_parameters(house: House, said: Mapping[str, Any]) -> None:
    answer = await post(house, "classify", json.dumps({"images": json.loads(IMAGES), **said}))
    assert_refused(answer, 422, f"/{next(iter(said))}")


@pytest.mark.parametrize(
    ("fields", "status", "pointer"),
    [
        pytest.param([("request", '{"method": 5}')], 422, "/method", id="a method that is a number"),
        pytest.param([("request", '{"method": ["pgd"]}')], 422, "/method", id="a method that is a list"),
        pytest.param([("request", '{"parameters": [1]}')], 422, "/parameters", id="parameters that are a list"),
        pytest.param([("request", '{"parameters": null}')], 422, "/parameters", id="parameters that are nothing"),
        pytest.param([("request", '{"seed": "7"}')], 422, "/seed", id="text for a number in JSON"),
        pytest.param([("request", '{"sed": 7}')], 422, "/sed", id="an unknown member"),
        pytest.param([("request", "{}"), ("request", "{}")], 422, "/request", id="two requests"),
        pytest.param([("parameters", "{}"), ("parameters", "{}")], 422, "/parameters", id="parameters twice"),
        pytest.param([("seed", "1"), ("seed", "2")], 422, "/seed", id="two seeds"),
        pytest.param([("epsilon", "1"), ("epsilon", "2")], 422, "/parameters/epsilon", id="two radii"),
        pytest.param([("request", '{"seed": 1}'), ("seed", "2")], 422, "/seed", id="a seed in two ways"),
        pytest.param(
            [("request", '{"parameters": {"epsilon": 1}}'), ("epsilon", "2")], 422, "/parameters/epsilon",
            id="a radius in two ways",
        ),
        pytest.param([("target", '{"rank": 1, "rank": 2}')], 422, "/parameters/target", id="two ranks"),
    ],
)  # fmt: skip
async def test_a_form_that_is_wrong(
    house: House, fields: Iterable[tuple[str, str]], status: int, pointer: str | None
) -> None:
    assert_refused(await send(house, "attack", fields), status, pointer)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        pytest.param(b"--x\r\ngarbage", "multipart/form-data; boundary=x", id="garbage"),
        pytest.param(
            b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n' + PICTURE,
            "multipart/form-data; boundary=x", id="cut",
        ),
        pytest.param(b"--x--", "multipart/form-data", id="no boundary"),
    ],
)  # fmt: skip
async def test_a_form_that_does_not_end_is_unreadable(house: House, content: bytes, kind: str) -> None:
    answer = await house.client.post(path("classify"), content=content, headers={"Content-Type": kind})
    assert_refused(answer, 400)
    assert ".." not in answer.json()["detail"]


@pytest.mark.parametrize("epsilon", ["0.5/255", "1.9/255", "8/255", "8 / 255", "0.03"])
async def test_an_epsilon_is_a_fraction_anywhere(house: House, epsilon: str) -> None:
    above, _, below = epsilon.partition("/")
    body = {"images": json.loads(IMAGES), "parameters": {"epsilon": epsilon}}
    for answer in (await post(house, "attack", json.dumps(body)), await send(house, "attack", [("epsilon", epsilon)])):
        assert answer.json()["parameters"]["epsilon"] == float(above) / float(below or 1)


# ── how much is wrong ───────────────────────────────────────────────────────────────────────────────────────────────

MANY = 20_000
NAMES = ", ".join(f'"n{i}": 1' for i in range(MANY))
FLOODS = [
    pytest.param("saliency", f'"parameters": {{"target": [{"[], " * MANY}[]]}}', id="empty lists for classes"),
    pytest.param("saliency", f'"parameters": {{"target": {{{NAMES}}}}}', id="a class of many members"),
    pytest.param("classify", f'"parameters": {{"layers": [{"1, " * MANY}1]}}', id="numbers for layers"),
    pytest.param("classify", f'"parameters": {{"layers": {{{NAMES}}}}}', id="layers by name"),
    pytest.param("classify", f'"parameters": {{{NAMES}}}', id="many unknown parameters"),
    pytest.param("classify", NAMES, id="many unknown members"),
    pytest.param("classify", f'"images": [{"0, " * MANY}0]', id="zeros for images"),
    pytest.param("classify", f'"images": [{"0, " * 900}0]', id="zeros for fewer images"),
    pytest.param("classify", f'"images": [{{{NAMES}}}]', id="a tensor of many members"),
    pytest.param("classify", f'"include": [{"0, " * MANY}0]', id="zeros to include"),
    pytest.param("classify", f'"{"n" * 10**6}": 1', id="a long name"),
    pytest.param("classify", f'"parameters": {{"{"n" * 10**6}": 1}}', id="a long parameter"),
    pytest.param("classify", f'"include": ["{"n" * 10**6}"]', id="a long inclusion"),
    pytest.param("attack", f'"method": "{"n" * 10**6}"', id="a long method"),
    pytest.param("attack", f'"parameters": {{"epsilon": "{"9" * 10**6}"}}', id="a long number"),
    pytest.param("saliency", f'"parameters": {{"target": "{"n" * 10**6}"}}', id="a long class"),
    pytest.param("saliency", f'"parameters": {{"score": {"[" * 300}{"]" * 300}}}', id="a deep list"),
    pytest.param("classify", f'"parameters": [{"[], " * 500_000}[]]', id="two million marks"),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "members"), FLOODS)
async def test_a_flood_of_mistakes_is_answered_soon_and_in_short(house: House, operation: str, members: str) -> None:
    images = "" if '"images"' in members else f'"images": {IMAGES}, '
    begun = time.monotonic()
    answer = await post(house, operation, f"{{{images}{members}}}")
    assert time.monotonic() - begun < SOON_S
    assert 400 <= answer.status_code < 500, answer.text[:500]
    assert len(answer.content) < LONGEST
    assert len(answer.json().get("errors", ())) <= FIELDS


async def test_a_flood_by_grpc_is_answered_soon_too(house: House) -> None:
    request = rakinglight_pb2.SaliencyRequest(model="small", images=[rakinglight_pb2.Image(file=PICTURE)])
    request.parameters.target.extend([rakinglight_pb2.ClassReference(rank=1)] * 300_000)
    begun = time.monotonic()
    with pytest.raises(BadParameter, match="target lists 300000; at most 1000"):
        messages.parameters(request.parameters)
    assert time.monotonic() - begun < SOON_S


# ── repeating a call ────────────────────────────────────────────────────────────────────────────────────────────────

RANDOM = {"random_start": True, "steps": 3, "epsilon": 0.1}


async def test_a_reply_posted_back_gives_the_same_bits(house: House) -> None:
    images = json.loads(IMAGES)
    body = {"images": images, "method": "pgd", "parameters": RANDOM}
    first = (await post(house, "attack", json.dumps(body | {"seed": 7}))).json()
    back = {name: first[name] for name in ("method", "parameters", "seed")}
    again = (await post(house, "attack", json.dumps({"images": images, **back}))).json()
    unseeded = (await post(house, "attack", json.dumps(body))).json()
    assert (first["seed"], unseeded["seed"]) == (7, 0)
    exact, repeated, other = (answer["results"][0]["exact"]["image"] for answer in (first, again, unseeded))
    assert exact == repeated
    assert exact != other


async def test_so_does_a_response_by_grpc(house: House) -> None:
    images = [rakinglight_pb2.Image(file=PICTURE)]
    house.core.settings = Settings(grpc_port=0)
    async with (
        server(house.core, Keyring()) as door,
        grpc.aio.insecure_channel(f"127.0.0.1:{door.port}") as channel,
    ):
        stub: Any = RakingLightStub(channel)
        asked = rakinglight_pb2.AttackRequest(model="small", images=images, seed=7)
        messages.fill_parameters(asked.parameters, "pgd", RANDOM)
        first = await stub.Attack(asked)
        again = await stub.Attack(
            rakinglight_pb2.AttackRequest(model="small", images=images, parameters=first.parameters, seed=first.seed)
        )
        asked.seed = 0
        other = await stub.Attack(asked)
    assert (first.seed, other.seed) == (7, 0)
    exact, repeated, different = (response.results[0].exact.image for response in (first, again, other))
    assert exact == repeated
    assert exact != different


def test_the_reply_of_every_operation_has_the_seed() -> None:
    for name in catalogue.OPERATIONS:
        assert "seed" in rakinglight_pb2.DESCRIPTOR.message_types_by_name[f"{name.title()}Response"].fields_by_name


# ── what a mistake is answered with ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("operation", "fields", "pointer", "words"),
    [
        ("attack", [("steps", "ten")], "/parameters/steps", "steps is 'ten': it is no number"),
        ("attack", [("method", "pgd"), ("steps", "2.5")], "/parameters/steps", "steps is 2.5: input should be a valid"),
        ("attack", [("image", "docs/chelsea.jpg")], "/images/1", "A file needs an @ before its name"),
    ],
    ids=["a word for a number", "a part of a step", "a file's name for the file"],
)
async def test_a_form_is_told_what_a_form_can_do(
    house: House, operation: str, fields: list[tuple[str, str]], pointer: str, words: str
) -> None:
    fields = fields if operation != "attack" or fields[0][0] == "method" else [("method", "pgd"), *fields]
    answer = await send(house, operation, fields)
    assert_refused(answer, 422, pointer)
    assert words in answer.json()["detail"]


async def test_a_parameter_beside_the_images_is_told_where_it_belongs(house: House) -> None:
    answer = await post(house, "robustness", f'{{"images": {IMAGES}, "labels": [1]}}')
    assert_refused(answer, 422, "/labels")
    assert "'labels' is not known beside the images: what a method takes stands in `parameters`" in answer.text


@pytest.mark.parametrize(
    "fields",
    [
        [("defense", "jpeg,bit_depth"), ("layers", "0,3")],
        [("defense", "jpeg"), ("defense", "bit_depth"), ("layers", "0"), ("layers", "3")],
        [("defense", '{"name": "jpeg"}'), ("defense", '{"name": "bit_depth"}'), ("layers", "0,3")],
    ],
    ids=["with commas", "one field each", "as JSON"],
)
async def test_a_form_lists_values_with_commas_or_in_a_field_each(house: House, fields: list[tuple[str, str]]) -> None:
    answer = await send(house, "classify", fields)
    assert answer.status_code == 200, answer.text
    parameters = answer.json()["parameters"]
    assert [step["name"] for step in parameters["defense"]] == ["jpeg", "bit_depth"]
    assert parameters["layers"] == ["0", "3"]
