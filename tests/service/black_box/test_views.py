"""What a view shows of an answer, and that it shows no more."""

import pytest

from rakinglight.card import Card
from service.black_box.views import cut, wanted

TOLD = [
    {"index": 2, "label": "c", "probability": 0.4949, "logit": 3.0},
    {"index": 3, "label": "d", "probability": 0.4851, "logit": 2.9},
    {"index": 1, "label": "b", "probability": 0.0101, "logit": -1.0},
    {"index": 0, "label": "a", "probability": 0.0099, "logit": -1.1},
]
CARD = Card("small", "1.0", (3, 8, 8), (0.0,) * 3, (1.0,) * 3, tuple("abcd"), "", "A test.")


def said(predictions: list[dict[str, object]]) -> list[tuple[object, ...]]:
    return [tuple(each.values()) for each in predictions]


def test_each_view_shows_what_its_name_says() -> None:
    assert cut(TOLD, "label") == [{"index": 2, "label": "c"}]
    assert said(cut(TOLD, "top_k", 2)) == [(2, "c", 0.4949), (3, "d", 0.4851)]
    assert said(cut(TOLD, "full")) == [(2, "c", 0.4949), (3, "d", 0.4851), (1, "b", 0.0101), (0, "a", 0.0099)]


def test_the_order_of_rounded_figures_tells_no_more_than_they_do() -> None:
    assert said(cut(TOLD, "rounded")) == [(2, "c", 0.49), (3, "d", 0.49), (0, "a", 0.01), (1, "b", 0.01)]
    swapped = [{**TOLD[1], "probability": 0.4949}, {**TOLD[0], "probability": 0.4851}, *TOLD[2:]]
    assert cut(swapped, "rounded") == cut(TOLD, "rounded")


def test_rounding_harder_leaves_one_decimal() -> None:
    assert said(cut(TOLD, "full", harder=True)) == [(2, "c", 0.5), (3, "d", 0.5), (0, "a", 0.0), (1, "b", 0.0)]
    assert cut(TOLD, "rounded", harder=True) == cut(TOLD, "full", harder=True)
    assert said(cut(TOLD, "top_k", 2, harder=True)) == [(2, "c", 0.5), (3, "d", 0.5)]
    assert cut(TOLD, "label", harder=True) == cut(TOLD, "label")


@pytest.mark.parametrize("view", ["label", "top_k", "rounded", "full"])
def test_a_logit_never_leaves_and_a_model_of_labels_alone_tells_its_label(view: str) -> None:
    assert all("logit" not in each for each in cut(TOLD, view))  # type: ignore[arg-type]
    labels = [{"index": 1, "label": "b"}, {"index": 0, "label": "a"}]
    assert cut(labels, view) == [{"index": 1, "label": "b"}]  # type: ignore[arg-type]


def test_no_more_classes_are_asked_for_than_are_shown() -> None:
    assert [wanted(CARD, view, 3) for view in ("label", "top_k", "rounded", "full")] == [1, 3, 4, 4]
    assert wanted(CARD, "top_k", 50) == 4
