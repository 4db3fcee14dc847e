"""`speechsum keys`, as an operator types it."""

import asyncio
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli import main
from app.database.connection import database_url, open_database
from app.keys.store import KeyStore, StoredKey
from app.keys.webhook_secrets import WebhookSecrets, parse_secret


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPEECHSUM_JOBS__FOLDER", str(tmp_path))
    return tmp_path


def find_key(folder: Path, text: str) -> StoredKey | None:
    async def find() -> StoredKey | None:
        database = await open_database(database_url("", folder))
        try:
            return await KeyStore(database).find_valid(text)
        finally:
            await database.dispose()

    return asyncio.run(find())


def test_a_key_is_made_listed_and_revoked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = ["keys", "create", "front desk", "--scopes", "jobs", "--requests-per-minute", "5", "--days", "30"]
    assert main(made) == 0
    printed = capsys.readouterr()
    text = printed.out.strip()
    assert "not stored" in printed.err
    assert "SPEECHSUM_AUTH__REQUIRED=true" in printed.err, "a key is of little use where none is required"
    key = find_key(folder, text)
    assert key is not None
    assert (key.name, key.scopes, key.requests_per_minute) == ("front desk", {"jobs"}, 5)
    assert key.expires == pytest.approx(key.created + 30 * 86_400)
    assert main(["keys", "list"]) == 0
    line = capsys.readouterr().out
    assert line.startswith(key.id)
    assert "valid until" in line
    assert "never used" in line
    assert "  5 requests/min  " in line
    assert "any audio min/day (default)" in line
    assert text not in line
    assert main(["keys", "revoke", key.id]) == 0
    assert find_key(folder, text) is None
    assert main(["keys", "list"]) == 0
    assert "revoked" in capsys.readouterr().out


def test_quotas_that_the_settings_give_are_listed_as_such(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPEECHSUM_AUTH__REQUIRED", "true")
    monkeypatch.setenv("SPEECHSUM_AUTH__REQUESTS_PER_MINUTE", "30")
    assert main(["keys", "create", "usual"]) == 0
    assert "Warning" not in capsys.readouterr().err
    assert main(["keys", "create", "free", "--requests-per-minute", "0", "--audio-minutes-per-day", "600"]) == 0
    capsys.readouterr()
    assert main(["keys", "list"]) == 0
    usual, free = capsys.readouterr().out.splitlines()
    assert "30 requests/min (default)" in usual
    assert "any requests/min  " in free
    assert "600 audio min/day  " in free


def test_the_last_use_of_a_key_is_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "create", "anna"]) == 0
    text = capsys.readouterr().out.strip()
    key = find_key(folder, text)
    assert key is not None

    async def use() -> None:
        database = await open_database(database_url("", folder))
        await KeyStore(database).record_use(key.id, 1_800_000_000)
        await database.dispose()

    asyncio.run(use())
    assert main(["keys", "list"]) == 0
    assert "last used 2027-01-15 08:00" in capsys.readouterr().out


def test_a_key_gets_a_webhook_secret_and_another(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "create", "anna", "--webhook-secret"]) == 0
    text, secret = capsys.readouterr().out.split()
    key = find_key(folder, text)
    assert key is not None
    assert main(["keys", "list"]) == 0
    assert "own webhook secret" in capsys.readouterr().out
    assert main(["keys", "rotate-webhook", key.id, "--overlap-hours", "2"]) == 0
    printed = capsys.readouterr()
    assert "2 hours" in printed.err
    assert secrets_of(folder, key.id) == [parse_secret(one, "") for one in (printed.out.strip(), secret)]
    digest = hashlib.sha256(b"a key of the settings").hexdigest()
    assert main(["keys", "rotate-webhook", f"sha256:{digest}"]) == 0
    assert secrets_of(folder, digest) == [parse_secret(capsys.readouterr().out.strip(), "")]


def secrets_of(folder: Path, owner: str) -> list[bytes]:
    async def find() -> list[bytes]:
        database = await open_database(database_url("", folder))
        try:
            return await WebhookSecrets(database, []).signing_secrets(owner)
        finally:
            await database.dispose()

    return asyncio.run(find())


def test_nothing_but_the_answer_is_printed(folder: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPEECHSUM_")}
    command = [sys.executable, "-m", "app", "keys", "list"]
    done = subprocess.run(
        command,
        env=environment | {"SPEECHSUM_JOBS__FOLDER": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["create", "x", "--scopes", "cook"], "no scope cook"),
        (["create", "x", "--days", "-1"], "--days is -1"),
        (["revoke", "nobody"], "no key 'nobody'"),
        (["rotate-webhook", "nobody"], "no key 'nobody'"),
        (["rotate-webhook", "sha256:123"], "no key 'sha256:123'"),
        (["rotate-webhook", "nobody", "--overlap-hours", "nan"], "--overlap-hours is nan"),
    ],
)
def test_what_makes_no_sense_is_said(typed: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", *typed]) == 2
    assert said in capsys.readouterr().err
