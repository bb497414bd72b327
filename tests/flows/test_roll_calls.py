"""Roll calls: who is slow is waited for, and asked again only when there is a reason to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bot.adapters.clock import SystemClock
from bot.domain.events import RollCallTaken
from bot.flows.alerting import RollCaller
from bot.flows.chronicle import Chronicle
from tests.domain.reference import FLEET, SITE
from tests.fakes.journal import MemoryJournal
from tests.fakes.shell import FakeHost, FakeShell, Reply
from tests.fakes.shell import ip as quick_ip


class Slow:
    """The site, with a roll caller at work on it; sv1 answers only once ``gate`` is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.journal = MemoryJournal()
        self.shell = FakeShell.of(SITE)
        self.shell.patience = 60.0
        self.shell.programs["ip"] = self._ip
        self.caller = RollCaller(Chronicle(self.journal, FLEET), self.shell, SystemClock(), SITE, interval_s=3600.0)

    async def _ip(self, host: FakeHost, argv: tuple[str, ...]) -> Reply:
        if host is self.shell.hosts["sv1"]:
            await self.gate.wait()
        return await quick_ip(host, argv)

    def asked(self, director: str) -> int:
        """How often *director* was asked so far."""
        return sum(argv[0] == "ip" for argv in self.shell.hosts[director].ran)

    async def until_heard(self, director: str, times: int = 1) -> None:
        """Wait until *director* was asked and heard so often, and nothing more is about to happen."""
        while self.asked(director) < times or not await self._has_answered(director):
            await asyncio.sleep(0.01)
        for _ in range(100):
            await asyncio.sleep(0)

    async def _has_answered(self, director: str) -> bool:
        found = [r.event for r in await self.journal.read(kinds=("RollCallTaken",))]
        return any(isinstance(call, RollCallTaken) and call.answer(director) is not None for call in found)

    @classmethod
    @asynccontextmanager
    async def at_work(cls) -> AsyncIterator[Slow]:
        """Until the block ends."""
        slow = cls()
        running = asyncio.create_task(slow.caller.run())
        try:
            yield slow
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_a_late_answer_is_recorded_and_nobody_is_asked_again_for_it() -> None:
    async with Slow.at_work() as slow:
        await slow.until_heard("sv2")
        slow.gate.set()
        await slow.until_heard("sv1")
        assert (slow.asked("sv1"), slow.asked("sv2")) == (1, 1)


async def test_a_director_that_was_still_out_when_something_was_said_is_asked_again() -> None:
    async with Slow.at_work() as slow:
        await slow.until_heard("sv2")
        slow.caller.ask("sv2 says MASTER for VI_1")
        await slow.until_heard("sv2", 2)
        slow.gate.set()
        await slow.until_heard("sv1", 2)
