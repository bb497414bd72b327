"""The bot killed with -9 again and again in the middle of its work: nothing is lost, nothing is run twice."""

from __future__ import annotations

import asyncio
import itertools
import re
from pathlib import Path

from bot.local.lab.lab import Lab
from bot.views.operation import CONFIRM
from tests.lab.client import behind
from tests.lab.work import Work, at_work


async def edits_seen(work: Work, director: str) -> list[str]:
    """The weights that the bot's account set on *director*, by sudo's own word in the journal there."""
    log = await work.on(director, "journalctl", "--output=cat", "_COMM=sudo")
    return re.findall(r"COMMAND=\S*ipvsadm (-e .*)", log)


async def live_and_die(work: Work, ending: str) -> int:
    """Let the bot live for a few touches of the fuse, again and again, until the message shows *ending*."""
    for deaths, touches in enumerate(itertools.cycle((3, 5, 8, 4, 9, 6))):
        await work.start("tests.lab.dying_bot", str(work.config), str(touches), settled=False)
        assert work.bot is not None
        ended = asyncio.create_task(work.bot.wait())
        told = asyncio.create_task(work.until_shown(ending, within=120))
        await asyncio.wait({ended, told}, return_when=asyncio.FIRST_COMPLETED)
        if told.done():
            told.result()
            await work.kill()
            await ended
            return deaths
        told.cancel()
        assert work.bot.returncode == -9
    raise AssertionError("unreachable")


async def test_killed_between_its_steps_the_bot_repeats_no_command_and_leaves_none_out(
    site: Lab, tmp_path: Path
) -> None:
    async with at_work(site, tmp_path) as work:
        await work.command("/lvs drain web1")
        await work.press(CONFIRM, containing="Drain web1?")
        await work.until_recorded("OperationConfirmed")
        await work.kill()
        deaths = await live_and_die(work, "web1 is drained")
        assert deaths > 5
        for director in ("sv1", "sv2"):
            for service in ("http", "dns-udp", "dns-tcp"):
                assert await asyncio.to_thread(behind, site, director, service) == {"web1": 0, "web2": 1}
            seen = await edits_seen(work, director)
            assert len(seen) == 3, seen
            assert len(set(seen)) == 3, seen
        assert len(await work.events("StepFinished")) == 6
        assert len([t for t in work.texts() if "web1" in t]) == 1, work.texts()
