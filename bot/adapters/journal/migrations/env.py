"""How Alembic runs the steps: on the connection, and in the transaction, that schema.py hands over."""

from alembic import context

# Alembic takes SQLite's DDL for non-transactional because of the driver's old default; our connections begin for real.
context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
context.run_migrations()
