"""Downloads a model of `model_repo.hub_models` from the hub into the cache.

    python -m model_repo.hub_download voxtral-mini

An interrupted download goes on where it stopped, also in another process: `huggingface_hub` starts a file again, which
for one file of 48 GB is too much to lose. Every file is compared with the digest that the hub names for it (SHA-256, or
git's SHA-1 for small files). What the hub's own cache holds on this machine already is linked. Knows nothing about
engines.
"""

import argparse
import errno
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from model_repo.cache import cache_root, file_git_sha1, file_sha256
from model_repo.download_progress import DownloadProgress, gigabytes
from model_repo.hub_access import OFFLINE_SETTING, OFFLINE_VARIABLE, describe_failure, is_offline
from model_repo.hub_models import (
    HUB_MODELS,
    RECORD_FILE,
    HubModel,
    downloaded_folder,
    find_hub_model,
    is_verified,
    read_record,
)

SPARE_BYTES = 1 << 30  # free space that a download leaves on the disk
REQUEST_SECONDS = 30.0  # without a byte from the hub
ATTEMPTS = 5  # to get a file, without a byte more between them
COMMIT = re.compile(r"[0-9a-f]{40}")
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


class HubDownloadError(Exception):
    """A model could not be downloaded. The message says why, and what to do."""


