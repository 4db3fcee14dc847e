"""What Prometheus sees of a request."""

import asyncio
from contextlib import nullcontext

import pytest
from prometheus_client import REGISTRY

from app import metrics
from app.core.errors import InvalidRequest, Unavailable
from app.engine.scripted import ScriptedEngine
from tests.app.running_service import MODEL, Site, serving, until, value, wav

KIND = "audio-llm"


async def test_a_summary_is_counted_in_every_family(site: Site) -> None:
    def counts() -> dict[str, float]:
        return {
            "ok": value("speechsum_requests_total", outcome="ok", kind=KIND),
            "seconds": value("speechsum_request_duration_seconds_count", kind=KIND, model=MODEL.id),
            "audio": value("speechsum_audio_seconds_total"),
            "durations": value("speechsum_audio_duration_seconds_count"),
            "first": value("speechsum_time_to_first_token_seconds_count", kind=KIND, model=MODEL.id),
            "waits": value("speechsum_queue_duration_seconds_count", model=MODEL.id),
            "old seconds": value("speechsum_request_seconds_count", kind=KIND),
            "old first": value("speechsum_first_token_seconds_count", kind=KIND),
            "old stage": value("speechsum_stage_seconds_count", stage="decode"),
            "output": value("speechsum_output_tokens_total", kind=KIND),
            "rtfx": value("speechsum_rtfx_count", kind=KIND),
            "aborts": value("speechsum_aborts_total"),
            **{
                stage: value("speechsum_stage_duration_seconds_count", stage=stage, model=MODEL.id)
                for stage in ("receive", "decode", "speech", "queue", "engine_prefill", "engine_decode")
            },
        }

    before, prompt = counts(), value("speechsum_prompt_tokens_total", kind=KIND)
    answer = (await site.post(wav(3))).json()
    await site.until_idle()
    gained = {name: count - before[name] for name, count in counts().items()}
    assert gained == {**dict.fromkeys(gained, 1), "audio": 3, "output": 7, "aborts": 0}
    assert value("speechsum_prompt_tokens_total", kind=KIND) - prompt == answer["usage"]["prompt_tokens"]
    assert value("speechsum_stage_duration_seconds_count", stage="total") == 0


@pytest.mark.parametrize(
    ("outcome", "fields", "audio"),
    [
        ("refused", {"style": "poem"}, wav()),
        ("refused", {}, b"text"),
        ("no_speech", {}, wav(amplitude=0)),
        ("ok", {}, wav()),
    ],
)
async def test_outcomes(site: Site, outcome: str, fields: dict[str, str], audio: bytes) -> None:
    for stream in ("false", "true"):
        before = {name: value("speechsum_requests_total", outcome=name, kind=KIND) for name in metrics.OUTCOMES}
        await site.post(audio, **fields, stream=stream)
        await site.until_idle()
        after = {name: value("speechsum_requests_total", outcome=name, kind=KIND) for name in metrics.OUTCOMES}
        assert {name for name in after if after[name] != before[name]} == {outcome}
        assert after[outcome] == before[outcome] + 1


@pytest.mark.parametrize("error", [ZeroDivisionError(), Unavailable("The engine gave up.", code="gave_up")])
async def test_failures_are_counted_with_their_code(site: Site, error: Exception) -> None:
    site.engine.error = error
    name = getattr(error, "code", "internal_error")
    before = value("speechsum_errors_total", code=name), value("speechsum_requests_total", outcome="failed", kind=KIND)
    await site.post()
    await site.post(stream="true")
    await site.until_idle()
    after = value("speechsum_errors_total", code=name), value("speechsum_requests_total", outcome="failed", kind=KIND)
    assert after == (before[0] + 2, before[1] + 2)


async def test_refused_keys_are_counted() -> None:
    async with serving(auth={"keys": "k"}) as site:
        before = value("speechsum_errors_total", code="missing_api_key")
        await site.post()
        assert value("speechsum_errors_total", code="missing_api_key") == before + 1


async def test_gauges_follow_what_runs_and_waits() -> None:
    async with serving(ScriptedEngine(piece_s=0.05), engine={"max_num_seqs": 1}) as site:
        posts = [asyncio.create_task(site.post()) for _ in range(3)]
        await until(lambda: value("speechsum_queue_waiting") == 2)
        assert value("speechsum_requests_in_progress") == 3
        await asyncio.gather(*posts)
        assert value("speechsum_queue_waiting") == 0
        await site.until_idle()


async def test_one_model_is_announced() -> None:
    metrics.set_model_metrics("old", "1", "cascade", "ready", 1.0, lambda: 0)
    async with serving():
        families = [family for family in REGISTRY.collect() if family.name == "speechsum_model_info"]
        (sample,) = families[0].samples
        assert (sample.labels, sample.value) == ({"name": "test-model", "version": "3", "kind": KIND}, 1)


async def test_rates_exist_before_the_first_request() -> None:
    async with serving() as site:
        text = (await site.client.get("/metrics")).text
        for outcome in metrics.OUTCOMES:
            assert f'speechsum_requests_total{{kind="{KIND}",model="test-model@3",outcome="{outcome}"}}' in text


class Gone(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "ok"),
        (InvalidRequest("No.", code="x"), "refused"),
        (Unavailable("No.", code="x"), "failed"),
        (ValueError(), "failed"),
        (Gone(), "aborted"),
        (asyncio.CancelledError(), "aborted"),
    ],
)
def test_how_a_watch_names_an_end(error: BaseException | None, outcome: str) -> None:
    watch = metrics.RequestMetrics(KIND, disconnect_error=Gone)
    with pytest.raises(type(error)) if error else nullcontext(), watch:
        if error is not None:
            raise error
    assert watch.outcome == outcome
    assert value("speechsum_requests_in_progress") == 0


def test_buckets_rise() -> None:
    for buckets in (metrics.SECONDS_BUCKETS, metrics.AUDIO_SECONDS_BUCKETS, metrics.RTFX_BUCKETS):
        assert list(buckets) == sorted(set(buckets))
