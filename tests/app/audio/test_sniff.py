"""Formats are told by content; what is no audio is refused with the list of what is."""

import pytest

from app.audio.sniff import FORMATS, sniff
from app.errors import InvalidRequest, UnsupportedAudio
from tests import audio_files


@pytest.mark.parametrize("name", audio_files.all_formats())
def test_every_format_is_recognised_by_its_first_64_kib(name: str) -> None:
    make, found, _ = audio_files.all_formats()[name]
    assert sniff(make()[: 1 << 16]) == found


def test_an_mp3_behind_a_tag_longer_than_what_was_received() -> None:
    assert sniff(b"ID3\x04\x00\x00\x00\x7f\x7f\x7f" + bytes(100)) == "mp3"


def test_flac_behind_an_id3_tag() -> None:
    flac = audio_files.sound(audio_files.speech(), kind="FLAC")
    assert sniff(b"ID3\x04\x00\x00\x00\x00\x00\x05" + bytes(5) + flac) == "flac"


@pytest.mark.parametrize(
    "data",
    [
        b"RIFF\x00\x00\x00\x00WEBPVP8 ",
        "\ufeffText in UTF-16 begins like an MP3 frame".encode("utf-16-le") * 20,
        b"\xff\xfb\x90\x64" + b"no second frame follows" * 50,
        b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n",
        b"<html><body>404</body></html>",
        b"x",
    ],
)
def test_what_is_no_audio_is_refused_with_the_list_of_what_is(data: bytes) -> None:
    with pytest.raises(UnsupportedAudio) as caught:
        sniff(data)
    assert (caught.value.status, caught.value.code) == (415, "unsupported_audio")
    assert all(entry.label in caught.value.message for entry in FORMATS.values())


def test_nothing_is_an_invalid_request() -> None:
    with pytest.raises(InvalidRequest) as caught:
        sniff(b"")
    assert (caught.value.status, caught.value.code) == (400, "empty_audio")
