"""Which hosts are left alone, and for how long."""

import pytest

from app.jobs.host_backoff import FAILURE_MEMORY_SECONDS, MAX_BACKOFF_SECONDS, MAX_HOSTS, HostBackoff
from tests.app.jobs.test_leases import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


def fail_attempt(hosts: HostBackoff, host: str) -> None:
    hosts.start_attempt(host)
    hosts.end_attempt(host, answered=False)


def test_a_host_gets_so_many_tries_at_once_and_others_are_not_counted(clock: Clock) -> None:
    hosts = HostBackoff([5], per_host=2, now=clock)
    hosts.start_attempt("a")
    assert hosts.hosts_to_skip() == []
    hosts.start_attempt("a")
    hosts.start_attempt("b")
    assert hosts.hosts_to_skip() == ["a"]
    hosts.end_attempt("a", answered=True)
    assert hosts.hosts_to_skip() == []


def test_each_failure_in_a_row_makes_the_pause_longer_up_to_the_most(clock: Clock) -> None:
    hosts = HostBackoff([5, 20, 7200], per_host=2, now=clock)
    for pause_s in (5, 20, MAX_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS):
        fail_attempt(hosts, "a")
        assert hosts.next_retry_s() == pause_s
        assert hosts.hosts_to_skip() == hosts.paused_hosts() == ["a"]
        clock.now += pause_s
        assert hosts.hosts_to_skip() == []
        assert hosts.next_retry_s() is None
    hosts.start_attempt("a")
    assert hosts.hosts_to_skip() == ["a"], "after a failure one try at a time finds out"
    hosts.end_attempt("a", answered=True)
    fail_attempt(hosts, "a")
    assert hosts.next_retry_s() == 5, "an answer ends the row"


def test_without_delays_there_is_no_pause(clock: Clock) -> None:
    hosts = HostBackoff([], per_host=1, now=clock)
    fail_attempt(hosts, "a")
    assert hosts.hosts_to_skip() == []


def test_no_more_hosts_are_remembered_than_there_is_room_for(clock: Clock) -> None:
    hosts = HostBackoff([5], per_host=1, now=clock)
    for number in range(MAX_HOSTS + 10):
        fail_attempt(hosts, f"host-{number}")
        clock.now += 0.001
    assert len(hosts.paused_hosts()) == MAX_HOSTS
    clock.now += FAILURE_MEMORY_SECONDS + 10
    fail_attempt(hosts, "late")
    clock.now -= 1
    assert hosts.paused_hosts() == ["late"]
