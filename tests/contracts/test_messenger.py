"""The messenger against the stand-in: what it promises the flows, whatever Slack answers."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from bot.adapters.messenger import SlackMessenger
from bot.flows.ports import Found, MessageRef, MessageRefused, MessengerUnavailable, RateLimited
from bot.local.slack import ChannelSetup, Config, StandIn
from bot.local.slack.faults import Fault, FaultKind
from bot.views.message import SlackMessage

CHANNEL = "C0SITE"
HELLO = SlackMessage(text="hello")


class Shifted:
    """The stand-in's clock: real time, moved by ``by`` seconds."""

    def __init__(self) -> None:
        self.by = 0.0

    def __call__(self) -> float:
        return time.time() + self.by


@pytest.fixture
def clock() -> Shifted:
    return Shifted()


@pytest.fixture
async def slack(clock: Shifted) -> AsyncIterator[StandIn]:
    async with StandIn(clock=clock) as stand_in:
        yield stand_in


@pytest.fixture
async def messenger(slack: StandIn) -> AsyncIterator[SlackMessenger]:
    made = SlackMessenger(slack.bot_token, slack.base_url)
    yield made
    await made.close()


def chatter(slack: StandIn, count: int, thread_ts: str | None = None) -> None:
    for number in range(count):
        slack.say("alice", CHANNEL, f"line {number}", thread_ts)


# --- finding what was said -------------------------------------------------------------------------------------------


async def test_a_message_is_found_by_its_key_however_much_was_said_since(
    slack: StandIn, messenger: SlackMessenger
) -> None:
    ref = await messenger.post("#lvs-site", HELLO, key="incident:site:1")
    chatter(slack, 450)
    assert await messenger.find("#lvs-site", ["incident:site:1"]) == {"incident:site:1": Found(ref=ref)}


async def test_a_reply_is_found_by_its_key_in_a_long_thread_only(slack: StandIn, messenger: SlackMessenger) -> None:
    parent = await messenger.post(CHANNEL, HELLO, key="incident:site:1")
    chatter(slack, 250, parent.ts)
    reply = await messenger.post(CHANNEL, HELLO, key="incident:site:1:over", thread_ts=parent.ts)
    keys = ["incident:site:1:over"]
    assert await messenger.find(CHANNEL, keys, thread_ts=parent.ts) == {keys[0]: Found(ref=reply)}
    assert await messenger.find(CHANNEL, keys) == {}


async def test_looking_stops_at_the_given_time(slack: StandIn, messenger: SlackMessenger, clock: Shifted) -> None:
    clock.by = -7200
    await messenger.post(CHANNEL, HELLO, key="incident:site:1")
    clock.by = 0
    chatter(slack, 210)
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    assert await messenger.find(CHANNEL, ["incident:site:1"], since=an_hour_ago) == {}
    assert await messenger.find(CHANNEL, ["incident:site:1"], since=an_hour_ago - timedelta(hours=2)) != {}


async def test_one_look_finds_many_and_those_that_a_summary_covers(slack: StandIn, messenger: SlackMessenger) -> None:
    one = await messenger.post(CHANNEL, HELLO, key="incident:site:1")
    several = await messenger.post(CHANNEL, HELLO, key="backlog", covers=["incident:site:2", "incident:site:3"])
    before = len(slack.calls)
    assert await messenger.find(CHANNEL, [f"incident:site:{n}" for n in (1, 2, 3)]) == {
        "incident:site:1": Found(ref=one),
        "incident:site:2": Found(ref=several, covered=True),
        "incident:site:3": Found(ref=several, covered=True),
    }
    assert len(slack.calls) - before == 1


async def test_each_attempt_to_post_is_found_by_its_own_name(slack: StandIn, messenger: SlackMessenger) -> None:
    first = await messenger.post(CHANNEL, HELLO, key="incident:1", attempt="a1")
    second = await messenger.post(CHANNEL, HELLO, key="incident:1", attempt="a2")
    reply = await messenger.post(CHANNEL, HELLO, key="thread:1", attempt="a3", thread_ts=first.ts)
    await messenger.post(CHANNEL, HELLO, key="incident:2")
    chatter(slack, 250)
    assert await messenger.attempts(CHANNEL, ["a1", "a2", "a3", "a4"]) == {"a1": first, "a2": second}
    assert await messenger.attempts(CHANNEL, ["a1", "a3"], thread_ts=first.ts) == {"a1": first, "a3": reply}


