"""Incidents: each timeline ends in exactly the incidents that it should, and in no other."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address, ip_interface
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.events import (
    Actor,
    BotStarted,
    IncidentAcknowledged,
    MessagePosted,
    QuorumChanged,
    Recorded,
    RollCallTaken,
    Via,
    VrrpState,
    VrrpStateChanged,
)
from bot.domain.fleet import Director, Fleet, VrrpInstance
from bot.domain.health import Outcome
from bot.domain.incidents import Cause, Incident, Kind
from bot.domain.observed import UnitActive, key_of
from bot.flows.chronicle import World, fold
from bot.views.incident import headline, incident_message

from .reference import FLEET, NOON, SITE, WEIGHTS, Pen, answer, processes

ALICE = Actor(id="U0ALICE", name="alice", via=Via.SLACK)
UP, DOWN = Outcome.HEALTHY, Outcome.UNHEALTHY


def told(lines: list[Recorded]) -> tuple[Incident, ...]:
    world = World.of(FLEET)
    for line in lines:
        fold(world, line, FLEET)
    return tuple(i for i in world.incidents["site"].all if not i.withdrawn)


def clean_stop() -> Pen:
    return (
        Pen()
        .all_well(0)
        .says(100.0, "sv1", VrrpState.STOP)
        .probe(100.5, "http", None, DOWN, "no answer within 0.9 s")
        .says(100.7, "sv2", VrrpState.MASTER)
        .outage(100.1, 100.6)
        .probe(101.0, "http", None, UP, "")
        .roll_call(101.2, answer("sv1", active=UnitActive.INACTIVE, weights=()), answer("sv2", holds=True))
    )


def test_a_clean_stop_is_one_planned_failover_with_its_measured_outage() -> None:
    (incident,) = told(clean_stop().lines)
    assert (incident.kind, incident.old_master, incident.new_master) == (Kind.FAILOVER, "sv1", "sv2")
    assert incident.cause is Cause.STOPPED
    assert incident.planned
    assert incident.open
    assert headline(incident) == "VI_1 failed over: sv1 → sv2 (planned: keepalived was stopped on sv1)"
    assert "VIP unreachable for" in str(incident_message(incident).blocks)


def test_its_return_closes_the_failover_and_opens_nothing() -> None:
    pen = clean_stop().says(200, "sv1", VrrpState.BACKUP).says(203.6, "sv1", VrrpState.MASTER)
    pen.says(203.7, "sv2", VrrpState.BACKUP).all_well(204)
    (incident,) = told(pen.lines)
    assert not incident.open
    assert headline(incident) == "VI_1: sv1 is MASTER again"
    assert "MASTER had moved sv1 → sv2" in str(incident_message(incident).blocks)


def died() -> Pen:
    """kill -9 of sv1's guest: its own word is missing, and web1 lives inside it."""
    return (
        Pen()
        .all_well(0)
        .probe(100.5, "http", None, DOWN, "no answer within 0.9 s")
        .roll_call(103.0, answer("sv1", error="no answer within 2.5 s"), answer("sv2"))
        .says(103.6, "sv2", VrrpState.MASTER)
        .outage(100.0, 103.5)
        .probe(104.0, "http", None, UP, "")
        .probe(104.2, "http", "web1", DOWN, "no answer within 1 s")
        .check(105.0, "sv2", "web1", up=False)
        .roll_call(106.1, answer("sv1", error="no answer within 2.5 s"), answer("sv2", holds=True))
        .probe(108.2, "dns-udp", "web1", DOWN, "no answer within 1 s")
        .silent(115.0, "sv1")
        .roll_call(117.6, answer("sv1", error="cannot connect"), answer("sv2", holds=True))
    )


def test_a_director_that_dies_is_one_unplanned_failover_and_explains_its_real_server() -> None:
    (incident,) = told(died().lines)
    assert incident.kind is Kind.FAILOVER
    assert incident.cause is Cause.DIED
    assert not incident.planned
    assert incident.also_down == ("web1",)
    assert headline(incident) == "VI_1 failed over: sv1 → sv2 (unplanned: sv1 does not answer)"


def test_a_dead_director_that_returns_closes_everything() -> None:
    pen = died().silent(200, "sv1", silent=False).says(201, "sv1", VrrpState.BACKUP)
    pen.says(204, "sv1", VrrpState.MASTER).says(204.1, "sv2", VrrpState.BACKUP)
    pen.all_well(205).probe(206, "http", "web1", UP, "").probe(207, "dns-udp", "web1", UP, "").check(
        208, "sv2", "web1", True
    )
    (incident,) = told(pen.lines)
    assert not incident.open
    assert incident.resolved_at == NOON + timedelta(seconds=207)
    assert headline(incident) == "VI_1: sv1 is MASTER again"


def test_no_failover_is_told_before_a_roll_call_or_five_seconds() -> None:
    pen = Pen().all_well(0).says(100, "sv2", VrrpState.MASTER)
    (incident,) = told(pen.lines)
    assert not incident.due(NOON + timedelta(seconds=104.9))
    assert incident.due(NOON + timedelta(seconds=105))


def test_a_brief_false_master_at_boot_is_withdrawn() -> None:
    pen = Pen().all_well(0).says(100, "sv2", VrrpState.MASTER).says(100.1, "sv2", VrrpState.BACKUP).all_well(100.4)
    assert told(pen.lines) == ()


def test_two_holders_seen_once_are_no_split_brain_and_twice_are() -> None:
    both = (answer("sv1", holds=True), answer("sv2", holds=True))
    pen = Pen().all_well(0).says(100, "sv2", VrrpState.MASTER).roll_call(100.5, *both)
    assert [i.kind for i in told(pen.lines)] == [Kind.FAILOVER]
    pen.roll_call(101.6, *both)
    assert [i.kind for i in told(pen.lines)] == [Kind.SPLIT_BRAIN]


