"""What roll calls show amiss: each from the answers of directors, and only after as many looks as it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address

import pytest

from bot.domain.events import (
    Actor,
    NatPath,
    OverrideCleared,
    OverrideSet,
    QuorumChanged,
    RealServerChanged,
    RealServerObserved,
    RestoreCaughtUp,
    RollCallAnswer,
    RollCallTaken,
    Via,
    VrrpState,
)
from bot.domain.findings import is_news, untold, untold_returns, untold_servers
from bot.domain.fleet import Cluster, Fleet, HealthCheck
from bot.domain.health import Outcome
from bot.domain.observed import ServiceKey, UnitActive
from bot.domain.operations import Operations
from bot.domain.situation import Situation
from bot.domain.troubles import Matter, Trouble
from bot.flows.chronicle import World, fold

from .reference import NOON, SITE, VIP, WEIGHTS, Pen, answer, processes

GOOD = NatPath(ip_forward=True, conntrack=True, snat=True, packets=7)
SERVICES = ("http", "dns-udp")
ALICE = Actor(id="U0ALICE", name="alice", via=Via.SLACK)
Lines = Callable[[Pen], Pen]


def known(pen: Pen, cluster: Cluster = SITE) -> Situation:
    fleet = Fleet(clusters=(cluster,))
    world = World.of(fleet)
    for line in pen.lines:
        fold(world, line, fleet)
    return world.situations["site"]


def looks(pen: Pen, at: float, sv1: RollCallAnswer, sv2: RollCallAnswer | None = None, times: int = 2) -> Pen:
    """*times* roll calls that show the same, far enough apart for a table to have been filled meanwhile."""
    for number in range(times):
        pen.roll_call(at + 3 * number, sv1, sv2 or answer("sv2", services=SERVICES))
    return pen


def without(service: str, server: str) -> tuple[tuple[str, str, int], ...]:
    return tuple(w for w in WEIGHTS if w[:2] != (service, server))


def reweighted(service: str, server: str, weight: int) -> tuple[tuple[str, str, int], ...]:
    return tuple((s, r, weight if (s, r) == (service, server) else w) for s, r, w in WEIGHTS)


CASES = {
    "a stopped unit": (
        answer("sv1", active=UnitActive.INACTIVE, weights=()),
        Trouble(matter=Matter.UNIT, subject="sv1"),
        "keepalived on sv1 is inactive",
    ),
    "an empty table": (
        answer("sv1", holds=True, weights=(), services=()),
        Trouble(matter=Matter.TABLE, subject="sv1"),
        "the IPVS table on sv1 is empty, and keepalived runs",
    ),
    "a table that lacks one service": (
        answer("sv1", holds=True, weights=(), services=("http",)),
        Trouble(matter=Matter.TABLE, subject="sv1"),
        "the IPVS table on sv1 lacks dns-udp, and keepalived runs",
    ),
    "a weight that nobody here has set": (
        answer("sv1", holds=True, weights=reweighted("http", "web2", 5)),
        Trouble(matter=Matter.WEIGHT, subject="web2", of="sv1"),
        "web2 has weight 5 in http (configured: 1) on sv1, and it was not this bot that set it",
    ),
    "a member that is missing though all is well": (
        answer("sv1", holds=True, weights=without("http", "web1")),
        Trouble(matter=Matter.DIFFERENCE, subject="http", of="sv1"),
        "web1 is missing from http on sv1, and nothing said that it is down; sv2 has it",
    ),
    "no forwarding": (
        answer("sv1", holds=True, nat=replace(GOOD, ip_forward=False)),
        Trouble(matter=Matter.NAT, subject="sv1"),
        "sv1 cannot forward by NAT: net.ipv4.ip_forward is 0",
    ),
    "no SNAT rule and no conntrack": (
        answer("sv1", holds=True, nat=replace(GOOD, snat=False, conntrack=False)),
        Trouble(matter=Matter.NAT, subject="sv1"),
        (
            "sv1 cannot forward by NAT: net.ipv4.vs.conntrack is 0, so that its SNAT rule never applies and "
            "the SNAT rule for 10.100.5.0/24 is missing"
        ),
    ),
    "nobody with the address": (
        answer("sv1"),
        Trouble(matter=Matter.VACANCY, subject="VI_1"),
        "the address of VI_1 is held by no director",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_one_look_only_raises_a_suspicion_and_a_second_one_confirms_it(case: str) -> None:
    shown, trouble, why = CASES[case]
    pen = looks(Pen().all_well(0), 10, shown, times=1)
    assert known(pen).found == {}
    assert trouble in known(pen).suspected
    looks(pen, 14, shown, times=1)
    assert known(pen).found[trouble] == why
    looks(pen, 20, answer("sv1", holds=True, services=SERVICES, nat=GOOD), times=1)
    assert known(pen).found == {}, "that it is well again, one look shows"


def test_a_director_on_its_way_down_is_not_said_to_have_lost_its_table() -> None:
    dying = replace(
        answer("sv1", weights=(), services=(), processes=processes(checkers=0)), keepalived=None, error=None
    )
    pen = looks(Pen().all_well(0), 10, dying, times=3)
    assert not {t for t in known(pen).found if t.matter is Matter.TABLE}


def test_a_director_that_tells_nothing_of_keepalived_is_not_said_to_run_it() -> None:
    dying = replace(answer("sv1", weights=(), services=()), keepalived=None)
    pen = looks(Pen().all_well(0), 10, dying, times=3)
    assert not {t for t in known(pen).found if t.matter is Matter.TABLE}


def test_a_table_that_keepalived_is_about_to_fill_is_not_said_to_be_empty() -> None:
    starting = answer("sv1", holds=True, active=UnitActive.ACTIVATING, weights=(), services=(), processes=processes())
    pen = looks(Pen().all_well(0), 10, starting, times=3)
    assert not known(pen).found
    looks(pen, 20, CASES["an empty table"][0], times=1)
    assert not known(pen).found, "it may have become ready just now"
    looks(pen, 21, CASES["an empty table"][0], times=1)
    assert not known(pen).found, "to fill it takes a moment"
    looks(pen, 22, starting, times=1)
    looks(pen, 24, CASES["an empty table"][0], times=1)
    assert Trouble(matter=Matter.TABLE, subject="sv1") in known(pen).found, "it was empty twice when it had to be whole"


def test_what_was_found_of_a_table_lasts_until_it_is_seen_whole() -> None:
    pen = looks(Pen().all_well(0), 10, CASES["an empty table"][0])
    looks(pen, 20, answer("sv1", active=UnitActive.ACTIVATING, services=SERVICES))
    assert Trouble(matter=Matter.TABLE, subject="sv1") in known(pen).found


@pytest.mark.parametrize(
    "between",
    [
        pytest.param(answer("sv1", active=UnitActive.INACTIVE, weights=(), services=()), id="keepalived has ended"),
        pytest.param(None, id="the host has booted anew"),
    ],
)
def test_a_suspicion_ends_with_the_keepalived_that_it_was_of(between: RollCallAnswer | None) -> None:
    before = replace(CASES["an empty table"][0], boot="one")
    after = replace(before, boot="one" if between else "two")
    pen = looks(Pen().all_well(0), 10, before, times=1)
    if between is not None:
        looks(pen, 11, between, times=1)
    looks(pen, 12, after, times=1)
    assert Trouble(matter=Matter.TABLE, subject="sv1") not in known(pen).found
    looks(pen, 15, after, times=1)
    assert Trouble(matter=Matter.TABLE, subject="sv1") in known(pen).found


def test_an_empty_table_that_clients_feel_is_believed_at_once() -> None:
    pen = Pen().all_well(0).probe(9, "http", None, Outcome.UNHEALTHY, "connection refused")
    looks(pen, 10, CASES["an empty table"][0], times=1)
    assert Trouble(matter=Matter.TABLE, subject="sv1") in known(pen).found


def test_a_second_answer_to_the_same_question_confirms_nothing() -> None:
    """A roll call that had been asked before the first one was recorded may have seen the same torn listing."""
    pen = looks(Pen().all_well(0), 10, CASES["an empty table"][0], times=1)
    early = RollCallTaken(
        cluster="site",
        reason="test",
        asked_at=NOON + timedelta(seconds=9.9),
        answers=(CASES["an empty table"][0],),
    )
    assert known(pen.at(10.5, early)).found == {}


def test_what_was_not_looked_at_is_not_well_again() -> None:
    trouble = Trouble(matter=Matter.NAT, subject="sv1")
    pen = looks(Pen().all_well(0), 10, CASES["no forwarding"][0])
    looks(pen, 20, answer("sv1", holds=True), times=1)
    assert trouble in known(pen).found
    pen.roll_call(21, answer("sv2"))
    assert trouble in known(pen).found


@pytest.mark.parametrize("role", ["PARENT", "VRRP"])
def test_a_stopped_process_is_proved_by_one_look(role: str) -> None:
    pen = looks(Pen().all_well(0), 10, answer("sv1", holds=True, processes=processes(stopped=role)), times=1)
    assert "is frozen" in known(pen).found[Trouble(matter=Matter.PROCESS, subject="sv1")]


def test_a_frozen_checker_is_another_thing_than_a_frozen_keepalived() -> None:
    pen = looks(Pen().all_well(0), 10, answer("sv1", holds=True, processes=processes(stopped="CHECKERS")), times=1)
    assert list(known(pen).found) == [Trouble(matter=Matter.CHECKER, subject="sv1")]


def test_a_child_that_was_started_again_is_told_and_a_whole_restart_is_not() -> None:
    first = answer("sv1", holds=True, processes=processes())
    pen = looks(Pen(), 10, first, times=1)
    looks(pen, 20, answer("sv1", holds=True, processes=processes(vrrp=99)), times=1)
    found = known(pen).found[Trouble(matter=Matter.PROCESS, subject="sv1")]
    assert found == "keepalived on sv1: its VRRP process died and was started again (pid 11 before, 99 now)"
    looks(pen, 30, answer("sv1", holds=True, processes=processes(parent=20, vrrp=21, checkers=22)), times=1)
    assert known(pen).found == {}


def test_processes_of_a_host_that_has_booted_anew_are_others_even_where_a_number_is_the_same() -> None:
    pen = looks(Pen(), 10, answer("sv1", holds=True, boot="first", processes=processes()), times=1)
    looks(pen, 60, answer("sv1", holds=True, boot="second", processes=processes(vrrp=13, checkers=14)), times=1)
    assert known(pen).found == {}


def test_a_child_that_is_gone_is_told() -> None:
    pen = looks(Pen(), 10, answer("sv1", holds=True, processes=processes()), times=1)
    looks(pen, 20, answer("sv1", holds=True, processes=processes(checkers=0)), times=1)
    assert known(pen).found == {}, "it may be the first to end of a keepalived that is being stopped"
    looks(pen, 21, answer("sv1", holds=True, processes=processes(checkers=0)), times=1)
    found = known(pen).found[Trouble(matter=Matter.CHECKER, subject="sv1")]
    assert found == "keepalived on sv1: its health checker is gone"


def test_conntrack_is_needed_for_the_snat_rule_only() -> None:
    pen = looks(Pen(), 1, answer("sv1", holds=True, nat=replace(GOOD, conntrack=False, snat=None)))
    trouble = Trouble(matter=Matter.NAT, subject="sv1")
    why = "sv1 cannot forward by NAT: net.ipv4.vs.conntrack is 0, so that its SNAT rule never applies"
    assert known(pen).found == {trouble: why}
    assert known(pen, replace(SITE, snat=None)).found == {}


def test_what_keepalived_says_of_a_firewall_mark_is_heard_for_either_family() -> None:
    marked = replace(SITE.service("http"), address=None, port=None, protocol=None, fwmark=1, mark_family=6)
    site = replace(SITE, services=(marked, SITE.services[1]))
    key = ServiceKey(fwmark=1)
    web1 = SITE.real_server("web1").address
    down = RealServerChanged(cluster="site", director="sv1", service=key, address=web1, port=80, up=False)
    pen = Pen().at(1, down).at(1, QuorumChanged(cluster="site", director="sv1", service=key, up=False))
    state = known(pen, site)
    assert set(state.removed) == {("sv1", "http", "web1")}
    assert set(state.quorumless) == {("sv1", "http")}


def test_ipv4_forwarding_is_needed_for_ipv4_only() -> None:
    nat = replace(GOOD, ip_forward=False)
    pen = looks(Pen(), 1, answer("sv1", holds=True, nat=nat), answer("sv2", nat=GOOD))
    assert [t.matter for t in known(pen).found] == [Matter.NAT]
    services = tuple(replace(s, address=ip_address("2001:db8::11")) for s in SITE.services)
    assert known(pen, replace(SITE, services=services)).found == {}
    marked = tuple(replace(s, address=None, port=None, protocol=None, fwmark=1, mark_family=6) for s in SITE.services)
    assert known(pen, replace(SITE, services=marked)).found == {}


def test_a_weight_that_an_operator_wants_is_no_finding() -> None:
    from bot.domain.events import Actor, Via

    by = Actor(id="U0ALICE", name="alice", via=Via.SLACK)
    pen = Pen().all_well(0)
    pen.at(5, OverrideSet(cluster="site", real_server="web1", operation="op-1", by=by, weights=(("sv1", "http", 1),)))
    looks(pen, 10, answer("sv1", holds=True, weights=reweighted("http", "web1", 0)), times=3)
    assert known(pen).found == {}


def test_a_weight_of_0_that_keepalived_itself_has_set_is_no_finding() -> None:
    """inhibit_on_failure: a real server whose check fails stays in the table, at weight 0."""
    pen = Pen().all_well(0).check(10, "sv1", "web1", up=False)
    looks(pen, 11, answer("sv1", holds=True, weights=reweighted("http", "web1", 0)), times=3)
    assert known(pen).found == {}
    looks(pen, 20, answer("sv1", holds=True, weights=reweighted("http", "web1", 5)))
    assert [t.matter for t in known(pen).found] == [Matter.WEIGHT], "that is nothing that keepalived would set"
    looks(pen.check(30, "sv1", "web1", up=True), 31, answer("sv1", holds=True))
    looks(pen, 40, answer("sv1", holds=True, weights=reweighted("http", "web1", 0)))
    assert [t.matter for t in known(pen).found] == [Matter.WEIGHT], "its check is well: it was somebody else"


def test_a_dead_real_server_that_stays_in_the_table_tells_on_the_health_checker() -> None:
    check = SITE.services[0].check
    assert isinstance(check, HealthCheck)
    pen = Pen().all_well(0).probe(10, "http", "web1", Outcome.UNHEALTHY, "connection refused")
    looks(pen, 20, answer("sv1", holds=True))
    assert known(pen).found == {}, "keepalived may take that long"
    looks(pen, 60, answer("sv1", holds=True), answer("sv2", weights=without("http", "web1")))
    assert "health checker may have stopped" in known(pen).found[Trouble(matter=Matter.CHECKER, subject="sv1")]


def test_a_health_checker_that_has_just_put_the_real_server_back_works() -> None:
    """It is quicker than the probes, which want to see a real server twice before they believe that it is back."""
    pen = Pen().all_well(0).probe(10, "http", "web1", Outcome.UNHEALTHY, "connection refused")
    pen.check(14, "sv1", "web1", up=False).check(58, "sv1", "web1", up=True)
    looks(pen, 60, answer("sv1", holds=True), answer("sv2", weights=without("http", "web1")))
    assert known(pen).found == {}


def test_a_director_that_holds_the_address_without_having_said_so_missed_an_event() -> None:
    pen = Pen().says(0, "sv1", VrrpState.MASTER).says(0.1, "sv2", VrrpState.BACKUP).all_well(1)
    for at in (30, 31, 45):
        pen.roll_call(at, answer("sv1", active=UnitActive.FAILED, weights=()), answer("sv2", holds=True))
    state = known(pen)
    assert Trouble(matter=Matter.STREAM, subject="sv2") in state.found
    assert list(untold(state, SITE, "sv2")) == [("VI_1", VrrpState.MASTER, VrrpState.BACKUP)]


def test_an_event_that_is_only_on_its_way_was_not_missed() -> None:
    pen = Pen().says(0, "sv1", VrrpState.MASTER).says(0.1, "sv2", VrrpState.BACKUP).all_well(1)
    pen.roll_call(30, answer("sv1"), answer("sv2", holds=True))
    pen.roll_call(31, answer("sv1"), answer("sv2", holds=True)).says(32, "sv2", VrrpState.MASTER)
    pen.roll_call(50, answer("sv1"), answer("sv2", holds=True)).roll_call(51, answer("sv1"), answer("sv2", holds=True))
    assert Trouble(matter=Matter.STREAM, subject="sv2") not in known(pen).found


def test_a_real_server_that_left_the_table_for_good_reason_and_unannounced_is_a_missed_event() -> None:
    pen = Pen().all_well(0).probe(10, "http", "web1", Outcome.UNHEALTHY, "connection refused")
    gone = answer("sv1", holds=True, weights=without("http", "web1"))
    for at in (20, 21, 40):
        pen.roll_call(at, gone, answer("sv2"))
    assert list(untold_servers(known(pen), SITE, "sv1")) == [("http", "web1")]
    assert Trouble(matter=Matter.STREAM, subject="sv1") in known(pen).found


def put_back() -> Pen:
    """web1 was taken out of http on sv1 by its own word, and looks find it there again."""
    gone = answer("sv1", holds=True, weights=without("http", "web1"))
    pen = Pen().all_well(0).check(10, "sv1", "web1", up=False).roll_call(11, gone, answer("sv2"))
    return pen.all_well(20).all_well(21)


def test_a_real_server_that_is_back_in_the_table_and_unannounced_is_a_missed_event() -> None:
    pen = put_back()
    assert known(pen).found == {}
    pen.all_well(40).all_well(70)
    assert list(untold_returns(known(pen), "sv1")) == [("http", "web1")]
    assert known(pen).found[Trouble(matter=Matter.STREAM, subject="sv1")] == (
        "web1 is back in http on sv1, and nothing said so: an event was missed"
    )


def test_a_real_server_whose_return_was_observed_or_told_after_all_is_missed_no_more() -> None:
    seen = RealServerObserved(cluster="site", director="sv1", service="http", real_server="web1", up=True, seen_at=NOON)
    for pen in (put_back().all_well(40).all_well(70).at(70.1, seen), put_back().check(30, "sv1", "web1", up=True)):
        assert list(untold_returns(known(pen), "sv1")) == []
        assert known(pen.all_well(75)).found == {}


def test_a_keepalived_that_was_started_anew_says_nothing_of_the_real_servers_that_it_takes_to_be_alive() -> None:
    gone = answer("sv1", holds=True, weights=without("http", "web1"), processes=processes())
    pen = Pen().all_well(0).check(10, "sv1", "web1", up=False).roll_call(11, gone, answer("sv2"))
    for at in (20, 21, 40, 70):
        pen.roll_call(at, answer("sv1", holds=True, processes=processes(checkers=99)), answer("sv2"))
    assert list(untold_returns(known(pen), "sv1")) == []


def test_a_routine_look_is_news_only_when_it_shows_something_new() -> None:
    pen = looks(Pen(), 10, answer("sv1", holds=True, nat=GOOD, clock_behind_s=0.1, processes=processes()), times=1)
    state = known(pen)

    def taken(*answers: RollCallAnswer) -> RollCallTaken:
        return RollCallTaken(cluster="site", reason="routine", asked_at=NOON + timedelta(seconds=40), answers=answers)

    now = NOON + timedelta(seconds=41)
    same = answer(
        "sv1",
        holds=True,
        nat=replace(GOOD, packets=99),
        clock_behind_s=0.3,
        heard_at=now,
        processes=tuple(replace(p, state="R") for p in processes()),
    )
    assert not is_news(state, taken(same, answer("sv2", services=SERVICES)), now, SITE, Operations())
    frozen = replace(same, processes=processes(stopped="VRRP"))
    for other in (replace(same, holds=()), replace(same, nat=replace(GOOD, snat=False)), frozen):
        assert is_news(state, taken(other), now, SITE, Operations())
    assert VIP in same.holds


def test_a_routine_look_is_news_where_a_word_that_came_late_waited_for_it() -> None:
    out = without("http", "web1")
    pen = Pen().roll_call(10, answer("sv1", holds=True), answer("sv2", weights=out)).check(120, "sv2", "web1", up=False)
    pen.lines[-1] = replace(pen.lines[-1], at_source=NOON + timedelta(seconds=9))
    for shown in (out, WEIGHTS):
        taken = RollCallTaken(
            cluster="site",
            reason="routine",
            asked_at=NOON + timedelta(seconds=130),
            answers=(answer("sv2", weights=shown),),
        )
        assert is_news(known(pen), taken, NOON + timedelta(seconds=131), SITE, Operations())


def test_a_drained_real_server_with_a_weight_is_told_when_the_bot_cannot_take_it_back() -> None:
    def drained(*times: float) -> Situation:
        pen = looks(Pen(), 0, answer("sv1", holds=True))
        pen.at(20, OverrideSet(cluster="site", real_server="web2", operation="op-1", by=ALICE, weights=()))
        for at in times:
            looks(pen, at, answer("sv1", holds=True, weights=reweighted("http", "web2", 1)), times=1)
        return known(pen)

    trouble = Trouble(matter=Matter.WEIGHT, subject="web2", of="sv1")
    assert trouble not in drained(30, 31, 40).found, "it is taken back in a moment"
    assert drained(30, 31, 42.1).found[trouble].startswith("web2 is drained, and has weight 1 in http, 1 in dns-udp")


def restored_past_sv1() -> Pen:
    """web2 was restored while sv1 did not answer."""
    owed = (("sv1", "http", 1), ("sv1", "dns-udp", 1))
    pen = looks(Pen(), 0, answer("sv1", holds=True))
    return pen.at(20, OverrideCleared(cluster="site", real_server="web2", operation="op-1", by=ALICE, owed=owed))


def test_a_weight_that_a_restore_could_not_give_is_told_as_that_when_the_bot_cannot_give_it_either() -> None:
    def back(pen: Pen, *times: float) -> Situation:
        for at in times:
            looks(pen, at, answer("sv1", holds=True, weights=reweighted("http", "web2", 0)), times=1)
        return known(pen)

    trouble = Trouble(matter=Matter.WEIGHT, subject="web2", of="sv1")
    assert trouble not in back(restored_past_sv1(), 30, 31, 40).found, "it gets it in a moment"
    told = back(restored_past_sv1(), 30, 31, 42.1).found[trouble]
    assert told == (
        "web2 was restored while sv1 did not answer, and has weight 0 in http there all the same: "
        "it could not be given its weight"
    )
    dead = restored_past_sv1().probe(25, "http", "web2", Outcome.UNHEALTHY, "connection refused")
    assert trouble not in back(dead, 30, 31, 42.1, 60).found, "it gets it when it is well"
    given = RestoreCaughtUp(cluster="site", real_server="web2", director="sv1", service="http", found=0)
    told = back(restored_past_sv1().at(25, given), 30, 31).found[trouble]
    assert told.endswith("and it was not this bot that set it"), "what is given and lost again is somebody else's"
