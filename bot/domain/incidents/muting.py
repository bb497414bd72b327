"""Which mutes keep an incident from being told: those of all that it is called by, and not of one of its effects."""

from __future__ import annotations

from datetime import datetime

from bot.domain.incidents.kinds import primary
from bot.domain.incidents.story import Incident
from bot.domain.mutes import Mute, Mutes


def mute_of(incident: Incident, mutes: Mutes, now: datetime) -> Mute | None:
    """The mute that covers *incident* at *now*; None where something that it is called by is not muted.

    Whoever mutes what a story is called by while it is open has seen all of it. What was muted before covers no more
    than itself: a real server that is being worked on must not keep an outage of the site back.
    """
    if not mutes.by_subject:
        return None  # as nearly always: nothing has to be worked out for it
    seen = mutes.of(incident.cluster, {incident.subject}, now)
    if seen is not None and seen.since >= incident.opened_at:
        return seen
    found = [mutes.of(incident.cluster, names, now) for names in _leading(incident)]
    covering = [mute for mute in found if mute is not None]
    return min(covering, key=lambda m: m.until) if covering and len(covering) == len(found) else None


def was_muted(incident: Incident, mutes: Mutes, at: datetime) -> bool:
    """Whether everything that *incident* is called by was muted at *at*, which may be some time ago."""
    if not mutes.by_subject and not mutes.over:
        return False
    return all(mutes.held(incident.cluster, names, at) for names in _leading(incident))


def was_announced(incident: Incident, mutes: Mutes) -> bool:
    """Whether maintenance was announced for everything that *incident* is called by before it began."""
    if not mutes.by_subject and not mutes.over:
        return False
    began = incident.began_at
    return all(mutes.held(incident.cluster, names, began, maintenance=True) for names in _leading(incident))


def _leading(incident: Incident) -> tuple[frozenset[str], ...]:
    """The names of each trouble that *incident* is called by; a mute of any name of one covers that one."""
    first = primary(incident)
    if first is None:
        return (frozenset({incident.subject}),)
    leading = [t for t in incident.troubles or incident.seen if t.matter is first.matter] or [first]
    # Who lost the role is what a failover is about, too: work on a director is announced for the director.
    moved = {n for n in (incident.old_master, incident.lost) if n} if len(leading) == 1 else set()
    return tuple(frozenset({t.subject, *filter(None, (t.of,)), *moved}) for t in sorted(leading))
