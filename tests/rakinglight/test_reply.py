"""From a run's result to a reply, and from a reply's two outer forms back."""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from rakinglight import catalogue, charts, pictures, reply
from rakinglight.card import Card
from rakinglight.errors import BadParameter, InternalError, NotAcceptable
from rakinglight.results import Attack

CARD = Card("small", "1.0", (3, 8, 8), (0.0,) * 3, (1.0,) * 3, ("cat", "dog"), "0" * 64, "Made by a test.")
PIXELS = np.random.default_rng(0).integers(0, 200, (10, 12, 3), np.uint8)
SAID = {"index": 0, "label": "cat", "probability": 0.75}
FACTS = reply.facts(CARD, "pgd", {"epsilon": 8 / 255}, "r-1")


def explained() -> dict[str, Any]:
    values = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    return {
        "prediction": SAID,
        "target": SAID,
        "map": values,
        "signed_map": np.stack([values] * 3),
        "seen": PIXELS[:8, :8],
    }


def attacked() -> dict[str, Any]:
    exact = {"image": np.zeros((3, 10, 12), np.float32), "success": True, "after": SAID, "distance": {"linf": 0.1}}
    return {"prediction": SAID, "success": True, "adversarial": PIXELS + 8, "exact": exact, "queries": 13}


def finished(operation: str, result: dict[str, Any], include: tuple[str, ...] | None = None) -> dict[str, Any]:
    return reply.finish(catalogue.operation(operation), result, PIXELS, CARD, include, FACTS)


def evaluated() -> dict[str, Any]:
    found = {"area": 0.25, "curve": np.linspace(0.5, 0, 9, dtype=np.float32), "score": "probability"}
    return explained() | {"evaluation": {"deletion": found, "max_sensitivity": {"value": 0.5, "n_samples": 8}}}


PARTS = (
    {"method": "gradient", "parameters": {"target": None, "score": "logit"}},
    {"method": "smoothgrad", "parameters": {"target": None, "score": "probability", "n_samples": 50}},
)


def side_by_side(
    include: tuple[str, ...] | None = None, results: Sequence[dict[str, Any]] | None = None
) -> dict[str, Any]:
    results = results or [explained(), evaluated()]
    return reply.compared(catalogue.operation("saliency"), PARTS, results, PIXELS, CARD, include)


def test_a_saliency_entry_has_geometry_and_an_overlay_and_no_image_of_its_own() -> None:
    entry = finished("saliency", explained())
    assert set(entry) == {"prediction", "target", "map", "signed_map", "overlay", "scaling", "geometry"}
    assert entry["geometry"]["original"] == [10, 12]
    assert pictures.from_png(entry["overlay"]).width >= 384


def test_an_overlay_comes_with_its_scaling_by_name() -> None:
    scaling = finished("saliency", explained())["scaling"]
    assert scaling.keys() == {"scale", "low", "high", "largest", "colours"}
    assert (scaling["low"], scaling["largest"]) == (0, 1)
    assert "scaling" not in finished("saliency", explained(), ("map",))


def test_curves_are_drawn_of_what_was_evaluated() -> None:
    assert pictures.from_png(finished("saliency", evaluated())["curves"]).size == charts.CHART
    assert "curves" not in finished("saliency", evaluated(), ("map",))
    only = explained() | {"evaluation": {"max_sensitivity": {"value": 0.5}}}
    assert "curves" not in finished("saliency", only)


def test_maps_side_by_side_share_the_prediction_the_geometry_and_a_sheet() -> None:
    entry = side_by_side()
    assert set(entry) == {"prediction", "geometry", "maps", "overlay"}
    first, second = entry["maps"]
    assert set(first) == {"method", "parameters", "target", "map", "signed_map", "scaling"}
    assert set(second) == {*first, "evaluation", "curves"}
    assert [part["method"] for part in entry["maps"]] == ["gradient", "smoothgrad"]
    alone = pictures.from_png(finished("saliency", explained())["overlay"])
    assert pictures.from_png(entry["overlay"]).width == 16 + 2 * (alone.width + 16)


