"""The page's WebSocket: what one person sees, and what they can do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp
import pytest
from slack_bolt.async_app import AsyncAck
from slack_sdk.web.async_client import AsyncWebClient

from bot.local.slack import PanelItem, StandIn
from tests.local.slack.conftest import REASON, app_for, button, modal, socket_mode

SITE = "C0SITE"


class Page:
    """A page without a browser."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse, snapshot: dict[str, Any]) -> None:
        self.ws = ws
        self.snapshot = snapshot

    async def send(self, **message: Any) -> None:
        await self.ws.send_json(message)

    async def next(self, *kinds: str) -> dict[str, Any]:
        """The next message of one of *kinds*; others are passed over."""
        while True:
            message: dict[str, Any] = await self.ws.receive_json(timeout=10)
            if message["type"] in kinds:
                return message


@contextlib.asynccontextmanager
async def page_of(slack: StandIn, http: aiohttp.ClientSession, user: str) -> AsyncIterator[Page]:
    url = f"{slack.origin.replace('http', 'ws')}/ui?as={user}"
    async with http.ws_connect(url, headers={"Origin": slack.origin}) as ws:
        yield Page(ws, await ws.receive_json())


async def test_the_snapshot_has_everything_that_a_person_sees(
    slack: StandIn, client: AsyncWebClient, http: aiohttp.ClientSession
) -> None:
    await client.chat_postMessage(channel=SITE, text="for all")
    await client.chat_postEphemeral(channel=SITE, user="U0BOB", text="for bob")
    async with page_of(slack, http, "U0ALICE") as alice, page_of(slack, http, "bob") as bob:
        assert alice.snapshot["type"] == "snapshot"
        assert alice.snapshot["me"]["name"] == "alice"
        assert [c["command"] for c in alice.snapshot["commands"]] == ["/lvs"]
        assert (alice.snapshot["connected"], alice.snapshot["panel"], alice.snapshot["views"]) == (False, [], [])
        channels = [{c["id"]: c for c in page.snapshot["channels"]} for page in (alice, bob)]
        assert [m["text"] for m in channels[0][SITE]["messages"]] == ["for all"]
        assert [(m["text"], m.get("ephemeral")) for m in channels[1][SITE]["messages"]] == [
            ("for all", None),
            ("for bob", True),
        ]
        assert set(channels[0]) == {SITE, "C0GENERAL", "D0ALICE"}


async def test_messages_arrive_change_and_go(
    slack: StandIn, client: AsyncWebClient, http: aiohttp.ClientSession
) -> None:
    async with page_of(slack, http, "U0ALICE") as alice:
        ts = (await client.chat_postMessage(channel=SITE, text="one", blocks=[button()]))["ts"]
        arrived = await alice.next("message")
        assert (arrived["channel"], arrived["message"]["text"]) == (SITE, "one")
        await client.chat_update(channel=SITE, ts=ts, text="two")
        assert (await alice.next("message_changed"))["message"]["text"] == "two"
        await client.chat_delete(channel=SITE, ts=ts)
        assert await alice.next("message_deleted") == {"type": "message_deleted", "channel": SITE, "ts": ts}


async def test_what_is_for_one_person_reaches_no_other_page(
    slack: StandIn, client: AsyncWebClient, http: aiohttp.ClientSession
) -> None:
    async with page_of(slack, http, "U0ALICE") as alice:
        await client.chat_postEphemeral(channel=SITE, user="U0BOB", text="for bob")
        await client.chat_postMessage(channel="U0BOB", text="direct")
        await client.chat_postMessage(channel=SITE, text="for all")
        assert (await alice.next("message"))["message"]["text"] == "for all"


async def test_a_command_is_pending_until_it_is_acknowledged(slack: StandIn, http: aiohttp.ClientSession) -> None:
    app = app_for(slack)

    @app.command("/lvs")
    async def lvs(ack: AsyncAck) -> None:
        await ack("fine")

    async with page_of(slack, http, "U0ALICE") as alice, socket_mode(slack, app):
        assert (await alice.next("connection"))["connected"] is True
        await alice.send(type="command", id="c1", channel=SITE, text="/lvs status")
        assert await alice.next("pending") == {"type": "pending", "id": "c1"}
        assert (await alice.next("message"))["message"]["ephemeral"] is True
        assert await alice.next("settled") == {"type": "settled", "id": "c1"}


async def test_a_command_without_an_app_ends_in_a_notice(slack: StandIn, http: aiohttp.ClientSession) -> None:
    async with page_of(slack, http, "U0ALICE") as alice, page_of(slack, http, "U0BOB") as bob:
        await alice.send(type="command", id="c1", channel=SITE, text="/lvs status")
        notice = await alice.next("notice")
        assert (notice["channel"], notice["text"]) == (SITE, '/lvs failed with the error "dispatch_failed"')
        assert (await alice.next("settled"))["id"] == "c1"
        await bob.send(type="say", channel=SITE, text="nothing here")
        assert (await bob.next("notice", "message"))["type"] == "message"


