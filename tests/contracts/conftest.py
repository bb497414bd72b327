"""What several contracts need: a private PostgreSQL, made once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contracts.postgres import Postgres, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL of our own."""
    with running_postgres() as server:
        yield server
