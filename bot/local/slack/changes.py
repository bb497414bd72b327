"""The one feed of what changed: the page, ``wait_for`` and an embedding program all listen to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from bot.local.slack.wire import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something that became visible. ``kind`` and ``data`` are what the page receives (docs/slack-stand-in.md).

    ``to`` is the only person who sees it, or None for every member of ``channel`` (everybody, if that is None too).
    """

    kind: str
    data: Json = field(default_factory=dict)
    to: str | None = None
    channel: str | None = None

    def as_json(self) -> Json:
        """The message to the page."""
        return {"type": self.kind, **self.data}


T = TypeVar("T")
Listener = Callable[[Change], None]


class Changes:
    """Publishes each change to every listener, at once and in order."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._waiting: set[asyncio.Event] = set()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call *listener* with each change from now on; the returned function ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def publish(self, change: Change) -> None:
        """Tell everybody."""
        for listener in tuple(self._listeners):
            listener(change)
        self.wake()

    def wake(self) -> None:
        """Let everyone in :meth:`until` look again; for changes that the page does not show."""
        for event in self._waiting:
            event.set()

    async def until(self, predicate: Callable[[], T], timeout: float) -> T:
        """The first true value of *predicate*, tried again after each change. Raises TimeoutError after *timeout* s."""
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            async with asyncio.timeout(timeout):
                while not (value := predicate()):
                    event.clear()
                    await event.wait()
                return value
        finally:
            self._waiting.discard(event)
