"""Reads the formats that libsndfile does not read through FFmpeg (PyAV), packet by packet, into a sink."""

import re
from typing import Any

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet

from app.core.audio.byte_ranges import ByteRanges, ByteRangesFile, ReadReport, undecodable_error
from app.core.audio.containers.formats import ContainerFormat
from app.core.audio.containers.padding import skip_padding
from app.core.audio.readers.flac_integrity import FlacIntegrityCheck, bytes_after_frame
from app.core.audio.readers.frame_blocks import FrameBlocks
from app.core.audio.sample_sink import SampleSink
from app.core.errors import Unprocessable

# Shorter gaps are rounding errors of the container's clock (Matroska counts milliseconds).
_MIN_GAP_S = 0.1
_MAX_JUMP_S = 3600.0  # a longer jump of the clock is another stream, or another clock
_MIN_REPORTED_FLAC_BYTES = 16  # as many may be the start of a frame
# Matroska's Duration, a float of 4 or 8 bytes. It is in the Info element, near the beginning.
_EBML_DURATION, _EBML_SEARCH_BYTES = re.compile(rb"\x44\x89[\x84\x88]"), 1 << 16
_MAX_MP3_FRAME_BYTES = 2048  # more than any frame has
# Only these headers state the length of an MP3; any other length from FFmpeg is a guess from the bit rate.
_MP3_LENGTH_HEADERS = (b"Xing", b"Info", b"VBRI")


def read(data: ByteRanges, container: ContainerFormat, sink: SampleSink) -> ReadReport:
    """Decode the first audio track of a recording into a sink.

    Raises:
        Unprocessable: If the recording cannot be decoded or has no audio track; and what the sink raises.
    """
    try:
        # No other file is opened: the demuxer is set and no protocol is allowed.
        source = av.open(
            ByteRangesFile(data),
            mode="r",
            format=container.demuxer,
            metadata_errors="ignore",
            options={"protocol_whitelist": "pipe"},
        )
    except (FFmpegError, ValueError) as error:
        raise undecodable_error(container.label, getattr(error, "strerror", None) or str(error)) from error
    with source:
        if not source.streams.audio:
            message = f"The {container.label} file has no audio track ({len(source.streams)} others)."
            raise Unprocessable(message, code="no_audio_track", param="file")
        track = source.streams.audio[0]
        reading = ReadReport(declared_seconds=_declared_seconds(data, source, track, container))
        if len(source.streams.audio) > 1:
            reading.unread.append(
                f"The file has {len(source.streams.audio)} audio tracks; only the first was summarized."
            )
        if reading.declared_seconds is not None:
            sink.limits.check_seconds(sink.seconds + reading.declared_seconds, is_total=True)
        _decode_track(source, track, container, sink, reading)
    return reading


def _decode_track(
    source: InputContainer, track: AudioStream, container: ContainerFormat, sink: SampleSink, reading: ReadReport
) -> None:
    if track.codec_context is None:
        raise undecodable_error(container.label, "its audio codec is unknown")
    track.codec_context.thread_count = 1
    flac = None
    if track.codec_context.name == "flac":
        # Without this, a frame with a wrong checksum is decoded as it is.
        track.codec_context.options = {"err_detect": "crccheck+explode"}
        if container.name in ("flac", "ogg"):  # in others, a part of a stream may have the header of the whole
            flac = FlacIntegrityCheck(track.codec_context.extradata or b"")
    blocks, times = FrameBlocks(sink), _FrameTimes()
    filler = _GapFiller(blocks, times) if container.has_timestamps else None
    clock = _TimestampJumpCounter(times) if container.name in ("mpegts", "mpegps") else None
    packets = source.demux(track)
    failures, before = 0, sink.seconds
    last: Packet[Any] | None = None
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            break
        except (FFmpegError, IndexError) as error:  # PyAV raises IndexError if tracks are added later
            # The container ends here. Whether audio is missing is decided later, by the length that was announced.
            reason = getattr(error, "strerror", None) or str(error)
            if blocks.seconds == before:
                raise undecodable_error(container.label, reason) from error
            reading.unread.append(f"Reading the file stopped at {blocks.seconds:,.2f} s: {reason}.")
            break
        last = packet if packet.size else last
        try:
            frames = packet.decode()
        except FFmpegError:
            failures += 1
            reading.damaged_seconds += _packet_seconds(packet)
            continue
        for frame in frames:
            if not isinstance(frame, AudioFrame) or not frame.samples:
                continue
            if frame.is_corrupt:
                failures += 1
                reading.damaged_seconds += frame.samples / frame.sample_rate
            if filler is not None:
                filler.fill_gap_before(frame)
            if clock is not None:
                clock.add_frame(frame)
            samples = blocks.add(frame)
            if flac is not None:
                start = times.start_seconds(frame) if container.name == "flac" else None
                flac.add_frame(samples.T, frame.sample_rate, start)
    blocks.flush()
    if flac is not None:
        failures += flac.gap_count
        reading.damaged_seconds = max(reading.damaged_seconds, flac.lost_seconds)
    if failures:
        reading.unread.append(f"{failures} damaged packets could not be decoded ({reading.damaged_seconds:,.2f} s).")
        if sink.seconds == before:
            raise undecodable_error(container.label, "every packet is damaged")
    elif flac is not None:
        reading.unread += _flac_faults(flac, bytes(last) if last is not None and container.name == "flac" else b"")
    if clock is not None and clock.missing_seconds:
        reading.unread.append(
            f"{clock.missing_seconds:,.2f} s are missing within the stream, by the times of its packets."
        )
    if filler is not None and filler.filled_seconds:
        reading.warnings.append(f"{filler.filled_seconds:,.2f} s without data in the file were taken as silence.")


