"""What the stream of events did not tell: silence is noticed, and what two looks have found is inserted as observed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.events import (
    AgentComplained,
    AgentSilenceChanged,
    Event,
    HealthChanged,
    RealServerChanged,
    RealServerObserved,
    VrrpState,
    VrrpStateChanged,
    VrrpStateObserved,
)
from bot.domain.health import Outcome
from bot.domain.incidents import Kind
from bot.domain.observed import UnitActive, UnitState, key_of
from bot.domain.situation import Situation
from bot.domain.troubles import Matter
from bot.flows.alerting import missed, reason_to_call
from bot.flows.chronicle import World, fold
from bot.flows.listening import Heartbeats
from tests.domain.reference import FLEET, NOON, SITE, WEIGHTS, Pen, answer
from tests.domain.test_every_kind import looked

NO_WEB1 = tuple(w for w in WEIGHTS if w[:2] != ("http", "web1"))


def world(pen: Pen) -> World:
    world = World.of(FLEET)
    for line in pen.lines:
        fold(world, line, FLEET)
    return world


def known(pen: Pen) -> Situation:
    return world(pen).situations["site"]


def test_a_role_that_two_looks_have_found_and_nothing_told_is_inserted_once() -> None:
    pen = looked(looked(Pen(), 0).says(100, "sv1", VrrpState.BACKUP), 101)
    assert missed(known(pen), SITE) == (), "its word may be on its way"
    (entry,) = missed(known(looked(pen, 114)), SITE)
    event = entry.event
    assert isinstance(event, VrrpStateObserved)
    assert (event.director, event.state, event.claimed) == ("sv1", VrrpState.MASTER, VrrpState.BACKUP)
    assert entry.source_key == f"observed:site:sv1:VI_1:MASTER:{event.seen_at.isoformat()}"
    assert missed(known(looked(pen.at(114.1, event), 115)), SITE) == ()


def test_a_real_server_that_left_a_table_for_good_reason_and_without_a_word_is_inserted() -> None:
    pen = looked(Pen(), 0).probe(90, "http", "web1", Outcome.UNHEALTHY)
    looked(pen, 100, 113, sv2={"weights": NO_WEB1})
    inserted = [e.event for e in missed(known(pen), SITE)]
    assert [(e.director, e.real_server, e.up) for e in inserted if isinstance(e, RealServerObserved)] == [
        ("sv2", "web1", False)
    ]


BACKUP_IS = [("sv2", VrrpState.BACKUP)]


def inserted(pen: Pen, *times: float, **sv2: Any) -> list[tuple[str, VrrpState]]:
    """The roles that looks at *times* insert as observed: sv1 is MASTER and well, sv2 answers with *sv2*."""
    roles = []
    for at in times:
        looked(pen, at, sv2=sv2)
        for entry in missed(known(pen), SITE):
            assert isinstance(entry.event, VrrpStateObserved)
            roles.append((entry.event.director, entry.event.state))
            pen.at(at + 0.1, entry.event)
    return roles


def spoken(state: VrrpState) -> Pen:
    """sv2, which is BACKUP, says *state* at 10."""
    pen = Pen().says(0, "sv1", VrrpState.MASTER).says(0, "sv2", VrrpState.BACKUP)
    return looked(pen, 1).says(10, "sv2", state)


def test_one_that_said_stop_and_runs_is_backup_though_its_word_of_that_was_lost() -> None:
    pen = spoken(VrrpState.STOP)
    assert inserted(pen, 11, active=UnitActive.INACTIVE, weights=(), services=(), processes=()) == []
    assert inserted(pen, 20, 23) == [], "its word may be on its way"
    assert inserted(pen, 30) == []
    why = known(pen).suspected
    assert [t.matter for t in why] == [Matter.STREAM]
    assert inserted(pen, 36, 43, 50) == BACKUP_IS
    pen.check(60, "sv2", "web1", up=False)
    assert known(pen).complaints("web1") == ("keepalived on sv2 took it out of http",), "its checks count again"


def test_one_that_said_stop_and_does_not_run_is_stopped() -> None:
    off = {"active": UnitActive.INACTIVE, "weights": (), "services": (), "processes": ()}
    assert inserted(spoken(VrrpState.STOP), 11, 30, 50, 70, **off) == []


def test_a_fault_lasts_until_keepalived_is_another_one() -> None:
    pen = spoken(VrrpState.FAULT)
    assert inserted(pen, 11, 30, 50, 70) == [], "whatever makes it may well last"
    other = UnitState(unit="keepalived.service", active=UnitActive.ACTIVE, sub="running", result="success", main_pid=77)
    assert inserted(pen, 100, keepalived=other) == []
    assert inserted(pen, 113, 120, keepalived=other) == BACKUP_IS
    assert [i.kind for i in world(pen).incidents["site"].open] == []


def test_a_fault_lasts_until_its_host_has_booted_anew() -> None:
    pen = spoken(VrrpState.FAULT)
    assert inserted(pen, 11, 30, 50) == []
    assert inserted(pen, 100, 113, boot="another") == BACKUP_IS


def test_a_failover_ends_though_the_word_of_the_old_master_was_lost() -> None:
    pen = Pen().says(0, "sv1", VrrpState.BACKUP).says(0, "sv2", VrrpState.MASTER)
    pen.roll_call(1, answer("sv1"), answer("sv2", holds=True))
    pen.says(100, "sv2", VrrpState.STOP).says(101, "sv1", VrrpState.MASTER)
    assert inserted(pen, 102, active=UnitActive.INACTIVE, weights=(), services=(), processes=()) == []
    assert [i.kind for i in world(pen).incidents["site"].open] == [Kind.FAILOVER]
    assert inserted(pen, 120, 140, 160) == BACKUP_IS
    assert world(pen).incidents["site"].open == ()


class Stopped:
    """``at`` is the true time; the clock on the wall was ``set_by`` so much since."""

    def __init__(self) -> None:
        self.at = NOON
        self.set_by = timedelta()

    def now(self):  # type: ignore[no-untyped-def]
        return self.at + self.set_by

    def monotonic(self) -> float:
        return (self.at - NOON).total_seconds()


def test_an_agent_is_silent_after_three_intervals_and_only_one_that_was_expected() -> None:
    clock = Stopped()
    beats = Heartbeats(fleet=FLEET, clock=clock, interval_s=10, expected=frozenset({"sv1"}))
    nobody: dict[str, frozenset[str]] = {"site": frozenset()}
    beats.beat("sv1")
    clock.at = NOON + timedelta(seconds=30)
    assert beats.changes(nobody, NOON) == ()
    clock.at = NOON + timedelta(seconds=30.1)
    silence = AgentSilenceChanged(cluster="site", director="sv1", silent=True, last_heard=NOON)
    assert beats.changes(nobody, NOON) == (silence,)
    assert beats.changes({"site": frozenset({"sv1"})}, NOON) == ()
    beats.beat("sv1")
    back = replace(silence, silent=False, last_heard=clock.at)
    assert beats.changes({"site": frozenset({"sv1"})}, NOON) == (back,)


def test_one_that_was_never_heard_counts_from_when_listening_began() -> None:
    clock = Stopped()
    beats = Heartbeats(fleet=FLEET, clock=clock, interval_s=10, expected=frozenset({"sv1", "sv2"}))
    clock.at = NOON + timedelta(seconds=31)
    assert {(c.director, c.last_heard) for c in beats.changes({"site": frozenset()}, NOON)} == {
        ("sv1", None),
        ("sv2", None),
    }


@pytest.mark.parametrize("set_by", [timedelta(minutes=1), timedelta(hours=-1)])
@pytest.mark.parametrize("was_heard", [True, False])
def test_a_clock_that_is_set_makes_no_agent_silent_and_hides_no_silence(set_by: timedelta, was_heard: bool) -> None:
    clock = Stopped()
    beats = Heartbeats(fleet=FLEET, clock=clock, interval_s=10, expected=frozenset({"sv1"}))
    nobody: dict[str, frozenset[str]] = {"site": frozenset()}
    if was_heard:
        beats.beat("sv1")
    assert beats.changes(nobody, NOON) == ()
    clock.set_by = set_by
    clock.at = NOON + timedelta(seconds=5)
    assert beats.changes(nobody, NOON) == ()
    clock.at = NOON + timedelta(seconds=31)
    assert [(c.director, c.silent) for c in beats.changes(nobody, NOON)] == [("sv1", True)]


@pytest.mark.parametrize("set_by", [timedelta(minutes=1), timedelta(hours=-1)])
def test_a_clock_that_is_set_makes_no_complaint_longer_or_shorter(set_by: timedelta) -> None:
    clock = Stopped()
    beats = Heartbeats(fleet=FLEET, clock=clock, interval_s=10, expected=frozenset({"sv1"}))
    beats.said("sv1", FULL)
    clock.set_by = set_by
    for seconds, told in ((10, 0), (29, 0), (30, 1)):
        clock.at = NOON + timedelta(seconds=seconds)
        beats.said("sv1", FULL)
        assert len(beats.complaints({"site": {}})) == told


FULL = "spool: /var/lib/lvs-agent cannot be written: No space left on device"


def test_what_an_agent_complains_of_for_three_intervals_is_recorded_once_and_so_is_its_end() -> None:
    clock = Stopped()
    beats = Heartbeats(fleet=FLEET, clock=clock, interval_s=10, expected=frozenset({"sv1", "sv2"}))
    none: dict[str, dict[str, str]] = {"site": {}}
    recorded = {"site": {"sv1": FULL}}

    def beat(at: float, trouble: str | None) -> None:
        clock.at = NOON + timedelta(seconds=at)
        beats.said("sv1", trouble)

    assert beats.complaints(recorded) == (), "a bot that has just begun has not heard it yet"
    for at in (0, 10, 20):
        beat(at, "delivery: connection refused")
        assert beats.complaints(none) == (), "it may be over at the next one"
    beat(30, FULL)
    complained = AgentComplained(cluster="site", director="sv1", trouble=FULL)
    assert beats.complaints(none) == (complained,)
    beat(40, "spool: in other words")
    assert beats.complaints(recorded) == ()
    beat(50, None)
    assert beats.complaints(recorded) == (replace(complained, trouble=""),)
    beat(60, FULL)
    clock.at = NOON + timedelta(seconds=200)
    assert beats.complaints(none) == (), "one that has fallen silent said it once, and no more"
    beat(200, "delivery: connection refused")
    assert beats.complaints(none) == (), "it was cut off, and complains of that for one heartbeat more"


def vrrp(state: VrrpState, *, group: bool = False) -> VrrpStateChanged:
    return VrrpStateChanged(cluster="site", director="sv2", instance="VI_1", state=state, group=group)


def web1(*, up: bool) -> RealServerChanged:
    http, server = SITE.service("http"), SITE.real_server("web1")
    return RealServerChanged(
        cluster="site", director="sv1", service=key_of(http), address=server.address, port=80, up=up
    )


def probe(outcome: Outcome) -> HealthChanged:
    return HealthChanged(cluster="site", service="http", real_server=None, outcome=outcome, reason="", since=NOON)


def silence() -> AgentSilenceChanged:
    return AgentSilenceChanged(cluster="site", director="sv1", silent=True, last_heard=None)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (vrrp(VrrpState.MASTER), "sv2 says MASTER for VI_1"),
        (vrrp(VrrpState.MASTER_RX_LOWER_PRI), "sv2 says MASTER_RX_LOWER_PRI"),
        (vrrp(VrrpState.MASTER, group=True), None),
        (web1(up=True), "keepalived on sv1 put 10.100.0.11 back"),
        (web1(up=False), None),
        (probe(Outcome.UNHEALTHY), "the VIP does not answer for http"),
        (probe(Outcome.HEALTHY), None),
        (silence(), "the agent on sv1 fell silent"),
    ],
)
def test_what_asks_for_a_roll_call(event: Event, reason: str | None) -> None:
    (line,) = Pen().at(0, event).lines
    assert reason_to_call(line) == reason
