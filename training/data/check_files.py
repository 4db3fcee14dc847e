"""Check files of records: their fields, ids, texts and splits and, with `--audio`, all of the audio.

    speechsum-train data check --records train.jsonl dev.jsonl test.parquet --audio

Prints everything that is wrong, and then exits with status 1. The ids must be unique, each recording must be in one
split only, and every audio file must exist. The other requirements depend on the stage that the records are for, which
`--stage` names: `sft` (the default) needs a summary, `distill` and `pairs` need a transcript, and `dpo` needs two
different answers. No text may hold a control token of a chat template, such as `<|im_end|>`. `--audio` decodes every
file as the service does, and reports what the service would refuse or warn about: damaged, cut and blank recordings,
and recordings in which nobody speaks. What depends on a model (lengths, placeholders, context) is checked by the
recipes before they train (`training.data.check`).
"""

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from training.data.audio import audio_file_problem, audio_key, check_audio
from training.data.record import Record
from training.data.record_files import MAX_PROBLEMS_SHOWN, UnusableRecord, readable_records
from training.data.splits import require_disjoint_splits
from training.data.text_files import find_control_token

TEXT_FIELDS = ("query", "transcript", "summary", "written", "chosen", "rejected")
REQUIRED_FIELDS = {
    "sft": ("query", "summary"),
    "distill": ("query", "transcript"),
    "pairs": ("query", "transcript"),
    "dpo": ("query", "chosen", "rejected"),
}


def record_problems(
    records: Sequence[Record], audio: bool, threads: int | None = None, stage: str = "sft"
) -> list[str]:
    """Return all that is wrong with the records, a sentence each.

    audio: whether to decode the audio. threads: number of threads that decode, by default as many as Python's
    `ThreadPoolExecutor` has. stage: a key of `REQUIRED_FIELDS`.
    """
    problems = [f"{name}: {n} records have this id" for name, n in Counter(r.id for r in records).items() if n > 1]
    try:
        require_disjoint_splits(records)
    except UnusableRecord as error:
        problems.append(str(error))
    for record in records:
        problems += _text_problems(record, stage)
    first = {audio_key(record): record for record in reversed(records) if record.audio}
    missing = {key: said for key, record in first.items() if (said := audio_file_problem(record))}
    problems += [f"{first[key].id}: {first[key].audio} {said}" for key, said in missing.items()]
    if audio:
        with ThreadPoolExecutor(threads) as pool:
            there = [record for key, record in first.items() if key not in missing]
            problems += [said for said in pool.map(_audio_problem, there) if said]
    return problems


def _text_problems(record: Record, stage: str) -> Iterator[str]:
    for name in REQUIRED_FIELDS[stage]:
        if not str(getattr(record, name) or "").strip():
            yield f"{record.id}: the {name} is empty"
    if not record.audio and not record.transcript.strip():
        yield f"{record.id}: has neither audio nor a transcript"
    if stage == "dpo" and record.chosen and record.chosen == record.rejected:
        yield f"{record.id}: chosen and rejected are the same"
    for name in TEXT_FIELDS:
        if token := find_control_token(str(getattr(record, name) or "")):
            yield f"{record.id}: the {name} holds the control token {token!r}"


def _audio_problem(record: Record) -> str | None:
    try:
        check_audio(record, require_speech=True)
    except UnusableRecord as error:
        return str(error)
    return None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument("--records", type=Path, nargs="+", required=True, help="JSONL or Parquet files of records")
    parser.add_argument("--audio", action="store_true", help="decode all audio, too, and listen for speech in it")
    parser.add_argument(
        "--stage", choices=REQUIRED_FIELDS, default="sft", help="what will be trained on the records [sft]"
    )


def run(options: argparse.Namespace) -> int:
    """Print what is wrong; 1 if anything is."""
    records, problems = readable_records(*options.records)
    if not records and not problems:
        problems = ["there is no record at all"]
    problems += record_problems(records, options.audio, stage=options.stage)
    if problems:
        print("\n".join(problems[:MAX_PROBLEMS_SHOWN]))
        print(
            f"{len(records)} records, {len(problems)} problems"
            + (", the first shown" if len(problems) > MAX_PROBLEMS_SHOWN else "")
        )
        return 1
    per_split = Counter(record.split for record in records)
    print(f"{len(records)} records, no problem: " + ", ".join(f"{n} {split}" for split, n in per_split.items()))
    return 0
