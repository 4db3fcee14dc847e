"""Make records from a folder of recordings with transcripts, or from a dataset with an audio column.

    speechsum-train data prepare --folder calls/ --out var/data/calls
    speechsum-train data prepare --dataset edinburghcstr/ami --split test --out var/data/ami
    speechsum-train data prepare --dataset espnet/floras --split dev --out var/data/floras
    speechsum-train data prepare --dataset NAME --text sentence --group talk --order start --out var/data/talks

In a folder, the transcript of a recording is a file beside it with the same name and the suffix `.txt`, or a row of a
table `metadata.csv`, `.tsv` or `.jsonl` with the columns `file_name` and `text`. A dataset is one on a hub, a folder
that `datasets` saved or can read, or a Parquet file. `--group` joins rows to one recording (the utterances of a
meeting, in the order of `--order`, without the audio between them). AMI and FLORAS are known datasets: their columns
and license need not be given, a copy elsewhere is read with `--like`, and their records keep the dataset's split. For
other sources the split of each recording is drawn. Audio is decoded as the service decodes it, and written as 16 kHz
mono FLAC.

A bad recording does not end the run. A recording is left out if it cannot be read, is damaged, blank or without speech,
has no transcript, holds control tokens of a chat template, or is longer than `--max-seconds`; it is printed with the
reason, and listed in `report.json`. Records are written as they are made. A run that is started again with the same
options and folder continues: recordings that are done and have not changed at their source are not decoded again, and
those that were left out are tried again.
"""

import argparse
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from app.core.audio.decode import SAMPLE_RATE, decode
from app.core.audio.limits import DecodeLimits
from app.core.errors import ServiceError
from app.core.prompts import Style, instruction
from training.data.audio import damage_warnings, has_speech, is_blank, map_file
from training.data.prepare_progress import Progress
from training.data.record import Record, Split
from training.data.sources import SourceRecording, UnusableRecording, dataset_recordings, folder_recordings
from training.data.text_files import escape_unprintable, find_control_token, text_problem
from training.runtime.path_problems import read_error_text


@dataclass(frozen=True)
class Layout:
    """The names of a dataset's columns, as given by the options of the same names, and its license."""

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


# From the dataset cards on the hub.
KNOWN_DATASETS = {
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


def dataset_layout(options: argparse.Namespace) -> Layout:
    """Return the layout of the known dataset, or the default layout; the options override it."""
    known = KNOWN_DATASETS.get(options.like or options.dataset, Layout())
    given = {f.name: getattr(options, f.name) for f in fields(Layout)}
    return replace(known, **{name: value for name, value in given.items() if value is not None})


def draw_split(name: str, held: float) -> Split:
    """Return the split of a recording: `test` and `dev` get a share of `held` (0 to 0.5) each.

    The split depends on the recording's name alone, so that no recording changes its split when others are added.
    """
    place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64
    return "test" if place < held else "dev" if place < 2 * held else "train"


def make_record(
    name: str, found: SourceRecording, out: Path, options: argparse.Namespace, layout: Layout, parts: Sequence[Any]
) -> Record:
    """Write the audio of a recording and return its record.

    parts: the bytes of the recording's parts, in order. Raises UnusableRecording if the recording has to be left out,
    and OSError if the audio cannot be written.
    """
    transcript, summary = " ".join(found.transcript.split()), " ".join(found.summary.split())
    if not transcript:
        raise UnusableRecording("no transcript")
    for what, text in (("transcript", transcript), ("summary", summary), ("language", found.language or "")):
        if problem := text_problem(text):
            raise UnusableRecording(f"the {what} {problem}")
        if token := find_control_token(text):
            raise UnusableRecording(f"the {what} holds the control token {token!r}")
    samples = _decode_parts(parts, options.max_seconds, options.keep_warned)
    stem = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in name)[:80]
    audio = f"audio/{stem}-{hashlib.sha256(name.encode()).hexdigest()[:8]}.flac"
    scratch = out / f"{audio}.part"  # a run that is ended while it writes leaves no half recording
    soundfile.write(scratch, samples, SAMPLE_RATE, subtype="PCM_16", format="FLAC")
    scratch.replace(out / audio)
    style = Style()
    return Record(
        id=name,
        register="prepared",
        split=SPLITS[options.split] if layout.keep_split else draw_split(name, options.held_share),
        transcript=transcript,
        style=style.model_dump(mode="json", exclude_none=True),
        query=instruction(style),
        summary=summary,
        source=escape_unprintable(str(options.folder or options.dataset)),
        recording=name,
        language=found.language or options.language,
        license=layout.license,
        audio=audio,
        duration_s=round(len(samples) / SAMPLE_RATE, 3),
    )


