"""The page that asks people what they see: whose class a picture is of, and that the page is safe and needs nothing.

What its script does was looked at in a browser; there is none here.
"""

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from typer.testing import CliRunner

from rakinglight import cli
from rakinglight.errors import BadParameter, NotAnImage
from rakinglight.reports.forced_choice import page, trials

#: A class that would like to be markup.
HOSTILE = "</script><img src=x onerror=alert(1)>"


def picture(path: Path, grey: int = 100) -> Path:
    told = PngImagePlugin.PngInfo()
    told.add_text("rakinglight", "a zebra")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 6, 3), grey, np.uint8)).save(path, pnginfo=told)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i, name in enumerate(("zebra/1.png", "zebra/2.png", "tench/1.png", "lynx.png", "sports car-2.png", "7.png")):
        picture(tmp_path / "pictures" / name, 10 * i)
    return tmp_path / "pictures"


class Reader(HTMLParser):
    """What a browser makes of a page: its tags, and what stands in its scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        self.scripts += [""] * (tag == "script")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script":
            self.scripts[-1] += data.rstrip("\n") if not data.strip() else data

    @property
    def asked(self) -> Any:
        return json.loads(self.scripts[0])


def test_a_class_is_a_folder_or_what_the_name_begins_with(folder: Path) -> None:
    assert {trial.name: trial.truth for trial in trials(folder)} == {
        "7.png": "7",
        "lynx.png": "lynx",
        "sports car-2.png": "sports car",
        "tench/1.png": "tench",
        "zebra/1.png": "zebra",
        "zebra/2.png": "zebra",
    }


def test_a_page_has_every_picture_and_says_nothing_of_its_class_in_it(folder: Path) -> None:
    found = trials(folder)
    asked = Reader(page(found, 3)).asked
    assert asked["choices"] == 3
    assert asked["classes"] == ["7", "lynx", "sports car", "tench", "zebra"]
    for trial, shown in zip(found, asked["pictures"], strict=True):
        assert (shown["name"], shown["truth"]) == (trial.name, trial.truth)
        head, _, data = shown["image"].partition(",")
        assert head == "data:image/png;base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as image, Image.open(folder / trial.name) as original:
            assert np.array_equal(np.asarray(image.convert("RGB")), np.asarray(original))
            assert "rakinglight" in original.info
            assert image.info == {}


def test_the_only_script_that_runs_is_its_own(folder: Path) -> None:
    html = page(trials(folder), 3)
    read = Reader(html)
    assert [attributes.get("type") for tag, attributes in read.tags if tag == "script"] == ["application/json", None]
    policy = next(a["content"] for _, a in read.tags if a.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(read.scripts[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in str(policy)
    assert "default-src 'none'" in str(policy)
    assert not re.search(r"https?://|@import|url\(|innerHTML|eval\(", html)
    assert not any("src" in attributes or "href" in attributes for _, attributes in read.tags)


def test_names_are_no_markup(folder: Path) -> None:
    picture(folder / "x'\"&<b>-1.png")
    html = page(trials(folder), 3, [HOSTILE])
    asked = Reader(html).asked
    assert HOSTILE in asked["classes"]
    assert "x'\"&<b>" in asked["classes"]
    assert "<img src=x" not in html
    assert "<b>-1" not in html
    assert [tag for tag, _ in Reader(html).tags].count("img") == 1


def test_the_same_pictures_are_the_same_page_and_others_keep_their_answers_apart(folder: Path) -> None:
    first, again, other = page(trials(folder), 3), page(trials(folder), 3), page(trials(folder), 4)
    assert first == again
    assert Reader(first).asked["id"] != Reader(other).asked["id"]


def test_there_has_to_be_something_to_choose_from(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadParameter, match=r"There are 5 classes, .* give --choices 5, or name others with --also"):
        page(trials(folder), 6)
    assert len(Reader(page(trials(folder), 6, ["quilt"])).asked["classes"]) == 6
    picture(tmp_path / "alone" / "lynx.png")
    with pytest.raises(BadParameter, match="All pictures are of 'lynx'"):
        page(trials(tmp_path / "alone"), 2)
    (folder / "broken.png").write_bytes(b"not a picture")
    with pytest.raises(NotAnImage, match=r"broken\.png: "):
        trials(folder)


def test_the_command_writes_the_page(folder: Path, tmp_path: Path) -> None:
    def run(*arguments: object) -> Any:
        return CliRunner().invoke(cli.app, ["forced-choice", *map(str, arguments)])

    out = tmp_path / "pages" / "page.html"
    said = run(folder, "--out", out, "--choices", 4, "--also", "quilt")
    assert said.exit_code == 0
    assert Reader(out.read_text(encoding="utf-8")).asked["classes"] == [
        "7",
        "lynx",
        "quilt",
        "sports car",
        "tench",
        "zebra",
    ]
    (tmp_path / "empty").mkdir()
    for wrong, words in (
        ((tmp_path / "empty", "--out", out), "no image"),
        ((folder, "--out", out, "--choices", 11), ""),
    ):
        said = run(*wrong)
        assert said.exit_code == 2
        assert words in said.stderr
