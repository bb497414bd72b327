"""An alert's ways as a whole, without the lab: the bot as a process, a real sshd, a webhook, the stand-in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bot.local.slack import ChannelSetup, Config, StandIn
from tests.bench.processes import running_bot
from tests.bench.site import BotFiles, Cluster, play_director, write_bot
from tests.contracts.sshd import Sshd, new_key

pytestmark = pytest.mark.sshd
SITE, DUTY = "C0SITE", "C0DUTY"
SECRET = "/hooks/hunter2"


@dataclass(kw_only=True)
class Site:
    """A director, the bot, Slack, and what came in over the webhook."""

    slack: StandIn
    sshd: Sshd
    log: Path
    words: list[dict[str, Any]] = field(default_factory=list)

    def texts(self, channel: str) -> list[str]:
        return [m["text"] for m in self.slack.messages(channel) if m.get("thread_ts") in (None, m["ts"])]

    def replies(self) -> list[str]:
        return [m["text"] for m in self.slack.messages(SITE) if m.get("thread_ts") not in (None, m["ts"])]


@asynccontextmanager
async def webhook(words: list[dict[str, Any]]) -> AsyncIterator[str]:
    async def take(request: web.Request) -> web.Response:
        words.append(await request.json())
        return web.Response()

    app = web.Application()
    app.router.add_post(SECRET, take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}{SECRET}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        key, words = new_key(tmp_path / "key"), list[dict[str, Any]]()
        sshd = Sshd(tmp_path / "sshd", key=key)
        stack.callback(sshd.stop)
        play_director(sshd)
        (sshd.folder / "bin" / "date").symlink_to("/bin/date")
        channels = (ChannelSetup(id=SITE, name="lvs-site"), ChannelSetup(id=DUTY, name="duty"))
        slack = await stack.enter_async_context(StandIn(Config(channels=channels)))
        cluster = Cluster(name="site", sshds=(sshd,), vip="10.100.5.11", servers=("127.0.0.1",), ports=(80,))
        files = write_bot(tmp_path / "bot", [cluster], slack=slack, key=key)
        settings = json.loads(files.bot.read_text())
        settings["intervals"]["roll_call"] = 1
        settings["alerts"] = {
            "remind": 2,
            "escalate": 1,
            "escalate_to": {"site": "#duty"},
            "call": ["U0ALICE"],
            "fallback": {"after": 1, "webhook": "LVSBOT_FALLBACK_URL"},
        }
        files.bot.write_text(json.dumps(settings))
        url = await stack.enter_async_context(webhook(words))
        files = BotFiles(
            directory=files.directory, port=files.port, environ=dict(files.environ) | {"LVSBOT_FALLBACK_URL": url}
        )
        sshd.stop()  # before the bot's first look: in the middle of it, it would read as a refused key, another story
        await stack.enter_async_context(running_bot(files, slack))
        yield Site(slack=slack, sshd=sshd, log=files.directory / "bot.log", words=words)
        assert SECRET not in (files.directory / "bot.log").read_text()


def lost(words: list[dict[str, Any]], *, is_open: bool) -> list[dict[str, Any]]:
    return [w for w in words if "lost" in w["kind"] and w["open"] is is_open]


async def until(done: Any, within: float = 120) -> None:
    async with asyncio.timeout(within):
        while not done():
            await asyncio.sleep(0.05)


async def test_what_slack_does_not_take_goes_another_way_and_into_slack_when_it_is_back(site: Site) -> None:
    site.slack.faults.down()
    await until(lambda: lost(site.words, is_open=True))
    word = lost(site.words, is_open=True)[0]
    assert (word["cluster"], set(word)) == ("site", {"text", "incident", "cluster", "kind", "open"})
    assert "Slack has been away since" in word["text"]
    site.slack.faults.clear()
    await until(lambda: [t for t in site.texts(SITE) if "no director answers" in t])
    # Nobody takes it: those who are to be called are called, and its thread says so again.
    await until(lambda: [t for t in site.texts(DUTY) if "<@U0ALICE>" in t])
    await until(lambda: [t for t in site.replies() if "Still open after" in t])
    site.sshd.start()
    await until(lambda: lost(site.words, is_open=False))
    await until(lambda: [t for t in site.texts(DUTY) if "green" in t])
    told = [(w["incident"], w["open"]) for w in site.words]
    assert len(told) == len(set(told))
