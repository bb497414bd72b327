"""What the bot is compared with: the least programs that do the same work, as one would write them by hand.

Run as ``python -m tests.bench.bare WHAT …``. They run on uvloop as the bot does, with the settings of their libraries
that were measured to be quickest, so that the comparison is with the best that there is.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any, cast

import aiohttp
import uvloop
from aiohttp import web
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nConnection: close\r\n\r\nweb1\n"


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def bolt_app(base_url: str) -> AsyncApp:
    """A Bolt app that answers its one command inline."""
    client = AsyncWebClient(token=os.environ["SLACK_BOT_TOKEN"], base_url=base_url)
    app = AsyncApp(client=client, signing_secret=os.environ["SLACK_SIGNING_SECRET"], process_before_response=True)

    @app.command("/lvs")
    async def answer(ack: AsyncAck) -> None:
        await ack(text="/lvs: status, drain, restore, help", blocks=[_section("`/lvs status [name]`\nhow it is doing")])

    return app


async def slack_socket(base_url: str) -> None:
    """The Bolt app over Socket Mode."""
    token = os.environ["SLACK_APP_TOKEN"]
    handler = AsyncSocketModeHandler(
        bolt_app(base_url), app_token=token, web_client=AsyncWebClient(token=token, base_url=base_url)
    )
    await handler.connect_async()  # type: ignore[no-untyped-call]  # Bolt leaves it bare
    await _ready()
    await handler.close_async()  # type: ignore[no-untyped-call]  # Bolt leaves it bare


async def slack_http(base_url: str, port: str) -> None:
    """The Bolt app over signed HTTP requests, with Bolt's own aiohttp server."""
    await _serve(bolt_app(base_url).web_app(path="/slack/events"), int(port))


def _alert(line: str) -> list[dict[str, Any]]:
    """A message of the bot's shape, written by hand: what it says, since when, and the buttons below it."""
    buttons = ("Acknowledge", "Mute 1 h", "Status", "Run doctor", "Timeline")
    return [
        _section(f":red_circle: *{line}*"),
        _section(f"• keepalived took it out: {line}"),
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "since <!date^1767225600^{time_secs}|00:00:00>"}]},
        {
            "type": "actions",
            "block_id": "incident:k0/5",
            "elements": [
                {
                    "type": "button",
                    "text": {"type": "plain_text", "text": text, "emoji": True},
                    "action_id": f"incident_{number}",
                    "value": "k0/5",
                }
                for number, text in enumerate(buttons)
            ],
        },
    ]


async def alerts(base_url: str, port: str) -> None:
    """A handler that posts a message for each event: nothing is verified, and nothing is kept.

    The message is as rich as the bot's, unless the event asks for one of a single line.
    """
    async with aiohttp.ClientSession() as session:
        client = AsyncWebClient(token=os.environ["SLACK_BOT_TOKEN"], base_url=base_url, session=session)

        async def handle(request: web.Request) -> web.Response:
            event = await request.json()
            text = f":red_circle: {event['line']}"
            blocks = [_section(text)] if event.get("short") else _alert(event["line"])
            await client.chat_postMessage(channel=event["channel"], text=text, blocks=blocks, unfurl_links=False)
            return web.Response(status=202)

        app = web.Application()
        app.router.add_post("/events", handle)
        await _serve(app, int(port))


async def libraries() -> None:
    """What the bot cannot do without, imported and not used."""
    for name in (
        "aiohttp.web",
        "apscheduler.schedulers.asyncio",
        "dns.message",
        "fabric",
        "pydantic",
        "ruamel.yaml",
        "slack_bolt.adapter.socket_mode.aiohttp",
        "sqlalchemy.dialects.sqlite",
        "structlog",
        "typer",
    ):
        importlib.import_module(name)
    await _ready()


async def target(*where: str) -> None:
    """What probes ask: HTTP at each ADDRESS:PORT, one answer a connection."""
    loop = asyncio.get_running_loop()
    for place in where:
        address, _, port = place.rpartition(":")
        await loop.create_server(_Target, address, int(port), backlog=1024)
    await _ready()


class _Target(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not checked by isinstance: uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(ANSWER)
        self._transport.close()


async def _serve(app: web.Application, port: int) -> None:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await _ready()
    await runner.cleanup()


async def _ready() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    print("ready", flush=True)
    await stop.wait()


PROGRAMS: dict[str, Callable[..., Awaitable[None]]] = {
    "slack-socket": slack_socket,
    "slack-http": slack_http,
    "alerts": alerts,
    "libraries": libraries,
    "target": target,
}


async def _main(what: str, *arguments: str) -> None:
    await PROGRAMS[what](*arguments)


if __name__ == "__main__":
    uvloop.run(_main(*sys.argv[1:]))
