import json
from pathlib import Path

import pytest

from tests.training.tiny import noise, record
from training.corpus.record import Record
from training.gpu.try_out import main


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    folder = tmp_path_factory.mktemp("clips")
    short = {"style": "headline"}
    spoken = [noise(0.5 + 0.7 * i, seed=i) for i in range(3)]
    return [record(i, folder, spoken[i], f"Caller {i} wants {i} pumps.", style=short) for i in range(3)]


def test_the_command_writes_every_row(
    audio_folder: Path, llama_folder: Path, rows: list[Record], tmp_path: Path
) -> None:
    records = tmp_path / "held" / "records.jsonl"
    records.parent.mkdir()
    records.write_text("".join(row.to_json() + "\n" for row in rows))
    out = tmp_path / "tried.json"
    arguments = ["--model", audio_folder, "--twin", llama_folder, "--records", records, "--limit", "2", "--out", out]
    assert main([str(a) for a in arguments]) == 0
    found = json.loads(out.read_text())["held"]
    assert found.keys() == {"own", "another's", "twin", "audio_gain"}
    assert [row["id"] for row in found["own"]["rows"]] == ["clip-0", "clip-1"]
    assert found["own"]["figures"]["recordings"] == 2
    assert abs(found["audio_gain"]) > 0
