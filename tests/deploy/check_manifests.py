"""Checks Kubernetes manifests against the schemas of their kinds. Runs by itself, with var/deploy-tools on its path.

Reads a YAML stream from standard input, and writes a JSON list with a text for each error to standard output. Knows
nothing about the chart.
"""

import json
import sys
from typing import Any

import kubernetes_validate
import yaml
from cloudcoil.models.keda.v1alpha1 import ScaledObject
from cloudcoil.models.prometheus_operator.v1 import PrometheusRule, ServiceMonitor
from pydantic import ValidationError

VERSION = "1.35"
CUSTOM = {"ScaledObject": ScaledObject, "PrometheusRule": PrometheusRule, "ServiceMonitor": ServiceMonitor}


def find_errors(document: dict[str, Any]) -> list[str]:
    """What is wrong with a manifest: fields that its kind does not have, missing ones, wrong types and values."""
    kind = document["kind"]
    if kind not in CUSTOM:
        try:
            kubernetes_validate.validate(document, VERSION, strict=True)
        except kubernetes_validate.ValidationError as error:
            return [f"{kind}: {'.'.join(map(str, error.path))}: {error.message}"]
        return []
    try:
        read = CUSTOM[kind].model_validate(document)
    except ValidationError as error:
        return [f"{kind}: {error}"]
    # The models ignore fields that they do not know: what is not written again was not known.
    written = json.loads(read.model_dump_json(by_alias=True, exclude_unset=True))
    return [f"{kind}: there is no field {path}" for path in missing_paths(document, written)]


def missing_paths(read: Any, written: Any, at: str = "") -> list[str]:
    """The paths in `read` that are not in `written`."""
    if isinstance(read, dict):
        lost = [f"{at}.{name}" for name in read if name not in written]
        pairs = [(read[name], written[name], f"{at}.{name}") for name in read if name in written]
    elif isinstance(read, list):
        lost, pairs = [], [(a, b, f"{at}[{index}]") for index, (a, b) in enumerate(zip(read, written, strict=True))]
    else:
        return []
    return lost + [path for pair in pairs for path in missing_paths(*pair)]


if __name__ == "__main__":
    documents = [document for document in yaml.safe_load_all(sys.stdin) if document]
    print(json.dumps([error for document in documents for error in find_errors(document)]))
