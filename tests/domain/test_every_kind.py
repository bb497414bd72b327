"""Every kind of incident, by the shortest journal that comes to it: its headline while it lasts, and at its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from ipaddress import ip_interface
from typing import Any

import pytest

from bot.domain.events import (
    Actor,
    AgentComplained,
    CertificateChanged,
    NatPath,
    OverrideSet,
    QuorumChanged,
    RollCallAnswer,
    Sense,
    SenseChanged,
    Via,
    VrrpState,
)
from bot.domain.fleet import Fleet
from bot.domain.health import Outcome
from bot.domain.incidents import Incident, Kind
from bot.domain.observed import UnitActive, key_of
from bot.flows.chronicle import World, fold
from bot.views.incident import facts, headline, incident_message

from .reference import FLEET, NOON, SITE, VIP, WEIGHTS, Pen, answer, processes, unit

ALICE = Actor(id="U0ALICE", name="alice", via=Via.SLACK)
UP, DOWN = Outcome.HEALTHY, Outcome.UNHEALTHY
GOOD = NatPath(ip_forward=True, conntrack=True, snat=True, packets=7)
STOPPED = {"active": UnitActive.INACTIVE, "weights": (), "services": (), "processes": ()}
LOST = {"error": "no answer within 3 s"}


def closely(director: str, **more: Any) -> RollCallAnswer:
    """What *director* answers to a closer look; all is well but for *more*."""
    if "error" in more:
        return answer(director, **more)
    well = {"services": ("http", "dns-udp"), "nat": GOOD, "processes": processes(), "boot": f"boot of {director}"}
    return answer(director, **{**well, **more})


def looked(pen: Pen, *times: float, sv1: dict[str, Any] | None = None, sv2: dict[str, Any] | None = None) -> Pen:
    """Roll calls at *times*: sv1 is MASTER and all is well, but for what is said of each."""
    for at in times:
        pen.roll_call(at, closely("sv1", **{"holds": True, **(sv1 or {})}), closely("sv2", **(sv2 or {})))
    return pen


def well(pen: Pen, at: float) -> Pen:
    return looked(pen, at)


def looks(*times: float, sv1: dict[str, Any] | None = None, sv2: dict[str, Any] | None = None) -> Callable[[Pen], Pen]:
    return lambda pen: looked(pen, *times, sv1=sv1, sv2=sv2)


def weights(**changed: int) -> dict[str, Any]:
    """http's weights as *changed*."""
    return {"weights": tuple((s, r, changed.get(r, w) if s == "http" else w) for s, r, w in WEIGHTS)}


def certificate(pen: Pen, at: float, days: int, *, expiring: bool) -> Pen:
    ends_at = NOON + timedelta(days=days)
    event = CertificateChanged(
        cluster="site", service="http", real_server=None, expiring=expiring, ends_at=ends_at, least_days=14
    )
    return pen.at(at, event)


def sense(pen: Pen, at: float, which: Sense, *, lost: bool) -> Pen:
    since = NOON + timedelta(seconds=at)
    detail = f"the bot's {which.value} is not there"
    return pen.at(at, SenseChanged(cluster="site", sense=which, lost=lost, since=since, detail=detail))


def complaint(pen: Pen, at: float, trouble: str) -> Pen:
    return pen.at(at, AgentComplained(cluster="site", director="sv2", trouble=trouble))


def quorum(pen: Pen, at: float, *, up: bool) -> Pen:
    return pen.at(at, QuorumChanged(cluster="site", director="sv1", service=key_of(SITE.service("http")), up=up))


def all_web(pen: Pen, at: float, outcome: Outcome) -> Pen:
    for server in ("web1", "web2"):
        pen.probe(at, "http", server, outcome, "connection refused")
    return pen


UNREACHED = " — the VIP does not answer (http)"


@dataclass(frozen=True, kw_only=True)
class Case:
    """How an incident begins and ends; both are given the journal so far, in which all is well until 50 s."""

    kind: Kind
    begins: Callable[[Pen], Pen]
    ends: Callable[[Pen], Pen] = lambda pen: well(pen, 160)
    told: str
    over: str
    shows: tuple[str, ...] = ()
    subject: str = "VI_1"


def moved(pen: Pen) -> Pen:
    pen.says(100, "sv1", VrrpState.STOP).says(100.1, "sv2", VrrpState.MASTER)
    return looked(pen, 101, sv1={**STOPPED, "holds": False}, sv2={"holds": True})


