"""Traces of requests: their spans, whose trace they continue, what they say of an answer. No text is in them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from pydantic import ValidationError

from app.settings import TracingSettings
from app.telemetry import tracing
from tests.app.engine.remote.fake_vllm_server import FakeVllmServer
from tests.app.engine.remote.remote_engine import PIECES, generation_request, started_front
from tests.app.running_service import MODEL, PATH, Site, serving, until, value, wav

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
SETTINGS = {"endpoint": "http://127.0.0.1:9/v1/traces"}


class Spans:
    """The spans that were sent, once the service has stopped."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()

    def all(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def one(self, name: str) -> ReadableSpan:
        (span,) = [span for span in self.all() if span.name == name]
        return span


@asynccontextmanager
async def tracing_service(spans: Spans, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> AsyncIterator[Site]:
    monkeypatch.setattr(tracing, "_exporter_class", lambda _: lambda **_: spans.exporter)
    async with serving(tracing=SETTINGS | settings) as site:
        spans.exporter.clear()
        yield site


def parent(span: ReadableSpan) -> int:
    assert span.parent is not None
    return span.parent.span_id


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_a_request_continues_the_trace_of_its_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    spans = Spans()
    async with tracing_service(spans, monkeypatch) as site:
        headers = TRACEPARENT | {"x-request-id": "mine-1"}
        assert (await site.post(wav(3), headers=headers, focus="SECRET", stream="true")).status_code == 200
        assert (await site.client.get("/metrics")).status_code == 200
    server = spans.one(f"POST {PATH}")
    assert f"{server.context.trace_id:032x}" == TRACE
    assert f"{parent(server):016x}" == PARENT
    assert server.kind is SpanKind.SERVER
    assert attributes(server) | {"speechsum.audio_seconds": 3.0} == {
        "http.request.method": "POST",
        "http.route": PATH,
        "http.response.status_code": 200,
        "speechsum.request_id": "mine-1",
        "speechsum.model": MODEL.id,
        "speechsum.outcome": "ok",
        "speechsum.audio_seconds": 3.0,
    }
    for name in ("decode", "speech", f"chat {MODEL.id}"):
        assert parent(spans.one(name)) == server.context.span_id, name
    assert parent(spans.one("queue")) == spans.one(f"chat {MODEL.id}").context.span_id
    assert {span.context.trace_id for span in spans.all()} == {server.context.trace_id}
    assert "SECRET" not in "".join(span.to_json() for span in spans.all())


async def test_an_answer_is_described_by_the_genai_conventions(monkeypatch: pytest.MonkeyPatch) -> None:
    spans = Spans()
    async with tracing_service(spans, monkeypatch) as site:
        usage = (await site.post(temperature="0.5", seed="7", max_tokens="50")).json()["usage"]
    chat = spans.one(f"chat {MODEL.id}")
    assert chat.kind is SpanKind.CLIENT
    said = attributes(chat)
    assert 0 <= said.pop("gen_ai.response.time_to_first_chunk") < 60
    assert 0 <= said.pop("speechsum.queue_seconds") < 60
    assert said.pop("gen_ai.response.id")
    assert said == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "vllm",
        "gen_ai.request.model": MODEL.id,
        "gen_ai.response.model": MODEL.id,
        "gen_ai.request.stream": True,
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.request.seed": 7,
        "gen_ai.output.type": "text",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": usage["prompt_tokens"],
        "gen_ai.usage.output_tokens": usage["completion_tokens"],
    }
    assert [event.name for event in chat.events] == ["prefill", "decode"]


async def test_a_failure_is_marked_and_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    spans = Spans()
    async with tracing_service(spans, monkeypatch) as site:
        site.engine.error = ZeroDivisionError("SECRET")
        assert (await site.post()).status_code == 500
        assert (await site.post(style="poem")).status_code == 400
    failed, refused = (span for span in spans.all() if span.name == f"POST {PATH}")
    assert failed.status.status_code is StatusCode.ERROR
    assert attributes(failed)["error.type"] == "internal_error"
    assert refused.status.status_code is StatusCode.UNSET  # the caller's fault
    assert attributes(spans.one(f"chat {MODEL.id}"))["error.type"] == "ZeroDivisionError"
    assert "SECRET" not in "".join(span.to_json() for span in spans.all())


async def test_a_job_has_a_trace_of_its_own_and_names_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    spans = Spans()
    async with tracing_service(spans, monkeypatch) as site:
        ended = value("speechsum_jobs_ended_total", state="succeeded")
        await site.client.post(f"{PATH}/jobs", files={"file": ("recording.wav", wav())}, headers=TRACEPARENT)
        await until(lambda: value("speechsum_jobs_ended_total", state="succeeded") == ended + 1, seconds=60)
    job = spans.one("process job")
    assert job.kind is SpanKind.CONSUMER
    assert f"{job.context.trace_id:032x}" != TRACE
    (queued_by,) = (link.context for link in job.links)
    assert f"{queued_by.trace_id:032x}" == TRACE
    assert queued_by.span_id == spans.one(f"POST {PATH}/jobs").context.span_id
    assert parent(spans.one(f"chat {MODEL.id}")) == job.context.span_id


async def test_a_caller_that_does_not_trace_is_not_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    spans = Spans()
    async with tracing_service(spans, monkeypatch, sample_ratio=0) as site:
        await site.post()
        await site.post(headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})
        await site.post(headers=TRACEPARENT)
    assert {f"{span.context.trace_id:032x}" for span in spans.all()} == {TRACE}
    assert spans.one(f"POST {PATH}")


async def test_without_an_endpoint_there_are_no_traces() -> None:
    async with serving() as site:
        assert (await site.post(headers=TRACEPARENT)).status_code == 200
        with tracing.start_span("nothing") as span:
            span.set(a=1)
            assert tracing.trace_headers() == tracing.current_trace() == {}
        assert tracing.vllm_endpoint() is None


def test_a_lost_collector_does_not_hold_up_the_end() -> None:
    tracing.start_tracing(TracingSettings(**SETTINGS))  # nobody listens there
    with tracing.start_span("request"):
        assert set(tracing.trace_headers()) == {"traceparent"}
    tracing.stop_tracing()
    tracing.stop_tracing()
    assert tracing.vllm_endpoint() is None


def test_an_endpoint_needs_opentelemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: TracingSettings) -> None:
        raise ImportError

    monkeypatch.setattr(tracing, "_exporter_class", missing)
    with pytest.raises(ValueError, match=r"SPEECHSUM_TRACING__ENDPOINT is set, .* pip install '\.\[tracing\]'"):
        tracing.check_tracing(TracingSettings(**SETTINGS))
    tracing.check_tracing(TracingSettings())


@pytest.mark.parametrize("endpoint", ["collector:4317", "http://", "ftp://collector/"])
def test_an_endpoint_is_a_url(endpoint: str) -> None:
    with pytest.raises(ValidationError, match="is not a URL"):
        TracingSettings(endpoint=endpoint)


async def test_a_vllm_server_continues_the_trace_of_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    spans = Spans()
    monkeypatch.setattr(tracing, "_exporter_class", lambda _: lambda **_: spans.exporter)
    async with started_front(FakeVllmServer(PIECES)) as front:
        await front.read(generation_request())
        tracing.start_tracing(TracingSettings(**SETTINGS))
        try:
            with tracing.start_span("request", "server", TRACEPARENT):
                await front.read(generation_request())
                span_id = tracing.current_trace()["span_id"]
        finally:
            tracing.stop_tracing()
        assert front.behind[0].traceparents == ["", f"00-{TRACE}-{span_id}-01"]
