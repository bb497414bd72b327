"""The chat page's server side: static files and one WebSocket for each person who looks."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import WSMsgType, web

from bot.local.slack.changes import Change
from bot.local.slack.delivery import Delivery
from bot.local.slack.interactions import Interactions
from bot.local.slack.panel import Panel
from bot.local.slack.wire import Json, SlackError
from bot.local.slack.world import World

log = logging.getLogger(__name__)
PAGE = Path(str(files("bot.local.slack"))) / "page"
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' https: data:; connect-src 'self' ws:",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Ui:
    """Serves the page; messages in both directions are described in docs/slack-stand-in.md."""

    def __init__(self, world: World, interactions: Interactions, delivery: Delivery, panel: Panel) -> None:
        self._world = world
        self._interactions = interactions
        self._delivery = delivery
        self._panel = panel
        self._sockets: set[web.WebSocketResponse] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def routes(self) -> list[web.RouteDef]:
        """What a browser reaches."""
        return [
            web.get("/", self.index),
            web.get("/page/{path:.+}", self.asset),
            web.get("/ui", self.socket),
            web.get("/archives/{channel}/{message}", self.permalink),
        ]

    async def close(self) -> None:
        """Say goodbye to every page and drop what is still in flight."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for ws in tuple(self._sockets):
            await ws.close(code=1001)

    async def index(self, request: web.Request) -> web.StreamResponse:
        """The page itself."""
        refuse_strangers(request)
        return web.FileResponse(PAGE / "index.html", headers=_HEADERS)

    async def asset(self, request: web.Request) -> web.StreamResponse:
        """A file of the page."""
        refuse_strangers(request)
        path = (PAGE / request.match_info["path"]).resolve()
        if not path.is_relative_to(PAGE) or not path.is_file():
            raise web.HTTPNotFound
        return web.FileResponse(path, headers=_HEADERS)

    async def permalink(self, request: web.Request) -> web.StreamResponse:
        """Where chat.getPermalink leads: the page, since it shows every channel."""
        refuse_strangers(request)
        raise web.HTTPFound("/")

    async def socket(self, request: web.Request) -> web.StreamResponse:
        """One person's view of the workspace, until they close the page."""
        refuse_strangers(request)
        first = next(iter(self._world.workspace.people))
        try:
            me = self._world.workspace.person(request.query.get("as") or first).id
        except SlackError:
            raise web.HTTPNotFound(text=f"nobody here is called {request.query.get('as')!r}") from None
        ws = web.WebSocketResponse(heartbeat=30.0)
        await ws.prepare(request)
        outbox: asyncio.Queue[str] = asyncio.Queue()

        def show(change: Change) -> None:
            if self._visible(change, me):
                outbox.put_nowait(json.dumps(change.as_json()))

        outbox.put_nowait(json.dumps(self.snapshot(me)))
        end = self._world.changes.listen(show)
        writer = asyncio.get_running_loop().create_task(_write(ws, outbox))
        self._sockets.add(ws)
        try:
            async for message in ws:
                if message.type is WSMsgType.TEXT:
                    self._receive(me, message.data)
        finally:
            end()
            writer.cancel()
            self._sockets.discard(ws)
            await asyncio.gather(writer, return_exceptions=True)
        return ws

    def snapshot(self, me: str) -> Json:
        """Everything that *me* sees at this moment."""
        workspace = self._world.workspace
        mine = [c.id for c in workspace.channels.values() if me in c.members]
        return {
            "type": "snapshot",
            "team": self._world.team(),
            "me": self._world.user(me),
            "users": self._world.users(),
            "channels": [workspace.shown(channel, me) for channel in mine],
            "commands": [
                {"command": c.command, "description": c.description, "usage_hint": c.usage_hint}
                for c in self._world.config.commands
            ],
            "views": self._world.modals.stack(me),
            "home": self._world.modals.homes.get(me),
            "panel": list(self._panel.items()),
            "connected": self._delivery.link.connected,
        }

    def panel_changed(self) -> None:
        """Show every page the panel as it is now."""
        self._world.changes.publish(Change(kind="panel", data={"panel": list(self._panel.items())}))

    def _visible(self, change: Change, me: str) -> bool:
        if change.to is not None:
            return change.to == me
        return change.channel is None or me in self._world.workspace.channels[change.channel].members

    def _receive(self, me: str, text: str) -> None:
        """Start what the page asks for; nothing that one person waits for holds up the next."""
        try:
            asked = json.loads(text)
            job = self._job(me, asked["type"], asked)
        except (ValueError, KeyError, TypeError) as bad:
            self._world.workspace.notice(me, "", f"The stand-in could not read what the page sent: {bad!r}")
            return
        task = asyncio.get_running_loop().create_task(self._carry_out(me, asked, job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _job(self, me: str, kind: str, asked: Json) -> Callable[[], Awaitable[Any]]:
        """What to do for one message of the page. Raises KeyError or ValueError for one that makes no sense."""
        does = self._interactions
        match kind:
            case "command":
                return lambda: does.command(me, asked["channel"], asked["text"])
            case "say":
                return lambda: _at_once(does.say, me, asked["channel"], asked["text"], asked.get("thread_ts"))
            case "action":
                how = {"block_id": asked.get("block_id"), "given": asked.get("element"), "state": asked.get("state")}
                if view_id := asked.get("view_id"):
                    return lambda: does.act_in_view(me, view_id, asked["action_id"], **how)
                return lambda: does.act(me, asked["channel"], asked["ts"], asked["action_id"], **how)
            case "view_submit":
                return lambda: does.submit(me, asked["view_id"], asked.get("state"))
            case "view_close":
                return lambda: does.close_view(me, asked["view_id"])
            case "panel":
                return lambda: self._press(asked["action"])
            case _:
                raise ValueError(f"unknown type {kind!r}")

    async def _carry_out(self, me: str, asked: Json, job: Callable[[], Awaitable[Any]]) -> None:
        action = asked.get("id")
        if action:
            self._interactions.pending(me, action)
        try:
            await job()
        except SlackError as refused:
            self._world.workspace.notice(me, asked.get("channel", ""), f"Slack refused that: {refused}")
        except Exception as failed:
            log.exception("what the page asked for failed", extra={"asked": asked.get("type")})
            self._world.workspace.notice(me, asked.get("channel", ""), f"That did not work: {failed}")
        finally:
            if action:
                self._interactions.pending(me, action, settled=True)

    async def _press(self, action: str) -> None:
        pressed = asyncio.ensure_future(self._panel.press(action))
        await asyncio.sleep(0)  # the panel may show itself busy as soon as the button was pressed
        self.panel_changed()
        try:
            await pressed
        finally:
            self.panel_changed()


async def _at_once(job: Callable[..., Any], *args: Any) -> None:
    job(*args)


async def _write(ws: web.WebSocketResponse, outbox: asyncio.Queue[str]) -> None:
    with suppress(ConnectionError):  # the page is gone; the reading side notices, too
        while True:
            await ws.send_str(await outbox.get())


def refuse_strangers(request: web.Request) -> None:
    """Raise HTTPForbidden unless a page of ours, on this machine, asks.

    Another site's page could otherwise reach us with the reader's browser: by its own Origin, or by a name of its own
    that it points at 127.0.0.1 (DNS rebinding). So the Host has to be an address or ``localhost``.
    """
    host = urlsplit(f"//{request.host}").hostname or ""
    origin = request.headers.get("Origin")
    if host != "localhost":
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise web.HTTPForbidden(text=f"{host!r} is not an address of this machine") from None
    if origin is not None and urlsplit(origin).netloc != request.host:
        raise web.HTTPForbidden(text="another site's page may not do this")
