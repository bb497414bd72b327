"""What an incident says: the one sentence that a phone shows, and the facts below it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from bot.domain.deeds import Deed
from bot.domain.events import OutageMeasured, Sense
from bot.domain.incidents import Cause, Incident, Kind, Matter, Trouble
from bot.domain.incidents.joining import LOST_QUORUM
from bot.domain.incidents.kinds import PLACES, primary
from bot.domain.incidents.notes import INSERTED
from bot.domain.moments import moment
from bot.domain.troubles import OF_DIRECTORS
from bot.domain.wording import listed
from bot.views.words import clock, outage, plural, span

WHY = {
    Cause.UNKNOWN: "why is not known: {old} answers and keepalived runs there",
    Cause.AWAITED: "{old} has not answered so far",
    Cause.DIED: "unplanned: {old} does not answer",
    Cause.SILENT: "why is not known: {old} did not answer for a while",
    Cause.PAUSED: "unplanned: {old} stood still; it did not reboot, and its clock fell behind",
    Cause.CUT_OFF: "unplanned: {old} was cut off; it did not reboot",
    Cause.REBOOTED: "planned: {old} was rebooted",
    Cause.ANEW: "why is not known: {old} booted anew",
    Cause.STOPPED: "planned: keepalived was stopped on {old}",
    Cause.RESTARTED: "planned: keepalived was restarted on {old}",
    Cause.FAILED: "unplanned: keepalived failed on {old}",
    Cause.FROZEN: "unplanned: keepalived is frozen on {old}",
    Cause.CHILD_DIED: "unplanned: keepalived's VRRP process died on {old} and was started again",
    Cause.FAULT: "unplanned: {old} reported FAULT",
    Cause.REMOVED: "unplanned: the address was removed by hand on {old}",
    Cause.PREEMPTED: "expected: {new} has the higher priority",
    Cause.MAINTENANCE: "planned: maintenance was announced",
}
AWAY = {
    Cause.PAUSED: "it stood still: it did not reboot, and its clock fell behind",
    Cause.CUT_OFF: "it was cut off, or too busy to answer: it did not reboot",
    Cause.ANEW: "it booted anew",
}
UNMEASURED = "the VIP was unreachable; for how long was not measured"
WHY_THEN = {
    # What of the old MASTER it is, and how it is told once it is so no more.
    Cause.AWAITED: (Matter.DIRECTOR, "why is not known: {old} did not answer at the time"),
    Cause.DIED: (Matter.DIRECTOR, "unplanned: {old} did not answer"),
    Cause.FROZEN: (Matter.PROCESS, "unplanned: keepalived was frozen on {old}"),
}

MOST_DEEDS = 8  # what people did is summed up in so many lines; the export has all of it


def headline(incident: Incident) -> str:
    """The one sentence that a phone shows."""
    if incident.withdrawn:
        return _withdrawn(incident)
    # What flaps stays open while it is calm: it is headed by what is so just now.
    well = incident.resolved_at is not None or (incident.flapping and not incident.troubles)
    left = () if well else _left(incident)
    said = (_open if left is None else _over)(incident)
    if left is None:
        moved = incident.kind in (Kind.FAILOVER, Kind.FAILBACK) and _fails(incident, Matter.SERVICE)
        left = (*((_nobody_left(incident),) if moved else ()), *_unreached(incident))
    if left:
        said += f"{'; ' if ' — ' in said else ' — '}{listed(left)}"
    return f"{said} — {_flaps(incident)}" if incident.flapping else said


def _unreached(incident: Incident) -> tuple[str, ...]:
    """That clients reach nobody just now, where what *incident* is called by does not say so."""
    failing = _failing(incident)
    says_so = incident.kind in (Kind.SERVICE_DOWN, Kind.FAILOVER, Kind.FAILBACK)
    empty = {t.subject for t in incident.troubles if t.matter is Matter.SERVICE and says_so}
    all_back = incident.kind is Kind.DIRECTORS_LOST and not _lost(incident)  # that is headed by what is still wrong
    told = all_back or incident.kind is Kind.VIP_UNREACHABLE or set(failing) <= empty
    if told or not _fails(incident, Matter.VIP) or (incident.outages and not _failed_since(incident)):
        return ()
    return (f"the VIP does not answer ({_few(failing)})",)


def _left(incident: Incident) -> tuple[str, ...] | None:
    """What is still wrong, in words, where what *incident* is called by is over; None where it is not."""
    first = primary(incident)
    if first is None or incident.kind is Kind.DIRECTORS_LOST:
        return None
    returned = first.matter is Matter.ROLE and incident.returned_at is not None
    together = first.matter in _TOGETHER and any(t.matter is first.matter for t in incident.troubles)
    if (first in incident.troubles or together) and not returned:
        return None
    return _still(incident, incident.troubles - {first})


def _still(incident: Incident, left: Iterable[Trouble]) -> tuple[str, ...]:
    """What of *left* is worth a word in a headline, in words: causes before effects."""
    lost = {t.subject for t in left if t.matter is Matter.DIRECTOR}
    unknown = OF_DIRECTORS | {Matter.AGENT}  # of a director that has died, nothing more is known than that
    told = sorted(
        (t for t in left if t.matter in _STILL and not (t.matter in unknown and t.subject in lost)),
        key=lambda t: (PLACES[t.matter], t),
    )
    return tuple(_STILL[t.matter].format(about=t.subject, new=incident.new_master) for t in told)


# Of these a headline names all that are left, and not one alone.
_TOGETHER = frozenset({Matter.REAL_SERVER, Matter.SERVICE, Matter.AGENT, Matter.WEIGHT, Matter.DIFFERENCE})
_STILL = {
    Matter.ROLE: "{new} is MASTER",
    Matter.DIRECTOR: "{about} still does not answer",
    Matter.CONTEST: "more than one director still holds the address of {about}",
    Matter.UNIT: "keepalived on {about} still does not run",
    Matter.VACANCY: "the address of {about} is still held by nobody",
    Matter.TABLE: "the IPVS table on {about} is still not complete",
    Matter.CHECKER: "keepalived's health checker on {about} still does not work",
    Matter.SERVICE: "{about} still has no healthy real server",
    Matter.NAT: "{about} still cannot forward by NAT",
    Matter.VIP: "the VIP still does not answer",
    Matter.REAL_SERVER: "{about} is still down",
    Matter.BLIND: "{about} still does not let the bot in",
    Matter.AGENT: "the agent on {about} is still silent",
    Matter.COMPLAINT: "the agent on {about} still complains",
}


def _flaps(incident: Incident) -> str:
    ended = incident.calm_from or incident.resolved_at
    last = max((n.at for n in incident.timeline), default=incident.opened_at) if ended is None else ended
    changes = 2 * incident.changes + (1 if incident.troubles else 2)
    return f"flapping: {changes} changes in {span((last - incident.opened_at).total_seconds())}"


def _withdrawn(incident: Incident) -> str:
    if incident.part_of is not None:
        matter = _NAMED_BY.get(incident.kind)
        about = incident.subject if matter is None else _subjects(incident, matter)
        return f"{about}: this is part of incident {incident.part_of}"
    if incident.kind is Kind.FAILOVER:
        return f"{incident.subject}: nothing moved, {incident.new_master} does not hold the address after all"
    return f"{incident.subject}: a false alarm"


# Of these a sentence names all that are in it; others are of one thing, their subject.
_NAMED_BY = {Kind.REAL_SERVER_DOWN: Matter.REAL_SERVER, Kind.SERVICE_DOWN: Matter.SERVICE}


def _subjects(incident: Incident, matter: Matter = Matter.REAL_SERVER) -> str:
    """The real servers (or services, …) that it is about, rather those that are left; its subject if there are none."""
    left, seen = (sorted({t.subject for t in of if t.matter is matter}) for of in (incident.troubles, incident.seen))
    return _few(left or seen or [incident.subject])


def _few(names: Sequence[str]) -> str:
    """*names* in a sentence, the first few of many."""
    return f"{', '.join(names[:4])} and {len(names) - 4} more" if len(names) > 5 else listed(names)


def _are(names: str) -> str:
    return "are" if " and " in names else "is"


def _were(names: str) -> str:
    return "were" if _are(names) == "are" else "was"


def _open(incident: Incident) -> str:
    about, kind = incident.subject, incident.kind
    special = _OPEN.get(kind)
    if special is not None:
        return special(incident)
    found = next((e for e in (incident.said, *incident.evidence) if e.strip()), f"{about}: {kind.value}")
    return found[:1].upper() + found[1:] if found.startswith(("the ", "no ")) else found


def _failover(incident: Incident) -> str:
    old, new = incident.old_master, incident.new_master
    if incident.returned_at:
        return f"{incident.instance}: {new} is MASTER again"
    if not incident.settled and not incident.holders:
        return f"{incident.instance}: {new} says it is MASTER now (before: {old}); no roll call could confirm it yet"
    return f"{incident.instance} failed over: {old} → {new} ({_why(incident, str(new))})"


def _why(incident: Incident, new: str) -> str:
    """Why the MASTER moved to *new*: as it is, or as it was where that is over and the story may go on."""
    wording = WHY[incident.cause]
    if incident.cause in WHY_THEN:
        matter, then = WHY_THEN[incident.cause]
        over = {t.matter for t in incident.seen - incident.troubles if t.subject == incident.old_master}
        wording = then if incident.returned_at or incident.resolved_at or matter in over else wording
    return wording.format(old=incident.old_master, new=new)


def _split_brain(incident: Incident) -> str:
    # By the last look it may be one of them: the other was not heard of since.
    several = len(incident.holders) > 1
    who = f"{listed(incident.holders)} hold" if several else "more than one director holds"
    frozen = [e for e in incident.evidence if "frozen" in e and e in incident.present]
    because = f"; {frozen[0]}" if frozen else ""
    return f"{incident.subject}: split brain — {who} the address{because}"


def _unreachable(incident: Incident) -> str:
    services = listed(incident.services)
    if incident.why:
        return f"{incident.subject}: the VIP does not answer ({services}): {incident.why[0]}"
    why = "" if incident.old_master else "; why is not known yet"
    return f"{incident.subject}: the VIP does not answer ({services}){why}"


def _silent(incident: Incident) -> str:
    silent = sorted(t.subject for t in incident.seen if t.matter is Matter.AGENT)
    if "webhook" in incident.explains:
        return f"No events arrive: the agents on {listed(silent)} are all silent, so it is the way to the bot"
    return f"The agent on {incident.subject} is silent: its keepalived events do not reach the bot"


def _service(incident: Incident) -> str:
    return _quorum(incident) or _nobody_left(incident)


def _nobody_left(incident: Incident) -> str:
    services = _subjects(incident, Matter.SERVICE)
    return f"{services} {'have' if _are(services) == 'are' else 'has'} no healthy real server"


def _quorum(incident: Incident) -> str:
    """That the quorum of its one service is lost, in keepalived's name: real servers that are well may be left."""
    if incident.emptied:
        return ""  # it was worse than that: the quorum is only what comes back last
    return next((e for e in incident.evidence if LOST_QUORUM in e and len(incident.services) == 1), "")


