"""What the clients do when the service, or the way to it, fails at any step. No request comes twice without its key."""

import httpx
import pytest
from speechsum_client import (
    Conflict,
    ConnectionFailed,
    DeltaEvent,
    InvalidAnswer,
    NotFound,
    RestartEvent,
    RetryPolicy,
    ServiceError,
    Summary,
    TimedOut,
    TooManyRequests,
    Unavailable,
    client,
)

from tests.clients.python.conftest import Connect
from tests.clients.python.faulty_server import (
    JOB,
    SUMMARY,
    FaultyServer,
    Step,
    answer,
    cut_answer,
    cut_upload,
    delta,
    error,
    events,
    fail,
    final,
    start_to_listen,
    stay_silent,
    summary,
)

RECORDING = bytes(range(256)) * 4096  # a megabyte, so that an upload can be cut


def check_same_request(server: FaultyServer, tries: int) -> None:
    """Every try came with the same key, and every whole one with the whole recording."""
    assert len(server.received) == tries
    assert len({one.line for one in server.received}) == 1
    keys = {one.key for one in server.received}
    assert len(keys) == 1
    assert len(keys.pop() or "") >= 32
    whole = [one for one in server.received if len(one.content) == int(one.header("content-length") or 0)]
    assert server.received[-1] in whole
    assert all(RECORDING in one.content for one in whole)


@pytest.mark.parametrize(
    "fault",
    [
        cut_upload,
        cut_answer,
        error(429, "too_many_requests", retry_after="3"),
        error(503, "queue_full", retry_after="3"),
        error(409, "idempotency_in_flight", retry_after="3"),
        answer(502, b"<html>bad gateway</html>"),
        answer(503, b"no upstream"),
    ],
    ids=["upload", "answer", "429", "503", "409", "502 of a proxy", "503 of a proxy"],
)
def test_a_fault_that_passes_is_outlived(fault: Step, connect: Connect, waits: list[float]) -> None:
    with fail(fault, fault, summary()) as server:
        assert connect(server.url).summarize(RECORDING).summary == "Anna pays."
        check_same_request(server, 3)
    assert len(waits) == 2


