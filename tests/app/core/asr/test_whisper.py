"""The transcriber chooses the language, and converts the segments of faster-whisper."""

from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.core.asr.whisper import WhisperTranscriber

Segment = namedtuple("Segment", "seek start end text avg_logprob compression_ratio no_speech_prob")
Info = namedtuple("Info", "language language_probability all_language_probs")
SPEECH = np.zeros(16_000, np.float32)


class Whisper:
    """Detects languages with these probabilities, and returns one segment in the given or the detected language."""

    def __init__(self, **probabilities: float) -> None:
        self.probabilities = sorted(probabilities.items(), key=lambda pair: -pair[1])
        self.requested_languages: list[str | None] = []

    def transcribe(self, samples: Any, *, language: str | None, **options: Any) -> Any:
        self.requested_languages.append(language)
        code, probability = (language, 1.0) if language else self.probabilities[0]
        info = Info(code, probability, None if language else self.probabilities)
        return iter([Segment(0, 0.0, 2.5, f" In {code}.", -0.25, 9.9, 0.125)]), info


async def transcribe(whisper: Whisper, languages: tuple[str, ...] = ()) -> Any:
    transcriber = WhisperTranscriber(Path("nowhere"), languages=languages)
    transcriber._model = whisper
    try:
        return await transcriber.transcribe(SPEECH)
    finally:
        await transcriber.stop()


async def test_the_language_is_detected_and_how_sure_whisper_was_is_kept() -> None:
    found = await transcribe(Whisper(de=0.9, en=0.05), ("en", "es"))
    assert (found.text, found.language, found.language_probability) == ("In de.", "de", 0.9)
    (one,) = found.segments
    assert (one.start, one.end, one.log_probability, one.no_speech_probability) == (0.0, 2.5, -0.25, 0.125)
    assert one.compression_ratio < 1, "of the letters, and not whisper's own"


@pytest.mark.parametrize(
    ("probabilities", "languages", "language", "requested_languages"),
    [
        ({"la": 0.42, "es": 0.3, "en": 0.1}, ("en", "es"), "es", [None, "es"]),
        ({"la": 0.42, "es": 0.3}, (), "la", [None]),
        ({"pl": 0.9, "ru": 0.05}, ("en", "ru"), "pl", [None]),
        ({"pl": 0.45, "ru": 0.05}, ("en", "ru"), "pl", [None]),
        ({"es": 0.4, "pt": 0.3}, ("es", "pt-BR"), "es", [None]),
        ({"jw": 0.8}, (), "jv", [None]),
    ],
)
async def test_where_it_is_unsure_of_the_language_an_expected_one_is_preferred(
    probabilities: dict[str, float], languages: tuple[str, ...], language: str, requested_languages: list[str | None]
) -> None:
    whisper = Whisper(**probabilities)
    found = await transcribe(whisper, languages)
    assert (found.language, whisper.requested_languages) == (language, requested_languages)
    assert found.language_probability == probabilities.get(language, 0.8)
