"""Files of records checked: fields, ids, splits by recording and, with `--audio`, all of the audio.

    speechsum-train data check --records train.jsonl dev.jsonl test.parquet --audio

Says everything that is wrong and ends with 1. Fields are checked line by line (row by row), ids for being each one's
own, recordings for lying in one split alone. `--audio` decodes every file. What depends on a model (lengths,
placeholders, context) the recipes check when they start, before they train (`--bad-data`).
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from training.audio import go_through, stretch
from training.corpus.record import Record
from training.records import SHOWN, BadExample, read_records
from training.splits import refuse_shared


def problems(records: Sequence[Record], audio: bool, threads: int | None = None) -> list[str]:
    """All that is wrong with the records, a sentence each."""
    found = [f"{name}: {n} records have this id" for name, n in Counter(r.id for r in records).items() if n > 1]
    try:
        refuse_shared(records)
    except BadExample as error:
        found.append(str(error))
    if audio:
        first = {stretch(record): record for record in reversed(records)}
        with ThreadPoolExecutor(threads) as pool:
            found += [said for said in pool.map(_heard, first.values()) if said]
    return found


def _heard(record: Record) -> str | None:
    try:
        go_through(record)
    except BadExample as error:
        return str(error)
    return None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument("--records", type=Path, nargs="+", required=True, help="JSONL or Parquet files of records")
    parser.add_argument("--audio", action="store_true", help="decode all audio, too")


def run(options: argparse.Namespace) -> int:
    """Print what is wrong; 1 if anything is."""
    try:
        records = read_records(*options.records)
    except BadExample as error:
        print(error)
        return 1
    if found := problems(records, options.audio):
        print("\n".join(found[:SHOWN]))
        print(f"{len(records)} records, {len(found)} problems" + (", the first shown" if len(found) > SHOWN else ""))
        return 1
    per_split = Counter(record.split for record in records)
    print(f"{len(records)} records, no problem: " + ", ".join(f"{n} {split}" for split, n in per_split.items()))
    return 0