def moved_back(pen: Pen) -> Pen:
    return well(pen.says(160, "sv1", VrrpState.MASTER).says(160.1, "sv2", VrrpState.BACKUP), 161)


def preempted(pen: Pen) -> Pen:
    pen.lines.clear()
    looked(pen, 50, sv1={"holds": False}, sv2={"holds": True})
    return well(pen.says(100, "sv1", VrrpState.MASTER).says(100.1, "sv2", VrrpState.BACKUP), 101)


def taken_by_both(pen: Pen) -> Pen:
    return looked(pen.says(100, "sv2", VrrpState.MASTER), 101, 102, sv2={"holds": True})


def given_up(pen: Pen) -> Pen:
    return well(pen.says(160, "sv2", VrrpState.BACKUP), 161)


def felt(pen: Pen) -> Pen:
    return pen.probe(99, "http", None, DOWN, "no answer within 0.9 s")


def felt_no_more(pen: Pen) -> Pen:
    return well(pen, 160).probe(161, "http", None, UP, "")


CASES = {
    "failover": Case(
        kind=Kind.FAILOVER,
        begins=moved,
        ends=moved_back,
        told="VI_1 failed over: sv1 → sv2 (planned: keepalived was stopped on sv1)",
        over="VI_1: sv1 is MASTER again",
    ),
    "failback": Case(
        kind=Kind.FAILBACK,
        begins=preempted,
        told="VI_1 failed back: sv2 → sv1 (expected: sv1 has the higher priority)",
        over="VI_1 failed back: sv2 → sv1 (expected: sv1 has the higher priority)",
    ),
    "two holders": Case(
        kind=Kind.SPLIT_BRAIN,
        begins=taken_by_both,
        ends=given_up,
        told="VI_1: split brain — sv1 and sv2 hold the address",
        over="VI_1: split brain is over, one director holds the address",
    ),
    "no holder": Case(
        kind=Kind.NO_MASTER,
        begins=looks(100, 101, sv1={"holds": False}),
        told="VI_1: no director holds the address",
        over="VI_1: a director holds the address again",
    ),
    "a director that booted anew": Case(
        kind=Kind.DIRECTOR_LOST,
        subject="sv2",
        begins=looks(100, 116, sv2=LOST),
        ends=looks(160, sv2={"boot": "another"}),
        told="sv2 does not answer",
        over="sv2 is back",
        shows=("it booted anew",),
    ),
    "a director that was cut off": Case(
        kind=Kind.DIRECTOR_LOST,
        subject="sv2",
        begins=looks(100, 116, sv2=LOST),
        told="sv2 does not answer",
        over="sv2 is back",
        shows=("it was cut off, or too busy to answer: it did not reboot",),
    ),
    "a director that was paused": Case(
        kind=Kind.DIRECTOR_PAUSED,
        subject="sv2",
        begins=looks(100, 116, sv2=LOST),
        ends=looks(160, sv2={"clock_behind_s": 60.0}),
        told="sv2 does not answer",
        over="sv2 is back: it had stood still",
        shows=("it stood still: it did not reboot, and its clock fell behind",),
    ),
    "every director lost": Case(
        kind=Kind.DIRECTORS_LOST,
        subject="site",
        begins=looks(100, 116, sv1=LOST, sv2=LOST),
        told="site: no director answers",
        over="site: the directors answer again",
    ),
    "keepalived stopped": Case(
        kind=Kind.KEEPALIVED_STOPPED,
        subject="sv2",
        begins=looks(100, 101, sv2=STOPPED),
        told="keepalived on sv2 is inactive",
        over="keepalived on sv2 runs again",
    ),
    "keepalived failed": Case(
        kind=Kind.KEEPALIVED_FAILED,
        subject="sv2",
        begins=lambda pen: failed_unit(pen, 100, 101),
        told="keepalived on sv2 is failed, its result is signal",
        over="keepalived on sv2 is well again",
    ),
    "keepalived in FAULT": Case(
        kind=Kind.KEEPALIVED_FAILED,
        subject="sv2",
        begins=lambda pen: well(pen.says(100, "sv2", VrrpState.FAULT), 101),
        ends=lambda pen: well(pen.says(160, "sv2", VrrpState.BACKUP), 161),
        told="sv2 says FAULT for VI_1",
        over="keepalived on sv2 is well again",
    ),
    "keepalived frozen": Case(
        kind=Kind.KEEPALIVED_FROZEN,
        subject="sv2",
        begins=looks(100, sv2={"processes": processes(stopped="VRRP")}),
        told="keepalived on sv2 is frozen: its VRRP process (pid 11) is stopped by a signal (state T)",
        over="keepalived on sv2 goes on, it was frozen",
    ),
    "keepalived without one of its processes": Case(
        kind=Kind.KEEPALIVED_RESTARTING,
        subject="sv2",
        begins=looks(100, 101, sv2={"processes": processes(vrrp=0)}),
        told="keepalived on sv2: its VRRP process is gone",
        over="keepalived on sv2 is complete again, one of its processes had died",
    ),
    "the VIP removed": Case(
        kind=Kind.VIP_REMOVED,
        begins=lambda pen: (
            pen.says(60, "sv1", VrrpState.MASTER)
            .says(100, "sv1", VrrpState.BACKUP)
            .says(100.05, "sv1", VrrpState.MASTER)
        ),
        told="VI_1: the address was removed by hand, and keepalived put it back at once",
        over="VI_1: the address was removed by hand, and keepalived put it back at once",
    ),
    "the table cleared": Case(
        kind=Kind.TABLE_REMOVED,
        subject="sv1",
        begins=looks(100, 103, sv1={"weights": (), "services": ()}),
        told="The IPVS table on sv1 is empty, and keepalived runs",
        over="The IPVS table on sv1 is complete again",
    ),
    "the health checker frozen": Case(
        kind=Kind.CHECKER_STOPPED,
        subject="sv1",
        begins=looks(100, sv1={"processes": processes(stopped="CHECKERS")}),
        told="keepalived on sv1 is frozen: its health checker (pid 12) is stopped by a signal (state T)",
        over="keepalived's health checker on sv1 works again",
    ),
    "no SNAT rule": Case(
        kind=Kind.NAT_BROKEN,
        subject="sv1",
        begins=lambda pen: looked(felt(pen), 100, 101, sv1={"nat": replace(GOOD, snat=False)}),
        ends=felt_no_more,
        told="sv1 cannot forward by NAT: the SNAT rule for 10.100.5.0/24 is missing" + UNREACHED,
        over="sv1 can forward by NAT again",
    ),
    "conntrack off": Case(
        kind=Kind.NAT_BROKEN,
        subject="sv1",
        begins=lambda pen: looked(felt(pen), 100, 101, sv1={"nat": replace(GOOD, conntrack=False)}),
        ends=felt_no_more,
        told="sv1 cannot forward by NAT: net.ipv4.vs.conntrack is 0, so that its SNAT rule never applies" + UNREACHED,
        over="sv1 can forward by NAT again",
    ),
    "ip_forward off": Case(
        kind=Kind.NAT_BROKEN,
        subject="sv1",
        begins=lambda pen: looked(felt(pen), 100, 101, sv1={"nat": replace(GOOD, ip_forward=False)}),
        ends=felt_no_more,
        told="sv1 cannot forward by NAT: net.ipv4.ip_forward is 0" + UNREACHED,
        over="sv1 can forward by NAT again",
    ),
    "a SNAT rule that counts nothing": Case(
        kind=Kind.VIP_UNREACHABLE,
        begins=lambda pen: looked(felt(pen), 100, 110),
        ends=felt_no_more,
        told="VI_1: the VIP does not answer (http): the SNAT rule on sv1 is there, and counts no packet",
        over="VI_1: the VIP answers again",
    ),
    "weights all 0": Case(
        kind=Kind.VIP_UNREACHABLE,
        begins=lambda pen: looked(felt(pen), 100, 110, sv1=weights(web1=0, web2=0)),
        ends=felt_no_more,
        told="VI_1: the VIP does not answer (http): every real server of http has weight 0 on sv1",
        over="VI_1: the VIP answers again",
    ),
    "every real server down": Case(
        kind=Kind.SERVICE_DOWN,
        subject="http",
        begins=lambda pen: well(all_web(felt(pen), 100, DOWN), 120),
        ends=lambda pen: felt_no_more(all_web(pen, 159, UP)),
        told="http has no healthy real server",
        over="http has healthy real servers again",
        shows=("web1 and web2 were down",),
    ),
    "a quorum lost": Case(
        kind=Kind.SERVICE_DOWN,
        subject="http",
        begins=lambda pen: well(quorum(pen, 100, up=False), 120),
        ends=lambda pen: quorum(pen, 160, up=True),
        told="keepalived on sv1 has lost the quorum of http",
        over="http has its quorum again",
    ),
    "a real server down": Case(
        kind=Kind.REAL_SERVER_DOWN,
        subject="web2",
        begins=lambda pen: well(pen.probe(100, "http", "web2", DOWN, "connection refused"), 101),
        ends=lambda pen: pen.probe(160, "http", "web2", UP, ""),
        told="web2 is down",
        over="web2 is up again",
        shows=("was: http: connection refused",),
    ),
    "a weight changed": Case(
        kind=Kind.WEIGHT_CHANGED,
        subject="web2",
        begins=looks(100, 101, sv1=weights(web2=5)),
        told="web2 has weight 5 in http (configured: 1) on sv1, and it was not this bot that set it",
        over="web2 has the weight that it is meant to have",
    ),
    "tables that differ": Case(
        kind=Kind.TABLES_DIFFER,
        subject="http",
        begins=looks(100, 101, 115, sv1={"weights": tuple(w for w in WEIGHTS if w[:2] != ("http", "web1"))}),
        told="web1 is missing from http on sv1, and nothing said that it is down; sv2 has it",
        over="http is the same on all directors again",
    ),
    "a certificate about to end": Case(
        kind=Kind.CERTIFICATE_EXPIRING,
        subject="http",
        begins=lambda pen: certificate(pen, 100, 3, expiring=True),
        ends=lambda pen: certificate(pen, 160, 93, expiring=False),
        told="The certificate of http ends at 2026-03-04 12:00 UTC",
        over="The certificate of http was renewed",
    ),
    "an agent that complains": Case(
        kind=Kind.AGENT_COMPLAINS,
        subject="sv2",
        begins=lambda pen: complaint(pen, 100, "spool: /var/lib/lvs-agent cannot be written: No space left on device"),
        ends=lambda pen: complaint(pen, 160, ""),
        told="The agent on sv2 complains: spool: /var/lib/lvs-agent cannot be written: No space left on device",
        over="The agent on sv2 complains no more",
    ),
    "no way in": Case(
        kind=Kind.NO_WAY_IN,
        subject="sv2",
        begins=looks(100, 116, sv2={"error": "it refuses the bot's key", "refused": True}),
        told="sv2 is alive, and the bot cannot ask it anything",
        over="sv2 lets the bot in again",
    ),
    "a silent agent": Case(
        kind=Kind.AGENT_SILENT,
        subject="sv2",
        begins=lambda pen: well(pen.silent(100, "sv2"), 131),
        ends=lambda pen: pen.silent(160, "sv2", False),
        told="The agent on sv2 is silent: its keepalived events do not reach the bot",
        over="The agent on sv2 reports in again",
    ),
    "an event that was missed": Case(
        kind=Kind.EVENTS_MISSED,
        subject="sv1",
        begins=lambda pen: looked(pen.says(100, "sv1", VrrpState.BACKUP), 101, 140),
        ends=lambda pen: well(pen.says(159, "sv1", VrrpState.MASTER), 160),
        told="sv1: an event was missed",
        over="sv1: an event had been missed; what it says and what it holds agree again",
    ),
    "no Slack": Case(
        kind=Kind.BOT_BLIND,
        subject="Slack",
        begins=lambda pen: sense(pen, 100, Sense.SLACK, lost=True),
        ends=lambda pen: sense(pen, 160, Sense.SLACK, lost=False),
        told="the bot's Slack is not there",
        over="Slack was away and is back: what could not be said then has been said by now",
    ),
    "a late schedule": Case(
        kind=Kind.BOT_BLIND,
        subject="probe schedule",
        begins=lambda pen: sense(pen, 100, Sense.SCHEDULE, lost=True),
        ends=lambda pen: sense(pen, 160, Sense.SCHEDULE, lost=False),
        told="the bot's probe schedule is not there",
        over="The bot sees again: its probe schedule is back",
    ),
}


