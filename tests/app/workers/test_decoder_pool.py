"""The decoder survives every file, ends work that nobody waits for, and frees its memory."""

import asyncio
import errno
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
import pytest_asyncio

from app.core.audio import limits as limits_module
from app.core.audio.decode import DecodedAudio
from app.core.audio.limits import DecodeLimits
from app.core.audio.samples import create_unnamed_file
from app.core.errors import ServiceError, TooLarge, TooManyRequests, Unavailable, Unprocessable
from app.workers import decoder_pool, shared_files
from app.workers.decoder_pool import DecoderPool
from app.workers.fair_scheduler import ANONYMOUS, Requester
from app.workers.shared_files import SharedFilesTicket
from tests import recordings
from tests.app.workers.slow_decoding import spin_or_work
from tests.recordings import encode_audio, speech

LIMITS = DecodeLimits()


@pytest_asyncio.fixture
async def decoder() -> AsyncIterator[DecoderPool]:
    decoder = DecoderPool(2)
    await decoder.start()
    yield decoder
    await decoder.stop()


async def decode_bytes(decoder: DecoderPool, data: bytes, requester: Requester = ANONYMOUS) -> DecodedAudio:
    """Decode the bytes of a file, and return its samples in memory."""
    with create_unnamed_file(data) as recording:
        audio = await decoder.decode(recording, LIMITS, requester)
    with closing(audio):
        return replace(audio, samples=audio.samples[:])


async def check_decoder(decoder: DecoderPool) -> None:
    audio = await decode_bytes(decoder, recordings.speech_wav())
    np.testing.assert_allclose(audio.samples[:], speech(), atol=1e-4)


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


async def test_decodes_as_the_function_does(decoder: DecoderPool) -> None:
    audio = await decode_bytes(decoder, encode_audio(speech() * 3, 48000, subtype="FLOAT"))
    assert (audio.source_format, audio.source_rate, audio.source_channels) == ("wav", 48000, 1)
    assert audio.seconds == len(audio.samples) / 16000
    assert any("scaled" in warning for warning in audio.warnings)


async def test_broken_files_keep_their_errors_across_processes_and_the_pool_answers_after(decoder: DecoderPool) -> None:
    await check_decoder(decoder)
    before = resident_mb()
    files = recordings.broken_files()
    outcomes = await asyncio.gather(
        *(decode_bytes(decoder, data) for data, _, _ in files.values()), return_exceptions=True
    )
    for (_, status, code), outcome in zip(files.values(), outcomes, strict=True):
        assert isinstance(outcome, ServiceError)
        assert (outcome.status, outcome.code, outcome.param) == (status, code, "file")
        assert outcome.body()["error"]["message"]
    await check_decoder(decoder)
    assert resident_mb() < before + 40


async def test_memory_is_back_after_large_recordings(decoder: DecoderPool) -> None:
    large = encode_audio(np.zeros(16000 * 900, np.int16))
    await decode_bytes(decoder, large)
    descriptors, before = len(os.listdir("/proc/self/fd")), resident_mb()
    for _ in range(4):
        assert (await decode_bytes(decoder, large)).seconds == 900
    assert resident_mb() < before + 80
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 1


async def test_many_at_once_get_each_their_own(decoder: DecoderPool) -> None:
    lengths = list(range(1000, 41000, 1000))
    audios = await asyncio.gather(*(decode_bytes(decoder, encode_audio(speech()[:length])) for length in lengths))
    assert [len(audio.samples) for audio in audios] == lengths


@pytest.mark.timing
async def test_cancelling_frees_the_worker() -> None:
    decoder = DecoderPool(1)
    await decoder.start()
    slow = asyncio.create_task(decode_bytes(decoder, recordings.opus_minutes(60)))
    await asyncio.sleep(0.3)
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
    start = time.perf_counter()
    await check_decoder(decoder)
    assert time.perf_counter() - start < 2
    await decoder.stop()


async def test_a_file_that_takes_too_long_is_ended_and_the_setting_named() -> None:
    decoder = DecoderPool(1, timeout_s=0.2, timeout_setting="SOME_SETTING")
    await decoder.start()
    with pytest.raises(Unprocessable) as caught:
        await decode_bytes(decoder, recordings.opus_minutes(60))
    assert caught.value.code == "decode_timeout"
    assert "SOME_SETTING" in caught.value.message
    await check_decoder(decoder)
    await decoder.stop()


