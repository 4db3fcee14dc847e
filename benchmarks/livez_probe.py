"""Requests `/livez` of a service again and again, each time on a new connection, as an orchestrator's probe does.

`python -m benchmarks.livez_probe PORT INTERVAL_S` runs until its standard input ends, in a process of its own, since
what a benchmark's own process is doing would count as the service's time. Then it prints the milliseconds of each
answer as one JSON list. Its status is 1 if an answer was not 200.
"""

import json
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

PROBE_INTERVAL_S = 0.02


@contextmanager
def probe_livez(port: int) -> Iterator[list[float]]:
    """Probe a service until the block ends. The list then has the milliseconds of each answer.

    Raises RuntimeError at the end if an answer was not 200.
    """
    command = [sys.executable, "-m", "benchmarks.livez_probe", str(port), str(PROBE_INTERVAL_S)]
    found: list[float] = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield found
        finally:
            output, _ = process.communicate("", timeout=60)
        if process.returncode:
            raise RuntimeError(f"/livez did not answer, or with an error (status {process.returncode})")
        found += json.loads(output)


def main(port: int, interval_s: float) -> int:
    """Probe until standard input ends; return the exit status."""
    found: list[float] = []
    while not found or not select.select([sys.stdin], [], [], interval_s)[0]:
        start = time.monotonic()
        with socket.create_connection(("127.0.0.1", port), 30) as connection:
            connection.sendall(b"GET /livez HTTP/1.1\r\nhost: probe\r\nconnection: close\r\n\r\n")
            answer = bytearray()
            while piece := connection.recv(4096):
                answer += piece
        if answer.split(b" ", 2)[1] != b"200":
            return 1
        found.append(1e3 * (time.monotonic() - start))
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), float(sys.argv[2])))
