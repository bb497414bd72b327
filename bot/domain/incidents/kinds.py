"""What an incident is called: by the cause among its troubles, and how long each kind waits before it is told."""

from __future__ import annotations

from datetime import timedelta

from bot.domain.copies import replace
from bot.domain.fleet import Cluster, VrrpInstance
from bot.domain.incidents.story import PLANNED, Cause, Incident, Kind
from bot.domain.troubles import Matter, Trouble

# An incident is called by the first of these that belongs to it: causes before effects, the worse before the less bad.
PRECEDENCE = (
    Matter.CONTEST,
    Matter.ROLE,
    Matter.DIRECTOR,
    Matter.PROCESS,
    Matter.UNIT,
    Matter.ADDRESS,
    Matter.VACANCY,
    Matter.TABLE,
    Matter.CHECKER,
    Matter.SERVICE,
    Matter.NAT,
    Matter.VIP,
    Matter.REAL_SERVER,
    Matter.WEIGHT,
    Matter.DIFFERENCE,
    Matter.CERTIFICATE,
    Matter.BLIND,
    Matter.AGENT,
    Matter.COMPLAINT,
    Matter.STREAM,
    Matter.SENSE,
)
PLACES = {matter: place for place, matter in enumerate(PRECEDENCE)}
# What a restart puts right: it is the story then, and not the short move that the restart makes.
CURED = frozenset({Matter.PROCESS, Matter.TABLE, Matter.CHECKER, Matter.NAT})
# What clients feel, and where it stands before a move that was made because of it.
FELT = {Matter.SERVICE: 0.45, Matter.VIP: 0.4}
KINDS = {
    Matter.CONTEST: Kind.SPLIT_BRAIN,
    Matter.ROLE: Kind.FAILOVER,
    Matter.DIRECTOR: Kind.DIRECTOR_LOST,
    Matter.PROCESS: Kind.KEEPALIVED_FROZEN,
    Matter.UNIT: Kind.KEEPALIVED_STOPPED,
    Matter.ADDRESS: Kind.VIP_REMOVED,
    Matter.VACANCY: Kind.NO_MASTER,
    Matter.TABLE: Kind.TABLE_REMOVED,
    Matter.CHECKER: Kind.CHECKER_STOPPED,
    Matter.SERVICE: Kind.SERVICE_DOWN,
    Matter.NAT: Kind.NAT_BROKEN,
    Matter.VIP: Kind.VIP_UNREACHABLE,
    Matter.REAL_SERVER: Kind.REAL_SERVER_DOWN,
    Matter.WEIGHT: Kind.WEIGHT_CHANGED,
    Matter.DIFFERENCE: Kind.TABLES_DIFFER,
    Matter.CERTIFICATE: Kind.CERTIFICATE_EXPIRING,
    Matter.BLIND: Kind.NO_WAY_IN,
    Matter.AGENT: Kind.AGENT_SILENT,
    Matter.COMPLAINT: Kind.AGENT_COMPLAINS,
    Matter.STREAM: Kind.EVENTS_MISSED,
    Matter.SENSE: Kind.BOT_BLIND,
}

ROLL_CALL_HOLD = timedelta(seconds=5)  # how long a claim waits for a roll call before it is told as a claim
HOST_HOLD = timedelta(seconds=15)  # how long a real server waits for word of the director that it lives inside of
LOST_HOLD = timedelta(seconds=15)  # how long a director that is silent alone is asked again before it counts as lost
AGENT_HOLD = timedelta(seconds=30)  # a dead director may take that long to be found lost; an agent alone is no hurry
HEARTBEAT_HOLD = timedelta(seconds=10)  # two heartbeats: how long a director can answer before its agent is heard
STREAM_HOLD = timedelta(seconds=20)  # how long a missed event waits for word that its agent is silent
DIFFERENCE_HOLD = timedelta(seconds=12)  # how long what nothing was said of waits for the word that is on its way
TAKEN_OUT = timedelta(seconds=15)  # how long clients of a VIP may feel a real server that has just died
BURST = timedelta(seconds=10)  # real servers that fall within this are one story until a cause is known

MINOR = frozenset({Matter.REAL_SERVER, Matter.AGENT, Matter.STREAM, Matter.WEIGHT, Matter.DIFFERENCE, Matter.BLIND})
"""Troubles that are rather told as part of a greater one than the other way round."""

OF_INSTANCES = frozenset({Matter.ROLE, Matter.CONTEST, Matter.VACANCY, Matter.ADDRESS, Matter.VIP})
"""Troubles whose subject is a VRRP instance."""

CLEAR_AT_ONCE = frozenset(
    {
        Matter.CONTEST,
        Matter.TABLE,
        Matter.CHECKER,
        Matter.NAT,
        Matter.WEIGHT,
        Matter.CERTIFICATE,
        Matter.COMPLAINT,
        Matter.SENSE,
    }
)
"""Troubles that were confirmed before they became one: there is nothing to wait for."""


