"""What many images excite: activations, patches, neighbours, t-SNE; and how all of it is asked and drawn."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.neighbors import NearestNeighbors

import rakinglight
from model_store import digits
from rakinglight import reply
from rakinglight.catalogue import OPERATIONS
from rakinglight.engine import Engine, Run
from rakinglight.errors import BadParameter
from rakinglight.network import Network
from rakinglight.noise import Noise
from rakinglight.plan import Plan
from rakinglight.queries import Progress
from rakinglight.question import Question
from rakinglight.relays import relayed
from rakinglight.run import Cancelled
from rakinglight.states import to_arrays, to_tensors
from rakinglight.subject import Subject
from rakinglight.units import Found
from rakinglight.units.asking import feature_layer
from rakinglight.units.embedding import embedding
from rakinglight.units.fields import fields
from rakinglight.units.neighbors import nearest, neighbors
from rakinglight.units.top_patches import top_patches

View = Callable[..., Any]


def pictures(count: int) -> list[np.ndarray[Any, Any]]:
    return [image.transpose(1, 2, 0) for image in digits.pictures("test")[0][:count]]


def of_digits(network: Network, count: int) -> list[Subject]:
    return [Subject.of(network.card, image) for image in pictures(count)]


def outputs(network: Network, subjects: list[Subject], layer: str) -> torch.Tensor:
    x = torch.stack([one.seen for one in subjects])
    return network.gradient.forward(x, (layer,), short=True).activations[layer]  # type: ignore[union-attr]


def asked(network: Network, images: list[np.ndarray[Any, Any]], view: str, **parameters: Any) -> dict[str, Any]:
    """The reply's `summary` and `results`, with pictures, as a door has them."""
    plan = Plan.of(network.card, OPERATIONS["units"], len(images), method=view, parameters=parameters)
    run: Run[Any] = Question("units", network.card.name, images[0], view, parameters, more=images[1:]).begin(
        {network.card.name: network}
    )
    engine = Engine([network])
    engine.submit(run)
    engine.run_until(lambda: run.over)
    entries = reply.finish_together(plan.operation, run.result, images, network.card, None)
    results, summary = reply.summarized(plan.operation, entries, {}, None)
    return {"results": results, "summary": summary}


def size_of(png: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(png)).size


# ── activations ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_activations_are_what_the_layer_puts_out(lenet: Network) -> None:
    found = asked(lenet, pictures(3), "activations", layer="c3")
    a = outputs(lenet, of_digits(lenet, 3), "c3").numpy()
    for own, one in zip(a, found["results"], strict=True):
        np.testing.assert_allclose(one["maps"], own, rtol=1e-5, atol=1e-6)
        best = one["strongest"][0]
        assert own[(best["unit"], *best["place"])] == own.max() == pytest.approx(best["activation"])
        assert one["prediction"]["label"]
        assert size_of(one["picture"])
    (alone,) = asked(lenet, pictures(1), "activations", layer="c3", unit=5)["results"]
    np.testing.assert_array_equal(alone["maps"], found["results"][0]["maps"][5:6])
    assert alone["strongest"][0]["unit"] == 5


def test_maps_beyond_what_a_reply_holds_are_refused(lite0: Network) -> None:
    images = [np.zeros((224, 224, 3), np.uint8)] * 8
    with pytest.raises(BadParameter, match=r"768 maps of 112×112 at 'blocks.1.expand', and a reply holds 637"):
        asked(lite0, images, "activations", layer="blocks.1.expand")


# ── patches ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("unit", [None, 3])
def test_top_patches_are_the_largest_of_all_images(lenet: Network, unit: int | None) -> None:
    subjects = of_digits(lenet, 150)  # three waves
    found = Engine([lenet]).drive(top_patches(subjects, lenet.card, Noise(0), layer="c3", unit=unit, count=4)).summary
    a = outputs(lenet, subjects, "c3").numpy()
    looked = Engine([lenet]).drive(fields(lenet.card, "c3", Noise(0)))
    assert [one["unit"] for one in found["units"]] == ([3] if unit else list(range(16)))
    for one in found["units"]:
        own = a[:, one["unit"]].reshape(150, -1).max(1)
        order = np.argsort(-own, kind="stable")[:4]
        values = [patch["activation"] for patch in one["patches"]]
        np.testing.assert_allclose(values, own[order], rtol=1e-5)
        for patch in one["patches"]:
            i, j = patch["place"]
            assert a[patch["image"], one["unit"], i, j] == pytest.approx(patch["activation"], rel=1e-5)
            assert patch["box"] == [2 * i, 2 * j, 2 * i + 14, 2 * j + 14] == list(looked.box((i, j)))
    assert (found["images"], found["field"]) == (150, [14, 14])


