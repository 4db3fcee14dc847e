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
        self._fade = np.linspace(0, 1, max(1, round(rate * _FADE_S)), dtype=np.float32)
        self._signs = np.ones(channels, np.float32)
        self._correlations = np.zeros((channels, channels))
        self._pending_frames = np.zeros((channels, 0), np.float32)

    def mix(self, block: Block) -> Block:
        """Return the mix, shape (n,), of a block (frames, channels). The next call returns what is less than a hop."""
        if self._channels == 1:
            return block[:, 0]
        frames = np.concatenate([self._pending_frames, block.T], axis=1) if self._pending_frames.size else block.T
        whole = frames.shape[1] // self._hop * self._hop
        self._pending_frames = frames[:, whole:].copy()
        return self._mix_hops(frames[:, :whole].reshape(self._channels, -1, self._hop))

    def flush(self) -> Block:
        """Return the mix of the last frames, which were less than a hop."""
        if not self._pending_frames.size:
            return np.zeros(0, np.float32)
        rest, self._pending_frames = self._pending_frames, self._pending_frames[:, :0]
        return self._mix_hops(rest[:, None])

    def _mix_hops(self, hops: NDArray[np.float32]) -> Block:
        """Return the mix of hops, shape (channels, n, frames), as one array."""
        mean: Block = hops.mean(axis=0, dtype=np.float32)
        correlations = self._correlate(hops)
        recent = self._decayed_sums(correlations)
        best = _loudest_signs(recent)
        best_power = np.einsum("ni,nij,nj->n", best, recent, best)
        signs = np.empty((len(recent) + 1, self._channels), np.float32)  # of the hop before, and of each hop
        number = 0
        while True:
            signs[number:] = self._signs
            kept = np.einsum("i,nij,j->n", self._signs, recent[number:], self._signs)
            number += _first_true(best_power[number:] > _MIN_POWER_RATIO * np.maximum(kept, 0))
            if number == len(recent):
                break
            # Of these signs and their opposite, which keep the same power, take the one nearer to the present signs.
            nearer = float(np.sum(best[number] * self._signs * np.diagonal(recent[number])))
            self._signs = (best[number] if nearer >= 0 else -best[number]).astype(np.float32)
            number += 1
        self._mix_inverted(hops, mean, signs[:-1], signs[1:])
        self._count_inverted(correlations, signs[1:], hops.shape[2])
        return mean.reshape(-1)

    def _correlate(self, hops: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the correlations of the channels in each hop, shape (n, channels, channels).

        They are those of differences, so that a rumble or an offset that all channels share does not outweigh the
        speech. The rate is about 16 kHz at most: differences at a higher rate show what nobody hears.
        """
        steps = np.diff(hops[:, :, :: max(1, self._rate // SAMPLE_RATE)], axis=2)
        correlations = np.empty((hops.shape[1], self._channels, self._channels))
        for one in range(self._channels):
            for other in range(one + 1):
                found = np.einsum("nt,nt->n", steps[one], steps[other])
                correlations[:, one, other] = correlations[:, other, one] = found
        return correlations

    def _decayed_sums(self, correlations: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the correlations of each hop and what is left of those before it, and keep the last ones."""
        sums, before = np.empty_like(correlations), self._correlations
        for number, one in enumerate(correlations):
            before = sums[number] = _CORRELATION_DECAY * before + one
        self._correlations = before
        return sums

    def _mix_inverted(
        self, hops: NDArray[np.float32], mixed: Block, before: NDArray[np.float32], signs: NDArray[np.float32]
    ) -> None:
        """Write the mix of the hops that are not the mean of their channels into `mixed`, shape (n, frames).

        Args:
            hops: Shape (channels, n, frames).
            mixed: The means of all hops.
            before: The signs of the hop before each, which fade out, shape (n, channels).
            signs: The signs of each hop.
        """
        changes = (signs != before).any(axis=1)
        steady = np.flatnonzero(~changes & (signs < 0).any(axis=1))
        if len(steady):
            mixed[steady] = np.einsum("cnf,nc->nf", hops[:, steady], signs[steady]) / np.float32(self._channels)
        for number in np.flatnonzero(changes):
            hop = hops[:, number]
            weights = np.repeat(signs[number][:, None], hop.shape[1], axis=1)
            fade = self._fade[: hop.shape[1]]
            weights[:, : len(fade)] = before[number][:, None] + (signs[number] - before[number])[:, None] * fade
            mixed[number] = (hop * weights).mean(axis=0, dtype=np.float32)

    def _count_inverted(self, correlations: NDArray[np.float64], signs: NDArray[np.float32], frames: int) -> None:
        mean, kept = correlations.sum(axis=(1, 2)), np.einsum("ni,nij,nj->n", signs, correlations, signs)
        loud = kept / self._channels**2 / frames > _SILENCE_POWER
        self.inverted_seconds += int((loud & (mean < _MAX_CANCELLED_SHARE * kept)).sum()) * frames / self._rate


def _loudest_signs(correlations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return, for each hop, signs with which the channels keep the most power, shape (n, channels).

    The loudest channel is taken first, and each further one with the sign that fits those before it.
    """
    hops = np.arange(len(correlations))
    order = np.argsort(-np.diagonal(correlations, axis1=1, axis2=2), axis=1)
    signs = np.zeros(correlations.shape[:2])
    for channel in order.T:
        fits = np.einsum("ni,ni->n", signs, correlations[hops, channel])
        signs[hops, channel] = np.where(fits >= 0, 1.0, -1.0)
    return signs


def _first_true(flags: NDArray[np.bool_]) -> int:
    """Return the index of the first flag that is set, or their number."""
    return int(flags.argmax()) if flags.any() else len(flags)
