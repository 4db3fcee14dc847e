"""What the first look did not take for speech, looked at once more, louder.

The detector is not asked whether it may have missed something: the power of what it left out is measured. Stretches
that are louder than the recording's quietest moments are brought to one level, and listened to again. What is speech
then is read like all speech; what could be speech stays undecided, and is told. Knows nothing about codecs, HTTP or
engines.
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
    PieceDetection,
    Span,
    frame_power,
    merge_spans,
    remove_rumble,
    speech_spans,
)

_NOISE_FLOOR_QUANTILE = 0.1  # the recording's noise is as loud as its quietest tenth
_MIN_SOUND_TO_FLOOR = 10**0.4  # power above which there is sound: 4 dB over the floor
_MIN_SOUND_S = 0.3
_MAX_JOINED_GAP_S = 2.0  # sounds so near each other are looked at together
_MARGIN_S = 0.5  # of what is around a sound
# What speech is brought to, as a root mean square, and the white noise that it is heard in. The detector finds most of
# the speech of a telephone's band only in noise, which fills the band that is missing: of 30 s of such speech it finds
# 2 to 27 without, 28 to 30 with it, at any level; and none in noise, hum, tones, music, steps or keyboards.
_TARGET_RMS = 0.03
_NOISE_RMS = 0.015
_MAX_GAIN = 5000.0
_SPEECH_THRESHOLD, _UNCERTAIN_THRESHOLD = 0.5, 0.3  # least probabilities of speech, and of what may be speech
# A recording whose loudest moment is below this root mean square (-45 dBFS) is called faint.
_MIN_WARNING_S = 2.0  # of speech found at the second look; a word at the end of a sentence is nothing to tell
_MAX_LISTED_SPANS = 5  # stretches that a warning lists
_FAINT_RMS = 10 ** (-45 / 20)


@dataclass(frozen=True)
class SpeechDetection:
    """What was heard in a recording. spans: of speech, in seconds, in order and apart. faint: those of them that only
    the second look found. undecided: stretches that may be speech. loudest: root mean square of the loudest `FRAME_S`.
    """

    spans: list[Span]
    faint: list[Span] = field(default_factory=list)
    uncertain: list[Span] = field(default_factory=list)
    peak_rms: float = 0.0

    @property
    def warnings(self) -> list[str]:
        """What a caller should know about it, in sentences."""
        told = []
        if sum(end - start for start, end in self.faint) >= _MIN_WARNING_S:
            told.append(
                f"{_total_seconds_text(self.faint)} s of the speech are so faint, or of so narrow a band, that they "
                "were only found "
                "at a second, louder look."
            )
        if not self.spans and SILENCE_PEAK < self.peak_rms < _FAINT_RMS:
            told.append(
                f"The recording is very faint: its loudest moment has {20 * np.log10(self.peak_rms):.0f} dBFS. It was "
                "also listened to amplified, and no speech was found."
            )
        return told


def uncertain_speech_warnings(spans: Sequence[Span]) -> list[str]:
    """What a caller should know about stretches that may be speech and were not read, in sentences."""
    if not spans:
        return []
    first = ", ".join(f"{start:,.1f} to {end:,.1f} s" for start, end in spans[:_MAX_LISTED_SPANS])
    more = f" and {len(spans) - _MAX_LISTED_SPANS} more" if len(spans) > _MAX_LISTED_SPANS else ""
    return [f"{_total_seconds_text(spans)} s of sound that may be speech were not read: {first}{more}."]


def undetected_sounds(passes: Sequence[PieceDetection], seconds: float) -> list[Span]:
    """Stretches of a recording that hold sound and were not taken for speech; in order and apart, none longer than a
    piece. looks: all first looks at it, in order.
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
        piece
        for stretch in merge_spans(around)
        for gap in _subtract_spans(stretch, spoken)
        for piece in _split_span(gap)
    ]


def detect_amplified(samples: Samples, stretch: Span) -> tuple[list[Span], list[Span]]:
    """Spans of speech in a stretch of at most a piece, and spans of what may be speech; in seconds of the recording."""
    piece = remove_rumble(samples[round(stretch[0] * SAMPLE_RATE) : round(stretch[1] * SAMPLE_RATE)])
    audible = np.clip(piece * np.float32(_gain(piece)), -1, 1) + _white_noise()[: len(piece)]
    likely = speech_spans(audible, _UNCERTAIN_THRESHOLD)
    certain = speech_spans(audible, _SPEECH_THRESHOLD) if likely else []
    speech = [one for one in likely if any(one[0] < end and start < one[1] for start, end in certain)]
    undecided = [one for one in likely if one not in speech]
    return _move_spans(speech, stretch[0]), _move_spans(undecided, stretch[0])


def combine_passes(
    first_pass: Sequence[PieceDetection], second_pass: Sequence[tuple[list[Span], list[Span]]]
) -> SpeechDetection:
    """All looks at a recording, taken together."""
    faint = [span for speech, _ in second_pass for span in speech]
    loudest = max((float(one.frame_power.max(initial=0.0)) for one in first_pass), default=0.0)
    return SpeechDetection(
        merge_spans([*(span for one in first_pass for span in one.spans), *faint]),
        merge_spans(faint),
        merge_spans(span for _, undecided in second_pass for span in undecided if span[1] - span[0] >= _MIN_SOUND_S),
        loudest**0.5,
    )


@functools.cache
def _white_noise() -> NDArray[np.float32]:
    """White noise, as long as a piece, always the same."""
    noise = np.random.default_rng(0).standard_normal(PIECE_S * SAMPLE_RATE + SAMPLE_RATE, dtype=np.float32)
    return noise * np.float32(_NOISE_RMS)


def _gain(piece: NDArray[np.float32]) -> float:
    """By how much a piece has to be amplified, or made softer; a click or two in it do not count."""
    loud = float(np.quantile(frame_power(piece), 0.9, method="higher")) ** 0.5 if len(piece) else 0.0
    return min(_TARGET_RMS / loud, _MAX_GAIN) if loud else 0.0


def _subtract_spans(stretch: Span, taken: Sequence[Span]) -> list[Span]:
    """What is left of a stretch without those spans, in order."""
    left, start = [], stretch[0]
    for begun, ended in taken:
        if ended <= start or begun >= stretch[1]:
            continue
        if begun - start >= _MIN_SOUND_S:
            left.append((start, begun))
        start = max(start, ended)
    return [*left, (start, stretch[1])] if stretch[1] - start >= _MIN_SOUND_S else left


def _split_span(stretch: Span) -> list[Span]:
    starts = np.arange(stretch[0], stretch[1], PIECE_S)
    return [(float(start), min(float(start) + PIECE_S, stretch[1])) for start in starts]


def _move_spans(spans: Sequence[Span], by: float) -> list[Span]:
    return [(start + by, end + by) for start, end in spans]


def _total_seconds_text(spans: Sequence[Span]) -> str:
    return f"{sum(end - start for start, end in spans):,.1f}"
