"""Methods that run here, of a model that answers `classify` elsewhere: with a live service, and with others."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner, Result

import rakinglight
from model_store import digits
from rakinglight import cli, pictures, terminal
from rakinglight.backends.remote import RemoteBackend
from rakinglight.client import Client
from rakinglight.description import card_of, describe
from rakinglight.errors import BadParameter, Forbidden, InternalError, NotFound, OracleAway, OracleChanged
from rakinglight.oracles import open_oracle
from rakinglight.results import Progress
from tests.live_service import LiveService
from tests.networks import abacus_network
from tests.rakinglight.oracles.servers import (
    LABELS,
    Reply,
    Server,
    full_view,
    label_view,
    logit_view,
    logits_of,
    open_inference,
    ours,
    probabilities_of,
    serving,
    top_2_view,
)

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
    where = ["--black-box", live_service.url, "--model", "lenet5-digits"]
    how = ["--method", "sliding", "--window", "8", "--stride", "8", "--json"]
    shown = CliRunner().invoke(cli.app, ["occlusion", str(photo), *where, *how])
    assert shown.exit_code == terminal.DONE, shown.output
    reply = json.loads(shown.stdout)
    assert reply["answered_by"]["forward"] == f"classify at {live_service.url}"
    assert reply["cost"]["forward_rows"] == 2 + 16


def test_the_command_goes_one_way_or_the_other(tmp_path: Any) -> None:
    shown = CliRunner().invoke(
        cli.app, ["occlusion", str(tmp_path / "seven.png"), "--local", "--black-box", "http://a"]
    )
    assert shown.exit_code == terminal.WRONG
    assert "give one of the three" in shown.stderr


# ── who may be asked ────────────────────────────────────────────────────────────────────────────────────────────────


def test_another_machine_is_asked_for_once_and_by_nobody_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Forbidden, match=r"This asks vision\.example:8443 to classify images, and there is no terminal"):
        terminal.authorise("https://vision.example:8443/v2/models/trees")
    terminal.authorise("https://vision.example", authorised=True)
    terminal.authorise("http://127.0.0.1:8000")
    terminal.authorise("localhost:8000")

    said: list[str] = []
    monkeypatch.setattr(terminal.sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(terminal.sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(typer, "confirm", lambda question, **how: bool(said.append(question)) or len(said) > 1)
    with pytest.raises(Forbidden, match=r"vision\.example was not asked"):
        terminal.authorise("https://vision.example")
    terminal.authorise("https://vision.example")
    assert said == ["This asks vision.example to classify images; do so only if you may. Go on?"] * 2


def test_the_command_refuses_another_machine_without_a_terminal(picture: Path) -> None:
    shown = CliRunner().invoke(cli.app, ["classify", str(picture), "--black-box", "https://vision.example"])
    assert shown.exit_code == terminal.REFUSED
    assert "--i-am-authorised" in shown.stderr


def test_a_key_of_the_environment_is_for_services_of_ours_alone(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAKINGLIGHT_KEY", "a-key-of-ours")
    with serving(Server(open_inference())) as server:
        shown = run("classify", picture, "--black-box", f"{server.url}/v2/models/trees")
        assert shown.exit_code == terminal.DONE, shown.output
        assert all("Authorization" not in asked.headers for asked in server.asked)
    with serving(Server(ours(label_view))) as server:
        run("classify", picture, "--black-box", server.url, "--model", "trees")
        assert {asked.headers["Authorization"] for asked in server.asked} == {"Bearer a-key-of-ours"}


# ── what a black box may show ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """4 by 4 pixels of grey levels, most of all the third quarter's."""
    pixels = np.random.default_rng(0).integers(0, 100, (4, 4, 1), np.uint8)
    pixels[2:, :2] += 100
    (tmp_path / "cedar.png").write_bytes(pictures.to_png(pictures.from_pixels(pixels)))
    return tmp_path / "cedar.png"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, list(map(str, arguments)))


def test_labels_alone_have_no_probability(picture: Path) -> None:
    with serving(Server(ours(label_view))) as server, rakinglight.black_box(server.url) as client:
        answer = client.model("trees").classify(str(picture))
    assert answer.entry["prediction"] == {"index": 2, "label": "cedar"}


