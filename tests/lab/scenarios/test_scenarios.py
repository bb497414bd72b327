"""Each scenario is told as exactly the stories that it is: by an undisturbed bot, and by one killed in the middle."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.domain.incidents import Incident
from bot.flows.chronicle import World, fold
from bot.local.lab.lab import Lab
from bot.settings import load_fleet
from tests.lab.conftest import FLEET
from tests.lab.scenarios.catalogue import EVERY
from tests.lab.scenarios.stage import staged
from tests.lab.scenarios.timeline import Scenario, Story, play
from tests.lab.work import CHANNEL, Work, words_of

CALM_S = 2.0  # that nothing else is told has to stay so for a while


async def incidents(work: Work) -> list[Incident]:
    """The stories that *work*'s journal adds up to, oldest first."""
    fleet = load_fleet(FLEET)
    world = World.of(fleet)
    for recorded in await work.journal():
        fold(world, recorded, fleet)
    return [i for found in world.incidents.values() for i in found.all if not i.withdrawn]


async def differences(work: Work, stories: tuple[Story, ...]) -> list[str]:
    """What *work* has told that differs from *stories*, in words; empty where nothing does."""
    found = await incidents(work)
    wrong = []
    told = sorted((i.kind.value, i.subject, i.open) for i in found)
    wanted = sorted((s.kind.value, s.subject, s.open) for s in stories)
    if told != wanted:
        wrong.append(f"the incidents are {told}, and not {wanted}")
    texts = work.alerts()
    unread = [text for text in texts if not any(story.reads(text) for story in stories)]
    if unread or len(texts) != len(stories):
        wrong.append(f"the channel shows {texts}, and not {[s.text for s in stories]}")
    messages = [words_of(m) for m in work.slack.messages(CHANNEL) if m.get("thread_ts") in (None, m["ts"])]
    for story in stories:
        message = next((m for m in messages if story.reads(m.partition("\n")[0])), "")
        wrong += [f"{words!r} is not in {message!r}" for words in story.shows if words not in message]
    return wrong


async def until_told(work: Work, scenario: Scenario) -> None:
    """Wait until *work* has told the scenario's stories, no more and no fewer, and see that it stays so."""
    loop = asyncio.get_running_loop()
    end = loop.time() + scenario.within
    assert scenario.stories is not None
    while wrong := await differences(work, scenario.stories):
        assert loop.time() < end, "\n".join([*wrong, *map(str, await incidents(work))])
        await asyncio.sleep(0.5)
    await asyncio.sleep(CALM_S)
    assert not await differences(work, scenario.stories)


@pytest.mark.parametrize("scenario", [s for s in EVERY if s.stories is not None], ids=lambda scenario: scenario.name)
async def test_it_is_told_as_exactly_its_stories(site: Lab, tmp_path: Path, scenario: Scenario) -> None:
    async with staged(site, tmp_path, both=scenario.both) as stage:
        await play(scenario, stage)
        await asyncio.gather(*(until_told(work, scenario) for work in stage.bots))
