"""What should stand in Slack is remembered between looks, and never differs from what a fresh look would find."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.events import (
    Actor,
    Due,
    Event,
    IncidentAcknowledged,
    MessagePosted,
    MuteCleared,
    MuteSet,
    TimeCame,
    Via,
)
from bot.flows.chronicle import SUMMED_UP, World, fold
from bot.flows.projecting import STALE, projection
from tests.domain.reference import FLEET, NOON, Pen
from tests.domain.test_incidents import clean_stop, died

ALICE = Actor(id="U1", name="alice", via=Via.SLACK)
CHANNELS = {"site": "C1"}
EVENTS: list[Event] = [
    *(line.event for line in died().lines),
    *(line.event for line in clean_stop().lines),
    MuteSet(cluster="site", subject="VI_1", until=NOON + timedelta(seconds=40), by=ALICE),
    MuteSet(cluster="site", subject="web1", until=NOON + timedelta(hours=20), by=ALICE),
    MuteCleared(cluster="site", subject="web1", by=ALICE),
    *(TimeCame(cluster="site", incident=number, due=Due.REMINDER) for number in (1, 2, 3)),
    *(TimeCame(cluster="site", incident=number, due=Due.ESCALATION) for number in (1, 2, 3)),
    IncidentAcknowledged(cluster="site", incident=2, by=ALICE),
]


def said(world: World, now: datetime, how: int) -> list[MessagePosted]:
    """What an announcer might have posted by *now*: none, some or all of what it should, one by one or summed up."""
    due = [a for a in projection(CHANNELS, lambda _operation: None)(world, now) if not a.thread_of or how == 2]
    return [
        MessagePosted(key=a.key, channel="C1", ts=f"{how}.1", digest=SUMMED_UP if how == 3 and a.missed else a.digest)
        for a in due[: 0 if how == 0 else len(due)]
    ]


@settings(deadline=None)
@given(
    events=st.lists(st.sampled_from(EVENTS), min_size=1, max_size=12),
    steps=st.lists(st.sampled_from([0.0, 0.5, 6.0, 30.0, STALE.total_seconds()]), min_size=12, max_size=12),
    posts=st.lists(st.integers(0, 3), min_size=12, max_size=12),
)
def test_what_is_remembered_between_looks_is_what_a_fresh_look_finds(
    events: list[Event], steps: list[float], posts: list[int]
) -> None:
    world, pen, at = World.of(FLEET), Pen().all_well(0), 0.0
    remembering = projection(CHANNELS, lambda _operation: None, call=("<!here>",))

    def look(seconds: float) -> None:
        now = NOON + timedelta(seconds=seconds)
        fresh = projection(CHANNELS, lambda _operation: None, call=("<!here>",))
        assert list(remembering(world, now)) == list(fresh(world, now))

    fold(world, pen.lines[-1], FLEET)
    for event, step, how in zip(events, steps, posts, strict=False):
        at += step
        look(at)
        fold(world, pen.at(at, event).lines[-1], FLEET)
        look(at)
        for message in said(world, NOON + timedelta(seconds=at), how):
            fold(world, pen.at(at, message).lines[-1], FLEET)
        look(at)
        look(at + step)
