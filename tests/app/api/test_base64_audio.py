"""Base64 as clients write it: every usual form is read, and nothing else."""

import base64
import json
import random
import textwrap
from collections.abc import Callable, Iterator
from io import BytesIO

import pytest

from app.api import json_body
from app.api.base64_audio import decode_audio
from app.api.json_body import LongString
from app.core.errors import InvalidRequest

AUDIO = random.Random(0).randbytes(5000) + b"\xfb\xff\xbf\xfe"
STANDARD = base64.b64encode(AUDIO).decode()
URL_SAFE = base64.urlsafe_b64encode(AUDIO).decode()


FORMS: dict[str, str] = {
    "plain": STANDARD,
    "URL-safe": URL_SAFE,
    "without padding": STANDARD.rstrip("="),
    "URL-safe without padding": URL_SAFE.rstrip("="),
    "in lines of 76": "\n".join(textwrap.wrap(STANDARD, 76)),
    "in lines of 64 with CRLF at the end": "\r\n".join(textwrap.wrap(STANDARD, 64)) + "\r\n",
    "in lines of an odd width, indented": "".join(f"  {line}\t\n" for line in textwrap.wrap(STANDARD, 61)),
    "a data URL": f"data:audio/wav;base64,{STANDARD}",
    "a data URL without a type": f"data:;base64,{URL_SAFE}",
    "a data URL in capitals": f"DATA:AUDIO/WAV;BASE64,{STANDARD}",
    "a data URL with parameters": f"data:audio/webm;codecs=opus;base64,{STANDARD}",
    "a data URL in lines": "data:audio/wav;base64,\n" + "\n".join(textwrap.wrap(STANDARD, 76)),
    "a data URL with percent escapes": "data:audio/wav;base64,"
    + STANDARD.replace("+", "%2B").replace("/", "%2f").replace("=", "%3D"),
    "a data URL behind a space": f" data:audio/wav;base64,{STANDARD}",
}
# What JSON encoders make of the characters of base64.
ENCODERS: dict[str, Callable[[str], str]] = {
    "Python": lambda text: json.dumps(text)[1:-1],
    "PHP": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    ".NET": lambda text: json.dumps(text)[1:-1].replace("+", "\\u002B"),
    "everything escaped": lambda text: "".join(f"\\u{ord(letter):04x}" for letter in text),
}


def long_string(written: str) -> LongString:
    return LongString(BytesIO(b'"' + written.encode() + b'"'), 1, len(written.encode()) + 1)


def decode(written: str | LongString) -> bytes:
    with decode_audio(written) as file:
        file.seek(0)
        return file.read()


@pytest.fixture(params=[13, 1000, json_body.BLOCK_BYTES])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(json_body, "BLOCK_BYTES", request.param)
    return request.param


@pytest.mark.parametrize("form", FORMS)
def test_every_usual_form_is_read(form: str, block: int) -> None:
    assert decode(FORMS[form]) == AUDIO
    for encode in ENCODERS.values():
        assert decode(long_string(encode(FORMS[form]))) == AUDIO


@pytest.mark.parametrize("size", range(8))
def test_every_length_is_read(size: int) -> None:
    data = AUDIO[:size]
    written = base64.b64encode(data).decode()
    assert decode(written) == decode(written.rstrip("=")) == decode(long_string(written)) == data


@pytest.mark.parametrize(
    ("written", "why"),
    [
        (f"{STANDARD[:100]}!{STANDARD[100:]}", "character 100 is '!'"),
        (f"{STANDARD[:100]}%2B{STANDARD[100:]}", "character 100 is '%'"),
        ("AAAA+AAA-AAA", "mixes"),
        ("AAAAA", "one character too many"),
        ("AAA==", "padding"),
        ("AA=", "padding"),
        ("AAAA=", "padding"),
        ("AAAA====", "padding"),
        ("====", "padding"),
        ("AA==AAAA", "'='"),
        ("AA=A", "'='"),
        ("data:audio/wav,AAAA", ";base64"),
        ("data:audio/wav;base64", ";base64"),
        ("data:text/html;base64x,AAAA", ";base64"),
        (f"data:{'x' * 5000};base64,AAAA", ";base64"),
        ("data:audio/wav;base64,data:audio/wav;base64,AAAA", "':'"),
        ("AAAA\x0bAAAA", "character 4"),
        ("AAAA\u00a0AAAA", "character 4"),
        ("\u0410AAA", "character 0"),
        ("AAAA\x00", "character 4"),
    ],
)
def test_everything_else_is_refused(written: str, why: str) -> None:
    with pytest.raises(InvalidRequest, match=why) as error:
        decode(written)
    assert (error.value.code, error.value.param) == ("invalid_field", "messages")
    with pytest.raises(InvalidRequest, match=why):
        decode(long_string(json.dumps(written)[1:-1]))


@pytest.mark.parametrize("written", ["AA\nAA", "AA\\", "AA\\u00", "AA\\qAA", "AA\tAA"])
def test_a_long_string_is_json(written: str) -> None:
    with pytest.raises(InvalidRequest):
        decode(long_string(written))


def test_the_end_of_a_block_splits_no_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    for size in range(1, 12):
        monkeypatch.setattr(json_body, "BLOCK_BYTES", size)
        assert decode(long_string("AA==\\n")) == b"\0"
        with pytest.raises(InvalidRequest):
            decode(long_string("AA==AA=="))
