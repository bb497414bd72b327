"""The role of MASTER: that it moved, came back, or had moved without anybody seeing it."""

from __future__ import annotations

from datetime import datetime, timedelta

from bot.domain.copies import replace
from bot.domain.events import RollCallTaken, VrrpState, VrrpStateChanged
from bot.domain.fleet import VrrpInstance
from bot.domain.incidents.apart import is_old
from bot.domain.incidents.causes import FIRM, cause_of, word_cause
from bot.domain.incidents.gathering import gathered, unmoved, with_past
from bot.domain.incidents.joining import joined, merged, opened
from bot.domain.incidents.kinds import FELT, ROLL_CALL_HOLD
from bot.domain.incidents.story import Cause, Incident, Stage
from bot.domain.incidents.work import REMEMBERED, Work
from bot.domain.observed import UnitActive
from bot.domain.situation import ASIDE, LATE, Said, by_our_clock
from bot.domain.troubles import Matter, Trouble

BRIEF = timedelta(seconds=2.5)  # what a director takes back within this was a mistake at its start


def moved(work: Work, instance: VrrpInstance, old: str | None, new: str | None) -> None:
    """The MASTER of *instance* was taken to be *old* and is now taken to be *new*."""
    if old is None or new is None or old == new:
        return
    role = Trouble(matter=Matter.ROLE, subject=instance.name)
    known = work.find(lambda i: role in i.seen)
    if known is not None and known.old_master == new:
        _returned(work, known, role, old, new)
        return
    if known is not None and is_old(work, known):
        # It moved on: that is another story, whatever became of the one that lost it first.
        work.put(replace(known, troubles=known.troubles - {role}, seen=known.seen - {role}))
        known = None
    if known is not None and role not in known.troubles:
        known = unmoved(known)  # it had moved and come back: this is another move
    incident = with_past(work, known or gathered(work, role), role)
    said = _said_at(work, new, instance)
    moved_at = _moved_at(work)
    # What was seen of its host after it moved shows how it came back, and not how it was.
    host = work.situation.host_before(old, moved_at, instance) if incident.old_master is None else None
    told = work.put(
        replace(
            joined(work, incident, role),
            instance=instance.name,
            old_master=incident.old_master or old,
            new_master=new,
            moved_at=moved_at,
            unwatched=incident.unwatched or _unwatched(work, moved_at),
            returned_at=None,
            back_in=None,
            old_boot=host.boot if host is not None else incident.old_boot,
            old_behind_s=host.behind_s if host is not None else incident.old_behind_s,
            settled=False,
            holders=(),
            hold_until=work.at + ROLL_CALL_HOLD,
            outages=incident.outages or work.recent(instance, moved_at),
        ),
        f"MASTER moved from {old} to {new}",
        at=said,
        stage=None if incident.old_master else Stage.NEW_MASTER,
    )
    if incident.old_master is None:
        _last_words(work, told, instance)


def _last_words(work: Work, incident: Incident, instance: VrrpInstance) -> None:
    """What the old MASTER said before anybody else was heard: a clean stop is told before the move that it makes."""
    claim = work.situation.claims.get((incident.old_master or "", instance.name))
    if claim is None or claim.observed or incident.moved_at is None:
        return
    since = incident.moved_at - timedelta(seconds=instance.takeover_s + 5)
    for word in claim.words:
        if word.state in (VrrpState.STOP, VrrpState.FAULT) and since <= word.said_at <= incident.moved_at + ASIDE:
            text = f"{incident.old_master} says {word.state.value}"
            incident = work.put(incident, text, at=word.said_at, stage=Stage.LAST_WORD)


def had_moved(work: Work, instance: VrrpInstance, director: str, said: Said) -> None:
    """*director* was MASTER at *said*, as it told too late, and a look has shown that it no longer is.

    Where a story covers that time, the move belongs to it. Where none does, there was one that nobody saw: it is
    told as over.
    """
    master = work.situation.masters.get(instance.name)
    stories = [
        i
        for i in work.by_id.values()
        if i.instance == instance.name
        and not i.withdrawn
        and i.began_at - REMEMBERED <= said.said_at <= (i.resolved_at or work.at) + REMEMBERED
    ]
    if master in (None, director) or any(i.old_master is not None for i in stories):
        return
    role = Trouble(matter=Matter.ROLE, subject=instance.name)
    moved = next((i for i in stories if i.began_at - ASIDE <= said.said_at <= (i.resolved_at or work.at)), None)
    if stories and moved is None:
        return
    if moved is None:
        over = replace(opened(work, role), opened_at=said.said_at, resolved_at=work.at, settled=True)
    else:
        over = moved
    incident = replace(
        joined(work, over, role),
        troubles=over.troubles,
        old_master=master,
        new_master=master,
        moved_at=said.said_at,
        unwatched=over.unwatched or _unwatched(work, said.said_at),
        returned_at=work.at,
        instance=instance.name,
    )
    cause = cause_of(incident, instance, work.situation, work.mutes)
    incident = replace(incident, cause=cause if cause in FIRM else word_cause(incident, instance, work.situation))
    text = f"MASTER moved from {master} to {director}"
    incident = work.put(incident, text, at=said.said_at, stage=Stage.NEW_MASTER)
    work.put(incident, f"nobody saw it: {director} told it late, and {master} holds the address again")