def test_a_patch_is_all_that_the_unit_sees(lenet: Network) -> None:
    """Everything but the patch may be noise: the unit is as excited as before."""
    subjects = of_digits(lenet, 20)
    found = Engine([lenet]).drive(top_patches(subjects, lenet.card, Noise(0), layer="s4", count=1)).summary
    for one in found["units"]:
        (patch,) = one["patches"]
        top, left, bottom, right = patch["box"]
        x = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
        x[0, :, top:bottom, left:right] = subjects[patch["image"]].seen[:, top:bottom, left:right]
        a = lenet.gradient.forward(x, ("s4",), short=True).activations["s4"]  # type: ignore[union-attr]
        assert float(a[(0, one["unit"], *patch["place"])]) == pytest.approx(patch["activation"], rel=1e-5, abs=1e-6)


def test_stopped_it_shows_the_patches_of_the_images_seen(lenet: Network) -> None:
    run = top_patches(of_digits(lenet, 150), lenet.card, Noise(0), layer="s4", count=2)
    found = Engine([lenet]).drive(run, max_rows=160)
    assert found.summary["partial"]
    assert found.summary["images"] == 128  # 32 rows are for the fields, 128 for two waves


def states_of(network: Network, begin: Callable[[Any], Any]) -> tuple[Found, list[Any]]:
    states: list[Any] = []

    def keep(news: Any) -> Any:
        if isinstance(news, Progress) and news.state is not None:
            states.append(to_arrays({**news.state, "step": news.step}))
        return news

    return Engine([network]).drive(relayed(begin(None), keep)), states


@pytest.mark.parametrize("view", [top_patches, neighbors, embedding])
def test_taken_up_again_it_finds_the_same(lenet: Network, view: View) -> None:
    subjects = of_digits(lenet, 70)

    def begin(state: Any) -> Any:
        offered = {} if view is neighbors else {"noise": Noise(0)}
        return view(subjects, lenet.card, state=state, layer="s4" if view is top_patches else "f6", **offered)

    whole, states = states_of(lenet, begin)
    assert len(states) == 2
    again = Engine([lenet]).drive(begin(to_tensors(states[0])))
    assert again.summary == whole.summary
    assert list(again.each) == list(whole.each)


# ── neighbours ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("metric", "theirs"), [("cosine", "cosine"), ("l2", "euclidean")])
@pytest.mark.parametrize("averaged", [False, True])
def test_neighbours_are_scikit_learns(lenet: Network, metric: str, theirs: str, *, averaged: bool) -> None:
    subjects = of_digits(lenet, 90)
    given: dict[str, Any] = {"layer": "s4", "metric": metric, "averaged": averaged, "count": 6}
    found = Engine([lenet]).drive(neighbors(subjects, lenet.card, **given))
    a = outputs(lenet, subjects, "s4").double()
    f = (a.mean((2, 3)) if averaged else a.flatten(1)).numpy()
    distances, places = NearestNeighbors(n_neighbors=7, metric=theirs).fit(f).kneighbors(f)
    for i, one in enumerate(found.each):
        assert [n["image"] for n in one["neighbors"]] == [j for j in places[i] if j != i]
        ours = [n["distance"] for n in one["neighbors"]]
        np.testing.assert_allclose(ours, distances[i][1:], rtol=1e-4, atol=1e-6)
    assert found.summary["features"] == f.shape[1]


def test_of_equally_far_neighbours_the_earlier_comes_first() -> None:
    f = torch.tensor([[1.0, 0], [0, 1], [1, 0], [0, 0], [1, 0]])
    distances, order = nearest(f, "cosine", 9)
    assert order[0].tolist() == [2, 4, 1, 3]
    assert distances[0].tolist() == [0, 0, 1, 1]
    assert order[3].tolist() == [0, 1, 2, 4]


def test_features_are_by_default_those_that_classes_are_told_by(lenet: Network, lite0: Network) -> None:
    assert [feature_layer(network.card, None) for network in (lenet, lite0)] == ["f6", "pool"]


def test_one_image_has_no_neighbours(lenet: Network) -> None:
    with pytest.raises(BadParameter, match="send 2 or more") as e:
        asked(lenet, pictures(1), "neighbors")
    assert e.value.errors[0].pointer == "/images"


