"""What the stream of events did not tell: silence is noticed, and what two looks have found is inserted as observed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

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
from bot.domain.observed import key_of
from bot.domain.situation import Situation
from bot.flows.alerting import Heartbeats, missed, reason_to_call
from bot.flows.chronicle import World, fold
from tests.domain.reference import FLEET, NOON, SITE, WEIGHTS, Pen
from tests.domain.test_every_kind import looked

NO_WEB1 = tuple(w for w in WEIGHTS if w[:2] != ("http", "web1"))


def known(pen: Pen) -> Situation:
    world = World.of(FLEET)
    for line in pen.lines:
        fold(world, line, FLEET)
    return world.situations["site"]


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
