"""What directors say of their roles."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

from bot.domain.copies import replace
from bot.domain.events import VrrpState, VrrpStateChanged, VrrpStateObserved
from bot.domain.fleet import Cluster, VrrpInstance
from bot.domain.situation.known import (
    ASIDE,
    REMEMBERED,
    STATES,
    Claim,
    Said,
    Situation,
    by_our_clock,
    is_late,
    without,
)


def claimed(state: Situation, event: VrrpStateChanged, said: Said, cluster: Cluster) -> Situation:
    """*state* with what a director says of an instance: a claim, and where it is about now who is MASTER."""
    if event.state not in STATES:
        return state
    key = (event.director, event.instance)
    last, late = state.claims.get(key), is_late(state, event.director, said)
    if last is not None and late and said.said_at < last.said_at:
        return state  # it has said something newer since: an old word that was repeated changes nothing
    if last is not None and _is_repeated(said, last):
        return state
    before = (*last.before, Said(state=last.state, said_at=last.said_at, at=last.at)) if last else ()
    claim = Claim(state=said.state, at=said.at, said_at=said.said_at, before=before[-REMEMBERED:])
    masters, readdressed, missed = dict(state.masters), dict(state.readdressed), dict(state.missed)
    if event.state is VrrpState.MASTER and (late or _answered_since(state, key, said, cluster)):
        missed[key] = said
    elif event.state is VrrpState.MASTER:
        masters[event.instance] = event.director
        if _taken_again(state, event, claim, cluster.vrrp_instance(event.instance)):
            readdressed[event.instance] = (event.director, said.at)
    gone = event.state is VrrpState.STOP
    return replace(
        state,
        claims={**state.claims, key: claim},
        masters=masters,
        readdressed=readdressed,
        missed=missed,
        # A director whose keepalived stops or starts anew has an empty or a fresh table: its old verdicts are void.
        removed=without(state.removed, event.director) if gone else state.removed,
        quorumless=without(state.quorumless, event.director) if gone else state.quorumless,
        rumoured=without(state.rumoured, event.director) if gone else state.rumoured,
        returned=without(state.returned, event.director) if gone else state.returned,
    )


def _answered_since(state: Situation, key: tuple[str, str], said: Said, cluster: Cluster) -> bool:
    """Whether the director was asked after it became MASTER and did not hold the address any more: that is over."""
    director, name = key
    known = state.answers.get(director)
    if known is None or not known.answer.answered:
        return False
    vips = {str(v.ip) for v in cluster.vrrp_instance(name).virtual_addresses}
    asked_later = known.asked_at > by_our_clock(state, director, said.said_at) + ASIDE
    return asked_later and not vips & set(known.answer.holds)


def _is_repeated(said: Said, last: Claim) -> bool:
    """Whether *said* was heard already: an agent that got no receipt for a word sends it again."""
    words = (*last.before, Said(state=last.state, said_at=last.said_at, at=last.at))
    return any((word.state, word.said_at) == (said.state, said.said_at) for word in words)


def _taken_again(state: Situation, event: VrrpStateChanged, claim: Claim, instance: VrrpInstance) -> bool:
    """Whether the director gave the address up and took it back at once, by itself.

    From one that is not the preferred one, another one may have taken it in between, and been gone again as quickly.
    """
    if state.masters.get(event.instance) != event.director:
        return False
    gave_up = next((gave for gave, took in taken_again(claim, instance) if took.said_at == claim.said_at), None)
    others = (c for (director, i), c in state.claims.items() if i == event.instance and director != event.director)
    if gave_up is None or event.director == instance.preferred:
        return gave_up is not None
    return not any(c.state is VrrpState.MASTER or (c.at >= gave_up.at and c.state is VrrpState.BACKUP) for c in others)


def taken_again(claim: Claim, instance: VrrpInstance) -> tuple[tuple[Said, Said], ...]:
    """Where a MASTER became BACKUP and MASTER again sooner than any election ends: those two words, each time.

    A keepalived that misses its address becomes BACKUP, says so with a last advertisement of priority 0, and is MASTER
    again after its skew time, which is less than one interval (RFC 5798, 6.1 and 6.4.3). An election takes three.
    """
    soon = timedelta(seconds=2 * instance.advert_int)
    before = (None, *(word.state for word in claim.words))
    return tuple(
        (gave, took)
        for was, (gave, took) in zip(before, pairwise(claim.words), strict=False)
        if was in (None, VrrpState.MASTER)  # one that stopped, or reported FAULT, says BACKUP when it begins anew
        and (gave.state, took.state) == (VrrpState.BACKUP, VrrpState.MASTER)
        and took.said_at - gave.said_at < soon
    )


def observed(state: Situation, event: VrrpStateObserved, at: datetime) -> Situation:
    """*state* with what a director was found to be, and never said."""
    key = (event.director, event.instance)
    last = state.claims.get(key)
    before = (*last.before, Said(state=last.state, said_at=last.said_at, at=last.at)) if last else ()
    claim = Claim(state=event.state, at=at, said_at=event.seen_at, observed=True, before=before[-REMEMBERED:])
    return replace(state, claims={**state.claims, key: claim})
