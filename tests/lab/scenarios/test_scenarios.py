"""Each scenario is told as exactly the stories that it is: by an undisturbed bot, and by one killed in the middle."""

from __future__ import annotations

import asyncio
import itertools
import re
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from bot.domain.events import HealthChanged, OutageMeasured, RollCallTaken, VrrpState, VrrpStateChanged
from bot.domain.health import Outcome
from bot.domain.incidents import Incident, Kind
from bot.flows.chronicle import World, fold
from bot.local.lab.lab import Lab
from bot.settings import load_fleet
from tests.lab.client import VIP
from tests.lab.conftest import FLEET
from tests.lab.ready import Ready
from tests.lab.scenarios.catalogue import EVERY
from tests.lab.scenarios.stage import Stage, staged
from tests.lab.scenarios.timeline import Scenario, Story, play
from tests.lab.work import CHANNEL, Work, loaded, words_of

CALM_S = 2.0  # that nothing else is told has to stay so for a while


async def incidents(work: Work) -> list[Incident]:
    """The stories that *work*'s journal adds up to, oldest first."""
    fleet = load_fleet(FLEET)
    world = World.of(fleet)
    for recorded in await work.journal():
        fold(world, recorded, fleet)
    return [i for found in world.incidents.values() for i in found.all if not i.withdrawn]


async def differences(work: Work, stories: tuple[Story, ...], *, details: bool) -> list[str]:
    """What *work* has told that differs from *stories*, in words; empty where nothing does.

    *details*: what its messages show besides their headlines has to be right too. A bot that was dead at the time
    cannot know all of it.
    """
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
    for story in stories if details else ():
        message = message_of(work, story)
        wrong += [f"{words!r} is not in {message!r}" for words in story.shows if words not in message]
    return wrong


def message_of(work: Work, story: Story) -> str:
    """What the message of *story* shows; where several are headed like it, the one that shows most of what it must."""
    every = [words_of(m) for m in work.slack.messages(CHANNEL) if m.get("thread_ts") in (None, m["ts"])]
    headed = [message for message in every if story.reads(message.partition("\n")[0])]
    return max(headed, key=lambda message: sum(words in message for words in story.shows), default="")


async def until_told(work: Work, scenario: Scenario, *, details: bool) -> None:
    """Wait until *work* has told the scenario's stories, no more and no fewer, and see that it stays so."""
    loop = asyncio.get_running_loop()
    end = loop.time() + scenario.within
    assert scenario.stories is not None
    while wrong := await differences(work, scenario.stories, details=details):
        assert loop.time() < end, "\n".join([f"{work.directory}:", *wrong])
        await asyncio.sleep(0.5)
    await asyncio.sleep(CALM_S)
    assert not await differences(work, scenario.stories, details=details)


PATIENCE_S = 0.9  # as the bot's own probes have it
RATE = 5.0


def seconds(value: str, unit: str) -> float:
    """*value* in seconds."""
    return float(value) / (1000 if unit == "ms" else 1)


def outage_told(shown: str) -> tuple[float, float]:
    """The least and the most that the longest outage lasted, in seconds, as a message says it."""
    found = re.findall(r"(?:unreachable|again) for ([\d.]+) (ms|s) ± ([\d.]+) (ms|s)", shown)
    assert found, f"no outage is told in {shown!r}"
    value, off = max((seconds(value, of), seconds(off, per)) for value, of, off, per in found)
    return value - off, value + off


def outage_seen(requests: list[dict[str, Any]]) -> tuple[float, float]:
    """The least and the most that the longest outage lasted, in seconds, as a client's requests bound it."""
    requests = sorted(requests, key=lambda request: request["began"])
    bounds = [(0.0, 0.0)]
    for answered, run in itertools.groupby(requests, key=lambda request: request["error"] is None):
        if not answered:
            failed = [request["began"] for request in run]
            before = max((r["began"] for r in requests if r["began"] < failed[0]), default=failed[0])
            after = min((r["began"] for r in requests if r["began"] > failed[-1]), default=failed[-1])
            bounds.append((failed[-1] - failed[0], after - before))
    return max(bounds)


def check_outage(work: Work, scenario: Scenario, requests: list[dict[str, Any]]) -> None:
    """What was told of the outage has to be what a client saw, as exactly as the two can know."""
    for story in scenario.stories or ():
        if story.outage:
            shown = message_of(work, story)
            (least, most), (at_least, at_most) = outage_told(shown), outage_seen(requests)
            off = PATIENCE_S + 2 / RATE  # where real servers alternate, two clients may meet the dead one in turn
            assert least <= at_most + off, (shown, at_least, at_most)
            assert most >= at_least - off, (shown, at_least, at_most)
            assert most >= story.least, shown


