"""Faults on demand, as the clients that we use feel them."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from slack_bolt.async_app import AsyncAck
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler, AsyncServerErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient

from bot.local.slack import Fault, FaultKind, StandIn
from tests.local.slack.conftest import Clock, app_for, socket_mode

SITE = "C0SITE"
POST = frozenset({"chat.postMessage"})


def texts(slack: StandIn) -> list[str]:
    return [m["text"] for m in slack.messages(SITE)]


async def test_the_next_calls_are_rate_limited_with_retry_after(slack: StandIn, client: AsyncWebClient) -> None:
    slack.faults.rate_limited(2, retry_after=7, methods=POST)
    for _ in range(2):
        with pytest.raises(SlackApiError) as error:
            await client.chat_postMessage(channel=SITE, text="x")
        answer = error.value.response
        assert (answer.status_code, answer["error"], answer.headers["Retry-After"]) == (429, "ratelimited", "7")
    await client.chat_postMessage(channel=SITE, text="at last")
    assert texts(slack) == ["at last"]


async def test_a_fault_meets_only_the_methods_that_it_names(slack: StandIn, client: AsyncWebClient) -> None:
    slack.faults.rate_limited(1, methods=POST)
    assert (await client.auth_test())["ok"] is True


async def test_the_sdks_own_handlers_get_through_rate_limits_and_server_errors(
    slack: StandIn, client: AsyncWebClient
) -> None:
    client.retry_handlers = [AsyncRateLimitErrorRetryHandler(), AsyncServerErrorRetryHandler()]
    slack.faults.rate_limited(1, retry_after=0)
    await client.chat_postMessage(channel=SITE, text="one")
    # One call has one retry in all, whichever handler takes it: both faults in one call would be too much for them.
    slack.faults.server_error(1)
    await client.chat_postMessage(channel=SITE, text="two")
    assert texts(slack) == ["one", "two"]
    assert [c.status for c in slack.calls] == [429, 200, 503, 200]


async def test_a_lasting_rate_limits_each_channel_by_itself(
    slack: StandIn, client: AsyncWebClient, clock: Clock
) -> None:
    slack.faults.rate(2)

    async def post(channel: str) -> int:
        try:
            answer = await client.chat_postMessage(channel=channel, text="x")
        except SlackApiError as error:
            answer = error.response
        return int(answer.status_code)

    assert [await post(SITE) for _ in range(3)] == [200, 200, 429]
    assert await post("U0BOB") == 200
    clock.now += 1.0
    assert [await post(SITE) for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_server_error_is_no_json(slack: StandIn, http: aiohttp.ClientSession, status: int) -> None:
    slack.faults.server_error(1, status=status)
    async with http.post(f"{slack.base_url}auth.test") as answer:
        assert (answer.status, answer.content_type) == (status, "text/html")


async def test_a_reset_connection_says_nothing_of_what_was_done(slack: StandIn, client: AsyncWebClient) -> None:
    slack.faults.arm(Fault(kind=FaultKind.RESET))
    slack.faults.arm(Fault(kind=FaultKind.RESET, after_effect=True))
    for _ in range(2):
        with pytest.raises(aiohttp.ClientError):
            await client.chat_postMessage(channel=SITE, text="perhaps")
    assert texts(slack) == ["perhaps"]
    assert [(c.status, c.ok) for c in slack.calls] == [(0, False), (0, False)]


async def test_a_call_can_be_carried_out_after_it_was_given_up(slack: StandIn, client: AsyncWebClient) -> None:
    slack.faults.arm(Fault(kind=FaultKind.RESET, after_effect=True, later=0.05))
    slack.faults.arm(Fault(kind=FaultKind.SERVER_ERROR, after_effect=True, held=True))
    with pytest.raises(aiohttp.ClientError):
        await client.chat_postMessage(channel=SITE, text="a moment later")
    await slack.wait_for(lambda: texts(slack) == ["a moment later"])
    with pytest.raises(SlackApiError):
        await client.chat_postMessage(channel=SITE, text="when it is let go")
    assert texts(slack) == ["a moment later"]
    assert slack.faults.let_go() == 1
    assert texts(slack) == ["a moment later", "when it is let go"]
    assert slack.faults.let_go() == 0


async def test_a_call_that_is_held_is_never_made_once_the_faults_are_cleared(
    slack: StandIn, client: AsyncWebClient
) -> None:
    slack.faults.arm(Fault(kind=FaultKind.RESET, after_effect=True, held=True))
    with pytest.raises(aiohttp.ClientError):
        await client.chat_postMessage(channel=SITE, text="never")
    slack.faults.clear()
    assert slack.faults.let_go() == 0
    assert texts(slack) == []


async def test_an_answer_can_be_withheld_longer_than_the_client_waits(slack: StandIn, client: AsyncWebClient) -> None:
    slack.faults.arm(Fault(kind=FaultKind.TIMEOUT, after_effect=True))
    client.timeout = 0.2  # type: ignore[assignment]
    with pytest.raises(TimeoutError):
        await client.chat_postMessage(channel=SITE, text="done, but who knows")
    assert texts(slack) == ["done, but who knows"]


async def test_clearing_the_faults_cuts_what_was_withheld(slack: StandIn, client: AsyncWebClient) -> None:
    slack.faults.arm(Fault(kind=FaultKind.TIMEOUT, calls=None, after_effect=True))
    waiting = asyncio.create_task(client.chat_postMessage(channel=SITE, text="done"))
    await slack.wait_for(lambda: texts(slack) == ["done"])
    slack.faults.clear()
    with pytest.raises(aiohttp.ClientError):
        await waiting
    await client.chat_postMessage(channel=SITE, text="well again")
    assert texts(slack) == ["done", "well again"]


async def test_a_withheld_answer_is_cut_when_its_time_is_up(slack: StandIn, client: AsyncWebClient) -> None:
    slack.faults.arm(Fault(kind=FaultKind.TIMEOUT, seconds=0.1))
    with pytest.raises(aiohttp.ClientError):
        await client.chat_postMessage(channel=SITE, text="x")


async def test_while_slack_is_down_nothing_works_and_afterwards_everything(
    slack: StandIn, client: AsyncWebClient, clock: Clock
) -> None:
    app = app_for(slack)

    @app.command("/lvs")
    async def lvs(ack: AsyncAck) -> None:
        await ack("fine")

    async with socket_mode(slack, app):
        slack.faults.down(60)
        await slack.wait_for(lambda: not slack.connected)
        with pytest.raises(aiohttp.ClientError):
            await client.chat_postMessage(channel=SITE, text="lost")
        clock.now += 61
        await client.chat_postMessage(channel=SITE, text="back")
        await slack.wait_for(lambda: slack.connected, timeout=30)
        ack = await slack.command("alice", SITE, "/lvs status")
        assert ack is not None and ack.ok
    assert texts(slack) == ["back"]


async def test_response_urls_meet_faults_too(slack: StandIn, http: aiohttp.ClientSession) -> None:
    urls: list[str] = []
    app = app_for(slack)

    @app.command("/lvs")
    async def lvs(ack: AsyncAck, command: dict[str, Any]) -> None:
        await ack()
        urls.append(command["response_url"])

    async with socket_mode(slack, app):
        await slack.command("alice", SITE, "/lvs status")
        await slack.wait_for(lambda: urls)
    slack.faults.server_error(1, methods=frozenset({"response_url"}))
    async with http.post(urls[0], json={"text": "x"}) as answer:
        assert answer.status == 503
    slack.faults.arm(Fault(kind=FaultKind.RESET, after_effect=True, methods=frozenset({"response_url"})))
    with pytest.raises(aiohttp.ClientError):
        await http.post(urls[0], json={"text": "told, but who knows"})
    slack.faults.down()
    with pytest.raises(aiohttp.ClientError):
        await http.post(urls[0], json={"text": "x"})
    assert [m["text"] for m in slack.ephemerals("alice")] == ["told, but who knows"]


# --- from outside of the process ---


async def order(slack: StandIn, http: aiohttp.ClientSession, **body: Any) -> tuple[int, Any]:
    async with http.post(f"{slack.origin}/control/faults", json=body) as answer:
        return answer.status, await answer.json()


async def test_faults_are_armed_listed_and_cleared_as_json(
    slack: StandIn, client: AsyncWebClient, http: aiohttp.ClientSession
) -> None:
    status, armed = await order(slack, http, kind="rate_limited", calls=3, retry_after=2, methods=["chat.postMessage"])
    assert status == 200
    assert armed["armed"][0] | {"calls": 3, "retry_after": 2} == armed["armed"][0]
    await order(slack, http, kind="rate", per_second=5)
    await order(slack, http, kind="slow_acks", seconds=1)
    await order(slack, http, kind="down", seconds=60)
    async with http.get(f"{slack.origin}/control/faults") as answer:
        listed = await answer.json()
    assert (listed["down"], listed["slow_acks"], listed["rates"]) == (
        True, 1, [{"per_second": 5, "method": "chat.postMessage"}],
    )  # fmt: skip
    async with http.delete(f"{slack.origin}/control/faults") as answer:
        assert await answer.json() == {"armed": [], "rates": [], "down": False, "slow_acks": 0.0}
    assert (await client.auth_test())["ok"] is True


async def test_sockets_are_dropped_and_envelopes_repeated_as_json(slack: StandIn, http: aiohttp.ClientSession) -> None:
    seen: list[Any] = []
    app = app_for(slack)

    @app.command("/lvs")
    async def lvs(ack: AsyncAck, command: dict[str, Any]) -> None:
        await ack()
        seen.append(command["trigger_id"])

    assert (await order(slack, http, kind="redeliver"))[0] == 400
    async with socket_mode(slack, app):
        await slack.command("alice", SITE, "/lvs status")
        await order(slack, http, kind="redeliver")
        await slack.wait_for(lambda: len(slack.deliveries) == 2)
        await order(slack, http, kind="drop_sockets")
        await slack.wait_for(lambda: not slack.connected)
    assert len(seen) == 2 and len(set(seen)) == 1


@pytest.mark.parametrize(
    "body", [{}, {"kind": "meteor"}, {"kind": "reset", "calls": 0}, {"kind": "reset", "call": 1}, {"kind": 7}]
)
async def test_an_order_that_makes_no_sense_is_refused(
    slack: StandIn, http: aiohttp.ClientSession, body: dict[str, Any]
) -> None:
    status, answer = await order(slack, http, **body)
    assert status == 400 and answer["error"]
    assert slack.faults.as_json()["armed"] == []


async def test_another_sites_page_cannot_arm_faults(slack: StandIn, http: aiohttp.ClientSession) -> None:
    url = f"{slack.origin}/control/faults"
    async with http.post(url, json={"kind": "down"}, headers={"Origin": "https://evil.example"}) as answer:
        assert answer.status == 403
    async with http.post(url, json={"kind": "down"}, headers={"Host": "rebound.example"}) as answer:
        assert answer.status == 403
    async with http.post(url, data='{"kind": "down"}', headers={"Content-Type": "text/plain"}) as answer:
        assert answer.status == 415
    assert not slack.faults.is_down
