"""How `speechsum batch` scales with its workers: recordings per second with one worker and with two.

    python -m benchmarks.batch_scaling [--recordings 60] [--seconds-each 0.5] [--kill]

Theory. A worker is a copy of the model that is kept busy: with N workers the work takes 1/N of the time, as long as
nothing that all workers share is the limit. What they share is Ray's scheduling, the one process that writes the rows,
and here also two cores. So that the cores are no limit, the model is a stand-in that takes a fixed time for each
recording, one after the other, as a device would that each recording keeps busy; decoding and speech detection are the
real ones. The figure says how much the distribution costs, and nothing about a GPU.

The rate is counted between the first row and the last, so that loading is left out. `--kill` kills a machine in the
middle of a further run with two workers and counts the rows. The last line is JSON.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from app.batch.inputs import list_recordings
from app.batch.output_folder import OutputFolder
from app.batch.ray_run import Workers, summarize_archive
from app.batch.rows import Row
from app.batch.summarizer import BatchWork
from app.settings import Settings
from tests.app.batch.scripted_models import serial_source
from tests.app.ray_cluster import add_machine, kill_machine, local_cluster
from tests.recordings import speech_wav


def main() -> None:
    """Run the benchmark and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=int, default=60, help="number of recordings")
    parser.add_argument("--seconds-each", type=float, default=0.5, help="time of the model for each, in seconds")
    parser.add_argument("--kill", action="store_true", help="also kill a machine in the middle of a run")
    arguments = parser.parse_args()
    results: dict[str, Any] = {"recordings": arguments.recordings, "seconds_each": arguments.seconds_each}
    with tempfile.TemporaryDirectory() as folder, local_cluster(head_cpus=0) as cluster:
        archive = Path(folder, "archive")
        archive.mkdir()
        for number in range(arguments.recordings):
            (archive / f"{number:04}.wav").write_bytes(speech_wav())
        machines = [add_machine(cluster, 1) for _ in range(2)]
        print(f"{'workers':>8} {'recordings/s':>13} {'of one':>7}")
        for count in (1, 2):
            rows = run(archive, Path(folder, str(count)), count, arguments.seconds_each)
            results[f"recordings_per_second_{count}"] = rate = round(_rate(rows), 3)
            print(f"{count:>8} {rate:>13.2f} {rate / results['recordings_per_second_1']:>6.2f}x")
        results["ratio"] = round(results["recordings_per_second_2"] / results["recordings_per_second_1"], 3)
        results["ideal_per_worker"] = round(1 / arguments.seconds_each, 3)
        if arguments.kill:
            rows = run(archive, Path(folder, "killed"), 2, arguments.seconds_each, cluster, machines[1])
            uris = [row["uri"] for row in rows]
            lost = arguments.recordings - len(set(uris))
            results["killed"] = {"rows": len(uris), "lost": lost, "doubled": len(uris) - len(set(uris))}
            print(f"a machine killed in the middle: {results['killed']}")
    print(json.dumps({"benchmark": "batch_scaling", "time": int(time.time()), **results}))


def run(
    archive: Path, out: Path, workers: int, seconds_each: float, cluster: Any = None, doomed: Any = None
) -> list[Row]:
    """Summarize the archive, and return the rows that were written. doomed: a machine to kill in the middle."""
    import ray

    settings = Settings(model="scripted", log_level="error", decoder={"workers": 1})
    uris = list_recordings(str(archive)).uris
    seen = 0

    def count_row(_: Row) -> None:
        nonlocal seen
        seen += 1
        if doomed is not None and seen == len(uris) // 3:
            kill_machine(cluster, doomed)

    with OutputFolder(str(out), "jsonl", {}) as folder:
        source = serial_source(seconds_each)
        summarize_archive(ray, uris, BatchWork(settings, [], 4), source, Workers(workers, workers), folder, count_row)
    return [json.loads(line) for part in out.glob("part-*.jsonl") for line in part.read_text().splitlines()]


def _rate(rows: list[Row]) -> float:
    times = sorted(row["finished_at"] for row in rows)
    return (len(times) - 1) / (times[-1] - times[0])


if __name__ == "__main__":
    main()
