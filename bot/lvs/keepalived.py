"""keepalived's notify FIFO, line by line (keepalived.conf(5), ``notify_fifo``; as versions 2.0 to 2.3 write it)."""

from __future__ import annotations

import re

from bot.domain.events import QuorumChanged, RealServerChanged, VrrpState, VrrpStateChanged
from bot.domain.fleet import Protocol
from bot.domain.observed import ServiceKey
from bot.lvs.lines import Line

TOOL = "keepalived's FIFO"

# Names may have blanks. One with a quotation mark or a bracket is taken for two lines that ran into each other.
VRRP = re.compile(r'(?P<kind>INSTANCE|GROUP) "(?P<name>[^"]+)" (?P<state>\S+) (?P<priority>[0-9]{1,3})', re.ASCII)
# "none": a real server behind a firewall mark, for which no protocol was configured.
REAL_SERVER = re.compile(
    r"RS (?P<server>\[[^\]\s]+\]):(?P<protocol>tcp|udp|sctp|none):(?P<port>[0-9]{1,5}) (?P<service>.+) (?P<to>UP|DOWN)",
    re.ASCII,
)
VIRTUAL_SERVER = re.compile(r"VS (?P<service>.+) (?P<to>UP|DOWN)", re.ASCII)
ADDRESS = re.compile(r"\[(?P<address>[0-9A-Fa-f:.]+)\]:(?P<protocol>tcp|udp|sctp):(?P<port>[0-9]{1,5})", re.ASCII)
MARK = re.compile(r"FWM (?P<mark>[0-9]{1,10})", re.ASCII)
GROUP = re.compile(r"\[(?P<group>[^\[\]]+)\]:(?P<port>[0-9]{1,5})", re.ASCII)


def read_event(text: str, *, cluster: str, director: str) -> VrrpStateChanged | RealServerChanged | QuorumChanged:
    """What one line of the FIFO says, as an event of *director* in *cluster*; a line feed at its end may be there.

    A firewall mark is written without its family, and read as the IPv4 one that a fleet file can describe. Two readers
    of one FIFO each get parts of lines: those, and whatever else is no line of keepalived's, raise Unreadable.
    """
    line = Line(tool=TOOL, number=1, text=text.removesuffix("\n"))
    if match := VRRP.fullmatch(line.text):
        return _vrrp(line, match, cluster, director)
    if match := REAL_SERVER.fullmatch(line.text):
        return RealServerChanged(
            cluster=cluster,
            director=director,
            service=_service(line, match["service"]),
            address=line.address(match["server"].strip("[]")),
            port=line.whole(match["port"], "port", 65535),
            up=match["to"] == "UP",
        )
    if match := VIRTUAL_SERVER.fullmatch(line.text):
        service = _service(line, match["service"])
        return QuorumChanged(cluster=cluster, director=director, service=service, up=match["to"] == "UP")
    raise line.unreadable("not a line that keepalived writes (INSTANCE, GROUP, VS or RS)")


def _vrrp(line: Line, match: re.Match[str], cluster: str, director: str) -> VrrpStateChanged:
    group = match["kind"] == "GROUP"
    priority = line.whole(match["priority"], "VRRP priority", 255)
    try:
        state = VrrpState(match["state"])
    except ValueError as error:
        raise line.unreadable(f"{match['state']!r} is no state that the bot knows") from error
    return VrrpStateChanged(
        cluster=cluster,
        director=director,
        instance=match["name"],
        state=state,
        # A sync group has no priority; keepalived writes 0 in its place (vrrp_notify.c, notify_group_fifo).
        priority=None if group else priority,
        group=group,
    )


def _service(line: Line, text: str) -> ServiceKey:
    """The virtual server that *text* names, in one of three forms (check_data.c, format_vs). Raises Unreadable."""
    if match := ADDRESS.fullmatch(text):
        address = line.address(match["address"])
        port = line.whole(match["port"], "port", 65535)
        return ServiceKey(protocol=Protocol(match["protocol"]), address=address, port=port, family=address.version)
    if match := MARK.fullmatch(text):
        return ServiceKey(fwmark=line.whole(match["mark"], "firewall mark", 2**32 - 1))
    if match := GROUP.fullmatch(text):
        return ServiceKey(group=match["group"], port=line.whole(match["port"], "port", 65535))
    raise line.unreadable(f"{text!r} names no virtual server")
