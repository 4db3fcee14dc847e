"""Collects decoded blocks: checks the limits, mixes to one channel, resamples to 16 kHz and stores the samples.

It needs memory for one block, and without a file also for the 16 kHz result (64 kB a second), whatever the rate and the
channels of the source. This module knows nothing about containers.
"""

from typing import BinaryIO

import numpy as np
import soxr
from numpy.typing import NDArray

from app.core.audio.downmix import Downmixer
from app.core.audio.limits import SAMPLE_RATE, DecodeLimits
from app.core.audio.samples import BYTES_PER_SAMPLE
from app.core.errors import Unprocessable

Block = NDArray[np.float32]
_SCALE_BLOCK_SAMPLES = 1 << 20  # samples that are scaled at once
_MIN_WARNING_S = 0.2  # shorter inversions of channels are not reported


class SampleSink:
    """Collects the samples of one file.

    Args:
        limits: The limits that are checked.
        file: Where the samples are written (open for reading and writing). Without it they are kept in memory.

    Attributes:
        limits: The limits that are checked.
        sample_count: Samples of the result so far.
        seconds: Length of the source so far.
        rate: First sampling rate of the source, in Hz. It may change within a file.
        channels: First number of channels of the source. It may change within a file.
        peak_amplitude: Largest magnitude so far, in the source and in the result.
    """

    def __init__(self, limits: DecodeLimits, file: BinaryIO | None = None) -> None:
        self.limits = limits
        self.sample_count = 0
        self.seconds = 0.0
        self.rate = 0
        self.channels = 0
        self.peak_amplitude = 0.0
        self._source_samples = 0
        self._current_rate = 0
        self._current_channels = 0
        self._mixer = Downmixer(1, SAMPLE_RATE)
        self._inverted_seconds = 0.0
        self._resampler: soxr.ResampleStream | None = None
        self._file = file
        # It grows in place; a list of arrays would need twice the memory at the end.
        self._buffer = bytearray()
        if file is not None:  # it may hold the samples of another reader, which failed
            file.seek(0)
            file.truncate()

    def write(self, block: Block, rate: int) -> None:
        """Add a block, shape (frames, channels), at `rate` Hz. Raises `TooLarge` or `Unprocessable` over a limit."""
        frames, channels = block.shape
        self._set_format(rate, channels)
        self._source_samples += frames * channels
        self.limits.check_samples(self._source_samples)
        self._add_seconds(frames / rate)
        self._update_peak(block)
        self._resample(self._mixer.mix(block))

    def write_silence(self, seconds: float) -> None:
        """Add seconds of silence, at the rate of the block before. Raises `TooLarge` over a limit."""
        self._add_seconds(seconds)
        self._resample(self._mixer.flush())
        frames = round(seconds * self._current_rate)
        while frames > 0:
            count = min(frames, self._current_rate)
            self._resample(np.zeros(count, np.float32))
            frames -= count

    def finish(self) -> None:
        """Store the rest, after the last block. The samples are not scaled: the peak may be above 1."""
        self._flush()

    def samples(self) -> Block:
        """Return the samples, if there is no file: float32, shape (n,), 16 kHz, finite."""
        return np.frombuffer(self._buffer, dtype=np.float32)

    def scale(self, factor: float) -> None:
        """Multiply all samples by a factor."""
        if self._file is None:
            samples = self.samples()
            samples *= np.float32(factor)
            return
        for start in range(0, self.sample_count, _SCALE_BLOCK_SAMPLES):
            self._file.seek(start * BYTES_PER_SAMPLE)
            block = np.frombuffer(
                self._file.read(min(_SCALE_BLOCK_SAMPLES, self.sample_count - start) * BYTES_PER_SAMPLE),
                dtype=np.float32,
            )
            self._file.seek(start * BYTES_PER_SAMPLE)
            self._file.write((block * np.float32(factor)).data.cast("B"))

    @property
    def warnings(self) -> list[str]:
        """Sentences about what the mix changed."""
        inverted = self._inverted_seconds + self._mixer.inverted_seconds
        if inverted < _MIN_WARNING_S:
            return []
        return [
            f"In {inverted:,.1f} s of the recording its channels are in opposite phase and would cancel each other; "
            "they were aligned before they were mixed."
        ]

    def _set_format(self, rate: int, channels: int) -> None:
        if rate == self._current_rate and channels == self._current_channels:
            return
        self.limits.check_source(rate, channels)
        if not self.rate:
            self.rate, self.channels = rate, channels
        self._resample(self._mixer.flush())
        self._inverted_seconds += self._mixer.inverted_seconds
        self._mixer = Downmixer(channels, rate)
        self._current_channels = channels
        if rate != self._current_rate:
            self._flush()
            self._current_rate = rate
            needed = rate != SAMPLE_RATE
            self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32") if needed else None

    def _add_seconds(self, seconds: float) -> None:
        self.seconds += seconds
        self.limits.check_seconds(self.seconds, is_total=False)

    def _resample(self, mono: Block) -> None:
        self._store(mono if self._resampler is None else self._resampler.resample_chunk(mono))

    def _flush(self) -> None:
        self._resample(self._mixer.flush())
        if self._resampler is not None:
            self._store(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))

    def _update_peak(self, samples: Block) -> None:
        """Raises `Unprocessable` if a sample is not finite."""
        peak = max(float(samples.max(initial=0.0)), -float(samples.min(initial=0.0)))
        if not np.isfinite(peak):  # a NaN is the largest and the smallest
            raise _not_finite_error()
        self.peak_amplitude = max(self.peak_amplitude, peak)

    def _store(self, samples: Block) -> None:
        self._update_peak(samples)
        self.sample_count += len(samples)
        data = np.ascontiguousarray(samples, dtype=np.float32).data.cast("B")
        if self._file is None:
            self._buffer += data
        else:
            self._file.write(data)


def _not_finite_error() -> Unprocessable:
    message = "The audio holds samples that are not finite (NaN or infinity)."
    return Unprocessable(message, code="non_finite_samples", param="file")
