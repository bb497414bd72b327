"""The dead man's switch: a ping goes out while the bot is well, so that a monitor notices when none comes.

Whatever is wrong with the bot, the loop, its disk or its host, ends in the same: silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog

from bot.domain.health import Outcome, ProbeResult
from bot.flows.ports import Clock, Journal, JournalUnavailable

log = structlog.get_logger(__name__)

AGAIN_S = 5.0
"""Seconds until a bot that was not well looks at itself again."""
JOURNAL_S = 10.0
"""Seconds that the journal may take for a write before it counts as one that cannot be written."""
SAMPLE = "bot: ping"
"""The name under which each proof that the journal can be written stands among the samples, which do not stay."""


class PingFailed(Exception):
    """The ping was not taken; the message says why, without the URL: that is a secret."""


class Pinger(Protocol):
    """Sends the ping."""

    async def ping(self) -> None:
        """Send one. Raises PingFailed."""
        ...


class DeadMansSwitch:
    """Pings every *every_s* while all is well. *troubles* says what is not, in words."""

    def __init__(
        self,
        pinger: Pinger,
        journal: Journal,
        clock: Clock,
        troubles: Callable[[], tuple[str, ...]],
        *,
        every_s: float,
        again_s: float = AGAIN_S,
        journal_s: float = JOURNAL_S,
    ) -> None:
        self._pinger = pinger
        self._journal = journal
        self._clock = clock
        self._troubles = troubles
        self._every_s = every_s
        self._again_s = min(again_s, every_s)
        self._journal_s = journal_s
        self.held_back: tuple[str, ...] = ()
        """Why the last ping was not sent; empty where it was."""

    async def run(self) -> None:
        """Ping until cancelled."""
        while True:
            well = await self.beat()
            await asyncio.sleep(self._every_s if well else self._again_s)

    async def beat(self) -> bool:
        """Ping, or do not; whether all was well."""
        why = self._troubles() or await self._unwritable()
        if why != self.held_back:
            log.warning("no ping: the bot is not well" if why else "the bot is well again, and pings", why=list(why))
        self.held_back = why
        if why:
            return False
        try:
            await self._pinger.ping()
        except PingFailed as error:
            log.warning("the ping was not taken", error=str(error))
        return True

    async def _unwritable(self) -> tuple[str, ...]:
        """Why the journal cannot be written: only a write that came through says that it can."""
        proof = ProbeResult(probe=SAMPLE, outcome=Outcome.HEALTHY, started_at=self._clock.now(), latency_s=0.0)
        try:
            async with asyncio.timeout(self._journal_s):
                await self._journal.add_samples((proof,))
        except TimeoutError:
            return (f"the journal took no write within {self._journal_s:g} s",)
        except JournalUnavailable as error:
            return (str(error),)
        return ()