def _flac_faults(flac: FlacIntegrityCheck, last_packet: bytes) -> list[str]:
    faults = []
    if not flac.matches_md5():
        faults.append(
            "The decoded FLAC audio is not what was encoded (its MD5 sum differs): some of it is damaged or missing."
        )
    behind = bytes_after_frame(last_packet)
    is_tag = skip_padding(last_packet[len(last_packet) - behind :], 0) >= behind
    if behind >= _MIN_REPORTED_FLAC_BYTES and not is_tag:
        faults.append(
            f"{behind:,} bytes after the last whole FLAC frame were not read: the file may have been cut off."
        )
    return faults


class _GapFiller:
    """Fills gaps between timestamps (discontinuous transmission, lost packets) with silence."""

    def __init__(self, blocks: FrameBlocks, times: "_FrameTimes") -> None:
        self.filled_seconds = 0.0
        self._blocks = blocks
        self._times = times
        self._before = blocks.seconds
        self._start: float | None = None

    def fill_gap_before(self, frame: AudioFrame) -> None:
        time = self._times.start_seconds(frame)
        if time is None:
            return
        if self._start is None:
            self._start = time
        gap = time - self._start - (self._blocks.seconds - self._before)
        if gap > _MIN_GAP_S:
            self._blocks.add_silence(gap)
            self.filled_seconds += gap


class _TimestampJumpCounter:
    """Adds up what a transport stream lost in transmission: there its clock jumps forward.

    If the clock goes back or jumps by more than an hour, another stream was joined, or another clock is used.
    """

    def __init__(self, times: "_FrameTimes") -> None:
        self.missing_seconds = 0.0
        self._times = times
        self._expected: float | None = None

    def add_frame(self, frame: AudioFrame) -> None:
        time = self._times.start_seconds(frame)
        if time is not None:
            jump = 0.0 if self._expected is None else time - self._expected
            self.missing_seconds += jump if _MIN_GAP_S < jump < _MAX_JUMP_S else 0.0
            self._expected = time
        if self._expected is not None:
            self._expected += frame.samples / frame.sample_rate


class _FrameTimes:
    """The times of a track's frames. The unit of its clock is asked for once, since PyAV makes it a fraction anew."""

    def __init__(self) -> None:
        self._unit: tuple[int, int] | None = None

    def start_seconds(self, frame: AudioFrame) -> float | None:
        """Return the start of the frame in seconds, or None if it is unknown."""
        if frame.pts is None:
            return None
        if self._unit is None:
            if frame.time_base is None:
                return None
            self._unit = frame.time_base.numerator, frame.time_base.denominator
        return frame.pts * self._unit[0] / self._unit[1]


def _packet_seconds(packet: "Packet[Any]") -> float:
    """Return the length of a packet in seconds, or 0 if it is unknown."""
    return float(packet.duration * packet.time_base) if packet.duration and packet.time_base else 0.0


def _declared_seconds(
    data: ByteRanges, source: InputContainer, track: AudioStream, container: ContainerFormat
) -> float | None:
    if container.name == "mp3" and not any(mark in data[:_MAX_MP3_FRAME_BYTES] for mark in _MP3_LENGTH_HEADERS):
        return None
    if container.name in ("aac", "loas", "ac3", "eac3", "amr", "ogg", "asf", "avi", "mpegts", "mpegps"):
        return None  # guessed from the bit rate
    if container.name == "webm":
        noted = _clock_seconds(track.metadata.get("DURATION", ""))
        if noted is not None:
            return noted
        if not _EBML_DURATION.search(data[:_EBML_SEARCH_BYTES]):
            return None  # guessed from the bit rate
    if track.duration is not None and track.time_base is not None:
        return float(track.duration * track.time_base)
    if container.name in ("webm", "flv") and source.duration is not None and len(source.streams) == 1:
        return source.duration / av.time_base
    return None


def _clock_seconds(text: str) -> float | None:
    """Return the seconds of Matroska's DURATION tag, such as "00:01:02.500000000", or None."""
    try:
        hours, minutes, seconds = text.strip("\0 ").split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None
