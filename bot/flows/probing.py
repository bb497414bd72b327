"""Probe results become health: samples to their table; changes of health, outages, ending certificates journalled."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta

import structlog

from bot.domain import certificates
from bot.domain.certificates import Certificate, Ending
from bot.domain.events import CertificateChanged, HealthChanged, OutageMeasured
from bot.domain.fleet import Probe
from bot.domain.health import (
    Gathered,
    HealthChange,
    HealthState,
    InOrder,
    Outage,
    Outcome,
    ProbeResult,
    clock_was_set,
    gather,
    moved,
    observe,
)
from bot.flows.chronicle import Chronicle
from bot.flows.ports import Entry, JournalUnavailable, Prober

log = structlog.get_logger(__name__)

MOST_SAMPLES = 20_000
"""How many samples wait for a journal that cannot be written before the oldest are dropped."""


class Watch:
    """One probe's results in the order in which they started, and what they add up to."""

    def __init__(
        self, probe: Probe, verdict: Outcome | None, expiring: datetime | None = None, *, real_servers: int = 1
    ) -> None:
        self.probe = probe
        self._sure = certificates.sure_after(real_servers)
        self.key = f"{probe.cluster}/{probe.name}"
        self.order = InOrder()
        self.health = HealthState(verdict=verdict)
        self.gathered = Gathered()
        self.certificate = Certificate(told=expiring)
        self._latest: ProbeResult | None = None

    def entries(self, result: ProbeResult) -> tuple[Entry, ...]:
        """Count *result* and return what the journal has to know of it: the outage that it ended first."""
        by = clock_was_set(self._latest, result) if self._latest is not None else timedelta()
        self._latest = result
        if by:
            self.health, self.gathered = moved(self.health, by), moved(self.gathered, by)
        return (*self._of_health(result), *self._of_certificate(result))

    def _of_certificate(self, result: ProbeResult) -> tuple[Entry, ...]:
        if result.certificate_ends_at is None:
            return ()
        self.certificate, news = certificates.observe(
            self.certificate,
            result.certificate_ends_at,
            now=result.started_at,
            least_days=self.probe.expiry_days,
            sure=self._sure,
        )
        if news is None:
            return ()
        key = f"certificate:{self.key}:{news.ends_at.isoformat()}:{result.started_at.isoformat()}"
        known_at = result.started_at + timedelta(seconds=result.latency_s)
        return (Entry(event=self._ending(news), source_key=key, at_source=known_at),)

    def _ending(self, news: Ending) -> CertificateChanged:
        return CertificateChanged(
            cluster=self.probe.cluster,
            service=self.probe.service,
            real_server=self.probe.real_server,
            expiring=news.expiring,
            ends_at=news.ends_at,
            least_days=self.probe.expiry_days,
        )

    def _of_health(self, result: ProbeResult) -> tuple[Entry, ...]:
        seen = observe(self.health, result, rise=self.probe.rise, fall=self.probe.fall)
        self.health = seen.state
        self.gathered, outages = gather(self.gathered, result, seen.outage, fall=self.probe.fall)
        entries = [self._outage_entry(outage) for outage in outages]
        if seen.change is not None:
            # By the probe that proved it: recording may be tried twice, but happens once.
            key = f"health:{self.key}:{result.started_at.isoformat()}"
            known_at = result.started_at + timedelta(seconds=result.latency_s)
            entries.append(Entry(event=self._changed(seen.change), source_key=key, at_source=known_at))
        return tuple(entries)

    def rest(self) -> tuple[Entry, ...]:
        """The short outages that were gathered and are not told yet; they are no longer held after that."""
        outage, self.gathered = self.gathered.outage, Gathered(ended_at=self.gathered.ended_at)
        return (self._outage_entry(outage),) if outage is not None else ()

    def _outage_entry(self, outage: Outage) -> Entry:
        key = f"outage:{self.key}:{outage.first_bad_at.isoformat()}"
        return Entry(event=self._measured(outage), source_key=key, at_source=outage.first_good_at)

    def _changed(self, change: HealthChange) -> HealthChanged:
        return HealthChanged(
            cluster=self.probe.cluster,
            service=self.probe.service,
            real_server=self.probe.real_server,
            outcome=change.after,
            reason=change.reason,
            since=change.since,
        )

    def _measured(self, outage: Outage) -> OutageMeasured:
        return OutageMeasured(
            cluster=self.probe.cluster,
            service=self.probe.service,
            real_server=self.probe.real_server,
            last_good_at=outage.last_good_at,
            first_bad_at=outage.first_bad_at,
            last_bad_at=outage.last_bad_at,
            first_good_at=outage.first_good_at,
            failed=outage.failed,
            good=outage.good,
            set_ahead_s=outage.set_ahead_s,
        )


