"""What an operator asked for outlives keepalived and the director that did not answer: weights are put right later."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import structlog

from bot.domain.events import OverrideReasserted, Recorded, RestoreCaughtUp, RollCallTaken
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
    """A real server that was found with a ``weight``, and what is ``wanted``: 0 (it is drained), or what is owed to it.

    ``tries``: how often that was not mended.
    """

    cluster: str
    director: str
    service: str
    real_server: str
    weight: int
    wanted: int = 0
    tries: int = 0

    @property
    def about(self) -> Drift:
        """What is the same however often it is found."""
        return replace(self, weight=0, tries=0)


def drifted(recorded: Recorded, operations: Operations) -> tuple[Drift, ...]:
    """Every real server of a roll call whose drain or whose restore has to be seen to there."""
    event = recorded.event
    if not isinstance(event, RollCallTaken):
        return ()
    found = (
        Drift(
            cluster=event.cluster,
            director=answer.director,
            service=service,
            real_server=server,
            weight=weight,
            wanted=operations.owes(event.cluster, answer.director, service, server),
        )
        for answer in event.answers
        for service, server, weight in answer.weights or ()
    )
    return tuple(d for d in found if d.wanted or (d.weight > 0 and operations.override(d.cluster, d.real_server)))


class Reconciler:
    """Re-asserts drains and completes restores: whenever a roll call shows a drift, again and again until it is mended.

    A drained real server that has a weight is taken back to 0. One that was restored while a director did not answer
    gets its weight there, but for as long as the probes find it down.
    """

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
        if drift.about in self._pending and not drift.tries:
            return
        self._pending.add(drift.about)
        if after_s:
            asyncio.get_running_loop().call_later(after_s, self._drifts.put_nowait, drift)
        else:
            self._drifts.put_nowait(drift)

    async def run(self) -> None:
        """Put right what drifted, until cancelled."""
        while True:
            drift = await self._drifts.get()
            if await self._is_mended(drift):
                self._pending.discard(drift.about)
                continue
            # Nobody else would look at it again: what every look finds is no news.
            delay = min(self._again_s * 2**drift.tries, LONGEST_S)
            self._take_up(replace(drift, tries=drift.tries + 1), delay)

    async def _is_mended(self, drift: Drift) -> bool:
        """Set the weight that is wanted; whether that is done with. What went wrong is recorded the first time."""
        cluster = next((c for c in self.fleet.clusters if c.name == drift.cluster), None)
        if cluster is None or not _has(cluster, drift):
            return True
        director = cluster.director(drift.director)
        try:
            async with self._shell.changing(director):
                await self._chronicle.catch_up()  # a terminal's process may have restored it
                operations = self._chronicle.world.operations
                if not _is_asked_for(drift, operations):
                    return True
                if operations.busy_with(drift.cluster, drift.real_server) or self._is_down(drift):
                    return False
                error = await self._put_right(cluster, director, drift)
            if drift.tries and error:
                return False
            if error is not None:
                await self._chronicle.append(Entry(event=_told(drift, error or None)))
        except JournalUnavailable as failure:
            log.error("a weight could not be put right", error=str(failure), director=drift.director)
            return False
        return not error

    def _is_down(self, drift: Drift) -> bool:
        """Whether it is to get a weight and is not well: by itself, nobody sends clients to one that is down."""
        situation = self._chronicle.world.situations[drift.cluster]
        removed = (drift.director, drift.service, drift.real_server) in situation.removed
        down = removed or situation.healthy(drift.service, drift.real_server) is False
        return drift.wanted > 0 and drift.weight == 0 and down

    async def _put_right(self, cluster: Cluster, director: Director, drift: Drift) -> str | None:
        """What went wrong; empty where it is done and to be told, None where there is nothing (or nothing more) to do.

        A restore that finds a weight there (keepalived has started anew since) is completed by that.
        """
        service, server = cluster.service(drift.service), cluster.real_server(drift.real_server)
        try:
            table = await read_table_to_change(self._shell, cluster, director)
            destination = destination_of(table, service, server)
            if destination is None or (destination.weight == 0 and not drift.wanted):
                return None
            if destination.weight > 0 and drift.wanted:
                return ""
            if drift.weight > 0 and drift.wanted:
                return None  # somebody has set it to 0 since that look: what that means, the next one tells
            result = await self._shell.run(director, set_weight(service, destination, drift.wanted), sudo=True)
            after = destination_of(await read_table(self._shell, director), service, server)
        except (ShellError, CommandFailed, Unreadable) as failure:
            return str(failure) or type(failure).__name__
        if result.exit_status != 0:
            return str(CommandFailed(result))
        if after is not None and after.weight != drift.wanted:
            return f"the table still shows weight {after.weight}"
        return ""


def _is_asked_for(drift: Drift, operations: Operations) -> bool:
    """Whether what *drift* is to be mended to is still what an operator wants."""
    if drift.wanted:
        return operations.owes(drift.cluster, drift.director, drift.service, drift.real_server) == drift.wanted
    return operations.override(drift.cluster, drift.real_server) is not None


def _told(drift: Drift, error: str | None) -> OverrideReasserted | RestoreCaughtUp:
    """What is recorded of *drift*, mended or not."""
    event = RestoreCaughtUp if drift.wanted else OverrideReasserted
    return event(
        cluster=drift.cluster,
        real_server=drift.real_server,
        director=drift.director,
        service=drift.service,
        found=drift.weight,
        error=error,
    )


def _has(cluster: Cluster, drift: Drift) -> bool:
    """Whether the fleet file still has everything that *drift* is about."""
    return (
        drift.director in {d.name for d in cluster.directors}
        and drift.service in {s.name for s in cluster.services}
        and drift.real_server in {s.name for s in cluster.real_servers}
    )
