"""A cascade without weights: a text model that writes one word, and a recognizer that counts how often it hears."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core.asr.transcript import Transcript, TranscriptSegment
from app.engine.base import Adapter, EngineEvent, GenerationFinished, StageStarted, TextDelta
from app.engine.cascade import CascadeEngine
from app.engine.model_info import ModelInfo

CASCADE_MODEL = ModelInfo("test-cascade", "1", "cascade", max_seconds=60.0, languages=("en", "de"))
OTHER_CASCADE = ModelInfo("other-cascade", "2", "cascade", max_seconds=60.0, languages=("en", "de"))
SHORT_CASCADE = ModelInfo("short-cascade", "1", "cascade", max_seconds=10.0, languages=("en",))
WARM_UP_CALLS = 1  # the service's own test recording


class WritingModel:
    """The text model: writes the same words to everything, and keeps what it was asked."""

    def __init__(self, text: str = "Yes.") -> None:
        self.text = text
        self.prompts: list[str] = []
        self.systems: list[str] = []
        self.running_requests = 0
        self.context_tokens = 8192

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def check_health(self) -> None: ...

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    async def add_adapter(self, adapter: Adapter) -> None: ...

    async def remove_adapter(self, adapter: Adapter) -> None: ...

    async def stream(self, messages: Any, *_: Any) -> AsyncGenerator[EngineEvent, None]:
        self.prompts.append(messages[-1]["content"])
        self.systems.append(messages[0]["content"])
        yield StageStarted("prefill")
        yield TextDelta(self.text)
        yield GenerationFinished("stop", len(messages[-1]["content"].split()), 1, {"prefill": 0.0})


class CountingTranscriber:
    """The recognizer: hears one sentence in every window."""

    def __init__(self, text: str = "Maria pays 40 dollars.", log_probability: float = -0.2) -> None:
        self.text, self.log_probability = text, log_probability
        self.calls = 0
        self.vocabulary: tuple[str, ...] = ()

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def transcribe(self, samples: NDArray[np.float32], vocabulary: Sequence[str] = ()) -> Transcript:
        self.calls += 1
        self.vocabulary = tuple(vocabulary)
        seconds = len(samples) / 16_000
        segment = TranscriptSegment(0.0, seconds, self.text, self.log_probability, 1.2, 0.05)
        return Transcript((segment,), "en", 0.98)


class SpokenCascade(CascadeEngine):
    """The engine of both. writer, recognizer: its parts."""

    def __init__(self, writer: WritingModel | None = None, recognizer: CountingTranscriber | None = None) -> None:
        self.writer, self.recognizer = writer or WritingModel(), recognizer or CountingTranscriber()
        super().__init__(self.writer, self.recognizer, languages=("en", "de"))  # type: ignore[arg-type]

    @property
    def hearings(self) -> int:
        """How often the recognizer has heard something of a caller's."""
        return self.recognizer.calls - WARM_UP_CALLS
