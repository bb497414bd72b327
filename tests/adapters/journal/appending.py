"""A program for the crash test: appends pairs until it is killed, and prints what was acknowledged."""

from __future__ import annotations

import asyncio
import itertools
import sys

from bot.adapters.journal import open_journal
from bot.domain.events import BotStarted
from bot.flows.ports import Entry


async def append_for_ever(url: str, run: str) -> None:
    """Append pairs of entries from several tasks; one line ``sequence key`` for each entry that was acknowledged."""
    journal = await open_journal(url)
    await journal.hold_bot_lock()

    async def one(task: int) -> None:
        for number in itertools.count():
            keys = [f"{run}:{task}:{number}:{half}" for half in "ab"]
            entries = [Entry(event=BotStarted(version="1", runner=key), source_key=key) for key in keys]
            recorded = await journal.append(*entries)
            for key, entry in zip(keys, recorded, strict=True):
                assert entry is not None
                print(entry.sequence, key, flush=True)

    await asyncio.gather(*(one(task) for task in range(4)))


if __name__ == "__main__":
    asyncio.run(append_for_ever(*sys.argv[1:]))
