"""Connections and persistence templates: ``ipvsadm -Lnc``."""

from __future__ import annotations

import re

from bot.domain.observed import IpvsConnection
from bot.lvs.ipvsadm.listing import TOOL
from bot.lvs.lines import Line, lines_of

HEADING = "IPVS connection entries"
COLUMNS = "pro expire state source virtual destination"
# The protocol is IP where a persistence template belongs to a firewall mark; the mark then stands for the address.
CONNECTION_LINE = re.compile(
    r"(?P<protocol>[A-Za-z]\w*) +(?P<minutes>[0-9]{2,}):(?P<seconds>[0-9]{2}) +(?P<state>\S+)"
    r" +(?P<client>\S+) +(?P<virtual>\S+) +(?P<destination>\S+)",
    re.ASCII,
)


def parse_connections(text: str) -> tuple[IpvsConnection, ...]:
    """What ``ipvsadm -Lnc`` printed, in its order. Raises Unreadable.

    The kernel goes on listing connections of services that are no longer in the table, until they expire.
    """
    lines = lines_of(TOOL, text)
    if len(lines) < 2:
        last = lines[-1] if lines else Line(tool=TOOL, number=1, text=text)
        raise last.unreadable("the listing ends before its heading does")
    for line, words in zip(lines, (HEADING, COLUMNS), strict=False):
        if line.text.split() != words.split():
            raise line.unreadable("not the heading of a list of connections")
    return tuple(_connection(line) for line in lines[2:])


def _connection(line: Line) -> IpvsConnection:
    match = line.matched(CONNECTION_LINE, "a connection (protocol, expiry, state, three address:port)")
    minutes, seconds = line.whole(match["minutes"], "count of minutes"), line.whole(match["seconds"], "second", 59)
    client, client_port = line.endpoint(match["client"])
    virtual, virtual_port = line.endpoint(match["virtual"])
    destination, destination_port = line.endpoint(match["destination"])
    return IpvsConnection(
        protocol=match["protocol"],
        expires_s=minutes * 60 + seconds,
        state=match["state"],
        client=client,
        client_port=client_port,
        virtual=virtual,
        virtual_port=virtual_port,
        destination=destination,
        destination_port=destination_port,
    )
