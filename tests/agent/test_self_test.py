"""The self-test's line goes the way of keepalived's own: through the FIFO, and what keeps it from that is said."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime

import pytest

from bot.domain.events import SelfTestHeard
from bot.lvs.agent import emit_test, parse_emitted
from tests.agent.site import Bot, Director, heard, line, until

TEST = "5e1f7e57"
EMIT = emit_test(TEST)[1:]


async def test_it_comes_through_the_fifo_with_the_times_of_its_stages(bot: Bot, sv1: Director) -> None:
    await sv1.start()
    status, said = await sv1.command(*EMIT)
    assert status == 0
    await until(lambda: bool(bot.events))
    event = bot.events[0].event
    assert isinstance(event, SelfTestHeard)
    assert (event.cluster, event.director, event.test) == ("site", "sv1", TEST)
    assert event.received_at is not None
    # Director and bot share a clock here: each stage comes after the one before.
    assert parse_emitted(said) <= event.written_at <= event.received_at <= datetime.now(UTC)


async def test_it_waits_its_turn_behind_what_keepalived_said(bot: Bot, sv1: Director) -> None:
    await sv1.start()
    sv1.says(*map(line, range(50)))
    assert (await sv1.command(*EMIT))[0] == 0
    sv1.says(*map(line, range(50, 100)))
    await until(lambda: len(bot.journal.entries) == 101)
    assert isinstance(bot.journal.entries[50].event, SelfTestHeard)
    assert heard(bot) == [f"VI_{n}" for n in range(100)]


async def test_many_at_a_time_garble_neither_each_other_nor_keepalived(bot: Bot, sv1: Director) -> None:
    await sv1.start()
    emitting = [asyncio.create_task(sv1.command(*emit_test(f"{n:08d}")[1:])) for n in range(6)]
    while not all(task.done() for task in emitting):
        sv1.says(line(0))
        await asyncio.sleep(0.001)
    assert [task.result()[0] for task in emitting] == [0] * 6
    await until(lambda: len([e for e in bot.journal.entries if isinstance(e.event, SelfTestHeard)]) == 6)
    assert set(heard(bot)) == {"VI_0"}


async def test_an_agent_that_does_not_run_is_said_at_once_and_nothing_is_left_for_later(
    bot: Bot, sv1: Director
) -> None:
    await sv1.start()
    sv1.keepalived_lets_go()
    await sv1.stop()
    status, said = await sv1.command(*EMIT)
    assert status == 1
    assert f"nobody reads the FIFO {sv1.fifo}: is lvs-agent running?" in said
    await sv1.start()
    sv1.says(line(0))
    await until(lambda: len(bot.journal.entries) == 1)
    assert heard(bot) == ["VI_0"]


async def test_a_fifo_that_the_agent_does_not_empty_is_told_apart_from_one_without_it(bot: Bot, sv1: Director) -> None:
    await sv1.start()
    await sv1.freeze()
    for filler in (line(0), ""):  # the last page of the pipe may have room for a shorter line
        with pytest.raises(BlockingIOError):
            while True:
                sv1.says(filler)
    status, said = await sv1.command(*EMIT)
    assert status == 1
    assert f"the FIFO {sv1.fifo} is full: lvs-agent does not read it" in said


async def test_a_file_in_the_fifos_place_is_not_written_to(bot: Bot, sv1: Director) -> None:
    sv1.fifo.write_text("somebody's")
    status, said = await sv1.command(*EMIT)
    assert status == 1
    assert "is not a FIFO" in said
    assert sv1.fifo.read_text() == "somebody's"


async def test_a_line_that_could_be_torn_apart_is_refused(bot: Bot, sv1: Director) -> None:
    os.mkfifo(sv1.fifo)
    status, said = await sv1.command("emit", "--through-fifo", "TEST", "x" * 4091)
    assert status == 1
    assert "an event of 4096 bytes; the longest for the FIFO is 4095" in said


async def test_a_line_that_only_resembles_it_is_kept_as_unreadable(bot: Bot, sv1: Director) -> None:
    await sv1.start()
    sv1.says("TEST", "TEST 5E1F7E57", "TEST short", f"TEST {TEST} more", f"TEST {'a' * 17}", f"TEST {TEST}")
    await until(lambda: len(bot.journal.entries) == 6)
    kinds = [type(entry.event).__name__ for entry in bot.journal.entries]
    assert kinds == ["AgentLineUnreadable"] * 5 + ["SelfTestHeard"]


def test_what_it_prints_is_read_and_nothing_else() -> None:
    assert parse_emitted(json.dumps({"at": 1732412345.5})) == datetime(2024, 11, 24, 1, 39, 5, 500000, tzinfo=UTC)
    for text in ("", "written", "[]", "{}", '{"at": "x"}', '{"at": NaN}', '{"at": 1e300}'):
        with pytest.raises(ValueError, match="lvs-agent emit, line 1"):
            parse_emitted(text)
