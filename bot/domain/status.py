"""What /lvs status tells: a cluster as observed just now, beside what is known and wanted of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from bot.domain.fleet import Cluster, Director, RealServer, VirtualService
from bot.domain.incidents import Incident, Trouble, troubles_of
from bot.domain.observed import IpvsDestination, Observed, UnitActive, destination_of, key_of
from bot.domain.operations import Operation, Override
from bot.domain.situation import Situation


class Difference(StrEnum):
    """How the directors' tables differ about one real server."""

    NONE = ""
    WEIGHT = "weights differ"
    MISSING = "missing on one"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRow:
    """One real server behind one service. ``found`` has one place a director, None where it is in no table there."""

    server: RealServer
    found: tuple[IpvsDestination | None, ...]
    healthy: bool | None
    override: Override | None

    def without(self, left_out: tuple[bool, ...]) -> ServerRow:
        """The row as the other directors have it."""
        return replace(self, found=tuple(f for f, out in zip(self.found, left_out, strict=True) if not out))

    @property
    def difference(self) -> Difference:
        """Whether the directors agree about it; the ones without a table are passed over by the caller."""
        weights = {None if f is None else f.weight for f in self.found}
        if len(weights) <= 1:
            return Difference.NONE
        return Difference.MISSING if None in weights else Difference.WEIGHT


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRows:
    """One service with its real servers. ``present`` has one place a director."""

    service: VirtualService
    present: tuple[bool, ...]
    vip_healthy: bool | None
    rows: tuple[ServerRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """One cluster. ``observed`` holds every director of it; ``services`` the services that are shown.

    ``director`` is the one that alone is shown; None for all of them.
    """

    cluster: Cluster
    at: datetime
    observed: tuple[Observed, ...]
    services: tuple[ServiceRows, ...]
    situation: Situation
    incidents: tuple[Incident, ...]
    operations: tuple[Operation, ...]
    director: str | None = None

    @property
    def shown(self) -> tuple[Observed, ...]:
        """The directors that are shown."""
        return tuple(o for o in self.observed if self.director in (None, o.director))

    @property
    def readable(self) -> tuple[Observed, ...]:
        """The directors whose table could be read: a place each in the rows of the tables."""
        return tuple(o for o in self.observed if o.table is not None)

    @property
    def troubles(self) -> tuple[Trouble, ...]:
        """What is not as it should be, by everything that is known."""
        return tuple(sorted(troubles_of(self.situation, self.cluster)))

    @property
    def differences(self) -> tuple[str, ...]:
        """Where the directors differ, in words. A director whose keepalived is stopped is one difference, not many."""
        stopped = {
            o.director: o.keepalived.active.value
            for o in self.readable
            if o.keepalived is not None and o.keepalived.active is not UnitActive.ACTIVE
        }
        rows_differ = tuple(
            f"{row.server.name} in {rows.service.name}: {row.difference.value}"
            for rows in self.services
            for row in rows.rows
            if row.without(tuple(o.director in stopped for o in self.readable)).difference is not Difference.NONE
        )
        return (*(f"{name}: keepalived is {state}" for name, state in stopped.items()), *rows_differ)

    @property
    def holders(self) -> Mapping[str, tuple[str, ...]]:
        """Who holds each virtual address, by what was observed just now."""
        vips = [str(v.ip) for i in self.cluster.vrrp_instances for v in i.virtual_addresses]
        return {vip: tuple(o.director for o in self.observed if vip in o.holds(self.cluster)) for vip in vips}


def status_of(
    cluster: Cluster,
    observed: tuple[Observed, ...],
    situation: Situation,
    *,
    at: datetime,
    overrides: Mapping[tuple[str, str], Override],
    incidents: tuple[Incident, ...] = (),
    operations: tuple[Operation, ...] = (),
    only: Director | RealServer | VirtualService | None = None,
) -> Status:
    """Join what was *observed* with what is known; *only* narrows what is shown to one of them."""
    readable = [o.table for o in observed if o.table is not None]
    services = []
    for service in cluster.services:
        if isinstance(only, VirtualService) and service.name != only.name:
            continue
        servers = [cluster.real_server(m.real_server) for m in service.members]
        if isinstance(only, RealServer):
            servers = [s for s in servers if s.name == only.name]
        if not servers:
            continue
        rows = tuple(
            ServerRow(
                server=server,
                found=tuple(destination_of(table, service, server) for table in readable),
                healthy=situation.healthy(service.name, server.name),
                override=overrides.get((cluster.name, server.name)),
            )
            for server in servers
        )
        present = tuple(table.service(key_of(service)) is not None for table in readable)
        vip = situation.healthy(service.name, None)
        services.append(ServiceRows(service=service, present=present, vip_healthy=vip, rows=rows))
    return Status(
        cluster=cluster,
        at=at,
        observed=observed,
        services=tuple(services),
        situation=situation,
        incidents=incidents,
        operations=operations,
        director=only.name if isinstance(only, Director) else None,
    )
