"""A claim becomes a finding: every signal that needs it triggers a roll call, and silence is noticed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from bot.domain.events import (
    AgentSilenceChanged,
    HealthChanged,
    RealServerChanged,
    Recorded,
    RollCallAnswer,
    RollCallTaken,
    VrrpStateChanged,
)
from bot.domain.fleet import Cluster, Fleet
from bot.domain.health import Outcome
from bot.domain.incidents import Kind
from bot.domain.situation import STATES
from bot.flows.chronicle import Chronicle
from bot.flows.observing import take_roll_call
from bot.flows.ports import Clock, Entry, JournalUnavailable, RemoteShell

log = structlog.get_logger(__name__)

AGAIN_AFTER = 1.0  # seconds until a roll call that could not settle an incident is repeated
TRIES = 5


def reason_to_call(recorded: Recorded) -> str | None:
    """Why *recorded* asks for a roll call of its cluster; None if it does not."""
    match recorded.event:
        case VrrpStateChanged(group=False) as event if event.state in STATES:
            return f"{event.director} says {event.state} for {event.instance}"
        case VrrpStateChanged(group=False) as event:
            return f"{event.director} says {event.state}"
        case RealServerChanged(up=True) as event:
            # keepalived has just added it at its configured weight: a drain has to be re-asserted at once.
            return f"keepalived on {event.director} put {event.address} back"
        case HealthChanged(outcome=Outcome.UNHEALTHY) as event:
            return f"{event.real_server or 'the VIP'} does not answer for {event.service}"
        case AgentSilenceChanged() as event:
            return f"the agent on {event.director} {'fell silent' if event.silent else 'is back'}"
        case _:
            return None


class RollCaller:
    """Takes the roll calls of one cluster: on demand, again while something is unsettled, and every *interval_s*."""

    def __init__(
        self, chronicle: Chronicle, shell: RemoteShell, clock: Clock, cluster: Cluster, *, interval_s: float = 30.0
    ) -> None:
        self._chronicle = chronicle
        self._shell = shell
        self._clock = clock
        self._cluster = cluster
        self._interval_s = interval_s
        self._wanted = asyncio.Event()
        self._reason = "start"
        chronicle.listen(self._heard)

    def _heard(self, recorded: Recorded) -> None:
        reason = reason_to_call(recorded)
        if reason and getattr(recorded.event, "cluster", None) == self._cluster.name:
            self.ask(reason)

    def ask(self, reason: str) -> None:
        """Have a roll call taken as soon as possible. One that is under way already may have looked too early."""
        self._reason = reason
        self._wanted.set()

    async def run(self) -> None:
        """Take roll calls until cancelled."""
        tries = 0
        demanded = True
        while True:
            self._wanted.clear()
            reason = self._reason if demanded else "routine"
            await self._call(reason, demanded)
            unsettled = self._unsettled()
            tries = tries + 1 if unsettled else 0
            pause = AGAIN_AFTER if 0 < tries <= TRIES else self._interval_s
            try:
                await asyncio.wait_for(self._wanted.wait(), pause)
                demanded, tries = True, 0
            except TimeoutError:
                demanded = unsettled

    async def _call(self, reason: str, demanded: bool) -> None:
        taken = await take_roll_call(self._shell, self._clock, self._cluster, reason)
        if not demanded and not self._is_news(taken):
            return
        try:
            await self._chronicle.append(Entry(event=taken))
        except JournalUnavailable as error:
            log.error("roll call not recorded", cluster=self._cluster.name, error=str(error))

    def _is_news(self, taken: RollCallTaken) -> bool:
        """Whether *taken* differs from what was answered before: routine repeats are not worth keeping."""
        known = self._chronicle.world.situations[self._cluster.name].answers
        contested = self._chronicle.world.situations[self._cluster.name].contested
        return bool(contested) or any(
            a.director not in known or _comparable(known[a.director].answer) != _comparable(a) for a in taken.answers
        )

    def _unsettled(self) -> bool:
        """Whether an open incident still waits for a roll call to say what is so."""
        return any(
            not i.settled and i.kind is not Kind.VIP_UNREACHABLE
            for i in self._chronicle.world.incidents[self._cluster.name].open
        )


def _comparable(answer: RollCallAnswer) -> RollCallAnswer:
    """An answer without what differs between two askings of the same thing: an error's words, counters, drift.

    Of a process it matters which one it is and whether it stands still, not whether it slept when it was looked at.
    """
    return replace(
        answer,
        error="no answer" if answer.error else None,
        heard_at=None,
        processes=answer.processes
        and tuple(replace(p, state=p.state if p.state in "TtZX" else "") for p in answer.processes),
        nat=answer.nat and replace(answer.nat, packets=answer.nat.packets and 1),
        clock_behind_s=answer.clock_behind_s and float(int(answer.clock_behind_s / 2)),
    )


@dataclass(slots=True)
class Heartbeats:
    """When each director's agent was last heard, and what follows from hearing nothing."""

    fleet: Fleet
    clock: Clock
    interval_s: float
    expected: frozenset[str]
    heard: dict[str, datetime] = field(default_factory=dict)

    def beat(self, director: str) -> None:
        """The agent on *director* was heard just now."""
        self.heard[director] = self.clock.now()

    def changes(self, silent: Mapping[str, frozenset[str]], since: datetime) -> tuple[AgentSilenceChanged, ...]:
        """What changed against the *silent* directors by cluster. *since*: when listening began."""
        now = self.clock.now()
        found = []
        for cluster in self.fleet.clusters:
            for director in cluster.directors:
                if director.name not in self.expected:
                    continue
                last = self.heard.get(director.name)
                is_silent = (now - (last or since)).total_seconds() > 3 * self.interval_s
                if is_silent != (director.name in silent[cluster.name]) and (is_silent or last):
                    found.append(
                        AgentSilenceChanged(
                            cluster=cluster.name, director=director.name, silent=is_silent, last_heard=last
                        )
                    )
        return tuple(found)


async def watch_silence(chronicle: Chronicle, heartbeats: Heartbeats) -> None:
    """Record silence and its end, once a second, until cancelled."""
    since = heartbeats.clock.now()
    while True:
        await asyncio.sleep(1)
        silent = {name: s.silent for name, s in chronicle.world.situations.items()}
        changes = heartbeats.changes(silent, since)
        if changes:
            try:
                await chronicle.append(*(Entry(event=change) for change in changes))
            except JournalUnavailable as error:
                log.error("agent silence not recorded", error=str(error))
