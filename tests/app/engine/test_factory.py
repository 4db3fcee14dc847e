"""Engines for the registry's entries in front of servers, with the checkpoints' own tokenizer and chat template."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from app.core.asr.transcript import Transcript, TranscriptSegment
from app.core.errors import Unavailable
from app.core.prompts import TRANSCRIPT_OPEN
from app.engine.base import Engine, GenerationFinished, GenerationRequest, StageStarted, TextDelta
from app.engine.cascade import CascadeEngine
from app.engine.factory import build_engine, build_remote_model
from app.main import create_app
from app.settings import Settings
from model_repo import registry
from model_repo.assemble import companion_files
from model_repo.manifest import Manifest
from model_repo.registry import RegistryError
from tests.app.engine.remote.fake_vllm_server import FakeVllmServer
from tests.app.running_service import settings_for

SPEECH = np.zeros(32_000, np.float32)


def manifest_entry(name: str) -> Manifest:
    return registry.resolve_model(registry.REGISTRY_ROOT, name)


@pytest.fixture
def server() -> Iterator[FakeVllmServer]:
    """One that serves the registry's checkpoints, as far as prompts go."""
    cards = [{"id": manifest_entry(name).id, "max_model_len": 8192} for name in ("speechsum-tiny", "cascade-tiny")]
    files = companion_files(manifest_entry("speechsum-tiny"))
    made = FakeVllmServer(
        ["Anna ", "calls."], served=cards, tokenizer=files["tokenizer.json"], template=files["chat_template.jinja"]
    )
    made.start()
    yield made
    made.die()


def settings(server: FakeVllmServer) -> Settings:
    return Settings.model_validate({"remote": {"urls": server.url}})


async def generate(engine: Engine) -> tuple[list[str], str, GenerationFinished]:
    """Stages, text and end."""
    events = [event async for event in engine.generate(GenerationRequest("id", SPEECH, "Be brief.", 20))]
    last = events[-1]
    assert isinstance(last, GenerationFinished)
    stages = [event.stage for event in events if isinstance(event, StageStarted)]
    return stages, "".join(event.text for event in events if isinstance(event, TextDelta)), last


async def test_the_model_that_hears_is_asked_at_its_server(server: FakeVllmServer) -> None:
    engine = build_engine(manifest_entry("speechsum-tiny"), settings(server))
    await engine.start()
    stages, text, end = await generate(engine)
    await engine.stop()
    assert (stages, text, end.transcript) == (["prefill", "decode"], "Anna calls.", None)
    (asked,) = server.asked
    assert asked["model"] == manifest_entry("speechsum-tiny").id
    assert asked["messages"][1]["content"][0]["type"] == "input_audio"


class FakeTranscriber:
    """A transcriber that understands the same words in everything."""

    text = "Anna will call."

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def transcribe(self, samples: object, vocabulary: Sequence[str] = ()) -> Transcript:
        return Transcript((TranscriptSegment(0, 2, self.text, -0.2, 1.0, 0.01),))


async def test_a_cascade_transcribes_here_and_asks_for_the_rest(server: FakeVllmServer) -> None:
    manifest = manifest_entry("cascade-tiny")
    engine = CascadeEngine(build_remote_model(manifest, settings(server), [server.url]), FakeTranscriber())  # type: ignore[arg-type]
    await engine.start()
    server.asked.clear()
    stages, text, end = await generate(engine)
    await engine.stop()
    assert stages == ["transcribe", "prefill", "decode"]
    assert (text, end.transcript) == ("Anna calls.", FakeTranscriber.text)
    assert set(end.stage_seconds) == {"transcribe", "prefill", "decode"}
    (asked,) = server.asked
    assert asked["model"] == manifest.id
    assert f"{TRANSCRIPT_OPEN}\n{FakeTranscriber.text}" in asked["messages"][1]["content"]


async def test_a_cascade_is_built_with_its_own_whisper(server: FakeVllmServer) -> None:
    engine = build_engine(manifest_entry("cascade-tiny"), settings(server))
    assert isinstance(engine, CascadeEngine)
    assert list(engine._transcriber._folder.iterdir())
    await engine.stop()


async def test_a_server_of_another_version_fails_the_start_by_name(server: FakeVllmServer) -> None:
    server.served = [{"id": "speechsum-tiny@0"}]
    engine = build_engine(manifest_entry("speechsum-tiny"), settings(server))
    with pytest.raises(Unavailable, match=f"speechsum-tiny@0, not {manifest_entry('speechsum-tiny').id}"):
        await engine.start()


def test_in_front_of_servers_no_checkpoint_is_assembled(
    server: FakeVllmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def assemble_checkpoint(*_: object, **__: object) -> Path:
        raise AssertionError("the weights are not needed here")

    monkeypatch.setattr("app.engine.factory.assemble_checkpoint", assemble_checkpoint)
    build_engine(manifest_entry("speechsum-tiny"), settings(server))


WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers", "vllm"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
from app.cli import main
sys.exit(main(["serve", "--model", "speechsum-tiny", "--port", "0"]))
"""


def test_the_command_needs_neither_torch_nor_vllm(server: FakeVllmServer, tmp_path: Path) -> None:
    environment = {**os.environ, "SPEECHSUM_REMOTE__URLS": server.url, "PYTHONUNBUFFERED": "1"}
    log = tmp_path / "log.txt"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", WITHOUT], stdout=out, stderr=subprocess.STDOUT, env=environment
        )
    try:
        until = time.monotonic() + 120
        while "Ready. Try it" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.1)
    finally:
        process.terminate()
        process.wait(30)
    assert len(server.asked) == 1, "the warm-up"
    assert "/health" not in log.read_text(), "no line for every look at a server"


def test_companions_that_are_not_the_manifests_are_refused() -> None:
    weights = manifest_entry("speechsum-tiny").weights | {"chat_template.jinja": "0" * 64}
    with pytest.raises(RegistryError, match=r"chat_template\.jinja"):
        companion_files(manifest_entry("speechsum-tiny").model_copy(update={"weights": weights}))


def test_the_scripted_model_has_no_servers() -> None:
    with pytest.raises(ValueError, match="SPEECHSUM_REMOTE__URLS"):
        create_app(settings_for(model="scripted", remote={"urls": "http://127.0.0.1:8001"}))
