"""Slack's limits: everything is said in the end, the news first, and only with the newest words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from bot.adapters.messenger import SlackMessenger
from bot.flows.announcing import Announcement, Announcer
from bot.flows.chronicle import Chronicle
from bot.flows.pacing import Pace
from bot.flows.ports import MessengerUnavailable
from bot.local.slack.faults import Fault, FaultKind
from bot.views.message import SlackMessage
from tests.domain.reference import FLEET
from tests.fakes.journal import MemoryJournal
from tests.flows.desk import DUTY, SITE, Desk, a_desk

POST, UPDATE = frozenset({"chat.postMessage"}), frozenset({"chat.update"})


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with a_desk() as made:
        yield made


async def test_sixty_incidents_at_five_messages_a_second_are_all_told_once_and_in_order() -> None:
    async with a_desk(speed=20) as desk, desk.live():
        desk.slack.faults.rate(5)
        desk.slack.faults.rate_limited(5, retry_after=1, methods=POST)  # however slow this machine is
        opened = [desk.open(number) for number in range(1, 61)]
        await desk.settled()
        assert desk.texts() == [t for o in opened for t in desk.texts() if f"{o.subject} " in t]
        assert len(desk.texts()) == 60
        assert len([c for c in desk.slack.calls if c.status == 429]) >= 5


async def test_what_changes_thrice_while_it_waits_is_edited_once(desk: Desk) -> None:
    async with desk.live():
        desk.open(1)
        await desk.settled()
        desk.slack.faults.rate_limited(1, retry_after=3600, methods=UPDATE)
        for evidence in ("one", "two", "three"):
            desk.change(1, evidence=(evidence,))
            await asyncio.sleep(0.1)
        desk.clock.speed = 100_000  # the hour passes
        await desk.settled()
        (edit,) = desk.made("chat.update")
        assert "three" in str(edit["blocks"])


async def test_openings_go_before_edits_and_edits_before_replies(desk: Desk) -> None:
    async with desk.live(pace=Pace(rate=20, burst=2)):
        desk.open(1)
        desk.open(2)
        await desk.settled()
        desk.clock.pass_by(60)
        before = len(desk.slack.calls)
        desk.change(2, evidence=("refused",))
        desk.end(1)
        desk.open(3)
        await desk.settled()
        calls = [c for c in desk.slack.calls[before:] if c.ok]
        assert [(c.method, c.args.get("thread_ts") is not None) for c in calls] == [
            ("chat.postMessage", False),
            ("chat.update", False),
            ("chat.update", False),
            ("chat.postMessage", True),
        ]


async def test_one_that_changes_all_the_time_keeps_neither_the_end_of_another_nor_its_reply_waiting(
    desk: Desk,
) -> None:
    async with desk.live(pace=Pace(rate=10, burst=1)):
        desk.open(1)
        desk.open(2)
        await desk.settled()
        desk.clock.pass_by(60)
        number = 0
        async with asyncio.timeout(20):
            while not desk.replies():
                number += 1
                desk.change(1, evidence=(f"seen {number}",))
                if number == 20:
                    desk.end(2)
                await asyncio.sleep(0.01)
        assert ":large_green_circle:" in desk.texts()[1]


async def test_a_channel_that_slack_asks_patience_for_holds_up_no_other_and_no_edit_of_its_own(desk: Desk) -> None:
    async with desk.live(escalate_to=DUTY):
        desk.open(1)
        await desk.settled()
        desk.slack.faults.rate_limited(1, retry_after=3600, methods=POST)
        desk.open(2)
        await desk.slack.wait_for(lambda: [c for c in desk.slack.calls if c.status == 429], 20)
        desk.change(1, escalated_at=desk.clock.now(), evidence=("refused",))
        await desk.slack.wait_for(lambda: desk.texts(DUTY) and desk.made("chat.update"), 20)
        desk.open(3)
        await asyncio.sleep(0.2)
        assert len(desk.texts()) == 1
        # Asking again before the time would only prolong it.
        assert len([c for c in desk.slack.calls if c.status == 429]) == 1
        assert desk.announcer
        assert desk.announcer.reachable
        assert desk.announcer.unsaid_since("incident:site:2", SITE)
        assert desk.announcer.unsaid_since("incident:site:2", DUTY) is None


async def test_what_slack_refused_is_tried_again_when_it_says_something_else_or_after_a_while() -> None:
    async with a_desk() as desk, desk.live():
        desk.slack._world.workspace.channels[SITE].members.discard("U0LVSBOT")
        desk.open(1)

        def refused() -> int:
            return len([c for c in desk.slack.calls if c.method == "chat.postMessage" and not c.ok])

        await desk.slack.wait_for(lambda: refused() == 1, 20)
        assert desk.announcer
        while desk.announcer.unsaid_since("incident:site:1", SITE) is None:
            await asyncio.sleep(0.01)
        desk.change(1, evidence=("refused",))
        await desk.slack.wait_for(lambda: refused() == 2, 20)
        await asyncio.sleep(0.2)
        assert refused() == 2
        desk.slack._world.workspace.channels[SITE].members.add("U0LVSBOT")
        desk.clock.speed = 10_000  # the five minutes pass
        await desk.slack.wait_for(desk.texts, 20)
        await desk.settled()
        assert desk.announcer.unsaid_since("incident:site:1", SITE) is None


class Poisoned:
    """Slack that fails at one message, by its key, with one method."""

    def __init__(self, real: Any, key: str, method: str) -> None:
        self._real = real
        self._key = key
        self._method = method

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name != self._method:
            return found

        async def call(*args: Any, **named: Any) -> Any:
            if self._key in (named.get("key"), *(args[1] if name == "find" else ())):
                raise MessengerUnavailable(f"{name}: internal_error")
            return await found(*args, **named)

        return call


async def test_a_post_that_slack_always_fails_at_holds_up_nothing_and_counts_as_unsaid(desk: Desk) -> None:
    async with desk.live(messenger=lambda real: Poisoned(real, "incident:site:1", "post"), escalate_to=DUTY) as told:
        desk.clock.pass_by(1)
        desk.open(1)
        await desk.away()
        failed_by = desk.clock.now()
        desk.clock.pass_by(1)
        desk.open(2, escalated_at=desk.clock.now())
        await desk.slack.wait_for(lambda: desk.texts() and desk.texts(DUTY), 20)
        desk.clock.pass_by(1)
        desk.end(2)
        await desk.slack.wait_for(desk.replies, 20)
        since = told.unsaid_since("incident:site:1", SITE)
        assert since is not None
        assert since <= failed_by, "since it failed first, whatever passed since"
        assert told.unsaid_since("incident:site:2", SITE) is None
        await asyncio.sleep(0.3)
        assert told.reachable, "one message is no reason to say that Slack is away"
        desk.slack.faults.down()
        await desk.away()


async def test_an_edit_that_slack_always_fails_at_holds_up_no_other(desk: Desk) -> None:
    async with desk.live(messenger=lambda real: Poisoned(real, "incident:site:1", "update")):
        desk.open(1)
        desk.open(2)
        await desk.settled()
        desk.change(1, evidence=("refused",))
        desk.end(2)
        await desk.slack.wait_for(desk.replies, 20)
        assert ":large_green_circle:" in desk.texts()[1]


@pytest.mark.parametrize("withdrawn", [False, True])
async def test_where_slack_cannot_be_searched_what_is_surely_new_is_told(withdrawn: bool, desk: Desk) -> None:
    desk.open(1, withdrawn=withdrawn)  # before this life of the bot: the last one may have told it
    async with desk.live(messenger=lambda real: Poisoned(real, "incident:site:1", "find")):
        desk.clock.pass_by(1)
        desk.open(2)
        await desk.slack.wait_for(desk.texts, 20)
        assert ["web2" in text for text in desk.texts()] == [True]


async def test_a_token_that_is_revoked_loses_nothing(desk: Desk) -> None:
    async with desk.live():
        world = desk.slack._world
        world.config = type(world.config)(
            channels=world.config.channels, bot_token="xoxb-another", app_token=world.config.app_token
        )
        desk.open(1)
        await desk.away()
        world.config = desk.slack.config
        await desk.settled()
        assert len(desk.texts()) == 1


async def test_a_count_that_goes_down_every_moment_keeps_no_reply_waiting(desk: Desk) -> None:
    born = desk.clock.now() + timedelta(seconds=1)
    count = 1000

    def due(_world: object, _now: object) -> list[Announcement]:
        nonlocal count
        count -= 1

        def said(key: str, text: str, *, thread_of: str | None = None, passing: bool = False) -> Announcement:
            message = SlackMessage(text=text)
            return Announcement(key=key, channel=SITE, message=message, born=born, thread_of=thread_of, passing=passing)

        return [
            said("operation:1", f"{count} left", passing=True),
            said("incident:1", "down"),
            said("incident:1:over", "over", thread_of="incident:1"),
        ]

    messenger = SlackMessenger(desk.slack.bot_token, desk.slack.base_url)
    announcer = Announcer(
        Chronicle(MemoryJournal(), FLEET), messenger, desk.clock, due, again_s=0.01, pace=Pace(rate=20, burst=1)
    )
    running = asyncio.create_task(announcer.run())
    try:
        await desk.slack.wait_for(desk.replies, 20)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await messenger.close()


async def test_an_answer_that_never_comes_is_given_up_and_looked_for(desk: Desk) -> None:
    async with desk.live(messenger=_hasty):
        desk.slack.faults.arm(Fault(kind=FaultKind.TIMEOUT, seconds=30, after_effect=True, methods=POST))
        desk.open(1)
        await desk.settled()
        assert len(desk.texts()) == 1


def _hasty(real: object) -> object:
    real._timeout_s = 1  # type: ignore[attr-defined]
    return real
