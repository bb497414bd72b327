"""The announcer against the stand-in: everything is said once, in order, through limits, outages and deaths."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from bot.adapters.messenger import SlackMessenger
from bot.domain.events import MessagePosted, Recorded, VrrpState
from bot.domain.health import Outcome
from bot.domain.observed import UnitActive
from bot.flows.announcing import Announcer
from bot.flows.chronicle import Chronicle
from bot.flows.pacing import Pace
from bot.flows.ports import Entry
from bot.flows.projecting import projection
from bot.local.slack import StandIn
from bot.local.slack.faults import Fault, FaultKind
from tests.domain.reference import FLEET, Pen, answer
from tests.fakes.journal import MemoryJournal

CHANNEL = "C0SITE"


class Clock:
    """The stories are of one day in March: what they tell is fresh then."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class OldJournal(MemoryJournal):
    """A journal in which things happen when the story says, and not now."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Recorded] = []

    async def append(self, *entries: Entry) -> tuple[Recorded | None, ...]:
        recorded = []
        for entry in entries:
            at = entry.at_source or self.lines[-1].recorded_at
            line = Recorded(sequence=len(self.lines) + 1, recorded_at=at, at_source=at, event=entry.event)
            self.lines.append(line)
            recorded.append(line)
        return tuple(recorded)

    async def read(self, *, after: int = 0, kinds: Any = (), limit: int = 1000) -> tuple[Recorded, ...]:
        return tuple(line for line in self.lines if line.sequence > after)[:limit]


class Desk:
    """An announcer over a journal, with the stand-in as its Slack. :meth:`live` is one life of it."""

    def __init__(self, slack: StandIn) -> None:
        self.slack = slack
        self.journal = OldJournal()

    async def tell(self, chronicle: Chronicle, pen: Pen, start: int = 0) -> None:
        for line in pen.lines[start:]:
            await chronicle.append(Entry(event=line.event, at_source=line.recorded_at))

    @asynccontextmanager
    async def live(
        self, *, started: datetime | None = None, channel: str = "#lvs-site", quiet_s: float = 60
    ) -> AsyncIterator[tuple[Chronicle, Announcer]]:
        chronicle = Chronicle(self.journal, FLEET)
        await chronicle.catch_up()
        messenger = SlackMessenger(self.slack.bot_token, self.slack.base_url)
        clock = Clock(started or datetime(2026, 3, 1, 12, 0, tzinfo=UTC))
        announcer = Announcer(
            chronicle,
            messenger,
            clock,
            projection({"site": channel}, lambda _op: None),
            again_s=0.05,
            away_s=0.1,
            quiet_s=quiet_s,
        )
        clock.at = datetime(2026, 3, 1, 12, 10, tzinfo=UTC)
        running = asyncio.create_task(announcer.run())
        try:
            yield chronicle, announcer
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await messenger.close()

    def texts(self) -> list[str]:
        return [m["text"] for m in self.slack.messages(CHANNEL) if m.get("thread_ts") in (None, m["ts"])]

    async def agreed(self, chronicle: Chronicle, count: int) -> None:
        """Wait until *count* messages stand and each is recorded as it is shown."""
        await self.slack.wait_for(lambda: len(self.texts()) >= count, 20)
        while len([r for r in self.journal.lines if isinstance(r.event, MessagePosted)]) < count:
            await asyncio.sleep(0.01)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with StandIn() as slack:
        yield Desk(slack)


def web_server_down(name: str = "web1") -> Pen:
    return Pen().all_well(0).probe(100, "http", name, Outcome.UNHEALTHY, "connection refused").all_well(101)


def two_stories() -> Pen:
    # web1 would be a part of the second: it lives inside of the director that loses its role.
    pen = web_server_down("web2").says(110, "sv2", VrrpState.MASTER)
    stopped = answer("sv1", active=UnitActive.INACTIVE, weights=())
    return pen.roll_call(111, stopped, answer("sv2", holds=True))


async def test_an_incident_is_posted_once_and_edited_when_it_ends(desk: Desk) -> None:
    async with desk.live() as (chronicle, _):
        pen = web_server_down()
        await desk.tell(chronicle, pen)
        await desk.agreed(chronicle, 1)
        (message,) = desk.slack.messages(CHANNEL)
        assert "web1 is down" in message["text"]
        await desk.tell(chronicle, pen.probe(150, "http", "web1", Outcome.HEALTHY, ""), len(pen.lines) - 1)
        await desk.slack.wait_for(lambda: "web1 is up again" in desk.texts()[0], 20)
        assert len(desk.texts()) == 1
        await desk.slack.wait_for(lambda: len(desk.slack.messages(CHANNEL)) == 2, 20)
        assert desk.slack.messages(CHANNEL)[1]["thread_ts"] == message["ts"]


async def test_a_story_that_turns_out_to_be_part_of_another_is_corrected(desk: Desk) -> None:
    async with desk.live() as (chronicle, _):
        pen = web_server_down()
        await desk.tell(chronicle, pen)
        await desk.agreed(chronicle, 1)
        lost = (answer("sv1", error="no answer"), answer("sv2", holds=True))
        await desk.tell(chronicle, pen.says(110, "sv2", VrrpState.MASTER).roll_call(111, *lost), 3)
        await desk.slack.wait_for(lambda: len(desk.texts()) == 2 and "part of incident" in desk.texts()[0], 20)


async def test_while_slack_is_away_nothing_is_lost_and_afterwards_all_is_told_in_order(desk: Desk) -> None:
    async with desk.live() as (chronicle, announcer):
        desk.slack.faults.down(60)
        await desk.tell(chronicle, two_stories())
        while announcer.reachable:
            await asyncio.sleep(0.01)
        assert desk.texts() == []
        desk.slack.faults.clear()
        await desk.agreed(chronicle, 2)
        assert ["web2" in text for text in desk.texts()] == [True, False]


async def test_that_slack_is_away_is_noticed_although_there_is_nothing_to_say(desk: Desk) -> None:
    async with desk.live(quiet_s=0.1) as (_, announcer), asyncio.timeout(20):

        def reachable() -> bool:
            return announcer.reachable

        while len(asked := [call for call in desk.slack.calls if call.method == "auth.test"]) < 3:
            await asyncio.sleep(0.01)
        assert reachable()
        assert all(later.at - sooner.at >= 0.1 for sooner, later in itertools.pairwise(asked)), "not at every look"
        desk.slack.faults.rate_limited(2, retry_after=1)
        while len(desk.slack.calls) < len(asked) + 2:
            await asyncio.sleep(0.01)
            assert reachable(), "who asks for patience is there"
        desk.slack.faults.clear()
        desk.slack.faults.down(60)
        while reachable():
            await asyncio.sleep(0.01)
        desk.slack.faults.clear()
        while not reachable():
            await asyncio.sleep(0.01)


async def test_limits_and_server_errors_are_waited_out(desk: Desk) -> None:
    async with desk.live() as (chronicle, _):
        desk.slack.faults.rate_limited(2, retry_after=1)
        desk.slack.faults.server_error(1)
        await desk.tell(chronicle, two_stories())
        await desk.agreed(chronicle, 2)
        assert len(desk.texts()) == 2


@pytest.mark.parametrize("kind", [FaultKind.RESET, FaultKind.SERVER_ERROR])
async def test_a_post_whose_answer_was_lost_is_found_and_not_posted_again(desk: Desk, kind: FaultKind) -> None:
    async with desk.live() as (chronicle, _):
        desk.slack.faults.arm(Fault(kind=kind, after_effect=True, methods=frozenset({"chat.postMessage"})))
        await desk.tell(chronicle, web_server_down())
        await desk.agreed(chronicle, 1)
        await asyncio.sleep(0.3)
        assert len(desk.texts()) == 1


async def test_a_death_between_the_post_and_its_record_does_not_post_twice(desk: Desk) -> None:
    async with desk.live() as (chronicle, _):
        await desk.tell(chronicle, web_server_down())
        await desk.agreed(chronicle, 1)
    # The record of the post is what the death took along.
    desk.journal.lines = [line for line in desk.journal.lines if not isinstance(line.event, MessagePosted)]
    async with desk.live(started=datetime(2026, 3, 1, 12, 5, tzinfo=UTC)) as (chronicle, _):
        while not any(isinstance(line.event, MessagePosted) for line in desk.journal.lines):
            await asyncio.sleep(0.01)
        assert len(desk.texts()) == 1


async def test_a_restart_says_nothing_that_was_said(desk: Desk) -> None:
    async with desk.live() as (chronicle, _):
        await desk.tell(chronicle, web_server_down())
        await desk.agreed(chronicle, 1)
    before = len(desk.slack.calls)
    async with desk.live(started=datetime(2026, 3, 1, 12, 5, tzinfo=UTC)) as (_, announcer):
        announcer.wake()
        await asyncio.sleep(0.3)
    assert [c.method for c in desk.slack.calls[before:] if c.method.startswith("chat.")] == []


async def test_a_message_that_slack_refuses_is_not_tried_again_and_again(desk: Desk) -> None:
    async with desk.live(channel="#general") as (chronicle, announcer):
        await desk.tell(chronicle, two_stories())

        def refused() -> int:
            return len([c for c in desk.slack.calls if c.method == "chat.postMessage"])

        await desk.slack.wait_for(lambda: refused() == 2, 20)
        for _ in range(5):
            announcer.wake()
            await asyncio.sleep(0.1)
        assert refused() == 2


def test_the_pace_lets_a_burst_through_and_then_one_a_second() -> None:
    pace = Pace(rate=1.0, burst=3.0)
    assert [pace.wait_for("C1", 0.0) for _ in range(3)] == [0, 0, 0]
    assert pace.wait_for("C1", 0.0) == pytest.approx(1.0)
    assert pace.wait_for("C2", 0.0) == 0
    assert pace.wait_for("C1", 1.0) == 0
