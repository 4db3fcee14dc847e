"""Carries out every step of the Dockerfile with Buildah.

Three things differ from `docker build`, and nothing else. A cache of packages that this machine has (`UV_CACHE_DIR`, or
uv's usual place) is used instead of an empty one. What an older Buildah does not know of the health check is left out.
Packages that are named are left out of the lock: with the scripted engine, the service imports neither PyTorch nor
vLLM, which are most of an image.
"""

import os
import re
from collections.abc import Set
from pathlib import Path

from tools.image.buildah import Buildah

CACHE = "/var/cache/uv"
LOCK = "/tmp/lock.txt"


def base_name(dockerfile: str) -> str:
    """Return the image that a Dockerfile begins with."""
    found = re.search(r"^FROM (\S+) AS base$", dockerfile, re.MULTILINE)
    if found is None:
        raise ValueError("The Dockerfile has no stage that is named base.")
    return found.group(1)


def adapted_dockerfile(dockerfile: str) -> str:
    """Return a Dockerfile whose cache of packages and whose lock are mounted by the builder.

    Raises ValueError if the Dockerfile has no such mounts.
    """
    text, caches = re.subn(rf"--mount=type=cache,target={CACHE} \\\n\s*", "", dockerfile)
    text, locks = re.subn(rf"--mount=type=bind,source=requirements/\S+,target={LOCK} \\\n\s*", "", text)
    if not caches or caches != locks:
        raise ValueError(f"The Dockerfile mounts {caches} caches at {CACHE} and {locks} locks at {LOCK}.")
    return re.sub(r" --start-interval=\S+", "", text)


def shortened_lock(lock: str, left_out: Set[str]) -> str:
    """Return a lock without some packages. Raises ValueError for a package that it does not have."""
    entries = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE)
    named = [(entry.split("==")[0], entry) for entry in entries]
    if unknown := left_out - {name for name, _ in named}:
        raise ValueError(f"The lock has no {', '.join(sorted(unknown))}.")
    return "".join(entry for name, entry in named if name not in left_out)


def build_image(buildah: Buildah, repository: Path, target: str, tag: str, left_out: Set[str] = frozenset()) -> None:
    """Build a target of the repository's Dockerfile and name it `tag`. Steps that have not changed are not repeated.

    Args:
        left_out: packages that are not installed, by their names in the lock.
    """
    file, lock = buildah.folder / "Dockerfile", buildah.folder / f"lock-{target}.txt"
    file.write_text(adapted_dockerfile((repository / "Dockerfile").read_text()))
    lock.write_text(shortened_lock((repository / f"requirements/serve-{target}.txt").read_text(), left_out))
    volumes = [f"--volume={_package_cache()}:{CACHE}", f"--volume={lock}:{LOCK}:ro"]
    arguments = []
    if wheels := os.environ.get("PIP_FIND_LINKS", "").split():
        volumes += [f"--volume={place}:{place}:ro" for place in wheels if Path(place).is_dir()]
        arguments += [f"--build-arg=TORCH_SOURCE={' '.join(f'--find-links {place}' for place in wheels)}"]
    how = ["--isolation=chroot", "--pull=never", "--layers", "--format=docker"]
    what = [f"--target={target}", f"--tag={tag}", f"--file={file}"]
    buildah.run("build", *how, *what, *volumes, *arguments, str(repository))


def _package_cache() -> Path:
    cache = Path(os.environ.get("UV_CACHE_DIR") or Path.home() / ".cache/uv")
    cache.mkdir(parents=True, exist_ok=True)
    return cache
