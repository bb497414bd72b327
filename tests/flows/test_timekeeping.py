"""What time makes due is recorded once, and after a restart not before anybody has looked."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.domain.events import Due, TimeCame
from bot.domain.incidents import Incidents, Matter, Trouble
from bot.domain.incidents.timing import Patience
from bot.flows.chronicle import Chronicle
from bot.flows.timekeeping import entries, keep_time
from tests.domain.reference import FLEET
from tests.fakes.journal import MemoryJournal
from tests.flows.desk import NOON, incident

DOWN = frozenset({Trouble(matter=Matter.REAL_SERVER, subject="web1")})
PATIENCE = Patience(remind_after=timedelta(minutes=30), escalate_after=timedelta(minutes=15))
EVENING = NOON + timedelta(hours=6)


@dataclass
class Clock:
    """It stands still; what measures spans is moved by hand."""

    at: datetime = EVENING
    passed: float = 0.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.passed


def with_incidents(*opened_at: datetime) -> Chronicle:
    chronicle = Chronicle(MemoryJournal(), FLEET)
    told = [incident(n, at, troubles=DOWN, seen=DOWN) for n, at in enumerate(opened_at, 1)]
    chronicle.world.incidents["site"] = Incidents(all=tuple(told))
    return chronicle


def test_what_was_opened_before_nobody_has_looked_at_so_far() -> None:
    chronicle = with_incidents(NOON, EVENING)
    now = EVENING + timedelta(minutes=20)
    due = [e.event for e in entries(chronicle.world, now, PATIENCE, since=EVENING)]
    assert due == [TimeCame(cluster="site", incident=2, due=Due.ESCALATION)]
    assert len(entries(chronicle.world, now, PATIENCE)) == 3


async def test_a_restart_reminds_of_nothing_and_escalates_nothing_before_there_was_time_for_a_look() -> None:
    clock, chronicle = Clock(), with_incidents(NOON)
    journal = chronicle.journal
    running = asyncio.create_task(keep_time(chronicle, clock, PATIENCE, look_s=0.01, settle_s=30))
    try:
        await asyncio.sleep(0.1)
        clock.passed = 29
        await asyncio.sleep(0.1)
        assert await journal.last_sequence() == 0
        clock.passed = 31
        async with asyncio.timeout(20):
            while not await journal.last_sequence():
                await asyncio.sleep(0.01)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
