"""What a speech recognizer returns: a transcript of segments, with figures of how sure it was of each."""

from collections.abc import Sequence
from dataclasses import dataclass

# The shortest weight of a segment in the mean, in seconds, so that no segment weighs nothing.
_MIN_WEIGHT_S = 0.1


@dataclass(frozen=True)
class TranscriptSegment:
    """A segment of speech as Whisper transcribed it.

    Attributes:
        start: In seconds from the start of the recording.
        end: In seconds from the start of the recording.
        text: The words.
        log_probability: Mean log-probability (natural logarithm) of the tokens of Whisper's window.
        compression_ratio: That of the window's text, see `app.core.asr.repetition.compression_ratio`.
        no_speech_probability: Probability that the window holds no speech.
        repeated_share: That of the window's text, see `app.core.asr.repetition.repeated_share`. Without a measurement,
            a text that compresses well counts as one that only repeats itself.
    """

    start: float
    end: float
    text: str
    log_probability: float
    compression_ratio: float
    no_speech_probability: float
    repeated_share: float = 1.0


@dataclass(frozen=True)
class Transcript:
    """All segments in order, and the language as a BCP 47 tag with its probability.

    unused_terms: number of terms at the end of the vocabulary that Whisper's prompt had no room for.
    """

    segments: tuple[TranscriptSegment, ...] = ()
    language: str = "en"
    language_probability: float = 1.0
    unused_terms: int = 0

    @property
    def text(self) -> str:
        """The text of all segments, joined by spaces."""
        return " ".join(one.text for one in self.segments if one.text)


def mean_log_probability(segments: Sequence[TranscriptSegment]) -> float | None:
    """Return the mean over the segments, weighted by their length, or None if there are none."""
    weights = [max(one.end - one.start, _MIN_WEIGHT_S) for one in segments]
    if not weights:
        return None
    total = sum(one.log_probability * weight for one, weight in zip(segments, weights, strict=True))
    return total / sum(weights)
