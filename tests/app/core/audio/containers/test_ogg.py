"""Chained Ogg is read completely, whatever its links are; multiplexed streams and lost pages are reported."""

import numpy as np
import pytest

from app.core.audio.containers.ogg import read_ogg_link
from app.core.audio.decode import decode
from app.core.audio.limits import DecodeLimits
from app.core.errors import Unprocessable
from tests.recordings import encode_audio, mux_speech, speech

LIMITS = DecodeLimits()


def pages(data: bytes) -> list[bytes]:
    found, position = [], 0
    while position < len(data):
        size = 27 + data[position + 26] + sum(data[position + 27 : position + 27 + data[position + 26]])
        found.append(data[position : position + size])
        position += size
    return found


def ogg(subtype: str, rate: int = 16000, channels: int = 1) -> bytes:
    samples = np.repeat(speech(rate=rate)[: 2 * rate, None], channels, axis=1)
    return encode_audio(samples, rate, kind="OGG", subtype=subtype)


def together(*files: bytes) -> bytes:
    """Multiplex the streams of several files: the first pages come first, the others alternate."""
    queues = [pages(data) for data in files]
    order = [queue.pop(0) for queue in queues]
    while any(queues):
        order += [queue.pop(0) for queue in queues if queue]
    return b"".join(order)


def test_links_of_any_codec_rate_and_channels_are_read() -> None:
    flac = mux_speech("ogg", "flac", rate=16000, seconds=2)
    links = [
        ogg("OPUS"),
        ogg("VORBIS"),
        flac,
        ogg("VORBIS", 8000),
        ogg("VORBIS", 44100, 2),
        ogg("OPUS", 48000, 2),
        flac,
    ]
    audio = decode(b"".join(links), LIMITS)
    assert (audio.warnings, audio.seconds) == ([], pytest.approx(2 * len(links), abs=0.1))
    last = audio.samples[-2 * 16000 :]
    assert np.corrcoef(last, speech()[: len(last)])[0, 1] > 0.99


def test_a_second_stream_at_the_same_time_is_told_of() -> None:
    for data in (together(ogg("OPUS"), ogg("VORBIS")), ogg("VORBIS") + together(ogg("VORBIS"), ogg("OPUS"))):
        audio = decode(data, LIMITS)
        assert any("2 audio tracks" in sentence for sentence in audio.unread)


def test_a_page_that_is_missing_is_told_of_or_refused() -> None:
    found = pages(encode_audio(speech(), kind="OGG", subtype="OPUS"))
    assert len(found) >= 5
    audio = decode(b"".join([*found[:3], *found[4:]]), DecodeLimits(max_missing_seconds=5))
    assert audio.unread
    assert read_ogg_link(b"".join([*found[:3], *found[4:]]), 0).audio_streams[0].missing_pages == 1


def test_tags_and_zeros_between_and_behind_links_are_passed_over() -> None:
    tag = b"TAG" + bytes(125)
    audio = decode(ogg("OPUS") + tag + ogg("VORBIS") + bytes(4000) + tag, LIMITS)
    assert (audio.warnings, audio.seconds) == ([], pytest.approx(4, abs=0.1))


def test_a_damaged_page_is_refused() -> None:
    data = bytearray(ogg("OPUS"))
    data[len(data) // 2] ^= 1
    for damaged in (bytes(data), ogg("OPUS")[:-50]):
        with pytest.raises(Unprocessable) as caught:
            decode(damaged, LIMITS)
        assert caught.value.code == "undecodable_audio"
