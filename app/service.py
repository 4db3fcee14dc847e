"""The parts that make up the running service, and its states: starting, ready, failed, stopped.

The models load in the background while `/livez` already answers. The service is ready once a model has summarized a
test recording. Knows nothing about HTTP.
"""

import asyncio
from collections.abc import Callable, Sequence
from threading import Event
from typing import Protocol

from app import metrics
from app.admission.controller import AdmissionController
from app.core.audio.samples import Samples
from app.core.audio.vad import Span
from app.core.errors import EngineDead, NotReady
from app.engine.base import Engine
from app.engine.model_info import ModelInfo
from app.fetch.fetcher import Fetcher
from app.models.loaded_model import State
from app.models.manager import ModelManager
from app.models.model_source import LoadableModel, ModelSource
from app.recordings.store import RecordingStore
from app.setting_types import DEFAULT_WEIGHT
from app.settings import Settings
from app.summarize.pipeline import AudioDecoder, Summarizer
from app.summarize.structured.schema_workers import SchemaWorkers
from app.workers.speech_detector import SpeechDetector


class StartableDecoder(AudioDecoder, Protocol):
    """A decoder that must be started and stopped, such as `app.workers.decoder_pool.DecoderPool`."""

    async def start(self) -> None:
        """Start its processes."""

    async def stop(self) -> None:
        """Stop its processes. Safe to call twice."""


class Service:
    """The parts of one running service.

    Args:
        first: the model that the service starts with.
        registry: the models of the registry, which can be loaded later.
        source: finds a model that is to be loaded later.
        weight: the first model's weight among the versions of its name.
        further_models: models that are loaded after the first, with their weights.
        on_ready: is called once the first model can answer.
        on_failure: is called instead if the first model cannot be started.
        fetcher: fetches recordings by URL; by default as the settings say.

    Raises:
        ValueError: if the settings of fetching do not fit together.
    """

    def __init__(
        self,
        settings: Settings,
        first: LoadableModel,
        decoder: StartableDecoder,
        registry: list[ModelInfo],
        source: ModelSource,
        weight: float = DEFAULT_WEIGHT,
        further_models: Sequence[tuple[LoadableModel, float]] = (),
        on_ready: Callable[[], None] = lambda: None,
        on_failure: Callable[[], None] = lambda: None,
        fetcher: Fetcher | None = None,
    ) -> None:
        self.settings = settings
        self.decoder = decoder
        self.models = ModelManager(
            first,
            registry,
            source,
            self._make_summarizer,
            weight,
            retry_after_s=settings.limits.retry_after_seconds,
            restarts=settings.engine.restarts,
        )
        self.further_models = further_models
        self.admission = AdmissionController(settings)
        self.fetcher = fetcher or Fetcher(settings)
        self.schema_workers = SchemaWorkers(settings.limits.schema_seconds)
        self.recordings = RecordingStore(settings.recordings)
        self.speech_detector = SpeechDetector()
        # Finds speech in place of the detector, for models that are loaded after it is set.
        self.find_speech: Callable[[Samples, Event], list[Span]] | None = None
        self.on_ready, self.on_failure = on_ready, on_failure
        self.failure: str | None = None
        self._has_started = False
        self._start_task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the decoder, and begin to load the models in the background."""
        await self.decoder.start()
        self._start_task = asyncio.create_task(self._report_first_model(self.models.start(self.further_models)))

    async def wait_until_started(self) -> None:
        """Wait until the first model is ready or has failed."""
        if self._start_task is not None:
            await asyncio.wait({self._start_task})

    async def stop(self) -> None:
        """Stop the models and the decoder. Safe to call twice."""
        metrics.READY.set(0)
        if self._start_task is not None:
            self._start_task.cancel()
            await asyncio.wait({self._start_task})
        await self.models.stop()
        await self.decoder.stop()
        await self.schema_workers.stop()
        self.speech_detector.close()
        self.recordings.close()
        self.fetcher.close()

    @property
    def is_ready(self) -> bool:
        """Whether the first model is ready."""
        return self.models.initial.state is State.READY

    @property
    def default_model(self) -> ModelInfo:
        """The model that answers most of the requests that name no model."""
        return self.models.default_model()

    @property
    def summarizer(self) -> Summarizer:
        """The summarizer of the first model, which must be ready."""
        assert self.models.initial.summarizer is not None, "the first model is not ready"
        return self.models.initial.summarizer

    def check_started(self) -> None:
        """Raise `NotReady` (503) as long as the first model has not answered its warm-up inference."""
        if not self._has_started:
            raise self._not_ready_error(self.models.initial.fault)

    async def check_live(self) -> None:
        """Raise `EngineDead` if requests that name no model can no longer be answered and only a restart helps."""
        await self._refresh_ready()

    async def check_ready(self) -> None:
        """Raise `NotReady` (503) unless a request that names no model would be served now."""
        if not await self._refresh_ready():
            raise self._not_ready_error()

    def _not_ready_error(self, fault: str = "") -> NotReady:
        return NotReady(
            fault or f"{self.default_model.id} is still being loaded. Try again shortly.",
            code="not_ready",
            retry_after_s=self.settings.limits.retry_after_seconds,
        )

    async def _refresh_ready(self) -> bool:
        try:
            ready = await self.models.is_default_ready()
        except EngineDead:
            metrics.READY.set(0)
            raise
        metrics.READY.set(ready)  # it may be ready again, if vLLM servers that were unreachable have come back
        return ready

    async def _report_first_model(self, load_task: asyncio.Task[None]) -> None:
        await asyncio.wait({load_task})
        if self.is_ready:
            self._has_started = True
            metrics.READY.set(1)
            self.on_ready()
        else:
            self.failure = self.models.initial.fault
            self.on_failure()

    def _make_summarizer(self, model: ModelInfo, engine: Engine) -> Summarizer:
        return Summarizer(
            self.settings,
            model,
            engine,
            self.decoder,
            self.find_speech,
            detector=self.speech_detector,
            schema_workers=self.schema_workers,
        )