def test_panels_are_told_apart_by_class_and_by_what_differs() -> None:
    notes = reply._notes(PARTS, [explained(), evaluated()])
    assert notes == ["cat (75.0%)\nscore logit", "cat (75.0%)\nscore probability, deletion 0.250"]
    assert reply._notes(PARTS[:1] * 2, [explained()] * 2) == ["cat (75.0%)"] * 2


def test_the_maps_of_each_class_stand_in_a_row() -> None:
    dog = explained() | {"target": {"index": 1, "label": "dog", "probability": 0.25}}
    results = [*[explained()] * 2, *[dog] * 2]
    entry = reply.compared(catalogue.operation("saliency"), PARTS * 2, results, PIXELS, CARD, None)
    sheet = pictures.from_png(entry["overlay"])
    assert sheet.width == 16 + 2 * (384 + 16)


def test_one_partial_map_makes_the_entry_partial() -> None:
    entry = side_by_side(results=[explained(), explained() | {"partial": True}])
    assert entry["partial"]
    assert [part.get("partial", False) for part in entry["maps"]] == [False, True]


@pytest.mark.parametrize("include", [(), ("overlay",), ("map",)], ids=str)
def test_include_narrows_what_stands_side_by_side(include: tuple[str, ...]) -> None:
    entry = side_by_side(include)
    assert ("overlay" in entry) == ("overlay" in include)
    assert all(("map" in part) == ("map" in include) for part in entry["maps"])


def test_several_sheets_stand_in_a_column_as_large_as_they_are() -> None:
    entry = side_by_side()
    one = pictures.from_png(entry["overlay"])
    both = pictures.from_png(reply.picture(catalogue.operation("saliency"), [entry, entry]))
    assert both.width == one.width + 32
    assert both.height > 2 * one.height


def test_an_adversarial_png_holds_the_pixels_and_says_where_they_are_from() -> None:
    picture = pictures.from_png(finished("attack", attacked())["adversarial"])
    np.testing.assert_array_equal(np.asarray(picture), PIXELS + 8)
    assert picture.info == {"model": "small 1.0", "method": "pgd", "epsilon": "0.0313725", "request_id": "r-1"}


def test_a_grey_adversarial_stays_grey() -> None:
    result = attacked() | {"adversarial": (PIXELS + 8)[..., :1]}
    card = Card("grey", "1.0", (1, 8, 8), (0.0,), (1.0,), ("cat", "dog"), "0" * 64, "Made by a test.")
    entry = reply.finish(catalogue.operation("attack"), result, PIXELS[..., :1], card, None, FACTS)
    assert pictures.from_png(entry["adversarial"]).mode == "L"


def test_the_perturbation_says_how_much_it_is_amplified() -> None:
    assert finished("attack", attacked())["perturbation"]["factor"] == 15


@pytest.mark.parametrize("note", [None, "epsilon is small."])
def test_an_exact_tensor_that_does_not_fit_leaves_its_numbers_and_a_note(note: str | None) -> None:
    result = attacked() | ({"note": note} if note else {})
    entry = reply.finish(catalogue.operation("attack"), result, PIXELS, CARD, None, FACTS, exact_image=False)
    assert set(entry["exact"]) == {"success", "after", "distance"}
    assert entry["note"] == " ".join(filter(None, (note, reply.LEFT_OUT)))
    assert {"adversarial", "perturbation"} <= set(entry)
    answer = Attack(entry, {})
    with pytest.raises(AttributeError, match=r'"include": \["exact"\]'):
        answer.exact  # noqa: B018


@pytest.mark.parametrize("include", [(), ("adversarial",), ("exact",), ("perturbation",), None], ids=str)
def test_no_attack_has_more_bytes_than_was_said(include: tuple[str, ...] | None) -> None:
    names = reply.check_include(catalogue.operation("attack"), include)
    entry = finished("attack", attacked(), include)
    assert len(json.dumps(reply.to_json(entry))) <= reply.most_bytes(names, 10, 12, 3)


