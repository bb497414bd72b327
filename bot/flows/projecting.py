"""What should stand in Slack, by what the journal adds up to: the announcer makes it so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import structlog

from bot.domain.deeds import deeds_of
from bot.domain.events import Sense, Via
from bot.domain.incidents import Incident, Incidents, Matter, Trouble
from bot.domain.incidents.kinds import is_minor
from bot.domain.incidents.muting import mute_of, was_muted
from bot.domain.mutes import Mute, Mutes
from bot.domain.operations import Operation, Phase
from bot.domain.selftest import SelfTest
from bot.flows.announcing import Announcement, Projection
from bot.flows.chronicle import Posted, World, key_of
from bot.views.incident import headline, incident_message, resolution_message
from bot.views.message import SlackMessage
from bot.views.notices import (
    Missed,
    again_message,
    bare_message,
    bare_title,
    escalation_message,
    flapping_message,
    reminder_message,
    worse_message,
)
from bot.views.operation import Connected as Counts
from bot.views.operation import operation_message
from bot.views.selftest import selftest_message

log = structlog.get_logger(__name__)

T = TypeVar("T")
Connected = Callable[[str], Counts | None]

# What was over for this long when the bot first comes to say it is no longer news, and its message is left as it is.
STALE = timedelta(hours=12)
# That Slack is away is no news where it is posted: it counts as back (domain/senses.py, CALM_S) before it is told.
SLACK_SETTLES = timedelta(seconds=20)
LATE = datetime.max.replace(tzinfo=UTC)


class Drafts:
    """Announcements as they were drawn up last: what has not changed reads the same, and is not drawn up again.

    With two hundred incidents remembered, drawing up all of them took longer than posting the one that is news.
    """

    def __init__(self) -> None:
        self._before: dict[str, tuple[object, Announcement]] = {}
        self._now: dict[str, tuple[object, Announcement]] = {}

    def turn(self) -> None:
        """Begin another round: what is not asked for in it is forgotten at the end of it."""
        self._before, self._now = self._now, {}

    def take(self, key: str, about: object, draw: Callable[[], Announcement]) -> Announcement:
        """The announcement *key*, which says nothing but what is in *about*."""
        known = self._before.get(key)
        if known is None or known[0] != about:
            known = (about, draw())
        self._now[key] = known
        return known[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """Where the incidents of a cluster are told. ``escalate_to`` is another channel, or None.

    ``call`` are the ids of the users and user groups that an escalation mentions.
    """

    channel: str
    escalate_to: str | None = None
    call: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What is to be said of the incidents of one cluster and does not stand, and what that was worked out from.

    It holds for as long as nothing of that has changed, from ``since`` until time alone may change it. An event in one
    cluster then costs nothing for the others, however many incidents are remembered there.
    """

    incidents: Incidents
    mutes: Mutes
    said: int
    since: datetime
    until: datetime
    announcements: tuple[Announcement, ...]
    drafts: Drafts

    @classmethod
    def of(cls, name: str, audience: Audience, now: datetime, world: World, drafts: Drafts) -> Page:
        """The page of the cluster *name* at *now*."""
        incidents = world.incidents[name]
        drafts.turn()
        tellers = (_Teller(incident, audience, now, world, drafts) for incident in incidents.all)
        return cls(
            incidents=incidents,
            mutes=world.mutes,
            said=world.said.get(name, 0),
            since=now,
            until=min((m for m in _moments(incidents, world) if m > now), default=LATE),
            announcements=tuple(a for teller in tellers for a in teller.everything() if not _stands(a, world)),
            drafts=drafts,
        )

    def holds(self, name: str, now: datetime, world: World) -> bool:
        """Whether it, the page of the cluster *name*, is still true."""
        return (
            self.incidents is world.incidents[name]
            and self.said == world.said.get(name, 0)
            and self.mutes is world.mutes
            and self.since <= now < self.until
        )


def _stands(announcement: Announcement, world: World) -> bool:
    """Whether Slack shows *announcement* as it is: that holds for as long as its page does."""
    posted = world.posted.get(announcement.key)
    return posted is not None and posted.digest == announcement.digest


def _moments(incidents: Incidents, world: World) -> Iterator[datetime]:
    """When time alone may change what is to be said of *incidents*."""
    for incident in incidents.all:
        yield incident.hold_until
        if incident.resolved_at is not None:
            yield incident.resolved_at + STALE + timedelta(microseconds=1)  # what is stale is so from just after that
    yield from (mute.until for mute in world.mutes.by_subject.values())