def _decode_parts(parts: Sequence[Any], max_seconds: float, keep_warned: bool) -> NDArray[np.float32]:
    """Decode the parts as the service does, and return their samples, joined. Raises UnusableRecording for what the
    service would refuse and, unless `keep_warned`, for what it would warn about.
    """
    limits = DecodeLimits(max_seconds=max_seconds, max_bytes=1 << 40, setting_names={"max_seconds": "--max-seconds"})
    pieces: list[NDArray[np.float32]] = []
    for part in parts:
        if not len(part):
            raise UnusableRecording("the audio has no bytes")
        try:
            decoded = decode(part, limits)
        except ServiceError as error:
            raise UnusableRecording(error.message) from error
        warnings = damage_warnings(decoded.warnings)
        if warnings and not keep_warned:
            raise UnusableRecording(" ".join(warnings))
        pieces.append(decoded.samples[:])
    samples = np.concatenate(pieces)
    if len(samples) > max_seconds * SAMPLE_RATE:
        raise UnusableRecording(f"{len(samples) / SAMPLE_RATE:.0f} s in all, the most is {max_seconds:g}")
    if is_blank(samples):
        raise UnusableRecording("the recording is silent")
    if not has_speech(samples):
        raise UnusableRecording("the recording holds no speech")
    return samples


def _call_with_bytes(parts: Sequence[bytes | Path], use: Callable[[list[Any]], Any]) -> Any:
    """Call `use` with the bytes of all parts, and return its result. Raises UnusableRecording for a file that cannot be
    read.
    """
    from contextlib import ExitStack

    with ExitStack() as stack:
        data: list[Any] = []
        for part in parts:
            if isinstance(part, bytes):
                data.append(part)
                continue
            try:
                if part.exists() and not part.is_file():
                    raise UnusableRecording("is not a regular file")
                data.append(stack.enter_context(map_file(part)))
            except (OSError, ValueError) as error:
                if isinstance(error, UnusableRecording):
                    raise
                raise UnusableRecording(read_error_text(error) if isinstance(error, OSError) else str(error)) from error
        return use(data)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `data prepare`."""
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--folder", type=Path, help="recordings beside transcripts (.txt)")
    place.add_argument("--dataset", help="name on a hub, a folder that `datasets` reads, or a Parquet file")
    parser.add_argument("--out", type=Path, required=True, help="folder to write: audio/, train, dev and test .jsonl")
    parser.add_argument(
        "--like", choices=KNOWN_DATASETS, help="read the dataset as this one is read [if that is its name]"
    )
    parser.add_argument("--config-name", help="name of the dataset's configuration")
    parser.add_argument("--split", default="train", help="split of the dataset to read")
    parser.add_argument("--audio", help="column of the recordings [audio]")
    parser.add_argument("--text", help="column of the transcripts [text]")
    parser.add_argument("--summary", help="column of summaries, if there is one")
    parser.add_argument("--name", help="column of the recordings' names [their numbers]")
    parser.add_argument("--language-column", help="column of the spoken language, if there is one")
    parser.add_argument("--group", help="column: rows with the same value are joined to one recording")
    parser.add_argument("--order", help="column by which the rows of one recording are ordered")
    parser.add_argument("--max-seconds", type=float, default=1800, help="leave out longer recordings")
    parser.add_argument(
        "--keep-warned", action="store_true", help="keep recordings that the service reads with a warning"
    )
    parser.add_argument(
        "--held-share", type=float, default=0.05, help="share of the recordings for each of dev and test"
    )
    parser.add_argument("--language", default="en", help="BCP 47 tag of the spoken language")
    parser.add_argument("--license", help="license of the recordings [unknown]")
    parser.add_argument(
        "--keep-split",
        action=argparse.BooleanOptionalAction,
        help="records keep the split of the dataset (validation becomes dev) [only of known datasets]",
    )
    parser.add_argument("--limit", type=int, default=0, help="read only the first so many recordings; 0 reads all")


def run(options: argparse.Namespace) -> int:
    """Run `data prepare`: write OUT/{train,dev,test}.jsonl and OUT/report.json. Return 1 if no recording is usable."""
    layout = dataset_layout(options)
    if layout.keep_split and options.split not in SPLITS:
        raise ValueError(
            f"--split {options.split} is not one of {', '.join(SPLITS)}; --no-keep-split draws the records' splits"
        )
    source = folder_recordings(options.folder, layout) if options.folder else dataset_recordings(options, layout)
    (options.out / "audio").mkdir(parents=True, exist_ok=True)
    same = {f.name: getattr(layout, f.name) for f in fields(Layout)} | {
        name: str(getattr(options, name))
        for name in ("folder", "dataset", "split", "max_seconds", "keep_warned", "held_share", "language")
    }
    progress = Progress(options.out, same)
    left: dict[str, str] = {}
    names: set[str] = set()

    def take(name: str, found: SourceRecording, data: list[Any]) -> None:
        key = progress.key([found.transcript, found.summary, found.language], data)
        if not progress.reuse_record(name, key):
            progress.add(make_record(name, found, options.out, options, layout, data), key)

    for number, (name, read) in enumerate(source):
        if options.limit and number >= options.limit:
            break
        try:
            if name in names:
                raise UnusableRecording("another recording has this name")
            names.add(name)
            found = read()
            _call_with_bytes(found.parts, partial(take, name, found))
        except UnusableRecording as error:
            shown = name if name not in left else f"{name} ({number + 1})"
            left[shown] = escape_unprintable(str(error))
            print(f"{shown}: left out: {left[shown]}", flush=True)
    rows = progress.finish()
    hours = sum(record.duration_s or 0 for records in rows.values() for record in records) / 3600
    report = {name: len(records) for name, records in rows.items()} | {"hours": round(hours, 3), "left_out": left}
    (options.out / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps({**report, "left_out": len(left)}))
    return 0 if any(rows.values()) else 1
