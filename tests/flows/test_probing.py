"""From measurements to the journal: in order, once, and not lost while the journal cannot be written."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.certificates import SURE
from bot.domain.events import CertificateChanged, Event, HealthChanged, OutageMeasured, Recorded
from bot.domain.fleet import Fleet, Probe, ProbeKind
from bot.domain.health import Outcome, ProbeResult
from bot.flows.chronicle import Chronicle
from bot.flows.ports import Entry, JournalUnavailable
from bot.flows.probing import Probing
from tests.domain.reference import FLEET, SITE

T0 = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
GOOD, BAD, BLIND = Outcome.HEALTHY, Outcome.UNHEALTHY, Outcome.UNMEASURED
VIP = Probe(
    name="vip:http",
    cluster="site",
    service="http",
    real_server=None,
    kind=ProbeKind.HTTP,
    address=ip_address("10.100.5.11"),
    port=80,
    every=0.25,
    timeout=0.9,
)
WEB1 = Probe(
    name="rs:http/web1",
    cluster="site",
    service="http",
    real_server="web1",
    kind=ProbeKind.HTTP,
    address=ip_address("10.100.0.11"),
    port=80,
)


class Pages:
    """A journal on a list, with a disk that can be full."""

    def __init__(self) -> None:
        self.recorded: list[Recorded] = []
        self.samples: list[ProbeResult] = []
        self.keys: set[str] = set()
        self.full = False

    async def append(self, *entries: Entry) -> tuple[Recorded | None, ...]:
        self._check()
        return tuple([self._one(entry) for entry in entries])

    def _one(self, entry: Entry) -> Recorded | None:
        if entry.source_key in self.keys:
            return None
        assert entry.source_key is not None
        self.keys.add(entry.source_key)
        at = entry.at_source or T0
        self.recorded.append(Recorded(sequence=len(self.recorded) + 1, recorded_at=at, at_source=at, event=entry.event))
        return self.recorded[-1]

    async def read(self, *, after: int = 0, kinds: Sequence[str] = (), limit: int = 1000) -> tuple[Recorded, ...]:
        return tuple(self.recorded[after : after + limit])

    async def last_sequence(self) -> int:
        return len(self.recorded)

    async def add_samples(self, results: Sequence[ProbeResult]) -> None:
        self._check()
        self.samples += results

    async def close(self) -> None: ...

    def _check(self) -> None:
        if self.full:
            raise JournalUnavailable("the disk is full")

    @property
    def events(self) -> list[Event]:
        return [recorded.event for recorded in self.recorded]


class Script:
    """A prober whose answers come when the test says so: each measurement waits for its turn."""

    def __init__(self) -> None:
        self.under_way: list[asyncio.Future[Outcome]] = []
        self.certificate_ends_at: datetime | None = None
        self.set_by = 0.0

    async def measure(self, probe: Probe) -> ProbeResult:
        number = len(self.under_way)
        turn = asyncio.get_running_loop().create_future()
        self.under_way.append(turn)
        outcome = await turn
        return ProbeResult(
            probe=probe.name,
            outcome=outcome,
            started_at=T0 + timedelta(seconds=0.25 * number + self.set_by),
            began=0.25 * number,
            latency_s=0.1,
            reason="" if outcome is GOOD else f"reason {number}",
            certificate_ends_at=self.certificate_ends_at,
        )

    async def close(self) -> None: ...


class Trial:
    """A probing flow with a scripted prober over a list."""

    def __init__(self, pages: Pages | None = None, fleet: Fleet = FLEET) -> None:
        self.pages = pages or Pages()
        self.prober = Script()
        self.chronicle = Chronicle(self.pages, fleet)
        self.probing = Probing(self.chronicle, self.prober, (VIP, WEB1))

    async def see(self, *outcomes: Outcome, probe: Probe = VIP) -> None:
        """Measure one after another."""
        for outcome in outcomes:
            task = asyncio.create_task(self.probing.ask(probe))
            await asyncio.sleep(0)
            self.prober.under_way[-1].set_result(outcome)
            await task


async def test_whoever_asks_gets_the_result() -> None:
    trial = Trial()
    task = asyncio.create_task(trial.probing.ask(VIP))
    await asyncio.sleep(0)
    trial.prober.under_way[-1].set_result(BLIND)
    assert (await task).outcome is BLIND


def health(event: Event) -> tuple[str | None, Outcome]:
    assert isinstance(event, HealthChanged)
    return event.real_server, event.outcome


async def test_a_change_of_health_is_recorded_with_its_reason_and_its_beginning() -> None:
    trial = Trial()
    await trial.see(GOOD, GOOD, BAD, BAD, BAD)
    assert trial.pages.events == [
        HealthChanged(cluster="site", service="http", real_server=None, outcome=GOOD, reason="", since=T0),
        HealthChanged(
            cluster="site",
            service="http",
            real_server=None,
            outcome=BAD,
            reason="reason 4",
            since=T0 + timedelta(seconds=0.5),
        ),
    ]
    assert trial.pages.recorded[-1].at_source == T0 + timedelta(seconds=1.1)


async def test_an_outage_is_recorded_before_the_health_that_it_ended_in() -> None:
    trial = Trial()
    await trial.see(GOOD, GOOD, BAD, BAD, BAD, GOOD, GOOD)
    outage, change = trial.pages.events[2:]
    assert isinstance(outage, OutageMeasured)
    assert (outage.first_bad_at, outage.last_bad_at, outage.failed) == (
        T0 + timedelta(seconds=0.5),
        T0 + timedelta(seconds=1),
        3,
    )
    assert health(change) == (None, GOOD)


async def test_a_probe_that_fails_every_second_time_does_not_fill_the_journal() -> None:
    trial = Trial()
    await trial.see(GOOD, GOOD, *[BAD, GOOD] * 40, *[GOOD] * 41)
    outages = [event for event in trial.pages.events if isinstance(event, OutageMeasured)]
    assert [(o.failed, o.good) for o in outages] == [(1, 0), (39, 38)]


@pytest.mark.parametrize("set_by", [60.0, -60.0, -3600.0])
async def test_a_clock_that_is_set_during_an_outage_makes_it_no_longer_and_no_shorter(set_by: float) -> None:
    trial = Trial()
    await trial.see(*[GOOD] * 4, *[BAD] * 4)
    trial.prober.set_by = set_by
    await trial.see(*[BAD] * 4, GOOD, GOOD)
    outage, _ = trial.pages.events[2:]
    assert isinstance(outage, OutageMeasured)
    assert outage.first_good_at == T0 + timedelta(seconds=3 + set_by), "by the clock as it is at the end"
    assert (outage.last_bad_at - outage.first_bad_at).total_seconds() == 1.75
    assert outage.last_good_at is not None
    assert (outage.first_good_at - outage.last_good_at).total_seconds() == 2.25
    assert outage.set_ahead_s == max(set_by, 0.0), "a machine that stood still, whose clock was set ahead, counted less"


async def test_a_clock_that_was_set_before_an_outage_has_nothing_to_do_with_it() -> None:
    trial = Trial()
    await trial.see(GOOD, GOOD)
    trial.prober.set_by = 60.0
    await trial.see(GOOD, *[BAD] * 4, GOOD)
    outage = trial.pages.events[-1]
    assert isinstance(outage, OutageMeasured)
    assert outage.set_ahead_s == 0.0


async def test_a_clock_that_is_set_between_a_good_probe_and_a_failed_one_is_told() -> None:
    trial = Trial()
    await trial.see(GOOD, GOOD)
    trial.prober.set_by = 60.0
    await trial.see(*[BAD] * 4, GOOD)
    outage = trial.pages.events[-1]
    assert isinstance(outage, OutageMeasured)
    assert outage.set_ahead_s == 60.0


@pytest.mark.parametrize(("set_by", "told"), [(6.0, 6.0), (-6.0, 0.0)])
async def test_a_clock_that_is_set_while_an_outage_comes_and_goes_is_told(set_by: float, told: float) -> None:
    trial = Trial()
    await trial.see(GOOD, GOOD, *[BAD, GOOD] * 3)
    trial.prober.set_by = set_by
    await trial.see(*[GOOD] * 2, *[BAD, GOOD] * 3)
    trial.prober.set_by = set_by + 60.0
    await trial.see(*[GOOD] * 41)
    outage = trial.pages.events[-1]
    assert isinstance(outage, OutageMeasured)
    assert (outage.failed, outage.set_ahead_s) == (5, told), "and what was after its end is none of it"


async def test_a_clock_that_is_set_back_keeps_no_short_outage_waiting() -> None:
    trial = Trial()
    await trial.see(GOOD, GOOD, *[BAD, GOOD] * 4)
    trial.prober.set_by = -3600.0
    await trial.see(*[GOOD] * 41)
    outages = [event for event in trial.pages.events if isinstance(event, OutageMeasured)]
    assert [(o.failed, o.good) for o in outages] == [(1, 0), (3, 2)]


async def test_what_was_gathered_is_recorded_when_the_bot_stops_and_only_once() -> None:
    trial = Trial()
    await trial.see(GOOD, GOOD, *[BAD, GOOD] * 40)
    await trial.probing.close()
    await trial.probing.close()
    outages = [event for event in trial.pages.events if isinstance(event, OutageMeasured)]
    assert [(o.failed, o.good) for o in outages] == [(1, 0), (39, 38)]
    assert len(trial.pages.samples) == 82


async def test_targets_are_counted_apart() -> None:
    trial = Trial()
    await trial.see(GOOD, GOOD, BAD, BAD)
    await trial.see(BAD, BAD, BAD, probe=WEB1)
    assert [health(event) for event in trial.pages.events] == [(None, GOOD), ("web1", BAD)]
    assert trial.probing.health(VIP).verdict is GOOD
    assert trial.probing.health(WEB1).verdict is BAD


@given(finish=st.permutations(range(7)))
async def test_results_that_overtake_each_other_make_the_same_story(finish: list[int]) -> None:
    trial = Trial()
    outcomes = [GOOD, GOOD, BAD, BAD, BAD, GOOD, GOOD]
    tasks = [asyncio.create_task(trial.probing.ask(VIP)) for _ in outcomes]
    await asyncio.sleep(0)
    for number in finish:
        trial.prober.under_way[number].set_result(outcomes[number])
        await tasks[number]
    in_turn = Trial()
    await in_turn.see(*outcomes)
    assert trial.pages.recorded == in_turn.pages.recorded


async def test_a_cancelled_probe_holds_nobody_up() -> None:
    trial = Trial()
    first = asyncio.create_task(trial.probing.ask(VIP))
    await asyncio.sleep(0)
    await trial.see(GOOD, GOOD)
    assert trial.pages.events == []
    first.cancel()
    await asyncio.wait([first])
    await trial.probing.flush()
    assert [health(event) for event in trial.pages.events] == [(None, GOOD)]


async def test_samples_are_written_in_batches_and_never_as_events() -> None:
    trial = Trial()
    await trial.see(GOOD, BAD, BLIND)
    assert trial.pages.samples == []
    await trial.probing.flush()
    await trial.probing.flush()
    assert [sample.outcome for sample in trial.pages.samples] == [GOOD, BAD, BLIND]


async def test_what_the_journal_cannot_take_is_recorded_later_in_order_and_once() -> None:
    trial = Trial()
    await trial.see(GOOD, GOOD)
    trial.pages.full = True
    await trial.see(BAD, BAD, BAD, GOOD, GOOD)
    await trial.probing.flush()
    assert len(trial.pages.events) == 1
    assert trial.pages.samples == []
    trial.pages.full = False
    await trial.see(GOOD)
    await trial.probing.flush()
    assert [type(event) for event in trial.pages.events] == [
        HealthChanged,
        HealthChanged,
        OutageMeasured,
        HealthChanged,
    ]
    assert [sample.outcome for sample in trial.pages.samples] == [GOOD, GOOD, BAD, BAD, BAD, GOOD, GOOD, GOOD]


async def test_a_restarted_bot_tells_only_what_has_changed() -> None:
    before = Trial()
    await before.see(GOOD, GOOD, BAD, BAD, BAD)
    after = Trial(before.pages)
    await after.chronicle.catch_up()
    told = len(before.pages.events)
    await after.see(BAD, BAD, BAD, BAD)
    assert len(before.pages.events) == told
    await after.see(GOOD, GOOD)
    assert health(before.pages.events[-1]) == (None, GOOD)


OLD, NEW = T0 + timedelta(days=3), T0 + timedelta(days=90)


def endings(pages: Pages) -> list[tuple[bool, datetime]]:
    return [(e.expiring, e.ends_at) for e in pages.events if isinstance(e, CertificateChanged)]


async def test_a_certificate_about_to_end_is_recorded_once_and_its_target_stays_healthy() -> None:
    trial = Trial()
    trial.prober.certificate_ends_at = OLD
    await trial.see(*[GOOD] * 20)
    assert [type(event) for event in trial.pages.events] == [CertificateChanged, HealthChanged]
    assert trial.pages.events[0] == CertificateChanged(
        cluster="site", service="http", real_server=None, expiring=True, ends_at=OLD, least_days=14
    )
    trial.prober.certificate_ends_at = NEW
    await trial.see(*[GOOD] * 20)
    assert endings(trial.pages) == [(True, OLD), (False, NEW)]


async def test_behind_a_large_pool_a_certificate_that_is_seldom_seen_is_not_taken_for_gone() -> None:
    http = SITE.service("http")
    large = replace(SITE, services=(replace(http, members=http.members * 8), *SITE.services[1:]))
    trial = Trial(fleet=Fleet(clusters=(large,)))
    for probe in (VIP, WEB1):
        for _ in range(4):
            trial.prober.certificate_ends_at = OLD
            await trial.see(GOOD, probe=probe)
            trial.prober.certificate_ends_at = NEW
            await trial.see(*[GOOD] * (8 * len(http.members) - 1), probe=probe)
    told = [event for event in trial.pages.events if isinstance(event, CertificateChanged)]
    assert [event.expiring for event in told if event.real_server is None] == [True]
    assert [event.expiring for event in told if event.real_server == "web1"] == [True, False] * 4


async def test_a_restarted_bot_does_not_tell_of_the_same_certificate_again_but_of_its_renewal() -> None:
    before = Trial()
    before.prober.certificate_ends_at = OLD
    await before.see(*[GOOD] * 3)
    after = Trial(before.pages)
    await after.chronicle.catch_up()
    after.prober.certificate_ends_at = OLD
    await after.see(*[GOOD] * 20)
    assert endings(before.pages) == [(True, OLD)]
    again = Trial(before.pages)
    await again.chronicle.catch_up()
    again.prober.certificate_ends_at = NEW
    await again.see(*[GOOD] * SURE)
    assert endings(before.pages) == [(True, OLD), (False, NEW)]


async def test_a_certificate_that_the_full_disk_kept_from_the_journal_is_recorded_later_and_once() -> None:
    trial = Trial()
    trial.prober.certificate_ends_at = OLD
    trial.pages.full = True
    await trial.see(GOOD)
    trial.pages.full = False
    await trial.see(*[GOOD] * 5)
    assert endings(trial.pages) == [(True, OLD)]