def failed_unit(pen: Pen, *times: float) -> Pen:
    gone = replace(closely("sv2", **STOPPED), keepalived=unit(UnitActive.FAILED, "signal"))
    for at in times:
        pen.roll_call(at, closely("sv1", holds=True), gone)
    return pen


def the_only(pen: Pen) -> Incident:
    world = World.of(FLEET)
    for line in pen.lines:
        fold(world, line, FLEET)
    (incident,) = (i for i in world.incidents["site"].all if not i.withdrawn)
    return incident


@pytest.mark.parametrize("name", CASES)
def test_it_is_one_story_that_says_what_is_wrong_and_ends(name: str) -> None:
    case = CASES[name]
    pen = case.begins(well(Pen(), 50))
    told = the_only(pen)
    assert headline(told).casefold() == case.told.casefold()
    over = the_only(case.ends(pen))
    assert (over.kind, over.subject, over.open) == (case.kind, case.subject, False)
    assert headline(over) == case.over
    shown = str(incident_message(over).blocks)
    assert [words for words in case.shows if words not in shown] == []


def undone(*drained: str, **also: int) -> Pen:
    """The VIP fails while *drained* have weight 0, as alice wants it, and others have the weights *also*."""
    pen = well(Pen(), 50)
    for name in drained:
        pen.at(60, OverrideSet(cluster="site", real_server=name, operation="op-1", by=ALICE, weights=()))
    return looked(felt(pen), 100, 110, sv1=weights(**dict.fromkeys(drained, 0), **also))


