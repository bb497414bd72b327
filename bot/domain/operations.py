"""Operator actions and overrides as folds of the journal, and what may happen to them next.

Invariants (tests/domain/test_operations.py tries them over orders and interruptions):

1. An operation is confirmed once and started once, whatever is delivered twice.
2. A step that has finished is never the next one; a step that started without finishing has an unknown outcome and is
   observed before anything is run.
3. A drain's override exists from before its first step until a restore has started.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from bot.domain.events import (
    Actor,
    Event,
    OperationCancelled,
    OperationConfirmed,
    OperationDenied,
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
)

Weights = Mapping[tuple[str, str], int]
"""By (director, service)."""


class Phase(StrEnum):
    """Where an operation stands."""

    PLANNED = "waiting for confirmation"
    CONFIRMED = "confirmed"
    RUNNING = "running"
    WAITING = "draining"
    FINISHED = "finished"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operator action, from the request to its verdict."""

    id: str
    kind: OperationKind
    cluster: str
    real_server: str
    by: Actor
    requested_at: datetime
    steps: tuple[Step, ...]
    phase: Phase = Phase.PLANNED
    channel: str | None = None
    forced: bool = False
    warnings: tuple[str, ...] = ()
    confirmed_by: Actor | None = None
    runner: str | None = None
    begun: frozenset[int] = frozenset()
    results: tuple[StepFinished, ...] = ()
    verdict: Verdict | None = None
    detail: str = ""
    ended_at: datetime | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.phase in (Phase.FINISHED, Phase.CANCELLED)

    @property
    def in_hand(self) -> bool:
        """Whether some process is to carry it on: confirmed, and not over."""
        return self.phase in (Phase.CONFIRMED, Phase.RUNNING, Phase.WAITING)

    def result(self, number: int) -> StepFinished | None:
        """What came of step *number*, or None while that is not known."""
        return next((r for r in self.results if r.step == number), None)

    def next_step(self) -> Step | None:
        """The first step that has not finished, or None."""
        return next((s for s in self.steps if self.result(s.number) is None), None)

    @property
    def failures(self) -> tuple[StepFinished, ...]:
        """The steps that did not do what they were to do."""
        return tuple(r for r in self.results if r.outcome is StepOutcome.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """What an operator wants of a real server, apart from what is healthy: weight 0 until it is restored.

    ``weights`` maps (director, service) to the weight before; ``reasserted`` counts how often it was taken back to 0.
    """

    cluster: str
    real_server: str
    by: Actor
    since: datetime
    operation: str
    weights: Weights
    reasserted: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """Every operation that matters still, and every override.

    ``owed``: (cluster, real server) -> (director, service) -> the weight that its restore could not give there.
    ``starts``: how often an operation was started (or adopted) in each cluster: who begins the next one has to know
    of all before it.
    """

    by_id: Mapping[str, Operation] = field(default_factory=dict)
    overrides: Mapping[tuple[str, str], Override] = field(default_factory=dict)
    owed: Mapping[tuple[str, str], Weights] = field(default_factory=dict)
    starts: Mapping[str, int] = field(default_factory=dict)

    def drained(self, cluster: str) -> frozenset[str]:
        """The real servers of *cluster* that are to have weight 0, whatever the tables show just now."""
        return frozenset(self.drained_by(cluster))

    def drained_by(self, cluster: str) -> dict[str, str]:
        """Those real servers of *cluster*, each with the name of who drained it."""
        return {name: override.by.name for (of, name), override in self.overrides.items() if of == cluster}

    def changed_by_another(self, operation: Operation) -> Operation | None:
        """Another operation that is changing the real server of *operation* right now, or None."""
        return next(
            (
                op
                for op in self.by_id.values()
                if op.phase is Phase.RUNNING
                and op.id != operation.id
                and (op.cluster, op.real_server) == (operation.cluster, operation.real_server)
            ),
            None,
        )

    def override(self, cluster: str, real_server: str) -> Override | None:
        """The override on *real_server*, or None."""
        return self.overrides.get((cluster, real_server))

    def owes(self, cluster: str, director: str, service: str, real_server: str) -> int:
        """The weight that *real_server* is still to get in *service* on *director* by its restore; 0: none."""
        return self.owed.get((cluster, real_server), {}).get((director, service), 0)

    def busy_with(self, cluster: str, real_server: str) -> Operation | None:
        """The operation that is changing *real_server* right now, or None; a drain that only waits does not count."""
        return next(
            (
                op
                for op in self.by_id.values()
                if (op.cluster, op.real_server) == (cluster, real_server)
                and op.phase in (Phase.CONFIRMED, Phase.RUNNING)
            ),
            None,
        )


KEPT = 200  # operations that are over stay in memory until this many newer ones exist: their messages may be edited


def fold(state: Operations, recorded: Recorded) -> Operations:
    """*state* after *recorded*; events that do not fit (a second confirmation) change nothing."""
    event = recorded.event
    match event:
        case OperationRequested():
            return _with(state, _requested(event, recorded.recorded_at))
        case OperationDenied(operation=str() as operation_id):
            return _end(state, operation_id, recorded, Phase.CANCELLED, None, event.reason)
        case OverrideSet() | OverrideCleared() | OverrideReasserted():
            overrides = _overrides(state, event, recorded.recorded_at)
            return replace(state, overrides=overrides, owed=_owed(state.owed, event))
        case RestoreCaughtUp():
            return replace(state, owed=_owed(state.owed, event))
        case OperationFinished():
            return _end(state, event.operation, recorded, Phase.FINISHED, event.verdict, event.detail)
        case OperationCancelled():
            return _end(state, event.operation, recorded, Phase.CANCELLED, None, event.reason)
        case OperationConfirmed() | OperationStarted() | StepStarted() | StepFinished():
            operation = state.by_id.get(event.operation)
            if operation is None or operation.over:
                return state
            if isinstance(event, OperationStarted):
                count = state.starts.get(operation.cluster, 0) + 1
                state = replace(state, starts={**state.starts, operation.cluster: count})
            return _with(state, _progress(operation, event))
        case _:
            return state


def _requested(event: OperationRequested, at: datetime) -> Operation:
    return Operation(
        id=event.operation,
        kind=event.kind,
        cluster=event.cluster,
        real_server=event.real_server,
        by=event.by,
        requested_at=at,
        steps=event.steps,
        channel=event.channel,
        forced=event.forced,
        warnings=event.warnings,
    )


def _progress(
    operation: Operation, event: OperationConfirmed | OperationStarted | StepStarted | StepFinished
) -> Operation:
    match event:
        case OperationConfirmed():
            if operation.phase is not Phase.PLANNED:
                return operation
            return replace(operation, phase=Phase.CONFIRMED, confirmed_by=event.by, runner=event.runner)
        case OperationStarted():
            if operation.phase is Phase.CONFIRMED:
                operation = replace(operation, phase=Phase.RUNNING, steps=event.steps)
            return _waiting(replace(operation, runner=event.runner))
        case StepStarted():
            return replace(operation, begun=operation.begun | {event.step})
        case StepFinished():
            if operation.result(event.step):
                return operation
            return _waiting(replace(operation, results=(*operation.results, event)))


def _waiting(operation: Operation) -> Operation:
    """A drain whose steps are all done waits for its connections to end."""
    if operation.kind is OperationKind.DRAIN and operation.next_step() is None and operation.phase is Phase.RUNNING:
        return replace(operation, phase=Phase.WAITING)
    return operation


def _end(
    state: Operations, operation_id: str, recorded: Recorded, phase: Phase, verdict: Verdict | None, detail: str
) -> Operations:
    operation = state.by_id.get(operation_id)
    if operation is None or operation.over:
        return state
    ended = replace(operation, phase=phase, verdict=verdict, detail=detail, ended_at=recorded.recorded_at)
    return _with(state, ended)


def _with(state: Operations, operation: Operation) -> Operations:
    by_id = {**state.by_id, operation.id: operation}
    if len(by_id) > KEPT:
        oldest = next((key for key, op in by_id.items() if op.over), None)
        if oldest is not None:
            del by_id[oldest]
    return replace(state, by_id=by_id)


def _overrides(state: Operations, event: Event, at: datetime) -> Mapping[tuple[str, str], Override]:
    overrides = state.overrides
    match event:
        case OverrideSet():
            key = (event.cluster, event.real_server)
            before = overrides.get(key)
            # A drain that is repeated finds weight 0 where the first left it: what counts is the weight before that.
            # So does one where the restore before it did not get to.
            found = {(director, service): weight for director, service, weight in event.weights}
            owed = state.owed.get(key, {})
            return {
                **overrides,
                key: Override(
                    cluster=event.cluster,
                    real_server=event.real_server,
                    by=event.by,
                    since=before.since if before else at,
                    operation=event.operation,
                    weights={**found, **owed, **(before.weights if before else {})},
                    reasserted=before.reasserted if before else 0,
                ),
            }
        case OverrideCleared():
            return {k: v for k, v in overrides.items() if k != (event.cluster, event.real_server)}
        case OverrideReasserted(error=None):
            key = (event.cluster, event.real_server)
            override = overrides.get(key)
            if override is None:
                return overrides
            return {**overrides, key: replace(override, reasserted=override.reasserted + 1)}
        case _:
            return overrides


def _owed(owed: Mapping[tuple[str, str], Weights], event: Event) -> Mapping[tuple[str, str], Weights]:
    match event:
        case OverrideSet() | OverrideCleared():
            left = {k: v for k, v in owed.items() if k != (event.cluster, event.real_server)}
            if isinstance(event, OverrideCleared) and event.owed:
                left[event.cluster, event.real_server] = {(of, service): weight for of, service, weight in event.owed}
            return left
        case RestoreCaughtUp(error=None):
            key, given = (event.cluster, event.real_server), (event.director, event.service)
            rest = {**owed, key: {place: weight for place, weight in owed.get(key, {}).items() if place != given}}
            return {k: weights for k, weights in rest.items() if weights}
        case _:
            return owed
