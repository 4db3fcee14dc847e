"""Uploads in progress: how many there may be, how slow one may be, and how many bytes of recordings are held.

An upload holds no place in the engine's queue, so that a slow sender keeps nobody else out. Where there are too many, a
new upload takes the place of one that has stalled. For one event loop; takes no locks. Knows nothing about HTTP.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from app.core.errors import RequestTimeout, ServiceError, TooManyRequests, Unavailable
from app.settings import Settings, setting_name

STALLED_SECONDS = 3.0  # without a piece, or below the lowest rate for so long: then it may lose its place


class Uploads:
    """All uploads of a service. clock: seconds, from any beginning."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits, self.timeouts = settings.limits, settings.timeouts
        self.clock = clock
        self.held_bytes = 0
        self.in_progress: dict[Upload, None] = {}  # the oldest first
        self._held_bytes_by_client: Counter[str] = Counter()

    def new_upload(self, client: str) -> "Upload":
        """One client's upload, which begins by entering it."""
        return Upload(self, client)

    def start(self, upload: "Upload") -> None:
        """Count an upload. Raises TooManyRequests (429), Unavailable (503)."""
        limits = self.limits
        own = [one for one in self.in_progress if one.client == upload.client]
        if len(own) >= limits.client_uploads and not self._displace(own):
            raise TooManyRequests(
                f"You have {len(own)} uploads in progress, which is the most one client may have. Wait for one to end. "
                f"The setting is {setting_name('limits', 'client_uploads')}.",
                code="too_many_uploads",
                retry_after_s=limits.retry_after_seconds,
            )
        if len(self.in_progress) >= limits.uploads and not self._displace(self.in_progress):
            raise Unavailable(
                f"{len(self.in_progress)} uploads are in progress. Try again later. The setting is "
                f"{setting_name('limits', 'uploads')}.",
                code="too_many_uploads",
                retry_after_s=limits.retry_after_seconds,
            )
        self.in_progress[upload] = None

    def reserve_bytes(self, client: str, count: int) -> None:
        """Account for `count` more bytes of a recording. Raises TooManyRequests (429), Unavailable (503)."""
        limits = self.limits
        if self.held_bytes + count > limits.held_bytes:
            raise Unavailable(
                f"The service holds {self.held_bytes} bytes of recordings and has no room for more now. Try again "
                f"later. The setting is {setting_name('limits', 'held_bytes')} (now {limits.held_bytes}).",
                code="storage_full",
                retry_after_s=limits.retry_after_seconds,
            )
        if self._held_bytes_by_client[client] + count > max(limits.client_held_bytes, limits.upload_bytes):
            raise TooManyRequests(
                f"The service holds {self._held_bytes_by_client[client]} bytes of your recordings, and has no room "
                "for more of them "
                f"now. Wait for one to end. The setting is {setting_name('limits', 'client_held_bytes')} (now "
                f"{limits.client_held_bytes}).",
                code="too_many_bytes",
                retry_after_s=limits.retry_after_seconds,
            )
        self.held_bytes += count
        self._held_bytes_by_client[client] += count

    def release_bytes(self, client: str, count: int) -> None:
        """Bytes are no longer held."""
        self.held_bytes -= count
        self._held_bytes_by_client[client] -= count
        if not self._held_bytes_by_client[client]:
            del self._held_bytes_by_client[client]

    def _displace(self, among: Iterable["Upload"]) -> bool:
        stalled = max((one for one in among if one.is_stalled), key=lambda one: one.idle_seconds, default=None)
        if stalled is not None:
            stalled.displace()
        return stalled is not None


