"""Slots are counted, refused when none is free, and released whatever happens."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.admission.controller import AdmissionController, RequestSlot
from app.admission.throughput import Throughput
from app.core.errors import TooManyRequests, Unavailable
from tests.app.running_service import settings_for


@contextmanager
def acquired_slot(admission: AdmissionController, client: str) -> Iterator[RequestSlot]:
    """A place whose recording has arrived."""
    with admission.request_slot(client) as place:
        place.acquire()
        yield place


def test_an_upload_takes_no_place() -> None:
    admission = AdmissionController(
        settings_for(engine={"max_num_seqs": 1}, limits={"max_waiting": 0, "client_concurrency": 1})
    )
    with admission.request_slot("a") as first, admission.request_slot("a") as second:
        assert admission.active_requests == 0
        first.acquire()
        with pytest.raises(TooManyRequests):  # what it was told when it came is no longer so
            second.acquire()
        with pytest.raises(Unavailable) as refused, admission.request_slot("b"):
            pass
        assert refused.value.code == "queue_full"
    assert (admission.active_requests, admission.requests_by_client) == (0, {})
    assert admission.uploads.in_progress == {}


def test_capacity_is_the_engine_and_the_queue() -> None:
    admission = AdmissionController(settings_for(engine={"max_num_seqs": 1}, limits={"max_waiting": 1}))
    with acquired_slot(admission, "a"), acquired_slot(admission, "a"):
        with pytest.raises(Unavailable) as refused, acquired_slot(admission, "b"):
            pass
        assert refused.value.retry_after_s == 5
        assert admission.active_requests == 2
    with acquired_slot(admission, "b"):
        assert admission.active_requests == 1
    assert admission.active_requests == 0


def test_no_queue_at_all_is_possible() -> None:
    admission = AdmissionController(settings_for(engine={"max_num_seqs": 1}, limits={"max_waiting": 0}))
    with acquired_slot(admission, "a"), pytest.raises(Unavailable), acquired_slot(admission, "a"):
        pass


def test_clients_are_counted_apart() -> None:
    admission = AdmissionController(settings_for(limits={"client_concurrency": 1}))
    with (
        acquired_slot(admission, "a"),
        acquired_slot(admission, "b"),
        pytest.raises(TooManyRequests),
        acquired_slot(admission, "a"),
    ):
        pass
    assert admission.requests_by_client == {}


def test_everything_is_given_back_after_an_error() -> None:
    admission = AdmissionController(settings_for(limits={"held_bytes": 100}))

    def hold_too_much() -> None:
        with acquired_slot(admission, "a") as place:
            place.add_bytes(60)
            place.add_bytes(41)

    with pytest.raises(Unavailable, match="HELD_BYTES"):
        hold_too_much()
    assert (admission.active_requests, admission.held_bytes, admission.requests_by_client) == (0, 0, {})


def test_bytes_are_released_once() -> None:
    admission = AdmissionController(settings_for())
    with acquired_slot(admission, "a") as place:
        place.add_bytes(10)
        place.release_bytes()
        place.release_bytes()
        assert admission.held_bytes == 0
    assert admission.held_bytes == 0


def test_seconds_of_audio_are_bounded_over_all_requests() -> None:
    admission = AdmissionController(settings_for(limits={"queued_audio_seconds": 100}))
    with acquired_slot(admission, "a") as first:
        first.reserve_audio(500)  # alone it is never too much
        with pytest.raises(Unavailable, match="QUEUED_AUDIO_SECONDS") as refused, acquired_slot(admission, "b"):
            pass
        assert (refused.value.code, refused.value.retry_after_s) == ("audio_queue_full", 5)
    with acquired_slot(admission, "a") as first, acquired_slot(admission, "b") as second:
        first.reserve_audio(60)
        with pytest.raises(Unavailable):
            second.reserve_audio(41)
        second.reserve_audio(40)
        assert admission.audio_seconds == 100
    assert (admission.audio_seconds, admission.active_recordings) == (0, 0)


def test_the_refusal_says_when_there_will_be_room() -> None:
    admission = AdmissionController(settings_for(limits={"queued_audio_seconds": 100}))
    now = 0.0
    admission.throughput = Throughput(lambda: now)
    with acquired_slot(admission, "a") as place:
        place.reserve_audio(80)
        now = 4.0
    assert admission.throughput.rate == 20
    with acquired_slot(admission, "a") as first, acquired_slot(admission, "b") as second:
        first.reserve_audio(90)
        with pytest.raises(Unavailable) as refused:
            second.reserve_audio(70)
    assert refused.value.retry_after_s == 60 / 20


def test_what_failed_tells_nothing_of_the_pace() -> None:
    admission = AdmissionController(settings_for())

    def fail() -> None:
        with acquired_slot(admission, "a") as place:
            place.reserve_audio(10)
            raise Unavailable("x", code="x")

    with pytest.raises(Unavailable):
        fail()
    assert admission.throughput.rate is None
    assert admission.active_recordings == 0
