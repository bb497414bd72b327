"""Asking for a self-test, and waiting for what the running bot makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from bot.domain.events import OperationDenied
from bot.domain.fleet import Cluster, NotFound
from bot.domain.policy import Denied, Roles, decide
from bot.domain.selftest import SelfTest
from bot.domain.wording import listed
from bot.flows.chronicle import Chronicle
from bot.flows.operating import Answer, Request
from bot.flows.ports import Clock, Entry
from bot.flows.selftest import DEADLINE_S, UnderWay, begin


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A test that the running bot is to see through; its result will stand in ``channel`` (None: nowhere)."""

    test: str
    cluster: str
    channel: str | None


class SelfTestRequests:
    """Has clusters tested for those who may ask; results go where alerts go, by *channels*."""

    def __init__(
        self,
        chronicle: Chronicle,
        clock: Clock,
        roles: Callable[[], Awaitable[Roles]],
        *,
        channels: Mapping[str, str],
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._chronicle = chronicle
        self._clock = clock
        self._roles = roles
        self._channels = channels
        self._deadline_s = deadline_s

    async def request(self, request: Request) -> tuple[Begun, ...] | Answer | NotFound:
        """Have the cluster that the command names tested, or every one; nothing for a redelivery of the same request.

        Raises JournalUnavailable.
        """
        decision = decide(request.command, request.by, await self._roles())
        if isinstance(decision, Denied):
            return await self._denied(request, decision.reason)
        clusters = self._chronicle.fleet.clusters
        if request.command.name is not None:
            found = self._chronicle.fleet.find(request.command.name, Cluster)
            if isinstance(found, NotFound):
                return found
            clusters = (found.cluster,)
        begun, busy = [], []
        for cluster in clusters:
            try:
                begun += await self._begin(cluster, request)
            except UnderWay:
                busy.append(cluster.name)
        if busy and not begun:
            text = f"The alert path of {listed(busy)} is being tested already: wait for the result."
            return Answer(text=text, refused=False)
        return tuple(begun)

    async def outcome(self, begun: Begun, *, grace_s: float = 10.0, look_s: float = 0.25) -> SelfTest | None:
        """The test once the running bot has ended it, as another process sees it.

        None where that takes *grace_s* seconds more than it may: no bot took it up. Raises JournalUnavailable.
        """
        try:
            async with asyncio.timeout(self._deadline_s + grace_s):
                while True:
                    await self._chronicle.catch_up()
                    found = self._chronicle.world.selftests.by_id[begun.test]
                    if found.finished is not None:
                        return found
                    await asyncio.sleep(look_s)
        except TimeoutError:
            return None

    async def _begin(self, cluster: Cluster, request: Request) -> list[Begun]:
        channel = self._channels.get(cluster.name)
        test = await begin(
            self._chronicle,
            self._clock,
            cluster,
            request_id=request.request_id,
            by=request.by,
            channel=channel,
            deadline_s=self._deadline_s,
        )
        return [Begun(test=test, cluster=cluster.name, channel=channel)] if test else []

    async def _denied(self, request: Request, reason: str) -> Answer:
        denied = OperationDenied(operation=None, request=str(request.command), by=request.by, reason=reason)
        await self._chronicle.append(Entry(event=denied, source_key=f"denied:{request.request_id}"))
        return Answer(text=reason)
