"""Make records of people's voices with facts that were written down by hand, to evaluate natural voices.

    speechsum-train data people --out var/data/people

The recordings are sentences of LibriVox, telephone prompts in five languages that are joined to messages, scenes of
plays with several actors, speech over radio, and music and noise in which nobody speaks (`no_speech`). The command
fetches them from Debian packages with apt, and writes OUT/records.jsonl with its audio. The repository holds no audio.
The command needs `apt-get` and `dpkg-deb`, and not root.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from training.data.audio import SAMPLING_RATE
from training.data.people_sources import fetch_packages, generate_noise, read_sounds
from training.data.record import Record
from training.data.record_files import write_records

RECORDS_FILE = Path(__file__).parent / "people.jsonl"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `data people`."""
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument(
        "--packages", type=Path, help="folder with the unpacked packages; without this option they are fetched"
    )


def run(options: argparse.Namespace) -> int:
    """Run `data people`: write the records and their audio."""
    records = build_records(options.packages or fetch_packages(), options.out)
    print(options.out / "records.jsonl", len(records))
    return 0


def build_records(files: Path, out: Path, rows: Path = RECORDS_FILE) -> list[Record]:
    """Write and return the records, each with a FLAC file that is joined from the files of the packages.

    rows: the records without audio, as JSONL. `extra` says what their audio is: `files` and `sha256` (see
    `read_sounds`), of which the first `seconds` are taken if these are given; or the arguments of `generate_noise` as
    `noise`. Raises WrongSound if a file is missing or not the expected one.
    """
    (out / "audio").mkdir(parents=True, exist_ok=True)
    records = []
    for line in rows.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        samples = _record_samples(files, row["extra"])
        audio = out / "audio" / f"{row['id']}.flac"
        soundfile.write(audio, samples, SAMPLING_RATE, subtype="PCM_16")
        records.append(
            Record.from_fields(row | {"audio": str(audio), "duration_s": round(len(samples) / SAMPLING_RATE, 3)})
        )
    write_records(out / "records.jsonl", records)
    return records


def _record_samples(files: Path, source: dict[str, Any]) -> NDArray[np.float32]:
    if "noise" in source:
        return generate_noise(**source["noise"])
    samples = read_sounds(files, source["files"], source.get("sha256"))
    return samples[: round(source["seconds"] * SAMPLING_RATE)] if "seconds" in source else samples
