"""Record, then tell: every event goes into the journal first, then into the folds, then to whoever waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from bot.domain import findings, incidents, mutes, operations, selftest, senses, situation
from bot.domain.events import (
    AgentGap,
    AgentSilenceChanged,
    CertificateChanged,
    Event,
    FallbackSent,
    HealthChanged,
    MessagePosted,
    OutageMeasured,
    QuorumChanged,
    RealServerChanged,
    Recorded,
    SelfTestHeard,
    VrrpStateChanged,
)
from bot.domain.fleet import Cluster, Fleet
from bot.domain.incidents import Incidents
from bot.domain.mutes import Mutes
from bot.domain.operations import Operations
from bot.domain.selftest import SelfTests
from bot.domain.senses import Senses
from bot.domain.situation import Situation
from bot.flows.ports import Entry, Journal, MessageRef

SUMMED_UP = "summed up"
"""The digest of what was said in a message about several things at once: nothing is said of it again."""

Listener = Callable[[Recorded], None]
PAGE = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """Where a message stands, a digest of what it says, and since when it is known to stand there."""

    ref: MessageRef
    digest: str
    since: datetime

    @property
    def summed_up(self) -> bool:
        """Whether it stands in a message about several things at once, and not in one of its own."""
        return self.digest == SUMMED_UP


@dataclass(slots=True, kw_only=True)
class World:
    """What the journal adds up to so far: the folds, by cluster.

    ``posted`` is by the announcer's keys; ``sent`` is (key, way) of what was said another way than in Slack.
    """

    situations: dict[str, Situation]
    incidents: dict[str, Incidents]
    operations: Operations = field(default_factory=Operations)
    mutes: Mutes = field(default_factory=Mutes)
    senses: Senses = field(default_factory=Senses)
    selftests: SelfTests = field(default_factory=SelfTests)
    posted: dict[str, Posted] = field(default_factory=dict)
    sent: frozenset[tuple[str, str]] = frozenset()
    sequence: int = 0

    @classmethod
    def of(cls, fleet: Fleet) -> World:
        """A world in which nothing has happened yet."""
        return cls(
            situations={c.name: Situation() for c in fleet.clusters},
            incidents={c.name: Incidents() for c in fleet.clusters},
        )


class Chronicle:
    """The journal together with what it adds up to. Everything that the bot learns or does goes through here."""

    def __init__(self, journal: Journal, fleet: Fleet) -> None:
        self.journal = journal
        self.fleet = fleet
        self.world = World.of(fleet)
        self._listeners: list[Listener] = []
        self._catching_up = asyncio.Lock()

    def listen(self, listener: Listener) -> None:
        """Call *listener* with every event that is recorded from now on, in order. It must not block."""
        self._listeners.append(listener)

    async def append(self, *entries: Entry) -> tuple[Recorded | None, ...]:
        """Append *entries* (see :meth:`Journal.append`) and fold them in. Raises JournalUnavailable."""
        recorded = await self.journal.append(*entries)
        fresh = [r for r in recorded if r is not None]
        if fresh and fresh[0].sequence == self.world.sequence + 1 and not self._catching_up.locked():
            for event in fresh:
                self._apply(event)
        elif fresh and fresh[-1].sequence > self.world.sequence:
            await self.catch_up()
        return recorded

    async def catch_up(self) -> int:
        """Fold in what others wrote (a terminal command, another task) and return how many events that were."""
        async with self._catching_up:
            count = 0
            while page := await self.journal.read(after=self.world.sequence, limit=PAGE):
                for event in page:
                    self._apply(event)
                count += len(page)
            return count

    def _apply(self, recorded: Recorded) -> None:
        if recorded.sequence <= self.world.sequence:
            return
        fold(self.world, recorded, self.fleet)
        for listener in self._listeners:
            listener(recorded)


def fold(world: World, recorded: Recorded, fleet: Fleet) -> None:
    """Bring *world* to the state after *recorded*. Events about what the fleet no longer has are passed over."""
    world.sequence = recorded.sequence
    event = recorded.event
    world.operations = operations.fold(world.operations, recorded)
    world.mutes = mutes.fold(world.mutes, recorded)
    world.senses = senses.fold(world.senses, recorded)
    world.selftests = selftest.fold(world.selftests, recorded)
    if isinstance(event, MessagePosted):
        _posted(world, event, recorded.recorded_at)
    if isinstance(event, FallbackSent):
        world.sent |= {(event.key, event.way)}
    name = getattr(event, "cluster", None)
    if name not in world.situations or not _known(event, fleet.cluster(name)):
        return
    cluster = fleet.cluster(name)
    before = world.situations[name]
    after = findings.look(situation.fold(before, recorded, cluster), recorded, cluster, world.operations)
    world.situations[name] = after
    context = incidents.Context(mutes=world.mutes)
    world.incidents[name] = incidents.fold(world.incidents[name], before, after, recorded, cluster, context)


def _posted(world: World, event: MessagePosted, at: datetime) -> None:
    ref = MessageRef(channel=event.channel, ts=event.ts)
    before = world.posted.get(event.key)
    since = before.since if before and before.ref == ref and not before.summed_up else at
    world.posted[event.key] = Posted(ref=ref, digest=event.digest, since=since)


def _known(event: Event, cluster: Cluster) -> bool:
    """Whether *cluster* still has everything that *event* is about: a journal outlives many a fleet file."""
    match event:
        case VrrpStateChanged(group=False):
            return event.instance in {i.name for i in cluster.vrrp_instances} and _has(cluster, event.director)
        case HealthChanged() | OutageMeasured() | CertificateChanged():
            service = next((s for s in cluster.services if s.name == event.service), None)
            return service is not None and (event.real_server is None or service.member(event.real_server) is not None)
        case RealServerChanged() | QuorumChanged() | AgentSilenceChanged() | AgentGap() | SelfTestHeard():
            return _has(cluster, event.director)
        case _:
            return True


def _has(cluster: Cluster, director: str) -> bool:
    return director in {d.name for d in cluster.directors}
