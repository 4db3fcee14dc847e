import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from app.core.audio.decode import DecodeLimits, decode
from tests.training.tiny_checkpoints import RATE, noise, record
from training.data import audio
from training.data.audio import audio_file_bytes, audio_key, audio_seconds, check_audio, read_audio
from training.data.record import Record
from training.data.record_files import UnusableRecord
from training.models.collate import shuffle_audio


@pytest.fixture
def whole() -> NDArray[np.float32]:
    return noise(3, 5)


def refusal(row: Record, reason: str) -> str:
    """What all three ways of looking at the audio that find it say."""
    with pytest.raises(UnusableRecord, match=f"^{row.id}: ") as caught:
        read_audio(row)
    assert caught.value.reason == reason
    with pytest.raises(UnusableRecord) as again:
        check_audio(row)
    assert again.value.reason == reason
    return str(caught.value)


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [(None, None, 0, 3), (1.25, None, 1.25, 3), (None, 0.5, 0, 0.5), (1, 2.5, 1, 2.5)],
)
def test_a_part_of_a_file_is_all_that_is_read(
    start: float | None, end: float | None, first: float, last: float, whole: NDArray[np.float32], tmp_path: Path
) -> None:
    row = replace(record(1, tmp_path, whole), start=start, end=end)
    assert read_audio(row).tolist() == whole[round(first * RATE) : round(last * RATE)].tolist()
    assert audio_seconds(row) == pytest.approx(last - first)
    check_audio(row)


def test_a_file_that_the_service_refuses_is_refused_in_part_too(whole: NDArray[np.float32], tmp_path: Path) -> None:
    whole[RATE] = np.nan
    row = record(1, tmp_path, whole)
    assert "not finite" in refusal(row, "not finite")
    assert "not finite" in refusal(replace(row, start=1.5), "not finite")


