"""Transcribes recordings with Whisper, through faster-whisper (CTranslate2, int8 on CPU).

It runs in one thread, one recording at a time, so that it does not compete with the language model for the cores. If
the call is cancelled, the work ends before the next window.

Where Whisper goes round in circles, up to 30 s of speech are lost: after somebody laughed, it writes "ha ha ha" until
the window is full. Such a window is decoded a second time, in which no three tokens may occur twice. The second text is
only taken if Whisper is sure of it, which it is of speech and not of noise; otherwise what it wrote before the loop is
decoded alone. Other windows cost nothing more.

With a vocabulary everything is decoded once more, and only terms are taken from there (`app.core.asr.vocabulary`).

This module knows nothing about prompts or vLLM, nor how sure Whisper has to be of the rest (`app.core.asr.confidence`).
"""

import asyncio
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core.asr.transcript import Transcript, TranscriptSegment
from app.core.asr.vocabulary import correct_terms, fit_terms, prompt_text
from app.core.asr.whisper_windows import WhisperWindow, group_by_window, is_surely_speech, join_windows
from app.core.audio.limits import SAMPLE_RATE

# Number of windows of 30 s in which the language is detected, until Whisper is sure of it in one: a recording may begin
# with music.
LANGUAGE_WINDOWS = 3
LANGUAGE_THRESHOLD = 0.5
# Where Whisper is unsure, an expected language may be less probable than another one by this factor.
MAX_PROBABILITY_RATIO = 4


_WINDOW_S = 30.0
# Greedy decoding without fallback temperatures, so that the same recording always gives the same text. The previous
# window's text is not used as context, because it makes small models repeat themselves. No window is left out here,
# however unsure Whisper is of it: the caller would not learn of it.
_OPTIONS: dict[str, Any] = {
    "beam_size": 1,
    "temperature": 0.0,
    "condition_on_previous_text": False,
    "without_timestamps": False,
    "no_speech_threshold": None,
}
# In the second decoding of a window that went round in circles, no sequence of three tokens occurs twice. Five lose
# more of the speech, and a penalty on repeated tokens (1.1) does not end all loops.
_NO_REPEAT_TOKENS = 3


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
        # faster-whisper takes a second to import, and a service without a cascade needs none.
        from app.core.asr.encode_once import EncodeOnceModel

        self._model = EncodeOnceModel(str(self._folder), device="cpu", compute_type="int8", cpu_threads=self._threads)

    async def stop(self) -> None:
        """Free the model. Calling it again does nothing."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._model = None

    async def transcribe(self, samples: NDArray[np.float32], vocabulary: Sequence[str] = ()) -> Transcript:
        """Transcribe float32 mono samples at 16 kHz, shape (n,). A multilingual model detects the language.

        If the call is cancelled, the work ends at the next window. vocabulary: names and terms that may occur, the most
        important first. They take a second decoding.
        """
        cancelled = threading.Event()
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._executor, self._transcribe_once, samples, cancelled, vocabulary)
        finally:
            cancelled.set()

    def _transcribe_once(
        self, samples: NDArray[np.float32], cancelled: threading.Event, vocabulary: Sequence[str]
    ) -> Transcript:
        model = self._model  # `stop` may forget it meanwhile
        try:
            return self._transcribe(samples, cancelled, vocabulary)
        finally:
            model.forget()

    def _transcribe(
        self, samples: NDArray[np.float32], cancelled: threading.Event, vocabulary: Sequence[str]
    ) -> Transcript:
        if cancelled.is_set():
            return Transcript()
        options = {
            "language_detection_segments": LANGUAGE_WINDOWS,
            "language_detection_threshold": LANGUAGE_THRESHOLD,
        } | _OPTIONS
        # The language is detected at once; the text only comes as the segments are read.
        segments, info = self._model.transcribe(samples, language=None, **options)
        language, probability = str(info.language), float(info.language_probability)
        if (expected := self._expected_language(info)) and expected[0] != language:
            language, probability = expected
            segments, info = self._model.transcribe(samples, language=language, **options)
        windows = group_by_window(_read(segments, cancelled))
        found: list[TranscriptSegment] = []
        for number, window in enumerate(windows):
            if window.circles(probability):
                next_start = windows[number + 1].start if number + 1 < len(windows) else np.inf
                end = min(window.start + _WINDOW_S, next_start, len(samples) / SAMPLE_RATE)
                found += self._decode_again(samples, window, end, language, cancelled)
            else:
                found += window.segments
        terms = fit_terms(vocabulary, self._count_tokens)
        corrected = self._correct_terms(samples, found, language, terms, cancelled)
        if cancelled.is_set():  # what was read until then is not the transcript
            return Transcript()
        return Transcript(corrected, _bcp47_tag(language), probability, len(vocabulary) - len(terms))

    def _correct_terms(
        self,
        samples: NDArray[np.float32],
        found: Sequence[TranscriptSegment],
        language: str,
        terms: Sequence[str],
        cancelled: threading.Event,
    ) -> tuple[TranscriptSegment, ...]:
        """Return the segments with the terms that Whisper hears where it knows them."""
        if not found or not terms or cancelled.is_set():
            return tuple(found)
        segments, _ = self._model.transcribe(samples, language=language, hotwords=prompt_text(terms), **_OPTIONS)
        return correct_terms(found, " ".join(str(one.text) for one in _read(segments, cancelled)), terms)

    def _count_tokens(self, text: str) -> int:
        # With a space before it, as faster-whisper puts it into the prompt.
        return len(self._model.hf_tokenizer.encode(f" {text}", add_special_tokens=False).ids)

    def _decode_again(
        self, samples: NDArray[np.float32], window: WhisperWindow, end: float, language: str, cancelled: threading.Event
    ) -> tuple[TranscriptSegment, ...]:
        """Return better segments of a window that went round in circles, or its own if there are none.

        end: where the window ends, in seconds. language: the recording's, as Whisper's code.
        """
        second = self._decode_speech(samples, window.start, end, language, cancelled, _NO_REPEAT_TOKENS)
        if second:
            return second
        before, loop = window.split_at_loop()
        # The figures of the window are mostly those of the loop, and say nothing about what comes before it.
        alone = self._decode_speech(samples, window.start, loop[0].start, language, cancelled) if before else ()
        return alone + loop if alone else window.segments

    def _decode_speech(
        self,
        samples: NDArray[np.float32],
        start: float,
        end: float,
        language: str,
        cancelled: threading.Event,
        no_repeat_tokens: int = 0,
    ) -> tuple[TranscriptSegment, ...]:
        """Return the segments between two times in seconds, or none unless Whisper is sure that this is speech.

        no_repeat_tokens: number of tokens that may not occur twice as a sequence; 0 allows all.
        """
        if cancelled.is_set():
            return ()
        # The language is detected in this part alone: Whisper knows none of noise that follows speech.
        part = samples[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
        segments, info = self._model.transcribe(part, language=None, no_repeat_ngram_size=no_repeat_tokens, **_OPTIONS)
        if info.language != language:
            return ()
        found = join_windows(group_by_window(_read(segments, cancelled), start))
        return found if is_surely_speech(found, float(info.language_probability)) else ()

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


def _read(segments: Iterable[Any], cancelled: threading.Event) -> list[Any]:
    """Return faster-whisper's segments, which are decoded as they are read, or those until the call was cancelled."""
    found: list[Any] = []
    for segment in segments:
        if cancelled.is_set():
            break
        found.append(segment)
    return found


def _bcp47_tag(code: str) -> str:
    """Return Whisper's language code as a BCP 47 tag. They only differ for Javanese."""
    return {"jw": "jv"}.get(code, code)
