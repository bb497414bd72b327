"""The shapes of config/fleet.yaml: what may stand where, before anything is compared with anything else."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from bot.domain.fleet import Forwarding, Protocol
from bot.settings.fields import (
    Account,
    AnyAddress,
    AnyNetwork,
    Device,
    HostName,
    Jump,
    Port,
    Text,
    UrlPath,
    Variable,
    VirtualAddress,
    one_of,
    seconds,
    whole,
    word,
)
from bot.settings.reader import Shape

SCHEDULERS = (
    "rr",
    "wrr",
    "lc",
    "wlc",
    "lblc",
    "lblcr",
    "dh",
    "sh",
    "sed",
    "nq",
    "fo",
    "ovf",
    "mh",
    "twos",
)  # ipvsadm(8)
CheckSeconds = Annotated[float, seconds(0.001, 3600, "1")]
Status = Annotated[int, whole(100, 599, 200)]


class SshShape(Shape):
    """How directors are reached; None: as the cluster says, or the default."""

    user: Account | None = None
    port: Port | None = None
    jump: Jump | None = None


class DirectorShape(Shape):
    """A host that runs IPVS and keepalived."""

    address: AnyAddress = Field(examples=["10.100.0.10"])
    interface: Device = Field(examples=["br0"])
    ssh: SshShape = Field(default=SshShape(), examples=["{port: 2222}"])


class RealServerShape(Shape):
    """A backend."""

    address: AnyAddress = Field(examples=["10.100.0.11"])
    host: str | None = Field(default=None, examples=["the name of a director, or no such key"])


class VrrpShape(Shape):
    """A VRRP instance."""

    virtual_router_id: Annotated[int, whole(1, 255, 100)] = Field(examples=["100"])
    interface: Device = Field(examples=["br0"])
    advert_int: Annotated[float, seconds(0.01, 255, "1")] = 1.0
    virtual_addresses: list[VirtualAddress] = Field(examples=["[10.100.5.11/21]"])
    priorities: dict[str, Annotated[int, whole(1, 255, 100)]] = Field(examples=["{sv1: 100, sv2: 90}"])
    auth_pass_env: Variable | None = None


class SnatShape(Shape):
    """The rule that makes answers return through the director."""

    vaddr: AnyNetwork = Field(examples=["10.100.5.0/24"])


class MemberShape(Shape):
    """One real server behind a service."""

    port: Port | None = None
    weight: Annotated[int, whole(0, 65535, 1)] = 1


class HttpGetShape(Shape):
    """keepalived's HTTP_GET."""

    path: UrlPath = "/"
    status: Status = 200
    connect_timeout: CheckSeconds = 5.0
    retries: Annotated[int, whole(0, 100, 2)] = 1
    delay_before_retry: CheckSeconds = 1.0


class TcpCheckShape(Shape):
    """keepalived's TCP_CHECK."""

    connect_timeout: CheckSeconds = 5.0
    retries: Annotated[int, whole(0, 100, 2)] = 1
    delay_before_retry: CheckSeconds = 1.0


class DnsCheckShape(TcpCheckShape):
    """keepalived's DNS_CHECK."""

    query: HostName = Field(examples=["www.site.test"])


class CheckShape(Shape):
    """Exactly one of keepalived's checks."""

    http_get: HttpGetShape | None = Field(default=None, examples=["{path: /, status: 200}"])
    tcp_check: TcpCheckShape | None = Field(default=None, examples=["{connect_timeout: 1}"])
    dns_check: DnsCheckShape | None = Field(default=None, examples=["{query: www.site.test}"])


class HttpProbeShape(Shape):
    """An HTTP request: which path, and what the answer must be."""

    path: UrlPath = "/"
    host: HostName | None = None
    expect_status: list[Status] = Field(default=[200], min_length=1, examples=["[200]"])
    expect_body: Text | None = None


class TcpProbeShape(Shape):
    """A TCP connection."""


