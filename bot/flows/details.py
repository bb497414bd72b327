"""What a director is asked besides who holds what: processes, NAT, boot, clock. What the replies say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from bot.domain.events import KeepalivedProcess, NatPath
from bot.domain.fleet import Cluster, Snat
from bot.domain.observed import CommandResult
from bot.lvs import date, iptables, processes, sysctl
from bot.lvs.errors import Unreadable

T = TypeVar("T")

SETTINGS = (sysctl.IP_FORWARD, sysctl.VS_CONNTRACK, sysctl.BOOT_ID)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A command that only reads. ``silence`` is the exit status that, without a word, is an answer as well."""

    argv: tuple[str, ...]
    sudo: bool = False
    silence: int = 0

    def answered_by(self, result: CommandResult) -> bool:
        """Whether *result* can be read; any other says what went wrong."""
        silent = result.exit_status == self.silence and not (result.stdout + result.stderr).strip()
        return result.exit_status == 0 or silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a question's command printed, and ``at``: when that came in, by the bot's clock."""

    result: CommandResult
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What was found (see RollCallAnswer). None: it could not be read, and ``remarks`` say why."""

    processes: tuple[KeepalivedProcess, ...] | None = None
    nat: NatPath | None = None
    boot: str | None = None
    clock_behind_s: float | None = None
    remarks: tuple[str, ...] = ()


PROCESSES = Question(argv=processes.list_processes(), silence=1)
SYSCTLS = Question(argv=sysctl.read(SETTINGS))
CLOCK = Question(argv=date.show_now())


QUESTIONS = (CLOCK, SYSCTLS, PROCESSES)
"""What every director is asked besides who holds what. No account needs a privilege for it."""


def first_rules_of(snat: Snat) -> Question:
    """What to ask a director for its rules that come before conntrack."""
    return Question(argv=iptables.list_prerouting(snat.vaddr.version), sudo=True)


def rules_of(snat: Snat) -> Question:
    """What to ask a director for its SNAT rule. It takes root, and by that longer than all other questions."""
    return Question(argv=iptables.list_postrouting(snat.vaddr.version), sudo=True)


def details_of(replies: Mapping[Question, Reply | str], main_pid: int = 0) -> Details:
    """What the *replies* to :data:`QUESTIONS` say; a text in a reply's place is why there is none.

    *main_pid* is keepalived's by its unit, 0 where that is not known.
    """
    reader = _Reader(replies)
    settings = reader.read(SYSCTLS, _settings)
    return Details(
        processes=reader.read(PROCESSES, lambda reply: processes.parse_processes(reply.result.stdout, main_pid)),
        nat=NatPath(ip_forward=settings.ip_forward, conntrack=settings.conntrack) if settings else None,
        boot=settings.boot if settings else None,
        clock_behind_s=reader.read(CLOCK, _behind),
        remarks=tuple(reader.remarks),
    )


def rule_in(printed: str, snat: Snat) -> NatPath:
    """What the answer to :func:`rules_of` says of the fleet's rule, and of nothing else. Raises Unreadable."""
    rule = iptables.snat_of(iptables.parse_rules(printed), snat.vaddr)
    return NatPath(snat=rule is not None, packets=rule.packets if rule else None)


def untracked_in(printed: str, cluster: Cluster) -> bool:
    """Whether :func:`first_rules_of`'s answer has the rule for each of the fleet's addresses. Raises Unreadable."""
    rules = iptables.parse_rules(printed)
    return all(iptables.passes_untracked(rules, address) for address in cluster.snat_addresses)


class _Reader:
    """Reads replies; what cannot be read becomes a remark, not a guess."""

    def __init__(self, replies: Mapping[Question, Reply | str]) -> None:
        self._replies = replies
        self.remarks: list[str] = []

    def read(self, question: Question, parse: Callable[[Reply], T]) -> T | None:
        reply = self._replies.get(question)
        if isinstance(reply, Reply):
            try:
                return parse(reply)
            except Unreadable as error:
                reply = str(error)
        if reply is not None:
            self.remarks.append(reply)
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    ip_forward: bool | None
    conntrack: bool | None
    boot: str | None


def _settings(reply: Reply) -> _Settings:
    values = sysctl.parse_values(reply.result.stdout, SETTINGS)
    return _Settings(
        ip_forward=sysctl.switched_on(values, sysctl.IP_FORWARD),
        conntrack=sysctl.switched_on(values, sysctl.VS_CONNTRACK),
        boot=values[sysctl.BOOT_ID] or None,
    )


def _behind(reply: Reply) -> float:
    """How far the director's clock is behind the bot's in the middle of the call: a hint, to a tenth of a second.

    It can be wrong by half of what the call took, and some more where the director took long to start the command.
    """
    middle = reply.at - timedelta(seconds=reply.result.duration_s / 2)
    return round((middle - date.parse_now(reply.result.stdout)).total_seconds(), 1)
