"""Samples as a WAV file that holds the very same numbers: 32-bit float, mono, 16 kHz.

Written by hand, because libsndfile puts the time of writing into float files, and equal samples should be equal bytes.
Format: RIFF with `WAVE_FORMAT_IEEE_FLOAT` (Microsoft, "Multimedia Programming Interface and Data Specifications 1.0",
and "New Multimedia Data Types and Data Techniques" 1994 for the `fact` chunk). Knows nothing about who reads it.
"""

import struct

import numpy as np
from numpy.typing import NDArray

from app.core.audio.limits import SAMPLE_RATE

WAVE_FORMAT_IEEE_FLOAT = 3
BYTES_PER_SAMPLE = 4


def encode_float_wav(samples: NDArray[np.float32]) -> bytes:
    """The file around float32 samples, shape (n,)."""
    data = np.ascontiguousarray(samples, "<f4").tobytes()
    form = struct.pack(
        "<4sIHHIIHHH",
        b"fmt ",
        18,
        WAVE_FORMAT_IEEE_FLOAT,
        1,
        SAMPLE_RATE,
        SAMPLE_RATE * BYTES_PER_SAMPLE,
        BYTES_PER_SAMPLE,
        8 * BYTES_PER_SAMPLE,
        0,
    )
    head = b"WAVE" + form + struct.pack("<4sII", b"fact", 4, len(samples)) + struct.pack("<4sI", b"data", len(data))
    return struct.pack("<4sI", b"RIFF", len(head) + len(data)) + head + data