class Probing:
    """Asks, puts the answers in order, counts them, and records what is new.

    It goes on from the health that the journal knows, so that what changed while the bot was down is told as a change.
    An outage that was under way then is not measured: nobody was looking.
    """

    def __init__(self, chronicle: Chronicle, prober: Prober, probes: Iterable[Probe]) -> None:
        self._chronicle = chronicle
        self._prober = prober
        self._probes = {_key(probe): probe for probe in probes}
        self._watches: dict[tuple[str, str], Watch] = {}
        self._news: deque[Entry] = deque()
        self._samples: deque[ProbeResult] = deque(maxlen=MOST_SAMPLES)
        self._recording = asyncio.Lock()
        self.dropped_samples = 0

    def health(self, probe: Probe) -> HealthState:
        """What the results of *probe* add up to so far; raises KeyError for one that is not watched."""
        return self._watch(probe).health

    def _watch(self, probe: Probe) -> Watch:
        key = _key(probe)
        if key not in self._watches:
            # At the first question and not before: by then the chronicle has read the journal.
            self._watches[key] = Watch(
                self._probes[key],
                _known(self._chronicle, probe),
                _expiring(self._chronicle, probe),
                real_servers=_behind(self._chronicle, probe),
            )
        return self._watches[key]

    async def ask(self, probe: Probe) -> ProbeResult:
        """Make one measurement, record what it changed, and return it. Several may be under way for one probe."""
        watch = self._watch(probe)
        ticket = watch.order.start()
        result: ProbeResult | None = None
        try:
            result = await self._prober.measure(probe)
        finally:
            # A cancelled probe hands its ticket in as well, or those after it would wait for ever.
            due = watch.order.finish(ticket, result)
            for each in due:
                self._take(each, watch)
        if self._news:
            await self.record_news()
        return result

    def _take(self, result: ProbeResult, watch: Watch) -> None:
        if len(self._samples) == MOST_SAMPLES:
            self.dropped_samples += 1
        self._samples.append(result)
        self._news += watch.entries(result)

    async def record_news(self) -> None:
        """Record changes and outages, oldest first; what the journal cannot take now stays for the next call."""
        async with self._recording:
            while self._news:
                batch = tuple(self._news)
                try:
                    await self._chronicle.append(*batch)
                except JournalUnavailable as error:
                    log.error("health changes wait for the journal", waiting=len(self._news), error=str(error))
                    return
                for _ in batch:
                    self._news.popleft()

    async def flush(self) -> None:
        """Write the samples gathered since the last time, and news that had to wait. Called about once a second."""
        await self.record_news()
        if not self._samples:
            return
        batch = tuple(self._samples)
        self._samples.clear()
        written = False
        try:
            await self._chronicle.journal.add_samples(batch)
            written = True
        except JournalUnavailable as error:
            log.error("samples wait for the journal", waiting=len(batch), error=str(error))
        finally:
            if not written:
                self._keep(batch)

    async def close(self) -> None:
        """Write all that is held, short outages that waited for a calm too. Nothing is to be asked any more by then."""
        for watch in self._watches.values():
            self._news += watch.rest()
        await self.flush()

    def _keep(self, batch: tuple[ProbeResult, ...]) -> None:
        """Put *batch* back before what came since, as much of its newer end as there is room for."""
        room = MOST_SAMPLES - len(self._samples)
        self.dropped_samples += max(0, len(batch) - room)
        self._samples.extendleft(list(reversed(batch))[:room])


def _key(probe: Probe) -> tuple[str, str]:
    return probe.cluster, probe.name


def _known(chronicle: Chronicle, probe: Probe) -> Outcome | None:
    situation = chronicle.world.situations.get(probe.cluster)
    found = situation.health.get((probe.service, probe.real_server)) if situation is not None else None
    return found.outcome if found is not None else None


def _behind(chronicle: Chronicle, probe: Probe) -> int:
    """How many real servers may answer *probe*."""
    services = (s for c in chronicle.fleet.clusters if c.name == probe.cluster for s in c.services)
    members = next((len(s.members) for s in services if s.name == probe.service), 1)
    return members if probe.real_server is None else 1


def _expiring(chronicle: Chronicle, probe: Probe) -> datetime | None:
    """When the certificate ends that was last said to be about to; None where none is."""
    situation = chronicle.world.situations.get(probe.cluster)
    found = situation.certificates.get((probe.service, probe.real_server)) if situation is not None else None
    return found.ends_at if found is not None and found.expiring else None