def test_where_a_drain_leaves_nobody_to_serve_it_says_whose_it_is_and_what_ends_it() -> None:
    pen = undone("web2", web1=0)
    assert "web2 (by alice) is drained: restoring it gives it its weight back" in facts(the_only(pen))
    assert not any("restoring" in fact for fact in facts(the_only(pen.probe(150, "http", None, UP, "")))), "it is over"
    both = "web1 (by alice) and web2 (by alice) are drained: restoring one of them gives it its weight back"
    assert both in facts(the_only(undone("web1", "web2")))


def test_services_that_fail_for_the_same_reason_are_told_in_one_line() -> None:
    none = tuple((s, r, 0) for s, r, _ in WEIGHTS)
    pen = looked(felt(well(Pen(), 50)).probe(99.5, "dns-udp", None, DOWN, "timed out"), 100, 110, sv1={"weights": none})
    told = facts(the_only(pen))
    assert "every real server of http and dns-udp has weight 0 on sv1" in told
    gone = looked(pen, 120, 130, sv1={"services": (), "weights": ()})
    world = World.of(FLEET)
    for line in gone.lines:
        fold(world, line, FLEET)
    told = [fact for incident in world.incidents["site"].all for fact in facts(incident)]
    assert "http and dns-udp are not in the IPVS table of sv1" in told


