"""A journal in memory that behaves like the real one; tests/contracts/test_journal.py keeps it honest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bot.adapters.clock import SystemClock
from bot.adapters.journal.codec import encode
from bot.domain.events import Recorded
from bot.domain.health import ProbeResult
from bot.flows.ports import Clock, Entry, JournalUnavailable
from bot.flows.snapshots import Snapshot


@dataclass(slots=True)
class Store:
    """What journals that share it have recorded: as a database file is shared between processes."""

    recorded: list[Recorded] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    samples: list[ProbeResult] = field(default_factory=list)
    snapshots: dict[int, Snapshot] = field(default_factory=dict)
    holder: MemoryJournal | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)


class MemoryJournal:
    """See :class:`bot.flows.ports.Journal`. ``fail``, while set, is why it is unavailable."""

    def __init__(self, store: Store | None = None, *, clock: Clock | None = None) -> None:
        self.store = store or Store()
        self.fail: str | None = None
        self._clock = clock or SystemClock()
        self._closed = False

    async def append(self, *entries: Entry) -> tuple[Recorded | None, ...]:
        """Record *entries*."""
        for entry in entries:
            encode(entry.event)
            if entry.at_source is not None and entry.at_source.tzinfo is None:
                raise ValueError(f"{entry.at_source} has no time zone")
        await self._use()
        now = self._clock.now()
        return tuple(self._record(entry, now) for entry in entries)

    async def read(self, *, after: int = 0, kinds: Sequence[str] = (), limit: int = 1000) -> tuple[Recorded, ...]:
        """Events with a sequence above *after*."""
        await self._use()
        found = (r for r in self.store.recorded[after:] if not kinds or type(r.event).__name__ in kinds)
        return tuple(found)[:limit]

    async def last_sequence(self) -> int:
        """The highest sequence."""
        await self._use()
        return len(self.store.recorded)

    async def wait_for_news(self, after: int) -> int:
        """Wait until there is an entry above *after*."""
        while await self.last_sequence() <= after:
            await self.store.news.wait()
        return len(self.store.recorded)

    async def follow(self, after: int = 0) -> AsyncIterator[Recorded]:
        """Every entry above *after*, those to come included."""
        while True:
            for recorded in await self.read(after=after):
                yield recorded
                after = recorded.sequence
            await self.wait_for_news(after)

    async def add_samples(self, results: Sequence[ProbeResult]) -> None:
        """Keep *results*."""
        await self._use()
        self.store.samples.extend(results)

    async def samples(self, probe: str, *, since: datetime, limit: int = 1000) -> tuple[ProbeResult, ...]:
        """The kept results of *probe*."""
        await self._use()
        found = [s for s in self.store.samples if s.probe == probe and s.started_at >= since]
        return tuple(sorted(found, key=lambda s: s.started_at)[:limit])

    async def retain_samples(self, older_than: datetime) -> int:
        """Delete the samples that started before *older_than*."""
        await self._use()
        before = len(self.store.samples)
        self.store.samples = [s for s in self.store.samples if s.started_at >= older_than]
        return before - len(self.store.samples)

    async def keep_snapshot(self, snapshot: Snapshot) -> None:
        """Keep *snapshot* and the newest other."""
        await self._use()
        every = {**self.store.snapshots, snapshot.sequence: snapshot}
        self.store.snapshots = {sequence: every[sequence] for sequence in sorted(every)[-2:]}

    async def snapshots(self) -> tuple[Snapshot, ...]:
        """Those that are kept, the newest first."""
        await self._use()
        return tuple(self.store.snapshots[sequence] for sequence in sorted(self.store.snapshots, reverse=True))

    async def hold_bot_lock(self) -> None:
        """Be the one that acts on the store."""
        await self._use()
        if self.store.holder not in (None, self):
            raise JournalUnavailable("another `bot run` uses this journal: stop that one first")
        self.store.holder = self

    async def close(self) -> None:
        """Refuse every later use."""
        self._closed = True
        if self.store.holder is self:
            self.store.holder = None

    async def _use(self) -> None:
        if self._closed:
            raise JournalUnavailable("the journal is closed: the bot is stopping")
        await asyncio.sleep(0)  # as with the real one, others get their turn
        if self.fail is not None:
            raise JournalUnavailable(self.fail)

    def _record(self, entry: Entry, now: datetime) -> Recorded | None:
        if entry.source_key is not None:
            if entry.source_key in self.store.keys:
                return None
            self.store.keys.add(entry.source_key)
        at_source = entry.at_source.astimezone(UTC) if entry.at_source else now
        sequence = len(self.store.recorded) + 1
        recorded = Recorded(sequence=sequence, recorded_at=now, at_source=at_source, event=entry.event)
        self.store.recorded.append(recorded)
        self.store.news.set()
        self.store.news = asyncio.Event()
        return recorded
