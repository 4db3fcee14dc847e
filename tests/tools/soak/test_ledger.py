"""The account of a run: what is excused, and what is a violation."""

import pytest

from tools.soak.ledger import GRACE_SECONDS, Entry, FaultWindow, Ledger, Outcome, find_violations
from tools.soak.schedule import FaultKind

WINDOW = (100.0, 110.0)


def ledger_with(outcome: Outcome | None, started: float = 101.0, ended: float = 102.0, code: str = "") -> Ledger:
    ledger = Ledger()
    entry = ledger.open("short", started, ["quota_exceeded"])
    entry.outcome, entry.ended, entry.code = outcome, ended, code
    return ledger


def violations(ledger: Ledger, *kinds: FaultKind) -> list[str]:
    return find_violations(ledger, [FaultWindow(kind, *WINDOW) for kind in kinds], {})


@pytest.mark.parametrize("outcome", [Outcome.ANSWER, Outcome.LEFT])
def test_what_ended_well_is_no_violation(outcome: Outcome) -> None:
    assert violations(ledger_with(outcome)) == []


def test_a_request_without_an_end_and_a_wrong_answer_are_never_excused() -> None:
    for outcome in (None, Outcome.WRONG):
        assert len(violations(ledger_with(outcome), *FaultKind)) == 1


def test_a_lost_connection_needs_a_kill_of_the_service_at_that_time() -> None:
    lost = ledger_with(Outcome.LOST)
    assert violations(lost, FaultKind.SERVICE_KILL) == []
    assert "lost its connection" in violations(lost, FaultKind.ENGINE_KILL, FaultKind.DATABASE_KILL)[0]
    assert violations(ledger_with(Outcome.LOST, 50, 99), FaultKind.SERVICE_KILL), "it was over before"
    soon, late = WINDOW[1] + GRACE_SECONDS - 1, WINDOW[1] + GRACE_SECONDS + 1
    assert violations(ledger_with(Outcome.LOST, soon, 200), FaultKind.SERVICE_KILL) == []
    assert violations(ledger_with(Outcome.LOST, late, 200), FaultKind.SERVICE_KILL)


def test_a_service_that_stops_in_order_loses_no_request_that_had_begun() -> None:
    assert violations(ledger_with(Outcome.LOST, 99, 105), FaultKind.SERVICE_STOP)
    assert violations(ledger_with(Outcome.LOST, 103, 105), FaultKind.SERVICE_STOP) == []


@pytest.mark.parametrize(
    ("code", "kinds", "is_excused"),
    [
        ("engine_dead", [FaultKind.ENGINE_KILL], True),
        ("engine_dead", [FaultKind.DATABASE_KILL], False),
        ("disk_full", [FaultKind.DISK_FULL], True),
        ("quota_exceeded", [], True),  # its client provoked it
        ("queue_full", [], True),  # the service may be busy at any time
        ("internal_error", list(FaultKind), False),
        ("", list(FaultKind), False),
    ],
)
def test_an_error_needs_the_fault_that_explains_it(code: str, kinds: list[FaultKind], is_excused: bool) -> None:
    assert (violations(ledger_with(Outcome.ERROR, code=code), *kinds) == []) == is_excused


def job_ledger() -> Ledger:
    ledger = Ledger()
    ledger.note_job("key", None)
    ledger.note_job("key", "job-1")
    ledger.note_webhook("job-1", "msg-1")
    ledger.note_webhook("job-1", "msg-1")
    return ledger


def test_a_job_that_ended_once_and_was_told_twice_under_one_id_is_in_order() -> None:
    assert find_violations(job_ledger(), [], {"job-1": ["succeeded"]}) == []


@pytest.mark.parametrize(
    ("listed", "fault"),
    [
        ({}, "The accepted job job-1 is lost."),
        ({"job-1": ["running"]}, "has not ended"),
        ({"job-1": ["failed"]}, "failed"),
        ({"job-1": ["succeeded", "succeeded"]}, "listed 2 times"),
        ({"job-1": ["succeeded"], "job-2": ["succeeded"]}, "no client knows of it"),
    ],
)
def test_jobs_that_are_lost_doubled_or_unfinished_are_found(listed: dict[str, list[str]], fault: str) -> None:
    assert any(fault in one for one in find_violations(job_ledger(), [], listed))


def test_two_ends_two_jobs_for_a_key_and_a_missing_webhook_are_found() -> None:
    ledger = job_ledger()
    ledger.note_webhook("job-1", "msg-2")
    assert "ended 2 times" in find_violations(ledger, [], {"job-1": ["succeeded"]})[0]
    ledger = job_ledger()
    ledger.note_job("key", "job-2")
    found = find_violations(ledger, [], {"job-1": ["succeeded"], "job-2": ["succeeded"]})
    assert any("Two jobs were reported for the key key" in one for one in found)
    assert any("No webhook came for the job job-2" in one for one in found)
    ledger = Ledger()
    ledger.note_job("key", None)
    assert "Nobody learned" in find_violations(ledger, [], {})[0]


def test_entries_are_numbered() -> None:
    ledger = Ledger()
    first, second = ledger.open("short", 1.0), ledger.open("job", 2.0)
    assert isinstance(first, Entry)
    assert (first.number, second.number) == (1, 2)
