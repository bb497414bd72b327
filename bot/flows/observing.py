"""Ask every director what it holds, side by side: roll calls, tables, and what /lvs status shows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import structlog

from bot.domain.events import RollCallAnswer, RollCallTaken
from bot.domain.fleet import Cluster, Director, Forwarding
from bot.domain.observed import CommandResult, IpvsTable, Observed, destination_of, key_of, strangers_of
from bot.domain.plans import View
from bot.flows.details import Question, Reply, details_of, questions
from bot.flows.ports import AuthenticationRefused, Clock, HostKeyRefused, OutcomeUnknown, RemoteShell, ShellError
from bot.lvs import iproute, ipvsadm, systemd
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
    """Everything that is asked of one director, in one go, within *deadline* seconds (twice the patience).

    Never raises for what the director does.
    """
    deadline = deadline or 2 * shell.patience
    started = asyncio.get_running_loop().time()
    results = await asyncio.gather(
        run(shell, director, iproute.list_addresses(), deadline=deadline),
        run(shell, director, systemd.show_unit(), deadline=deadline),
        run(shell, director, ipvsadm.list_table(), sudo=True, deadline=deadline),
        return_exceptions=True,
    )
    problems: list[str] = []
    texts: list[str | None] = []
    for result in results:
        if isinstance(result, ShellError):
            refused = isinstance(result, HostKeyRefused | AuthenticationRefused)
            return Observed(director=director.name, reachable=False, error=_reason(result), refused=refused)
        if isinstance(result, CommandFailed):
            problems.append(str(result))
            texts.append(None)
        elif isinstance(result, BaseException):
            raise result
        else:
            texts.append(result)
    addresses = _read(iproute.parse_addresses, texts[0], problems)
    keepalived = _read(systemd.parse_unit, texts[1], problems)
    table = _read(ipvsadm.parse_table, texts[2], problems)
    return Observed(
        director=director.name,
        reachable=True,
        latency_s=asyncio.get_running_loop().time() - started,
        addresses=addresses or (),
        keepalived=keepalived,
        table=table,
        error="; ".join(problems) or None,
    )


def _reason(error: ShellError) -> str:
    """To read is safe to lose: that a command may have run matters only where it changes something."""
    return error.cause if isinstance(error, OutcomeUnknown) else error.reason


def _read(parse: Callable[[str], T], text: str | None, problems: list[str]) -> T | None:
    """What *parse* makes of *text*; what it cannot read becomes one of the *problems*, not a guess."""
    if text is None:
        return None
    try:
        return parse(text)
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
    seen = await _observe_patiently(shell, director)
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


async def take_roll_call(
    shell: RemoteShell, clock: Clock, cluster: Cluster, reason: str, *, thorough: bool = True
) -> RollCallTaken:
    """Ask every director of *cluster* who holds what, and why (*reason*) it is asked; see :func:`ask_director`."""
    asked_at = clock.now()
    answers = await asyncio.gather(
        *(ask_director(shell, clock, cluster, director, thorough=thorough) for director in cluster.directors)
    )
    return RollCallTaken(cluster=cluster.name, reason=reason, asked_at=asked_at, answers=tuple(answers))


async def ask_director(
    shell: RemoteShell, clock: Clock, cluster: Cluster, director: Director, *, thorough: bool = True
) -> RollCallAnswer:
    """One director's answer to a roll call; a *thorough* one has what :func:`look_closer` finds, and takes longer.

    One that does not answer in time is asked again, over a new connection and with twice the patience: being slow
    once is not being lost. One that refuses the bot is not: it would say the same. Never raises for what it does.
    """
    answer = answer_of(await _observe_patiently(shell, director), cluster)
    return await look_closer(shell, clock, cluster, director, answer) if thorough else answer


async def look_closer(
    shell: RemoteShell, clock: Clock, cluster: Cluster, director: Director, answer: RollCallAnswer, *, snat: bool = True
) -> RollCallAnswer:
    """*answer* with the processes, NAT path, boot and clock of *director*; without *snat*, no word on the SNAT rule.

    It is a step of its own because an answer must not wait for it: a director whose one processor is busy takes as
    long again. The rule alone takes half of that, as it takes root. What fails or comes too late leaves its field
    None. Never raises for what the director does.
    """
    if not answer.answered:
        return answer
    asked = questions(cluster, snat=snat)
    replies = await asyncio.gather(*(_reply(shell, clock, director, question) for question in asked))
    main_pid = answer.keepalived.main_pid if answer.keepalived else 0
    details = details_of(cluster, dict(zip(asked, replies, strict=True)), main_pid)
    if details.remarks:
        log.debug("not all of it was read", director=director.name, why=details.remarks)
    return replace(
        answer,
        processes=details.processes,
        nat=details.nat,
        boot=details.boot,
        clock_behind_s=details.clock_behind_s,
    )


async def _reply(shell: RemoteShell, clock: Clock, director: Director, question: Question) -> Reply | str:
    """The answer to *question*, or why there is none."""
    try:
        # Patiently: a deadline that passes costs the connection, and the next answer would have to wait for a new one.
        result = await shell.run(director, question.argv, sudo=question.sudo, deadline=2 * shell.patience)
    except ShellError as error:
        return f"`{' '.join(question.argv)}`: {_reason(error)}"
    return Reply(result=result, at=clock.now()) if question.answered_by(result) else str(CommandFailed(result))


async def _observe_patiently(shell: RemoteShell, director: Director) -> Observed:
    observed = await observe(shell, director, deadline=shell.patience)
    return observed if observed.reachable or observed.refused else await observe(shell, director)


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