async def test_a_message_is_taken_away_once_and_nobody_elses(slack: StandIn, messenger: SlackMessenger) -> None:
    ref = await messenger.post(CHANNEL, HELLO, key="incident:1")
    await messenger.delete(ref)
    assert slack.messages(CHANNEL) == []
    await messenger.delete(ref)
    said = slack.say("alice", CHANNEL, "mine")
    with pytest.raises(MessageRefused, match="cant_delete_message"):
        await messenger.delete(MessageRef(channel=CHANNEL, ts=said["ts"]))


async def test_an_edit_keeps_the_key(messenger: SlackMessenger) -> None:
    ref = await messenger.post(CHANNEL, HELLO, key="incident:site:1")
    await messenger.update(ref, SlackMessage(text="over"), key="incident:site:1")
    assert await messenger.find(CHANNEL, ["incident:site:1"]) == {"incident:site:1": Found(ref=ref)}


async def test_a_reply_can_be_shown_outside_of_its_thread_too(slack: StandIn, messenger: SlackMessenger) -> None:
    parent = await messenger.post(CHANNEL, HELLO)
    await messenger.post(CHANNEL, HELLO, thread_ts=parent.ts)
    await messenger.post(CHANNEL, HELLO, thread_ts=parent.ts, broadcast=True)
    assert [m.get("subtype") for m in slack.messages(CHANNEL)] == [None, None, "thread_broadcast"]


# --- what goes wrong -------------------------------------------------------------------------------------------------


async def test_a_limit_is_passed_on_at_once_with_the_time_that_slack_asks_for(
    slack: StandIn, messenger: SlackMessenger
) -> None:
    slack.faults.rate_limited(3, retry_after=37)
    for call in (
        messenger.post(CHANNEL, HELLO),
        messenger.update(MessageRef(channel=CHANNEL, ts="1.0"), HELLO),
        messenger.find(CHANNEL, ["incident:site:1"]),
    ):
        with pytest.raises(RateLimited) as raised:
            await call
        assert raised.value.retry_after_s == 37
    assert len(slack.calls) == 3
    assert slack.messages(CHANNEL) == []


LISTING = frozenset({"conversations.list"})


async def test_a_limit_of_the_list_of_channels_is_passed_on_to_who_can_wait(
    slack: StandIn, messenger: SlackMessenger
) -> None:
    slack.faults.rate_limited(1, retry_after=20, methods=LISTING)
    with pytest.raises(RateLimited) as raised:
        await messenger.post("#lvs-site", HELLO)
    assert raised.value.retry_after_s == 20
    slack.faults.rate_limited(1, retry_after=1, methods=LISTING)
    await messenger.tell("#lvs-site", "U0ALICE", HELLO)
    assert len(slack.ephemerals("alice")) == 1


