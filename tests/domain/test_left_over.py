"""An open story says what is still wrong; what nobody looked at is not well; and why is not taken from elsewhere."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from ipaddress import ip_address

from bot.domain.events import (
    Actor,
    AgentSilenceChanged,
    BotStarted,
    CertificateChanged,
    OverrideSet,
    QuorumChanged,
    RealServerObserved,
    RollCallTaken,
    Via,
    VrrpState,
    VrrpStateObserved,
)
from bot.domain.fleet import Cluster, Fleet, Probe, ProbeKind
from bot.domain.health import Outcome
from bot.domain.incidents import Cause, Incident, Kind
from bot.domain.incidents.story import Stage
from bot.domain.observed import UnitActive, UnitState, key_of
from bot.flows.chronicle import World, fold
from bot.views.incident import facts, headline, incident_message

from .reference import FLEET, NOON, SITE, VIP, WEIGHTS, Pen, answer
from .test_every_kind import GOOD, LOST, STOPPED, closely, looked, quorum
from .test_late import roll_call, said

ALICE = Actor(id="U0ALICE", name="alice", via=Via.SLACK)
UP, DOWN = Outcome.HEALTHY, Outcome.UNHEALTHY
NO_WEB1 = tuple(w for w in WEIGHTS if w[:2] != ("http", "web1"))


def incidents(pen: Pen) -> tuple[Incident, ...]:
    world = World.of(FLEET)
    for line in pen.lines:
        fold(world, line, FLEET)
    return tuple(i for i in world.incidents["site"].all if not i.withdrawn)


def world_of(pen: Pen, cluster: Cluster) -> World:
    """The journal of *pen*, read by a bot whose fleet file has *cluster* by now."""
    fleet = Fleet(clusters=(cluster,))
    world = World.of(fleet)
    for line in pen.lines:
        fold(world, line, fleet)
    return world


def pen_time(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def told(pen: Pen) -> list[str]:
    return [headline(i) for i in incidents(pen)]


# --- what is left ---------------------------------------------------------------------------------------------------


def test_a_director_that_is_back_without_its_real_server() -> None:
    pen = Pen().all_well(0).says(100, "sv1", VrrpState.STOP).says(100.7, "sv2", VrrpState.MASTER)
    pen.roll_call(102, answer("sv1", error="no route"), answer("sv2", holds=True)).probe(103, "http", "web1", DOWN)
    pen.says(141, "sv1", VrrpState.BACKUP).says(144.6, "sv1", VrrpState.MASTER).says(144.7, "sv2", VrrpState.BACKUP)
    pen.all_well(146).check(147, "sv1", "web1", up=False)
    pen.roll_call(150, answer("sv1", holds=True, weights=NO_WEB1), answer("sv2"))
    assert told(pen) == ["VI_1: sv1 is MASTER again — web1 is still down"]


def test_a_service_that_has_one_of_its_real_servers_back() -> None:
    pen = Pen().all_well(0).probe(100, "http", "web1", DOWN).probe(105, "http", "web2", DOWN)
    assert told(pen) == ["http has no healthy real server"]
    pen.probe(105.5, "http", "web1", UP).all_well(107)
    assert told(pen) == ["http has healthy real servers again — web2 is still down"]


def test_of_real_servers_that_fell_together_those_that_are_still_down() -> None:
    pen = Pen().all_well(0).probe(100, "http", "web1", DOWN).probe(102, "dns-udp", "web2", DOWN).all_well(103)
    assert told(pen) == ["web1 and web2 are down"]
    assert told(pen.probe(150, "http", "web1", UP)) == ["web2 is down"]
    assert told(pen.probe(160, "dns-udp", "web2", UP)) == ["web1 and web2 are up again"]


def test_a_service_without_real_servers_says_that_its_sorry_server_answers() -> None:
    pen = Pen().all_well(0).probe(100, "http", "web1", DOWN).probe(101, "http", "web2", DOWN)
    sorry = answer("sv1", holds=True, weights=(), strangers=(("http", "10.100.0.99:80", 1),))
    (incident,) = incidents(pen.roll_call(103, sorry, answer("sv2", weights=())))
    assert headline(incident) == "http has no healthy real server"
    assert "10.100.0.99:80, the sorry server, answers instead of http's real servers" in facts(incident)


def test_one_of_two_lost_directors_is_back() -> None:
    pen = looked(looked(Pen(), 0), 100, 103, sv1={**LOST, "holds": False}, sv2=LOST)
    assert told(pen) == ["site: no director answers"]
    pen.says(200, "sv1", VrrpState.BACKUP).says(203, "sv1", VrrpState.MASTER)
    pen.roll_call(204, closely("sv1", holds=True), closely("sv2", **LOST))
    assert told(pen) == ["sv1 answers again — sv2 still does not"]


def test_a_restart_that_mends_nothing_does_not_rename_the_outage() -> None:
    pen = Pen().all_well(0).probe(100, "http", None, DOWN).all_well(101).all_well(110)
    pen.says(220, "sv1", VrrpState.STOP).says(220.7, "sv2", VrrpState.MASTER)
    pen.roll_call(221, answer("sv1", active=UnitActive.INACTIVE, weights=()), answer("sv2", holds=True))
    assert told(pen) == ["VI_1: the VIP does not answer (http)"]
    pen.says(222, "sv1", VrrpState.BACKUP).says(225.6, "sv1", VrrpState.MASTER).says(225.7, "sv2", VrrpState.BACKUP)
    assert told(pen.all_well(227)) == ["VI_1: the VIP does not answer (http)"]
    pen.outage(99.5, 300).probe(300, "http", None, UP).all_well(301)
    assert told(pen) == ["VI_1: the VIP answers again, it was unreachable for 3 min 21 s ± 0.2 s (802 failed probes)"]


def test_a_planned_move_is_not_named_after_what_clients_felt_of_the_last_one() -> None:
    pen = looked(Pen(), 0).probe(99, "http", None, DOWN).says(99.1, "sv1", VrrpState.STOP)
    pen.says(99.8, "sv2", VrrpState.MASTER).outage(98.9, 99.9).probe(100, "http", None, UP)
    pen.roll_call(101, closely("sv1", **STOPPED), closely("sv2", holds=True)).probe(102, "http", "web2", DOWN)
    looked(pen.says(110, "sv1", VrrpState.MASTER).says(110.1, "sv2", VrrpState.BACKUP), 111, 112)
    pen.says(140, "sv1", VrrpState.STOP).says(140.7, "sv2", VrrpState.MASTER)
    pen.roll_call(142, closely("sv1", **STOPPED), closely("sv2", holds=True))
    moves = [i for i in incidents(pen) if i.old_master is not None]
    assert {i.kind for i in moves} == {Kind.FAILOVER}
    assert headline(moves[-1]) == "VI_1 failed over: sv1 → sv2 (planned: keepalived was stopped on sv1)"


def test_a_weight_that_a_drain_takes_over_is_not_the_old_one_again() -> None:
    zero = tuple((service, server, 0 if server == "web1" else weight) for service, server, weight in WEIGHTS)
    pen = Pen().all_well(0)
    for at in (10, 12):
        pen.roll_call(at, answer("sv1", holds=True, weights=zero), answer("sv2"))
    pen.at(20, OverrideSet(cluster="site", real_server="web1", operation="op-1", by=ALICE, weights=()))
    pen.roll_call(30, answer("sv1", holds=True, weights=zero), answer("sv2", weights=zero))
    (incident,) = incidents(pen)
    assert headline(incident) == "web1 has the weight that it is meant to have"
    assert incident.timeline[-1].text == "web1 has the weight that it is meant to have on sv1"


def test_of_a_service_it_is_said_which_real_servers_were_down_and_not_that_it_was_one() -> None:
    pen = Pen().all_well(0).probe(100, "http", "web1", DOWN).probe(105, "http", "web2", DOWN).all_well(107)
    assert facts(*incidents(pen))[-1] == "web1 and web2 are down"
    pen.probe(110, "http", "web1", UP)
    assert facts(*incidents(pen))[-1] == "web2 is down"
    lost = quorum(quorum(Pen().all_well(0), 100, up=False).all_well(120), 160, up=True)
    assert facts(*incidents(lost)) == ["was: keepalived on sv1 has lost the quorum of http"]


# --- what was not looked at -----------------------------------------------------------------------------------------


def test_a_broken_nat_path_is_not_well_because_nobody_could_look() -> None:
    pen = looked(looked(Pen(), 0), 100, 102, sv2={"nat": replace(GOOD, snat=False)})
    (before,) = incidents(pen)
    pen.roll_call(160, closely("sv1", holds=True), closely("sv2", error="no answer", heard_at=pen_time(159.95)))
    assert before.kind is Kind.NAT_BROKEN
    assert [i.open for i in incidents(pen) if i.kind is Kind.NAT_BROKEN] == [True]


def test_what_keepalived_took_out_is_not_back_because_nobody_could_look() -> None:
    pen = Pen().all_well(0).check(100, "sv2", "web1", up=False)
    pen.roll_call(101, answer("sv1", holds=True), answer("sv2", weights=NO_WEB1))
    pen.roll_call(160, answer("sv1", holds=True), answer("sv2", error="no answer", heard_at=pen_time(159.95)))
    for at in (162, 163, 176):
        pen.roll_call(at, answer("sv1", holds=True), answer("sv2", weights=NO_WEB1))
    found = incidents(pen)
    assert [(i.kind, i.subject, i.open) for i in found] == [(Kind.REAL_SERVER_DOWN, "web1", True)]


def test_a_vip_is_not_well_because_it_could_not_be_measured() -> None:
    pen = Pen().all_well(0).probe(100, "http", None, DOWN).all_well(101)
    pen.probe(200, "http", None, Outcome.UNMEASURED, "no file descriptor is left")
    (incident,) = incidents(pen)
    assert incident.open


def test_a_director_that_was_heard_just_before_it_died_does_not_live_for_ever() -> None:
    heard = pen_time(99.95)
    dead = answer("sv2", error="no answer", heard_at=heard)
    pen = roll_call(Pen().all_well(0), 99.9, 109, answer("sv1", holds=True), dead).silent(114, "sv2")
    roll_call(pen, 110, 119, answer("sv1", holds=True), dead)
    assert told(pen) == ["sv2 does not answer"]


# --- planned or not ---------------------------------------------------------------------------------------------------


def test_a_stop_that_was_said_long_after_the_move_is_not_why_it_moved() -> None:
    pen = looked(Pen(), 0).roll_call(103, closely("sv1", **LOST), closely("sv2")).says(103.6, "sv2", VrrpState.MASTER)
    pen.roll_call(106, closely("sv1", **LOST), closely("sv2", holds=True)).says(700, "sv1", VrrpState.STOP)
    pen.roll_call(701, closely("sv1", **LOST), closely("sv2", holds=True))
    assert [i.cause for i in incidents(pen)] == [Cause.DIED]


def test_a_stop_by_a_clock_that_is_behind_is_why_it_moved() -> None:
    pen = looked(Pen(), 0, sv1={"clock_behind_s": 12.0})
    said(pen.says(100, "sv1", VrrpState.STOP), 88).says(100.7, "sv2", VrrpState.MASTER)
    pen.roll_call(102, closely("sv1", **LOST), closely("sv2", holds=True))
    assert [i.cause for i in incidents(pen)] == [Cause.STOPPED]


def waits_to_be_started() -> dict[str, object]:
    unit = UnitState(
        unit="keepalived.service", active=UnitActive.ACTIVATING, sub="auto-restart", result="signal", main_pid=0
    )
    return {"keepalived": unit}


def test_a_crash_that_systemd_is_about_to_mend_was_not_planned() -> None:
    pen = looked(Pen(), 0).says(100, "sv1", VrrpState.STOP).says(100.7, "sv2", VrrpState.MASTER)
    crashed = replace(closely("sv1", **STOPPED), **waits_to_be_started())  # type: ignore[arg-type]
    for at in (101, 102, 103):
        pen.roll_call(at, crashed, closely("sv2", holds=True))
    (incident,) = incidents(pen)
    assert (incident.kind, incident.cause) == (Kind.FAILOVER, Cause.FAILED)


def test_a_crash_loop_of_the_backup_is_a_failed_keepalived_and_no_table_removed_by_hand() -> None:
    pen = looked(Pen(), 0)
    crashed = replace(closely("sv2", **STOPPED), **waits_to_be_started())  # type: ignore[arg-type]
    for at in (101, 102, 103):
        pen.roll_call(at, closely("sv1", holds=True), crashed)
    assert [(i.kind, i.subject) for i in incidents(pen)] == [(Kind.KEEPALIVED_FAILED, "sv2")]


def test_a_director_in_fault_that_answers_now_and_then_has_one_cause() -> None:
    pen = looked(Pen(), 0).says(100, "sv1", VrrpState.FAULT).says(100.7, "sv2", VrrpState.MASTER)
    for at in (102, 104, 106):
        pen.roll_call(at, closely("sv1", **LOST), closely("sv2", holds=True))
        assert [i.cause for i in incidents(pen)] == [Cause.FAULT]


def test_the_last_word_of_a_clean_stop_is_a_stage_although_it_came_before_the_move() -> None:
    pen = Pen().all_well(0).says(100, "sv1", VrrpState.STOP).says(100.7, "sv2", VrrpState.MASTER)
    (incident,) = incidents(pen)
    (note,) = [n for n in incident.timeline if n.stage is Stage.LAST_WORD]
    assert (note.text, note.at) == ("sv1 says STOP", pen_time(100))


# --- what was missed --------------------------------------------------------------------------------------------------


def missed(pen: Pen) -> Pen:
    """The word that sv1 is MASTER again never came: found twice, inserted, and then known."""
    looked(pen.says(100, "sv1", VrrpState.BACKUP), 101, 114)
    seen_at, claimed = pen_time(113.9), VrrpState.BACKUP
    event = VrrpStateObserved(
        cluster="site", director="sv1", instance="VI_1", state=VrrpState.MASTER, claimed=claimed, seen_at=seen_at
    )
    return looked(pen.at(114.1, event), 115)


def test_a_missed_event_is_told_although_it_was_made_up_for_at_once() -> None:
    found = [i for i in incidents(missed(looked(Pen(), 0))) if i.kind is Kind.EVENTS_MISSED]
    assert [(i.subject, i.open) for i in found] == [("sv1", False)]
    assert not found[0].due(pen_time(120))
    assert found[0].due(pen_time(150))


def test_it_is_no_story_of_its_own_where_its_agent_turns_out_to_be_silent() -> None:
    silence = AgentSilenceChanged(cluster="site", director="sv1", silent=True, last_heard=pen_time(88))
    pen = missed(looked(Pen(), 0)).at(118, silence)
    assert Kind.EVENTS_MISSED not in [i.kind for i in incidents(pen)]


# --- whether clients feel it ----------------------------------------------------------------------------------------


def lost_with(*probes: tuple[float, str | None, Outcome], restart: float | None = None) -> Pen:
    """sv1, the MASTER, dies after 12 s and stays away; meanwhile probes find what they find, by the second."""
    pen = Pen().says(0, "sv1", VrrpState.MASTER).says(0, "sv2", VrrpState.BACKUP).all_well(1)
    gone = (answer("sv1", error="no answer"), answer("sv2", holds=True))
    for at, server, outcome in [p for p in probes if p[0] < 12]:
        pen.probe(at, "http", server, outcome)
    pen.says(12, "sv2", VrrpState.MASTER).roll_call(13, *gone).roll_call(14, *gone)
    if restart is not None:
        pen.at(restart, BotStarted(version="1", runner="bot:x:1:1"))
    for at, server, outcome in [p for p in probes if p[0] > 14]:
        pen.probe(at, "http", server, outcome)
    return pen.roll_call(3600, *gone)


def test_a_vip_that_answers_again_is_back_also_where_nobody_measured_for_how_long_it_was_away() -> None:
    (incident,) = incidents(lost_with((10, None, DOWN), (20, None, UP), restart=15))
    assert facts(incident)[0] == "the VIP was unreachable; for how long was not measured"
    assert incident_message(incident).text.startswith(":large_yellow_circle:")


def test_a_vip_that_does_not_answer_is_not_back_yet() -> None:
    (incident,) = incidents(lost_with((10, None, DOWN)))
    assert facts(incident)[0] == "VIP unreachable (http), not back yet"
    assert incident_message(incident).text.startswith(":red_circle:")
    pen = Pen().all_well(0).probe(10, "http", None, DOWN).says(12, "sv2", VrrpState.MASTER)
    pen.roll_call(14, answer("sv1", error="no answer"), answer("sv2", holds=True))
    pen.outage(10, 14.5).probe(15, "http", None, UP).probe(16, "http", None, DOWN)
    (incident,) = incidents(pen)
    assert facts(incident)[1] == "the VIP does not answer again since 12:00:16 UTC (http)"
    assert headline(incident).endswith(" — the VIP does not answer (http)")
    assert incident_message(incident).text.startswith(":red_circle:")


def test_of_a_service_without_a_healthy_real_server_no_more_is_said_than_that() -> None:
    (incident,) = incidents(lost_with((16, "web1", DOWN), (16, "web2", DOWN)))
    assert facts(incident)[:2] == ["no probe of the VIP failed", "http has no healthy real server"]
    assert incident_message(incident).text.startswith(":red_circle:")


def test_that_nothing_was_measured_is_said_of_a_vip_that_nothing_explains_too() -> None:
    pen = Pen().all_well(0).probe(10, "http", None, DOWN).all_well(20)
    pen.at(25, BotStarted(version="1", runner="bot:x:1:1")).probe(40, "http", None, UP).all_well(60)
    (incident,) = incidents(pen)
    assert headline(incident) == "VI_1: the VIP answers again"
    assert "the VIP was unreachable; for how long was not measured" in facts(incident)


def test_a_real_server_is_called_inside_of_the_lost_director_only_where_it_lives_there() -> None:
    probes = ((16, "web1", DOWN), (16, "web2", DOWN))
    (incident,) = incidents(lost_with(*probes))
    assert facts(incident)[-2:] == ["web1 went with it: inside sv1", "web2 went with it: at the same time"]
    apart = replace(SITE, real_servers=tuple(replace(r, host=None) for r in SITE.real_servers))
    world = world_of(lost_with(*probes), apart)
    said = [fact for i in world.incidents["site"].all if not i.withdrawn for fact in facts(i)]
    assert "web1 and web2 went with it: at the same time" in said


def test_a_lost_quorum_is_void_once_the_table_has_every_real_server_again() -> None:
    """keepalived's words UP, of its real servers and of the quorum, never came."""
    lost = QuorumChanged(cluster="site", director="sv1", service=key_of(SITE.service("http")), up=False)
    pen = Pen().says(0.5, "sv1", VrrpState.MASTER).all_well(1)
    pen.check(10, "sv1", "web1", up=False).check(10, "sv1", "web2", up=False).at(10, lost)
    none = tuple(w for w in WEIGHTS if w[0] != "http")
    roll_call(pen, 9, 10.5, answer("sv1", holds=True), answer("sv2"))
    pen.roll_call(12, answer("sv1", holds=True, weights=none), answer("sv2"))
    assert told(pen) == ["keepalived on sv1 has lost the quorum of http"], "a look from before its word says nothing"
    pen.roll_call(20, answer("sv1", holds=True, weights=NO_WEB1), answer("sv2"))
    assert world_of(pen, SITE).situations["site"].quorumless, "it may take two of them"
    pen.all_well(30)
    assert not world_of(pen, SITE).situations["site"].quorumless
    assert [i.open for i in incidents(pen)] == [False]


