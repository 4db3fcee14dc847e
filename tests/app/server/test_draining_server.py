"""A service that is told to stop: what load balancers, callers and other services notice."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.app.api.test_jobs import JOBS, queue_job, until_state
from tests.app.models.scripted_models import GatedEngine
from tests.app.running_service import PATH, code, serving, until, wav


async def test_a_draining_service_says_so_and_still_answers() -> None:
    async with serving(timeouts={"drain_seconds": 60}) as site:
        assert (await site.client.get("/startupz")).status_code == 200
        site.app.state.draining.set()
        refused = await site.client.get("/readyz")
        assert code(refused) == (503, "draining")
        assert refused.headers["retry-after"]
        assert (await site.client.get("/livez")).status_code == 200
        assert (await site.client.get("/startupz")).status_code == 200
        assert (await site.post()).status_code == 200


async def test_a_draining_service_claims_no_job_and_hands_back_what_it_has_begun() -> None:
    engine = GatedEngine("A ", "summary.")
    async with serving(engine, timeouts={"drain_seconds": 0.2}, jobs={"workers": 1}) as site:
        engine.may_write.clear()
        begun = await queue_job(site)
        await until(lambda: engine.running_requests == 1)
        site.app.state.draining.set()
        waiting = await queue_job(site)
        await site.app.state.stopping.wait()
        await until_state(site, begun["id"], "queued")
        assert (await site.client.get(f"{JOBS}/{waiting['id']}")).json()["state"] == "queued"
        stored = await site.jobs.store.get(begun["id"], "")
        assert stored is not None
        assert (stored.attempt, stored.leased_by) == (0, None), "it was no attempt"


@contextmanager
def running(folder: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A service of its own process, and its address; it is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "app", "serve", "--model", "scripted-process", "--log-level", "warning"],
        env={
            "PATH": "/usr/bin:/bin",
            "SPEECHSUM_PORT": str(port),
            "SPEECHSUM_JOBS__FOLDER": str(folder),
            **environment,
        },
    )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 240
        while True:
            try:
                if httpx.get(f"{address}/readyz", trust_env=False).status_code == 200:
                    break
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        yield process, address
    finally:
        process.kill()
        process.wait()


def test_a_stream_ends_as_it_should_after_the_listener_has_closed(tmp_path: Path) -> None:
    with (
        running(tmp_path) as (process, address),
        httpx.Client(base_url=address, trust_env=False, timeout=240) as client,
        client.stream("POST", PATH, files={"file": wav()}, data={"stream": "true"}) as response,
    ):
        lines = response.iter_lines()
        next(lines)
        process.send_signal(signal.SIGTERM)
        assert "data: [DONE]" in list(lines)
        assert process.wait(120) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{address}/livez", trust_env=False)


def test_it_listens_on_for_a_while_and_a_second_signal_ends_it(tmp_path: Path) -> None:
    with running(tmp_path, SPEECHSUM_TIMEOUTS__DRAIN_SECONDS="300") as (process, address):
        process.send_signal(signal.SIGTERM)
        with httpx.Client(base_url=address, trust_env=False, timeout=240) as client:
            deadline = time.monotonic() + 120
            while client.get("/readyz").status_code == 200:
                assert time.monotonic() < deadline
            assert client.get("/readyz").json()["error"]["code"] == "draining"
            answered = client.post(PATH, files={"file": wav()})
            assert answered.status_code == 200
            while client.get("/livez").headers.get("connection") != "close":
                assert time.monotonic() < deadline, "load balancers keep their connections"
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0
