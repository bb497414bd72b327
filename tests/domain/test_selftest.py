"""A self-test's verdict: only what was measured, with its margin where two clocks meet, and where an event was lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from bot.domain.events import Actor, Event, Recorded, SelfTestFinished, SelfTestHeard, SelfTestStarted, Via
from bot.domain.selftest import (
    KEPT,
    SLACK,
    Ending,
    Exchange,
    SelfTest,
    SelfTests,
    Stage,
    Trace,
    apart,
    fold,
    next_at,
    verdict,
)

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ALICE = Actor(id="U0ALICE", name="alice", via=Via.SLACK)


def at(milliseconds: float) -> datetime:
    """By the bot's clock."""
    return NOON + timedelta(milliseconds=milliseconds)


def there(milliseconds: float, ahead: float = 7000.0) -> datetime:
    """By the clock of a director that is ahead."""
    return at(milliseconds + ahead)


def heard(milliseconds: float, received: float, director: str = "sv1", ahead: float = 7000.0) -> SelfTestHeard:
    return SelfTestHeard(
        cluster="site", director=director, test="t", written_at=there(milliseconds, ahead), received_at=at(received)
    )


THROUGH = Trace(
    director="sv1",
    exchanges=(Exchange(asked_at=at(0), theirs=there(6), answered_at=at(10)),),
    command_s=0.050,
    written_at=there(100),
    heard=heard(100.5, 104),
    durable_at=at(106.25),
)
POSTED = Ending(stage=Stage.POSTED, from_at=at(106.25), to_at=at(140))


def test_every_stage_that_was_measured_is_told_in_milliseconds() -> None:
    found = verdict("site", "t", [THROUGH], POSTED, waited_s=20)
    assert found.failed == ()
    assert {(who, stage): ms for who, stage, ms in found.stages} == {
        ("sv1", Stage.COMMAND): 50,
        ("sv1", Stage.READ): 0.5,
        # The clock is ahead by 6996.5 (the line cannot have come before it was read) to 7006 ms.
        ("sv1", Stage.RECEIVED): 4.75,
        ("sv1", Stage.JOURNALLED): 2.25,
        (SLACK, Stage.POSTED): 33.75,
    }
    assert found.margins == (("sv1", Stage.RECEIVED, 4.75),)


@given(
    ahead=st.floats(-1e6, 1e6),
    ways=st.lists(st.tuples(st.floats(0, 500), st.floats(0, 500)), min_size=1, max_size=4),
    took=st.floats(0, 1000),
)
def test_the_truth_lies_within_the_margin(ahead: float, ways: list[tuple[float, float]], took: float) -> None:
    moment, exchanges = 0.0, []
    for out, back in ways:
        exchanges.append(
            Exchange(asked_at=at(moment), theirs=there(moment + out, ahead), answered_at=at(moment + out + back))
        )
        moment += out + back
    event = heard(moment, moment + took, ahead=ahead)
    found = verdict("site", "t", [replace(THROUGH, exchanges=tuple(exchanges), heard=event)], POSTED, waited_s=20)
    told = {stage: ms for _, stage, ms in found.stages}[Stage.RECEIVED]
    margin = {stage: ms for _, stage, ms in found.margins}.get(Stage.RECEIVED, 0.0)
    assert abs(told - took) <= margin + 0.01
    assert told >= -0.01
    assert margin <= min(out + back for out, back in ways) / 2 + 0.01


def test_a_clock_that_was_set_in_between_is_not_guessed_at() -> None:
    contradiction = Exchange(asked_at=at(20), theirs=at(25), answered_at=at(30))
    trace = replace(THROUGH, exchanges=(*THROUGH.exchanges, contradiction))
    assert apart(trace) is None
    found = verdict("site", "t", [trace], POSTED, waited_s=20)
    assert Stage.RECEIVED not in {stage for _, stage, _ in found.stages}
    assert found.failed == ()


def test_a_director_whose_clock_was_never_read_has_no_number_that_crosses_clocks() -> None:
    found = verdict("site", "t", [replace(THROUGH, exchanges=())], POSTED, waited_s=20)
    assert {stage for _, stage, _ in found.stages} == {Stage.COMMAND, Stage.READ, Stage.JOURNALLED, Stage.POSTED}


def test_what_was_lost_says_where_and_what_to_look_at() -> None:
    silent = Trace(director="sv1", written_at=there(100), hint="Its agent was last heard 2 s ago")
    refused = Trace(director="sv2", problem="sudo: a password is required; install the file")
    hangs = Trace(director="sv3")
    found = verdict("site", "t", [silent, refused, hangs], Ending(stage=Stage.POSTED), waited_s=20)
    assert found.stages == ()
    why = (
        "it was written into the FIFO, and nothing came to the webhook within 20 s. Its agent was last heard 2 s ago. "
        "Look at `lvs-agent status` and `journalctl -u lvs-agent` on sv1"
    )
    assert found.failed == (
        ("sv1", why),
        ("sv2", "sudo: a password is required; install the file"),
        ("sv3", "the command over SSH did not end within 20 s; look at the director's load"),
    )


