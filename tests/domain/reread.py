"""A recording's directors read at other moments: what its looks would have shown a little earlier or later.

A look is not one moment. It asks for one thing after another, and each of them can have changed by the time of the
next. So a recording's looks are taken apart into what was true of each director, thing by thing, and put together again
as other looks: each thing read at another moment of the same question.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

from bot.domain.events import (
    QuorumChanged,
    RealServerChanged,
    Recorded,
    RollCallAnswer,
    RollCallTaken,
    VrrpState,
    VrrpStateChanged,
)
from bot.domain.observed import UnitActive, UnitState

READS = {
    "reached": ("error", "refused"),
    "holds": ("holds",),
    "unit": ("keepalived",),
    "table": ("weights", "services", "strangers"),
    "processes": ("processes",),
    "host": ("nat", "boot", "clock_behind_s"),
}
"""What is read in one go, in the order in which a look does."""

CLUSTER = "site"

CLOSER = ("processes", "host")
"""What the directors of older recordings were not asked for at first; now they are."""

CHECKED = (QuorumChanged, RealServerChanged)

BEHIND = timedelta(seconds=0.6)
"""How far the clocks of emulated directors lag behind the bot's."""

PROMPT_S = 1.0
"""Seconds within which what was done to a director shows there."""


Sight = tuple[datetime, datetime, tuple[Any, ...]]
"""When it was asked for, when it was answered, and what it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """When something is known to have changed, or within how many seconds after; ``gains``: only to something."""

    at: datetime
    within_s: float = 0.0
    gains: bool | None = None


@dataclass(frozen=True, slots=True)
class Track:
    """What was true of one thing, from when on."""

    since: tuple[datetime, ...]
    values: tuple[tuple[Any, ...], ...]

    def at(self, moment: datetime) -> tuple[Any, ...]:
        """What was true at *moment*."""
        return self.values[max(0, bisect_right(self.since, moment) - 1)]


def reread(
    events: Sequence[Recorded], acts: Sequence[datetime], directors: Sequence[str], random: Random, more: int
) -> list[Recorded]:
    """*events* with every look read at other moments of the same question, and *more* looks besides.

    *acts* are when something was done on purpose, at which what is true may change.
    """
    truth = {d: _truth(events, acts, d, random) for d in directors}
    again = [_read_again(e, truth, random) if isinstance(e.event, RollCallTaken) else e for e in events]
    for _ in range(more):
        director = random.choice(list(directors))
        if (asked_and_answered := _gap(events, director, random)) is None:
            continue
        asked, at = asked_and_answered
        answer = _answer(RollCallAnswer(director=director), truth[director], asked, at, random)
        if not answer.answered:
            continue  # it would have been asked for longer
        taken = RollCallTaken(cluster=CLUSTER, reason="routine", asked_at=asked, answers=(answer,))
        again.append(Recorded(sequence=0, recorded_at=at, at_source=at, event=taken))
    return again


def _gap(events: Sequence[Recorded], director: str, random: Random) -> tuple[datetime, datetime] | None:
    """A moment at which no question to *director* was open: it is never asked twice at once."""
    asked: dict[datetime, datetime] = {}
    for event in events:
        if isinstance(event.event, RollCallTaken) and event.event.answer(director) is not None:
            asked[event.event.asked_at] = event.recorded_at
    first, end = min(asked.values()), events[-1].recorded_at
    for _ in range(20):
        begins = first + (end - first) * random.random()
        ends = begins + timedelta(seconds=random.uniform(0.2, 2.5))
        if all(ends < opened or begins > closed for opened, closed in asked.items()):
            return begins, ends
    return None


def _read_again(event: Recorded, truth: Mapping[str, Mapping[str, Track]], random: Random) -> Recorded:
    taken = event.event
    assert isinstance(taken, RollCallTaken)
    answers = [_answer(a, truth[a.director], taken.asked_at, event.recorded_at, random) for a in taken.answers]
    return replace(event, event=replace(taken, answers=tuple(answers)))


def _answer(
    recorded: RollCallAnswer, truth: Mapping[str, Track], asked: datetime, at: datetime, random: Random
) -> RollCallAnswer:
    reached = truth["reached"]
    error, refused = reached.at(at)
    if error is not None:
        return RollCallAnswer(director=recorded.director, error=error, refused=refused, heard_at=recorded.heard_at)
    # Where it could not be reached when it was asked, it was read when it could be again.
    asked = max([asked, *(since for since in reached.since if since <= at)])
    fields: dict[str, Any] = {}
    moments = sorted(asked + (at - asked) * random.random() for _ in READS)
    for (read, names), moment in zip(READS.items(), moments, strict=True):
        if read != "reached":
            fields |= dict(zip(names, truth[read].at(moment), strict=True))
    return replace(recorded, error=None, refused=False, **fields)


def _truth(events: Sequence[Recorded], acts: Sequence[datetime], director: str, random: Random) -> dict[str, Track]:
    """What may have been true: between two looks that differ, a thing changed when it was said, or at random."""
    done = [Mark(at=at, within_s=PROMPT_S) for at in acts]
    # What keepalived says of a service or a real server, it has done to the table just before.
    checked = [e for e in events if isinstance(e.event, CHECKED) and e.event.director == director]
    tabled = [Mark(at=e.at_source + BEHIND) for e in checked]
    moves = list(_moves(events, director))
    begun = [Mark(at=m.at, gains=True) for m in moves if not m.gains]  # the first that a keepalived says is BACKUP
    marks = {
        "holds": moves,
        "unit": [*done, *begun],
        "table": [*done, *tabled],
        "host": [replace(done[-1], within_s=0.0)],
    }
    truth: dict[str, Track] = {}
    gone: list[datetime] = []
    for read in READS:
        told = sorted(marks.get(read, done), key=lambda m: m.at)
        truth[read] = _track(read, list(_seen(read, events, director)), told, gone, random)
        if read == "reached":
            away = zip(truth[read].since, truth[read].values, strict=True)
            gone = [since for since, (error, _) in away if error is not None]
    return truth


def _moves(events: Sequence[Recorded], director: str) -> Iterator[Mark]:
    """When *director* took the address or gave it up, by its own word."""
    for event in events:
        said = event.event
        if isinstance(said, VrrpStateChanged) and said.director == director:
            at = event.at_source + min((event.recorded_at - event.at_source) / 2, BEHIND)
            yield Mark(at=at, gains=said.state is VrrpState.MASTER)


def _track(read: str, seen: list[Sight], marks: Sequence[Mark], gone: Sequence[datetime], random: Random) -> Track:
    """What was *seen*, with a time for each change. *gone*: when the director could not be reached any more."""
    if not seen:
        return Track((), (tuple(None for _ in READS[read]),))
    since, values = [seen[0][0]], [seen[0][2]]
    for (low, _, before), (_, high, after) in pairwise(seen):
        if before == after:
            continue
        low = max(low, since[-1])
        high = max(low, high)
        steps = [*_between(read, before, after), after]
        went = [t for t in gone if low < t <= high]
        low = went[-1] if went else low  # what is otherwise when it is back was not so before it went
        gains = after[0].active is UnitActive.ACTIVE if isinstance(after[0], UnitState) else bool(after[0])
        told = [m for m in marks if low < m.at <= high and m.gains in (None, gains)]
        if told:
            mark = told[-1 if read == "host" else 0]  # a clock that stood still is behind when it goes on
            low, high = mark.at, min(high, mark.at + timedelta(seconds=mark.within_s))
        elif went and read in ("holds", "host"):
            high = low
        since += sorted(low + max(high - low, timedelta(0)) * random.random() for _ in steps)
        values += steps
    return Track(tuple(since), tuple(values))


def _seen(read: str, events: Sequence[Recorded], director: str) -> Iterator[Sight]:
    """When it was asked for, when it was answered, and what it was."""
    for event in events:
        if not isinstance(event.event, RollCallTaken):
            continue
        answer = event.event.answer(director)
        if answer is None or (read != "reached" and not answer.answered):
            continue
        value = tuple(getattr(answer, name) for name in READS[read])
        if read in CLOSER and value[0] is None:
            continue  # it was not looked at
        yield event.event.asked_at, event.recorded_at, value


def _between(read: str, before: tuple[Any, ...], after: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """What is true for a moment on the way from *before* to *after*, though no look may have met it."""
    if read != "unit":
        return []
    was, now = before[0], after[0]
    assert was is None or isinstance(was, UnitState)
    assert now is None or isinstance(now, UnitState)
    if now is None or now.active is not UnitActive.ACTIVE or (was is not None and was.active is UnitActive.ACTIVATING):
        return []
    return [(replace(now, active=UnitActive.ACTIVATING, sub="start"),)]
