"""Every dialect against a server that speaks it, at a port."""

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rakinglight.errors import BadParameter, NotFound, OracleFault, Unauthenticated
from rakinglight.oracles import kind_of, open_oracle, read_where
from rakinglight.oracles.described import Described
from tests.rakinglight.oracles.servers import (
    LABELS,
    SHAPE,
    Reply,
    Server,
    full_view,
    label_view,
    logit_view,
    logits_of,
    open_inference,
    ours,
    probabilities_of,
    rounded_view,
    serving,
    shop,
    top_2_view,
)

Array = np.ndarray[Any, Any]


def rows(n: int = 5) -> Array:
    """Whose values are those of 8 bits: a PNG shows them as they are."""
    return np.random.default_rng(0).integers(0, 256, (n, *SHAPE)).astype(np.float32) / np.float32(255)


def opened(where: str | Path, key: str | None = None, **how: Any) -> Any:
    return closing(open_oracle(where, "trees", key, **({"canaries": 0.0, "patience": 0.5} | how)))


def softmax(z: Array) -> Array:
    return np.asarray(np.exp(z) / np.exp(z).sum(1, keepdims=True))


# ── ours ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("view", "tells"),
    [
        (label_view, "labels"),
        (top_2_view, "labels"),
        (rounded_view, "probabilities"),
        (full_view, "probabilities"),
        (logit_view, "logits"),
    ],
)
@pytest.mark.parametrize("full", [False, True], ids=["as a black box is described", "described in full"])
def test_each_view_of_ours_tells_what_it_shows(view: Callable[[Array], Any], tells: str, full: bool) -> None:
    with serving(Server(ours(view, full=full))) as server, opened(server.url, "a key") as oracle:
        assert (oracle.tells, oracle.card.tells, oracle.labels) == (tells, tells, LABELS)
        z = oracle.answer(rows())
        if view is rounded_view:
            assert np.abs(softmax(z) - probabilities_of(rows())).max() < 0.02
        elif tells == "probabilities":
            np.testing.assert_allclose(softmax(z), probabilities_of(rows()))
        elif tells == "logits":
            np.testing.assert_allclose(z, logits_of(rows()))
        assert (z.argmax(1) == logits_of(rows()).argmax(1)).all() or view is rounded_view
        assert {asked.headers["Authorization"] for asked in server.asked} == {"Bearer a key"}


def test_ours_without_a_name_is_asked_for_one() -> None:
    with serving(Server(ours(label_view))) as server, pytest.raises(BadParameter, match="say which"):
        open_oracle(server.url)


def test_a_description_that_is_none_is_told() -> None:
    stranger = Server(lambda server, asked: Reply({"hello": "world"}))
    with serving(stranger), pytest.raises(OracleFault, match="describes trees as no model is"):
        open_oracle(stranger.url, "trees")


# ── the Open Inference Protocol ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("suffix", ["", "/infer", "/"])
@pytest.mark.parametrize(
    ("how", "tells"),
    [
        ({"outputs": "logits"}, "logits"),
        ({"outputs": "probabilities", "layout": "HWC"}, "probabilities"),
        ({"outputs": "logits", "datatype": "UINT8"}, "logits"),
    ],
    ids=["logits", "probabilities of channels last", "bytes"],
)
def test_a_server_of_the_protocol_needs_no_more_than_its_address(how: Any, tells: str, suffix: str) -> None:
    with serving(Server(open_inference(**how))) as server:
        with opened(f"{server.url}/v2/models/trees{suffix}") as oracle:
            assert (oracle.tells, oracle.input_shape, oracle.labels) == (tells, SHAPE, ("0", "1", "2", "3"))
            z = oracle.answer(rows(20))
        np.testing.assert_allclose(softmax(z), softmax(logits_of(rows(20))), rtol=1e-5)


@pytest.mark.parametrize("outputs", ["indices", "names"])
def test_labels_of_the_protocol_need_a_list_of_classes(outputs: str, tmp_path: Path) -> None:
    with serving(Server(open_inference(outputs=outputs))) as server:
        url = f"{server.url}/v2/models/trees"
        with pytest.raises(BadParameter, match="does not tell its classes"):
            open_oracle(url)
        file = tmp_path / "trees.toml"
        (tmp_path / "names.txt").write_text("\n".join(LABELS) + "\n")
        file.write_text(f'url = "{url}"\nclasses = "names.txt"\nbatch = 3\n')
        with opened(file) as oracle:
            assert oracle.tells == "labels"
            assert (oracle.answer(rows()).argmax(1) == logits_of(rows()).argmax(1)).all()
        assert [post.body["inputs"][0]["shape"][0] for post in server.posts] == [1, 3, 2]


