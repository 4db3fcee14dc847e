"""A walk over an Ogg file's pages (RFC 3533), for what the decoders do not tell: is it whole, is it one stream.

libsndfile plays the first of several chained streams and takes a file that breaks off for a shorter one.
"""

from dataclasses import dataclass

_HEADER = 27
_FIRST, _LAST = 2, 4


@dataclass(frozen=True)
class OggSurvey:
    """links: streams one after another. ended: the last page says it is. broken: bytes that are no whole page."""

    links: int
    ended: bool
    broken: bool


def survey(data: bytes) -> OggSurvey:
    """Walk the pages of `data`, skipping over what is not one."""
    position, links, flags, broken = 0, 0, 0, False
    seen_body = True
    while position < len(data):
        if data[position : position + 4] != b"OggS":
            broken = True
            position = data.find(b"OggS", position + 1)
            if position < 0:
                break
        body = position + _HEADER
        segments = data[body : body + data[body - 1]] if body <= len(data) else b""
        end = body + len(segments) + sum(segments)
        if end > len(data):
            broken = True
            break
        flags = data[position + 5]
        # First pages of streams that play together stand side by side; one after a body page starts the next link.
        if flags & _FIRST:
            links += seen_body
            seen_body = False
        else:
            seen_body = True
        position = end
    return OggSurvey(links=links, ended=bool(flags & _LAST), broken=broken)
