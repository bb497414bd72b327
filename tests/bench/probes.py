"""The processor time of one HTTP probe: schedule, prober, health and samples beside raw asyncio streams."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, closing
from ipaddress import ip_address
from pathlib import Path

from bot.adapters.journal import open_journal
from bot.adapters.prober import NetworkProber
from bot.domain.fleet import Fleet, Probe, ProbeKind
from bot.entrypoints.schedule import ProbeSchedule
from bot.flows.chronicle import Chronicle
from bot.flows.probing import Probing
from tests.bench.processes import CannotMeasure, running_bare
from tests.bench.results import Result, Size, p50
from tests.contracts.sshd import free_port

RATIO = 2.0
TURNS = 5
EVERY_S = 1.0


async def measure(folder: Path, size: Size) -> list[Result]:
    """So many targets, each asked once a second; the two sides take turns of some seconds."""
    async with AsyncExitStack() as stack:
        port = free_port("127.0.0.1")
        target = running_bare("target", f"127.0.0.1:{port}", log=folder / "target.log", environ={})
        await stack.enter_async_context(target)
        journal = await open_journal(f"sqlite:///{folder / 'journal.db'}")
        stack.push_async_callback(journal.close)
        ours = Ours(Chronicle(journal, Fleet(clusters=())), port, size.crowd)
        stack.push_async_callback(ours.prober.close)
        bot: list[float] = []
        bare: list[float] = []
        for _ in range(TURNS):
            bot.append(await _cpu_each(ours.turn, size.seconds / 2))
            bare.append(await _cpu_each(lambda seconds: _bare_turn(port, size.crowd, seconds), size.seconds / 2))
    return [
        Result(
            what="processor time of one HTTP probe",
            unit="µs",
            ours=p50(bot) * 1e6,
            bare=p50(bare) * 1e6,
            goal=RATIO,
            note=f"medians of {TURNS} turns; {size.crowd} targets, each asked once a second; the schedule, rise "
            f"and fall and the samples' commits included; slots that the schedule missed: {ours.slipped}",
        )
    ]


async def _cpu_each(turn: Callable[[float], Awaitable[int]], seconds: float) -> float:
    """The processor seconds, of all threads of this process, that *turn* took for each of the probes it made."""
    began = time.process_time()
    made = await turn(seconds)
    if not made:
        raise CannotMeasure("no probe was made")
    return (time.process_time() - began) / made


class Ours:
    """The bot's schedule and prober, over a real journal."""

    def __init__(self, chronicle: Chronicle, port: int, targets: int) -> None:
        self.prober = NetworkProber()
        self._probes = tuple(_probe(number, port) for number in range(targets))
        self._probing = Probing(chronicle, self.prober, self._probes)
        self._made = 0
        self.slipped = 0

    async def turn(self, seconds: float) -> int:
        """Let the schedule run for *seconds*; returns how many probes it made."""
        self._made = 0
        schedule = ProbeSchedule(self._probes, self._ask, self._probing.flush)
        schedule.start()
        await asyncio.sleep(seconds)
        self.slipped += schedule.counts.total()
        await schedule.close()
        return self._made

    async def _ask(self, probe: Probe) -> None:
        await self._probing.ask(probe)
        self._made += 1


def _probe(number: int, port: int) -> Probe:
    return Probe(
        name=f"rs:http/web{number}",
        cluster="site",
        service="http",
        real_server=f"web{number}",
        kind=ProbeKind.HTTP,
        address=ip_address("127.0.0.1"),
        port=port,
        every=EVERY_S,
        timeout=0.9,
    )


async def _bare_turn(port: int, targets: int, seconds: float) -> int:
    """A task for each target that asks and sleeps, for *seconds*; returns how many questions were answered."""
    made = 0

    async def ask(number: int) -> None:
        nonlocal made
        await asyncio.sleep(EVERY_S * number / targets)
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with closing(writer):  # the turn may end while it waits
                writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                answer = await reader.read()
            made += answer.startswith(b"HTTP/1.1 200")
            await asyncio.sleep(EVERY_S)

    tasks = [asyncio.create_task(ask(number)) for number in range(targets)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return made