async def test_a_worker_that_dies_takes_only_its_file_along(
    monkeypatch: pytest.MonkeyPatch, decoder: DecoderPool
) -> None:
    monkeypatch.setattr("app.workers.decoder_pool._decode_in_worker", _abort_in_worker)
    with pytest.raises(Unprocessable) as caught:
        await decode_bytes(decoder, recordings.speech_wav())
    assert caught.value.code == "undecodable_audio"
    monkeypatch.undo()
    await check_decoder(decoder)


@pytest.mark.parametrize("kills", [1, 2])
async def test_a_recording_whose_worker_was_killed_gets_another_once(
    kills: int, monkeypatch: pytest.MonkeyPatch, decoder: DecoderPool, tmp_path: Path
) -> None:
    monkeypatch.setattr("app.workers.decoder_pool._decode_in_worker", partial(_kill_worker_first, kills, tmp_path))
    if kills == 1:
        await check_decoder(decoder)
    else:
        with pytest.raises(Unprocessable) as caught:
            await decode_bytes(decoder, recordings.speech_wav())
        assert caught.value.code == "undecodable_audio"
    assert _count_files(tmp_path) == kills
    monkeypatch.undo()
    await check_decoder(decoder)


async def test_an_unforeseen_exception_is_the_files_fault(
    monkeypatch: pytest.MonkeyPatch, decoder: DecoderPool
) -> None:
    monkeypatch.setattr("app.workers.decoder_pool._decode_in_worker", _raise_in_worker)
    with pytest.raises(Unprocessable) as caught:
        await decode_bytes(decoder, recordings.speech_wav())
    assert caught.value.code == "undecodable_audio"
    assert "list index" not in caught.value.message


async def test_memory_beyond_the_ceiling_is_refused_and_the_pool_answers_after() -> None:
    decoder = DecoderPool(1, memory_bytes=100 << 20)
    await decoder.start()
    with pytest.raises(Unprocessable) as caught:
        await decode_bytes(decoder, encode_audio(np.zeros(16000 * 3600, np.int16)))  # 115 MB to be mapped
    assert caught.value.code == "undecodable_audio"
    await check_decoder(decoder)
    await decoder.stop()


async def test_hours_of_samples_take_no_memory() -> None:
    decoder = DecoderPool(1, memory_bytes=300 << 20)
    await decoder.start()
    await check_decoder(decoder)
    before = resident_mb()
    with create_unnamed_file(recordings.opus_minutes(60)) as recording:
        audio = await decoder.decode(recording, LIMITS)  # 230 MB of samples
    assert audio.seconds == pytest.approx(3600, abs=1)
    assert resident_mb() < before + 20
    assert audio.samples[-16_000:].shape == (16_000,)
    audio.close()
    await decoder.stop()


async def test_workers_are_replaced_after_their_number_of_files() -> None:
    decoder = DecoderPool(1, files_per_worker=2)
    await decoder.start()
    for _ in range(7):
        await check_decoder(decoder)
    await decoder.stop()
    await decoder.stop()


