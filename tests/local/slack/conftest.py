"""A stand-in on loopback, a clock that the test moves, and real clients and Bolt apps that talk to it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.local.slack import Config, Deadlines, StandIn


class Clock:
    """Time that stands still until the test moves it; seconds since the epoch."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def slack(clock: Clock) -> AsyncIterator[StandIn]:
    async with StandIn(clock=clock) as stand_in:
        yield stand_in


@pytest.fixture
async def hasty() -> AsyncIterator[StandIn]:
    """A stand-in that gives up on an acknowledgement soon, and retries events at once."""
    deadlines = Deadlines(ack=0.3, event_retries=(0.0, 0.0), refresh_warning=0.0)
    async with StandIn(Config(deadlines=deadlines)) as stand_in:
        yield stand_in


@pytest.fixture
def client(slack: StandIn) -> AsyncWebClient:
    return client_of(slack)


def client_of(slack: StandIn, token: str | None = None) -> AsyncWebClient:
    """slack_sdk's own client; nothing but the base URL differs from the real thing."""
    client = AsyncWebClient(token=token or slack.bot_token, base_url=slack.base_url, timeout=10)
    client.retry_handlers = []
    return client


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def app_for(slack: StandIn) -> AsyncApp:
    """A real Bolt app whose Web API is the stand-in."""
    return AsyncApp(client=client_of(slack), signing_secret=slack.signing_secret)


@contextlib.asynccontextmanager
async def socket_mode(slack: StandIn, app: AsyncApp) -> AsyncIterator[AsyncSocketModeHandler]:
    """Connect *app* over Socket Mode."""
    handler = AsyncSocketModeHandler(
        app, slack.app_token, web_client=client_of(slack, slack.app_token), ping_interval=1
    )
    await handler.connect_async()  # type: ignore[no-untyped-call]
    try:
        await slack.wait_for(lambda: slack.connected)
        yield handler
    finally:
        await handler.close_async()  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class HttpApp:
    """An app in HTTP mode on loopback: where it is."""

    url: str


@contextlib.asynccontextmanager
async def http_mode(handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[HttpApp]:
    """Serve *handle* as the app's request URL."""
    application = web.Application()
    application.router.add_post("/slack/events", handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield HttpApp(url=f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events")
    finally:
        await runner.cleanup()


def button(action_id: str = "go", **more: Any) -> dict[str, Any]:
    """A message's blocks with one button."""
    element = {"type": "button", "action_id": action_id, "text": {"type": "plain_text", "text": "Go"}, **more}
    return {"type": "actions", "block_id": "row", "elements": [element]}


def section(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}, **more}


def modal(*blocks: dict[str, Any], **more: Any) -> dict[str, Any]:
    plain = {"type": "plain_text", "text": "Drain"}
    return {"type": "modal", "callback_id": "why", "title": plain, "submit": plain, "blocks": list(blocks), **more}


REASON = {
    "type": "input",
    "block_id": "reason",
    "label": {"type": "plain_text", "text": "Why?"},
    "element": {"type": "plain_text_input", "action_id": "text"},
}
