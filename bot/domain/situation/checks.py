"""What keepalived's checks say of real servers and quorums, and whether a table agrees."""

from __future__ import annotations

from datetime import datetime

from bot.domain.copies import replace
from bot.domain.events import QuorumChanged, RealServerChanged, Recorded, RollCallAnswer
from bot.domain.fleet import Cluster, VirtualService
from bot.domain.observed import ServiceKey, UnitActive, key_of
from bot.domain.situation.known import ASIDE, LATE, REMEMBERED, Check, Situation, by_our_clock, without


def checked(
    state: Situation, event: RealServerChanged | QuorumChanged, recorded: Recorded, cluster: Cluster
) -> Situation:
    """*state* with what keepalived's checks on a director say of a real server, or of a service as a whole."""
    names = names_of(cluster, event) if isinstance(event, RealServerChanged) else _service_alone(cluster, event)
    if names is None:
        return state
    key = (event.director, *names)
    word = Check(up=event.up, said_at=recorded.at_source)
    heard = state.checks.get(key, ())
    if word in heard:
        return state  # an agent that got no receipt for a word sends it again
    returned = {k: since for k, since in state.returned.items() if k != key}
    if isinstance(event, QuorumChanged) and event.up and (event.director, names[0]) not in state.quorumless:
        # It gains a quorum that it never lost: it has just started, and takes every real server to be alive.
        returned = dict(without(returned, event.director))
    state = replace(state, checks={**state.checks, key: (*heard, word)[-REMEMBERED:]}, returned=returned)
    said_at = by_our_clock(state, event.director, recorded.at_source)
    rumoured = {k: at for k, at in state.rumoured.items() if k != key}
    if _overtaken(state, key, event.up, said_at):
        return replace(state, rumoured=rumoured)
    if not event.up and recorded.recorded_at - said_at > LATE:
        return replace(state, rumoured={**rumoured, key: recorded.recorded_at})
    return believed(replace(state, rumoured=rumoured), key, event.up, recorded.recorded_at)


def believed(state: Situation, key: tuple[str, str, str], up: bool, at: datetime) -> Situation:
    """*state* with what *key* (director, service, real server or "" for its quorum) says taken for true."""
    director, service, server = key
    if not server:
        quorumless = {k: since for k, since in state.quorumless.items() if k != (director, service)}
        if not up:
            quorumless[director, service] = state.quorumless.get((director, service), at)
        return replace(state, quorumless=quorumless)
    removed, restored = {k: since for k, since in state.removed.items() if k != key}, dict(state.restored)
    if up:
        restored[key] = at
    else:
        removed[key] = state.removed.get(key, at)
    returned = {k: since for k, since in state.returned.items() if k != key}
    return replace(state, removed=removed, restored=restored, returned=returned)


def _overtaken(state: Situation, key: tuple[str, str, str], up: bool, said_at: datetime) -> bool:
    """Whether the director's table, as it was found later than *said_at*, shows that the word is not true any more."""
    known = state.answers.get(key[0])
    if known is None or known.asked_at <= said_at + ASIDE:
        return False
    there = in_table(known.answer, key[1], key[2])
    return there is not None and there is not up


def in_table(answer: RollCallAnswer, service: str, server: str) -> bool | None:
    """Whether *server* (any, where it is empty) takes clients in the table; None where that cannot be said."""
    if answer.weights is None or gone(answer) or (answer.services is not None and service not in answer.services):
        return None
    return any(s == service and server in ("", r) and weight > 0 for s, r, weight in answer.weights)


def gone(answer: RollCallAnswer | None) -> bool:
    """Whether the answer says that keepalived there is gone, with all that it said."""
    if answer is None:
        return False
    return not answer.answered or (answer.keepalived is not None and answer.keepalived.active is not UnitActive.ACTIVE)


def _service_alone(cluster: Cluster, event: QuorumChanged) -> tuple[str, str] | None:
    service = service_of(cluster, event.service)
    return None if service is None else (service, "")


def service_of(cluster: Cluster, key: ServiceKey) -> str | None:
    """The name of the fleet's service with *key*; None where the fleet has none such."""
    return next((service.name for service in cluster.services if _is_meant(service, key)), None)


def _is_meant(service: VirtualService, key: ServiceKey) -> bool:
    """Whether keepalived means *service* by *key*: of a firewall mark it does not say the family (format_vs)."""
    return key.fwmark == service.fwmark if service.fwmark is not None else key_of(service) == key


def names_of(cluster: Cluster, event: RealServerChanged) -> tuple[str, str] | None:
    """The names of the service and the real server that keepalived spoke of; None where the fleet has none such."""
    for service in cluster.services:
        if not _is_meant(service, event.service):
            continue
        for member in service.members:
            server = cluster.real_server(member.real_server)
            if server.address == event.address and member.port == event.port:
                return service.name, server.name
    return None
