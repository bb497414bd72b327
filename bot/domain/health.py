"""Rise and fall: probe results in, changes of health and measured outages out."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar


class Outcome(StrEnum):
    """What one probe found. UNMEASURED: the probe itself could not be made, which says nothing of the target."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    UNMEASURED = "unmeasured"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """One measurement. ``latency_s`` is seconds from start to verdict; ``reason`` says what was wrong, in words.

    ``started_at`` is when the first packet was asked for: what an outage is measured by; ``began`` is the same moment
    in seconds on a clock that never jumps, if it was looked at. ``certificate_ends_at`` is the end of the certificate
    that a TLS probe found good.
    """

    probe: str
    outcome: Outcome
    started_at: datetime
    latency_s: float
    reason: str = ""
    detail: str = ""
    certificate_ends_at: datetime | None = None
    began: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthChange:
    """A target's health became another. ``since`` is the start of the first probe of the run that says so.

    ``before`` is None for the first verdict on a target.
    """

    probe: str
    before: Outcome | None
    after: Outcome
    since: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A run of one or more failed probes that a good one ended. It is measured to within the spacing of the probes.

    ``last_good_at`` is None when no good probe had been seen before it. Times are starts of probes. ``good`` is how
    many good ones there were among the failed, where several short runs are told as one (:func:`gather`).
    ``set_ahead_s``: the clock was set ahead by that many seconds in it, see :func:`moved`.
    """

    probe: str
    last_good_at: datetime | None
    first_bad_at: datetime
    last_bad_at: datetime
    first_good_at: datetime
    failed: int
    good: int = 0
    set_ahead_s: float = 0.0

    @property
    def at_least_s(self) -> float:
        """Seconds that it certainly lasted: from the first failed probe's start to the last one's."""
        return (self.last_bad_at - self.first_bad_at).total_seconds()

    @property
    def at_most_s(self) -> float | None:
        """Seconds that it can have lasted: between the good probes around it; None when there was none before it."""
        if self.last_good_at is None:
            return None
        return (self.first_good_at - self.last_good_at).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthState:
    """What the results so far say of one probe's target. A new one knows nothing.

    ``verdict`` is the health after rise and fall. The latest measurements were ``run_length`` times ``run`` in a row,
    the first started at ``run_since``; after them ``blind`` could not be made, the first started at ``blind_since``.
    ``failed`` probes since the last good one started between ``first_bad_at`` and ``last_bad_at``. Since that good one
    the clock was set ahead by ``set_ahead_s``.
    """

    verdict: Outcome | None = None
    run: Outcome | None = None
    run_length: int = 0
    run_since: datetime | None = None
    blind: int = 0
    blind_since: datetime | None = None
    last_good_at: datetime | None = None
    first_bad_at: datetime | None = None
    last_bad_at: datetime | None = None
    failed: int = 0
    set_ahead_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What one more result made of a state: the next state, and the change and the outage that it completed."""

    state: HealthState
    change: HealthChange | None = None
    outage: Outage | None = None


def observe(state: HealthState, result: ProbeResult, *, rise: int, fall: int) -> Observed:
    """Count *result*, which must have started after every result counted before (:class:`InOrder` sees to that).

    ``fall`` UNHEALTHY in a row make the verdict UNHEALTHY, ``rise`` HEALTHY in a row HEALTHY; the first verdict needs
    the same proof. UNMEASURED says nothing of the target: it interrupts no run and ends no outage. But ``fall`` of
    them in a row mean that the bot is blind there, which is a verdict too, and what was proved before it is void.
    """
    if result.outcome is Outcome.UNMEASURED:
        return _count_blind(state, result, fall)
    counted = _count_measured(state, result)
    needed = rise if result.outcome is Outcome.HEALTHY else fall
    change = None
    if counted.run_length >= needed and state.verdict is not result.outcome:
        change = _change(state, result, counted.run_since)
        counted = replace(counted, verdict=result.outcome)
    outage = _outage(state, result) if result.outcome is Outcome.HEALTHY else None
    return Observed(state=counted, change=change, outage=outage)


def _count_measured(state: HealthState, result: ProbeResult) -> HealthState:
    same = state.run is result.outcome
    counted = replace(
        state,
        run=result.outcome,
        run_length=state.run_length + 1 if same else 1,
        run_since=state.run_since if same else result.started_at,
        blind=0,
        blind_since=None,
    )
    if result.outcome is Outcome.HEALTHY:
        return replace(
            counted, last_good_at=result.started_at, first_bad_at=None, last_bad_at=None, failed=0, set_ahead_s=0.0
        )
    first_bad_at = state.first_bad_at or result.started_at
    return replace(counted, first_bad_at=first_bad_at, last_bad_at=result.started_at, failed=state.failed + 1)


def _count_blind(state: HealthState, result: ProbeResult, fall: int) -> Observed:
    blind_since = state.blind_since or result.started_at
    counted = replace(state, blind=state.blind + 1, blind_since=blind_since)
    if counted.blind < fall or state.verdict is Outcome.UNMEASURED:
        return Observed(state=counted)
    gone_blind = replace(counted, verdict=Outcome.UNMEASURED, run=None, run_length=0, run_since=None)
    return Observed(state=gone_blind, change=_change(state, result, blind_since))


def _change(state: HealthState, result: ProbeResult, since: datetime | None) -> HealthChange:
    return HealthChange(
        probe=result.probe,
        before=state.verdict,
        after=result.outcome,
        since=since or result.started_at,
        reason=result.reason,
    )


def _outage(state: HealthState, good: ProbeResult) -> Outage | None:
    if state.first_bad_at is None or state.last_bad_at is None:
        return None
    return Outage(
        probe=good.probe,
        last_good_at=state.last_good_at,
        first_bad_at=state.first_bad_at,
        last_bad_at=state.last_bad_at,
        first_good_at=good.started_at,
        failed=state.failed,
        set_ahead_s=state.set_ahead_s,
    )


SET = timedelta(seconds=0.1)
"""Two clocks that went apart by less than this were read a little apart; by more, one of them was set."""


def clock_was_set(before: ProbeResult, after: ProbeResult) -> timedelta:
    """By how much the clock on the wall was set between the starts of two probes; nothing where that is not known."""
    if before.began is None or after.began is None:
        return timedelta()
    by = after.started_at - before.started_at - timedelta(seconds=after.began - before.began)
    return by if abs(by) > SET else timedelta()


T = TypeVar("T", HealthState, "Gathered", Outage)


def moved(state: T, by: timedelta) -> T:
    """*state* as it would be, had the clock always been *by* so much ahead.

    An outage in which the clock was set would otherwise last too long, or less than nothing. How long it lasted is what
    the machine itself has counted. That is all there is to know where a wrong clock was set right; but a machine that
    was made to stand still (a snapshot, a move to another host) has counted nothing meanwhile, and its clock is set
    ahead afterwards. The two look the same from inside, so what may be missing is kept as ``set_ahead_s``.
    """
    moved_: dict[str, Any] = {}
    if not isinstance(state, Outage):  # whether it goes on after this is known by what follows
        moved_["set_ahead_s"] = state.set_ahead_s + max(by.total_seconds(), 0.0)
    for name in (each.name for each in fields(state)):
        value = getattr(state, name)
        if isinstance(value, datetime):
            moved_[name] = value + by
        elif isinstance(value, Outage):
            moved_[name] = moved(value, by)
    return replace(state, **moved_)


CLOSE = timedelta(seconds=10)
"""Short outages that follow one another within this are one that comes and goes."""

GATHERED = timedelta(seconds=60)
"""What comes and goes for longer is told this often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """Short outages that are not told yet. ``ended_at`` is when the last one ended, told or not.

    ``good`` counts the good probes since, ``set_ahead_s`` by how much the clock was set ahead since (:func:`moved`).
    """

    outage: Outage | None = None
    ended_at: datetime | None = None
    good: int = 0
    set_ahead_s: float = 0.0