def test_while_a_director_does_not_answer_it_says_what_restoring_takes() -> None:
    """A restore is refused then unless it is forced, lest the directors differ."""
    pen = looked(undone("web2", web1=0), 120, sv1=weights(web1=0, web2=0), sv2=LOST)
    world = World.of(FLEET)
    for line in pen.lines:
        fold(world, line, FLEET)
    found = [fact for incident in world.incidents["site"].all for fact in facts(incident) if "(by alice)" in fact]
    assert found == [
        "web2 (by alice) is drained: restoring it gives it its weight back, with --force while sv2 does not answer"
    ]


def test_nobody_is_told_to_restore_what_would_serve_nobody() -> None:
    def advised(pen: Pen) -> bool:
        world = World.of(FLEET)
        for line in pen.lines:
            fold(world, line, FLEET)
        return any("restoring" in fact for incident in world.incidents["site"].all for fact in facts(incident))

    assert advised(undone("web2", web1=0))
    assert not advised(undone("web2")), "web1 has its weight: that the VIP fails has another reason"
    dead = undone("web2", web1=0).probe(120, "http", "web2", DOWN, "connection refused")
    assert not advised(looked(dead, 130, sv1=weights(web1=0, web2=0))), "web2 does not answer the probes"


def test_of_several_addresses_it_says_which_one_is_not_there() -> None:
    second = "10.100.5.12"
    (instance,) = SITE.vrrp_instances
    both = replace(instance, virtual_addresses=(*instance.virtual_addresses, ip_interface(f"{second}/21")))
    site = replace(SITE, vrrp_instances=(both,))
    world = World.of(Fleet(clusters=(site,)))
    pen = well(Pen(), 50)
    for at in (100, 110):
        felt(pen).roll_call(at, replace(closely("sv1"), holds=(second,)), closely("sv2"))
    for line in pen.lines:
        fold(world, line, Fleet(clusters=(site,)))
    (incident,) = world.incidents["site"].open
    assert headline(incident) == f"VI_1: the VIP does not answer (http): {VIP} is not on sv1, which holds {second}"


def test_no_kind_is_left_out() -> None:
    assert {case.kind for case in CASES.values()} == set(Kind)
