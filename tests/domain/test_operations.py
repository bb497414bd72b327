"""Operations: folds that survive duplicates and interruptions at every step."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from bot.domain.events import (
    Actor,
    Event,
    OperationCancelled,
    OperationConfirmed,
    OperationFinished,
    OperationKind,
    OperationRequested,
    OperationStarted,
    OverrideCleared,
    OverrideReasserted,
    OverrideSet,
    Recorded,
    RestoreCaughtUp,
    Step,
    StepFinished,
    StepOutcome,
    StepStarted,
    Verdict,
    Via,
)
from bot.domain.operations import Operation, Operations, Phase, fold

from .reference import NOON

ALICE = Actor(id="U0ALICE", name="alice", via=Via.SLACK)


def steps(count: int = 2) -> tuple[Step, ...]:
    return tuple(
        Step(number=n, director=f"sv{n}", service="http", argv=("ipvsadm", str(n)), before=1, after=0)
        for n in range(1, count + 1)
    )


def requested(operation: str = "op1", kind: OperationKind = OperationKind.DRAIN) -> OperationRequested:
    return OperationRequested(
        operation=operation, kind=kind, cluster="site", real_server="web1", by=ALICE, steps=steps()
    )


def finished(number: int, outcome: StepOutcome = StepOutcome.DONE) -> StepFinished:
    return StepFinished(operation="op1", step=number, outcome=outcome, weight=0)


WEIGHTS = (("sv1", "http", 5), ("sv2", "http", 5))
STORY: tuple[Event, ...] = (
    requested(),
    OperationConfirmed(operation="op1", by=ALICE, runner="bot"),
    OperationStarted(operation="op1", runner="bot", steps=steps()),
    OverrideSet(cluster="site", real_server="web1", operation="op1", by=ALICE, weights=WEIGHTS),
    StepStarted(operation="op1", step=1),
    finished(1),
    StepStarted(operation="op1", step=2),
    finished(2),
    OperationFinished(operation="op1", verdict=Verdict.DRAINED),
)


def after(*events: Event) -> Operations:
    state = Operations()
    for sequence, event in enumerate(events, 1):
        at = NOON + timedelta(seconds=sequence)
        state = fold(state, Recorded(sequence=sequence, recorded_at=at, at_source=at, event=event))
    return state


def op(state: Operations) -> Operation:
    return state.by_id["op1"]


def test_a_drain_goes_through_its_phases() -> None:
    phases = [op(after(*STORY[:n])).phase for n in range(1, len(STORY) + 1)]
    assert phases == [
        Phase.PLANNED,
        Phase.CONFIRMED,
        Phase.RUNNING,
        Phase.RUNNING,
        Phase.RUNNING,
        Phase.RUNNING,
        Phase.RUNNING,
        Phase.WAITING,
        Phase.FINISHED,
    ]


@given(st.lists(st.integers(0, len(STORY) - 1), max_size=6))
def test_what_is_delivered_twice_changes_nothing(again: list[int]) -> None:
    events: list[Event] = []
    for number, event in enumerate(STORY):
        events.append(event)
        events += [STORY[i] for i in again if 0 < i <= number]
    assert op(after(*events)).phase is Phase.FINISHED
    assert op(after(*events)).results == op(after(*STORY)).results


@given(st.integers(3, len(STORY) - 1))
def test_an_interruption_anywhere_never_makes_a_finished_step_the_next_one(cut: int) -> None:
    state = op(after(*STORY[:cut]))
    following = state.next_step()
    assert following is None or state.result(following.number) is None
    assert state.in_hand


def test_a_cancelled_operation_cannot_be_confirmed_any_more() -> None:
    state = after(
        requested(),
        OperationCancelled(operation="op1", by=ALICE, reason="called off"),
        OperationConfirmed(operation="op1", by=ALICE, runner="bot"),
    )
    assert op(state).phase is Phase.CANCELLED


def test_a_drain_is_an_override_until_it_is_cleared_and_remembers_the_first_weights() -> None:
    again = OverrideSet(
        cluster="site", real_server="web1", operation="op2", by=ALICE, weights=(("sv1", "http", 0), ("sv3", "http", 2))
    )
    state = after(*STORY, again)
    override = state.override("site", "web1")
    assert override is not None
    assert override.operation == "op2"
    assert override.weights == {("sv1", "http"): 5, ("sv2", "http"): 5, ("sv3", "http"): 2}
    cleared = after(*STORY, OverrideCleared(cluster="site", real_server="web1", operation="op3", by=ALICE))
    assert cleared.override("site", "web1") is None


def forced(*owed: tuple[str, str, int]) -> OverrideCleared:
    return OverrideCleared(cluster="site", real_server="web1", operation="op3", by=ALICE, owed=owed)


def caught_up(director: str, error: str | None = None) -> RestoreCaughtUp:
    return RestoreCaughtUp(cluster="site", real_server="web1", director=director, service="http", found=0, error=error)


def test_what_a_restore_owes_is_owed_until_it_is_given() -> None:
    restore = forced(("sv1", "http", 5), ("sv2", "http", 3))
    state = after(*STORY, restore, caught_up("sv1", "refused"))
    assert [state.owes("site", name, "http", "web1") for name in ("sv1", "sv2", "sv3")] == [5, 3, 0]
    assert state.owes("site", "sv1", "http", "web2") == 0
    state = after(*STORY, restore, caught_up("sv1"))
    assert [state.owes("site", name, "http", "web1") for name in ("sv1", "sv2")] == [0, 3]
    assert after(*STORY, restore, caught_up("sv1"), caught_up("sv2"), caught_up("sv2")).owed == {}
    assert after(*STORY, restore, forced()).owed == {}, "a restore that got everywhere owes nothing"


def test_a_drain_ends_what_is_owed_and_remembers_it_as_the_weight_before() -> None:
    again = OverrideSet(cluster="site", real_server="web1", operation="op4", by=ALICE, weights=(("sv1", "http", 0),))
    state = after(*STORY, forced(("sv1", "http", 5)), again)
    assert state.owed == {}
    override = state.override("site", "web1")
    assert override is not None
    assert override.weights == {("sv1", "http"): 5}


def test_a_reassertion_is_counted_only_where_it_worked() -> None:
    def reasserted(error: str | None) -> OverrideReasserted:
        return OverrideReasserted(
            cluster="site", real_server="web1", director="sv1", service="http", found=1, error=error
        )

    override = after(*STORY, reasserted(None), reasserted("refused")).override("site", "web1")
    assert override is not None
    assert override.reasserted == 1


def test_a_real_server_is_busy_while_weights_are_being_set_and_free_while_it_only_drains() -> None:
    assert after(*STORY[:5]).busy_with("site", "web1") is not None
    assert after(*STORY[:8]).busy_with("site", "web1") is None
