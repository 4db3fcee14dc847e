"""Starts a vLLM server and the service in processes of their own, and waits until they answer.

Knows nothing about what they are asked.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import httpx

from benchmarks.targets import SUMMARIES
from model_repo.manifest import Manifest

START_SECONDS = 600.0
PLUGIN, FORCED_TEXT = "speechsum", "benchmarks.forced_text:ForcedText"
ROOT = Path(__file__).resolve().parents[1]


class DidNotStart(RuntimeError):
    """A server ended, or did not answer in time. The message has the end of its log."""


@contextmanager
def vllm_server(
    checkpoint: Path, manifest: Manifest, at_once: int, *, on_gpu: bool, environment: Mapping[str, str]
) -> Iterator[str]:
    """Give the address of vLLM's own server of a checkpoint, without a prefix cache, until the block ends. It writes a
    fixed text (`benchmarks.forced_text`).

    Args:
        checkpoint: the assembled checkpoint.
        manifest: its entry in the registry.
        at_once: answers that it generates at the same time.
        on_gpu: whether it computes on a GPU; on a CPU it needs other options.
        environment: variables beside those of this process.
    """
    port = free_port()
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(checkpoint)]
    command += ["--served-model-name", manifest.id, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--max-model-len", str(manifest.context_tokens), "--max-num-seqs", str(at_once)]
    command += ["--no-enable-prefix-caching", "--mm-processor-cache-gb", "0", "--generation-config", "vllm"]
    command += ["--limit-mm-per-prompt", json.dumps({"audio": 1}), "--logits-processors", FORCED_TEXT]
    command += ["--dtype", "bfloat16" if on_gpu else "float32"]
    variables = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "VLLM_USE_V2_MODEL_RUNNER": "0"}
    variables |= environment
    if not on_gpu:
        command += ["--enforce-eager", "--no-enable-chunked-prefill"]
        variables |= {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    url = f"http://127.0.0.1:{port}"
    with _run_server(command, variables, lambda: httpx.get(f"{url}/health").status_code == 200):
        yield url


@contextmanager
def service(environment: Mapping[str, str]) -> Iterator[str]:
    """Give the address of `speechsum serve` with these settings until the block ends. It keeps its jobs nowhere."""
    with service_process(environment) as running:
        yield running.url


@dataclass(frozen=True)
class RunningService:
    """A service that runs: its address, its port and the number of its process."""

    url: str
    port: int
    pid: int


@contextmanager
def service_process(environment: Mapping[str, str]) -> Iterator[RunningService]:
    """Run `speechsum serve` as `service` does, and tell its process, so that its CPU time and memory can be read."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        variables = {"SPEECHSUM_PORT": str(port), "SPEECHSUM_JOBS__FOLDER": folder, "SPEECHSUM_HUB": "false"}
        command = [sys.executable, "-m", "app", "serve"]
        variables |= environment
        with _run_server(command, variables, lambda: httpx.get(f"{url}/readyz").status_code == 200) as pid:
            yield RunningService(url, port, pid)


def plugin_is_installed() -> bool:
    """Return whether vLLM finds the service's plugin."""
    return PLUGIN in entry_points(group="vllm.endpoint_plugins").names


def wait_for_plugin(url: str, recording: bytes) -> None:
    """Wait until the plugin inside vLLM's server at `url` has loaded what it needs. Raises DidNotStart."""
    deadline = time.monotonic() + START_SECONDS
    while (answer := httpx.post(url + SUMMARIES, files={"file": recording}, timeout=60)).status_code == 503:
        if time.monotonic() > deadline:
            raise DidNotStart(answer.text)
        time.sleep(0.5)


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def _run_server(command: list[str], variables: Mapping[str, str], is_ready: Callable[[], bool]) -> Iterator[int]:
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ | variables, stdout=log, stderr=subprocess.STDOUT)
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _answers(is_ready):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise DidNotStart(f"{' '.join(command)}\n{log.read()[-3000:]}")
                time.sleep(0.5)
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(is_ready: Callable[[], bool]) -> bool:
    try:
        return is_ready()
    except httpx.TransportError:
        return False