def test_a_stopped_web_server_is_one_story_of_probe_and_keepalived_and_recovery_closes_it() -> None:
    pen = Pen().all_well(0).probe(100, "http", "web1", DOWN, "connection refused")
    pen.check(101, "sv1", "web1", False).check(101.1, "sv2", "web1", False)
    without = tuple(w for w in WEIGHTS if w[:2] != ("http", "web1"))
    pen.roll_call(101.5, answer("sv1", holds=True, weights=without), answer("sv2", weights=without))
    (incident,) = told(pen.lines)
    assert incident.kind is Kind.REAL_SERVER_DOWN
    assert incident.settled
    facts = str(incident_message(incident).blocks)
    assert "http: connection refused" in facts
    pen.probe(150, "http", "web1", UP, "").check(151, "sv1", "web1", True)
    assert told(pen.lines)[0].open
    pen.check(151.2, "sv2", "web1", True)
    (incident,) = told(pen.lines)
    assert not incident.open
    assert headline(incident) == "web1 is up again"


def test_the_backup_lost_is_not_a_failover() -> None:
    pen = Pen().all_well(0).silent(100, "sv2").roll_call(102, answer("sv1", holds=True), answer("sv2", error="refused"))
    (incident,) = told(pen.lines)
    assert (incident.kind, incident.subject) == (Kind.DIRECTOR_LOST, "sv2")
    pen.silent(200, "sv2", silent=False).all_well(201)
    assert not told(pen.lines)[0].open


def test_an_agent_that_is_silent_on_a_healthy_director_is_its_own_incident() -> None:
    pen = Pen().all_well(0).silent(100, "sv2").all_well(101)
    (incident,) = told(pen.lines)
    assert incident.kind is Kind.AGENT_SILENT


def test_an_agent_is_not_told_as_silent_before_its_heartbeat_could_have_come_from_a_director_that_was_cut_off() -> None:
    def due(pen: Pen, seconds: float) -> list[Kind]:
        return [i.kind for i in told(pen.lines) if i.due(NOON + timedelta(seconds=seconds))]

    pen = Pen().all_well(0).silent(100, "sv2").roll_call(101, answer("sv1", holds=True)).all_well(110)
    assert due(pen, 110) == []
    assert due(pen, 121) == [Kind.AGENT_SILENT]
    assert due(pen.all_well(122), 119) == []  # it is the first answer that counts
    heard = Pen().all_well(0).silent(100, "sv2").all_well(103).silent(108, "sv2", silent=False)
    assert not told(heard.all_well(140).lines)


@pytest.mark.parametrize(
    ("result", "cause"), [("signal", Cause.FAILED), ("success", Cause.STOPPED), ("timeout", Cause.STOPPED)]
)
def test_a_unit_that_is_being_shut_down_says_whether_somebody_wanted_that(result: str, cause: Cause) -> None:
    gone = answer("sv1", active=UnitActive.DEACTIVATING, weights=())
    assert gone.keepalived is not None
    gone = replace(gone, keepalived=replace(gone.keepalived, result=result))
    pen = Pen().all_well(0).says(100, "sv1", VrrpState.STOP).says(100.7, "sv2", VrrpState.MASTER)
    pen.roll_call(101.2, gone, answer("sv2", holds=True))
    pen.roll_call(102, answer("sv1", active=UnitActive.FAILED, weights=()), answer("sv2", holds=True))
    (incident,) = told(pen.lines)
    assert (incident.kind, incident.cause) == (Kind.FAILOVER, cause)


def test_a_silent_agent_waits_for_what_its_director_says_as_long_as_a_dead_one_takes_to_be_found() -> None:
    pen = Pen().all_well(0).silent(100, "sv1").silent(100.1, "sv2")
    assert not [i for i in told(pen.lines) if i.due(NOON + timedelta(seconds=129))]
    lost = answer("sv1", error="no answer within 10 s"), answer("sv2", error="no answer within 10 s")
    pen.roll_call(115, *lost).roll_call(130, *lost)
    (incident,) = told(pen.lines)
    assert incident.kind is Kind.DIRECTORS_LOST
    (incident,) = [i for i in told(Pen().all_well(0).silent(100, "sv1").lines) if i.due(NOON + timedelta(seconds=131))]
    assert incident.kind is Kind.AGENT_SILENT


def test_a_failover_that_nobody_reported_is_found_by_a_roll_call() -> None:
    pen = (
        Pen().all_well(0).roll_call(30, answer("sv1", active=UnitActive.FAILED, weights=()), answer("sv2", holds=True))
    )
    (incident,) = told(pen.lines)
    assert (incident.kind, incident.cause, incident.settled) == (Kind.FAILOVER, Cause.FAILED, True)


def test_a_roll_call_that_was_overtaken_by_a_claim_moves_nothing() -> None:
    """Asked at 203.5 s, sv2 still held it; at 203.6 s sv1 said MASTER; the answers were recorded at 204 s."""
    pen = clean_stop().says(203.6, "sv1", VrrpState.MASTER)
    before = pen.lines[-1].recorded_at - timedelta(seconds=0.1)
    stale = RollCallTaken(
        cluster="site", reason="test", asked_at=before, answers=(answer("sv1"), answer("sv2", holds=True))
    )
    (incident,) = told(pen.at(204, stale).lines)
    assert incident.returned_at is not None
    (incident,) = told(pen.all_well(205).lines)
    assert not incident.open


@given(st.data())
def test_signals_of_a_death_in_any_order_are_one_incident(data: st.DataObject) -> None:
    """Once the move is known, later signals arrive in any order and twice, and still tell one story."""
    lines = died().lines
    tail = data.draw(st.permutations(lines[4:]))
    twice = data.draw(st.lists(st.sampled_from(tail), max_size=4))
    pen = Pen(lines=lines[:4])
    for offset, line in enumerate([*tail, *twice]):
        pen.at(104 + offset, line.event)
    incidents = told(pen.lines)
    assert [i.kind for i in incidents] == [Kind.FAILOVER]


