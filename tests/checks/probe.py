"""Asks `/livez` of a service again and again from a process of its own, each time on a new connection, as an
orchestrator's probe does, and says when and how long it took.

`python tests/checks/probe.py PORT EVERY_S` until its standard input ends; then one JSON list of [monotonic time at the
start, seconds, status] on standard output. Knows nothing about the service.
"""

import json
import select
import socket
import sys
import time


def ask(port: int) -> int:
    """The status of one answer, read to its end."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nhost: probe\r\nconnection: close\r\n\r\n")
        answer = bytearray()
        while piece := connection.recv(4096):
            answer += piece
    return int(answer.split(b" ", 2)[1])


def main() -> None:
    port, every_s = int(sys.argv[1]), float(sys.argv[2])
    found: list[tuple[float, float, int]] = []
    while not select.select([sys.stdin], [], [], every_s)[0]:
        began = time.monotonic()
        status = ask(port)
        found.append((began, time.monotonic() - began, status))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
