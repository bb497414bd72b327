"""What starts a scenario's bots: each is the one that was asked for, and nothing of them outlives it."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.ready import Forked, Ready


@pytest.fixture
def ready() -> Iterator[Ready]:
    found = Ready(list)
    yield found
    found.close()


async def test_of_many_that_are_started_at_once_each_has_its_own_command_line_environment_log_and_exit_status(
    ready: Ready, tmp_path: Path
) -> None:
    async def one(number: int) -> tuple[Forked, str]:
        log = tmp_path / f"{number}.log"
        variables = {**os.environ, "LVSBOT_CONFIG": str(tmp_path / f"{number}.yaml")}
        forked = await ready.start(["bot", "check" if number % 2 else "no-such-command"], variables, log)
        await forked.wait()
        return forked, log.read_text()

    every = await asyncio.gather(*(one(number) for number in range(6)))
    assert len({forked.pid for forked, _ in every}) == len(every)
    for number, (forked, said) in enumerate(every):
        assert forked.returncode == 2
        assert (f"{number}.yaml" if number % 2 else "no-such-command") in said


async def written(fifo: Path) -> int:
    """*fifo*, opened to be written to as soon as somebody reads it."""
    while True:
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            await asyncio.sleep(0.02)


async def test_the_one_that_is_killed_is_the_one_that_was_meant(ready: Ready, tmp_path: Path) -> None:
    # Each has a FIFO as its settings: it waits for what is written there, and nobody else reads it.
    fifos = [tmp_path / f"{number}.yaml" for number in range(4)]
    for fifo in fifos:
        os.mkfifo(fifo)
    every = await asyncio.gather(
        *(ready.start(["bot", "check", "--config", str(fifo)], os.environ, tmp_path / "log") for fifo in fifos)
    )
    ends = [await written(fifo) for fifo in fifos]
    try:
        every[2].kill()
        assert await every[2].wait() == -signal.SIGKILL
        assert [forked.returncode for forked in every] == [None, None, -signal.SIGKILL, None]
        watched = select.poll()
        for end in ends:
            watched.register(end, 0)
        assert watched.poll(0) == [(ends[2], select.POLLERR)]  # poll(2): nobody has it open for reading
    finally:
        for end in ends:
            os.close(end)


async def test_what_still_runs_ends_with_it(ready: Ready, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "bot.yaml")
    left = await ready.start(["bot", "check", "--config", str(tmp_path / "bot.yaml")], os.environ, tmp_path / "log")
    ended = os.pidfd_open(left.pid)
    try:
        ready.close()
        watched = select.poll()
        watched.register(ended, select.POLLIN)
        assert watched.poll(10_000), "it still runs"  # pidfd_open(2): readable when it has ended
    finally:
        os.close(ended)
