"""A command and the observed tables in, steps or a refusal out; and the verdict afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bot.domain.events import OperationKind, Step
from bot.domain.fleet import Cluster, RealServer, VirtualService
from bot.domain.observed import IpvsDestination, IpvsTable, destination_of, key_of
from bot.domain.wording import listed

# How lvs.ipvsadm builds the argv that sets a weight; passed in, because the domain does not know the tools.
SetWeight = Callable[[VirtualService, IpvsDestination, int], tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What was observed of one director: its table, or why there is none."""

    director: str
    table: IpvsTable | None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The steps that will run, one a director and service, and what the operator should know before confirming.

    ``owed``: (director, service, weight) of a restore where a director does not answer, to be given when it does.
    """

    kind: OperationKind
    cluster: str
    real_server: str
    steps: tuple[Step, ...]
    warnings: tuple[str, ...] = ()
    owed: tuple[tuple[str, str, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why nothing will be run, and what to type instead."""

    reason: str
    instead: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NothingToDo:
    """The tables already show what was asked for."""

    reason: str


def plan_drain(
    cluster: Cluster,
    server: RealServer,
    views: tuple[View, ...],
    healthy: Callable[[str, str], bool | None],
    set_weight: SetWeight,
    *,
    drained: frozenset[str] = frozenset(),
    forced: bool = False,
) -> Plan | Refusal | NothingToDo:
    """Set *server* to weight 0 on every director, in every service that has it.

    *healthy(service, real server)* is what the probes say (None: not known); *drained* are the real servers that are
    to have weight 0, whatever the tables show just now. Refuses when a director cannot be observed (a drain on one
    director alone is lost at failover) and when a service would be left without a healthy real server, unless
    *forced*.
    """
    refusal = _unobserved(views, OperationKind.DRAIN, server, forced=forced)
    if refusal:
        return refusal
    steps = _steps(cluster, server, views, set_weight, lambda _director, _service: 0)
    if not steps:
        return _nothing(cluster, server, views, "has weight 0")
    emptied = _emptied(cluster, server, views, healthy, drained)
    if emptied and not forced:
        names = ", ".join(emptied)
        last = f"{server.name} is the last healthy real server of {names}: nobody would be left to answer."
        dead = all(healthy(service, server.name) is False for service in emptied)
        return Refusal(
            reason=f"No other real server of {names} is healthy, nor is {server.name} itself." if dead else last,
            instead=f"drain {server.name} --force",
        )
    warnings = [_unreached(view, "it is set to 0 there") for view in views if not view.table]
    if emptied:
        warnings.append(f"This leaves {', '.join(emptied)} without a healthy real server.")
    return Plan(
        kind=OperationKind.DRAIN, cluster=cluster.name, real_server=server.name, steps=steps, warnings=tuple(warnings)
    )


def plan_restore(
    cluster: Cluster,
    server: RealServer,
    views: tuple[View, ...],
    recorded: Mapping[tuple[str, str], int],
    set_weight: SetWeight,
    *,
    drained: bool = False,
    forced: bool = False,
) -> Plan | Refusal | NothingToDo:
    """Give *server* its weights back: the ones *recorded* by (director, service) at the drain, else the configured.

    Of one that is *drained* the drain has to be ended also where there is nothing to run. Refuses when a director
    cannot be observed, unless *forced*: what it does not get now is owed to it.
    """
    refusal = _unobserved(views, OperationKind.RESTORE, server, forced=forced)
    if refusal:
        return refusal

    def wanted(director: str, service: VirtualService) -> int:
        member = service.member(server.name)
        assert member is not None
        # A weight of 0 that was recorded is somebody's earlier drain by hand: going back to it would restore nothing.
        return recorded.get((director, service.name)) or member.weight

    missing = [view for view in views if view.table is None]
    owed = tuple(
        (view.director, service.name, weight)
        for view in missing
        for service in cluster.services_of(server.name)
        if (weight := wanted(view.director, service))
    )
    warnings = [_unreached(view, "it gets its weight there") for view in missing]
    steps = _steps(cluster, server, views, set_weight, wanted)
    if not steps:
        nothing = _nothing(cluster, server, views, "has its weight")
        if not drained:
            return nothing
        warnings.insert(0, _already(server, there=isinstance(nothing, NothingToDo)))
    return Plan(
        kind=OperationKind.RESTORE,
        cluster=cluster.name,
        real_server=server.name,
        steps=steps,
        warnings=tuple(warnings),
        owed=owed,
    )


