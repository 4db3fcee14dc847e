"""Real recordings through the real decoder and speech detector, over a real socket."""

import json
import os
from collections.abc import AsyncIterator

import pytest

from app.engine.base import EngineEvent, GenerationRequest
from app.engine.scripted import ScriptedEngine
from tests import recordings
from tests.app.running_service import PATH, code, serving


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_speech_of_several_kinds_is_summarized() -> None:
    formats = recordings.all_formats()
    async with serving(real_audio=True) as site:
        for name in ("wav PCM_16", "flac", "ogg opus", "mp3", "ipod aac", "webm libopus"):
            make, found, _ = formats[name]
            answer = (await site.post(make())).json()
            assert answer["audio"]["format"] == found, name
            assert answer["finish_reason"] == "stop", name
            assert answer["audio"]["speech_seconds"] > 1, name
            assert answer["audio_seconds"] == pytest.approx(len(recordings.speech()) / recordings.RATE, abs=0.1)


async def test_silence_spends_no_engine_time() -> None:
    async with serving(real_audio=True) as site:
        answer = (await site.post(recordings.silence_wav(5))).json()
        assert (answer["summary"], answer["finish_reason"], answer["audio_seconds"]) == ("", "no_speech", 5)
        assert site.engine.requests == []


class Forgetful(ScriptedEngine):
    """Does not remember its requests, whose samples are megabytes a minute."""

    async def generate(self, request: GenerationRequest) -> AsyncIterator[EngineEvent]:
        async for event in super().generate(request):
            self.requests.clear()
            yield event


@pytest.mark.timing
@pytest.mark.parametrize("minutes", [20, pytest.param(60, marks=pytest.mark.slow)])
async def test_a_long_recording_is_read_in_windows_and_its_memory_given_back(minutes: int) -> None:
    recording = recordings.opus_minutes(minutes)
    async with serving(Forgetful(), real_audio=True) as site:
        await site.post(recordings.speech_wav())
        before = resident_bytes()
        answer = (await site.post(recording)).json()
        assert answer["audio_seconds"] == pytest.approx(60 * minutes, abs=1)
        assert answer["complete"] is True
        assert len(answer["windows"]) >= minutes
        assert all(one["end"] - one["start"] <= 60.001 for one in answer["windows"])
        await site.until_idle()
        print(f"{(resident_bytes() - before) / 1e6:.0f} MB more than before")
        assert resident_bytes() - before < minutes * 5_000_000


@pytest.mark.timing
async def test_every_broken_file_is_refused_and_the_service_is_as_before() -> None:
    good = recordings.speech_wav()
    async with serving(real_audio=True) as site:
        before_answer = (await site.post(good)).json()
        before_bytes = resident_bytes()
        for name, (audio, status, expected) in recordings.broken_files().items():
            assert (*code(await site.post(audio)), name) == (status, expected, name)
        after_answer = (await site.post(good)).json()
        await site.until_idle()
        assert after_answer["summary"] == before_answer["summary"]
        assert after_answer["audio"] == before_answer["audio"]
        assert len(site.engine.requests) == 2
        assert resident_bytes() - before_bytes < 60_000_000


async def test_a_broken_file_in_a_stream() -> None:
    async with serving(real_audio=True) as site:
        files = {"file": recordings.nan_wav()}
        text = (await site.client.post(PATH, files=files, data={"stream": "true"})).text
        data = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
        assert json.loads(data[-2])["error"]["code"] == "non_finite_samples"
        assert data[-1] == "[DONE]"
