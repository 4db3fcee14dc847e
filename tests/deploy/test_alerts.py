"""Prometheus' own tool on its configuration, its rules, and each alert played through."""

import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from app.jobs import metrics as job_metrics
from app.server import disk_metrics
from tests.deploy.dashboard import ROOT
from tests.deploy.prometheus import FOLDER, binary

assert job_metrics  # registers its families, as does the next
assert disk_metrics
RUNBOOKS = ROOT / "docs/runbooks"


@pytest.mark.parametrize(
    "command",
    [("check", "config", "prometheus.yml"), ("check", "rules", "rules.yml"), ("test", "rules", "rules_test.yml")],
    ids=" ".join,
)
def test_promtool(command: tuple[str, ...]) -> None:
    done = subprocess.run([binary("promtool"), *command], cwd=FOLDER, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_played_through() -> None:
    groups = yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    tests = yaml.safe_load((FOLDER / "rules_test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == alerts
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == alerts


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: f"{alert['alert']} {alert['labels']['severity']}")
def test_every_alert_has_its_runbook(alert: dict[str, Any]) -> None:
    assert alert["annotations"]["runbook_url"] == f"docs/runbooks/{alert['alert']}.md"
    page = (ROOT / alert["annotations"]["runbook_url"]).read_text()
    title, *sections = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    assert title == alert["alert"]
    assert sections == ["What it means", "How to check", "How to mend"]
    assert all(len(text.split()) > 15 for text in re.split(r"^## .+$", page, flags=re.MULTILINE)[1:])
    assert f"]({alert['alert']}.md)" in (RUNBOOKS / "index.md").read_text()


def test_every_runbook_has_its_alert() -> None:
    pages = {page.stem for page in RUNBOOKS.glob("*.md")} - {"index"}
    assert pages == {alert["alert"] for alert in alerts()}


def test_the_metrics_that_rules_and_runbooks_name_exist() -> None:
    families = {family.name for family in REGISTRY.collect()}
    texts = [(FOLDER / "rules.yml").read_text(), *(page.read_text() for page in RUNBOOKS.glob("*.md"))]
    named = {name for text in texts for name in re.findall(r"(?<![:/])\bspeechsum_[a-z_]+[a-z]\b(?!:)", text)}
    assert len(named) > 10
    for name in named:
        assert any(family.startswith(re.sub(r"_(total|bucket|count)$", "", name)) for family in families), name


def test_the_example_of_alertmanager_names_alerts_that_exist() -> None:
    config = yaml.safe_load((ROOT / "deploy/alertmanager/alertmanager.yml").read_text())
    named = set(re.findall(r"Speechsum\w+", str(config)))
    assert len(named) > 5
    assert named <= {alert["alert"] for alert in alerts()}
    receivers = {one["name"] for one in config["receivers"]}
    assert {config["route"]["receiver"], *(one["receiver"] for one in config["route"]["routes"])} == receivers


@pytest.mark.skipif(shutil.which("amtool") is None, reason="Debian's package prometheus-alertmanager is not installed")
def test_alertmanager_takes_the_example() -> None:
    command = ["amtool", "check-config", str(ROOT / "deploy/alertmanager/alertmanager.yml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_codes_that_alerts_name_exist() -> None:
    source = "".join(path.read_text() for path in (ROOT / "app").rglob("*.py"))
    rules = (FOLDER / "rules.yml").read_text()
    codes = [code for matcher in rules.split('code=~"')[1:] for code in matcher.split('"')[0].split("|")]
    assert len(codes) >= 4
    for code in codes:
        assert f'"{code}"' in source, f"no error has the code {code}"
