"""The recordings that the clients send, spoken by espeak-ng, and files that are no recordings."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

SENTENCE = "The meeting decided to move the release to the ninth of May, and Anna will write to the customers."
LONG_SENTENCES = 14  # about 80 s, more than one pass of the service as the soak sets it up


@dataclass(frozen=True)
class Recordings:
    """Files as bytes. short: about 6 s. long: more than one pass. bad: files that must be refused, by name."""

    short: bytes
    long: bytes
    bad: dict[str, bytes]


def speak_recordings(folder: Path) -> Recordings:
    """Make the recordings. Raises FileNotFoundError if espeak-ng is not installed."""
    short = _speak(SENTENCE, folder / "short.wav")
    long = _speak(" ".join([SENTENCE] * LONG_SENTENCES), folder / "long.wav")
    bad = {
        "empty": b"",
        "text": b"This is no recording at all. " * 100,
        "header": short[:44],
        "zeros": bytes(5000),
    }
    return Recordings(short, long, bad)


def _speak(text: str, file: Path) -> bytes:
    subprocess.run(["espeak-ng", "-s", "160", "-w", str(file), text], check=True, capture_output=True)
    return file.read_bytes()
