from dataclasses import replace
from pathlib import Path

import pytest
from faster_whisper import WhisperModel

from tests.recordings import speech_wav
from tests.training.tiny_checkpoints import record
from training.eval.ablations import silent_records
from training.eval.transcribe import transcribe


async def test_whisper_hears_what_is_said_once_a_recording_and_nothing_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked: list[int] = []
    original = WhisperModel.transcribe

    def counting(self: WhisperModel, samples: object, **how: object) -> object:
        worked.append(1)
        return original(self, samples, **how)

    monkeypatch.setattr(WhisperModel, "transcribe", counting)
    (tmp_path / "clip.wav").write_bytes(speech_wav())
    row = record(1, tmp_path, audio=str(tmp_path / "clip.wav"), transcript="What was written down.")
    with silent_records([row]) as (quiet,):
        first, again, nothing = await transcribe([row, replace(row, id="clip-2"), quiet])
    assert "report" in first.transcript.lower()
    assert first == replace(row, transcript=first.transcript)
    assert again == replace(first, id="clip-2")
    assert nothing.transcript == ""
    assert len(worked) == 2
