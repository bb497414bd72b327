"""What is wrong at a time: every trouble that a situation shows, but for roles that have moved."""

from __future__ import annotations

from collections.abc import Iterator

from bot.domain.events import VrrpState
from bot.domain.fleet import Cluster, VirtualService, VrrpInstance
from bot.domain.situation import Situation
from bot.domain.troubles import Matter, Trouble


def troubles_of(situation: Situation, cluster: Cluster) -> frozenset[Trouble]:
    """Everything that is not as it should be in *situation*, but for roles that have moved."""
    return frozenset(
        (
            *situation.found,
            *(trouble for d in cluster.directors for trouble in _of_director(situation, d.name)),
            *_of_servers(situation, cluster),
            *(trouble for i in cluster.vrrp_instances for trouble in _of_instance(situation, cluster, i)),
            *(Trouble(matter=Matter.SENSE, subject=s.value) for s, e in situation.senses.items() if e.lost),
        )
    )


def _of_director(situation: Situation, name: str) -> Iterator[Trouble]:
    wrong = {
        Matter.DIRECTOR: situation.unreachable(name),
        Matter.BLIND: situation.shut_out(name),
        Matter.AGENT: name in situation.silent,
        Matter.COMPLAINT: name in situation.complaining_agents,
        Matter.STREAM: name in situation.gaps,
        Matter.UNIT: situation.answered(name) is not None and bool(faults(situation, name)),
    }
    return (Trouble(matter=matter, subject=name) for matter, is_so in wrong.items() if is_so)


def _of_servers(situation: Situation, cluster: Cluster) -> Iterator[Trouble]:
    for server in cluster.real_servers:
        if situation.complaints(server.name):
            yield Trouble(matter=Matter.REAL_SERVER, subject=server.name)
    for service in cluster.services:
        if service_is_down(situation, cluster, service.name):
            yield Trouble(matter=Matter.SERVICE, subject=service.name)
    for (service_name, server_name), certificate in situation.certificates.items():
        if certificate.expiring:
            yield Trouble(matter=Matter.CERTIFICATE, subject=service_name, of=server_name or "")


def _of_instance(situation: Situation, cluster: Cluster, instance: VrrpInstance) -> Iterator[Trouble]:
    wrong = {
        Matter.VIP: bool(situation.vip_troubles(services_of(cluster, instance))),
        Matter.CONTEST: instance.name in situation.split,
        Matter.ADDRESS: instance.name in situation.readdressed,
    }
    return (Trouble(matter=matter, subject=instance.name) for matter, is_so in wrong.items() if is_so)


def faults(situation: Situation, director: str) -> tuple[str, ...]:
    """The instances for which *director* says that it is in FAULT."""
    return tuple(
        sorted(i for (d, i), claim in situation.claims.items() if d == director and claim.state is VrrpState.FAULT)
    )


def service_is_down(situation: Situation, cluster: Cluster, name: str) -> bool:
    """Whether no real server of the service is left: by the probes, or by the quorum that its MASTER has lost."""
    service = cluster.service(name)
    if is_empty(situation, service):
        return True
    master = situation.masters.get(service.vrrp_instance or "")
    return master is not None and (master, name) in situation.quorumless and situation.judges(master, name)


def is_empty(situation: Situation, service: VirtualService) -> bool:
    """Whether the probes found every real server of *service* down."""
    found = [situation.healthy(service.name, m.real_server) for m in service.members]
    return bool(found) and all(healthy is False for healthy in found)


def services_of(cluster: Cluster, instance: VrrpInstance) -> frozenset[str]:
    """The services whose address *instance* carries."""
    return frozenset(s.name for s in cluster.services if s.vrrp_instance == instance.name)
