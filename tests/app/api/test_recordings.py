"""A recording that is kept: further requests send, decode and hear nothing, and nobody else gets at it."""

import asyncio
import base64
import json
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from app.engine.base import Engine
from app.engine.model_info import ModelInfo
from app.engine.scripted import ScriptedEngine
from app.models.model_source import LoadableModel
from tests.app.models.scripted_models import GatedEngine
from tests.app.recordings.spoken_cascade import (
    CASCADE_MODEL,
    OTHER_CASCADE,
    SHORT_CASCADE,
    CountingTranscriber,
    SpokenCascade,
)
from tests.app.running_service import MODEL, PATH, Site, code, serving, until, value, wav
from tests.app.summarize.test_long_audio import minutes
from tests.recordings import encode_audio, speech

JOBS = f"{PATH}/jobs"
RECORDINGS = "/v1/recordings"
KEPT = {"recordings": {"seconds": 300}}
ANNA, BOB = ({"authorization": f"Bearer {key}"} for key in ("anna", "bob"))


@asynccontextmanager
async def keeping(engine: Engine | None = None, model: ModelInfo = MODEL, **sections: Any) -> AsyncIterator[Site]:
    """A service that keeps recordings."""
    async with serving(engine, model=model, **{**KEPT, **sections}) as site:
        yield site


async def keep(site: Site, audio: bytes | None = None, headers: dict[str, str] | None = None, **fields: str) -> Any:
    """Summarize a recording that is to be kept, and return the answer."""
    response = await site.post(audio, headers, keep="true", **fields)
    assert response.status_code == 200, response.text
    return response.json()


async def again(
    site: Site, recording_id: str, headers: dict[str, str] | None = None, path: str = PATH, **fields: str
) -> httpx.Response:
    """Ask for another summary of a kept recording, as a form."""
    form = {name: (None, text) for name, text in {"recording_id": recording_id, **fields}.items()}
    return await site.client.post(path, files=form, headers=headers)


class SourceOf:
    """A `ModelSource` of one more model."""

    def __init__(self, model: ModelInfo, engine: Engine) -> None:
        self.model, self.engine = model, engine

    def __call__(self, asked: str, urls: Sequence[str]) -> LoadableModel:
        assert asked in (self.model.id, self.model.name)
        return LoadableModel(self.model, lambda: self.engine)


def decodings() -> float:
    return value("speechsum_audio_seconds_total")


async def test_off_by_default_and_said_so(site: Site) -> None:
    answer = (await site.post()).json()
    assert (answer["recording_id"], answer["expires_at"]) == (None, None)
    for response in (await site.post(keep="true"), await again(site, "rec-" + "0" * 32)):
        assert code(response) == (400, "recordings_disabled")
        assert "SPEECHSUM_RECORDINGS__SECONDS" in response.json()["error"]["message"]
    assert code(await site.client.get(f"{RECORDINGS}/rec-{'0' * 32}")) == (404, "recording_not_found")
    await site.until_idle()


async def test_nothing_is_kept_unless_it_is_asked_for() -> None:
    async with keeping() as site:
        assert (await site.post()).json()["recording_id"] is None
        assert (await site.post(keep="false")).json()["recording_id"] is None
        assert site.service.recordings.count == 0


async def test_a_second_summary_by_a_cascade_decodes_and_recognizes_nothing() -> None:
    engine = SpokenCascade()
    async with keeping(engine, CASCADE_MODEL) as site:
        first = await keep(site)
        assert re.fullmatch(r"rec-[0-9a-f]{32}", first["recording_id"])
        assert time.time() + 290 < first["expires_at"] <= time.time() + 300
        assert {"decode", "speech", "engine_transcribe"} <= first["timings"].keys()
        heard, decoded, site.decoder.error = engine.hearings, decodings(), AssertionError("something was decoded")
        second = (await again(site, first["recording_id"], style="bullets", language="de")).json()
        assert engine.hearings == heard == 1
        assert decodings() == decoded
        assert not {"decode", "speech", "engine_transcribe"} & second["timings"].keys()
        assert {"receive", "queue", "engine_prefill", "total"} <= second["timings"].keys()
        assert second["style"]["style"] == "bullets"
        assert "Maria pays 40 dollars." in engine.writer.prompts[-1]
        same = ("windows", "complete", "audio_seconds", "recording_id", "expires_at", "kind", "warnings", "unsupported")
        assert {name: second[name] for name in same} == {name: first[name] for name in same}
        assert second["audio"] == {**first["audio"], "encoder_windows": 0}
        await site.until_idle()


