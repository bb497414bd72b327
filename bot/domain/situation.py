"""What is known of a cluster at a time: claims with their age, answers to roll calls, health. A fold of the journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from bot.domain.events import (
    AgentSilenceChanged,
    HealthChanged,
    RealServerChanged,
    Recorded,
    RollCallAnswer,
    RollCallTaken,
    VrrpState,
    VrrpStateChanged,
)
from bot.domain.fleet import Cluster, VrrpInstance
from bot.domain.health import Outcome
from bot.domain.observed import UnitActive, key_of

# States that say what a director now is; the others (priorities, a lower-priority advert) are remarks.
STATES = frozenset({VrrpState.MASTER, VrrpState.BACKUP, VrrpState.FAULT, VrrpState.STOP, VrrpState.DELETED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The last thing a director said of a VRRP instance. A claim has an age; it is not a fact."""

    state: VrrpState
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A director's last answer to a roll call, and when."""

    answer: RollCallAnswer
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What the probes last found of a target, and since when."""

    outcome: Outcome
    since: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Everything known of one cluster.

    ``claims``: (director, instance) -> claim. ``answers``: director -> its last answer. ``masters``: instance -> the
    director believed to hold it (claimed or found). ``health``: (service, real server or None for the VIP).
    ``removed``: (director, service, real server) -> since when keepalived there says it is down. ``contested``:
    instance -> since when roll calls in a row found its address on more than one director.
    """

    claims: Mapping[tuple[str, str], Claim] = field(default_factory=dict)
    answers: Mapping[str, Answer] = field(default_factory=dict)
    masters: Mapping[str, str] = field(default_factory=dict)
    health: Mapping[tuple[str, str | None], Health] = field(default_factory=dict)
    removed: Mapping[tuple[str, str, str], datetime] = field(default_factory=dict)
    contested: Mapping[str, datetime] = field(default_factory=dict)
    silent: frozenset[str] = frozenset()

    def unreachable(self, director: str) -> bool:
        """Whether *director* was asked and did not answer."""
        found = self.answers.get(director)
        return found is not None and not found.answer.answered

    def healthy(self, service: str, real_server: str | None) -> bool | None:
        """What the probes say; None while they have not said anything (or could not measure)."""
        found = self.health.get((service, real_server))
        if found is None or found.outcome is Outcome.UNMEASURED:
            return None
        return found.outcome is Outcome.HEALTHY

    def vip_troubles(self, services: frozenset[str]) -> tuple[str, ...]:
        """Those of *services* whose VIP the probes find unhealthy."""
        return tuple(sorted(s for s in services if self.healthy(s, None) is False))

    def complaints(self, real_server: str) -> tuple[str, ...]:
        """Everything that says *real_server* is down, in words; empty when nothing does."""
        probes = [
            f"{service}: {found.reason}"
            for (service, server), found in sorted(self.health.items(), key=lambda item: item[0][0])
            if server == real_server and found.outcome is Outcome.UNHEALTHY
        ]
        checks = [
            f"keepalived on {director} took it out of {service}"
            for director, service, server in sorted(self.removed)
            if server == real_server
        ]
        return (*probes, *checks)


def fold(state: Situation, recorded: Recorded, cluster: Cluster) -> Situation:
    """*state* of *cluster* after *recorded*."""
    event, at = recorded.event, recorded.recorded_at
    match event:
        case VrrpStateChanged(group=False):
            return _claimed(state, event, at)
        case RollCallTaken():
            return _called(state, event, at, cluster)
        case HealthChanged():
            health = Health(outcome=event.outcome, since=event.since, reason=event.reason)
            return replace(state, health={**state.health, (event.service, event.real_server): health})
        case RealServerChanged():
            return _checked(state, event, at, cluster)
        case AgentSilenceChanged(silent=True):
            return replace(state, silent=state.silent | {event.director})
        case AgentSilenceChanged(silent=False):
            return replace(state, silent=state.silent - {event.director})
        case _:
            return state


def _claimed(state: Situation, event: VrrpStateChanged, at: datetime) -> Situation:
    if event.state not in STATES:
        return state
    claims = {**state.claims, (event.director, event.instance): Claim(state=event.state, at=at)}
    masters = dict(state.masters)
    if event.state is VrrpState.MASTER:
        masters[event.instance] = event.director
    # A director whose keepalived stops or starts anew has an empty or a fresh table: its old verdicts are void.
    removed = (
        {key: since for key, since in state.removed.items() if key[0] != event.director}
        if event.state is VrrpState.STOP
        else state.removed
    )
    return replace(state, claims=claims, masters=masters, removed=removed)


def _called(state: Situation, event: RollCallTaken, at: datetime, cluster: Cluster) -> Situation:
    answers = {**state.answers, **{a.director: Answer(answer=a, at=at) for a in event.answers}}
    masters = dict(state.masters)
    contested = {}
    for instance in cluster.vrrp_instances:
        holders = holders_of(instance, event)
        if _overtaken(state, instance, event):
            # A director spoke while the others were still being asked: what was found may be from before its word.
            continue
        if len(holders) == 1:
            masters[instance.name] = holders[0]
        elif len(holders) > 1:
            contested[instance.name] = state.contested.get(instance.name, at)
    removed = {
        (director, service, server): since
        for (director, service, server), since in state.removed.items()
        if since > event.asked_at or not _void(event.answer(director), service, server)
    }
    return replace(state, answers=answers, masters=masters, removed=removed, contested=contested)


def _overtaken(state: Situation, instance: VrrpInstance, event: RollCallTaken) -> bool:
    """Whether a director claimed a state of *instance* after the roll call had been asked."""
    return any(name == instance.name and claim.at > event.asked_at for (_, name), claim in state.claims.items())


def holders_of(instance: VrrpInstance, event: RollCallTaken) -> tuple[str, ...]:
    """The directors on which an address of *instance* was found, by name."""
    return tuple(sorted({h for vip in instance.virtual_addresses for h in event.holders(str(vip.ip))}))


def _void(answer: RollCallAnswer | None, service: str, server: str) -> bool:
    """Whether the answer voids what keepalived there said: the server is in the table again, or keepalived is gone."""
    if answer is None:
        return False
    if not answer.answered or (answer.keepalived and answer.keepalived.active is not UnitActive.ACTIVE):
        return True
    return any((s, r) == (service, server) and weight > 0 for s, r, weight in answer.weights or ())


def _checked(state: Situation, event: RealServerChanged, at: datetime, cluster: Cluster) -> Situation:
    names = names_of(cluster, event)
    if names is None:
        return state
    service, server = names
    key = (event.director, service, server)
    removed = dict(state.removed)
    if event.up:
        removed.pop(key, None)
    else:
        removed.setdefault(key, at)
    return replace(state, removed=removed)


def names_of(cluster: Cluster, event: RealServerChanged) -> tuple[str, str] | None:
    """The names of the service and the real server that keepalived spoke of; None where the fleet has none such."""
    for service in cluster.services:
        if key_of(service) != event.service:
            continue
        for member in service.members:
            server = cluster.real_server(member.real_server)
            if server.address == event.address and member.port == event.port:
                return service.name, server.name
    return None
