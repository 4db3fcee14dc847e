"""Where decoded blocks go: checked, mixed to one channel, resampled to 16 kHz, kept. Knows nothing about containers.

Memory is that of the 16 kHz result (64 kB a second) plus one block, whatever the source's rate and channels.
"""

import numpy as np
import soxr
from numpy.typing import NDArray

from app.audio.limits import SAMPLE_RATE, DecodeLimits
from app.errors import Unprocessable

Samples = NDArray[np.float32]


class Sink:
    """Collects one recording.

    seconds: of the source so far. rate, channels: of the source as first met (they may change within a file).
    peak: largest magnitude so far, in the source and in the result.
    """

    def __init__(self, limits: DecodeLimits) -> None:
        self.limits = limits
        self.seconds = 0.0
        self.rate = 0
        self.channels = 0
        self.peak = 0.0
        self._source_samples = 0
        self._current_rate = 0
        self._resampler: soxr.ResampleStream | None = None
        # Grows in place; a list of arrays would need everything twice at the end.
        self._kept = bytearray()

    def write(self, block: Samples, rate: int) -> None:
        """Take a block (frames, channels) at `rate` Hz; raises `TooLarge` or `Unprocessable` past a bound."""
        frames, channels = block.shape
        self._start(rate, channels)
        self._source_samples += frames * channels
        self.limits.check_samples(self._source_samples)
        self._lengthen(frames / rate)
        peak = float(np.max(np.abs(block), initial=0.0))
        if not np.isfinite(peak):
            raise _not_finite()
        self.peak = max(self.peak, peak)
        self._resample(block[:, 0] if channels == 1 else block.mean(axis=1, dtype=np.float32))

    def silence(self, seconds: float) -> None:
        """Take `seconds` of silence, at the rate of the block before it."""
        self._lengthen(seconds)
        frames = round(seconds * self._current_rate)
        while frames > 0:
            count = min(frames, self._current_rate)
            self._resample(np.zeros(count, np.float32))
            frames -= count

    def finish(self) -> Samples:
        """The recording: float32 (n,), 16 kHz, finite, as loud as the source (its peak may be above 1)."""
        self._flush()
        samples: Samples = np.frombuffer(self._kept, dtype=np.float32)
        peak = max(float(samples.max(initial=0.0)), -float(samples.min(initial=0.0)))
        if not np.isfinite(peak):
            raise _not_finite()
        self.peak = max(self.peak, peak)
        return samples

    def _start(self, rate: int, channels: int) -> None:
        if rate == self._current_rate and channels == self.channels:
            return
        self.limits.check_source(rate, channels)
        if not self.rate:
            self.rate, self.channels = rate, channels
        if rate != self._current_rate:
            self._flush()
            self._current_rate = rate
            needed = rate != SAMPLE_RATE
            self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32") if needed else None

    def _lengthen(self, seconds: float) -> None:
        self.seconds += seconds
        self.limits.check_seconds(self.seconds, whole=False)

    def _resample(self, mono: Samples) -> None:
        self._keep(mono if self._resampler is None else self._resampler.resample_chunk(mono))

    def _flush(self) -> None:
        if self._resampler is not None:
            self._keep(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))

    def _keep(self, samples: Samples) -> None:
        self._kept += np.ascontiguousarray(samples, dtype=np.float32).data.cast("B")


def _not_finite() -> Unprocessable:
    message = "The audio holds samples that are not finite (NaN or infinity)."
    return Unprocessable(message, code="non_finite_samples", param="file")
