"""/lvs drain and /lvs restore: observe, plan, confirm, observe again, execute everywhere, judge by the tables."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from bot.domain.commands import Command, Verb
from bot.domain.draining import counted, emptied, hinders, weighted
from bot.domain.events import (
    Actor,
    OperationCancelled,
    OperationConfirmed,
    OperationDenied,
    OperationFinished,
    OperationKind,
    OperationRequested,
    OperationStarted,
    OverrideCleared,
    OverrideSet,
    Step,
    StepFinished,
    StepOutcome,
    StepStarted,
    Verdict,
)
from bot.domain.fleet import Cluster, NotFound, RealServer, VirtualService
from bot.domain.observed import IpvsDestination, IpvsTable, destination_of, key_of
from bot.domain.operations import Operation, Phase
from bot.domain.plans import NothingToDo, Plan, Refusal, plan_drain, plan_restore, still_holds
from bot.domain.policy import Denied, Roles, decide
from bot.flows.chronicle import Chronicle
from bot.flows.observing import CommandFailed, observe_all, observe_to_change, read_table
from bot.flows.ports import Clock, Entry, OutcomeUnknown, RemoteShell, ShellError
from bot.lvs import ipvsadm
from bot.lvs.errors import Unreadable

log = structlog.get_logger(__name__)

PLANS_HOLD = timedelta(minutes=30)  # how old a plan may be when it is confirmed
STARTS_TRIED = 5  # how often others of the cluster may begin while one looks

KINDS = {Verb.DRAIN: OperationKind.DRAIN, Verb.RESTORE: OperationKind.RESTORE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What to tell the person who asked, when it is not an operation: a refusal, or that there is nothing to do."""

    text: str
    instead: str = ""
    refused: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Who asks for what, from where. ``request_id`` is what a redelivery of the same request repeats."""

    command: Command
    by: Actor
    request_id: str
    channel: str | None = None


def set_weight(service: VirtualService, found: IpvsDestination, weight: int) -> tuple[str, ...]:
    """The argv that gives *found*, behind *service*, this *weight*."""
    return ipvsadm.set_weight(key_of(service), found, weight)


class Operator:
    """Carries operations from the request to the verdict. One per process; operations run as tasks of their own."""

    def __init__(
        self,
        chronicle: Chronicle,
        shell: RemoteShell,
        clock: Clock,
        roles: Callable[[], Awaitable[Roles]],
        *,
        runner: str,
        new_id: Callable[[], str],
        poll_s: float = 1.0,
        patience_s: float = 1800.0,
        on_count: Callable[[], None] = lambda: None,
    ) -> None:
        self._chronicle = chronicle
        self._shell = shell
        self._clock = clock
        self._roles = roles
        self._runner = runner
        self._new_id = new_id
        self._poll_s = poll_s
        self._patience_s = patience_s
        self._on_count = on_count
        self.connected: dict[str, dict[str, int | None]] = {}
        """Active connections left, by operation and director (None: it cannot be asked): a moment's, not journalled."""
        self.carrying: dict[str, asyncio.Event] = {}
        """The operations that this process is carrying out just now, and what is set when it no longer is."""

    # --- asking ---------------------------------------------------------------------------------------------------

    async def request(self, request: Request) -> Operation | Answer | None:
        """Authorise, observe, plan and record; the operation then waits for :meth:`confirm`.

        None: this very request was recorded before (a redelivery). Raises JournalUnavailable.
        """
        command, fleet = request.command, self._chronicle.fleet
        decision = decide(command, request.by, await self._roles())
        if isinstance(decision, Denied):
            return await self._refuse(None, request, decision.reason)
        assert command.name is not None
        found = fleet.find(command.name, RealServer)
        if isinstance(found, NotFound):
            return await self._refuse(None, request, _unknown(found), _first(found.suggestions, command))
        server = found.thing
        assert isinstance(server, RealServer)
        busy = self._chronicle.world.operations.busy_with(found.cluster.name, server.name)
        if busy:
            reason = f"{server.name} is being changed right now: {busy.kind.value} {busy.id} by {busy.by.name}."
            return await self._refuse(None, request, reason)
        plan = await self._plan(KINDS[command.verb], found.cluster, server, forced="--force" in command.flags)
        if isinstance(plan, NothingToDo):
            return Answer(text=plan.reason, refused=False)
        if isinstance(plan, Refusal):
            return await self._refuse(None, request, plan.reason, plan.instead)
        return await self._requested(request, plan)

    async def _requested(self, request: Request, plan: Plan) -> Operation | None:
        operation_id = self._new_id()
        event = OperationRequested(
            operation=operation_id,
            kind=plan.kind,
            cluster=plan.cluster,
            real_server=plan.real_server,
            by=request.by,
            steps=plan.steps,
            channel=request.channel,
            forced="--force" in request.command.flags,
            warnings=plan.warnings,
        )
        (recorded,) = await self._chronicle.append(Entry(event=event, source_key=f"request:{request.request_id}"))
        return self._chronicle.world.operations.by_id[operation_id] if recorded else None

    async def _refuse(self, operation: str | None, request: Request, reason: str, instead: str = "") -> Answer:
        denied = OperationDenied(operation=operation, request=str(request.command), by=request.by, reason=reason)
        await self._chronicle.append(Entry(event=denied, source_key=f"denied:{request.request_id}"))
        return Answer(text=reason, instead=instead)

    async def _plan(
        self, kind: OperationKind, cluster: Cluster, server: RealServer, *, forced: bool
    ) -> Plan | Refusal | NothingToDo:
        views = await observe_to_change(self._shell, cluster)
        situation, operations = self._chronicle.world.situations[cluster.name], self._chronicle.world.operations
        if kind is OperationKind.DRAIN:
            drained = operations.drained(cluster.name)
            return plan_drain(cluster, server, views, situation.healthy, set_weight, drained=drained, forced=forced)
        override = operations.override(cluster.name, server.name)
        recorded = override.weights if override else {}
        drained_here = override is not None
        return plan_restore(cluster, server, views, recorded, set_weight, drained=drained_here, forced=forced)

    # --- confirming -----------------------------------------------------------------------------------------------

    async def confirm(self, operation_id: str, by: Actor) -> Answer | None:
        """The button was pressed: authorise again, and record it. None: go on with :meth:`carry_out`."""
        operation = self._chronicle.world.operations.by_id.get(operation_id)
        answer = await self._button(operation, operation_id, by, "confirm")
        if answer:
            return answer
        assert operation is not None
        if self._clock.now() - operation.requested_at > PLANS_HOLD:
            await self._call_off(operation, f"nobody confirmed it within {PLANS_HOLD.total_seconds() / 60:.0f} minutes")
            return Answer(text="This was asked long ago, and the directors may have changed: ask again.")
        event = OperationConfirmed(operation=operation_id, by=by, runner=self._runner)
        (recorded,) = await self._chronicle.append(Entry(event=event, source_key=f"decided:{operation_id}"))
        if recorded is None:
            return Answer(text="Somebody was faster: this is decided already.", refused=False)
        return None

    async def cancel(self, operation_id: str, by: Actor) -> Answer | None:
        """The other button was pressed. None: it is called off."""
        operation = self._chronicle.world.operations.by_id.get(operation_id)
        answer = await self._button(operation, operation_id, by, "cancel")
        if answer:
            return answer
        event = OperationCancelled(operation=operation_id, by=by, reason=f"called off by {by.name}")
        (recorded,) = await self._chronicle.append(Entry(event=event, source_key=f"decided:{operation_id}"))
        if recorded is None:
            return Answer(text="Somebody was faster: this is decided already.", refused=False)
        return None

    async def _button(self, operation: Operation | None, operation_id: str, by: Actor, what: str) -> Answer | None:
        if operation is None:
            return Answer(text=f"I know no operation {operation_id} (any more). Ask again with the slash command.")
        command = Command(verb=Verb(operation.kind.value), names=(operation.real_server,))
        decision = decide(command, by, await self._roles())
        if isinstance(decision, Denied):
            request = f"{what} {operation.kind.value} {operation.real_server}"
            denied = OperationDenied(operation=None, request=request, by=by, reason=decision.reason)
            await self._chronicle.append(Entry(event=denied))
            return Answer(text=decision.reason)
        if operation.phase is not Phase.PLANNED:
            return Answer(text=f"This is decided already: {operation.phase.value}.", refused=False)
        return None

    # --- carrying out ---------------------------------------------------------------------------------------------

    async def carry_out(self, operation_id: str) -> Operation:
        """Take a confirmed operation to its verdict, from wherever it stands: also after a crash in the middle."""
        if operation_id in self.carrying:
            await self.carrying[operation_id].wait()
            return self._current(operation_id)
        ended = self.carrying[operation_id] = asyncio.Event()
        try:
            return await self._carry_out(operation_id)
        finally:
            del self.carrying[operation_id]
            ended.set()

    async def _carry_out(self, operation_id: str) -> Operation:
        operation = self._current(operation_id)
        gone = self._gone(operation)
        if gone and not operation.over:
            await self._give_up(operation, f"{gone} is no longer in the fleet file")
            return self._current(operation_id)
        if operation.phase is Phase.CONFIRMED:
            await self._start(operation)
        else:
            await self._adopt(operation)
        operation = self._current(operation_id)
        if operation.phase is Phase.RUNNING:
            # The directors side by side, the steps of each in order: none waits for another that is slow.
            directors = dict.fromkeys(step.director for step in operation.steps)
            await asyncio.gather(*(self._carry_out_on(operation_id, director) for director in directors))
            operation = self._current(operation_id)
        if operation.over:
            return operation
        if operation.failures:
            await self._finish(operation, Verdict.FAILED, _failed(operation))
        elif operation.kind is OperationKind.RESTORE:
            await self._finish_restore(operation)
        else:
            await self._wait_until_drained(operation)
        return self._current(operation_id)

    def _current(self, operation_id: str) -> Operation:
        return self._chronicle.world.operations.by_id[operation_id]

    def _gone(self, operation: Operation) -> str:
        """What of *operation* the fleet file does not have any more; empty where it has all of it."""
        cluster = next((c for c in self._chronicle.fleet.clusters if c.name == operation.cluster), None)
        if cluster is None:
            return operation.cluster
        known = {
            *(server.name for server in cluster.real_servers),
            *(director.name for director in cluster.directors),
            *(service.name for service in cluster.services),
        }
        named = (operation.real_server, *(name for s in operation.steps for name in (s.director, s.service)))
        return next((name for name in named if name not in known), "")

    async def _give_up(self, operation: Operation, reason: str) -> None:
        if operation.phase is Phase.CONFIRMED:
            await self._call_off(operation, reason)
        else:
            await self._finish(operation, Verdict.FAILED, reason)

    async def _start(self, operation: Operation) -> None:
        """Look again, and begin: by what every other operation in the cluster, of whatever process, has begun."""
        cluster = self._chronicle.fleet.cluster(operation.cluster)
        async with AsyncExitStack() as held:
            # What is seen must not change before the intention stands: a drain that is just being re-asserted would
            # take back to 0 what a restore found in order.
            for director in cluster.directors:
                await held.enter_async_context(self._shell.changing(director))
            for _ in range(STARTS_TRIED):
                await self._chronicle.catch_up()
                if self._current(operation.id).phase is not Phase.CONFIRMED:
                    return
                if await self._begin(operation, cluster):
                    return
        await self._call_off(operation, "others began something in this cluster again and again meanwhile: ask again")

    async def _begin(self, operation: Operation, cluster: Cluster) -> bool:
        """Whether it is decided: begun, or called off. Where another operation began meanwhile, it is not."""
        operations = self._chronicle.world.operations
        place = f"{cluster.name}:{operations.starts.get(cluster.name, 0)}"
        other = operations.changed_by_another(operation)
        if other is not None:
            which = f"{other.kind.value} {other.id} by {other.by.name}"
            await self._call_off(operation, f"{operation.real_server} is being changed right now: {which}")
            return True
        server = cluster.real_server(operation.real_server)
        plan = await self._plan(operation.kind, cluster, server, forced=operation.forced)
        if isinstance(plan, Refusal):
            await self._call_off(operation, f"what was true when you asked no longer is: {plan.reason}")
            return True
        steps, owed = (plan.steps, plan.owed) if isinstance(plan, Plan) else ((), ())
        if not still_holds(operation.steps, steps):
            await self._call_off(operation, "the directors changed since you were shown the commands: ask again")
            return True
        started = OperationStarted(operation=operation.id, runner=self._runner, steps=steps)
        # Two plans may each leave one real server, and not the same: the keys let only one begin in each place.
        begun = await self._chronicle.append(
            Entry(event=started, source_key=f"started:{place}"),
            Entry(event=_intention(operation, steps, owed), source_key=f"intended:{place}"),
        )
        return all(begun)

    async def _adopt(self, operation: Operation) -> None:
        if operation.runner != self._runner:
            adopted = OperationStarted(operation=operation.id, runner=self._runner, steps=operation.steps)
            await self._chronicle.append(Entry(event=adopted))

    async def _carry_out_on(self, operation_id: str, director: str) -> None:
        for step in self._current(operation_id).steps:
            if step.director == director and self._current(operation_id).result(step.number) is None:
                await self._carry_out_step(self._current(operation_id), step)

    async def _carry_out_step(self, operation: Operation, step: Step) -> None:
        cluster = self._chronicle.fleet.cluster(operation.cluster)
        director = cluster.director(step.director)
        service, server = cluster.service(step.service), cluster.real_server(operation.real_server)
        began = self._clock.monotonic()
        async with self._shell.changing(director):
            try:
                if step.number in operation.begun:
                    # It was started by a run that ended before it could say how: look before running it again.
                    found = _weight(await read_table(self._shell, director), service, server)
                    if found == step.after:
                        await self._finished(operation, step, StepOutcome.FOUND_DONE, found, "", began)
                        return
                else:
                    await self._chronicle.append(Entry(event=StepStarted(operation=operation.id, step=step.number)))
                said = await self._change(cluster, step)
                weight = _weight(await read_table(self._shell, director), service, server)
            except (ShellError, CommandFailed, Unreadable) as error:
                await self._finished(operation, step, StepOutcome.FAILED, None, str(error), began)
                return
        if weight == step.after:
            await self._finished(operation, step, StepOutcome.DONE, weight, "", began)
        else:
            shown = "it is no longer in the table" if weight is None else f"the table shows weight {weight}"
            detail = f"{step.director}: {said or 'the command returned 0'}, but {shown}"
            await self._finished(operation, step, StepOutcome.FAILED, weight, detail, began)

    async def _change(self, cluster: Cluster, step: Step) -> str:
        """Run the step's argv; what it complained of, if it did. The table, read afterwards, is the judge."""
        try:
            result = await self._shell.run(cluster.director(step.director), step.argv, sudo=True)
        except OutcomeUnknown as error:
            return error.reason
        if result.exit_status != 0:
            return str(CommandFailed(result))
        return ""

    async def _finished(
        self,
        operation: Operation,
        step: Step,
        outcome: StepOutcome,
        weight: int | None,
        detail: str,
        began: float,
    ) -> None:
        event = StepFinished(
            operation=operation.id,
            step=step.number,
            outcome=outcome,
            weight=weight,
            detail=detail,
            duration_s=self._clock.monotonic() - began,
        )
        await self._chronicle.append(Entry(event=event))

    async def _finish_restore(self, operation: Operation) -> None:
        """Judge by the tables of all directors: another process may have taken one of them back to 0 meanwhile."""
        cluster = self._chronicle.fleet.cluster(operation.cluster)
        server = cluster.real_server(operation.real_server)
        at_0 = emptied(await observe_all(self._shell, cluster), cluster, server)
        if at_0:
            await self._finish(operation, Verdict.FAILED, f"{'; '.join(at_0)}: ask again")
        else:
            await self._finish(operation, Verdict.DONE, "")

    async def _wait_until_drained(self, operation: Operation) -> None:
        """Count the connections down until none is left, patience ends or a restore takes over."""
        cluster = self._chronicle.fleet.cluster(operation.cluster)
        server = cluster.real_server(operation.real_server)
        began = self._clock.now()
        empty = 0
        while True:
            await self._chronicle.catch_up()  # a terminal's process hears of a restore in Slack by this only
            override = self._chronicle.world.operations.override(cluster.name, server.name)
            if override is None or override.operation != operation.id:
                await self._finish(operation, Verdict.SUPERSEDED, "another operation took over")
                return
            seen = await observe_all(self._shell, cluster)
            counts = counted(seen, cluster, server)
            self.connected[operation.id] = counts
            self._on_count()
            # A listing can be torn while keepalived rebuilds its table: nobody is told "drained" on one look.
            well = all(left == 0 for left in counts.values()) and not weighted(seen, cluster, server)
            empty = empty + 1 if well else 0
            if empty == 2:
                await self._finish(operation, Verdict.DRAINED, "")
                return
            if self._overdue(operation, began):
                await self._finish(operation, Verdict.STILL_CONNECTED, hinders(seen, cluster, server))
                return
            await asyncio.sleep(self._poll_s)

    def _overdue(self, operation: Operation, began: datetime) -> bool:
        since = max(operation.requested_at, began)
        return (self._clock.now() - since).total_seconds() > self._patience_s

    async def _finish(self, operation: Operation, verdict: Verdict, detail: str) -> None:
        event = OperationFinished(operation=operation.id, verdict=verdict, detail=detail)
        await self._chronicle.append(Entry(event=event, source_key=f"finished:{operation.id}"))
        self.connected.pop(operation.id, None)

    async def _call_off(self, operation: Operation, reason: str) -> None:
        await self._chronicle.append(Entry(event=OperationCancelled(operation=operation.id, by=None, reason=reason)))


