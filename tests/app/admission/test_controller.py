"""Places are counted, refused when there are none, and given back whatever happens."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.admission.controller import Admission, Place
from app.admission.throughput import Pace
from app.core.errors import TooManyRequests, Unavailable
from tests.app.running_service import settings_for


@contextmanager
def taken(admission: Admission, client: str) -> Iterator[Place]:
    """A place whose recording has arrived."""
    with admission.place(client) as place:
        place.take()
        yield place


def test_an_upload_takes_no_place() -> None:
    admission = Admission(settings_for(engine={"max_num_seqs": 1}, limits={"max_waiting": 0, "client_concurrency": 1}))
    with admission.place("a") as first, admission.place("a") as second:
        assert admission.inside == 0
        first.take()
        with pytest.raises(TooManyRequests):  # what it was told when it came is no longer so
            second.take()
        with pytest.raises(Unavailable) as refused, admission.place("b"):
            pass
        assert refused.value.code == "queue_full"
    assert (admission.inside, admission.clients) == (0, {})
    assert admission.uploads.in_progress == {}


def test_capacity_is_the_engine_and_the_queue() -> None:
    admission = Admission(settings_for(engine={"max_num_seqs": 1}, limits={"max_waiting": 1}))
    with taken(admission, "a"), taken(admission, "a"):
        with pytest.raises(Unavailable) as refused, taken(admission, "b"):
            pass
        assert refused.value.retry_after_s == 5
        assert admission.inside == 2
    with taken(admission, "b"):
        assert admission.inside == 1
    assert admission.inside == 0


def test_no_queue_at_all_is_possible() -> None:
    admission = Admission(settings_for(engine={"max_num_seqs": 1}, limits={"max_waiting": 0}))
    with taken(admission, "a"), pytest.raises(Unavailable), taken(admission, "a"):
        pass


def test_clients_are_counted_apart() -> None:
    admission = Admission(settings_for(limits={"client_concurrency": 1}))
    with taken(admission, "a"), taken(admission, "b"), pytest.raises(TooManyRequests), taken(admission, "a"):
        pass
    assert admission.clients == {}


def test_everything_is_given_back_after_an_error() -> None:
    admission = Admission(settings_for(limits={"held_bytes": 100}))

    def hold_too_much() -> None:
        with taken(admission, "a") as place:
            place.hold(60)
            place.hold(41)

    with pytest.raises(Unavailable, match="HELD_BYTES"):
        hold_too_much()
    assert (admission.inside, admission.held_bytes, admission.clients) == (0, 0, {})


def test_bytes_are_released_once() -> None:
    admission = Admission(settings_for())
    with taken(admission, "a") as place:
        place.hold(10)
        place.release()
        place.release()
        assert admission.held_bytes == 0
    assert admission.held_bytes == 0


def test_seconds_of_audio_are_bounded_over_all_requests() -> None:
    admission = Admission(settings_for(limits={"queued_audio_seconds": 100}))
    with taken(admission, "a") as first:
        first.admit(500)  # alone it is never too much
        with pytest.raises(Unavailable, match="QUEUED_AUDIO_SECONDS") as refused, taken(admission, "b"):
            pass
        assert (refused.value.code, refused.value.retry_after_s) == ("audio_queue_full", 5)
    with taken(admission, "a") as first, taken(admission, "b") as second:
        first.admit(60)
        with pytest.raises(Unavailable):
            second.admit(41)
        second.admit(40)
        assert admission.audio_seconds == 100
    assert (admission.audio_seconds, admission.recordings) == (0, 0)


def test_the_refusal_says_when_there_will_be_room() -> None:
    admission = Admission(settings_for(limits={"queued_audio_seconds": 100}))
    now = 0.0
    admission.pace = Pace(lambda: now)
    with taken(admission, "a") as place:
        place.admit(80)
        now = 4.0
    assert admission.pace.rate == 20
    with taken(admission, "a") as first, taken(admission, "b") as second:
        first.admit(90)
        with pytest.raises(Unavailable) as refused:
            second.admit(70)
    assert refused.value.retry_after_s == 60 / 20


def test_what_failed_tells_nothing_of_the_pace() -> None:
    admission = Admission(settings_for())

    def fail() -> None:
        with taken(admission, "a") as place:
            place.admit(10)
            raise Unavailable("x", code="x")

    with pytest.raises(Unavailable):
        fail()
    assert admission.pace.rate is None
    assert admission.recordings == 0
