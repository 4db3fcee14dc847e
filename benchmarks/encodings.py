"""The speech of `benchmarks.recordings` as files in the formats that callers send.

Knows nothing about what is measured.
"""

import io
from collections.abc import Callable
from fractions import Fraction
from typing import cast

import av
import numpy as np
import soxr
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream

from benchmarks.recordings import RATE, Samples, encode_wav

OPUS_RATE, OPUS_PACKET_SAMPLES = 48_000, 2880  # 60 ms
MINUTE_PACKETS = 60 * OPUS_RATE // OPUS_PACKET_SAMPLES
_DELAY_SAMPLES = 8  # between the channels of a stereo file: half a millisecond, as between two microphones


def _wav(samples: Samples) -> bytes:
    return encode_wav(samples)


def _encoder(
    kind: str, codec: str, rate: int, layout: str, bit_rate: int, **options: str
) -> Callable[[Samples], bytes]:
    def encode(samples: Samples) -> bytes:
        buffer = io.BytesIO()
        with av.open(buffer, "w", format=kind) as target:
            track = cast(AudioStream, target.add_stream(codec, rate=rate, layout=layout, options=options))
            track.bit_rate = bit_rate
            target.mux(track.encode(_frame(samples, rate, layout)))
            target.mux(track.encode())
        return buffer.getvalue()

    return encode


def _frame(samples: Samples, rate: int, layout: str) -> AudioFrame:
    sound = np.asarray(soxr.resample(samples, RATE, rate), np.float32)
    channels = [sound] if layout == "mono" else [sound, 0.8 * np.roll(sound, _DELAY_SAMPLES * rate // RATE)]
    frames = (np.clip(np.stack(channels, axis=1), -1, 1) * 32_767).astype(np.int16)
    frame = AudioFrame.from_ndarray(frames.reshape(1, -1), format="s16", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    return frame


# By a name that says what is in the file. Each returns the file for mono samples at `RATE`.
ENCODINGS: dict[str, Callable[[Samples], bytes]] = {
    "wav, 16 kHz mono": _wav,
    "flac, 44.1 kHz stereo": _encoder("flac", "flac", 44_100, "stereo", 0),
    "mp3, 44.1 kHz stereo": _encoder("mp3", "libmp3lame", 44_100, "stereo", 128_000),
    "m4a, 44.1 kHz mono": _encoder("mp4", "aac", 44_100, "mono", 64_000),
    "m4a, 48 kHz stereo": _encoder("mp4", "aac", 48_000, "stereo", 128_000),
    "webm opus, 48 kHz stereo": _encoder("webm", "libopus", OPUS_RATE, "stereo", 48_000, compression_level="2"),
    "ogg opus, 48 kHz mono": _encoder("ogg", "libopus", OPUS_RATE, "mono", 24_000, compression_level="2"),
}


def encode_opus_minutes(minute: Samples, minutes: int) -> bytes:
    """Return Ogg Opus in which one minute of samples is repeated: its packets are encoded once and written often."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="ogg") as target:
        options = {"frame_duration": "60", "compression_level": "2"}
        track = target.add_stream("libopus", rate=OPUS_RATE, layout="mono", options=options)
        track.bit_rate = 24_000
        packets = [bytes(one) for one in track.encode(_frame(minute, OPUS_RATE, "mono"))][:MINUTE_PACKETS]
        for number in range(minutes * len(packets)):
            packet = av.Packet(packets[number % len(packets)])
            packet.stream, packet.time_base = track, Fraction(1, OPUS_RATE)
            packet.pts = packet.dts = number * OPUS_PACKET_SAMPLES
            packet.duration = OPUS_PACKET_SAMPLES
            target.mux(packet)
    return buffer.getvalue()
