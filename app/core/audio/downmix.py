"""Many channels → one, without losing what stands in opposite phase in two of them.

The mix is the channels' mean. Where that would cancel most of what they hold (a microphone wired the wrong way round),
the channels in opposite phase are inverted first. This is decided anew for every 50 ms, from the last moments'
correlations; a change is faded in, so that it does not click. What is not correlated (two speakers, each in a channel
of their own; a dead channel) is averaged as ever. Knows nothing about files.
"""

import numpy as np
from numpy.typing import NDArray

from app.core.audio.limits import SAMPLE_RATE

Block = NDArray[np.float32]

HOP_S = 0.05
_FADE_S = 0.01
_CORRELATION_DECAY = 0.6  # of the correlations, from one hop to the next
# By how much more power another set of signs has to keep before it is taken.
_MIN_POWER_RATIO = 2.0
# Where the mean keeps less than this share of the power that the mix keeps, it would have cancelled the sound.
_MAX_CANCELLED_SHARE = 0.25
# Power below which nothing was lost (-80 dBFS).
_SILENCE_POWER = 1e-8


class Downmixer:
    """Mixes one stream of `channels` at `rate` Hz. inverted_seconds: what of it the mean would have lost."""

    def __init__(self, channels: int, rate: int) -> None:
        self.inverted_seconds = 0.0
        self._channels = channels
        self._hop = max(2, round(rate * HOP_S))
        self._rate = rate
        self._fade = np.linspace(0, 1, max(1, round(rate * _FADE_S)), dtype=np.float32)[:, None]
        self._signs = np.ones(channels, np.float32)
        self._all_positive = True  # all signs are positive
        self._correlations = np.zeros((channels, channels))
        self._pending_frames = np.zeros((0, channels), np.float32)

    def mix(self, block: Block) -> Block:
        """The mix (n,) of a block (frames, channels); what is less than a hop comes with the next one."""
        if self._channels == 1:
            return block[:, 0]
        frames = np.concatenate([self._pending_frames, block]) if len(self._pending_frames) else block
        whole = len(frames) // self._hop * self._hop
        self._pending_frames = frames[whole:].copy()
        return self._mix_hops(frames[:whole].reshape(-1, self._hop, self._channels))

    def flush(self) -> Block:
        """The mix of what is left."""
        if not len(self._pending_frames):
            return np.zeros(0, np.float32)
        rest, self._pending_frames = self._pending_frames, self._pending_frames[:0]
        return self._mix_hops(rest[None])

    def _mix_hops(self, hops: NDArray[np.float32]) -> Block:
        """The mix of hops (n, frames, channels), one after another."""
        # Of differences: a rumble or an offset that all channels share does not outweigh the speech that cancels. At no
        # more than about 16 kHz: differences of a higher rate would be of what nobody hears.
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
        """Whether in any hop the signs could matter."""
        most = np.sqrt(np.maximum(np.diagonal(correlations, axis1=1, axis2=2), 0)).sum(axis=1) ** 2
        kept = correlations.sum(axis=(1, 2))
        return bool((kept * _MIN_POWER_RATIO < most).any())

    def _update_correlations(self, correlations: NDArray[np.float64]) -> None:
        for one in correlations[-8:]:  # older ones do not count
            self._correlations = _CORRELATION_DECAY * self._correlations + one

    def _best_signs(self) -> NDArray[np.float32]:
        """Signs that keep as much power as there is to keep: those there are, if no others keep much more."""
        found = self._correlations
        signs = np.zeros(self._channels)
        for channel in np.argsort(-np.diagonal(found)):
            signs[channel] = 1.0 if signs @ found[channel] >= 0 else -1.0
        if signs @ found @ signs <= _MIN_POWER_RATIO * max(float(self._signs @ found @ self._signs), 0.0):
            return self._signs
        # Of the two that are each other's opposite, the one nearer to what was: only there can a fade be heard.
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
