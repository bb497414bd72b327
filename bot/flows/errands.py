"""Work handed on from a listener: kept until it is done, never lost without a word."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine

import structlog

from bot.flows.ports import JournalUnavailable, MessengerUnavailable

log = structlog.get_logger(__name__)

Apology = Callable[[str], Awaitable[None]]


class Errands:
    """The tasks that are under way. A failure is logged with a reference, and the person who asked is told it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def under_way(self) -> int:
        """How many there are."""
        return len(self._tasks)

    def start(self, work: Coroutine[object, object, object], name: str, apologise: Apology | None = None) -> None:
        """Do *work* in the background; *apologise* tells the person what went wrong."""
        task = asyncio.create_task(self._see_through(work, name, apologise), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop what is under way: it goes on from the journal at the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _see_through(self, work: Coroutine[object, object, object], name: str, apologise: Apology | None) -> None:
        try:
            await work
        except Exception as error:
            reference = secrets.token_hex(4)
            log.exception("an errand failed", errand=name, reference=reference)
            if apologise:
                await self._apologise(apologise, explain(error, name, reference), reference)

    async def _apologise(self, apologise: Apology, text: str, reference: str) -> None:
        try:
            await apologise(text)
        except Exception:
            # Slack itself may be what failed: the log has the reference, and there is nobody left to tell.
            log.exception("could not tell the person", reference=reference)


def explain(error: Exception, doing: str, reference: str) -> str:
    """What a person is told of *error*: where, what was tried, what to do next, and the *reference* in the log."""
    if isinstance(error, JournalUnavailable):
        return (
            f"I could not write to my journal while working on “{doing}” ({error}), so I did nothing more. "
            f"Look at its disk or database; reference {reference}."
        )
    if isinstance(error, MessengerUnavailable):
        return f"Slack did not take my answer to “{doing}” ({error}). Ask again; reference {reference}."
    return (
        f"Something unexpected happened while working on “{doing}”. What was journalled stands; ask for the status "
        f"before you try again. The log has the details under reference {reference}."
    )
