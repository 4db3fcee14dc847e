"""Several questions to one recording in one request: it is heard once, and each is answered on its own."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from app.core.asr.confidence import Recognition
from app.core.errors import Unprocessable
from app.engine.base import GenerationRequest
from app.engine.scripted import SCRIPT, ScriptedEngine
from tests.app.api.test_chat import messages
from tests.app.api.test_recordings import keep, keeping, stream_events, wait_until_ended
from tests.app.recordings.spoken_cascade import CASCADE_MODEL, SpokenCascade, WritingModel
from tests.app.running_service import PATH, Site, code, serving, value, wav
from tests.app.summarize.test_long_audio import minutes

JOBS = f"{PATH}/jobs"
WHO, WHEN = "Who pays?", "Until when?"
ENGLISH = Recognition("en", 0.99, -0.2)


def reply(request: GenerationRequest) -> Sequence[str]:
    """The summary's script, and to a question the question itself."""
    if "-q" in request.request_id:
        return [f"{word} " for word in request.instruction.split()]
    return SCRIPT


async def post(site: Site, *questions: str, path: str = PATH, **fields: Any) -> Any:
    """POST a recording with questions as a form, the field repeated."""
    form = {"questions": list(questions), **fields}
    return await site.client.post(path, files={"file": ("a.wav", wav())}, data=form)


async def test_each_question_is_answered_beside_the_summary() -> None:
    async with serving(ScriptedEngine(reply)) as site:
        answered = value("speechsum_questions_total")
        answer = (await post(site, WHO, WHEN)).json()
        assert answer["summary"] == "".join(SCRIPT)
        assert answer["answers"] == [
            {"question": text, "answer": f"{text} ", "finish_reason": "stop", "citations": [], "unsupported": None}
            for text in (WHO, WHEN)
        ]
        assert value("speechsum_questions_total") == answered + 2
        summary, first, second = site.engine.requests
        assert (first.instruction, second.instruction) == (WHO, WHEN)
        assert first.schema is None
        assert (summary.samples == second.samples).all()
        assert site.engine.max_running == 1, "one by one"


async def test_without_questions_there_are_no_answers(site: Site) -> None:
    answer = (await site.post()).json()
    assert answer["answers"] == []
    assert "questions" not in answer["timings"]


async def test_they_count_towards_the_usage_and_the_time() -> None:
    async with serving(ScriptedEngine(reply)) as site:
        plain = (await site.post()).json()
        written = value("speechsum_output_tokens_total", kind="audio-llm")
        answer = (await post(site, WHO, WHEN)).json()
        assert answer["usage"]["completion_tokens"] == plain["usage"]["completion_tokens"] + 4
        assert answer["usage"]["prompt_tokens"] > 2.5 * plain["usage"]["prompt_tokens"]
        assert (
            value("speechsum_output_tokens_total", kind="audio-llm") - written == (answer["usage"]["completion_tokens"])
        )
        assert answer["timings"]["questions"] > 0
        assert sum(answer["timings"][name] for name in ("questions", "overhead")) <= answer["timings"]["total"]


async def test_a_cascade_hears_the_recording_once_for_all() -> None:
    engine = SpokenCascade()
    async with serving(engine, model=CASCADE_MODEL) as site:
        answer = (await post(site, *[f"Question {number}?" for number in range(10)])).json()
        assert len(answer["answers"]) == 10
        assert engine.hearings == 1
        asked = [prompt for prompt in engine.writer.prompts if "Question 9?" in prompt]
        assert len(asked) == 1
        assert "<transcript>\nMaria pays 40 dollars.\n</transcript>" in asked[0], "material, and not an instruction"


async def test_one_field_may_hold_a_json_list_and_a_query_repeats_it() -> None:
    async with serving(ScriptedEngine(reply)) as site:
        listed = (await post(site, json.dumps([WHO, WHEN]))).json()
        assert [one["question"] for one in listed["answers"]] == [WHO, WHEN]
        raw = await site.client.post(
            PATH, params={"questions": [WHO, WHEN]}, content=wav(), headers={"content-type": "audio/wav"}
        )
        assert raw.json()["answers"] == listed["answers"]
        assert [one["question"] for one in (await post(site, "  ", f" {WHO} ")).json()["answers"]] == [WHO]
        bracket = (await post(site, "[sic] who pays?")).json()
        assert bracket["answers"][0]["question"] == "[sic] who pays?", "no JSON, and therefore a question"