def test_a_target_file_says_what_the_protocol_does_not(tmp_path: Path) -> None:
    with serving(Server(open_inference())) as server:
        server.model = lambda asked: logits_of(asked / 255 * 0.5 + 0.5)  # a network that is normalised outside
        file = tmp_path / "trees.toml"
        file.write_text(
            f'url = "{server.url}/v2/models/trees"\n[input]\nscale = 255\nmean = [127.5]\nstd = [0.5]\n'
            '[answer]\noutput = "out"\n'
        )
        with opened(file) as oracle:
            z = oracle.answer(rows())
        np.testing.assert_allclose(z, logits_of((rows() * 255 - 127.5) / 0.5 / 255 * 0.5 + 0.5), rtol=1e-5)


def test_faults_of_the_protocol_are_told() -> None:
    with serving(Server(open_inference())) as server:
        with pytest.raises(NotFound, match="unknown model"):
            open_oracle(f"{server.url}/v2/models/oaks")
        with opened(f"{server.url}/v2/models/trees") as oracle:
            for outputs, match in (
                ([], "answers no output 'out'"),
                ([{"name": "out", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}], r"\[1, 4\] was expected"),
                ([{"name": "out", "datatype": "BOOL", "shape": [1, 4], "data": [True] * 4}], "neither labels nor"),
            ):
                server.instead = [Reply({"outputs": outputs})]
                with pytest.raises(OracleFault, match=match):
                    oracle.answer(rows(1))
                oracle._trouble = None


# ── somebody's own ──────────────────────────────────────────────────────────────────────────────────────────────────


def target(url: str, answer: str, **more: str) -> str:
    said = {"body": "'{\"pictures\": ${images}}'", "form": '"png"'} | more
    return f"""
url = "{url}/v1/label?version=2"
name = "shop"
classes = ["ash", "birch", "cedar", "date"]
body = {said["body"]}
[headers]
X-Key = "${{SHOP_KEY}}"
[input]
shape = [1, 4, 4]
form = {said["form"]}
[answer]
{answer}
"""


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_KEY", "open-sesame")


