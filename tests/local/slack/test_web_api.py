"""The Web API, asked by slack_sdk's own client."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.local.slack import ChannelSetup, Config, StandIn
from tests.local.slack.conftest import Clock, client_of, section

SITE = "C0SITE"


async def refused(call: Any) -> dict[str, Any]:
    """The answer to a call that Slack refuses."""
    with pytest.raises(SlackApiError) as error:
        await call
    answer: dict[str, Any] = error.value.response.data
    return answer


# --- who is asking ---


async def test_auth_test_says_who_the_bot_is(client: AsyncWebClient) -> None:
    answer = await client.auth_test()
    assert (answer["user_id"], answer["bot_id"], answer["team_id"]) == ("U0LVSBOT", "B0LVSBOT", "T0LVS")
    assert "chat:write" in answer.headers["x-oauth-scopes"]


async def test_tokens_are_told_apart_as_slack_does(slack: StandIn) -> None:
    assert (await refused(client_of(slack, "xoxb-wrong").auth_test()))["error"] == "invalid_auth"
    assert (await refused(client_of(slack, slack.app_token).auth_test()))["error"] == "not_allowed_token_type"
    opened = client_of(slack).apps_connections_open(app_token=slack.bot_token)
    assert (await refused(opened))["error"] == "not_allowed_token_type"


async def test_no_token_is_not_authed(slack: StandIn, http: aiohttp.ClientSession) -> None:
    async with http.post(f"{slack.base_url}auth.test") as answer:
        assert (await answer.json())["error"] == "not_authed"


async def test_a_scope_that_the_app_lacks_is_named() -> None:
    async with StandIn(Config(scopes=frozenset({"commands"}))) as slack:
        answer = await refused(client_of(slack).chat_postMessage(channel=SITE, text="hello"))
    assert (answer["error"], answer["needed"], answer["provided"]) == ("missing_scope", "chat:write", "commands")


async def test_an_unknown_method_is_said_to_be_one(client: AsyncWebClient) -> None:
    answer = await refused(client.api_call("chat.shout"))
    assert (answer["error"], answer["req_method"]) == ("unknown_method", "chat.shout")


@pytest.mark.parametrize("way", ["query", "form", "json", "multipart"])
async def test_arguments_come_as_query_form_and_json(slack: StandIn, http: aiohttp.ClientSession, way: str) -> None:
    args = {"channel": SITE, "text": "hello"}
    blocks = [section("hello")]
    encoded = {**args, "blocks": json.dumps(blocks)}
    form = aiohttp.FormData(encoded, default_to_multipart=True)
    how: dict[str, dict[str, Any]] = {
        "query": {"params": encoded},
        "form": {"data": encoded},
        "json": {"json": {**args, "blocks": blocks}},
        "multipart": {"data": form},
    }
    headers = {"Authorization": f"Bearer {slack.bot_token}"}
    async with http.post(f"{slack.base_url}chat.postMessage", headers=headers, **how[way]) as answer:
        assert (await answer.json())["ok"] is True
    (message,) = slack.messages(SITE)
    assert (message["text"], message["blocks"][0]["text"]["text"]) == ("hello", "hello")


@pytest.mark.parametrize(
    ("body", "kind", "error"),
    [
        ("{", "application/json", "invalid_json"),
        ("[]", "application/json", "json_not_object"),
        ("<a/>", "application/xml", "invalid_post_type"),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused(
    slack: StandIn, http: aiohttp.ClientSession, body: str, kind: str, error: str
) -> None:
    headers = {"Authorization": f"Bearer {slack.bot_token}", "Content-Type": kind}
    async with http.post(f"{slack.base_url}chat.postMessage", headers=headers, data=body) as answer:
        assert (await answer.json())["error"] == error


async def test_api_test_echoes_and_fails_on_demand(client: AsyncWebClient) -> None:
    assert (await client.api_test(colour="red"))["args"]["colour"] == "red"
    assert (await refused(client.api_test(error="my_error")))["error"] == "my_error"


# --- saying ---


async def test_a_message_is_posted_by_id_and_by_name(slack: StandIn, client: AsyncWebClient) -> None:
    first = await client.chat_postMessage(channel=SITE, text="one")
    second = await client.chat_postMessage(channel="#lvs-site", text="two")
    assert first["channel"] == second["channel"] == SITE
    assert [m["text"] for m in slack.messages(SITE)] == ["one", "two"]
    assert first["message"]["bot_id"] == "B0LVSBOT"


async def test_timestamps_never_repeat_even_when_time_stands_still(client: AsyncWebClient) -> None:
    posted = [(await client.chat_postMessage(channel=SITE, text="x"))["ts"] for _ in range(5)]
    assert posted == sorted(set(posted))


async def test_a_message_to_a_person_is_a_direct_message(slack: StandIn, client: AsyncWebClient) -> None:
    posted = await client.chat_postMessage(channel="U0BOB", text="psst")
    opened = await client.conversations_open(users=["U0BOB"])
    assert posted["channel"] == opened["channel"]["id"]
    assert [m["text"] for m in slack.messages("bob")] == ["psst"]


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ({"channel": "C0NOWHERE", "text": "x"}, "channel_not_found"),
        ({"channel": "#nowhere", "text": "x"}, "channel_not_found"),
        ({"channel": "C0GENERAL", "text": "x"}, "not_in_channel"),
        ({"channel": SITE, "text": ""}, "no_text"),
        ({"channel": SITE, "text": "x" * 40_001}, "msg_too_long"),
        ({"channel": SITE, "text": "x", "thread_ts": "1.000000"}, "thread_not_found"),
        ({"channel": SITE, "text": "x", "blocks": "no list"}, "invalid_blocks_format"),
        ({"channel": SITE, "text": "x", "metadata": {"event_type": "e"}}, "invalid_metadata_format"),
        (
            {"channel": SITE, "text": "x", "metadata": {"event_type": "e", "event_payload": {"a": ["b"]}}},
            "invalid_metadata_schema",
        ),
        ({"channel": "", "text": "x"}, "invalid_arguments"),
    ],
)
async def test_a_message_that_slack_would_refuse_is_refused(
    slack: StandIn, client: AsyncWebClient, args: dict[str, Any], error: str
) -> None:
    assert (await refused(client.api_call("chat.postMessage", json=args)))["error"] == error
    assert slack.messages(SITE) == []


async def test_bad_blocks_are_pointed_to(client: AsyncWebClient) -> None:
    answer = await refused(client.chat_postMessage(channel=SITE, text="x", blocks=[section("ok"), section("")]))
    assert answer["error"] == "invalid_blocks"
    assert answer["response_metadata"]["messages"] == [
        "[ERROR] must be more than 0 characters [json-pointer:/blocks/1/text/text]"
    ]
    attachments = [{"color": "#ff0000", "blocks": [section("")]}]
    answer = await refused(client.chat_postMessage(channel=SITE, text="x", attachments=attachments))
    assert "/attachments/0/blocks/0/text/text" in answer["errors"][0]


async def test_an_update_replaces_text_and_keeps_what_it_does_not_name(slack: StandIn, client: AsyncWebClient) -> None:
    posted = await client.chat_postMessage(channel=SITE, text="one", blocks=[section("one")])
    await client.chat_update(channel=SITE, ts=posted["ts"], text="two")
    (message,) = slack.messages(SITE)
    assert (message["text"], message["blocks"][0]["text"]["text"]) == ("two", "one")
    assert message["edited"]["user"] == "U0LVSBOT"
    await client.chat_update(channel=SITE, ts=posted["ts"], text="three", blocks=[])
    assert "blocks" not in slack.messages(SITE)[0]


async def test_an_update_is_refused_for_what_is_gone_or_somebody_elses(slack: StandIn, client: AsyncWebClient) -> None:
    said = slack.say("alice", SITE, "mine")
    gone = client.chat_update(channel=SITE, ts="1.000000", text="x")
    assert (await refused(gone))["error"] == "message_not_found"
    assert (await refused(client.chat_update(channel=SITE, ts=said["ts"], text="x")))["error"] == "cant_update_message"
    assert (await refused(client.chat_delete(channel=SITE, ts=said["ts"])))["error"] == "cant_delete_message"
    posted = await client.chat_postMessage(channel=SITE, text="x")
    long = client.chat_update(channel=SITE, ts=posted["ts"], text="x" * 4001)
    assert (await refused(long))["error"] == "msg_too_long"


async def test_an_ephemeral_message_is_seen_by_one_person_and_is_not_in_the_history(
    slack: StandIn, client: AsyncWebClient
) -> None:
    await client.chat_postEphemeral(channel=SITE, user="U0BOB", text="only you")
    assert [m["text"] for m in slack.ephemerals("bob")] == ["only you"]
    assert slack.ephemerals("alice") == [] == slack.messages(SITE)
    stranger = client.chat_postEphemeral(channel=SITE, user="U0NOBODY", text="x")
    assert (await refused(stranger))["error"] == "user_not_in_channel"


async def test_a_deleted_message_is_gone_and_its_thread_counts_one_less(slack: StandIn, client: AsyncWebClient) -> None:
    parent = await client.chat_postMessage(channel=SITE, text="alert")
    reply = await client.chat_postMessage(channel=SITE, text="detail", thread_ts=parent["ts"])
    assert slack.messages(SITE)[0]["reply_count"] == 1
    await client.chat_delete(channel=SITE, ts=reply["ts"])
    (left,) = slack.messages(SITE)
    assert "reply_count" not in left


async def test_a_permalink_leads_to_the_page(
    slack: StandIn, client: AsyncWebClient, http: aiohttp.ClientSession
) -> None:
    posted = await client.chat_postMessage(channel=SITE, text="x")
    link = await client.chat_getPermalink(channel=SITE, message_ts=posted["ts"])
    assert link["permalink"] == f"{slack.origin}/archives/{SITE}/p{posted['ts'].replace('.', '')}"
    async with http.get(link["permalink"], allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (302, "/")


async def test_reactions_and_pins_are_added_once(slack: StandIn, client: AsyncWebClient) -> None:
    ts = (await client.chat_postMessage(channel=SITE, text="x"))["ts"]
    await client.reactions_add(channel=SITE, timestamp=ts, name="white_check_mark")
    await client.pins_add(channel=SITE, timestamp=ts)
    again = client.reactions_add(channel=SITE, timestamp=ts, name="white_check_mark")
    assert (await refused(again))["error"] == "already_reacted"
    assert (await refused(client.pins_add(channel=SITE, timestamp=ts)))["error"] == "already_pinned"
    assert (await refused(client.reactions_add(channel=SITE, timestamp=ts, name="No!")))["error"] == "invalid_name"
    (message,) = slack.messages(SITE)
    assert message["reactions"] == [{"name": "white_check_mark", "users": ["U0LVSBOT"], "count": 1}]


# --- reading ---


async def test_history_is_newest_first_in_pages_and_without_replies(client: AsyncWebClient) -> None:
    posted = [await client.chat_postMessage(channel=SITE, text=str(n)) for n in range(5)]
    await client.chat_postMessage(channel=SITE, text="reply", thread_ts=posted[0]["ts"])
    seen, cursor = [], None
    while cursor != "":
        page = await client.conversations_history(channel=SITE, limit=2, cursor=cursor)
        seen += [m["text"] for m in page["messages"]]
        cursor = page["response_metadata"]["next_cursor"] if page["has_more"] else ""
    assert seen == ["4", "3", "2", "1", "0"]
    thread = await client.conversations_replies(channel=SITE, ts=posted[0]["ts"])
    assert [m["text"] for m in thread["messages"]] == ["0", "reply"]


async def test_history_can_be_cut_at_both_ends(client: AsyncWebClient) -> None:
    ts = [(await client.chat_postMessage(channel=SITE, text=str(n)))["ts"] for n in range(4)]
    inside = await client.conversations_history(channel=SITE, oldest=ts[0], latest=ts[3])
    edges = await client.conversations_history(channel=SITE, oldest=ts[0], latest=ts[3], inclusive=True)
    assert [m["text"] for m in inside["messages"]] == ["2", "1"]
    assert [m["text"] for m in edges["messages"]] == ["3", "2", "1", "0"]


async def test_metadata_is_kept_and_returned_only_when_asked_for(client: AsyncWebClient) -> None:
    metadata = {"event_type": "lvs_message", "event_payload": {"key": "incident-1"}}
    await client.chat_postMessage(channel=SITE, text="x", metadata=metadata)
    plain = await client.conversations_history(channel=SITE)
    full = await client.conversations_history(channel=SITE, include_all_metadata=True)
    assert "metadata" not in plain["messages"][0]
    assert full["messages"][0]["metadata"] == metadata


async def test_channels_are_listed_described_joined_and_left_out_if_not_joined(client: AsyncWebClient) -> None:
    assert [c["name"] for c in (await client.conversations_list())["channels"]] == ["lvs-site", "general"]
    assert [c["id"] for c in (await client.users_conversations())["channels"]] == [SITE]
    assert (await client.conversations_info(channel="C0GENERAL"))["channel"]["is_member"] is False
    await client.conversations_join(channel="C0GENERAL")
    assert (await client.conversations_info(channel="C0GENERAL"))["channel"]["is_member"] is True
    assert "U0ALICE" in (await client.conversations_members(channel=SITE))["members"]
    by_name = client.conversations_info(channel="#lvs-site")
    assert (await refused(by_name))["error"] == "channel_not_found"
    assert len((await client.conversations_list(types="im"))["channels"]) == 3


async def test_a_bad_cursor_or_limit_is_refused(client: AsyncWebClient) -> None:
    assert (await refused(client.conversations_list(cursor="zzz")))["error"] == "invalid_cursor"
    assert (await refused(client.conversations_list(limit=0)))["error"] == "invalid_arguments"
    assert (await refused(client.conversations_list(types="secret")))["error"] == "invalid_types"


async def test_people_groups_and_bots_are_described(client: AsyncWebClient) -> None:
    assert (await client.users_info(user="U0ALICE"))["user"]["profile"]["title"] == "operator"
    assert [u["name"] for u in (await client.users_list())["members"]] == ["alice", "bob", "carol", "lvsbot"]
    assert (await client.usergroups_list(include_users=True))["usergroups"][0]["users"] == ["U0ALICE"]
    assert (await client.usergroups_users_list(usergroup="S0OPS"))["users"] == ["U0ALICE"]
    assert (await client.bots_info(bot="B0LVSBOT"))["bot"]["app_id"] == "A0LVSBOT"
    assert (await refused(client.users_info(user="U0NOBODY")))["error"] == "user_not_found"
    assert (await refused(client.usergroups_users_list(usergroup="S0NONE")))["error"] == "no_such_subteam"
    assert (await refused(client.bots_info(bot="B0NONE")))["error"] == "bot_not_found"


# --- files ---


async def test_a_file_is_uploaded_and_shared(
    slack: StandIn, client: AsyncWebClient, http: aiohttp.ClientSession
) -> None:
    await client.files_upload_v2(
        channel=SITE, filename="report.txt", content="sv1 holds the VIP", initial_comment="the report"
    )
    (message,) = slack.messages(SITE)
    assert (message["text"], message["files"][0]["name"]) == ("the report", "report.txt")
    async with http.get(message["files"][0]["url_private"]) as answer:
        assert await answer.text() == "sv1 holds the VIP"
        assert answer.headers["Content-Disposition"] == "attachment"


async def test_an_upload_of_another_length_than_announced_is_refused(
    client: AsyncWebClient, http: aiohttp.ClientSession
) -> None:
    ticket = await client.files_getUploadURLExternal(filename="a.txt", length=3)
    async with http.post(ticket["upload_url"], data=b"four") as answer:
        assert answer.status == 400
    done = client.files_completeUploadExternal(files=[{"id": ticket["file_id"]}], channel_id=SITE)
    assert (await refused(done))["error"] == "file_not_found"


# --- the record ---


async def test_every_call_is_recorded_without_its_token(slack: StandIn, client: AsyncWebClient, clock: Clock) -> None:
    await client.chat_postMessage(channel=SITE, text="x")
    await refused(client.chat_postMessage(channel="C0NOWHERE", text="x"))
    first, second = slack.calls
    assert (first.method, first.args["text"], first.at, first.ok) == ("chat.postMessage", "x", clock.now, True)
    assert (second.ok, second.answer and second.answer["error"]) == (False, "channel_not_found")
    assert slack.bot_token not in repr(slack.calls)


async def test_a_workspace_can_be_made_to_measure() -> None:
    config = Config(channels=(ChannelSetup(id="C0OPS", name="ops", members=("U0ALICE",)),), bot_name="watchman")
    async with StandIn(config) as slack:
        client = client_of(slack)
        assert (await client.conversations_members(channel="C0OPS"))["members"] == ["U0ALICE", "U0LVSBOT"]
        assert (await client.auth_test())["user"] == "watchman"
