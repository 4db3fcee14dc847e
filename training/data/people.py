"""Make records of people's voices with facts that were written down by hand, to evaluate natural voices.

    speechsum-train data people --out var/data/people

The command fetches two Debian packages with apt, joins telephone prompts (of Asterisk, read by Allison Smith, CC-BY-SA
3.0) into messages, adds five sentences of LibriVox, and writes OUT/records.jsonl with its audio. The repository holds
no audio. The command needs `apt-get` and `dpkg-deb`, and not root.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from training.data.audio import read_audio
from training.data.record import Record
from training.data.record_files import write_records

PACKAGES = ("asterisk-core-sounds-en-wav", "pocketsphinx-testdata")
RECORDS_FILE = Path(__file__).parent / "people.jsonl"
SAMPLE_RATE = 16_000
PAUSE_S = 0.4  # between two prompts of one message


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `data people`."""
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument(
        "--packages", type=Path, help="folder with the unpacked packages; without this option they are fetched"
    )


def run(options: argparse.Namespace) -> int:
    """Run `data people`: write the records and their audio."""
    if options.packages:
        records = build_records(options.packages, options.out)
    else:
        with tempfile.TemporaryDirectory() as scratch:
            records = build_records(unpack_packages(Path(scratch)), options.out)
    print(options.out / "records.jsonl", len(records))
    return 0


def unpack_packages(folder: Path) -> Path:
    """Download and unpack the packages under the folder, and return the folder of their files. Raises
    CalledProcessError if apt-get or dpkg-deb fails.
    """
    subprocess.run(["apt-get", "download", "--quiet", *PACKAGES], cwd=folder, check=True)
    for package in sorted(folder.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", str(package), str(folder / "files")], check=True)
    return folder / "files"


def build_records(files: Path, out: Path) -> list[Record]:
    """Write and return the records, each with a FLAC file that is joined from the files of the packages. Raises
    FileNotFoundError if one of these is missing.
    """
    (out / "audio").mkdir(parents=True, exist_ok=True)
    records = []
    for line in RECORDS_FILE.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        sounds = [files / name for name in row["extra"]["files"]]
        samples = _join_sounds(sounds)
        audio = out / "audio" / f"{row['id']}.flac"
        soundfile.write(audio, samples, SAMPLE_RATE, subtype="PCM_16")
        records.append(
            Record.from_fields(row | {"audio": str(audio), "duration_s": round(len(samples) / SAMPLE_RATE, 3)})
        )
    write_records(out / "records.jsonl", records)
    return records


def _join_sounds(sounds: list[Path]) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    parts: list[np.ndarray[tuple[int], np.dtype[np.float32]]] = []
    for sound in sounds:
        if not sound.is_file():
            raise FileNotFoundError(f"{sound} is not in the packages {', '.join(PACKAGES)}")
        samples = read_audio(Record(sound.stem, audio=str(sound)))
        parts += [np.zeros(round(PAUSE_S * SAMPLE_RATE), np.float32), samples] if parts else [samples]
    return np.concatenate(parts)
