"""Who is taken for dead, by a clock that tests set."""

import pytest

from app.jobs.leases import RENEWALS_PER_LEASE, LeaseWatch

LEASE_S = 30.0
BEAT_S = LEASE_S / RENEWALS_PER_LEASE


class Clock:
    """A monotonic clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(clock: Clock) -> LeaseWatch[str]:
    return LeaseWatch(LEASE_S, clock)


def test_who_renews_nothing_for_the_length_of_a_lease_is_dead(watch: LeaseWatch[str], clock: Clock) -> None:
    assert watch.expired_leases({"dead": 1, "alive": 1}) == []
    for beat in range(1, RENEWALS_PER_LEASE):
        clock.now += BEAT_S
        assert watch.expired_leases({"dead": 1, "alive": 1 + beat}) == []
    clock.now += BEAT_S
    assert watch.expired_leases({"dead": 1, "alive": 9}) == ["dead"]


def test_a_watcher_that_was_suspended_takes_nobody_for_dead_when_it_wakes(watch: LeaseWatch[str], clock: Clock) -> None:
    watch.expired_leases({"job": 1})
    clock.now += 100 * LEASE_S
    assert watch.expired_leases({"job": 1}) == [], "it may have slept together with the whole host"
    clock.now += BEAT_S
    assert watch.expired_leases({"job": 1}) == ["job"]


def test_one_that_was_claimed_anew_is_another_lease(watch: LeaseWatch[str], clock: Clock) -> None:
    for fence in range(2 * RENEWALS_PER_LEASE):
        assert watch.expired_leases({"job": (fence, 0)} if fence % 2 else {}) == []
        clock.now += BEAT_S
