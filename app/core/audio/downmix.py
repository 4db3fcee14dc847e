"""Mixes several channels to one without cancelling sound that is in opposite phase in two of them.

The mix is the mean of the channels. Where the mean would cancel most of the sound (a microphone with swapped wires),
the channels in opposite phase are inverted first. This is decided every 50 ms, from the correlations of the last
moments. A change is faded in, so that it makes no click. Channels that are not correlated (two speakers with a channel
each; a dead channel) are averaged as usual. This module knows nothing about files.
"""

import numpy as np
from numpy.typing import NDArray

from app.core.audio.limits import SAMPLE_RATE

Block = NDArray[np.float32]

HOP_S = 0.05
_FADE_S = 0.01
_CORRELATION_DECAY = 0.6  # from one hop to the next
# Another set of signs is taken if it keeps this many times the power.
_MIN_POWER_RATIO = 2.0
# If the mean keeps less than this share of the power that the mix keeps, the mean would have cancelled the sound.
_MAX_CANCELLED_SHARE = 0.25
# Power below which nothing can be lost (-80 dBFS).
_SILENCE_POWER = 1e-8


class Downmixer:
    """Mixes one stream.

    Args:
        channels: Number of channels.
        rate: Sampling rate in Hz.

    Attributes:
        inverted_seconds: How much of the stream the mean would have cancelled.
    """

    def __init__(self, channels: int, rate: int) -> None:
        self.inverted_seconds = 0.0
        self._channels = channels
        self._hop = max(2, round(rate * HOP_S))
        self._rate = rate
        self._fade = np.linspace(0, 1, max(1, round(rate * _FADE_S)), dtype=np.float32)[:, None]
        self._signs = np.ones(channels, np.float32)
        self._all_positive = True
        self._correlations = np.zeros((channels, channels))
        self._pending_frames = np.zeros((0, channels), np.float32)

    def mix(self, block: Block) -> Block:
        """Return the mix, shape (n,), of a block (frames, channels). The next call returns what is less than a hop."""
        if self._channels == 1:
            return block[:, 0]
        frames = np.concatenate([self._pending_frames, block]) if len(self._pending_frames) else block
        whole = len(frames) // self._hop * self._hop
        self._pending_frames = frames[whole:].copy()
        return self._mix_hops(frames[:whole].reshape(-1, self._hop, self._channels))

    def flush(self) -> Block:
        """Return the mix of the last frames, which were less than a hop."""
        if not len(self._pending_frames):
            return np.zeros(0, np.float32)
        rest, self._pending_frames = self._pending_frames, self._pending_frames[:0]
        return self._mix_hops(rest[None])

    def _mix_hops(self, hops: NDArray[np.float32]) -> Block:
        """Return the mix of hops, shape (n, frames, channels), as one array."""
        # The correlations are those of differences, so that a rumble or an offset that all channels share does not
        # outweigh the speech. The rate is about 16 kHz at most: differences at a higher rate show what nobody hears.
        steps = np.diff(hops[:, :: max(1, self._rate // SAMPLE_RATE)], axis=1)
        correlations = np.matmul(steps.transpose(0, 2, 1), steps).astype(np.float64)
        mean: Block = hops.mean(axis=2, dtype=np.float32)
        if self._all_positive and not self._may_cancel(correlations):
            self._update_correlations(correlations)
            return mean.reshape(-1)
        for number, one in enumerate(correlations):
            self._correlations = _CORRELATION_DECAY * self._correlations + one
            before, self._signs = self._signs, self._best_signs()
            self._all_positive = bool((self._signs > 0).all())
            if not (self._all_positive and (before > 0).all()):
                mean[number] = self._mix_inverted(hops[number], before)
                self._count_inverted(one, hops.shape[1])
        return mean.reshape(-1)

    def _may_cancel(self, correlations: NDArray[np.float64]) -> bool:
        """Return whether other signs could keep more power in any hop."""
        most = np.sqrt(np.maximum(np.diagonal(correlations, axis1=1, axis2=2), 0)).sum(axis=1) ** 2
        kept = correlations.sum(axis=(1, 2))
        return bool((kept * _MIN_POWER_RATIO < most).any())

    def _update_correlations(self, correlations: NDArray[np.float64]) -> None:
        for one in correlations[-8:]:  # older hops have decayed
            self._correlations = _CORRELATION_DECAY * self._correlations + one

    def _best_signs(self) -> NDArray[np.float32]:
        """Return the signs that keep the most power: the present ones, unless others keep much more."""
        found = self._correlations
        signs = np.zeros(self._channels)
        for channel in np.argsort(-np.diagonal(found)):
            signs[channel] = 1.0 if signs @ found[channel] >= 0 else -1.0
        if signs @ found @ signs <= _MIN_POWER_RATIO * max(float(self._signs @ found @ self._signs), 0.0):
            return self._signs
        # Of these signs and their opposite, which keep the same power, take the one nearer to the present signs.
        nearer = float(np.sum(signs * self._signs * np.diagonal(found)))
        return (signs if nearer >= 0 else -signs).astype(np.float32)

    def _mix_inverted(self, hop: Block, before: NDArray[np.float32]) -> Block:
        if (self._signs == before).all():
            weights = self._signs[None]
        else:
            weights = np.repeat(self._signs[None], len(hop), axis=0)
            faded = self._fade[: len(hop)]
            weights[: len(faded)] = before + (self._signs - before) * faded
        mixed: Block = (hop * weights).mean(axis=1, dtype=np.float32)
        return mixed

    def _count_inverted(self, one: NDArray[np.float64], frames: int) -> None:
        mean, kept = float(one.sum()), float(self._signs @ one @ self._signs)
        loud = kept / self._channels**2 / frames > _SILENCE_POWER
        if loud and mean < _MAX_CANCELLED_SHARE * kept:
            self.inverted_seconds += frames / self._rate
