"""What a run leaves beside its adapter so that it can be run again, and so that an export knows what it exports.

`config.yaml` holds every option as it was, under the command that takes it; `run.json` what the options' files were:
digests of data, the lengths of its recordings, base, adapters to begin from and teacher, who judged or wrote the data,
seed, library versions, commit. Knows nothing about how anything is trained.
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
STAGES = {"distill": "kd"}  # the command's name is the stage's, but for this one
REPORT_SUFFIX = ".report.json"  # what `pairs` and `data synthesize` leave beside their data


def command_line() -> str:
    """The command that runs, so that it can be typed again."""
    return shlex.join(["speechsum-train", *sys.argv[1:]])


class NotARunFolder(ValueError):
    """A folder is none that a recipe left; the message says what it lacks."""


def write_run_record(options: argparse.Namespace) -> None:
    """Write both files into `--out`, by the first process if there are several."""
    if os.environ.get("RANK", "0") != "0":
        return
    command = str(getattr(options, "command", "run"))
    given = {name: _yaml_value(value) for name, value in vars(options).items() if name not in ("command", "config")}
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / CONFIG_FILE
    text = yaml.safe_dump({name: value for name, value in given.items() if value is not None}, allow_unicode=True)
    file.write_text(f"# speechsum-train {command} --config {file}\n{text}")
    found = {
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
        json.dumps({k: v for k, v in found.items() if v not in (None, "", {})}, indent=1) + "\n"
    )


def read_run_record(folder: Path) -> dict[str, Any]:
    """What `run.json` says, with the options, the adapter's digest and the log's last line. Raises `NotARunFolder`."""
    missing = [name for name in (RUN_RECORD_FILE, CONFIG_FILE, ADAPTER_FILE) if not (folder / name).is_file()]
    if missing:
        raise NotARunFolder(
            f"{folder} has no {' and no '.join(missing)}: --run takes a folder that a recipe wrote (its --out)"
        )
    found: dict[str, Any] = json.loads((folder / RUN_RECORD_FILE).read_text())
    found["config"] = {
        name: shorten_paths(value) for name, value in yaml.safe_load((folder / CONFIG_FILE).read_text()).items()
    }
    found["adapter"] = file_sha256(folder / ADAPTER_FILE)
    if (folder / LOG_FILE).is_file():  # written at the end: a run that was cut short has none
        found["log"] = json.loads((folder / LOG_FILE).read_text())[-1]
    return found


def final_adapters(folders: Sequence[Path]) -> list[Path]:
    """The adapters of these runs, in order, without those that a later run began from and so holds already."""
    runs = [read_run_record(folder) for folder in folders]
    begun = [set(run.get("start", {}).values()) for run in runs]
    return [
        folder / ADAPTER_FILE
        for place, folder in enumerate(folders)
        if not any(runs[place]["adapter"] in start for start in begun[place + 1 :])
    ]


def file_digests(files: Iterable[Path]) -> dict[str, str]:
    """File, by the end of its path, → SHA-256; of those that are there."""
    return {path_tail(file): file_sha256(file) for file in files if file.is_file()}


def audio_seconds(files: Iterable[Path]) -> dict[str, float]:
    """How long the recordings of data files are: `p95`, which 95 % of them do not exceed, and `longest`, in seconds; of
    those that say their length in `duration_s`. Empty where none does, as for texts alone.
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
    """The lines that are JSON; what is wrong with others is said where records are read (`training.data.check`)."""
    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                continue


def checkpoint_identity(folder: Path | None, served: bool = False) -> dict[str, Any] | None:
    """A checkpoint folder's name and the SHA-256 of its weights (of their digests, if they are several files)."""
    if folder is None:
        return None
    found = [file_sha256(file) for file in sorted(folder.glob("*.safetensors"))]
    whole = found[0] if len(found) == 1 else hashlib.sha256("".join(found).encode()).hexdigest() if found else None
    return {"name": folder.name} | ({"sha256": whole} if whole else {}) | ({"served": True} if served else {})


def git_commit() -> str:
    """The commit of the code, or "" outside a repository; there SPEECHSUM_COMMIT may say it."""
    if said := os.environ.get("SPEECHSUM_COMMIT"):
        return said
    here = Path(__file__).parent
    return subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=here).stdout.strip()


def library_versions() -> dict[str, str]:
    """Of the libraries that train."""
    return {name: version(name) for name in LIBRARIES}


def path_tail(path: Path) -> str:
    """The end of a path: enough to tell one file from another, and nothing about the machine."""
    return "/".join(path.parts[-2:])


def shorten_paths(value: Any) -> Any:
    """An option as a manifest shows it: paths by their ends."""
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
    """What the reports beside the data say under this key."""
    reports = [json.loads(r.read_text()) for f in files if (r := f.with_suffix(REPORT_SUFFIX)).is_file()]
    return " and ".join(dict.fromkeys(str(report[key]) for report in reports if report.get(key))) or None
