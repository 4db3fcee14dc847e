"""The warnings about a cascade's transcript, in every kind of response."""

import asyncio
import base64
import json
import re
from dataclasses import replace
from typing import Any

import pytest

from app.core.asr.confidence import Recognition
from app.core.audio.windows import Window
from app.engine.base import GenerationFinished, GenerationRequest
from app.engine.model_info import ModelInfo
from app.engine.scripted import ScriptedEngine
from app.summarize.recognition_warnings import overall_recognition
from app.summarize.request import WindowResult
from tests.app.running_service import PATH, serving, value, wav

CASCADE = ModelInfo("two-steps", "1", "cascade", max_seconds=60.0, languages=("en", "de"))
SURE = Recognition("de", 0.97, -0.25)
GARBLED = Recognition("en", 0.4, -1.4, ((0.0, 2.0),))


async def summary_with(recognition: Recognition, **request: Any) -> dict[str, Any]:
    """The answer to two seconds that were recognized so."""
    reason = "not_understood" if recognition is GARBLED else None
    engine = ScriptedEngine([] if reason else ["Anna calls."], recognition=recognition, finish_reason=reason)
    async with serving(engine, model=CASCADE) as site:
        return dict((await site.post(**request)).json())


async def test_language_and_certainty_are_told_and_a_sure_recognizer_gives_no_warning() -> None:
    answer = await summary_with(SURE)
    audio = answer["audio"]
    assert (audio["language"], audio["language_probability"], audio["recognizer_log_probability"]) == (
        "de",
        0.97,
        -0.25,
    )
    assert (answer["warnings"], answer["complete"]) == ([], True)


async def test_a_model_that_hears_tells_nothing_of_a_recognizer() -> None:
    async with serving() as site:
        audio = (await site.post()).json()["audio"]
    assert [audio[name] for name in ("language", "language_probability", "recognizer_log_probability")] == [None] * 3


@pytest.mark.parametrize(
    ("recognition", "said"),
    [
        (replace(SURE, log_probability=-0.75), r"unsure of much that was said \(mean log-probability -0.75\)"),
        (replace(SURE, language_probability=0.4), r"taken for German with little certainty \(40%\)"),
        (
            replace(SURE, language="pl"),
            r"two-steps@1 does not write Polish, which is spoken; the summary is in English",
        ),
        (
            replace(SURE, omitted_spans=((0.5, 1.5),)),
            r"Not understood, and left out of the summary: 0:00:00 to 0:00:02",
        ),
    ],
)
async def test_what_a_reader_should_know_is_a_warning(recognition: Recognition, said: str) -> None:
    answer = await summary_with(recognition)
    assert answer["summary"] == "Anna calls."
    (warning,) = answer["warnings"]
    assert re.search(said, warning), warning
    assert answer["complete"] is not recognition.omitted_spans


async def test_who_asks_for_a_language_is_not_told_that_the_model_does_not_write_another() -> None:
    assert (await summary_with(replace(SURE, language="pl"), language="en"))["warnings"] == []


async def test_what_was_not_understood_is_no_summary_and_the_settings_are_named() -> None:
    before = value("speechsum_not_understood_total")
    answer = await summary_with(GARBLED)
    assert (answer["summary"], answer["finish_reason"], answer["complete"]) == ("", "not_understood", False)
    (warning,) = answer["warnings"]
    assert "could not be understood" in warning
    assert "SPEECHSUM_RECOGNIZER__LOG_PROBABILITY" in warning
    assert value("speechsum_not_understood_total") == before + 1


async def test_streams_chats_and_jobs_say_so_too() -> None:
    engine = ScriptedEngine([], recognition=GARBLED, finish_reason="not_understood")
    async with serving(engine, model=CASCADE) as site:
        stream = (await site.post(stream="true")).text
        last = json.loads(
            [line for line in stream.splitlines() if line.startswith("data: {")][-1].removeprefix("data: ")
        )
        assert (last["object"], last["finish_reason"]) == ("audio.summary.done", "not_understood")
        text = await site.post(response_format="text")
        assert (text.text.strip(), text.headers["x-summary-finish-reason"]) == ("", "not_understood")

        sound = {"type": "input_audio", "input_audio": {"data": base64.b64encode(wav()).decode(), "format": "wav"}}
        body = {"model": "two-steps", "messages": [{"role": "user", "content": [sound]}]}
        chat = (await site.client.post("/v1/chat/completions", json=body)).json()
        assert (chat["choices"][0]["message"]["content"], chat["choices"][0]["finish_reason"]) == ("", "stop")
        assert chat["speechsum"]["finish_reason"] == "not_understood"

        files = {"file": ("recording.wav", wav())}
        job = (await site.client.post(f"{PATH}/jobs", files=files)).json()
        result = f"{PATH}/jobs/{job['id']}/result"
        for _ in range(500):
            response = await site.client.get(result)
            if response.status_code == 200:
                break
            await asyncio.sleep(0.02)
        assert response.json()["finish_reason"] == "not_understood"


async def test_windows_that_were_not_understood_are_left_out_and_named() -> None:
    """Of three windows the second is garbled: the summary is made of the notes on the others."""

    class Windowed(ScriptedEngine):
        async def _play(self, request: GenerationRequest) -> Any:
            garbled = request.samples is not None and request.request_id.endswith("-w2")
            heard = replace(GARBLED, omitted_spans=((0.0, 50.0),)) if garbled else SURE
            self.pieces = () if garbled else (request.notes or f"note {request.request_id[-2:]}",)
            async for event in super()._play(request):
                if isinstance(event, GenerationFinished) and request.samples is not None:
                    event = replace(
                        event, recognition=heard, finish_reason="not_understood" if garbled else event.finish_reason
                    )
                yield event

    def minutes(samples: Any, _: Any = None) -> list[tuple[float, float]]:
        return [(start, start + 50.0) for start in range(0, len(samples) // 16_000 - 1, 60)]

    async with serving(Windowed(), model=CASCADE) as site:
        site.service.find_speech = minutes
        for model in site.service.models.by_id.values():
            model.summarizer.find_speech = minutes
        answer = (await site.post(wav(180))).json()
    assert [one["note"] for one in answer["windows"]] == ["note w1", "", "note w3"]
    assert "note w1" in answer["summary"]
    assert "w2" not in answer["summary"]
    assert (answer["finish_reason"], answer["complete"]) == ("stop", False)
    assert answer["audio"]["language"] == "de", "of what was understood"
    assert any("window 2 (0:01:00 to 0:01:50)" in one for one in answer["warnings"]), answer["warnings"]
    assert any("left out of the summary: 0:01:00 to 0:01:50" in one for one in answer["warnings"]), answer["warnings"]


def test_the_language_is_the_one_that_most_is_spoken_in() -> None:
    heard = [
        WindowResult(Window(0, 100), "", Recognition("en", 0.9, -0.2)),
        WindowResult(Window(100, 250), "", Recognition("es", 0.8, -0.4)),
        WindowResult(Window(250, 550), "", Recognition("nn", 0.6, -2.0, ((0.0, 300.0),))),
    ]
    found = overall_recognition(heard)
    assert found is not None
    assert (found.language, found.language_probability) == ("es", 0.8)
    assert found.omitted_spans == ((250.0, 550.0),)
    assert overall_recognition([WindowResult(Window(0, 5))]) is None