def _unwatched(work: Work, moved_at: datetime) -> bool:
    since = work.situation.watching_since
    return since is not None and moved_at < since


def _moved_at(work: Work) -> datetime:
    """Since when the role is known to have moved: when that was said, or asked for, and not when it was heard."""
    event = work.recorded.event
    match event:
        case RollCallTaken():
            return event.asked_at
        case VrrpStateChanged():
            return min(work.at, by_our_clock(work.situation, event.director, work.recorded.at_source))
        case _:
            return work.at


def _said_at(work: Work, director: str, instance: VrrpInstance) -> datetime:
    """When *director* itself said that it is MASTER, if it did just now; else when it was found."""
    event = work.recorded.event
    mine = isinstance(event, VrrpStateChanged) and event.director == director and event.instance == instance.name
    return work.recorded.at_source if mine else work.at


def _returned(work: Work, incident: Incident, role: Trouble, old: str, new: str) -> None:
    found = isinstance(work.recorded.event, RollCallTaken)
    if found and incident.seen == {role} and not incident.holders and _was_brief(work, incident):
        # The claim was a director's brief mistake at its start: the address never left.
        work.put(
            replace(incident, troubles=frozenset(), withdrawn=True), f"{incident.new_master} does not hold it after all"
        )
        return
    at = _said_at(work, new, work.cluster.vrrp_instance(role.subject))
    for gap in [i for i in work.opens() if i.instance == incident.instance and i.id != incident.id]:
        # On its way back the address is nobody's for a moment, and clients may feel that.
        if {t.matter for t in gap.seen} <= {Matter.VIP, Matter.VACANCY} and work.at - gap.opened_at <= LATE:
            incident = merged(work, incident, gap)
    incident = with_past(work, incident, role)
    felt = work.find(lambda i: i.id != incident.id and i.instance == incident.instance and _is_felt(i))
    back_in = felt.id if felt is not None else None
    holders = (new,) if found else ()
    work.put(
        replace(incident, returned_at=_moved_at(work), back_in=back_in, new_master=new, holders=holders),
        f"{new} is MASTER again (before: {old})",
        at=at,
    )


def _is_felt(incident: Incident) -> bool:
    return any(t.matter in FELT for t in incident.troubles)


def _was_brief(work: Work, incident: Incident) -> bool:
    """Whether the claim was withdrawn at once, or never was more than a claim: not what lasted for seconds."""
    if incident.settled or _gave_it_up(work, incident):
        return False
    claim = work.situation.claims.get((incident.new_master or "", incident.instance or ""))
    if claim is None or claim.state is VrrpState.MASTER:
        return True
    said = next((s for s in reversed(claim.before) if s.state is VrrpState.MASTER), None)
    return said is None or claim.said_at - said.said_at < BRIEF


def _gave_it_up(work: Work, incident: Incident) -> bool:
    """Whether the old MASTER has said itself, about then, that it was none: then the address did move."""
    claim = work.situation.claims.get((incident.old_master or "", incident.instance or ""))
    if claim is None or incident.moved_at is None:
        return False
    since = (
        incident.moved_at - timedelta(seconds=work.cluster.vrrp_instance(incident.instance or "").takeover_s) - ASIDE
    )
    words = claim.words
    return any(w.state in (VrrpState.BACKUP, VrrpState.STOP, VrrpState.FAULT) and w.said_at >= since for w in words)


def away(work: Work, incident: Incident) -> bool:
    """Whether the director that lost the address has not come back to its role yet."""
    old, instance = incident.old_master, work.cluster.vrrp_instance(incident.instance or "")
    if old is None or (not incident.settled and incident.returned_at is None):
        return True
    if incident.returned_at is not None:
        # It says so: a look has to show it. Clients may find its table empty for a moment after its return.
        return incident.holders != (incident.new_master,)
    if incident.cause is Cause.PREEMPTED:
        return False
    found = work.situation.answers.get(old)
    claim = work.situation.claims.get((old, instance.name))
    master = work.situation.masters.get(instance.name)
    if found is None or claim is None or master is None or found.at <= (incident.moved_at or work.at):
        return True
    running = found.answer.keepalived is not None and found.answer.keepalived.active is UnitActive.ACTIVE
    # One of higher priority will take the address back in a moment: that is its return, not its being BACKUP.
    stays = instance.priority(old) < instance.priority(master)
    return not (running and claim.state is VrrpState.BACKUP and stays)
