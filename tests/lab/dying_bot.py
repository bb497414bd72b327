"""The real bot with a fuse: it kills itself with -9 at the n-th step of operations, before or after the step's effect.

Run as ``python -m tests.lab.dying_bot CONFIG N``. A step is a record of an operation in the journal or a change on a
director; each has a moment before and a moment after. Nothing else about the bot differs.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from bot import logs
from bot.bootstrap import Bot, open_parts
from bot.domain.events import Recorded
from bot.domain.fleet import Director
from bot.domain.observed import CommandResult
from bot.flows.ports import Entry, Journal, RemoteShell
from bot.settings import load_settings

WATCHED = ("Operation", "Step", "Override")


class Fuse:
    """Burns at the *n*-th touch."""

    def __init__(self, touches: int) -> None:
        self._left = touches

    def touch(self) -> None:
        self._left -= 1
        if self._left < 0:
            os.kill(os.getpid(), signal.SIGKILL)


class FusedJournal:
    """The journal, with a fuse around each record of an operation."""

    def __init__(self, journal: Journal, fuse: Fuse) -> None:
        self._journal, self._fuse = journal, fuse

    async def append(self, *entries: Entry) -> tuple[Recorded | None, ...]:
        watched = any(type(entry.event).__name__.startswith(WATCHED) for entry in entries)
        if watched:
            self._fuse.touch()
        recorded = await self._journal.append(*entries)
        if watched:
            self._fuse.touch()
        return recorded

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)


class FusedShell:
    """The shell, with a fuse around each change on a director."""

    def __init__(self, shell: RemoteShell, fuse: Fuse) -> None:
        self._shell, self._fuse = shell, fuse
        self.patience = shell.patience

    async def run(
        self, director: Director, argv: Sequence[str], *, deadline: float = 10.0, sudo: bool = False
    ) -> CommandResult:
        changes = "-e" in argv
        if changes:
            self._fuse.touch()
        result = await self._shell.run(director, argv, deadline=deadline, sudo=sudo)
        if changes:
            self._fuse.touch()
        return result

    async def ask(
        self, director: Director, commands: Sequence[Sequence[str]], *, deadline: float = 10.0
    ) -> tuple[CommandResult, ...]:
        return await self._shell.ask(director, commands, deadline=deadline)

    def changing(self, director: Director) -> AbstractAsyncContextManager[None]:
        return self._shell.changing(director)

    async def close(self) -> None:
        await self._shell.close()


async def main(config: Path, touches: int) -> None:
    """Run until the fuse burns or SIGTERM comes."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    parts = await open_parts(load_settings(config, os.environ), "bot")
    await parts.journal.hold_bot_lock()
    fuse = Fuse(touches)
    parts.chronicle.journal = FusedJournal(parts.journal, fuse)
    parts.shell = FusedShell(parts.shell, fuse)  # type: ignore[assignment]
    await Bot(parts).run(stop)
    await parts.close()


if __name__ == "__main__":
    logs.configure()
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
