"""A story that goes on: what was found in it before tells nothing of what is so now, nor of why it moved this time."""

from __future__ import annotations

from bot.domain.events import VrrpState
from bot.domain.health import Outcome
from bot.domain.incidents import Cause, Incident, Kind, Matter
from bot.domain.observed import UnitActive
from bot.views.incident import facts, headline, incident_message
from tests.domain.test_removed import told

from .reference import WEIGHTS, Pen, answer, processes

BEFORE, AFTER = processes(vrrp=11), processes(vrrp=99)


def killed() -> Pen:
    """keepalived's VRRP process dies on sv1 and is started again; sv2 has the address for some seconds."""
    pen = Pen().roll_call(60, answer("sv1", holds=True, processes=BEFORE), answer("sv2", processes=BEFORE))
    pen.says(100, "sv1", VrrpState.BACKUP)
    pen.roll_call(101, answer("sv1", processes=AFTER), answer("sv2", processes=BEFORE))
    pen.roll_call(102, answer("sv1", processes=AFTER), answer("sv2", processes=BEFORE))
    return pen.says(103.4, "sv2", VrrpState.MASTER)


def moved(pen: Pen) -> Pen:
    return pen.roll_call(105, answer("sv1", processes=AFTER), answer("sv2", holds=True, processes=BEFORE))


def returned(pen: Pen) -> Pen:
    pen.says(108, "sv1", VrrpState.MASTER).says(108.1, "sv2", VrrpState.BACKUP)
    return pen.roll_call(109, answer("sv1", holds=True, processes=AFTER), answer("sv2", processes=BEFORE))


def only(incidents: tuple[Incident, ...]) -> Incident:
    (incident,) = incidents
    return incident


def test_a_director_that_dies_soon_after_its_process_did_is_told_to_have_died() -> None:
    pen = returned(moved(killed()))
    assert (only(told(pen)).cause, only(told(pen)).open) == (Cause.CHILD_DIED, False)
    pen.says(123, "sv2", VrrpState.MASTER)
    pen.roll_call(130, answer("sv1", error="no route to host"), answer("sv2", holds=True, processes=BEFORE))
    first, incident = told(pen)
    assert (first.cause, first.open) == (Cause.CHILD_DIED, False), "that story is over, and is not this one"
    assert (incident.kind, incident.open, incident.cause) == (Kind.FAILOVER, True, Cause.DIED)
    assert headline(incident) == "VI_1 failed over: sv1 → sv2 (unplanned: sv1 does not answer)"
    assert not any("started again" in fact for fact in facts(incident))
    assert not any("started again" in note.text for note in incident.timeline)


def test_a_move_that_is_taken_back_at_once_goes_on_when_it_is_made_again() -> None:
    pen = returned(moved(killed()))
    ended = only(told(pen)).resolved_at
    assert ended is not None
    pen.says(112, "sv2", VrrpState.MASTER)
    pen.roll_call(120, answer("sv1", error="no route to host"), answer("sv2", holds=True, processes=BEFORE))
    incident = only(told(pen))
    assert (incident.open, incident.cause, incident.changes) == (True, Cause.DIED, 1)
    assert not any("started again" in fact for fact in facts(incident)), "what was found before tells nothing of this"
    assert any("started again" in note.text for note in incident.timeline), "the timeline has it"


def test_what_was_measured_of_one_move_is_not_told_of_the_next() -> None:
    pen = returned(moved(killed().outage(101, 103.5))).says(123, "sv2", VrrpState.MASTER)
    pen.roll_call(130, answer("sv1", error="no route to host"), answer("sv2", holds=True, processes=BEFORE))
    first, second = told(pen)
    assert (len(first.outages), second.outages) == (1, ())
    pen.outage(121, 124)
    first, second = told(pen)
    assert (len(first.outages), len(second.outages)) == (1, 1)


def test_what_was_measured_late_is_told_of_the_move_that_made_it() -> None:
    pen = returned(moved(killed())).says(123, "sv2", VrrpState.MASTER)
    pen.roll_call(130, answer("sv1", error="no route to host"), answer("sv2", holds=True, processes=BEFORE))
    pen.outage(101, 103.5)
    first, second = told(pen)
    assert (len(first.outages), second.outages) == (1, ())