@pytest.mark.timing
async def test_a_short_recording_waits_for_no_long_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits neither for recordings that are being decoded nor for earlier ones; and the processes are limited."""
    monkeypatch.setattr("app.workers.decoder_pool._decode_in_worker", spin_or_work)
    decoder = DecoderPool(1, max_paused=2)
    await decoder.start()
    await check_decoder(decoder)
    large = b"spin60" + bytes(1_000_000)
    long = [asyncio.create_task(decode_bytes(decoder, large)) for _ in range(6)]
    for _ in range(4):
        await asyncio.sleep(0.05)
        start = time.perf_counter()
        await check_decoder(decoder)
        assert time.perf_counter() - start < 2
        assert len(decoder.pids) <= 4, "one at work, two paused, one idle"
    for task in long:
        task.cancel()
    await asyncio.wait(long)
    assert all(task.cancelled() for task in long)
    await check_decoder(decoder)
    await decoder.stop()


@pytest.mark.parametrize("paused", [0, 1, 8])
async def test_what_was_paused_is_decoded_to_its_end(monkeypatch: pytest.MonkeyPatch, paused: int) -> None:
    monkeypatch.setattr("app.workers.decoder_pool._decode_in_worker", spin_or_work)
    decoder = DecoderPool(1, max_paused=paused)
    await decoder.start()
    long = [asyncio.create_task(decode_bytes(decoder, b"spin0.12")) for _ in range(3)]
    await asyncio.sleep(0.1)
    await check_decoder(decoder)
    assert [audio.seconds for audio in await asyncio.gather(*long)] == [0.12] * 3
    await decoder.stop()


@pytest.mark.timing
async def test_a_pause_does_not_count_as_time_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.workers.decoder_pool._decode_in_worker", spin_or_work)
    decoder = DecoderPool(1, timeout_s=0.7)
    await decoder.start()
    waiting = asyncio.create_task(decode_bytes(decoder, b"spin0.1", Requester(background=True)))
    await asyncio.sleep(0.06)
    with pytest.raises(Unprocessable):
        await decode_bytes(decoder, b"spin60")
    assert (await waiting).seconds == 0.1
    await decoder.stop()


@pytest.mark.timing
async def test_callers_share_and_nobody_waits_for_what_is_in_the_background(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.workers.decoder_pool._decode_in_worker", spin_or_work)
    decoder = DecoderPool(1)
    await decoder.start()
    ended: list[str] = []

    async def one(name: str, background: bool = False) -> None:
        await decode_bytes(decoder, b"spin0.2", Requester(name, background))
        ended.append(name)

    async with asyncio.TaskGroup() as group:
        group.create_task(one("job", background=True))
        for _ in range(3):
            group.create_task(one("greedy"))
        await asyncio.sleep(0.05)
        group.create_task(one("modest"))
    assert ended.index("modest") < 2, "of a time like the others', and not behind all of them"
    assert ended[-1] == "job"
    await decoder.stop()


async def test_a_small_file_that_unpacks_to_too_much_is_refused(decoder: DecoderPool) -> None:
    """It is refused by the ratio to its size, once it has more samples than any real file of silence."""
    bomb = encode_audio(np.zeros((16_000 * 60, 6), np.int16), 192_000, "FLAC")
    assert (await decode_bytes(decoder, bomb)).seconds == 5, "what little it is takes no time"
    limits = DecodeLimits(max_samples_per_byte=100).for_file_size(8_000_000)
    with pytest.raises(TooLarge, match="SPEECHSUM_AUDIO__MAX_SAMPLES_PER_BYTE") as caught:
        limits.check_samples(800_000_001)
    assert caught.value.code == "too_many_samples"
    limits.check_samples(800_000_000)
    DecodeLimits(max_samples_per_byte=100).for_file_size(10).check_samples(limits_module.MIN_SAMPLES_LIMIT)


def test_workers_end_with_the_service_even_when_it_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "service.py"
    script.write_text(
        textwrap.dedent("""
            import asyncio, os, signal
            from app.workers import decoder_pool
            from app.workers.decoder_pool import DecoderPool
            from app.core.audio.limits import DecodeLimits
            from app.core.audio.samples import create_unnamed_file
            from tests.recordings import silence_wav
            from tests.app.workers.slow_decoding import spin_or_work

            async def main():
                decoder = DecoderPool(2)
                await decoder.start()
                await decoder.decode(create_unnamed_file(silence_wav()), DecodeLimits())
                decoder_pool._decode_in_worker = spin_or_work
                recordings = [create_unnamed_file(b"spin60") for _ in range(3)]
                tasks = [asyncio.create_task(decoder.decode(one, DecodeLimits())) for one in recordings]
                while len(decoder.pids) < 3:
                    await asyncio.sleep(0.01)
                print(*decoder.pids, flush=True)
                os.kill(os.getpid(), signal.SIGKILL)

            if __name__ == "__main__":
                asyncio.run(main())
        """)
    )
    root = Path(__file__).parents[3]
    with (tmp_path / "out").open("w+") as out:
        subprocess.run([sys.executable, script], env=os.environ | {"PYTHONPATH": str(root)}, stdout=out, timeout=60)
        out.seek(0)
        workers = [int(word) for word in out.read().split()]
    assert len(workers) >= 3, "two at work and one that is paused"
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(_is_alive(worker) for worker in workers):
        time.sleep(0.05)
    assert not [worker for worker in workers if _is_alive(worker)]


def test_files_that_were_closed_meanwhile_are_never_confused_with_others() -> None:
    recording = create_unnamed_file(b"recording")
    files = shared_files.SharedFiles(recording)
    process, (recording_fd, device, inode), (samples_fd, _, other) = files.ticket
    wrong = (process, (recording_fd, device, other), (samples_fd, device, inode))
    with pytest.raises(shared_files.SharedFilesClosed), shared_files.map_recording(wrong):
        pass
    with pytest.raises(shared_files.SharedFilesClosed):
        shared_files.open_samples_file(wrong)
    with shared_files.map_recording(files.ticket) as mapped:
        assert mapped[:] == b"recording"
    with shared_files.open_samples_file(files.ticket) as samples_file:
        samples_file.write(np.ones(4, np.float32).tobytes())
    np.testing.assert_array_equal(files.take_samples()[1:], np.ones(3))
    files.close()
    recording.close()
    with pytest.raises(shared_files.SharedFilesClosed), shared_files.map_recording(files.ticket):
        pass


def deleted_worker_files() -> list[str]:
    """Return the deleted files that child processes hold; pytest's captured output is among them."""
    places = [f"/proc/{worker.pid}/fd" for worker in psutil.Process().children(recursive=True)]
    held = [os.readlink(f"{place}/{number}") for place in places for number in os.listdir(place)]
    return [file for file in held if file.endswith("(deleted)")]


