from pathlib import Path

from tests.training.tiny_checkpoints import noise, record
from tools.offline_gpu.repeat_records import QUERY, main
from training.data.audio import read_audio
from training.data.record_files import read_records


def test_what_is_said_becomes_the_answer_and_the_audio_is_still_found(tmp_path: Path) -> None:
    spoken = record(1, tmp_path, noise(0.5))
    spoken.audio = "1.wav"
    (tmp_path / "records.jsonl").write_text(spoken.to_json() + "\n")
    out = tmp_path / "elsewhere"
    out.mkdir()
    assert main([str(out / "repeats.jsonl"), str(tmp_path / "records.jsonl")]) == 0
    (asked,) = read_records(out / "repeats.jsonl")
    assert (asked.query, asked.summary) == (QUERY, spoken.transcript)
    assert len(read_audio(asked)) == 8_000


def test_without_files_it_says_how_it_is_called() -> None:
    assert main(["out.jsonl"]) == 2
