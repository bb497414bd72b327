"""Alerts on faults that nobody could be told of when they happened: Slack was away, or the bot was dead."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from bot.domain.events import VrrpStateChanged
from bot.local.lab.lab import Lab
from tests.lab.client import eventually, holders
from tests.lab.work import at_work


async def test_what_happens_while_slack_is_away_is_told_in_order_when_it_is_back(site: Lab, tmp_path: Path) -> None:
    async with at_work(site, tmp_path) as work:
        work.slack.faults.down(3600)
        await work.on("sv1", "systemctl", "stop", "nginx")
        await work.until_recorded("HealthChanged", lambda e: e.real_server == "web1" and e.outcome == "unhealthy")
        await work.on("sv1", "systemctl", "stop", "keepalived")
        await work.until_recorded("RollCallTaken", lambda e: e.holders("10.100.5.11") == ("sv2",))
        assert work.texts() == []
        work.slack.faults.clear()
        await work.until(lambda: len(work.alerts()) == 2, "both alerts")
        assert "web1" in work.alerts()[0]
        assert "VI_1 failed over: sv1 → sv2" in work.alerts()[1]


def says(director: str, state: str, event: VrrpStateChanged) -> bool:
    return (event.director, event.state.value) == (director, state)


async def test_what_happens_while_the_bot_is_dead_is_told_when_it_lives_again(site: Lab, tmp_path: Path) -> None:
    async with at_work(site, tmp_path) as work:
        await work.kill()
        await work.on("sv1", "systemctl", "stop", "keepalived")
        await asyncio.to_thread(eventually, lambda: holders(site) == ["sv2"])
        await work.start()
        await work.until_shown("VI_1 failed over: sv1 → sv2")
        # A look may tell it before the agents have passed on what they kept.
        for director, state in (("sv1", "STOP"), ("sv2", "MASTER")):
            await work.until_recorded("VrrpStateChanged", partial(says, director, state))
        assert len(work.alerts()) == 1, work.alerts()
