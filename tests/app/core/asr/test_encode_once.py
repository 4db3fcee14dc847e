"""With a real multilingual Whisper: each window is encoded once, and the text is the same as without that."""

from typing import Any

import numpy as np
import pytest
from faster_whisper import WhisperModel

from app.core.asr.encode_once import EncodeOnceModel
from model_repo.parts import fetch_part
from tests.recordings import librivox_speech


@pytest.fixture(scope="module")
def model() -> EncodeOnceModel:
    folder = str(fetch_part("whisper-base-ct2"))
    return EncodeOnceModel(folder, device="cpu", compute_type="int8", cpu_threads=1)


@pytest.fixture
def frame_counts(model: EncodeOnceModel, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of frames of each window that is really encoded."""
    frames: list[int] = []
    encode = WhisperModel.encode

    def count(self: WhisperModel, features: Any) -> Any:
        frames.append(features.shape[-1])
        return encode(self, features)

    monkeypatch.setattr(WhisperModel, "encode", count)
    return frames


def transcribe(model: WhisperModel, samples: Any, **options: Any) -> tuple[str, str]:
    segments, info = model.transcribe(samples, beam_size=1, temperature=0.0, **options)
    return "".join(segment.text for segment in segments), info.language


def test_a_window_is_encoded_once_and_reads_the_same(model: EncodeOnceModel, frame_counts: list[int]) -> None:
    samples = librivox_speech()[: 4 * 16_000]
    text, language = transcribe(model, samples)
    assert frame_counts == [3000]
    assert language == "en"
    model.forget()
    assert transcribe(model, samples, language="en")[0] == text, "without the detection of a language"
    assert frame_counts == [3000, 3000], "nothing was kept"


def test_other_audio_is_encoded_anew(model: EncodeOnceModel, frame_counts: list[int]) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (2, 80, 3000)).astype(np.float32)
    outputs = [np.array(model.encode(one)) for one in noise]
    assert len(frame_counts) == 2
    assert not np.array_equal(*outputs)
