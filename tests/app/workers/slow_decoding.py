"""Stands in for decoding that takes long. A module of its own, since a new worker imports it."""

import time

import numpy as np

from app.core.audio.decode import DecodedAudio
from app.core.audio.limits import DecodeLimits
from app.workers import decoder_pool
from app.workers.shared_files import SharedFilesTicket, map_recording

_DECODE = decoder_pool._decode_in_worker


def spin_or_work(ticket: SharedFilesTicket, limits: DecodeLimits) -> DecodedAudio:
    """Decode, but of b"spin0.5", take half a second of processor time."""
    with map_recording(ticket) as recording:
        asked = bytes(recording[:16])
    if not asked.startswith(b"spin"):
        return _DECODE(ticket, limits)
    seconds = float(asked.removeprefix(b"spin").strip(b"\0"))
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass
    return DecodedAudio(np.zeros(0, np.float32), "wav", 16_000, 1, seconds)
