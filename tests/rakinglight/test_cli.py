"""The command line: what a person reads, what a program reads, and what the exit code says."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from model_store import digits
from rakinglight import __version__, cli, pictures, terminal
from rakinglight.catalogue import OPERATIONS, Operation
from rakinglight.errors import Unauthenticated


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, archive_store: Path) -> Iterator[Path]:
    """A folder with two pictures of digits, `one.png` and `two.png`; the archives are where the command finds them."""
    folder = tmp_path_factory.mktemp("pictures")
    images, _ = digits.pictures("held-out")
    for name, image in zip(("one", "two"), images, strict=False):
        Image.fromarray(image[0]).save(folder / f"{name}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAKINGLIGHT_HOME", str(archive_store))
        yield folder


def run(*arguments: object, local: bool = True) -> Result:
    where = ("--local", "--model", "lenet5-digits") if local else ()
    command, *rest = map(str, arguments)
    return CliRunner().invoke(cli.app, [command, *where, *rest])


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def test_who_has_read_enough_is_told_of_no_fault() -> None:
    code = (
        "from types import SimpleNamespace; import typer; from rakinglight.terminal import taught\n"
        "with taught(SimpleNamespace(obj=False, params={}, command_path='rakinglight')):\n    typer.echo('a' * 100_000)"
    )
    reads, writes = os.pipe()
    os.close(reads)
    try:
        done = subprocess.run([sys.executable, "-c", code], stdout=writes, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(writes)
    assert (done.returncode, done.stderr) == (0, b"")


def test_accuracy_that_is_not_measured_is_marked(folder: Path) -> None:
    asked = ("--labels", '{"rank": 1}', "--method", "pgd", "--epsilon", "1/255", "--epsilon", "2/255", "--max-rows", 15)
    shown = run("robustness", folder / "one.png", *asked, "--no-checks")
    assert shown.exit_code == 0, shown.output
    assert "not broken by then (partial)" in shown.output
    assert ", 1 untried" in shown.output
    assert "--job" in shown.output


def test_the_version() -> None:
    assert run("--version", local=False).output == f"rakinglight {__version__}\n"


@pytest.mark.parametrize("command", ["models", "classify", "saliency", "occlusion", "attack"])
def test_every_command_explains_itself(command: str) -> None:
    shown = run(command, "--help", local=False)
    assert shown.exit_code == 0
    assert "--local" in shown.output


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda operation: operation.name)
def test_every_parameter_of_every_method_is_an_option(operation: Operation) -> None:
    program: Any = typer.main.get_command(cli.app)
    options = {option.name: option for option in program.commands[operation.name].params}
    assert ("method" in options) == bool(operation.methods)
    for method in operation.methods or (None,):
        for name in operation.parameters(method).model_fields:
            assert f"--{name.replace('_', '-')}" in options[name].opts
            assert options[name].help
            assert options[name].default is None  # what is not given, the service fills in


def test_options_are_the_parameters_that_they_name(folder: Path) -> None:
    how = ("--random-start", "--steps", 2, "--norm", "l2", "--label", '{"rank": 1}', "--epsilon", "8/255")
    attacked = json.loads(run("attack", folder / "one.png", "--method", "pgd", *how, "--json").stdout)["parameters"]
    expected = {"random_start": True, "steps": 2, "norm": "l2", "label": {"rank": 1}, "epsilon": 8 / 255}
    assert attacked | expected == attacked
    classified = json.loads(run("classify", folder / "one.png", "--layer", "c1", "--layers", "s2", "--json").stdout)
    assert classified["parameters"]["layers"] == ["c1", "s2"]


def test_what_the_chosen_method_does_not_have_is_refused_before_anything_is_sent(folder: Path) -> None:
    nobody = f"http://127.0.0.1:{closed_port()}"
    shown = run("attack", folder / "one.png", "--method", "fgsm", "--steps", 3, "--url", nobody, local=False)
    assert shown.exit_code == 2
    assert "'steps' is no parameter of attack by fgsm" in shown.stderr


def test_classify_names_what_is_there(folder: Path) -> None:
    shown = run("classify", folder / "one.png", "--top-k", 3)
    assert shown.exit_code == 0, shown.output
    assert len(shown.output.splitlines()) == 4
    assert "%" in shown.output


def test_json_is_the_contracts_reply(folder: Path) -> None:
    shown = run("saliency", folder / "one.png", "--json", "--target", 7, "-p", "score=probability")
    reply = json.loads(shown.stdout)
    assert reply["operation"] == "saliency"
    assert (reply["parameters"]["target"], reply["parameters"]["score"]) == (7, "probability")
    assert reply["results"][0]["map"]["shape"] == [32, 32]
    assert {"model", "method", "cost", "elapsed_ms", "request_id"} < set(reply)


def test_a_picture_from_standard_input(folder: Path) -> None:
    arguments = ["classify", "-", "--local", "--model", "lenet5-digits"]
    shown = CliRunner().invoke(cli.app, arguments, input=(folder / "one.png").read_bytes())
    assert shown.exit_code == 0, shown.output


def test_a_picture_into_a_file(folder: Path, tmp_path: Path) -> None:
    shown = run("saliency", folder / "one.png", "-o", tmp_path / "new" / "map.png")
    assert shown.exit_code == 0, shown.output
    assert size(tmp_path / "new" / "map.png")[0] == 384


def test_several_pictures_into_one_file(folder: Path, tmp_path: Path) -> None:
    run("saliency", folder / "one.png", folder / "two.png", "-o", tmp_path / "both.png")
    assert size(tmp_path / "both.png")[0] > 2 * 384


@pytest.mark.parametrize(
    "methods", [("--method", "gradient,grad_cam"), ("--method", "gradient", "--method", "grad_cam")], ids=" ".join
)
def test_maps_of_several_methods_on_one_sheet(folder: Path, tmp_path: Path, methods: tuple[str, ...]) -> None:
    shown = run("saliency", folder / "one.png", *methods, "-o", tmp_path / "sheet.png")
    assert shown.exit_code == 0, shown.output
    _, first, second = shown.stdout.splitlines()
    assert "gradient" in first
    assert "grad_cam" in second
    assert size(tmp_path / "sheet.png")[0] == 16 + 2 * 400


def test_every_target_is_compared_by_every_method(folder: Path) -> None:
    targets = ("--target", 1, "--target", '{"rank": 1}')
    shown = run("saliency", folder / "one.png", "--method", "gradient,vargrad", *targets, "--n-samples", 3, "--json")
    compare = json.loads(shown.stdout)["compare"]
    assert [(part["method"], part["parameters"]["target"]) for part in compare] == [
        ("gradient", 1),
        ("vargrad", 1),
        ("gradient", {"rank": 1}),
        ("vargrad", {"rank": 1}),
    ]
    assert compare[1]["parameters"]["n_samples"] == 3


def test_a_target_an_image_is_no_comparison(folder: Path) -> None:
    shown = run("saliency", folder / "one.png", folder / "two.png", "-p", "target=[1, 2]", "--json")
    reply = json.loads(shown.stdout)
    assert [entry["target"]["index"] for entry in reply["results"]] == [1, 2]
    assert "compare" not in reply


def test_figures_are_columns_and_curves_are_kept(folder: Path, tmp_path: Path) -> None:
    figures = ("--evaluate", "deletion", "--evaluate", "pointing_game", "--box", "0,0,32,32")
    shown = run("saliency", folder / "one.png", *figures, "-o", tmp_path)
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.splitlines()[0].endswith("deletion  pointing game")
    assert shown.stdout.splitlines()[1].rstrip().endswith("hit")
    assert {path.name for path in tmp_path.iterdir()} == {"one-overlay.png", "one-curves.png"}


def test_occlusion_is_a_command(folder: Path, tmp_path: Path) -> None:
    shown = run("occlusion", folder / "one.png", "--window", 8, "--stride", 8, "-o", tmp_path / "map.png")
    assert shown.exit_code == 0, shown.output
    assert size(tmp_path / "map.png")[0] == 384


def test_all_pictures_into_a_folder(folder: Path, tmp_path: Path) -> None:
    run("attack", folder / "one.png", folder / "one.png", folder / "two.png", "--epsilon", "0.3", "-o", tmp_path)
    stems = ("one", "one-2", "two")
    expected = {f"{stem}-{what}.png" for stem in stems for what in ("adversarial", "perturbation")}
    assert {path.name for path in tmp_path.iterdir()} == expected


def test_all_arrays_into_a_file(folder: Path, tmp_path: Path) -> None:
    run("saliency", folder / "one.png", "-o", tmp_path / "maps.npz")
    with np.load(tmp_path / "maps.npz") as file:
        assert file["results.0.map"].shape == (32, 32)


def test_the_adversarial_file_is_what_the_attack_says(folder: Path, tmp_path: Path) -> None:
    attacked = run("attack", folder / "one.png", "--epsilon", "0.3", "-o", tmp_path / "a.png", "--json")
    classified = run("classify", tmp_path / "a.png", "--json")
    after = json.loads(attacked.stdout)["results"][0]["after"]
    assert json.loads(classified.stdout)["results"][0]["prediction"] == after
    assert pictures.from_png((tmp_path / "a.png").read_bytes()).info["method"] == "fgsm"


@pytest.mark.parametrize(
    ("epsilon", "fail_on", "code"),
    [("0.4", "success", 1), ("0.4", "failure", 0), ("0", "success", 0), ("0", "failure", 1)],
)
def test_a_gate_for_pipelines(folder: Path, epsilon: str, fail_on: str, code: int) -> None:
    image = folder / "one.png"
    how = ("--method", "pgd", "--steps", 10, "--step-size", "0.1", "--epsilon", epsilon)
    shown = run("attack", image, *how, "--fail-on", fail_on)
    assert shown.exit_code == code, shown.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("classify", "nowhere.png"), "nowhere.png: No such file or directory."),
        (("attack", "{one}", "--epsilon", "-1"), "epsilon is -1"),
        (("attack", "{one}", "--target", "eleven"), "'eleven' is no class of lenet5-digits"),
        (("attack", "{one}", "-p", "steps"), "-p 'steps' names no parameter; it looks like -p steps=20."),
        (("attack", "{one}", "-p", "stepz=3"), "'stepz' is no parameter"),
        (("attack", "{one}", "{two}", "-o", "both.png"), "give a folder"),
        (("saliency", "{one}", "--method", "gradiant"), "did you mean 'gradient'"),
        (("saliency", "{one}", "--method", "gradient,grad_cam", "-p", "stepz=3"), "'stepz' is no parameter"),
        (("saliency", "{one}", "--target", "1", "--target", "eleven"), "'eleven' is no class of lenet5-digits"),
        (("saliency", "{one}", "--box", "1,2,3"), "boxes is [1, 2, 3]"),
        (("attack", "{one}", "--method", "fgsm,pgd"), "makes no maps to lay side by side"),
        (("saliency", "{one}", "-o", "map.jpg"), "neither .png nor .npz"),
        (("classify", "{one}", "-o", "some.png"), "classify draws no picture"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_wrong_is_said_and_ends_with_2(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    shown = run(*(argument.format(one=folder / "one.png", two=folder / "two.png") for argument in arguments))
    assert shown.exit_code == 2
    assert said in shown.stderr
    assert "Traceback" not in shown.stderr


def test_a_file_that_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    assert run("classify", tmp_path / "notes.png").exit_code == 2


def test_where_no_service_is_the_remedy_is_named(folder: Path) -> None:
    shown = run("classify", folder / "one.png", "--url", f"http://127.0.0.1:{closed_port()}", local=False)
    assert shown.exit_code == 3
    assert "rakinglight serve" in shown.stderr


def test_a_trace_is_shown_on_request_only() -> None:
    assert "Traceback" in CliRunner().invoke(cli.app, ["--debug", "classify", "nowhere.png"]).stderr


def test_a_fault_of_its_own_is_no_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "connect", lambda url, key: url / key)
    shown = run("models", local=False)
    assert shown.exit_code == 5
    assert "TypeError" in shown.stderr
    assert "--debug" in shown.stderr


def test_models_are_listed(folder: Path) -> None:
    shown = CliRunner().invoke(cli.app, ["models", "--local"])
    assert "lenet5-digits" in shown.output
    as_json = CliRunner().invoke(cli.app, ["models", "--local", "--json"])
    assert "lenet5-digits" in [model["name"] for model in json.loads(as_json.stdout)["models"]]


def test_the_key_comes_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[str | None] = []

    def connect(url: str, key: str | None) -> NoReturn:
        given.append(key)
        raise Unauthenticated(f"{url} does not know this key.")

    monkeypatch.setattr(terminal, "connect", connect)
    (tmp_path / "key").write_text("a secret\n")
    assert run("models", "--key-file", tmp_path / "key", local=False).exit_code == 4
    monkeypatch.setenv("RAKINGLIGHT_KEY", "another")
    assert run("models", local=False).exit_code == 4
    assert given == ["a secret", "another"]


def test_ctrl_c_ends_it_in_good_order(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as service:  # takes the call, and never answers
        url = f"http://127.0.0.1:{service.getsockname()[1]}"
        command = [sys.executable, "-m", "rakinglight.cli", "classify", str(folder / "one.png"), "--url", url]
        asking = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        service.settimeout(30)
        line, _ = service.accept()
        with line:
            assert line.recv(2**16)  # it has asked
            # Python sees a signal between two bytecodes, so one in the instant before a blocking call waits with it.
            time.sleep(0.5)
            asking.send_signal(signal.SIGINT)
            _, said = asking.communicate(timeout=30)
    assert (asking.returncode, said) == (130, "Cancelled.\n")


def test_commands_of_other_packages_are_added() -> None:
    app = typer.Typer()
    cli.add_commands(app)
    assert "serve" in [command.callback.__name__ for command in app.registered_commands if command.callback]


def test_a_command_that_cannot_be_imported_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    class Absent:
        name = "absent"

        def load(self) -> None:
            raise ModuleNotFoundError("service")

    monkeypatch.setattr(cli, "entry_points", lambda group: [Absent()])
    app = typer.Typer()
    cli.add_commands(app)
    assert not app.registered_commands


def test_ctrl_c_before_there_is_a_command_is_quiet() -> None:
    program = (
        "import builtins, os, signal, sys; real = builtins.__import__\n"
        "def slow(name, *rest):\n"
        "    if name == 'typer': os.kill(os.getpid(), signal.SIGINT)\n"
        "    return real(name, *rest)\n"
        "from rakinglight.__main__ import main; builtins.__import__ = slow; main()"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (terminal.INTERRUPTED, b"", b"")
