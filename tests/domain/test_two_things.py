"""Two things that befall a site one after the other: each is told, and nothing is told of what is over or is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.events import HealthChanged, NatPath, OutageMeasured, RollCallAnswer, VrrpState
from bot.domain.health import Outcome
from bot.domain.incidents import Incident, Kind, Matter, Trouble
from bot.domain.incidents.stages import timeline
from bot.domain.observed import UnitActive
from bot.views.incident import facts, headline, incident_message
from tests.domain.test_removed import told

from .reference import NOON, SITE, WEIGHTS, Pen, answer, processes
from .test_left_over import world_of

STOPPED: dict[str, Any] = {"active": UnitActive.INACTIVE, "weights": (), "services": ()}
NO_ROUTE: dict[str, Any] = {"error": "no route to host"}
MOMENTS: Any = ("last_good_at", "first_bad_at", "last_bad_at", "first_good_at")
NO_WEB1 = tuple(w for w in WEIGHTS if w[1] != "web1")
NO_WEB2 = tuple(w for w in WEIGHTS if w[1] != "web2")


def kinds(pen: Pen) -> list[tuple[Kind, str]]:
    return sorted((i.kind, i.subject) for i in told(pen) if i.open)


def of_kind(pen: Pen, kind: Kind) -> Incident:
    (incident,) = (i for i in told(pen) if i.kind is kind)
    return incident


def both_stopped() -> Pen:
    """keepalived is stopped on the standby, and a while later on the MASTER."""
    pen = Pen().all_well(60).says(100, "sv2", VrrpState.STOP)
    for at in (101, 103):
        pen.roll_call(at, answer("sv1", holds=True), answer("sv2", **STOPPED))
    pen.says(120, "sv1", VrrpState.STOP)
    for at in (121, 123):
        pen.roll_call(at, answer("sv1", **STOPPED), answer("sv2", **STOPPED))
    return pen.probe(124, "http", None, Outcome.UNHEALTHY)


def test_a_master_that_is_stopped_while_the_standby_does_not_run_is_news() -> None:
    pen = both_stopped()
    assert kinds(pen) == [(Kind.KEEPALIVED_STOPPED, "sv1"), (Kind.KEEPALIVED_STOPPED, "sv2")]
    standby, dead = told(pen)
    assert {t.matter for t in dead.troubles} == {Matter.UNIT, Matter.VACANCY, Matter.VIP}
    assert incident_message(dead).text == (
        ":red_circle: keepalived on sv1 is inactive — the VIP does not answer (http)"
    )
    assert incident_message(standby).text == ":large_yellow_circle: keepalived on sv2 is inactive"


def test_an_address_is_vacant_until_somebody_is_found_with_it() -> None:
    """A closer look at one director, and the other one was not asked for a while: it holds nothing for all that."""
    vacant = "the address of VI_1 is held by no director"
    pen = both_stopped()
    pen.roll_call(140, answer("sv1", **STOPPED)).roll_call(140.1, answer("sv2", **STOPPED))
    _, dead = told(pen)
    assert vacant in facts(dead)
    assert not any("held again" in note.text for note in dead.timeline)
    pen.says(150, "sv1", VrrpState.MASTER).roll_call(151, answer("sv1", holds=True), answer("sv2", **STOPPED))
    _, dead = told(pen)
    assert f"was: {vacant}" in facts(dead)


def test_one_of_two_that_runs_again_is_not_told_to_be_stopped() -> None:
    pen = Pen().all_well(60)
    for at in (101, 103):
        pen.roll_call(at, answer("sv1", **STOPPED), answer("sv2", **STOPPED))
    (incident,) = told(pen)
    assert headline(incident) == "keepalived on sv1 is inactive"
    pen.says(120, "sv1", VrrpState.MASTER).roll_call(121, answer("sv1", holds=True), answer("sv2", **STOPPED))
    (incident,) = told(pen)
    assert headline(incident) == "keepalived on sv1 runs again — keepalived on sv2 still does not run"


def lost_standby(*, taken_out: bool = True) -> Pen:
    """sv2 dies with web2 inside of it, and its agent falls silent."""
    pen = Pen().all_well(60).probe(101, "http", "web2", Outcome.UNHEALTHY, "no answer").silent(110, "sv2")
    if taken_out:
        pen.check(110.5, "sv1", "web2", up=False)
    for at in (111, 116, 126):
        pen.roll_call(at, serving(taken_out), answer("sv2", **NO_ROUTE))
    return pen


def serving(taken_out: bool) -> RollCallAnswer:
    return answer("sv1", holds=True, weights=NO_WEB2 if taken_out else WEIGHTS)


def test_a_director_that_is_on_its_way_back_was_lost() -> None:
    """Its network answers before its sshd does: that it lives tells nothing of why it was silent."""
    pen = lost_standby()
    assert kinds(pen) == [(Kind.DIRECTOR_LOST, "sv2")]
    pen.roll_call(140, serving(True), answer("sv2", error="Connection refused", refused=True))
    incident = of_kind(pen, Kind.DIRECTOR_LOST)
    assert headline(incident) == (
        "sv2 is back — web2 is still down, sv2 still does not let the bot in and the agent on sv2 is still silent"
    )
    pen.silent(141, "sv2", silent=False).all_well(142).probe(150, "http", "web2", Outcome.HEALTHY, "")
    incident = of_kind(pen, Kind.DIRECTOR_LOST)
    assert (incident.open, headline(incident)) == (False, "sv2 is back")


def test_what_is_left_is_told_in_the_headline_whatever_it_is() -> None:
    """sv1 has a dead web2 in its table: its health checker has not seen it."""
    pen = lost_standby(taken_out=False)
    for at in (140, 150):
        pen.roll_call(at, serving(False), answer("sv2", weights=NO_WEB2))
    pen.silent(151, "sv2", silent=False)
    incident = of_kind(pen, Kind.DIRECTOR_LOST)
    assert headline(incident) == (
        "sv2 is back — keepalived's health checker on sv1 still does not work and web2 is still down"
    )


def test_when_every_director_is_back_nobody_says_that_none_answers() -> None:
    pen = Pen().all_well(60).probe(101, "http", None, Outcome.UNHEALTHY)
    for at in (110, 116, 126):
        pen.roll_call(at, answer("sv1", **NO_ROUTE), answer("sv2", **NO_ROUTE))
    assert headline(of_kind(pen, Kind.DIRECTORS_LOST)) == "site: no director answers — the VIP does not answer (http)"
    pen.all_well(150)
    incident = of_kind(pen, Kind.DIRECTORS_LOST)
    assert incident.open
    assert headline(incident) == "site: the directors answer again — the VIP still does not answer"


def test_the_moment_at_which_nobody_has_the_address_is_part_of_the_way_back() -> None:
    pen = Pen().all_well(60).says(100, "sv1", VrrpState.STOP).says(100.7, "sv2", VrrpState.MASTER)
    pen.roll_call(101, answer("sv1", **STOPPED), answer("sv2", holds=True))
    pen.says(140, "sv1", VrrpState.BACKUP).roll_call(141, answer("sv1"), answer("sv2", holds=True))
    pen.says(143, "sv2", VrrpState.BACKUP)
    for at in (143.1, 143.3):
        pen.roll_call(at, answer("sv1"), answer("sv2"))
    assert Kind.NO_MASTER in {kind for kind, _ in kinds(pen)}, "nobody has it"
    pen.says(143.4, "sv1", VrrpState.MASTER).all_well(144)
    (incident,) = told(pen)
    assert (incident.kind, incident.open) == (Kind.FAILOVER, False)
    assert headline(incident) == "VI_1: sv1 is MASTER again"


def test_a_way_back_that_ends_what_another_story_tells_of_is_not_called_unfelt() -> None:
    """sv1's link is cut, keepalived stops on sv2, which took over, and then sv1 is back: from nobody."""
    pen = Pen().all_well(60).says(100, "sv2", VrrpState.MASTER)
    for at in (101, 107, 117):
        pen.roll_call(at, answer("sv1", **NO_ROUTE), answer("sv2", holds=True))
    pen.says(130, "sv2", VrrpState.STOP).probe(131, "http", None, Outcome.UNHEALTHY, "no answer")
    for at in (131, 133):
        pen.roll_call(at, answer("sv1", **NO_ROUTE), answer("sv2", **STOPPED))
    stopped = of_kind(pen, Kind.KEEPALIVED_STOPPED)
    assert headline(stopped) == "keepalived on sv2 is inactive — the VIP does not answer (http)"
    pen.says(150, "sv1", VrrpState.MASTER).roll_call(151, answer("sv1", holds=True), answer("sv2", **STOPPED))
    pen.outage(130, 150.5).probe(150.5, "http", None, Outcome.HEALTHY, "")
    moved = of_kind(pen, Kind.FAILOVER)
    assert f"on the way back: what clients felt of it is told by incident {stopped.id}" in facts(moved)
    assert not any("no probe failed" in fact for fact in facts(moved))


