"""The fold: what one more event makes of a cluster's incidents.

Invariants (tests/domain/test_disturbed.py tries them over orders, duplicates and delays of what really happened):

1. A trouble belongs to at most one open incident; an incident is open as long as one of its troubles is, and a while
   longer when it flaps.
2. Cause before effect: what a lost director explains (its VIP, the real servers inside it) joins its incident,
   whichever of them was noticed first. Incidents that turn out to have one cause become one.
3. Only a look confirms: no split brain without two holders found twice, nothing that a table shows without a second
   look, no failover told before somebody was asked who holds the address or asking has taken too long.
4. When it was counts, not when it was heard. A claim that arrives late, that was heard before, or that a look has
   overtaken is history: it joins the timeline and moves nothing.
5. What was over is not over again: an incident ends once, unless the same trouble begins again soon after, or one that
   began in it and is still there was heard of only then. An effect that was over before its cause was heard of becomes
   part of the cause's incident.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import is_

from bot.domain.copies import replace
from bot.domain.events import (
    Due,
    HealthChanged,
    IncidentAcknowledged,
    OutageMeasured,
    Recorded,
    RollCallTaken,
    TimeCame,
    VrrpState,
    VrrpStateChanged,
)
from bot.domain.fleet import Cluster, VrrpInstance
from bot.domain.incidents.causes import FIRM, cause_of, fresh, why_unreachable, word_cause
from bot.domain.incidents.kinds import BURST, ROLL_CALL_HOLD, hold_of, named, primary
from bot.domain.incidents.links import Links, links
from bot.domain.incidents.notes import well_again, words_for
from bot.domain.incidents.present import services_of, troubles_of
from bot.domain.incidents.story import PLANNED, Cause, Incident, Incidents, Kind, Note, Stage
from bot.domain.mutes import Mutes
from bot.domain.observed import UnitActive
from bot.domain.situation import ASIDE, LATE, Said, Situation, by_our_clock
from bot.domain.troubles import Matter, Trouble

UNHEARD = timedelta(seconds=10)  # how long a director may take to answer before its silence means something
TAKEN_OUT = timedelta(seconds=15)  # how long clients of a VIP may feel a real server that has just died
BRIEF = timedelta(seconds=2.5)  # what a director takes back within this was a mistake at its start
PLACES = {matter: place for place, matter in enumerate(Matter)}
KEPT = 100  # incidents that are over stay in memory until this many newer ones exist
EVIDENCE = 40  # findings that are kept of one incident: more than anybody reads
NOTES = 200  # lines of one incident's timeline
REMEMBERED = timedelta(seconds=60)  # how long a measured outage may wait for the incident that it belongs to
AGAIN_WITHIN = timedelta(minutes=2)  # what begins again within this goes on, and is no incident of its own
FIRST_CALM = timedelta(seconds=30)  # how long what flaps has to be calm before it counts as over; twice that each time
LONGEST_CALM = timedelta(minutes=10)

# What may pass before anybody was told it: then it was a mistake, or nothing that anybody has to know.
FORGIVEN = frozenset({Kind.AGENT_SILENT, Kind.EVENTS_MISSED, Kind.NO_WAY_IN, Kind.DIRECTOR_LOST, Kind.TABLES_DIFFER})
MINOR = frozenset({Matter.REAL_SERVER, Matter.AGENT, Matter.STREAM, Matter.WEIGHT, Matter.DIFFERENCE, Matter.BLIND})
"""Troubles that are rather told as part of a greater one than the other way round."""

CLEAR_AT_ONCE = frozenset(
    {
        Matter.CONTEST,
        Matter.TABLE,
        Matter.CHECKER,
        Matter.NAT,
        Matter.WEIGHT,
        Matter.CERTIFICATE,
        Matter.SENSE,
    }
)
"""Troubles that were confirmed before they became one: there is nothing to wait for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What else a story depends on: what people announced."""

    mutes: Mutes = field(default_factory=Mutes)


def fold(
    state: Incidents,
    before: Situation,
    after: Situation,
    recorded: Recorded,
    cluster: Cluster,
    context: Context | None = None,
) -> Incidents:
    """*state* after *recorded*, which took what is known of *cluster* from *before* to *after*."""
    work = _Work(state, before, after, recorded, cluster, context or Context())
    work.hear()
    for instance in cluster.vrrp_instances:
        work.moved(instance, before.masters.get(instance.name), after.masters.get(instance.name))
    for director, name in before.missed.keys() - after.missed.keys():
        work.had_moved(cluster.vrrp_instance(name), director, before.missed[director, name])
    troubles = troubles_of(after, cluster)
    for trouble in sorted(troubles, key=lambda t: (PLACES[t.matter], t)):
        work.attach(trouble)
    if isinstance(recorded.event, RollCallTaken):
        work.settle(recorded.event)
    work.close(troubles)
    return work.result()


class _Work:
    """The incidents while one event is folded in. It lives for one call of :func:`fold` and is never shared."""

    def __init__(
        self,
        state: Incidents,
        known: Situation,
        situation: Situation,
        recorded: Recorded,
        cluster: Cluster,
        context: Context,
    ) -> None:
        self._before = state
        self._known = known
        self._by_id = {i.id: i for i in state.all}
        self._outages = tuple(o for o in state.outages if o.first_good_at > recorded.recorded_at - REMEMBERED)
        self._situation = situation
        self._recorded = recorded
        self._at = recorded.recorded_at
        self._cluster = cluster
        self._mutes = context.mutes

    def result(self) -> Incidents:
        """The state afterwards, with the oldest of what is over let go; the very same where nothing has changed."""
        if self._is_as_before():
            return self._before
        every = sorted(self._by_id.values(), key=lambda i: i.id)
        over = [i.id for i in every if not i.open]
        gone = set(over[: max(0, len(over) - KEPT)])
        return Incidents(all=tuple(i for i in every if i.id not in gone), outages=self._outages)

    def _is_as_before(self) -> bool:
        # Most events change no incident; and whoever holds on to what was worked out from it sees that at a glance.
        if len(self._by_id) != len(self._before.all) or self._outages != self._before.outages:
            return False
        return all(map(is_, self._by_id.values(), self._before.all))

    # --- what the event itself says ---------------------------------------------------------------------------------

    def hear(self) -> None:
        """What *recorded* says of incidents that are there already."""
        match self._recorded.event:
            case OutageMeasured(real_server=None) as outage:
                self._measured(outage)
            case VrrpStateChanged(group=False) as event:
                self._remark(event)
            case IncidentAcknowledged() as event:
                self._acknowledged(event)
            case TimeCame() as event:
                self._time_came(event)
            case _:
                pass

    def _remark(self, event: VrrpStateChanged) -> None:
        """A director's own words belong to the story of its instance, also those that arrive when it is over."""
        said = self._recorded.at_source
        for incident in self._by_id.values():
            if incident.instance != event.instance or incident.withdrawn:
                continue
            ended = incident.resolved_at
            if (ended is None or said <= ended) and said >= incident.began_at - timedelta(seconds=5):
                stage = None
                if event.director == incident.old_master and event.state in (VrrpState.STOP, VrrpState.FAULT):
                    stage = Stage.LAST_WORD
                late = (self._at - said).total_seconds()
                heard = f" (heard {late:.0f} s later)" if late > 10 else ""
                words = f"{event.director} says {event.state.value}"
                mine = [n.text for n in incident.timeline if n.text.startswith(f"{event.director} says ")]
                # keepalived repeats itself: a remark for each advertisement that waited, the states at each start.
                if not mine or not mine[-1].startswith(words):
                    incident = self._put(incident, words + heard, at=said, stage=stage)
                self._explained(incident)

    def _explained(self, incident: Incident) -> None:
        """A word that comes when the story is over may still be the one that tells why."""
        if incident.resolved_at is None or incident.old_master is None or incident.cause is not Cause.UNKNOWN:
            return
        instance = self._cluster.vrrp_instance(incident.instance or "")
        self._put(replace(incident, cause=word_cause(incident, instance, self._situation)))

    def _measured(self, outage: OutageMeasured) -> None:
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
            self._put(replace(owner, outages=(*owner.outages, outage)))

    def _acknowledged(self, event: IncidentAcknowledged) -> None:
        incident = self._by_id.get(event.incident)
        if incident is not None and incident.open and incident.acknowledged_by is None:
            known = replace(incident, acknowledged_by=event.by, acknowledged_at=self._at)
            self._put(known, f"{event.by.name} is on it")

    def _time_came(self, event: TimeCame) -> None:
        incident = self._by_id.get(event.incident)
        if incident is None or not incident.open:
            return
        match event.due:
            case Due.REMINDER:
                self._put(replace(incident, reminders=incident.reminders + 1, reminded_at=self._at))
            case Due.ESCALATION:
                self._put(replace(incident, escalated_at=incident.escalated_at or self._at))
            case Due.CALM:
                if not incident.troubles and incident.calm_until is not None and self._at >= incident.calm_until:
                    self._put(replace(incident, resolved_at=self._at, settled=True), "it has stayed calm")

    # --- roles ------------------------------------------------------------------------------------------------------

    def moved(self, instance: VrrpInstance, old: str | None, new: str | None) -> None:
        """The MASTER of *instance* was taken to be *old* and is now taken to be *new*."""
        if old is None or new is None or old == new:
            return
        role = Trouble(matter=Matter.ROLE, subject=instance.name)
        known = self._open(lambda i: role in i.seen)
        if known is not None and known.old_master == new:
            self._returned(known, role, old, new)
            return
        if known is not None and self._is_old(known):
            # It moved on: that is another story, whatever became of the one that lost it first.
            self._put(replace(known, troubles=known.troubles - {role}, seen=known.seen - {role}))
            known = None
        incident = self._with_past(known or self._gathered(role), role)
        said = self._said_at(new, instance)
        moved_at = self._moved_at()
        # What was seen of its host after it moved shows how it came back, and not how it was.
        host = self._situation.host_before(old, moved_at, instance) if incident.old_master is None else None
        self._put(
            replace(
                self._joined(incident, role),
                instance=instance.name,
                old_master=incident.old_master or old,
                new_master=new,
                moved_at=moved_at,
                returned_at=None,
                old_boot=host.boot if host is not None else incident.old_boot,
                old_behind_s=host.behind_s if host is not None else incident.old_behind_s,
                settled=False,
                holders=(),
                hold_until=self._at + ROLL_CALL_HOLD,
                outages=incident.outages or self._recent(instance),
            ),
            f"MASTER moved from {old} to {new}",
            at=said,
            stage=None if incident.old_master else Stage.NEW_MASTER,
        )

    def had_moved(self, instance: VrrpInstance, director: str, said: Said) -> None:
        """*director* was MASTER at *said*, as it told too late, and a look has shown that it no longer is.

        Where a story covers that time, the move belongs to it. Where none does, there was one that nobody saw: it is
        told as over.
        """
        master = self._situation.masters.get(instance.name)
        stories = [
            i
            for i in self._by_id.values()
            if i.instance == instance.name
            and not i.withdrawn
            and i.began_at - REMEMBERED <= said.said_at <= (i.resolved_at or self._at) + REMEMBERED
        ]
        if master in (None, director) or any(i.old_master is not None for i in stories):
            return
        role = Trouble(matter=Matter.ROLE, subject=instance.name)
        moved = next((i for i in stories if i.began_at - ASIDE <= said.said_at <= (i.resolved_at or self._at)), None)
        if stories and moved is None:
            return
        if moved is None:
            over = replace(self._opened(role), opened_at=said.said_at, resolved_at=self._at, settled=True)
        else:
            over = moved
        incident = replace(
            self._joined(over, role),
            troubles=over.troubles,
            old_master=master,
            new_master=master,
            moved_at=said.said_at,
            returned_at=self._at,
            instance=instance.name,
        )
        cause = cause_of(incident, instance, self._situation, self._mutes)
        incident = replace(incident, cause=cause if cause in FIRM else word_cause(incident, instance, self._situation))
        text = f"MASTER moved from {master} to {director}"
        incident = self._put(incident, text, at=said.said_at, stage=Stage.NEW_MASTER)
        self._put(incident, f"nobody saw it: {director} told it late, and {master} holds the address again")

    def _moved_at(self) -> datetime:
        """Since when the role is known to have moved: when that was said, or asked for, and not when it was heard."""
        event = self._recorded.event
        match event:
            case RollCallTaken():
                return event.asked_at
            case VrrpStateChanged():
                return min(self._at, by_our_clock(self._situation, event.director, self._recorded.at_source))
            case _:
                return self._at

    def _said_at(self, director: str, instance: VrrpInstance) -> datetime:
        """When *director* itself said that it is MASTER, if it did just now; else when it was found."""
        event = self._recorded.event
        mine = isinstance(event, VrrpStateChanged) and event.director == director and event.instance == instance.name
        return self._recorded.at_source if mine else self._at

    def _returned(self, incident: Incident, role: Trouble, old: str, new: str) -> None:
        found = isinstance(self._recorded.event, RollCallTaken)
        if found and incident.seen == {role} and not incident.holders and self._was_brief(incident):
            # The claim was a director's brief mistake at its start: the address never left.
            self._put(replace(incident, withdrawn=True), f"{incident.new_master} does not hold it after all")
            return
        at = self._said_at(new, self._cluster.vrrp_instance(role.subject))
        for felt in [i for i in self._opens() if _is_felt_only(i) and i.instance == incident.instance]:
            if self._at - felt.opened_at <= LATE:
                incident = self._merged(incident, felt)
        incident = self._with_past(incident, role)
        self._put(
            replace(incident, returned_at=self._at, new_master=new, holders=(new,) if found else ()),
            f"{new} is MASTER again (before: {old})",
            at=at,
        )

    def _was_brief(self, incident: Incident) -> bool:
        """Whether the claim was withdrawn at once, or never was more than a claim: not what lasted for seconds."""
        if incident.settled:
            return False
        claim = self._situation.claims.get((incident.new_master or "", incident.instance or ""))
        if claim is None or claim.state is VrrpState.MASTER:
            return True
        said = next((s for s in reversed(claim.before) if s.state is VrrpState.MASTER), None)
        return said is None or claim.said_at - said.said_at < BRIEF

    def _away(self, incident: Incident) -> bool:
        """Whether the director that lost the address has not come back to its role yet."""
        old, instance = incident.old_master, self._cluster.vrrp_instance(incident.instance or "")
        if old is None or (not incident.settled and incident.returned_at is None):
            return True
        if incident.returned_at is not None:
            # It says so: a look has to show it. Clients may find its table empty for a moment after its return.
            return incident.holders != (incident.new_master,)
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

    # --- roll calls -------------------------------------------------------------------------------------------------

    def settle(self, event: RollCallTaken) -> None:
        """Directors were asked: claims become findings, and what waited for that may be told."""
        for incident in self._opens():
            if incident.instance is not None:
                incident = self._examine(incident, self._cluster.vrrp_instance(incident.instance), event)
            if not incident.settled and self._is_settled(incident, event):
                self._put(replace(incident, settled=True))
        for incident in [i for i in self._by_id.values() if i.cause is Cause.AWAITED and i.resolved_at is not None]:
            self._answered_at_last(incident, event)

    def _answered_at_last(self, incident: Incident, event: RollCallTaken) -> None:
        """Why a director was away takes a closer look at it, which may come when it is back and its story over."""
        assert incident.resolved_at is not None
        if incident.withdrawn or self._at - incident.resolved_at > LATE or not event.answer(incident.old_master or ""):
            return
        instance = self._cluster.vrrp_instance(incident.instance or "")
        cause = cause_of(incident, instance, self._situation, self._mutes)
        if cause not in (Cause.AWAITED, Cause.UNKNOWN):
            self._put(replace(incident, cause=cause), f"{incident.old_master}: {cause.value}")

    def _examine(self, incident: Incident, instance: VrrpInstance, event: RollCallTaken) -> Incident:
        """*incident* with who holds the address, why it moved and why it does not answer, as found now."""
        holders = self._situation.holders.get(instance.name, ())
        # Asked before the move, a director's answer would be from before it.
        in_time = incident.moved_at is None or event.asked_at >= incident.moved_at or incident.moved_at == self._at
        if Matter.CONTEST in {t.matter for t in incident.troubles} and len(holders) > 1:
            incident = self._put(replace(incident, holders=holders))
        elif in_time and holders == (incident.new_master,) != incident.holders and _asked_since(event, incident):
            text = f"roll call: {incident.new_master} holds the address"
            stage = Stage.VIP_SEEN if incident.returned_at is None else None
            incident = self._put(replace(incident, holders=holders), text, stage=stage)
        if in_time and incident.old_master is not None:
            cause = cause_of(incident, instance, self._situation, self._mutes, event.waiting)
            if cause is not incident.cause:
                told = "" if cause in (Cause.AWAITED, Cause.UNKNOWN) else f"{incident.old_master}: {cause.value}"
                lost = incident.old_master if cause is Cause.DIED else incident.lost
                incident = self._put(replace(incident, cause=cause, lost=lost), told)
        if Trouble(matter=Matter.VIP, subject=instance.name) in incident.troubles:
            why = why_unreachable(instance, incident.services, self._situation, self._cluster)
            if why:
                incident = self._put(replace(incident, why=why))
        return incident

    def _is_settled(self, incident: Incident, event: RollCallTaken) -> bool:
        first = primary(incident)
        assert first is not None
        if event.asked_at < incident.opened_at and incident.opened_at != self._at and incident.moved_at != self._at:
            return False
        match first.matter:
            case Matter.ROLE:
                old = self._situation.answers.get(incident.old_master or "")
                heard = old is not None and incident.moved_at is not None and fresh(old, incident.moved_at)
                return bool(incident.holders) and (heard or incident.cause is Cause.MAINTENANCE)
            case Matter.REAL_SERVER | Matter.SERVICE:
                return all(self._situation.answered(host) is not None for host in self._hosts(incident))
            case Matter.VIP:
                return bool(incident.why)
            case Matter.AGENT:
                return event.answer(first.subject) is not None
            case Matter.DIRECTOR | Matter.BLIND:
                known = self._situation.answers.get(first.subject)
                return known is not None and (known.tries > 1 or known.answer.refused)
            case Matter.UNIT | Matter.PROCESS | Matter.ADDRESS:
                return event.answer(first.subject) is not None or first.matter is Matter.ADDRESS
            case _:
                return first.matter in CLEAR_AT_ONCE

    def _hosts(self, incident: Incident) -> set[str]:
        """The directors that the real servers of *incident* live inside of."""
        servers = {t.subject for t in incident.seen if t.matter is Matter.REAL_SERVER}
        for trouble in incident.seen:
            if trouble.matter is Matter.SERVICE:
                servers |= {m.real_server for m in self._cluster.service(trouble.subject).members}
        return {host for s in servers if (host := self._cluster.real_server(s).host) is not None}

    # --- troubles ---------------------------------------------------------------------------------------------------

    def attach(self, trouble: Trouble) -> None:
        """Give *trouble* to the open incident that it has a cause in common with, or open one of its own."""
        owner = self._gathered(trouble)
        fresh = trouble not in owner.troubles
        owner = self._joined(self._with_past(owner, trouble) if fresh else owner, trouble)
        owner = self._detailed(owner, trouble)
        if fresh:
            self._put(owner, words_for(trouble, self._situation))
        elif owner != self._by_id.get(owner.id):
            self._put(owner)

    def _gathered(self, trouble: Trouble) -> Incident:
        """The open incident *trouble* belongs to. Where it joins several they become one; where none, one opens."""
        own = links(trouble, self._situation, self._cluster)
        related = [
            i
            for i in self._opens()
            if self._belongs(trouble, own, i) or self._burst(trouble, i) or self._went_along(trouble, i)
        ]
        if not related:
            return self._again(trouble) or self._not_over(trouble, own) or self._opened(trouble)
        if trouble.matter is Matter.VIP:
            # An effect stays where it was found: what else could explain it by now is told for itself.
            related = [i for i in related if trouble in i.troubles] or related
        if trouble.matter is Matter.REAL_SERVER and all(_is_felt_only(i) for i in related):
            # Its clients felt it before it was known to be down again: the story that goes on is its own.
            again = self._again(trouble)
            if again is not None:
                for other in related:
                    again = self._merged(again, other)
                return again
        first, *others = sorted(related, key=lambda i: (_minor(i), i.id))
        fresh = trouble.matter is Matter.VIP and self._at - first.opened_at <= TAKEN_OUT
        small = trouble.matter not in MINOR and _minor(first) and first.due(self._at) and not fresh
        if small or (trouble not in first.troubles and trouble.matter is Matter.DIRECTOR and self._is_last(first)):
            # People have been told of a small thing; its cause is news, and a change of an old message is not. Nor is
            # it where one director's loss was told long ago, and the last one is lost now.
            first, others = self._opened(trouble), related
        # That clients feel it does not prove that what may have caused it is one story.
        for other in others if trouble.matter is not Matter.VIP else ():
            first = self._merged(first, other)
        if not first.troubles and first.calm_from is not None:
            first = replace(first, changes=first.changes + 1, calm_from=None, calm_until=None)
        return first

    def _with_past(self, incident: Incident, trouble: Trouble) -> Incident:
        """*incident* with those effects of *trouble* that were over before it was heard of.

        Signals of one event come by different ways: what a director says of it may be later than the last that the
        probes see of it. Whether they belong together is a matter of when it was, and not of when that was heard.
        """
        since, until = self._when(trouble)
        own = links(trouble, self._situation, self._cluster)
        for other in [i for i in self._by_id.values() if i.resolved_at is not None and not i.withdrawn]:
            assert other.resolved_at is not None
            lasted = other.began_at - ASIDE <= until and since <= other.resolved_at + ASIDE
            first = primary(other)
            effect = first is not None and PLACES[trouble.matter] < PLACES[first.matter]
            if effect and lasted and other.id != incident.id and own.explains & other.needs:
                incident = self._merged(incident, other)
        return incident

    def _not_over(self, trouble: Trouble, own: Links) -> Incident | None:
        """The incident that *trouble* began in and outlasts: it was called over too early, for want of that word."""
        since, until = self._when(trouble)
        for incident in sorted(self._by_id.values(), key=lambda i: -i.id):
            ended = incident.resolved_at
            if ended is None or incident.withdrawn or self._at - ended > LATE:
                continue
            if incident.began_at - ASIDE <= until and since <= ended and own.meet(incident.explains, incident.needs):
                again = replace(incident, resolved_at=None)
                self._by_id[again.id] = again
                return again
        return None

    def _when(self, trouble: Trouble) -> tuple[datetime, datetime]:
        """From when to when *trouble* may have begun, where it begins with what was recorded just now."""
        event = self._recorded.event
        if isinstance(event, HealthChanged):
            return event.since, event.since
        if not isinstance(event, RollCallTaken):
            return self._recorded.at_source, self._recorded.at_source
        if trouble.matter is not Matter.ROLE:
            return event.asked_at, event.asked_at
        # It was found otherwise when that was looked at last: it moved at some time since then.
        old = self._known.answers.get(self._known.masters.get(trouble.subject, ""))
        return (old.asked_at if old is not None else event.asked_at), event.asked_at

    def _belongs(self, trouble: Trouble, own: Links, incident: Incident) -> bool:
        """Whether *trouble* has a cause in common with *incident*, by its links and by when that was."""
        if trouble in incident.troubles:
            return True
        if not self._is_old(incident):
            return trouble in incident.seen or own.meet(incident.explains, incident.needs)
        if trouble.matter is Matter.DIRECTOR and self._nobody_answers():
            return any(t.matter is Matter.DIRECTOR for t in incident.troubles)
        # The move is over, with all that it did. What is still of it is what became of the director that lost the role.
        others = {d.name for d in self._cluster.directors} - {incident.old_master}
        explains, needs = (
            frozenset(k for k in keys if not k.startswith(("role:", "vip:")) and k.partition(":")[2] not in others)
            for keys in (incident.explains, incident.needs)
        )
        return own.meet(explains, needs)

    def _is_old(self, incident: Incident) -> bool:
        """Whether *incident* is of a move that has been known for a while: what moved then moves nothing now."""
        moved_at = incident.returned_at or incident.moved_at
        return incident.old_master is not None and moved_at is not None and self._at - moved_at > AGAIN_WITHIN

    def _is_last(self, incident: Incident) -> bool:
        """Whether no director is left, long after *incident* was told of one."""
        return self._is_old(incident) and self._nobody_answers()

    def _nobody_answers(self) -> bool:
        return all(self._situation.unreachable(d.name) for d in self._cluster.directors)

    def _burst(self, trouble: Trouble, incident: Incident) -> bool:
        """Whether *trouble* is one more of the real servers that just fell together."""
        return (
            trouble.matter is Matter.REAL_SERVER
            and incident.kind is Kind.REAL_SERVER_DOWN
            and not incident.changes
            and self._at - incident.opened_at <= BURST
        )

    def _went_along(self, trouble: Trouble, incident: Incident) -> bool:
        """Whether *trouble* is of a director that lost its role and is not heard any more: it shares that cause."""
        old, moved_at = incident.old_master, incident.moved_at
        if old is None or moved_at is None or incident.returned_at is not None or self._at - moved_at < UNHEARD:
            return False
        match trouble.matter:
            case Matter.AGENT | Matter.BLIND:
                director: str | None = trouble.subject
            case Matter.REAL_SERVER:
                director = self._cluster.real_server(trouble.subject).host
            case _:
                return False
        known = self._situation.answers.get(old)
        heard = known is not None and known.answer.answered and fresh(known, moved_at)
        return director == old and not heard

    def _again(self, trouble: Trouble) -> Incident | None:
        """The incident that was called by *trouble* and is over since a moment ago: it goes on."""
        for incident in sorted(self._by_id.values(), key=lambda i: -i.id):
            ended = incident.resolved_at
            if ended is None or incident.withdrawn or self._at - ended > AGAIN_WITHIN:
                continue
            first = primary(incident)
            felt = trouble.matter is Matter.VIP and trouble in incident.seen and first is not None and _minor(incident)
            if not (first == trouble or felt) or (trouble.matter is Matter.ROLE and incident.cause in PLANNED):
                continue
            again = replace(incident, resolved_at=None, changes=incident.changes + 1, calm_from=None, calm_until=None)
            if trouble.matter is Matter.ROLE:
                again = replace(
                    again, old_master=None, new_master=None, returned_at=None, old_boot=None, cause=Cause.UNKNOWN
                )
            self._by_id[again.id] = again
            return again
        return None

    def _opened(self, trouble: Trouble) -> Incident:
        number = self._recorded.sequence
        # One event can open more than one incident (a roll call that finds two directors lost): ids stay unique.
        while number in self._by_id:
            number += 1
        instances = (Matter.ROLE, Matter.CONTEST, Matter.VACANCY, Matter.ADDRESS, Matter.VIP)
        incident = Incident(
            id=number,
            kind=Kind.FAILOVER,
            cluster=self._cluster.name,
            subject=trouble.subject,
            opened_at=self._at,
            hold_until=self._at + hold_of(trouble, self._cluster),
            settled=trouble.matter in CLEAR_AT_ONCE,
            instance=trouble.subject if trouble.matter in instances else None,
        )
        self._by_id[number] = incident
        return incident

    def _joined(self, incident: Incident, trouble: Trouble) -> Incident:
        """*incident* with *trouble* in it, and called by the cause among what it has now."""
        own = links(trouble, self._situation, self._cluster)
        instances = (Matter.CONTEST, Matter.VACANCY, Matter.ADDRESS, Matter.VIP)
        # Where a real server explains it already, that clients feel it looks for no other cause.
        explained = trouble.matter is Matter.VIP and any(t.matter is Matter.REAL_SERVER for t in incident.seen)
        joined = replace(
            incident,
            troubles=incident.troubles | {trouble},
            seen=incident.seen | {trouble},
            explains=incident.explains | own.explains,
            needs=incident.needs if explained else incident.needs | own.needs,
            instance=incident.instance or (trouble.subject if trouble.matter in instances else None),
        )
        if trouble.matter is Matter.BLIND:
            # It lives, so it was not lost, whatever its silence looked like: it explains nothing of what others have.
            lost = Trouble(matter=Matter.DIRECTOR, subject=trouble.subject)
            joined = replace(joined, seen=joined.seen - {lost}, explains=joined.explains - {f"host:{trouble.subject}"})
        joined = named(joined, self._cluster)
        if trouble.matter in CLEAR_AT_ONCE and primary(joined) == trouble:
            joined = replace(joined, settled=True)
        return joined

    def _merged(self, first: Incident, other: Incident) -> Incident:
        """*first* with all that belonged to *other*, which turned out to be part of it."""
        told = first if first.old_master is not None else other
        # What was said against a real server is not what is wrong now: that it went along is.
        servers = tuple(sorted(t.subject for t in other.seen if t.matter is Matter.REAL_SERVER))
        evidence = first.evidence if _minor(other) and not _minor(first) else _union(first.evidence, other.evidence)
        merged = replace(
            first,
            troubles=first.troubles | other.troubles,
            seen=first.seen | other.seen,
            explains=first.explains | other.explains,
            needs=first.needs | other.needs,
            instance=first.instance or other.instance,
            old_master=told.old_master,
            new_master=told.new_master,
            moved_at=told.moved_at,
            returned_at=told.returned_at,
            old_boot=told.old_boot,
            old_behind_s=told.old_behind_s,
            cause=told.cause,
            holders=first.holders or other.holders,
            lost=first.lost or other.lost,
            also_down=_union(first.also_down, (*other.also_down, *servers)),
            services=_union(first.services, other.services),
            said=first.said or other.said,
            evidence=evidence,
            why=_union(first.why, other.why),
            outages=tuple(dict.fromkeys((*first.outages, *other.outages))),
            timeline=tuple(sorted((*first.timeline, *other.timeline), key=lambda n: n.at))[-NOTES:],
            changes=max(first.changes, other.changes),
            hold_until=max(first.hold_until, other.hold_until) if not first.settled else first.hold_until,
        )
        merged = named(merged, self._cluster)
        self._by_id[other.id] = replace(other, troubles=frozenset(), withdrawn=True, part_of=first.id)
        self._by_id[first.id] = merged
        return merged

    def _detailed(self, incident: Incident, trouble: Trouble) -> Incident:
        """*incident* with what is known of *trouble* now."""
        about = trouble.subject
        match trouble.matter:
            case Matter.VIP:
                found = self._situation.vip_troubles(services_of(self._cluster, self._cluster.vrrp_instance(about)))
                reasons = (f"{s}: {self._situation.health[s, None].reason}" for s in found)
                return replace(
                    incident, services=_union(incident.services, found), evidence=_union(incident.evidence, reasons)
                )
            case Matter.DIRECTOR:
                return self._of_lost(incident, about)
            case Matter.REAL_SERVER:
                if incident.kind is Kind.REAL_SERVER_DOWN and incident.subject == about:
                    return replace(incident, evidence=_union(incident.evidence, self._situation.complaints(about)))
                return replace(incident, also_down=_union(incident.also_down, (about,)))
            case Matter.SERVICE:
                return replace(incident, services=_union(incident.services, (about,)))
            case _:
                why = words_for(trouble, self._situation)
                # An error may be worded differently each time: the first wording of it is enough.
                known = trouble.matter is Matter.BLIND and any(
                    e.startswith(f"{about} is there") for e in incident.evidence
                )
                added = (why,) if why and not known else ()
                said = why if why and primary(incident) == trouble else incident.said
                return replace(incident, said=said, evidence=_union(incident.evidence, added)[:EVIDENCE])

    def _of_lost(self, incident: Incident, director: str) -> Incident:
        answer = self._situation.answers[director].answer
        held = (i for i, master in sorted(self._situation.masters.items()) if master == director)
        evidence = (f"{director}: {answer.error}", *(f"it was MASTER of {i} when it last answered" for i in held))
        # Its error may be worded differently each time it is asked: the first wording is enough.
        known = any(e.startswith(f"{director}: ") for e in incident.evidence)
        lost = incident.lost or director
        return replace(incident, lost=lost, evidence=incident.evidence if known else (*incident.evidence, *evidence))

    def close(self, troubles: frozenset[Trouble]) -> None:
        """Let go of what is well again; an incident with nothing left is over, or over once it has stayed calm."""
        for incident in self._opens():
            left = frozenset(
                t for t in incident.troubles if (t in troubles if t.matter is not Matter.ROLE else self._away(incident))
            )
            for gone in sorted(incident.troubles - left):
                incident = self._put(incident, well_again(gone, incident))
            if left:
                if left != incident.troubles:
                    self._put(replace(incident, troubles=left))
            elif not incident.due(self._at) and incident.kind in FORGIVEN:
                self._put(replace(incident, troubles=left, withdrawn=True))
            elif incident.flapping and incident.calm_from is None:
                calm = min(FIRST_CALM * 2 ** (incident.changes - 3), LONGEST_CALM)
                self._put(
                    replace(incident, troubles=left, settled=True, calm_from=self._at, calm_until=self._at + calm)
                )
            elif incident.calm_from is None:
                self._put(replace(incident, troubles=left, resolved_at=self._at, settled=True))

    # --- helpers ----------------------------------------------------------------------------------------------------

    def _opens(self) -> tuple[Incident, ...]:
        # As Incident.open says, without the price of asking a hundred of them several times for each event.
        return tuple([i for i in self._by_id.values() if i.resolved_at is None and not i.withdrawn])

    def _open(self, wanted: Callable[[Incident], bool]) -> Incident | None:
        return next((i for i in self._opens() if wanted(i)), None)

    def _recent(self, instance: VrrpInstance) -> tuple[OutageMeasured, ...]:
        since = self._at - timedelta(seconds=instance.takeover_s + 10)
        names = services_of(self._cluster, instance)
        return tuple(o for o in self._outages if o.service in names and o.first_good_at >= since)

    def _put(
        self, incident: Incident, note: str = "", *, at: datetime | None = None, stage: Stage | None = None
    ) -> Incident:
        if note:
            line = Note(at=at or self._at, text=note, stage=stage)
            if line not in incident.timeline:
                incident = replace(incident, timeline=(*incident.timeline, line)[-NOTES:])
        # Its name follows its cause, which may just have become known.
        incident = named(incident, self._cluster)
        self._by_id[incident.id] = incident
        return incident


def _asked_since(event: RollCallTaken, incident: Incident) -> bool:
    """Whether the directors were asked after the MASTER came back, where it did."""
    return incident.returned_at is None or event.asked_at >= incident.returned_at


def _is_felt_only(incident: Incident) -> bool:
    """Whether all that is known of *incident* is that a VIP does not answer."""
    return {t.matter for t in incident.seen} == {Matter.VIP}


def _minor(incident: Incident) -> bool:
    first = primary(incident)
    return first is not None and first.matter in MINOR


def _union(old: Iterable[str], new: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*old, *new)))
