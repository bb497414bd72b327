"""The ping against a real HTTP server: it goes out while the bot is well, and what goes wrong never tells the URL."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from pydantic import SecretStr

from bot.adapters.clock import SystemClock
from bot.adapters.pinger import TIMEOUT_S, HttpPinger
from bot.flows.pinging import DeadMansSwitch, PingFailed
from tests.contracts.sshd import free_port
from tests.fakes.journal import MemoryJournal

SECRET = "b7f3c1d2-ping-me"


class Monitor:
    """Counts the pings that come to its URL; ``status`` is what it answers, ``hangs`` makes it answer nothing."""

    def __init__(self) -> None:
        self.pings = 0
        self.status = 200
        self.hangs = False
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.pings += 1
        if self.hangs:
            await asyncio.Event().wait()
        headers = {"Location": "/elsewhere"} if self.status == 302 else None
        return web.Response(status=self.status, headers=headers)


@asynccontextmanager
async def listening() -> AsyncIterator[Monitor]:
    monitor = Monitor()
    app = web.Application()
    app.add_routes([web.get(f"/{SECRET}", monitor.handle)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monitor.url = f"http://127.0.0.1:{runner.addresses[0][1]}/{SECRET}"
    try:
        yield monitor
    finally:
        await runner.cleanup()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


class Bot:
    """The switch, thrown every few milliseconds."""

    def __init__(self, url: str) -> None:
        self.journal = MemoryJournal()
        self.troubles: tuple[str, ...] = ()
        self.switch = DeadMansSwitch(
            HttpPinger(SecretStr(url)),
            self.journal,
            SystemClock(),
            lambda: self.troubles,
            every_s=0.01,
            journal_s=0.2,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.switch.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def held_back(self, monitor: Monitor) -> tuple[str, ...]:
        """Wait until pings are held back, make sure that none comes, and say why."""
        await until(lambda: self.switch.held_back)
        seen = monitor.pings
        await asyncio.sleep(0.1)
        assert monitor.pings == seen
        return self.switch.held_back


async def test_pings_go_out_while_all_is_well_and_each_proves_that_the_journal_can_be_written() -> None:
    async with listening() as monitor:
        bot = Bot(monitor.url)
        async with bot.running():
            await until(lambda: monitor.pings >= 3)
        assert len(bot.journal.store.samples) >= 3
        assert bot.journal.store.recorded == [], "a ping is no event"


async def test_a_journal_that_cannot_be_written_silences_it_until_it_can() -> None:
    async with listening() as monitor:
        bot = Bot(monitor.url)
        async with bot.running():
            await until(lambda: monitor.pings >= 1)
            bot.journal.fail = "the disk is full"
            assert await bot.held_back(monitor) == ("the disk is full",)
            bot.journal.fail = None
            seen = monitor.pings
            await until(lambda: monitor.pings > seen)
            assert bot.switch.held_back == ()


async def test_a_journal_that_hangs_silences_it() -> None:
    async with listening() as monitor:
        bot = Bot(monitor.url)
        written = bot.journal.add_samples

        async def hangs(results: object) -> None:
            await asyncio.Event().wait()

        bot.journal.add_samples = hangs  # type: ignore[method-assign]
        async with bot.running():
            assert await bot.held_back(monitor) == ("the journal took no write within 0.2 s",)
            bot.journal.add_samples = written  # type: ignore[method-assign]
            await until(lambda: monitor.pings)


async def test_a_bot_that_is_not_well_is_silent() -> None:
    async with listening() as monitor:
        bot = Bot(monitor.url)
        bot.troubles = ("the probe schedule is late",)
        async with bot.running():
            assert await bot.held_back(monitor) == ("the probe schedule is late",)
            assert monitor.pings == 0
            bot.troubles = ()
            await until(lambda: monitor.pings)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("refuses", "no connection: "),
        ("hangs", "no answer within 0.3 s"),
        ("404", "answer 404"),
        ("302", "answer 302"),
        ("nonsense", "InvalidUrl"),
    ],
)
async def test_what_goes_wrong_is_said_without_the_url(what: str, said: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with listening() as monitor:
        monitor.hangs = what == "hangs"
        monitor.status = int(what) if what.isdigit() else 200
        url = {"refuses": f"http://127.0.0.1:{free_port('127.0.0.1')}/{SECRET}", "nonsense": f"http://[{SECRET}"}
        # Whatever answers has all the time that it wants: a machine that is busy is slow.
        timeout_s = 0.3 if monitor.hangs else TIMEOUT_S
        pinger = HttpPinger(SecretStr(url.get(what, monitor.url)), timeout_s=timeout_s)
        with pytest.raises(PingFailed) as caught:
            await pinger.ping()
        everything = "".join(traceback.format_exception(caught.value)) + caplog.text
        assert said.lower() in str(caught.value).lower()
        assert SECRET not in everything
        assert SECRET not in repr(vars(pinger))


async def test_a_monitor_that_is_away_does_not_stop_the_bot_from_trying_again() -> None:
    async with listening() as monitor:
        monitor.status = 500
        bot = Bot(monitor.url)
        async with bot.running():
            await until(lambda: monitor.pings >= 3)
