"""A stand-in with a real Bolt app behind it and a real browser before it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import Browser, Locator, Page, async_playwright
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.local.slack.config import Config, SlashCommand
from bot.local.slack.panel import PanelItem
from bot.local.slack.standin import StandIn

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
SITE = "C0SITE"
GENERAL = "C0GENERAL"
DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
USAGE = "status [name] | drain <real server> [--force] | restore <real server> | incidents [open|24h] [cluster]"

Json = dict[str, Any]
_ANY = re.compile(".*")


def plain(text: str) -> Json:
    """A plain_text object."""
    return {"type": "plain_text", "text": text}


def mrkdwn(text: str) -> Json:
    """An mrkdwn text object."""
    return {"type": "mrkdwn", "text": text}


def option(value: str) -> Json:
    """An option that says what it is worth."""
    return {"text": plain(value), "value": value}


class Switches:
    """A panel whose buttons do what the test says: succeed, fail, or wait to be let go."""

    def __init__(self) -> None:
        self.lines: list[PanelItem] = [
            {"id": "sv1.unit", "label": "keepalived", "kind": "state", "detail": "MASTER", "group": "sv1"},
            {"id": "sv1.stop", "label": "Stop keepalived", "kind": "button", "danger": True, "group": "sv1"},
            {"id": "sv1.fail", "label": "Break", "kind": "button", "group": "sv1"},
            {
                "id": "sv2.unit",
                "label": "keepalived",
                "kind": "state",
                "danger": True,
                "detail": "failed",
                "group": "sv2",
            },
        ]
        self.pressed: list[str] = []
        self.go_on = asyncio.Event()

    def items(self) -> Sequence[PanelItem]:
        """The lines as they are."""
        return self.lines

    async def press(self, id: str) -> None:  # noqa: A002
        """Note the press; Break raises, the others wait for ``go_on``."""
        self.pressed.append(id)
        if id == "sv1.fail":
            raise RuntimeError("the switch came off")
        await self.go_on.wait()


@dataclass(slots=True, kw_only=True)
class Desk:
    """A workspace, its app (``heard`` has what reached it) and the means to look at it."""

    slack: StandIn
    switches: Switches
    app: AsyncApp
    client: AsyncWebClient
    handler: AsyncSocketModeHandler
    browser: Browser
    heard: list[Json] = field(default_factory=list)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def hear(self, body: Json) -> None:
        """Remember what reached the app."""
        async with self.arrived:
            self.heard.append(body)
            self.arrived.notify_all()

    async def heard_count(self, count: int) -> list[Json]:
        """What reached the app, once it is *count* or more."""
        async with asyncio.timeout(10), self.arrived:
            await self.arrived.wait_for(lambda: len(self.heard) >= count)
        return list(self.heard)

    async def post(self, text: str = "text", *, channel: str = SITE, **more: Any) -> str:
        """Let the app post; returns the message's ts."""
        answer = await self.client.chat_postMessage(channel=channel, text=text, **more)
        return str(answer["ts"])

    @asynccontextmanager
    async def look(self, person: str = "U0ALICE", **options: Any) -> AsyncIterator[Page]:
        """The page as *person* sees it; an error in it or a request to anywhere else fails the test."""
        options.setdefault("viewport", DESKTOP)
        context = await self.browser.new_context(locale="en-GB", timezone_id="UTC", **options)
        page = await context.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("dialog", lambda dialog: faults.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: faults.append(request.url) if not self.is_ours(request.url) else None)
        await page.goto(f"{self.slack.page_url}?as={person}")
        await page.locator(".pane-title", has_text="#").first.wait_for()
        try:
            yield page
        finally:
            await context.close()
        assert faults == []

    def is_ours(self, url: str) -> bool:
        """Whether *url* stays with the stand-in."""
        return url.startswith((self.slack.origin, self.slack.origin.replace("http", "ws"), "data:"))


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    """Debian's Chromium, headless."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def open_desk(browser: Browser) -> AsyncIterator[Desk]:
    """A fresh workspace with a connected app that acknowledges everything and remembers it."""
    config = Config(commands=(SlashCommand(command="/lvs", description="Run the load balancers", usage_hint=USAGE),))
    switches = Switches()
    async with StandIn(config, panel=switches) as slack:
        client = AsyncWebClient(token=slack.bot_token, base_url=slack.base_url)
        app = AsyncApp(client=client, request_verification_enabled=False)
        app_client = AsyncWebClient(token=slack.app_token, base_url=slack.base_url)
        handler = AsyncSocketModeHandler(app, slack.app_token, web_client=app_client)
        desk = Desk(slack=slack, switches=switches, app=app, client=client, handler=handler, browser=browser)

        async def note(ack: Any, body: Json) -> None:
            await ack()
            await desk.hear(body)

        everything: Any = {"action_id": _ANY}
        app.command("/lvs")(note)
        app.action(everything)(note)
        app.view_closed(_ANY)(note)
        await handler.connect_async()  # type: ignore[no-untyped-call]
        await slack.wait_for(lambda: slack.connected)
        try:
            yield desk
        finally:
            switches.go_on.set()
            await handler.close_async()  # type: ignore[no-untyped-call]


def actions(heard: Sequence[Mapping[str, Any]]) -> list[Json]:
    """The actions among what the app heard, in order."""
    return [action for body in heard for action in body.get("actions", [])]


def message(page: Page, ts: str) -> Locator:
    """A message in the conversation."""
    return page.locator(f'.conversation [data-ts="{ts}"]')
