"""A WAV file of floats holds the very samples, and equal samples are equal bytes."""

import io

import numpy as np
import pytest
import soundfile

from app.core.audio.wav import encode_float_wav


@pytest.mark.parametrize("count", [1, 3, 16_000, 51_472])
def test_it_is_read_as_what_was_written(count: int) -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, count).astype(np.float32)
    samples[0] = np.float32(1e-40)  # a denormal number: lost wherever anything is computed
    with soundfile.SoundFile(io.BytesIO(encode_float_wav(samples))) as file:
        assert (file.samplerate, file.channels, file.format, file.subtype) == (16_000, 1, "WAV", "FLOAT")
        read = file.read(dtype="float32")
    assert read.tobytes() == samples.tobytes()


def test_equal_samples_are_equal_bytes_however_they_lie_in_memory() -> None:
    samples = np.linspace(-1, 1, 200, dtype=np.float32)
    assert encode_float_wav(samples[::2]) == encode_float_wav(samples[::2].copy())
