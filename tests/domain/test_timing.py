"""What time makes due: reminders, escalations and the end of a calm, each once and only for who still waits."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from bot.domain.events import Actor, Due, IncidentAcknowledged, TimeCame, Via
from bot.domain.health import Outcome
from bot.domain.incidents import Incident, Kind
from bot.domain.incidents.timing import Patience, due
from bot.flows.chronicle import World, fold
from bot.flows.timekeeping import entries

from .reference import FLEET, NOON, Pen, answer

PATIENCE = Patience(remind_after=timedelta(minutes=30), escalate_after=timedelta(minutes=15))
ALICE = Actor(id="U0ALICE", name="alice", via=Via.SLACK)


def world_of(pen: Pen) -> World:
    world = World.of(FLEET)
    for line in pen.lines:
        fold(world, line, FLEET)
    return world


def web1_down() -> Pen:
    pen = Pen().all_well(0).probe(100, "http", "web1", Outcome.UNHEALTHY, "connection refused")
    return pen.roll_call(101, answer("sv1", holds=True), answer("sv2"))


def at(world: World, seconds: float) -> list[Due]:
    incidents = world.incidents["site"]
    return [what for _, what in due(incidents, NOON + timedelta(seconds=seconds), PATIENCE, lambda _: False)]


def test_what_nobody_takes_is_escalated_once_and_reminded_of_again_and_again() -> None:
    pen = web1_down()
    assert at(world_of(pen), 100 + 899) == []
    assert at(world_of(pen), 100 + 900) == [Due.ESCALATION]
    number = world_of(pen).incidents["site"].open[0].id
    pen.at(1000, TimeCame(cluster="site", incident=number, due=Due.ESCALATION))
    assert at(world_of(pen), 100 + 1799) == []
    assert at(world_of(pen), 100 + 1800) == [Due.REMINDER]
    pen.at(1900, TimeCame(cluster="site", incident=number, due=Due.REMINDER))
    (incident,) = world_of(pen).incidents["site"].open
    assert (incident.reminders, incident.reminded_at) == (1, NOON + timedelta(seconds=1900))
    assert incident.escalated_at == NOON + timedelta(seconds=1000)
    assert at(world_of(pen), 1900 + 1799) == []
    assert at(world_of(pen), 1900 + 1800) == [Due.REMINDER]


def test_whoever_has_taken_it_is_left_alone() -> None:
    pen = web1_down()
    number = world_of(pen).incidents["site"].open[0].id
    pen.at(200, IncidentAcknowledged(cluster="site", incident=number, by=ALICE))
    (incident,) = world_of(pen).incidents["site"].open
    assert (incident.acknowledged_by, incident.acknowledged_at) == (ALICE, NOON + timedelta(seconds=200))
    assert at(world_of(pen), 100_000) == []


def test_muted_incidents_wait_and_nothing_is_due_of_what_is_over() -> None:
    incidents = world_of(web1_down()).incidents["site"]
    late = NOON + timedelta(hours=5)
    assert list(due(incidents, late, PATIENCE, lambda _: True)) == []
    over = replace(incidents, all=tuple(replace(i, resolved_at=late) for i in incidents.all))
    assert list(due(over, late, PATIENCE, lambda _: False)) == []


def test_nobody_is_called_for_what_was_meant() -> None:
    mild = Incident(
        id=1,
        kind=Kind.WEIGHT_CHANGED,
        cluster="site",
        subject="web1",
        opened_at=NOON,
        hold_until=NOON,
        settled=True,
        troubles=world_of(web1_down()).incidents["site"].open[0].troubles,
    )
    world = World.of(FLEET)
    world.incidents["site"] = replace(world.incidents["site"], all=(mild,))
    assert at(world, 1000) == []
    assert at(world, 2000) == [Due.REMINDER]


def test_without_patience_in_the_settings_nothing_is_due() -> None:
    incidents = world_of(web1_down()).incidents["site"]
    never = Patience(remind_after=None, escalate_after=None)
    assert list(due(incidents, NOON + timedelta(days=3), never, lambda _: False)) == []


def test_what_is_due_is_recorded_with_a_key_that_makes_it_happen_once() -> None:
    world = world_of(web1_down())
    first, again = (entries(world, NOON + timedelta(seconds=s), PATIENCE) for s in (1001, 1002))
    assert [e.source_key for e in first] == [e.source_key for e in again]
    assert len(first) == 1


def test_what_flaps_is_one_incident_that_is_held_open_until_it_has_been_calm_for_longer_each_time() -> None:
    pen = Pen().all_well(0)
    for number in range(5):
        began = 100 + 40 * number
        pen.probe(began, "http", "web1", Outcome.UNHEALTHY, "connection refused")
        pen.roll_call(began + 1, answer("sv1", holds=True), answer("sv2"))
        pen.probe(began + 20, "http", "web1", Outcome.HEALTHY, "")
    (incident,) = world_of(pen).incidents["site"].all
    assert incident.changes == 4
    assert incident.flapping
    assert incident.open
    assert incident.calm_from == NOON + timedelta(seconds=280)
    assert incident.calm_until == NOON + timedelta(seconds=280 + 60)
    assert at(world_of(pen), 339) == []
    assert at(world_of(pen), 340) == [Due.CALM]
    pen.at(340.5, TimeCame(cluster="site", incident=incident.id, due=Due.CALM))
    (incident,) = world_of(pen).incidents["site"].all
    assert incident.resolved_at == NOON + timedelta(seconds=340.5)


def test_what_begins_again_much_later_is_an_incident_of_its_own() -> None:
    pen = Pen().all_well(0)
    for began in (100, 400):
        pen.probe(began, "http", "web1", Outcome.UNHEALTHY, "connection refused")
        pen.roll_call(began + 1, answer("sv1", holds=True), answer("sv2"))
        pen.probe(began + 20, "http", "web1", Outcome.HEALTHY, "")
    first, second = world_of(pen).incidents["site"].all
    assert (first.changes, second.changes) == (0, 0)


def restless() -> Pen:
    """web1 is down, was up for a moment and is down again; then the VIP fails, too."""
    pen = web1_down().probe(110, "http", "web1", Outcome.HEALTHY, "")
    pen.roll_call(111, answer("sv1", holds=True), answer("sv2"))
    pen.probe(120, "http", "web1", Outcome.UNHEALTHY, "connection refused")
    return pen.probe(130, "http", None, Outcome.UNHEALTHY, "connection refused")


def test_that_clients_feel_what_was_told_as_less_is_news_where_it_lasts() -> None:
    pen = restless()
    (incident,) = world_of(pen).incidents["site"].open
    assert (incident.kind, incident.felt_since) == (Kind.VIP_UNREACHABLE, NOON + timedelta(seconds=130))
    assert at(world_of(pen), 144) == []
    assert at(world_of(pen), 145) == [Due.WORSE]
    (entry,) = entries(world_of(pen), NOON + timedelta(seconds=145), PATIENCE)
    pen.at(145, entry.event)
    (incident,) = world_of(pen).incidents["site"].open
    assert (incident.worse, incident.worse_at) == (1, NOON + timedelta(seconds=145))
    assert at(world_of(pen), 200) == []
    pen.probe(210, "http", None, Outcome.HEALTHY, "").probe(211, "http", "web1", Outcome.HEALTHY, "")
    pen.probe(214, "http", "web1", Outcome.UNHEALTHY, "refused").probe(215, "http", None, Outcome.UNHEALTHY, "refused")
    assert at(world_of(pen), 230) == [Due.WORSE]
    (again,) = entries(world_of(pen), NOON + timedelta(seconds=230), PATIENCE)
    assert again.source_key != entry.source_key


def test_what_clients_feel_for_a_moment_is_no_news_of_its_own() -> None:
    pen = restless().probe(134, "http", None, Outcome.HEALTHY, "")
    (incident,) = world_of(pen).incidents["site"].open
    assert (incident.kind, incident.felt_since) == (Kind.REAL_SERVER_DOWN, None)
    assert at(world_of(pen), 300) == []


def test_a_vip_that_was_told_as_unreachable_is_not_told_again_as_worse() -> None:
    pen = Pen().all_well(0).probe(100, "http", None, Outcome.UNHEALTHY, "connection refused")
    pen.roll_call(101, answer("sv1", holds=True), answer("sv2"))
    assert Due.WORSE not in at(world_of(pen), 200)


def test_that_no_real_server_is_left_in_a_story_that_was_told_as_less_is_told_at_once() -> None:
    dead = Outcome.UNHEALTHY
    pen = Pen().all_well(0).probe(100, "http", "web1", dead, "refused").roll_call(101, answer("sv1", holds=True))
    pen.probe(110, "http", None, dead, "refused").probe(111, "http", "web2", dead, "refused")
    assert at(world_of(pen), 111.5) == [Due.WORSE]
