"""The command `python -m tools.soak`."""

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tools.soak.report import write_json, write_markdown
from tools.soak.run import Options, Result, run_soak


def main(arguments: list[str] | None = None) -> int:
    """Run a soak and return the exit status: 0 if no rule was broken, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tools.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="how long clients and faults come (default: 30)")
    parser.add_argument("--faults", type=int, default=None, help="how many faults (default: two a minute)")
    parser.add_argument("--clients", type=int, default=4, help="clients at the same time (default: 4)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the faults' schedule (default: 1)")
    parser.add_argument(
        "--database", choices=["auto", "sqlite", "postgresql"], default="auto",
        help="auto is PostgreSQL if it is installed (default: auto)",
    )  # fmt: skip
    parser.add_argument(
        "--report", type=Path, default=Path("var/soak"), help="folder for the report and the logs (default: var/soak)"
    )
    options = parser.parse_args(arguments)
    faults = round(2 * options.minutes) if options.faults is None else options.faults
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    folder.chmod(0o755)  # PostgreSQL runs as a user of its own
    chosen = Options(options.minutes * 60, faults, options.clients, options.seed, options.database)
    options.report.mkdir(parents=True, exist_ok=True)
    try:
        result = asyncio.run(_run_until_signal(chosen, folder))
    finally:
        for log in ("service.log", "receiver.log"):
            if (folder / log).exists():
                shutil.copy(folder / log, options.report / log)
        shutil.rmtree(folder, ignore_errors=True)
    (options.report / "soak.json").write_text(write_json(result))
    page = write_markdown(result)
    (options.report / "soak.md").write_text(page)
    print(page)
    return 1 if result.violations else 0


async def _run_until_signal(options: Options, folder: Path) -> Result:
    """Run the soak; SIGTERM ends it, and its processes with it."""
    task = asyncio.create_task(run_soak(options, folder))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


if __name__ == "__main__":
    sys.exit(main())