def _all_lost(incident: Incident) -> str:
    left, back = _lost(incident), answering(incident)
    if not left:
        still = _still(incident, incident.troubles)
        return f"{incident.cluster}: the directors answer again — {listed(still) or 'it is not over yet'}"
    if not back:
        return f"{incident.cluster}: no director answers"
    answer, do = "answers" if len(back) == 1 else "answer", "does" if len(left) == 1 else "do"
    return f"{listed(back)} {answer} again — {listed(sorted(left))} still {do} not"


def _lost(incident: Incident) -> set[str]:
    """The directors that do not answer just now."""
    return {t.subject for t in incident.troubles if t.matter is Matter.DIRECTOR}


def answering(incident: Incident) -> list[str]:
    """The directors that did not answer in the course of *incident*, and do by now."""
    silent = {t.subject for t in incident.seen if t.matter in (Matter.DIRECTOR, Matter.BLIND)}
    return sorted(silent - _lost(incident))


def _removed(incident: Incident) -> str:
    return f"{incident.subject}: the address was removed by hand, and keepalived put it back at once"


_OPEN: dict[Kind, Callable[[Incident], str]] = {
    Kind.FAILOVER: _failover,
    Kind.FAILBACK: _failover,
    Kind.SPLIT_BRAIN: _split_brain,
    Kind.NO_MASTER: lambda i: f"{i.subject}: no director holds the address",
    Kind.DIRECTOR_LOST: lambda i: f"{i.subject} does not answer",
    Kind.DIRECTOR_PAUSED: lambda i: f"{i.subject} does not answer",
    Kind.DIRECTORS_LOST: _all_lost,
    Kind.VIP_UNREACHABLE: _unreachable,
    Kind.VIP_REMOVED: _removed,
    Kind.SERVICE_DOWN: _service,
    Kind.REAL_SERVER_DOWN: lambda i: f"{_subjects(i)} {_are(_subjects(i))} down",
    Kind.AGENT_SILENT: _silent,
    Kind.EVENTS_MISSED: lambda i: f"{i.subject}: an event was missed",
    Kind.NO_WAY_IN: lambda i: f"{i.subject} is alive, and the bot cannot ask it anything",
}


