"""Packages from npm that tests need, installed once and kept in the user's cache folder by the digest of their lock."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path


def run(folder: Path, *command: str) -> str:
    """Run a command and return its output."""
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result.stdout


def install_packages(sources: Path, name: str) -> Path:
    """Return the folder `node_modules` with the packages that package.json and package-lock.json in `sources` name."""
    digest = hashlib.sha256((sources / "package-lock.json").read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / f"speechsum-tests/{name}-{digest}"
    if not (cache / "node_modules").is_dir():
        fresh = cache.with_name(f"{cache.name}-{os.getpid()}")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        for file in ("package.json", "package-lock.json"):
            shutil.copy(sources / file, fresh)
        run(fresh, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
        try:
            fresh.rename(cache)
        except OSError:  # another run was faster
            shutil.rmtree(fresh)
    return cache / "node_modules"