def stopped_failover() -> Pen:
    """keepalived is stopped on sv1; sv2 serves, and people have been told."""
    pen = Pen().all_well(60).says(100, "sv1", VrrpState.STOP).says(100.7, "sv2", VrrpState.MASTER)
    return pen.roll_call(101.5, answer("sv1", **STOPPED), answer("sv2", holds=True))


def test_real_servers_that_fall_one_by_one_after_a_failover_are_a_story_of_their_own() -> None:
    pen = stopped_failover().probe(112, "http", "web1", Outcome.UNHEALTHY, "connection refused")
    pen.roll_call(113, answer("sv1", **STOPPED), answer("sv2", holds=True))
    assert kinds(pen) == [(Kind.FAILOVER, "VI_1"), (Kind.REAL_SERVER_DOWN, "web1")]
    pen.check(114, "sv2", "web1", up=False).probe(121, "http", None, Outcome.UNHEALTHY)
    pen.probe(123, "http", "web2", Outcome.UNHEALTHY, "connection refused").check(124, "sv2", "web2", up=False)
    none = tuple(w for w in WEIGHTS if w[0] != "http")
    for at in (125, 140):
        pen.roll_call(at, answer("sv1", **STOPPED), answer("sv2", holds=True, weights=none))
    assert kinds(pen) == [(Kind.FAILOVER, "VI_1"), (Kind.SERVICE_DOWN, "http")]
    moved, dead = told(pen)
    assert headline(moved) == "VI_1 failed over: sv1 → sv2 (planned: keepalived was stopped on sv1)"
    assert headline(dead) == "http has no healthy real server"
    assert "web1 and web2 are down" in facts(dead)
    assert dead.felt_since is not None, "people know it as a real server that is down: the channel is told"


