"""config/fleet.yaml -> Fleet: each entry is fitted to its shape, then everything is compared with everything."""

from __future__ import annotations

from pathlib import Path

from bot.domain.fleet import (
    CheckKind,
    Cluster,
    Director,
    Fleet,
    HealthCheck,
    PoolMember,
    Probe,
    RealServer,
    Snat,
    SshAccess,
    VirtualService,
    VrrpInstance,
)
from bot.settings import fleet_rules, probes
from bot.settings.document import read_document
from bot.settings.fleet_shapes import (
    CheckShape,
    ClusterShape,
    DirectorShape,
    FleetShape,
    MemberShape,
    RealServerShape,
    ServiceShape,
    SshShape,
    VrrpShape,
)
from bot.settings.problems import Key, SettingsError, in_order
from bot.settings.reader import Reader


def load_fleet(path: Path) -> Fleet:
    """The fleet that the file at *path* describes. Raises SettingsError with every problem in it."""
    reader = Reader(read_document(path))
    fleet = read_fleet(reader)
    if reader.problems:
        raise SettingsError(in_order(path, reader.problems))
    return fleet


def read_fleet(reader: Reader) -> Fleet:
    """The usable part of a fleet file; what is wrong is reported to *reader*."""
    outline = reader.fit(FleetShape, ())
    names = list(outline.clusters) if outline else []
    if outline and not names:
        reader.report(("clusters",), "there is no cluster", "at least one; config/fleet.yaml shows one")
    shapes = reader.entries(ClusterShape, ("clusters",), "cluster") if names else {}
    fleet = Fleet(clusters=tuple(_cluster(reader, name, shape) for name, shape in shapes.items() if shape))
    fleet_rules.check_names(reader, fleet)
    return fleet


def _cluster(reader: Reader, name: str, shape: ClusterShape) -> Cluster:
    key: Key = ("clusters", name)
    directors = reader.entries(DirectorShape, (*key, "directors"), "director")
    real_servers = reader.entries(RealServerShape, (*key, "real_servers"), "real server")
    instances = reader.entries(VrrpShape, (*key, "vrrp_instances"), "VRRP instance")
    services = reader.entries(ServiceShape, (*key, "virtual_services"), "virtual service")
    if not directors:
        reader.report(
            (*key, "directors"), "the cluster has no director", "at least one: `sv1: {address: …, interface: …}`"
        )
    rules = fleet_rules.Rules(reader, key, directors, real_servers, instances, services, shape.snat)
    rules.check()
    usable = {n: RealServer(name=n, address=s.address, host=s.host) for n, s in real_servers.items() if s}
    built: list[VirtualService] = []
    probing: list[Probe] = []
    for service_name, service_shape in services.items():
        if service_shape is None:
            continue
        at = (*key, "virtual_services", service_name)
        service = _service(reader, at, service_name, service_shape, rules)
        built.append(service)
        probing.extend(probes.expand(reader, (*at, "probes"), service_shape.probes, name, service, usable))
    return Cluster(
        name=name,
        directors=tuple(
            Director(name=n, address=s.address, interface=s.interface, ssh=_ssh(s.ssh, shape.ssh))
            for n, s in directors.items()
            if s
        ),
        vrrp_instances=tuple(_instance(n, s) for n, s in instances.items() if s),
        real_servers=tuple(usable.values()),
        services=tuple(built),
        probes=tuple(probing),
        snat=Snat(vaddr=shape.snat.vaddr) if shape.snat else None,
    )


def _ssh(own: SshShape, of_cluster: SshShape) -> SshAccess:
    default = SshAccess()
    return SshAccess(
        user=own.user or of_cluster.user or default.user,
        port=own.port or of_cluster.port or default.port,
        jump=own.jump or of_cluster.jump,
    )


def _instance(name: str, shape: VrrpShape) -> VrrpInstance:
    return VrrpInstance(
        name=name,
        virtual_router_id=shape.virtual_router_id,
        interface=shape.interface,
        advert_int=shape.advert_int,
        virtual_addresses=tuple(shape.virtual_addresses),
        priorities=tuple(sorted(shape.priorities.items(), key=lambda item: -item[1])),
        auth_pass_env=shape.auth_pass_env,
    )


def _service(reader: Reader, key: Key, name: str, shape: ServiceShape, rules: fleet_rules.Rules) -> VirtualService:
    members = reader.entries(MemberShape, (*key, "pool"), "pool member")
    rules.check_pool(key, shape, members)
    return VirtualService(
        name=name,
        protocol=shape.protocol,
        address=shape.address,
        port=shape.port,
        fwmark=shape.fwmark,
        vrrp_instance=shape.vrrp_instance or rules.carrier(shape),
        scheduler=shape.scheduler,
        forwarding=shape.forwarding,
        members=tuple(
            PoolMember(real_server=n, port=m.port or shape.port or 0, weight=m.weight) for n, m in members.items() if m
        ),
        delay_loop=shape.delay_loop,
        persistence_timeout=shape.persistence_timeout,
        check=_check(reader, (*key, "check"), shape.check) if shape.check else None,
        mark_family=rules.family_of(members),
    )


def _check(reader: Reader, key: Key, shape: CheckShape) -> HealthCheck | None:
    kinds = [kind for kind in CheckKind if getattr(shape, kind.value) is not None]
    if len(kinds) != 1:
        what = f"keepalived makes one check here, not {len(kinds)}" if kinds else "the check is empty"
        reader.report(key, what, f"exactly one of: {', '.join(CheckKind)}")
        return None
    check = getattr(shape, kinds[0].value)
    return HealthCheck(
        kind=kinds[0],
        connect_timeout=check.connect_timeout,
        retries=check.retries,
        delay_before_retry=check.delay_before_retry,
        path=shape.http_get.path if shape.http_get else None,
        status=shape.http_get.status if shape.http_get else None,
        query=shape.dns_check.query if shape.dns_check else None,
    )
