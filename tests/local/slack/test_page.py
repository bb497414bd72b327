"""The chat page: the conversation, its people, and what happens when something is not there."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.local.slack.page_fixtures import GENERAL, PHONE, SITE, Desk, message, mrkdwn, open_browser, open_desk, plain

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def desk(browser: Browser) -> AsyncIterator[Desk]:
    async with open_desk(browser) as opened:
        yield opened


HOSTILE = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>"
ESCAPED = HOSTILE.replace("<", "&lt;").replace(">", "&gt;")


async def test_nothing_that_a_message_says_becomes_markup(desk: Desk) -> None:
    rich = {
        "type": "rich_text_section",
        "elements": [
            {"type": "text", "text": HOSTILE},
            {"type": "link", "url": "javascript:window.hacked=1", "text": "rich"},
        ],
    }
    await desk.post(HOSTILE)
    await desk.post(ESCAPED)
    await desk.post("<javascript:window.hacked=1|press me> <data:text/html,hi|me too>")
    await desk.post(
        blocks=[
            {"type": "header", "text": plain(HOSTILE)},
            {"type": "section", "text": mrkdwn(ESCAPED), "fields": [mrkdwn(f"*{ESCAPED}*"), plain(HOSTILE)]},
            {"type": "markdown", "text": f"# {HOSTILE}\n[md](javascript:window.hacked=1)\n```\n{HOSTILE}\n```"},
            {"type": "rich_text", "elements": [rich]},
            {"type": "table", "rows": [[{"type": "raw_text", "text": HOSTILE}]]},
        ],
        attachments=[
            {
                "title": HOSTILE,
                "title_link": "javascript:window.hacked=1",
                "text": ESCAPED,
                "fields": [{"title": HOSTILE, "value": ESCAPED}],
            }
        ],
    )
    async with desk.look() as page:
        shown = page.locator(".conversation .messages")
        await expect(shown.locator("article")).to_have_count(4)
        assert await shown.locator("script, img, iframe, [onerror]").count() == 0
        assert await shown.locator('a[href^="javascript"], a[href^="data"]').count() == 0
        assert await page.evaluate("window.hacked") is None
        await expect(shown.locator("article").nth(1)).to_contain_text(HOSTILE)
        await expect(shown.locator(".block-header")).to_have_text(HOSTILE)


async def test_the_browser_itself_refuses_to_parse_text_as_markup_here(desk: Desk) -> None:
    async with desk.look() as page:
        refused = await page.evaluate(
            "() => { try { document.body.innerHTML = '<b>x</b>'; return false } catch (e) { return e.name } }"
        )
        assert refused == "TypeError"


async def test_a_message_arrives_by_itself_and_elsewhere_it_is_counted_as_unread(desk: Desk) -> None:
    async with desk.look() as page:
        await desk.post("sv1 is MASTER")
        await expect(page.get_by_role("log", name="Messages")).to_contain_text("sv1 is MASTER")
        desk.slack.say("carol", GENERAL, "lunch?")
        general = page.get_by_role("button", name="general, 1 unread")
        await expect(general).to_be_visible()
        await general.click()
        await expect(page.get_by_role("heading", name="#general").first).to_be_visible()
        await expect(page.get_by_role("button", name="general", exact=True)).to_have_attribute("aria-current", "page")


async def test_what_arrived_while_one_was_away_is_marked_as_new_and_what_one_saw_arrive_is_not(desk: Desk) -> None:
    desk.slack.say("bob", SITE, "before")
    async with desk.look() as page:
        await expect(page.locator(".conversation .message")).to_have_count(1)
        desk.slack.say("bob", SITE, "seen")
        await expect(page.locator(".conversation .message")).to_have_count(2)
        await page.get_by_role("button", name="general").click()
        desk.slack.say("bob", SITE, "missed")
        await page.get_by_role("button", name="lvs-site, 1 unread").click()
        shown = page.locator(".conversation .messages > :is(.mark-new, .message)")
        await expect(shown).to_contain_text(["before", "seen", "New", "missed"])


async def test_an_edit_marks_the_message_and_leaves_a_press_under_way_and_the_focus_alone(desk: Desk) -> None:
    def blocks(left: int) -> list[dict[str, object]]:
        button = {"type": "button", "action_id": "stop", "text": plain("Stop the drain")}
        return [
            {"type": "section", "text": mrkdwn(f"*{left}* connections left")},
            {"type": "actions", "elements": [button]},
        ]

    ts = await desk.post(blocks=blocks(14))
    async with desk.look() as page:
        button = message(page, ts).get_by_role("button", name="Stop the drain")
        await button.hover()
        await page.mouse.down()
        await desk.client.chat_update(channel=SITE, ts=ts, text="drain", blocks=blocks(13))
        await expect(message(page, ts)).to_contain_text("13 connections left")
        await expect(message(page, ts)).to_contain_text("(edited)")
        await page.mouse.up()
        (heard,) = await desk.heard_count(1)
        assert heard["actions"][0]["action_id"] == "stop"
        await expect(button).to_be_focused()


async def test_live_edits_above_do_not_move_what_one_reads(desk: Desk) -> None:
    first = await desk.post("short")
    for number in range(60):
        desk.slack.say("bob", SITE, f"line {number}")
    async with desk.look() as page:
        read = page.locator(".conversation .message", has_text="line 30")
        await expect(page.get_by_text("line 59")).to_be_in_viewport()
        await read.evaluate("node => node.scrollIntoView({block: 'center'})")
        await expect(page.locator(".conversation .scroller")).not_to_have_js_property("scrollTop", 0)
        before = await read.bounding_box()
        await desk.client.chat_update(channel=SITE, ts=first, text="a\nlong\nmessage\nnow")
        await expect(message(page, first)).to_contain_text("long")
        after = await read.bounding_box()
        assert before is not None
        assert after is not None
        assert abs(after["y"] - before["y"]) < 2


async def test_whoever_reads_further_up_is_offered_the_way_to_new_messages(desk: Desk) -> None:
    for number in range(60):
        desk.slack.say("bob", SITE, f"line {number}")
    async with desk.look() as page:
        scroller = page.locator(".conversation .scroller")
        await expect(page.get_by_text("line 59")).to_be_in_viewport()
        await scroller.evaluate("node => { node.scrollTop = 0 }")
        await expect(scroller).to_have_js_property("scrollTop", 0)
        await desk.post("the newest")
        await page.get_by_role("button", name="New messages").click()
        await expect(page.get_by_text("the newest")).to_be_in_viewport()


async def test_replies_stand_in_their_thread_and_not_in_the_channel(desk: Desk) -> None:
    ts = await desk.post("who is on call?")
    async with desk.look() as page:
        await message(page, ts).hover()
        await message(page, ts).get_by_role("button", name="Reply in thread").click()
        thread = page.get_by_role("region", name="Thread")
        await thread.get_by_label("Reply…").fill("me")
        await page.keyboard.press("Enter")
        await expect(thread.get_by_role("article")).to_have_count(2)
        await expect(message(page, ts).get_by_role("button", name="1 reply")).to_be_visible()
        await expect(page.locator(".conversation .message")).to_have_count(1)
        await page.keyboard.press("Escape")
        await expect(thread).to_be_hidden()


async def test_an_ephemeral_message_is_seen_by_its_person_alone(desk: Desk) -> None:
    await desk.post("for all")
    await desk.client.chat_postEphemeral(channel=SITE, user="U0ALICE", text="for alice")
    async with desk.look("U0ALICE") as alice, desk.look("U0BOB") as bob:
        await expect(alice.locator(".ephemeral")).to_contain_text("Only visible to you")
        await expect(alice.locator(".ephemeral")).to_contain_text("for alice")
        await expect(bob.get_by_text("for all")).to_be_visible()
        assert await bob.get_by_text("for alice").count() == 0


async def test_app_home_is_shown_with_the_direct_messages(desk: Desk) -> None:
    view = {"type": "home", "blocks": [{"type": "section", "text": mrkdwn("*All quiet* at site")}]}
    await desk.client.views_publish(user_id="U0ALICE", view=view)
    async with desk.look() as page:
        await page.get_by_role("button", name="lvsbot").click()
        await expect(page.locator(".intro strong")).to_have_text("All quiet")
        await desk.client.chat_postMessage(channel="U0ALICE", text="psst")
        await expect(page.locator(".conversation .message")).to_contain_text("psst")


async def test_one_can_act_as_somebody_else(desk: Desk) -> None:
    async with desk.look() as page:
        await page.get_by_text("Bob Baker").click()
        await expect(page.get_by_role("radio", name="Bob Baker")).to_be_checked()
        await page.get_by_role("combobox", name="Message #lvs-site").fill("hi @alice & <all>")
        await page.keyboard.press("Enter")
        await expect(page.locator(".conversation .message")).to_contain_text("hi @alice & <all>")
    (said,) = desk.slack.messages(SITE)
    assert (said["user"], said["text"]) == ("U0BOB", "hi <@U0ALICE> &amp; &lt;all&gt;")


async def test_a_slash_command_is_completed_sent_and_remembered(desk: Desk) -> None:
    async with desk.look() as page:
        field = page.get_by_role("combobox", name="Message #lvs-site")
        await field.press_sequentially("/l")
        await expect(page.get_by_role("option")).to_have_count(1)
        await page.keyboard.press("Enter")
        await expect(field).to_have_value("/lvs ")
        await expect(page.get_by_role("option")).to_have_count(4)
        await expect(page.get_by_role("option").last).to_contain_text("[open|24h] [cluster]")
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("Tab")
        await expect(field).to_have_value("/lvs drain ")
        await field.press_sequentially("web1")
        await page.keyboard.press("Enter")
        (heard,) = await desk.heard_count(1)
        assert (heard["command"], heard["text"], heard["user_id"]) == ("/lvs", "drain web1", "U0ALICE")
        await expect(field).to_have_value("")
        await expect(page.locator(".running")).to_have_count(0)
        await page.keyboard.press("ArrowUp")
        await expect(field).to_have_value("/lvs drain web1")
        await page.keyboard.press("ArrowDown")
        await expect(field).to_have_value("")


async def test_slash_commands_are_refused_in_threads_as_in_slack(desk: Desk) -> None:
    ts = await desk.post("a parent")
    async with desk.look() as page:
        await message(page, ts).hover()
        await message(page, ts).get_by_role("button", name="Reply in thread").click()
        await page.get_by_label("Reply…").fill("/lvs status")
        await page.keyboard.press("Enter")
        await expect(page.locator(".conversation .notice")).to_contain_text("/lvs is not supported in threads. Sorry!")
        await expect(page.get_by_label("Reply…")).to_have_value("/lvs status")
    assert desk.heard == []


async def test_while_the_bot_is_away_the_page_says_so_and_a_command_fails_as_in_slack(desk: Desk) -> None:
    async with desk.look() as page:
        banner = page.get_by_text("The bot is not connected")
        await expect(banner).to_be_hidden()
        await desk.handler.close_async()  # type: ignore[no-untyped-call]
        await expect(banner).to_be_visible()
        await page.get_by_role("combobox").fill("/lvs status")
        await page.keyboard.press("Enter")
        await expect(page.locator(".notice")).to_contain_text('/lvs failed with the error "dispatch_failed"')


async def test_without_the_stand_in_nothing_is_sent_later_and_the_text_stays(desk: Desk) -> None:
    async with desk.look() as page:
        await expect(page.locator(".person-me")).to_contain_text("Alice")
        await desk.slack.__aexit__(None, None, None)
        await expect(page.get_by_text("No connection to the stand-in")).to_be_visible()
        field = page.get_by_role("combobox")
        await field.fill("/lvs drain web1")
        await page.keyboard.press("Enter")
        await page.keyboard.press("Enter")
        await expect(page.locator(".notice").first).to_contain_text("Not sent")
        await expect(field).to_have_value("/lvs drain web1")


async def test_on_a_phone_one_pane_shows_at_a_time_and_nothing_sticks_out(desk: Desk) -> None:
    ts = await desk.post(
        blocks=[
            {"type": "section", "text": mrkdwn("word" * 60)},
            {
                "type": "table",
                "rows": [[{"type": "raw_text", "text": "x" * 90}, {"type": "raw_text", "text": "y" * 90}]],
            },
            {"type": "actions", "elements": [{"type": "button", "action_id": "go", "text": plain("Drain web1")}]},
        ]
    )
    async with desk.look(viewport=PHONE, has_touch=True, is_mobile=True) as page:
        button = await message(page, ts).get_by_role("button", name="Drain web1").bounding_box()
        assert button is not None
        assert button["height"] >= 44
        assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        await expect(page.get_by_role("navigation")).to_be_hidden()
        await page.get_by_role("button", name="Channels and people").tap()
        await page.get_by_role("button", name="general").tap()
        await expect(page.get_by_role("navigation")).to_be_hidden()
        await expect(page.get_by_role("heading", name="#general").first).to_be_visible()
        await page.get_by_role("button", name="Lab switches").tap()
        await expect(page.get_by_role("button", name="Stop keepalived")).to_be_in_viewport()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("button", name="Stop keepalived")).to_be_hidden()


async def test_a_switch_of_the_panel_is_busy_until_it_is_done_and_lights_follow(desk: Desk) -> None:
    async with desk.look() as page:
        sv1 = page.get_by_role("region", name="sv1")
        stop = sv1.get_by_role("button", name="Stop keepalived")
        await expect(sv1.locator(".state-ok")).to_contain_text("MASTER")
        await expect(page.get_by_role("region", name="sv2").locator(".state-danger")).to_contain_text("failed")
        await stop.click()
        await expect(stop).to_have_attribute("aria-busy", "true")
        await stop.click()
        desk.switches.lines[0] = {**desk.switches.lines[0], "detail": "inactive", "danger": True}
        desk.switches.go_on.set()
        await expect(stop).to_have_attribute("aria-busy", "false")
        await expect(sv1.locator(".state-danger")).to_contain_text("inactive")
    assert desk.switches.pressed == ["sv1.stop"]


async def test_a_switch_that_fails_says_why_and_can_be_pressed_again(desk: Desk) -> None:
    async with desk.look() as page:
        switch = page.get_by_role("button", name="Break")
        await switch.click()
        await expect(page.locator(".notice")).to_contain_text("the switch came off")
        await expect(switch).to_have_attribute("aria-busy", "false")
        await switch.click()
        await expect(page.locator(".notice")).to_have_count(2)
