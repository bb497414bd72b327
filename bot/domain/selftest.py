"""The alert path tried from end to end: what was measured on the way in, the verdict out; and the tests of late.

Directors and the bot have a clock each. A stage between two readings of one clock is their difference. One that leads
from a director to the bot needs to know how far their clocks are apart, which questions over SSH bound from both sides:
it is told with its margin, and not at all where the questions contradict each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from bot.domain.events import Actor, Recorded, SelfTestFinished, SelfTestHeard, SelfTestStarted

KEPT = 20
"""How many tests of each cluster are remembered: it has one under way at a time, which none of another's pushes out."""

GRAIN_S = 1e-5
"""Seconds by which two bounds may contradict each other for their rounding alone."""

SLACK = "Slack"
"""The name under which the last stage stands: it is the same for every director."""


class Stage(StrEnum):
    """What a marked event goes through, in order. ASKED stands for POSTED where nothing is to be posted."""

    COMMAND = "command over SSH, there and back"
    READ = "FIFO → read by the agent"
    RECEIVED = "agent's disk → webhook"
    JOURNALLED = "webhook → durable in the journal"
    POSTED = "journal → message in Slack"
    ASKED = "a question to Slack"


# --- what is measured -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A question about a director's clock: asked and answered by the bot's clock, ``theirs`` by the director's."""

    asked_at: datetime
    theirs: datetime
    answered_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """How far the test got on one director; what was not measured is None.

    ``written_at`` is when the line was written into the FIFO, by the director's clock. ``durable_at`` is when the
    journal had it, by the bot's. ``problem`` says why the command failed and what to look at; it ``may_have_run`` all
    the same. ``hint`` is what is known of the agent otherwise.
    """

    director: str
    exchanges: tuple[Exchange, ...] = ()
    command_s: float | None = None
    written_at: datetime | None = None
    heard: SelfTestHeard | None = None
    durable_at: datetime | None = None
    problem: str = ""
    may_have_run: bool = False
    hint: str = ""

    @property
    def over(self) -> bool:
        """Whether nothing more is to be expected of it: the command has ended, and its event came if it can come."""
        if self.written_at is None and not self.problem:
            return False
        return self.heard is not None or (bool(self.problem) and not self.may_have_run)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """The last stage, by the bot's clock: from ``from_at`` to ``to_at``; one that did not end has a ``problem``."""

    stage: Stage
    from_at: datetime | None = None
    to_at: datetime | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """How far a director's clock is ahead of the bot's: from ``least`` to ``most`` seconds."""

    least: float
    most: float


def apart(trace: Trace) -> Apart | None:
    """What *trace* says of the director's clock; None where nothing does, or where it says two things (it was set)."""
    least = [(e.theirs - e.answered_at).total_seconds() for e in trace.exchanges]
    most = [(e.theirs - e.asked_at).total_seconds() for e in trace.exchanges]
    if not least:
        return None
    if trace.heard is not None and trace.heard.received_at is not None:
        # The webhook cannot have had the line before the agent did.
        least.append((trace.heard.written_at - trace.heard.received_at).total_seconds())
    low, high = max(least), min(most)
    return Apart(least=min(low, high), most=max(low, high)) if low - high <= GRAIN_S else None


# --- the verdict ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A stage of one director in seconds, known as exactly as ``margin_s`` either way."""

    stage: Stage
    took_s: float
    margin_s: float = 0.0


def measured(trace: Trace) -> Iterator[Measured]:
    """Every stage of *trace* that was measured, in order."""
    if trace.command_s is not None:
        yield Measured(stage=Stage.COMMAND, took_s=trace.command_s)
    heard = trace.heard
    if heard is None:
        return
    if trace.written_at is not None and heard.written_at >= trace.written_at:
        yield Measured(stage=Stage.READ, took_s=(heard.written_at - trace.written_at).total_seconds())
    if heard.received_at is None:
        return
    clocks = apart(trace)
    if clocks is not None:
        between = (heard.received_at - heard.written_at).total_seconds()
        middle, margin = (clocks.least + clocks.most) / 2, (clocks.most - clocks.least) / 2
        yield Measured(stage=Stage.RECEIVED, took_s=between + middle, margin_s=margin)
    if trace.durable_at is not None:
        yield Measured(stage=Stage.JOURNALLED, took_s=(trace.durable_at - heard.received_at).total_seconds())


