"""Which incident a trouble belongs to: by what explains what, and by when that was."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from bot.domain.copies import replace
from bot.domain.incidents.apart import (
    AGAIN_WITHIN,
    APART,
    BREAKS_IT,
    OF_KEEPALIVED,
    UNHEARD,
    fell_at,
    fell_unseen,
    felt_of,
    idle_keys,
    is_known,
    is_last,
    is_later,
    is_old,
    is_out,
    is_restless,
    nobody_answers,
    was_put_back,
)
from bot.domain.incidents.causes import fresh
from bot.domain.incidents.joining import handed_over, merged, opened
from bot.domain.incidents.kinds import (
    BURST,
    FELT,
    MINOR,
    OF_INSTANCES,
    TAKEN_OUT,
    is_felt_only,
    is_minor,
    primary,
    takeover,
)
from bot.domain.incidents.links import Links
from bot.domain.incidents.present import services_of
from bot.domain.incidents.story import PLANNED, Cause, Incident, Kind
from bot.domain.incidents.work import Work
from bot.domain.situation import ASIDE, LATE
from bot.domain.troubles import Matter, Trouble

PLACES = {matter: place for place, matter in enumerate(Matter)}
REASONS = OF_KEEPALIVED | {Matter.VACANCY, Matter.NAT, Matter.TABLE, Matter.CHECKER, Matter.WEIGHT}
FAILS_ALL = BREAKS_IT | {Matter.SERVICE}
TOTAL = frozenset({*FELT, Matter.VACANCY})  # what makes nobody be served any more
OVER_WITH = PLANNED | {Cause.REMOVED}


def gathered(work: Work, trouble: Trouble) -> Incident:
    """The open incident *trouble* belongs to. Where it joins several they become one; where none, one opens."""
    own = work.links(trouble)
    related = _related(work, trouble, own)
    if not related:
        return _again(work, trouble) or _not_over(work, trouble, own) or opened(work, trouble)
    owner = next((i for i in related if trouble in i.troubles), None)
    if owner is not None and (settled := _settled(work, trouble, owner)) is not None:
        return settled
    if trouble.matter is Matter.VIP:
        # An effect stays where it was found: what else could explain it by now is told for itself.
        related = [owner] if owner is not None else related
    untold = not any(trouble in i.seen or i.due(work.at) for i in related)
    if untold or (trouble.matter is Matter.REAL_SERVER and all(is_felt_only(i) for i in related)):
        # What it does was felt before it was known to be there again: the story that goes on is its own.
        again = _again(work, trouble)
        if again is not None:
            for other in related:
                again = merged(work, again, other)
            return again
    # What it is called by goes on as it.
    first, *others = sorted(related, key=lambda i: (is_minor(i), primary(i) != trouble, i.id))
    fresh = trouble.matter is Matter.VIP and is_restless(work, first)
    goes_on = not first.troubles and trouble in first.seen  # it flaps, and is held open
    small = trouble.matter not in MINOR and is_minor(first) and first.due(work.at) and not fresh and not goes_on
    lost = trouble.matter is Matter.DIRECTOR and trouble not in first.troubles
    if small or (lost and is_last(work, trouble, first)):
        # People have been told of a small thing; its cause is news, and a change of an old message is not. Nor is
        # it where one director's loss was told long ago, and the last one is lost now.
        first, others = opened(work, trouble), related
    # That clients feel it does not prove that what may have caused it is one story.
    for other in others if trouble.matter is not Matter.VIP else ():
        if not _are_apart(work, first, other):
            first = merged(work, first, other)
    return first


def _settled(work: Work, trouble: Trouble, owner: Incident) -> Incident | None:
    """The story that *trouble*, which is *owner*'s, belongs to for good; None where it may be part of another still."""
    if trouble.matter is Matter.VIP and (cause := _real_cause(work, trouble, owner)) is not None:
        return handed_over(work, owner, cause, trouble)
    # What has been there for so long is not what made anything else happen just now.
    return owner if is_old(work, owner) or is_known(work, owner) else None


def _real_cause(work: Work, vip: Trouble, owner: Incident) -> Incident | None:
    """The story that tells why *vip* fails, where *owner* is only that a real server fell some time before it began.

    A dead one fails some clients of its own services until it is out of the table. An empty table, say, fails all; so
    does the last real server of a service that falls a while after the first.
    """
    servers = {t for t in owner.seen if t.matter is Matter.REAL_SERVER}
    if not servers or not all(t.matter in MINOR or t == vip for t in owner.seen):
        return None
    since, own = dict(owner.began), work.links(vip)
    began = since[vip]
    if began - max(fell_at(work, t, since.get(t, began)) for t in servers) <= APART:
        return None
    for incident in work.opens():
        causes = [t for t in incident.troubles if t.matter in FAILS_ALL and work.links(t).explains & own.needs]
        near = [t for t in causes if abs(dict(incident.began)[t] - began) <= UNHEARD]
        moved = all(t.matter is Matter.ROLE for t in near)  # clients need not feel that
        if incident.id == owner.id or not near or (moved and _fails_for(work, vip, {t.subject for t in servers})):
            continue
        if _belongs(work, vip, own, incident):
            return incident
    return None