@given(st.permutations(died().lines[1:]), st.integers(0, 10))
def test_whatever_the_order_no_trouble_is_in_two_open_incidents(lines: list[Recorded], repeat: int) -> None:
    pen = Pen().all_well(0)
    for offset, line in enumerate([*lines, lines[repeat]]):
        pen.at(100 + offset, line.event)
        incidents = [i for i in told(pen.lines) if i.open]
        owned = [t for i in incidents for t in i.troubles]
        assert len(owned) == len(set(owned))
        assert all(i.troubles for i in incidents)


def late(pen: Pen, heard: float, said: float, director: str, state: VrrpState) -> Pen:
    """*director*'s word of *said* seconds, which the bot heard at *heard*."""
    pen.says(heard, director, state)
    pen.lines[-1] = replace(pen.lines[-1], at_source=NOON + timedelta(seconds=said))
    return pen


def test_a_claim_that_comes_late_moves_nothing() -> None:
    pen = Pen().all_well(0)
    late(pen, 100, 60, "sv2", VrrpState.MASTER)
    assert told(pen.lines) == ()
    pen.roll_call(100.5, answer("sv1"), answer("sv2", holds=True))
    (incident,) = told(pen.lines)
    assert (incident.kind, incident.new_master, incident.open) == (Kind.FAILOVER, "sv2", True)


def test_a_move_and_a_return_that_nobody_saw_are_told_as_over() -> None:
    pen = Pen().all_well(0)
    late(pen, 100, 60, "sv1", VrrpState.STOP)
    late(pen, 100.1, 60.7, "sv2", VrrpState.MASTER)
    late(pen, 100.2, 66, "sv1", VrrpState.BACKUP)
    late(pen, 100.3, 70, "sv1", VrrpState.MASTER)
    late(pen, 100.4, 70.1, "sv2", VrrpState.BACKUP)
    pen.all_well(101)
    (incident,) = told(pen.lines)
    assert (incident.kind, incident.cause, incident.open) == (Kind.FAILOVER, Cause.RESTARTED, False)
    assert incident.moved_at == NOON + timedelta(seconds=60.7)
    assert headline(incident) == "VI_1: sv1 is MASTER again"
    assert "MASTER had moved sv1 → sv2 (planned: keepalived was restarted on sv1)" in str(
        incident_message(incident).blocks
    )
    pen.all_well(130)
    assert len(told(pen.lines)) == 1


def test_a_story_that_was_seen_is_not_told_again_by_late_words_about_it() -> None:
    pen = clean_stop().says(200, "sv1", VrrpState.BACKUP).says(203.6, "sv1", VrrpState.MASTER)
    pen.says(203.7, "sv2", VrrpState.BACKUP).all_well(204)
    late(pen, 300, 100.7, "sv2", VrrpState.MASTER)
    pen.all_well(301)
    assert len(told(pen.lines)) == 1


def test_the_answers_of_slow_directors_move_no_role_back_and_forth() -> None:
    """Each answer is recorded when it comes: one holder at a time, and both hold it (measured: vrrp_blocked)."""
    pen = Pen().all_well(0).says(100, "sv2", VrrpState.MASTER)
    for second in (101, 103):
        pen.roll_call(second, answer("sv2", holds=True)).roll_call(second + 0.2, answer("sv1", holds=True))
    (incident,) = told(pen.lines)
    assert (incident.kind, incident.holders, incident.returned_at) == (Kind.SPLIT_BRAIN, ("sv1", "sv2"), None)
    pen.says(110, "sv2", VrrpState.BACKUP).roll_call(111, answer("sv2")).roll_call(111.2, answer("sv1", holds=True))
    pen.all_well(112)
    (incident,) = told(pen.lines)
    assert (incident.kind, incident.open) == (Kind.SPLIT_BRAIN, False)


def test_an_answer_from_before_the_last_word_is_no_second_holder() -> None:
    """A director that stood still held the address when it last answered: that is no split brain."""
    pen = Pen().all_well(0).all_well(99).says(103, "sv2", VrrpState.MASTER)
    for second in (104, 105, 106):
        pen.roll_call(second, answer("sv2", holds=True))
    pen.roll_call(112, answer("sv1", error="no answer within 9 s"))
    (incident,) = told(pen.lines)
    assert (incident.kind, incident.cause) == (Kind.FAILOVER, Cause.DIED)


def test_an_incident_is_headed_by_the_trouble_that_it_is_called_by_and_not_by_what_was_noticed_first() -> None:
    pen = Pen().all_well(0).probe(100, "http", None, DOWN, "connection refused")
    empty = answer("sv1", holds=True, weights=(), services=())
    pen.roll_call(101, empty, answer("sv2")).roll_call(102.5, empty, answer("sv2"))
    (incident,) = told(pen.lines)
    assert (incident.kind, incident.subject) == (Kind.TABLE_REMOVED, "sv1")
    assert headline(incident) == (
        "The IPVS table on sv1 is empty, and keepalived runs — the VIP does not answer (http)"
    )
    assert "http: connection refused" in str(incident_message(incident).blocks)


def test_what_a_director_held_for_seconds_did_move_although_no_look_was_in_time_to_see_it() -> None:
    pen = Pen().all_well(0).says(100, "sv2", VrrpState.MASTER).says(112, "sv2", VrrpState.BACKUP).all_well(113)
    (incident,) = told(pen.lines)
    assert (incident.kind, incident.open) == (Kind.FAILOVER, False)
    assert "MASTER had moved sv1 → sv2" in str(incident_message(incident).blocks)


def test_what_clients_feel_of_a_real_server_that_has_just_died_is_part_of_its_story() -> None:
    pen = Pen().all_well(0).probe(100, "http", "web1", DOWN, "connection refused").all_well(101)
    pen.probe(104, "http", None, DOWN, "connection refused")
    (incident,) = told(pen.lines)
    assert incident.kind is Kind.VIP_UNREACHABLE
    pen.probe(108, "http", None, UP, "").outage(103, 107)
    (incident,) = told(pen.lines)
    assert (incident.kind, incident.subject, incident.open) == (Kind.REAL_SERVER_DOWN, "web1", True)
    assert "VIP unreachable for" in str(incident_message(incident).blocks)
    pen.probe(150, "http", "web1", UP, "")
    (incident,) = told(pen.lines)
    assert headline(incident) == "web1 is up again"


