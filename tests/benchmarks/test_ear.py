"""The ear's table, and batches whose texts belong to the right recordings."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import ear
from benchmarks.ear import ONE_BY_ONE, Plan, different_words, measure, recognize_batches
from benchmarks.recordings import Samples


async def test_ways_are_compared_with_one_by_one() -> None:
    async def one_by_one(recordings: Sequence[Samples]) -> tuple[list[str], list[float]]:
        await asyncio.sleep(0.02)
        return ["send the report"] * len(recordings), [0.01, 0.02][: len(recordings)]

    async def batch(recordings: Sequence[Samples]) -> tuple[list[str], list[float]]:
        await asyncio.sleep(0.01)
        return ["send the resort"] * len(recordings), [0.01, 0.01][: len(recordings)]

    results = await measure({ONE_BY_ONE: one_by_one, "batch of 2": batch}, Plan(3, 2, 1.0, (2,)))
    assert [row[0] for row in results.rows] == [ONE_BY_ONE, "batch of 2"]
    assert 1 < float(results.summary["batch_of_2_ratio"] or 0) < 3
    assert results.summary["batch_of_2_other_words"] == pytest.approx(1 / 3)
    assert results.summary["one_by_one_wait_s"] == pytest.approx(0.015)


def test_each_recording_of_a_batch_gets_its_own_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipeline gets one array, and says where in it each segment begins."""

    class Pipeline:
        def __init__(self, model: Any) -> None: ...

        def transcribe(self, audio: Samples, *, clip_timestamps: list[dict[str, float]], **_: Any) -> Any:
            loudness = [audio[round(clip["start"] * 16_000)] for clip in clip_timestamps]
            texts = [(clip, f" loud {value:g}.") for clip, value in zip(clip_timestamps, loudness, strict=True)]
            segments = [SimpleNamespace(start=clip["start"], text=text) for clip, text in texts]
            return iter(segments), None

    monkeypatch.setattr("faster_whisper.BatchedInferencePipeline", Pipeline)
    recordings = [np.full(16_000 * (1 + number), float(number), np.float32) for number in range(3)]
    texts, ends = recognize_batches(None, 2, recordings)
    assert texts == [" loud 0.", " loud 1.", " loud 2."]
    assert ends[0] == ends[1] <= ends[2]


def test_words_that_differ_are_counted_without_their_spelling() -> None:
    assert different_words(["Send it to Anna."], ["send it, to Anna"]) == 0
    assert different_words(["Send it to Anna."], ["send it to Hannah and Tom"]) == 3 / 4


@pytest.mark.slow
def test_whisper_hears_the_same_in_all_ways() -> None:
    results = ear.run(quick=True)
    assert all(float(row[-1] or 0) < 30 for row in results.rows), results.rows
    assert float(results.summary["encoded_twice_ratio"] or 0) < 1
