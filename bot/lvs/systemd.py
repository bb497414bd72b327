"""systemctl(1): the state of a unit. An `active` keepalived may be frozen: compare who holds the VIP."""

from __future__ import annotations

import re

from bot.domain.observed import UnitActive, UnitState
from bot.lvs.errors import Unreadable
from bot.lvs.lines import Line, lines_of

TOOL = "systemctl"
KEEPALIVED = "keepalived.service"
PROPERTIES = ("Id", "LoadState", "ActiveState", "SubState", "Result", "MainPID")
PROPERTY = re.compile(r"(?P<name>[A-Za-z]+)=(?P<value>\S*)", re.ASCII)


def show_unit(unit: str = KEEPALIVED) -> tuple[str, ...]:
    """The properties of *unit* that the bot reads. Exits with 0 also for a unit that does not exist."""
    return ("systemctl", "show", unit, f"--property={','.join(PROPERTIES)}")


def parse_unit(text: str) -> UnitState:
    """What :func:`show_unit`'s command printed. Raises Unreadable, also where a property is missing or there twice.

    ``load`` is ``not-found`` where there is no such unit. An ActiveState that is new to the bot becomes UNKNOWN.
    """
    found: dict[str, Line] = {}
    for line in lines_of(TOOL, text):
        name = line.matched(PROPERTY, "a property (Name=value)")["name"]
        if name not in PROPERTIES or name in found:
            raise line.unreadable("a property that was not asked for, or asked for once and printed twice")
        found[name] = line
    missing = [name for name in PROPERTIES if name not in found]
    if missing:
        raise Unreadable(TOOL, text.count("\n") + 1, "", f"the output ends without {', '.join(missing)}")
    values = {name: line.text.rstrip(" ").partition("=")[2] for name, line in found.items()}
    try:
        active = UnitActive(values["ActiveState"])
    except ValueError:
        active = UnitActive.UNKNOWN
    return UnitState(
        unit=values["Id"],
        active=active,
        sub=values["SubState"],
        result=values["Result"],
        main_pid=found["MainPID"].whole(values["MainPID"], "process id", 2**31 - 1),
        load=values["LoadState"],
    )
