"""Alerts on real faults: one each, true about who, when, why and how long, and closed by what mends it."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from pathlib import Path

from bot.domain.events import OutageMeasured, VrrpStateChanged
from bot.local.lab.lab import Lab
from tests.lab.client import eventually, holders
from tests.lab.work import CHANNEL, Work, at_work


async def outage_told(work: Work, shown: str) -> tuple[float, float]:
    """The outage in the message, in seconds, with its uncertainty."""
    found = re.search(r"VIP unreachable for ([\d.]+) (ms|s) ± ([\d.]+) (ms|s)", shown)
    assert found, shown
    value, unit, off, off_unit = found.groups()
    return float(value) / (1000 if unit == "ms" else 1), float(off) / (1000 if off_unit == "ms" else 1)


async def outage_measured(work: Work) -> tuple[float, float]:
    """The bounds that the bot's own quickest probes measured around the failover, in seconds."""
    outages = [e for e in await work.events("OutageMeasured") if isinstance(e, OutageMeasured)]
    http = [o for o in outages if o.service == "http" and o.real_server is None]
    assert http, outages
    first = min(http, key=lambda o: o.first_bad_at)
    assert first.last_good_at is not None
    least = (first.last_bad_at - first.first_bad_at).total_seconds()
    return least, (first.first_good_at - first.last_good_at).total_seconds()


async def test_a_clean_stop_is_one_planned_failover_and_its_return_closes_it(site: Lab, tmp_path: Path) -> None:
    async with at_work(site, tmp_path) as work:
        await work.on("sv1", "systemctl", "stop", "keepalived")
        shown = await work.until_shown("VI_1 failed over: sv1 → sv2 (planned: keepalived was stopped on sv1)")
        assert await asyncio.to_thread(holders, site) == ["sv2"]
        if "no probe of the VIP failed" not in shown:
            told, off = await outage_told(work, shown)
            least, most = await outage_measured(work)
            assert told - off <= most
            assert told + off >= least
        await work.on("sv1", "systemctl", "start", "keepalived")
        await work.until_shown("VI_1: sv1 is MASTER again")
        await work.until(lambda: ":large_green_circle:" in work.alerts()[-1], "the alert turns green")
        assert len(work.alerts()) == 1, work.alerts()
        assert await asyncio.to_thread(holders, site) == ["sv1"]
        claims = [e for e in await work.events("VrrpStateChanged") if isinstance(e, VrrpStateChanged)]
        assert ("sv1", "STOP") in {(c.director, c.state.value) for c in claims}


async def test_a_pulled_plug_is_one_unplanned_failover_that_explains_web1(site: Lab, tmp_path: Path) -> None:
    async with at_work(site, tmp_path) as work:
        await asyncio.to_thread(site.kill, "sv1")
        await work.until_shown("VI_1 failed over: sv1 → sv2 (unplanned: sv1 does not answer)")
        await work.until_shown("web1 went with it: inside sv1")
        shown = await work.until_shown("VIP unreachable for")
        told, off = await outage_told(work, shown)
        least, most = await outage_measured(work)
        assert told - off <= most
        assert told + off >= least
        assert least > 1, "a silent death costs at least a second of advertisements that do not come"
        assert "split brain" not in str(work.slack.messages(CHANNEL))
        await asyncio.to_thread(site.start, "sv1")
        await work.until_shown("VI_1: sv1 is MASTER again", within=180)
        await work.until(lambda: ":large_green_circle:" in work.alerts()[-1], "the alert turns green", within=180)
        assert len(work.alerts()) == 1, work.alerts()


async def test_a_stopped_web_server_is_one_story_and_recovery_closes_it(site: Lab, tmp_path: Path) -> None:
    async with at_work(site, tmp_path) as work:
        await work.on("sv1", "systemctl", "stop", "nginx")
        await work.until_shown("web1 is down")
        shown = await work.until_shown("keepalived on sv2 took it out of http")
        assert "keepalived on sv1 took it out of http" in await work.until_shown("keepalived on sv1 took it out")
        assert re.search(r"http: .*refused", shown), shown
        await work.on("sv1", "systemctl", "start", "nginx")
        await work.until_shown("web1 is up again")
        assert len(work.alerts()) == 1, work.alerts()


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
