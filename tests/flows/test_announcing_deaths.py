"""However the bot dies, and whatever does not answer: everything is said once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.events import MuteSet
from bot.flows.ports import Entry
from bot.local.slack.faults import Fault, FaultKind
from tests.flows.desk import ALICE, DUTY, SITE, Desk, a_desk


class Died(BaseException):
    """The process was killed: nothing catches this."""


@dataclass
class Fate:
    """Dies at the *moment*-th of all moments: each call of a port has one before it and one after it."""

    moment: int
    passed: int = 0
    begun: bool = False

    def tick(self) -> None:
        self.passed += self.begun
        if self.begun and self.passed == self.moment:
            raise Died


class Mortal:
    """A port whose every call is between two moments at which the process can die."""

    def __init__(self, real: Any, fate: Fate) -> None:
        self._real = real
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if not asyncio.iscoroutinefunction(found):
            return found

        async def call(*args: Any, **named: Any) -> Any:
            self._fate.tick()
            answer = await found(*args, **named)
            self._fate.tick()
            return answer

        return call


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with a_desk() as made:
        yield made


async def opening(desk: Desk) -> None:
    desk.open(1)


async def opening_and_edit(desk: Desk) -> None:
    desk.open(1)
    await desk.settled()
    desk.change(1, evidence=("connection refused",))


async def whole_life(desk: Desk) -> None:
    desk.open(1)
    await desk.settled()
    desk.clock.pass_by(1800)
    desk.change(1, reminders=1, reminded_at=desk.clock.now())
    await desk.settled()
    desk.clock.pass_by(60)
    desk.end(1)


async def storm(desk: Desk) -> None:
    for number in range(1, 6):
        desk.open(number)


async def backlog(desk: Desk) -> None:
    desk.slack.faults.down()
    desk.open(1)
    desk.open(2)
    await desk.away()
    desk.end(1, 2)
    desk.open(3)
    desk.slack.faults.clear()


STORIES: list[tuple[Callable[[Desk], Awaitable[None]], int, int]] = [
    (opening, 1, 0),
    (opening_and_edit, 1, 0),
    (whole_life, 1, 2),
    (storm, 5, 0),
    (backlog, 2, 0),
]


async def _a_life(desk: Desk, fate: Fate, story: Callable[[Desk], Awaitable[None]]) -> bool:
    """Live through *story*, or as far as *fate* lets; whether it was to the end."""
    async with desk.live(messenger=lambda real: Mortal(real, fate), journal=lambda real: Mortal(real, fate)):
        fate.begun = True
        telling = asyncio.create_task(_tell(desk, story))
        await asyncio.wait({telling, desk.running}, return_when=asyncio.FIRST_COMPLETED)
        if not telling.done():
            telling.cancel()
        results = await asyncio.gather(telling, return_exceptions=True)
        if results[0] is not None and not isinstance(results[0], Died | asyncio.CancelledError):
            raise results[0]
        return not desk.running.done()


async def _tell(desk: Desk, story: Callable[[Desk], Awaitable[None]]) -> None:
    await story(desk)
    await desk.settled()


@pytest.mark.parametrize(("story", "messages", "replies"), STORIES, ids=lambda value: getattr(value, "__name__", ""))
async def test_a_death_at_any_moment_posts_nothing_twice_and_loses_nothing(
    story: Callable[[Desk], Awaitable[None]], messages: int, replies: int
) -> None:
    moment = 0
    survived = False
    while not survived:
        moment += 1
        async with a_desk() as desk:
            survived = await _a_life(desk, Fate(moment), story)
            desk.slack.faults.clear()
            desk.clock.pass_by(5)
            async with desk.live():
                desk.slack.faults.clear()
                await _tell(desk, _rest_of(story))
                keys = [m.key for m in desk.said()]
                assert len(desk.texts()) <= messages, f"at moment {moment}"
                assert len(desk.replies()) <= replies, f"at moment {moment}"
                for number in desk.incidents:
                    assert f"incident:site:{number}" in keys, f"at moment {moment}"
                assert len({m["metadata"]["event_payload"]["key"] for m in desk.slack.messages(SITE)}) == len(
                    desk.slack.messages(SITE)
                ), f"at moment {moment}"
    assert moment > 3


def _rest_of(story: Callable[[Desk], Awaitable[None]]) -> Callable[[Desk], Awaitable[None]]:
    """What of *story* had not happened yet, told in a hurry."""

    async def rest(desk: Desk) -> None:
        if story is whole_life and 1 in desk.incidents and desk.incidents[1].open:
            desk.end(1)

    return rest


async def test_a_post_that_the_journal_does_not_take_is_not_posted_again(desk: Desk) -> None:
    async with desk.live():
        desk.journal.fail = "disk full"
        desk.open(1)
        await desk.slack.wait_for(desk.texts, 20)
        await asyncio.sleep(0.2)
        desk.journal.fail = None
        await desk.settled()
        assert len(desk.texts()) == 1
        assert [m.key for m in desk.said()] == ["incident:site:1"]
        assert desk.made("chat.update") == []


async def test_a_summary_that_the_journal_does_not_take_is_not_posted_again(desk: Desk) -> None:
    async with desk.live():
        await backlog(desk)
        desk.journal.fail = "disk full"
        await desk.slack.wait_for(desk.texts, 20)
        await asyncio.sleep(0.2)
        desk.journal.fail = None
        await desk.settled()
        assert len(desk.texts()) == 2
        assert sorted({m.key for m in desk.said()}) == [f"incident:site:{n}" for n in (1, 2, 3)]


@pytest.mark.parametrize("kind", [FaultKind.RESET, FaultKind.SERVER_ERROR])
async def test_a_summary_whose_answer_was_lost_is_found_and_not_posted_again(kind: FaultKind, desk: Desk) -> None:
    async with desk.live():
        desk.slack.faults.down()
        desk.open(1)
        desk.open(2)
        await desk.away()
        desk.end(1, 2)
        desk.slack.faults.clear()
        desk.slack.faults.arm(Fault(kind=kind, after_effect=True, methods=frozenset({"chat.postMessage"})))
        await desk.settled()
        assert len(desk.texts()) == 1
        assert {m.digest for m in desk.said()} == {"summed up"}


@pytest.mark.parametrize("kind", [FaultKind.RESET, FaultKind.SERVER_ERROR])
async def test_a_reply_whose_answer_was_lost_is_found_in_its_thread(kind: FaultKind, desk: Desk) -> None:
    async with desk.live():
        desk.open(1)
        await desk.settled()
        desk.slack.faults.arm(Fault(kind=kind, after_effect=True, methods=frozenset({"chat.postMessage"})))
        desk.clock.pass_by(60)
        desk.end(1)
        await desk.settled()
        assert len(desk.replies()) == 1


async def test_the_story_of_what_was_told_before_a_death_is_in_its_thread_although_it_ended_meanwhile(
    desk: Desk,
) -> None:
    async with desk.live():
        desk.open(1)
        await desk.settled()
    desk.journal.store.recorded.clear()  # the record of the post is what the death took along
    desk.clock.pass_by(600)
    desk.end(1)
    desk.clock.pass_by(5)
    async with desk.live():
        await desk.settled()
        assert [":large_green_circle:" in text for text in desk.texts()] == [True]
        assert len(desk.replies()) == 1


async def test_after_a_death_with_a_clock_that_was_set_back_nothing_is_posted_twice(desk: Desk) -> None:
    async with desk.live(escalate_to=DUTY):
        desk.open(1)
        desk.clock.pass_by(20)
        desk.change(1, escalated_at=desk.clock.now())
        await desk.settled()
    desk.journal.store.recorded.clear()  # the record of the post is what the death took along
    desk.clock.pass_by(-60)
    async with desk.live(escalate_to=DUTY):
        await desk.settled()
        assert (len(desk.texts()), len(desk.texts(DUTY))) == (1, 1)


async def test_what_was_told_before_a_death_and_is_withdrawn_since_is_corrected(desk: Desk) -> None:
    async with desk.live():
        desk.open(1)
        await desk.settled()
    desk.journal.store.recorded.clear()  # the record of the post is what the death took along
    desk.clock.pass_by(5)
    desk.change(1, withdrawn=True, part_of=2)
    async with desk.live():
        desk.clock.pass_by(1)
        desk.open(2)
        await desk.settled()
        assert ["part of incident 2" in text for text in desk.texts()] == [True, False]


async def lost_answer(desk: Desk) -> None:
    """The next post arrives, but its answer does not, and for now it cannot be looked for."""
    desk.slack.faults.arm(Fault(kind=FaultKind.RESET, after_effect=True, methods=frozenset({"chat.postMessage"})))
    desk.slack.faults.server_error(None, methods=frozenset({"conversations.history"}))


async def test_what_was_posted_without_an_answer_and_ended_under_a_mute_is_corrected(desk: Desk) -> None:
    async with desk.live():
        desk.clock.pass_by(1)
        await lost_answer(desk)
        desk.open(1)
        await desk.away()
        assert desk.chronicle
        until = desk.clock.now() + timedelta(hours=1)
        await desk.chronicle.append(Entry(event=MuteSet(cluster="site", subject="web1", until=until, by=ALICE)))
        desk.end(1)
        desk.slack.faults.clear()
        await desk.settled()
        assert [":large_green_circle:" in text for text in desk.texts()] == [True]


async def test_an_escalation_without_an_answer_is_kept_up_to_date_although_somebody_took_it(desk: Desk) -> None:
    async with desk.live(escalate_to=DUTY):
        desk.clock.pass_by(1)
        desk.open(1)
        await desk.settled()
        await lost_answer(desk)
        desk.change(1, escalated_at=desk.clock.now())
        await desk.away()
        desk.change(1, acknowledged_by=ALICE, acknowledged_at=desk.clock.now())
        desk.slack.faults.clear()
        await desk.settled()
        desk.end(1)
        await desk.settled()
        assert [":large_green_circle:" in text for text in desk.texts(DUTY)] == [True]


async def test_what_is_not_to_be_told_is_neither_posted_nor_looked_for_long_afterwards_nor_told_another_way(
    desk: Desk,
) -> None:
    for number in range(1, 21):
        desk.open(number)
        desk.change(number, withdrawn=True)
    desk.clock.pass_by(7200)
    desk.open(21)
    desk.change(21, withdrawn=True)
    async with desk.live() as announcer:
        desk.slack.faults.server_error(1, methods=frozenset({"conversations.history"}))
        await desk.away()
        assert announcer.unsaid_since("incident:site:21", SITE) is None
        await desk.settled()
        desk.change(21, evidence=("found out later",))
        await asyncio.sleep(0.1)
        assert desk.texts() == []
    async with desk.live():
        await desk.settled()
    asked = [call.args["oldest"] for call in desk.slack.calls if call.method == "conversations.history"]
    assert len(asked) == 3, "once that failed, once, and once in the next life"
    assert all(float(oldest) > desk.clock() - 3600 for oldest in asked)


async def test_a_message_is_found_after_a_death_although_hundreds_were_written_since(desk: Desk) -> None:
    async with desk.live():
        opened = desk.open(1)
        await desk.settled()
    desk.journal.store.recorded.clear()  # the record of the post is what the death took along
    for number in range(250):
        desk.slack.say("alice", SITE, f"line {number}")
    desk.clock.pass_by(3600)
    async with desk.live():
        desk.happens(opened)
        await desk.settled()
        assert [t for t in desk.texts() if "line" not in t] == desk.texts()[:1]
