"""What a roll call found, and what it tells that no event did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bot.domain.events.agents import VrrpState
from bot.domain.observed import UnitState


class ProcessRole(StrEnum):
    """Which of keepalived's processes one is (keepalived.conf(5), process_names). CHILD: it does not say which."""

    PARENT = "parent"
    VRRP = "VRRP process"
    CHECKERS = "health checker"
    CHILD = "child"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepalivedProcess:
    """One of keepalived's processes. ``state`` is ps(1)'s letter: R, S, D, T (stopped by a signal), Z …"""

    pid: int
    role: ProcessRole
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NatPath:
    """What forwarding by NAT needs of a director. None: it could not be read.

    ``conntrack`` is net.ipv4.vs.conntrack (None also where the ip_vs module is not loaded). ``snat`` is whether the
    fleet's SNAT rule is there (None where the fleet asks for none), ``packets`` how many it has counted.
    ``untracked`` is whether conntrack is kept from what comes for each virtual address while it is elsewhere (None also
    where nobody asked: only an examination does).
    """

    ip_forward: bool | None = None
    conntrack: bool | None = None
    snat: bool | None = None
    packets: int | None = None
    untracked: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RollCallAnswer:
    """One director's answer to a roll call. ``error`` is set where there is none: its state is UNKNOWN.

    ``holds`` lists the virtual addresses found on its interfaces, without prefix length. ``weights`` is (service, real
    server, weight) for every pool member in its IPVS table; one that keepalived removed is missing from it.
    ``services`` names the fleet's services that are in the table, ``strangers`` is (service, address:port, weight) for
    destinations that no pool has (a sorry server, something added by hand). None: it could not be read.

    ``refused`` says that the host is there but did not let the bot in (its key, or the bot's). ``heard_at`` is the last
    heartbeat of its agent by then. ``boot`` is the kernel's boot id, ``clock_behind_s`` how far its clock is behind the
    bot's, in seconds.
    """

    director: str
    error: str | None = None
    refused: bool = False
    heard_at: datetime | None = None
    holds: tuple[str, ...] = ()
    keepalived: UnitState | None = None
    weights: tuple[tuple[str, str, int], ...] | None = None
    services: tuple[str, ...] | None = None
    strangers: tuple[tuple[str, str, int], ...] = ()
    processes: tuple[KeepalivedProcess, ...] | None = None
    nat: NatPath | None = None
    boot: str | None = None
    clock_behind_s: float | None = None

    @property
    def answered(self) -> bool:
        """Whether the director answered at all."""
        return self.error is None


@dataclass(frozen=True, slots=True, kw_only=True)
class RollCallTaken:
    """Directors of a cluster were asked who holds what, from ``asked_at`` on. ``reason`` says why they were asked.

    One that takes longer than the others is not waited for: its answer follows in a roll call of its own. ``waiting``
    names those that were asked and had not answered when this was recorded.
    """

    cluster: str
    reason: str
    asked_at: datetime
    answers: tuple[RollCallAnswer, ...]
    waiting: tuple[str, ...] = ()

    def answer(self, director: str) -> RollCallAnswer | None:
        """What *director* answered, or None if it was not asked."""
        return next((a for a in self.answers if a.director == director), None)

    def holders(self, address: str) -> tuple[str, ...]:
        """The directors on which *address* was found."""
        return tuple(a.director for a in self.answers if address in a.holds)


@dataclass(frozen=True, slots=True, kw_only=True)
class VrrpStateObserved:
    """A roll call found a director in a state that its events do not tell. ``claimed`` is its last word."""

    cluster: str
    director: str
    instance: str
    state: VrrpState
    claimed: VrrpState | None
    seen_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RealServerObserved:
    """A roll call found a real server in or out of a director's table, and its events do not tell: one was missed."""

    cluster: str
    director: str
    service: str
    real_server: str
    up: bool
    seen_at: datetime
