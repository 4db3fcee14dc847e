"""What a caller who does everything right gets."""

import asyncio
import re
import time

import numpy as np
import pytest

from app.core.prompts import Style, instruction
from app.engine.model_info import ModelInfo
from app.engine.scripted import ScriptedEngine
from tests.app.running_service import PATH, Site, serving, until, value, wav
from tests.recordings import encode_audio, speech


async def test_the_answer_says_what_was_heard_and_used(site: Site) -> None:
    response = await site.post(wav(seconds=31))
    assert response.status_code == 200
    answer = response.json()
    assert re.fullmatch(r"sum-[0-9a-f]{32}", answer["id"])
    assert answer["object"] == "audio.summary"
    assert answer["model"] == "test-model@3"
    assert answer["kind"] == "audio-llm"
    assert answer["summary"] == "A scripted summary of what was said."
    assert answer["finish_reason"] == "stop"
    assert answer["audio_seconds"] == 31
    assert answer["complete"] is True
    assert answer["audio"] == {
        "seconds": 31,
        "summarized_seconds": 31,
        "speech_seconds": 15.5,
        "speech": [{"start": 0.0, "end": 15.5}],
        "encoder_windows": 2,
        "complete": True,
        "format": "wav",
        "sample_rate": 16_000,
        "channels": 1,
        # A model that hears the recording itself has no recognizer that could tell these.
        "language": None,
        "language_probability": None,
        "recognizer_log_probability": None,
    }
    usage = answer["usage"]
    assert usage["completion_tokens"] == 7
    assert usage["prompt_tokens"] > 25 * 31
    assert usage["total_tokens"] == usage["prompt_tokens"] + 7
    assert answer["warnings"] == []
    assert answer["transcript"] is None


async def test_the_decoder_is_told_who_waits(site: Site) -> None:
    """By key, else by address; and of a job, that nobody does."""
    site.decoder.requesters.clear()
    await site.post()
    assert [(one.name, one.background) for one in site.decoder.requesters] == [("127.0.0.1", False)]
    files = {"file": ("recording.wav", wav())}
    await site.client.post(f"{PATH}/jobs", files=files)
    await until(lambda: len(site.decoder.requesters) == 2)
    assert site.decoder.requesters[1].background


@pytest.mark.timing
async def test_a_short_recording_comes_through_while_long_ones_are_decoded_and_listened_to() -> None:
    """Issue 21: eight FLAC files of an hour of silence made a recording of two seconds wait for minutes."""
    hour = encode_audio(np.zeros(8000 * 3480, np.int16), 8000, "FLAC")
    async with serving(real_audio=True) as site:
        short = encode_audio(speech()[:32_000])
        assert (await site.post(short)).json()["finish_reason"] == "stop"
        long = [asyncio.create_task(site.post(file)) for file in [hour] * 8]
        await until(lambda: site.decoder.running >= 6, seconds=20)
        for _ in range(3):
            began = time.perf_counter()
            assert (await site.post(short)).status_code == 200
            assert time.perf_counter() - began < 5
        assert not all(task.done() for task in long)
        for task in long:
            task.cancel()
        await asyncio.gather(*long, return_exceptions=True)
        await site.until_idle()


async def test_the_style_is_echoed_with_its_defaults_and_the_instruction(site: Site) -> None:
    answer = (await site.post()).json()
    expected = {**Style().model_dump(mode="json"), "instruction": instruction(Style())}
    assert answer["style"] == expected


FIELDS = {
    "style": "bullets",
    "length": "80 words",
    "focus": "the budget",
    "language": "de-CH",
    "tone": "formal",
    "instructions": "Name every person",
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("name", "given"), FIELDS.items())
async def test_each_style_field_is_echoed_and_reaches_the_model(shared: Site, name: str, given: str) -> None:
    for response in (
        await shared.post(**{name: given}),
        await shared.client.post(PATH, content=wav(), params={name: given}),
    ):
        style = response.json()["style"]
        assert style[name] == ("80" if name == "length" else given)
        assert style["instruction"] != instruction(Style())
        assert shared.engine.requests[-1].instruction == style["instruction"]


