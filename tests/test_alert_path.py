"""The alert path as a whole, without the lab: bot and agent as processes, a real sshd, a monitor, the stand-in."""

from __future__ import annotations

import asyncio
import getpass
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from bot.local.slack import StandIn
from bot.lvs.agent import PROGRAM, USER
from tests.agent.site import AGENT, Director
from tests.bench.processes import ROOT, health, running_bot
from tests.bench.site import SECRET, BotFiles, Cluster, play_director, write_bot
from tests.contracts.sshd import Sshd, new_key

pytestmark = pytest.mark.sshd
CHANNEL = "C0SITE"
PING = "/9d3e-secret-of-the-monitor"


@dataclass(kw_only=True)
class Site:
    """One director with its agent, the bot, Slack, and a monitor that counts."""

    slack: StandIn
    files: BotFiles
    agent: Director
    pings: list[str]

    def texts(self) -> list[str]:
        return [m["text"] for m in self.slack.messages(CHANNEL) if "alert path" in m["text"]]

    async def terminal(self, *words: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", *words, "--config", str(self.files.bot)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**self.files.environ},
            cwd=ROOT,
        )
        said, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, said.decode()


@asynccontextmanager
async def monitor(pings: list[str]) -> AsyncIterator[str]:
    async def handle(request: web.Request) -> web.Response:
        pings.append(request.path)
        return web.Response()

    app = web.Application()
    app.add_routes([web.get(PING, handle)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}{PING}"
    finally:
        await runner.cleanup()


def let_sudo_run(sshd: Sshd, agent: Director) -> None:
    """sudo as the rendered file configures it, with the agent's program where this machine has it."""
    script = sshd.folder / "bin" / "sudo"
    program = f"exec {sys.executable} -I {AGENT} --config {agent.config_file}"
    script.write_text(
        f'#!/bin/sh\n[ "$1" = -n ] || exit 99\nshift\n'
        f'if [ "$1 $2 $3" = "-u {USER} {PROGRAM}" ]; then shift 3; {program} "$@"; fi\nexec "$@"\n'
    )


@pytest.fixture
async def site(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    """The site; its parameter is how often the bot expects its agent's heartbeat: hardly ever, unless one asks."""
    async with AsyncExitStack() as stack:
        key, pings = new_key(tmp_path / "key"), list[str]()
        sshd = Sshd(tmp_path / "sshd", key=key)
        stack.callback(sshd.stop)
        play_director(sshd)
        (sshd.folder / "bin" / "date").symlink_to("/bin/date")
        cluster = Cluster(name="site", sshds=(sshd,), vip="10.100.5.11", servers=("127.0.0.1",), ports=(80,))
        slack = await stack.enter_async_context(StandIn())
        files = write_bot(tmp_path / "bot", [cluster], slack=slack, key=key)
        settings = json.loads(files.bot.read_text())
        settings["roles"]["terminal"] = [getpass.getuser()]
        settings["ping"] = {"every": 1}
        settings["intervals"]["heartbeat"] = getattr(request, "param", "1h")
        files.bot.write_text(json.dumps(settings))
        environ = dict(files.environ) | {"LVSBOT_PING_URL": await stack.enter_async_context(monitor(pings))}
        files = BotFiles(directory=files.directory, port=files.port, environ=environ)
        await stack.enter_async_context(running_bot(files, slack))
        home = tmp_path / "agent"
        home.mkdir()
        agent = await stack.enter_async_context(Director(home, f"{files.origin}/events/keepalived"))
        agent.secret_file.write_text(SECRET)
        agent.configure(director="site-d0")
        await agent.start()
        let_sudo_run(sshd, agent)
        yield Site(slack=slack, files=files, agent=agent, pings=pings)
        assert PING not in (files.directory / "bot.log").read_text()


async def test_it_is_tested_from_slack_and_from_a_terminal_and_a_lost_event_is_found(site: Site) -> None:
    await site.slack.command("alice", CHANNEL, "/lvs test alert")
    await site.slack.wait_for(lambda: [t for t in site.texts() if "the alert path works" in t], 60)
    [message] = site.slack.messages(CHANNEL)[-1:]
    for stage in (
        "command over SSH",
        "FIFO → read",
        "agent's disk → webhook",
        "webhook → durable",
        "journal → message",
    ):
        assert stage in str(message["blocks"]), stage
    status, said = await site.terminal("lvs", "test", "alert")
    assert (status, "site: the alert path works: " in said) == (0, True), said
    assert "journal → message in Slack" in said
    await site.slack.wait_for(lambda: len(site.texts()) == 2, 60)
    await site.agent.stop()
    site.agent.keepalived_lets_go()
    status, said = await site.terminal("lvs", "test", "alert", "site")
    assert status == 1
    assert "nobody reads the FIFO" in said
    assert "look at `systemctl status lvs-agent` on site-d0" in said


@pytest.mark.parametrize("site", ["1s"], indirect=True)
async def test_what_an_agent_complains_of_is_told_and_its_end_too(site: Site) -> None:
    def told() -> str:
        return " ".join(m["text"] for m in site.slack.messages(CHANNEL) if "complains" in m["text"])

    await site.agent.stop()
    site.agent.keepalived_lets_go()
    site.agent.fifo.unlink()
    site.agent.fifo.write_text("not a FIFO")
    await site.agent.start(ready=False)
    await site.slack.wait_for(lambda: "The agent on site-d0 complains: fifo: " in told(), 60)
    assert "is not a FIFO" in told()
    site.agent.fifo.unlink()
    await site.slack.wait_for(lambda: "The agent on site-d0 complains no more" in told(), 60)


async def test_a_monitor_is_pinged_by_a_bot_that_is_well(site: Site) -> None:
    async with aiohttp.ClientSession() as session, asyncio.timeout(60):
        while len(site.pings) < 2:
            await asyncio.sleep(0.05)
        found = await health(session, site.files)
    assert found is not None
    assert found["ping"] == {"held_back": []}
    assert found["lost_senses"] == []
