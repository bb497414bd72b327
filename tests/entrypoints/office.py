"""A bot's Slack side and a stand-in for Slack, joined by a real WebSocket; the directors are in memory."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bot.adapters.clock import SystemClock
from bot.adapters.messenger import SlackMessenger
from bot.domain.policy import Roles
from bot.entrypoints.slack import SlackListeners, make_app
from bot.entrypoints.socket_mode import SocketMode
from bot.flows.announcing import Announcer
from bot.flows.chronicle import Chronicle
from bot.flows.doctor import Doctor
from bot.flows.errands import Errands
from bot.flows.hands import Hands
from bot.flows.operating import Operator
from bot.flows.projecting import projection
from bot.flows.selftest import SelfTester
from bot.flows.selftest_requests import SelfTestRequests
from bot.local.slack import StandIn
from bot.local.slack.config import Config
from tests.domain.reference import FLEET, SITE
from tests.fakes.journal import MemoryJournal
from tests.fakes.shell import FakeShell

CHANNEL = "C0SITE"


async def roles() -> Roles:
    return Roles(operators=frozenset({"U0ALICE"}), terminal=frozenset())


async def no_question(channel: str) -> None:
    raise AssertionError("a test that somebody asked for is posted")


@dataclass
class Office:
    """What a test sees of it."""

    slack: StandIn
    shell: FakeShell
    journal: MemoryJournal
    chronicle: Chronicle

    async def answer(self, text: str, user: str = "alice") -> str:
        """What comes back to *user* for a slash command that only they see."""
        return str((await self.reply(text, user))["text"])

    async def reply(self, text: str, user: str = "alice") -> dict[str, Any]:
        """The same, with its blocks."""
        before = len(self.slack.ephemerals(user))
        ack = await self.slack.command(user, CHANNEL, text)
        assert ack is not None
        assert ack.ok
        await self.slack.wait_for(lambda: len(self.slack.ephemerals(user)) > before)
        return self.slack.ephemerals(user)[-1]

    async def message(self, containing: str) -> dict[str, Any]:
        """The newest message of the channel with *containing* in its text."""

        def found() -> dict[str, Any] | None:
            return next((m for m in reversed(self.slack.messages(CHANNEL)) if containing in m["text"]), None)

        message = await self.slack.wait_for(found)
        assert message is not None
        return message

    async def whisper(self, user: str, containing: str) -> dict[str, Any]:
        """The newest thing that only *user* sees with *containing* in its text."""

        def found() -> dict[str, Any] | None:
            return next((m for m in reversed(self.slack.ephemerals(user)) if containing in m["text"]), None)

        message = await self.slack.wait_for(found)
        assert message is not None
        return message


@asynccontextmanager
async def open_office(config: Config | None = None) -> AsyncIterator[Office]:
    """The whole of it, until the test is done."""
    async with StandIn(config) as slack:
        journal, shell, clock, errands = MemoryJournal(), FakeShell.of(SITE), SystemClock(), Errands()
        chronicle = Chronicle(journal, FLEET)
        ids = itertools.count(1)
        operator = Operator(
            chronicle, shell, clock, roles, runner="bot:here:1:1", new_id=lambda: f"op{next(ids)}", poll_s=0.01
        )
        messenger = SlackMessenger(slack.bot_token, slack.base_url)
        announcer = Announcer(
            chronicle, messenger, clock, projection({"site": CHANNEL}, operator.connected.get), again_s=0.05
        )
        listeners = SlackListeners(
            chronicle,
            operator,
            Hands(chronicle, clock, roles),
            SelfTestRequests(chronicle, clock, roles, channels={"site": CHANNEL}),
            Doctor(chronicle, shell, clock, between_looks_s=0),
            messenger,
            shell,
            clock,
            errands,
            command="/lvs",
            channels={"site": CHANNEL},
        )
        SelfTester(chronicle, shell, clock, errands, channels={"site": CHANNEL}, ask_slack=no_question)
        app = make_app(slack.bot_token, slack.base_url, None)
        listeners.register(app)
        socket_mode = SocketMode(app, slack.app_token, slack.base_url)
        tasks = [asyncio.create_task(socket_mode.run()), asyncio.create_task(announcer.run())]
        await slack.wait_for(lambda: slack.connected)
        yield Office(slack=slack, shell=shell, journal=journal, chronicle=chronicle)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await errands.close()
        await socket_mode.close()
        await messenger.close()
