"""Hands what the directors' agents post to several bots: each gets everything, in order, as if it alone were told."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from bot.local.lab import network
from bot.local.lab.lab import Lab
from bot.local.lab.site import WEBHOOK_PATH, WEBHOOK_PORT

RETRY_S = 0.3
PASSED_ON = ("Content-Type", "X-LVS-Director", "X-LVS-Timestamp", "X-LVS-Signature")


class Relay:
    """What stands where the agents report.

    The answer that an agent gets is the first bot's. What another bot does not take at once (it is dead) waits for it
    here, as it would wait on the director if that bot were the only one: the first bot must not feel it.
    """

    def __init__(self, urls: Sequence[str], session: aiohttp.ClientSession) -> None:
        self._first, *others = urls
        self._session = session
        self._waiting = {url: asyncio.Queue[tuple[dict[str, str], bytes]]() for url in others}
        self._away = False

    def away(self, gone: bool) -> None:
        """Whether nobody answers here: the agents have to keep what they have."""
        self._away = gone

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One POST."""
        body = await request.read()
        headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
        if self._away:
            assert request.transport is not None
            request.transport.close()
            return web.Response(status=503)
        status, text = await self._post(self._first, headers, body)
        if status in (200, 202):
            lasting = "records" in json.loads(body)
            for queue in self._waiting.values():
                # A heartbeat is of the moment: nobody would send it later.
                if lasting or queue.empty():
                    queue.put_nowait((headers, body))
        return web.Response(status=status, text=text, content_type="application/json")

    async def deliver(self) -> None:
        """Bring the other bots what waits for them, until cancelled."""
        await asyncio.gather(*(self._deliver(url, queue) for url, queue in self._waiting.items()))

    async def _deliver(self, url: str, queue: asyncio.Queue[tuple[dict[str, str], bytes]]) -> None:
        while True:
            headers, body = await queue.get()
            while (await self._post(url, headers, body))[0] == 503 and "records" in json.loads(body):
                await asyncio.sleep(RETRY_S)

    async def _post(self, url: str, headers: dict[str, str], body: bytes) -> tuple[int, str]:
        try:
            async with self._session.post(url, data=body, headers=headers) as answer:
                return answer.status, await answer.text()
        except (aiohttp.ClientError, TimeoutError):
            return 503, json.dumps({"error": "relay", "reason": "the bot does not answer"})


@asynccontextmanager
async def relaying(lab: Lab, ports: Sequence[int]) -> AsyncIterator[Relay]:
    """A relay in *lab*'s ``ops`` to the bots that listen on *ports* there, for as long as the block lasts."""

    def made_in_ops(info: Any) -> socket.socket:
        family, kind, protocol, *_ = info
        return network.inside(lab.places.ops, lambda: socket.socket(family, kind, protocol))

    connector = aiohttp.TCPConnector(socket_factory=made_in_ops)
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        relay = Relay([f"http://{lab.site.ops}:{port}{WEBHOOK_PATH}" for port in ports], session)
        app = web.Application()
        app.router.add_post(WEBHOOK_PATH, relay.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.SockSite(runner, lab.socket_in_ops(str(lab.site.ops), WEBHOOK_PORT)).start()
        delivering = asyncio.create_task(relay.deliver())
        try:
            yield relay
        finally:
            delivering.cancel()
            await asyncio.gather(delivering, return_exceptions=True)
            await runner.cleanup()
