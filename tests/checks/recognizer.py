"""Measures how sure Whisper is of clear speech, synthetic voices, noise, music, a crowd and reversed speech.

The limits of `app.core.asr.confidence` were chosen by these figures.

    python -m tests.checks.recognizer --packages FOLDER --out results/recognizer.json

FOLDER holds the Debian packages asterisk-core-sounds-{en,es,fr,it,ru}-wav, asterisk-moh-opsound-wav and
pocketsphinx-testdata, unpacked; espeak-ng is called. It takes some minutes on two cores.
"""

import argparse
import asyncio
import io
import json
import random
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from app.core.asr.confidence import filter_transcript
from app.core.asr.settings import RecognizerSettings
from app.core.asr.whisper import WhisperTranscriber
from app.core.audio.vad import find_speech
from model_repo.parts import fetch_part

Samples = NDArray[np.float32]
RATE = 16_000
ENGLISH = (
    "The meeting on Friday is moved to ten o'clock, because the delivery from Hamburg arrives late. Please tell Anna.",
    "I would like to complain about my order. The shoes that you sent are two sizes too small and the box was open.",
    "Turn left after the bridge, then go straight for two miles until you see the church.",
)
GERMAN = "Die Besprechung am Freitag ist auf zehn Uhr verschoben, weil die Lieferung aus Hamburg später kommt."
SPANISH = "La reunión del viernes se cambia a las diez porque el pedido de Sevilla llega tarde. Por favor, avise a Ana."


def read_mono(file: Path | io.BytesIO) -> Samples:
    """Return a file as 16 kHz mono samples."""
    samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    places = np.arange(int(len(mono) * RATE / rate)) * rate / RATE
    return np.interp(places, np.arange(len(mono)), mono).astype(np.float32)


def speak_with_espeak(text: str, voice: str) -> Samples:
    """Return a sentence spoken by espeak-ng."""
    said = subprocess.run(["espeak-ng", "-v", voice, "--stdout", text], capture_output=True, check=True, timeout=60)
    return read_mono(io.BytesIO(said.stdout))


def join_prompts(folder: Path, seed: int) -> Samples:
    """Return fifteen seconds of telephone prompts in random order, with pauses."""
    files = sorted(folder.glob("*.wav"))
    random.Random(seed).shuffle(files)
    parts: list[Samples] = []
    for file in files:
        if len(sound := read_mono(file)) >= 1.5 * RATE:
            parts += [sound, np.zeros(RATE // 4, np.float32)]
        if sum(map(len, parts)) > 15 * RATE:
            break
    return np.concatenate(parts)


def pink_noise(length: int, draw: np.random.Generator) -> Samples:
    """Return pink noise."""
    spectrum = np.fft.rfft(draw.normal(size=length)) / np.sqrt(np.maximum(np.arange(length // 2 + 1), 1))
    found = np.fft.irfft(spectrum, length)
    return (0.1 * found / found.std()).astype(np.float32)


def add_noise(speech: Samples, decibels: float, draw: np.random.Generator) -> Samples:
    """Add pink noise to speech at a signal-to-noise ratio in decibels."""
    noise = pink_noise(len(speech), draw)
    gain = np.sqrt(np.mean(speech**2) / np.mean(noise**2) / 10 ** (decibels / 10))
    mixed = speech + gain * noise
    return (mixed / max(1.0, float(np.abs(mixed).max()))).astype(np.float32)


def recordings(packages: Path) -> Iterator[tuple[str, Samples]]:
    """Yield (kind of recording, its samples)."""
    share, draw = packages / "usr" / "share", np.random.default_rng(1)
    read_aloud = [read_mono(file) for file in sorted((share / "pocketsphinx/test/data/librivox").glob("*.wav"))]
    by_language = {folder.name[:2]: folder for folder in sorted((share / "asterisk/sounds").iterdir())}
    english = [join_prompts(by_language["en"], seed) for seed in range(6)]
    clear = read_aloud[:3] + english[:3]
    yield from (("read aloud", one) for one in read_aloud)
    yield from (("prompts en", one) for one in english)
    for language in ("es", "fr", "it", "ru"):
        yield from ((f"prompts {language}", join_prompts(by_language[language], seed)) for seed in range(3))
    yield from (("espeak en", speak_with_espeak(text, voice)) for text in ENGLISH for voice in ("en-us", "en-gb+f3"))
    yield from (("espeak de", speak_with_espeak(GERMAN, voice)) for voice in ("de", "de+f2"))
    yield from (("espeak es", speak_with_espeak(SPANISH, voice)) for voice in ("es", "es+f2"))
    for decibels in (10, 5, 0, -5, -10, -15):
        yield from ((f"pink noise {decibels} dB", add_noise(one, decibels, draw)) for one in clear)
    yield "noise", (0.1 * draw.normal(size=10 * RATE)).astype(np.float32)
    yield "noise", pink_noise(10 * RATE, draw)
    for file in sorted((share / "asterisk/moh").glob("*.wav")):
        yield "music", read_mono(file)[20 * RATE : 40 * RATE]
    yield from (("reversed", one[::-1].copy()) for one in clear)
    for first in range(3):
        crowd = [np.roll(np.resize(one, 15 * RATE), number * 9000) for number, one in enumerate(clear)]
        yield "crowd", (np.roll(np.sum(crowd, axis=0), first * RATE) / 4).astype(np.float32)


async def measure(packages: Path, parts: list[str]) -> list[dict[str, Any]]:
    """Return a row for each recording and each Whisper model."""
    rows = []
    for part in parts:
        transcriber = WhisperTranscriber(fetch_part(part))
        await transcriber.start()
        for kind, samples in recordings(packages):
            speech = sum(end - start for start, end in find_speech(samples))
            transcript = await transcriber.transcribe(samples)
            found = filter_transcript(transcript, RecognizerSettings())
            rows.append(
                {"whisper": part, "kind": kind, "seconds": round(len(samples) / RATE, 1), "speech": round(speech, 1)}
                | {"language": transcript.language, "language_probability": round(transcript.language_probability, 3)}
                | {"stretches": [asdict(one) for one in transcript.segments][:6], "read": found.text[:200]}
            )
            lowest = min((one.log_probability for one in transcript.segments), default=0.0)
            verdict = "read" if found.text else "left out"
            print(f"{part} {kind:18} {verdict:8} {lowest:6.2f} {transcript.text[:70]}", flush=True)
        await transcriber.stop()
    return rows


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.checks.recognizer", description=__doc__.splitlines()[0])
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--whisper", nargs="+", default=["whisper-base-ct2", "whisper-tiny-en-ct2"])
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    rows = asyncio.run(measure(options.packages, options.whisper))
    options.out.write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
