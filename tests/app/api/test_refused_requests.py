"""Every way to be refused: the right status, a stable code, the limit and the setting that moves it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.core.errors import EngineDead, TooLarge, Unprocessable
from app.core.prompts import Style
from app.engine.scripted import ScriptedEngine
from tests.app.running_service import PATH, Site, code, serving, until, wav

BAD_FIELDS = [
    ("style", "poem"),
    ("length", "huge"),
    ("length", "4"),
    ("length", "1001 words"),
    ("focus", "x" * 301),
    ("language", "klingon!"),
    ("language", "english"),
    ("tone", "x" * 61),
    ("instructions", "x" * 2001),
    ("stream", "perhaps"),
    ("temperature", "hot"),
    ("temperature", "-0.1"),
    ("temperature", "2.1"),
    ("temperature", "nan"),
    ("seed", "-1"),
    ("seed", "1.5"),
    ("seed", str(2**63)),
    ("max_tokens", "0"),
    ("max_tokens", "4097"),
    ("max_tokens", "many"),
    ("model", "x" * 201),
]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("name", "given"), BAD_FIELDS)
async def test_a_bad_field_is_named(shared: Site, name: str, given: str) -> None:
    for response in (
        await shared.post(**{name: given}),
        await shared.client.post(PATH, content=wav(), params={name: given}),
    ):
        assert code(response) == (400, "invalid_field")
        assert response.json()["error"]["param"] == name
        assert response.json()["error"]["type"] == "invalid_request_error"
    assert shared.engine.requests == []


async def test_several_bad_fields_are_all_told(site: Site) -> None:
    message = (await site.post(style="poem", seed="x", tone="y" * 99)).json()["error"]["message"]
    assert all(name in message for name in ("style", "seed", "tone"))


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("stream", ["false", "true"])
async def test_an_unknown_field_is_refused_with_the_known_ones(shared: Site, stream: str) -> None:
    response = await shared.post(styl="bullets", stream=stream)
    assert code(response) == (400, "unknown_field")
    error = response.json()["error"]
    assert error["param"] == "styl"
    assert all(name in error["message"] for name in (*Style.model_fields, "model", "stream", "temperature", "seed"))


async def test_a_field_given_twice_is_refused(site: Site) -> None:
    for params in ([("style", "tldr"), ("style", "bullets")], {"style": "tldr"}):
        response = await site.client.post(PATH, files={"file": wav()}, data={"style": "tldr"}, params=params)  # type: ignore[arg-type]
        assert code(response) == (400, "duplicate_field")


async def test_forms_without_a_usable_recording(site: Site) -> None:
    post = site.client.post
    assert code(await post(PATH, files={"other": wav()})) == (400, "unknown_field")
    assert code(await post(PATH, files={"style": (None, "tldr")})) == (400, "missing_file")
    assert code(await post(PATH, files={"file": (None, "not a recording")})) == (415, "unsupported_audio")
    assert code(await post(PATH, files=[("file", wav()), ("file", wav())])) == (400, "invalid_form")
    broken = await post(PATH, content=b"nonsense", headers={"content-type": "multipart/form-data; boundary=x"})
    assert code(broken) == (400, "invalid_form")
    unbound = await post(PATH, content=b"nonsense", headers={"content-type": "multipart/form-data"})
    assert code(unbound) == (400, "invalid_form")
    huge = await post(PATH, files={"file": wav()}, data={"instructions": "x" * 40_000})
    assert code(huge) == (400, "invalid_form")


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("stream", ["false", "true"])
async def test_recordings_that_are_none_are_refused_before_a_stream_opens(shared: Site, stream: str) -> None:
    assert code(await shared.post(b"", stream=stream)) == (400, "empty_audio")
    assert code(await shared.client.post(PATH, content=b"", params={"stream": stream})) == (400, "empty_audio")
    assert code(await shared.post(b"this is a text named .wav" * 50, stream=stream)) == (415, "unsupported_audio")
    await shared.until_idle()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "application/json", "text/plain"])
async def test_other_content_types_are_refused(shared: Site, kind: str) -> None:
    assert code(await shared.client.post(PATH, content=wav(), headers={"content-type": kind})) == (
        415,
        "unsupported_content_type",
    )


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("form", [True, False])
async def test_too_many_bytes_stop_the_upload(announced: bool, form: bool) -> None:
    sent = 0

    async def pieces(body: bytes) -> AsyncIterator[bytes]:
        nonlocal sent
        for start in range(0, len(body), 10_000):
            sent += 10_000
            yield body[start : start + 10_000]

    async with serving(limits={"upload_bytes": 50_000}) as site:
        peak = 0
        original = site.service.admission.request_slot

        def watched(client: str) -> Any:
            place = original(client)
            hold = place.add_bytes

            def count(size: int) -> None:
                nonlocal peak
                hold(size)
                peak = max(peak, place.held_bytes)

            place.add_bytes = count  # type: ignore[method-assign]
            return place

        site.service.admission.request_slot = watched  # type: ignore[method-assign]
        request = site.client.build_request(
            "POST", PATH, **({"files": {"file": wav(30)}} if form else {"content": wav(30)})
        )
        body = await request.aread()
        content: Any = body if announced else pieces(body)
        headers = {"content-type": request.headers["content-type"]} if form else {}
        response = await site.client.post(PATH, content=content, headers=headers)
        assert code(response) == (413, "upload_too_large")
        assert "50000" in response.json()["error"]["message"]
        assert "SPEECHSUM_LIMITS__UPLOAD_BYTES" in response.json()["error"]["message"]
        assert peak <= (0 if announced else 50_000 + 65_536)
        await site.until_idle()
        assert (await site.post(wav(1))).status_code == 200


async def test_a_form_just_over_the_limit_is_refused_and_just_at_it_is_not() -> None:
    audio = wav(1)
    async with serving(limits={"upload_bytes": len(audio)}) as site:
        assert (await site.post(audio)).status_code == 200
        assert code(await site.post(audio + b"\0")) == (413, "upload_too_large")
        assert code(await site.client.post(PATH, content=audio + b"\0")) == (413, "upload_too_large")


async def test_audio_longer_than_the_setting_names_the_setting() -> None:
    async with serving(limits={"decode_seconds": 3}) as site:
        message = (await site.post(wav(4))).json()["error"]["message"]
        assert "SPEECHSUM_LIMITS__DECODE_SECONDS" in message


async def test_what_the_decoder_refuses_is_passed_on(site: Site) -> None:
    site.decoder.error = Unprocessable("Samples are not finite.", code="non_finite_samples", param="file")
    assert code(await site.post()) == (422, "non_finite_samples")
    site.decoder.error = None
    assert (await site.post()).status_code == 200


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TooLarge("Prompt and answer do not fit the context.", code="context_too_long"), (413, "context_too_long")),
        (Unprocessable("The engine refused the input.", code="refused_input"), (422, "refused_input")),
        (EngineDead("The engine died.", code="engine_dead"), (503, "engine_dead")),
    ],
)
async def test_what_the_engine_refuses_is_passed_on(site: Site, error: Exception, expected: tuple[int, str]) -> None:
    site.engine.error = error
    assert code(await site.post()) == expected
    await site.until_idle()


async def test_unknown_paths_and_methods(site: Site) -> None:
    assert code(await site.client.get("/v1/nothing")) == (404, "not_found")
    response = await site.client.get(PATH)
    assert code(response) == (405, "method_not_allowed")
    assert response.headers["allow"] == "POST, PUT"
    assert (await site.client.patch(f"{PATH}/jobs")).headers["allow"] == "GET, HEAD, POST, PUT"


async def test_a_model_that_is_not_served(site: Site) -> None:
    response = await site.post(model="gpt-9")
    assert code(response) == (404, "model_not_found")
    assert response.json()["error"]["param"] == "model"
    assert "test-model@3" in response.json()["error"]["message"]
    assert code(await site.post(model="test-model@2")) == (404, "model_not_found")


async def test_one_client_may_not_take_all(site: Site) -> None:
    async with serving(ScriptedEngine(piece_s=0.05), limits={"client_concurrency": 2}) as site:
        first = [asyncio.create_task(site.post()) for _ in range(2)]
        await until(lambda: site.service.admission.active_requests == 2)
        refused = await site.post()
        assert code(refused) == (429, "too_many_requests")
        assert refused.json()["error"]["type"] == "rate_limit_error"
        assert int(refused.headers["retry-after"]) == 5
        assert "SPEECHSUM_LIMITS__CLIENT_CONCURRENCY" in refused.json()["error"]["message"]
        assert [(await task).status_code for task in first] == [200, 200]
        assert (await site.post()).status_code == 200


@pytest.mark.parametrize("stream", ["false", "true"])
async def test_a_full_queue_refuses_at_once(stream: str) -> None:
    slow = ScriptedEngine(piece_s=0.05)
    async with serving(slow, engine={"max_num_seqs": 1}, limits={"max_waiting": 1, "retry_after_seconds": 7}) as site:
        first = [asyncio.create_task(site.post()) for _ in range(2)]
        await until(lambda: site.service.admission.active_requests == 2)
        refused = await site.post(stream=stream)
        assert code(refused) == (503, "queue_full")
        assert refused.headers["retry-after"] == "7"
        assert "SPEECHSUM_LIMITS__MAX_WAITING" in refused.json()["error"]["message"]
        assert [(await task).status_code for task in first] == [200, 200]


async def test_recordings_in_memory_are_bounded_over_all_requests() -> None:
    audio = wav(2)
    async with serving(limits={"held_bytes": len(audio) + 3000}) as site:
        site.decoder.delay_s = 0.4
        first = asyncio.create_task(site.post(audio))
        await until(lambda: site.decoder.running == 1)
        refused = await site.post(audio)
        assert code(refused) == (503, "storage_full")
        assert "SPEECHSUM_LIMITS__HELD_BYTES" in refused.json()["error"]["message"]
        assert refused.headers["retry-after"]
        assert (await first).status_code == 200
        assert (await site.post(audio)).status_code == 200


async def test_the_recording_is_let_go_before_the_engine_writes() -> None:
    async with serving(ScriptedEngine(prefill_s=0.3)) as site:
        post = asyncio.create_task(site.post())
        await until(lambda: site.engine.running_requests == 1)
        assert site.service.admission.held_bytes == 0
        assert (await post).status_code == 200


async def test_a_request_that_takes_too_long_is_given_up() -> None:
    async with serving(timeouts={"request_seconds": 0.4}) as site:
        site.engine.prefill_s = 30
        response = await site.post()
        assert code(response) == (503, "deadline_exceeded")
        assert "SPEECHSUM_TIMEOUTS__REQUEST_SECONDS" in response.json()["error"]["message"]
        await site.until_idle()
        assert site.engine.aborted == 1


async def test_an_upload_that_stalls_is_given_up() -> None:

    async with serving(timeouts={"upload_idle_seconds": 0.2}) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 50000\r\n\r\nRIFF".encode())
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert b" 408 " in head
        assert b"upload_timeout" in await reader.read(1000)
        writer.close()
        await site.until_idle()


async def test_a_fault_of_ours_says_nothing_of_the_inside(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.engine.error = ZeroDivisionError("secret/path.py")
    response = await site.client.post(PATH, content=wav(), headers={"x-request-id": "trace-me"})
    assert code(response) == (500, "internal_error")
    assert response.headers["x-request-id"] == "trace-me"
    assert response.json()["error"]["type"] == "server_error"
    assert "secret" not in response.text
    assert "ZeroDivision" not in response.text
    assert "trace-me" in caplog.text
    assert "secret/path.py" in caplog.text
    await site.until_idle()


async def test_requests_while_the_engine_loads_are_told_to_come_back() -> None:
    async with serving(ScriptedEngine(start_s=0.3), ready=False) as site:
        response = await site.post()
        assert code(response) == (503, "not_ready")
        assert response.headers["retry-after"]
        await site.service.wait_until_started()
        site.service.summarizer.find_speech = lambda samples, left: []
        assert (await site.post()).status_code == 200


async def test_a_dead_engine_refuses_before_the_upload(site: Site) -> None:
    site.engine.die()
    assert code(await site.post()) == (503, "engine_dead")
    assert site.engine.requests == []
