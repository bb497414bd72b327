"""The fold over what really happened, heard or looked at otherwise; the stories stay the same.

Heard otherwise: later, twice, in another order. Each director's agent keeps the order of its lines, so one that comes
late holds up what comes after it, and so do the probes of one target; directors and targets among each other keep none.
Looks stay what they were.

Looked at otherwise: each thing read at another moment of the same question, and looks besides (tests/domain/reread.py).
Hosts in the lab answer slowly; with many looks more, it is as if they answered at once.

``DISTURBED`` in the environment is how many ways each recording is tried in. Without it, few, and the same each time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.domain.events import (
    AgentGap,
    AgentSilenceChanged,
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
from tests.domain.reread import reread
from tests.domain.test_recordings import is_told, told
from tests.lab.scenarios.catalogue import BY_NAME
from tests.lab.scenarios.timeline import Story

FLEET = journals.fleet()
CLUSTER = FLEET.clusters[0].name
DIRECTORS = tuple(d.name for d in FLEET.clusters[0].directors)

SPOKEN = (VrrpStateChanged, RealServerChanged, QuorumChanged, AgentGap)
MEASURED = (HealthChanged, OutageMeasured)

MOST_LATE = LATE.total_seconds() - 1
"""Seconds that a word may take in all and still be about now, whatever the director's clock is behind."""

