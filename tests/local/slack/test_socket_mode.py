"""Socket Mode: envelopes, acknowledgements, and connections that come and go."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from slack_bolt.async_app import AsyncAck, AsyncApp, AsyncSay
from slack_sdk.web.async_client import AsyncWebClient

from bot.local.slack import Config, Deadlines, Kind, Outcome, StandIn
from tests.local.slack.conftest import app_for, button, client_of, socket_mode

SITE = "C0SITE"


async def raw(slack: StandIn, http: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
    """A connection without an SDK, just after its greeting."""
    opened = await client_of(slack, slack.app_token).apps_connections_open(app_token=slack.app_token)
    ws = await http.ws_connect(opened["url"])
    greeting = await ws.receive_json()
    assert greeting["type"] in ("hello", "disconnect")
    return ws


def answering(app: AsyncApp, seen: list[Any]) -> AsyncApp:
    """*app* with a command that answers, and notes what it was asked."""

    @app.command("/lvs")
    async def lvs(ack: AsyncAck, command: dict[str, Any]) -> None:
        seen.append(command)
        await ack(f"you asked for {command['text']}")

    return app


async def test_a_command_reaches_a_bolt_app_and_its_answer_the_person(slack: StandIn) -> None:
    seen: list[Any] = []
    async with socket_mode(slack, answering(app_for(slack), seen)):
        ack = await slack.command("alice", "#lvs-site", "/lvs status  web1 ")
    assert ack is not None and ack.ok
    assert [m["text"] for m in slack.ephemerals("alice")] == ["you asked for status  web1"]
    assert (seen[0]["user_id"], seen[0]["channel_id"], seen[0]["text"]) == ("U0ALICE", SITE, "status  web1")
    assert slack.ephemerals("bob") == [] == slack.messages(SITE)


async def test_without_a_connection_a_command_fails_as_slack_says_it(slack: StandIn) -> None:
    notices: list[Any] = []
    slack.on_change(lambda change: notices.append(change) if change.kind == "notice" else None)
    ack = await slack.command("alice", SITE, "/lvs status")
    assert ack is not None and ack.outcome is Outcome.FAILED
    assert [(n.to, n.data["text"]) for n in notices] == [("U0ALICE", '/lvs failed with the error "dispatch_failed"')]


async def test_a_command_that_is_not_acknowledged_in_time_fails_as_slack_says_it(
    hasty: StandIn, http: aiohttp.ClientSession
) -> None:
    notices: list[str] = []
    hasty.on_change(lambda change: notices.append(change.data["text"]) if change.kind == "notice" else None)
    ws = await raw(hasty, http)
    ack = await hasty.command("alice", SITE, "/lvs status")
    assert ack is not None and ack.outcome is Outcome.TIMED_OUT
    assert notices == ['/lvs failed with the error "operation_timeout"']
    await ws.close()


async def test_a_command_is_not_repeated_by_slack(hasty: StandIn) -> None:
    await hasty.command("alice", SITE, "/lvs drain web1")
    assert [d.kind for d in hasty.deliveries] == [Kind.COMMAND]


async def test_an_acknowledgement_may_come_over_another_connection(slack: StandIn, http: aiohttp.ClientSession) -> None:
    one, two = await raw(slack, http), await raw(slack, http)
    command = asyncio.create_task(slack.command("alice", SITE, "/lvs status"))
    arrived, waiting = await asyncio.wait(
        {asyncio.create_task(one.receive_json()), asyncio.create_task(two.receive_json())},
        return_when=asyncio.FIRST_COMPLETED,
    )
    envelope = arrived.pop().result()
    assert envelope["type"] == "slash_commands" and envelope["accepts_response_payload"] is True
    for ws in (one, two):
        await ws.send_json({"envelope_id": envelope["envelope_id"]})
    ack = await command
    assert ack is not None and ack.ok
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await one.close()
    await two.close()


async def test_each_envelope_goes_to_one_connection_in_turn(slack: StandIn) -> None:
    first: list[Any] = []
    second: list[Any] = []
    one, two = answering(app_for(slack), first), answering(app_for(slack), second)
    async with socket_mode(slack, one), socket_mode(slack, two):
        for number in range(4):
            await slack.command("alice", SITE, f"/lvs {number}")
    assert sorted([len(first), len(second)]) == [2, 2]
    assert sorted(c["text"] for c in [*first, *second]) == ["0", "1", "2", "3"]


async def test_an_eleventh_connection_is_too_many(slack: StandIn, http: aiohttp.ClientSession) -> None:
    open_ones = [await raw(slack, http) for _ in range(10)]
    opened = await client_of(slack, slack.app_token).apps_connections_open(app_token=slack.app_token)
    ws = await http.ws_connect(opened["url"])
    assert (await ws.receive_json())["reason"] == "too_many_websockets"
    assert (await ws.receive()).type is aiohttp.WSMsgType.CLOSE
    for each in open_ones:
        await each.close()


async def test_a_connection_url_is_good_for_one_connection(slack: StandIn, http: aiohttp.ClientSession) -> None:
    opened = await client_of(slack, slack.app_token).apps_connections_open(app_token=slack.app_token)
    ws = await http.ws_connect(opened["url"])
    assert (await ws.receive_json())["connection_info"]["app_id"] == "A0LVSBOT"
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await http.ws_connect(opened["url"])
    await ws.close()


async def test_what_is_no_acknowledgement_is_ignored(slack: StandIn, http: aiohttp.ClientSession) -> None:
    ws = await raw(slack, http)
    for nonsense in ("{", "[]", '{"envelope_id": "unknown"}', '{"envelope_id": ["a"]}', "null"):
        await ws.send_str(nonsense)
    command = asyncio.create_task(slack.command("alice", SITE, "/lvs status"))
    await ws.send_json({"envelope_id": (await ws.receive_json())["envelope_id"], "payload": {"text": "fine"}})
    ack = await command
    assert ack is not None and ack.payload == {"text": "fine"}
    await ws.close()


async def test_a_bolt_app_comes_back_after_its_socket_was_dropped(slack: StandIn) -> None:
    async with socket_mode(slack, answering(app_for(slack), [])):
        before = len([c for c in slack.calls if c.method == "apps.connections.open"])
        slack.drop_sockets()
        await slack.wait_for(lambda: not slack.connected)
        await slack.wait_for(lambda: slack.connected, timeout=20)
        assert len([c for c in slack.calls if c.method == "apps.connections.open"]) > before
        ack = await slack.command("alice", SITE, "/lvs status")
        assert ack is not None and ack.ok


async def test_a_bolt_app_follows_the_request_to_connect_anew(hasty: StandIn) -> None:
    async with socket_mode(hasty, answering(app_for(hasty), [])):
        await hasty.refresh_sockets()
        await hasty.wait_for(lambda: hasty.connected, timeout=20)
        await hasty.wait_for(lambda: sum(c.method == "apps.connections.open" for c in hasty.calls) >= 2)


async def test_slack_warns_before_it_asks_to_connect_anew(hasty: StandIn, http: aiohttp.ClientSession) -> None:
    ws = await raw(hasty, http)
    refresh = asyncio.create_task(hasty.refresh_sockets())
    assert [(await ws.receive_json())["reason"] for _ in range(2)] == ["warning", "refresh_requested"]
    assert (await ws.receive()).type is aiohttp.WSMsgType.CLOSE
    await ws.close()
    await refresh


async def test_a_mention_reaches_a_bolt_app_and_its_answer_the_thread(slack: StandIn) -> None:
    app = app_for(slack)

    @app.event("app_mention")
    async def mentioned(event: dict[str, Any], say: AsyncSay) -> None:
        await say(text=f"here, <@{event['user']}>", thread_ts=event["ts"])

    async with socket_mode(slack, app):
        said = slack.say("alice", SITE, "@lvsbot are you there?")
        await slack.wait_for(lambda: len(slack.messages(SITE)) == 2)
    question, answer = slack.messages(SITE)
    assert (answer["text"], answer["thread_ts"]) == ("here, <@U0ALICE>", said["ts"])
    assert question["reply_count"] == 1


async def test_only_subscribed_events_are_delivered() -> None:
    async with StandIn(Config(events=frozenset())) as slack:
        slack.say("alice", SITE, "@lvsbot hello?")
        slack.say("alice", "lvs-site", "and more")
        assert slack.deliveries == []


async def test_an_event_that_is_not_acknowledged_is_delivered_again_with_its_attempt(
    hasty: StandIn, http: aiohttp.ClientSession
) -> None:
    ws = await raw(hasty, http)
    hasty.say("alice", SITE, "@lvsbot hello")
    envelopes = [await ws.receive_json() for _ in range(2)]
    await ws.send_json({"envelope_id": envelopes[1]["envelope_id"]})
    await hasty.wait_for(lambda: [d.ack.ok for d in hasty.deliveries] == [False, True])
    assert [(e["retry_attempt"], e["retry_reason"]) for e in envelopes] == [(0, ""), (1, "timeout")]
    assert envelopes[0]["payload"]["event_id"] == envelopes[1]["payload"]["event_id"]
    assert envelopes[0]["envelope_id"] != envelopes[1]["envelope_id"]
    await ws.close()


async def test_an_event_is_given_up_after_the_last_retry() -> None:
    config = Config(deadlines=Deadlines(ack=0.1, event_retries=(0.0, 0.0, 0.0)))
    async with StandIn(config) as slack:
        slack.say("alice", SITE, "@lvsbot hello")
        await slack.wait_for(lambda: len(slack.deliveries) == 4)
    assert [d.retry.attempt if d.retry else 0 for d in slack.deliveries] == [0, 1, 2, 3]


async def test_the_last_envelope_can_be_delivered_twice(slack: StandIn) -> None:
    seen: list[Any] = []
    async with socket_mode(slack, answering(app_for(slack), seen)):
        await slack.command("alice", SITE, "/lvs drain web1")
        await slack.redeliver_last()
    assert len(seen) == 2 and seen[0]["trigger_id"] == seen[1]["trigger_id"]


async def test_a_late_acknowledgement_is_a_timeout_although_the_app_did_its_work(hasty: StandIn) -> None:
    seen: list[Any] = []
    hasty.faults.slow_acks(1.0)
    async with socket_mode(hasty, answering(app_for(hasty), seen)):
        ack = await hasty.command("alice", SITE, "/lvs drain web1")
    assert ack is not None and ack.outcome is Outcome.TIMED_OUT
    assert [c["text"] for c in seen] == ["drain web1"]


async def test_an_answer_of_bad_blocks_is_told_to_the_person(slack: StandIn) -> None:
    notices: list[str] = []
    slack.on_change(lambda change: notices.append(change.data["text"]) if change.kind == "notice" else None)
    app = app_for(slack)

    @app.command("/lvs")
    async def lvs(ack: AsyncAck) -> None:
        await ack(text="x", blocks=[{"type": "section"}])

    async with socket_mode(slack, app):
        await slack.command("alice", SITE, "/lvs status")
    assert notices[0].startswith('/lvs failed with the error "invalid_blocks')
    assert slack.ephemerals("alice") == []


async def test_an_answer_in_channel_shows_the_command_too(slack: StandIn) -> None:
    app = app_for(slack)

    @app.command("/lvs")
    async def lvs(ack: AsyncAck) -> None:
        await ack(text="for all", response_type="in_channel", blocks=[button()])

    async with socket_mode(slack, app):
        await slack.command("alice", SITE, "/lvs status")
    assert [(m["user"], m["text"]) for m in slack.messages(SITE)] == [
        ("U0ALICE", "/lvs status"),
        ("U0LVSBOT", "for all"),
    ]


async def test_a_command_that_slack_does_not_know_never_reaches_the_app(slack: StandIn) -> None:
    assert await slack.command("alice", SITE, "/lsv status") is None
    assert slack.deliveries == []


async def test_socket_mode_needs_the_app_level_token(client: AsyncWebClient, slack: StandIn) -> None:
    opened = await client.apps_connections_open(app_token=slack.app_token)
    assert opened["url"].startswith("ws://127.0.0.1:")
