"""Kept recordings, questions, context, vocabulary, transcripts and templates in the same request."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from app.core.asr.confidence import Recognition
from app.core.asr.transcript import Transcript
from app.core.background import BACKGROUND_RULE, SYSTEM_RULE, VOCABULARY_RULE, Background
from app.core.prompts import SYSTEM_PROMPT
from app.engine.base import GenerationRequest
from app.engine.scripted import SCRIPT, ScriptedEngine
from app.templates.builtin import BUILTIN_TEMPLATES
from tests.app.api.test_recordings import again, keep, keeping, wait_until_ended
from tests.app.recordings.spoken_cascade import (
    CASCADE_MODEL,
    CountingTranscriber,
    SpokenCascade,
    WritingModel,
)
from tests.app.running_service import PATH, Site, serving, wav
from tests.app.summarize.test_long_audio import minutes

CONTEXT = "Agenda: Peter Novak shows the roof."
VOCABULARY = "Aoife, Kubernetes"
TERMS = ("Aoife", "Kubernetes")
BACKGROUND = Background(CONTEXT, TERMS)
OTHER_VOCABULARY = "with another vocabulary than this request's"


def other_vocabulary(answer: Any) -> list[str]:
    """The warnings that a recording was heard with other terms."""
    return [one for one in answer["warnings"] if OTHER_VOCABULARY in one]


async def test_the_transcript_of_a_kept_recording_is_the_one_that_was_kept() -> None:
    engine = SpokenCascade()
    async with keeping(engine, CASCADE_MODEL) as site:
        first = await keep(site, transcript="verbose_json")
        second = (await again(site, first["recording_id"], transcript="verbose_json")).json()
        assert second["transcript"] == first["transcript"]
        assert second["transcript"]["segments"][0]["text"] == "Maria pays 40 dollars."
        srt = (await again(site, first["recording_id"], transcript="srt")).json()["transcript"]["text"]
        assert srt == "1\n00:00:00,000 --> 00:00:02,000\nMaria pays 40 dollars.\n"
        assert engine.hearings == 1


async def test_the_times_of_a_long_kept_transcript_are_those_of_the_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = SpokenCascade()
    async with keeping(engine, CASCADE_MODEL) as site:
        monkeypatch.setattr(site.service.summarizer, "find_speech", minutes)
        first = await keep(site, wav(seconds=180), transcript="verbose_json")
        second = (await again(site, first["recording_id"], transcript="verbose_json")).json()
        assert [(one["start"], one["end"]) for one in second["transcript"]["segments"]] == [
            (0, 50), (60, 110), (120, 170),
        ]  # fmt: skip
        assert second["transcript"] == first["transcript"]
        assert engine.hearings == 3


async def test_a_kept_recording_was_heard_with_the_vocabulary_of_its_first_request() -> None:
    engine = SpokenCascade()
    async with keeping(engine, CASCADE_MODEL) as site:
        first = await keep(site, vocabulary=VOCABULARY)
        assert engine.recognizer.vocabulary == TERMS
        same = (await again(site, first["recording_id"], vocabulary="Kubernetes, Aoife")).json()
        other = (await again(site, first["recording_id"], vocabulary="Grafana")).json()
        without = (await again(site, first["recording_id"])).json()
        assert engine.hearings == 1
    assert [len(other_vocabulary(one)) for one in (first, same, other, without)] == [0, 0, 1, 0]
    assert "did not listen for 1 of these terms" in other_vocabulary(other)[0]
    assert f"{VOCABULARY_RULE} Grafana." in engine.writer.prompts[-2], "the model is told the terms all the same"


async def test_a_kept_recording_that_is_heard_again_is_heard_with_the_terms_of_now() -> None:
    async with keeping() as site:
        first = await keep(site, vocabulary=VOCABULARY)
        second = (await again(site, first["recording_id"], vocabulary="Grafana")).json()
        assert site.engine.requests[-1].vocabulary == ("Grafana",)
    assert other_vocabulary(second) == []


class CrampedTranscriber(CountingTranscriber):
    """A recognizer with room for one term."""

    async def transcribe(self, samples: Any, vocabulary: Sequence[str] = ()) -> Transcript:
        heard = await super().transcribe(samples, vocabulary)
        return Transcript(heard.segments, heard.language, heard.language_probability, max(0, len(vocabulary) - 1))


async def test_terms_without_room_are_told_to_requests_that_name_them() -> None:
    def count_warnings(answer: Any) -> int:
        return sum("had no room for the last 1 terms" in one for one in answer["warnings"])

    async with keeping(SpokenCascade(recognizer=CrampedTranscriber()), CASCADE_MODEL) as site:
        first = await keep(site, vocabulary=VOCABULARY)
        same = (await again(site, first["recording_id"], vocabulary=VOCABULARY)).json()
        other = (await again(site, first["recording_id"], vocabulary="Grafana")).json()
    assert [count_warnings(one) for one in (first, same, other)] == [1, 1, 0]


async def test_a_question_has_the_context_and_the_vocabulary_as_the_summary_has_them() -> None:
    async with keeping() as site:
        first = await keep(site, context=CONTEXT, vocabulary=VOCABULARY, questions="Who pays?")
        await again(site, first["recording_id"], context=CONTEXT, vocabulary=VOCABULARY, questions="Who pays?")
        requests = site.engine.requests
        assert len(requests) == 4
    for one in requests:
        assert (one.system, one.vocabulary) == (f"{SYSTEM_PROMPT} {SYSTEM_RULE}", TERMS)
    assert [one.instruction for one in requests[1::2]] == [BACKGROUND.introduce("Who pays?")] * 2


async def test_the_answer_to_a_long_recording_has_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as site:
        monkeypatch.setattr(site.service.summarizer, "find_speech", minutes)
        await site.post(wav(seconds=180), context=CONTEXT, questions="Who pays?")
        *notes, summary, answer = site.engine.requests
    assert all("Who pays?" in one.instruction for one in notes)
    assert {one.system for one in (*notes, summary, answer)} == {f"{SYSTEM_PROMPT} {SYSTEM_RULE}"}
    assert answer.instruction == Background(CONTEXT).introduce("Who pays?")
    assert answer.notes


async def test_a_name_that_only_the_context_has_is_marked_in_an_answer() -> None:
    written = ["Maria says that ", "Peter Novak ", "and Gustav ", "pay."]
    engine = ScriptedEngine(written, transcript="This is Maria.", recognition=Recognition("en", 0.99, -0.2))
    async with serving(engine, model=CASCADE_MODEL) as site:
        answer = (await site.post(context=CONTEXT, questions="Who pays?")).json()
    marks = {"Peter Novak": True, "Gustav": False}
    assert {one["text"]: one["in_context"] for one in answer["unsupported"]} == marks
    assert {one["text"]: one["in_context"] for one in answer["answers"][0]["unsupported"]} == marks
    where = "In the answer to question 1"
    assert f'{where}, but not heard in the recording: "Gustav". Check before you rely on it.' in answer["warnings"]
    assert any(one.startswith(f"{where} from your context or vocabulary") for one in answer["warnings"])


async def test_a_template_is_for_the_summary_and_not_for_the_answers() -> None:
    lecture = BUILTIN_TEMPLATES["lecture"].content.instruction
    async with keeping() as site:
        template = {"name": "german", "description": "A talk.", "instruction": "Say who speaks.", "language": "de"}
        assert (await site.client.post("/v1/templates", json=template)).status_code == 201
        first = await keep(site, template="german", questions="Who pays?")
        second = (await again(site, first["recording_id"], template="lecture", questions="Who pays?")).json()
        instructions = [one.instruction for one in site.engine.requests]
    assert (first["template"], second["template"]) == ("german", "lecture")
    assert instructions == [
        "Say who speaks. Write in German.", "Who pays? Write in German.", lecture, "Who pays?",
    ]  # fmt: skip


def choosing(request: GenerationRequest) -> Sequence[str]:
    """The name of a template where one is to be chosen, and else a summary."""
    is_choice = request.schema is not None and list(request.schema["properties"]) == ["template"]
    return [json.dumps({"template": "sales_call"})] if is_choice else SCRIPT


async def test_the_choice_of_a_template_has_the_background_and_is_made_from_what_was_kept() -> None:
    async with keeping(ScriptedEngine(choosing)) as site:
        first = await keep(site, template="auto", context=CONTEXT, vocabulary=VOCABULARY)
        choice = site.engine.requests[0]
        second = (await again(site, first["recording_id"], template="auto")).json()
    assert (first["template"], second["template"]) == ("sales_call", "sales_call")
    assert BACKGROUND_RULE in choice.instruction
    assert (choice.system, choice.vocabulary) == (f"{SYSTEM_PROMPT} {SYSTEM_RULE}", TERMS)


@pytest.mark.parametrize("seconds", [2, 180])
async def test_a_cascade_hears_once_for_the_choice_and_the_summary(
    seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = SpokenCascade(WritingModel(json.dumps({"template": "voicemail"})))
    async with keeping(engine, CASCADE_MODEL) as site:
        if seconds > 2:
            monkeypatch.setattr(site.service.summarizer, "find_speech", minutes)
        first = await keep(site, wav(seconds), template="auto", vocabulary=VOCABULARY, context=CONTEXT)
        assert engine.hearings == len(first["windows"]) == (1 if seconds == 2 else 3)
        assert engine.recognizer.vocabulary == TERMS, "the first to hear it is the choice"
        assert SYSTEM_RULE in engine.writer.systems[-1]
        second = (await again(site, first["recording_id"], template="auto")).json()
        assert engine.hearings == len(first["windows"])
        assert (first["template"], second["template"]) == ("voicemail", "voicemail")


async def test_a_job_takes_all_of_them() -> None:
    engine = SpokenCascade()
    async with keeping(engine, CASCADE_MODEL) as site:
        first = await keep(site, vocabulary=VOCABULARY)
        fields = {
            "recording_id": first["recording_id"], "context": CONTEXT, "vocabulary": VOCABULARY, "transcript": "text",
            "template": "lecture", "questions": ["Who pays?", "Until when?"],
        }  # fmt: skip
        queued = await site.client.post(f"{PATH}/jobs", data=fields, files={"file": ("", b"")})
        assert queued.status_code == 202, queued.text
        result = await job_result(site, queued.json()["id"])
        assert engine.hearings == 1
    assert result["recording_id"] == first["recording_id"]
    assert result["transcript"]["text"] == "Maria pays 40 dollars."
    assert (result["template"], len(result["answers"])) == ("lecture", 2)
    assert other_vocabulary(result) == []
    assert BACKGROUND.introduce("Until when?") in engine.writer.prompts[-1]


async def test_a_job_keeps_its_recording() -> None:
    async with keeping(SpokenCascade(), CASCADE_MODEL) as site:
        queued = await site.client.post(f"{PATH}/jobs", data={"keep": "true"}, files={"file": wav()})
        kept = (await job_result(site, queued.json()["id"]))["recording_id"]
        assert (await again(site, kept, transcript="text")).json()["transcript"]["text"] == "Maria pays 40 dollars."


async def job_result(site: Site, id_: str) -> Any:
    """The answer of a job, once it has ended."""
    await wait_until_ended(site, id_)
    return (await site.client.get(f"{PATH}/jobs/{id_}/result")).json()
