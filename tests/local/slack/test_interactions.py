"""Buttons, menus, modals and response URLs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from slack_bolt.async_app import AsyncAck, AsyncApp, AsyncRespond
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.local.slack import Kind, SlackError, StandIn
from tests.local.slack.conftest import REASON, Clock, app_for, button, modal, section, socket_mode

SITE = "C0SITE"
MENU = {
    "type": "actions",
    "block_id": "menu",
    "elements": [
        {
            "type": "static_select",
            "action_id": "director",
            "options": [
                {"text": {"type": "plain_text", "text": name}, "value": name.lower()} for name in ("SV1", "SV2")
            ],
        }
    ],
}


class Bolt:
    """A Bolt app that acknowledges everything, with the next answer to a modal, and keeps what it was sent."""

    def __init__(self, app: AsyncApp) -> None:
        self.app = app
        self.actions: list[dict[str, Any]] = []
        self.views: list[dict[str, Any]] = []
        self.answer: dict[str, Any] = {}
        app.action({"type": "block_actions", "action_id": "go"})(self.act)
        app.action("director")(self.act)
        app.view("why")(self.submitted)
        app.view_closed("why")(self.submitted)
        app.command("/lvs")(self.act)

    async def act(self, ack: AsyncAck, body: dict[str, Any], respond: AsyncRespond) -> None:
        await ack()
        self.actions.append(body)

    async def submitted(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack(**self.answer)
        self.views.append(body)


@pytest.fixture
async def bolt(slack: StandIn) -> AsyncIterator[Bolt]:
    made = Bolt(app_for(slack))
    async with socket_mode(slack, made.app):
        yield made


async def post(client: AsyncWebClient, *blocks: dict[str, Any]) -> str:
    ts: str = (await client.chat_postMessage(channel=SITE, text="x", blocks=list(blocks)))["ts"]
    return ts


async def respond(http: aiohttp.ClientSession, url: str, **body: Any) -> tuple[int, Any]:
    async with http.post(url, json=body) as answer:
        return answer.status, await answer.json()


async def opened(slack: StandIn, bolt: Bolt, client: AsyncWebClient, **more: Any) -> dict[str, Any]:
    """A modal that alice has before her."""
    await slack.click("alice", await post(client, button()), "go")
    await client.views_open(trigger_id=bolt.actions[-1]["trigger_id"], view=modal(REASON, **more))
    (view,) = slack.views("alice")
    return view


# --- elements ---


async def test_a_click_carries_who_where_what_and_the_whole_message(
    slack: StandIn, bolt: Bolt, client: AsyncWebClient
) -> None:
    ts = await post(client, button(value="web1", style="danger"))
    assert (await slack.click("alice", ts, "go")).ok
    (body,) = bolt.actions
    assert (body["user"]["id"], body["channel"]["id"], body["message"]["ts"]) == ("U0ALICE", SITE, ts)
    assert body["container"] == {"type": "message", "message_ts": ts, "channel_id": SITE, "is_ephemeral": False}
    (action,) = body["actions"]
    assert {k: action[k] for k in ("type", "action_id", "block_id", "value", "style")} == {
        "type": "button", "action_id": "go", "block_id": "row", "value": "web1", "style": "danger",
    }  # fmt: skip


async def test_a_choice_carries_the_option_that_the_app_offered(
    slack: StandIn, bolt: Bolt, client: AsyncWebClient
) -> None:
    ts = await post(client, MENU)
    await slack.click("alice", ts, "director", value="sv2")
    assert bolt.actions[0]["actions"][0]["selected_option"]["text"]["text"] == "SV2"
    with pytest.raises(SlackError, match="'sv9' was not offered"):
        await slack.click("alice", ts, "director", value="sv9")
    with pytest.raises(SlackError, match="action_not_found"):
        await slack.click("alice", ts, "nothing")


async def test_an_ephemeral_message_is_clicked_by_its_person_only_and_not_handed_back(
    slack: StandIn, bolt: Bolt, client: AsyncWebClient
) -> None:
    told = await client.chat_postEphemeral(channel=SITE, user="U0ALICE", text="x", blocks=[button()])
    await slack.click("alice", told["message_ts"], "go")
    assert bolt.actions[0]["container"]["is_ephemeral"] is True
    assert "message" not in bolt.actions[0]
    with pytest.raises(SlackError, match="message_not_found"):
        await slack.click("bob", told["message_ts"], "go")


async def test_a_click_that_the_app_does_not_take_is_told_to_the_person(slack: StandIn, client: AsyncWebClient) -> None:
    notices: list[Any] = []
    slack.on_change(lambda change: notices.append(change) if change.kind == "notice" else None)
    assert not (await slack.click("alice", await post(client, button()), "go")).ok
    assert [(n.to, n.data["text"]) for n in notices] == [("U0ALICE", 'The app did not respond: "dispatch_failed"')]


# --- response URLs ---


async def test_a_response_url_answers_the_person_or_the_channel(
    slack: StandIn, bolt: Bolt, http: aiohttp.ClientSession
) -> None:
    await slack.command("alice", SITE, "/lvs status")
    url = bolt.actions[0]["response_url"]
    assert await respond(http, url, text="just you") == (200, {"ok": True})
    assert await respond(http, url, text="everybody", response_type="in_channel") == (200, {"ok": True})
    assert [m["text"] for m in slack.ephemerals("alice")] == ["just you"]
    assert [m["text"] for m in slack.messages(SITE)] == ["everybody"]


async def test_a_response_url_is_good_five_times(slack: StandIn, bolt: Bolt, http: aiohttp.ClientSession) -> None:
    await slack.command("alice", SITE, "/lvs status")
    url = bolt.actions[0]["response_url"]
    statuses = [(await respond(http, url, text=str(n)))[0] for n in range(6)]
    assert statuses == [200] * 5 + [404]
    assert (await respond(http, url, text="x"))[1]["error"] == "used_url"
    assert (await respond(http, f"{url}x", text="x"))[1]["error"] == "invalid_url"


async def test_a_response_url_is_good_for_thirty_minutes(
    slack: StandIn, bolt: Bolt, http: aiohttp.ClientSession, clock: Clock
) -> None:
    await slack.command("alice", SITE, "/lvs status")
    url = bolt.actions[0]["response_url"]
    clock.now += 1800
    assert (await respond(http, url, text="x"))[0] == 200
    clock.now += 1
    assert await respond(http, url, text="x") == (404, {"ok": False, "error": "expired_url"})


async def test_a_response_url_refuses_what_a_message_may_not_be(
    slack: StandIn, bolt: Bolt, http: aiohttp.ClientSession
) -> None:
    await slack.command("alice", SITE, "/lvs status")
    url = bolt.actions[0]["response_url"]
    assert (await respond(http, url))[1]["error"] == "no_text"
    assert (await respond(http, url, text="x", blocks=[section("")]))[1]["error"] == "invalid_blocks"
    for body in ("[]", "{"):
        async with http.post(url, data=body) as answer:
            assert (answer.status, (await answer.json())["error"]) == (400, "invalid_payload")
    assert slack.ephemerals("alice") == []


async def test_a_clicked_message_is_replaced_or_deleted(
    slack: StandIn, bolt: Bolt, client: AsyncWebClient, http: aiohttp.ClientSession
) -> None:
    await slack.click("alice", await post(client, button()), "go")
    url = bolt.actions[0]["response_url"]
    await respond(http, url, text="done", replace_original=True)
    (message,) = slack.messages(SITE)
    assert (message["text"], "blocks" in message) == ("done", False)
    await respond(http, url, delete_original=True)
    assert slack.messages(SITE) == []


async def test_a_clicked_ephemeral_message_is_replaced_or_deleted(
    slack: StandIn, bolt: Bolt, client: AsyncWebClient, http: aiohttp.ClientSession
) -> None:
    told = await client.chat_postEphemeral(channel=SITE, user="U0ALICE", text="sure?", blocks=[button()])
    await slack.click("alice", told["message_ts"], "go")
    url = bolt.actions[0]["response_url"]
    await respond(http, url, text="working on it", replace_original=True)
    (message,) = slack.ephemerals("alice")
    assert (message["text"], message["ts"], "blocks" in message) == ("working on it", told["message_ts"], False)
    await respond(http, url, delete_original=True)
    assert slack.ephemerals("alice") == []


async def test_a_command_has_no_original_to_delete(slack: StandIn, bolt: Bolt, http: aiohttp.ClientSession) -> None:
    await slack.command("alice", SITE, "/lvs status")
    status, answer = await respond(http, bolt.actions[0]["response_url"], delete_original=True)
    assert (status, answer["error"]) == (400, "no_original_message")


# --- modals ---


async def test_a_modal_is_submitted_with_what_was_entered_and_closes(
    slack: StandIn, bolt: Bolt, client: AsyncWebClient
) -> None:
    view = await opened(slack, bolt, client, private_metadata="web1")
    await slack.submit("alice", view["id"], {"text": "kernel update"})
    assert slack.views("alice") == []
    (body,) = bolt.views
    assert body["view"]["private_metadata"] == "web1"
    assert body["view"]["state"]["values"] == {
        "reason": {"text": {"type": "plain_text_input", "value": "kernel update"}}
    }


async def test_a_required_input_left_empty_never_reaches_the_app(
    slack: StandIn, bolt: Bolt, client: AsyncWebClient
) -> None:
    view = await opened(slack, bolt, client)
    shown: list[Any] = []
    slack.on_change(lambda change: shown.append(change) if change.kind == "view_errors" else None)
    assert await slack.submit("alice", view["id"], {}) is None
    assert (bolt.views, len(slack.views("alice"))) == ([], 1)
    assert shown[0].data["errors"] == {"reason": "Please complete this required field."}


async def test_a_modal_answers_with_errors_another_view_one_on_top_or_none(
    slack: StandIn, bolt: Bolt, client: AsyncWebClient
) -> None:
    view = await opened(slack, bolt, client)
    shown: list[Any] = []
    slack.on_change(lambda change: shown.append(change.data["errors"]) if change.kind == "view_errors" else None)

    async def submit(**answer: Any) -> list[dict[str, Any]]:
        bolt.answer = answer
        await slack.submit("alice", slack.views("alice")[-1]["id"], {"text": "why not"})
        return slack.views("alice")

    assert len(await submit(response_action="errors", errors={"reason": "Too short."})) == 1
    assert shown == [{"reason": "Too short."}]
    (updated,) = await submit(response_action="update", view=modal(REASON, private_metadata="2"))
    assert (updated["id"], updated["private_metadata"]) == (view["id"], "2")
    pushed = await submit(response_action="push", view=modal(REASON))
    assert pushed[1]["previous_view_id"] == pushed[0]["id"] == pushed[1]["root_view_id"]
    assert len(await submit()) == 1
    assert await submit(response_action="clear") == []


async def test_an_answer_that_slack_cannot_use_leaves_the_modal_with_its_trouble(
    slack: StandIn, bolt: Bolt, client: AsyncWebClient
) -> None:
    view = await opened(slack, bolt, client)
    shown: list[Any] = []
    slack.on_change(lambda change: shown.append(change.data["errors"]) if change.kind == "view_errors" else None)
    for answer in (
        {"errors": {"nowhere": "x"}, "response_action": "errors"},
        {"response_action": "update", "view": {}},
    ):
        bolt.answer = answer
        await slack.submit("alice", view["id"], {"text": "why not"})
    assert [list(errors) for errors in shown] == [["*"], ["*"]]
    assert len(slack.views("alice")) == 1


async def test_an_app_that_is_away_leaves_the_modal_open(slack: StandIn, client: AsyncWebClient) -> None:
    bolt = Bolt(app_for(slack))
    async with socket_mode(slack, bolt.app):
        view = await opened(slack, bolt, client)
    await slack.wait_for(lambda: not slack.connected)
    ack = await slack.submit("alice", view["id"], {"text": "x"})
    assert ack is not None and not ack.ok
    assert len(slack.views("alice")) == 1


async def test_closing_a_modal_is_told_if_the_app_asked_for_it(
    slack: StandIn, bolt: Bolt, client: AsyncWebClient
) -> None:
    quiet = await opened(slack, bolt, client)
    await slack.close_view("alice", quiet["id"])
    told = await opened(slack, bolt, client, notify_on_close=True)
    await slack.close_view("alice", told["id"])
    assert slack.views("alice") == []
    closed = [d.payload for d in slack.deliveries if d.payload.get("type") == "view_closed"]
    assert [(p["view"]["id"], p["is_cleared"]) for p in closed] == [(told["id"], False)]


async def refused(call: Any) -> str:
    with pytest.raises(SlackApiError) as error:
        await call
    return str(error.value.response["error"])


async def test_a_trigger_opens_one_view_within_three_seconds(
    slack: StandIn, bolt: Bolt, client: AsyncWebClient, clock: Clock
) -> None:
    ts = await post(client, button())
    await slack.click("alice", ts, "go")
    trigger = bolt.actions[-1]["trigger_id"]
    await client.views_open(trigger_id=trigger, view=modal(REASON))
    assert await refused(client.views_open(trigger_id=trigger, view=modal(REASON))) == "exchanged_trigger_id"
    assert await refused(client.views_open(trigger_id="1.2.3", view=modal(REASON))) == "invalid_trigger_id"
    await slack.click("alice", ts, "go")
    clock.now += 3.1
    late = client.views_open(trigger_id=bolt.actions[-1]["trigger_id"], view=modal(REASON))
    assert await refused(late) == "expired_trigger_id"


async def test_at_most_three_modals_lie_on_top_of_each_other(
    slack: StandIn, bolt: Bolt, client: AsyncWebClient
) -> None:
    await opened(slack, bolt, client)
    for expected in (2, 3):
        await slack.command("alice", SITE, "/lvs")
        await client.views_push(trigger_id=bolt.actions[-1]["trigger_id"], view=modal(REASON))
        assert len(slack.views("alice")) == expected
    await slack.command("alice", SITE, "/lvs")
    fourth = client.views_push(trigger_id=bolt.actions[-1]["trigger_id"], view=modal(REASON))
    assert await refused(fourth) == "push_limit_reached"


async def test_a_view_is_updated_by_its_ids_unless_it_changed_meanwhile(
    slack: StandIn, bolt: Bolt, client: AsyncWebClient
) -> None:
    view = await opened(slack, bolt, client, external_id="drain-web1")
    await client.views_update(external_id="drain-web1", hash=view["hash"], view=modal(REASON, private_metadata="1"))
    stale = client.views_update(view_id=view["id"], hash=view["hash"], view=modal(REASON))
    assert await refused(stale) == "hash_conflict"
    assert await refused(client.views_update(view_id="V0", view=modal(REASON))) == "not_found"
    assert slack.views("alice")[0]["private_metadata"] == "1"


async def test_an_external_id_belongs_to_one_open_view(slack: StandIn, bolt: Bolt, client: AsyncWebClient) -> None:
    await opened(slack, bolt, client, external_id="drain-web1")
    await slack.command("alice", SITE, "/lvs")
    twice = client.views_push(trigger_id=bolt.actions[-1]["trigger_id"], view=modal(REASON, external_id="drain-web1"))
    assert await refused(twice) == "duplicate_external_id"


async def test_a_bad_view_is_refused_with_a_pointer(slack: StandIn, bolt: Bolt, client: AsyncWebClient) -> None:
    await slack.command("alice", SITE, "/lvs")
    with pytest.raises(SlackApiError) as error:
        await client.views_open(trigger_id=bolt.actions[-1]["trigger_id"], view=modal(section("")))
    assert error.value.response["error"] == "invalid_arguments"
    assert "/view/blocks/0/text/text" in error.value.response["response_metadata"]["messages"][0]


async def test_app_home_is_published_for_one_person_and_its_buttons_work(
    slack: StandIn, bolt: Bolt, client: AsyncWebClient
) -> None:
    await client.views_publish(user_id="U0BOB", view={"type": "home", "blocks": [section("all is well"), button()]})
    home = slack.home("bob")
    assert home is not None and home["blocks"][0]["text"]["text"] == "all is well"
    assert slack.home("alice") is None
    await slack.click_in_view("bob", home["id"], "go")
    assert bolt.actions[0]["view"]["id"] == home["id"]
    assert (
        await refused(client.views_publish(user_id="U0NOBODY", view={"type": "home", "blocks": []})) == "user_not_found"
    )


async def test_a_person_acts_only_where_they_are_a_member(slack: StandIn, client: AsyncWebClient) -> None:
    with pytest.raises(SlackError, match="not_in_channel"):
        await slack.command("alice", "D0BOB", "/lvs status")
    assert [d for d in slack.deliveries if d.kind is Kind.COMMAND] == []
