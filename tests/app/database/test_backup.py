"""Backup, restoration, upgrade and roll-back, with services that run and with versions that differ."""

import asyncio
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from app.cli import main
from app.database.connection import (
    database_url,
    downgrade_database,
    open_database,
    read_database_revision,
)
from app.database.errors import DatabaseUnusable
from app.database.revisions import MIGRATIONS, known_revisions
from app.jobs.backup import BackupError, back_up, restore
from app.settings import JobSettings
from tests.app.api.test_jobs import JOBS, queue_job, wait_until_ended
from tests.app.database.postgres import postgres_program, postgres_url
from tests.app.models.scripted_models import GatedEngine
from tests.app.running_service import serving, until

NEWEST = known_revisions()[-1]


async def test_a_backup_of_a_running_service_is_taken_up_elsewhere(tmp_path: Path) -> None:
    engine = GatedEngine("A ", "summary.")
    async with serving(engine, jobs={"workers": 1, "folder": str(tmp_path / "first")}) as site:
        done = await queue_job(site)
        await wait_until_ended(site, done["id"])
        engine.may_write.clear()
        running = await queue_job(site)
        await until(lambda: engine.running_requests == 1)
        waiting = await queue_job(site)
        made = back_up(JobSettings(folder=tmp_path / "first"), tmp_path / "backup")
        assert (made.revision, made.recordings) == (NEWEST, 2)
        engine.may_write.set()
        late = await queue_job(site)
    restored = restore(JobSettings(folder=tmp_path / "second"), tmp_path / "backup")
    assert restored == made
    async with serving(jobs={"folder": str(tmp_path / "second"), "lease_seconds": 0.3}) as site:
        for job in (running, waiting):
            assert (await wait_until_ended(site, job["id"]))["state"] == "succeeded"
        assert (await wait_until_ended(site, done["id"]))["summary"]["summary"] == "A summary."
        assert (await site.client.get(f"{JOBS}/{late['id']}")).status_code == 404, "it came after the backup"


async def test_a_job_that_ends_while_it_is_copied_is_copied_as_it_is_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(jobs={"workers": 0, "folder": str(tmp_path / "first")}) as site:
        first, second = await queue_job(site), await queue_job(site)
        job = await site.jobs.store.get(first["id"], "")
        assert job is not None
        copyfile, file = shutil.copyfile, tmp_path / "first" / "speechsum.db"

        def end_job_meanwhile(source: Path, target: Path) -> None:
            if Path(source).name == job.blob:
                with closing(sqlite3.connect(file)) as database, database:
                    database.execute("UPDATE jobs SET state = 'cancelled' WHERE id = ?", (job.id,))
                Path(source).unlink()
            copyfile(source, target)

        monkeypatch.setattr("app.jobs.backup.shutil.copyfile", end_job_meanwhile)
        made = back_up(JobSettings(folder=tmp_path / "first"), tmp_path / "backup")
    assert made.recordings == 1
    assert len(list((tmp_path / "backup" / "recordings").iterdir())) == 1
    with closing(sqlite3.connect(tmp_path / "backup" / "speechsum.db")) as database:
        states = dict(database.execute("SELECT id, state FROM jobs"))
    assert states == {first["id"]: "cancelled", second["id"]: "queued"}


async def test_nothing_is_overwritten_and_the_reason_is_said(tmp_path: Path) -> None:
    jobs = JobSettings(folder=tmp_path / "state")
    with pytest.raises(BackupError, match="there is no database"):
        back_up(jobs, tmp_path / "backup")
    await (await open_database(database_url("", jobs.folder))).dispose()
    with pytest.raises(BackupError, match="holds no backup"):
        restore(jobs, tmp_path / "backup")
    back_up(jobs, tmp_path / "backup")
    with pytest.raises(BackupError, match="is not empty"):
        back_up(jobs, tmp_path / "backup")
    with pytest.raises(BackupError, match=r"there is a database already.*speechsum\.db away"):
        restore(jobs, tmp_path / "backup")
    with pytest.raises(BackupError, match="pg_dump"):
        back_up(JobSettings(folder=jobs.folder, database="postgresql://server/name"), tmp_path / "other")
    with pytest.raises(BackupError, match="SPEECHSUM_JOBS__BLOBS"):
        back_up(JobSettings(folder=jobs.folder, blobs="s3://bucket/path"), tmp_path / "other")


