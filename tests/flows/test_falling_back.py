"""When Slack stays away: each way is told once of what is open, and of its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from bot.domain.events import FallbackSent, MuteSet, Sense
from bot.domain.incidents import Kind, Matter, Trouble
from bot.flows.falling_back import Fallback
from bot.flows.ports import Entry, NotDelivered, Word
from tests.flows.desk import ALICE, DUTY, Desk, a_desk


@dataclass
class Letterbox:
    """A way that keeps what it is given. It fails ``failing`` times first, or hangs."""

    name: str = "webhook"
    failing: int = 0
    hanging: bool = False
    got: list[Word] = field(default_factory=list)
    tries: int = 0

    async def send(self, word: Word) -> None:
        self.tries += 1
        if self.hanging:
            await asyncio.Event().wait()
        if self.failing:
            self.failing -= 1
            raise NotDelivered("not today")
        self.got.append(word)

    async def close(self) -> None:
        """Nothing is open."""

    def heads(self) -> list[tuple[str, bool]]:
        return [(word.key, word.open) for word in self.got]


class Slow:
    """Slack that takes a while for each post."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.delay = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def post(self, *args: Any, **named: Any) -> Any:
        await asyncio.sleep(self.delay)
        return await self._real.post(*args, **named)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with a_desk(speed=0) as made:
        yield made


@asynccontextmanager
async def falling_back(desk: Desk, *ways: Letterbox, first_wait_s: float = 0.02) -> AsyncIterator[None]:
    assert desk.chronicle
    assert desk.announcer
    fallback = Fallback(
        desk.chronicle,
        desk.clock,
        desk.announcer,
        ways,
        {"site": "C0SITE"},
        after_s=60,
        look_s=0.02,
        first_wait_s=first_wait_s,
    )
    running = asyncio.create_task(fallback.run())
    try:
        yield
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until(done: object, within: float = 20) -> None:
    assert callable(done)
    async with asyncio.timeout(within):
        while not done():
            await asyncio.sleep(0.01)


async def a_while() -> None:
    await asyncio.sleep(0.15)


async def test_what_is_open_is_sent_once_slack_has_been_away_for_long_and_so_is_its_end(desk: Desk) -> None:
    way = Letterbox()
    async with desk.live(), falling_back(desk, way):
        desk.slack.faults.down()
        down = Trouble(matter=Matter.REAL_SERVER, subject="web1")
        now, before = "http: connection refused", "dns-udp: no answer within 0.9 s"
        desk.open(1, troubles=frozenset({down}), evidence=(before, now), found=((down, (now,)),))
        await desk.away()
        desk.clock.pass_by(55)
        await a_while()
        assert way.got == []
        desk.clock.pass_by(10)
        await until(lambda: way.got)
        (word,) = way.got
        assert (word.title, word.incident, word.cluster, word.kind) == (
            "[site] web1 is down",
            1,
            "site",
            "real server down",
        )
        assert word.text.splitlines() == [
            "web1 is down",
            "incident 1 of site, since 12:00:00 UTC",
            "- was: dns-udp: no answer within 0.9 s",
            "- http: connection refused",
            "Slack has been away since 12:00:00 UTC: it is told there when it is back.",
        ]
        desk.clock.pass_by(60)
        desk.end(1)
        await until(lambda: len(way.got) == 2)
        assert way.heads() == [("incident:site:1", True), ("incident:site:1:over", False)]
        assert "over at 12:02:05 UTC after 2 min 5 s" in way.got[1].text
        await a_while()
        assert len(way.got) == 2


async def told_while_away(desk: Desk, way: Letterbox) -> None:
    """Slack goes away, an incident opens, and *way* is told."""
    desk.slack.faults.down()
    desk.open(1)
    await desk.away()
    desk.clock.pass_by(70)
    await until(lambda: way.got)


async def test_what_begins_while_slack_has_been_away_for_long_is_sent_at_once(desk: Desk) -> None:
    way = Letterbox()
    async with desk.live(), falling_back(desk, way):
        await told_while_away(desk, way)
        desk.open(2)
        await until(lambda: len(way.got) == 2)
        assert way.heads() == [("incident:site:1", True), ("incident:site:2", True)]


async def test_what_grows_while_slack_is_away_is_sent_although_slack_shows_how_it_began(desk: Desk) -> None:
    way = Letterbox()
    async with desk.live(), falling_back(desk, way):
        desk.open(1)
        await desk.settled()
        desk.slack.faults.down()
        desk.change(1, kind=Kind.DIRECTORS_LOST, subject="site")
        await desk.away()
        desk.clock.pass_by(70)
        await until(lambda: way.got)
        assert way.heads() == [("incident:site:1", True)]


async def test_an_escalation_that_slack_does_not_take_is_sent(desk: Desk) -> None:
    way = Letterbox()
    async with desk.live(escalate_to=DUTY), falling_back(desk, way):
        desk.open(1)
        await desk.settled()
        desk.slack.faults.down()
        desk.change(1, escalated_at=desk.clock.now())
        await desk.away()
        desk.clock.pass_by(70)
        await until(lambda: way.got)
        assert way.heads() == [("incident:site:1", True)]


