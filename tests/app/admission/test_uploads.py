"""The limits on uploads: their number, rate and bytes, per client and in all."""

import asyncio
from contextlib import ExitStack

import pytest

from app.admission.uploads import Upload, Uploads
from app.core.errors import RequestTimeout, ServiceError, TooManyRequests, Unavailable
from tests.app.running_service import settings_for


class Clock:
    """Moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def uploads(**limits: float) -> tuple[Uploads, Clock]:
    clock = Clock()
    timeouts = {"upload_idle_seconds": 30, "request_seconds": 900}
    return Uploads(settings_for(limits=limits, timeouts=timeouts), clock), clock


def seconds_until_timeout(upload: Upload) -> float:
    return upload.time_for_next_chunk()[0]


def refusal(uploads: Uploads, client: str) -> tuple[type[ServiceError], str]:
    with pytest.raises(ServiceError) as error, uploads.new_upload(client):
        pass
    return type(error.value), error.value.code


def test_too_many_uploads_are_refused_by_client_and_in_all() -> None:
    all_, _ = uploads(uploads=3, client_uploads=2)
    with all_.new_upload("a"), all_.new_upload("a"), all_.new_upload("b"):
        assert refusal(all_, "a") == (TooManyRequests, "too_many_uploads")
        assert refusal(all_, "c") == (Unavailable, "too_many_uploads")
    assert all_.in_progress == {}


async def test_a_stalled_upload_gives_way_to_another_one() -> None:
    all_, clock = uploads(uploads=3, client_uploads=2)
    with ExitStack() as held:
        quick, slow, other = (held.enter_context(all_.new_upload(client)) for client in "aab")

        async def wait(upload: Upload) -> None:
            async with upload.chunk_timeout():
                await asyncio.Event().wait()

        waiting = {upload: asyncio.create_task(wait(upload)) for upload in (quick, slow, other)}
        await asyncio.sleep(0)
        slow.add_bytes(1)
        clock.now = 2
        assert refusal(all_, "a")[0] is TooManyRequests  # nobody has stalled for long enough
        clock.now = 4
        quick.add_bytes(100_000)
        other.add_bytes(100_000)
        with all_.new_upload("a"):
            with pytest.raises(RequestTimeout) as error:
                await waiting[slow]
            assert error.value.code == "upload_displaced"
            assert refusal(all_, "c")[0] is Unavailable  # the rest moves
        for task in (waiting[quick], waiting[other]):
            assert not task.done()
            task.cancel()


def test_an_upload_that_is_not_waited_for_is_not_displaced() -> None:
    all_, clock = uploads(uploads=1)
    with all_.new_upload("a"):
        clock.now = 100
        assert refusal(all_, "b")[0] is Unavailable


def test_bytes_are_bounded_by_client_and_in_all() -> None:
    all_, _ = uploads(held_bytes=100, client_held_bytes=60, upload_bytes=50)
    with all_.new_upload("a") as first, all_.new_upload("a") as second, all_.new_upload("b") as third:
        first.add_bytes(50)
        with pytest.raises(TooManyRequests, match="CLIENT_HELD_BYTES"):
            second.add_bytes(11)
        third.add_bytes(50)
        with pytest.raises(Unavailable, match="HELD_BYTES"):
            second.add_bytes(1)
        first.release_bytes()
        second.add_bytes(50)
    assert all_.held_bytes == 0


def test_a_byte_now_and_then_is_too_slow() -> None:
    all_, clock = uploads(upload_bytes_per_second=500)
    with all_.new_upload("a") as upload:
        upload.add_bytes(1)
        clock.now = 22
        upload.add_bytes(1)
        assert seconds_until_timeout(upload) == 8
        clock.now = 30
        seconds, late = upload.time_for_next_chunk()
        assert seconds == 0
        assert (late.code, "UPLOAD_BYTES_PER_SECOND" in late.message) == ("upload_timeout", True)


def test_a_burst_does_not_pay_for_a_trickle() -> None:
    all_, clock = uploads(upload_bytes_per_second=500)
    with all_.new_upload("a") as upload:
        upload.add_bytes(10_000_000)
        assert seconds_until_timeout(upload) == 30
        for clock.now in range(20, 60, 20):
            upload.add_bytes(1)
            assert seconds_until_timeout(upload) > 0
        clock.now = 80
        upload.add_bytes(1)
        assert seconds_until_timeout(upload) <= 0


def test_a_live_recording_is_quick_enough() -> None:
    all_, clock = uploads()
    with all_.new_upload("a") as upload:
        for second in range(800):
            clock.now = second
            upload.add_bytes(750)  # Opus at 6 kbit/s
            assert seconds_until_timeout(upload) > 0


def test_pauses_and_the_whole_are_bounded_and_named() -> None:
    all_, clock = uploads(upload_bytes_per_second=0)
    with all_.new_upload("a") as upload:
        seconds, late = upload.time_for_next_chunk()
        assert (seconds, "UPLOAD_IDLE_SECONDS" in late.message) == (30, True)
        clock.now = 880
        seconds, late = upload.time_for_next_chunk()
        assert (seconds, "REQUEST_SECONDS" in late.message) == (20, True)
