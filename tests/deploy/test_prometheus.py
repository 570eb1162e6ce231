"""Prometheus's configuration, by Prometheus's own tool."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import docs as made
from tests.tools import need

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "deploy" / "prometheus"
#: Of a histogram, and of every scrape.
SUFFIX = re.compile(r"_(bucket|sum|count)$")


@pytest.fixture(scope="module")
def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((CONFIGURATION / "rules.yml").read_text(encoding="utf-8"))["groups"]
    return group["rules"]


def promtool(*arguments: str, cwd: Path) -> None:
    tool = need("promtool", package="prometheus")
    found = subprocess.run([tool, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_scrape_configuration_is_sound(tmp_path: Path) -> None:
    shutil.copytree(CONFIGURATION, tmp_path, dirs_exist_ok=True)
    # promtool wants to see the key, which lies in a volume.
    key = tmp_path / "key"
    key.write_text("a key of no use")
    configuration = tmp_path / "prometheus.yml"
    configuration.write_text(configuration.read_text().replace("/run/keys/key", str(key)))
    promtool("check", "config", "prometheus.yml", cwd=tmp_path)


def test_the_rules_are_sound() -> None:
    promtool("check", "rules", "rules.yml", cwd=CONFIGURATION)


def test_each_alert_fires_when_it_should_and_only_then() -> None:
    promtool("test", "rules", "rules.test.yml", cwd=CONFIGURATION)


def test_rules_and_pages_ask_for_metrics_that_there_are(rules: list[dict[str, Any]]) -> None:
    known = set(re.findall(r"`(rakinglight_\w+)`", made.metrics()))
    asked = " ".join([*(rule["expr"] for rule in rules), (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")])
    used = set(re.findall(r"rakinglight_\w+", asked))
    assert {name for name in used if name not in known and SUFFIX.sub("", name) not in known} == set()


def test_each_alert_says_what_to_do_and_is_tested(rules: list[dict[str, Any]]) -> None:
    alerts = {rule["alert"] for rule in rules}
    documented = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "operations.md").read_text("utf-8"), re.MULTILINE))
    assert documented == alerts
    tests = yaml.safe_load((CONFIGURATION / "rules.test.yml").read_text(encoding="utf-8"))["tests"]
    fires = {one["alertname"] for test in tests for one in test["alert_rule_test"] if one.get("exp_alerts")}
    silent = {one["alertname"] for test in tests for one in test["alert_rule_test"] if not one.get("exp_alerts")}
    assert fires == silent == alerts
