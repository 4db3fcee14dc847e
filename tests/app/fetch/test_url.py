"""How URLs are read: in one way, or not at all."""

from ipaddress import IPv4Address, IPv6Address

import pytest

from app.core.errors import InvalidRequest
from app.fetch.url import ParsedUrl, parse_url, resolve_reference

READ = [
    ("https://audio.example.org/a.wav", ("https", "audio.example.org", 443, "/a.wav")),
    ("HTTPS://Audio.Example.ORG/A.wav", ("https", "audio.example.org", 443, "/A.wav")),
    ("http://audio.example.org:8080", ("http", "audio.example.org", 8080, "/")),
    ("http://audio.example.org?a=b", ("http", "audio.example.org", 80, "/?a=b")),
    ("https://audio.example.org/a?b=c%20d&e=/?f#part", ("https", "audio.example.org", 443, "/a?b=c%20d&e=/?f")),
    ("https://audio.example.org/a@b:c", ("https", "audio.example.org", 443, "/a@b:c")),
    ("https://audio.example.org/grün \U0001f3a7".replace(" ", "%20"), None),
    ("https://bücher.example/a", ("https", "xn--bcher-kva.example", 443, "/a")),
    ("https://BÜCHER.example/a", ("https", "xn--bcher-kva.example", 443, "/a")),
    ("https://a_b.s3.example.com/x", ("https", "a_b.s3.example.com", 443, "/x")),
    ("https://93.184.215.14/a", ("https", "93.184.215.14", 443, "/a")),
    ("https://[2606:2800:021F::0001]:443/a", ("https", "2606:2800:21f::1", 443, "/a")),
    ("https://[::ffff:8.8.8.8]/", ("https", "::ffff:808:808", 443, "/")),
    ("https://1.2.3.4.example.org/", ("https", "1.2.3.4.example.org", 443, "/")),
]


@pytest.mark.parametrize(("url", "expected"), READ)
def test_these_are_read(url: str, expected: tuple[str, str, int, str] | None) -> None:
    expected = expected or ("https", "audio.example.org", 443, "/gr%C3%BCn%20%F0%9F%8E%A7")
    assert parse_url(url) == ParsedUrl(*expected)
    assert parse_url(parse_url(url).url) == parse_url(url)


REFUSED = [
    # other schemes, or none
    "file:///etc/passwd",
    "ftp://audio.example.org/a",
    "gopher://audio.example.org/a",
    "data:audio/wav;base64,AAAA",
    "javascript:alert(1)",
    "unix:///var/run/docker.sock",
    "//audio.example.org/a",
    "audio.example.org/a",
    "https:audio.example.org/a",
    "https:/audio.example.org/a",
    "https:///audio.example.org/a",
    "https://",
    "",
    # users
    "https://user@audio.example.org/",
    "https://user:password@audio.example.org/",
    "https://audio.example.org@127.0.0.1/",
    "https://127.0.0.1@audio.example.org/",
    "https://audio.example.org:443@127.0.0.1/",
    "https://@audio.example.org/",
    "https://a@b@audio.example.org/",
    # what readers split differently
    "https://audio.example.org\\@127.0.0.1/",
    "https://audio.example.org\\.127.0.0.1/",
    "https:\\\\audio.example.org/",
    "https://audio.example.org /",
    " https://audio.example.org/",
    "https://audio.example.org/ ",
    "https://audio.example.org/a b",
    "https://audio.example.org/\r\nX-Injected: 1",
    "https://audio.example.org/\na",
    "https://audio.\texample.org/",
    "https://audio.example.org/\x00",
    "https://audio.example.org/\x7f",
    "https://audio.example.org/\x85",
    "https://audio.example.org/\xa0",
    "https://audio.example.org/\u2028",
    "https://audio.example.org/\ud800",
    # hosts that are none
    "https://localhost/",
    "https://LOCALHOST/",
    "https://metadata/",
    "https://audio.example.org./",
    "https://localhost./",
    "https://.example.org/",
    "https://audio..example.org/",
    "https://-audio.example.org/",
    "https://audio-.example.org/",
    "https://127%2e0.0.1/",
    "https://audio%00.example.org/",
    "https://audio.example.org%2f@127.0.0.1/",
    "https://audio.example.org,127.0.0.1/",
    "https://audio.example.org;127.0.0.1/",
    "https://*.example.org/",
    f"https://{'a' * 64}.example.org/",
    f"https://{'a.' * 130}org/",
    # the host's numbers, as some readers read them
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0X7F000001/",
    "https://017700000001/",
    "https://127.1/",
    "https://127.0.1/",
    "https://0177.0.0.1/",
    "https://0x7f.0.0.1/",
    "https://127.0.0.0x1/",
    "https://0x7f.1/",
    "https://127.0.0.01/",
    "https://127.0.0.1./",
    "https://127.0.0.256/",
    "https://1.2.3.4.5/",
    "https://0/",
    "https://0x/",
    "https://169.16689662/",
    "https://audio.example.123/",
    # in other scripts
    "https://\uff11\uff12\uff17.\uff10.\uff10.\uff11/",
    "https://①②⑦.⓪.⓪.①/",
    "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ.example/",
    "https://127。0。0。1。/",
    "https://audio.example。org。/",
    "https://xn--\u00fc.example/",
    "https://\u0661\u0662\u0667.\u0660.\u0660.\u0661/",
    # brackets
    "https://[::1/",
    "https://::1/",
    "https://[::1]x/",
    "https://[::1]]/",
    "https://[[::1]]/",
    "https://[::1%25lo]/",
    "https://[fe80::1%eth0]/",
    "https://[127.0.0.1]/",
    "https://[v1.a]/",
    "https://[audio.example.org]/",
    "https://[::ffff:127.1]/",
    # ports
    "https://audio.example.org:/",
    "https://audio.example.org:0/",
    "https://audio.example.org:65536/",
    "https://audio.example.org:443:80/",
    "https://audio.example.org:\uff14\uff14\uff13/",
    "https://audio.example.org:+443/",
    "https://audio.example.org:https/",
    f"https://audio.example.org/{'a' * 8192}",
]