TRIED = int(os.environ.get("DISTURBED", "0"))
SEARCH = settings(
    max_examples=TRIED or 40,
    derandomize=not TRIED,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

UNSEEN = "no look was in time to see the address gone: there is nothing but sv1's own word for it"
WORD_ALONE = {
    ("vip_deleted", "sv1"): UNSEEN,
    ("vip_deleted-heard_when_started", "sv1"): UNSEEN,
    ("vip_taken", "sv1"): UNSEEN,
}
"""(recording, director) whose story cannot be told where that director is heard only when all is over, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """How a recording is heard otherwise: seconds by the place of an event in it. ``twice``: and again after those."""

    late: Mapping[int, float] = field(default_factory=dict)
    twice: Mapping[int, float] = field(default_factory=dict)


def stories(name: str) -> tuple[Story, ...]:
    """What the scenario of the recording *name* has to end in."""
    return BY_NAME[name.partition("-")[0]].stories or ()


@cache
def recorded(name: str) -> tuple[Recorded, ...]:
    return journals.recording(name).events


def source(event: Recorded) -> str | None:
    """The director whose agent passed *event* on; None for what the bot found out itself."""
    return event.event.director if isinstance(event.event, SPOKEN) else None


def way(event: Recorded) -> object:
    """By which way *event* comes, of those that keep the order of what comes by them; None for one that keeps none."""
    measured = event.event
    return (measured.service, measured.real_server) if isinstance(measured, MEASURED) else source(event)


def after(event: Recorded, seconds: float) -> Recorded:
    """*event*, heard so much later; when it happened stays."""
    return replace(event, recorded_at=event.recorded_at + timedelta(seconds=seconds))


def heard(happened: Sequence[Recorded], disturbance: Disturbance) -> list[Recorded]:
    """What *happened* under *disturbance*, and the routine going on after it."""
    events: list[Recorded] = []
    last: dict[object, Recorded] = {}
    for place, event in enumerate(happened):
        seconds = disturbance.late.get(place, 0.0)
        if source(event) is not None:
            took = (event.recorded_at - event.at_source).total_seconds()
            seconds = min(seconds, max(0.0, MOST_LATE - took))
        event = after(event, seconds)
        if (comes_by := way(event)) is not None:
            if comes_by in last and event.recorded_at < last[comes_by].recorded_at:
                event = replace(event, recorded_at=last[comes_by].recorded_at)
            last[comes_by] = event
        events.append(event)
        if place in disturbance.twice:
            events.append(after(event, disturbance.twice[place]))
    return concluded(events)


def concluded(events: list[Recorded]) -> list[Recorded]:
    """*events* as they are heard, and the routine going on: every director is found twice as it was found last."""
    events = sorted(events, key=lambda e: e.recorded_at)
    last: dict[str, RollCallAnswer] = {}
    for event in events:
        if isinstance(event.event, RollCallTaken):
            last |= {a.director: _whole(last.get(a.director), a) for a in event.event.answers}
    end = events[-1].recorded_at
    looks = []
    for later in (30, 60):
        asked = end + timedelta(seconds=later)
        taken = RollCallTaken(cluster=CLUSTER, reason="routine", asked_at=asked, answers=tuple(last.values()))
        at = asked + timedelta(seconds=1)
        looks.append(Recorded(sequence=0, recorded_at=at, at_source=at, event=taken))
    return [*events, *looks]


def _whole(before: RollCallAnswer | None, now: RollCallAnswer) -> RollCallAnswer:
    """*now*, with what it was not asked for as it was *before*."""
    if before is None or not now.answered or not before.answered:
        return now
    closer = ("processes", "nat", "boot", "clock_behind_s")
    return replace(now, **{n: getattr(before, n) for n in closer if getattr(now, n) is None})


def folded(events: Sequence[Recorded]) -> Iterator[tuple[Incident, ...]]:
    """The incidents after each of *events*, in the order in which they are given."""
    world = World.of(FLEET)
    for number, event in enumerate(events, 1):
        fold(world, replace(event, sequence=number), FLEET)
        yield world.incidents[CLUSTER].all


def ending(events: Sequence[Recorded]) -> list[Incident]:
    """The incidents that *events* end in, after the invariants were seen to hold on the way."""
    known: dict[int, Incident] = {}
    incidents: tuple[Incident, ...] = ()
    for incidents in folded(events):
        hold(incidents, known)
        known = {i.id: i for i in incidents}
    return [i for i in incidents if not i.withdrawn]


def taken_back(events: Sequence[Recorded]) -> list[Incident]:
    """What *events* let people be told as a story of its own, and then made a part of another one."""
    told: set[int] = set()
    after: tuple[Incident, ...] = ()
    followed_at = [event.recorded_at for event in events[1:]]
    for event, until, after in zip(events, [*followed_at, events[-1].recorded_at], folded(events), strict=True):
        told |= {i.id for i in after if i.due(event.recorded_at) or i.due(until - timedelta(milliseconds=50))}
    return [i for i in after if i.withdrawn and i.id in told]


def hold(incidents: tuple[Incident, ...], before: Mapping[int, Incident]) -> None:
    """The invariants at the head of incidents/fold.py, of *incidents* that were *before* the last event."""
    assert len({i.id for i in incidents}) == len(incidents)
    owned = [t for i in incidents if i.open for t in i.troubles]
    assert len(owned) == len(set(owned)), "a trouble in two open incidents"
    for incident in incidents:
        known = before.get(incident.id)
        assert not incident.open or incident.troubles or incident.calm_until, "open, and nothing is wrong"
        assert incident.open or not incident.troubles, "over, and something is wrong"
        assert not (incident.troubles and incident.calm_from), "calm, and something is wrong"
        assert len(set(incident.timeline)) == len(incident.timeline), "a line is there twice"
        if known is not None and known.resolved_at is not None and not incident.withdrawn:
            # It began again; or something that began in it is still there: it was called over too early.
            goes_on = incident.changes > known.changes or (incident.open and incident.troubles)
            assert goes_on or incident.resolved_at == known.resolved_at, "over a second time"
        if known is not None and known.withdrawn:
            assert incident.withdrawn, "what was taken back is told again"


def is_as_recorded(name: str, incidents: list[Incident]) -> None:
    """Fail unless *incidents* are the stories of the recording *name*, word for word."""
    shown = "\n".join(f"{i.kind.value}, {i.subject}: {told(i)[1]}" for i in incidents)
    for story in stories(name):
        assert is_told(story, incidents), f"{story} is not told; this is:\n{shown}"
    assert len(incidents) == len(stories(name)), shown


def disturbances(events: Sequence[Recorded]) -> st.SearchStrategy[Disturbance]:
    """Every way to hear *events* otherwise that leaves them true."""
    spoken = [place for place, event in enumerate(events) if source(event) is not None]
    measured = [place for place, event in enumerate(events) if isinstance(event.event, MEASURED)]
    seconds = st.one_of(st.sampled_from([0.3, 0.7, 1.5, 3.0, 5.0, MOST_LATE]), st.floats(0.0, MOST_LATE))
    words = st.dictionaries(st.sampled_from(spoken), seconds) if spoken else st.just({})
    probes = st.dictionaries(st.sampled_from(measured), st.floats(0.0, 0.5))
    twice = st.dictionaries(st.sampled_from(spoken), st.floats(0.0, 3.0), max_size=4) if spoken else st.just({})
    return st.builds(lambda w, p, t: Disturbance(late={**w, **p}, twice=t), words, probes, twice)


@pytest.mark.parametrize("name", journals.names())
@SEARCH
@given(data=st.data())
def test_however_late_its_words_come_a_recording_ends_in_the_same_stories(name: str, data: st.DataObject) -> None:
    is_as_recorded(name, ending(heard(recorded(name), data.draw(disturbances(recorded(name))))))


@pytest.mark.parametrize("seconds", [0.0, 3.0, MOST_LATE])
@pytest.mark.parametrize("name", journals.names())
def test_a_recording_ends_in_the_same_stories_where_every_word_is_as_late_and_heard_twice(
    name: str, seconds: float
) -> None:
    spoken = [place for place, event in enumerate(recorded(name)) if source(event) is not None]
    every = Disturbance(late=dict.fromkeys(spoken, seconds), twice=dict.fromkeys(spoken, 0.8))
    is_as_recorded(name, ending(heard(recorded(name), every)))


@pytest.mark.parametrize("name", journals.names())
@settings(SEARCH, max_examples=TRIED or 20)
@given(random=st.randoms(use_true_random=False), more=st.sampled_from([0, 1, 3, 20]), late=st.booleans())
def test_whenever_its_directors_are_read_a_recording_ends_in_the_same_stories(
    name: str, random: Random, more: int, late: bool
) -> None:
    acts = [journals.BEGAN + timedelta(seconds=at) for at, _ in journals.recording(name).acts]
    events = sorted(reread(recorded(name), acts, DIRECTORS, random, more), key=lambda e: e.recorded_at)
    spoken = [place for place, event in enumerate(events) if late and source(event) is not None]
    seconds = {place: random.choice([0.3, 0.7, 1.5, 3.0]) for place in spoken if random.random() < 0.3}
    is_as_recorded(name, ending(heard(events, Disturbance(late=seconds))))
    assert late or not taken_back(events)


def cut_off_from_the_bot(name: str, director: str) -> list[Recorded]:
    """The recording *name* where nothing comes from *director*'s agent before all is over, and then everything."""
    began, end = journals.BEGAN - timedelta(seconds=1), recorded(name)[-1].recorded_at
    events = []
    for event in recorded(name):
        if isinstance(event.event, AgentSilenceChanged) and event.event.director == director:
            continue
        spoke = source(event) == director and event.recorded_at >= began
        kept = max(end, event.at_source + LATE + timedelta(seconds=1))
        events.append(replace(event, recorded_at=kept) if spoke else event)
    for at, silent in ((began, True), (end, False)):
        change = AgentSilenceChanged(cluster=CLUSTER, director=director, silent=silent)
        events.append(Recorded(sequence=0, recorded_at=at, at_source=at, event=change))
    return concluded(events)


@pytest.mark.parametrize("director", DIRECTORS)
@pytest.mark.parametrize("name", journals.names())
def test_a_director_that_is_heard_when_all_is_over_changes_no_story(name: str, director: str) -> None:
    """Its agent could not reach the webhook, which is a story of its own; looks and probes tell the rest."""
    incidents = ending(cut_off_from_the_bot(name, director))
    found = {(i.kind, i.subject, i.open) for i in incidents if i.kind is not Kind.AGENT_SILENT}
    wanted = {(s.kind, s.subject, s.open) for s in stories(name) if s.kind is not Kind.AGENT_SILENT}
    if (name, director) in WORD_ALONE:
        assert found < wanted
    else:
        assert found == wanted
    known = {director, *(s.subject for s in stories(name))}
    assert all(i.subjects & known for i in incidents if i.kind is Kind.AGENT_SILENT)
