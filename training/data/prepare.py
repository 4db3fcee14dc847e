"""Records out of what people have: a folder of recordings with transcripts, or a dataset with an audio column.

    speechsum-train data prepare --folder calls/ --out var/data/calls
    speechsum-train data prepare --dataset edinburghcstr/ami --config-name ihm --split test --out var/data/ami \\
        --text text --group meeting_id --order begin_time
    speechsum-train data prepare --dataset espnet/floras --config-name monolingual --split dev --out var/data/floras \\
        --text text --summary summary

In a folder every recording stands beside its transcript, of the same name and ending in `.txt`. A dataset is one on a
hub, or a folder that `datasets` saved or reads; `--group` joins its rows to one recording (a meeting's utterances, in
the order of `--order`). Audio is decoded as the service decodes it, to 16 kHz mono FLAC. What cannot be read, has no
transcript or is longer than `--max-seconds` is left out, and named. Splits are drawn by recording.
"""

import argparse
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from app.audio.decode import SAMPLE_RATE, decode
from app.audio.limits import DecodeLimits
from app.errors import ServiceError
from app.prompts import Style, instruction
from training.corpus.record import Record, Split


@dataclass
class Found:
    """One recording as it was found: its parts in order, what is said in them, and a summary if there is one."""

    name: str
    parts: list[bytes]
    transcript: str
    summary: str = ""


def in_folder(folder: Path) -> Iterator[Found]:
    """Every recording that has a transcript beside it, or a transcript that has none: that one is named later."""
    texts = {file.with_suffix(""): file for file in sorted(folder.rglob("*.txt"))}
    for file in sorted(file for file in folder.rglob("*") if file.is_file() and file.suffix != ".txt"):
        text = texts.get(file.with_suffix(""))
        yield Found(str(file.relative_to(folder)), [file.read_bytes()], text.read_text() if text else "")


def in_dataset(options: argparse.Namespace) -> Iterator[Found]:
    """The dataset's rows, or groups of them."""
    from datasets import Audio, load_dataset, load_from_disk

    place = Path(options.dataset)
    if (place / "dataset_info.json").exists():
        rows: Any = load_from_disk(str(place))
    else:
        rows = load_dataset(options.dataset, options.config_name, split=options.split)
    if isinstance(rows.features[options.audio], Audio):
        rows = rows.cast_column(options.audio, Audio(decode=False))  # as bytes: decoding is the service's own
    if not options.group:
        for number, row in enumerate(rows):
            summary = row[options.summary] if options.summary else ""
            yield Found(f"{options.split}-{number:06d}", [_bytes(row[options.audio])], row[options.text], summary)
        return
    groups: dict[str, list[int]] = {}
    for number, key in enumerate(rows[options.group]):
        groups.setdefault(str(key), []).append(number)
    times = list(rows[options.order]) if options.order else None
    for key, numbers in groups.items():
        ordered = sorted(numbers, key=times.__getitem__) if times else numbers
        found = [rows[number] for number in ordered]
        summary = found[0][options.summary] if options.summary else ""
        parts = [_bytes(row[options.audio]) for row in found]
        yield Found(key, parts, " ".join(str(row[options.text]) for row in found), summary)


def _bytes(cell: dict[str, Any]) -> bytes:
    return bytes(cell["bytes"]) if cell["bytes"] else Path(cell["path"]).read_bytes()


def split_of(name: str, held: float) -> Split:
    """`test` and `dev` get a share of `held` each. By the name alone, so that nothing moves when recordings come."""
    place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64
    return "test" if place < held else "dev" if place < 2 * held else "train"


def prepared(found: Found, out: Path, options: argparse.Namespace) -> Record | str:
    """The record, its audio written; or why there is none."""
    transcript = " ".join(found.transcript.split())
    if not transcript:
        return "no transcript"
    limits = DecodeLimits(max_seconds=options.max_seconds, max_bytes=1 << 40)
    try:
        pieces: list[NDArray[np.float32]] = [decode(part, limits).samples for part in found.parts]
    except ServiceError as error:
        return error.message
    samples = np.concatenate(pieces)
    if len(samples) > options.max_seconds * SAMPLE_RATE:
        return f"{len(samples) / SAMPLE_RATE:.0f} s in all, the most is {options.max_seconds:g}"
    stem = "".join(c if c.isalnum() or c in "-_" else "_" for c in found.name)
    name = f"audio/{stem}-{hashlib.sha256(found.name.encode()).hexdigest()[:8]}.flac"
    soundfile.write(out / name, samples, SAMPLE_RATE, subtype="PCM_16")
    style = Style()
    return Record(
        id=found.name,
        register="prepared",
        split=split_of(found.name, options.held_share),
        transcript=transcript,
        style=style.model_dump(mode="json", exclude_none=True),
        query=instruction(style),
        summary=" ".join(found.summary.split()),
        facts=[],
        turns=[(0, transcript)],
        words=len(transcript.split()),
        language=options.language,
        license=options.license,
        audio=name,
        duration_s=round(len(samples) / SAMPLE_RATE, 3),
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options."""
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--folder", type=Path, help="recordings beside transcripts (.txt)")
    place.add_argument("--dataset", help="name on a hub, or a folder that `datasets` reads")
    parser.add_argument("--out", type=Path, required=True, help="folder to write: audio/, train, dev and test .jsonl")
    parser.add_argument("--config-name", help="of the dataset")
    parser.add_argument("--split", default="train", help="of the dataset")
    parser.add_argument("--audio", default="audio", help="column of the recordings")
    parser.add_argument("--text", default="text", help="column of the transcripts")
    parser.add_argument("--summary", help="column of summaries, if there is one")
    parser.add_argument("--group", help="column whose equal values belong to one recording")
    parser.add_argument("--order", help="column by which the rows of one recording are ordered")
    parser.add_argument("--max-seconds", type=float, default=1800, help="longest recording taken")
    parser.add_argument("--held-share", type=float, default=0.05, help="share of recordings for dev, and for test")
    parser.add_argument("--language", default="en", help="BCP 47 tag of what is said")
    parser.add_argument("--license", default="unknown", help="what the recordings may be used for")
    parser.add_argument("--limit", type=int, default=0, help="only the first so many recordings")


def run(options: argparse.Namespace) -> int:
    """Write OUT/{train,dev,test}.jsonl and report.json; 1 if nothing could be used."""
    (options.out / "audio").mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[Record]] = {"train": [], "dev": [], "test": []}
    left: dict[str, str] = {}
    source = in_folder(options.folder) if options.folder else in_dataset(options)
    for number, found in enumerate(source):
        if options.limit and number >= options.limit:
            break
        made = prepared(found, options.out, options)
        if isinstance(made, str):
            left[found.name] = made
            print(f"{found.name}: left out: {made}", flush=True)
        else:
            rows[made.split].append(made)
    for name, records in rows.items():
        (options.out / f"{name}.jsonl").write_text("".join(record.to_json() + "\n" for record in records))
    hours = sum(record.duration_s or 0 for records in rows.values() for record in records) / 3600
    report = {name: len(records) for name, records in rows.items()} | {"hours": round(hours, 3), "left_out": left}
    (options.out / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps({**report, "left_out": len(left)}))
    return 0 if any(rows.values()) else 1
