"""What the client hands back: views of a reply, with what is not there said in words."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from rakinglight import pictures
from rakinglight.pictures import Scaling
from rakinglight.results import Explanation, Occlusion, Progress, Saliency, answers

CAT = {"index": 0, "label": "cat", "probability": 0.75}
DOG = {"index": 1, "label": "dog", "probability": 0.25}
PNG = pictures.to_png(Image.new("RGB", (4, 3)))


def found(target: dict[str, Any], **more: Any) -> dict[str, Any]:
    scaling = {"scale": "linear", "low": 0.0, "high": 1.0, "largest": 2.0, "colours": "inferno"}
    return {"target": target, "map": np.eye(3, dtype=np.float32), "scaling": scaling, **more}


def answer(operation: str, entry: dict[str, Any], method: str | None = "gradient") -> Any:
    head = {"operation": operation, "model": {"name": "small"}, "method": method, "parameters": {}}
    (only,) = answers({**head, "results": [{"prediction": CAT, "geometry": {}, **entry}]})
    return only


def compared() -> Saliency:
    parts = [
        {"method": "gradient", "parameters": {"target": "cat"}, **found(CAT)},
        {"method": "grad_cam", "parameters": {"target": "dog"}, **found(DOG, cells=np.ones((2, 2)))},
    ]
    made = answer("saliency", {"maps": parts, "overlay": PNG}, method=None)
    assert isinstance(made, Saliency)
    return made


def test_an_explanation_has_its_arrays_pictures_and_figures() -> None:
    evaluation = {"deletion": {"area": 0.5, "curve": np.array([1, 0], np.float32), "score": "probability"}}
    one = answer("saliency", found(DOG, overlay=PNG, curves=PNG, evaluation=evaluation, cells=np.ones((2, 2))))
    assert str(one) == "what gradient finds for dog (25.0%)"
    assert one.scaling == Scaling("linear", 0.0, 1.0, 2.0, "inferno")
    assert one.overlay.size == one.curves.size == (4, 3)
    assert one.evaluation["deletion"]["area"] == 0.5
    assert one.cells.shape == (2, 2)


def test_occlusion_has_the_grid_of_its_windows() -> None:
    one = answer("occlusion", found(CAT, grid=np.ones((5, 4))), method="sliding")
    assert isinstance(one, Occlusion)
    assert one.grid.shape == (5, 4)


def test_one_map_is_a_list_of_one_for_who_asks_for_maps() -> None:
    one = answer("saliency", found(CAT))
    assert one.maps == [one]
    assert not one.compared


def test_each_of_several_maps_is_an_answer_of_its_own() -> None:
    first, second = compared().maps
    assert (first.method, first.target.label) == ("gradient", "cat")
    assert (second.method, second.target.label) == ("grad_cam", "dog")
    assert second.cells.shape == (2, 2)
    assert second.prediction.label == "cat"
    assert second.reply["parameters"] == {"target": "dog"}


def test_several_maps_together_say_what_they_are() -> None:
    assert repr(compared()) == "<Saliency by small: what gradient and grad_cam find for cat (75.0%) and dog (25.0%)>"
    assert compared().overlay.size == (4, 3)


@pytest.mark.parametrize("name", ["map", "target", "scaling", "evaluation"])
def test_what_each_map_has_is_looked_for_there(name: str) -> None:
    with pytest.raises(AttributeError, match="holds 2 maps"):
        getattr(compared(), name)


def test_what_was_left_out_is_said_of_one_map() -> None:
    one: Explanation = answer("saliency", {"target": CAT})
    with pytest.raises(AttributeError, match="`include` may have left it out"):
        _ = one.map


def test_progress_may_bring_a_picture_and_the_place_of_its_map() -> None:
    news = Progress.read({"image": 1, "step": 3, "of": 9, "picture": PNG, "map": 2})
    assert news.picture is not None
    assert (news.picture.size, news.map) == ((4, 3), 2)
    assert "PNG" not in repr(news)
    assert Progress.read({"step": 3, "of": 9}).picture is None
