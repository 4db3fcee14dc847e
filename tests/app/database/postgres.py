"""A real PostgreSQL of the tests' own, in a folder of theirs, on a socket file, for as long as they run."""

import atexit
import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

USER = "postgres"


def postgres_url() -> str:
    """The URL of a new, empty database. Skips, and says so, where Debian's package is not installed."""
    return _create_database("")


def copy_of_database(url: str) -> str:
    """The URL of a new database with the tables and rows of one of `postgres_url`, which nobody may be connected to."""
    return _create_database(f"TEMPLATE {make_url(url).database}")


def _create_database(options: str) -> str:
    name = f"test_{uuid.uuid4().hex}"
    folder = _server()
    _as_user([postgres_program("psql"), "-h", str(folder), "-q", "-c", f"CREATE DATABASE {name} {options}"])
    return f"postgresql://{USER}@/{name}?host={folder}"


def postgres_program(name: str) -> str:
    """The path of one of PostgreSQL's programs. Skips, and says so, where it is not installed."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = str(places[-1]) if places else shutil.which(name)
    if not found:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    return found


@cache
def _server() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if os.getuid() == 0:
        known = pwd.getpwnam(USER)
        os.chown(folder, known.pw_uid, known.pw_gid)
    data = str(folder / "data")
    _as_user([postgres_program("initdb"), "-D", data, "-U", USER, "-A", "trust", "--no-sync"])
    options = f"-k {folder} -c listen_addresses='' -c fsync=off -c max_connections=200"
    _as_user([postgres_program("pg_ctl"), "-D", data, "-o", options, "-w", "-l", str(folder / "log"), "start"])
    atexit.register(_as_user, [postgres_program("pg_ctl"), "-D", data, "-m", "immediate", "stop"])
    return folder


def _as_user(command: list[str]) -> None:
    """PostgreSQL refuses to run as root."""
    user = ["runuser", "-u", USER, "--"] if os.getuid() == 0 else ["env", f"PGUSER={USER}"]
    done = subprocess.run([*user, *command], capture_output=True, text=True, cwd="/", check=False)
    assert done.returncode == 0, done.stderr
