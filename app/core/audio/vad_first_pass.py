"""The first look: where somebody speaks, in one piece of a recording after another.

Silero VAD (v6, MIT) as bundled with faster-whisper, in ONNX; it needs neither torch nor an engine. It hears speech down
to peaks of about -55 dBFS, and none in silence, noise, hum or tones. It does not hear through a strong offset or a
rumble below 40 Hz, so those are taken out before it listens. What is fainter than what it hears is looked at again,
amplified (`app.core.audio.vad_second_pass`).

The looks are small pieces of work, so that whoever runs them decides in which order (`app.workers.speech_detector`).
Knows nothing about codecs, HTTP or engines.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from faster_whisper.vad import VadOptions, get_speech_timestamps
from numpy.typing import NDArray

from app.core.audio.limits import SAMPLE_RATE
from app.core.audio.samples import Samples

LEVEL_FRAME_S = 0.05  # of the levels
MIN_PAUSE_S = 0.5
# What is fainter (-80 dBFS) is three steps of 16 bits, and no speech can be told in it.
SILENCE_PEAK = 1e-4
_MIN_SPEECH_MS = 250
_PAD_MS = 200
# The detector takes all it is given at once, about 1 MB of working memory per second of audio.
PIECE_S = 60
# A moving average over 20 ms has a zero at 50 Hz; what is left of the signal without it is what lies above 40 Hz.
_RUMBLE_SAMPLES = SAMPLE_RATE // 50
# Share of the power below that; speech alone has less than a tenth.
_MIN_RUMBLE_SHARE = 0.5

Span = tuple[float, float]


@dataclass(frozen=True)
class PieceDetection:
    """What was found in a stretch of a recording. spans: of speech, in seconds of the recording, in order and apart.
    levels: mean square of each `LEVEL_FRAME_S`, float32 (n,), rumble left out.
    """

    spans: list[Span]
    frame_power: NDArray[np.float32]


def piece_starts(samples: Samples) -> Iterator[int]:
    """Where the pieces begin that are looked at one by one: positions in samples."""
    return iter(range(0, len(samples), PIECE_S * SAMPLE_RATE))


def detect_piece(samples: Samples, start: int, stop: int | None = None) -> PieceDetection:
    """Find speech between two positions, at most a piece apart. Takes about 2 ms a second of audio, mostly without the
    interpreter lock, and nearly none where there is silence.
    """
    piece = remove_rumble(samples[start : start + PIECE_S * SAMPLE_RATE if stop is None else stop])
    heard = [] if np.abs(piece).max(initial=0.0) < SILENCE_PEAK else speech_spans(piece)
    offset = start / SAMPLE_RATE
    return PieceDetection([(offset + begun, offset + ended) for begun, ended in heard], frame_power(piece))


def speech_spans(piece: NDArray[np.float32], threshold: float = 0.5) -> list[Span]:
    """Spans of speech in a piece, in seconds from its start. threshold: the least probability of speech."""
    options = VadOptions(
        threshold=threshold,
        min_speech_duration_ms=_MIN_SPEECH_MS,
        min_silence_duration_ms=round(MIN_PAUSE_S * 1000),
        speech_pad_ms=_PAD_MS,
    )
    found = get_speech_timestamps(piece, options)
    return [(one["start"] / SAMPLE_RATE, one["end"] / SAMPLE_RATE) for one in found]


def remove_rumble(piece: NDArray[np.float32]) -> NDArray[np.float32]:
    """A piece without its offset and what is below 40 Hz, where most of its power is there; else as it is."""
    whole = len(piece) // _RUMBLE_SAMPLES * _RUMBLE_SAMPLES
    means = piece[:whole].reshape(-1, _RUMBLE_SAMPLES).mean(axis=1, dtype=np.float64)
    power = float(np.dot(piece, piece)) / max(len(piece), 1)
    if not whole or float(np.mean(means**2)) < _MIN_RUMBLE_SHARE * power:
        return piece
    for _ in range(3):
        piece = piece - _moving_mean(piece)
    return piece


def frame_power(piece: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean square of each `LEVEL_FRAME_S` of a piece, float32 (n,); what is left at its end has one too."""
    frame = round(LEVEL_FRAME_S * SAMPLE_RATE)
    frames = np.pad(piece, (0, -len(piece) % frame)).reshape(-1, frame)
    power: NDArray[np.float32] = np.einsum("ij,ij->i", frames, frames) / np.float32(frame)
    return power


def merge_spans(spans: Iterable[Span]) -> list[Span]:
    """Spans in order and apart. Two are one where they overlap, or where the silence between them ends no utterance."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start - merged[-1][1] < MIN_PAUSE_S:
            start, before = merged.pop()
            end = max(end, before)
        merged.append((start, end))
    return merged


def _moving_mean(piece: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of the 20 ms around each sample; at the edges, those that there are go on."""
    width = _RUMBLE_SAMPLES
    summed = np.cumsum(np.pad(piece, (width // 2 + 1, width - width // 2 - 1), mode="edge"), dtype=np.float64)
    return ((summed[width:] - summed[:-width]) / width).astype(np.float32)
