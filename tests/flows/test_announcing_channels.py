"""Slack's limit is of each channel: one that has to wait keeps its order and holds up no other."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from bot.adapters.clock import SystemClock
from bot.adapters.messenger import SlackMessenger
from bot.flows.announcing import Announcement, Announcer
from bot.flows.chronicle import Chronicle
from bot.local.slack import ChannelSetup, Config, StandIn
from bot.views.blocks import section
from bot.views.message import SlackMessage
from tests.domain.reference import FLEET
from tests.fakes.journal import MemoryJournal
from tests.flows.desk import DUTY, a_desk

BUSY = ("one", "two", "three", "four", "five", "six")  # the first four are within the burst that Slack bears


def _of(channel: str, text: str) -> Announcement:
    message = SlackMessage(text=text, blocks=(section(text),))
    return Announcement(key=text, channel=channel, message=message, born=datetime(2026, 3, 1, tzinfo=UTC))


async def test_a_channel_at_slacks_limit_keeps_its_order_and_holds_up_no_other_channel() -> None:
    config = Config(channels=(ChannelSetup(id="C0BUSY", name="busy"), ChannelSetup(id="C0CALM", name="calm")))
    async with StandIn(config) as slack:
        due = (*(_of("C0BUSY", text) for text in BUSY), _of("C0CALM", "calm"))
        messenger = SlackMessenger(slack.bot_token, slack.base_url)
        chronicle = Chronicle(MemoryJournal(), FLEET)
        announcer = Announcer(chronicle, messenger, SystemClock(), lambda _world, _now: due)
        running = asyncio.create_task(announcer.run())
        try:
            await slack.wait_for(lambda: len(slack.messages("#busy")) == len(BUSY), 20)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await messenger.close()
        posted = [call.args["text"] for call in slack.calls if call.method == "chat.postMessage"]
        assert posted.index("calm") < posted.index("five")
        assert [text for text in posted if text != "calm"] == list(BUSY)


async def test_after_the_settings_named_another_channel_replies_still_go_to_where_their_message_stands() -> None:
    async with a_desk() as desk:
        async with desk.live():
            desk.open(1)
            await desk.settled()
        desk.clock.pass_by(60)
        desk.end(1)
        async with desk.live(channel=DUTY):
            desk.open(2)
            await desk.settled()
            assert len(desk.replies()) == 1
            assert [":large_green_circle:" in text for text in desk.texts()] == [True]
            assert ["web2" in m["text"] for m in desk.slack.messages(DUTY)] == [True]


async def test_a_channel_that_is_not_found_holds_up_no_other() -> None:
    async with a_desk() as desk:
        desk.slack.faults.rate_limited(None, retry_after=20, methods=frozenset({"conversations.list"}))
        async with desk.live(channel="#gone", escalate_to=DUTY):
            desk.clock.pass_by(1)
            desk.open(1, escalated_at=desk.clock.now())
            async with asyncio.timeout(10):
                while not desk.texts(DUTY):
                    await asyncio.sleep(0.01)
