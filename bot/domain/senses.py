"""Whether the bot itself sees and is heard: readings in, a sense lost or back out.

A bot that is blind must say so, or its silence passes for all being well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from bot.domain.events import Sense, SenseChanged

WINDOW_S = 10.0
"""Seconds over which probes that measured something are weighed against those that could not."""
STALL_S = 10.0
"""Seconds without a look after which the bot itself stood still."""
CALM_S = 10.0
"""Seconds that a sense has to be well again before it counts as back."""
PATIENCE_S = {Sense.SLACK: 30.0, Sense.SCHEDULE: 0.0}
"""Seconds that something has to be wrong before the sense is lost. The schedule's are in its window already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One look at the bot at ``at`` (seconds on a clock that never jumps).

    ``started`` probes were started so far, ``missed`` were due and could not be. ``unmeasured`` of those that were
    started could not be made, the last of them for the reason in ``why``. ``silent_s`` is how long ago the schedule
    last began what is overdue in it; 0 while nothing is. ``slack`` says why Slack is away, in words; empty while it is
    not.
    """

    at: float
    started: int = 0
    missed: int = 0
    unmeasured: int = 0
    why: str = ""
    silent_s: float = 0.0
    slack: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feeling:
    """How one sense does: ``lost`` or not, in trouble since ``bad_from`` or well since ``well_from`` (as Reading.at).

    ``detail`` is what was wrong last, in words.
    """

    lost: bool = False
    bad_from: float | None = None
    well_from: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Awareness:
    """The readings of the last window, oldest first, and what they add up to for each sense."""

    readings: tuple[Reading, ...] = ()
    feelings: Mapping[Sense, Feeling] = field(default_factory=dict)

    @classmethod
    def after(cls, lost: Iterable[Sense]) -> Awareness:
        """Where to go on after a restart: what was *lost* counts as lost until it has been well for a while."""
        return cls(feelings={sense: Feeling(lost=True) for sense in lost})

    def lost(self, sense: Sense) -> bool:
        """Whether *sense* is lost."""
        return self.feelings.get(sense, Feeling()).lost


def observe(before: Awareness, reading: Reading) -> Awareness:
    """*before* with one more *reading*."""
    wrong = {Sense.SLACK: (reading.slack, reading.at), Sense.SCHEDULE: _schedule(before.readings, reading)}
    feelings = {
        sense: _feel(before.feelings.get(sense, Feeling()), reading.at, sense, *wrong[sense]) for sense in Sense
    }
    return Awareness(readings=_window((*before.readings, reading)), feelings=feelings)


def changes(
    before: Awareness, known: Mapping[Sense, SenseChanged], cluster: str, now: datetime
) -> Iterator[SenseChanged]:
    """What *cluster* was not told yet, by *before*'s last reading, taken at *now*. *known* is what it was told last."""
    for sense, feeling in before.feelings.items():
        told = known.get(sense)
        if feeling.lost is (told is not None and told.lost):
            continue
        began = (feeling.bad_from if feeling.lost else feeling.well_from) or 0.0
        ago = timedelta(seconds=before.readings[-1].at - began)
        detail = feeling.detail if feeling.lost else ""
        yield SenseChanged(cluster=cluster, sense=sense, lost=feeling.lost, since=now - ago, detail=detail)


def unwell(
    *, schedule: bool, called: Mapping[str, float | None], at: float, patience_s: float, answering: bool
) -> tuple[str, ...]:
    """Why the bot is not well enough for a monitor to be told that it is, in words; empty where it is.

    *schedule*: the probe schedule is lost. *called* is when each cluster's last roll call ended (as *at*: seconds on a
    clock that never jumps); none may be longer ago than *patience_s*. *answering*: some director answered.
    """
    late = [
        f"no roll call of {cluster} yet"
        if last is None
        else f"the last roll call of {cluster} was {at - last:.0f} s ago"
        for cluster, last in called.items()
        if last is None or at - last > patience_s
    ]
    return (
        *(("the probe schedule is late",) if schedule else ()),
        *late,
        # All of them at once: it is the bot that is cut off, as far as it can tell.
        *(() if answering or late else ("no director answers",)),
    )


def _window(readings: tuple[Reading, ...]) -> tuple[Reading, ...]:
    """The last readings that span the window: the newest of those that are older than it is the first."""
    end = readings[-1].at
    older = [number for number, reading in enumerate(readings) if end - reading.at >= WINDOW_S]
    return readings[older[-1] :] if older else readings


def _schedule(past: tuple[Reading, ...], reading: Reading) -> tuple[str, float]:
    """What is wrong with the probe schedule, in words (empty: nothing), and since when."""
    if not past:
        return "", reading.at
    if (stood := reading.at - past[-1].at) >= STALL_S:
        return f"the bot stood still for {stood:.0f} s", past[-1].at
    if reading.silent_s:
        return f"probes are due that were last begun {reading.silent_s:.0f} s ago", reading.at - reading.silent_s
    first = _window((*past, reading))[0]
    if reading.at - first.at < WINDOW_S:
        return "", reading.at
    started, missed = reading.started - first.started, reading.missed - first.missed
    within = f"in {reading.at - first.at:.0f} s"
    if missed > started:
        return f"{missed} of {started + missed} probes were not made {within}", first.at
    # A probe that is told of now may have started before the window.
    in_vain = missed + min(reading.unmeasured - first.unmeasured, started)
    if 2 * in_vain > started + missed:
        return f"{in_vain} of {started + missed} probes measured nothing {within}; the last: {reading.why}", first.at
    return "", reading.at


def _feel(feeling: Feeling, at: float, sense: Sense, detail: str, since: float) -> Feeling:
    """*feeling* at *at*, when *detail* (empty: nothing) has been wrong *since* then."""
    if not detail:
        well_from = at if feeling.well_from is None else feeling.well_from
        lost = feeling.lost and at - well_from < CALM_S
        return replace(feeling, lost=lost, bad_from=None, well_from=well_from)
    bad_from = since if feeling.bad_from is None else feeling.bad_from
    lost = feeling.lost or at - bad_from >= PATIENCE_S[sense]
    return Feeling(lost=lost, bad_from=bad_from, detail=detail)
