"""The dashboard's file, read as Grafana would: nothing overlaps, everything has a unit and the provisioned source."""

import ast
import importlib.util
import json
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from app import metrics
from tests.deploy.dashboard import HOME, ROOT, load, panels, queries
from tests.deploy.vllm_target import exposition, families

assert metrics  # registers the families
GRAFANA = ROOT / "deploy/grafana"
# units of Grafana's own list (packages/grafana-data/src/valueFormats/categories.ts) that the panels use
UNITS = {"none", "short", "percentunit", "s", "bytes", "reqps", "ops"}


def test_the_files_are_what_the_panels_say() -> None:
    check = [sys.executable, str(GRAFANA / "write_dashboards.py"), "--check"]
    done = subprocess.run(check, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_users_the_engine_and_jobs_have_a_dashboard_each() -> None:
    assert {board["uid"]: len(board["panels"]) > 10 for board in load()} == {
        "speechsum": True,
        "speechsum-engine": True,
        "speechsum-jobs": True,
    }


def test_panels_have_ids_of_their_own() -> None:
    for board in load():
        ids = [panel["id"] for panel in board["panels"]]
        assert len(set(ids)) == len(ids)
    titles = [panel["title"] for panel in panels()]
    assert len(set(titles)) == len(titles) > 40


@pytest.mark.parametrize("board", load(), ids=lambda board: board["uid"])
def test_panels_lie_on_the_grid_and_do_not_overlap(board: dict[str, Any]) -> None:
    boxes = {panel["title"]: panel["gridPos"] for panel in board["panels"]}
    for title, box in boxes.items():
        assert box["w"] > 0, title
        assert box["h"] > 0, title
        assert 0 <= box["x"] <= 24 - box["w"], title
    for (one, a), (other, b) in combinations(boxes.items(), 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        above = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert beside or above, f"{one} overlaps {other}"


def test_panels_say_what_they_show() -> None:
    for panel in panels():
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert len(panel["description"]) > 10, panel["title"]
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters) > 0, panel["title"]


@pytest.mark.parametrize("board", load(), ids=lambda board: board["uid"])
def test_a_dashboard_can_be_imported_elsewhere(board: dict[str, Any]) -> None:
    source, job, instance = board["templating"]["list"]
    assert (source["name"], source["type"], source["query"]) == ("datasource", "datasource", "prometheus")
    named = [job["datasource"], instance["datasource"]]
    for panel in (panel for panel in board["panels"] if panel["type"] != "row"):
        named += [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
    assert all(one == {"type": "prometheus", "uid": "${datasource}"} for one in named)
    assert 'speechsum"' not in json.dumps(board["templating"])  # no name of a job is built in
    (provisioned,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert (provisioned["type"], provisioned["isDefault"]) == ("prometheus", True)


def test_the_dashboard_is_provisioned_and_is_the_home() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/speechsum.yml").read_text())["providers"]
    grafana = compose["services"]["grafana"]
    mounts = dict(volume.split(":")[:2] for volume in grafana["volumes"])
    at = mounts["./deploy/grafana/dashboards"]
    assert provider["options"]["path"] == at
    assert grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == f"{at}/{HOME.name}"


def test_every_query_can_be_narrowed_to_a_job_and_an_instance() -> None:
    for query in queries():
        selectors = re.findall(r"([\w:]+)\{([^}]*)\}", query.text)
        assert selectors, query
        for name, selector in selectors:
            # ratios of whole jobs have no instance
            whole = name.startswith("speechsum:") and ":ratio_rate" in name
            assert ('job=~"$job"' if whole else 'job=~"$job", instance=~"$instance"') in selector, query
        assert set(re.findall(r"\$(\w+)", query.text)) <= {"job", "instance", "__rate_interval"}


def test_no_query_asks_for_a_deprecated_metric() -> None:
    deprecated = {family.name for family in REGISTRY.collect() if family.documentation.startswith("Deprecated")}
    assert len(deprecated) == 3
    rules = (ROOT / "deploy/prometheus/rules.yml").read_text()
    for text in [rules, *(query.text for query in queries())]:
        assert not [name for name in deprecated if re.search(rf"\b{name}(_|\b)", text)], text


def test_vllm_is_asked_for_what_it_exports() -> None:
    asked = {name for query in queries() for name in re.findall(r"vllm:\w+", query.text)}
    assert len(asked) > 5
    assert asked <= families()


def test_the_recording_is_of_the_vllm_that_is_installed() -> None:
    # its source, found without importing it: that takes half a minute
    spec = importlib.util.find_spec("vllm")
    assert spec is not None, "vLLM is not installed"
    assert spec.origin is not None
    source = Path(spec.origin).parent / "v1/metrics/loggers.py"
    strings = {node.value for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.Constant)}
    asked = {name for query in queries() for name in re.findall(r"vllm:\w+", query.text)}
    for name in asked:
        assert {name, re.sub(r"_(total|bucket|count|sum)$", "", name)} & strings, f"vLLM no longer exports {name}"


def test_the_playback_grows_and_its_buckets_stay_cumulative() -> None:
    def samples(scrape: int) -> dict[str, float]:
        lines = [line for line in exposition(scrape).splitlines() if not line.startswith("#")]
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines}

    first, second = samples(1), samples(2)
    assert set(first) == set(second)
    growing = [name for name in first if re.match(r"vllm:\w+_(total|bucket|count)\b", name) and "_total_" not in name]
    assert len(growing) > 100
    assert all(second[name] > first[name] for name in growing)
    histograms: dict[str, list[float]] = {}
    for name, value in second.items():
        if "_bucket{" in name:
            histograms.setdefault(re.sub(r'le="[^"]*"', "", name), []).append(value)
    assert all(counts == sorted(counts) for counts in histograms.values())
