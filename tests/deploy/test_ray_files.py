"""The files that Ray and KubeRay are given: their structure, and that what they name is there."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.ray_serve.option_checks import count_engine_gpus
from app.ray_serve.options import ServeOptions
from app.settings import Settings, setting_fields, setting_name
from tests.docs.blocks import ROOT

FOLDER = ROOT / "deploy" / "ray"
SETTINGS = {setting_name(*path) for path, _ in setting_fields()}


def load_manifests() -> dict[str, dict[str, Any]]:
    return {one["kind"]: one for one in yaml.safe_load_all((FOLDER / "rayservice.yaml").read_text())}


def load_manifest() -> dict[str, Any]:
    return load_manifests()["RayService"]


def serve_configs() -> dict[str, dict[str, Any]]:
    return {
        "serve.yaml": yaml.safe_load((FOLDER / "serve.yaml").read_text()),
        "rayservice.yaml": yaml.safe_load(load_manifest()["spec"]["serveConfigV2"]),
    }


@pytest.mark.parametrize("name", ["serve.yaml", "rayservice.yaml"])
def test_the_application_that_a_file_names_can_be_built(name: str) -> None:
    (application,) = serve_configs()[name]["applications"]
    options = ServeOptions.model_validate(application["args"])
    policy = application["autoscaling_policy"]
    for place in (application["import_path"], policy["policy_function"]):
        module, _, attribute = place.partition(":")
        found = importlib.util.find_spec(module)
        assert found is not None
        assert found.origin is not None
        source = Path(found.origin).read_text()
        assert f"def {attribute}(" in source or f"class {attribute}:" in source
    named = policy["policy_kwargs"]["audio_seconds_per_replica"]
    assert set(named) == set(ServeOptions.model_fields)
    assert options.ingress.max_replicas > 1
    variables = application.get("runtime_env", {}).get("env_vars", {})
    assert set(variables) <= SETTINGS


def test_an_option_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="replica"):
        ServeOptions.model_validate({"engine": {"replica": 2}})
    with pytest.raises(ValueError, match="less than min_replicas"):
        ServeOptions.model_validate({"engine": {"min_replicas": 2, "max_replicas": 1}})


def test_the_manifest_has_room_for_what_the_application_asks_for() -> None:
    manifest = load_manifest()
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", "RayService")
    cluster = manifest["spec"]["rayClusterConfig"]
    (application,) = serve_configs()["rayservice.yaml"]["applications"]
    groups = {group["groupName"]: group for group in cluster["workerGroupSpecs"]}
    for group in groups.values():
        assert 0 < group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for name, options in application["args"].items():
        needed = options["ray_actor_options"]
        if name == "engine":
            assert "num_gpus" not in needed, "the service reserves what its settings need"
            needed = needed | {"num_gpus": count_engine_gpus(Settings())}
        group = groups["gpu" if needed.get("num_gpus") else "front"]
        (container,) = group["template"]["spec"]["containers"]
        limits = container["resources"]["limits"]
        assert needed["num_cpus"] <= int(limits["cpu"]), name
        assert needed.get("num_gpus", 0) <= int(limits.get("nvidia.com/gpu", 0)), name
        assert needed.get("resources", {}).keys() <= {"front"}
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_every_container_is_restricted_and_has_its_volumes() -> None:
    cluster = load_manifest()["spec"]["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        spec = group["template"]["spec"]
        (container,) = spec["containers"]
        context = container["securityContext"]
        assert context["runAsNonRoot"]
        assert not context["allowPrivilegeEscalation"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"] == container["resources"]["requests"]
        volumes = {volume["name"] for volume in spec["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
        assert all("secretRef" in source for source in container["envFrom"])


def test_the_claim_of_the_cache_is_there_and_shared() -> None:
    claim = load_manifests()["PersistentVolumeClaim"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    cluster = load_manifest()["spec"]["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        (volume,) = group["template"]["spec"]["volumes"]
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
