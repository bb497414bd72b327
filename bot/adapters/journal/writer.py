"""The one thread that writes: everything queued while a commit is under way goes into the next transaction."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError

from bot.adapters.journal.appending import Row, append, append_as_expected, append_to_sqlite
from bot.adapters.journal.codec import Unstorable
from bot.adapters.journal.database import Link
from bot.domain.events import Recorded
from bot.flows.ports import Clock, JournalUnavailable

# Of one statement that fails with one of these, SQLite has written nothing (sqlite.org/rescode.html).
_NOTHING_WRITTEN = {
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOTADB,
}
MOST_TOGETHER = 500  # jobs in one transaction: it bounds how long the first of them waits for the rest


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Append:
    """Rows to be recorded together; ``done`` gets a tuple of Recorded or None."""

    rows: tuple[Row, ...]
    done: asyncio.Future[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """Other work in a transaction; ``done`` gets what ``work`` returns."""

    work: Callable[[Connection], Any]
    done: asyncio.Future[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fence:
    """Take the running bot's lock on the server."""

    done: asyncio.Future[Any]


Work = Append | Task
Job = Work | Fence
Outcome = tuple[Job, Any, Exception | None]


class Writer:
    """Owns the writing connection. Jobs are done in the order in which they were given."""

    def __init__(self, link: Link, clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
        self._link = link
        self._clock = clock
        self._loop = loop
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self.foreseen: Callable[[Recorded], None] | None = None
        self._last = 0  # the number of what was last recorded here, as far as is known
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._thread.start()

    def give(self, job: Job) -> None:
        """Queue *job*; its future is resolved once it is durable, or has failed."""
        self._jobs.put(job)

    def finish(self) -> None:
        """Do what is queued, close the connection and end the thread. It blocks until then."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        last = False
        while not last:
            jobs, last = self._next()
            if jobs:
                self._tell(self._do(jobs))
        try:
            self._link.finish()
        except SQLAlchemyError:
            self._link.drop()  # the connection is broken: the server gives the lock back when it notices

    def _next(self) -> tuple[list[Job], bool]:
        """The jobs that wait (at least one, or the end), and whether the end has come."""
        jobs: list[Job] = []
        job = self._jobs.get()
        while job is not None:
            jobs.append(job)
            if len(jobs) == MOST_TOGETHER:
                return jobs, False
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return jobs, False
        return jobs, True

    def _do(self, jobs: Sequence[Job]) -> list[Outcome]:
        outcomes = [self._fence(job) for job in jobs if isinstance(job, Fence)]
        work = [job for job in jobs if not isinstance(job, Fence)]
        return outcomes + (self._together(work) if work else [])

    def _fence(self, job: Fence) -> Outcome:
        try:
            self._link.fence()
        except JournalUnavailable as error:
            return job, None, error
        except SQLAlchemyError as error:
            return job, None, self._link.target.unavailable(error)
        return job, None, None

    def _together(self, jobs: Sequence[Work]) -> list[Outcome]:
        """One transaction for all *jobs*; where one of them spoils it, one for each."""
        try:
            results = self._transaction(jobs)
        except JournalUnavailable as error:
            return [(job, None, error) for job in jobs]
        except Exception as error:  # whatever it is belongs to the callers, and the thread lives on
            if len(jobs) == 1:
                return [(jobs[0], None, error)]
            return [outcome for job in jobs for outcome in self._together([job])]
        return [(job, result, None) for job, result in zip(jobs, results, strict=True)]

    def _transaction(self, jobs: Sequence[Work]) -> list[Any]:
        """Do *jobs* and commit. Raises JournalUnavailable where the store is at fault, Unstorable for a bad job."""
        for attempt in (1, 2):
            committing = False
            try:
                driver = self._link.driver()
                if driver is not None and all(isinstance(job, Append) for job in jobs):
                    groups = [job.rows for job in jobs if isinstance(job, Append)]
                    return self._alone(driver, groups) or self._appended(driver, groups)
                connection = self._link.connection()
                with connection.begin() as transaction:
                    results = _work(connection, jobs, self._clock)
                    committing = True
                    transaction.commit()
            except (DataError, IntegrityError) as error:
                raise Unstorable(str(error.orig)) from error
            except (SQLAlchemyError, OSError) as error:
                if isinstance(error, StatementError) and not isinstance(error, DBAPIError):
                    raise Unstorable(str(error.orig)) from error  # a value that never reached the database
                stale = isinstance(error, DBAPIError) and error.connection_invalidated and not committing
                self._link.drop()
                if stale and attempt == 1:
                    continue  # the connection had died in its sleep: nothing had been written
                raise self._link.target.unavailable(error, unsure=committing) from error
            return results
        raise AssertionError("the second attempt returns or raises")

    def _alone(self, driver: sqlite3.Connection, groups: Sequence[tuple[Row, ...]]) -> list[Any] | None:
        """Append an entry that comes alone, as it is expected to be recorded; None where it is not, or cannot be.

        The loop is told first: the disk takes a while, and the loop has nothing else to do. Raises as above.
        """
        if not self._last or len(groups) != 1 or len(groups[0]) != 1:
            return None
        row = groups[0][0]
        expected = row.recorded(self._last + 1, self._clock.now())
        if self.foreseen is not None:
            self._on_loop(self.foreseen, expected)
        try:
            if not append_as_expected(driver, row, expected):
                return None
        except sqlite3.Error as error:
            # What Python's module refuses by itself (a closed connection) never came to SQLite, and has no code.
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
            raise self._refused(driver, error, unsure=code not in _NOTHING_WRITTEN) from error
        self._last = expected.sequence
        return [(expected,)]

    def _appended(self, driver: sqlite3.Connection, groups: Sequence[tuple[Row, ...]]) -> list[Any]:
        """Append *groups* to SQLite and commit. Raises as above."""
        committing = False
        try:
            results = append_to_sqlite(driver, groups, self._clock)
            committing = True
            driver.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._refused(driver, error, unsure=committing) from error
        except BaseException:
            _roll_back(driver)
            raise
        self._last = max((r.sequence for result in results for r in result if r is not None), default=self._last)
        return list(results)

    def _refused(self, driver: sqlite3.Connection, error: sqlite3.Error, *, unsure: bool) -> Exception:
        """What *error* means to the callers: a bad entry (Unstorable), or a store at fault (JournalUnavailable)."""
        _roll_back(driver)
        if isinstance(error, (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError)):
            return Unstorable(str(error))
        self._link.drop()
        return self._link.target.unavailable(error, unsure=unsure)

    def _tell(self, outcomes: list[Outcome]) -> None:
        self._on_loop(_resolve, outcomes)

    def _on_loop(self, call: Callable[[Any], None], value: object) -> None:
        try:
            self._loop.call_soon_threadsafe(call, value)
        except RuntimeError:
            if not self._loop.is_closed():  # a closed loop has nobody left who could be told
                raise


def _resolve(outcomes: list[Outcome]) -> None:
    for job, result, error in outcomes:
        if job.done.done():
            continue  # whoever waited was cancelled
        if error is not None:
            job.done.set_exception(error)
        else:
            job.done.set_result(result)


def _roll_back(driver: sqlite3.Connection) -> None:
    # Some errors (a full disk) have rolled back already; a connection that is past that is dropped by the caller.
    with contextlib.suppress(sqlite3.Error):
        if driver.in_transaction:
            driver.execute("ROLLBACK")


def _work(connection: Connection, jobs: Sequence[Work], clock: Clock) -> list[Any]:
    appends = [job for job in jobs if isinstance(job, Append)]
    recorded = iter(append(connection, [job.rows for job in appends], clock) if appends else ())
    return [next(recorded) if isinstance(job, Append) else job.work(connection) for job in jobs]
