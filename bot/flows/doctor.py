"""/lvs doctor: look at every director twice, and judge what was seen beside what is known. Nothing is changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from bot.domain.doctor import Examination, Known, examine, narrowed
from bot.domain.events import RollCallAnswer
from bot.domain.fleet import Cluster, Found, NotFound
from bot.flows.chronicle import Chronicle
from bot.flows.observing import take_roll_call
from bot.flows.ports import Clock, RemoteShell

BETWEEN_LOOKS_S = 1.0
"""Seconds between two looks: time for a table that was just being built, and for a client or a probe to come."""


class Doctor:
    """Examines clusters. ``heard`` gives when each agent was last heard (None: this process hears none)."""

    def __init__(
        self,
        chronicle: Chronicle,
        shell: RemoteShell,
        clock: Clock,
        *,
        heard: Callable[[], Mapping[str, datetime | None] | None] = lambda: None,
        heartbeat_s: float = 10.0,
        between_looks_s: float = BETWEEN_LOOKS_S,
    ) -> None:
        self._chronicle = chronicle
        self._shell = shell
        self._clock = clock
        self._heard = heard
        self._silent_after = timedelta(seconds=3 * heartbeat_s)
        self._between_looks_s = between_looks_s
        self._listening = clock.now()

    async def examine(self, name: str | None) -> tuple[Examination, ...] | NotFound:
        """Examine everything (*name* None), or what is called *name* (a cluster, director, instance, service …)."""
        if name is None:
            clusters = self._chronicle.fleet.clusters
            return tuple(await asyncio.gather(*(self._examine(c, None) for c in clusters)))
        found = self._chronicle.fleet.find(name)
        if isinstance(found, NotFound):
            return found
        return (await self._examine(found.cluster, found),)

    async def _examine(self, cluster: Cluster, found: Found | None) -> Examination:
        earlier = await self._look(cluster)
        answered = tuple(d for d in cluster.directors if any(a.answered and a.director == d.name for a in earlier))
        again: tuple[RollCallAnswer, ...] = ()
        if answered:
            await asyncio.sleep(self._between_looks_s)
            # Who has not answered was asked twice already, and would only make the person wait.
            again = await self._look(replace(cluster, directors=answered))
        answers = {a.director: a for a in (*earlier, *again)}
        world, now = self._chronicle.world, self._clock.now()
        known = Known(
            situation=world.situations[cluster.name],
            operations=world.operations,
            now=now,
            heard=self._heard(),
            listening=self._listening,
            silent_after=self._silent_after,
        )
        scope = narrowed(cluster, found.thing) if found is not None else cluster
        findings = examine(scope, tuple(answers.values()), known, earlier=earlier)
        name = None if found is None or isinstance(found.thing, Cluster) else found.thing.name
        return Examination(cluster=cluster.name, name=name, at=now, findings=findings)

    async def _look(self, cluster: Cluster) -> tuple[RollCallAnswer, ...]:
        taken = await take_roll_call(self._shell, self._clock, cluster, "the doctor was asked")
        return taken.answers
