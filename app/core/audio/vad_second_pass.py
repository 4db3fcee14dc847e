"""The second pass of speech detection: sounds that the first pass did not take for speech, amplified.

Whether the first pass may have missed something is decided by power: sounds that are louder than the quietest moments
of the recording are brought to one level and go through the detector again. Speech that is found then is summarized
like all speech. Sounds that may be speech are not read, and the caller is told of them. This module knows nothing
about codecs, HTTP or engines.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.core.audio.limits import SAMPLE_RATE
from app.core.audio.samples import Samples
from app.core.audio.vad_first_pass import (
    LEVEL_FRAME_S,
    PIECE_S,
    SILENCE_PEAK,
    SPEECH_THRESHOLD,
    PieceDetection,
    Span,
    frame_power,
    merge_spans,
    remove_rumble,
    speech_spans,
)

_NOISE_FLOOR_QUANTILE = 0.1  # the noise of a recording is as loud as its quietest tenth
_MIN_SOUND_TO_FLOOR = 10**0.4  # ratio of power above which a frame is sound: 4 dB over the noise floor
_MIN_SOUND_S = 0.3
_MAX_JOINED_GAP_S = 2.0  # sounds with a shorter gap are taken together
_MARGIN_S = 0.5  # added before and after a sound
# The root mean square that sounds are brought to, and that of the white noise which is added. The model finds most
# speech in a telephone's band only with noise, which fills the missing band: of 30 s of such speech it finds 2 to 27 s
# without noise and 28 to 30 s with it, at any level; and none in noise, hum, tones, music, steps or keyboards.
_TARGET_RMS = 0.03
_NOISE_RMS = 0.015
_MAX_GAIN = 5000.0
_UNCERTAIN_THRESHOLD = 0.3  # least probability of what may be speech
_MIN_WARNING_S = 2.0  # less speech of the second pass is not reported: it is a word at the end of a sentence
_MAX_LISTED_SPANS = 5  # in a warning
# A recording whose loudest moment is below this root mean square (-45 dBFS) is called faint.
_FAINT_RMS = 10 ** (-45 / 20)


@dataclass(frozen=True)
class SpeechDetection:
    """The speech in a recording. Spans are (start, end) in seconds, in order, not overlapping.

    Attributes:
        spans: All speech.
        faint: The speech that only the second pass found.
        uncertain: Sounds that may be speech.
        peak_rms: Root mean square of the loudest `LEVEL_FRAME_S`.
    """

    spans: list[Span]
    faint: list[Span] = field(default_factory=list)
    uncertain: list[Span] = field(default_factory=list)
    peak_rms: float = 0.0

    @property
    def warnings(self) -> list[str]:
        """Sentences for the caller about faint speech and faint recordings."""
        warnings = []
        if sum(end - start for start, end in self.faint) >= _MIN_WARNING_S:
            warnings.append(
                f"{_total_seconds_text(self.faint)} s of the speech are so faint, or have so narrow a frequency band, "
                "that they were only found after amplification."
            )
        if not self.spans and SILENCE_PEAK < self.peak_rms < _FAINT_RMS:
            warnings.append(
                f"The recording is very faint: its loudest moment has {20 * np.log10(self.peak_rms):.0f} dBFS. It was "
                "also analyzed after amplification, and no speech was found."
            )
        return warnings


def uncertain_speech_warnings(spans: Sequence[Span]) -> list[str]:
    """Return sentences for the caller about sounds that may be speech and were not read."""
    if not spans:
        return []
    first = ", ".join(f"{start:,.1f} to {end:,.1f} s" for start, end in spans[:_MAX_LISTED_SPANS])
    more = f" and {len(spans) - _MAX_LISTED_SPANS} more" if len(spans) > _MAX_LISTED_SPANS else ""
    return [f"{_total_seconds_text(spans)} s of sound that may be speech were not read: {first}{more}."]


def undetected_sounds(passes: Sequence[PieceDetection], seconds: float) -> list[Span]:
    """Return the spans of a recording that hold sound and were not taken for speech.

    Args:
        passes: The results of the first pass for all pieces, in order.
        seconds: Length of the recording.

    Returns:
        Spans in order, not overlapping, none longer than a piece.
    """
    power = np.concatenate([one.frame_power for one in passes]) if passes else np.zeros(0, np.float32)
    floor = float(np.quantile(power, _NOISE_FLOOR_QUANTILE)) if len(power) else 0.0
    sounds = power > max(floor * _MIN_SOUND_TO_FLOOR, SILENCE_PEAK**2)
    for start, end in merge_spans(span for one in passes for span in one.spans):
        sounds[int(start / LEVEL_FRAME_S) : int(np.ceil(end / LEVEL_FRAME_S))] = False
    frames = np.flatnonzero(sounds)
    if not len(frames):
        return []
    clusters = np.split(frames, np.flatnonzero(np.diff(frames) > _MAX_JOINED_GAP_S / LEVEL_FRAME_S) + 1)
    loud_enough = [one for one in clusters if len(one) * LEVEL_FRAME_S >= _MIN_SOUND_S]
    around = [
        (max(0.0, one[0] * LEVEL_FRAME_S - _MARGIN_S), min(seconds, (one[-1] + 1) * LEVEL_FRAME_S + _MARGIN_S))
        for one in loud_enough
    ]
    spoken = merge_spans(span for one in passes for span in one.spans)
    return [
        piece for span in merge_spans(around) for gap in _subtract_spans(span, spoken) for piece in _split_span(gap)
    ]


def detect_amplified(samples: Samples, span: Span) -> tuple[list[Span], list[Span]]:
    """Amplify a span of at most a piece. Return its spans of speech and those that may be speech, in seconds."""
    piece = remove_rumble(samples[round(span[0] * SAMPLE_RATE) : round(span[1] * SAMPLE_RATE)])
    audible = np.clip(piece * np.float32(_gain(piece)), -1, 1) + _white_noise()[: len(piece)]
    likely, certain = speech_spans(audible, _UNCERTAIN_THRESHOLD, SPEECH_THRESHOLD)
    speech = [one for one in likely if any(one[0] < end and start < one[1] for start, end in certain)]
    uncertain = [one for one in likely if one not in speech]
    return _move_spans(speech, span[0]), _move_spans(uncertain, span[0])


def combine_passes(
    first_pass: Sequence[PieceDetection], second_pass: Sequence[tuple[list[Span], list[Span]]]
) -> SpeechDetection:
    """Combine the results of both passes."""
    faint = [span for speech, _ in second_pass for span in speech]
    loudest = max((float(one.frame_power.max(initial=0.0)) for one in first_pass), default=0.0)
    return SpeechDetection(
        merge_spans([*(span for one in first_pass for span in one.spans), *faint]),
        merge_spans(faint),
        merge_spans(span for _, uncertain in second_pass for span in uncertain if span[1] - span[0] >= _MIN_SOUND_S),
        loudest**0.5,
    )


@functools.cache
def _white_noise() -> NDArray[np.float32]:
    """Return white noise, a little longer than a piece; it is always the same."""
    noise = np.random.default_rng(0).standard_normal(PIECE_S * SAMPLE_RATE + SAMPLE_RATE, dtype=np.float32)
    return noise * np.float32(_NOISE_RMS)


def _gain(piece: NDArray[np.float32]) -> float:
    """Return the factor that brings a piece to `_TARGET_RMS`; a few clicks in it do not matter."""
    loud = float(np.quantile(frame_power(piece), 0.9, method="higher")) ** 0.5 if len(piece) else 0.0
    return min(_TARGET_RMS / loud, _MAX_GAIN) if loud else 0.0


def _subtract_spans(span: Span, others: Sequence[Span]) -> list[Span]:
    """Return the parts of a span without the others, in order, none shorter than `_MIN_SOUND_S`."""
    left, start = [], span[0]
    for begin, end in others:
        if end <= start or begin >= span[1]:
            continue
        if begin - start >= _MIN_SOUND_S:
            left.append((start, begin))
        start = max(start, end)
    return [*left, (start, span[1])] if span[1] - start >= _MIN_SOUND_S else left


def _split_span(span: Span) -> list[Span]:
    starts = np.arange(span[0], span[1], PIECE_S)
    return [(float(start), min(float(start) + PIECE_S, span[1])) for start in starts]


def _move_spans(spans: Sequence[Span], by: float) -> list[Span]:
    return [(start + by, end + by) for start, end in spans]


def _total_seconds_text(spans: Sequence[Span]) -> str:
    return f"{sum(end - start for start, end in spans):,.1f}"
