"""Killed at any moment, the journal has everything that it acknowledged: in order, whole, none twice."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.adapters.journal import open_journal
from bot.domain.events import BotStarted
from tests.contracts.postgres import Postgres, running_postgres

ROOT = Path(__file__).parents[3]


def kill_after(url: str, run: str, lines: int) -> list[tuple[int, str]]:
    """Start the appending program, kill it with -9 once it has acknowledged *lines*; returns all that it did."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.adapters.journal.appending", url, run],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    with child.stdout as output:
        seen = [output.readline() for _ in range(lines)]
        child.kill()
        seen += output.readlines()
    child.wait()
    whole = [line.split() for line in seen if line.endswith("\n")]
    return [(int(sequence), key) for sequence, key in whole]


async def check(url: str, acknowledged: list[tuple[int, str]]) -> None:
    journal = await open_journal(url)
    try:
        await journal.hold_bot_lock()  # it died with its holder
        kept = await journal.read(limit=1_000_000)
    finally:
        await journal.close()
    keys = [r.event.runner for r in kept if isinstance(r.event, BotStarted)]
    assert [r.sequence for r in kept] == list(range(1, len(kept) + 1))
    assert len(set(keys)) == len(keys)
    by_sequence = dict(enumerate(keys, start=1))
    assert [(s, by_sequence.get(s)) for s, _ in acknowledged] == acknowledged
    halves = {key[:-1] for key in keys}
    assert {half + "a" for half in halves} | {half + "b" for half in halves} == set(keys)


async def run_and_kill(url: str, times: int) -> None:
    acknowledged: list[tuple[int, str]] = []
    for number in range(times):
        acknowledged += kill_after(url, f"run-{number}", random.randint(1, 400))
        await check(url, acknowledged)
    assert acknowledged


async def test_a_killed_process_loses_nothing_that_sqlite_acknowledged(tmp_path: Path) -> None:
    await run_and_kill(f"sqlite:///{tmp_path}/journal.db", times=6)


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


async def test_a_killed_process_loses_nothing_that_postgresql_acknowledged(own_postgres: Postgres) -> None:
    await run_and_kill(own_postgres.database(), times=3)
