"""The queue's rows, in SQLite and in PostgreSQL."""

import asyncio
import time
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from app.jobs.store import CANCELLED, FAILED, QUEUED, RUNNING, SUCCEEDED, Job, JobStore
from tests.app.jobs.job_rows import deliveries, queue


@pytest.fixture
def store(database: AsyncEngine) -> JobStore:
    return JobStore(database, retention_s=60, webhook_body=lambda job: f"{job.id} {job.state}")


async def test_the_oldest_job_is_claimed_first_and_each_only_once(store: JobStore) -> None:
    first, second = await queue(store, created=10.0), await queue(store, created=20.0)
    claimed = [await store.claim("me") for _ in range(3)]
    assert [job.id if job else None for job in claimed] == [first, second, None]
    assert claimed[0] is not None
    assert (claimed[0].state, claimed[0].attempt, claimed[0].leased_by) == (RUNNING, 1, "me")
    assert claimed[0].fields == [["language", "de"]]


async def test_many_who_claim_at_once_never_get_the_same(store: JobStore) -> None:
    ids = {await queue(store) for _ in range(20)}
    claimed = await asyncio.gather(*(store.claim(f"worker {n}") for n in range(30)))
    # Under `SKIP LOCKED` one may find all rows being claimed, and nothing; it asks again.
    got = [job.id for job in claimed if job]
    while job := await store.claim("last"):
        got.append(job.id)
    assert len(got) == len(set(got))
    assert set(got) == ids


async def test_an_id_that_a_database_cannot_hold_is_nobodys(store: JobStore) -> None:
    assert await store.get("job-\0", "") is None
    assert await store.cancel("job-\0", "") is None


async def test_a_job_ends_once(store: JobStore) -> None:
    await queue(store)
    job = await claim_job(store, "me")
    assert await store.finish(job, SUCCEEDED, result={"summary": "ü\u2028"})
    assert not await store.finish(job, FAILED, error={"status": 500})
    found = await store.get(job.id, "")
    assert found is not None
    assert (found.state, found.result, found.error) == (SUCCEEDED, {"summary": "ü\u2028"}, None)
    assert found.finished is not None
    assert found.expires == pytest.approx(found.finished + 60)


async def test_who_lost_the_lease_writes_nothing(store: JobStore) -> None:
    await queue(store)
    slow = await claim_job(store, "slow")
    assert await store.requeue_expired(await store.active_leases(), 3, {}) == 1
    quick = await claim_job(store, "quick")
    assert (quick.id, quick.attempt) == (slow.id, 2)
    assert not await store.renew(slow)
    assert not await store.finish(slow, SUCCEEDED, result={"by": "slow"})
    await store.release(slow, counts=True)
    assert await store.renew(quick, stage="merge", done=1, of=2)
    assert await store.finish(quick, SUCCEEDED, result={"by": "quick"})
    found = await store.get(slow.id, "")
    assert found is not None
    assert found.result == {"by": "quick"}


async def test_a_lease_that_was_renewed_since_it_was_looked_at_is_not_queued_again(store: JobStore) -> None:
    await queue(store)
    job = await claim_job(store, "me")
    seen = await store.active_leases()
    await store.renew(job, stage="windows", done=3, of=9)
    assert await store.requeue_expired(seen, 3, {}) == 0
    found = await store.get(job.id, "")
    assert found is not None
    assert (found.state, found.stage, found.done, found.of) == (RUNNING, "windows", 3, 9)


async def test_a_worker_that_only_slept_goes_on_with_its_job_if_nobody_has_claimed_it(store: JobStore) -> None:
    await queue(store)
    job = await claim_job(store, "sleeper")
    assert await store.requeue_expired(await store.active_leases(), 3, {}) == 1
    assert await store.renew(job, stage="merge")
    assert await store.claim("another") is None, "it is held again, and not done twice"
    found = await store.get(job.id, "")
    assert found is not None
    assert (found.state, found.attempt, found.leased_by) == (RUNNING, 1, "sleeper")
    assert await store.requeue_expired(await store.active_leases(), 3, {}) == 1
    assert await store.finish(job, SUCCEEDED, result={"by": "sleeper"}), "also where it wakes up with the work done"


async def test_a_fence_tells_two_claims_of_one_worker_apart(store: JobStore) -> None:
    await queue(store)
    first = await claim_job(store, "me")
    await store.release(first, counts=False)
    assert not await store.renew(first), "who has given a job back does not hold it any more"
    second = await claim_job(store, "me")
    assert (second.id, second.attempt, second.leased_by) == (first.id, first.attempt, first.leased_by)
    assert not await store.renew(first)
    assert not await store.finish(first, FAILED, error={"status": 500})
    assert await store.finish(second, SUCCEEDED, result={})


