"""An override outlives what keepalived does to the weights: take a drained real server back to 0, and say so."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import structlog

from bot.domain.events import OverrideReasserted, Recorded, RollCallTaken
from bot.domain.fleet import Cluster, Director, Fleet
from bot.domain.observed import destination_of
from bot.domain.operations import Operations
from bot.flows.chronicle import Chronicle
from bot.flows.observing import CommandFailed, read_table, read_table_to_change
from bot.flows.operating import set_weight
from bot.flows.ports import Entry, JournalUnavailable, RemoteShell, ShellError
from bot.lvs.errors import Unreadable

log = structlog.get_logger(__name__)

AGAIN_S = 1.0  # until what could not be taken back is tried again; longer each time
LONGEST_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A real server that is to be drained and was found with a ``weight``; ``tries``: how often that was not mended."""

    cluster: str
    director: str
    service: str
    real_server: str
    weight: int
    tries: int = 0


def drifted(recorded: Recorded, operations: Operations) -> tuple[Drift, ...]:
    """Every drained server that a roll call found with a weight."""
    event = recorded.event
    if not isinstance(event, RollCallTaken):
        return ()
    return tuple(
        Drift(cluster=event.cluster, director=answer.director, service=service, real_server=server, weight=weight)
        for answer in event.answers
        for service, server, weight in answer.weights or ()
        if weight > 0 and operations.override(event.cluster, server)
    )


class Reconciler:
    """Re-asserts overrides: whenever a roll call shows a drift, again and again until it is mended."""

    def __init__(self, chronicle: Chronicle, shell: RemoteShell, *, again_s: float = AGAIN_S) -> None:
        self._chronicle = chronicle
        self._shell = shell
        self._again_s = again_s
        self._drifts: asyncio.Queue[Drift] = asyncio.Queue()
        self._pending: set[Drift] = set()
        chronicle.listen(self._heard)

    @property
    def fleet(self) -> Fleet:
        """The fleet it looks after."""
        return self._chronicle.fleet

    def _heard(self, recorded: Recorded) -> None:
        for drift in drifted(recorded, self._chronicle.world.operations):
            self._take_up(drift)

    def _take_up(self, drift: Drift, after_s: float = 0.0) -> None:
        """See to *drift*, after a while; once, however often it is found meanwhile."""
        about = replace(drift, weight=0, tries=0)
        if about in self._pending and not drift.tries:
            return
        self._pending.add(about)
        if after_s:
            asyncio.get_running_loop().call_later(after_s, self._drifts.put_nowait, drift)
        else:
            self._drifts.put_nowait(drift)

    async def run(self) -> None:
        """Put right what drifted, until cancelled."""
        while True:
            drift = await self._drifts.get()
            if await self._is_mended(drift):
                self._pending.discard(replace(drift, weight=0, tries=0))
                continue
            # Nobody else would look at it again: what every look finds is no news.
            delay = min(self._again_s * 2**drift.tries, LONGEST_S)
            self._take_up(replace(drift, tries=drift.tries + 1), delay)

    async def _is_mended(self, drift: Drift) -> bool:
        """Take it back to 0; whether that is done with. What went wrong is recorded the first time."""
        cluster = next((c for c in self.fleet.clusters if c.name == drift.cluster), None)
        if cluster is None or not _has(cluster, drift):
            return True
        director = cluster.director(drift.director)
        try:
            async with self._shell.changing(director):
                await self._chronicle.catch_up()  # a terminal's process may have restored it
                operations = self._chronicle.world.operations
                if operations.override(drift.cluster, drift.real_server) is None:
                    return True
                if operations.busy_with(drift.cluster, drift.real_server):
                    return False
                error = await self._take_back(cluster, director, drift)
            if error is None or (error and drift.tries):
                return error is None
            event = OverrideReasserted(
                cluster=drift.cluster,
                real_server=drift.real_server,
                director=drift.director,
                service=drift.service,
                found=drift.weight,
                error=error or None,
            )
            await self._chronicle.append(Entry(event=event))
        except JournalUnavailable as failure:
            log.error("a drain could not be kept up", error=str(failure), director=drift.director)
            return False
        return not error

    async def _take_back(self, cluster: Cluster, director: Director, drift: Drift) -> str | None:
        """What went wrong; empty where it was set to 0, None where it had no weight any more."""
        service, server = cluster.service(drift.service), cluster.real_server(drift.real_server)
        try:
            table = await read_table_to_change(self._shell, cluster, director)
            destination = destination_of(table, service, server)
            if destination is None or destination.weight == 0:
                return None
            result = await self._shell.run(director, set_weight(service, destination, 0), sudo=True)
            after = destination_of(await read_table(self._shell, director), service, server)
        except (ShellError, CommandFailed, Unreadable) as failure:
            return str(failure) or type(failure).__name__
        if result.exit_status != 0:
            return str(CommandFailed(result))
        if after is not None and after.weight != 0:
            return f"the table still shows weight {after.weight}"
        return ""


def _has(cluster: Cluster, drift: Drift) -> bool:
    """Whether the fleet file still has everything that *drift* is about."""
    return (
        drift.director in {d.name for d in cluster.directors}
        and drift.service in {s.name for s in cluster.services}
        and drift.real_server in {s.name for s in cluster.real_servers}
    )
