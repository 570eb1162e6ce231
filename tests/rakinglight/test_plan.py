"""What a request comes to, before anything is spent; and what becomes of the answers."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rakinglight import catalogue, eight_bit
from rakinglight.card import Card
from rakinglight.errors import BadParameter, DeadlineExceeded, FieldError
from rakinglight.geometry import Geometry
from rakinglight.plan import PICTURE_S, Plan, comparable

SALIENCY, OCCLUSION, ATTACK, CLASSIFY = (
    catalogue.operation(name) for name in ("saliency", "occlusion", "attack", "classify")
)
PIXELS = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def card() -> Card:
    return Card(
        "small",
        "1.0",
        (3, 8, 8),
        (0.0,) * 3,
        (1.0,) * 3,
        tuple("abcde"),
        "0" * 64,
        "A test's.",
        layers={"0": (4, 6, 6)},
    )


def plan(card: Card, operation: catalogue.Operation = SALIENCY, images: int = 1, **said: Any) -> Plan:
    return Plan.of(card, operation, images, **said)


def refused(card: Card, operation: catalogue.Operation = SALIENCY, images: int = 1, **said: Any) -> BadParameter:
    with pytest.raises(BadParameter) as found:
        plan(card, operation, images, **said)
    return found.value


def test_one_method_is_one_part_with_all_its_parameters(card: Card) -> None:
    found = plan(card, method="smoothgrad", parameters={"n_samples": 3})
    (part,) = found.parts
    assert (found.compared, part.name) == (False, "smoothgrad")
    assert part.parameters["n_samples"] == 3
    assert part.parameters["score"] == "logit"


def test_without_a_method_it_is_the_first(card: Card) -> None:
    assert plan(card).parts[0].name == SALIENCY.methods[0].name
    assert plan(card, CLASSIFY).parts[0].name is None


def test_several_methods_each_take_the_parameters_that_they_have(card: Card) -> None:
    found = plan(card, method=["gradient", "smoothgrad"], parameters={"target": "c", "n_samples": 3})
    assert found.compared
    assert [part.parameters["target"] for part in found.parts] == ["c", "c"]
    assert ["n_samples" in part.parameters for part in found.parts] == [False, True]


def test_a_list_of_one_method_is_answered_as_a_list(card: Card) -> None:
    assert plan(card, method=["gradient"]).compared


def test_the_entries_of_compare_are_parts_of_their_own(card: Card) -> None:
    found = plan(
        card,
        images=2,
        compare=[{"method": "grad_cam", "target": "b"}, {"target": ["a", 3]}, {"parameters": {"score": "probability"}}],
    )
    assert [part.name for part in found.parts] == ["grad_cam", "gradient", "gradient"]
    assert [[own["target"] for own in part.each] for part in found.parts] == [["b", "b"], ["a", 3], [None, None]]
    assert found.parts[2].parameters["score"] == "probability"


def test_there_is_a_question_for_each_image_and_part(card: Card) -> None:
    found = plan(card, images=2, compare=[{"target": ["a", "b"]}, {"method": "grad_cam"}])
    questions = found.questions([PIXELS, PIXELS[::-1]], seed=7)
    assert [(q.method, q.parameters["target"], q.seed) for q in questions] == [
        ("gradient", "a", 7), ("grad_cam", None, 7), ("gradient", "b", 7), ("grad_cam", None, 7),
    ]  # fmt: skip
    assert [q.pixels is questions[0].pixels for q in questions] == [True, True, False, False]


@pytest.mark.parametrize(("max_rows", "share"), [(100, 33), (3, 1), (None, None)])
def test_the_maps_of_an_image_share_its_rows(card: Card, max_rows: int | None, share: int | None) -> None:
    found = plan(card, method=["gradient", "smoothgrad", "vargrad"])
    assert {question.max_rows for question in found.questions([PIXELS], max_rows=max_rows)} == {share}


def test_fewer_rows_than_maps_are_refused(card: Card) -> None:
    with pytest.raises(BadParameter, match="max_rows is 1, which 2 maps of an image share") as found:
        plan(card, method=["gradient", "vargrad"]).questions([PIXELS], max_rows=1)
    assert found.value.errors[0].pointer == "/max_rows"


@pytest.mark.parametrize(
    ("operation", "said", "pointer"),
    [
        (CLASSIFY, {"compare": [{}]}, "/compare"),
        (ATTACK, {"compare": [{}]}, "/compare"),
        (ATTACK, {"method": ["fgsm", "pgd"]}, "/method"),
        (SALIENCY, {"compare": []}, "/compare"),
        (SALIENCY, {"method": []}, "/method"),
        (SALIENCY, {"compare": [{}], "method": "gradient"}, "/method"),
        (SALIENCY, {"compare": [{}], "method": ["gradient"]}, "/method"),
        (SALIENCY, {"compare": [{}], "parameters": {"target": 1}}, "/parameters"),
        (SALIENCY, {"compare": [{}, {"methods": "gradient"}]}, "/compare/1/methods"),
        (SALIENCY, {"compare": [{"method": 1}]}, "/compare/0/method"),
        (SALIENCY, {"compare": [{"method": ["gradient"]}]}, "/compare/0/method"),
        (SALIENCY, {"compare": [{"method": "gradeint"}]}, "/compare/0/method"),
        (SALIENCY, {"compare": [{"parameters": []}]}, "/compare/0/parameters"),
        (SALIENCY, {"compare": [{}, {"parameters": {"scores": 1}}]}, "/compare/1/parameters/scores"),
        (SALIENCY, {"compare": [{"target": "z"}]}, "/compare/0/target"),
        (SALIENCY, {"compare": [{"target": {"rank": 6}}]}, "/compare/0/target"),
        (SALIENCY, {"compare": [{"parameters": {"target": "z"}}]}, "/compare/0/parameters/target"),
        (SALIENCY, {"compare": [{"target": "a", "parameters": {"target": "a"}}]}, "/compare/0/target"),
        (OCCLUSION, {"compare": [{}, {}, {"parameters": {"window": 9}}]}, "/compare/2/parameters/window"),
        (SALIENCY, {"method": ["gradient", "gradeint"]}, "/method/1"),
        (SALIENCY, {"method": ["gradient", "smoothgrad"], "parameters": {"n_sample": 1}}, "/parameters/n_sample"),
        (SALIENCY, {"method": ["gradient", "smoothgrad"], "parameters": {"n_samples": 0}}, "/parameters/n_samples"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_fault_is_pointed_at(
    card: Card, operation: catalogue.Operation, said: Mapping[str, Any], pointer: str
) -> None:
    error = refused(card, operation, **said)
    assert [each.pointer for each in error.errors] == [pointer]


def test_an_error_of_a_part_says_which(card: Card) -> None:
    assert str(refused(card, compare=[{}, {"method": "gradeint"}])).startswith("Entry 1 of compare: 'gradeint'")


def test_what_the_engine_finds_wrong_is_pointed_at_too(card: Card) -> None:
    found = plan(card, compare=[{}, {"target": "b"}])
    error = BadParameter("No.", errors=[FieldError("/parameters/target", "No."), FieldError("/max_rows", "More.")])
    assert [each.pointer for each in found.placed(3, error).errors] == ["/compare/1/target", "/max_rows"]
    late = DeadlineExceeded("Too late.")
    assert found.placed(1, late) is late
    assert plan(card).placed(0, error) is error


def test_operations_that_draw_maps_can_be_compared() -> None:
    assert [name for name, operation in catalogue.OPERATIONS.items() if comparable(operation)] == [
        "saliency",
        "occlusion",
    ]


# ── on the way back ─────────────────────────────────────────────────────────────────────────────────────────────────


def body(saved: float | None = None) -> dict[str, Any]:
    prediction = {"index": 1, "label": "b", "probability": 0.5}
    result = {
        "prediction": prediction,
        "target": prediction,
        "map": np.arange(64, dtype=np.float32).reshape(8, 8),
        "seen": PIXELS,
        "n_samples": 4,
    }
    cost: dict[str, float] = {"forward_rows": 2, "gradient_rows": 1} | ({} if saved is None else {"saved_rows": saved})
    return {"result": result, "cost": cost, "answered_by": {"forward": "torch"}}


def answered(found: Plan, bodies: list[dict[str, Any]]) -> dict[str, Any]:
    questions = found.questions([PIXELS] * (len(bodies) // len(found.parts)))
    results = found.results(questions, bodies, request_id="r")
    return found.reply(results, bodies, seed=3, seconds=0.0, request_id="r").members()


def test_a_reply_of_one_part_has_its_method_and_parameters(card: Card) -> None:
    reply = answered(plan(card, images=2, parameters={"target": ["a", "b"]}), [body(), body()])
    assert "compare" not in reply
    assert (reply["method"], reply["parameters"]["target"], reply["seed"]) == ("gradient", ["a", "b"], 3)
    assert reply["cost"] == {"forward_rows": 4, "gradient_rows": 2}
    assert [set(entry) >= {"map", "overlay", "geometry"} for entry in reply["results"]] == [True, True]


def test_a_reply_of_several_lays_them_side_by_side(card: Card) -> None:
    said = [{"method": "grad_cam", "target": ["a", "b"]}, {}]
    reply = answered(plan(card, images=2, compare=said), [body(), body(0.5), body(), body(1.0)])
    assert (reply["method"], reply["parameters"]) == (None, {})
    assert [part["method"] for part in reply["compare"]] == ["grad_cam", "gradient"]
    assert reply["compare"][0]["parameters"]["target"] == ["a", "b"]
    assert reply["cost"] == {"forward_rows": 8, "gradient_rows": 4, "saved_rows": 1.5}
    for entry, target in zip(reply["results"], "ab", strict=True):
        assert set(entry) == {"prediction", "geometry", "maps", "overlay"}
        assert [one["method"] for one in entry["maps"]] == ["grad_cam", "gradient"]
        assert entry["maps"][0]["parameters"]["target"] == target  # this image's own
        assert "overlay" not in entry["maps"][0]
        with Image.open(io.BytesIO(entry["overlay"])) as sheet:
            assert sheet.width > sheet.height


def test_it_asks_for_itself_again(card: Card) -> None:
    reply = answered(plan(card, method=["smoothgrad", "gradient"], parameters={"n_samples": 3}), [body(), body()])
    again = {name: reply[name] for name in ("method", "parameters", "compare")}
    assert [part.members for part in plan(card, **again).parts] == reply["compare"]


def test_progress_says_which_image_and_which_map(card: Card) -> None:
    frame = {"step": 1, "of": 2, "objective": None}
    assert plan(card, images=3).progress(2, PIXELS, frame) == {"image": 2, **frame}
    assert plan(card, images=2, compare=[{}, {}]).progress(3, PIXELS, frame) == {"image": 1, "map": 1, **frame}


def test_a_map_so_far_is_drawn_over_what_the_model_sees(card: Card) -> None:
    frame = {"step": 1, "of": 2, "objective": None, "map": np.ones((8, 8), np.float32)}
    said = plan(card).progress(0, np.repeat(PIXELS, 3, 0), frame)
    assert "map" not in said
    with Image.open(io.BytesIO(said["picture"])) as picture:
        assert picture.format == "PNG"


def test_pictures_are_asked_for_where_maps_are_shown(card: Card) -> None:
    def seconds(found: Plan, images: int) -> set[float | None]:
        return {question.map_s for question in found.watched(found.questions([PIXELS] * images))}

    assert seconds(plan(card, images=2, compare=[{}, {}, {}]), 2) == {6 * PICTURE_S}
    assert seconds(plan(card, include=["map"]), 1) == {None}
    assert seconds(plan(card, ATTACK), 1) == {None}


@pytest.mark.parametrize("size", [(8, 8), (40, 60), (61, 30), (5, 9)], ids=str)
def test_the_picture_of_what_a_model_sees_is_what_it_sees(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    geometry = Geometry.of(*size, (3, 8, 8), 10)
    rows, columns = geometry.matrices()
    exact = eight_bit.from_float(rows @ eight_bit.to_float(pixels) @ columns.T)
    for form in (pixels, eight_bit.to_float(pixels)):
        assert np.abs(geometry.picture(form).astype(int) - exact).max() <= 2
