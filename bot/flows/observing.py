"""Ask every director what it holds, side by side: roll calls, tables, and what /lvs status shows."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import structlog

from bot.domain.events import NatPath, RollCallAnswer, RollCallTaken
from bot.domain.fleet import Cluster, Director, Forwarding
from bot.domain.observed import CommandResult, IpvsTable, Observed, destination_of, key_of, strangers_of
from bot.domain.plans import View
from bot.flows.details import QUESTIONS, Question, Reply, details_of, first_rules_of, rule_in, rules_of, untracked_in
from bot.flows.ports import AuthenticationRefused, Clock, HostKeyRefused, OutcomeUnknown, RemoteShell, ShellError
from bot.lvs import iproute, ipvsadm, procfs, systemd
from bot.lvs.errors import Unreadable
from bot.lvs.ipvsadm.argv import endpoint

T = TypeVar("T")

log = structlog.get_logger(__name__)


class CommandFailed(Exception):
    """A command ran and failed; the message says where, what was run and what it printed."""

    def __init__(self, result: CommandResult) -> None:
        said = (result.stderr or result.stdout).strip().splitlines()
        detail = said[-1] if said else "it printed nothing"
        super().__init__(f"`{' '.join(result.argv)}` exited {result.exit_status}: {detail}")
        self.result = result


async def run(
    shell: RemoteShell, director: Director, argv: Sequence[str], *, sudo: bool = False, deadline: float | None = None
) -> str:
    """What *argv* printed on *director*, within *deadline* seconds (twice the patience).

    Raises ShellError, and CommandFailed for an exit status other than 0.
    """
    result = await shell.run(director, argv, sudo=sudo, deadline=deadline or 2 * shell.patience)
    if result.exit_status != 0:
        raise CommandFailed(result)
    return result.stdout


async def read_table(shell: RemoteShell, director: Director) -> IpvsTable:
    """The IPVS table of *director*. Raises ShellError, CommandFailed, Unreadable."""
    return ipvsadm.parse_table(await run(shell, director, ipvsadm.list_table(), sudo=True))


async def observe(shell: RemoteShell, director: Director, *, deadline: float | None = None) -> Observed:
    """Who holds what on one director, asked in one go, within *deadline* seconds (twice the patience).

    Never raises for what the director does.
    """
    observed, _ = await _look(shell, director, (), deadline or 2 * shell.patience)
    return observed


ESSENTIAL = (iproute.list_addresses(), systemd.show_unit(), procfs.show_table())


async def _look(
    shell: RemoteShell, director: Director, more: Sequence[Question], deadline: float
) -> tuple[Observed, tuple[CommandResult, ...]]:
    """What one director shows, and what it replied to *more*: nothing where it does not answer.

    All is one command line on one channel, and nothing of it takes root: what a look costs a busy director is mostly
    the starting of shells and of sudo.
    """
    started = asyncio.get_running_loop().time()
    try:
        results = await shell.ask(director, (*ESSENTIAL, *(q.argv for q in more)), deadline=deadline)
    except ShellError as error:
        refused = isinstance(error, HostKeyRefused | AuthenticationRefused)
        return Observed(director=director.name, reachable=False, error=_reason(error), refused=refused), ()
    latency = asyncio.get_running_loop().time() - started
    if len(results) < len(ESSENTIAL):
        hangs = shlex.join(ESSENTIAL[len(results)])
        why = f"no answer within {deadline:g} s: `{hangs}` hangs there"
        return Observed(director=director.name, reachable=False, error=why), ()
    problems: list[str] = []
    addresses = _read(iproute.parse_addresses, results[0], problems)
    if addresses is None:
        # Who holds what is all that it is asked for: a list that cannot be read is not an empty one.
        return Observed(director=director.name, reachable=False, error="; ".join(problems)), ()
    keepalived = _read(systemd.parse_unit, results[1], problems)
    table = await _table(shell, director, results[2], problems)
    observed = Observed(
        director=director.name,
        reachable=True,
        latency_s=latency,
        addresses=addresses,
        keepalived=keepalived,
        table=table,
        error="; ".join(problems) or None,
    )
    return observed, results[len(ESSENTIAL) :]


async def _table(
    shell: RemoteShell, director: Director, result: CommandResult, problems: list[str]
) -> IpvsTable | None:
    """The table by the kernel's own file; by ipvsadm where that cannot be read: it may be hidden, or not there yet."""
    if result.exit_status == 0:
        return _read(procfs.parse_table, result, problems)
    try:
        return await read_table(shell, director)
    except (ShellError, CommandFailed, Unreadable) as error:
        problems.append(_reason(error) if isinstance(error, ShellError) else str(error))
        return None


