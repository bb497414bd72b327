"""What a roll call settles: who holds the address, why it moved, and what may be told by now."""

from __future__ import annotations

from datetime import datetime, timedelta

from bot.domain.copies import replace
from bot.domain.events import RollCallTaken
from bot.domain.fleet import VrrpInstance
from bot.domain.incidents.causes import cause_of, fresh, restorable, why_away, why_unreachable
from bot.domain.incidents.kinds import CLEAR_AT_ONCE, HEARTBEAT_HOLD, named, primary
from bot.domain.incidents.story import Cause, Incident, Kind, Stage
from bot.domain.incidents.work import Work
from bot.domain.situation import LATE
from bot.domain.troubles import Matter, Trouble

LOOKED_AT = timedelta(minutes=1)  # how long after a director is back a closer look at it may come


def settle(work: Work, event: RollCallTaken) -> None:
    """Directors were asked: claims become findings, and what waited for that may be told."""
    for incident in work.opens():
        if incident.instance is not None:
            incident = _examine(work, incident, work.cluster.vrrp_instance(incident.instance), event)
        if not incident.settled and _is_settled(work, incident, event):
            work.put(replace(incident, settled=True))
        elif _is_of_an_agent_alone(incident, event):
            work.put(replace(incident, hold_until=min(incident.hold_until, event.asked_at + HEARTBEAT_HOLD)))
    for incident in [i for i in work.by_id.values() if i.cause is Cause.AWAITED and i.resolved_at is not None]:
        _answered_at_last(work, incident, event)
    for incident in [i for i in work.by_id.values() if i.kind is Kind.DIRECTOR_LOST and i.cause is Cause.UNKNOWN]:
        _back_again(work, incident, event)


def _answered_at_last(work: Work, incident: Incident, event: RollCallTaken) -> None:
    """Why a director was away takes a closer look at it, which may come when it is back and its story over."""
    assert incident.resolved_at is not None
    if incident.withdrawn or work.at - incident.resolved_at > LATE or not event.answer(incident.old_master or ""):
        return
    instance = work.cluster.vrrp_instance(incident.instance or "")
    cause = cause_of(incident, instance, work.situation, work.mutes)
    if cause not in (Cause.AWAITED, Cause.UNKNOWN):
        work.put(replace(incident, cause=cause), f"{incident.old_master}: {cause.value}")


def _back_again(work: Work, incident: Incident, event: RollCallTaken) -> None:
    """A closer look at a director that is back tells why it was away, where it was no MASTER that somebody replaced."""
    ended = incident.resolved_at
    if incident.withdrawn or incident.old_master is not None or (ended is not None and work.at - ended > LOOKED_AT):
        return
    now, before = event.answer(incident.subject), work.situation.host_at(incident.subject, incident.opened_at)
    if now is None or now.boot is None or before is None or event.asked_at < incident.opened_at:
        return
    cause = why_away(before, now)
    work.put(named(replace(incident, cause=cause), work.cluster), f"{incident.subject}: {cause.value}")