async def test_a_channel_that_is_not_there_is_not_looked_for_at_each_try(
    slack: StandIn, messenger: SlackMessenger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listed() -> int:
        return len([call for call in slack.calls if call.method == "conversations.list"])

    for _ in range(3):
        with pytest.raises(MessageRefused, match="#gone"):
            await messenger.post("#gone", HELLO)
    assert listed() == 1
    await messenger.post("#lvs-site", HELLO)
    assert listed() == 1
    monkeypatch.setattr("bot.adapters.messenger.LISTED_S", 0)
    with pytest.raises(MessageRefused, match="#gone"):
        await messenger.find("#gone", ["incident:site:1"])
    assert listed() == 2


async def test_after_a_limit_the_list_of_channels_is_read_on() -> None:
    many = tuple(ChannelSetup(id=f"C{n:05}", name=f"number-{n}") for n in range(450))
    async with StandIn(Config(channels=many)) as slack:
        messenger = SlackMessenger(slack.bot_token, slack.base_url)
        try:
            await messenger.post("#number-0", HELLO)
            slack.faults.rate_limited(1, retry_after=20, methods=LISTING)
            with pytest.raises(RateLimited):
                await messenger.post("#number-449", HELLO)
            await messenger.post("#number-449", HELLO)
            pages = [call.args.get("cursor") for call in slack.calls if call.method == "conversations.list" and call.ok]
            assert len(pages) == len(set(pages)) == 3
        finally:
            await messenger.close()


async def test_where_slack_knows_a_page_of_the_list_no_more_it_is_read_from_the_beginning(
    messenger: SlackMessenger, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = messenger._call

    async def strict(method: str, **arguments: Any) -> Any:
        if arguments.get("cursor") == "outdated":
            raise MessageRefused("conversations.list: invalid_cursor")
        return await call(method, **arguments)

    monkeypatch.setattr(messenger, "_call", strict)
    messenger._page = "outdated"
    await messenger.post("#lvs-site", HELLO)


async def test_what_a_person_waits_for_is_tried_again_after_a_short_limit_but_not_after_a_long_one(
    slack: StandIn, messenger: SlackMessenger
) -> None:
    slack.faults.rate_limited(1, retry_after=1)
    await messenger.tell(CHANNEL, "U0ALICE", HELLO)
    assert len(slack.ephemerals("alice")) == 1
    slack.faults.rate_limited(1, retry_after=600)
    with pytest.raises(RateLimited):
        await messenger.tell(CHANNEL, "U0ALICE", HELLO)


async def test_nothing_but_a_limit_is_tried_again_by_itself(slack: StandIn, messenger: SlackMessenger) -> None:
    for kind in (FaultKind.SERVER_ERROR, FaultKind.RESET):
        slack.faults.arm(Fault(kind=kind, after_effect=True))
        with pytest.raises(MessengerUnavailable):
            await messenger.post(CHANNEL, HELLO)
    assert len(slack.messages(CHANNEL)) == 2


async def test_what_slack_will_never_take_is_told_apart_from_what_it_cannot_take_now(
    slack: StandIn, messenger: SlackMessenger
) -> None:
    with pytest.raises(MessageRefused, match="not_in_channel"):
        await messenger.post("C0GENERAL", HELLO)
    with pytest.raises(MessageRefused, match="no_text"):
        await messenger.post(CHANNEL, SlackMessage(text=""))
    stranger = SlackMessenger("xoxb-revoked", slack.base_url)
    try:
        # No message is to blame: nothing may count as refused for good.
        with pytest.raises(MessengerUnavailable, match=r"invalid_auth: .* look at SLACK_BOT_TOKEN") as raised:
            await stranger.post(CHANNEL, HELLO)
        assert "xoxb-revoked" not in str(raised.value)
    finally:
        await stranger.close()


@asynccontextmanager
async def answering(body: bytes, kind: str, status: int, headers: dict[str, str]) -> AsyncIterator[str]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type=kind, status=status, headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/api/"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 200),
        (b"<html>", "text/html", 200),
        (b"[]", "application/json", 502),
        (b"", "text/plain", 503),
        (b"blocked by policy", "text/plain", 200),
        ("Gerät nicht erlaubt".encode("latin-1"), "text/plain", 503),
        ("<html>Gerät</html>".encode("latin-1"), "text/html", 503),
        (b'{"ok": true, "x": "\xff\xfe"}', "application/json", 200),
        (b'"hello"', "application/json", 200),
        (b"null", "application/json", 200),
        (b"[]", "application/json", 200),
        (b"\x1f\x8b", "application/gzip", 200),
        (b'{"ok": true}', "application/json", 200),
        (b'{"ok": true, "channel": 1, "ts": null, "messages": "none", "users": {}}', "application/json", 200),
        (b'{"ok": true, "messages": ["hello"], "channels": [null]}', "application/json", 200),
        (b'{"ok": true, "messages": [{"metadata": "x"}], "channels": [{}]}', "application/json", 200),
    ],
)
async def test_an_answer_that_is_none_of_slacks_means_that_slack_is_away(body: bytes, kind: str, status: int) -> None:
    async with answering(body, kind, status, {}) as base:
        messenger = SlackMessenger("xoxb-1", base)
        try:
            with pytest.raises(MessengerUnavailable):
                await messenger.post(CHANNEL, HELLO)
            with pytest.raises(MessengerUnavailable):
                await messenger.find(CHANNEL, ["incident:site:1"])
            with pytest.raises(MessengerUnavailable):
                await messenger.update(MessageRef(channel=CHANNEL, ts="1.0"), HELLO)
            with pytest.raises(MessengerUnavailable):
                await messenger.post("#lvs-site", HELLO)
            with pytest.raises(MessengerUnavailable):
                await messenger.members_of("S0DUTY")
            assert await messenger.name_of("U0ALICE") == "U0ALICE"
        finally:
            await messenger.close()