async def test_an_escalation_whose_own_channel_takes_nothing_for_long_is_sent(desk: Desk) -> None:
    way = Letterbox()
    async with desk.live(escalate_to=DUTY), falling_back(desk, way):
        desk.clock.pass_by(1)
        desk.open(1)
        await desk.settled()
        desk.slack.faults.rate_limited(1, retry_after=3600, methods=frozenset({"chat.postMessage"}))
        desk.change(1, escalated_at=desk.clock.now())
        await desk.slack.wait_for(lambda: [c for c in desk.slack.calls if c.status == 429], 20)
        await a_while()
        desk.clock.pass_by(50)
        await a_while()
        assert way.got == []
        desk.clock.pass_by(20)
        await until(lambda: way.got)
        assert way.heads() == [("incident:site:1", True)]


async def test_that_slack_is_away_is_sent(desk: Desk) -> None:
    way = Letterbox()
    slack = frozenset({Trouble(matter=Matter.SENSE, subject=Sense.SLACK.value)})
    async with desk.live(), falling_back(desk, way):
        desk.open(1)
        await desk.settled()
        desk.slack.faults.down()
        desk.end(1)
        await desk.away()
        desk.open(2, kind=Kind.BOT_BLIND, subject="Slack", seen=slack, troubles=slack)
        desk.clock.pass_by(70)
        await until(lambda: way.got)
        assert way.heads() == [("incident:site:2", True)]


async def test_what_ended_before_that_or_stands_in_slack_as_it_is_is_not_sent(desk: Desk) -> None:
    way = Letterbox()
    async with desk.live(), falling_back(desk, way):
        desk.open(1)
        await desk.settled()
        desk.slack.faults.down()
        desk.open(2)
        await desk.away()
        desk.end(2)
        desk.clock.pass_by(70)
        await a_while()
        assert way.got == []


async def test_who_was_told_of_it_is_told_of_its_end_although_slack_is_back(desk: Desk) -> None:
    way = Letterbox()
    async with desk.live(), falling_back(desk, way):
        await told_while_away(desk, way)
        desk.slack.faults.clear()
        await desk.settled()
        desk.open(2)
        desk.end(1)
        await until(lambda: len(way.got) == 2)
        await a_while()
        assert way.heads() == [("incident:site:1", True), ("incident:site:1:over", False)]
        assert "Slack has been away" not in way.got[1].text


@pytest.mark.parametrize("journal_fails", [False, True])
async def test_what_is_told_as_over_and_begins_again_is_sent_again(journal_fails: bool, desk: Desk) -> None:
    way = Letterbox()
    async with desk.live(), falling_back(desk, way):
        desk.slack.faults.down()
        desk.open(1)
        await desk.away()
        desk.journal.fail = "disk full" if journal_fails else None
        for changes in (0, 1, 2):
            desk.change(1, resolved_at=None, changes=changes)
            desk.clock.pass_by(70)
            await until(lambda: len(way.got) % 2 == 1)
            desk.end(1)
            desk.clock.pass_by(10)
            await until(lambda: len(way.got) % 2 == 0)
            desk.clock.pass_by(10)
        await a_while()
        assert way.heads() == [
            ("incident:site:1", True),
            ("incident:site:1:over", False),
            ("incident:site:1:again:1", True),
            ("incident:site:1:over:1", False),
            ("incident:site:1:again:2", True),
            ("incident:site:1:over:2", False),
        ]


async def test_what_begins_again_where_slack_shows_it_is_not_sent_and_nor_is_its_end(desk: Desk) -> None:
    way = Letterbox()
    async with desk.live(), falling_back(desk, way):
        await told_while_away(desk, way)
        desk.slack.faults.clear()
        await desk.settled()
        desk.end(1)
        await until(lambda: len(way.got) == 2)
        desk.clock.pass_by(10)
        desk.change(1, resolved_at=None, changes=1)
        await desk.settled()
        desk.clock.pass_by(100)
        desk.end(1)
        await desk.settled()
        await a_while()
        assert len(way.got) == 2


async def test_what_is_muted_is_not_sent(desk: Desk) -> None:
    way = Letterbox()
    async with desk.live(), falling_back(desk, way):
        desk.slack.faults.down()
        desk.open(1)
        await desk.away()
        assert desk.chronicle
        until_then = datetime.fromtimestamp(desk.clock() + 600, desk.clock.now().tzinfo)
        await desk.chronicle.append(
            Entry(event=MuteSet(cluster="site", subject="web1", until=until_then, by=ALICE, maintenance=True))
        )
        desk.clock.pass_by(70)
        await a_while()
        assert way.got == []


async def test_a_channel_that_takes_nothing_for_long_is_as_if_slack_were_away(desk: Desk) -> None:
    way = Letterbox()
    async with desk.live(), falling_back(desk, way):
        desk.slack._world.workspace.channels["C0SITE"].members.discard("U0LVSBOT")
        desk.open(1)
        assert desk.announcer
        await until(lambda: desk.announcer and desk.announcer.unsaid_since("incident:site:1", "C0SITE"))
        desk.clock.pass_by(70)
        await until(lambda: way.got)
        assert desk.announcer.reachable


