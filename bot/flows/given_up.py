"""Posts that were given up for want of an answer: what Slack carries out of them after all would stand there twice."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.flows.ports import Clock, MessageRef, Messenger

# Seconds from giving it up to the first look, and from each look to the next: Slack may take a while over a post.
LOOKS_AFTER = (15.0, 45.0, 240.0)
# As many are remembered, the latest ones: while Slack fails at a message but answers otherwise, it is tried every few
# seconds.
MOST = 50


def attempt() -> str:
    """A name for one try to post something: no other message carries it."""
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUp:
    """A try to post what tells of *keys*, of which nobody knows what became. ``due``: when to look (monotonic)."""

    attempt: str
    keys: tuple[str, ...]
    channel: str
    thread_ts: str | None
    at: datetime
    due: float
    looks: int = 0


class GivenUps:
    """What was given up lately. It is forgotten with the process: so is, then, what stands twice because of it."""

    def __init__(self, messenger: Messenger, clock: Clock) -> None:
        self._messenger = messenger
        self._clock = clock
        self._all: deque[GivenUp] = deque(maxlen=MOST)

    def __len__(self) -> int:
        return len(self._all)

    def add(self, attempt: str, keys: Sequence[str], channel: str, thread_ts: str | None) -> None:
        """Remember *attempt*: it may be carried out yet."""
        due = self._clock.monotonic() + LOOKS_AFTER[0]
        now = self._clock.now()
        self._all.append(
            GivenUp(attempt=attempt, keys=tuple(keys), channel=channel, thread_ts=thread_ts, at=now, due=due)
        )

    def is_due(self) -> bool:
        """Whether it is time to look for one of them."""
        now = self._clock.monotonic()
        return any(g.due <= now for g in self._all)

    async def look(self, lookback: timedelta) -> list[tuple[GivenUp, MessageRef]]:
        """Those of one place that stand in Slack, and where: each is for :meth:`done` or :meth:`keep`.

        *lookback* is how far Slack's clock may be apart from this one. Raises MessengerUnavailable: then all stay due.
        """
        now = self._clock.monotonic()
        first = next(g for g in self._all if g.due <= now)
        asked = [g for g in self._all if (g.channel, g.thread_ts) == (first.channel, first.thread_ts)]
        since = min(g.at for g in asked) - lookback
        names = [g.attempt for g in asked]
        found = await self._messenger.attempts(first.channel, names, thread_ts=first.thread_ts, since=since)
        left = (self._looked_for(g) if g in asked and g.attempt not in found else g for g in self._all)
        self._all = deque((g for g in left if g is not None), maxlen=MOST)
        return [(g, found[g.attempt]) for g in asked if g.attempt in found]

    def done(self, given: GivenUp) -> None:
        """Look for *given* no more."""
        self._all = deque((g for g in self._all if g.attempt != given.attempt), maxlen=MOST)

    def keep(self, given: GivenUp) -> None:
        """Look for *given* again, a while later."""
        self.done(given)
        if (again := self._looked_for(given)) is not None:
            self._all.append(again)

    def put_off(self, seconds: float) -> None:
        """Look for nothing of it for so long: Slack asks for patience, or does not answer."""
        until = self._clock.monotonic() + seconds
        self._all = deque((replace(g, due=max(g.due, until)) for g in self._all), maxlen=MOST)

    def _looked_for(self, given: GivenUp) -> GivenUp | None:
        looks = given.looks + 1
        if looks == len(LOOKS_AFTER):
            return None
        return replace(given, looks=looks, due=self._clock.monotonic() + LOOKS_AFTER[looks])
