"""The dashboard's file, read as Grafana would: nothing overlaps, everything has a unit and the provisioned source."""

import ast
import importlib.util
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.dashboard import DASHBOARD, ROOT, load, panels, queries
from tests.deploy.vllm_target import exposition, families

GRAFANA = ROOT / "deploy/grafana"
# units of Grafana's own list (packages/grafana-data/src/valueFormats/categories.ts) that the panels use
UNITS = {"none", "short", "percentunit", "s", "bytes", "reqps", "ops"}


def everything() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = load()["panels"]
    return found


def test_panels_have_ids_of_their_own() -> None:
    ids = [panel["id"] for panel in everything()]
    assert len(ids) > 25
    assert len(set(ids)) == len(ids)
    titles = [panel["title"] for panel in panels()]
    assert len(set(titles)) == len(titles)


def test_panels_lie_on_the_grid_and_do_not_overlap() -> None:
    boxes = {panel["title"]: panel["gridPos"] for panel in everything()}
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


def test_everything_reads_the_provisioned_source() -> None:
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    expected = {"type": source["type"], "uid": source["uid"]}
    (variable,) = load()["templating"]["list"]
    named = [variable["datasource"]]
    for panel in panels():
        named += [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
    assert all(one == expected for one in named)


def test_the_dashboard_is_provisioned_and_is_the_home() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/speechsum.yml").read_text())["providers"]
    grafana = compose["services"]["grafana"]
    mounts = dict(volume.split(":")[:2] for volume in grafana["volumes"])
    at = mounts["./deploy/grafana/dashboards"]
    assert provider["options"]["path"] == at
    assert grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == f"{at}/{DASHBOARD.name}"


def test_every_query_can_be_narrowed_to_an_instance() -> None:
    for query in queries():
        selectors = re.findall(r"[\w:]+\{([^}]*)\}", query.text)
        assert selectors, query
        assert all('job="speechsum", instance=~"$instance"' in selector for selector in selectors), query
        assert set(re.findall(r"\$(\w+)", query.text)) <= {"instance", "__rate_interval"}


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