def _fails_for(work: Work, vip: Trouble, servers: Collection[str]) -> bool:
    """Whether *vip* fails only in services that have one of *servers*, which are dead, among their real servers."""
    failing = work.situation.vip_troubles(services_of(work.cluster, work.cluster.vrrp_instance(vip.subject)))
    return all(any(work.situation.healthy(s, server) is False for server in servers) for s in failing)


def _related(work: Work, trouble: Trouble, own: Links) -> list[Incident]:
    """The open incidents that *trouble* has to do with; its own is one of them."""
    related = [
        i
        for i in work.opens()
        if _belongs(work, trouble, own, i) or _burst(work, trouble, i) or _went_along(work, trouble, i)
    ]
    owner = next((i for i in related if trouble in i.troubles), None)
    if owner is None:
        return related
    if trouble.matter is Matter.REAL_SERVER:
        # Out of the table it makes nothing happen; but what explains it may be known only now.
        out = [i for i in related if i is not owner and is_out(work, trouble.subject, owner, i)]
        related = [i for i in related if i not in out or own.needs & i.explains]
    # What it may have explained, had that begun with the move, is told for itself.
    return [i for i in related if i is owner or not _are_apart(work, owner, i)]


def _are_apart(work: Work, one: Incident, other: Incident) -> bool:
    """Whether one of the two began long after the other one's move."""
    pairs = ((move, t) for move, later in ((one, other), (other, one)) for t in later.troubles - move.troubles)
    return any(is_later(work, t, move) and not _belongs(work, t, work.links(t), move) for move, t in pairs)


def with_past(work: Work, incident: Incident, trouble: Trouble) -> Incident:
    """*incident* with those effects of *trouble* that were over before it was heard of.

    Signals of one event come by different ways: what a director says of it may be later than the last that the
    probes see of it. Whether they belong together is a matter of when it was, and not of when that was heard.
    """
    since, until = work.when(trouble)
    own = work.links(trouble)
    for other in [i for i in work.by_id.values() if i.resolved_at is not None and not i.withdrawn]:
        assert other.resolved_at is not None
        felt = _felt_at_first(work, trouble, other)
        aside = TAKEN_OUT if felt else ASIDE
        lasted = other.began_at - aside <= until and since <= other.resolved_at + aside
        if trouble.matter is Matter.ROLE:
            # What was there long before is none of it: what a move makes begins while that is waited for, or then.
            lasted = lasted and other.began_at >= since - takeover(work.cluster.vrrp_instance(trouble.subject))
        first = primary(other)
        effect = first is not None and PLACES[trouble.matter] < PLACES[first.matter]
        if (effect or felt) and lasted and other.id != incident.id and own.explains & other.needs:
            incident = merged(work, incident, other)
    return incident


def _felt_at_first(work: Work, trouble: Trouble, other: Incident) -> bool:
    """Whether *trouble* is a dead real server, and *other*, which waits for such, what its first clients felt of it.

    Where a scheduler sends every second connection to a dead one, the VIP fails, and is well again, before the probes
    of the real server have failed often enough.
    """
    return trouble.matter is Matter.REAL_SERVER and is_felt_only(other) and not other.due(work.at)


def _not_over(work: Work, trouble: Trouble, own: Links) -> Incident | None:
    """The incident that *trouble* began in and outlasts: it was called over too early, for want of that word."""
    since, until = work.when(trouble)
    for incident in sorted(work.by_id.values(), key=lambda i: -i.id):
        ended = incident.resolved_at
        if ended is None or incident.withdrawn or work.at - ended > LATE:
            continue
        if incident.began_at - ASIDE <= until and since <= ended and own.meet(incident.explains, incident.needs):
            again = replace(incident, resolved_at=None)
            work.by_id[again.id] = again
            return again
    return None


