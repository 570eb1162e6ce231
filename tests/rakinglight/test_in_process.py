"""The client with no service: the same names, the same replies."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rakinglight
from model_store import digits
from rakinglight import plan
from rakinglight.client import Client, Model
from rakinglight.errors import BadParameter, EngineAway, JobCancelled, NotFound
from rakinglight.results import Progress

Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def client(archive_store: Path) -> Iterator[Client]:
    with rakinglight.local(archive_store) as client:
        yield client


@pytest.fixture
def model(client: Client) -> Model:
    return client.model("lenet5-digits")


@pytest.fixture(scope="module")
def digit() -> Array:
    """uint8 [32, 32]."""
    images, _ = digits.pictures("held-out")
    return np.asarray(images[0, 0])


def test_a_reply_has_every_member_of_the_contracts(model: Model, digit: Array) -> None:
    reply = model.attack(digit, "pgd", steps=3).reply
    contract = {"model", "operation", "method", "parameters", "seed", "results", "cost", "elapsed_ms", "request_id"}
    assert contract <= set(reply)
    assert reply["cost"] == {"forward_rows": 3, "gradient_rows": 3}
    assert reply["parameters"]["steps"] == 3


def test_its_method_parameters_and_seed_repeat_the_call(model: Model, digit: Array) -> None:
    first = model.attack(digit, "pgd", steps=3, epsilon="8/255", random_start=True, seed=5)
    again = model.attack(digit, first.reply["method"], seed=first.reply["seed"], **first.reply["parameters"])
    assert again.adversarial_png.split(b"tEXt")[-1] == first.adversarial_png.split(b"tEXt")[-1]
    np.testing.assert_array_equal(again.exact, first.exact)


def test_a_list_is_answered_image_by_image(model: Model, digit: Array) -> None:
    alone = model.saliency(digit)
    _, in_company = model.saliency([digit.T.copy(), digit])
    np.testing.assert_array_equal(in_company.map, alone.map)


def test_a_stream_tells_of_every_image(model: Model, digit: Array) -> None:
    *progress, answers = model.attack.stream([digit, digit], "pgd", steps=200)
    assert {news.image for news in progress if isinstance(news, Progress)} == {0, 1}
    assert len(answers) == 2


def test_a_job_can_be_cancelled(model: Model, digit: Array) -> None:
    job = model.attack.submit(digit, "pgd", steps=1000)
    job.cancel()
    with pytest.raises(JobCancelled):
        job.result(timeout=10)


def test_a_process_may_end_in_the_middle_of_a_pass(archive_store: Path) -> None:
    code = """
import sys, threading, time, rakinglight
from model_store.digits import pictures

model, digit = rakinglight.local(sys.argv[1]).model("lenet5-digits"), pictures("test")[0][0].transpose(1, 2, 0)
model.classify(digit)
threading.Thread(target=lambda: model.attack(digit, "pgd", epsilon=0.01, steps=1000), daemon=True).start()
time.sleep(0.3)
"""
    ended = subprocess.run([sys.executable, "-c", code, str(archive_store)], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr


def test_it_checks_what_the_service_checks(model: Model, digit: Array) -> None:
    with pytest.raises(BadParameter, match="'eleven' is no class"):
        model.attack(digit, target="eleven")
    with pytest.raises(BadParameter, match="NaN"):
        model.classify(np.full((1, 32, 32), np.nan, np.float32))


def test_a_version_that_is_not_there(client: Client, digit: Array) -> None:
    with pytest.raises(NotFound, match="no version '9'"):
        client.model("lenet5-digits", "9").classify(digit)


@pytest.fixture
def from_the_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the library alone were installed."""
    monkeypatch.setitem(sys.modules, "model_store.build", None)


@pytest.mark.usefixtures("from_the_wheel")
def test_without_archives_and_recipes_the_remedy_is_named(tmp_path: Path, digit: Array) -> None:
    with pytest.raises(NotFound, match="RAKINGLIGHT_HOME"):
        rakinglight.local(tmp_path).model("lenet5-digits").classify(digit)


@pytest.mark.usefixtures("from_the_wheel")
def test_without_torch_the_remedy_is_named(archive_store: Path, digit: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rakinglight.worker", None)
    with pytest.raises(EngineAway, match=r"pip install 'rakinglight\[engine,cpu\]'"):
        rakinglight.local(archive_store).model("lenet5-digits").classify(digit)


def test_maps_are_compared_as_the_service_compares_them(model: Model, digit: Array) -> None:
    answer = model.ask("saliency", digit, ["gradient", "grad_cam"], target=3)
    assert [part["method"] for part in answer.reply["compare"]] == ["gradient", "grad_cam"]
    assert [one["target"]["index"] for one in answer.entry["maps"]] == [3, 3]
    again = model.ask("saliency", digit, compare=answer.reply["compare"])
    np.testing.assert_array_equal(again.entry["maps"][1]["map"], answer.entry["maps"][1]["map"])


def test_a_fault_in_a_part_is_pointed_at(model: Model, digit: Array) -> None:
    with pytest.raises(BadParameter) as found:
        model.ask("saliency", digit, compare=[{}, {"target": "eleven"}])
    assert found.value.errors[0].pointer == "/compare/1/target"
    with pytest.raises(BadParameter) as found:
        model.ask("saliency", digit, compare=[{}, {"method": "integrated_gradients"}], max_rows=4)
    assert str(found.value).startswith("Entry 1 of compare: ")


def test_a_stream_brings_the_running_picture(model: Model, digit: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "PICTURE_S", 0.0)
    *progress, _ = model.stream("occlusion", digit, "rise", masks=200)
    assert any(news.picture for news in progress)
