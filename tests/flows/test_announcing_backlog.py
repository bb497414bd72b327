"""Nothing stale is news: what began and ended while nothing could be said is summed up, and counts as said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from bot.domain.events import Sense
from bot.domain.incidents import Kind, Matter, Trouble
from bot.views.message import SlackMessage
from tests.flows.desk import DUTY, SITE, Desk, a_desk, incident
from tests.views.slack import shown


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with a_desk(speed=0) as made:
        yield made


def blocks_of(desk: Desk, place: int) -> str:
    message = desk.slack.messages(SITE)[place]
    return shown(SlackMessage(text=message["text"], blocks=tuple(message["blocks"])))


async def five_minutes_without_slack(desk: Desk, *numbers: int) -> None:
    """Each of the incidents begins and ends while Slack is away."""
    desk.slack.faults.down()
    for number in numbers:
        desk.open(number)
    await desk.away()
    desk.clock.pass_by(120)
    desk.end(*numbers)
    desk.clock.pass_by(180)


async def test_what_began_and_ended_while_slack_was_away_is_one_message(desk: Desk) -> None:
    async with desk.live():
        await five_minutes_without_slack(desk, 1, 2, 3)
        desk.slack.faults.clear()
        await desk.settled()
        (text,) = desk.texts()
        assert text == "While Slack was away (12:00:00 to 12:05:00 UTC): 3 incidents that began and ended meanwhile"
        told = blocks_of(desk, 0)
        for number in (1, 2, 3):
            assert f"12:00:00 UTC>, for 2 min: web{number} is up again" in told


async def test_each_that_was_summed_up_counts_as_said_and_edits_nothing_later(desk: Desk) -> None:
    async with desk.live():
        await five_minutes_without_slack(desk, 1, 2)
        desk.slack.faults.clear()
        await desk.settled()
        (message,) = desk.slack.messages(SITE)
        assert [(m.key, m.ts) for m in desk.said()] == [(f"incident:site:{n}", message["ts"]) for n in (1, 2)]
        desk.change(1, evidence=("found out later",))
        await asyncio.sleep(0.2)
    async with desk.live():
        await asyncio.sleep(0.2)
        assert desk.slack.messages(SITE) == [message]


async def test_one_alone_is_told_as_what_it_is(desk: Desk) -> None:
    async with desk.live():
        await five_minutes_without_slack(desk, 1)
        desk.slack.faults.clear()
        await desk.settled()
        assert desk.texts() == [":large_green_circle: web1 is up again"]
        assert desk.replies() == []


async def test_what_is_still_open_is_told_by_itself_and_before_the_summary(desk: Desk) -> None:
    async with desk.live():
        desk.slack.faults.down()
        for number in (1, 2, 3):
            desk.open(number)
        await desk.away()
        desk.end(1, 2)
        desk.change(3, evidence=("worded as of now",))
        desk.slack.faults.clear()
        await desk.settled()
        first, second = desk.texts()
        assert "web3 is down" in first
        assert "worded as of now" in blocks_of(desk, 0)
        assert "2 incidents" in second


async def test_what_was_told_before_the_outage_is_edited_and_not_summed_up(desk: Desk) -> None:
    async with desk.live():
        desk.open(1)
        await desk.settled()
        await five_minutes_without_slack(desk, 2, 3)
        desk.end(1)
        desk.slack.faults.clear()
        await desk.settled()
        first, second = desk.texts()
        assert "web1 is up again" in first
        assert "2 incidents" in second
        assert len(desk.replies()) == 1


async def test_what_ended_while_slack_was_there_is_never_summed_up(desk: Desk) -> None:
    async with desk.live():
        desk.clock.pass_by(60)
        desk.open(1)
        desk.open(2)
        desk.end(1, 2)
        await desk.settled()
        assert len(desk.texts()) == 2


@pytest.mark.parametrize("where", ["edits", "another channel", "here"])
async def test_only_where_posts_have_to_wait_for_long_what_is_over_is_summed_up(where: str, desk: Desk) -> None:
    async with desk.live(escalate_to=DUTY):
        desk.clock.pass_by(1)
        desk.open(1)
        await desk.settled()
        methods = {"chat.update"} if where == "edits" else {"chat.postMessage"}
        desk.slack.faults.rate_limited(1, retry_after=600, methods=frozenset(methods))
        if where == "here":
            desk.open(4)
        else:
            desk.change(1, evidence=("refused",), escalated_at=desk.clock.now() if where == "another channel" else None)
        await desk.slack.wait_for(lambda: [c for c in desk.slack.calls if c.status == 429], 20)
        await asyncio.sleep(0.1)
        desk.clock.pass_by(60)
        began = desk.clock.now()
        desk.clock.pass_by(5)
        # Two that were over before they were to be told, because an effect waits for its cause.
        over = [replace(incident(n, began), resolved_at=desk.clock.now()) for n in (2, 3)]
        desk.happens(*over)
        if where == "here":
            assert desk.announcer
            desk.announcer._limits._until.clear()  # as if the ten minutes were over for Slack
        await desk.slack.wait_for(lambda: len(desk.texts()) >= 3, 20)
        await asyncio.sleep(0.1)
        assert len(desk.texts()) == 3
        assert ["2 incidents" in text for text in desk.texts()] == [False, False, where == "here"]


async def test_after_a_long_absence_of_the_bot_what_is_over_is_summed_up(desk: Desk) -> None:
    desk.open(1)
    desk.open(2)
    desk.clock.pass_by(300)
    desk.end(1, 2)
    desk.open(3)
    desk.clock.pass_by(3600)
    async with desk.live():
        await desk.settled()
        first, second = desk.texts()
        assert "web3 is down" in first
        assert (
            second
            == "While the bot could not tell (12:00:00 to 13:05:00 UTC): 2 incidents that began and ended meanwhile"
        )


async def test_one_that_was_told_before_the_bot_died_is_not_summed_up_with_the_others(desk: Desk) -> None:
    async with desk.live():
        desk.open(1)
        await desk.settled()
    desk.journal.store.recorded.clear()  # the death took the record along
    desk.open(2)
    desk.open(3)
    desk.clock.pass_by(60)
    desk.end(1, 2, 3)
    desk.clock.pass_by(60)
    async with desk.live():
        await desk.settled()
        first, second = desk.texts()
        assert "web1 is up again" in first
        assert "2 incidents" in second


async def test_what_was_summed_up_and_begins_again_is_told_by_itself(desk: Desk) -> None:
    async with desk.live():
        await five_minutes_without_slack(desk, 1, 2)
        desk.slack.faults.clear()
        await desk.settled()
        desk.change(1, resolved_at=None, changes=1)
        await desk.settled()
        assert "web1 is down" in desk.texts()[1]
        desk.clock.pass_by(30)
        desk.end(1)
        await desk.settled()
        assert len(desk.texts()) == 2
        assert "web1 is up again" in desk.texts()[1]


async def test_a_very_long_backlog_fits_into_what_slack_takes(desk: Desk) -> None:
    numbers = range(1, 71)
    async with desk.live():
        desk.slack.faults.down()
        for number in numbers:
            desk.open(number, subject="w" * 60 + str(number))
        await desk.away()
        desk.end(*numbers)
        desk.slack.faults.clear()
        await desk.settled()
        assert [text.rpartition("UTC): ")[2].split()[0] for text in desk.texts()] == ["60", "10"]
        assert "… and 40 more" in blocks_of(desk, 0)
        assert len({m.key for m in desk.said()}) == 70


async def test_when_slack_is_back_is_found_out_although_nothing_is_to_be_said(desk: Desk) -> None:
    async with desk.live() as announcer:
        desk.slack.faults.down()
        desk.open(1)
        await desk.away()
        desk.change(1, withdrawn=True)
        desk.slack.faults.clear()
        async with asyncio.timeout(20):
            while not announcer.reachable:
                await asyncio.sleep(0.01)
        assert desk.texts() == []


async def test_an_escalation_that_came_too_late_is_not_made(desk: Desk) -> None:
    async with desk.live(escalate_to=DUTY):
        desk.slack.faults.down()
        desk.open(1)
        await desk.away()
        desk.clock.pass_by(900)
        desk.change(1, escalated_at=desk.clock.now())
        desk.end(1)
        desk.slack.faults.clear()
        await desk.settled()
        assert desk.texts(DUTY) == []


async def test_what_is_withdrawn_while_something_is_looked_for_is_not_posted(desk: Desk) -> None:
    looking, go_on = asyncio.Event(), asyncio.Event()

    class Slow:
        def __init__(self, real: Any) -> None:
            self._real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        async def find(self, *args: Any, **named: Any) -> Any:
            looking.set()
            await go_on.wait()
            return await self._real.find(*args, **named)

    desk.open(1)  # before this life of the bot: the last one may have told it
    async with desk.live(messenger=Slow):
        async with asyncio.timeout(20):
            await looking.wait()
        desk.change(1, withdrawn=True)
        go_on.set()
        await desk.slack.wait_for(lambda: desk.made("conversations.history"), 20)
        await asyncio.sleep(0.2)
        assert desk.made("chat.postMessage") == []


SLACK = frozenset({Trouble(matter=Matter.SENSE, subject=Sense.SLACK.value)})


def that_slack_is_away(desk: Desk) -> None:
    desk.open(9, kind=Kind.BOT_BLIND, subject="Slack", seen=SLACK, troubles=SLACK)


async def test_that_slack_is_away_is_not_told_in_slack_before_it_is_over(desk: Desk) -> None:
    async with desk.live():
        desk.slack.faults.down()
        desk.open(1)
        await desk.away()
        that_slack_is_away(desk)
        desk.clock.pass_by(60)
        desk.slack.faults.clear()
        await desk.settled()
        assert ["web1 is down" in text for text in desk.texts()] == [True]
        desk.clock.pass_by(10)
        desk.end(9)
        await desk.settled()
        assert len(desk.texts()) == 2
        assert ":large_green_circle:" in desk.texts()[1]


async def test_that_slack_cannot_be_heard_is_told_where_it_takes_messages(desk: Desk) -> None:
    async with desk.live():
        desk.clock.pass_by(60)
        that_slack_is_away(desk)
        await desk.settled()
        assert len(desk.texts()) == 1
