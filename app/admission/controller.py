"""Who may come in: a bound on requests, on each client's requests, and on the seconds of audio that are inside.

A request takes its `RequestSlot` once its recording has arrived; until then it is one of `app.admission.uploads`. What
cannot be served is refused before the upload, too. How long the recording is counts from when that is known. Knows
nothing about HTTP or codecs.
"""

from collections import Counter
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
        self.throughput = Throughput()
        self.requests_by_client: Counter[str] = Counter()

    @property
    def active_recordings(self) -> int:
        """Those inside of which it is known how long they are."""
        return self.throughput.active_recordings

    @property
    def held_bytes(self) -> int:
        """Bytes of recordings that are held."""
        return self.uploads.held_bytes

    def request_slot(self, client: str) -> "RequestSlot":
        """A place for one request, which uploads from entering it until it takes the place."""
        return RequestSlot(self, client)

    def job_upload(self, client: str) -> Upload:
        """An upload that will take no place, since it is a job's."""
        return self.uploads.new_upload(client)


class RequestSlot(Upload):
    """One request's place, after its upload. Entering raises TooManyRequests (429) or Unavailable (503); leaving gives
    all back.
    """

    def __init__(self, admission: AdmissionController, client: str) -> None:
        super().__init__(admission.uploads, client)
        self.controller = admission
        self.audio_seconds: float | None = None
        self._acquired = False

    def __enter__(self) -> Self:
        self._check_capacity()  # before the recording is sent for nothing
        return super().__enter__()

    def acquire(self) -> None:
        """The recording has arrived, and the place is taken. Raises TooManyRequests (429), Unavailable (503)."""
        self.finish()
        self._check_capacity()
        self._acquired = True
        self.controller.active_requests += 1
        self.controller.requests_by_client[self.client] += 1

    def _check_capacity(self) -> None:
        admission, limits = self.controller, self.controller.limits
        if limits.client_concurrency and admission.requests_by_client[self.client] >= limits.client_concurrency:
            raise TooManyRequests(
                f"You have {limits.client_concurrency} requests open, which is the most one client may have. Wait for "
                f"one to end. The setting is {setting_name('limits', 'client_concurrency')}.",
                code="too_many_requests",
                retry_after_s=limits.retry_after_seconds,
            )
        if admission.active_requests >= admission.capacity:
            raise Unavailable(
                f"The queue is full: {admission.active_requests} requests are being served or wait. Try again later. "
                "The "
                f"setting is {setting_name('limits', 'max_waiting')} (now {limits.max_waiting}).",
                code="queue_full",
                retry_after_s=limits.retry_after_seconds,
            )
        if admission.audio_seconds >= limits.queued_audio_seconds:
            raise self._audio_queue_full_error(0)

    def reserve_audio(self, seconds: float) -> None:
        """The recording is so long. Raises Unavailable (503) if that is too much beside what is inside already."""
        admission = self.controller
        if admission.active_recordings and admission.audio_seconds + seconds > admission.limits.queued_audio_seconds:
            raise self._audio_queue_full_error(seconds)
        self.audio_seconds = seconds
        admission.audio_seconds += seconds
        admission.throughput.start_recording()
        metrics.QUEUED_AUDIO.set(admission.audio_seconds)

    def _audio_queue_full_error(self, seconds: float) -> Unavailable:
        """Says when there will be room for so many seconds, by the pace at which the service answers."""
        admission, limits = self.controller, self.controller.limits
        over = max(1.0, min(admission.audio_seconds, admission.audio_seconds + seconds - limits.queued_audio_seconds))
        rate = admission.throughput.rate
        return Unavailable(
            f"{admission.audio_seconds:.0f} seconds of audio are being served or wait already. Try again later. The "
            f"setting is {setting_name('limits', 'queued_audio_seconds')} (now {limits.queued_audio_seconds:g}).",
            code="audio_queue_full",
            retry_after_s=limits.retry_after_seconds if rate is None else max(1.0, over / rate),
        )

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        super().__exit__(kind, error, tb)
        admission = self.controller
        if self.audio_seconds is not None:
            admission.throughput.finish_recording(self.audio_seconds, succeeded=error is None)
            admission.audio_seconds = (
                admission.audio_seconds - self.audio_seconds if admission.active_recordings else 0.0
            )
            metrics.QUEUED_AUDIO.set(admission.audio_seconds)
        if self._acquired:
            admission.active_requests -= 1
            admission.requests_by_client[self.client] -= 1
            if not admission.requests_by_client[self.client]:
                del admission.requests_by_client[self.client]