def test_an_event_that_came_is_not_lost_whatever_became_of_the_command() -> None:
    trace = Trace(director="sv1", heard=heard(1, 2), durable_at=at(3), problem="the answer was lost")
    assert verdict("site", "t", [trace], POSTED, waited_s=20).failed == ()


def test_slack_is_a_place_where_it_can_be_lost_too() -> None:
    ending = Ending(stage=Stage.POSTED, from_at=at(0), problem="its message was not in Slack after 20 s")
    found = verdict("site", "t", [THROUGH], ending, waited_s=20)
    assert found.failed == ((SLACK, "its message was not in Slack after 20 s"),)
    assert SLACK not in {who for who, _, _ in found.stages}


def test_a_trace_is_over_when_nothing_more_can_come_of_it() -> None:
    trace = Trace(director="sv1")
    assert not trace.over
    assert not replace(trace, written_at=NOON).over
    assert not replace(trace, heard=heard(1, 2)).over, "the command's own answer is still to come"
    assert replace(trace, written_at=NOON, heard=heard(1, 2)).over
    assert replace(trace, problem="sudo").over
    assert not replace(trace, problem="the answer was lost", may_have_run=True).over
    assert replace(trace, problem="the answer was lost", may_have_run=True, heard=heard(1, 2)).over


# --- the fold -------------------------------------------------------------------------------------------------------


def told(*events: Event, state: SelfTests | None = None) -> SelfTests:
    state = state or SelfTests()
    for number, event in enumerate(events):
        moment = NOON + timedelta(seconds=number)
        state = fold(state, Recorded(sequence=number + 1, recorded_at=moment, at_source=moment, event=event))
    return state


def started(test: str, by: Actor | None = ALICE, cluster: str = "site") -> SelfTestStarted:
    return SelfTestStarted(cluster=cluster, test=test, by=by, channel="C0SITE" if by else None)


def finished(test: str, *failed: tuple[str, str]) -> SelfTestFinished:
    return SelfTestFinished(cluster="site", test=test, failed=failed)


def test_a_test_is_told_to_whoever_asked_for_it() -> None:
    state = told(started("t"), SelfTestHeard(cluster="site", director="sv1", test="t", written_at=NOON), finished("t"))
    test = state.by_id["t"]
    assert test.heard == ("sv1",)
    assert test.passed
    assert test.worth_telling
    assert state.scheduled_at == {}


def test_the_clocks_own_test_is_told_only_where_it_failed_and_when_it_works_again() -> None:
    state = told(
        started("a", by=None),
        finished("a"),
        started("b", by=None),
        finished("b", ("sv1", "lost")),
        started("c", by=None),
        finished("c"),
        started("d", by=None),
        finished("d"),
    )
    assert [test.worth_telling for test in state.by_id.values()] == [False, True, True, False]
    assert state.scheduled_at == {"site": NOON + timedelta(seconds=6)}


def test_an_event_that_comes_too_late_is_noted_and_one_of_an_unknown_test_is_not() -> None:
    late = SelfTestHeard(cluster="site", director="sv1", test="t", written_at=NOON)
    state = told(started("t"), finished("t", ("sv1", "lost")), late, late, replace(late, test="other"))
    assert state.by_id["t"].heard == ("sv1",)
    assert not state.by_id["t"].passed
    assert list(state.by_id) == ["t"]


def test_one_cluster_has_one_test_at_a_time_unless_nobody_sees_it_through() -> None:
    state = told(started("t"), started("u", cluster="other"))
    found = state.under_way("site", since=NOON)
    assert isinstance(found, SelfTest)
    assert found.id == "t"
    assert state.under_way("site", since=NOON + timedelta(seconds=1)) is None
    assert told(finished("t"), state=state).under_way("site", since=NOON) is None


def test_no_more_than_the_last_tests_are_remembered() -> None:
    state = told(*(started(str(number)) for number in range(3 * KEPT)))
    assert list(state.by_id) == [str(number) for number in range(2 * KEPT, 3 * KEPT)]


def test_however_many_clusters_are_tested_at_once_each_test_is_seen_through() -> None:
    state = told(*(started(f"t{number}", by=None, cluster=f"c{number}") for number in range(3 * KEPT)))
    lost = SelfTestFinished(cluster="c0", test="t0", failed=(("sv1", "lost"),))
    assert told(lost, state=state).by_id["t0"].worth_telling


def test_a_scheduled_test_is_due_an_interval_after_the_last_also_of_an_earlier_life() -> None:
    day = 86400.0
    assert next_at(None, day, now=NOON, settle_s=60) == NOON + timedelta(seconds=60)
    assert next_at(NOON - timedelta(hours=1), day, now=NOON, settle_s=60) == NOON + timedelta(hours=23)
    assert next_at(NOON - timedelta(days=9), day, now=NOON, settle_s=60) == NOON + timedelta(seconds=60)
