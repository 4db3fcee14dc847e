"""Writes samples as a WAV file: mono, 16-bit integers or 32-bit floats. The one place that writes WAV.

The header is written here and not by libsndfile, because libsndfile puts the time of writing into files of floats, and
equal samples should be equal bytes. Format: RIFF with `WAVE_FORMAT_PCM` or `WAVE_FORMAT_IEEE_FLOAT` (Microsoft,
"Multimedia Programming Interface and Data Specifications 1.0", and "New Multimedia Data Types and Data Techniques",
1994, for the `fact` chunk). This module knows nothing about who reads the file.
"""

import struct

import numpy as np
from numpy.typing import NDArray

from app.core.audio.limits import SAMPLE_RATE

WAVE_FORMAT_PCM = 1
WAVE_FORMAT_IEEE_FLOAT = 3


def encode_wav(samples: NDArray[np.int16] | NDArray[np.float32], sample_rate: int = SAMPLE_RATE) -> bytes:
    """Return a mono WAV file that holds exactly these samples.

    Args:
        samples: int16 or float32, shape (n,). The file stores the same type.
        sample_rate: In Hz.

    Raises:
        ValueError: If the samples have another type or shape.
    """
    if samples.dtype not in (np.int16, np.float32) or samples.ndim != 1:
        raise ValueError(f"a WAV file is written from int16 or float32 (n,), not {samples.dtype} {samples.shape}")
    width = samples.dtype.itemsize
    is_float = samples.dtype == np.float32
    data = np.ascontiguousarray(samples, samples.dtype.newbyteorder("<")).tobytes()
    form = struct.pack(
        "<HHIIHH",
        WAVE_FORMAT_IEEE_FLOAT if is_float else WAVE_FORMAT_PCM,
        1,  # channel
        sample_rate,
        sample_rate * width,
        width,
        8 * width,
    )
    if is_float:
        form += struct.pack("<H", 0)  # no extension follows
    body = b"WAVE" + _chunk(b"fmt ", form)
    if is_float:
        body += _chunk(b"fact", struct.pack("<I", len(samples)))
    return _chunk(b"RIFF", body + _chunk(b"data", data))


def _chunk(name: bytes, body: bytes) -> bytes:
    """Return a RIFF chunk. Every body here has an even length, so no pad byte is needed."""
    return name + struct.pack("<I", len(body)) + body
