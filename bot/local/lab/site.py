"""What the lab makes of a fleet: which cluster, which addresses, and one real server inside each director."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from bot.domain.fleet import Cluster, Director, Fleet, RealServer, VirtualService
from bot.local.lab.errors import LabError

WEBHOOK_PORT = 8780
WEBHOOK_PATH = "/events/keepalived"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One cluster as the lab builds it. ``ops`` is the address of the namespace where the bot is."""

    cluster: Cluster
    network: IPv4Network
    ops: IPv4Address

    @property
    def directors(self) -> tuple[str, ...]:
        """The names of the guests."""
        return tuple(director.name for director in self.cluster.directors)

    @property
    def webhook(self) -> str:
        """Where the directors' agents report."""
        return f"http://{self.ops}:{WEBHOOK_PORT}{WEBHOOK_PATH}"

    def inside(self, director: str) -> RealServer:
        """The real server that lives inside of *director*."""
        return next(server for server in self.cluster.real_servers if server.host == director)

    def service_on(self, port: int) -> VirtualService:
        """A virtual service on *port*. Raises LabError."""
        for service in self.cluster.services:
            if service.port == port:
                return service
        raise LabError(f"cluster {self.cluster.name}: the lab needs a virtual service on port {port}: add it")


def site_of(fleet: Fleet) -> Site:
    """The first cluster of *fleet* as a lab. Raises LabError, with what to change, if it does not fit into one."""
    if not fleet.clusters:
        raise LabError("the fleet has no cluster: the lab builds the first one of the fleet file")
    cluster = fleet.clusters[0]
    vips = [address for instance in cluster.vrrp_instances for address in instance.virtual_addresses]
    if not vips or not isinstance(vips[0].network, IPv4Network):
        raise LabError(f"cluster {cluster.name}: the lab needs an IPv4 virtual address with its prefix length")
    network = vips[0].network
    _fits(cluster, network)
    taken = {d.address for d in cluster.directors} | {r.address for r in cluster.real_servers} | {v.ip for v in vips}
    ops = next(address for address in list(network.hosts())[4:] if address not in taken)
    return Site(cluster=cluster, network=network, ops=ops)


def _fits(cluster: Cluster, network: IPv4Network) -> None:
    things: tuple[Director | RealServer, ...] = (*cluster.directors, *cluster.real_servers)
    for thing in things:
        if thing.address not in network:
            raise LabError(
                f"{cluster.name}/{thing.name}: the lab is one network, {network}; {thing.address} is not in it"
            )
    for director in cluster.directors:
        inside = [server.name for server in cluster.real_servers if server.host == director.name]
        if len(inside) != 1:
            raise LabError(
                f"{cluster.name}/{director.name}: the lab needs one real server with `host: {director.name}`"
            )
    if len(cluster.directors) != len(cluster.real_servers):
        raise LabError(
            f"cluster {cluster.name}: in the lab each real server lives inside of a director: set its `host`"
        )