def test_a_failover_after_which_soon_nobody_is_left_to_serve_is_told_to_have_become_worse() -> None:
    pen = Pen().all_well(60).says(100, "sv2", VrrpState.MASTER)
    pen.probe(101, "http", "web1", Outcome.UNHEALTHY, "no answer").check(101.5, "sv2", "web1", up=False)
    pen.roll_call(102, answer("sv1", **NO_ROUTE), answer("sv2", holds=True, weights=NO_WEB1))
    # They fail since 4 s after the move, and it takes the probes a few failures to say so.
    failing: dict[str, Any] = {"cluster": "site", "service": "http", "outcome": Outcome.UNHEALTHY, "reason": "refused"}
    since = NOON + timedelta(seconds=104)
    for server in (None, "web2"):
        pen.at(107, HealthChanged(**failing, real_server=server, since=since))
    (incident,) = told(pen)
    assert headline(incident).endswith(" — http has no healthy real server")
    assert incident.felt_since is not None


def test_a_new_master_that_freezes_is_news_however_soon() -> None:
    pen = stopped_failover()
    frozen = answer("sv2", holds=True, processes=processes(stopped="VRRP"))
    for at in (108, 109):
        pen.roll_call(at, answer("sv1", **STOPPED), frozen)
    assert kinds(pen) == [(Kind.FAILOVER, "VI_1"), (Kind.KEEPALIVED_FROZEN, "sv2")]


def test_a_second_plug_that_is_pulled_a_while_after_the_first_is_news() -> None:
    """Its real server falls before it is known to be lost itself."""
    pen = Pen().all_well(60).probe(100.5, "http", None, Outcome.UNHEALTHY).says(102, "sv2", VrrpState.MASTER)
    pen.probe(103, "http", "web1", Outcome.UNHEALTHY, "no answer").check(106, "sv2", "web1", up=False)
    pen.roll_call(106, answer("sv1", **NO_ROUTE), answer("sv2", holds=True, weights=NO_WEB1))
    pen.outage(100.5, 103).probe(110, "http", None, Outcome.HEALTHY, "").probe(120, "http", None, Outcome.UNHEALTHY)
    pen.probe(121, "http", "web2", Outcome.UNHEALTHY, "no answer")
    moved, dead = told(pen)
    assert (moved.also_down, moved.kind) == (("web1",), Kind.FAILOVER)
    assert (dead.kind, dead.subject) == (Kind.SERVICE_DOWN, "http")
    pen.roll_call(122, answer("sv1", **NO_ROUTE), answer("sv2", **NO_ROUTE))
    for at in (126, 131):
        pen.roll_call(at, answer("sv1", **NO_ROUTE), answer("sv2", **NO_ROUTE))
    (site,) = told(pen)
    assert site.id > dead.id, "a message of its own"
    assert headline(site) == "site: no director answers — the VIP does not answer (http)"
    assert "the VIP does not answer again since 12:02:00 UTC (http)" in facts(site)
    assert not any("no second director" in fact for fact in facts(site)), "there is no first one either"
    assert incident_message(site).text.startswith(":red_circle:")
    parts = [i for i in world_of(pen, SITE).incidents["site"].all if i.part_of == site.id]
    assert {incident_message(i).text for i in parts} >= {
        f":white_circle: VI_1: this is part of incident {site.id}",
        f":white_circle: http: this is part of incident {site.id}",
    }