def test_features_that_do_not_fit_are_refused(lite0: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rakinglight.units.features.MOST_VALUES", 500_000)
    with pytest.raises(BadParameter, match="ask for averaged, or name a later layer") as e:
        asked(lite0, [np.zeros((224, 224, 3), np.uint8)] * 2, "neighbors", layer="stem")
    assert e.value.errors[0].pointer == "/parameters/layer"


# ── the plane ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_on_the_plane_digits_lie_with_their_like(lenet: Network) -> None:
    count = 120
    found = asked(lenet, pictures(count), "embedding")
    places = np.array([one["coordinates"] for one in found["results"]])
    labels = digits.pictures("test")[1][:count]
    _, order = NearestNeighbors(n_neighbors=4).fit(places).kneighbors(places)
    agree = (labels[order[:, 1:]] == labels[:, None]).mean()
    assert agree > 0.8  # of neighbours at random it is 0.1
    assert found["summary"]["trustworthiness"] > 0.9
    assert found["summary"]["perplexity"] == 30
    assert "note" not in found["summary"]
    assert min(size_of(found["summary"]["picture"])) > 1000


def test_few_images_are_said_to_be_few_and_alike_ones_do_no_harm(lenet: Network) -> None:
    found = asked(lenet, pictures(1) * 5, "embedding")
    assert np.isfinite([one["coordinates"] for one in found["results"]]).all()
    assert found["summary"]["perplexity"] == pytest.approx(4 / 3)
    assert "5 images are few" in found["summary"]["note"]


@pytest.mark.parametrize(
    ("count", "given", "pointer", "words"),
    [
        (3, {}, "/images", "send 4 or more"),
        (8, {"perplexity": 8}, "/parameters/perplexity", "has to be below 8"),
        (8, {"layer": "nowhere"}, "/parameters/layer", "has no layer 'nowhere'"),
    ],
)
def test_too_few_for_a_plane(lenet: Network, count: int, given: Any, pointer: str, words: str) -> None:
    with pytest.raises(BadParameter, match=words) as e:
        asked(lenet, pictures(count), "embedding", **given)
    assert e.value.errors[0].pointer == pointer


# ── all of them ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("view", ["activations", "top_patches", "deconv"])
def test_units_out_of_range_and_layers_that_there_are_not(lenet: Network, view: str) -> None:
    for given, pointer, words in (
        ({"layer": "c3", "unit": 16}, "/parameters/unit", "16 is no unit of 'c3': it has 16, 0 to 15"),
        ({"unit": 16}, "/parameters/unit", "16 is no unit of 's4'"),
        ({"layer": "c33"}, "/parameters/layer", "has no layer 'c33'"),
        ({"layer": "c3", "unit": -1}, "/parameters/unit", "greater than or equal to 0"),
    ):
        with pytest.raises(BadParameter, match=words) as e:
            asked(lenet, pictures(1), view, **given)
        assert e.value.errors[0].pointer == pointer


@pytest.mark.parametrize("view", ["filters", "activations", "top_patches"])
def test_a_layer_without_height_and_width_has_no_maps(lenet: Network, view: str) -> None:
    with pytest.raises(BadParameter, match="has no height and width; the last that has is 's4'"):
        asked(lenet, pictures(1), view, layer="f6")


def test_on_photographs_they_run_and_draw(lite0: Network, photographs: dict[str, np.ndarray[Any, Any]]) -> None:
    images = [photographs[name] for name in ("chelsea", "coffee", "rocket", "retina")]
    for view, given in (
        ("top_patches", {"layer": "stem", "count": 2}),
        ("neighbors", {}),
        ("embedding", {}),
    ):
        found = asked(lite0, images, view, **given)
        assert size_of(found["summary"]["picture"])
        assert found["results"][0]["prediction"]["label"] == "Egyptian cat"


def test_no_image_is_needed_for_filters() -> None:
    with rakinglight.local() as client:
        model = client.model("lenet5-digits")
        found: Any = model.units([], "filters")
        assert found["weights"].shape == (6, 1, 5, 5)
        with pytest.raises(BadParameter, match="Without images there are filters"):
            model.units([], "neighbors")


def test_cancelled_in_the_middle_it_asks_no_more(lenet: Network) -> None:
    engine = Engine([lenet])
    images = pictures(200)
    run = Question("units", "lenet5-digits", images[0], "top_patches", {}, more=images[1:]).begin(
        {lenet.card.name: lenet}
    )
    engine.submit(run)
    engine.run_until(lambda: run.cost.forward_rows >= 200)
    engine.cancel(run)
    engine.run_until(lambda: run.over)
    with pytest.raises(Cancelled):
        _ = run.result
    assert run.cost.rows < 400
