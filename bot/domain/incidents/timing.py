"""What time alone makes due for incidents: the end of a calm, a reminder, an escalation. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.domain.events import Due
from bot.domain.incidents.kinds import TAKEN_OUT
from bot.domain.incidents.story import Incident, Incidents, Kind
from bot.domain.troubles import Matter

# What nobody is woken for: it can wait for the morning, or it was meant.
MILD = frozenset(
    {
        Kind.FAILBACK,
        Kind.WEIGHT_CHANGED,
        Kind.TABLES_DIFFER,
        Kind.CERTIFICATE_EXPIRING,
        Kind.EVENTS_MISSED,
        Kind.AGENT_SILENT,
        Kind.AGENT_COMPLAINS,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long an incident may stay open and unacknowledged. None: it is never reminded of, or never escalated."""

    remind_after: timedelta | None
    escalate_after: timedelta | None


def serious(incident: Incident) -> bool:
    """Whether somebody has to be called for *incident* when nobody takes it."""
    return incident.kind not in MILD and not (incident.planned and not incident.services)


def due(
    incidents: Incidents, now: datetime, patience: Patience, muted: Callable[[Incident], bool]
) -> Iterator[tuple[Incident, Due]]:
    """What has become due by *now*; each of them once, for its effect is that it no longer is."""
    for incident in incidents.open:
        if not incident.troubles:
            if incident.calm_until is not None and now >= incident.calm_until:
                yield incident, Due.CALM
            continue
        if not incident.due(now) or muted(incident):
            continue
        if _is_worse(incident, now):
            yield incident, Due.WORSE
        if incident.acknowledged_by is not None:
            continue
        if _is_to_be_escalated(incident, now, patience):
            yield incident, Due.ESCALATION
        since = incident.reminded_at or incident.opened_at
        if patience.remind_after is not None and now - since >= patience.remind_after:
            yield incident, Due.REMINDER


def _is_to_be_escalated(incident: Incident, now: datetime, patience: Patience) -> bool:
    after = patience.escalate_after
    return (
        after is not None and incident.escalated_at is None and serious(incident) and now - incident.opened_at >= after
    )


def _is_worse(incident: Incident, now: datetime) -> bool:
    """Whether a VIP stays unreachable in a story that was told as a smaller one: an edit of that rings no phone.

    A dead real server is taken out of the table after a while; where none is left, there is nothing to wait for.
    """
    since, told = incident.felt_since, incident.worse_at
    if since is None or (told is not None and told >= since):
        return False
    empty = any(t.matter is Matter.SERVICE and t.subject in incident.emptied for t in incident.troubles)
    return empty or now - since >= TAKEN_OUT