class Upload:
    """One request's upload. Entering raises TooManyRequests (429) or Unavailable (503); leaving gives all back."""

    def __init__(self, uploads: Uploads, client: str) -> None:
        self.uploads = uploads
        self.client = client
        self.held_bytes = 0
        self._displaced = False
        self._pending_timeout: asyncio.Timeout | None = None
        self._started_at = self._last_chunk_at = self._window_start = uploads.clock()
        self._window_bytes = 0

    def __enter__(self) -> Self:
        self.uploads.start(self)
        self._started_at = self._last_chunk_at = self._window_start = self.uploads.clock()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.finish()
        self.release_bytes()

    def add_bytes(self, count: int) -> None:
        """`count` more bytes have come. Raises TooManyRequests (429), Unavailable (503) if there is no room."""
        self.uploads.reserve_bytes(self.client, count)
        self.held_bytes += count
        self._window_bytes += count
        self._last_chunk_at = self.uploads.clock()

    def release_bytes(self) -> None:
        """The bytes are no longer held. Harmless twice."""
        self.uploads.release_bytes(self.client, self.held_bytes)
        self.held_bytes = 0

    def finish(self) -> None:
        """The upload has ended. Its bytes are held on. Harmless twice."""
        self.uploads.in_progress.pop(self, None)

    @property
    def idle_seconds(self) -> float:
        """Since the last piece."""
        return self.uploads.clock() - self._last_chunk_at

    @property
    def is_stalled(self) -> bool:
        """Whether it waits for a piece for so long that it may lose its place to an upload that moves."""
        if self._pending_timeout is None:
            return False
        seconds = self.uploads.clock() - self._started_at
        slow = self.held_bytes < self.uploads.limits.upload_bytes_per_second * seconds
        return seconds > STALLED_SECONDS and (slow or self.idle_seconds > STALLED_SECONDS)

    def displace(self) -> None:
        """End it: what waits for its next piece raises."""
        self._displaced = True
        self.finish()
        if self._pending_timeout is not None:
            self._pending_timeout.reschedule(asyncio.get_running_loop().time())

    def chunk_timeout(self) -> "ChunkTimeout":
        """Around the wait for a piece, which raises RequestTimeout (408) if the piece comes too late."""
        return ChunkTimeout(self)

    def time_for_next_chunk(self) -> tuple[float, ServiceError]:
        """How many seconds the next piece may take, and the error if it takes longer."""
        limits, timeouts, now = self.uploads.limits, self.uploads.timeouts, self.uploads.clock()
        idle, rate = timeouts.upload_idle_seconds, limits.upload_bytes_per_second
        needed = rate * idle
        if self._window_bytes >= needed and now - self._window_start >= idle:
            self._window_start, self._window_bytes = now, 0
        slow = self._window_start + idle - now if self._window_bytes < needed else idle
        if self._started_at + timeouts.request_seconds - now <= min(idle, slow):
            return self._started_at + timeouts.request_seconds - now, _upload_timeout_error(
                f"The upload took longer than {timeouts.request_seconds:g} seconds in all.", "timeouts.request_seconds"
            )
        if self._window_bytes and slow < idle:
            return slow, _upload_timeout_error(
                f"The upload was slower than {rate:g} bytes per second over {idle:g} seconds.",
                "limits.upload_bytes_per_second",
            )
        return idle, _upload_timeout_error(f"The upload paused for {idle:g} seconds.", "timeouts.upload_idle_seconds")


class ChunkTimeout:
    """See `Upload.next_piece`."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        seconds, self._timeout_error = upload.time_for_next_chunk()
        self._timeout = asyncio.timeout(max(0.0, seconds))

    async def __aenter__(self) -> None:
        self._upload._pending_timeout = self._timeout
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._upload._pending_timeout = None
        try:
            await self._timeout.__aexit__(kind, error, tb)
        except TimeoutError:
            if not self._upload._displaced:
                raise self._timeout_error from None
            raise RequestTimeout(
                "The upload had stalled, and its place was needed for another one. The settings are "
                f"{setting_name('limits', 'uploads')} and {setting_name('limits', 'client_uploads')}.",
                code="upload_displaced",
                retry_after_s=self._upload.uploads.limits.retry_after_seconds,
            ) from None


def _upload_timeout_error(what: str, setting: str) -> RequestTimeout:
    return RequestTimeout(f"{what} The setting is {setting_name(*setting.split('.'))}.", code="upload_timeout")