def test_a_refused_connection_is_tried_again(
    connect: Connect, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    with fail(summary(), listen=False) as server:

        class Backoff(RetryPolicy):
            """Starts the server at the second refusal."""

            def backoff_s(self, repeats: int) -> float:
                if repeats == 1:
                    start_to_listen(server)
                return super().backoff_s(repeats)

        assert connect(server.url, retry=Backoff()).summarize(RECORDING).summary == "Anna pays."
        check_same_request(server, 1)
    assert len(waits) == 2


def test_retry_after_is_a_lower_bound(connect: Connect, waits: list[float]) -> None:
    steps = [
        error(503, "queue_full", retry_after="7"),
        error(503, "queue_full", retry_after="1", retry_after_ms="250"),
        error(503, "queue_full", retry_after="Thu, 01 Jan 1970 00:00:00 GMT"),
    ]
    with fail(*steps, summary()) as server:
        connect(server.url).summarize(RECORDING)
    assert 7 <= waits[0] <= 7.7
    assert 0.25 <= waits[1] <= 0.275
    assert waits[2] == 0


def test_the_waits_grow_are_bounded_and_differ(connect: Connect, waits: list[float]) -> None:
    policy = RetryPolicy(retries=7, first_wait_s=1, longest_wait_s=8)
    with fail(*[cut_upload] * 8) as server, pytest.raises(ConnectionFailed):
        connect(server.url, retry=policy).summarize(RECORDING)
    for wait_s, longest in zip(waits, [1, 2, 4, 8, 8, 8, 8], strict=True):
        assert longest / 2 <= wait_s <= longest
    assert len(set(waits)) == len(waits)


def test_the_tries_come_to_an_end(connect: Connect, waits: list[float]) -> None:
    fault = error(503, "queue_full", retry_after="1")
    with fail(*[fault] * 9) as server:
        with pytest.raises(Unavailable) as raised:
            connect(server.url, retry=RetryPolicy(retries=2)).summarize(RECORDING)
        check_same_request(server, 3)
    assert (raised.value.code, raised.value.retry_after_s) == ("queue_full", 1)
    assert len(waits) == 2


def test_the_end_of_the_first_try_is_waited_for(connect: Connect, waits: list[float]) -> None:
    # The connection was lost, and the service, behind a proxy, has not noticed and still works.
    at_work = error(409, "idempotency_in_flight", retry_after="1")
    with fail(cut_answer, *[at_work] * 9, summary()) as server:
        assert connect(server.url, retry=RetryPolicy(retries=1)).summarize(RECORDING).summary == "Anna pays."
        check_same_request(server, 11)
    assert all(1 <= wait_s <= 8 for wait_s in waits[1:])
    assert waits[-1] > 2
    for policy in (RetryPolicy(longest_in_flight_s=0), RetryPolicy(retries=0)):
        with fail(at_work) as server, pytest.raises(Conflict):
            connect(server.url, retry=policy).summarize(RECORDING)


def test_a_long_retry_after_is_left_to_the_caller(connect: Connect, waits: list[float]) -> None:
    with fail(error(429, "quota_exceeded", retry_after="3600")) as server:
        with pytest.raises(TooManyRequests) as raised:
            connect(server.url).summarize(RECORDING)
        check_same_request(server, 1)
    assert raised.value.retry_after_s == 3600
    assert waits == []


@pytest.mark.parametrize(("status", "code"), [(500, "internal_error"), (503, "engine_dead"), (429, "quota_exceeded")])
def test_what_no_repeat_can_help_is_raised_at_once(
    status: int, code: str, connect: Connect, waits: list[float]
) -> None:
    with fail(error(status, code)) as server:
        with pytest.raises(ServiceError) as raised:
            connect(server.url).summarize(RECORDING)
        check_same_request(server, 1)
    assert (raised.value.status, raised.value.code, raised.value.request_id) == (status, code, "req_1")
    assert "req_1" in str(raised.value)
    assert waits == []


@pytest.mark.parametrize(
    "body", [b"<html>Welcome</html>", b'{"id": "sum-1"}', b"[]", b""], ids=["html", "fields", "list", "empty"]
)
def test_an_answer_that_is_none_is_told(body: bytes, connect: Connect, waits: list[float]) -> None:
    with fail(answer(200, body, x_request_id="req_2")) as server:
        with pytest.raises(InvalidAnswer) as raised:
            connect(server.url).summarize(RECORDING)
        check_same_request(server, 1)
    assert (raised.value.status, raised.value.request_id) == (200, "req_2")
    assert waits == []


def test_a_page_of_a_proxy_is_a_service_error_with_its_status(connect: Connect, waits: list[float]) -> None:
    with fail(answer(413, b"<html>too large</html>")) as server, pytest.raises(ServiceError) as raised:
        connect(server.url).summarize(RECORDING)
    assert (raised.value.status, raised.value.code) == (413, "status_413")
    assert "too large" in str(raised.value)


def test_a_redirect_names_the_new_place(connect: Connect, waits: list[float]) -> None:
    moved = answer(308, location="https://elsewhere.example")
    with fail(moved) as server, pytest.raises(ServiceError, match="has moved to https://elsewhere"):
        connect(server.url).summarize(RECORDING)
    assert waits == []


def test_a_slow_answer_times_out_and_is_not_asked_for_again(connect: Connect, waits: list[float]) -> None:
    with fail(stay_silent) as server:
        with pytest.raises(TimedOut):
            connect(server.url, timeout=0.2).summarize(RECORDING)
        check_same_request(server, 1)
    assert waits == []


def test_a_quick_answer_that_does_not_come_is_asked_for_again(connect: Connect, waits: list[float]) -> None:
    with fail(stay_silent, answer(200, {"data": []})) as server:
        assert connect(server.url, idle_timeout=0.2).models() == []
        assert [one.line for one in server.received] == ["GET /v1/models"] * 2
    assert len(waits) == 1


def test_the_key_of_the_caller_is_the_key(connect: Connect, waits: list[float]) -> None:
    with fail(cut_answer, summary(), summary()) as server:
        one = connect(server.url)
        one.summarize(RECORDING, idempotency_key="monday-meeting-of-the-board-number-1")
        one.summarize(RECORDING)
    first, again, other = (request.key for request in server.received)
    assert first == again == "monday-meeting-of-the-board-number-1"
    assert other not in (None, first)


def test_a_question_and_a_job_have_keys_too(connect: Connect, waits: list[float]) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Anna."}, "finish_reason": "stop"}
    chat = {"id": "1", "created": 1, "model": "m", "choices": [choice], "usage": SUMMARY["usage"], "speechsum": SUMMARY}
    with fail(cut_upload, cut_answer, answer(200, chat), cut_answer, answer(202, JOB)) as server:
        one = connect(server.url)
        assert one.ask(RECORDING, "Who pays?").text == "Anna."
        assert one.create_job(RECORDING).id == "job-1"
    questions, jobs = server.received[:3], server.received[3:]
    assert {one.line for one in questions} == {"POST /v1/chat/completions"}
    assert {one.line for one in jobs} == {"POST /v1/audio/summaries/jobs"}
    for requests in (questions, jobs):
        assert len({one.key for one in requests}) == 1
        assert requests[0].key
    assert questions[0].key != jobs[0].key
    assert questions[1].content == questions[2].content


STREAMS = {
    "an equal text is handed out once": (
        [events(delta("Anna "), delta("pa")), events(delta("Anna pays"), delta("."), final(), done=True)],
        ["Anna ", "pa", "ys", "."],
    ),
    "it breaks off before the first piece": (
        [events(), events(delta("Anna pays."), final(), done=True)],
        ["Anna pays."],
    ),
    "it breaks off after the last piece": (
        [events(delta("Anna pays.")), events(delta("Anna pays."), final(), done=True)],
        ["Anna pays."],
    ),
    "another text voids the first": (
        [events(delta("Anna "), delta("owes")), events(delta("Anna "), delta("pays."), final(), done=True)],
        ["Anna ", "owes", RestartEvent("Anna owes"), "Anna pays."],
    ),
    "a shorter text voids the first": (
        [events(delta("Anna pays. All")), events(delta("Anna pays."), final(), done=True)],
        ["Anna pays. All", RestartEvent("Anna pays. All"), "Anna pays."],
    ),
    "twice": (
        [events(delta("A")), events(delta("An")), events(delta("Anna pays."), final(), done=True)],
        ["A", "n", "na pays."],
    ),
    "before the stream has begun": (
        [cut_upload, error(409, "idempotency_in_flight", retry_after="1"), events(delta("Anna pays."), final())],
        ["Anna pays."],
    ),
    "an event in the middle": (
        [events(b'data: {"object": "audio.summ'), events(delta("Anna pays."), final(), done=True)],
        ["Anna pays."],
    ),
}


@pytest.mark.parametrize("case", STREAMS, ids=list(STREAMS))
def test_a_stream_that_breaks_off_begins_again(case: str, connect: Connect, waits: list[float]) -> None:
    steps, expected = STREAMS[case]
    with fail(*steps) as server:
        *pieces, last = connect(server.url).summarize_stream(RECORDING)
        check_same_request(server, len(steps))
    assert [one.delta if isinstance(one, DeltaEvent) else one for one in pieces] == expected
    assert isinstance(last, Summary)
    assert last.summary == "Anna pays."
    assert len(waits) == len(steps) - 1


def test_a_silent_stream_has_lost_its_connection(connect: Connect, waits: list[float]) -> None:
    with fail(events(delta("Anna "), silent=True), events(delta("Anna pays."), final(), done=True)) as server:
        *pieces, last = connect(server.url, idle_timeout=0.2).summarize_stream(RECORDING)
        check_same_request(server, 2)
    assert [piece.delta for piece in pieces] == ["Anna ", "pays."]
    assert last.summary == "Anna pays."


def test_a_stream_is_not_begun_for_ever(connect: Connect, waits: list[float]) -> None:
    with fail(*[events(delta("Anna "))] * 9) as server:
        with pytest.raises(ConnectionFailed):
            list(connect(server.url, retry=RetryPolicy(retries=2)).summarize_stream(RECORDING))
        check_same_request(server, 3)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ({"error": {"message": "It cannot be read.", "type": "invalid_request_error", "code": "x"}}, ServiceError),
        (b"data: <html>\n\n", InvalidAnswer),
        (b"data: []\n\n", InvalidAnswer),
        ({"object": "audio.summary.delta"}, InvalidAnswer),
    ],
)
def test_an_error_in_a_stream_is_raised(
    data: object, kind: type[Exception], connect: Connect, waits: list[float]
) -> None:
    with fail(events(delta("Anna "), data, done=True)) as server:
        stream = connect(server.url).summarize_stream(RECORDING)
        assert next(stream).delta == "Anna "
        with pytest.raises(kind):
            next(stream)
        check_same_request(server, 1)
    assert waits == []


