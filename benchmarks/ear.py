"""What it would bring to recognize several requests' speech in one batch, beside one recording after the other."""

import asyncio
import functools
import itertools
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rapidfuzz.distance import Levenshtein

from app.core.asr.whisper import WhisperTranscriber
from app.core.text.normalize import normalize
from benchmarks.intervals import mean_interval, ratio_interval
from benchmarks.recordings import RATE, Samples, speech_of
from benchmarks.report import Cell, Results
from model_repo.parts import fetch_part

NAME = "ear"
THEORY = """
In a cascade Whisper writes a transcript before the language model reads anything. The service runs it (Whisper base,
int8, CTranslate2, all threads) one recording after the other. Whisper's encoder always reads 30 s, and then its decoder
writes one token after another. For each token all weights of the decoder go through the processor, so a batch of
recordings should share that traffic: on a GPU a batch is nearly free. On a few cores the encoder is bound by arithmetic
instead, and a batch saves nothing there.

Measured are recordings that arrive at the same moment, each shorter than one window:

- `one by one`: as the service does it;
- `encoded twice`: the same by faster-whisper's own model, which encodes the first window once to detect the language
  and once to decode it. The service's model encodes it once (`app.core.asr.encode_once`);
- `batch of n`: n recordings in one call of the encoder and one of the decoder, with a language for each
  (faster-whisper's batched pipeline, a clip for each recording);
- `two at once`: two recordings side by side, each on half of the threads.

Throughput is in audio seconds a second; the ratio is to `one by one`, paired in each repeat, which asks all ways in
turn. The processor's seconds a recording are of all threads together, and hardly depend on what else runs on the
machine. A batch delays its first answer until its last is written: the wait is the mean time from the arrival to the
transcript. A way is only worth something if its words are the same: the last column is the share of words that are not
those of `one by one`. Intervals are of 95 % over the repeats.
"""
COLUMNS = ("way", "audio s/s", "ratio to one by one", "CPU s a recording", "mean wait, s", "other words, %")
PART = "whisper-base-ct2"
ONE_BY_ONE, TWICE, TWO = "one by one", "encoded twice", "two at once"
OPTIONS: dict[str, Any] = {"beam_size": 1, "temperature": 0.0, "without_timestamps": False}

# Transcribes recordings that have arrived together; returns their texts, and the second at which each was there.
Recognize = Callable[[Sequence[Samples]], Awaitable[tuple[list[str], list[float]]]]


@dataclass(frozen=True)
class Plan:
    """How much is measured. recording_s: seconds of each recording, at most 30."""

    repeats: int
    recordings: int
    recording_s: float
    batches: tuple[int, ...]


QUICK, FULL = Plan(2, 2, 4.0, (2,)), Plan(5, 8, 12.0, (2, 4, 8))


def run(quick: bool) -> Results:
    """Load the recognizer in its ways, and measure."""
    return asyncio.run(_run(QUICK if quick else FULL))


async def _run(plan: Plan) -> Results:
    folder = fetch_part(PART)
    transcriber = WhisperTranscriber(folder, languages=("en",))
    await transcriber.start()
    try:
        ways: dict[str, Recognize] = {ONE_BY_ONE: functools.partial(recognize_in_turn, transcriber)}
        plain = _load(folder)
        ways[TWICE] = functools.partial(_in_thread, functools.partial(recognize_each, plain))
        for size in plan.batches:
            ways[f"batch of {size}"] = functools.partial(_in_thread, functools.partial(recognize_batches, plain, size))
        ways[TWO] = functools.partial(recognize_at_once, _load(folder, workers=2))
        return await measure(ways, plan)
    finally:
        await transcriber.stop()


def _load(folder: Path, workers: int = 1) -> Any:
    from faster_whisper import WhisperModel

    threads = max(1, len(os.sched_getaffinity(0)) // workers)
    return WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=threads, num_workers=workers)


async def recognize_in_turn(
    transcriber: WhisperTranscriber, recordings: Sequence[Samples]
) -> tuple[list[str], list[float]]:
    """Transcribe as the service does: all are asked for at once, and the transcriber takes one after the other."""
    started_at = time.perf_counter()
    ends = [0.0] * len(recordings)

    async def transcribe(number: int, samples: Samples) -> str:
        text = (await transcriber.transcribe(samples)).text
        ends[number] = time.perf_counter() - started_at
        return text

    texts = await asyncio.gather(*(transcribe(number, samples) for number, samples in enumerate(recordings)))
    return list(texts), ends


