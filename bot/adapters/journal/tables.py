"""The journal's tables."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
)
from sqlalchemy.types import TypeEngine

metadata = MetaData()


def sqlite_moment(moment: datetime) -> str:
    """The aware *moment* as SQLite keeps it: ISO 8601 in UTC of fixed width, which sorts by time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").zfill(27)


class Moment(TypeDecorator[datetime]):
    """An aware moment: timestamptz in PostgreSQL; in SQLite ISO 8601 in UTC of fixed width, which sorts by time."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The column's type in *dialect*."""
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """*value* as the database takes it. Raises ValueError for a moment without a time zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        return sqlite_moment(value) if dialect.name == "sqlite" else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """*value* as the program takes it."""
        if value is None:
            return None
        return datetime.fromisoformat(value) if dialect.name == "sqlite" else value.astimezone(UTC)


_Number = BigInteger().with_variant(Integer(), "sqlite")

journal = Table(
    "journal",
    metadata,
    # The writer numbers the entries itself, so that the sequence has no gaps and its order is the order of commits.
    Column("sequence", _Number, primary_key=True, autoincrement=False),
    Column("recorded_at", Moment, nullable=False),
    Column("at_source", Moment, nullable=False),
    Column("source_key", Text, unique=True),
    Column("kind", Text, nullable=False),
    Column("body", JSON, nullable=False),
    Index("journal_kind", "kind", "sequence"),
)

samples = Table(
    "samples",
    metadata,
    Column("id", _Number, primary_key=True),
    Column("probe", Text, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("latency_s", Float(53), nullable=False),
    Column("reason", Text, nullable=False),
    Index("samples_probe", "probe", "started_at"),
)

# A cache of what the journal adds up to, apart from it: it may be emptied at any time.
snapshots = Table(
    "snapshots",
    metadata,
    Column("sequence", _Number, primary_key=True, autoincrement=False),
    Column("made_at", Moment, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
)