@pytest.mark.parametrize(
    ("said", "answer", "tells"),
    [
        (lambda z: {"best": LABELS[z.argmax()]}, 'label = "results[*].best"', "labels"),
        (lambda z: {"best": int(z.argmax())}, 'label = "results[*].best"', "labels"),
        (lambda z: {"scores": z.tolist()}, 'scores = "results[*].scores"', "logits"),
        (lambda z: dict(zip(LABELS, softmax(z[None])[0], strict=True)), 'scores = "results"', "probabilities"),
        (
            lambda z: [{"label": LABELS[c], "score": softmax(z[None])[0, c]} for c in np.argsort(-z)],
            'label = "results[*][*].label"\nscores = "results[*][*].score"',
            "probabilities",
        ),
    ],
    ids=["names", "indices", "a list of scores", "scores by name", "pairs, the best first"],
)
@pytest.mark.usefixtures("key")
def test_any_service_is_asked_as_its_file_describes(said: Any, answer: str, tells: str, tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    with serving(Server(shop(said))) as server:
        file.write_text(target(server.url, answer))
        with opened(file) as oracle:
            assert (oracle.tells, oracle.card.name) == (tells, "shop")
            z = oracle.answer(rows(20))
            one = oracle.answer(rows(21)[20:])
        assert (np.concatenate([z, one]).argmax(1) == logits_of(rows(21)).argmax(1)).all()
        if tells != "labels":
            np.testing.assert_allclose(softmax(z), softmax(logits_of(rows(20))), rtol=1e-6)
        assert {post.path for post in server.posts} == {"/v1/label?version=2"}


@pytest.mark.usefixtures("key")
def test_pictures_that_travel_as_png_are_what_arrives(tmp_path: Path) -> None:
    """Two that are the same in 8 bits are one, and are asked once."""
    file = tmp_path / "shop.toml"
    with serving(Server(shop(lambda z: {"scores": z.tolist()}))) as server:
        file.write_text(target(server.url, 'scores = "results[*].scores"'))
        with opened(file) as oracle:
            first = oracle.answer(rows(1))
            nearly = oracle.answer(rows(1) + np.float32(0.001))
            assert oracle.counts.asked == 2  # and a grey one
    assert (first == nearly).all()


@pytest.mark.usefixtures("key")
def test_a_service_that_takes_one_picture_is_asked_one_by_one(tmp_path: Path) -> None:
    def answer(server: Server, asked: Any) -> Reply:
        (z,) = server.classify(np.array(asked.body["pixels"], np.float32).transpose(2, 0, 1)[None] / 255)
        return Reply({"answer": {"probabilities": softmax(z[None])[0].tolist()}, "for": asked.body["id"]})

    file = tmp_path / "shop.toml"
    with serving(Server(answer)) as server:
        body = '\'{"pixels": ${image}, "id": "${key}"}\''
        said = target(
            server.url, 'scores = "answer.probabilities"', body=body, form='"tensor"\nlayout = "HWC"\nscale = 255'
        )
        file.write_text(said)
        with opened(file) as oracle:
            np.testing.assert_allclose(softmax(oracle.answer(rows())), probabilities_of(rows()), rtol=1e-4)
    assert [post.body["id"] for post in server.posts] == [post.headers["Idempotency-Key"] for post in server.posts]
    assert len(server.posts) == 6


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize(
    ("said", "match"),
    [
        ({"best": "oak"}, "answers 'oak', which is none of the 4 classes of shop"),
        ({"worst": "ash"}, "0 of them as labels"),
        ({"best": True}, "answers True"),
        ({"best": None}, "0 of them as labels"),
    ],
)
def test_labels_that_nobody_declared_are_told(said: Any, match: str, tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    with serving(Server(shop(lambda z: said))) as server:
        file.write_text(target(server.url, 'label = "results[*].best"'))
        with pytest.raises(OracleFault, match=match):
            open_oracle(file)


def test_a_wrong_key_is_refused_without_being_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_KEY", "open-walnut")
    file = tmp_path / "shop.toml"
    with serving(Server(shop(lambda z: 0))) as server:
        file.write_text(target(server.url, 'label = "results"'))
        with pytest.raises(Unauthenticated, match="who are you, …") as refused:
            open_oracle(file)
    assert "walnut" not in str(refused.value)


# ── files that describe nothing ─────────────────────────────────────────────────────────────────────────────────────

GOOD = target("http://127.0.0.1:9", 'label = "results[*].best"')


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("url = ", "is no TOML"),
        ("name = 'a'", "url: Field required"),
        (GOOD.replace("SHOP_KEY", "NO_SUCH_KEY"), "wants NO_SUCH_KEY from the environment"),
        (GOOD.replace("results[*].best", "results[*.best"), "is no JMESPath"),
        (GOOD.replace("${images}", "it"), "0 times, not once"),
        (GOOD.replace("${images}", "${images}, ${images}"), "2 times, not once"),
        (GOOD.replace('{"pictures"', "{pictures"), "is no JSON once it is filled"),
        (GOOD.replace('"date"]', '"ash"]'), "each with a name of its own"),
        (GOOD.replace("[1, 4, 4]", "[2, 4, 4]"), "input.shape.0"),
        (GOOD.replace('label = "results[*].best"', ""), r"lacks \[answer\] label or scores"),
        (GOOD.replace("http://127.0.0.1:9", "ftp://example.org"), "is no address"),
        (GOOD.replace("name =", "nmae ="), "nmae: Extra inputs are not permitted"),
        ('secrets = ["a"]', "secrets stand in the environment"),
        ('url = "http://127.0.0.1:9"\nclasses = "none.txt"', "a file of classes that cannot be read"),
    ],
)
def test_a_file_that_describes_nothing_says_why(text: str, match: str, tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text(text)
    with pytest.raises(BadParameter, match=match):
        open_oracle(tmp_path / "shop.toml", patience=0.0)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadParameter, match="cannot be read: No such file"):
        open_oracle(tmp_path / "shop.toml")


def test_the_dialect_is_seen_from_the_address() -> None:
    assert kind_of(read_where("127.0.0.1:8000")) == "rakinglight"
    assert kind_of(read_where("https://example.org/kserve/v2/models/trees/versions/3/infer")) == "open-inference"


@pytest.mark.parametrize("number", [0, 1])
def test_the_files_of_the_page_describe_targets(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_KEY", "open-sesame")
    page = (Path(__file__).parents[3] / "docs" / "oracles.md").read_text(encoding="utf-8")
    text = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)[number]
    (tmp_path / "page.toml").write_text(text)
    found = read_where(tmp_path / "page.toml")
    assert kind_of(found) == ("described", "open-inference")[number]
    if number == 0:
        assert Described(found).card.labels == ("cat", "dog", "horse")
