"""From keepalived's FIFO through the agent's disk and the webhook into the journal: in order, once, whatever fails."""

from __future__ import annotations

import asyncio
import signal

from bot.domain.events import AgentLineUnreadable, VrrpState, VrrpStateChanged
from tests.agent.site import Bot, Director, heard, line, until


async def test_a_line_in_the_fifo_becomes_an_event_in_the_journal(bot: Bot, sv1: Director) -> None:
    await sv1.start()
    sv1.says('INSTANCE "VI_1" MASTER 100')
    await until(lambda: bool(bot.events))
    assert bot.events[0].event == VrrpStateChanged(
        cluster="site", director="sv1", instance="VI_1", state=VrrpState.MASTER, priority=100
    )


async def test_lines_keep_their_order_through_a_burst(bot: Bot, sv1: Director) -> None:
    await sv1.start()
    sv1.says(*map(line, range(500)))
    await until(lambda: len(bot.journal.entries) == 500)
    assert heard(bot) == [f"VI_{n}" for n in range(500)]
    assert bot.journal.appends < 250, "a burst is few POSTs"


async def test_what_comes_while_the_bot_is_away_is_delivered_when_it_is_back(bot: Bot, sv1: Director) -> None:
    await sv1.start()
    sv1.says(line(0))
    await until(lambda: len(bot.journal.entries) == 1)
    await bot.go()
    sv1.says(line(1), line(2))
    await until(lambda: "no answer" in sv1.log)
    await bot.come()
    await until(lambda: len(bot.journal.entries) == 3)
    assert heard(bot) == ["VI_0", "VI_1", "VI_2"]


async def test_the_agent_keeps_its_lines_while_the_journal_is_unavailable(bot: Bot, sv1: Director) -> None:
    bot.journal.broken = True
    await sv1.start()
    sv1.says(line(0), line(1))
    await until(lambda: bot.answers.count(503) >= 2)
    assert not bot.events
    bot.journal.broken = False
    await until(lambda: len(bot.journal.entries) == 2)
    assert heard(bot) == ["VI_0", "VI_1"]


async def test_an_answer_that_got_lost_has_no_second_effect(bot: Bot, sv1: Director) -> None:
    bot.journal.lose_answer = True
    await sv1.start()
    sv1.says(line(0))
    await until(lambda: bot.answers.count(503) >= 2)
    bot.journal.lose_answer = False
    await until(lambda: not sv1.unsent())
    assert heard(bot) == ["VI_0"]
    assert not bot.events, "nothing was new any more"


async def test_a_reload_of_keepalived_loses_nothing(bot: Bot, sv1: Director) -> None:
    await sv1.start()
    sv1.says(line(0))
    sv1.keepalived_lets_go()
    sv1.keepalived_opens()
    sv1.says(line(1))
    await until(lambda: len(bot.journal.entries) == 2)
    assert heard(bot) == ["VI_0", "VI_1"]


async def test_lines_written_while_the_agent_is_away_wait_in_the_pipe(bot: Bot, sv1: Director) -> None:
    await sv1.start()
    await sv1.stop()
    sv1.says(line(0), line(1))
    await sv1.start()
    await until(lambda: len(bot.journal.entries) == 2)
    assert heard(bot) == ["VI_0", "VI_1"]


async def test_a_stopped_agent_delivers_what_it_has_and_ends_well(bot: Bot, sv1: Director) -> None:
    await sv1.start()
    sv1.says(*map(line, range(20)))
    assert await sv1.stop(signal.SIGTERM) == 0
    assert heard(bot) == [f"VI_{n}" for n in range(20)]


async def test_counters_go_on_after_a_restart(bot: Bot, sv1: Director) -> None:
    for number in range(3):
        await sv1.start()
        sv1.says(line(number))
        await until(lambda expected=number + 1: len(bot.journal.entries) == expected)  # type: ignore[misc]
        await sv1.stop()
    counters = [int(str(entry.source_key).rsplit(":", 1)[1]) for entry in bot.journal.entries]
    assert counters == [counters[0], counters[0] + 1, counters[0] + 2]