@pytest.mark.parametrize(
    ("operation", "include", "carried"),
    [
        ("saliency", (), set()),
        ("saliency", ("overlay",), {"overlay"}),
        ("saliency", ("map", "signed_map"), {"map", "signed_map"}),
        ("attack", (), set()),
        ("attack", ("adversarial",), {"adversarial"}),
        ("attack", ("exact", "perturbation"), {"exact", "perturbation"}),
    ],
)
def test_include_narrows_what_an_entry_carries(operation: str, include: tuple[str, ...], carried: set[str]) -> None:
    entry = finished(operation, explained() if operation == "saliency" else attacked(), include)
    assert set(entry) & set(catalogue.operation(operation).include) == carried
    assert entry["prediction"] == SAID


def test_an_unknown_name_in_include_is_the_callers_fault() -> None:
    with pytest.raises(BadParameter, match="did you mean 'overlay'") as caught:
        reply.check_include(catalogue.operation("saliency"), ["map", "overlya"])
    assert caught.value.errors[0].pointer == "/include/1"


def test_the_picture_of_one_attack_is_its_very_png() -> None:
    entry = finished("attack", attacked())
    assert reply.picture(catalogue.operation("attack"), [entry]) == entry["adversarial"]


def test_the_pictures_of_several_images_stand_side_by_side() -> None:
    entry = finished("saliency", explained())
    one = pictures.from_png(entry["overlay"])
    both = pictures.from_png(reply.picture(catalogue.operation("saliency"), [entry, entry]))
    assert both.width > 2 * one.width


@pytest.mark.parametrize(("operation", "entries"), [("classify", [{}]), ("saliency", [{"map": 1}]), ("saliency", [])])
def test_where_there_is_no_picture_none_is_given(operation: str, entries: list[dict[str, Any]]) -> None:
    with pytest.raises(NotAcceptable):
        reply.picture(catalogue.operation(operation), entries)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    return bool(a == b)


@pytest.mark.parametrize("form", ["json", "npz"])
@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(lambda: finished("saliency", evaluated()), id="saliency"),
        pytest.param(lambda: finished("occlusion", explained() | {"grid": np.eye(3)}), id="occlusion"),
        pytest.param(side_by_side, id="side by side"),
        pytest.param(lambda: finished("attack", attacked()), id="attack"),
    ],
)
def test_a_reply_comes_back_as_it_went(entry: Any, form: str) -> None:
    entry = entry()
    whole = {"operation": "any", "cost": {"forward_rows": 1}, "results": [entry, entry]}
    if form == "json":
        back = reply.from_json(json.loads(json.dumps(reply.to_json(whole))))
    else:
        members = {name: value for name, value in whole.items() if name != "results"}
        back = reply.from_npz(reply.to_npz(whole["results"], members))
    assert same(back, whole)


@pytest.mark.parametrize("number", [math.nan, math.inf, np.float32("nan")])
def test_what_json_has_no_word_for_is_null(number: float) -> None:
    assert reply.to_json({"standard_error": number, "all": [number, 1.0]}) == {
        "standard_error": None,
        "all": [None, 1.0],
    }


def test_numpy_alone_reads_the_npz(tmp_path: Any) -> None:
    (tmp_path / "reply.npz").write_bytes(reply.to_npz([finished("saliency", explained())]))
    with np.load(tmp_path / "reply.npz") as file:
        np.testing.assert_array_equal(file["results.0.map"], explained()["map"])
        assert file["results.0.overlay"].tobytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("raw", [b"", b"PK", b"PK\x03\x04", b"not a zip at all"])
def test_what_is_no_npz_is_an_error_of_ours(raw: bytes) -> None:
    with pytest.raises(InternalError):
        reply.from_npz(raw)