def verdict(cluster: str, test: str, traces: Iterable[Trace], ending: Ending, *, waited_s: float) -> SelfTestFinished:
    """What came of *test* after *waited_s* seconds at most."""
    stages: list[tuple[str, str, float]] = []
    margins: list[tuple[str, str, float]] = []
    failed: list[tuple[str, str]] = []
    for trace in traces:
        for found in measured(trace):
            stages.append((trace.director, found.stage.value, _ms(found.took_s)))
            if found.margin_s:
                margins.append((trace.director, found.stage.value, _ms(found.margin_s)))
        if why := _lost(trace, waited_s):
            failed.append((trace.director, why))
    if ending.from_at is not None and ending.to_at is not None:
        stages.append((SLACK, ending.stage.value, _ms((ending.to_at - ending.from_at).total_seconds())))
    if ending.problem:
        failed.append((SLACK, ending.problem))
    return SelfTestFinished(
        cluster=cluster, test=test, stages=tuple(stages), margins=tuple(margins), failed=tuple(failed)
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _lost(trace: Trace, waited_s: float) -> str:
    """Where the event of *trace* was lost and what to look at; empty where it came through."""
    if trace.heard is not None:
        return ""
    if trace.problem:
        return trace.problem
    if trace.written_at is None:
        return f"the command over SSH did not end within {waited_s:g} s; look at the director's load"
    hint = f" {trace.hint}." if trace.hint else ""
    return (
        f"it was written into the FIFO, and nothing came to the webhook within {waited_s:g} s.{hint} "
        f"Look at `lvs-agent status` and `journalctl -u lvs-agent` on {trace.director}"
    )


# --- the tests of late ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTest:
    """One test. ``heard`` are the directors whose event came; ``finished`` is its end, None while it is under way.

    ``after_failure``: the cluster's test before it had failed.
    """

    id: str
    cluster: str
    by: Actor | None
    channel: str | None
    started_at: datetime
    heard: tuple[str, ...] = ()
    first_heard_at: datetime | None = None
    finished: SelfTestFinished | None = None
    finished_at: datetime | None = None
    after_failure: bool = False

    @property
    def passed(self) -> bool:
        """Whether it is over and nothing was lost."""
        return self.finished is not None and not self.finished.failed

    @property
    def worth_telling(self) -> bool:
        """Whether it is to be told: somebody asked for it, it failed, or it passed where the last one had failed."""
        return self.by is not None or (self.finished is not None and (not self.passed or self.after_failure))


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTests:
    """Each cluster's last tests by their ids, oldest first, and when it was last tested by the clock alone."""

    by_id: Mapping[str, SelfTest] = field(default_factory=dict)
    scheduled_at: Mapping[str, datetime] = field(default_factory=dict)

    def under_way(self, cluster: str, since: datetime) -> SelfTest | None:
        """The test of *cluster* that is not over yet, unless it began before *since*: then nobody sees it through."""
        mine = (t for t in self.by_id.values() if t.cluster == cluster and t.finished is None)
        return next((t for t in mine if t.started_at >= since), None)


def fold(state: SelfTests, recorded: Recorded) -> SelfTests:
    """*state* after *recorded*."""
    event, at = recorded.event, recorded.recorded_at
    match event:
        case SelfTestStarted():
            return _started(state, event, at)
        case SelfTestHeard() if (test := state.by_id.get(event.test)) and event.director not in test.heard:
            heard = replace(
                test, heard=(*test.heard, event.director), first_heard_at=test.first_heard_at or recorded.recorded_at
            )
            return replace(state, by_id={**state.by_id, test.id: heard})
        case SelfTestFinished() if (test := state.by_id.get(event.test)) and test.finished is None:
            return replace(state, by_id={**state.by_id, test.id: replace(test, finished=event, finished_at=at)})
        case _:
            return state


def _started(state: SelfTests, event: SelfTestStarted, at: datetime) -> SelfTests:
    before = [t for t in state.by_id.values() if t.cluster == event.cluster and t.finished is not None]
    test = SelfTest(
        id=event.test,
        cluster=event.cluster,
        by=event.by,
        channel=event.channel,
        started_at=at,
        after_failure=bool(before) and not before[-1].passed,
    )
    mine = [t.id for t in state.by_id.values() if t.cluster == event.cluster]
    gone = set(mine[: max(len(mine) + 1 - KEPT, 0)])
    kept = {**{name: t for name, t in state.by_id.items() if name not in gone}, test.id: test}
    scheduled = state.scheduled_at if event.by is not None else {**state.scheduled_at, event.cluster: at}
    return replace(state, by_id=kept, scheduled_at=scheduled)


def next_at(last: datetime | None, every_s: float, *, now: datetime, settle_s: float) -> datetime:
    """When the next scheduled test is due: *every_s* after the *last*, but a started bot is let settle first."""
    soonest = now + timedelta(seconds=settle_s)
    return soonest if last is None else max(soonest, last + timedelta(seconds=every_s))
