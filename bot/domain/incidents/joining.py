"""What an incident becomes with one more trouble in it, or with another incident."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from bot.domain.copies import replace
from bot.domain.incidents.kinds import CLEAR_AT_ONCE, FELT, MINOR, hold_of, is_minor, named, primary
from bot.domain.incidents.notes import INSERTED, words_for
from bot.domain.incidents.present import is_empty, services_of
from bot.domain.incidents.story import Incident, Kind
from bot.domain.incidents.work import NOTES, Work
from bot.domain.situation.checks import in_table
from bot.domain.troubles import Matter, Trouble

EVIDENCE = 40  # findings that are kept of one incident: more than anybody reads


def opened(work: Work, trouble: Trouble) -> Incident:
    """A new incident for *trouble*, which is not in it yet."""
    number = work.recorded.sequence
    # One event can open more than one incident (a roll call that finds two directors lost): ids stay unique.
    while number in work.by_id:
        number += 1
    instances = (Matter.ROLE, Matter.CONTEST, Matter.VACANCY, Matter.ADDRESS, Matter.VIP)
    incident = Incident(
        id=number,
        kind=Kind.FAILOVER,
        cluster=work.cluster.name,
        subject=trouble.subject,
        opened_at=work.at,
        hold_until=work.at + hold_of(trouble, work.cluster),
        settled=trouble.matter in CLEAR_AT_ONCE,
        instance=trouble.subject if trouble.matter in instances else None,
    )
    work.by_id[number] = incident
    return incident


def _needs(work: Work, incident: Incident, trouble: Trouble) -> frozenset[str]:
    """What can have caused *incident* with *trouble* in it.

    Of real servers alone, it is what can have caused them as they are known now: where probes have found what at first
    only a keepalived had said, that keepalived explains nothing of it any more.
    """
    seen = incident.seen | {trouble}
    if all(t.matter is Matter.REAL_SERVER for t in seen):
        return frozenset().union(*(work.links(t).needs for t in seen))
    return incident.needs | work.links(trouble).needs


def joined(work: Work, incident: Incident, trouble: Trouble) -> Incident:
    """*incident* with *trouble* in it, and called by the cause among what it has now."""
    own = work.links(trouble)
    anew = [(trouble, work.when(trouble)[0])] if trouble not in incident.troubles else []
    instances = (Matter.CONTEST, Matter.VACANCY, Matter.ADDRESS, Matter.VIP)
    # Where a real server explains it already, that clients feel it looks for no other cause.
    explained = trouble.matter is Matter.VIP and any(t.matter is Matter.REAL_SERVER for t in incident.seen)
    joined = replace(
        incident,
        troubles=incident.troubles | {trouble},
        seen=incident.seen | {trouble},
        began=_begun(incident.began, *anew),
        explains=incident.explains | own.explains,
        needs=incident.needs if explained else _needs(work, incident, trouble),
        instance=incident.instance or (trouble.subject if trouble.matter in instances else None),
    )
    silent = Trouble(matter=Matter.AGENT, subject=trouble.subject) in incident.seen
    if trouble.matter is Matter.BLIND and not silent:
        # It lives, so it was not lost, whatever its silence looked like: it explains nothing of what others have. But
        # where its agent was silent, too, it is on its way back.
        lost = Trouble(matter=Matter.DIRECTOR, subject=trouble.subject)
        joined = replace(joined, seen=joined.seen - {lost}, explains=joined.explains - {f"host:{trouble.subject}"})
    joined = _no_more_minor(incident, named(_restless(joined), work.cluster))
    if trouble.matter in CLEAR_AT_ONCE and primary(joined) == trouble:
        joined = replace(joined, settled=True)
    return joined


def _no_more_minor(before: Incident, after: Incident) -> Incident:
    """*after*, without what was said against a real server where that has turned out to be part of something greater.

    That it went along is told. While clients feel it, the real server is what is wrong still.
    """
    was, now = ({t.matter for t in incident.seen} for incident in (before, after))
    felt = MINOR | FELT.keys()
    if Matter.REAL_SERVER not in was or not was <= felt or now <= felt:
        return after
    found = tuple((t, words) for t, words in after.found if t.matter is not Matter.REAL_SERVER)
    kept = {word for _, words in found for word in words}
    return replace(after, found=found, evidence=tuple(e for e in after.evidence if e in kept or e.startswith(INSERTED)))


def _begun(
    began: tuple[tuple[Trouble, datetime], ...], *anew: tuple[Trouble, datetime]
) -> tuple[tuple[Trouble, datetime], ...]:
    return tuple({**dict(began), **dict(anew)}.items())


def merged(work: Work, first: Incident, other: Incident) -> Incident:
    """*first* with all that belonged to *other*, which turned out to be part of it."""
    told = first if first.old_master is not None else other
    # What was said against a real server is not what is wrong now: that it went along is.
    servers = tuple(sorted(t.subject for t in other.seen if t.matter is Matter.REAL_SERVER))
    evidence = first.evidence if is_minor(other) and not is_minor(first) else union(first.evidence, other.evidence)
    taken = _taken(first, other)
    there = other.troubles - first.troubles
    merged = replace(
        _with_it(work, first, (*other.also_down, *servers)),
        acknowledged_by=taken.acknowledged_by if taken else None,
        acknowledged_at=taken.acknowledged_at if taken else None,
        troubles=first.troubles | other.troubles,
        seen=first.seen | other.seen,
        # What is there just now began when it did that, also where the other one's was over.
        began=_begun(other.began, *first.began, *((t, at) for t, at in other.began if t in there)),
        explains=first.explains | other.explains,
        needs=first.needs | other.needs,
        instance=first.instance or other.instance,
        old_master=told.old_master,
        new_master=told.new_master,
        moved_at=told.moved_at,
        unwatched=told.unwatched,
        returned_at=told.returned_at,
        back_in=told.back_in if told.back_in not in (first.id, other.id) else None,
        old_boot=told.old_boot,
        old_behind_s=told.old_behind_s,
        cause=told.cause,
        holders=first.holders or other.holders,
        lost=first.lost or other.lost,
        services=union(first.services, other.services),
        emptied=union(first.emptied, other.emptied),
        said=first.said or other.said,
        evidence=evidence,
        found=tuple({**dict(other.found), **dict(first.found)}.items()),
        why=union(first.why, other.why),
        outages=tuple(dict.fromkeys((*first.outages, *other.outages))),
        timeline=tuple(dict.fromkeys(sorted((*first.timeline, *other.timeline), key=lambda n: n.at)))[-NOTES:],
        changes=max(first.changes, other.changes),
        hold_until=first.hold_until if first.due(work.at) else max(first.hold_until, other.hold_until),
    )
    merged = named(_restless(merged), work.cluster)
    work.by_id[other.id] = replace(other, troubles=frozenset(), withdrawn=True, part_of=first.id)
    work.by_id[first.id] = merged
    return merged


def handed_over(work: Work, holder: Incident, taker: Incident, vip: Trouble) -> Incident:
    """*taker*, which tells why *vip* fails, with all that *holder* knew of that; *holder* is left without it."""
    began = dict(holder.began)[vip]
    others = tuple((t, words) for t, words in holder.found if t != vip)
    kept = {word for _, words in others for word in words}
    found = {*dict(holder.found).get(vip, ()), *holder.why} - kept
    measured = tuple(o for o in holder.outages if o.first_good_at >= began)
    note = words_for(vip, work.situation)
    left = replace(
        holder,
        troubles=holder.troubles - {vip},
        seen=holder.seen - {vip},
        began=tuple((t, at) for t, at in holder.began if t != vip),
        explains=holder.explains - work.links(vip).explains,
        services=(),
        found=others,
        evidence=tuple(e for e in holder.evidence if e not in found),
        why=(),
        outages=tuple(o for o in holder.outages if o not in measured),
        timeline=tuple(n for n in holder.timeline if n.text != note or n.at < began),
    )
    work.by_id[holder.id] = named(left, work.cluster)
    taker = replace(
        taker,
        troubles=taker.troubles | {vip},
        seen=taker.seen | {vip},
        began=_begun(taker.began, (vip, began)),
        outages=tuple(dict.fromkeys((*taker.outages, *measured))),
    )
    at = next((n.at for n in holder.timeline if n.text == note and n.at >= began), work.at)
    return work.put(taker, note, at=at)


def _restless(incident: Incident) -> Incident:
    """*incident*, which was held open to see whether it stays calm, if something of it is wrong again."""
    if incident.calm_from is None or not incident.troubles:
        return incident
    return replace(incident, changes=incident.changes + 1, calm_from=None, calm_until=None)


def _taken(first: Incident, other: Incident) -> Incident | None:
    """The one of them whose acknowledgement holds for both: the earliest.

    Who took a smaller matter has not taken the greater one that it turns out to be part of, nor one that was opened
    just now because it is news: somebody has to be asked.
    """
    if not first.seen:
        return None
    small = is_minor(first) and is_minor(other)
    taken = [i for i in (first, other) if i.acknowledged_at is not None and (small or not is_minor(i))]
    return min(taken, key=lambda i: (i.acknowledged_at, i.id), default=None)


def detailed(work: Work, incident: Incident, trouble: Trouble) -> Incident:
    """*incident* with what is known of *trouble* now."""
    about = trouble.subject
    match trouble.matter:
        case Matter.VIP:
            services = work.situation.vip_troubles(services_of(work.cluster, work.cluster.vrrp_instance(about)))
            reasons = (f"{s}: {work.situation.health[s, None].reason}" for s in services)
            return _found(replace(incident, services=union(incident.services, services)), trouble, reasons)
        case Matter.DIRECTOR:
            return _of_lost(work, incident, trouble)
        case Matter.REAL_SERVER:
            if incident.kind is Kind.REAL_SERVER_DOWN and incident.subject == about:
                return _found(incident, trouble, (*work.situation.complaints(about), *_still_sent(work, about)))
            return _with_it(work, incident, (about,))
        case Matter.SERVICE:
            emptied = (about,) if is_empty(work.situation, work.cluster.service(about)) else ()
            affected = replace(
                incident, services=union(incident.services, (about,)), emptied=union(incident.emptied, emptied)
            )
            return _found(affected, trouble, _of_service(work, about))
        case _:
            why = words_for(trouble, work.situation)
            said = why if why and primary(incident) == trouble else incident.said
            # An error may be worded differently each time: the first wording of it is enough.
            known = _worded(incident, f"{about} is there") if trouble.matter is Matter.BLIND else ()
            return _found(replace(incident, said=said), trouble, known or ((why,) if why else ()))


def _still_sent(work: Work, server: str) -> Iterator[str]:
    """Of which services clients are still sent to *server*, which is down, because nobody takes it out of the table."""
    for service in work.cluster.services_of(server):
        master = work.situation.masters.get(service.vrrp_instance or "", "")
        answer = work.situation.answered(master)
        blind = Trouble(matter=Matter.CHECKER, subject=master) in work.situation.found
        down = work.situation.healthy(service.name, server) is False
        if blind and down and answer is not None and in_table(answer, service.name, server):
            why = "its health checker does not work"
            yield f"keepalived on {master} still sends clients of {service.name} to it: {why}"


def _worded(incident: Incident, beginning: str) -> tuple[str, ...]:
    """What of the evidence of *incident* begins like that."""
    return tuple(e for e in incident.evidence if e.startswith(beginning))


def _found(incident: Incident, trouble: Trouble, words: Iterable[str]) -> Incident:
    """*incident* with what is found of *trouble*, in *words*; what was found of it before is evidence only."""
    now = tuple(words)
    others = tuple((t, found) for t, found in incident.found if t != trouble)
    if (trouble, now) in incident.found:
        return incident
    return replace(
        incident,
        evidence=union(incident.evidence, now)[:EVIDENCE],
        found=(*others, (trouble, now)) if now else others,
    )


def _with_it(work: Work, incident: Incident, servers: Iterable[str]) -> Incident:
    """*incident* with *servers*, which went with it, and the directors that they live inside of."""
    also_down = union(incident.also_down, servers)
    hosts = {r.name: r.host for r in work.cluster.real_servers}
    inside = tuple((name, host) for name in also_down if (host := hosts.get(name)) is not None)
    return replace(incident, also_down=also_down, inside=inside)


LOST_QUORUM = "has lost the quorum of"


def _of_service(work: Work, name: str) -> Iterator[str]:
    """What its MASTER's keepalived says and does about a service that is down, beyond what the probes say."""
    service, situation = work.cluster.service(name), work.situation
    master = situation.masters.get(service.vrrp_instance or "")
    if master is None:
        return
    if (master, name) in situation.quorumless and not is_empty(situation, service):
        yield f"keepalived on {master} {LOST_QUORUM} {name}"
    answer = situation.answered(master)
    for of, address, weight in answer.strangers if answer is not None else ():
        if of == name and weight > 0:
            yield f"{address}, the sorry server, answers instead of {name}'s real servers"


def _of_lost(work: Work, incident: Incident, trouble: Trouble) -> Incident:
    director = trouble.subject
    answer = work.situation.answers[director].answer
    held = (i for i, master in sorted(work.situation.masters.items()) if master == director)
    evidence = (f"{director}: {answer.error}", *(f"it was MASTER of {i} when it last answered" for i in held))
    # Its error may be worded differently each time it is asked: the first wording is enough.
    known = _worded(incident, f"{director}: ")
    return _found(replace(incident, lost=incident.lost or director), trouble, known or evidence)


def union(old: Iterable[str], new: Iterable[str]) -> tuple[str, ...]:
    """*old* and what of *new* is not in it."""
    return tuple(dict.fromkeys((*old, *new)))
