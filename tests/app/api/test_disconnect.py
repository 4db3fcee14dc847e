"""A client that leaves: whatever is being done for it ends within a second, in every stage, by every way of asking."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest

from app.core.audio.samples import Samples
from app.engine.base import EngineEvent, GenerationRequest, TextDelta
from app.engine.scripted import ScriptedEngine
from tests.app.raw_http import WAYS, request
from tests.app.running_service import Site, loud, serving, until, value, wav

AT_ONCE = 3


class Staged(ScriptedEngine):
    """Counts the words it has written, and can take its time over merging notes."""

    def __init__(self) -> None:
        super().__init__(("word ",) * 1000)
        self.written = 0
        self.merging = 0
        self.merge_s = 0.0

    async def _play(self, request: GenerationRequest) -> AsyncIterator[EngineEvent]:
        if request.notes:
            self.merging += 1
            await asyncio.sleep(self.merge_s)
        async for event in super()._play(request):
            self.written += isinstance(event, TextDelta)
            yield event


@dataclass
class Moment:
    """When to leave. asked, ended: requests that the engine has got by then, and that are in it.
    part: of the request's body that is sent.
    """

    reached: Callable[[], bool]
    audio: bytes = wav(2)
    part: float = 1.0
    asked: int = 0
    ended: int = 0


def uploading(site: Site) -> Moment:
    return Moment(lambda: site.service.admission.held_bytes > 0, part=0.5)


def decoding(site: Site) -> Moment:
    site.decoder.delay_s = 30
    return Moment(lambda: site.decoder.running == 1)


def looking_for_speech(site: Site) -> Moment:
    looking = threading.Event()

    def slow(samples: Samples, left: threading.Event) -> list[tuple[float, float]]:
        looking.set()
        left.wait(5)
        return loud(samples)

    site.service.summarizer.find_speech = slow
    return Moment(looking.is_set)


def waiting_for_the_engine(site: Site) -> Moment:
    return Moment(lambda: value("speechsum_queue_waiting") == 1)


def prefill(site: Site) -> Moment:
    site.engine.prefill_s = 30
    return Moment(lambda: site.engine.running_requests == 1, asked=1, ended=1)


def fifth_token(site: Site) -> Moment:
    site.engine.piece_s, before = 0.02, site.engine.written
    return Moment(lambda: site.engine.written - before == 5, asked=1, ended=1)


def reading_windows(site: Site) -> Moment:
    site.service.summarizer.find_speech = every_minute
    site.engine.prefill_s = 30
    return Moment(lambda: site.engine.running_requests == 3, wav(130), asked=3, ended=3)


def merging(site: Site) -> Moment:
    site.service.summarizer.find_speech = every_minute
    site.engine.merge_s, before = 30, site.engine.merging
    return Moment(lambda: site.engine.merging > before, wav(130), asked=4, ended=1)


STAGES = (
    uploading, decoding, looking_for_speech, waiting_for_the_engine, prefill, fifth_token, reading_windows, merging,
)  # fmt: skip


def every_minute(samples: Samples, _: threading.Event) -> list[tuple[float, float]]:
    """Stands in for the speech detector: somebody speaks for most of every minute."""
    seconds = len(samples) / 16_000
    return [(start, min(start + 50, seconds)) for start in range(0, int(seconds), 60)]


def held_resources(site: Site) -> dict[str, float]:
    """Everything that requests hold or are counted in."""
    return {
        "engine": site.engine.running_requests,
        "decoder": site.decoder.running,
        "admitted": site.service.admission.active_requests,
        "bytes": site.service.admission.held_bytes,
        "waiting": value("speechsum_queue_waiting"),
        "slots": site.service.summarizer.generator.limiter.available,
        "in progress": value("speechsum_requests_in_progress"),
    }


def disconnect_counts() -> tuple[float, float]:
    """Callers who left, by the metrics."""
    return value("speechsum_aborts_total"), value("speechsum_requests_total", outcome="aborted", kind="audio-llm")


async def leave(site: Site, moment: Moment, way: str) -> None:
    """Send a request, or its first part, wait for the moment and close the connection."""
    before, left, engine = held_resources(site), disconnect_counts(), site.engine
    asked, aborted = len(engine.requests), engine.aborted
    head, body = request(way, moment.audio)
    _, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(head + body[: round(len(body) * moment.part)])
    await writer.drain()
    await until(moment.reached)
    assert held_resources(site)["in progress"] == before["in progress"] + 1
    writer.close()
    await until(
        lambda: held_resources(site) == before, lambda: f"{held_resources(site)}, and it was {before}", seconds=1
    )
    assert disconnect_counts() == (left[0] + 1, left[1] + 1)
    assert (len(engine.requests) - asked, engine.aborted - aborted) == (moment.asked, moment.ended)


async def leave_again_and_again(stage: Callable[[Site], Moment], way: str, times: int) -> None:
    async with serving(Staged(), engine={"max_num_seqs": AT_ONCE}) as site:
        others = []
        if stage is waiting_for_the_engine:
            site.engine.prefill_s = 60
            others = [asyncio.create_task(site.post()) for _ in range(AT_ONCE)]
            await until(lambda: site.engine.running_requests == AT_ONCE)
        for _ in range(times):
            await leave(site, stage(site), way)
        for other in others:
            other.cancel()
        await site.until_idle()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.__name__)
async def test_who_leaves_leaves_nothing_behind(stage: Callable[[Site], Moment], way: str) -> None:
    await leave_again_and_again(stage, way, 1)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.__name__)
async def test_who_leaves_leaves_nothing_behind_twenty_times(stage: Callable[[Site], Moment], way: str) -> None:
    await leave_again_and_again(stage, way, 20)


async def test_one_who_waited_leaves_and_the_others_are_answered() -> None:
    async with serving(ScriptedEngine(piece_s=0.06), engine={"max_num_seqs": 1}) as site:
        first = asyncio.create_task(site.post())
        await until(lambda: site.engine.running_requests == 1)
        await leave(site, waiting_for_the_engine(site), "summary")
        assert (await first).status_code == 200
        assert len(site.engine.requests) == 1
        assert (await site.post()).status_code == 200


async def test_twenty_leave_and_the_others_are_answered() -> None:
    async with serving(ScriptedEngine(piece_s=0.05), engine={"max_num_seqs": 8}) as site:
        posts = [asyncio.create_task(site.post(stream="true" if n % 3 else "false")) for n in range(40)]
        await until(lambda: site.engine.running_requests == 8)
        for task in posts[::2]:
            task.cancel()
        answers = await asyncio.gather(*posts, return_exceptions=True)
        assert [answer.status_code for answer in answers[1::2]] == [200] * 20  # type: ignore[union-attr]
        assert all("scripted" in answer.text for answer in answers[1::2])  # type: ignore[union-attr]
        await site.until_idle()
        assert site.service.summarizer.generator.limiter.available == 8