@pytest.mark.parametrize("url", REFUSED)
def test_these_are_refused(url: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_url(url)
    assert (refused.value.code, refused.value.param) == ("invalid_audio_url", "url")


def test_a_user_in_the_url_is_what_the_message_names() -> None:
    with pytest.raises(InvalidRequest, match="name or a password"):
        parse_url("https://user:secret@audio.example.org/")


def test_a_full_stop_in_another_script_is_one() -> None:
    assert parse_url("https://127。0。0。1/").address == IPv4Address("127.0.0.1")


def test_a_host_that_is_an_address_is_told() -> None:
    assert parse_url("http://127.0.0.1/").address == IPv4Address("127.0.0.1")
    assert parse_url("http://[::1]/").address == IPv6Address("::1")
    assert parse_url("http://[::ffff:127.0.0.1]/").address == IPv6Address("::ffff:127.0.0.1")
    assert parse_url("http://127.0.0.1.example.org/").address is None


def test_the_host_header_has_the_port_only_where_it_is_unusual() -> None:
    assert parse_url("https://audio.example.org:443/").authority == "audio.example.org"
    assert parse_url("https://audio.example.org:80/").authority == "audio.example.org:80"
    assert parse_url("http://[2606:2800::1]:8080/").authority == "[2606:2800::1]:8080"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("/b", "https://audio.example.org/b"),
        ("b?c", "https://audio.example.org/dir/b?c"),
        ("../b", "https://audio.example.org/b"),
        ("//other.example.org/b", "https://other.example.org/b"),
        ("http://other.example.org:8080/b", "http://other.example.org:8080/b"),
        ("", "https://audio.example.org/dir/a"),
        ("//127.0.0.1/", "https://127.0.0.1/"),
    ],
)
def test_redirects_lead_where_they_say(reference: str, expected: str) -> None:
    assert resolve_reference(parse_url("https://audio.example.org/dir/a"), reference).url == expected


@pytest.mark.parametrize(
    "reference",
    [
        "file:///etc/passwd",
        "data:,x",
        "//user@other.example.org/",
        "/\\other",
        "/a\r\nb",
        "\t//x.org",
        "//[::1",
        "//0",
        "https:a",
        "https:///a",
    ],
)
def test_redirects_are_read_as_strictly(reference: str) -> None:
    with pytest.raises(InvalidRequest):
        resolve_reference(parse_url("https://audio.example.org/dir/a"), reference)
