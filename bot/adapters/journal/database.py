"""One connection to the journal's database, used by one thread; its errors in words that an operator can act on."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from bot.flows.ports import JournalUnavailable

_BOT_LOCK = 7_308_324_465_851_020_912  # an arbitrary number that names the advisory lock of the running bot
_LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL, Appendix A, Error Codes
# The server ends the session of a client that vanished (and with it the bot's lock) within half a minute.
_KEEPALIVES = "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"
_HINTS = (
    ("locked", "another program holds its lock for too long: find it with `fuser`"),
    ("disk is full", "free space on that disk; nothing that was acknowledged is lost"),
    ("readonly", "give the bot's account write access to the file and its directory"),
    ("read-only", "give the bot's account write access"),
    ("unable to open", "check that the directory exists and that the bot's account may write there"),
    ("disk i/o", "check the disk and its space: see `dmesg` and `df`"),
    ("malformed", "the file is damaged: move it away and restore a copy"),
    ("not a database", "the file is something else: check storage.url"),
    ("password", "check LVSBOT_STORAGE_PASSWORD and the user in storage.url"),
    ("connect", "check that the database server runs and that storage.url is right"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Which database, how long (seconds) a lock is waited for, and ``label``: its name without secrets."""

    url: URL
    busy_timeout_s: float

    @classmethod
    def of(cls, url: str, password: str | None, busy_timeout_s: float) -> Target:
        """The target for *url*. Raises JournalUnavailable for a URL that names no durable database."""
        try:
            parsed = make_url(url)
        except ArgumentError:
            raise JournalUnavailable("storage.url is not a database URL") from None
        if password:
            parsed = parsed.set(password=password)
        target = cls(url=parsed, busy_timeout_s=busy_timeout_s)
        if parsed.drivername == "sqlite" and (parsed.database in (None, "", ":memory:")):
            raise JournalUnavailable(f"{target.label}: a journal in memory would be lost: name a file")
        if parsed.drivername not in ("sqlite", "postgresql+psycopg"):
            raise JournalUnavailable(f"{target.label}: the bot knows sqlite:///… and postgresql+psycopg://…")
        return target

    @property
    def label(self) -> str:
        """How messages name the database: without its password."""
        return f"the journal {self.url.render_as_string(hide_password=True)}"

    @property
    def file(self) -> Path | None:
        """SQLite's file; None for a server."""
        return Path(self.url.database) if self.url.drivername == "sqlite" and self.url.database else None

    def unavailable(self, error: Exception, *, unsure: bool = False) -> JournalUnavailable:
        """*error* as the flows know it. *unsure*: it came while committing, so the entries may have been kept."""
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        why = (" ".join(str(cause).split()) or type(cause).__name__).rstrip(".")
        hint = next((hint for word, hint in _HINTS if word in why.lower()), "the log has the details")
        kept = " Whether the last entries were kept is not known: read before you repeat." if unsure else ""
        return JournalUnavailable(f"{self.label}: {why}. Next: {hint}.{kept}")


class Link:
    """One connection, opened at first use, kept, and opened anew after it broke. It belongs to the thread that uses it.

    A *fenced* link holds the running bot's lock on the database server for as long as it is open.
    """

    def __init__(self, target: Target, *, writes: bool) -> None:
        self.target = target
        self._engine = _engine(target, writes=writes)
        self._connection: Connection | None = None
        self._fenced = False

    def connection(self) -> Connection:
        """The open connection. Raises SQLAlchemyError, or JournalUnavailable where the fence is another's."""
        if self._connection is None or self._connection.invalidated:
            self.drop()
            self._connection = self._engine.connect()
            if self._fenced:
                self._take_fence(self._connection)
        return self._connection

    def driver(self) -> sqlite3.Connection | None:
        """The driver's own connection to SQLite, between transactions; None for another database. As above."""
        found = self.connection().connection.driver_connection
        return found if isinstance(found, sqlite3.Connection) else None

    def fence(self) -> None:
        """Take the running bot's lock on the server, now and after every reconnection. Raises JournalUnavailable."""
        connection = self.connection()
        if not self._fenced:
            self._take_fence(connection)
            self._fenced = True

    def finish(self) -> None:
        """Let go of the lock and of the connection. Raises SQLAlchemyError if the connection is broken."""
        if self._fenced and self._connection is not None and not self._connection.invalidated:
            # A closed connection would give the lock back too, but only after a while.
            with self._connection.begin():
                self._connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": _BOT_LOCK})
        self.drop()

    def drop(self) -> None:
        """Close the connection; the next use opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _take_fence(self, connection: Connection) -> None:
        # The server may need a moment to notice that a holder was killed: lock_timeout is how long it is given.
        try:
            with connection.begin():
                connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _BOT_LOCK})
        except DBAPIError as error:
            self.drop()
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            raise JournalUnavailable(f"{self.target.label}: another `bot run` uses it: stop that one first") from None


def _engine(target: Target, *, writes: bool) -> Engine:
    if target.file is None:
        return create_engine(
            target.url,
            poolclass=NullPool,
            json_serializer=_as_it_is,
            json_deserializer=_as_it_is,
            # A server that stops answering must not hold the writer for ever.
            connect_args={"connect_timeout": 5, "application_name": "lvsbot", "tcp_user_timeout": 10_000}
            | {
                "options": f"-c statement_timeout=30s -c lock_timeout={int(target.busy_timeout_s * 1000)} {_KEEPALIVES}"
            },
        )
    engine = create_engine(
        target.url,
        poolclass=NullPool,
        json_serializer=_as_it_is,
        json_deserializer=_as_it_is,
        # Transactions are begun by the listener below: the driver's own begin comes too late to take the write lock.
        connect_args={"timeout": target.busy_timeout_s, "isolation_level": None},
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _: Any) -> None:
        _write_ahead(connection, target.busy_timeout_s)
        for pragma in ("synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _write_ahead(connection: sqlite3.Connection, patience_s: float) -> None:
    """Put the file into WAL mode. Raises sqlite3.OperationalError.

    Of several connections that make a new file WAL at once SQLite refuses some without asking the busy handler, which
    is what ``timeout`` sets: the timeout is kept here.
    """
    end = time.monotonic() + patience_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return


def _as_it_is(body: Any) -> Any:
    """Bodies are JSON already when they come to the database (codec.py)."""
    return body
