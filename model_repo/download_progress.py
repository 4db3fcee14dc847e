"""Says on standard error how far a download has come."""

import sys
import time

TERMINAL_SECONDS, LOG_SECONDS = 0.5, 15.0  # between two messages


def gigabytes(size: float) -> str:
    """Return a number of bytes as people read it: in GB of 10⁹ bytes, small ones in MB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


class DownloadProgress:
    """Counts the bytes of one download. A terminal has one line that changes, a log a line every 15 seconds."""

    def __init__(self, name: str, total: int, done: int = 0) -> None:
        """Start to count. name: what is downloaded; total, done: bytes in all, and bytes that are there already."""
        self._name, self._total, self._done = name, total, done
        self._on_terminal = sys.stderr.isatty()
        self._received = 0
        self._started_at = self._said_at = time.monotonic()
        self._say()

    def add(self, size: int) -> None:
        """Count bytes that have arrived, or a negative number of those that have to come again."""
        self._done += size
        self._received += size
        if time.monotonic() - self._said_at >= (TERMINAL_SECONDS if self._on_terminal else LOG_SECONDS):
            self._say()

    def finish(self) -> None:
        """Say how far it has come at the end."""
        self._say()
        if self._on_terminal:
            print(file=sys.stderr)

    def _say(self) -> None:
        self._said_at = time.monotonic()
        speed = self._received / max(self._said_at - self._started_at, 0.001)
        share = 100 * self._done / self._total if self._total else 100
        text = f"Fetching {self._name}: {gigabytes(self._done)} of {gigabytes(self._total)} ({share:.0f} %)"
        text += f", {gigabytes(speed)}/s" if self._received > 0 else ""
        if self._on_terminal:
            print(f"\r{text}   ", end="", file=sys.stderr, flush=True)
        else:
            print(f"{text}.", file=sys.stderr, flush=True)