def test_two_plugs_that_are_pulled_together_are_one_story() -> None:
    pen = Pen().all_well(60).probe(100.5, "http", None, Outcome.UNHEALTHY)
    for at in (101, 107, 112):
        pen.roll_call(at, answer("sv1", **NO_ROUTE), answer("sv2", **NO_ROUTE))
    (site,) = told(pen)
    assert headline(site) == "site: no director answers — the VIP does not answer (http)"


def test_a_director_that_was_cut_off_is_not_blamed_for_what_only_the_bot_could_not_reach() -> None:
    """web1 lives inside sv1: while the link of that is down the probes reach neither, and sv1's checks reach web1."""
    pen = (
        Pen().all_well(60).says(102, "sv2", VrrpState.MASTER).probe(101, "http", "web1", Outcome.UNHEALTHY, "no answer")
    )
    pen.check(106, "sv2", "web1", up=False)
    for at in (103, 110, 125):
        pen.roll_call(at, answer("sv1", **NO_ROUTE), answer("sv2", holds=True, weights=NO_WEB1))
    for at in (140, 150):
        pen.roll_call(at, answer("sv1"), answer("sv2", holds=True, weights=NO_WEB1))
    assert kinds(pen) == [(Kind.FAILOVER, "VI_1")]
    assert not any("health checker" in fact for fact in facts(told(pen)[0]))
    for at in (180, 182):
        pen.roll_call(at, answer("sv1"), answer("sv2", holds=True, weights=NO_WEB1))
    assert any("health checker" in fact for incident in told(pen) for fact in facts(incident)), "it had its time"


def test_a_real_server_that_was_down_for_a_while_is_not_told_to_be_part_of_what_clients_feel_now() -> None:
    pen = Pen().all_well(60).probe(100, "http", "web2", Outcome.UNHEALTHY, "connection refused")
    pen.check(102, "sv1", "web2", up=False).check(102, "sv2", "web2", up=False)
    out: dict[str, Any] = {"weights": NO_WEB2}
    pen.roll_call(103, answer("sv1", holds=True, **out), answer("sv2", **out))
    pen.probe(120, "http", None, Outcome.UNHEALTHY).roll_call(
        121, answer("sv1", holds=True, **out), answer("sv2", **out)
    )
    server, vip = told(pen)
    assert (server.kind, server.withdrawn, vip.kind) == (Kind.REAL_SERVER_DOWN, False, Kind.VIP_UNREACHABLE)


def test_an_interface_of_the_new_master_that_dies_soon_after_the_failover_is_news() -> None:
    pen = stopped_failover()
    for name in ("http", "dns-udp"):
        pen.probe(110, name, None, Outcome.UNHEALTHY)
    moved, vip = told(pen)
    assert (moved.kind, vip.kind) == (Kind.FAILOVER, Kind.VIP_UNREACHABLE)
    for at in (111, 117, 127):
        pen.roll_call(at, answer("sv1", **STOPPED), answer("sv2", **NO_ROUTE))
    assert kinds(pen) == [(Kind.DIRECTOR_LOST, "sv2"), (Kind.FAILOVER, "VI_1")]
    assert incident_message(of_kind(pen, Kind.DIRECTOR_LOST)).text == (
        ":red_circle: sv2 does not answer — the VIP does not answer (http and dns-udp)"
    )


