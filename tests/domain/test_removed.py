"""An address that was removed by hand, where the other director had it before keepalived put it back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from bot.domain.events import RollCallTaken, VrrpState
from bot.domain.fleet import Fleet
from bot.domain.incidents import Cause, Incident, Kind
from bot.flows.chronicle import World, fold
from bot.views.incident import facts, headline

from .reference import NOON, SITE, Pen, answer

BACKUP, MASTER, STOP = VrrpState.BACKUP, VrrpState.MASTER, VrrpState.STOP
REMOVED = "VI_1: the address was removed by hand, and keepalived put it back at once"

# By the directors' own clocks, as it was in the lab: sv2's skew time was over 36 ms before sv1's.
WORDS = (("sv1", BACKUP, 100.0), ("sv2", MASTER, 100.58), ("sv1", MASTER, 100.62), ("sv2", BACKUP, 100.65))
ORDERS = [
    o
    for o in permutations(WORDS)
    if all([w for w in o if w[0] == name] == [w for w in WORDS if w[0] == name] for name in ("sv1", "sv2"))
]


def written(words: Sequence[tuple[str, VrrpState, float]], heard: Sequence[float] | None = None) -> Pen:
    """What *words* are in the journal: each at its own time, or as it was *heard*."""
    pen = Pen().all_well(0).all_well(60)
    for (director, state, said), at in zip(words, heard or [w[2] for w in words], strict=True):
        pen.says(at, director, state)
        pen.lines[-1] = replace(pen.lines[-1], at_source=NOON + timedelta(seconds=said))
    return pen


def told(pen: Pen, advert_int: float = 1.0) -> tuple[Incident, ...]:
    """The stories that *pen* has written, at a site whose directors speak every *advert_int* seconds."""
    instances = tuple(replace(i, advert_int=advert_int) for i in SITE.vrrp_instances)
    fleet = Fleet(clusters=(replace(SITE, vrrp_instances=instances),))
    world = World.of(fleet)
    for line in pen.lines:
        fold(world, line, fleet)
    return tuple(i for i in world.incidents["site"].all if not i.withdrawn)


@pytest.mark.parametrize("order", ORDERS, ids=lambda o: " ".join(f"{d}:{s.value}" for d, s, _ in o))
@pytest.mark.parametrize("looked_after", range(5))
def test_it_is_one_story_in_whatever_order_its_words_are_heard(
    order: Sequence[tuple[str, VrrpState, float]], looked_after: int
) -> None:
    """Also where a look has found all well after only some of the words: the others come later."""
    heard = [101 + n * 0.1 for n in range(looked_after)] + [103 + n * 0.1 for n in range(4 - looked_after)]
    pen = written(order, heard)
    pen.all_well(102)
    pen.lines.sort(key=lambda line: line.recorded_at)
    (incident,) = told(pen.all_well(105).all_well(130))
    assert (incident.kind, incident.open, headline(incident)) == (Kind.VIP_REMOVED, False, REMOVED)


def test_it_says_that_the_other_one_had_it_meanwhile() -> None:
    (incident,) = told(written(WORDS).outage(100.1, 100.9).all_well(103))
    assert facts(incident) == [
        "sv2 was MASTER for a moment, until sv1 had it again",
        "VIP unreachable for 1.1 s ± 0.2 s (3 failed probes)",
    ]


def test_a_slow_answer_does_not_make_it_a_director_that_was_cut_off() -> None:
    boot: dict[str, Any] = {"boot": "b1", "clock_behind_s": 0.0}
    pen = Pen().roll_call(60, answer("sv1", holds=True, **boot), answer("sv2", **boot))
    pen.lines += written([WORDS[1], WORDS[3], WORDS[0]], [101.0, 101.1, 101.2]).lines[2:]
    pen.roll_call(102, answer("sv2"))
    event = pen.lines[-1].event
    assert isinstance(event, RollCallTaken)
    pen.lines[-1] = replace(pen.lines[-1], event=replace(event, waiting=("sv1",)))
    pen.roll_call(103, answer("sv1", holds=True, **boot))
    (incident,) = told(pen)
    assert (incident.cause, incident.open) == (Cause.CUT_OFF, False), "which is all that is known so far"
    pen.lines += written([WORDS[2]], [104.0]).lines[2:]
    (incident,) = told(pen.all_well(106))
    assert (incident.kind, incident.cause, headline(incident)) == (Kind.VIP_REMOVED, Cause.REMOVED, REMOVED)


def test_a_second_time_is_told_as_well() -> None:
    pen = written(WORDS).all_well(103)
    again = [(d, s, at + 10) for d, s, at in WORDS]
    pen.lines += written(again).lines[2:]
    incidents = told(pen.all_well(113))
    assert len(incidents) > 1 or incidents[0].changes == 1
    assert all((i.kind, i.open) == (Kind.VIP_REMOVED, False) for i in incidents)


def test_a_failover_soon_after_it_is_a_story_of_its_own() -> None:
    """It is news: an edit of what was over would wake nobody."""
    pen = written(WORDS).all_well(103).says(115, "sv2", MASTER)
    pen.roll_call(117, answer("sv1", error="no answer"), answer("sv2", holds=True))
    removed, failover = told(pen)
    assert (removed.kind, removed.open) == (Kind.VIP_REMOVED, False)
    assert (failover.kind, failover.open) == (Kind.FAILOVER, True)
    assert failover.began_at == NOON + timedelta(seconds=115)


def test_where_directors_speak_often_an_election_is_as_quick_as_that_and_nothing_was_removed() -> None:
    """Of keepalived's VRRP process that died and was started again: BACKUP at its start, MASTER after an election."""
    pen = written([("sv1", BACKUP, 100.0), ("sv2", MASTER, 100.33), ("sv1", MASTER, 100.40), ("sv2", BACKUP, 100.41)])
    (incident,) = told(pen.all_well(103), advert_int=0.1)
    assert incident.kind is Kind.FAILOVER
    alone = written([("sv1", BACKUP, 100.0), ("sv1", MASTER, 100.40)])
    assert told(alone.all_well(103), advert_int=0.1) == ()
    (incident,) = told(written(WORDS).all_well(103), advert_int=1)
    assert incident.kind is Kind.VIP_REMOVED


def test_a_preferred_director_that_takes_over_and_is_gone_again_at_once_removes_nothing() -> None:
    pen = Pen().roll_call(0, answer("sv1"), answer("sv2", holds=True))
    for at, director, state in (
        (100.0, "sv1", MASTER),
        (100.05, "sv2", BACKUP),
        (100.6, "sv1", STOP),
        (101.3, "sv2", MASTER),
    ):
        pen.says(at, director, state)
    pen.roll_call(103, answer("sv1"), answer("sv2", holds=True))
    assert Kind.VIP_REMOVED not in {i.kind for i in told(pen)}