def _reason(error: ShellError) -> str:
    """To read is safe to lose: that a command may have run matters only where it changes something."""
    return error.cause if isinstance(error, OutcomeUnknown) else error.reason


def _read(parse: Callable[[str], T], result: CommandResult, problems: list[str]) -> T | None:
    """What *parse* makes of *result*; what it cannot read becomes one of the *problems*, not a guess."""
    if result.exit_status != 0:
        problems.append(str(CommandFailed(result)))
        return None
    try:
        return parse(result.stdout)
    except Unreadable as error:
        problems.append(str(error))
        return None


async def observe_all(shell: RemoteShell, cluster: Cluster) -> tuple[Observed, ...]:
    """Every director of *cluster*, asked side by side, in the fleet's order."""
    return tuple(await asyncio.gather(*(observe(shell, d) for d in cluster.directors)))


async def observe_to_change(shell: RemoteShell, cluster: Cluster) -> tuple[View, ...]:
    """What a plan needs of every director: its table with all that an edit would otherwise forget."""
    return tuple(await asyncio.gather(*(_view(shell, cluster, d) for d in cluster.directors)))


async def _view(shell: RemoteShell, cluster: Cluster, director: Director) -> View:
    seen, _ = await _look_patiently(shell, director, ())
    if seen.table is None:
        return View(director=director.name, table=None, error=seen.error or "no table")
    try:
        return View(director=director.name, table=await read_table_to_change(shell, cluster, director))
    except (ShellError, CommandFailed, Unreadable) as error:
        return View(director=director.name, table=None, error=str(error))


async def read_table_to_change(shell: RemoteShell, cluster: Cluster, director: Director) -> IpvsTable:
    """The table with tunnels and thresholds: ``ipvsadm -e`` sets what it is not told back to its default.

    Raises ShellError, CommandFailed, Unreadable.
    """
    tunnels = any(service.forwarding is Forwarding.TUNNELLING for service in cluster.services)
    listing = ipvsadm.list_tunnels() if tunnels else ipvsadm.list_table()
    table = ipvsadm.parse_table(await run(shell, director, listing, sudo=True))
    return ipvsadm.parse_thresholds(await run(shell, director, ipvsadm.list_thresholds(), sudo=True), table)


async def take_roll_call(shell: RemoteShell, clock: Clock, cluster: Cluster, reason: str) -> RollCallTaken:
    """Ask every director of *cluster* who holds what, its rules included, and why (*reason*) it is asked."""
    asked_at = clock.now()
    answers = await asyncio.gather(
        *(_ask_thoroughly(shell, clock, cluster, director) for director in cluster.directors)
    )
    return RollCallTaken(cluster=cluster.name, reason=reason, asked_at=asked_at, answers=tuple(answers))


async def _ask_thoroughly(shell: RemoteShell, clock: Clock, cluster: Cluster, director: Director) -> RollCallAnswer:
    answer = await ask_director(shell, clock, cluster, director)
    if not answer.answered:
        return answer
    if rule := await look_at_rule(shell, cluster, director):
        answer = replace(answer, nat=joined(answer.nat, rule))
    untracked = await _passes_untracked(shell, cluster, director)
    return answer if untracked is None else replace(answer, nat=replace(answer.nat or NatPath(), untracked=untracked))


