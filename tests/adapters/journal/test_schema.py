"""The schema is made and checked at opening, and keeps the journal append-only whoever asks."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from bot.adapters.journal import open_journal, schema, tables
from bot.domain.events import BotStarted
from bot.flows.ports import Entry, JournalUnavailable
from tests.contracts.postgres import Postgres, running_postgres

ROOT = Path(__file__).parents[3]
STARTED = Entry(event=BotStarted(version="1", runner="r"), source_key="k")
CHANGES = ("UPDATE journal SET kind = 'Nothing'", "DELETE FROM journal", "DELETE FROM journal WHERE sequence = 1")


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with running_postgres() as postgres:
        yield postgres


def test_the_last_step_is_the_one_that_the_program_expects() -> None:
    directory = Path(schema.__file__).parent / "migrations"
    assert ScriptDirectory(str(directory)).get_heads() == [schema.HEAD]


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_the_steps_make_the_tables_that_the_program_uses(database: str, tmp_path: Path, server: Postgres) -> None:
    url = f"sqlite:///{tmp_path}/journal.db" if database == "sqlite" else server.database()
    await (await open_journal(url)).close()
    engine = create_engine(url)
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), tables.metadata)
    engine.dispose()
    assert differences == []


@pytest.mark.parametrize(
    "statement",
    [
        *CHANGES,
        "INSERT OR REPLACE INTO journal SELECT 1, recorded_at, at_source, NULL, 'Other', body FROM journal",
        "INSERT OR REPLACE INTO journal SELECT 9, recorded_at, at_source, 'k', 'Other', body FROM journal",
    ],
)
async def test_sqlite_refuses_to_change_what_is_recorded(statement: str, tmp_path: Path) -> None:
    journal = await open_journal(f"sqlite:///{tmp_path}/journal.db")
    before = await journal.append(STARTED)
    other = sqlite3.connect(tmp_path / "journal.db")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        other.execute(statement)
    other.close()
    assert await journal.read() == before
    await journal.close()


@pytest.mark.parametrize("statement", [*CHANGES, "TRUNCATE journal"])
async def test_postgresql_refuses_to_change_what_is_recorded(statement: str, server: Postgres) -> None:
    url = server.database()
    journal = await open_journal(url)
    before = await journal.append(STARTED)
    with pytest.raises(RuntimeError, match="append-only"):
        server.sql(url, statement)
    assert await journal.read() == before
    await journal.close()


async def test_a_schema_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/journal.db"
    await (await open_journal(url)).close()
    other = sqlite3.connect(tmp_path / "journal.db")
    other.execute("UPDATE alembic_version SET version_num = '9999'")
    other.commit()
    other.close()
    with pytest.raises(JournalUnavailable, match="schema is 9999"):
        await open_journal(url)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_processes_that_open_a_new_journal_at_once_make_it_once(
    database: str, tmp_path: Path, server: Postgres
) -> None:
    url = f"sqlite:///{tmp_path}/journal.db" if database == "sqlite" else server.database()
    journals = await asyncio.gather(*(open_journal(url) for _ in range(8)))
    await asyncio.gather(*(journal.append(Entry(event=STARTED.event)) for journal in journals))
    assert await journals[0].last_sequence() == 8
    for journal in journals:
        await journal.close()


def test_a_journal_whose_schema_is_current_is_opened_without_alembic(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from bot.adapters.journal import open_journal\n"
        "async def main():\n"
        "    await (await open_journal(sys.argv[1])).close()\n"
        "    print('alembic' in sys.modules)\n"
        "asyncio.run(main())\n"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", program, f"sqlite:///{tmp_path}/journal.db"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for _ in range(2)
    ]
    assert printed == ["True", "False"]
