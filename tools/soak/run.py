"""One run in order: the processes start, clients and faults come, everything comes to rest, and the account is made.

Knows nothing about how the report looks.
"""

import asyncio
import os
import secrets
import sys
import time
import uuid
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from tools.soak.clients import Traffic
from tools.soak.injector import Injector, mount_small_disk, unmount_disk
from tools.soak.ledger import FINAL_STATES, FaultWindow, Ledger, find_violations
from tools.soak.processes import (
    MARK,
    Postgres,
    Program,
    SupervisedService,
    find_free_port,
    find_leftovers,
    find_postgres,
)
from tools.soak.receiver import read_deliveries
from tools.soak.recordings import speak_recordings
from tools.soak.resources import Sample, Trend, find_growth, find_trend, measure
from tools.soak.schedule import plan_faults

DISK_BYTES = 512 << 20
REST_SECONDS = 180.0  # in which all jobs must have ended and all webhooks must have come after the run
SAMPLE_SECONDS = 3.0
LIBFAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
IDLE_GAUGES = ("speechsum_requests_in_progress", "speechsum_queue_waiting", "speechsum_queued_audio_seconds")


@dataclass(frozen=True)
class Options:
    """What a run is. seconds: how long clients and faults come. database: "sqlite", "postgresql" or "auto"."""

    seconds: float
    faults: int
    clients: int
    seed: int
    database: str


@dataclass(frozen=True)
class Result:
    """What came of a run."""

    options: Options
    database: str
    not_injected: list[str]
    ledger: Ledger
    windows: list[FaultWindow]
    listed: dict[str, list[str]]
    samples: list[Sample]
    trend: Trend | None
    lives: int
    violations: list[str]


async def run_soak(options: Options, folder: Path) -> Result:
    """Run the soak in a folder, which keeps the logs."""
    run = uuid.uuid4().hex
    async with AsyncExitStack() as resources:
        disk = folder / "disk"
        disk.mkdir()
        has_disk = mount_small_disk(disk, DISK_BYTES)
        if has_disk:
            resources.callback(unmount_disk, disk)
        (disk / "tmp").mkdir()
        clock = _clock_file(folder)
        environment = _environment(folder, disk, clock, run)
        database = await resources.enter_async_context(_database(options.database, folder, environment))
        receiver_port, port = find_free_port(), find_free_port()
        key = secrets.token_urlsafe(16)
        environment |= {"SPEECHSUM_PORT": str(port), "SPEECHSUM_AUTH__KEYS": key}
        rows = folder / "webhooks.jsonl"
        receiver = Program(
            [sys.executable, "-m", "tools.soak.receiver", str(receiver_port), str(rows)],
            {**environment, "LD_PRELOAD": ""},
            folder / "receiver.log",
        )
        resources.push_async_callback(receiver.kill)
        await receiver.start()
        quota_key = await _create_quota_key(environment)
        service = SupervisedService(port, environment, folder / "service.log")
        resources.push_async_callback(service.stop)
        await service.start()
        hook = f"http://127.0.0.1:{receiver_port}/hook"
        recordings = await asyncio.to_thread(speak_recordings, folder)
        ledger = Ledger()
        traffic = Traffic(service.address, key, quota_key, hook, recordings, ledger, options.seed)
        resources.push_async_callback(traffic.http.aclose)
        injector = Injector(service, receiver, database, clock, disk if has_disk else None, traffic.now, options.seed)
        samples: list[Sample] = []
        sampler = asyncio.create_task(_sample(service, traffic, samples))
        plan = plan_faults(injector.kinds, options.faults, options.seconds, options.seed)
        await asyncio.gather(injector.run(plan), *(traffic.run_client(options.seconds) for _ in range(options.clients)))
        listed = await _wait_for_rest(traffic, rows, service)
        sampler.cancel()
        for job, id_ in read_deliveries(rows):
            ledger.note_webhook(job, id_)
        violations = [*injector.failures, *find_violations(ledger, injector.windows, listed)]
        violations += await _find_stuck_work(traffic)
        if status := await service.stop():
            violations.append(f"The service ended with the status {status} after SIGTERM.")
        await asyncio.sleep(1)
        keep = {receiver.pid, database.pid if database else 0}
        left = [one for one in find_leftovers(run) if not keep & {one.pid, *(up.pid for up in one.parents())}]
        violations += [f"The process {one.pid} ({one.name()}) outlived the service." for one in left]
        trend = find_trend(samples)
        violations += find_growth(trend)
        kind = "postgresql" if database else "sqlite"
        not_injected = _reasons(has_disk=has_disk, has_clock=clock is not None, has_database=database is not None)
        windows = injector.windows
        return Result(options, kind, not_injected, ledger, windows, listed, samples, trend, service.lives, violations)


