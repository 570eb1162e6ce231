"""From the command line against a black box that shows labels alone: the attack, its budget, and what is refused."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from rakinglight import cli, pictures, terminal
from tests.live_service import LiveService, serving


@pytest.fixture(scope="module")
def black_box(archive_store: Path) -> Iterator[LiveService]:
    settings = {"home": str(archive_store), "models": "lenet5-digits", "black_box": "true", "view": "label"}
    with serving("local", **settings) as service:
        yield service


@pytest.fixture
def digit(digits: tuple[np.ndarray[Any, Any], Any], tmp_path: Path) -> Path:
    path = tmp_path / "digit.png"
    path.write_bytes(pictures.to_png(pictures.from_pixels(digits[0][3].transpose(1, 2, 0))))
    return path


def invoked(service: LiveService, *arguments: Any) -> Result:
    where = ["--black-box", service.url, "--i-am-authorised", "--model", "lenet5-digits"]
    return CliRunner().invoke(cli.app, list(map(str, (*arguments, *where))))


def test_a_label_only_black_box_is_fooled_by_labels_alone(black_box: LiveService, digit: Path, tmp_path: Path) -> None:
    fooled = tmp_path / "fooled.png"
    how = ["--method", "hop_skip_jump", "--queries", 300, "--seed", 1, "--json", "--output", fooled]
    shown = invoked(black_box, "attack", digit, *how)
    assert shown.exit_code == terminal.DONE, shown.output
    (found,) = json.loads(shown.stdout)["results"]
    assert found["success"]
    assert "probability" not in found["before"]
    assert found["search_queries"] <= 300
    assert found["trace"]["distance"][-1] < 0.8 * found["trace"]["distance"][0]
    # What it claims is what the black box says of the picture.
    said = invoked(black_box, "classify", fooled, "--json")
    assert said.exit_code == terminal.DONE, said.output
    (told,) = json.loads(said.stdout)["results"]
    assert told["predictions"][0]["index"] == found["after"]["index"] != found["before"]["index"]


@pytest.mark.parametrize("method", ["square", "nes"])
def test_what_needs_scores_is_refused_at_once(black_box: LiveService, digit: Path, method: str) -> None:
    shown = invoked(black_box, "attack", digit, "--method", method)
    assert shown.exit_code == terminal.WRONG, shown.output
    assert f"{method} asks for scores, and lenet5-digits tells labels alone" in " ".join(shown.stderr.split())
