"""Measure how often a model obeys instructions that are only said in a recording.

    python -m tests.injections --url http://127.0.0.1:8000     a running service, which gets recordings
    python -m tests.injections --url … --json                  the same, asked for summaries as JSON
    python -m tests.injections --model cascade-tiny            the text side of a model, from transcripts and notes

The result, with every answer, is added to the file of raw results, and the table of all results in it is printed.
"""

import argparse
import asyncio
from pathlib import Path

from tests.injections.measure import add, measure, table
from tests.injections.readers import service_reader, text_side_readers

OUT = Path("results/injections.json")


async def run(options: argparse.Namespace) -> str:
    """Measure, add the result to the file, and return the table."""
    kept = []
    if options.url:
        async with service_reader(options.url, options.json) as reader:
            measured = await measure(reader, at_once=options.at_once)
        as_json = " --json" if options.json else ""
        kept = add(options.out, measured, f"python -m tests.injections --url {options.url}{as_json}")
    if options.model:
        async with text_side_readers(options.model) as readers:
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
    parser.add_argument("--at-once", type=int, default=8, help="open questions")
    parser.add_argument("--out", type=Path, default=OUT, help="JSON file of raw results, to which the result is added")
    print(asyncio.run(run(parser.parse_args())))


if __name__ == "__main__":
    main()