@pytest.mark.parametrize("view", [label_view, top_2_view], ids=["labels alone", "two of four classes"])
def test_what_needs_scores_is_refused_before_an_image_is_sent(view: Any, picture: Path) -> None:
    with serving(Server(ours(view))) as server, rakinglight.black_box(server.url) as client:
        with pytest.raises(BadParameter, match="asks for scores, and trees tells labels alone"):
            client.model("trees").attack(str(picture), "square", epsilon=0.1)
        assert len(server.images) == 1  # the grey one


def test_the_logit_of_a_box_that_tells_probabilities_is_refused(picture: Path) -> None:
    with serving(Server(ours(full_view))) as server, rakinglight.black_box(server.url) as client:
        model = client.model("trees")
        with pytest.raises(BadParameter, match="ask for score probability or log_probability") as refused:
            model.occlusion(str(picture), "sliding", score="logit", window=2)
        assert [error.pointer for error in refused.value.errors] == ["/parameters/score"]
        for score in ("probability", "log_probability"):
            assert model.occlusion(str(picture), "sliding", score=score, window=2).map.shape == (4, 4)
        assert all("logit" not in said for said in model.classify(str(picture)).entry["predictions"])


def test_the_logit_of_a_box_that_tells_it_is_explained(picture: Path) -> None:
    with serving(Server(ours(logit_view))) as server, rakinglight.black_box(server.url) as client:
        assert client.model("trees").occlusion(str(picture), "sliding", score="logit", window=2).map.any()


def test_a_model_of_the_protocol_answers_to_any_name(picture: Path) -> None:
    with serving(Server(open_inference())) as server, rakinglight.black_box(f"{server.url}/v2/models/trees") as client:
        assert [model["name"] for model in client.models()] == ["trees"]
        assert client.model("whatever").classify(str(picture)).prediction.index == 2


# ── an attack that breaks off ───────────────────────────────────────────────────────────────────────────────────────


def test_an_attack_that_broke_off_goes_on_when_it_is_run_again(picture: Path, tmp_path: Path) -> None:
    """To the bit, and nothing that was answered is asked again but canaries."""

    def attack(server: Server, journal: Path | None) -> Any:
        with rakinglight.black_box(server.url, journal=journal, patience=0.2, canaries=0.05) as client:
            answer = client.model("trees").attack(str(picture), "square", epsilon=0.02, queries=200, target=0)
            (oracle,) = client._transport.oracles  # type: ignore[attr-defined]
            return answer, oracle.counts

    with serving(Server(ours(full_view))) as server:
        whole, _ = attack(server, None)
    with serving(Server(ours(full_view))) as server:
        server.instead = [None] * 15 + [Reply({}, 503)] * 50
        with pytest.raises(OracleAway, match="too much to do"):
            attack(server, tmp_path / "journal")
        assert 10 < len(server.images) < 100
        server.instead = []
        resumed, counts = attack(server, tmp_path / "journal")
        np.testing.assert_equal(resumed.entry["exact"], whole.entry["exact"])
        assert resumed.entry["queries"] == whole.entry["queries"]
        assert len(set(server.images)) == counts.asked
        assert len(server.images) == counts.asked + counts.canaries + counts.lost
        assert counts.lost == 0


def test_the_command_keeps_a_journal_and_says_what_it_asked(picture: Path, tmp_path: Path) -> None:
    with serving(Server(ours(full_view))) as server:
        how = ["--black-box", server.url, "--model", "trees", "--journal", tmp_path / "journal", "--json"]
        first = run("occlusion", picture, *how, "--window", 2, "--stride", 2)
        assert first.exit_code == terminal.DONE, first.output
        asked = len(server.images)
        again = run("occlusion", picture, *how, "--window", 2, "--stride", 2)
        assert json.loads(again.stdout)["results"] == json.loads(first.stdout)["results"]
        assert len(server.images) - asked <= 4  # canaries: whether it is the same as before


def test_a_journal_without_a_black_box_is_refused(picture: Path) -> None:
    shown = run("classify", picture, "--local", "--journal", "file")
    assert shown.exit_code == terminal.WRONG
    assert "--journal remembers what a black box answered" in shown.stderr


def test_an_oracle_that_is_away_is_told_as_no_answer(picture: Path, tmp_path: Path) -> None:
    file = tmp_path / "target.toml"
    file.write_text('url = "http://127.0.0.1:9/v2/models/trees"\npatience_s = 0.1\n')
    shown = run("classify", picture, "--target-file", file)
    assert shown.exit_code == terminal.AWAY
    assert "http://127.0.0.1:9/v2/models/trees cannot be reached" in shown.stderr


