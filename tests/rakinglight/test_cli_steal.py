"""`rakinglight steal`: what is asked, what is kept, how it goes on, and what is refused before anything is asked."""

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from model_store import digits
from rakinglight import cli, in_process, pictures
from rakinglight.cli_images import read_images, true_labels
from rakinglight.defenses import Chain, read
from rakinglight.errors import BadParameter, CallerError, NotADataset
from rakinglight.reports.comparison import Asked, compared
from rakinglight.reports.recording import Recording, recorded
from rakinglight.reports.stream import watched
from rakinglight.reports.views import through
from tests.rakinglight.oracles.servers import Reply, Server, full_view, label_view, ours, serving

QUICK = ("--rounds", 1, "--epochs", 1, "--epsilons", 0.1, "--no-targeted")


@pytest.fixture(scope="module")
def home(archive_store: Path) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAKINGLIGHT_HOME", str(archive_store))
        yield archive_store


@pytest.fixture(scope="module")
def some_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An NPZ of forty digits, with their labels."""
    images, labels = digits.pictures("test")
    path = tmp_path_factory.mktemp("digits") / "digits.npz"
    np.savez(path, images=images[:40].transpose(0, 2, 3, 1), labels=labels[:40])
    return path


@pytest.fixture
def trees(tmp_path: Path) -> Path:
    """An NPZ of thirty pictures for the server of trees."""
    path = tmp_path / "trees.npz"
    np.savez(path, images=np.random.default_rng(0).integers(0, 256, (30, 4, 4, 1), np.uint8))
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, ["steal", *map(str, arguments)])


def asked_of(server: Server, *arguments: object) -> Result:
    quick = (*QUICK, "--seeds", 10, "--architecture", "perceptron", "--no-control")
    return run("trees", *arguments, "--black-box", server.url, *quick)


# ── from beginning to end ───────────────────────────────────────────────────────────────────────────────────────────


def test_the_theft_is_told_kept_and_reported(home: Path, some_digits: Path, tmp_path: Path) -> None:
    report, out = tmp_path / "new" / "page.html", tmp_path / "stolen"
    shown = run(
        "lenet5-digits", some_digits, "--local", *QUICK, "--seeds", 20, "--report", report, "--out", out,
        "--no-compare-views",
    )  # fmt: skip
    assert shown.exit_code == 0, shown.output
    assert "agrees on 20" in shown.output
    assert "on the model itself" in shown.output
    assert "training 40" in shown.output
    reply = json.loads((out / "reply.json").read_text())
    assert [row["queries"] for row in reply["summary"]["curve"]] == [20, 40]
    assert "archive" not in reply["summary"]
    assert zipfile.is_zipfile(out / "lenet5-digits-substitute.mar")
    html = report.read_text(encoding="utf-8")
    assert "40 queries bought a substitute" in html
    assert "no service: the model ran in this process" in html
    assert "of 40</td>" in html or "never, in 40</td>" in html
    assert html.count('src="data:image/png;base64,') == 3 * 6


def test_a_program_gets_the_reply_and_where_the_files_are(home: Path, some_digits: Path, tmp_path: Path) -> None:
    how = ("--local", *QUICK, "--seeds", 20, "--no-control", "--no-white-box", "--out", tmp_path, "--json")
    whole = json.loads(run("lenet5-digits", some_digits, *how).stdout)
    assert whole["operation"] == "substitute"
    assert whole["parameters"]["labels"] is not None  # those of the NPZ
    assert whole["files"]["reply"] == str(tmp_path / "reply.json")


@pytest.mark.parametrize("view", [label_view, full_view])
def test_a_black_box_is_asked_once_and_the_same_command_asks_nothing_again(
    view: Any, trees: Path, tmp_path: Path
) -> None:
    with serving(Server(ours(view))) as server:
        first = asked_of(server, trees, "--out", tmp_path / "out", "--json")
        assert first.exit_code == 0, first.output
        images = len(server.images)
        again = asked_of(server, trees, "--out", tmp_path / "out", "--json")
        assert json.loads(again.stdout)["summary"] == json.loads(first.stdout)["summary"]
    assert (tmp_path / "out" / "trees.journal").exists()
    assert len(server.images) - images <= 4  # canaries: whether it is who it was


def test_what_was_sent_is_told_to_the_image_on_the_page_and_at_the_end(trees: Path, tmp_path: Path) -> None:
    report = tmp_path / "page.html"
    with serving(Server(ours(label_view))) as server:
        busy = Reply({"code": "OVERLOADED", "detail": "Full."}, 503, {"Retry-After": "0"})
        server.instead = [None, busy, Reply(None)]
        shown = asked_of(server, trees, "--report", report, "--out", tmp_path)
        assert shown.exit_code == 0, shown.output
        told = told_counts(shown)
        answered = len(server.images)
        again = asked_of(server, trees, "--out", tmp_path)
    html = report.read_text(encoding="utf-8")
    asked, *others, sent = (
        int(images.replace(",", "")) for images in re.findall(r"<td>([\d,]+)</td><td>of the journal", html)
    )
    drawn = html.count('alt="the adversarial image"')  # of which the model was asked once more, for the page
    assert others == [told["canaries"], told["lost"], told["retried"]]
    assert told["lost"] > 0 < told["retried"]
    assert sent == asked + sum(others)
    assert answered - drawn <= asked + told["canaries"] <= answered == told["asked"] + told["canaries"]
    assert "in all sessions" in again.stderr
    assert told_counts(again) == {**told, "canaries": told["canaries"] + 4}  # whether it is who it was


def told_counts(shown: Result) -> dict[str, int]:
    """What a command has said of its queries, at its end."""
    (line,) = [line for line in shown.stderr.splitlines() if line.startswith("asked ")]
    return {name: int(count) for name, count in re.findall(r"(asked|canaries|lost|retried) (\d+)", line)}


def test_a_black_box_that_fails_in_the_middle_leaves_what_it_said_and_how_to_go_on(trees: Path, tmp_path: Path) -> None:
    journal = tmp_path / "kept.journal"
    with serving(Server(ours(label_view))) as server:
        server.instead = [None, None, None, Reply({"results": "nonsense"})]
        shown = asked_of(server, trees, "--journal", journal)
        assert shown.exit_code in (3, 5), shown.output
        assert f"The same command goes on: nothing in {journal} is asked again." in shown.stderr
        answered = set(server.images)
        server.images.clear()
        assert asked_of(server, trees, "--journal", journal).exit_code == 0
    assert len(answered & set(server.images)) <= 4 + 4  # who it is: to begin with, and at the end


def test_ctrl_c_says_how_to_go_on(trees: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rakinglight.client.Asking.stream", interrupted)
    with serving(Server(ours(label_view))) as server:
        shown = asked_of(server, trees, "--journal", tmp_path / "kept.journal")
    assert shown.exit_code == 130
    assert "The same command goes on" in shown.stderr


# ── refused at once ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--local", "--view", "everything"), "--view is 'everything'"),
        (("--view", "label"), "--local"),
        (("--local", "--view", "label", "--report", "r.html", "--compare-views"), "leave one of them out"),
        (("--local", "--compare-views"), "give --report"),
        (("--compare-views", "--report", "r.html"), "needs --local, or a black box"),
        (("--local", "--defense", "jpeg"), "--defense is priced where views are; give --report"),
        (("--local", "--report", "r.html", "--no-compare-views", "--defended", "x"), "--defended is priced where"),
        (("--local", "--report", "r.html", "--defense", "jepg"), "did you mean 'jpeg'"),
        (("--local", "--report", "r.html", "--defense", '{"name": "jpeg", "quality": 101}'), "quality of jpeg is 101"),
        (("--local", "--report", "page.pdf"), "is no HTML file"),
        (("--local", "--out", __file__), "no folder"),
        (("--local", "--black-box", "http://127.0.0.1:1"), "give one of the three"),
        (("--local", "--seeds", "0"), "seeds"),
        (("--local", "--architecture", "lenet"), "lenet"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_asked(
    arguments: tuple[str, ...], said: str, some_digits: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rakinglight.client.Model.stream", pytest.fail)
    shown = run("lenet5-digits", some_digits, *arguments)
    assert shown.exit_code == 2, shown.output
    assert said in shown.stderr


# ── images ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def png(level: int) -> bytes:
    return pictures.to_png(Image.new("L", (4, 4), level))


def test_a_folder_and_its_zip_are_read_alike_by_class_and_name(tmp_path: Path) -> None:
    names = ["10/b.png", "2/z.png", "2/a.png", "cat/1.png"]
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for level, name in enumerate(names):
            path = tmp_path / "all" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(level))
            archive.write(path, name)
        archive.writestr("__MACOSX/2/._a.png", b"litter")
        archive.writestr("readme.txt", b"not an image")
    folder, zipped = read_images([tmp_path / "all"]), read_images([tmp_path / "all.zip"])
    assert [one.image for one in folder] == [one.image for one in zipped] == [png(2), png(1), png(0), png(3)]
    assert true_labels(folder) == true_labels(zipped) == [2, 2, 10, "cat"]


def test_plain_files_have_no_class_and_then_none_is_known(tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(png(1))
    np.savez(tmp_path / "two.npz", x=np.zeros((2, 4, 4, 1), np.uint8), y=np.array(["cat", "dog"]))
    given = read_images([tmp_path / "one.png", tmp_path / "two.npz"])
    assert [one.label for one in given] == [None, "cat", "dog"]
    assert true_labels(given) is None


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"pictures": np.zeros(3)}, "no `images`"),
        ({"images": np.zeros((3, 4, 4), np.int32)}, "int32"),
        ({"images": np.zeros((3, 4, 4), np.uint8), "labels": np.zeros(2)}, "3 images and 2 labels"),
    ],
)
def test_an_npz_that_is_none_says_why(members: dict[str, Any], said: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "bad.npz", **members)
    with pytest.raises(NotADataset, match=said):
        read_images([tmp_path / "bad.npz"])


def test_nothing_and_what_is_damaged_are_told(tmp_path: Path) -> None:
    with pytest.raises(BadParameter, match="no image"):
        read_images([tmp_path])
    for name in ("bad.npz", "bad.zip"):
        (tmp_path / name).write_bytes(b"nonsense")
        with pytest.raises(NotADataset, match=name):
            read_images([tmp_path / name])


# ── views, and what is written down ─────────────────────────────────────────────────────────────────────────────────


def test_a_view_tells_what_it_shows_and_no_more(home: Path) -> None:
    image = digits.pictures("test")[0][0].transpose(1, 2, 0)
    told = {}
    with in_process.local() as client:
        whole = client.model("lenet5-digits").classify(image).predictions
        for view in ("label", "rounded", "full"):
            with through(view, client) as seen:
                model = seen.model("lenet5-digits")
                told[view] = {one.label: one.probability for one in model.classify(image, top_k=10).predictions}
                with pytest.raises(CallerError):
                    model.attack(image, "pgd")
                if view == "label":
                    with pytest.raises(CallerError, match="hop_skip_jump"):
                        model.attack(image, "square", queries=5)
    assert next(iter(told["label"])) == whole[0].label
    assert set(told["label"].values()) == {None}
    assert told["full"][whole[0].label] == pytest.approx(whole[0].probability, abs=1e-6)
    for label, probability in told["full"].items():
        # Ten rounded figures no longer add up to one; what is told of them does again.
        assert told["rounded"][label] == pytest.approx(probability, abs=0.03)


def test_the_queries_of_training_are_told_from_those_of_the_judge() -> None:
    def picture(level: int) -> Any:
        return np.full((1, 2, 2), level, np.float32) / 255

    recording = Recording(in_process.FromArchives(Path()))
    held_out, seeds = [picture(10), picture(100)], [picture(200), picture(220)]
    recording.note(
        np.stack([held_out[0], seeds[0], held_out[1], seeds[1], seeds[1]]), [1, 3, 2, 4, 4]
    )  # one is padding
    recording.note(np.stack([picture(15), picture(96)]), [5, 6])  # made of held-out ones
    recording.note(np.stack([picture(175), picture(120)]), [7, 8])  # a step of the attack, then of the control
    found = recording.training([False, True, False, True], 5 / 255, 3)
    assert found is not None
    assert found[0][:, 0, 0, 0].tolist() == [200, 220, 175]
    assert found[1].tolist() == [3, 4, 7]


def test_what_is_too_large_to_be_kept_is_not_kept_in_part() -> None:
    recording = Recording(in_process.FromArchives(Path()), most=20)
    recording.note(np.random.default_rng(0).random((3, 1, 2, 2), np.float32), [0, 0, 0])
    assert recording.training([True], 0.1, 2) is None
    assert recording.images == []


def test_what_is_recorded_is_what_was_asked(home: Path, some_digits: Path) -> None:
    given = read_images([some_digits])[:3]
    with in_process.local() as client:
        seen, recording = recorded(client)
        with seen:
            answers = [seen.model("lenet5-digits").classify(one.image) for one in given]
    assert [image[0].tolist() for image in recording.images] == [one.image[..., 0].tolist() for one in given]
    assert recording.labels == [answer.prediction.index for answer in answers]


def test_both_detectors_look_at_the_queries_in_order() -> None:
    noise = np.random.default_rng(0)
    images = noise.integers(0, 256, (60, 1, 8, 8), np.uint8)
    found = watched(images, np.zeros(60, np.int64))
    assert [one.name for one in found] == ["Our detector", "PRADA"]
    assert all(one.queries == 60 and one.scores[-1][0] == 60 and one.limit == 1 for one in found)


def test_each_view_and_the_defended_model_are_priced(home: Path, some_digits: Path) -> None:
    images = [one.image for one in read_images([some_digits])][:14]
    options = {"seeds": 6, "rounds": 0, "epochs": 1, "epsilons": [0.3], "targeted": False, "answers": "hard"}
    with in_process.local() as client:
        reply = client.model("lenet5-digits").ask("substitute", images, **options)[0].reply
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("rakinglight.reports.comparison.IMAGES", 2)
            searches = {"label": ("hop_skip_jump", 150), "rounded": ("square", 40), "full": ("square", 40)}
            patch.setattr("rakinglight.reports.comparison.SEARCHES", searches)
            asked = Asked("lenet5-digits", images, options)
            chain = Chain(read(["bit_depth", {"name": "median_blur", "window": 5}]))
            found = compared(client, asked, reply, "lenet5-digits-robust", lambda _: None, chain)
    behind = "label, behind bit_depth, then median_blur (window 5)"
    names = ["label", "rounded", "full", "label, of lenet5-digits-robust", behind]
    assert [one.name.partition(":")[0] for one in found.priced] == names
    assert [one.name for one in found.searched] == names
    assert found.priced[0].curve == reply["summary"]["curve"]  # it was this view already
    assert all(one.curve and not one.unknown for one in found.priced)
    assert [one.method for one in found.searched] == ["hop_skip_jump", *2 * ["square"], *2 * ["hop_skip_jump"]]
    assert all(len(one.needed) == 2 for one in found.searched)


def test_what_a_black_box_does_not_show_cannot_be_priced(
    trees: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rakinglight.reports.comparison.IMAGES", 2)
    searches = {"label": ("hop_skip_jump", 60), "rounded": ("square", 40), "full": ("square", 40)}
    monkeypatch.setattr("rakinglight.reports.comparison.SEARCHES", searches)
    report = tmp_path / "page.html"
    with serving(Server(ours(label_view))) as server:
        shown = asked_of(
            server, trees, "--report", report, "--out", tmp_path, "--compare-views", "--defense", "bit_depth,jpeg"
        )
    assert shown.exit_code == 0, shown.output
    html = report.read_text(encoding="utf-8")
    assert html.count("unknown: it tells labels, and nothing here can make more of them") == 4
    assert html.count("<td>label, behind bit_depth, then jpeg</td>") == 2  # the attack, and a search
    assert server.url in html


# ── before anything is paid for ─────────────────────────────────────────────────────────────────────────────────────


def test_a_budget_is_divided_before_the_start_and_the_same_when_it_is_taken_up_again(
    trees: Path, tmp_path: Path
) -> None:
    answer = ours(label_view)

    def spending(server: Server, asked: Any) -> Reply:
        reply = answer(server, asked)
        return Reply(reply.body, headers={"X-Query-Budget-Remaining": str(120 - len(server.images))})

    with serving(Server(spending)) as server:
        first = asked_of(server, trees, "--out", tmp_path, "--json")
        assert "--max-queries is 113" in first.stderr, first.output
        assert len(server.images) <= 120
        again = asked_of(server, trees, "--out", tmp_path, "--json")
    summary = json.loads(first.stdout)["summary"]
    assert summary["stopped_by"] in ("rounds", "queries")
    assert json.loads(again.stdout)["summary"] == summary


@pytest.mark.parametrize("more", [("--max-queries", 10), ("--seeds", 500)])
def test_what_cannot_be_is_refused_unpaid_and_nobody_is_told_to_go_on(more: Any, trees: Path, tmp_path: Path) -> None:
    with serving(Server(ours(label_view))) as server:
        shown = run("trees", trees, "--black-box", server.url, "--out", tmp_path, *more)
        assert not server.asked
    assert shown.exit_code == 2
    assert "goes on" not in shown.stderr


def test_what_is_no_picture_is_named_unpaid(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("127.0.0.1 localhost")
    with serving(Server(ours(label_view))) as server:
        shown = asked_of(server, tmp_path / "hosts", "--out", tmp_path)
        assert not server.asked
    assert shown.exit_code == 2
    assert "hosts: " in shown.stderr
