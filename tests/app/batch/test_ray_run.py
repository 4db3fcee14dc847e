"""A batch on a cluster of several machines: nothing lost and nothing doubled when one dies, more workers do more."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.batch.inputs import list_recordings
from app.batch.output_folder import OutputFolder
from app.batch.ray_run import BatchFailed, Workers, summarize_archive
from app.batch.rows import WORKER_DIED, Row
from app.batch.summarizer import BatchWork
from app.cli import main
from app.models.model_source import ModelSource
from app.settings import Settings
from tests.app.batch.scripted_models import POISON_SECONDS, fragile_source, serial_source
from tests.app.ray_cluster import RAY_MARKS, add_machine, kill_machine, local_cluster
from tests.recordings import encode_audio, speech, speech_wav

pytestmark = RAY_MARKS

SECONDS_EACH = 0.5
SUMMARY = "A scripted summary of what was said."


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster whose first machine has no room for workers."""
    with local_cluster(head_cpus=0) as running:
        yield running


def write_archive(folder: Path, count: int) -> Path:
    folder.mkdir()
    recording = speech_wav()
    for number in range(count):
        (folder / f"{number:03}.wav").write_bytes(recording)
    return folder


def run_batch(
    archive: Path, out: Path, source: ModelSource, workers: Workers, on_row: Any = lambda row: None, parallel: int = 4
) -> list[Row]:
    """Summarize an archive and return the rows in the folder, in the order of their recordings."""
    import ray

    settings = Settings(model="scripted", decoder={"workers": 1})  # type: ignore[arg-type]
    uris = list_recordings(str(archive)).uris
    with OutputFolder(str(out), "jsonl", {}) as folder:
        waiting = [uri for uri in uris if uri not in folder.finished]
        summarize_archive(ray, waiting, BatchWork(settings, [], parallel), source, workers, folder, on_row)
    rows = [json.loads(line) for part in out.glob("part-*.jsonl") for line in part.read_text().splitlines()]
    assert sorted(row["uri"] for row in rows) == uris  # each once
    return sorted(rows, key=lambda row: row["uri"])


def rate(rows: list[Row]) -> float:
    """Recordings per second between the first row and the last."""
    times = sorted(row["finished_at"] for row in rows)
    return (len(times) - 1) / (times[-1] - times[0])


def test_a_machine_dies_and_no_recording_is_lost_or_doubled(cluster: Any, tmp_path: Path) -> None:
    add_machine(cluster, 1)
    doomed = add_machine(cluster, 1)
    archive = write_archive(tmp_path / "archive", 40)
    workers = Counter[str]()

    def kill_in_the_middle(row: Row) -> None:
        workers["rows"] += 1
        if workers["rows"] == 12:
            kill_machine(cluster, doomed)

    rows = run_batch(archive, tmp_path / "out", serial_source(SECONDS_EACH), Workers(2, 2), kill_in_the_middle)
    assert all(row["summary"] == SUMMARY for row in rows)
    assert all(row["error_code"] is None for row in rows)


def test_two_workers_do_more_than_one(cluster: Any, tmp_path: Path) -> None:
    add_machine(cluster, 1)
    archive = write_archive(tmp_path / "archive", 24)
    alone = rate(run_batch(archive, tmp_path / "1", serial_source(SECONDS_EACH), Workers(1, 1)))
    together = rate(run_batch(archive, tmp_path / "2", serial_source(SECONDS_EACH), Workers(2, 2)))
    assert together > 1.4 * alone, (alone, together)


def test_a_recording_that_ends_the_engine_each_time_gets_its_error(cluster: Any, tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "archive", 5)
    samples = speech()
    long = samples.tolist() * int(2 + POISON_SECONDS * 16_000 / len(samples))
    import numpy as np

    (archive / "002-poison.wav").write_bytes(encode_audio(np.array(long, np.float32)))
    rows = run_batch(archive, tmp_path / "out", fragile_source(), Workers(1, 1))
    errors = {row["uri"].rsplit("/", 1)[-1]: row["error_code"] for row in rows if row["error_code"]}
    assert errors == {"002-poison.wav": WORKER_DIED}


def test_a_model_that_cannot_be_loaded_ends_the_batch(cluster: Any, tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "archive", 1)
    with pytest.raises(BatchFailed, match="no_such_engine"):
        run_batch(archive, tmp_path / "out", _find_unusable, Workers(1, 1))


def _find_unusable(name: str, urls: Any) -> Any:
    raise ValueError("no_such_engine")


def test_the_command_starts_a_ray_of_its_own_and_goes_on_where_it_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    import ray

    ray.shutdown()  # the cluster of the other tests, which have run
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    archive = write_archive(tmp_path / "archive", 3)
    (archive / "broken.wav").write_bytes(b"this is no recording")
    out = tmp_path / "out"
    command = ["batch", str(archive), "--out", str(out), "--model", "scripted", "--style", "bullets", "--json"]
    assert main(command) == 6
    told = capsys.readouterr()
    assert told.out == ""
    assert "4 recordings" in told.err
    assert "1 of the rows there are errors" in told.err
    import pyarrow.dataset as dataset

    rows = dataset.dataset(str(out), format="parquet").to_table().to_pylist()
    by_name = {os.path.basename(row["uri"]): row for row in rows}
    assert sorted(by_name) == ["000.wav", "001.wav", "002.wav", "broken.wav"]
    assert by_name["broken.wav"]["error_code"] == "unsupported_audio"
    assert by_name["000.wav"]["summary"] == SUMMARY
    assert json.loads(by_name["000.wav"]["answer"])["style"]["style"] == "bullets"
    assert by_name["000.wav"]["audio_seconds"] > 3
    (archive / "broken.wav").write_bytes(speech_wav())
    assert main([*command, "--retry-errors"]) == 0
    assert "3 of 4 recordings have a row already" in capsys.readouterr().err
    rows = dataset.dataset(str(out), format="parquet").to_table().to_pylist()
    assert [row["error_code"] for row in rows] == [None] * 4
