"""How sure a cascade's recognizer has to be: what of a transcript is read, and what is left out because Whisper itself
was unsure of it.

A text model that is given what Whisper made of noise summarizes it all the same. Whisper says how sure it was, window
by window: the mean log-probability of its tokens, the probability that there is no speech, and how far its text can be
compressed (text that goes round in circles can be compressed very far). The measured values behind the limits are in
`results/recognizer.json`. Knows nothing about prompts or engines.
"""

import re
from dataclasses import dataclass

from app.core.asr.settings import RecognizerSettings
from app.core.asr.whisper import Transcript, TranscriptSegment

# Stretches that are left out and lie closer together than this are told as one, in seconds.
_MAX_JOINED_GAP_S = 1.0
# A stretch as short as a breath counts as long as one, in seconds, so that its weight is not nothing.
_MIN_WEIGHT_S = 0.1
# Where Whisper is unsure even of the language, it has to be surer of the words.
_UNCERTAIN_LANGUAGE_MIN_LOG_PROBABILITY = -0.7
# Whisper writes "Thank you." under music, and says itself that there is hardly any speech.
_MAX_NO_SPEECH = 0.6
# A recorded message that is played over and over goes round in circles too. It is read where Whisper is sure of it in
# every respect; what Whisper makes of a crowd or of noise fails at least one of these.
_LOOP_MIN_LOG_PROBABILITY, _LOOP_MIN_LANGUAGE_PROBABILITY, _LOOP_MAX_NO_SPEECH, _LOOP_MAX_COMPRESSION_RATIO = (
    -0.45,
    0.8,
    0.5,
    10.0,
)
_WORD = re.compile(r"[^\W_]")


@dataclass(frozen=True)
class Recognition:
    """How a cascade's recognizer heard one recording or window.

    language: a BCP 47 tag, with its probability. log_probability: mean over the tokens of what is read (natural
    logarithm), weighted by time; of all there is where nothing is read, None where there is nothing. left_out: spans
    that were not understood, in seconds from the recording's or window's beginning.
    """

    language: str
    language_probability: float
    log_probability: float | None
    omitted_spans: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class FilteredTranscript:
    """What a transcript is good for. text: what is read, empty where nothing was understood. certainty: see
    `Recognition`.
    """

    text: str
    recognition: Recognition


def filter_transcript(transcript: Transcript, limits: RecognizerSettings) -> FilteredTranscript:
    """Take out of a transcript the stretches of which Whisper was too unsure."""
    said = [one for one in transcript.segments if _WORD.search(one.text)]
    clear = [one for one in said if _is_confident(one, transcript.language_probability, limits)]
    unclear = [one for one in said if not _is_confident(one, transcript.language_probability, limits)]
    certainty = Recognition(
        language=transcript.language,
        language_probability=transcript.language_probability,
        log_probability=_mean_log_probability(clear or said),
        omitted_spans=_join_spans([(one.start, one.end) for one in unclear]),
    )
    return FilteredTranscript(" ".join(one.text for one in clear), certainty)


def _is_confident(one: TranscriptSegment, language: float, limits: RecognizerSettings) -> bool:
    """Whether a stretch is read. language: probability of the language that it is written down in."""
    floor = limits.log_probability
    if language < limits.sure_language_probability:
        floor = max(floor, min(_UNCERTAIN_LANGUAGE_MIN_LOG_PROBABILITY, limits.sure_log_probability))
    if one.log_probability < floor:
        return False
    if one.no_speech_probability > _MAX_NO_SPEECH and one.log_probability < limits.sure_log_probability:
        return False
    if one.compression_ratio <= limits.compression_ratio:
        return True
    return (
        one.log_probability >= _LOOP_MIN_LOG_PROBABILITY
        and language >= _LOOP_MIN_LANGUAGE_PROBABILITY
        and one.no_speech_probability < _LOOP_MAX_NO_SPEECH
        and one.compression_ratio <= _LOOP_MAX_COMPRESSION_RATIO
    )


def _mean_log_probability(stretches: list[TranscriptSegment]) -> float | None:
    """The mean over the stretches, each with the weight of its length; None where there are none."""
    weights = [max(one.end - one.start, _MIN_WEIGHT_S) for one in stretches]
    if not weights:
        return None
    total = sum(one.log_probability * weight for one, weight in zip(stretches, weights, strict=True))
    return total / sum(weights)


def _join_spans(spans: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    out: list[tuple[float, float]] = []
    for start, end in spans:
        if out and start - out[-1][1] < _MAX_JOINED_GAP_S:
            out[-1] = out[-1][0], max(end, out[-1][1])
        else:
            out.append((start, end))
    return tuple(out)
