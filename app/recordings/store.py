"""Keeps recordings for further requests: each for the same time, and no more than the settings allow.

What is kept lies in memory, and samples in files without names (`app.core.audio.samples`), so that everything is gone
when the process ends, however it ends. A recording that is deleted or dropped while a request reads it is closed when
that request ends, and no other request finds it. Knows nothing about HTTP.
"""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Literal

from app import metrics
from app.core.errors import NotFound
from app.recordings.content import RecordingContent
from app.settings import RecordingSettings

log = logging.getLogger(__name__)

ID_PREFIX = "rec-"
ID_BYTES = 16  # random bytes: without API keys, everybody who knows the id may use the recording
_LOGGED_CHARACTERS = len(ID_PREFIX) + 4  # of an id

DropReason = Literal["expired", "deleted", "displaced", "stopped"]


@dataclass(eq=False)
class KeptRecording:
    """A recording that is kept. Times are in seconds since the Unix epoch.

    Attributes:
        id: By which its owner's requests name it.
        owner: The API key that it belongs to; empty if there was none.
        caller: Under whose name it is counted.
        size_bytes: Bytes that it takes.
    """

    id: str
    owner: str
    caller: str
    content: RecordingContent
    size_bytes: int
    created: float
    expires: float
    _readers: int = field(default=0, init=False)
    _is_dropped: bool = field(default=False, init=False)

    @contextmanager
    def hold_open(self) -> Iterator[RecordingContent]:
        """Keep the content open until the block ends, even if the recording is dropped meanwhile."""
        self._readers += 1
        try:
            yield self.content
        finally:
            self._readers -= 1
            self._close_if_unused()

    def drop(self) -> None:
        """Close the content as soon as nobody reads it."""
        self._is_dropped = True
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self._is_dropped and not self._readers:
            self.content.close()


class RecordingStore:
    """The kept recordings of one service. It belongs to one event loop."""

    def __init__(self, settings: RecordingSettings) -> None:
        self.settings = settings
        self._recordings: dict[str, KeptRecording] = {}  # the oldest first
        self._timers: dict[str, asyncio.TimerHandle] = {}

    @property
    def count(self) -> int:
        """Number of recordings that are kept."""
        return len(self._recordings)

    @property
    def held_bytes(self) -> int:
        """Bytes that they take."""
        return sum(one.size_bytes for one in self._recordings.values())

    def keep(self, content: RecordingContent, owner: str, caller: str) -> KeptRecording | None:
        """Keep a recording, whose content is the store's from then on. Older recordings make room for it: the caller's
        own if the caller has too many, and otherwise the oldest of all.

        Returns:
            None if it alone takes more bytes than all recordings may.
        """
        size = content.size_bytes
        if size > self.settings.max_bytes:
            return None
        own = [one for one in self._recordings.values() if (one.owner, one.caller) == (owner, caller)]
        if len(own) >= self.settings.max_count_per_caller:
            self._drop(own[0], "displaced")
        while self.count >= self.settings.max_count or self.held_bytes + size > self.settings.max_bytes:
            self._drop(next(iter(self._recordings.values())), "displaced")
        now = time.time()
        recording = KeptRecording(
            f"{ID_PREFIX}{token_hex(ID_BYTES)}", owner, caller, content, size, now, now + self.settings.seconds
        )
        self._recordings[recording.id] = recording
        loop = asyncio.get_running_loop()
        self._timers[recording.id] = loop.call_later(self.settings.seconds, self._drop, recording, "expired")
        metrics.RECORDINGS.inc()
        metrics.RECORDINGS_BYTES.inc(size)
        return recording

    def find(self, id_: str, owner: str) -> KeptRecording:
        """Return the owner's recording. Raises NotFound (404) if there is none, or if it is another owner's."""
        found = self._recordings.get(id_)
        if found is not None and found.expires <= time.time():  # the timer stands still while the machine is suspended
            self._drop(found, "expired")
            found = None
        if found is None or found.owner != owner:
            raise NotFound(
                "There is no recording with this id that you may use. It was deleted, its time is over, newer ones "
                "took its place, the service was restarted, or another API key made it. Send the recording again.",
                code="recording_not_found",
                param="recording_id",
            )
        return found

    def delete(self, id_: str, owner: str) -> None:
        """Delete the owner's recording. Raises NotFound (404) as `find` does."""
        self._drop(self.find(id_, owner), "deleted")

    def close(self) -> None:
        """Drop all recordings. Safe to call twice."""
        for recording in list(self._recordings.values()):
            self._drop(recording, "stopped")

    def _drop(self, recording: KeptRecording, reason: DropReason) -> None:
        del self._recordings[recording.id]
        self._timers.pop(recording.id).cancel()
        recording.drop()
        metrics.RECORDINGS.dec()
        metrics.RECORDINGS_BYTES.dec(recording.size_bytes)
        metrics.RECORDINGS_DROPPED.labels(reason).inc()
        log.info("The recording %s… is no longer kept: %s.", recording.id[:_LOGGED_CHARACTERS], reason)
