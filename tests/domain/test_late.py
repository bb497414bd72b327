"""What is heard late, twice or after a look has overtaken it: each a way in which the fold once told a story wrong."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.events import BotStarted, RealServerChanged, Recorded, RollCallTaken, VrrpState
from bot.domain.findings import is_news
from bot.domain.health import Outcome
from bot.domain.incidents import Cause, Incident, Kind
from bot.domain.observed import UnitActive
from bot.domain.operations import Operations
from bot.domain.situation import Situation
from bot.flows.chronicle import World, fold
from bot.views.incident import headline, incident_message

from .reference import FLEET, NOON, SITE, WEIGHTS, Pen, answer, processes

UP, DOWN = Outcome.HEALTHY, Outcome.UNHEALTHY
NO_WEB1 = tuple(w for w in WEIGHTS if w[:2] != ("http", "web1"))


def folded(pen: Pen) -> World:
    world = World.of(FLEET)
    for line in pen.lines:
        fold(world, line, FLEET)
    return world


def told(pen: Pen) -> tuple[Incident, ...]:
    return tuple(i for i in folded(pen).incidents["site"].all if not i.withdrawn)


def known(pen: Pen) -> Situation:
    return folded(pen).situations["site"]


def said(pen: Pen, seconds: float) -> Pen:
    """*pen*, whose last line happened at *seconds* by its source's clock."""
    pen.lines[-1] = replace(pen.lines[-1], at_source=NOON + timedelta(seconds=seconds))
    return pen


def again(pen: Pen, line: Recorded, seconds: float) -> Pen:
    """*pen* with *line* heard once more at *seconds*."""
    at = NOON + timedelta(seconds=seconds)
    pen.lines.append(replace(line, sequence=len(pen.lines) + 1, recorded_at=at))
    return pen


def roll_call(pen: Pen, asked: float, at: float, *answers: object) -> Pen:
    """*pen* with answers of *at* that were asked for at *asked*."""
    pen.roll_call(at, *answers)  # type: ignore[arg-type]
    event = pen.lines[-1].event
    assert isinstance(event, RollCallTaken)
    pen.lines[-1] = replace(pen.lines[-1], event=replace(event, asked_at=NOON + timedelta(seconds=asked)))
    return pen


# --- what a director says of its role ---------------------------------------------------------------------------------


def test_a_move_that_the_old_master_itself_tells_of_is_no_brief_mistake_of_the_new_one() -> None:
    """Heard seconds later and the old MASTER first: it was BACKUP, and is MASTER again since 118.9 s."""
    before, after = processes(vrrp=11), processes(vrrp=99)
    pen = Pen().roll_call(90, answer("sv1", holds=True, processes=before), answer("sv2", processes=before))
    said(pen.says(123.0, "sv1", VrrpState.BACKUP), 115.3)
    said(pen.says(123.0, "sv1", VrrpState.MASTER), 118.9)
    said(pen.says(123.0, "sv2", VrrpState.MASTER), 118.0)
    said(pen.says(123.0, "sv2", VrrpState.BACKUP), 118.7)
    pen.roll_call(125, answer("sv1", holds=True, processes=after), answer("sv2", processes=before))
    (incident,) = told(pen)
    assert "no probe of the VIP failed" in str(incident_message(incident).blocks)
    pen.lines.insert(
        1,
        replace(pen.lines[0], event=BotStarted(version="1", runner="bot:a"), recorded_at=NOON + timedelta(seconds=122)),
    )
    (incident,) = told(pen)
    shown = str(incident_message(incident).blocks)
    assert "the bot was not running when it moved" in shown, "nobody has probed it then"
    assert "no probe" not in shown
    assert (incident.kind, incident.cause) == (Kind.FAILOVER, Cause.CHILD_DIED)
    assert headline(incident) == "VI_1: sv1 is MASTER again"


