"""The stand-in as one object: starts the server, and lets tests and the demo act as people."""

from __future__ import annotations

import copy
import ipaddress
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from aiohttp import web

from bot.local.slack.changes import Listener
from bot.local.slack.config import Config
from bot.local.slack.control import Control
from bot.local.slack.delivery import Ack, Delivered, Delivery
from bot.local.slack.faults import Faults
from bot.local.slack.http_mode import HttpMode
from bot.local.slack.interactions import Interactions
from bot.local.slack.panel import NoPanel, Panel
from bot.local.slack.sockets import SocketMode
from bot.local.slack.ui import Ui
from bot.local.slack.webapi import MOST_BODY, WebApi
from bot.local.slack.wire import Json
from bot.local.slack.world import ApiCall, World

T = TypeVar("T")


class StandIn:
    """Slack, as far as the bot needs it, on 127.0.0.1.

    ``sockets`` are listening sockets that were bound elsewhere (inside a network namespace, say): the same workspace
    answers there too. ``clock`` gives seconds since the epoch. ``request_url`` switches from Socket Mode to HTTP mode.
    Raises ValueError for a *host* that is not loopback, and for a socket that is bound to every address.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        sockets: Sequence[socket.socket] = (),
        panel: Panel | None = None,
        clock: Callable[[], float] = time.time,
        request_url: str | None = None,
    ) -> None:
        _refuse_other_than_loopback(host)
        for extra in sockets:
            _refuse_wildcard(extra)
        self.config = config or Config()
        self._host, self._port, self._extra = host, port, tuple(sockets)
        self._world = World(self.config, clock)
        self._sockets = SocketMode(self._world)
        self._http: HttpMode | None = None
        self._delivery = Delivery(self._world, self._sockets)
        self._does = Interactions(self._world, self._delivery)
        self._ui = Ui(self._world, self._does, self._delivery, panel or NoPanel())
        self._runner: web.AppRunner | None = None
        if request_url is not None:
            self.use_http(request_url)

    # --- life ---

    async def __aenter__(self) -> Self:
        """Start serving."""
        app = web.Application(client_max_size=MOST_BODY)
        app.add_routes(WebApi(self._world, self._does).routes())
        app.add_routes(self._ui.routes())
        app.add_routes(Control(self._world, self._delivery, self._sockets).routes())
        app.router.add_get("/link/", self._sockets.handle)
        app.on_shutdown.append(self._shut_down)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self._world.origin = self._world.page_origin = self.origin
        for extra in self._extra:
            await web.SockSite(self._runner, extra).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving and close every connection."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _shut_down(self, _: web.Application) -> None:
        self.faults.clear()
        await self._delivery.close()
        await self._ui.close()
        await self._sockets.close()
        if self._http is not None:
            await self._http.close()

    # --- what the bot and the browser need ---

    @property
    def origin(self) -> str:
        """``http://127.0.0.1:PORT``"""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def base_url(self) -> str:
        """What the bot takes as its Web API's base URL."""
        return f"{self.origin}/api/"

    @property
    def page_url(self) -> str:
        """Where a browser finds the chat page."""
        return f"{self.origin}/"

    @property
    def bot_token(self) -> str:
        """The ``xoxb-`` token."""
        return self.config.bot_token

    @property
    def app_token(self) -> str:
        """The app-level ``xapp-`` token of Socket Mode."""
        return self.config.app_token

    @property
    def signing_secret(self) -> str:
        """What requests in HTTP mode are signed with."""
        return self.config.signing_secret

    def use_http(self, request_url: str) -> HttpMode:
        """Deliver to *request_url* from now on, signed, instead of over Socket Mode. Raises ValueError if it is far."""
        self._http = HttpMode(self._world, request_url)
        self._delivery.link = self._http
        return self._http

    def panel_changed(self) -> None:
        """Show every open page what the panel's ``items()`` say now."""
        self._ui.panel_changed()

    # --- acting as people; *user* is an id or a name ---

    async def command(self, user: str, channel: str, text: str) -> Ack | None:
        """Type a slash command (``/lvs status``) and wait for the acknowledgement. None: there is no such command."""
        return await self._does.command(self._id(user), self._channel(channel), text)

    async def click(
        self,
        user: str,
        message_ts: str,
        action_id: str,
        *,
        channel: str | None = None,
        value: Any = None,
        block_id: str | None = None,
    ) -> Ack:
        """Press a button (and its confirmation), or choose *value* from a menu; wait for the acknowledgement."""
        where = self._channel(channel) if channel else self._where(message_ts)
        return await self._does.act(self._id(user), where, message_ts, action_id, given=value, block_id=block_id)

    async def click_in_view(self, user: str, view_id: str, action_id: str, *, value: Any = None) -> Ack:
        """Work an element of an open modal."""
        return await self._does.act_in_view(self._id(user), view_id, action_id, given=value)

    async def submit(self, user: str, view_id: str, answers: Mapping[str, Any] | None = None) -> Ack | None:
        """Submit an open modal with *answers* by action id. None: Slack refused since a required input was empty."""
        return await self._does.submit(self._id(user), view_id, answers or {})

    async def close_view(self, user: str, view_id: str) -> None:
        """Close an open modal with its close button."""
        await self._does.close_view(self._id(user), view_id)

    def say(self, user: str, channel: str, text: str, thread_ts: str | None = None) -> Json:
        """Write a message; ``@lvsbot`` becomes a mention."""
        return copy.deepcopy(self._does.say(self._id(user), self._channel(channel), text, thread_ts))

    # --- looking ---

    def messages(self, channel: str) -> list[Json]:
        """Every message of *channel* (an id, ``#name`` or a person for their direct messages), oldest first."""
        return copy.deepcopy([*self._world.workspace.channels[self._channel(channel)].messages.values()])

    def ephemerals(self, user: str) -> list[Json]:
        """What only *user* sees, oldest first."""
        who = self._id(user)
        return [copy.deepcopy(e.message) for e in self._world.workspace.ephemerals.values() if e.user == who]

    def views(self, user: str) -> list[Json]:
        """The modals that *user* has open, the one on top last."""
        return copy.deepcopy(self._world.modals.stack(self._id(user)))

    def home(self, user: str) -> Json | None:
        """The App Home that was published for *user*."""
        return copy.deepcopy(self._world.modals.homes.get(self._id(user)))

    @property
    def calls(self) -> list[ApiCall]:
        """Every call of the Web API and of response URLs (as ``response_url``), in the order of their answers."""
        return list(self._world.calls)

    @property
    def deliveries(self) -> list[Delivered]:
        """Every envelope that went to the app, with its acknowledgement."""
        return list(self._delivery.log)

    @property
    def connected(self) -> bool:
        """Whether the app is connected."""
        return self._delivery.link.connected

    def on_change(self, listener: Listener) -> Callable[[], None]:
        """Call *listener* with each change that a page would see; the returned function ends that."""
        return self._world.changes.listen(listener)

    async def wait_for(self, predicate: Callable[[], T], timeout: float = 10.0) -> T:
        """The first true value of *predicate*, looked at after each change. Raises TimeoutError after *timeout* s."""
        return await self._world.changes.until(predicate, timeout)

    # --- faults ---

    @property
    def faults(self) -> Faults:
        """Faults of the Web API, and Slack being down."""
        return self._world.faults

    def drop_sockets(self) -> None:
        """Cut every Socket Mode connection without a word."""
        self._sockets.drop()

    async def refresh_sockets(self) -> None:
        """Ask the app to connect anew, as Slack does every few hours."""
        await self._sockets.refresh()

    async def redeliver_last(self) -> Ack:
        """Deliver the last envelope's payload once more."""
        return await self._delivery.redeliver_last()

    # --- inside ---

    def _id(self, user: str) -> str:
        return self._world.workspace.person(user).id

    def _channel(self, which: str) -> str:
        workspace = self._world.workspace
        if which in {name for person in workspace.people.values() for name in (person.id, person.name)}:
            return workspace.direct(which).id
        return workspace.channel(which, by_name=True).id

    def _where(self, ts: str) -> str:
        if ts in self._world.workspace.ephemerals:
            return self._world.workspace.ephemerals[ts].channel
        return next((c.id for c in self._world.workspace.channels.values() if ts in c.messages), "")


def _refuse_other_than_loopback(host: str) -> None:
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ValueError(f"host {host!r}: the stand-in listens on a loopback address only, for example 127.0.0.1")


def _refuse_wildcard(extra: socket.socket) -> None:
    host = extra.getsockname()[0]
    if ipaddress.ip_address(host).is_unspecified:
        raise ValueError(f"a socket on {host}: bind it to one address, for everyone could reach this one")
