"""Brings the database's schema to the one that this version writes, or says why it cannot."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from bot.flows.ports import JournalUnavailable

HEAD = "0002"
_MIGRATIONS = Path(__file__).parent / "migrations"
_UPGRADING = 7_308_324_465_851_020_911  # an arbitrary number that names this advisory lock


def upgrade(connection: Connection) -> None:
    """Bring the schema to HEAD within the transaction that *connection* has begun.

    Alembic is loaded only where there is something to do: a bot that starts on its own journal does without its memory.
    Raises JournalUnavailable for a schema that a newer version made.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _UPGRADING})
    found = _version(connection)
    if found == HEAD:
        return
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise JournalUnavailable(
            f"the journal's schema is {found}, newer than this version's {HEAD}: run the version that made it"
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
