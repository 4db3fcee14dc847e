"""Text → speech: espeak-ng and flite as subprocesses, Kokoro in this process, and the turns of a conversation joined
with pauses.

One subprocess speaks a whole text, its answer is read from a pipe: about 10 ms a call beside the synthesis. Knows
nothing about records, files or augmentation.
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
# Mean pitch of flite's diphone voice, Hz; its statistical voices take a factor instead.
_KAL_PITCH_HZ = 95.0

Samples = NDArray[np.float32]


class SpeechError(RuntimeError):
    """An engine did not speak: it is not installed, failed, or answered with silence."""


def synthesize(text: str, voice: Voice, speed: float = 1.0, pitch: float = 1.0) -> tuple[Samples, int]:
    """Speak one text: (float32 mono in [-1, 1], Hz). speed, pitch: factors, 1 is the voice's own; Kokoro has no pitch
    to set.

    Raises `ReservedVoice` for an acceptance voice and `SpeechError` if nothing was spoken.
    """
    if voice.name in RESERVED_VOICES:
        raise ReservedVoice(f"{voice.id} is kept for acceptance: training and development audio must not use it")
    words = verbalize(text, voice.engine)
    if not any(letter.isalnum() for letter in words):
        raise SpeechError(f"nothing to say in {text[:60]!r}")
    if voice.engine == "kokoro":
        from training.synth.speech import kokoro

        samples, rate = kokoro.synthesize(words, voice.name, speed)
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
    """Speak a conversation: float32 mono at 16 kHz, peak at most 0.9.

    turns: (speaker index, text); speaker i speaks with `voices[i]`. A speaker keeps one speed, pitch and level
    throughout; pauses between turns are drawn from `pause_s` seconds. Raises as `synthesize`, and `IndexError` if a
    speaker has no voice.
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
    """Cut the silence an engine puts before and after its speech, all below `floor` of the peak, but for a margin in
    seconds.
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
    # Text as an argument: flite waits for ever on standard input.
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
    """Run an engine that writes one 16-bit mono RIFF to its output; the length its header gives is not believed (pipes
    cannot seek).
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
