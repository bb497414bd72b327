"""The processes that are compared: the bot as it is run, and the bare programs beside it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from bot.local.slack import StandIn
from tests.bench.site import BotFiles

ROOT = Path(__file__).parents[2]
PATIENCE_S = 30.0


class CannotMeasure(Exception):
    """A part of the measurement did not come up; the message says which and shows the end of its log."""


@asynccontextmanager
async def running(arguments: tuple[str, ...], log: Path, environ: Mapping[str, str]) -> AsyncIterator[int]:
    """``python -m`` *arguments* until the end of the block; gives its pid. What it says goes into *log*."""
    env = {**os.environ, "PYTHONUNBUFFERED": "1", **environ}
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=ROOT,
            env=env,
        )
    try:
        yield process.pid
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


@asynccontextmanager
async def running_bot(files: BotFiles, slack: StandIn, *, patience_s: float = PATIENCE_S) -> AsyncIterator[int]:
    """The bot itself, connected to *slack*; gives its pid. Raises CannotMeasure after *patience_s*."""
    log = files.directory / "bot.log"
    async with running(("bot", "run", "--config", str(files.bot)), log, files.environ) as pid:
        await _until_ready(files, slack, log, pid, patience_s)
        yield pid


async def health(session: aiohttp.ClientSession, files: BotFiles) -> dict[str, Any] | None:
    """What the bot says of itself; None while it does not listen yet."""
    try:
        async with session.get(f"{files.origin}/healthz") as answer:
            found: dict[str, Any] = await answer.json()
            return found
    except aiohttp.ClientConnectionError:
        return None


async def _until_ready(files: BotFiles, slack: StandIn, log: Path, pid: int, patience_s: float) -> None:
    async with aiohttp.ClientSession() as session:
        try:
            async with asyncio.timeout(patience_s):
                while not (slack.connected and await health(session, files)):
                    if not _lives(pid):
                        raise CannotMeasure(f"the bot ended:\n{_end_of(log)}")
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise CannotMeasure(f"the bot did not start:\n{_end_of(log)}") from None


@asynccontextmanager
async def running_bare(what: str, *arguments: str, log: Path, environ: Mapping[str, str]) -> AsyncIterator[int]:
    """A program of tests/bench/bare.py, once it says that it is ready; gives its pid. Raises CannotMeasure."""
    async with running(("tests.bench.bare", what, *arguments), log, environ) as pid:
        try:
            async with asyncio.timeout(PATIENCE_S):
                while "ready" not in _end_of(log):
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise CannotMeasure(f"`{what}` did not start:\n{_end_of(log)}") from None
        yield pid


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def memory_mib(pid: int, what: str) -> float:
    """``VmRSS``, ``VmHWM`` (its highest) or ``RssAnon`` of a process (proc(5), status), in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) / 1024
    raise CannotMeasure(f"process {pid} says nothing of its memory")
