"""A real vLLM server with the plugin, as an operator starts it: it answers its own requests and those for summaries."""

import base64
import json
import time
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.core.prompts import Style, audio_messages, instruction
from app.core.vllm_http import NEUTRAL_SAMPLING, insert_audio
from model_repo import registry
from model_repo.assemble import assemble_checkpoint
from tests.app.running_service import PATH
from tests.recordings import CLIPS, speech_wav
from tests.training.kd.vllm_servers import vllm_server

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(1500)]

MANIFEST = registry.resolve_model(registry.REGISTRY_ROOT, "speechsum-tiny")
KEY = {"authorization": "Bearer of-vllm"}
MAX_TOKENS = 12


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of the server, once the plugin can summarize."""
    assert "speechsum" in entry_points(group="vllm.endpoint_plugins").names, "install the package again: `make env`"
    options = ["--served-model-name", MANIFEST.id, "--max-model-len", str(MANIFEST.context_tokens), "--api-key"]
    options += ["of-vllm", "--max-num-seqs", "4", "--limit-mm-per-prompt", json.dumps({"audio": 1})]
    log = tmp_path_factory.mktemp("vllm") / "log.txt"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_PLUGINS", "speechsum")
        patch.setenv("SPEECHSUM_JOBS__FOLDER", str(log.parent))
        with (
            vllm_server(assemble_checkpoint(MANIFEST), log, options) as url,
            httpx.Client(base_url=url, timeout=300, headers=KEY) as client,
        ):
            wait_until_ready(client, log)
            yield client


def wait_until_ready(client: httpx.Client, log: Path) -> None:
    deadline = time.monotonic() + 300
    while summarize(client, speech_wav()).status_code == 503:
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(1)


def summarize(client: httpx.Client, audio: bytes, **fields: Any) -> httpx.Response:
    return client.post(PATH, files={"file": audio}, data={"max_tokens": str(MAX_TOKENS), **fields})


def ask_vllm(client: httpx.Client, audio: bytes) -> dict[str, Any]:
    """What vLLM's own route answers to the prompt of a summary."""
    messages = insert_audio(audio_messages(instruction(Style())), base64.b64encode(audio).decode())
    body = {"model": MANIFEST.id, "messages": messages, "max_completion_tokens": MAX_TOKENS, "temperature": 0}
    answer = client.post("/v1/chat/completions", json=body | NEUTRAL_SAMPLING)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_the_summary_is_what_vllms_own_route_writes_to_the_same_prompt(server: httpx.Client) -> None:
    audio = CLIPS[0].read_bytes()
    own, summary = ask_vllm(server, audio), summarize(server, audio).json()
    assert summary["summary"] == own["choices"][0]["message"]["content"].strip()
    assert summary["usage"]["prompt_tokens"] == own["usage"]["prompt_tokens"]
    assert summary["model"] == MANIFEST.id
    assert summary["kind"] == "audio-llm"


def test_a_summary_is_streamed(server: httpx.Client) -> None:
    answer = summarize(server, speech_wav(), stream="true")
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    assert events[-1]["object"] == "audio.summary.done"
    assert "".join(e["delta"] for e in events if e["object"] == "audio.summary.delta") == events[-1]["summary"]


def test_vllms_key_protects_the_route(server: httpx.Client) -> None:
    answer = httpx.post(f"{server.base_url}{PATH}", files={"file": speech_wav()})
    assert answer.status_code == 401


def test_the_services_metrics_are_among_vllms(server: httpx.Client) -> None:
    text = server.get("/metrics").text
    assert "speechsum_requests_total" in text
    assert "vllm:generation_tokens_total" in text
