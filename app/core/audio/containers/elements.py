"""Finds the extent of files that consist of nested or listed elements: MP4, Matroska, ASF, FLV, AVI and WavPack.

Sources: ISO/IEC 14496-12 (MP4), RFC 8794 and 9559 (EBML, Matroska), Microsoft ASF 1.20.3, Adobe FLV 10.1, OpenDML 1.02
(AVI), WavPack 4 and 5 block format.
"""

import re

from app.core.audio.containers.extent import Data, Extent, find_end
from app.core.audio.containers.formats import find_format, match_format

_MP4_TOP_LEVEL_BOXES = re.compile(
    rb"ftyp|moov|mdat|free|skip|wide|uuid|meta|moof|mfra|sidx|ssix|styp|pnot|prft|emsg|PICT|pdin|bloc|imda|junk"
)
_EBML, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
# Elements of a segment and of a cluster, with those that may be anywhere (Void, CRC-32).
_SEGMENT_ELEMENTS = frozenset(
    (0x114D9B74, 0x1549A966, 0x1654AE6B, _CLUSTER, 0x1C53BB6B, 0x1043A770, 0x1254C367, 0x1941A469, 0xEC, 0xBF)
)
_CLUSTER_ELEMENTS = frozenset((0xE7, 0x5854, 0xA7, 0xAB, 0xA3, 0xA0, 0xAF, 0xEC, 0xBF))
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
# The third group of the GUID of ASF's own objects.
_ASF_GUID_VERSIONS = (b"\xcf\x11", b"\xd1\x11", b"\xd3\x11")
_FLV_TAGS = (8, 9, 15, 18)


def mp4_extent(data: Data, start: int) -> Extent:
    """Return the extent of MP4, MOV and 3GP: boxes, up to an unknown box or a second file."""
    position, length, seen = start, len(data), set[bytes]()
    while position + 8 <= length:
        size, name = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        if not _MP4_TOP_LEVEL_BOXES.fullmatch(name) or (name == b"ftyp" and seen & {b"moov", b"mdat"}):
            break
        if size == 1:
            size = int.from_bytes(data[position + 8 : position + 16], "big")
            if size < 16:
                break
        elif size == 0:
            return Extent(find_end(data, position + 8))  # to the end of the file
        elif size < 8:
            break
        seen.add(name)
        if position + size > length:
            following = find_format(data, position + 8)
            return Extent(following[1] if following else length, truncated=name in (b"mdat", b"moof", b"moov"))
        position += size
    else:
        return Extent(length, truncated=_is_partial(data[position:]))
    return Extent(position)


def matroska_extent(data: Data, start: int) -> Extent:
    """Return the extent of WebM and Matroska: an EBML header and one segment, whose size may be unknown (live)."""
    header = _ebml_element(data, start)
    if header is None or header[0] != _EBML or header[2] is None:
        return Extent(find_end(data, start + 4))
    position = header[1] + header[2]
    segment = _ebml_element(data, position)
    while segment is not None and segment[0] in (0xEC, 0xBF) and segment[2] is not None:
        position = segment[1] + segment[2]
        segment = _ebml_element(data, position)
    if segment is None or segment[0] != _SEGMENT:
        return Extent(find_end(data, start + 4))
    _, body, size = segment
    if size is not None:
        end = body + size
        if end <= len(data):
            return Extent(end)
        following = find_format(data, body)
        return Extent(following[1] if following else len(data), truncated=True)
    return _segment_extent(data, body)


def _is_partial(rest: bytes) -> bool:
    """Return whether the last few bytes of a file may start an element: they are neither zeros nor line ends."""
    return bool(rest.strip(b"\0\r\n\t "))


def _segment_extent(data: Data, position: int) -> Extent:
    """Return the extent of a segment of unknown size, whose clusters may have unknown sizes too."""
    length, in_cluster = len(data), False
    while position < length:
        found = _ebml_element(data, position)
        if found is None:
            # The header of an element that was cut off, or no element at all.
            truncated = length - position < 12 and _is_partial(data[position:])
            return Extent(length if truncated else position, truncated=truncated)
        name, body, size = found
        if name not in _SEGMENT_ELEMENTS and not (in_cluster and name in _CLUSTER_ELEMENTS):
            return Extent(position)
        if name == _CLUSTER and size is None:
            in_cluster = True
            position = body
            continue
        if size is None:
            return Extent(position)
        if body + size > length:
            following = find_format(data, body)
            return Extent(following[1] if following else length, truncated=True)
        if name in _SEGMENT_ELEMENTS and name not in (0xEC, 0xBF):
            in_cluster = False
        position = body + size
    return Extent(length)