def primary(incident: Incident) -> Trouble | None:
    """The trouble that *incident* is called by; None for one that has none yet."""
    if len(incident.seen) < 2:
        return next(iter(incident.seen), None)
    return min(incident.seen, key=lambda t: (_rank(t.matter, incident), t))


def is_minor(incident: Incident) -> bool:
    """Whether *incident* is rather told as part of a greater one."""
    first = primary(incident)
    return first is not None and first.matter in MINOR


def is_felt_only(incident: Incident) -> bool:
    """Whether all that is known of *incident* is that a VIP does not answer."""
    return {t.matter for t in incident.seen} == {Matter.VIP}


def _rank(matter: Matter, incident: Incident) -> float:
    """Where *matter* stands among the causes. A move that somebody meant is the cure of what was wrong before."""
    if incident.cause in PLANNED and matter in CURED:
        return PLACES[Matter.ROLE] - 0.5
    if matter in FELT and _was_moved_for(matter, incident):
        return PLACES[Matter.ROLE] - FELT[matter]
    if matter is Matter.VIP and not any(t.matter is Matter.VIP for t in incident.troubles):
        # Until keepalived has taken a dead real server out, some clients fail: that was its effect, and is over.
        return PLACES[Matter.REAL_SERVER] + 0.5
    return PLACES[matter]


def _was_moved_for(matter: Matter, incident: Incident) -> bool:
    """Whether somebody moved the MASTER when clients had felt *matter* for a while: to mend it, and not what broke it.

    It lasts, or the move was in the middle of it: in a story that began anew, clients may have felt the last move.
    """
    moved_at = incident.moved_at
    if incident.cause not in PLANNED or moved_at is None or moved_at - incident.opened_at <= TAKEN_OUT:
        return False
    lasts = any(t.matter is matter for t in incident.troubles)
    around = any(o.first_bad_at <= moved_at - TAKEN_OUT and moved_at <= o.first_good_at for o in incident.outages)
    return lasts or (matter is Matter.VIP and around)


def named(incident: Incident, cluster: Cluster) -> Incident:
    """*incident* called by what is known of it now."""
    first = primary(incident)
    if first is None:
        return incident
    kind = KINDS[first.matter]
    lost = {t.subject for t in incident.troubles if t.matter is Matter.DIRECTOR}
    if incident.kind is Kind.DIRECTORS_LOST or (lost and lost >= {d.name for d in cluster.directors}):
        return replace(incident, kind=Kind.DIRECTORS_LOST, subject=cluster.name)
    return replace(incident, kind=_narrowed(kind, incident), subject=first.subject)


def _narrowed(kind: Kind, incident: Incident) -> Kind:
    """*kind* by the finer differences that the cause and the evidence make."""
    if kind is Kind.FAILOVER and incident.cause is Cause.PREEMPTED:
        return Kind.FAILBACK
    if kind is Kind.FAILOVER and incident.cause is Cause.REMOVED:
        return Kind.VIP_REMOVED
    if kind is Kind.DIRECTOR_LOST and incident.cause is Cause.PAUSED:
        return Kind.DIRECTOR_PAUSED
    if kind is Kind.KEEPALIVED_FROZEN and not any("frozen" in e for e in incident.evidence):
        return Kind.KEEPALIVED_RESTARTING
    if kind is Kind.KEEPALIVED_STOPPED and any("failed" in e or "FAULT" in e for e in incident.evidence):
        return Kind.KEEPALIVED_FAILED
    return kind


def takeover(instance: VrrpInstance) -> timedelta:
    """How long a takeover of *instance* can take (RFC 5798), and a little."""
    return timedelta(seconds=instance.takeover_s + 1.5)


def hold_of(trouble: Trouble, cluster: Cluster) -> timedelta:
    """How long *trouble* waits for its cause before it is told as it is."""
    match trouble.matter:
        case Matter.VIP | Matter.VACANCY:
            return takeover(cluster.vrrp_instance(trouble.subject))  # one in progress explains it in a moment
        case Matter.REAL_SERVER:
            return HOST_HOLD if cluster.real_server(trouble.subject).host else timedelta(0)
        case Matter.SERVICE:
            servers = [cluster.real_server(m.real_server) for m in cluster.service(trouble.subject).members]
            return HOST_HOLD if any(s.host for s in servers) else timedelta(0)
        case Matter.DIRECTOR | Matter.BLIND:
            return LOST_HOLD
        case Matter.STREAM:
            return STREAM_HOLD
        case Matter.DIFFERENCE:
            return DIFFERENCE_HOLD
        case Matter.AGENT:
            return AGENT_HOLD
        case Matter.ROLE | Matter.ADDRESS | Matter.PROCESS | Matter.UNIT:
            return ROLL_CALL_HOLD
        case _:
            return timedelta(0)