async def test_a_modal_opens_complains_and_closes_on_the_page(
    slack: StandIn, client: AsyncWebClient, http: aiohttp.ClientSession
) -> None:
    app = app_for(slack)

    @app.action("go")
    async def go(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        await client.views_open(trigger_id=body["trigger_id"], view=modal(REASON))

    @app.view("why")
    async def why(ack: AsyncAck) -> None:
        await ack()

    ts = (await client.chat_postMessage(channel=SITE, text="x", blocks=[button()]))["ts"]
    async with page_of(slack, http, "U0ALICE") as alice, socket_mode(slack, app):
        element = button()["elements"][0]
        await alice.send(
            type="action", id="a1", channel=SITE, ts=ts, block_id="row", action_id="go", element=element, state={}
        )
        view = (await alice.next("view_opened"))["view"]
        empty = {"values": {"reason": {"text": {"type": "plain_text_input", "value": None}}}}
        await alice.send(type="view_submit", id="s1", view_id=view["id"], state=empty)
        complaint = await alice.next("view_errors")
        assert (complaint["view_id"], list(complaint["errors"])) == (view["id"], ["reason"])
        full = {"values": {"reason": {"text": {"type": "plain_text_input", "value": "because"}}}}
        await alice.send(type="view_submit", id="s2", view_id=view["id"], state=full)
        assert (await alice.next("view_closed"))["view_id"] == view["id"]


async def test_what_makes_no_sense_is_told_and_breaks_nothing(slack: StandIn, http: aiohttp.ClientSession) -> None:
    async with page_of(slack, http, "U0ALICE") as alice:
        for nonsense in ("{", "[]", '"text"', '{"type": "fly"}', '{"type": "command", "channel": "C0SITE"}', "{}"):
            await alice.ws.send_str(nonsense)
            assert (await alice.next("notice"))["text"]
        await alice.send(type="say", channel="C0NOWHERE", text="x")
        assert "channel_not_found" in (await alice.next("notice"))["text"]
        await alice.send(type="say", channel=SITE, text="still here")
        assert (await alice.next("message"))["message"]["text"] == "still here"


class Switches:
    """A panel with a switch that takes a while and one that fails."""

    def __init__(self) -> None:
        self.busy = False
        self.go_on = asyncio.Event()

    def items(self) -> Sequence[PanelItem]:
        return (
            {"id": "stop", "label": "stop keepalived", "kind": "button", "group": "sv1", "busy": self.busy},
            {"id": "break", "label": "break", "kind": "button", "danger": True},
        )

    async def press(self, id: str) -> None:  # noqa: A002
        if id == "break":
            raise RuntimeError("sv1 does not answer")
        self.busy = True
        await self.go_on.wait()
        self.busy = False


async def test_the_panel_is_pressed_busy_and_done(http: aiohttp.ClientSession) -> None:
    switches = Switches()
    async with StandIn(panel=switches) as slack, page_of(slack, http, "U0ALICE") as alice:
        assert alice.snapshot["panel"][0]["label"] == "stop keepalived"
        await alice.send(type="panel", action="stop")
        assert (await alice.next("panel"))["panel"][0]["busy"] is True
        switches.go_on.set()
        assert (await alice.next("panel"))["panel"][0]["busy"] is False
        await alice.send(type="panel", action="break")
        assert (await alice.next("notice"))["text"] == "That did not work: sv1 does not answer"
        slack.panel_changed()
        assert (await alice.next("panel"))["panel"][1]["id"] == "break"


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "rebound.example"}]
)
async def test_another_sites_page_gets_no_connection(
    slack: StandIn, http: aiohttp.ClientSession, headers: dict[str, str]
) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect(f"{slack.origin}/ui?as=U0ALICE", headers=headers)
    assert refused.value.status == 403
    async with http.get(slack.page_url, headers={"Host": "rebound.example"}) as answer:
        assert answer.status == 403


async def test_nobody_in_particular_cannot_be_acted_as(slack: StandIn, http: aiohttp.ClientSession) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect(f"{slack.origin}/ui?as=U0NOBODY")
    assert refused.value.status == 404


async def test_the_page_and_its_files_are_served_and_nothing_else(slack: StandIn, http: aiohttp.ClientSession) -> None:
    async with http.get(slack.page_url) as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    async with http.get(f"{slack.origin}/page/js/main.js") as answer:
        assert answer.status == 200
    for path in ("/page/../standin.py", "/page/%2e%2e/standin.py", "/page/js", "/page/none.js"):
        async with http.get(f"{slack.origin}{path}") as answer:
            assert answer.status == 404
