"""Each recording has exactly one row, whatever interrupts the batch, and rows are not mixed with others."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import fsspec
import pytest

from app.batch.output_folder import OutputFolder, OutputRefused
from app.batch.part_files import PART_FORMATS, FileFormat
from app.batch.rows import Row, error_row, summary_row
from app.core.errors import Unprocessable

ANSWER: dict[str, Any] = {
    "model": "m@1",
    "kind": "cascade",
    "summary": "Änna calls.",
    "structured": {"title": "Ünner"},
    "finish_reason": "stop",
    "audio_seconds": 7.5,
    "complete": True,
    "warnings": ["One."],
    "audio": {"language": "en", "speech_seconds": 6.0},
}


def good(uri: str) -> Row:
    return summary_row(uri, ANSWER, finished_at=1.0, seconds=0.5, whole=True)


def bad(uri: str) -> Row:
    error = Unprocessable("It is damaged.", code="undecodable_audio")
    return error_row(uri, "m@1", error, finished_at=1.0, seconds=0.5)


def read_rows(place: str, file_format: FileFormat) -> list[Row]:
    system, path = fsspec.core.url_to_fs(place)
    found = [one for one in system.ls(path, detail=False) if "/part-" in one]
    return [row for part in sorted(found) for row in PART_FORMATS[file_format].read(system.open(part, "rb"))]


@pytest.mark.parametrize("file_format", ["parquet", "jsonl"])
@pytest.mark.parametrize("on_disk", [True, False])
def test_a_batch_goes_on_where_it_was_interrupted(file_format: FileFormat, on_disk: bool, tmp_path: Path) -> None:
    place = str(tmp_path / "out") if on_disk else f"memory://{tmp_path.name}-{file_format}"
    with OutputFolder(place, file_format, {"model": "m@1"}, part_rows=2) as folder:
        assert [folder.add(good(uri)) for uri in ("a", "b", "a")] == [True, True, False]
        assert folder.add(bad("c"))
    with OutputFolder(place, file_format, {"model": "m@1"}) as folder:
        assert (folder.finished, folder.errors) == ({"a", "b", "c"}, 1)
        assert not folder.add(good("b"))
        assert folder.add(good("d"))
    rows = read_rows(place, file_format)
    assert sorted(row["uri"] for row in rows) == ["a", "b", "c", "d"]
    by_uri = {row["uri"]: row for row in rows}
    assert by_uri["a"] == good("a")
    assert by_uri["c"] == bad("c")
    assert json.loads(by_uri["a"]["answer"] or "") == ANSWER


def test_the_columns_have_their_types_where_all_are_null(tmp_path: Path) -> None:
    from pyarrow import parquet

    with OutputFolder(str(tmp_path), "parquet", {}) as folder:
        folder.add(bad("a"))
    (part,) = tmp_path.glob("part-*")
    types = {field.name: str(field.type) for field in parquet.read_schema(part)}
    assert (types["summary"], types["audio_seconds"], types["complete"]) == ("string", "double", "bool")


def test_a_part_is_written_when_its_oldest_row_is_old(tmp_path: Path) -> None:
    now = 0.0
    with OutputFolder(str(tmp_path), "jsonl", {}, part_seconds=30, clock=lambda: now) as folder:
        folder.add(good("a"))
        now = 29.0
        folder.add(good("b"))
        assert not list(tmp_path.glob("part-*"))
        now = 30.0
        folder.add(good("c"))
        assert len(read_rows(str(tmp_path), "jsonl")) == 3


def test_what_is_not_in_a_part_has_not_happened(tmp_path: Path) -> None:
    code = f"""
import os
from app.batch.output_folder import OutputFolder
from tests.app.batch.test_output_folder import good
with OutputFolder({str(tmp_path)!r}, "jsonl", {{}}, part_rows=2) as folder:
    [folder.add(good(uri)) for uri in "abc"]
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == -9
    with OutputFolder(str(tmp_path), "jsonl", {}) as folder:  # its lock has gone with the process
        assert folder.finished == {"a", "b"}
        assert folder.add(good("c"))
    assert sorted(row["uri"] for row in read_rows(str(tmp_path), "jsonl")) == ["a", "b", "c"]


@pytest.mark.parametrize("file_format", ["parquet", "jsonl"])
def test_errors_can_be_forgotten(file_format: FileFormat, tmp_path: Path) -> None:
    with OutputFolder(str(tmp_path), file_format, {}, part_rows=2) as folder:
        for row in (good("a"), bad("b"), bad("c"), bad("d")):
            folder.add(row)
    with OutputFolder(str(tmp_path), file_format, {}) as folder:
        assert folder.forget_errors() == 3
        assert (folder.finished, folder.errors) == ({"a"}, 0)
        assert folder.add(good("b"))
    assert sorted(row["uri"] for row in read_rows(str(tmp_path), file_format)) == ["a", "b"]


def test_rows_that_were_asked_for_otherwise_are_not_mixed(tmp_path: Path) -> None:
    with OutputFolder(str(tmp_path), "jsonl", {"model": "m@1", "fields": [("style", "bullets")]}) as folder:
        folder.add(good("a"))
    for file_format, asked, named in [
        ("jsonl", {"model": "m@2", "fields": [("style", "bullets")]}, "model was 'm@1' and is now 'm@2'"),
        ("jsonl", {"model": "m@1", "fields": []}, "fields was"),
        ("parquet", {"model": "m@1", "fields": [("style", "bullets")]}, "file_format was 'jsonl'"),
    ]:
        with pytest.raises(OutputRefused, match=named), OutputFolder(str(tmp_path), file_format, asked):  # type: ignore[arg-type]
            pass
    with OutputFolder(str(tmp_path), "jsonl", {"model": "m@1", "fields": [("style", "bullets")]}) as folder:
        assert folder.finished == {"a"}


def test_two_batches_do_not_write_to_one_folder(tmp_path: Path) -> None:
    with (
        OutputFolder(str(tmp_path), "jsonl", {}),
        pytest.raises(OutputRefused, match="Another batch"),
        OutputFolder(str(tmp_path), "jsonl", {}),
    ):
        pass
    with OutputFolder(str(tmp_path), "jsonl", {}) as folder:
        assert folder.add(good("a"))
