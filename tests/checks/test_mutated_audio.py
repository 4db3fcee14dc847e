"""Thousands of damaged audio files through the whole service: no 5xx, no crash, and nothing is left behind."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.checks import mutations
from tests.checks.service_process import PATH, ServiceProcess, scripted_service

CONCURRENT_REQUESTS = 4
WARM_UP_MUTATIONS = 100
THREADS_PER_WORKER = 3
POOL_THREADS = 8
POOL_CONNECTIONS, DESCRIPTORS_PER_CONNECTION = 5, 3  # SQLAlchemy's default; the file, its log, the log's index
# How much more memory is accepted: a decoder is replaced after 64 files, and is as large as its last file made it.
MAX_GROWTH_BYTES, MAX_MAIN_PROCESS_GROWTH_BYTES = 60e6, 20e6


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceProcess]:
    """The scripted service with the real decoder."""
    with scripted_service(tmp_path) as service:
        yield service


def post_mutations(service: ServiceProcess, numbers: Sequence[int], failing: Path) -> tuple[Counter[int], list[str]]:
    """Post mutations. Return the number of each status, and the failures, whose files are kept in `failing`."""

    def post_mutation(number: int) -> tuple[int, str]:
        name, data = mutations.mutate(number)
        try:
            status = service.http.post(
                PATH, content=data, headers={"content-type": "application/octet-stream", "connection": "close"}
            ).status_code
        except httpx.TransportError as error:
            status, name = 599, f"{name} ({error!r})"
        if status >= 500:
            (failing / f"mutation-{number}").write_bytes(data)
        return status, name

    with ThreadPoolExecutor(CONCURRENT_REQUESTS) as pool:
        answers = list(pool.map(post_mutation, numbers))
    return Counter(status for status, _ in answers), [f"{status} {name}" for status, name in answers if status >= 500]


def check_mutations(service: ServiceProcess, count: int, folder: Path) -> Counter[int]:
    warm, failures = post_mutations(service, range(count, count + WARM_UP_MUTATIONS), folder)
    assert failures == []
    before = service.count_settled_resources()
    began = time.monotonic()
    statuses, failures = post_mutations(service, range(count), folder)
    seconds = time.monotonic() - began
    # The allocator keeps the memory of the largest file in an arena for each thread (70 MB in all, less with
    # MALLOC_ARENA_MAX=2). It does not grow with more files, so a leak shows when the same files are posted again.
    full = service.count_settled_resources()
    post_mutations(service, range(count), folder)
    after = service.count_settled_resources()
    died = service.log.read_text().count("a decoding worker died while it decoded a file")
    unexpected = service.log.read_text().count("decoding raised an unexpected exception")
    print(
        f"{count} mutations of {len(mutations.seed_files())} formats in {seconds:.0f} s: "
        f"{dict(sorted(statuses.items()))}; decoders that died {died}, unexpected errors {unexpected}\n"
        f"before: {before}\nafter:  {full}\nagain:  {after}"
    )
    assert failures == [], f"the files are in {folder}"
    assert sum(statuses.values()) == count
    assert service.process.poll() is None
    more = after.descriptor_targets - before.descriptor_targets
    less = before.descriptor_targets - after.descriptor_targets
    # The database's pool opens connections as requests come at the same time, up to a few.
    connections = sum(number for target, number in more.items() if ".db" in target)
    assert connections <= POOL_CONNECTIONS * DESCRIPTORS_PER_CONNECTION
    # There may be fewer processes: a worker that died is replaced when it is needed.
    grown = (
        after.descriptors - connections > before.descriptors
        or after.temporary_files > before.temporary_files
        or after.processes > before.processes
    )
    assert not grown, f"more: {more}, less: {less}"
    # A pool starts a thread when a request finds none free, up to a few; a leak shows with the same files again.
    assert full.threads <= before.threads + POOL_THREADS
    replaced = max(0, after.processes - full.processes)  # workers that had died when the first count was made
    assert after.threads <= full.threads + 2 + THREADS_PER_WORKER * replaced
    assert after.memory_bytes - full.memory_bytes < MAX_GROWTH_BYTES
    assert after.main_process_bytes - full.main_process_bytes < MAX_MAIN_PROCESS_GROWTH_BYTES
    good = mutations.seed_files()["flac"]
    assert service.summarize(good).json()["complete"] is True
    return statuses + warm


def test_damaged_files_of_every_format_are_read_or_refused(service: ServiceProcess, tmp_path: Path) -> None:
    statuses = check_mutations(service, 120, tmp_path)
    assert set(statuses) <= {200, 400, 413, 415, 422}
    assert statuses[200] > 0
    assert statuses[422] > 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_five_thousand_damaged_files_leave_nothing_behind(service: ServiceProcess, tmp_path: Path) -> None:
    statuses = check_mutations(service, 5000, tmp_path)
    assert set(statuses) <= {200, 400, 413, 415, 422}


def test_a_mutation_is_the_same_each_time() -> None:
    assert [mutations.mutate(number) for number in range(20)] == [mutations.mutate(number) for number in range(20)]
    names = {mutations.mutate(number)[0].split(": ")[0].split(" ", 1)[1] for number in range(200)}
    assert names == set(mutations.seed_files())
