"""Debian's real nginx on the loopback, with deploy/nginx.conf as it is but for the ports."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.deploy.dashboard import ROOT
from tests.deploy.prometheus import free_port

SITE = ROOT / "deploy/nginx.conf"
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def replace_once(text: str, old: str, new: str) -> str:
    """`text` with the one line part `old` changed; a file that no longer has it is a failure."""
    assert text.count(old) == 1, f"{SITE} has {old!r} {text.count(old)} times"
    return text.replace(old, new)


@contextmanager
def in_front_of(port: int, folder: Path, read_timeout: str | None = "910s") -> Iterator[int]:
    """Run nginx in front of a service's port; its own port. read_timeout: None leaves nginx's default."""
    own = free_port()
    site = replace_once(SITE.read_text(), "listen 80;", f"listen 127.0.0.1:{own};")
    site = replace_once(site, "server 127.0.0.1:8000;", f"server 127.0.0.1:{port};")
    timeout = "" if read_timeout is None else f"proxy_read_timeout {read_timeout};"
    site = replace_once(site, "proxy_read_timeout 910s;", timeout)
    (folder / "site.conf").write_text(site)
    places = "".join(f"{name}_temp_path {folder / name};\n" for name in TEMPORARY)
    main = (
        f"{'user root;' if os.geteuid() == 0 else ''} daemon off; pid {folder / 'pid'}; error_log stderr info;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{places}include {folder / 'site.conf'};\n}}\n"
    )
    (folder / "nginx.conf").write_text(main)
    command = [binary(), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
    log = folder / "nginx.log"
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait(own, process, log)
        yield own
    finally:
        process.terminate()
        process.wait(20)


def binary() -> str:
    """Path of nginx; a missing one is a failure, not a skip. Debian keeps it where not every PATH looks."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    assert found is not None, "nginx is not installed: apt-get install nginx-light"
    return found


def _wait(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 20
    while True:
        assert process.poll() is None, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
