"""How a model gets a talk: as a recording, through a running service; or as a transcript or notes on a long recording,
through its text side in this process.

Knows nothing about signs or scores.
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

from app.core.asr.transcript import Transcript, TranscriptSegment
from app.core.asr.whisper import WhisperTranscriber
from app.core.prompts import NOTES_CLOSE, NOTES_OPEN, TRANSCRIPT_CLOSE, TRANSCRIPT_OPEN, Style, instruction, notes_text
from app.engine.audio_llm import AudioLlmEngine
from app.engine.base import Engine, GenerationRequest, TextDelta
from app.engine.cascade import CascadeEngine
from app.engine.chat_request import ChatModel
from app.engine.vllm_in_process import VllmChatModel
from app.settings import Settings
from model_repo import registry
from model_repo.assemble import assemble_checkpoint
from tests import recordings
from tests.injections.attacks import Attack
from tests.injections.talks import Talk

# flite's and espeak-ng's voices, as `tests.recordings.speech` calls them
VOICES = ("slt", "espeak")
# A part of the notes begins so many seconds after the previous one.
PART_S = 300
TIMEOUT_S = 600


@dataclass(frozen=True)
class Question:
    """A talk, with or without an attack. caller_instruction: what the caller asks for instead of a summary."""

    talk: Talk
    attack: Attack | None = None
    caller_instruction: str = ""
    voice: str = VOICES[0]

    def sentences(self, forged: bool = False, opening: str = "", closing: str = "") -> list[str]:
        """Return the sentences of the talk and of the attack. forged: use the written form of the attack, which has
        `opening` and `closing`, the marks around transcripts or notes.
        """
        talk = list(self.talk.sentences)
        if self.attack:
            written = self.attack.written.replace("{open}", opening).replace("{close}", closing)
            talk.insert(self.attack.after, written if forged and written else self.attack.said)
        return talk

    def recording(self) -> bytes:
        """Return the spoken talk as a WAV file."""
        return recordings.encode_audio(recordings.speech(" ".join(self.sentences()), self.voice))


@dataclass(frozen=True)
class Reader:
    """What answers questions. model: name and version. way: how it gets the talk. voices: they alternate."""

    model: str
    way: str
    ask: Callable[[Question], Awaitable[str]]
    voices: tuple[str, ...] = VOICES[:1]


@asynccontextmanager
async def service_reader(url: str, as_json: bool = False) -> AsyncIterator[Reader]:
    """Yield the reader for a running service, which gets recordings. It raises RuntimeError for an error response.

    as_json: the reader asks for summaries as JSON (`response_format=json`), and its answer is what `structured` holds.
    """
    fields = {"response_format": "json"} if as_json else {}
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S) as client:
        models = (await client.get("/v1/models")).json()["data"]
        served = next(model["id"] for model in models if model["loaded"])

        async def ask(question: Question) -> str:
            audio = await asyncio.to_thread(question.recording)
            if question.caller_instruction:
                part = {"type": "input_audio", "input_audio": {"data": base64.b64encode(audio).decode()}}
                message = {"role": "user", "content": [part, {"type": "text", "text": question.caller_instruction}]}
                body = {"model": served, "messages": [message]}
                answer = await client.post("/v1/chat/completions", json=body)
            else:
                answer = await client.post("/v1/audio/summaries", files={"file": audio}, data=fields)
            if answer.status_code != 200:
                raise RuntimeError(f"{answer.status_code} {answer.text}")
            said = answer.json()
            if question.caller_instruction:
                return str(said["choices"][0]["message"]["content"])
            return json.dumps(said["structured"], ensure_ascii=False) if as_json else str(said["summary"])

        yield Reader(served, "recording, as JSON" if as_json else "recording", ask, VOICES)


@dataclass(frozen=True)
class FixedTranscriber:
    """A transcriber that returns a given text."""

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
    """The text side of a model. core: answers chat messages."""

    core: ChatModel
    numbers: Iterator[int] = field(default_factory=count)

    async def transcript(self, question: Question) -> str:
        """Return the summary of a cascade whose transcript is the talk."""
        text = " ".join(question.sentences(True, TRANSCRIPT_OPEN, TRANSCRIPT_CLOSE))
        engine = CascadeEngine(self.core, cast(WhisperTranscriber, FixedTranscriber(text)))
        return await self._summarize(engine, question, samples=np.zeros(1, np.float32))

    async def notes(self, question: Question) -> str:
        """Return the summary of a long recording whose notes are the sentences of the talk, one for each part."""
        parts = question.sentences(True, NOTES_OPEN, NOTES_CLOSE)
        noted = notes_text([(PART_S * place, f"- {text}") for place, text in enumerate(parts)])
        return await self._summarize(AudioLlmEngine(self.core), question, samples=None, notes=noted)

    async def _summarize(self, engine: Engine, question: Question, **material: object) -> str:
        asked = GenerationRequest(
            f"injection-{next(self.numbers)}",
            instruction=question.caller_instruction or instruction(Style()),  # type: ignore[call-arg]
            max_tokens=Style().max_tokens,  # type: ignore[call-arg]
            **material,  # type: ignore[arg-type]
        )
        return "".join([event.text async for event in engine.generate(asked) if isinstance(event, TextDelta)])


@asynccontextmanager
async def text_side_readers(name: str) -> AsyncIterator[list[Reader]]:
    """Yield the readers for the text side of a model of the registry, which runs in vLLM in this process."""
    manifest = registry.resolve_model(registry.REGISTRY_ROOT, name)
    hears = manifest.kind == "audio-llm"
    folder = await asyncio.to_thread(assemble_checkpoint, manifest)
    core = VllmChatModel(folder, manifest.context_tokens, Settings().engine, audio=hears)
    await core.start()
    try:
        side = TextSide(core)
        ways = {"notes": side.notes} if hears else {"transcript": side.transcript, "notes": side.notes}
        yield [Reader(manifest.id, way, ask) for way, ask in ways.items()]
    finally:
        await core.stop()
