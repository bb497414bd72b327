"""The connection to Slack comes back, whatever took it away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bot.entrypoints import socket_mode
from bot.entrypoints.slack import make_app
from bot.entrypoints.socket_mode import SocketMode
from bot.local.slack import Config, Deadlines, StandIn


@asynccontextmanager
async def connected(slack: StandIn) -> AsyncIterator[SocketMode]:
    app = make_app(slack.bot_token, slack.base_url, None)

    @app.command("/lvs")
    async def answer(ack: object) -> None:
        assert callable(ack)
        await ack("here")

    mode = SocketMode(app, slack.app_token, slack.base_url)
    running = asyncio.create_task(mode.run())
    try:
        await slack.wait_for(lambda: slack.connected, 20)
        yield mode
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await mode.close()


async def heard(slack: StandIn) -> bool:
    ack = await slack.command("alice", "C0SITE", "/lvs status")
    return ack is not None and ack.ok


async def test_commands_are_heard_again_after_slack_was_away() -> None:
    async with StandIn() as slack, connected(slack):
        assert await heard(slack)
        slack.faults.down()
        await slack.wait_for(lambda: not slack.connected, 20)
        await asyncio.sleep(2.5)  # long enough to try in vain
        slack.faults.clear()
        await slack.wait_for(lambda: slack.connected, 40)
        assert await heard(slack)


async def test_it_connects_at_once_when_slack_has_answered_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_mode, "FIRST_PAUSE", 3600.0)
    tried = asyncio.Event()
    async with StandIn() as slack, connected(slack) as mode:
        rest = mode._rest

        async def resting(pause: float) -> float:
            tried.set()
            return await rest(pause)

        monkeypatch.setattr(mode, "_rest", resting)
        slack.faults.down()
        async with asyncio.timeout(20):
            await tried.wait()
        slack.faults.clear()
        mode.hurry()
        await slack.wait_for(lambda: slack.connected, 40)
        assert await heard(slack)


async def test_commands_are_heard_again_after_the_connection_was_cut() -> None:
    async with StandIn() as slack, connected(slack):
        slack.drop_sockets()
        await slack.wait_for(lambda: not slack.connected, 20)
        await slack.wait_for(lambda: slack.connected, 40)
        assert await heard(slack)


async def test_slack_can_move_the_connection_elsewhere() -> None:
    at_once = Config(deadlines=Deadlines(refresh_warning=0.0))
    async with StandIn(at_once) as slack, connected(slack):
        await slack.refresh_sockets()
        async with asyncio.timeout(40):
            while not slack.connected or not await heard(slack):
                await asyncio.sleep(0.1)