@pytest.mark.parametrize(
    ("questions", "param"),
    [
        ([f"{number}?" for number in range(11)], "questions"),
        (["x" * 501], "questions.0"),
        ([json.dumps([WHO, 7])], "questions.1"),
        ([json.dumps([WHO, " "])], "questions.1"),
        ([json.dumps([[WHO]])], "questions.0"),
    ],
)
async def test_too_many_and_too_long_ones_are_refused(site: Site, questions: list[str], param: str) -> None:
    response = await post(site, *questions)
    assert code(response) == (400, "invalid_field")
    assert response.json()["error"]["param"] == param
    assert site.engine.requests == []


@pytest.mark.parametrize("response_format", ["text", "markdown"])
async def test_a_text_has_no_place_for_answers(site: Site, response_format: str) -> None:
    response = await post(site, WHO, response_format=response_format)
    assert code(response) == (400, "invalid_field")
    assert "questions" in response.json()["error"]["message"]


async def test_they_are_streamed_after_the_summary() -> None:
    async with serving(ScriptedEngine(reply)) as site:
        events = stream_events((await post(site, WHO, WHEN, stream="true")).text)
        kinds = [event["object"].removeprefix("audio.summary.") for event in events]
        assert kinds.index("answer.delta") > max(index for index, kind in enumerate(kinds) if kind == "delta")
        pieces = ["", ""]
        for event in events:
            if event["object"] == "audio.summary.answer.delta":
                pieces[event["index"]] += event["delta"]
        answers = [event for event in events if event["object"] == "audio.summary.answer"]
        assert [(one["index"], one["question"], one["answer"]) for one in answers] == [
            (0, WHO, pieces[0]), (1, WHEN, pieces[1]),
        ]  # fmt: skip
        progress = [(event["done"], event["of"]) for event in events if event.get("stage") == "questions"]
        assert progress == [(0, 2), (1, 2), (2, 2)]
        done = events[-1]
        assert done["object"] == "audio.summary.done"
        assert [one["answer"] for one in done["answers"]] == pieces


async def test_what_an_answer_invents_is_named_there_and_in_a_warning() -> None:
    def invent(request: GenerationRequest) -> Sequence[str]:
        return ["Peter Novak pays $4,300."] if "-q" in request.request_id else ["Maria pays."]

    engine = ScriptedEngine(invent, transcript="This is Maria, who pays.", recognition=ENGLISH)
    async with serving(engine) as site:
        answer = (await post(site, WHO, "Does Peter Novak pay $4,300?")).json()
        assert answer["unsupported"] == []
        first, second = answer["answers"]
        assert [one["text"] for one in first["unsupported"]] == ["Peter Novak", "$4,300"]
        assert second["unsupported"] == [], "the question itself names them"
        (warning,) = answer["warnings"]
        assert warning.startswith("In the answer to question 1, but not heard")


async def test_answers_are_in_the_language_asked_for_and_not_in_the_summarys_form() -> None:
    async with serving(ScriptedEngine(reply)) as site:
        answer = (await post(site, WHO, language="de", style="headline", response_format="json")).json()
        assert answer["answers"][0]["question"] == WHO
        question = site.engine.requests[-1]
        assert question.instruction == f"{WHO} Write in German."
        assert (question.schema, question.max_tokens) == (None, 384)
        await post(site, WHO, max_tokens="2")
        assert site.engine.requests[-1].max_tokens == 2


async def test_a_cut_answer_is_said_to_be_cut() -> None:
    async with serving(ScriptedEngine(reply)) as site:
        answer = (await post(site, WHO, "What is said about the roof and the tiles?", max_tokens="7")).json()
        assert [one["finish_reason"] for one in answer["answers"]] == ["stop", "length"]
        assert any("answer to question 2 was stopped at 7 tokens" in one for one in answer["warnings"])


async def test_an_empty_answer_is_named() -> None:
    engine = SpokenCascade(WritingModel(""))
    async with serving(engine, model=CASCADE_MODEL) as site:
        answer = (await post(site, WHO)).json()
        assert "The model wrote nothing in answer to question 1." in answer["warnings"]


