"""Methods that run here, of a model that answers `classify` elsewhere: with a live service, and with a stand-in."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import rakinglight
from model_store import digits
from rakinglight import cli, over_classify, pictures, terminal
from rakinglight.backends.remote import RemoteBackend
from rakinglight.call import Call, Reply
from rakinglight.client import Client
from rakinglight.description import card_of, describe
from rakinglight.errors import BadParameter, InternalError, NotFound, Overloaded
from rakinglight.flows import Address
from rakinglight.network import Network
from rakinglight.results import Progress
from tests.live_service import LiveService
from tests.networks import abacus_network

Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def digit() -> Array:
    """uint8 [32, 32]."""
    images, _ = digits.pictures("held-out")
    return np.asarray(images[0, 0])


# ── a live service ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def client(live_service: LiveService) -> Iterator[Client]:
    with rakinglight.black_box(live_service.url) as client:
        yield client


@pytest.fixture(scope="module")
def service(live_service: LiveService) -> Iterator[Client]:
    with rakinglight.connect(live_service.url) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("sliding", {"window": 8, "stride": 4}),
        ("sliding", {"window": 8, "stride": 8, "fill": "blur", "score": "logit"}),
        ("rise", {"masks": 100, "cells": 4}),
    ],
    ids=["sliding", "sliding the logit under a blur", "rise"],
)
def test_its_map_is_the_services_own(
    client: Client, service: Client, digit: Array, method: str, parameters: dict[str, Any]
) -> None:
    ours = client.model("lenet5-digits").ask("occlusion", digit, method, **parameters)
    theirs = service.model("lenet5-digits").ask("occlusion", digit, method, **parameters)
    largest = np.abs(theirs.entry["map"]).max()
    assert np.abs(ours.entry["map"] - theirs.entry["map"]).max() < 1e-5 * largest
    assert ours.reply["cost"]["forward_rows"] == theirs.reply["cost"]["forward_rows"]
    assert ours.reply["model"] == theirs.reply["model"]
    assert ours.reply["answered_by"]["forward"].startswith("classify at http://127.0.0.1:")


def test_there_may_be_several_of_them(client: Client, live_service: LiveService) -> None:
    with rakinglight.black_box(live_service.url) as another:
        assert another.models() == client.models()


def test_a_photograph_of_another_size_is_seen_as_the_service_sees_it(client: Client, service: Client) -> None:
    photograph = np.random.default_rng(0).integers(0, 256, (50, 40), np.uint8)
    ours, theirs = (each.model("lenet5-digits").classify(photograph) for each in (client, service))
    assert ours.prediction.index == theirs.prediction.index
    assert ours.prediction.probability == pytest.approx(theirs.prediction.probability, rel=1e-5)
    assert ours.entry["geometry"] == theirs.entry["geometry"]


def test_what_needs_more_than_scores_is_refused(client: Client, digit: Array) -> None:
    with pytest.raises(BadParameter, match=r"^lenet5-digits is asked as a black box, and answers no gradients"):
        client.model("lenet5-digits").saliency(digit, "gradient")


def test_its_progress_is_seen(client: Client, digit: Array) -> None:
    *progress, _ = client.model("lenet5-digits").stream("occlusion", digit, "rise", masks=256)
    assert progress
    assert all(isinstance(news, Progress) and news.of == 256 for news in progress)


def test_it_tells_which_models_there_are_to_ask(client: Client, service: Client) -> None:
    assert {model["name"] for model in client.models()} == {model["name"] for model in service.models()}
    described = client.model("lenet5-digits").describe()
    assert described["labels"] == [str(digit) for digit in range(10)]
    assert described["layers"] == []
    with pytest.raises(NotFound, match="did you mean 'lenet5-digits'"):
        client.model("lenet5-digit").describe()


def test_the_command_asks_only_to_classify(live_service: LiveService, tmp_path: Any, digit: Array) -> None:
    photo = tmp_path / "seven.png"
    photo.write_bytes(pictures.to_png(pictures.from_pixels(digit[..., None])))
    where = ["--url", live_service.url, "--model", "lenet5-digits", "--black-box"]
    how = ["--method", "sliding", "--window", "8", "--stride", "8", "--json"]
    shown = CliRunner().invoke(cli.app, ["occlusion", str(photo), *where, *how])
    assert shown.exit_code == terminal.DONE, shown.output
    reply = json.loads(shown.stdout)
    assert reply["answered_by"]["forward"] == f"classify at {live_service.url}"
    assert reply["cost"]["forward_rows"] == 2 + 16


def test_the_command_goes_one_way_or_the_other(tmp_path: Any) -> None:
    shown = CliRunner().invoke(cli.app, ["occlusion", str(tmp_path / "seven.png"), "--local", "--black-box"])
    assert shown.exit_code == terminal.WRONG
    assert "give one of the two" in shown.stderr


# ── what a service may say ──────────────────────────────────────────────────────────────────────────────────────────


class StandIn:
    """A service that classifies by a network of ours, and shows what `view` leaves of each prediction.

    asked  the calls that came
    """

    def __init__(self, network: Network, view: Any = dict) -> None:
        self.network = network
        self.view = view
        self.asked: list[Call] = []

    def __repr__(self) -> str:
        return "http://stand-in"

    def model(self, name: str, version: str | None = None) -> dict[str, Any]:  # it has one
        return describe(self.network.card)

    def close(self) -> None:
        pass

    def ask(self, call: Call) -> Reply:
        self.asked.append(call)
        logits = self.network.forward.forward(torch.from_numpy(np.stack(call.images))).logits
        return {"results": [{"predictions": self._predictions(z, call.parameters)} for z in logits]}

    def _predictions(self, z: torch.Tensor, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        best = z.argsort(descending=True)[: parameters["top_k"]].tolist()
        p = z.softmax(0)
        return [self.view({"index": c, "label": "", "probability": float(p[c]), "logit": float(z[c])}) for c in best]


ROWS = torch.rand(5, 1, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).float().double()


def without(*names: str) -> Any:
    return lambda told: {name: value for name, value in told.items() if name not in names}


def backend(view: Any = dict) -> tuple[RemoteBackend, StandIn]:
    network = abacus_network((5,))
    stand_in = StandIn(network, view)
    return RemoteBackend(stand_in, network.card), stand_in  # type: ignore[arg-type]  # all that it asks is `ask`


def expected() -> torch.Tensor:
    return abacus_network((5,)).forward.forward(ROWS.float()).logits.double()


def test_logits_are_taken_as_they_are() -> None:
    remote, stand_in = backend()
    torch.testing.assert_close(remote.forward(ROWS).logits, expected())
    (call,) = stand_in.asked
    assert (call.operation, call.parameters, call.include) == ("classify", {"top_k": 4}, ())
    assert all(np.asarray(image).dtype == np.float32 for image in call.images)


def test_probabilities_alone_come_back_through_the_softmax() -> None:
    remote, _ = backend(without("logit"))
    torch.testing.assert_close(remote.forward(ROWS).logits.softmax(1), expected().softmax(1))


def test_a_probability_of_nothing_stays_finite() -> None:
    remote, _ = backend(lambda told: {"index": told["index"], "probability": float(told["index"] == 2)})
    logits = remote.forward(ROWS).logits
    assert logits.isfinite().all()
    torch.testing.assert_close(logits.softmax(1)[:, 2], torch.ones(5, dtype=torch.float64))


def box(view: Any) -> Client:
    """A client of a stand-in, all of which a caller would have of a URL."""
    network = abacus_network((5,))
    transport = over_classify.BlackBox(Address.of("http://stand-in"))
    transport._service.close()
    transport._service = StandIn(network, view)  # type: ignore[assignment]  # it describes its model and classifies
    return Client(transport)


def test_the_logit_of_a_box_that_tells_probabilities_is_refused() -> None:
    image = ROWS[0].float().numpy()
    with box(without("logit")) as client:
        model = client.model("abacus")
        with pytest.raises(BadParameter, match="ask for score probability or log_probability") as refused:
            model.occlusion(image, "sliding", score="logit", window=1)
        assert [error.pointer for error in refused.value.errors] == ["/parameters/score"]
        for score in ("probability", "log_probability"):
            assert model.occlusion(image, "sliding", score=score, window=1).map.shape == (2, 3)
        assert all("logit" not in said for said in model.classify(image).entry["predictions"])


def test_the_logit_of_a_box_that_tells_it_is_explained() -> None:
    with box(dict) as client:
        assert client.model("abacus").occlusion(ROWS[0].float().numpy(), "sliding", score="logit", window=1).map.any()


@pytest.mark.parametrize(
    ("view", "told"),
    [(without("logit", "probability"), 0), (lambda told: told if told["index"] < 3 else {"index": 3}, 3)],
    ids=["labels alone", "three of four classes"],
)
def test_a_view_that_hides_scores_cannot_be_explained(view: Any, told: int) -> None:
    remote, _ = backend(view)
    with pytest.raises(BadParameter, match=f"http://stand-in tells the scores of {told} of the 4 classes of abacus"):
        remote.forward(ROWS)


def test_of_thousands_of_classes_a_thousand_are_named() -> None:
    remote, stand_in = backend()
    remote.card = replace(remote.card, labels=("a class",) * 1001)
    with pytest.raises(BadParameter, match=r"classify names 1000 at most"):
        remote.forward(ROWS)
    assert stand_in.asked[0].parameters["top_k"] == 1000


def test_a_black_box_keeps_its_layers() -> None:
    remote, _ = backend()
    with pytest.raises(InternalError):
        remote.forward(ROWS, ("conv",))


def test_what_the_service_says_is_wrong_reaches_the_caller_as_it_is() -> None:
    from rakinglight.algorithms.sliding import sliding
    from rakinglight.engine import Engine
    from rakinglight.network import Ladder
    from rakinglight.noise import Noise
    from rakinglight.objectives import Probability

    remote, stand_in = backend()

    def refuse(call: Call) -> Reply:
        raise Overloaded("Too much is waiting.", retry_after_s=3)

    stand_in.ask = refuse  # type: ignore[method-assign]
    network = Network(remote.card, remote, None, Ladder(tuple(range(1, 17))))
    with pytest.raises(Overloaded, match="Too much is waiting") as refused:
        Engine([network]).drive(sliding(ROWS[0], Probability(0), Noise(0)))
    assert refused.value.retry_after_s == 3


def test_a_card_is_read_from_a_description_and_from_one_that_says_no_more_than_a_black_box_does() -> None:
    card = abacus_network().card
    assert card_of(describe(card)) == replace(card, layers={}, differentiable=False)
    least = card_of({"name": "box", "input": {"shape": [3, 8, 8]}, "labels": ["a", "b"]})
    assert (least.input_shape, least.labels, least.version) == ((3, 8, 8), ("a", "b"), "")