def test_a_lost_quorum_is_void_also_where_no_look_was_there_in_time_to_find_the_real_servers_missing() -> None:
    lost = QuorumChanged(cluster="site", director="sv1", service=key_of(SITE.service("http")), up=False)
    pen = Pen().says(0.5, "sv1", VrrpState.MASTER).all_well(1).at(10, lost).all_well(20)
    assert world_of(pen, SITE).situations["site"].quorumless, "nothing has come back: it may take more than there are"
    pen.check(22, "sv1", "web1", up=False)
    words = Pen(lines=list(pen.lines)).check(24, "sv1", "web1", up=True)
    assert not world_of(words.all_well(30), SITE).situations["site"].quorumless
    assert not world_of(pen.all_well(30), SITE).situations["site"].quorumless


# --- what the fleet file no longer has --------------------------------------------------------------------------------

RENAMED = replace(
    SITE,
    directors=(SITE.directors[0], replace(SITE.directors[1], name="sv3")),
    vrrp_instances=(replace(SITE.vrrp_instances[0], priorities=(("sv1", 100), ("sv3", 90))),),
    real_servers=(SITE.real_servers[0], replace(SITE.real_servers[1], host="sv3")),
)
"""The site after sv2 was given another name."""


def test_of_a_director_that_was_renamed_nothing_is_left() -> None:
    pen = Pen().all_well(0).says(1, "sv2", VrrpState.BACKUP).silent(5, "sv2")
    pen.roll_call(6, answer("sv1", holds=True), answer("sv2", error="no route"))
    event = pen.lines[-1].event
    assert isinstance(event, RollCallTaken)
    pen.at(9, replace(event, waiting=("sv1", "sv2")))
    world = world_of(pen, RENAMED)
    state = world.situations["site"]
    assert (set(state.answers), state.silent, state.claims) == ({"sv1"}, frozenset(), {})
    assert not world.incidents["site"].open
    world = world_of(pen.roll_call(20, answer("sv1"), answer("sv3", holds=True)), RENAMED)
    assert world.situations["site"].masters == {"VI_1": "sv3"}


