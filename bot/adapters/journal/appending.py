"""Numbering and inserting events: by SQLAlchemy for any database, by the driver's own statements for SQLite.

An alert waits for its event to be durable. With SQLite, what SQLAlchemy does around three short statements takes longer
than the disk; the driver alone (which prepares each of them once) does the same in a third of the time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, bindparam, func, insert, select, text

from bot.adapters.journal import tables
from bot.domain.events import Event, Recorded
from bot.flows.ports import Clock

_KEYS_AT_ONCE = 500  # SQLite takes a limited number of parameters in one statement

# Built once: making them anew for each append would cost more than running them.
_LAST = select(func.max(tables.journal.c.sequence))
_INSERT = insert(tables.journal)
_KNOWN = select(tables.journal.c.source_key).where(tables.journal.c.source_key.in_(bindparam("keys", expanding=True)))

# The same for SQLite.
_INSERT_INTO_SQLITE = """
INSERT INTO journal (sequence, recorded_at, at_source, source_key, kind, body) VALUES (?, ?, ?, ?, ?, ?)
"""
_INSERT_AS_EXPECTED = """
INSERT INTO journal (sequence, recorded_at, at_source, source_key, kind, body)
SELECT ?, ?, ?, ?, ?, ?
WHERE (SELECT coalesce(max(sequence), 0) FROM journal) = ?
AND NOT EXISTS (SELECT 1 FROM journal WHERE source_key = ?)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An entry, encoded."""

    event: Event
    kind: str
    body: str
    source_key: str | None
    at_source: datetime | None

    def recorded(self, sequence: int, now: datetime) -> Recorded:
        """What it is recorded as under *sequence*, at *now*."""
        at_source = self.at_source.astimezone(UTC) if self.at_source else now
        return Recorded(sequence=sequence, recorded_at=now, at_source=at_source, event=self.event)


Groups = Sequence[tuple[Row, ...]]
Results = list[tuple[Recorded | None, ...]]


def append(connection: Connection, groups: Groups, clock: Clock) -> Results:
    """Number and insert the rows whose source key is new. The write lock is held, so nobody numbers beside us."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE journal IN SHARE ROW EXCLUSIVE MODE"))
    keys = sorted(_keys(groups))
    known: set[str] = set()
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        known.update(connection.execute(_KNOWN, {"keys": keys[start : start + _KEYS_AT_ONCE]}).scalars())
    results, fresh = _numbered(groups, known, connection.execute(_LAST).scalar_one() or 0, clock.now())
    if fresh:
        values = [
            {
                "sequence": recorded.sequence,
                "recorded_at": recorded.recorded_at,
                "at_source": recorded.at_source,
                "source_key": row.source_key,
                "kind": row.kind,
                "body": row.body,
            }
            for recorded, row in fresh
        ]
        connection.execute(_INSERT, values)
    return results


def append_to_sqlite(connection: sqlite3.Connection, groups: Groups, clock: Clock) -> Results:
    """The same for SQLite, in a transaction that is begun here and left for the caller to end. Raises sqlite3.Error."""
    connection.execute("BEGIN IMMEDIATE")
    known = {
        key
        for key in _keys(groups)
        if connection.execute("SELECT 1 FROM journal WHERE source_key = ?", (key,)).fetchone()
    }
    (last,) = connection.execute("SELECT max(sequence) FROM journal").fetchone()
    results, fresh = _numbered(groups, known, last or 0, clock.now())
    if fresh:
        connection.executemany(_INSERT_INTO_SQLITE, [_values(row, recorded) for recorded, row in fresh])
    return results


def append_as_expected(connection: sqlite3.Connection, row: Row, expected: Recorded) -> bool:
    """Append *row* to SQLite as *expected*, and commit: one statement, which does all or nothing.

    False, with nothing done, where its source key is known, or its number taken: another process was quicker. Raises
    sqlite3.Error.
    """
    values = (*_values(row, expected), expected.sequence - 1, row.source_key)
    return connection.execute(_INSERT_AS_EXPECTED, values).rowcount == 1


def _values(row: Row, recorded: Recorded) -> tuple[int, str, str, str | None, str, str]:
    return (
        recorded.sequence,
        tables.sqlite_moment(recorded.recorded_at),
        tables.sqlite_moment(recorded.at_source),
        row.source_key,
        row.kind,
        row.body,
    )


def _keys(groups: Groups) -> set[str]:
    return {row.source_key for rows in groups for row in rows if row.source_key is not None}


def _numbered(
    groups: Groups, known: Iterable[str], sequence: int, now: datetime
) -> tuple[Results, list[tuple[Recorded, Row]]]:
    """What becomes of each row after *sequence*, and those that are new with their numbers."""
    seen = set(known)
    fresh: list[tuple[Recorded, Row]] = []
    results: Results = []
    for rows in groups:
        result: list[Recorded | None] = []
        for row in rows:
            if row.source_key is not None and row.source_key in seen:
                result.append(None)
                continue
            if row.source_key is not None:
                seen.add(row.source_key)
            sequence += 1
            recorded = row.recorded(sequence, now)
            result.append(recorded)
            fresh.append((recorded, row))
        results.append(tuple(result))
    return results, fresh
