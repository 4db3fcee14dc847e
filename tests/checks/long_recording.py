"""Makes hours of speech with a different fact in every five minutes, and finds the facts in samples.

The recording is Ogg Opus. A minute of talk is encoded once, and its packets are written as often as needed. For a fact,
the packets of that fact, spoken between two pauses, replace some of them. `find_facts` is a matched filter: it compares
the samples with the sound of each fact at every position, so that a fact is found only if all of it is there. This
module knows nothing about the service.
"""

import functools
import io
from fractions import Fraction

import av
import numpy as np
import scipy.fft
import soxr
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from tests import recordings

Samples = NDArray[np.float32]

FACT_INTERVAL_S = 300
NAMES = ("Anna", "Boris", "Clara", "Dmitri", "Elena", "Fatima", "George", "Hannah")
THINGS = ("lanterns", "bicycles", "windmills", "cucumbers", "typewriters", "telescopes")
MAX_FACTS = len(NAMES) * len(THINGS)

_TALK = (
    "We went through the list once more, and nobody had anything to add to it.",
    "The weather on the coast was mild, and most of the boats stayed out until the evening.",
    "After lunch the discussion turned to the budget, which is neither better nor worse than it was last year.",
    "It was agreed to look at this again when the figures are there.",
    "Some of those present would have liked a shorter meeting, and said so.",
)
_OPUS_RATE, _FRAME_SAMPLES = 48_000, 2880  # 60 ms
_MINUTE_FRAMES = 1000
_FACT_FRAMES = 160  # 9.6 s
_FACT_MINUTE = 2  # the minute, of every five, in which a fact is spoken
_MATCH_RATE = 4000
# The similarity of a fact to itself, through Opus, is 0.9; that of another fact or of talk is below 0.35.
_MIN_SIMILARITY = 0.7
_GAIN = 0.7  # full scale would leave a lossy codec no headroom


def sentence(number: int) -> str:
    """Return the fact in words, as it is samples. number: 0 to `MAX_FACTS` - 1."""
    name, thing = NAMES[number % len(NAMES)], THINGS[number // len(NAMES)]
    return f"{name} repaired {11 + number} {thing} in the harbour."


def note(number: int) -> str:
    """Return the word for a fact in the scripted engine's notes."""
    return f"fact{number}"


def is_note(word: str) -> bool:
    """Return whether a word is such a note."""
    return word.startswith("fact") and word[4:].isdecimal()


def fact_second(number: int) -> float:
    """Return a second at which the fact is samples."""
    return number * FACT_INTERVAL_S + _FACT_MINUTE * 60 + 2.0


def states_fact(number: int, text: str) -> bool:
    """Return whether a text states a fact: its name and its thing in one sentence."""
    name, thing = NAMES[number % len(NAMES)].lower(), THINGS[number // len(NAMES)]
    return any(name in part and thing in part for part in text.lower().replace("\n", ".").split("."))


@functools.cache
def recording(minutes: int) -> bytes:
    """Return minutes of talk as Ogg Opus, with one fact in every five minutes."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="ogg") as target:
        track = target.add_stream(
            "libopus", rate=_OPUS_RATE, layout="mono", options={"frame_duration": "60", "compression_level": "2"}
        )
        track.bit_rate = 24_000

        def packets(sound: Samples) -> list[bytes]:
            whole = AudioFrame.from_ndarray((sound * 32_767).astype(np.int16)[None], format="s16", layout="mono")
            whole.sample_rate = _OPUS_RATE
            return [bytes(packet) for packet in track.encode(whole)]

        talk = packets(_talk_samples())
        assert len(talk) == _MINUTE_FRAMES
        written = 0
        for minute in range(minutes):
            number, place = divmod(minute, FACT_INTERVAL_S // 60)
            frames = talk
            if place == _FACT_MINUTE:
                fact = packets(_fact_samples(number))
                assert len(fact) == _FACT_FRAMES
                frames = fact + talk[_FACT_FRAMES:]
            for frame in frames:
                packet = av.Packet(frame)
                packet.stream, packet.time_base = track, Fraction(1, _OPUS_RATE)
                packet.pts = packet.dts = written * _FRAME_SAMPLES
                packet.duration = _FRAME_SAMPLES
                target.mux(packet)
                written += 1
    return buffer.getvalue()


def find_facts(samples: Samples, count: int) -> list[int]:
    """Return which of the first `count` facts are spoken completely in 16 kHz mono samples."""
    sound = _resample_for_match(samples, 16_000)
    length = scipy.fft.next_fast_len(len(sound) + _MATCH_RATE * 10, real=True)
    spectrum = scipy.fft.rfft(sound, length)
    energy = np.concatenate(([0.0], np.cumsum(np.square(sound, dtype=np.float64))))
    found = []
    for number in range(count):
        template = _template(number)
        if len(template) > len(sound):
            continue
        product = scipy.fft.irfft(spectrum * scipy.fft.rfft(template, length).conj(), length)
        similarity = product[: len(sound) - len(template) + 1]
        loudness = np.sqrt(np.maximum(energy[len(template) :] - energy[: -len(template)], 1e-3))
        if float((similarity / loudness).max()) > _MIN_SIMILARITY:
            found.append(number)
    return found


@functools.cache
def _template(number: int) -> Samples:
    samples = _resample_for_match(recordings.speech(sentence(number), "espeak"), 16_000)
    loud = np.flatnonzero(np.abs(samples) > 0.01)
    samples = samples[loud[0] : loud[-1]]
    return (samples / np.sqrt(np.square(samples).sum())).astype(np.float32)


def _resample_for_match(samples: Samples, rate: int) -> Samples:
    return np.asarray(soxr.resample(samples, rate, _MATCH_RATE), np.float32)


def _fact_samples(number: int) -> Samples:
    """Return a fact at 48 kHz, with a second of silence before it and more after it."""
    return _pad(recordings.speech(sentence(number), "espeak", _OPUS_RATE), _FACT_FRAMES, before_s=1.0)


def _talk_samples() -> Samples:
    """Return a minute of talk at 48 kHz, whose last second is silent."""
    pause = np.zeros(round(0.7 * _OPUS_RATE), np.float32)
    parts = [part for text in _TALK for part in (recordings.speech(text, "espeak", _OPUS_RATE), pause)]
    return _pad(np.resize(np.concatenate(parts), 59 * _OPUS_RATE), _MINUTE_FRAMES, before_s=0.0)


def _pad(sound: Samples, frames: int, before_s: float) -> Samples:
    whole = np.zeros(frames * _FRAME_SAMPLES, np.float32)
    begin = round(before_s * _OPUS_RATE)
    assert begin + len(sound) <= len(whole)
    whole[begin : begin + len(sound)] = sound * _GAIN
    return whole
