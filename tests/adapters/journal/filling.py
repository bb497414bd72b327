"""A program for the disk-full test: appends until its files may grow no further, then once more when they may again."""

from __future__ import annotations

import asyncio
import resource
import sys

from bot.adapters.journal import open_journal
from bot.domain.events import BotStarted
from bot.flows.ports import Entry, JournalUnavailable

LIMIT = 300_000  # bytes that a file of this process may have


async def fill(url: str) -> None:
    """Print how many entries were acknowledged, the refusal, and the last sequence after space was made."""
    journal = await open_journal(url)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, hard))
    acknowledged = 0
    while True:
        try:
            await journal.append(Entry(event=BotStarted(version="1", runner="x" * 2000)))
        except JournalUnavailable as error:
            refusal = str(error)
            break
        acknowledged += 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    await journal.append(Entry(event=BotStarted(version="1", runner="again")))
    print(acknowledged, refusal, await journal.last_sequence(), sep="\n")
    await journal.close()


if __name__ == "__main__":
    asyncio.run(fill(sys.argv[1]))
