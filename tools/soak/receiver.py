"""The webhook receiver's program: it writes each delivery to a file, and only then accepts it.

`python -m tools.soak.receiver PORT FILE`. It is killed in the course of a soak; what it accepted must be in the file.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def main(port: int, file: Path) -> None:
    """Serve until killed."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            row = {"id": self.headers["webhook-id"], "job": json.loads(body)["data"]["id"]}
            with file.open("ab") as rows:
                rows.write(json.dumps(row).encode() + b"\n")
                rows.flush()
                os.fsync(rows.fileno())
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


def read_deliveries(file: Path) -> list[tuple[str, str]]:
    """Return job and webhook id of each delivery. A row that was cut by a kill was never accepted."""
    deliveries: list[tuple[str, str]] = []
    for line in file.read_bytes().splitlines() if file.exists() else []:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        deliveries.append((row["job"], row["id"]))
    return deliveries


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
