"""The containers, as far as can be told without starting them."""

import json
import os
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
MODELS = "${RAKINGLIGHT_MODELS:-efficientnet-lite0,lenet5-digits}"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module", params=["torchserve", "torchserve-gpu", "key", "service", "prometheus"])
def container(request: pytest.FixtureRequest, compose: dict[str, Any]) -> dict[str, Any]:
    return compose["services"][request.param]


def test_nothing_is_published_beyond_loopback(compose: dict[str, Any]) -> None:
    published = {port for one in compose["services"].values() for port in one.get("ports", ())}
    assert published == {"127.0.0.1:8000:8000", "127.0.0.1:8001:8001", "127.0.0.1:9090:9090"}


def test_torchserve_has_no_network(compose: dict[str, Any]) -> None:
    for name in ("torchserve", "torchserve-gpu"):
        assert compose["services"][name]["network_mode"] == "none"


def test_both_halves_meet_at_the_same_sockets(compose: dict[str, Any]) -> None:
    halves = [compose["services"][name] for name in ("torchserve", "torchserve-gpu", "service")]
    for half in halves:
        volume, folder = half["volumes"][0].removesuffix(":ro").split(":")
        assert volume == "home"
        assert half["environment"]["RAKINGLIGHT_ENGINE_SOCKETS"] == f"{folder}/run"
        assert half["environment"]["RAKINGLIGHT_MODELS"] == MODELS
    service = halves[-1]
    assert service["volumes"][0].endswith(":ro")
    assert service["environment"]["RAKINGLIGHT_ARCHIVE_FOLDER"] == f"{folder}/archives"


def test_what_jobs_have_found_outlives_the_container(compose: dict[str, Any]) -> None:
    assert "kept:/var/lib/rakinglight" in compose["services"]["service"]["volumes"]
    assert "RAKINGLIGHT_HOME=/var/lib/rakinglight" in DOCKERFILE.read_text(encoding="utf-8")


def test_what_the_containers_run_is_there() -> None:
    commands = re.findall(r"^CMD (\[.*\])$", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE)
    service, torchserve = map(json.loads, commands)
    assert service == ["rakinglight", "serve", "--engine", "torchserve"]
    assert torchserve[:2] == ["python", "-m"]
    assert find_spec(f"{torchserve[2]}.__main__")


def test_a_container_can_do_little(container: dict[str, Any]) -> None:
    user = int(container["user"].partition(":")[0])
    assert user > 0
    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]


def test_what_stays_up_says_whether_it_is_well(compose: dict[str, Any]) -> None:
    assert all("healthcheck" in one for name, one in compose["services"].items() if name != "key")


def test_either_engine_and_not_both(compose: dict[str, Any]) -> None:
    profiles = {name: one["profiles"] for name, one in compose["services"].items() if "profiles" in one}
    assert profiles == {"torchserve": ["cpu"], "torchserve-gpu": ["gpu"]}
    assert "COMPOSE_PROFILES=cpu" in (ROOT / ".env").read_text(encoding="utf-8").splitlines()
    hardware = {name: compose["services"][name]["build"]["args"]["HARDWARE"] for name in profiles}
    assert hardware == {"torchserve": "cpu", "torchserve-gpu": "gpu"}


def test_only_the_doors_and_prometheus_see_the_key(compose: dict[str, Any]) -> None:
    holders = {
        name: volume
        for name, one in compose["services"].items()
        for volume in one.get("volumes", ())
        if volume.startswith("keys:")
    }
    assert holders == {"key": "keys:/run/keys", "service": "keys:/run/keys:ro", "prometheus": "keys:/run/keys:ro"}


def test_every_variable_is_a_setting(compose: dict[str, Any]) -> None:
    from service.settings import Settings

    known = {f"RAKINGLIGHT_{name.upper()}" for name in Settings.model_fields}
    given = {name for one in compose["services"].values() for name in one.get("environment", ())}
    assert given <= known


def test_every_volume_and_folder_is_there(compose: dict[str, Any]) -> None:
    for one in compose["services"].values():
        for volume in one.get("volumes", ()):
            source = volume.partition(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in compose["volumes"]


def test_the_health_checks_are_python_that_parses(compose: dict[str, Any]) -> None:
    for one in compose["services"].values():
        _, *command = one.get("healthcheck", {"test": ["CMD"]})["test"]
        if command[:2] == ["python", "-c"]:
            compile(command[2], "healthcheck", "exec")


def test_the_dockerfile_copies_what_there_is() -> None:
    shown = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    for line in DOCKERFILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("COPY"):
            *sources, _ = [word for word in shlex.split(line)[1:] if not word.startswith("--")]
            for source in sources:
                assert (ROOT / source).exists(), line
                assert f"!{source}" in shown, f"{source} is copied and is not let through by .dockerignore"


def test_hadolint_finds_nothing() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    found = subprocess.run([linter, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")


def test_the_first_start_makes_a_key_and_the_second_keeps_it(tmp_path: Path) -> None:
    file = tmp_path / "key"
    environment = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    def start() -> str:
        subprocess.run(
            [ROOT / "deploy" / "first-key", file], env=environment, check=True, capture_output=True, text=True
        )
        return file.read_text(encoding="utf-8")

    key = start()
    assert len(key.strip()) == 43
    assert file.stat().st_mode & 0o777 == 0o640, "its owner writes it, Prometheus's group reads it"
    assert start() == key