class DnsProbeShape(Shape):
    """A DNS query, and the answer that must be among those given."""

    query: HostName = Field(examples=["www.site.test"])
    type: Annotated[str, one_of(("A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"))] = "A"
    expect_answer: Text | None = Field(default=None, examples=["10.100.5.11"])


class IcmpProbeShape(Shape):
    """An echo request."""


class TlsProbeShape(Shape):
    """A TLS handshake: the certificate must be valid for more than ``expiry_days``."""

    server_name: HostName | None = None
    expiry_days: Annotated[int, whole(0, 3650, 14)] = 14


class ProbeShape(Shape):
    """Exactly one question, and how often it is asked. Addresses and ports default to the target's own."""

    http: HttpProbeShape | None = Field(default=None, examples=["{path: /, expect_status: [200]}"])
    tcp: TcpProbeShape | None = Field(default=None, examples=["{}"])
    dns: DnsProbeShape | None = Field(default=None, examples=["{query: www.site.test, type: A}"])
    icmp: IcmpProbeShape | None = Field(default=None, examples=["{}"])
    tls: TlsProbeShape | None = Field(default=None, examples=["{server_name: www.site.test}"])
    address: AnyAddress | None = None
    port: Port | None = None
    every: Annotated[float, seconds(0.05, 86400, "2")] = 2.0
    timeout: Annotated[float, seconds(0.01, 300, "1")] = 1.0
    jitter: Annotated[float, seconds(0, 3600, "0.2")] = 0.0
    rise: Annotated[int, whole(1, 1000, 2)] = 2
    fall: Annotated[int, whole(1, 1000, 3)] = 3


class ProbesShape(Shape):
    """The bot's own probes of a service: as clients see it, and of each real server."""

    vip: ProbeShape | None = Field(default=None, examples=["{tcp: {}, every: 1, timeout: 0.9}"])
    real_servers: ProbeShape | None = Field(default=None, examples=["{tcp: {}, every: 5, timeout: 1}"])


class ServiceShape(Shape):
    """protocol:VIP:port or a firewall mark, and who serves it."""

    address: AnyAddress | None = None
    port: Port | None = None
    protocol: Annotated[Protocol, word(Protocol)] | None = None
    fwmark: Annotated[int, whole(1, 2**32 - 1, 7)] | None = None
    vrrp_instance: str | None = Field(default=None, examples=["VI_1"])
    scheduler: Annotated[str, one_of(SCHEDULERS)] = Field(examples=["rr"])
    forwarding: Annotated[Forwarding, word(Forwarding)] = Field(examples=["masquerading"])
    delay_loop: Annotated[float, seconds(0.001, 86400, "6")] = 6.0
    persistence_timeout: Annotated[int, whole(1, 86400, 300)] | None = None
    pool: dict[str, Any] = Field(examples=["{web1: {}, web2: {}}"])
    check: CheckShape | None = Field(default=None, examples=["{tcp_check: {connect_timeout: 1}}"])
    probes: ProbesShape = Field(default=ProbesShape(), examples=["{vip: {tcp: {}}}"])


class ClusterShape(Shape):
    """The outline of a cluster; its entries are fitted one by one, so that one slip does not hide the next."""

    ssh: SshShape = Field(default=SshShape(), examples=["{user: lvsbot, port: 22}"])
    directors: dict[str, Any] = Field(default={}, examples=["{sv1: {address: 10.100.0.10, interface: br0}}"])
    vrrp_instances: dict[str, Any] = Field(default={}, examples=["{VI_1: {virtual_router_id: 100, …}}"])
    real_servers: dict[str, Any] = Field(default={}, examples=["{web1: {address: 10.100.0.11}}"])
    snat: SnatShape | None = Field(default=None, examples=["{vaddr: 10.100.5.0/24}"])
    virtual_services: dict[str, Any] = Field(default={}, examples=["{http: {address: 10.100.5.11, port: 80, …}}"])


class FleetShape(Shape):
    """The outline of the file."""

    clusters: dict[str, Any] = Field(examples=["{site: {directors: …}}"])
