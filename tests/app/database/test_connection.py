"""Opening a database: its revision, and what cannot be opened."""

import asyncio
import logging
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import inspect, select, text

from app.cli import main
from app.database.connection import Database, database_url, open_database
from app.database.errors import DatabaseUnusable
from app.database.tables import DELIVERIES, JOBS, metadata
from tests.app.database.postgres import postgres_url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return database_url("" if request.param == "sqlite" else postgres_url(), tmp_path)


async def run(url: str, *statements: str) -> None:
    database = await open_database(url)
    async with database.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))
    await database.dispose()


async def columns_of(database: Database) -> dict[str, set[str]]:
    async with database.connect() as connection:
        return await connection.run_sync(
            lambda sync: {
                table: {column["name"] for column in inspect(sync).get_columns(table)}
                for table in inspect(sync).get_table_names()
                if table != "alembic_version"
            }
        )


async def test_the_tables_are_what_the_program_says(url: str) -> None:
    database = await open_database(url)
    found = await columns_of(database)
    assert found == {name: {column.name for column in table.columns} for name, table in metadata.tables.items()}
    await database.dispose()


async def test_what_an_older_version_left_is_brought_along(url: str) -> None:
    database = await open_database(url)
    async with database.begin() as connection:
        await connection.run_sync(_downgrade, "0002")
        await connection.execute(
            text(
                "INSERT INTO jobs (id, owner, state, created, fields, blob, blob_bytes, attempt, leased_by, "
                "leased_until) VALUES ('job-1', 'anna', 'running', 1, '[]', 'b', 3, 1, 'gone', 2)"
            )
        )
        await connection.execute(
            text(
                "INSERT INTO deliveries (id, job, url, body, state, created, due, attempt) "
                "VALUES ('msg', 'job-1', 'https://Example.org:8443/x', '{}', 'pending', 1, 1, 0)"
            )
        )
    await database.dispose()
    database = await open_database(url)
    async with database.connect() as connection:
        (job,) = (await connection.execute(select(JOBS))).mappings()
        (delivery,) = (await connection.execute(select(DELIVERIES))).mappings()
    assert (job["caller"], job["fence"], job["renewals"], job["state"]) == ("anna", 0, 0, "running")
    assert delivery["host"] == "example.org:8443"
    await database.dispose()


async def test_a_database_of_a_newer_version_is_named_as_that(url: str) -> None:
    await run(url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseUnusable, match=r"newer version of speechsum.*revision 9999.*up to 0005") as refused:
        await open_database(url)
    assert "SPEECHSUM_JOBS__DATABASE" in str(refused.value)


async def test_the_migrations_steps_are_not_in_the_log(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        await run(url)
    assert not [record for record in caplog.records if record.name.startswith("alembic")]


@pytest.mark.parametrize("what", ["garbage", "folder", "server", "name"])
async def test_what_cannot_be_opened_is_said_in_a_sentence(what: str, tmp_path: Path) -> None:
    url = database_url("", tmp_path)
    if what == "garbage":
        (tmp_path / "speechsum.db").write_bytes(b"this is no database at all" * 100)
    elif what == "folder":
        (tmp_path / "speechsum.db").mkdir()
    elif what == "name":
        url = database_url(postgres_url().replace("/test_", "/no_test_"), tmp_path)
    else:
        url = database_url("postgresql://someone:secret@127.0.0.1:1/nothing", tmp_path)
    with pytest.raises(DatabaseUnusable, match=r"cannot be opened: .+ SPEECHSUM_JOBS__FOLDER") as refused:
        await open_database(url)
    assert "secret" not in str(refused.value)


def test_the_command_line_says_so_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPEECHSUM_JOBS__FOLDER", str(tmp_path))
    (tmp_path / "speechsum.db").write_bytes(b"this is no database at all" * 100)
    before = signal.getsignal(signal.SIGTERM)
    try:
        for command in (["keys", "list"], ["serve", "--model", "scripted", "--port", "0"]):
            assert main(command) == 2
            printed = capsys.readouterr().err
            assert "speechsum: the database " in printed
            assert "Traceback" not in printed
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_the_service_says_so_without_a_traceback_and_fails(tmp_path: Path) -> None:
    await run(database_url("", tmp_path), "UPDATE alembic_version SET version_num = '9999'")
    script = f"""
import sys, uvicorn
from app.engine.scripted import ScriptedEngine
from app.main import create_app
from tests.app.running_service import WaveDecoder, settings_for
app = create_app(settings_for(jobs={{"folder": {str(tmp_path)!r}}}), ScriptedEngine(), decoder=WaveDecoder())
uvicorn.Server(uvicorn.Config(app, port=0)).run()
sys.exit(0 if app.state.service.failure is None else 1)
"""
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode != 0
    assert "newer version of speechsum" in done.stderr
    assert "Traceback" not in done.stderr


def _downgrade(connection: object, revision: str) -> None:
    from alembic import command
    from alembic.config import Config

    from app.database.revisions import MIGRATIONS

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.downgrade(config, revision)