def _over(incident: Incident) -> str:
    about = incident.subject
    match incident.kind:
        case Kind.FAILOVER | Kind.FAILBACK:
            return _failover_over(incident)
        case Kind.VIP_UNREACHABLE:
            took = _outages(incident.outages)
            return f"{about}: the VIP answers again" + (f", it was unreachable for {took}" if took else "")
        case Kind.REAL_SERVER_DOWN:
            servers = _subjects(incident)
            return f"{servers} {_are(servers)} up again"
        case Kind.SERVICE_DOWN if _quorum(incident):
            return f"{about} has its quorum again"
        case Kind.SERVICE_DOWN:
            services = _subjects(incident, Matter.SERVICE)
            return f"{services} {'have' if _are(services) == 'are' else 'has'} healthy real servers again"
        case Kind.AGENT_SILENT if "webhook" in incident.explains:
            return "Events arrive again"
        case Kind.BOT_BLIND if incident.subject == Sense.SLACK.value:
            return "Slack was away and is back: what could not be said then has been said by now"
        case _:
            return _OVER[incident.kind].format(about=about, cluster=incident.cluster)


_OVER = {
    Kind.SPLIT_BRAIN: "{about}: split brain is over, one director holds the address",
    Kind.NO_MASTER: "{about}: a director holds the address again",
    Kind.DIRECTOR_LOST: "{about} is back",
    Kind.DIRECTOR_PAUSED: "{about} is back: it had stood still",
    Kind.DIRECTORS_LOST: "{cluster}: the directors answer again",
    Kind.KEEPALIVED_STOPPED: "keepalived on {about} runs again",
    Kind.KEEPALIVED_FAILED: "keepalived on {about} is well again",
    Kind.KEEPALIVED_FROZEN: "keepalived on {about} goes on, it was frozen",
    Kind.KEEPALIVED_RESTARTING: "keepalived on {about} is complete again, one of its processes had died",
    Kind.VIP_REMOVED: "{about}: the address was removed by hand, and keepalived put it back at once",
    Kind.TABLE_REMOVED: "The IPVS table on {about} is complete again",
    Kind.CHECKER_STOPPED: "keepalived's health checker on {about} works again",
    Kind.NAT_BROKEN: "{about} can forward by NAT again",
    Kind.WEIGHT_CHANGED: "{about} has the weight that it is meant to have",
    Kind.TABLES_DIFFER: "{about} is the same on all directors again",
    Kind.CERTIFICATE_EXPIRING: "The certificate of {about} was renewed",
    Kind.NO_WAY_IN: "{about} lets the bot in again",
    Kind.AGENT_SILENT: "The agent on {about} reports in again",
    Kind.AGENT_COMPLAINS: "The agent on {about} complains no more",
    Kind.EVENTS_MISSED: "{about}: an event had been missed; what it says and what it holds agree again",
    Kind.BOT_BLIND: "The bot sees again: its {about} is back",
}


