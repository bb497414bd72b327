"""What an event itself says of incidents that are there already: words, outages, hands, time."""

from __future__ import annotations

from datetime import timedelta

from bot.domain.copies import replace
from bot.domain.events import (
    Due,
    HealthChanged,
    IncidentAcknowledged,
    OutageMeasured,
    RealServerObserved,
    TimeCame,
    VrrpState,
    VrrpStateChanged,
    VrrpStateObserved,
)
from bot.domain.health import Outcome
from bot.domain.incidents.causes import GUESSED, word_cause
from bot.domain.incidents.kinds import takeover
from bot.domain.incidents.notes import INSERTED
from bot.domain.incidents.story import Cause, Incident, Stage
from bot.domain.incidents.work import REMEMBERED, Work
from bot.domain.situation import ASIDE, by_our_clock
from bot.domain.troubles import Matter, Trouble


def hear(work: Work) -> None:
    """What *recorded* says of incidents that are there already."""
    match work.recorded.event:
        case OutageMeasured(real_server=None) as outage:
            _measured(work, outage)
        case VrrpStateChanged(group=False) as event:
            _remark(work, event)
        case IncidentAcknowledged() as event:
            _acknowledged(work, event)
        case TimeCame() as event:
            _time_came(work, event)
        case VrrpStateObserved() | RealServerObserved() as event:
            _inserted(work, event)
        case HealthChanged(outcome=Outcome.UNHEALTHY) as event:
            _fell_again(work, event)
        case _:
            pass


def _inserted(work: Work, event: VrrpStateObserved | RealServerObserved) -> None:
    """An event that a look had to make up for was missed, whatever the next look finds: that is to be told."""
    trouble = Trouble(matter=Matter.STREAM, subject=event.director)
    incident = next((i for i in work.opens() if trouble in i.troubles), None)
    if incident is None:
        return
    if isinstance(event, VrrpStateObserved):
        what = f"{event.director} is {event.state.value} for {event.instance}"
    else:
        what = f"{event.real_server} is {'back' if event.up else 'gone'} in {event.service} on {event.director}"
    words = f"{INSERTED}{what}"
    if words not in incident.evidence:
        work.put(replace(incident, evidence=(*incident.evidence, words)), words)


def was_missed(incident: Incident) -> bool:
    """Whether it is about an event that was missed for good."""
    return any(e.startswith(INSERTED) for e in incident.evidence)


def _fell_again(work: Work, event: HealthChanged) -> None:
    """A real server that falls before all that spoke of its last fall has taken that back flaps, too."""
    server = event.real_server or ""
    trouble = Trouble(matter=Matter.REAL_SERVER, subject=server)
    incident = next((i for i in work.opens() if trouble in i.troubles), None)
    known = work.known.health.get((event.service, server))
    if incident is None or known is None or known.since <= incident.opened_at or work.known.failing_probes(server):
        return  # it has not been well since, or one more of its services says what another has said of this fall
    work.put(replace(incident, changes=incident.changes + 1))


def _remark(work: Work, event: VrrpStateChanged) -> None:
    """A director's own words belong to the story of its instance, also those that arrive when it is over."""
    said = work.recorded.at_source
    by_ours = by_our_clock(work.situation, event.director, said)
    for incident in work.by_id.values():
        if incident.instance != event.instance or incident.withdrawn:
            continue
        ended = incident.resolved_at
        if (ended is None or by_ours <= ended) and by_ours >= incident.began_at - timedelta(seconds=5):
            stage = None
            if event.director == incident.old_master and event.state in (VrrpState.STOP, VrrpState.FAULT):
                stage = Stage.LAST_WORD
            late = (work.at - by_ours).total_seconds()
            heard = f" (heard {late:.0f} s later)" if late > 10 else ""
            words = f"{event.director} says {event.state.value}"
            mine = [n.text for n in incident.timeline if n.text.startswith(f"{event.director} says ")]
            # keepalived repeats itself: a remark for each advertisement that waited, the states at each start.
            if not mine or not mine[-1].startswith(words):
                incident = work.put(incident, words + heard, at=said, stage=stage)
            _explained(work, incident)


def _explained(work: Work, incident: Incident) -> None:
    """A word that comes when the story is over may still be the one that tells why."""
    if incident.resolved_at is None or incident.old_master is None or incident.cause not in GUESSED:
        return
    cause = word_cause(incident, work.cluster.vrrp_instance(incident.instance or ""), work.situation)
    if cause is Cause.REMOVED or incident.cause is Cause.UNKNOWN:
        work.put(replace(incident, cause=cause))


def _measured(work: Work, outage: OutageMeasured) -> None:
    """Probes measured an outage of a VIP: it belongs to the incident around it, or to one that is yet to open."""
    instance_name = work.cluster.service(outage.service).vrrp_instance
    work.outages = (*work.outages, outage)
    stories = [
        i
        for i in sorted(work.by_id.values(), key=lambda i: -i.id)
        if i.instance == instance_name
        and not i.withdrawn
        and (i.open or outage.first_bad_at <= (i.resolved_at or work.at))
        and outage.first_good_at >= i.opened_at - REMEMBERED
    ]
    # It is of the newest story that began no later than it did; a VIP that fails takes a while to be called that.
    takes = takeover(work.cluster.vrrp_instance(instance_name)) if instance_name else timedelta(0)
    found_by = outage.first_bad_at + takes
    owner = next((i for i in stories if i.began_at <= found_by), None) or _half_served(work, outage)
    if owner is None:
        later = (outage.first_good_at + ASIDE, work.at)
        owner = next((i for latest in later for i in stories if i.began_at <= latest), None)
    if owner:
        work.put(replace(owner, outages=(*owner.outages, outage)))


def _half_served(work: Work, outage: OutageMeasured) -> Incident | None:
    """The story of a dead real server whose clients *outage* is of: one that came and went, for others were served."""
    members = {m.real_server for m in work.cluster.service(outage.service).members}
    for incident in sorted(work.by_id.values(), key=lambda i: -i.id):
        dead = any(t.matter is Matter.REAL_SERVER and t.subject in members for t in incident.seen)
        ended = incident.resolved_at or work.at
        if outage.good and dead and not incident.withdrawn and outage.first_bad_at <= ended:
            return incident if outage.last_bad_at >= incident.began_at else None
    return None


def _acknowledged(work: Work, event: IncidentAcknowledged) -> None:
    incident = work.by_id.get(event.incident)
    if incident is not None and incident.open and incident.acknowledged_by is None:
        known = replace(incident, acknowledged_by=event.by, acknowledged_at=work.at)
        work.put(known, f"{event.by.name} is on it")


def _time_came(work: Work, event: TimeCame) -> None:
    incident = work.by_id.get(event.incident)
    if incident is None or not incident.open:
        return
    match event.due:
        case Due.REMINDER:
            work.put(replace(incident, reminders=incident.reminders + 1, reminded_at=work.at))
        case Due.ESCALATION:
            work.put(replace(incident, escalated_at=incident.escalated_at or work.at))
        case Due.WORSE:
            work.put(replace(incident, worse=incident.worse + 1, worse_at=work.at))
        case Due.CALM:
            if not incident.troubles and incident.calm_until is not None and work.at >= incident.calm_until:
                work.put(replace(incident, resolved_at=work.at, settled=True), "it has stayed calm")
