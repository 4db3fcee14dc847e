"""The Helm chart, rendered by Helm: against the schemas of Kubernetes, and against the service that it starts."""

import json
import os
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import setting_fields, setting_name
from tests.deploy.dashboard import ROOT
from tests.deploy.deploy_tools import CHART, helm, manifest_errors, render, run_helm
from tests.deploy.dockerfile import environment, last

EXAMPLES = {path.stem: path for path in sorted((CHART / "examples").glob("*.yaml"))}
SHARED = ("--set", "database.secretName=d", "--set", "blobs.url=s3://b/p", "--set", "persistence.cache.perPod=true")
OPTIONS: dict[str, tuple[str, ...]] = {name: ("-f", str(path)) for name, path in EXAMPLES.items()}
OPTIONS |= {"default": (), "hpa": (*SHARED, "--set", "autoscaling.kind=hpa")}
OPTIONS |= {"secret": ("--set", "secrets.values.SPEECHSUM_AUTH__KEYS=k")}
SETTINGS = {setting_name(*path) for path, _ in setting_fields()}
TARGETS = {"default": "cpu", "gpu": "gpu", "full": "gpu"}


@cache
def render_options(name: str) -> list[dict[str, Any]]:
    return render(*OPTIONS[name])


def one(name: str, kind: str) -> dict[str, Any]:
    """The only object of a kind."""
    (found,) = [document for document in render_options(name) if document["kind"] == kind]
    return found


