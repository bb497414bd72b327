"""A cluster with what the reference site lacks: IPv6, SCTP, firewall marks, direct routing, tunnels, persistence."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network

from bot.domain.fleet import (
    CheckKind,
    Cluster,
    Director,
    Forwarding,
    HealthCheck,
    PoolMember,
    Protocol,
    RealServer,
    Snat,
    SshAccess,
    VirtualService,
    VrrpInstance,
)

WEIGHTS = (("a", 5), ("b", 0))


def _service(name: str, forwarding: Forwarding, **more: object) -> VirtualService:
    values: dict[str, object] = {
        "protocol": Protocol.TCP,
        "address": ip_address("2001:db8::100"),
        "port": 443,
        "fwmark": None,
        "vrrp_instance": "V6",
        "scheduler": "wlc",
        **more,
    }
    port = values["port"] or 0  # a firewall mark stands for every port
    values["members"] = tuple(PoolMember(real_server=name, port=port, weight=weight) for name, weight in WEIGHTS)  # type: ignore[arg-type]
    return VirtualService(name=name, forwarding=forwarding, **values)  # type: ignore[arg-type]


EXOTIC = Cluster(
    name="exotic",
    directors=(
        Director(name="d1", address=ip_address("2001:db8::1"), interface="eth0", ssh=SshAccess(user="watcher")),
        Director(name="d2", address=ip_address("2001:db8::2"), interface="eth0"),
        Director(name="d3", address=ip_address("2001:db8::3"), interface="eth0"),
    ),
    vrrp_instances=(
        VrrpInstance(
            name="V6",
            virtual_router_id=6,
            interface="eth0",
            advert_int=0.5,
            virtual_addresses=(ip_interface("2001:db8::100/64"), ip_interface("2001:db8::101/64")),
            priorities=(("d2", 200), ("d1", 150)),
        ),
    ),
    real_servers=(
        RealServer(name="a", address=ip_address("2001:db8::a")),
        RealServer(name="b", address=ip_address("2001:db8::b")),
    ),
    services=(
        _service("https", Forwarding.DIRECT_ROUTING, persistence_timeout=300),
        _service("quic", Forwarding.TUNNELLING, protocol=Protocol.UDP, scheduler="sh"),
        _service("diameter", Forwarding.MASQUERADING, protocol=Protocol.SCTP, port=3868),
        _service("marked", Forwarding.DIRECT_ROUTING, protocol=None, address=None, port=None, fwmark=7),
        _service(
            "checked",
            Forwarding.DIRECT_ROUTING,
            port=8080,
            check=HealthCheck(
                kind=CheckKind.HTTP_GET, path="/up", status=204, connect_timeout=1.5, retries=0, delay_before_retry=0.5
            ),
        ),
    ),
    snat=Snat(vaddr=ip_network("2001:db8::/64")),
)
