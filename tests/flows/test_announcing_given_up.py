"""Posts that Slack carries out when they were given up, looked for in vain and made anew: in the end one stands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from bot.adapters.messenger import SlackMessenger
from bot.flows import given_up
from bot.flows.ports import MessageRef
from bot.local.slack.faults import Fault, FaultKind
from tests.flows.desk import SITE, Desk, a_desk

POST = frozenset({"chat.postMessage"})


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with a_desk(speed=50) as made:
        yield made


def late(desk: Desk, kind: FaultKind = FaultKind.RESET) -> None:
    """The next post gets no answer, and is carried out when :func:`carried_out` says so."""
    desk.slack.faults.arm(Fault(kind=kind, after_effect=True, held=True, methods=POST))


async def carried_out(desk: Desk) -> None:
    """It was looked for in vain, and posted anew; and only now Slack carries the first one out."""
    await desk.settled()
    assert desk.slack.faults.let_go() == 1


async def until(what: Callable[[], object], within: float = 20.0) -> None:
    async with asyncio.timeout(within):
        while not what():
            await asyncio.sleep(0.01)


def ends(desk: Desk) -> list[str]:
    """Where the journal says that things stand."""
    return sorted({m.ts for m in desk.said()})


@pytest.mark.parametrize("kind", [FaultKind.RESET, FaultKind.SERVER_ERROR])
async def test_the_one_that_the_journal_does_not_know_is_taken_away(desk: Desk, kind: FaultKind) -> None:
    async with desk.live():
        late(desk, kind)
        desk.open(1)
        await carried_out(desk)
        await until(lambda: desk.made("chat.delete"))
        assert len(desk.texts()) == 1
        assert [m["ts"] for m in desk.slack.messages(SITE)] == ends(desk)
        desk.change(1, evidence=("more",))
        await desk.settled()
        assert len(desk.texts()) == 1
        assert len(desk.made("chat.delete")) == 1


async def test_so_is_a_reply(desk: Desk) -> None:
    async with desk.live():
        desk.open(1)
        await desk.settled()
        late(desk)
        desk.clock.pass_by(60)
        desk.end(1)
        await carried_out(desk)
        await until(lambda: desk.made("chat.delete"))
        assert len(desk.replies()) == 1
        assert desk.replies()[0]["ts"] in ends(desk)


async def test_so_is_a_summary(desk: Desk) -> None:
    async with desk.live():
        desk.slack.faults.down()
        desk.open(1)
        desk.open(2)
        await desk.away()
        desk.end(1, 2)
        desk.slack.faults.clear()
        late(desk)
        await carried_out(desk)
        await until(lambda: desk.made("chat.delete"))
        assert len(desk.texts()) == 1
        assert [m["ts"] for m in desk.slack.messages(SITE)] == ends(desk)


async def test_one_that_is_found_at_once_stays(desk: Desk) -> None:
    async with desk.live() as announcer:
        desk.slack.faults.arm(Fault(kind=FaultKind.RESET, after_effect=True, methods=POST))
        desk.open(1)
        await desk.settled()
        await until(lambda: not len(announcer._given_up))
        assert len(desk.texts()) == 1
        assert desk.made("chat.delete") == []


async def test_one_that_is_the_only_one_and_not_to_be_told_any_more_is_corrected(desk: Desk) -> None:
    async with desk.live() as announcer:
        late(desk)
        desk.slack.faults.server_error(None, methods=POST)
        desk.open(1)
        await until(lambda: len(desk.made("conversations.history")) > 0)
        # Slack goes on refusing: a post that is on its way just now would be the second one otherwise.
        desk.change(1, withdrawn=True, part_of=99)
        assert desk.slack.faults.let_go() == 1
        await until(desk.texts)
        await until(lambda: "part of incident 99" in desk.texts()[0])
        await until(lambda: not len(announcer._given_up))
        assert len(desk.texts()) == 1
        assert desk.made("chat.delete") == []


@pytest.mark.parametrize("method", ["chat.delete", "conversations.history"])
@pytest.mark.parametrize("kind", [FaultKind.RESET, FaultKind.SERVER_ERROR, FaultKind.RATE_LIMITED])
async def test_where_slack_fails_at_that_it_is_tried_again(desk: Desk, kind: FaultKind, method: str) -> None:
    async with desk.live():
        late(desk)
        desk.open(1)
        await desk.settled()
        desk.slack.faults.arm(Fault(kind=kind, methods=frozenset({method})))
        await carried_out(desk)
        await until(lambda: desk.made("chat.delete"))
        assert len(desk.texts()) == 1
        assert [m["ts"] for m in desk.slack.messages(SITE)] == ends(desk)


class Slow:
    """A messenger that takes its time over taking a message away."""

    def __init__(self, real: SlackMessenger) -> None:
        self._real = real
        self.asked, self.may_go_on = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def delete(self, ref: MessageRef) -> None:
        self.asked.set()
        await self.may_go_on.wait()
        await self._real.delete(ref)


async def test_it_is_remembered_until_it_is_taken_away(desk: Desk) -> None:
    made: list[Slow] = []

    def slow(real: SlackMessenger) -> Slow:
        made.append(Slow(real))
        return made[0]

    async with desk.live(messenger=slow) as announcer:
        late(desk)
        desk.open(1)
        await carried_out(desk)
        await until(made[0].asked.is_set)
        assert len(announcer._given_up) == 1
        made[0].may_go_on.set()
        await until(lambda: not len(announcer._given_up))
        assert len(desk.texts()) == 1


async def test_while_it_is_looked_for_the_news_goes_on(desk: Desk) -> None:
    async with desk.live() as announcer:
        late(desk)
        desk.open(1)
        await carried_out(desk)
        for number in range(2, 12):
            desk.open(number)
            await desk.settled()
        await until(lambda: not len(announcer._given_up))
        assert len(desk.texts()) == 11


async def test_a_channel_that_the_bot_was_taken_out_of_ends_nothing() -> None:
    async with a_desk(speed=200) as desk, desk.live() as announcer:
        late(desk)
        desk.open(1)
        await carried_out(desk)
        assert len(desk.texts()) == 2
        members = desk.slack._world.workspace.channel(SITE).members
        members.remove(desk.slack.config.bot_user_id)
        await until(lambda: [c.answer for c in desk.slack.calls if c.method == "conversations.history" and not c.ok])
        assert len(announcer._given_up) == 1, "it is put off"
        assert not desk.running.done()
        members.add(desk.slack.config.bot_user_id)
        await until(lambda: len(desk.texts()) == 1)


async def test_nothing_is_looked_for_for_ever(desk: Desk) -> None:
    """A post that was never carried out is looked for a few times; and of very many the latest are."""
    async with desk.live() as announcer:
        desk.slack.faults.server_error(3, methods=POST)
        desk.open(1)
        await desk.settled()
        assert 0 < len(announcer._given_up) <= given_up.MOST
        await until(lambda: not len(announcer._given_up))
        assert len(desk.texts()) == 1
    many = given_up.GivenUps(None, desk.clock)  # type: ignore[arg-type]
    for number in range(given_up.MOST + 5):
        many.add(str(number), ["key"], SITE, None)
    assert len(many) == given_up.MOST
