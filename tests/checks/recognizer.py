"""How sure Whisper is of clear speech, robotic voices, noise, music, a crowd and reversed speech: what the limits of
`app.core.asr.confidence` were chosen by.

    python -m tests.checks.recognizer --packages FOLDER --out results/recognizer.json

FOLDER holds the Debian packages asterisk-core-sounds-{en,es,fr,it,ru}-wav, asterisk-moh-opsound-wav and
pocketsphinx-testdata, unpacked; espeak-ng is called. Takes some minutes of two cores.
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


def read(file: Path | io.BytesIO) -> Samples:
    """A mono file at 16 kHz."""
    samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    places = np.arange(int(len(mono) * RATE / rate)) * rate / RATE
    return np.interp(places, np.arange(len(mono)), mono).astype(np.float32)


def espeak(text: str, voice: str) -> Samples:
    """A sentence by espeak-ng."""
    said = subprocess.run(["espeak-ng", "-v", voice, "--stdout", text], capture_output=True, check=True, timeout=60)
    return read(io.BytesIO(said.stdout))


def prompts(folder: Path, seed: int) -> Samples:
    """Fifteen seconds of telephone prompts in a drawn order, with pauses."""
    files = sorted(folder.glob("*.wav"))
    random.Random(seed).shuffle(files)
    parts: list[Samples] = []
    for file in files:
        if len(sound := read(file)) >= 1.5 * RATE:
            parts += [sound, np.zeros(RATE // 4, np.float32)]
        if sum(map(len, parts)) > 15 * RATE:
            break
    return np.concatenate(parts)


def pink(length: int, draw: np.random.Generator) -> Samples:
    """Pink noise."""
    spectrum = np.fft.rfft(draw.normal(size=length)) / np.sqrt(np.maximum(np.arange(length // 2 + 1), 1))
    found = np.fft.irfft(spectrum, length)
    return (0.1 * found / found.std()).astype(np.float32)


def drowned(speech: Samples, decibels: float, draw: np.random.Generator) -> Samples:
    """Speech in pink noise at a signal-to-noise ratio."""
    noise = pink(len(speech), draw)
    gain = np.sqrt(np.mean(speech**2) / np.mean(noise**2) / 10 ** (decibels / 10))
    mixed = speech + gain * noise
    return (mixed / max(1.0, float(np.abs(mixed).max()))).astype(np.float32)


def recordings(packages: Path) -> Iterator[tuple[str, Samples]]:
    """What kind of recording it is, and its samples."""
    share, draw = packages / "usr" / "share", np.random.default_rng(1)
    read_aloud = [read(file) for file in sorted((share / "pocketsphinx/test/data/librivox").glob("*.wav"))]
    by_language = {folder.name[:2]: folder for folder in sorted((share / "asterisk/sounds").iterdir())}
    english = [prompts(by_language["en"], seed) for seed in range(6)]
    clear = read_aloud[:3] + english[:3]
    yield from (("read aloud", one) for one in read_aloud)
    yield from (("prompts en", one) for one in english)
    for language in ("es", "fr", "it", "ru"):
        yield from ((f"prompts {language}", prompts(by_language[language], seed)) for seed in range(3))
    yield from (("espeak en", espeak(text, voice)) for text in ENGLISH for voice in ("en-us", "en-gb+f3"))
    yield from (("espeak de", espeak(GERMAN, voice)) for voice in ("de", "de+f2"))
    yield from (("espeak es", espeak(SPANISH, voice)) for voice in ("es", "es+f2"))
    for decibels in (10, 5, 0, -5, -10, -15):
        yield from ((f"pink noise {decibels} dB", drowned(one, decibels, draw)) for one in clear)
    yield "noise", (0.1 * draw.normal(size=10 * RATE)).astype(np.float32)
    yield "noise", pink(10 * RATE, draw)
    for file in sorted((share / "asterisk/moh").glob("*.wav")):
        yield "music", read(file)[20 * RATE : 40 * RATE]
    yield from (("reversed", one[::-1].copy()) for one in clear)
    for first in range(3):
        crowd = [np.roll(np.resize(one, 15 * RATE), number * 9000) for number, one in enumerate(clear)]
        yield "crowd", (np.roll(np.sum(crowd, axis=0), first * RATE) / 4).astype(np.float32)


async def measure(packages: Path, parts: list[str]) -> list[dict[str, Any]]:
    """A row for each recording and Whisper."""
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
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.checks.recognizer", description=__doc__.splitlines()[0])
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--whisper", nargs="+", default=["whisper-base-ct2", "whisper-tiny-en-ct2"])
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    rows = asyncio.run(measure(options.packages, options.whisper))
    options.out.write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
