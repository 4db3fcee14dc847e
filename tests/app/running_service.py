"""A whole service on a real socket: scripted engine, a decoder that can be slow or fail, speech by loudness."""

import asyncio
import io
import tempfile
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import httpx
import numpy as np
import uvicorn
from fastapi import FastAPI
from prometheus_client import REGISTRY

from app.core.audio.decode import DecodedAudio
from app.core.audio.limits import DecodeLimits
from app.core.audio.samples import Samples
from app.core.audio.wav import encode_wav
from app.core.errors import Unprocessable
from app.engine.base import Engine
from app.engine.model_info import ModelInfo
from app.engine.scripted import ScriptedEngine
from app.fetch.fetcher import Fetcher
from app.jobs.queue import JobQueue
from app.main import create_app
from app.models.model_source import ModelSource
from app.server.uvicorn_config import uvicorn_config
from app.service import Service
from app.settings import Settings
from app.workers.decoder_pool import DecoderPool
from app.workers.fair_scheduler import ANONYMOUS, Requester
from tests.app.database.migrated import write_migrated_file
from tests.quick_server import QuickServer

MODEL = ModelInfo("test-model", "3", "audio-llm", max_seconds=60.0, languages=("en", "de"))
PATH = "/v1/audio/summaries"


def wav(seconds: float = 2.0, amplitude: float = 0.3) -> bytes:
    """A tone as a 16 kHz WAV file; amplitude 0 is silence."""
    time = np.arange(round(seconds * 16_000)) / 16_000
    return encode_wav((np.sin(2 * np.pi * 220 * time) * amplitude * 32_767).astype(np.int16))


class WaveDecoder:
    """Reads the files of `wav()`. delay_s, error and warnings are what a test makes of it after the warm-up."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.error: Exception | None = None
        self.warnings: list[str] = []
        self.running = 0
        self.cancelled = 0
        self.requesters: list[Requester] = []

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def decode(self, recording: BinaryIO, limits: DecodeLimits, requester: Requester = ANONYMOUS) -> DecodedAudio:
        self.running += 1
        self.requesters.append(requester)
        try:
            await asyncio.sleep(self.delay_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        if self.error is not None:
            raise self.error
        recording.seek(0)
        try:
            with wave.open(io.BytesIO(recording.read())) as reader:
                frames = reader.readframes(reader.getnframes())
        except (wave.Error, EOFError) as error:
            raise Unprocessable(
                f"This is no file of `wav()`: {error}.", code="undecodable_audio", param="file"
            ) from None
        samples = np.frombuffer(frames, "<i2").astype(np.float32) / 32_768
        seconds = len(samples) / 16_000
        limits.check_seconds(seconds, is_total=True)
        return DecodedAudio(samples, "wav", 16_000, 1, seconds, list(self.warnings))


class RealDecoder(DecoderPool):
    """The service's own decoder, counting what runs."""

    running = 0

    async def decode(self, recording: BinaryIO, limits: DecodeLimits, requester: Requester = ANONYMOUS) -> DecodedAudio:
        self.running += 1
        try:
            return await super().decode(recording, limits, requester)
        finally:
            self.running -= 1


def loud(samples: Samples, _: Any = None) -> list[tuple[float, float]]:
    """Stands in for the speech detector: whatever is loud is speech, half of it."""
    return [(0.0, len(samples) / 32_000)] if len(samples) and float(np.abs(samples[:]).max()) > 0.01 else []