def test_what_went_with_a_director_that_died_did_not_go_with_the_next_move() -> None:
    pen = Pen().roll_call(60, answer("sv1", holds=True, processes=BEFORE), answer("sv2", processes=BEFORE))
    pen.says(100, "sv2", VrrpState.MASTER).probe(101, "http", "web1", Outcome.UNHEALTHY, "no answer")
    pen.roll_call(110, answer("sv1", error="no route to host"), answer("sv2", holds=True, processes=BEFORE))
    assert "web1 went with it: inside sv1" in facts(only(told(pen)))
    pen.probe(125, "http", "web1", Outcome.HEALTHY, "").says(130, "sv1", VrrpState.MASTER)
    pen.says(130.1, "sv2", VrrpState.BACKUP)
    pen.roll_call(132, answer("sv1", holds=True, processes=BEFORE), answer("sv2", processes=BEFORE))
    assert not only(told(pen)).open
    frozen = answer("sv1", holds=True, processes=processes(vrrp=11, stopped="VRRP"))
    pen.says(150, "sv2", VrrpState.MASTER)
    for at in (151, 152):
        pen.roll_call(at, frozen, answer("sv2", holds=True, processes=BEFORE))
    _, incident = told(pen)
    assert (incident.kind, incident.open) == (Kind.SPLIT_BRAIN, True)
    assert not any("web1" in fact for fact in facts(incident))


def test_what_is_so_no_more_is_told_as_what_was() -> None:
    pen = killed()
    vacant = "the address of VI_1 is held by no director"
    assert vacant in facts(only(told(pen))), "two looks have found it nowhere"
    incident = only(told(moved(pen)))
    assert incident.open
    assert f"was: {vacant}" in facts(incident)
    assert vacant not in facts(incident)


def test_what_is_worded_otherwise_now_was_so() -> None:
    pen = Pen().all_well(60).probe(100, "http", "web2", Outcome.UNHEALTHY, "connection refused")
    pen.all_well(101).probe(110, "dns-udp", "web2", Outcome.UNHEALTHY, "no answer within 0.9 s")
    pen.probe(120, "http", "web2", Outcome.HEALTHY, "")
    incident = only(told(pen))
    assert incident.open
    assert facts(incident) == ["was: http: connection refused", "dns-udp: no answer within 0.9 s"]


def test_what_befalls_one_that_is_well_again_and_fails_again_is_as_it_is() -> None:
    pen = Pen().all_well(60).probe(100, "http", "web2", Outcome.UNHEALTHY, "connection refused").all_well(101)
    pen.probe(110, "http", "web2", Outcome.HEALTHY, "")
    assert facts(only(told(pen))) == ["was: http: connection refused"]
    pen.probe(130, "http", "web2", Outcome.UNHEALTHY, "connection refused")
    assert facts(only(told(pen))) == ["http: connection refused"]


# --- what clients feel, long after something that they did not feel ------------------------------------------------


NO_WEB1 = tuple(w for w in WEIGHTS if w[:2] != ("http", "web1"))
NO_WEB2 = tuple(w for w in WEIGHTS if w[:2] != ("http", "web2"))


def backup_lost() -> Pen:
    """sv2, which is no MASTER, dies with web2 inside of it; clients feel that until web2 is out of the table."""
    pen = Pen().roll_call(60, answer("sv1", holds=True), answer("sv2"))
    pen.probe(101, "http", "web2", Outcome.UNHEALTHY, "no answer").probe(102, "http", None, Outcome.UNHEALTHY)
    pen.probe(108, "http", None, Outcome.HEALTHY, "").check(108, "sv1", "web2", up=False)
    for at in (110, 116, 126):
        pen.roll_call(at, answer("sv1", holds=True, weights=NO_WEB2), answer("sv2", error="no route to host"))
    return pen


def kinds(pen: Pen) -> list[tuple[Kind, str]]:
    return sorted((i.kind, i.subject) for i in told(pen) if i.open)


def test_a_keepalived_that_is_stopped_while_the_backup_is_lost_is_the_story_of_the_dead_vip() -> None:
    pen = backup_lost()
    assert kinds(pen) == [(Kind.DIRECTOR_LOST, "sv2")]
    _stopped(pen, 150)


def test_so_it_is_just_after_the_loss_of_the_backup_was_told_for_that_was_earlier() -> None:
    pen = backup_lost()
    del pen.lines[-1]
    _stopped(pen, 118)


