"""Prometheus' own tool on its configuration, its rules, and each alert played through."""

import subprocess

import pytest
import yaml

from tests.deploy.dashboard import ROOT
from tests.deploy.prometheus import FOLDER, binary


@pytest.mark.parametrize(
    "command",
    [("check", "config", "prometheus.yml"), ("check", "rules", "rules.yml"), ("test", "rules", "rules_test.yml")],
    ids=" ".join,
)
def test_promtool(command: tuple[str, ...]) -> None:
    done = subprocess.run([binary("promtool"), *command], cwd=FOLDER, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_played_through() -> None:
    groups = yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    tests = yaml.safe_load((FOLDER / "rules_test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == alerts
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == alerts


def test_the_codes_that_alerts_name_exist() -> None:
    source = "".join(path.read_text() for path in (ROOT / "app").rglob("*.py"))
    rules = (FOLDER / "rules.yml").read_text()
    codes = [code for matcher in rules.split('code=~"')[1:] for code in matcher.split('"')[0].split("|")]
    assert len(codes) >= 4
    for code in codes:
        assert f'"{code}"' in source, f"no error has the code {code}"