def projection(
    channels: Mapping[str, str],
    connected: Connected,
    *,
    escalate_to: Mapping[str, str] | None = None,
    call: tuple[str, ...] = (),
    command: str = "/lvs",
) -> Projection:
    """The projection for clusters whose alerts go to *channels*; *connected* gives a drain's momentary counts.

    An escalation goes to the channel of the cluster in *escalate_to* and mentions those in *call*.
    *command* is what one asks the bot with.
    """
    drafts = Drafts()
    pages: dict[str, Page] = {}
    audiences = {
        name: Audience(channel=channel, escalate_to=(escalate_to or {}).get(name), call=call)
        for name, channel in channels.items()
    }

    def project(world: World, now: datetime) -> Iterator[Announcement]:
        drafts.turn()
        for name in world.incidents:
            audience = audiences.get(name)
            if audience is None:
                continue
            page = pages.get(name)
            if page is None or not page.holds(name, now, world):
                page = pages[name] = Page.of(name, audience, now, world, page.drafts if page else Drafts())
            yield from page.announcements
        for operation in world.operations.by_id.values():
            if operation.channel and _to_be_shown(operation) and not _stale(operation.ended_at, now):
                yield _of_operation(operation, operation.channel, connected(operation.id), drafts, command)
        for test in world.selftests.by_id.values():
            where = test.channel or channels.get(test.cluster)
            if where and test.worth_telling and not _stale(test.finished_at, now):
                yield from _of_self_test(test, where, drafts)

    return project


def _to_be_shown(operation: Operation) -> bool:
    """What a terminal only asks about (a dry run, a question that was denied) is nobody else's business yet."""
    return operation.by.via is Via.SLACK or operation.confirmed_by is not None


def _stale(ended_at: datetime | None, now: datetime) -> bool:
    return ended_at is not None and now - ended_at > STALE


def to_be_told(incident: Incident, world: World, now: datetime) -> bool:
    """Whether *incident*, of which nothing has been said so far, is to be told at *now*.

    What was withdrawn before it was told is never told, and nor is what ended while it was muted. What a mute covers
    waits for its end.
    """
    if not incident.due(now) or mute_of(incident, world.mutes, now) is not None:
        return False
    ended = incident.resolved_at
    return ended is None or not was_muted(incident, world.mutes, ended)