def test_events_of_a_later_service_are_skipped(connect: Connect) -> None:
    later = {"object": "audio.summary.mood", "mood": "calm"}
    with fail(events(later, b": a comment\n\n", delta("Anna pays."), {**final(), "mood": "calm"}, done=True)) as server:
        piece, last = connect(server.url).summarize_stream(RECORDING)
    assert (piece.delta, last.mood) == ("Anna pays.", "calm")


def test_what_is_no_stream_is_told(connect: Connect, waits: list[float]) -> None:
    with fail(summary()) as server, pytest.raises(InvalidAnswer):
        list(connect(server.url).summarize_stream(RECORDING))
    assert waits == []


def test_a_deletion_whose_answer_was_lost_is_one(connect: Connect, waits: list[float]) -> None:
    gone = error(404, "job_not_found")
    with fail(answer(202, JOB), cut_answer, gone, gone) as server:
        job = connect(server.url).create_job(RECORDING)
        job.delete()
        with pytest.raises(NotFound):
            job.delete()
    assert [one.line for one in server.received[1:]] == ["DELETE /v1/audio/summaries/jobs/job-1"] * 3


def test_an_address_that_is_none_is_refused(connect: Connect) -> None:
    for address in ("127.0.0.1:8000", "ftp://127.0.0.1", ""):
        with pytest.raises(ValueError, match="base_url"):
            connect(address)


def test_the_clients_of_httpx_are_the_callers(waits: list[float]) -> None:
    with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, json={"data": []}))) as http:
        with client.Client("https://example.org/speech/v1/", http=http) as one:
            assert one.models() == []
        assert not http.is_closed
