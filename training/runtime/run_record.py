"""What a run writes beside its adapter, so that it can be repeated and so that `export` knows what it exports.

`config.yaml` has every option of the command. `run.json` describes the files that the options named (digests of the
data, lengths of its recordings, base, adapters to begin from, teacher), who judged or wrote the data, the seed, library
versions and the commit. Knows nothing about how anything is trained.
"""

import argparse
import hashlib
import json
import math
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from model_repo.cache import file_sha256

CONFIG_FILE, RUN_RECORD_FILE, ADAPTER_FILE, LOG_FILE = "config.yaml", "run.json", "adapter.safetensors", "log.json"
LIBRARIES = ("torch", "transformers", "peft", "trl")
STAGES = {"distill": "kd"}  # stages whose name is not the command's
REPORT_SUFFIX = ".report.json"  # suffix of the reports that `pairs` and `data synthesize` write beside their data


def command_line() -> str:
    """Return the command that is running, as it can be typed into a shell."""
    return shlex.join(["speechsum-train", *sys.argv[1:]])


class NotARunFolder(ValueError):
    """The folder was not written by a recipe. The message names the missing files."""


def write_run_record(options: argparse.Namespace) -> None:
    """Write `config.yaml` and `run.json` into the folder `options.out`. Of several processes the first writes."""
    if os.environ.get("RANK", "0") != "0":
        return
    command = str(getattr(options, "command", "run"))
    stated = {name: _yaml_value(value) for name, value in vars(options).items() if name not in ("command", "config")}
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / CONFIG_FILE
    text = yaml.safe_dump({name: value for name, value in stated.items() if value is not None}, allow_unicode=True)
    file.write_text(f"# speechsum-train {command} --config {file}\n{text}")
    record = {
        "stage": STAGES.get(command, command),
        "started": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "seed": options.seed,
        "data": file_digests([*options.data, *_as_list(getattr(options, "answers", None))]),
        "audio_seconds": audio_seconds(options.data),
        "base": checkpoint_identity(options.base),
        "start": file_digests(_as_list(getattr(options, "start", None))),
        "teacher": checkpoint_identity(
            getattr(options, "teacher", None), served=bool(getattr(options, "teacher_url", None))
        ),
        "judge": _report_values("judge", options.data),
        "writer": _report_values("model", options.data),
        "commit": git_commit(),
        "versions": library_versions(),
    }
    (options.out / RUN_RECORD_FILE).write_text(
        json.dumps({k: v for k, v in record.items() if v not in (None, "", {})}, indent=1) + "\n"
    )


def read_run_record(folder: Path) -> dict[str, Any]:
    """Return the contents of `run.json`, with `config`, the options; `adapter`, the adapter's SHA-256; and `log`, the
    last line of the log. Raises NotARunFolder if a file is missing.
    """
    missing = [name for name in (RUN_RECORD_FILE, CONFIG_FILE, ADAPTER_FILE) if not (folder / name).is_file()]
    if missing:
        raise NotARunFolder(
            f"{folder} has no {' and no '.join(missing)}: --run takes a folder that a recipe wrote (its --out)"
        )
    record: dict[str, Any] = json.loads((folder / RUN_RECORD_FILE).read_text())
    record["config"] = {
        name: shorten_paths(value) for name, value in yaml.safe_load((folder / CONFIG_FILE).read_text()).items()
    }
    record["adapter"] = file_sha256(folder / ADAPTER_FILE)
    if (folder / LOG_FILE).is_file():  # written at the end, so a run that was killed has none
        record["log"] = json.loads((folder / LOG_FILE).read_text())[-1]
    return record


def final_adapters(folders: Sequence[Path]) -> list[Path]:
    """Return the adapters of these runs, in order, without those that a later run began from and therefore contains."""
    runs = [read_run_record(folder) for folder in folders]
    begun = [set(run.get("start", {}).values()) for run in runs]
    return [
        folder / ADAPTER_FILE
        for place, folder in enumerate(folders)
        if not any(runs[place]["adapter"] in start for start in begun[place + 1 :])
    ]


def file_digests(files: Iterable[Path]) -> dict[str, str]:
    """Return the SHA-256 of each file that exists, by the end of its path."""
    return {path_tail(file): file_sha256(file) for file in files if file.is_file()}


def audio_seconds(files: Iterable[Path]) -> dict[str, float]:
    """Return the lengths of the recordings in the data files, in seconds: `p95`, which 95 % of them do not exceed, and
    `longest`. Records without `duration_s` do not count; without any other the result is empty.
    """
    found = sorted(seconds for file in files if file.is_file() for seconds in _lengths(file))
    if not found:
        return {}
    place = math.ceil(0.95 * len(found)) - 1
    return {"p95": round(found[place], 2), "longest": round(found[-1], 2)}


def _lengths(file: Path) -> Iterator[float]:
    if file.suffix == ".parquet":
        from pyarrow import parquet

        table = parquet.ParquetFile(file)
        columns = [name for name in ("audio", "duration_s") if name in table.schema_arrow.names]
        rows: Iterable[Any] = table.read(columns=columns).to_pylist()
    else:
        rows = _json_rows(file)
    for row in rows:
        seconds = row.get("duration_s") if isinstance(row, dict) and row.get("audio") else None
        if isinstance(seconds, int | float) and 0 < seconds < math.inf:
            yield float(seconds)


def _json_rows(file: Path) -> Iterator[Any]:
    """Yield the lines that are JSON. Errors in others are reported where records are read (`training.data.check`)."""
    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                continue


def checkpoint_identity(folder: Path | None, served: bool = False) -> dict[str, Any] | None:
    """Return the name of a checkpoint's folder and the SHA-256 of its weights (of their digests if they are several
    files), and whether a server has it. None gives None.
    """
    if folder is None:
        return None
    found = [file_sha256(file) for file in sorted(folder.glob("*.safetensors"))]
    whole = found[0] if len(found) == 1 else hashlib.sha256("".join(found).encode()).hexdigest() if found else None
    return {"name": folder.name} | ({"sha256": whole} if whole else {}) | ({"served": True} if served else {})


def git_commit() -> str:
    """Return the commit of the code: that of SPEECHSUM_COMMIT if it is set, or "" outside a repository."""
    if named := os.environ.get("SPEECHSUM_COMMIT"):
        return named
    here = Path(__file__).parent
    return subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=here).stdout.strip()


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that train, by name."""
    return {name: version(name) for name in LIBRARIES}


def path_tail(path: Path) -> str:
    """Return the last two parts of a path: enough to tell files apart, and nothing about the machine."""
    return "/".join(path.parts[-2:])


def shorten_paths(value: Any) -> Any:
    """Return an option's value as a manifest shows it: absolute paths are shortened."""
    if isinstance(value, list):
        return [shorten_paths(item) for item in value]
    return path_tail(Path(value)) if isinstance(value, str) and Path(value).is_absolute() else value


def _yaml_value(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_yaml_value(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _as_list(value: Path | list[Path] | None) -> list[Path]:
    return value if isinstance(value, list) else [value] if value else []


def _report_values(key: str, files: Iterable[Path]) -> str | None:
    """Return what the reports beside the data files have under this key."""
    reports = [json.loads(r.read_text()) for f in files if (r := f.with_suffix(REPORT_SUFFIX)).is_file()]
    return " and ".join(dict.fromkeys(str(report[key]) for report in reports if report.get(key))) or None