def felt_before_it_was_found() -> Pen:
    """Every second connection goes to web1, which is dead: three of the VIP's in a row fail, and then one does not."""
    pen = Pen().all_well(0).probe(100, "http", None, DOWN, "connection refused").outage(99.5, 100.5)
    return pen.probe(100.5, "http", None, UP, "")


def test_what_clients_feel_before_a_dead_real_server_is_found_is_part_of_its_story_too() -> None:
    pen = felt_before_it_was_found()
    assert not due(pen, 102)
    pen.check(102.5, "sv2", "web1", up=False).probe(103, "http", "web1", DOWN, "connection refused").all_well(104)
    (incident,) = told(pen.lines)
    assert (incident.kind, incident.subject, incident.open) == (Kind.REAL_SERVER_DOWN, "web1", True)
    assert "VIP unreachable for" in str(incident_message(incident).blocks)


def test_a_short_failure_of_the_vip_that_nothing_explains_is_told_a_little_later() -> None:
    pen = felt_before_it_was_found()
    assert not due(pen, 115.4)
    assert due(pen, 115.6)
    pen.probe(120, "http", "web1", DOWN, "connection refused").all_well(121)
    assert [i.kind for i in told(pen.lines)] == [Kind.VIP_UNREACHABLE, Kind.REAL_SERVER_DOWN]


def taken(pen: Pen, seconds: float, incident: int) -> Pen:
    return pen.at(seconds, IncidentAcknowledged(cluster="site", incident=incident, by=ALICE))


def test_who_has_taken_a_matter_has_it_also_when_that_turns_out_to_be_part_of_another() -> None:
    pen = Pen().all_well(0).probe(100, "http", "web1", DOWN, "connection refused").all_well(101)
    pen.probe(120, "http", "web1", UP, "").probe(140, "http", None, DOWN, "connection refused")
    story, felt = told(pen.lines)
    taken(pen, 140.5, felt.id).probe(141, "http", "web1", DOWN, "connection refused").all_well(142)
    (incident,) = told(pen.lines)
    assert (incident.id, incident.open) == (story.id, True)
    assert (incident.acknowledged_by, incident.acknowledged_at) == (ALICE, NOON + timedelta(seconds=140.5))


def test_who_has_taken_a_small_matter_has_not_taken_the_greater_one_that_it_is_part_of() -> None:
    pen = Pen().all_well(0).probe(100, "http", "web1", DOWN, "no answer").all_well(100.5)
    (small,) = told(pen.lines)
    taken(pen, 101, small.id)
    assert told(pen.lines)[0].acknowledged_by == ALICE
    pen.says(102, "sv2", VrrpState.MASTER)
    pen.roll_call(103, answer("sv1", error="no answer"), answer("sv2", holds=True))
    (incident,) = [i for i in told(pen.lines) if i.open]
    assert (incident.kind, incident.acknowledged_by) == (Kind.FAILOVER, None)
    assert any("alice is on it" in note.text for note in incident.timeline)


def test_a_vip_that_fails_long_after_a_real_server_died_is_news() -> None:
    pen = Pen().all_well(0).probe(100, "http", "web1", DOWN, "connection refused").all_well(101)
    pen.probe(300, "http", None, DOWN, "no answer within 0.9 s")
    (incident,) = told(pen.lines)
    assert (incident.kind, incident.opened_at) == (Kind.VIP_UNREACHABLE, NOON + timedelta(seconds=300))


def test_a_failover_that_was_found_without_events_does_not_hide_that_no_events_arrive() -> None:
    pen = Pen().all_well(0)
    pen.roll_call(30, answer("sv1", active=UnitActive.INACTIVE, weights=()), answer("sv2", holds=True))
    pen.silent(40, "sv1").silent(40.1, "sv2")
    assert sorted(i.kind for i in told(pen.lines)) == [Kind.AGENT_SILENT, Kind.FAILOVER]
    assert any("it is the way to the bot" in headline(i) for i in told(pen.lines))


def test_a_real_server_that_flaps_is_one_story_also_where_its_clients_feel_it_first() -> None:
    pen = Pen().all_well(0)
    for began in (100, 140, 180, 220):
        pen.probe(began, "http", None, DOWN, "connection refused").probe(began + 1, "http", "web1", DOWN, "refused")
        pen.all_well(began + 2).probe(began + 4, "http", None, UP, "").probe(began + 20, "http", "web1", UP, "")
    (incident,) = told(pen.lines)
    assert (incident.kind, incident.subject, incident.changes) == (Kind.REAL_SERVER_DOWN, "web1", 3)
    assert incident.flapping


def test_one_that_falls_again_before_keepalived_has_taken_its_last_word_back_flaps_too() -> None:
    pen = Pen().all_well(0).probe(100, "http", "web1", DOWN, "refused")
    pen.check(102, "sv1", "web1", False)
    for again in (115, 130, 145):
        pen.probe(again - 5, "http", "web1", UP, "")
        for service in ("http", "dns-udp"):
            pen.probe(again, service, "web1", DOWN, "refused")
        pen.probe(again + 3, "dns-udp", "web1", UP, "")
    (incident,) = told(pen.lines)
    assert (incident.kind, incident.changes, incident.flapping) == (Kind.REAL_SERVER_DOWN, 3, True)


def test_a_stopped_web_server_and_a_stopped_keepalived_are_two_stories_although_both_are_of_one_host() -> None:
    pen = Pen().all_well(0).probe(100, "http", "web1", DOWN, "refused").all_well(101)
    pen.probe(103, "http", None, DOWN, "refused").says(104, "sv1", VrrpState.STOP).says(104.7, "sv2", VrrpState.MASTER)
    pen.check(105, "sv2", "web1", False).probe(106, "http", None, UP, "")
    pen.roll_call(107, answer("sv1", active=UnitActive.INACTIVE, weights=()), answer("sv2", holds=True))
    assert sorted((i.kind, i.subject) for i in told(pen.lines)) == [
        (Kind.FAILOVER, "VI_1"),
        (Kind.REAL_SERVER_DOWN, "web1"),
    ]


