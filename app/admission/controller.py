"""Who may come in: a bound on requests, on each client's requests, and on the seconds of audio that are inside.

A request takes its `Place` once its recording has arrived; until then it is one of `app.admission.uploads`. What cannot
be served is refused before the upload, too. How long the recording is counts from when that is known. Knows nothing
about HTTP or codecs.
"""

from collections import Counter
from types import TracebackType
from typing import Self

from app import metrics
from app.admission.throughput import Pace
from app.admission.uploads import Upload, Uploads
from app.core.errors import TooManyRequests, Unavailable
from app.settings import Settings, setting_name


class Admission:
    """The counts of all requests inside the service. For one event loop; takes no locks."""

    def __init__(self, settings: Settings) -> None:
        self.limits = settings.limits
        self.capacity = settings.engine.max_num_seqs + settings.limits.max_waiting
        self.uploads = Uploads(settings)
        self.inside = 0
        self.audio_seconds = 0.0
        self.pace = Pace()
        self.clients: Counter[str] = Counter()

    @property
    def recordings(self) -> int:
        """Those inside of which it is known how long they are."""
        return self.pace.inside

    @property
    def held_bytes(self) -> int:
        """Bytes of recordings that are held."""
        return self.uploads.held_bytes

    def place(self, client: str) -> "Place":
        """A place for one request, which uploads from entering it until it takes the place."""
        return Place(self, client)

    def upload(self, client: str) -> Upload:
        """An upload that will take no place, since it is a job's."""
        return self.uploads.upload(client)


class Place(Upload):
    """One request's place, after its upload. Entering raises TooManyRequests (429) or Unavailable (503); leaving gives
    all back.
    """

    def __init__(self, admission: Admission, client: str) -> None:
        super().__init__(admission.uploads, client)
        self.admission = admission
        self.audio_seconds: float | None = None
        self._taken = False

    def __enter__(self) -> Self:
        self._check()  # before the recording is sent for nothing
        return super().__enter__()

    def take(self) -> None:
        """The recording has arrived, and the place is taken. Raises TooManyRequests (429), Unavailable (503)."""
        self.arrived()
        self._check()
        self._taken = True
        self.admission.inside += 1
        self.admission.clients[self.client] += 1

    def _check(self) -> None:
        admission, limits = self.admission, self.admission.limits
        if limits.client_concurrency and admission.clients[self.client] >= limits.client_concurrency:
            raise TooManyRequests(
                f"You have {limits.client_concurrency} requests open, which is the most one client may have. Wait for "
                f"one to end. The setting is {setting_name('limits', 'client_concurrency')}.",
                code="too_many_requests",
                retry_after_s=limits.retry_after_seconds,
            )
        if admission.inside >= admission.capacity:
            raise Unavailable(
                f"The queue is full: {admission.inside} requests are being served or wait. Try again later. The "
                f"setting is {setting_name('limits', 'max_waiting')} (now {limits.max_waiting}).",
                code="queue_full",
                retry_after_s=limits.retry_after_seconds,
            )
        if admission.audio_seconds >= limits.queued_audio_seconds:
            raise self._no_room(0)

    def admit(self, seconds: float) -> None:
        """The recording is so long. Raises Unavailable (503) if that is too much beside what is inside already."""
        admission = self.admission
        if admission.recordings and admission.audio_seconds + seconds > admission.limits.queued_audio_seconds:
            raise self._no_room(seconds)
        self.audio_seconds = seconds
        admission.audio_seconds += seconds
        admission.pace.entered()
        metrics.QUEUED_AUDIO.set(admission.audio_seconds)

    def _no_room(self, seconds: float) -> Unavailable:
        """Says when there will be room for so many seconds, by the pace at which the service answers."""
        admission, limits = self.admission, self.admission.limits
        over = max(1.0, min(admission.audio_seconds, admission.audio_seconds + seconds - limits.queued_audio_seconds))
        rate = admission.pace.rate
        return Unavailable(
            f"{admission.audio_seconds:.0f} seconds of audio are being served or wait already. Try again later. The "
            f"setting is {setting_name('limits', 'queued_audio_seconds')} (now {limits.queued_audio_seconds:g}).",
            code="audio_queue_full",
            retry_after_s=limits.retry_after_seconds if rate is None else max(1.0, over / rate),
        )

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        super().__exit__(kind, error, tb)
        admission = self.admission
        if self.audio_seconds is not None:
            admission.pace.left(self.audio_seconds, answered=error is None)
            admission.audio_seconds = admission.audio_seconds - self.audio_seconds if admission.recordings else 0.0
            metrics.QUEUED_AUDIO.set(admission.audio_seconds)
        if self._taken:
            admission.inside -= 1
            admission.clients[self.client] -= 1
            if not admission.clients[self.client]:
                del admission.clients[self.client]
