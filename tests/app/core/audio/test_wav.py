"""A WAV file holds the very samples that were written, and equal samples give equal bytes."""

import io
import wave
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from app.core.audio.wav import encode_wav


@pytest.mark.parametrize("count", [1, 3, 16_000, 51_472])
def test_floats_are_read_as_they_were_written(count: int) -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, count).astype(np.float32)
    samples[0] = np.float32(1e-40)  # a denormal number: lost wherever anything is computed
    with soundfile.SoundFile(io.BytesIO(encode_wav(samples))) as file:
        assert (file.samplerate, file.channels, file.format, file.subtype) == (16_000, 1, "WAV", "FLOAT")
        read = file.read(dtype="float32")
    assert read.tobytes() == samples.tobytes()


@pytest.mark.parametrize("count", [0, 1, 3, 16_000])
def test_16_bit_files_are_those_of_the_standard_library(count: int) -> None:
    samples = np.random.default_rng(0).integers(-32_768, 32_768, count).astype(np.int16)
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8_000)
        writer.writeframes(samples.tobytes())
    assert encode_wav(samples, 8_000) == file.getvalue()


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_equal_samples_are_equal_bytes_however_they_lie_in_memory(dtype: Any) -> None:
    samples: NDArray[Any] = np.linspace(-1, 1, 200).astype(dtype)
    assert encode_wav(samples[::2]) == encode_wav(samples[::2].copy())


@pytest.mark.parametrize("samples", [np.zeros(3), np.zeros((3, 1), np.float32), np.zeros(3, np.int32)])
def test_other_types_and_shapes_are_refused(samples: NDArray[Any]) -> None:
    with pytest.raises(ValueError, match="int16 or float32"):
        encode_wav(samples)
