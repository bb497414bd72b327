"""What the whole bot holds in memory when nothing happens but its probes."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp

from bot.local.slack import StandIn
from tests.bench.processes import CannotMeasure, health, memory_mib, running_bare, running_bot
from tests.bench.results import Result, Size
from tests.bench.site import Cluster, play_director, start_sshds, write_bot
from tests.contracts.sshd import free_port, new_key

MOST_MIB = 90.0
SERVICES = 20


async def measure(folder: Path, size: Size) -> list[Result]:
    """The resident set of ``python -m bot run``, on its second start, after a while of probing."""
    async with AsyncExitStack() as stack:
        key = new_key(folder / "key")
        sshds = start_sshds(folder, 2, key)
        for sshd in sshds:
            stack.callback(sshd.stop)
            play_director(sshd)
        servers = tuple(f"127.0.7.{1 + number}" for number in range(size.crowd // SERVICES - 1))
        ports = tuple(free_port(f"127.0.8.{1 + number}") for number in range(SERVICES))
        probe = {"http": {"path": "/", "expect_status": [200]}, "every": "2s", "timeout": "1s"}
        cluster = Cluster(name="site", sshds=sshds, vip="127.0.7.200", servers=servers, ports=ports, probe=probe)
        places = [f"{address}:{port}" for address in (*servers, cluster.vip) for port in ports]
        await stack.enter_async_context(running_bare("target", *places, log=folder / "target.log", environ={}))
        slack = await stack.enter_async_context(StandIn())
        files = write_bot(folder / "bot", [cluster], slack=slack, key=key)
        async with running_bot(files, slack) as pid:
            await asyncio.sleep(1)
            first = memory_mib(pid, "VmRSS")
        async with running_bot(files, slack) as pid, aiohttp.ClientSession() as session:
            await asyncio.sleep(2 * size.seconds)
            state = await health(session, files)
            resident, private = memory_mib(pid, "VmRSS"), memory_mib(pid, "RssAnon")
        if state is None or state["errands"]:
            raise CannotMeasure(f"the bot is not idle: {state}")
        async with running_bare("libraries", log=folder / "libraries.log", environ={}) as pid:
            libraries = memory_mib(pid, "VmRSS")
        return [
            Result(
                what=f"idle memory with {len(places)} probes",
                unit="MiB",
                ours=resident,
                goal=MOST_MIB,
                note=f"resident, {private:.0f} of them private; the libraries alone, imported and unused, hold "
                f"{libraries:.0f}; the very first start, which makes the journal, {first:.0f}",
            )
        ]