async def test_a_model_that_hears_gets_the_same_samples_again() -> None:
    async with keeping() as site:
        first = await keep(site, wav(3))
        decoded, site.decoder.error = decodings(), AssertionError("something was decoded")
        second = (await again(site, first["recording_id"], style="bullets")).json()
        assert decodings() == decoded
        assert not {"decode", "speech"} & second["timings"].keys()
        one, other = site.engine.requests
        assert (one.samples == other.samples).all()
        assert len(one.samples) == 48_000
        assert second["audio"] == first["audio"]


async def test_warnings_about_the_recording_come_with_every_summary() -> None:
    async with keeping(SpokenCascade(recognizer=CountingTranscriber(log_probability=-0.75)), CASCADE_MODEL) as site:
        site.decoder.warnings = ["One channel is silent."]
        first = await keep(site)
        second = (await again(site, first["recording_id"])).json()
        assert second["warnings"] == first["warnings"]
        assert len(second["warnings"]) == 2, "of the decoder and of the recognizer"


async def test_what_was_not_understood_stays_so_and_is_not_heard_again() -> None:
    engine = SpokenCascade(recognizer=CountingTranscriber(log_probability=-3.0))
    async with keeping(engine, CASCADE_MODEL) as site:
        first = await keep(site)
        second = (await again(site, first["recording_id"])).json()
        assert (first["finish_reason"], second["finish_reason"], engine.hearings) == (
            "not_understood", "not_understood", 1,
        )  # fmt: skip


async def test_silence_is_kept_without_its_samples() -> None:
    async with keeping() as site:
        first = await keep(site, wav(30, amplitude=0))
        kept = (await site.client.get(f"{RECORDINGS}/{first['recording_id']}")).json()
        assert (kept["kept"], kept["bytes"] < 10_000, kept["speech_seconds"]) == ("transcript", True, 0)
        second = (await again(site, first["recording_id"])).json()
        assert (second["finish_reason"], second["summary"]) == ("no_speech", "")


@pytest.mark.parametrize("cascade", [True, False])
async def test_a_long_recording_is_kept_with_its_windows(cascade: bool) -> None:
    engine = SpokenCascade() if cascade else ScriptedEngine()
    async with keeping(engine, CASCADE_MODEL if cascade else MODEL, find_speech=minutes) as site:
        first = await keep(site, wav(170))
        assert len(first["windows"]) == 3
        second = (await again(site, first["recording_id"], focus="the money")).json()
        places = [[(one["start"], one["end"]) for one in answer["windows"]] for answer in (first, second)]
        assert places[0] == places[1]
        if isinstance(engine, SpokenCascade):
            assert engine.hearings == 3
            noted = [prompt for prompt in engine.writer.prompts if "Maria" in prompt and "the money" in prompt]
            assert len(noted) == 3, "the notes are taken anew, for the new request"


async def test_the_recording_is_looked_up_and_deleted() -> None:
    async with keeping(SpokenCascade(), CASCADE_MODEL) as site:
        first = await keep(site)
        path = f"{RECORDINGS}/{first['recording_id']}"
        kept = (await site.client.get(path)).json()
        assert kept == {
            "id": first["recording_id"],
            "object": "audio.recording",
            "created": kept["created"],
            "expires_at": first["expires_at"],
            "kept": "transcript",
            "bytes": kept["bytes"],
            "model": CASCADE_MODEL.id,
            "audio_seconds": 2,
            "speech_seconds": 1,
            "format": "wav",
        }
        assert kept["expires_at"] - kept["created"] == 300
        assert (await site.client.delete(path)).status_code == 204
        for response in (
            await site.client.get(path),
            await site.client.delete(path),
            await again(site, first["recording_id"]),
        ):
            assert code(response) == (404, "recording_not_found")
        await site.until_idle()