def test_a_word_that_is_heard_again_moves_nothing() -> None:
    pen = Pen().all_well(0).says(100, "sv2", VrrpState.MASTER)
    first = pen.lines[-1]
    pen.says(101, "sv2", VrrpState.BACKUP).all_well(102)
    again(pen, first, 103)
    assert known(pen).masters["VI_1"] == "sv1"
    assert known(pen).claims["sv2", "VI_1"].state is VrrpState.BACKUP


def test_a_master_that_was_asked_since_and_does_not_hold_the_address_moves_nothing() -> None:
    pen = Pen().all_well(0).all_well(105)
    said(pen.says(108, "sv2", VrrpState.MASTER), 100)
    assert known(pen).masters["VI_1"] == "sv1"


def test_a_move_that_was_overtaken_is_told_by_the_story_that_was_open_then() -> None:
    pen = Pen().all_well(0).probe(100, "http", None, DOWN, "no answer within 0.9 s").all_well(105)
    said(pen.says(108, "sv2", VrrpState.MASTER), 101)
    said(pen.says(108.1, "sv2", VrrpState.BACKUP), 103)
    pen.all_well(109).probe(110, "http", None, UP, "").all_well(111)
    (incident,) = told(pen)
    assert (incident.kind, incident.open, headline(incident)) == (Kind.FAILOVER, False, "VI_1: sv1 is MASTER again")


def test_what_was_asked_after_a_word_was_said_counts_although_the_word_is_heard_later() -> None:
    pen = Pen().all_well(0)
    said(pen.says(104, "sv2", VrrpState.MASTER), 100)
    both = (answer("sv1", holds=True), answer("sv2", holds=True))
    roll_call(pen, 102, 104.1, *both)
    roll_call(pen, 104.5, 105, *both)
    assert [i.kind for i in told(pen)] == [Kind.SPLIT_BRAIN]


@pytest.mark.parametrize("behind", [-20.0, 0.0, 20.0, 240.0])
def test_a_director_whose_clock_is_wrong_tells_of_a_move_as_soon_as_any(behind: float) -> None:
    """Nobody can look: sv1 is dead, and sv2 refuses the bot. All that tells is sv2's word."""
    refused = answer("sv2", error="its key is another one", refused=True)
    known_behind = answer("sv2", boot="b", clock_behind_s=behind)
    pen = Pen().says(0, "sv1", VrrpState.MASTER)
    pen.roll_call(1, answer("sv1", holds=True, boot="a", clock_behind_s=0.0), known_behind)
    pen.roll_call(60, answer("sv1", holds=True, boot="a", clock_behind_s=0.0), refused)
    said(pen.says(103, "sv2", VrrpState.MASTER), 103 - behind)
    assert known(pen).masters == {"VI_1": "sv2"}
    for at in (103.5, 106, 110, 140):
        pen.roll_call(at, answer("sv1", error="no route"), refused)
    moved = [i for i in told(pen) if i.kind is Kind.FAILOVER]
    assert [(i.old_master, i.new_master, i.moved_at) for i in moved] == [("sv1", "sv2", pen.lines[3].recorded_at)]
    words = [n.text for n in moved[0].timeline if "says" in n.text or "later" in n.text]
    assert not [w for w in words if "later" in w], "it was heard at once"


@pytest.mark.parametrize("behind", [-20.0, 0.0, 20.0])
def test_a_word_that_is_late_by_the_bot_s_clock_moves_nothing_whatever_the_director_s_says(behind: float) -> None:
    pen = Pen().says(0, "sv1", VrrpState.MASTER)
    pen.roll_call(1, answer("sv1", holds=True), answer("sv2", boot="b", clock_behind_s=behind))
    said(pen.says(115, "sv2", VrrpState.MASTER), 100 - behind)
    assert known(pen).masters == {"VI_1": "sv1"}


