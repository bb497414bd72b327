"""The probe schedule: APScheduler beats once per distinct interval, and each beat spreads its probes over it.

One job per interval and not per probe: a job per probe was measured to cost 38 % more CPU at 500 probes, and its
phases bunch. APScheduler keeps the time, and its own reports of missed runs are passed on; a beat only starts timers on
the event loop. It computes with the wall clock, so a clock that is set back would silence it until the old time comes
round again: a guard on the monotonic clock notices, says so and starts the beat anew.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import structlog
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, JobEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from bot.domain.fleet import Probe
from bot.domain.health import Outcome, ProbeResult

log = structlog.get_logger(__name__)

# APScheduler writes a line for each run of each job: here that would be many a second.
logging.getLogger("apscheduler").setLevel(logging.WARNING)

GUARD_S = 2.0
"""Seconds between two looks at whether every beat still goes on, and how much longer than two intervals may pass."""

DEAD_S = 10.0
"""How much longer a beat has to be silent until the guard is taken to have failed to start it anew."""

REPORTS = {
    EVENT_JOB_MISSED: "missed",
    EVENT_JOB_MAX_INSTANCES: "max_instances",
    EVENT_JOB_ERROR: "failed",
}


class Beat:
    """The probes of one interval (``every``, seconds), each with its phase in it."""

    def __init__(self, every: float, probes: Iterable[Probe]) -> None:
        self.every = every
        self.probes = tuple(probes)
        self.last = math.nan

    @property
    def id(self) -> str:
        """The name of its job."""
        return f"every {self.every:g} s"

    def delays(self, jitter: Callable[[float, float], float]) -> tuple[tuple[float, Probe], ...]:
        """How many seconds after the beat each probe starts: its phase, and a lead or lag of up to its jitter."""
        step = self.every / len(self.probes)
        return tuple(
            # Shifted by the jitter itself, because none can start before the beat.
            (number * step + probe.jitter + jitter(-probe.jitter, probe.jitter), probe)
            for number, probe in enumerate(self.probes)
        )

    def skipped(self, now: float) -> int:
        """How many beats were passed over since the last one, and this is one at *now* (monotonic seconds)."""
        gap = now - self.last
        self.last = now
        return 0 if math.isnan(gap) else max(0, round(gap / self.every) - 1)


class Rounds:
    """Does each of some jobs every so often (APScheduler), from a first time on. One that fails has its next turn."""

    def __init__(self) -> None:
        self._scheduler = AsyncIOScheduler(timezone=UTC)

    def add(self, job: Callable[[], Awaitable[None]], name: str, *, every_s: float, first_at: datetime) -> None:
        """Have *job* done every *every_s* seconds, for the first time at *first_at*."""
        self._scheduler.add_job(
            job,
            IntervalTrigger(seconds=every_s, start_date=first_at),
            id=name,
            coalesce=True,
            misfire_grace_time=None,  # late is better than left out
            max_instances=1,
        )

    def start(self) -> None:
        """Begin."""
        self._scheduler.start()

    async def close(self) -> None:
        """Start nothing more; what is under way is cancelled."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
            await asyncio.sleep(0)  # APScheduler ends in a turn of the loop of its own


