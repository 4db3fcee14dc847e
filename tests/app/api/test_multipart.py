"""Multipart forms as clients write them, byte by byte."""

import pytest

from tests.app.running_service import PATH, Site, code, wav

FILE = b'form-data; name="file"'


def form(*parts: tuple[bytes, bytes], more: bytes = b"") -> bytes:
    """A form of parts: what their Content-Disposition says, and what they hold."""
    return (
        b"".join(b"--X\r\nContent-Disposition: %s\r\n%s\r\n%s\r\n" % (head, more, data) for head, data in parts)
        + b"--X--\r\n"
    )


async def post_body(site: Site, body: bytes, kind: str = "multipart/form-data; boundary=X"):  # type: ignore[no-untyped-def]
    return await site.client.post(PATH, content=body, headers={"content-type": kind})


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("more", [b"", b"Content-Type: audio/wav\r\n", b"Content-Type: text/plain; charset=utf-8\r\n"])
@pytest.mark.parametrize(
    "head",
    [
        FILE,
        FILE + b'; filename="a.wav"',
        FILE + b'; filename=""',
        FILE + b"; filename*=utf-8''Gespr%C3%A4ch.wav",
        FILE + b"; filename*=iso-8859-1'de'Gespr%E4ch.wav",
        FILE + b"; filename*=",
        FILE + b"; filename*=nonsense",
        FILE + b"; filename=\"Gespr\xe4ch.wav\"; filename*=utf-8''Gespr%C3%A4ch.wav",
        FILE + b'; filename*0="a"; filename*1=".wav"',
        b"form-data; name=file",
        b'form-data; filename="a.wav"; name="file"',
    ],
)
async def test_a_part_named_file_is_the_recording(shared: Site, head: bytes, more: bytes) -> None:
    response = await post_body(shared, form((head, wav(3)), (b'form-data; name="style"', b"tldr"), more=more))
    assert response.status_code == 200, response.text
    assert response.json()["audio_seconds"] == 3.0


@pytest.mark.asyncio(loop_scope="module")
async def test_two_recordings_are_refused_whatever_they_are_called(shared: Site) -> None:
    for second in (FILE, FILE + b'; filename="b.wav"'):
        response = await post_body(shared, form((FILE, wav()), (second, wav())))
        assert code(response) == (400, "invalid_form")


@pytest.mark.asyncio(loop_scope="module")
async def test_an_empty_file_beside_a_url_is_none(shared: Site) -> None:
    url = (b'form-data; name="url"', b"https://example.org/a.wav")
    for head in (FILE + b'; filename=""', FILE):
        assert code(await post_body(shared, form((head, b""), url)))[1] == "audio_url_disabled"
    assert code(await post_body(shared, form((FILE, wav()), url))) == (400, "recording_given_twice")
    assert code(await post_body(shared, form((FILE, b"")))) == (400, "empty_audio")


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "charset",
    [
        "undefined",
        "punycode",
        "unicode_escape",
        "raw_unicode_escape",
        "idna",
        "rot13",
        "base64",
        "zlib",
        "hex",
        "no",
        "%00",
    ],
)
async def test_a_charset_that_is_none_is_refused(shared: Site, charset: str) -> None:
    parts = (FILE, wav()), (b'form-data; name="focus"', b"a\\xe4\\N{DASH}\xff"), (b'form-data; name="\xff"', b"1")
    response = await post_body(shared, form(*parts), f"multipart/form-data; boundary=X; charset={charset}")
    assert code(response) == (400, "invalid_form")
    assert "charset" in response.json()["error"]["message"]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("charset", ["utf-8", "UTF8", "iso-8859-1", "windows-1252", "us-ascii", "utf-16", "shift_jis"])
async def test_a_charset_that_is_one_is_read(shared: Site, charset: str) -> None:
    for focus in ("money".encode("utf-16" if charset == "utf-16" else "ascii"), b"\xff\xd8\x00"):
        response = await post_body(
            shared,
            form((FILE, wav()), (b'form-data; name="focus"', focus)),
            f"multipart/form-data; boundary=X; charset={charset}",
        )
        assert response.status_code in (200, 400)


@pytest.mark.asyncio(loop_scope="module")
async def test_no_field_name_is_echoed_at_length(shared: Site) -> None:
    name = b'form-data; name="%s"' % (b"n" * 4000)
    for head in (name, name + b'; filename="a.wav"'):
        response = await post_body(shared, form((head, wav()), (FILE, wav())))
        assert response.status_code == 400
        assert len(response.content) < 2000


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "body",
    [
        b"--X\r\n" + b"a: b\r\n" * 1000,
        b"--X\r\na: " + b"b" * 100_000,
        b"--X\r\n" + b"n" * 100_000,
        form(*[(b'form-data; name="f%d"' % number, b"") for number in range(100)]),
        form((b"form-data", b"x")),
        form((b"attachment", b"x")),
    ],
)
async def test_forms_that_are_out_of_bounds(shared: Site, body: bytes) -> None:
    assert code(await post_body(shared, body)) == (400, "invalid_form")
