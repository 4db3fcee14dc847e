"""The whole way of a trace: the service as a process sends its spans to a collector, and vLLM in it joins in."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.app.running_service import PATH
from tests.app.telemetry.otlp_receiver import Collector, collecting
from tests.deploy.dashboard import ROOT
from tests.recordings import speech_wav

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
START_SECONDS = 300


@contextmanager
def traced_process(model: str, folder: Path) -> Iterator[tuple[str, Collector]]:
    """The service as `speechsum serve` runs it, its address, and what it has sent once the block has ended."""
    with collecting() as collector:
        variables = {"SPEECHSUM_TRACING__ENDPOINT": collector.url, "SPEECHSUM_JOBS__FOLDER": str(folder)}
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "serve", "--model", model, "--port", "0"],
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **variables},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        try:
            found = (re.search(r"curl (http://[\d.:]+)/", line) for line in process.stdout)
            match = next(filter(None, found), None)
            assert match is not None, f"the service ended with status {process.wait(60)}"
            yield match[1], collector
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def send_request(address: str) -> None:
    response = httpx.post(
        address + PATH,
        files={"file": ("recording.wav", speech_wav())},
        headers={"traceparent": f"00-{TRACE}-{PARENT}-01"},
        timeout=120,
    )
    assert response.status_code == 200, response.text


def test_a_collector_gets_the_spans_of_a_process(tmp_path: Path) -> None:
    with traced_process("scripted", tmp_path) as (address, collector):
        send_request(address)
    by_name = {span.name: span for span in collector.spans if span.trace_id.hex() == TRACE}
    assert {f"POST {PATH}", "decode", "speech", "queue"} <= set(by_name)
    assert by_name[f"POST {PATH}"].parent_span_id.hex() == PARENT
    assert collector.services == {"speechsum"}


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.timeout(START_SECONDS + 300)
def test_the_spans_of_vllm_are_below_those_of_the_service(tmp_path: Path) -> None:
    with traced_process("speechsum-tiny", tmp_path) as (address, collector):
        send_request(address)
    spans = [span for span in collector.spans if span.trace_id.hex() == TRACE]
    (chat,) = [span for span in spans if span.name.startswith("chat speechsum-tiny@")]
    (engine,) = [span for span in spans if span.name == "llm_request"]
    assert engine.parent_span_id == chat.span_id
    said = {one.key: one.value for one in engine.attributes}
    assert said["gen_ai.usage.completion_tokens"].int_value > 0
