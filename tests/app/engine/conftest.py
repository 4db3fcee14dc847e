"""Fixtures that each give one kind of engine, started."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from app.engine.audio_llm import AudioLlmEngine
from app.engine.base import Engine
from app.engine.factory import build_engine, build_remote_model
from app.engine.remote.server_pool import RemoteChatModel
from app.engine.scripted import ScriptedEngine
from app.engine.vllm_options import STRUCTURED_OUTPUTS
from app.settings import RemoteSettings, Settings
from model_repo import registry
from model_repo.assemble import assemble_checkpoint
from tests.app.engine.remote.fake_vllm_server import WANTED, FakeVllmServer, chat_tokenizer

MODEL = "speechsum-tiny"
WORDS = [f"word{number} " for number in range(120)]
PIECE_S = 0.002
REAL = [pytest.mark.engine]
SLOW = [pytest.mark.engine, pytest.mark.slow]

# A test that takes the fixture `engine` is run over all of these; over the last two where it takes `real`.
scripted, remote = "scripted", "remote"
in_process = pytest.param("in_process", marks=REAL)
served = pytest.param("served", marks=SLOW)


@pytest.fixture(params=[scripted, remote, in_process, served])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Every kind of engine, one after the other."""
    found: Engine = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=[in_process, served])
def real(request: pytest.FixtureRequest) -> AudioLlmEngine:
    """The served checkpoint in vLLM: in this process, and behind a server."""
    found: AudioLlmEngine = request.getfixturevalue(request.param)
    return found


@pytest_asyncio.fixture(loop_scope="package", name="scripted")
async def _scripted() -> AsyncIterator[ScriptedEngine]:
    made = ScriptedEngine(WORDS, piece_s=PIECE_S)
    await made.start()
    yield made
    await made.stop()
    await made.stop()


@pytest_asyncio.fixture(loop_scope="package", name="remote")
async def _remote() -> AsyncIterator[AudioLlmEngine]:
    """Behind a stand-in for a server."""
    server = FakeVllmServer(WORDS, piece_s=PIECE_S).start()
    made = AudioLlmEngine(RemoteChatModel(WANTED, chat_tokenizer(), RemoteSettings(urls=[server.url])))
    await made.start()
    yield made
    await made.stop()
    await made.stop()
    server.die()


@pytest.fixture(scope="package")
def checkpoint() -> Path:
    """The assembled checkpoint."""
    return assemble_checkpoint(registry.resolve_model(registry.REGISTRY_ROOT, MODEL))


@pytest_asyncio.fixture(scope="package", loop_scope="package", name="in_process")
async def _in_process(checkpoint: Path) -> AsyncIterator[Engine]:
    settings = Settings.model_validate({"engine": {"max_num_seqs": 8}})
    made = build_engine(registry.resolve_model(registry.REGISTRY_ROOT, MODEL), settings)
    await made.start()
    yield made
    await made.stop()
    await made.stop()


@pytest.fixture(scope="package")
def server_url(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real vLLM server of the checkpoint."""
    from tests.training.kd.vllm_servers import vllm_server

    manifest = registry.resolve_model(registry.REGISTRY_ROOT, MODEL)
    options = ["--served-model-name", manifest.id, "--max-model-len", str(manifest.context_tokens)]
    options += ["--structured-outputs-config", json.dumps(STRUCTURED_OUTPUTS)]
    with vllm_server(checkpoint, tmp_path_factory.mktemp("vllm") / "log.txt", [*options, "--max-num-seqs", "8"]) as url:
        yield url


@pytest_asyncio.fixture(scope="package", loop_scope="package", name="served")
async def _served(server_url: str) -> AsyncIterator[Engine]:
    manifest = registry.resolve_model(registry.REGISTRY_ROOT, MODEL)
    made = AudioLlmEngine(build_remote_model(manifest, Settings(), [server_url]))
    await made.start()
    yield made
    await made.stop()
    await made.stop()
