"""`kill -9` at random moments over a queue of jobs: nothing is lost and nothing is done twice."""

import asyncio
import os
import random
import signal
import socket
import sys
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.app.jobs.webhook_receiver import SECRET, receiving
from tests.app.running_service import PATH, wav

JOBS_A_LIFE = 4
KEY = "the key of these jobs"


class Killable:
    """The service as a process of its own, on one port and one folder, however often it is started."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = folder / "log"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("SPEECHSUM_")} | {
            "SPEECHSUM_PORT": str(self.port),
            "SPEECHSUM_JOBS__FOLDER": str(folder),
            "SPEECHSUM_JOBS__LEASE_SECONDS": "0.5",
            "SPEECHSUM_JOBS__POLL_SECONDS": "0.05",
            "SPEECHSUM_JOBS__ATTEMPTS": "1000",
            "SPEECHSUM_AUTH__KEYS": KEY,
            "SPEECHSUM_WEBHOOKS__SECRET": SECRET,
            "SPEECHSUM_WEBHOOKS__DELAYS": ",".join(["0.1"] * 100),
            "SPEECHSUM_WEBHOOKS__SECONDS": "0.5",
            "SPEECHSUM_WEBHOOKS__PRIVATE_HOSTS": "127.0.0.1",
        }
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, client: httpx.AsyncClient) -> None:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "app", "serve", "--model", "scripted", "--log-level", "warning",
                env=self.environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        for _ in range(1200):
            assert self.process.returncode is None, self.log.read_text()
            try:
                if (await client.get("/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)
        raise AssertionError(self.log.read_text())

    async def kill(self) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()


async def ask(client: httpx.AsyncClient, key: str, url: str) -> str | None:
    """Queue one recording; None where the service died over it, and the caller cannot know whether it is queued."""
    try:
        response = await client.post(
            f"{PATH}/jobs",
            files={"file": ("recording.wav", wav(1.0))},
            data={"webhook_url": url},
            headers={"idempotency-key": key},
        )
    except httpx.TransportError:
        return None
    if response.status_code in (409, 503):
        return None
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


@pytest.mark.parametrize("kills", [2, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(3000)])])
async def test_every_job_ends_once_and_is_told_under_one_id(kills: int, tmp_path: Path) -> None:
    draw = random.Random(kills)
    service = Killable(tmp_path)
    ids: dict[str, str] = {}
    open_: list[str] = []
    async with (
        receiving() as receiver,
        httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{service.port}",
            headers={"authorization": f"Bearer {KEY}"},
            timeout=20,
            trust_env=False,
        ) as client,
    ):
        for life in range(kills):
            await service.start(client)
            open_ += [f"life {life}, job {number}" for number in range(JOBS_A_LIFE)]
            asking = asyncio.create_task(_ask_all(client, open_, ids, receiver.url))
            await asyncio.sleep(draw.uniform(0, 0.8))
            await service.kill()
            await asking
            open_ = [key for key in open_ if key not in ids]
        await service.start(client)
        async with asyncio.timeout(60):  # keys that died with their service are soon free
            while open_:
                await _ask_all(client, open_, ids, receiver.url)
                open_ = [key for key in open_ if key not in ids]
                await asyncio.sleep(0.2)
        jobs = await _all_ended(client, len(ids))
        for _ in range(200):
            if {got.job for got in receiver.got} == set(ids.values()):
                break
            await asyncio.sleep(0.1)
        await service.kill()

    assert len(ids) == kills * JOBS_A_LIFE
    assert sorted(jobs) == sorted(ids.values()), "a job was queued twice, or lost"
    assert Counter(jobs.values()) == {"succeeded": len(ids)}
    told: dict[str, set[str]] = {}
    for got in receiver.got:
        told.setdefault(got.job, set()).add(got.headers["webhook-id"])
    assert set(told) == set(ids.values()), "somebody was not told"
    assert all(len(messages) == 1 for messages in told.values()), "a job ended twice"
    print(f"{kills} kills, {len(ids)} jobs, {len(receiver.got)} deliveries of {len(told)} webhooks")


async def _ask_all(client: httpx.AsyncClient, keys: list[str], ids: dict[str, str], url: str) -> None:
    for key, id_ in zip(keys, await asyncio.gather(*(ask(client, key, url) for key in keys)), strict=True):
        if id_:
            ids[key] = id_


async def _all_ended(client: httpx.AsyncClient, count: int) -> dict[str, str]:
    """Every job's state, once all have ended."""
    for _ in range(600):
        jobs: dict[str, str] = {}
        after = ""
        while True:
            page = (await client.get(f"{PATH}/jobs?limit=100{after}")).json()
            jobs |= {job["id"]: job["state"] for job in page["data"]}
            if not page["has_more"]:
                break
            after = f"&after={page['last_id']}"
        if len(jobs) >= count and not {"queued", "running"} & set(jobs.values()):
            return jobs
        await asyncio.sleep(0.2)
    raise AssertionError(Counter(jobs.values()))
