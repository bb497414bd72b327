"""An announcer at its desk, with the stand-in as its Slack and incidents as the test says they are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.adapters.messenger import SlackMessenger
from bot.domain.events import Actor, MessagePosted, Via
from bot.domain.incidents import Incident, Incidents, Kind
from bot.flows.announcing import Announcer
from bot.flows.chronicle import Chronicle
from bot.flows.pacing import Pace
from bot.flows.projecting import projection
from bot.local.slack import ChannelSetup, Config, StandIn
from tests.domain.reference import FLEET
from tests.fakes.journal import MemoryJournal

ALICE = Actor(id="U0ALICE", name="alice", via=Via.SLACK)
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SITE, DUTY = "C0SITE", "C0DUTY"
CONFIG = Config(channels=(ChannelSetup(id=SITE, name="lvs-site"), ChannelSetup(id=DUTY, name="duty")))


class Clock:
    """The time of the story, the same for the bot and for Slack. It runs ``speed`` times as fast as the test does.

    At speed 0 it stands still until it is made to pass, but for what measures spans.
    """

    def __init__(self, at: datetime = NOON, speed: float = 1.0) -> None:
        self.at = at
        self.speed = speed
        self._began = time.monotonic()

    def now(self) -> datetime:
        return self.at + timedelta(seconds=(time.monotonic() - self._began) * self.speed)

    def monotonic(self) -> float:
        return time.monotonic() * (self.speed or 1)

    def pass_by(self, seconds: float) -> None:
        """Let time go by at once."""
        self.at += timedelta(seconds=seconds)

    def __call__(self) -> float:
        """For the stand-in: seconds since the epoch."""
        return self.now().timestamp()


def incident(number: int, opened_at: datetime, *, subject: str = "", **more: Any) -> Incident:
    """An incident that may be told at once."""
    given: dict[str, Any] = {"settled": True, "kind": Kind.REAL_SERVER_DOWN, **more}
    return Incident(
        id=number, cluster="site", subject=subject or f"web{number}", opened_at=opened_at, hold_until=opened_at, **given
    )


class Desk:
    """One journal and one Slack; :meth:`live` is one life of the announcer between them."""

    def __init__(self, slack: StandIn, clock: Clock) -> None:
        self.slack = slack
        self.clock = clock
        self.journal = MemoryJournal(clock=clock)
        self.incidents: dict[int, Incident] = {}
        self.chronicle: Chronicle | None = None
        self.announcer: Announcer | None = None

    @asynccontextmanager
    async def live(
        self,
        *,
        messenger: Callable[[SlackMessenger], Any] = lambda real: real,
        journal: Callable[[MemoryJournal], Any] = lambda real: real,
        pace: Pace | None = None,
        escalate_to: str | None = None,
        call: tuple[str, ...] = (),
        channel: str = SITE,
    ) -> AsyncIterator[Announcer]:
        """An announcer from its start to its death. *messenger* and *journal* may put something in between."""
        self.chronicle = Chronicle(journal(self.journal), FLEET)
        await self.chronicle.catch_up()
        self._fill(self.chronicle)
        real = SlackMessenger(self.slack.bot_token, self.slack.base_url)
        self.announcer = Announcer(
            self.chronicle,
            messenger(real),
            self.clock,
            projection(
                {"site": channel},
                lambda _op: None,
                escalate_to={"site": escalate_to} if escalate_to else None,
                call=call,
            ),
            again_s=0.02,
            away_s=0.04,
            pace=pace or Pace(rate=1000, burst=1000),
        )
        self._show()
        self.running = asyncio.create_task(self.announcer.run())
        try:
            yield self.announcer
        finally:
            self.running.cancel()
            await asyncio.gather(self.running, return_exceptions=True)
            await real.close()

    def happens(self, *changed: Incident) -> None:
        """From now on these are how the incidents stand."""
        self.incidents |= {i.id: i for i in changed}
        self._show()

    def open(self, number: int, **more: Any) -> Incident:
        """An incident begins now."""
        made = incident(number, self.clock.now(), **more)
        self.happens(made)
        return made

    def change(self, number: int, **changes: Any) -> None:
        """An incident goes on."""
        self.happens(replace(self.incidents[number], **changes))

    def end(self, *numbers: int) -> None:
        """Incidents end now."""
        self.happens(*(replace(self.incidents[n], resolved_at=self.clock.now()) for n in numbers))

    def _show(self) -> None:
        if self.chronicle is not None and self.announcer is not None:
            self._fill(self.chronicle)
            self.announcer.wake()

    def _fill(self, chronicle: Chronicle) -> None:
        chronicle.world.incidents["site"] = Incidents(all=tuple(self.incidents.values()))

    # --- looking ---

    def texts(self, channel: str = SITE) -> list[str]:
        """What stands in *channel*, replies left out."""
        return [m["text"] for m in self.slack.messages(channel) if m.get("thread_ts") in (None, m["ts"])]

    def replies(self, channel: str = SITE) -> list[dict[str, Any]]:
        """What stands in the threads of *channel*."""
        return [m for m in self.slack.messages(channel) if m.get("thread_ts") not in (None, m["ts"])]

    def made(self, method: str) -> list[dict[str, Any]]:
        """The arguments of every call of *method* that Slack carried out."""
        return [call.args for call in self.slack.calls if call.method == method and call.ok]

    def said(self) -> list[MessagePosted]:
        """What the journal knows to have been said."""
        return [r.event for r in self.journal.store.recorded if isinstance(r.event, MessagePosted)]

    def agreed(self) -> bool:
        """Whether nothing is left to be said."""
        assert self.announcer is not None
        assert self.chronicle is not None
        due = self.announcer._projection(self.chronicle.world, self.clock.now())
        return not any(self.announcer._is_owed(a) and self.announcer._may_be_tried(a) for a in due)

    async def settled(self, *, within: float = 20.0) -> None:
        """Wait until nothing is left to be said."""
        async with asyncio.timeout(within):
            while not self.agreed():
                if self.running.done():
                    self.running.result()
                await asyncio.sleep(0.01)

    async def away(self) -> None:
        """Wait until the announcer knows that Slack is away."""
        assert self.announcer is not None
        async with asyncio.timeout(20):
            while self.announcer.reachable:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def a_desk(speed: float = 1.0) -> AsyncIterator[Desk]:
    """A desk with a Slack of its own."""
    clock = Clock(speed=speed)
    async with StandIn(CONFIG, clock=clock) as slack:
        yield Desk(slack, clock)