def test_a_director_whose_clock_is_ahead_does_not_live_by_what_it_said_before_it_died() -> None:
    pen = Pen().all_well(1)
    said(pen.says(100, "sv2", VrrpState.BACKUP), 103)
    for at in (101.5, 104, 108):
        pen.roll_call(at, answer("sv1", holds=True), answer("sv2", error="no route"))
    state = known(pen)
    assert (state.unreachable("sv2"), state.shut_out("sv2")) == (True, False)
    assert [i.kind for i in told(pen)] == [Kind.DIRECTOR_LOST]


def test_an_answer_that_comes_after_a_later_one_changes_nothing() -> None:
    """A closer look at sv1 took so long that sv1 was asked again, and answered, before it was recorded."""
    pen = Pen().all_well(1).says(15, "sv1", VrrpState.BACKUP).says(15, "sv2", VrrpState.MASTER)
    roll_call(pen, 20, 20.5, answer("sv1", clock_behind_s=0.0), answer("sv2", holds=True))
    before = known(pen)
    assert before.masters == {"VI_1": "sv2"}
    roll_call(pen, 10, 21, answer("sv1", holds=True, boot="b", clock_behind_s=9.0))
    assert known(pen) == before
    old = pen.lines[-1].event
    assert isinstance(old, RollCallTaken)
    assert not is_news(before, old, NOON + timedelta(seconds=21), SITE, Operations())


def test_an_answer_after_the_bot_s_clock_was_set_back_is_the_newer_one() -> None:
    pen = Pen().all_well(1000).says(1001, "sv1", VrrpState.BACKUP).says(1001, "sv2", VrrpState.MASTER)
    pen.roll_call(500, answer("sv1", boot="b"), answer("sv2", holds=True))
    assert known(pen).answers["sv1"].answer.boot == "b"


def test_a_word_that_comes_when_its_story_is_over_tells_why() -> None:
    pen = Pen().all_well(0).roll_call(102, answer("sv1"), answer("sv2", holds=True)).all_well(106)
    assert [(i.cause, i.open) for i in told(pen)] == [(Cause.UNKNOWN, False)]
    said(pen.says(109, "sv1", VrrpState.STOP), 101)
    assert [(i.cause, i.open) for i in told(pen)] == [(Cause.RESTARTED, False)]


def test_why_a_director_stood_still_is_learned_when_it_is_back_and_its_story_over() -> None:
    pen = Pen().roll_call(0, answer("sv1", holds=True, boot="a", clock_behind_s=0.1), answer("sv2"))
    pen.says(103, "sv2", VrrpState.MASTER).roll_call(104, answer("sv2", holds=True))
    event = pen.lines[-1].event
    assert isinstance(event, RollCallTaken)
    pen.lines[-1] = replace(pen.lines[-1], event=replace(event, waiting=("sv1",)))
    pen.says(112, "sv2", VrrpState.BACKUP).roll_call(113, answer("sv1", holds=True), answer("sv2")).all_well(114)
    assert [(i.cause, i.open) for i in told(pen)] == [(Cause.AWAITED, False)]
    pen.roll_call(115, answer("sv1", holds=True, boot="a", clock_behind_s=10.0))
    assert [(i.cause, i.open) for i in told(pen)] == [(Cause.PAUSED, False)]


# --- what its checks say of real servers ------------------------------------------------------------------------------


def test_a_down_that_the_table_has_overtaken_says_nothing() -> None:
    pen = Pen().all_well(0).all_well(105)
    said(pen.check(108, "sv2", "web1", up=False), 100)
    assert told(pen) == ()


def test_a_down_that_comes_late_waits_for_a_look() -> None:
    pen = said(Pen().all_well(0).check(120, "sv2", "web1", up=False), 100)
    assert told(pen) == ()
    pen.roll_call(121, answer("sv1", holds=True), answer("sv2", weights=NO_WEB1))
    assert [(i.kind, i.subject) for i in told(pen)] == [(Kind.REAL_SERVER_DOWN, "web1")]


