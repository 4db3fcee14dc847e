"""Decodes one file in this process and prints what it cost, as a decoding worker of the service would.

`python -m benchmarks.decode_once FILE` prints one line of JSON: CPU seconds, seconds of audio, and the peak memory of
the process in bytes. It is a program of its own, because the peak of a process counts all that it did before.
"""

import json
import mmap
import sys
import tempfile
import time
from pathlib import Path

from app.core.audio.decode import decode
from app.core.audio.limits import DecodeLimits
from app.core.audio.readers import ffmpeg  # noqa: F401  # workers have it loaded


def peak_bytes(pid: int | str = "self") -> int:
    """Return the peak memory of a process in bytes (VmHWM), or 0 if it has ended."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def main(path: str) -> None:
    """Decode a file into a file without a name, as a worker does."""
    with (
        open(path, "rb") as source,
        mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as data,
        tempfile.TemporaryFile() as samples,
    ):
        started_at = time.process_time()
        audio = decode(data, DecodeLimits(), samples)
        spent = time.process_time() - started_at
    print(json.dumps({"cpu_s": spent, "audio_s": audio.seconds, "peak_bytes": peak_bytes()}))


if __name__ == "__main__":
    main(sys.argv[1])