def test_of_what_was_observed_of_things_that_are_gone_nothing_is_left() -> None:
    was = {"cluster": "site", "state": VrrpState.MASTER, "claimed": None, "seen_at": NOON}
    pen = Pen().at(1, VrrpStateObserved(director="sv2", instance="VI_1", **was))  # type: ignore[arg-type]
    pen.at(2, VrrpStateObserved(director="sv1", instance="VI_OLD", **was))  # type: ignore[arg-type]
    for director, service, server in (("sv2", "http", "web1"), ("sv1", "ftp", "web1"), ("sv1", "http", "web9")):
        found = {"director": director, "service": service, "real_server": server}
        pen.at(3, RealServerObserved(cluster="site", up=False, seen_at=NOON, **found))
    state = world_of(pen, RENAMED).situations["site"]
    assert (state.claims, state.removed) == ({}, {})


def probe(name: str, real_server: str | None, kind: ProbeKind = ProbeKind.TCP) -> Probe:
    about = {"name": f"{name}/{real_server}", "cluster": "site", "service": name, "real_server": real_server}
    return Probe(**about, kind=kind, address=ip_address(VIP), port=80)  # type: ignore[arg-type]


def test_of_a_probe_that_was_removed_no_verdict_is_left() -> None:
    """It was wrong, so somebody took it out: nobody would ever say that its target is well again."""
    pen = Pen().all_well(0).probe(10, "http", None, DOWN).probe(10, "http", "web1", DOWN).outage(9, 9.5, "dns-udp")
    fewer = replace(SITE, probes=(probe("http", None), probe("http", "web2"), probe("dns-udp", "web1")))
    world = world_of(pen, fewer)
    assert set(world.situations["site"].health) == {("http", None)}
    assert not world.incidents["site"].outages
    every = replace(SITE, probes=(*fewer.probes, probe("http", "web1"), probe("dns-udp", None)))
    world = world_of(pen, every)
    assert set(world.situations["site"].health) == {("http", None), ("http", "web1")}
    assert world.incidents["site"].outages


def test_of_a_certificate_that_no_probe_looks_at_any_more_nothing_is_left() -> None:
    ends = CertificateChanged(
        cluster="site", service="http", real_server=None, expiring=True, ends_at=NOON, least_days=14
    )
    pen = Pen().all_well(0).at(10, ends)
    assert not world_of(pen, replace(SITE, probes=(probe("http", None),))).incidents["site"].all
    (incident,) = world_of(pen, replace(SITE, probes=(probe("http", None, ProbeKind.TLS),))).incidents["site"].all
    assert incident.kind is Kind.CERTIFICATE_EXPIRING
