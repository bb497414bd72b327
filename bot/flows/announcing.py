"""Make Slack agree with the journal: post what was never said, edit what no longer holds, and lose nothing.

What is promised, and how it is kept:

1. Everything is said once. A message carries its key; what may stand in Slack without the journal knowing (after a
   crash, or an answer that was lost) is looked for before it is posted. Where it is not to be told any more, it is
   looked for as well, and what stands is corrected.
2. Nothing stale is said. What is to be said is worked out anew whenever something happens, and whenever something was
   looked for, so an edit that has to wait is made once, with the newest words; what began and ended while nothing could
   be said is summed up in one message.
3. The news first: openings before edits and replies in a thread. Of those goes first what was left as it is for
   longest, so that what changes all the time keeps nothing else waiting; of what is due at once, edits before replies.
   A channel that has to wait keeps its order and holds up no other. What Slack keeps failing at although it answers
   otherwise goes last, and holds up nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import IntEnum

import structlog

from bot.domain.events import FallbackSent, MessagePosted, Recorded
from bot.flows.chronicle import SUMMED_UP, Chronicle, Posted, World
from bot.flows.given_up import GivenUp, GivenUps, attempt
from bot.flows.pacing import Act, Gap, Limits, Pace
from bot.flows.ports import (
    Clock,
    Entry,
    Found,
    JournalUnavailable,
    MessageRef,
    MessageRefused,
    Messenger,
    MessengerUnavailable,
    RateLimited,
)
from bot.views.message import SlackMessage
from bot.views.notices import Missed, backlog_message

log = structlog.get_logger(__name__)

# Slack's clock and ours may differ by so much, and what was posted is still found by the time at which it was due.
LOOKBACK = timedelta(minutes=5)
# What is not to be told any more, and began so long before this run of the bot, is not looked for.
LATELY = timedelta(hours=1)
REFUSED_S = 300.0  # the same words are tried again after this: the bot may have been invited to the channel meanwhile
QUIET_S = 60.0  # when nothing was said for so long, Slack is asked whether it is there
TO_BLAME = 3  # a message that Slack failed at so often, while it answered otherwise, goes last
LONG_WAIT_S = 10.0  # when Slack asks for more patience than this, what ends meanwhile is summed up
MOST_AT_ONCE = (
    60  # keys in the metadata of one summary, which Slack bounds (docs: chat.postMessage, metadata_too_large)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """A message as it should stand in Slack. ``thread_of`` is the key of the message that it answers to.

    ``passing`` says that this wording is only a moment's (a count going down): it need not be remembered. ``born`` is
    when there was first something to say: what is older than this run of the bot may have been posted by the last one.
    What is ``only_if_standing`` is not to be told (any more): it is never posted, but where it was posted and nobody
    recorded that, what stands is to be corrected.
    A reply that is ``broadcast`` is shown in the channel, too. ``missed`` is there once what it tells of is over: if it
    could not be told before, it may be summed up with others. ``settles`` is how long Slack has to have been taking
    messages before this one is begun: what says that it does not is over by then.
    """

    key: str
    channel: str
    message: SlackMessage
    born: datetime
    thread_of: str | None = None
    passing: bool = False
    broadcast: bool = False
    missed: Missed | None = None
    settles: timedelta = timedelta(0)
    only_if_standing: bool = False
    digest: str = field(init=False)
    """What the message says, in short: equal digests need no edit."""

    def __post_init__(self) -> None:
        """Digest the message, once: it is compared at each look."""
        said = json.dumps([self.message.text, self.message.blocks], sort_keys=True)
        object.__setattr__(self, "digest", hashlib.sha256(said.encode()).hexdigest()[:16])


def _moments(world: World) -> Iterator[datetime]:
    """When what may have been told happened, by the clock of that time; at least one moment."""
    yield datetime.min.replace(tzinfo=UTC)
    for incident in (i for incidents in world.incidents.values() for i in incidents.all):
        moments = (incident.opened_at, incident.resolved_at, incident.worse_at)
        yield from (m for m in (*moments, incident.reminded_at, incident.escalated_at) if m is not None)
    yield from (operation.requested_at for operation in world.operations.by_id.values())
    for test in world.selftests.by_id.values():
        yield from (m for m in (test.first_heard_at, test.finished_at) if m is not None)


# From the folds and the time: what should stand in Slack, openings in the order in which they happened.
Projection = Callable[[World, datetime], Iterable[Announcement]]


class Rank(IntEnum):
    """What goes first in a channel."""

    OPENING = 0
    SUMMARY = 1
    EDIT = 2
    REPLY = 3
    COUNT = 4  # moments of a count go last: there is one a second, and they must not keep anything else waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One call to make: a message to post or to edit, or a summary of several that are too late."""

    rank: Rank
    act: Act
    channel: str
    about: tuple[Announcement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unrecorded:
    """What stands in Slack without the journal knowing it; ``digest`` is of its words where this run posted them."""

    found: Found
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What Slack refused: the ``digest`` of the words, ``since`` when, and ``until`` (monotonic) they are kept back."""

    digest: str
    since: datetime
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What Slack could not carry out, ``since`` when, and how many ``times`` it did so while it answered otherwise."""

    since: datetime
    times: int

    @property
    def to_blame(self) -> bool:
        """Whether the message itself may be what Slack fails at."""
        return self.times >= TO_BLAME


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
        quiet_s: float = QUIET_S,
        pace: Pace | None = None,
    ) -> None:
        self._chronicle = chronicle
        self._messenger = messenger
        self._clock = clock
        self._projection = projection
        self._again_s = again_s
        self._away_s = away_s
        self._quiet_s = quiet_s
        self._wanted = asyncio.Event()
        self._pace = pace or Pace()
        self._limits = Limits()
        self._passing: dict[str, str] = {}
        self._refused: dict[str, Refusal] = {}
        self._failures: dict[str, Failure] = {}
        self._due_since: dict[str, datetime] = {}
        self._failed = False  # whether Slack failed at what it was last asked to carry out
        self._answers = True  # whether it answered just before that
        self._started = clock.now()
        # The clock may have been set back since the last run (a power failure): what that one told, it told before
        # this one all the same.
        self._inherited_until = max(self._started, *_moments(chronicle.world))
        # What this run has posted without knowing whether it arrived, what it has looked for in vain, and what it has
        # found (or posted) that the journal does not know of yet.
        self._doubtful: set[str] = set()
        self._absent: set[str] = set()
        self._standing: dict[str, Unrecorded] = {}
        self._given_up = GivenUps(messenger, clock)
        # What was over before this moment could not be said while it was news.
        self._able_since = self._started
        self._gap_since: datetime | None = None
        self._gaps: dict[str, Gap] = {}
        self._overtaken = False
        # What Slack does not show as it is, and what has to be done in which channel before it does.
        self._owed: dict[str, frozenset[tuple[str, Act]]] = {}
        self._answered_at = clock.monotonic()
        self.away_since: datetime | None = None
        self.on_back: Callable[[], None] = lambda: None
        """Called when Slack takes messages again after it took none."""
        chronicle.listen(self._heard)
        chronicle.rehearse(self._draw_up)

    @property
    def reachable(self) -> bool:
        """Whether Slack took what was last said, as far as is known."""
        return self.away_since is None

    def unsaid_since(self, key: str, channel: str | None = None) -> datetime | None:
        """Since when what is due of *key* cannot be said: Slack is away, refuses it, or asks to wait.

        With a *channel*, only to wait there counts; else wherever it is to be said. None where it can be said, and
        where Slack shows it as it is.
        """
        if key not in self._owed:
            return None
        refusal = self._refused.get(key)
        limit = self._limits.since({place for place in self._owed[key] if channel in (None, place[0])})
        failure = self._failures.get(key)
        known = (self.away_since, limit, refusal.since if refusal else None, failure.since if failure else None)
        return min((at for at in known if at is not None), default=None)

    def wake(self) -> None:
        """Look again now: something changed that is not in the journal (a count)."""
        self._overtaken = True
        self._wanted.set()

    def _heard(self, recorded: Recorded) -> None:
        # What was said changes nothing in what is to be said, but for the replies that it makes possible.
        if not isinstance(recorded.event, MessagePosted | FallbackSent):
            self._overtaken = True
        self._wanted.set()

    def _draw_up(self, world: World) -> None:
        # The projection remembers what it has drawn up: it only has to be sent once the event is on the disk.
        for _ in self._projection(world, self._clock.now()):
            pass

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

    # --- one look ---

    async def _agree(self) -> float:
        """Say what is to be said; the seconds until it is worth looking again."""
        self._overtaken = False
        owed = [a for a in self._projection(self._chronicle.world, self._clock.now()) if self._is_owed(a)]
        self._owed = {a.key: self._places(a) for a in owed if not a.only_if_standing}
        self._limits.keep(frozenset().union(*self._owed.values()))
        self._failures = {a.key: self._failures[a.key] for a in owed if a.key in self._failures}
        due = [a for a in owed if self._may_be_tried(a)]
        self._due_since = {a.key: self._due_since.get(a.key, self._clock.now()) for a in due}
        if not due and (not self.reachable or self._clock.monotonic() - self._answered_at >= self._quiet_s):
            return await self._greet()
        if self._failed and not await self._does_answer():
            return self._away_s
        waits = [self._again_s]
        full: set[tuple[str, Act]] = set()
        tasks = [*self._unsure(due), *self._plan([a for a in due if not self._is_unsure(a)])]
        for task in sorted(tasks, key=self._is_to_blame):
            if (task.channel, task.act) in full:
                continue
            wait = self._wait_for(task)
            if wait:
                # The rest of this channel waits with it, so that its order is kept; other channels need not.
                full |= self._held_up(task)
                waits.append(wait)
            elif not await self._attempt(task):
                return self._away_s
            # To look for something takes a while: what is withdrawn or muted meanwhile is no news any more.
            if self._overtaken or task.act is Act.FIND:
                return 0.0
        if self.reachable and self._given_up.is_due():
            await self._clear_up()
        return min(waits)

    def _is_to_blame(self, task: Task) -> bool:
        return any(a.key in self._failures and self._failures[a.key].to_blame for a in task.about)

    def _wait_for(self, task: Task) -> float:
        """The seconds until *task* may be tried; 0 takes its place in the channel's pace, if it writes there."""
        now = self._clock.monotonic()
        limit = self._limits.wait_for(task.channel, task.act, now)
        return limit if limit or task.act is Act.FIND else self._pace.wait_for(task.channel, now)

    def _held_up(self, task: Task) -> set[tuple[str, Act]]:
        """What has to wait with *task*: where only Slack's limit for one act holds it up, the others may go on."""
        if self._limits.wait_for(task.channel, task.act, self._clock.monotonic()):
            return {(task.channel, task.act)}
        return {(task.channel, act) for act in Act}

    def _is_owed(self, announcement: Announcement) -> bool:
        """Whether Slack does not show *announcement* as it is."""
        known = self._chronicle.world.posted.get(announcement.key)
        if known and known.digest == announcement.digest and announcement.key not in self._passing:
            return False  # As with nearly everything at nearly every look: so it is asked first.
        if self._passing.get(announcement.key) == announcement.digest:
            return False
        posted = self._posted(announcement)
        if posted and announcement.key not in self._passing:
            return not posted.summed_up and posted.digest != announcement.digest
        return not announcement.only_if_standing or self._may_stand(announcement)

    def _may_stand(self, announcement: Announcement) -> bool:
        """Whether *announcement*, which is never posted, may stand in Slack all the same, or does."""
        key = announcement.key
        if key in self._standing or key in self._doubtful:
            return True
        return self._is_unsure(announcement) and announcement.born >= self._started - LATELY

    def _places(self, announcement: Announcement) -> frozenset[tuple[str, Act]]:
        """What has to be done, and where, before *announcement* stands; nothing for one that only has to be edited.

        That an edit has to wait is no reason to wake anybody another way: how it began was told.
        """
        if self._posted(announcement) or announcement.key in self._standing:
            return frozenset()
        acts = (Act.FIND, Act.POST) if self._is_unsure(announcement) else (Act.POST,)
        return frozenset((announcement.channel, act) for act in acts)

    def _may_be_tried(self, announcement: Announcement) -> bool:
        """Whether it is time to say *announcement*, which is owed."""
        parent = announcement.thread_of
        if parent is not None and parent not in self._chronicle.world.posted:
            return False  # A reply can wait for what it answers to.
        refusal = self._refused.get(announcement.key)
        if refusal and refusal.digest == announcement.digest and self._clock.monotonic() < refusal.until:
            return False
        if announcement.settles and not self._posted(announcement):
            able_since = self._able_to_post_since(announcement.channel)
            return self.reachable and self._clock.now() - able_since >= announcement.settles
        return True

    def _posted(self, announcement: Announcement) -> Posted | None:
        """Where *announcement* stands by the journal. One that was summed up and has begun again stands nowhere."""
        posted = self._chronicle.world.posted.get(announcement.key)
        return None if posted and posted.summed_up and not announcement.missed else posted

    # --- what may stand in Slack already ---

    def _is_unsure(self, announcement: Announcement) -> bool:
        key = announcement.key
        if self._posted(announcement) or key in self._standing or key in self._absent:
            return False
        return announcement.born <= self._inherited_until or key in self._doubtful

    def _unsure(self, due: Sequence[Announcement]) -> Iterator[Task]:
        """What has to be looked for before it may be posted, by where it would stand."""
        groups: dict[tuple[str, str | None], list[Announcement]] = {}
        for announcement in due:
            if self._is_unsure(announcement):
                groups.setdefault((announcement.channel, announcement.thread_of), []).append(announcement)
        for (channel, _), about in groups.items():
            yield Task(rank=Rank.OPENING, act=Act.FIND, channel=channel, about=tuple(about))

    async def _find(self, task: Task) -> None:
        channel, thread_ts = self._place_of(task.about[0])
        since = min(a.born for a in task.about) - LOOKBACK
        found = await self._messenger.find(channel, [a.key for a in task.about], thread_ts=thread_ts, since=since)
        for announcement in task.about:
            key = announcement.key
            known = found.get(key)
            if known is None or (known.covered and not announcement.missed):
                self._absent.add(key)
            else:
                self._standing[key] = Unrecorded(found=known)
            self._doubtful.discard(key)

    def _place_of(self, announcement: Announcement) -> tuple[str, str | None]:
        """Where *announcement* is to be posted: the channel, and for a reply the thread.

        A reply goes to where that stands which it answers to: the settings may name another channel by now.
        """
        if announcement.thread_of is None:
            return announcement.channel, None
        parent = self._chronicle.world.posted[announcement.thread_of].ref
        return parent.channel, parent.ts

    async def _clear_up(self) -> None:
        """Look for what was given up, and take away what another message tells of already."""
        try:
            carried_out = await self._given_up.look(LOOKBACK)
        except MessengerUnavailable as error:
            self._given_up.put_off(error.retry_after_s if isinstance(error, RateLimited) else self._away_s)
            return
        except MessageRefused as error:
            log.warning("what was given up cannot be looked for", error=str(error))
            self._given_up.put_off(REFUSED_S)  # the bot may have been taken out of the channel, and be invited again
            return
        known = {p.ref for p in self._chronicle.world.posted.values()} | {u.found.ref for u in self._standing.values()}
        for given, ref in carried_out:
            if ref in known or await self._is_dealt_with(given, ref):
                self._given_up.done(given)
            else:
                self._given_up.keep(given)

    async def _is_dealt_with(self, given: GivenUp, ref: MessageRef) -> bool:
        untold = [key for key in given.keys if key not in self._chronicle.world.posted]
        if untold and len(given.keys) == 1:
            # It is all that tells of it: from now on it is what stands, to be recorded or corrected.
            self._standing[untold[0]] = Unrecorded(found=Found(ref=ref))
            return True
        if untold:
            return False
        log.warning("slack has carried out a post that was given up: it is taken away", keys=given.keys, ts=ref.ts)
        try:
            await self._messenger.delete(ref)
        except MessengerUnavailable as error:
            log.info("it could not be taken away so far", error=str(error))
            return False
        except MessageRefused as error:
            log.error("slack does not let the bot take it away", error=str(error))
        return True

    # --- the order of things ---

    def _plan(self, due: Sequence[Announcement]) -> list[Task]:
        """The calls to make, the news first; what comes too late is put together, channel by channel."""
        tasks: list[Task] = []
        late: dict[str, list[Announcement]] = {}
        for announcement in due:
            task = self._task(announcement)
            if task.rank is Rank.OPENING and self._is_late(announcement):
                late.setdefault(task.channel, []).append(announcement)
            else:
                tasks.append(task)
        for channel, about in late.items():
            # One alone is told as what it is.
            rank = Rank.SUMMARY if len(about) > 1 else Rank.OPENING
            tasks.append(Task(rank=rank, act=Act.POST, channel=channel, about=tuple(about[:MOST_AT_ONCE])))
        order = {a.key: place for place, a in enumerate(due)}
        now = self._clock.now()

        def place(task: Task) -> tuple[Rank, datetime, Rank, int]:
            about = task.about[0]
            if task.rank not in (Rank.EDIT, Rank.REPLY):
                return task.rank, now, task.rank, order[about.key]
            # One that changes all the time would for ever go before the younger ones, and edits before any reply.
            posted = self._posted(about)
            since = posted.at if posted else self._due_since.get(about.key, now)
            return Rank.EDIT, since, task.rank, order[about.key]

        return sorted(tasks, key=place)

    def _is_late(self, announcement: Announcement) -> bool:
        missed = announcement.missed
        if missed is None:
            return False
        return not self.reachable or missed.ended <= self._able_to_post_since(announcement.channel)

    def _able_to_post_since(self, channel: str) -> datetime:
        """What was over before then could not be said in *channel* while it was news."""
        gap = self._gaps.get(channel)
        return max(self._able_since, gap.until) if gap else self._able_since

    def _task(self, announcement: Announcement) -> Task:
        stands = self._posted(announcement) or announcement.key in self._standing
        rank = Rank.EDIT if stands else Rank.OPENING
        if announcement.thread_of is not None:
            rank = Rank.REPLY
        if announcement.passing and stands:
            rank = Rank.COUNT
        act = Act.UPDATE if stands else Act.POST
        return Task(rank=rank, act=act, channel=announcement.channel, about=(announcement,))

    # --- one call ---

    async def _attempt(self, task: Task) -> bool:
        """Carry *task* out; whether it is any use to go on. Whatever goes wrong, nothing is lost by it."""
        try:
            await self._carry_out(task)
        except RateLimited as error:
            self._limit(task, error)
        except MessengerUnavailable as error:
            self._lost(task, error)
            return False
        except JournalUnavailable as error:
            log.error("a message was posted but not recorded", key=task.about[0].key, error=str(error))
            return False
        except MessageRefused as error:
            self._refuse(task, error)
        else:
            self._back(task)
        return True

    async def _carry_out(self, task: Task) -> None:
        if task.act is Act.FIND:
            await self._find(task)
        elif task.rank is Rank.SUMMARY:
            await self._sum_up(task)
        else:
            await self._say(task.about[0])

    def _limit(self, task: Task, error: RateLimited) -> None:
        until = self._clock.monotonic() + error.retry_after_s
        self._limits.block(task.channel, task.act, until, self._clock.now())
        if error.retry_after_s > LONG_WAIT_S:
            log.warning("slack asks for patience", channel=task.channel, act=task.act.value, error=str(error))
            if task.act is not Act.UPDATE:
                now = self._clock.now()
                self._gaps[task.channel] = Gap(since=now, until=now + timedelta(seconds=error.retry_after_s))

    def _lost(self, task: Task, error: MessengerUnavailable) -> None:
        now = self._clock.now()
        self._limits.failed(task.channel, task.act, now)
        for announcement in task.about:
            before = self._failures.get(announcement.key, Failure(since=now, times=0))
            self._failures[announcement.key] = Failure(since=before.since, times=before.times + self._answers)
        self._failed = True
        if task.act is Act.POST:
            # The post may have arrived although its answer did not: look for it before posting it again.
            self._doubtful |= {a.key for a in task.about}
            self._absent -= {a.key for a in task.about}
        if not (self._answers and self._is_to_blame(task)):
            self._away(error)

    def _away(self, error: MessengerUnavailable) -> None:
        if self.reachable:
            log.warning("slack is away: what is to be said waits in the journal", error=str(error))
            self.away_since = self._gap_since = self._clock.now()

    def _refuse(self, task: Task, error: MessageRefused) -> None:
        # The same words would be refused again; new words, or the same ones after a while, may pass.
        now, until = self._clock.now(), self._clock.monotonic() + REFUSED_S
        for announcement in task.about:
            before = self._refused.get(announcement.key)
            since = before.since if before else now
            self._refused[announcement.key] = Refusal(digest=announcement.digest, since=since, until=until)
        log.error("slack refused a message", key=task.about[0].key, error=str(error))

    def _back(self, task: Task) -> None:
        for announcement in task.about:
            self._refused.pop(announcement.key, None)
            if task.act is not Act.FIND:
                self._failures.pop(announcement.key, None)
        self._limits.passed(task.channel, task.act)
        self._reached()

    def _reached(self) -> None:
        self._failed, self._answers = False, True
        self._answered_at = self._clock.monotonic()
        if self.away_since is not None:
            log.info("slack is back", away_since=self.away_since.isoformat())
            self._able_since = self._clock.now()
            self.on_back()
        self.away_since = None

    async def _greet(self) -> float:
        """Nothing is to be said, but whether Slack is there decides what is said elsewhere: ask."""
        try:
            await self._messenger.greet()
        except RateLimited:
            self._answered_at = self._clock.monotonic()
            return self._again_s if self.reachable else self._away_s  # who asks for patience is there
        except MessengerUnavailable as error:
            self._away(error)
            return self._away_s
        self._reached()
        return self._again_s

    async def _does_answer(self) -> bool:
        """Whether Slack, which failed last, answers at all: what it fails at then may be to blame itself."""
        try:
            await self._messenger.greet()
        except RateLimited:
            self._answers = True
        except MessengerUnavailable as error:
            self._answers = False
            self._away(error)
        else:
            self._answers = True
        return self._answers

    async def _say(self, announcement: Announcement) -> None:
        key = announcement.key
        posted = self._posted(announcement)
        standing = self._standing.get(key)
        if standing is not None and standing.found.covered:
            await self._record([announcement], standing.found.ref, SUMMED_UP)
            return
        ref = posted.ref if posted else standing.found.ref if standing else None
        if ref is not None:
            if standing is None or standing.digest != announcement.digest:
                await self._messenger.update(ref, announcement.message, key=key)
        else:
            channel, thread_ts = self._place_of(announcement)
            ref = await self._post(
                [key], channel, announcement.message, thread_ts=thread_ts, broadcast=announcement.broadcast
            )
            # Should recording it fail, it is not to be posted again for that.
            self._standing[key] = Unrecorded(found=Found(ref=ref), digest=announcement.digest)
        self._passing.pop(key, None)
        if announcement.passing and posted:
            self._passing[key] = announcement.digest
            return
        await self._record([announcement], ref, announcement.digest)

    async def _sum_up(self, task: Task) -> None:
        """Say in one message what began and ended while nothing could be said."""
        missed = [a.missed for a in task.about if a.missed]
        gap = self._gaps.get(task.channel)
        gaps = [at for at in (self._gap_since, gap.since if gap else None) if at is not None]
        slack_away = bool(gaps)
        since = min((max(gaps, default=missed[0].began), *(m.ended if slack_away else m.began for m in missed)))
        message = backlog_message(missed, since, self._clock.now(), slack_away=slack_away)
        keys = [a.key for a in task.about]
        ref = await self._post(keys, task.channel, message, key=f"backlog:{keys[0]}", covers=keys)
        self._standing |= dict.fromkeys(keys, Unrecorded(found=Found(ref=ref, covered=True)))
        await self._record(task.about, ref, SUMMED_UP)

    async def _post(
        self,
        about: Sequence[str],
        channel: str,
        message: SlackMessage,
        *,
        key: str | None = None,
        covers: Sequence[str] = (),
        thread_ts: str | None = None,
        broadcast: bool = False,
    ) -> MessageRef:
        """Post what tells of the keys *about*. Where nobody knows what became of it, that is remembered."""
        name = attempt()
        try:
            return await self._messenger.post(
                channel,
                message,
                key=key or about[0],
                covers=covers,
                thread_ts=thread_ts,
                broadcast=broadcast,
                attempt=name,
            )
        except RateLimited:
            raise  # nothing was posted
        except MessengerUnavailable:
            self._given_up.add(name, about, channel, thread_ts)
            raise

    async def _record(self, said: Sequence[Announcement], ref: MessageRef, digest: str) -> None:
        events = [MessagePosted(key=a.key, channel=ref.channel, ts=ref.ts, digest=digest) for a in said]
        await self._chronicle.append(*(Entry(event=event) for event in events))
        for announcement in said:
            self._standing.pop(announcement.key, None)
            self._absent.discard(announcement.key)
