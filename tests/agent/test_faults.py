"""The agent when things break around it, or when it is itself killed at any moment."""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from bot.agent.lvs_agent import Fifo, boot_id
from bot.domain.events import AgentGap
from tests.agent.site import Bot, Director, heard, line, until


@pytest.mark.parametrize("seed", range(4))
async def test_an_agent_killed_at_random_moments_delivers_each_line_it_has_spooled_exactly_once_and_in_order(
    bot: Bot, sv1: Director, seed: int
) -> None:
    chance = random.Random(seed)
    said: list[str] = []
    in_hand: set[str] = set()
    for _ in range(8):
        await sv1.start(ready=not said or chance.random() < 0.8)
        for _ in range(chance.randrange(4)):
            lines = [line(len(said) + n) for n in range(chance.randrange(1, 6))]
            said += lines
            sv1.says(*lines)
            await asyncio.sleep(chance.choice([0, 0.001, 0.01, 0.05, 0.2]))
        await sv1.freeze()
        in_hand |= read_and_not_spooled(bot, sv1, said)
        await sv1.stop(signal.SIGKILL)
    await sv1.start()
    expected = [text.split('"')[1] for text in said if text not in in_hand]
    await until(lambda: len(heard(bot)) >= len(expected) and not sv1.unsent())
    assert heard(bot) == expected


def read_and_not_spooled(bot: Bot, sv1: Director, said: list[str]) -> set[str]:
    """The lines that the frozen agent holds in memory alone: neither journalled, nor spooled, nor still in the pipe."""
    kept = {str(record["line"]) for record in sv1.spooled()} | {f'INSTANCE "{name}" MASTER 100' for name in heard(bot)}
    missing = [text for text in said if text not in kept]
    waiting = sv1.in_pipe()
    while missing and waiting:
        waiting -= len(missing.pop()) + 1
    return set(missing)


