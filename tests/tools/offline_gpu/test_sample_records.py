import io
from pathlib import Path

import pytest

from tests.training.tiny_checkpoints import record
from tools.offline_gpu.sample_records import main
from training.data.record_files import read_records, write_records


def test_a_share_is_drawn_from_all_files_and_the_same_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / f"{name}.jsonl" for name in "ab"]
    for first, file in zip((0, 10), files, strict=True):
        write_records(file, [record(first + i, tmp_path) for i in range(10)])

    def drawn(number: int) -> list[str]:
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{file}\n" for file in files)))
        assert main([str(number), str(tmp_path / "out.jsonl")]) == 0
        return [row.id for row in read_records(tmp_path / "out.jsonl")]

    some = drawn(8)
    assert some == drawn(8)
    assert len(set(some)) == 8
    assert {row.id for row in read_records(files[0])} & set(some)
    assert {row.id for row in read_records(files[1])} & set(some)
    assert len(drawn(99)) == 20
