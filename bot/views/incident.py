"""One incident as one message: what is broken for users, why, since when, how long, and that it is over."""

from __future__ import annotations

from datetime import datetime

from bot.domain.events import OutageMeasured
from bot.domain.incidents import Cause, Incident, Kind, Matter, Trouble
from bot.views.blocks import Block, context, limited, section
from bot.views.message import SlackMessage
from bot.views.words import clock, cut, escape, listed, outage, slack_time, span

RED, AMBER, GREEN = ":red_circle:", ":large_yellow_circle:", ":large_green_circle:"

WHY = {
    Cause.UNKNOWN: "why is not known: {old} answers and keepalived runs there",
    Cause.DIED: "unplanned: {old} does not answer",
    Cause.STOPPED: "planned: keepalived was stopped on {old}",
    Cause.RESTARTED: "planned: keepalived was restarted on {old}",
    Cause.FAILED: "unplanned: keepalived failed on {old}",
    Cause.FAULT: "unplanned: {old} reported FAULT",
    Cause.PREEMPTED: "expected: {new} has the higher priority",
}


def incident_message(incident: Incident) -> SlackMessage:
    """*incident* as it stands now."""
    title = headline(incident)
    icon = _icon(incident)
    blocks: list[Block] = [section(f"{icon} *{escape(title)}*")]
    found = facts(incident)
    if found:
        blocks.append(section("\n".join(f"• {escape(fact)}" for fact in found)))
    when = f"since {slack_time(_began(incident))}"
    if incident.resolved_at:
        lasted = span((incident.resolved_at - _began(incident)).total_seconds())
        when += f" · over at {slack_time(incident.resolved_at)} after {lasted}"
    blocks.append(context(f"incident {incident.id} · {escape(incident.cluster)} · {when}"))
    return SlackMessage(text=cut(f"{icon} {escape(title)}", 3000), blocks=limited(blocks))


def _began(incident: Incident) -> datetime:
    """When users could first have felt it: the first failed probe, if there was one before it was noticed."""
    return min((incident.opened_at, *(o.first_bad_at for o in incident.outages)))


def resolution_message(incident: Incident) -> SlackMessage:
    """What is said in the thread when *incident* is over: the story, stage by stage."""
    lines = [f"{clock(note.at)}  {note.text}" for note in incident.timeline if note.text]
    text = f"{GREEN} {escape(headline(incident))}"
    blocks: list[Block] = [section(f"*Over.* {escape(headline(incident))}")]
    if lines:
        blocks.append(section("```" + cut("\n".join(escape(line) for line in lines), 2900) + "```"))
    return SlackMessage(text=cut(text, 3000), blocks=limited(blocks))


def headline(incident: Incident) -> str:
    """The one sentence that a phone shows."""
    over = incident.resolved_at is not None
    if incident.withdrawn:
        return _withdrawn(incident)
    match incident.kind:
        case Kind.FAILOVER:
            return _failover(incident)
        case Kind.SPLIT_BRAIN:
            holders = listed(incident.holders) or "more than one director"
            return f"{incident.subject}: split brain {'is over' if over else f'— {holders} hold the address'}"
        case Kind.VIP_UNREACHABLE:
            if over:
                took = _outages(incident.outages)
                return f"{incident.subject}: the VIP answers again" + (
                    f", it was unreachable for {took}" if took else ""
                )
            return (
                f"{incident.subject}: the VIP does not answer ({listed(incident.services)}); no director has taken over"
            )
        case Kind.DIRECTOR_LOST:
            return f"{incident.subject} is back" if over else f"{incident.subject} does not answer"
        case Kind.REAL_SERVER_DOWN:
            return f"{incident.subject} is up again" if over else f"{incident.subject} is down"
        case Kind.AGENT_SILENT:
            if over:
                return f"The agent on {incident.subject} reports in again"
            return f"The agent on {incident.subject} is silent: its keepalived events do not reach the bot"
        case _:
            return f"{incident.subject}: {incident.kind.value}{' is over' if over else ''}"


def _withdrawn(incident: Incident) -> str:
    if incident.part_of is not None:
        return f"{incident.subject} is down: part of incident {incident.part_of}"
    if incident.kind is Kind.FAILOVER:
        return f"{incident.subject}: nothing moved, {incident.new_master} does not hold the address after all"
    return f"{incident.subject}: a false alarm"


def _failover(incident: Incident) -> str:
    old, new = incident.old_master, incident.new_master
    if not incident.settled:
        return f"{incident.subject}: {new} says it is MASTER now (before: {old}); no roll call could confirm it yet"
    if incident.returned_at:
        return f"{incident.subject}: {new} is MASTER again"
    if incident.resolved_at and incident.cause is not Cause.PREEMPTED:
        return f"{incident.subject}: {new} is MASTER, {old} stands by again"
    why = WHY.get(incident.cause, incident.cause.value).format(old=old, new=new)
    return f"{incident.subject} failed over: {old} → {new} ({why})"


def facts(incident: Incident) -> list[str]:
    """What is known of *incident*, a sentence each."""
    found: list[str] = []
    if incident.withdrawn:
        return found
    if incident.kind is Kind.FAILOVER and incident.moved_at:
        found += _failover_facts(incident)
    elif incident.kind is Kind.REAL_SERVER_DOWN:
        found += [f"was: {e}" for e in incident.evidence] if incident.resolved_at else list(incident.evidence)
    elif not incident.resolved_at:
        found += list(incident.evidence)
    if incident.also_down:
        found.append(f"{listed(incident.also_down)} went with it: {_inside(incident)}")
    return found


def _inside(incident: Incident) -> str:
    return f"inside {incident.lost}" if incident.lost else "at the same time"


def _failover_facts(incident: Incident) -> list[str]:
    facts = []
    if incident.resolved_at or incident.returned_at:
        why = WHY.get(incident.cause, incident.cause.value).format(old=incident.old_master, new=_taker(incident))
        facts.append(f"MASTER had moved {incident.old_master} → {_taker(incident)} ({why})")
    took = _outages(tuple(o for o in incident.outages if not _at_return(incident, o)))
    facts.append(f"VIP unreachable for {took}" if took else _no_outage(incident))
    if incident.returned_at:
        back = _outages(tuple(o for o in incident.outages if _at_return(incident, o)))
        facts.append(f"on the way back: {f'unreachable for {back}' if back else 'no probe failed'}")
    if incident.lost and Trouble(matter=Matter.DIRECTOR, subject=incident.lost) in incident.troubles:
        facts.append(f"{incident.lost} does not answer: there is no second director until it is back")
    return facts


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


def _no_outage(incident: Incident) -> str:
    if incident.services and not incident.resolved_at:
        return f"VIP unreachable ({listed(incident.services)}), not back yet"
    return "no probe of the VIP failed"


def _outages(outages: tuple[OutageMeasured, ...]) -> str:
    """How long the VIP was unreachable, as the probes of all its services together bound it; empty for no outage."""
    return outage(*outages) if outages else ""


def _icon(incident: Incident) -> str:
    if incident.resolved_at or (incident.withdrawn and incident.part_of is None):
        return GREEN
    if incident.kind in (Kind.VIP_UNREACHABLE, Kind.SPLIT_BRAIN) or (incident.services and not incident.outages):
        return RED
    return AMBER