def test_they_are_also_where_only_that_keepalived_had_said_it_at_first() -> None:
    pen = Pen().all_well(0).check(99, "sv1", "web1", False).probe(101, "http", "web1", DOWN, "refused")
    pen.says(104, "sv1", VrrpState.STOP).says(104.7, "sv2", VrrpState.MASTER)
    pen.roll_call(107, answer("sv1", active=UnitActive.INACTIVE, weights=()), answer("sv2", holds=True))
    assert sorted((i.kind, i.subject) for i in told(pen.lines)) == [
        (Kind.FAILOVER, "VI_1"),
        (Kind.REAL_SERVER_DOWN, "web1"),
    ]


def test_a_real_server_waits_for_word_of_its_host_from_after_its_fall() -> None:
    pen = Pen().all_well(0).roll_call(98, answer("sv1", holds=True), answer("sv2"))
    pen.probe(100, "http", "web1", DOWN, "no answer within 1 s").roll_call(101, answer("sv2"))
    (incident,) = told(pen.lines)
    assert not incident.due(NOON + timedelta(seconds=102))
    pen.roll_call(103, answer("sv1", holds=True))
    (incident,) = told(pen.lines)
    assert incident.due(NOON + timedelta(seconds=103))


def test_an_outage_that_was_over_before_the_new_master_was_heard_is_part_of_its_failover() -> None:
    pen = Pen().all_well(0).probe(100, "http", None, DOWN, "no answer within 0.9 s").probe(102, "http", None, UP, "")
    late(pen, 105, 101.5, "sv2", VrrpState.MASTER)
    pen.roll_call(106, answer("sv1", active=UnitActive.INACTIVE, weights=()), answer("sv2", holds=True))
    (incident,) = told(pen.lines)
    assert (incident.kind, incident.services) == (Kind.FAILOVER, ("http",))


def test_an_outage_that_was_over_before_the_master_moved_is_a_story_of_its_own() -> None:
    pen = Pen().all_well(0).probe(100, "http", None, DOWN, "no answer within 0.9 s").probe(102, "http", None, UP, "")
    pen.all_well(103).says(105, "sv2", VrrpState.MASTER)
    pen.roll_call(106, answer("sv1", active=UnitActive.INACTIVE, weights=()), answer("sv2", holds=True))
    assert {i.kind for i in told(pen.lines)} == {Kind.FAILOVER, Kind.VIP_UNREACHABLE}


def came_back(seen: Pen) -> Incident:
    """*seen*, whose sv1 then dies, is asked in vain, and answers again with the boot "new"."""
    pen = seen.roll_call(103.0, answer("sv1", error="no answer within 2.5 s"), answer("sv2"))
    pen.says(103.6, "sv2", VrrpState.MASTER)
    pen.roll_call(106.1, answer("sv1", error="no answer within 2.5 s"), answer("sv2", holds=True))
    pen.says(201, "sv1", VrrpState.BACKUP).roll_call(202, answer("sv1", boot="new"), answer("sv2", holds=True))
    pen.says(204, "sv1", VrrpState.MASTER).says(204.1, "sv2", VrrpState.BACKUP)
    pen.roll_call(205, answer("sv1", holds=True, boot="new"), answer("sv2"))
    (incident,) = told(pen.lines)
    return incident


def test_a_director_that_was_away_and_has_the_boot_it_had_was_cut_off() -> None:
    known = Pen().roll_call(0, answer("sv1", holds=True, boot="new"), answer("sv2"))
    assert came_back(known).cause is Cause.CUT_OFF


def test_a_director_whose_boot_was_not_known_before_it_died_was_not_cut_off_for_all_that_is_known() -> None:
    assert came_back(Pen().all_well(0)).cause is Cause.DIED


def test_a_boot_that_was_seen_after_the_move_is_not_the_one_from_before() -> None:
    """sv1 died and is back before sv2's word is heard: its boot is known from a look at what came back."""
    pen = Pen().all_well(0).roll_call(103.0, answer("sv1", error="no answer within 2.5 s"), answer("sv2"))
    pen.roll_call(107.0, answer("sv1", boot="new"), answer("sv2"))
    late(pen, 108, 101, "sv2", VrrpState.MASTER)
    event = RollCallTaken(
        cluster="site",
        reason="test",
        asked_at=NOON + timedelta(seconds=107.5),
        answers=(answer("sv2", holds=True),),
        waiting=("sv1",),
    )
    pen.at(108.5, event).roll_call(110, answer("sv1", boot="new"), answer("sv2", holds=True))
    (incident,) = told(pen.lines)
    assert (incident.old_boot, incident.cause) == (None, Cause.SILENT)


def test_what_flaps_is_headed_by_what_is_so_just_now() -> None:
    pen = Pen().all_well(0)
    for began in (100, 140, 180, 220):
        pen.probe(began, "http", "web1", DOWN, "refused").probe(began + 20, "http", "web1", UP, "")
    (incident,) = told(pen.lines)
    assert incident.open
    assert headline(incident) == "web1 is up again — flapping: 8 changes in 2 min 20 s"
    pen.probe(250, "http", "web1", DOWN, "refused")
    (incident,) = told(pen.lines)
    assert headline(incident) == "web1 is down — flapping: 9 changes in 2 min 30 s"


def gone_for_long() -> Pen:
    """sv1's keepalived was stopped at 100 s, and half an hour later nobody has started it yet."""
    return clean_stop().roll_call(
        1900, answer("sv1", active=UnitActive.INACTIVE, weights=()), answer("sv2", holds=True, processes=processes())
    )


def test_what_befalls_the_new_master_long_after_a_failover_is_a_story_of_its_own() -> None:
    pen = gone_for_long()
    frozen = answer("sv2", holds=True, processes=processes(stopped="VRRP"))
    pen.roll_call(2000, answer("sv1", active=UnitActive.INACTIVE, weights=()), frozen)
    assert [(i.kind, i.subject, i.open) for i in told(pen.lines)] == [
        (Kind.FAILOVER, "VI_1", True),
        (Kind.KEEPALIVED_FROZEN, "sv2", True),
    ]


