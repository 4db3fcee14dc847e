"""Records out of what people have: a folder of recordings with transcripts, or a dataset with an audio column.

    speechsum-train data prepare --folder calls/ --out var/data/calls
    speechsum-train data prepare --dataset edinburghcstr/ami --split test --out var/data/ami
    speechsum-train data prepare --dataset espnet/floras --split dev --out var/data/floras
    speechsum-train data prepare --dataset NAME --text sentence --group talk --order start --out var/data/talks

In a folder every recording stands beside its transcript, of the same name and ending in `.txt`, or in a table
`metadata.csv` or `metadata.jsonl` with columns `file_name` and `text`. A dataset is one on a
hub, or a folder that `datasets` saved or reads; `--group` joins its rows to one recording (a meeting's utterances, in
the order of `--order`, what lies between them left out). AMI and FLORAS are known: their columns and license need not
be given, a copy elsewhere is read with `--like`, and their records keep the split they have there. Of others, splits
are drawn by recording. Audio is decoded as the service decodes it, to 16 kHz mono FLAC. What cannot be read, has no
transcript or is longer than `--max-seconds` is left out, and named.
"""

import argparse
import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
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


@dataclass(frozen=True)
class Layout:
    """What a dataset's columns are called, as the options of the same names say it; and its license."""

    config_name: str | None = None
    audio: str = "audio"
    text: str = "text"
    summary: str | None = None
    name: str | None = None
    language_column: str | None = None
    group: str | None = None
    order: str | None = None
    license: str = "unknown"
    keep_split: bool = False


# As their cards on the hub have it.
KNOWN = {
    "edinburghcstr/ami": Layout(
        config_name="ihm", group="meeting_id", order="begin_time", license="CC-BY-4.0", keep_split=True
    ),
    "espnet/floras": Layout(
        config_name="monolingual",
        summary="summary",
        name="id",
        language_column="language",
        license="CC-BY-3.0",
        keep_split=True,
    ),
}
SPLITS: dict[str, Split] = {"train": "train", "dev": "dev", "validation": "dev", "valid": "dev", "test": "test"}


@dataclass
class Found:
    """One recording as it was found: its parts in order, what is said in them, a summary and the language if they are
    known there.
    """

    name: str
    parts: list[bytes]
    transcript: str
    summary: str = ""
    language: str | None = None


def layout_of(options: argparse.Namespace) -> Layout:
    """The layout of the dataset that is known, what the options say over it."""
    known = KNOWN.get(options.like or options.dataset, Layout())
    given = {f.name: getattr(options, f.name) for f in fields(Layout)}
    return replace(known, **{name: value for name, value in given.items() if value is not None})


def in_folder(folder: Path, layout: Layout) -> Iterator[Found]:
    """Every recording with what a table or a text beside it says of it; with nothing, it is named later."""
    texts = {file.with_suffix(""): file for file in sorted(folder.rglob("*.txt"))}
    rows = {file: row for table in sorted(folder.rglob("metadata.*")) for file, row in _table(table, layout)}
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        if file.suffix == ".txt" or file.stem == "metadata":
            continue
        row, text = rows.get(file, {}), texts.get(file.with_suffix(""))
        yield Found(
            str(row.get(layout.name or "") or file.relative_to(folder)),
            [file.read_bytes()],
            str(row.get(layout.text) or (text.read_text(encoding="utf-8") if text else "")),
            str(row.get(layout.summary or "") or ""),
            row.get(layout.language_column or "") or None,
        )


def _table(table: Path, layout: Layout) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The files that a `metadata.csv` or `metadata.jsonl` names, and their rows."""
    with table.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines)) if table.suffix == ".csv" else [json.loads(line) for line in lines]
    for number, row in enumerate(rows, 1):
        if missing := [name for name in ("file_name", layout.text) if name not in row]:
            has = ", ".join(map(str, row))
            raise ValueError(f"{table}, row {number} has no {missing[0]!r} (--text is {layout.text}); it has {has}")
        yield table.parent / str(row["file_name"]), row


def in_dataset(options: argparse.Namespace, layout: Layout) -> Iterator[Found]:
    """The dataset's rows, or groups of them. Raises ValueError for a column that it has not."""
    from datasets import Audio, load_dataset, load_from_disk

    place = Path(options.dataset)
    if (place / "dataset_info.json").exists():
        rows: Any = load_from_disk(str(place))
    else:
        rows = load_dataset(options.dataset, layout.config_name, split=options.split)
    named = ("audio", "text", "summary", "name", "language_column", "group", "order")
    for option, column in ((name, getattr(layout, name)) for name in named):
        if column and column not in rows.features:
            flag = "--" + option.replace("_", "-")
            raise ValueError(f"{options.dataset} has no column {column!r} ({flag}); it has {', '.join(rows.features)}")
    if isinstance(rows.features[layout.audio], Audio):
        rows = rows.cast_column(layout.audio, Audio(decode=False))  # as bytes: decoding is the service's own
    if not layout.group:
        for number, row in enumerate(rows):
            yield _found(str(row[layout.name]) if layout.name else f"{options.split}-{number:06d}", [row], layout)
        return
    groups: dict[str, list[int]] = {}
    for number, key in enumerate(rows[layout.group]):
        groups.setdefault(str(key), []).append(number)
    times = list(rows[layout.order]) if layout.order else None
    for key, numbers in groups.items():
        ordered = sorted(numbers, key=times.__getitem__) if times else numbers
        yield _found(key, [rows[number] for number in ordered], layout)


