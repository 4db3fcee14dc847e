"""Which requests are sent again, and when. Knows nothing about HTTP: it is told of errors, and answers with seconds.

A request that creates something has the same `Idempotency-Key` at every try, so that a repeat is safe: the service
answers it with the first one's answer. A repeat that comes while the service still works on the first one gets a 409
with the code `idempotency_in_flight`, and waits.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from speechsum_client.errors import ServiceError, SpeechsumError

IN_FLIGHT = "idempotency_in_flight"


@dataclass(frozen=True)
class RetryPolicy:
    """How often a request is sent again, and after how long.

    Attributes:
        retries: Number of repeats after the first try. 0 never repeats.
        first_wait_s: Seconds before the first repeat. They double with each one, up to `longest_wait_s`; a random part
            of up to a half is taken off, so that many clients do not come back together.
        longest_retry_after_s: The longest `Retry-After` that is waited for, in seconds. A longer one is raised, and
            the error's `retry_after_s` says how long it is.
        longest_in_flight_s: Seconds to wait for the end of the first try, where the connection was lost and the service
            still works on it. These repeats are not counted.
    """

    retries: int = 4
    first_wait_s: float = 0.5
    longest_wait_s: float = 8.0
    longest_retry_after_s: float = 60.0
    longest_in_flight_s: float = 600.0

    def backoff_s(self, repeats: int) -> float:
        """Return the seconds to wait before a repeat. repeats: how many there were before it."""
        longest = min(self.longest_wait_s, self.first_wait_s * 2.0 ** min(repeats, 60))
        return longest * random.uniform(0.5, 1.0)


class Attempts:
    """The tries of one request. count: how many have failed."""

    def __init__(self, policy: RetryPolicy) -> None:
        self.policy = policy
        self.count = 0
        self._in_flight_since: float | None = None
        self._in_flight_count = 0

    def wait_s(self, error: SpeechsumError) -> float:
        """Return the seconds to wait before the next try. Raises the error if there is no next try."""
        retry_after_s = error.retry_after_s if isinstance(error, ServiceError) else None
        too_long = retry_after_s is not None and retry_after_s > self.policy.longest_retry_after_s
        if isinstance(error, ServiceError) and error.code == IN_FLIGHT and self.policy.retries and not too_long:
            return self._in_flight_wait_s(error)
        if not error.can_repeat or too_long or self.count >= self.policy.retries:
            raise error
        wait_s = self.policy.backoff_s(self.count)
        self.count += 1
        # Never before the time that the service names, and not all clients at that very moment.
        return wait_s if retry_after_s is None else retry_after_s + min(wait_s, 0.1 * retry_after_s)

    def _in_flight_wait_s(self, error: ServiceError) -> float:
        now = time.monotonic()
        self._in_flight_since = now if self._in_flight_since is None else self._in_flight_since
        if now - self._in_flight_since >= self.policy.longest_in_flight_s:
            raise error
        self._in_flight_count += 1
        return max(error.retry_after_s or 0.0, self.policy.backoff_s(self._in_flight_count))

    def reset(self) -> None:
        """Count anew, because something has arrived."""
        self.count = 0


class PollPace:
    """The waits between two looks at a job: short at first, then longer, up to `longest_s`, and never shorter than the
    service asks for.
    """

    def __init__(self, first_s: float = 0.25, longest_s: float = 10.0, factor: float = 1.5) -> None:
        self.next_s = first_s
        self.longest_s = longest_s
        self.factor = factor

    def wait_s(self, retry_after_s: float | None = None) -> float:
        """Return the seconds until the next look. retry_after_s: what the service said at the last one."""
        wait_s = self.next_s * random.uniform(0.8, 1.0)
        self.next_s = min(self.longest_s, self.next_s * self.factor)
        return max(wait_s, retry_after_s or 0.0)


class Outage:
    """How long a service has been away that is asked about a job. longest_s: how long it may be, in seconds."""

    def __init__(self, longest_s: float = 300.0) -> None:
        self.longest_s = longest_s
        self._began_at: float | None = None

    def retry_after_s(self, error: SpeechsumError) -> float | None:
        """Return the seconds that the service asks for with an error; None if it does not say. Raises the error if
        another look cannot help, or if the service has been away for too long.
        """
        now = time.monotonic()
        self._began_at = now if self._began_at is None else self._began_at
        if not error.can_repeat or now - self._began_at > self.longest_s:
            raise error
        return error.retry_after_s if isinstance(error, ServiceError) else None

    def end(self) -> None:
        """Note that the service has answered."""
        self._began_at = None
