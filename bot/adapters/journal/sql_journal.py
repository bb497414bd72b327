"""The journal in a database: SQLite by default, PostgreSQL by URL. Nothing here blocks the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, TypeVar

from pydantic import SecretStr
from sqlalchemy import Connection, delete, func, insert, select
from sqlalchemy.exc import SQLAlchemyError

from bot.adapters.clock import SystemClock
from bot.adapters.journal import schema, tables
from bot.adapters.journal.appending import Row
from bot.adapters.journal.codec import UnreadableRecord, decode, encode
from bot.adapters.journal.database import Link, Target
from bot.adapters.journal.lock import FileLock
from bot.adapters.journal.writer import Append, Fence, Task, Writer
from bot.domain.events import Recorded
from bot.domain.health import Outcome, ProbeResult
from bot.flows.ports import Clock, Entry, JournalUnavailable
from bot.flows.snapshots import Snapshot

T = TypeVar("T")
_SNAPSHOTS = 2  # the newest, and the one before it in case that the newest turns out to be damaged
_RETAINED_AT_ONCE = 5000  # rows deleted in one transaction, so that appends never wait long behind it


async def open_journal(
    url: str,
    *,
    password: SecretStr | None = None,
    clock: Clock | None = None,
    busy_timeout_s: float = 5.0,
    poll_s: float = 0.5,
) -> SqlJournal:
    """Open the journal at *url*, making the database file and bringing its schema up to date where needed.

    *busy_timeout_s* is how long another process's write lock is waited for, *poll_s* how often
    :meth:`SqlJournal.wait_for_news` looks for what others wrote, both in seconds. Raises JournalUnavailable.
    """
    target = Target.of(url, password.get_secret_value() if password else None, busy_timeout_s)
    if target.file is not None:
        try:
            target.file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise target.unavailable(error) from error
    journal = SqlJournal(target, clock or SystemClock(), poll_s)
    try:
        await journal.upgrade()
    except BaseException:
        await journal.close()
        raise
    return journal


class SqlJournal:
    """See :class:`bot.flows.ports.Journal`. Made by :func:`open_journal`, used from one event loop."""

    def __init__(self, target: Target, clock: Clock, poll_s: float) -> None:
        self._target = target
        self._clock = clock
        self._poll_s = poll_s
        self._loop = asyncio.get_running_loop()
        self._writer = Writer(Link(target, writes=True), clock, self._loop)
        self._reading = Link(target, writes=False)
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal-reader")
        self._lock = FileLock(target.file) if target.file else None
        self._last = 0
        self._news = asyncio.Event()
        self._closed = False

    async def upgrade(self) -> None:
        """Bring the schema up to date."""
        await self._in_transaction(schema.upgrade)

    async def append(self, *entries: Entry) -> tuple[Recorded | None, ...]:
        """See :meth:`bot.flows.ports.Journal.append`. Raises ValueError for what cannot be stored.

        If the waiting task is cancelled, the entries may be recorded all the same.
        """
        rows = tuple(_row(entry) for entry in entries)
        if not rows:
            return ()
        done: asyncio.Future[tuple[Recorded | None, ...]] = self._loop.create_future()
        self._give(Append(rows=rows, done=done))
        recorded = await done
        self._note(max((r.sequence for r in recorded if r is not None), default=0))
        return recorded

    def foretell(self, foreseen: Callable[[Recorded], None]) -> None:
        """Call *foreseen* with what an entry is about to be recorded as: it can be prepared, but tell nobody.

        The disk may fail; the entry may be known already, or another process quicker, and what append returns is
        another object then. It is called on the event loop, before the append returns, and not for each.
        """
        self._writer.foreseen = foreseen

    async def read(self, *, after: int = 0, kinds: Sequence[str] = (), limit: int = 1000) -> tuple[Recorded, ...]:
        """See :meth:`bot.flows.ports.Journal.read`. Raises JournalUnavailable, also for a record of a newer version."""
        column = tables.journal.c
        query = select(column.sequence, column.recorded_at, column.at_source, column.kind, column.body)
        query = query.where(column.sequence > after).order_by(column.sequence).limit(limit)
        if kinds:
            query = query.where(column.kind.in_(kinds))

        def work(connection: Connection) -> tuple[Recorded, ...]:
            return tuple(self._recorded(*row) for row in connection.execute(query))

        return await self._in_reader(work)

    async def last_sequence(self) -> int:
        """See :meth:`bot.flows.ports.Journal.last_sequence`; entries of other processes count too."""

        def work(connection: Connection) -> int:
            return connection.execute(select(func.max(tables.journal.c.sequence))).scalar_one() or 0

        return await self._in_reader(work)

    async def wait_for_news(self, after: int) -> int:
        """Wait until there is an entry above *after*, by this process or another; returns the last sequence.

        What this process appends is known at once and without reading, what others append within *poll_s*.
        """
        while self._last <= after:
            try:
                async with asyncio.timeout(self._poll_s):
                    await self._news.wait()
            except TimeoutError:
                self._note(await self.last_sequence())
        return self._last

    async def follow(self, after: int = 0) -> AsyncIterator[Recorded]:
        """Every entry above *after*, those to come included, in order. It ends when the journal cannot be read."""
        while True:
            for recorded in await self.read(after=after):
                yield recorded
                after = recorded.sequence
            await self.wait_for_news(after)

    async def add_samples(self, results: Sequence[ProbeResult]) -> None:
        """See :meth:`bot.flows.ports.Journal.add_samples`."""
        values = [
            {
                "probe": result.probe,
                "started_at": result.started_at,
                "outcome": result.outcome.value,
                "latency_s": result.latency_s,
                "reason": result.reason,
            }
            for result in results
        ]

        def work(connection: Connection) -> None:
            connection.execute(insert(tables.samples), values)

        if values:
            await self._in_transaction(work)

    async def samples(self, probe: str, *, since: datetime, limit: int = 1000) -> tuple[ProbeResult, ...]:
        """The kept results of *probe* that started at or after *since*, oldest first, at most *limit*."""
        column = tables.samples.c
        query = select(column.outcome, column.started_at, column.latency_s, column.reason)
        query = query.where(column.probe == probe, column.started_at >= since)
        query = query.order_by(column.started_at, column.id).limit(limit)

        def work(connection: Connection) -> tuple[ProbeResult, ...]:
            return tuple(
                ProbeResult(probe=probe, outcome=Outcome(outcome), started_at=started, latency_s=latency, reason=reason)
                for outcome, started, latency, reason in connection.execute(query)
            )

        return await self._in_reader(work)

    async def retain_samples(self, older_than: datetime) -> int:
        """Delete the samples that started before *older_than*, a part at a time; returns how many."""
        deleted = 0
        while True:
            count, more = await self._in_transaction(lambda connection: _delete_oldest(connection, older_than))
            deleted += count
            if not more:
                return deleted

    async def keep_snapshot(self, snapshot: Snapshot) -> None:
        """See :meth:`bot.flows.snapshots.SnapshotStore.keep_snapshot`."""
        values = {
            "sequence": snapshot.sequence,
            "made_at": self._clock.now(),
            "made_by": snapshot.made_by,
            "digest": snapshot.digest,
            "body": snapshot.body,
        }
        column = tables.snapshots.c
        kept = select(column.sequence).order_by(column.sequence.desc()).limit(_SNAPSHOTS)

        def work(connection: Connection) -> None:
            connection.execute(delete(tables.snapshots).where(column.sequence == snapshot.sequence))
            connection.execute(insert(tables.snapshots), values)
            connection.execute(delete(tables.snapshots).where(column.sequence.not_in(kept)))

        await self._in_transaction(work)

    async def snapshots(self) -> tuple[Snapshot, ...]:
        """See :meth:`bot.flows.snapshots.SnapshotStore.snapshots`."""
        column = tables.snapshots.c
        query = select(column.sequence, column.made_by, column.digest, column.body).order_by(column.sequence.desc())

        def work(connection: Connection) -> tuple[Snapshot, ...]:
            return tuple(
                Snapshot(sequence=sequence, made_by=made_by, digest=digest, body=bytes(body))
                for sequence, made_by, digest, body in connection.execute(query)
            )

        return await self._in_reader(work)

    async def hold_bot_lock(self) -> None:
        """Make this the one process that acts on the journal, until it is closed; others may still append.

        Raises JournalUnavailable while another `bot run` holds it. On PostgreSQL every write from here on is refused
        if the lock was lost with the connection and another bot took it.
        """
        if self._lock is not None:
            try:
                self._lock.take()
            except OSError as error:
                raise self._target.unavailable(error) from error
            return
        done: asyncio.Future[None] = self._loop.create_future()
        self._give(Fence(done=done))
        await done

    async def close(self) -> None:
        """See :meth:`bot.flows.ports.Journal.close`."""
        if self._closed:
            return
        self._closed = True
        await self._loop.run_in_executor(None, self._writer.finish)
        await self._loop.run_in_executor(self._reader, self._reading.drop)
        self._reader.shutdown()
        if self._lock is not None:
            self._lock.release()

    def _give(self, job: Append | Task | Fence) -> None:
        if self._closed:
            raise JournalUnavailable(f"{self._target.label}: it is closed: the bot is stopping")
        self._writer.give(job)

    async def _in_transaction(self, work: Callable[[Connection], T]) -> T:
        done: asyncio.Future[T] = self._loop.create_future()
        self._give(Task(work=work, done=done))
        return await done

    async def _in_reader(self, work: Callable[[Connection], T]) -> T:
        if self._closed:
            raise JournalUnavailable(f"{self._target.label}: it is closed: the bot is stopping")
        return await self._loop.run_in_executor(self._reader, self._read, work)

    def _read(self, work: Callable[[Connection], T]) -> T:
        try:
            connection = self._reading.connection()
            with connection.begin():
                return work(connection)
        except (SQLAlchemyError, OSError) as error:
            self._reading.drop()
            raise self._target.unavailable(error) from error

    def _recorded(self, sequence: int, recorded_at: datetime, at_source: datetime, kind: str, body: Any) -> Recorded:
        try:
            event = decode(kind, body)
        except UnreadableRecord as error:
            raise JournalUnavailable(f"{self._target.label}, entry {sequence}: {error}") from error
        return Recorded(sequence=sequence, recorded_at=recorded_at, at_source=at_source, event=event)

    def _note(self, sequence: int) -> None:
        if sequence > self._last:
            self._last = sequence
            self._news.set()
            self._news = asyncio.Event()


def _row(entry: Entry) -> Row:
    if entry.at_source is not None and entry.at_source.tzinfo is None:
        raise ValueError(f"{entry.at_source} has no time zone")
    kind, body = encode(entry.event)
    return Row(event=entry.event, kind=kind, body=body, source_key=entry.source_key, at_source=entry.at_source)


def _delete_oldest(connection: Connection, older_than: datetime) -> tuple[int, bool]:
    """Delete old samples among the first ones; says how many, and whether there may be more.

    Samples are added about as they start, so the first part with a young one in it is the last to look at.
    """
    column = tables.samples.c
    first = connection.execute(select(column.id, column.started_at).order_by(column.id).limit(_RETAINED_AT_ONCE)).all()
    old = [row.id for row in first if row.started_at < older_than]
    if old:
        query = delete(tables.samples).where(column.id <= old[-1], column.started_at < older_than)
        connection.execute(query)
    return len(old), len(old) == len(first) == _RETAINED_AT_ONCE
