"""Time passes: what it makes due for incidents is recorded, once a second at the most."""

from __future__ import annotations

import asyncio
from datetime import datetime

import structlog

from bot.domain.events import Due, TimeCame
from bot.domain.incidents import Incident
from bot.domain.incidents.muting import mute_of
from bot.domain.incidents.timing import Patience, due
from bot.flows.chronicle import Chronicle, World
from bot.flows.ports import Clock, Entry, JournalUnavailable

log = structlog.get_logger(__name__)

LOOK_S = 1.0
# What the last run of the bot left open may be over by now: this long the directors and the VIPs are looked at first.
SETTLE_S = 30.0


def entries(world: World, now: datetime, patience: Patience, *, since: datetime | None = None) -> tuple[Entry, ...]:
    """What is to be recorded because it is *now*; the key makes each of them happen once.

    Of what was opened before *since* nothing is: whether it is still so has yet to be seen.
    """

    def muted(incident: Incident) -> bool:
        return mute_of(incident, world.mutes, now) is not None

    found = []
    for cluster, incidents in world.incidents.items():
        for incident, what in due(incidents, now, patience, muted):
            if since is not None and incident.opened_at < since:
                continue
            turn = f"{incident.changes}:{incident.reminders}"
            if what is Due.WORSE:
                turn = str(incident.worse)
            key = f"due:{cluster}:{incident.id}:{what.name}:{turn}"
            found.append(Entry(event=TimeCame(cluster=cluster, incident=incident.id, due=what), source_key=key))
    return tuple(found)


async def keep_time(
    chronicle: Chronicle, clock: Clock, patience: Patience, *, look_s: float = LOOK_S, settle_s: float = SETTLE_S
) -> None:
    """Record what becomes due, until cancelled; of what was open before, only after *settle_s* seconds."""
    began, settled = clock.now(), clock.monotonic() + settle_s
    while True:
        await asyncio.sleep(look_s)
        since = began if clock.monotonic() < settled else None
        now_due = entries(chronicle.world, clock.now(), patience, since=since)
        if not now_due:
            continue
        try:
            await chronicle.append(*now_due)
        except JournalUnavailable as error:
            log.error("what is due was not recorded", error=str(error))
