"""The real service behind a way that breaks: a proxy cuts the first connections, in the upload, before the answer or in
a stream. What is repeated is done once.
"""

import pytest
from speechsum_client import DeltaEvent, RestartEvent, RetryPolicy, Summary

from app.engine.scripted import SCRIPT
from tests.app.running_service import Site, wav
from tests.checks.cut_connections import Cut, cut_way
from tests.clients.python.conftest import KEYS, Connect

TEXT = "".join(SCRIPT)
RETRY = RetryPolicy(retries=8, first_wait_s=0.05, longest_wait_s=0.2)


@pytest.mark.parametrize("cut", [Cut(sent=20_000), Cut(received=1)], ids=["upload", "answer"])
def test_a_job_is_queued_once(cut: Cut, site: Site, connect: Connect) -> None:
    direct = connect(f"http://127.0.0.1:{site.port}", KEYS[0])
    before = {job.id for job in direct.jobs()}
    with cut_way(site.port, cut, cut) as way:
        job = connect(way.address, KEYS[0], retry=RETRY).create_job(wav())
        assert job.wait(timeout=60).summary == TEXT
    assert {job.id for job in direct.jobs()} - before == {job.id}


@pytest.mark.parametrize("cut", [Cut(sent=20_000), Cut(received=1)], ids=["upload", "answer"])
def test_a_summary_comes_nevertheless(cut: Cut, site: Site, connect: Connect) -> None:
    with cut_way(site.port, cut) as way:
        assert connect(way.address, KEYS[0], retry=RETRY).summarize(wav()).summary == TEXT


def test_a_stream_goes_on_where_it_was_cut(site: Site, connect: Connect) -> None:
    site.engine.piece_s = 0.02  # each piece comes alone
    try:
        with cut_way(site.port, Cut(received=1500), Cut(received=1800)) as way:
            events = list(connect(way.address, KEYS[0], retry=RETRY).summarize_stream(wav()))
    finally:
        site.engine.piece_s = 0.0
    assert not [event for event in events if isinstance(event, RestartEvent)]
    assert "".join(event.delta for event in events if isinstance(event, DeltaEvent)) == TEXT
    assert isinstance(events[-1], Summary)
    assert sum(getattr(event, "stage", "") == "received" for event in events) == 3
