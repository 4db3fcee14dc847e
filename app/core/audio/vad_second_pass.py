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
    FRAME_S,
    PIECE_S,
    SILENT,
    Look,
    Segment,
    levels,
    merge,
    speech_in,
    without_rumble,
)

_FLOOR_SHARE = 0.1  # the recording's noise is as loud as its quietest tenth
_ABOVE_FLOOR = 10**0.4  # power above which there is sound: 4 dB over the floor
_LEAST_SOUND_S = 0.3
_JOINED_S = 2.0  # sounds so near each other are looked at together
_MARGIN_S = 0.5  # of what is around a sound
# What speech is brought to, as a root mean square, and the white noise that it is heard in. The detector finds most of
# the speech of a telephone's band only in noise, which fills the band that is missing: of 30 s of such speech it finds
# 2 to 27 without, 28 to 30 with it, at any level; and none in noise, hum, tones, music, steps or keyboards.
_TARGET = 0.03
_NOISE = 0.015
_MOST_GAIN = 5000.0
_CERTAIN, _UNSURE = 0.5, 0.3  # least probabilities of speech, and of what may be speech
# A recording whose loudest moment is below this root mean square (-45 dBFS) is called faint.
_TOLD_S = 2.0  # of speech found at the second look; a word at the end of a sentence is nothing to tell
_NAMED = 5  # stretches that a warning lists
_FAINT = 10 ** (-45 / 20)


@dataclass(frozen=True)
class Listening:
    """What was heard in a recording. spans: of speech, in seconds, in order and apart. faint: those of them that only
    the second look found. undecided: stretches that may be speech. loudest: root mean square of the loudest `FRAME_S`.
    """

    spans: list[Segment]
    faint: list[Segment] = field(default_factory=list)
    undecided: list[Segment] = field(default_factory=list)
    loudest: float = 0.0

    @property
    def warnings(self) -> list[str]:
        """What a caller should know about it, in sentences."""
        told = []
        if sum(end - start for start, end in self.faint) >= _TOLD_S:
            told.append(
                f"{_total(self.faint)} s of the speech are so faint, or of so narrow a band, that they were only found "
                "at a second, louder look."
            )
        if not self.spans and SILENT < self.loudest < _FAINT:
            told.append(
                f"The recording is very faint: its loudest moment has {20 * np.log10(self.loudest):.0f} dBFS. It was "
                "also listened to amplified, and no speech was found."
            )
        return told


def undecided_warnings(missed: Sequence[Segment]) -> list[str]:
    """What a caller should know about stretches that may be speech and were not read, in sentences."""
    if not missed:
        return []
    first = ", ".join(f"{start:,.1f} to {end:,.1f} s" for start, end in missed[:_NAMED])
    more = f" and {len(missed) - _NAMED} more" if len(missed) > _NAMED else ""
    return [f"{_total(missed)} s of sound that may be speech were not read: {first}{more}."]


def sounds_left_out(looks: Sequence[Look], seconds: float) -> list[Segment]:
    """Stretches of a recording that hold sound and were not taken for speech; in order and apart, none longer than a
    piece. looks: all first looks at it, in order.
    """
    power = np.concatenate([one.levels for one in looks]) if looks else np.zeros(0, np.float32)
    floor = float(np.quantile(power, _FLOOR_SHARE)) if len(power) else 0.0
    sounds = power > max(floor * _ABOVE_FLOOR, SILENT**2)
    for start, end in merge(span for one in looks for span in one.spans):
        sounds[int(start / FRAME_S) : int(np.ceil(end / FRAME_S))] = False
    frames = np.flatnonzero(sounds)
    if not len(frames):
        return []
    clusters = np.split(frames, np.flatnonzero(np.diff(frames) > _JOINED_S / FRAME_S) + 1)
    loud_enough = [one for one in clusters if len(one) * FRAME_S >= _LEAST_SOUND_S]
    around = [
        (max(0.0, one[0] * FRAME_S - _MARGIN_S), min(seconds, (one[-1] + 1) * FRAME_S + _MARGIN_S))
        for one in loud_enough
    ]
    spoken = merge(span for one in looks for span in one.spans)
    return [piece for stretch in merge(around) for gap in _without(stretch, spoken) for piece in _in_pieces(gap)]


def look_again(samples: Samples, stretch: Segment) -> tuple[list[Segment], list[Segment]]:
    """Spans of speech in a stretch of at most a piece, and spans of what may be speech; in seconds of the recording."""
    piece = without_rumble(samples[round(stretch[0] * SAMPLE_RATE) : round(stretch[1] * SAMPLE_RATE)])
    audible = np.clip(piece * np.float32(_gain(piece)), -1, 1) + _noise()[: len(piece)]
    likely = speech_in(audible, _UNSURE)
    certain = speech_in(audible, _CERTAIN) if likely else []
    speech = [one for one in likely if any(one[0] < end and start < one[1] for start, end in certain)]
    undecided = [one for one in likely if one not in speech]
    return _move_spans(speech, stretch[0]), _move_spans(undecided, stretch[0])


def conclude(looks: Sequence[Look], again: Sequence[tuple[list[Segment], list[Segment]]]) -> Listening:
    """All looks at a recording, taken together."""
    faint = [span for speech, _ in again for span in speech]
    loudest = max((float(one.levels.max(initial=0.0)) for one in looks), default=0.0)
    return Listening(
        merge([*(span for one in looks for span in one.spans), *faint]),
        merge(faint),
        merge(span for _, undecided in again for span in undecided if span[1] - span[0] >= _LEAST_SOUND_S),
        loudest**0.5,
    )


@functools.cache
def _noise() -> NDArray[np.float32]:
    """White noise, as long as a piece, always the same."""
    noise = np.random.default_rng(0).standard_normal(PIECE_S * SAMPLE_RATE + SAMPLE_RATE, dtype=np.float32)
    return noise * np.float32(_NOISE)


def _gain(piece: NDArray[np.float32]) -> float:
    """By how much a piece has to be amplified, or made softer; a click or two in it do not count."""
    loud = float(np.quantile(levels(piece), 0.9, method="higher")) ** 0.5 if len(piece) else 0.0
    return min(_TARGET / loud, _MOST_GAIN) if loud else 0.0


def _without(stretch: Segment, taken: Sequence[Segment]) -> list[Segment]:
    """What is left of a stretch without those spans, in order."""
    left, start = [], stretch[0]
    for begun, ended in taken:
        if ended <= start or begun >= stretch[1]:
            continue
        if begun - start >= _LEAST_SOUND_S:
            left.append((start, begun))
        start = max(start, ended)
    return [*left, (start, stretch[1])] if stretch[1] - start >= _LEAST_SOUND_S else left


def _in_pieces(stretch: Segment) -> list[Segment]:
    starts = np.arange(stretch[0], stretch[1], PIECE_S)
    return [(float(start), min(float(start) + PIECE_S, stretch[1])) for start in starts]


def _move_spans(spans: Sequence[Segment], by: float) -> list[Segment]:
    return [(start + by, end + by) for start, end in spans]


def _total(spans: Sequence[Segment]) -> str:
    return f"{sum(end - start for start, end in spans):,.1f}"
