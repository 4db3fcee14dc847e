"""Makes recordings for the tests: real speech (flite, espeak-ng) in every format, and the folder of broken files."""

import functools
import io
import subprocess
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

Samples = NDArray[np.float32]

TEXT = "The quick brown fox jumps over the lazy dog. Please send the report to Anna by Friday afternoon."
RATE = 16000


@functools.cache
def speech(text: str = TEXT, voice: str = "slt", rate: int = RATE) -> Samples:
    """Speech as float32 (n,) at `rate` Hz, by flite (`voice` of flite) or espeak-ng (`voice` "espeak")."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "speech.wav")
        if voice == "espeak":
            subprocess.run(["espeak-ng", "-w", path, text], check=True, timeout=60)
        else:
            subprocess.run(["flite", "-voice", voice, "-t", text, "-o", path], check=True, timeout=60)
        samples, found = soundfile.read(path, dtype="float32")
    if found != rate:
        positions = np.arange(int(len(samples) * rate / found)) * found / rate
        samples = np.interp(positions, np.arange(len(samples)), samples).astype(np.float32)
    samples.setflags(write=False)
    return samples


def sound(samples: NDArray[np.generic], rate: int = RATE, kind: str = "WAV", subtype: str | None = None) -> bytes:
    """`samples` (n,) or (n, channels) as a file, by libsndfile."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


