"""Summaries of held-out recordings by Transformers' generate, greedy, and the facts counted in them: what
`speechsum-train evaluate` measures, where no vLLM can serve the checkpoint.

    python -m training.gpu.try_out --model FOLDER [--twin FOLDER] --records held/records.jsonl --out tried.json

Three rows a set of records. `own`: the recording. `another's`: the next record's recording with this record's facts,
so what a summary scores by sounding like one. `twin`: the text twin, given the true transcript. And the audio gain.
Prompts are the collators' own, which are the service's. Knows nothing about how the checkpoints were trained.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.callbacks import audio_gain
from training.corpus.record import Record
from training.examples import AudioCollator, Collator, with_other_audio
from training.loop import collator_of
from training.records import read_records
from training.scores import aggregate, scored
from training.systems import Means, opened, written


def counted(records: Sequence[Record], answers: Sequence[str]) -> dict[str, Any]:
    """Aggregate figures, and each answer with its counts."""
    rows = scored(records, answers)
    return {"figures": aggregate(rows), "rows": rows}


def try_audio(model: Any, collator: AudioCollator, records: list[Record], batch: int) -> dict[str, Any]:
    """Rows `own` and `another's`, and `audio_gain` in nats a token."""
    own = written(model, collator, records, Means(batch))
    other = written(model, collator, with_other_audio(records), Means(batch))
    gain = audio_gain(model, collator, records)
    return {"own": counted(records, own), "another's": counted(records, other), "audio_gain": round(gain, 4)}


def try_text(model: Any, collator: Collator, records: list[Record], batch: int) -> dict[str, Any]:
    """Row `twin`."""
    return {"twin": counted(records, written(model, collator, records, Means(batch)))}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.gpu.try_out", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="merged audio checkpoint")
    parser.add_argument("--twin", type=Path, help="merged text twin, to read the true transcripts")
    parser.add_argument("--records", type=Path, nargs="+", required=True, help="JSONL files, each a set of its own")
    parser.add_argument("--limit", type=int, default=0, help="only the first so many records of a set")
    parser.add_argument("--batch", type=int, default=32, help="recordings generated for at once")
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the raw result")
    options = parser.parse_args(argv)
    model = opened(options.model, hears=True)
    collator = collator_of(options.model, model)
    assert isinstance(collator, AudioCollator)
    twin = opened(options.twin, hears=False) if options.twin else None
    reads = collator_of(options.twin, twin) if twin else None
    result: dict[str, Any] = {}
    for file in options.records:
        records = read_records(file)[: options.limit or None]
        found = try_audio(model, collator, records, options.batch)
        if reads:
            found |= try_text(twin, reads, records, options.batch)
        result[file.parent.name] = found
        options.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
        figures = {row: found[row]["figures"]["core_coverage"] for row in found if row != "audio_gain"}
        print(json.dumps({"set": file.parent.name, "audio_gain": found["audio_gain"], "core_coverage": figures}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
