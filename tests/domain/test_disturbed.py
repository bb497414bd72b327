"""The fold over what really happened, heard otherwise: later, twice, in another order; the stories stay the same.

Each director's agent keeps the order of its lines, so what it says later holds up what comes after it; directors among
each other, and the probes, keep none. Roll calls stay where they were: what a look showed, it showed then.

``DISTURBED`` in the environment is how many ways each recording is tried in; by default few, and the same each time.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.domain.events import (
    AgentGap,
    HealthChanged,
    OutageMeasured,
    QuorumChanged,
    RealServerChanged,
    Recorded,
    RollCallAnswer,
    RollCallTaken,
    VrrpStateChanged,
)
from bot.domain.incidents import Incident, Kind
from bot.domain.situation import LATE
from bot.flows.chronicle import World, fold
from tests.domain import journals
from tests.lab.scenarios.catalogue import BY_NAME

FLEET = journals.fleet()
CLUSTER = FLEET.clusters[0].name
DIRECTORS = tuple(d.name for d in FLEET.clusters[0].directors)

SPOKEN = (VrrpStateChanged, RealServerChanged, QuorumChanged, AgentGap)
MEASURED = (HealthChanged, OutageMeasured)

MOST_LATE = 9.0
"""Seconds that a word may take longer than it did and still be about now: LATE, less what it took as recorded."""

TRIED = int(os.environ.get("DISTURBED", "0"))
SEARCH = settings(
    max_examples=TRIED or 8,
    derandomize=not TRIED,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)

Ending = Counter[tuple[Kind, str, bool]]


def expected(name: str) -> Ending:
    """The stories that the scenario of the recording *name* has to end in."""
    stories = BY_NAME[name.partition("-")[0]].stories or ()
    return Counter((s.kind, s.subject, s.open) for s in stories)


def folded(events: Sequence[Recorded]) -> Iterator[tuple[Incident, ...]]:
    """The incidents after each of *events*, in the order in which they are given."""
    world = World.of(FLEET)
    for number, event in enumerate(events, 1):
        fold(world, replace(event, sequence=number), FLEET)
        yield world.incidents[CLUSTER].all


def ending(events: Sequence[Recorded]) -> Ending:
    """What *events* end in, after the invariants were seen to hold on the way."""
    known: dict[int, Incident] = {}
    incidents: tuple[Incident, ...] = ()
    for incidents in folded(concluded(list(events))):
        hold(incidents, known)
        known = {i.id: i for i in incidents}
    return Counter((i.kind, i.subject, i.open) for i in incidents if not i.withdrawn)


def hold(incidents: tuple[Incident, ...], before: dict[int, Incident]) -> None:
    """The invariants at the head of incidents/fold.py, of *incidents* that were *before* the last event."""
    assert len({i.id for i in incidents}) == len(incidents)
    owned = [t for i in incidents if i.open for t in i.troubles]
    assert len(owned) == len(set(owned)), "a trouble in two open incidents"
    for incident in incidents:
        known = before.get(incident.id)
        assert not incident.open or incident.troubles or incident.calm_until, "open, and nothing is wrong"
        assert incident.open or not incident.troubles, "over, and something is wrong"
        assert len(set(incident.timeline)) == len(incident.timeline), "a line is there twice"
        if known is not None and known.resolved_at is not None and not incident.withdrawn:
            # What began in it and is still there is not a story of its own: it was called over too early.
            began_again = incident.changes > known.changes or (incident.open and incident.troubles)
            assert began_again or incident.resolved_at == known.resolved_at, "over a second time"
        if known is not None and known.withdrawn:
            assert incident.withdrawn, "what was taken back is told again"


def source(event: Recorded) -> str | None:
    """The director whose agent passed *event* on; None for what the bot found out itself."""
    return getattr(event.event, "director", None) if isinstance(event.event, SPOKEN) else None


def delayed(event: Recorded, seconds: float) -> Recorded:
    """*event*, heard so much later; when it happened stays."""
    return replace(event, recorded_at=event.recorded_at + timedelta(seconds=seconds))


def in_order(events: list[Recorded]) -> list[Recorded]:
    """*events* as they are heard."""
    return sorted(events, key=lambda e: e.recorded_at)


def concluded(events: list[Recorded]) -> list[Recorded]:
    """*events*, and the routine going on after them: every director is found twice as it was found last."""
    last: dict[str, RollCallAnswer] = {}
    for event in events:
        if isinstance(event.event, RollCallTaken):
            last |= {a.director: a for a in event.event.answers}
    end = max(e.recorded_at for e in events)
    looks = []
    for later in (30, 60):
        asked = end + timedelta(seconds=later)
        taken = RollCallTaken(cluster=CLUSTER, reason="routine", asked_at=asked, answers=tuple(last.values()))
        at = asked + timedelta(seconds=1)
        looks.append(Recorded(sequence=0, recorded_at=at, at_source=at, event=taken))
    return [*events, *looks]


DELAYS = st.one_of(st.just(0.0), st.sampled_from([0.1, 0.3, 0.7, 1.5, 3.0, 5.0]), st.floats(0.0, MOST_LATE))


@st.composite
def spoken_late(draw: st.DrawFn, name: str) -> list[Recorded]:
    """The recording *name* with each director's words later than they were, some twice, and the probes' a little."""
    heard: list[Recorded] = []
    last: dict[str, Recorded] = {}
    for event in journals.recording(name).events:
        director = source(event)
        if director is not None:
            took = (event.recorded_at - event.at_source).total_seconds()
            late = delayed(event, min(draw(DELAYS), max(0.0, MOST_LATE - took)))
            if director in last and late.recorded_at < last[director].recorded_at:
                late = replace(late, recorded_at=last[director].recorded_at)
            last[director] = late
            heard.append(late)
            if draw(st.integers(0, 9)) == 9:
                heard.append(delayed(late, draw(st.floats(0.0, 2.0))))
        elif isinstance(event.event, MEASURED):
            heard.append(delayed(event, draw(st.sampled_from([0.0, 0.0, 0.1, 0.3, 0.5]))))
        else:
            heard.append(event)
    return in_order(heard)


@pytest.mark.parametrize("name", journals.names())
@SEARCH
@given(data=st.data())
def test_however_late_its_words_come_a_recording_ends_in_the_same_stories(name: str, data: st.DataObject) -> None:
    assert ending(data.draw(spoken_late(name))) == expected(name)


@pytest.mark.parametrize("director", DIRECTORS)
@pytest.mark.parametrize("name", journals.names())
@SEARCH
@given(data=st.data())
def test_a_stream_that_comes_when_all_is_over_changes_nothing(name: str, director: str, data: st.DataObject) -> None:
    """Its agent could not reach the webhook: everything that it says is history when it is heard."""
    events = journals.recording(name).events
    end = events[-1].recorded_at
    seconds = data.draw(st.floats(LATE.total_seconds() + 0.5, 60.0))
    heard = [e for e in events if source(e) != director]
    for event in events:
        if source(event) == director:
            heard.append(replace(event, recorded_at=max(end, event.recorded_at + timedelta(seconds=seconds))))
    assert ending(in_order(heard)) == expected(name)