async def recognize_at_once(model: Any, recordings: Sequence[Samples]) -> tuple[list[str], list[float]]:
    """Transcribe side by side, each recording in a thread; the model's workers take them as they are free."""
    started_at = time.perf_counter()

    def transcribe(samples: Samples) -> tuple[str, float]:
        return _transcribe(model, samples), time.perf_counter() - started_at

    found = await asyncio.gather(*(asyncio.to_thread(transcribe, samples) for samples in recordings))
    return [text for text, _ in found], [end for _, end in found]


def recognize_each(model: Any, recordings: Sequence[Samples]) -> tuple[list[str], list[float]]:
    """Transcribe one after the other by faster-whisper's own `transcribe`."""
    started_at = time.perf_counter()
    texts, ends = [], []
    for samples in recordings:
        texts.append(_transcribe(model, samples))
        ends.append(time.perf_counter() - started_at)
    return texts, ends


def recognize_batches(model: Any, size: int, recordings: Sequence[Samples]) -> tuple[list[str], list[float]]:
    """Transcribe `size` recordings in each batch. A batch is one array with a clip for each of its recordings."""
    from faster_whisper import BatchedInferencePipeline

    pipeline = BatchedInferencePipeline(model)
    started_at = time.perf_counter()
    texts: list[str] = []
    ends: list[float] = []
    for first in range(0, len(recordings), size):
        group = recordings[first : first + size]
        starts = np.cumsum([0, *map(len, group)]) / RATE
        clips = [{"start": float(start), "end": float(end)} for start, end in itertools.pairwise(starts)]
        segments, _ = pipeline.transcribe(
            np.concatenate(group), clip_timestamps=clips, batch_size=size, multilingual=True, language="en", **OPTIONS
        )
        found = [""] * len(group)
        for segment in segments:
            found[int(np.searchsorted(starts, segment.start, "right")) - 1] += segment.text
        texts += found
        ends += [time.perf_counter() - started_at] * len(group)
    return texts, ends


def _transcribe(model: Any, samples: Samples) -> str:
    segments, _ = model.transcribe(samples, condition_on_previous_text=False, no_speech_threshold=None, **OPTIONS)
    return "".join(segment.text for segment in segments)


async def _in_thread(
    recognize: Callable[[Sequence[Samples]], tuple[list[str], list[float]]], recordings: Sequence[Samples]
) -> tuple[list[str], list[float]]:
    return await asyncio.to_thread(recognize, recordings)


async def measure(ways: dict[str, Recognize], plan: Plan) -> Results:
    """Measure ways to transcribe, of which one is called `ONE_BY_ONE`."""
    samples = speech_of(plan.recording_s)
    recordings = [np.roll(samples, -number * len(samples) // plan.recordings) for number in range(plan.recordings)]
    rates: dict[str, list[float]] = {way: [] for way in ways}
    waits: dict[str, list[float]] = {way: [] for way in ways}
    cpu: dict[str, list[float]] = {way: [] for way in ways}
    texts: dict[str, list[str]] = {}
    for recognize in ways.values():  # warm-up
        await recognize(recordings[:1])
    for _ in range(plan.repeats):
        for way, recognize in ways.items():
            started_at, cpu_before = time.perf_counter(), time.process_time()
            texts[way], ends = await recognize(recordings)
            cpu[way].append((time.process_time() - cpu_before) / plan.recordings)
            rates[way].append(plan.recordings * plan.recording_s / (time.perf_counter() - started_at))
            waits[way].append(statistics.mean(ends))
    rows: list[list[Cell]] = []
    summary: dict[str, Cell] = {"recordings": plan.recordings, "recording_s": plan.recording_s, "repeats": plan.repeats}
    for way in ways:
        ratio = None if way == ONE_BY_ONE else ratio_interval(rates[way], rates[ONE_BY_ONE])
        other = 100 * different_words(texts[ONE_BY_ONE], texts[way])
        cost, wait = statistics.mean(cpu[way]), statistics.mean(waits[way])
        shown = None if ratio is None else str(ratio)
        rows.append([way, str(mean_interval(rates[way])), shown, cost, wait, round(other, 1)])
        key = way.replace(" ", "_")
        summary |= {f"{key}_rtfx": statistics.mean(rates[way]), f"{key}_wait_s": wait, f"{key}_cpu_s": cost}
        summary |= {f"{key}_ratio": ratio.mean, f"{key}_other_words": other / 100} if ratio else {}
    title = f"{PART}, {plan.recordings} recordings of {plan.recording_s:g} s at once, {plan.repeats} repeats"
    return Results(title, COLUMNS, rows, summary)


def different_words(expected: Sequence[str], found: Sequence[str]) -> float:
    """Return how many words have to be changed to get one list of texts from the other, as a share of the first."""
    pairs = [(normalize(one), normalize(other)) for one, other in zip(expected, found, strict=True)]
    return sum(Levenshtein.distance(one, other) for one, other in pairs) / max(1, sum(len(one) for one, _ in pairs))