async def test_of_a_long_recording_the_notes_are_taken_once_and_name_all_questions() -> None:
    def write(request: GenerationRequest) -> Sequence[str]:
        if request.samples is not None:
            return ["Tom ", "orders ", "tiles."]
        return ["Tom orders tiles."]

    async with serving(ScriptedEngine(write), find_speech=minutes) as site:
        form = {"questions": [WHO, WHEN]}
        answer = (await site.client.post(PATH, files={"file": wav(170)}, data=form)).json()
        noted = [one for one in site.engine.requests if one.samples is not None]
        assert len(noted) == len(answer["windows"]) == 3
        assert all(WHO in one.instruction and WHEN in one.instruction for one in noted)
        questions = [one for one in site.engine.requests if "-q" in one.request_id]
        assert [one.instruction for one in questions] == [WHO, WHEN]
        assert all("Tom orders tiles." in one.notes for one in questions)
        for one in answer["answers"]:
            assert one["answer"] == "Tom orders tiles."
            (cited,) = one["citations"]
            assert (cited["text"], cited["windows"], len(cited["times"])) == ("Tom orders tiles.", [1, 2, 3], 3)
        assert answer["usage"]["completion_tokens"] == 3 * 3 + 3


async def test_long_notes_leave_room_for_the_answers() -> None:
    """A headline takes 48 tokens and an answer 384: the notes must leave room for the longer one."""
    async with serving(ScriptedEngine(context_tokens=900), find_speech=minutes) as site:
        files = {"file": wav(170)}
        assert (await site.client.post(PATH, files=files, data={"style": "headline"})).status_code == 200
        form = {"style": "headline", "questions": [WHO], "max_tokens": "700"}
        assert code(await site.client.post(PATH, files=files, data=form)) == (413, "context_exceeded")


async def test_nobody_speaks_and_nothing_is_answered(site: Site) -> None:
    response = await site.client.post(PATH, files={"file": wav(amplitude=0)}, data={"questions": [WHO]})
    assert response.json()["answers"] == [
        {"question": WHO, "answer": "", "finish_reason": "no_speech", "citations": [], "unsupported": None}
    ]
    assert site.engine.requests == []


async def test_with_high_effort_each_question_is_asked_once() -> None:
    async with serving(ScriptedEngine(reply)) as site:
        await post(site, WHO, effort="high")
        assert len([one for one in site.engine.requests if "-q" in one.request_id]) == 1


async def test_questions_to_a_kept_recording_hear_nothing() -> None:
    engine = SpokenCascade()
    async with keeping(engine, CASCADE_MODEL) as site:
        id_ = (await keep(site))["recording_id"]
        form = [("recording_id", (None, id_)), ("questions", (None, WHO)), ("questions", (None, WHEN))]
        answer = (await site.client.post(PATH, files=form)).json()
        assert [one["answer"] for one in answer["answers"]] == ["Yes.", "Yes."]
        assert engine.hearings == 1


async def test_a_job_answers_them() -> None:
    async with serving(ScriptedEngine(reply)) as site:
        made = (await post(site, WHO, WHEN, path=JOBS)).json()
        job = await wait_until_ended(site, made["id"])
        assert [one["question"] for one in job["summary"]["answers"]] == [WHO, WHEN]


async def test_a_chat_takes_them_as_an_extension() -> None:
    async with serving(ScriptedEngine(reply)) as site:
        body = {"model": "", "messages": messages(), "questions": [WHO, WHEN]}
        answer = (await site.client.post("/v1/chat/completions", json=body)).json()
        assert [one["answer"] for one in answer["speechsum"]["answers"]] == [f"{WHO} ", f"{WHEN} "]
        refused = await site.client.post("/v1/chat/completions", json={**body, "questions": ["x" * 501]})
        assert code(refused) == (400, "invalid_field")


async def test_a_repeat_by_its_key_is_the_same_and_another_question_is_another_request() -> None:
    async with serving(ScriptedEngine(reply)) as site:
        site.client.headers["idempotency-key"] = "three-questions"
        first, second = await post(site, WHO), await post(site, WHO)
        assert (second.content, len(site.engine.requests)) == (first.content, 2)
        assert code(await post(site, WHEN)) == (422, "idempotency_key_reused")


async def test_eight_at_once_are_all_answered() -> None:
    async with serving(ScriptedEngine(reply, piece_s=0.002)) as site:
        answers = await asyncio.gather(*(post(site, f"Number {number}?", WHO) for number in range(8)))
        for number, one in enumerate(answers):
            assert [found["answer"] for found in one.json()["answers"]] == [f"Number {number}? ", f"{WHO} "]
        await site.until_idle()


async def test_an_engine_that_fails_at_a_question_fails_the_request() -> None:
    def fail_at_second(request: GenerationRequest) -> Sequence[str]:
        if request.request_id.endswith("-q2"):
            raise Unprocessable("The engine refused the request.", code="engine_refused")
        return SCRIPT

    async with keeping(ScriptedEngine(fail_at_second)) as site:
        assert code(await post(site, WHO, WHEN, keep="true")) == (422, "engine_refused")
        assert site.service.recordings.count == 0
        await site.until_idle()
