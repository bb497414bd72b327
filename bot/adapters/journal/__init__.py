"""The durable, append-only record: SQLAlchemy over SQLite or PostgreSQL, one writer with group commit."""

from bot.adapters.journal.codec import UnreadableRecord, Unstorable, decode, encode
from bot.adapters.journal.sql_journal import SqlJournal, open_journal

__all__ = ["SqlJournal", "UnreadableRecord", "Unstorable", "decode", "encode", "open_journal"]
