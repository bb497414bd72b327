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

from collections.abc import Callable
from datetime import datetime, timedelta

from bot.domain.copies import replace
from bot.domain.events import Recorded, RollCallTaken
from bot.domain.fleet import Cluster
from bot.domain.incidents.causes import tells_removal
from bot.domain.incidents.gathering import PLACES, gathered, with_past
from bot.domain.incidents.hearing import hear, was_missed
from bot.domain.incidents.joining import detailed, joined
from bot.domain.incidents.kinds import FELT, TAKEN_OUT, hold_of, is_felt_only, primary
from bot.domain.incidents.notes import well_again, words_for
from bot.domain.incidents.present import troubles_of
from bot.domain.incidents.roles import away, had_moved, moved
from bot.domain.incidents.settling import settle
from bot.domain.incidents.story import Incident, Incidents, Kind
from bot.domain.incidents.work import Context, Work
from bot.domain.situation import Situation
from bot.domain.troubles import Matter, Trouble

FIRST_CALM = timedelta(seconds=30)  # how long what flaps has to be calm before it counts as over; twice that each time
LONGEST_CALM = timedelta(minutes=10)

# What may pass before anybody was told it: then it was a mistake, or nothing that anybody has to know.
FORGIVEN = frozenset(
    {
        Kind.AGENT_SILENT,
        Kind.EVENTS_MISSED,
        Kind.NO_WAY_IN,
        Kind.DIRECTOR_LOST,
        Kind.DIRECTOR_PAUSED,
        Kind.TABLES_DIFFER,
    }
)


def fold(
    state: Incidents,
    before: Situation,
    after: Situation,
    recorded: Recorded,
    cluster: Cluster,
    context: Context | None = None,
) -> Incidents:
    """*state* after *recorded*, which took what is known of *cluster* from *before* to *after*."""
    work = Work(state, before, after, recorded, cluster, context or Context())
    hear(work)
    for instance in cluster.vrrp_instances:
        moved(work, instance, before.masters.get(instance.name), after.masters.get(instance.name))
    for director, name in before.missed.keys() - after.missed.keys():
        had_moved(work, cluster.vrrp_instance(name), director, before.missed[director, name])
    troubles = troubles_of(after, cluster)
    for trouble in sorted(troubles, key=lambda t: (PLACES[t.matter], t)):
        if not _is_told(work, trouble):
            _attach(work, trouble)
    if isinstance(recorded.event, RollCallTaken):
        settle(work, recorded.event)
    _close(work, troubles)
    _feel(work)
    return work.result()


def heard_again(state: Incidents, at: datetime, cluster: Cluster, told: Callable[[Incident], bool]) -> Incidents:
    """*state* when the bot is back at *at*: what it has not *told* waits anew for word, of which none came."""
    return replace(state, all=tuple(i if told(i) else _waiting(i, at, cluster) for i in state.all))


def _waiting(incident: Incident, at: datetime, cluster: Cluster) -> Incident:
    first = primary(incident)
    if not incident.open or incident.settled or first is None:
        return incident
    return replace(incident, hold_until=max(incident.hold_until, at + hold_of(first, cluster)))


def _is_told(work: Work, trouble: Trouble) -> bool:
    """Whether *trouble* is an address that was removed, and a move that was made by that tells of it."""
    if trouble.matter is not Matter.ADDRESS:
        return False
    instance = work.cluster.vrrp_instance(trouble.subject)
    moves = (i for i in work.by_id.values() if i.instance == instance.name and not i.withdrawn)
    return any(tells_removal(i, instance, work.situation) for i in moves)


def _attach(work: Work, trouble: Trouble) -> None:
    """Give *trouble* to the open incident that it has a cause in common with, or open one of its own."""
    owner = gathered(work, trouble)
    fresh = trouble not in owner.troubles
    owner = joined(work, with_past(work, owner, trouble) if fresh else owner, trouble)
    owner = detailed(work, owner, trouble)
    if fresh:
        work.put(owner, words_for(trouble, work.situation))
    elif owner != work.by_id.get(owner.id):
        work.put(owner)


def _close(work: Work, troubles: frozenset[Trouble]) -> None:
    """Let go of what is well again; an incident with nothing left is over, or over once it has stayed calm."""
    for incident in work.opens():
        left = frozenset(
            t for t in incident.troubles if (t in troubles if t.matter is not Matter.ROLE else away(work, incident))
        )
        for gone in sorted(incident.troubles - left):
            incident = work.put(incident, well_again(gone, incident))
        if left:
            if left != incident.troubles:
                work.put(replace(incident, troubles=left))
        elif not incident.due(work.at) and _is_forgiven(incident):
            work.put(replace(incident, troubles=left, withdrawn=True))
        elif incident.flapping and (incident.calm_from is None or incident.troubles):
            calm = min(FIRST_CALM * 2 ** (incident.changes - 3), LONGEST_CALM)
            work.put(replace(incident, troubles=left, settled=True, calm_from=work.at, calm_until=work.at + calm))
        elif incident.calm_from is None:
            work.put(_over(replace(incident, troubles=left, resolved_at=work.at), work.at))


def _is_forgiven(incident: Incident) -> bool:
    """Whether *incident*, which nobody was told of, has not to be told: clients never felt it, and no event is lost."""
    felt = any(t.matter in FELT for t in incident.seen)
    return incident.kind in FORGIVEN and not felt and not was_missed(incident)


def _over(incident: Incident, at: datetime) -> Incident:
    """*incident*, which has just ended: it may be told, unless what it was an effect of may still be heard of."""
    if is_felt_only(incident) and not incident.due(at):
        return replace(incident, hold_until=at + TAKEN_OUT)
    # Why an event was missed (its agent is silent) may be known a little later than that it was.
    return incident if was_missed(incident) and not incident.due(at) else replace(incident, settled=True)


def _feel(work: Work) -> None:
    """Note since when clients feel what was told as something smaller: where that lasts, it is news (Due.WORSE)."""
    for incident in work.opens():
        felt = any(t.matter in FELT for t in incident.troubles)
        was = work.was(incident)
        less = was is not None and (_was_told_as_less(work, was) or _is_nobody_left(work, was, incident))
        if felt and incident.felt_since is None and less:
            work.put(replace(incident, felt_since=work.at))
        elif not felt and incident.felt_since is not None:
            work.put(replace(incident, felt_since=None))


def _was_told_as_less(work: Work, was: Incident) -> bool:
    """Whether people know *was* as something that clients do not feel."""
    return was.due(work.at) and not any(t.matter is Matter.VIP for t in was.troubles)


def _is_nobody_left(work: Work, was: Incident, incident: Incident) -> bool:
    """Whether a service has just lost its last real server in a story that people know as something else.

    They know it as that where clients have felt it for a while.
    """
    before, now = (any(t.matter is Matter.SERVICE for t in i.troubles) for i in (was, incident))
    felt = any(t.matter is Matter.VIP and work.at - dict(was.began)[t] >= TAKEN_OUT for t in was.troubles)
    return was.due(work.at) and now and not before and not felt