async def outages_measured(work: Work) -> list[tuple[float, float]]:
    """The least and the most that each outage of the VIP lasted, in seconds, as *work*'s own probes bound it."""
    outages = [e for e in await work.events("OutageMeasured") if isinstance(e, OutageMeasured)]
    return [
        ((o.last_bad_at - o.first_bad_at).total_seconds(), (o.first_good_at - o.last_good_at).total_seconds())
        for o in outages
        if o.real_server is None and o.last_good_at is not None
    ]


async def check_failover(work: Work, scenario: Scenario) -> None:
    """Where a failover's message tells an outage, the journal's probes have measured that."""
    for story in scenario.stories or ():
        if story.kind is Kind.FAILOVER:
            shown = message_of(work, story)
            if "VIP unreachable for" in shown:
                (least, most), measured = outage_told(shown), await outages_measured(work)
                assert any(least <= at_most and most >= at_least for at_least, at_most in measured), (shown, measured)


SPLIT_FOUND_S = 5.0  # what is promised of a true split brain, from the second MASTER's own word on
BESIDES_S = 1.5  # of that, what is not waiting for answers: those of emulated directors may take longer than all of it


async def check_split_brain(work: Work, scenario: Scenario) -> None:
    """Where two directors hold the address, that was confirmed in time, by the clocks that the journal has.

    It takes two looks one after the other. How long they took, the journal has as well.
    """
    if not any(story.kind is Kind.SPLIT_BRAIN for story in scenario.stories or ()):
        return
    fleet, second = load_fleet(FLEET), None
    world = World.of(fleet)
    (cluster,) = world.situations
    answered: dict[datetime, datetime] = {}
    for recorded in await work.journal():
        fold(world, recorded, fleet)
        event = recorded.event
        if isinstance(event, VrrpStateChanged) and event.state is VrrpState.MASTER and not event.group:
            second = recorded.at_source
        if isinstance(event, RollCallTaken):
            answered[event.asked_at] = recorded.recorded_at
        if world.situations[cluster].split:
            assert second is not None, "found without a word of a second MASTER"
            looks = [(end - asked).total_seconds() for asked, end in answered.items() if asked >= second]
            found = (recorded.recorded_at - second).total_seconds()
            assert found <= max(SPLIT_FOUND_S, sum(looks[-2:]) + BESIDES_S), (found, looks)
            return
    raise AssertionError("no two looks have found two holders")


TRIES = 3


async def before_the_play(stage: Stage) -> list[str]:
    """What befell the site before anything was done to it, by the bots' own stories.

    A machine that is busy with something else while guests wake and bots start can keep a director from its processor
    for a second. Clients feel that, and the bots are right to tell of it. It has to be of a VIP that was unreachable,
    as their probes measured: a story of anything else would have come out of nothing.
    """
    found = []
    for work in stage.bots:
        health = [e for e in await work.events("HealthChanged") if isinstance(e, HealthChanged)]
        failed = any(e.real_server is None and e.outcome is Outcome.UNHEALTHY for e in health)
        failed |= bool(await outages_measured(work))
        for incident in await incidents(work):
            story = f"{incident.kind.value} {incident.subject}"
            excused = failed and incident.kind is Kind.VIP_UNREACHABLE
            assert excused, f"{work.directory}: {story}, and nothing had been done (a probe failed: {failed})"
            found.append(story)
    return found


async def perform(scenario: Scenario, stage: Stage) -> None:
    """Play *scenario* on *stage*, and see that it was told as what it is."""
    async with AsyncExitStack() as stack:
        requests: list[dict[str, Any]] = []
        if scenario.measured:
            client = loaded(stage.calm, VIP, rate=RATE, patience=PATIENCE_S)
            requests = await stack.enter_async_context(client)
        await play(scenario, stage)
        await asyncio.gather(*(until_told(work, scenario, details=work is stage.calm) for work in stage.bots))
    check_outage(stage.calm, scenario, requests)
    await check_failover(stage.calm, scenario)
    await check_split_brain(stage.calm, scenario)


@pytest.fixture(scope="session")
def ready(lab: Lab) -> Iterator[Ready]:
    """What starts the bots of this test run."""
    found = Ready(lab.ops_argv)
    yield found
    found.close()


@pytest.mark.parametrize("scenario", [s for s in EVERY if s.stories is not None], ids=lambda scenario: scenario.name)
async def test_it_is_told_as_exactly_its_stories(
    site: Lab, ready: Ready, tmp_path: Path, scenario: Scenario, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(1, TRIES + 1):
        where = tmp_path / str(number)
        async with staged(site, where, both=scenario.both, roll_call=scenario.roll_call, ready=ready) as stage:
            happened = await before_the_play(stage)
            if not happened:
                return await perform(scenario, stage)
        with capsys.disabled():
            # What a worker of xdist prints is lost, and what it says to its standard error is not.
            print(f"\n{scenario.name}: not begun, for the site had stood still: {happened}", file=sys.stderr)
        await asyncio.to_thread(site.fresh)
    pytest.fail(f"the site does not come to rest, {TRIES} times in a row: {happened}")
