"""The application around a cascade that plays back a script: what Serve imports in the tests."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray import serve

from app.core.asr.transcript import Transcript, TranscriptSegment
from app.engine.base import EngineEvent, GenerationRequest
from app.engine.chat_request import Messages, SamplingOptions
from app.engine.model_info import CASCADE, ModelInfo
from app.engine.scripted import ScriptedEngine
from app.ray_serve.application import ServedModel, build_application
from app.ray_serve.options import ServeOptions
from app.settings import Settings

INFO = ModelInfo("scripted-cascade", "1", CASCADE, max_seconds=60.0)
HEARD = "Anna calls on Friday."


class ScriptedChatModel(ScriptedEngine):
    """A `ChatModel` that writes the words of a text, one by one."""

    def __init__(self, text: str, word_s: float) -> None:
        super().__init__([f"{word} " for word in text.split()], piece_s=word_s, keep_requests=False)

    async def stream(
        self, messages: Messages, sampling: SamplingOptions, request_id: str, audio: Any = None
    ) -> AsyncGenerator[EngineEvent, None]:
        asked = GenerationRequest(request_id, None, str(messages), sampling.max_tokens)
        async with aclosing(self.generate(asked)) as events:  # type: ignore[type-var]
            async for event in events:
                yield event


class ScriptedTranscriber:
    """Hears the same in everything, after a time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def transcribe(self, samples: NDArray[np.float32], vocabulary: Sequence[str] = ()) -> Transcript:
        await asyncio.sleep(self._seconds)
        return Transcript((TranscriptSegment(0.0, 2.0, HEARD, -0.2, 1.0, 0.0),), "en", 0.99)


class ScriptedOptions(ServeOptions):
    """text: of every summary. word_s, hear_s: what a word, and a recording, take. folder: of the database."""

    text: str
    word_s: float
    hear_s: float
    folder: Path


def build(options: ScriptedOptions) -> serve.Application:
    """Return the application."""
    settings = Settings(
        jobs={"folder": options.folder, "database": f"sqlite:///{options.folder}/jobs.db"},  # type: ignore[arg-type]
        decoder={"workers": 1},  # type: ignore[arg-type]
        engine={"device": "cpu", "max_num_seqs": 8},  # type: ignore[arg-type]
    )
    model = ServedModel(
        INFO,
        8192,
        partial(ScriptedChatModel, options.text, options.word_s),
        lambda: count_words,
        partial(ScriptedTranscriber, options.hear_s),
    )
    return build_application(settings, options, model)


def count_words(text: str) -> int:
    return len(text.split())
