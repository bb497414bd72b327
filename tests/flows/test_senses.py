"""The bot's look at itself ends in the journal: once for each cluster, and later where the disk was full."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from bot.domain.events import Sense, SenseChanged
from bot.domain.fleet import Fleet
from bot.domain.senses import Reading
from bot.flows.chronicle import Chronicle
from bot.flows.senses import SenseWatch
from tests.domain.reference import SITE
from tests.fakes.journal import MemoryJournal

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TWO = Fleet(
    clusters=(SITE, SITE.__class__(name="other", directors=(), vrrp_instances=(), real_servers=(), services=()))
)


@dataclass
class Life:
    """A bot over a journal; a second passes between two looks."""

    journal: MemoryJournal = field(default_factory=MemoryJournal)
    seconds: float = 0.0
    slack: str = ""

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def begin(self) -> SenseWatch:
        chronicle = Chronicle(self.journal, TWO)
        await chronicle.catch_up()
        return SenseWatch(chronicle, self, lambda: Reading(at=self.seconds, slack=self.slack))

    async def looks(self, watch: SenseWatch, count: int, slack: str = "") -> None:
        self.slack = slack
        for _ in range(count):
            self.seconds += 1
            await watch.look()

    def told(self) -> list[tuple[str, bool, float]]:
        events = [r.event for r in self.journal.store.recorded]
        assert all(isinstance(event, SenseChanged) and event.sense is Sense.SLACK for event in events)
        return [(e.cluster, e.lost, (e.since - NOON).total_seconds()) for e in events if isinstance(e, SenseChanged)]


async def test_each_cluster_is_told_once_and_once_more_when_the_sense_is_back() -> None:
    life = Life()
    watch = await life.begin()
    await life.looks(watch, 60, "away")
    assert life.told() == [("site", True, 1), ("other", True, 1)]
    assert watch.lost(Sense.SLACK)
    await life.looks(watch, 60)
    assert life.told()[2:] == [("site", False, 61), ("other", False, 61)]
    assert not watch.lost(Sense.SLACK)


async def test_what_a_full_disk_kept_out_is_recorded_when_there_is_room_again_and_as_of_then() -> None:
    life = Life()
    watch = await life.begin()
    life.journal.fail = "the disk is full"
    await life.looks(watch, 60, "away")
    assert life.told() == []
    life.journal.fail = None
    await life.looks(watch, 5, "away")
    assert life.told() == [("site", True, 1), ("other", True, 1)]


async def test_a_restart_repeats_nothing_and_notices_that_it_is_well_again() -> None:
    life = Life()
    await life.looks(await life.begin(), 60, "away")
    watch = await life.begin()
    assert watch.lost(Sense.SLACK)
    await life.looks(watch, 60, "away")
    assert len(life.told()) == 2
    await life.looks(watch, 60)
    assert [lost for _, lost, _ in life.told()] == [True, True, False, False]
