"""Limits the uploads in progress: their number, how slow each may be, and the bytes of recordings that are held.

An upload has no place in the engine's queue, so that a slow sender keeps nobody else out. If there are too many, a new
upload displaces one that has stalled. For one event loop; takes no locks. Knows nothing about HTTP.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from app.core.errors import RequestTimeout, ServiceError, TooManyRequests, Unavailable
from app.settings import Settings, setting_name

STALLED_SECONDS = 3.0  # an upload that pauses, or is below the lowest rate, for longer than this may be displaced


class Uploads:
    """All uploads of a service. clock: returns the time in seconds, from any starting point."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits, self.timeouts = settings.limits, settings.timeouts
        self.clock = clock
        self.held_bytes = 0
        self.in_progress: dict[Upload, None] = {}  # the oldest first
        self._held_bytes_by_client: Counter[str] = Counter()

    def new_upload(self, client: str) -> "Upload":
        """Return an upload of a client. Entering it starts the upload."""
        return Upload(self, client)

    def start(self, upload: "Upload") -> None:
        """Count an upload that starts. Raises TooManyRequests (429) or Unavailable (503) if there are too many."""
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
        """Count more bytes of a client's recordings.

        Raises TooManyRequests (429) or Unavailable (503) if the client's recordings, or all, would be too large.
        """
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
                "for more of them now. Wait for one to end. The setting is "
                f"{setting_name('limits', 'client_held_bytes')} (now {limits.client_held_bytes}).",
                code="too_many_bytes",
                retry_after_s=limits.retry_after_seconds,
            )
        self.held_bytes += count
        self._held_bytes_by_client[client] += count

    def release_bytes(self, client: str, count: int) -> None:
        """Count bytes of a client's recordings that are no longer held."""
        self.held_bytes -= count
        self._held_bytes_by_client[client] -= count
        if not self._held_bytes_by_client[client]:
            del self._held_bytes_by_client[client]

    def _displace(self, among: Iterable["Upload"]) -> bool:
        """Displace the upload that has paused for longest, and return whether there was one that had stalled."""
        stalled = max((one for one in among if one.is_stalled), key=lambda one: one.idle_seconds, default=None)
        if stalled is not None:
            stalled.displace()
        return stalled is not None


class Upload:
    """The upload of one request.

    Entering it raises TooManyRequests (429) or Unavailable (503) if there is no room. Leaving it releases everything.
    """

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
        """Count bytes that have arrived. Raises TooManyRequests (429) or Unavailable (503) if there is no room."""
        self.uploads.reserve_bytes(self.client, count)
        self.held_bytes += count
        self._window_bytes += count
        self._last_chunk_at = self.uploads.clock()

    def release_bytes(self) -> None:
        """Release the bytes of the recording. Calling it twice does no harm."""
        self.uploads.release_bytes(self.client, self.held_bytes)
        self.held_bytes = 0

    def finish(self) -> None:
        """End the upload, but keep its bytes counted. Calling it twice does no harm."""
        self.uploads.in_progress.pop(self, None)

    @property
    def idle_seconds(self) -> float:
        """Seconds since the last chunk."""
        return self.uploads.clock() - self._last_chunk_at

    @property
    def is_stalled(self) -> bool:
        """Whether it waits for its next chunk, and has been so slow that another upload may displace it."""
        if self._pending_timeout is None:
            return False
        seconds = self.uploads.clock() - self._started_at
        is_slow = self.held_bytes < self.uploads.limits.upload_bytes_per_second * seconds
        return seconds > STALLED_SECONDS and (is_slow or self.idle_seconds > STALLED_SECONDS)

    def displace(self) -> None:
        """End the upload to make room for another one: the wait for its next chunk raises RequestTimeout."""
        self._displaced = True
        self.finish()
        if self._pending_timeout is not None:
            self._pending_timeout.reschedule(asyncio.get_running_loop().time())

    def chunk_timeout(self) -> "ChunkTimeout":
        """Return a context manager for the wait for one chunk.

        It raises RequestTimeout (408) if the chunk comes too late, or if the upload was displaced.
        """
        return ChunkTimeout(self)

    def time_for_next_chunk(self) -> tuple[float, ServiceError]:
        """Return how many seconds the next chunk may take, and the error if it takes longer."""
        limits, timeouts, now = self.uploads.limits, self.uploads.timeouts, self.uploads.clock()
        idle, rate = timeouts.upload_idle_seconds, limits.upload_bytes_per_second
        needed = rate * idle
        if self._window_bytes >= needed and now - self._window_start >= idle:
            self._window_start, self._window_bytes = now, 0
        window_rest = self._window_start + idle - now if self._window_bytes < needed else idle
        request_rest = self._started_at + timeouts.request_seconds - now
        if request_rest <= min(idle, window_rest):
            return request_rest, _upload_timeout_error(
                f"The upload took longer than {timeouts.request_seconds:g} seconds in all.", "timeouts.request_seconds"
            )
        if self._window_bytes and window_rest < idle:
            return window_rest, _upload_timeout_error(
                f"The upload was slower than {rate:g} bytes per second over {idle:g} seconds.",
                "limits.upload_bytes_per_second",
            )
        return idle, _upload_timeout_error(f"The upload paused for {idle:g} seconds.", "timeouts.upload_idle_seconds")


class ChunkTimeout:
    """The context manager of `Upload.chunk_timeout`."""

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


def _upload_timeout_error(message: str, setting: str) -> RequestTimeout:
    return RequestTimeout(f"{message} The setting is {setting_name(*setting.split('.'))}.", code="upload_timeout")