async def ask_director(shell: RemoteShell, clock: Clock, cluster: Cluster, director: Director) -> RollCallAnswer:
    """One director's answer to a roll call, with all but its SNAT rule (:func:`look_at_rule`).

    One that does not answer in time is asked again, over a new connection and with twice the patience: being slow
    once is not being lost. One that refuses the bot is not: it would say the same. What is not essential and fails
    leaves its field None. Never raises for what the director does.
    """
    observed, results = await _look_patiently(shell, director, QUESTIONS)
    answer = answer_of(observed, cluster)
    if not answer.answered:
        return answer
    at = clock.now()
    replies: dict[Question, Reply | str] = {
        question: Reply(result=result, at=at) if question.answered_by(result) else str(CommandFailed(result))
        for question, result in zip(QUESTIONS, results, strict=False)
    }
    details = details_of(replies, answer.keepalived.main_pid if answer.keepalived else 0)
    if details.remarks:
        log.debug("not all of it was read", director=director.name, why=details.remarks)
    return replace(
        answer,
        processes=details.processes,
        nat=details.nat,
        boot=details.boot,
        clock_behind_s=details.clock_behind_s,
    )


async def look_at_rule(shell: RemoteShell, cluster: Cluster, director: Director) -> NatPath | None:
    """The fleet's SNAT rule as it is on *director*; None where the fleet has none or it could not be read.

    It is a step of its own because it takes root, and an answer must not wait for that. Never raises for what the
    director does.
    """
    snat = cluster.snat
    if snat is None:
        return None
    return await _read_rules(shell, director, rules_of(snat), lambda printed: rule_in(printed, snat))


async def _passes_untracked(shell: RemoteShell, cluster: Cluster, director: Director) -> bool | None:
    """Whether *director* keeps conntrack from what is for a VIP that is elsewhere; None as in :func:`look_at_rule`."""
    if cluster.snat is None or not cluster.snat_addresses:
        return None
    question = first_rules_of(cluster.snat)
    return await _read_rules(shell, director, question, lambda printed: untracked_in(printed, cluster))


async def _read_rules(shell: RemoteShell, director: Director, question: Question, read: Callable[[str], T]) -> T | None:
    """What *read* makes of the rules that *director* prints; None where there are none to be read."""
    try:
        # Patiently: a deadline that passes costs the connection, and the next answer would have to wait for a new one.
        return read(await run(shell, director, question.argv, sudo=question.sudo))
    except (ShellError, CommandFailed, Unreadable) as error:
        log.debug("the rules were not read", director=director.name, asked=question.argv, why=str(error))
        return None


def joined(nat: NatPath | None, rule: NatPath) -> NatPath:
    """*nat* with what *rule* says of the SNAT rule."""
    return replace(nat or NatPath(), snat=rule.snat, packets=rule.packets)


async def _look_patiently(
    shell: RemoteShell, director: Director, more: Sequence[Question]
) -> tuple[Observed, tuple[CommandResult, ...]]:
    observed, results = await _look(shell, director, more, shell.patience)
    if observed.reachable or observed.refused:
        return observed, results
    return await _look(shell, director, more, 2 * shell.patience)


def answer_of(observed: Observed, cluster: Cluster) -> RollCallAnswer:
    """What is worth keeping of *observed*."""
    table = observed.table
    return RollCallAnswer(
        director=observed.director,
        error=None if observed.reachable else observed.error or "no answer",
        refused=observed.refused,
        holds=observed.holds(cluster),
        keepalived=observed.keepalived,
        weights=None if table is None else _weights(table, cluster),
        services=None if table is None else _services(table, cluster),
        strangers=() if table is None else _strangers(table, cluster),
    )


def _services(table: IpvsTable, cluster: Cluster) -> tuple[str, ...]:
    return tuple(service.name for service in cluster.services if table.service(key_of(service)) is not None)


def _strangers(table: IpvsTable, cluster: Cluster) -> tuple[tuple[str, str, int], ...]:
    return tuple(
        (service.name, endpoint(found.address, found.port), found.weight)
        for service in cluster.services
        for found in strangers_of(table, service, cluster)
    )


def _weights(table: IpvsTable, cluster: Cluster) -> tuple[tuple[str, str, int], ...]:
    return tuple(
        (service.name, server.name, found.weight)
        for service in cluster.services
        for server in (cluster.real_server(member.real_server) for member in service.members)
        if (found := destination_of(table, service, server)) is not None
    )
