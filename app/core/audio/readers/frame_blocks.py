"""Joins the frames of a codec into blocks, and writes these into a sink.

A frame holds 20 to 60 ms in most codecs. What the sink does with a block (limits, mix, resampling) costs about as much
for a frame as for a second of audio, so that frame by frame it costs more than decoding. This module knows nothing
about containers.
"""

from typing import Any

import numpy as np
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from app.core.audio.sample_sink import SampleSink
from app.core.errors import Unprocessable

# Samples of a block over all channels: about a second of stereo. Larger blocks leave the processor's cache.
_BLOCK_SAMPLES = 1 << 16


class FrameBlocks:
    """Joins the frames of one recording.

    Args:
        sink: Where the blocks are written. It raises the errors of `SampleSink.write` up to a block later.
    """

    def __init__(self, sink: SampleSink) -> None:
        self._sink = sink
        self._frames: list[NDArray[Any]] = []
        self._kind: tuple[object, ...] = ()
        self._rate = 1
        self._frame_count = 0

    @property
    def seconds(self) -> float:
        """Length of the source so far: of the sink, and of the frames that are not yet in it."""
        return self._sink.seconds + self._frame_count / self._rate

    def add(self, frame: AudioFrame) -> NDArray[Any]:
        """Add a frame, and return its samples in their own type, shape (channels, n).

        Raises:
            Unprocessable: For 64-bit integers, which PyAV cannot convert and nobody records; and what the sink raises.
        """
        samples, rate = _channels_of(frame), frame.sample_rate
        kind = (samples.shape[0], rate, samples.dtype)
        if kind != self._kind:
            self.flush()
            self._kind, self._rate = kind, rate
        self._frames.append(samples)
        self._frame_count += samples.shape[1]
        if self._frame_count * samples.shape[0] >= _BLOCK_SAMPLES:
            self.flush()
        return samples

    def add_silence(self, seconds: float) -> None:
        """Add silence after the frames so far. Raises what the sink raises."""
        self.flush()
        self._sink.write_silence(seconds)

    def flush(self) -> None:
        """Write the frames so far into the sink. Raises what the sink raises."""
        if not self._frames:
            return
        joined = np.concatenate(self._frames, axis=1)
        self._frames, self._frame_count = [], 0
        self._sink.write(_scale_to_float(joined).T, self._rate)


def _channels_of(frame: AudioFrame) -> NDArray[Any]:
    try:
        raw: NDArray[Any] = frame.to_ndarray()
    except ValueError as error:
        message = f"Samples of type {frame.format.name} are not supported."
        raise Unprocessable(message, code="undecodable_audio", param="file") from error
    channels = raw.size // frame.samples
    # Planar samples have a row a channel, the others one row, in which the channels take turns.
    return raw if raw.shape[0] == channels else raw.reshape(-1, channels).T


def _scale_to_float(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Return samples as float32; integers are scaled to [-1, 1]."""
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128.0) / 128.0
    if np.issubdtype(samples.dtype, np.integer):
        return samples.astype(np.float32) * np.float32(2.0 ** (1 - 8 * samples.dtype.itemsize))
    return samples.astype(np.float32, copy=False)
