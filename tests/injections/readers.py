"""How a model gets to read a talk: spoken, by a running service; as a transcript or as notes on a long recording, by
its text side in this process.

Knows nothing about signs, nor what is counted.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import cast

import httpx
import numpy as np

from app.core.asr.whisper import Transcript, TranscriptSegment, WhisperTranscriber
from app.core.prompts import NOTES_CLOSE, NOTES_OPEN, TRANSCRIPT_CLOSE, TRANSCRIPT_OPEN, Style, instruction, notes_text
from app.engine.base import Engine, GenerationRequest, TextDelta
from app.engine.cascade import CascadeEngine
from app.engine.chat_request import ChatModel
from app.engine.vllm_audio import AudioLlmEngine
from app.engine.vllm_in_process import VllmChatModel
from app.settings import Settings
from model_repo import registry
from model_repo.assemble import assemble_checkpoint
from tests import recordings
from tests.injections.attacks import Attack
from tests.injections.talks import Talk

# flite's and espeak-ng's voices, as `tests.recordings.speech` calls them
VOICES = ("slt", "espeak")
# A part of the notes begins so many seconds after the one before.
PART_S = 300
TIMEOUT_S = 600


@dataclass(frozen=True)
class Question:
    """A talk, with an attack hidden in it or none. told: what the caller asks for instead of a summary."""

    talk: Talk
    attack: Attack | None = None
    told: str = ""
    voice: str = VOICES[0]

    def sentences(self, forged: bool = False, opening: str = "", closing: str = "") -> list[str]:
        """The talk, sentence by sentence, and what was slipped into it: as it is spoken, or as it is forged with these
        marks.
        """
        talk = list(self.talk.sentences)
        if self.attack:
            written = self.attack.written.replace("{open}", opening).replace("{close}", closing)
            talk.insert(self.attack.after, written if forged and written else self.attack.said)
        return talk

    def recording(self) -> bytes:
        """The talk, spoken, as a WAV file."""
        return recordings.sound(recordings.speech(" ".join(self.sentences()), self.voice))


@dataclass(frozen=True)
class Reader:
    """Who is asked. model: name and version. way: how it gets to read. voices: which speak, in turn."""

    model: str
    way: str
    ask: Callable[[Question], Awaitable[str]]
    voices: tuple[str, ...] = VOICES[:1]


@asynccontextmanager
async def hearing(url: str, as_json: bool = False) -> AsyncIterator[Reader]:
    """Post recordings to a running service.

    as_json: ask for summaries as JSON (`response_format=json`). The answer is then the JSON that `structured` holds.

    Raises:
        RuntimeError: the service refused a recording; the message holds its answer.
    """
    fields = {"response_format": "json"} if as_json else {}
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S) as client:
        models = (await client.get("/v1/models")).json()["data"]
        served = next(model["id"] for model in models if model["loaded"])

        async def ask(question: Question) -> str:
            audio = await asyncio.to_thread(question.recording)
            if question.told:
                part = {"type": "input_audio", "input_audio": {"data": base64.b64encode(audio).decode()}}
                message = {"role": "user", "content": [part, {"type": "text", "text": question.told}]}
                body = {"model": served, "messages": [message]}
                answer = await client.post("/v1/chat/completions", json=body)
            else:
                answer = await client.post("/v1/audio/summaries", files={"file": audio}, data=fields)
            if answer.status_code != 200:
                raise RuntimeError(f"{answer.status_code} {answer.text}")
            said = answer.json()
            if question.told:
                return str(said["choices"][0]["message"]["content"])
            return json.dumps(said["structured"], ensure_ascii=False) if as_json else str(said["summary"])

        yield Reader(served, "recording, as JSON" if as_json else "recording", ask, VOICES)


@dataclass(frozen=True)
class Said:
    """A transcriber that understands what it is told to."""

    text: str

    async def transcribe(self, samples: object) -> Transcript:
        return Transcript(
            (
                TranscriptSegment(
                    0.0, 1.0, self.text, log_probability=-0.1, compression_ratio=1.0, no_speech_probability=0.0
                ),
            )
        )


@dataclass(frozen=True)
class TextSide:
    """A model's text side. core: answers chat messages."""

    core: ChatModel
    numbers: Iterator[int] = field(default_factory=count)

    async def transcript(self, question: Question) -> str:
        """The summary that a cascade writes of the talk, as if this were what it has understood."""
        text = " ".join(question.sentences(True, TRANSCRIPT_OPEN, TRANSCRIPT_CLOSE))
        engine = CascadeEngine(self.core, cast(WhisperTranscriber, Said(text)))
        return await self._written(engine, question, samples=np.zeros(1, np.float32))

    async def notes(self, question: Question) -> str:
        """The summary of a long recording on whose parts this was noted down, a sentence each."""
        parts = question.sentences(True, NOTES_OPEN, NOTES_CLOSE)
        noted = notes_text([(PART_S * place, f"- {text}") for place, text in enumerate(parts)])
        return await self._written(AudioLlmEngine(self.core), question, samples=None, notes=noted)

    async def _written(self, engine: Engine, question: Question, **material: object) -> str:
        asked = GenerationRequest(
            f"injection-{next(self.numbers)}",
            instruction=question.told or instruction(Style()),  # type: ignore[call-arg]
            max_tokens=Style().max_tokens,  # type: ignore[call-arg]
            **material,  # type: ignore[arg-type]
        )
        return "".join([event.text async for event in engine.generate(asked) if isinstance(event, TextDelta)])


@asynccontextmanager
async def reading(name: str) -> AsyncIterator[list[Reader]]:
    """The text side of one of the registry's models, in vLLM in this process."""
    manifest = registry.resolve_model(registry.REGISTRY_ROOT, name)
    hears = manifest.kind == registry.AUDIO_LLM_KIND
    folder = await asyncio.to_thread(assemble_checkpoint, manifest)
    core = VllmChatModel(folder, manifest.context_tokens, Settings().engine, audio=hears)
    await core.start()
    try:
        side = TextSide(core)
        ways = {"notes": side.notes} if hears else {"transcript": side.transcript, "notes": side.notes}
        yield [Reader(manifest.id, way, ask) for way, ask in ways.items()]
    finally:
        await core.stop()
