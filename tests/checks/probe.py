"""Requests `/livez` of a service repeatedly, each time on a new connection, as an orchestrator's probe does.

`python tests/checks/probe.py PORT INTERVAL_S` runs until its standard input ends. Then it prints one JSON list of
[monotonic time at the start, seconds, status]. This program knows nothing about the service.
"""

import json
import select
import socket
import sys
import time


def get_livez_status(port: int) -> int:
    """Return the status of one answer, which is read to its end."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nhost: probe\r\nconnection: close\r\n\r\n")
        answer = bytearray()
        while piece := connection.recv(4096):
            answer += piece
    return int(answer.split(b" ", 2)[1])


def main() -> None:
    port, interval_s = int(sys.argv[1]), float(sys.argv[2])
    found: list[tuple[float, float, int]] = []
    while not select.select([sys.stdin], [], [], interval_s)[0]:
        start = time.monotonic()
        status = get_livez_status(port)
        found.append((start, time.monotonic() - start, status))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
