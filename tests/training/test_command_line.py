"""The command line as a shell has it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from training.__main__ import EXIT_BROKEN_PIPE, main
from training.eval import compare


def test_who_reads_no_further_gets_no_traceback() -> None:
    reads, writes = os.pipe()
    os.close(reads)
    command = [sys.executable, "-m", "training", "lineage", "speechsum-tiny"]
    ended = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writes)
    assert (ended.returncode, ended.stderr) == (EXIT_BROKEN_PIPE, "")


def test_another_pipe_that_breaks_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(_: object) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(compare, "run", broken)
    results = [tmp_path / name for name in ("a.json", "b.json")]
    for file in results:
        file.write_text("{}")
    with pytest.raises(BrokenPipeError):
        main(["compare", *(f"{file}#A" for file in results)])