def _failover_over(incident: Incident) -> str:
    old, new = incident.old_master, incident.new_master
    if incident.returned_at:
        return f"{incident.instance}: {new} is MASTER again"
    if incident.cause is Cause.PREEMPTED:
        return f"{incident.instance} failed back: {old} → {new} ({WHY[Cause.PREEMPTED].format(old=old, new=new)})"
    return f"{incident.instance}: {new} is MASTER, {old} stands by again"


def facts(incident: Incident) -> list[str]:
    """What is known of *incident*, a sentence each."""
    if incident.withdrawn:
        return []
    found: list[str] = []
    if incident.old_master is not None and incident.moved_at is not None:
        found += _failover_facts(incident)
    elif incident.outages and incident.kind is not Kind.VIP_UNREACHABLE:
        found.append(f"VIP unreachable for {_outages(incident.outages)}")
        found += _not_over(incident)
    elif _unmeasured(incident):
        found.append(UNMEASURED)
    if incident.kind in (Kind.DIRECTOR_LOST, Kind.DIRECTOR_PAUSED) and incident.cause in AWAY:
        found.append(AWAY[incident.cause])
    # Why the VIP does not answer is no reason any more once it does, though the rest of the story goes on.
    found += [f"{'' if _fails(incident, Matter.VIP) else 'was: '}{reason}" for reason in incident.why]
    if incident.drained and _fails(incident, Matter.VIP):
        found.append(_drained(incident.drained, incident.unasked))
    found += _evidence(incident)
    if incident.kind is Kind.SERVICE_DOWN:
        # Where a quorum was lost, it may be that no real server is known to be down.
        servers = _subjects(incident) if any(t.matter is Matter.REAL_SERVER for t in incident.seen) else ""
        found += [f"{servers} {_are(servers) if incident.open else _were(servers)} down"] if servers else []
    elif incident.also_down and incident.kind is not Kind.REAL_SERVER_DOWN:
        found += _went_with_it(incident)
    return list(dict.fromkeys(found))


