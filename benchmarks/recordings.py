"""Recordings to measure with: people who read aloud, or a synthesizer where those are not installed.

`make system` installs both. Knows nothing about what is measured.
"""

import io
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

Samples = NDArray[np.float32]

RATE = 16_000  # Hz
LIBRIVOX = Path("/usr/share/pocketsphinx/test/data/librivox")  # Debian's pocketsphinx-testdata: five sentences, 25 s
TEXT = (
    "Good morning, this is Anna from the workshop. The pump on line two failed on Monday at about half past nine, and "
    "we have ordered a new seal for four hundred euros. It arrives on Thursday. Please tell Martin to keep the second "
    "shift free, and call me back before noon if that does not suit you."
)


@cache
def speech() -> Samples:
    """Return speech at 16 kHz, float32, shape (n,), of at least 15 s.

    Raises:
        FileNotFoundError: if neither the recordings nor espeak-ng are installed.
    """
    if clips := sorted(LIBRIVOX.glob("*.wav")):
        return np.concatenate([soundfile.read(clip, dtype="float32")[0] for clip in clips])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "speech.wav")
        subprocess.run(["espeak-ng", "-w", file, TEXT], check=True, timeout=60)
        samples, rate = soundfile.read(file, dtype="float32")
    return np.asarray(soxr.resample(samples, rate, RATE), dtype=np.float32)


def speech_of(seconds: float) -> Samples:
    """Return so many seconds of the speech, repeated where it is shorter."""
    return np.resize(speech(), round(seconds * RATE))


def different_recordings(seconds: float, first: int = 0) -> Iterator[bytes]:
    """Yield 16-bit WAV files of the same length without end, no two of which are the same.

    Each begins elsewhere in the same speech, so that all are the same work and nothing can be answered from a cache.
    first: number of the first, so that several callers get different ones.
    """
    samples, step = speech_of(seconds), 997  # samples; a prime, so that the beginnings repeat only after all of them
    number = first
    while True:
        yield encode_wav(np.roll(samples, -number * step))
        number += 1


def encode_wav(samples: Samples, rate: int = RATE) -> bytes:
    """Return samples as a 16-bit WAV file."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()
