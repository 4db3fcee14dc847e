"""The extent of a recording: how far it reaches within its file, by the structure of its container.

What follows it is a tag, padding, another recording or unknown bytes (see `app.core.audio.containers.recordings`). A
decoder does not report this: it stops where the container ends, and reads a truncated file as a shorter one.
"""

from dataclasses import dataclass
from mmap import mmap

from app.core.audio.byte_ranges import ByteSource
from app.core.audio.containers.formats import find_format
from app.core.audio.containers.frames import find_stream
from app.core.audio.containers.padding import strip_tags

Data = bytes | mmap
_MAX_CANDIDATES = 1 << 17  # they are tried in a fraction of a second


@dataclass(frozen=True)
class Extent:
    """How far a recording reaches.

    Attributes:
        end: Position after the recording.
        truncated: The recording was cut off: it ends within a frame or packet.
        lost_bytes: Bytes within the recording that belong to nothing.
        unread: Sentences about audio in the recording that is not read.
        pieces: The bytes to decode, if they are not all bytes from start to end.
        container: The format of the pieces, if it differs from that of the file.
        further_recordings: Pieces of more audio with the same header (a second `data` chunk).
    """

    end: int
    truncated: bool = False
    lost_bytes: int = 0
    unread: tuple[str, ...] = ()
    pieces: tuple[ByteSource, ...] = ()
    container: str | None = None
    further_recordings: tuple[tuple[ByteSource, ...], ...] = ()


def find_end(data: Data, searched_from: int, *, trailing_zeros: bool = True) -> int:
    """Return the end of a recording whose container does not state it: the next recording, or the end without tags.

    Args:
        data: The file.
        searched_from: Position from which the next recording is searched for.
        trailing_zeros: Zeros at the end may be audio and are kept.
    """
    found = find_format(data, searched_from)
    end = found[1] if found is not None else strip_tags(data, searched_from, len(data), zeros=not trailing_zeros)
    stream = find_stream(data, searched_from, end, _MAX_CANDIDATES)
    return end if stream is None else strip_tags(data, searched_from, stream[1], zeros=not trailing_zeros)