def _already(server: RealServer, *, there: bool) -> str:
    """Why a drain ends without a command; *there*: some director lists *server*."""
    if there:
        return f"keepalived has given {server.name} its weight back already: this ends its drain, so that it keeps it."
    return (
        f"{server.name} is in no director's table, because its check fails: this ends its drain, so that it "
        "takes clients when it is well again."
    )


def _unreached(view: View, then: str) -> str:
    return f"{view.director} cannot be reached ({view.error}): {then} when it answers again."


def still_holds(shown: tuple[Step, ...], now: tuple[Step, ...]) -> bool:
    """Whether what the operator confirmed (*shown*) is still what would be run: same argv, same directors.

    The number of connections may have changed; a step that is no longer needed may be missing.
    """
    return {(s.director, s.argv) for s in now} <= {(s.director, s.argv) for s in shown}


def _unobserved(views: tuple[View, ...], kind: OperationKind, server: RealServer, *, forced: bool) -> Refusal | None:
    missing = [view for view in views if view.table is None]
    which = "; ".join(f"{view.director}: {view.error}" for view in missing)
    there = listed(view.director for view in views if view.table)
    gone = listed(view.director for view in missing)
    later = f"on {gone} as soon as {'it answers' if len(missing) == 1 else 'they answer'}"
    if missing and len(missing) == len(views):
        return Refusal(reason=f"No director answers ({which}): nothing can be changed.", instead="status")
    if not missing or forced:
        return None
    return Refusal(
        reason=(
            f"Not every director answers ({which}). A change on {there} alone would be lost at a failover. With "
            f"--force it is made there now, and {later}."
        ),
        instead=f"{kind.value} {server.name} --force",
    )


def _emptied(
    cluster: Cluster,
    server: RealServer,
    views: tuple[View, ...],
    healthy: Callable[[str, str], bool | None],
    drained: frozenset[str],
) -> list[str]:
    """The services that would have no other healthy real server with a weight on some director that has them."""
    emptied = []
    for service in cluster.services_of(server.name):
        others = [
            cluster.real_server(m.real_server)
            for m in service.members
            if m.real_server != server.name and m.real_server not in drained
        ]
        # Where keepalived is stopped nobody is served, now or then.
        tables = [view.table for view in views if view.table is not None and view.table.service(key_of(service))]
        for table in tables:
            standing = [o for o in others if _serves(table, service, o) and healthy(service.name, o.name) is not False]
            if not standing:
                emptied.append(service.name)
                break
    return emptied


def _nothing(cluster: Cluster, server: RealServer, views: tuple[View, ...], otherwise: str) -> NothingToDo | Refusal:
    """Why there is no step: it is as asked for, or the server is in no table (keepalived removed it)."""
    listed = any(
        destination_of(view.table, service, server)
        for view in views
        if view.table
        for service in cluster.services_of(server.name)
    )
    if listed:
        where = "every director" if all(view.table for view in views) else "every director that answers"
        return NothingToDo(reason=f"{server.name} {otherwise} on {where} already.")
    return Refusal(
        reason=f"{server.name} is in no director's table: keepalived removed it, because its check fails.",
        instead=f"status {server.name}",
    )


def _serves(table: IpvsTable, service: VirtualService, server: RealServer) -> bool:
    destination = destination_of(table, service, server)
    return destination is not None and destination.weight > 0


def _steps(
    cluster: Cluster,
    server: RealServer,
    views: tuple[View, ...],
    set_weight: SetWeight,
    wanted: Callable[[str, VirtualService], int],
) -> tuple[Step, ...]:
    steps: list[Step] = []
    for view in views:
        for service in cluster.services_of(server.name):
            found = destination_of(view.table, service, server) if view.table else None
            # A server that keepalived has removed has no weight to set: it gets the override's weight when it returns.
            if found is None:
                continue
            after = wanted(view.director, service)
            if found.weight != after:
                steps.append(
                    Step(
                        number=len(steps) + 1,
                        director=view.director,
                        service=service.name,
                        argv=set_weight(service, found, after),
                        before=found.weight,
                        after=after,
                        active=found.active,
                    )
                )
    return tuple(steps)
