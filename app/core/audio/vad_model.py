"""The network of voice activity detection (Silero VAD v6): how likely each 32 ms of a piece are speech.

It is the network that faster-whisper uses, with its convolutions as matrix products, which take a third of the time
(`app/core/audio/silero_vad`). Windows and spans are made as faster-whisper makes them. It needs neither torch nor an
engine. This module knows nothing about recordings that are longer than a piece.
"""

import functools
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

WINDOW_SAMPLES = 512
_CONTEXT_SAMPLES = 64  # of the window before, which the network sees too; as many are mirrored at the window's end
_FRAME_SAMPLES, _FRAME_STEP = 256, 128
_STATE = (1, 1, 128)
# Windows that go through the network at once, 8 s: what they take fits into the processor's cache.
_BLOCK_WINDOWS = 256
# Within speech, sound counts as silence if its probability is this much below the threshold.
_HYSTERESIS, _MIN_THRESHOLD = 0.15, 0.01
_MIN_SPEECH_SAMPLES = 4000  # 0.25 s
MIN_SILENCE_SAMPLES = 8000  # 0.5 s: a shorter silence does not separate two spans of speech
_MARGIN_SAMPLES = 3200  # 0.2 s, added before and after speech


def speech_probabilities(piece: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probability of speech in each `WINDOW_SAMPLES` of a piece, shape (n,). The last window is filled up.

    Args:
        piece: Shape (n,), 16 kHz. A call takes about 0.6 ms for each second, mostly without the interpreter lock.
    """
    # The last window always ends with zeros, and the first one comes after zeros.
    padded = np.pad(piece, (_CONTEXT_SAMPLES, WINDOW_SAMPLES - len(piece) % WINDOW_SAMPLES))
    padded[-_CONTEXT_SAMPLES:] = 0
    seen = np.lib.stride_tricks.sliding_window_view(padded, _CONTEXT_SAMPLES + WINDOW_SAMPLES)[::WINDOW_SAMPLES]
    session = _session()
    h = c = np.zeros(_STATE, np.float32)
    found = []
    for start in range(0, len(seen), _BLOCK_WINDOWS):
        windows = np.pad(seen[start : start + _BLOCK_WINDOWS], ((0, 0), (0, _CONTEXT_SAMPLES)), mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(windows, _FRAME_SAMPLES, axis=1)[:, ::_FRAME_STEP]
        inputs = {"frames": frames.reshape(-1, _FRAME_SAMPLES), "h": h, "c": c}
        probabilities, h, c = session.run(None, inputs)
        found.append(probabilities)
    return np.concatenate(found)


def spans_above(probabilities: NDArray[np.float32], threshold: float, length: int) -> list[tuple[int, int]]:
    """Return the spans of speech, (start, end) in samples, in order, not overlapping.

    Args:
        probabilities: Of a piece, as `speech_probabilities` returns them.
        threshold: Least probability at which speech begins. It goes on until the probability stays 0.15 below.
        length: Samples of the piece.
    """
    begins = float(np.float32(threshold))
    ends = float(np.float32(max(threshold - _HYSTERESIS, _MIN_THRESHOLD)))
    spans = []
    start = silence = -1  # where the present speech starts, and the silence that may end it; -1 is none
    for number, probability in enumerate(probabilities.tolist()):
        position = number * WINDOW_SAMPLES
        if probability >= begins:
            start, silence = (position if start < 0 else start), -1
        elif probability < ends and start >= 0:
            silence = position if silence < 0 else silence
            if position - silence >= MIN_SILENCE_SAMPLES:
                spans.append((start, silence))
                start = silence = -1
    if start >= 0:
        spans.append((start, length))
    return [
        (max(0, begin - _MARGIN_SAMPLES), min(length, end + _MARGIN_SAMPLES))
        for begin, end in spans
        if end - begin > _MIN_SPEECH_SAMPLES
    ]


@functools.cache
def _session() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    options.log_severity_level = 4
    path = Path(__file__).parent / "silero_vad" / "model.onnx"
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"], sess_options=options)