async def test_a_line_that_the_bot_cannot_read_reaches_the_journal_as_it_came(bot: Bot, sv1: Director) -> None:
    await sv1.start()
    sv1.says("nonsense \udcff\x01 auth_pass 7890", line(0))
    await until(lambda: len(bot.journal.entries) == 2)
    event = bot.journal.entries[0].event
    assert isinstance(event, AgentLineUnreadable)
    assert event.line == r"nonsense \xff\x01 auth_pass ***"
    assert heard(bot) == ["VI_0"]


async def test_emitters_at_the_same_time_lose_nothing_and_share_no_counter(bot: Bot, sv1: Director) -> None:
    await sv1.start()
    results = await asyncio.gather(
        *(sv1.command("emit", "INSTANCE", f"VI_{n}", "BACKUP", "90") for n in range(8)),
    )
    assert [status for status, _ in results] == [0] * 8
    sv1.says(line(8))
    await until(lambda: len(bot.journal.entries) == 9)
    assert sorted(heard(bot)) == [f"VI_{n}" for n in range(9)]
    assert len(bot.journal.keys) == 9


async def test_an_emitter_needs_no_running_agent(bot: Bot, sv1: Director) -> None:
    assert await sv1.command("emit", "GROUP", "G 1", "FAULT", "0") == (0, "")
    await sv1.start()
    await until(lambda: len(bot.journal.entries) == 1)
    assert heard(bot) == ["G 1"]


async def test_heartbeats_say_how_the_director_stands(bot: Bot, sv1: Director) -> None:
    await sv1.start()
    sv1.says(line(0))
    await until(lambda: bool(bot.heartbeats) and bot.heartbeats[-1].attached and bool(bot.events))
    await until(lambda: bot.heartbeats[-1].pending == 0)
    newest = bot.heartbeats[-1]
    assert (newest.cluster, newest.director, newest.trouble) == ("site", "sv1", None)
    assert f"agent:sv1:{newest.boot}:{newest.counter}" in bot.journal.keys
    sv1.keepalived_lets_go()
    await until(lambda: not bot.heartbeats[-1].attached)


async def test_after_a_rotation_the_new_secret_is_taken_up_without_a_restart(bot: Bot, sv1: Director) -> None:
    await sv1.start()
    await bot.go()
    bot.secrets = {"sv1": b"another secret of sufficient length"}
    await bot.come()
    sv1.says(line(0))
    await until(lambda: bot.answers.count(401) >= 2)
    assert not bot.journal.entries
    sv1.secret_file.write_bytes(bot.secrets["sv1"])
    await until(lambda: len(bot.journal.entries) == 1)
    assert heard(bot) == ["VI_0"]


async def test_a_director_whose_clock_is_off_is_told_so_and_heard_once_it_is_set(bot: Bot, sv1: Director) -> None:
    bot.clock.ahead = 3600.0
    await sv1.start()
    sv1.says(line(0))
    await until(lambda: "3600 s behind the bot's clock" in sv1.log)
    bot.clock.ahead = 0.0
    await until(lambda: len(bot.journal.entries) == 1)


async def test_a_second_agent_on_the_same_spool_is_refused(bot: Bot, sv1: Director) -> None:
    await sv1.start()
    status, said = await sv1.command("run")
    assert status == 1
    assert "another lvs-agent runs" in said


async def test_the_test_command_reaches_the_bot_and_leaves_the_journal_alone(bot: Bot, sv1: Director) -> None:
    status, said = await sv1.command("test")
    assert (status, bot.journal.entries) == (0, [])
    assert "took a signed test message from sv1" in said


async def test_the_test_command_says_what_is_wrong(bot: Bot, sv1: Director) -> None:
    sv1.secret_file.write_bytes(b"some other secret, long enough")
    status, said = await sv1.command("test")
    assert status == 1
    assert "401 the director is not known, or the signature is not its own" in said


async def test_status_tells_whether_all_is_delivered(bot: Bot, sv1: Director) -> None:
    await sv1.command("emit", "INSTANCE", "VI_1", "MASTER", "100")
    status, said = await sv1.command("status")
    assert status == 3
    assert "NOT RUNNING" in said
    assert "1 waiting" in said
    await sv1.start()
    await until(lambda: len(bot.journal.entries) == 1 and not sv1.unsent())
    status, said = await sv1.command("status")
    assert status == 0
    assert "0 waiting" in said