async def test_all_fields_at_once_are_worded_by_the_prompt_module(site: Site) -> None:
    answer = (await site.post(**FIELDS)).json()
    assert answer["style"]["instruction"] == instruction(Style(**FIELDS))  # type: ignore[arg-type]


async def test_sampling_fields_reach_the_engine(site: Site) -> None:
    await site.post(temperature="0.7", seed="42", max_tokens="200")
    request = site.engine.requests[-1]
    assert (request.temperature, request.seed, request.max_tokens) == (0.7, 42, 200)
    await site.post(style="headline")
    request = site.engine.requests[-1]
    assert (request.temperature, request.seed) == (0.0, None)
    assert request.max_tokens == Style(style="headline").max_tokens  # type: ignore[arg-type]


async def test_blank_fields_count_as_left_out(site: Site) -> None:
    blank = dict.fromkeys(["style", "length", "focus", "model", "stream", "temperature", "seed", "max_tokens"], " ")
    response = await site.post(**blank)
    assert response.status_code == 200
    assert response.json()["style"]["style"] == "paragraph"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "kind", ["audio/wav", "audio/mpeg", "video/mp4", "application/octet-stream", "AUDIO/X-WAV; a=b", None]
)
async def test_a_raw_body_of_any_audio_type_is_read(shared: Site, kind: str | None) -> None:
    headers = {"content-type": kind} if kind else {}
    response = await shared.client.post(PATH, content=wav(3), headers=headers, params={"style": "tldr"})
    assert response.status_code == 200
    assert response.json()["audio_seconds"] == 3
    assert response.json()["style"]["style"] == "tldr"


async def test_a_form_takes_query_parameters_too(site: Site) -> None:
    response = await site.client.post(PATH, files={"file": wav()}, data={"tone": "dry"}, params={"style": "tldr"})
    assert (response.json()["style"]["style"], response.json()["style"]["tone"]) == ("tldr", "dry")


async def test_an_upload_in_chunks_of_unknown_length_is_read_whole(site: Site) -> None:
    async def pieces():  # type: ignore[no-untyped-def]
        audio = wav(5)
        for start in range(0, len(audio), 1000):
            yield audio[start : start + 1000]

    response = await site.client.post(PATH, content=pieces())
    assert response.json()["audio_seconds"] == 5


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("asked", ["test-model", "test-model@3"])
async def test_the_served_model_may_be_named(shared: Site, asked: str) -> None:
    assert (await shared.post(model=asked)).json()["model"] == "test-model@3"


async def test_the_samples_reach_the_engine_as_float32(site: Site) -> None:
    await site.post(wav(2.5))
    samples = site.engine.requests[-1].samples
    assert samples.dtype == "float32"
    assert samples.shape == (40_000,)


async def test_timings_name_every_stage_and_add_up() -> None:
    async with serving(ScriptedEngine(prefill_s=0.05, piece_s=0.01)) as site:
        response = await site.post()
        bare = await site.post(response_format="text")
    answer = response.json()
    timings = answer["timings"]
    stages = ["receive", "decode", "speech", "queue", "engine_prefill", "engine_decode"]
    assert list(timings) == [*stages, "total", "overhead"]
    assert timings["engine_prefill"] >= 0.05
    assert timings["engine_decode"] >= 0.07
    assert sum(timings[stage] for stage in stages) + timings["overhead"] == pytest.approx(timings["total"], abs=1e-4)
    worked = timings["total"] - timings["receive"] - timings["queue"]
    assert answer["rtfx"] == pytest.approx(answer["audio_seconds"] / worked, rel=0.01)
    told = dict(stage.split(";dur=") for stage in response.headers["server-timing"].split(", "))
    assert {stage: float(ms) / 1000 for stage, ms in told.items()} == pytest.approx(timings, abs=1e-5)
    assert "total;dur=" in bare.headers["server-timing"]


async def test_a_summary_stopped_short_says_so(site: Site) -> None:
    answer = (await site.post(max_tokens="3")).json()
    assert answer["finish_reason"] == "length"
    assert answer["summary"] == "A scripted summary "
    assert "stopped at 3 tokens" in answer["warnings"][0]