@pytest.fixture
def older_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The version of this program before the newest revision, in place of this one; returns its newest revision."""
    folder = tmp_path / "older"
    shutil.copytree(MIGRATIONS, folder)
    for file in (folder / "versions").glob(f"{NEWEST}_*.py"):
        file.unlink()
    monkeypatch.setattr("app.database.revisions.MIGRATIONS", folder)
    return known_revisions()[-1]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_an_older_version_refuses_a_newer_database_and_reads_it_once_it_is_brought_back(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, older_version: str
) -> None:
    url = database_url("" if kind == "sqlite" else postgres_url(), tmp_path)
    with monkeypatch.context() as newer:
        newer.setattr("app.database.revisions.MIGRATIONS", MIGRATIONS)
        database = await open_database(url)
        async with database.begin() as connection:
            await connection.execute(
                text("INSERT INTO keys (id, name, digest, scopes, created) VALUES ('k', 'n', 'd', '[]', 1)")
            )
        await database.dispose()
    with pytest.raises(DatabaseUnusable, match=rf"newer version.*revision {NEWEST}.*up to {older_version}"):
        await open_database(url)
    with monkeypatch.context() as newer:
        newer.setattr("app.database.revisions.MIGRATIONS", MIGRATIONS)
        with pytest.raises(ValueError, match="cannot be brought back to 'nothing'"):
            await downgrade_database(url, "nothing")
        await downgrade_database(url, older_version)
    database = await open_database(url)
    async with database.connect() as connection:
        assert (await connection.execute(text("SELECT id FROM keys"))).scalars().all() == ["k"]
    await database.dispose()
    assert await read_database_revision(url) == older_version
    monkeypatch.setattr("app.database.revisions.MIGRATIONS", MIGRATIONS)
    await (await open_database(url)).dispose()
    assert await read_database_revision(url) == NEWEST, "the newer version brings it forward again"


async def test_a_backup_of_a_newer_version_is_not_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = JobSettings(folder=tmp_path / "state")
    await (await open_database(database_url("", jobs.folder))).dispose()
    back_up(jobs, tmp_path / "backup")
    with closing(sqlite3.connect(tmp_path / "backup" / "speechsum.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    elsewhere = JobSettings(folder=tmp_path / "elsewhere")
    with pytest.raises(DatabaseUnusable, match="newer version"):
        restore(elsewhere, tmp_path / "backup")
    assert not elsewhere.folder.exists()


async def test_postgresql_is_dumped_and_restored_by_its_own_tools(tmp_path: Path) -> None:
    source, target = postgres_url(), postgres_url()
    async with serving(jobs={"workers": 0, "database": source, "folder": str(tmp_path)}) as site:
        job = await queue_job(site)
        dump = tmp_path / "speechsum.dump"
        for program, *arguments in (
            ["pg_dump", "--format=custom", f"--file={dump}", _plain(source)],
            ["pg_restore", "--clean", "--if-exists", f"--dbname={_plain(target)}", str(dump)],
        ):
            command = [postgres_program(program), *arguments]
            await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True)
    async with serving(jobs={"workers": 1, "database": target, "folder": str(tmp_path)}) as site:
        assert (await wait_until_ended(site, job["id"]))["state"] == "succeeded"


def test_the_command_line_backs_up_restores_and_downgrades(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPEECHSUM_JOBS__FOLDER", str(tmp_path / "state"))
    assert main(["database", "status"]) == 0
    assert "revision  none" in capsys.readouterr().out
    assert main(["database", "backup", str(tmp_path / "backup")]) == 2
    assert "there is no database" in capsys.readouterr().err
    assert main(["keys", "list"]) == 0
    assert main(["database", "backup", str(tmp_path / "backup")]) == 0
    monkeypatch.setenv("SPEECHSUM_JOBS__FOLDER", str(tmp_path / "elsewhere"))
    assert main(["database", "restore", str(tmp_path / "backup")]) == 0
    assert main(["database", "downgrade", "0004"]) == 0
    capsys.readouterr()
    assert main(["database", "status"]) == 0
    printed = capsys.readouterr().out
    assert "revision  0004" in printed
    assert f"newest    {NEWEST}" in printed


def _plain(url: str) -> str:
    """The URL as PostgreSQL's programs read it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
