"""The chat page: modals, and that everything in it can be named."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.local.slack.page_fixtures import Desk, Json, message, mrkdwn, open_browser, open_desk, option, plain

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def desk(browser: Browser) -> AsyncIterator[Desk]:
    async with open_desk(browser) as opened:
        yield opened


OPTIONS = [option("sv1"), option("sv2")]
WHY = {
    "type": "input",
    "block_id": "why",
    "label": plain("Reason"),
    "hint": plain("Everybody sees it."),
    "element": {"type": "plain_text_input", "action_id": "text", "max_length": 60},
}
WHERE = {
    "type": "input",
    "block_id": "where",
    "label": plain("Director"),
    "element": {"type": "static_select", "action_id": "pick", "options": OPTIONS},
}
HOW = {
    "type": "input",
    "block_id": "how",
    "optional": True,
    "label": plain("Also"),
    "element": {"type": "checkboxes", "action_id": "boxes", "options": OPTIONS},
}
MODAL = {
    "type": "modal",
    "callback_id": "plan",
    "title": plain("Schedule a drain"),
    "submit": plain("Schedule"),
    "notify_on_close": True,
    "blocks": [WHY, WHERE, HOW],
}


BUTTON = {"type": "button", "action_id": "drain", "text": plain("Drain web1")}


async def opened(desk: Desk, page: Page) -> None:
    """Have the app open MODAL for the person at *page*."""
    await page.get_by_role("combobox", name="Message").fill("/lvs plan")
    await page.keyboard.press("Enter")
    (heard,) = await desk.heard_count(1)
    await desk.client.views_open(trigger_id=heard["trigger_id"], view=MODAL)
    await expect(page.get_by_role("dialog", name="Schedule a drain")).to_be_visible()


async def test_a_modal_asks_for_what_is_missing_and_then_sends_everything(desk: Desk) -> None:
    submitted: list[Json] = []

    @desk.app.view("plan")
    async def plan(ack: Any, body: Json) -> None:
        submitted.append(body["view"]["state"]["values"])
        if len(submitted) == 1:
            await ack(response_action="errors", errors={"why": "That is no reason."})
        else:
            await ack()

    async with desk.look() as page:
        await opened(desk, page)
        dialog = page.get_by_role("dialog", name="Schedule a drain")
        await expect(dialog.get_by_label("Reason")).to_be_focused()
        await dialog.get_by_role("button", name="Schedule").click()
        await expect(dialog.get_by_text("Please complete this required field.")).to_have_count(2)
        assert submitted == []
        await dialog.get_by_label("Reason").fill("because")
        await dialog.get_by_label("Director").select_option("sv1")
        await dialog.get_by_role("checkbox", name="sv2").check()
        await dialog.get_by_role("button", name="Schedule").click()
        await expect(dialog.get_by_role("alert").filter(visible=True)).to_have_text("That is no reason.")
        await expect(dialog.get_by_label("Reason")).to_be_focused()
        await dialog.get_by_label("Reason").fill("kernel update")
        await page.keyboard.press("Enter")
        await expect(dialog).to_have_count(0)
    values = submitted[-1]
    assert values["why"]["text"]["value"] == "kernel update"
    assert values["where"]["pick"]["selected_option"]["value"] == "sv1"
    assert [o["value"] for o in values["how"]["boxes"]["selected_options"]] == ["sv2"]


async def test_escape_closes_a_modal_and_the_app_is_told(desk: Desk) -> None:
    async with desk.look() as page:
        await opened(desk, page)
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        heard = await desk.heard_count(2)
        assert heard[1]["type"] == "view_closed"
        assert desk.slack.views("alice") == []


async def test_an_updated_modal_keeps_what_was_typed_and_a_reload_keeps_the_modal(desk: Desk) -> None:
    async with desk.look() as page:
        await opened(desk, page)
        await page.get_by_label("Reason").fill("half a sen")
        (view,) = desk.slack.views("alice")
        hint = {**WHY, "hint": plain("Keep it short.")}
        changed = {**MODAL, "blocks": [{"type": "section", "text": mrkdwn("*Note*")}, hint, WHERE]}
        await desk.client.views_update(view_id=view["id"], view=changed)
        await expect(page.get_by_role("dialog")).to_contain_text("Keep it short.")
        await expect(page.get_by_label("Reason")).to_have_value("half a sen")
        await page.reload()
        await expect(page.get_by_role("dialog", name="Schedule a drain")).to_contain_text("Keep it short.")


async def test_everything_that_can_be_pressed_has_a_name(desk: Desk) -> None:
    ts = await desk.post(blocks=[{"type": "actions", "elements": [BUTTON, {"type": "datepicker", "action_id": "d"}]}])
    async with desk.look() as page:
        await message(page, ts).hover()
        await message(page, ts).get_by_role("button", name="Reply in thread").click()
        await opened(desk, page)
        nameless = await page.evaluate(
            """() => [...document.querySelectorAll('button, input, select, textarea, a, [role=dialog], [role=log]')]
              .filter(n => !(n.textContent.trim() || n.ariaLabel || n.labels?.length
                || n.hasAttribute('aria-labelledby')))
              .map(n => n.outerHTML)"""
        )
    assert nameless == []
