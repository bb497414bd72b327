"""What goes wrong with a store is said in words, stops nothing else, and ends when its cause does."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from bot.adapters.journal import Unstorable, open_journal
from bot.adapters.journal.database import Target
from bot.domain.events import BotStarted
from bot.domain.health import Outcome, ProbeResult
from bot.flows.ports import Entry, JournalUnavailable
from tests.contracts.postgres import Postgres, running_postgres

ROOT = Path(__file__).parents[3]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
STARTED = Entry(event=BotStarted(version="1", runner="r"))


class Counting:
    """A clock that moves a second at every look: one look is one transaction of the writer."""

    def __init__(self) -> None:
        self.looks = 0

    def now(self) -> datetime:
        self.looks += 1
        return datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=self.looks)

    def monotonic(self) -> float:
        return float(self.looks)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def url(file: Path) -> str:
    return f"sqlite:///{file}"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with running_postgres() as postgres:
        yield postgres


async def test_a_database_that_another_program_locks_is_unavailable_until_it_lets_go(url: str, file: Path) -> None:
    journal = await open_journal(url, busy_timeout_s=0.05)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalUnavailable, match=r"database is locked\. Next: another program holds its lock"):
        await journal.append(STARTED)
    assert await journal.read() == ()
    other.execute("ROLLBACK")
    other.close()
    assert len(await journal.append(STARTED)) == 1
    await journal.close()


async def test_what_is_queued_behind_a_slow_commit_goes_into_one_transaction(url: str, file: Path) -> None:
    clock = Counting()
    journal = await open_journal(url, busy_timeout_s=60, clock=clock)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    appends = [asyncio.create_task(journal.append(STARTED)) for _ in range(100)]
    assert await journal.last_sequence() == 0  # reading, and the loop, go on while the writer waits
    assert not any(append.done() for append in appends)
    other.execute("ROLLBACK")
    other.close()
    await asyncio.gather(*appends)
    assert await journal.last_sequence() == 100
    assert clock.looks <= 2
    await journal.close()


async def test_one_bad_append_does_not_spoil_those_beside_it(url: str, file: Path) -> None:
    journal = await open_journal(url, busy_timeout_s=60)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    naive = ProbeResult(probe="p", outcome=Outcome.HEALTHY, started_at=NOON.replace(tzinfo=None), latency_s=0.1)
    good, bad, fine = journal.append(STARTED), journal.add_samples([naive]), journal.append(STARTED)
    tasks = [asyncio.ensure_future(each) for each in (good, bad, fine)]
    await asyncio.sleep(0)
    other.execute("ROLLBACK")
    other.close()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[1], Unstorable)
    assert "no time zone" in str(results[1])
    assert await journal.last_sequence() == 2
    await journal.close()


async def test_a_cancelled_append_leaves_the_journal_in_order(url: str) -> None:
    journal = await open_journal(url)
    tasks = [asyncio.create_task(journal.append(STARTED)) for _ in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await journal.append(STARTED)
    kept = await journal.read()
    assert [r.sequence for r in kept] == list(range(1, len(kept) + 1))
    assert len(kept) >= 11
    await journal.close()


def test_a_disk_that_takes_no_more_stops_the_appends_in_words_and_loses_none(url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.adapters.journal.filling", url],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    acknowledged, refused, later = done.stdout.splitlines()
    assert int(acknowledged) > 0
    assert "disk" in refused
    assert "Next: " in refused
    assert int(later) == int(acknowledged) + 1


@pytest.mark.parametrize(
    ("pragma", "statement", "words"),
    [
        (
            "max_page_count = 2",
            "INSERT INTO t VALUES (zeroblob(100000))",
            "disk is full. Next: free space on that disk",
        ),
        ("query_only = 1", "INSERT INTO t VALUES (1)", "readonly database. Next: give the bot's account write access"),
    ],
)
def test_sqlite_s_own_errors_come_with_the_next_step(file: Path, pragma: str, statement: str, words: str) -> None:
    target = Target.of(f"sqlite:///{file}", None, 1.0)
    engine = create_engine(target.url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE t (x)"))
    with engine.connect() as connection:
        connection.execute(text(f"PRAGMA {pragma}"))
        with pytest.raises(SQLAlchemyError) as raised:
            connection.execute(text(statement))
        connection.execute(text("PRAGMA query_only = 0"))
    engine.dispose()
    assert words in str(target.unavailable(raised.value))
    assert str(file) in str(target.unavailable(raised.value))


async def test_a_file_that_is_no_database_is_refused(url: str, file: Path) -> None:
    with file.open("wb") as stream:
        stream.write(b"a shopping list\n" * 100)
    with pytest.raises(JournalUnavailable, match=r"not a database\. Next: the file is something else"):
        await open_journal(url)


async def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalUnavailable, match=r"file/journal\.db: .*(File exists|Not a directory)"):
        await open_journal(f"sqlite:///{tmp_path}/file/journal.db")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://host/db", "no url"])
async def test_a_url_that_names_no_durable_store_is_refused(url: str) -> None:
    with pytest.raises(JournalUnavailable):
        await open_journal(url)


async def test_a_record_of_a_newer_version_is_named_with_its_place(url: str, file: Path) -> None:
    journal = await open_journal(url)
    await journal.append(STARTED)
    other = sqlite3.connect(file)
    moment = "2026-03-01T12:00:00.000000Z"
    other.execute("INSERT INTO journal VALUES (2, ?, ?, NULL, 'VipMelted', '{}')", (moment, moment))
    other.commit()
    other.close()
    with pytest.raises(JournalUnavailable, match="entry 2: events of the kind 'VipMelted' are not known"):
        await journal.read()
    assert len(await journal.read(kinds=["BotStarted"])) == 1
    await journal.close()


async def test_a_postgresql_that_does_not_run_is_unavailable_and_its_password_stays_secret() -> None:
    with pytest.raises(JournalUnavailable) as raised:
        await open_journal("postgresql+psycopg://lvsbot@127.0.0.1:1/journal", password=SecretStr("hunter2hunter2"))
    assert "check that the database server runs" in str(raised.value)
    assert "hunter2" not in str(raised.value)


async def test_a_connection_that_died_in_its_sleep_is_opened_anew(server: Postgres) -> None:
    url = server.database()
    journal = await open_journal(url)
    await journal.append(STARTED)
    server.sql(url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lvsbot'")
    assert [r.sequence for r in await journal.append(STARTED) if r] == [2]
    assert await journal.last_sequence() == 2
    await journal.close()


async def test_a_bot_that_lost_its_lock_to_another_writes_nothing_more(server: Postgres) -> None:
    url = server.database()
    first, second = await open_journal(url), await open_journal(url)
    await first.hold_bot_lock()
    server.sql(
        url,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')",
    )
    await second.hold_bot_lock()
    with pytest.raises(JournalUnavailable, match="another `bot run`"):
        await first.append(STARTED)
    await second.append(STARTED)
    assert await second.last_sequence() == 1
    await first.close()
    await second.close()


async def test_postgresql_refuses_a_source_key_that_it_cannot_hold_without_spoiling_others(server: Postgres) -> None:
    journal = await open_journal(server.database())
    bad = Entry(event=STARTED.event, source_key="a\x00b")
    results = await asyncio.gather(
        journal.append(STARTED), journal.append(bad), journal.append(STARTED), return_exceptions=True
    )
    assert isinstance(results[1], Unstorable)
    assert await journal.last_sequence() == 2
    await journal.close()
