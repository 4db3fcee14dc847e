"""Hours of speech with a distinct fact in every five minutes, and an ear that knows which of them it hears.

The recording is Ogg Opus: a minute of talk is encoded once and its packets are written as often as needed; where a fact
belongs, they give way to those of that fact, spoken between two pauses. The ear is a matched filter: what it is played
is compared with each fact's own sound, wherever it may lie, so that it hears a fact only if all of it is in the
window. Knows nothing about the service.
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

Sound = NDArray[np.float32]

EVERY_S = 300
NAMES = ("Anna", "Boris", "Clara", "Dmitri", "Elena", "Fatima", "George", "Hannah")
THINGS = ("lanterns", "bicycles", "windmills", "cucumbers", "typewriters", "telescopes")
MOST = len(NAMES) * len(THINGS)

_TALK = (
    "We went through the list once more, and nobody had anything to add to it.",
    "The weather on the coast was mild, and most of the boats stayed out until the evening.",
    "After lunch the discussion turned to the budget, which is neither better nor worse than it was last year.",
    "It was agreed to look at this again when the figures are there.",
    "Some of those present would have liked a shorter meeting, and said so.",
)
_OPUS_RATE, _FRAME = 48_000, 2880  # 60 ms
_MINUTE = 1000  # frames
_FACT = 160  # frames: 9.6 s
_FACT_AT = 2  # the minute, of every five, that a fact is spoken in
_EAR_RATE = 4000
# The likeness of a fact's sound to itself, through Opus, is 0.9; that of another fact or of talk is below 0.35.
_SURE = 0.7
_LOUDNESS = 0.7  # of the voice's own: full scale leaves a lossy codec no room


def sentence(number: int) -> str:
    """The fact in words, as it is spoken. number: from 0, below MOST."""
    name, thing = NAMES[number % len(NAMES)], THINGS[number // len(NAMES)]
    return f"{name} repaired {11 + number} {thing} in the harbour."


def note(number: int) -> str:
    """The fact in a word, as the scripted engine notes it down."""
    return f"fact{number}"


def is_note(word: str) -> bool:
    """Whether a word is such a note."""
    return word.startswith("fact") and word[4:].isdecimal()


def when(number: int) -> float:
    """A second at which the fact is being spoken."""
    return number * EVERY_S + _FACT_AT * 60 + 2.0


def named_in(number: int, text: str) -> bool:
    """Whether a text says who repaired what: the fact's name and its thing, in one sentence."""
    name, thing = NAMES[number % len(NAMES)].lower(), THINGS[number // len(NAMES)]
    return any(name in part and thing in part for part in text.lower().replace("\n", ".").split("."))


@functools.cache
def recording(minutes: int) -> bytes:
    """So many minutes of talk as Ogg Opus; every five of them hold one fact."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="ogg") as target:
        track = target.add_stream(
            "libopus", rate=_OPUS_RATE, layout="mono", options={"frame_duration": "60", "compression_level": "2"}
        )
        track.bit_rate = 24_000

        def packets(sound: Sound) -> list[bytes]:
            whole = AudioFrame.from_ndarray((sound * 32_767).astype(np.int16)[None], format="s16", layout="mono")
            whole.sample_rate = _OPUS_RATE
            return [bytes(packet) for packet in track.encode(whole)]

        talk = packets(_talk())
        assert len(talk) == _MINUTE
        written = 0
        for minute in range(minutes):
            number, place = divmod(minute, EVERY_S // 60)
            frames = talk
            if place == _FACT_AT:
                spoken = packets(_spoken(number))
                assert len(spoken) == _FACT
                frames = spoken + talk[_FACT:]
            for frame in frames:
                packet = av.Packet(frame)
                packet.stream, packet.time_base = track, Fraction(1, _OPUS_RATE)
                packet.pts = packet.dts = written * _FRAME
                packet.duration = _FRAME
                target.mux(packet)
                written += 1
    return buffer.getvalue()


def heard(samples: Sound, count: int) -> list[int]:
    """Which of the first `count` facts are spoken, whole, in 16 kHz mono `samples`."""
    sound = _for_the_ear(samples, 16_000)
    length = scipy.fft.next_fast_len(len(sound) + _EAR_RATE * 10, real=True)
    spectrum = scipy.fft.rfft(sound, length)
    energy = np.concatenate(([0.0], np.cumsum(np.square(sound, dtype=np.float64))))
    found = []
    for number in range(count):
        template = _template(number)
        if len(template) > len(sound):
            continue
        product = scipy.fft.irfft(spectrum * scipy.fft.rfft(template, length).conj(), length)
        likeness = product[: len(sound) - len(template) + 1]
        loudness = np.sqrt(np.maximum(energy[len(template) :] - energy[: -len(template)], 1e-3))
        if float((likeness / loudness).max()) > _SURE:
            found.append(number)
    return found


@functools.cache
def _template(number: int) -> Sound:
    spoken = _for_the_ear(recordings.speech(sentence(number), "espeak"), 16_000)
    loud = np.flatnonzero(np.abs(spoken) > 0.01)
    spoken = spoken[loud[0] : loud[-1]]
    return (spoken / np.sqrt(np.square(spoken).sum())).astype(np.float32)


def _for_the_ear(samples: Sound, rate: int) -> Sound:
    return np.asarray(soxr.resample(samples, rate, _EAR_RATE), np.float32)


def _spoken(number: int) -> Sound:
    """A fact at 48 kHz, with a second of silence before it and more behind it."""
    return _padded(recordings.speech(sentence(number), "espeak", _OPUS_RATE), _FACT, before_s=1.0)


def _talk() -> Sound:
    """A minute of talk at 48 kHz, its last second silent."""
    pause = np.zeros(round(0.7 * _OPUS_RATE), np.float32)
    said = [part for text in _TALK for part in (recordings.speech(text, "espeak", _OPUS_RATE), pause)]
    return _padded(np.resize(np.concatenate(said), 59 * _OPUS_RATE), _MINUTE, before_s=0.0)


def _padded(sound: Sound, frames: int, before_s: float) -> Sound:
    whole = np.zeros(frames * _FRAME, np.float32)
    begin = round(before_s * _OPUS_RATE)
    assert begin + len(sound) <= len(whole)
    whole[begin : begin + len(sound)] = sound * _LOUDNESS
    return whole