def _belongs(work: Work, trouble: Trouble, own: Links, incident: Incident) -> bool:
    """Whether *trouble* has a cause in common with *incident*, by its links and by when that was."""
    if trouble in incident.troubles:
        return True
    if was_put_back(work, trouble, incident) or fell_unseen(work, trouble, own, incident):
        return False
    lost = trouble.matter is Matter.DIRECTOR and any(t.matter is Matter.DIRECTOR for t in incident.troubles)
    if lost and nobody_answers(work):
        return True  # whatever it is, it is what they have in common
    if not (is_old(work, incident) or is_later(work, trouble, incident)):
        if trouble.matter in TOTAL and not is_minor(incident) and not is_restless(work, incident):
            # A real server that has been out of the table for a while makes no client fail now, nor does a standby.
            return Links(explains=own.explains, needs=own.needs - idle_keys(work)).meet(
                incident.explains, incident.needs
            )
        return trouble in incident.seen or own.meet(incident.explains, incident.needs)
    # The move is over, with all that it did. What is still of it is what became of the director that lost the role:
    # and what that does not hold any more it can neither lose nor give away.
    if trouble.matter in REASONS and any(own.explains & work.links(t).needs for t in felt_of(incident)):
        return True  # why clients reach nobody since the move may be found late
    if trouble.matter in OF_INSTANCES or trouble.matter in TOTAL:
        return False
    by_checks = trouble.matter is Matter.REAL_SERVER and not work.situation.failing_probes(trouble.subject)
    if by_checks and work.situation.complaining(trouble.subject) <= {incident.old_master}:
        return True  # what it alone finds dead it may not reach: it is cut off, say, and that is not known yet
    explains, needs = (
        frozenset(k for k in keys if not k.startswith(("role:", "vip:")) and k.endswith(f":{incident.old_master}"))
        for keys in (incident.explains, incident.needs)
    )
    return own.meet(explains, needs)


def _burst(work: Work, trouble: Trouble, incident: Incident) -> bool:
    """Whether *trouble* is one more of the real servers that just fell together."""
    return (
        trouble.matter is Matter.REAL_SERVER
        and incident.kind is Kind.REAL_SERVER_DOWN
        and not incident.changes
        and work.at - incident.opened_at <= BURST
        and work.find(lambda i: trouble in i.troubles) is None  # one that fell long ago does not fall now
    )


def _went_along(work: Work, trouble: Trouble, incident: Incident) -> bool:
    """Whether *trouble* is of a director that lost its role and is not heard any more: it shares that cause."""
    old, moved_at = incident.old_master, incident.moved_at
    if old is None or moved_at is None or incident.returned_at is not None or work.at - moved_at < UNHEARD:
        return False
    match trouble.matter:
        case Matter.AGENT | Matter.BLIND:
            director: str | None = trouble.subject
        case Matter.REAL_SERVER:
            director = work.cluster.real_server(trouble.subject).host
        case _:
            return False
    known = work.situation.answers.get(old)
    heard = known is not None and known.answer.answered and fresh(known, moved_at)
    return director == old and not heard


def _again(work: Work, trouble: Trouble) -> Incident | None:
    """The incident that was called by *trouble* and is over since a moment ago: it goes on."""
    for incident in sorted(work.by_id.values(), key=lambda i: -i.id):
        ended = incident.resolved_at
        if ended is None or incident.withdrawn or work.at - ended > AGAIN_WITHIN:
            continue
        first = primary(incident)
        felt = trouble.matter is Matter.VIP and trouble in incident.seen and first is not None and is_minor(incident)
        if not (first == trouble or felt) or (trouble.matter is Matter.ROLE and not _moves_on(work, trouble, incident)):
            continue
        again = replace(incident, resolved_at=None, changes=incident.changes + 1, calm_from=None, calm_until=None)
        if trouble.matter is Matter.ROLE:
            again = unmoved(again)
        work.by_id[again.id] = again
        return again
    return None


def _moves_on(work: Work, role: Trouble, incident: Incident) -> bool:
    """Whether *incident*, a move that is over, goes on in the one of just now: that is seldom for the same reason.

    It does where this is but the rest of that move, and where it is at least the third one within minutes.
    """
    ended = incident.resolved_at
    if ended is None or incident.cause in OVER_WITH:
        return False  # that one was meant, or was no move
    before = (i for i in work.by_id.values() if i.id != incident.id and role in i.seen)
    gaps = (incident.began_at - i.resolved_at for i in before if i.old_master and i.resolved_at and not i.withdrawn)
    third = any(timedelta(0) <= gap <= AGAIN_WITHIN for gap in gaps)
    return third or work.at - ended <= takeover(work.cluster.vrrp_instance(role.subject))


def unmoved(incident: Incident) -> Incident:
    """*incident* without its last move and what was known of that: the MASTER moves anew."""
    return replace(
        incident,
        old_master=None,
        new_master=None,
        returned_at=None,
        back_in=None,
        old_boot=None,
        old_behind_s=None,
        cause=Cause.UNKNOWN,
        # What of this still is so is found again at once; what was so tells nothing of this move.
        said="",
        evidence=(),
        found=(),
        also_down=(),
        inside=(),
        lost=None,
    )
