"""Filters a cascade's transcript by confidence: leaves out the segments of which Whisper was unsure.

A text model also summarizes what Whisper made of noise. Whisper tells how sure it was of each window: the mean
log-probability of its tokens, the probability that there is no speech, and the compression ratio of its text, which is
high for text that repeats itself. The measured values behind the limits are in `results/recognizer.json`. This module
knows nothing about prompts or engines.
"""

import re
from dataclasses import dataclass

from app.core.asr.repetition import is_trusted
from app.core.asr.settings import RecognizerSettings
from app.core.asr.transcript import Transcript, TranscriptSegment, mean_log_probability

# Omitted spans that are closer together than this are reported as one, in seconds.
_MAX_JOINED_GAP_S = 1.0
# The limit where Whisper is unsure of the language too: it has to be surer of the words.
_UNCERTAIN_LANGUAGE_MIN_LOG_PROBABILITY = -0.7
# Whisper writes "Thank you." for music, with a high probability that there is no speech.
_MAX_NO_SPEECH = 0.6
_WORD = re.compile(r"[^\W_]")


@dataclass(frozen=True)
class Recognition:
    """How well a cascade's recognizer understood one recording or window.

    Attributes:
        language: A BCP 47 tag.
        language_probability: Probability of that language.
        log_probability: Mean log-probability (natural logarithm) of the tokens of the segments that were kept, weighted
            by time; that of all segments if none was kept; None if there are none.
        omitted_spans: (start, end) of what was not understood, in seconds from the start of the recording or window.
        unused_terms: Number of terms of the vocabulary that the recognizer had no room for.
    """

    language: str
    language_probability: float
    log_probability: float | None
    omitted_spans: tuple[tuple[float, float], ...] = ()
    unused_terms: int = 0


@dataclass(frozen=True)
class FilteredTranscript:
    """The part of a transcript that was understood. `text` is empty if nothing was."""

    text: str
    recognition: Recognition
    segments: tuple[TranscriptSegment, ...] = ()


def filter_transcript(transcript: Transcript, limits: RecognizerSettings) -> FilteredTranscript:
    """Return a transcript without the segments of which Whisper was too unsure."""
    spoken = [one for one in transcript.segments if _WORD.search(one.text)]
    clear = [one for one in spoken if _is_confident(one, transcript.language_probability, limits)]
    unclear = [one for one in spoken if not _is_confident(one, transcript.language_probability, limits)]
    recognition = Recognition(
        language=transcript.language,
        language_probability=transcript.language_probability,
        log_probability=mean_log_probability(clear or spoken),
        omitted_spans=_join_spans([(one.start, one.end) for one in unclear]),
        unused_terms=transcript.unused_terms,
    )
    return FilteredTranscript(" ".join(one.text for one in clear), recognition, tuple(clear))


def _is_confident(segment: TranscriptSegment, language_probability: float, limits: RecognizerSettings) -> bool:
    """Return whether a segment is kept. language_probability: that of the transcript's language."""
    floor = limits.log_probability
    if language_probability < limits.sure_language_probability:
        floor = max(floor, min(_UNCERTAIN_LANGUAGE_MIN_LOG_PROBABILITY, limits.sure_log_probability))
    if segment.log_probability < floor:
        return False
    if segment.no_speech_probability > _MAX_NO_SPEECH and segment.log_probability < limits.sure_log_probability:
        return False
    return segment.compression_ratio <= limits.compression_ratio or is_trusted(segment, language_probability)


def _join_spans(spans: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    out: list[tuple[float, float]] = []
    for start, end in spans:
        if out and start - out[-1][1] < _MAX_JOINED_GAP_S:
            out[-1] = out[-1][0], max(end, out[-1][1])
        else:
            out.append((start, end))
    return tuple(out)