def pod(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = one(name, "Deployment")["spec"]["template"]["spec"]
    return spec


def container(name: str) -> dict[str, Any]:
    (only,) = pod(name)["containers"]
    return dict(only)


def settings(name: str) -> dict[str, str]:
    """The entries of the ConfigMap that are the container's environment."""
    (only,) = [entry["configMapRef"]["name"] for entry in container(name)["envFrom"] if "configMapRef" in entry]
    (data,) = [d["data"] for d in render_options(name) if d["kind"] == "ConfigMap" and d["metadata"]["name"] == only]
    return dict(data)


def refusal(*arguments: str) -> str:
    """What Helm says of options that it refuses."""
    done = run_helm("template", *arguments)
    assert done.returncode != 0, "Helm accepts it"
    return done.stderr


def test_every_object_is_one_that_kubernetes_accepts() -> None:
    documents = [document for name in OPTIONS for document in render_options(name)]
    assert {document["kind"] for document in documents} == {
        "ConfigMap", "Deployment", "HorizontalPodAutoscaler", "Ingress", "NetworkPolicy", "PersistentVolumeClaim",
        "PodDisruptionBudget", "PrometheusRule", "ScaledObject", "Secret", "Service", "ServiceAccount",
        "ServiceMonitor",
    }  # fmt: skip
    budget, scaled = dict(one("default", "PodDisruptionBudget")), dict(one("full", "ScaledObject"))
    budget["spec"] = {**budget["spec"], "maxUnavailabel": 1}
    scaled["spec"] = {**scaled["spec"], "pollingIntervall": 1}
    errors = manifest_errors([*documents, budget, scaled])
    assert len(errors) == 2, errors  # those of the two that were spoilt
    assert "maxUnavailabel" in errors[0]
    assert "pollingIntervall" in errors[1]


@pytest.mark.parametrize("name", ["default", *EXAMPLES])
def test_helm_lints_the_chart(name: str) -> None:
    done = run_helm("lint", "--strict", *OPTIONS[name])
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_manifests_for_those_without_helm_are_what_the_chart_renders(tmp_path: Path) -> None:
    script = ROOT / "deploy/helm/render_examples.sh"
    subprocess.run([script, tmp_path], check=True, capture_output=True, env={**os.environ, "HELM": str(helm())})
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {path.name for path in (ROOT / "deploy/kubernetes").glob("*.yaml")}
    for name in names:
        kept = (ROOT / "deploy/kubernetes" / name).read_text()
        assert kept == (tmp_path / name).read_text(), f"run {script.name}: {name} is not what the chart renders"


@pytest.mark.parametrize("name", list(OPTIONS))
def test_what_is_set_are_settings(name: str) -> None:
    names = {variable for variable in settings(name) if not variable.startswith("AWS_")}
    names |= {entry["name"] for entry in container(name).get("env", [])}
    assert len(names) > 5
    assert names <= SETTINGS
    other = set(settings(name)) - names
    assert other <= {"AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"}


def test_the_schema_knows_every_setting() -> None:
    """A setting of the service that the chart refused could not be set; a misspelt one would be ignored."""
    script = ROOT / "deploy/helm/write_settings_schema.py"
    checked = subprocess.run(
        [sys.executable, str(script), "--check"], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert checked.returncode == 0
    assert "LIMITS__MAX_WAITINGS" in refusal("--set", "settings.LIMITS__MAX_WAITINGS=3")
    assert "LIMITS__MAX_WAITING" in refusal("--set", "settings.LIMITS__MAX_WAITING=many")
    secret = refusal("--set", "settings.WEBHOOKS__SECRET=whsec_x")  # would be in a ConfigMap
    assert "WEBHOOKS__SECRET" in secret


def test_numbers_reach_the_service_as_they_are_written(tmp_path: Path) -> None:
    values = {"LIMITS__SAMPLES": 3_000_000_000, "LIMITS__MISSING_SECONDS": 0.25, "RECOGNIZER__LOG_PROBABILITY": -0.9}
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump({"settings": values}))
    (data,) = [d["data"] for d in render("-f", str(file)) if d["kind"] == "ConfigMap"]
    assert {f"SPEECHSUM_{name}": str(value) for name, value in values.items()}.items() <= data.items()


@pytest.mark.parametrize(("name", "target"), TARGETS.items())
def test_the_container_is_the_image_s(name: str, target: str) -> None:
    assert container(name)["image"].endswith(f":{target}")
    assert container(name)["args"] == json.loads(last(target, "CMD"))
    uid, gid = last(target, "USER").split(":")
    security = pod(name)["securityContext"]
    assert (security["runAsUser"], security["runAsGroup"], security["fsGroup"]) == (int(uid), int(gid), int(gid))
    (port,) = container(name)["ports"]
    assert str(port["containerPort"]) == settings(name)["SPEECHSUM_PORT"] == last(target, "EXPOSE")
    mounts = {mount["mountPath"] for mount in container(name)["volumeMounts"]}
    assert set(json.loads(last(target, "VOLUME"))) < mounts
    for variable, value in {**environment(target), **settings(name)}.items():
        if variable.endswith(("_DIR", "_FOLDER", "_HOME")) or variable == "HOME":
            assert f"/{value.split('/')[1]}" in mounts, f"{variable} is {value}, which is read-only"


@pytest.mark.parametrize("name", list(TARGETS))
def test_the_pod_can_do_no_more_than_it_needs(name: str) -> None:
    own, security = pod(name)["securityContext"], container(name)["securityContext"]
    assert own["runAsNonRoot"]
    assert own["seccompProfile"] == {"type": "RuntimeDefault"}
    assert security == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod(name)["automountServiceAccountToken"] is False
    assert one(name, "ServiceAccount")["automountServiceAccountToken"] is False
    assert settings(name)["SPEECHSUM_AUTH__REQUIRED"] == "true"


def test_the_chart_has_the_version_of_the_project() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert (chart["version"], chart["appVersion"]) == (version, version)


def test_a_service_of_the_same_name_changes_no_setting() -> None:
    """Kubernetes would set SPEECHSUM_PORT to `tcp://…` for a Service that is named speechsum."""
    assert one("default", "Service")["metadata"]["name"] == "speechsum"
    assert pod("default")["enableServiceLinks"] is False


def test_a_probe_asks_what_is_there() -> None:
    routes = set((ROOT / "docs/operate.md").read_text().split("`"))
    for probe, path in (("startupProbe", "/startupz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")):
        get = container("default")[probe]["httpGet"]
        assert get["path"] == path
        assert path in routes, f"{path} is no route"
        assert get["port"] == container("default")["ports"][0]["name"]
    (endpoint,) = one("full", "ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["path"] in routes
    assert endpoint["port"] == one("full", "Service")["spec"]["ports"][0]["name"]


def test_a_pod_has_time_to_stop() -> None:
    assert container("default")["lifecycle"]["preStop"] == {"sleep": {"seconds": 10}}
    shutdown = next(field.default for path, field in setting_fields() if path == ("timeouts", "shutdown_seconds"))
    assert float(settings("default")["SPEECHSUM_TIMEOUTS__SHUTDOWN_SECONDS"]) == shutdown
    assert pod("default")["terminationGracePeriodSeconds"] == 10 + shutdown + 30
    slow = render("--set", "settings.TIMEOUTS__SHUTDOWN_SECONDS=600")
    (deployment,) = [document for document in slow if document["kind"] == "Deployment"]
    assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 640


def test_gpus_are_requested() -> None:
    assert container("full")["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert pod("full")["runtimeClassName"] == "nvidia"
    assert container("full")["resources"]["limits"]["memory"] == "32Gi"
    assert "nvidia.com/gpu" not in container("default")["resources"]["limits"]
    assert "runtimeClassName" not in pod("gpu")


def test_more_replicas_need_a_database_a_bucket_and_caches() -> None:
    assert "database.secretName" in refusal("--set", "replicas=2")
    assert "database.secretName" in refusal("--set", "autoscaling.kind=keda")
    assert "perPod" in refusal(*SHARED[:4], "--set", "replicas=2")
    render(*SHARED, "--set", "replicas=2")
    render(*SHARED[:4], "--set", "replicas=2", "--set", "persistence.cache.accessModes={ReadWriteMany}")


def test_a_database_in_a_file_is_opened_by_one_pod_at_a_time() -> None:
    assert one("default", "Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    claims = {d["metadata"]["name"] for d in render_options("default") if d["kind"] == "PersistentVolumeClaim"}
    assert claims == {"speechsum-cache", "speechsum-state"}
    assert one("full", "Deployment")["spec"]["strategy"]["type"] == "RollingUpdate"
    assert not [document for document in render_options("full") if document["kind"] == "PersistentVolumeClaim"]
    assert settings("full")["SPEECHSUM_JOBS__BLOBS"].startswith("s3://")
    (variable,) = container("full")["env"]
    assert variable["name"] == "SPEECHSUM_JOBS__DATABASE"
    assert variable["valueFrom"]["secretKeyRef"]["name"] == "speechsum-database-app"


def test_replicas_follow_a_metric_that_the_service_has() -> None:
    metrics = set(re.findall(r'"(speechsum_\w+)"', "".join(p.read_text() for p in (ROOT / "app").rglob("*metrics.py"))))
    (metric,) = one("hpa", "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] in metrics
    queries = [trigger["metadata"]["query"] for trigger in one("full", "ScaledObject")["spec"]["triggers"]]
    assert any("speechsum_queued_audio_seconds" in query for query in queries)
    for query in queries:
        assert set(re.findall(r"speechsum_\w+", query)) <= metrics
        assert 'namespace="speechsum"' in query
        assert 'service="speechsum"' in query
    for kind, name in (("HorizontalPodAutoscaler", "hpa"), ("ScaledObject", "full")):
        assert one(name, kind)["spec"]["scaleTargetRef"]["name"] == one(name, "Deployment")["metadata"]["name"]
        assert "replicas" not in one(name, "Deployment")["spec"]  # an upgrade must not undo what the autoscaler did


def test_the_ingress_leads_to_the_service_and_leaves_what_is_internal_inside() -> None:
    (rule,) = one("full", "Ingress")["spec"]["rules"]
    assert rule["host"] == "speechsum.example.org"
    paths = {path["path"]: path for path in rule["http"]["paths"]}
    assert {"/", "/v1"} <= paths.keys()
    assert not paths.keys() & {"/metrics", "/readyz", "/livez"}
    assert [name for name, path in paths.items() if path["pathType"] == "Exact"] == ["/"], "a prefix matches all"
    service = one("full", "Service")
    for path in paths.values():
        backend = path["backend"]["service"]
        assert backend["name"] == service["metadata"]["name"]
        assert backend["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}


def test_selectors_find_the_pods() -> None:
    labels = one("full", "Deployment")["spec"]["template"]["metadata"]["labels"].items()
    for kind, path in (
        ("Deployment", ("selector", "matchLabels")),
        ("Service", ("selector",)),
        ("PodDisruptionBudget", ("selector", "matchLabels")),
        ("NetworkPolicy", ("podSelector", "matchLabels")),
    ):
        selector = one("full", kind)["spec"]
        for part in path:
            selector = selector[part]
        assert selector.items() <= labels, kind
    chosen = one("full", "ServiceMonitor")["spec"]["selector"]["matchLabels"]
    assert chosen.items() <= one("full", "Service")["metadata"]["labels"].items()


def test_prometheus_knows_the_service_by_the_job_of_the_rules() -> None:
    monitor = one("full", "ServiceMonitor")
    job = one("full", "Service")["metadata"]["labels"][monitor["spec"]["jobLabel"]]
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    assert job in {scrape["job_name"] for scrape in config["scrape_configs"]}


def test_the_rules_and_the_dashboard_are_those_of_the_repository() -> None:
    rules = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())
    assert one("full", "PrometheusRule")["spec"] == rules
    (dashboard,) = [d for d in render_options("full") if d["metadata"]["name"] == "speechsum-dashboard"]
    files = {path.name: path.read_text() for path in (ROOT / "deploy/grafana/dashboards").glob("*.json")}
    assert files
    assert dashboard["data"] == files