def test_a_vip_that_fails_long_after_a_failover_is_news_and_a_move_back_explains_what_it_made_fail() -> None:
    pen = gone_for_long().probe(2000, "http", None, DOWN, "connection refused")
    assert [i.kind for i in told(pen.lines)] == [Kind.FAILOVER, Kind.VIP_UNREACHABLE]
    pen = gone_for_long().says(1995, "sv1", VrrpState.BACKUP).probe(2000, "http", None, DOWN, "connection refused")
    pen.says(2000.5, "sv1", VrrpState.MASTER).says(2000.6, "sv2", VrrpState.BACKUP).probe(2003, "http", None, UP, "")
    pen.all_well(2004)
    assert [(i.kind, i.open) for i in told(pen.lines)] == [(Kind.FAILOVER, False)]


def test_that_the_last_director_is_lost_is_news_and_one_story_with_the_first() -> None:
    pen = died().probe(1999, "http", None, DOWN, "no answer within 0.9 s")
    for second in (2000, 2003):
        pen.roll_call(second, answer("sv1", error="cannot connect"), answer("sv2", error="no answer within 2.5 s"))
    (incident,) = told(pen.lines)
    assert (incident.kind, incident.opened_at) == (Kind.DIRECTORS_LOST, NOON + timedelta(seconds=2000))
    assert "web1" in incident.also_down
    (incident,) = told(pen.probe(2010, "dns-udp", None, DOWN, "no answer within 0.9 s").lines)
    assert incident.services == ("http", "dns-udp")


def test_what_becomes_of_the_old_master_stays_with_its_failover_however_long_it_takes() -> None:
    pen = gone_for_long().silent(2000, "sv1")
    pen.roll_call(2001, answer("sv1", error="cannot connect"), answer("sv2", holds=True))
    pen.roll_call(2020, answer("sv1", error="cannot connect"), answer("sv2", holds=True))
    assert [i.kind for i in told(pen.lines)] == [Kind.FAILOVER]


def test_a_role_that_moves_on_long_after_a_failover_is_a_story_of_its_own() -> None:
    third = Director(name="sv3", address=ip_address("10.100.0.30"), interface="br0")
    instance = replace(SITE.vrrp_instances[0], priorities=(("sv1", 100), ("sv2", 90), ("sv3", 80)))
    fleet = Fleet(clusters=(replace(SITE, directors=(*SITE.directors, third), vrrp_instances=(instance,)),))
    stopped: dict[str, Any] = {"active": UnitActive.INACTIVE, "weights": ()}
    pen = Pen().roll_call(0, answer("sv1", holds=True), answer("sv2"), answer("sv3"))
    pen.says(100, "sv1", VrrpState.STOP).says(100.7, "sv2", VrrpState.MASTER)
    for second in (101, 103):
        pen.roll_call(second, answer("sv1", **stopped), answer("sv2", holds=True), answer("sv3"))
    pen.says(2000, "sv2", VrrpState.STOP).says(2000.7, "sv3", VrrpState.MASTER)
    pen.roll_call(2001, answer("sv1", **stopped), answer("sv2", **stopped), answer("sv3", holds=True))
    pen.roll_call(2003, answer("sv1", **stopped), answer("sv2", **stopped), answer("sv3", holds=True))
    world = World.of(fleet)
    for line in pen.lines:
        fold(world, line, fleet)
    assert [(i.kind, i.subject, i.old_master, i.new_master) for i in world.incidents["site"].open] == [
        (Kind.KEEPALIVED_STOPPED, "sv1", "sv1", "sv2"),
        (Kind.FAILOVER, "VI_1", "sv2", "sv3"),
    ]


SECOND = VrrpInstance(
    name="VI_2",
    virtual_router_id=101,
    interface="br1",
    advert_int=1,
    virtual_addresses=(ip_interface("10.101.5.11/21"),),
    priorities=(("sv2", 100), ("sv1", 90)),
)
TWO = Fleet(clusters=(replace(SITE, vrrp_instances=(*SITE.vrrp_instances, SECOND)),))
"""The site with a second address, on another interface, and no service there yet."""


def of_two() -> Pen:
    """sv1 holds the address of VI_1, and is in FAULT for VI_2: its br1 is unplugged."""
    pen = Pen().says(0, "sv1", VrrpState.MASTER).says(0, "sv2", VrrpState.BACKUP)
    for director, state in (("sv2", VrrpState.MASTER), ("sv1", VrrpState.FAULT)):
        pen.at(0, VrrpStateChanged(cluster="site", director=director, instance="VI_2", state=state))
    return pen


def in_two(pen: Pen) -> World:
    world = World.of(TWO)
    for line in pen.lines:
        fold(world, line, TWO)
    return world


def test_the_fault_of_one_instance_mutes_no_check_of_what_another_one_carries() -> None:
    sv1, sv2 = answer("sv1", holds=True), replace(answer("sv2"), holds=("10.101.5.11",))
    pen = of_two().roll_call(1, sv1, sv2).check(100, "sv1", "web1", False).check(100, "sv1", "web2", False)
    lost = QuorumChanged(cluster="site", director="sv1", service=key_of(SITE.service("http")), up=False)
    pen.at(100, lost)
    empty = replace(sv1, weights=tuple(w for w in WEIGHTS if w[0] != "http"))
    for at in (101, 102, 130):
        pen.roll_call(at, empty, sv2)
    world = in_two(pen)
    assert world.situations["site"].complaints("web1") == ("keepalived on sv1 took it out of http",)
    kinds = [i.kind for i in world.incidents["site"].open]
    assert kinds == [Kind.KEEPALIVED_FAILED, Kind.SERVICE_DOWN]
    pen = Pen().all_well(1).says(5, "sv2", VrrpState.FAULT).check(100, "sv2", "web1", False)
    assert not any(i.kind is Kind.REAL_SERVER_DOWN for i in told(pen.lines)), "its own instance's does"


