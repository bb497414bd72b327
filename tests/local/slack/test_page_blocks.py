"""The chat page: Block Kit, drawn and worked as Slack does, and modals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, WebSocketRoute, expect

from tests.local.slack.page_fixtures import (
    SITE,
    Desk,
    Json,
    actions,
    message,
    mrkdwn,
    open_browser,
    open_desk,
    option,
    plain,
)

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def desk(browser: Browser) -> AsyncIterator[Desk]:
    async with open_desk(browser) as opened:
        yield opened


CONFIRM = {
    "title": plain("Drain web1?"),
    "text": mrkdwn("On *sv1* and *sv2*."),
    "confirm": plain("Drain it"),
    "deny": plain("Leave it"),
    "style": "danger",
}
DRAIN = {"type": "button", "action_id": "drain", "text": plain("Drain web1"), "value": "web1", "style": "danger"}
OPTIONS = [option("sv1"), option("sv2")]


async def test_nothing_is_sent_until_the_confirmation_is_given(desk: Desk) -> None:
    ts = await desk.post(blocks=[{"type": "actions", "block_id": "b", "elements": [{**DRAIN, "confirm": CONFIRM}]}])
    async with desk.look() as page:
        button = message(page, ts).get_by_role("button", name="Drain web1")
        dialog = page.get_by_role("alertdialog", name="Drain web1?")
        await button.click()
        await expect(dialog).to_contain_text("On sv1 and sv2.")
        await expect(dialog.get_by_role("button", name="Leave it")).to_be_focused()
        await page.keyboard.press("Escape")
        await expect(dialog).to_have_count(0)
        await button.click()
        await dialog.get_by_role("button", name="Leave it").click()
        await expect(dialog).to_have_count(0)
        await expect(button).to_be_focused()
        await button.click()
        await dialog.get_by_role("button", name="Drain it").click()
        heard = await desk.heard_count(1)
        await expect(button).not_to_have_attribute("aria-busy", "true")
    (action,) = actions(heard)
    assert (action["action_id"], action["block_id"], action["value"]) == ("drain", "b", "web1")
    assert len(desk.heard) == 1


async def test_a_button_pressed_twice_before_the_answer_acts_once(desk: Desk) -> None:
    go_on = asyncio.Event()

    @desk.app.middleware
    async def slow(next_: Any) -> None:
        await go_on.wait()
        await next_()

    ts = await desk.post(blocks=[{"type": "actions", "elements": [DRAIN]}])
    async with desk.look() as page:
        button = message(page, ts).get_by_role("button", name="Drain web1")
        await button.dblclick()
        await expect(button).to_have_attribute("aria-busy", "true")
        go_on.set()
        await expect(button).not_to_have_attribute("aria-busy", "true")
    assert len(actions(desk.heard)) == 1


async def test_an_answer_that_never_comes_is_told_as_what_it_is(desk: Desk) -> None:
    ts = await desk.post(blocks=[{"type": "actions", "elements": [DRAIN]}])
    go_on = asyncio.Event()

    @desk.app.middleware
    async def stuck(next_: Any) -> None:
        await desk.hear({})
        await go_on.wait()
        await next_()

    relays: list[WebSocketRoute] = []

    def relay(route: WebSocketRoute) -> None:
        route.connect_to_server()
        relays.append(route)

    async with desk.look() as page:
        await page.route_web_socket(lambda url: "/ui" in url, relay)
        await page.reload()
        await message(page, ts).get_by_role("button", name="Drain web1").click()
        await desk.heard_count(1)
        await relays[-1].close()
        await expect(page.locator(".notice")).to_contain_text("It may have been done all the same")
        await expect(page.locator(".banner")).to_be_hidden()
        await expect(message(page, ts)).to_be_visible()
        go_on.set()
    assert len(relays) == 2


async def test_every_element_sends_what_was_chosen_and_the_state_of_all(desk: Desk) -> None:
    elements: list[Json] = [
        {"type": "static_select", "action_id": "select", "placeholder": plain("Director"), "options": OPTIONS},
        {"type": "radio_buttons", "action_id": "radio", "options": OPTIONS},
        {"type": "checkboxes", "action_id": "boxes", "options": OPTIONS, "initial_options": [OPTIONS[1]]},
        {"type": "datepicker", "action_id": "date", "initial_date": "2026-01-31"},
        {"type": "timepicker", "action_id": "time"},
        {"type": "overflow", "action_id": "more", "options": [option("mute"), option("status")]},
        {"type": "users_select", "action_id": "user", "placeholder": plain("Whom")},
    ]
    ts = await desk.post(blocks=[{"type": "actions", "block_id": "all", "elements": elements}])
    async with desk.look() as page:
        shown = message(page, ts)
        await shown.get_by_label("Director").select_option("sv2")
        await shown.get_by_role("radio", name="sv1").check()
        await shown.get_by_role("checkbox", name="sv1").check()
        await shown.locator('[data-action="date"]').fill("2026-02-01")
        await shown.locator('[data-action="time"]').fill("03:15")
        await shown.get_by_role("button", name="More actions").click()
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("Enter")
        await shown.get_by_label("Whom").select_option("U0CAROL")
        heard = await desk.heard_count(7)
    chosen = {a["action_id"]: a for a in actions(heard)}
    assert chosen["select"]["selected_option"]["value"] == "sv2"
    assert chosen["radio"]["selected_option"]["value"] == "sv1"
    assert [o["value"] for o in chosen["boxes"]["selected_options"]] == ["sv1", "sv2"]
    assert chosen["date"]["selected_date"] == "2026-02-01"
    assert chosen["time"]["selected_time"] == "03:15"
    assert chosen["more"]["selected_option"]["value"] == "status"
    assert chosen["user"]["selected_user"] == "U0CAROL"
    state = next(body for body in heard if actions([body])[0]["action_id"] == "user")["state"]["values"]["all"]
    assert state["select"]["selected_option"]["value"] == "sv2"
    assert state["date"]["selected_date"] == "2026-02-01"


async def test_a_choice_that_is_not_confirmed_is_taken_back(desk: Desk) -> None:
    select = {
        "type": "static_select",
        "action_id": "s",
        "placeholder": plain("Which"),
        "options": OPTIONS,
        "initial_option": OPTIONS[0],
        "confirm": CONFIRM,
    }
    ts = await desk.post(blocks=[{"type": "section", "text": mrkdwn("Which?"), "accessory": select}])
    async with desk.look() as page:
        field = message(page, ts).get_by_label("Which")
        await field.select_option("sv2")
        await page.get_by_role("button", name="Leave it").click()
        await expect(field).to_have_value("sv1")
    assert desk.heard == []


async def test_a_choice_survives_an_edit_of_another_block(desk: Desk) -> None:
    select = {"type": "static_select", "action_id": "s", "placeholder": plain("Which"), "options": OPTIONS}

    def blocks(text: str) -> list[Json]:
        return [{"type": "section", "text": mrkdwn(text)}, {"type": "actions", "elements": [select]}]

    ts = await desk.post(blocks=blocks("before"))
    async with desk.look() as page:
        field = message(page, ts).get_by_label("Which")
        await field.select_option("sv2")
        await desk.client.chat_update(channel=SITE, ts=ts, text="x", blocks=blocks("after"))
        await expect(message(page, ts)).to_contain_text("after")
        await expect(field).to_have_value("sv2")


async def test_every_block_is_drawn_as_what_it_is(desk: Desk) -> None:
    cell = {
        "type": "rich_text",
        "elements": [
            {"type": "rich_text_section", "elements": [{"type": "text", "text": "web1", "style": {"bold": True}}]}
        ],
    }
    rich = [
        {
            "type": "rich_text_list",
            "style": "ordered",
            "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": "first"}]}],
        },
        {"type": "rich_text_quote", "elements": [{"type": "text", "text": "quoted", "style": {"italic": True}}]},
        {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": "a  b"}]},
    ]
    ts = await desk.post(
        blocks=[
            {"type": "header", "text": plain("Failover :rotating_light:")},
            {"type": "section", "text": mrkdwn("*now* on sv2"), "fields": [mrkdwn("*Old*\nsv1"), mrkdwn("*New*\nsv2")]},
            {"type": "divider"},
            {"type": "context", "elements": [mrkdwn("incident 12")]},
            {
                "type": "image",
                "image_url": "data:image/gif;base64,R0lGODlhAQABAAAAACw=",
                "alt_text": "a graph",
                "title": plain("Load"),
            },
            {"type": "rich_text", "elements": rich},
            {
                "type": "table",
                "column_settings": [{}, {"align": "right"}],
                "rows": [
                    [{"type": "raw_text", "text": "Server"}, {"type": "raw_text", "text": "Weight"}],
                    [cell, {"type": "raw_text", "text": "0"}],
                ],
            },
            {"type": "markdown", "text": "## Heading\n- **bold** and `code`\n\n| a | b |\n|---|--:|\n| 1 | 2 |"},
            {
                "type": "actions",
                "elements": [
                    {"type": "button", "action_id": "u", "text": plain("Runbook"), "url": "https://example.net/"}
                ],
            },
        ],
    )
    async with desk.look() as page:
        shown = message(page, ts)
        await expect(shown.get_by_role("heading", name="Failover rotating_light")).to_contain_text("🚨")
        await expect(shown.locator(".fields .field-text")).to_have_text(["Oldsv1", "Newsv2"])
        await expect(shown.get_by_role("separator")).to_have_count(1)
        await expect(shown.locator(".block-context")).to_have_text("incident 12")
        await expect(shown.locator("figcaption")).to_have_text("Load")
        await expect(shown.locator("ol li")).to_have_text("first")
        await expect(shown.locator("blockquote em")).to_have_text("quoted")
        await expect(shown.locator(".block-rich_text pre")).to_have_text("a  b")
        await expect(shown.locator(".block-table th")).to_have_text(["Server", "Weight"])
        await expect(shown.locator(".block-table td strong")).to_have_text("web1")
        await expect(shown.locator(".block-table td.align-right")).to_have_text("0")
        await expect(shown.locator(".markdown td.align-right")).to_have_text("2")
        await expect(shown.locator(".markdown li strong")).to_have_text("bold")
        await expect(shown.get_by_role("link", name="Runbook")).to_have_attribute("rel", "noopener noreferrer")


async def test_attachments_have_their_colour_bar_and_may_hold_blocks(desk: Desk) -> None:
    section = {"type": "section", "text": mrkdwn("in a *block*")}
    ts = await desk.post(
        attachments=[{"color": "#2eb67d", "blocks": [section]}, {"color": "danger", "title": "T", "text": "*x*"}]
    )
    async with desk.look() as page:
        bars = message(page, ts).locator(".attachment")
        await expect(bars.nth(0)).to_contain_text("in a block")
        assert await bars.nth(0).evaluate("node => node.style.getPropertyValue('--bar')") == "#2eb67d"
        await expect(bars.nth(1).locator("strong")).to_have_text("x")


MRKDWN = {
    "*bold* _italic_ ~gone~ `code`": "<strong>bold</strong> <em>italic</em> <s>gone</s> <code>code</code>",
    "*bold _and italic_*": "<strong>bold <em>and italic</em></strong>",
    "a_name_like_this 2*3*4": "a_name_like_this 2*3*4",
    "(*bold*), *two words*!": "(<strong>bold</strong>), <strong>two words</strong>!",
    "* not bold * and *not\nbold*": "* not bold * and *not<br>bold*",
    "`*raw* <@U0BOB>`": '<code>*raw* <span class="mention">@bob</span></code>',
    "a &amp;lt; b &lt;c&gt; d": "a &amp;lt; b &lt;c&gt; d",
    "line\nline": "line<br>line",
    "```a\n  *b*```": '<pre class="code-block"><code>a<br>  *b*</code></pre>',
    "before\n```\nx\n```\nafter": 'before<pre class="code-block"><code>x</code></pre>after',
    "&gt; one\n&gt; two\nthree": "<blockquote>one<br>two</blockquote>three",
    "&gt;&gt;&gt;one\ntwo": "<blockquote>one<br>two</blockquote>",
    "<@U0BOB> <#C0SITE|old-name> <!here>": (
        '<span class="mention">@bob</span> <span class="mention">#lvs-site</span> <span class="mention">@here</span>'
    ),
    "<@U0ALICE>": '<span class="mention mention-me">@alice</span>',
    "<https://e.net/?a=1&amp;b=2|the *page*>": (
        '<a href="https://e.net/?a=1&amp;b=2" target="_blank" rel="noopener noreferrer">the *page*</a>'
    ),
    "see https://e.net/x.": (
        'see <a href="https://e.net/x" target="_blank" rel="noopener noreferrer">https://e.net/x</a>.'
    ),
    "<javascript:alert(1)|x>": '<span title="javascript:alert(1)">x</span>',
    ":warning: :no_such_emoji: 12:30:45": (
        '<span class="emoji" role="img" aria-label="warning" title=":warning:">⚠️</span> :no_such_emoji: 12:30:45'
    ),
    "<!date^1767225600^{date_num} {time_secs}|then>": "<time>2026-01-01 00:00:00</time>",
    "<!date^soon^{date}|then>": '<span class="mention">then</span>',
}


async def test_mrkdwn_reads_as_in_slack(desk: Desk) -> None:
    for text in MRKDWN:
        desk.slack.say("bob", SITE, text)
    async with desk.look() as page:
        await expect(page.locator(".conversation .message")).to_have_count(len(MRKDWN))
        # The tooltip is worded by the browser's own locale data, which differs between its versions.
        await page.locator(".message-text time").evaluate_all("nodes => nodes.forEach(n => n.removeAttribute('title'))")
        shown = await page.locator(".conversation .message-text").evaluate_all("nodes => nodes.map(n => n.innerHTML)")
    assert dict(zip(MRKDWN, shown, strict=True)) == MRKDWN
