"""Places are counted, refused when there are none, and given back whatever happens."""

import pytest

from app.admission import Admission
from app.errors import TooManyRequests, Unavailable
from tests.app.site import settings_for


def test_capacity_is_the_engine_and_the_queue() -> None:
    admission = Admission(settings_for(engine={"max_num_seqs": 1}, limits={"max_waiting": 1}))
    with admission.place("a"), admission.place("a"):
        with pytest.raises(Unavailable) as refused, admission.place("b"):
            pass
        assert refused.value.retry_after_s == 5
        assert admission.inside == 2
    with admission.place("b"):
        assert admission.inside == 1
    assert admission.inside == 0


def test_no_queue_at_all_is_possible() -> None:
    admission = Admission(settings_for(engine={"max_num_seqs": 1}, limits={"max_waiting": 0}))
    with admission.place("a"), pytest.raises(Unavailable), admission.place("a"):
        pass


def test_clients_are_counted_apart() -> None:
    admission = Admission(settings_for(limits={"client_concurrency": 1}))
    with admission.place("a"), admission.place("b"), pytest.raises(TooManyRequests), admission.place("a"):
        pass
    assert admission.clients == {}


def test_everything_is_given_back_after_an_error() -> None:
    admission = Admission(settings_for(limits={"held_bytes": 100}))

    def hold_too_much() -> None:
        with admission.place("a") as place:
            place.hold(60)
            place.hold(41)

    with pytest.raises(Unavailable, match="HELD_BYTES"):
        hold_too_much()
    assert (admission.inside, admission.held_bytes, admission.clients) == (0, 0, {})


def test_bytes_are_released_once() -> None:
    admission = Admission(settings_for())
    with admission.place("a") as place:
        place.hold(10)
        place.release()
        place.release()
        assert admission.held_bytes == 0
    assert admission.held_bytes == 0
