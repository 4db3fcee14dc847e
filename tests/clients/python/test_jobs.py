"""Jobs: against the real service, and against a stand-in that is away for a while."""

import json
from typing import Any

import pytest
from speechsum_client import (
    Conflict,
    ConnectionFailed,
    JobCancelled,
    JobFailed,
    JobInfo,
    JobNotEnded,
    NotFound,
    RetryPolicy,
    Unauthorized,
    Unprocessable,
)

from app.core import errors
from tests.app.running_service import Site, wav
from tests.clients.python.conftest import KEYS, Connect
from tests.clients.python.faulty_server import JOB, SUMMARY, answer, cut_answer, error, events, fail

TEXT = "A scripted summary of what was said."
RUNNING = {**JOB, "state": "running", "progress": {"stage": "decode"}}
SUCCEEDED = {**JOB, "state": "succeeded", "summary": SUMMARY}


def test_a_job_is_waited_for(service: Any) -> None:
    job = service.create_job(wav(), style="minutes")
    assert job.state in ("queued", "running")
    summary = job.wait(timeout=60)
    assert (summary.summary, summary.style.style) == (TEXT, "minutes")
    assert (job.state, job.info.is_final, job.info.model_extra) == ("succeeded", True, {})
    assert service.job(job.id).wait() == job.result() == summary


def test_a_job_is_watched(service: Any) -> None:
    job = service.create_job(wav())
    states = [info.state for info in job.events()]
    assert states[-1] == "succeeded"
    assert (job.state, job.info.summary.summary) == ("succeeded", TEXT)


def test_jobs_of_a_key_are_listed_page_by_page(service: Any, site: Site, connect: Connect) -> None:
    made = [service.create_job(wav()).id for _ in range(3)]
    assert [job.id for job in service.jobs(page_size=2)][:3] == made[::-1]
    for id_ in made:
        service.job(id_).wait(timeout=60)
    assert {job.state for job in service.jobs(state="succeeded")} == {"succeeded"}
    assert list(service.jobs(state="failed")) == []
    other = connect(f"http://127.0.0.1:{site.port}", KEYS[1])
    assert list(other.jobs()) == []
    with pytest.raises(NotFound):
        other.job(made[0])
    with pytest.raises(Unauthorized):
        list(connect(f"http://127.0.0.1:{site.port}").jobs())


def test_a_job_is_cancelled_and_deleted(service: Any, site: Site) -> None:
    site.engine.prefill_s = 30
    try:
        job = service.create_job(wav())
        with pytest.raises(JobNotEnded) as late:
            job.wait(timeout=0.3)
        assert late.value.job.state in ("queued", "running")
        assert job.cancel().state == "cancelled"
    finally:
        site.engine.prefill_s = 0.0
    with pytest.raises(JobCancelled):
        job.wait()
    with pytest.raises(Conflict, match="cancelled"):
        job.result()
    job.delete()
    with pytest.raises(NotFound) as gone:
        job.refresh()
    assert gone.value.code == "job_not_found"


def test_a_job_that_failed_says_why(service: Any, site: Site) -> None:
    site.decoder.error = errors.Unprocessable("It is damaged.", code="undecodable_audio", param="file")
    try:
        job = service.create_job(wav())
        with pytest.raises(JobFailed) as raised:
            job.wait(timeout=60)
    finally:
        site.decoder.error = None
    assert (raised.value.code, raised.value.param, raised.value.message) == (
        "undecodable_audio", "file", "It is damaged.",
    )  # fmt: skip
    assert raised.value.job.state == "failed"
    with pytest.raises(Unprocessable, match="It is damaged"):  # as `summarize` would have raised it
        job.result()


def test_the_same_key_makes_one_job(service: Any) -> None:
    key = f"a job of {id(service)}"
    assert service.create_job(wav(), idempotency_key=key).id == service.create_job(wav(), idempotency_key=key).id


def test_polling_backs_off_and_honours_retry_after(connect: Connect, waits: list[float]) -> None:
    steps = [answer(200, JOB, retry_after="5"), *[answer(200, RUNNING)] * 8, answer(200, SUCCEEDED)]
    changes: list[JobInfo] = []
    with fail(answer(202, JOB), *steps) as server:
        job = connect(server.url).create_job(b"x")
        assert job.wait(on_change=changes.append).summary == "Anna pays."
        assert len(server.received) == 11
    assert [info.state for info in changes] == ["running", "succeeded"]
    assert waits[0] == 5
    assert all(earlier < later for earlier, later in zip(waits[1:-1:2], waits[2::2], strict=False))
    assert waits[-1] <= 10


def test_a_wait_outlives_a_restart_of_the_service(connect: Connect, waits: list[float]) -> None:
    away = [cut_answer, cut_answer, error(503, "not_ready", retry_after="5"), answer(502, b"no upstream")]
    with fail(answer(202, JOB), *away, answer(200, SUCCEEDED)) as server:
        job = connect(server.url, retry=RetryPolicy(retries=0)).create_job(b"x")
        assert job.wait().summary == "Anna pays."
    assert waits[2] >= 5


def test_a_wait_ends_if_a_repeat_cannot_help(connect: Connect, waits: list[float]) -> None:
    with fail(answer(202, JOB), error(404, "job_not_found")) as server:
        job = connect(server.url).create_job(b"x")
        with pytest.raises(NotFound):
            job.wait()
    assert waits == []


def test_events_go_on_after_the_last_one(connect: Connect, waits: list[float]) -> None:
    first = events(b"retry: 2000\n\n", b'id: a1\ndata: {"id": "job-1", "state": "queued", "created": 1, ', b"")
    lines = [f"id: {id_}\ndata: ".encode() for id_ in ("a1", "b2", "end")]
    queued, running, ended = (
        line + json.dumps(data).encode() + b"\n\n" for line, data in zip(lines, (JOB, RUNNING, SUCCEEDED), strict=True)
    )
    stopping = events(b"retry: 2000\n\n", queued, b"retry: 5000\n\n")
    with fail(answer(202, JOB), first, stopping, answer(502), events(running, ended, done=True)) as server:
        found = list(connect(server.url).create_job(b"x").events())
        assert [info.state for info in found] == ["queued", "running", "succeeded"]
        assert [one.header("last-event-id") for one in server.received[1:]] == [None, None, "a1", "a1"]
    assert waits[0] >= 2
    assert waits[1] >= 5


def test_events_end_where_the_service_says_so(connect: Connect, waits: list[float]) -> None:
    with fail(answer(202, JOB), answer(204), answer(202, JOB), events(done=True)) as server:
        for _ in range(2):
            assert list(connect(server.url).create_job(b"x").events()) == []
    assert waits == []


def test_events_that_only_break_off_come_to_an_end(connect: Connect, waits: list[float]) -> None:
    with fail(answer(202, JOB), *[events()] * 9) as server, pytest.raises(ConnectionFailed):
        list(connect(server.url, retry=RetryPolicy(retries=2)).create_job(b"x").events())
    assert len(waits) == 2


def test_signs_of_life_keep_the_events_going(connect: Connect, waits: list[float]) -> None:
    alive = events(b": keep-alive\n\n")
    ended = events(b"id: end\ndata: " + json.dumps(SUCCEEDED).encode() + b"\n\n", done=True)
    with fail(answer(202, JOB), *[alive] * 6, ended) as server:
        found = list(connect(server.url, retry=RetryPolicy(retries=1)).create_job(b"x").events())
    assert [info.state for info in found] == ["succeeded"]
    assert len(waits) == 6
