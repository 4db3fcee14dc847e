"""Which recordings an archive has: files of a folder, the URIs of a Parquet file, a place that is no disk."""

from pathlib import Path

import fsspec
import pyarrow as pa
import pytest
from pyarrow import parquet

from app.batch.inputs import UnusableInput, list_recordings


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def test_a_folder_is_searched_with_its_subfolders(tmp_path: Path) -> None:
    fill(tmp_path, "b.wav", "a b.mp3", "2026/c.wav", ".hidden.wav", ".trash/d.wav")
    found = list_recordings(str(tmp_path))
    assert found.uris == [f"file://{tmp_path}/{name}" for name in ("2026/c.wav", "a b.mp3", "b.wav")]
    assert list_recordings(str(tmp_path), pattern="*.mp3").uris == [f"file://{tmp_path}/a b.mp3"]


def test_the_rows_are_no_recordings(tmp_path: Path) -> None:
    fill(tmp_path, "a.wav", "out/part-1.parquet", "outer.wav")
    found = list_recordings(str(tmp_path), leave_out=str(tmp_path / "out"))
    assert found.uris == [f"file://{tmp_path}/a.wav", f"file://{tmp_path}/outer.wav"]


def test_a_single_recording(tmp_path: Path) -> None:
    assert list_recordings(str(fill(tmp_path, "a.wav") / "a.wav")).uris == [f"file://{tmp_path}/a.wav"]


def test_a_place_that_is_no_disk() -> None:
    with fsspec.open("memory://archive/calls/1.wav", "wb") as file:
        file.write(b"x")
    assert list_recordings("memory://archive").uris == ["memory:///archive/calls/1.wav"]


def write_table(path: Path, **columns: list[object]) -> str:
    parquet.write_table(pa.table(columns), path)
    return str(path)


def test_a_parquet_file_names_recordings_and_repetitions_are_counted(tmp_path: Path) -> None:
    uris = ["s3://calls/2.wav", "/srv/1.wav", "s3://calls/2.wav"]
    place = write_table(tmp_path / "list.parquet", id=[1, 2, 3], place=uris)
    found = list_recordings(place, column="place")
    assert (found.uris, found.repeated) == (["s3://calls/2.wav", "/srv/1.wav"], 1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["/a.wav", None], r"row 2 has no URI"),
        (["a.wav"], r"row 1 has 'a.wav', which is neither a URL nor an absolute path"),
        ([7], r"row 1 has no URI"),
    ],
)
def test_a_row_that_names_no_recording_is_refused(values: list[object], message: str, tmp_path: Path) -> None:
    with pytest.raises(UnusableInput, match=message):
        list_recordings(write_table(tmp_path / "list.parquet", uri=values))


def test_what_cannot_be_listed(tmp_path: Path) -> None:
    with pytest.raises(UnusableInput, match="does not exist"):
        list_recordings(str(tmp_path / "nothing"))
    with pytest.raises(UnusableInput, match=r"has no recordings that match '\*.mp3'"):
        list_recordings(str(fill(tmp_path, "a.wav")), pattern="*.mp3")
    with pytest.raises(UnusableInput, match=r"no column 'uri'. Its columns are: id, place"):
        list_recordings(write_table(tmp_path / "list.parquet", id=[1], place=["/a"]))
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 or not")
    with pytest.raises(UnusableInput, match="not a Parquet file"):
        list_recordings(str(tmp_path / "broken.parquet"))
    with pytest.raises(UnusableInput, match="nosuch"):
        list_recordings("nosuch://place")