def test_what_is_found_late_of_a_vip_that_fails_since_the_move_is_part_of_it() -> None:
    """sv2 took over, and cannot forward: that takes a closer look, which comes a while later."""
    pen = Pen().all_well(60).says(100, "sv2", VrrpState.MASTER).probe(101, "http", None, Outcome.UNHEALTHY)
    pen.roll_call(106, answer("sv1", **NO_ROUTE), answer("sv2", holds=True))
    broken = NatPath(ip_forward=False, conntrack=True, snat=True)
    for at in (125, 127):
        pen.roll_call(at, answer("sv1", **NO_ROUTE), answer("sv2", holds=True, nat=broken))
    (incident,) = told(pen)
    assert incident.kind is Kind.FAILOVER
    assert any("ip_forward" in fact for fact in facts(incident))


def test_a_director_that_dies_and_comes_back_unnoticed_by_clients_alone_was_never_told() -> None:
    """What nobody was told of is forgotten, unless clients felt it."""
    pen = stopped_failover()
    for name in ("http", "dns-udp"):
        pen.probe(110, name, None, Outcome.UNHEALTHY)
    pen.silent(114, "sv2")
    for at in (111, 117):
        pen.roll_call(at, answer("sv1", **STOPPED), answer("sv2", **NO_ROUTE))
    vip = told(pen)[1]
    assert vip.due(NOON + timedelta(seconds=117)), "it was told as a dead VIP: a silent agent does not take that back"
    pen.silent(119, "sv2", silent=False).roll_call(120, answer("sv1", **STOPPED), answer("sv2", holds=True))
    for name in ("http", "dns-udp"):
        pen.probe(121, name, None, Outcome.HEALTHY, "")
    assert [i.withdrawn for i in told(pen)] == [False, False]


def test_an_address_that_was_put_back_before_is_no_reason_for_what_clients_feel_now() -> None:
    """Its words are heard late, when the next thing has happened."""
    pen = Pen().all_well(60).probe(106, "http", None, Outcome.UNHEALTHY)
    for at, state in ((100, VrrpState.BACKUP), (100.6, VrrpState.MASTER)):
        pen.says(at, "sv1", state)
        pen.lines[-1] = replace(pen.lines[-1], recorded_at=NOON + timedelta(seconds=107))
    assert sorted(i.kind for i in told(pen)) == [Kind.VIP_REMOVED, Kind.VIP_UNREACHABLE]


def test_what_the_director_that_was_cut_off_cannot_reach_is_not_down() -> None:
    """Its link is down: it takes web2 out of its table, and says so when the link is back."""
    pen = Pen().all_well(60).says(102, "sv2", VrrpState.MASTER)
    pen.roll_call(103, answer("sv2", holds=True))
    pen.says(115, "sv1", VrrpState.MASTER_RX_LOWER_PRI)
    pen.check(115, "sv1", "web2", up=False)
    pen.lines[-1] = replace(pen.lines[-1], at_source=NOON + timedelta(seconds=108))
    assert kinds(pen) == [(Kind.FAILOVER, "VI_1")]


def test_of_a_director_that_is_lost_nothing_is_told_as_being_so_just_now() -> None:
    frozen = answer("sv1", holds=True, processes=processes(stopped="VRRP"))
    pen = Pen().all_well(60).says(100, "sv2", VrrpState.MASTER)
    for at in (101, 102):
        pen.roll_call(at, frozen, answer("sv2", holds=True))
    split = of_kind(pen, Kind.SPLIT_BRAIN)
    (why,) = (fact for fact in facts(split) if "stopped by a signal" in fact)
    assert headline(split).endswith(f"; {why}")
    for at in (120, 126, 136):
        pen.roll_call(at, answer("sv1", **NO_ROUTE), answer("sv2", holds=True))
    split = of_kind(pen, Kind.SPLIT_BRAIN)
    assert f"was: {why}" in facts(split)
    assert why not in facts(split)
    assert why not in headline(split)


def emptied() -> Pen:
    """web1 falls, and some seconds later somebody clears sv1's table: clients reach nobody before that is found."""
    pen = Pen().all_well(60).probe(100, "http", "web1", Outcome.UNHEALTHY, "connection refused")
    pen.check(101, "sv1", "web1", up=False).roll_call(102, answer("sv1", holds=True, weights=NO_WEB1), answer("sv2"))
    for name in ("http", "dns-udp"):
        pen.probe(111, name, None, Outcome.UNHEALTHY, "connection refused")
    for at in (112, 113):
        pen.roll_call(at, answer("sv1", holds=True, weights=(), services=()), answer("sv2"))
    return pen


