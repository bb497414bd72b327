"""The probe schedule: every probe in its rhythm, phases spread, slips counted, silence noticed, a clean end."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.fleet import Probe, ProbeKind
from bot.domain.health import Outcome, ProbeResult
from bot.entrypoints.schedule import DEAD_S, Beat, ProbeSchedule, Rounds


def probe(name: str, *, every: float = 0.02, timeout: float = 0.9, jitter: float = 0.0) -> Probe:
    return Probe(
        name=name,
        cluster="site",
        service="http",
        real_server=None,
        kind=ProbeKind.TCP,
        address=ip_address("127.0.0.1"),
        port=80,
        every=every,
        timeout=timeout,
        jitter=jitter,
    )


class Asked:
    """Counts what it is asked; ``wait`` returns once a condition on the counts holds."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.flushes = 0
        self._news = asyncio.Condition()

    async def ask(self, probe: Probe) -> None:
        async with self._news:
            self.counts[probe.name] += 1
            self._news.notify_all()

    async def flush(self) -> None:
        self.flushes += 1

    async def wait(self, condition: Callable[[Counter[str]], bool]) -> None:
        async with self._news:
            await self._news.wait_for(lambda: condition(self.counts))


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


async def test_every_probe_is_asked_again_and_again_whatever_its_interval() -> None:
    asked = Asked()
    probes = [probe("a"), probe("b"), probe("c", every=0.05), probe("d", every=0.05, jitter=0.01)]
    schedule = ProbeSchedule(probes, asked.ask, asked.flush)
    schedule.start()
    await asked.wait(lambda counts: all(counts[name] >= 3 for name in "abcd"))
    await schedule.close()
    assert schedule.counts["failed"] == 0


async def test_a_slow_probe_overlaps_itself_but_not_without_bound() -> None:
    under_way = 0
    most = 0
    release = asyncio.Event()

    async def ask(_probe: Probe) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await release.wait()
        under_way -= 1

    asked = Asked()
    # Ended by its timeout, at most 3 of them can be under way at a time; one more is granted for the timer's grain.
    schedule = ProbeSchedule([probe("slow", every=0.02, timeout=0.06)], ask, asked.flush)
    schedule.start()
    await until(lambda: schedule.counts["overrun"] >= 2)
    assert schedule.started == 4
    assert schedule.missed == schedule.counts["overrun"] + schedule.counts["skipped"]
    release.set()
    await schedule.close()
    assert most == 4


async def test_a_probe_that_raises_is_counted_and_asked_again() -> None:
    asked = Asked()

    async def ask(each: Probe) -> None:
        await asked.ask(each)
        raise RuntimeError("a defect")

    schedule = ProbeSchedule([probe("a")], ask, asked.flush)
    schedule.start()
    await asked.wait(lambda counts: counts["a"] >= 3)
    await schedule.close()
    assert schedule.counts["failed"] >= 2


async def test_probes_that_measure_nothing_are_counted_with_the_last_reason() -> None:
    asked = Asked()
    outcomes = {"a": Outcome.HEALTHY, "b": Outcome.UNHEALTHY, "c": Outcome.UNMEASURED}

    async def ask(each: Probe) -> ProbeResult:
        await asked.ask(each)
        at, outcome = datetime.now(UTC), outcomes[each.name]
        return ProbeResult(probe=each.name, outcome=outcome, started_at=at, latency_s=0, reason=f"of {each.name}")

    schedule = ProbeSchedule([probe("a"), probe("b"), probe("c")], ask, asked.flush)
    schedule.start()
    await asked.wait(lambda counts: all(counts[name] >= 3 for name in "abc"))
    await schedule.close()
    assert schedule.unmeasured == asked.counts["c"]
    assert schedule.why == "of c"
    assert schedule.started == asked.counts.total()


async def test_beats_passed_over_while_the_loop_stood_still_are_counted() -> None:
    asked = Asked()
    schedule = ProbeSchedule([probe("a"), probe("b")], asked.ask, asked.flush)
    schedule.start()
    await asked.wait(lambda counts: counts["a"] >= 1)
    time.sleep(0.3)  # noqa: ASYNC251 - a blocking call is what this is about
    await until(lambda: schedule.counts["skipped"] >= 10)
    assert schedule.missed == 2 * schedule.counts["skipped"]
    seen = asked.counts["a"]
    await asked.wait(lambda counts: counts["a"] > seen)
    await schedule.close()


async def test_a_schedule_that_a_clock_set_back_has_silenced_is_started_anew() -> None:
    asked = Asked()
    schedule = ProbeSchedule([probe("a")], asked.ask, asked.flush, guard_s=0.1)
    schedule.start()
    await asked.wait(lambda counts: counts["a"] >= 1)
    # What a clock that is set back by an hour leaves: the next run is an hour away.
    later = datetime.now(UTC) + timedelta(hours=1)
    for job in schedule._scheduler.get_jobs():
        job.modify(next_run_time=later)
    seen = asked.counts["a"]
    await asked.wait(lambda counts: counts["a"] > seen + 3)
    await schedule.close()
    assert schedule.counts["restarted"] >= 1