def _ebml_element(data: Data, position: int) -> tuple[int, int, int | None] | None:
    """Return (ID, position of the body, its size or None if unknown) of the EBML element at `position`, or None."""
    head = data[position : position + 12]
    if len(head) < 2 or not head[0]:
        return None
    id_bytes = 9 - head[0].bit_length()
    if id_bytes > 4 or len(head) <= id_bytes or not head[id_bytes]:
        return None
    size_bytes = 9 - head[id_bytes].bit_length()
    if len(head) < id_bytes + size_bytes:
        return None
    raw = int.from_bytes(head[id_bytes : id_bytes + size_bytes], "big")
    unknown_size = (1 << 7 * size_bytes) - 1
    size = raw & unknown_size
    element_id, body = int.from_bytes(head[:id_bytes], "big"), position + id_bytes + size_bytes
    return element_id, body, None if size == unknown_size else size


def asf_extent(data: Data, start: int) -> Extent:
    """Return the extent of ASF (WMA): a header object, a data object, and indexes."""
    position, length, live = start, len(data), False
    packet_bytes = 0
    while position + 24 <= length:
        name, size = data[position : position + 16], int.from_bytes(data[position + 16 : position + 24], "little")
        if name == _ASF_HEADER:
            if position > start:
                break
            head = data[position : min(length, position + max(size, 24), position + (1 << 16))]
            found = head.find(_ASF_FILE_PROPERTIES)
            if found >= 0 and len(head) >= found + 100:
                live = bool(head[found + 88] & 1)
                packet_bytes = int.from_bytes(head[found + 92 : found + 96], "little")
        elif match_format(data, position) is not None or name[6:8] not in _ASF_GUID_VERSIONS:
            break
        if name == _ASF_DATA and (live or size < 50):
            return _asf_packets_extent(data, position + 50, packet_bytes)
        if size < 24:
            break
        if position + size > length:
            following = find_format(data, position + 24)
            return Extent(following[1] if following else length, truncated=name == _ASF_DATA)
        position += size
    return Extent(position)


def _asf_packets_extent(data: Data, start: int, size: int) -> Extent:
    """Return the extent of the packets of a live recording, whose number is unknown. Their first bytes are equal."""
    position, length = start, len(data)
    if not size:
        return Extent(find_end(data, start))
    first = data[start : start + 1]
    while position < length and data[position : position + 1] == first:
        position += size
    if position > length:
        return Extent(length, truncated=True)
    if data[position : position + 2] == b"$E":  # the end mark of a stream that is not a file (MS-WMSP 2.2.3)
        position = min(length, position + 12)
    return Extent(position)


def flv_extent(data: Data, start: int) -> Extent:
    """Return the extent of FLV: a header, then tags, each followed by its size."""
    position, length = start + int.from_bytes(data[start + 5 : start + 9], "big") + 4, len(data)
    while position < length:
        head = data[position : position + 11]
        if head[0] & 0x1F not in _FLV_TAGS or head[8:11].strip(b"\0") or head[0] & 0xC0:
            break
        if len(head) < 11:
            return Extent(length, truncated=True)
        end = position + 11 + int.from_bytes(head[1:4], "big") + 4
        if end > length + 4:
            following = find_format(data, position + 11)
            return Extent(following[1] if following else length, truncated=True)
        position = min(end, length)
    return Extent(min(position, length))


def avi_extent(data: Data, start: int) -> Extent:
    """Return the extent of AVI: a RIFF form, and the further forms of a long file (OpenDML)."""
    position, length = start, len(data)
    while position + 12 <= length and data[position : position + 4] == b"RIFF":
        if position > start and data[position + 8 : position + 12] != b"AVIX":
            break
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        if size < 4 or size >= 0x7FFF_0000:
            return Extent(find_end(data, position + 12))
        if position + 8 + size > length:
            following = find_format(data, position + 12)
            return Extent(following[1] if following else length)
        position += 8 + size + size % 2
    return Extent(min(position, length))


def wavpack_extent(data: Data, start: int) -> Extent:
    """Return the extent of WavPack: blocks. A block with index 0 after others starts another recording."""
    position, length, blocks = start, len(data), 0
    while position + 32 <= length and match_format(data, position) == "wavpack":
        head = data[position : position + 32]
        index, samples = int.from_bytes(head[16:20], "little"), int.from_bytes(head[20:24], "little")
        is_initial = bool(int.from_bytes(head[24:28], "little") & 0x800)
        if blocks and index == 0 and is_initial and samples and not head[10]:
            break
        end = position + 8 + int.from_bytes(head[4:8], "little")
        if end > length:
            return Extent(length, truncated=True)
        blocks += bool(samples)
        position = end
    else:
        if position < length and data[position : position + 4] == b"wvpk":
            return Extent(length, truncated=True)
    return Extent(position)
