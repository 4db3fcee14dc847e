"""Counts how often each recording was begun, so that one that ends its worker each time is given up in the end.

It is an actor of Ray on the driver's machine, with which it lives and dies. Knows nothing about summaries.
"""

MAX_ATTEMPTS = 3


class AttemptCounter:
    """Numbers of recordings that were begun and have not ended, by URI."""

    def __init__(self) -> None:
        self._begun: dict[str, int] = {}

    def begin(self, uri: str) -> int:
        """Count an attempt, and return its number, from 1."""
        self._begun[uri] = self._begun.get(uri, 0) + 1
        return self._begun[uri]

    def end(self, uri: str) -> None:
        """Forget a recording, whose row is made."""
        self._begun.pop(uri, None)
