"""How sure a cascade's recognizer has to be: what of a transcript is read, and what is left out because Whisper itself
was unsure of it.

A text model that is given what Whisper made of noise summarizes it all the same. Whisper says how sure it was, window
by window: the mean log-probability of its tokens, and how far its text can be compressed (text that goes round in
circles can be compressed very far). The measured values behind the limits are in
`results/recognizer.json`. Knows nothing about prompts or engines.
"""

from dataclasses import dataclass

from app.engine.base import Recognition
from app.engine.transcriber import Stretch, Transcript
from app.settings import RecognizerSettings

# Stretches that are left out and lie closer together than this are told as one, in seconds.
_APART_S = 1.0
# A stretch as short as a breath counts as long as one, in seconds, so that its weight is not nothing.
_LEAST_S = 0.1


@dataclass(frozen=True)
class Understood:
    """What a transcript is good for. text: what is read, empty where nothing was understood. certainty: see
    `Recognition`.
    """

    text: str
    certainty: Recognition


def judge(transcript: Transcript, limits: RecognizerSettings) -> Understood:
    """Take out of a transcript the stretches of which Whisper was too unsure."""
    said = [one for one in transcript.stretches if one.text]
    clear = [one for one in said if _is_clear(one, limits)]
    unclear = [one for one in said if not _is_clear(one, limits)]
    certainty = Recognition(
        language=transcript.language,
        language_probability=transcript.language_probability,
        log_probability=_mean_log_probability(clear or said),
        left_out=_joined([(one.start, one.end) for one in unclear]),
    )
    return Understood(" ".join(one.text for one in clear), certainty)


def _is_clear(one: Stretch, limits: RecognizerSettings) -> bool:
    return one.log_probability >= limits.log_probability and one.compression_ratio <= limits.compression_ratio


def _mean_log_probability(stretches: list[Stretch]) -> float | None:
    """The mean over the stretches, each with the weight of its length; None where there are none."""
    weights = [max(one.end - one.start, _LEAST_S) for one in stretches]
    if not weights:
        return None
    total = sum(one.log_probability * weight for one, weight in zip(stretches, weights, strict=True))
    return total / sum(weights)


def _joined(spans: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    out: list[tuple[float, float]] = []
    for start, end in spans:
        if out and start - out[-1][1] < _APART_S:
            out[-1] = out[-1][0], max(end, out[-1][1])
        else:
            out.append((start, end))
    return tuple(out)
