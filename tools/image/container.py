"""Starts an image the way Kubernetes does: as its own user, its root file system read-only, no capabilities, as PID 1.

Mounts and processes are in namespaces of their own; the network is the host's.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tools.image.buildah import Buildah

# $1 is the image's root, $2 a folder for its volumes, $3 its user, $4 its working directory; the rest is the
# environment and the command.
SCRIPT = """
set -e
root=$1 volumes=$2 user=$3 place=$4; shift 4
mount --make-rprivate /
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
for volume in cache tmp; do mount --bind "$volumes/$volume" "$root/$volume"; done
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
exec chroot --userspec="$user" --groups= "$root" /usr/bin/env --ignore-environment --chdir="$place" "$@"
"""


class Container:
    """A running image; a context manager that stops it.

    Args:
        folder: an empty folder for the volumes and the log.
        environment: variables beside the image's own.
    """

    def __init__(self, buildah: Buildah, image: str, folder: Path, environment: dict[str, str]) -> None:
        self.buildah, self.image, self.folder = buildah, image, folder
        described = json.loads(buildah.run("inspect", "--type=image", image))
        self.config: dict[str, Any] = described["Docker"]["config"]
        self.user: str = self.config["User"]
        own = dict(pair.split("=", 1) for pair in self.config["Env"])
        self.environment = [f"{name}={value}" for name, value in (own | environment).items()]
        self.log = folder / "log"

    def __enter__(self) -> Self:
        self.name = self.buildah.run("from", "--pull=never", self.image).strip()
        root = self.buildah.run("mount", self.name).strip()
        for volume in ("cache", "tmp"):
            (self.folder / volume).mkdir()
            (self.folder / volume).chmod(0o1777)
        command = ["/usr/bin/setpriv", "--no-new-privs", "--", *self.config["Entrypoint"], *self.config["Cmd"]]
        arguments = [root, str(self.folder), self.user, self.config["WorkingDir"], *self.environment, *command]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", SCRIPT, "sh", *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        self.buildah.run("rm", self.name)

    @property
    def pid(self) -> int:
        """The process that is PID 1 in the container, as the host numbers it."""
        own = self.process.pid
        return int(Path(f"/proc/{own}/task/{own}/children").read_text().split()[0])

    def status(self) -> dict[str, str]:
        """What the kernel says of that process (proc(5)), by name."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return {name: value.strip() for name, value in (line.split(":", 1) for line in lines)}

    def execute(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command in the container, as `docker exec` does, for a minute at most."""
        uid, gid = self.user.split(":")
        enter = [
            "nsenter",
            f"--target={self.pid}",
            "--mount",
            "--pid",
            "--root",
            "--wd",
            f"--setgid={gid}",
            f"--setuid={uid}",
        ]
        clean = ["/usr/bin/env", "--ignore-environment", *self.environment]
        return subprocess.run([*enter, *clean, *command], capture_output=True, text=True, timeout=60)

    def wait_healthy(self, seconds: float) -> float:
        """Run the image's health check until it succeeds; return the seconds that took. Raises TimeoutError."""
        started = time.monotonic()
        check = self.config["Healthcheck"]["Test"]
        while time.monotonic() - started < seconds:
            if self.process.poll() is not None:
                raise TimeoutError(f"It ended with status {self.process.returncode}:\n{self.log.read_text()}")
            try:
                if self.execute(*check[1:]).returncode == 0:
                    return time.monotonic() - started
            except (IndexError, FileNotFoundError, subprocess.TimeoutExpired):
                pass  # the process is not there yet, or slow to start
            time.sleep(0.5)
        raise TimeoutError(f"It is not healthy after {seconds:.0f} s:\n{self.log.read_text()}")

    def stop(self, seconds: float) -> int:
        """Send SIGTERM to PID 1; return the exit status. Raises subprocess.TimeoutExpired."""
        os.kill(self.pid, signal.SIGTERM)
        return self.process.wait(seconds)
