"""Whatever comes and goes, in whatever order: when all has been well for long, no story is open."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from bot.domain.events import BotStarted, Due, TimeCame, VrrpState
from bot.domain.health import Outcome
from bot.domain.incidents import Incident
from bot.domain.incidents.timing import Patience, due
from bot.flows.chronicle import World, fold

from .reference import FLEET, NOON, Pen, processes
from .test_disturbed import hold
from .test_every_kind import GOOD, LOST, STOPPED, closely, looked

UP, DOWN = Outcome.HEALTHY, Outcome.UNHEALTHY
M, B, STOP, FAULT = VrrpState.MASTER, VrrpState.BACKUP, VrrpState.STOP, VrrpState.FAULT
NEVER = Patience(remind_after=None, escalate_after=None)
Episode = Callable[[Pen, float, float], Pen]  # it begins at the first time and lasts so many seconds


def cut_off(pen: Pen, at: float, lasts: float) -> Pen:
    pen.probe(at, "http", None, DOWN).roll_call(at + 2, closely("sv1", **LOST), closely("sv2")).says(at + 3.6, "sv2", M)
    pen.probe(at + 4, "http", None, UP).roll_call(at + 5, closely("sv1", **LOST), closely("sv2", holds=True))
    return looked(pen.says(at + 5 + lasts, "sv2", B).says(at + 5.1 + lasts, "sv1", M), at + 6 + lasts)


def restarted(pen: Pen, at: float, lasts: float) -> Pen:
    pen.says(at, "sv1", STOP).says(at + 0.7, "sv2", M)
    pen.roll_call(at + 1, closely("sv1", **STOPPED), closely("sv2", holds=True))
    pen.says(at + 1 + lasts, "sv1", B).says(at + 4.6 + lasts, "sv1", M).says(at + 4.7 + lasts, "sv2", B)
    return looked(pen, at + 6 + lasts)


def faulty(pen: Pen, at: float, lasts: float) -> Pen:
    pen.says(at, "sv1", FAULT).says(at + 0.7, "sv2", M)
    pen.roll_call(at + 1, closely("sv1"), closely("sv2", holds=True))
    pen.says(at + 1 + lasts, "sv1", B).says(at + 4.6 + lasts, "sv1", M).says(at + 4.7 + lasts, "sv2", B)
    return looked(pen, at + 6 + lasts)


def split(pen: Pen, at: float, lasts: float) -> Pen:
    looked(pen.says(at, "sv2", M), at + 1, at + 2, sv2={"holds": True})
    return looked(pen.says(at + 3 + lasts, "sv2", B), at + 4 + lasts, at + 5 + lasts)


def web_down(pen: Pen, at: float, lasts: float) -> Pen:
    return looked(
        looked(pen.probe(at, "http", "web1", DOWN), at + 1).probe(at + 2 + lasts, "http", "web1", UP), at + 3 + lasts
    )


def felt_first(pen: Pen, at: float, lasts: float) -> Pen:
    looked(pen.probe(at, "http", None, DOWN).probe(at + 1, "http", "web2", DOWN), at + 2).probe(
        at + 3, "http", None, UP
    )
    return looked(pen.probe(at + 4 + lasts, "http", "web2", UP), at + 5 + lasts)


def vip_down(pen: Pen, at: float, lasts: float) -> Pen:
    return looked(
        looked(pen.probe(at, "http", None, DOWN), at + 1).probe(at + 2 + lasts, "http", None, UP), at + 3 + lasts
    )


def backup_lost(pen: Pen, at: float, lasts: float) -> Pen:
    return looked(looked(pen, at, at + 3, sv2=LOST), at + 4 + lasts)


def both_lost(pen: Pen, at: float, lasts: float) -> Pen:
    return looked(looked(pen, at, at + 3, sv1={**LOST, "holds": False}, sv2=LOST), at + 4 + lasts, at + 6 + lasts)


def frozen(pen: Pen, at: float, lasts: float) -> Pen:
    return looked(looked(pen, at, sv1={"processes": processes(stopped="VRRP")}), at + 1 + lasts)


def broken_path(pen: Pen, at: float, lasts: float) -> Pen:
    return looked(looked(pen, at, at + 2, sv1={"nat": GOOD.__class__(ip_forward=False)}), at + 3 + lasts)


def silent(pen: Pen, at: float, lasts: float) -> Pen:
    return looked(looked(pen.silent(at, "sv2"), at + 1).silent(at + 2 + lasts, "sv2", silent=False), at + 3 + lasts)


def bot_restarted(pen: Pen, at: float, lasts: float) -> Pen:
    return looked(pen.at(at, BotStarted(version="1", runner="bot")), at + 1)


EPISODES: tuple[Episode, ...] = (
    cut_off, restarted, faulty, split, web_down, felt_first, vip_down, backup_lost, both_lost, frozen, broken_path,
    silent, bot_restarted,
)  # fmt: skip


def live(pen: Pen) -> tuple[Incident, ...]:
    """The incidents after *pen*, with all that time makes due in it; the invariants hold after every event."""
    world = World.of(FLEET)
    sequence, at = 0, NOON
    for line in pen.lines:
        while at < line.recorded_at:
            at = min(line.recorded_at, at + timedelta(seconds=5))
            for incident, what in due(world.incidents["site"], at, NEVER, lambda _incident: False):
                event = TimeCame(cluster="site", incident=incident.id, due=what)
                sequence += 1
                fold(world, line.__class__(sequence=sequence, recorded_at=at, at_source=at, event=event), FLEET)
        before = {i.id: i for i in world.incidents["site"].all}
        sequence += 1
        fold(
            world, line.__class__(sequence=sequence, recorded_at=at, at_source=line.at_source, event=line.event), FLEET
        )
        hold(world.incidents["site"].all, before)
    return world.incidents["site"].all


# Which of them, how long each time, how long it is well then, and how often that comes in a row.
NIGHTS = st.lists(
    st.tuples(st.sampled_from(EPISODES), st.floats(0, 60), st.floats(1, 110), st.integers(1, 7)), min_size=1, max_size=4
)


@given(NIGHTS)
def test_when_all_has_been_well_for_long_no_story_is_open(nights: list[tuple[Episode, float, float, int]]) -> None:
    pen, at = looked(Pen(), 0), 50.0
    for episode, lasts, gap, times in nights:
        for _ in range(times):
            episode(pen, at, lasts)
            at = (pen.lines[-1].recorded_at - NOON).total_seconds() + gap
    for later in (20, 40, 1500):
        looked(pen, at + later)
    assert [i for i in live(pen) if i.open] == []


def test_time_alone_ends_what_has_stayed_calm() -> None:
    pen, at = looked(Pen(), 0), 50.0
    for _ in range(5):
        cut_off(pen, at, 5)
        at += 40
    flapping = [i for i in live(pen) if i.open]
    assert [i.flapping for i in flapping] == [True]
    assert Due.CALM in [what for _, what in due_at(pen, at + 900)]


def due_at(pen: Pen, seconds: float) -> list[tuple[Incident, Due]]:
    world = World.of(FLEET)
    for line in pen.lines:
        fold(world, line, FLEET)
    return list(due(world.incidents["site"], NOON + timedelta(seconds=seconds), NEVER, lambda _incident: False))
