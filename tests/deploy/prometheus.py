"""Debian's real Prometheus on the loopback, with deploy/prometheus/ as it is but for targets and intervals."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.deploy.dashboard import ROOT

FOLDER = ROOT / "deploy/prometheus"


def binary(name: str) -> str:
    """Path of `prometheus` or `promtool`; a missing one is a failure, not a skip."""
    found = shutil.which(name)
    assert found is not None, f"{name} is not installed: apt-get install prometheus"
    return found


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Prometheus:
    """A client of its HTTP API."""

    def __init__(self, port: int) -> None:
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}/", timeout=10, trust_env=False)

    def get(self, path: str, **parameters: str) -> Any:
        """The `data` of an answer; AssertionError with Prometheus' own words if it refuses."""
        answer = self.client.get(path, params=parameters).json()
        assert answer["status"] == "success", f"{parameters}: {answer.get('error')}"
        return answer["data"]

    def query(self, text: str) -> list[dict[str, Any]]:
        """The series a query gives now: `metric` (labels) and `value` (time, number as text)."""
        series: list[dict[str, Any]] = self.get("api/v1/query", query=text)["result"]
        return series

    def ready(self) -> bool:
        try:
            return self.client.get("-/ready").status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def scraping(targets: list[str], folder: Path, interval: str) -> Iterator[Prometheus]:
    """Run Prometheus on `targets` in place of those of the one job; ends with the block."""
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    config["global"] |= {"scrape_interval": interval, "evaluation_interval": interval, "scrape_timeout": interval}
    (job,) = config["scrape_configs"]
    (group,) = job["static_configs"]
    group["targets"] = targets
    for rules in config["rule_files"]:
        shutil.copy(FOLDER / rules, folder / rules)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port, log = free_port(), folder / "prometheus.log"
    command = [
        binary("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        prometheus = Prometheus(port)
        deadline = time.monotonic() + 20
        while not prometheus.ready():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield prometheus
    finally:
        process.terminate()
        process.wait(20)
