"""When Slack stays away: tell what is open by other ways, each in its own time, and that it is over."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import structlog

from bot.domain.events import FallbackSent
from bot.domain.incidents import Incident
from bot.flows.chronicle import Chronicle, key_of
from bot.flows.ports import Clock, Entry, JournalUnavailable, NotDelivered, Way, Word
from bot.flows.projecting import in_words, to_be_told
from bot.views.notices import Plain, bare_title, plain_notice

log = structlog.get_logger(__name__)

FIRST_WAIT_S = 2.0  # after a word that could not be sent; it doubles up to the longest
LONGEST_WAIT_S = 60.0


class Silence(Protocol):
    """Who knows since when something cannot be said in Slack (the announcer)."""

    def unsaid_since(self, key: str) -> datetime | None:
        """Since when what is due of *key* cannot be said where it is to be said; None where it can, or is said."""
        ...


class Fallback:
    """Sends over each of *ways* what Slack has not been taking for *after_s* seconds. *channels* is by cluster.

    Each way is told that something is open, that it is over, and, if it goes on after that, that it began again.
    A word is sent, then recorded: after a death in between it is sent once more, with the same key.
    """

    def __init__(
        self,
        chronicle: Chronicle,
        clock: Clock,
        silence: Silence,
        ways: Sequence[Way],
        channels: Mapping[str, str],
        *,
        after_s: float,
        look_s: float = 1.0,
        first_wait_s: float = FIRST_WAIT_S,
    ) -> None:
        self._chronicle = chronicle
        self._clock = clock
        self._silence = silence
        self._ways = tuple(ways)
        self._channels = channels
        self._after_s = after_s
        self._look_s = look_s
        self._first_wait_s = first_wait_s
        self._unrecorded: dict[tuple[str, str], FallbackSent] = {}
        # How often each word that is due could not be delivered, by way: one may never be.
        self._failures: dict[str, dict[str, int]] = {}

    async def run(self) -> None:
        """Look after every way until cancelled; one that fails or hangs holds up no other."""
        if not self._ways:
            await asyncio.Event().wait()
        async with asyncio.TaskGroup() as group:
            for way in self._ways:
                group.create_task(self._serve(way))

    async def _serve(self, way: Way) -> None:
        failed = 0
        while True:
            try:
                # One at a time: while it is on its way Slack may come back, and the rest is told there.
                sent = await self._send_next(way)
                failed = 0
            except NotDelivered as error:
                sent = False
                failed += 1
                log.warning("a word was not delivered", way=way.name, tries=failed, error=str(error))
            if not sent:
                await self._rest(way, self._pause(failed))

    async def _rest(self, way: Way, seconds: float) -> None:
        """Wait before the next try, but not with a word that has not been tried so far."""
        until = self._clock.monotonic() + seconds
        while (left := until - self._clock.monotonic()) > 0:
            await asyncio.sleep(min(left, self._look_s))
            failures = self._failures.get(way.name, {})
            if any(word.key not in failures for word in self._due(way.name)):
                return

    def _pause(self, failed: int) -> float:
        """The seconds until the next look: longer each time in a row that nothing could be sent."""
        if not failed:
            return self._look_s
        return float(min(self._first_wait_s * 2 ** min(failed - 1, 10), LONGEST_WAIT_S))

    async def _send_next(self, way: Way) -> bool:
        """Send the next word that is due, if there is one. Raises NotDelivered."""
        await self._record(way)
        due = list(self._due(way.name))
        before = self._failures.get(way.name, {})
        failures = self._failures[way.name] = {w.key: before[w.key] for w in due if w.key in before}
        if not due:
            return False
        # A word that is never taken (too long, an address in it) must not keep back the others.
        word = min(due, key=lambda w: failures.get(w.key, 0))
        try:
            await way.send(word)
        except NotDelivered:
            failures[word.key] = failures.get(word.key, 0) + 1
            raise
        log.warning("told another way than in slack", way=way.name, key=word.key)
        digest = hashlib.sha256(word.text.encode()).hexdigest()[:16]
        self._unrecorded[word.key, way.name] = FallbackSent(key=word.key, way=way.name, digest=digest)
        await self._record(way)
        return True

    async def _record(self, way: Way) -> None:
        """Record what was sent. While the journal takes nothing, this run knows, and will not send it again."""
        mine = {sent: event for sent, event in self._unrecorded.items() if event.way == way.name}
        for sent, event in mine.items():
            try:
                await self._chronicle.append(Entry(event=event))
            except JournalUnavailable as error:
                log.error("what was told another way is not recorded", way=event.way, key=event.key, error=str(error))
                return
            self._unrecorded.pop(sent, None)

    def _due(self, way: str) -> Iterator[Word]:
        for name, incidents in self._chronicle.world.incidents.items():
            for incident in incidents.all:
                began, ended = self._told(incident, way)
                since = None
                if began > ended:
                    # Who was told of it is told of its end, wherever Slack is by then.
                    if incident.open:
                        continue
                    key = _end(incident, incident.changes if ended else 0)
                elif name in self._channels and (since := self._unsaid(incident)):
                    # The same incident goes on: who was told that it is over has to be told that it is not.
                    key = _beginning(incident, incident.changes if began else 0)
                else:
                    continue
                if not self._sent(key, way):
                    yield _word(key, incident, since)

    def _told(self, incident: Incident, way: str) -> tuple[int, int]:
        """How often it was told over *way* that *incident* began (again), and that it is over: one after the other.

        They are counted, and no times compared: a clock that is set back must not have anything sent over and over.
        """
        if not self._sent(key_of(incident), way):
            return 0, 0
        begun = sum(self._sent(_beginning(incident, n), way) for n in range(incident.changes + 1))
        return begun, sum(self._sent(_end(incident, n), way) for n in range(incident.changes + 1))

    def _sent(self, key: str, way: str) -> bool:
        return (key, way) in self._chronicle.world.sent or (key, way) in self._unrecorded

    def _unsaid(self, incident: Incident) -> datetime | None:
        """Since when Slack cannot show *incident*, which is open, as it is, if that is long enough ago.

        One that Slack shows already, unchanged, is known; one that has grown since, or is to be escalated, is not.
        """
        now, key = self._clock.now(), key_of(incident)
        if not incident.open or not to_be_told(incident, self._chronicle.world, now):
            return None
        known = (self._silence.unsaid_since(about) for about in (key, f"{key}:escalation"))
        since = min((at for at in known if at is not None), default=None)
        return since if since and (now - since).total_seconds() >= self._after_s else None


def _beginning(incident: Incident, changes: int) -> str:
    """The key of the word that *incident* is open, after so many changes; 0 for the first word about it."""
    return f"{key_of(incident)}:again:{changes}" if changes else key_of(incident)


def _end(incident: Incident, changes: int) -> str:
    """The key of the word that *incident* is over, after so many changes; 0 for the first such word."""
    return f"{key_of(incident)}:over:{changes}" if changes else f"{key_of(incident)}:over"


def _word(key: str, incident: Incident, slack_away: datetime | None) -> Word:
    notice = in_words(
        lambda told: plain_notice(told, slack_away),
        lambda told: Plain(title=bare_title(told), text=bare_title(told)),
        incident,
    )
    return Word(
        key=key,
        title=notice.title,
        text=notice.text,
        incident=incident.id,
        cluster=incident.cluster,
        kind=incident.kind.value,
        open=incident.open,
    )
