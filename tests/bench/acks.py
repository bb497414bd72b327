"""How soon a slash command is acknowledged: the bot beside a bare Bolt app, and with slow commands in flight."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp

from bot.local.slack import StandIn
from tests.bench.processes import CannotMeasure, health, running_bare, running_bot
from tests.bench.results import Result, Size, p50, p99
from tests.bench.site import BotFiles, Cluster, play_director, start_sshds, subfolder, write_bot
from tests.contracts.sshd import free_port, new_key

RATIO = 1.5
UNDER_LOAD_MS = 500.0
SLOW_COMMANDS = 20
SLOW_S = 3.0


async def measure(folder: Path, size: Size) -> list[Result]:
    """``/lvs help`` over Socket Mode and over HTTP, and its slowest while twenty statuses wait for slow directors."""
    socket, loaded = await _socket_mode(subfolder(folder, "socket"), size)
    return [socket, await _http_mode(subfolder(folder, "http"), size), loaded]


async def _socket_mode(folder: Path, size: Size) -> tuple[Result, Result]:
    async with AsyncExitStack() as stack:
        ours = await stack.enter_async_context(StandIn())
        theirs = await stack.enter_async_context(StandIn())
        files = await _start_bot(stack, folder, ours, "socket")
        environ = {**files.environ, "SLACK_BOT_TOKEN": theirs.bot_token, "SLACK_APP_TOKEN": theirs.app_token}
        log = folder / "bare.log"
        await stack.enter_async_context(running_bare("slack-socket", theirs.base_url, log=log, environ=environ))
        result = await _compare("slash command acknowledged, Socket Mode", ours, theirs, size)
        return result, await _under_load(ours, files, size)


async def _http_mode(folder: Path, size: Size) -> Result:
    async with AsyncExitStack() as stack:
        port, bare_port = free_port("127.0.0.1"), free_port("127.0.0.2")
        ours = await stack.enter_async_context(StandIn(request_url=f"http://127.0.0.1:{port}/slack/events"))
        theirs = await stack.enter_async_context(StandIn(request_url=f"http://127.0.0.1:{bare_port}/slack/events"))
        await _start_bot(stack, folder, ours, "http", port)
        environ = {"SLACK_BOT_TOKEN": theirs.bot_token, "SLACK_SIGNING_SECRET": theirs.signing_secret}
        bare = running_bare("slack-http", theirs.base_url, str(bare_port), log=folder / "bare.log", environ=environ)
        await stack.enter_async_context(bare)
        return await _compare("slash command acknowledged, HTTP mode", ours, theirs, size)


async def _start_bot(
    stack: AsyncExitStack, folder: Path, slack: StandIn, mode: str, port: int | None = None
) -> BotFiles:
    key = new_key(folder / "key")
    sshds = start_sshds(folder, 2, key)
    for sshd in sshds:
        stack.callback(sshd.stop)
        play_director(sshd, slow_s=SLOW_S)
    cluster = Cluster(name="site", sshds=sshds, vip="127.0.5.11", servers=("127.0.0.11", "127.0.0.21"), ports=(80, 53))
    files = write_bot(folder / "bot", [cluster], slack=slack, key=key, mode=mode, port=port)
    await stack.enter_async_context(running_bot(files, slack))
    return files


async def _ack_s(slack: StandIn, text: str) -> float:
    """The seconds from pressing return to the acknowledgement."""
    began = time.perf_counter()
    ack = await slack.command("alice", "lvs-site", text)
    took = time.perf_counter() - began
    if ack is None or not ack.ok:
        raise CannotMeasure(f"{text} was not acknowledged: {ack}")
    return took


async def _compare(what: str, ours: StandIn, theirs: StandIn, size: Size) -> Result:
    for slack in (ours, theirs):
        for _ in range(10):
            await _ack_s(slack, "/lvs help")
    bot, bare = [], []
    for _ in range(2 * size.rounds):
        bot.append(await _ack_s(ours, "/lvs help"))
        bare.append(await _ack_s(theirs, "/lvs help"))
    return Result(
        what=what,
        unit="ms",
        ours=p50(bot) * 1000,
        bare=p50(bare) * 1000,
        goal=RATIO,
        note=f"medians; p99 {p99(bot) * 1000:.1f} and {p99(bare) * 1000:.1f} ms",
    )


async def _under_load(slack: StandIn, files: BotFiles, size: Size) -> Result:
    """While directors keep twenty statuses waiting: the acks of those and of everything that is asked meanwhile."""
    acks = [*await asyncio.gather(*(_ack_s(slack, "/lvs status") for _ in range(SLOW_COMMANDS)))]
    async with aiohttp.ClientSession() as session:
        acks += [await _ack_s(slack, "/lvs help") for _ in range(size.rounds)]
        state = await health(session, files)
    if state is None or state["errands"] < SLOW_COMMANDS:
        raise CannotMeasure(f"the slow commands were over before the others were asked: {state}")
    return Result(
        what=f"slash command with {SLOW_COMMANDS} slow ones in flight, Socket Mode, p99",
        unit="ms",
        ours=p99(acks) * 1000,
        goal=UNDER_LOAD_MS,
        note=f"directors over SSH that take {SLOW_S:g} s a command; median {p50(acks) * 1000:.1f} ms",
    )