def _drained(drained: Sequence[tuple[str, str]], unasked: Sequence[str]) -> str:
    """That a drain is why clients reach nobody, whose it is, and how that can be ended."""
    names = _few([f"{name} (by {who})" for name, who in drained])
    are, which = ("is", "it") if len(drained) == 1 else ("are", "one of them")
    forced = f", with --force while {listed(unasked)} {'does' if len(unasked) == 1 else 'do'} not answer"
    return f"{names} {are} drained: restoring {which} gives it its weight back{forced if unasked else ''}"


def _evidence(incident: Incident) -> list[str]:
    """What was found; of a failover only what its headline does not say, and once it is over only what it was about."""
    moved = incident.kind in (Kind.FAILOVER, Kind.FAILBACK)
    told = {said.casefold() for said in (headline(incident), headline(incident).partition(" — ")[0])}
    kept = [e for e in incident.evidence if e.casefold() not in told and not (moved and _routine(e, incident))]
    return [in_time(e, incident) for e in kept]


def in_time(evidence: str, incident: Incident) -> str:
    """*evidence* as it is, or as it was: the story may go on when what was found is so no more."""
    so = evidence in incident.present or evidence.startswith(INSERTED)
    return evidence if incident.open and so else f"was: {evidence}"


def _routine(evidence: str, incident: Incident) -> bool:
    """Whether the headline of a failover tells *evidence* already: who does not answer, and what the probes saw."""
    services = tuple(f"{service}: " for service in incident.services)
    told = (f"{incident.lost}: ", f"{incident.old_master} is there, and", "no word from the agent", "it was MASTER")
    return evidence.startswith((*services, *told)) or (
        evidence.startswith(f"keepalived on {incident.old_master} is ") and "frozen" not in evidence
    )


