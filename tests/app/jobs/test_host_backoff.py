"""Which hosts are left alone, and for how long."""

import pytest

from app.jobs.host_backoff import KEPT_SECONDS, MOST_HOSTS, MOST_PAUSE_SECONDS, HostBackoff
from tests.app.jobs.test_leases import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


def failed(hosts: HostBackoff, host: str) -> None:
    hosts.begin(host)
    hosts.end(host, answered=False)


def test_a_host_gets_so_many_tries_at_once_and_others_are_not_counted(clock: Clock) -> None:
    hosts = HostBackoff([5], per_host=2, now=clock)
    hosts.begin("a")
    assert hosts.closed() == []
    hosts.begin("a")
    hosts.begin("b")
    assert hosts.closed() == ["a"]
    hosts.end("a", answered=True)
    assert hosts.closed() == []


def test_each_failure_in_a_row_makes_the_pause_longer_up_to_the_most(clock: Clock) -> None:
    hosts = HostBackoff([5, 20, 7200], per_host=2, now=clock)
    for pause_s in (5, 20, MOST_PAUSE_SECONDS, MOST_PAUSE_SECONDS):
        failed(hosts, "a")
        assert hosts.next_opening_s() == pause_s
        assert hosts.closed() == hosts.paused() == ["a"]
        clock.now += pause_s
        assert hosts.closed() == []
        assert hosts.next_opening_s() is None
    hosts.begin("a")
    assert hosts.closed() == ["a"], "after a failure one try at a time finds out"
    hosts.end("a", answered=True)
    failed(hosts, "a")
    assert hosts.next_opening_s() == 5, "an answer ends the row"


def test_without_delays_there_is_no_pause(clock: Clock) -> None:
    hosts = HostBackoff([], per_host=1, now=clock)
    failed(hosts, "a")
    assert hosts.closed() == []


def test_no_more_hosts_are_remembered_than_there_is_room_for(clock: Clock) -> None:
    hosts = HostBackoff([5], per_host=1, now=clock)
    for number in range(MOST_HOSTS + 10):
        failed(hosts, f"host-{number}")
        clock.now += 0.001
    assert len(hosts.paused()) == MOST_HOSTS
    clock.now += KEPT_SECONDS + 10
    failed(hosts, "late")
    clock.now -= 1
    assert hosts.paused() == ["late"]