async def test_posts_that_fail_while_slack_can_be_read_are_as_if_it_were_away(desk: Desk) -> None:
    way = Letterbox()
    async with desk.live(), falling_back(desk, way):
        desk.slack.faults.server_error(None, methods=frozenset({"chat.postMessage"}))
        desk.clock.pass_by(1)
        desk.open(1)
        await desk.away()
        for _ in range(40):  # the announcer looks every 0.04 s, which stands for its 2 s
            desk.clock.pass_by(2)
            await asyncio.sleep(0.05)
        assert desk.made("conversations.history"), "between two posts it is looked for, and that Slack can do"
        assert way.heads() == [("incident:site:1", True)]


async def test_a_limit_that_is_long_over_does_not_pass_for_slack_being_away(desk: Desk) -> None:
    way = Letterbox()
    slow: list[Slow] = []

    def slowed(real: Any) -> Slow:
        slow.append(Slow(real))
        return slow[0]

    async with desk.live(messenger=slowed), falling_back(desk, way):
        desk.open(1)
        await desk.settled()
        desk.slack.faults.rate_limited(1, retry_after=1, methods=frozenset({"chat.postMessage"}))
        desk.change(1, reminders=1, reminded_at=desk.clock.now())
        await desk.slack.wait_for(lambda: [c for c in desk.slack.calls if c.status == 429], 20)
        await a_while()
        desk.change(1, acknowledged_by=ALICE, acknowledged_at=desk.clock.now())  # nothing is to be reminded of any more
        await desk.settled()
        desk.clock.pass_by(3 * 3600)
        await asyncio.sleep(1)  # the limit is over
        slow[0].delay = 0.3
        desk.open(2)
        await desk.settled()
        await a_while()
        assert way.got == []


async def test_one_way_that_fails_or_hangs_holds_up_neither_the_other_nor_slack(desk: Desk) -> None:
    flaky, stuck, good = Letterbox("email", failing=3), Letterbox("stuck", hanging=True), Letterbox()
    async with desk.live(), falling_back(desk, flaky, stuck, good):
        desk.slack.faults.down()
        desk.open(1)
        await desk.away()
        desk.clock.pass_by(70)
        await until(lambda: good.got)
        await until(lambda: flaky.got)
        assert flaky.tries == 4
        desk.slack.faults.clear()
        await desk.settled()
        assert len(desk.texts()) == 1
        assert stuck.tries == 1


class Picky(Letterbox):
    """A way that never takes what is said of the first incident."""

    async def send(self, word: Word) -> None:
        if word.incident == 1:
            self.tries += 1
            raise NotDelivered("the webhook answered HTTP 413")
        await super().send(word)


async def test_a_word_that_is_never_taken_holds_up_no_other(desk: Desk) -> None:
    way = Picky()
    async with desk.live(), falling_back(desk, way, first_wait_s=60):
        desk.slack.faults.down()
        desk.open(1)
        desk.open(2)
        await desk.away()
        desk.clock.pass_by(70)
        await until(lambda: way.got)
        await until(lambda: way.tries)
        await a_while()
        desk.open(3)
        await until(lambda: len(way.got) == 2)
        assert way.heads() == [("incident:site:2", True), ("incident:site:3", True)]


async def test_after_a_failure_it_is_tried_again_less_and_less_often(desk: Desk) -> None:
    async with desk.live():
        assert desk.chronicle
        assert desk.announcer
        fallback = Fallback(desk.chronicle, desk.clock, desk.announcer, (), {}, after_s=60)
        assert [fallback._pause(n) for n in (0, 1, 2, 3, 5, 6, 100)] == [1, 2, 4, 8, 32, 60, 60]


async def test_a_restart_sends_nothing_that_was_sent(desk: Desk) -> None:
    first, second = Letterbox(), Letterbox()
    async with desk.live(), falling_back(desk, first):
        desk.slack.faults.down()
        desk.open(1)
        await desk.away()
        desk.clock.pass_by(70)
        await until(lambda: first.got)
    async with desk.live(), falling_back(desk, second):
        await desk.away()
        desk.clock.pass_by(70)
        await a_while()
        assert second.got == []
        desk.end(1)
        await until(lambda: second.got)
        assert second.heads() == [("incident:site:1:over", False)]


async def test_while_the_journal_takes_nothing_it_is_sent_once_all_the_same_and_recorded_later(desk: Desk) -> None:
    way = Letterbox()
    async with desk.live(), falling_back(desk, way):
        desk.slack.faults.down()
        desk.open(1)
        await desk.away()
        desk.journal.fail = "disk full"
        desk.clock.pass_by(70)
        await until(lambda: way.got)
        await a_while()
        assert len(way.got) == 1
        desk.journal.fail = None
        await until(lambda: [r for r in desk.journal.store.recorded if isinstance(r.event, FallbackSent)])


async def test_without_any_way_nothing_is_done(desk: Desk) -> None:
    async with desk.live(), falling_back(desk):
        await a_while()
