"""Reads everything libsndfile does not through FFmpeg (PyAV), packet by packet, into a sink."""

from mmap import mmap
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from numpy.typing import NDArray

from app.audio.reading import Reading, View, undecodable
from app.audio.sink import Sink
from app.audio.sniff import Format
from app.errors import Unprocessable

# Gaps shorter than this are rounding in the container's clock (Matroska counts milliseconds).
_SHORTEST_GAP_S = 0.1
# An MP3's length is announced only by these headers; anything else FFmpeg says of it is a guess from the bit rate.
_MP3_LENGTH_HEADERS = (b"Xing", b"Info", b"VBRI")


def read(data: bytes | mmap, container: Format, sink: Sink) -> Reading:
    """Decode the first audio track of `data` into `sink`. Raises `Unprocessable` and what the sink raises."""
    try:
        # Nothing but this file is opened: the demuxer is forced and no protocol is allowed.
        source = av.open(
            View(data),
            mode="r",
            format=container.demuxer,
            metadata_errors="ignore",
            options={"protocol_whitelist": "pipe"},
        )
    except (FFmpegError, ValueError) as error:
        raise undecodable(container.label, getattr(error, "strerror", None) or str(error)) from error
    with source:
        if not source.streams.audio:
            message = f"The {container.label} file has no audio track ({len(source.streams)} others)."
            raise Unprocessable(message, code="no_audio_track", param="file")
        track = source.streams.audio[0]
        reading = Reading(promised=_promised_seconds(data, source, track, container))
        if len(source.streams.audio) > 1:
            reading.warnings.append(
                f"The file has {len(source.streams.audio)} audio tracks; only the first was summarized."
            )
        if reading.promised is not None:
            sink.limits.check_seconds(reading.promised, whole=True)
        _read_track(source, track, container, sink, reading)
    return reading


def _read_track(source: InputContainer, track: AudioStream, container: Format, sink: Sink, reading: Reading) -> None:
    if track.codec_context is None:
        raise undecodable(container.label, "its audio codec is unknown")
    track.codec_context.thread_count = 1
    filler = _GapFiller(sink) if container.timed else None
    packets = source.demux(track)
    failures = 0
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            break
        except (FFmpegError, IndexError) as error:  # IndexError: PyAV, of a file that adds tracks on the way
            # The container breaks off here. What it promised decides later whether the rest is missed.
            reason = getattr(error, "strerror", None) or str(error)
            if not sink.seconds:
                raise undecodable(container.label, reason) from error
            reading.warnings.append(f"Reading the file stopped at {sink.seconds:,.2f} s: {reason}.")
            break
        lost = float(packet.duration * packet.time_base) if packet.duration and packet.time_base else 0.0
        try:
            frames = packet.decode()
        except FFmpegError:
            failures += 1
            reading.damaged += lost
            continue
        for frame in frames:
            if not isinstance(frame, AudioFrame) or not frame.samples:
                continue
            if frame.is_corrupt:
                failures += 1
                reading.damaged += frame.samples / frame.sample_rate
            if filler is not None:
                filler.before(frame)
            sink.write(_float_frames(frame), frame.sample_rate)
    if failures:
        reading.warnings.append(f"{failures} damaged packets could not be decoded ({reading.damaged:,.2f} s).")
        if not sink.seconds:
            raise undecodable(container.label, "every packet is damaged")
    if filler is not None and filler.filled:
        reading.warnings.append(f"{filler.filled:,.2f} s without data in the file were taken as silence.")


class _GapFiller:
    """Puts silence where timestamps leave a gap (discontinuous transmission, lost packets), so that time stays true."""

    def __init__(self, sink: Sink) -> None:
        self.filled = 0.0
        self._sink = sink
        self._start: float | None = None

    def before(self, frame: AudioFrame) -> None:
        if frame.pts is None or frame.time_base is None:
            return
        time = float(frame.pts * frame.time_base)
        if self._start is None:
            self._start = time
        gap = time - self._start - self._sink.seconds
        if gap > _SHORTEST_GAP_S:
            self._sink.silence(gap)
            self.filled += gap


def _promised_seconds(
    data: bytes | mmap, source: InputContainer, track: AudioStream, container: Format
) -> float | None:
    if container.name == "mp3" and not any(mark in data[: _first_frame_end(data)] for mark in _MP3_LENGTH_HEADERS):
        return None
    if container.name in ("aac", "amr", "ogg", "asf", "avi", "mpegts"):
        return None  # guessed from the bit rate
    if track.duration is not None and track.time_base is not None:
        return float(track.duration * track.time_base)
    if container.name == "webm":
        noted = _clock_seconds(track.metadata.get("DURATION", ""))
        if noted is not None:
            return noted
    if container.name in ("webm", "flv") and source.duration is not None and len(source.streams) == 1:
        return source.duration / av.time_base
    return None


def _first_frame_end(data: bytes | mmap) -> int:
    """Upper bound of where an MP3's first frame ends: behind its ID3v2 tag and the longest frame there is."""
    tag = 0
    if data[:3] == b"ID3" and len(data) > 10:
        tag = 10 + (data[6] << 21 | data[7] << 14 | data[8] << 7 | data[9])
    return tag + 2048


def _clock_seconds(text: str) -> float | None:
    """Seconds of Matroska's DURATION tag, "00:01:02.500000000"."""
    try:
        hours, minutes, seconds = text.strip("\0 ").split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None


def _float_frames(frame: AudioFrame) -> NDArray[np.float32]:
    """A frame's samples as float32 (frames, channels), integers scaled to [-1, 1].

    Raises `Unprocessable` for the one sample format that NumPy is not given (64-bit integers, which nobody records).
    """
    try:
        raw: NDArray[Any] = frame.to_ndarray()
    except ValueError as error:
        message = f"Samples of type {frame.format.name} are not supported."
        raise Unprocessable(message, code="undecodable_audio", param="file") from error
    channels = frame.layout.nb_channels
    interleaved = raw.T if frame.format.is_planar else raw.reshape(-1, channels)
    if interleaved.dtype == np.uint8:
        return (interleaved.astype(np.float32) - 128.0) / 128.0
    if np.issubdtype(interleaved.dtype, np.integer):
        return interleaved.astype(np.float32) / np.float32(2.0 ** (8 * interleaved.dtype.itemsize - 1))
    return interleaved.astype(np.float32, copy=False)
