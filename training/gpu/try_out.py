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

import torch
from transformers import AutoProcessor, AutoTokenizer

from app.prompts import Style
from training.checkpoint import architecture_of, open_model
from training.corpus.record import Record
from training.evaluate import aggregate, score
from training.examples import AudioCollator, TextCollator, read_records, with_other_audio
from training.loop import audio_gain


@torch.no_grad()
def summaries(model: Any, collator: Any, tokenizer: Any, records: Sequence[Record], batch: int) -> list[str]:
    """Greedy answers, each cut at the tokens its style allows (the service's limit)."""
    model.eval()
    out = []
    for start in range(0, len(records), batch):
        group = records[start : start + batch]
        limits = [Style(**record.style).max_tokens for record in group]
        given = {k: v.to(model.device) for k, v in collator.questions(group, max(limits)).items()}
        made = model.generate(
            **given,
            max_new_tokens=max(limits),
            do_sample=False,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )[:, given["input_ids"].shape[1] :]
        for ids, limit in zip(made.tolist(), limits, strict=True):
            out.append(tokenizer.decode(ids[:limit], skip_special_tokens=True).strip())
    return out


def counted(records: Sequence[Record], answers: Sequence[str]) -> dict[str, Any]:
    """Aggregate figures, and each answer with its counts."""
    rows = [{"id": r.id, "summary": a, **score(r, a)} for r, a in zip(records, answers, strict=True)]
    return {"figures": aggregate(rows), "rows": rows}


def opened(folder: Path, architecture: str) -> Any:
    """The checkpoint, on the GPU if there is one. Raises ValueError if it is of another architecture."""
    model = open_model(folder)
    if architecture_of(model) != architecture:
        raise ValueError(f"{folder} is {architecture_of(model)}, not {architecture}")
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def try_audio(model: Any, processor: Any, records: list[Record], batch: int) -> dict[str, Any]:
    """Rows `own` and `another's`, and `audio_gain` in nats a token."""
    collator = AudioCollator(processor, model.config.audio_token_id)
    own = summaries(model, collator, processor.tokenizer, records, batch)
    other = summaries(model, collator, processor.tokenizer, with_other_audio(records), batch)
    gain = audio_gain(model, collator, records)
    return {"own": counted(records, own), "another's": counted(records, other), "audio_gain": round(gain, 4)}


def try_text(model: Any, tokenizer: Any, records: list[Record], batch: int) -> dict[str, Any]:
    """Row `twin`."""
    return {"twin": counted(records, summaries(model, TextCollator(tokenizer), tokenizer, records, batch))}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.gpu.try_out", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="merged audio checkpoint")
    parser.add_argument("--twin", type=Path, help="merged text twin, to read the true transcripts")
    parser.add_argument("--records", type=Path, nargs="+", required=True, help="JSONL files, each a set of its own")
    parser.add_argument("--limit", type=int, default=0, help="only the first so many records of a set")
    parser.add_argument("--batch", type=int, default=32, help="recordings generated for at once")
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the raw result")
    options = parser.parse_args(argv)
    model, processor = opened(options.model, "audioflamingo3"), AutoProcessor.from_pretrained(options.model)
    twin = (opened(options.twin, "llama"), AutoTokenizer.from_pretrained(options.twin)) if options.twin else None
    result: dict[str, Any] = {}
    for file in options.records:
        records = read_records(file)[: options.limit or None]
        found = try_audio(model, processor, records, options.batch)
        if twin:
            found |= try_text(*twin, records, options.batch)
        result[file.parent.name] = found
        options.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
        figures = {row: found[row]["figures"]["core_coverage"] for row in found if row != "audio_gain"}
        print(json.dumps({"set": file.parent.name, "audio_gain": found["audio_gain"], "core_coverage": figures}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
