"""Callers share the time, short work goes before long, and background work goes last but is not starved."""

import itertools

from app.workers.fair_scheduler import MAX_BACKGROUND_WAIT_S, FairScheduler, Requester, SchedulerEntry


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def first(scheduler: FairScheduler, *entries: SchedulerEntry) -> SchedulerEntry:
    return scheduler.sorted_entries(entries)[0]


def test_of_one_caller_what_took_least_goes_first_and_among_equals_the_smaller() -> None:
    scheduler = FairScheduler(Clock())
    long, large, small = (scheduler.add(Requester("a"), size) for size in (1, 9, 5))
    scheduler.charge(long, 3)
    assert scheduler.sorted_entries([long, large, small]) == [small, large, long]
    scheduler.charge(small, 100)
    assert first(scheduler, long, small) is long


def test_two_long_ones_do_not_take_turns_all_the_time() -> None:
    scheduler = FairScheduler(Clock())
    one, other = scheduler.add(Requester("a")), scheduler.add(Requester("a"))
    turns = []
    for _ in range(1000):
        entry = first(scheduler, one, other)
        scheduler.charge(entry, 0.05)
        turns.append(entry)
    assert sum(a is not b for a, b in itertools.pairwise(turns)) < 30
    assert 0.3 < turns.count(one) / 1000 < 0.7


def test_a_caller_with_many_requests_gets_no_more_than_one_with_one() -> None:
    scheduler = FairScheduler(Clock())
    greedy = [scheduler.add(Requester("greedy")) for _ in range(50)]
    modest = scheduler.add(Requester("modest"))
    for _ in range(400):
        scheduler.charge(first(scheduler, *greedy, modest), 0.05)
    assert 9 < modest.spent_s < 11


def test_who_was_away_has_saved_up_nothing_and_owes_nothing() -> None:
    scheduler = FairScheduler(Clock())
    steady, before = scheduler.add(Requester("steady")), scheduler.add(Requester("back"))
    scheduler.charge(before, 500)
    scheduler.remove(before)
    scheduler.charge(steady, 100)
    back = scheduler.add(Requester("back"))
    assert first(scheduler, steady, back) is back
    scheduler.charge(back, 1)
    assert first(scheduler, steady, back) is steady


def test_what_nobody_waits_for_goes_last_until_it_has_waited_long() -> None:
    clock = Clock()
    scheduler = FairScheduler(clock)
    job, request = scheduler.add(Requester("a", background=True)), scheduler.add(Requester("b"))
    scheduler.charge(request, 100)
    assert first(scheduler, job, request) is request
    clock.now += MAX_BACKGROUND_WAIT_S
    scheduler.charge(request, 100)
    assert first(scheduler, job, request) is job
    scheduler.charge(job, 0.1)
    assert first(scheduler, job, request) is request