async def test_another_key_finds_nothing() -> None:
    async with keeping(auth={"keys": ["anna", "bob"]}) as site:
        id_ = (await keep(site, headers=ANNA))["recording_id"]
        path = f"{RECORDINGS}/{id_}"
        for response in (
            await again(site, id_, BOB),
            await again(site, id_, BOB, JOBS),
            await site.client.get(path, headers=BOB),
            await site.client.delete(path, headers=BOB),
        ):
            assert code(response) == (404, "recording_not_found")
            assert id_ not in response.text
        assert code(await site.client.get(path)) == (401, "missing_api_key")
        assert (await again(site, id_, ANNA)).status_code == 200
        await site.until_idle()


async def test_a_keyed_recording_is_hidden_from_those_without_a_key() -> None:
    async with keeping(auth={"admin_keys": "root"}) as site:
        id_ = (await keep(site, headers={"authorization": "Bearer root"}))["recording_id"]
        assert code(await again(site, id_)) == (404, "recording_not_found")
        own = (await keep(site))["recording_id"]
        assert code(await again(site, own, {"authorization": "Bearer root"})) == (404, "recording_not_found")


async def test_it_is_gone_when_its_time_is_over() -> None:
    async with keeping(recordings={"seconds": 0.3}) as site:
        expired = value("speechsum_recordings_dropped_total", reason="expired")
        id_ = (await keep(site))["recording_id"]
        await until(lambda: site.service.recordings.count == 0, seconds=30)
        assert code(await again(site, id_)) == (404, "recording_not_found")
        assert (value("speechsum_recordings"), value("speechsum_recordings_bytes")) == (0, 0)
        assert value("speechsum_recordings_dropped_total", reason="expired") == expired + 1


async def test_use_does_not_prolong_its_time() -> None:
    async with keeping() as site:
        first = await keep(site)
        for _ in range(2):
            assert (await again(site, first["recording_id"])).json()["expires_at"] == first["expires_at"]


async def test_a_service_that_ends_leaves_nothing_for_the_next(tmp_path: Any) -> None:
    jobs = {"folder": tmp_path}
    async with keeping(jobs=jobs) as site:
        id_ = (await keep(site))["recording_id"]
        store = site.service.recordings
    assert (store.count, value("speechsum_recordings")) == (0, 0)
    assert id_.encode() not in b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    async with keeping(jobs=jobs) as site:
        assert code(await again(site, id_)) == (404, "recording_not_found")


async def test_a_request_that_reads_it_while_it_is_deleted_is_answered() -> None:
    engine = GatedEngine("Yes.")
    async with keeping(engine, real_audio=True) as site:
        id_ = (await keep(site, encode_audio(speech())))["recording_id"]
        content = site.service.recordings.find(id_, "").content
        engine.may_write.clear()
        reading = asyncio.create_task(again(site, id_))
        await until(lambda: site.engine.running_requests == 1)
        assert (await site.client.delete(f"{RECORDINGS}/{id_}")).status_code == 204
        assert code(await again(site, id_)) == (404, "recording_not_found")
        assert len(content.audio.samples[:10]) == 10, "still open"
        engine.may_write.set()
        assert (await reading).json()["finish_reason"] == "stop"
        await site.until_idle()
        with pytest.raises(ValueError, match="closed file"):
            content.audio.samples[:10]


async def test_eight_at_once_read_one_recording() -> None:
    async with keeping(ScriptedEngine(piece_s=0.01)) as site:
        id_ = (await keep(site, wav(5)))["recording_id"]
        site.decoder.error = AssertionError("something was decoded")
        answers = await asyncio.gather(*(again(site, id_, seed=str(number)) for number in range(8)))
        assert [answer.status_code for answer in answers] == [200] * 8
        assert site.engine.max_running > 1
        await site.until_idle()


