"""Where a scenario is played: a site, two bots that hear the same, and a relay between them and the agents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bot.domain.events import RollCallTaken
from bot.local.lab.lab import Lab
from tests.lab.ready import Ready
from tests.lab.scenarios.relay import Relay, relaying
from tests.lab.work import Work, at_work

PORTS = (8781, 8782)

ROLL_CALL = "10s"  # what nothing speaks of has to be found within a scenario's time


def settings(port: int, roll_call: str) -> dict[str, dict[str, object]]:
    """What is different in the bot.yaml of the bot that listens on *port*."""
    return {
        "listen": {"port": port},
        "intervals": {"roll_call": roll_call},
        # The scheduled self-test has its own tests: here it would cost emulated directors seconds in the middle.
        "selftest": {"every": 0},
    }


@dataclass(kw_only=True)
class Stage:
    """The site and its bots: two, unless the second would have nothing to do."""

    lab: Lab
    bots: tuple[Work, ...]
    relay: Relay

    @property
    def calm(self) -> Work:
        """The bot that is never disturbed."""
        return self.bots[0]

    @property
    def hurt(self) -> Work:
        """The bot that is killed in the middle."""
        return self.bots[1]

    async def on(self, host: str, *argv: str) -> str:
        """What root gets for *argv* on *host*, which must succeed."""
        return await self.calm.on(host, *argv)


@asynccontextmanager
async def staged(
    lab: Lab, directory: Path, *, both: bool = True, roll_call: str = ROLL_CALL, ready: Ready | None = None
) -> AsyncIterator[Stage]:
    """Bots at work on *lab*, started by *ready* and with their files under *directory*, until the block ends."""
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(relaying(lab, PORTS[: 1 + both]))
        works = [
            await stack.enter_async_context(
                at_work(lab, directory / str(port), start=False, settings=settings(port, roll_call), ready=ready)
            )
            for port in PORTS[: 1 + both]
        ]
        await asyncio.gather(*(_settled(work) for work in works))
        yield Stage(lab=lab, bots=tuple(works), relay=relay)


async def _settled(work: Work) -> None:
    """Start *work* and wait until it knows the site as it is when all is well, by a closer look at each director."""
    await work.start()
    for name in work.lab.site.directors:
        await work.until_recorded("RollCallTaken", partial(_looked_closer, name))


def _looked_closer(director: str, call: RollCallTaken) -> bool:
    answer = call.answer(director)
    return answer is not None and answer.processes is not None and answer.boot is not None
