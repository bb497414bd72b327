"""``python -m bot demo``: the reference site, the Slack stand-in and the bot on this machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel as Box

from bot.domain.commands import GRAMMAR
from bot.local.lab.lab import Lab
from bot.local.panel import LabPanel
from bot.local.slack.config import Config, SlashCommand
from bot.local.slack.standin import StandIn
from bot.settings import load_fleet

COMMAND = SlashCommand(
    command="/lvs",
    description="Look at and run the load balancers",
    usage_hint=" | ".join(row.usage for row in GRAMMAR),
)
CONNECT_PATIENCE = 30.0  # seconds until the bot has to be connected to the stand-in


class DemoFailed(Exception):
    """The demo could not start or go on; the message says why and where to look."""


class Steps:
    """Prints what is being done, with the time since the start."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._began = time.monotonic()

    def __call__(self, what: str) -> None:
        elapsed = time.monotonic() - self._began
        self._out.print(f"[dim]{elapsed:6.1f} s[/]  {escape(what)}", highlight=False)


async def demo(fleet_file: Path, *, name: str, port: int, out: Console) -> None:
    """Build the site if it was never built, start everything, and take it all down again at the end.

    Raises LabError, DemoFailed.
    """
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    steps = Steps(out)
    lab = Lab(name, fleet=load_fleet(fleet_file), fleet_file=fleet_file)
    starting = asyncio.create_task(asyncio.to_thread(lab.up, steps))
    try:
        if not await _unless(stop, starting):
            steps("stopping as soon as this step is done")
            await starting
            return
        with tempfile.TemporaryDirectory(prefix="lvs-chatops-") as directory:
            await _play(lab, Path(directory), port, stop, steps, out)
    finally:
        steps("taking everything down")
        if starting.done() and starting.exception() is None:
            await asyncio.to_thread(lab.down)
        steps("nothing is left running")


async def _unless(stop: asyncio.Event, work: asyncio.Task[None]) -> bool:
    """Wait for *work* or *stop*; whether the work came to its end. Raises what it raises."""
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if work.done():
        work.result()
        return True
    return False


async def _play(lab: Lab, directory: Path, port: int, stop: asyncio.Event, steps: Steps, out: Console) -> None:
    steps("starting the Slack stand-in")
    panel = LabPanel(lab)
    # The bot lives in the lab's own network and Slack on this machine's loopback: the same workspace listens in both.
    inside = lab.socket_in_ops("127.0.0.1", port)
    async with StandIn(Config(commands=(COMMAND,)), port=port, sockets=[inside], panel=panel) as slack:
        panel.changed = slack.panel_changed
        config = lab.write_bot_config(directory, slack_base_url=slack.base_url)
        environment = {
            **os.environ,
            **lab.bot_environment(),
            "SLACK_BOT_TOKEN": slack.bot_token,
            "SLACK_APP_TOKEN": slack.app_token,
            "SLACK_SIGNING_SECRET": slack.signing_secret,
        }
        log = directory / "bot.log"
        steps("starting the bot")
        argv = lab.ops_argv([sys.executable, "-m", "bot", "run", "--config", str(config)])
        with log.open("wb") as file:
            bot = await asyncio.create_subprocess_exec(*argv, env=environment, stderr=file, start_new_session=True)
        watching = asyncio.create_task(panel.watch())
        try:
            await _connected(slack, bot, log, stop)
            steps("ready")
            _welcome(out, slack.page_url, config)
            await _until_over(bot, log, stop)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await _end(bot)


async def _connected(slack: StandIn, bot: asyncio.subprocess.Process, log: Path, stop: asyncio.Event) -> None:
    ended = asyncio.create_task(bot.wait())
    ready = asyncio.create_task(slack.wait_for(lambda: slack.connected, CONNECT_PATIENCE))
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({ended, ready, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if ended.done() or (ready.done() and ready.exception()):
            raise DemoFailed(f"the bot did not come up; its last words:\n{_tail(log)}")
    finally:
        for task in (ended, ready, stopped):
            task.cancel()
        await asyncio.gather(ended, ready, stopped, return_exceptions=True)


async def _until_over(bot: asyncio.subprocess.Process, log: Path, stop: asyncio.Event) -> None:
    ended = asyncio.create_task(bot.wait())
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if ended.done() and not stop.is_set():
        raise DemoFailed(f"the bot ended with status {bot.returncode}; its last words:\n{_tail(log)}")
    ended.cancel()


async def _end(bot: asyncio.subprocess.Process) -> None:
    """Ask the bot to stop, and insist after ten seconds."""
    if bot.returncode is not None:
        return
    bot.terminate()
    try:
        async with asyncio.timeout(10):
            await bot.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            bot.kill()
        await bot.wait()


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])


def _welcome(out: Console, url: str, config: Path) -> None:
    out.print(
        Box(
            f"Open  [bold]{url}[/]\n\n"
            "Type [bold]/lvs status[/] or [bold]/lvs drain web1[/], press the buttons, then stop keepalived on sv1\n"
            "or pull its plug in the side panel and watch the alert arrive.\n\n"
            f"[dim]The bot's settings, journal and log are in {escape(str(config.parent))}. Ctrl-C ends everything.[/]",
            title="LVS site, Slack stand-in and bot",
            expand=False,
        )
    )