def _intention(
    operation: Operation, steps: tuple[Step, ...], owed: tuple[tuple[str, str, int], ...]
) -> OverrideSet | OverrideCleared:
    """What the operator wants from now on, whatever keepalived does to the weights."""
    by = operation.confirmed_by or operation.by
    if operation.kind is OperationKind.RESTORE:
        return OverrideCleared(
            cluster=operation.cluster, real_server=operation.real_server, operation=operation.id, by=by, owed=owed
        )
    return OverrideSet(
        cluster=operation.cluster,
        real_server=operation.real_server,
        operation=operation.id,
        by=by,
        weights=tuple((s.director, s.service, s.before) for s in steps),
    )


def _weight(table: IpvsTable, service: VirtualService, server: RealServer) -> int | None:
    found = destination_of(table, service, server)
    return None if found is None else found.weight


def _failed(operation: Operation) -> str:
    return "; ".join(result.detail for result in operation.failures)


def _unknown(found: NotFound) -> str:
    if found.ambiguous:
        return f"{found.name} means more than one real server: {', '.join(found.suggestions)}."
    return f"There is no real server called {found.name} in the fleet file."


def _first(suggestions: tuple[str, ...], command: Command) -> str:
    return f"{command.verb.value} {suggestions[0]}" if suggestions else "status"