async def test_while_the_disk_takes_nothing_lines_wait_in_order_and_the_bot_is_told(bot: Bot, sv1: Director) -> None:
    await sv1.start()
    sv1.says(line(0))
    await until(lambda: len(bot.journal.entries) == 1)
    assert sv1.agent is not None
    resource.prlimit(sv1.agent.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    sv1.says(line(1))
    await until(lambda: "spool" in (bot.heartbeats[-1].trouble or ""))
    sv1.says(line(2), line(3))
    resource.prlimit(sv1.agent.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await until(lambda: len(bot.journal.entries) == 4)
    assert heard(bot) == ["VI_0", "VI_1", "VI_2", "VI_3"]
    await until(lambda: bot.heartbeats[-1].trouble is None)


async def test_a_record_that_the_bot_refuses_for_good_holds_nobody_up_and_is_reported(tmp_path: Path) -> None:
    async with Bot(max_body=700) as bot, Director(tmp_path, bot.url) as sv1:
        await sv1.start()
        sv1.says(line(0), "x" * 2000, line(1), line(2))
        await until(lambda: len(heard(bot)) == 3 and not sv1.unsent())
        assert heard(bot) == ["VI_0", "VI_1", "VI_2"]
        gap = bot.journal.entries[-1].event
        assert isinstance(gap, AgentGap)
        assert gap.lost == 1
        assert "413" in gap.why
        assert "x" * 2000 in (sv1.spool / "aside").read_text()
        await until(lambda: bot.heartbeats[-1].aside == 1)


async def test_a_record_from_before_the_clock_was_set_gets_its_true_time(bot: Bot, sv1: Director) -> None:
    boot = boot_id()
    early = {"boot": boot, "counter": 5, "at": 86400.0, "mono": time.monotonic(), "line": line(0)}
    (sv1.spool / "events").write_text(json.dumps(early) + "\n")
    await sv1.start()
    await until(lambda: len(bot.journal.entries) == 1)
    at = bot.journal.entries[0].at_source
    assert at is not None
    assert datetime.now(UTC) - at < timedelta(hours=1), "and not in 1970, where the clock stood when it came"
    assert bot.journal.entries[0].source_key == f"agent:sv1:{boot}:5"


async def test_a_record_of_an_earlier_boot_keeps_its_time_and_its_key(bot: Bot, sv1: Director) -> None:
    early = {"boot": "another-boot", "counter": 5, "at": 86400.0, "mono": 7.0, "line": line(0)}
    (sv1.spool / "events").write_text(json.dumps(early) + "\n")
    await sv1.start()
    await until(lambda: len(bot.journal.entries) == 1)
    assert bot.journal.entries[0].source_key == "agent:sv1:another-boot:5"
    assert bot.journal.entries[0].at_source == datetime.fromtimestamp(86400, UTC)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, "<h1>Bad Request</h1>"),
        (404, "none"),
        (400, '{"error": "version", "reason": "too new"}'),
        (302, ""),
    ],
)
async def test_an_answer_that_is_not_about_the_record_takes_nothing_off_the_queue(
    tmp_path: Path, status: int, text: str
) -> None:
    asked = 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.Response(status=status, text=text)

    app = web.Application()
    app.add_routes([web.post("/events/keepalived", answer)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/events/keepalived"
        async with Director(tmp_path, url) as sv1:
            await sv1.start()
            sv1.says(line(0))
            await until(lambda: asked >= 4)
            assert [record["line"] for record in sv1.unsent()] == [line(0)]
            assert not (sv1.spool / "aside").exists()
    finally:
        await runner.cleanup()


async def test_a_fifo_that_was_removed_is_made_again(bot: Bot, sv1: Director) -> None:
    await sv1.start()
    sv1.keepalived_lets_go()
    before = sv1.fifo.stat().st_ino
    keep_inode = sv1.fifo.with_name("kept")
    sv1.fifo.rename(keep_inode)
    await until(lambda: sv1.fifo.exists() and sv1.fifo.stat().st_ino != before)
    sv1.keepalived_opens()
    sv1.says(line(0))
    await until(lambda: len(bot.journal.entries) == 1)


def test_what_waits_in_a_fifo_that_was_replaced_is_read(tmp_path: Path) -> None:
    path = tmp_path / "notify.fifo"
    fifo = Fifo(str(path))
    fifo.look_after()
    keepalived = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    os.write(keepalived, b"one\ntwo\nthr")
    path.rename(tmp_path / "old")
    os.mkfifo(path)
    fifo.look_after()
    os.close(keepalived)
    keepalived = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    assert fifo.read_lines() == ["one", "two", "thr"]
    os.write(keepalived, b"four\n")
    os.close(keepalived)
    assert fifo.read_lines() == ["four"]
    assert fifo.read_lines() == []
    fifo.close()


async def test_what_stands_in_the_fifos_place_is_named_to_the_bot(bot: Bot, sv1: Director) -> None:
    sv1.fifo.write_text("not a FIFO")
    await sv1.start(ready=False)
    await until(lambda: any("is not a FIFO" in (beat.trouble or "") for beat in bot.heartbeats))
    sv1.fifo.unlink()
    await until(lambda: bot.heartbeats[-1].trouble is None)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"heartbeat": 5}, "unknown key 'heartbeat'"),
        ({"url": "bot.example.net:8780"}, "must look like https://"),
        ({"url": "http://bot:99999/"}, "must look like https://"),
        ({"heartbeat_s": "5"}, "'heartbeat_s' must be a number from"),
        ({"heartbeat_s": True}, "'heartbeat_s' must be a number from"),
        ({"director": ""}, "'director' must be a text"),
    ],
)
async def test_a_wrong_configuration_is_refused_with_the_key_and_what_to_write(
    tmp_path: Path, change: dict[str, object], complaint: str
) -> None:
    sv1 = Director(tmp_path, "http://127.0.0.1:1/")
    sv1.configure(**change)
    status, said = await sv1.command("run")
    assert status == 1
    assert complaint in said
    assert "Traceback" not in said


async def test_a_short_secret_is_refused(bot: Bot, sv1: Director) -> None:
    sv1.secret_file.write_text("short")
    status, said = await sv1.command("test")
    assert status == 1
    assert "openssl rand -hex 32" in said
