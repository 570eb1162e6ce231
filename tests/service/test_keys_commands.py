"""`rakinglight keys` and `rakinglight ledger`, straight on the database."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner, Result

from rakinglight.cli import add_commands, app
from service.ask import Ask
from service.black_box.ledger import Asked
from service.database.schema import keys
from service.decode import DecodePool
from service.storage import Storage
from tests.service.in_process import storage_in

add_commands(app)


@pytest.fixture
def storage(tmp_path: Path, decoder: DecodePool, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("RAKINGLIGHT_HOME", str(tmp_path))
    found = storage_in(tmp_path, settings, decoder)
    yield found
    found.close()


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def said(*words: str) -> Any:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_key_is_made_listed_topped_up_and_revoked(storage: Storage) -> None:
    options = ["--scope", "query", "--view", "label", "--budget", "1000", "--rate", "600", "--response", "log"]
    made = run("keys", "make", "alice", *options)
    assert made.exit_code == 0
    secret = made.stdout.strip()
    assert secret.startswith("rl_"), "the secret alone, for a program to keep"
    (listed,) = said("keys", "list")["keys"]
    assert (listed["name"], listed["budget"], listed["rate"], listed["response"]) == ("alice", 1000, 600, "log")
    assert secret not in json.dumps(listed)
    assert "alice" in run("keys", "list").stdout
    assert said("keys", "top-up", "alice", "500")["budget"] == 1500
    assert said("keys", "show", listed["id"])["budget"] == 1500
    assert said("keys", "clear", "alice")["noticed"] is None
    assert said("keys", "revoke", "alice")["revoked_at"]
    assert said("keys", "list")["keys"] == []
    assert "revoked" in run("keys", "list", "--all").stdout


def test_a_key_of_other_scopes_that_ends(storage: Storage) -> None:
    made = said("keys", "make", "ci", "--scope", "explain,metrics", "--scope", "attack", "--expires", "30d")
    assert made["scopes"] == ["attack", "explain", "metrics"]
    assert made["view"] is made["budget"] is None
    assert made["expires_at"] > made["created_at"]
    assert made["secret"].startswith("rl_")


@pytest.mark.parametrize(
    ("words", "taught"),
    [
        (["make", "Bob"], "a-z, 0-9 and -"),
        (["make", "bob", "--scope", "all"], "'all' is no scope"),
        (["make", "bob", "--scope", "attack", "--budget", "3"], "leave it out"),
        (["make", "bob", "--budget", "-1"], "from 0 to"),
        (["make", "bob", "--top-k", "0"], "from 1 to"),
        (["make", "bob", "--expires", "soon"], "2026-11-22"),
        (["make", "bob", "--expires", "2020-01-01"], "not to come"),
        (["make", "alice"], "already"),
        (["top-up", "bob", "3"], "There is no key 'bob'"),
        (["top-up", "free", "3"], "no budget"),
        (["top-up", "alice", "-100"], "images is -100; it is from 1 to"),
        (["top-up", "gone", "3"], "gone was revoked at"),
        (["make", "bob", "--response", "round"], "no probability to round"),
        (["revoke", "bob"], "There is no key 'bob'"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_is_taught(storage: Storage, words: list[str], taught: str) -> None:
    storage.keys.make("alice", budget=3)
    storage.keys.make("free")
    storage.keys.make("gone")
    storage.keys.revoke("gone")
    result = run("keys", *words)
    assert result.exit_code == 2
    assert taught in result.stderr


def test_a_stopped_key_is_not_good(storage: Storage) -> None:
    noticed = {"at": 1_800_000_000.0, "queries": 105, "score": 1.25, "times": 1, "over": False}
    for response in ("refuse", "slow"):
        storage.keys.make(response, response=response)
        with storage.database.transaction() as connection:
            connection.execute(sa.update(keys).where(keys.c.name == response).values(noticed=noticed))
    stopped, slowed = (" ".join(run("keys", "show", name).stdout.split()) for name in ("refuse", "slow"))
    assert "stopped since 2027-01-15" in stopped and "keys clear" in stopped and "good" not in stopped
    assert "good, noticed after 105" in slowed
    run("keys", "clear", "refuse")
    assert "good" in run("keys", "show", "refuse").stdout


@pytest.mark.parametrize("required", [False, True])
def test_a_key_that_restrains_nobody_is_said_to(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, required: bool
) -> None:
    monkeypatch.setenv("RAKINGLIGHT_REQUIRE_KEY", str(required))
    for words in ([], ["--json"]):
        made = run("keys", "make", f"bob{len(words)}", *words)
        assert ("restrains nobody" in made.stderr) is not required
        assert "restrains" not in made.stdout


def test_the_command_line_needs_no_web_framework() -> None:
    program = "import sys, service.key_commands, service.black_box.ledger, service.black_box.keys; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"fastapi", "starlette", "grpc", "torch"} & set(found.stdout.split())


def test_a_wrong_setting_and_a_database_that_is_away(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAKINGLIGHT_DATABASE", "mysql://somewhere/x")
    assert run("keys", "list").exit_code == 2
    monkeypatch.setenv("RAKINGLIGHT_DATABASE", "postgresql://nobody:secret@127.0.0.1:1/none")
    away = run("keys", "list")
    assert away.exit_code == 3
    assert "cannot be reached" in away.stderr
    assert "secret" not in away.stderr


def test_the_ledger_is_shown_and_exported(storage: Storage, tmp_path: Path) -> None:
    model = {"name": "small", "version": "1.0", "sha256": "0" * 64}
    for i in range(3):
        ask = Ask(model="small", operation="attack", images=[b"a", b"b"], method="pgd", purpose=f"test {i}", key="ci",
                  caller="ci", request_id=f"r{i}")  # fmt: skip
        storage.ledger.note(Asked.of(ask, model), ask.images)
    shown = run("ledger")
    assert shown.exit_code == 0
    assert shown.stdout.count("attack by pgd") == 6
    assert re.search(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", shown.stdout)
    entries = said("ledger", "--operation", "attack", "--key", "ci", "--since", "1h")["entries"]
    assert [entry["request_id"] for entry in entries] == ["r2", "r2", "r1", "r1", "r0", "r0"]
    assert said("ledger", "--operation", "classify")["entries"] == []
    assert said("ledger", "--since", "2999-01-01")["entries"] == []
    file = tmp_path / "ledger.jsonl"
    assert run("ledger", "--export", str(file)).stdout.startswith("6 entries")
    assert [json.loads(line) for line in file.read_text().splitlines()] == entries[::-1]
    for wrong in (["--operation", "atack"], ["--since", "lately"], ["--key", "no such key"], ["--export", "/no/file"]):
        assert run("ledger", *wrong).exit_code == 2, wrong
    kept = file.read_text()
    never = run("ledger", "--key", "nobody", "--export", str(file))
    assert never.exit_code == 2 and "'nobody' is neither the name nor the id" in never.stderr
    assert file.read_text() == kept
