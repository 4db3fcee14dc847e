"""Who may come in: a bound on requests, on each client's requests, on the bytes of recordings held, and on the seconds
of audio that are inside.

A request takes a `Place` before its recording is read, so what cannot be served is refused before it costs anything;
how long its recording is counts from when that is known. Knows nothing about HTTP or codecs.
"""

from collections import Counter
from types import TracebackType
from typing import Self

from app import metrics
from app.errors import TooManyRequests, Unavailable
from app.pace import Pace
from app.settings import Settings, setting_name


class Admission:
    """The counts of all requests inside the service. For one event loop; takes no locks."""

    def __init__(self, settings: Settings) -> None:
        self.limits = settings.limits
        self.capacity = settings.engine.max_num_seqs + settings.limits.max_waiting
        self.inside = 0
        self.held_bytes = 0
        self.audio_seconds = 0.0
        self.pace = Pace()
        self.clients: Counter[str] = Counter()

    @property
    def recordings(self) -> int:
        """Those inside of which it is known how long they are."""
        return self.pace.inside

    def place(self, client: str) -> "Place":
        """A place for one request, taken by entering it."""
        return Place(self, client)


class Place:
    """One request's place. Entering raises TooManyRequests (429) or Unavailable (503); leaving gives all back."""

    def __init__(self, admission: Admission, client: str) -> None:
        self.admission = admission
        self.client = client
        self.held = 0
        self.audio_seconds: float | None = None

    def __enter__(self) -> Self:
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
        admission.inside += 1
        admission.clients[self.client] += 1
        return self

    def hold(self, count: int) -> None:
        """Account for `count` more bytes of the recording. Raises Unavailable (503) if all together are too many."""
        admission, limits = self.admission, self.admission.limits
        if admission.held_bytes + count > limits.held_bytes:
            raise Unavailable(
                f"The service holds {admission.held_bytes} bytes of recordings and has no room for more now. Try again "
                f"later. The setting is {setting_name('limits', 'held_bytes')} (now {limits.held_bytes}).",
                code="storage_full",
                retry_after_s=limits.retry_after_seconds,
            )
        admission.held_bytes += count
        self.held += count

    def release(self) -> None:
        """The recording's bytes are no longer held. Harmless twice."""
        self.admission.held_bytes -= self.held
        self.held = 0

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
        self.release()
        if self.audio_seconds is not None:
            admission = self.admission
            admission.pace.left(self.audio_seconds, answered=error is None)
            admission.audio_seconds = admission.audio_seconds - self.audio_seconds if admission.recordings else 0.0
            metrics.QUEUED_AUDIO.set(admission.audio_seconds)
        self.admission.inside -= 1
        self.admission.clients[self.client] -= 1
        if not self.admission.clients[self.client]:
            del self.admission.clients[self.client]
