"""Makes recordings for the tests: synthetic speech (flite, espeak-ng) in every format, and broken files."""

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
AAC_SAMPLES = 1024  # of a packet
LIBRIVOX = Path("/usr/share/pocketsphinx/test/data/librivox")
CLIPS = sorted(LIBRIVOX.glob("*.wav"))  # five sentences that a person reads


@functools.cache
def speech(text: str = TEXT, voice: str = "slt", rate: int = RATE) -> Samples:
    """Return speech as float32, shape (n,), at `rate` Hz. voice: one of flite's, or "espeak" for espeak-ng."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "speech.wav")
        if voice == "espeak":
            subprocess.run(["espeak-ng", "-w", path, text], check=True, timeout=60)
        else:
            subprocess.run(["flite", "-voice", voice, "-t", text, "-o", path], check=True, timeout=60)
        samples, source_rate = soundfile.read(path, dtype="float32")
    if source_rate != rate:
        positions = np.arange(int(len(samples) * rate / source_rate)) * source_rate / rate
        samples = np.interp(positions, np.arange(len(samples)), samples).astype(np.float32)
    samples.setflags(write=False)
    return samples


@functools.cache
def librivox_speech() -> Samples:
    """Return the sentences of `CLIPS` joined, 25 seconds at 16 kHz as float32, shape (n,)."""
    return np.concatenate([soundfile.read(clip, dtype="float32")[0] for clip in CLIPS])


def encode_audio(
    samples: NDArray[np.generic], rate: int = RATE, kind: str = "WAV", subtype: str | None = None
) -> bytes:
    """Return samples, shape (n,) or (n, channels), as a file that libsndfile writes."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


