"""Damaged FLAC is reported, whether or not its encoder stored an MD5 sum, and healthy FLAC of any kind is not."""

import numpy as np
import pytest

from app.core.audio.decode import decode
from app.core.audio.limits import DecodeLimits
from app.core.audio.readers.flac_integrity import bytes_after_frame
from tests.recordings import encode_audio, mux_speech, speech

LIMITS = DecodeLimits(max_missing_seconds=2)


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_the_sum_of_healthy_files_holds(subtype: str, channels: int) -> None:
    samples = np.stack([np.roll(speech(), 100 * number) for number in range(channels)], axis=1)
    audio = decode(encode_audio(samples, kind="FLAC", subtype=subtype), LIMITS)
    assert (audio.warnings, audio.seconds) == ([], len(speech()) / 16000)


def test_a_wrong_sum_is_told_of() -> None:
    for kind, data in (
        ("FLAC", encode_audio(speech(), kind="FLAC")),
        ("24 bit", encode_audio(speech(), kind="FLAC", subtype="PCM_24")),
    ):
        changed = bytearray(data)
        changed[30] ^= 1
        audio = decode(bytes(changed), LIMITS)
        assert len(audio.unread) == 1, kind
        assert "MD5" in audio.unread[0]


@pytest.mark.parametrize("size", [1, 50, 4000])
@pytest.mark.parametrize("noted", [True, False])
def test_overwritten_bytes_are_told_of(size: int, noted: bool) -> None:
    data = bytearray(mux_speech("flac", "flac", rate=16000, pipe=not noted))
    assert any(data[26:42]) == noted
    assert decode(bytes(data), LIMITS).warnings == []
    for place in (len(data) // 3, len(data) // 2, len(data) * 3 // 4):
        damaged = (
            bytes(data[:place]) + bytes(octet ^ 0x5A for octet in data[place : place + size]) + data[place + size :]
        )
        assert decode(bytes(damaged), LIMITS).unread


def test_bytes_behind_a_frame_are_counted() -> None:
    data = encode_audio(speech()[:1000], kind="FLAC")
    start = data.rfind(b"\xff\xf8")  # of the only frame
    frame = data[start:]
    assert bytes_after_frame(frame) == 0
    assert bytes_after_frame(frame + bytes(range(1, 200))) == 199


def test_a_tag_between_a_flac_file_and_the_next_recording_is_no_sign_of_a_cut() -> None:
    flac = encode_audio(speech(), kind="FLAC")
    for behind in (b"TAG" + b"x" * 125 + flac, mux_speech("mp3", "libmp3lame")):  # the MP3 begins with an ID3v2 tag
        audio = decode(flac + behind, LIMITS)
        assert (audio.unread, audio.seconds) == ([], pytest.approx(2 * len(speech()) / 16000, abs=0.1))
