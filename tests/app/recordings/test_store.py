"""What is kept, whose it is, for how long, and what makes room."""

import logging

import numpy as np
import pytest

from app.core.asr.transcript import Transcript, TranscriptSegment
from app.core.audio.decode import DecodedAudio
from app.core.audio.samples import StoredSamples, create_unnamed_file
from app.core.audio.vad_second_pass import SpeechDetection
from app.core.audio.windows import Window
from app.core.errors import NotFound
from app.recordings.content import RecordingContent, WindowTranscript
from app.recordings.store import RecordingStore
from app.settings import RecordingSettings
from tests.app.running_service import until

SECOND_BYTES = 64_000


def samples_of(seconds: float = 1.0) -> RecordingContent:
    """A recording whose samples lie in a file."""
    samples = StoredSamples(create_unnamed_file(np.zeros(round(16_000 * seconds), np.float32).tobytes()))
    return RecordingContent(DecodedAudio(samples, "wav", 16_000, 1, seconds), SpeechDetection([(0, seconds)]))


def transcript_of(*texts: str) -> RecordingContent:
    segments = tuple(TranscriptSegment(0.0, 4.0, text, -0.2, 1.0, 0.0) for text in texts)
    return samples_of().with_transcripts([WindowTranscript(Window(0, 4), Transcript(segments))])


def is_open(content: RecordingContent) -> bool:
    samples = content.audio.samples
    assert isinstance(samples, StoredSamples)
    return not samples._file.closed


def store_of(**settings: float) -> RecordingStore:
    return RecordingStore(RecordingSettings.model_validate({"seconds": 60, **settings}))


async def test_an_owner_finds_what_was_kept_and_nobody_else_does() -> None:
    store = store_of()
    kept = store.keep(samples_of(), "anna", "anna")
    assert kept is not None
    assert store.find(kept.id, "anna") is kept
    for id_, owner in ((kept.id, "bob"), (kept.id, ""), (kept.id.upper(), "anna"), ("", "anna")):
        with pytest.raises(NotFound) as refused:
            store.find(id_, owner)
        assert refused.value.code == "recording_not_found"
        with pytest.raises(NotFound):
            store.delete(id_, owner)
    store.close()


async def test_ids_are_never_the_same_and_cannot_be_guessed() -> None:
    store = store_of(max_count=1000, max_count_per_caller=1000)
    found = [store.keep(transcript_of("a"), "", "") for _ in range(200)]
    ids = {one.id for one in found if one}
    assert len(ids) == 200
    assert len({id_[:12] for id_ in ids}) == 200, "random from the first digit"
    store.close()


async def test_an_end_of_the_time_closes_the_file() -> None:
    store = store_of(seconds=0.05)
    content = samples_of()
    kept = store.keep(content, "", "")
    assert is_open(content)
    await until(lambda: not store.count)
    assert (store.count, is_open(content)) == (0, False)
    assert kept is not None
    with pytest.raises(NotFound):
        store.find(kept.id, "")


async def test_a_time_that_was_over_while_the_machine_slept_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    store, content = store_of(), samples_of()
    kept = store.keep(content, "", "")
    assert kept is not None
    monkeypatch.setattr("app.recordings.store.time.time", lambda: kept.expires + 1)
    with pytest.raises(NotFound):
        store.find(kept.id, "")
    assert not is_open(content)


async def test_what_is_dropped_while_it_is_read_stays_open_until_the_last_reader_is_done() -> None:
    store, content = store_of(), samples_of()
    kept = store.keep(content, "", "")
    assert kept is not None
    with kept.hold_open(), kept.hold_open() as read:
        store.delete(kept.id, "")
        assert read is content
        assert is_open(content)
    assert not is_open(content)


async def test_the_oldest_make_room_by_number_and_by_bytes() -> None:
    store = store_of(max_count=3)
    contents = [samples_of() for _ in range(5)]
    for number, one in enumerate(contents):
        store.keep(one, f"caller {number}", "")
    assert [is_open(one) for one in contents] == [False, False, True, True, True]
    store.close()
    store = store_of(max_bytes=3.5 * SECOND_BYTES)
    contents = [samples_of(seconds) for seconds in (1, 1, 1, 2)]
    for number, one in enumerate(contents):
        store.keep(one, f"caller {number}", "")
    assert [is_open(one) for one in contents] == [False, False, True, True]
    assert store.held_bytes <= 3.5 * SECOND_BYTES
    store.close()
    assert not any(is_open(one) for one in contents)


async def test_a_caller_with_too_many_loses_the_own_oldest_and_nobody_elses() -> None:
    store = store_of(max_count=10, max_count_per_caller=2)
    of_bob, of_anna = samples_of(), [samples_of() for _ in range(4)]
    store.keep(of_bob, "", "10.0.0.2")
    for one in of_anna:
        store.keep(one, "", "10.0.0.1")
    assert is_open(of_bob)
    assert [is_open(one) for one in of_anna] == [False, False, True, True]
    store.close()


async def test_what_is_too_large_is_not_kept_and_displaces_nothing() -> None:
    store = store_of(max_bytes=2 * SECOND_BYTES)
    small = samples_of()
    store.keep(small, "", "")
    large = samples_of(3)
    assert store.keep(large, "", "") is None
    assert is_open(small)
    assert is_open(large), "it is still its request's"
    large.close()
    store.close()


def test_the_bytes_are_those_of_samples_or_of_texts() -> None:
    with_samples = samples_of(2)
    assert with_samples.size_bytes == pytest.approx(2 * SECOND_BYTES, abs=20_000)
    short, long = transcript_of("Hello."), transcript_of(*["ä" * 1000] * 10)
    assert short.size_bytes < 10_000
    assert long.size_bytes - short.size_bytes > 20_000
    assert short.longest_transcript_s == 4
    assert with_samples.longest_transcript_s == 0
    with_samples.close()


async def test_no_id_is_logged_whole(caplog: pytest.LogCaptureFixture) -> None:
    store = store_of(max_count=1)
    with caplog.at_level(logging.DEBUG, logger="app.recordings.store"):
        kept = [store.keep(transcript_of("a"), "", "") for _ in range(2)]
        store.delete(kept[1].id if kept[1] else "", "")
    assert len(caplog.messages) == 2
    for one in kept:
        assert one is not None
        assert one.id[:8] in caplog.text
        assert one.id[:9] not in caplog.text
