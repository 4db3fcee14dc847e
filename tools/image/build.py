"""Carries out every step of the Dockerfile with Buildah.

Two things differ from `docker build`, and nothing else: a cache of packages that this machine has (`UV_CACHE_DIR`, or
uv's usual place) is used instead of an empty one, and what this Buildah does not know of the health check is left out.
"""

import os
import re
from pathlib import Path

from tools.image.buildah import Buildah

CACHE = "/var/cache/uv"


def base_name(dockerfile: str) -> str:
    """Return the image that a Dockerfile begins with."""
    found = re.search(r"^FROM (\S+) AS base$", dockerfile, re.MULTILINE)
    if found is None:
        raise ValueError("The Dockerfile has no stage that is named base.")
    return found.group(1)


def adapted_dockerfile(dockerfile: str) -> str:
    """Return a Dockerfile whose cache of packages is a folder of the builder's, and that an older Buildah reads."""
    text, count = re.subn(rf"--mount=type=cache,target={CACHE} \\\n\s*", "", dockerfile)
    if not count:
        raise ValueError(f"The Dockerfile mounts no cache at {CACHE}.")
    return re.sub(r" --start-interval=\S+", "", text)


def build_image(buildah: Buildah, repository: Path, target: str, tag: str) -> None:
    """Build a target of the repository's Dockerfile and name it `tag`. Steps that have not changed are not repeated."""
    file = buildah.folder / "Dockerfile"
    file.write_text(adapted_dockerfile((repository / "Dockerfile").read_text()))
    volumes = [f"--volume={_package_cache()}:{CACHE}"]
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
