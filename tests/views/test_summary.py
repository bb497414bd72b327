"""The summary that closes an incident: how long, how many probes, what was affected, who acted."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from bot.domain.deeds import Deed, deeds_of
from bot.domain.events import Actor, IncidentAcknowledged, MuteSet, Via, VrrpState
from bot.domain.health import Outcome
from bot.domain.incidents import Incident, Kind, Matter, Trouble
from bot.flows.chronicle import World, fold
from bot.views.incident import resolution_message
from bot.views.incident_words import facts, summary
from tests.domain.reference import FLEET, NOON, Pen, answer
from tests.views.slack import shown

ALICE = Actor(id="U0ALICE", name="alice", via=Via.SLACK)
BOB = Actor(id="U0BOB", name="bob", via=Via.SLACK)
UP, DOWN = Outcome.HEALTHY, Outcome.UNHEALTHY


def night() -> World:
    """sv1 dies with web1 inside it, alice takes it and mutes web1, and sv1 comes back."""
    pen = Pen().all_well(0).probe(100.5, "http", None, DOWN, "no answer")
    pen.roll_call(103, answer("sv1", error="no answer"), answer("sv2")).says(103.6, "sv2", VrrpState.MASTER)
    pen.outage(100, 103.5).probe(104, "http", None, UP).probe(104.2, "http", "web1", DOWN, "no answer")
    pen.roll_call(106, answer("sv1", error="no answer"), answer("sv2", holds=True))
    pen.at(110, IncidentAcknowledged(cluster="site", incident=2, by=ALICE))
    until = NOON + timedelta(hours=1)
    pen.at(120, MuteSet(cluster="site", subject="web1", until=until, by=BOB, reason="it *is* dead"))
    pen.says(201, "sv1", VrrpState.BACKUP).says(204, "sv1", VrrpState.MASTER).says(204.1, "sv2", VrrpState.BACKUP)
    pen.all_well(205).probe(206, "http", "web1", UP)
    world = World.of(FLEET)
    for line in pen.lines:
        fold(world, line, FLEET)
    return world


def test_it_says_how_long_what_was_affected_and_who_acted() -> None:
    world = night()
    (incident,) = (i for i in world.incidents["site"].all if not i.withdrawn)
    assert summary(incident, deeds_of(incident, world.operations, world.mutes)) == [
        "It lasted 1 min 46 s; 14 probes of the VIP failed",
        "Affected: http and web1",
        "alice was on it",
        "bob at 12:02:00: muted web1 until 13:00:00: it *is* dead",
    ]
    twice = replace(incident, changes=1)
    assert summary(twice)[0] == "It began 2 times within 1 min 46 s; 14 probes of the VIP failed"


def test_the_thread_has_it_above_the_stages_in_their_order() -> None:
    world = night()
    (incident,) = (i for i in world.incidents["site"].all if not i.withdrawn)
    told = shown(resolution_message(incident, deeds_of(incident, world.operations, world.mutes)))
    stages = [
        "last good probe of the VIP",
        "first failed probe of the VIP",
        "MASTER moved from sv1 to sv2",
        "roll call: sv2 holds the address",
        "first good probe again",
    ]
    places = [told.index(words) for words in ("Affected: http and web1", "bob at 12:02:00", *stages[:3])]
    assert places == sorted(places)
    assert all(words in told for words in stages), told


def test_what_was_done_on_another_day_than_it_ended_has_its_day() -> None:
    (incident,) = (i for i in night().incidents["site"].all if not i.withdrawn)
    deeds = [Deed(at=NOON - timedelta(days=1), by=BOB, what="drain web1 (op1): drained")]
    assert "bob at 02-28 12:00:00: drain web1 (op1): drained" in summary(incident, deeds)


def test_what_many_did_is_cut_with_the_number_of_what_is_left_out() -> None:
    (incident,) = (i for i in night().incidents["site"].all if not i.withdrawn)
    deeds = [Deed(at=NOON + timedelta(seconds=n), by=BOB, what=f"drain web1 (op{n}): drained") for n in range(11)]
    told = summary(incident, deeds)
    assert told[-2:] == ["bob at 12:00:07: drain web1 (op7): drained", "and 3 more deeds"]


def test_why_the_vip_did_not_answer_is_past_once_it_does_although_the_story_goes_on() -> None:
    reason = "the SNAT rule on sv2 is there, and counts no packet"
    vip, lost = Trouble(matter=Matter.VIP, subject="VI_1"), Trouble(matter=Matter.DIRECTOR, subject="sv1")
    incident = Incident(
        id=7,
        kind=Kind.DIRECTOR_LOST,
        cluster="site",
        subject="sv1",
        opened_at=NOON,
        hold_until=NOON,
        troubles=frozenset({vip, lost}),
        seen=frozenset({vip, lost}),
        why=(reason,),
    )
    assert reason in facts(incident)
    assert f"was: {reason}" in facts(replace(incident, troubles=frozenset({lost})))