@dataclass
class Site:
    """A running service and a client of it."""

    app: FastAPI
    service: Service
    jobs: JobQueue
    engine: Any
    decoder: Any
    client: httpx.AsyncClient
    port: int
    server: uvicorn.Server
    closed_with_it: list[Any] = field(default_factory=list)  # clients of other libraries

    @property
    def connections(self) -> int:
        """Those that the service has open."""
        return len(self.server.server_state.connections)

    async def post(
        self, audio: bytes | None = None, headers: dict[str, str] | None = None, **fields: str
    ) -> httpx.Response:
        """POST a recording as a form."""
        files = {"file": ("recording.wav", wav() if audio is None else audio)}
        return await self.client.post(PATH, files=files, data=fields, headers=headers)

    async def until_idle(self) -> None:
        """Wait until nothing of any request is left; fails after a while with what is."""
        await until(
            lambda: (
                self.engine.running_requests == self.decoder.running == self.service.admission.active_requests == 0
                and self.service.admission.held_bytes == 0
                and value("speechsum_requests_in_progress") == 0
            ),
            lambda: (
                f"engine {self.engine.running_requests}, decoder {self.decoder.running}, inside "
                f"{self.service.admission.active_requests}"
                f", bytes {self.service.admission.held_bytes}, gauge {value('speechsum_requests_in_progress')}"
            ),
        )


async def until(condition: Callable[[], bool], state: Callable[[], object] = lambda: "", seconds: float = 20) -> None:
    """Wait for a condition; AssertionError with the state if it does not come true."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, state()
        await asyncio.sleep(0.005)


def value(name: str, **labels: str) -> float:
    """A metric's value now, over all samples that have these labels; 0 if there is none yet."""
    return sum(
        sample.value
        for family in REGISTRY.restricted_registry([name]).collect()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def code(response: httpx.Response) -> tuple[int, str]:
    """Status and error code of a failure, whose shape is checked."""
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error["code"], str)
    assert isinstance(error["message"], str)
    assert len(error["message"]) > 8
    assert isinstance(error["type"], str)
    assert response.headers["x-request-id"]
    return response.status_code, error["code"]


def settings_for(**sections: Any) -> Settings:
    """Settings that no environment and no `.env` reaches; sections as nested dicts. An engine that dies stays dead."""
    engine = {"restarts": 0, **sections.pop("engine", {})}
    return Settings.model_validate({"model_repo": Path("/nonexistent"), "port": 0, "engine": engine, **sections})


@asynccontextmanager
async def serving(
    engine: Engine | None = None,
    /,
    *,
    model: ModelInfo = MODEL,
    ready: bool = True,
    real_audio: bool = False,
    fetcher: Callable[[Settings], Fetcher] = Fetcher,
    source: ModelSource | None = None,
    find_speech: Callable[..., list[tuple[float, float]]] = loud,
    **sections: Any,
) -> AsyncIterator[Site]:
    """Run the service on a free port of the loopback until the block ends.

    ready: wait until it is. real_audio: with the real decoder and the real speech detector. fetcher: makes what fetches
    recordings by URL. source: where other models are found. find_speech: stands in for the speech detector, if it is
    not the real one.
    """
    engine, decoder = engine or ScriptedEngine(), RealDecoder() if real_audio else WaveDecoder()
    with tempfile.TemporaryDirectory() as folder:
        sections["jobs"] = {"folder": folder, "poll_seconds": 0.05, **sections.get("jobs", {})}
        settings = settings_for(**sections)
        write_migrated_file(settings.jobs.folder)
        app = create_app(settings, engine, model, decoder, fetcher=fetcher(settings), source=source)
        detector = None if real_audio else find_speech
        async with _served(app, engine, decoder, ready=ready, find_speech=detector) as site:
            yield site


@asynccontextmanager
async def _served(
    app: FastAPI,
    engine: ScriptedEngine,
    decoder: Any,
    *,
    ready: bool,
    find_speech: Callable[..., list[tuple[float, float]]] | None,
) -> AsyncIterator[Site]:
    service: Service = app.state.service
    if find_speech is not None:
        service.find_speech = find_speech
    server = QuickServer(uvicorn_config(app, service.settings, log_level="warning", timeout_graceful_shutdown=1))
    running = asyncio.create_task(server.serve())
    await until(lambda: server.started, seconds=60)
    if ready:
        await service.wait_until_started()
        assert service.is_ready, service.failure
        if isinstance(engine, ScriptedEngine):
            engine.requests.clear()
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, verify=False) as client:
        try:
            site = Site(app, service, app.state.jobs, engine, decoder, client, port, server)
            yield site
            for other in site.closed_with_it:
                await other.close()
        finally:
            server.should_exit = True
    await running