class Pipe(io.BytesIO):
    """A file that cannot seek."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise io.UnsupportedOperation

    def tell(self) -> int:
        raise io.UnsupportedOperation


def muxed(
    kind: str,
    codec: str,
    *,
    rate: int = 48000,
    bit_rate: int = 64_000,
    sound_track: bool = True,
    picture: bool = False,
    seconds: float = 60,
    options: dict[str, str] | None = None,
    pipe: bool = False,
) -> bytes:
    """The speech (its first `seconds`) as FFmpeg's container `kind`, by `codec`; `picture` adds a video track.

    options: of the muxer. pipe: written by a muxer that cannot seek back, as a live recorder's.
    """
    buffer = Pipe() if pipe else io.BytesIO()
    with av.open(buffer, "w", format=kind, options=options or {}) as target:
        track = target.add_stream(codec, rate=rate, layout="mono") if sound_track else None
        video = target.add_stream("mpeg4", rate=10, width=64, height=64, pix_fmt="yuv420p") if picture else None
        if video is not None:
            for number in range(20):
                frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), number * 10, np.uint8), format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 10)
                target.mux(video.encode(frame))
            target.mux(video.encode())
        if track is not None:
            track.bit_rate = bit_rate
            samples = (speech(rate=rate)[: int(seconds * rate)] * 32767).astype(np.int16)
            whole = AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
            whole.sample_rate, whole.pts, whole.time_base = rate, 0, Fraction(1, rate)
            target.mux(track.encode(whole))
            target.mux(track.encode())
    return buffer.getvalue()


def speech_wav() -> bytes:
    return sound(speech())


def silence_wav(seconds: float = 3.0) -> bytes:
    return sound(np.zeros(int(seconds * RATE), np.float32), subtype="PCM_16")


@functools.cache
def opus_hour() -> bytes:
    """An hour of speech as Ogg Opus at 6 kbit/s: 3 MB. One minute is encoded, its packets are written sixty times."""
    minute = np.resize(speech(rate=48000), 60 * 48000)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="ogg") as target:
        track = target.add_stream("libopus", rate=48000, layout="mono", options={"frame_duration": "60"})
        track.bit_rate = 6000
        whole = AudioFrame.from_ndarray((minute * 32767).astype(np.int16)[None], format="s16", layout="mono")
        whole.sample_rate, whole.pts, whole.time_base = 48000, 0, Fraction(1, 48000)
        packets = [bytes(packet) for packet in track.encode(whole)]
        for number in range(60 * len(packets)):
            packet = av.Packet(packets[number % len(packets)])
            packet.stream, packet.time_base = track, Fraction(1, 48000)
            packet.pts = packet.dts = number * 2880
            packet.duration = 2880
            target.mux(packet)
    return buffer.getvalue()


def nan_wav() -> bytes:
    samples = speech().copy()
    samples[1000] = np.nan
    return sound(samples, subtype="FLOAT")


def infinite_wav() -> bytes:
    samples = speech().copy()
    samples[-1] = -np.inf
    return sound(samples, subtype="FLOAT")


def channels_wav(channels: int) -> bytes:
    return sound(np.repeat(speech()[:, None], channels, axis=1))


def rate_wav(rate: int) -> bytes:
    """Speech whose header claims `rate` Hz."""
    return sound(speech(), rate)


def broken_files() -> dict[str, tuple[bytes, int, str]]:
    """name → (bytes, status, code): what each broken file is refused with."""
    wav, flac = speech_wav(), sound(speech(), kind="FLAC")
    m4a, opus = muxed("ipod", "aac"), sound(speech(), kind="OGG", subtype="OPUS")
    return {
        "empty": (b"", 400, "empty_audio"),
        "text named .wav": (b"Dear Anna, the minutes of Friday are attached.\n" * 50, 415, "unsupported_audio"),
        "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(1000), 415, "unsupported_audio"),
        "noise bytes": (np.random.default_rng(1).bytes(5000), 415, "unsupported_audio"),
        "truncated wav": (wav[: len(wav) * 6 // 10], 422, "undecodable_audio"),
        "truncated flac": (flac[: len(flac) * 6 // 10], 422, "undecodable_audio"),
        "truncated m4a": (m4a[: len(m4a) * 6 // 10], 422, "undecodable_audio"),
        "truncated opus": (opus[: len(opus) * 6 // 10], 422, "undecodable_audio"),
        "wav header of a long file": (wav[:44], 422, "undecodable_audio"),
        "wav header of an empty file": (sound(np.zeros(0, np.float32)), 422, "empty_audio"),
        "flac magic only": (b"fLaC", 422, "undecodable_audio"),
        "riff magic only": (b"RIFF\xff\xff\xff\xffWAVE", 422, "undecodable_audio"),
        "9 channels": (channels_wav(9), 422, "too_many_channels"),
        "655,350 Hz": (rate_wav(655_350), 422, "unsupported_sample_rate"),
        "1 Hz": (rate_wav(1), 422, "unsupported_sample_rate"),
        "NaN samples": (nan_wav(), 422, "non_finite_samples"),
        "infinite samples": (infinite_wav(), 422, "non_finite_samples"),
        "video without sound": (muxed("mp4", "aac", sound_track=False, picture=True), 422, "no_audio_track"),
    }


def all_formats(seconds: float = 60) -> dict[str, tuple[Callable[[], bytes], str, float]]:
    """name → (maker, the format it is recognised as, seconds its length may be off by), of the speech's first
    `seconds`.
    """
    samples, fine = speech()[: round(seconds * RATE)], speech(rate=44100)[: round(seconds * 44100)]
    formats: dict[str, tuple[Callable[[], bytes], str, float]] = {
        f"wav {subtype}": (functools.partial(sound, samples, subtype=subtype), "wav", 0.001)
        for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW")
    }
    for kind in ("W64", "AIFF", "AU", "CAF", "FLAC"):
        formats[kind.lower()] = (functools.partial(sound, samples, kind=kind), kind.lower(), 0.001)
    formats["rf64"] = (functools.partial(sound, samples, kind="RF64"), "wav", 0.001)
    # ADPCM comes in blocks of 32 ms here: the last one is filled up.
    formats["wav adpcm"] = (functools.partial(sound, samples, subtype="MS_ADPCM"), "wav", 0.07)
    formats["ogg vorbis"] = (functools.partial(sound, samples, kind="OGG", subtype="VORBIS"), "ogg", 0.05)
    formats["ogg opus"] = (functools.partial(sound, samples, kind="OGG", subtype="OPUS"), "ogg", 0.05)
    formats["mp3"] = (functools.partial(sound, fine, 44100, kind="MP3"), "mp3", 0.05)
    for kind, codec, found in (
        ("ipod", "aac", "mp4"),
        ("webm", "libopus", "webm"),
        ("matroska", "aac", "webm"),
        ("ogg", "flac", "ogg"),
        ("adts", "aac", "aac"),
        ("avi", "aac", "avi"),
        ("flv", "aac", "flv"),
        ("mpegts", "aac", "mpegts"),
        ("asf", "wmav2", "asf"),
        ("wv", "wavpack", "wavpack"),
        ("mp2", "mp2", "mp3"),
    ):
        rate = 44100 if kind in ("flv", "asf") else 48000
        formats[f"{kind} {codec}"] = (functools.partial(muxed, kind, codec, rate=rate, seconds=seconds), found, 0.05)
    narrow = functools.partial(muxed, "amr", "libopencore_amrnb", rate=8000, bit_rate=12_200, seconds=seconds)
    formats["amr"] = (narrow, "amr", 0.05)
    formats["mp4 with video"] = (functools.partial(muxed, "mp4", "aac", picture=True, seconds=seconds), "mp4", 0.05)
    return formats