def _found(name: str, rows: list[dict[str, Any]], layout: Layout) -> Found:
    """The rows as one recording."""
    first = rows[0]
    return Found(
        name,
        [_bytes(row[layout.audio]) for row in rows],
        " ".join(str(row[layout.text] or "") for row in rows),
        str(first[layout.summary] or "") if layout.summary else "",
        str(first[layout.language_column] or "") or None if layout.language_column else None,
    )


def _bytes(cell: Any) -> bytes:
    if isinstance(cell, str):
        return Path(cell).read_bytes()
    return bytes(cell["bytes"]) if cell["bytes"] else Path(cell["path"]).read_bytes()


def split_of(name: str, held: float) -> Split:
    """`test` and `dev` get a share of `held` each. By the name alone, so that nothing moves when recordings come."""
    place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64
    return "test" if place < held else "dev" if place < 2 * held else "train"


def prepared(found: Found, out: Path, options: argparse.Namespace, layout: Layout) -> Record | str:
    """The record, its audio written; or why there is none."""
    transcript = " ".join(found.transcript.split())
    if not transcript:
        return "no transcript"
    limits = DecodeLimits(max_seconds=options.max_seconds, max_bytes=1 << 40)
    try:
        pieces: list[NDArray[np.float32]] = [decode(part, limits).samples[:] for part in found.parts]
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
        split=SPLITS[options.split] if layout.keep_split else split_of(found.name, options.held_share),
        transcript=transcript,
        style=style.model_dump(mode="json", exclude_none=True),
        query=instruction(style),
        summary=" ".join(found.summary.split()),
        source=str(options.folder or options.dataset),
        recording=found.name,
        language=found.language or options.language,
        license=layout.license,
        audio=name,
        duration_s=round(len(samples) / SAMPLE_RATE, 3),
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options."""
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--folder", type=Path, help="recordings beside transcripts (.txt)")
    place.add_argument("--dataset", help="name on a hub, or a folder that `datasets` reads")
    parser.add_argument("--out", type=Path, required=True, help="folder to write: audio/, train, dev and test .jsonl")
    parser.add_argument("--like", choices=KNOWN, help="read it as this dataset is read [if that is its name]")
    parser.add_argument("--config-name", help="of the dataset")
    parser.add_argument("--split", default="train", help="of the dataset")
    parser.add_argument("--audio", help="column of the recordings [audio]")
    parser.add_argument("--text", help="column of the transcripts [text]")
    parser.add_argument("--summary", help="column of summaries, if there is one")
    parser.add_argument("--name", help="column of the recordings' names [their numbers]")
    parser.add_argument("--language-column", help="column of the language spoken, if there is one")
    parser.add_argument("--group", help="column whose equal values belong to one recording")
    parser.add_argument("--order", help="column by which the rows of one recording are ordered")
    parser.add_argument("--max-seconds", type=float, default=1800, help="longest recording taken")
    parser.add_argument("--held-share", type=float, default=0.05, help="share of recordings for dev, and for test")
    parser.add_argument("--language", default="en", help="BCP 47 tag of what is said")
    parser.add_argument("--license", help="what the recordings may be used for [unknown]")
    parser.add_argument(
        "--keep-split",
        action=argparse.BooleanOptionalAction,
        help="records keep the split of the dataset (validation is dev) [only of datasets that are known]",
    )
    parser.add_argument("--limit", type=int, default=0, help="only the first so many recordings")


def run(options: argparse.Namespace) -> int:
    """Write OUT/{train,dev,test}.jsonl and report.json; 1 if nothing could be used."""
    (options.out / "audio").mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[Record]] = {"train": [], "dev": [], "test": []}
    left: dict[str, str] = {}
    layout = layout_of(options)
    if layout.keep_split and options.split not in SPLITS:
        raise ValueError(f"--split {options.split} is none of {', '.join(SPLITS)}: with --no-keep-split it is drawn")
    source = in_folder(options.folder, layout) if options.folder else in_dataset(options, layout)
    for number, found in enumerate(source):
        if options.limit and number >= options.limit:
            break
        made = prepared(found, options.out, options, layout)
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
