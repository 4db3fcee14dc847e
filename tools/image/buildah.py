"""Runs Buildah on a storage of its own, with chroot for isolation: no daemon, no registry, no cgroups."""

import subprocess
from pathlib import Path


class Buildah:
    """Buildah's commands. folder: where images and containers are stored."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def command(self, name: str, *arguments: str) -> list[str]:
        """Return the command line of one of Buildah's commands."""
        storage = [f"--root={self.folder / 'storage'}", f"--runroot={self.folder / 'run'}"]
        return ["buildah", *storage, name, *arguments]

    def run(self, name: str, *arguments: str) -> str:
        """Run a command and return its output. Raises CalledProcessError if it fails; its errors go to the terminal."""
        return subprocess.run(self.command(name, *arguments), check=True, stdout=subprocess.PIPE, text=True).stdout

    def has_image(self, name: str) -> bool:
        """Return whether the storage has an image of this name."""
        done = subprocess.run(self.command("inspect", "--type=image", name), capture_output=True)
        return done.returncode == 0
