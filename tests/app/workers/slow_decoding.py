"""Replaces decoding by work of a given length. It is a module of its own, because new workers import it."""

import time

import numpy as np

from app.core.audio.decode import DecodedAudio
from app.core.audio.limits import DecodeLimits
from app.workers import decoder_pool
from app.workers.shared_files import SharedFilesTicket, map_recording

_DECODE = decoder_pool._decode_in_worker


def spin_or_work(ticket: SharedFilesTicket, limits: DecodeLimits) -> DecodedAudio:
    """Decode a recording, or use half a second of processor time if it is b"spin0.5"."""
    with map_recording(ticket) as recording:
        command = bytes(recording[:16])
    if not command.startswith(b"spin"):
        return _DECODE(ticket, limits)
    seconds = float(command.removeprefix(b"spin").strip(b"\0"))
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass
    return DecodedAudio(np.zeros(0, np.float32), "wav", 16_000, 1, seconds)
