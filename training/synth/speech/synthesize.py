"""Speech from text: espeak-ng and flite as subprocesses, Kokoro in this process, and the turns of a conversation joined
with pauses.

A subprocess speaks a whole text and writes it to a pipe, which costs about 10 ms besides the synthesis. Knows nothing
about records, files or augmentation.
"""

import subprocess
from collections.abc import Sequence

import numpy as np
import soxr
from numpy.typing import NDArray

from training.synth.speech.verbalize import verbalize
from training.synth.speech.voices import RESERVED_VOICES, ReservedVoice, Voice

RATE = 16_000
_TIMEOUT_S = 120.0
_ESPEAK_WPM = 175
# Mean pitch in Hz of flite's diphone voice, whose option is a pitch. The option of the statistical voices is a factor.
_KAL_PITCH_HZ = 95.0

Samples = NDArray[np.float32]


class SpeechError(RuntimeError):
    """An engine did not speak: it is not installed, it failed, or it returned silence."""


def synthesize(text: str, voice: Voice, speed: float = 1.0, pitch: float = 1.0) -> tuple[Samples, int]:
    """Speak one text. Return the samples, float32 mono in [-1, 1], and their rate in Hz.

    speed, pitch: factors; 1 is the voice's own. Kokoro ignores the pitch. Raises ReservedVoice for an acceptance voice,
    and SpeechError if nothing was spoken.
    """
    if voice.name in RESERVED_VOICES:
        raise ReservedVoice(f"{voice.id} is reserved for acceptance: training and development audio must not use it")
    words = verbalize(text, voice.engine)
    if not any(letter.isalnum() for letter in words):
        raise SpeechError(f"nothing to say in {text[:60]!r}")
    if voice.engine == "kokoro":
        from training.synth.speech.kokoro import kokoro_samples

        samples, rate = kokoro_samples(words, voice.name, speed)
    elif voice.engine == "flite":
        samples, rate = _run_engine(_flite_command(words, voice.name, speed, pitch), None)
    else:
        samples, rate = _run_engine(_espeak_command(voice.name, speed, pitch), words)
    if not len(samples) or float(np.abs(samples).max()) < 1e-3:
        raise SpeechError(f"{voice.id} spoke nothing for {text[:60]!r}")
    return samples, rate


def speak(
    turns: Sequence[tuple[int, str]],
    voices: Sequence[Voice],
    rng: np.random.Generator,
    *,
    speed: tuple[float, float] = (0.9, 1.15),
    pitch: tuple[float, float] = (0.9, 1.12),
    pause_s: tuple[float, float] = (0.15, 0.7),
) -> Samples:
    """Speak a conversation. Return the samples, float32 mono at 16 kHz, with a peak of at most 0.9.

    turns: (speaker index, text); speaker i speaks with `voices[i]`. speed, pitch: ranges from which each speaker's
    factors are drawn, for the whole conversation. pause_s: the range of the pauses between turns, in seconds. Raises
    the errors of `synthesize`, and IndexError if a speaker has no voice.
    """
    manner = [(rng.uniform(*speed), rng.uniform(*pitch), rng.uniform(0.6, 1.0)) for _ in voices]
    pieces: list[Samples] = [_silence(rng.uniform(0.05, 0.4))]
    for speaker, text in turns:
        rate_of_speech, height, level = manner[speaker]
        samples, rate = synthesize(text, voices[speaker], rate_of_speech, height)
        samples = trim(soxr.resample(samples, rate, RATE).astype(np.float32))
        rms = float(np.sqrt(np.mean(samples**2))) + 1e-9
        pieces += [samples * np.float32(0.08 * level / rms), _silence(rng.uniform(*pause_s))]
    joined = np.concatenate(pieces)
    peak = float(np.abs(joined).max())
    return joined * np.float32(min(1.0, 0.9 / peak))


def trim(samples: Samples, floor: float = 0.01, margin_s: float = 0.03, rate: int = RATE) -> Samples:
    """Cut the silence before and after the speech: everything below `floor` times the peak, except for a margin of
    `margin_s` seconds.
    """
    loud = np.flatnonzero(np.abs(samples) > floor * float(np.abs(samples).max(initial=0.0)))
    if not len(loud):
        return samples
    margin = int(margin_s * rate)
    return samples[max(0, loud[0] - margin) : loud[-1] + margin]


def _silence(seconds: float) -> Samples:
    return np.zeros(int(seconds * RATE), dtype=np.float32)


def _flite_command(text: str, name: str, speed: float, pitch: float) -> list[str]:
    raised = f"int_f0_target_mean={_KAL_PITCH_HZ * pitch:.1f}" if name.startswith("kal") else f"f0_shift={pitch:.3f}"
    # The text is an argument, because flite waits for ever on standard input.
    stretch = f"duration_stretch={1 / speed:.3f}"
    return ["flite", "-voice", name, "--setf", stretch, "--setf", raised, "-t", text, "-o", "/dev/stdout"]


def _espeak_command(name: str, speed: float, pitch: float) -> list[str]:
    height = int(np.clip(50 * pitch**2, 15, 90))
    return [
        "espeak-ng",
        "-b",
        "1",
        "-v",
        name,
        "-s",
        f"{_ESPEAK_WPM * speed:.0f}",
        "-p",
        str(height),
        "--stdin",
        "--stdout",
    ]


def _run_engine(command: list[str], stdin: str | None) -> tuple[Samples, int]:
    """Run an engine that writes a 16-bit mono WAV file to its output. The length in the header is ignored, because the
    engine cannot go back and write it in a pipe.
    """
    try:
        done = subprocess.run(command, input=(stdin or "").encode(), capture_output=True, timeout=_TIMEOUT_S)
    except FileNotFoundError as error:
        raise SpeechError(f"{command[0]} is not installed (Debian package {command[0]})") from error
    except subprocess.TimeoutExpired as error:
        raise SpeechError(f"{command[0]} did not finish within {_TIMEOUT_S:.0f} s") from error
    wave = done.stdout
    start = wave.find(b"data", 12, 200)
    if done.returncode or wave[:4] != b"RIFF" or start < 0:
        raise SpeechError(
            f"{command[0]} failed ({done.returncode}): {done.stderr.decode(errors='replace').strip()[:200]}"
        )
    body = wave[start + 8 :]
    samples = np.frombuffer(body[: len(body) // 2 * 2], dtype="<i2").astype(np.float32) / np.float32(32768)
    return samples, int.from_bytes(wave[24:28], "little")