async def test_a_beat_that_never_struck_is_started_anew_too() -> None:
    asked = Asked()
    schedule = ProbeSchedule([probe("a")], asked.ask, asked.flush, guard_s=0.1)
    schedule.start()
    for job in schedule._scheduler.get_jobs():
        job.modify(next_run_time=datetime.now(UTC) + timedelta(hours=1))
    await asked.wait(lambda counts: counts["a"] > 3)
    await schedule.close()
    assert schedule.counts["restarted"] >= 1


async def test_a_schedule_that_is_dead_says_for_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked()
    schedule = ProbeSchedule([probe("a"), probe("b", every=60.0)], asked.ask, asked.flush, guard_s=0.01)
    schedule.start()
    await asked.wait(lambda counts: counts["a"] >= 1)
    assert schedule.silent_s == 0
    schedule._scheduler.pause()
    monkeypatch.setattr(schedule, "_look", lambda: None)  # the guard is dead too
    await asyncio.sleep(0.05)
    beat = schedule._beats[0]
    beat.last -= DEAD_S
    await until(lambda: schedule.silent_s > DEAD_S)
    await schedule.close()


async def test_a_flush_that_hangs_is_reported_and_does_not_stop_the_probes() -> None:
    asked = Asked()
    stuck = asyncio.Event()

    async def flush() -> None:
        await stuck.wait()

    schedule = ProbeSchedule([probe("a", every=0.2)], asked.ask, flush)
    schedule.start()
    await until(lambda: schedule.counts["max_instances"] >= 1)
    seen = asked.counts["a"]
    await asked.wait(lambda counts: counts["a"] > seen)
    stuck.set()
    await schedule.close()


async def test_closing_waits_for_the_probes_under_way_and_writes_what_they_gave() -> None:
    asked = Asked()
    release = asyncio.Event()
    finished: list[str] = []

    async def ask(each: Probe) -> None:
        await asked.ask(each)
        await release.wait()
        finished.append(each.name)

    schedule = ProbeSchedule([probe("a"), probe("b")], ask, asked.flush)
    schedule.start()
    await asked.wait(lambda counts: counts["a"] >= 1 and counts["b"] >= 1)
    closing = asyncio.create_task(schedule.close())
    await asyncio.sleep(0)
    asked_before, flushed_before = asked.counts.total(), asked.flushes
    release.set()
    await closing
    assert len(finished) == asked.counts.total() == asked_before
    assert asked.flushes == flushed_before + 1


async def test_closing_lets_samples_that_are_being_written_be_written_once() -> None:
    asked = Asked()
    release = asyncio.Event()
    writes: list[str] = []

    async def flush() -> None:
        writes.append("begun")
        await release.wait()
        writes.append("done")

    schedule = ProbeSchedule([probe("a")], asked.ask, flush)
    schedule.start()
    await until(lambda: "begun" in writes)
    closing = asyncio.create_task(schedule.close())
    await asyncio.sleep(0.05)
    assert "done" not in writes
    release.set()
    await closing
    assert writes.count("begun") == writes.count("done") >= 2
    assert schedule.counts["failed"] == 0


async def test_without_probes_there_is_nothing_to_do_but_to_end() -> None:
    asked = Asked()
    schedule = ProbeSchedule([], asked.ask, asked.flush)
    schedule.start()
    await schedule.close()
    assert asked.flushes >= 1


async def test_rounds_are_made_again_and_again_from_their_first_time_on_whatever_one_of_them_does() -> None:
    made: Counter[str] = Counter()

    async def fails() -> None:
        made["fails"] += 1
        raise RuntimeError("a defect")

    async def early() -> None:
        made["early"] += 1

    async def late() -> None:
        made["late"] += 1

    rounds = Rounds()
    now = datetime.now(UTC)
    rounds.add(fails, "fails", every_s=0.02, first_at=now)
    rounds.add(early, "early", every_s=0.02, first_at=now)
    rounds.add(late, "late", every_s=0.02, first_at=now + timedelta(hours=1))
    rounds.start()
    await until(lambda: made["fails"] >= 3 and made["early"] >= 3)
    assert made["late"] == 0
    await rounds.close()
    seen = Counter(made)
    await asyncio.sleep(0.1)
    assert made == seen


async def test_rounds_that_never_began_end_too() -> None:
    await Rounds().close()


@given(count=st.integers(1, 200), every=st.floats(0.1, 60), jitter=st.floats(0, 1), share=st.floats(-1, 1))
def test_phases_are_spread_over_the_interval_and_jitter_stays_within_its_bounds(
    count: int, every: float, jitter: float, share: float
) -> None:
    beat = Beat(every, [probe(str(number), every=every, jitter=jitter) for number in range(count)])
    delays = [delay for delay, _ in beat.delays(lambda low, high: share * high)]
    steps = [number * every / count for number in range(count)]
    assert all(delay >= 0 for delay in delays)
    assert all(abs(delay - jitter - step) <= jitter + 1e-9 for delay, step in zip(delays, steps, strict=True))


def test_a_late_beat_is_none_skipped_and_a_gap_counts_the_beats_in_it() -> None:
    beat = Beat(0.25, [probe("a")])
    assert [beat.skipped(now) for now in (10.0, 10.25, 10.5, 10.6, 11.6)] == [0, 0, 0, 0, 3]