def _examine(work: Work, incident: Incident, instance: VrrpInstance, event: RollCallTaken) -> Incident:
    """*incident* with who holds the address, why it moved and why it does not answer, as found now."""
    holders = work.situation.holders.get(instance.name, ())
    # Asked before the move, a director's answer would be from before it.
    in_time = incident.moved_at is None or event.asked_at >= incident.moved_at or incident.moved_at == work.at
    if Matter.CONTEST in {t.matter for t in incident.troubles} and len(holders) > 1:
        incident = work.put(replace(incident, holders=holders))
    elif in_time and holders == (incident.new_master,) != incident.holders and _asked_since(event, incident):
        text = f"roll call: {incident.new_master} holds the address"
        stage = Stage.VIP_SEEN if incident.returned_at is None else None
        incident = work.put(replace(incident, holders=holders), text, stage=stage)
    if in_time and incident.old_master is not None:
        cause = cause_of(incident, instance, work.situation, work.mutes, event.waiting)
        if cause is not incident.cause:
            told = "" if cause in (Cause.AWAITED, Cause.UNKNOWN) else f"{incident.old_master}: {cause.value}"
            lost = incident.old_master if cause is Cause.DIED else incident.lost
            incident = work.put(replace(incident, cause=cause, lost=lost), told)
    if Trouble(matter=Matter.VIP, subject=instance.name) in incident.troubles:
        why = why_unreachable(instance, incident.services, work.situation, work.cluster)
        drained = restorable(instance, incident.services, work.situation, work.cluster, work.drained)
        # A restore asks every director first, and while one of them does not answer it has to be forced (plans.py).
        unasked = tuple(d.name for d in work.cluster.directors if work.situation.answered(d.name) is None)
        incident = work.put(replace(incident, why=why or incident.why, drained=drained, unasked=unasked))
    return incident


def _is_settled(work: Work, incident: Incident, event: RollCallTaken) -> bool:
    first = primary(incident)
    assert first is not None
    if event.asked_at < incident.opened_at and incident.opened_at != work.at and incident.moved_at != work.at:
        return False
    match first.matter:
        case Matter.ROLE:
            old = work.situation.answers.get(incident.old_master or "")
            heard = old is not None and incident.moved_at is not None and fresh(old, incident.moved_at)
            return bool(incident.holders) and (heard or incident.cause is Cause.MAINTENANCE)
        case Matter.REAL_SERVER | Matter.SERVICE:
            return all(_heard_since(work, d, incident.opened_at) for d in _explainers(work, incident))
        case Matter.VIP:
            return bool(incident.why)
        case Matter.DIRECTOR | Matter.BLIND:
            known = work.situation.answers.get(first.subject)
            return known is not None and (known.tries > 1 or known.answer.refused)
        case Matter.UNIT | Matter.PROCESS | Matter.ADDRESS:
            return event.answer(first.subject) is not None or first.matter is Matter.ADDRESS
        case _:
            return first.matter in CLEAR_AT_ONCE


def _is_of_an_agent_alone(incident: Incident, event: RollCallTaken) -> bool:
    """Whether all that is wrong is an agent that is silent, and its director answered when asked since.

    One that was cut off for a moment answers before its agent's next heartbeat has come.
    """
    first = primary(incident)
    alone = first is not None and first.matter is Matter.AGENT and event.answer(first.subject) is not None
    return alone and event.asked_at >= incident.opened_at


def _heard_since(work: Work, director: str, at: datetime) -> bool:
    """Whether *director* answered what it was asked at *at* or later: what it answered before says nothing of now.

    One whose units cannot be read any more is on its way down, and answers until its network goes.
    """
    known = work.situation.answers.get(director)
    if known is None or not known.answer.answered or known.answer.keepalived is None:
        return False
    return known.asked_at >= at


def _explainers(work: Work, incident: Incident) -> set[str]:
    """Who may explain the real servers of *incident*: the directors they live inside of, and who checks them as MASTER.

    A MASTER whose health checker is frozen leaves a dead one in its table: that is the story then.
    """
    servers = {t.subject for t in incident.seen if t.matter is Matter.REAL_SERVER}
    for trouble in incident.seen:
        if trouble.matter is Matter.SERVICE:
            servers |= {m.real_server for m in work.cluster.service(trouble.subject).members}
    hosts = {host for s in servers if (host := work.cluster.real_server(s).host) is not None}
    instances = {service.vrrp_instance for s in servers for service in work.cluster.services_of(s)}
    return hosts | {master for i in instances if (master := work.situation.masters.get(i or "")) is not None}


def _asked_since(event: RollCallTaken, incident: Incident) -> bool:
    """Whether the directors were asked after the MASTER came back, where it did."""
    return incident.returned_at is None or event.asked_at >= incident.returned_at
