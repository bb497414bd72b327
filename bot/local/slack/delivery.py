"""How what people do reaches the app: one envelope, one acknowledgement, and retries where Slack retries."""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from bot.local.slack.wire import Json, SlackError
from bot.local.slack.world import KEPT, World


class Kind(StrEnum):
    """The types of Socket Mode envelopes."""

    COMMAND = "slash_commands"
    INTERACTIVE = "interactive"
    EVENT = "events_api"


class Outcome(StrEnum):
    """What became of an envelope, in the words that Slack shows."""

    ACKED = "acked"
    TIMED_OUT = "operation_timeout"
    FAILED = "dispatch_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """The app's acknowledgement, or the lack of one. ``payload`` is what it said with it.

    ``reason`` is Slack's word for why there is none (``http_timeout`` …), as a repeated event carries it.
    """

    outcome: Outcome
    payload: Json = field(default_factory=dict)
    reason: str = ""
    no_retry: bool = False

    @property
    def ok(self) -> bool:
        """Whether the app acknowledged in time."""
        return self.outcome is Outcome.ACKED


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """A repeated delivery: which attempt this is (from 1), and why."""

    attempt: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """An envelope that went out, for tests to look at."""

    kind: Kind
    payload: Json
    ack: Ack
    retry: Retry | None = None


class Link(Protocol):
    """A way to the app: Socket Mode or signed HTTP requests."""

    @property
    def connected(self) -> bool:
        """Whether something could be delivered now."""
        ...

    async def send(self, kind: Kind, payload: Json, retry: Retry | None) -> Ack:
        """Deliver once and wait for the acknowledgement until Slack's deadline."""
        ...


class Delivery:
    """Delivers over the link in use and keeps a record."""

    def __init__(self, world: World, link: Link) -> None:
        self._world = world
        self.link = link
        self.log: deque[Delivered] = deque(maxlen=KEPT)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._last: tuple[Kind, Json] | None = None

    async def deliver(self, kind: Kind, payload: Json, retry: Retry | None = None) -> Ack:
        """Hand *payload* to the app once."""
        payload = copy.deepcopy(payload)  # messages and views live on; what was sent stays as it was
        self._last = (kind, payload)
        ack = await self.link.send(kind, payload, retry)
        self.log.append(Delivered(kind=kind, payload=payload, ack=ack, retry=retry))
        self._world.changes.wake()
        return ack

    async def redeliver_last(self) -> Ack:
        """Send the last envelope's payload again, as Slack does when an acknowledgement was lost on the way.

        Raises SlackError("nothing_delivered") if there was none.
        """
        return await self.deliver(*self._repeated())

    def redeliver_soon(self) -> None:
        """Like :meth:`redeliver_last`, without waiting for the acknowledgement."""
        self._in_background(self.deliver(*self._repeated()))

    def _repeated(self) -> tuple[Kind, Json, Retry]:
        if self._last is None:
            raise SlackError("nothing_delivered", "no envelope was delivered yet: there is none to repeat")
        return (*self._last, Retry(attempt=1, reason="timeout"))

    def publish(self, payload: Json) -> None:
        """Deliver an event in the background, and again after Slack's delays while it is not acknowledged."""
        self._in_background(self._until_acked(payload))

    def _in_background(self, job: Coroutine[None, None, Any]) -> None:
        task = asyncio.get_running_loop().create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up the retries that are still due."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _until_acked(self, payload: Json) -> None:
        ack = await self.deliver(Kind.EVENT, payload)
        for attempt, delay in enumerate(self._world.config.deadlines.event_retries, start=1):
            if ack.ok or ack.no_retry:
                return
            await asyncio.sleep(delay)
            ack = await self.deliver(Kind.EVENT, payload, Retry(attempt=attempt, reason=ack.reason))
