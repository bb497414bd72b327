"""What directors' agents are heard to say of themselves, and that one says nothing: silence and complaints."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from bot.domain.events import AgentComplained, AgentSilenceChanged
from bot.domain.fleet import Fleet
from bot.flows.chronicle import Chronicle
from bot.flows.ports import Clock, Entry, JournalUnavailable

log = structlog.get_logger(__name__)

MOST_WORDS = 500  # characters of a complaint that are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """What an agent complains of (empty: of nothing), ``since`` when and by its ``last`` heartbeat.

    Both are seconds on the clock that never jumps.
    """

    trouble: str
    since: float
    last: float


@dataclass(slots=True)
class Heartbeats:
    """When each director's agent was last heard and what it complained of, and what follows from that, or from nothing.

    What an agent complains of for a moment (the webhook was away) is over by itself, and is not worth telling. How long
    something lasts is told by the clock that never jumps: when the bot's own was set, no agent has fallen silent by
    that, and none that has goes unnoticed. ``heard`` is for people, and so by the clock on the wall.
    """

    fleet: Fleet
    clock: Clock
    interval_s: float
    expected: frozenset[str]
    heard: dict[str, datetime] = field(default_factory=dict)
    complains: dict[str, Complaint] = field(default_factory=dict)
    _beats: dict[str, float] = field(default_factory=dict)
    _listening: dict[datetime, float] = field(default_factory=dict)

    def beat(self, director: str) -> None:
        """The agent on *director* was heard just now."""
        self.heard[director] = self.clock.now()
        self._beats[director] = self.clock.monotonic()

    def said(self, director: str, trouble: str | None) -> None:
        """What the agent on *director* complains of by its last heartbeat; None where it is well."""
        now, before = self.clock.monotonic(), self.complains.get(director)
        # What it complains of when it is heard again after a silence began with that.
        in_a_row = before is not None and now - before.last <= 2 * self.interval_s
        goes_on = before is not None and before.trouble and trouble and in_a_row
        since = before.since if before is not None and goes_on else now
        self.complains[director] = Complaint(trouble=(trouble or "")[:MOST_WORDS], since=since, last=now)

    def complaints(self, known: Mapping[str, Mapping[str, str]]) -> tuple[AgentComplained, ...]:
        """What changed against the complaints that are *known*, by cluster and director. Other words are no change."""
        found = []
        for cluster in self.fleet.clusters:
            for director in cluster.directors:
                heard = self.complains.get(director.name)
                if heard is None or bool(heard.trouble) == (director.name in known[cluster.name]):
                    continue
                if not heard.trouble or heard.last - heard.since >= 3 * self.interval_s:
                    found.append(AgentComplained(cluster=cluster.name, director=director.name, trouble=heard.trouble))
        return tuple(found)

    def changes(self, silent: Mapping[str, frozenset[str]], since: datetime) -> tuple[AgentSilenceChanged, ...]:
        """What changed against the *silent* directors by cluster. *since*: when listening began."""
        now, began = self.clock.monotonic(), self._began(since)
        found = []
        for cluster in self.fleet.clusters:
            for director in cluster.directors:
                if director.name not in self.expected:
                    continue
                last = self.heard.get(director.name)
                is_silent = now - self._beats.get(director.name, began) > 3 * self.interval_s
                if is_silent != (director.name in silent[cluster.name]) and (is_silent or last):
                    found.append(
                        AgentSilenceChanged(
                            cluster=cluster.name, director=director.name, silent=is_silent, last_heard=last
                        )
                    )
        return tuple(found)

    def _began(self, since: datetime) -> float:
        """*since* on the clock that never jumps, by the two clocks as they were when it was first asked for."""
        ago = (self.clock.now() - since).total_seconds()
        return self._listening.setdefault(since, self.clock.monotonic() - ago)


async def watch_silence(chronicle: Chronicle, heartbeats: Heartbeats) -> None:
    """Record silence, complaints and their ends, once a second, until cancelled."""
    since = heartbeats.clock.now()
    while True:
        await asyncio.sleep(1)
        situations = chronicle.world.situations
        changes: tuple[AgentSilenceChanged | AgentComplained, ...] = (
            *heartbeats.changes({name: s.silent for name, s in situations.items()}, since),
            *heartbeats.complaints({name: s.complaining_agents for name, s in situations.items()}),
        )
        if changes:
            try:
                await chronicle.append(*(Entry(event=change) for change in changes))
            except JournalUnavailable as error:
                log.error("agent silence not recorded", error=str(error))
