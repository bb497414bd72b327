"""An override outlives what keepalived does to the weights: take a drained real server back to 0, and say so."""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from bot.domain.events import OverrideReasserted, Recorded, RollCallTaken
from bot.domain.fleet import Fleet
from bot.domain.observed import destination_of
from bot.domain.operations import Operations
from bot.flows.chronicle import Chronicle
from bot.flows.observing import CommandFailed, read_table, read_table_to_change
from bot.flows.operating import set_weight
from bot.flows.ports import Entry, JournalUnavailable, RemoteShell, ShellError
from bot.lvs.errors import Unreadable

log = structlog.get_logger(__name__)


def drifted(recorded: Recorded, operations: Operations) -> tuple[tuple[str, str, str, int], ...]:
    """(director, service, real server, weight) for every drained server that a roll call found with a weight."""
    event = recorded.event
    if not isinstance(event, RollCallTaken):
        return ()
    return tuple(
        (answer.director, service, server, weight)
        for answer in event.answers
        for service, server, weight in answer.weights or ()
        if weight > 0 and _in_force(operations, event.cluster, server)
    )


def _in_force(operations: Operations, cluster: str, server: str) -> bool:
    """Whether *server* is to have weight 0, and no operation is just changing that."""
    return bool(operations.override(cluster, server)) and not operations.busy_with(cluster, server)


class Reconciler:
    """Re-asserts overrides. It looks whenever a roll call or keepalived's own word shows a drift."""

    def __init__(self, chronicle: Chronicle, shell: RemoteShell) -> None:
        self._chronicle = chronicle
        self._shell = shell
        self._drifts: asyncio.Queue[tuple[str, str, str, str, int]] = asyncio.Queue()
        chronicle.listen(self._heard)

    @property
    def fleet(self) -> Fleet:
        """The fleet it looks after."""
        return self._chronicle.fleet

    def _heard(self, recorded: Recorded) -> None:
        for director, service, server, weight in drifted(recorded, self._chronicle.world.operations):
            assert isinstance(recorded.event, RollCallTaken)
            self._drifts.put_nowait((recorded.event.cluster, director, service, server, weight))

    async def run(self) -> None:
        """Put right what drifted, until cancelled."""
        while True:
            await self._reassert(*await self._drifts.get())

    async def _reassert(self, cluster_name: str, director_name: str, service_name: str, name: str, found: int) -> None:
        cluster = self.fleet.cluster(cluster_name)
        director, service = cluster.director(director_name), cluster.service(service_name)
        server = cluster.real_server(name)
        error = None
        async with self._shell.changing(director):
            with contextlib.suppress(JournalUnavailable):
                await self._chronicle.catch_up()  # a terminal's process may have restored it
            if not _in_force(self._chronicle.world.operations, cluster_name, name):
                return
            try:
                table = await read_table_to_change(self._shell, cluster, director)
                destination = destination_of(table, service, server)
                if destination is None or destination.weight == 0:
                    return
                result = await self._shell.run(director, set_weight(service, destination, 0), sudo=True)
                after = destination_of(await read_table(self._shell, director), service, server)
                if result.exit_status != 0:
                    error = str(CommandFailed(result))
                elif after is not None and after.weight != 0:
                    error = f"the table still shows weight {after.weight}"
            except (ShellError, CommandFailed, Unreadable) as failure:
                error = str(failure)
        event = OverrideReasserted(
            cluster=cluster_name,
            real_server=name,
            director=director_name,
            service=service_name,
            found=found,
            error=error,
        )
        await self._chronicle.append(Entry(event=event))