# ── the backend ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_black_box_keeps_its_layers() -> None:
    with serving(Server(ours(full_view))) as server, closing(open_oracle(server.url, "trees")) as oracle:
        remote = RemoteBackend(oracle)
        with pytest.raises(InternalError):
            remote.forward(torch.zeros(1, 1, 4, 4), ("conv",))


def test_probabilities_come_back_through_the_softmax() -> None:
    rows = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    with serving(Server(ours(full_view))) as server, closing(open_oracle(server.url, "trees")) as oracle:
        logits = RemoteBackend(oracle).forward(rows.double()).logits
    assert logits.dtype == torch.float64
    torch.testing.assert_close(logits.softmax(1), torch.from_numpy(probabilities_of(rows.numpy())))


def test_a_probability_of_nothing_stays_finite() -> None:
    def certain(z: Array) -> list[dict[str, Any]]:
        return [{"index": c, "label": label, "probability": float(c == 2)} for c, label in enumerate(LABELS)]

    with serving(Server(ours(certain))) as server, closing(open_oracle(server.url, "trees")) as oracle:
        logits = RemoteBackend(oracle).forward(torch.zeros(1, 1, 4, 4, dtype=torch.float64)).logits
    assert logits.isfinite().all()
    torch.testing.assert_close(logits.softmax(1)[:, 2], torch.ones(1, dtype=torch.float64))


def test_a_card_is_read_from_a_description_and_from_one_that_says_no_more_than_a_black_box_does() -> None:
    card = abacus_network().card
    assert card_of(describe(card)) == replace(card, layers={}, differentiable=False)
    least = card_of({"name": "box", "input": {"shape": [3, 8, 8]}, "labels": ["a", "b"]})
    assert (least.input_shape, least.labels, least.version) == ((3, 8, 8), ("a", "b"), "")


# ── the end of a run ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def mind() -> Iterator[Server]:
    """A service that changes all its answers after so many requests: `mind.after`."""
    answer = ours(label_view)

    def changing(server: Server, asked: Any) -> Reply:
        if len(server.posts) > server.after:  # type: ignore[attr-defined]
            server.model = lambda rows: np.roll(logits_of(rows), 1, axis=1)
        return answer(server, asked)

    server = Server(changing)
    server.after = 10**9  # type: ignore[attr-defined]
    with serving(server):
        yield server


def learnt(server: Server, **how: Any) -> dict[str, int]:
    """A substitute of thirty images; what was asked."""
    images = list(np.random.default_rng(0).integers(0, 256, (30, 4, 4), np.uint8))
    with rakinglight.black_box(server.url, **how) as client:
        quick: dict[str, Any] = {
            "rounds": 1,
            "epochs": 1,
            "architecture": "perceptron",
            "control": False,
            "epsilons": [0.1],
        }
        client.model("trees").substitute(images, **quick)
        (oracle,) = client._transport.oracles  # type: ignore[attr-defined]
        return dict(vars(oracle.counts))


def test_a_model_that_changes_near_the_end_is_noticed_before_any_figure_is_told(mind: Any) -> None:
    counts = learnt(mind)
    assert counts["canaries"] == counts["asked"] // 100 + 4
    requests, mind.after = len(mind.posts), len(mind.posts) + len(mind.posts) - 3
    with pytest.raises(OracleChanged, match="otherwise than before"):
        learnt(mind)
    assert len(mind.posts) > 2 * requests - 3


def test_one_image_is_not_asked_twice_and_nobody_has_to_look_again(mind: Any) -> None:
    with rakinglight.black_box(mind.url) as client:
        client.model("trees").classify(np.zeros((4, 4), np.uint8))
        (oracle,) = client._transport.oracles  # type: ignore[attr-defined]
        assert oracle.counts.canaries == 0
    assert learnt(mind, canaries=0)["canaries"] == 0


def test_where_the_budget_is_used_up_the_figures_stand_and_the_log_says_what_is_not_known(
    mind: Any, caplog: pytest.LogCaptureFixture
) -> None:
    whole = learnt(mind)["asked"]
    answer = mind.answer

    def spent(server: Server, asked: Any) -> Reply:
        reply = answer(server, asked)
        left = max(0, 2 * whole + 4 + whole // 100 * 2 - len(server.images))
        return Reply(reply.body, headers={"X-Query-Budget-Remaining": str(left)})

    mind.answer = spent
    counts = learnt(mind)
    assert counts["asked"] == whole
    assert counts["canaries"] == whole // 100
    assert "could not be asked at the end" in caplog.text