async def test_eight_at_once_are_kept_and_the_oldest_make_room() -> None:
    async with keeping(recordings={"seconds": 300, "max_count": 5}) as site:
        ids = [answer["recording_id"] for answer in await asyncio.gather(*(keep(site) for _ in range(8)))]
        assert len(set(ids)) == 8
        assert site.service.recordings.count == 5
        found = [(await again(site, id_)).status_code for id_ in ids]
        assert sorted(found) == [200] * 5 + [404] * 3
        await site.until_idle()


async def test_a_recording_that_is_larger_than_all_may_be_is_not_kept_and_a_warning_says_so() -> None:
    async with keeping(recordings={"seconds": 300, "max_bytes": 150_000}) as site:
        first = await keep(site, wav(1))
        assert first["recording_id"]
        second = await keep(site, wav(10))
        assert (second["recording_id"], second["expires_at"]) == (None, None)
        assert "SPEECHSUM_RECORDINGS__MAX_BYTES" in second["warnings"][-1]
        assert (await again(site, first["recording_id"])).status_code == 200, "nothing made room in vain"


async def test_a_failed_request_keeps_nothing() -> None:
    async with keeping() as site:
        site.engine.error = AssertionError("no answer")
        assert (await site.post(keep="true")).status_code == 500
        assert site.service.recordings.count == 0
        await site.until_idle()


@pytest.mark.parametrize("response_format", ["text", "markdown"])
async def test_a_text_has_the_id_in_its_headers(response_format: str) -> None:
    async with keeping() as site:
        text = await site.post(keep="true", response_format=response_format)
        id_ = text.headers["x-summary-recording-id"]
        assert float(text.headers["x-summary-expires-at"]) > time.time()
        assert (await again(site, id_, response_format=response_format)).text == text.text


async def test_a_stream_tells_the_id_at_its_end_and_no_stage_that_was_not_needed() -> None:
    async with keeping() as site:
        events = stream_events((await site.post(keep="true", stream="true")).text)
        id_ = events[-1]["recording_id"]
        events = stream_events((await again(site, id_, stream="true")).text)
        stages = [event["stage"] for event in events if event["object"] == "audio.summary.progress"]
        assert stages == ["received", "queue", "engine_prefill", "engine_decode"]
        assert events[-1]["recording_id"] == id_


async def test_the_id_may_be_in_the_query() -> None:
    async with keeping() as site:
        id_ = (await keep(site))["recording_id"]
        assert (await site.client.post(f"{PATH}?recording_id={id_}&style=tldr")).status_code == 200
        await site.until_idle()


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"url": "https://audio.example.org/x.wav"}, "recording_given_twice"),
        ({"keep": "true"}, "invalid_field"),
        ({"file": b"RIFF"}, "recording_given_twice"),
    ],
)
async def test_one_recording_is_named_once(more: dict[str, Any], expected: str) -> None:
    async with keeping() as site:
        id_ = (await keep(site))["recording_id"]
        form = {name: ("x", text) if name == "file" else (None, text) for name, text in more.items()}
        response = await site.client.post(PATH, files={"recording_id": (None, id_), **form})
        assert code(response) == (400, expected)
        raw = await site.client.post(f"{PATH}?recording_id={id_}", content=wav(), headers={"content-type": "audio/wav"})
        assert code(raw) == (400, "recording_given_twice")
        await site.until_idle()