AT_ONCE = timedelta(seconds=10)  # what falls within this of the rest of a story fell with it


def _went_with_it(incident: Incident) -> list[str]:
    """Which real servers went down, apart by the lost director that each is known to live inside of."""
    lost = {incident.lost, *(t.subject for t in incident.seen if t.matter is Matter.DIRECTOR)}
    hosts = {name: host for name, host in incident.inside if host in lost}
    apart = {host: [s for s in incident.also_down if hosts.get(s) == host] for host in sorted({*hosts.values()})}
    found = [f"{_few(names)} went with it: inside {host}" for host, names in apart.items()]
    began = {t.subject: at for t, at in incident.began if t.matter is Matter.REAL_SERVER}
    # What is found by looking may have been there for a while: nothing is known to have been before that.
    looked = any(t.matter in OF_DIRECTORS for t in incident.seen)
    moved, felt = ([at for t, at in incident.began if t.matter is matter] for matter in (Matter.ROLE, Matter.VIP))
    measured = moved or ([] if looked else felt)
    other = [at for t, at in incident.began if t.matter is not Matter.REAL_SERVER]
    last = max(other, default=incident.opened_at)
    rest = {server: began.get(server, last) for server in incident.also_down if server not in hosts}
    before = [server for server, at in rest.items() if measured and min(measured) - at > AT_ONCE]
    later = [server for server, at in rest.items() if at - last > AT_ONCE and server not in before]
    along = [server for server in rest if server not in (*before, *later)]
    told = ((along, "went with it: at the same time"), (before, "fell before"), (later, "fell later"))
    return [*found, *(f"{_few(names)} {how}" for names, how in told if names)]


def _failover_facts(incident: Incident) -> list[str]:
    found = []
    if incident.kind is Kind.SPLIT_BRAIN:
        found.append(f"{_taker(incident)} took the address, and {incident.old_master} kept it")
        stood_still = incident.cause in (Cause.FROZEN, Cause.PAUSED)
        found += [_why(incident, _taker(incident))] if stood_still else []
    elif incident.kind is Kind.VIP_REMOVED:
        found.append(f"{_taker(incident)} was MASTER for a moment, until {incident.old_master} had it again")
    elif incident.resolved_at or incident.returned_at or incident.kind not in (Kind.FAILOVER, Kind.FAILBACK):
        new = _taker(incident)
        found.append(f"MASTER had moved {incident.old_master} → {new} ({_why(incident, new)})")
    took = _outages(tuple(o for o in incident.outages if not _at_return(incident, o)))
    found.append(f"VIP unreachable for {took}" if took else no_outage(incident))
    found += _not_over(incident) if took else ()
    if _fails(incident, Matter.SERVICE):
        found.append(_nobody_left(incident))
    unknown = not took and (incident.unwatched or _unmeasured(incident) or _fails(incident, Matter.VIP))
    apart = incident.kind not in (Kind.SPLIT_BRAIN, Kind.VIP_REMOVED)
    if incident.returned_at and apart and incident.back_in is not None:
        found.append(f"on the way back: what clients felt of it is told by incident {incident.back_in}")
    elif incident.returned_at and apart and not unknown:
        back = _outages(tuple(o for o in incident.outages if _at_return(incident, o)))
        found.append(f"on the way back: {f'unreachable for {back}' if back else 'no probe failed'}")
    if incident.lost and _lost(incident) == {incident.lost}:
        found.append(f"{incident.lost} does not answer: there is no second director until it is back")
    return found


def _not_over(incident: Incident) -> list[str]:
    """That the VIP fails just now, though an outage of it is over and measured: by which services that is."""
    if not _fails(incident, Matter.VIP):
        return []
    failing = _failing(incident)
    which = f" ({_few(failing)})" if failing else ""
    if since := _failed_since(incident):
        return [f"the VIP does not answer again since {clock(since)} UTC{which}"]
    # Some of its probes were good since: a dead real server may be in its table yet.
    return [f"the VIP does not answer reliably just now{which}"]


