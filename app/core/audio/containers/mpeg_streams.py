"""Finds the extent of MPEG transport and program streams, and whether their last packet is whole (ISO/IEC 13818-1)."""

import numpy as np

from app.core.audio.containers.extent import Data, Extent
from app.core.audio.containers.formats import find_format, find_transport_packets
from app.core.audio.containers.frames import match_stream
from app.core.audio.containers.padding import skip_padding

_SYNC = 0x47
_SEARCH_BYTES = 1 << 16
_PACKETS_AT_ONCE = 1 << 16
_MAX_FAULTS = 1000
_TAIL_PACKETS = 16_384  # that are searched for the last packet of each elementary stream
_AUDIO_STREAMS = (0xBD, *range(0xC0, 0xE0))
_MIN_CLOCK_STEP_S = 0.1  # a smaller step back is only disorder
_PROGRAM_END_CODE, _PACK_START_CODE = 0xB9, 0xBA


def transport_extent(data: Data, start: int) -> Extent:
    """Return the extent of MPEG-TS: packets with a sync byte each. Bytes between two runs of packets are lost."""
    found = find_transport_packets(data, start)
    size = found[1] if found else 188
    ahead = 4 if size == 192 else 0
    position, length, lost, faults = start, len(data), 0, 0
    while True:
        whole = min((length - position) // size, _PACKETS_AT_ONCE)
        # This slice has one byte of each packet.
        syncs = data[position + ahead : position + whole * size : size]
        good = len(syncs) - len(syncs.lstrip(b"\x47"))
        position += good * size
        if good == whole:
            if whole < _PACKETS_AT_ONCE:
                break
            continue
        again = find_transport_packets(data, position + 1, within=min(_SEARCH_BYTES, length - position - 1))
        if again is None or again[1] != size or faults == _MAX_FAULTS:
            break
        lost += again[0] - position
        position = again[0]
        faults += 1
    rest = length - position
    partial = ahead < rest < size and data[position + ahead] == _SYNC
    changed = _find_program_change(data, start, position, size, ahead) if not lost else None
    if changed is not None:
        return Extent(changed, truncated=_has_unfinished_packet(data, start, changed, size, ahead))
    end = length if partial else position
    return Extent(end, truncated=partial or _has_unfinished_packet(data, start, position, size, ahead), lost_bytes=lost)


def _find_program_change(data: Data, start: int, end: int, size: int, ahead: int) -> int | None:
    """Return the position of tables that differ from the first ones, as in another file that was joined, or None.

    FFmpeg keeps the codecs that it met first. The tables are compared byte by byte (2.4.4).
    """
    tables: dict[int, bytes] = {}
    programs: int | None = None
    last_association = start
    for first in range(start, end, _PACKETS_AT_ONCE * size):
        behind = min(end, first + _PACKETS_AT_ONCE * size)
        high = np.frombuffer(data[first + ahead + 1 : behind : size], np.uint8)
        low = np.frombuffer(data[first + ahead + 2 : behind : size], np.uint8)[: len(high)]
        streams = (high[: len(low)].astype(np.int32) & 0x1F) << 8 | low
        for number in np.flatnonzero((streams == 0) | (streams == (programs or 0)) | (programs is None)):
            position = first + int(number) * size
            packet = data[position + ahead : position + ahead + 188]
            stream = int(streams[number])
            if stream not in (0, programs) or not packet[1] & 0x40 or not packet[3] & 0x10:
                continue
            payload = packet[5 + packet[4] :] if packet[3] & 0x20 else packet[4:]
            if not stream:
                last_association = position
                programs = _program_map_pid(payload) if programs is None else programs
            if tables.setdefault(stream, payload) != payload:
                return last_association if last_association > start else None
    return None


def _program_map_pid(association: bytes) -> int | None:
    """Return the PID of the first program's map in a program association table, or None."""
    section = association[1 + association[0] :] if association else b""
    end = min(len(section), 3 + (section[1] & 15) * 256 + section[2]) - 7 if len(section) > 8 else 0
    for entry in range(8, end, 4):
        if section[entry : entry + 2] != b"\0\0":
            return (section[entry + 2] & 0x1F) << 8 | section[entry + 3]
    return None


def _has_unfinished_packet(data: Data, start: int, end: int, size: int, ahead: int) -> bool:
    """Return whether the last PES packet of an audio stream is shorter than its header states."""
    missing: dict[int, int] = {}
    for position in range(max(start, end - _TAIL_PACKETS * size), end - size + 1, size):
        packet = data[position + ahead : position + ahead + 188]
        if packet[0] != _SYNC or not packet[3] & 0x10:
            continue
        stream = (packet[1] & 0x1F) << 8 | packet[2]
        payload = packet[5 + packet[4] :] if packet[3] & 0x20 else packet[4:]
        if packet[1] & 0x40:
            missing.pop(stream, None)
            if payload[:3] == b"\0\0\1" and len(payload) >= 6 and payload[3] in _AUDIO_STREAMS:
                stated = int.from_bytes(payload[4:6], "big")
                if stated:
                    missing[stream] = stated + 6 - len(payload)
        elif stream in missing:
            missing[stream] -= len(payload)
    return any(count > 0 for count in missing.values())


def program_extent(data: Data, start: int) -> Extent:
    """Return the extent of MPEG-PS: packs and PES packets. A clock that goes back starts another recording."""
    position, length, lost, faults = start, len(data), 0, 0
    clock = -1.0
    while position < length:
        head = data[position : position + 14]
        if head[:3] != b"\0\0\1" or len(head) < 4 or head[3] < _PROGRAM_END_CODE:
            found = find_format(data, position, min(length, position + _SEARCH_BYTES))
            near = skip_padding(data, position)
            if found is None or found[0] != "mpegps" or faults == _MAX_FAULTS or match_stream(data, near) is not None:
                cut = length - position < 4 and head[:3] == b"\0\0\1"[: len(head)] and any(head)
                return Extent(length if cut else position, truncated=cut, lost_bytes=lost)
            lost += found[1] - near
            position = found[1]
            faults += 1
            continue
        if head[3] == _PACK_START_CODE and len(head) == 14:
            now = _clock_seconds(head)
            if now < clock - _MIN_CLOCK_STEP_S:
                return Extent(position, lost_bytes=lost)
            clock = now
        end = position + _program_packet_bytes(head)
        if end > length:
            return Extent(length, truncated=True, lost_bytes=lost)
        position = end
    return Extent(position, lost_bytes=lost)


def _clock_seconds(pack: bytes) -> float:
    """Return the clock of a pack header in seconds (MPEG-2: 2.5.3.3; MPEG-1: ISO/IEC 11172-1, 2.4.3.2)."""
    bits = int.from_bytes(pack[4:9], "big")
    if pack[4] >> 6 == 1:
        base = (bits >> 35 & 7) << 30 | (bits >> 19 & 0x7FFF) << 15 | (bits >> 3 & 0x7FFF)
    else:
        base = (bits >> 33 & 7) << 30 | (bits >> 17 & 0x7FFF) << 15 | (bits >> 1 & 0x7FFF)
    return base / 90_000


def _program_packet_bytes(head: bytes) -> int:
    if head[3] == _PROGRAM_END_CODE:
        return 4
    if head[3] != _PACK_START_CODE:
        return 6 + int.from_bytes(head[4:6], "big")
    if len(head) < 14:
        return 14
    return 14 + (head[13] & 7) if head[4] >> 6 == 1 else 12  # MPEG-2, else MPEG-1
