"""How far a drain or a restore has come, by what every director shows."""

from __future__ import annotations

from collections.abc import Sequence

from bot.domain.fleet import Cluster, RealServer
from bot.domain.observed import IpvsDestination, IpvsTable, Observed, destination_of


def counted(observed: Sequence[Observed], cluster: Cluster, server: RealServer) -> dict[str, int | None]:
    """Active connections of *server* by director; None of one that could not be asked."""
    return {
        one.director: None if one.table is None else sum(d.active for d in _places(one.table, cluster, server))
        for one in observed
    }


def weighted(observed: Sequence[Observed], cluster: Cluster, server: RealServer) -> tuple[str, ...]:
    """The directors that send new connections to *server*."""
    return tuple(
        one.director
        for one in observed
        if one.table is not None and any(d.weight for d in _places(one.table, cluster, server))
    )


def _places(table: IpvsTable, cluster: Cluster, server: RealServer) -> list[IpvsDestination]:
    found = (destination_of(table, service, server) for service in cluster.services_of(server.name))
    return [destination for destination in found if destination is not None]


def hinders(observed: Sequence[Observed], cluster: Cluster, server: RealServer) -> str:
    """Why *server* is not drained after all that time, in words."""
    counts = counted(observed, cluster, server)
    left = sum(count or 0 for count in counts.values())
    unread = [director for director, count in counts.items() if count is None]
    giving = weighted(observed, cluster, server)
    return "; ".join(
        (
            *([f"{left} active connection{' is' if left == 1 else 's are'} left"] if left else []),
            *(f"{director} cannot be asked" for director in unread),
            *(f"{director} gives it new connections" for director in giving),
            *([] if left or unread or giving else ["its last connection has only just ended"]),
        )
    )


def emptied(observed: Sequence[Observed], cluster: Cluster, server: RealServer) -> list[str]:
    """Where a *server* that was restored shows weight 0 all the same, in words; a configured 0 is as it should be."""
    wanted = [s for s in cluster.services_of(server.name) if (member := s.member(server.name)) and member.weight]
    return [
        f"{one.director} shows weight 0 in {service.name}"
        for one in observed
        for service in wanted
        if one.table is not None
        and (found := destination_of(one.table, service, server)) is not None
        and found.weight == 0
    ]
