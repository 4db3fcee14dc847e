"""The overhead's figures from targets whose times are known, and from the service in front of a stand-in for vLLM."""

import asyncio
import itertools
from collections.abc import Iterator

import httpx
import pytest

from app.engine.audio_llm import AudioLlmEngine
from benchmarks import overhead
from benchmarks.load import Answer, arrival_moments, run_closed_loop, run_open_loop
from benchmarks.overhead import AGAIN, BASELINE, SERVICE, Plan, measure
from benchmarks.recordings import different_recordings
from benchmarks.targets import Failed, ServiceTarget, VllmTarget
from tests.app.engine.remote.fake_vllm_server import KNOWN, WANTED, FakeVllmServer
from tests.app.engine.remote.remote_engine import remote_model_of
from tests.app.running_service import serving

PLAN = Plan(repeats=2, seconds=0.3, clients=2, recording_s=1.0, max_tokens=4)


class Target:
    """Answers after so many seconds, one request at a time."""

    def __init__(self, seconds: float, prompt_tokens: int = 10) -> None:
        self.seconds, self.prompt_tokens = seconds, prompt_tokens

    async def send(self, recording: bytes) -> Answer:
        await asyncio.sleep(self.seconds)
        return Answer(self.seconds, self.seconds, self.prompt_tokens, PLAN.max_tokens, {"decode": 0.001})


def numbers() -> Iterator[bytes]:
    return (str(number).encode() for number in itertools.count())


async def test_what_is_slower_has_a_ratio_below_one_and_adds_time() -> None:
    targets = {BASELINE: Target(0.02), AGAIN: Target(0.02), SERVICE: Target(0.04)}
    results = await measure(targets, PLAN, numbers())
    summary = {name: float(value or 0) for name, value in results.summary.items()}
    assert summary["service_ratio"] < summary["vllm_again_ratio"]
    assert summary["service_added_ttft_p50_ms_at_50"] == pytest.approx(20)
    assert summary["vllm_again_added_ttft_p99_ms_at_80"] == pytest.approx(0)
    assert summary["service_decode_ms_at_50"] == pytest.approx(1)
    assert [row[0] for row in results.rows] == [BASELINE, AGAIN, SERVICE]


async def test_other_work_is_not_compared() -> None:
    with pytest.raises(Failed, match=r"\(11, 4\).*\(10, 4\)"):
        await measure({BASELINE: Target(0.001), SERVICE: Target(0.001, prompt_tokens=11)}, PLAN, numbers())


async def test_a_closed_loop_has_as_many_requests_at_once_as_clients() -> None:
    running = most = 0

    async def send(recording: bytes) -> Answer:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return Answer(0, 0, 0, 0)

    answers, _ = await run_closed_loop(send, numbers(), 7, 3)
    assert (len(answers), most) == (7, 3)


async def test_an_open_loop_does_not_wait_for_answers() -> None:
    everyone_is_here = asyncio.Event()
    seen: list[bytes] = []

    async def send(recording: bytes) -> Answer:
        seen.append(recording)
        if len(seen) == 4:
            everyone_is_here.set()
        await everyone_is_here.wait()
        return Answer(0, 0, 0, 0)

    assert len(await run_open_loop(send, numbers(), 4, 1000.0, seed=1)) == 4
    assert len(set(seen)) == 4


def test_arrivals_are_as_many_a_second_as_asked_for() -> None:
    moments = arrival_moments(5000, 10.0, seed=1)
    assert moments == sorted(moments)
    assert 5000 / moments[-1] == pytest.approx(10, rel=0.05)
    assert moments == arrival_moments(5000, 10.0, seed=1) != arrival_moments(5000, 10.0, seed=2)


def test_recordings_differ_and_are_of_one_length() -> None:
    files = list(itertools.islice(different_recordings(1.0), 4))
    assert len(set(files)) == 4
    assert len({len(file) for file in files}) == 1


async def test_service_and_vllm_are_asked_for_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in counts the tokens of the prompts that it gets, so that equal work is checked here, too."""
    monkeypatch.setattr("tests.app.engine.remote.fake_vllm_server.KNOWN", KNOWN | {"ignore_eos"})
    server = FakeVllmServer([f"piece{number} " for number in range(PLAN.max_tokens - 1)], piece_s=0.001)
    await asyncio.to_thread(server.start)
    try:
        async with (
            serving(AudioLlmEngine(remote_model_of([server]))) as site,
            httpx.AsyncClient(timeout=60) as client,
        ):
            vllm = VllmTarget(client, server.url, WANTED.id, PLAN.max_tokens)
            service = ServiceTarget(client, str(site.client.base_url).rstrip("/"), PLAN.max_tokens)
            results = await measure({BASELINE: vllm, SERVICE: service}, PLAN, different_recordings(1.0))
    finally:
        server.die()
    assert len(results.rows) == 2
    assert float(results.summary["service_rtfx"] or 0) > 0


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.timeout(1500)
def test_the_quick_run_measures_vllm_the_service_and_the_plugin() -> None:
    results = overhead.run(quick=True)
    assert [row[0] for row in results.rows] == [BASELINE, AGAIN, SERVICE, overhead.PLUGIN]
    assert 0.2 < float(results.summary["service_ratio"] or 0) < 2
