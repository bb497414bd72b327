"""/proc/net/ip_vs: the IPVS table as the kernel itself shows it, to every account and for the price of one file."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address

from bot.domain.copies import replace
from bot.domain.fleet import Address, Forwarding, Protocol
from bot.domain.observed import IpvsDestination, IpvsService, IpvsTable, ServiceKey
from bot.lvs.errors import Unreadable
from bot.lvs.lines import Line, numbered

TOOL = "/proc/net/ip_vs"
HEADING = (
    re.compile(r"IP Virtual Server version [0-9]+\.[0-9]+\.[0-9]+ \(size=[0-9]+\)", re.ASCII),
    re.compile(r"Prot LocalAddress:Port Scheduler Flags", re.ASCII),
    re.compile(r"  -> RemoteAddress:Port Forward Weight ActiveConn InActConn", re.ASCII),
)
# The kernel's ip_vs_ctl.c, ip_vs_info_seq_show. An IPv4 address is eight hexadecimal digits, an IPv6 one stands in
# brackets with all of its digits, and a port is four hexadecimal digits.
AT = r"(?:(?P<four>[0-9A-F]{8})|\[(?P<six>[0-9a-f:]{39})\]):(?P<port>[0-9A-F]{4})"
SERVICE = re.compile(
    rf"(?:(?P<protocol>TCP|UDP|SCTP) +{AT}|FWM  (?P<mark>[0-9A-F]{{8}})) (?P<scheduler>[^\s()]+)"
    r"(?P<ops> +ops)?(?: +persistent [0-9]+ (?P<mask>[0-9A-F]{8}))?",
    re.ASCII,
)
DESTINATION = re.compile(
    rf"  -> {AT} +(?P<forward>Masq|Route|Tunnel|Local|Bypass) +(?P<weight>[0-9]+) +(?P<active>[0-9]+)"
    r" +(?P<inactive>[0-9]+)",
    re.ASCII,
)
FORWARDING = {
    "Masq": Forwarding.MASQUERADING,
    "Route": Forwarding.DIRECT_ROUTING,
    "Tunnel": Forwarding.TUNNELLING,
    "Local": Forwarding.LOCAL,
}


def show_table() -> tuple[str, ...]:
    """Print the table. It fails where the ip_vs module is not loaded, or /proc is mounted to hide this file."""
    return ("cat", TOOL)


def parse_table(text: str) -> IpvsTable:
    """What :func:`show_table`'s command printed. Raises Unreadable.

    Two things it does not say as ipvsadm(8) does: how long a client sticks to its real server is counted in the
    kernel's own ticks, so that it is left out, and a firewall mark does not tell its family, which is taken from its
    destinations. A listing can be *torn*, as ipvsadm's can.
    """
    lines = numbered(text)
    for place, pattern in enumerate(HEADING):
        if place >= len(lines):
            raise _line(place + 1, "").unreadable("the listing ends before its heading does")
        _line(*lines[place]).matched(pattern, "the heading of an IPVS table")
    services: list[tuple[Line, list[IpvsDestination]]] = []
    for number, line in lines[3:]:
        if not line.startswith("  -> "):
            services.append((_line(number, line), []))
        elif services:
            services[-1][1].append(_destination(number, line))
        else:
            raise _line(number, line).unreadable("a destination before any service")
    return IpvsTable(services=tuple(_service(line, tuple(destinations)) for line, destinations in services))


def _line(number: int, text: str) -> Line:
    return Line(tool=TOOL, number=number, text=text)


def _service(line: Line, destinations: tuple[IpvsDestination, ...]) -> IpvsService:
    try:
        return replace(
            _service_of(line.text, destinations[0].address.version if destinations else 4), destinations=destinations
        )
    except Unreadable as error:
        raise line.unreadable(error.why) from error


@lru_cache(maxsize=512)  # nothing in the line of a service changes while it is there
def _service_of(text: str, family: int) -> IpvsService:
    """The service of a line, yet without destinations; those that it has are of *family*."""
    line = _line(1, text)
    match = line.matched(SERVICE, "a virtual service")
    key = _key(line, match, family)
    return IpvsService(
        key=key,
        scheduler=match["scheduler"],
        persistence_netmask=_netmask(match["mask"], key.family) if match["mask"] else None,
        one_packet=match["ops"] is not None,
    )


def _netmask(mask: str, family: int) -> str | None:
    """As ipvsadm prints it: nothing for the whole address. The kernel turns IPv6's prefix length around, too."""
    if family == 6:
        prefix = int.from_bytes(bytes.fromhex(mask), "little")
        return None if prefix == 128 else str(prefix)
    return None if mask == "FFFFFFFF" else str(IPv4Address(int(mask, 16)))


def _key(line: Line, match: re.Match[str], family: int) -> ServiceKey:
    if match["mark"] is not None:
        return ServiceKey(fwmark=int(match["mark"], 16), family=family)
    address, port = _at(line, match)
    protocol = Protocol(match["protocol"].lower())
    return ServiceKey(protocol=protocol, address=address, port=port, family=address.version)


def _destination(number: int, text: str) -> IpvsDestination:
    try:
        return _destination_of(text)
    except Unreadable as error:
        raise _line(number, text).unreadable(error.why) from error


@lru_cache(maxsize=2048)  # most lines of a BACKUP, and of a quiet MASTER, are the same at each look
def _destination_of(text: str) -> IpvsDestination:
    line = _line(1, text)
    match = line.matched(DESTINATION, "a destination (address:port, forwarding, weight, connections)")
    if match["forward"] not in FORWARDING:
        raise line.unreadable("a destination that bypasses IPVS, which no table has")
    address, port = _at(line, match)
    return IpvsDestination(
        address=address,
        port=port,
        forwarding=FORWARDING[match["forward"]],
        weight=line.whole(match["weight"], "weight", 2**31 - 1),
        active=line.whole(match["active"], "count of connections", 2**32 - 1),
        inactive=line.whole(match["inactive"], "count of connections", 2**32 - 1),
    )


def _at(line: Line, match: re.Match[str]) -> tuple[Address, int]:
    address: Address = IPv4Address(int(match["four"], 16)) if match["four"] else line.address(match["six"])
    return address, int(match["port"], 16)