def _reasons(*, has_disk: bool, has_clock: bool, has_database: bool) -> list[str]:
    reasons = []
    if not has_disk:
        reasons.append("full disk: this user may not mount a small one")
    if not has_clock:
        reasons.append("clock jump: Debian's package libfaketime is not installed")
    if not has_database:
        reasons.append("kill of the database: SQLite runs inside the service and is killed with it")
    return reasons


def _clock_file(folder: Path) -> Path | None:
    """Return the file that tells libfaketime by how much the clock is wrong; None if the library is not there."""
    if not LIBFAKETIME.exists():
        return None
    clock = folder / "clock"
    clock.write_text("+0")
    return clock


def _environment(folder: Path, disk: Path, clock: Path | None, run: str) -> dict[str, str]:
    # With this variable, each start of the service would compile everything that it imports.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = {name: value for name, value in inherited.items() if not name.startswith("SPEECHSUM_")} | {
        MARK: run,
        "TMPDIR": str(disk / "tmp"),
        "SPEECHSUM_HUB": "false",
        "SPEECHSUM_JOBS__FOLDER": str(disk / "state"),
        "SPEECHSUM_JOBS__LEASE_SECONDS": "3",
        "SPEECHSUM_JOBS__POLL_SECONDS": "0.25",
        "SPEECHSUM_JOBS__ATTEMPTS": "50",
        "SPEECHSUM_ENGINE__RESTARTS": "10",
        "SPEECHSUM_LONG__PASS_SECONDS": "60",
        "SPEECHSUM_LONG__WINDOW_SECONDS": "30",
        "SPEECHSUM_TIMEOUTS__DRAIN_SECONDS": "1",
        "SPEECHSUM_WEBHOOKS__SECRET": "whsec_" + b64encode(secrets.token_bytes(32)).decode(),
        "SPEECHSUM_WEBHOOKS__DELAYS": ",".join(["0.5"] * 400),
        "SPEECHSUM_WEBHOOKS__SECONDS": "5",
        "SPEECHSUM_WEBHOOKS__PRIVATE_HOSTS": "127.0.0.1",
    }
    if clock is not None:
        environment |= {
            "LD_PRELOAD": str(LIBFAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
    return environment


@asynccontextmanager
async def _database(wanted: str, folder: Path, environment: dict[str, str]) -> AsyncIterator[Postgres | None]:
    programs = find_postgres() if wanted != "sqlite" else None
    if programs is None:
        if wanted == "postgresql":
            raise FileNotFoundError("PostgreSQL is not installed")
        yield None
        return
    # Not under libfaketime: the database's clock is another machine's.
    plain = {name: value for name, value in environment.items() if name not in ("LD_PRELOAD", "TMPDIR")}
    postgres = Postgres(programs, folder / "postgresql", plain)
    await postgres.create()
    await postgres.start()
    environment["SPEECHSUM_JOBS__DATABASE"] = postgres.url
    try:
        yield postgres
    finally:
        await postgres.kill(family=True)


async def _create_quota_key(environment: dict[str, str]) -> str:
    arguments = ["-m", "app", "keys", "create", "a client with a quota", "--requests-per-minute", "2"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env=environment, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    return printed.decode().split()[0]


async def _sample(service: SupervisedService, traffic: Traffic, samples: list[Sample]) -> None:
    while True:
        if pid := service.pid:
            with suppress(psutil.NoSuchProcess):
                sample = await asyncio.to_thread(measure, psutil.Process(pid), traffic.now(), service.lives)
                samples += [sample] if sample else []
        await asyncio.sleep(SAMPLE_SECONDS)


async def _wait_for_rest(traffic: Traffic, rows: Path, service: SupervisedService) -> dict[str, list[str]]:
    """Return the list of jobs once all have ended and each webhook has come, or when the time for that is over."""
    deadline = time.monotonic() + REST_SECONDS
    await service.wait_until_ready()
    while True:
        listed: dict[str, list[str]] = {}
        with suppress(httpx.HTTPError):
            listed = await traffic.list_jobs()
        told = {job for job, _ in read_deliveries(rows)}
        is_done = all(states[0] in FINAL_STATES for states in listed.values()) and told >= set(listed)
        if (listed and is_done) or time.monotonic() > deadline:
            return listed
        await asyncio.sleep(0.5)


async def _find_stuck_work(traffic: Traffic) -> list[str]:
    """Return a sentence for each gauge that says that the service, which has nothing to do, is still busy."""
    text = (await traffic.http.get("/metrics")).text
    values = {sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples}
    return [f"{name} is {values[name]:g} although nothing is in progress." for name in IDLE_GAUGES if values.get(name)]
