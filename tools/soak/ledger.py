"""Every request, job and webhook of a run, and which of them break a rule. Knows nothing about HTTP.

A request ends with an answer, a typed error or a lost connection, or its client left on purpose. An error that a fault
explains, or a lost connection, must fall into the time of such a fault. A job ends once, whatever is killed.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tools.soak.schedule import FaultKind

GRACE_SECONDS = 5.0  # after a fault has passed, its consequences may still reach a client for so long
FINAL_STATES = ("succeeded", "failed", "cancelled")

# Not the service's code: the answer to a repeated request was a new one. It is, where the first could not be stored.
NOT_REPLAYED = "not_replayed"
# Errors that only a fault explains, by its kind.
EXCUSED_CODES: Mapping[FaultKind, frozenset[str]] = {
    FaultKind.SERVICE_KILL: frozenset({"not_ready", "idempotency_in_flight"}),
    FaultKind.SERVICE_STOP: frozenset({"not_ready", "idempotency_in_flight"}),
    FaultKind.ENGINE_KILL: frozenset({"engine_dead", "engine_not_ready", "engine_aborted", "not_ready"}),
    FaultKind.DECODER_KILL: frozenset({"decoder_unavailable"}),
    FaultKind.DATABASE_KILL: frozenset({"database_unavailable", "idempotency_in_flight", NOT_REPLAYED}),
    FaultKind.DISK_FULL: frozenset({"disk_full", "database_unavailable", "decoder_unavailable", NOT_REPLAYED}),
}
# Errors that a busy service may answer with at any time.
BUSY_CODES = frozenset(
    {
        "queue_full", "audio_queue_full", "too_many_requests", "too_many_uploads", "too_many_jobs", "jobs_full",
        "too_many_connections", "idempotency_in_flight",
    }
)  # fmt: skip


class Outcome(StrEnum):
    """How a request ended, as its client saw it."""

    ANSWER = "answer"
    ERROR = "error"
    LOST = "lost"
    LEFT = "left"  # the client closed the connection on purpose
    WRONG = "wrong"  # there was an answer, and it was not right


@dataclass
class Entry:
    """One request. Times are seconds from the beginning of the run. expected: the codes that its client provokes."""

    number: int
    kind: str
    started: float
    expected: frozenset[str] = frozenset()
    ended: float | None = None
    outcome: Outcome | None = None
    status: int | None = None
    code: str = ""
    detail: str = ""
    request_id: str = ""


@dataclass(frozen=True)
class FaultWindow:
    """A fault as it happened: from its injection until the service answered as before."""

    kind: FaultKind
    started: float
    recovered: float
    note: str = ""


@dataclass
class Ledger:
    """What the clients and the receiver have seen.

    Attributes:
        entries: all requests.
        jobs: the id of the job that was queued under each key.
        webhooks: the webhook ids that came for each job.
        double_answers: keys under which two jobs were reported.
    """

    entries: list[Entry] = field(default_factory=list)
    jobs: dict[str, str | None] = field(default_factory=dict)
    webhooks: dict[str, Counter[str]] = field(default_factory=dict)
    double_answers: list[str] = field(default_factory=list)

    def open(self, kind: str, now: float, expected: Iterable[str] = ()) -> Entry:
        """Write down that a request begins."""
        entry = Entry(len(self.entries) + 1, kind, now, frozenset(expected))
        self.entries.append(entry)
        return entry

    def note_job(self, key: str, id_: str | None) -> None:
        """Write down the job of a key; None if it is not known yet. A key that gets a second job is remembered."""
        known = self.jobs.get(key)
        if known is not None and id_ is not None and known != id_:
            self.double_answers.append(key)
        self.jobs[key] = id_ or known

    def note_webhook(self, job: str, webhook_id: str) -> None:
        """Write down a delivery."""
        self.webhooks.setdefault(job, Counter())[webhook_id] += 1


def find_violations(ledger: Ledger, windows: list[FaultWindow], listed: Mapping[str, list[str]]) -> list[str]:
    """Return a sentence for each rule that was broken.

    Args:
        windows: the faults as they happened.
        listed: the states of each job in the service's list of jobs at the end, by its id; one for each time that the
            list names it.
    """
    return [
        *(fault for entry in ledger.entries if (fault := _entry_fault(entry, windows))),
        *_job_faults(ledger, listed),
        *_webhook_faults(ledger, listed),
    ]


def _entry_fault(entry: Entry, windows: list[FaultWindow]) -> str | None:
    name = f"Request {entry.number} ({entry.kind}, at {entry.started:.1f} s)"
    if entry.outcome is None or entry.ended is None:
        return f"{name} never ended."
    if entry.outcome is Outcome.WRONG:
        return f"{name} got a wrong answer: {entry.detail}."
    if entry.outcome is Outcome.LOST and not any(_explains_loss(window, entry) for window in windows):
        return f"{name} lost its connection at {entry.ended:.1f} s, and no fault explains it: {entry.detail}."
    if entry.outcome is Outcome.ERROR and entry.code not in entry.expected | BUSY_CODES:
        kinds = {window.kind for window in windows if _overlaps(window, entry)}
        if not any(entry.code in EXCUSED_CODES.get(kind, ()) for kind in kinds):
            return (
                f"{name} got {entry.status} {entry.code or 'without a code'} at {entry.ended:.1f} s, and no fault "
                f"explains it: {entry.detail} (request id {entry.request_id})."
            )
    return None


def _overlaps(window: FaultWindow, entry: Entry) -> bool:
    ended = window.recovered if entry.ended is None else entry.ended
    return entry.started <= window.recovered + GRACE_SECONDS and ended >= window.started


def _explains_loss(window: FaultWindow, entry: Entry) -> bool:
    """Whether a connection may be lost by the fault. A service that is stopped in order loses no request that had
    begun; it only refuses new connections once it no longer listens.
    """
    if window.kind is FaultKind.SERVICE_STOP:
        return _overlaps(window, entry) and entry.started >= window.started
    return window.kind is FaultKind.SERVICE_KILL and _overlaps(window, entry)


def _job_faults(ledger: Ledger, listed: Mapping[str, list[str]]) -> list[str]:
    faults = [f"Two jobs were reported for the key {key}." for key in ledger.double_answers]
    faults += [f"Nobody learned which job has the key {key}." for key, id_ in ledger.jobs.items() if id_ is None]
    known = Counter(id_ for id_ in ledger.jobs.values() if id_ is not None)
    faults += [f"The job {id_} was reported for {count} keys." for id_, count in known.items() if count > 1]
    faults += [f"The accepted job {id_} is lost." for id_ in known if id_ not in listed]
    for id_, states in listed.items():
        if id_ not in known:
            faults.append(f"The job {id_} was queued although no client knows of it.")
        if len(states) > 1:
            faults.append(f"The job {id_} is listed {len(states)} times.")
        if states[0] not in FINAL_STATES:
            faults.append(f"The job {id_} has not ended; it is {states[0]}.")
        if states[0] == "failed":
            faults.append(f"The job {id_} failed.")
    return faults


def _webhook_faults(ledger: Ledger, listed: Mapping[str, list[str]]) -> list[str]:
    faults = [f"No webhook came for the job {id_}." for id_ in listed if id_ not in ledger.webhooks]
    for id_, ids in ledger.webhooks.items():
        if len(ids) > 1:
            faults.append(f"The job {id_} ended {len(ids)} times: its webhooks have the ids {', '.join(sorted(ids))}.")
        if id_ not in listed:
            faults.append(f"A webhook came for {id_}, which is no job of this run.")
    return faults
