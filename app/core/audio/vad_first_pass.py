"""The first pass of speech detection, one piece of a recording at a time.

The model (`app.core.audio.vad_model`) finds speech down to peaks of about -55 dBFS, and none in silence, noise, hum or
tones. A strong offset or rumble below 40 Hz hides speech from it, so both are removed first. Fainter sounds are
amplified in the second pass (`app.core.audio.vad_second_pass`).

The pieces are small units of work, so that the caller can choose their order (`app.workers.speech_detector`). This
module knows nothing about codecs, HTTP or engines.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.core.audio.limits import SAMPLE_RATE
from app.core.audio.samples import Samples
from app.core.audio.vad_model import MIN_SILENCE_SAMPLES, spans_above, speech_probabilities

LEVEL_FRAME_S = 0.05  # length of the frames whose power is measured
MIN_PAUSE_S = MIN_SILENCE_SAMPLES / SAMPLE_RATE  # a shorter silence does not separate two spans of speech
# Fainter sound (-80 dBFS) has three steps of 16 bits, and no speech can be recognized in it.
SILENCE_PEAK = 1e-4
SPEECH_THRESHOLD = 0.5  # least probability of speech
PIECE_S = 60
# A moving average over 20 ms has a zero at 50 Hz. The signal minus this average is what lies above 40 Hz.
_RUMBLE_SAMPLES = SAMPLE_RATE // 50
# Rumble is removed if it has at least this share of the power. Speech alone has less than a tenth.
_MIN_RUMBLE_SHARE = 0.5

Span = tuple[float, float]


@dataclass(frozen=True)
class PieceDetection:
    """What was found in one piece of a recording.

    Attributes:
        spans: Spans of speech in seconds of the recording, in order, not overlapping.
        frame_power: Mean square of each `LEVEL_FRAME_S` without rumble, float32, shape (n,).
    """

    spans: list[Span]
    frame_power: NDArray[np.float32]


def piece_starts(samples: Samples) -> Iterator[int]:
    """Return where the pieces start, as positions in samples."""
    return iter(range(0, len(samples), PIECE_S * SAMPLE_RATE))


def detect_piece(samples: Samples, start: int, stop: int | None = None) -> PieceDetection:
    """Find speech between two positions, which are at most a piece apart.

    It takes about 0.7 ms for each second of audio, mostly without the interpreter lock, and nearly nothing for silence.
    """
    piece = remove_rumble(samples[start : start + PIECE_S * SAMPLE_RATE if stop is None else stop])
    (spans,) = [[]] if np.abs(piece).max(initial=0.0) < SILENCE_PEAK else speech_spans(piece, SPEECH_THRESHOLD)
    offset = start / SAMPLE_RATE
    return PieceDetection([(offset + begin, offset + end) for begin, end in spans], frame_power(piece))


def speech_spans(piece: NDArray[np.float32], *thresholds: float) -> list[list[Span]]:
    """Return the spans of speech in a piece, in seconds from its start, for each least probability of speech."""
    probabilities = speech_probabilities(piece)
    return [
        [(start / SAMPLE_RATE, end / SAMPLE_RATE) for start, end in spans_above(probabilities, threshold, len(piece))]
        for threshold in thresholds
    ]


def remove_rumble(piece: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a piece without offset and frequencies below 40 Hz if they have most of its power, else unchanged."""
    whole = len(piece) // _RUMBLE_SAMPLES * _RUMBLE_SAMPLES
    means = piece[:whole].reshape(-1, _RUMBLE_SAMPLES).mean(axis=1, dtype=np.float64)
    power = float(np.dot(piece, piece)) / max(len(piece), 1)
    if not whole or float(np.mean(means**2)) < _MIN_RUMBLE_SHARE * power:
        return piece
    for _ in range(3):
        piece = piece - _moving_mean(piece)
    return piece


def frame_power(piece: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean square of each `LEVEL_FRAME_S` of a piece, float32, shape (n,). The last frame may be shorter."""
    frame = round(LEVEL_FRAME_S * SAMPLE_RATE)
    frames = np.pad(piece, (0, -len(piece) % frame)).reshape(-1, frame)
    power: NDArray[np.float32] = np.einsum("ij,ij->i", frames, frames) / np.float32(frame)
    return power


def merge_spans(spans: Iterable[Span]) -> list[Span]:
    """Return spans in order. Spans that overlap, or are less than `MIN_PAUSE_S` apart, are merged."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start - merged[-1][1] < MIN_PAUSE_S:
            start, before = merged.pop()
            end = max(end, before)
        merged.append((start, end))
    return merged


def _moving_mean(piece: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean of the 20 ms around each sample. At the edges the first and last sample are repeated."""
    width = _RUMBLE_SAMPLES
    summed = np.cumsum(np.pad(piece, (width // 2 + 1, width - width // 2 - 1), mode="edge"), dtype=np.float64)
    return ((summed[width:] - summed[:-width]) / width).astype(np.float32)
