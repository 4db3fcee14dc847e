"""Limits what is inside the service: the number of requests, the number per client, and the seconds of audio.

A request takes its `RequestSlot` once its recording has arrived; until then it is one of `app.admission.uploads`. A
request that could not be served is refused before its upload, too. The length of its recording counts from the moment
when it is known. Knows nothing about HTTP or codecs.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from app import metrics
from app.admission.throughput import Throughput
from app.admission.uploads import Upload, Uploads
from app.core.errors import TooManyRequests, Unavailable
from app.settings import Settings, setting_name


class AdmissionController:
    """The counts of all requests inside the service. For one event loop; takes no locks."""

    def __init__(self, settings: Settings) -> None:
        self.limits = settings.limits
        self.capacity = settings.engine.max_num_seqs + settings.limits.max_waiting
        self.uploads = Uploads(settings)
        self.active_requests = 0
        self.audio_seconds = 0.0
        self.background_audio_seconds = 0.0  # of jobs that are being worked on, which take no room from requests
        self.throughput = Throughput()
        self.requests_by_client: Counter[str] = Counter()

    @property
    def active_recordings(self) -> int:
        """Number of recordings inside the service whose length is known."""
        return self.throughput.active_recordings

    @property
    def held_bytes(self) -> int:
        """Number of bytes of recordings that the service holds."""
        return self.uploads.held_bytes

    def request_slot(self, client: str) -> "RequestSlot":
        """Return the slot of one request. Entering it starts the upload, and `acquire` takes the slot."""
        return RequestSlot(self, client)

    @contextmanager
    def count_background_audio(self, seconds: float) -> Iterator[None]:
        """Count the length of a job's recording inside the block."""
        self.background_audio_seconds += seconds
        try:
            yield
        finally:
            self.background_audio_seconds -= seconds

    def job_upload(self, client: str) -> Upload:
        """Return the upload of a job, which takes no slot."""
        return self.uploads.new_upload(client)


class RequestSlot(Upload):
    """The upload of one request, and its place among the requests inside the service.

    Entering it raises TooManyRequests (429) or Unavailable (503) if there is no room. Leaving it releases everything.
    """

    def __init__(self, controller: AdmissionController, client: str) -> None:
        super().__init__(controller.uploads, client)
        self.controller = controller
        self.audio_seconds: float | None = None
        self._acquired = False

    def __enter__(self) -> Self:
        self._check_capacity()  # before the upload, so that a client does not send a recording that is refused
        return super().__enter__()

    def acquire(self) -> None:
        """End the upload and take the slot. Raises TooManyRequests (429) or Unavailable (503) if none is free."""
        self.finish()
        self._check_capacity()
        self._acquired = True
        self.controller.active_requests += 1
        self.controller.requests_by_client[self.client] += 1

    def _check_capacity(self) -> None:
        controller, limits = self.controller, self.controller.limits
        if limits.client_concurrency and controller.requests_by_client[self.client] >= limits.client_concurrency:
            raise TooManyRequests(
                f"You have {limits.client_concurrency} requests open, which is the most one client may have. Wait for "
                f"one to end. The setting is {setting_name('limits', 'client_concurrency')}.",
                code="too_many_requests",
                retry_after_s=limits.retry_after_seconds,
            )
        if controller.active_requests >= controller.capacity:
            raise Unavailable(
                f"The queue is full: {controller.active_requests} requests are being served or wait. Try again later. "
                f"The setting is {setting_name('limits', 'max_waiting')} (now {limits.max_waiting}).",
                code="queue_full",
                retry_after_s=limits.retry_after_seconds,
            )
        if controller.audio_seconds >= limits.queued_audio_seconds:
            raise self._audio_queue_full_error(0)

    def reserve_audio(self, seconds: float) -> None:
        """Count the length of the recording. Raises Unavailable (503) if too much audio is inside already."""
        controller = self.controller
        if controller.active_recordings and controller.audio_seconds + seconds > controller.limits.queued_audio_seconds:
            raise self._audio_queue_full_error(seconds)
        self.audio_seconds = seconds
        controller.audio_seconds += seconds
        controller.throughput.start_recording()
        metrics.QUEUED_AUDIO.set(controller.audio_seconds)

    def _audio_queue_full_error(self, seconds: float) -> Unavailable:
        """Return the error, with the time until there is room for so many seconds at the present throughput."""
        controller, limits = self.controller, self.controller.limits
        excess = controller.audio_seconds + seconds - limits.queued_audio_seconds
        excess = max(1.0, min(controller.audio_seconds, excess))
        rate = controller.throughput.rate
        return Unavailable(
            f"{controller.audio_seconds:.0f} seconds of audio are being served or wait already. Try again later. The "
            f"setting is {setting_name('limits', 'queued_audio_seconds')} (now {limits.queued_audio_seconds:g}).",
            code="audio_queue_full",
            retry_after_s=limits.retry_after_seconds if rate is None else max(1.0, excess / rate),
        )

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        super().__exit__(kind, error, tb)
        controller = self.controller
        if self.audio_seconds is not None:
            controller.throughput.finish_recording(self.audio_seconds, succeeded=error is None)
            # Without recordings it is exactly 0: sums of floats would leave a remainder.
            remaining = controller.audio_seconds - self.audio_seconds if controller.active_recordings else 0.0
            controller.audio_seconds = remaining
            metrics.QUEUED_AUDIO.set(remaining)
        if self._acquired:
            controller.active_requests -= 1
            controller.requests_by_client[self.client] -= 1
            if not controller.requests_by_client[self.client]:
                del controller.requests_by_client[self.client]