async def test_a_long_queue_of_one_caller_holds_up_nobody_else(store: JobStore) -> None:
    many = [await queue(store, caller="many") for _ in range(3)]
    one = await queue(store, caller="one")
    assert [(await claim_job(store, "me")).id for _ in range(4)] == [many[0], one, many[1], many[2]]


@pytest.mark.parametrize("state", [QUEUED, RUNNING, SUCCEEDED])
async def test_a_deleted_job_is_gone_with_its_webhook(store: JobStore, state: str) -> None:
    id_ = await queue(store, webhook="http://example.org/", owner="anna")
    job = await claim_job(store, "me") if state != QUEUED else None
    if job and state == SUCCEEDED:
        await store.finish(job, SUCCEEDED, result={})
    assert await store.delete(id_, "bob") is None
    deleted = await store.delete(id_, "anna")
    assert deleted is not None
    assert deleted.blob == "blob"
    assert await store.get(id_, "anna") is None
    assert await deliveries(store) == []
    assert await store.delete(id_, "anna") is None
    if job:
        assert not await store.renew(job)
        assert not await store.finish(job, SUCCEEDED, result={})


async def test_a_job_at_which_services_die_fails_in_the_end(store: JobStore) -> None:
    await queue(store, webhook="http://example.org/")
    for attempt in (1, 2):
        job = await claim_job(store, "doomed")
        assert job.attempt == attempt
        assert await store.requeue_expired(await store.active_leases(), 2, {"status": 500, "body": {}}) == 1
    assert await store.claim("me") is None
    found = await store.get(job.id, "")
    assert found is not None
    assert (found.state, found.error) == (FAILED, {"status": 500, "body": {}})
    assert [row["body"] for row in await deliveries(store)] == [f"{job.id} failed"]


async def test_what_is_given_back_when_the_service_stops_is_no_try(store: JobStore) -> None:
    await queue(store)
    for counts, after in ((False, 0), (True, 1)):
        job = await claim_job(store, "me")
        await store.release(job, counts=counts)
        found = await store.get(job.id, "")
        assert found is not None
        assert (found.state, found.attempt, found.leased_by) == (QUEUED, after, None)


@pytest.mark.parametrize("running", [False, True])
async def test_cancelling_ends_it_and_tells_once(store: JobStore, running: bool) -> None:
    id_ = await queue(store, webhook="http://example.org/")
    job = await claim_job(store, "me") if running else None
    for _ in range(2):
        found = await store.cancel(id_, "")
        assert found is not None
        assert found.state == CANCELLED
    if job:
        assert not await store.renew(job)
        assert not await store.finish(job, SUCCEEDED, result={})
    assert [row["body"] for row in await deliveries(store)] == [f"{id_} cancelled"]


async def test_nobody_sees_or_cancels_what_is_anothers(store: JobStore) -> None:
    id_ = await queue(store, owner="anna")
    assert await store.get(id_, "bob") is None
    assert await store.cancel(id_, "bob") is None
    assert await store.page("bob", None, None, 10) == []
    mine = await store.get(id_, "anna")
    assert mine is not None
    assert mine.state == QUEUED


async def test_pages_hold_every_job_once_even_of_one_moment(store: JobStore) -> None:
    ids = {await queue(store, created=5.0) for _ in range(7)} | {await queue(store, created=n) for n in range(3)}
    seen: list[Job] = []
    while page := await store.page("", None, seen[-1] if seen else None, 4):
        seen += page
    assert len(seen) == 10
    assert {job.id for job in seen} == ids
    assert [job.created for job in seen] == sorted((job.created for job in seen), reverse=True)
    await store.cancel(seen[0].id, "")
    assert [job.id for job in await store.page("", CANCELLED, None, 4)] == [seen[0].id]


async def test_what_is_over_is_forgotten_but_not_before_its_webhook_is_settled(database: AsyncEngine) -> None:
    store = JobStore(database, retention_s=-1, webhook_body=lambda _: "")
    await queue(store)
    untold = await queue(store, webhook="http://example.org/", created=time.time() + 1)
    waiting = await queue(store, created=time.time() + 2)
    for _ in range(2):
        assert await store.finish(await claim_job(store, "me"), SUCCEEDED, result={})
    assert await store.delete_expired() == 1
    assert {job.id for job in await store.page("", None, None, 9)} == {untold, waiting}


async def test_recordings_of_jobs_that_wait_or_run_are_needed(store: JobStore) -> None:
    for blob in "abc":
        await queue(store, blob=blob)
    for _ in range(2):
        job = await claim_job(store, "me")
    await store.finish(job, SUCCEEDED, result={})
    assert await store.needed_blobs() == {"a", "c"}


async def claim_job(store: JobStore, worker: str) -> Any:
    job = await store.claim(worker)
    assert job is not None
    return job
