"""ps(1): which of keepalived's processes there are, and in which state: each can be stopped or killed on its own."""

from __future__ import annotations

import re

from bot.domain.events import KeepalivedProcess, ProcessRole
from bot.lvs.lines import Line, lines_of

TOOL = "ps"
# With `process_names` (keepalived.conf(5)) each process has a name of its own; without, all have the first one.
# Version 2.2 calls the checkers keepalived_lvs, and others may say ipvs as the man page does. The kernel keeps 15
# characters of a name (proc(5)): none of these is longer.
ROLES = {
    "keepalived": ProcessRole.CHILD,
    "keepalived_vrrp": ProcessRole.VRRP,
    "keepalived_lvs": ProcessRole.CHECKERS,
    "keepalived_ipvs": ProcessRole.CHECKERS,
    "keepalived_bfd": ProcessRole.CHILD,
}
PROCESS = re.compile(
    r" *(?P<pid>[0-9]+) +(?P<parent>[0-9]+) +(?P<state>[A-Za-z])\S* +(?P<name>\S+)(?: <defunct>)?", re.ASCII
)


def list_processes() -> tuple[str, ...]:
    """Every process that bears one of keepalived's names. Exits with 1, without a word, where there is none."""
    return ("ps", "-C", ",".join(ROLES), "-o", "pid=,ppid=,stat=,comm=")


def parse_processes(text: str, main_pid: int = 0) -> tuple[KeepalivedProcess, ...]:
    """What :func:`list_processes`'s command printed: keepalived's parent and its children. Raises Unreadable.

    Where *main_pid* is among them, only its family counts: a container on the director may run a keepalived too. What a
    child has just started is left out: it bears its name for a moment and is about to become a script.
    """
    lines = {}
    for line in lines_of(TOOL, text):
        match = line.matched(PROCESS, "a process (pid, parent's pid, state, name)")
        lines[_pid(line, match["pid"])] = (_pid(line, match["parent"]), match["state"], _role(line, match["name"]))
    parents = {main_pid} if main_pid in lines else {pid for pid, (above, _, _) in lines.items() if above not in lines}
    return tuple(
        KeepalivedProcess(pid=pid, role=_parent(role) if pid in parents else role, state=state)
        for pid, (above, state, role) in lines.items()
        if pid in parents or above in parents
    )


def _parent(role: ProcessRole) -> ProcessRole:
    """A VRRP process or a checker that has lost its parent stays what it is: it ends within moments."""
    return ProcessRole.PARENT if role is ProcessRole.CHILD else role


def _role(line: Line, name: str) -> ProcessRole:
    try:
        return ROLES[name]
    except KeyError as error:
        raise line.unreadable(f"{name!r} was not asked for") from error


def _pid(line: Line, digits: str) -> int:
    return line.whole(digits, "process id", 2**31 - 1)