async def test_a_worker_keeps_no_recording_that_it_could_not_read(decoder: DecoderPool) -> None:
    """An idle worker would otherwise keep the recording, and its bytes on the disk, until garbage collection."""
    await check_decoder(decoder)
    before = deleted_worker_files()
    for data, _, _ in recordings.broken_files().values():
        with create_unnamed_file(data) as recording, pytest.raises(ServiceError):
            await decoder.decode(recording, LIMITS)
    assert sorted(deleted_worker_files()) == sorted(before)


async def test_a_full_disk_is_reported(monkeypatch: pytest.MonkeyPatch, decoder: DecoderPool) -> None:
    monkeypatch.setattr("app.workers.decoder_pool._decode_in_worker", _fill_disk_in_worker)
    with pytest.raises(Unavailable) as caught:
        await decode_bytes(decoder, recordings.speech_wav())
    assert caught.value.code == "disk_full"
    assert caught.value.retry_after_s


def test_every_field_of_an_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(TooManyRequests("Busy.", code="busy", param="file", retry_after_s=3)))
    assert isinstance(error, TooManyRequests)
    assert (error.status, error.message, error.code, error.param, error.retry_after_s) == (
        429,
        "Busy.",
        "busy",
        "file",
        3,
    )
    assert str(error) == "Busy."


def _is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _count_files(folder: Path) -> int:
    return len(list(folder.iterdir()))


def _kill_worker_first(kills: int, folder: Path, ticket: SharedFilesTicket, limits: DecodeLimits) -> DecodedAudio:
    """Decode; the first `kills` times the worker is killed before. Each kill leaves a file in the folder."""
    if _count_files(folder) < kills:
        (folder / str(os.getpid())).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return decoder_pool._decode_in_worker(ticket, limits)


def _abort_in_worker(ticket: shared_files.SharedFilesTicket, limits: DecodeLimits) -> DecodedAudio:
    os.abort()


def _raise_in_worker(ticket: shared_files.SharedFilesTicket, limits: DecodeLimits) -> DecodedAudio:
    raise IndexError("list index out of range")


def _fill_disk_in_worker(ticket: shared_files.SharedFilesTicket, limits: DecodeLimits) -> DecodedAudio:
    """Decode with a disk that has no space."""

    def raise_disk_full(*_: object) -> DecodedAudio:
        raise OSError(errno.ENOSPC, "No space left on device")

    decoder_pool.decode = raise_disk_full  # type: ignore[assignment]
    return _REAL_WORK(ticket, limits)


_REAL_WORK = decoder_pool._decode_in_worker