def test_parts_of_a_file_are_decoded_once(
    whole: NDArray[np.float32], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, seen = record(1, tmp_path, whole), list[int]()
    real = audio.decode_bytes
    monkeypatch.setattr(audio, "decode_bytes", lambda data: [seen.append(len(data)), real(data)][1])
    parts = [read_audio(replace(row, start=float(i), end=i + 1.0)) for i in range(3)]
    assert len(seen) == 1
    assert np.concatenate(parts).tolist() == whole.tolist()
    record(1, tmp_path, noise(4, 6))
    assert read_audio(replace(row, start=1.0, end=2.0)).tolist() == noise(4, 6)[RATE : 2 * RATE].tolist()
    assert len(seen) == 2, "another file of the same name"


@pytest.mark.parametrize(
    "samples",
    [np.zeros(RATE), np.full(RATE, 0.5), 1e-4 * np.sin(np.arange(RATE))],
    ids=["zeros", "offset", "faint"],
)
def test_what_nobody_can_hear_is_silent(samples: Any, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", samples, RATE, subtype="FLOAT")
    with pytest.raises(UnusableRecord, match="is silent") as caught:
        check_audio(replace(record(1, tmp_path), audio=str(tmp_path / "x.wav")))
    assert caught.value.reason == "silent"


def test_channels_in_opposite_phase_are_heard_as_the_service_hears_them(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.stack([noise(1), -noise(1)], 1), RATE, subtype="FLOAT")
    row = replace(record(1, tmp_path), audio=str(tmp_path / "x.wav"))
    assert check_audio(row) == 1
    assert np.abs(read_audio(row)).max() == pytest.approx(np.abs(noise(1)).max(), rel=0.05)


def test_a_warning_of_the_services_is_a_reason_and_loudness_is_none(tmp_path: Path) -> None:
    loud = 3 * noise(1)
    row = record(1, tmp_path, loud)
    assert check_audio(row) == 1
    assert np.abs(read_audio(row)).max() == pytest.approx(1)
    soundfile.write(tmp_path / "x.wav", noise(2), RATE)
    data = (tmp_path / "x.wav").read_bytes()
    (tmp_path / "x.wav").write_bytes(data[: -RATE // 2])
    with pytest.raises(UnusableRecord, match=r"0\.25 s are missing") as caught:
        check_audio(replace(row, audio=str(tmp_path / "x.wav")))
    assert caught.value.reason == "audio damaged"


def test_every_format_that_is_served_is_trained_on(tmp_path: Path) -> None:
    for name in ("x.flac", "x.ogg", "x.mp3"):
        soundfile.write(tmp_path / name, noise(1), RATE)
        row = replace(record(1, tmp_path), audio=str(tmp_path / name))
        served = decode((tmp_path / name).read_bytes(), DecodeLimits()).samples
        assert np.array_equal(read_audio(row), served)


def test_a_part_outside_the_file_is_refused(whole: NDArray[np.float32], tmp_path: Path) -> None:
    row = record(1, tmp_path, whole)
    assert "has 3.00 s, and the record is its part from 2 to 3.5 s" in refusal(
        replace(row, start=2, end=3.5), "outside its file"
    )
    assert "from 3 to 9 s" in refusal(replace(row, start=3, end=9), "outside its file")
    assert len(read_audio(replace(row, end=3.01))) == 3 * RATE, "a duration that was rounded up"


def test_other_rates_and_channels_are_resampled_as_the_service_does(tmp_path: Path) -> None:
    file = tmp_path / "x.wav"
    both = np.stack([noise(1, 1), 0.1 * noise(1, 2)], 1).repeat(3, 0)
    soundfile.write(file, both, 48_000)
    row = replace(record(1, tmp_path), audio=str(file))
    served = decode(file.read_bytes(), DecodeLimits()).samples
    np.testing.assert_allclose(read_audio(row), served, atol=1e-6)
    assert len(read_audio(replace(row, start=0.25, end=0.75))) == RATE // 2
    assert audio_seconds(row) == 1
    soundfile.write(file, np.full((480, 1), np.nan), 48_000, subtype="FLOAT")
    assert "not finite" in refusal(row, "not finite")


def test_what_is_no_audio_says_so(tmp_path: Path) -> None:
    row = record(1, tmp_path)
    assert "has no audio" in refusal(row, "no audio")
    assert "does not exist" in refusal(replace(row, audio=str(tmp_path / "nowhere.wav")), "audio missing")
    (tmp_path / "text.wav").write_text("no audio at all")
    assert "cannot be read" in refusal(replace(row, audio=str(tmp_path / "text.wav")), "audio unreadable")


def test_a_file_that_breaks_off_is_refused(whole: NDArray[np.float32], tmp_path: Path) -> None:
    file = tmp_path / "x.flac"
    soundfile.write(file, whole, RATE)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    refusal(replace(record(1, tmp_path), audio=str(file)), "audio unreadable")


def test_a_uri_is_opened_by_fsspec(whole: NDArray[np.float32], tmp_path: Path) -> None:
    row = record(1, tmp_path, whole)
    with fsspec.open("memory://clips/1.wav", "wb") as out:
        out.write(Path(str(row.audio)).read_bytes())
    there = replace(row, audio="memory://clips/1.wav", start=1.0, end=2.0)
    assert read_audio(there).tolist() == whole[RATE : 2 * RATE].tolist()
    assert audio_seconds(there) == 1
    check_audio(there)
    assert "no-such-scheme" in refusal(replace(row, audio="no-such-scheme://x"), "audio unreadable")
    refusal(replace(row, audio="memory://clips/none.wav"), "audio unreadable")


def test_a_file_as_a_caller_would_post_it(whole: NDArray[np.float32], tmp_path: Path) -> None:
    row = record(1, tmp_path, whole)
    assert audio_file_bytes(row) == Path(str(row.audio)).read_bytes()
    samples, rate = soundfile.read(io.BytesIO(audio_file_bytes(replace(row, start=1, end=2))), dtype="float32")
    assert (rate, samples.tolist()) == (RATE, whole[RATE : 2 * RATE].tolist())


def test_each_record_hears_anothers_part(whole: NDArray[np.float32], tmp_path: Path) -> None:
    row = record(1, tmp_path, whole)
    parts = [replace(row, id=str(i), start=float(i), end=float(i + 1)) for i in range(3)]
    assert [audio_key(r) for r in shuffle_audio(parts)] == [audio_key(r) for r in [*parts[1:], parts[0]]]
