"""HTTP mode: signed requests, and what counts as an acknowledgement."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from aiohttp import web
from slack_bolt.async_app import AsyncAck
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_sdk.signature import SignatureVerifier

from bot.local.slack import Config, Deadlines, Outcome, StandIn
from tests.local.slack.conftest import REASON, app_for, button, client_of, http_mode, modal

SITE = "C0SITE"


def bolt(slack: StandIn) -> Any:
    """A request handler that runs a Bolt app, signatures checked; it has a command, a button and a modal."""
    app = app_for(slack)

    @app.command("/lvs")
    async def lvs(ack: AsyncAck, command: dict[str, Any]) -> None:
        await ack(f"you asked for {command['text']}")

    @app.action("go")
    async def go(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        await app.client.views_open(trigger_id=body["trigger_id"], view=modal(REASON))

    @app.view("why")
    async def why(ack: AsyncAck) -> None:
        await ack(response_action="errors", errors={"reason": "Say more."})

    @app.event("app_mention")
    async def mentioned(event: dict[str, Any]) -> None:
        await app.client.chat_postMessage(channel=event["channel"], text="here")

    async def handle(request: web.Request) -> web.Response:
        asked = AsyncBoltRequest(body=await request.text(), headers=dict(request.headers))
        answer = await app.async_dispatch(asked)
        kind = answer.first_headers().get("content-type", "text/plain").split(";")[0]
        return web.Response(status=answer.status, text=answer.body, content_type=kind)

    return handle


@pytest.fixture
def now(slack: StandIn, clock: Any) -> None:
    """Bolt refuses a request that is older than five minutes by its own clock: let both agree."""
    clock.now = time.time()


@pytest.mark.usefixtures("now")
async def test_commands_buttons_modals_and_events_reach_a_bolt_app_that_checks_signatures(slack: StandIn) -> None:
    errors: list[Any] = []
    slack.on_change(lambda change: errors.append(change.data["errors"]) if change.kind == "view_errors" else None)
    async with http_mode(bolt(slack)) as app:
        assert await slack.use_http(app.url).challenge()
        ack = await slack.command("alice", SITE, "/lvs status")
        assert ack is not None and ack.ok
        assert [m["text"] for m in slack.ephemerals("alice")] == ["you asked for status"]
        posted = await client_of(slack).chat_postMessage(channel=SITE, text="x", blocks=[button()])
        assert (await slack.click("alice", posted["ts"], "go")).ok
        (view,) = await slack.wait_for(lambda: slack.views("alice"))
        await slack.submit("alice", view["id"], {"text": "because"})
        slack.say("bob", SITE, "@lvsbot hello")
        await slack.wait_for(lambda: slack.messages(SITE)[-1]["text"] == "here")
    assert errors == [{"reason": "Say more."}]


@pytest.mark.usefixtures("now")
async def test_a_request_signed_with_another_secret_is_refused_by_bolt(slack: StandIn) -> None:
    async with StandIn(Config()) as forger, http_mode(bolt(slack)) as app:
        forger.use_http(app.url)
        ack = await forger.command("alice", SITE, "/lvs status")
    assert ack is not None and ack.outcome is Outcome.FAILED


async def test_the_signature_is_slacks(slack: StandIn) -> None:
    seen: list[tuple[str, Any]] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append((await request.text(), request.headers.copy()))
        return web.Response()

    async with http_mode(handle) as app:
        slack.use_http(app.url)
        await slack.command("alice", SITE, "/lvs status")
    (body, headers), = seen  # fmt: skip
    made = SignatureVerifier(slack.signing_secret).generate_signature(
        timestamp=headers["X-Slack-Request-Timestamp"], body=body
    )
    assert headers["X-Slack-Signature"] == made
    assert headers["X-Slack-Request-Timestamp"] == "1800000000"


@pytest.mark.parametrize(
    ("answer", "outcome", "payload"),
    [
        (web.Response(status=500), Outcome.FAILED, {}),
        (web.Response(status=302, headers={"Location": "/elsewhere"}), Outcome.FAILED, {}),
        (web.Response(text=""), Outcome.ACKED, {}),
        (web.Response(text="plain"), Outcome.ACKED, {"text": "plain"}),
        (web.json_response({"text": "rich"}), Outcome.ACKED, {"text": "rich"}),
    ],
)
async def test_only_a_200_acknowledges(
    slack: StandIn, answer: web.Response, outcome: Outcome, payload: dict[str, str]
) -> None:
    async def handle(_: web.Request) -> web.Response:
        return answer

    async with http_mode(handle) as app:
        slack.use_http(app.url)
        ack = await slack.command("alice", SITE, "/lvs status")
    assert ack is not None and (ack.outcome, ack.payload) == (outcome, payload)


async def test_an_app_that_does_not_answer_in_time_is_a_timeout(hasty: StandIn) -> None:
    never = asyncio.Event()

    async def handle(_: web.Request) -> web.Response:
        await never.wait()
        return web.Response()

    async with http_mode(handle) as app:
        hasty.use_http(app.url)
        ack = await hasty.command("alice", SITE, "/lvs status")
        never.set()
    assert ack is not None and ack.outcome is Outcome.TIMED_OUT


async def test_an_app_that_is_not_there_is_a_failed_dispatch(slack: StandIn) -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.Response()

    async with http_mode(handle) as app:
        pass
    slack.use_http(app.url)
    ack = await slack.command("alice", SITE, "/lvs status")
    assert ack is not None and ack.outcome is Outcome.FAILED


@pytest.mark.parametrize(("headers", "attempts"), [({}, 3), ({"X-Slack-No-Retry": "1"}, 1)])
async def test_an_event_is_retried_unless_the_app_forbids_it(headers: dict[str, str], attempts: int) -> None:
    seen: list[Any] = []

    async def handle(request: web.Request) -> web.Response:
        event = json.loads(await request.text())["event_id"]
        seen.append((event, request.headers.get("X-Slack-Retry-Num"), request.headers.get("X-Slack-Retry-Reason")))
        return web.Response(status=503, headers=headers)

    config = Config(deadlines=Deadlines(event_retries=(0.0, 0.0)))
    async with StandIn(config) as slack, http_mode(handle) as app:
        slack.use_http(app.url)
        slack.say("alice", SITE, "@lvsbot hello")
        await slack.wait_for(lambda: len(slack.deliveries) == attempts)
    assert [number for _, number, _ in seen] == [None, "1", "2"][:attempts]
    assert [reason for _, _, reason in seen] == [None, "http_error", "http_error"][:attempts]
    assert len({event for event, _, _ in seen}) == 1


@pytest.mark.parametrize("url", ["http://93.184.216.34/slack", "https://hooks.example.com/x", "http:///x"])
async def test_requests_never_leave_for_a_public_address(slack: StandIn, url: str) -> None:
    with pytest.raises(ValueError, match="to a private address only"):
        slack.use_http(url)
