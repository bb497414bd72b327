"""The journal, append-only by trigger, and the samples beside it."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_SQLITE_TRIGGERS = (
    """CREATE TRIGGER journal_refuses_update BEFORE UPDATE ON journal
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END""",
    """CREATE TRIGGER journal_refuses_delete BEFORE DELETE ON journal
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END""",
    # INSERT OR REPLACE deletes the row that is in its way without firing the trigger above.
    """CREATE TRIGGER journal_refuses_replace BEFORE INSERT ON journal
    WHEN EXISTS (SELECT 1 FROM journal WHERE sequence >= NEW.sequence OR source_key = NEW.source_key)
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only: entries go to its end, a source key once'); END""",
)
_POSTGRESQL_TRIGGERS = (
    """CREATE FUNCTION journal_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'the journal is append-only'; END $$""",
    """CREATE TRIGGER journal_refuses_change BEFORE UPDATE OR DELETE ON journal
    FOR EACH ROW EXECUTE FUNCTION journal_is_append_only()""",
    """CREATE TRIGGER journal_refuses_truncate BEFORE TRUNCATE ON journal
    FOR EACH STATEMENT EXECUTE FUNCTION journal_is_append_only()""",
)


def upgrade() -> None:
    """Make both tables."""
    dialect = op.get_bind().dialect.name
    moment = sa.Text() if dialect == "sqlite" else sa.DateTime(timezone=True)
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "journal",
        sa.Column("sequence", number, primary_key=True, autoincrement=False),
        sa.Column("recorded_at", moment, nullable=False),
        sa.Column("at_source", moment, nullable=False),
        sa.Column("source_key", sa.Text(), unique=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
    )
    op.create_index("journal_kind", "journal", ["kind", "sequence"])
    for statement in _SQLITE_TRIGGERS if dialect == "sqlite" else _POSTGRESQL_TRIGGERS:
        op.execute(statement)
    op.create_table(
        "samples",
        sa.Column("id", number, primary_key=True),
        sa.Column("probe", sa.Text(), nullable=False),
        sa.Column("started_at", moment, nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("latency_s", sa.Float(53), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
    )
    op.create_index("samples_probe", "samples", ["probe", "started_at"])
