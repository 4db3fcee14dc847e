"""The clients of a soak against a service: what they send, how they judge it, and what they make of failures."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from app.core.errors import EngineDead
from app.engine.scripted import ScriptedEngine
from app.keys.store import KeyStore
from tests.app.jobs.webhook_receiver import SECRET, receiving
from tests.app.running_service import Site, serving, until, wav
from tools.soak.clients import WEIGHTS, Traffic
from tools.soak.ledger import FaultWindow, Ledger, Outcome, find_violations
from tools.soak.recordings import Recordings
from tools.soak.schedule import FaultKind

RECORDINGS = Recordings(wav(1), wav(90), {"text": b"This is no recording. " * 100})
WEBHOOKS = {"secret": SECRET, "private_hosts": ["127.0.0.1"]}


@asynccontextmanager
async def clients_of(site: Site, hook: str = "http://127.0.0.1:9/hook") -> AsyncIterator[Traffic]:
    _, quota_key = await KeyStore(site.jobs.database).create("few", ["summaries"], 2, None, None)
    address = f"http://127.0.0.1:{site.port}"
    traffic = Traffic(address, "many", quota_key, hook, RECORDINGS, Ledger(), 1)
    try:
        yield traffic
    finally:
        await traffic.http.aclose()


async def test_every_kind_of_request_is_accounted_for() -> None:
    engine = ScriptedEngine(piece_s=0.001)
    async with (
        receiving() as receiver,
        serving(engine, auth={"keys": ["many"]}, webhooks=WEBHOOKS) as site,
        clients_of(site, receiver.url) as traffic,
    ):
        for kind in WEIGHTS:
            await traffic._kinds[kind]()
        await until(lambda: len(receiver.got) == 1)
        for got in receiver.got:
            traffic.ledger.note_webhook(got.job, got.headers["webhook-id"])
        assert find_violations(traffic.ledger, [], await traffic.list_jobs()) == []
    ends = {(one.kind, one.outcome) for one in traffic.ledger.entries}
    answered = {"short", "stream", "job", "long", "repeat", "slow_upload", "slow_reader", "quota"}
    assert ends - {("quota", Outcome.ERROR)} == {
        *((kind, Outcome.ANSWER) for kind in answered),
        ("bad", Outcome.ERROR),
        ("disconnect", Outcome.LEFT),
    }
    quota = Counter(one.code for one in traffic.ledger.entries if one.kind == "quota")
    assert set(quota) <= {"", "quota_exceeded"}
    assert quota.total() == 4, "two of them are refused, unless a minute ends in between"


async def test_errors_wrong_answers_and_lost_connections_are_told_apart() -> None:
    async with serving(ScriptedEngine(), auth={"keys": ["many"]}) as site, clients_of(site) as traffic:
        site.engine.pieces = ("Another ", "summary.")
        await traffic.send_short()
        await traffic.send_stream()
        site.engine.error = EngineDead("The engine died.", code="engine_dead")
        await traffic.send_short()
        await traffic.send_stream()
        site.engine.error = None
        site.engine.prefill_s = 60
        asking = asyncio.create_task(traffic.send_short())
        await until(lambda: site.engine.running_requests == 1)
        for connection in list(site.server.server_state.connections):
            connection.abort()  # type: ignore[union-attr]
        await asking
        entries = traffic.ledger.entries
        assert [str(one.outcome) for one in entries] == ["wrong", "wrong", "error", "error", "lost"]
        assert len(find_violations(traffic.ledger, [], {})) == 5
        windows = [FaultWindow(kind, 0, 100) for kind in (FaultKind.ENGINE_KILL, FaultKind.SERVICE_KILL)]
        assert len(find_violations(traffic.ledger, windows, {})) == 2, "a wrong answer is never excused"


async def test_a_job_is_sent_again_under_its_key_until_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        receiving() as receiver,
        serving(auth={"keys": ["many"]}, webhooks=WEBHOOKS, jobs={"workers": 0}) as site,
        clients_of(site, receiver.url) as traffic,
    ):
        answers = iter([False, True])
        put = site.jobs.blobs.put

        async def fail_once(file: object) -> str:
            if not next(answers):
                raise EngineDead("Something died.", code="engine_dead")
            return await put(file)  # type: ignore[arg-type]

        monkeypatch.setattr(site.jobs.blobs, "put", fail_once)
        await traffic.send_job()
        assert [str(one.outcome) for one in traffic.ledger.entries] == ["error", "answer"]
        assert list(await traffic.list_jobs()) == list(traffic.ledger.jobs.values())
