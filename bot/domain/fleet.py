"""What exists: clusters, directors, virtual services, real servers and their probes, and how a name is looked up."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Protocol as Shape
from typing import TypeVar

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface
Network = IPv4Network | IPv6Network


class Protocol(StrEnum):
    """The transport of a virtual service, as ipvsadm(8) names it."""

    TCP = "tcp"
    UDP = "udp"
    SCTP = "sctp"


class Forwarding(StrEnum):
    """How a director hands a packet on (ipvsadm(8): ``-m``, ``-g``, ``-i``; LOCAL is the kernel's own)."""

    MASQUERADING = "masquerading"
    DIRECT_ROUTING = "direct routing"
    TUNNELLING = "tunnelling"
    LOCAL = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class SshAccess:
    """How the bot reaches a director's shell. ``jump`` is ``user@host[:port]`` of one hop before it, or None."""

    user: str = "lvsbot"
    port: int = 22
    jump: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Director:
    """A host that runs IPVS and keepalived."""

    name: str
    address: Address
    interface: str
    ssh: SshAccess = SshAccess()


@dataclass(frozen=True, slots=True, kw_only=True)
class RealServer:
    """A backend. ``host`` names the director that it lives inside of, if it does: it dies with that host."""

    name: str
    address: Address
    host: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VrrpInstance:
    """One VRRP instance (keepalived.conf(5), RFC 5798).

    ``advert_int`` is in seconds. ``priorities`` is (director name, priority 1..255), highest first: the first is the
    director that is MASTER when all is well. ``auth_pass_env`` names the environment variable with the password.
    """

    name: str
    virtual_router_id: int
    interface: str
    advert_int: float
    virtual_addresses: tuple[Interface, ...]
    priorities: tuple[tuple[str, int], ...]
    auth_pass_env: str | None = None

    @property
    def preferred(self) -> str:
        """The director that holds the VIP when all is well."""
        return self.priorities[0][0]

    def priority(self, director: str) -> int:
        """The priority of *director*; 0, which no member has, for one that is not part of this instance."""
        return dict(self.priorities).get(director, 0)

    @property
    def takeover_s(self) -> float:
        """The seconds until a BACKUP takes over from a MASTER that died silently (RFC 5798, 6.1, at its slowest)."""
        lowest = min(priority for _, priority in self.priorities)
        return 3 * self.advert_int + (256 - lowest) * self.advert_int / 256


class CheckKind(StrEnum):
    """keepalived's own health checks (keepalived.conf(5)) that a fleet file can ask for."""

    HTTP_GET = "http_get"
    TCP_CHECK = "tcp_check"
    DNS_CHECK = "dns_check"


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """A check that keepalived itself makes of each real server. Times are in seconds."""

    kind: CheckKind
    connect_timeout: float
    retries: int
    delay_before_retry: float
    path: str | None = None
    status: int | None = None
    query: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolMember:
    """A real server behind one virtual service, at its configured weight."""

    real_server: str
    port: int
    weight: int = 1


class ProbeKind(StrEnum):
    """What a probe asks its target."""

    HTTP = "http"
    TCP = "tcp"
    DNS = "dns"
    ICMP = "icmp"
    TLS = "tls"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One scheduled question to one address.

    ``target`` is the name of the thing probed: ``vip:<service>`` or ``rs:<service>/<real server>``. ``every``,
    ``timeout`` and ``jitter`` are seconds. ``fall`` failures in a row make the target unhealthy, ``rise`` successes
    healthy again.
    """

    name: str
    cluster: str
    service: str
    real_server: str | None
    kind: ProbeKind
    address: Address
    port: int | None
    protocol: Protocol = Protocol.TCP
    every: float = 2.0
    timeout: float = 1.0
    jitter: float = 0.0
    rise: int = 2
    fall: int = 3
    path: str = "/"
    host_header: str | None = None
    expect_status: tuple[int, ...] = (200,)
    expect_body: str | None = None
    query: str | None = None
    query_type: str = "A"
    expect_answer: str | None = None
    server_name: str | None = None
    expiry_days: int = 14

    @property
    def of_vip(self) -> bool:
        """Whether this asks the VIP (as a client does) and not one real server."""
        return self.real_server is None


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualService:
    """protocol:VIP:port or a firewall mark, with its pool. ``delay_loop`` and ``persistence_timeout`` are seconds.

    ``mark_family`` is 4 or 6: of what a firewall mark, which has no address, is set on.
    """

    name: str
    protocol: Protocol | None
    address: Address | None
    port: int | None
    fwmark: int | None
    vrrp_instance: str | None
    scheduler: str
    forwarding: Forwarding
    members: tuple[PoolMember, ...]
    delay_loop: float = 6.0
    persistence_timeout: int | None = None
    check: HealthCheck | None = None
    mark_family: int = 4

    @property
    def family(self) -> int:
        """4 or 6: of the addresses that clients use."""
        return self.mark_family if self.address is None else self.address.version

    def member(self, real_server: str) -> PoolMember | None:
        """The pool member for *real_server*, or None if it is not behind this service."""
        return next((m for m in self.members if m.real_server == real_server), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snat:
    """The rule that makes answers return through the director: SNAT to the director's own address."""

    vaddr: Network


class _Named(Shape):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_Named)


