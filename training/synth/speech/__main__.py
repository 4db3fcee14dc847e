"""Speak a JSONL of records.

python -m training.synth.speech --records in.jsonl --out folder --engines kokoro:0.2,flite:0.4,espeak:0.4 --jobs 1
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from training.synth.speech.speak_records import SpeechSettings, speak_records
from training.synth.speech.voices import engine_shares


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Return 1 if more records failed than `--max-failed` allows."""
    parser = argparse.ArgumentParser(
        prog="python -m training.synth.speech", description="Speak records into audio files."
    )
    parser.add_argument("--records", type=Path, required=True, help="JSONL of records with id, split and turns")
    parser.add_argument("--out", type=Path, required=True, help="folder for the audio and records.jsonl")
    parser.add_argument(
        "--engines",
        type=engine_shares,
        default=engine_shares("flite:0.5,espeak:0.5"),
        help="speech engines and their shares, as engine:share,…",
    )
    parser.add_argument("--jobs", type=int, default=1, help="number of processes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--augment", type=float, default=1.0, help="0 is clean speech, 1 augments about four of five clips"
    )
    parser.add_argument("--format", choices=("opus", "flac"), default="opus")
    parser.add_argument("--kbps", type=int, default=24, help="bit rate of Opus in kbit/s")
    parser.add_argument(
        "--max-failed", type=float, default=0.01, help="share of records that may fail before the command fails"
    )
    options = parser.parse_args(arguments)
    settings = SpeechSettings(options.engines, options.seed, options.augment, options.format, options.kbps)
    outcome = speak_records(options.records, options.out, settings, jobs=options.jobs)
    print(json.dumps(asdict(outcome)))
    total = outcome.spoken + outcome.resumed + outcome.failed
    if outcome.failed:
        print(f"{outcome.failed} of {total} records FAILED: {options.out / 'failures.jsonl'}", file=sys.stderr)
    return int(outcome.failed > options.max_failed * total)


if __name__ == "__main__":
    raise SystemExit(main())
