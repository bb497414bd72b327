"""What a director's agent passed on: keepalived's own words, and what became of them on the way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bot.domain.fleet import Address
from bot.domain.observed import ServiceKey


class VrrpState(StrEnum):
    """What a director says of a VRRP instance or sync group (keepalived.conf(5), notify)."""

    MASTER = "MASTER"
    BACKUP = "BACKUP"
    FAULT = "FAULT"
    STOP = "STOP"
    DELETED = "DELETED"
    MASTER_RX_LOWER_PRI = "MASTER_RX_LOWER_PRI"
    MASTER_PRIORITY = "MASTER_PRIORITY"
    BACKUP_PRIORITY = "BACKUP_PRIORITY"


@dataclass(frozen=True, slots=True, kw_only=True)
class VrrpStateChanged:
    """A director *claims* a state for a VRRP instance (or a sync group, where ``group`` is set)."""

    cluster: str
    director: str
    instance: str
    state: VrrpState
    priority: int | None = None
    group: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RealServerChanged:
    """keepalived's own checks on one director found a real server up or down."""

    cluster: str
    director: str
    service: ServiceKey
    address: Address
    port: int
    up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class QuorumChanged:
    """keepalived on one director gained or lost the quorum of a virtual service."""

    cluster: str
    director: str
    service: ServiceKey
    up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLineUnreadable:
    """The agent passed on a line that the bot cannot read: kept as it came, nothing guessed."""

    cluster: str
    director: str
    line: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentGap:
    """A director's agent lost ``lost`` lines (0: a number that it does not know) and says why."""

    cluster: str
    director: str
    lost: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentComplained:
    """A director's agent has complained of ``trouble`` for a while, in its own words; empty: it complains no more."""

    cluster: str
    director: str
    trouble: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSilenceChanged:
    """A director's agent stopped reporting in (``silent``), or does so again. ``last_heard`` is its last heartbeat."""

    cluster: str
    director: str
    silent: bool
    last_heard: datetime | None = None
