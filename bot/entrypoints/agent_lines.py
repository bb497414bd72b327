"""A director's spooled record as an event: what keepalived said, what cannot be read, or what got lost."""

from __future__ import annotations

import re
from datetime import datetime

from bot.domain.events import (
    AgentGap,
    AgentLineUnreadable,
    QuorumChanged,
    RealServerChanged,
    SelfTestHeard,
    VrrpStateChanged,
)
from bot.lvs.agent import read_test
from bot.lvs.errors import Unreadable
from bot.lvs.keepalived import read_event

SHOWN = 1000  # characters of an unreadable line that are kept: keepalived's own lines are far shorter

# No line of the FIFO carries a password; but whatever was written into it by mistake may (a configuration, a dump).
PASSWORD = re.compile(r"(?i)\b(auth_pass\w*|password|passwd|secret|token)(\W+)\S+")


def event_of_line(
    cluster: str, director: str, line: str, *, at: datetime, received_at: datetime
) -> VrrpStateChanged | RealServerChanged | QuorumChanged | SelfTestHeard | AgentLineUnreadable:
    """What *line* of the FIFO says; kept as it came, but for passwords, where the bot cannot read it.

    The agent read it *at* a time by its director's clock; its POST began at *received_at* by the bot's.
    """
    test = read_test(line)
    if test is not None:
        return SelfTestHeard(cluster=cluster, director=director, test=test, written_at=at, received_at=received_at)
    if not line.isprintable():
        return _unreadable(cluster, director, line, "has characters that no name of keepalived's has")
    try:
        return read_event(line, cluster=cluster, director=director)
    except Unreadable as error:
        return _unreadable(cluster, director, line, error.why)


def event_of_gap(cluster: str, director: str, *, lost: int, why: str) -> AgentGap:
    """The agent's own word that lines are missing."""
    return AgentGap(cluster=cluster, director=director, lost=lost, why=_presentable(why))


def _unreadable(cluster: str, director: str, line: str, why: str) -> AgentLineUnreadable:
    return AgentLineUnreadable(cluster=cluster, director=director, line=_presentable(line), why=_presentable(why))


def _presentable(text: str) -> str:
    """*text* without passwords, with what cannot be printed (and what a database may refuse) shown as an escape."""
    masked = PASSWORD.sub(r"\1\2***", text)
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in masked[:SHOWN])
    return shown if len(masked) <= SHOWN else f"{shown}… ({len(text)} characters)"
