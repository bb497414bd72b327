"""Mutes: what is covered, until when, and what is remembered of those that are over."""

from __future__ import annotations

from datetime import timedelta

from bot.domain import mutes
from bot.domain.events import Actor, MuteCleared, MuteSet, Via
from bot.domain.mutes import Mutes
from tests.domain.reference import NOON, Pen

ALICE = Actor(id="U0ALICE", name="alice", via=Via.SLACK)


def after(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def mute(subject: str, until: float, *, maintenance: bool = False) -> MuteSet:
    return MuteSet(cluster="site", subject=subject, until=NOON + after(until), by=ALICE, maintenance=maintenance)


def folded(pen: Pen) -> Mutes:
    state = Mutes()
    for line in pen.lines:
        state = mutes.fold(state, line)
    return state


def test_a_mute_covers_its_subject_or_the_whole_cluster_until_its_time() -> None:
    state = folded(Pen().at(0, mute("web1", 60)).at(0, mute("site", 10)))
    assert state.of("site", ["sv1", "web1"], NOON + after(59))
    assert state.of("site", ["sv1"], NOON + after(9))
    assert state.of("site", ["sv1"], NOON + after(10)) is None
    assert state.of("site", ["web1"], NOON + after(60)) is None
    assert state.of("other", ["web1"], NOON) is None


def test_of_several_that_cover_it_a_maintenance_counts_first() -> None:
    state = folded(Pen().at(0, mute("web1", 60)).at(0, mute("sv1", 30, maintenance=True)))
    found = state.of("site", ["sv1", "web1"], NOON)
    assert found
    assert found.maintenance


def test_one_that_ran_out_is_remembered_where_it_held() -> None:
    pen = Pen().at(10, mute("web1", 60))
    later = pen.at(100, mute("sv1", 200))
    for state in (folded(pen), folded(later)):
        assert not state.held("site", ["web1"], NOON + after(9))
        assert state.held("site", ["web1"], NOON + after(30))
        assert not state.held("site", ["web1"], NOON + after(60))


def test_one_that_was_cleared_or_set_anew_held_until_then() -> None:
    cleared = folded(
        Pen()
        .at(0, mute("web1", 600))
        .at(60, MuteCleared(cluster="site", subject="web1", by=ALICE))
        .at(70, mute("x", 90))
    )
    assert cleared.held("site", ["web1"], NOON + after(59))
    assert not cleared.held("site", ["web1"], NOON + after(60))
    shortened = folded(Pen().at(0, mute("web1", 600)).at(60, mute("web1", 90)))
    assert shortened.held("site", ["web1"], NOON + after(30))
    assert shortened.held("site", ["web1"], NOON + after(89))
    assert not shortened.held("site", ["web1"], NOON + after(90))


def test_what_has_been_over_for_a_day_is_forgotten() -> None:
    pen = Pen().at(0, mute("web1", 60))
    for number in range(100):
        pen.at(100 + number * 3600, mute(f"m{number}", 110 + number * 3600))
    assert len(folded(pen).over) <= 25