def _failing(incident: Incident) -> list[str]:
    """The services whose clients reach nobody just now."""
    found = [reason for trouble, reasons in incident.found if trouble.matter is Matter.VIP for reason in reasons]
    return [s for s in incident.services if any(reason.startswith(f"{s}: ") for reason in found)]


def _failed_since(incident: Incident) -> datetime | None:
    """Since when the VIP fails anew, where it has answered since the outages that were measured."""
    measured = max((o.first_good_at for o in incident.outages), default=None)
    began = [at for trouble, at in incident.began if trouble.matter is Matter.VIP and trouble in incident.troubles]
    return next((at for at in began if measured is not None and at > measured), None)


def _taker(incident: Incident) -> str:
    """Who took over first; the new MASTER is the old one again after its return."""
    first = next((n.text for n in incident.timeline if n.text.startswith("MASTER moved")), "")
    return first.rpartition(" to ")[2] or str(incident.new_master)


def _at_return(incident: Incident, measured: OutageMeasured) -> bool:
    if incident.returned_at is None:
        return False
    return abs((measured.first_bad_at - incident.returned_at).total_seconds()) < 5 and _apart(incident)


def _apart(incident: Incident) -> bool:
    """Whether the return is far enough from the move for an outage to be told apart by its time."""
    assert incident.returned_at is not None
    assert incident.moved_at is not None
    return (incident.returned_at - incident.moved_at).total_seconds() > 5


def no_outage(incident: Incident) -> str:
    """What is known of whether the VIP answered, where no outage of it was measured."""
    if _fails(incident, Matter.VIP):
        return f"VIP unreachable ({listed(incident.services)}), not back yet"
    if _unmeasured(incident):
        return UNMEASURED
    if incident.unwatched:
        return "whether the VIP answered all the time is not known: the bot was not running when it moved"
    return "no probe of the VIP failed"


def _fails(incident: Incident, matter: Matter) -> bool:
    """Whether something of *matter* is wrong just now."""
    return any(t.matter is matter for t in incident.troubles)


def _unmeasured(incident: Incident) -> bool:
    """Whether the VIP was unreachable, and is not, and no probe saw both ends of that: the bot was away meanwhile."""
    felt = any(t.matter is Matter.VIP for t in incident.seen)
    return felt and not incident.outages and not _fails(incident, Matter.VIP)


def _outages(outages: tuple[OutageMeasured, ...]) -> str:
    """How long the VIP was unreachable, as the probes of all its services together bound it; empty for no outage."""
    return outage(*outages) if outages else ""


def summary(incident: Incident, deeds: Sequence[Deed] = ()) -> list[str]:
    """What is said when it is over: how long, what was affected, who acted (*deeds*)."""
    assert incident.resolved_at is not None
    lasted = span((incident.resolved_at - incident.began_at).total_seconds())
    failed = sum(o.failed for o in incident.outages)
    # What began again within minutes is one incident: it did not last all of that time.
    took = f"It began {incident.changes + 1} times within {lasted}" if incident.changes else f"It lasted {lasted}"
    found = [took + (f"; {plural(failed, 'probe')} of the VIP failed" if failed else "")]
    affected = [*incident.services, *incident.also_down]
    if affected:
        found.append(f"Affected: {_few(list(dict.fromkeys(affected)))}")
    if incident.acknowledged_by is not None:
        found.append(f"{incident.acknowledged_by.name} was on it")
    acted = [d for d in deeds if d.at != incident.acknowledged_at]
    done = [f"{d.by.name} at {moment(d.at, incident.resolved_at)}: {d.what}" for d in acted]
    found += done[:MOST_DEEDS] + ([f"and {len(done) - MOST_DEEDS} more deeds"] if len(done) > MOST_DEEDS else [])
    if incident.reminders:
        found.append(f"It was told again {plural(incident.reminders, 'time')}")
    return found