class UnseekableBuffer(io.BytesIO):
    """A buffer that cannot seek."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise io.UnsupportedOperation

    def tell(self) -> int:
        raise io.UnsupportedOperation


def mux_speech(
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
    """Return the first `seconds` of the speech as a file that FFmpeg writes.

    Args:
        kind: FFmpeg's name of the container.
        codec: FFmpeg's name of the codec.
        rate: Sampling rate in Hz.
        bit_rate: Bits a second.
        sound_track: Whether the file has audio.
        picture: Whether the file has a video track.
        seconds: Length at most.
        options: Options of the muxer.
        pipe: Whether the muxer cannot seek back, as in a live recording.
    """
    buffer = UnseekableBuffer() if pipe else io.BytesIO()
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
            audio = AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
            audio.sample_rate, audio.pts, audio.time_base = rate, 0, Fraction(1, rate)
            target.mux(track.encode(audio))
            target.mux(track.encode())
    return buffer.getvalue()


def speech_wav() -> bytes:
    """Return the speech as a WAV file."""
    return encode_audio(speech())


def silence_wav(seconds: float = 3.0) -> bytes:
    """Return digital silence as a WAV file."""
    return encode_audio(np.zeros(int(seconds * RATE), np.float32), subtype="PCM_16")


@functools.cache
def opus_minutes(minutes: int) -> bytes:
    """Return minutes of speech as Ogg Opus at 6 kbit/s (3 MB an hour): the packets of one are repeated."""
    minute = np.resize(speech(rate=48000), 60 * 48000)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="ogg") as target:
        track = target.add_stream("libopus", rate=48000, layout="mono", options={"frame_duration": "60"})
        track.bit_rate = 6000
        frame = AudioFrame.from_ndarray((minute * 32767).astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
        packets = [bytes(packet) for packet in track.encode(frame)]
        for number in range(minutes * len(packets)):
            packet = av.Packet(packets[number % len(packets)])
            packet.stream, packet.time_base = track, Fraction(1, 48000)
            packet.pts = packet.dts = number * 2880
            packet.duration = 2880
            target.mux(packet)
    return buffer.getvalue()


def write_dialogue(path: Path, seconds: float) -> None:
    """Write a talk of two speakers in turn, with pauses between them, as AAC in an .m4a file at 16 kHz. seconds: its
    length.
    """
    question = speech("Could you tell us how the repair of the harbour office went, and what it costs?", "rms")
    answer = speech("The roof is done. The windows follow on Friday, and all of it costs 4200 dollars.", "slt")
    pause = np.zeros(RATE // 2, np.float32)
    turn = (np.concatenate([question, pause, answer, pause]) * 32767).astype(np.int16)
    with av.open(path, "w", format="ipod") as target:
        track = target.add_stream("aac", rate=RATE, layout="mono")
        track.bit_rate = 32_000
        frame = AudioFrame.from_ndarray(turn[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        packets = [bytes(packet) for packet in (*track.encode(frame), *track.encode())]
        for number in range(round(seconds * RATE / AAC_SAMPLES)):  # the packets of one turn are repeated
            packet = av.Packet(packets[number % len(packets)])
            packet.stream, packet.time_base = track, Fraction(1, RATE)
            packet.pts = packet.dts = number * AAC_SAMPLES
            packet.duration = AAC_SAMPLES
            target.mux(packet)


def nan_wav() -> bytes:
    """Return speech with one sample that is not a number."""
    samples = speech().copy()
    samples[1000] = np.nan
    return encode_audio(samples, subtype="FLOAT")


def infinite_wav() -> bytes:
    """Return speech whose last sample is infinite."""
    samples = speech().copy()
    samples[-1] = -np.inf
    return encode_audio(samples, subtype="FLOAT")


def channels_wav(channels: int) -> bytes:
    """Return the speech in every one of several channels."""
    return encode_audio(np.repeat(speech()[:, None], channels, axis=1))


def rate_wav(rate: int) -> bytes:
    """Return speech whose header states `rate` Hz."""
    return encode_audio(speech(), rate)


def broken_files() -> dict[str, tuple[bytes, int, str]]:
    """Return broken files by name, each with the status and code of its error: {name: (bytes, status, code)}."""
    wav, flac = speech_wav(), encode_audio(speech(), kind="FLAC")
    m4a, opus = mux_speech("ipod", "aac"), encode_audio(speech(), kind="OGG", subtype="OPUS")
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
        "wav header of an empty file": (encode_audio(np.zeros(0, np.float32)), 422, "empty_audio"),
        "flac magic only": (b"fLaC", 422, "undecodable_audio"),
        "riff magic only": (b"RIFF\xff\xff\xff\xffWAVE", 422, "undecodable_audio"),
        "9 channels": (channels_wav(9), 422, "too_many_channels"),
        "655,350 Hz": (rate_wav(655_350), 422, "unsupported_sample_rate"),
        "1 Hz": (rate_wav(1), 422, "unsupported_sample_rate"),
        "NaN samples": (nan_wav(), 422, "non_finite_samples"),
        "infinite samples": (infinite_wav(), 422, "non_finite_samples"),
        "video without sound": (mux_speech("mp4", "aac", sound_track=False, picture=True), 422, "no_audio_track"),
    }


def all_formats(seconds: float = 60) -> dict[str, tuple[Callable[[], bytes], str, float]]:
    """Return makers of files with the first `seconds` of the speech in all formats.

    Returns:
        {name: (maker, name of the format that is recognized, tolerance of the length in seconds)}.
    """
    samples, fine = speech()[: round(seconds * RATE)], speech(rate=44100)[: round(seconds * 44100)]
    formats: dict[str, tuple[Callable[[], bytes], str, float]] = {
        f"wav {subtype}": (functools.partial(encode_audio, samples, subtype=subtype), "wav", 0.001)
        for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW")
    }
    for kind in ("W64", "AIFF", "AU", "CAF", "FLAC"):
        formats[kind.lower()] = (functools.partial(encode_audio, samples, kind=kind), kind.lower(), 0.001)
    formats["rf64"] = (functools.partial(encode_audio, samples, kind="RF64"), "wav", 0.001)
    # ADPCM has blocks of 32 ms here, and the last one is padded.
    formats["wav adpcm"] = (functools.partial(encode_audio, samples, subtype="MS_ADPCM"), "wav", 0.07)
    formats["ogg vorbis"] = (functools.partial(encode_audio, samples, kind="OGG", subtype="VORBIS"), "ogg", 0.05)
    formats["ogg opus"] = (functools.partial(encode_audio, samples, kind="OGG", subtype="OPUS"), "ogg", 0.05)
    formats["mp3"] = (functools.partial(encode_audio, fine, 44100, kind="MP3"), "mp3", 0.05)
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
        formats[f"{kind} {codec}"] = (
            functools.partial(mux_speech, kind, codec, rate=rate, seconds=seconds),
            found,
            0.05,
        )
    narrow = functools.partial(mux_speech, "amr", "libopencore_amrnb", rate=8000, bit_rate=12_200, seconds=seconds)
    formats["amr"] = (narrow, "amr", 0.05)
    formats["mp4 with video"] = (
        functools.partial(mux_speech, "mp4", "aac", picture=True, seconds=seconds),
        "mp4",
        0.05,
    )
    return formats
