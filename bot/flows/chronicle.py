"""Record, then tell: every event goes into the journal first, then into the folds, then to whoever waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta

import structlog

from bot.domain import findings, incidents, mutes, operations, selftest, situation
from bot.domain.events import (
    AgentComplained,
    AgentGap,
    AgentSilenceChanged,
    BotStarted,
    CertificateChanged,
    Event,
    FallbackSent,
    HealthChanged,
    MessagePosted,
    OutageMeasured,
    QuorumChanged,
    RealServerChanged,
    RealServerObserved,
    Recorded,
    RollCallTaken,
    SelfTestHeard,
    VrrpStateChanged,
    VrrpStateObserved,
)
from bot.domain.fleet import Cluster, Fleet, ProbeKind
from bot.domain.incidents import Incident, Incidents
from bot.domain.mutes import Mutes
from bot.domain.operations import Operations
from bot.domain.selftest import SelfTests
from bot.domain.situation import Situation
from bot.flows.ports import Entry, Journal, MessageRef

log = structlog.get_logger(__name__)

SUMMED_UP = "summed up"
"""The digest of what was said in a message about several things at once: nothing is said of it again."""

Listener = Callable[[Recorded], None]
PAGE = 2000
PROGRESS_S = 3.0  # a journal that takes longer than this to fold says how far it is, this often
MESSAGES = 1000  # so many messages are remembered before those that nothing will edit any more are let go
# What is about nothing in memory is edited for half a day at most (projecting.py, STALE).
EDITED = timedelta(days=7)
AT_ONCE = timedelta(seconds=10)  # between a post and its record, unless something went wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """Where a message stands, a digest of what it says, since when it is known to stand there, and its last change."""

    ref: MessageRef
    digest: str
    since: datetime
    at: datetime

    @property
    def summed_up(self) -> bool:
        """Whether it stands in a message about several things at once, and not in one of its own."""
        return self.digest == SUMMED_UP


@dataclass(slots=True, kw_only=True)
class World:
    """What the journal adds up to so far: the folds, by cluster.

    ``posted`` is by the announcer's keys; ``sent`` is when what was said another way than in Slack, by (key, way).
    ``said`` is, by cluster, the sequence of the last event that changed what is in either of them about its incidents.
    ``most`` is how many of both there may be before those that nothing needs any more are let go.
    """

    situations: dict[str, Situation]
    incidents: dict[str, Incidents]
    operations: Operations = field(default_factory=Operations)
    mutes: Mutes = field(default_factory=Mutes)
    selftests: SelfTests = field(default_factory=SelfTests)
    posted: dict[str, Posted] = field(default_factory=dict)
    sent: dict[tuple[str, str], datetime] = field(default_factory=dict)
    said: dict[str, int] = field(default_factory=dict)
    most: int = MESSAGES
    sequence: int = 0

    @classmethod
    def of(cls, fleet: Fleet) -> World:
        """A world in which nothing has happened yet."""
        return cls(
            situations={c.name: situation.unknown(c) for c in fleet.clusters},
            incidents={c.name: Incidents() for c in fleet.clusters},
        )

    def has_told(self, incident: Incident) -> bool:
        """Whether Slack shows the end of *incident*.

        One that is withdrawn has none, but what stands of it is to be corrected. As nobody knows when it was withdrawn,
        nobody knows whether that is shown already where it was ever told.
        """
        posted = self.posted.get(key_of(incident))
        if incident.withdrawn:
            return posted is None
        return posted is not None and (incident.resolved_at is None or posted.at >= incident.resolved_at)

    def copy(self) -> World:
        """The world as it is now: what is folded into this one later does not show in the copy."""
        return replace(
            self,
            situations=dict(self.situations),
            incidents=dict(self.incidents),
            posted=dict(self.posted),
            sent=dict(self.sent),
            said=dict(self.said),
        )

    def become(self, other: World) -> None:
        """Take over everything from *other*, which nobody may use any more."""
        for part in fields(self):
            setattr(self, part.name, getattr(other, part.name))


class Chronicle:
    """The journal together with what it adds up to. Everything that the bot learns or does goes through here."""

    def __init__(self, journal: Journal, fleet: Fleet, *, progress_s: float = PROGRESS_S) -> None:
        self.journal = journal
        self.fleet = fleet
        self.world = World.of(fleet)
        self._listeners: list[Listener] = []
        self._rehearsals: list[Callable[[World], None]] = []
        self._ahead: tuple[Recorded, World] | None = None
        self._progress_s = progress_s
        self._catching_up = asyncio.Lock()

    def rehearse(self, rehearsal: Callable[[World], None]) -> None:
        """Call *rehearsal* with the world as it will be if the disk takes an event. It may prepare, and tell nobody."""
        self._rehearsals.append(rehearsal)

    def foresee(self, recorded: Recorded) -> None:
        """Work out what *recorded* comes to while the disk is still busy with it: an alert need not wait for both."""
        if recorded.sequence != self.world.sequence + 1 or self._catching_up.locked():
            return
        ahead = self.world.copy()
        try:
            fold(ahead, recorded, self.fleet)
        except Exception:
            return  # whoever folds it once it is recorded will meet the same, and say so
        self._ahead = (recorded, ahead)
        # That something was said is no news. And should it not be recorded after all, nothing may have been worked out
        # from it: what remembers by the number of such an event could take another's for it.
        if not isinstance(recorded.event, SAID):
            for rehearsal in self._rehearsals:
                rehearsal(ahead)

    def listen(self, listener: Listener) -> None:
        """Call *listener* with every event that is recorded from now on, in order. It must not block."""
        self._listeners.append(listener)

    def resume(self, world: World) -> None:
        """Begin with *world* instead of with nothing. Raises ValueError where something has been folded already."""
        if self.world.sequence:
            raise ValueError("a chronicle that has begun cannot begin anew")
        self.world = world

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
            progress = _Progress(self.journal, self._progress_s)
            while page := await self.journal.read(after=self.world.sequence, limit=PAGE):
                for event in page:
                    self._apply(event)
                count += len(page)
                await progress.at(self.world.sequence)
            return count

    def _apply(self, recorded: Recorded) -> None:
        if recorded.sequence <= self.world.sequence:
            return
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] is recorded and recorded.sequence == self.world.sequence + 1:
            self.world.become(ahead[1])
        else:
            self._fold(recorded)
        for listener in self._listeners:
            listener(recorded)

    def _fold(self, recorded: Recorded) -> None:
        """Fold *recorded* in, or pass it over: an event that cannot be folded must not be the last one.

        The bot would end at it, and at each start after that. It is a defect, and the log has what it takes to mend it.
        """
        try:
            fold(self.world, recorded, self.fleet)
        except Exception:
            kind = type(recorded.event).__name__
            log.exception("an event was passed over", sequence=recorded.sequence, kind=kind)
            self.world.sequence = recorded.sequence


class _Progress:
    """Says how far a long journal has been folded: a start that takes minutes must not look like one that hangs."""

    def __init__(self, journal: Journal, every_s: float) -> None:
        self._journal = journal
        self._every_s = every_s
        self._said_at = asyncio.get_running_loop().time()
        self._of = 0

    async def at(self, sequence: int) -> None:
        """The journal has been folded up to *sequence*."""
        now = asyncio.get_running_loop().time()
        if now - self._said_at < self._every_s:
            return
        self._said_at = now
        self._of = self._of or await self._journal.last_sequence()
        log.info("folding the journal", sequence=sequence, of=max(self._of, sequence))


SIGNALS = (VrrpStateChanged, RealServerChanged, QuorumChanged, HealthChanged, OutageMeasured, RollCallTaken)
"""What directors and probes tell, often and urgently: it changes no operation, no mute and no self-test."""

SAID = (MessagePosted, FallbackSent)
"""What the bot records of what it said itself."""


def fold(world: World, recorded: Recorded, fleet: Fleet) -> None:
    """Bring *world* to the state after *recorded*. Events about what the fleet no longer has are passed over.

    All is worked out before anything is changed: where that fails, *world* is as it was.
    """
    event = recorded.event
    parts = world.operations, world.mutes, world.selftests
    if not isinstance(event, SIGNALS):
        parts = (
            operations.fold(parts[0], recorded),
            mutes.fold(parts[1], recorded),
            selftest.fold(parts[2], recorded),
        )
    situations, stories = _told(world, recorded, fleet, parts[0], parts[1])
    world.sequence = recorded.sequence
    world.operations, world.mutes, world.selftests = parts
    world.situations.update(situations)
    world.incidents.update(stories)
    if isinstance(event, MessagePosted):
        _posted(world, event, recorded.recorded_at)
    if isinstance(event, FallbackSent):
        world.sent[event.key, event.way] = recorded.recorded_at
    if isinstance(event, SAID) and (cluster := _cluster_of(event.key)) is not None:
        world.said[cluster] = recorded.sequence
    if len(world.posted) + len(world.sent) > world.most:
        _let_go(world, recorded.recorded_at - EDITED)


def _told(
    world: World, recorded: Recorded, fleet: Fleet, ordered: Operations, muted: Mutes
) -> tuple[dict[str, Situation], dict[str, Incidents]]:
    """The situations and the incidents that *recorded* changes, as they are after it, by cluster."""
    event = recorded.event
    if isinstance(event, BotStarted):
        return _started(world, recorded.recorded_at, fleet)
    name = getattr(event, "cluster", None)
    if name not in world.situations or not _known(event, fleet.cluster(name)):
        return {}, {}
    cluster = fleet.cluster(name)
    before = world.situations[name]
    if isinstance(event, RollCallTaken):
        taken = situation.timely(before, _of_those_there(event, cluster), recorded.recorded_at)
        recorded = recorded if taken is event else replace(recorded, event=taken)
    after = findings.look(situation.fold(before, recorded, cluster), recorded, cluster, ordered)
    context = incidents.Context(mutes=muted, drained=ordered.drained_by(name), told=world.has_told)
    return {name: after}, {name: incidents.fold(world.incidents[name], before, after, recorded, cluster, context)}


def _started(world: World, at: datetime, fleet: Fleet) -> tuple[dict[str, Situation], dict[str, Incidents]]:
    def told(incident: Incident) -> bool:
        return key_of(incident) in world.posted

    return (
        {name: situation.watched(state, at) for name, state in world.situations.items()},
        {name: incidents.heard_again(state, at, fleet.cluster(name), told) for name, state in world.incidents.items()},
    )


def key_of(incident: Incident) -> str:
    """What the announcements about *incident* begin with, and the key of the first."""
    return f"incident:{incident.cluster}:{incident.id}"


def _cluster_of(key: str) -> str | None:
    """The cluster whose incident *key* is about; None of a key that is about none."""
    kind, _, about = key.partition(":")
    return about.partition(":")[0] if kind == "incident" else None


def _posted(world: World, event: MessagePosted, at: datetime) -> None:
    ref = MessageRef(channel=event.channel, ts=event.ts)
    before = world.posted.get(event.key)
    since = before.since if before and before.ref == ref and not before.summed_up else _stood_since(event.ts, at)
    world.posted[event.key] = Posted(ref=ref, digest=event.digest, since=since, at=at)


def _stood_since(ts: str, at: datetime) -> datetime:
    """Since when a message stands that was recorded at *at*: after a death, that may have been made up for much later.

    Slack's ``ts`` tells, by its own clock; where the record came at once, ours is the one that the folds go by.
    """
    try:
        stood = datetime.fromtimestamp(float(ts), UTC)
    except (ValueError, OverflowError, OSError):
        return at
    return stood if AT_ONCE < at - stood <= EDITED else at


def _let_go(world: World, before: datetime) -> None:
    """Forget the messages from *before* that are about nothing in memory: nobody will ask to have them edited.

    The announcer posts what it does not know to have posted. So what is forgotten must be what no projection will ever
    draw up again: an incident, an operation or a self-test that has left memory, anything else that is old.
    """
    alive = {key_of(i) for incidents in world.incidents.values() for i in incidents.all}
    alive |= {f"operation:{operation}" for operation in world.operations.by_id}
    alive |= {f"selftest:{test}" for test in world.selftests.by_id}
    world.posted = {key: said for key, said in world.posted.items() if said.since >= before or _is_of(key, alive)}
    world.sent = {about: at for about, at in world.sent.items() if at >= before or _is_of(about[0], alive)}
    # Gone through again only when there are twice as many: most events do not pay for it.
    world.most = max(MESSAGES, 2 * (len(world.posted) + len(world.sent)))


def _is_of(key: str, subjects: set[str]) -> bool:
    """Whether *key* is one of *subjects* or says more behind one (``incident:site:7:over``)."""
    return any(key[:end] in subjects for end, sign in enumerate(f"{key}:") if sign == ":")


def _known(event: Event, cluster: Cluster) -> bool:
    """Whether *cluster* still has everything that *event* is about: a journal outlives many a fleet file."""
    match event:
        case VrrpStateChanged(group=False) | VrrpStateObserved():
            return event.instance in {i.name for i in cluster.vrrp_instances} and _has(cluster, event.director)
        case HealthChanged() | OutageMeasured():
            return _serves(cluster, event.service, event.real_server) and _probed(cluster, event)
        case CertificateChanged():
            return _serves(cluster, event.service, event.real_server) and _probed(cluster, event, ProbeKind.TLS)
        case RealServerObserved():
            return _has(cluster, event.director) and _serves(cluster, event.service, event.real_server)
        case RealServerChanged() | QuorumChanged() | SelfTestHeard():
            return _has(cluster, event.director)
        case AgentSilenceChanged() | AgentComplained() | AgentGap():
            return _has(cluster, event.director)
        case _:
            return True


def _has(cluster: Cluster, director: str) -> bool:
    return director in {d.name for d in cluster.directors}


def _serves(cluster: Cluster, service: str, real_server: str | None) -> bool:
    """Whether *cluster* has *service*, with *real_server* (any, where that is None) behind it."""
    found = next((s for s in cluster.services if s.name == service), None)
    return found is not None and (real_server is None or found.member(real_server) is not None)


def _probed(
    cluster: Cluster, event: HealthChanged | OutageMeasured | CertificateChanged, kind: ProbeKind | None = None
) -> bool:
    """Whether a probe (of *kind*) is still there to take back what *event* says; of a fleet without any, who knows."""
    for probe in cluster.probes:
        if probe.service == event.service and probe.real_server == event.real_server and kind in (None, probe.kind):
            return True
    return not cluster.probes


def _of_those_there(taken: RollCallTaken, cluster: Cluster) -> RollCallTaken:
    """*taken* without the directors that *cluster* no longer has; itself where it has them all.

    What they answered about services and real servers that are gone needs no such care: it is looked up by what there
    is, and nothing is looked up by it.
    """
    there = {d.name for d in cluster.directors}
    answers = tuple([a for a in taken.answers if a.director in there])
    waiting = tuple([name for name in taken.waiting if name in there])
    if (len(answers), len(waiting)) == (len(taken.answers), len(taken.waiting)):
        return taken
    return replace(taken, answers=answers, waiting=waiting)
