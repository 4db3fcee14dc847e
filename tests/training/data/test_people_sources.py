import hashlib
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.recordings import encode_audio
from training.data import people_sources
from training.data.people_sources import PAUSE_S, WrongSound, fetch_packages, generate_noise, read_sounds


def tone(seconds: float, frequency: float) -> bytes:
    """A tone as a WAV file."""
    return encode_audio(np.sin(np.arange(round(16_000 * seconds)) * 2 * np.pi * frequency / 16_000).astype(np.float32))


def write_archive(file: Path, members: dict[str, bytes]) -> None:
    """Write an archive of ScummVM's engine "queen"."""
    start = 15 + 21 * len(members)
    table = body = b""
    for name, data in members.items():
        table += name.encode().ljust(12, b"\0") + b"\1" + (start + len(body)).to_bytes(4) + len(data).to_bytes(4)
        body += data
    file.write_bytes(b"QTBLCEM10\0\0\0\1" + len(members).to_bytes(2) + table + body)


def test_sounds_are_joined_with_pauses(tmp_path: Path) -> None:
    (tmp_path / "long.wav").write_bytes(tone(0.5, 300))
    (tmp_path / "short.wav").write_bytes(tone(0.25, 300))
    samples = read_sounds(tmp_path, ["long.wav", "short.wav"])
    assert samples.dtype == np.float32
    assert len(samples) == round((0.5 + PAUSE_S + 0.25) * 16_000)
    assert not samples[8_000 : 8_000 + round(PAUSE_S * 16_000)].any()


def test_members_of_an_archive_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    write_archive(tmp_path / "a.1c", {"A_02.SB": tone(0.5, 300), "B_01.SB": tone(3, 300), "A_01.SB": tone(0.25, 300)})
    samples = read_sounds(tmp_path, ["a.1c#A_*.SB"])
    assert len(samples) == round((0.25 + PAUSE_S + 0.5) * 16_000)
    assert not samples[4_000 : 4_000 + round(PAUSE_S * 16_000)].any()
    with pytest.raises(WrongSound, match=r"a\.1c has no sound C_\*"):
        read_sounds(tmp_path, ["a.1c#C_*"])


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.1c").write_bytes(tone(0.1, 300))
    with pytest.raises(WrongSound, match="begins with b'RIFF'"):
        read_sounds(tmp_path, ["a.1c#A_*"])


def test_a_missing_file_and_one_that_is_no_sound_are_named(tmp_path: Path) -> None:
    with pytest.raises(WrongSound, match=r"one\.wav is not in the packages"):
        read_sounds(tmp_path, ["one.wav"])
    (tmp_path / "one.wav").write_bytes(b"no sound")
    with pytest.raises(WrongSound, match=r"one\.wav cannot be read"):
        read_sounds(tmp_path, ["one.wav"])


def test_the_digest_of_all_sounds_decides(tmp_path: Path) -> None:
    first, second = tone(0.1, 300), tone(0.1, 600)
    (tmp_path / "1.wav").write_bytes(first)
    (tmp_path / "2.wav").write_bytes(second)
    digest = hashlib.sha256(first + second).hexdigest()
    assert len(read_sounds(tmp_path, ["1.wav", "2.wav"], digest))
    with pytest.raises(WrongSound, match=f"should be {digest}, but is"):
        read_sounds(tmp_path, ["2.wav", "1.wav"], digest)


@pytest.mark.parametrize(("exponent", "least", "most"), [(0, 0.8, 1.25), (1, 6, 12), (2, 50, 130)])
def test_the_power_of_noise_falls_with_the_frequency(exponent: float, least: float, most: float) -> None:
    noise = generate_noise(8, exponent, 1)
    power = np.abs(np.fft.rfft(noise)) ** 2
    low, high = (power[8 * hertz - 400 : 8 * hertz + 400].mean() for hertz in (500, 4_500))
    assert least < low / high < most
    assert np.array_equal(noise, generate_noise(8, exponent, 1))
    assert not np.array_equal(noise, generate_noise(8, exponent, 2))


def test_packages_are_fetched_once_and_an_ended_run_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two small programs stand for apt-get and dpkg-deb; the first fails for the second package until it is allowed."""
    (tmp_path / "bin").mkdir()
    programs = {
        "apt-get": f'echo "$3" >> {tmp_path}/log\n[ "$3" = one ] || [ -e {tmp_path}/ok ] || exit 7\ntouch "$3.deb"',
        "dpkg-deb": 'mkdir -p "$3" && basename "$2" > "$3/$(basename "$2" .deb)"',
    }
    for name, body in programs.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setattr(people_sources, "PACKAGES", ("one", "two"))
    with pytest.raises(subprocess.CalledProcessError):
        fetch_packages(tmp_path / "cache")
    (tmp_path / "ok").touch()
    files = fetch_packages(tmp_path / "cache")
    assert fetch_packages(tmp_path / "cache") == files
    assert [file.read_text().strip() for file in sorted(files.iterdir())] == ["one.deb", "two.deb"]
    assert (tmp_path / "log").read_text().split() == ["one", "two", "two"]
