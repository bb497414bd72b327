"""What comes and goes is one story, whichever of its signals is first; and it ends when it has stayed calm."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from bot.domain.events import Due, IncidentAcknowledged, TimeCame, VrrpState
from bot.domain.health import Outcome
from bot.domain.incidents import Cause, Incident, Kind
from bot.flows.chronicle import World, fold

from .reference import FLEET, NOON, Pen, answer
from .test_every_kind import LOST, closely, looked
from .test_muting import ALICE

UP, DOWN = Outcome.HEALTHY, Outcome.UNHEALTHY
M, B, FAULT = VrrpState.MASTER, VrrpState.BACKUP, VrrpState.FAULT


def incidents(pen: Pen) -> tuple[Incident, ...]:
    world = World.of(FLEET)
    for line in pen.lines:
        fold(world, line, FLEET)
    return tuple(i for i in world.incidents["site"].all if not i.withdrawn)


def cut_off(pen: Pen, at: float) -> Pen:
    """sv1 is not there for 15 s, and comes back as the same one."""
    pen.roll_call(at + 2, closely("sv1", **LOST), closely("sv2")).says(at + 3.6, "sv2", M)
    pen.roll_call(at + 5, closely("sv1", **LOST), closely("sv2", holds=True))
    return looked(pen.says(at + 16, "sv2", B).says(at + 16.1, "sv1", M), at + 17, at + 19)


def test_a_failover_again_and_again_is_a_second_story_that_waits_for_calm() -> None:
    pen = cut_off(looked(Pen(), 0), 60)
    for number in range(6):
        cut_off(pen, 100 + 40 * number)
        first, incident = incidents(pen)
        assert (first.changes, incident.changes) == (0, number)
        assert incident.cause is Cause.CUT_OFF
        assert not incident.troubles
    assert incident.calm_until is not None
    calm = (incident.calm_until - NOON).total_seconds()
    pen.at(calm, TimeCame(cluster="site", incident=incident.id, due=Due.CALM))
    _, incident = incidents(pen)
    assert not incident.open


def test_while_it_flaps_a_failover_has_its_own_cause_and_not_that_of_the_last() -> None:
    pen = cut_off(looked(Pen(), 0), 60)
    for number in range(4):
        cut_off(pen, 100 + 40 * number)
    pen.roll_call(302, closely("sv1", **LOST), closely("sv2")).says(303.6, "sv2", M)
    pen.roll_call(305, closely("sv1", **LOST), closely("sv2", holds=True))
    _, incident = incidents(pen)
    assert (incident.changes, incident.cause, incident.calm_until) == (4, Cause.DIED, None)


def test_a_director_that_reports_fault_again_and_again_is_one_story_from_the_second_time_on() -> None:
    pen = Pen().all_well(0)
    for at in (60, 100, 140, 180, 220):
        pen.says(at, "sv1", FAULT).says(at + 0.7, "sv2", M)
        pen.roll_call(at + 1.2, answer("sv1"), answer("sv2", holds=True))
        pen.says(at + 5, "sv1", B).says(at + 8.6, "sv1", M).says(at + 8.7, "sv2", B).all_well(at + 10)
    first, incident = incidents(pen)
    assert (first.kind, first.changes, first.cause) == (Kind.FAILOVER, 0, Cause.FAULT)
    assert (incident.kind, incident.changes, incident.cause) == (Kind.FAILOVER, 3, Cause.FAULT)


def test_a_split_brain_again_and_again_is_one_story() -> None:
    pen = looked(Pen(), 0)
    for at in (100, 140, 180, 220, 260):
        looked(pen.says(at, "sv2", M), at + 1, at + 2, sv2={"holds": True})
        looked(pen.says(at + 10, "sv2", B), at + 11, at + 12)
    (incident,) = incidents(pen)
    assert (incident.kind, incident.changes) == (Kind.SPLIT_BRAIN, 4)


def test_a_real_server_whose_clients_feel_each_fall_first_is_one_story_also_while_it_flaps() -> None:
    pen = Pen().all_well(0)
    for at in range(100, 580, 60):
        pen.probe(at, "http", None, DOWN).probe(at + 2, "http", "web1", DOWN).all_well(at + 3)
        pen.probe(at + 5, "http", None, UP).probe(at + 20, "http", "web1", UP)
    (incident,) = incidents(pen)
    assert (incident.kind, incident.subject, incident.changes) == (Kind.REAL_SERVER_DOWN, "web1", 7)


def test_a_new_fall_is_a_story_of_its_own_however_long_another_has_been_down() -> None:
    pen = Pen().all_well(0).probe(100, "http", "web1", DOWN).all_well(101)
    pen.at(150, IncidentAcknowledged(cluster="site", incident=2, by=ALICE))
    pen.probe(200, "dns-udp", "web2", DOWN).all_well(201)
    old, new = incidents(pen)
    assert (old.subject, old.also_down, old.acknowledged_by) == ("web1", (), ALICE)
    assert (new.subject, new.acknowledged_by) == ("web2", None)


def test_twenty_real_servers_that_fall_together_are_one_story() -> None:
    (site,) = FLEET.clusters
    names = [f"web{number}" for number in range(1, 21)]
    servers = tuple(replace(site.real_server("web1"), name=name, host=None) for name in names)
    member = site.service("http").members[0]
    services = tuple(replace(s, members=tuple(replace(member, real_server=n) for n in names)) for s in site.services)
    fleet = replace(FLEET, clusters=(replace(site, real_servers=servers, services=services),))
    pen = Pen().all_well(0)
    for number, name in enumerate(names[:-1]):
        pen.probe(100 + number / 4, "http", name, DOWN)
    world = World.of(fleet)
    pen.roll_call(106, answer("sv1", holds=True, weights=None), answer("sv2", weights=None))
    for line in pen.lines:
        fold(world, line, fleet)
    (incident,) = (i for i in world.incidents["site"].all if not i.withdrawn)
    assert {t.subject for t in incident.troubles} == set(names[:-1])
    assert incident.opened_at == NOON + timedelta(seconds=100)