def test_an_empty_table_is_why_clients_reach_nobody_and_not_a_real_server_that_fell_before() -> None:
    pen = emptied()
    down, table = told(pen)
    assert incident_message(down).text == ":large_yellow_circle: web1 is down"
    assert facts(down) == ["http: connection refused", "keepalived on sv1 took it out of http"]
    assert incident_message(table).text == (
        ":red_circle: The IPVS table on sv1 is empty, and keepalived runs — the VIP does not answer (dns-udp and http)"
    )
    assert table.also_down == ()
    pen.outage(110.8, 130)
    for name in ("http", "dns-udp"):
        pen.probe(130, name, None, Outcome.HEALTHY, "")
    pen.roll_call(131, answer("sv1", holds=True, weights=NO_WEB1), answer("sv2"))
    down, table = told(pen)
    assert (down.outages, down.open, table.open) == ((), True, False)
    assert any(fact.startswith("VIP unreachable for") for fact in facts(table))
    # A keepalived that is started again takes it to be alive until it has checked it.
    pen.says(135, "sv1", VrrpState.STOP).says(136, "sv1", VrrpState.MASTER)
    pen.roll_call(137, answer("sv1", holds=True), answer("sv2")).roll_call(
        139, answer("sv1", holds=True), answer("sv2")
    )
    assert [i.part_of for i in told(pen)][:2] == [None, None]
    words = ["the VIP of VI_1 does not answer", "the VIP answers again"]
    assert [[n.text for n in i.timeline if "VIP" in n.text] for i in (down, table)] == [[], words]


def fallen_then_moved(*failing: str) -> Pen:
    """web1 falls, clients fail, and then the MASTER's plug is pulled or keepalived stopped there."""
    pen = Pen().all_well(60).probe(100, "http", "web1", Outcome.UNHEALTHY, "connection refused")
    pen.check(101, "sv1", "web1", up=False).check(101.5, "sv2", "web1", up=False)
    pen.roll_call(102, answer("sv1", holds=True, weights=NO_WEB1), answer("sv2", weights=NO_WEB1))
    for name in failing:
        pen.probe(106, name, None, Outcome.UNHEALTHY, "no answer")
    pen.says(109, "sv2", VrrpState.MASTER)
    return pen.roll_call(110, answer("sv1", **STOPPED), answer("sv2", holds=True, weights=NO_WEB1))


def test_what_every_service_fails_by_is_the_move_and_not_the_real_server_of_one_that_fell_before() -> None:
    down, moved = told(fallen_then_moved("http", "dns-udp"))
    assert (headline(down), {t.matter for t in down.troubles}) == ("web1 is down", {Matter.REAL_SERVER})
    assert Trouble(matter=Matter.VIP, subject="VI_1") in moved.troubles
    assert moved.felt_since is None, "it is told as what it is"


def test_a_move_that_clients_need_not_feel_does_not_take_over_what_a_dead_real_server_does() -> None:
    down, moved = told(fallen_then_moved("http"))
    assert {t.matter for t in down.troubles} == {Matter.REAL_SERVER, Matter.VIP}
    assert Matter.VIP not in {t.matter for t in moved.seen}


@pytest.mark.parametrize("felt", [False, True])
def test_what_was_said_against_a_real_server_is_not_said_of_the_director_that_it_lives_inside_of(felt: bool) -> None:
    """Whoever took "it" out of a table did not take the director out."""
    pen = Pen().all_well(60).probe(101, "http", "web2", Outcome.UNHEALTHY, "no answer").silent(110, "sv2")
    pen.check(110.5, "sv1", "web2", up=False)
    if felt:
        pen.probe(110.7, "http", None, Outcome.UNHEALTHY, "refused").probe(125, "http", None, Outcome.HEALTHY, "")
    for at in (111, 116, 126):
        pen.roll_call(at, serving(True), answer("sv2", **NO_ROUTE))
    lost = of_kind(pen, Kind.DIRECTOR_LOST)
    assert [fact for fact in facts(lost) if not fact.startswith(("sv2: ", "was: http: refused", "the VIP was"))] == [
        "no word from the agent on sv2",
        "web2 went with it: inside sv2",
    ]


