"""The journal's schema, step by step (Alembic); bot/adapters/journal/schema.py runs them."""
