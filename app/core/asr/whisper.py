"""Transcribes recordings with Whisper, through faster-whisper (CTranslate2, int8 on CPU).

It runs in one thread, one recording at a time, so that it does not compete with the language model for the cores. If
the call is cancelled, the work ends before the next window. This module knows nothing about prompts or vLLM, nor how
sure Whisper has to be (`app.core.asr.confidence`).
"""

import asyncio
import threading
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Number of windows of 30 s in which the language is detected, until Whisper is sure of it in one: a recording may begin
# with music.
LANGUAGE_WINDOWS = 3
LANGUAGE_THRESHOLD = 0.5
# Where Whisper is unsure, an expected language may be less probable than another one by this factor.
MAX_PROBABILITY_RATIO = 4


@dataclass(frozen=True)
class TranscriptSegment:
    """A segment of speech as Whisper transcribed it.

    Attributes:
        start: In seconds from the start of the recording.
        end: In seconds from the start of the recording.
        text: The words.
        log_probability: Mean log-probability (natural logarithm) of the tokens of Whisper's window.
        compression_ratio: That of the window's text, see `compression_ratio`.
        no_speech_probability: Probability that the window holds no speech.
    """

    start: float
    end: float
    text: str
    log_probability: float
    compression_ratio: float
    no_speech_probability: float


@dataclass(frozen=True)
class Transcript:
    """All segments in order, and the language as a BCP 47 tag with its probability."""

    segments: tuple[TranscriptSegment, ...] = ()
    language: str = "en"
    language_probability: float = 1.0

    @property
    def text(self) -> str:
        """The text of all segments, joined by spaces."""
        return " ".join(one.text for one in self.segments if one.text)


class WhisperTranscriber:
    """One Whisper model in CTranslate2's format.

    Args:
        folder: The model's folder.
        threads: CPU threads; 0 leaves the number to CTranslate2.
        languages: The expected languages as BCP 47 tags. A multilingual model that is unsure of the language takes the
            most probable of these.
    """

    def __init__(self, folder: Path, threads: int = 0, languages: Sequence[str] = ()) -> None:
        self._folder = folder
        self._expected_languages = frozenset(tag.split("-")[0].lower() for tag in languages)
        self._threads = threads
        self._model: Any = None
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="whisper")

    async def start(self) -> None:
        """Load the model."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._load)

    def _load(self) -> None:
        from faster_whisper import WhisperModel

        self._model = WhisperModel(str(self._folder), device="cpu", compute_type="int8", cpu_threads=self._threads)

    async def stop(self) -> None:
        """Free the model. Calling it again does nothing."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._model = None

    async def transcribe(self, samples: NDArray[np.float32]) -> Transcript:
        """Transcribe float32 mono samples at 16 kHz, shape (n,). A multilingual model detects the language.

        If the call is cancelled, the work ends at the next window.
        """
        cancelled = threading.Event()
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._executor, self._transcribe, samples, cancelled)
        finally:
            cancelled.set()

    def _transcribe(self, samples: NDArray[np.float32], cancelled: threading.Event) -> Transcript:
        if cancelled.is_set():
            return Transcript()
        # Greedy decoding without fallback temperatures, so that the same recording always gives the same text. The
        # previous window's text is not used as context, because it makes small models repeat themselves. No window is
        # left out here, however unsure Whisper is of it: the caller would not learn of it.
        options: dict[str, Any] = {
            "beam_size": 1,
            "temperature": 0.0,
            "condition_on_previous_text": False,
            "without_timestamps": False,
            "no_speech_threshold": None,
            "language_detection_segments": LANGUAGE_WINDOWS,
            "language_detection_threshold": LANGUAGE_THRESHOLD,
        }
        # The language is detected at once; the text only comes as the segments are read.
        segments, info = self._model.transcribe(samples, language=None, **options)
        language, probability = str(info.language), float(info.language_probability)
        if (expected := self._expected_language(info)) and expected[0] != language:
            language, probability = expected
            segments, info = self._model.transcribe(samples, language=language, **options)
        found: list[Any] = []
        for segment in segments:
            if cancelled.is_set():
                return Transcript()
            found.append(segment)
        return Transcript(_transcript_segments(found), _bcp47_tag(language), probability)

    def _expected_language(self, info: Any) -> tuple[str, float] | None:
        """Return the most probable of the expected languages and its probability, or None if Whisper's choice stands.

        Whisper's choice is replaced if Whisper is unsure and the expected language is nearly as probable. Without this,
        a menu read in Spanish is taken for Latin.
        """
        if info.language_probability >= LANGUAGE_THRESHOLD or not info.all_language_probs:
            return None
        ranked = [
            (code, chance) for code, chance in info.all_language_probs if _bcp47_tag(code) in self._expected_languages
        ]
        found = max(ranked, key=lambda pair: pair[1], default=None)
        return found if found and found[1] >= info.language_probability / MAX_PROBABILITY_RATIO else None


def _transcript_segments(segments: Sequence[Any]) -> tuple[TranscriptSegment, ...]:
    """Convert faster-whisper's segments; those of one window share its figures."""
    texts: dict[int, str] = {}
    for one in segments:
        texts[one.seek] = texts.get(one.seek, "") + one.text
    ratios = {seek: compression_ratio(text) for seek, text in texts.items()}
    return tuple(
        TranscriptSegment(
            start=float(one.start),
            end=float(one.end),
            text=one.text.strip(),
            log_probability=float(one.avg_logprob),
            compression_ratio=ratios[one.seek],
            no_speech_probability=float(one.no_speech_prob),
        )
        for one in segments
    )


def compression_ratio(text: str) -> float:
    """Return the number of letters of a text for each byte of its zlib compression; 0 for an empty text.

    Whisper's own ratio counts UTF-8 bytes. A letter of Thai has three, which begin alike, so that ordinary Thai is
    taken for repetition. Here each letter counts as one byte, whatever its script (two if the text has more than 256
    different letters, which text that repeats itself does not have).
    """
    if not text:
        return 0.0
    numbers = {letter: number for number, letter in enumerate(dict.fromkeys(text))}
    width = 1 if len(numbers) <= 256 else 2
    data = b"".join(numbers[letter].to_bytes(width) for letter in text)
    return len(text) / len(zlib.compress(data))


def _bcp47_tag(code: str) -> str:
    """Return Whisper's language code as a BCP 47 tag. They only differ for Javanese."""
    return {"jw": "jv"}.get(code, code)