def fetch_hub_model(model: HubModel, cache: Path | None = None) -> Path:
    """Return the folder of a model's verified files; they are downloaded if they are not there.

    The download is a process of its own, because it must not inherit what an engine in this process set
    (`HF_HUB_OFFLINE`), and because it has to end with this process.

    Raises:
        HubDownloadError: if it cannot be downloaded.
    """
    if folder := downloaded_folder(model, cache):
        return folder
    environment = {name: value for name, value in os.environ.items() if name != OFFLINE_VARIABLE}
    environment |= {OFFLINE_VARIABLE: OFFLINE_SETTING} if OFFLINE_SETTING else {}
    command = [sys.executable, "-m", "model_repo.hub_download", model.name, "--cache", str(cache or cache_root())]
    process = subprocess.Popen(
        [*command, "--child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process, process.stdin, process.stdout:  # its input stays open for as long as this process lives
        said = process.stdout.read().strip()
        process.wait()
    if process.returncode:
        raise HubDownloadError(said or f"the download of {model.name} ended with status {process.returncode}")
    return Path(said)


def download_model(model: HubModel, cache: Path | None = None) -> Path:
    """Download a model in this process, after any other that downloads it, and return its folder.

    cache: the cache folder; by default the usual one. Raises `HubDownloadError` if it cannot be downloaded.
    """
    with _lock(model.cache_folder(cache)):
        if folder := downloaded_folder(model, cache):
            return folder
        record = read_record(model, cache) or _request_record(model)
        folder = model.cache_folder(cache) / str(record["commit"])
        folder.mkdir(exist_ok=True)
        missing = [name for name in record["files"] if not _is_complete(folder / name, record["files"][name])]
        _write_record(model, cache, record)
        missing = [name for name in missing if not _link_from_hub_cache(model, record, folder, name)]
        total = sum(int(facts["size"]) for facts in record["files"].values())
        absent = sum(record["files"][name]["size"] - _part_size(folder / name) for name in missing)
        _check_disk_space(model, folder, absent)
        progress = DownloadProgress(model.name, total, total - absent)
        for name in missing:
            _download_file(model, record, folder, name, progress)
            _write_record(model, cache, record)
        progress.finish()
        _write_record(model, cache, record)
        return folder


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _request_record(model: HubModel) -> dict[str, Any]:
    """Ask the hub for the commit of the model's revision, and for the sizes and digests of the files to download."""
    from huggingface_hub import HfApi

    if is_offline():
        raise HubDownloadError(_explain(model, f"{OFFLINE_VARIABLE} is set."))
    try:
        info = HfApi().model_info(
            model.repository, revision=model.revision, files_metadata=True, timeout=REQUEST_SECONDS
        )
    except Exception as error:  # the library's HTTP client has errors of its own
        raise HubDownloadError(_explain(model, describe_failure(error, model.repository, model.revision))) from error
    pinned = model.revision if COMMIT.fullmatch(model.revision) else info.sha
    if info.sha != pinned or not COMMIT.fullmatch(str(info.sha)):
        raise HubDownloadError(_explain(model, f"the hub answers with the commit {info.sha}, not {model.revision}."))
    files = {}
    for file in info.siblings or ():
        if "/" in file.rfilename or not any(fnmatch(file.rfilename, pattern) for pattern in model.files):
            continue
        digest = {"sha256": file.lfs.sha256} if file.lfs else {"git_sha1": file.blob_id}
        if file.size is None or None in digest.values():
            raise HubDownloadError(_explain(model, f"the hub names no size or no digest for {file.rfilename}."))
        files[file.rfilename] = {"size": file.size, **digest}
    for needed in ("config.json", *model.family.required_files):
        if needed not in files:
            raise HubDownloadError(_explain(model, f"the hub's {model.repository} has no {needed}."))
    return {"repository": model.repository, "revision": model.revision, "commit": info.sha, "files": files}


def _explain(model: HubModel, reason: str) -> str:
    instead = "A folder with its files can be served too: --model /path/to/checkpoint"
    return f"{model.name} cannot be downloaded: {reason} {instead}"


def _write_record(model: HubModel, cache: Path | None, record: dict[str, Any]) -> None:
    file = model.cache_folder(cache) / RECORD_FILE
    scratch = file.with_suffix(".tmp")
    scratch.write_text(json.dumps(record, indent=2) + "\n")
    scratch.replace(file)


def _is_complete(file: Path, facts: dict[str, Any]) -> bool:
    """Return whether the file is there with its digest, which is noted as verified. Delete it if it has another one."""
    if is_verified(file, facts):
        return True
    if not file.is_file():
        return False
    if file.stat().st_size == facts["size"] and _found_digest(file, facts) == _expected_digest(facts):
        facts["verified_mtime_ns"] = file.stat().st_mtime_ns
        return True
    print(f"{file} is not the file that the hub names, and is downloaded again.", file=sys.stderr, flush=True)
    file.unlink()
    return False


def _expected_digest(facts: dict[str, Any]) -> str:
    return str(facts.get("sha256") or facts["git_sha1"])


def _found_digest(file: Path, facts: dict[str, Any]) -> str:
    return file_sha256(file) if facts.get("sha256") else file_git_sha1(file)


def _link_from_hub_cache(model: HubModel, record: dict[str, Any], folder: Path, name: str) -> bool:
    """Link a file that another program downloaded through `huggingface_hub`. Return whether it is there and right."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(model.repository, name, revision=str(record["commit"]))
    if not isinstance(found, str):
        return False
    try:
        os.link(Path(found).resolve(), folder / name)
    except OSError:  # on another disk
        return False
    return _is_complete(folder / name, record["files"][name])


def _check_disk_space(model: HubModel, folder: Path, absent: int) -> None:
    free = shutil.disk_usage(folder).free
    if absent and absent + SPARE_BYTES > free:
        raise HubDownloadError(
            f"{model.name} needs {gigabytes(absent + SPARE_BYTES)} in {folder}, whose disk has {gigabytes(free)} free. "
            "SPEECHSUM_CACHE_DIR moves the cache to another disk."
        )


def _part_file(file: Path) -> Path:
    return file.with_name(f"{file.name}.part")


def _part_size(file: Path) -> int:
    return _part_file(file).stat().st_size if _part_file(file).is_file() else 0


def _download_file(
    model: HubModel, record: dict[str, Any], folder: Path, name: str, progress: DownloadProgress
) -> None:
    """Download one file and verify it. It has its name only after that."""
    facts, part = record["files"][name], _part_file(folder / name)
    part.touch()
    failures = 0
    while (size := part.stat().st_size) < facts["size"]:
        try:
            _append_from_hub(model.repository, str(record["commit"]), name, part, progress)
        except Exception as error:  # the library's HTTP client has errors of its own
            if getattr(error, "errno", None) in DISK_ERRORS:
                raise
            failures = 1 if part.stat().st_size > size else failures + 1
            if failures == ATTEMPTS or _is_final(error) or is_offline():
                reason = describe_failure(error, model.repository, str(record["commit"]))
                raise HubDownloadError(
                    _explain(model, f"{name}: {reason} What has arrived is kept, and the next try goes on from there.")
                ) from error
            time.sleep(failures)
    if (found := _found_digest(part, facts)) != _expected_digest(facts):
        part.unlink()
        reason = f"{name} is not the expected file: its digest should be {_expected_digest(facts)}, but is {found}."
        raise HubDownloadError(_explain(model, f"{reason} It was deleted."))
    part.replace(folder / name)
    facts["verified_mtime_ns"] = (folder / name).stat().st_mtime_ns


def _is_final(error: Exception) -> bool:
    """Return whether the hub refused the request, so that the same request would be refused again."""
    status = getattr(getattr(error, "response", None), "status_code", 0)
    return 400 <= status < 500 and status not in (408, 429)


def _append_from_hub(repository: str, commit: str, name: str, part: Path, progress: DownloadProgress) -> None:
    """Append to a file what it lacks, as long as the connection holds."""
    from huggingface_hub import get_session, hf_hub_url
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    start = part.stat().st_size
    headers = build_hf_headers() | {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    url = hf_hub_url(repository, name, revision=commit)
    with get_session().stream("GET", url, headers=headers, timeout=REQUEST_SECONDS, follow_redirects=True) as response:
        if response.status_code >= 400:
            response.read()
        hf_raise_for_status(response)
        resumed = response.status_code == 206
        if start and not resumed:  # the whole file comes again
            progress.add(-start)
        with part.open("ab" if resumed else "wb", buffering=0) as file:  # what has arrived is there after a crash
            for chunk in response.iter_bytes():
                file.write(chunk)
                progress.add(len(chunk))


def main(argv: list[str] | None = None) -> int:
    """Download the named models and print their folders. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m model_repo.hub_download", description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL", help=f"models to download: {', '.join(HUB_MODELS)}")
    parser.add_argument("--cache", type=Path, help="folder of the cache; by default the usual one")
    parser.add_argument(
        "--child",
        action="store_true",
        help="print errors to standard output, and end when standard input is closed, as it is if the parent dies",
    )
    options = parser.parse_args(argv)
    if options.child:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        for name in options.models:
            model = find_hub_model(name)
            if model is None:
                raise HubDownloadError(f"there is no model {name!r} for download; there are {', '.join(HUB_MODELS)}")
            print(download_model(model, options.cache))
    except (HubDownloadError, OSError) as error:  # such as a full disk, or a cache that may not be written to
        print(error if options.child else f"error: {error}", file=sys.stdout if options.child else sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _end_with_parent() -> None:
    # Not through `sys.stdin`, whose lock a waiting thread would hold when the interpreter ends.
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
