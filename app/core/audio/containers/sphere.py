"""Reads the header of a NIST SPHERE file: lines of text that state how many samples follow.

Source: NIST Speech File Manipulation Software, SPHERE 2.6 (file format). Compressed files (shorten) state no size.
"""

from mmap import mmap

from app.core.audio.byte_ranges import ByteRanges

_COUNT_FIELDS = (b"sample_count", b"channel_count", b"sample_n_bytes")


def find_sphere_audio(data: bytes | mmap | ByteRanges, start: int) -> tuple[int, int] | None:
    """Return (position, bytes) of the audio in the file at `start`, or None if the header does not state them."""
    size = data[start + 8 : start + 15].strip()
    if not size.isdigit():
        return None
    values: dict[bytes, bytes] = {}
    for line in data[start + 16 : start + int(size)].split(b"\n"):
        name, _, rest = line.partition(b" -")
        values[name.strip()] = rest.partition(b" ")[2].strip()
    counts = [values.get(name, b"1" if name == b"channel_count" else b"") for name in _COUNT_FIELDS]
    if not all(count.isdigit() and len(count) < 12 for count in counts) or b"shorten" in values.get(
        b"sample_coding", b""
    ):
        return None
    samples, channels, width = (int(count) for count in counts)
    return start + int(size), samples * channels * width
