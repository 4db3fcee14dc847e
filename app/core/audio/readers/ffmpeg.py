"""Reads everything libsndfile does not through FFmpeg (PyAV), packet by packet, into a sink."""

import re
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from numpy.typing import NDArray

from app.core.audio.byte_ranges import Reading, Stretch, View, undecodable
from app.core.audio.containers.formats import Format
from app.core.audio.containers.padding import skip
from app.core.audio.readers.flac_integrity import FlacCheck, bytes_behind_frame
from app.core.audio.sample_sink import Sink
from app.core.errors import Unprocessable

# Gaps shorter than this are rounding in the container's clock (Matroska counts milliseconds).
_SHORTEST_GAP_S = 0.1
# An MP3's length is announced only by these headers; anything else FFmpeg says of it is a guess from the bit rate.
_LONGEST_JUMP_S = 3600.0
_NOTEWORTHY_FLAC_BYTES = 16  # they may be the beginning of a frame
# Matroska's Duration, a float of 4 or 8 bytes; it stands in the Info element, near the beginning.
_EBML_DURATION, _EBML_HEAD = re.compile(rb"\x44\x89[\x84\x88]"), 1 << 16
_LONGEST_FRAME = 2048  # of an MP3, and more
_MP3_LENGTH_HEADERS = (b"Xing", b"Info", b"VBRI")


def read(data: Stretch, container: Format, sink: Sink) -> Reading:
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
            reading.unread.append(
                f"The file has {len(source.streams.audio)} audio tracks; only the first was summarized."
            )
        if reading.promised is not None:
            sink.limits.check_seconds(sink.seconds + reading.promised, whole=True)
        _read_track(source, track, container, sink, reading)
    return reading


def _read_track(source: InputContainer, track: AudioStream, container: Format, sink: Sink, reading: Reading) -> None:
    if track.codec_context is None:
        raise undecodable(container.label, "its audio codec is unknown")
    track.codec_context.thread_count = 1
    flac = None
    if track.codec_context.name == "flac":
        # Else a frame whose checksum is wrong is played as it is.
        track.codec_context.options = {"err_detect": "crccheck+explode"}
        if container.name in ("flac", "ogg"):  # others copy a stream's head to a part of it
            flac = FlacCheck(track.codec_context.extradata or b"")
    filler = _GapFiller(sink) if container.timed else None
    clock = _ClockJumps() if container.name in ("mpegts", "mpegps") else None
    packets = source.demux(track)
    failures, before = 0, sink.seconds
    last: Packet | None = None
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            break
        except (FFmpegError, IndexError) as error:  # IndexError: PyAV, of a file that adds tracks on the way
            # The container breaks off here. What it promised decides later whether the rest is missed.
            reason = getattr(error, "strerror", None) or str(error)
            if sink.seconds == before:
                raise undecodable(container.label, reason) from error
            reading.unread.append(f"Reading the file stopped at {sink.seconds:,.2f} s: {reason}.")
            break
        last = packet if packet.size else last
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
            if clock is not None:
                clock.follow(frame)
            samples = _interleave(frame)
            if flac is not None:
                flac.add(samples, frame.sample_rate, _seconds(frame) if container.name == "flac" else None)
            sink.write(_scale_to_float(samples), frame.sample_rate)
    if flac is not None:
        failures += flac.gaps
        reading.damaged = max(reading.damaged, flac.lost)
    if failures:
        reading.unread.append(f"{failures} damaged packets could not be decoded ({reading.damaged:,.2f} s).")
        if sink.seconds == before:
            raise undecodable(container.label, "every packet is damaged")
    elif flac is not None:
        reading.unread += _flac_faults(flac, bytes(last) if last is not None and container.name == "flac" else b"")
    if clock is not None and clock.missing:
        reading.unread.append(f"{clock.missing:,.2f} s are missing within the stream, by the times of its packets.")
    if filler is not None and filler.filled:
        reading.warnings.append(f"{filler.filled:,.2f} s without data in the file were taken as silence.")


