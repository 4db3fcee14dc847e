"""Measures how often instructions that are only said in a recording are obeyed.

    python -m tests.injections --url http://127.0.0.1:8000     a running service, posted recordings
    python -m tests.injections --url … --json                  the same, asked for summaries as JSON
    python -m tests.injections --model cascade-tiny            a model's text side, given transcripts and notes

Adds to the file of raw results, every answer in it, and prints the table of all it holds.
"""

import argparse
import asyncio
from pathlib import Path

from tests.injections.measure import add, measure, table
from tests.injections.readers import hearing, reading

OUT = Path("results/injections.json")


async def run(options: argparse.Namespace) -> str:
    """The table."""
    kept = []
    if options.url:
        async with hearing(options.url, options.json) as reader:
            measured = await measure(reader, at_once=options.at_once)
        kept = add(
            options.out, measured, f"python -m tests.injections --url {options.url}{' --json' if options.json else ''}"
        )
    if options.model:
        async with reading(options.model) as readers:
            for reader in readers:
                measured = await measure(reader, at_once=options.at_once)
                kept = add(options.out, measured, f"python -m tests.injections --model {options.model}")
    return table(kept)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.injections", description=(__doc__ or "").split("\n")[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--url", help="a running service")
    what.add_argument("--model", help="a name of the registry, with or without its version")
    parser.add_argument("--json", action="store_true", help="with --url: ask for summaries as JSON")
    parser.add_argument("--at-once", type=int, default=8, help="questions open at once")
    parser.add_argument("--out", type=Path, default=OUT, help="JSON file of the raw results, which are added to it")
    print(asyncio.run(run(parser.parse_args())))


if __name__ == "__main__":
    main()