class _Teller:
    """What is to be said of one incident at one moment."""

    def __init__(self, incident: Incident, audience: Audience, now: datetime, world: World, drafts: Drafts) -> None:
        self._incident = incident
        self._audience = audience
        self._now = now
        self._world = world
        self._drafts = drafts
        self._key = key_of(incident)

    def everything(self) -> Iterator[Announcement]:
        """The incident's own message, what is said in its thread, and its escalation."""
        incident, posted = self._incident, self._world.posted.get(self._key)
        if _stale(incident.resolved_at, self._now):
            return
        untold = posted is None and not to_be_told(incident, self._world, self._now)
        if untold and not incident.withdrawn and not incident.due(self._now):
            return  # It is too early for it, and its time will come.
        mute = mute_of(incident, self._world.mutes, self._now)
        yield self._draft(
            "",
            lambda about: incident_message(about, mute),
            incident.opened_at,
            missed=True,
            mute=mute,
            only_if_standing=untold,
        )
        if posted is not None and not posted.summed_up:
            yield from self._thread(posted)
        yield from self._escalation(posted)

    def _thread(self, posted: Posted) -> Iterator[Announcement]:
        incident = self._incident
        # The thread tells the story only where the incident stood open in the channel: one that was over before it was
        # told is one message and no more.
        if incident.resolved_at and posted.since < incident.resolved_at:
            yield self._draft(_over(incident.changes), self._resolution, incident.resolved_at, reply=True)
        if not incident.open or self._muted():
            return
        if incident.flapping:
            yield from self._once("flapping", flapping_message, incident.opened_at)
        # As with its opening: not before somebody was asked what it is this time, or asking has taken too long.
        if self._was_told_as_over() and incident.due(self._now):
            # What was told as over is news again, and more than those who follow the thread have to know.
            broadcast = not is_minor(incident)
            yield from self._once(f"again:{incident.changes}", again_message, incident.opened_at, broadcast=broadcast)
        if incident.worse_at and incident.felt_since and posted.since <= incident.worse_at:
            yield from self._once(f"worse:{incident.worse}", worse_message, incident.worse_at, broadcast=True)
        # A reminder that could not be told while it was due, or of what somebody took up meanwhile, is none.
        reminded_at = incident.reminded_at
        if incident.reminders and reminded_at and posted.since <= reminded_at and not incident.acknowledged_by:
            yield from self._once(f"reminder:{incident.reminders}", reminder_message, reminded_at, broadcast=True)

    def _was_told_as_over(self) -> bool:
        """Whether somebody has to be told that the incident, which is open, began again."""
        changes, posted = self._incident.changes, self._world.posted
        if not self._incident.flapping:
            return any(self._said(_over(n)) for n in range(changes))
        # That it comes and goes says that it is back. Once it was told as over after that, it says so no more.
        flapping, over = posted.get(f"{self._key}:flapping"), posted.get(f"{self._key}:{_over(changes - 1)}")
        return flapping is not None and over is not None and flapping.since < over.since

    def _resolution(self, incident: Incident) -> SlackMessage:
        return resolution_message(incident, deeds_of(incident, self._world.operations, self._world.mutes))

    def _escalation(self, posted: Posted | None) -> Iterator[Announcement]:
        incident, audience = self._incident, self._audience
        if incident.escalated_at is None:
            return
        fresh = incident.open and not incident.acknowledged_by and not self._muted()
        only_if_standing = not fresh and not self._said("escalation")
        channel = posted.ref.channel if posted else None
        if audience.escalate_to:
            yield self._draft(
                "escalation",
                lambda about: escalation_message(about, audience.call, channel),
                incident.escalated_at,
                channel=audience.escalate_to,
                told_in=channel,
                only_if_standing=only_if_standing,
            )
        elif audience.call and posted and not posted.summed_up:
            # There is no second channel, but there are people: they are called where the story is.
            yield self._draft(
                "escalation",
                lambda about: escalation_message(about, audience.call, None),
                incident.escalated_at,
                reply=True,
                broadcast=True,
                only_if_standing=only_if_standing,
            )

    def _once(
        self, what: str, view: Callable[[Incident], SlackMessage], born: datetime, *, broadcast: bool = False
    ) -> Iterator[Announcement]:
        """A reply that is true of the moment at which it is made: it is never edited."""
        if not self._said(what):
            yield self._draft(what, view, born, reply=True, broadcast=broadcast)

    def _draft(
        self,
        what: str,
        view: Callable[[Incident], SlackMessage],
        born: datetime,
        *,
        reply: bool = False,
        broadcast: bool = False,
        missed: bool = False,
        channel: str | None = None,
        told_in: str | None = None,
        mute: Mute | None = None,
        only_if_standing: bool = False,
    ) -> Announcement:
        incident, root = self._incident, self._key
        key = f"{root}:{what}" if what else root
        return self._drafts.take(
            key,
            (incident, told_in, mute, only_if_standing),
            lambda: Announcement(
                key=key,
                channel=channel or self._audience.channel,
                message=in_words(view, bare_message, incident),
                born=born,
                thread_of=root if reply else None,
                broadcast=broadcast,
                missed=_missed(incident) if missed else None,
                settles=SLACK_SETTLES if _is_of_slack(incident) else timedelta(0),
                only_if_standing=only_if_standing,
            ),
        )

    def _said(self, what: str) -> bool:
        return f"{self._key}:{what}" in self._world.posted

    def _muted(self) -> bool:
        mutes = self._world.mutes
        return bool(mutes.by_subject) and mute_of(self._incident, mutes, self._now) is not None


def in_words(view: Callable[[Incident], T], bare: Callable[[Incident], T], incident: Incident) -> T:
    """*incident* as *view* words it. A fault in one sentence must keep neither this alert back nor any other."""
    try:
        return view(incident)
    except Exception:
        log.exception("an incident could not be put into words: it is told without", incident=key_of(incident))
        return bare(incident)


def _is_of_slack(incident: Incident) -> bool:
    """Whether *incident* is that Slack is away, or that the bot does not hear it."""
    slack = Trouble(matter=Matter.SENSE, subject=Sense.SLACK.value)
    return incident.open and incident.seen == {slack}


def _over(changes: int) -> str:
    """What the summary of an incident is called that began again so many times: each end is told by itself."""
    return f"over:{changes}" if changes else "over"


def _missed(incident: Incident) -> Missed | None:
    if incident.resolved_at is None:
        return None
    title = in_words(headline, bare_title, incident)
    return Missed(title=title, began=incident.began_at, ended=incident.resolved_at)


def _of_operation(
    operation: Operation, channel: str, connected: Counts | None, drafts: Drafts, command: str
) -> Announcement:
    key = f"operation:{operation.id}"
    counts = None if connected is None else dict(connected)  # as they are now: the operator goes on counting
    return drafts.take(
        key,
        (operation, counts),
        lambda: Announcement(
            key=key,
            channel=channel,
            message=operation_message(operation, counts, command=command),
            born=operation.requested_at,
            passing=operation.phase is Phase.WAITING and counts is not None,
        ),
    )


def _of_self_test(test: SelfTest, channel: str, drafts: Drafts) -> Iterator[Announcement]:
    # Its first event's message is a stage of the test: before there is one, there is nothing to post.
    born = test.first_heard_at or test.finished_at
    if born is None:
        return
    key = f"selftest:{test.id}"
    yield drafts.take(
        key, test, lambda: Announcement(key=key, channel=channel, message=selftest_message(test), born=born)
    )
