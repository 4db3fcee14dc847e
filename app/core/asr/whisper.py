"""Whisper for the cascade: samples in; text, language and how sure Whisper was out, through faster-whisper
(CTranslate2, int8 on CPU).

Runs in one worker thread, one recording at a time, so that it does not fight the language model for the cores; a
recording whose caller has left is dropped before its next window. Knows nothing about prompts or vLLM, nor how sure is
sure enough (`app.core.asr.confidence`).
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

# Windows of 30 s in which the language is looked for until one is sure of it: a recording may begin with music.
LANGUAGE_WINDOWS = 3
LANGUAGE_THRESHOLD = 0.5
MAX_PROBABILITY_RATIO = (
    4  # an expected language may be so many times less probable than another where Whisper is unsure
)


@dataclass(frozen=True)
class TranscriptSegment:
    """A stretch of speech as Whisper wrote it down. Times in seconds from the recording's beginning.

    log_probability: mean over the tokens of Whisper's window (natural logarithm). compression_ratio: of the window's
    text, see `compression_ratio`. no_speech: probability that the window holds none.
    """

    start: float
    end: float
    text: str
    log_probability: float
    compression_ratio: float
    no_speech_probability: float


@dataclass(frozen=True)
class Transcript:
    """All stretches in order, and the language as a BCP 47 tag with its probability."""

    segments: tuple[TranscriptSegment, ...] = ()
    language: str = "en"
    language_probability: float = 1.0

    @property
    def text(self) -> str:
        """Everything as running text."""
        return " ".join(one.text for one in self.segments if one.text)


class WhisperTranscriber:
    """One Whisper model in CTranslate2's format. languages: those that are expected, as BCP 47 tags; where a
    multilingual model is unsure of the language, the most probable of these is taken.
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
        """Free the model. Harmless twice."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._model = None

    async def transcribe(self, samples: NDArray[np.float32]) -> Transcript:
        """What is said in float32 mono samples at 16 kHz. A multilingual model tells the language by itself. Cancelling
        stops the work at the next window.
        """
        left = threading.Event()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, self._transcribe, samples, left)
        finally:
            left.set()

    def _transcribe(self, samples: NDArray[np.float32], left: threading.Event) -> Transcript:
        if left.is_set():
            return Transcript()
        # Greedy without fallback temperatures, so that the same recording always gives the same text; without the text
        # of the window before as context, because that is how small models come to repeat themselves. No window is
        # left out here, however unsure Whisper is of it: that would be silent.
        options: dict[str, Any] = {
            "beam_size": 1,
            "temperature": 0.0,
            "condition_on_previous_text": False,
            "without_timestamps": False,
            "no_speech_threshold": None,
            "language_detection_segments": LANGUAGE_WINDOWS,
            "language_detection_threshold": LANGUAGE_THRESHOLD,
        }
        # The language is told at once, the text only as the segments are asked for.
        segments, info = self._model.transcribe(samples, language=None, **options)
        language, probability = str(info.language), float(info.language_probability)
        if (expected := self._expected_language(info)) and expected[0] != language:
            language, probability = expected
            segments, info = self._model.transcribe(samples, language=language, **options)
        found: list[Any] = []
        for segment in segments:
            if left.is_set():
                return Transcript()
            found.append(segment)
        return Transcript(_transcript_segments(found), _bcp47_tag(language), probability)

    def _expected_language(self, info: Any) -> tuple[str, float] | None:
        """The most probable language of those expected and its probability, where Whisper is unsure which one it is and
        this one is nearly as probable as its first: a Spanish menu is taken for Latin else.
        """
        if info.language_probability >= LANGUAGE_THRESHOLD or not info.all_language_probs:
            return None
        ranked = [
            (code, chance) for code, chance in info.all_language_probs if _bcp47_tag(code) in self._expected_languages
        ]
        found = max(ranked, key=lambda pair: pair[1], default=None)
        return found if found and found[1] >= info.language_probability / MAX_PROBABILITY_RATIO else None


def _transcript_segments(segments: Sequence[Any]) -> tuple[TranscriptSegment, ...]:
    """faster-whisper's segments; those of one window of Whisper's share its figures."""
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
    """Letters of a text for each byte that zlib leaves of them; 0 for an empty text.

    Whisper's own ratio is that of UTF-8's bytes, which are three for a letter of Thai and always begin alike: plain
    text in it is taken for a loop. Here each letter is one byte, whatever its script (two where a text has more than
    256 different ones, of which one that repeats itself has none).
    """
    if not text:
        return 0.0
    numbers = {letter: number for number, letter in enumerate(dict.fromkeys(text))}
    width = 1 if len(numbers) <= 256 else 2
    data = b"".join(numbers[letter].to_bytes(width) for letter in text)
    return len(text) / len(zlib.compress(data))


def _bcp47_tag(code: str) -> str:
    """Whisper's code of a language as a BCP 47 tag: they differ in Javanese."""
    return {"jw": "jv"}.get(code, code)
