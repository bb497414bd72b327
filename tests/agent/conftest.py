"""A bot on loopback and the agent of one director."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.agent.site import Bot, Director


@pytest.fixture
async def bot() -> AsyncIterator[Bot]:
    async with Bot() as bot:
        yield bot


@pytest.fixture
async def sv1(tmp_path: Path, bot: Bot) -> AsyncIterator[Director]:
    async with Director(tmp_path, bot.url) as director:
        yield director
