"""The bot looks at itself once a second: what it lost or has back of its senses is recorded, once for each cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from bot.domain.events import Sense
from bot.domain.senses import Awareness, Reading, changes, observe
from bot.flows.chronicle import Chronicle
from bot.flows.ports import Clock, Entry, JournalUnavailable

log = structlog.get_logger(__name__)

LOOK_S = 1.0


class SenseWatch:
    """Takes a *reading* every second and records what changed; it goes on from what the journal knows."""

    def __init__(
        self, chronicle: Chronicle, clock: Clock, reading: Callable[[], Reading], *, look_s: float = LOOK_S
    ) -> None:
        self._chronicle = chronicle
        self._clock = clock
        self._reading = reading
        self._look_s = look_s
        told = [event for s in chronicle.world.situations.values() for event in s.senses.values()]
        self._awareness = Awareness.after(event.sense for event in told if event.lost)
        self._unrecorded = False

    def lost(self, sense: Sense) -> bool:
        """Whether *sense* is lost, by the last look."""
        return self._awareness.lost(sense)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(self._look_s)

    async def look(self) -> None:
        """Take one reading. What the journal cannot take now is found again at the next look."""
        self._awareness = observe(self._awareness, self._reading())
        now = self._clock.now()
        found = [
            change
            for cluster, situation in self._chronicle.world.situations.items()
            for change in changes(self._awareness, situation.senses, cluster, now)
        ]
        if not found:
            return
        try:
            await self._chronicle.append(*(Entry(event=change, at_source=now) for change in found))
            self._unrecorded = False
        except JournalUnavailable as error:
            if not self._unrecorded:
                log.error("what the bot lost of its senses is not recorded", error=str(error))
            self._unrecorded = True
