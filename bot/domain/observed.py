"""What the tools on a director reported: the IPVS table, who holds a VIP, the state of a unit."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address

from bot.domain.fleet import Address, Cluster, Forwarding, Interface, PoolMember, Protocol, RealServer, VirtualService


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceKey:
    """What identifies a virtual service in the kernel: protocol, address and port, or a firewall mark and a family.

    ``fwmark`` is 0..2^32-1 (ipvsadm prints one above 2^31 as a negative number). ``family`` is 4 or 6. ``group`` is a
    virtual server group of keepalived's: only its events name one, the kernel knows the services that it stands for.
    """

    protocol: Protocol | None = None
    address: Address | None = None
    port: int | None = None
    fwmark: int | None = None
    family: int = 4
    group: str | None = None

    def __str__(self) -> str:
        if self.group is not None:
            return f"group {self.group}"
        if self.fwmark is not None:
            return f"fwmark {self.fwmark}" + (" (IPv6)" if self.family == 6 else "")
        host = f"[{self.address}]" if self.family == 6 else str(self.address)
        return f"{self.protocol} {host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class IpvsDestination:
    """One real server in the kernel's table. Connections are counts; thresholds are None where not shown."""

    address: Address
    port: int
    forwarding: Forwarding
    weight: int
    active: int = 0
    inactive: int = 0
    upper_threshold: int | None = None
    lower_threshold: int | None = None
    tunnel_type: str | None = None
    tunnel_port: int | None = None
    tunnel_checksum: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IpvsService:
    """One virtual service in the kernel's table. ``persistence_timeout`` is in seconds."""

    key: ServiceKey
    scheduler: str
    scheduler_flags: tuple[str, ...] = ()
    persistence_timeout: int | None = None
    persistence_netmask: str | None = None
    persistence_engine: str | None = None
    one_packet: bool = False
    destinations: tuple[IpvsDestination, ...] = ()

    def destination(self, address: Address, port: int) -> IpvsDestination | None:
        """The destination at *address*:*port*, or None."""
        return next((d for d in self.destinations if d.address == address and d.port == port), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class IpvsTable:
    """A director's whole table, in the order in which the tool printed it."""

    services: tuple[IpvsService, ...] = ()

    def service(self, key: ServiceKey) -> IpvsService | None:
        """The service with *key*, or None.

        The kernel's own file tells the family of a firewall mark by its destinations: without any, it may be either.
        """
        found = next((s for s in self.services if s.key == key), None)
        if found is None and key.fwmark is not None:
            found = next((s for s in self.services if s.key.fwmark == key.fwmark and not s.destinations), None)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Traffic counters of one service or destination (``ipvsadm -Ln --stats --exact`` or ``--rate``)."""

    connections: int
    packets_in: int
    packets_out: int
    bytes_in: int
    bytes_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedTable:
    """Counters by service, and by destination within it (keyed by address and port)."""

    services: tuple[tuple[ServiceKey, Counters, tuple[tuple[Address, int, Counters], ...]], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class IpvsConnection:
    """One line of ``ipvsadm -Lnc``. ``expires_s`` is seconds. A persistence template has client port 0."""

    protocol: str
    expires_s: int
    state: str
    client: Address
    client_port: int
    virtual: Address
    virtual_port: int
    destination: Address
    destination_port: int

    @property
    def template(self) -> bool:
        """Whether this is a persistence template and not a connection."""
        return self.client_port == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldAddress:
    """An address on an interface (``ip -j addr``)."""

    interface: str
    address: Interface
    link_up: bool


class UnitActive(StrEnum):
    """systemd's ActiveState (systemctl(1)); UNKNOWN for one that this list lacks."""

    ACTIVE = "active"
    RELOADING = "reloading"
    INACTIVE = "inactive"
    FAILED = "failed"
    ACTIVATING = "activating"
    DEACTIVATING = "deactivating"
    MAINTENANCE = "maintenance"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitState:
    """What ``systemctl show`` says of one unit. ``main_pid`` is 0 for none; ``result`` is systemd's word."""

    unit: str
    active: UnitActive
    sub: str
    result: str
    main_pid: int
    load: str = "loaded"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """What one command on one director returned. ``duration_s`` is seconds, measured by the bot."""

    director: str
    argv: tuple[str, ...]
    exit_status: int
    stdout: str
    stderr: str
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What one director showed. ``error`` says why something is missing (None: all of it was read).

    ``refused`` says that it is there but did not let the bot in (its key, or the bot's).
    """

    director: str
    reachable: bool
    error: str | None = None
    refused: bool = False
    addresses: tuple[HeldAddress, ...] = ()
    keepalived: UnitState | None = None
    table: IpvsTable | None = None
    latency_s: float = 0.0

    def holds(self, cluster: Cluster) -> tuple[str, ...]:
        """The virtual addresses of *cluster* that stand on this director's interfaces."""
        vips = {vip.ip for instance in cluster.vrrp_instances for vip in instance.virtual_addresses}
        return tuple(str(a.address.ip) for a in self.addresses if a.address.ip in vips)


def key_of(service: VirtualService) -> ServiceKey:
    """The kernel's key of a service from the fleet file."""
    if service.fwmark is not None:
        return ServiceKey(fwmark=service.fwmark, family=service.family)
    assert service.address is not None
    return ServiceKey(
        protocol=service.protocol,
        address=service.address,
        port=service.port,
        family=ip_address(service.address).version,
    )


def strangers_of(table: IpvsTable, service: VirtualService, cluster: Cluster) -> tuple[IpvsDestination, ...]:
    """What stands in *table* behind *service* though its pool does not have it: a sorry server, one added by hand."""
    pool = {(cluster.real_server(member.real_server).address, member.port) for member in service.members}
    found = table.service(key_of(service))
    return tuple(d for d in found.destinations if (d.address, d.port) not in pool) if found else ()


def destination_of(table: IpvsTable, service: VirtualService, server: RealServer) -> IpvsDestination | None:
    """Where *server* stands in *table* behind *service*, or None if it is not there."""
    member: PoolMember | None = service.member(server.name)
    found = table.service(key_of(service))
    if member is None or found is None:
        return None
    return found.destination(server.address, member.port)