def test_that_nobody_is_left_to_serve_has_not_become_worse_where_clients_reach_nobody_for_long() -> None:
    pen = Pen().all_well(60).probe(100.5, "http", None, Outcome.UNHEALTHY)
    for at in (101, 107, 112):
        pen.roll_call(at, answer("sv1", **NO_ROUTE), answer("sv2", **NO_ROUTE))
    for server in ("web1", "web2"):
        pen.probe(120, "http", server, Outcome.UNHEALTHY, "no answer")
    (site,) = told(pen)
    assert Trouble(matter=Matter.SERVICE, subject="http") in site.troubles
    assert site.felt_since is None


def test_the_last_real_server_that_falls_a_while_after_the_first_is_one_new_message_with_both() -> None:
    """Clients feel it before the probes of the last one have failed often enough."""
    pen = Pen().all_well(60).probe(100, "http", "web1", Outcome.UNHEALTHY, "connection refused")
    pen.check(101, "sv1", "web1", up=False).check(101, "sv2", "web1", up=False)
    pen.roll_call(102, answer("sv1", holds=True, weights=NO_WEB1), answer("sv2", weights=NO_WEB1))
    pen.probe(113, "http", None, Outcome.UNHEALTHY, "connection refused")
    (down,) = told(pen)
    pen.probe(119, "http", "web2", Outcome.UNHEALTHY, "connection refused")
    pen.roll_call(120, answer("sv1", holds=True, weights=NO_WEB1), answer("sv2", weights=NO_WEB1))
    (empty,) = told(pen)
    assert empty.id > down.id, "a message of its own"
    assert incident_message(empty).text == ":red_circle: http has no healthy real server"
    assert "web1 and web2 are down" in facts(empty)


def test_a_real_server_that_falls_while_a_health_checker_is_frozen_did_not_go_with_it() -> None:
    """Half of its service's clients are still sent to it, and no probe of the VIP fails three times in a row."""
    frozen: dict[str, Any] = {"holds": True, "processes": processes(stopped="CHECKERS")}
    pen = Pen().all_well(60)
    for at in (100, 101):
        pen.roll_call(at, answer("sv1", **frozen), answer("sv2"))
    pen.probe(115, "http", "web1", Outcome.UNHEALTHY, "connection refused").check(116, "sv2", "web1", up=False)
    pen.roll_call(118, answer("sv1", **frozen), answer("sv2", weights=NO_WEB1))
    checker, down = told(pen)
    assert (checker.kind, checker.also_down) == (Kind.CHECKER_STOPPED, ())
    assert incident_message(down).text == ":large_yellow_circle: web1 is down"
    for at in (150, 151):
        pen.roll_call(at, answer("sv1", **frozen), answer("sv2", weights=NO_WEB1))
    checker, down = told(pen)
    assert down.open
    still = "keepalived on sv1 still sends clients of http to it: its health checker does not work"
    assert still in facts(down)
    assert not any("went with it" in fact for fact in facts(checker))


def test_what_fell_before_or_later_is_not_told_to_have_gone_with_it() -> None:
    fell = {"web1": 89.0, "web2": 101.0, "web3": 111.0}
    servers = {Trouble(matter=Matter.REAL_SERVER, subject=s): NOON + timedelta(seconds=at) for s, at in fell.items()}
    role = Trouble(matter=Matter.ROLE, subject="VI_1")
    moved_at = NOON + timedelta(seconds=100)
    incident = Incident(
        id=1, kind=Kind.FAILOVER, cluster="site", subject="VI_1", instance="VI_1", old_master="sv1", new_master="sv2",
        opened_at=moved_at, moved_at=moved_at, hold_until=moved_at, troubles=frozenset({role}), seen=frozenset({role}),
        also_down=tuple(fell), began=((role, moved_at), *servers.items()),
    )  # fmt: skip
    assert facts(incident)[-3:] == ["web2 went with it: at the same time", "web1 fell before", "web3 fell later"]


def test_that_every_second_client_failed_is_told_by_the_real_server_that_they_were_sent_to() -> None:
    """No probe of the VIP failed three times in a row, so that it counts as well all the time."""
    pen = Pen().all_well(60).probe(100, "http", "web1", Outcome.UNHEALTHY, "connection refused")
    pen.roll_call(101, answer("sv1", holds=True), answer("sv2"))
    pen.probe(142, "http", "web1", Outcome.HEALTHY, "")
    moments = dict(zip(MOMENTS, (NOON + timedelta(seconds=at) for at in (100.5, 101, 141, 141.5)), strict=True))
    probes: dict[str, Any] = {"service": "http", "real_server": None, "failed": 80, "good": 80}
    pen.at(152, OutageMeasured(cluster="site", **probes, **moments))
    (down,) = told(pen)
    assert (down.kind, down.open) == (Kind.REAL_SERVER_DOWN, False)
    assert facts(down)[0] == "VIP unreachable for 80 of 160 probes within 40.0 s"