def test_the_fault_of_one_instance_explains_nothing_of_what_another_one_carries() -> None:
    """It has been there since the morning: what clients feel now would be hidden in its message."""
    looked = (answer("sv1", holds=True), replace(answer("sv2"), holds=("10.101.5.11",)))

    def opened(pen: Pen) -> list[Kind]:
        return [i.kind for i in in_two(pen.roll_call(130, *looked)).incidents["site"].open]

    def quiet() -> Pen:
        return of_two().roll_call(1, *looked)

    assert opened(quiet().probe(100, "http", None, DOWN)) == [Kind.KEEPALIVED_FAILED, Kind.VIP_UNREACHABLE]
    looked = (replace(looked[0], weights=tuple(w for w in WEIGHTS if w[:2] != ("http", "web2"))), looked[1])
    assert opened(quiet().check(100, "sv1", "web2", False)) == [Kind.KEEPALIVED_FAILED, Kind.REAL_SERVER_DOWN]


def test_a_dead_director_does_not_live_by_the_address_that_another_one_holds() -> None:
    pen = of_two().probe(0.5, "http", None, UP)
    sv1, sv2 = answer("sv1", holds=True), replace(answer("sv2"), holds=("10.101.5.11",))
    pen.roll_call(1, sv1, sv2)
    for at in (100, 103, 106):
        pen.roll_call(at, sv1, answer("sv2", error="no answer"))
    assert in_two(pen).situations["site"].unreachable("sv2")
    for at in (110, 113):
        pen.roll_call(at, answer("sv1", error="no answer"), answer("sv2", error="no answer"))
    assert in_two(pen).situations["site"].shut_out("sv1"), (
        "its own address answers: it is the way to it that is not there"
    )


def test_a_director_that_is_no_member_of_the_instance_can_take_the_address_and_give_it_back() -> None:
    """Its keepalived.conf is not the fleet file's: its priority is not known, and lower than every member's."""
    third = Director(name="sv3", address=ip_address("10.100.0.30"), interface="br0")
    fleet = Fleet(clusters=(replace(SITE, directors=(*SITE.directors, third)),))
    lost, held = (answer("sv1"), answer("sv2")), (answer("sv1", holds=True), answer("sv2"))
    pen = Pen().says(0, "sv1", VrrpState.MASTER).roll_call(1, *held, answer("sv3"))
    pen.says(10, "sv1", VrrpState.BACKUP).says(10, "sv3", VrrpState.MASTER)
    for at in (11, 12, 40):
        pen.roll_call(at, *lost, answer("sv3", holds=True))
    pen.says(50, "sv3", VrrpState.BACKUP).says(50, "sv1", VrrpState.MASTER)
    for at in (51, 52, 90):
        pen.roll_call(at, *held, answer("sv3"))
    world = World.of(fleet)
    for line in pen.lines:
        fold(world, line, fleet)
    (moved,) = [i for i in world.incidents["site"].all if i.kind is Kind.FAILOVER]
    assert (moved.old_master, moved.new_master, moved.open) == ("sv1", "sv1", False)
    assert not world.incidents["site"].open


def test_an_address_that_nobody_holds_long_after_a_failover_is_news() -> None:
    stopped: dict[str, Any] = {"active": UnitActive.INACTIVE, "weights": ()}
    pen = gone_for_long()
    for second in (2000, 2002):
        pen.roll_call(second, answer("sv1", **stopped), answer("sv2"))
    assert [i.kind for i in told(pen.lines)] == [Kind.FAILOVER, Kind.NO_MASTER]


def due(pen: Pen, seconds: float) -> bool:
    (incident,) = told(pen.lines)
    return incident.due(NOON + timedelta(seconds=seconds))


def test_what_waited_for_word_when_the_bot_died_waits_for_it_anew() -> None:
    started = BotStarted(version="1", runner="bot")
    pen = Pen().all_well(0).probe(100, "http", None, DOWN, "connection refused")
    assert not due(pen, 101)
    pen.at(160, started)
    assert not due(pen, 161)
    assert due(pen, 170)
    pen.check(160.3, "sv1", "web1", up=False)
    (incident,) = told(pen.lines)
    assert (incident.kind, incident.due(NOON + timedelta(seconds=161))) == (Kind.VIP_UNREACHABLE, False)


def test_what_was_told_before_the_bot_died_is_told_still() -> None:
    pen = Pen().all_well(0).probe(100, "http", None, DOWN, "connection refused")
    (incident,) = told(pen.lines)
    message = MessagePosted(key=f"incident:site:{incident.id}", channel="C0SITE", ts="1.1", digest="x")
    pen.at(110, message).at(160, BotStarted(version="1", runner="bot"))
    assert due(pen, 160)


def test_a_real_server_waits_for_word_of_the_master_whose_checker_may_explain_it() -> None:
    pen = Pen().all_well(0).probe(100, "http", "web2", DOWN, "connection refused")
    pen.roll_call(101, answer("sv2"))
    assert not due(pen, 101), "sv1 is MASTER, and has not answered yet"
    pen.roll_call(101.3, answer("sv1", holds=True, processes=processes(stopped="CHECKERS")))
    (incident,) = told(pen.lines)
    assert (incident.kind, incident.subject) == (Kind.CHECKER_STOPPED, "sv1")


def many(stories: int, *, told_of: bool) -> World:
    """So many short incidents of web1, five minutes apart."""
    pen = Pen().all_well(0)
    world = World.of(FLEET)
    for number in range(stories):
        pen.probe(100 + 300 * number, "http", "web1", DOWN, "refused").probe(110 + 300 * number, "http", "web1", UP, "")
        if told_of:
            key = f"incident:site:{pen.lines[-2].sequence}"
            pen.at(111 + 300 * number, MessagePosted(key=key, channel="C0SITE", ts="1.1", digest="x"))
    for line in pen.lines:
        fold(world, line, FLEET)
    return world


def test_what_nobody_could_be_told_is_remembered_until_it_is_no_news_any_more() -> None:
    assert len(many(130, told_of=False).incidents["site"].all) == 130
    assert len(many(130, told_of=True).incidents["site"].all) == 100
    # 12 hours are 144 times five minutes
    assert len(many(200, told_of=False).incidents["site"].all) == 145