async def test_what_others_keep_in_their_messages_is_nothing_of_the_bots() -> None:
    odd = [{"ts": "1.0", "metadata": m} for m in ("x", {"event_payload": 1}, {"event_payload": {"key": ["incident"]}})]
    body = json.dumps({"ok": True, "messages": odd}).encode()
    async with answering(body, "application/json", 200, {}) as base:
        messenger = SlackMessenger("xoxb-1", base)
        try:
            assert await messenger.find(CHANNEL, ["incident:site:1"]) == {}
        finally:
            await messenger.close()


@pytest.mark.parametrize(("header", "seconds"), [({"retry-after": "12"}, 12), ({}, 1), ({"Retry-After": "soon"}, 1)])
async def test_a_limit_without_a_readable_time_means_a_second(header: dict[str, str], seconds: float) -> None:
    async with answering(b"", "text/html", 429, header) as base:
        messenger = SlackMessenger("xoxb-1", base)
        try:
            with pytest.raises(RateLimited) as raised:
                await messenger.post(CHANNEL, HELLO)
            assert raised.value.retry_after_s == seconds
        finally:
            await messenger.close()


async def test_greeting_tells_whether_slack_is_there_and_lets_the_bot_in(
    slack: StandIn, messenger: SlackMessenger
) -> None:
    await messenger.greet()
    slack.faults.down()
    with pytest.raises(MessengerUnavailable):
        await messenger.greet()
    slack.faults.clear()
    stranger = SlackMessenger("xoxb-revoked", slack.base_url)
    try:
        with pytest.raises(MessengerUnavailable):
            await stranger.greet()
    finally:
        await stranger.close()


# --- files -----------------------------------------------------------------------------------------------------------


async def test_a_file_is_put_into_a_thread_word_for_word(slack: StandIn, messenger: SlackMessenger) -> None:
    parent = await messenger.post(CHANNEL, HELLO)
    content = "# Post-mortem\n\n12:00:05 → web1 ist weg: ä\n"
    await messenger.upload("#lvs-site", parent.ts, "incident-42.md", "Incident 42: web1 was down", content)
    _, reply = slack.messages(CHANNEL)
    (file,) = reply["files"]
    assert (reply["thread_ts"], file["name"], file["title"]) == (
        parent.ts,
        "incident-42.md",
        "Incident 42: web1 was down",
    )
    assert file["size"] == len(content.encode())


async def test_a_file_is_put_into_a_channel_without_a_thread(slack: StandIn, messenger: SlackMessenger) -> None:
    await messenger.upload(CHANNEL, None, "a.md", "A", "text")
    (message,) = slack.messages(CHANNEL)
    assert "thread_ts" not in message


async def test_a_file_for_a_channel_that_the_bot_is_not_in_is_refused(messenger: SlackMessenger) -> None:
    with pytest.raises(MessageRefused, match="not_in_channel"):
        await messenger.upload("C0GENERAL", None, "a.md", "A", "text")


@pytest.mark.parametrize("kind", [FaultKind.RESET, FaultKind.SERVER_ERROR])
async def test_a_file_that_does_not_arrive_is_told_without_its_secret_address(
    kind: FaultKind, slack: StandIn, messenger: SlackMessenger
) -> None:
    slack.faults.arm(Fault(kind=kind, methods=frozenset({"upload"})))
    with pytest.raises(MessengerUnavailable, match="the file") as raised:
        await messenger.upload(CHANNEL, None, "a.md", "A", "text")
    assert "/upload/" not in str(raised.value)
    assert slack.messages(CHANNEL) == []


async def test_limits_on_the_way_of_a_file_are_waited_out(slack: StandIn, messenger: SlackMessenger) -> None:
    slack.faults.rate_limited(1, retry_after=1, methods=frozenset({"files.getUploadURLExternal"}))
    await messenger.upload(CHANNEL, None, "a.md", "A", "text")
    assert len(slack.messages(CHANNEL)) == 1
