"""The documentation's picture of an incident's life: a recorded journal, told by the announcer, seen in Chromium.

Run as ``python -m tests.pictures``. It replays what the bot's journal held when a director's plug was pulled in the lab
(tests/domain/journals/guest_killed.jsonl), stops three times, and puts what the chat page shows side by side. Its words
are kept beside it: where the bot would say it otherwise by now, a test says that the picture is old.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from playwright.async_api import Browser, Page

from bot.adapters.messenger import SlackMessenger
from bot.domain.deeds import deeds_of
from bot.domain.events import Actor, IncidentAcknowledged, Recorded, Via
from bot.flows.announcing import Announcer
from bot.flows.chronicle import Chronicle, World, fold
from bot.flows.ports import Entry
from bot.flows.projecting import projection
from bot.local.slack import StandIn
from bot.views.incident import incident_message, resolution_message
from tests.domain.journals import BEGAN, fleet, recording
from tests.flows.test_announcing import Clock, OldJournal
from tests.local.slack.page_fixtures import open_browser
from tests.views.slack import shown

RECORDING = "guest_killed"
PICTURE = Path(__file__).parent.parent / "docs" / "images" / "incident.png"
WORDS = PICTURE.with_suffix(".txt")
CHAPTERS = (("opened", 8.5), ("edited as the story grows", 30.0), ("resolved, with its thread", 3600.0))
ALICE = Actor(id="U0ALICE", name="alice", via=Via.SLACK)
TAKEN_AT = 20.0  # seconds after the plug was pulled: when somebody says that they are on it

SHEET = """<body style="margin:0;background:#fff;font:600 15px sans-serif;color:#444">
<div style="display:flex;gap:18px;padding:14px;align-items:flex-start">%s</div></body>"""
SHOT = """<div><div style="padding:0 0 6px 6px">%s</div>
<img style="width:500px;border:1px solid #ddd;border-radius:8px" src="data:image/png;base64,%s"></div>"""


def words() -> str:
    """What the picture shows, chapter by chapter, as the bot words it now."""
    told = []
    for name, seconds in CHAPTERS:
        world = World.of(fleet())
        for event in heard(BEGAN + timedelta(seconds=seconds)):
            fold(world, event, fleet())
        (incident,) = (i for i in world.incidents["site"].all if not i.withdrawn)
        messages = [incident_message(incident)]
        if not incident.open:
            messages.append(resolution_message(incident, deeds_of(incident, world.operations, world.mutes)))
        told.append("\n".join([f"== {name}", *(shown(message) for message in messages)]))
    return "\n".join(told) + "\n"


def heard(until: datetime) -> list[Recorded]:
    """What the journal has until then, with alice's word among it."""
    taken_at = BEGAN + timedelta(seconds=TAKEN_AT)
    world = World.of(fleet())
    heard: list[Recorded] = []
    for event in recording(RECORDING).events:
        if event.recorded_at > taken_at and not any(isinstance(e.event, IncidentAcknowledged) for e in heard):
            taken = IncidentAcknowledged(cluster="site", incident=world.incidents["site"].open[0].id, by=ALICE)
            heard.append(Recorded(sequence=len(heard) + 1, recorded_at=taken_at, at_source=taken_at, event=taken))
            fold(world, heard[-1], fleet())
        # As in the picture, whose journal takes what it is told to have been said just then.
        heard.append(replace(event, sequence=len(heard) + 1, at_source=event.recorded_at))
        fold(world, heard[-1], fleet())
    return [event for event in heard if event.recorded_at <= until]


async def tell(chronicle: Chronicle, events: Sequence[Recorded], clock: Clock, until: datetime) -> list[Recorded]:
    """Append those of *events* that came until then, and let it be that time; returns the rest."""
    rest = list(events)
    while rest and rest[0].recorded_at <= until:
        event = rest.pop(0)
        await chronicle.append(Entry(event=event.event, at_source=event.recorded_at))
    clock.at = until
    return rest


async def look(page: Page, thread: bool) -> bytes:
    """What the page shows of the incident: its message, or its thread."""
    if not thread:
        return await page.locator(".conversation [data-ts]").first.screenshot()
    await page.locator(".conversation [data-ts] .thread-link, .conversation [data-ts] [class*=repl]").first.click()
    await page.locator(".thread [data-ts]").nth(1).wait_for()
    return await page.locator(".thread .messages, .thread").first.screenshot()


async def main() -> None:
    """Make the picture."""
    journal, clock = OldJournal(), Clock(BEGAN - timedelta(minutes=5))
    async with StandIn() as slack, open_browser() as browser:
        chronicle = Chronicle(journal, fleet())
        messenger = SlackMessenger(slack.bot_token, slack.base_url)
        announcer = Announcer(
            chronicle, messenger, clock, projection({"site": "#lvs-site"}, lambda _op: None), again_s=0.05
        )
        running = asyncio.create_task(announcer.run())
        events: list[Recorded] = list(recording(RECORDING).events)
        shots = []
        try:
            for name, seconds in CHAPTERS:
                if seconds > TAKEN_AT and not any(isinstance(r.event, IncidentAcknowledged) for r in journal.lines):
                    events = await tell(chronicle, events, clock, BEGAN + timedelta(seconds=TAKEN_AT))
                    number = chronicle.world.incidents["site"].open[0].id
                    taken = IncidentAcknowledged(cluster="site", incident=number, by=ALICE)
                    await chronicle.append(Entry(event=taken, at_source=clock.at))
                events = await tell(chronicle, events, clock, BEGAN + timedelta(seconds=seconds))
                announcer.wake()
                await asyncio.sleep(3)
                shots.append((name, await shot(browser, slack.page_url, thread=name.startswith("resolved"))))
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await messenger.close()
        await compose(browser, shots)


async def shot(browser: Browser, url: str, *, thread: bool) -> bytes:
    """One look at the page."""
    # A window in which a message is as wide as in a picture that is read on a phone; the thread takes all of it.
    width = 760 if thread else 1000
    height = 1060 if thread else 900
    context = await browser.new_context(viewport={"width": width, "height": height}, locale="en-GB", timezone_id="UTC")
    page = await context.new_page()
    await page.goto(f"{url}?as=U0ALICE")
    await page.locator(".conversation [data-ts]").first.wait_for()
    try:
        return await look(page, thread)
    finally:
        await context.close()


async def compose(browser: Browser, shots: Sequence[tuple[str, bytes]]) -> None:
    """Put *shots* side by side and keep them as the documentation's picture."""
    page = await browser.new_page(viewport={"width": 1560, "height": 400})
    images = [SHOT % (name, base64.b64encode(data).decode()) for name, data in shots]
    await page.set_content(SHEET % "".join(images))
    await page.wait_for_timeout(300)
    await page.screenshot(path=str(PICTURE), full_page=True)
    WORDS.write_text(words())
    print(f"{PICTURE.name}: {PICTURE.stat().st_size // 1000} kB")


if __name__ == "__main__":
    asyncio.run(main())
