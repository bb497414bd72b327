"""What an examination is made of: what is looked at, what was found, and what it is judged to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from bot.domain.events import RollCallAnswer
from bot.domain.fleet import Cluster, Director, RealServer, VirtualService, VrrpInstance
from bot.domain.observed import UnitActive
from bot.domain.operations import Operations
from bot.domain.situation import Situation


class Judgement(StrEnum):
    """What is to be thought of something, the worst first."""

    BAD = "bad"
    WARNING = "warning"
    UNKNOWN = "unknown"
    OK = "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at: ``looked_at`` of ``about`` (a name of the fleet's), and what was ``found``.

    ``then`` is what to do next, in one sentence; empty where all is well.
    """

    about: str
    looked_at: str
    judgement: Judgement
    found: str
    then: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of the cluster besides the directors' answers.

    ``heard`` is when each agent that should report was last heard, None for one that never was; None as a whole where
    this process hears no agents (a terminal): then the journal's word counts. An agent counts as silent
    ``silent_after`` its last word, or the moment from which the bot has been ``listening``.
    """

    situation: Situation
    operations: Operations
    now: datetime
    heard: Mapping[str, datetime | None] | None = None
    listening: datetime | None = None
    silent_after: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What came of examining ``name`` (None: all of it) of a cluster."""

    cluster: str
    name: str | None
    at: datetime
    findings: tuple[Finding, ...]

    def judged(self, judgement: Judgement) -> tuple[Finding, ...]:
        """The findings with this *judgement*."""
        return tuple(f for f in self.findings if f.judgement is judgement)

    @property
    def worst(self) -> Judgement:
        """The worst judgement of all; UNKNOWN where nothing was looked at."""
        return next((j for j in Judgement if self.judged(j)), Judgement.UNKNOWN)


def narrowed(cluster: Cluster, thing: Cluster | Director | RealServer | VirtualService | VrrpInstance) -> Cluster:
    """What of *cluster* has to be looked at for the sake of *thing*."""
    match thing:
        case Director():
            return replace(cluster, directors=(thing,))
        case VrrpInstance():
            services = tuple(s for s in cluster.services if s.vrrp_instance == thing.name)
            return replace(cluster, vrrp_instances=(thing,), services=services)
        case VirtualService():
            instances = tuple(v for v in cluster.vrrp_instances if v.name == thing.vrrp_instance)
            return replace(cluster, vrrp_instances=instances, services=(thing,))
        case RealServer():
            services = tuple(
                replace(s, members=tuple(m for m in s.members if m.real_server == thing.name))
                for s in cluster.services_of(thing.name)
            )
            instances = tuple(v for v in cluster.vrrp_instances if v.name in {s.vrrp_instance for s in services})
            return replace(cluster, vrrp_instances=instances, services=services, real_servers=(thing,))
        case _:
            return cluster


@dataclass(slots=True)
class Look:
    """One examination while it is made: the answers to a roll call and to the one before it, by director."""

    cluster: Cluster
    answers: Mapping[str, RollCallAnswer]
    earlier: Mapping[str, RollCallAnswer]
    known: Known
    holders: dict[str, tuple[str, ...]] = field(init=False)

    def __post_init__(self) -> None:
        """Work out who holds what: more than one part asks for it."""
        addresses = {str(a.ip) for v in self.cluster.vrrp_instances for a in v.virtual_addresses}
        self.holders = {vip: tuple(n for n, a in self.answers.items() if vip in a.holds) for vip in addresses}


def runs(answer: RollCallAnswer) -> bool:
    """Whether keepalived is meant to be at work there, as far as that could be read."""
    return answer.keepalived is None or answer.keepalived.active in (UnitActive.ACTIVE, UnitActive.RELOADING)


def unread(about: str, looked_at: str, then: str, found: str = "it could not be read") -> Finding:
    """Something that nobody could see."""
    return Finding(about=about, looked_at=looked_at, judgement=Judgement.UNKNOWN, found=found, then=then)


def weight_of(answer: RollCallAnswer, service: str, server: str) -> int | None:
    """The weight of *server* in *service*, by *answer*; None where it is not in the table."""
    return next((w for s, r, w in answer.weights or () if (s, r) == (service, server)), None)