def gather(
    gathered: Gathered, result: ProbeResult, outage: Outage | None, *, fall: int
) -> tuple[Gathered, tuple[Outage, ...]]:
    """Count *result*, which ended *outage* if that is one; returns the next state and the outages that are to be told.

    A probe that fails every second time would otherwise be an outage each time. The first one is told at once, and so
    is every one of ``fall`` failed probes or more; short ones soon after another are added up until it stays calm.
    """
    if outage is None:
        if gathered.outage is None or gathered.ended_at is None or result.outcome is not Outcome.HEALTHY:
            return gathered, ()
        if result.started_at - gathered.ended_at >= CLOSE:
            return Gathered(ended_at=gathered.ended_at), (gathered.outage,)
        return replace(gathered, good=gathered.good + 1), ()
    soon = gathered.ended_at is not None and outage.first_bad_at - gathered.ended_at <= CLOSE
    if not soon or outage.failed >= fall:
        before = (gathered.outage,) if gathered.outage is not None else ()
        return Gathered(ended_at=outage.first_good_at), (*before, outage)
    together = outage if gathered.outage is None else _together(gathered, gathered.outage, outage)
    if together.first_good_at - together.first_bad_at >= GATHERED:
        return Gathered(ended_at=outage.first_good_at), (together,)
    return Gathered(outage=together, ended_at=outage.first_good_at, good=1), ()


def _together(between: Gathered, first: Outage, second: Outage) -> Outage:
    return replace(
        first,
        last_bad_at=second.last_bad_at,
        first_good_at=second.first_good_at,
        failed=first.failed + second.failed,
        good=first.good + between.good + second.good,
        set_ahead_s=first.set_ahead_s + between.set_ahead_s + second.set_ahead_s,
    )


class InOrder:
    """Puts results of overlapping probes back into the order in which the probes started.

    A probe that is answered at once overtakes one that started earlier and waits for its timeout. Each probe takes a
    ticket when it starts; its result is held until every earlier ticket is in. Since each probe ends within its own
    timeout, nothing is held for longer than that.
    """

    def __init__(self) -> None:
        self._next = 0
        self._waiting: dict[int, ProbeResult | None] = {}
        self._first = 0

    def start(self) -> int:
        """The ticket of a probe that starts now."""
        ticket = self._next
        self._next += 1
        return ticket

    def finish(self, ticket: int, result: ProbeResult | None) -> tuple[ProbeResult, ...]:
        """Hand in a *result* (None: the probe was abandoned); returns those whose turn has come, oldest first.

        Raises ValueError for a ticket that was never taken or was handed in before.
        """
        if ticket in self._waiting or not self._first <= ticket < self._next:
            raise ValueError(f"ticket {ticket} is not out: it was never taken or was handed in before")
        self._waiting[ticket] = result
        due: list[ProbeResult] = []
        while self._first in self._waiting:
            held = self._waiting.pop(self._first)
            self._first += 1
            if held is not None:
                due.append(held)
        return tuple(due)

    @property
    def out(self) -> int:
        """How many tickets are out: probes under way."""
        return self._next - self._first - len(self._waiting)
