"""Incidents: many signals, one story each. A fold of the journal over what is known of the cluster.

Invariants (tests/domain/test_incidents.py tries them over orders, duplicates and delays):

1. A trouble belongs to at most one open incident; an incident is open as long as one of its troubles is.
2. Cause before effect: what a lost director explains (its VIP, the real servers inside it) joins its incident.
3. Only a roll call confirms: no split brain without two holders found twice, no failover told before somebody was asked
   who holds the address, or until asking has taken too long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta

from bot.domain.events import OutageMeasured, Recorded, RollCallTaken, VrrpState
from bot.domain.fleet import Cluster, VrrpInstance
from bot.domain.incidents.story import Cause, Incident, Incidents, Kind, Matter, Note, Trouble
from bot.domain.observed import UnitActive
from bot.domain.situation import Situation, holders_of

KEPT = 50  # incidents that are over stay in memory until this many newer ones exist
ROLL_CALL_HOLD = timedelta(seconds=5)  # how long a claim waits for a roll call before it is told as a claim
HOST_HOLD = timedelta(seconds=15)  # how long a real server waits for word of the director that it lives inside of
REMEMBERED = timedelta(seconds=60)  # how long a measured outage may wait for the incident that it belongs to


def fold(state: Incidents, before: Situation, after: Situation, recorded: Recorded, cluster: Cluster) -> Incidents:
    """*state* after *recorded*, which took what is known of *cluster* from *before* to *after*."""
    work = _Work(state, after, recorded, cluster)
    for instance in cluster.vrrp_instances:
        work.moved(instance, before.masters.get(instance.name), after.masters.get(instance.name))
    if isinstance(recorded.event, RollCallTaken):
        work.settle(recorded.event)
    if isinstance(recorded.event, OutageMeasured) and recorded.event.real_server is None:
        work.measured(recorded.event)
    troubles = troubles_of(after, cluster)
    for trouble in sorted(troubles, key=_cause_first):
        work.attach(trouble)
    work.close(troubles)
    return work.result()


def _cause_first(trouble: Trouble) -> tuple[int, str]:
    order = tuple(Matter)
    return order.index(trouble.matter), trouble.subject


def troubles_of(situation: Situation, cluster: Cluster) -> frozenset[Trouble]:
    """Everything that is not as it should be in *situation*."""
    troubles = {
        Trouble(matter=Matter.DIRECTOR, subject=d.name) for d in cluster.directors if situation.unreachable(d.name)
    }
    troubles |= {Trouble(matter=Matter.AGENT, subject=d) for d in situation.silent}
    troubles |= {
        Trouble(matter=Matter.REAL_SERVER, subject=r.name) for r in cluster.real_servers if situation.complaints(r.name)
    }
    for instance in cluster.vrrp_instances:
        if situation.vip_troubles(services_of(cluster, instance)):
            troubles.add(Trouble(matter=Matter.VIP, subject=instance.name))
        since = situation.contested.get(instance.name)
        if since is not None and any(a.at > since for a in situation.answers.values()):
            troubles.add(Trouble(matter=Matter.CONTEST, subject=instance.name))
    return frozenset(troubles)


def services_of(cluster: Cluster, instance: VrrpInstance) -> frozenset[str]:
    """The services whose address *instance* carries."""
    return frozenset(s.name for s in cluster.services if s.vrrp_instance == instance.name)


class _Work:
    """The incidents while one event is folded in. It lives for one call of :func:`fold` and is never shared."""

    def __init__(self, state: Incidents, situation: Situation, recorded: Recorded, cluster: Cluster) -> None:
        self._by_id = {i.id: i for i in state.all}
        self._outages = tuple(o for o in state.outages if o.first_good_at > recorded.recorded_at - REMEMBERED)
        self._situation = situation
        self._recorded = recorded
        self._at = recorded.recorded_at
        self._cluster = cluster

    def result(self) -> Incidents:
        """The state afterwards, with the oldest of what is over let go."""
        every = sorted(self._by_id.values(), key=lambda i: i.id)
        over = [i.id for i in every if not i.open]
        gone = set(over[: max(0, len(over) - KEPT)])
        return Incidents(all=tuple(i for i in every if i.id not in gone), outages=self._outages)

    def moved(self, instance: VrrpInstance, old: str | None, new: str | None) -> None:
        """The MASTER of *instance* was taken to be *old* and is now taken to be *new*."""
        if old is None or new is None or old == new:
            return
        open_one = self._open(lambda i: i.kind is Kind.FAILOVER and i.instance == instance.name)
        if open_one and open_one.old_master == new:
            if not open_one.settled and isinstance(self._recorded.event, RollCallTaken) and not open_one.services:
                # The claim was a director's brief mistake at its start: the address never left.
                self._put(replace(open_one, withdrawn=True), f"{open_one.new_master} does not hold it after all")
                return
            self._put(replace(open_one, returned_at=self._at, new_master=new), f"{new} is MASTER again (before: {old})")
            return
        known = open_one or self._open(
            lambda i: (
                (i.kind is Kind.VIP_UNREACHABLE and i.instance == instance.name)
                or (i.kind is Kind.DIRECTOR_LOST and i.subject == old)
            )
        )
        incident = known or self._opened(Kind.FAILOVER, instance.name, ROLL_CALL_HOLD)
        self._put(
            replace(
                incident,
                kind=Kind.FAILOVER,
                subject=instance.name,
                instance=instance.name,
                old_master=incident.old_master or old,
                new_master=new,
                moved_at=self._at,
                returned_at=None,
                settled=False,
                hold_until=self._at + ROLL_CALL_HOLD,
                troubles=incident.troubles | {Trouble(matter=Matter.ROLE, subject=instance.name)},
                outages=incident.outages or self._recent(instance),
            ),
            f"MASTER moved from {old} to {new}",
        )

    def settle(self, event: RollCallTaken) -> None:
        """A roll call was taken: claims become findings, and what waited for it may be told."""
        for incident in self._opens():
            if incident.kind is Kind.FAILOVER and not incident.settled:
                instance = self._cluster.vrrp_instance(incident.subject)
                # Asked before the move, the old MASTER's answer would be from before it, and the cause a guess.
                in_time = (
                    incident.moved_at is None or event.asked_at >= incident.moved_at or incident.moved_at == self._at
                )
                if in_time and holders_of(instance, event) == (incident.new_master,):
                    cause = _cause(incident, instance, event, self._situation)
                    lost = incident.old_master if cause is Cause.DIED else incident.lost
                    self._put(
                        replace(incident, settled=True, cause=cause, lost=lost),
                        f"roll call: {incident.new_master} holds the address; {incident.old_master}: {cause.value}",
                    )
            elif incident.kind in (Kind.REAL_SERVER_DOWN, Kind.AGENT_SILENT, Kind.DIRECTOR_LOST):
                self._put(replace(incident, settled=True), "")
            elif incident.kind is Kind.SPLIT_BRAIN:
                holders = holders_of(self._cluster.vrrp_instance(incident.subject), event)
                self._put(
                    replace(incident, settled=True, holders=holders if len(holders) > 1 else incident.holders), ""
                )

    def measured(self, outage: OutageMeasured) -> None:
        """Probes measured an outage of a VIP: it belongs to the incident around it, or to one that is yet to open."""
        instance_name = self._cluster.service(outage.service).vrrp_instance
        self._outages = (*self._outages, outage)
        owner = next(
            (
                i
                for i in sorted(self._by_id.values(), key=lambda i: -i.id)
                if i.instance == instance_name
                and not i.withdrawn
                and (i.open or outage.first_bad_at <= (i.resolved_at or self._at))
                and outage.first_good_at >= i.opened_at - REMEMBERED
            ),
            None,
        )
        if owner:
            self._put(replace(owner, outages=(*owner.outages, outage)), "")

    def attach(self, trouble: Trouble) -> None:
        """Give *trouble* to the open incident that explains it, or open one of its own."""
        owner = self._owner(trouble) or self._explains(trouble)
        if owner is None:
            owner = self._new(trouble)
        if trouble not in owner.troubles:
            owner = replace(owner, troubles=owner.troubles | {trouble})
        self._put(self._detailed(owner, trouble), "")
        if trouble.matter is Matter.DIRECTOR:
            self._absorb(trouble.subject)

    def close(self, troubles: frozenset[Trouble]) -> None:
        """Let go of what is well again; an incident with nothing left is over."""
        for incident in self._opens():
            left = frozenset(
                t for t in incident.troubles if (t in troubles if t.matter is not Matter.ROLE else self._away(incident))
            )
            for gone in sorted(incident.troubles - left):
                incident = self._put(incident, _well_again(gone, incident))
            if left:
                self._put(replace(incident, troubles=left), "")
            elif incident.kind is Kind.AGENT_SILENT and not incident.settled:
                self._put(replace(incident, troubles=left, withdrawn=True), "")
            else:
                self._put(replace(incident, troubles=left, resolved_at=self._at, settled=True), "")

    # --- helpers --------------------------------------------------------------------------------------------------

    def _opens(self) -> tuple[Incident, ...]:
        return tuple(i for i in self._by_id.values() if i.open)

    def _open(self, wanted: Callable[[Incident], bool]) -> Incident | None:
        return next((i for i in self._opens() if wanted(i)), None)

    def _owner(self, trouble: Trouble) -> Incident | None:
        return next((i for i in self._opens() if trouble in i.troubles), None)

    def _explains(self, trouble: Trouble) -> Incident | None:
        """The open incident whose cause explains *trouble*."""
        about = trouble.subject
        match trouble.matter:
            case Matter.VIP:
                master = self._situation.masters.get(about)
                return self._open(lambda i: i.instance == about) or self._open(
                    lambda i: i.kind is Kind.DIRECTOR_LOST and i.subject == master
                )
            case Matter.DIRECTOR:
                masters = self._situation.masters
                return self._open(
                    lambda i: (
                        (i.kind is Kind.FAILOVER and i.old_master == about and i.returned_at is None)
                        or (i.kind is Kind.VIP_UNREACHABLE and masters.get(i.subject) == about)
                        or (i.kind is Kind.AGENT_SILENT and i.subject == about)
                    )
                )
            case Matter.AGENT:
                return self._open(lambda i: about in (i.lost, i.old_master))
            case Matter.REAL_SERVER:
                host = self._cluster.real_server(about).host
                return self._open(lambda i: host is not None and i.lost == host)
            case Matter.CONTEST:
                return self._open(lambda i: i.instance == about)
            case _:
                return None

    def _new(self, trouble: Trouble) -> Incident:
        kind = {
            Matter.VIP: Kind.VIP_UNREACHABLE,
            Matter.DIRECTOR: Kind.DIRECTOR_LOST,
            Matter.REAL_SERVER: Kind.REAL_SERVER_DOWN,
            Matter.AGENT: Kind.AGENT_SILENT,
            Matter.CONTEST: Kind.SPLIT_BRAIN,
        }[trouble.matter]
        hold = ROLL_CALL_HOLD
        if kind is Kind.REAL_SERVER_DOWN:
            hold = HOST_HOLD if self._cluster.real_server(trouble.subject).host else timedelta(0)
        if kind is Kind.VIP_UNREACHABLE:
            # A takeover in progress explains it in a moment: wait for as long as one can take (RFC 5798), and a little.
            hold = timedelta(seconds=self._cluster.vrrp_instance(trouble.subject).takeover_s + 1.5)
        incident = self._opened(kind, trouble.subject, hold)
        if trouble.matter in (Matter.VIP, Matter.CONTEST):
            return replace(incident, instance=trouble.subject)
        return incident

    def _opened(self, kind: Kind, subject: str, hold: timedelta) -> Incident:
        number = self._recorded.sequence
        # One event can open more than one incident (a roll call that finds two directors lost): ids stay unique.
        taken = set(self._by_id)
        while number in taken:
            number += 1
        return Incident(
            id=number,
            kind=kind,
            cluster=self._cluster.name,
            subject=subject,
            opened_at=self._at,
            hold_until=self._at + hold,
        )

    def _detailed(self, incident: Incident, trouble: Trouble) -> Incident:
        """*incident* with what is known of *trouble* now."""
        match trouble.matter:
            case Matter.VIP:
                found = self._situation.vip_troubles(
                    services_of(self._cluster, self._cluster.vrrp_instance(trouble.subject))
                )
                reasons = (f"{s}: {self._situation.health[s, None].reason}" for s in found)
                return replace(
                    incident, services=_union(incident.services, found), evidence=_union(incident.evidence, reasons)
                )
            case Matter.DIRECTOR:
                answer = self._situation.answers[trouble.subject].answer
                kind = Kind.DIRECTOR_LOST if incident.kind is Kind.AGENT_SILENT else incident.kind
                held = (i for i, master in sorted(self._situation.masters.items()) if master == trouble.subject)
                evidence = _union(
                    incident.evidence,
                    (
                        f"{trouble.subject}: {answer.error}",
                        *(f"it was MASTER of {i} when it last answered" for i in held),
                    ),
                )
                return replace(incident, kind=kind, lost=trouble.subject, evidence=evidence)
            case Matter.REAL_SERVER:
                if incident.kind is Kind.REAL_SERVER_DOWN:
                    complaints = self._situation.complaints(trouble.subject)
                    return replace(incident, evidence=_union(incident.evidence, complaints))
                return replace(incident, also_down=_union(incident.also_down, (trouble.subject,)))
            case Matter.CONTEST:
                return replace(incident, kind=Kind.SPLIT_BRAIN)
            case _:
                return incident

    def _absorb(self, director: str) -> None:
        """Real servers that live inside a lost director are part of its story, and have none of their own."""
        owner = self._owner(Trouble(matter=Matter.DIRECTOR, subject=director))
        assert owner is not None
        for incident in self._opens():
            if incident.kind is not Kind.REAL_SERVER_DOWN or incident.id == owner.id:
                continue
            if self._cluster.real_server(incident.subject).host == director:
                self._put(replace(incident, withdrawn=True, part_of=owner.id), f"part of the loss of {director}")
                owner = self._put(
                    replace(
                        owner,
                        troubles=owner.troubles | incident.troubles,
                        also_down=_union(owner.also_down, (incident.subject,)),
                    ),
                    "",
                )

    def _away(self, incident: Incident) -> bool:
        """Whether the director that lost the address has not come back to its role yet."""
        old, instance = incident.old_master, self._cluster.vrrp_instance(incident.subject)
        if old is None or not incident.settled:
            return True
        if incident.returned_at is not None:
            return False
        if incident.cause is Cause.PREEMPTED:
            return False
        found = self._situation.answers.get(old)
        claim = self._situation.claims.get((old, instance.name))
        master = self._situation.masters.get(instance.name)
        if found is None or claim is None or master is None or found.at <= (incident.moved_at or self._at):
            return True
        running = found.answer.keepalived is not None and found.answer.keepalived.active is UnitActive.ACTIVE
        # One of higher priority will take the address back in a moment: that is its return, not its being BACKUP.
        stays = instance.priority(old) < instance.priority(master)
        return not (running and claim.state is VrrpState.BACKUP and stays)

    def _recent(self, instance: VrrpInstance) -> tuple[OutageMeasured, ...]:
        since = self._at - timedelta(seconds=instance.takeover_s + 10)
        names = services_of(self._cluster, instance)
        return tuple(o for o in self._outages if o.service in names and o.first_good_at >= since)

    def _put(self, incident: Incident, note: str) -> Incident:
        if note:
            incident = replace(incident, timeline=(*incident.timeline, Note(at=self._at, text=note)))
        self._by_id[incident.id] = incident
        return incident


def _cause(incident: Incident, instance: VrrpInstance, event: RollCallTaken, situation: Situation) -> Cause:
    """Why the old MASTER of *incident* lost the address, by its own answer and its last word."""
    old, new = incident.old_master, incident.new_master
    assert old is not None
    assert new is not None
    answer = event.answer(old)
    if answer is None:
        return Cause.UNKNOWN
    if not answer.answered:
        return Cause.DIED
    claim = situation.claims.get((old, instance.name))
    active = answer.keepalived.active if answer.keepalived else UnitActive.UNKNOWN
    if active is UnitActive.FAILED:
        return Cause.FAILED
    if active in (UnitActive.INACTIVE, UnitActive.DEACTIVATING):
        return Cause.STOPPED
    if claim and claim.state is VrrpState.FAULT:
        return Cause.FAULT
    if claim and claim.state is VrrpState.STOP:
        return Cause.RESTARTED
    if instance.priority(new) > instance.priority(old):
        return Cause.PREEMPTED
    return Cause.UNKNOWN


def _well_again(trouble: Trouble, incident: Incident) -> str:
    match trouble.matter:
        case Matter.VIP:
            return "the VIP answers again"
        case Matter.DIRECTOR:
            return f"{trouble.subject} answers again"
        case Matter.REAL_SERVER:
            return f"{trouble.subject} is up again"
        case Matter.AGENT:
            return f"the agent on {trouble.subject} reports in again"
        case Matter.CONTEST:
            return "one director holds the address again"
        case Matter.ROLE:
            return "" if incident.returned_at else f"{incident.old_master} stands by as BACKUP"
        case _:
            return f"{trouble.matter.value}: {trouble.subject} is well again"


def _union(old: Iterable[str], new: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*old, *new)))
