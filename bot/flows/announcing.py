"""Make Slack agree with the journal: post what was never said, edit what no longer holds, and lose nothing."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from bot.domain.events import MessagePosted
from bot.flows.chronicle import Chronicle, World
from bot.flows.ports import (
    Clock,
    Entry,
    JournalUnavailable,
    MessageRef,
    MessageRefused,
    Messenger,
    MessengerUnavailable,
)
from bot.views.message import SlackMessage

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """A message as it should stand in Slack. ``thread_of`` is the key of the message that it answers to.

    ``passing`` says that this wording is only a moment's (a count going down): it need not be remembered. ``born`` is
    when there was first something to say: what is older than this run of the bot may have been posted by the last one.
    """

    key: str
    channel: str
    message: SlackMessage
    born: datetime
    thread_of: str | None = None
    passing: bool = False
    digest: str = field(init=False)
    """What the message says, in short: equal digests need no edit."""

    def __post_init__(self) -> None:
        """Digest the message, once: it is compared at each look."""
        said = json.dumps([self.message.text, self.message.blocks], sort_keys=True)
        object.__setattr__(self, "digest", hashlib.sha256(said.encode()).hexdigest()[:16])


# From the folds and the time: what should stand in Slack, openings in the order in which they happened.
Projection = Callable[[World, datetime], Iterable[Announcement]]


class Pace:
    """Slack's limit of about one message a second a channel (api.slack.com/docs/rate-limits), with a short burst."""

    def __init__(self, rate: float = 1.0, burst: float = 4.0) -> None:
        self._rate = rate
        self._burst = burst
        self._left: dict[str, tuple[float, float]] = {}

    def wait_for(self, channel: str, now: float) -> float:
        """The seconds to wait before *channel* may be written to; 0 takes a place."""
        left, at = self._left.get(channel, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._rate)
        if left >= 1:
            self._left[channel] = (left - 1, now)
            return 0.0
        self._left[channel] = (left, now)
        return (1 - left) / self._rate


class Announcer:
    """The one who writes incident and operation messages."""

    def __init__(
        self,
        chronicle: Chronicle,
        messenger: Messenger,
        clock: Clock,
        projection: Projection,
        *,
        again_s: float = 0.5,
        away_s: float = 2.0,
    ) -> None:
        self._chronicle = chronicle
        self._messenger = messenger
        self._clock = clock
        self._projection = projection
        self._again_s = again_s
        self._away_s = away_s
        self._wanted = asyncio.Event()
        self._pace = Pace()
        self._passing: dict[str, str] = {}
        self._refused: dict[str, str] = {}
        self._started = clock.now()
        self._doubtful: set[str] = set()
        self.reachable = True
        chronicle.listen(lambda _recorded: self._wanted.set())

    def wake(self) -> None:
        """Look again now: something changed that is not in the journal (a count)."""
        self._wanted.set()

    async def run(self) -> None:
        """Keep Slack in agreement until cancelled. Time alone makes some things due: look twice a second at least."""
        while True:
            self._wanted.clear()
            delay = await self._agree()
            if delay > self._again_s:
                await asyncio.sleep(delay)  # Slack is away: not even news makes it worth asking sooner
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._wanted.wait()

    async def _agree(self) -> float:
        """Say what is to be said; the seconds until it is worth looking again."""
        due = [a for a in self._projection(self._chronicle.world, self._clock.now()) if self._differs(a)]
        # What was never said goes before edits of what was: news first.
        due.sort(key=lambda a: a.key in self._chronicle.world.posted)
        again_s = self._again_s
        full: set[str] = set()
        for announcement in due:
            if announcement.channel in full:
                continue
            wait = self._pace.wait_for(announcement.channel, self._clock.monotonic())
            if wait:
                # The rest of this channel waits with it, so that its order is kept; other channels need not.
                full.add(announcement.channel)
                again_s = min(again_s, wait)
                continue
            try:
                await self._say(announcement)
                self.reachable = True
            except MessengerUnavailable as error:
                # The post may have arrived although its answer did not: look for it before posting it again.
                self._doubtful.add(announcement.key)
                if self.reachable:
                    log.warning("slack is away: what is to be said waits in the journal", error=str(error))
                self.reachable = False
                return self._away_s
            except JournalUnavailable as error:
                log.error("a message was posted but not recorded", key=announcement.key, error=str(error))
                return self._away_s
            except MessageRefused as error:
                # The same words would be refused again; new words (or a mended channel and a restart) may pass.
                self._refused[announcement.key] = announcement.digest
                log.error("slack refused a message", key=announcement.key, error=str(error))
        return again_s

    def _differs(self, announcement: Announcement) -> bool:
        digest = announcement.digest
        if self._refused.get(announcement.key) == digest:
            return False
        if self._passing.get(announcement.key) == digest:
            return False
        posted = self._chronicle.world.posted.get(announcement.key)
        if posted and announcement.key not in self._passing:
            return posted.digest != digest
        return True

    async def _say(self, announcement: Announcement) -> None:
        posted = self._chronicle.world.posted.get(announcement.key)
        parent = self._chronicle.world.posted.get(announcement.thread_of or "")
        thread_ts = parent.ref.ts if parent else None
        ref = posted.ref if posted else await self._left_behind(announcement, thread_ts)
        if ref is not None:
            await self._messenger.update(ref, announcement.message, key=announcement.key)
        else:
            ref = await self._messenger.post(
                announcement.channel, announcement.message, key=announcement.key, thread_ts=thread_ts
            )
        self._passing.pop(announcement.key, None)
        if announcement.passing and posted:
            self._passing[announcement.key] = announcement.digest
            return
        said = MessagePosted(key=announcement.key, channel=ref.channel, ts=ref.ts, digest=announcement.digest)
        await self._chronicle.append(Entry(event=said))

    async def _left_behind(self, announcement: Announcement, thread_ts: str | None) -> MessageRef | None:
        """The message, if it was posted already without that being recorded (a crash, an answer that was lost)."""
        if announcement.born > self._started and announcement.key not in self._doubtful:
            return None
        found = await self._messenger.find(announcement.channel, [announcement.key], thread_ts=thread_ts)
        self._doubtful.discard(announcement.key)
        return found[announcement.key].ref if announcement.key in found else None