async def test_a_language_the_model_does_not_know_is_warned_of(site: Site) -> None:
    assert (await site.post(language="de-AT")).json()["warnings"] == []
    (warning,) = (await site.post(language="fr")).json()["warnings"]
    assert "French" in warning
    assert "English, German" in warning


async def test_what_the_decoder_warns_of_is_passed_on(site: Site) -> None:
    site.decoder.warnings = ["0.4 s are missing"]
    assert (await site.post()).json()["warnings"] == ["0.4 s are missing"]


async def test_a_model_that_writes_nothing_is_reported() -> None:
    async with serving(ScriptedEngine(pieces=(" ",))) as site:
        assert "wrote nothing" in (await site.post()).json()["warnings"][0]


async def test_a_cascade_shows_in_the_answer_but_not_its_transcript() -> None:
    cascade = ModelInfo("two-steps", "1", "cascade", max_seconds=60)
    async with serving(ScriptedEngine(transcript="what was really said"), model=cascade) as site:
        response = await site.post()
    assert response.json()["kind"] == "cascade"
    assert "engine_transcribe" in response.json()["timings"]
    assert "really said" not in response.text


@pytest.mark.parametrize("stream", ["false", "true"])
async def test_silence_is_answered_without_engine_time(site: Site, stream: str) -> None:
    before = value("speechsum_no_speech_total")
    response = await site.post(wav(4, amplitude=0), stream=stream)
    assert response.status_code == 200
    assert site.engine.requests == []
    assert value("speechsum_no_speech_total") == before + 1
    if stream == "false":
        answer = response.json()
        assert (answer["summary"], answer["finish_reason"]) == ("", "no_speech")
        assert answer["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        assert (answer["audio_seconds"], answer["audio"]["summarized_seconds"], answer["audio"]["encoder_windows"]) == (
            4,
            0,
            0,
        )
        assert answer["complete"] is True
    else:
        assert '"finish_reason":"no_speech"' in response.text


async def test_many_at_once_are_each_answered_with_their_own(site: Site) -> None:
    seconds = [1 + index / 10 for index in range(40)]
    answers = await asyncio.gather(*(site.post(wav(length), focus=f"topic {length}") for length in seconds))
    assert [answer.json()["audio_seconds"] for answer in answers] == pytest.approx(seconds)
    assert all(
        f"topic {length}" in a.json()["style"]["instruction"] for a, length in zip(answers, seconds, strict=True)
    )
    assert len({answer.json()["id"] for answer in answers}) == 40
    await site.until_idle()


async def test_no_more_are_in_the_engine_than_it_takes() -> None:
    async with serving(ScriptedEngine(piece_s=0.01), engine={"max_num_seqs": 3}) as site:
        answers = await asyncio.gather(*(site.post() for _ in range(12)))
        assert {answer.status_code for answer in answers} == {200}
        assert site.engine.max_running == 3
        assert max(answer.json()["timings"]["queue"] for answer in answers) > 0.1


async def test_two_callers_with_the_same_request_id_do_not_meet_in_the_engine() -> None:
    async with serving(ScriptedEngine(piece_s=0.02)) as site:
        posts = (site.client.post(PATH, content=wav(), headers={"x-request-id": "same"}) for _ in range(2))
        answers = await asyncio.gather(*posts)
        assert {answer.headers["x-request-id"] for answer in answers} == {"same"}
        assert len({request.request_id for request in site.engine.requests}) == 2


async def test_a_summary_stopped_for_repeating_itself_says_so() -> None:
    async with serving(ScriptedEngine(["Again. ", "Again. ", "Again. "], finish_reason="repetition")) as site:
        answer = (await site.post()).json()
        assert answer["finish_reason"] == "repetition"
        assert any("repeat" in warning for warning in answer["warnings"])


async def test_speech_of_which_no_word_was_understood_is_told_from_an_empty_answer() -> None:
    async with serving(ScriptedEngine([], transcript="", finish_reason="no_speech")) as site:
        before = value("speechsum_no_speech_total")
        answer = (await site.post()).json()
        assert (answer["summary"], answer["finish_reason"], answer["complete"]) == ("", "no_speech", True)
        assert answer["warnings"] == ["Someone may be speaking, but no word was understood."]
        assert value("speechsum_no_speech_total") == before + 1
