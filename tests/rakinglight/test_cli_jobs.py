"""The commands of jobs and datasets, against a real service."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import structlog
from PIL import Image
from rich.console import Console
from rich.table import Table
from typer.testing import CliRunner, Result

import rakinglight
from rakinglight import cli, cli_jobs, terminal
from rakinglight.client import Client
from rakinglight.flows import Address
from rakinglight.over_http import HttpTransport
from rakinglight.results import Progress
from tests.rakinglight.house import KEY, House, until

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
LONG = ("--method", "pgd", "--steps", 1000)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with structlog.testing.capture_logs():  # of the service; here the standard output is the commands'
        house = House(tmp_path_factory.mktemp("home"))
        yield house
        house.close()


@pytest.fixture(autouse=True)
def asked(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands ask `house`, from a folder with `one.png` and `two.png`."""
    monkeypatch.setenv("RAKINGLIGHT_URL", house.url)
    monkeypatch.setenv("RAKINGLIGHT_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    for name in ("one.png", "two.png"):
        Image.fromarray(PIXELS).save(name)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def done(*arguments: object) -> str:
    """The standard output of a command that goes well."""
    shown = run(*arguments)
    assert shown.exit_code == 0, shown.output
    return shown.stdout


def submitted(operation: str, *arguments: object) -> str:
    """The id of a job."""
    return done(operation, *arguments, "--model", "small", "--job").strip()


def job(name: str) -> Any:
    return json.loads(done("jobs", "show", name, "--json"))


# ── jobs ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_watching_a_job_prints_what_its_command_prints(tmp_path: Path) -> None:
    waited = done("attack", "one.png", "--model", "small", "-o", tmp_path / "a.png")
    name = submitted("attack", "one.png")
    watched = done("jobs", "watch", name, "-o", tmp_path / "b.png")
    assert watched.split()[8:] == waited.replace("one.png", "image-0").split()[8:]
    assert "image-0" in watched
    first, second = (np.asarray(Image.open(tmp_path / file)) for file in ("a.png", "b.png"))
    np.testing.assert_array_equal(first, second)


def test_a_submitted_job_as_json() -> None:
    said = json.loads(done("saliency", "one.png", "two.png", "--model", "small", "--job", "--json"))
    assert (said["operation"], said["images"]) == ("saliency", 2)
    assert len(json.loads(done("jobs", "watch", said["id"], "--json").splitlines()[-1])["results"]) == 2


def test_every_event_is_a_line_for_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.jobs.runner.KEEP_S", 0.0)
    name = submitted("attack", "one.png", *LONG)
    *progress, result = map(json.loads, done("jobs", "watch", name, "--json").splitlines())
    assert [one["number"] for one in progress] == list(range(1, len(progress) + 1))
    assert result["parameters"]["steps"] == 1000
    again = done("jobs", "watch", name, "--json", "--after", 3).splitlines()
    assert json.loads(again[0])["number"] == 4


def test_a_job_is_shown_with_what_it_found(tmp_path: Path) -> None:
    name = submitted("saliency", "one.png", "two.png", "--method", "gradient")
    done("jobs", "watch", name)
    shown = done("jobs", "show", name, "-o", tmp_path / "maps")
    assert name in shown
    assert "succeeded" in shown
    assert "gradient" in shown
    assert {path.name for path in (tmp_path / "maps").iterdir()} == {"image-0-overlay.png", "image-1-overlay.png"}
    assert len(job(name)["result"]["results"]) == 2


def test_jobs_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [submitted("classify", "one.png") for _ in range(3)]
    for name in names:
        done("jobs", "watch", name)
    assert [line.split()[0] for line in done("jobs", "list").splitlines()[1:4]] == names[::-1]
    monkeypatch.setattr("rakinglight.cli_jobs.LISTED", 2)
    assert len(json.loads(done("jobs", "list", "--json"))["jobs"]) == 2
    assert len(json.loads(done("jobs", "list", "--json", "--all"))["jobs"]) >= 3
    assert done("jobs", "list", "--state", "queued").splitlines()[1:] == []


def test_a_list_is_whole_in_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    name = submitted("attack", "one.png", *LONG)
    tables: list[Table] = []
    monkeypatch.setattr("rakinglight.cli_jobs.print_table", tables.append)
    done("jobs", "list")
    console = Console(width=80)
    with console.capture() as shown:
        console.print(tables[0])
    head, newest, *_ = shown.get().splitlines()
    assert head.split() == ["job", "state", "done", "images", "age", "operation", "model"]
    assert newest.startswith(f"{name}  ")
    assert "attack" in newest
    done("jobs", "cancel", name)


def test_a_cancelled_job_shows_how_far_it_came_and_goes(tmp_path: Path) -> None:
    name = submitted("attack", "one.png", "two.png", "one.png", *LONG)
    until(lambda: (job(name)["progress"] or {}).get("done") == 1, 60)
    assert run("jobs", "rm", name).exit_code == terminal.WRONG
    assert done("jobs", "cancel", name).startswith(f"{name} is ")
    until(lambda: job(name)["state"] == "cancelled")
    watched = run("jobs", "watch", name, "-o", tmp_path / "found")
    assert watched.exit_code == terminal.AWAY
    assert f"{name} was cancelled" in watched.stderr
    assert f"rakinglight jobs show {name} -o FOLDER" in watched.stderr
    assert "image-0-adversarial.png" in {path.name for path in (tmp_path / "found").iterdir()}
    assert done("jobs", "show", name).splitlines()[-1].split() == ["image-2", "no", "answer"]
    assert done("jobs", "rm", name) == f"{name} is removed.\n"
    assert run("jobs", "show", name).exit_code == terminal.WRONG


def test_the_gate_for_pipelines_is_at_the_end() -> None:
    name = submitted("attack", "one.png", "--epsilon", 0)
    assert run("jobs", "watch", name, "--fail-on", "failure").exit_code == terminal.FOUND
    assert run("jobs", "watch", name, "--fail-on", "success").exit_code == 0


def test_a_watch_goes_through_a_restart_of_the_service_and_shows_a_bar(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.jobs.runner.KEEP_S", 0.0)
    name = submitted("attack", "one.png", *LONG)
    with rakinglight.connect(house.url, KEY) as client:
        found = client.job(name)
        numbers = []
        for news in found.events():
            if len(numbers) == 2:
                house.shut()
                house.open()
            numbers.append(getattr(news, "number", None))
        answer = terminal.followed(found.events(), "attack", lambda i: name)
    assert numbers == [*range(1, len(numbers)), None]
    assert len(answer) == 1


def test_who_watches_is_told_what_keeps_the_job(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rakinglight.cli_jobs.REMARK_S", 0.05)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    name = submitted("attack", "one.png", *LONG)
    heard = ""

    def told(words: str) -> bool:
        nonlocal heard
        heard += capsys.readouterr().err
        return words in heard

    with cli_jobs.remarks(lambda: rakinglight.connect(house.url, KEY), name):
        house.shut()
        try:
            until(lambda: told("the service is away; trying again\n"))
        finally:
            house.open()
        until(lambda: told("it goes on\n"))
    assert heard.count("away") == 1
    done("jobs", "cancel", name)


def test_a_job_that_is_interrupted_says_why(house: House) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json={"id": "job_1", "state": state, "note": note})

    client = Client(HttpTransport(Address.of("http://service"), httpx2.MockTransport(answer)))
    state, note = "interrupted", None
    assert cli_jobs.hindrance(client, "job_1") == "interrupted: waiting for a worker"
    state, note = "running", "No worker is there."
    assert cli_jobs.hindrance(client, "job_1") == "running: No worker is there."
    state, note = "running", None
    assert cli_jobs.hindrance(client, "job_1") == ""


def test_ctrl_c_leaves_the_job_alone() -> None:
    name = submitted("attack", "one.png", "two.png", *LONG)
    command = [sys.executable, "-m", "rakinglight.cli", "jobs", "watch", name, "--json"]
    watching = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert watching.stdout
    assert watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    _, said = watching.communicate(timeout=30)
    assert watching.returncode == terminal.INTERRUPTED
    assert said == f"{name} goes on. Come back with: rakinglight jobs watch {name}\n"
    assert job(name)["state"] in ("running", "succeeded")
    done("jobs", "cancel", name)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("classify", "--model", "small"), "Give images or a --dataset"),
        (("classify", "one.png", "--dataset", "ds_1"), "not both"),
        (("attack", "one.png", "--job", "--local"), "--job has a service do the work later"),
        (("attack", "one.png", "--job", "-o", "a.png"), "--job has a service do the work later"),
        (("classify", "--dataset", "ds_1", "--local", "--model", "small"), "kept by a service"),
        (("jobs", "show", "job_of_nobody"), "There is no job 'job_of_nobody'"),
        (("jobs", "show", "../models"), "There is no"),
        (("datasets", "show", "ds_of_nobody"), "There is no dataset 'ds_of_nobody'"),
        (("perturbations", "show", "pert_of_nobody"), "There is no perturbation 'pert_of_nobody'"),
        (("datasets", "add", "nowhere.zip"), "nowhere.zip: No such file"),
        (("datasets", "add", "one.png"), "no zip"),
        (("jobs", "list", "--state", "nonsense"), "nonsense"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_wrong_is_said_and_ends_with_2(arguments: tuple[str, ...], said: str) -> None:
    shown = run(*arguments)
    assert said in shown.stderr
    assert shown.exit_code == terminal.WRONG


def test_without_a_service_only_what_there_is_is_recommended() -> None:
    nowhere = ("--url", "http://127.0.0.1:9")
    listed, asked = run("jobs", "list", *nowhere), run("classify", "one.png", *nowhere)
    assert listed.exit_code == asked.exit_code == terminal.AWAY
    assert "--local" not in listed.stderr
    assert "--local" in asked.stderr


# ── datasets ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_folder_is_sent_and_asked_about(tmp_path: Path) -> None:
    for name in ("cat/1.png", "dog/1.png", "dog/2.png"):
        (tmp_path / "pets" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(PIXELS).save(tmp_path / "pets" / name)
    name = done("datasets", "add", "pets").strip()
    assert [line.split() for line in done("datasets", "show", name).splitlines()[-2:]] == [["cat", "1"], ["dog", "2"]]
    assert f"{name}  pets" in done("datasets", "list")
    assert json.loads(done("datasets", "list", "--json"))["datasets"][0]["id"] == name
    answers = json.loads(done("classify", "--dataset", name, "--model", "small", "--json"))["results"]
    assert len(answers) == 3
    later = submitted("classify", "--dataset", name)
    assert "image-2" in done("jobs", "watch", later)
    assert done("datasets", "rm", name) == f"{name} is removed.\n"
    assert name not in done("datasets", "list")


def test_a_perturbation_is_made_listed_applied_and_removed() -> None:
    made = ("universal", "one.png", "two.png", "--method", "gradient", "--epsilon", "0.2", "--epochs", 1)
    later = submitted(*made, "--restarts", 1)
    name = json.loads(done("jobs", "watch", later, "--json"))["summary"]["id"]
    assert name in done("perturbations", "list")
    assert "small" in done("perturbations", "list")
    assert "0.2 linf" in done("perturbations", "show", name)
    assert json.loads(done("perturbations", "show", name, "--json"))["id"] == name
    applied = ("attack", "one.png", "--model", "small", "--method", "universal", "--perturbation", name, "--json")
    assert json.loads(done(*applied))["parameters"]["epsilon"] == 0.2
    assert done("perturbations", "rm", name) == f"{name} is removed.\n"
    assert name not in done("perturbations", "list")


@pytest.mark.parametrize("link", ["cat/l.png", "dog"])
def test_a_folder_with_a_link_in_it_is_refused_whole(tmp_path: Path, link: str) -> None:
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    Image.fromarray(PIXELS).save(tmp_path / "pets" / "cat" / "1.png")
    (tmp_path / "pets" / link).symlink_to(tmp_path if link == "dog" else tmp_path / "one.png")
    shown = run("datasets", "add", "pets")
    assert shown.exit_code == terminal.WRONG
    assert f"'{link}' is a symbolic link; put the image itself there." in shown.stderr


def test_a_dataset_has_the_name_that_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "one" / "cat").mkdir(parents=True)
    Image.fromarray(PIXELS).save(tmp_path / "one" / "cat" / "1.png")
    added = json.loads(done("datasets", "add", "one", "--name", "A cat", "--json"))
    assert (added["name"], added["kind"], added["images"]) == ("A cat", "zip", 1)


@pytest.mark.parametrize(
    ("progress", "done"),
    [
        (Progress(2, 5, 10, done=2, images=4), 2.5),
        (Progress(3, 10, 10, done=4, images=4), 4.0),
        (Progress(2, 5, 10, map=1, done=2, images=4), 2.0),
        (Progress(0, 0, 0, done=0, images=4), 0.0),
        (Progress(0, 1, 4), 0.25),
    ],
)
def test_the_image_in_hand_counts_in_part(progress: Progress, done: float) -> None:
    assert terminal.images_done(progress) == done