def _flac_faults(flac: FlacCheck, last_packet: bytes) -> list[str]:
    faults = []
    if not flac.is_as_encoded():
        faults.append(
            "The decoded FLAC audio is not what was encoded (its MD5 sum differs): some of it is damaged or missing."
        )
    behind = bytes_behind_frame(last_packet)
    is_tag = skip(last_packet[len(last_packet) - behind :], 0) >= behind
    if behind >= _NOTEWORTHY_FLAC_BYTES and not is_tag:
        faults.append(
            f"{behind:,} bytes behind the last whole FLAC frame were not read: the file may have been cut off."
        )
    return faults


class _GapFiller:
    """Puts silence where timestamps leave a gap (discontinuous transmission, lost packets), so that time stays true."""

    def __init__(self, sink: Sink) -> None:
        self.filled = 0.0
        self._sink = sink
        self._before = sink.seconds
        self._start: float | None = None

    def before(self, frame: AudioFrame) -> None:
        time = _seconds(frame)
        if time is None:
            return
        if self._start is None:
            self._start = time
        gap = time - self._start - (self._sink.seconds - self._before)
        if gap > _SHORTEST_GAP_S:
            self._sink.silence(gap)
            self.filled += gap


class _ClockJumps:
    """Adds up what a transport stream lost on its way: its clock then jumps forward. Where it goes back or jumps by
    more than an hour, another stream was joined to it, or another clock took over.
    """

    def __init__(self) -> None:
        self.missing = 0.0
        self._expected: float | None = None

    def follow(self, frame: AudioFrame) -> None:
        time = _seconds(frame)
        if time is not None:
            jump = 0.0 if self._expected is None else time - self._expected
            self.missing += jump if _SHORTEST_GAP_S < jump < _LONGEST_JUMP_S else 0.0
            self._expected = time
        if self._expected is not None:
            self._expected += frame.samples / frame.sample_rate


def _seconds(frame: AudioFrame) -> float | None:
    """When the frame starts, where that is known."""
    return None if frame.pts is None or frame.time_base is None else float(frame.pts * frame.time_base)


def _promised_seconds(data: Stretch, source: InputContainer, track: AudioStream, container: Format) -> float | None:
    if container.name == "mp3" and not any(mark in data[:_LONGEST_FRAME] for mark in _MP3_LENGTH_HEADERS):
        return None
    if container.name in ("aac", "loas", "ac3", "eac3", "amr", "ogg", "asf", "avi", "mpegts", "mpegps"):
        return None  # guessed from the bit rate
    if container.name == "webm":
        noted = _clock_seconds(track.metadata.get("DURATION", ""))
        if noted is not None:
            return noted
        if not _EBML_DURATION.search(data[:_EBML_HEAD]):
            return None  # guessed from the bit rate
    if track.duration is not None and track.time_base is not None:
        return float(track.duration * track.time_base)
    if container.name in ("webm", "flv") and source.duration is not None and len(source.streams) == 1:
        return source.duration / av.time_base
    return None


def _clock_seconds(text: str) -> float | None:
    """Seconds of Matroska's DURATION tag, "00:01:02.500000000"."""
    try:
        hours, minutes, seconds = text.strip("\0 ").split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None


def _interleave(frame: AudioFrame) -> NDArray[Any]:
    """A frame's samples as they are, shape (frames, channels).

    Raises `Unprocessable` for the one sample format that NumPy is not given (64-bit integers, which nobody records).
    """
    try:
        raw: NDArray[Any] = frame.to_ndarray()
    except ValueError as error:
        message = f"Samples of type {frame.format.name} are not supported."
        raise Unprocessable(message, code="undecodable_audio", param="file") from error
    return raw.T if frame.format.is_planar else raw.reshape(-1, frame.layout.nb_channels)


def _scale_to_float(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Samples as float32, integers scaled to [-1, 1]."""
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128.0) / 128.0
    if np.issubdtype(samples.dtype, np.integer):
        return samples.astype(np.float32) / np.float32(2.0 ** (8 * samples.dtype.itemsize - 1))
    return samples.astype(np.float32, copy=False)
