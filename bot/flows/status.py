"""/lvs status: ask every director of what a name is about, and join it with what is known."""

from __future__ import annotations

import asyncio

from bot.domain.fleet import Cluster, Director, Found, NotFound, RealServer, VirtualService
from bot.domain.status import Status, status_of
from bot.flows.chronicle import Chronicle
from bot.flows.observing import observe_all
from bot.flows.ports import Clock, RemoteShell


async def gather_status(
    chronicle: Chronicle, shell: RemoteShell, clock: Clock, name: str | None
) -> tuple[Status, ...] | NotFound:
    """The status of everything (*name* None), or of the cluster, director, service or real server called *name*."""
    if name is None:
        clusters = chronicle.fleet.clusters
        return tuple(await asyncio.gather(*(_status(chronicle, shell, clock, c, None) for c in clusters)))
    found = chronicle.fleet.find(name)
    if isinstance(found, NotFound):
        return found
    return (await _status(chronicle, shell, clock, found.cluster, found),)


async def _status(
    chronicle: Chronicle, shell: RemoteShell, clock: Clock, cluster: Cluster, found: Found | None
) -> Status:
    thing = found.thing if found else None
    # Also where one director is asked about: who holds an address, and where they differ, takes the word of all.
    observed = await observe_all(shell, cluster)
    world = chronicle.world
    return status_of(
        cluster,
        observed,
        world.situations[cluster.name],
        at=clock.now(),
        overrides=world.operations.overrides,
        incidents=world.incidents[cluster.name].open,
        operations=tuple(op for op in world.operations.by_id.values() if op.cluster == cluster.name),
        only=thing if isinstance(thing, Director | RealServer | VirtualService) else None,
    )
