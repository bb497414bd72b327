"""Traffic: ``ipvsadm -Ln --stats --exact`` and ``--rate --exact``."""

from __future__ import annotations

import re

from bot.domain.fleet import Address
from bot.domain.observed import CountedTable, Counters
from bot.lvs.ipvsadm.listing import SERVICE, body, grouped, key_in
from bot.lvs.lines import Line

STATS = ("Prot LocalAddress:Port Conns InPkts OutPkts InBytes OutBytes", "-> RemoteAddress:Port")
RATE = ("Prot LocalAddress:Port CPS InPPS OutPPS InBPS OutBPS", "-> RemoteAddress:Port")
NUMBERS = r"(?P<numbers>(?: +[0-9]+[KMGT]?){5})"
SERVICE_LINE = re.compile(SERVICE + NUMBERS, re.ASCII)
DESTINATION_LINE = re.compile(r"  -> (?P<at>\S+)" + NUMBERS, re.ASCII)


def parse_stats(text: str) -> CountedTable:
    """What ``ipvsadm -Ln --stats --exact`` printed: totals since a service or destination was added.

    Raises Unreadable, also for rounded numbers (``123456K``), which come without ``--exact``.
    """
    return _parse(text, STATS)


def parse_rate(text: str) -> CountedTable:
    """What ``ipvsadm -Ln --rate --exact`` printed: the kernel's averages per second. Raises Unreadable."""
    return _parse(text, RATE)


def _parse(text: str, titles: tuple[str, str]) -> CountedTable:
    _, lines = body(text, titles)
    services = []
    for first, rest in grouped(lines):
        match = first.matched(SERVICE_LINE, "a virtual service with five counters")
        destinations = tuple(_destination(line) for line in rest)
        services.append((key_in(first, match), _counters(first, match["numbers"]), destinations))
    return CountedTable(services=tuple(services))


def _destination(line: Line) -> tuple[Address, int, Counters]:
    match = line.matched(DESTINATION_LINE, "a destination with five counters")
    return (*line.endpoint(match["at"]), _counters(line, match["numbers"]))


def _counters(line: Line, numbers: str) -> Counters:
    words = numbers.split()
    if any(word[-1].isalpha() for word in words):
        raise line.unreadable("the counters are rounded; ask for them with --exact")
    connections, packets_in, packets_out, bytes_in, bytes_out = (line.whole(word, "counter") for word in words)
    return Counters(
        connections=connections,
        packets_in=packets_in,
        packets_out=packets_out,
        bytes_in=bytes_in,
        bytes_out=bytes_out,
    )
