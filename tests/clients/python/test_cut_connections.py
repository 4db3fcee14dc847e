"""The real service behind a way that breaks: a proxy cuts the first connections, in the upload, before the answer or in
a stream. What is repeated is done once.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest
from speechsum_client import DeltaEvent, RestartEvent, RetryPolicy, Summary

from app.engine.scripted import SCRIPT
from tests.app.running_service import Site, wav
from tests.clients.python.conftest import KEYS, Connect

TEXT = "".join(SCRIPT)
RETRY = RetryPolicy(retries=8, first_wait_s=0.05, longest_wait_s=0.2)
CHUNK_BYTES = 4096


@dataclass
class Cut:
    """Where a connection is cut: after so many bytes to the service, or when so many bytes have come back, of which the
    last are not passed on.
    """

    sent: int = 10**9
    received: int = 10**9


@contextmanager
def cut_way(site: Site, *cuts: Cut) -> Iterator[str]:
    """Run a proxy to the service until the block ends; its first connections are cut. Yields its address."""
    left = list(cuts)
    listener = socket.create_server(("127.0.0.1", 0))

    def forward(source: socket.socket, target: socket.socket, most: int) -> None:
        count = 0
        with suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                count += len(data)
                if count >= most:
                    break
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            cut = left.pop(0) if left else Cut()
            service = socket.create_connection(("127.0.0.1", site.port))
            threading.Thread(target=forward, args=(client, service, cut.sent), daemon=True).start()
            threading.Thread(target=forward, args=(service, client, cut.received), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.mark.parametrize("cut", [Cut(sent=20_000), Cut(received=1)], ids=["upload", "answer"])
def test_a_job_is_queued_once(cut: Cut, site: Site, connect: Connect) -> None:
    direct = connect(f"http://127.0.0.1:{site.port}", KEYS[0])
    before = {job.id for job in direct.jobs()}
    with cut_way(site, cut, cut) as address:
        job = connect(address, KEYS[0], retry=RETRY).create_job(wav())
        assert job.wait(timeout=60).summary == TEXT
    assert {job.id for job in direct.jobs()} - before == {job.id}


@pytest.mark.parametrize("cut", [Cut(sent=20_000), Cut(received=1)], ids=["upload", "answer"])
def test_a_summary_comes_nevertheless(cut: Cut, site: Site, connect: Connect) -> None:
    with cut_way(site, cut) as address:
        assert connect(address, KEYS[0], retry=RETRY).summarize(wav()).summary == TEXT


def test_a_stream_goes_on_where_it_was_cut(site: Site, connect: Connect) -> None:
    site.engine.piece_s = 0.02  # each piece comes alone
    try:
        with cut_way(site, Cut(received=1500), Cut(received=1800)) as address:
            events = list(connect(address, KEYS[0], retry=RETRY).summarize_stream(wav()))
    finally:
        site.engine.piece_s = 0.0
    assert not [event for event in events if isinstance(event, RestartEvent)]
    assert "".join(event.delta for event in events if isinstance(event, DeltaEvent)) == TEXT
    assert isinstance(events[-1], Summary)
    assert sum(getattr(event, "stage", "") == "received" for event in events) == 3
