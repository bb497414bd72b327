"""Socket Mode: WebSockets that the app opens, and the envelopes that travel on them."""

from __future__ import annotations

import asyncio
import json
import secrets
import uuid
from contextlib import suppress

from aiohttp import WSMsgType, web

from bot.local.slack.changes import Change
from bot.local.slack.delivery import Ack, Kind, Outcome, Retry
from bot.local.slack.wire import Json
from bot.local.slack.world import World

HEARTBEAT_S = 30.0


class SocketMode:
    """Up to ten connections of one app; each envelope goes to one of them, in turn.

    See https://docs.slack.dev/apis/events-api/using-socket-mode
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._tickets: set[str] = set()
        self._connections: dict[web.WebSocketResponse, web.Request] = {}
        self._pending: dict[str, asyncio.Future[Ack]] = {}
        self._turn = 0
        world.new_socket_url = self.new_url
        world.faults.on_down = self.drop

    @property
    def connected(self) -> bool:
        """Whether the app has a connection open."""
        return bool(self._connections)

    @property
    def connections(self) -> int:
        """How many connections the app has open."""
        return len(self._connections)

    def new_url(self, origin: str) -> str:
        """A WebSocket URL that is good for one connection (apps.connections.open)."""
        ticket = secrets.token_urlsafe(24)
        self._tickets.add(ticket)
        return f"{origin.replace('http', 'ws', 1)}/link/?ticket={ticket}&app_id={self._world.config.app_id}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One connection, from its greeting to its end."""
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets or self._world.faults.is_down:
            return web.Response(status=403, text="invalid ticket")
        self._tickets.discard(ticket)
        ws = web.WebSocketResponse(heartbeat=HEARTBEAT_S)
        await ws.prepare(request)
        if len(self._connections) >= self._world.config.max_connections:
            await ws.send_json(self._disconnect("too_many_websockets"))
            await ws.close()
            return ws
        self._connections[ws] = request
        try:
            await ws.send_json(self._hello())
            self._tell()
            async for message in ws:
                if message.type is WSMsgType.TEXT:
                    self._receive(message.data)
        finally:
            self._connections.pop(ws, None)
            self._tell()
        return ws

    async def send(self, kind: Kind, payload: Json, retry: Retry | None) -> Ack:
        """Deliver one envelope on one connection and wait for its acknowledgement (which any may carry)."""
        if not self._connections:
            return Ack(outcome=Outcome.FAILED, reason="connection_failed")
        envelope = self._envelope(kind, payload, retry)
        acked: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
        self._pending[envelope["envelope_id"]] = acked
        self._turn += 1
        ws = list(self._connections)[self._turn % len(self._connections)]
        try:
            async with asyncio.timeout(self._world.config.deadlines.ack):
                # A connection that breaks under us is what a lost envelope looks like: the deadline decides.
                with suppress(ConnectionError):
                    await ws.send_json(envelope)
                return await acked
        except TimeoutError:
            return Ack(outcome=Outcome.TIMED_OUT, reason="timeout")
        finally:
            del self._pending[envelope["envelope_id"]]

    def drop(self) -> None:
        """Cut every connection without a word."""
        for request in self._connections.values():
            if request.transport is not None:
                request.transport.abort()

    async def refresh(self) -> None:
        """What Slack does every few hours: a warning, then the request to connect anew, then the end."""
        for ws in tuple(self._connections):
            await self._say(ws, "warning")
        await asyncio.sleep(self._world.config.deadlines.refresh_warning)
        for ws in tuple(self._connections):
            await self._say(ws, "refresh_requested")
            await ws.close()

    async def close(self) -> None:
        """Close every connection properly."""
        for ws in tuple(self._connections):
            await ws.close(code=1001)

    def _receive(self, text: str) -> None:
        try:
            answer = json.loads(text)
        except ValueError:
            return  # Slack ignores what it cannot read; the envelope's deadline then speaks for itself.
        acked = self._pending.get(str(answer.get("envelope_id"))) if isinstance(answer, dict) else None
        if acked is not None:
            ack = Ack(outcome=Outcome.ACKED, payload=answer.get("payload") or {})
            delay = self._world.faults.slow_acks_by
            asyncio.get_running_loop().call_later(delay, _resolve, acked, ack)

    async def _say(self, ws: web.WebSocketResponse, reason: str) -> None:
        with suppress(ConnectionError):
            await ws.send_json(self._disconnect(reason))

    def _envelope(self, kind: Kind, payload: Json, retry: Retry | None) -> Json:
        takes_answer = kind is Kind.COMMAND or payload.get("type") == "view_submission"
        envelope: Json = {"envelope_id": str(uuid.uuid4()), "type": kind.value, "payload": payload}
        envelope["accepts_response_payload"] = takes_answer
        if kind is Kind.EVENT or retry:
            envelope["retry_attempt"] = retry.attempt if retry else 0
            envelope["retry_reason"] = retry.reason if retry else ""
        return envelope

    def _hello(self) -> Json:
        return {
            "type": "hello",
            "num_connections": len(self._connections),
            "connection_info": {"app_id": self._world.config.app_id},
            "debug_info": {"host": "stand-in", "build_number": 1, "approximate_connection_time": 18060},
        }

    def _disconnect(self, reason: str) -> Json:
        return {"type": "disconnect", "reason": reason, "debug_info": {"host": "stand-in"}}

    def _tell(self) -> None:
        self._world.changes.publish(Change(kind="connection", data={"connected": self.connected}))


def _resolve(acked: asyncio.Future[Ack], ack: Ack) -> None:
    if not acked.done():
        acked.set_result(ack)
