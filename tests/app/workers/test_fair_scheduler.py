"""Who goes first: callers share, short work goes before long, what nobody waits for goes last but not never."""

import itertools

from app.workers.fair_scheduler import MAX_BACKGROUND_WAIT_S, FairScheduler, Requester, SchedulerEntry


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def first(shares: FairScheduler, *claims: SchedulerEntry) -> SchedulerEntry:
    return shares.sorted_entries(claims)[0]


def test_of_one_caller_what_took_least_goes_first_and_among_equals_the_smaller() -> None:
    shares = FairScheduler(Clock())
    long, large, small = (shares.add(Requester("a"), size) for size in (1, 9, 5))
    shares.charge(long, 3)
    assert shares.sorted_entries([long, large, small]) == [small, large, long]
    shares.charge(small, 100)
    assert first(shares, long, small) is long


def test_two_long_ones_do_not_take_turns_all_the_time() -> None:
    shares = FairScheduler(Clock())
    one, other = shares.add(Requester("a")), shares.add(Requester("a"))
    turns = []
    for _ in range(1000):
        claim = first(shares, one, other)
        shares.charge(claim, 0.05)
        turns.append(claim)
    assert sum(a is not b for a, b in itertools.pairwise(turns)) < 30
    assert 0.3 < turns.count(one) / 1000 < 0.7


def test_a_caller_with_many_requests_gets_no_more_than_one_with_one() -> None:
    shares = FairScheduler(Clock())
    greedy = [shares.add(Requester("greedy")) for _ in range(50)]
    modest = shares.add(Requester("modest"))
    for _ in range(400):
        shares.charge(first(shares, *greedy, modest), 0.05)
    assert 9 < modest.spent_s < 11


def test_who_was_away_has_saved_up_nothing_and_owes_nothing() -> None:
    shares = FairScheduler(Clock())
    steady, before = shares.add(Requester("steady")), shares.add(Requester("back"))
    shares.charge(before, 500)
    shares.remove(before)
    shares.charge(steady, 100)
    back = shares.add(Requester("back"))
    assert first(shares, steady, back) is back
    shares.charge(back, 1)
    assert first(shares, steady, back) is steady


def test_what_nobody_waits_for_goes_last_until_it_has_waited_long() -> None:
    clock = Clock()
    shares = FairScheduler(clock)
    job, request = shares.add(Requester("a", background=True)), shares.add(Requester("b"))
    shares.charge(request, 100)
    assert first(shares, job, request) is request
    clock.now += MAX_BACKGROUND_WAIT_S
    shares.charge(request, 100)
    assert first(shares, job, request) is job
    shares.charge(job, 0.1)
    assert first(shares, job, request) is request