def _called(things: Iterable[N], name: str) -> N:
    """The one of *things* called *name*; raises KeyError. A mapping for each look-up would cost the folds more."""
    for thing in things:
        if thing.name == name:
            return thing
    raise KeyError(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Directors that share virtual addresses, and everything behind them."""

    name: str
    directors: tuple[Director, ...]
    vrrp_instances: tuple[VrrpInstance, ...]
    real_servers: tuple[RealServer, ...]
    services: tuple[VirtualService, ...]
    probes: tuple[Probe, ...] = ()
    snat: Snat | None = None

    def director(self, name: str) -> Director:
        """The director called *name*; raises KeyError."""
        return _called(self.directors, name)

    def real_server(self, name: str) -> RealServer:
        """The real server called *name*; raises KeyError."""
        return _called(self.real_servers, name)

    def service(self, name: str) -> VirtualService:
        """The virtual service called *name*; raises KeyError."""
        return _called(self.services, name)

    def vrrp_instance(self, name: str) -> VrrpInstance:
        """The VRRP instance called *name*; raises KeyError."""
        return _called(self.vrrp_instances, name)

    @property
    def forwards_ipv4(self) -> bool:
        """Whether a service forwards IPv4 by NAT: net.ipv4.ip_forward is of no matter to any other."""
        return any(s.forwarding is Forwarding.MASQUERADING and s.family == 4 for s in self.services)

    @property
    def snat_addresses(self) -> tuple[Address, ...]:
        """The virtual addresses whose answers return by the SNAT rule, in the fleet's order."""
        if self.snat is None:
            return ()
        ours = (a.ip for vrrp in self.vrrp_instances for a in vrrp.virtual_addresses)
        return tuple(dict.fromkeys(a for a in ours if a.version == self.snat.vaddr.version and a in self.snat.vaddr))

    def services_of(self, real_server: str) -> tuple[VirtualService, ...]:
        """The services that have *real_server* in their pool."""
        return tuple(s for s in self.services if s.member(real_server) is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A name that exists. ``thing`` belongs to ``cluster`` (or is it)."""

    cluster: Cluster
    thing: Cluster | Director | RealServer | VirtualService | VrrpInstance


@dataclass(frozen=True, slots=True, kw_only=True)
class NotFound:
    """A name that does not exist or means more than one thing; ``suggestions`` are names that do."""

    name: str
    suggestions: tuple[str, ...]
    ambiguous: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Everything the bot looks after."""

    clusters: tuple[Cluster, ...]

    def cluster(self, name: str) -> Cluster:
        """The cluster called *name*; raises KeyError."""
        return _called(self.clusters, name)

    def named(self) -> Iterator[tuple[str, Found]]:
        """Every name with what it stands for: the bare one, and ``cluster/name``."""
        for cluster in self.clusters:
            yield cluster.name, Found(cluster=cluster, thing=cluster)
            things: tuple[Director | RealServer | VirtualService | VrrpInstance, ...] = (
                *cluster.directors,
                *cluster.real_servers,
                *cluster.services,
                *cluster.vrrp_instances,
            )
            for thing in things:
                found = Found(cluster=cluster, thing=thing)
                yield thing.name, found
                yield f"{cluster.name}/{thing.name}", found

    def find(self, name: str, *kinds: type) -> Found | NotFound:
        """Look up *name* (exact, then without case) among *kinds* (all if none is given).

        A bare name that means several things is answered with the qualified ones; an unknown name with near ones.
        """
        candidates = [(n, f) for n, f in self.named() if not kinds or isinstance(f.thing, kinds)]
        hits = [f for n, f in candidates if n == name] or [f for n, f in candidates if n.casefold() == name.casefold()]
        if len(hits) == 1:
            return hits[0]
        if hits:
            qualified = tuple(f"{f.cluster.name}/{f.thing.name}" for f in hits)
            return NotFound(name=name, suggestions=qualified, ambiguous=True)
        names = list(dict.fromkeys(n for n, _ in candidates))
        near = difflib.get_close_matches(name.casefold(), [n.casefold() for n in names], n=3, cutoff=0.5)
        by_fold = {n.casefold(): n for n in names}
        return NotFound(name=name, suggestions=tuple(by_fold[n] for n in near))