@pytest.mark.parametrize(("again", "cause"), [(102.4, Cause.RESTARTED), (112.0, Cause.STOPPED)])
def test_a_keepalived_that_a_look_met_while_it_was_down_was_restarted_if_it_spoke_again_at_once(
    again: float, cause: Cause
) -> None:
    pen = Pen().all_well(0).says(100, "sv1", VrrpState.STOP).says(100.8, "sv2", VrrpState.MASTER)
    pen.roll_call(101.5, answer("sv1", active=UnitActive.INACTIVE, weights=()), answer("sv2", holds=True))
    assert told(pen.lines)[0].cause is Cause.STOPPED
    pen.says(again, "sv1", VrrpState.BACKUP).roll_call(again + 1, answer("sv1"), answer("sv2", holds=True))
    assert told(pen.lines)[0].cause is cause


def test_a_host_on_its_way_down_that_says_nothing_of_keepalived_was_not_cut_off_from_the_bot() -> None:
    before = answer("sv1", holds=True, boot="one", processes=processes())
    pen = Pen().roll_call(0, before, answer("sv2")).says(100.8, "sv2", VrrpState.MASTER)
    waiting = RollCallTaken(
        cluster="site",
        reason="test",
        asked_at=NOON + timedelta(seconds=101),
        answers=(answer("sv2", holds=True),),
        waiting=("sv1",),
    )
    pen.at(101.3, waiting)
    dying = replace(answer("sv1", boot="one", weights=(), services=(), processes=()), keepalived=None)
    pen.roll_call(101.9, dying)
    assert told(pen.lines)[0].cause is Cause.AWAITED
    late(pen, 102, 100.1, "sv1", VrrpState.STOP).roll_call(115, answer("sv1", error="no answer within 10 s"))
    pen.roll_call(130, answer("sv1", boot="two"))
    assert told(pen.lines)[0].cause is Cause.REBOOTED


def test_a_restart_that_proves_to_have_been_a_reboot_is_told_as_one() -> None:
    """A host that boots within seconds may be met twice with keepalived at work, and never away."""
    before = answer("sv1", holds=True, boot="one", processes=processes())
    pen = (
        Pen().roll_call(0, before, answer("sv2")).says(100, "sv1", VrrpState.STOP).says(100.8, "sv2", VrrpState.MASTER)
    )
    pen.roll_call(105, answer("sv1"), answer("sv2", holds=True))
    assert told(pen.lines)[0].cause is Cause.RESTARTED
    pen.roll_call(106, answer("sv1", boot="two", processes=processes()))
    assert told(pen.lines)[0].cause is Cause.REBOOTED


def test_a_process_that_was_started_again_is_no_closed_case_before_another_director_may_have_taken_over() -> None:
    """Looks may be quick, and a BACKUP waits for three and a half seconds: it is one story."""
    well, died = processes(), processes(vrrp=280)
    pen = Pen().roll_call(0, answer("sv1", holds=True, processes=well), answer("sv2"))
    pen.roll_call(100.4, answer("sv1", holds=True, processes=died)).roll_call(100.8, answer("sv1", processes=died))
    assert told(pen.lines)[0].open
    pen.says(103.4, "sv2", VrrpState.MASTER).roll_call(104, answer("sv1", processes=died), answer("sv2", holds=True))
    (incident,) = told(pen.lines)
    assert (incident.kind, incident.cause) == (Kind.FAILOVER, Cause.CHILD_DIED)
    alone = Pen().roll_call(0, answer("sv1", holds=True), answer("sv2", processes=well))
    alone.roll_call(100, answer("sv2", processes=died)).roll_call(101, answer("sv2", processes=died))
    assert told(alone.lines)[0].open
    assert not told(alone.roll_call(110, answer("sv2", processes=died)).lines)[0].open


def test_a_split_brain_of_which_only_one_holder_was_heard_again_does_not_name_that_one_alone() -> None:
    pen = Pen().all_well(0).says(100, "sv2", VrrpState.MASTER)
    for second in (101, 103):
        pen.roll_call(second, answer("sv1", holds=True), answer("sv2", holds=True))
    (incident,) = told(pen.lines)
    assert headline(incident) == "VI_1: split brain — sv1 and sv2 hold the address"
    incident = replace(incident, holders=("sv1",))
    assert headline(incident) == "VI_1: split brain — more than one director holds the address"


def test_a_real_server_is_not_told_for_itself_while_the_director_around_it_may_be_on_its_way_down() -> None:
    """A host that is rebooted answers for some seconds after what lives inside of it has ended."""
    pen = Pen().all_well(0).says(100, "sv1", VrrpState.STOP).says(100.8, "sv2", VrrpState.MASTER)
    dying = replace(answer("sv1", weights=(), services=()), keepalived=None)
    pen.probe(103, "http", "web1", DOWN).roll_call(104, dying, answer("sv2", holds=True))
    assert [i.subject for i in told(pen.lines) if i.due(NOON + timedelta(seconds=104))] == ["VI_1"]
    assert [i.subject for i in told(pen.lines) if i.due(NOON + timedelta(seconds=119))] == ["VI_1", "web1"]
    pen.roll_call(112, answer("sv1", error="no answer within 5 s"), answer("sv2", holds=True))
    assert [i.subject for i in told(pen.lines)] == ["VI_1"]


@pytest.mark.parametrize("active", [UnitActive.ACTIVE, UnitActive.INACTIVE])
def test_a_real_server_is_told_at_once_where_the_director_around_it_answers_as_usual(active: UnitActive) -> None:
    """Also where keepalived was stopped meanwhile: what lives inside of a director does not need it."""
    pen = Pen().all_well(0).probe(103, "http", "web1", DOWN)
    pen.roll_call(104, answer("sv1", active=active), answer("sv2", holds=True))
    due = [i.subject for i in told(pen.lines) if i.due(NOON + timedelta(seconds=104))]
    assert "web1" in due
