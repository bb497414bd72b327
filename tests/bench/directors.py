"""The status of twenty directors over warm SSH: Fabric as the bot uses it beside a bare asyncssh loop."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import asyncssh

from bot.adapters.shell import FabricShell, SshLogin
from bot.domain.fleet import Director
from bot.flows.observing import ESSENTIAL, observe
from tests.bench.processes import CannotMeasure
from tests.bench.results import Result, Size, p50
from tests.bench.site import play_director, start_sshds
from tests.contracts.sshd import Sshd, new_key

RATIO = 1.3
DIRECTORS = 20
LINE = "; ".join(shlex.join(argv) for argv in ESSENTIAL)
"""What a status asks of each director, as one command line."""


async def measure(folder: Path, size: Size) -> list[Result]:
    """All of them alive, then with one that is dead."""
    async with AsyncExitStack() as stack:
        key = new_key(folder / "key")
        sshds = start_sshds(folder, DIRECTORS, key)
        for sshd in sshds:
            stack.callback(sshd.stop)
            play_director(sshd)
        known_hosts = folder / "known_hosts"
        known_hosts.write_text("".join(sshd.pin for sshd in sshds))
        directors = [sshd.director(f"d{number}") for number, sshd in enumerate(sshds)]
        shell = FabricShell(SshLogin(known_hosts=known_hosts, identity=key))
        stack.push_async_callback(shell.close)
        connections = [await _connect(stack, director, key, known_hosts) for director in directors]
        return [await _compare(shell, directors, connections, size), await _one_dead(shell, directors, sshds)]


async def _connect(
    stack: AsyncExitStack, director: Director, key: Path, known_hosts: Path
) -> asyncssh.SSHClientConnection:
    return await stack.enter_async_context(
        asyncssh.connect(
            str(director.address),
            director.ssh.port,
            username=director.ssh.user,
            client_keys=[str(key)],
            known_hosts=str(known_hosts),
            config=None,
            agent_path=None,
        )
    )


async def _compare(
    shell: FabricShell,
    directors: Sequence[Director],
    connections: Sequence[asyncssh.SSHClientConnection],
    size: Size,
) -> Result:
    bot, bare = [], []
    await _observe(shell, directors)
    await _ask(connections)
    for _ in range(max(2, size.rounds // 8)):
        bot.append(await _timed(_observe(shell, directors)))
        bare.append(await _timed(_ask(connections)))
    return Result(
        what=f"status of {DIRECTORS} directors over warm SSH",
        unit="ms",
        ours=p50(bot) * 1000,
        bare=p50(bare) * 1000,
        goal=RATIO,
        note=f"medians of {len(bot)}; one line of 3 commands on each of {DIRECTORS} sshds; the bot parses too",
    )


async def _observe(shell: FabricShell, directors: Sequence[Director]) -> None:
    for seen in await asyncio.gather(*(observe(shell, director) for director in directors)):
        if seen.table is None or seen.keepalived is None:
            raise CannotMeasure(f"{seen.director} was not read: {seen.error}")


async def _ask(connections: Sequence[asyncssh.SSHClientConnection]) -> None:
    await asyncio.gather(*(each.run(LINE, check=True) for each in connections))


async def _timed(work: object) -> float:
    began = time.perf_counter()
    await work  # type: ignore[misc]
    return time.perf_counter() - began


async def _one_dead(shell: FabricShell, directors: Sequence[Director], sshds: Sequence[Sshd]) -> Result:
    """One director stops answering in the middle of everything, as a frozen host does: its connection stays open."""
    alive = await _timed(_observe(shell, directors[1:]))
    frozen = sshds[0].serving()
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        began = time.perf_counter()
        seen: list[tuple[str, bool, float]] = []

        async def look(director: Director) -> None:
            found = await observe(shell, director, deadline=shell.patience)
            seen.append((director.name, found.reachable, time.perf_counter() - began))

        await asyncio.gather(*(look(director) for director in directors))
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    answered = [at for _, reachable, at in seen if reachable]
    if len(answered) != DIRECTORS - 1:
        raise CannotMeasure(f"{len(answered)} of {DIRECTORS - 1} living directors answered: {seen}")
    return Result(
        what=f"the other {DIRECTORS - 1} answers, with one director frozen",
        unit="ms",
        ours=max(answered) * 1000,
        note=f"without it {alive * 1000:.0f} ms; the frozen one was given up after {seen[-1][2]:.1f} s, its patience",
    )
