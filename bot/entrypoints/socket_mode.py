"""Socket Mode: the connection to Slack that needs no public address, held up for as long as the bot runs."""

from __future__ import annotations

import asyncio
import contextlib

import structlog
from aiohttp import ClientError
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

log = structlog.get_logger(__name__)

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
CONNECT_S = 15.0  # for one try, from asking for the address to the open connection


class SocketMode:
    """Connects, and connects again, with a new address each time.

    At the start the SDK would give up when Slack is away, and the bot must not. Later the SDK would go on trying the
    address that it has, for ever; but one is good for one connection and for half a minute (docs: Using Socket Mode).
    """

    def __init__(self, app: AsyncApp, app_token: str, base_url: str | None) -> None:
        # With a web client of its own: the handler would otherwise ask slack.com whatever the base URL is.
        client = AsyncWebClient(token=app_token, base_url=base_url or AsyncWebClient.BASE_URL)
        self._handler = AsyncSocketModeHandler(app, app_token=app_token, web_client=client)
        self._client = self._handler.client
        # One alone connects again, and that is the loop below.
        self._client.default_auto_reconnect_enabled = False
        self._client.auto_reconnect_enabled = False
        self.connected = False
        self._hurry = asyncio.Event()

    def hurry(self) -> None:
        """Slack has just answered elsewhere: try again now, however long the pause would have been."""
        self._hurry.set()

    async def run(self) -> None:
        """Keep a connection until cancelled. A token that Slack refuses is logged, and tried again rarely."""
        pause = FIRST_PAUSE
        while True:
            self._hurry.clear()
            try:
                if not await self._client.is_connected():
                    self.connected = False
                    async with asyncio.timeout(CONNECT_S):
                        await self._client.connect_to_new_endpoint(force=True)
                self.connected = True
                pause = FIRST_PAUSE
                await asyncio.sleep(1)
            except SlackApiError as error:
                word = (
                    error.response.get("error") if isinstance(error.response.data, dict) else error.response.status_code
                )
                log.error("slack refused the socket mode connection", error=word, again_in_s=pause)
                pause = await self._rest(pause)
            except (SlackClientError, ClientError, TimeoutError, OSError) as error:
                log.warning("slack cannot be reached", error=f"{type(error).__name__}: {error}", again_in_s=pause)
                pause = await self._rest(pause)

    async def close(self) -> None:
        """Close the connection."""
        await self._handler.close_async()  # type: ignore[no-untyped-call]  # Bolt leaves it bare

    async def _rest(self, pause: float) -> float:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._hurry.wait()
        return min(LONGEST_PAUSE, pause * 2)
