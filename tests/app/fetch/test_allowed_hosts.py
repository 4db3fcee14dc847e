"""The allow-list: what a pattern takes in, and what only looks as if it did."""

import pytest

from app.fetch.allowed_hosts import AllowedHosts


@pytest.mark.parametrize(
    ("patterns", "allowed", "refused"),
    [
        ([], [], ["audio.example.org", "93.184.215.14"]),
        (["*"], ["audio.example.org", "93.184.215.14", "2606:2800::1"], []),
        (
            ["audio.example.org"],
            ["audio.example.org"],
            ["example.org", "x.audio.example.org", "xaudio.example.org", "audio.example.org.evil.com"],
        ),
        (
            ["*.Example.org"],
            ["audio.example.org", "a.b.example.org"],
            ["example.org", "evilexample.org", "audio.example.org.evil.com", "org"],
        ),
        (["one.example", "*.two.example"], ["one.example", "a.two.example"], ["a.one.example", "two.example"]),
        (["bücher.example"], ["xn--bcher-kva.example"], []),
        (["93.184.215.14", "[2606:2800::0001]"], ["93.184.215.14", "2606:2800::1"], ["93.184.215.15"]),
    ],
)
def test_patterns(patterns: list[str], allowed: list[str], refused: list[str]) -> None:
    hosts = AllowedHosts(patterns)
    assert [host for host in allowed + refused if host in hosts] == allowed
    assert bool(hosts) == bool(patterns)


@pytest.mark.parametrize(
    "pattern",
    [
        "*.org",
        "*example.org",
        "a.*.org",
        "https://a.example",
        "a.example:443",
        "a.example/x",
        "*.1.2.3.4",
        "**",
        "a b.c",
    ],
)
def test_what_is_no_pattern_is_refused_by_name(pattern: str) -> None:
    with pytest.raises(ValueError, match="is not a host"):
        AllowedHosts([pattern])
