"""How far a recording reaches within its file, told by the structure of its container.

What lies behind it is a tag, padding, a further recording or bytes that nobody reads:
`app.core.audio.containers.recordings` tells which. A
decoder alone does not show this: it stops where its container ends, and takes a file that breaks off for a shorter one.
"""

from dataclasses import dataclass
from mmap import mmap

from app.core.audio.byte_ranges import ByteSource
from app.core.audio.containers.formats import find_format
from app.core.audio.containers.frames import find_stream
from app.core.audio.containers.padding import strip_tags

Data = bytes | mmap
_MAX_CANDIDATES = 1 << 17  # a fraction of a second


@dataclass(frozen=True)
class Extent:
    """end: position behind the recording.

    cut: the bytes prove that the recording goes on behind them (half a frame, half a packet).
    lost: bytes within it that belong to nothing. unread: sentences about audio in it that is not read.
    pieces: the bytes to decode, where they are not all from its start to its end.
    container: the format that the pieces make a file of, where it is another one.
    further: pieces of more audio that its head describes too (a second `data` chunk).
    """

    end: int
    truncated: bool = False
    lost_bytes: int = 0
    unread: tuple[str, ...] = ()
    pieces: tuple[ByteSource, ...] = ()
    container: str | None = None
    further_recordings: tuple[tuple[ByteSource, ...], ...] = ()


def find_end(data: Data, searched_from: int, *, trailing_zeros: bool = True) -> int:
    """Where a recording ends whose container does not say: at the next one, or at the end of the file without its tags.

    trailing_zeros: zeros at the end may be audio and are kept.
    """
    found = find_format(data, searched_from)
    end = found[1] if found is not None else strip_tags(data, searched_from, len(data), zeros=not trailing_zeros)
    stream = find_stream(data, searched_from, end, _MAX_CANDIDATES)
    return end if stream is None else strip_tags(data, searched_from, stream[1], zeros=not trailing_zeros)