def _stopped(pen: Pen, at: float) -> None:
    pen.says(at, "sv1", VrrpState.STOP)
    stopped = answer("sv1", active=UnitActive.INACTIVE, weights=(), services=())
    for vip_first in (True, False):
        night = Pen(lines=list(pen.lines))
        if vip_first:
            night.probe(at + 0.9, "http", None, Outcome.UNHEALTHY)
        night.roll_call(at + 1, stopped, answer("sv2", error="no route to host"))
        night.roll_call(at + 2, stopped, answer("sv2", error="no route to host"))
        if not vip_first:
            night.probe(at + 2.5, "http", None, Outcome.UNHEALTHY)
        assert kinds(night) == [(Kind.DIRECTOR_LOST, "sv2"), (Kind.KEEPALIVED_STOPPED, "sv1")]
        lost, dead = sorted(told(night), key=lambda i: i.id)
        assert {t.matter for t in dead.troubles} >= {Matter.UNIT, Matter.VIP}
        assert incident_message(dead).text.startswith(":red_circle:")
        assert not incident_message(lost).text.startswith(":red_circle:")


def test_the_last_real_server_that_falls_while_the_backup_is_lost_is_news_and_did_not_go_with_it() -> None:
    pen = backup_lost().probe(150, "http", "web1", Outcome.UNHEALTHY, "connection refused")
    pen.probe(150.5, "http", None, Outcome.UNHEALTHY)
    pen.roll_call(152, answer("sv1", holds=True, weights=NO_WEB2), answer("sv2", error="no route to host"))
    none = tuple(w for w in NO_WEB2 if w[0] != "http")
    pen.check(153, "sv1", "web1", up=False)
    pen.roll_call(168, answer("sv1", holds=True, weights=none), answer("sv2", error="no route to host"))
    assert kinds(pen) == [(Kind.DIRECTOR_LOST, "sv2"), (Kind.SERVICE_DOWN, "http")]
    lost = next(i for i in told(pen) if i.kind is Kind.DIRECTOR_LOST)
    assert not any("web1" in fact for fact in facts(lost))


def test_a_vip_that_fails_long_after_a_failover_is_a_story_of_its_own() -> None:
    pen = Pen().all_well(60).says(100, "sv2", VrrpState.MASTER)
    pen.roll_call(110, answer("sv1", error="no route to host"), answer("sv2", holds=True))
    pen.probe(104, "http", None, Outcome.HEALTHY, "").probe(150, "http", None, Outcome.UNHEALTHY)
    assert kinds(pen) == [(Kind.VIP_UNREACHABLE, "VI_1"), (Kind.FAILOVER, "VI_1")]


def failed_over() -> Pen:
    """sv1 is dead, with web1 inside of it, and sv2 serves."""
    pen = Pen().all_well(60).says(100, "sv2", VrrpState.MASTER)
    pen.probe(101, "http", "web1", Outcome.UNHEALTHY, "no answer").check(106, "sv2", "web1", up=False)
    return pen.roll_call(110, answer("sv1", error="no route to host"), answer("sv2", holds=True, weights=NO_WEB1))


def test_the_last_real_server_that_falls_after_a_failover_is_news_and_did_not_go_with_it() -> None:
    pen = failed_over().probe(130, "http", None, Outcome.UNHEALTHY).probe(131, "http", "web2", Outcome.UNHEALTHY)
    pen.check(132, "sv2", "web2", up=False)
    none = tuple(w for w in WEIGHTS if w[0] != "http")
    for at in (132, 150):
        pen.roll_call(at, answer("sv1", error="no route to host"), answer("sv2", holds=True, weights=none))
    assert kinds(pen) == [(Kind.FAILOVER, "VI_1"), (Kind.SERVICE_DOWN, "http")]
    moved, dead = told(pen)
    assert moved.also_down == ("web1",)
    assert incident_message(dead).text == ":red_circle: http has no healthy real server"
    assert not incident_message(moved).text.startswith(":red_circle:")


def test_what_becomes_of_the_new_master_is_a_story_of_its_own() -> None:
    pen = failed_over()
    frozen = answer("sv2", holds=True, weights=NO_WEB1, processes=processes(stopped="VRRP"))
    for at in (130, 132):
        pen.roll_call(at, answer("sv1", error="no route to host"), frozen)
    assert kinds(pen) == [(Kind.FAILOVER, "VI_1"), (Kind.KEEPALIVED_FROZEN, "sv2")]


def test_what_becomes_of_the_old_master_is_its_story() -> None:
    pen = Pen().all_well(60).says(100, "sv1", VrrpState.STOP).says(100.7, "sv2", VrrpState.MASTER)
    stopped = answer("sv1", active=UnitActive.INACTIVE, weights=(), services=())
    pen.roll_call(101, stopped, answer("sv2", holds=True))
    for at in (150, 160):
        pen.roll_call(at, answer("sv1", error="no route to host"), answer("sv2", holds=True))
    pen.probe(151, "http", "web1", Outcome.UNHEALTHY, "no answer")
    assert kinds(pen) == [(Kind.FAILOVER, "VI_1")]