def test_a_down_that_comes_late_is_forgotten_where_the_table_has_the_server() -> None:
    pen = said(Pen().all_well(0).check(120, "sv2", "web1", up=False), 100).all_well(121)
    pen.roll_call(150, answer("sv1", holds=True), answer("sv2", weights=NO_WEB1))
    assert told(pen) == ()


def test_a_down_that_is_heard_again_says_nothing() -> None:
    pen = Pen().all_well(0).check(100, "sv2", "web1", up=False)
    first = pen.lines[-1]
    assert isinstance(first.event, RealServerChanged)
    pen.check(105, "sv2", "web1", up=True)
    again(pen, first, 106)
    assert [i.open for i in told(pen)] == [False]


def test_a_server_that_is_missing_before_its_word_is_heard_is_no_difference() -> None:
    pen = Pen().all_well(0)
    for second in (100, 102):
        pen.roll_call(second, answer("sv1", holds=True), answer("sv2", weights=NO_WEB1))
    said(pen.check(107, "sv2", "web1", up=False), 99)
    pen.roll_call(108, answer("sv1", holds=True), answer("sv2", weights=NO_WEB1))
    assert [i.kind for i in told(pen)] == [Kind.REAL_SERVER_DOWN]


def test_a_server_that_is_missing_is_a_difference_after_twelve_seconds() -> None:
    pen = Pen().all_well(0)
    for second in (100, 102):
        pen.roll_call(second, answer("sv1", holds=True), answer("sv2", weights=NO_WEB1))
    (incident,) = told(pen)
    assert incident.kind is Kind.TABLES_DIFFER
    assert not incident.due(NOON + timedelta(seconds=113.9))
    assert incident.due(NOON + timedelta(seconds=114))


def test_nothing_is_missing_unsaid_where_nothing_that_is_said_is_heard() -> None:
    pen = Pen().all_well(0).silent(90, "sv2").all_well(91)
    for second in (100, 102):
        pen.roll_call(second, answer("sv1", holds=True), answer("sv2", weights=NO_WEB1))
    assert [i.kind for i in told(pen)] == [Kind.AGENT_SILENT]


def test_a_server_that_was_put_back_into_the_table_has_been_checked() -> None:
    """The bot's own probes may be slower than keepalived's: its checker is not to blame for having been quicker."""
    out = tuple(w for w in WEIGHTS if w[:2] != ("dns-udp", "web1"))
    pen = Pen().all_well(0).probe(100, "dns-udp", "web1", DOWN).check(100, "sv1", "web1", False, name="dns-udp")
    pen.roll_call(105, answer("sv1", holds=True, weights=out), answer("sv2", weights=out))
    for second in (160, 162):
        pen.roll_call(second, answer("sv1", holds=True), answer("sv2", weights=out))
    assert Kind.CHECKER_STOPPED not in {i.kind for i in told(pen)}


def test_what_began_in_a_story_and_is_heard_when_it_is_over_is_not_a_story_of_its_own() -> None:
    pen = Pen().all_well(0).roll_call(100, answer("sv1", active=UnitActive.FAILED), answer("sv2", holds=True))
    pen.probe(101, "http", "web1", DOWN).silent(111, "sv1").roll_call(112, answer("sv1", error="no answer"))
    pen.probe(115, "http", "web1", UP, "").silent(116, "sv1", silent=False)
    for second in (117, 118):
        pen.roll_call(second, answer("sv1", holds=True), answer("sv2", weights=NO_WEB1))
    now = NOON + timedelta(seconds=118)
    assert [(i.kind, i.open) for i in told(pen) if i.due(now)] == [(Kind.FAILOVER, False)]
    said(pen.check(119.5, "sv2", "web1", up=False), 116.8)
    pen.roll_call(120, answer("sv1", holds=True), answer("sv2", weights=NO_WEB1))
    assert [(i.kind, i.open) for i in told(pen)] == [(Kind.FAILOVER, True)]
    pen.check(125, "sv2", "web1", up=True)
    assert [(i.kind, i.open) for i in told(pen)] == [(Kind.FAILOVER, False)]
