"""Checks decoded FLAC for what decoders do not report (RFC 9639): lost frames, a wrong MD5 sum, bytes after the end.

Decoders skip a damaged frame and read the others as the whole. The MD5 sum in the header shows whether the samples are
those that were encoded. A sum of zeros means that the encoder stored none, as when it writes to a pipe.
"""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

_STREAMINFO_BYTES = 34
_MIN_GAP_S = 0.001


class FlacIntegrityCheck:
    """Checks one stream while it is decoded.

    Args:
        streaminfo: The body of its STREAMINFO block (RFC 9639, 8.2).

    Attributes:
        lost_seconds: Seconds that are missing between frames, by the numbers of the frames.
        gap_count: Number of such gaps.
    """

    def __init__(self, streaminfo: bytes) -> None:
        whole = len(streaminfo) >= _STREAMINFO_BYTES
        self.lost_seconds = 0.0
        self.gap_count = 0
        self._stored_md5 = streaminfo[18:34] if whole else bytes(16)
        self._bits = ((streaminfo[12] & 1) << 4 | streaminfo[13] >> 4) + 1 if whole else 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._seconds = 0.0
        self._start: float | None = None

    def add_frame(self, samples: NDArray[Any], rate: int, time: float | None) -> None:
        """Add a decoded frame.

        Args:
            samples: int16 or int32, shape (n, channels). Samples with fewer bits fill the upper bits of the type.
            rate: Sampling rate in Hz.
            time: Start of the frame in seconds, by its number, or None if it is unknown.
        """
        if time is not None:
            if self._start is None:
                self._start = time - self._seconds
            gap = time - self._start - self._seconds - self.lost_seconds
            if gap > _MIN_GAP_S:
                self.lost_seconds += gap
                self.gap_count += 1
        self._seconds += len(samples) / rate
        width = samples.dtype.itemsize * 8
        if self._bits > width or not any(self._stored_md5):
            return
        values = np.ascontiguousarray(samples) >> (width - self._bits)
        little = values.astype(f"<i{values.dtype.itemsize}", copy=False)
        octets = little.view(np.uint8).reshape(-1, values.dtype.itemsize)[:, : (self._bits + 7) // 8]
        self._md5.update(np.ascontiguousarray(octets).data)

    def matches_md5(self) -> bool:
        """Return whether the samples have the MD5 sum in the header. True if the header has none."""
        return not any(self._stored_md5) or self._md5.digest() == self._stored_md5


def bytes_after_frame(packet: bytes) -> int:
    """Return the number of bytes after the FLAC frame that a packet starts with, found by the frame's checksum.

    A frame ends with its CRC-16, and the CRC-16 over the whole frame is zero (RFC 9639, 9.3).
    """
    crc, after = 0, 0
    for number, octet in enumerate(packet, start=1):
        crc = (crc << 8 & 0xFFFF) ^ _CRC16[crc >> 8 ^ octet]
        if not crc and number > _MIN_FRAME_BYTES and not after:
            after = number
    return len(packet) - after if crc and after else 0


def _crc16_table() -> tuple[int, ...]:
    table = []
    for octet in range(256):
        crc = octet << 8
        for _ in range(8):
            crc = crc << 1 ^ (0x8005 if crc & 0x8000 else 0)
        table.append(crc & 0xFFFF)
    return tuple(table)


_MIN_FRAME_BYTES = 10
_CRC16 = _crc16_table()
