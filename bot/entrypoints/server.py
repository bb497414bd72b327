"""The one HTTP server: the keepalived webhook, Slack's requests in HTTP mode, and /healthz. Bound explicitly."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import web
from slack_bolt.async_app import AsyncApp, AsyncBoltRequest

SLACK_PATH = "/slack/events"


class ListenFailed(Exception):
    """The address cannot be listened on; the message says which, why and what to change."""


def slack_routes(app: AsyncApp) -> list[web.RouteDef]:
    """Slack's requests in HTTP mode; Bolt verifies their signature (docs: Verifying requests from Slack)."""

    async def handle(request: web.Request) -> web.Response:
        bolt_request = AsyncBoltRequest(
            body=await request.text(), query=request.query_string, headers=dict(request.headers)
        )
        answer = await app.async_dispatch(bolt_request)
        response = web.Response(status=answer.status, text=answer.body)
        for name, values in answer.headers.items():
            if name.lower() != "content-length":
                response.headers[name] = values[0]
        return response

    return [web.post(SLACK_PATH, handle)]


def health_routes(health: Callable[[], dict[str, Any]]) -> list[web.RouteDef]:
    """``GET /healthz``: 200 with what the bot says of itself, 503 when ``ok`` is false in it."""

    async def handle(_request: web.Request) -> web.Response:
        state = health()
        return web.json_response(state, status=200 if state["ok"] else 503)

    return [web.get("/healthz", handle)]


class HttpServer:
    """The server, from :meth:`start` to :meth:`close`."""

    def __init__(self, routes: Iterable[web.AbstractRouteDef], host: str, port: int) -> None:
        app = web.Application()
        app.add_routes(list(routes))
        # No access log: a heartbeat every few seconds from every director is nobody's news.
        self._runner = web.AppRunner(app, access_log=None)
        self._host = host
        self._port = port

    async def start(self) -> None:
        """Listen. Raises ListenFailed."""
        await self._runner.setup()
        try:
            # An explicit host: Bolt's own start() would bind every interface.
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            await self._runner.cleanup()
            reason = error.strerror or str(error)
            raise ListenFailed(
                f"cannot listen on {self._host}:{self._port} ({reason}): set `listen.host` and `listen.port` in "
                "bot.yaml to an address of this machine and a free port"
            ) from error

    async def close(self) -> None:
        """Stop listening, and let the requests under way end."""
        await self._runner.cleanup()
