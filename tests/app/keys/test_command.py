"""`speechsum keys`, as an operator types it."""

import asyncio
from pathlib import Path

import pytest

from app.command_line import main
from app.database.connect import database_url, open_database
from app.keys.store import KeyStore, StoredKey


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPEECHSUM_JOBS__FOLDER", str(tmp_path))
    return tmp_path


def found(folder: Path, text: str) -> StoredKey | None:
    async def find() -> StoredKey | None:
        database = await open_database(database_url("", folder))
        try:
            return await KeyStore(database).find(text)
        finally:
            await database.dispose()

    return asyncio.run(find())


def test_a_key_is_made_listed_and_revoked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = ["keys", "create", "front desk", "--scopes", "jobs", "--requests-per-minute", "5", "--days", "30"]
    assert main(made) == 0
    printed = capsys.readouterr()
    text = printed.out.strip()
    assert "not kept" in printed.err
    key = found(folder, text)
    assert key is not None
    assert (key.name, key.scopes, key.requests_per_minute) == ("front desk", {"jobs"}, 5)
    assert key.expires == pytest.approx(key.created + 30 * 86_400)
    assert main(["keys", "list"]) == 0
    line = capsys.readouterr().out
    assert line.startswith(key.id)
    assert "opens until" in line
    assert text not in line
    assert main(["keys", "revoke", key.id]) == 0
    assert found(folder, text) is None
    assert main(["keys", "list"]) == 0
    assert "revoked" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["create", "x", "--scopes", "cook"], "no scope cook"),
        (["create", "x", "--days", "-1"], "--days is -1"),
        (["revoke", "nobody"], "no key 'nobody'"),
    ],
)
def test_what_makes_no_sense_is_said(typed: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", *typed]) == 2
    assert said in capsys.readouterr().err