class ProbeSchedule:
    """Calls *ask* for each probe in its rhythm, and *flush* every second.

    ``counts`` says what did not go as planned, by name: skipped (a beat passed over), missed, max_instances, failed
    (APScheduler's reports), overrun (too many of one probe under way), restarted (a beat that had fallen silent).
    ``started`` counts the probes that were started, ``missed`` those that were due and could not be; ``unmeasured``
    those of the started that could not be made by what *ask* returned, and ``why`` is what the last of them said.
    """

    def __init__(
        self,
        probes: Iterable[Probe],
        ask: Callable[[Probe], Awaitable[ProbeResult | None]],
        flush: Callable[[], Awaitable[None]],
        *,
        jitter: Callable[[float, float], float] = random.uniform,
        guard_s: float = GUARD_S,
    ) -> None:
        by_interval: defaultdict[float, list[Probe]] = defaultdict(list)
        for probe in probes:
            by_interval[probe.every].append(probe)
        self._beats = tuple(Beat(every, group) for every, group in sorted(by_interval.items()))
        self._ask = ask
        self._flush = flush
        self._jitter = jitter
        self._guard_s = guard_s
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._under_way: Counter[tuple[str, str]] = Counter()
        self._tasks: set[asyncio.Future[Any]] = set()
        self._guard: asyncio.TimerHandle | None = None
        self._closed = False
        self.counts: Counter[str] = Counter()
        self.started = 0
        self.missed = 0
        self.unmeasured = 0
        self.why = ""

    def start(self) -> None:
        """Begin; the first probes start at once."""
        now = asyncio.get_running_loop().time()
        for beat in self._beats:
            beat.last = now  # one that never strikes is found silent as well
        self._scheduler.add_listener(self._report, EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES | EVENT_JOB_ERROR)
        self._add_jobs()
        self._scheduler.start()
        self._guard = asyncio.get_running_loop().call_later(self._guard_s, self._look)

    @property
    def silent_s(self) -> float:
        """How long ago the beat struck that has been silent for longest of those that stay so; 0 where none does."""
        now, patience = asyncio.get_running_loop().time(), 2 * self._guard_s + DEAD_S
        return max((now - b.last for b in self._beats if now - b.last > 2 * b.every + patience), default=0.0)

    async def close(self) -> None:
        """Start nothing more, wait for the probes under way (each ends within its timeout), write what they gave."""
        self._closed = True
        if self._guard is not None:
            self._guard.cancel()
        if self._scheduler.running:
            self._scheduler.pause()
            await asyncio.sleep(0)  # a job that was begun just now runs first
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self._scheduler.running:
            # Not before: it cancels what is under way, and samples that are being written would be written twice.
            self._scheduler.shutdown(wait=False)
        await self._flush()

    def _add_jobs(self) -> None:
        for beat in self._beats:
            self._add(self._strike, beat.id, beat.every, beat)
        self._add(self._write, "write samples", 1.0)

    def _add(self, job: Callable[..., Awaitable[None]], name: str, every: float, *args: object) -> None:
        self._scheduler.add_job(
            job,
            IntervalTrigger(seconds=every, start_date=datetime.now(UTC)),
            args=args,
            id=name,
            replace_existing=True,
            next_run_time=datetime.now(UTC),
            # Beats that are late by more than one are one: a burst of probes would measure nothing that one does not.
            coalesce=True,
            misfire_grace_time=max(1, math.ceil(every)),
            max_instances=2,
        )

    async def _strike(self, beat: Beat) -> None:
        loop = asyncio.get_running_loop()
        if skipped := beat.skipped(loop.time()):
            self._say("skipped", skipped, beat=beat.id)
            self.missed += skipped * len(beat.probes)
        for delay, probe in beat.delays(self._jitter):
            loop.call_later(delay, self._launch, probe)

    async def _write(self) -> None:
        task = asyncio.ensure_future(self._flush())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.shield(task)

    def _launch(self, probe: Probe) -> None:
        if self._closed:
            return
        key = (probe.cluster, probe.name)
        # As many as can be under way when each ends within its timeout, and one for the timer's grain.
        if self._under_way[key] > math.ceil(probe.timeout / probe.every):
            self._say("overrun", 1, probe=probe.name)
            self.missed += 1
            return
        self.started += 1
        self._under_way[key] += 1
        task = asyncio.ensure_future(self._ask(probe))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._finished(key, done))

    def _finished(self, key: tuple[str, str], task: asyncio.Future[ProbeResult | None]) -> None:
        self._tasks.discard(task)
        self._under_way[key] -= 1
        if task.cancelled():
            return
        if task.exception() is not None:
            log.error("a probe could not be counted", probe=key[1], exc_info=task.exception())
            self.counts["failed"] += 1
        elif (result := task.result()) is not None and result.outcome is Outcome.UNMEASURED:
            self.unmeasured += 1
            self.why = result.reason

    def _look(self) -> None:
        """The guard: start every job anew when a beat has fallen silent."""
        loop = asyncio.get_running_loop()
        silent = [beat.id for beat in self._beats if loop.time() - beat.last > 2 * beat.every + self._guard_s]
        if silent:
            self._say("restarted", 1, beats=silent)
            self._add_jobs()
        self._guard = loop.call_later(self._guard_s, self._look)

    def _report(self, event: JobEvent) -> None:
        """APScheduler's own word that a run did not take place or failed."""
        error = getattr(event, "exception", None)
        self._say(REPORTS[event.code], 1, job=event.job_id, error=repr(error) if error else None)

    def _say(self, what: str, count: int, **where: object) -> None:
        """Count it, and log it at the first, second, fourth, … time: what goes wrong 4 times a second floods no log."""
        before = self.counts[what]
        self.counts[what] += count
        if before.bit_length() != self.counts[what].bit_length():
            log.warning("the probe schedule slipped", what=what, so_far=self.counts[what], **where)