def test_what_every_second_client_felt_before_a_move_is_not_told_by_that() -> None:
    pen = fallen_then_moved()
    moments = dict(zip(MOMENTS, (NOON + timedelta(seconds=at) for at in (99.5, 100, 104, 104.5)), strict=True))
    probes: dict[str, Any] = {"service": "http", "real_server": None, "failed": 10, "good": 9}
    pen.at(115, OutageMeasured(cluster="site", **probes, **moments))
    down, moved = told(pen)
    assert facts(down)[0] == "VIP unreachable for 10 of 19 probes within 4.0 s"
    assert "no probe of the VIP failed" in facts(moved)


def test_what_came_and_went_before_a_move_is_none_of_its_stages() -> None:
    role, at = Trouble(matter=Matter.ROLE, subject="VI_1"), NOON + timedelta(seconds=100)
    before, moved = (
        OutageMeasured(
            cluster="site", service="http", real_server=None, failed=8, good=good,
            **dict(zip(MOMENTS, (NOON + timedelta(seconds=s) for s in seconds), strict=True)),
        )
        for good, seconds in ((7, (91.0, 91.5, 94.5, 95.0)), (0, (97.0, 97.5, 101.0, 101.5)))
    )  # fmt: skip
    incident = Incident(
        id=1, kind=Kind.FAILOVER, cluster="site", subject="VI_1", instance="VI_1", old_master="sv1", new_master="sv2",
        opened_at=at, moved_at=at, hold_until=at, troubles=frozenset({role}), seen=frozenset({role}),
        outages=(before, moved), began=((role, at),),
    )  # fmt: skip
    assert incident.began_at == moved.first_bad_at
    assert [note.at for note in timeline(incident)] == [moved.last_good_at, moved.first_bad_at, moved.first_good_at]
    assert (
        facts(incident)[0]
        == "VIP unreachable for 4.0 s ± 0.5 s (8 failed probes); 8 more probes failed until 12:01:34 UTC"
    )


def test_the_plug_of_the_new_master_is_a_story_of_its_own_although_its_real_server_falls_before_that_is_known() -> None:
    """keepalived is stopped on sv1, and eight seconds after the move sv2 loses its power, with web2 inside."""
    pen = stopped_failover()
    for name in ("http", "dns-udp"):
        pen.probe(108, name, None, Outcome.UNHEALTHY, "no answer")
    pen.roll_call(109, answer("sv1", **STOPPED))
    pen.probe(111, "http", "web2", Outcome.UNHEALTHY, "no answer")
    for at in (112, 113):
        pen.roll_call(at, answer("sv1", **STOPPED))
    moved, dead = told(pen)
    assert Matter.VIP not in {t.matter for t in moved.seen}
    assert Matter.VIP in {t.matter for t in dead.troubles}
    for at in (114, 119, 129):
        pen.roll_call(at, answer("sv1", **STOPPED), answer("sv2", **NO_ROUTE))
    lost = of_kind(pen, Kind.DIRECTOR_LOST)
    assert headline(lost) == "sv2 does not answer — the VIP does not answer (http and dns-udp)"


def test_what_clients_feel_of_a_real_server_that_a_frozen_checker_leaves_in_the_table_is_later_than_both() -> None:
    """That the real server was there before clients felt it tells nothing of since when the checker is frozen."""
    web2, checker, vip = (
        Trouble(matter=matter, subject=subject)
        for matter, subject in ((Matter.REAL_SERVER, "web2"), (Matter.CHECKER, "sv1"), (Matter.VIP, "VI_1"))
    )
    began = tuple((t, NOON + timedelta(seconds=s)) for t, s in ((web2, 0), (checker, 1), (vip, 14)))
    incident = Incident(
        id=1, kind=Kind.CHECKER_STOPPED, cluster="site", subject="sv1", instance="VI_1", opened_at=NOON,
        hold_until=NOON, troubles=frozenset({web2, checker, vip}), seen=frozenset({web2, checker, vip}),
        also_down=("web2",), began=began,
    )  # fmt: skip
    assert "web2 went with it: at the same time" in facts(incident)