async def test_a_repeat_by_its_key_gets_the_answer_even_when_the_recording_is_gone() -> None:
    async with keeping() as site:
        id_ = (await keep(site))["recording_id"]
        key = {"idempotency-key": "second-look"}
        first = await again(site, id_, key, style="bullets")
        assert code(await again(site, id_, key, style="tldr")) == (422, "idempotency_key_reused")
        await site.client.delete(f"{RECORDINGS}/{id_}")
        repeat = await again(site, id_, key, style="bullets")
        assert (repeat.content, repeat.headers["idempotent-replayed"]) == (first.content, "true")
        # A failure is not kept: the key is free again.
        other = {"idempotency-key": "third-look"}
        assert code(await again(site, id_, other)) == (404, "recording_not_found")
        assert code(await again(site, id_, other)) == (404, "recording_not_found")
        await site.until_idle()


async def test_a_repeat_of_a_request_that_keeps_is_the_same_recording() -> None:
    async with keeping() as site:
        key = {"idempotency-key": "monday"}
        first, second = await keep(site, headers=key), await keep(site, headers=key)
        assert first["recording_id"] == second["recording_id"]
        assert site.service.recordings.count == 1


async def test_a_job_reads_a_kept_recording_and_keeps_one() -> None:
    engine = SpokenCascade()
    async with keeping(engine, CASCADE_MODEL) as site:
        form: dict[str, Any] = {"keep": (None, "true"), "file": ("a.wav", wav())}
        made = (await site.client.post(JOBS, files=form)).json()
        first = await wait_until_ended(site, made["id"])
        id_ = first["summary"]["recording_id"]
        queued = await again(site, id_, path=JOBS, style="bullets")
        assert queued.status_code == 202
        assert queued.json()["audio_bytes"] == 0
        second = await wait_until_ended(site, queued.json()["id"])
        assert (second["state"], second["summary"]["style"]["style"]) == ("succeeded", "bullets")
        assert "decode" not in second["summary"]["timings"]
        assert engine.hearings == 1
        await site.client.delete(f"{RECORDINGS}/{id_}")
        assert code(await again(site, id_, path=JOBS)) == (404, "recording_not_found")


async def test_a_job_whose_recording_is_gone_before_its_turn_fails_and_says_so() -> None:
    engine = GatedEngine("Yes.")
    async with keeping(engine, jobs={"workers": 1}) as site:
        id_ = (await keep(site))["recording_id"]
        engine.may_write.clear()
        blocking = (await site.client.post(JOBS, files={"file": wav()})).json()["id"]
        await until(lambda: site.engine.running_requests == 1)
        waiting = (await again(site, id_, path=JOBS)).json()["id"]
        await site.client.delete(f"{RECORDINGS}/{id_}")
        engine.may_write.set()
        await wait_until_ended(site, blocking)
        job = await wait_until_ended(site, waiting)
        assert (job["state"], job["error"]["code"]) == ("failed", "recording_not_found")


async def test_a_chat_asks_about_a_kept_recording() -> None:
    engine = SpokenCascade()
    async with keeping(engine, CASCADE_MODEL) as site:
        data = base64.b64encode(wav()).decode()
        part = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
        asked: dict[str, Any] = {
            "model": "",
            "messages": [{"role": "user", "content": [part, {"type": "text", "text": "Who pays?"}]}],
        }
        first = (await site.client.post("/v1/chat/completions", json={**asked, "keep": True})).json()
        id_ = first["speechsum"]["recording_id"]
        answer = {"role": "assistant", "content": first["choices"][0]["message"]["content"]}
        messages = [{"role": "user", "content": "Who pays?"}, answer, {"role": "user", "content": "How much?"}]
        body = {"model": "", "messages": messages, "recording_id": id_}
        second = (await site.client.post("/v1/chat/completions", json=body)).json()
        assert engine.hearings == 1
        assert second["speechsum"]["recording_id"] == id_
        assert "decode" not in second["speechsum"]["timings"]
        assert engine.writer.prompts[-1] == "How much?", "the transcript stands with the first question"
        both = await site.client.post("/v1/chat/completions", json={**asked, "recording_id": id_})
        assert code(both) == (400, "recording_given_twice")
        gone = await site.client.post("/v1/chat/completions", json={**body, "recording_id": "rec-0"})
        assert code(gone) == (404, "recording_not_found")
        await site.until_idle()


