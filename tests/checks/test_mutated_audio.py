"""Thousands of damaged audio files through the whole service: no 5xx, no crash, and nothing is left behind."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.checks import mutations
from tests.checks.service_process import PATH, ServiceProcess, running

AT_ONCE = 4
WARM_UP = 100
# What memory may differ by between two looks: a decoder is replaced after 64 files, and is as large as its last one.
MORE_BYTES, MORE_OWN_BYTES = 60e6, 20e6


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceProcess]:
    """The scripted service with the real decoder."""
    with running(tmp_path) as one:
        yield one


def post(service: ServiceProcess, numbers: Sequence[int], failing: Path) -> tuple[Counter[int], list[str]]:
    """Statuses, and what was wrong with which mutations; these are kept as files named by their numbers."""

    def one(number: int) -> tuple[int, str]:
        name, data = mutations.mutated(number)
        try:
            status = service.http.post(
                PATH, content=data, headers={"content-type": "application/octet-stream", "connection": "close"}
            ).status_code
        except httpx.TransportError as error:
            status, name = 599, f"{name} ({error!r})"
        if status >= 500:
            (failing / f"mutation-{number}").write_bytes(data)
        return status, name

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(one, numbers))
    return Counter(status for status, _ in answers), [f"{status} {name}" for status, name in answers if status >= 500]


def check(service: ServiceProcess, count: int, folder: Path) -> Counter[int]:
    warm, failed = post(service, range(count, count + WARM_UP), folder)
    assert failed == []
    before = service.settled()
    began = time.monotonic()
    statuses, failed = post(service, range(count), folder)
    seconds = time.monotonic() - began
    # The allocator keeps, once, what the largest of them took, in an arena for each thread (70 MB in all, less with
    # MALLOC_ARENA_MAX=2, and no more after thousands of others): what grows is seen in doing it again.
    full = service.settled()
    post(service, range(count), folder)
    after = service.settled()
    died = service.log.read_text().count("a decoding worker died of a file")
    unforeseen = service.log.read_text().count("decoding failed in an unforeseen way")
    print(
        f"{count} mutations of {len(mutations.seeds())} formats in {seconds:.0f} s: {dict(sorted(statuses.items()))}; "
        f"decoders that died {died}, unforeseen errors {unforeseen}\nbefore: {before}\nafter:  {full}\nagain:  {after}"
    )
    assert failed == [], f"the files are in {folder}"
    assert sum(statuses.values()) == count
    assert service.process.poll() is None
    # There may be fewer: an idle worker that a file has ended is replaced when the next one is needed.
    grown = after.files > before.files or after.named > before.named or after.processes > before.processes
    assert not grown, f"more: {after.held - before.held}, less: {before.held - after.held}"
    assert after.threads <= before.threads + 2
    assert after.memory - full.memory < MORE_BYTES
    assert after.own - full.own < MORE_OWN_BYTES
    good = mutations.seeds()["flac"]
    assert service.summarize(good).json()["complete"] is True
    return statuses + warm


def test_damaged_files_of_every_format_are_read_or_refused(service: ServiceProcess, tmp_path: Path) -> None:
    statuses = check(service, 120, tmp_path)
    assert set(statuses) <= {200, 400, 413, 415, 422}
    assert statuses[200] > 0
    assert statuses[422] > 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_five_thousand_damaged_files_leave_nothing_behind(service: ServiceProcess, tmp_path: Path) -> None:
    statuses = check(service, 5000, tmp_path)
    assert set(statuses) <= {200, 400, 413, 415, 422}


def test_a_mutation_is_the_same_each_time() -> None:
    assert [mutations.mutated(number) for number in range(20)] == [mutations.mutated(number) for number in range(20)]
    names = {mutations.mutated(number)[0].split(": ")[0].split(" ", 1)[1] for number in range(200)}
    assert names == set(mutations.seeds())
