"""What should stand in Slack, by what the journal adds up to: the announcer makes it so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta

from bot.domain.events import Via
from bot.domain.incidents import Incident
from bot.domain.operations import Operation, Phase
from bot.domain.selftest import SelfTest
from bot.flows.announcing import Announcement, Projection
from bot.flows.chronicle import World
from bot.views.incident import incident_message, resolution_message
from bot.views.operation import operation_message
from bot.views.selftest import selftest_message

Connected = Callable[[str], Mapping[str, int] | None]

# What was over for this long when the bot first comes to say it is no longer news, and its message is left as it is.
STALE = timedelta(hours=12)


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


def projection(channels: Mapping[str, str], connected: Connected) -> Projection:
    """The projection for clusters whose alerts go to *channels*; *connected* gives a drain's momentary counts."""
    drafts = Drafts()

    def project(world: World, now: datetime) -> Iterator[Announcement]:
        drafts.turn()
        for name, incidents in world.incidents.items():
            channel = channels.get(name)
            if channel is None:
                continue
            for incident in incidents.all:
                yield from _of_incident(incident, channel, now, world, drafts)
        for operation in world.operations.by_id.values():
            if operation.channel and _to_be_shown(operation) and not _stale(operation.ended_at, now):
                yield _of_operation(operation, operation.channel, connected(operation.id), drafts)
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


def _of_incident(
    incident: Incident, channel: str, now: datetime, world: World, drafts: Drafts
) -> Iterator[Announcement]:
    key = f"incident:{incident.cluster}:{incident.id}"
    # What was withdrawn before it was told is never told; what was told is corrected.
    due = key in world.posted if incident.withdrawn else incident.due(now)
    if not due or _stale(incident.resolved_at, now):
        return
    yield drafts.take(
        key,
        incident,
        lambda: Announcement(key=key, channel=channel, message=incident_message(incident), born=incident.opened_at),
    )
    # The thread tells the story only where the incident stood open in the channel: one that was over before it was
    # told is one message and no more.
    resolved_at = incident.resolved_at
    if resolved_at and key in world.posted:
        over = f"{key}:over"
        yield drafts.take(
            over,
            incident,
            lambda: Announcement(
                key=over, channel=channel, message=resolution_message(incident), born=resolved_at, thread_of=key
            ),
        )


def _of_operation(
    operation: Operation, channel: str, connected: Mapping[str, int] | None, drafts: Drafts
) -> Announcement:
    key = f"operation:{operation.id}"
    counts = None if connected is None else dict(connected)  # as they are now: the operator goes on counting
    return drafts.take(
        key,
        (operation, counts),
        lambda: Announcement(
            key=key,
            channel=channel,
            message=operation_message(operation, counts),
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
