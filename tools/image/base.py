"""The base image that the Dockerfile names, made with debootstrap where no registry can be reached.

It stands in for the official one: the same Debian with Python at the same place. It has this machine's package sources
and certificates, because the steps of the Dockerfile are to reach what this machine reaches.
"""

import os
import shutil
import subprocess
from pathlib import Path

from tools.image.buildah import Buildah

PACKAGES = ("ca-certificates", "python3", "python3-pip", "python3-venv")
# Where this machine says what it installs from; what is there is copied.
SOURCES = ("etc/apt/sources.list", "etc/apt/sources.list.d", "etc/apt/apt.conf.d", "etc/pip.conf")
CERTIFICATES = Path("etc/ssl/certs/ca-certificates.crt")
# The official image has Python in /usr/local and pip that installs beside it.
LINKS = {"usr/local/bin/python": "/usr/bin/python3", "usr/local/bin/pip": "/usr/bin/pip3"}


def make_base(buildah: Buildah, name: str, suite: str, root: Path) -> None:
    """Make the image `name` from Debian's `suite`, unless Buildah's storage has it.

    Args:
        root: the folder that debootstrap fills; one that is complete is used again.
    """
    if buildah.has_image(name):
        return
    if not (root / "usr/bin/python3").exists():
        shutil.rmtree(root, ignore_errors=True)
        subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", suite, str(root), *_mirror()],
            check=True,
        )
    _copy_sources(root)
    for link, target in LINKS.items():
        (root / link).unlink(missing_ok=True)
        (root / link).symlink_to(target)
    for marker in root.glob("usr/lib/python3.*/EXTERNALLY-MANAGED"):  # the official image has none
        marker.unlink()
    container = buildah.run("from", "scratch").strip()
    buildah.run("copy", "--quiet", container, str(root), "/")
    variables = {"PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", **_certificate_variables()}
    buildah.run("config", *(f"--env={key}={value}" for key, value in variables.items()), container)
    buildah.run("commit", "--quiet", "--rm", container, name)


def _mirror() -> list[str]:
    """The mirror of this machine's own sources, if they are in one of the two usual places."""
    for path in (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list")):
        words = path.read_text().split() if path.exists() else []
        addresses = [word for word in words if "://" in word and "security" not in word]
        if addresses:
            return addresses[:1]
    return []


def _copy_sources(root: Path) -> None:
    for place in SOURCES:
        source, target = Path("/", place), root / place
        if source.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target)
        else:
            target.unlink(missing_ok=True)  # what debootstrap wrote would come twice
            if source.exists():
                shutil.copy(source, target)
    if Path("/", CERTIFICATES).exists():
        shutil.copy(Path("/", CERTIFICATES), root / CERTIFICATES)


def _certificate_variables() -> dict[str, str]:
    """The variables that name this machine's certificates, as far as the copy has them."""
    return {
        name: value for name, value in os.environ.items() if value == f"/{CERTIFICATES}" and name.startswith("SSL_")
    }
