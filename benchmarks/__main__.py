"""The command `python -m benchmarks`: runs one benchmark, or all, and prints theory, table and one line of JSON."""

import argparse
import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

from benchmarks.machine import describe_machine
from benchmarks.report import Results, format_results, format_theory, json_line

# By name, imported when it runs: some need torch, others the service.
MODULES: dict[str, str] = {
    "ceiling": "benchmarks.ceiling",
    "decode": "benchmarks.decode",
    "decode_pool": "benchmarks.decode_pool",
    "ear": "benchmarks.ear",
    "livez": "benchmarks.livez",
    "long_audio": "benchmarks.long_audio",
    "overhead": "benchmarks.overhead",
    "training": "benchmarks.training",
}


class Benchmark(Protocol):
    """What a module of a benchmark has."""

    NAME: str
    THEORY: str
    run: Callable[[bool], Results]


def load_benchmark(name: str) -> Benchmark:
    """Import a benchmark by its name."""
    return cast(Benchmark, importlib.import_module(MODULES[name]))


def run_benchmark(name: str, quick: bool, out: Path | None) -> None:
    """Run a benchmark: print its theory, then its table, then one line of JSON, which is also written to `out`."""
    benchmark = load_benchmark(name)
    print(format_theory(name, benchmark.THEORY), flush=True)
    machine, start = describe_machine(), time.perf_counter()
    results = benchmark.run(quick)
    line = json_line(name, quick, time.perf_counter() - start, machine, results)
    print(format_results(results))
    print(line, flush=True)
    if out is not None:
        out.write_text(line + "\n")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the service and the pipeline.")
    parser.add_argument("name", metavar="NAME", choices=(*MODULES, "all"), help=f"{', '.join(MODULES)}, or all")
    parser.add_argument(
        "--quick", action="store_true", help="a small run: shows that it works; its figures mean little"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="file for the line of JSON; with all, a folder")
    options = parser.parse_args(arguments)
    if options.name != "all":
        run_benchmark(options.name, options.quick, options.out)
        return 0
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
    for name in MODULES:
        run_benchmark(name, options.quick, options.out and options.out / f"{name}.json")
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
