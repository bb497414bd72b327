"""Fixtures of the entrypoints."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.entrypoints.office import Office, open_office


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    """A bot's Slack side and a stand-in for Slack."""
    async with open_office() as opened:
        yield opened
