"""A mute covers what was muted, and never the outage of which that is an effect or a part."""

from __future__ import annotations

from datetime import timedelta

from bot.domain.events import Actor, MuteSet, Via, VrrpState
from bot.domain.health import Outcome
from bot.domain.incidents import Cause, Incident, Kind
from bot.domain.incidents.muting import mute_of
from bot.domain.observed import UnitActive
from bot.flows.chronicle import World, fold
from bot.flows.projecting import to_be_told

from .reference import FLEET, NOON, WEIGHTS, Pen, answer

ALICE = Actor(id="U0ALICE", name="alice", via=Via.SLACK)
UP, DOWN = Outcome.HEALTHY, Outcome.UNHEALTHY
NO_WEB1 = tuple(w for w in WEIGHTS if w[1] != "web1")


def muted(pen: Pen, at: float, subject: str, *, maintenance: bool = False) -> Pen:
    until = NOON + timedelta(hours=2)
    return pen.at(at, MuteSet(cluster="site", subject=subject, until=until, by=ALICE, maintenance=maintenance))


def told(pen: Pen, seconds: float) -> list[Incident]:
    """Those that are to be told at *seconds*."""
    world, now = World.of(FLEET), NOON + timedelta(seconds=seconds)
    for line in pen.lines:
        fold(world, line, FLEET)
    return [i for i in world.incidents["site"].all if to_be_told(i, world, now)]


def web1_is_worked_on() -> Pen:
    pen = muted(Pen().all_well(0), 50, "web1", maintenance=True).probe(60, "http", "web1", DOWN)
    return pen.roll_call(62, answer("sv1", holds=True, weights=NO_WEB1), answer("sv2", weights=NO_WEB1))


def test_a_real_server_that_is_being_worked_on_is_not_told() -> None:
    assert told(web1_is_worked_on(), 100) == []


def test_it_does_not_keep_an_outage_back() -> None:
    pen = web1_is_worked_on().probe(1800, "http", None, DOWN)
    pen.roll_call(1802, answer("sv1", holds=True, weights=NO_WEB1), answer("sv2", weights=NO_WEB1))
    assert [i.kind for i in told(pen, 1820)] == [Kind.VIP_UNREACHABLE]


def test_nor_that_the_other_one_is_down_as_well() -> None:
    pen = web1_is_worked_on().probe(900, "http", "web2", DOWN)
    pen.roll_call(902, answer("sv1", holds=True, weights=()), answer("sv2", weights=()))
    assert Kind.SERVICE_DOWN in [i.kind for i in told(pen, 920)]


def test_nor_that_its_host_died() -> None:
    pen = web1_is_worked_on().roll_call(103, answer("sv1", error="no answer"), answer("sv2", weights=NO_WEB1))
    pen.says(103.6, "sv2", VrrpState.MASTER)
    pen.roll_call(106, answer("sv1", error="no answer"), answer("sv2", holds=True, weights=NO_WEB1))
    assert [i.kind for i in told(pen, 120)] == [Kind.FAILOVER]


def test_work_on_a_director_covers_the_failover_that_it_makes_and_names_it_planned() -> None:
    pen = muted(Pen().all_well(0), 50, "sv1", maintenance=True)
    pen.says(100, "sv1", VrrpState.STOP).says(100.7, "sv2", VrrpState.MASTER)
    assert told(pen, 110) == []
    pen.roll_call(111, answer("sv1", active=UnitActive.INACTIVE, weights=()), answer("sv2", holds=True))
    assert told(pen, 120) == []
    world = World.of(FLEET)
    for line in pen.lines:
        fold(world, line, FLEET)
    (incident,) = world.incidents["site"].all
    assert (incident.kind, incident.cause) == (Kind.FAILOVER, Cause.MAINTENANCE)


def test_one_director_that_is_worked_on_does_not_keep_back_that_both_are_lost() -> None:
    pen = muted(Pen().all_well(0), 50, "sv2", maintenance=True)
    for at in (100, 103):
        pen.roll_call(at, answer("sv1", error="no answer"), answer("sv2", error="no answer"))
    assert [i.kind for i in told(pen, 120)] == [Kind.DIRECTORS_LOST]


def test_whoever_mutes_an_open_story_by_its_button_mutes_all_of_it() -> None:
    pen = Pen().all_well(0).probe(100, "http", "web1", DOWN).probe(102, "dns-udp", "web2", DOWN).all_well(103)
    world = World.of(FLEET)
    for line in muted(pen, 110, "web1").lines:
        fold(world, line, FLEET)
    (incident,) = world.incidents["site"].open
    assert incident.also_down == ("web2",)
    assert mute_of(incident, world.mutes, NOON + timedelta(seconds=120)) is not None


def test_the_whole_cluster_can_be_muted() -> None:
    pen = muted(Pen().all_well(0), 50, "site").probe(100, "http", None, DOWN).all_well(101)
    assert told(pen, 200) == []
