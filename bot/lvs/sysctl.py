"""sysctl(8): the two settings without which a director forwards nothing by NAT, and which boot it is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bot.lvs.lines import Line, lines_of

TOOL = "sysctl"
IP_FORWARD = "net.ipv4.ip_forward"
# It exists only while the ip_vs module is loaded, and each loading sets it back to 0 (the kernel's ipvs-sysctl.rst).
VS_CONNTRACK = "net.ipv4.vs.conntrack"
# A new one for each boot (random(4)). An account that is not root may read it.
BOOT_ID = "kernel.random.boot_id"
SETTING = re.compile(r"(?P<key>[A-Za-z0-9_][A-Za-z0-9_./-]*) = ?(?P<value>.*)", re.ASCII)


def read(keys: Sequence[str] = (IP_FORWARD, VS_CONNTRACK)) -> tuple[str, ...]:
    """Read *keys*. With ``-e`` one that does not exist is left out and is no error: parse_values tells it from 0."""
    # By its path, with a merged /usr or without: an account that is not root has no sbin on Debian's PATH.
    return ("/sbin/sysctl", "-e", *keys)


def parse_values(text: str, keys: Sequence[str] = (IP_FORWARD, VS_CONNTRACK)) -> Mapping[str, str | None]:
    """The value of each of *keys* that :func:`read`'s command printed; None for a key that does not exist.

    Raises Unreadable, also for a key that was not asked for. An empty text says that none of the keys exists: only an
    exit status of 0 makes that true.
    """
    values: dict[str, str | None] = dict.fromkeys(keys)
    for line in lines_of(TOOL, text):
        match = line.matched(SETTING, "a setting (key = value)")
        if match["key"] not in values or values[match["key"]] is not None:
            raise line.unreadable("a setting that was not asked for, or asked for once and printed twice")
        values[match["key"]] = match["value"]
    return values


def switched_on(values: Mapping[str, str | None], key: str) -> bool | None:
    """Whether the switch *key* is on; None where it does not exist. Raises Unreadable for what is no switch's value."""
    value = values[key]
    if value not in (None, "0", "1"):
        raise Line(tool=TOOL, number=1, text=f"{key} = {value}").unreadable("a switch is 0 or 1")
    return None if value is None else value == "1"
