"""The plan of faults: the same for the same seed, fair to all kinds, and quiet at both ends."""

from collections import Counter

from tools.soak.schedule import ENDING_KINDS, ENDING_SHARE, QUIET_END, QUIET_START, FaultKind, plan_faults

KINDS = list(FaultKind)
SECONDS = 1800.0


def test_the_same_seed_gives_the_same_plan() -> None:
    assert plan_faults(KINDS, 60, SECONDS, 7) == plan_faults(KINDS, 60, SECONDS, 7)
    assert plan_faults(KINDS, 60, SECONDS, 7) != plan_faults(KINDS, 60, SECONDS, 8)


def test_every_kind_comes_about_equally_often_and_in_order() -> None:
    plan = plan_faults(KINDS, 60, SECONDS, 1)
    counts = Counter(fault.kind for fault in plan)
    assert len(plan) == 60
    assert set(counts) == set(KINDS)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert plan == sorted(plan, key=lambda fault: fault.at_s)


def test_the_ends_are_quiet_and_one_process_lives_through_most_of_the_run() -> None:
    first, last = SECONDS * QUIET_START, SECONDS * (1 - QUIET_END)
    for seed in range(20):
        plan = plan_faults(KINDS, 60, SECONDS, seed)
        assert first <= plan[0].at_s
        assert plan[-1].at_s <= last
        assert max(fault.at_s for fault in plan if fault.kind in ENDING_KINDS) <= first + (last - first) * ENDING_SHARE