async def test_another_cascade_reads_the_transcript_and_says_whose_it_is() -> None:
    first_engine, other = SpokenCascade(), SpokenCascade()
    source = SourceOf(OTHER_CASCADE, other)
    async with keeping(first_engine, CASCADE_MODEL, source=source, models=f"{OTHER_CASCADE.id}=0") as site:
        await until(lambda: all(one.state == "ready" for one in site.service.models.by_id.values()), seconds=30)
        first = await keep(site)
        answer = (await again(site, first["recording_id"], model=OTHER_CASCADE.id)).json()
        assert answer["model"] == OTHER_CASCADE.id
        assert other.hearings == 0
        assert f"recognized by {CASCADE_MODEL.id}" in answer["warnings"][0]


@pytest.mark.parametrize(
    ("other", "why"), [(MODEL, "reads no transcript"), (SHORT_CASCADE, "reads at most 10 seconds")]
)
async def test_a_model_that_cannot_read_the_transcript_is_refused(other: ModelInfo, why: str) -> None:
    engine: Engine = ScriptedEngine() if other is MODEL else SpokenCascade()
    source = SourceOf(other, engine)
    async with keeping(SpokenCascade(), CASCADE_MODEL, source=source, models=f"{other.id}=0") as site:
        await until(lambda: all(one.state == "ready" for one in site.service.models.by_id.values()), seconds=30)
        first = await keep(site, wav(20))
        for path in (PATH, JOBS):
            refused = await again(site, first["recording_id"], model=other.id, path=path)
            assert code(refused) == (409, "recording_not_readable")
            assert why in refused.json()["error"]["message"]
            assert CASCADE_MODEL.id in refused.json()["error"]["message"]
        await site.until_idle()


async def test_kept_samples_are_read_by_any_model_which_then_hears_them() -> None:
    cascade = SpokenCascade()
    async with keeping(source=SourceOf(CASCADE_MODEL, cascade), models=f"{CASCADE_MODEL.id}=0") as site:
        await until(lambda: all(one.state == "ready" for one in site.service.models.by_id.values()), seconds=30)
        first = await keep(site)
        answer = (await again(site, first["recording_id"], model=CASCADE_MODEL.id)).json()
        assert cascade.hearings == 1
        assert "engine_transcribe" in answer["timings"]
        assert "decode" not in answer["timings"]


@pytest.mark.parametrize(("cascade", "charged"), [(True, 2), (False, 4)])
async def test_minutes_of_audio_are_charged_where_they_are_heard(cascade: bool, charged: float) -> None:
    engine = SpokenCascade() if cascade else ScriptedEngine()
    async with keeping(engine, CASCADE_MODEL if cascade else MODEL, auth={"keys": ["anna"]}) as site:
        taken: list[float] = []

        async def take_quota(key: Any, name: str, amount: float) -> None:
            if name == "audio-seconds":
                taken.append(amount)

        site.app.state.keys.take_quota = take_quota
        first = await keep(site, headers=ANNA)
        await again(site, first["recording_id"], ANNA)
        assert sum(taken) == charged


async def test_a_recording_that_was_reused_is_counted() -> None:
    async with keeping() as site:
        before, seconds = value("speechsum_recordings_reused_total"), value("speechsum_rtfx_count")
        id_ = (await keep(site))["recording_id"]
        assert (value("speechsum_recordings"), value("speechsum_recordings_bytes") > 100_000) == (1, True)
        await again(site, id_)
        assert value("speechsum_recordings_reused_total") == before + 1
        assert value("speechsum_rtfx_count") == seconds + 1, "a summary without decoding says nothing about the speed"


def stream_events(text: str) -> list[Any]:
    return [json.loads(one.removeprefix("data: ")) for one in text.split("\n\n") if one.startswith("data: {")]


async def wait_until_ended(site: Site, id_: str) -> Any:
    for _ in range(500):
        found = (await site.client.get(f"{JOBS}/{id_}")).json()
        if found["state"] in ("succeeded", "failed", "cancelled"):
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(found)
